//! The payments that nobody has settled yet, and settling one: what people's functions do with the payments table.
//!
//! `dlq-inspector` counts them for its digest, `operator` lists and settles them; each declares a port with the verbs it
//! needs and implements it by these methods. It does not touch a record that is not uncollected.

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use domain::{
    OrderId,
    uncollected::{INDEX, Settlement, UNCOLLECTED_AT, UNSETTLED, UNSETTLED_VALUE, Uncollected},
};
use lambda_kit::{
    Failure,
    dynamodb::{Item, Table, Update, Updated, attribute, failure, record_of_many, string},
};
use serde::Deserialize;

/// The table's partition key.
pub const KEY: &str = "order_id";
const SETTLED_AT: &str = "settled_at";

/// The payments table, as people's functions see it.
#[derive(Debug, Clone)]
pub struct UncollectedPayments(Table<Client>);

/// Uncollected payments that are not settled yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unsettled {
    /// The oldest first.
    pub payments: Vec<Uncollected>,
    /// Whether these are all.
    pub complete: bool,
}

/// The stored payment of an order, for an operator who checks whether it was collected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CollectionState {
    /// Not collected, and nobody has settled it.
    Unsettled(Uncollected),
    /// Not collected, and settled before.
    Settled(Uncollected),
    /// Something else: the state's name.
    Other(String),
    /// There is no record.
    Missing,
}

/// The outcome of settling one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It is settled now.
    Now(Uncollected),
    /// Nothing was written, because of what stands there.
    Refused(CollectionState),
}

/// A record of the table, whatever its state.
#[derive(Deserialize)]
struct Row {
    state: String,
    #[serde(flatten)]
    uncollected: Option<Uncollected>,
}

impl Row {
    fn standing(self) -> Result<CollectionState, Failure> {
        match (self.state.as_str(), self.uncollected) {
            ("uncollected", Some(payment)) if payment.settlement.is_some() => Ok(CollectionState::Settled(payment)),
            ("uncollected", Some(payment)) => Ok(CollectionState::Unsettled(payment)),
            // Its values are not quoted: `record` does so neither.
            ("uncollected", None) => Err(Failure::bug("UnreadableRecord", "an uncollected payment cannot be read by this build")),
            _ => Ok(CollectionState::Other(self.state)),
        }
    }
}

