//! The ports on AWS: one client each for CloudFormation, SQS, SNS, CloudWatch Logs, S3 and DynamoDB.
//!
//! `main.rs` wires it. It does not retry beyond what the SDK does: the inspector knows what may be repeated.

use super::ports::{
    Archive, LastErrors, Logged, Logs, MoveTask, Outbound, Payments, QueueFacts, Queues, ReceivedMessage, Resource, Route, Stack, Topics,
};
use aws_sdk_s3::{operation::get_object::GetObjectError, primitives::ByteStream};
use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, ListMessageMoveTasksResultEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use domain::Timestamp;
use lambda_kit::SdkConfig;
use lambda_kit::{
    Ambient, Failure, Real,
    batch::Attribute,
    config::Env,
    sdk::{failure, time_limits},
    warm_up::{Opening, WarmUpRequest},
};
use pipeline::uncollected::{UncollectedPayments, Unsettled};
use serde::Deserialize;
use std::{collections::HashMap, time::Duration};

/// How long a receive waits where there is nothing: then SQS asks all of its servers, and empty means empty.
const WAIT_SECONDS: i32 = 1;
/// Most pages of a look-up, of a megabyte of log each, whether they hold anything or not. A message's last error stands on the
/// last of them; a longer log is for CloudWatch Logs Insights.
const LOG_PAGES_MAX: usize = 50;
/// For one attempt at a page of log: CloudWatch Logs reads up to a megabyte for it, and answers in a second or two. Three attempts
/// of five seconds fit into the 50 s that an invocation has for its work.
pub const LOG_ATTEMPT_LIMIT: Duration = Duration::from_secs(5);

/// AWS.
#[derive(Debug, Clone)]
pub struct Aws {
    cloudformation: aws_sdk_cloudformation::Client,
    sqs: aws_sdk_sqs::Client,
    sns: aws_sdk_sns::Client,
    logs: aws_sdk_cloudwatchlogs::Client,
    s3: aws_sdk_s3::Client,
    payments: UncollectedPayments,
    stack_id: String,
    bucket: String,
    alerts_topic: String,
}

impl Aws {
    /// Reads `STACK_ID`, `ARCHIVE_BUCKET`, `ALERTS_TOPIC_ARN` and `PAYMENTS_TABLE`; see [`Env`] for what becomes of a missing one.
    pub fn from_env(env: &mut Env, config: &SdkConfig) -> Self {
        Self {
            cloudformation: aws_sdk_cloudformation::Client::new(config),
            sqs: aws_sdk_sqs::Client::new(config),
            sns: aws_sdk_sns::Client::new(config),
            logs: aws_sdk_cloudwatchlogs::Client::from_conf(
                aws_sdk_cloudwatchlogs::config::Builder::from(config).timeout_config(time_limits(LOG_ATTEMPT_LIMIT)).build(),
            ),
            s3: aws_sdk_s3::Client::new(config),
            payments: UncollectedPayments::new(aws_sdk_dynamodb::Client::new(config), env.required("PAYMENTS_TABLE")),
            stack_id: env.required("STACK_ID"),
            bucket: env.required("ARCHIVE_BUCKET"),
            alerts_topic: env.required("ALERTS_TOPIC_ARN"),
        }
    }

    /// To be opened in init: the connections that every command uses. Logs, table and archive are for some, and wait for them.
    pub fn openings(&self) -> [Opening<'_>; 3] {
        [
            Opening::by_call("CloudFormation", self.cloudformation.list_stack_resources().customize().interceptor(WarmUpRequest).send()),
            Opening::by_call("SQS", self.sqs.get_queue_attributes().customize().interceptor(WarmUpRequest).send()),
            Opening::by_call("SNS", self.sns.get_subscription_attributes().customize().interceptor(WarmUpRequest).send()),
        ]
    }

    /// The stack's name, out of `arn:…:stack/NAME/ID`.
    pub fn stack_name(&self) -> String {
        self.stack_id.split('/').nth(1).unwrap_or(&self.stack_id).to_owned()
    }
}

impl Ambient for Aws {
    fn now(&self) -> Timestamp {
        Real.now()
    }
    fn random(&self) -> u64 {
        Real.random()
    }
}

