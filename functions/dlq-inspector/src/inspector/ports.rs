//! The inspector's operations, verb for verb those that its role allows.
//!
//! [`Aws`](crate::inspector::aws::Aws) does it; tests do it in memory. The ports do not decide: which queue is a
//! dead-letter queue, where a message belongs and what is masked is decided by the pure modules beside this one.

use domain::Timestamp;
use lambda_kit::{Ambient, Failure, batch::Attribute};
use pipeline::uncollected::Unsettled;
use std::{collections::HashMap, fmt, time::Duration};

/// Most messages of one receive, one release or one look-up.
pub const PAGE_MAX: usize = 10;

/// A resource of the stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its name in the template.
    pub logical_id: String,
    /// Its name in the account: a queue's URL, a topic's or subscription's ARN, a log group's name.
    pub physical_id: String,
    /// Its type, such as `AWS::SQS::Queue`.
    pub kind: String,
}

/// The attributes of a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueFacts {
    /// Its ARN.
    pub arn: String,
    /// Where SQS moves what was received too often.
    pub dead_letter_arn: Option<String>,
    /// Messages to be had, about.
    pub visible: u64,
    /// Messages somebody has received, about.
    pub in_flight: u64,
}

/// The attributes of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its topic.
    pub topic_arn: String,
    /// Where SNS puts what it cannot deliver.
    pub dead_letter_arn: Option<String>,
}

/// A message as it was received. `Debug` hides its body.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// SQS's id of it.
    pub message_id: String,
    /// This receive's handle.
    pub receipt: String,
    /// The body.
    pub body: String,
    /// The attributes, by name.
    pub attributes: Vec<(String, Attribute)>,
    /// On FIFO queues the group.
    pub group_id: Option<String>,
    /// How often it was received, this time included.
    pub receives: u32,
    /// When it was sent: to its own queue, or to this one when it was parked.
    pub sent_at: Timestamp,
    /// ARN of the queue that SQS moved it from; [`None`] where it was sent here.
    pub moved_from: Option<String>,
}

impl fmt::Debug for ReceivedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedMessage").field("message_id", &self.message_id).finish_non_exhaustive()
    }
}

/// A message on its way back to its source. `Debug` hides its body.
#[derive(Clone, PartialEq, Eq)]
pub struct Outbound {
    /// The body, unchanged.
    pub body: String,
    /// The attributes that it takes along.
    pub attributes: Vec<(String, Attribute)>,
    /// On FIFO: its own group.
    pub group_id: Option<String>,
    /// On FIFO: the id that SQS knows it by here. Never the event's: SQS ignores a known id for five minutes and still
    /// returns success.
    pub deduplication_id: Option<String>,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("deduplication_id", &self.deduplication_id).finish_non_exhaustive()
    }
}

/// The last error that a consumer logged for a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logged {
    /// `error_type` of the line.
    pub error_type: String,
    /// `error` of the line.
    pub error: String,
    /// When.
    pub at: Timestamp,
}

/// The result of a look-up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LastErrors {
    /// The last error by message id.
    pub by_id: HashMap<String, Logged>,
    /// Whether the log was read to its end: if not, who has no error here may have one.
    pub complete: bool,
}

/// A move task of SQS's own, as the service tells of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MoveTask {
    /// Whether it is over, however.
    pub over: bool,
    /// How many it has moved, about.
    pub moved: u64,
    /// How many it had to move when it began, about.
    pub to_move: u64,
    /// Why it stopped early, where it did.
    pub failure: Option<String>,
}

/// The stack's own configuration.
pub trait Stack {
    /// Every resource: ListStackResources, to its end.
    async fn resources(&self) -> Result<Vec<Resource>, Failure>;
}

/// The queues.
pub trait Queues {
    /// One GetQueueAttributes.
    async fn facts(&self, url: &str) -> Result<QueueFacts, Failure>;
    /// One ReceiveMessage of up to [`PAGE_MAX`], hidden for `lease`; waits a second where there is nothing.
    async fn receive(&self, url: &str, most: usize, lease: Duration) -> Result<Vec<ReceivedMessage>, Failure>;
    /// Makes up to [`PAGE_MAX`] visible again: one ChangeMessageVisibilityBatch. One that is gone is no failure.
    async fn release(&self, url: &str, receipts: &[String]) -> Result<(), Failure>;
    /// One SendMessage.
    async fn send(&self, url: &str, message: &Outbound) -> Result<(), Failure>;
    /// One DeleteMessage.
    async fn delete(&self, url: &str, receipt: &str) -> Result<(), Failure>;
    /// The last move task out of a queue, if there was one: one ListMessageMoveTasks. [`None`] where the service has no such thing.
    async fn last_move(&self, from_arn: &str) -> Result<Option<Option<MoveTask>>, Failure>;
    /// One StartMessageMoveTask.
    async fn start_move(&self, from_arn: &str, to_arn: &str, rate: Option<u32>) -> Result<(), Failure>;
}

/// The topics.
pub trait Topics {
    /// One GetSubscriptionAttributes.
    async fn route(&self, subscription_arn: &str) -> Result<Route, Failure>;
    /// One Publish to a topic that events go through.
    async fn publish(&self, topic_arn: &str, message: &Outbound) -> Result<(), Failure>;
    /// One Publish to the operators' topic.
    async fn alert(&self, subject: &str, text: &str) -> Result<(), Failure>;
}

/// The consumers' logs.
pub trait Logs {
    /// The last error of each of up to [`PAGE_MAX`] messages since a time: FilterLogEvents.
    async fn last_errors(&self, group: &str, message_ids: &[&str], since: Timestamp) -> Result<LastErrors, Failure>;
}

/// Where copies, audit records and the last digest lie.
pub trait Archive {
    /// One PutObject.
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Failure>;
    /// One GetObject; [`None`] where there is none.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure>;
}

/// The payments that people have to settle.
pub trait Payments {
    /// Query: up to `most` of what nobody has settled yet.
    async fn unsettled(&self, most: usize) -> Result<Unsettled, Failure>;
}

/// All of them, with clock and random numbers.
pub trait Ports: Stack + Queues + Topics + Logs + Archive + Payments + Ambient {}
impl<P: Stack + Queues + Topics + Logs + Archive + Payments + Ambient> Ports for P {}
