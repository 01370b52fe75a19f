//! `order-deadline`: the only timer of the pipeline.
//!
//! `main.rs` wires it behind a queue that delays each `order.placed`. It then checks repeatedly whether the order has ended,
//! and does what [`domain::deadline::look`] decides. Each check is a message of its own
//! (`docs/decisions/0014-a-check-is-a-new-message.md`). It does not end an order itself: it publishes an event again, or asks
//! for a cancellation.

use domain::{
    CloudEvent, Event, Order, OrderId, Timestamp,
    deadline::{Deadlines, HOLDS_LAPSE_AFTER, Look, cancel_request, look, next_check},
    event::OrderCancelRequested,
};
use jiff::SignedDuration;
use lambda_kit::{
    Ambient, Failure,
    batch::{DELAY_MAX, LOOK_AGAIN_MAX},
    config::ConfigError,
    dynamodb::DynamoDb,
    message::Delivery,
};
use pipeline::{Announcement, Reply, Stage, not_for, order_id};
use std::time::Duration;

/// The latest age at which an order is handed to people: half of the 14 days for which SQS keeps a message. So who looks
/// finds the order's other dead letters, which are as old as the order, and has a week for them.
pub const PARK_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The stage's operations on orders.
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

    async fn handle(&self, event: &CloudEvent, delivery: &Delivery) -> Result<Reply, Failure> {
        let Event::OrderPlaced(_) = event.event else { return Err(not_for(Self::NAME, event)) };
        let id = order_id(event)?;
        // Intake writes before it publishes and nobody deletes: an order that is not there was lost, and by us.
        let order =
            self.orders.find(&id).await?.ok_or_else(|| Failure::bug("OrderMissing", "an announced order is not in the orders table"))?;
        let now = self.ambient.now();
        match look(&order, now, delivery.due, &self.deadlines) {
            Look::Ended => Ok(Reply::nothing()),
            Look::Nudge => {
                let announcement = Announcement { event: order.placed().into(), time: order.received_at, again: true };
                Ok(self.repeat(announcement, &order, now))
            }
            // Asking is enough, and better than nudging too. Shipping announces its decision on every fact it hears, the
            // request is one and decides if nothing has yet, and payment and inventory answer the decision whatever they
            // have recorded. `order.placed` beside it could only make payment hold money for an order about to be undone.
            Look::TimeOut => {
                let (reason, time) = cancel_request(&order, &self.deadlines);
                let event = OrderCancelRequested { reason }.into();
                Ok(self.repeat(Announcement { event, time, again: true }, &order, now))
            }
            Look::Park => {
                let age_s = now.duration_since(order.received_at).as_secs();
                let message = format!(
                    "after {age_s} s the order has neither shipped nor been cancelled everywhere; see its messages in the dead-letter queues"
                );
                Err(Failure::permanent("OrderDidNotEnd", message))
            }
        }
    }
}

impl<O, A> OrderDeadline<O, A> {
    /// Announces what was announced before, and schedules the next check. Marked `again`: under its own deduplication id SNS and
    /// SQS ignore it for five minutes and still return success.
    fn repeat(&self, announcement: Announcement, order: &Order, now: Timestamp) -> Reply {
        let after = Duration::try_from(next_check(order, now, &self.deadlines)).unwrap_or_default();
        Reply { announcements: vec![announcement], look_again_after: Some(after) }
    }
}

/// The deadlines from the template's parameters, in seconds.
///
/// # Errors
/// With one sentence for each fault: where one does not lie after the one before it, a step would be skipped, or never come;
/// and each has a longest, by what SQS delays and keeps.
pub fn deadlines(nudge_after_s: u32, time_out_after_s: u32, park_after_s: u32) -> Result<Deadlines, ConfigError> {
    let delay_max_s = DELAY_MAX.as_secs();
    let park_max_s = PARK_AFTER_MAX.as_secs();
    let faults = [
        (nudge_after_s == 0, "NUDGE_AFTER_SECONDS must be more than 0".to_owned()),
        (u64::from(nudge_after_s) > delay_max_s, format!("NUDGE_AFTER_SECONDS must be at most {delay_max_s}, the longest delay of SQS")),
        (nudge_after_s >= time_out_after_s, "TIME_OUT_AFTER_SECONDS must be more than NUDGE_AFTER_SECONDS".to_owned()),
        (time_out_after_s >= park_after_s, "PARK_AFTER_SECONDS must be more than TIME_OUT_AFTER_SECONDS".to_owned()),
        (
            u64::from(park_after_s) > park_max_s,
            format!("PARK_AFTER_SECONDS must be at most {park_max_s}, while an order's other dead letters are still kept"),
        ),
    ];
    let faults: Vec<_> = faults.into_iter().filter_map(|(is_fault, sentence)| is_fault.then_some(sentence)).collect();
    let of = |seconds: u32| SignedDuration::from_secs(i64::from(seconds));
    let deadlines = Deadlines { nudge_after: of(nudge_after_s), time_out_after: of(time_out_after_s), park_after: of(park_after_s) };
    if faults.is_empty() { Ok(deadlines) } else { Err(ConfigError(faults)) }
}

/// A wait is a quarter of the order's age at most, and no order older than this is waited for: the batch core takes every wait
/// that [`next_check`] can ask for as it is.
const _: () = assert!(HOLDS_LAPSE_AFTER.as_secs().unsigned_abs() / 4 <= LOOK_AGAIN_MAX.as_secs());

#[cfg(test)]
mod tests;
