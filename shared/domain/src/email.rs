//! E-mail addresses: parsed once at the border, right ever after.
//!
//! Called wherever text becomes an address that mail goes to or comes from. It does not say whether anybody reads what is
//! sent there: only a mail that is answered shows that.

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
pub enum InvalidEmailAddress {
    /// It has not the form of one.
    #[error("must be an e-mail address in ASCII, of at most {max} characters, such as name@example.com", max = EMAIL_BYTES_MAX)]
    Malformed,
    /// The domain has a letter or digit beyond ASCII. Every such domain has a form in ASCII, which SES asks for
    /// (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_Destination.html>).
    #[error("must have its domain in ASCII: an internationalized one in the form that begins with xn--, such as name@xn--exmple-cua.com")]
    InternationalDomain,
    /// The local part has one. It has no form in ASCII, and SES does not speak SMTPUTF8, which would carry it (same page).
    #[error("must have only ASCII characters before the @: no mail can be sent to an internationalized mailbox; use another address")]
    InternationalMailbox,
    /// The local part is quoted, and needs to be: mail programs and providers read such an address in different ways.
    #[error("must be an e-mail address without quotes, blanks or special characters before the @, such as name@example.com")]
    Quoted,
    /// The domain is an IP address, not a name.
    #[error("must be an e-mail address at a domain name, such as name@example.com, and not at an IP address")]
    NoDomainName,
}

/// An e-mail address as it was typed, without the blanks around it and without quotes that it does not need: `"ada"@example.com` is
/// ada@example.com (RFC 5321, 4.1.2), and as two texts it would be one mailbox with two suppressions. `Debug` hides it.
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

    fn read(text: &str) -> Result<Self, InvalidEmailAddress> {
        let address = text.trim();
        let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
        let fits = address.len() <= EMAIL_BYTES_MAX && address.bytes().all(|b| matches!(b, b' '..=b'~'));
        if !fits || email_address::EmailAddress::parse_with_options(address, options).is_err() {
            return Err(international(address).unwrap_or(InvalidEmailAddress::Malformed));
        }
        let (local, domain) = address.rsplit_once('@').unwrap_or_default();
        // The name of a top-level domain has a letter (RFC 3696, 2), the last part of an IP address has none.
        if domain.rsplit('.').next().is_none_or(|last| last.bytes().all(|b| b.is_ascii_digit())) {
            return Err(InvalidEmailAddress::NoDomainName);
        }
        let plain = unquoted(local).map(|local| format!("{local}@{domain}"));
        Ok(Self(Personal(plain.unwrap_or_else(|| address.to_owned()))))
    }

    /// The domain, as it was typed.
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
        let address = Self::read(text)?;
        // The parser takes `!` and `_` there, which no host has (RFC 1123, 2.1) and no mail reaches.
        if !address.domain().bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)) {
            return Err(InvalidEmailAddress::Malformed);
        }
        if address.as_str().starts_with('"') { Err(InvalidEmailAddress::Quoted) } else { Ok(address) }
    }
}
impl TryFrom<String> for EmailAddress {
    type Error = InvalidEmailAddress;
    /// A stored address stays readable, an address that needs its quotes too, though none is taken any more.
    fn try_from(text: String) -> Result<Self, InvalidEmailAddress> {
        Self::read(&text)
    }
}

/// The error for an address with letters or digits beyond ASCII, if that is what is wrong with it. A sign that does not
/// show is none.
fn international(address: &str) -> Option<InvalidEmailAddress> {
    let (local, domain) = address.rsplit_once('@')?;
    let beyond_ascii = |part: &str| part.chars().any(|c| !c.is_ascii() && c.is_alphanumeric());
    match (beyond_ascii(local), beyond_ascii(domain)) {
        (true, _) => Some(InvalidEmailAddress::InternationalMailbox),
        (_, true) => Some(InvalidEmailAddress::InternationalDomain),
        _ => None,
    }
}

/// `"ada.lovelace"` without the quotes; [`None`] where it has none, or needs them.
fn unquoted(local: &str) -> Option<&str> {
    let inner = local.strip_prefix('"')?.strip_suffix('"')?;
    let is_atom = |atom: &str| !atom.is_empty() && atom.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b));
    inner.split('.').all(is_atom).then_some(inner)
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
            "ada\u{200b}@example.com",
            "zoë",
            &format!("{}@example.com", "a".repeat(65)),
            &long(EMAIL_BYTES_MAX + 1),
        ] {
            assert_eq!(bad.parse::<EmailAddress>(), Err(InvalidEmailAddress::Malformed), "{bad:?}");
        }
        for machine in ["ada@192.0.2.7", "ada@example.7"] {
            assert_eq!(machine.parse::<EmailAddress>(), Err(InvalidEmailAddress::NoDomainName), "{machine:?}");
        }
    }

    #[test]
    fn an_internationalized_address_is_told_what_to_change() {
        let said = |text: &str| text.parse::<EmailAddress>().unwrap_err().to_string();
        for (domain, ascii) in [("ada@exämple.com", "ada@xn--exmple-cua.com"), ("ada@例え.jp", "ada@xn--r8jz45g.jp")] {
            assert!(said(domain).contains("xn--"), "{}", said(domain));
            assert_eq!(address(ascii).as_str(), ascii);
        }
        for mailbox in ["zoë@example.com", "用户@例え.jp", "zoë@exämple.com"] {
            assert!(said(mailbox).contains("before the @") && said(mailbox).contains("mailbox"), "{}", said(mailbox));
        }
        assert_eq!("a@b@exämple".parse::<EmailAddress>(), Err(InvalidEmailAddress::InternationalDomain));
    }

    #[test]
    fn unneeded_quotes_are_dropped_and_needed_ones_refused() {
        for (quoted, plain) in [(r#""ada"@example.com"#, "ada@example.com"), (r#""a.b+c"@example.com"#, "a.b+c@example.com")] {
            assert_eq!((address(quoted).as_str(), address(quoted)), (plain, address(plain)));
        }
        for needed in [r#""a b"@example.com"#, r#""a..b"@example.com"#, r#"".a"@example.com"#, r#""a@b"@example.com"#] {
            assert_eq!(needed.parse::<EmailAddress>(), Err(InvalidEmailAddress::Quoted), "{needed:?}");
            assert_eq!(serde_json::from_value::<EmailAddress>(json!(needed)).unwrap().as_str(), needed, "stored once, stays readable");
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
        fn an_accepted_address_is_one_ascii_line_and_round_trips(text in "[ -~]{0,12}@?[a-zA-Z.\\r\\n\\[\\]-]{0,12}\\PC{0,2}") {
            if let Ok(address) = text.parse::<EmailAddress>() {
                prop_assert!(address.as_str().bytes().all(|b| b.is_ascii() && !b.is_ascii_control()));
                prop_assert!(!address.domain().is_empty());
                let stored = serde_json::to_value(&address).unwrap();
                prop_assert_eq!(&stored, address.as_str());
                let read: EmailAddress = serde_json::from_value(stored).unwrap();
                prop_assert_eq!(read.as_str(), address.as_str());
                prop_assert!(!address.as_str().contains('"'));
                prop_assert_eq!(&address.canonical().parse::<EmailAddress>().unwrap(), &address);
            }
        }
    }
}
