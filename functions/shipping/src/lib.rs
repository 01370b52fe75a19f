//! `shipping`: collects the facts from payment, inventory, the customer and order-deadline, and decides once per order whether
//! it ships or is cancelled.
//!
//! `main.rs` wires it behind its queue. The decision is [`domain::shipping::Shipment::decision`], a fold over the facts in the
//! order in which they were stored. The decision is not stored: every reader of the same list decides the same. The
//! decision is published for every fact, so that a lost event is repeated with the next fact.

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
