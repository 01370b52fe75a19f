//! An listener at a topic: hears everything that it says while a test runs.
//!
//! A queue of its own, subscribed as a consumer's is.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use testkit::stack::Stack;

/// A queue that hears a topic.
pub struct TopicListener {
    /// Where the topic is.
    pub stack: Stack,
    queue_url: String,
    subscription: String,
}

impl TopicListener {
    /// Subscribes to the topic whose output is `<topic>Arn`.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn at(stack: &Stack, topic: &str) -> Result<Self> {
        let topic = stack.state.output(&format!("{topic}Arn"))?;
        let number = fastrand::u32(..);
        let (name, attributes) = if topic.ends_with(".fifo") {
            let attributes = json!({"FifoQueue": "true", "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"});
            (format!("listener-{number:08x}.fifo"), attributes)
        } else {
            (format!("listener-{number:08x}"), json!({}))
        };
        let created = stack.engine.call("sqs", "AmazonSQS.CreateQueue", &json!({"QueueName": name, "Attributes": attributes})).await?;
        let queue_url = created["QueueUrl"].as_str().context("no QueueUrl")?.to_owned();
        let arn = topic.replace(":sns:", ":sqs:").rsplit_once(':').map(|(account, _)| format!("{account}:{name}")).context("no ARN")?;
        let policy = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage", "Resource": arn, "Condition": {"ArnEquals": {"aws:SourceArn": topic}}}]});
        let input = json!({"QueueUrl": queue_url, "Attributes": {"Policy": policy.to_string()}});
        stack.engine.call("sqs", "AmazonSQS.SetQueueAttributes", &input).await?;
        let form = [
            ("Action", "Subscribe"),
            ("Version", "2010-03-31"),
            ("TopicArn", topic),
            ("Protocol", "sqs"),
            ("Endpoint", &arn),
            ("ReturnSubscriptionArn", "true"),
            ("Attributes.entry.1.key", "RawMessageDelivery"),
            ("Attributes.entry.1.value", "true"),
        ];
        let answer = stack.engine.query("sns", &form).await?;
        let subscription =
            answer.split_once("<SubscriptionArn>").and_then(|(_, rest)| rest.split_once('<')).context("no SubscriptionArn")?.0;
        Ok(Self { stack: stack.clone(), queue_url, subscription: subscription.to_owned() })
    }

    /// Takes up to ten messages, so that what lies behind them in their group can be heard.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn take(&self) -> Result<Vec<Value>> {
        let input = json!({"QueueUrl": self.queue_url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 600});
        let received = self.stack.engine.call("sqs", "AmazonSQS.ReceiveMessage", &input).await?;
        let messages = received["Messages"].as_array().cloned().unwrap_or_default();
        for message in &messages {
            let receipt = json!({"QueueUrl": self.queue_url, "ReceiptHandle": message["ReceiptHandle"]});
            self.stack.engine.call("sqs", "AmazonSQS.DeleteMessage", &receipt).await?;
        }
        Ok(messages)
    }

    /// Unsubscribes.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn leave(self) -> Result<()> {
        self.stack
            .engine
            .query("sns", &[("Action", "Unsubscribe"), ("Version", "2010-03-31"), ("SubscriptionArn", &self.subscription)])
            .await?;
        self.stack.engine.call("sqs", "AmazonSQS.DeleteQueue", &json!({"QueueUrl": self.queue_url})).await.map(drop)
    }
}
