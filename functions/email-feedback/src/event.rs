//! SES's events about a mail: an event as event publishing writes it, as far as it is acted upon.
//!
//! [`EmailFeedback`](crate::EmailFeedback) reads the body of each message with [`MailEvent::parse`]. The shapes are those
//! of <https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html>; fields that are not named
//! here are ignored, as that page asks. It does not quote anything that stands in an event: most of it is a person's.

use domain::{EmailAddress, Timestamp};
use lambda_kit::{Failure, foreign_json::null_as_default};
use mailer::ses::TEMPLATE_TAG;
use serde::Deserialize;
use std::collections::HashMap;

/// The plain text that SES publishes, when a configuration set is first pointed at a topic.
pub const TOPIC_VALIDATED: &str = "Successfully validated SNS topic for Amazon SES event publishing.";
/// What of it is compared: SES documents no wording.
const VALIDATED: &str = "Successfully validated SNS topic";
/// Longest tag, and longest subtype, that is logged as it is. Ours and SES's are shorter; a log line is no place for more.
const WORD_BYTES_MAX: usize = 64;

/// Something that became of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailEvent {
    /// SES's id of the mail; the ledger has it too.
    pub message_id: String,
    /// The template the mail was made from, `none` where it carries no such tag.
    pub template: String,
    /// The outcome of it.
    pub what: What,
}

/// The outcome of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Nothing: SES has tried whether it may publish to the topic.
    TopicValidated,
    /// SES accepted it.
    Send,
    /// The recipient's mail server accepted it.
    Delivery,
    /// The recipient opened it.
    Open,
    /// The recipient followed a link.
    Click,
    /// SES found a virus in it.
    Reject,
    /// A template and its data did not fit.
    RenderingFailure,
    /// The recipient's mail server does not take it yet; SES goes on trying.
    DeliveryDelay,
    /// The recipient used a subscription page of SES's. Ours has one of its own, so none should come.
    Subscription,
    /// It came back.
    Bounce(Bounce),
    /// The recipient, or somebody on the way, complained about it.
    Complaint(Complaint),
}

impl What {
    /// The name to count by.
    pub const fn name(&self) -> &'static str {
        match self {
            What::TopicValidated => "topic_validated",
            What::Send => "send",
            What::Delivery => "delivery",
            What::Open => "open",
            What::Click => "click",
            What::Reject => "reject",
            What::RenderingFailure => "rendering_failure",
            What::DeliveryDelay => "delivery_delay",
            What::Subscription => "subscription",
            What::Bounce(_) => "bounce",
            What::Complaint(_) => "complaint",
        }
    }
}

/// A mail that came back. SES publishes soft bounces only once it has stopped trying.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounce {
    /// Whether it always will.
    pub bounce_type: BounceType,
    /// SES's subtype, such as `MailboxFull`.
    pub sub_type: String,
    /// SES's id of this bounce; that of the mail where SES gave none.
    pub feedback_id: String,
    /// When SES published it, where it says so.
    pub bounced_at: Option<Timestamp>,
    /// The recipient.
    pub recipients: Vec<EmailAddress>,
}

/// SES's type of a bounce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum BounceType {
    /// SES could not tell why.
    Undetermined,
    /// The address takes no mail.
    Permanent,
    /// The address, or its server, did not take this one now.
    Transient,
}

impl Bounce {
    /// Whether the bounce speaks of the address. These subtypes speak of the mail: too large, or something in it that a
    /// filter did not like. Another mail to the same address may well arrive.
    pub fn blames_the_address(&self) -> bool {
        !matches!(self.sub_type.as_str(), "MessageTooLarge" | "ContentRejected" | "AttachmentRejected")
    }
}

/// A complaint about a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The reporter's own word for it (<https://www.iana.org/assignments/marf-parameters>), where there is a report.
    pub feedback_type: Option<String>,
    /// The recipient.
    pub recipients: Vec<EmailAddress>,
}

impl Complaint {
    /// Whether somebody does not want our mail. `not-spam` says the opposite, and `auth-failure` reports on signatures and
    /// speaks for nobody. What is new or missing counts as a complaint: mailing who complains costs us the permission to send.
    pub fn is_one(&self) -> bool {
        !matches!(self.feedback_type.as_deref(), Some("not-spam" | "auth-failure"))
    }
}

impl MailEvent {
    /// Reads a message's body.
    ///
    /// # Errors
    /// Permanent: the body is no event of SES's, or of a type that this build does not know.
    pub fn parse(body: &str) -> Result<Self, Failure> {
        if body.trim_start().starts_with(VALIDATED) {
            return Ok(Self { message_id: String::new(), template: "none".to_owned(), what: What::TopicValidated });
        }
        let event_type = match json(body)? {
            About { event_type: Some(event_type), .. } => event_type,
            About { notification_type: Some(notification_type), .. } => return Err(no_event(&notification_type)),
            _ => return Err(unreadable("it has no `eventType`")),
        };
        let Wire { mail, bounce, complaint } = json(body)?;
        let what = match event_type.as_str() {
            "Send" => What::Send,
            "Delivery" => What::Delivery,
            "Open" => What::Open,
            "Click" => What::Click,
            "Reject" => What::Reject,
            "Rendering Failure" => What::RenderingFailure,
            "DeliveryDelay" => What::DeliveryDelay,
            "Subscription" => What::Subscription,
            "Bounce" => {
                let bounce = bounce.ok_or_else(|| unreadable("a bounce without `bounce`"))?;
                What::Bounce(Bounce {
                    bounce_type: bounce.bounce_type,
                    sub_type: word(&bounce.bounce_sub_type),
                    recipients: recipients(&mail, &bounce.bounced_recipients)?,
                    feedback_id: if bounce.feedback_id.is_empty() { mail.message_id.clone() } else { bounce.feedback_id },
                    bounced_at: bounce.timestamp.parse().ok(),
                })
            }
            "Complaint" => {
                let complaint = complaint.ok_or_else(|| unreadable("a complaint without `complaint`"))?;
                What::Complaint(Complaint {
                    recipients: recipients(&mail, &complaint.complained_recipients)?,
                    feedback_type: complaint.complaint_feedback_type.map(|word| word.to_ascii_lowercase()),
                })
            }
            _ => return Err(Failure::permanent("UnknownMailEvent", "SES publishes a type of event that this build does not know")),
        };
        let tag = mail.tags.get(TEMPLATE_TAG).and_then(Option::as_ref).and_then(|values| values.first());
        let template = tag.map_or_else(|| "none".to_owned(), |tag| word(tag));
        Ok(Self { message_id: word(&mail.message_id), template, what })
    }
}

