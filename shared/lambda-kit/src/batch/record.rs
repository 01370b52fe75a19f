//! A record of an SQS event, taken apart.

use super::{again::Check, attribute::Attribute};
use crate::{
    Failure,
    message::{Delivery, Incoming},
};
use aws_lambda_events::sqs::SqsMessage;

#[derive(Debug)]
pub(super) struct Record<M> {
    pub delivery: Delivery,
    pub receipt_handle: Option<String>,
    pub body: String,
    /// Set on FIFO queues alone: some engines pass the topic's group id to Standard queues too, AWS does not.
    pub group_id: Option<String>,
    pub source_queue: String,
    pub attributes: Vec<(String, Attribute)>,
    /// The attributes of a copy that was sent for another check.
    pub check: Option<Check>,
    /// The parsed message; set from the start if there is nothing to parse.
    pub incoming: Option<Result<Incoming<M>, Failure>>,
}

impl<M> Record<M> {
    pub fn from_sqs(message: SqsMessage) -> Self {
        let system = |name: &str| message.attributes.get(name).cloned();
        let source_queue = message.event_source_arn.as_deref().and_then(|arn| arn.rsplit(':').next()).unwrap_or("unknown").to_owned();
        let named = message.message_attributes.iter().filter(|(name, _)| !name.is_empty());
        let mut attributes: Vec<_> = named.filter_map(|(name, value)| Some((name.clone(), Attribute::from_sqs(value)?))).collect();
        attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
        // Skipping such a record would acknowledge it.
        let incoming = match (&message.message_id, &message.body) {
            (Some(id), Some(_)) if !id.is_empty() => None,
            (Some(id), None) if !id.is_empty() => Some(Err(Failure::permanent("MissingBody", "the record has no body"))),
            _ => Some(Err(Failure::permanent("MissingMessageId", "the record has no message id, so it could not be reported alone"))),
        };
        let check = Check::read(&attributes);
        Self {
            delivery: Delivery {
                attempt: system("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1),
                checks: check.map_or(0, |check| check.before),
                due: check.map(|check| check.due),
                message_id: message.message_id.unwrap_or_default(),
            },
            receipt_handle: message.receipt_handle.filter(|handle| !handle.is_empty()),
            body: message.body.unwrap_or_default(),
            group_id: system("MessageGroupId").filter(|group| source_queue.ends_with(".fifo") && !group.is_empty()),
            source_queue,
            attributes,
            check,
            incoming,
        }
    }

    pub fn is_fifo(&self) -> bool {
        self.group_id.is_some()
    }

    /// Also where its group is missing.
    pub fn is_on_fifo_queue(&self) -> bool {
        self.source_queue.ends_with(".fifo")
    }
}
