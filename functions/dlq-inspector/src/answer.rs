//! Responses of the inspector: one JSON document per invocation.

use crate::{
    request::{Counts, Cursor},
    table::Table,
};
use domain::{Timestamp, command::Refusal};
use serde::{Deserialize, Serialize};

/// Stands for what is not shown.
pub const MASK: &str = "***";

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To `list`.
    List(Vec<Listed>),
    /// To `peek`.
    Peek(Vec<Peeked>),
    /// To `explain`.
    Explain(Explained),
    /// To `redrive` and `discard`.
    Changed(Changed),
    /// To `digest`.
    Digest(Digested),
    /// Nothing was changed: the request is at fault.
    Refused(Refusal),
    /// A call failed; what was changed before it is in the audit records.
    Failed(Refusal),
}

/// A dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its name for operators.
    pub queue: String,
    /// Its name in the account.
    pub queue_name: String,
    /// Where its messages came from: queues, or for an undelivered queue topics.
    pub sources: Vec<String>,
    /// Messages to be had, about.
    pub depth: u64,
    /// Messages somebody has received, about.
    pub in_flight: u64,
    /// When the oldest that was read was sent.
    pub oldest_sent_at: Option<Timestamp>,
    /// How many came in the last hour; [`None`] where that is not known of all.
    pub arrived_last_hour: Option<u64>,
    /// Whether all were read: if not, an older one may lie behind those that were.
    pub complete: bool,
}

impl Listed {
    /// Messages in it, about, whether in flight or not.
    pub fn held(&self) -> u64 {
        self.depth + self.in_flight
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peeked {
    /// SQS's id.
    pub message_id: String,
    /// The event's type.
    pub event_type: String,
    /// The subject, if it is an id.
    pub subject: String,
    /// The trace, where the event has one.
    pub trace_id: Option<String>,
    /// How often it was received, by its consumer and by every look at it since: SQS tells them not apart
    /// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>, `ApproximateReceiveCount`).
    pub receives: u32,
    /// How often it was redriven.
    pub redrives: u32,
    /// When it was sent.
    pub first_seen: Timestamp,
    /// When it last failed, where known.
    pub last_seen: Option<Timestamp>,
    /// Why it is here.
    pub cause: String,
    /// The same in a sentence, without addresses.
    pub detail: String,
    /// The body: masked, or as it is with `reveal`.
    pub body: serde_json::Value,
}

/// A queue by cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The queue.
    pub queue: String,
    /// The groups, so far.
    pub table: Table,
    /// How many were read so far.
    pub read: u64,
    /// How many the queue said it has, those in flight included.
    pub depth: u64,
    /// How long what was read stays hidden at most, if this inspector dies or the explanation goes on.
    pub lease_seconds: u64,
    /// With it the same request goes on; [`None`] at the end.
    pub cursor: Option<Cursor>,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// The queue.
    pub queue: String,
    /// Whether nothing was changed at all.
    pub dry_run: bool,
    /// The outcome of the messages, over all invocations.
    pub counts: Counts,
    /// How many the queue said it had at first, those in flight included: what `counts` may come to.
    pub depth: u64,
    /// How many were not read, about: somebody else has hidden them, or they are behind others of their FIFO group.
    pub unread: u64,
    /// Why some were refused or failed in this invocation, a few of them, and what else there is to say: in sentences.
    pub notes: Vec<String>,
    /// With it the same request goes on; [`None`] at the end.
    pub cursor: Option<Cursor>,
}

/// The outcome of the digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Digested {
    /// Every queue is empty.
    Silent,
    /// The same was said within [`REPEAT_AFTER`](crate::inspector::digest::REPEAT_AFTER).
    Said,
    /// It was sent.
    Sent,
}
