//! Facts about the stage, on a table and a provider in memory.

pub(crate) mod ports;

use crate::{Payment, ROUNDS_MAX};
use domain::{
    CloudEvent, Currency, Event, Money, OrderId, Subject, Timestamp,
    event::{CancelReason, OrderCancelled, OrderPlaced, OrderShipped, PaymentDeclined, PaymentRef},
    payment::{CAPTURE_MARGIN, Change, Hold, Known, Payment as Record, Refused, State},
};
use lambda_kit::{Failure, Kind, dynamodb::record, message::Delivery};
use pipeline::{Reply, Stage};
use ports::{Bank, CAPTURE_BEFORE, Desk, HoldState, Surroundings};

const NOW: i64 = 1_800_000_000;
/// The id of the hold in records that a test starts from.
const PI: &str = "pi_seeded";

fn order_id() -> OrderId {
    "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9".parse().unwrap()
}
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}
fn event(event: impl Into<Event>) -> CloudEvent {
    CloudEvent { source: "/test".into(), subject: Subject::Order(order_id()), time: at(NOW - 1), traceparent: None, event: event.into() }
}
fn total() -> Money {
    Money { amount_minor: 2400, currency: Currency::EUR }
}
fn placed() -> CloudEvent {
    event(OrderPlaced { lines: vec![], total: total(), payment_method: "pm_card_visa".into() })
}
fn shipped() -> CloudEvent {
    event(OrderShipped { tracking_number: "OP1".into(), payment: PaymentRef(PI.into()), items: vec![] })
}
fn cancelled(reason: CancelReason, payment: Option<&str>) -> CloudEvent {
    event(OrderCancelled { reason, payment: payment.map(|id| PaymentRef(id.into())), items: None })
}
fn delivery(message: &str, attempt: u32) -> Delivery {
    Delivery { message_id: message.into(), attempt, ..Delivery::default() }
}
fn hold() -> Hold {
    Hold {
        payment: PaymentRef(PI.into()),
        amount: total(),
        capture_before: at(CAPTURE_BEFORE),
        authorized_at: at(NOW - 60),
        capture_refused: None,
    }
}
fn claimed() -> State {
    State::Claimed { payment: PaymentRef(PI.into()), confirm_refused: None }
}
/// Every state of the table, with the hold that goes with it.
fn states() -> Vec<(Option<State>, Option<HoldState>)> {
    let earlier = at(NOW - 30);
    vec![
        (None, None),
        (Some(claimed()), Some(HoldState::Unconfirmed)),
        (Some(State::Authorized(hold())), Some(HoldState::Held)),
        (
            Some(State::Declined { payment: Some(PaymentRef(PI.into())), code: "stolen_card".into(), declined_at: earlier }),
            Some(HoldState::Declined),
        ),
        (Some(State::Captured { hold: hold(), captured_at: earlier }), Some(HoldState::Captured)),
        (Some(State::Uncollected { hold: hold(), capture_code: "expired".into(), uncollected_at: earlier }), Some(HoldState::Canceled)),
        (Some(State::Voided { voided_at: earlier }), Some(HoldState::Canceled)),
        (Some(State::Closed { closed_at: earlier }), None),
    ]
}
/// The answer in short: its stem, or the failure's type.
fn short(result: &Result<Reply, Failure>) -> String {
    match result {
        Ok(reply) => reply.announcements.iter().map(|a| a.event.event_type().stem()).collect::<Vec<_>>().join("+"),
        Err(failure) => failure.error_type.clone(),
    }
}

macro_rules! world {
    ($around:ident, $desk:ident, $bank:ident, $stage:ident) => {
        let $around = Surroundings::new(at(NOW));
        let $desk = Desk { around: &$around, items: Default::default() };
        let $bank = Bank::new(&$around);
        let $stage = Payment { ledger: &$desk, provider: &$bank, ambient: &$around };
    };
}

