//! The link by which the owner of an address confirms a consent to marketing mail: made by `welcome-email`, taken by `unsubscribe`.
//!
//! It is signed as the [links that end marketing mail](crate::unsubscribe) are, with the same key, for a purpose of its
//! own: a link for one does nothing for the other. It expires earlier: it says when the customer was asked, and works for
//! [`CONFIRM_WITHIN`].

use crate::unsubscribe::{ID_BYTES, LinkKey};
use domain::{CustomerId, Timestamp, customer::CONFIRM_WITHIN};

/// A prefix of the signed text, so that no signature made for another purpose with the same key passes here.
const PURPOSE: &[u8] = b"confirm";
/// Length of the time of the asking, in seconds since the Unix epoch.
const TIME_BYTES: usize = 8;

/// The content of a link: the customer, and the time of the question, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The customer.
    pub customer_id: CustomerId,
    /// When a sign-up asked for the consent. Of a [`Question`] that was read of a link, whole seconds.
    pub asked_at: Timestamp,
}

impl Question {
    /// When the link stops to work.
    pub fn expires_at(&self) -> Timestamp {
        self.asked_at.checked_add(CONFIRM_WITHIN).unwrap_or(Timestamp::MAX)
    }

    /// The token for it in a link: 54 characters that need no escape in a path.
    pub fn token(&self, key: &LinkKey) -> String {
        let time = self.asked_at.as_second().to_be_bytes();
        key.seal(PURPOSE, &[self.customer_id.as_bytes().as_slice(), &time].concat())
    }

    /// The link to the API at `api_url`, which ends without a slash. For a mail to that customer alone: its holder can use it.
    pub fn link(&self, api_url: &str, key: &LinkKey) -> String {
        format!("{api_url}/confirm/{}", self.token(key))
    }

    /// The question that `token`, the last part of a link, stands for; [`None`] where this key did not sign it for this
    /// purpose, or it has expired at `now`. Compares in constant time.
    pub fn verify(token: &str, key: &LinkKey, now: Timestamp) -> Option<Self> {
        let content: [u8; ID_BYTES + TIME_BYTES] = key.open(PURPOSE, token)?;
        let (id, time) = content.split_first_chunk::<ID_BYTES>()?;
        let asked_at = Timestamp::from_second(i64::from_be_bytes(time.try_into().ok()?)).ok()?;
        let question = Self { customer_id: CustomerId::from_bytes(*id), asked_at };
        (now < question.expires_at()).then_some(question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use lambda_kit::secrets::SecretText as _;

    const API_URL: &str = "https://id.execute-api.us-east-1.amazonaws.com";

    fn key(text: &str) -> LinkKey {
        LinkKey::from_text(text).unwrap()
    }
    fn ours() -> LinkKey {
        key("a sample key, never one that is in use")
    }
    fn question() -> Question {
        let customer_id = "e507ff26-6a21-519c-adde-1e19920b0ce2".parse().unwrap();
        Question { customer_id, asked_at: "2026-05-04T10:02:41Z".parse().unwrap() }
    }

    #[test]
    fn a_link_leads_back_to_its_question() {
        let asked = Question { asked_at: "2026-05-04T10:02:41.007Z".parse().unwrap(), ..question() };
        let link = asked.link(API_URL, &ours());
        let token = link.strip_prefix("https://id.execute-api.us-east-1.amazonaws.com/confirm/").unwrap();
        assert_eq!(token, "5Qf_JmohUZyt3h4ZkgsM4gAAAABp-G7BMcaFhZm0BnnwdmtRLqZLeQ", "links that are out depend on it");
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')), "needs no escape");
        assert_eq!(Question::verify(token, &ours(), asked.asked_at), Some(question()));
    }

    #[test]
    fn a_link_works_for_a_week() {
        let token = question().token(&ours());
        let after = |seconds: i64| Question::verify(&token, &ours(), question().asked_at + SignedDuration::from_secs(seconds));
        for works in [0, 3600, CONFIRM_WITHIN.as_secs() - 1] {
            assert_eq!(after(works), Some(question()), "{works}");
        }
        for expired in [CONFIRM_WITHIN.as_secs(), 2 * CONFIRM_WITHIN.as_secs()] {
            assert_eq!(after(expired), None, "{expired}");
        }
    }

    #[test]
    fn a_link_for_one_purpose_does_nothing_for_the_other() {
        let (key, customer_id) = (ours(), question().customer_id);
        assert_eq!(key.verify(&question().token(&key)), None, "confirming does not unsubscribe");
        assert_eq!(Question::verify(&key.token(&customer_id), &key, question().asked_at), None, "unsubscribing does not confirm");
        // The same bytes, signed for the other purpose.
        let time = question().asked_at.as_second().to_be_bytes();
        let token = key.seal(b"unsubscribe", &[&customer_id.as_bytes()[..], &time].concat());
        assert_eq!(Question::verify(&token, &key, question().asked_at), None);
    }

    #[test]
    fn a_link_that_was_changed_anywhere_or_made_with_another_key_is_forged() {
        let now = question().asked_at;
        let token = question().token(&ours());
        assert_eq!(Question::verify(&token, &key("another key that is as long as it must be"), now), None);
        for place in 0..token.len() {
            for other in [b'A', b'B', b'9', b'_'] {
                let mut bytes = token.clone().into_bytes();
                if std::mem::replace(&mut bytes[place], other) != other {
                    assert_eq!(Question::verify(std::str::from_utf8(&bytes).unwrap(), &ours(), now), None, "{place}");
                }
            }
        }
        for bad in ["", "A", &token[..53], &token[..43], &format!("{token}A"), &format!("{token}="), &"_".repeat(54)] {
            assert_eq!(Question::verify(bad, &ours(), now), None, "{bad}");
        }
    }
}
