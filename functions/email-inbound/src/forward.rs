//! A reply as support gets it: why a person must look, who wrote it and how far to believe that, and the words.
//!
//! [`EmailInbound`](crate::EmailInbound) sends it. It does not carry attachments: they stay in the bucket, where a virus
//! that nobody has found harms nobody. A reply whose words could not be read for certain goes along whole, if it has none.

use crate::{
    inbox::Stored,
    mail::Mail,
    notification::{Notification, Verdict},
};
use domain::{EmailAddress, OrderId};
use lambda_kit::Failure;
use mailer::{Attachment, OutgoingMail, mail_templates, text};

/// The template's name, and the end of the mail's id: a reply is forwarded once.
pub const TEMPLATE: &str = "forward";
/// Most words of a reply that are passed on, in characters: some six pages, with what it quotes.
pub const WORDS_CHARS_MAX: usize = 20_000;
/// Longest reply that goes along whole, in bytes: 256 KiB. Words alone have some ten KiB, their HTML included. SES takes 40 MB
/// (<https://docs.aws.amazon.com/ses/latest/dg/attachments.html>); the limit is the function's memory, in which ten such mails can wait
/// for SES at once, each some five times: stored, copied, in base64, and in the request.
pub const ORIGINAL_BYTES_MAX: usize = 256 * 1024;
/// Longest name of a sender that is shown.
const NAME_CHARS_MAX: usize = 100;
/// Longest key that is shown: S3 allows no longer one.
const KEY_CHARS_MAX: usize = 1024;

/// Why a reply needs a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It has not one `From` with one address.
    NoClearSender,
    /// SES does not vouch for the sender.
    Unverified,
    /// It names no order, or two.
    NoOrder,
    /// The order that it names does not exist.
    UnknownOrder,
    /// The sender is not the order's customer.
    NotTheCustomer,
    /// There is more of it than what is read, or it breaks off.
    NotAll,
    /// Words of it are hidden, struck out, in a picture or an attachment, or in a character set that it does not name rightly.
    NotCertain,
    /// It says something else than "cancel", or something more.
    NoClearWish,
    /// It asks to cancel what has shipped.
    HasShipped,
}

impl Why {
    /// The word for it in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Why::NoClearSender => "no_clear_sender",
            Why::Unverified => "unverified",
            Why::NoOrder => "no_order",
            Why::UnknownOrder => "unknown_order",
            Why::NotTheCustomer => "not_the_customer",
            Why::NotAll => "not_all",
            Why::NotCertain => "not_certain",
            Why::NoClearWish => "no_clear_wish",
            Why::HasShipped => "has_shipped",
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Why::NoClearSender => "it does not have one clear sender.",
            Why::Unverified => "it could not be verified that it comes from its sender.",
            Why::NoOrder => "it does not say which one order it is about.",
            Why::UnknownOrder => "there is no order of the id that it names.",
            Why::NotTheCustomer => "its sender is not the customer of the order that it names.",
            Why::NotAll => "it could not be read to its end: it is too long, or broken.",
            Why::NotCertain => "not all of what it says is certain: words are hidden, attached, in a picture, or not readable.",
            Why::NoClearWish => "it is not just a wish to cancel.",
            Why::HasShipped => "it asks to cancel an order that has shipped.",
        }
    }

    /// Whether the sender was verified before this was found.
    pub const fn is_verified(self) -> bool {
        !matches!(self, Why::NoClearSender | Why::Unverified)
    }
}

struct Forward {
    why: &'static str,
    order: String,
    sender: String,
    believed: &'static str,
    subject: String,
    attachments: usize,
    key: String,
    words: String,
    cut: bool,
    doubt: &'static str,
}
mail_templates!(Forward: "forward/subject.txt", "forward/body.txt", "forward/body.html");

