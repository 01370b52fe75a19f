//! The SQS side of the batch core, and the loop that drives it inside Lambda.

use super::{Attribute, Batch, Consumer, Delayed, Hide, Parked, Queue, QueueError};
use crate::{Ambient, Failure, config::Env, deadline, publish::Publisher};
use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_sqs::{
    Client,
    error::{BuildError, DisplayErrorContext},
    primitives::Blob,
    types::{ChangeMessageVisibilityBatchRequestEntry, MessageAttributeValue, SendMessageBatchRequestEntry},
};
use lambda_runtime::{LambdaEvent, service_fn};

/// A queue and its dead-letter queue.
#[derive(Debug, Clone)]
pub struct SqsQueue {
    client: Client,
    url: String,
    dead_letter_url: String,
}

impl SqsQueue {
    /// Handles on the queue `url` and its dead-letter queue.
    pub fn new(client: Client, url: impl Into<String>, dead_letter_url: impl Into<String>) -> Self {
        Self { client, url: url.into(), dead_letter_url: dead_letter_url.into() }
    }

    /// Reads `QUEUE_URL` and `DEAD_LETTER_QUEUE_URL`; see [`Env`] for what becomes of a missing one.
    pub fn from_env(env: &mut Env, config: &crate::SdkConfig) -> Self {
        Self::new(Client::new(config), env.required("QUEUE_URL"), env.required("DEAD_LETTER_QUEUE_URL"))
    }
}

