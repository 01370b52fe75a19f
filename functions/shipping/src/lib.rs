//! `shipping`: hears what payment and inventory say, and what the customer or the clock asks, and decides once per order
//! whether it is shipped or cancelled.
//!
//! `main.rs` wires it behind its queue. The decision is [`domain::shipping::Shipment::decision`], a fold over the facts in
//! the order in which they were stored. It refuses to store the decision: whoever reads the same list announces the same
//! event, and does so on every fact, so that a lost announcement heals with the next one.

pub mod shipments;

use domain::{
    CloudEvent,
    shipping::{Fact, StoredFact},
};
use lambda_kit::{Ambient, Failure, message::Delivery};
use pipeline::{Reply, Stage, not_for, order_id};
use shipments::Shipments;

/// The stage.
#[derive(Debug)]
pub struct Shipping<S, A> {
    /// What was heard of each order.
    pub shipments: S,
    /// The time at which a fact is stored: the margin to the end of a hold counts from here.
    pub ambient: A,
}

impl<S: Shipments, A: Ambient> Stage for Shipping<S, A> {
    const NAME: &'static str = "shipping";

    async fn handle(&self, event: &CloudEvent, _: &Delivery) -> Result<Reply, Failure> {
        let order_id = order_id(event)?;
        let fact = Fact::from_event(&event.event).ok_or_else(|| not_for(Self::NAME, event))?;
        let shipment = self.shipments.append(&order_id, StoredFact { at: self.ambient.now(), fact }).await?;
        Ok(shipment.decision().map_or_else(Reply::nothing, Reply::announce))
    }
}

#[cfg(test)]
mod tests;
