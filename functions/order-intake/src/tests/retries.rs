//! The same key again: after an answer, without one, at the same moment, with another order.

use super::*;

fn assert_replayed(again: &Response, first: &Response) {
    assert_eq!((again.status(), again.body()), (202, first.body()), "byte for byte");
    assert_eq!(again.header("Location"), first.header("Location"));
    assert_eq!(again.header("Idempotency-Replayed"), Some("true"));
}

#[tokio::test]
async fn the_same_key_and_order_is_the_same_order_and_the_same_answer() {
    let world = World::new();
    let first = world.place(KEY, &order()).await;
    world.elapsed_s.set(3600);
    assert_replayed(&world.place(KEY, &order()).await, &first);
    assert_eq!(world.orders.borrow().len(), 1);
}

#[tokio::test]
async fn a_retry_may_spell_key_and_body_differently() {
    let world = World::new();
    let first = world.place(KEY, &order()).await;
    let mut respelt = placing(&format!("\"{}\"", KEY.to_uppercase()), &order());
    let mut wanted = order();
    wanted["lines"].as_array_mut().unwrap().reverse();
    wanted["customer"]["name"] = json!(" Ada Lovelace ");
    respelt["body"] = json!(serde_json::to_string_pretty(&wanted).unwrap());
    assert_replayed(&world.send(respelt).await, &first);
}

#[tokio::test]
async fn a_retry_is_announced_again_until_a_stage_has_answered() {
    let world = World::new();
    let first = world.place(KEY, &order()).await;
    world.reported(EventType::OrderPlaced);
    assert_replayed(&world.place(KEY, &order()).await, &first);
    assert_eq!(world.published.borrow().len(), 2, "tracking hearing of it is no answer");
    let ids: Vec<_> = world.published.borrow().iter().map(|message| message.deduplication_id.clone()).collect();
    assert_eq!(ids[0], ids[1], "the same event");
    world.reported(EventType::InventoryReserved);
    assert_replayed(&world.place(KEY, &order()).await, &first);
    assert_eq!(world.published.borrow().len(), 2);
}

#[tokio::test]
async fn a_retry_gets_its_answer_whatever_became_of_the_catalogue() {
    let sku = || "TEAPOT".parse::<Sku>().unwrap();
    let change = |world: &World, change: fn(&mut Price)| {
        world.prices.borrow_mut().entry(sku()).and_modify(change);
    };
    let dearer = World::new();
    let gone = World::new();
    let foreign = World::new();
    for world in [&dearer, &gone, &foreign] {
        let first = world.place(KEY, &order()).await;
        match () {
            () if std::ptr::eq(world, &dearer) => change(world, |price| price.unit_price_minor = 9900),
            () if std::ptr::eq(world, &gone) => drop(world.prices.borrow_mut().remove(&sku())),
            () => change(world, |price| price.currency = Currency::USD),
        }
        assert_replayed(&world.place(KEY, &order()).await, &first);
    }
    assert_eq!(gone.place(OTHER_KEY, &order()).await.status(), 422, "a new order meets the catalogue as it is");
}

#[tokio::test]
async fn the_same_key_with_another_order_is_422_and_changes_nothing() {
    let world = World::new();
    world.place(KEY, &order()).await;
    let before = world.orders.borrow().clone();
    for other in [
        with("/lines/0/quantity", json!(3)),
        with("/customer/name", json!("Charles Babbage")),
        with("/shipping_address/line1", json!("13 St James's Square")),
        with("/payment_method", json!("pm_card_mastercard")),
        without("/shipping_address/line2"),
    ] {
        let response = world.place(KEY, &other).await;
        assert_eq!((response.status(), body(&response)["type"].as_str()), (422, Some(KEY_REUSED)));
        assert_eq!(response.header("Idempotency-Replayed"), None);
    }
    let unknown = world.place(KEY, &with("/lines/0/sku", json!("NO-SUCH"))).await;
    assert_eq!(body(&unknown)["type"], KEY_REUSED, "also where the catalogue would refuse it");
    assert_eq!((&*world.orders.borrow(), world.published.borrow().len()), (&before, 1));
}

#[tokio::test]
async fn two_honest_identical_orders_are_two_orders() {
    let world = World::new();
    let (first, second) = (world.place(KEY, &order()).await, world.place(OTHER_KEY, &order()).await);
    assert_eq!((first.status(), second.status(), second.header("Idempotency-Replayed")), (202, 202, None));
    assert_ne!(body(&first)["order_id"], body(&second)["order_id"]);
    assert_eq!((world.orders.borrow().len(), world.published.borrow().len()), (2, 2));
}

#[tokio::test]
async fn two_requests_with_one_key_at_once_are_one_order() {
    let world = World::new();
    let (wanted, other) = (order(), order());
    let (one, two) = futures_util::join!(world.place(KEY, &wanted), world.place(KEY, &other));
    assert_eq!((one.status(), two.status()), (202, 202));
    assert_eq!(one.body(), two.body());
    assert_eq!(world.orders.borrow().len(), 1);
    let events = world.events();
    assert!(events.iter().all(|event| event.id() == events[0].id()), "a consumer can recognise the duplicate");
}

