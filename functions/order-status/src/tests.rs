//! The response of `GET /orders/{order_id}`.

use super::*;
use lambda_kit::{Real, http::answer};
use serde_json::{Value, json};
use std::cell::Cell;

const ID: &str = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";

#[derive(Default)]
struct Table {
    order: Option<Order>,
    down: bool,
    reads: Cell<u32>,
}
impl Orders for Table {
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        self.reads.set(self.reads.get() + 1);
        if self.down {
            Err(Failure::transient("ThrottlingException", "GetItem failed"))
        } else {
            Ok(self.order.clone().filter(|order| order.order_id == *id))
        }
    }
}

fn at(second: u8) -> Timestamp {
    format!("2026-05-04T10:11:{second:02}.345Z").parse().unwrap()
}

fn order(facts: &[(EventType, u8)]) -> Order {
    let mut order = Order { received_at: at(0), ..testkit::order::order(ID) };
    for (event_type, second) in facts {
        let tracking_number = (*event_type == EventType::OrderShipped).then(|| "OP000000000001".to_owned());
        let reason = (*event_type == EventType::OrderCancelled).then_some(CancelReason::CustomerAsked);
        order.facts.insert(*event_type, Fact { at: at(*second), reason, tracking_number });
    }
    order
}

async fn asked(table: &Table, method: &str, path: &str) -> Response {
    let event = json!({
        "version": "2.0", "rawPath": path, "headers": {},
        "requestContext": {"stage": "$default", "requestId": "req-1", "timeEpoch": 0, "http": {"method": method, "path": path}},
        "isBase64Encoded": false
    });
    let function = OrderStatus { orders: table };
    answer(event, Timestamp::MAX, &Real, &async |request: &Request| function.handle(request).await).await
}
impl Orders for &Table {
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        (**self).find(id).await
    }
}

async fn shown(order: Order) -> Value {
    let table = Table { order: Some(order), ..Table::default() };
    let response = asked(&table, "GET", &format!("/orders/{ID}")).await;
    assert_eq!((response.status(), response.header("Cache-Control"), table.reads.get()), (200, Some("no-store"), 1));
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    for private in ["Ada", "f1ngerprint", "pm_card", "DE\""] {
        assert!(!response.body().contains(private), "{private} in {}", response.body());
    }
    serde_json::from_str(response.body()).unwrap()
}

#[tokio::test]
async fn a_new_order_is_there_before_tracking_has_heard_of_it() {
    assert_eq!(
        shown(order(&[])).await,
        json!({
            "order_id": ID, "status": "received", "total": {"amount_minor": 2400, "currency": "EUR"},
            "lines": [{"sku": "MUG-BLUE", "quantity": 2, "unit_price_minor": 1200}], "received_at": "2026-05-04T10:11:00.345Z",
            "timeline": [{"event": "order.placed", "at": "2026-05-04T10:11:00.345Z"}]
        })
    );
}

#[tokio::test]
async fn a_shipped_order_shows_its_timeline_in_order_and_its_tracking_number() {
    use EventType as T;
    let facts = [
        (T::InventoryCommitted, 5),
        (T::OrderShipped, 3),
        (T::OrderPlaced, 0),
        (T::PaymentCaptured, 4),
        (T::PaymentAuthorized, 2),
        (T::InventoryReserved, 1),
    ];
    let shown = shown(order(&facts)).await;
    assert_eq!((&shown["status"], &shown["tracking_number"]), (&json!("completed"), &json!("OP000000000001")));
    let events: Vec<_> = shown["timeline"].as_array().unwrap().iter().map(|entry| entry["event"].as_str().unwrap()).collect();
    assert_eq!(
        events,
        ["order.placed", "inventory.reserved", "payment.authorized", "order.shipped", "payment.captured", "inventory.committed"]
    );
}

#[tokio::test]
async fn a_cancelled_order_shows_who_asked_and_why_it_was_cancelled() {
    use EventType as T;
    let mut order = order(&[(T::PaymentAuthorized, 1), (T::OrderCancelled, 3), (T::PaymentVoided, 4)]);
    order.cancel_requested_at = Some(at(2));
    let shown = shown(order).await;
    assert_eq!(shown["status"], "cancelled");
    assert_eq!(
        shown["timeline"],
        json!([
            {"event": "order.placed", "at": "2026-05-04T10:11:00.345Z"},
            {"event": "payment.authorized", "at": "2026-05-04T10:11:01.345Z"},
            {"event": "order.cancel_requested", "at": "2026-05-04T10:11:02.345Z"},
            {"event": "order.cancelled", "at": "2026-05-04T10:11:03.345Z", "reason": "customer_asked"},
            {"event": "payment.voided", "at": "2026-05-04T10:11:04.345Z"}
        ])
    );
}

#[tokio::test]
async fn a_request_to_cancel_that_came_too_late_shows_as_refused() {
    for fact in [EventType::OrderShipped, EventType::PaymentCaptured, EventType::PaymentCaptureFailed, EventType::InventoryCommitted] {
        let mut order = order(&[(fact, 3)]);
        order.cancel_requested_at = Some(at(2));
        let timeline = shown(order).await["timeline"].clone();
        assert_eq!(timeline[1], json!({"event": "order.cancel_requested", "at": "2026-05-04T10:11:02.345Z", "refused": true}), "{fact}");
    }
}

#[tokio::test]
async fn an_unknown_or_misspelt_order_is_404() {
    let table = Table { order: Some(order(&[])), ..Table::default() };
    let unknown = asked(&table, "GET", "/orders/aef753cd-ba7e-587f-b823-e93918496790").await;
    assert_eq!((unknown.status(), table.reads.get()), (404, 1));
    assert_eq!(
        serde_json::from_str::<Value>(unknown.body()).unwrap(),
        json!({"type": "about:blank", "title": "Not Found", "status": 404, "detail": "There is no such order."})
    );
    for misspelt in ["1", "x", &ID.to_uppercase(), &format!("{ID} "), "..%2f..", "ä"] {
        let response = asked(&table, "GET", &format!("/orders/{misspelt}")).await;
        assert_eq!((response.body(), table.reads.get()), (unknown.body(), 1), "{misspelt}");
    }
}

#[tokio::test]
async fn what_is_not_this_route_is_404_or_405() {
    let table = Table::default();
    assert_eq!(asked(&table, "GET", "/orders").await.status(), 404);
    let response = asked(&table, "DELETE", &format!("/orders/{ID}")).await;
    assert_eq!((response.status(), response.header("Allow")), (405, Some("GET")));
    assert_eq!(table.reads.get(), 0);
}

#[tokio::test]
async fn a_table_that_refuses_is_503_with_retry_after() {
    let table = Table { down: true, ..Table::default() };
    let response = asked(&table, "GET", &format!("/orders/{ID}")).await;
    assert_eq!((response.status(), response.header("Retry-After")), (503, Some("2")));
}
