//! `order-tracking`: stores the set of facts of each order, from which its status follows.
//!
//! `main.rs` wires it behind its queue. `order-status` and `order-deadline` read the facts. Facts arrive twice, late and out of
//! order; in a set this makes no difference. It stores no status: [`domain::tracking::Facts::status`] computes it
//! from the facts for each request. The function publishes no events.

pub mod timelines;

use domain::{CloudEvent, tracking::Fact};
use lambda_kit::{Failure, message::Delivery};
use pipeline::{Reply, Stage, not_for, order_id};
use timelines::Timelines;

/// The stage. It needs no clock: a fact's time is its event's.
#[derive(Debug)]
pub struct OrderTracking<T> {
    /// The facts of each order.
    pub timelines: T,
}

impl<T: Timelines> Stage for OrderTracking<T> {
    const NAME: &'static str = "order-tracking";

    async fn handle(&self, event: &CloudEvent, _: &Delivery) -> Result<Reply, Failure> {
        let order_id = order_id(event)?;
        let fact = Fact::from_event(&event.event, event.time).ok_or_else(|| not_for(Self::NAME, event))?;
        self.timelines.note(&order_id, event.event.event_type(), fact).await?;
        Ok(Reply::nothing())
    }
}

#[cfg(test)]
mod tests;
