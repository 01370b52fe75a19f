//! The messages that go into the batch core, and those that come out.

use jiff::Timestamp;
use std::time::Duration;

/// The delivery of a message, from its SQS attributes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delivery {
    /// The SQS message id: the same for every delivery of the message. Another check is another message.
    pub message_id: String,
    /// How often it has been received, this time included: 1 at first. So many less one have failed, as far as SQS knows: a
    /// second delivery without a reason counts too.
    pub attempt: u32,
    /// How many checks went before: how often in a row the handler has asked to check again. 0 at first, and after a redrive of
    /// what was parked.
    pub checks: u32,
    /// When this check was due, which the one before it asked for; [`None`] at first.
    pub due: Option<Timestamp>,
}

/// A message that could be read.
#[derive(Debug, Clone)]
pub struct Incoming<M> {
    /// The message itself.
    pub message: M,
    /// Its id, for the log.
    pub event_id: String,
    /// The subject, for the log.
    pub subject: String,
    /// The W3C trace context that came with it.
    pub traceparent: Option<String>,
    /// Names of rows that handling it will contend for. Messages of a batch that share one are handled one after the
    /// other, because concurrently they would only make each other's transactions fail.
    pub contends_for: Vec<String>,
}

/// The result of handling a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handled {
    /// To be published before the message is acknowledged.
    pub publish: Vec<Outgoing>,
    /// If set, the message is delivered again after this time: as a new message, whose failures count from the start. Not on FIFO
    /// queues, where it is a bug.
    pub look_again_after: Option<Duration>,
}

/// A message to publish to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The MessageGroupId of a FIFO topic.
    pub group_id: String,
    /// The MessageDeduplicationId of a FIFO topic.
    pub deduplication_id: String,
    /// The body, UTF-8.
    pub body: String,
    /// String attributes, for subscription filters.
    pub attributes: Vec<(&'static str, String)>,
}

impl Outgoing {
    /// The size of the message as SNS counts it, in bytes: body, and names, types and values of attributes.
    pub fn size(&self) -> usize {
        const STRING_TYPE: usize = "String".len();
        self.body.len() + self.attributes.iter().map(|(name, value)| name.len() + STRING_TYPE + value.len()).sum::<usize>()
    }
}
