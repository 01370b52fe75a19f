//! The mailed recipients: the port of `email-campaign` to the mail ledger, and its DynamoDB side.
//!
//! [`EmailCampaign`](crate::EmailCampaign) calls it. A campaign has a row, `<campaign>`, that says what it sends and how
//! far it is; and each recipient has one, `<campaign>/<customer>`, that says what was decided and what became of it. It
//! does not decide: every write carries the condition that its step was decided on.
//!
//! A campaign that ended with nobody mailed may start again, as another run of its name. The recipients of the second run have rows
//! of their own, `<campaign>/2/<customer>`, so that a recipient who was skipped or failed is decided on anew; and a worker that is
//! late writes nothing into a run that is not its own.
//!
//! ```text
//!   (none) ─┬─▶ skipped                                  decided: not mailed
//!           └─▶ sending ─┬─▶ sent                        SES has it
//!               ▲        ├─▶ failed                      SES will never take it
//!               │        ├─▶ released ─┐                 surely not sent: may be claimed again
//!               └────────┼─────────────┘
//!                        └── and stays: in doubt         the process died, or SES did not answer; never sent again
//! ```

use crate::{
    CampaignId,
    batch_get::batch_get,
    row::{Obstacle, State, Wish},
};
use aws_sdk_dynamodb::{Client, types::KeysAndAttributes};
use domain::{CustomerId, Timestamp};
use lambda_kit::{
    Ambient, Failure,
    dynamodb::{self, Created, Table, Transacted, Update, Updated, attribute, number, record_of_many, string, transact},
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The table's partition key.
pub const KEY: &str = "mail_id";
/// Which run of its name a campaign's row is about.
const RUN: &str = "run";
/// How many were mailed or may have been.
const MAILED: &str = "mailed";
/// Most recipients of a chunk: what SES takes in one call (`BulkEmailEntries`,
/// <https://docs.aws.amazon.com/ses/latest/dg/quotas.html>). Their claims fit one transaction, and their customers and
/// suppressions, a hundred keys, one BatchGetItem.
pub const CHUNK_MAX: usize = BULK_ENTRIES_MAX;
/// Most entries in one SendBulkEmail.
pub const BULK_ENTRIES_MAX: usize = 50;
/// Most keys in one BatchGetItem
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchGetItem.html>).
pub const ROWS_MAX: usize = 100;

/// A campaign, as its row has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Campaign {
    /// Its name.
    #[serde(rename = "mail_id")]
    pub campaign_id: CampaignId,
    /// Its content and recipients: a start with another fingerprint is not this campaign.
    #[serde(flatten)]
    pub fingerprint: Fingerprint,
    /// Which run of the name it is, counted from 1.
    #[serde(default = "first_run")]
    pub run: u32,
    /// The first line of the list that is not yet worked through.
    pub next_line: u32,
    /// Whether SES has accepted a mail of it: then a mail that it refuses is not the template's fault.
    #[serde(default)]
    pub accepted: bool,
    /// When this run was started.
    pub started_at: Timestamp,
    /// When its report was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// How many were mailed or may have been, once the report is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailed: Option<u32>,
}

const fn first_run() -> u32 {
    1
}

impl Campaign {
    /// Whether its name is free for another start, also with another list: it has ended, and surely nobody was mailed.
    pub fn may_start_again(&self) -> bool {
        self.finished_at.is_some() && self.mailed == Some(0)
    }
}

/// The content and recipients of a campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The template's name.
    pub template: String,
    /// The list's key.
    pub list: String,
    /// The list's ETag: another content has another.
    pub etag: String,
}

/// The outcome of writing several rows at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// All are written.
    All,
    /// None is; why, for each, in their order.
    None(Vec<Obstacle>),
}

