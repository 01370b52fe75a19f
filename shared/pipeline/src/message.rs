//! Domain events as messages, and messages as domain events.

use domain::{CloudEvent, ParseError};
use lambda_kit::{Failure, message::Outgoing, publish::Publisher};

/// The attribute that subscription filters look at.
pub const TYPE_ATTRIBUTE: &str = "type";
/// The attribute that marks a repeated `order.placed`: order-deadline, which sent it, is not to receive it.
pub const AGAIN_ATTRIBUTE: &str = "again";

/// `event` as a message. Its deduplication id is the event's own, unless `fresh` gives it another: a repeated event must
/// get through deduplication, which would drop it for five minutes and report success.
pub fn outgoing(event: &CloudEvent, fresh: Option<String>) -> Outgoing {
    let mut attributes = vec![(TYPE_ATTRIBUTE, event.event.event_type().as_str().to_owned())];
    if fresh.is_some() {
        attributes.push((AGAIN_ATTRIBUTE, "true".to_owned()));
    }
    Outgoing {
        group_id: event.subject.to_string(),
        deduplication_id: fresh.unwrap_or_else(|| event.id()),
        body: event.to_json(),
        attributes,
    }
}

/// Publishes `event`, once its record is stored: for functions that answer requests, which have no batch core to publish
/// for them.
///
/// # Errors
/// Transient, whatever the topic's reason: the record is stored and only a retry announces it, so that this is never a
/// final answer.
pub async fn publish(topic: &impl Publisher, event: &CloudEvent) -> Result<(), Failure> {
    publish_one(topic, &outgoing(event, None)).await
}

/// Publishes `event` once more, on purpose: under the deduplication id `fresh`, so that it gets through. Not marked
/// `again`: every consumer hears it, order-deadline too.
///
/// # Errors
/// Transient, whatever the topic's reason.
pub async fn publish_again(topic: &impl Publisher, event: &CloudEvent, fresh: String) -> Result<(), Failure> {
    publish_one(topic, &Outgoing { deduplication_id: fresh, ..outgoing(event, None) }).await
}

async fn publish_one(topic: &impl Publisher, message: &Outgoing) -> Result<(), Failure> {
    match topic.publish(std::slice::from_ref(message)).await.into_iter().next() {
        Some(Ok(())) => Ok(()),
        Some(Err(error)) => Err(Failure::transient(error.code.clone(), "an event could not be published").caused_by(error)),
        None => Err(Failure::transient("NotMentioned", "the topic did not say what became of an event")),
    }
}

/// The failure for an unreadable body.
pub fn unreadable(error: ParseError) -> Failure {
    match &error {
        ParseError::Unreadable(_) => Failure::permanent("UnreadableEvent", error),
        ParseError::UnknownType(_) => Failure::permanent("UnknownEventType", error),
        // Forged, or from a new producer that was deployed before this build knew of it: a person tells which, and redrives.
        ParseError::SourceNotAllowed { .. } => Failure::permanent("SourceNotAllowed", error),
        // A newer producer was deployed before this build; the next one will know it.
        ParseError::UnknownVersion(_) => Failure::transient("UnknownEventVersion", error),
    }
}