#[tokio::test]
async fn the_happy_path_is_two_writes_then_one_and_never_reads() {
    world!(around, desk, bank, stage);
    let reply = stage.handle(&placed(), &delivery("m1", 1)).await;
    assert_eq!(around.calls(), "create put confirm update");
    assert_eq!(short(&reply), "payment.authorized");
    let Event::PaymentAuthorized(authorized) = reply.unwrap().announcements.remove(0).event else { panic!() };
    assert_eq!(
        (authorized.payment.0.as_str(), authorized.amount, authorized.capture_before.as_second()),
        ("pi_1", total(), CAPTURE_BEFORE)
    );

    let shipped = event(OrderShipped { tracking_number: "OP1".into(), payment: authorized.payment, items: vec![] });
    let reply = stage.handle(&shipped, &delivery("m2", 1)).await;
    assert_eq!(around.calls(), "capture update");
    assert_eq!((short(&reply).as_str(), bank.captured()), ("payment.captured", 1));
    let Some(State::Captured { hold, captured_at }) = desk.state(order_id()) else { panic!() };
    assert_eq!((hold.payment.0.as_str(), hold.amount, captured_at.as_second()), ("pi_1", total(), NOW), "the hold stays in the record");
}

#[tokio::test]
async fn a_cancellation_never_reads() {
    for (state, standing, reason, hint, calls) in [
        (Some(State::Authorized(hold())), Some(HoldState::Held), CancelReason::OutOfStock, Some(PI), "cancel update"),
        (
            Some(State::Declined { payment: Some(PaymentRef(PI.into())), code: "x".into(), declined_at: at(NOW) }),
            Some(HoldState::Declined),
            CancelReason::PaymentDeclined,
            None,
            "put cancel update",
        ),
        (None, None, CancelReason::CustomerAsked, None, "put"),
    ] {
        world!(around, desk, bank, stage);
        if let Some(state) = state {
            desk.seed(order_id(), state);
        }
        if let Some(standing) = standing {
            bank.open(PI, standing);
        }
        let reply = stage.handle(&cancelled(reason, hint), &delivery("m1", 1)).await;
        assert_eq!((short(&reply).as_str(), around.calls().as_str()), ("payment.voided", calls), "{reason:?}");
    }
}

