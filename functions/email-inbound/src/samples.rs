//! The mails of this function, filled in with a sample reply: what a preview shows.
//!
//! Tools call it, never the function. It does not name anybody who exists.

use crate::{
    digest,
    forward::{self, Why},
    forwards::{Closed, Writer},
    inbox::Stored,
    mail::Mail,
    notification::Message,
};

const REPLY: &[u8] = include_bytes!("../tests/mails/question.eml");
const NOTIFICATION: &str = r#"{"notificationType": "Received", "mail": {"timestamp": "2026-05-04T10:31:07.311Z", "messageId": "d6iitobk75ur44p8kdnnp7g2n8001"},
    "receipt": {"action": {"type": "S3", "bucketName": "inbound", "objectKey": "d6iitobk75ur44p8kdnnp7g2n8001"}}}"#;

/// The forward of a verified reply and of one that may be forged, and the digest of what was not forwarded. A test holds that
/// none is missing.
pub fn samples() -> Vec<(&'static str, mailer::Mail)> {
    let forwards = [sample("forward", Why::NoClearWish), sample("forward-unverified", Why::Unverified)];
    forwards.into_iter().chain([sample_digest()]).flatten().collect()
}

fn sample_digest() -> Option<(&'static str, mailer::Mail)> {
    let writer = |address: &str, verified| Some(Writer::new(Some(&address.parse().ok()?), verified));
    let (ada, forged) = (writer("ada@example.com", true)?, writer("ada@example.com", false)?);
    let key = |n: u8| format!("d6iitobk75ur44p8kdnnp7g2n800{n}");
    let held_back = vec![(ada.clone(), key(1)), (ada, key(2)), (forged, key(3))];
    let closed = Closed { id: "forwards/2026-05-04T10".to_owned(), held_back };
    let hour = mailer::Hour::of("2026-05-04T10:31:07Z".parse().ok()?);
    Some(("forward-digest", digest::outgoing(hour, &closed, "inbound", &"support@example.com".parse().ok()?).ok()?.mail))
}

fn sample(name: &'static str, why: Why) -> Option<(&'static str, mailer::Mail)> {
    let Message::Received(notification) = Message::parse(NOTIFICATION).ok()? else { return None };
    let order = "ee3717c6-3e6f-58b0-ad82-7756503e0a32".parse().ok();
    let stored = Stored { bytes: REPLY.to_vec(), whole: true };
    let outgoing = forward::outgoing(&notification, &Mail::read(REPLY)?, &stored, why, order, &"support@example.com".parse().ok()?);
    Some((name, outgoing.ok()?.mail))
}
