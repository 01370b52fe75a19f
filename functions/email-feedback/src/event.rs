//! What SES says became of a mail: an event as event publishing writes it, as far as it is acted upon.
//!
//! [`EmailFeedback`](crate::EmailFeedback) reads the body of each message with [`MailEvent::parse`]. The shapes are those of
//! <https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html>; fields that are not named here
//! are ignored, as that page asks. It refuses to quote anything that stands in an event: most of it is a person's.

use domain::EmailAddress;
use lambda_kit::Failure;
use mailer::ses::TEMPLATE_TAG;
use serde::Deserialize;
use std::collections::HashMap;

/// What SES publishes, as plain text, when a configuration set is first pointed at a topic.
pub const TOPIC_VALIDATED: &str = "Successfully validated SNS topic for Amazon SES event publishing.";
/// Longest tag, and longest subtype, that is logged as it is. Ours and SES's are shorter; a log line is no place for more.
const WORD_BYTES_MAX: usize = 64;

/// Something that became of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailEvent {
    /// SES's id of the mail; the ledger has it too.
    pub message_id: String,
    /// The template the mail was made from, `none` where it carries no such tag.
    pub template: String,
    /// What became of it.
    pub what: What,
}

/// What became of a mail.
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
    /// SES's id of this bounce.
    pub feedback_id: String,
    /// Who it was for.
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
    /// Who it was for.
    pub recipients: Vec<EmailAddress>,
}

impl Complaint {
    /// Whether somebody does not want our mail. `not-spam` says the opposite, and `auth-failure` reports on signatures and
    /// speaks for nobody. What is new or missing counts as a complaint: mailing who complains costs the right to send.
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
        if body.trim() == TOPIC_VALIDATED {
            return Ok(Self { message_id: String::new(), template: "none".to_owned(), what: What::TopicValidated });
        }
        // What serde says may quote a value.
        let Wire { event_type, mail, bounce, complaint } =
            serde_json::from_str(body).map_err(|error| unreadable(format_args!("{:?}, column {}", error.classify(), error.column())))?;
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
                    feedback_id: bounce.feedback_id,
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
        let template = mail.tags.get(TEMPLATE_TAG).and_then(|values| values.first()).map_or_else(|| "none".to_owned(), |tag| word(tag));
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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    event_type: String,
    mail: WireMail,
    bounce: Option<WireBounce>,
    complaint: Option<WireComplaint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireMail {
    message_id: String,
    #[serde(default)]
    destination: Vec<String>,
    #[serde(default)]
    tags: HashMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireBounce {
    bounce_type: BounceType,
    bounce_sub_type: String,
    bounced_recipients: Vec<WireRecipient>,
    feedback_id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireComplaint {
    complained_recipients: Vec<WireRecipient>,
    complaint_feedback_type: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireRecipient {
    email_address: String,
}
