//! `customer-signup`: `POST /customers`.
//!
//! `main.rs` wires it behind the HTTP API. A sign-up that is answered with 202 is stored and announced; one that is answered
//! 503 is mended by sending it again. The customer's id follows from the address, so a retry needs no key of its own. It
//! refuses to say whether an address was known: a new one and a known one get the same answer, byte for byte, for the same
//! work.

pub mod shape;

use domain::{CloudEvent, Customer, CustomerId, Subject};
use lambda_kit::{
    Ambient, Failure,
    dynamodb::{Created, DynamoDb},
    http::{Faults, Problem, Refused, Request, Response},
    publish::Publisher,
    trace,
};
use serde::Serialize;
use shape::SignUp;

/// What the function may do with customers.
pub trait Customers {
    /// Writes a new customer, or returns the one that has its id: one conditional write.
    async fn create(&self, customer: &Customer) -> Result<Created<Customer>, Failure>;
}

impl<D: DynamoDb> Customers for pipeline::customers::Customers<D> {
    async fn create(&self, customer: &Customer) -> Result<Created<Customer>, Failure> {
        self.create(customer).await
    }
}

/// The function.
#[derive(Debug)]
pub struct CustomerSignup<C, P, A> {
    /// Where customers are kept.
    pub customers: C,
    /// Where they are announced.
    pub topic: P,
    /// Clock and dice.
    pub ambient: A,
}

const ROUTES: &[(&str, &str, ())] = &[("POST", "/customers", ())];

/// The sign-up cannot be accepted; `errors` says where.
pub const SIGNUP_INVALID: &str = "urn:order-pipeline:problem:signup-invalid";

impl<C: Customers, P: Publisher, A: Ambient> CustomerSignup<C, P, A> {
    /// Answers a request. An `Idempotency-Key`, which the API's other POST requires, is not looked at: the address is the key.
    ///
    /// # Errors
    /// The problem that the caller gets, or the failure that the operator reads.
    pub async fn handle(&self, request: &Request) -> Result<Response, Refused> {
        request.route(ROUTES)?;
        let SignUp { name, email, marketing_consent } = SignUp::parse(&request.json()?).map_err(invalid)?;
        let customer_id = CustomerId::from_email(&email);
        request.about_customer(customer_id);
        let new = Customer { customer_id, signed_up_at: self.ambient.now(), name, email, marketing_consent, unsubscribed_at: None };
        let stored = match self.customers.create(&new).await? {
            Created::New => new,
            // Who asks may be a stranger who knows the address: neither the name nor the consent in the request counts.
            Created::Exists(first) => first,
        };
        self.announce(request, &stored).await?;
        Ok(Response::json(202, &Accepted { customer_id, status: "accepted" })?)
    }

    /// Announces the customer as it was stored first, and each time somebody asks: the first time may have died before it
    /// did. The event and its id are the same, so that a consumer that has heard it does nothing.
    async fn announce(&self, request: &Request, stored: &Customer) -> Result<(), Failure> {
        let event = CloudEvent {
            source: "/customer-signup".to_owned(),
            subject: Subject::Customer(stored.customer_id),
            time: stored.signed_up_at,
            traceparent: Some(trace::child(Some(request.traceparent()), &self.ambient)),
            event: stored.signed_up().into(),
        };
        pipeline::publish(&self.topic, &event).await
    }
}

fn invalid(faults: Faults) -> Problem {
    Problem::typed(422, SIGNUP_INVALID, "The sign-up is invalid", "The places that are wrong are named in `errors`.").with_errors(faults)
}

/// The answer, which follows from the address alone. A time, or a field that only a new customer has, would tell the known
/// addresses from the others.
#[derive(Serialize)]
struct Accepted {
    customer_id: CustomerId,
    status: &'static str,
}

#[cfg(test)]
mod tests;