impl UncollectedPayments {
    /// A handle on the payments table `name`.
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self(Table::new(client, name, KEY))
    }

    /// Up to `most` of what nobody has settled yet, the oldest first: as many Query calls as it has pages of a megabyte.
    ///
    /// The index is read eventually consistent, because there is no other way
    /// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html>): what was settled a moment ago may be listed
    /// once more.
    ///
    /// # Errors
    /// Transient where a call failed; a bug where a record cannot be read.
    pub async fn unsettled(&self, most: usize) -> Result<Unsettled, Failure> {
        let mut found = Unsettled::default();
        let mut start: Option<Item> = None;
        loop {
            // One more than is wanted: whether there are more is part of the answer.
            let limit = i32::try_from(most + 1 - found.payments.len()).unwrap_or(i32::MAX);
            let call = self.0.client().query().table_name(self.0.name()).index_name(INDEX).limit(limit);
            let call = call.key_condition_expression("#unsettled = :yes").expression_attribute_names("#unsettled", UNSETTLED);
            let call = call.expression_attribute_values(":yes", AttributeValue::S(UNSETTLED_VALUE.to_owned()));
            let page = call.set_exclusive_start_key(start).send().await.map_err(|error| failure("Query", error))?;
            for item in page.items.unwrap_or_default() {
                if found.payments.len() == most {
                    return Ok(found);
                }
                found.payments.push(record_of_many(item, KEY)?);
            }
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(Unsettled { complete: true, ..found });
            }
        }
    }

    /// The stored record; one strongly consistent read.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the record cannot be read.
    pub async fn find(&self, id: &OrderId) -> Result<CollectionState, Failure> {
        self.0.get::<Row>(&id.to_string()).await?.map_or(Ok(CollectionState::Missing), Row::standing)
    }

    /// Settles an uncollected payment that nobody has settled before; one conditional write, which also takes it out of the index.
    /// The first settlement stays: settling again changes nothing and shows who it was.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the record cannot be read.
    pub async fn settle(&self, id: &OrderId, settlement: &Settlement) -> Result<Settled, Failure> {
        let Settlement { settled_at, settled_by, settled_reason } = settlement;
        let update = Update::new().set(SETTLED_AT, attribute(settled_at)?).set("settled_by", string(settled_by));
        let update = update.set("settled_reason", string(settled_reason)).remove(UNSETTLED);
        let update = update.if_equals("state", string("uncollected")).if_exists(UNCOLLECTED_AT).if_absent(SETTLED_AT);
        match self.0.update::<Row>(&id.to_string(), update).await? {
            Updated::Now(row) => match row.standing()? {
                CollectionState::Settled(payment) => Ok(Settled::Now(payment)),
                other => Ok(Settled::Refused(other)),
            },
            Updated::Refused(None) => Ok(Settled::Refused(CollectionState::Missing)),
            Updated::Refused(Some(row)) => row.standing().map(Settled::Refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use testkit::aws::{Aws, condition_failed};

    const ID: &str = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";

    fn item(state: &str) -> Value {
        let s = |text: &str| json!({"S": text});
        json!({
            "order_id": s(ID), "state": s(state), "payment": s("pi_1"), "capture_before": s("2026-05-09T00:00:00Z"),
            "amount": {"M": {"amount_minor": {"N": "2400"}, "currency": s("EUR")}}, "authorized_at": s("2026-05-02T00:00:00Z"),
            "capture_code": s("expired"), "uncollected_at": s("2026-05-09T08:00:00Z"), "unsettled": s("yes")
        })
    }

    fn settled() -> Value {
        let mut item = item("uncollected");
        item.as_object_mut().unwrap().remove("unsettled");
        for (name, value) in [("settled_at", "2026-05-10T08:00:00Z"), ("settled_by", "ada"), ("settled_reason", "paid by transfer")] {
            item[name] = json!({"S": value});
        }
        item
    }

    fn settlement() -> Settlement {
        let settled_at = "2026-05-10T08:00:00Z".parse().unwrap();
        Settlement { settled_at, settled_by: "ada".into(), settled_reason: "paid by transfer".into() }
    }

    fn payments(aws: &Aws) -> UncollectedPayments {
        UncollectedPayments::new(aws.dynamodb(), "payments")
    }

    #[tokio::test]
    async fn settling_is_one_conditional_write_that_leaves_the_index() {
        let aws = Aws::says(200, &json!({"Attributes": settled()}));
        let Settled::Now(payment) = payments(&aws).settle(&ID.parse().unwrap(), &settlement()).await.unwrap() else { panic!() };
        assert_eq!(payment.settlement, Some(settlement()));
        let asked = aws.asked();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0]["UpdateExpression"], "SET #n0 = :v0, #n1 = :v1, #n2 = :v2 REMOVE #n3");
        assert_eq!(asked[0]["ConditionExpression"], "#n4 = :v3 AND attribute_exists(#n5) AND attribute_not_exists(#n0)");
        assert_eq!(asked[0]["ExpressionAttributeNames"]["#n3"], "unsettled");
        assert_eq!(asked[0]["ExpressionAttributeValues"][":v3"]["S"], "uncollected");
    }

    #[tokio::test]
    async fn settling_again_changes_nothing_and_names_who_settled() {
        let refused = async |old: Option<Value>| {
            let aws = Aws::says(400, &condition_failed(old));
            payments(&aws).settle(&ID.parse().unwrap(), &settlement()).await.unwrap()
        };
        let Settled::Refused(CollectionState::Settled(payment)) = refused(Some(settled())).await else { panic!() };
        assert_eq!(payment.settlement.map(|it| it.settled_by).as_deref(), Some("ada"));
        assert_eq!(refused(Some(item("captured"))).await, Settled::Refused(CollectionState::Other("captured".into())));
        assert_eq!(refused(None).await, Settled::Refused(CollectionState::Missing));
    }

    #[tokio::test]
    async fn the_list_of_unsettled_payments_is_complete_or_says_not() {
        let page = |count: usize, more: bool| {
            let mut page = json!({"Items": vec![item("uncollected"); count]});
            if more {
                page["LastEvaluatedKey"] = json!({"order_id": {"S": ID}});
            }
            (200, page)
        };
        let aws = Aws::says_all([page(2, true), page(1, false)]);
        let found = payments(&aws).unsettled(3).await.unwrap();
        assert_eq!((found.payments.len(), found.complete), (3, true));
        let asked = aws.asked();
        assert_eq!((&asked[0]["IndexName"], &asked[0]["Limit"], &asked[1]["Limit"]), (&json!("unsettled"), &json!(4), &json!(2)));
        assert_eq!(asked[1]["ExclusiveStartKey"]["order_id"]["S"], ID);
        let found = payments(&Aws::says_all([page(3, true)])).unsettled(2).await.unwrap();
        assert_eq!((found.payments.len(), found.complete), (2, false));
        // A page may be empty, and more may follow.
        let found = payments(&Aws::says_all([page(0, true), page(1, false)])).unsettled(2).await.unwrap();
        assert_eq!((found.payments.len(), found.complete), (1, true));
    }

    #[tokio::test]
    async fn a_record_is_found_in_whatever_state_it_is() {
        let find = async |answer: Value| payments(&Aws::says(200, &answer)).find(&ID.parse().unwrap()).await.unwrap();
        assert!(matches!(find(json!({"Item": item("uncollected")})).await, CollectionState::Unsettled(_)));
        assert!(matches!(find(json!({"Item": settled()})).await, CollectionState::Settled(_)));
        let voided = json!({"order_id": {"S": ID}, "state": {"S": "voided"}, "voided_at": {"S": "2026-05-09T08:00:00Z"}});
        assert_eq!(find(json!({"Item": voided})).await, CollectionState::Other("voided".into()));
        assert_eq!(find(json!({})).await, CollectionState::Missing);
    }
}