#[tokio::test]
async fn every_cell_of_the_answer_table() {
    // The answer, and the record that is left; `-` where it stays as it was.
    let table = [
        ("none", ("payment.authorized", "authorized"), ("Impossible", "-"), ("payment.voided", "closed")),
        ("claimed", ("payment.authorized", "authorized"), ("Impossible", "-"), ("payment.voided", "voided")),
        ("authorized", ("payment.authorized", "-"), ("payment.captured", "captured"), ("payment.voided", "voided")),
        ("declined", ("payment.declined", "-"), ("Impossible", "-"), ("payment.voided", "voided")),
        ("captured", ("payment.authorized", "-"), ("payment.captured", "-"), ("Impossible", "-")),
        ("uncollected", ("payment.authorized", "-"), ("payment.capture_failed", "-"), ("Impossible", "-")),
        ("voided", ("payment.voided", "-"), ("Impossible", "-"), ("payment.voided", "-")),
        ("closed", ("payment.voided", "-"), ("Impossible", "-"), ("payment.voided", "-")),
    ];
    for ((state, standing), (name, on_placed, on_shipped, on_cancelled)) in states().into_iter().zip(table) {
        // Every hint that shipping may have had, right or wrong, fresh and as a redelivery.
        let columns = [
            (placed(), on_placed),
            (shipped(), on_shipped),
            (cancelled(CancelReason::OutOfStock, Some(PI)), on_cancelled),
            (cancelled(CancelReason::PaymentDeclined, None), on_cancelled),
            (cancelled(CancelReason::TimedOut, None), on_cancelled),
        ];
        for (event, (answer, left)) in columns {
            for attempt in [1, 2] {
                let cell = format!("{name} × {:?} at attempt {attempt}", event.event.event_type());
                world!(around, desk, bank, stage);
                if let Some(state) = &state {
                    desk.seed(order_id(), state.clone());
                }
                if let Some(standing) = standing {
                    bank.open(PI, standing);
                }
                let reply = stage.handle(&event, &delivery("m1", attempt)).await;
                assert_eq!(short(&reply), answer, "{cell}");
                assert_eq!(desk.name(order_id()), if left == "-" { name } else { left }, "{cell}");
                assert_eq!(
                    bank.captured(),
                    u32::from(answer == "payment.captured" && left != "-"),
                    "{cell}: money is taken once, and only here"
                );
                match reply {
                    Ok(reply) => assert_eq!(
                        stage.handle(&event, &delivery("m1", 2)).await.unwrap(),
                        reply,
                        "{cell}: asked again, the same to the digit"
                    ),
                    Err(failure) => assert_eq!(failure.kind, Kind::Bug, "{cell}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_shipped_order_that_was_confirmed_but_not_recorded_so_ends_right() {
    world!(around, desk, bank, stage);
    desk.seed(order_id(), claimed());
    bank.open(PI, HoldState::Held);
    assert_eq!(short(&stage.handle(&shipped(), &delivery("m2", 1)).await), "Impossible");
    assert_eq!(short(&stage.handle(&placed(), &delivery("m1", 2)).await), "payment.authorized");
    assert_eq!(short(&stage.handle(&shipped(), &delivery("m2", 2)).await), "payment.captured");
    assert_eq!((desk.name(order_id()), bank.captured()), ("captured", 1));
    assert!(!around.calls().contains("create"));
}

#[tokio::test]
async fn a_decline_is_recorded_whether_it_comes_before_or_after_the_claim() {
    world!(around, desk, bank, stage);
    bank.declines.set(true);
    let reply = stage.handle(&placed(), &delivery("m1", 1)).await.unwrap();
    assert_eq!(around.calls(), "create put confirm update");
    assert_eq!(reply.announcements[0].event, PaymentDeclined { code: "card_declined".into() }.into());
    assert_eq!(reply.announcements[0].time, at(NOW), "the record's time");

    world!(around, desk, bank, stage);
    bank.knows_no_such_card.set(true);
    let reply = stage.handle(&placed(), &delivery("m1", 1)).await.unwrap();
    assert_eq!(around.calls(), "create put");
    assert_eq!(reply.announcements[0].event, PaymentDeclined { code: "resource_missing".into() }.into());
    assert_eq!(desk.name(order_id()), "declined");
}

#[tokio::test]
async fn a_hold_that_one_copy_was_refused_and_another_got_is_freed() {
    world!(around, desk, bank, stage);
    desk.seed(order_id(), State::Declined { payment: Some(PaymentRef(PI.into())), code: "x".into(), declined_at: at(NOW) });
    bank.open(PI, HoldState::Held);
    let reply = stage.handle(&cancelled(CancelReason::PaymentDeclined, None), &delivery("m1", 1)).await;
    assert_eq!((short(&reply).as_str(), desk.name(order_id())), ("payment.voided", "voided"));
    assert_eq!(bank.standing(PI), Some(HoldState::Canceled));
}

#[tokio::test]
async fn a_capture_refused_permanently_ends_uncollected() {
    world!(around, desk, bank, stage);
    desk.seed(order_id(), State::Authorized(hold()));
    bank.open(PI, HoldState::Held);
    bank.keeps.set(true);
    let reply = stage.handle(&shipped(), &delivery("m1", 1)).await;
    assert_eq!((short(&reply).as_str(), around.calls().as_str()), ("payment.capture_failed", "capture update"));
    let Some(State::Uncollected { hold, capture_code, .. }) = desk.state(order_id()) else { panic!() };
    assert_eq!((hold.payment.0.as_str(), capture_code.as_str()), (PI, "card_declined"));
}

/// How long the reply wants to wait, and that nothing is published until then.
fn waits_s(result: &Result<Reply, Failure>) -> u64 {
    let reply = result.as_ref().unwrap();
    assert!(reply.announcements.is_empty(), "{reply:?}");
    reply.look_again_after.expect("it waits").as_secs()
}

#[tokio::test]
async fn a_soft_no_at_capture_keeps_the_hold_and_is_tried_again() {
    world!(around, desk, bank, stage);
    desk.seed(order_id(), State::Authorized(hold()));
    bank.open(PI, HoldState::Held);
    bank.hesitates.set(2);
    assert_eq!(waits_s(&stage.handle(&shipped(), &delivery("m1", 1)).await), 300);
    assert_eq!((around.calls().as_str(), bank.standing(PI)), ("capture get update", Some(HoldState::Held)), "the hold is not freed");
    let Some(State::Authorized(Hold { capture_refused: Some(refused), .. })) = desk.state(order_id()) else { panic!() };
    assert_eq!(refused, Refused { tries: 1, code: "try_again_later".into(), at: at(NOW), next_try_at: at(NOW + 300) });

    // The message itself, too early, and one that a nudge has published again: neither calls the provider.
    around.now.set(at(NOW + 100));
    for (message, attempt, age_s) in [("m1", 2, 1), ("m2", 1, 3_600)] {
        let again = CloudEvent { time: at(NOW - age_s), ..shipped() };
        assert_eq!(waits_s(&stage.handle(&again, &delivery(message, attempt)).await), 200);
        assert_eq!(around.calls(), "get");
    }
    // Half a second is a whole one: what comes too early waits once more.
    around.now.set(Timestamp::from_millisecond((NOW + 299) * 1_000 + 500).unwrap());
    assert_eq!(waits_s(&stage.handle(&shipped(), &delivery("m1", 3)).await), 1);

    around.now.set(at(NOW + 300));
    around.calls();
    assert_eq!(waits_s(&stage.handle(&shipped(), &delivery("m1", 4)).await), 600);
    assert_eq!(around.calls(), "get capture update");
    // While it waits, order.placed is answered as ever.
    assert_eq!(short(&stage.handle(&placed(), &delivery("m0", 2)).await), "payment.authorized");
    around.now.set(at(NOW + 900));
    let reply = stage.handle(&shipped(), &delivery("m1", 5)).await;
    assert_eq!((short(&reply).as_str(), desk.name(order_id()), bank.captured()), ("payment.captured", "captured", 1));
    assert_eq!(stage.handle(&shipped(), &delivery("m2", 2)).await.unwrap(), reply.unwrap(), "the other copy answers alike");
}

#[tokio::test]
async fn a_good_hold_is_freed_at_its_margin_and_not_before() {
    world!(around, desk, bank, stage);
    desk.seed(order_id(), State::Authorized(hold()));
    bank.open(PI, HoldState::Held);
    bank.hesitates.set(u32::MAX);
    let mut deliveries = 0;
    let reply = loop {
        deliveries += 1;
        assert!(deliveries < 50, "more deliveries than receives");
        let reply = stage.handle(&shipped(), &delivery("m1", deliveries)).await;
        if reply.as_ref().unwrap().look_again_after.is_none() {
            break reply;
        }
        assert_eq!(bank.standing(PI), Some(HoldState::Held));
        around.now.set(around.now.get() + std::time::Duration::from_secs(waits_s(&reply)));
    };
    assert_eq!(short(&reply), "payment.capture_failed");
    assert_eq!(around.now.get(), at(CAPTURE_BEFORE) - CAPTURE_MARGIN);
    assert_eq!((desk.name(order_id()), bank.standing(PI)), ("uncollected", Some(HoldState::Canceled)));
    let Some(State::Uncollected { capture_code, .. }) = desk.state(order_id()) else { panic!() };
    assert_eq!(capture_code, "try_again_later");
}

#[tokio::test]
async fn a_soft_no_at_confirm_is_tried_three_times_at_most() {
    for hesitates in 0..4 {
        world!(around, desk, bank, stage);
        bank.hesitates.set(hesitates);
        let mut waited = Vec::new();
        let reply = loop {
            let deliveries = u32::try_from(waited.len()).unwrap() + 1;
            let reply = stage.handle(&placed(), &delivery("m1", deliveries)).await;
            if reply.as_ref().unwrap().look_again_after.is_none() {
                break reply;
            }
            // A copy of it waits as well.
            let calls = around.calls();
            assert_eq!(waits_s(&stage.handle(&placed(), &delivery("m1", deliveries + 1)).await), waits_s(&reply));
            assert_eq!(around.calls(), "get", "{calls}");
            waited.push(waits_s(&reply));
            around.now.set(around.now.get() + std::time::Duration::from_secs(waits_s(&reply)));
        };
        let tries = usize::try_from(hesitates).unwrap();
        assert_eq!(waited, [30, 300][..tries.min(2)]);
        let (answer, standing, calls) = match hesitates {
            0 => ("payment.authorized", HoldState::Held, "create put confirm update"),
            1 | 2 => ("payment.authorized", HoldState::Held, "get again update"),
            _ => ("payment.declined", HoldState::RefusedForNow, "get again update"),
        };
        assert_eq!((short(&reply).as_str(), around.calls().as_str()), (answer, calls), "{hesitates}");
        let holds = bank.holds.borrow();
        assert_eq!(holds.values().map(|hold| hold.standing).collect::<Vec<_>>(), [standing], "one hold, the same at every try");
    }
}

/// Too many calls are no failure: the message comes again in seconds, and the next delivery begins where this one stood.
#[tokio::test]
async fn a_busy_provider_is_asked_again_in_seconds() {
    for busy_from in [0, 1] {
        world!(around, desk, bank, stage);
        if busy_from == 1 {
            desk.seed(order_id(), claimed());
            bank.open(PI, HoldState::Unconfirmed);
        }
        bank.is_busy.set(2);
        for checks in 0..2 {
            let delivery = Delivery { checks, ..delivery("m1", 1 + busy_from) };
            // 6.5 s are 7, and the random number 4 is added.
            assert_eq!(waits_s(&stage.handle(&placed(), &delivery).await), 11);
            assert_eq!(bank.confirmed(), 0);
        }
        let last = Delivery { checks: 2, ..delivery("m1", 1) };
        assert_eq!(short(&stage.handle(&placed(), &last).await), "payment.authorized");
        assert_eq!(bank.holds.borrow().len(), 1);
    }
    // What does not pass is a failure in the end, so that somebody hears of it.
    for (checks, expected) in [(29, ""), (30, "StripeRateLimited")] {
        world!(around, desk, bank, stage);
        bank.is_busy.set(1);
        let result = stage.handle(&placed(), &Delivery { checks, ..delivery("m1", 1) }).await;
        assert_eq!(short(&result), expected);
        assert!(result.is_ok() || result.unwrap_err().kind == Kind::Transient);
    }
}

/// The message of a delivery that waits comes again when it is due; so do copies. Whatever happens at once, one hold is
/// confirmed, and captured once.
#[tokio::test]
async fn copies_that_wait_for_a_hesitant_bank_charge_once() {
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..1_000_u64 {
        world!(around, desk, bank, stage);
        *around.rng.borrow_mut() = Some(fastrand::Rng::with_seed(seed));
        bank.hesitates.set(u32::try_from(seed % 5).unwrap());
        let (m1, m2) = (delivery("m1", 1), delivery("m2", 1));
        let placed = placed();
        let mut deliveries = 0;
        // Both copies, round after round, until neither waits.
        let answer = loop {
            deliveries += 1;
            assert!(deliveries < 10, "seed {seed}: does not end");
            let redelivered = |delivery: &Delivery| Delivery { attempt: deliveries, ..delivery.clone() };
            let (d1, d2) = (redelivered(&m1), redelivered(&m2));
            let (a, b) = tokio::join!(stage.handle(&placed, &d1), stage.handle(&placed, &d2));
            let (a, b) = (a.unwrap(), b.unwrap());
            let wait = [&a, &b].into_iter().filter_map(|reply| reply.look_again_after).max();
            match wait {
                Some(wait) => around.now.set(around.now.get() + wait),
                None => break short(&Ok(a)),
            }
        };
        assert!(bank.confirmed() <= 1, "seed {seed}: {:?}", bank.holds);
        ends.insert(answer.clone());
        let Some(State::Authorized(hold)) = desk.state(order_id()) else {
            // Declined, though a copy may hold: the cancellation that follows frees it.
            let reply = stage.handle(&cancelled(CancelReason::PaymentDeclined, None), &delivery("m3", 1)).await;
            assert_eq!((short(&reply).as_str(), answer.as_str()), ("payment.voided", "payment.declined"), "seed {seed}");
            assert!(bank.holds.borrow().values().all(|hold| hold.standing != HoldState::Held), "seed {seed}: {:?}", bank.holds);
            continue;
        };
        bank.hesitates.set(u32::try_from(seed / 5 % 4).unwrap());
        let shipped = event(OrderShipped { tracking_number: "OP1".into(), payment: hold.payment, items: vec![] });
        let shipped = CloudEvent { time: around.now.get(), ..shipped };
        for deliveries in 1..20 {
            let redelivered = |id: &str| delivery(id, deliveries);
            let (d1, d2) = (redelivered("m4"), redelivered("m5"));
            let (a, b) = tokio::join!(stage.handle(&shipped, &d1), stage.handle(&shipped, &d2));
            let wait = [a.unwrap(), b.unwrap()].into_iter().filter_map(|reply| reply.look_again_after).max();
            around.now.set(around.now.get() + wait.unwrap_or_default());
            if wait.is_none() {
                break;
            }
        }
        assert_eq!((desk.name(order_id()), bank.confirmed(), bank.captured()), ("captured", 1, 1), "seed {seed}: {:?}", bank.holds);
    }
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), ["payment.authorized", "payment.declined"]);
}

#[tokio::test]
async fn a_crash_at_any_call_of_a_hesitant_bank_heals() {
    for (event, seeded, answer) in
        [(placed(), None, "payment.authorized"), (shipped(), Some(State::Authorized(hold())), "payment.captured")]
    {
        for crash_after in 1.. {
            world!(around, desk, bank, stage);
            if let Some(state) = &seeded {
                desk.seed(order_id(), state.clone());
                bank.open(PI, HoldState::Held);
            }
            bank.hesitates.set(2);
            around.fuse.set(Some(crash_after));
            let mut deliveries = 0;
            let reply = loop {
                deliveries += 1;
                assert!(deliveries < 10, "does not end");
                let crashed = match stage.handle(&event, &delivery("m1", deliveries)).await {
                    Ok(Reply { look_again_after: Some(wait), .. }) => {
                        around.now.set(around.now.get() + wait);
                        continue;
                    }
                    Err(failure) if failure.error_type == "Crashed" => true,
                    other => break other,
                };
                assert!(crashed);
                around.now.set(around.now.get() + std::time::Duration::from_secs(5));
                around.fuse.set(None);
            };
            assert_eq!(short(&reply), answer, "crash after call {crash_after}");
            assert!(bank.confirmed() <= 1 && bank.captured() <= 1, "{:?}", bank.holds);
            if around.fuse.get().is_some_and(|left| left > 0) {
                assert!(crash_after > 6, "every call was a place to crash");
                break;
            }
        }
    }
}

#[tokio::test]
async fn old_and_redelivered_events_are_looked_up_before_anything_is_called() {
    for (age_s, attempt, looks) in [(1, 1, false), (300, 1, false), (301, 1, true), (1, 2, true), (86_400, 3, true)] {
        world!(around, desk, bank, stage);
        desk.seed(order_id(), State::Authorized(hold()));
        bank.open(PI, HoldState::Held);
        let mut placed = placed();
        placed.time = at(NOW - age_s);
        assert_eq!(short(&stage.handle(&placed, &delivery("m1", attempt)).await), "payment.authorized");
        assert_eq!(around.calls(), if looks { "get" } else { "create put" }, "{age_s} s, attempt {attempt}");
    }
}

#[tokio::test]
async fn the_records_hold_wins_over_a_wrong_hint() {
    for event in [
        event(OrderShipped { tracking_number: "OP1".into(), payment: PaymentRef("pi_orphan".into()), items: vec![] }),
        cancelled(CancelReason::TimedOut, Some("pi_orphan")),
    ] {
        for orphan in [None, Some(HoldState::Unconfirmed)] {
            world!(around, desk, bank, stage);
            desk.seed(order_id(), State::Authorized(hold()));
            bank.open(PI, HoldState::Held);
            if let Some(standing) = orphan {
                bank.open("pi_orphan", standing);
            }
            stage.handle(&event, &delivery("m1", 1)).await.unwrap();
            let expected = if matches!(event.event, Event::OrderShipped(_)) { HoldState::Captured } else { HoldState::Canceled };
            assert_eq!(bank.standing(PI), Some(expected));
            assert_ne!(bank.standing("pi_orphan"), Some(HoldState::Captured));
        }
    }
}

#[tokio::test]
async fn a_provider_that_contradicts_the_record_is_a_bug() {
    // Captured by hand, says the provider; authorized, says the record; cancelled, says the order.
    for attempt in [1, 2] {
        world!(around, desk, bank, stage);
        desk.seed(order_id(), State::Authorized(hold()));
        bank.open(PI, HoldState::Captured);
        let failure = stage.handle(&cancelled(CancelReason::OutOfStock, Some(PI)), &delivery("m1", attempt)).await.unwrap_err();
        assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Bug, "ProviderContradicts"));
        assert_eq!(desk.name(order_id()), "authorized");
    }
    // A key of another account knows none of our holds: an operator fixes that, and no sale is lost until then.
    world!(around, desk, bank, stage);
    desk.seed(order_id(), State::Authorized(hold()));
    let failure = stage.handle(&shipped(), &delivery("m1", 1)).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Transient, "UnknownPaymentIntent"));
    assert_eq!((desk.name(order_id()), around.calls().as_str()), ("authorized", "capture get"));
}