#[tokio::test]
async fn duplicates_in_flight_of_two_orders_are_one_order_and_a_422() {
    let world = World::new();
    let (wanted, other) = (order(), with("/lines/0/quantity", json!(1)));
    let (one, two) = futures_util::join!(world.place(KEY, &wanted), world.place(KEY, &other));
    let mut statuses = [one.status(), two.status()];
    statuses.sort_unstable();
    assert_eq!((statuses, world.orders.borrow().len(), world.published.borrow().len()), ([202, 422], 1, 1));
}

#[tokio::test]
async fn a_topic_that_refuses_is_503_and_a_retry_heals_it() {
    for code in ["Throttling", "Timeout", "AuthorizationError", "InternalError"] {
        let world = World::new();
        world.topic_refuses.set(Some(code));
        let refused = world.place(KEY, &order()).await;
        assert_eq!((refused.status(), refused.header("Retry-After")), (503, Some("2")));
        assert!(!refused.body().contains(code));
        assert_eq!(world.place(KEY, &order()).await.status(), 503, "and again, as long as it does");
        world.topic_refuses.set(None);
        let retried = world.place(KEY, &order()).await;
        assert_eq!((retried.status(), retried.header("Idempotency-Replayed")), (202, Some("true")));
        assert_eq!((world.orders.borrow().len(), world.published.borrow().len()), (1, 1));
        assert_eq!(body(&retried)["received_at"], "2026-05-04T10:11:12.345Z", "when it was stored, not when it was fixed");
    }
}

#[tokio::test]
async fn a_table_that_refuses_is_503_and_nothing_has_happened() {
    let world = World::new();
    world.table_refuses.set(Some("ProvisionedThroughputExceededException"));
    let refused = world.place(KEY, &order()).await;
    assert_eq!((refused.status(), refused.header("Retry-After")), (503, Some("2")));
    assert_eq!(
        body(&refused),
        json!({
            "type": "about:blank", "title": "Service Unavailable", "status": 503,
            "detail": "The request may or may not have been carried out. Send it again, with the same Idempotency-Key if it had one."
        })
    );
    assert_eq!((world.orders.borrow().len(), world.published.borrow().len()), (0, 0));
    world.table_refuses.set(None);
    assert_eq!(world.place(KEY, &order()).await.status(), 202);
}

#[tokio::test]
async fn the_order_is_read_only_when_the_catalogue_refuses() {
    let world = World::new();
    world.place(KEY, &order()).await;
    world.place(KEY, &order()).await;
    assert_eq!(*world.calls.borrow(), ["BatchGetItem", "PutItem", "Publish", "BatchGetItem", "PutItem", "Publish"]);
    world.calls.borrow_mut().clear();
    world.place(OTHER_KEY, &with("/lines/0/sku", json!("NO-SUCH"))).await;
    assert_eq!(*world.calls.borrow(), ["BatchGetItem", "GetItem"]);
}

fn request(document: &serde_json::Value) -> PlaceOrder {
    PlaceOrder::parse(&lambda_kit::http::Document::parse(document.to_string().as_bytes()).unwrap()).unwrap()
}

/// Of the sample order, as builds before the fingerprint of facts stored it.
const OLD_FINGERPRINT: &str = "c7c4ebf55bfe727bd0b4bb9472c4cb13935e4e500583f17e149c7284f26ec0e9";

#[test]
fn the_fingerprint_of_an_order_is_the_same_in_every_build() {
    let fingerprint = request(&order()).fingerprint().unwrap();
    assert!(fingerprint.is(OLD_FINGERPRINT), "{fingerprint:?}");
    assert_eq!(
        fingerprint.into_stored(),
        "2.4e4ecc218bdb131d45b81277dfb0db0e99a8f7112f64f1b9e637abd78d64b1d4",
        "stored orders depend on it: a retry across a deployment must be known again"
    );
}

/// What a later build makes of an old request: its new fields are there, and hold nothing.
#[test]
fn a_field_added_later_changes_no_fingerprint() {
    let old = serde_json::to_value(request(&order())).unwrap();
    let mut new = old.clone();
    new["gift_note"] = json!(null);
    new["customer"]["phone"] = json!("");
    new["options"] = json!({"express": false, "wishes": []});
    assert_eq!(shape::by_facts(&new), shape::by_facts(&old));
    new["options"]["express"] = json!(true);
    assert_ne!(shape::by_facts(&new), shape::by_facts(&old), "what is asked for counts");
}

#[tokio::test]
async fn a_retry_of_an_order_with_an_old_fingerprint_is_known_again() {
    let world = World::new();
    world.place(KEY, &order()).await;
    world.orders.borrow_mut().values_mut().for_each(|stored| stored.fingerprint = OLD_FINGERPRINT.to_owned());
    let again = world.place(KEY, &order()).await;
    assert_eq!(again.status(), 202);
    assert_eq!(world.place(KEY, &with("/lines/0/quantity", json!(3))).await.status(), 422);
}
