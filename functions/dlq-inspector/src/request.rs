//! Requests to the inspector: one JSON document per invocation.
//!
//! `{"by": "arn:…", "command": {"redrive": {"queue": "payment", "where": ["cause=CardDeclined"]}}}`. What takes longer than an
//! invocation answers with a [`Cursor`]; the same request with it goes on.

use crate::{seen::Seen, table::Table};
use domain::{
    Timestamp,
    command::{Nothing, Power},
    whole_number,
};
use serde::{Deserialize, Serialize};

/// Most messages that `peek` shows.
pub const PEEK_MAX: usize = 100;

/// An invocation's document.
pub type Request = domain::command::Request<Command>;

/// The command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Every dead-letter queue.
    List(Nothing),
    /// Some messages of a queue.
    Peek(Peek),
    /// A queue's messages by cause.
    Explain(Explain),
    /// Back to where they came from.
    Redrive(Redrive),
    /// Archived, then deleted.
    Discard(Discard),
    /// The operators' message.
    Digest(Nothing),
}

impl Command {
    /// The permission that it needs. A dry run changes nothing, and counts what `explain` shows too.
    pub const fn needs(&self) -> Power {
        match self {
            Self::List(_) | Self::Explain(_) | Self::Digest(_) => Power::Look,
            Self::Peek(peek) => Power::needed(peek.reveal),
            Self::Redrive(redrive) => Power::needed(!redrive.dry_run),
            Self::Discard(discard) => Power::needed(!discard.dry_run),
        }
    }
}

/// `peek`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peek {
    /// Which queue.
    pub queue: String,
    /// How many; ten where nothing is said.
    #[serde(default, deserialize_with = "whole_number::optional")]
    pub limit: Option<usize>,
    /// Whether bodies are shown as they are. It is audited.
    #[serde(default)]
    pub reveal: bool,
}

/// `explain`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explain {
    /// Which queue.
    pub queue: String,
    /// Where the last answer ended.
    #[serde(default)]
    pub cursor: Option<Cursor>,
}

/// `redrive`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redrive {
    /// Which queue.
    pub queue: String,
    /// Which messages: conditions of [`Filter`](crate::inspector::filter::Filter). All where there is none.
    #[serde(default, rename = "where")]
    pub conditions: Vec<String>,
    /// How many at most, over all invocations.
    #[serde(default, deserialize_with = "whole_number::optional")]
    pub max: Option<u64>,
    /// How many a second at most.
    #[serde(default, deserialize_with = "whole_number::optional")]
    pub rate: Option<u32>,
    /// Whether it is only counted.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether messages go that came back too often.
    #[serde(default)]
    pub force: bool,
    /// Which source, where a queue serves several and a message does not say.
    #[serde(default)]
    pub to: Option<String>,
    /// Why, for the audit record.
    #[serde(default)]
    pub reason: String,
    /// Where the last answer ended.
    #[serde(default)]
    pub cursor: Option<Cursor>,
}

/// `discard`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discard {
    /// Which queue.
    pub queue: String,
    /// Which messages; at least one condition.
    #[serde(default, rename = "where")]
    pub conditions: Vec<String>,
    /// Why.
    #[serde(default)]
    pub reason: String,
    /// How many at most, over all invocations.
    #[serde(default, deserialize_with = "whole_number::optional")]
    pub max: Option<u64>,
    /// Whether it is only counted.
    #[serde(default)]
    pub dry_run: bool,
    /// Where the last answer ended.
    #[serde(default)]
    pub cursor: Option<Cursor>,
}

/// Where an answer ended. Opaque to callers, and nothing that a queue, a permission or a limit of the service follows from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Which messages were read and are still there.
    pub seen: Seen,
    /// Which FIFO groups wait for a message of theirs that did not go.
    pub held: Seen,
    /// The result so far.
    pub counts: Counts,
    /// The result so far.
    pub table: Table,
    /// Whether SQS moves the queue by a task of its own.
    #[serde(default)]
    pub by_task: bool,
    /// When the first invocation began to change anything.
    #[serde(default)]
    pub began_at: Option<Timestamp>,
    /// How often messages were waited for that somebody else had hidden.
    #[serde(default)]
    pub waits: u64,
}

/// The outcome of messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Read, each once.
    pub read: u64,
    /// Selected, and gone where they were to go; in a dry run, that would have.
    pub done: u64,
    /// Not selected.
    pub skipped: u64,
    /// Came since the first invocation began: they stay for another time.
    #[serde(default)]
    pub newer: u64,
    /// Selected and refused: they came back too often, or have no single source.
    pub refused: u64,
    /// Behind a message of their FIFO group that did not go.
    pub held_back: u64,
    /// A call failed: still there. One that was sent and could not be deleted is in its source queue too.
    pub failed: u64,
}
