//! The ledger in DynamoDB: one row per mail, the suppression list and the counts of the hour beside it.
//!
//! [`Mailer`](crate::Mailer) calls it. It does not forget: a row guards against a second mail for as long as its event can
//! come again, so rows have no time to live.

use crate::{Claim, ClaimState, OutgoingMail, SENDING_FOR, limits::Limits, suppression::Suppressions};
use aws_sdk_dynamodb::{Client, types::TransactWriteItem};
use domain::Timestamp;
use lambda_kit::{
    Failure,
    config::Env,
    dynamodb::{DynamoDb, Fate, Item, Table, Transacted, Update, attribute, record, string, transact},
};
use serde::{Deserialize, Serialize};

/// The table's partition key.
pub const KEY: &str = "mail_id";
/// The progress of the mail: `sending` or `sent`.
pub const STATE: &str = "state";
/// The end of the claim, while it is `sending`.
const UNTIL: &str = "until";
/// SES's message id of the mail, to look for it in the feedback.
pub const SES_MESSAGE_ID: &str = "ses_message_id";
/// When SES took it.
pub const SENT_AT: &str = "sent_at";

/// The ledger and what it asks.
#[derive(Debug, Clone)]
pub struct EmailLedger<D = Client> {
    outgoing: Table<D>,
    /// [`None`] where operators alone are mailed.
    strangers: Option<Strangers<D>>,
}

/// The check of the suppression list before a customer is mailed.
#[derive(Debug, Clone)]
struct Strangers<D> {
    suppressions: Suppressions<D>,
    limits: Limits<D>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Sending,
    Sent,
}

/// A mail as it is written down: without its address, which its order or its customer has.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    mail_id: String,
    state: State,
    until: Timestamp,
    template: String,
}

impl EmailLedger {
    /// Reads the tables' names from `EMAIL_LEDGER_TABLE` and `SUPPRESSIONS_TABLE`, and what [`Limits::from_env`] reads.
    pub fn from_env(env: &mut Env, client: &Client) -> Self {
        let suppressions = Suppressions::new(client.clone(), env.required("SUPPRESSIONS_TABLE"));
        let limits = Limits::from_env(env, client);
        Self::new(client.clone(), env.required("EMAIL_LEDGER_TABLE"), suppressions, limits)
    }
}

impl<D: DynamoDb> EmailLedger<D> {
    /// A ledger in the table `name`, beside `suppressions` and `limits`.
    pub fn new(client: D, name: impl Into<String>, suppressions: Suppressions<D>, limits: Limits<D>) -> Self {
        Self { outgoing: Table::new(client, name, KEY), strangers: Some(Strangers { suppressions, limits }) }
    }

    /// A ledger in the table `name` of mails to operators alone. It asks no suppression list: a click on
    /// "spam" or a bounce would put an operator on it, and end what operators have to read. It counts nothing either.
    pub fn of_operators(client: D, name: impl Into<String>) -> Self {
        Self { outgoing: Table::new(client, name, KEY), strangers: None }
    }

    /// Writes `row` if the address is not suppressed, or is an operator's, and `count` goes through.
    async fn write(&self, row: TransactWriteItem, outgoing: &OutgoingMail, count: Option<TransactWriteItem>) -> Result<Claim, Failure> {
        let check = self.strangers.as_ref().map(|asked| asked.suppressions.unless_suppressed(&outgoing.to)).transpose()?;
        let actions = std::iter::once(row).chain(check).chain(count).collect();
        let fates = match transact(self.outgoing.client(), actions).await? {
            Transacted::Done => return Ok(Claim::Ours),
            Transacted::Cancelled(fates) => fates,
        };
        // The row first: a mail that is out is out, whatever its address has become since.
        match &fates[..] {
            [Fate::ConditionFailed(Some(row)), ..] => standing(row.clone()).map(Claim::Taken),
            [Fate::ConditionFailed(None), ..] => Err(Failure::transient("LostRace", "the row that stood in the way was gone again")),
            [Fate::Refused(code), ..] | [_, Fate::Refused(code), ..] | [_, _, Fate::Refused(code)] => {
                Err(Failure::bug("ClaimRefused", format_args!("DynamoDB refuses a claim with {code}")))
            }
            [_, Fate::ConditionFailed(_), ..] => Ok(Claim::Suppressed),
            [_, _, Fate::ConditionFailed(_)] => Ok(Claim::Limited),
            _ => Err(Failure::transient("ClaimContended", "somebody else was writing a row of the claim")),
        }
    }
}

fn standing(row: Item) -> Result<ClaimState, Failure> {
    let row: Row = record(row)?;
    Ok(match row.state {
        State::Sending => ClaimState::Sending { until: row.until },
        State::Sent => ClaimState::Sent,
    })
}

fn until(now: Timestamp) -> Result<Timestamp, Failure> {
    now.checked_add(SENDING_FOR)
        .map_err(|error| Failure::bug("ClockOutOfRange", "a claim would end after the end of time").caused_by(error))
}

impl<D: DynamoDb> crate::Ledger for EmailLedger<D> {
    async fn claim(&self, outgoing: &OutgoingMail, now: Timestamp) -> Result<Claim, Failure> {
        let row =
            Row { mail_id: outgoing.mail_id.clone(), state: State::Sending, until: until(now)?, template: outgoing.template.to_owned() };
        let count = self.strangers.as_ref().map(|asked| asked.limits.one_more_to(&outgoing.to, now)).transpose()?;
        self.write(self.outgoing.creation(&row)?, outgoing, count).await
    }

    async fn reclaim(&self, outgoing: &OutgoingMail, over: Timestamp, now: Timestamp) -> Result<Claim, Failure> {
        let update = Update::new().set(UNTIL, string(until(now)?.to_string()));
        // The old end names the claim that is over: of two that find it so, one gets it.
        let update = update.if_equals(STATE, attribute(&State::Sending)?).if_equals(UNTIL, string(over.to_string()));
        // It was counted when it was claimed.
        self.write(self.outgoing.change(&outgoing.mail_id, update)?, outgoing, None).await
    }

    async fn place(&self, now: Timestamp) -> Result<bool, Failure> {
        match &self.strangers {
            Some(asked) => asked.limits.one_more_unpaid(now).await,
            None => Ok(true),
        }
    }

    /// Unconditional: SES has taken the mail, whatever the row says. The first time and id stay, so that of two mails
    /// the row names the one that should have been the only one.
    async fn sent(&self, mail_id: &str, ses_message_id: &str, now: Timestamp) -> Result<(), Failure> {
        let update = Update::new().set(STATE, attribute(&State::Sent)?).set_once(SES_MESSAGE_ID, string(ses_message_id));
        self.outgoing.write(mail_id, update.set_once(SENT_AT, string(now.to_string()))).await
    }
}

#[cfg(test)]
mod tests;
