//! E-mail addresses: parsed once at the border, right ever after.
//!
//! Called wherever text becomes an address that mail goes to or comes from. It refuses to say whether anybody reads what
//! is sent there: only a mail that is answered shows that.

use crate::personal::Personal;
use email_address::Options;
use serde::{Deserialize, Serialize};
use std::{
    hash::{Hash, Hasher},
    str::FromStr,
};

/// Longest address, in bytes: RFC 5321 allows 256 for the path, which has two angle brackets more.
pub const EMAIL_BYTES_MAX: usize = 254;

/// The text is not an address that mail can be sent to. Quotes nothing: what was typed may be a person's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address in ASCII, of at most {max} characters, such as name@example.com", max = EMAIL_BYTES_MAX)]
pub struct InvalidEmailAddress;

/// An e-mail address as it was typed, without the blanks around it. `Debug` hides it.
///
/// Two spellings that differ in case alone are equal. The local part could in theory tell them apart (RFC 5321, 2.4); no
/// provider in use does, and taking them for two people would welcome one twice and forget the other's unsubscribing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(Personal<String>);

impl EmailAddress {
    /// The address as it was typed: what mail is sent to.
    pub fn as_str(&self) -> &str {
        &self.0.0
    }

    /// The address in lower case: what addresses are compared, and stored as keys, by.
    pub fn canonical(&self) -> String {
        self.as_str().to_ascii_lowercase()
    }

    /// What stands behind the last `@`, as it was typed.
    pub fn domain(&self) -> &str {
        // A parsed address has one: the other side of this line is never taken.
        self.as_str().rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl FromStr for EmailAddress {
    type Err = InvalidEmailAddress;
    /// ASCII alone: mail goes out by a provider that takes no other local part, and domains have an ASCII form. That no
    /// control character passes also means that no address can add a line to a mail's header.
    fn from_str(text: &str) -> Result<Self, InvalidEmailAddress> {
        let address = text.trim();
        let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
        let fits = address.len() <= EMAIL_BYTES_MAX && address.bytes().all(|b| matches!(b, b' '..=b'~'));
        if fits && email_address::EmailAddress::parse_with_options(address, options).is_ok() {
            Ok(Self(Personal(address.to_owned())))
        } else {
            Err(InvalidEmailAddress)
        }
    }
}
impl TryFrom<String> for EmailAddress {
    type Error = InvalidEmailAddress;
    fn try_from(text: String) -> Result<Self, InvalidEmailAddress> {
        text.parse()
    }
}
impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> String {
        address.0.0
    }
}

impl PartialEq for EmailAddress {
    fn eq(&self, other: &Self) -> bool {
        self.as_str().eq_ignore_ascii_case(other.as_str())
    }
}
impl Eq for EmailAddress {}
impl Hash for EmailAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;
    use std::collections::HashSet;

    fn address(text: &str) -> EmailAddress {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_kept_as_it_was_typed_and_compared_in_lower_case() {
        let typed = address(" Ada.Lovelace+mugs@Example.COM\n");
        assert_eq!(typed.as_str(), "Ada.Lovelace+mugs@Example.COM");
        assert_eq!((typed.canonical().as_str(), typed.domain()), ("ada.lovelace+mugs@example.com", "Example.COM"));
        assert_eq!(typed, address("ada.lovelace+mugs@example.com"));
        assert_ne!(typed, address("ada.lovelace@example.com"), "a label is part of the address");
        assert_eq!(HashSet::from([typed, address("ADA.lovelace+MUGS@example.com")]).len(), 1);
    }

    /// An address of so many bytes, no part of which is too long by itself.
    fn long(bytes: usize) -> String {
        let domain = format!("@{}com", "label.".repeat(40));
        "a".repeat(bytes - domain.len()) + &domain
    }

    #[test]
    fn what_no_mail_can_be_sent_to_is_refused() {
        for bad in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "ada@localhost",
            "ada@[192.0.2.7]",
            "Ada <ada@example.com>",
            "ada@example.com, bob@example.com",
            "ada@example.com\r\nBcc: bob@example.com",
            "ada\u{0}@example.com",
            "zoë@example.com",
            "ada@exämple.com",
            &format!("{}@example.com", "a".repeat(65)),
            &long(EMAIL_BYTES_MAX + 1),
        ] {
            assert_eq!(bad.parse::<EmailAddress>(), Err(InvalidEmailAddress), "{bad:?}");
        }
    }

    #[test]
    fn the_limits_of_its_length_are_inclusive() {
        assert_eq!(address(&long(EMAIL_BYTES_MAX)).as_str().len(), 254);
        assert!(format!("{}@example.com", "a".repeat(64)).parse::<EmailAddress>().is_ok());
    }

    #[test]
    fn the_fault_says_what_is_wanted_and_quotes_nothing() {
        let wanted = "must be an e-mail address in ASCII, of at most 254 characters, such as name@example.com";
        assert_eq!("Ada Lovelace".parse::<EmailAddress>().unwrap_err().to_string(), wanted);
        let stored = serde_json::from_value::<EmailAddress>(json!("Ada Lovelace")).unwrap_err();
        assert_eq!(stored.to_string(), wanted);
    }

    #[test]
    fn debug_output_hides_the_address() {
        assert_eq!(format!("{:?}", address("ada@example.com")), "EmailAddress([personal])");
    }

    proptest! {
        #[test]
        fn whatever_passes_is_one_line_of_ascii_and_is_stored_and_read_as_the_same(text in "[ -~]{0,12}@?[a-zA-Z.\\r\\n\\[\\]-]{0,12}\\PC{0,2}") {
            if let Ok(address) = text.parse::<EmailAddress>() {
                prop_assert!(address.as_str().bytes().all(|b| b.is_ascii() && !b.is_ascii_control()));
                prop_assert!(!address.domain().is_empty());
                let stored = serde_json::to_value(&address).unwrap();
                prop_assert_eq!(&stored, address.as_str());
                let read: EmailAddress = serde_json::from_value(stored).unwrap();
                prop_assert_eq!(read.as_str(), address.as_str());
                prop_assert_eq!(&address.canonical().parse::<EmailAddress>().unwrap(), &address);
            }
        }
    }
}
