//! Records in DynamoDB, the "assume fresh" way.
//!
//! The happy path is one conditional write. Only when its condition fails does the stored record matter, and DynamoDB hands
//! it over with the failure, so that nothing is ever read before it is written. This module does not retry a lost race:
//! what to do with the record that won is the caller's decision.

mod calls;
mod update;

pub use crate::sdk::failure;
pub use calls::{DynamoDb, Written};
pub use update::Update;

use crate::{
    Failure,
    config::Env,
    warm_up::{Opening, WarmUpRequest},
};
use aws_sdk_dynamodb::{
    Client,
    types::{self, AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem},
};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::HashMap;

/// To be opened in init: the connection to DynamoDB, through `client`.
pub fn opening(client: &Client) -> Opening<'_> {
    // The table need not exist: no more of the call than its endpoint is sent.
    Opening::by_call("DynamoDB", client.get_item().table_name("none").customize().interceptor(WarmUpRequest).send())
}

/// The same as often as a function writes concurrently: a connection carries one call at a time.
pub fn openings(client: &Client, connections: usize) -> impl Iterator<Item = Opening<'_>> {
    std::iter::repeat_with(move || opening(client)).take(connections)
}

/// An item as the SDK has it.
pub type Item = HashMap<String, AttributeValue>;

/// A table with one string partition key.
#[derive(Debug, Clone)]
pub struct Table<D = Client> {
    client: D,
    name: String,
    key: &'static str,
}

/// The outcome of [`Table::create`].
#[derive(Debug, Clone, PartialEq)]
pub enum Created<T> {
    /// The record is new.
    New,
    /// There was one already: this.
    Exists(T),
}

/// The outcome of [`Table::update`].
#[derive(Debug, Clone, PartialEq)]
pub enum Updated<T> {
    /// Written; the record as it is now.
    Now(T),
    /// The condition failed; the record as it is, [`None`] where there is none.
    Refused(Option<T>),
}

/// The outcome of [`transact`].
#[derive(Debug, Clone, PartialEq)]
pub enum Transacted {
    /// All was written.
    Done,
    /// Nothing was written; the fate of each action, in their order.
    Cancelled(Vec<Fate>),
}

/// The reason that DynamoDB gives for one action of a cancelled transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// Nothing: it would have gone through.
    Fine,
    /// Its condition failed; the record as it is, where the action asked for it and there is one.
    ConditionFailed(Option<Item>),
    /// Somebody else was writing the item, or too much was written: the same transaction may well go through in a moment.
    /// The SDK does not retry it, because a cancelled transaction is an answer.
    Contended,
    /// DynamoDB will not do it, with its code.
    Refused(String),
}

impl Table {
    /// Reads the table's name from the variable `variable`; see [`Env`] for what becomes of a missing one.
    pub fn from_env(variable: &str, key: &'static str, env: &mut Env, client: &Client) -> Self {
        Self::new(client.clone(), env.required(variable), key)
    }
}

impl<D: DynamoDb> Table<D> {
    /// A handle on the table `name` with the partition key `key`.
    pub fn new(client: D, name: impl Into<String>, key: &'static str) -> Self {
        Self { client, name: name.into(), key }
    }
    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The client, for calls that this module does not make.
    pub fn client(&self) -> &D {
        &self.client
    }

