//! Whether a machine wrote a mail: what a machine wrote is never answered, forwarded, or acted upon.
//!
//! [`EmailInbound`](crate::EmailInbound) asks before anything else is done with a mail. Two machines that answer each other
//! never stop, and the rules here are those by which mail programs avoid it (RFC 3834, section 2, and what was usual before
//! it). It refuses to look at the words: "I am out of office" is told by its headers.

use crate::{mail::Mail, notification::Notification};
use domain::EmailAddress;
use mailer::OrdersAddress;

/// The headers that are asked for. Of a mail no others are kept.
pub const HEADERS: [&str; 9] = [
    "Auto-Submitted",
    "Return-Path",
    "Precedence",
    "List-Id",
    "List-Unsubscribe",
    "X-Auto-Response-Suppress",
    "X-Autoreply",
    "X-Autorespond",
    "Content-Type",
];

/// Why the mail is a machine's, if it is one's.
///
/// `own` is the address that our mails come from, `support` the one that we forward to: a forward of a forward would be the
/// shortest loop of all.
pub fn automatic(notification: &Notification, mail: &Mail, own: &OrdersAddress, support: &EmailAddress) -> Option<&'static str> {
    let says = |name: &str, test: fn(&str) -> bool| mail.header(name).any(|value| test(&value.to_ascii_lowercase()));
    // Parameters and comments follow the word: `auto-replied; owner-email="…"`.
    let first_word = |value: &str| value.split(|c: char| !(c.is_alphanumeric() || c == '-')).next().unwrap_or_default().to_owned();
    if mail.header("Auto-Submitted").any(|value| !first_word(value).eq_ignore_ascii_case("no")) {
        return Some("auto_submitted");
    }
    if nobody(&notification.envelope_sender.0) || mail.header("Return-Path").any(nobody) {
        return Some("null_return_path");
    }
    if says("Precedence", |value| matches!(value, "bulk" | "junk" | "list" | "auto_reply")) {
        return Some("precedence");
    }
    if ["List-Id", "List-Unsubscribe"].iter().any(|name| says(name, |_| true)) {
        return Some("mailing_list");
    }
    if says("X-Auto-Response-Suppress", |value| !matches!(value, "" | "none"))
        || ["X-Autoreply", "X-Autorespond"].iter().any(|name| says(name, |_| true))
    {
        return Some("auto_response");
    }
    // Reports of deliveries, readings and complaints.
    if says("Content-Type", |value| value.starts_with("multipart/report")) {
        return Some("report");
    }
    match &mail.from {
        Some(from) if without_label(&from.address) == own.bare() => Some("own_address"),
        Some(from) if from.address == *support => Some("support_address"),
        _ => None,
    }
}

/// The sender of a mail that nobody is to be told about, as an envelope or a `Return-Path` has it. Some servers write
/// MAILER-DAEMON where the envelope is empty.
fn nobody(path: &str) -> bool {
    let path = path.trim().trim_start_matches('<').trim_end_matches('>').trim();
    let local = path.split_once('@').map_or(path, |(local, _)| local);
    local.is_empty() || local.eq_ignore_ascii_case("mailer-daemon")
}

/// The address without what stands between `+` and `@`, in lower case.
fn without_label(address: &EmailAddress) -> String {
    let address = address.canonical();
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{domain}", local.split_once('+').map_or(local, |(mailbox, _)| mailbox)),
        None => address,
    }
}
