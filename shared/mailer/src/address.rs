//! The address that every mail comes from, and its labels, which name an order.
//!
//! Order mails let answers go to `orders+<order id>@…`; email-inbound finds the order by it. It does not take a label for a
//! proof: anybody can write to it.

use domain::{EmailAddress, OrderId};
use std::str::FromStr;

/// The name beside the address, in every mail.
pub const DISPLAY_NAME: &str = "Order Pipeline";

/// Longest local part that a label still fits behind: RFC 5321 allows 64 in all, and `+` with an order id takes 37.
const LOCAL_BYTES_MAX: usize = 27;

/// The bare address, such as `orders@example.com`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrdersAddress {
    local: String,
    domain: String,
}

/// The text cannot be the address that mails come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidOrdersAddress;

impl std::fmt::Display for InvalidOrdersAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "must be a bare address such as orders@example.com, with at most {LOCAL_BYTES_MAX} of a-z, 0-9, '.', '_' and '-' before the @"
        )
    }
}
impl std::error::Error for InvalidOrdersAddress {}

impl FromStr for OrdersAddress {
    type Err = InvalidOrdersAddress;
    fn from_str(text: &str) -> Result<Self, InvalidOrdersAddress> {
        let address = text.parse::<EmailAddress>().map_err(|_| InvalidOrdersAddress)?.canonical();
        let (local, domain) = address.rsplit_once('@').ok_or(InvalidOrdersAddress)?;
        let plain = local.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'));
        if plain && local.len() <= LOCAL_BYTES_MAX {
            Ok(Self { local: local.to_owned(), domain: domain.to_owned() })
        } else {
            Err(InvalidOrdersAddress)
        }
    }
}

impl OrdersAddress {
    /// The bare address.
    pub fn bare(&self) -> String {
        format!("{}@{}", self.local, self.domain)
    }
    /// The address with its name, as the `From` of a mail.
    pub fn from_header(&self) -> String {
        format!("{DISPLAY_NAME} <{}>", self.bare())
    }
    /// Where answers about an order go.
    pub fn labelled(&self, order_id: &OrderId) -> String {
        format!("{}+{order_id}@{}", self.local, self.domain)
    }
    /// The order that a recipient's label names, if it is this address with a label that is an order id. Case does not
    /// matter: mail programs and servers change it.
    pub fn order_of(&self, recipient: &str) -> Option<OrderId> {
        let recipient = recipient.trim().to_ascii_lowercase();
        let (local, domain) = recipient.rsplit_once('@')?;
        let label = local.strip_prefix(&self.local)?.strip_prefix('+')?;
        (domain == self.domain).then(|| label.parse().ok()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";

    #[test]
    fn an_order_is_found_by_the_label_that_its_mails_carry() {
        let address: OrdersAddress = " Orders@Example.com ".parse().unwrap();
        assert_eq!(address.bare(), "orders@example.com");
        assert_eq!(address.from_header(), "Order Pipeline <orders@example.com>");
        let order_id: OrderId = ORDER.parse().unwrap();
        let labelled = address.labelled(&order_id);
        assert_eq!(labelled, format!("orders+{ORDER}@example.com"));
        assert!(labelled.parse::<EmailAddress>().is_ok(), "it can be written to");
        assert_eq!(address.order_of(&labelled), Some(order_id));
        assert_eq!(address.order_of(&labelled.to_uppercase()), Some(order_id));
        for other in
            ["orders@example.com", "orders+x@example.com", "", "@", &labelled.replace("orders", "order"), &labelled.replace(".com", ".org")]
        {
            assert_eq!(address.order_of(other), None, "{other}");
        }
    }

    #[test]
    fn the_longest_local_part_still_takes_a_label() {
        let longest = format!("{}@example.com", "a".repeat(LOCAL_BYTES_MAX)).parse::<OrdersAddress>().unwrap();
        assert!(longest.labelled(&ORDER.parse().unwrap()).parse::<EmailAddress>().is_ok());
        for bad in
            ["", "orders", "orders+x@example.com", "\"a b\"@example.com", "Shop <orders@example.com>", &format!("a{}", longest.bare())]
        {
            let error = bad.parse::<OrdersAddress>().unwrap_err();
            assert!(error.to_string().starts_with("must be a bare address"), "{bad}");
        }
    }
}
