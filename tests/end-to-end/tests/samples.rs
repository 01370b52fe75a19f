//! The contracts in files: sample invocation events, the event catalogue, and the API descriptions.
//!
//! Each sample is read as the type its function is invoked with, and does what its name says: a name that promises
//! nothing known fails here. Together the samples tell of one order that ships and one that its customer cancels.
//! Needs no stack and no account.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what is not as these tests expect fails them, helpers included")]

use aws_lambda_events::{
    apigw::ApiGatewayV2httpRequest,
    sqs::{SqsEvent, SqsMessage},
};
use customer_signup::{CustomerSignup, shape::SignUp};
use domain::{
    CloudEvent, Currency, CustomerId, Event, EventType, IdempotencyKey, Order, OrderId, ParseError, Sku, Subject, Timestamp,
    country::Country,
    customer::Customer,
    event::{OrderCancelRequested, OrderPlaced},
    line::{self, Item, Line, QUANTITY_MAX},
    shipping::{Fact, Shipment, StoredFact},
    tracking::{self, Facts, Status},
};
use lambda_kit::{
    Ambient, Failure,
    dynamodb::Created,
    http::{Document, Request, Response, answer},
    message::Outgoing,
    publish::{PublishError, Publisher},
    secrets::{Cached, SecretStore},
};
use order_intake::{
    OrderIntake,
    catalogue::{Catalogue, Price},
    shape::{PlaceOrder, UNITS_MAX},
};
use order_status::OrderStatus;
use pipeline::orders::CancelAsked;
use serde_json::Value;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::PathBuf,
};
use template::{Resource, Template, entries, files_below, items, operations as template_rules, queues, target, workspace_root};
use unsubscribe::Unsubscribe;

/// A sample invocation event.
struct Sample {
    /// The folder it lies in: the function's name.
    function: String,
    /// The file's name without `.json`: what the sample promises.
    name: String,
    json: Value,
}

/// Every sample, in a steady order.
fn samples() -> Vec<Sample> {
    let mut samples = Vec::new();
    for function in folders("events").into_iter().filter(|folder| folder != "schemas") {
        for name in files(&format!("events/{function}")) {
            let json = read_json(&format!("events/{function}/{name}.json"));
            samples.push(Sample { function: function.clone(), name, json });
        }
    }
    samples
}

impl Sample {
    fn at(&self) -> String {
        format!("events/{}/{}.json", self.function, self.name)
    }
    fn is_http(&self) -> bool {
        self.json.get("requestContext").is_some()
    }
    fn records(&self) -> Vec<SqsMessage> {
        serde_json::from_value::<SqsEvent>(self.json.clone()).unwrap_or_else(|e| panic!("{}: {e}", self.at())).records
    }
    fn request(&self) -> ApiGatewayV2httpRequest {
        serde_json::from_value(self.json.clone()).unwrap_or_else(|e| panic!("{}: {e}", self.at()))
    }
    /// What the function reads from its queue.
    fn parsed(&self) -> Vec<Result<CloudEvent, ParseError>> {
        self.records().iter().map(|record| CloudEvent::parse(record.body.as_deref().unwrap())).collect()
    }
}

/// The sample of this path under `events/`.
fn sample(function: &str, name: &str) -> Sample {
    samples().into_iter().find(|it| it.function == function && it.name == name).unwrap_or_else(|| panic!("no sample {function}/{name}"))
}

/// The one event that a sample holds.
fn event(function: &str, name: &str) -> CloudEvent {
    let [Ok(event)] = &sample(function, name).parsed()[..] else { panic!("{function}/{name} is not one event") };
    event.clone()
}

/// What a function hears, without versions; of a function behind the HTTP API, nothing.
fn hears(template: &Template, function: &str) -> BTreeSet<String> {
    let queues = template.sources().filter(|source| source.function.folder() == Some(function)).map(|source| source.queue.id);
    queues.flat_map(|queue| template.heard_at(queue)).map(str::to_owned).collect()
}

/// Whether a function's queue holds what is no event of ours: what SES tells, and campaigns. Its own tests read its samples
/// with its own parser.
fn is_foreign(template: &Template, function: &str) -> bool {
    template.sources().any(|source| source.function.folder() == Some(function)) && hears(template, function).is_empty()
}

/// The routes of the HTTP API, `POST /orders`, with the function behind each.
fn routes(template: &Template) -> BTreeMap<String, String> {
    let route =
        |event: &Value| format!("{} {}", event["Properties"]["Method"].as_str().unwrap(), event["Properties"]["Path"].as_str().unwrap());
    let of = |function: Resource<'_>| {
        let events = entries(function.at("/Events")).filter(|(_, event)| event["Type"] == "HttpApi");
        events.map(|(_, event)| (route(event), function.folder().unwrap().to_owned())).collect::<Vec<_>>()
    };
    template.functions().flat_map(of).collect()
}

// ── every sample ────────────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn every_function_has_at_least_two_samples_and_every_sample_a_function() {
    let mut functions = folders("functions");
    for function in functions.iter().filter(|it| folders("events").contains(*it)) {
        assert!(files(&format!("events/{function}")).len() >= 2, "events/{function} needs a good case and a telling bad one");
    }
    functions.insert("schemas".to_owned());
    let wrong: Vec<_> = folders("events").symmetric_difference(&functions).cloned().collect();
    assert!(wrong.is_empty(), "in events/ or in functions/, not in both: {wrong:?}");
}

#[test]
fn every_sample_does_what_its_name_says() {
    let template = Template::read().unwrap();
    let routes = routes(&template);
    for sample in samples() {
        let heard = hears(&template, &sample.function);
        if is_foreign(&template, &sample.function) {
            foreign_batch_does_what_its_name_says(&sample);
        } else if heard.is_empty() && !routes.values().any(|function| *function == sample.function) {
            question_does_what_its_name_says(&sample);
        } else if heard.is_empty() {
            let request = sample.request();
            let route = request.route_key.clone().unwrap();
            assert_eq!(routes.get(&route), Some(&sample.function), "{}: {route}", sample.at());
            request_does_what_its_name_says(&sample, &request);
        } else {
            batch_does_what_its_name_says(&sample, &heard);
        }
    }
}

fn batch_does_what_its_name_says(sample: &Sample, heard: &BTreeSet<String>) {
    let (at, parsed) = (sample.at(), sample.parsed());
    let good = |parsed: &Result<CloudEvent, ParseError>| parsed.as_ref().is_ok_and(|event| heard.contains(event.event.event_type().stem()));
    let unreadable = |parsed: &Result<CloudEvent, ParseError>| matches!(parsed, Err(ParseError::Unreadable(_)));
    let kept = match (sample.name.as_str(), &parsed[..]) {
        ("unreadable-body", [one]) => unreadable(one),
        ("unknown-type", [Err(ParseError::UnknownType(_))]) => true,
        ("unknown-version", [Err(ParseError::UnknownVersion(version))]) => heard.contains(version.rsplit_once('.').unwrap().0),
        ("source-not-allowed", [Err(ParseError::SourceNotAllowed { event_type, .. })]) => heard.contains(event_type.stem()),
        ("not-for-this-function", [Ok(event)]) => !heard.contains(event.event.event_type().stem()),
        ("duplicate", [first, second]) => good(first) && first == second,
        ("poison-in-batch", [first, middle @ .., last]) => good(first) && middle.iter().any(unreadable) && good(last),
        ("whole-story", all) => all.iter().all(good) && told(all).status() == Status::Completed && told(all).ended(),
        (name, [Ok(event)]) => good(&parsed[0]) && event.event.event_type().stem().replace(['.', '_'], "-") == name,
        _ => false,
    };
    assert!(kept, "{at} is not what it is called: {parsed:?}");
    let ids: BTreeSet<_> = sample.records().into_iter().map(|record| record.message_id).collect();
    assert_eq!(ids.len(), parsed.len(), "{at}: two messages with one id");
}

