//! An order as it is stored: what was asked, at which prices, by whom.

use crate::{
    event::OrderPlaced,
    id::{OrderId, Sku},
    money::Money,
    personal::Personal,
    tracking::Facts,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Most lines in one order. All are reserved in one DynamoDB transaction, which takes 100 actions; 50 lines and the
/// reservation stay well below, and their events far below the 256 KiB that SNS takes.
pub const LINES_MAX: usize = 50;

/// Most units in one line: beyond it an order is a typing error or a wholesale deal, and neither should ship by itself.
pub const QUANTITY_MAX: u32 = 1_000;

/// So many units of one SKU.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Item {
    /// What.
    pub sku: Sku,
    /// How many, 1 to [`QUANTITY_MAX`].
    pub quantity: u32,
}

/// An [`Item`] at the catalogue's price when the order was placed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What.
    pub sku: Sku,
    /// How many, 1 to [`QUANTITY_MAX`].
    pub quantity: u32,
    /// Price of one unit, in minor units of the order's currency.
    pub unit_price_minor: u64,
}

/// The items of `lines`, ordered by SKU, so that two stages that speak of the same items write the same list.
pub fn items(lines: &[Line]) -> Vec<Item> {
    let mut items: Vec<_> = lines.iter().map(|line| Item { sku: line.sku.clone(), quantity: line.quantity }).collect();
    items.sort();
    items
}

/// Who ordered.
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
    /// Town.
    pub city: Personal<String>,
    /// Postal code, in the country's own form.
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
    /// What was bought, at which prices.
    pub lines: Vec<Line>,
    /// Sum of the lines.
    pub total: Money,
    /// The provider's reference to the means of payment. A token, never a card number.
    pub payment_method: String,
    /// Who ordered.
    pub customer: Customer,
    /// Where the parcel goes.
    pub shipping_address: Address,
    /// When the customer asked to cancel, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_requested_at: Option<Timestamp>,
    /// What the stages reported: one attribute per event type.
    #[serde(flatten)]
    pub facts: Facts,
}

impl Order {
    /// The data of the `order.placed` event; its time is [`Order::received_at`].
    pub fn placed(&self) -> OrderPlaced {
        OrderPlaced { lines: self.lines.clone(), total: self.total, payment_method: self.payment_method.clone() }
    }
}
