//! A customer as stored: who signed up, and whether marketing mail is welcome.

use crate::{email::EmailAddress, event::CustomerSignedUp, id::CustomerId, personal::Personal};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest name, in characters. The longest in official registers stay below 100, and mails greet by it.
pub const NAME_CHARS_MAX: usize = 100;

/// The record of the customers table. Sign-up writes it once; unsubscribing adds its time; nobody changes the rest.
///
/// The first sign-up stays, whatever a later one says: nothing proves that who sends a request owns the address in it, so
/// that a second one could otherwise rename a customer, or take back an unsubscribing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// Partition key; follows from the address.
    pub customer_id: CustomerId,
    /// When the customer signed up first.
    pub signed_up_at: Timestamp,
    /// Full name.
    pub name: Personal<String>,
    /// Where mail goes.
    pub email: EmailAddress,
    /// Whether the customer agreed to marketing mail when signing up.
    pub marketing_consent: bool,
    /// When the customer took that back, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsubscribed_at: Option<Timestamp>,
}

impl Customer {
    /// The data of the `customer.signed_up` event; its time is [`Customer::signed_up_at`].
    pub fn signed_up(&self) -> CustomerSignedUp {
        CustomerSignedUp { marketing_consent: self.marketing_consent }
    }

    /// Whether marketing mail may be sent now: agreed to, and not taken back.
    pub fn takes_marketing_mail(&self) -> bool {
        self.marketing_consent && self.unsubscribed_at.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn customer(marketing_consent: bool, unsubscribed: bool) -> Customer {
        let email: EmailAddress = "ada@example.com".parse().unwrap();
        Customer {
            customer_id: CustomerId::from_email(&email),
            signed_up_at: "2026-05-04T10:02:41.007Z".parse().unwrap(),
            name: Personal("Ada Lovelace".into()),
            email,
            marketing_consent,
            unsubscribed_at: unsubscribed.then(|| "2026-05-05T10:00:00Z".parse().unwrap()),
        }
    }

    #[test]
    fn marketing_mail_needs_a_consent_that_was_not_taken_back() {
        assert!(customer(true, false).takes_marketing_mail());
        for (consent, unsubscribed) in [(false, false), (false, true), (true, true)] {
            assert!(!customer(consent, unsubscribed).takes_marketing_mail(), "{consent} {unsubscribed}");
        }
    }

    #[test]
    fn the_event_says_what_was_agreed_to_at_sign_up_even_after_unsubscribing() {
        assert_eq!(customer(true, true).signed_up(), customer(true, false).signed_up(), "a repeated event is the same event");
        assert!(customer(true, true).signed_up().marketing_consent);
    }

    #[test]
    fn a_stored_customer_reads_as_it_was_written_and_debug_hides_who_it_is() {
        let stored = serde_json::to_value(customer(true, false)).unwrap();
        assert_eq!(
            stored,
            json!({
                "customer_id": "e507ff26-6a21-519c-adde-1e19920b0ce2", "signed_up_at": "2026-05-04T10:02:41.007Z",
                "name": "Ada Lovelace", "email": "ada@example.com", "marketing_consent": true
            })
        );
        for customer in [customer(true, false), customer(false, true)] {
            let stored = serde_json::to_value(&customer).unwrap();
            assert_eq!(serde_json::from_value::<Customer>(stored).unwrap(), customer);
            let shown = format!("{customer:?}");
            assert!(!shown.contains("Ada") && !shown.contains("example"), "{shown}");
        }
    }
}