fn foreign_batch_does_what_its_name_says(sample: &Sample) {
    // SES tries a topic out with a sentence.
    let has_poison = ["unreadable-body", "poison-in-batch", "topic-validated"].contains(&sample.name.as_str());
    let records = sample.records();
    let is_json = |record: &SqsMessage| serde_json::from_str::<Value>(record.body.as_deref().unwrap()).is_ok();
    assert_eq!(records.iter().all(is_json), !has_poison, "{}", sample.at());
    let ids: BTreeSet<_> = records.iter().map(|record| &record.message_id).collect();
    assert_eq!(ids.len(), records.len(), "{}: two messages with one id", sample.at());
}

/// What people and a schedule ask a function directly.
fn question_does_what_its_name_says(sample: &Sample) {
    let json = sample.json.clone();
    let read = match sample.function.as_str() {
        "operator" => serde_json::from_value::<operator::request::Request>(json).map(|it| serde_json::to_value(it.command).unwrap()),
        _ => serde_json::from_value::<dlq_inspector::request::Request>(json).map(|it| serde_json::to_value(it.command).unwrap()),
    };
    assert_eq!(read.is_ok(), sample.name != "unreadable-request", "{}: {read:?}", sample.at());
    if let Ok(command) = read {
        let (asked, about) = command.as_object().unwrap().iter().next().unwrap();
        let is_dry = about["dry_run"] == true;
        assert_eq!(sample.name, if is_dry { format!("{asked}-dry-run") } else { asked.clone() }, "{}", sample.at());
    }
}

/// What order-tracking knows once it has heard these.
fn told(events: &[Result<CloudEvent, ParseError>]) -> Facts {
    let mut facts = Facts::default();
    for event in events.iter().flatten() {
        facts.insert(event.event.event_type(), tracking::Fact::from_event(&event.event, event.time).unwrap());
    }
    facts
}

fn request_does_what_its_name_says(sample: &Sample, request: &ApiGatewayV2httpRequest) {
    let at = sample.at();
    let is_json = |body: &str| serde_json::from_str::<Value>(body).is_ok();
    let asked = || request.path_parameters["order_id"].clone();
    match sample.name.as_str() {
        "place-order" | "place-order-to-cancel" => assert!(key(request).is_some() && is_json(&body(request)), "{at}"),
        "base64-body" => {
            let plain = self::sample("order-intake", "place-order").request();
            assert!(request.is_base64_encoded && !plain.is_base64_encoded, "{at}");
            assert_eq!((body(request), key(request)), (body(&plain), key(&plain)), "{at}: the same request, encoded");
        }
        "same-key-other-body" => {
            let first = self::sample("order-intake", "place-order").request();
            assert_eq!(key(request), key(&first), "{at}");
            assert!(is_json(&body(request)) && body(request) != body(&first), "{at}");
        }
        "no-idempotency-key" => {
            assert!(!request.headers.contains_key("idempotency-key"), "{at}");
            assert!(is_json(&body(request)), "{at}: nothing else is wrong with it");
        }
        "unreadable-body" => assert!(key(request).is_some() && !is_json(&body(request)), "{at}"),
        "several-faults" => {
            let body: Value = serde_json::from_str(&body(request)).unwrap();
            let lines = body["lines"].as_array().unwrap();
            assert!(key(request).is_some() && body.get("coupon").is_some(), "{at}: a field that orders do not have");
            assert!(!body["customer"]["email"].as_str().unwrap().contains('@'), "{at}");
            assert_eq!(lines[0]["quantity"], 0, "{at}");
            assert!(lines[1]["quantity"].as_u64() > Some(u64::from(UNITS_MAX)), "{at}");
            assert_eq!(lines[0]["sku"], lines[1]["sku"], "{at}: the same SKU twice");
        }
        "cancel-order" => assert_eq!(asked(), order_of("place-order-to-cancel").to_string(), "{at}"),
        "read-order" => assert_eq!(asked(), order_of("place-order").to_string(), "{at}"),
        "unknown-order" => {
            let id: OrderId = asked().parse().unwrap();
            assert!(every_event().keys().all(|event_id| !event_id.starts_with(&id.to_string())), "{at}: there is such an order");
        }
        "sign-up" => assert!(is_json(&body(request)), "{at}"),
        "known-address" => {
            let first: Value = serde_json::from_str(&body(&self::sample("customer-signup", "sign-up").request())).unwrap();
            let again: Value = serde_json::from_str(&body(request)).unwrap();
            assert_ne!(first, again, "{at}: another name, another case");
            assert!(first["email"].as_str().unwrap().eq_ignore_ascii_case(again["email"].as_str().unwrap()), "{at}");
        }
        "faulty-sign-up" => assert!(serde_json::from_str::<Value>(&body(request)).unwrap().get("newsletter").is_some(), "{at}"),
        "show-page" => assert_eq!(request.request_context.http.method.as_str(), "GET", "{at}"),
        "one-click" => assert_eq!(body(request), "List-Unsubscribe=One-Click", "{at}"),
        "show-confirm-page" => assert_eq!(request.request_context.http.method.as_str(), "GET", "{at}"),
        "confirm" => {
            let shown = self::sample("unsubscribe", "show-confirm-page").request();
            assert_eq!((body(request), &request.path_parameters), (String::new(), &shown.path_parameters), "{at}: the button of that page");
        }
        "forged-link" => {
            let genuine = self::sample("unsubscribe", "one-click").request();
            assert_ne!(request.path_parameters["token"], genuine.path_parameters["token"], "{at}");
        }
        "malformed-order-id" => assert!(asked().parse::<OrderId>().is_err(), "{at}"),
        _ => panic!("{at}: say in this test what the name promises"),
    }
}

#[test]
fn every_queue_sample_has_the_shape_that_lambda_hands_over() {
    let template = Template::read().unwrap();
    for sample in samples() {
        for (record, json) in sample.json["Records"].as_array().into_iter().flatten().map(|json| (parse::<SqsMessage>(json), json)) {
            let at = sample.at();
            let queue = template.sources().find(|source| source.function.folder() == Some(sample.function.as_str())).unwrap().queue;
            let arn = record.event_source_arn.as_deref().unwrap();
            assert!(arn.starts_with("arn:aws:sqs:us-east-1:123456789012:order-pipeline-"), "{at}: {arn} is no one's");
            assert_eq!(arn.ends_with(".fifo"), queue.is_fifo(), "{at}: {arn}");
            // As `sam local generate-event sqs receive-message` writes them.
            let shape = [
                "attributes",
                "awsRegion",
                "body",
                "eventSource",
                "eventSourceARN",
                "md5OfBody",
                "messageAttributes",
                "messageId",
                "receiptHandle",
            ];
            assert_eq!(keys(json), shape, "{at}");
            let mut attributes = vec!["ApproximateFirstReceiveTimestamp", "ApproximateReceiveCount", "SenderId", "SentTimestamp"];
            if queue.is_fifo() {
                attributes.extend(["MessageDeduplicationId", "MessageGroupId", "SequenceNumber"]);
                attributes.sort_unstable();
            }
            assert_eq!(keys(&json["attributes"]), attributes, "{at}");
            if is_foreign(&template, &sample.function) {
                continue;
            }
            // Raw delivery hands the topic's attributes on; the filters look at this one.
            let told = record.message_attributes["type"].string_value.as_deref().unwrap();
            match CloudEvent::parse(record.body.as_deref().unwrap()) {
                Ok(event) => {
                    assert_eq!(told, event.event.event_type().as_str(), "{at}");
                    if queue.is_fifo() {
                        assert_eq!(record.attributes["MessageGroupId"], event.subject.to_string(), "{at}");
                        assert_eq!(record.attributes["MessageDeduplicationId"], event.id(), "{at}");
                    }
                }
                Err(ParseError::UnknownType(foreign) | ParseError::UnknownVersion(foreign)) => assert_eq!(told, foreign, "{at}"),
                Err(ParseError::SourceNotAllowed { event_type, .. }) => assert_eq!(told, event_type.as_str(), "{at}"),
                Err(ParseError::Unreadable(_)) => {}
            }
        }
    }
}

