//! Where the facts of each order are kept: the port of `order-tracking`, and its DynamoDB side.
//!
//! [`OrderTracking`](crate::OrderTracking) calls it, once per event. It does not look at the order: nothing in the item
//! could change what is to be written.

use aws_sdk_dynamodb::Client;
use domain::{EventType, OrderId, tracking::Fact};
use lambda_kit::{
    Failure,
    dynamodb::{DynamoDb, Table, Update, attribute},
};

/// The facts of each order: one per event type, as it was first heard.
pub trait Timelines {
    /// Notes `fact`, unless one of its type is there: one UpdateItem.
    async fn note(&self, order_id: &OrderId, event_type: EventType, fact: Fact) -> Result<(), Failure>;
}

/// The orders table, whose items intake creates.
#[derive(Debug, Clone)]
pub struct OrdersTable<D = Client>(Table<D>);

impl<D: DynamoDb> OrdersTable<D> {
    /// A handle on the table of this name.
    pub fn new(client: D, name: impl Into<String>) -> Self {
        Self(Table::new(client, name, pipeline::orders::KEY))
    }
}

impl<D: DynamoDb> Timelines for OrdersTable<D> {
    /// Unconditional. Intake stores an order before anyone hears of it, so a condition that the item exists could only
    /// fail for an order that was deleted, and would then park each of its facts; without it they leave an item that has
    /// no `received_at`, which readers take for no order.
    async fn note(&self, order_id: &OrderId, event_type: EventType, fact: Fact) -> Result<(), Failure> {
        self.0.write(&order_id.to_string(), Update::new().set_once(event_type.stem(), attribute(&fact)?)).await
    }
}
