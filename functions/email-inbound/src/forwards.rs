//! How many replies go on to support in an hour, and which did not: the port of `email-inbound`, and its DynamoDB side.
//!
//! [`EmailInbound`](crate::EmailInbound) asks before it forwards. Anybody can write a mail, and each forward is one that a
//! person reads, with the shop as its sender. It does not lose a reply: a reply without a place is stored with its key in
//! the bucket, for one digest. It does not count a mail twice: places are sets of mails, not numbers, and the hour is the
//! one in which SES received the mail, however late or often SQS delivers it.
//!
//! ```text
//!   forwards/2026-05-04T10      place ─ place ─ … ─ no place left: held back, the first of these reports ─ … ─ closed ─ digest
//!   forwards/2026-05-04T10/2    what of this hour comes later, after a redrive: held back ─ closed ─ digest
//! ```

use crate::notification::Notification;
use aws_sdk_dynamodb::Client;
use domain::{CustomerId, EmailAddress, Timestamp};
use jiff::SignedDuration;
use lambda_kit::{
    Failure,
    dynamodb::{DynamoDb, Table, Update, Updated, number, string},
};
use mailer::Hour;
use serde::Deserialize;

/// Most replies of one sender that are forwarded in an hour. A customer writes once, corrects it, and adds a photograph; a
/// sixth mail within the hour says nothing that the five have not.
pub const FROM_ONE_MAX: usize = 5;
/// Most replies whose sender is not verified that are forwarded in an hour, of all such senders together: one forger
/// can take thousands of addresses. A third of all, so that customers whose mail is in order still reach people.
pub const UNVERIFIED_MAX: usize = 20;
/// Most replies that are forwarded in an hour: one a minute, which is more than a person answers.
pub const ALL_MAX: usize = 60;
/// Most replies that one digest lists. Their keys are at most 1,024 bytes long, so that a row stays below DynamoDB's 400 KB
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html>); those of SES have 40.
pub const LISTED_MAX: usize = 200;
/// How long after its hour a digest is made: mails that came in its last minute are through by then.
pub const DIGEST_MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// How long a digest of what came late waits for the rest of it. A redrive brings many at once, and six digests an hour are
/// read, sixty are not.
pub const LATE_WAIT: SignedDuration = SignedDuration::from_mins(10);

/// Most digests of one hour: SQS keeps a message for 14 days, and in each ten minutes of these one more can be made.
const ROUNDS_MAX: usize = 14 * 24 * 6 + 1;

/// The mails that have a place.
const FORWARDED: &str = "forwarded";
/// Those of them whose sender is not verified.
const UNVERIFIED: &str = "unverified";
/// What has none: sender and key.
const HELD_BACK: &str = "held_back";
/// The mail whose message makes the digest.
const DIGEST_BY: &str = "digest_by";
/// When the digest was made of the row. What is in it stays as it is from then on.
const CLOSED_AT: &str = "closed_at";

/// How long, from `now`, the first digest of `hour` waits.
pub fn digest_after(hour: Hour, now: Timestamp) -> SignedDuration {
    hour.end().duration_since(now) + DIGEST_MARGIN
}

/// The row of an hour's first digest, and those of what came late.
fn row_id(hour: Hour, round: usize) -> String {
    if round == 1 { format!("forwards/{hour}") } else { format!("forwards/{hour}/{round}") }
}

/// The author of a mail, as far as it is counted: a pseudonym, no address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Writer {
    /// Whether SES vouches for it.
    pub is_verified: bool,
    /// The customer's id that the address makes, `unclear` where there is not one address.
    id: String,
}

impl Writer {
    /// The writer with this address. One and the same address counts twice, verified and not: a forger of
    /// a customer's address must not use up the customer's places.
    pub fn new(address: Option<&EmailAddress>, is_verified: bool) -> Self {
        let id = address.map_or_else(|| "unclear".to_owned(), |address| CustomerId::from_email(address).to_string());
        Self { is_verified, id }
    }
    fn name(&self) -> String {
        format!("{}.{}", if self.is_verified { "verified" } else { UNVERIFIED }, self.id)
    }
    fn from_name(name: &str) -> Self {
        let (kind, id) = name.split_once('.').unwrap_or((UNVERIFIED, name));
        Self { is_verified: kind != UNVERIFIED, id: id.to_owned() }
    }
}

/// A reply that is to be forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The mail.
    pub notification: &'a Notification,
    /// The author.
    pub writer: &'a Writer,
}

/// Whether a reply is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is.
    Forward,
    /// It is not, and is written down for a digest.
    HeldBack {
        /// The exhausted limit.
        limit: Limit,
        /// Whether this mail's message makes the digest.
        reports: bool,
    },
}

/// A limit that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`FROM_ONE_MAX`].
    Sender,
    /// [`UNVERIFIED_MAX`].
    Unverified,
    /// [`ALL_MAX`].
    All,
    /// The hour's first digest has been made, so that there was one of the others.
    Late,
}

impl Limit {
    /// The word for it in the log, by which an alarm tells a flood from one person who writes a lot.
    pub const fn as_str(self) -> &'static str {
        match self {
            Limit::Sender => "sender",
            Limit::Unverified => "unverified",
            Limit::All => "all",
            Limit::Late => "late",
        }
    }
}