#[test]
fn every_http_sample_says_the_same_thing_wherever_it_says_it() {
    for sample in samples().into_iter().filter(Sample::is_http) {
        let (at, request) = (sample.at(), sample.request());
        let (context, path) = (&request.request_context, request.raw_path.as_deref().unwrap());
        let route = request.route_key.as_deref().unwrap();
        assert_eq!(request.version.as_deref(), Some("2.0"), "{at}");
        assert_eq!((context.route_key.as_deref(), context.account_id.as_deref()), (Some(route), Some("123456789012")), "{at}");
        let filled =
            request.path_parameters.iter().fold(route.to_owned(), |route, (name, value)| route.replace(&format!("{{{name}}}"), value));
        assert_eq!(format!("{} {path}", context.http.method), filled, "{at}");
        assert_eq!(context.http.path.as_deref(), Some(path), "{at}");
        assert!(
            keys(&sample.json["headers"]).iter().all(|name| *name == name.to_lowercase()),
            "{at}: HTTP APIs hand over lower-case names"
        );
    }
}

/// A shop in memory, at a time that a test sets. No stage answers in it: what is announced is only kept.
#[derive(Default)]
struct Shop {
    now: Cell<Timestamp>,
    orders: RefCell<BTreeMap<OrderId, Order>>,
    customers: RefCell<BTreeMap<CustomerId, Customer>>,
    announced: RefCell<Vec<CloudEvent>>,
}

/// The key that signed the links of the samples.
const LINK_KEY: &str = "a sample key, never one that is in use";

impl Ambient for Shop {
    fn now(&self) -> Timestamp {
        self.now.get()
    }
    fn random(&self) -> u64 {
        self.announced.borrow().len() as u64
    }
}
impl Catalogue for &Shop {
    async fn prices(&self, skus: &[Sku]) -> Result<HashMap<Sku, Price>, Failure> {
        Ok(skus.iter().map(|sku| (sku.clone(), Price { unit_price_minor: price(sku), currency: Currency::EUR })).collect())
    }
}
impl order_intake::Orders for &Shop {
    async fn create(&self, order: &Order) -> Result<Created<Order>, Failure> {
        let stored = self.orders.borrow_mut().insert(order.order_id, order.clone());
        Ok(stored.map_or(Created::New, |first| {
            self.orders.borrow_mut().insert(order.order_id, first.clone());
            Created::Exists(first)
        }))
    }
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        Ok(self.orders.borrow().get(id).cloned())
    }
    async fn request_cancel(&self, id: &OrderId, now: Timestamp) -> Result<CancelAsked, Failure> {
        let known = self.orders.borrow().contains_key(id);
        Ok(if known { CancelAsked::Since(now) } else { CancelAsked::NoSuchOrder })
    }
}
impl customer_signup::Customers for &Shop {
    async fn sign_up(&self, new: &Customer) -> Result<Customer, Failure> {
        Ok(self.customers.borrow_mut().entry(new.customer_id).or_insert_with(|| new.clone()).clone())
    }
}
impl unsubscribe::Customers for &Shop {
    async fn unsubscribe(&self, id: &CustomerId, now: Timestamp) -> Result<bool, Failure> {
        let mut customers = self.customers.borrow_mut();
        let customer = customers.get_mut(id);
        Ok(customer.map(|customer| customer.unsubscribed_at = Some(now)).is_some())
    }
    async fn confirm(&self, id: &CustomerId, asked_at: Timestamp, now: Timestamp) -> Result<bool, Failure> {
        let mut customers = self.customers.borrow_mut();
        let customer = customers.get_mut(id).filter(|it| it.open_question().is_some_and(|asked| asked.as_second() == asked_at.as_second()));
        Ok(customer.map(|customer| customer.double_opt_in_at = Some(now)).is_some())
    }
}
impl SecretStore for &Shop {
    async fn read(&self) -> Result<Option<String>, Failure> {
        Ok(Some(LINK_KEY.to_owned()))
    }
}
impl order_status::Orders for &Shop {
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        Ok(self.orders.borrow().get(id).cloned())
    }
}
impl Publisher for &Shop {
    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), PublishError>> {
        self.announced.borrow_mut().extend(batch.iter().map(|message| CloudEvent::parse(&message.body).unwrap()));
        batch.iter().map(|_| Ok(())).collect()
    }
}

