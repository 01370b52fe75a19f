//! Where the facts of each order are kept: the port of `order-tracking`, and its DynamoDB side.
//!
//! [`OrderTracking`](crate::OrderTracking) calls it, once per event. It refuses to look at the order: nothing in the item
//! could change what is to be written.

use domain::{EventType, OrderId, tracking::Fact};
use lambda_kit::{
    Failure,
    dynamodb::{Table, Update, attribute},
};

/// The facts of each order: one per event type, as it was first heard.
pub trait Timelines {
    /// Notes `fact`, unless one of its type is there: one UpdateItem.
    async fn note(&self, order_id: &OrderId, event_type: EventType, fact: Fact) -> Result<(), Failure>;
}

/// The orders table, whose items intake creates.
#[derive(Debug, Clone)]
pub struct OrdersTable(Table);

impl OrdersTable {
    /// A handle on the table of this name.
    pub fn new(client: aws_sdk_dynamodb::Client, name: impl Into<String>) -> Self {
        Self(Table::new(client, name, pipeline::orders::KEY))
    }
}

impl Timelines for OrdersTable {
    /// Unconditional. Intake stores an order before anyone hears of it, so a condition that the item exists could only
    /// fail for an order that was deleted, and would then park each of its facts; without it they leave an item that has
    /// no `received_at`, which readers take for no order.
    async fn note(&self, order_id: &OrderId, event_type: EventType, fact: Fact) -> Result<(), Failure> {
        self.0.write(&order_id.to_string(), Update::new().set_once(event_type.stem(), attribute(&fact)?)).await
    }
}
