//! How many mails go out in an hour, and their counts in DynamoDB.
//!
//! The [ledger](crate::ledger) asks. A person who types an address into a form need not own it, so that a form is a way to
//! mail others in the shop's name: one address gets only so many, and of mails that nobody has paid for there are only so
//! many for all addresses together. This module does not keep a mail for later: a flood must not become a queue of mails
//! that nobody asked for. What was not sent is in the log, and an alarm says so where it was the limit of all addresses.

use crate::{Hour, Outcome, OutgoingMail};
use aws_sdk_dynamodb::{Client, types::TransactWriteItem};
use domain::{CustomerId, EmailAddress, Timestamp};
use jiff::SignedDuration;
use lambda_kit::{
    Failure,
    config::Env,
    dynamodb::{DynamoDb, Table, Update, Updated, number},
};
use serde::Deserialize;

/// Most mails to one address in an hour: all of five orders, more than a customer places, and too few to bury a mailbox.
pub const TO_ONE_MAX: u64 = 10;
/// How long after its hour a count is kept: for people who look into a flood the day after.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(48);

/// The table's partition key: what is counted, and in which hour.
pub const KEY: &str = "limit_id";
/// How many mails there have been.
const MAILS: &str = "mails";
/// When DynamoDB deletes the row, in seconds since the Unix epoch.
const EXPIRES_AT: &str = "expires_at";

/// A limit that is used up for an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// [`TO_ONE_MAX`].
    Address,
    /// That of mails that nobody has paid for, which the template sets.
    Unpaid,
}

impl Limit {
    /// The word for it in the log, by which an alarm tells a flood from one busy customer.
    pub const fn as_str(self) -> &'static str {
        match self {
            Limit::Address => "address",
            Limit::Unpaid => "unpaid",
        }
    }
}

/// The counts.
#[derive(Debug, Clone)]
pub struct Limits<D = Client> {
    counts: Table<D>,
    unpaid_max: u64,
}

impl Limits {
    /// Reads the table's name from `MAIL_LIMITS_TABLE`, and how many mails that nobody has paid for may go out in an hour from
    /// `UNPAID_MAILS_PER_HOUR`.
    pub fn from_env(env: &mut Env, client: &Client) -> Self {
        Self::new(client.clone(), env.required("MAIL_LIMITS_TABLE"), env.parsed("UNPAID_MAILS_PER_HOUR"))
    }
}

impl<D: DynamoDb> Limits<D> {
    /// Counts in the table `name`, of which those of mails that nobody has paid for go to `unpaid_max`.
    pub fn new(client: D, name: impl Into<String>, unpaid_max: u64) -> Self {
        Self { counts: Table::new(client, name, KEY), unpaid_max }
    }

    /// One more mail to `address` at `now`, as an action of a transaction.
    ///
    /// # Errors
    /// A bug where it cannot be built.
    pub fn one_more_to(&self, address: &EmailAddress, now: Timestamp) -> Result<TransactWriteItem, Failure> {
        let hour = Hour::of(now);
        // A pseudonym, as events have it: the table holds no address.
        self.counts.change(&format!("to/{}/{hour}", CustomerId::from_email(address)), one_more(hour, TO_ONE_MAX))
    }

    /// Whether one more mail that nobody has paid for may go out at `now`, which counts it: one write.
    ///
    /// It is no action of a transaction: two of those that meet on one row cancel each other, and this row is everybody's. A
    /// process that dies after it has counted a mail that did not go out, so that an hour may have fewer than its number.
    ///
    /// # Errors
    /// Transient where the call failed.
    pub async fn one_more_unpaid(&self, now: Timestamp) -> Result<bool, Failure> {
        let hour = Hour::of(now);
        let counted = self.counts.update::<Count>(&format!("unpaid/{hour}"), one_more(hour, self.unpaid_max)).await?;
        Ok(matches!(counted, Updated::Now(_)))
    }
}

/// Nothing of a count is read: whether the update went through says all.
#[derive(Deserialize)]
struct Count {}

fn one_more(hour: Hour, max: u64) -> Update {
    let expires_at = (hour.end() + KEPT_FOR).as_second();
    Update::new().add(MAILS, 1).set(EXPIRES_AT, number(expires_at.unsigned_abs())).if_below(MAILS, max)
}

/// The line of a mail that a limit held back: an alarm is on `limit`.
pub(crate) fn log(limit: Limit, outgoing: &OutgoingMail) {
    let (mail, template, mail_id) = (Outcome::Limited(limit).as_str(), outgoing.template, outgoing.mail_id.as_str());
    tracing::warn!(mail, limit = limit.as_str(), template, mail_id, "mail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use testkit::aws::Aws;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[tokio::test]
    async fn a_mail_that_nobody_has_paid_for_is_counted_by_one_conditional_write() {
        let aws = Aws::says(200, &json!({"Attributes": {"limit_id": {"S": "unpaid/2026-05-04T10"}, "mails": {"N": "3"}}}));
        assert!(Limits::new(aws.dynamodb(), "limits", 300).one_more_unpaid(at("2026-05-04T10:11:12Z")).await.unwrap());
        let [asked] = &aws.asked()[..] else { panic!("one call") };
        assert_eq!(asked["Key"], json!({"limit_id": {"S": "unpaid/2026-05-04T10"}}));
        assert_eq!(asked["UpdateExpression"], "SET #n1 = :v1 ADD #n0 :v0");
        assert_eq!(asked["ConditionExpression"], "(attribute_not_exists(#n0) OR #n0 < :v2)");
        assert_eq!(asked["ExpressionAttributeNames"], json!({"#n0": "mails", "#n1": "expires_at"}));
        // 11 o'clock, and two days.
        assert_eq!(asked["ExpressionAttributeValues"], json!({":v0": {"N": "1"}, ":v1": {"N": "1778065200"}, ":v2": {"N": "300"}}));
    }

    #[tokio::test]
    async fn a_full_hour_has_no_place() {
        let full = json!({"limit_id": {"S": "unpaid/2026-05-04T10"}, "mails": {"N": "300"}});
        let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
        let aws = Aws::says(400, &json!({"__type": kind, "message": "", "Item": full}));
        assert!(!Limits::new(aws.dynamodb(), "limits", 300).one_more_unpaid(at("2026-05-04T10:11:12Z")).await.unwrap());
    }
}
