//! What sign-up does, told as facts. The table and the topic are in memory and behave like the real ones: a conditional
//! write with the old image, and a pause inside every call, so that two requests can meet.

use super::*;
use domain::{
    EventType, Timestamp,
    customer::{ASK_AGAIN_AFTER, NAME_CHARS_MAX},
};
use lambda_kit::{http::answer, message::Outgoing, publish::PublishError};
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};
use testkit::log::logged;

const CUSTOMER: &str = "e507ff26-6a21-519c-adde-1e19920b0ce2";
const ACCEPTED: &str = r#"{"customer_id":"e507ff26-6a21-519c-adde-1e19920b0ce2","status":"accepted"}"#;

#[derive(Default)]
struct World {
    customers: RefCell<HashMap<CustomerId, Customer>>,
    published: RefCell<Vec<Outgoing>>,
    /// Why the topic refuses, if it does.
    topic_refuses: Cell<Option<&'static str>>,
    /// Why the table refuses, if it does.
    table_refuses: Cell<Option<&'static str>>,
    /// Calls by name, in their order.
    calls: RefCell<Vec<&'static str>>,
    elapsed_s: Cell<i64>,
    rng: Cell<u64>,
}

impl Ambient for World {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_777_888_961 + self.elapsed_s.get()).unwrap()
    }
    fn random(&self) -> u64 {
        self.rng.set(self.rng.get() + 1);
        self.rng.get()
    }
}

impl Customers for &World {
    async fn sign_up(&self, new: &Customer) -> Result<Customer, Failure> {
        self.calls.borrow_mut().push("UpdateItem");
        tokio::task::yield_now().await;
        if let Some(code) = self.table_refuses.get() {
            return Err(Failure::transient(code, "UpdateItem failed"));
        }
        let mut customers = self.customers.borrow_mut();
        let stored = customers.entry(new.customer_id).or_insert_with(|| Customer { consent_asked_at: None, ..new.clone() });
        if let Some(now) = new.consent_asked_at
            && stored.consent_asked_at.is_none_or(|before| now.duration_since(before) > ASK_AGAIN_AFTER)
        {
            stored.consent_asked_at = Some(now);
        }
        Ok(stored.clone())
    }
}

impl Publisher for &World {
    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), PublishError>> {
        self.calls.borrow_mut().push("Publish");
        tokio::task::yield_now().await;
        if let Some(code) = self.topic_refuses.get() {
            return batch.iter().map(|_| Err(PublishError { code: code.into(), message: "no".into() })).collect();
        }
        self.published.borrow_mut().extend_from_slice(batch);
        batch.iter().map(|_| Ok(())).collect()
    }
}

impl World {
    /// Answers an event of API Gateway through everything but the network.
    async fn send(&self, event: Value) -> Response {
        let signup = CustomerSignup { customers: self, topic: self, ambient: self };
        answer(event, Timestamp::MAX, self, &async |request: &Request| signup.handle(request).await).await
    }
    async fn sign_up(&self, body: &Value) -> Response {
        let mut event = sample("sign-up");
        event["body"] = json!(body.to_string());
        self.send(event).await
    }
    fn stored(&self) -> Customer {
        self.customers.borrow()[&CUSTOMER.parse().unwrap()].clone()
    }
    /// The events that were published, as their consumers read them.
    fn events(&self) -> Vec<CloudEvent> {
        self.published.borrow().iter().map(|message| CloudEvent::parse(&message.body).unwrap()).collect()
    }
}

fn sample(name: &str) -> Value {
    let text = match name {
        "sign-up" => include_str!("../../../events/customer-signup/sign-up.json"),
        "known-address" => include_str!("../../../events/customer-signup/known-address.json"),
        "faulty-sign-up" => include_str!("../../../events/customer-signup/faulty-sign-up.json"),
        _ => unreachable!(),
    };
    serde_json::from_str(text).unwrap()
}

