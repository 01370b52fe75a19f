//! Records in DynamoDB, the "assume fresh" way.
//!
//! The happy path is one conditional write. Only when its condition fails does the stored record matter, and DynamoDB
//! hands it over with the failure, so that nothing is ever read before it is written. This module refuses to retry a
//! lost race: what to do with the record that won is the caller's decision.

use crate::{Failure, config::Env};
use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{put_item::PutItemError, transact_write_items::TransactWriteItemsError, update_item::UpdateItemError},
    types::{self, AttributeValue, CancellationReason, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem},
};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::HashMap;

/// An item as the SDK has it.
pub type Item = HashMap<String, AttributeValue>;

/// A table with one string partition key.
#[derive(Debug, Clone)]
pub struct Table {
    client: Client,
    name: String,
    key: &'static str,
}

/// What became of [`Table::create`].
#[derive(Debug, Clone, PartialEq)]
pub enum Created<T> {
    /// The record is new.
    New,
    /// There was one already: this.
    Exists(T),
}

/// What became of [`Table::update`].
#[derive(Debug, Clone, PartialEq)]
pub enum Updated<T> {
    /// Written; the record as it is now.
    Now(T),
    /// The condition failed; the record as it is, [`None`] where there is none.
    Refused(Option<T>),
}

/// What became of [`transact`].
#[derive(Debug, Clone, PartialEq)]
pub enum Transacted {
    /// All was written.
    Done,
    /// Nothing was written; the fate of each action, in their order.
    Cancelled(Vec<Fate>),
}

/// What one action of a cancelled transaction had to do with it.
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

