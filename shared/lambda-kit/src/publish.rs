//! Publishing in batches, with every entry's fate reported.
//!
//! `PublishBatch` answers 200 with failed entries in its body, and most callers never look. Here each entry has a
//! result of its own, and the batch core fails the record it came from.

use crate::message::Outgoing;

/// Most entries in one PublishBatch (<https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>).
pub const BATCH_ENTRIES_MAX: usize = 10;
/// Most bytes in one PublishBatch, all entries together: 256 KiB (the same page).
pub const BATCH_BYTES_MAX: usize = 256 * 1024;

/// Why an entry was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct PublishError {
    /// The service's error code.
    pub code: String,
    /// The service's message, or ours.
    pub message: String,
}

/// A topic to publish to.
pub trait Publisher {
    /// Publishes up to [`BATCH_ENTRIES_MAX`] messages of together up to [`BATCH_BYTES_MAX`] in one call.
    /// Returns one result per message, in their order.
    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), PublishError>>;
}

/// For consumers that publish nothing: refuses whatever comes.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTopic;

impl Publisher for NoTopic {
    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), PublishError>> {
        let refused = || Err(PublishError { code: "NoTopic".into(), message: "this function publishes nothing".into() });
        batch.iter().map(|_| refused()).collect()
    }
}

#[cfg(feature = "sns")]
pub use sns::SnsTopic;

#[cfg(feature = "sns")]
mod sns {
    use super::{PublishError, Publisher};
    use crate::{
        config::Env,
        message::Outgoing,
        warm_up::{Opening, WarmUpRequest},
    };
    use aws_sdk_sns::{
        Client,
        error::ProvideErrorMetadata,
        types::{MessageAttributeValue, PublishBatchRequestEntry},
    };

    /// An SNS topic, FIFO if its name says so.
    #[derive(Debug, Clone)]
    pub struct SnsTopic {
        client: Client,
        arn: String,
    }

    impl SnsTopic {
        /// A handle on the topic `arn`.
        pub fn new(client: Client, arn: impl Into<String>) -> Self {
            Self { client, arn: arn.into() }
        }

        /// Reads the topic's ARN from the variable `name`; see [`Env`] for what becomes of a missing one.
        pub fn from_env(name: &str, env: &mut Env, config: &crate::SdkConfig) -> Self {
            Self::new(Client::new(config), env.required(name))
        }

        /// To be opened in init: the connection to SNS.
        pub fn opening(&self) -> Opening<'_> {
            Opening::by_call("SNS", self.client.publish_batch().topic_arn(&self.arn).customize().interceptor(WarmUpRequest).send())
        }

        fn entry(&self, index: usize, message: &Outgoing) -> Result<PublishBatchRequestEntry, PublishError> {
            let fifo = self.arn.ends_with(".fifo");
            let mut entry = PublishBatchRequestEntry::builder().id(index.to_string()).message(&message.body);
            if fifo {
                entry = entry.message_group_id(&message.group_id).message_deduplication_id(&message.deduplication_id);
            }
            for (name, value) in &message.attributes {
                let value = MessageAttributeValue::builder().data_type("String").string_value(value).build().map_err(unsendable)?;
                entry = entry.message_attributes(*name, value);
            }
            entry.build().map_err(unsendable)
        }
    }

    impl Publisher for SnsTopic {
        async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), PublishError>> {
            let mut fates: Vec<Option<Result<(), PublishError>>> = Vec::with_capacity(batch.len());
            let mut call = self.client.publish_batch().topic_arn(&self.arn);
            for (index, message) in batch.iter().enumerate() {
                match self.entry(index, message) {
                    Ok(entry) => {
                        call = call.publish_batch_request_entries(entry);
                        fates.push(None);
                    }
                    Err(error) => fates.push(Some(Err(error))),
                }
            }
            let mut set = |id: &str, fate: Result<(), PublishError>| {
                if let Some(place) = id.parse::<usize>().ok().and_then(|index| fates.get_mut(index)) {
                    *place = Some(fate);
                }
            };
            let missing = match call.send().await {
                Ok(output) => {
                    output.successful().iter().for_each(|entry| set(entry.id().unwrap_or_default(), Ok(())));
                    for failed in output.failed() {
                        let message = failed.message().unwrap_or_default().to_owned();
                        set(failed.id(), Err(PublishError { code: failed.code().to_owned(), message }));
                    }
                    // An entry that is in neither list may or may not be out. Publishing it again is harmless.
                    PublishError { code: "NotMentioned".into(), message: "the answer does not mention this entry".into() }
                }
                Err(error) => {
                    let code = crate::sdk::code(&error).to_owned();
                    let message =
                        error.as_service_error().and_then(ProvideErrorMetadata::message).unwrap_or("PublishBatch failed").to_owned();
                    PublishError { code, message }
                }
            };
            fates.into_iter().map(|fate| fate.unwrap_or_else(|| Err(missing.clone()))).collect()
        }
    }

    fn unsendable(error: aws_sdk_sns::error::BuildError) -> PublishError {
        PublishError { code: "InvalidRequest".into(), message: error.to_string() }
    }
}
