//! The mail of this function, filled in with a sample reply: what a preview shows.
//!
//! Tools call it, never the function. It refuses to name anybody who exists.

use crate::{
    forward::{self, Why},
    mail::Mail,
    notification::Message,
};

const REPLY: &[u8] = include_bytes!("../tests/mails/question.eml");
const NOTIFICATION: &str = r#"{"notificationType": "Received", "mail": {"messageId": "d6iitobk75ur44p8kdnnp7g2n8001"},
    "receipt": {"action": {"type": "S3", "bucketName": "inbound", "objectKey": "d6iitobk75ur44p8kdnnp7g2n8001"}}}"#;

/// The forward of a verified reply and of one that may be forged. A test holds that none is missing.
pub fn samples() -> Vec<(&'static str, mailer::Mail)> {
    [sample("forward", Why::NoClearWish), sample("forward-unverified", Why::Unverified)].into_iter().flatten().collect()
}

fn sample(name: &'static str, why: Why) -> Option<(&'static str, mailer::Mail)> {
    let Message::Received(notification) = Message::parse(NOTIFICATION).ok()? else { return None };
    let order = "ee3717c6-3e6f-58b0-ad82-7756503e0a32".parse().ok();
    let letter = forward::letter(&notification, &Mail::read(REPLY)?, true, why, order, &"support@example.com".parse().ok()?);
    Some((name, letter.ok()?.mail))
}
