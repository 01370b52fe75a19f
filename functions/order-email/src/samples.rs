//! Every mail of this function, filled in with a sample order: what a preview shows.
//!
//! Tools call it, never the function. It refuses to name anybody who exists.

use crate::mails;
use domain::{
    Currency, Event, Line, Money, Order, Personal,
    event::{CancelReason, OrderCancelled, OrderShipped, PaymentAuthorized, PaymentRef},
    order::{Address, Customer},
    tracking::Facts,
};
use mailer::Mail;

/// Each mail with its name. A test holds that none is missing.
pub fn samples() -> Vec<(&'static str, Mail)> {
    let Some(order) = order() else { return Vec::new() };
    let cancelled = |reason| OrderCancelled { reason, payment: None, items: None }.into();
    let tracking_number = order.order_id.tracking_number();
    let payment = || PaymentRef("pi_sample".into());
    let told: [(&str, Event); 7] = [
        ("received", PaymentAuthorized { payment: payment(), amount: order.total, capture_before: order.received_at }.into()),
        ("shipped", OrderShipped { tracking_number, payment: payment(), items: vec![] }.into()),
        ("cancelled-customer-asked", cancelled(CancelReason::CustomerAsked)),
        ("cancelled-timed-out", cancelled(CancelReason::TimedOut)),
        ("cancelled-payment-declined", cancelled(CancelReason::PaymentDeclined)),
        ("cancelled-out-of-stock", cancelled(CancelReason::OutOfStock)),
        ("cancelled-authorization-expiring", cancelled(CancelReason::AuthorizationExpiring)),
    ];
    told.into_iter().filter_map(|(name, event)| Some((name, mails::mail(&event, &order).ok()??))).collect()
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