fn ada() -> Value {
    json!({"name": "Ada Lovelace", "email": "ada@example.com", "marketing_consent": true})
}

fn with(field: &str, value: Value) -> Value {
    let mut body = ada();
    body[field] = value;
    body
}

/// The faults of a problem, in its order.
fn faults(response: &Response) -> Vec<String> {
    let body: Value = serde_json::from_str(response.body()).unwrap();
    let text = |fault: &Value, field: &str| fault[field].as_str().unwrap().to_owned();
    body["errors"].as_array().unwrap().iter().map(|fault| format!("{} {}", text(fault, "pointer"), text(fault, "detail"))).collect()
}

#[tokio::test]
async fn a_new_customer_is_stored_announced_and_answered_with_202() {
    let world = World::default();
    let response = world.sign_up(&with("name", json!(" Ada Lovelace\n"))).await;
    assert_eq!((response.status(), response.header("Content-Type"), response.body()), (202, Some("application/json"), ACCEPTED));
    let stored = world.stored();
    assert_eq!((stored.name.0.as_str(), stored.email.as_str()), ("Ada Lovelace", "ada@example.com"));
    assert_eq!((stored.signed_up_at, stored.unsubscribed_at), (world.now(), None));
    assert_eq!((stored.asked_at_sign_up, stored.open_question()), (true, Some(world.now())), "the welcome asks");
    let event = &world.events()[0];
    assert_eq!(
        (event.event.event_type(), event.time, event.source.as_str()),
        (EventType::CustomerSignedUp, world.now(), "/customer-signup")
    );
    assert_eq!(event.subject, Subject::Customer(CUSTOMER.parse().unwrap()));
    assert_eq!(event.event, stored.signed_up().into());
    let message = &world.published.borrow()[0];
    assert_eq!(message.deduplication_id, format!("{CUSTOMER}/customer.signed_up.v1/{}", world.now()));
    assert_eq!(*world.calls.borrow(), ["UpdateItem", "Publish"]);
}

#[tokio::test]
async fn a_known_address_gets_the_same_answer_by_the_same_calls() {
    let world = World::default();
    let first = world.sign_up(&ada()).await;
    let stored = world.stored();
    world.elapsed_s.set(3600);
    let others =
        [ada(), with("name", json!("Mallory")), with("marketing_consent", json!(false)), with("email", json!(" ADA@Example.COM "))];
    for other in others {
        world.calls.borrow_mut().clear();
        let again = world.sign_up(&other).await;
        assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&first).unwrap(), "headers included");
        assert_eq!(*world.calls.borrow(), ["UpdateItem", "Publish"]);
    }
    assert_eq!((world.stored(), world.stored().email.as_str()), (stored, "ada@example.com"));
    let events = world.events();
    assert_eq!(events.len(), 5);
    for event in &events {
        assert_eq!((event.id(), event.time, &event.event), (events[0].id(), events[0].time, &events[0].event), "the first sign-up's");
    }
}

/// The attack: somebody else's address, typed into the form.
#[tokio::test]
async fn no_sign_up_is_a_consent() {
    let world = World::default();
    for days in 0..3 {
        world.elapsed_s.set(days * 2 * 86_400);
        assert_eq!(world.sign_up(&ada()).await.body(), ACCEPTED);
        assert!(!world.stored().takes_marketing_mail(true), "day {days}");
    }
    assert!(world.events().iter().all(|event| event.event == world.stored().signed_up().into()));
    assert!(!world.stored().signed_up().marketing_consent, "and no event says so");
}

