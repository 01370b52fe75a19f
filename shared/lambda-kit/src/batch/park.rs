//! Parking: a message that can never pass goes to the dead-letter queue at once, with its reason.

use super::{again::Check, attribute::Attribute, record::Record};
use crate::{Ambient, Failure};

/// Most message attributes that SQS takes
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>).
pub const ATTRIBUTES_MAX: usize = 10;
/// Stands for a body that was missing or empty: SQS takes no empty one.
pub const EMPTY_BODY: &str = "(no body)";

/// A message for the dead-letter queue: body and attributes as they came, and why it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The body, unchanged.
    pub body: String,
    /// `ErrorType`, `ErrorMessage`, `SourceQueue`, `OriginalMessageId`, `FailedAt` (RFC 3339), `traceparent` where known;
    /// then the message's own, as many as fit. But for those of a check: what is redriven starts anew.
    pub attributes: Vec<(String, Attribute)>,
    /// On FIFO queues: the message's own group.
    pub group_id: Option<String>,
    /// On FIFO queues: the SQS message id, or a random number where a record came without one. Never the id that the
    /// message was sent with, which the dead-letter queue may know from the last five minutes: it would drop this one, and
    /// report success.
    pub deduplication_id: Option<String>,
}

impl Parked {
    pub(super) fn new<M>(record: &Record<M>, failure: &Failure, ambient: &impl Ambient) -> Self {
        let incoming = record.incoming.as_ref().and_then(|read| read.as_ref().ok());
        let reasons = [
            ("ErrorType", Some(failure.error_type.clone())),
            ("ErrorMessage", Some(failure.message.clone())),
            ("SourceQueue", Some(record.source_queue.clone())),
            ("OriginalMessageId", Some(record.delivery.message_id.clone())),
            ("FailedAt", Some(ambient.now().to_string())),
            ("traceparent", incoming.and_then(|incoming| incoming.traceparent.clone())),
        ];
        let reasons = reasons.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Attribute::text(&value?))));
        let mut attributes: Vec<_> = reasons.collect();
        for (name, value) in &record.attributes {
            let is_taken = attributes.iter().any(|(taken, _)| taken == name);
            if !is_taken && !Check::is_attribute(name) && attributes.len() < ATTRIBUTES_MAX {
                attributes.push((name.clone(), value.clone()));
            }
        }
        let body = if record.body.is_empty() { EMPTY_BODY.to_owned() } else { record.body.clone() };
        let deduplication_id = record.group_id.as_ref().map(|_| match record.delivery.message_id.as_str() {
            // SQS takes no empty one.
            "" => format!("{:016x}", ambient.random()),
            id => id.to_owned(),
        });
        Self { body, attributes, group_id: record.group_id.clone(), deduplication_id }
    }
}