/// An update expression under construction: every name and value is a placeholder, so reserved words and dots are safe.
#[derive(Debug, Clone, Default)]
pub struct Update {
    set: Vec<String>,
    add: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

impl Update {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }
    fn name(&mut self, attribute: &str) -> String {
        let placeholder = format!("#n{}", self.names.len());
        if let Some((known, _)) = self.names.iter().find(|(_, name)| *name == attribute) {
            return known.clone();
        }
        self.names.insert(placeholder.clone(), attribute.to_owned());
        placeholder
    }
    fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }
    /// `SET attribute = value`.
    #[must_use]
    pub fn set(mut self, attribute: &str, value: AttributeValue) -> Self {
        let clause = format!("{} = {}", self.name(attribute), self.value(value));
        self.set.push(clause);
        self
    }
    /// `SET` for every attribute of `record`, which must serialize to a map.
    ///
    /// # Errors
    /// A bug, if `record` does not serialize to a map.
    pub fn set_all(self, record: &impl Serialize) -> Result<Self, Failure> {
        let mut attributes: Vec<_> = item(record)?.into_iter().collect();
        attributes.sort_by(|(a, _), (b, _)| a.cmp(b)); // the same change is the same request
        Ok(attributes.into_iter().fold(self, |update, (attribute, value)| update.set(&attribute, value)))
    }
    /// `SET attribute = if_not_exists(attribute, value)`: the first value stays.
    #[must_use]
    pub fn set_once(mut self, attribute: &str, value: AttributeValue) -> Self {
        let name = self.name(attribute);
        let clause = format!("{name} = if_not_exists({name}, {})", self.value(value));
        self.set.push(clause);
        self
    }
    /// Appends `value` to a list, which is created where it is missing.
    #[must_use]
    pub fn append(mut self, attribute: &str, value: AttributeValue) -> Self {
        let name = self.name(attribute);
        let (empty, one) = (self.value(AttributeValue::L(vec![])), self.value(AttributeValue::L(vec![value])));
        self.set.push(format!("{name} = list_append(if_not_exists({name}, {empty}), {one})"));
        self
    }
    /// Adds `member` to a string set, which is created where it is missing.
    #[must_use]
    pub fn add_to_set(mut self, attribute: &str, member: &str) -> Self {
        let clause = format!("{} {}", self.name(attribute), self.value(AttributeValue::Ss(vec![member.to_owned()])));
        self.add.push(clause);
        self
    }
    /// Adds `amount` to a number, which counts from 0 where it is missing.
    #[must_use]
    pub fn add(mut self, attribute: &str, amount: u64) -> Self {
        let clause = format!("{} {}", self.name(attribute), self.value(number(amount)));
        self.add.push(clause);
        self
    }
    /// Takes `amount` out of a number, only if there is so much.
    #[must_use]
    pub fn take(mut self, attribute: &str, amount: u64) -> Self {
        let (name, amount) = (self.name(attribute), self.value(number(amount)));
        self.set.push(format!("{name} = {name} - {amount}"));
        self.conditions.push(format!("{name} >= {amount}"));
        self
    }
    /// Only if `attribute` equals `value`.
    #[must_use]
    pub fn if_equals(mut self, attribute: &str, value: AttributeValue) -> Self {
        let clause = format!("{} = {}", self.name(attribute), self.value(value));
        self.conditions.push(clause);
        self
    }
    /// Only if there is such an attribute.
    #[must_use]
    pub fn if_exists(mut self, attribute: &str) -> Self {
        let clause = format!("attribute_exists({})", self.name(attribute));
        self.conditions.push(clause);
        self
    }
    /// Only if there is no such attribute.
    #[must_use]
    pub fn if_absent(mut self, attribute: &str) -> Self {
        let clause = format!("attribute_not_exists({})", self.name(attribute));
        self.conditions.push(clause);
        self
    }
    /// Only if there is no such attribute, or it equals `value`.
    #[must_use]
    pub fn if_absent_or_equals(mut self, attribute: &str, value: AttributeValue) -> Self {
        let name = self.name(attribute);
        let clause = format!("(attribute_not_exists({name}) OR {name} = {})", self.value(value));
        self.conditions.push(clause);
        self
    }
    /// Only if the string set `attribute` lacks `member`, or does not exist.
    #[must_use]
    pub fn if_set_lacks(mut self, attribute: &str, member: &str) -> Self {
        let clause = format!("NOT contains({}, {})", self.name(attribute), self.value(AttributeValue::S(member.to_owned())));
        self.conditions.push(clause);
        self
    }
    /// `UpdateExpression`, `ConditionExpression` (if any), names and values, for use in a transaction.
    pub fn into_parts(self) -> (String, Option<String>, HashMap<String, String>, HashMap<String, AttributeValue>) {
        let clause = |keyword: &str, parts: &[String]| (!parts.is_empty()).then(|| format!("{keyword} {}", parts.join(", ")));
        let expression: Vec<_> = [clause("SET", &self.set), clause("ADD", &self.add)].into_iter().flatten().collect();
        let condition = (!self.conditions.is_empty()).then(|| self.conditions.join(" AND "));
        (expression.join(" "), condition, self.names, self.values)
    }
}