impl Queue for SqsQueue {
    async fn hide(&self, messages: &[Hide]) -> Vec<Result<(), QueueError>> {
        let mut call = self.client.change_message_visibility_batch().queue_url(&self.url);
        for (index, hide) in messages.iter().enumerate() {
            let seconds = i32::try_from(hide.seconds).unwrap_or(i32::MAX);
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string()).receipt_handle(&hide.receipt_handle);
            match entry.visibility_timeout(seconds).build() {
                Ok(entry) => call = call.entries(entry),
                Err(error) => return messages.iter().map(|_| Err(QueueError(error.to_string()))).collect(),
            }
        }
        match call.send().await {
            Ok(output) => {
                let failed = |index: usize| output.failed().iter().find(|failed| failed.id() == index.to_string());
                let result = |index| {
                    failed(index)
                        .map_or(Ok(()), |failed| Err(QueueError(format!("{}: {}", failed.code(), failed.message().unwrap_or_default()))))
                };
                (0..messages.len()).map(result).collect()
            }
            Err(error) => {
                let error = QueueError(DisplayErrorContext(error).to_string());
                messages.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    async fn park(&self, parked: Parked) -> Result<(), QueueError> {
        let mut call = self.client.send_message().queue_url(&self.dead_letter_url).message_body(parked.body);
        for (name, attribute) in parked.attributes {
            call = call.message_attributes(name, attribute.into_sqs().map_err(|error| QueueError(error.to_string()))?);
        }
        let call = call.set_message_group_id(parked.group_id).set_message_deduplication_id(parked.deduplication_id);
        call.send().await.map(|_| ()).map_err(|error| QueueError(DisplayErrorContext(error).to_string()))
    }

    async fn send_delayed(&self, messages: &[Delayed]) -> Vec<Result<(), QueueError>> {
        let mut call = self.client.send_message_batch().queue_url(&self.url);
        for (index, message) in messages.iter().enumerate() {
            match entry(index, message) {
                Ok(entry) => call = call.entries(entry),
                Err(error) => return messages.iter().map(|_| Err(QueueError(error.to_string()))).collect(),
            }
        }
        match call.send().await {
            Ok(output) => {
                // Only what is said to be sent is: a message that is in neither list is retried, which at worst checks once more.
                let is_sent = |id: &str| output.successful().iter().any(|sent| sent.id() == id);
                let result = |index: usize| match output.failed().iter().find(|failed| failed.id() == index.to_string()) {
                    Some(failed) => Err(QueueError(format!("{}: {}", failed.code(), failed.message().unwrap_or_default()))),
                    None if is_sent(&index.to_string()) => Ok(()),
                    None => Err(QueueError("the answer does not mention this message".to_owned())),
                };
                (0..messages.len()).map(result).collect()
            }
            Err(error) => {
                let error = QueueError(DisplayErrorContext(error).to_string());
                messages.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }
}

fn entry(index: usize, message: &Delayed) -> Result<SendMessageBatchRequestEntry, BuildError> {
    let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(&message.body);
    let mut entry = entry.delay_seconds(i32::try_from(message.delay_s).unwrap_or(i32::MAX));
    for (name, attribute) in &message.attributes {
        entry = entry.message_attributes(name, attribute.clone().into_sqs()?);
    }
    entry.build()
}

impl Attribute {
    /// The attribute as the SDK sends it.
    ///
    /// # Errors
    /// Where the SDK cannot build it.
    pub fn into_sqs(self) -> Result<MessageAttributeValue, BuildError> {
        let value = MessageAttributeValue::builder();
        match self {
            Self::Text { data_type, value: text } => value.data_type(data_type).string_value(text),
            Self::Binary { data_type, value: bytes } => value.data_type(data_type).binary_value(Blob::new(bytes)),
        }
        .build()
    }
}

/// Serves invocations until Lambda ends the process.
///
/// # Errors
/// Only the runtime's own; a batch never fails, it reports its records. What is no batch of a queue is an error of the invocation.
pub async fn run<C: Consumer, P: Publisher, A: Ambient>(
    consumer: C,
    publisher: P,
    queue: SqsQueue,
    ambient: A,
) -> Result<(), lambda_runtime::Error> {
    let batch = Batch { consumer, publisher, queue, ambient };
    let batch = &batch;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<SqsEvent>| async move {
        require_a_queue(&event.payload)?;
        let deadline = deadline(&batch.ambient, &event.context);
        // Boxed: the futures of handler, SDK and runtime nest deeper than the compiler follows in one piece.
        Ok::<_, lambda_runtime::Error>(Box::pin(batch.handle(event.payload, deadline)).await)
    }))
    .await
}

/// Refuses the events of other services. SNS, S3 and others hand over `Records` too: read as a queue's they have neither id nor body,
/// and would be parked, empty, and acknowledged. Where such a service invokes the function, it tries a failed invocation again and
/// then hands the event to its own dead-letter queue, whole.
fn require_a_queue(event: &SqsEvent) -> Result<(), Failure> {
    // As every SQS event says it (https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html); SNS spells the name with a capital.
    const QUEUE: &str = "aws:sqs";
    match event.records.iter().map(|record| record.event_source.as_deref()).find(|source| *source != Some(QUEUE)) {
        None => Ok(()),
        Some(source) => {
            let source = source.unwrap_or("no eventSource, as an SNS event has none");
            let what = format!("the event is no batch of an SQS queue: a record says {source}. Deliver to the function's queue instead");
            Err(Failure::permanent("NotAQueueBatch", what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn refusal(records: Value) -> Option<String> {
        let event = serde_json::from_value(json!({ "Records": records })).unwrap();
        require_a_queue(&event).err().map(|failure| failure.to_string())
    }

    #[test]
    fn records_of_other_services_are_refused_whole() {
        let ours = json!({"messageId": "1", "body": "{}", "eventSource": "aws:sqs"});
        assert_eq!(refusal(json!([ours, ours])), None);
        assert_eq!(refusal(json!([])), None);
        assert!(refusal(json!([{"EventSource": "aws:sns", "Sns": {"Message": "m"}}])).unwrap().contains("SNS"));
        assert!(refusal(json!([ours, {"eventSource": "aws:s3", "s3": {}}])).unwrap().contains("aws:s3"));
    }
}