/// The functions themselves answer, in the order of the story, and the OpenAPI description has each answer.
#[tokio::test]
async fn http_samples_are_answered_by_name_and_description() {
    let story = [
        ("order-intake", "place-order", 202),
        ("order-intake", "base64-body", 202),
        ("order-intake", "same-key-other-body", 422),
        ("order-intake", "no-idempotency-key", 400),
        ("order-intake", "unreadable-body", 400),
        ("order-intake", "several-faults", 422),
        ("order-status", "read-order", 200),
        ("order-status", "unknown-order", 404),
        ("order-status", "malformed-order-id", 404),
        ("order-intake", "place-order-to-cancel", 202),
        ("order-intake", "cancel-order", 202),
        ("customer-signup", "sign-up", 202),
        ("customer-signup", "known-address", 202),
        ("customer-signup", "faulty-sign-up", 422),
        ("unsubscribe", "show-confirm-page", 200),
        ("unsubscribe", "confirm", 200),
        ("unsubscribe", "show-page", 200),
        ("unsubscribe", "one-click", 200),
        ("unsubscribe", "forged-link", 404),
    ];
    let of_http = samples().into_iter().filter(Sample::is_http).map(|sample| sample.at());
    let told: BTreeSet<_> = story.iter().map(|(function, name, _)| sample(function, name).at()).collect();
    assert_eq!(told, of_http.collect(), "every HTTP sample is in the story");

    let (api, shop, mut answers) = (read_yaml("docs/api/openapi.yaml"), Shop::default(), BTreeMap::new());
    let intake = OrderIntake { catalogue: &shop, orders: &shop, topic: &shop, ambient: &shop };
    let status = OrderStatus { orders: &shop };
    let signup = CustomerSignup { customers: &shop, topic: &shop, ambient: &shop };
    let leaving = Unsubscribe { key: Cached::new(&shop), customers: &shop, ambient: &shop };
    for (function, name, expected) in story {
        let sample = sample(function, name);
        shop.now.set(Timestamp::from_millisecond(sample.request().request_context.time_epoch).unwrap());
        macro_rules! answered_by {
            ($function:ident) => {
                answer(sample.json.clone(), Timestamp::MAX, &shop, &async |request: &Request| $function.handle(request).await).await
            };
        }
        let response = match function {
            "order-intake" => answered_by!(intake),
            "order-status" => answered_by!(status),
            "customer-signup" => answered_by!(signup),
            _ => answered_by!(leaving),
        };
        assert_eq!(response.status(), expected, "{}: {}", sample.at(), response.body());
        // A page is a text.
        let body: Value = serde_json::from_str(response.body()).unwrap_or_else(|_| response.body().into());
        let schema = described(&api, sample.request().route_key.as_deref().unwrap(), &response);
        let validator = jsonschema::options().offline().should_validate_formats(true).build(&schema).unwrap();
        validator.validate(&body).unwrap_or_else(|e| panic!("{}: {e}: {body}", sample.at()));
        answers.insert(name, (response, body));
    }
    let (placed, replayed) = (&answers["place-order"], &answers["base64-body"]);
    assert_eq!(placed.0.header("Location"), Some(&*format!("/orders/{}", order_of("place-order"))));
    assert_eq!((placed.0.header("Idempotency-Replayed"), replayed.0.header("Idempotency-Replayed")), (None, Some("true")));
    assert_eq!(placed.1, replayed.1);
    assert_ne!(answers["no-idempotency-key"].1["type"], answers["unreadable-body"].1["type"]);
    assert_ne!(answers["same-key-other-body"].1["type"], answers["several-faults"].1["type"]);
    let faults: BTreeSet<_> =
        answers["several-faults"].1["errors"].as_array().unwrap().iter().map(|fault| fault["pointer"].as_str().unwrap()).collect();
    let expected = ["#/coupon", "#/customer/email", "#/lines/0/quantity", "#/lines/1/quantity", "#/lines/1/sku"];
    assert_eq!(faults, expected.into());

    // What intake announces are the events of the samples that follow; only the span of the trace is made up anew.
    let without_span = |event: &CloudEvent| CloudEvent { traceparent: event.traceparent.as_deref().map(trace), ..event.clone() };
    let known = every_event();
    let announced = shop.announced.borrow();
    for event in announced.iter() {
        assert_eq!(known.get(&event.id()).map(without_span), Some(without_span(event)));
    }
    let types: Vec<_> = announced.iter().map(|event| event.event.event_type().stem()).collect();
    let signed_up = ["customer.signed_up"; 2];
    let of_orders = ["order.placed", "order.placed", "order.placed", "order.cancel_requested"];
    assert_eq!(types, [of_orders.as_slice(), &signed_up].concat(), "a replay announces again");
    assert_eq!(answers["sign-up"].1, answers["known-address"].1, "nobody learns who is a customer");
    let customers = shop.customers.borrow();
    assert!(customers.values().all(|customer| customer.double_opt_in_at.is_some()), "the button confirmed");
    assert!(customers.values().all(|customer| customer.unsubscribed_at.is_some()), "one click ended it");
}

/// What the description says of this answer's body.
fn described(api: &Value, route: &str, response: &Response) -> Value {
    let (method, path) = route.split_once(' ').unwrap();
    let answer = &api["paths"][path][method.to_lowercase()]["responses"][response.status().to_string()];
    let answer = answer["$ref"].as_str().map_or(answer, |reference| api.pointer(&reference[1..]).unwrap());
    let schema = &answer["content"][response.header("Content-Type").unwrap()]["schema"]["$ref"];
    assert!(schema.is_string(), "{route} {}: the description does not have this answer", response.status());
    serde_json::json!({ "$ref": schema, "components": api["components"] })
}

/// The trace id of a `traceparent`.
fn trace(traceparent: &str) -> String {
    traceparent.split('-').nth(1).unwrap().to_owned()
}

// ── one story ───────────────────────────────────────────────────────────────────────────────────────────────────────

/// Every event of every sample and of every example in a schema, by its id.
fn every_event() -> BTreeMap<String, CloudEvent> {
    let schemas = files("events/schemas").into_iter().map(|name| read_json(&format!("events/schemas/{name}.json")));
    let examples = schemas.flat_map(|schema| schema["examples"].as_array().cloned().unwrap_or_default());
    let examples = examples.map(|example| CloudEvent::parse(&example.to_string()).unwrap());
    let template = Template::read().unwrap();
    let of_events = |sample: &Sample| sample.json.get("Records").is_some() && !is_foreign(&template, &sample.function);
    let sent = samples().into_iter().filter(of_events).flat_map(|sample| sample.parsed()).flatten();
    let mut known = BTreeMap::<String, CloudEvent>::new();
    for event in examples.chain(sent) {
        let first = known.entry(event.id()).or_insert_with(|| event.clone());
        assert_eq!(*first, event, "one id, two events");
    }
    known
}

/// The order that this sample of order-intake places.
fn order_of(name: &str) -> OrderId {
    OrderId::from_key(&key(&sample("order-intake", name).request()).unwrap(), None)
}

#[test]
fn the_samples_tell_of_one_order_that_ships() {
    let request = sample("order-intake", "place-order").request();
    let (asked, id): (Value, _) = (serde_json::from_str(&body(&request)).unwrap(), order_of("place-order"));
    let all = every_event();
    let story = |event_type: EventType| &all[&format!("{id}/{event_type}")];

    let placed = story(EventType::OrderPlaced);
    let Event::OrderPlaced(OrderPlaced { lines, total, payment_method }) = &placed.event else { panic!() };
    assert_eq!(lines, &priced(&asked["lines"]), "at the prices of the catalogue");
    assert_eq!(total.amount_minor, lines.iter().map(|line| line.unit_price_minor * u64::from(line.quantity)).sum::<u64>());
    assert_eq!(
        (total.currency.code(), payment_method.as_str()),
        (asked["currency"].as_str().unwrap(), asked["payment_method"].as_str().unwrap())
    );

    let (reserved, authorized) = (story(EventType::InventoryReserved), story(EventType::PaymentAuthorized));
    let Event::InventoryReserved(set_aside) = &reserved.event else { panic!() };
    let Event::PaymentAuthorized(hold) = &authorized.event else { panic!() };
    assert_eq!((&set_aside.items, &hold.amount), (&line::items(lines), total));

    let shipped = story(EventType::OrderShipped);
    let stored = [(reserved, reserved.time), (authorized, shipped.time)];
    let facts = stored.map(|(event, at)| StoredFact { at, fact: Fact::from_event(&event.event).unwrap() });
    assert_eq!(Shipment { order_id: id, facts: facts.to_vec() }.decision(), Some((shipped.event.clone(), shipped.time)));

    let (committed, captured) = (story(EventType::InventoryCommitted), story(EventType::PaymentCaptured));
    let Event::InventoryCommitted(left) = &committed.event else { panic!() };
    let Event::PaymentCaptured(collected) = &captured.event else { panic!() };
    assert_eq!((&left.items, &collected.amount), (&line::items(lines), total));

    for pair in [placed, reserved, authorized, shipped, committed, captured].windows(2) {
        assert!(pair[0].time < pair[1].time, "{} before {}", pair[0].id(), pair[1].id());
    }
    let told = all.values().filter(|event| event.subject == Subject::Order(id)).map(|event| trace(event.traceparent.as_deref().unwrap()));
    assert_eq!(told.collect::<BTreeSet<_>>(), BTreeSet::from([trace(request.headers["traceparent"].to_str().unwrap())]), "one trace");
}

