//! What the operator is asked: one JSON document per invocation.
//!
//! `{"by": "ada", "command": {"settle": {"order_id": "…", "reason": "paid by transfer"}}}`. A request with an unknown field is
//! refused whole: a misspelt `dry_run` must not change anything.

use domain::OrderId;
use serde::{Deserialize, Serialize};

/// Longest reason, in bytes: a few sentences. It becomes part of a record, which DynamoDB limits to 400 KB as a whole.
pub const REASON_MAX: usize = 1_000;

/// An invocation's document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Who asks, for the audit record: what the caller says of itself. Lambda tells a function nothing of its caller; where
    /// CloudTrail logs Lambda's data events, it knows under the request id that the record has too.
    #[serde(default)]
    pub by: String,
    /// What is asked.
    pub command: Command,
}

/// What is asked.
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

/// `uncollected` takes no arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

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
