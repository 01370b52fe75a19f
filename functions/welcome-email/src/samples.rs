//! The mails of this function, filled in with a sample customer: what a preview shows.
//!
//! Tools call it, never the function. It does not name anybody who exists.

use crate::mails::{self, Asking};
use domain::{Customer, CustomerId, EmailAddress, Personal};
use mailer::{Mail, confirmation::Question};

/// A link as mails have it, which leads nowhere.
pub(crate) const LINK: &str =
    "https://id.execute-api.us-east-1.amazonaws.com/confirm/5Qf_JmohUZyt3h4ZkgsM4gAAAABp-G7BMcaFhZm0BnnwdmtRLqZLeQ";

/// The welcome with and without a question, and the question by itself, each with a name. A test holds that none is missing.
pub fn samples() -> Vec<(&'static str, Mail)> {
    let welcome = |asks| {
        let customer = customer(asks)?;
        mails::welcome(&customer, asking(&customer)).ok()
    };
    let confirm = || {
        let customer = customer(true)?;
        mails::confirm(&customer, asking(&customer)?).ok()
    };
    let mails = [("welcome", welcome(false)), ("welcome-asks", welcome(true)), ("confirm", confirm())];
    mails.into_iter().filter_map(|(name, mail)| Some((name, mail?))).collect()
}

/// The question that the customer was asked, if any.
pub(crate) fn asking(customer: &Customer) -> Option<Asking> {
    let question = Question { customer_id: customer.customer_id, asked_at: customer.consent_asked_at? };
    Some(Asking::new(LINK.to_owned(), &question))
}

pub(crate) fn customer(asks: bool) -> Option<Customer> {
    let email: EmailAddress = "ada@example.com".parse().ok()?;
    let signed_up_at = "2026-05-04T10:02:41.007Z".parse().ok()?;
    Some(Customer {
        customer_id: CustomerId::from_email(&email),
        signed_up_at,
        name: Personal("Ada Example".to_owned()),
        email,
        marketing_consent: false,
        asked_at_sign_up: asks,
        consent_asked_at: asks.then_some(signed_up_at),
        double_opt_in_at: None,
        unsubscribed_at: None,
    })
}
