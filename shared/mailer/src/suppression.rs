//! Addresses that get no more mail from us: who complained, and what bounces.
//!
//! `email-feedback` writes the list; each sender checks it in the transaction that claims the mail. This module does not
//! take an address off the list: that is a person's decision, made with the person. A bounce that may pass is no
//! suppression yet, and fades by itself.

use aws_sdk_dynamodb::{Client, types::TransactWriteItem};
use domain::{EmailAddress, Timestamp};
use jiff::SignedDuration;
use lambda_kit::{
    Failure,
    dynamodb::{DynamoDb, Table, Update, Updated, attribute, string},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// How long a transient bounce counts against its address. A full mailbox or a server that is away is fixed within days, or
/// never; a month holds two orders, whose five mails then all came back. Counted for ever, five bounces over years would
/// end the mail of a customer whose address works.
pub const FADES_AFTER: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The table's partition key: an address in its canonical form.
pub const KEY: &str = "address";
/// Set when an address is first suppressed. A row without it only counts bounces.
pub const SUPPRESSED_AT: &str = "suppressed_at";
/// Why it was.
const REASON: &str = "reason";
/// The transient bounces, each as `<time> <feedback id>`: a set, so that a notification that comes twice counts once.
const TRANSIENT_BOUNCES: &str = "transient_bounces";
/// When the last of them came, for people who look at the row.
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

/// A bounce that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransientBounce<'b> {
    /// SES's id of it: the same each time that SES tells of it.
    pub id: &'b str,
    /// When it happened.
    pub at: Timestamp,
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

    /// Notes a transient bounce of `address`; one write, and one more where others are to be forgotten. Returns how many different
    /// ones lie within [`FADES_AFTER`] of `now`, this one included. The set stays small: a caller suppresses at a handful, after
    /// which nothing is sent that could bounce, and what has faded is taken out.
    ///
    /// # Errors
    /// Transient where a call failed; a bug where the row cannot be read.
    pub async fn note_transient_bounce(
        &self,
        address: &EmailAddress,
        bounce: TransientBounce<'_>,
        now: Timestamp,
    ) -> Result<usize, Failure> {
        let key = address.canonical();
        // A clock that runs ahead must not keep a bounce for longer.
        let noted = format!("{} {}", bounce.at.min(now), bounce.id);
        let update = Update::new().set(BOUNCED_AT, string(now.to_string())).add_to_set(TRANSIENT_BOUNCES, &noted);
        let row = match self.0.update::<Bounces>(&key, update).await? {
            Updated::Now(row) => row,
            Updated::Refused(_) => return Err(Failure::bug("Refused", "an update that looks at nothing carried a condition")),
        };
        let (recent, faded): (Vec<_>, Vec<_>) = row.transient_bounces.into_iter().partition(|noted| is_recent(noted, now));
        if !faded.is_empty() {
            self.0.write(&key, Update::new().remove_from_set(TRANSIENT_BOUNCES, faded)).await?;
        }
        Ok(recent.iter().filter_map(|noted| noted.split_once(' ')).map(|(_, id)| id).collect::<BTreeSet<_>>().len())
    }

    /// The condition that `address` is not suppressed, as an action of a transaction.
    ///
    /// # Errors
    /// A bug where it cannot be built.
    pub fn unless_suppressed(&self, address: &EmailAddress) -> Result<TransactWriteItem, Failure> {
        self.0.check(&address.canonical(), Update::new().if_absent(SUPPRESSED_AT))
    }
}

/// Whether a noted bounce still counts. What has no time that can be read has faded.
fn is_recent(noted: &str, now: Timestamp) -> bool {
    let at = noted.split_once(' ').and_then(|(at, _)| at.parse::<Timestamp>().ok());
    at.is_some_and(|at| now.duration_since(at) <= FADES_AFTER)
}

/// The attributes of a row that a count reads.
#[derive(Deserialize)]
struct Bounces {
    transient_bounces: Vec<String>,
}

#[cfg(test)]
mod tests;
