//! An order that is accepted.

use super::*;
use crate::catalogue::{Cached, CatalogueTable};
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::RuntimeComponents,
};
use lambda_kit::{Real, publish::SnsTopic};
use std::sync::{Arc, Mutex};

#[tokio::test]
async fn an_order_is_answered_with_202_location_and_total() {
    let world = World::new();
    let response = world.place(KEY, &order()).await;
    assert_eq!((response.status(), response.header("Content-Type")), (202, Some("application/json")));
    assert_eq!(response.header("Location"), Some("/orders/aef753cd-ba7e-587f-b823-e93918496790"));
    assert_eq!(response.header("Idempotency-Replayed"), None);
    assert_eq!(
        response.body(),
        r#"{"order_id":"aef753cd-ba7e-587f-b823-e93918496790","status":"received","total":{"amount_minor":6900,"currency":"EUR"},"lines":[{"sku":"MUG-BLUE","quantity":2,"unit_price_minor":1200},{"sku":"TEAPOT","quantity":1,"unit_price_minor":4500}],"received_at":"2026-05-04T10:11:12.345Z"}"#
    );
}

#[tokio::test]
async fn the_event_has_the_orders_id_and_stored_time() {
    let world = World::new();
    world.place(KEY, &order()).await;
    let stored = world.orders.borrow()[&ORDER.parse().unwrap()].clone();
    assert_eq!((stored.customer.name.0.as_str(), stored.shipping_address.city.0.as_str()), ("Ada Lovelace", "London"));
    assert_eq!(stored.shipping_address.line2.as_ref().unwrap().0, "c/o Babbage");
    let events = world.events();
    assert_eq!((events.len(), &events[0].event), (1, &Event::OrderPlaced(stored.placed())));
    assert_eq!((events[0].time, events[0].source.as_str()), (stored.received_at, "/order-intake"));
    let message = &world.published.borrow()[0];
    assert_eq!(
        (message.group_id.as_str(), message.deduplication_id.as_str()),
        (ORDER, "aef753cd-ba7e-587f-b823-e93918496790/order.placed.v1")
    );
    assert_eq!(message.attributes, [("type", "order.placed.v1".to_owned())]);
}

#[tokio::test]
async fn the_callers_trace_goes_on_in_the_event() {
    let world = World::new();
    let mut event = placing(KEY, &order());
    event["headers"]["traceparent"] = json!("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    world.send(event).await;
    let traceparent = world.events()[0].traceparent.clone().unwrap();
    assert_eq!(trace::trace_id(&traceparent), Some("0af7651916cd43dd8448eb211c80319c"));
}

#[tokio::test]
async fn two_callers_who_take_the_same_key_have_two_orders() {
    let world = World::new();
    for sub in ["u-1", "u-2"] {
        let mut event = placing(KEY, &order());
        event["requestContext"]["authorizer"] = json!({"jwt": {"claims": {"sub": sub}, "scopes": null}});
        let response = world.send(event).await;
        assert_eq!((response.status(), response.header("Idempotency-Replayed")), (202, None));
        assert_ne!(body(&response)["order_id"], ORDER);
    }
    assert_eq!(world.orders.borrow().len(), 2);
}

#[tokio::test]
async fn white_space_around_texts_is_dropped() {
    let world = World::new();
    assert_eq!(world.place(KEY, &with("/customer/name", json!("  Ada Lovelace\n"))).await.status(), 202);
    assert_eq!(world.orders.borrow()[&ORDER.parse().unwrap()].customer.name.0, "Ada Lovelace");
}

#[tokio::test]
async fn limits_are_inclusive() {
    let world = World::new();
    let skus = (0..50).map(|n| format!("SKU-{n}"));
    for sku in skus.clone() {
        world.prices.borrow_mut().insert(sku.parse().unwrap(), Price { unit_price_minor: 1, currency: Currency::EUR });
    }
    let lines: Vec<_> = skus.map(|sku| json!({"sku": sku, "quantity": shape::UNITS_MAX})).collect();
    let mut wanted = with("/lines", json!(lines));
    wanted["customer"]["name"] = json!("Zoë".repeat(33) + "!");
    wanted["shipping_address"]["postal_code"] = json!("1234567890123456");
    wanted["shipping_address"]["country"] = json!("IE");
    wanted["payment_method"] = json!(format!("pm_{}", "x".repeat(252)));
    let response = world.place(KEY, &wanted).await;
    assert_eq!(response.status(), 202, "{}", response.body());
    assert_eq!(body(&response)["total"]["amount_minor"], 50 * shape::UNITS_MAX);
}

/// AWS in so far as it says yes, and counts.
#[derive(Debug, Clone, Default)]
struct Aws(Arc<Mutex<Vec<String>>>);
impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").map(|target| target.split_once('.').unwrap().1.to_owned());
        let action = target.unwrap_or_else(|| {
            let form = String::from_utf8(request.body().bytes().unwrap().to_vec()).unwrap();
            form.split('&').find_map(|field| field.strip_prefix("Action=")).unwrap().to_owned()
        });
        let answer = match action.as_str() {
            "BatchGetItem" => json!({"Responses": {"catalogue": [
                {"sku": {"S": "MUG-BLUE"}, "unit_price_minor": {"N": "1200"}, "currency": {"S": "EUR"}},
                {"sku": {"S": "TEAPOT"}, "unit_price_minor": {"N": "4500"}, "currency": {"S": "EUR"}}
            ]}, "UnprocessedKeys": {}})
            .to_string(),
            "PutItem" => "{}".to_owned(),
            "PublishBatch" => {
                "<PublishBatchResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishBatchResult><Failed/><Successful>\
                <member><Id>0</Id><MessageId>m-1</MessageId></member></Successful></PublishBatchResult></PublishBatchResponse>"
                    .to_owned()
            }
            other => panic!("{other}"),
        };
        self.0.lock().unwrap().push(action);
        HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().unwrap(), answer.into())))
    }
}
impl HttpClient for Aws {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

#[tokio::test]
async fn an_order_costs_one_write_and_one_publish() {
    let aws = Aws::default();
    let credentials = || Credentials::new("test", "test", None, None, "test");
    let region = || Region::new("eu-central-1");
    let dynamodb = aws_sdk_dynamodb::Client::from_conf(
        aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(region())
            .credentials_provider(credentials())
            .http_client(aws.clone())
            .build(),
    );
    let sns = aws_sdk_sns::Client::from_conf(
        aws_sdk_sns::Config::builder()
            .behavior_version(aws_sdk_sns::config::BehaviorVersion::latest())
            .region(region())
            .credentials_provider(credentials())
            .http_client(aws.clone())
            .build(),
    );
    let intake = OrderIntake {
        catalogue: Cached::new(CatalogueTable::new(dynamodb.clone(), "catalogue", Real), Real),
        orders: pipeline::orders::Orders::new(dynamodb, "orders"),
        topic: SnsTopic::new(sns, "arn:aws:sns:eu-central-1:000000000000:order-events.fifo"),
        ambient: Real,
    };
    let handler = async |request: &Request| intake.handle(request).await;
    for expected in [&["BatchGetItem", "PutItem", "PublishBatch"][..], &["PutItem", "PublishBatch"]] {
        let response = answer(placing(KEY, &order()), Timestamp::MAX, &Real, &handler).await;
        assert_eq!(response.status(), 202, "{}", response.body());
        assert_eq!(std::mem::take(&mut *aws.0.lock().unwrap()), expected);
    }
}