impl Stack for Aws {
    async fn resources(&self) -> Result<Vec<Resource>, Failure> {
        let mut resources = Vec::new();
        let mut next = None;
        loop {
            let call = self.cloudformation.list_stack_resources().stack_name(&self.stack_id).set_next_token(next);
            let page = call.send().await.map_err(|error| failure("ListStackResources", error))?;
            for summary in page.stack_resource_summaries.unwrap_or_default() {
                // One that was never made has no physical id.
                if let (Some(logical_id), Some(physical_id), Some(kind)) =
                    (summary.logical_resource_id, summary.physical_resource_id, summary.resource_type)
                {
                    resources.push(Resource { logical_id, physical_id, kind });
                }
            }
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                return Ok(resources);
            }
        }
    }
}

#[derive(Deserialize)]
struct RedrivePolicy {
    #[serde(rename = "deadLetterTargetArn")]
    target: String,
}

fn dead_letter_arn(policy: Option<&String>) -> Option<String> {
    policy.and_then(|policy| serde_json::from_str::<RedrivePolicy>(policy).ok()).map(|policy| policy.target)
}

impl Queues for Aws {
    async fn facts(&self, url: &str) -> Result<QueueFacts, Failure> {
        let names = [
            QueueAttributeName::QueueArn,
            QueueAttributeName::RedrivePolicy,
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let call = self.sqs.get_queue_attributes().queue_url(url).set_attribute_names(Some(names.into()));
        let attributes = call.send().await.map_err(|error| failure("GetQueueAttributes", error))?.attributes.unwrap_or_default();
        let number = |name| attributes.get(&name).and_then(|count| count.parse().ok()).unwrap_or(0);
        Ok(QueueFacts {
            arn: attributes.get(&QueueAttributeName::QueueArn).cloned().unwrap_or_default(),
            dead_letter_arn: dead_letter_arn(attributes.get(&QueueAttributeName::RedrivePolicy)),
            visible: number(QueueAttributeName::ApproximateNumberOfMessages),
            in_flight: number(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        })
    }

    async fn receive(&self, url: &str, most: usize, lease: Duration) -> Result<Vec<ReceivedMessage>, Failure> {
        let call = self.sqs.receive_message().queue_url(url).wait_time_seconds(WAIT_SECONDS);
        let call = call.max_number_of_messages(i32::try_from(most).unwrap_or(1));
        let call = call.visibility_timeout(i32::try_from(lease.as_secs()).unwrap_or(i32::MAX));
        let call = call.message_system_attribute_names(MessageSystemAttributeName::All).message_attribute_names("All");
        let output = call.send().await.map_err(|error| failure("ReceiveMessage", error))?;
        Ok(output.messages.unwrap_or_default().into_iter().filter_map(received).collect())
    }

    async fn release(&self, url: &str, receipts: &[String]) -> Result<(), Failure> {
        let unaskable = |error| Failure::bug("InvalidRequest", "ChangeMessageVisibilityBatch cannot be asked").caused_by(error);
        let mut call = self.sqs.change_message_visibility_batch().queue_url(url);
        for (index, receipt) in receipts.iter().enumerate() {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string()).receipt_handle(receipt);
            call = call.entries(entry.visibility_timeout(0).build().map_err(unaskable)?);
        }
        let output = call.send().await.map_err(|error| failure("ChangeMessageVisibilityBatch", error))?;
        // The sender's fault is that a message is gone, or its lease is: both are what was asked for.
        match output.failed.into_iter().find(|failed| !failed.sender_fault) {
            Some(failed) => Err(Failure::transient(failed.code, "a message was not made visible")),
            None => Ok(()),
        }
    }

    async fn send(&self, url: &str, message: &Outbound) -> Result<(), Failure> {
        let mut call = self.sqs.send_message().queue_url(url).message_body(&message.body);
        for (name, attribute) in &message.attributes {
            call = call.message_attributes(name, attribute.clone().into_sqs().map_err(unattributable)?);
        }
        let call = call.set_message_group_id(message.group_id.clone());
        let call = call.set_message_deduplication_id(message.deduplication_id.clone());
        call.send().await.map(|_| ()).map_err(|error| failure("SendMessage", error))
    }

    async fn delete(&self, url: &str, receipt: &str) -> Result<(), Failure> {
        let call = self.sqs.delete_message().queue_url(url).receipt_handle(receipt);
        call.send().await.map(|_| ()).map_err(|error| failure("DeleteMessage", error))
    }

    async fn last_move(&self, from_arn: &str) -> Result<Option<Option<MoveTask>>, Failure> {
        let answer = self.sqs.list_message_move_tasks().source_arn(from_arn).max_results(1).send().await;
        let tasks = match answer.map_err(|error| failure("ListMessageMoveTasks", error)) {
            Ok(output) => output.results.unwrap_or_default(),
            Err(failure) if is_unknown(&failure) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        Ok(Some(tasks.into_iter().next().map(move_task)))
    }

    async fn start_move(&self, from_arn: &str, to_arn: &str, rate: Option<u32>) -> Result<(), Failure> {
        let call = self.sqs.start_message_move_task().source_arn(from_arn).destination_arn(to_arn);
        let call = call.set_max_number_of_messages_per_second(rate.and_then(|rate| i32::try_from(rate).ok()));
        call.send().await.map(|_| ()).map_err(|error| failure("StartMessageMoveTask", error))
    }
}

fn move_task(entry: ListMessageMoveTasksResultEntry) -> MoveTask {
    let status = entry.status.unwrap_or_default();
    let over = !matches!(status.as_str(), "RUNNING" | "CANCELLING");
    let number = |count: i64| u64::try_from(count).unwrap_or(0);
    MoveTask {
        over,
        moved: number(entry.approximate_number_of_messages_moved),
        to_move: number(entry.approximate_number_of_messages_to_move.unwrap_or(0)),
        failure: (over && status != "COMPLETED").then(|| entry.failure_reason.unwrap_or(status)),
    }
}

/// Whether the service does not know the action, as one that plays SQS may not.
fn is_unknown(failure: &Failure) -> bool {
    matches!(failure.error_type.as_str(), "InvalidAction" | "UnsupportedOperation" | "UnknownOperationException")
}

fn unattributable(error: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure::bug("InvalidRequest", "an attribute cannot be written").caused_by(error)
}

fn received(message: Message) -> Option<ReceivedMessage> {
    let system = message.attributes.unwrap_or_default();
    let text = |name| system.get(&name).filter(|value: &&String| !value.is_empty()).cloned();
    let sent_ms = text(MessageSystemAttributeName::SentTimestamp).and_then(|ms| ms.parse().ok()).unwrap_or(0);
    let attribute = |(name, value): (String, aws_sdk_sqs::types::MessageAttributeValue)| {
        let data_type = value.data_type;
        let attribute = match (value.string_value, value.binary_value) {
            (Some(value), _) => Attribute::Text { data_type, value },
            (_, Some(value)) => Attribute::Binary { data_type, value: value.into_inner() },
            _ => return None,
        };
        Some((name, attribute))
    };
    let mut attributes: Vec<_> = message.message_attributes.unwrap_or_default().into_iter().filter_map(attribute).collect();
    attributes.sort_by(|(a, _), (b, _)| a.cmp(b));
    // SQS hands out no message without these; one that it did could neither be kept nor deleted.
    Some(ReceivedMessage {
        message_id: message.message_id?,
        receipt: message.receipt_handle?,
        body: message.body.unwrap_or_default(),
        attributes,
        group_id: text(MessageSystemAttributeName::MessageGroupId),
        receives: text(MessageSystemAttributeName::ApproximateReceiveCount).and_then(|count| count.parse().ok()).unwrap_or(1),
        sent_at: Timestamp::from_millisecond(sent_ms).unwrap_or(Timestamp::UNIX_EPOCH),
        moved_from: text(MessageSystemAttributeName::DeadLetterQueueSourceArn),
    })
}

impl Topics for Aws {
    async fn route(&self, subscription_arn: &str) -> Result<Route, Failure> {
        let call = self.sns.get_subscription_attributes().subscription_arn(subscription_arn);
        let attributes = call.send().await.map_err(|error| failure("GetSubscriptionAttributes", error))?.attributes.unwrap_or_default();
        let topic_arn = attributes.get("TopicArn").cloned().unwrap_or_default();
        Ok(Route { topic_arn, dead_letter_arn: dead_letter_arn(attributes.get("RedrivePolicy")) })
    }

    async fn publish(&self, topic_arn: &str, message: &Outbound) -> Result<(), Failure> {
        let mut call = self.sns.publish().topic_arn(topic_arn).message(&message.body);
        for (name, attribute) in &message.attributes {
            let value = aws_sdk_sns::types::MessageAttributeValue::builder();
            let value = match attribute {
                Attribute::Text { data_type, value: text } => value.data_type(data_type).string_value(text),
                Attribute::Binary { data_type, value: bytes } => {
                    value.data_type(data_type).binary_value(aws_sdk_sns::primitives::Blob::new(bytes.clone()))
                }
            };
            call = call.message_attributes(name, value.build().map_err(unattributable)?);
        }
        let call = call.set_message_group_id(message.group_id.clone());
        let call = call.set_message_deduplication_id(message.deduplication_id.clone());
        call.send().await.map(|_| ()).map_err(|error| failure("Publish", error))
    }

    async fn alert(&self, subject: &str, text: &str) -> Result<(), Failure> {
        let call = self.sns.publish().topic_arn(&self.alerts_topic).subject(subject).message(text);
        call.send().await.map(|_| ()).map_err(|error| failure("Publish", error))
    }
}

/// A line that the batch core logged.
#[derive(Deserialize)]
struct Line {
    message_id: String,
    error_type: String,
    error: String,
}

/// The lines about these messages. A pattern over fields, not over terms: a term is found in whatever line quotes it.
fn pattern(message_ids: &[&str]) -> Option<String> {
    // Only what ids of SQS's are made of may become part of a pattern.
    let is_id = |id: &&&str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let terms: Vec<_> = message_ids.iter().filter(is_id).map(|id| format!("$.message_id = \"{id}\"")).collect();
    (!terms.is_empty()).then(|| format!("{{ ({}) }}", terms.join(") || (")))
}

impl Logs for Aws {
    async fn last_errors(&self, group: &str, message_ids: &[&str], since: Timestamp) -> Result<LastErrors, Failure> {
        let mut found: HashMap<String, Logged> = HashMap::new();
        let (mut next, mut complete) = (None, false);
        let Some(pattern) = pattern(message_ids) else { return Ok(LastErrors { by_id: found, complete: true }) };
        for _ in 0..LOG_PAGES_MAX {
            let call = self.logs.filter_log_events().log_group_name(group).filter_pattern(&pattern);
            let call = call.start_time(since.as_millisecond()).set_next_token(next);
            let page = call.send().await.map_err(|error| failure("FilterLogEvents", error))?;
            for event in page.events.unwrap_or_default() {
                let Some(Ok(line)) = event.message.as_deref().map(serde_json::from_str::<Line>) else { continue };
                let at = event.timestamp.and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(since);
                let is_newer = found.get(&line.message_id).is_none_or(|known| known.at <= at);
                if is_newer && message_ids.contains(&line.message_id.as_str()) {
                    found.insert(line.message_id, Logged { error_type: line.error_type, error: line.error, at });
                }
            }
            next = page.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                complete = true;
                break;
            }
        }
        Ok(LastErrors { by_id: found, complete })
    }
}

impl Archive for Aws {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        let call = self.s3.put_object().bucket(&self.bucket).key(key).content_type("application/json");
        call.body(ByteStream::from(bytes)).send().await.map(|_| ()).map_err(|error| failure("PutObject", error))
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        let object = match self.s3.get_object().bucket(&self.bucket).key(key).send().await {
            Ok(object) => object,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => return Ok(None),
            Err(error) => return Err(failure("GetObject", error)),
        };
        let broken = |error| Failure::transient("NoResponse", "GetObject broke off").caused_by(error);
        Ok(Some(object.body.collect().await.map_err(broken)?.to_vec()))
    }
}

impl Payments for Aws {
    async fn unsettled(&self, most: usize) -> Result<Unsettled, Failure> {
        self.payments.unsettled(most).await
    }
}

#[cfg(test)]
mod tests;