#[test]
fn the_samples_tell_of_one_order_that_its_customer_cancels() {
    let id = order_of("place-order-to-cancel");
    let requested = event("shipping", "order-cancel-requested");
    let cancelled = event("payment", "order-cancelled");
    assert_eq!((requested.subject, cancelled.subject), (Subject::Order(id), Subject::Order(id)));
    let Event::OrderCancelRequested(OrderCancelRequested { reason }) = requested.event else { panic!() };
    let facts = vec![StoredFact { at: cancelled.time, fact: Fact::CancelRequested { reason } }];
    assert_eq!(Shipment { order_id: id, facts }.decision(), Some((cancelled.event.clone(), cancelled.time)));
    assert_eq!(event("inventory", "order-cancelled"), cancelled);
}

#[test]
fn no_order_of_a_sample_is_both_shipped_and_cancelled() {
    let subjects = |wanted: &[EventType]| -> BTreeSet<String> {
        let of = |event: &&CloudEvent| wanted.contains(&event.event.event_type());
        every_event().values().filter(of).map(|event| event.subject.to_string()).collect()
    };
    use EventType as T;
    let shipped = subjects(&[T::OrderShipped, T::PaymentCaptured, T::PaymentCaptureFailed, T::InventoryCommitted]);
    let cancelled = subjects(&[T::OrderCancelled, T::PaymentVoided, T::InventoryReleased]);
    assert!(!shipped.is_empty() && !cancelled.is_empty());
    assert_eq!(shipped.intersection(&cancelled).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// What was asked for, at the prices of the catalogue that the local run seeds.
fn priced(asked: &Value) -> Vec<Line> {
    let items: Vec<Item> = parse(asked);
    items.into_iter().map(|Item { sku, quantity }| Line { unit_price_minor: price(&sku), sku, quantity }).collect()
}

/// The price in the catalogue that the local run seeds.
fn price(sku: &Sku) -> u64 {
    let catalogue = read_json("local/seed/catalogue.json");
    let item = catalogue.as_array().unwrap().iter().find(|item| item["sku"] == sku.as_str()).unwrap();
    assert_eq!(item["currency"], "EUR");
    item["unit_price_minor"].as_u64().unwrap()
}

// ── the catalogue ───────────────────────────────────────────────────────────────────────────────────────────────────

/// The rows of the catalogue's table: event, meaning, producers, consumers, schema, example.
fn catalogue() -> Vec<[String; 6]> {
    let text = read("events/README.md");
    let rows = text.lines().filter(|line| line.starts_with("| `") && line.contains(".v1` |"));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    rows.map(|line| cells(line).try_into().unwrap_or_else(|cells| panic!("six cells: {cells:?}"))).collect()
}

/// The names in a cell: those between `mark`s.
fn marked(cell: &str, mark: char) -> BTreeSet<String> {
    cell.split(mark).skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn the_catalogue_lists_every_event_with_its_producers_and_consumers() {
    let template = Template::read().unwrap();
    let listed: Vec<_> = catalogue().iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    assert_eq!(listed, EventType::ALL.iter().map(|known| known.as_str()).collect::<Vec<_>>(), "in the order in which an order meets them");
    let named: BTreeSet<_> = catalogue().iter().flat_map(|row| marked(&row[3], '`')).collect();
    let strange: Vec<_> = named.difference(&folders("functions")).cloned().collect();
    assert!(strange.is_empty(), "events/README.md lists consumers that are no function: {strange:?}");
    for ([_, meaning, producers, consumers, ..], event_type) in catalogue().iter().zip(EventType::ALL) {
        assert!(meaning.ends_with('.'), "{event_type}");
        let may: BTreeSet<_> = event_type.producers().iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(marked(producers, '`'), may, "producers of {event_type}");
        // A queue that no function consumes is there for people.
        let queues = template.queues().filter(|queue| template.heard_at(queue.id).any(|heard| heard == event_type.stem()));
        let consumer = |queue: &str| {
            template.sources().find(|source| source.queue.id == queue).and_then(|source| source.function.folder().map(str::to_owned))
        };
        let subscribed: BTreeSet<_> = queues.map(|queue| consumer(queue.id).unwrap_or_else(|| queue.id.to_owned())).collect();
        assert_eq!(marked(consumers, '`'), subscribed, "consumers of {event_type}; write them in events/README.md");
        assert!(marked(consumers, '*').is_empty(), "{event_type}: all its consumers are here");
    }
}

#[test]
fn schema_and_example_of_every_row_are_of_its_event() {
    for [event, .., schema, example] in catalogue() {
        let (event, schema, example) = (event.trim_matches('`'), link(&schema), link(&example));
        assert_eq!(schema, format!("schemas/{event}.json"));
        let json = read_json(&format!("events/{example}"));
        if example == schema {
            assert!(!json["examples"].as_array().unwrap().is_empty());
        } else {
            let record = &parse::<SqsEvent>(&json).records[0];
            assert_eq!(CloudEvent::parse(record.body.as_deref().unwrap()).unwrap().event.event_type().as_str(), event);
        }
    }
}

/// On the pages as they were, `.cargo/deny.toml` refused a crate for a reason in "docs/decisions" that no record gave.
#[test]
fn every_decision_is_listed_and_every_named_one_exists() {
    let listed = read("docs/architecture.md");
    let entries = fs::read_dir(workspace_root().join("docs/decisions")).unwrap();
    let records: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    for record in &records {
        assert!(listed.contains(&format!("](decisions/{record})")), "docs/architecture.md does not list {record}");
        let text = read(&format!("docs/decisions/{record}"));
        let lacks: Vec<_> = ["**Context.**", "**Decision.**", "**Consequence.**"].into_iter().filter(|part| !text.contains(part)).collect();
        assert!(lacks.is_empty(), "{record} lacks {lacks:?}");
        assert!(text.contains("**How to go back.**") || text.contains("**What would change it.**"), "{record} is for ever");
    }
    for page in ["Cargo.toml", ".cargo/config.toml", ".cargo/deny.toml"] {
        for named in read(page).split("docs/decisions").skip(1) {
            let exists = records.iter().any(|record| named.strip_prefix('/').is_some_and(|named| named.starts_with(record)));
            assert!(exists, "{page} names no record: docs/decisions{}", named.lines().next().unwrap_or_default());
        }
    }
}

/// A promise whose test has gone is no promise.
#[test]
fn every_test_that_a_page_names_exists() {
    let files =
        ["functions", "shared", "tests", "xtask"].into_iter().flat_map(|folder| files_below(workspace_root().join(folder), &[]).unwrap());
    let is_source = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let sources: Vec<_> = files.filter(is_source).map(|path| fs::read_to_string(path).unwrap()).collect();
    let words = |text: &str| -> Vec<String> { text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(str::to_owned).collect() };
    let tests: BTreeSet<_> = sources
        .iter()
        .flat_map(|source| source.split("fn ").skip(1))
        .filter_map(|rest| words(rest.lines().next().unwrap_or_default()).into_iter().next())
        .collect();
    for page in ["docs/guarantees.md", "docs/threat-model.md", "docs/adding-a-consumer.md"] {
        let text = read(page);
        let named: Vec<_> =
            text.split('`').skip(1).step_by(2).filter(|name| name.matches('_').count() > 2 && words(name).len() == 1).collect();
        assert!(!named.is_empty(), "{page} names no test");
        for name in named {
            assert!(tests.contains(name), "{page} names `{name}`, and there is no such test");
        }
    }
}

/// The target of the one link in a cell.
fn link(cell: &str) -> String {
    cell.split_once("](").unwrap().1.trim_end_matches(')').to_owned()
}

// ── the API descriptions ────────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn the_openapi_description_has_the_templates_routes_and_domains_limits() {
    let api = read_yaml("docs/api/openapi.yaml");
    let methods = |path: &str, item: &Value| -> Vec<String> {
        keys(item).into_iter().filter(|key| *key != "parameters").map(|method| format!("{} {path}", method.to_uppercase())).collect()
    };
    let described: BTreeSet<_> = entries(&api["paths"]).flat_map(|(path, item)| methods(path, item)).collect();
    assert_eq!(described, routes(&Template::read().unwrap()).into_keys().collect());

    let schemas = &api["components"]["schemas"];
    assert_eq!(schemas["Quantity"]["maximum"], QUANTITY_MAX);
    assert_eq!(schemas["OrderRequest"]["properties"]["lines"]["items"]["properties"]["quantity"]["maximum"], UNITS_MAX);
    assert_eq!(schemas["OrderRequest"]["properties"]["lines"]["maxItems"], line::LINES_MAX);
    assert_eq!(schemas["Money"]["properties"]["amount_minor"]["maximum"], domain::money::AMOUNT_MINOR_MAX);
    assert_eq!(schemas["Line"]["properties"]["unit_price_minor"]["maximum"], domain::money::AMOUNT_MINOR_MAX);
    let known = [Status::Received, Status::Processing, Status::Cancelled, Status::Shipped, Status::Uncollected, Status::Completed];
    assert_eq!(schemas["Status"]["enum"], serde_json::to_value(known).unwrap());
    every_reference_resolves(&api, "docs/api/openapi.yaml");
}

#[test]
fn the_openapi_description_enumerates_the_currencies_and_countries_of_the_domain() {
    let schemas = &read_yaml("docs/api/openapi.yaml")["components"]["schemas"];
    let charged: Vec<_> = domain::charge::currencies().map(|currency| currency.code()).collect();
    assert_eq!(schemas["ChargedCurrency"]["enum"], serde_json::json!(charged));
    let countries = |which: fn(&Country) -> bool| -> Value {
        domain::country::all().iter().filter(|country| which(country)).map(|country| country.code).collect()
    };
    assert_eq!(schemas["Country"]["enum"], countries(|_| true));
    let rules = &schemas["OrderRequest"]["properties"]["shipping_address"]["allOf"];
    assert_eq!(rules[0]["if"]["properties"]["country"]["enum"], countries(|country| !country.needs_town));
    assert_eq!(rules[1]["if"]["properties"]["country"]["enum"], countries(|country| country.postal_code.is_some()));
}

#[test]
fn the_openapi_description_takes_the_addresses_that_are_taken() {
    let api = read_yaml("docs/api/openapi.yaml");
    let schema = serde_json::json!({ "$ref": "#/components/schemas/OrderRequest", "components": api["components"] });
    let validator = jsonschema::options().offline().build(&schema).unwrap();
    let mut order: Value = serde_json::from_str(&body(&sample("order-intake", "place-order").request())).unwrap();
    for country in domain::country::all() {
        let (needs_town, postal_code) = (country.needs_town, country.postal_code.map(|known| known.example));
        for (city, code, good) in [
            (Some("Town"), postal_code, true),
            (Some("Town"), None, postal_code.is_none()),
            (None, postal_code, !needs_town),
            (Some("Town"), Some(""), postal_code.is_none()),
        ] {
            order["shipping_address"] =
                serde_json::json!({"line1": "1 Sample Street", "line2": "", "city": city, "postal_code": code, "country": country.code});
            assert_eq!(validator.is_valid(&order), good, "{}", order["shipping_address"]);
            let document = lambda_kit::http::Document { value: order.clone() };
            assert_eq!(order_intake::shape::PlaceOrder::parse(&document).is_ok(), good, "{}", order["shipping_address"]);
        }
    }
}

#[test]
fn the_descriptions_name_the_licence_of_the_repository() {
    let licence = read("LICENSE").lines().next().unwrap().trim_end_matches(" License").to_owned();
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    assert_eq!(manifest["workspace"]["package"]["license"].as_str(), Some(&*licence));
    let of = |path: &str| read_yaml(path)["info"]["license"].clone();
    assert_eq!(of("docs/api/openapi.yaml"), serde_json::json!({"name": licence, "identifier": licence}));
    assert_eq!(of("docs/api/asyncapi.yaml"), serde_json::json!({ "name": licence }));
}

/// Every operation of the OpenAPI description, by its route.
fn operations(api: &Value) -> Vec<(String, &Value)> {
    let of_path =
        |(path, item)| entries(item).filter(|(key, _)| *key != "parameters").map(move |(method, it)| (format!("{method} {path}"), it));
    entries(&api["paths"]).flat_map(of_path).collect()
}

/// What the description says of an answer of this operation.
fn answer_of<'a>(api: &'a Value, operation: &'a Value, status: &str) -> &'a Value {
    let answer = &operation["responses"][status];
    answer["$ref"].as_str().map_or(answer, |reference| api.pointer(&reference[1..]).unwrap())
}

/// The template throttles every route; API Gateway refuses what HTTP does not allow, and answers for a function that does not.
#[test]
fn every_operation_has_the_answers_of_the_gateway() {
    let api = read_yaml("docs/api/openapi.yaml");
    for (route, operation) in operations(&api) {
        let too_large = route.starts_with("post").then_some("413");
        for status in ["400", "429", "500", "503"].into_iter().chain(too_large) {
            let schema = &answer_of(&api, operation, status)["content"]["application/json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/GatewayAnswer", "{route} {status}");
        }
        assert_eq!(operation["responses"]["default"], Value::Null, "{route}: any answer would be a documented one");
    }
    let schema = serde_json::json!({"$ref": "#/components/schemas/GatewayAnswer", "components": api["components"]});
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&serde_json::json!({"message": "Not Found"})) && !validator.is_valid(&serde_json::json!({})));
    assert!(api["info"]["description"].as_str().unwrap().contains("404 for a path or method that is not in this document"));
}

