//! Inventory's half of the answer table, driven through `handle` against a warehouse in memory.

mod memory;
mod races;

use super::*;
use domain::{
    Line, Money, OrderId, Subject, Timestamp,
    event::{CancelReason, InventoryReserved, OrderCancelled, OrderPlaced, OrderShipped, PaymentDeclined, PaymentRef},
    inventory::{LOOKS_MAX, State},
};
use lambda_kit::{
    Kind,
    dynamodb::{Fate, Item as Attributes, Transacted, item},
};
use memory::{Fault, Memory, Ticking};

const ORDER: u32 = 1;

fn order(n: u32) -> OrderId {
    format!("fe08ddf2-c1ca-5f7e-9ff5-{n:012}").parse().unwrap()
}
fn sku(text: &str) -> Sku {
    text.parse().unwrap()
}
fn of(items: &[(&str, u32)]) -> Vec<Item> {
    items.iter().map(|(code, quantity)| Item { sku: sku(code), quantity: *quantity }).collect()
}
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}
fn event(n: u32, event: impl Into<Event>) -> CloudEvent {
    let event = event.into();
    CloudEvent { source: "/test".into(), subject: Subject::Order(order(n)), time: at(0), traceparent: None, event }
}
fn placed(n: u32, items: &[(&str, u32)]) -> CloudEvent {
    let lines = items.iter().map(|(code, quantity)| Line { sku: sku(code), quantity: *quantity, unit_price_minor: 1 }).collect();
    let total = Money { amount_minor: 1, currency: domain::Currency::EUR };
    event(n, OrderPlaced { lines, total, payment_method: "pm".into() })
}
fn shipped(n: u32, items: &[(&str, u32)]) -> CloudEvent {
    event(n, OrderShipped { tracking_number: "OP1".into(), payment: PaymentRef("pi".into()), items: of(items) })
}
fn cancelled(n: u32, reason: CancelReason, items: Option<&[(&str, u32)]>) -> CloudEvent {
    event(n, OrderCancelled { reason, payment: None, items: items.map(of) })
}
/// The look after so many others.
fn look(looks: u32) -> Delivery {
    Delivery { message_id: "m".into(), attempt: 1, checks: looks, ..Delivery::default() }
}
/// The look after which an order does not wait any longer.
fn delivery() -> Delivery {
    look(LOOKS_MAX)
}

type Stocked = Inventory<Memory, Ticking>;

fn inventory(stock: &[(&str, u64)]) -> Stocked {
    Inventory { warehouse: Memory::new(stock), ambient: Ticking::default(), stock_wait: Duration::from_secs(60) }
}

impl Stocked {
    /// The answer in short: its type without version, and the second it carries; or the kind and type of the failure.
    async fn hear(&self, event: &CloudEvent) -> String {
        match self.handle(event, &delivery()).await {
            Ok(reply) => {
                let [only] = &reply.announcements[..] else { panic!("{reply:?}") };
                assert!(!only.again && reply.look_again_after.is_none());
                format!("{} at {}", only.event.event_type().stem(), only.time.as_second())
            }
            Err(failure) => format!("{:?} {}", failure.kind, failure.error_type),
        }
    }
    fn calls(&self) -> Vec<&'static str> {
        self.warehouse.calls.take()
    }
}

/// A warehouse that holds `record` for the order, and beside it 10 cups and 10 mugs less what the record took.
fn holding(record: Option<&State>) -> Stocked {
    let inventory = inventory(&[("CUP", 10), ("MUG", 10)]);
    if let Some(state) = record {
        inventory.warehouse.preset(order(ORDER), state.clone());
    }
    inventory
}
const ITEMS: &[(&str, u32)] = &[("CUP", 1), ("MUG", 2)];

fn states() -> Vec<State> {
    vec![
        State::Reserved { items: of(ITEMS), reserved_at: at(100) },
        State::Rejected { short: vec![sku("MUG")], rejected_at: at(200) },
        State::Committed { items: of(ITEMS), reserved_at: at(100), committed_at: at(300) },
        State::Released { released_at: at(400) },
        State::Closed { closed_at: at(500) },
    ]
}

