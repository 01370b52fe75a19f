//! What unsubscribing does, told as facts: the events of API Gateway, a store and a table in memory.

use super::*;
use lambda_kit::{http::answer, secrets::SecretText as _};
use mailer::unsubscribe::LinkKey;
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

/// The key that signed the links of the samples.
const KEY: &str = "a sample key, never one that is in use";
const CUSTOMER: &str = "e507ff26-6a21-519c-adde-1e19920b0ce2";

struct World {
    secret: RefCell<Option<&'static str>>,
    /// When each customer last unsubscribed.
    customers: RefCell<HashMap<CustomerId, Option<Timestamp>>>,
    /// When each customer first confirmed.
    confirmed: RefCell<HashMap<CustomerId, Timestamp>>,
    /// Why the table refuses, if it does.
    table_refuses: Cell<Option<&'static str>>,
    writes: Cell<usize>,
    now_s: Cell<i64>,
}

impl World {
    fn new() -> Self {
        Self {
            secret: RefCell::new(Some(KEY)),
            customers: RefCell::new(HashMap::from([(CUSTOMER.parse().unwrap(), None)])),
            confirmed: RefCell::default(),
            table_refuses: Cell::default(),
            writes: Cell::default(),
            now_s: Cell::new(1_000),
        }
    }
    async fn send(&self, event: Value) -> Response {
        let function = Unsubscribe { key: CachedLinkKey::new(self), customers: self, ambient: self };
        answer(event, Timestamp::MAX, self, &async |request: &Request| function.handle(request).await).await
    }
    fn confirmed_at(&self) -> Option<i64> {
        self.confirmed.borrow().get(&CUSTOMER.parse().unwrap()).copied().map(Timestamp::as_second)
    }
    fn unsubscribed_at(&self) -> Option<i64> {
        self.customers.borrow()[&CUSTOMER.parse().unwrap()].map(Timestamp::as_second)
    }
}

impl Ambient for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.now_s.get()).unwrap()
    }
    fn random(&self) -> u64 {
        7
    }
}
impl SecretStore for &World {
    async fn read(&self) -> Result<Option<String>, Failure> {
        Ok(self.secret.borrow().map(str::to_owned))
    }
}
impl Customers for &World {
    async fn unsubscribe(&self, id: &CustomerId, now: Timestamp) -> Result<bool, Failure> {
        self.writes.set(self.writes.get() + 1);
        if let Some(code) = self.table_refuses.get() {
            return Err(Failure::transient(code, "UpdateItem failed"));
        }
        Ok(self.customers.borrow_mut().get_mut(id).map(|since| *since = Some(now)).is_some())
    }
    async fn confirm(&self, id: &CustomerId, asked_at: Timestamp, now: Timestamp) -> Result<bool, Failure> {
        self.writes.set(self.writes.get() + 1);
        if let Some(code) = self.table_refuses.get() {
            return Err(Failure::transient(code, "UpdateItem failed"));
        }
        let mut customers = self.customers.borrow_mut();
        let Some(unsubscribed) = customers.get_mut(id).filter(|at| at.is_none_or(|at| at < asked_at)) else { return Ok(false) };
        *unsubscribed = None;
        self.confirmed.borrow_mut().entry(*id).or_insert(now);
        Ok(true)
    }
}

fn sample(name: &str) -> Value {
    let text = match name {
        "show-page" => include_str!("../../../events/unsubscribe/show-page.json"),
        "one-click" => include_str!("../../../events/unsubscribe/one-click.json"),
        "forged-link" => include_str!("../../../events/unsubscribe/forged-link.json"),
        "show-confirm-page" => include_str!("../../../events/unsubscribe/show-confirm-page.json"),
        "confirm" => include_str!("../../../events/unsubscribe/confirm.json"),
        _ => unreachable!(),
    };
    serde_json::from_str(text).unwrap()
}

/// A request whose link has another token.
fn to(token: &str, mut event: Value) -> Value {
    let path = event["rawPath"].as_str().unwrap();
    event["rawPath"] = json!(format!("{}/{token}", path.rsplit_once('/').unwrap().0));
    event
}

#[tokio::test]
async fn a_get_shows_one_button_and_changes_nothing_however_often_it_comes() {
    let world = World::new();
    for _ in 0..3 {
        let page = world.send(sample("show-page")).await;
        assert_eq!((page.status(), page.header("Content-Type")), (200, Some("text/html; charset=utf-8")));
        assert_eq!(page.body().matches("<form method=\"post\">").count(), 1);
        assert_eq!(page.body().matches("<button").count(), 1);
    }
    assert_eq!((world.writes.get(), world.unsubscribed_at()), (0, None));
}

