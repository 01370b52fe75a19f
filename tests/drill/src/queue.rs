//! A queue with its dead-letter queue, by SQS's documented rules, on tokio's clock.
//!
//! The calls of the batch core reach it through [`cloud`](crate::cloud), Lambda's side is [`run`](crate::run). It keeps
//! what its metrics are made of, and does not be fast: a message is in flight until it is deleted or its time is over.

use crate::metrics::{Metric, Metrics};
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};
use template::{Source, target};
use tokio::time::Instant;

/// A Standard queue's `ApproximateAgeOfOldestMessage` leaves out a message that was received so often: it goes to the back of the
/// queue, and the metric tells the age of the next
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html>).
const RECEIVES_LEFT_OUT: u32 = 3;

/// The queue of one consumer.
#[derive(Debug)]
pub struct Queue {
    /// Its logical id.
    pub id: String,
    /// Its dead-letter queue's.
    pub dead_letters: String,
    is_fifo: bool,
    visibility_timeout: Duration,
    delay: Duration,
    receives_max: u32,
    messages: Vec<Message>,
    /// How many lie in the dead-letter queue.
    pub dead: u64,
    numbers: u64,
}

#[derive(Debug, Clone)]
struct Message {
    record: Value,
    sent: Instant,
    receives: u32,
    is_in_flight: bool,
    visible_at: Instant,
    receipt: String,
}

impl Queue {
    /// The queue that the template gives a consumer. `resolve` finds the value of a parameter.
    pub fn new(source: &Source<'_>, resolve: impl Fn(&Value) -> Option<u64>) -> Option<Self> {
        let queue = source.queue;
        let seconds = |value: &Value| resolve(value).map(Duration::from_secs);
        Some(Self {
            id: queue.id.to_owned(),
            dead_letters: target(queue.at("/RedrivePolicy/deadLetterTargetArn"))?.to_owned(),
            is_fifo: queue.is_fifo(),
            visibility_timeout: seconds(queue.at("/VisibilityTimeout"))?,
            delay: seconds(queue.at("/DelaySeconds")).unwrap_or_default(),
            receives_max: u32::try_from(queue.at("/RedrivePolicy/maxReceiveCount").as_u64()?).ok()?,
            messages: Vec::new(),
            dead: 0,
            numbers: 0,
        })
    }

    /// The delay of a new message.
    pub fn delay(&self) -> Duration {
        self.delay
    }

    /// Puts a message in: a record as Lambda hands it over, less what only a receive knows. A delay of its own goes before the
    /// queue's (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-timers.html>).
    pub fn send(&mut self, mut record: Value, delay: Option<Duration>) {
        self.numbers += 1;
        record["messageId"] = format!("m-{}", self.numbers).into();
        let now = Instant::now();
        let visible_at = now + delay.unwrap_or(self.delay);
        self.messages.push(Message { record, sent: now, receives: 0, is_in_flight: false, visible_at, receipt: String::new() });
    }

    /// Receives up to `max` messages. One that was received too often goes to the dead-letter queue instead. On a FIFO queue a
    /// message in flight holds its group back.
    pub fn receive(&mut self, max: usize) -> Vec<Value> {
        let now = Instant::now();
        let (mut received, mut held) = (Vec::new(), BTreeSet::new());
        let (receives_max, is_fifo, visibility_timeout) = (self.receives_max, self.is_fifo, self.visibility_timeout);
        let (numbers, dead) = (&mut self.numbers, &mut self.dead);
        self.messages.retain_mut(|message| {
            let group = message.record["attributes"]["MessageGroupId"].as_str().map(str::to_owned).filter(|_| is_fifo);
            if message.visible_at > now || group.as_ref().is_some_and(|group| held.contains(group)) {
                held.extend(group);
                return true;
            }
            if received.len() == max {
                return true;
            }
            if message.receives == receives_max {
                *dead += 1;
                return false;
            }
            *numbers += 1;
            message.receives += 1;
            message.is_in_flight = true;
            message.visible_at = now + visibility_timeout;
            message.receipt = format!("r-{numbers}");
            let mut record = message.record.clone();
            record["receiptHandle"] = message.receipt.clone().into();
            record["attributes"]["ApproximateReceiveCount"] = message.receives.to_string().into();
            received.push(record);
            true
        });
        received
    }

    /// Deletes what was acknowledged. An old receipt deletes nothing.
    pub fn delete(&mut self, receipts: &[String]) {
        self.messages.retain(|message| !receipts.contains(&message.receipt));
    }

    /// Hides a message anew, from now on.
    pub fn hide(&mut self, receipt: &str, for_seconds: u64) {
        let until = Instant::now() + Duration::from_secs(for_seconds);
        self.messages.iter_mut().filter(|message| message.receipt == receipt).for_each(|message| message.visible_at = until);
    }

    /// When the next message can be received, if there is any.
    pub fn next(&self) -> Option<Instant> {
        self.messages.iter().map(|message| message.visible_at).min()
    }

