//! A stage of the pipeline: handles one event, returns the events that follow.

use domain::{CloudEvent, Event, Impossible, Subject, Timestamp};
use lambda_kit::{Failure, message::Delivery};
use std::time::Duration;

/// Implemented by every queue function. It stores, decides and **returns** the events to publish; it does not publish and does
/// not know SQS.
pub trait Stage {
    /// The stage's name: its folder, its package, and the `source` of its events.
    const NAME: &'static str;

    /// Handles one event. Called again for the same event after any failure or crash, at any point.
    async fn handle(&self, event: &CloudEvent, delivery: &Delivery) -> Result<Reply, Failure>;

    /// Names of rows that handling `event` will contend for; see `lambda_kit::message::Incoming::contends_for`.
    fn contends_for(&self, event: &CloudEvent) -> Vec<String> {
        // Most stages write one row per order.
        _ = event;
        Vec::new()
    }
}

/// The result of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// To be published before the event is acknowledged. All are about the subject of the event that was handled.
    pub announcements: Vec<Announcement>,
    /// If set, the event is not acknowledged but delivered again after this time.
    pub look_again_after: Option<Duration>,
}

/// An event to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The event.
    pub event: Event,
    /// When it was stored.
    pub time: Timestamp,
    /// Whether it is repeated on purpose, and so must get through the topic's deduplication.
    pub again: bool,
}

impl Reply {
    /// Nothing follows.
    pub fn nothing() -> Self {
        Self::default()
    }
    /// One event follows.
    pub fn announce((event, time): (Event, Timestamp)) -> Self {
        Self { announcements: vec![Announcement { event, time, again: false }], look_again_after: None }
    }
}

/// An impossible cell of an answer table, as a failure: for us to fix.
pub fn impossible(error: Impossible) -> Failure {
    Failure::bug("Impossible", error)
}

/// An event that a stage is not subscribed to: somebody changed a filter, and no retry changes it back.
pub fn not_for(stage: &str, event: &CloudEvent) -> Failure {
    Failure::permanent("NotForThisStage", format_args!("`{}` is not for {stage}", event.event.event_type()))
}

/// The order that `event` is about.
///
/// # Errors
/// A permanent failure where it is about something else.
pub fn order_id(event: &CloudEvent) -> Result<domain::OrderId, Failure> {
    match event.subject {
        Subject::Order(id) => Ok(id),
        Subject::Customer(_) => Err(Failure::permanent("NotAnOrder", "the event is not about an order")),
    }
}

/// The customer that `event` is about.
///
/// # Errors
/// A permanent failure where it is about something else.
pub fn customer_id(event: &CloudEvent) -> Result<domain::CustomerId, Failure> {
    match event.subject {
        Subject::Customer(id) => Ok(id),
        Subject::Order(_) => Err(Failure::permanent("NotACustomer", "the event is not about a customer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::event::{CustomerSignedUp, PaymentVoided};
    use lambda_kit::Kind;

    #[test]
    fn an_event_about_something_else_has_no_such_id_and_is_parked() {
        let id = "e507ff26-6a21-519c-adde-1e19920b0ce2";
        let about = |subject: Subject, event: Event| CloudEvent {
            source: "/test".into(),
            subject,
            time: Timestamp::UNIX_EPOCH,
            traceparent: None,
            event,
        };
        let customer = about(Subject::Customer(id.parse().unwrap()), CustomerSignedUp { marketing_consent: true }.into());
        let order = about(Subject::Order(id.parse().unwrap()), PaymentVoided {}.into());
        assert_eq!((customer_id(&customer).unwrap().to_string(), order_id(&order).unwrap().to_string()), (id.into(), id.into()));
        let refused = [customer_id(&order).unwrap_err(), order_id(&customer).unwrap_err()];
        assert_eq!(
            refused.map(|failure| (failure.kind, failure.error_type)),
            [(Kind::Permanent, "NotACustomer".into()), (Kind::Permanent, "NotAnOrder".into()),]
        );
    }
}
