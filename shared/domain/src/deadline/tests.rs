//! The answer table of an order's deadline.

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

fn with(facts: &[EventType]) -> Order {
    let mut order = order();
    for event_type in facts {
        order.facts.insert(*event_type, tracking::Fact { at: order.received_at, reason: None, tracking_number: None });
    }
    order
}

/// At a check that comes in time.
fn look_in_time(order: &Order, age_s: i64) -> Look {
    let now = Timestamp::from_second(age_s).unwrap();
    look(order, now, Some(now), &DEADLINES)
}

const HOUR_S: i64 = 3600;
const DAY_S: i64 = 24 * HOUR_S;

#[test]
fn an_open_order_is_nudged_then_timed_out_then_parked() {
    let look_at = |hours: i64, seconds: i64| look_in_time(&order(), hours * HOUR_S + seconds);
    assert_eq!(look_at(0, 900), Look::Nudge);
    assert_eq!(look_at(24, -1), Look::Nudge);
    assert_eq!(look_at(24, 0), Look::TimeOut);
    assert_eq!(look_at(48, -1), Look::TimeOut);
    assert_eq!(look_at(48, 0), Look::Park);
    assert_eq!(timed_out_at(&order(), &DEADLINES).as_second(), 24 * 3600);
}

#[test]
fn a_customers_own_cancellation_is_not_contradicted_by_order_deadline() {
    let mut order = order();
    assert_eq!(cancel_request(&order, &DEADLINES), (CancelRequest::TimedOut, timed_out_at(&order, &DEADLINES)));
    let asked_at = Timestamp::from_second(3600).unwrap();
    order.cancel_requested_at = Some(asked_at);
    assert_eq!(cancel_request(&order, &DEADLINES), (CancelRequest::CustomerAsked, asked_at));
}

#[test]
fn an_ended_order_is_left_alone_whatever_its_age() {
    let order = with(&[EventType::PaymentVoided, EventType::InventoryReleased]);
    for due in [None, Some(Timestamp::from_second(0).unwrap())] {
        assert_eq!(look(&order, Timestamp::from_second(72 * 3600).unwrap(), due, &DEADLINES), Look::Ended);
    }
}

/// On the code as it was it was parked again without a word, at any age beyond 48 hours.
#[test]
fn a_redriven_or_late_check_acts_before_it_parks() {
    for age_s in [2 * DAY_S, 5 * DAY_S, 30 * DAY_S] {
        let now = Timestamp::from_second(age_s).unwrap();
        let late = Timestamp::from_second(age_s - HOUR_S - 1).unwrap();
        for due in [None, Some(late)] {
            assert_eq!(look(&order(), now, due, &DEADLINES), Look::TimeOut, "{age_s} {due:?}");
            assert_eq!(look(&with(&[EventType::OrderShipped]), now, due, &DEADLINES), Look::Nudge, "{age_s} {due:?}");
        }
        let after = next_check(&order(), now, &DEADLINES);
        assert_eq!((after, look_in_time(&order(), age_s + after.as_secs())), (SignedDuration::from_hours(1), Look::Park));
    }
}

#[test]
fn a_shipped_order_is_never_timed_out() {
    use EventType as T;
    for facts in [&[T::OrderShipped][..], &[T::PaymentCaptured], &[T::InventoryCommitted], &[T::PaymentCaptureFailed]] {
        for age_s in (0..2 * DAY_S).step_by(1800) {
            assert_eq!(look_in_time(&with(facts), age_s), Look::Nudge, "{facts:?} {age_s}");
        }
    }
}

#[test]
fn a_shipped_order_without_capture_is_parked_after_eight_days() {
    use EventType as T;
    for (facts, days) in [
        (&[T::OrderShipped][..], 8),
        (&[T::OrderShipped, T::InventoryCommitted], 8),
        (&[T::OrderShipped, T::PaymentCaptured], 2),
        (&[T::OrderShipped, T::PaymentCaptureFailed], 2),
    ] {
        assert_eq!(look_in_time(&with(facts), days * DAY_S - 1), Look::Nudge, "{facts:?}");
        assert_eq!(look_in_time(&with(facts), days * DAY_S), Look::Park, "{facts:?}");
    }
}

/// The ages at which `order` is checked until it is parked, in seconds.
fn checks(order: &Order) -> Vec<i64> {
    let mut age_s = DEADLINES.nudge_after.as_secs();
    let mut ages = vec![age_s];
    while look_in_time(order, age_s) != Look::Park {
        age_s += next_check(order, Timestamp::from_second(age_s).unwrap(), &DEADLINES).as_secs();
        ages.push(age_s);
        assert!(ages.len() < 1_000, "it never ends");
    }
    ages
}

#[test]
fn the_number_of_checks_is_logarithmic_and_no_deadline_is_missed() {
    let open = checks(&order());
    assert_eq!(open[..5], [900, 1800, 2700, 3600, 4500], "every quarter of an hour at first");
    assert!(open.contains(&DAY_S) && open.last() == Some(&(2 * DAY_S)), "{open:?}");
    assert_eq!(open.len(), 23);
    let shipped = checks(&with(&[EventType::OrderShipped]));
    assert_eq!((shipped.len(), *shipped.last().unwrap()), (28, 8 * DAY_S));
}
