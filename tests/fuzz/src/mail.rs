//! A mail as SES stores it: bytes from anybody.

use domain::OrderId;
use email_inbound::{
    html::MARKS_BYTES_MAX,
    mail::Mail,
    quote::{Ours, own_text},
    wish::asks_to_cancel,
};

/// Any bytes as a mail.
pub fn mail(bytes: &[u8]) {
    let Some(mail) = Mail::read(bytes) else { return };
    // Every byte of a mail is one character at most, but for what stands for it where it cannot be read, and the marks of hidden words.
    let most = 3 * bytes.len() + MARKS_BYTES_MAX;
    assert!(mail.subject.0.len() <= 3 * bytes.len(), "reading makes nothing longer");
    let order_id: OrderId = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9".parse().expect("an id");
    for text in mail.readings() {
        assert!(text.len() <= most, "reading makes nothing longer");
        let Some(own) = own_text(text, &Ours::default()) else { continue };
        assert!(own.len() <= text.len(), "leaving out quotes adds nothing");
        assert!(!asks_to_cancel(&format!("{own} not"), &order_id, &["Ada"]), "whatever else is said, this is no clear wish");
    }
}
