//! Which order a mail is about.
//!
//! Our mails ask for replies to `orders+<order id>@…`, so that the envelope of a reply names the order whatever a client
//! does to the rest; some people write a new mail and paste the id into the subject. It does not choose: a mail that names
//! two orders names none.

use domain::OrderId;
use mailer::OrdersAddress;
use std::collections::BTreeSet;

/// The one order that the labels of `recipients` name, or else the one that `subject` names.
pub fn named<'r>(recipients: impl IntoIterator<Item = &'r str>, subject: &str, own: &OrdersAddress) -> Option<OrderId> {
    let labelled: BTreeSet<OrderId> = recipients.into_iter().filter_map(|recipient| own.order_of(recipient)).collect();
    let written = || subject.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).filter_map(id).collect();
    let named: BTreeSet<OrderId> = if labelled.is_empty() { written() } else { labelled };
    let mut named = named.into_iter();
    named.next().filter(|_| named.next().is_none())
}

/// A customer who pastes an id may change its case; it has one spelling.
fn id(text: &str) -> Option<OrderId> {
    text.to_ascii_lowercase().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "22705e6b-fcc3-58dd-9ec8-55c8e45275c1";
    const OTHER: &str = "ee3717c6-3e6f-58b0-ad82-7756503e0a32";

    fn of(recipients: &[String], subject: &str) -> Option<String> {
        let recipients = recipients.iter().map(String::as_str);
        named(recipients, subject, &"orders@example.com".parse().unwrap()).map(|id| id.to_string())
    }
    fn to(label: &str) -> String {
        format!("orders+{label}@example.com")
    }

    #[test]
    fn an_order_is_named_by_the_label_and_else_by_the_subject() {
        assert_eq!(of(&[to(ONE)], "Re: your order"), Some(ONE.into()));
        assert_eq!(of(&[to(&ONE.to_uppercase()).replace("example", "EXAMPLE")], ""), Some(ONE.into()));
        assert_eq!(of(&["orders@example.com".into()], &format!("cancel [{ONE}], please")), Some(ONE.into()));
        assert_eq!(of(&[to("hello")], &format!("order {ONE}")), Some(ONE.into()));
        assert_eq!(of(&[to(ONE)], OTHER), Some(ONE.into()), "the label was ours to write");
        assert_eq!(of(&[to(ONE), to(ONE)], ""), Some(ONE.into()));
    }

    #[test]
    fn two_orders_are_none() {
        assert_eq!(of(&[to(ONE), to(OTHER)], ""), None);
        assert_eq!(of(&[], &format!("{ONE} and {OTHER}")), None);
        assert_eq!(of(&[], "cancel"), None);
    }

    #[test]
    fn a_label_counts_at_our_own_address_alone() {
        for foreign in [format!("orders+{ONE}@example.org"), format!("sales+{ONE}@example.com"), format!("{ONE}@example.com"), ONE.into()] {
            assert_eq!(of(&[foreign], ""), None);
        }
    }
}
