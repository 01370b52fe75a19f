//! Every mail of this function, filled in with a sample order: what a preview shows.
//!
//! Tools call it, never the function. It does not name anybody who exists.

use crate::mails;
use domain::{
    Currency, Line, Money, Order, Personal,
    order::{Address, Customer},
    tracking::Facts,
};
use mailer::Mail;

/// Each mail with its name.
pub fn samples() -> Vec<(&'static str, Mail)> {
    order().map(|order| mails::every(&order)).unwrap_or_default()
}

/// Two mugs and a teapot: the order of the sample events.
pub(crate) fn order() -> Option<Order> {
    let text = |text: &str| Personal(text.to_owned());
    let line = |sku: &str, quantity, unit_price_minor| Some(Line { sku: sku.parse().ok()?, quantity, unit_price_minor });
    Some(Order {
        order_id: "ee3717c6-3e6f-58b0-ad82-7756503e0a32".parse().ok()?,
        received_at: "2026-05-04T10:11:12.345Z".parse().ok()?,
        fingerprint: String::new(),
        lines: vec![line("MUG-BLUE", 2, 1200)?, line("TEAPOT", 1, 4500)?],
        total: Money { amount_minor: 6900, currency: Currency::EUR },
        payment_method: "pm_card_visa".into(),
        customer: Customer { name: text("Ada Example"), email: text("ada@example.com") },
        shipping_address: Address {
            line1: text("1 Main St"),
            line2: Some(text("c/o Babbage")),
            city: text("Berlin"),
            postal_code: text("10115"),
            country: "DE".into(),
        },
        cancel_requested_at: None,
        facts: Facts::default(),
    })
}