#[tokio::test]
async fn a_crash_after_any_call_heals_with_the_redelivery() {
    let starts = [
        (placed(), None, "payment.authorized"),
        (shipped(), Some(State::Authorized(hold())), "payment.captured"),
        (cancelled(CancelReason::OutOfStock, Some(PI)), Some(State::Authorized(hold())), "payment.voided"),
        (cancelled(CancelReason::CustomerAsked, None), Some(claimed()), "payment.voided"),
        (cancelled(CancelReason::CustomerAsked, None), None, "payment.voided"),
    ];
    for (event, state, answer) in starts {
        let mut crashes = 0;
        loop {
            world!(around, desk, bank, stage);
            if let Some(state) = &state {
                desk.seed(order_id(), state.clone());
                bank.open(PI, if matches!(state, State::Claimed { .. }) { HoldState::Unconfirmed } else { HoldState::Held });
            }
            around.fuse.set(Some(crashes + 1));
            let first = stage.handle(&event, &delivery("m1", 1)).await;
            around.fuse.set(None);
            // The clock goes on; what the record says does not.
            around.now.set(at(NOW + 600));
            let second = stage.handle(&event, &delivery("m1", 2)).await;
            let place = format!("{answer}, crash after call {}", crashes + 1);
            assert_eq!(short(&second), answer, "{place}");
            assert!(bank.confirmed() <= 1 && bank.captured() <= 1, "{place}: {:?}", bank.holds);
            if let Some(Record { state: State::Authorized(hold), .. }) =
                desk.items.borrow().get(&order_id()).map(|item| record(item.clone()).unwrap())
            {
                assert_eq!(bank.standing(&hold.payment.0), Some(HoldState::Held), "{place}: the record names the hold that is confirmed");
            }
            // Cut off in the second delivery too, the third still answers the same.
            assert_eq!(stage.handle(&event, &delivery("m1", 3)).await.unwrap(), second.unwrap(), "{place}");
            if let Ok(first) = first {
                assert_eq!(short(&Ok(first)), answer);
                break;
            }
            crashes += 1;
        }
        assert!(crashes >= 1, "{answer}: every call was a place to crash");
    }
}