impl Table {
    /// A handle on the table `name` with the partition key `key`.
    pub fn new(client: Client, name: impl Into<String>, key: &'static str) -> Self {
        Self { client, name: name.into(), key }
    }
    /// Reads the table's name from the variable `variable`; see [`Env`] for what becomes of a missing one.
    pub fn from_env(variable: &str, key: &'static str, env: &mut Env, client: &Client) -> Self {
        Self::new(client.clone(), env.required(variable), key)
    }
    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }
    /// The client, for calls that this module does not make.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Reads a record as it is now: strongly consistent, because a stale answer would be acted on.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the record cannot be read.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Failure> {
        let sent = self.client.get_item().table_name(&self.name).key(self.key, string(key)).consistent_read(true).send().await;
        match sent {
            Ok(output) => output.item.map(record).transpose(),
            Err(error) => Err(failure("GetItem", error)),
        }
    }

    /// Creates a record; one write. Where the key exists already, returns what is there and changes nothing.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where a record cannot be written or read.
    pub async fn create<T: Serialize + DeserializeOwned>(&self, new: &T) -> Result<Created<T>, Failure> {
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item(new)?));
        let put = put.condition_expression("attribute_not_exists(#key)").expression_attribute_names("#key", self.key);
        let sent = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld).send().await;
        match sent {
            Ok(_) => Ok(Created::New),
            Err(SdkError::ServiceError(context)) if context.err().is_conditional_check_failed_exception() => match context.into_err() {
                PutItemError::ConditionalCheckFailedException(refused) => match refused.item {
                    Some(old) => record(old).map(Created::Exists),
                    None => Err(Failure::transient("LostRace", "the record that stood in the way was gone again")),
                },
                other => Err(Failure::bug("Unexpected", other)),
            },
            Err(error) => Err(failure("PutItem", error)),
        }
    }

    /// Updates a record, or creates it, without looking at it; one write. For updates that carry no condition.
    ///
    /// # Errors
    /// Transient where the call failed.
    pub async fn write(&self, key: &str, update: Update) -> Result<(), Failure> {
        let (expression, condition, names, values) = update.into_parts();
        let call = self.client.update_item().table_name(&self.name).key(self.key, string(key));
        let call = call.update_expression(expression).set_condition_expression(condition);
        let call = call.set_expression_attribute_names(Some(names)).set_expression_attribute_values((!values.is_empty()).then_some(values));
        call.send().await.map(drop).map_err(|error| failure("UpdateItem", error))
    }

    /// [`Table::create`] as an action of a transaction.
    ///
    /// # Errors
    /// A bug where the record cannot be written.
    pub fn creation(&self, new: &impl Serialize) -> Result<TransactWriteItem, Failure> {
        let put = types::Put::builder().table_name(&self.name).set_item(Some(item(new)?));
        let put = put.condition_expression("attribute_not_exists(#key)").expression_attribute_names("#key", self.key);
        let put = put.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld).build().map_err(unbuildable)?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    /// [`Table::update`] as an action of a transaction. The record comes back where the condition fails, not where it holds.
    ///
    /// # Errors
    /// A bug where the update is empty.
    pub fn change(&self, key: &str, update: Update) -> Result<TransactWriteItem, Failure> {
        let (expression, condition, names, values) = update.into_parts();
        let call = types::Update::builder().table_name(&self.name).key(self.key, string(key));
        let call = call.update_expression(expression).set_condition_expression(condition);
        let call = call.set_expression_attribute_names(Some(names)).set_expression_attribute_values((!values.is_empty()).then_some(values));
        let call = call.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        Ok(TransactWriteItem::builder().update(call.build().map_err(unbuildable)?).build())
    }

    /// Updates a record, or creates it where no condition forbids it; one write.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the record cannot be read.
    pub async fn update<T: DeserializeOwned>(&self, key: &str, update: Update) -> Result<Updated<T>, Failure> {
        let (expression, condition, names, values) = update.into_parts();
        let call = self.client.update_item().table_name(&self.name).key(self.key, string(key));
        let call = call.update_expression(expression).set_condition_expression(condition);
        let call = call.set_expression_attribute_names(Some(names)).set_expression_attribute_values((!values.is_empty()).then_some(values));
        let call =
            call.return_values(ReturnValue::AllNew).return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match call.send().await {
            Ok(output) => output
                .attributes
                .map(record)
                .transpose()?
                .map(Updated::Now)
                .ok_or_else(|| Failure::bug("NoImage", "UpdateItem returned no image")),
            Err(SdkError::ServiceError(context)) if context.err().is_conditional_check_failed_exception() => match context.into_err() {
                UpdateItemError::ConditionalCheckFailedException(refused) => refused.item.map(record).transpose().map(Updated::Refused),
                other => Err(Failure::bug("Unexpected", other)),
            },
            Err(error) => Err(failure("UpdateItem", error)),
        }
    }
}

/// Most actions in one transaction (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>).
pub const TRANSACTION_ACTIONS_MAX: usize = 100;

/// Does all of `actions`, or none; no two may touch the same item.
///
/// Each call carries a `ClientRequestToken` that the SDK makes up for it, so that a retry by the SDK after a lost answer
/// succeeds once. It refuses to take a token from the caller: one that outlives the call reports, for ten minutes, a success
/// that may since have been undone, or refuses a redelivery whose time stamps differ.
///
/// # Errors
/// Transient where the call failed. A cancelled transaction is no failure but an answer.
pub async fn transact(client: &Client, actions: Vec<TransactWriteItem>) -> Result<Transacted, Failure> {
    match client.transact_write_items().set_transact_items(Some(actions)).send().await {
        Ok(_) => Ok(Transacted::Done),
        Err(SdkError::ServiceError(context)) if context.err().is_transaction_canceled_exception() => match context.into_err() {
            TransactWriteItemsError::TransactionCanceledException(cancelled) => {
                Ok(Transacted::Cancelled(cancelled.cancellation_reasons.unwrap_or_default().into_iter().map(fate).collect()))
            }
            other => Err(Failure::bug("Unexpected", other)),
        },
        Err(error) => Err(failure("TransactWriteItems", error)),
    }
}

