//! Where the facts about each order are kept: the port of `shipping`, and its DynamoDB side.
//!
//! [`Shipping`](crate::Shipping) calls it, once per event.

use aws_sdk_dynamodb::Client;
use domain::{
    OrderId,
    shipping::{Shipment, StoredFact},
};
use lambda_kit::{
    Failure,
    dynamodb::{DynamoDb, Table, Update, Updated, attribute},
};

/// The facts of each order, in the order in which they were stored.
pub trait Shipments {
    /// Appends `fact` unless one of its kind is there, and returns the record as it then is: one UpdateItem.
    async fn append(&self, order_id: &OrderId, fact: StoredFact) -> Result<Shipment, Failure>;
}

/// The shipments table (key `order_id`).
#[derive(Debug, Clone)]
pub struct ShipmentsTable<D = Client>(Table<D>);

impl<D: DynamoDb> ShipmentsTable<D> {
    /// A handle on the table of this name.
    pub fn new(client: D, name: impl Into<String>) -> Self {
        Self(Table::new(client, name, "order_id"))
    }
}

impl<D: DynamoDb> Shipments for ShipmentsTable<D> {
    /// A list has an order but no condition can look into its maps; a set has a condition but no order. So the kinds lie
    /// beside the facts, and one write changes both: the item never has the one without the other.
    ///
    /// ```text
    /// delivery 1   UpdateItem: kinds lacks authorized ── appended ── answer lost
    /// delivery 2   UpdateItem: kinds has authorized ──── refused, and the record comes back with the refusal
    /// ```
    async fn append(&self, order_id: &OrderId, fact: StoredFact) -> Result<Shipment, Failure> {
        let kind = fact.fact.kind();
        let update = Update::new().append("facts", attribute(&fact)?).add_to_set("kinds", kind).if_set_lacks("kinds", kind);
        match self.0.update(&order_id.to_string(), update).await? {
            Updated::Now(record) | Updated::Refused(Some(record)) => Ok(record),
            Updated::Refused(None) => Err(Failure::bug("NoImage", "a record that has the fact was not returned")),
        }
    }
}
