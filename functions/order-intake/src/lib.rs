//! `order-intake`: `POST /orders` and `POST /orders/{order_id}/cancel`.
//!
//! `main.rs` wires it behind the HTTP API. An order that is answered with 202 is stored and published. An order that is refused
//! has changed nothing. After a 503 the client sends it again with the same key, which completes a half-done order. It refuses
//! to trust a price or an order id from a client: prices come from the catalogue, and the id follows from the idempotency key,
//! so that a retry is the same order without a second table.

pub mod catalogue;
pub mod shape;

use catalogue::Catalogue;
use domain::{
    CloudEvent, Event, IdempotencyKey, Line, Money, Order, OrderId, Subject, Timestamp,
    event::{CancelRequest, OrderCancelRequested},
    tracking::{Facts, Status},
};
use lambda_kit::{
    Ambient, Failure,
    dynamodb::{Created, DynamoDb},
    http::{Faults, Problem, Refused, Request, Response},
    publish::Publisher,
    trace,
};
use pipeline::orders::CancelAsked;
use serde::Serialize;
use shape::{Fingerprint, PlaceOrder};

/// The function's operations on orders.
pub trait Orders {
    /// Writes a new order, or returns the one that has its id: one conditional write.
    async fn create(&self, order: &Order) -> Result<Created<Order>, Failure>;
    /// The order as it is now.
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure>;
    /// Notes that the customer wants it cancelled: one conditional write.
    async fn request_cancel(&self, id: &OrderId, now: Timestamp) -> Result<CancelAsked, Failure>;
}

impl<D: DynamoDb> Orders for pipeline::orders::Orders<D> {
    async fn create(&self, order: &Order) -> Result<Created<Order>, Failure> {
        self.create(order).await
    }
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        self.find(id).await
    }
    async fn request_cancel(&self, id: &OrderId, now: Timestamp) -> Result<CancelAsked, Failure> {
        self.request_cancel(id, now).await
    }
}

/// The function.
#[derive(Debug)]
pub struct OrderIntake<C, O, P, A> {
    /// The products and prices.
    pub catalogue: C,
    /// Where orders are kept.
    pub orders: O,
    /// Where they are announced.
    pub topic: P,
    /// Clock and random numbers.
    pub ambient: A,
}

#[derive(Clone, Copy)]
enum Route {
    Place,
    Cancel,
}
const ROUTES: &[(&str, &str, Route)] = &[("POST", "/orders", Route::Place), ("POST", "/orders/{order_id}/cancel", Route::Cancel)];

impl<C: Catalogue, O: Orders, P: Publisher, A: Ambient> OrderIntake<C, O, P, A> {
    /// Answers a request.
    ///
    /// # Errors
    /// The problem that the caller gets, or the failure that the operator reads.
    pub async fn handle(&self, request: &Request) -> Result<Response, Refused> {
        match request.route(ROUTES)? {
            (Route::Place, _) => self.place(request).await,
            (Route::Cancel, path) => self.cancel(request, path.first().copied().unwrap_or_default()).await,
        }
    }

    async fn place(&self, request: &Request) -> Result<Response, Refused> {
        let order_id = OrderId::from_key(&idempotency_key(request)?, request.caller());
        request.about_order(order_id);
        let wanted = PlaceOrder::parse(&request.json()?).map_err(invalid)?;
        let fingerprint = wanted.fingerprint()?;
        let prices = self.catalogue.prices(&wanted.skus()).await?;
        let (lines, total) = match wanted.price(&prices) {
            Ok(priced) => priced,
            // The catalogue may have changed since: an order that was accepted stays accepted.
            Err(faults) => {
                let stored = self.orders.find(&order_id).await?.ok_or_else(|| invalid(faults))?;
                return self.repeat(request, &stored, &fingerprint).await;
            }
        };
        let order = Order {
            order_id,
            received_at: self.ambient.now(),
            fingerprint: fingerprint.clone().into_stored(),
            lines,
            total,
            payment_method: wanted.payment_method,
            customer: wanted.customer,
            shipping_address: wanted.shipping_address,
            cancel_requested_at: None,
            facts: Facts::default(),
        };
        match self.orders.create(&order).await? {
            Created::New => {
                self.announce(request, order_id, order.placed().into(), order.received_at).await?;
                Ok(accepted(&order)?)
            }
            Created::Exists(stored) => self.repeat(request, &stored, &fingerprint).await,
        }
    }

