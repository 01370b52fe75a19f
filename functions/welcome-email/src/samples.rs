//! The mail of this function, filled in with a sample customer: what a preview shows.
//!
//! Tools call it, never the function. It refuses to name anybody who exists.

use crate::mails;
use domain::{Customer, CustomerId, EmailAddress, Personal};
use mailer::Mail;

/// The mail with and without marketing consent, each with a name. A test holds that none is missing.
pub fn samples() -> Vec<(&'static str, Mail)> {
    let sample = |name, marketing_consent| Some((name, mails::welcome(&customer(marketing_consent)?).ok()?));
    [sample("welcome", false), sample("welcome-marketing", true)].into_iter().flatten().collect()
}

pub(crate) fn customer(marketing_consent: bool) -> Option<Customer> {
    let email: EmailAddress = "ada@example.com".parse().ok()?;
    Some(Customer {
        customer_id: CustomerId::from_email(&email),
        signed_up_at: "2026-05-04T10:02:41.007Z".parse().ok()?,
        name: Personal("Ada Example".to_owned()),
        email,
        marketing_consent,
        unsubscribed_at: None,
    })
}
