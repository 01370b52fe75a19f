//! The customers table: written by sign-up, added to by confirming and unsubscribing, read before a mail is sent.
//!
//! Each function that uses it declares a port with the verbs it needs and implements it by these methods, so that what a
//! handler may call and what its role allows line up. This module does not change who a customer is: nothing proves that a
//! second sign-up comes from the same person.
//!
//! Unsubscribing wins over what was asked before it, by the conditions of the writes and in whichever order they arrive:
//!
//! ```text
//!   asked ───────── confirm: double_opt_in_at ── unsubscribe: unsubscribed_at          no consent
//!   asked ───────── unsubscribe ── confirm: refused, unsubscribed_at is not before the asking
//!   unsubscribe ─── asked ── confirm: double_opt_in_at, and unsubscribed_at goes       a consent
//! ```

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use domain::{Customer, CustomerId, Timestamp, customer::ASK_AGAIN_AFTER};
use lambda_kit::{
    Failure,
    dynamodb::{DynamoDb, Table, Update, Updated, item, string},
};

/// The table's partition key.
pub const KEY: &str = "customer_id";
/// When a sign-up last asked for a consent.
const CONSENT_ASKED_AT: &str = "consent_asked_at";
/// When the customer confirmed it.
const DOUBLE_OPT_IN_AT: &str = "double_opt_in_at";
/// When the customer last unsubscribed.
const UNSUBSCRIBED_AT: &str = "unsubscribed_at";

/// The customers table.
#[derive(Debug, Clone)]
pub struct Customers<D = Client>(Table<D>);

impl<D: DynamoDb> Customers<D> {
    /// A handle on the table `name`.
    pub fn new(client: D, name: impl Into<String>) -> Self {
        Self(Table::new(client, name, KEY))
    }

    /// The customer as it is now; one strongly consistent read.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the stored customer cannot be read.
    pub async fn find(&self, id: &CustomerId) -> Result<Option<Customer>, Failure> {
        self.0.get(&id.to_string()).await
    }

    /// Signs `new` up, and returns the customer as stored; one conditional write, whether the address is known or not. What is
    /// stored stays. Only [`Customer::consent_asked_at`], where `new` has one, is written to a known customer as well, unless
    /// that customer was asked within [`ASK_AGAIN_AFTER`].
    ///
    /// # Errors
    /// Transient where the call failed; a bug where a customer cannot be written or read.
    pub async fn sign_up(&self, new: &Customer) -> Result<Customer, Failure> {
        let mut attributes: Vec<_> = item(new)?.into_iter().filter(|(name, _)| name != KEY && name != CONSENT_ASKED_AT).collect();
        attributes.sort_by(|(a, _), (b, _)| a.cmp(b)); // the same sign-up is the same request
        // A record from before may get `asked_at_sign_up` by this, which says nothing beside a later time of asking.
        let mut update = attributes.into_iter().fold(Update::new(), |update, (name, value)| update.set_once(&name, value));
        if let Some(asked) = new.consent_asked_at {
            let earlier = asked.checked_sub(ASK_AGAIN_AFTER).unwrap_or(Timestamp::MIN);
            update = update.set(CONSENT_ASKED_AT, string(asked.to_string())).if_absent_or_less(CONSENT_ASKED_AT, second(earlier));
        }
        match self.0.update::<Customer>(&new.customer_id.to_string(), update).await? {
            Updated::Now(stored) | Updated::Refused(Some(stored)) => Ok(stored),
            Updated::Refused(None) => Err(Failure::transient("LostRace", "the customer that stood in the way was gone again")),
        }
    }

    /// Notes at `now` that the customer confirms the consent that was asked for at `asked_at`; one conditional write. Returns
    /// whether the consent stands: not where there is no such customer, or one who has unsubscribed since the asking. Of two
    /// clicks on one link the first counts.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the stored customer cannot be read.
    pub async fn confirm(&self, id: &CustomerId, asked_at: Timestamp, now: Timestamp) -> Result<bool, Failure> {
        let answer = Update::new().set(DOUBLE_OPT_IN_AT, string(now.to_string())).remove(UNSUBSCRIBED_AT).if_exists(KEY);
        let answer = answer.if_absent_or_less(UNSUBSCRIBED_AT, second(asked_at)).if_absent_or_less(DOUBLE_OPT_IN_AT, second(asked_at));
        Ok(match self.0.update::<Customer>(&id.to_string(), answer).await? {
            Updated::Now(_) => true,
            // Confirmed before, by this link or by a later one, or unsubscribed since.
            Updated::Refused(stored) => stored.is_some_and(|stored| stored.double_opt_in_at.is_some() && stored.consent().is_some()),
        })
    }

    /// Notes at `now` that the customer wants no more marketing mail; one conditional write. The last time counts, so that it
    /// ends what was asked before it too. Returns whether there is such a customer.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the stored customer cannot be read.
    pub async fn unsubscribe(&self, id: &CustomerId, now: Timestamp) -> Result<bool, Failure> {
        let wish = Update::new().set(UNSUBSCRIBED_AT, string(now.to_string())).if_exists(KEY);
        Ok(match self.0.update::<Customer>(&id.to_string(), wish).await? {
            Updated::Now(_) => true,
            Updated::Refused(_) => false,
        })
    }
}

/// The second of `time` as text that comes before each time of that second, whatever fraction it was stored with, and after each
/// time of the seconds before: DynamoDB compares strings by their bytes, in which `10:02:41.5Z` comes before `10:02:41Z`.
fn second(time: Timestamp) -> AttributeValue {
    string(time.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

#[cfg(test)]
mod tests;
