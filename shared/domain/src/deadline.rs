//! The one clock: what to do about an order that has not ended.
//!
//! `functions/order-deadline` looks at intervals and calls [`look`]. Nudging publishes `order.placed` again, which by
//! the healing invariant brings any order to its right end even if every message about it was lost.

use crate::order::Order;
use jiff::{SignedDuration, Timestamp};

/// The deadlines, template parameters, so that tests and demos can make them seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// How long until the first look, and between looks.
    pub nudge_after: SignedDuration,
    /// The age at which an order is to be cancelled.
    pub time_out_after: SignedDuration,
    /// The age at which people have to look at it.
    pub park_after: SignedDuration,
}

/// What to do about an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It has ended: nothing.
    Ended,
    /// Publish `order.placed` again, and look again later.
    Nudge,
    /// Publish `order.cancel_requested`, and look again later.
    TimeOut,
    /// Park the message: the order has not ended, and no more asking will make it.
    Park,
}

/// Decides what to do about `order` at `now`.
pub fn look(order: &Order, now: Timestamp, deadlines: &Deadlines) -> Look {
    let age = now.duration_since(order.received_at);
    if order.facts.ended() {
        Look::Ended
    } else if age >= deadlines.park_after {
        Look::Park
    } else if age >= deadlines.time_out_after {
        Look::TimeOut
    } else {
        Look::Nudge
    }
}

/// When `order.cancel_requested` happened, for its envelope: a function of the record, so that repeating repeats it.
pub fn timed_out_at(order: &Order, deadlines: &Deadlines) -> Timestamp {
    order.received_at.saturating_add(deadlines.time_out_after).unwrap_or(order.received_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::EventType,
        money::{Currency, Money},
        order::{Address, Customer},
        personal::Personal,
        tracking,
    };

    const DEADLINES: Deadlines = Deadlines {
        nudge_after: SignedDuration::from_mins(15),
        time_out_after: SignedDuration::from_hours(24),
        park_after: SignedDuration::from_hours(48),
    };

    fn order() -> Order {
        let text = || Personal("text".to_owned());
        Order {
            order_id: "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9".parse().unwrap(),
            received_at: Timestamp::from_second(0).unwrap(),
            fingerprint: String::new(),
            lines: vec![],
            total: Money { amount_minor: 1, currency: Currency::EUR },
            payment_method: "pm_card_visa".into(),
            customer: Customer { name: text(), email: text() },
            shipping_address: Address { line1: text(), line2: None, city: text(), postal_code: text(), country: "DE".into() },
            cancel_requested_at: None,
            facts: tracking::Facts::default(),
        }
    }

    #[test]
    fn an_open_order_is_nudged_then_timed_out_then_parked() {
        let look_at = |hours: i64, seconds: i64| look(&order(), Timestamp::from_second(hours * 3600 + seconds).unwrap(), &DEADLINES);
        assert_eq!(look_at(0, 900), Look::Nudge);
        assert_eq!(look_at(24, -1), Look::Nudge);
        assert_eq!(look_at(24, 0), Look::TimeOut);
        assert_eq!(look_at(48, -1), Look::TimeOut);
        assert_eq!(look_at(48, 0), Look::Park);
        assert_eq!(timed_out_at(&order(), &DEADLINES).as_second(), 24 * 3600);
    }

    #[test]
    fn an_ended_order_is_left_alone_whatever_its_age() {
        let mut order = order();
        for event_type in [EventType::PaymentVoided, EventType::InventoryReleased] {
            order.facts.insert(event_type, tracking::Fact { at: order.received_at, reason: None, tracking_number: None });
        }
        assert_eq!(look(&order, Timestamp::from_second(72 * 3600).unwrap(), &DEADLINES), Look::Ended);
    }
}
