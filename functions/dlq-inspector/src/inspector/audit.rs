//! Audit records: who changed what, when, how much and why.
//!
//! One is written before the first change of an invocation, and one after the last. An invocation that dies between them has
//! the first alone, which says what it was about to do. Without the first, nothing is changed.

use super::{Inspector, ports::Ports, stack::DeadLetterQueue};
use crate::request::{Counts, Redrive};
use lambda_kit::Failure;
pub use pipeline::command::Who;
use pipeline::command::audit_record;
use serde::Serialize;

/// A change, planned or done.
#[derive(Debug, Clone, Serialize)]
pub struct Change<'r> {
    /// `begun`, `ended` or `revealed`.
    pub phase: &'static str,
    /// The command.
    pub command: &'static str,
    /// The queue, as operators call it.
    pub queue: &'r str,
    /// The selection.
    #[serde(rename = "where")]
    pub conditions: &'r [String],
    /// How many at most.
    pub max: Option<u64>,
    /// Whether limits were overridden.
    pub force: bool,
    /// Why.
    pub reason: &'r str,
    /// The outcome of the messages: over all invocations of the request.
    pub counts: Counts,
}

impl<'r> Change<'r> {
    /// A redrive that begins, message by message or otherwise: `command` says how.
    pub fn redrive(command: &'static str, queue: &'r DeadLetterQueue, redrive: &'r Redrive) -> Self {
        let Redrive { conditions, max, force, reason, .. } = redrive;
        let (phase, counts) = ("begun", Counts::default());
        Self { phase, command, queue: &queue.name, conditions, max: *max, force: *force, reason, counts }
    }

    /// Bodies are shown.
    pub fn reveal(queue: &'r DeadLetterQueue, limit: usize) -> Self {
        let max = u64::try_from(limit).ok();
        let (phase, command, reason) = ("revealed", "peek", "");
        Self { phase, command, queue: &queue.name, conditions: &[], max, force: false, reason, counts: Counts::default() }
    }
}

impl<P: Ports> Inspector<P> {
    /// Writes a record.
    ///
    /// # Errors
    /// Where it could not be written.
    pub(crate) async fn audit(&self, who: &Who<'_>, change: &Change<'_>) -> Result<(), Failure> {
        let (key, bytes) = audit_record(self.ports.now(), who, change.phase, change)?;
        self.ports.put(&key, bytes).await?;
        let (command, queue, phase, request_id) = (change.command, change.queue, change.phase, who.request_id);
        let Counts { done, refused, held_back, failed, .. } = change.counts;
        tracing::info!(command, queue, phase, request_id, done, refused, held_back, failed, "audit");
        Ok(())
    }
}
