//! The link in each marketing mail that ends marketing mail: made by `email-campaign`, taken by `unsubscribe`.
//!
//! A link is signed, because a customer's id follows from the address and so is no secret. It does not expire: it must work
//! for as long as somebody keeps the mail. What ends links is a new key, all of them at once, and each running function
//! takes to it when it starts anew; so the secret is rotated only where it has leaked, and the functions that read it are
//! deployed after it. The same key signs the links of [`confirmation`](crate::confirmation), for another purpose.

use domain::CustomerId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use lambda_kit::{
    Failure,
    secrets::{Cached, SecretText},
};
use sha2::Sha256;
use std::fmt;

/// Shortest key, in bytes: as long as the hash, below which HMAC is weaker than it
/// (<https://www.rfc-editor.org/rfc/rfc2104#section-3>).
pub const KEY_BYTES_MIN: usize = 32;
/// A prefix of the signed text, so that no signature made for another purpose with the same key passes here.
const PURPOSE: &[u8] = b"unsubscribe";
/// Length of a customer's id.
pub(crate) const ID_BYTES: usize = 16;
/// Length of the signature, half of the hash: 128 bits, which nobody guesses, and a link that still fits on one line.
const TAG_BYTES: usize = 16;

/// The key that signs links. `Debug` hides it.
#[derive(Clone)]
pub struct LinkKey(Hmac<Sha256>);

/// The key, read late and cached.
pub type CachedLinkKey<V> = Cached<V, LinkKey>;

impl LinkKey {
    /// The token for `customer` in a link: 43 characters that need no escape in a path.
    pub fn token(&self, customer: &CustomerId) -> String {
        self.seal(PURPOSE, customer.as_bytes())
    }

    /// The customer that `token` stands for; [`None`] where this key did not make it. Compares in constant time.
    pub fn verify(&self, token: &str) -> Option<CustomerId> {
        self.open(PURPOSE, token).map(CustomerId::from_bytes)
    }

    /// `content` and its signature for one purpose, as text that needs no escape in a path. No purpose may begin with another, so that
    /// what is signed for one never passes for the other.
    pub(crate) fn seal(&self, purpose: &[u8], content: &[u8]) -> String {
        let signature = self.signing(purpose, content).finalize().into_bytes();
        base64_simd::URL_SAFE_NO_PAD.encode_to_string([content, &signature[..TAG_BYTES]].concat())
    }

    /// The customer whose id `token` signs; [`None`] where this key did not sign it for this purpose. Compares in constant
    /// time.
    pub(crate) fn open<const N: usize>(&self, purpose: &[u8], token: &str) -> Option<[u8; N]> {
        let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(token).ok()?;
        let (content, tag) = bytes.split_first_chunk::<N>()?;
        let tag: &[u8; TAG_BYTES] = tag.try_into().ok()?;
        self.signing(purpose, content).verify_truncated_left(tag).ok().map(|()| *content)
    }

    fn signing(&self, purpose: &[u8], content: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(purpose).chain_update(content)
    }
}

