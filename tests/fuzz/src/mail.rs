//! A mail as SES stores it: bytes from anybody.

use domain::OrderId;
use email_inbound::{mail::Mail, quote::own_text, wish::asks_to_cancel};

/// Any bytes as a mail.
pub fn mail(bytes: &[u8]) {
    let Some(mail) = Mail::read(bytes) else { return };
    // Every byte of a mail is one character at most, but for what stands for it where it cannot be read.
    assert!(mail.text.0.len() <= 3 * bytes.len() && mail.subject.0.len() <= 3 * bytes.len(), "reading makes nothing longer");
    let own = own_text(&mail.text.0);
    assert!(own.len() <= mail.text.0.len(), "leaving out quotes adds nothing");
    let order_id: OrderId = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9".parse().expect("an id");
    assert!(!asks_to_cancel(&format!("{own} not"), &order_id, &["Ada"]), "whatever else is said, this is no clear wish");
}