fn fate(reason: CancellationReason) -> Fate {
    match reason.code.as_deref() {
        None | Some("None") => Fate::Fine,
        Some("ConditionalCheckFailed") => Fate::ConditionFailed(reason.item.filter(|item| !item.is_empty())),
        Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded") => Fate::Contended,
        Some(code) => Fate::Refused(code.to_owned()),
    }
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

fn unbuildable(error: aws_sdk_dynamodb::error::BuildError) -> Failure {
    Failure::bug("InvalidRequest", "an action of a transaction lacks a part").caused_by(error)
}

/// What a failed call means for the message that made it.
pub fn failure<E>(operation: &str, error: SdkError<E>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let code = match &error {
        SdkError::ServiceError(context) => context.err().code().unwrap_or("ServiceError").to_owned(),
        SdkError::TimeoutError(_) => "Timeout".to_owned(),
        SdkError::DispatchFailure(_) => "NoConnection".to_owned(),
        SdkError::ConstructionFailure(_) => "InvalidRequest".to_owned(),
        _ => "NoResponse".to_owned(),
    };
    let message = format!("{operation} failed");
    match code.as_str() {
        // The request itself is wrong: sending it again sends the same mistake.
        "ValidationException" | "SerializationException" | "InvalidRequest" => Failure::bug(code, message).caused_by(error),
        _ => Failure::transient(code, message).caused_by(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_is_built_of_placeholders_alone() {
        let update = Update::new()
            .set("state", string("closed"))
            .set_once("order.placed", string("t"))
            .append("facts", string("f"))
            .add_to_set("kinds", "k")
            .if_equals("state", string("open"))
            .if_set_lacks("kinds", "k")
            .if_exists("a")
            .if_absent("b");
        let (expression, condition, names, values) = update.into_parts();
        assert_eq!(expression, "SET #n0 = :v0, #n1 = if_not_exists(#n1, :v1), #n2 = list_append(if_not_exists(#n2, :v2), :v3) ADD #n3 :v4");
        assert_eq!(condition.unwrap(), "#n0 = :v5 AND NOT contains(#n3, :v6) AND attribute_exists(#n4) AND attribute_not_exists(#n5)");
        assert_eq!((names["#n1"].as_str(), names.len(), values.len()), ("order.placed", 6, 7));
    }

    #[test]
    fn arithmetic_guards_itself_and_alternatives_stay_together() {
        let (expression, condition, ..) =
            Update::new().take("available", 2).if_absent_or_equals("state", string("open")).if_exists("a").into_parts();
        assert_eq!(expression, "SET #n0 = #n0 - :v0");
        assert_eq!(condition.unwrap(), "#n0 >= :v0 AND (attribute_not_exists(#n1) OR #n1 = :v1) AND attribute_exists(#n2)");
        let (expression, condition, ..) = Update::new().add("available", 2).into_parts();
        assert_eq!((expression.as_str(), condition), ("ADD #n0 :v0", None));
    }

    #[test]
    fn a_cancellation_reason_is_an_answer_a_moment_or_a_refusal() {
        let of = |code: &str| fate(CancellationReason::builder().code(code).build());
        assert_eq!(fate(CancellationReason::builder().build()), Fate::Fine);
        assert_eq!(of("None"), Fate::Fine);
        assert_eq!(of("ConditionalCheckFailed"), Fate::ConditionFailed(None));
        for busy in ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"] {
            assert_eq!(of(busy), Fate::Contended);
        }
        assert_eq!(of("ValidationError"), Fate::Refused("ValidationError".into()));
    }
}
