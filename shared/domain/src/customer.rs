//! A customer as stored: who signed up, and whether marketing mail is welcome.

use crate::{email::EmailAddress, event::CustomerSignedUp, id::CustomerId, personal::Personal};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Longest name, in characters. The longest in official registers stay below 100, and mails greet by it.
pub const NAME_CHARS_MAX: usize = 100;

/// How long a customer who was asked is not asked again. A stranger who sends the form all day with somebody else's address
/// causes one mail a day, and a customer who lost the mail waits for a day at most.
pub const ASK_AGAIN_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// How long the link in a confirmation mail works. A week reaches people who read their mail at the weekend; after it the
/// mailbox may have another reader, and a click says little about the one who signed up.
pub const CONFIRM_WITHIN: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The record of the customers table. Sign-up writes it once; a later sign-up can only ask for consent; confirming and
/// unsubscribing add their times; nobody changes the rest.
///
/// The first sign-up stays, whatever a later one says: nothing proves that the sender of a request owns the address in it,
/// so that a second one could otherwise rename a customer. For the same reason no sign-up gives a consent. It only asks, by
/// mail, and the click in that mail gives it.
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
    /// Whether the form alone agreed to marketing mail, when the customer signed up: a single opt-in. Of records from before
    /// consents were confirmed by mail; sign-up writes `false` since, so that a build of then mails nobody unconfirmed.
    pub marketing_consent: bool,
    /// Whether the first sign-up asked for marketing mail, so that the welcome mail asks for the confirmation. Apart from
    /// [`Customer::consent_asked_at`], which a later sign-up of the same millisecond could also have set.
    #[serde(default)]
    pub asked_at_sign_up: bool,
    /// When a sign-up last asked for marketing mail, at most once in [`ASK_AGAIN_AFTER`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent_asked_at: Option<Timestamp>,
    /// When the customer confirmed by the link in a mail. It stays when the customer unsubscribes: it says what the mails
    /// until then were sent on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub double_opt_in_at: Option<Timestamp>,
    /// When the customer last unsubscribed, unless a later confirmation took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsubscribed_at: Option<Timestamp>,
}

/// How a consent was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentSource {
    /// By the sign-up form alone, which anybody may send with any address.
    SingleOptIn,
    /// By the form, and by the link in a mail to the address.
    DoubleOptIn,
}

impl ConsentSource {
    /// The words for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            ConsentSource::SingleOptIn => "single opt-in",
            ConsentSource::DoubleOptIn => "double opt-in",
        }
    }
}

/// A consent to marketing mail that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Consent {
    /// How it was given.
    pub source: ConsentSource,
    /// When.
    pub since: Timestamp,
}

impl Customer {
    /// The data of the `customer.signed_up` event; its time is [`Customer::signed_up_at`].
    pub fn signed_up(&self) -> CustomerSignedUp {
        CustomerSignedUp { marketing_consent: self.marketing_consent }
    }

    /// The consent that stands now, if one does.
    pub fn consent(&self) -> Option<Consent> {
        if self.unsubscribed_at.is_some() {
            return None;
        }
        let confirmed = self.double_opt_in_at.map(|since| Consent { source: ConsentSource::DoubleOptIn, since });
        let by_form = self.marketing_consent.then_some(Consent { source: ConsentSource::SingleOptIn, since: self.signed_up_at });
        confirmed.or(by_form)
    }

    /// Whether marketing mail may be sent now. Single opt-ins count where `single_opt_ins` says so.
    pub fn takes_marketing_mail(&self, single_opt_ins: bool) -> bool {
        self.consent().is_some_and(|consent| single_opt_ins || consent.source == ConsentSource::DoubleOptIn)
    }

