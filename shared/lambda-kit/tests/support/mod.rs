//! A scripted consumer and in-memory ends for the batch core.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::panic, reason = "support for tests, of which none uses all")]

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use jiff::Timestamp;
use lambda_kit::{
    Ambient, Failure,
    batch::{Attribute, Batch, Consumer, Delayed, Hide, Parked, Queue, QueueError},
    message::{Delivery, Handled, Incoming, Outgoing},
    publish::{PublishError, Publisher},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// The body of a test message: what its handler does.
#[derive(Debug, Clone, Deserialize)]
pub struct Script {
    pub id: String,
    #[serde(default)]
    pub what: String,
    #[serde(default)]
    pub takes_ms: u64,
    #[serde(default)]
    pub publish: usize,
    #[serde(default)]
    pub bytes: usize,
    #[serde(default)]
    pub rows: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Scripted {
    /// Ids in the order in which their handling began.
    pub began: RefCell<Vec<String>>,
    /// Ids in the order in which their handling ended by itself.
    pub ended: RefCell<Vec<String>>,
    at_once: Cell<usize>,
    pub most_at_once: Cell<usize>,
    /// What each handler was told of its delivery: attempt and checks.
    pub delivered: RefCell<Vec<(u32, u32)>>,
    /// Whether this build knows the version that the last one did not.
    pub knows_the_version: Cell<bool>,
}

impl Consumer for Scripted {
    type Message = Script;

    fn read(&self, body: &str) -> Result<Incoming<Script>, Failure> {
        let message: Script = serde_json::from_str(body).map_err(|_| Failure::permanent("Unreadable", "not a script"))?;
        match message.what.as_str() {
            "panic in read" => panic!("reading went wrong"),
            "unknown version" if !self.knows_the_version.get() => return Err(Failure::transient("UnknownVersion", "not yet")),
            _ => {}
        }
        let traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
        Ok(Incoming { event_id: message.id.clone(), subject: "s".into(), traceparent, contends_for: message.rows.clone(), message })
    }

    fn is_about_an_order(&self, script: &Script) -> bool {
        script.what != "of a customer"
    }

    async fn handle(&self, script: &Script, delivery: &Delivery) -> Result<Handled, Failure> {
        self.began.borrow_mut().push(script.id.clone());
        self.delivered.borrow_mut().push((delivery.attempt, delivery.checks));
        self.at_once.set(self.at_once.get() + 1);
        self.most_at_once.set(self.most_at_once.get().max(self.at_once.get()));
        sleep(Duration::from_millis(script.takes_ms)).await;
        self.at_once.set(self.at_once.get() - 1);
        self.ended.borrow_mut().push(script.id.clone());
        let outgoing = |n: usize| Outgoing {
            group_id: "g".into(),
            deduplication_id: format!("{}/{n}", script.id),
            body: "x".repeat(script.bytes.max(1)),
            attributes: vec![],
        };
        match script.what.as_str() {
            "transient" => Err(Failure::transient("Throttled", "later")),
            "permanent" => Err(Failure::permanent("NeverPasses", "a rule\nthat never passes")),
            "bug" => Err(Failure::bug("Impossible", "cannot be")),
            "panic" => panic!("handler of {} with secret {}", script.id, delivery.message_id),
            "static panic" => panic!("an invariant is broken"),
            "much later" => Ok(Handled { publish: vec![], look_again_after: Some(Duration::from_secs(u64::MAX)) }),
            "later" => {
                Ok(Handled { publish: (0..script.publish).map(outgoing).collect(), look_again_after: Some(Duration::from_secs(77)) })
            }
            "in an hour" => Ok(Handled { publish: vec![], look_again_after: Some(Duration::from_secs(3600)) }),
            _ => Ok(Handled { publish: (0..script.publish).map(outgoing).collect(), look_again_after: None }),
        }
    }
}

#[derive(Debug, Default)]
pub struct Topic {
    pub calls: RefCell<Vec<Vec<Outgoing>>>,
    /// Deduplication ids that are refused.
    pub refuses: HashSet<String>,
    pub takes: Duration,
    pub panics: bool,
    pub answers_nothing: bool,
}

impl Topic {
    pub fn published(&self) -> Vec<String> {
        self.calls.borrow().iter().flatten().map(|outgoing| outgoing.deduplication_id.clone()).collect()
    }
}

impl Publisher for Topic {
    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), PublishError>> {
        sleep(self.takes).await;
        assert!(!self.panics, "the publisher panics");
        if self.answers_nothing {
            return vec![];
        }
        self.calls.borrow_mut().push(batch.to_vec());
        let refused = || PublishError { code: "InternalError".into(), message: "an entry failed".into() };
        batch.iter().map(|outgoing| if self.refuses.contains(&outgoing.deduplication_id) { Err(refused()) } else { Ok(()) }).collect()
    }
}

#[derive(Debug, Default)]
pub struct Ends {
    pub hidden: RefCell<Vec<Hide>>,
    pub hide_calls: Cell<usize>,
    pub parked: RefCell<Vec<Parked>>,
    pub refuses_parking: bool,
    pub hiding_takes: Duration,
    /// Copies that were taken.
    pub delayed: RefCell<Vec<Delayed>>,
    pub send_calls: Cell<usize>,
    /// Message ids whose copies are refused.
    pub refuses_copies_of: HashSet<String>,
    pub sending_takes: Duration,
    pub sending_panics: bool,
    pub sending_says_nothing: bool,
}

impl Ends {
    pub fn hidden_for(&self, receipt: &str) -> Option<u32> {
        self.hidden.borrow().iter().find(|hide| hide.receipt_handle == receipt).map(|hide| hide.seconds)
    }
    /// The copy that was sent of a message.
    pub fn copy_of(&self, message_id: &str) -> Option<Delayed> {
        self.delayed.borrow().iter().find(|copy| copy.copy_of == message_id).cloned()
    }
}

impl Queue for Ends {
    async fn hide(&self, messages: &[Hide]) -> Vec<Result<(), QueueError>> {
        sleep(self.hiding_takes).await;
        assert!(messages.len() <= 10);
        self.hide_calls.set(self.hide_calls.get() + 1);
        self.hidden.borrow_mut().extend_from_slice(messages);
        messages.iter().map(|_| Ok(())).collect()
    }
    async fn park(&self, parked: Parked) -> Result<(), QueueError> {
        if self.refuses_parking {
            return Err(QueueError("access denied".into()));
        }
        self.parked.borrow_mut().push(parked);
        Ok(())
    }
    async fn send_delayed(&self, messages: &[Delayed]) -> Vec<Result<(), QueueError>> {
        sleep(self.sending_takes).await;
        assert!((1..=10).contains(&messages.len()));
        assert!(!self.sending_panics, "sending panics");
        self.send_calls.set(self.send_calls.get() + 1);
        if self.sending_says_nothing {
            return vec![];
        }
        let take = |message: &Delayed| {
            if self.refuses_copies_of.contains(&message.copy_of) {
                return Err(QueueError("AccessDenied".into()));
            }
            self.delayed.borrow_mut().push(message.clone());
            Ok(())
        };
        messages.iter().map(take).collect()
    }
}

/// A clock that a test sets, and random numbers that always give the shortest back-off.
#[derive(Debug, Default)]
pub struct Still {
    /// Seconds since [`BEGIN`].
    pub since_s: Cell<i64>,
}

/// Where the clock stands at first.
pub const BEGIN: &str = "2026-05-04T10:11:12.345Z";

impl Ambient for Still {
    fn now(&self) -> Timestamp {
        BEGIN.parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs(self.since_s.get())
    }
    fn random(&self) -> u64 {
        0
    }
}

pub type Core = Batch<Scripted, Topic, Ends, Still>;

pub fn core() -> Core {
    Batch { consumer: Scripted::default(), publisher: Topic::default(), queue: Ends::default(), ambient: Still::default() }
}

/// A record of a Standard queue. Its message id is `m-<id>`, its receipt `r-<id>`.
pub fn record(script: Value) -> Value {
    let id = script["id"].as_str().unwrap().to_owned();
    json!({
        "messageId": format!("m-{id}"), "receiptHandle": format!("r-{id}"), "body": script.to_string(),
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1777889472345", "MessageGroupId": "passed on by some engines"},
        "messageAttributes": {}, "md5OfBody": "", "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:work", "awsRegion": "us-east-1"
    })
}

/// The same on a FIFO queue, in `group`.
pub fn fifo(group: &str, script: Value) -> Value {
    let mut record = record(script);
    record["attributes"]["MessageGroupId"] = group.into();
    record["eventSourceARN"] = "arn:aws:sqs:us-east-1:123456789012:work.fifo".into();
    record
}

pub fn attempt(mut record: Value, attempt: u32) -> Value {
    record["attributes"]["ApproximateReceiveCount"] = attempt.to_string().into();
    record
}

/// The message that `copy` becomes when its delay is over, as Lambda delivers it.
pub fn delivered(copy: &Delayed) -> Value {
    let mut record = record(json!({"id": ""}));
    record["messageId"] = format!("{}+", copy.copy_of).into();
    record["body"] = copy.body.as_str().into();
    for (name, attribute) in &copy.attributes {
        let Attribute::Text { data_type, value } = attribute else { panic!("no test sends binary attributes") };
        record["messageAttributes"][name] =
            json!({"dataType": data_type, "stringValue": value, "stringListValues": [], "binaryListValues": []});
    }
    record
}

pub fn ok(id: &str) -> Value {
    record(json!({"id": id}))
}

pub fn does(id: &str, what: &str) -> Value {
    record(json!({"id": id, "what": what}))
}

/// Runs a batch with a minute until its deadline; returns the ids reported as failed.
pub async fn run(core: &Core, records: impl IntoIterator<Item = Value>) -> Vec<String> {
    run_until(core, records, Duration::from_secs(60)).await
}

pub async fn run_until(core: &Core, records: impl IntoIterator<Item = Value>, deadline: Duration) -> Vec<String> {
    let response = respond(core, records, deadline).await;
    response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect()
}

pub async fn respond(core: &Core, records: impl IntoIterator<Item = Value>, deadline: Duration) -> SqsBatchResponse {
    let records: Vec<_> = records.into_iter().collect();
    let event: SqsEvent = serde_json::from_value(json!({"Records": records})).unwrap();
    core.handle(event, Instant::now() + deadline).await
}