/// The content of a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Its identity.
    pub id: String,
    /// Writers and keys, by writer.
    pub held_back: Vec<(Writer, String)>,
}

/// Where places are kept.
pub trait Forwards {
    /// A place for `reply` among those of its hour: one UpdateItem, two where there is none left, and one more for each
    /// digest that its hour has had. The same mail gets the same answer, but for being closed.
    async fn place(&self, hour: Hour, reply: Reply<'_>) -> Result<Place, Failure>;
    /// Closes what the message of the mail `mail_id` makes the digest of, at `now`: one UpdateItem, and one for each digest
    /// that its hour has had. Closing again gives the same again.
    async fn close(&self, hour: Hour, mail_id: &str, now: Timestamp) -> Result<Closed, Failure>;
}

/// Rows in the table of the ledger, whose other rows are mails.
#[derive(Debug, Clone)]
pub struct ForwardRows<D = Client>(Table<D>);

/// A row, as far as it is read.
#[derive(Debug, Default, Deserialize)]
struct Row {
    #[serde(default)]
    forwarded: Vec<String>,
    #[serde(default)]
    unverified: Vec<String>,
    #[serde(default)]
    held_back: Vec<String>,
    digest_by: Option<String>,
    closed_at: Option<Timestamp>,
}

impl<D: DynamoDb> ForwardRows<D> {
    /// Rows in the table `name`.
    pub fn new(client: D, name: impl Into<String>) -> Self {
        Self(Table::new(client, name, mailer::ledger::KEY))
    }

    /// [`None`] where the round is closed.
    async fn hold_back(&self, row_id: &str, entry: &str, mail_id: &str) -> Result<Option<Row>, Failure> {
        // One more than is listed, so that a digest knows whether there was more.
        let update = Update::new().add_to_set(HELD_BACK, entry).set_once(DIGEST_BY, string(mail_id)).if_absent(CLOSED_AT);
        let row = match self.0.update::<Row>(row_id, update.if_set_has_room(HELD_BACK, entry, number(LISTED_MAX as u64 + 1))).await? {
            Updated::Now(row) | Updated::Refused(Some(row)) => row,
            Updated::Refused(None) => return Err(gone()),
        };
        let is_in_it = row.held_back.iter().any(|held| held == entry);
        // A row that is full and open is one whose digest says that there was more.
        Ok(if row.closed_at.is_some() && !is_in_it { None } else { Some(row) })
    }
}

impl<D: DynamoDb> Forwards for ForwardRows<D> {
    async fn place(&self, hour: Hour, reply: Reply<'_>) -> Result<Place, Failure> {
        let (mail_id, writer) = (reply.notification.message_id.as_str(), reply.writer);
        let of_writer = format!("from.{}", writer.name());
        let mut sets = vec![(FORWARDED, ALL_MAX), (&of_writer, FROM_ONE_MAX)];
        if !writer.is_verified {
            sets.push((UNVERIFIED, UNVERIFIED_MAX));
        }
        let update = sets.iter().fold(Update::new().if_absent(CLOSED_AT), |update, (set, max)| {
            update.add_to_set(set, mail_id).if_set_has_room(set, mail_id, number(*max as u64))
        });
        let row = match self.0.update::<Row>(&row_id(hour, 1), update).await? {
            Updated::Now(_) => return Ok(Place::Forward),
            Updated::Refused(row) => row.ok_or_else(gone)?,
        };
        if row.forwarded.iter().any(|forwarded| forwarded == mail_id) {
            return Ok(Place::Forward);
        }
        let limit = match row {
            Row { closed_at: Some(_), .. } => Limit::Late,
            Row { forwarded, .. } if forwarded.len() >= ALL_MAX => Limit::All,
            Row { unverified, .. } if !writer.is_verified && unverified.len() >= UNVERIFIED_MAX => Limit::Unverified,
            _ => Limit::Sender,
        };
        let entry = format!("{}/{}", writer.name(), reply.notification.key);
        for round in 1..=ROUNDS_MAX {
            if let Some(row) = self.hold_back(&row_id(hour, round), &entry, mail_id).await? {
                return Ok(Place::HeldBack { limit, reports: row.digest_by.as_deref() == Some(mail_id) });
            }
        }
        Err(Failure::bug("TooManyDigests", "an hour has had more digests than there are in the life of a message"))
    }

    async fn close(&self, hour: Hour, mail_id: &str, now: Timestamp) -> Result<Closed, Failure> {
        for round in 1..=ROUNDS_MAX {
            let id = row_id(hour, round);
            let update = Update::new().set_once(CLOSED_AT, string(now.to_string())).if_equals(DIGEST_BY, string(mail_id));
            match self.0.update::<Row>(&id, update).await? {
                Updated::Now(Row { mut held_back, .. }) => {
                    // A set has no order, and the same digest is to say the same again.
                    held_back.sort();
                    let parts = held_back.iter().filter_map(|entry| entry.split_once('/'));
                    let held_back = parts.map(|(writer, key)| (Writer::from_name(writer), key.to_owned())).collect();
                    return Ok(Closed { id, held_back });
                }
                Updated::Refused(Some(_)) => {}
                Updated::Refused(None) => break,
            }
        }
        Err(Failure::permanent("NothingToReport", "a message that is to make a digest is not written down as one"))
    }
}

fn gone() -> Failure {
    Failure::transient("LostRace", "the row that stood in the way was gone again")
}
