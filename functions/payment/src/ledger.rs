//! The payments table.
//!
//! Called by the stage through [`Ledger`]. It refuses unconditional writes: each says which record it was decided for.

use crate::Ledger;
use aws_sdk_dynamodb::Client;
use domain::{
    OrderId,
    payment::{Change, Known, Payment as Record, Refused, State},
    uncollected::{UNCOLLECTED_AT, UNSETTLED, UNSETTLED_VALUE},
};
use lambda_kit::{
    Failure,
    dynamodb::{Created, DynamoDb, Table, Update, Updated, attribute, string},
};

/// The partition key.
pub const KEY: &str = "order_id";

/// The table, keyed by [`KEY`].
#[derive(Debug)]
pub struct Payments<D = Client>(pub Table<D>);

impl<D: DynamoDb> Ledger for Payments<D> {
    async fn get(&self, order_id: OrderId) -> Result<Option<State>, Failure> {
        let record: Option<Record> = self.0.get(&order_id.to_string()).await?;
        Ok(record.map(|record| record.state))
    }

    async fn put(&self, record: Record) -> Result<State, Failure> {
        Ok(match self.0.create(&record).await? {
            Created::New => record.state,
            Created::Exists(standing) => standing.state,
        })
    }

    async fn update(&self, order_id: OrderId, onto: &Known, change: &Change) -> Result<Option<State>, Failure> {
        let standing = match self.0.update::<Record>(&order_id.to_string(), update(onto, change)?).await? {
            Updated::Now(record) => Some(record),
            Updated::Refused(standing) => standing,
        };
        Ok(standing.map(|record| record.state))
    }
}

/// `change`, onto `onto` and nothing else. Attributes of earlier states stay, so that a captured record still tells of
/// its hold.
pub(crate) fn update(onto: &Known, change: &Change) -> Result<Update, Failure> {
    let condition = Update::new().if_equals("state", string(onto.name()));
    let condition = match onto.payment() {
        Some(payment) => condition.if_equals("payment", string(&payment.0)),
        None => condition,
    };
    // Two copies of a delivery are refused by the same try at times. It counts once: onto the refusals that it was decided for.
    let counted = |condition: Update, attribute: &str, refused: Refused| {
        let condition = match onto {
            Known::ClaimRefused(_, before) | Known::CaptureRefused(_, before) => {
                condition.if_equals(attribute, lambda_kit::dynamodb::attribute(before)?)
            }
            _ => condition.if_absent(attribute),
        };
        Ok(condition.set(attribute, lambda_kit::dynamodb::attribute(&refused)?))
    };
    match change.clone() {
        Change::Claimed { payment, .. } => condition.set_all(&State::Claimed { payment, confirm_refused: None }),
        Change::ConfirmRefused(refused) => counted(condition, "confirm_refused", refused),
        Change::CaptureRefused(refused) => counted(condition, "capture_refused", refused),
        Change::Authorized(hold) => condition.set_all(&State::Authorized(hold)),
        Change::Declined { code, at } => condition.set_all(&State::Declined { payment: None, code, declined_at: at }),
        Change::Voided { at } => condition.set_all(&State::Voided { voided_at: at }),
        Change::Closed { at } => condition.set_all(&State::Closed { closed_at: at }),
        // The hold is in the record already, and must stay as it is.
        Change::Captured { at } => Ok(condition.set("state", string("captured")).set("captured_at", attribute(&at)?)),
        Change::Uncollected { code, at } => {
            let marked = condition.set(UNSETTLED, string(UNSETTLED_VALUE)).set(UNCOLLECTED_AT, attribute(&at)?);
            Ok(marked.set("state", string("uncollected")).set("capture_code", string(code)))
        }
    }
}
