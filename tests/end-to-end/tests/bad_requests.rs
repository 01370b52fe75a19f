//! Bad requests, through the HTTP API of the deployed stack: each row of the table, answered as a problem.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use template::{Resource, Template, entries, workspace_root};
use testkit::{
    engine::{HttpAnswer, request},
    shop::{EMAIL, NAME, STREET, VISA, new_address, new_key, new_sku, order_of},
    stack::Stack,
};

struct Door {
    stack: Stack,
    sku: String,
    email: String,
}

impl Door {
    async fn open() -> Result<Option<Self>> {
        let Some(stack) = Stack::of_tests()? else { return Ok(None) };
        let sku = new_sku("DOOR");
        stack.stock_up(&sku, 1200, 1000).await?;
        Ok(Some(Self { stack, sku, email: new_address(EMAIL) }))
    }
    fn order(&self) -> Value {
        self.order_of(1)
    }
    fn order_of(&self, quantity: u32) -> Value {
        order_of(&self.email, &[(&self.sku, quantity)], VISA)
    }
    async fn post(&self, headers: &[(&str, &str)], body: impl Into<String>) -> Result<HttpAnswer> {
        request("POST", &format!("{}/orders", self.stack.state.api_url), headers, body.into()).await
    }
    async fn with_key(&self, key: &str, body: impl Into<String>) -> Result<HttpAnswer> {
        self.post(&[("Content-Type", "application/json"), ("Idempotency-Key", key)], body).await
    }
    /// The pointers of a 422.
    async fn faults(&self, change: impl FnOnce(&mut Value)) -> Result<Vec<String>> {
        let mut body = self.order();
        change(&mut body);
        let problem = problem(&self.with_key(&new_key(), body.to_string()).await?, 422);
        Ok(problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect())
    }
}

/// The answer is a problem of this status, and gives nothing away.
fn problem(answer: &HttpAnswer, status: u16) -> Value {
    assert_eq!((answer.status, answer.header("Content-Type")), (status, Some("application/problem+json")), "{}", answer.body);
    let problem = answer.json().unwrap();
    assert_eq!(problem["status"], status);
    assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
    for internal in ["panicked", ".rs:", "dynamodb", "DynamoDb", "arn:aws", "Table", NAME] {
        assert!(!answer.body.contains(internal), "{internal} in {}", answer.body);
    }
    problem
}

#[tokio::test]
async fn a_missing_doubled_or_malformed_key_is_400() -> Result<()> {
    let Some(door) = Door::open().await? else { return Ok(()) };
    let body = door.order().to_string();
    problem(&door.post(&[("Content-Type", "application/json")], body.clone()).await?, 400);
    let (one, two) = (new_key(), new_key());
    for bad in ["", "abc", "9f1b4c1e-7a0b-1d3c-8e2f-1a2b3c4d5e6f", &format!("{one}, {two}"), &format!("{one},{one}")] {
        problem(&door.with_key(bad, body.clone()).await?, 400);
    }
    Ok(())
}

#[tokio::test]
async fn the_same_key_with_another_body_is_422_and_the_first_order_stands() -> Result<()> {
    let Some(door) = Door::open().await? else { return Ok(()) };
    let key = new_key();
    let first = door.with_key(&key, door.order().to_string()).await?;
    assert_eq!(first.status, 202, "{}", first.body);
    problem(&door.with_key(&key, door.order_of(2).to_string()).await?, 422);
    assert_eq!(door.with_key(&key, door.order().to_string()).await?.body, first.body);
    Ok(())
}

