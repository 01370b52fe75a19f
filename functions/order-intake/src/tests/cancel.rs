//! `POST /orders/{order_id}/cancel`.

use super::*;

#[tokio::test]
async fn asking_to_cancel_is_noted_announced_and_answered_with_202() {
    let world = World::new();
    world.place(KEY, &order()).await;
    world.elapsed_s.set(5);
    world.calls.borrow_mut().clear();
    let response = world.cancel(ORDER).await;
    assert_eq!((response.status(), response.header("Location")), (202, Some("/orders/aef753cd-ba7e-587f-b823-e93918496790")));
    assert_eq!(
        response.body(),
        r#"{"order_id":"aef753cd-ba7e-587f-b823-e93918496790","status":"cancel_requested","cancel_requested_at":"2026-05-04T10:11:17.345Z"}"#
    );
    assert_eq!(*world.calls.borrow(), ["UpdateItem", "Publish"]);
    let asked = world.events().pop().unwrap();
    assert_eq!(asked.event, OrderCancelRequested { reason: CancelRequest::CustomerAsked }.into());
    assert_eq!(
        (asked.id().as_str(), asked.time.to_string().as_str()),
        (format!("{ORDER}/order.cancel_requested.v1").as_str(), "2026-05-04T10:11:17.345Z")
    );
}

#[tokio::test]
async fn asking_twice_is_asking_once() {
    let world = World::new();
    world.place(KEY, &order()).await;
    let first = world.cancel(ORDER).await;
    world.elapsed_s.set(60);
    let again = world.cancel(ORDER).await;
    assert_eq!((again.status(), again.body()), (202, first.body()));
    let events = world.events();
    assert_eq!((events[1].id(), events[1].time), (events[2].id(), events[2].time), "the same event");
}

#[tokio::test]
async fn any_body_will_do_and_none() {
    let world = World::new();
    world.place(KEY, &order()).await;
    for body in [Value::Null, json!(""), json!("{}"), json!("{\"reason\":"), json!("x".repeat(100_000))] {
        let mut event = event("POST", &format!("/orders/{ORDER}/cancel"));
        event["headers"] = json!({"content-type": "text/plain"});
        event["body"] = body;
        assert_eq!(world.send(event).await.status(), 202);
    }
}

#[tokio::test]
async fn an_order_that_shipped_is_409_and_nothing_is_announced() {
    let world = World::new();
    world.place(KEY, &order()).await;
    world.reported(EventType::OrderShipped);
    let response = world.cancel(ORDER).await;
    assert_eq!((response.status(), response.header("Content-Type")), (409, Some("application/problem+json")));
    assert_eq!(
        body(&response),
        json!({
            "type": "urn:order-pipeline:problem:order-shipped", "title": "The order has shipped", "status": 409,
            "detail": "The order has shipped and can no longer be cancelled."
        })
    );
    assert_eq!(world.published.borrow().len(), 1);
}

#[tokio::test]
async fn an_unknown_or_misspelt_order_is_404() {
    let world = World::new();
    let unknown = world.cancel(ORDER).await;
    assert_eq!((unknown.status(), world.calls.borrow().len()), (404, 1));
    for misspelt in ["1", &ORDER.to_uppercase(), "..", "aef753cd"] {
        let response = world.cancel(misspelt).await;
        assert_eq!((response.body(), world.calls.borrow().len()), (unknown.body(), 1), "{misspelt}");
    }
    assert_eq!(world.published.borrow().len(), 0);
}

#[tokio::test]
async fn a_refusing_topic_or_table_is_503_and_a_retry_heals() {
    let world = World::new();
    world.place(KEY, &order()).await;
    world.table_refuses.set(Some("ThrottlingException"));
    assert_eq!(world.cancel(ORDER).await.status(), 503);
    world.table_refuses.set(None);
    world.topic_refuses.set(Some("Throttling"));
    let refused = world.cancel(ORDER).await;
    assert_eq!((refused.status(), refused.header("Retry-After")), (503, Some("2")));
    world.topic_refuses.set(None);
    world.elapsed_s.set(30);
    assert_eq!(world.cancel(ORDER).await.status(), 202);
    let asked = world.events().pop().unwrap();
    assert_eq!(asked.time.to_string(), "2026-05-04T10:11:12.345Z", "when it was first stored");
}
