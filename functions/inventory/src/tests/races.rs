//! Concurrency: the last unit, a hot SKU, a lost race, and anything at random.

use super::*;
use futures_util::{
    future::join_all,
    stream::{self, StreamExt as _},
};

/// How many batches run concurrently, as the template has it; within a batch, records of one SKU come one after the other.
const FUNCTIONS: usize = 5;

#[tokio::test(start_paused = true)]
async fn of_two_orders_after_the_last_unit_exactly_one_gets_it() {
    for first in [1, 2] {
        let inventory = inventory(&[("LAST-ONE", 1)]);
        let events = [placed(first, &[("LAST-ONE", 1)]), placed(3 - first, &[("LAST-ONE", 1)])];
        let answers = join_all(events.iter().map(|event| inventory.hear(event))).await;
        assert!(answers[0].starts_with("inventory.reserved"), "{answers:?}");
        assert!(answers[1].starts_with("inventory.rejected"), "{answers:?}");
        assert_eq!(inventory.warehouse.available("LAST-ONE"), Some(0));
        for (event, answer) in events.iter().zip(&answers) {
            assert_eq!(inventory.hear(event).await, *answer, "a redelivery of the order that took it finds the stock short, too");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn copies_of_one_event_at_once_reserve_once_and_answer_alike() {
    let inventory = inventory(&[("MUG", 10)]);
    let event = placed(1, &[("MUG", 3)]);
    let answers = join_all((0..5).map(|_| inventory.hear(&event))).await;
    assert!(answers.iter().all(|answer| answer == &answers[0] && answer.starts_with("inventory.reserved")), "{answers:?}");
    assert_eq!(inventory.warehouse.available("MUG"), Some(7));
}

/// Has a hundred orders after one row, `concurrent` at a time and retries those that failed, as their queue would.
/// Returns how often the unluckiest order was received.
async fn hundred_hot_orders(concurrent: usize) -> usize {
    let inventory = inventory(&[("HOT-CAKE", 100)]);
    let inventory = &inventory;
    // Injected on top of the conflicts that they make by themselves.
    (0..100).step_by(7).for_each(|call| inventory.warehouse.plan(call, Fault::Conflict));
    let mut waiting: Vec<u32> = (1..=100).collect();
    let mut receives = 0;
    while !waiting.is_empty() {
        receives += 1;
        let hear = |n| async move { (n, inventory.hear(&placed(n, &[("HOT-CAKE", 1)])).await) };
        let answers: Vec<_> = stream::iter(waiting).map(hear).buffer_unordered(concurrent).collect().await;
        waiting = Vec::new();
        for (n, answer) in answers {
            match answer.as_str() {
                "Transient TransactionConflict" => waiting.push(n),
                reserved => assert!(reserved.starts_with("inventory.reserved"), "nobody is rejected for being in the way: {reserved}"),
            }
        }
    }
    assert_eq!(inventory.warehouse.available("HOT-CAKE"), Some(0));
    assert!(inventory.calls().len() > 115, "there were conflicts");
    receives
}

#[tokio::test(start_paused = true)]
async fn a_hundred_orders_for_one_hot_sku_all_end_reserved() {
    let receives = hundred_hot_orders(FUNCTIONS).await;
    assert!(receives <= 3, "{receives}");
}

#[tokio::test(start_paused = true)]
async fn even_a_hundred_at_once_end_long_before_a_dead_letter_queue() {
    let receives = hundred_hot_orders(100).await;
    assert!(receives <= 10, "{receives}");
}

#[tokio::test(start_paused = true)]
async fn conflicts_without_end_go_back_to_the_queue_and_leave_nothing() {
    let began = tokio::time::Instant::now();
    let inventory = holding(Some(&states()[0]));
    let tries = CONFLICT_RETRIES as usize + 1;
    for event in [placed(2, ITEMS), cancelled(ORDER, CancelReason::CustomerAsked, Some(ITEMS))] {
        (0..tries).for_each(|call| inventory.warehouse.plan(call, Fault::Conflict));
        assert_eq!(inventory.hear(&event).await, "Transient TransactionConflict");
        assert_eq!(inventory.calls().len(), tries);
    }
    assert_eq!(inventory.warehouse.state_of(order(2)), None);
    assert_eq!(inventory.warehouse.state_of(order(ORDER)).as_ref(), Some(&states()[0]));
    assert!(began.elapsed() <= 2 * Duration::from_millis(10 + 20 + 40 + 80 + 160));
    (0..tries - 1).for_each(|call| inventory.warehouse.plan(call, Fault::Conflict));
    assert!(inventory.hear(&placed(2, ITEMS)).await.starts_with("inventory.reserved"), "the last try counts");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_stands_back_for_a_reservation_made_in_between() {
    let inventory = inventory(&[("MUG", 0)]);
    // This delivery finds too little; stock comes back, and a copy of the event reserves before this one writes it down.
    inventory.warehouse.during_call(1, |warehouse| warehouse.preset(order(1), State::Reserved { items: vec![], reserved_at: at(77) }));
    assert_eq!(inventory.hear(&placed(1, &[("MUG", 1)])).await, "inventory.reserved at 77");
    assert_eq!(inventory.calls(), ["reserve", "reject"]);
}

#[tokio::test(start_paused = true)]
async fn the_longest_way_a_record_can_go_takes_four_decisions() {
    let inventory = inventory(&[("CUP", 10), ("MUG", 10)]);
    let reserve = |warehouse: &Memory| warehouse.preset(order(1), State::Reserved { items: of(ITEMS), reserved_at: at(50) });
    let release = |warehouse: &Memory| {
        warehouse.reservations.borrow_mut().insert(order(1), State::Released { released_at: at(60) });
    };
    inventory.warehouse.during_call(1, reserve);
    inventory.warehouse.during_call(2, release);
    assert_eq!(inventory.hear(&cancelled(1, CancelReason::CustomerAsked, Some(ITEMS))).await, "inventory.released at 60");
    assert_eq!(inventory.calls(), ["release", "close", "release"], "and the fourth decision is to answer");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_keeps_changing_goes_back_to_the_queue() {
    let inventory = inventory(&[("CUP", 100), ("MUG", 100)]);
    for call in [1, 3] {
        inventory
            .warehouse
            .during_call(call, |warehouse| warehouse.preset(order(1), State::Reserved { items: of(ITEMS), reserved_at: at(50) }));
        inventory.warehouse.during_call(call + 1, |warehouse| {
            warehouse.reservations.borrow_mut().clear();
        });
    }
    assert_eq!(inventory.hear(&cancelled(1, CancelReason::CustomerAsked, Some(ITEMS))).await, "Transient LostRace");
    assert_eq!(inventory.calls().len(), DECISIONS_MAX);
}

/// Orders of every kind concurrently, each event several times, with conflicts and crashes at random calls: per SKU
/// available + reserved + committed stays what it was, whatever is cut off, and everything ends.
#[tokio::test(start_paused = true)]
async fn no_history_makes_or_loses_a_unit() {
    const SKUS: [&str; 3] = ["CUP", "LAMP", "MUG"];
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let stock = SKUS.map(|code| (code, rng.u64(0..30)));
        let inventory = inventory(&stock);
        let before = inventory.warehouse.units();
        let faults = [Fault::CrashBefore, Fault::CrashAfter, Fault::Conflict];
        for call in 0..150 {
            if rng.u8(0..4) == 0 {
                inventory.warehouse.plan(call, faults[rng.usize(0..3)]);
            }
        }
        let orders: Vec<_> = (1..=12).map(|n| (n, SKUS.map(|code| (code, rng.u32(0..4))), rng.u8(0..4), rng.fork())).collect();
        join_all(orders.iter().cloned().map(|order| tell(&inventory, &before, seed, order))).await;
        for (n, ..) in orders {
            let state = inventory.warehouse.state_of(order(n)).unwrap();
            assert!(
                matches!(state, State::Committed { .. } | State::Released { .. } | State::Closed { .. }),
                "seed {seed}: order {n} is {state:?}"
            );
        }
        assert_eq!(inventory.warehouse.units(), before, "seed {seed}");
    }
}

/// One order's way: placed, then decided as shipping would, every event heard until it is answered and then some.
async fn tell(
    inventory: &Stocked,
    before: &BTreeMap<Sku, u64>,
    seed: u64,
    (n, wanted, ending, mut rng): (u32, [(&str, u32); 3], u8, fastrand::Rng),
) {
    let items: Vec<_> = wanted.into_iter().filter(|(_, quantity)| *quantity > 0).collect();
    if items.is_empty() {
        inventory.warehouse.preset(order(n), State::Closed { closed_at: at(1) });
        return;
    }
    let heard = async |event: CloudEvent, rng: &mut fastrand::Rng| {
        let mut answer = String::new();
        let mut copies = rng.u8(1..4);
        for _ in 0..100 {
            let before_it = answer;
            answer = inventory.hear(&event).await;
            assert!(answer.starts_with("inventory.") || answer.starts_with("Transient "), "seed {seed}, order {n}: {answer}");
            assert_eq!(inventory.warehouse.units(), *before, "seed {seed}, order {n}, after {:?}", event.event);
            if answer.starts_with("inventory.") {
                assert!(!before_it.starts_with("inventory.") || before_it == answer, "seed {seed}, order {n}: {before_it}, then {answer}");
                copies -= 1;
                if copies == 0 {
                    return answer;
                }
            }
        }
        panic!("seed {seed}, order {n}: no answer to {:?}", event.event)
    };
    let unplaced = ending == 0;
    let answer = if unplaced { String::new() } else { heard(placed(n, &items), &mut rng).await };
    let decision = if answer.starts_with("inventory.rejected") {
        cancelled(n, CancelReason::OutOfStock, None)
    } else if unplaced || ending == 1 {
        cancelled(n, CancelReason::TimedOut, None)
    } else if ending == 2 {
        cancelled(n, CancelReason::PaymentDeclined, Some(&items))
    } else {
        shipped(n, &items)
    };
    let last = heard(decision, &mut rng).await;
    let late = heard(placed(n, &items), &mut rng).await;
    let expected = if last.starts_with("inventory.committed") { "inventory.reserved" } else { "inventory.released" };
    assert!(late.starts_with(expected), "seed {seed}, order {n}: {last}, then {late}");
}
