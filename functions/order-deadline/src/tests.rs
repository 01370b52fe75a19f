//! What order-deadline does at which age of an order.

use super::*;
use domain::{EventType, Subject, Timestamp, event::CancelRequest, tracking::Fact};
use lambda_kit::Kind;

const ID: &str = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";
const HOUR: i64 = 3600;

struct Table(Option<Order>);
impl Orders for Table {
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        Ok(self.0.clone().filter(|order| order.order_id == *id))
    }
}

struct At(Timestamp);
impl Ambient for At {
    fn now(&self) -> Timestamp {
        self.0
    }
    fn random(&self) -> u64 {
        4
    }
}

fn received_at() -> Timestamp {
    "2026-05-04T10:11:12.345Z".parse().unwrap()
}

fn order(facts: &[EventType]) -> Order {
    let mut order = Order { received_at: received_at(), ..testkit::order::order(ID) };
    for event_type in facts {
        order.facts.insert(*event_type, Fact { at: received_at(), reason: None, tracking_number: None });
    }
    order
}

fn about(event: Event) -> CloudEvent {
    CloudEvent {
        source: "/order-intake".into(),
        subject: Subject::Order(ID.parse().unwrap()),
        time: received_at(),
        traceparent: None,
        event,
    }
}

/// In a check that comes in time.
async fn look_at(order: Option<Order>, age_s: i64) -> Result<Reply, Failure> {
    look_when_due(order, age_s, Some(0)).await
}

/// In a check that comes so many seconds after it was due; [`None`] is the first one.
async fn look_when_due(order: Option<Order>, age_s: i64, late_s: Option<i64>) -> Result<Reply, Failure> {
    let heard = about(self::order(&[]).placed().into());
    let at = |age_s| received_at().checked_add(SignedDuration::from_secs(age_s)).unwrap();
    let now = at(age_s);
    let delivery = Delivery { message_id: "m-1".into(), attempt: 1, due: late_s.map(|late_s| at(age_s - late_s)), ..Delivery::default() };
    let stage = OrderDeadline { orders: Table(order), ambient: At(now), deadlines: deadlines(900, 86_400, 172_800).unwrap() };
    stage.handle(&heard, &delivery).await
}

#[tokio::test]
async fn an_open_order_is_announced_again_and_checked_again() {
    for (age_s, again_s) in [(900, 900), (12 * HOUR, 3 * 3600), (22 * HOUR, 2 * 3600), (24 * HOUR - 1, 1)] {
        let reply = look_at(Some(order(&[EventType::OrderPlaced, EventType::PaymentAuthorized])), age_s).await.unwrap();
        let again = Announcement { event: order(&[]).placed().into(), time: received_at(), again: true };
        assert_eq!(reply, Reply { announcements: vec![again], look_again_after: Some(Duration::from_secs(again_s)) }, "{age_s}");
    }
}

#[tokio::test]
async fn after_a_day_the_customers_own_request_is_repeated() {
    let asked_at = received_at().checked_add(SignedDuration::from_hours(2)).unwrap();
    let order = Order { cancel_requested_at: Some(asked_at), ..order(&[EventType::OrderPlaced]) };
    let reply = look_at(Some(order), 25 * HOUR).await.unwrap();
    let asked = Announcement { event: OrderCancelRequested { reason: CancelRequest::CustomerAsked }.into(), time: asked_at, again: true };
    assert_eq!(reply.announcements, [asked]);
}

#[tokio::test]
async fn repeated_time_outs_have_one_time() {
    for (age_s, again_s) in [(24 * HOUR, 6 * 3600), (36 * HOUR, 9 * 3600), (48 * HOUR - 1, 1)] {
        let reply = look_at(Some(order(&[EventType::OrderPlaced])), age_s).await.unwrap();
        let time = received_at().checked_add(SignedDuration::from_hours(24)).unwrap();
        let asked = Announcement { event: OrderCancelRequested { reason: CancelRequest::TimedOut }.into(), time, again: true };
        assert_eq!(reply, Reply { announcements: vec![asked], look_again_after: Some(Duration::from_secs(again_s)) }, "{age_s}");
    }
}

#[tokio::test]
async fn after_two_days_it_is_parked_for_people() {
    let failure = look_at(Some(order(&[EventType::OrderPlaced])), 48 * HOUR).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Permanent, "OrderDidNotEnd"));
    assert!(!failure.chain().contains("Ada"));
}

