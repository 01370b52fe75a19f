//! The one decision per order: shipped or cancelled.
//!
//! The record is a list of facts in the order in which they were stored. The decision is a fold over it, the first
//! prefix that decides, and is not stored: every reader of the same list announces the same event. Facts that arrive
//! after the decision change nothing, which is why a cancellation can come too late but never twice.

use crate::{
    event::{CancelReason, CancelRequest, Event, OrderCancelled, OrderShipped, PaymentRef},
    id::OrderId,
    line::Item,
};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Nothing ships this close to the end of its hold: payment may need a day of retries to capture it.
pub const CAPTURE_MARGIN: SignedDuration = SignedDuration::from_hours(24);

/// The record of the shipments table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipment {
    /// Partition key.
    pub order_id: OrderId,
    /// The facts that shipping received, each kind once, in the order in which it was stored.
    pub facts: Vec<StoredFact>,
}

/// A fact and when it was stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFact {
    /// The store's time, not the event's: the margin to the end of a hold counts from the decision.
    pub at: Timestamp,
    /// The fact.
    #[serde(flatten)]
    pub fact: Fact,
}

/// The facts that shipping waits for, with the data for its decision event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// `payment.authorized`
    Authorized {
        /// The hold.
        payment: PaymentRef,
        /// When it lapses.
        capture_before: Timestamp,
    },
    /// `payment.declined`
    Declined,
    /// `inventory.reserved`
    Reserved {
        /// The reserved items.
        items: Vec<Item>,
    },
    /// `inventory.rejected`
    Rejected,
    /// `order.cancel_requested`
    CancelRequested {
        /// By whom.
        reason: CancelRequest,
    },
}

impl Fact {
    /// The fact's kind: the list holds each kind once.
    pub const fn kind(&self) -> &'static str {
        match self {
            Fact::Authorized { .. } => "authorized",
            Fact::Declined => "declined",
            Fact::Reserved { .. } => "reserved",
            Fact::Rejected => "rejected",
            Fact::CancelRequested { .. } => "cancel_requested",
        }
    }

    /// The fact that `event` states; [`None`] where shipping has no interest in it.
    pub fn from_event(event: &Event) -> Option<Self> {
        Some(match event {
            Event::PaymentAuthorized(e) => Fact::Authorized { payment: e.payment.clone(), capture_before: e.capture_before },
            Event::PaymentDeclined(_) => Fact::Declined,
            Event::InventoryReserved(e) => Fact::Reserved { items: e.items.clone() },
            Event::InventoryRejected(_) => Fact::Rejected,
            Event::OrderCancelRequested(e) => Fact::CancelRequested { reason: e.reason },
            _ => return None,
        })
    }
}