/// The mail ledger, as far as campaigns use it.
pub trait Ledger {
    /// Creates the campaign's row, or returns the one that is there: one PutItem.
    async fn open(&self, campaign: &Campaign) -> Result<Created<Campaign>, Failure>;
    /// Makes of `over`, which [may start again](Campaign::may_start_again), the run `new`; false where another start was first: one
    /// UpdateItem.
    async fn start_again(&self, over: &Campaign, new: &Campaign) -> Result<bool, Failure>;
    /// Writes all of `wishes`, each on the condition that it was made for, or none: one TransactWriteItems.
    async fn claim(&self, campaign: &Campaign, wishes: &[Wish]) -> Result<Written, Failure>;
    /// Writes what became of the rows of `claim`, all or none, each only while it is `sending` by that claim: one
    /// TransactWriteItems.
    async fn settle(&self, campaign: &Campaign, claim: u64, marks: &[(CustomerId, State)]) -> Result<Written, Failure>;
    /// Notes how far the campaign is, and where it is so that SES has accepted a mail of it: one UpdateItem.
    ///
    /// # Errors
    /// Transient, where the campaign has been started again since.
    async fn advance(&self, campaign: &Campaign, next_line: u32, accepted: bool) -> Result<(), Failure>;
    /// Notes that the report is written, and how many were mailed or may have been; the first time stays: one UpdateItem.
    ///
    /// # Errors
    /// Transient, where the campaign has been started again since.
    async fn finish(&self, campaign: &Campaign, at: Timestamp, mailed: u32) -> Result<(), Failure>;
    /// The rows of up to [`ROWS_MAX`] different recipients, of those that have one: BatchGetItem, strongly consistent.
    async fn rows(&self, campaign: &Campaign, customers: &[CustomerId]) -> Result<HashMap<CustomerId, State>, Failure>;
}

/// A recipient's row.
#[derive(Serialize, Deserialize)]
struct Row {
    mail_id: String,
    #[serde(flatten)]
    state: State,
}

/// The ledger table.
#[derive(Debug)]
pub struct LedgerTable<A> {
    table: Table<Client>,
    ambient: A,
}

impl<A: Ambient> LedgerTable<A> {
    /// A handle on the table `name`. Randomness is for the waits between calls.
    pub fn new(client: Client, name: impl Into<String>, ambient: A) -> Self {
        Self { table: Table::new(client, name, KEY), ambient }
    }
}

fn mail_id(campaign: &Campaign, customer: &CustomerId) -> String {
    match campaign {
        Campaign { campaign_id, run: 0..=1, .. } => format!("{campaign_id}/{customer}"),
        Campaign { campaign_id, run, .. } => format!("{campaign_id}/{run}/{customer}"),
    }
}

impl<A> LedgerTable<A> {
    /// Updates the campaign's row while it is the run that `campaign` is of; false where it is another.
    async fn change(&self, campaign: &Campaign, update: Update) -> Result<bool, Failure> {
        let update = update.if_absent_or_equals(RUN, number(campaign.run.into()));
        match self.table.update::<Campaign>(campaign.campaign_id.as_str(), update).await? {
            Updated::Now(_) => Ok(true),
            Updated::Refused(_) => Ok(false),
        }
    }
}

fn started_again() -> Failure {
    Failure::transient("CampaignStartedAgain", "the campaign has been started again since this worker began")
}

impl<A: Ambient> Ledger for LedgerTable<A> {
    async fn open(&self, campaign: &Campaign) -> Result<Created<Campaign>, Failure> {
        self.table.create(campaign).await
    }

    async fn claim(&self, campaign: &Campaign, wishes: &[Wish]) -> Result<Written, Failure> {
        let action = |wish: &Wish| {
            let mail_id = mail_id(campaign, &wish.customer_id);
            match wish.over {
                None => self.table.creation(&Row { mail_id, state: wish.becomes.clone() }),
                Some(attempts) => {
                    let update = Update::new().set_all(&wish.becomes)?.if_equals("state", string("released"));
                    self.table.change(&mail_id, update.if_equals("attempts", number(attempts.into())))
                }
            }
        };
        let actions = wishes.iter().map(action).collect::<Result<_, _>>()?;
        written(transact(self.table.client(), actions).await?)
    }