impl SecretText for LinkKey {
    fn from_text(text: &str) -> Result<Self, Failure> {
        let key = text.as_bytes();
        let long_enough = Some(key).filter(|key| key.len() >= KEY_BYTES_MIN);
        long_enough.and_then(|key| Hmac::new_from_slice(key).ok()).map(Self).ok_or_else(|| {
            Failure::transient(
                "UnsubscribeKeyMissing",
                format_args!(
                    "the secret named by UNSUBSCRIBE_SECRET_ARN has less than {KEY_BYTES_MIN} characters: put random ones there, as \
                     plain text, with `aws secretsmanager put-secret-value`"
                ),
            )
        })
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Links to the API, signed with a key that is read late: what needs no link goes out without it.
#[derive(Debug)]
pub struct SignedLinks<V> {
    /// Where the API is, without a slash at the end.
    pub api_url: String,
    /// The key.
    pub key: CachedLinkKey<V>,
}

/// Makes links.
#[derive(Debug, Clone)]
pub struct Links {
    api_url: String,
    key: LinkKey,
}

impl Links {
    /// Links to the API at `api_url`, which ends without a slash.
    pub fn new(api_url: impl Into<String>, key: LinkKey) -> Self {
        Self { api_url: api_url.into(), key }
    }

    /// The link that unsubscribes `customer`. For a mail to that customer alone: everyone who has it can use it.
    pub fn link(&self, customer: &CustomerId) -> String {
        format!("{}/unsubscribe/{}", self.api_url, self.key.token(customer))
    }

    /// The customer that `token`, the last part of a link, stands for; [`None`] where it is forged.
    pub fn verify(&self, token: &str) -> Option<CustomerId> {
        self.key.verify(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_kit::Kind;

    const KEY: &str = "a sample key, never one that is in use";

    fn key(text: &str) -> LinkKey {
        LinkKey::from_text(text).unwrap()
    }
    fn customer() -> CustomerId {
        "e507ff26-6a21-519c-adde-1e19920b0ce2".parse().unwrap()
    }

    #[test]
    fn a_link_leads_back_to_its_customer() {
        let links = Links::new("https://id.execute-api.us-east-1.amazonaws.com", key(KEY));
        let link = links.link(&customer());
        let token = link.strip_prefix("https://id.execute-api.us-east-1.amazonaws.com/unsubscribe/").unwrap();
        assert_eq!(token, "5Qf_JmohUZyt3h4ZkgsM4vZbu0AGyO9_zb1PG55jrNc", "links that are out depend on it");
        assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')), "needs no escape");
        assert_eq!(links.verify(token), Some(customer()));
    }

    #[test]
    fn a_link_that_was_changed_anywhere_or_made_with_another_key_is_nobodys() {
        let (ours, theirs) = (key(KEY), key("another key that is as long as it must be"));
        let token = ours.token(&customer());
        assert_eq!(theirs.verify(&token), None);
        assert_ne!(theirs.token(&customer()), token);
        for place in 0..token.len() {
            for other in [b'A', b'B', b'9', b'_'] {
                let mut bytes = token.clone().into_bytes();
                if std::mem::replace(&mut bytes[place], other) != other {
                    assert_eq!(ours.verify(std::str::from_utf8(&bytes).unwrap()), None, "{place}");
                }
            }
        }
        let longer = |more: &str| format!("{token}{more}");
        for bad in
            ["", "A", &token[..42], &token[..22], &longer("A"), &longer("AAAA"), &longer("="), &longer(" "), &token.replace('_', "/")]
        {
            assert_eq!(ours.verify(bad), None, "{bad}");
        }
        assert_eq!(ours.verify(&customer().to_string()), None, "an id alone");
    }

    #[test]
    fn the_signature_is_the_hmac_of_purpose_and_id() {
        let mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
        let whole =
            mac.chain_update(b"unsubscribe\xe5\x07\xff\x26\x6a\x21\x51\x9c\xad\xde\x1e\x19\x92\x0b\x0c\xe2").finalize().into_bytes();
        let token = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(key(KEY).token(&customer())).unwrap();
        assert_eq!((&token[..16], &token[16..]), (&customer().as_bytes()[..], &whole[..16]));
    }

    #[test]
    fn a_missing_or_short_key_is_transient() {
        for bad in ["", "short", &"k".repeat(KEY_BYTES_MIN - 1)] {
            let failure = LinkKey::from_text(bad).unwrap_err();
            assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Transient, "UnsubscribeKeyMissing"));
            assert!(failure.message.contains("put-secret-value") && !failure.message.contains("kkk"), "{failure}");
        }
        assert!(LinkKey::from_text(&"k".repeat(KEY_BYTES_MIN)).is_ok());
    }

    #[test]
    fn debug_output_hides_the_key() {
        assert_eq!(format!("{:?}", Links::new("https://a", key(KEY))), "Links { api_url: \"https://a\", key: [secret] }");
    }
}