    /// Whether nothing is left in it.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Writes the metrics of both queues for a minute, as they stand now.
    pub fn sample(&self, metrics: &mut Metrics, minute: i64) {
        let now = Instant::now();
        let count = |holds: &dyn Fn(&&Message) -> bool| self.messages.iter().filter(holds).count() as u64;
        let hidden = |message: &&Message| message.visible_at > now;
        let mut put = |name: &str, value: u64| metrics.put(Metric::new("AWS/SQS", name, &self.id), minute, value);
        put("ApproximateNumberOfMessagesVisible", count(&|message| !hidden(message)));
        put("ApproximateNumberOfMessagesNotVisible", count(&|message| hidden(message) && message.is_in_flight));
        put("ApproximateNumberOfMessagesDelayed", count(&|message| hidden(message) && !message.is_in_flight));
        let counts = |message: &&Message| self.is_fifo || message.receives < RECEIVES_LEFT_OUT;
        let oldest = self.messages.iter().filter(counts).map(|message| message.sent).min();
        put("ApproximateAgeOfOldestMessage", oldest.map_or(0, |sent| (now - sent).as_secs()));
        metrics.put(Metric::new("AWS/SQS", "ApproximateNumberOfMessagesVisible", &self.dead_letters), minute, self.dead);
    }

    /// Writes the metrics of both queues for a minute in which nothing was in them that could be received.
    pub fn sample_empty(&self, metrics: &mut Metrics, minute: i64) {
        for name in ["ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible", "ApproximateAgeOfOldestMessage"] {
            metrics.put(Metric::new("AWS/SQS", name, &self.id), minute, 0);
        }
        metrics.put(Metric::new("AWS/SQS", "ApproximateNumberOfMessagesVisible", &self.dead_letters), minute, 0);
    }

    /// A record as SNS's raw delivery makes it, of a body and a group.
    pub fn record(&self, body: &str, group: Option<&str>) -> Value {
        let suffix = if self.is_fifo { ".fifo" } else { "" };
        let mut attributes = json!({"SentTimestamp": "0", "SenderId": "AIDA", "ApproximateFirstReceiveTimestamp": "0"});
        if self.is_fifo {
            attributes["MessageGroupId"] = group.unwrap_or("g").into();
        }
        json!({"body": body, "attributes": attributes, "messageAttributes": {}, "md5OfBody": "", "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:us-east-1:123456789012:{}{suffix}", self.id), "awsRegion": "us-east-1"})
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::metrics::Statistic;
    use template::Template;

    fn queue(id: &str) -> Queue {
        let template = Template::read().unwrap();
        let source = template.sources().find(|source| source.queue.id == id).unwrap();
        Queue::new(&source, |value| value.as_u64().or(Some(900).filter(|_| value.is_object()))).unwrap()
    }
    fn metric(queue: &Queue, name: &str) -> u64 {
        let mut metrics = Metrics::default();
        queue.sample(&mut metrics, 0);
        metrics.of(&Metric::new("AWS/SQS", name, &queue.id), 0..1, Statistic::Maximum).unwrap()
    }
    async fn pass(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_received_three_times_has_no_age() {
        let mut queue = queue("InventoryQueue");
        queue.send(queue.record("{}", None), None);
        for receives in 1..=3 {
            assert_eq!(queue.receive(10).len(), 1);
            pass(60).await;
            let age = if receives < 3 { 60 * receives } else { 0 };
            assert_eq!(metric(&queue, "ApproximateAgeOfOldestMessage"), age);
        }
        assert_eq!(metric(&queue, "ApproximateNumberOfMessagesVisible"), 1, "it is there all the same");
    }

    #[tokio::test(start_paused = true)]
    async fn a_fifo_queue_counts_the_age_of_every_message() {
        let mut queue = queue("ShippingQueue");
        queue.send(queue.record("{}", Some("g")), None);
        queue.send(queue.record("{}", Some("g")), None);
        for _ in 0..4 {
            assert_eq!(queue.receive(1).len(), 1, "the second waits behind the first");
            assert_eq!(queue.receive(1).len(), 0);
            pass(60).await;
        }
        assert_eq!(metric(&queue, "ApproximateAgeOfOldestMessage"), 240);
    }

    #[tokio::test(start_paused = true)]
    async fn delayed_hidden_and_visible_are_three_numbers() {
        let mut queue = queue("OrderDeadlineQueue");
        queue.send(queue.record("{}", None), None);
        let numbers =
            |queue: &Queue| ["Delayed", "NotVisible", "Visible"].map(|it| metric(queue, &format!("ApproximateNumberOfMessages{it}")));
        assert_eq!(numbers(&queue), [1, 0, 0]);
        pass(900).await;
        assert_eq!(numbers(&queue), [0, 0, 1]);
        let receipt = text(&queue.receive(1)[0]);
        queue.hide(&receipt, 5);
        assert_eq!(numbers(&queue), [0, 1, 0]);
        pass(5).await;
        assert_eq!(numbers(&queue), [0, 0, 1]);
        queue.receive(1);
        queue.delete(&[receipt]);
        assert!(!queue.is_empty(), "an old receipt deletes nothing");
    }

    fn text(record: &Value) -> String {
        record["receiptHandle"].as_str().unwrap().to_owned()
    }
}
