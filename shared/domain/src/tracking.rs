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
mod tests;
