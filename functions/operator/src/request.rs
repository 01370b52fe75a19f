//! Requests to the operator: one JSON document per invocation.
//!
//! `{"by": "ada", "command": {"settle": {"order_id": "…", "reason": "paid by transfer"}}}`.

use domain::{
    OrderId,
    command::{Nothing, Power},
};
use serde::{Deserialize, Serialize};

/// Longest reason, in bytes: a few sentences. It becomes part of a record, which DynamoDB limits to 400 KB as a whole.
pub const REASON_MAX: usize = 1_000;

/// An invocation's document.
pub type Request = domain::command::Request<Command>;

/// The command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// The payments that were not collected and that nobody has settled.
    Uncollected(Nothing),
    /// Note that a person has settled such a payment.
    Settle(Act),
    /// Publish an order's `order.placed` again.
    Nudge(Act),
}

impl Command {
    /// The permission that it needs.
    pub const fn needs(&self) -> Power {
        match self {
            Self::Uncollected(_) => Power::Look,
            Self::Settle(act) | Self::Nudge(act) => Power::needed(!act.dry_run),
        }
    }
}

/// Something to do about one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Act {
    /// Which order.
    pub order_id: OrderId,
    /// Why, for the audit record; 1 to [`REASON_MAX`] bytes.
    #[serde(default)]
    pub reason: String,
    /// Whether it is only said what would be done.
    #[serde(default)]
    pub dry_run: bool,
}