#[test]
fn pages_of_admitted_sites_may_send_and_read_every_header_of_the_description() {
    let api = read_yaml("docs/api/openapi.yaml");
    let (mut sent, mut read) = (BTreeSet::from(["content-type".to_owned()]), BTreeSet::new());
    for (_, operation) in operations(&api) {
        for parameter in items(&operation["parameters"]) {
            let parameter = api.pointer(&parameter["$ref"].as_str().unwrap()[1..]).unwrap();
            sent.extend((parameter["in"] == "header").then(|| parameter["name"].as_str().unwrap().to_lowercase()));
        }
        for status in keys(&operation["responses"]) {
            let answer = answer_of(&api, operation, status);
            // What a page for people carries is for the browser.
            if !keys(&answer["content"]).iter().any(|kind| kind.starts_with("text/html")) {
                read.extend(keys(&answer["headers"]).into_iter().map(str::to_lowercase));
            }
        }
    }
    let all_of = |listed: &[&str], wanted: BTreeSet<String>| wanted.iter().all(|name| listed.contains(&name.as_str()));
    assert!(sent.len() > 1 && all_of(template_rules::SENT_BY_PAGES, sent));
    assert!(read.len() > 1 && all_of(template_rules::READ_BY_PAGES, read));
}

/// What a schema of the OpenAPI description takes.
fn described_as(schema: &str) -> impl Fn(&Value) -> bool {
    let api = read_yaml("docs/api/openapi.yaml");
    let schema = serde_json::json!({"$ref": schema, "components": api["components"], "paths": api["paths"]});
    let validator = jsonschema::options().offline().should_validate_formats(true).build(&schema).unwrap();
    move |value| validator.is_valid(value)
}

