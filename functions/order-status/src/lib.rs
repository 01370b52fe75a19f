//! `order-status`: `GET /orders/{order_id}`.
//!
//! `main.rs` wires it behind the HTTP API. The read is strongly consistent, so that an order that was answered with 202 is
//! always found. It shows neither the customer nor the address: everyone who has the link may see the status, and nothing
//! else.

use domain::{
    EventType, Line, Money, Order, OrderId, Timestamp,
    event::CancelReason,
    tracking::{Fact, Status},
};
use lambda_kit::{
    Failure,
    dynamodb::DynamoDb,
    http::{Problem, Refused, Request, Response},
};
use serde::Serialize;

const ROUTES: &[(&str, &str, ())] = &[("GET", "/orders/{order_id}", ())];

/// The function's operations on orders.
pub trait Orders {
    /// The order as it is now, facts included.
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure>;
}

impl<D: DynamoDb> Orders for pipeline::orders::Orders<D> {
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        self.find(id).await
    }
}

/// The function.
#[derive(Debug)]
pub struct OrderStatus<O> {
    /// The orders.
    pub orders: O,
}

impl<O: Orders> OrderStatus<O> {
    /// Answers a request.
    ///
    /// # Errors
    /// The problem that the caller gets, or the failure that the operator reads.
    pub async fn handle(&self, request: &Request) -> Result<Response, Refused> {
        let (_, path) = request.route(ROUTES)?;
        // An id that is none names no order either: one answer for both, which also tells nobody how ids are made.
        let unknown = || Problem::of(404, "There is no such order.");
        let id: OrderId = path.first().and_then(|id| id.parse().ok()).ok_or_else(unknown)?;
        request.about_order(id);
        let order = self.orders.find(&id).await?.ok_or_else(unknown)?;
        Ok(Response::json(200, &View::of(&order))?)
    }
}

/// What the public sees of an order. Fields are chosen here one by one, so that a field added to the record stays inside.
#[derive(Debug, Serialize)]
struct View<'a> {
    order_id: OrderId,
    status: Status,
    total: Money,
    lines: &'a [Line],
    received_at: Timestamp,
    timeline: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tracking_number: Option<&'a str>,
}

/// One thing that happened.
#[derive(Debug, Serialize)]
struct Entry {
    event: &'static str,
    at: Timestamp,
    /// Why the order was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<CancelReason>,
    /// Set on a request to cancel that came too late.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    refused: bool,
}

impl<'a> View<'a> {
    fn of(order: &'a Order) -> Self {
        let status = order.facts.status();
        let mut facts = order.facts.clone();
        // Stored by intake, whether or not tracking has heard of it yet.
        facts.insert(EventType::OrderPlaced, Fact { at: order.received_at, reason: None, tracking_number: None });
        let entry = |(event, fact): (_, &Fact)| Entry { event, at: fact.at, reason: fact.reason, refused: false };
        let mut timeline: Vec<_> = facts.timeline().into_iter().map(entry).collect();
        if let Some(at) = order.cancel_requested_at {
            let refused = matches!(status, Status::Shipped | Status::Uncollected | Status::Completed);
            timeline.push(Entry { event: EventType::OrderCancelRequested.stem(), at, reason: None, refused });
            timeline.sort_by_key(|entry| entry.at);
        }
        Self {
            order_id: order.order_id,
            status,
            total: order.total,
            lines: &order.lines,
            received_at: order.received_at,
            timeline,
            tracking_number: order.facts.shipped.as_ref().and_then(|fact| fact.tracking_number.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests;
