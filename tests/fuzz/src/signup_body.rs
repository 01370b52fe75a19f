//! The body of `POST /customers`: `customer-signup` with its table and its topic in memory.

use crate::{
    block_on,
    outside::{Outside, with_body},
};
use customer_signup::{CustomerSignup, Customers};
use domain::{Customer, Timestamp, customer::NAME_CHARS_MAX};
use lambda_kit::{
    Failure,
    http::{PROBLEM_BYTES_MAX, Request, Response, answer},
};
use serde_json::Value;
use std::{cell::RefCell, sync::LazyLock};

static EVENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../events/customer-signup/sign-up.json")).expect("a sample is JSON"));

#[derive(Default)]
struct Shop {
    customers: RefCell<Vec<Customer>>,
    outside: Outside,
}

/// Any bytes as the body of a request.
pub fn signup_body(body: &[u8]) {
    let shop = Shop::default();
    let response = shop.send(body);
    let said: Value = serde_json::from_str(response.body()).expect("every answer is JSON");
    assert!(response.body().len() <= PROBLEM_BYTES_MAX, "an answer is short, whatever was sent");
    let (customers, published) = (shop.customers.borrow(), shop.outside.published.borrow());
    match response.status() {
        202 => assert_eq!((customers.len(), published.len(), &said["status"]), (1, 1, &Value::from("accepted"))),
        status @ (400 | 413 | 415 | 422) => {
            assert_eq!((customers.len(), published.len(), &said["status"]), (0, 0, &status.into()));
        }
        other => panic!("nobody expects {other}: {said}"),
    }
    for customer in customers.iter() {
        assert!(customer.consent().is_none(), "no form is a consent");
        assert!((1..=NAME_CHARS_MAX).contains(&customer.name.0.chars().count()) && !customer.name.0.chars().any(char::is_control));
    }
}

/// What `customer-signup` answers to this body.
pub fn answer_to_signup(body: &[u8]) -> Response {
    Shop::default().send(body)
}

impl Shop {
    fn send(&self, body: &[u8]) -> Response {
        let signup = CustomerSignup { customers: self, topic: &self.outside, ambient: &self.outside };
        let handler = async |request: &Request| signup.handle(request).await;
        block_on(answer(with_body(&EVENT, body), Timestamp::MAX, &self.outside, &handler))
    }
}

impl Customers for &Shop {
    async fn sign_up(&self, new: &Customer) -> Result<Customer, Failure> {
        self.customers.borrow_mut().push(new.clone());
        Ok(new.clone())
    }
}