#[tokio::test]
async fn the_same_key_and_body_is_the_same_answer_after_the_catalogue_changed() -> Result<()> {
    let Some(door) = Door::open().await? else { return Ok(()) };
    let key = new_key();
    let first = door.with_key(&key, door.order().to_string()).await?;
    assert_eq!(first.status, 202, "{}", first.body);
    // Gone from the catalogue altogether, and asked in another order of fields.
    let name = door.stack.state.output("CatalogueTableName")?;
    let input = json!({"TableName": name, "Key": {"sku": {"S": door.sku}}});
    door.stack.engine.call("dynamodb", "DynamoDB_20120810.DeleteItem", &input).await?;
    let replay = door.with_key(&key, format!(" {} ", door.order())).await?;
    assert_eq!((replay.status, replay.header("Idempotency-Replayed"), &replay.body), (202, Some("true"), &first.body));
    assert_eq!(replay.header("Location"), first.header("Location"));
    Ok(())
}

#[tokio::test]
async fn a_202_names_a_location_that_answers_at_once() -> Result<()> {
    let Some(door) = Door::open().await? else { return Ok(()) };
    let answer = door.with_key(&new_key(), door.order().to_string()).await?;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let location = answer.header("Location").unwrap();
    let seen = request("GET", &format!("{}{location}", door.stack.state.api_url), &[], String::new()).await?;
    assert_eq!(seen.status, 200, "{}", seen.body);
    for personal in [NAME, EMAIL, STREET] {
        assert!(!seen.body.contains(personal), "{}", seen.body);
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_json_is_400_another_type_415_and_too_much_413() -> Result<()> {
    let Some(door) = Door::open().await? else { return Ok(()) };
    for body in ["", "{", "not json", "{}\u{feff}"] {
        problem(&door.with_key(&new_key(), body).await?, 400);
    }
    let key = new_key();
    for content_type in ["text/plain", "application/xml"] {
        problem(&door.post(&[("Content-Type", content_type), ("Idempotency-Key", &key)], door.order().to_string()).await?, 415);
    }
    let mut large = door.order();
    large["customer"]["name"] = "x".repeat(64 * 1024).into();
    problem(&door.with_key(&new_key(), large.to_string()).await?, 413);
    Ok(())
}

#[tokio::test]
async fn every_fault_of_an_order_is_named_at_once_by_its_pointer() -> Result<()> {
    let Some(door) = Door::open().await? else { return Ok(()) };
    let pointers = door
        .faults(|body| {
            body["customer"]["email"] = "nobody".into();
            body["customer"]["nick"] = "x".into();
            body["shipping_address"]["country"] = "Germany".into();
            body["shipping_address"].as_object_mut().unwrap().remove("city");
            body["lines"] =
                json!([{"sku": door.sku, "quantity": 0}, {"sku": door.sku, "quantity": 1001}, {"sku": "no sku", "quantity": 1.5}]);
            body["surprise"] = true.into();
        })
        .await?;
    for pointer in [
        "/customer/email",
        "/customer/nick",
        "/shipping_address/country",
        "/shipping_address/city",
        "/lines/0/quantity",
        "/lines/1/quantity",
        "/lines/2/sku",
        "/lines/2/quantity",
        "/surprise",
    ] {
        assert!(pointers.iter().any(|found| found.trim_start_matches('#') == pointer), "{pointer} is not among {pointers:?}");
    }
    Ok(())
}

#[tokio::test]
async fn no_lines_too_many_the_same_sku_twice_and_unknown_ones_are_422() -> Result<()> {
    let Some(door) = Door::open().await? else { return Ok(()) };
    let named =
        |pointers: Vec<String>, pointer: &str| assert!(pointers.iter().any(|found| found.contains(pointer)), "{pointer}: {pointers:?}");
    named(door.faults(|body| body["lines"] = json!([])).await?, "/lines");
    named(door.faults(|body| body["lines"] = (0..51).map(|n| json!({"sku": format!("X{n}"), "quantity": 1})).collect()).await?, "/lines");
    let line = json!({"sku": door.sku, "quantity": 1});
    named(door.faults(|body| body["lines"] = json!([line, line])).await?, "/lines/1/sku");
    named(door.faults(|body| body["lines"][0]["sku"] = "NEVER-HEARD-OF".into()).await?, "/lines/0/sku");
    let wrong = door.faults(|body| body["currency"] = "USD".into()).await?;
    assert!(!wrong.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_unknown_or_malformed_order_id_is_404() -> Result<()> {
    let Some(door) = Door::open().await? else { return Ok(()) };
    for id in ["aef753cd-ba7e-587f-b823-e93918496791", "AEF753CD-BA7E-587F-B823-E93918496790", "1", "%20"] {
        problem(&door.stack.look(id).await?, 404);
        problem(&door.stack.cancel(id).await?, 404);
    }
    Ok(())
}

// ── events of other services ────────────────────────────────────────────────────────────────────────────────────────

/// What invokes a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Invoker {
    Queue,
    Request,
    People,
}

/// Every function by its logical id.
fn functions() -> Result<BTreeMap<String, Invoker>> {
    let template = Template::read()?;
    let by = |function: Resource<'_>| {
        let has = |kind: &str| entries(function.at("/Events")).any(|(_, event)| event["Type"] == kind);
        match (has("SQS"), has("HttpApi")) {
            (true, _) => Invoker::Queue,
            (_, true) => Invoker::Request,
            _ => Invoker::People,
        }
    };
    Ok(template.functions().map(|function| (function.id.to_owned(), by(function))).collect())
}

/// An event in the form that `sam local generate-event` writes, in our words.
fn foreign(name: &str) -> Result<Value> {
    let path = workspace_root().join(format!("tests/end-to-end/foreign-events/{name}.json"));
    Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
}

#[tokio::test]
async fn every_function_answers_events_of_other_services_honestly() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    for (id, invoked) in functions()? {
        let name = stack.engine.function(&id).await?;
        for event in ["sqs-receive-message", "sns-notification", "s3-put", "http-api-proxy"] {
            let (answer, log) = stack.engine.invoke(&name, &foreign(event)?).await?;
            assert!(!format!("{answer}{log}").contains("panicked"), "{id}, {event}: {answer}\n{log}");
            match (invoked, event) {
                (Invoker::Queue, "sqs-receive-message") => parked_or_reported(&stack, &id, &answer).await?,
                (Invoker::Queue, "http-api-proxy") => says(&answer["errorMessage"], "Records", &id, &answer),
                (Invoker::Queue, _) => says(&answer["errorMessage"], "no batch of an SQS queue", &id, &answer),
                (Invoker::Request, "http-api-proxy") => assert_eq!(answer["statusCode"], 404, "{id}: {answer}"),
                (Invoker::Request, _) => {
                    assert_eq!(answer["statusCode"], 500, "{id}: {answer}");
                    assert!(log.contains("NotAnHttpRequest"), "{id}: {log}");
                }
                (Invoker::People, _) => says(&answer, "InvalidRequest", &id, &answer),
            }
        }
    }
    Ok(())
}

fn says(place: &Value, word: &str, id: &str, answer: &Value) {
    assert!(place.to_string().contains(word), "{id} does not say {word}: {answer}");
}

/// A message that cannot be read lies in the dead-letter queue, with its reason; or it is reported, where it cannot be parked, as on
/// a FIFO queue without its group. What was parked is taken away again.
async fn parked_or_reported(stack: &Stack, id: &str, answer: &Value) -> Result<()> {
    let failures = answer["batchItemFailures"].as_array().unwrap_or_else(|| panic!("{id}: {answer}"));
    if let [failure] = &failures[..] {
        assert_eq!(failure["itemIdentifier"], foreign("sqs-receive-message")?["Records"][0]["messageId"], "{id}");
        return Ok(());
    }
    let queue = format!("{}DeadLetterQueue", id.trim_end_matches("Function"));
    let body = foreign("sqs-receive-message")?["Records"][0]["body"].as_str().unwrap().to_owned();
    let parked = stack.peek(&queue).await?.into_iter().find(|message| message.body == body);
    let parked = parked.unwrap_or_else(|| panic!("{id} answered {answer}, and {queue} does not have the message"));
    assert!(parked.attributes.get("ErrorMessage").is_some_and(|why| !why.is_empty()), "{id}: {:?}", parked.attributes);
    stack.delete(&queue, &parked.message_id).await
}