    /// Reads a record as it is now: strongly consistent, because a stale answer would be acted on.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the record cannot be read.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Failure> {
        self.client.get_item(&self.name, (self.key, key)).await?.map(record).transpose()
    }

    /// Creates a record; one write. Where the key exists already, returns what is there and changes nothing.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where a record cannot be written or read.
    pub async fn create<T: Serialize + DeserializeOwned>(&self, new: &T) -> Result<Created<T>, Failure> {
        match self.client.put_item(self.put(new)?).await? {
            Written::Done(_) => Ok(Created::New),
            Written::Refused(Some(old)) => record(old).map(Created::Exists),
            Written::Refused(None) => Err(Failure::transient("LostRace", "the record that stood in the way was gone again")),
        }
    }

    /// Updates a record, or creates it, without looking at it; one write. For updates that carry no condition.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the update carried a condition after all, and it failed.
    pub async fn write(&self, key: &str, update: Update) -> Result<(), Failure> {
        match self.client.update_item(self.update_of(key, update)?, ReturnValue::None).await? {
            Written::Done(_) => Ok(()),
            Written::Refused(_) => Err(Failure::bug("Refused", "an update that looks at nothing carried a condition")),
        }
    }

    /// [`Table::create`] as an action of a transaction.
    ///
    /// # Errors
    /// A bug where the record cannot be written.
    pub fn creation(&self, new: &impl Serialize) -> Result<TransactWriteItem, Failure> {
        Ok(TransactWriteItem::builder().put(self.put(new)?).build())
    }

    /// [`Table::update`] as an action of a transaction. The record comes back where the condition fails, not where it holds.
    ///
    /// # Errors
    /// A bug where the update is empty.
    pub fn change(&self, key: &str, update: Update) -> Result<TransactWriteItem, Failure> {
        Ok(TransactWriteItem::builder().update(self.update_of(key, update)?).build())
    }

    /// The conditions of `condition` as an action of a transaction that changes nothing here: the others go through only if
    /// they hold. The record does not come back: the caller's condition names all that it needs to know of it.
    ///
    /// # Errors
    /// A bug where there is no condition, or a change beside it, which would be lost without a word.
    pub fn check(&self, key: &str, condition: Update) -> Result<TransactWriteItem, Failure> {
        let (expression, condition, names, values) = condition.into_parts();
        if !expression.is_empty() {
            return Err(Failure::bug("NotACheck", "a check of a transaction would change something"));
        }
        let check = types::ConditionCheck::builder().table_name(&self.name).key(self.key, string(key));
        let check = check.set_condition_expression(condition).set_expression_attribute_names(Some(names));
        let check = check.set_expression_attribute_values((!values.is_empty()).then_some(values));
        Ok(TransactWriteItem::builder().condition_check(check.build().map_err(unbuildable)?).build())
    }

    /// Updates a record, or creates it where no condition forbids it; one write.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the record cannot be read.
    pub async fn update<T: DeserializeOwned>(&self, key: &str, update: Update) -> Result<Updated<T>, Failure> {
        match self.client.update_item(self.update_of(key, update)?, ReturnValue::AllNew).await? {
            Written::Done(Some(new)) => record(new).map(Updated::Now),
            Written::Done(None) => Err(Failure::bug("NoImage", "UpdateItem returned no image")),
            Written::Refused(old) => old.map(record).transpose().map(Updated::Refused),
        }
    }

    fn put(&self, new: &impl Serialize) -> Result<types::Put, Failure> {
        let put = types::Put::builder().table_name(&self.name).set_item(Some(item(new)?));
        let put = put.condition_expression("attribute_not_exists(#key)").expression_attribute_names("#key", self.key);
        put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld).build().map_err(unbuildable)
    }

    fn update_of(&self, key: &str, update: Update) -> Result<types::Update, Failure> {
        let (expression, condition, names, values) = update.into_parts();
        let update = types::Update::builder().table_name(&self.name).key(self.key, string(key));
        let update = update.update_expression(expression).set_condition_expression(condition);
        let update = update.set_expression_attribute_names(Some(names));
        let update = update.set_expression_attribute_values((!values.is_empty()).then_some(values));
        update.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld).build().map_err(unbuildable)
    }
}

/// Most actions in one transaction (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>).
pub const TRANSACTION_ACTIONS_MAX: usize = 100;

/// Does all of `actions`, or none; no two may touch the same item.
///
/// Each call carries a `ClientRequestToken` that the SDK makes up for it, so that a retry by the SDK after a lost answer
/// succeeds once. It takes no token from the caller: one that outlives the call reports, for ten minutes, a success
/// that may since have been undone, or refuses a redelivery whose time stamps differ.
///
/// # Errors
/// Transient where the call failed. A cancelled transaction is no failure but an answer.
pub async fn transact(client: &impl DynamoDb, actions: Vec<TransactWriteItem>) -> Result<Transacted, Failure> {
    client.transact_write_items(actions).await
}

/// A string attribute.
pub fn string(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// A number attribute.
pub fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

/// A record as an item.
///
/// # Errors
/// A bug: the type does not serialize to a map of attributes.
pub fn item(record: &impl Serialize) -> Result<Item, Failure> {
    serde_dynamo::aws_sdk_dynamodb_1::to_item(record)
        .map_err(|error| Failure::bug("UnwritableRecord", "a record cannot be written").caused_by(error))
}

/// A value as an attribute.
///
/// # Errors
/// A bug: the value has no form in DynamoDB.
pub fn attribute(value: &impl Serialize) -> Result<AttributeValue, Failure> {
    serde_dynamo::aws_sdk_dynamodb_1::to_attribute_value(value)
        .map_err(|error| Failure::bug("UnwritableRecord", "a value cannot be written").caused_by(error))
}

/// An item as a record.
///
/// # Errors
/// A bug: a stored record that this build cannot read waits until somebody has looked; its values are not quoted.
pub fn record<T: DeserializeOwned>(item: Item) -> Result<T, Failure> {
    // The error itself quotes values, and a record may hold a name or an address.
    serde_dynamo::aws_sdk_dynamodb_1::from_item(item).map_err(|_| {
        let wanted = std::any::type_name::<T>();
        Failure::bug("UnreadableRecord", format_args!("a stored record cannot be read by this build as {wanted}"))
    })
}

/// The same of one of several items that one call returns. Its key, which has to be an id and nothing personal, is named in the failure:
/// the caller asked for many, and so cannot say which of them a person has to look at.
///
/// # Errors
/// As [`record`].
pub fn record_of_many<T: DeserializeOwned>(item: Item, key: &str) -> Result<T, Failure> {
    let id = item.get(key).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default();
    record(item).map_err(|mut failure| {
        failure.message.push_str(&format!(": {key} {id}"));
        failure
    })
}

fn unbuildable(error: aws_sdk_dynamodb::error::BuildError) -> Failure {
    Failure::bug("InvalidRequest", "an action of a transaction lacks a part").caused_by(error)
}
