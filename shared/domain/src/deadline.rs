//! The one timer: what to do about an order that has not ended, and when to look at it next.
//!
//! `functions/order-deadline` checks an order again and again and calls [`look`] and [`next_check`]. Nudging publishes
//! `order.placed` again, which by the healing invariant brings any order to its right end even if every message about it was lost.

use crate::{event::CancelRequest, order::Order, tracking::Facts};
use jiff::{SignedDuration, Timestamp};

/// Until an hour has passed order-deadline checks every [`Deadlines::nudge_after`]; later, each wait is the order's age
/// divided by this. Most faults pass within minutes and the first checks find them; what lasts for a day gains nothing from
/// a hundred checks. So the number of checks grows with the logarithm of the age: some twenty in two days, where one every
/// 15 minutes would be 192.
pub const AGE_PER_WAIT: i32 = 4;
/// A check that comes so many [`Deadlines::nudge_after`] after it was due is late: an hour, by the template's defaults. Longer than
/// the back-off of the few failures that a check may have, and shorter than SQS takes to give a message up.
pub const LATE_AFTER_NUDGES: i32 = 4;
/// When the holds of an order have lapsed, whatever happened: a card's hold lasts seven days for the payments that we make
/// (<https://docs.stripe.com/payments/place-a-hold-on-a-payment-method>), counted from its confirmation, and an order is
/// confirmed within a day of being placed or cancelled. Until then payment may still collect what has shipped.
pub const HOLDS_LAPSE_AFTER: SignedDuration = SignedDuration::from_hours(8 * 24);

/// The deadlines, template parameters, so that tests and demos can make them seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// How long until the first check, and the shortest time between checks.
    pub nudge_after: SignedDuration,
    /// The age at which an order is to be cancelled.
    pub time_out_after: SignedDuration,
    /// The age at which people have to look at it.
    pub park_after: SignedDuration,
}

/// The action for an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It has ended: nothing.
    Ended,
    /// Publish `order.placed` again, and check again later.
    Nudge,
    /// Publish `order.cancel_requested`, and check again later.
    TimeOut,
    /// Park the message: the order has not ended, and no more asking will make it.
    Park,
}

/// Decides what to do about `order` at `now`, in a check that was `due` then; [`None`] is the first check, or the first after a
/// redrive.
///
/// Parks only in a check that comes in time after another one, which has published. So a message that was redriven, or that lay
/// in a queue without a consumer, acts once before it can be parked, however old its order is.
pub fn look(order: &Order, now: Timestamp, due: Option<Timestamp>, deadlines: &Deadlines) -> Look {
    let age = now.duration_since(order.received_at);
    let is_late = due.is_none_or(|due| now.duration_since(due) > deadlines.late_after());
    if order.facts.ended() {
        Look::Ended
    } else if age >= deadlines.park_at(&order.facts) && !is_late {
        Look::Park
    } else if age >= deadlines.time_out_after && !is_shipped(&order.facts) {
        Look::TimeOut
    } else {
        // An order that has shipped is never timed out: what is lost of it comes again with `order.placed`, and there is nothing
        // left to cancel.
        Look::Nudge
    }
}

/// How long after `now` an order that [`look`] nudged or timed out is checked again.
///
/// The next deadline cuts it, so that no wait makes an order miss one. An order that is past the last one and was still not
/// parked came from people, or late: whether that helped is seen within [`LATE_AFTER_NUDGES`].
pub fn next_check(order: &Order, now: Timestamp, deadlines: &Deadlines) -> SignedDuration {
    let age = now.duration_since(order.received_at);
    let park_at = deadlines.park_at(&order.facts);
    if age >= park_at {
        return deadlines.late_after();
    }
    let wait = deadlines.nudge_after.max(age / AGE_PER_WAIT);
    let deadline = if age < deadlines.time_out_after && !is_shipped(&order.facts) { deadlines.time_out_after } else { park_at };
    wait.min(deadline - age)
}

impl Deadlines {
    fn late_after(&self) -> SignedDuration {
        self.nudge_after * LATE_AFTER_NUDGES
    }

    /// The age at which an order with these facts is parked. While a shipped order may still be paid, parking it would be to give
    /// it up: payment goes on trying, and raises an alarm of its own.
    fn park_at(&self, facts: &Facts) -> SignedDuration {
        let waits_for_capture = is_shipped(facts) && facts.captured.is_none() && facts.capture_failed.is_none();
        if waits_for_capture { self.park_after.max(HOLDS_LAPSE_AFTER) } else { self.park_after }
    }
}

/// A fact implies the decision that it follows from, so that a lost `order.shipped` hides nothing.
fn is_shipped(facts: &Facts) -> bool {
    [&facts.shipped, &facts.captured, &facts.capture_failed, &facts.committed].into_iter().any(Option::is_some)
}

/// What `order.cancel_requested` says of an order that has timed out, and when that happened: a function of the record, so that
/// repeating repeats it. A customer who asked before is repeated, and not contradicted: the event's id is the same, for either.
pub fn cancel_request(order: &Order, deadlines: &Deadlines) -> (CancelRequest, Timestamp) {
    match order.cancel_requested_at {
        Some(asked_at) => (CancelRequest::CustomerAsked, asked_at),
        None => (CancelRequest::TimedOut, timed_out_at(order, deadlines)),
    }
}

/// When an order timed out.
pub fn timed_out_at(order: &Order, deadlines: &Deadlines) -> Timestamp {
    order.received_at.saturating_add(deadlines.time_out_after).unwrap_or(order.received_at)
}

#[cfg(test)]
mod tests;
