//! The orders table: written once by intake, added to by tracking, read by status and the deadline.
//!
//! Each function that uses it declares a port with the verbs it needs and implements it by these methods, so that what a
//! handler may call and what its role allows line up. This module does not show facts without an order: tracking may have
//! heard of one that intake never wrote, and that is no order.

use aws_sdk_dynamodb::Client;
use domain::{Order, OrderId, Timestamp};
use lambda_kit::{
    Failure,
    dynamodb::{Created, DynamoDb, Table, Update, Updated, string},
};
use serde::{Deserialize, Deserializer, de::Error as _};

/// The table's partition key.
pub const KEY: &str = "order_id";
/// Set by intake when it writes an order, and so the mark of one.
pub const RECEIVED_AT: &str = "received_at";
/// Set when the customer first asks to cancel.
const CANCEL_REQUESTED_AT: &str = "cancel_requested_at";
/// Attributes that only shipped orders have. `order.shipped` is the first of them, unless tracking heard late of it.
const SHIPPED: [&str; 4] = ["order.shipped", "payment.captured", "payment.capture_failed", "inventory.committed"];

/// The orders table.
#[derive(Debug, Clone)]
pub struct Orders<D = Client>(Table<D>);

/// The outcome of a customer's cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelAsked {
    /// It is noted; since then, which is now, or when the customer first asked.
    Since(Timestamp),
    /// The order is known to have shipped.
    TooLate,
    /// There is no such order.
    NoSuchOrder,
}

impl<D: DynamoDb> Orders<D> {
    /// A handle on the table `name`.
    pub fn new(client: D, name: impl Into<String>) -> Self {
        Self(Table::new(client, name, KEY))
    }

    /// The order as it is now; one strongly consistent read.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the stored order cannot be read.
    pub async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        Ok(self.0.get::<Row>(&id.to_string()).await?.and_then(|row| row.0))
    }

    /// Writes a new order; one conditional write. Where its key is taken, returns the order that has it.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the stored order cannot be read.
    pub async fn create(&self, order: &Order) -> Result<Created<Order>, Failure> {
        self.0.create(order).await
    }

    /// Notes at `now` that the customer wants the order cancelled, unless it is known to have shipped; one conditional
    /// write. The first wish stays, so that repeating it repeats the event that follows.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the stored order cannot be read.
    pub async fn request_cancel(&self, id: &OrderId, now: Timestamp) -> Result<CancelAsked, Failure> {
        let wish = Update::new().set_once(CANCEL_REQUESTED_AT, string(now.to_string())).if_exists(RECEIVED_AT);
        let wish = SHIPPED.iter().fold(wish, |wish, fact| wish.if_absent(fact));
        Ok(match self.0.update::<Row>(&id.to_string(), wish).await? {
            Updated::Now(Row(order)) => CancelAsked::Since(order.and_then(|order| order.cancel_requested_at).unwrap_or(now)),
            Updated::Refused(Some(Row(Some(_)))) => CancelAsked::TooLate,
            Updated::Refused(_) => CancelAsked::NoSuchOrder,
        })
    }
}

/// An item of the table: an order, or facts of none.
struct Row(Option<Order>);

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let attributes = serde_json::Map::deserialize(deserializer)?;
        if !attributes.contains_key(RECEIVED_AT) {
            return Ok(Self(None));
        }
        // Serde's message may quote a value, and the values are personal.
        let order = serde_json::from_value(attributes.into());
        order.map(|order| Self(Some(order))).map_err(|_| D::Error::custom("an attribute of the order is missing or of the wrong kind"))
    }
}

#[cfg(test)]
mod tests;
