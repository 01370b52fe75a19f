//! Identifiers: parsed once at the border, right ever after.
//!
//! Called wherever text becomes an id. It does not make up ids: an order's id follows from its idempotency key, a
//! customer's from the e-mail address.

use crate::email::EmailAddress;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// Namespace of order ids made from idempotency keys: a fixed random UUID, so that they collide with nobody else's.
const ORDER_NAMESPACE: Uuid = Uuid::from_u128(0x6f1d_0c1e_52f4_4e0b_9a7b_3c86_27aa_91d5);
/// Namespace of customer ids made from e-mail addresses: another fixed random UUID.
const CUSTOMER_NAMESPACE: Uuid = Uuid::from_u128(0x1e19_a05f_a403_41d0_90cc_2937_cd08_7ae1);

/// Longest SKU. GS1 and common shop systems stay below 50; 64 leaves room and keeps a 50-line order small.
pub const SKU_MAX_LEN: usize = 64;

/// The text is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(pub &'static str);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl FromStr for $name {
            type Err = InvalidId;
            /// Accepts the lower-case hyphenated form alone: one id has one spelling.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let id = Uuid::try_parse(text).map_err(|_| InvalidId($what))?;
                let mut canonical = Uuid::encode_buffer();
                if id.hyphenated().encode_lower(&mut canonical) == text { Ok(Self(id)) } else { Err(InvalidId($what)) }
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> { text.parse() }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String { id.to_string() }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.hyphenated().fmt(f) }
        }
    };
}

uuid_id!(
    /// An order: a lower-case hyphenated UUID, derived from the idempotency key that placed it.
    OrderId, "must be an order id, a lower-case UUID"
);
uuid_id!(
    /// A customer: a lower-case hyphenated UUID, derived from the customer's e-mail address.
    CustomerId, "must be a customer id, a lower-case UUID"
);

impl OrderId {
    /// The order that `key` places. The same key by the same caller is the same order, so a retry needs no second table.
    ///
    /// `caller` scopes the key where requests are authenticated, so that one customer's key can never name another's order.
    pub fn from_key(key: &IdempotencyKey, caller: Option<&str>) -> Self {
        let scope = caller.map_or(ORDER_NAMESPACE, |caller| Uuid::new_v5(&ORDER_NAMESPACE, caller.as_bytes()));
        Self(Uuid::new_v5(&scope, key.0.as_bytes()))
    }

    /// The parcel's tracking number, a function of the order: announcing it twice announces the same one.
    pub fn tracking_number(&self) -> String {
        /// Twelve digits, as carriers' numbers have; the prefix says whose it is.
        const DIGITS: u128 = 1_000_000_000_000;
        format!("OP{:012}", self.0.as_u128() % DIGITS)
    }
}

impl CustomerId {
    /// The customer whose address is `email`, in whatever case it is typed. The same address is the same customer, so that
    /// signing up twice needs no second table, and a list of addresses no look-up.
    ///
    /// It is a pseudonym, not a secret: the id of a known address can be computed, and so test an id against a guess. Events
    /// and logs carry it because it shows nothing by itself; a link that acts for a customer needs a signature.
    pub fn from_email(email: &EmailAddress) -> Self {
        Self(Uuid::new_v5(&CUSTOMER_NAMESPACE, email.canonical().as_bytes()))
    }

    /// The id's sixteen bytes, for where text would be too long.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id of these sixteen bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

/// The value of an `Idempotency-Key` header: a UUID of version 4 or 7, which clients make without coordination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Uuid);

impl FromStr for IdempotencyKey {
    type Err = InvalidId;
    /// Accepts any case and an RFC 8941 string (in double quotes), as draft-ietf-httpapi-idempotency-key-header-07 writes it.
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const FAULT: InvalidId = InvalidId("must be one UUID of version 4 or 7");
        let bare = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text);
        // 36: the hyphenated form alone; `try_parse` would also take braces, URNs and bare hex.
        let id = (bare.len() == 36).then(|| Uuid::try_parse(bare).ok()).flatten().ok_or(FAULT)?;
        if matches!(id.get_version_num(), 4 | 7) && id.get_variant() == uuid::Variant::RFC4122 { Ok(Self(id)) } else { Err(FAULT) }
    }
}

