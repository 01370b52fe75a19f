//! What intake does, told as facts. The tables and the topic are in memory and behave like the real ones: conditional
//! writes with old images, and a pause inside every call, so that two requests can meet.

mod addresses;
mod amounts;
mod bad_input;
mod cancel;
mod catalogue;
mod happy_path;
mod private;
mod retries;

use super::*;
use crate::catalogue::Price;
use domain::{Currency, EventType, Sku, money::AMOUNT_MINOR_MAX, tracking::Fact};
use jiff::SignedDuration;
use lambda_kit::{http::answer, message::Outgoing, publish::PublishError};
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

pub const KEY: &str = "0190b5a8-3f61-7c51-9d2e-8f4f5a1b2c3d";
pub const OTHER_KEY: &str = "9f1b4c1e-7a0b-4d3c-8e2f-1a2b3c4d5e6f";
/// The order that `KEY` places.
pub const ORDER: &str = "aef753cd-ba7e-587f-b823-e93918496790";

/// Everything around intake.
#[derive(Default)]
pub struct World {
    pub prices: RefCell<HashMap<Sku, Price>>,
    pub orders: RefCell<HashMap<OrderId, Order>>,
    pub published: RefCell<Vec<Outgoing>>,
    /// Why the topic refuses, if it does.
    pub topic_refuses: Cell<Option<&'static str>>,
    /// Why the tables refuse, if they do.
    pub table_refuses: Cell<Option<&'static str>>,
    /// Calls by name, in their order.
    pub calls: RefCell<Vec<&'static str>>,
    pub elapsed_s: Cell<i64>,
    rng: Cell<u64>,
}

impl Ambient for World {
    fn now(&self) -> Timestamp {
        let start: Timestamp = "2026-05-04T10:11:12.345Z".parse().unwrap();
        start.checked_add(SignedDuration::from_secs(self.elapsed_s.get())).unwrap()
    }
    fn random(&self) -> u64 {
        self.rng.set(self.rng.get() + 1);
        self.rng.get()
    }
}

impl World {
    pub fn new() -> Self {
        let world = Self::default();
        for (sku, unit_price_minor, currency) in [
            ("MUG-BLUE", 1200, Currency::EUR),
            ("TEAPOT", 4500, Currency::EUR),
            ("POSTER-USD", 1500, Currency::USD),
            ("GOLD-BAR", AMOUNT_MINOR_MAX, Currency::EUR),
        ] {
            world.prices.borrow_mut().insert(sku.parse().unwrap(), Price { unit_price_minor, currency });
        }
        world
    }

    async fn called(&self, call: &'static str) -> Result<(), Failure> {
        self.calls.borrow_mut().push(call);
        tokio::task::yield_now().await;
        match self.table_refuses.get() {
            Some(code) if call != "Publish" => Err(Failure::transient(code, format!("{call} failed"))),
            _ => Ok(()),
        }
    }

    pub fn intake(&self) -> OrderIntake<&Self, &Self, &Self, &Self> {
        OrderIntake { catalogue: self, orders: self, topic: self, ambient: self }
    }

    /// What a stage reported about the order that `KEY` placed.
    pub fn reported(&self, event_type: EventType) {
        let mut orders = self.orders.borrow_mut();
        let order = orders.get_mut(&ORDER.parse().unwrap()).unwrap();
        order.facts.insert(event_type, Fact { at: self.now(), reason: None, tracking_number: None });
    }

    /// Answers an event of API Gateway through everything but the network.
    pub async fn send(&self, event: Value) -> Response {
        let intake = self.intake();
        answer(event, Timestamp::MAX, self, &async |request: &Request| intake.handle(request).await).await
    }
    pub async fn place(&self, key: &str, body: &Value) -> Response {
        self.send(placing(key, body)).await
    }
    pub async fn cancel(&self, order_id: &str) -> Response {
        let mut event = event("POST", &format!("/orders/{order_id}/cancel"));
        event["headers"] = json!({});
        self.send(event).await
    }

