//! What people and commands say to the functions that act for them, and how these say no: the same document around every command.

use serde::{Deserialize, Serialize};

/// An invocation's document. One with an unknown field is refused whole: a misspelt `dry_run` must not change anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request<C> {
    /// Who asks, for the audit record: what the caller says of itself. Lambda tells a function nothing of its caller; where
    /// CloudTrail logs Lambda's data events, it knows under the request id that the record has too.
    #[serde(default)]
    pub by: String,
    /// What is asked.
    pub command: C,
}

/// The arguments of a command that takes none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Why a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// A short stable name.
    pub error: String,
    /// One clear sentence.
    pub message: String,
}

impl Refusal {
    /// The refusal of this name, in this sentence.
    pub fn new(error: &str, message: impl Into<String>) -> Self {
        Self { error: error.to_owned(), message: message.into() }
    }
}
