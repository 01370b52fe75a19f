//! The commands over ports in memory.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use domain::{Event, EventType, Timestamp, tracking::Fact, uncollected::Uncollected};
use lambda_kit::{message::Outgoing, publish::PublishError};
use serde_json::{Value, json};
use std::{cell::Cell, cell::RefCell, collections::BTreeMap};

const ID: &str = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";
const NOW: &str = "2026-05-24T10:11:12Z";

/// Everything outside the function.
#[derive(Default)]
struct World {
    orders: RefCell<BTreeMap<OrderId, Order>>,
    payments: RefCell<BTreeMap<OrderId, CollectionState>>,
    published: RefCell<Vec<Outgoing>>,
    archive: RefCell<Vec<(String, Value)>>,
    /// Whether the topic refuses.
    is_mute: Cell<bool>,
    /// Whether the archive refuses.
    is_full: Cell<bool>,
}

impl Orders for &World {
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        Ok(self.orders.borrow().get(id).cloned())
    }
}
impl Payments for &World {
    async fn unsettled(&self, most: usize) -> Result<Unsettled, Failure> {
        let payments = self.payments.borrow();
        let open = payments.values().filter_map(|standing| match standing {
            CollectionState::Unsettled(payment) => Some(payment.clone()),
            _ => None,
        });
        Ok(Unsettled { payments: open.take(most).collect(), complete: true })
    }
    async fn find(&self, id: &OrderId) -> Result<CollectionState, Failure> {
        Ok(self.payments.borrow().get(id).cloned().unwrap_or(CollectionState::Missing))
    }
    async fn settle(&self, id: &OrderId, settlement: &Settlement) -> Result<Written, Failure> {
        let standing = Payments::find(self, id).await?;
        let CollectionState::Unsettled(payment) = standing else { return Ok(Written::Refused(standing)) };
        let payment = Uncollected { settlement: Some(settlement.clone()), ..payment };
        self.payments.borrow_mut().insert(*id, CollectionState::Settled(payment.clone()));
        Ok(Written::Now(payment))
    }
}
impl Publisher for &World {
    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), PublishError>> {
        if self.is_mute.get() {
            return batch.iter().map(|_| Err(PublishError { code: "KMSAccessDenied".into(), message: "no".into() })).collect();
        }
        self.published.borrow_mut().extend(batch.iter().cloned());
        batch.iter().map(|_| Ok(())).collect()
    }
}
impl Archive for &World {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        if self.is_full.get() {
            return Err(Failure::transient("AccessDenied", "PutObject failed"));
        }
        self.archive.borrow_mut().push((key.to_owned(), serde_json::from_slice(&bytes).unwrap()));
        Ok(())
    }
}
impl Ambient for &World {
    fn now(&self) -> Timestamp {
        NOW.parse().unwrap()
    }
    fn random(&self) -> u64 {
        7
    }
}

impl World {
    async fn asks(&self, command: Value) -> Answer {
        self.asks_with(Power::Change, command).await
    }
    async fn asks_with(&self, power: Power, command: Value) -> Answer {
        let operator = Operator { orders: self, payments: self, topic: self, archive: self, ambient: self };
        operator.handle(json!({"by": "ada", "command": command}), "r-1", power).await
    }
    fn places(&self) -> Order {
        let order = testkit::order::order(ID);
        self.orders.borrow_mut().insert(order.order_id, order.clone());
        order
    }
    fn never_collects(&self) -> Uncollected {
        let json = json!({
            "order_id": ID, "payment": "pi_1", "amount": {"amount_minor": 2400, "currency": "EUR"}, "capture_code": "expired",
            "uncollected_at": "2026-05-09T08:00:00Z"
        });
        let payment: Uncollected = serde_json::from_value(json).unwrap();
        self.payments.borrow_mut().insert(payment.order_id, CollectionState::Unsettled(payment.clone()));
        payment
    }
    /// Phase and outcome of each audit record.
    fn audits(&self) -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        self.archive.borrow().iter().map(|(_, record)| (text(&record["phase"]), text(&record["outcome"]))).collect()
    }
}

fn act(reason: &str) -> Value {
    json!({"order_id": ID, "reason": reason})
}

