//! Events of orders that nobody placed, as a stage would hear them.
#![allow(clippy::unwrap_used, reason = "what is not as the tests expect fails them, helpers included")]

use domain::{CloudEvent, Currency, Event, Money, Subject, Timestamp, event::OrderPlaced, line::Line};
use std::fmt::Display;
use testkit::shop::new_key;

/// The id of an order that nobody has heard of.
pub fn new_order() -> String {
    new_key().replacen("-4", "-5", 1)
}

/// The time that the deployed functions have.
#[expect(clippy::disallowed_methods, reason = "the deployed functions run by the real clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// An event about an order, as one of those who may say it would.
pub fn event(order_id: impl Display, time: Timestamp, event: impl Into<Event>) -> CloudEvent {
    let (subject, event) = (Subject::Order(order_id.to_string().parse().unwrap()), event.into());
    let source = format!("/{}", event.event_type().producers()[0]);
    CloudEvent { source, subject, time, traceparent: None, event }
}

/// An order of one line, 12.00 a piece.
pub fn placed(sku: &str, quantity: u32, payment_method: &str) -> OrderPlaced {
    let line = Line { sku: sku.parse().unwrap(), quantity, unit_price_minor: 1200 };
    let total = Money { amount_minor: 1200 * u64::from(quantity), currency: Currency::EUR };
    OrderPlaced { lines: vec![line], total, payment_method: payment_method.into() }
}
