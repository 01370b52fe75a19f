//! The status of an order, a function of the set of facts that the stages reported.
//!
//! Facts arrive twice, late and out of order; a set does not mind. Because the function only ever sees the set grow,
//! and every step up outranks the ones below, the status never moves backwards.

use crate::event::{CancelReason, Event, EventType};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One fact of an order's timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// When it happened: the event's time.
    pub at: Timestamp,
    /// Why the order was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<CancelReason>,
    /// The parcel's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracking_number: Option<String>,
}

macro_rules! facts {
    ($($field:ident $stem:literal $variant:ident),* $(,)?) => {
        /// The set of facts: one attribute of the order's item per event type, named by the type without its version.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Facts {
            $(
                #[doc = concat!("`", $stem, "`")]
                #[serde(rename = $stem, default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<Fact>,
            )*
        }

        impl Facts {
            /// The facts that are known, by event type, earliest first.
            pub fn timeline(&self) -> Vec<(&'static str, &Fact)> {
                let mut timeline: Vec<_> = [$(($stem, &self.$field)),*].into_iter().filter_map(|(stem, fact)| Some((stem, fact.as_ref()?))).collect();
                // Stable: facts of one moment keep the order in which an order meets them.
                timeline.sort_by_key(|(_, fact)| fact.at);
                timeline
            }

            /// Adds what `event` states, unless it is known already.
            pub fn insert(&mut self, event_type: EventType, fact: Fact) {
                match event_type {
                    $(EventType::$variant => { self.$field.get_or_insert(fact); })*
                    EventType::CustomerSignedUp | EventType::OrderCancelRequested => {}
                }
            }
        }
    };
}

facts! {
    placed "order.placed" OrderPlaced,
    authorized "payment.authorized" PaymentAuthorized,
    declined "payment.declined" PaymentDeclined,
    reserved "inventory.reserved" InventoryReserved,
    rejected "inventory.rejected" InventoryRejected,
    shipped "order.shipped" OrderShipped,
    cancelled "order.cancelled" OrderCancelled,
    captured "payment.captured" PaymentCaptured,
    capture_failed "payment.capture_failed" PaymentCaptureFailed,
    voided "payment.voided" PaymentVoided,
    committed "inventory.committed" InventoryCommitted,
    released "inventory.released" InventoryReleased,
}

impl Fact {
    /// The fact that `event` states at `at`; [`None`] where an order's timeline does not list it.
    pub fn from_event(event: &Event, at: Timestamp) -> Option<Self> {
        let plain = Fact { at, reason: None, tracking_number: None };
        match event {
            Event::CustomerSignedUp(_) | Event::OrderCancelRequested(_) => None,
            Event::OrderCancelled(e) => Some(Fact { reason: Some(e.reason), ..plain }),
            Event::OrderShipped(e) => Some(Fact { tracking_number: Some(e.tracking_number.clone()), ..plain }),
            _ => Some(plain),
        }
    }
}

/// Where an order stands, for the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted; no stage has reported yet.
    Received,
    /// At least one stage is at work.
    Processing,
    /// Decided: nothing leaves. Hold and stock may still be on their way back.
    Cancelled,
    /// Decided: the parcel leaves. Money and stock may still be on their way.
    Shipped,
    /// Shipped, but the provider refused to pay out what it had authorized.
    Uncollected,
    /// Shipped, captured and committed.
    Completed,
}

impl Facts {
    /// The status that follows from the set.
    pub fn status(&self) -> Status {
        // A fact implies the decision it follows from, so that a lost `order.shipped` hides nothing.
        let shipped = self.shipped.is_some() || self.captured.is_some() || self.committed.is_some();
        if self.captured.is_some() && self.committed.is_some() {
            Status::Completed
        } else if self.capture_failed.is_some() {
            Status::Uncollected
        } else if shipped {
            Status::Shipped
        } else if self.cancelled.is_some() || self.voided.is_some() || self.released.is_some() {
            Status::Cancelled
        } else if self == &Facts::default() {
            Status::Received
        } else {
            Status::Processing
        }
    }

    /// Whether the order has ended and every stage has reported so: one of the three ends that are promised.
    pub fn ended(&self) -> bool {
        let paid = self.captured.is_some() || self.capture_failed.is_some();
        (paid && self.committed.is_some()) || (self.voided.is_some() && self.released.is_some())
    }

