//! `customer-signup`: `POST /customers`.
//!
//! `main.rs` wires it behind the HTTP API. A sign-up that is answered with 202 is stored and published. After a 503 the client
//! sends it again; the customer's id follows from the address, so a retry needs no idempotency key.
//!
//! It does not reveal whether an address was known: a new and a known address get the same answer, byte for byte, for the
//! same work. A sign-up is not a consent to marketing mail: `welcome-email` asks the owner of the address to confirm.

pub mod shape;

use domain::{CloudEvent, Customer, CustomerId, Subject};
use lambda_kit::{
    Ambient, Failure,
    dynamodb::DynamoDb,
    http::{Faults, Problem, Refused, Request, Response},
    publish::Publisher,
    trace,
};
use serde::Serialize;
use shape::SignUp;

/// The function's operations on customers.
pub trait Customers {
    /// Writes a new customer, or of a known one when consent was asked for last, unless that was within a day; returns the
    /// customer as stored. One conditional write in each case.
    async fn sign_up(&self, new: &Customer) -> Result<Customer, Failure>;
}

impl<D: DynamoDb> Customers for pipeline::customers::Customers<D> {
    async fn sign_up(&self, new: &Customer) -> Result<Customer, Failure> {
        self.sign_up(new).await
    }
}

/// The function.
#[derive(Debug)]
pub struct CustomerSignup<C, P, A> {
    /// Where customers are kept.
    pub customers: C,
    /// Where they are announced.
    pub topic: P,
    /// Clock and randomness.
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
        let now = self.ambient.now();
        let new = Customer {
            customer_id,
            signed_up_at: now,
            name,
            email,
            // The sender of the request may be a stranger who knows the address: the yes in it is a question, and no consent.
            marketing_consent: false,
            asked_at_sign_up: marketing_consent,
            consent_asked_at: marketing_consent.then_some(now),
            double_opt_in_at: None,
            unsubscribed_at: None,
        };
        let stored = self.customers.sign_up(&new).await?;
        self.announce(request, &stored).await?;
        Ok(Response::json(202, &Accepted { customer_id, status: "accepted" })?)
    }

    /// Announces the customer as it was stored first, and each time somebody asks: the first time may have died before it
    /// did. The event and its id are the same, so that a consumer that has heard it does nothing. What was asked since is in the
    /// record, which `welcome-email` reads; each asking has a deduplication id of its own, because SNS would drop the second
    /// announcement within five minutes.
    async fn announce(&self, request: &Request, stored: &Customer) -> Result<(), Failure> {
        let event = CloudEvent {
            source: "/customer-signup".to_owned(),
            subject: Subject::Customer(stored.customer_id),
            time: stored.signed_up_at,
            traceparent: Some(trace::child(Some(request.traceparent()), &self.ambient)),
            event: stored.signed_up().into(),
        };
        match stored.consent_asked_at {
            Some(asked) => pipeline::publish_again(&self.topic, &event, format!("{}/{asked}", event.id())).await,
            None => pipeline::publish(&self.topic, &event).await,
        }
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