impl Shipment {
    /// The announcement and its time, if the facts decide; the same one for every longer list.
    pub fn decision(&self) -> Option<(Event, Timestamp)> {
        let mut hold = None;
        let mut items = None;
        for StoredFact { at, fact } in &self.facts {
            let cancelled = match fact {
                Fact::Authorized { payment, capture_before } => {
                    hold = Some((payment.clone(), *capture_before));
                    None
                }
                Fact::Reserved { items: set_aside } => {
                    items = Some(set_aside.clone());
                    None
                }
                Fact::Declined => Some(CancelReason::PaymentDeclined),
                Fact::Rejected => Some(CancelReason::OutOfStock),
                Fact::CancelRequested { reason: CancelRequest::CustomerAsked } => Some(CancelReason::CustomerAsked),
                Fact::CancelRequested { reason: CancelRequest::TimedOut } => Some(CancelReason::TimedOut),
            };
            let reason = match (cancelled, &hold, &items) {
                (Some(reason), _, _) => reason,
                (None, Some((payment, capture_before)), Some(items)) => {
                    if capture_before.duration_since(*at) > CAPTURE_MARGIN {
                        let (payment, items) = (payment.clone(), items.clone());
                        let shipped = OrderShipped { tracking_number: self.order_id.tracking_number(), payment, items };
                        return Some((shipped.into(), *at));
                    }
                    CancelReason::AuthorizationExpiring
                }
                (None, _, _) => continue,
            };
            let payment = hold.map(|(payment, _)| payment);
            return Some((OrderCancelled { reason, payment, items }.into(), *at));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    fn authorized() -> Fact {
        Fact::Authorized { payment: PaymentRef("pi_1".into()), capture_before: Timestamp::from_second(7 * DAY).unwrap() }
    }
    fn reserved() -> Fact {
        Fact::Reserved { items: vec![Item { sku: "MUG-BLUE".parse().unwrap(), quantity: 2 }] }
    }
    fn asked() -> Fact {
        Fact::CancelRequested { reason: CancelRequest::CustomerAsked }
    }
    fn shipment(facts: impl IntoIterator<Item = (i64, Fact)>) -> Shipment {
        let facts = facts.into_iter().map(|(second, fact)| StoredFact { at: Timestamp::from_second(second).unwrap(), fact }).collect();
        Shipment { order_id: "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9".parse().unwrap(), facts }
    }
    /// The decision in short: the reason of a cancellation, `shipped`, or `open`.
    fn decided(facts: impl IntoIterator<Item = Fact>) -> String {
        match shipment(facts.into_iter().zip(1..).map(|(fact, second)| (second, fact))).decision() {
            None => "open".into(),
            Some((Event::OrderShipped(_), _)) => "shipped".into(),
            Some((Event::OrderCancelled(e), _)) => serde_json::to_value(e.reason).unwrap().as_str().unwrap().into(),
            Some(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn hears_the_five_facts_that_can_decide_and_nothing_else() {
        use crate::event::{InventoryRejected, InventoryReserved, OrderCancelRequested, PaymentAuthorized, PaymentDeclined, PaymentVoided};
        let (Fact::Authorized { payment, capture_before }, Fact::Reserved { items }) = (authorized(), reserved()) else { panic!() };
        let amount = crate::Money { amount_minor: 1, currency: crate::Currency::EUR };
        for (event, fact) in [
            (PaymentAuthorized { payment, amount, capture_before }.into(), Some(authorized())),
            (PaymentDeclined { code: "card_declined".into() }.into(), Some(Fact::Declined)),
            (InventoryReserved { items }.into(), Some(reserved())),
            (InventoryRejected { short: vec![] }.into(), Some(Fact::Rejected)),
            (OrderCancelRequested { reason: CancelRequest::CustomerAsked }.into(), Some(asked())),
            (PaymentVoided {}.into(), None),
        ] {
            assert_eq!(Fact::from_event(&event), fact, "{event:?}");
        }
    }

    #[test]
    fn ships_what_is_authorized_and_reserved_in_either_order() {
        assert_eq!(decided([]), "open");
        assert_eq!(decided([authorized()]), "open");
        assert_eq!(decided([reserved()]), "open");
        assert_eq!(decided([authorized(), reserved()]), "shipped");
        assert_eq!(decided([reserved(), authorized()]), "shipped");
    }

    #[test]
    fn cancels_at_the_first_reason_and_later_facts_change_nothing() {
        assert_eq!(decided([Fact::Declined]), "payment_declined");
        assert_eq!(decided([Fact::Rejected]), "out_of_stock");
        assert_eq!(decided([asked()]), "customer_asked");
        assert_eq!(decided([Fact::CancelRequested { reason: CancelRequest::TimedOut }]), "timed_out");
        assert_eq!(decided([Fact::Rejected, Fact::Declined, asked()]), "out_of_stock");
        assert_eq!(decided([asked(), authorized(), reserved()]), "customer_asked");
        assert_eq!(decided([authorized(), reserved(), asked()]), "shipped");
        assert_eq!(decided([reserved(), Fact::Declined]), "payment_declined");
    }

    #[test]
    fn the_announcement_is_the_same_for_every_longer_list() {
        let all = [authorized(), Fact::Rejected, reserved(), asked(), Fact::Declined];
        let list = |n: usize| shipment(all[..n].iter().cloned().zip(1..).map(|(fact, second)| (second, fact))).decision();
        assert_eq!(list(1), None);
        let first = list(2);
        let Some((Event::OrderCancelled(cancelled), _)) = &first else { panic!() };
        assert_eq!((cancelled.payment.is_some(), cancelled.items.is_some()), (true, false), "what was known when it decided");
        for n in 3..=all.len() {
            assert_eq!(list(n), first);
        }
    }

    #[test]
    fn does_not_ship_within_a_day_of_the_end_of_the_hold() {
        let at = |second| shipment([(1, authorized()), (second, reserved())]).decision().unwrap();
        let (event, time) = at(6 * DAY - 1);
        assert!(matches!(event, Event::OrderShipped(_)));
        assert_eq!(time.as_second(), 6 * DAY - 1, "the time of the deciding fact");
        for late in [6 * DAY, 7 * DAY, 8 * DAY] {
            let Event::OrderCancelled(cancelled) = at(late).0 else { panic!("shipped at {late}") };
            assert_eq!(cancelled.reason, CancelReason::AuthorizationExpiring);
            assert!(cancelled.payment.is_some() && cancelled.items.is_some());
        }
    }

    #[test]
    fn facts_are_stored_flat_and_read_back() {
        let record = shipment([(1, authorized()), (2, reserved()), (3, asked()), (4, Fact::Declined), (5, Fact::Rejected)]);
        let json = serde_json::to_value(&record).unwrap();
        for (stored, original) in json["facts"].as_array().unwrap().iter().zip(&record.facts) {
            assert_eq!(stored["fact"], original.fact.kind());
        }
        assert_eq!(serde_json::from_value::<Shipment>(json).unwrap(), record);
    }
}
