//! `order-intake` with its tables and its topic in memory, and what must hold of its answer to any request.

use crate::{block_on, outside::Outside};
use domain::{Currency, Order, OrderId, Sku, Timestamp, money::AMOUNT_MINOR_MAX};
use lambda_kit::{
    Failure,
    dynamodb::Created,
    http::{PROBLEM_BYTES_MAX, Request, Response, answer},
};
use order_intake::{
    OrderIntake, Orders,
    catalogue::{Catalogue, Price},
};
use pipeline::orders::CancelAsked;
use serde_json::Value;
use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap, btree_map::Entry},
};

#[derive(Default)]
struct Shop {
    orders: RefCell<BTreeMap<OrderId, Order>>,
    outside: Outside,
}

/// Sends an event of API Gateway twice, as a client does that got no answer, and checks both answers.
pub fn check(event: &Value) {
    let shop = Shop::default();
    let first = shop.send(event);
    let orders = shop.orders.borrow().clone();
    let again = shop.send(event);
    assert_eq!(*shop.orders.borrow(), orders, "a retry changes nothing");
    assert_eq!((first.status(), first.body()), (again.status(), again.body()), "a retry has the same answer");
    assert_eq!(first.status() == 202, !orders.is_empty(), "accepted is stored, and nothing else is");
    let published = shop.outside.published.borrow();
    assert!(published.windows(2).all(|two| two[0].id() == two[1].id()) && published.is_empty() != (first.status() == 202));
    for order in orders.values() {
        let stored = serde_json::to_value(order).expect("a record is written as JSON");
        assert_eq!(serde_json::from_value::<Order>(stored).as_ref().ok(), Some(order), "what is stored can be read again");
    }
}

/// The answer to an event of API Gateway.
pub fn answer_to(event: &Value) -> Response {
    Shop::default().send(event)
}

impl Shop {
    fn send(&self, event: &Value) -> Response {
        let intake = OrderIntake { catalogue: self, orders: self, topic: &self.outside, ambient: &self.outside };
        let handler = async |request: &Request| intake.handle(request).await;
        let response = block_on(answer(event.clone(), Timestamp::MAX, &self.outside, &handler));
        let body: Value = serde_json::from_str(response.body()).expect("every answer is JSON");
        assert!(response.body().len() <= PROBLEM_BYTES_MAX, "an answer is short, whatever was sent");
        match response.status() {
            202 => assert_eq!((&body["status"], response.header("Location").is_some()), (&Value::from("received"), true)),
            // 500: only an event that is no HTTP API's; whatever a client can send is its own fault.
            status @ (400 | 404 | 405 | 413 | 415 | 422 | 500) => {
                assert_eq!((&body["status"], response.header("Content-Type")), (&status.into(), Some("application/problem+json")));
                let is_http = Request::from_event(event.clone(), &self.outside).is_some();
                assert!(status != 500 || !is_http, "an internal error: {body}");
            }
            other => panic!("nobody expects {other}: {body}"),
        }
        response
    }
}

impl Catalogue for &Shop {
    async fn prices(&self, skus: &[Sku]) -> Result<HashMap<Sku, Price>, Failure> {
        // So dear that a large order is more than can be charged.
        let price = Price { unit_price_minor: AMOUNT_MINOR_MAX / 2, currency: Currency::EUR };
        Ok(skus.iter().map(|sku| (sku.clone(), price)).collect())
    }
}

impl Orders for &Shop {
    async fn create(&self, order: &Order) -> Result<Created<Order>, Failure> {
        match self.orders.borrow_mut().entry(order.order_id) {
            Entry::Occupied(stored) => Ok(Created::Exists(stored.get().clone())),
            Entry::Vacant(place) => {
                place.insert(order.clone());
                Ok(Created::New)
            }
        }
    }
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        Ok(self.orders.borrow().get(id).cloned())
    }
    async fn request_cancel(&self, _: &OrderId, _: Timestamp) -> Result<CancelAsked, Failure> {
        Ok(CancelAsked::NoSuchOrder)
    }
}