/// The table of the design, cell for cell: the answer, and the record that is left. What a step writes now is stamped 1.
/// `order.cancelled` comes with every hint that shipping could have had, and with a wrong one.
#[tokio::test(start_paused = true)]
async fn every_cell_of_the_answer_table() {
    const BUG: (&str, &str) = ("Bug Impossible", "");
    let reserved = ("inventory.reserved at 100", "");
    let released = ("inventory.released at 400", "");
    let closed = ("inventory.released at 500", "");
    let table = [
        ("none", ("inventory.reserved", "reserved"), BUG, ("inventory.released", "closed")),
        ("reserved", reserved, ("inventory.committed", "committed"), ("inventory.released", "released")),
        ("rejected", ("inventory.rejected at 200", ""), BUG, ("inventory.released", "closed")),
        ("committed", reserved, ("inventory.committed at 300", ""), BUG),
        ("released", released, BUG, released),
        ("closed", closed, BUG, closed),
    ];
    let records = std::iter::once(None).chain(states().into_iter().map(Some));
    for (record, (name, on_placed, on_shipped, on_cancelled)) in records.zip(table) {
        let record = record.as_ref();
        assert_eq!(record.map_or("none", |state| Known::from(state).name()), name);
        let hints: [Option<&[(&str, u32)]>; 4] = [None, Some(ITEMS), Some(&[("CUP", 9)]), Some(&[("MUG", 2), ("CUP", 1)])];
        let mut cells = vec![(placed(ORDER, ITEMS), on_placed), (shipped(ORDER, ITEMS), on_shipped)];
        for reason in [CancelReason::OutOfStock, CancelReason::CustomerAsked] {
            cells.extend(hints.map(|hint| (cancelled(ORDER, reason, hint), on_cancelled)));
        }
        for (event, (answer, left)) in cells {
            let inventory = holding(record);
            let before = inventory.warehouse.units();
            let what = format!("{name} × {:?}", event.event);
            assert!(inventory.hear(&event).await.starts_with(answer), "{what}");
            let left = if left.is_empty() { name } else { left };
            assert_eq!(
                inventory.warehouse.state_of(order(ORDER)).as_ref().map_or("none", |state| Known::from(state).name()),
                left,
                "{what}"
            );
            assert_eq!(inventory.warehouse.units(), before, "{what}: no unit came or went");
            let still_out = matches!(left, "reserved" | "committed");
            assert_eq!(inventory.warehouse.available("MUG"), Some(if still_out { 8 } else { 10 }), "{what}");
            assert!(inventory.calls().len() <= DECISIONS_MAX, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_happy_path_is_one_transaction_or_update_and_no_read() {
    let inventory = inventory(&[("CUP", 10), ("MUG", 10), ("LAMP", 0)]);
    for (event, answer, calls) in [
        (placed(1, ITEMS), "inventory.reserved", "reserve"),
        (shipped(1, ITEMS), "inventory.committed", "commit"),
        (placed(2, ITEMS), "inventory.reserved", "reserve"),
        (cancelled(2, CancelReason::PaymentDeclined, Some(ITEMS)), "inventory.released", "release"),
        (cancelled(3, CancelReason::CustomerAsked, None), "inventory.released", "close"),
    ] {
        assert!(inventory.hear(&event).await.starts_with(answer));
        assert_eq!(inventory.calls(), [calls]);
    }
    assert!(inventory.hear(&placed(4, &[("LAMP", 1)])).await.starts_with("inventory.rejected"));
    assert_eq!(inventory.calls(), ["reserve", "reject"], "out of stock is one more, and it creates");
    assert!(inventory.hear(&cancelled(4, CancelReason::OutOfStock, None)).await.starts_with("inventory.released"));
    assert_eq!(inventory.calls(), ["close"], "none or rejected: one update fits both");
}

/// Ten units that an order holds which is not paid: an honest order waits, and has them when they come back.
#[tokio::test(start_paused = true)]
async fn an_order_waits_for_units_that_another_one_gives_back() {
    let inventory = inventory(&[("MUG", 10)]);
    assert!(inventory.hear(&placed(1, &[("MUG", 10)])).await.starts_with("inventory.reserved"));
    for looks in 0..3 {
        let reply = inventory.handle(&placed(2, &[("MUG", 1)]), &look(looks)).await.unwrap();
        assert_eq!(reply, Reply { announcements: vec![], look_again_after: Some(Duration::from_secs(5)) });
        assert_eq!(inventory.warehouse.state_of(order(2)), None, "nothing is written while it waits");
    }
    assert_eq!(inventory.calls(), ["reserve"; 4]);
    inventory.hear(&cancelled(1, CancelReason::PaymentDeclined, Some(&[("MUG", 10)]))).await;
    let reply = inventory.handle(&placed(2, &[("MUG", 1)]), &look(3)).await.unwrap();
    assert_eq!((reply.announcements[0].event.event_type().stem(), reply.look_again_after), ("inventory.reserved", None));
    assert_eq!(inventory.warehouse.available("MUG"), Some(9));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_cancelled_while_it_waits_stays_so() {
    let inventory = inventory(&[("MUG", 0)]);
    let waiting = placed(1, &[("MUG", 1)]);
    assert!(inventory.handle(&waiting, &look(0)).await.unwrap().look_again_after.is_some());
    let closed = inventory.hear(&cancelled(1, CancelReason::CustomerAsked, None)).await;
    let reply = inventory.handle(&waiting, &look(1)).await.unwrap();
    assert_eq!((reply.announcements[0].event.event_type().stem(), reply.look_again_after), ("inventory.released", None));
    assert!(closed.starts_with("inventory.released"), "{closed}");
}

#[tokio::test(start_paused = true)]
async fn a_rejection_names_what_is_short_and_takes_nothing() {
    let inventory = inventory(&[("CUP", 10), ("LAMP", 0), ("MUG", 1)]);
    let reply = inventory.handle(&placed(1, &[("CUP", 1), ("GONE", 1), ("LAMP", 1), ("MUG", 2)]), &delivery()).await.unwrap();
    let Event::InventoryRejected(rejected) = &reply.announcements[0].event else { panic!("{reply:?}") };
    assert_eq!(rejected.short, ["GONE", "LAMP", "MUG"].map(sku), "a row that does not exist has none, too");
    assert_eq!(inventory.warehouse.available("CUP"), Some(10));
    assert_eq!(inventory.warehouse.available("GONE"), None);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_comes_twice_is_reserved_once_with_the_sum() {
    let inventory = inventory(&[("CUP", 10), ("MUG", 10)]);
    let reply = inventory.handle(&placed(1, &[("MUG", 2), ("CUP", 1), ("MUG", 3)]), &delivery()).await.unwrap();
    assert_eq!(reply.announcements[0].event, InventoryReserved { items: of(&[("CUP", 1), ("MUG", 5)]) }.into());
    assert_eq!(inventory.warehouse.available("MUG"), Some(5));
    let hint: &[(&str, u32)] = &[("MUG", 2), ("CUP", 1), ("MUG", 3)];
    assert!(inventory.hear(&cancelled(1, CancelReason::CustomerAsked, Some(hint))).await.starts_with("inventory.released"));
    assert_eq!((inventory.warehouse.available("MUG"), inventory.calls()), (Some(10), vec!["reserve", "release"]));
}

#[tokio::test(start_paused = true)]
async fn what_can_never_fit_one_transaction_is_parked() {
    let codes: Vec<_> = (0..=SKUS_MAX).map(|n| format!("S{n}")).collect();
    let lines: Vec<_> = codes.iter().map(|code| (code.as_str(), 1)).collect();
    let stock: Vec<_> = codes.iter().map(|code| (code.as_str(), 1)).collect();
    let inventory = inventory(&stock);
    assert_eq!(inventory.hear(&placed(1, &lines)).await, "Permanent TooManySkus");
    assert_eq!(inventory.hear(&placed(1, &[("CUP", u32::MAX), ("CUP", 1)])).await, "Permanent TooManyUnits");
    assert!(inventory.calls().is_empty());
    assert!(inventory.hear(&placed(1, &lines[1..])).await.starts_with("inventory.reserved"), "99 fit");
}

#[tokio::test(start_paused = true)]
async fn an_event_for_somebody_else_is_parked() {
    let inventory = inventory(&[]);
    assert_eq!(inventory.hear(&event(1, PaymentDeclined { code: "no".into() })).await, "Permanent NotForThisStage");
    let subject = Subject::Customer("fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9".parse().unwrap());
    assert_eq!(inventory.hear(&CloudEvent { subject, ..placed(1, ITEMS) }).await, "Permanent NotAnOrder");
}

#[tokio::test(start_paused = true)]
async fn a_row_that_was_deleted_gets_its_units_back() {
    let inventory = inventory(&[("MUG", 2)]);
    assert!(inventory.hear(&placed(1, &[("MUG", 2)])).await.starts_with("inventory.reserved"));
    inventory.warehouse.stock.borrow_mut().clear();
    assert!(inventory.hear(&cancelled(1, CancelReason::CustomerAsked, Some(&[("MUG", 2)]))).await.starts_with("inventory.released"));
    assert_eq!(inventory.warehouse.available("MUG"), Some(2));
}

/// Every event, and a cut after every write and before it: the redelivery gives the answer of the uncut run, and stock
/// and record end the same.
#[tokio::test(start_paused = true)]
async fn a_crash_before_or_after_any_write_changes_nothing() {
    let histories: [&[CloudEvent]; 4] = [
        &[placed(1, ITEMS), shipped(1, ITEMS)],
        &[placed(1, ITEMS), cancelled(1, CancelReason::PaymentDeclined, Some(ITEMS))],
        &[placed(1, &[("LAMP", 1)]), cancelled(1, CancelReason::OutOfStock, None)],
        &[cancelled(1, CancelReason::TimedOut, None), placed(1, ITEMS)],
    ];
    let warehouse = || inventory(&[("CUP", 10), ("LAMP", 0), ("MUG", 10)]);
    let stem = |answer: &str| answer.split(' ').next().unwrap().to_owned();
    for history in histories {
        let smooth = warehouse();
        let mut answers = Vec::new();
        for event in history {
            answers.push(stem(&smooth.hear(event).await));
        }
        // Each event is heard four times, so a cut may meet a first delivery or a later one.
        for cut in 0..smooth.calls().len() * 4 {
            for fault in [Fault::CrashBefore, Fault::CrashAfter] {
                let rough = warehouse();
                rough.warehouse.plan(cut, fault);
                for (event, expected) in history.iter().zip(&answers) {
                    let mut heard = Vec::new();
                    for _ in 0..4 {
                        heard.push(rough.hear(event).await);
                    }
                    heard.retain(|answer| answer != "Transient Crash");
                    assert!(heard.len() >= 3 && stem(&heard[0]) == *expected, "{fault:?} at write {cut} of {history:?}: {heard:?}");
                    assert!(heard.iter().all(|answer| *answer == heard[0]), "the same answer with the same time, however often: {heard:?}");
                }
                assert_eq!(*rough.warehouse.stock.borrow(), *smooth.warehouse.stock.borrow());
                let kind = |inventory: &Stocked| inventory.warehouse.state_of(order(1)).map(|state| Known::from(&state));
                assert_eq!(kind(&rough), kind(&smooth));
            }
        }
    }
}

#[test]
fn records_that_share_a_sku_are_kept_apart_where_rows_are_written() {
    let inventory = inventory(&[]);
    assert_eq!(inventory.contends_for(&placed(1, &[("MUG", 1), ("CUP", 1)])), ["CUP", "MUG"]);
    assert_eq!(inventory.contends_for(&cancelled(1, CancelReason::TimedOut, Some(ITEMS))), ["CUP", "MUG"]);
    assert!(inventory.contends_for(&cancelled(1, CancelReason::TimedOut, None)).is_empty());
    assert!(inventory.contends_for(&shipped(1, ITEMS)).is_empty(), "committing touches the reservation alone");
}

#[test]
fn waits_double_and_stay_below_their_bound() {
    for (retry, longest) in [(0, 10), (1, 20), (4, 160)] {
        assert_eq!(jitter(retry, 0), Duration::ZERO, "full jitter starts at nothing");
        assert_eq!(jitter(retry, longest * 1000), Duration::from_millis(longest));
        assert!((0..1000).all(|n| jitter(retry, n * 7919) <= Duration::from_millis(longest)));
    }
}

fn image(state: State) -> Attributes {
    item(&domain::inventory::Reservation { order_id: order(1), state }).unwrap()
}

/// The order in which a cancelled transaction is read, with reasons that contradict each other.
#[test]
fn a_cancelled_transaction_is_read_reservation_first_then_conflicts_then_stock() {
    let [reserved, ..] = &states()[..] else { panic!() };
    let read = |fates: &[Fate]| warehouse::after_reserving(Transacted::Cancelled(fates.to_vec()), reserved.clone(), &of(ITEMS));
    let failed = || Fate::ConditionFailed(None);
    let old = Fate::ConditionFailed(Some(image(reserved.clone())));
    let stored = Attempt::Through(Taken::Decided(Updated::Refused(Some(reserved.clone()))));
    assert_eq!(read(&[old.clone(), failed(), failed()]).unwrap(), stored, "the order itself took the last units");
    assert_eq!(read(&[old, Fate::Contended, failed()]).unwrap(), stored);
    assert_eq!(read(&[Fate::Contended, failed(), Fate::Fine]).unwrap(), Attempt::Contended, "whose reservation that will be is open");
    assert_eq!(read(&[Fate::Fine, Fate::Contended, failed()]).unwrap(), Attempt::Contended, "what is short may be coming back");
    assert_eq!(read(&[Fate::Fine, failed(), Fate::Fine]).unwrap(), Attempt::Through(Taken::Short(vec![sku("CUP")])));
    let refused = read(&[Fate::Fine, Fate::Refused("ValidationError".into()), failed()]).unwrap_err();
    assert_eq!((refused.kind, refused.error_type.as_str()), (Kind::Bug, "ValidationError"));
    assert_eq!(read(&[]).unwrap_err().kind, Kind::Transient, "cancelled, and nothing says why");
    let unreadable = Fate::ConditionFailed(Some(Attributes::new()));
    assert_eq!(read(&[unreadable]).unwrap_err().kind, Kind::Bug, "a record that this build cannot read");

    let released =
        |fates: &[Fate]| warehouse::after_releasing(Transacted::Cancelled(fates.to_vec()), State::Released { released_at: at(1) });
    assert_eq!(released(&[failed(), Fate::Fine]).unwrap(), Attempt::Through(Updated::Refused(None)));
    assert_eq!(released(&[Fate::Fine, Fate::Contended]).unwrap(), Attempt::Contended);
    assert_eq!(released(&[Fate::Fine, failed()]).unwrap_err().kind, Kind::Bug);
}
