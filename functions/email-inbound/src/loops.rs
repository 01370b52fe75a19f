//! Whether a machine wrote a mail: what a machine wrote is never answered, forwarded, or acted upon.
//!
//! [`EmailInbound`](crate::EmailInbound) asks before anything else is done with a mail. Two machines that answer each other
//! never stop, and the rules here are those that prove a machine: `Auto-Submitted` (RFC 3834, section 5), the sender that
//! is nobody (RFC 5321, section 4.5.5), and our own address. `Precedence`, `List-Id`, `X-Auto-Response-Suppress` and their
//! like ask that nothing answer by itself, and people's mail carries them too: Exchange adds one to whatever passes it.
//! This function answers nobody by itself, and so it need not know them.
//!
//! Nothing of ours goes round:
//!
//! ```text
//! a forward or a digest that is sent back as it is    Auto-Submitted: auto-forwarded, auto-generated; from our own address   dropped
//! an answer to one by RFC 3834                        Auto-Submitted: auto-replied                                           dropped
//! a bounce                                            from nobody                                                            dropped
//! an answer of a machine that says nothing of this    goes to Reply-To, who wrote the reply, and not to us. To a digest, which has
//!                                                     none, it comes from support: forwarded, with support as Reply-To, so that
//!                                                     the machine's next answer is to itself; and at most five an hour
//! ```

use crate::{decode::without_comments, mail::Mail, notification::Notification};
use domain::EmailAddress;
use mailer::OrdersAddress;

/// The headers that are asked for. Of a mail no others are kept.
pub const HEADERS: [&str; 2] = ["Auto-Submitted", "Return-Path"];

/// Why the mail is a machine's, if it is proven to be one's.
///
/// `own` is the address that our mails come from: nobody but us writes from it.
pub fn automatic(notification: &Notification, mail: &Mail, own: &OrdersAddress) -> Option<&'static str> {
    if mail.header("Auto-Submitted").any(is_automatic) {
        return Some("auto_submitted");
    }
    // SES writes the envelope's into a header of its own in front of all others. One below is that of a way before.
    let path = mail.header("Return-Path").next().unwrap_or(&notification.envelope_sender.0);
    if is_nobody(path) {
        return Some("null_return_path");
    }
    match &mail.from {
        Some(from) if without_label(&from.address) == own.bare() => Some("own_address"),
        _ => None,
    }
}

/// Whether a value of `Auto-Submitted` names a kind of machine. Parameters and comments are around the word:
/// `auto-replied; owner-email="…" (vacation)`. No word at all is no proof.
fn is_automatic(value: &str) -> bool {
    let value = without_comments(value);
    let word = value.split(|c: char| !(c.is_alphanumeric() || c == '-')).find(|word| !word.is_empty());
    word.is_some_and(|word| !word.eq_ignore_ascii_case("no"))
}

/// The sender of a mail that nobody is to be told about, as an envelope or a `Return-Path` has it. Some servers write
/// MAILER-DAEMON where the envelope is empty; with a domain behind it, it is somebody's mailbox.
fn is_nobody(path: &str) -> bool {
    let path = without_comments(path);
    let path = path.trim_start_matches('<').trim_end_matches('>').trim();
    path.is_empty() || path.eq_ignore_ascii_case("mailer-daemon")
}

/// The address without what stands between `+` and `@`, in lower case.
fn without_label(address: &EmailAddress) -> String {
    let address = address.canonical();
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{domain}", local.split_once('+').map_or(local, |(mailbox, _)| mailbox)),
        None => address,
    }
}