fn refusal(answer: Answer) -> String {
    match answer {
        Answer::Refused(refusal) => refusal.error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_alias_to_look_lists_and_dry_runs_only() {
    let world = World::default();
    world.places();
    world.never_collects();
    for command in ["nudge", "settle"] {
        let act = |dry_run: bool| json!({command: {"order_id": ID, "reason": "because", "dry_run": dry_run}});
        let Answer::Refused(refusal) = world.asks_with(Power::Look, act(false)).await else { panic!("{command} was carried out") };
        assert_eq!(refusal.error, "MayOnlyLook");
        assert!(!matches!(world.asks_with(Power::Look, act(true)).await, Answer::Refused(_) | Answer::Failed(_)), "{command}");
    }
    assert!(matches!(world.asks_with(Power::Look, json!({"uncollected": {}})).await, Answer::Uncollected(_)));
    assert!(world.archive.borrow().is_empty() && world.published.borrow().is_empty());
}

#[tokio::test]
async fn a_nudge_publishes_the_order_again_and_is_audited() {
    let (world, order) = (World::default(), testkit::order::order(ID));
    world.places();
    let Answer::Nudged(nudged) = world.asks(json!({"nudge": act("stuck")})).await else { panic!() };
    assert_eq!((nudged.order_id, nudged.dry_run), (order.order_id, false));
    let published = world.published.borrow();
    let [message] = published.as_slice() else { panic!("{published:?}") };
    let event = CloudEvent::parse(&message.body).unwrap();
    assert_eq!((event.source.as_str(), event.time, &event.event), ("/operator", order.received_at, &Event::from(order.placed())));
    // Every consumer hears it, order-deadline too, and the topic has not seen its deduplication id.
    assert_eq!(message.attributes, [("type", "order.placed.v1".to_owned())]);
    assert_ne!(message.deduplication_id, event.id());
    assert_eq!(world.audits(), [("begun".into(), String::new()), ("ended".into(), "published".into())]);
    let (key, record) = world.archive.borrow()[0].clone();
    assert_eq!(key, "audit/2026-05-24/1779617472000-r-1-begun.json");
    assert_eq!((&record["by"], &record["reason"], &record["order_id"]), (&json!("ada"), &json!("stuck"), &json!(ID)));
}

#[tokio::test]
async fn an_order_that_is_missing_or_has_ended_is_not_nudged() {
    let world = World::default();
    assert_eq!(refusal(world.asks(json!({"nudge": act("stuck")})).await), "NoSuchOrder");
    let mut order = world.places();
    for event_type in [EventType::PaymentVoided, EventType::InventoryReleased] {
        order.facts.insert(event_type, Fact { at: order.received_at, reason: None, tracking_number: None });
    }
    world.orders.borrow_mut().insert(order.order_id, order);
    let answer = world.asks(json!({"nudge": act("stuck")})).await;
    let Answer::Refused(ended) = answer else { panic!("{answer:?}") };
    assert_eq!(ended.message, format!("Order {ID} has ended: it is cancelled."));
    assert_eq!((world.published.borrow().len(), world.audits().len()), (0, 0), "nothing was changed");
}

#[tokio::test]
async fn a_payment_is_settled_once_and_the_first_settlement_stays() {
    let world = World::default();
    world.never_collects();
    let Answer::Uncollected(listed) = world.asks(json!({"uncollected": {}})).await else { panic!() };
    assert_eq!((listed.payments.len(), listed.complete), (1, true));
    let Answer::Settled(first) = world.asks(json!({"settle": act("paid by transfer")})).await else { panic!() };
    let settlement = first.payment.settlement.unwrap();
    assert_eq!((settlement.settled_by.as_str(), settlement.settled_reason.as_str()), ("ada", "paid by transfer"));
    assert!(!first.before);
    let Answer::Settled(second) = world.asks(json!({"settle": act("written off")})).await else { panic!() };
    assert!(second.before && second.payment.settlement.is_some_and(|it| it.settled_reason == "paid by transfer"));
    let outcomes: Vec<_> = world.audits().into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes, ["", "settled", "", "settled before"]);
    let Answer::Uncollected(listed) = world.asks(json!({"uncollected": {}})).await else { panic!() };
    assert_eq!(listed.payments, []);
}

#[tokio::test]
async fn what_is_not_uncollected_is_not_settled() {
    let world = World::default();
    assert_eq!(refusal(world.asks(json!({"settle": act("?")})).await), "NoSuchPayment");
    world.payments.borrow_mut().insert(ID.parse().unwrap(), CollectionState::Other("captured".into()));
    let answer = world.asks(json!({"settle": act("?")})).await;
    let Answer::Refused(captured) = answer else { panic!("{answer:?}") };
    assert!(captured.message.contains("captured, not uncollected"), "{}", captured.message);
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_is_not_audited() {
    let world = World::default();
    world.places();
    world.never_collects();
    let dry = json!({"order_id": ID, "reason": "try", "dry_run": true});
    let Answer::Settled(settled) = world.asks(json!({"settle": dry})).await else { panic!() };
    let Answer::Nudged(nudged) = world.asks(json!({"nudge": dry})).await else { panic!() };
    assert!(settled.dry_run && nudged.dry_run && settled.payment.settlement.is_none());
    assert_eq!((world.published.borrow().len(), world.audits().len()), (0, 0));
    assert!(matches!(world.payments.borrow().values().next(), Some(CollectionState::Unsettled(_))));
}

#[tokio::test]
async fn nothing_is_changed_without_a_reason_or_an_audit_record() {
    let world = World::default();
    world.places();
    world.never_collects();
    for command in ["settle", "nudge"] {
        assert_eq!(refusal(world.asks(json!({ command: act("  ") })).await), "NoReason");
        assert_eq!(refusal(world.asks(json!({ command: act("\u{200b}") })).await), "NoReason");
        assert_eq!(refusal(world.asks(json!({ command: act(&"x".repeat(REASON_MAX + 1)) })).await), "ReasonTooLong");
        assert_eq!(refusal(world.asks(json!({ command: {"order_id": ID, "reason": "r", "dryrun": true} })).await), "InvalidRequest");
        assert_eq!(refusal(world.asks(json!({ command: {"order_id": "7", "reason": "r"} })).await), "InvalidRequest");
    }
    world.is_full.set(true);
    for command in ["settle", "nudge"] {
        let answer = world.asks(json!({ command: act("stuck") })).await;
        let Answer::Failed(failed) = answer else { panic!("{answer:?}") };
        assert!(failed.message.contains("role may not do this"), "{}", failed.message);
    }
    assert_eq!(world.published.borrow().len(), 0);
    assert!(matches!(world.payments.borrow().values().next(), Some(CollectionState::Unsettled(_))));
}

#[tokio::test]
async fn a_refused_announcement_is_a_failure_with_its_reason() {
    let world = World::default();
    world.places();
    world.is_mute.set(true);
    let answer = world.asks(json!({"nudge": act("stuck")})).await;
    let Answer::Failed(failed) = answer else { panic!("{answer:?}") };
    assert_eq!(failed.error, "KMSAccessDenied");
    assert_eq!(world.audits()[1], ("ended".into(), "KMSAccessDenied".into()));
}