#[tokio::test]
async fn a_redriven_check_publishes_once_and_checks_in_an_hour() {
    for (facts, publishes) in [
        (&[EventType::OrderPlaced][..], Event::from(OrderCancelRequested { reason: CancelRequest::TimedOut })),
        (&[EventType::OrderPlaced, EventType::OrderShipped], order(&[]).placed().into()),
    ] {
        for late_s in [None, Some(HOUR + 1)] {
            let reply = look_when_due(Some(order(facts)), 30 * 24 * HOUR, late_s).await.unwrap();
            let said: Vec<_> = reply.announcements.iter().map(|it| &it.event).collect();
            assert_eq!(said, [&publishes]);
            assert_eq!(reply.look_again_after, Some(Duration::from_secs(3600)));
        }
        let failure = look_at(Some(order(facts)), 30 * 24 * HOUR + HOUR).await.unwrap_err();
        assert_eq!(failure.error_type, "OrderDidNotEnd");
    }
}

#[tokio::test]
async fn an_order_that_ended_is_left_alone_at_any_age() {
    use EventType as T;
    for end in [
        &[T::PaymentCaptured, T::InventoryCommitted],
        &[T::PaymentCaptureFailed, T::InventoryCommitted],
        &[T::PaymentVoided, T::InventoryReleased],
    ] {
        for age_s in [0, 900, 24 * HOUR, 480 * HOUR] {
            assert_eq!(look_at(Some(order(end)), age_s).await.unwrap(), Reply::nothing(), "{end:?}");
        }
    }
}

#[tokio::test]
async fn an_order_that_is_not_there_is_our_fault() {
    let failure = look_at(None, 900).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Bug, "OrderMissing"));
}

#[tokio::test]
async fn an_event_it_is_not_subscribed_to_is_parked() {
    let stage = OrderDeadline { orders: Table(None), ambient: At(received_at()), deadlines: deadlines(1, 2, 3).unwrap() };
    let asked = about(OrderCancelRequested { reason: CancelRequest::CustomerAsked }.into());
    let failure = stage.handle(&asked, &Delivery { message_id: "m-1".into(), attempt: 1, ..Delivery::default() }).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Permanent, "NotForThisStage"));
}

#[tokio::test]
async fn every_repetition_gets_through_deduplication_and_past_its_own_filter() {
    use lambda_kit::batch::Consumer as _;
    let now = received_at().checked_add(SignedDuration::from_secs(900)).unwrap();
    let stage = OrderDeadline { orders: Table(Some(order(&[]))), ambient: At(now), deadlines: deadlines(900, 86_400, 172_800).unwrap() };
    let consume = pipeline::Consume { stage, ambient: At(now) };
    let heard = about(order(&[]).placed().into());
    let mut ids = Vec::new();
    for attempt in 1..=3 {
        let handled = consume.handle(&heard, &Delivery { message_id: "m-1".into(), attempt, ..Delivery::default() }).await.unwrap();
        let message = &handled.publish[0];
        assert!(message.attributes.contains(&("again", "true".to_owned())));
        assert_eq!(CloudEvent::parse(&message.body).unwrap().id(), heard.id(), "the same event");
        assert_ne!(message.deduplication_id, heard.id());
        ids.push(message.deduplication_id.clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[test]
fn every_fault_of_the_deadlines_is_said_at_the_start() {
    const WEEK: u32 = 7 * 86_400;
    for (nudge, time_out, park) in [(3, 30, 90), (900, 86_400, 172_800), (900, 901, WEEK)] {
        assert!(deadlines(nudge, time_out, park).is_ok(), "{nudge} {time_out} {park}");
    }
    for (nudge, time_out, park, faults) in [
        (0, 30, 90, &["NUDGE_AFTER_SECONDS must be more than 0"][..]),
        (30, 30, 90, &["TIME_OUT_AFTER_SECONDS must be more than NUDGE_AFTER_SECONDS"]),
        (3, 90, 30, &["PARK_AFTER_SECONDS must be more than TIME_OUT_AFTER_SECONDS"]),
        (901, 86_400, 172_800, &["NUDGE_AFTER_SECONDS must be at most 900, the longest delay of SQS"]),
        (1, 2, WEEK + 1, &["PARK_AFTER_SECONDS must be at most 604800, while an order's other dead letters are still kept"]),
    ] {
        let ConfigError(found) = deadlines(nudge, time_out, park).unwrap_err();
        assert_eq!(found, faults);
    }
    let ConfigError(all) = deadlines(u32::MAX, u32::MAX, u32::MAX).unwrap_err();
    assert_eq!(all.len(), 4, "{all:?}");
}
