//! The shipments table against a real engine, where `DYNAMODB_ENDPOINT_URL` names one.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use domain::{
    Event, OrderId, Timestamp,
    event::{CancelRequest, PaymentRef},
    shipping::{Fact, StoredFact},
};
use futures_util::future::join_all;
use shipping::shipments::{Shipments, ShipmentsTable};

const ORDER: &str = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";

/// A client of the engine and a table of its own, or nothing and a word why.
async fn scratch(test: &str) -> Option<(Client, String)> {
    let client = testkit::scratch::client()?;
    let table = testkit::scratch::table(&client, "shipments", test, "order_id").await.unwrap();
    Some((client, table))
}

fn order() -> OrderId {
    ORDER.parse().unwrap()
}
fn at(second: i64, fact: Fact) -> StoredFact {
    StoredFact { at: Timestamp::from_second(second).unwrap(), fact }
}
fn authorized() -> Fact {
    Fact::Authorized { payment: PaymentRef("pi_1".into()), capture_before: Timestamp::from_second(604_800).unwrap() }
}
fn reserved() -> Fact {
    Fact::Reserved { items: vec![domain::Item { sku: "MUG-BLUE".parse().unwrap(), quantity: 2 }] }
}

#[tokio::test]
async fn a_fact_is_appended_once_and_the_record_comes_back_either_way() {
    let Some((client, name)) = scratch("once").await else { return };
    let table = ShipmentsTable::new(client.clone(), &name);
    // No item, no list, no set: `NOT contains` of a missing attribute holds, and both are created.
    let first = table.append(&order(), at(1, authorized())).await.unwrap();
    assert_eq!((first.order_id, &first.facts), (order(), &vec![at(1, authorized())]), "ALL_NEW of the write");
    assert_eq!(table.append(&order(), at(2, authorized())).await.unwrap(), first, "ALL_OLD of the failed condition");
    let both = table.append(&order(), at(3, reserved())).await.unwrap();
    assert_eq!(both.facts, [at(1, authorized()), at(3, reserved())]);
    let (event, time) = both.decision().unwrap();
    assert!(matches!(event, Event::OrderShipped(_)) && time.as_second() == 3);

    let item = client.get_item().table_name(&name).key("order_id", AttributeValue::S(ORDER.into())).send().await.unwrap().item.unwrap();
    let mut kinds = item["kinds"].as_ss().unwrap().clone();
    kinds.sort();
    assert_eq!((kinds, item["facts"].as_l().unwrap().len()), (vec!["authorized".to_owned(), "reserved".to_owned()], 2));
    client.delete_table().table_name(name).send().await.unwrap();
}

#[tokio::test]
async fn fifty_writes_at_once_leave_each_kind_once_and_one_decision() {
    let Some((client, name)) = scratch("crowd").await else { return };
    let table = ShipmentsTable::new(client.clone(), &name);
    let facts = [authorized(), Fact::Declined, reserved(), Fact::Rejected, Fact::CancelRequested { reason: CancelRequest::TimedOut }];
    let order = order();
    let records = join_all((0..50).map(|n| table.append(&order, at(n, facts[n as usize % 5].clone())))).await;
    let last = records.iter().flatten().max_by_key(|record| record.facts.len()).unwrap();
    assert_eq!(last.facts.len(), 5);
    for record in records.iter().map(|record| record.as_ref().unwrap()) {
        assert_eq!(record.facts, last.facts[..record.facts.len()], "every answer is a prefix of the last");
        assert!(record.decision().is_none() || record.decision() == last.decision());
    }
    client.delete_table().table_name(name).send().await.unwrap();
}
