//! Addresses that get no more mail from us: who complained, and what bounces.
//!
//! `email-feedback` writes the list; whoever sends checks it in the transaction that claims the mail. This module refuses
//! to take an address off the list: that is a person's decision, made with the person.

use aws_sdk_dynamodb::{Client, types::TransactWriteItem};
use domain::{EmailAddress, Timestamp};
use lambda_kit::{
    Failure,
    dynamodb::{DynamoDb, Table, Update, Updated, attribute, string},
};
use serde::{Deserialize, Serialize};

/// The table's partition key: an address in its canonical form.
pub const KEY: &str = "address";
/// Set when an address is first suppressed. A row without it only counts bounces.
pub const SUPPRESSED_AT: &str = "suppressed_at";
/// Why it was.
const REASON: &str = "reason";
/// The feedback ids of transient bounces: a set, so that a notification that comes twice counts once.
const TRANSIENT_BOUNCES: &str = "transient_bounces";
/// When the last of them came, for whoever looks at the row.
const BOUNCED_AT: &str = "bounced_at";

/// Why an address is suppressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its owner called a mail of ours spam.
    Complaint,
    /// There is no such mailbox.
    PermanentBounce,
    /// Mail to it came back too often, each time for a reason that might pass.
    TransientBounces,
}

/// The suppression list.
#[derive(Debug, Clone)]
pub struct Suppressions<D = Client>(Table<D>);

impl<D: DynamoDb> Suppressions<D> {
    /// A handle on the table `name`.
    pub fn new(client: D, name: impl Into<String>) -> Self {
        Self(Table::new(client, name, KEY))
    }

    /// Suppresses `address`; one unconditional write. The first reason and its time stay.
    ///
    /// # Errors
    /// Transient where the call failed.
    pub async fn suppress(&self, address: &EmailAddress, reason: Reason, now: Timestamp) -> Result<(), Failure> {
        let update = Update::new().set_once(SUPPRESSED_AT, string(now.to_string())).set_once(REASON, attribute(&reason)?);
        self.0.write(&address.canonical(), update).await
    }

    /// Counts a transient bounce of `address`, by its feedback id; one write. Returns how many there have been, this one
    /// included. The set stays small: whoever counts suppresses at a handful, and then nothing is sent that could bounce.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the row cannot be read.
    pub async fn note_transient_bounce(&self, address: &EmailAddress, feedback_id: &str, now: Timestamp) -> Result<usize, Failure> {
        let update = Update::new().set(BOUNCED_AT, string(now.to_string())).add_to_set(TRANSIENT_BOUNCES, feedback_id);
        match self.0.update::<Bounces>(&address.canonical(), update).await? {
            Updated::Now(row) => Ok(row.transient_bounces.len()),
            Updated::Refused(_) => Err(Failure::bug("Refused", "an update that looks at nothing carried a condition")),
        }
    }

    /// The condition that `address` is not suppressed, as an action of a transaction.
    ///
    /// # Errors
    /// A bug where it cannot be built.
    pub fn unless_suppressed(&self, address: &EmailAddress) -> Result<TransactWriteItem, Failure> {
        self.0.check(&address.canonical(), Update::new().if_absent(SUPPRESSED_AT))
    }
}

/// What a count reads of a row.
#[derive(Deserialize)]
struct Bounces {
    transient_bounces: Vec<String>,
}

#[cfg(test)]
mod tests;
