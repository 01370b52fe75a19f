//! An order as it is stored: what was asked, at which prices, by whom.

use crate::{event::OrderPlaced, id::OrderId, line::Line, money::Money, personal::Personal, tracking::Facts};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// Full name.
    pub name: Personal<String>,
    /// Where mail about the order goes.
    pub email: Personal<String>,
}

/// Where the parcel goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Street and number.
    pub line1: Personal<String>,
    /// Flat, floor, care of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line2: Option<Personal<String>>,
    /// Town. Empty where the country's addresses name none ([`country`](crate::country)): a field that is always there is read by builds
    /// that know of no such countries.
    pub city: Personal<String>,
    /// Postal code, in the country's own form. Empty where the country has none.
    pub postal_code: Personal<String>,
    /// ISO 3166-1 alpha-2 code, upper case.
    pub country: String,
}

/// The record of the orders table. Intake writes it once; tracking adds facts; nobody changes what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Partition key.
    pub order_id: OrderId,
    /// When it was accepted. Every deadline counts from here.
    pub received_at: Timestamp,
    /// Hash of the request as it was understood: the same key with another one is refused.
    pub fingerprint: String,
    /// The lines, with their prices.
    pub lines: Vec<Line>,
    /// Sum of the lines.
    pub total: Money,
    /// The provider's reference to the means of payment. A token, never a card number.
    pub payment_method: String,
    /// The customer.
    pub customer: Customer,
    /// Where the parcel goes.
    pub shipping_address: Address,
    /// When the customer asked to cancel, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_requested_at: Option<Timestamp>,
    /// The events of the stages: one attribute per event type.
    #[serde(flatten)]
    pub facts: Facts,
}

impl Order {
    /// The data of the `order.placed` event; its time is [`Order::received_at`].
    pub fn placed(&self) -> OrderPlaced {
        OrderPlaced { lines: self.lines.clone(), total: self.total, payment_method: self.payment_method.clone() }
    }
}
