//! Where SES puts the mails: the port of `email-inbound`, and its S3 side.
//!
//! [`EmailInbound`](crate::EmailInbound) calls it, once per mail. It does not read a whole mail that is long: what people
//! write comes before what they attach.

use aws_sdk_s3::Client;
use lambda_kit::{
    Failure,
    sdk::failure,
    warm_up::{Opening, WarmUpRequest},
};

/// Most of a mail that is read: 1 MiB. A reply with all that it quotes has some ten KiB, and a photograph some MiB; SES
/// delivers up to 40 MB, and ten of those at a time would not fit into the function's memory.
pub const MAIL_BYTES_MAX: usize = 1024 * 1024;

/// The mails that SES has stored.
pub trait Inbox {
    /// The bucket's name.
    fn bucket(&self) -> &str;
    /// The mail stored under `key`: one GetObject.
    async fn fetch(&self, key: &str) -> Result<Stored, Failure>;
}

/// A mail as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its bytes, at most [`MAIL_BYTES_MAX`].
    pub bytes: Vec<u8>,
    /// Whether these are all of them.
    pub whole: bool,
}

/// The bucket of the receipt rule.
#[derive(Debug, Clone)]
pub struct Bucket {
    client: Client,
    name: String,
}

impl Bucket {
    /// A handle on the bucket `name`.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    /// To be opened in init: the connection to the bucket, which has a host of its own.
    pub fn opening(&self) -> Opening<'_> {
        Opening::by_call("S3", self.client.get_object().bucket(&self.name).key("none").customize().interceptor(WarmUpRequest).send())
    }
}

impl Inbox for Bucket {
    fn bucket(&self) -> &str {
        &self.name
    }

    /// A mail that is not there is a transient failure like any other: SES stores it before it says so, and a person who
    /// deleted it may put it back. Without the permission to list, S3 answers 403 for it anyway.
    async fn fetch(&self, key: &str) -> Result<Stored, Failure> {
        let mut object = self.client.get_object().bucket(&self.name).key(key).send().await.map_err(|error| failure("GetObject", error))?;
        let mut bytes = Vec::new();
        loop {
            let chunk = object.body.try_next().await;
            let chunk = chunk.map_err(|error| Failure::transient("NoResponse", "reading a mail from S3 broke off").caused_by(error))?;
            let Some(chunk) = chunk else { return Ok(Stored { bytes, whole: true }) };
            let room = MAIL_BYTES_MAX.saturating_sub(bytes.len());
            bytes.extend(chunk.iter().take(room));
            if chunk.len() > room {
                // The rest is not asked for: dropping the stream closes the connection.
                return Ok(Stored { bytes, whole: false });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_kit::Kind;
    use testkit::aws::Aws;

    async fn fetch(status: u16, body: Vec<u8>) -> (Result<Stored, Failure>, Vec<String>) {
        let aws = Aws::answering([(status, body)]);
        let fetched = Bucket::new(Client::new(&aws.config_without_retries()), "mails").fetch("in/1").await;
        (fetched, aws.requests().into_iter().map(|asked| asked.line).collect())
    }

    #[tokio::test]
    async fn a_mail_is_one_get_object_of_limited_length() {
        for (length, whole) in [(0, true), (MAIL_BYTES_MAX, true), (MAIL_BYTES_MAX + 1, false)] {
            let (fetched, asked) = fetch(200, vec![b'a'; length]).await;
            let stored = fetched.unwrap();
            assert_eq!((stored.bytes.len(), stored.whole), (length.min(MAIL_BYTES_MAX), whole));
            assert_eq!(asked, ["GET https://mails.s3.eu-central-1.amazonaws.com/in/1?x-id=GetObject"]);
        }
    }

    #[tokio::test]
    async fn a_mail_that_is_missing_or_may_not_be_read_is_waited_for() {
        for (status, code) in [(404, "NoSuchKey"), (403, "AccessDenied"), (503, "SlowDown")] {
            let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
            let Err(failure) = fetch(status, body.into_bytes()).await.0 else { panic!("{code}") };
            assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Transient, code));
        }
    }
}