    /// Whether any stage has answered `order.placed`. Until then a retry of the request publishes it again.
    pub fn any_stage_answered(&self) -> bool {
        Facts { placed: None, ..self.clone() } != Facts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use EventType as T;

    fn at(second: i64) -> Fact {
        Fact { at: Timestamp::from_second(second).unwrap(), reason: None, tracking_number: None }
    }
    fn facts(types: &[EventType]) -> Facts {
        let mut facts = Facts::default();
        for (second, event_type) in types.iter().enumerate() {
            facts.insert(*event_type, at(second as i64));
        }
        facts
    }
    /// Every history that the saga allows, in its usual order.
    const HISTORIES: &[(&[EventType], Status)] = &[
        (
            &[T::OrderPlaced, T::PaymentAuthorized, T::InventoryReserved, T::OrderShipped, T::PaymentCaptured, T::InventoryCommitted],
            Status::Completed,
        ),
        (
            &[T::OrderPlaced, T::InventoryReserved, T::PaymentAuthorized, T::OrderShipped, T::InventoryCommitted, T::PaymentCaptureFailed],
            Status::Uncollected,
        ),
        (
            &[T::OrderPlaced, T::PaymentDeclined, T::InventoryReserved, T::OrderCancelled, T::PaymentVoided, T::InventoryReleased],
            Status::Cancelled,
        ),
        (
            &[T::OrderPlaced, T::PaymentAuthorized, T::InventoryRejected, T::OrderCancelled, T::PaymentVoided, T::InventoryReleased],
            Status::Cancelled,
        ),
    ];

    fn permutations(of: &[EventType]) -> Vec<Vec<EventType>> {
        if of.is_empty() {
            return vec![vec![]];
        }
        let without = |i: usize| [&of[..i], &of[i + 1..]].concat();
        (0..of.len()).flat_map(|i| permutations(&without(i)).into_iter().map(move |rest| [vec![of[i]], rest].concat())).collect()
    }

    #[test]
    fn whatever_the_order_of_arrival_the_status_never_moves_backwards() {
        for (history, end) in HISTORIES {
            for arrival in permutations(history) {
                let mut last = Status::Received;
                for n in 0..=arrival.len() {
                    let status = facts(&arrival[..n]).status();
                    assert!(status >= last, "{last:?} became {status:?} in {arrival:?}");
                    last = status;
                }
                assert_eq!(last, *end);
            }
        }
    }

    #[test]
    fn a_fact_implies_the_decision_it_follows_from() {
        for (alone, status) in [
            (T::PaymentAuthorized, Status::Processing),
            (T::OrderShipped, Status::Shipped),
            (T::PaymentCaptured, Status::Shipped),
            (T::InventoryCommitted, Status::Shipped),
            (T::PaymentCaptureFailed, Status::Uncollected),
            (T::OrderCancelled, Status::Cancelled),
            (T::PaymentVoided, Status::Cancelled),
            (T::InventoryReleased, Status::Cancelled),
        ] {
            assert_eq!(facts(&[alone]).status(), status, "{alone}, and all before it was lost");
        }
    }

    #[test]
    fn a_fact_says_when_and_what_a_customer_asks_about() {
        use crate::event::{
            CancelRequest, CustomerSignedUp, OrderCancelRequested, OrderCancelled, OrderShipped, PaymentRef, PaymentVoided,
        };
        let plain = at(7);
        let shipped = OrderShipped { tracking_number: "OP1".into(), payment: PaymentRef("pi_1".into()), items: vec![] };
        let cancelled = OrderCancelled { reason: CancelReason::OutOfStock, payment: None, items: None };
        for (event, fact) in [
            (shipped.into(), Some(Fact { tracking_number: Some("OP1".into()), ..plain.clone() })),
            (cancelled.into(), Some(Fact { reason: Some(CancelReason::OutOfStock), ..plain.clone() })),
            (PaymentVoided {}.into(), Some(plain.clone())),
            (CustomerSignedUp { marketing_consent: true }.into(), None),
            (OrderCancelRequested { reason: CancelRequest::CustomerAsked }.into(), None),
        ] {
            assert_eq!(Fact::from_event(&event, plain.at), fact, "{event:?}");
        }
    }

    #[test]
    fn an_order_has_ended_when_both_stages_have_said_so() {
        for (history, _) in HISTORIES {
            assert!(facts(history).ended());
            assert!(!facts(&history[..history.len() - 1]).ended(), "{history:?} without its last");
        }
        assert!(facts(&[T::PaymentVoided, T::InventoryReleased]).ended(), "even if `order.cancelled` itself was lost");
        assert!(!facts(&[T::PaymentCaptured]).ended());
    }

    #[test]
    fn a_fact_is_kept_as_it_was_first_heard() {
        let mut facts = Facts::default();
        facts.insert(T::OrderPlaced, at(1));
        facts.insert(T::OrderPlaced, at(2));
        assert_eq!(facts.placed, Some(at(1)));
        assert!(!facts.any_stage_answered());
        facts.insert(T::InventoryRejected, at(3));
        assert!(facts.any_stage_answered());
    }

    #[test]
    fn the_timeline_is_in_order_of_time() {
        let mut facts = facts(&[T::PaymentCaptured]);
        facts.insert(T::OrderShipped, at(-1));
        facts.insert(T::OrderPlaced, at(-2));
        let stems: Vec<_> = facts.timeline().into_iter().map(|(stem, _)| stem).collect();
        assert_eq!(stems, ["order.placed", "order.shipped", "payment.captured"]);
    }

    #[test]
    fn attributes_are_named_by_the_type_without_its_version() {
        for event_type in EventType::ALL {
            let mut facts = Facts::default();
            facts.insert(*event_type, at(1));
            let json = serde_json::to_value(&facts).unwrap();
            match event_type {
                T::CustomerSignedUp | T::OrderCancelRequested => assert_eq!(json, serde_json::json!({})),
                _ => assert!(json.get(event_type.stem()).is_some(), "{event_type}"),
            }
        }
    }
}
