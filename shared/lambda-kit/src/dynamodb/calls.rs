//! The calls of DynamoDB that records are made of, and the SDK's client behind them.
//!
//! [`Table`](super::Table) makes them. It does not retry: after the SDK's last attempt, the next delivery of the message
//! tries again.

use super::{Fate, Item, Transacted, string};
use crate::{Failure, sdk::failure};
use aws_sdk_dynamodb::{
    Client,
    error::SdkError,
    operation::{put_item::PutItemError, transact_write_items::TransactWriteItemsError, update_item::UpdateItemError},
    types::{self, CancellationReason, ReturnValue, TransactWriteItem},
};

/// The calls that a table makes to DynamoDB: a trait, so that a simulated one can stand in under the very expressions that
/// are sent.
pub trait DynamoDb {
    /// GetItem, strongly consistent; `key` is the partition key's name and value.
    async fn get_item(&self, table: &str, key: (&str, &str)) -> Result<Option<Item>, Failure>;
    /// PutItem.
    async fn put_item(&self, put: types::Put) -> Result<Written, Failure>;
    /// UpdateItem.
    async fn update_item(&self, update: types::Update, returns: ReturnValue) -> Result<Written, Failure>;
    /// TransactWriteItems. A cancelled transaction is no failure but an answer.
    async fn transact_write_items(&self, actions: Vec<TransactWriteItem>) -> Result<Transacted, Failure>;
}

/// The outcome of a conditional write.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// Written; the new image, where it was asked for.
    Done(Option<Item>),
    /// The condition failed; the item as it is, where that was asked for and there is one.
    Refused(Option<Item>),
}

impl DynamoDb for Client {
    async fn get_item(&self, table: &str, (name, value): (&str, &str)) -> Result<Option<Item>, Failure> {
        let sent = self.get_item().table_name(table).key(name, string(value)).consistent_read(true).send().await;
        sent.map(|output| output.item).map_err(|error| failure("GetItem", error))
    }

    async fn put_item(&self, put: types::Put) -> Result<Written, Failure> {
        let call = self.put_item().table_name(put.table_name).set_item(Some(put.item));
        let call = call.set_condition_expression(put.condition_expression);
        let call = call.set_expression_attribute_names(put.expression_attribute_names);
        let call = call.set_expression_attribute_values(put.expression_attribute_values);
        match call.set_return_values_on_condition_check_failure(put.return_values_on_condition_check_failure).send().await {
            Ok(_) => Ok(Written::Done(None)),
            Err(SdkError::ServiceError(context)) if context.err().is_conditional_check_failed_exception() => match context.into_err() {
                PutItemError::ConditionalCheckFailedException(refused) => Ok(Written::Refused(refused.item)),
                other => Err(Failure::bug("Unexpected", other)),
            },
            Err(error) => Err(failure("PutItem", error)),
        }
    }

    async fn update_item(&self, update: types::Update, returns: ReturnValue) -> Result<Written, Failure> {
        let call = self.update_item().table_name(update.table_name).set_key(Some(update.key)).update_expression(update.update_expression);
        let call = call.set_condition_expression(update.condition_expression);
        let call = call.set_expression_attribute_names(update.expression_attribute_names);
        let call = call.set_expression_attribute_values(update.expression_attribute_values);
        let call = call.set_return_values_on_condition_check_failure(update.return_values_on_condition_check_failure);
        match call.return_values(returns).send().await {
            Ok(output) => Ok(Written::Done(output.attributes)),
            Err(SdkError::ServiceError(context)) if context.err().is_conditional_check_failed_exception() => match context.into_err() {
                UpdateItemError::ConditionalCheckFailedException(refused) => Ok(Written::Refused(refused.item)),
                other => Err(Failure::bug("Unexpected", other)),
            },
            Err(error) => Err(failure("UpdateItem", error)),
        }
    }

    async fn transact_write_items(&self, actions: Vec<TransactWriteItem>) -> Result<Transacted, Failure> {
        match self.transact_write_items().set_transact_items(Some(actions)).send().await {
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
}

fn fate(reason: CancellationReason) -> Fate {
    match reason.code.as_deref() {
        None | Some("None") => Fate::Fine,
        Some("ConditionalCheckFailed") => Fate::ConditionFailed(reason.item.filter(|item| !item.is_empty())),
        Some("TransactionConflict" | "ThrottlingError" | "ProvisionedThroughputExceeded") => Fate::Contended,
        Some(code) => Fate::Refused(code.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