#[tokio::test]
async fn a_later_yes_gets_the_same_answer_by_the_same_calls() {
    let world = World::default();
    let no = world.sign_up(&with("marketing_consent", json!(false))).await;
    let before = world.stored();
    assert_eq!((before.asked_at_sign_up, before.consent_asked_at), (false, None));
    world.elapsed_s.set(60);
    world.calls.borrow_mut().clear();
    let yes = world.sign_up(&with("name", json!("Mallory"))).await;
    assert_eq!(serde_json::to_value(&yes).unwrap(), serde_json::to_value(&no).unwrap(), "headers included");
    assert_eq!(*world.calls.borrow(), ["UpdateItem", "Publish"]);
    assert_eq!(world.stored(), Customer { consent_asked_at: Some(world.now()), ..before });
    let (events, published) = (world.events(), world.published.borrow());
    assert_eq!((events[0].id(), events[0].time, &events[0].event), (events[1].id(), events[1].time, &events[1].event), "the same fact");
    assert_ne!(published[0].deduplication_id, published[1].deduplication_id, "SNS drops a known one for five minutes");
}

#[tokio::test]
async fn a_yes_that_was_stored_and_not_announced_is_announced_by_the_retry() {
    let world = World::default();
    world.sign_up(&with("marketing_consent", json!(false))).await;
    world.elapsed_s.set(60);
    world.topic_refuses.set(Some("Throttling"));
    assert_eq!(world.sign_up(&ada()).await.status(), 503);
    let asked = world.stored().consent_asked_at.unwrap();
    world.topic_refuses.set(None);
    for elapsed_s in [120, 180] {
        world.elapsed_s.set(elapsed_s);
        assert_eq!(world.sign_up(&ada()).await.status(), 202);
        assert_eq!(world.stored().consent_asked_at, Some(asked), "asked once a day");
        let announced = world.published.borrow().last().unwrap().deduplication_id.clone();
        assert_eq!(announced, format!("{CUSTOMER}/customer.signed_up.v1/{asked}"));
    }
}

#[tokio::test]
async fn a_second_sign_up_does_not_undo_an_unsubscribe() {
    let world = World::default();
    world.sign_up(&ada()).await;
    let stored = |change: &dyn Fn(&mut Customer)| world.customers.borrow_mut().values_mut().for_each(change);
    stored(&|customer| customer.double_opt_in_at = Some(world.now()));
    stored(&|customer| customer.unsubscribed_at = Some(world.now()));
    world.elapsed_s.set(2 * 86_400);
    assert_eq!(world.sign_up(&ada()).await.body(), ACCEPTED);
    assert!(!world.stored().takes_marketing_mail(true));
}

#[tokio::test]
async fn two_at_once_are_one_customer() {
    let world = World::default();
    let (ada, mallory) = (ada(), with("name", json!("Mallory")));
    let (one, other) = futures_util::join!(world.sign_up(&ada), world.sign_up(&mallory));
    assert_eq!((one.body(), other.body()), (ACCEPTED, ACCEPTED));
    assert_eq!(world.customers.borrow().len(), 1);
    let events = world.events();
    assert_eq!((events[0].id(), &events[0].event), (events[1].id(), &events[1].event));
}

#[tokio::test]
async fn a_retry_announces_what_was_stored_and_not_announced() {
    let world = World::default();
    world.topic_refuses.set(Some("Throttling"));
    let refused = world.sign_up(&ada()).await;
    assert_eq!((refused.status(), refused.header("Retry-After")), (503, Some("2")));
    let stored = world.stored();
    world.topic_refuses.set(None);
    world.elapsed_s.set(60);
    assert_eq!(world.sign_up(&ada()).await.status(), 202);
    assert_eq!(world.events()[0].time, stored.signed_up_at);
}

#[tokio::test]
async fn a_table_that_refuses_is_503_and_nothing_is_announced() {
    let world = World::default();
    world.table_refuses.set(Some("ThrottlingException"));
    assert_eq!(world.sign_up(&ada()).await.status(), 503);
    assert_eq!(world.published.borrow().len(), 0);
}

