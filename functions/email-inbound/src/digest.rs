//! The mail that tells support of the replies that were not forwarded: how many, of how many senders, and where they lie.
//!
//! [`EmailInbound`](crate::EmailInbound) sends it. It does not quote the replies, not even a subject or a sender: an
//! attacker chooses those too.

use crate::forwards::{ALL_MAX, Closed, FROM_ONE_MAX, LISTED_MAX, UNVERIFIED_MAX, Writer};
use domain::EmailAddress;
use lambda_kit::Failure;
use mailer::{Hour, OutgoingMail, mail_templates, text};

/// The template's name, and the end of the mail's id: an hour is told of once.
pub const TEMPLATE: &str = "forward-digest";
/// Longest key that is shown: S3 allows no longer one.
const KEY_CHARS_MAX: usize = 1024;

struct Digest {
    count: String,
    day: String,
    from: String,
    until: String,
    of_one: usize,
    unverified: usize,
    all: usize,
    bucket: String,
    senders: Vec<Sender>,
    more: bool,
}

struct Sender {
    number: usize,
    verified: &'static str,
    keys: Vec<String>,
}
mail_templates!(Digest: "forward-digest/subject.txt", "forward-digest/body.txt", "forward-digest/body.html");

/// The mail that tells `support` of what of an `hour` lies in `bucket` and was not forwarded.
///
/// # Errors
/// A bug, where the templates fail.
pub fn outgoing(hour: Hour, closed: &Closed, bucket: &str, support: &EmailAddress) -> Result<OutgoingMail, Failure> {
    let listed = closed.held_back.len().min(LISTED_MAX);
    let more = closed.held_back.len() > LISTED_MAX;
    let mut senders: Vec<(&Writer, Sender)> = Vec::new();
    for (writer, key) in closed.held_back.iter().take(LISTED_MAX) {
        let key = text::one_line(key, KEY_CHARS_MAX);
        match senders.last_mut() {
            Some((last, sender)) if *last == writer => sender.keys.push(key),
            _ => {
                let verified = if writer.is_verified { "verified" } else { "not verified" };
                senders.push((writer, Sender { number: senders.len() + 1, verified, keys: vec![key] }));
            }
        }
    }
    let count = match (listed, more) {
        (count, true) => format!("More than {count} replies"),
        (1, false) => "1 reply".to_owned(),
        (count, false) => format!("{count} replies"),
    };
    let clock = |at: domain::Timestamp| at.strftime("%H:%M").to_string();
    let digest = Digest {
        count,
        day: hour.begin().strftime("%-d %B %Y").to_string(),
        from: clock(hour.begin()),
        until: clock(hour.end()),
        of_one: FROM_ONE_MAX,
        unverified: UNVERIFIED_MAX,
        all: ALL_MAX,
        bucket: bucket.to_owned(),
        senders: senders.into_iter().map(|(_, sender)| sender).collect(),
        more,
    };
    Ok(OutgoingMail {
        mail_id: format!("{}/{TEMPLATE}", closed.id),
        to: support.clone(),
        mail: digest.mail()?,
        reply_to: None,
        template: TEMPLATE,
        headers: vec![("Auto-Submitted".to_owned(), "auto-generated".to_owned())],
        unpaid: false,
    })
}
