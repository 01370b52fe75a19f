//! Responses of the operator: one JSON document per invocation.

use domain::{OrderId, Timestamp, command::Refusal, tracking::Status, uncollected::Uncollected};
use serde::{Deserialize, Serialize};

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To `uncollected`.
    Uncollected(Listed),
    /// To `settle`.
    Settled(Settled),
    /// To `nudge`.
    Nudged(Nudged),
    /// Nothing was changed: the request is at fault, or there is nothing to do.
    Refused(Refusal),
    /// A call failed; whether it had its effect is not known, and the same command may be given again.
    Failed(Refusal),
}

/// The payments that wait for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The oldest first.
    pub payments: Vec<Uncollected>,
    /// Whether these are all.
    pub complete: bool,
}

/// The outcome of settling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The payment as it is now. In a dry run it has no settlement, unless it was settled before.
    pub payment: Uncollected,
    /// Whether it was settled before: then that settlement stays.
    pub before: bool,
    /// Whether nothing was changed.
    pub dry_run: bool,
}

/// The outcome of nudging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nudged {
    /// The order.
    pub order_id: OrderId,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// How far it had come.
    pub status: Status,
    /// Whether nothing was published.
    pub dry_run: bool,
}