/// A stock-keeping unit: 1 to 64 of `A-Z`, `0-9`, `-`, `_`, `.`, starting with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sku(String);

impl Sku {
    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Sku {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let legal = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.');
        let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if text.len() <= SKU_MAX_LEN && starts_well && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidId("must be a SKU: 1 to 64 of A-Z, 0-9, '-', '_', '.', starting with a letter or digit"))
        }
    }
}
impl TryFrom<String> for Sku {
    type Error = InvalidId;
    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}
impl From<Sku> for String {
    fn from(sku: Sku) -> String {
        sku.0
    }
}
impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_is_the_same_order_and_another_caller_gets_another() {
        let key: IdempotencyKey = "0190b5a8-3f61-7c51-9d2e-8f4f5a1b2c3d".parse().unwrap();
        assert_eq!(OrderId::from_key(&key, None), OrderId::from_key(&key, None));
        assert_eq!(OrderId::from_key(&key, None).to_string(), "aef753cd-ba7e-587f-b823-e93918496790", "stored ids depend on it");
        assert_ne!(OrderId::from_key(&key, None), OrderId::from_key(&key, Some("a")));
        assert_ne!(OrderId::from_key(&key, Some("b")), OrderId::from_key(&key, Some("a")));
    }

    #[test]
    fn the_same_address_in_any_case_is_the_same_customer() {
        let of = |text: &str| CustomerId::from_email(&text.parse().unwrap());
        assert_eq!(of("ada@example.com").to_string(), "e507ff26-6a21-519c-adde-1e19920b0ce2", "stored ids depend on it");
        assert_eq!(of(" Ada@Example.COM "), of("ada@example.com"));
        assert_ne!(of("ada+mugs@example.com"), of("ada@example.com"));
        assert_eq!(CustomerId::from_bytes(*of("ada@example.com").as_bytes()), of("ada@example.com"));
    }

    #[test]
    fn a_tracking_number_is_twelve_digits_that_follow_from_the_order() {
        let number = |id: &str| id.parse::<OrderId>().unwrap().tracking_number();
        assert_eq!(number("fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9"), "OP151694015737", "labels are printed with it");
        assert_eq!(number("00000000-0000-5000-7fff-ff725440102a"), "OP000000000042", "filled up to one length");
    }

    #[test]
    fn keys_are_uuids_of_version_4_or_7_in_hyphenated_form() {
        for good in
            ["0190b5a8-3f61-7c51-9d2e-8f4f5a1b2c3d", "9F1B4C1E-7A0B-4D3C-8E2F-1A2B3C4D5E6F", "\"9f1b4c1e-7a0b-4d3c-8e2f-1a2b3c4d5e6f\""]
        {
            assert!(good.parse::<IdempotencyKey>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "abc",
            "9f1b4c1e7a0b4d3c8e2f1a2b3c4d5e6f",
            "{9f1b4c1e-7a0b-4d3c-8e2f-1a2b3c4d5e6f}",
            "9f1b4c1e-7a0b-1d3c-8e2f-1a2b3c4d5e6f",
            "00000000-0000-0000-0000-000000000000",
            "9f1b4c1e-7a0b-4d3c-8e2f-1a2b3c4d5e6f, 9f1b4c1e-7a0b-4d3c-8e2f-1a2b3c4d5e6f",
        ] {
            assert!(bad.parse::<IdempotencyKey>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_order_id_has_one_spelling() {
        let id = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";
        assert_eq!(id.parse::<OrderId>().unwrap().to_string(), id);
        assert!(id.to_uppercase().parse::<OrderId>().is_err());
        assert!(id.replace('-', "").parse::<OrderId>().is_err());
    }

    #[test]
    fn skus_are_short_upper_case_codes() {
        for good in ["A", "MUG-BLUE", "4006381333931", "A.b".to_uppercase().as_str(), &"A".repeat(SKU_MAX_LEN)] {
            let sku: Sku = good.parse().unwrap();
            assert_eq!((sku.as_str(), sku.to_string(), String::from(sku.clone())), (good, good.to_owned(), good.to_owned()));
        }
        for bad in ["", "-A", "mug", "A B", "A/B", "Ä", &"A".repeat(SKU_MAX_LEN + 1)] {
            assert!(bad.parse::<Sku>().is_err(), "{bad}");
        }
    }
}