#[tokio::test]
async fn the_button_and_one_click_of_rfc_8058_unsubscribe_whatever_their_body_says() {
    let form = "------b\r\nContent-Disposition: form-data; name=\"List-Unsubscribe\"\r\n\r\nOne-Click\r\n------b--\r\n";
    for (content_type, body, base64) in [
        ("application/x-www-form-urlencoded", json!("List-Unsubscribe=One-Click"), false),
        ("application/x-www-form-urlencoded", json!("TGlzdC1VbnN1YnNjcmliZT1PbmUtQ2xpY2s="), true),
        ("multipart/form-data; boundary=----b", json!(form), false),
        ("application/x-www-form-urlencoded", json!(""), false),
        ("text/plain", Value::Null, false),
        ("text/plain", json!("%"), true),
    ] {
        let world = World::new();
        let mut event = sample("one-click");
        event["headers"]["content-type"] = json!(content_type);
        event["body"] = body;
        event["isBase64Encoded"] = json!(base64);
        let page = world.send(event).await;
        assert_eq!((page.status(), world.unsubscribed_at()), (200, Some(1_000)));
        assert!(page.body().contains("You will get no more marketing mail."));
    }
}

#[tokio::test]
async fn unsubscribing_twice_is_unsubscribing_once_and_looks_the_same() {
    let world = World::new();
    let first = world.send(sample("one-click")).await;
    world.now_s.set(2_000);
    assert_eq!(world.send(sample("one-click")).await, first);
    assert_eq!(world.unsubscribed_at(), Some(2_000), "the last time counts: it ends what was asked before it");
    assert_eq!(world.send(sample("show-page")).await.status(), 200, "and the page is there as before");
}

#[tokio::test]
async fn a_forged_link_and_an_unknown_customer_are_the_same_404() {
    let world = World::new();
    let forged = world.send(sample("forged-link")).await;
    assert_eq!((forged.status(), forged.header("Content-Type"), world.writes.get()), (404, Some("text/html; charset=utf-8"), 0));
    for token in ["x", CUSTOMER, "%3Cscript%3E", &"A".repeat(43), &"A".repeat(10_000)] {
        for event in [sample("show-page"), sample("one-click")] {
            assert_eq!(world.send(to(token, event)).await, forged, "{token}");
        }
    }
    assert_eq!(world.writes.get(), 0, "nothing is asked of the table for a stranger");
    let stranger = "00000000-0000-5000-8000-000000000000".parse().unwrap();
    let token = LinkKey::from_text(KEY).unwrap().token(&stranger);
    assert_eq!(world.send(to(&token, sample("one-click"))).await, forged);
    assert_eq!((world.writes.get(), world.customers.borrow().len()), (1, 1), "asked, and nobody was made up");
}

#[tokio::test]
async fn no_page_is_kept_tells_its_address_on_or_loads_anything() {
    let world = World::new();
    world.now_s.set(ASKED_AT_S);
    // Confirmed, and then refused because the one click came in between.
    for name in ["show-page", "show-confirm-page", "confirm", "one-click", "confirm", "forged-link"] {
        let page = world.send(sample(name)).await;
        assert_eq!(page.header("Cache-Control"), Some("no-store"), "{name}");
        assert_eq!(page.header("Referrer-Policy"), Some("no-referrer"), "{name}");
        let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'";
        assert_eq!(page.header("Content-Security-Policy"), Some(policy), "{name}");
        for foreign in ["http", "src=", "href", "<script", "url(", "action=", "5Qf_", CUSTOMER] {
            assert!(!page.body().contains(foreign), "{name}: {foreign}");
        }
    }
}

#[tokio::test]
async fn a_table_that_refuses_is_503_and_the_next_click_heals_it() {
    let world = World::new();
    world.table_refuses.set(Some("ThrottlingException"));
    assert_eq!(world.send(sample("one-click")).await.status(), 503);
    world.table_refuses.set(None);
    assert_eq!(world.send(sample("one-click")).await.status(), 200);
}