#[tokio::test]
async fn concurrent_copies_of_placed_confirm_one_hold() {
    for seed in 0..500 {
        world!(around, desk, bank, stage);
        *around.rng.borrow_mut() = Some(fastrand::Rng::with_seed(seed));
        // Two copies of one delivery, and a second message with the same event.
        let (event, m1, m2) = (placed(), delivery("m1", 1), delivery("m2", 1));
        let (a, b, c) = tokio::join!(stage.handle(&event, &m1), stage.handle(&event, &m1), stage.handle(&event, &m2));
        let a = a.unwrap();
        assert_eq!((&a, &a), (&b.unwrap(), &c.unwrap()), "seed {seed}");
        assert_eq!(bank.confirmed(), 1, "seed {seed}: {:?}", bank.holds);
        assert!(bank.holds.borrow().len() <= 2, "seed {seed}: copies of one delivery share a hold");
    }
}

#[tokio::test]
async fn placed_and_cancelled_at_once_end_with_nothing_held() {
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..2_000 {
        world!(around, desk, bank, stage);
        *around.rng.borrow_mut() = Some(fastrand::Rng::with_seed(seed));
        bank.declines.set(seed % 5 == 0);
        let (placed, cancelled) = (placed(), cancelled(CancelReason::CustomerAsked, None));
        let (m1, m2) = (delivery("m1", 1), delivery("m2", 1));
        let (a, b) = tokio::join!(stage.handle(&placed, &m1), stage.handle(&cancelled, &m2));
        assert_eq!(short(&b), "payment.voided", "seed {seed}");
        let first = short(&a);
        assert!(["payment.authorized", "payment.declined", "payment.voided"].contains(&first.as_str()), "seed {seed}: {first}");
        assert!(["voided", "closed"].contains(&desk.name(order_id())), "seed {seed}: {}", desk.name(order_id()));
        assert!(bank.holds.borrow().values().all(|hold| hold.standing != HoldState::Held), "seed {seed}: {:?}", bank.holds);
        assert!(bank.confirmed() <= 1 && bank.captured() == 0, "seed {seed}");
        assert_eq!(short(&stage.handle(&placed, &delivery("m1", 2)).await), "payment.voided", "seed {seed}");
        ends.insert((first, desk.name(order_id())));
    }
    assert!(ends.len() >= 4, "the random order brought the races about: {ends:?}");
}