    async fn settle(&self, campaign: &Campaign, claim: u64, marks: &[(CustomerId, State)]) -> Result<Written, Failure> {
        let action = |(customer, state): &(CustomerId, State)| {
            let update = Update::new().set_all(state)?.if_equals("state", string("sending"));
            self.table.change(&mail_id(campaign, customer), update.if_equals("claim", number(claim)))
        };
        let actions = marks.iter().map(action).collect::<Result<_, _>>()?;
        written(transact(self.table.client(), actions).await?)
    }

    async fn start_again(&self, over: &Campaign, new: &Campaign) -> Result<bool, Failure> {
        let update = Update::new().set_all(&new.fingerprint)?.set(RUN, number(new.run.into())).set("next_line", number(0));
        let update = update.set("started_at", attribute(&new.started_at)?).remove("finished_at").remove("accepted");
        self.change(over, update.remove(MAILED).if_equals(MAILED, number(0))).await
    }

    async fn advance(&self, campaign: &Campaign, next_line: u32, accepted: bool) -> Result<(), Failure> {
        let update = Update::new().set("next_line", number(next_line.into()));
        let update = if accepted { update.set("accepted", attribute(&true)?) } else { update };
        if self.change(campaign, update).await? { Ok(()) } else { Err(started_again()) }
    }

    async fn finish(&self, campaign: &Campaign, at: Timestamp, mailed: u32) -> Result<(), Failure> {
        let update = Update::new().set_once("finished_at", attribute(&at)?).set_once(MAILED, number(mailed.into()));
        if self.change(campaign, update).await? { Ok(()) } else { Err(started_again()) }
    }

    async fn rows(&self, campaign: &Campaign, customers: &[CustomerId]) -> Result<HashMap<CustomerId, State>, Failure> {
        let key = |customer: &CustomerId| HashMap::from([(KEY.to_owned(), string(mail_id(campaign, customer)))]);
        let keys = KeysAndAttributes::builder().set_keys(Some(customers.iter().map(key).collect())).consistent_read(true);
        let request = [(self.table.name(), keys)];
        let items = batch_get(self.table.client(), request, &self.ambient).await?.remove(self.table.name()).unwrap_or_default();
        let mut rows = HashMap::new();
        for item in items {
            let Row { mail_id, state } = record_of_many(item, KEY)?;
            let customer = mail_id.rsplit_once('/').and_then(|(_, customer)| customer.parse().ok());
            rows.insert(customer.ok_or_else(|| Failure::bug("UnreadableRecord", "a row of the mail ledger names no customer"))?, state);
        }
        Ok(rows)
    }
}

/// Reads the answer to a transaction over recipients' rows.
fn written(transacted: Transacted) -> Result<Written, Failure> {
    let obstacle = |fate| match fate {
        dynamodb::Fate::Fine => Ok(Obstacle::Nothing),
        dynamodb::Fate::Contended => Ok(Obstacle::Contention),
        dynamodb::Fate::ConditionFailed(Some(item)) => Ok(Obstacle::Row(record_of_many::<Row>(item, KEY)?.state)),
        // The row was not as it should be, and now is none: nobody deletes rows of the ledger while a campaign runs.
        dynamodb::Fate::ConditionFailed(None) => Err(Failure::bug("RowGone", "a row of the mail ledger is gone that was there before")),
        dynamodb::Fate::Refused(code) => Err(Failure::bug(code, "DynamoDB refuses an action on the mail ledger")),
    };
    match transacted {
        Transacted::Done => Ok(Written::All),
        Transacted::Cancelled(fates) => fates.into_iter().map(obstacle).collect::<Result<_, _>>().map(Written::None),
    }
}
