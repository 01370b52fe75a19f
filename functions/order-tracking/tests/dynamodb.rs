//! The orders table against a real engine, where `DYNAMODB_ENDPOINT_URL` names one.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use domain::{
    Currency, EventType, Money, Order, OrderId, Personal, Timestamp,
    event::CancelReason,
    order::{Address, Customer},
    tracking::{Fact, Facts},
};
use lambda_kit::dynamodb::{Created, Table};
use order_tracking::timelines::{OrdersTable, Timelines};

const ORDER: &str = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";

/// A client of the engine and a table of its own, or nothing and a word why.
async fn scratch(test: &str) -> Option<(Client, String)> {
    let client = testkit::scratch::client()?;
    let table = testkit::scratch::table(&client, "orders", test, "order_id").await.unwrap();
    Some((client, table))
}

fn order_id() -> OrderId {
    ORDER.parse().unwrap()
}
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}
fn fact(second: i64) -> Fact {
    Fact { at: at(second), reason: None, tracking_number: None }
}

#[tokio::test]
async fn the_first_fact_of_a_type_stays_beside_the_order() {
    let Some((client, name)) = scratch("join").await else { return };
    let text = || Personal("text".to_owned());
    let order = Order {
        order_id: order_id(),
        received_at: at(1),
        fingerprint: "f".into(),
        lines: vec![],
        total: Money { amount_minor: 1, currency: Currency::EUR },
        payment_method: "pm_card_visa".into(),
        customer: Customer { name: text(), email: text() },
        shipping_address: Address { line1: text(), line2: None, city: text(), postal_code: text(), country: "DE".into() },
        cancel_requested_at: None,
        facts: Facts::default(),
    };
    let table = Table::new(client.clone(), &name, "order_id");
    assert_eq!(table.create(&order).await.unwrap(), Created::New);

    let orders = OrdersTable::new(client.clone(), &name);
    let cancelled = Fact { reason: Some(CancelReason::TimedOut), ..fact(5) };
    orders.note(&order_id(), EventType::OrderCancelled, cancelled.clone()).await.unwrap();
    orders.note(&order_id(), EventType::PaymentVoided, fact(6)).await.unwrap();
    orders.note(&order_id(), EventType::PaymentVoided, fact(7)).await.unwrap();

    let facts = Facts { cancelled: Some(cancelled), voided: Some(fact(6)), ..Facts::default() };
    assert_eq!(table.get::<Order>(ORDER).await.unwrap(), Some(Order { facts, ..order }));
    let item = client.get_item().table_name(&name).key("order_id", AttributeValue::S(ORDER.into())).send().await.unwrap().item.unwrap();
    assert!(item.contains_key("order.cancelled"), "an attribute with a dot in its name, not a map `order`: {:?}", item.keys());
    client.delete_table().table_name(name).send().await.unwrap();
}

#[tokio::test]
async fn a_fact_about_no_order_leaves_an_item_that_is_no_order() {
    let Some((client, name)) = scratch("stray").await else { return };
    OrdersTable::new(client.clone(), &name).note(&order_id(), EventType::PaymentVoided, fact(6)).await.unwrap();
    let item = client.get_item().table_name(&name).key("order_id", AttributeValue::S(ORDER.into())).send().await.unwrap().item.unwrap();
    let mut attributes: Vec<_> = item.keys().map(String::as_str).collect();
    attributes.sort_unstable();
    assert_eq!(attributes, ["order_id", "payment.voided"]);
    client.delete_table().table_name(name).send().await.unwrap();
}