#[tokio::test]
async fn placed_before_and_after_cancelled_in_turn() {
    world!(around, desk, bank, stage);
    assert_eq!(short(&stage.handle(&placed(), &delivery("m1", 1)).await), "payment.authorized");
    assert_eq!(short(&stage.handle(&cancelled(CancelReason::CustomerAsked, None), &delivery("m2", 1)).await), "payment.voided");
    assert_eq!((desk.name(order_id()), bank.standing("pi_1")), ("voided", Some(HoldState::Canceled)));
    assert_eq!(around.calls(), "create put confirm update put cancel update");

    world!(around, desk, bank, stage);
    assert_eq!(short(&stage.handle(&cancelled(CancelReason::CustomerAsked, None), &delivery("m2", 1)).await), "payment.voided");
    assert_eq!(short(&stage.handle(&placed(), &delivery("m1", 1)).await), "payment.voided");
    assert_eq!((desk.name(order_id()), bank.confirmed()), ("closed", 0), "the orphan holds nothing");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_is_left_ten_seconds_before_the_deadline() {
    world!(around, desk, bank, stage);
    bank.hangs.set(true);
    let start = tokio::time::Instant::now();
    let failure = stage.handle(&placed(), &delivery("m1", 1)).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Transient, "ProviderTooSlow"));
    assert_eq!((start.elapsed().as_secs(), desk.name(order_id())), (20, "none"));
}

