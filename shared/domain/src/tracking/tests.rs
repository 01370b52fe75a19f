//! What is shown of an order, whatever order its events come in.

use super::*;
use EventType as T;

fn at(second: i64) -> Fact {
    Fact { at: Timestamp::from_second(second).unwrap(), reason: None, tracking_number: None }
}
fn facts(types: &[EventType]) -> Facts {
    let mut facts = Facts::default();
    for (second, event_type) in types.iter().enumerate() {
        facts.insert(*event_type, at(second as i64));
    }
    facts
}
/// Every history that the saga allows, in its usual order.
const HISTORIES: &[(&[EventType], Status)] = &[
    (
        &[T::OrderPlaced, T::PaymentAuthorized, T::InventoryReserved, T::OrderShipped, T::PaymentCaptured, T::InventoryCommitted],
        Status::Completed,
    ),
    (
        &[T::OrderPlaced, T::InventoryReserved, T::PaymentAuthorized, T::OrderShipped, T::InventoryCommitted, T::PaymentCaptureFailed],
        Status::Uncollected,
    ),
    (
        &[T::OrderPlaced, T::PaymentDeclined, T::InventoryReserved, T::OrderCancelled, T::PaymentVoided, T::InventoryReleased],
        Status::Cancelled,
    ),
    (
        &[T::OrderPlaced, T::PaymentAuthorized, T::InventoryRejected, T::OrderCancelled, T::PaymentVoided, T::InventoryReleased],
        Status::Cancelled,
    ),
];

fn permutations(of: &[EventType]) -> Vec<Vec<EventType>> {
    if of.is_empty() {
        return vec![vec![]];
    }
    let without = |i: usize| [&of[..i], &of[i + 1..]].concat();
    (0..of.len()).flat_map(|i| permutations(&without(i)).into_iter().map(move |rest| [vec![of[i]], rest].concat())).collect()
}

#[test]
fn whatever_the_order_of_arrival_the_status_never_moves_backwards() {
    for (history, end) in HISTORIES {
        for arrival in permutations(history) {
            let mut last = Status::Received;
            for n in 0..=arrival.len() {
                let status = facts(&arrival[..n]).status();
                assert!(status >= last, "{last:?} became {status:?} in {arrival:?}");
                last = status;
            }
            assert_eq!(last, *end);
        }
    }
}

#[test]
fn a_fact_implies_the_decision_it_follows_from() {
    for (alone, status) in [
        (T::PaymentAuthorized, Status::Processing),
        (T::OrderShipped, Status::Shipped),
        (T::PaymentCaptured, Status::Shipped),
        (T::InventoryCommitted, Status::Shipped),
        (T::PaymentCaptureFailed, Status::Uncollected),
        (T::OrderCancelled, Status::Cancelled),
        (T::PaymentVoided, Status::Cancelled),
        (T::InventoryReleased, Status::Cancelled),
    ] {
        assert_eq!(facts(&[alone]).status(), status, "{alone}, and all before it was lost");
    }
}

#[test]
fn a_fact_says_when_and_what_a_customer_asks_about() {
    use crate::event::{CancelRequest, CustomerSignedUp, OrderCancelRequested, OrderCancelled, OrderShipped, PaymentRef, PaymentVoided};
    let plain = at(7);
    let shipped = OrderShipped { tracking_number: "OP1".into(), payment: PaymentRef("pi_1".into()), items: vec![] };
    let cancelled = OrderCancelled { reason: CancelReason::OutOfStock, payment: None, items: None };
    for (event, fact) in [
        (shipped.into(), Some(Fact { tracking_number: Some("OP1".into()), ..plain.clone() })),
        (cancelled.into(), Some(Fact { reason: Some(CancelReason::OutOfStock), ..plain.clone() })),
        (PaymentVoided {}.into(), Some(plain.clone())),
        (CustomerSignedUp { marketing_consent: true }.into(), None),
        (OrderCancelRequested { reason: CancelRequest::CustomerAsked }.into(), None),
    ] {
        assert_eq!(Fact::from_event(&event, plain.at), fact, "{event:?}");
    }
}

#[test]
fn an_order_has_ended_when_both_stages_have_said_so() {
    for (history, _) in HISTORIES {
        assert!(facts(history).ended());
        assert!(!facts(&history[..history.len() - 1]).ended(), "{history:?} without its last");
    }
    assert!(facts(&[T::PaymentVoided, T::InventoryReleased]).ended(), "even if `order.cancelled` itself was lost");
    assert!(!facts(&[T::PaymentCaptured]).ended());
}

#[test]
fn a_fact_is_kept_as_it_was_first_heard() {
    let mut facts = Facts::default();
    facts.insert(T::OrderPlaced, at(1));
    facts.insert(T::OrderPlaced, at(2));
    assert_eq!(facts.placed, Some(at(1)));
    assert!(!facts.any_stage_answered());
    facts.insert(T::InventoryRejected, at(3));
    assert!(facts.any_stage_answered());
}

#[test]
fn the_timeline_is_in_order_of_time() {
    let mut facts = facts(&[T::PaymentCaptured]);
    facts.insert(T::OrderShipped, at(-1));
    facts.insert(T::OrderPlaced, at(-2));
    let stems: Vec<_> = facts.timeline().into_iter().map(|(stem, _)| stem).collect();
    assert_eq!(stems, ["order.placed", "order.shipped", "payment.captured"]);
}

#[test]
fn attributes_are_named_by_the_type_without_its_version() {
    for event_type in EventType::ALL {
        let mut facts = Facts::default();
        facts.insert(*event_type, at(1));
        let json = serde_json::to_value(&facts).unwrap();
        match event_type {
            T::CustomerSignedUp | T::OrderCancelRequested => assert_eq!(json, serde_json::json!({})),
            _ => assert!(json.get(event_type.stem()).is_some(), "{event_type}"),
        }
    }
}