#[tokio::test]
async fn without_a_key_no_link_is_taken_for_forged() {
    let world = World::new();
    for missing in [None, Some(""), Some("too short")] {
        *world.secret.borrow_mut() = missing;
        for name in ["show-page", "one-click", "forged-link", "show-confirm-page", "confirm"] {
            assert_eq!(world.send(sample(name)).await.status(), 503, "{missing:?}");
        }
    }
    assert_eq!(world.writes.get(), 0);
}

#[tokio::test]
async fn links_of_before_the_key_was_replaced_are_ended() {
    let world = World::new();
    *world.secret.borrow_mut() = Some("another key that is as long as it must be");
    assert_eq!(world.send(sample("one-click")).await.status(), 404);
    assert_eq!(world.unsubscribed_at(), None);
}

// ── Confirming ──────────────────────────────────────────────────────────────────────────────────────────────────────

/// When the customer of the sample was asked.
const ASKED_AT_S: i64 = 1_777_888_961;

/// A world an hour after the asking.
fn asked() -> World {
    let world = World::new();
    world.now_s.set(ASKED_AT_S + 3600);
    world
}

#[tokio::test]
async fn opening_a_confirmation_link_shows_one_button_and_confirms_nothing() {
    let world = asked();
    for _ in 0..3 {
        let page = world.send(sample("show-confirm-page")).await;
        assert_eq!((page.status(), page.header("Content-Type")), (200, Some("text/html; charset=utf-8")));
        assert_eq!((page.body().matches("<form method=\"post\">").count(), page.body().matches("<button").count()), (1, 1));
    }
    assert_eq!((world.writes.get(), world.confirmed_at()), (0, None));
}

#[tokio::test]
async fn the_button_confirms_and_a_second_click_is_answered_alike() {
    let world = asked();
    let first = world.send(sample("confirm")).await;
    assert_eq!((first.status(), world.confirmed_at()), (200, Some(ASKED_AT_S + 3600)));
    world.now_s.set(ASKED_AT_S + 7200);
    assert_eq!(world.send(sample("confirm")).await, first);
    assert_eq!(world.confirmed_at(), Some(ASKED_AT_S + 3600), "the first time stays");
}

#[tokio::test]
async fn a_link_for_one_purpose_does_nothing_for_the_other() {
    let world = asked();
    let token = |name: &str| sample(name)["pathParameters"]["token"].as_str().unwrap().to_owned();
    assert_eq!(world.send(to(&token("confirm"), sample("one-click"))).await.status(), 404);
    assert_eq!(world.send(to(&token("one-click"), sample("confirm"))).await.status(), 404);
    assert_eq!((world.writes.get(), world.unsubscribed_at(), world.confirmed_at()), (0, None, None));
}

#[tokio::test]
async fn every_link_that_confirms_nothing_gets_the_same_page() {
    let world = asked();
    let forged = world.send(to("x", sample("confirm"))).await;
    assert_eq!((forged.status(), forged.header("Content-Type")), (404, Some("text/html; charset=utf-8")));
    for token in [CUSTOMER, "%3Cscript%3E", &"A".repeat(54), &"A".repeat(10_000)] {
        for event in [sample("show-confirm-page"), sample("confirm")] {
            assert_eq!(world.send(to(token, event)).await, forged, "{token}");
        }
    }
    assert_eq!(world.writes.get(), 0, "nothing is asked of the table for a stranger");
    let key = LinkKey::from_text(KEY).unwrap();
    let stranger = Question { customer_id: "00000000-0000-5000-8000-000000000000".parse().unwrap(), asked_at: world.now() };
    assert_eq!(world.send(to(&stranger.token(&key), sample("confirm"))).await, forged, "a customer who is gone");
    world.send(sample("one-click")).await;
    assert_eq!(world.send(sample("confirm")).await, forged, "unsubscribed since");
    assert_eq!((world.confirmed_at(), world.unsubscribed_at()), (None, Some(ASKED_AT_S + 3600)));
    world.now_s.set(ASKED_AT_S + domain::customer::CONFIRM_WITHIN.as_secs());
    for event in [sample("show-confirm-page"), sample("confirm")] {
        assert_eq!(world.send(event).await, forged, "expired");
    }
}

#[tokio::test]
async fn a_confirmation_that_the_table_refuses_is_503_and_the_next_click_counts() {
    let world = asked();
    world.table_refuses.set(Some("ThrottlingException"));
    assert_eq!(world.send(sample("confirm")).await.status(), 503);
    world.table_refuses.set(None);
    assert_eq!(world.send(sample("confirm")).await.status(), 200);
}