#[tokio::test]
async fn a_record_that_changes_under_every_write_is_a_lost_race() {
    /// Refuses every write, and shows another claim each time.
    struct Restless(std::cell::Cell<u32>);
    impl crate::Ledger for &Restless {
        async fn get(&self, _: OrderId) -> Result<Option<State>, Failure> {
            Ok(None)
        }
        async fn put(&self, _: Record) -> Result<State, Failure> {
            self.0.set(self.0.get() + 1);
            Ok(State::Claimed { payment: PaymentRef(format!("pi_{}", self.0.get())), confirm_refused: None })
        }
        async fn update(&self, _: OrderId, _: &Known, _: &Change) -> Result<Option<State>, Failure> {
            self.0.set(self.0.get() + 1);
            let claimed = || State::Claimed { payment: PaymentRef(format!("pi_{}", self.0.get())), confirm_refused: None };
            Ok(self.0.get().is_multiple_of(2).then(claimed))
        }
    }
    let around = Surroundings::new(at(NOW));
    let bank = Bank::new(&around);
    for n in 0..100 {
        bank.open(&format!("pi_{n}"), HoldState::Unconfirmed);
    }
    let restless = Restless(Default::default());
    let stage = Payment { ledger: &restless, provider: &bank, ambient: &around };
    let failure = stage.handle(&cancelled(CancelReason::CustomerAsked, None), &delivery("m1", 1)).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Transient, "LostRace"));
    assert_eq!(restless.0.get() as usize, ROUNDS_MAX);
}

#[tokio::test]
async fn what_payment_does_not_listen_for_is_refused() {
    world!(around, desk, bank, stage);
    let failure = stage.handle(&event(PaymentDeclined { code: "x".into() }), &delivery("m1", 1)).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Permanent, "NotForThisStage"));
    assert_eq!(around.calls(), "");
    assert!(desk.items.borrow().is_empty());
}

#[test]
fn a_change_is_written_onto_exactly_the_record_it_was_decided_for() {
    let onto = [Known::Claimed(PaymentRef(PI.into())), Known::Authorized(PaymentRef(PI.into())), Known::Declined(None)];
    for known in onto {
        let (_, condition, names, values) = crate::ledger::update(&known, &Change::Voided { at: at(NOW) }).unwrap().into_parts();
        let pairs = condition.as_deref().unwrap().split(" AND ").map(|clause| {
            let (name, value) = clause.split_once(" = ").unwrap();
            (names[name].as_str(), values[value].as_s().unwrap().as_str())
        });
        let expected: &[_] = match &known {
            Known::Declined(None) => &[("state", "declined")],
            other => &[("state", other.name()), ("payment", PI)],
        };
        assert_eq!(pairs.collect::<Vec<_>>(), expected);
    }
}