/// The mail that brings `mail` to `support`.
///
/// # Errors
/// A bug, where the templates fail.
pub fn outgoing(
    notification: &Notification,
    mail: &Mail,
    stored: &Stored,
    why: Why,
    order: Option<OrderId>,
    support: &EmailAddress,
) -> Result<OutgoingMail, Failure> {
    let (words, all) = words(&mail.words());
    let original = original(notification, mail, stored);
    let subject = text::one_line(&mail.subject.0, text::SUBJECT_CHARS_MAX);
    let facts = Forward {
        why: why.sentence(),
        order: order.map_or_else(|| "not named".to_owned(), |order| order.to_string()),
        sender: mail.from.as_ref().map_or_else(
            || "not clear".to_owned(),
            |from| {
                let name = from.name.as_ref().map_or_else(String::new, |name| text::one_line(&name.0, NAME_CHARS_MAX));
                format!("{name} <{}>", from.address.as_str()).trim().to_owned()
            },
        ),
        believed: if why.is_verified() { "The sender is verified." } else { "The sender is NOT verified: it may be forged." },
        subject: if subject.is_empty() { "(no subject)".to_owned() } else { subject },
        attachments: mail.attachments,
        key: text::one_line(&notification.key, KEY_CHARS_MAX),
        words,
        cut: !(all && stored.whole && mail.complete),
        doubt: match (mail.certain, &original) {
            (true, _) => "",
            (false, Some(_)) => "Not all of it could be read for certain. The original is attached.",
            (false, None) => "Not all of it could be read for certain. The original is in the stored mail.",
        },
    };
    Ok(OutgoingMail {
        mail_id: format!("{}/{TEMPLATE}", notification.message_id),
        to: support.clone(),
        mail: mailer::Mail { attachment: original, ..facts.mail()? },
        reply_to: mail.from.as_ref().map(|from| from.address.as_str().to_owned()),
        template: TEMPLATE,
        // RFC 3834: nothing must answer this by itself, and if something does, its answer is dropped here.
        headers: vec![("Auto-Submitted".to_owned(), "auto-forwarded".to_owned())],
        unpaid: false, // it has a limit of its own
    })
}

/// The reply as it came, where its words are not certain: without attachments, found free of viruses, and not too long.
///
/// As `message/rfc822` where it can be: nothing may encode such a part (RFC 2046, section 5.2.1), and of what may stand in a mail
/// unencoded, SES's attachments know seven bits alone
/// (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Attachment.html>). What has eight is a file that ends in `.eml`, which
/// mail programs open all the same.
fn original(notification: &Notification, mail: &Mail, stored: &Stored) -> Option<Attachment> {
    let is_harmless = notification.verdicts.virus == Verdict::Pass && mail.attachments == 0 && mail.complete;
    if mail.certain || !stored.whole || !is_harmless || stored.bytes.len() > ORIGINAL_BYTES_MAX {
        return None;
    }
    let seven_bits = is_seven_bits(&stored.bytes);
    let content_type = if seven_bits { "message/rfc822" } else { "application/octet-stream" };
    Some(Attachment { file_name: "original.eml", content_type, seven_bits, bytes: stored.bytes.clone() })
}

/// Whether these bytes may stand in a mail as they are (RFC 2045, section 2.7).
fn is_seven_bits(bytes: &[u8]) -> bool {
    /// Longest line, without its end (RFC 5321, section 4.5.3.1.6).
    const LINE_BYTES_MAX: usize = 998;
    let line_is_short = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).len() <= LINE_BYTES_MAX;
    bytes.iter().all(|byte| byte.is_ascii() && *byte != 0) && bytes.split(|byte| *byte == b'\n').all(line_is_short)
}

/// The words as they are passed on, and whether these are all: without control characters, which terminals and old mail
/// programs obey.
fn words(text: &str) -> (String, bool) {
    let mut visible = text.chars().filter(|c| *c == '\n' || !c.is_control());
    let words: String = visible.by_ref().take(WORDS_CHARS_MAX).collect();
    (words.trim().to_owned(), visible.next().is_none())
}
