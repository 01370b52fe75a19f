//! Order-tracking, driven through `handle` against facts in memory.

use super::*;
use domain::{
    Event, EventType, OrderId, Subject, Timestamp,
    event::{
        CancelReason, CancelRequest, CustomerSignedUp, InventoryReleased, InventoryReserved, OrderCancelRequested, OrderCancelled,
        OrderShipped, PaymentCaptured, PaymentDeclined, PaymentRef, PaymentVoided,
    },
    tracking::{Facts, Status},
};
use lambda_kit::Kind;
use std::cell::{Cell, RefCell};

const ORDER: &str = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";

/// One order's facts in memory: the first of each type stays.
#[derive(Default)]
struct Memory {
    facts: RefCell<Facts>,
    writes: Cell<usize>,
    dies_before: Cell<bool>,
    dies_after: Cell<bool>,
}

impl Timelines for Memory {
    async fn note(&self, order_id: &OrderId, event_type: EventType, fact: Fact) -> Result<(), Failure> {
        assert_eq!(order_id.to_string(), ORDER);
        let died = || Err(Failure::transient("Crash", "the process died"));
        self.writes.set(self.writes.get() + 1);
        if self.dies_before.take() {
            return died();
        }
        self.facts.borrow_mut().insert(event_type, fact);
        if self.dies_after.take() { died() } else { Ok(()) }
    }
}

fn tracking() -> OrderTracking<Memory> {
    OrderTracking { timelines: Memory::default() }
}

async fn hear(tracking: &OrderTracking<Memory>, event: impl Into<Event>, second: i64) -> Result<Reply, Failure> {
    let (subject, time) = (Subject::Order(ORDER.parse().unwrap()), Timestamp::from_second(second).unwrap());
    let event = CloudEvent { source: "/test".into(), subject, time, traceparent: None, event: event.into() };
    tracking.handle(&event, &Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() }).await
}

/// An order that was cancelled because its card was declined.
fn history() -> [Event; 5] {
    [
        PaymentDeclined { code: "card_declined".into() }.into(),
        InventoryReserved { items: vec![] }.into(),
        OrderCancelled { reason: CancelReason::PaymentDeclined, payment: None, items: None }.into(),
        PaymentVoided {}.into(),
        InventoryReleased {}.into(),
    ]
}

fn permutations(of: Vec<usize>) -> Vec<Vec<usize>> {
    if of.is_empty() {
        return vec![vec![]];
    }
    let without = |i: usize| of.iter().copied().filter(|other| *other != of[i]).collect();
    (0..of.len()).flat_map(|i| permutations(without(i)).into_iter().map(|rest| [vec![of[i]], rest].concat()).collect::<Vec<_>>()).collect()
}

#[tokio::test]
async fn facts_in_any_order_and_twice_make_the_same_timeline() {
    let arrive = async |arrival: &[usize]| {
        let tracking = tracking();
        for i in arrival {
            assert_eq!(hear(&tracking, history()[*i].clone(), *i as i64).await.unwrap(), Reply::nothing());
        }
        assert_eq!(tracking.timelines.writes.get(), arrival.len(), "one update an event, and nothing else");
        tracking.timelines.facts.into_inner()
    };
    let in_order = arrive(&[0, 1, 2, 3, 4]).await;
    assert_eq!((in_order.status(), in_order.timeline().len(), in_order.ended()), (Status::Cancelled, 5, true));
    for arrival in permutations((0..5).collect()) {
        assert_eq!(arrive(&arrival).await, in_order);
        assert_eq!(arrive(&[arrival.clone(), arrival].concat()).await, in_order);
    }
}

#[tokio::test]
async fn a_fact_stores_only_what_the_timeline_shows() {
    let tracking = tracking();
    let payment = PaymentRef("pi_secret".into());
    hear(&tracking, OrderShipped { tracking_number: "OP1".into(), payment, items: vec![] }, 7).await.unwrap();
    let amount = domain::Money { amount_minor: 1, currency: domain::Currency::EUR };
    hear(&tracking, PaymentCaptured { amount }, 9).await.unwrap();
    let facts = tracking.timelines.facts.into_inner();
    let at = |second| Timestamp::from_second(second).unwrap();
    assert_eq!(facts.shipped, Some(Fact { at: at(7), reason: None, tracking_number: Some("OP1".into()) }));
    assert_eq!(facts.captured, Some(Fact { at: at(9), reason: None, tracking_number: None }));
}

#[tokio::test]
async fn a_crash_before_or_after_the_write_changes_nothing() {
    for after in [false, true] {
        let tracking = tracking();
        let dies = if after { &tracking.timelines.dies_after } else { &tracking.timelines.dies_before };
        dies.set(true);
        assert_eq!(hear(&tracking, PaymentVoided {}, 3).await.unwrap_err().kind, Kind::Transient);
        assert_eq!(hear(&tracking, PaymentVoided {}, 3).await.unwrap(), Reply::nothing());
        assert_eq!(tracking.timelines.facts.borrow().voided.as_ref().unwrap().at.as_second(), 3);
    }
}

#[tokio::test]
async fn an_event_that_no_timeline_lists_is_parked() {
    let tracking = tracking();
    let asked: Event = OrderCancelRequested { reason: CancelRequest::CustomerAsked }.into();
    for event in [asked, CustomerSignedUp { marketing_consent: false }.into()] {
        let failure = hear(&tracking, event, 1).await.unwrap_err();
        assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Permanent, "NotForThisStage"));
    }
    let subject = Subject::Customer(ORDER.parse().unwrap());
    let event =
        CloudEvent { source: "/test".into(), subject, time: Timestamp::UNIX_EPOCH, traceparent: None, event: PaymentVoided {}.into() };
    let failure = tracking.handle(&event, &Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() }).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Permanent, "NotAnOrder"));
    assert_eq!(tracking.timelines.writes.get(), 0);
}
