//! The digest: what lies in the dead-letter queues, and which payments nobody has collected or settled, to the operators' topic, on
//! a schedule.
//!
//! Silence where there is neither. What was said is not said again within [`REPEAT_AFTER`]; said again is the same queues, causes
//! and types with counts of the same order, and the same payments. It is sent, then written down: a process that dies between sends it
//! twice, never not. The number of payments is also logged each time: `UncollectedAlarm` is on the metric made of that line, so
//! that it holds until the last is settled, whatever becomes of mails.

use super::{Inspector, ports::Ports, stack::DeadLetterQueue};
use crate::{
    answer::Digested,
    request::Cursor,
    seen::hash,
    table::{Table, aligned, to_the_second},
};
use domain::Timestamp;
use futures_util::future::join_all;
use lambda_kit::Failure;
use pipeline::uncollected::Unsettled;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::Instant;

/// How long the same is not said again: a problem that stays is reported twice a day.
pub const REPEAT_AFTER: Duration = Duration::from_secs(12 * 60 * 60);
/// Most messages that it reads of a queue: the table's proportions, not its sums, are what calls somebody.
pub const READ_MAX: u64 = 1_000;
/// Most payments that it names: what fits a mail. `cargo xtask uncollected list` names more.
pub const PAYMENTS_MAX: usize = 50;
/// Where it is written down what was said.
pub const KEY: &str = "digest/last.json";

/// The last digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LastDigest {
    at: Timestamp,
    fingerprint: u64,
}

impl<P: Ports> Inspector<P> {
    pub(crate) async fn digest(&self, last: Instant) -> Result<Digested, Failure> {
        let unsettled = self.ports.unsettled(PAYMENTS_MAX).await?;
        // A metric filter of the template counts by this field.
        tracing::info!(uncollected = unsettled.payments.len(), "payments that are neither collected nor settled");
        let layout = self.layout().await?;
        let full: Vec<_> = layout.dead.iter().filter(|queue| queue.depth() > 0).collect();
        // Concurrently: the end of each costs the second that a receive waits for nothing.
        let explained = join_all(full.iter().map(|queue| self.explained(queue, Cursor::default(), READ_MAX, last))).await;
        let mut tables = Vec::with_capacity(full.len());
        for (queue, explained) in full.into_iter().zip(explained) {
            tables.push((queue, explained?.table));
        }
        let last = self.ports.get(KEY).await?;
        // One that cannot be read is none: better said twice.
        let last: Option<LastDigest> = last.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let (at, fingerprint) = (self.ports.now(), fingerprint(&tables, &unsettled));
        if tables.is_empty() && unsettled.payments.is_empty() {
            // What comes back after it was fixed is news.
            if last.is_some_and(|last| last.fingerprint != fingerprint) {
                self.say(&LastDigest { at, fingerprint }).await?;
            }
            return Ok(Digested::Silent);
        }
        let is_fresh = |last: LastDigest| last.fingerprint == fingerprint && at.duration_since(last.at).unsigned_abs() < REPEAT_AFTER;
        if last.is_some_and(is_fresh) {
            return Ok(Digested::Said);
        }
        let subject = subject(&self.stack_name, &tables, &unsettled);
        // SNS takes a hundred characters, and none but ASCII's.
        self.ports.alert(&subject.chars().filter(char::is_ascii).take(100).collect::<String>(), &text(&tables, &unsettled)).await?;
        self.say(&LastDigest { at, fingerprint }).await?;
        Ok(Digested::Sent)
    }

    async fn say(&self, said: &LastDigest) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(said).map_err(|error| Failure::bug("UnwritableDigest", error))?;
        self.ports.put(KEY, bytes).await
    }
}

/// A summary in one line.
fn subject(stack_name: &str, tables: &[(&DeadLetterQueue, Table)], unsettled: &Unsettled) -> String {
    let mut parts = Vec::new();
    if !unsettled.payments.is_empty() {
        parts.push(format!("{} uncollected payments", number(unsettled)));
    }
    if !tables.is_empty() {
        let messages: u64 = tables.iter().map(|(queue, _)| queue.depth()).sum();
        parts.push(format!("{messages} dead letters in {} queues", tables.len()));
    }
    format!("{stack_name}: {}", parts.join(", "))
}

/// How many, as far as they were read.
fn number(unsettled: &Unsettled) -> String {
    format!("{}{}", if unsettled.complete { "" } else { "more than " }, unsettled.payments.len())
}

/// The mail: the payments, a table for each queue, and what to do. No personal data: an order's id, a sum, the provider's code.
fn text(tables: &[(&DeadLetterQueue, Table)], unsettled: &Unsettled) -> String {
    let mut text = String::new();
    if !unsettled.payments.is_empty() {
        text.push_str(&format!("Shipped and not collected: {}\n", number(unsettled)));
        let head = ["ORDER", "AMOUNT", "PAYMENT", "CODE", "SINCE"].map(str::to_owned);
        let rows = unsettled.payments.iter().map(|it| {
            let since = to_the_second(it.uncollected_at);
            [it.order_id.to_string(), it.amount.to_string(), it.payment.to_string(), it.capture_code.clone(), since]
        });
        text.push_str(&aligned(&std::iter::once(head).chain(rows).collect::<Vec<_>>(), &[1]));
        text.push_str("Collect by other means or write off, then: cargo xtask uncollected settle ORDER --reason \"…\"\n\n");
    }
    for (queue, table) in tables {
        let (name, depth) = (&queue.name, queue.depth());
        text.push_str(&format!("{name}: {depth} messages, {} of them read\n{}\n", table.total(), table.text()));
    }
    if !tables.is_empty() {
        text.push_str("cargo xtask dlq explain QUEUE shows more.\n");
    }
    text + "docs/operations.md says what to do.\n"
}

/// What makes two digests the same: queues, causes, types, and counts up to a factor of two; and the very same payments. Examples
/// and times do not.
fn fingerprint(tables: &[(&DeadLetterQueue, Table)], unsettled: &Unsettled) -> u64 {
    let payments = unsettled.payments.iter().map(|payment| format!("uncollected|{}", payment.order_id));
    let mut lines: Vec<_> = tables
        .iter()
        .flat_map(|(queue, table)| table.groups.iter().map(move |group| (queue, group)))
        .map(|(queue, group)| format!("{}|{}|{}|{}", queue.name, group.cause, group.event_type, group.count.max(1).ilog2()))
        .chain(tables.iter().map(|(queue, _)| format!("{}|{}", queue.name, queue.depth().max(1).ilog2())))
        .chain(payments)
        .chain((!unsettled.complete).then(|| "uncollected|more".to_owned()))
        .collect();
    lines.sort_unstable();
    hash(&lines.join("\n"))
}