    /// The events that were published, as their consumers read them.
    pub fn events(&self) -> Vec<CloudEvent> {
        self.published.borrow().iter().map(|message| CloudEvent::parse(&message.body).unwrap()).collect()
    }
}

impl Catalogue for &World {
    async fn prices(&self, skus: &[Sku]) -> Result<HashMap<Sku, Price>, Failure> {
        self.called("BatchGetItem").await?;
        let prices = self.prices.borrow();
        Ok(skus.iter().filter_map(|sku| Some((sku.clone(), *prices.get(sku)?))).collect())
    }
}

impl Orders for &World {
    async fn create(&self, order: &Order) -> Result<Created<Order>, Failure> {
        self.called("PutItem").await?;
        let mut orders = self.orders.borrow_mut();
        if let Some(stored) = orders.get(&order.order_id) {
            return Ok(Created::Exists(stored.clone()));
        }
        orders.insert(order.order_id, order.clone());
        Ok(Created::New)
    }
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        self.called("GetItem").await?;
        Ok(self.orders.borrow().get(id).cloned())
    }
    async fn request_cancel(&self, id: &OrderId, now: Timestamp) -> Result<CancelAsked, Failure> {
        self.called("UpdateItem").await?;
        Ok(match self.orders.borrow_mut().get_mut(id) {
            None => CancelAsked::NoSuchOrder,
            Some(order) if order.facts.shipped.is_some() => CancelAsked::TooLate,
            Some(order) => CancelAsked::Since(*order.cancel_requested_at.get_or_insert(now)),
        })
    }
}

impl Publisher for &World {
    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), PublishError>> {
        self.called("Publish").await.unwrap();
        if let Some(code) = self.topic_refuses.get() {
            return batch.iter().map(|_| Err(PublishError { code: code.into(), message: "no".into() })).collect();
        }
        self.published.borrow_mut().extend_from_slice(batch);
        batch.iter().map(|_| Ok(())).collect()
    }
}

pub fn event(method: &str, path: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": format!("{method} {path}"), "rawPath": path, "rawQueryString": "",
        "headers": {"content-type": "application/json", "idempotency-key": KEY},
        "requestContext": {
            "accountId": "000000000000", "apiId": "api", "stage": "$default", "requestId": "req-1", "timeEpoch": 0,
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "curl"}
        },
        "isBase64Encoded": false
    })
}

pub fn placing(key: &str, body: &Value) -> Value {
    let mut event = event("POST", "/orders");
    event["headers"]["idempotency-key"] = json!(key);
    event["body"] = json!(body.to_string());
    event
}

pub fn order() -> Value {
    json!({
        "currency": "EUR",
        "customer": {"name": "Ada Lovelace", "email": "ada@example.com"},
        "shipping_address": {"line1": "12 St James's Square", "line2": "c/o Babbage", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB"},
        "lines": [{"sku": "MUG-BLUE", "quantity": 2}, {"sku": "TEAPOT", "quantity": 1}],
        "payment_method": "pm_card_visa"
    })
}

/// The good order with one place changed; the place is a plain JSON pointer, and is created where it is missing.
pub fn with(place: &str, value: Value) -> Value {
    let mut order = order();
    let (parent, name) = place.rsplit_once('/').unwrap();
    match order.pointer_mut(parent).unwrap() {
        Value::Object(members) => drop(members.insert(name.to_owned(), value)),
        Value::Array(elements) => match name.parse::<usize>().unwrap() {
            index if index < elements.len() => elements[index] = value,
            _ => elements.push(value),
        },
        other => panic!("{other}"),
    }
    order
}

pub fn without(place: &str) -> Value {
    let mut order = order();
    let (parent, name) = place.rsplit_once('/').unwrap();
    order.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    order
}

pub fn body(response: &Response) -> Value {
    serde_json::from_str(response.body()).unwrap()
}

/// The pointers of a problem, in its order.
pub fn pointers(response: &Response) -> Vec<String> {
    let body = body(response);
    body["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}