    /// When the customer was asked for a consent that a mail should still have confirmed: not confirmed yet, and not
    /// unsubscribed since. Whole seconds count, as in the link; in the same second, unsubscribing is the later.
    pub fn open_question(&self) -> Option<Timestamp> {
        let asked = self.consent_asked_at?;
        let confirmed = self.consent().is_some_and(|consent| consent.source == ConsentSource::DoubleOptIn);
        let unsubscribed = self.unsubscribed_at.is_some_and(|at| at.as_second() >= asked.as_second());
        (!confirmed && !unsubscribed).then_some(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }
    /// A record as sign-up writes it now.
    fn customer() -> Customer {
        let email: EmailAddress = "ada@example.com".parse().unwrap();
        Customer {
            customer_id: CustomerId::from_email(&email),
            signed_up_at: at("2026-05-04T10:02:41.007Z"),
            name: Personal("Ada Lovelace".into()),
            email,
            marketing_consent: false,
            asked_at_sign_up: true,
            consent_asked_at: Some(at("2026-05-04T10:02:41.007Z")),
            double_opt_in_at: None,
            unsubscribed_at: None,
        }
    }
    /// A record from before consents were confirmed.
    fn single_opt_in() -> Customer {
        Customer { marketing_consent: true, asked_at_sign_up: false, consent_asked_at: None, ..customer() }
    }
    fn confirmed() -> Customer {
        Customer { double_opt_in_at: Some(at("2026-05-04T12:00:00Z")), ..customer() }
    }
    fn unsubscribed(customer: Customer, time: &str) -> Customer {
        Customer { unsubscribed_at: Some(at(time)), ..customer }
    }

    #[test]
    fn a_sign_up_alone_is_no_consent() {
        assert_eq!(customer().consent(), None);
        assert!(!customer().takes_marketing_mail(true) && !customer().takes_marketing_mail(false));
    }

    #[test]
    fn a_consent_has_its_source_and_its_date() {
        let single = single_opt_in().consent().unwrap();
        assert_eq!((single.source.as_str(), single.since), ("single opt-in", single_opt_in().signed_up_at), "the date stays");
        let double = confirmed().consent().unwrap();
        assert_eq!((double.source.as_str(), double.since), ("double opt-in", at("2026-05-04T12:00:00Z")));
        let both = Customer { double_opt_in_at: confirmed().double_opt_in_at, ..single_opt_in() };
        assert_eq!(both.consent(), confirmed().consent(), "the stronger one");
    }

    #[test]
    fn single_opt_ins_are_mailed_only_where_that_is_wanted() {
        assert!(single_opt_in().takes_marketing_mail(true) && !single_opt_in().takes_marketing_mail(false));
        assert!(confirmed().takes_marketing_mail(true) && confirmed().takes_marketing_mail(false));
    }

    #[test]
    fn an_unsubscribed_customer_is_never_mailed() {
        for customer in [customer(), single_opt_in(), confirmed()] {
            let left = unsubscribed(customer, "2026-05-05T10:00:00Z");
            assert!(left.consent().is_none() && !left.takes_marketing_mail(true), "{left:?}");
        }
    }

    #[test]
    fn a_question_is_open_until_it_is_answered_or_overtaken() {
        let asked = customer().consent_asked_at;
        assert_eq!(customer().open_question(), asked);
        assert_eq!(confirmed().open_question(), None, "answered");
        assert_eq!(single_opt_in().open_question(), None, "nobody asked");
        assert_eq!(Customer { marketing_consent: true, ..customer() }.open_question(), asked, "a single opt-in can become a double one");
        assert_eq!(unsubscribed(customer(), "2026-05-04T10:02:40.999Z").open_question(), asked, "asked again after leaving");
        for later in ["2026-05-04T10:02:41Z", "2026-05-04T10:02:41.007Z", "2026-05-05T00:00:00Z"] {
            assert_eq!(unsubscribed(customer(), later).open_question(), None, "{later}");
        }
        let again = Customer { consent_asked_at: Some(at("2026-05-06T00:00:00Z")), ..unsubscribed(confirmed(), "2026-05-05T00:00:00Z") };
        assert_eq!(again.open_question(), again.consent_asked_at, "an old confirmation answers no new question");
    }

    #[test]
    fn the_event_says_the_same_whatever_becomes_of_the_consent() {
        for customer in [customer(), confirmed(), unsubscribed(confirmed(), "2026-05-05T10:00:00Z")] {
            assert_eq!(customer.signed_up(), CustomerSignedUp { marketing_consent: false }, "a repeated event is the same event");
        }
        assert!(single_opt_in().signed_up().marketing_consent, "and so is one of before");
    }

    #[test]
    fn a_stored_customer_round_trips_and_debug_hides_it() {
        let stored = serde_json::to_value(customer()).unwrap();
        assert_eq!(
            stored,
            json!({
                "customer_id": "e507ff26-6a21-519c-adde-1e19920b0ce2", "signed_up_at": "2026-05-04T10:02:41.007Z",
                "name": "Ada Lovelace", "email": "ada@example.com", "marketing_consent": false,
                "asked_at_sign_up": true, "consent_asked_at": "2026-05-04T10:02:41.007Z"
            })
        );
        for customer in [customer(), single_opt_in(), confirmed(), unsubscribed(confirmed(), "2026-05-05T10:00:00Z")] {
            let stored = serde_json::to_value(&customer).unwrap();
            assert_eq!(serde_json::from_value::<Customer>(stored).unwrap(), customer);
            let shown = format!("{customer:?}");
            assert!(!shown.contains("Ada") && !shown.contains("example"), "{shown}");
        }
    }

    #[test]
    fn a_record_from_before_confirmations_is_a_single_opt_in() {
        let stored = json!({
            "customer_id": "e507ff26-6a21-519c-adde-1e19920b0ce2", "signed_up_at": "2026-05-04T10:02:41.007Z",
            "name": "Ada Lovelace", "email": "ada@example.com", "marketing_consent": true
        });
        assert_eq!(serde_json::from_value::<Customer>(stored).unwrap(), single_opt_in());
    }
}
