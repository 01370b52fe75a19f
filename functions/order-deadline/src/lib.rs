//! `order-deadline`: the one clock of the pipeline.
//!
//! `main.rs` wires it behind a queue that holds each `order.placed` back for a while. It then looks, again and again,
//! whether the order has ended, and does what [`domain::deadline::look`] says. It refuses to end an order itself: it only
//! repeats what was said, or asks.

use domain::{
    CloudEvent, Event, Order, OrderId,
    deadline::{Deadlines, Look, look, timed_out_at},
    event::{CancelRequest, OrderCancelRequested},
};
use jiff::SignedDuration;
use lambda_kit::{Ambient, Failure, config::ConfigError, dynamodb::DynamoDb, message::Delivery};
use pipeline::{Announcement, Reply, Stage, not_for, order_id};
use std::time::Duration;

/// What the stage may do with orders.
pub trait Orders {
    /// The order as it is now, facts included.
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure>;
}

impl<D: DynamoDb> Orders for pipeline::orders::Orders<D> {
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        self.find(id).await
    }
}

/// The stage.
#[derive(Debug)]
pub struct OrderDeadline<O, A> {
    /// The orders.
    pub orders: O,
    /// The clock.
    pub ambient: A,
    /// When to do what; see [`deadlines`].
    pub deadlines: Deadlines,
}

impl<O: Orders, A: Ambient> Stage for OrderDeadline<O, A> {
    const NAME: &'static str = "order-deadline";

    async fn handle(&self, event: &CloudEvent, _: &Delivery) -> Result<Reply, Failure> {
        let Event::OrderPlaced(_) = event.event else { return Err(not_for(Self::NAME, event)) };
        let id = order_id(event)?;
        // Intake writes before it publishes and nobody deletes: an order that is not there was lost, and by us.
        let order =
            self.orders.find(&id).await?.ok_or_else(|| Failure::bug("OrderMissing", "an announced order is not in the orders table"))?;
        match look(&order, self.ambient.now(), &self.deadlines) {
            Look::Ended => Ok(Reply::nothing()),
            Look::Nudge => Ok(self.repeat(Announcement { event: order.placed().into(), time: order.received_at, again: true })),
            // Asking is enough, and better than nudging too. Shipping announces its decision on every fact it hears, the
            // request is one and decides if nothing has yet, and payment and inventory answer the decision whatever they
            // have recorded. `order.placed` beside it could only make payment hold money for an order about to be undone.
            Look::TimeOut => {
                let event = OrderCancelRequested { reason: CancelRequest::TimedOut }.into();
                Ok(self.repeat(Announcement { event, time: timed_out_at(&order, &self.deadlines), again: true }))
            }
            Look::Park => {
                let age_s = self.ambient.now().duration_since(order.received_at).as_secs();
                let message = format!(
                    "after {age_s} s the order has neither shipped nor been cancelled everywhere; its dead letters say where it stands"
                );
                Err(Failure::permanent("OrderDidNotEnd", message))
            }
        }
    }
}

impl<O, A> OrderDeadline<O, A> {
    /// Announces what was announced before, and comes back. Marked `again`: under its own deduplication id SNS and SQS
    /// would swallow it for five minutes, with success.
    fn repeat(&self, announcement: Announcement) -> Reply {
        let nudge_after = Duration::try_from(self.deadlines.nudge_after).unwrap_or_default();
        Reply { announcements: vec![announcement], look_again_after: Some(nudge_after) }
    }
}

/// The deadlines from the template's parameters, in seconds.
///
/// # Errors
/// Where one does not lie after the one before it: the clock would skip a step, or stand still.
pub fn deadlines(nudge_after_s: u32, time_out_after_s: u32, park_after_s: u32) -> Result<Deadlines, ConfigError> {
    let steps =
        [("NUDGE_AFTER_SECONDS", nudge_after_s), ("TIME_OUT_AFTER_SECONDS", time_out_after_s), ("PARK_AFTER_SECONDS", park_after_s)];
    let mut faults: Vec<_> = steps
        .windows(2)
        .filter_map(|pair| match pair {
            [(earlier, before), (later, after)] if before >= after => Some(format!("{later} must be more than {earlier}")),
            _ => None,
        })
        .collect();
    if nudge_after_s == 0 {
        faults.push("NUDGE_AFTER_SECONDS must be more than 0".to_owned());
    }
    let of = |seconds: u32| SignedDuration::from_secs(i64::from(seconds));
    let deadlines = Deadlines { nudge_after: of(nudge_after_s), time_out_after: of(time_out_after_s), park_after: of(park_after_s) };
    if faults.is_empty() { Ok(deadlines) } else { Err(ConfigError(faults)) }
}

#[cfg(test)]
mod tests;