    /// Answers a request whose order is stored already: by an earlier try of the same client, or by one that is still
    /// under way.
    ///
    /// ```text
    /// one try                     the other, same key
    /// create: new
    ///                             create: exists, and no stage has answered yet
    /// publish (or crash, or 503)  publish: the same event under the same id
    /// 202                         202, replayed
    /// ```
    ///
    /// Neither waits for the other, and neither is refused for being in the other's way. Once a stage has answered, the
    /// event is known to have come through and is left alone.
    async fn repeat(&self, request: &Request, stored: &Order, fingerprint: &Fingerprint) -> Result<Response, Refused> {
        if !fingerprint.is(&stored.fingerprint) {
            let detail = "This Idempotency-Key was used for another order. Take a new key for a new order.";
            return Err(Problem::typed(422, KEY_REUSED, "Idempotency-Key is already used", detail).into());
        }
        if !stored.facts.any_stage_answered() {
            self.announce(request, stored.order_id, stored.placed().into(), stored.received_at).await?;
        }
        Ok(accepted(stored)?.with_header("Idempotency-Replayed", "true"))
    }

    /// Needs no idempotency key: asking twice is asking once. The body, if any, says nothing and is not read.
    async fn cancel(&self, request: &Request, order_id: &str) -> Result<Response, Refused> {
        let unknown = || Problem::of(404, "There is no such order.");
        let order_id: OrderId = order_id.parse().map_err(|_| unknown())?;
        request.about_order(order_id);
        match self.orders.request_cancel(&order_id, self.ambient.now()).await? {
            CancelAsked::Since(cancel_requested_at) => {
                let event = OrderCancelRequested { reason: CancelRequest::CustomerAsked };
                self.announce(request, order_id, event.into(), cancel_requested_at).await?;
                let asked = CancelAccepted { order_id, status: "cancel_requested", cancel_requested_at };
                Ok(Response::json(202, &asked)?.with_header("Location", location(order_id)))
            }
            CancelAsked::TooLate => {
                let detail = "The order has shipped and can no longer be cancelled.";
                Err(Problem::typed(409, ORDER_SHIPPED, "The order has shipped", detail).into())
            }
            CancelAsked::NoSuchOrder => Err(unknown().into()),
        }
    }

    async fn announce(&self, request: &Request, order_id: OrderId, event: Event, time: Timestamp) -> Result<(), Failure> {
        let event = CloudEvent {
            source: "/order-intake".to_owned(),
            subject: Subject::Order(order_id),
            time,
            traceparent: Some(trace::child(Some(request.traceparent()), &self.ambient)),
            event,
        };
        pipeline::publish(&self.topic, &event).await
    }
}

/// A request has no idempotency key that can be one.
pub const KEY_REQUIRED: &str = "urn:order-pipeline:problem:idempotency-key-required";
/// A key stands for another request already.
pub const KEY_REUSED: &str = "urn:order-pipeline:problem:idempotency-key-reused";
/// The order cannot be accepted; `errors` says where.
pub const ORDER_INVALID: &str = "urn:order-pipeline:problem:order-invalid";
/// The order can no longer be cancelled.
pub const ORDER_SHIPPED: &str = "urn:order-pipeline:problem:order-shipped";

/// API Gateway joins several values by commas, which no UUID contains. Around a value HTTP allows spaces and tabs, and nothing else
/// (<https://www.rfc-editor.org/rfc/rfc9110#section-5.5>).
fn idempotency_key(request: &Request) -> Result<IdempotencyKey, Problem> {
    let sent = request.header("idempotency-key");
    sent.and_then(|value| value.trim_matches([' ', '\t']).parse().ok()).ok_or_else(|| {
        let detail = "Send one Idempotency-Key header, a UUID of version 4 or 7: a new one for each order, the same one for each retry.";
        Problem::typed(400, KEY_REQUIRED, "Idempotency-Key is missing or invalid", detail)
    })
}

fn invalid(faults: Faults) -> Problem {
    Problem::typed(422, ORDER_INVALID, "The order is invalid", "The places that are wrong are named in `errors`.").with_errors(faults)
}

#[derive(Serialize)]
struct Accepted<'a> {
    order_id: OrderId,
    status: Status,
    total: Money,
    lines: &'a [Line],
    received_at: Timestamp,
}

#[derive(Serialize)]
struct CancelAccepted {
    order_id: OrderId,
    status: &'static str,
    cancel_requested_at: Timestamp,
}

/// The answer to an order, made of what is stored and never changes, and so the same for every retry. That includes the
/// status: it says what happened to the request, and `Location` what became of the order.
fn accepted(order: &Order) -> Result<Response, Failure> {
    let Order { order_id, total, lines, received_at, .. } = order;
    let body = Accepted { order_id: *order_id, status: Status::Received, total: *total, lines, received_at: *received_at };
    Ok(Response::json(202, &body)?.with_header("Location", location(*order_id)))
}

fn location(order_id: OrderId) -> String {
    format!("/orders/{order_id}")
}

#[cfg(test)]
mod tests;
