//! SES's report of a received mail: a notification as the S3 action of a receipt rule publishes it.
//!
//! [`EmailInbound`](crate::EmailInbound) reads the body of each message with [`Message::parse`]. The shape is that of
//! <https://docs.aws.amazon.com/ses/latest/dg/receiving-email-notifications-contents.html>; the mail itself lies in S3. It
//! does not quote anything that stands in a notification: most of it is a person's.

use domain::{Personal, Timestamp};
use lambda_kit::{Failure, foreign_json::null_as_default};
use serde::Deserialize;

/// The id of the mail that SES makes up to try out a receipt rule that is new.
const SETUP_MAIL: &str = "AMAZON_SES_SETUP_NOTIFICATION";
/// The type of the notification that SES makes up to try out a topic that is new.
const SETUP_NOTIFICATION: &str = "AmazonSnsSubscriptionSucceeded";
/// Longest id of a mail. SES's have 40 characters; it becomes part of a key of the ledger.
const MESSAGE_ID_BYTES_MAX: usize = 128;

/// A message of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A mail was received and stored.
    Received(Box<Notification>),
    /// SES has tried whether the rule and the topic work.
    Setup,
}

/// A mail was received and stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// SES's id of the mail.
    pub message_id: String,
    /// When SES received it.
    pub received_at: Timestamp,
    /// The bucket it lies in.
    pub bucket: String,
    /// Its key there.
    pub key: String,
    /// Which of our addresses it was delivered to, by the envelope.
    pub recipients: Vec<Personal<String>>,
    /// The envelope's sender; empty where nobody wants to hear that it could not be delivered.
    pub envelope_sender: Personal<String>,
    /// The author, as SES read the mail's `From`.
    pub from: Vec<Personal<String>>,
    /// SES's verdicts on it.
    pub verdicts: Verdicts,
}

/// SES's verdicts on a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdicts {
    /// Whether it is no spam.
    pub spam: Verdict,
    /// Whether it carries no virus.
    pub virus: Verdict,
    /// Whether the server that brought it may speak for the envelope sender's domain.
    pub spf: Verdict,
    /// Whether a signature of it holds; whose, this does not say.
    pub dkim: Verdict,
    /// Whether one of both is in the name of the domain in `From`.
    pub dmarc: Verdict,
    /// Whether that domain asks for mail that fails DMARC to be rejected.
    pub asks_to_reject: bool,
}

/// One of SES's verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// It is as it should be.
    Pass,
    /// It is not.
    Fail,
    /// SES cannot say (`GRAY`, `PROCESSING_FAILED`), was not asked, or says something new: nothing to rely on.
    #[default]
    #[serde(other)]
    Unknown,
}

impl Message {
    /// Reads a message's body.
    ///
    /// # Errors
    /// Permanent: the body is no notification of a mail in S3.
    pub fn parse(body: &str) -> Result<Self, Failure> {
        // What serde says may quote a value.
        let about: About =
            serde_json::from_str(body).map_err(|error| unreadable(format_args!("{:?}, column {}", error.classify(), error.column())))?;
        match about.notification_type.as_str() {
            "Received" => {}
            SETUP_NOTIFICATION => return Ok(Message::Setup),
            _ => {
                return Err(Failure::permanent(
                    "UnknownNotification",
                    "SES publishes a type of notification that this build does not know",
                ));
            }
        }
        let Wire { mail, receipt } =
            serde_json::from_str(body).map_err(|error| unreadable(format_args!("{:?}, column {}", error.classify(), error.column())))?;
        if mail.message_id == SETUP_MAIL {
            return Ok(Message::Setup);
        }
        if mail.message_id.is_empty()
            || mail.message_id.len() > MESSAGE_ID_BYTES_MAX
            || !mail.message_id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        {
            return Err(unreadable("`messageId` is no id"));
        }
        let received_at = mail.timestamp.ok_or_else(|| unreadable("it does not say when the mail was received"))?;
        let Action { bucket_name: Some(bucket), object_key: Some(key) } = receipt.action else {
            return Err(unreadable("it lacks the bucket and key that one of the S3 action has"));
        };
        let personal = |texts: Vec<String>| texts.into_iter().map(Personal).collect();
        Ok(Message::Received(Box::new(Notification {
            message_id: mail.message_id,
            received_at,
            bucket,
            key,
            recipients: personal(receipt.recipients),
            envelope_sender: Personal(mail.source),
            from: personal(mail.common_headers.from),
            verdicts: Verdicts {
                spam: receipt.spam_verdict.status,
                virus: receipt.virus_verdict.status,
                spf: receipt.spf_verdict.status,
                dkim: receipt.dkim_verdict.status,
                dmarc: receipt.dmarc_verdict.status,
                asks_to_reject: receipt.dmarc_policy.is_some_and(|policy| policy.eq_ignore_ascii_case("reject")),
            },
        })))
    }
}

fn unreadable(what: impl std::fmt::Display) -> Failure {
    Failure::permanent("UnreadableNotification", format_args!("the body is no notification of a received mail: {what}"))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    notification_type: String,
}

#[derive(Deserialize)]
struct Wire {
    mail: WireMail,
    receipt: Receipt,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMail {
    timestamp: Option<Timestamp>,
    message_id: String,
    #[serde(default, deserialize_with = "null_as_default")]
    source: String,
    #[serde(default, deserialize_with = "null_as_default")]
    common_headers: CommonHeaders,
}

#[derive(Default, Deserialize)]
struct CommonHeaders {
    #[serde(default, deserialize_with = "null_as_default")]
    from: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    #[serde(default, deserialize_with = "null_as_default")]
    recipients: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    spam_verdict: Status,
    #[serde(default, deserialize_with = "null_as_default")]
    virus_verdict: Status,
    #[serde(default, deserialize_with = "null_as_default")]
    spf_verdict: Status,
    #[serde(default, deserialize_with = "null_as_default")]
    dkim_verdict: Status,
    #[serde(default, deserialize_with = "null_as_default")]
    dmarc_verdict: Status,
    dmarc_policy: Option<String>,
    action: Action,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default, deserialize_with = "null_as_default")]
    status: Verdict,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Action {
    bucket_name: Option<String>,
    object_key: Option<String>,
}
