//! The order pipeline's pure core: the data of an order, its events, and the decision of each stage.
//!
//! Every function of `functions/` calls it, and so do the model checker and the simulation: there is one copy of
//! each decision. It uses no AWS, no tokio, no clock, no randomness and no environment; all of them are arguments.
//!
//! | module | holds |
//! |---|---|
//! | [`id`], [`email`], [`money`], [`mod@line`], [`order`], [`customer`] | values that parse once and are then right |
//! | [`charge`] | the amounts that the payment provider charges, by currency |
//! | [`country`] | the required fields of an address, by country |
//! | [`event`] | the CloudEvents envelope and every event |
//! | [`payment`], [`inventory`] | the answer table: the step of a stage, by event and record |
//! | [`uncollected`] | a payment that an operator must settle |
//! | [`shipping`] | the one decision per order, a fold over a list of facts |
//! | [`command`] | the envelope of operators' commands, and their refusals |
//! | [`whole_number`] | integers in JSON that a client sends |
//! | [`tracking`], [`deadline`] | the status by the set of facts; the step for an order that does not end |

pub mod charge;
pub mod command;
pub mod country;
pub mod customer;
pub mod deadline;
pub mod email;
pub mod event;
pub mod id;
pub mod inventory;
pub mod line;
pub mod money;
pub mod order;
pub mod payment;
pub mod personal;
pub mod shipping;
pub mod tracking;
pub mod uncollected;
pub mod whole_number;

pub use customer::Customer;
pub use email::EmailAddress;
pub use event::{CloudEvent, Event, EventType, ParseError, Subject};
pub use id::{CustomerId, IdempotencyKey, OrderId, Sku};
pub use jiff::Timestamp;
pub use line::{Item, Line};
pub use money::{Currency, Money};
pub use order::Order;
pub use personal::Personal;

/// The column of the answer table: which event asks payment and inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// `order.placed`
    Placed,
    /// `order.shipped`
    Shipped,
    /// `order.cancelled`
    Cancelled,
}

impl Asked {
    /// The asking event's type, without its version.
    pub const fn stem(self) -> &'static str {
        match self {
            Asked::Placed => EventType::OrderPlaced.stem(),
            Asked::Shipped => EventType::OrderShipped.stem(),
            Asked::Cancelled => EventType::OrderCancelled.stem(),
        }
    }
}

/// A cell of the answer table that no correct run reaches: the pipeline has a fault, not its input.
///
/// It is reported as a bug: the batch core tries the message again and parks it in the dead-letter queue at its fifth failure, where
/// an alarm is and people look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{stage}: `{event}` must never meet the record `{record}`")]
pub struct Impossible {
    /// The stage whose table it is.
    pub stage: &'static str,
    /// The state of the stored record.
    pub record: &'static str,
    /// The event's type, without its version.
    pub event: &'static str,
}
