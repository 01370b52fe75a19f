//! Prices are remembered for a while, and asked for until all are there.

use super::*;
use crate::catalogue::{CALLS_MAX, Cached, CatalogueTable, PRICE_TTL_S, PRICES_MAX};
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::RuntimeComponents,
};
use lambda_kit::Kind;
use std::sync::{Arc, Mutex};

fn sku(text: &str) -> Sku {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_price_is_read_once_and_again_when_it_may_have_changed() {
    let world = World::new();
    let cached = Cached::new(&world, &world);
    let ask = async || cached.prices(&[sku("MUG-BLUE")]).await.unwrap()[&sku("MUG-BLUE")].unit_price_minor;
    assert_eq!(ask().await, 1200);
    world.prices.borrow_mut().insert(sku("MUG-BLUE"), Price { unit_price_minor: 1300, currency: Currency::EUR });
    world.elapsed_s.set(PRICE_TTL_S - 1);
    assert_eq!((ask().await, world.calls.borrow().len()), (1200, 1));
    world.elapsed_s.set(PRICE_TTL_S);
    assert_eq!((ask().await, world.calls.borrow().len()), (1300, 2));
}

#[tokio::test]
async fn known_prices_are_remembered_and_unknown_ones_read_again() {
    let world = World::new();
    let cached = Cached::new(&world, &world);
    cached.prices(&[sku("MUG-BLUE")]).await.unwrap();
    for calls in [2, 3] {
        let prices = cached.prices(&[sku("MUG-BLUE"), sku("NEW")]).await.unwrap();
        assert_eq!((prices.len(), world.calls.borrow().len()), (1, calls));
    }
    world.prices.borrow_mut().insert(sku("NEW"), Price { unit_price_minor: 1, currency: Currency::EUR });
    assert_eq!(cached.prices(&[sku("NEW")]).await.unwrap().len(), 1, "what is added sells at once");
}

#[tokio::test]
async fn the_memory_for_prices_is_bounded() {
    let world = World::new();
    let cached = Cached::new(&world, &world);
    for n in 0..PRICES_MAX + 10 {
        let sku = sku(&format!("S{n}"));
        world.prices.borrow_mut().insert(sku.clone(), Price { unit_price_minor: 1, currency: Currency::EUR });
        cached.prices(&[sku]).await.unwrap();
    }
    world.calls.borrow_mut().clear();
    cached.prices(&[sku("S0")]).await.unwrap();
    assert_eq!(world.calls.borrow().len(), 1, "the first ones were forgotten");
    cached.prices(&[sku(&format!("S{}", PRICES_MAX + 9))]).await.unwrap();
    assert_eq!(world.calls.borrow().len(), 1, "the last ones were not");
}

/// DynamoDB in so far as it answers one key at a time and leaves the others out.
#[derive(Debug, Clone, Default)]
struct Stingy {
    gives: bool,
    /// Instead of a number.
    price: Option<Value>,
    asked: Arc<Mutex<Vec<Value>>>,
}
impl HttpConnector for Stingy {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let asked: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let mut table = asked["RequestItems"]["catalogue"].clone();
        self.asked.lock().unwrap().push(table.clone());
        let keys = table["Keys"].as_array_mut().unwrap();
        let mut given = Vec::new();
        if self.gives {
            let mut item = keys.remove(0);
            item["unit_price_minor"] = self.price.clone().unwrap_or_else(|| json!({"N": "1200"}));
            item["currency"] = json!({"S": "EUR"});
            given.push(item);
        }
        let left_out = if keys.is_empty() { json!({}) } else { json!({"catalogue": table}) };
        let answer = json!({"Responses": {"catalogue": given}, "UnprocessedKeys": left_out}).to_string();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().unwrap(), answer.into())))
    }
}
impl HttpClient for Stingy {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

fn table<'a>(stub: &Stingy, world: &'a World) -> CatalogueTable<&'a World> {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .http_client(stub.clone())
        .build();
    CatalogueTable::new(aws_sdk_dynamodb::Client::from_conf(config), "catalogue", world)
}

#[tokio::test(start_paused = true)]
async fn keys_that_dynamodb_leaves_out_are_asked_for_again() {
    let (world, stub) = (World::new(), Stingy { gives: true, ..Stingy::default() });
    let prices = table(&stub, &world).prices(&[sku("A"), sku("B"), sku("C")]).await.unwrap();
    assert_eq!(prices.len(), 3);
    let asked = stub.asked.lock().unwrap();
    let keys: Vec<_> = asked.iter().map(|table| table["Keys"].as_array().unwrap().len()).collect();
    assert_eq!(keys, [3, 2, 1]);
    assert_eq!(asked[0]["ProjectionExpression"], "#s, #p, #c");
    assert_eq!(asked[1]["ProjectionExpression"], asked[0]["ProjectionExpression"]);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_names_its_sku() {
    let (world, stub) = (World::new(), Stingy { gives: true, price: Some(json!({"S": "12 EUR"})), ..Stingy::default() });
    let failure = table(&stub, &world).prices(&[sku("MUG-BLUE"), sku("TEAPOT")]).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Bug, "UnreadableRecord"));
    assert!(failure.message.ends_with("sku MUG-BLUE") && !failure.message.contains("12 EUR"), "{}", failure.message);
}

#[tokio::test(start_paused = true)]
async fn but_not_for_ever() {
    let (world, stub) = (World::new(), Stingy::default());
    let began = tokio::time::Instant::now();
    let failure = table(&stub, &world).prices(&[sku("A")]).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Transient, "UnprocessedKeys"));
    assert_eq!(stub.asked.lock().unwrap().len(), CALLS_MAX as usize);
    assert!(began.elapsed().as_millis() <= 330);
}