/// Whether a function takes a body of `sample` in which `value` stands at `pointer`.
fn takes(sample: (&str, &str), pointer: &str, value: &Value) -> bool {
    let mut body: Value = serde_json::from_str(&body(&self::sample(sample.0, sample.1).request())).unwrap();
    *body.pointer_mut(pointer).unwrap() = value.clone();
    let document = Document { value: body };
    if sample.0 == "order-intake" { PlaceOrder::parse(&document).is_ok() } else { SignUp::parse(&document).is_ok() }
}

/// What the description says of a value, the functions say too: a client that checks by it is neither refused nor surprised.
#[test]
fn the_openapi_description_and_the_functions_agree_on_every_value() {
    let (order, sign_up) = (("order-intake", "place-order"), ("customer-signup", "sign-up"));
    let same = |schema: &str, at: &[((&str, &str), &str)], values: Vec<(Value, bool)>| {
        let described = described_as(schema);
        for (value, good) in values {
            assert_eq!(described(&value), good, "{schema}: {value}");
            for (sample, pointer) in at {
                assert_eq!(takes(*sample, pointer, &value), good, "{sample:?} {pointer}: {value}");
            }
        }
    };
    let texts = |good: &[&str], bad: &[&str]| -> Vec<(Value, bool)> {
        let both = good.iter().map(|text| (*text, true)).chain(bad.iter().map(|text| (*text, false)));
        both.map(|(text, good)| (Value::from(text), good)).collect()
    };
    let (hundred, over) = ("ä".repeat(100), format!("{} ", "ä".repeat(100)));
    let good = ["Zoë", " Zoë\t\n", "Ada\u{a0}Lovelace", "\u{3000}王小明\u{85}", "www", "a:b//c", &hundred];
    let bad = ["", " ", "\u{2028}\u{85}", "a\nb", "a\u{0}b", "a\u{7f}b", "a\u{85}b", "a\u{2029}b", "WwW.a", "x://y", &over];
    let places = [(order, "/customer/name"), (order, "/shipping_address/line1"), (sign_up, "/name")];
    same("#/components/schemas/Text", &places, texts(&good, &bad).into_iter().chain([(Value::Null, false), (7.into(), false)]).collect());

    let (local, label) = ("a".repeat(64), "b".repeat(63));
    let (long_local, long_label) = (format!("{local}a@example.com"), format!("a@{label}b.com"));
    let (local, label) = (format!("{local}@example.com"), format!("a@{label}.com"));
    let good = ["ada@example.com", "a.b+c!#$%&'*/=?^_`{|}~-@x-y.co", "ada@xn--exmple-cua.com", "A@B.c", "a@1.2.x3", &local, &label];
    let bad = [
        "ada",
        "@b.co",
        "a@",
        "a@localhost",
        "a..b@c.co",
        ".a@c.co",
        "a@c..co",
        "a@-c.co",
        "a@c-.co",
        "a@c_d.co",
        "a@c!d.co",
        "a@192.0.2.7",
        "a@[192.0.2.7]",
        "zoë@example.com",
        "a@exämple.com",
        "a b@c.co",
        "a@c.co,b@c.co",
        &long_local,
        &long_label,
    ];
    same("#/components/schemas/Email", &[(order, "/customer/email"), (sign_up, "/email")], texts(&good, &bad));

    let quantity = "#/components/schemas/OrderRequest/properties/lines/items/properties/quantity";
    let numbers = [("1", true), ("20", true), ("2.0", true), ("2e1", true), ("0", false), ("21", false), ("1.5", false), ("\"2\"", false)];
    let numbers = numbers.map(|(text, good)| (serde_json::from_str(text).unwrap(), good)).into();
    same(quantity, &[(order, "/lines/0/quantity")], numbers);

    let sku = texts(&["A", "9", "MUG-BLUE", "A._-"], &["", "mug", "-A", "A B", "A\n", &"A".repeat(65)]);
    same("#/components/schemas/Sku", &[(order, "/lines/0/sku")], sku);
    let payment_method = "#/components/schemas/OrderRequest/properties/payment_method";
    let methods = texts(&["pm_card_visa", "a", &"a".repeat(255)], &["", "4242", "_a", "pm a", "pm\n", "pmä", &"a".repeat(256)]);
    same(payment_method, &[(order, "/payment_method")], methods);
}

#[test]
fn the_openapi_description_and_order_intake_agree_on_idempotency_keys() {
    let described = described_as("#/components/parameters/IdempotencyKey/schema");
    let v4 = "9f1b4c1e-7a0b-4d3c-8e2f-1a2b3c4d5e6f";
    let good = [v4.to_owned(), v4.to_uppercase(), v4.replace("-4d", "-7d"), v4.replace("-8e", "-be"), format!("\"{v4}\"")];
    let bad = [
        String::new(),
        v4.replace('-', ""),
        format!("{{{v4}}}"),
        format!("urn:uuid:{v4}"),
        format!("\"{v4}"),
        format!("{v4},{v4}"),
        format!("{v4}\n"),
        v4.replace("-4d", "-1d"),
        v4.replace("-4d", "-8d"),
        v4.replace("-8e", "-7e"),
        v4.replace("-8e", "-ce"),
        v4.replace('9', "g"),
    ];
    for (key, is_good) in good.iter().map(|key| (key, true)).chain(bad.iter().map(|key| (key, false))) {
        assert_eq!((described(&Value::from(key.as_str())), key.parse::<IdempotencyKey>().is_ok()), (is_good, is_good), "{key:?}");
    }
}

/// A token's claims are what its issuer wrote, and what stands before a function is not always API Gateway.
#[tokio::test]
async fn every_function_behind_the_api_reads_numbers_lists_and_nulls_in_its_event() {
    for sample in samples().into_iter().filter(Sample::is_http) {
        let mut odd = sample.json.clone();
        odd["cookies"] = 7.into();
        odd["queryStringParameters"] = serde_json::json!({"page": 1, "none": null});
        odd["headers"].as_object_mut().unwrap().extend([("content-length".to_owned(), 2.into()), ("x-none".to_owned(), Value::Null)]);
        odd["requestContext"]["timeEpoch"] = Value::Null;
        odd["requestContext"]["authorizer"] = serde_json::json!({"jwt": {"claims": {"exp": 1_700_000_000, "admin": false, "groups": ["a", "b"], "none": null}, "scopes": "a b"}});
        let (plain, odd) = (answered_alone(&sample.function, &sample.json).await, answered_alone(&sample.function, &odd).await);
        assert!(plain < 500, "{}", sample.at());
        assert_eq!(odd, plain, "{}", sample.at());
    }
}

/// The status that a function answers an event with, in a shop where nothing has happened yet.
async fn answered_alone(function: &str, event: &Value) -> u16 {
    let shop = Shop::default();
    macro_rules! answered_by {
        ($function:expr) => {{
            let function = $function;
            answer(event.clone(), Timestamp::MAX, &shop, &async |request: &Request| function.handle(request).await).await.status()
        }};
    }
    match function {
        "order-intake" => answered_by!(OrderIntake { catalogue: &shop, orders: &shop, topic: &shop, ambient: &shop }),
        "order-status" => answered_by!(OrderStatus { orders: &shop }),
        "customer-signup" => answered_by!(CustomerSignup { customers: &shop, topic: &shop, ambient: &shop }),
        "unsubscribe" => answered_by!(Unsubscribe { key: Cached::new(&shop), customers: &shop, ambient: &shop }),
        other => panic!("nothing here is {other}"),
    }
}