/// Who is to get no more mail. Our mails have one recipient each, and then it is that one: what bounced or complained may be
/// an address that it is forwarded to, which we would never write to. A mail to several is not ours; there, those count that
/// SES lists.
fn recipients(mail: &WireMail, listed: &[WireRecipient]) -> Result<Vec<EmailAddress>, Failure> {
    let sent_to = mail.destination.as_slice();
    let addresses: Vec<_> = match sent_to {
        [one] => address(one).into_iter().collect(),
        _ => Vec::new(),
    };
    let addresses = if addresses.is_empty() { listed.iter().filter_map(|to| address(&to.email_address)).collect() } else { addresses };
    if addresses.is_empty() { Err(unreadable("no recipient is an address")) } else { Ok(addresses) }
}

/// An address as SES writes it: bare, or with a name in front of it.
fn address(text: &str) -> Option<EmailAddress> {
    let bare = text.rsplit_once('<').and_then(|(_, rest)| rest.strip_suffix('>')).unwrap_or(text);
    bare.parse().ok()
}

/// A word for the log, or `other` where it is none.
fn word(text: &str) -> String {
    let fits = !text.is_empty() && text.len() <= WORD_BYTES_MAX;
    let clean = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if fits && clean { text.to_owned() } else { "other".to_owned() }
}

fn unreadable(what: impl std::fmt::Display) -> Failure {
    Failure::permanent("UnreadableMailEvent", format_args!("the body is no event as SES publishes them: {what}"))
}

fn json<'b, T: Deserialize<'b>>(body: &'b str) -> Result<T, Failure> {
    // What serde says may quote a value.
    serde_json::from_str(body).map_err(|error| unreadable(format_args!("{:?}, column {}", error.classify(), error.column())))
}

/// Why a notification is not read that SES sends by other settings than the configuration set's. The settings of an identity send
/// a second notification of each bounce, and a first one, `AmazonSnsSubscriptionSucceeded`, when they are made
/// (<https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html>). Without a topic in the command they are off
/// (<https://docs.aws.amazon.com/ses/latest/APIReference/API_SetIdentityNotificationTopic.html>).
fn no_event(notification_type: &str) -> Failure {
    match notification_type {
        "Bounce" | "Complaint" | "Delivery" | "AmazonSnsSubscriptionSucceeded" => Failure::permanent(
            "IdentityNotification",
            "the notifications of an SES identity are on and go to the topic of mail events, whose configuration set tells the same. Switch \
             them off: `aws ses set-identity-notification-topic --identity IDENTITY --notification-type Bounce`, without --sns-topic; the \
             same with Complaint and Delivery; then discard",
        ),
        "Received" => Failure::permanent(
            "InboundNotification",
            "a receipt rule publishes received mail to the topic of mail events: point its S3 action at the topic of inbound mail",
        ),
        _ => Failure::permanent("UnknownMailEvent", "SES publishes a type of notification that this build does not know"),
    }
}

/// By which of its settings SES sends this.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    event_type: Option<String>,
    notification_type: Option<String>,
}

// Of a bounce or a complaint that names an address nothing else is needed to suppress it. So everything else may be missing or
// `null`: a bounce that is parked for a tag costs the account's reputation with each further mail.

#[derive(Deserialize)]
struct Wire {
    mail: WireMail,
    bounce: Option<WireBounce>,
    complaint: Option<WireComplaint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMail {
    #[serde(default, deserialize_with = "null_as_default")]
    message_id: String,
    #[serde(default, deserialize_with = "null_as_default")]
    destination: Vec<String>,
    #[serde(default, deserialize_with = "null_as_default")]
    tags: HashMap<String, Option<Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBounce {
    bounce_type: BounceType,
    #[serde(default, deserialize_with = "null_as_default")]
    bounce_sub_type: String,
    #[serde(default, deserialize_with = "null_as_default")]
    bounced_recipients: Vec<WireRecipient>,
    #[serde(default, deserialize_with = "null_as_default")]
    feedback_id: String,
    #[serde(default, deserialize_with = "null_as_default")]
    timestamp: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireComplaint {
    #[serde(default, deserialize_with = "null_as_default")]
    complained_recipients: Vec<WireRecipient>,
    complaint_feedback_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireRecipient {
    #[serde(default, deserialize_with = "null_as_default")]
    email_address: String,
}