#[tokio::test]
async fn every_fault_is_named_at_once_and_nothing_is_written() {
    let world = World::default();
    let response = world.send(sample("faulty-sign-up")).await;
    assert_eq!((response.status(), response.header("Content-Type")), (422, Some("application/problem+json")));
    assert_eq!(
        faults(&response),
        [
            "#/newsletter is not a known field",
            "#/name must not be blank",
            "#/email must be an e-mail address in ASCII, of at most 254 characters, such as name@example.com",
            "#/marketing_consent must be true or false",
        ]
    );
    assert!(response.body().contains(SIGNUP_INVALID));
    for (body, fault) in [
        (json!([]), "# must be an object"),
        (with("name", json!("x".repeat(NAME_CHARS_MAX + 1))), "#/name must not be longer than 100 characters, blanks at its ends included"),
        (
            with("name", json!("Ada\r\nBcc: x@example.com")),
            "#/name must not contain control characters or line breaks; character 4 is U+000D, which does not show",
        ),
        (with("name", json!("\u{200b}\u{2060}")), "#/name must not be blank"),
        (with("email", json!(7)), "#/email must be text"),
        (with("marketing_consent", Value::Null), "#/marketing_consent must be true or false"),
    ] {
        assert_eq!(faults(&world.sign_up(&body).await), [fault]);
    }
    assert_eq!(faults(&world.sign_up(&json!({})).await).len(), 3, "each field is required");
    assert_eq!(world.sign_up(&with("name", json!("ë".repeat(NAME_CHARS_MAX)))).await.status(), 202, "limits are inclusive");
    assert_eq!(world.calls.borrow().len(), 2, "only by the good one");
}

#[tokio::test]
async fn what_is_no_json_or_comes_to_another_path_is_refused() {
    let world = World::default();
    let changed = async |change: &dyn Fn(&mut Value)| {
        let mut event = sample("sign-up");
        change(&mut event);
        world.send(event).await.status()
    };
    assert_eq!(changed(&|event| event["body"] = json!("{\"name\":")).await, 400);
    assert_eq!(changed(&|event| event["headers"]["content-type"] = json!("text/plain")).await, 415);
    assert_eq!(changed(&|event| event["rawPath"] = json!("/customers/1")).await, 404);
    assert_eq!(changed(&|event| event["requestContext"]["http"]["method"] = json!("GET")).await, 405);
    assert_eq!(world.calls.borrow().len(), 0);
}

#[tokio::test]
async fn the_samples_are_a_customer_a_repeat_and_a_faulty_body() {
    let world = World::default();
    for (name, status) in [("sign-up", 202), ("known-address", 202), ("faulty-sign-up", 422)] {
        assert_eq!(world.send(sample(name)).await.status(), status, "{name}");
    }
    assert_eq!((world.customers.borrow().len(), world.published.borrow().len()), (1, 2));
}

#[tokio::test]
async fn no_name_or_address_is_logged_published_answered_or_debugged() {
    let world = World::default();
    let (answers, log) = logged(async {
        let mut answers = vec![
            world.sign_up(&ada()).await,
            world.sign_up(&ada()).await,
            world.sign_up(&with("email", json!("Ada Lovelace"))).await,
            world.sign_up(&with("marketing_consent", json!("Ada Lovelace"))).await,
        ];
        world.topic_refuses.set(Some("Throttling"));
        answers.push(world.sign_up(&ada()).await);
        world.table_refuses.set(Some("ThrottlingException"));
        answers.push(world.sign_up(&ada()).await);
        answers
    })
    .await;
    assert_eq!(log.lines().count(), answers.len(), "one line per request: {log}");
    assert!(log.contains(CUSTOMER), "by whom they are found: {log}");
    let answered: String = answers.iter().map(Response::body).collect();
    for text in [&log, &answered, &format!("{:?} {:?}", world.published.borrow(), world.customers.borrow())] {
        for private in ["Lovelace", "ada@", "203.0.113.10"] {
            assert!(!text.contains(private), "{private}: {text}");
        }
    }
}