#[test]
fn the_openapi_description_accepts_good_samples_and_refuses_faulty_ones() {
    let api = read_yaml("docs/api/openapi.yaml");
    let schema = serde_json::json!({ "$ref": "#/components/schemas/OrderRequest", "components": api["components"] });
    let validator = jsonschema::options().offline().should_validate_formats(true).build(&schema).unwrap();
    let asked = |name: &str| serde_json::from_str::<Value>(&body(&sample("order-intake", name).request())).unwrap();
    for good in ["place-order", "place-order-to-cancel", "base64-body", "same-key-other-body", "no-idempotency-key"] {
        validator.validate(&asked(good)).unwrap_or_else(|e| panic!("{good}: {e}"));
    }
    let faults = validator.iter_errors(&asked("several-faults")).map(|fault| fault.instance_path().to_string()).collect::<BTreeSet<_>>();
    assert_eq!(faults, ["", "/customer/email", "/lines/0/quantity", "/lines/1/quantity"].map(str::to_owned).into());
}

/// The channels of the AsyncAPI description, and their topics.
const CHANNELS: [(&str, &str); 2] = [("orderEvents", "OrderEventsTopic"), ("publicEvents", "PublicEventsTopic")];

#[test]
fn the_asyncapi_description_lists_every_event_and_who_sends_and_receives_it() {
    let api = read_yaml("docs/api/asyncapi.yaml");
    let known: BTreeSet<_> = EventType::ALL.iter().map(|known| known.as_str()).collect();
    assert_eq!(keys(&api["components"]["messages"]).into_iter().collect::<BTreeSet<_>>(), known);
    let (template, functions) = (Template::read().unwrap(), folders("functions"));
    for (channel, topic) in CHANNELS {
        let on_it = |known: &&EventType| {
            let mut subscriptions = template.subscriptions().filter(|it| target(it.at("/TopicArn")) == Some(topic));
            subscriptions.any(|it| queues::admits(&it, known))
        };
        let on_it: BTreeSet<_> = EventType::ALL.iter().filter(on_it).map(|known| known.as_str()).collect();
        assert_eq!(keys(&api["channels"][channel]["messages"]).into_iter().collect::<BTreeSet<_>>(), on_it, "{channel}");
    }
    for (name, message) in entries(&api["components"]["messages"]) {
        assert_eq!(message["payload"]["schema"]["$ref"], format!("../../events/schemas/{name}.json"));
        assert_eq!(message["name"], name);
    }
    let tagged = entries(&api["operations"]).map(|(_, operation)| operation["tags"][0]["name"].as_str().unwrap());
    let strange: Vec<_> = tagged.filter(|name| !functions.contains(*name)).collect();
    assert!(strange.is_empty(), "docs/api/asyncapi.yaml has operations of no function: {strange:?}");
    for function in &functions {
        let (mut sends, mut receives) = (BTreeSet::new(), BTreeSet::new());
        for operation in api["operations"].as_object().unwrap().values().filter(|operation| operation["tags"][0]["name"] == **function) {
            let messages = operation["messages"]
                .as_array()
                .unwrap()
                .iter()
                .map(|message| message["$ref"].as_str().unwrap().rsplit_once('/').unwrap().1);
            let channel = operation["channel"]["$ref"].as_str().unwrap().rsplit_once('/').unwrap().1;
            assert!(
                operation["messages"].as_array().unwrap().iter().all(|it| it["$ref"].as_str().unwrap().contains(channel)),
                "{function}"
            );
            if operation["action"] == "send" {
                let topic = CHANNELS.iter().find(|(name, _)| *name == channel).unwrap().1;
                let deployed = template.functions().find(|deployed| deployed.folder() == Some(function.as_str())).unwrap();
                let mut told = entries(deployed.at("/Environment/Variables")).filter_map(|(_, value)| target(value));
                assert!(told.any(|told| told == topic), "{function} sends to {channel}");
                sends.extend(messages);
            } else {
                receives.extend(messages);
            }
        }
        let heard = hears(&template, function);
        let expected: BTreeSet<_> =
            EventType::ALL.iter().filter(|known| heard.contains(known.stem())).map(|known| known.as_str()).collect();
        assert_eq!(receives, expected, "{function} receives; write it in docs/api/asyncapi.yaml");
        let published: BTreeSet<_> =
            EventType::ALL.iter().filter(|known| known.producers().contains(&function.as_str())).map(|known| known.as_str()).collect();
        assert_eq!(sends, published, "{function} sends; write it in docs/api/asyncapi.yaml");
    }
    every_reference_resolves(&api, "docs/api/asyncapi.yaml");
}

/// Every `$ref` in `document` leads somewhere: inside, or to a file beside it.
fn every_reference_resolves(document: &Value, path: &str) {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        if let Some(map) = value.as_object() {
            found.extend(map.get("$ref").and_then(Value::as_str));
            map.values().for_each(|inner| references(inner, found));
        }
        value.as_array().into_iter().flatten().for_each(|inner| references(inner, found));
    }
    let mut found = Vec::new();
    references(document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let resolves = match reference.strip_prefix('#') {
            Some(pointer) => document.pointer(pointer).is_some(),
            None => workspace_root().join(path).parent().unwrap().join(reference).exists(),
        };
        assert!(resolves, "{path}: {reference}");
    }
}

// ── reading files ───────────────────────────────────────────────────────────────────────────────────────────────────

fn read(path: &str) -> String {
    fs::read_to_string(workspace_root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}
fn read_json(path: &str) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}
fn read_yaml(path: &str) -> Value {
    yaml_serde::from_str(&read(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}
fn parse<T: serde::de::DeserializeOwned>(json: &Value) -> T {
    T::deserialize(json).unwrap()
}
/// The names of the folders in a folder.
fn folders(path: &str) -> BTreeSet<String> {
    list(path).into_iter().filter(|entry| entry.is_dir()).map(|entry| name_of(entry.file_name())).collect()
}
/// The names of the JSON files in a folder, without `.json`.
fn files(path: &str) -> BTreeSet<String> {
    let is_json = |entry: &PathBuf| entry.extension().is_some_and(|extension| extension == "json");
    list(path).into_iter().filter(is_json).map(|entry| name_of(entry.file_stem())).collect()
}
fn list(path: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(workspace_root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    entries.map(|entry| entry.unwrap().path()).collect()
}
fn name_of(part: Option<&std::ffi::OsStr>) -> String {
    part.unwrap().to_str().unwrap().to_owned()
}
/// The keys of an object, sorted.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = entries(value).map(|(key, _)| key).collect();
    keys.sort_unstable();
    keys
}
/// The body of a request, decoded.
fn body(request: &ApiGatewayV2httpRequest) -> String {
    let body = request.body.clone().unwrap_or_default();
    if !request.is_base64_encoded {
        return body;
    }
    String::from_utf8(base64_simd::STANDARD.decode_to_vec(body).unwrap()).unwrap()
}
/// The idempotency key of a request.
fn key(request: &ApiGatewayV2httpRequest) -> Option<IdempotencyKey> {
    request.headers.get("idempotency-key").map(|value| value.to_str().unwrap().parse().unwrap())
}
