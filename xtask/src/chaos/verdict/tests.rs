//! Each way an order can end wrong, and the sentence of the verdict.

use super::*;
use crate::chaos::plan::Planned;
use std::time::Duration;
use testkit::shop::VISA;

fn order(twist: Twist) -> Accepted {
    let payment_method = if twist == Twist::Declined { DECLINED } else { VISA };
    let planned = Planned { key: String::new(), lines: vec![("CHAOS-CUP", 2)], payment_method, twist, pause: Duration::ZERO };
    Accepted { order_id: "o".into(), planned }
}
fn paid(id: &str, status: &str, amount_minor: i64) -> Payment {
    Payment { id: id.into(), order_id: "o".into(), status: status.into(), amount_minor }
}
fn seen(status: &str, events: &[&str], reason: &str) -> Value {
    json!({"status": status, "timeline": events.iter().map(|event| json!({"event": event, "reason": reason})).collect::<Vec<_>>()})
}
fn shipped() -> Records {
    Records {
        seen: seen("completed", &["order.shipped", "payment.captured", "inventory.committed"], ""),
        payment: Some(json!({"state": "captured", "payment": "pi_1"})),
        reservation: Some(json!({"state": "committed", "items": [{"sku": "CHAOS-CUP", "quantity": 2}]})),
        shipment: Some(json!({"facts": [{"fact": "reserved"}, {"fact": "authorized"}]})),
        book: vec![paid("pi_1", "succeeded", 2400), paid("pi_2", Payment::UNCONFIRMED, 2400)],
    }
}
fn cancelled(reason: &str) -> Records {
    Records {
        seen: seen("cancelled", &["order.cancelled", "payment.voided", "inventory.released"], reason),
        payment: Some(json!({"state": "voided", "payment": "pi_1"})),
        reservation: Some(json!({"state": "closed"})),
        shipment: None,
        book: vec![paid("pi_1", "canceled", 2400)],
    }
}

#[test]
fn the_expected_ends_are_accepted() {
    assert_eq!(judge(&order(Twist::Good), &shipped()), Vec::<String>::new());
    let cancels = Twist::Cancels(Duration::ZERO);
    for (twist, reason) in
        [(Twist::Declined, "payment_declined"), (Twist::LastUnits, "out_of_stock"), (cancels, "customer_asked"), (Twist::Good, "timed_out")]
    {
        assert_eq!(judge(&order(twist), &cancelled(reason)), Vec::<String>::new());
    }
}

/// A way to break what is right.
type Breakage = fn(&mut Records);

#[test]
fn every_broken_promise_is_found() {
    let shipped_and: [Breakage; 10] = [
        |r| r.book[1] = paid("pi_2", "succeeded", 2400),
        |r| r.book[1] = paid("pi_2", "requires_capture", 2400),
        |r| r.book[1] = paid("pi_2", "canceled", 2400),
        |r| r.book[0] = paid("pi_1", "succeeded", 2399),
        |r| r.book.clear(),
        |r| r.payment = Some(json!({"state": "authorized", "payment": "pi_1"})),
        |r| r.reservation = Some(json!({"state": "committed", "items": [{"sku": "CHAOS-CUP", "quantity": 3}]})),
        |r| r.reservation = Some(json!({"state": "reserved", "items": [{"sku": "CHAOS-CUP", "quantity": 2}]})),
        |r| r.shipment = Some(json!({"facts": [{"fact": "reserved"}]})),
        |r| r.seen = seen("shipped", &["order.shipped", "payment.captured"], ""),
    ];
    for (place, breakage) in shipped_and.iter().enumerate() {
        let mut records = shipped();
        breakage(&mut records);
        assert!(!judge(&order(Twist::Good), &records).is_empty(), "the breakage at {place} goes unseen");
    }
    let cancelled_and: [Breakage; 5] = [
        |r| r.book[0] = paid("pi_1", "requires_capture", 2400),
        |r| r.book[0] = paid("pi_1", "succeeded", 2400),
        |r| r.payment = Some(json!({"state": "claimed", "payment": "pi_1"})),
        |r| r.reservation = Some(json!({"state": "reserved", "items": [{"sku": "CHAOS-CUP", "quantity": 2}]})),
        |r| r.seen = seen("cancelled", &["order.shipped", "order.cancelled", "payment.voided", "inventory.released"], "timed_out"),
    ];
    for (place, breakage) in cancelled_and.iter().enumerate() {
        let mut records = cancelled("timed_out");
        breakage(&mut records);
        assert!(!judge(&order(Twist::Good), &records).is_empty(), "the breakage at {place} goes unseen");
    }
}

#[test]
fn faults_name_money_with_its_currency() {
    let mut records = shipped();
    records.book[0] = paid("pi_1", "succeeded", 2399);
    let faults = judge(&order(Twist::Good), &records);
    assert_eq!(faults, ["24.00 EUR is due, and charged is pi_1 succeeded, 23.99 EUR"]);
    assert!(records.to_string().contains("book         pi_1 succeeded, 23.99 EUR"), "{records}");
    records.book = vec![paid("pi_1", "requires_capture", 2400)];
    let faults = judge(&order(Twist::Good), &records);
    assert_eq!(faults, ["pi_1 requires_capture, 24.00 EUR is still held", "24.00 EUR is due, and charged is nothing"]);
}

#[test]
fn an_end_must_have_its_cause() {
    for (twist, records) in [
        (Twist::Declined, shipped()),
        (Twist::OutOfStock, shipped()),
        (Twist::Good, cancelled("payment_declined")),
        (Twist::Good, cancelled("out_of_stock")),
        (Twist::SendsTwice, cancelled("customer_asked")),
        (Twist::Good, cancelled("authorization_expiring")),
    ] {
        assert_eq!(judge(&order(twist), &records).len(), 1, "{twist:?}");
    }
}

#[test]
fn stock_that_does_not_add_up_is_found() {
    let plan = Plan { orders: vec![], goods: BTreeMap::from([("CUP", (1, 10))]) };
    let reservation = |state: &str| json!({"state": state, "items": [{"sku": "CUP", "quantity": 3}]});
    let reservations = BTreeMap::from([
        ("a".to_owned(), reservation("reserved")),
        ("b".to_owned(), reservation("committed")),
        ("c".to_owned(), reservation("released")),
    ]);
    assert_eq!(stock(&plan, &BTreeMap::from([("CUP", 4)]), &reservations), Vec::<String>::new());
    for available in [3, 5] {
        assert_eq!(stock(&plan, &BTreeMap::from([("CUP", available)]), &reservations).len(), 1);
    }
}
