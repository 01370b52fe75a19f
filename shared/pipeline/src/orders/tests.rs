//! Orders as items of the table, there and back.

use super::*;
use domain::{
    Currency, Line, Money, Personal,
    order::{Address, Customer},
    tracking::{Fact, Facts, Status},
};
use lambda_kit::Kind;
use serde_json::{Value, json};
use testkit::aws::{Aws, condition_failed, throttled};

fn orders(status: u16, answer: &Value) -> (Orders, Aws) {
    let aws = Aws::says(status, answer);
    (Orders::new(aws.dynamodb(), "orders"), aws)
}

/// The item of an order, as DynamoDB has it, with the order.
fn stored() -> (Order, Value) {
    let text = |text: &str| Personal(text.to_owned());
    let order = Order {
        order_id: ID.parse().unwrap(),
        received_at: "2026-05-04T10:11:12.345Z".parse().unwrap(),
        fingerprint: "f".into(),
        lines: vec![Line { sku: "MUG-BLUE".parse().unwrap(), quantity: 2, unit_price_minor: 1200 }],
        total: Money { amount_minor: 2400, currency: Currency::EUR },
        payment_method: "pm_card_visa".into(),
        customer: Customer { name: text("Ada Lovelace"), email: text("ada@example.com") },
        shipping_address: Address {
            line1: text("1 Main St"),
            line2: None,
            city: text("Berlin"),
            postal_code: text("10115"),
            country: "DE".into(),
        },
        cancel_requested_at: None,
        facts: Facts { placed: Some(Fact { at: NOW.parse().unwrap(), reason: None, tracking_number: None }), ..Facts::default() },
    };
    let s = |text: &str| json!({"S": text});
    let item = json!({
        "order_id": s(ID), "received_at": s("2026-05-04T10:11:12.345Z"), "fingerprint": s("f"),
        "lines": {"L": [{"M": {"sku": s("MUG-BLUE"), "quantity": {"N": "2"}, "unit_price_minor": {"N": "1200"}}}]},
        "total": {"M": {"amount_minor": {"N": "2400"}, "currency": s("EUR")}},
        "payment_method": s("pm_card_visa"),
        "customer": {"M": {"name": s("Ada Lovelace"), "email": s("ada@example.com")}},
        "shipping_address": {"M": {"line1": s("1 Main St"), "city": s("Berlin"), "postal_code": s("10115"), "country": s("DE")}},
        "order.placed": {"M": {"at": s(NOW)}}
    });
    (order, item)
}
const ID: &str = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";
const NOW: &str = "2026-05-04T11:00:00Z";

#[tokio::test]
async fn a_stored_order_is_found_by_one_consistent_read() {
    let (order, item) = stored();
    let (orders, aws) = orders(200, &json!({"Item": item}));
    assert_eq!(orders.find(&order.order_id).await.unwrap(), Some(order));
    assert_eq!(aws.asked(), [json!({"TableName": "orders", "Key": {"order_id": {"S": ID}}, "ConsistentRead": true})]);
}

#[tokio::test]
async fn facts_without_an_order_are_no_order() {
    let facts = json!({"order_id": {"S": ID}, "order.shipped": {"M": {"at": {"S": NOW}}}});
    let id = ID.parse().unwrap();
    assert_eq!(orders(200, &json!({})).0.find(&id).await.unwrap(), None);
    assert_eq!(orders(200, &json!({"Item": facts})).0.find(&id).await.unwrap(), None);
    let asked = orders(400, &condition_failed(Some(facts))).0.request_cancel(&id, NOW.parse().unwrap()).await;
    assert_eq!(asked.unwrap(), CancelAsked::NoSuchOrder);
}

#[tokio::test]
async fn an_order_that_cannot_be_read_is_a_bug_that_quotes_nothing() {
    let (order, mut item) = stored();
    item["total"] = json!({"S": "Ada Lovelace"});
    let failure = orders(200, &json!({"Item": item})).0.find(&order.order_id).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Bug);
    assert!(!failure.chain().contains("Ada"), "{}", failure.chain());
}

#[tokio::test]
async fn an_order_is_created_once_and_the_second_time_found() {
    let (order, item) = stored();
    let (fresh, aws) = orders(200, &json!({}));
    assert_eq!(fresh.create(&order).await.unwrap(), Created::New);
    let asked = aws.asked()[0].clone();
    assert_eq!((&asked["Item"], &asked["ConditionExpression"]), (&item, &json!("attribute_not_exists(#key)")));
    let (taken, _) = orders(400, &condition_failed(Some(item)));
    assert_eq!(taken.create(&order).await.unwrap(), Created::Exists(order));
}

#[tokio::test]
async fn a_wish_to_cancel_is_one_conditional_update() {
    let (order, mut item) = stored();
    item["cancel_requested_at"] = json!({"S": "2026-05-04T10:30:00Z"});
    let (noted, aws) = orders(200, &json!({"Attributes": item}));
    let since = noted.request_cancel(&order.order_id, NOW.parse().unwrap()).await.unwrap();
    assert_eq!(since, CancelAsked::Since("2026-05-04T10:30:00Z".parse().unwrap()), "the first wish stays");
    let asked = aws.asked()[0].clone();
    assert_eq!(asked["UpdateExpression"], "SET #n0 = if_not_exists(#n0, :v0)");
    assert_eq!(
        asked["ConditionExpression"],
        "attribute_exists(#n1) AND attribute_not_exists(#n2) AND attribute_not_exists(#n3) AND attribute_not_exists(#n4) AND attribute_not_exists(#n5)"
    );
    assert_eq!(
        (&asked["ExpressionAttributeNames"]["#n1"], &asked["ExpressionAttributeValues"][":v0"]),
        (&json!("received_at"), &json!({"S": NOW}))
    );
}

#[tokio::test]
async fn a_refused_wish_tells_too_late_from_unknown() {
    let (order, mut item) = stored();
    item["order.shipped"] = json!({"M": {"at": {"S": NOW}}});
    let ask = async |answer: Value| orders(400, &answer).0.request_cancel(&order.order_id, NOW.parse().unwrap()).await;
    assert_eq!(ask(condition_failed(Some(item))).await.unwrap(), CancelAsked::TooLate);
    assert_eq!(ask(condition_failed(None)).await.unwrap(), CancelAsked::NoSuchOrder);
    assert_eq!(ask(throttled()).await.unwrap_err().kind, Kind::Transient);
}

#[test]
fn every_fact_of_a_shipment_makes_cancelling_too_late() {
    for stem in SHIPPED {
        let facts: Facts = serde_json::from_value(json!({stem: {"at": NOW}})).unwrap();
        assert!(facts.status() >= Status::Shipped, "{stem}");
    }
}
