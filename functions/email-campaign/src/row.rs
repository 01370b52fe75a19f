//! A recipient's row: where the recipient stands, what is to be written next, and what stood in its way.
//!
//! What [`chunk`](crate::chunk) decides with and [`ledger`](crate::ledger) reads and writes. It knows neither of them.

use domain::{CustomerId, Timestamp};
use serde::{Deserialize, Serialize};

/// Where a recipient stands. Attributes of earlier states stay in the item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Claimed: a mail is about to go out, or went out, or its sender died.
    Sending {
        /// Which claim this is, counted from 1, without those that failed for the account's reasons.
        attempt: u32,
        /// Since when.
        claimed_at: Timestamp,
        /// Whose: 64 random bits, so that nobody writes down the end of another's claim.
        claim: u64,
    },
    /// Surely not sent: may be claimed again.
    Released {
        /// How many claims have failed for the recipient's own reasons.
        attempts: u32,
    },
    /// SES has it.
    Sent {
        /// SES's id of the mail.
        message_id: String,
    },
    /// SES will never take it.
    Failed {
        /// SES's word for why.
        code: String,
    },
    /// Not to be mailed.
    Skipped {
        /// Why.
        skip: Skip,
    },
}

impl State {
    /// Whether SES has the mail.
    pub fn is_sent(&self) -> bool {
        matches!(self, Self::Sent { .. })
    }
}

/// Why somebody on the list is not mailed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skip {
    /// No customer has the address.
    Unknown,
    /// The customer never agreed to marketing mail, or has unsubscribed.
    NoConsent,
    /// The address bounced permanently, or complained.
    Suppressed,
}

/// A row to be written before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Whose.
    pub customer_id: CustomerId,
    /// What it is to say: `sending` or `skipped`.
    pub becomes: State,
    /// Over what it is written: nothing, or a row that was released after so many attempts.
    pub over: Option<u32>,
}

impl Wish {
    /// The first write for a recipient: assumed fresh, their row is new.
    pub fn new(customer_id: CustomerId, skip: Option<Skip>, claimed_at: Timestamp, claim: u64) -> Self {
        let becomes = skip.map_or(State::Sending { attempt: 1, claimed_at, claim }, |skip| State::Skipped { skip });
        Self { customer_id, becomes, over: None }
    }

    /// Whom it claims, and which attempt that is; [`None`] where it skips.
    pub fn claimed(&self) -> Option<(CustomerId, u32)> {
        match self.becomes {
            State::Sending { attempt, .. } => Some((self.customer_id, attempt)),
            _ => None,
        }
    }

    /// The remaining writes after this was found in its way. A recipient with a row has been decided on, by an earlier try or
    /// another worker, and is left out; `sending` too: nobody but who wrote it knows whether that mail went out.
    pub(crate) fn after(mut self, obstacle: Obstacle) -> Option<Self> {
        match obstacle {
            Obstacle::Nothing | Obstacle::Contention => Some(self),
            Obstacle::Row(State::Released { attempts }) => {
                self.over = Some(attempts);
                if let State::Sending { attempt, .. } = &mut self.becomes {
                    *attempt = attempts + 1;
                }
                Some(self)
            }
            Obstacle::Row(State::Sending { .. } | State::Sent { .. } | State::Failed { .. } | State::Skipped { .. }) => None,
        }
    }
}

/// What stood in a row's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// Nothing.
    Nothing,
    /// Another transaction: the same may go through in a moment.
    Contention,
    /// The row as it is.
    Row(State),
}
