//! An order as it is stored, for tests that say of it only what they are about.
#![allow(clippy::unwrap_used, reason = "what is not as the tests expect fails them, helpers included")]

use crate::shop::{NAME, VISA};
use domain::{
    Currency, Line, Money, Order, Personal,
    order::{Address, Customer},
    tracking::Facts,
};

/// Two mugs, of which no stage has reported anything. Whatever is personal is [`NAME`], so that one word tells whether any
/// of it got out.
pub fn order(order_id: &str) -> Order {
    let private = || Personal(NAME.to_owned());
    Order {
        order_id: order_id.parse().unwrap(),
        received_at: "2026-05-04T10:11:12.345Z".parse().unwrap(),
        fingerprint: "f1ngerprint".into(),
        lines: vec![Line { sku: "MUG-BLUE".parse().unwrap(), quantity: 2, unit_price_minor: 1200 }],
        total: Money { amount_minor: 2400, currency: Currency::EUR },
        payment_method: VISA.into(),
        customer: Customer { name: private(), email: private() },
        shipping_address: Address {
            line1: private(),
            line2: Some(private()),
            city: private(),
            postal_code: private(),
            country: "DE".into(),
        },
        cancel_requested_at: None,
        facts: Facts::default(),
    }
}
