//! What an order costs in AWS calls: the real stages under the real batch core, against the deployed tables, with every
//! call that leaves the SDK counted; and one order on the deployed pipeline, with every call that reaches the engine counted.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use anyhow::{Context, Result};
use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, ConfigBag, Credentials, Intercept, Region, RuntimeComponents, SharedCredentialsProvider,
    interceptors::BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{interceptors::dyn_dispatch_hint, orchestrator::Metadata},
};
use domain::{
    CloudEvent, Currency, Money, OrderId, Timestamp,
    event::{OrderShipped, PaymentAuthorized, PaymentDeclined, PaymentRef},
    line::Item,
};
use end_to_end::{
    events::{event, new_order, now, placed},
    wiring::messages_of_an_order_that_ships,
};
use lambda_kit::{
    Real, SdkConfig,
    batch::{Batch, SqsQueue},
    dynamodb::Table,
    http,
    publish::SnsTopic,
};
use pipeline::{Consume, Stage};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};
use testkit::{
    calls::{Calls, Made},
    shop::{VISA, new_address, new_key, new_sku, order, stored_order},
    stack::Stack,
};
use tokio::time::Instant;

/// Counts every attempt of every call, retries of the SDK included.
#[derive(Debug, Clone, Default)]
struct Counter(Arc<Mutex<BTreeMap<String, usize>>>);

#[dyn_dispatch_hint]
impl Intercept for Counter {
    fn name(&self) -> &'static str {
        "counter"
    }
    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = bag.load::<Metadata>().map_or("unknown", Metadata::name).to_owned();
        *self.0.lock().unwrap().entry(operation).or_default() += 1;
        Ok(())
    }
}

/// Clients of the deployed stack whose calls are counted, and a topic of the test's own, so that nothing follows.
struct Counted {
    stack: Stack,
    counter: Counter,
    aws: SdkConfig,
    topic_arn: String,
}

impl Counted {
    async fn of_tests() -> Result<Option<Self>> {
        let Some(stack) = Stack::of_tests()? else { return Ok(None) };
        let credentials = Credentials::new(&stack.state.keys.root, &stack.state.keys.root, None, None, "tests");
        let region = Region::new(stack.state.region.clone());
        let aws = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).region(region).endpoint_url(&stack.state.endpoint_url);
        let aws = aws.credentials_provider(SharedCredentialsProvider::new(credentials)).build();
        let name = format!("calls-{:08x}.fifo", fastrand::u32(..));
        let form = [
            ("Action", "CreateTopic"),
            ("Version", "2010-03-31"),
            ("Name", &*name),
            ("Attributes.entry.1.key", "FifoTopic"),
            ("Attributes.entry.1.value", "true"),
        ];
        let answer = stack.engine.query("sns", &form).await?;
        let topic_arn = answer.split_once("<TopicArn>").and_then(|(_, rest)| rest.split_once('<')).context("no TopicArn")?.0.to_owned();
        Ok(Some(Self { stack, counter: Counter::default(), aws, topic_arn }))
    }

    fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::from_conf(aws_sdk_dynamodb::config::Builder::from(&self.aws).interceptor(self.counter.clone()).build())
    }
    fn topic(&self) -> SnsTopic {
        let config = aws_sdk_sns::config::Builder::from(&self.aws).interceptor(self.counter.clone()).build();
        SnsTopic::new(aws_sdk_sns::Client::from_conf(config), &self.topic_arn)
    }
    fn queue(&self) -> SqsQueue {
        let config = aws_sdk_sqs::config::Builder::from(&self.aws).interceptor(self.counter.clone()).build();
        SqsQueue::new(aws_sdk_sqs::Client::from_conf(config), "http://127.0.0.1:1/no-queue", "http://127.0.0.1:1/no-queue")
    }
    fn table(&self, output: &str) -> String {
        self.stack.state.output(&format!("{output}Name")).unwrap().to_owned()
    }
    fn core<S: Stage>(&self, stage: S) -> Batch<Consume<S, Real>, SnsTopic, SqsQueue, Real> {
        Batch { consumer: Consume { stage, ambient: Real }, publisher: self.topic(), queue: self.queue(), ambient: Real }
    }

    /// The calls that handling these events in one batch takes, by operation.
    async fn calls<S: Stage>(&self, core: &Batch<Consume<S, Real>, SnsTopic, SqsQueue, Real>, events: &[CloudEvent]) -> String {
        let record = |(n, event): (usize, &CloudEvent)| {
            json!({"messageId": format!("m-{n}"), "receiptHandle": format!("r-{n}"), "body": event.to_json(),
                "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": event.subject.to_string()}, "messageAttributes": {},
                "md5OfBody": "", "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:calls", "awsRegion": "us-east-1"})
        };
        let batch: SqsEvent =
            serde_json::from_value(json!({"Records": events.iter().enumerate().map(record).collect::<Vec<_>>()})).unwrap();
        self.counter.0.lock().unwrap().clear();
        let response = core.handle(batch, Instant::now() + Duration::from_secs(60)).await;
        assert!(response.batch_item_failures.is_empty(), "{response:?}");
        self.counted()
    }
    fn counted(&self) -> String {
        let counted = std::mem::take(&mut *self.counter.0.lock().unwrap());
        counted.into_iter().map(|(operation, calls)| format!("{operation} {calls}")).collect::<Vec<_>>().join(", ")
    }
}

fn orders<const N: usize>() -> [OrderId; N] {
    std::array::from_fn(|_| new_order().parse().unwrap())
}

fn shipped(sku: &str, payment: PaymentRef) -> OrderShipped {
    OrderShipped { tracking_number: "OP1".into(), payment, items: vec![Item { sku: sku.parse().unwrap(), quantity: 1 }] }
}

#[tokio::test]
async fn intake_takes_one_write_and_one_publish_when_the_catalogue_is_cached() -> Result<()> {
    let Some(counted) = Counted::of_tests().await? else { return Ok(()) };
    let sku = new_sku("CALLS");
    counted.stack.stock_up(&sku, 1200, 100).await?;
    let catalogue = order_intake::catalogue::CatalogueTable::new(counted.dynamodb(), counted.table("CatalogueTable"), Real);
    let intake = order_intake::OrderIntake {
        catalogue: order_intake::catalogue::Cached::new(catalogue, Real),
        orders: pipeline::orders::Orders::new(counted.dynamodb(), counted.table("OrdersTable")),
        topic: counted.topic(),
        ambient: Real,
    };
    let mut calls = Vec::new();
    for _ in 0..2 {
        let request: Value = json!({"version": "2.0", "routeKey": "POST /orders", "rawPath": "/orders", "isBase64Encoded": false,
            "headers": {"content-type": "application/json", "idempotency-key": new_key()}, "body": order(&[(&sku, 1)], VISA).to_string(),
            "requestContext": {"http": {"method": "POST", "path": "/orders"}, "requestId": "r", "stage": "$default"}});
        let response = http::answer(request, Timestamp::MAX, &Real, &async |request: &http::Request| intake.handle(request).await).await;
        assert_eq!(response.status(), 202);
        calls.push(counted.counted());
    }
    assert_eq!(calls, ["BatchGetItem 1, PublishBatch 1, PutItem 1", "PublishBatch 1, PutItem 1"]);
    Ok(())
}

/// Whether these were all the calls, but for publishes. How many there are depends on the real clock, because ten records
/// wait for each other for 50 ms at most; the batch core's own tests count them by a clock that does not move.
fn publishes_and(calls: &str, others: &str) -> bool {
    calls.starts_with("PublishBatch ") && calls.split_once(", ").is_some_and(|(_, rest)| rest == others)
}

#[tokio::test]
async fn payment_takes_two_writes_to_authorize_one_to_capture_and_reads_nothing() -> Result<()> {
    let Some(counted) = Counted::of_tests().await? else { return Ok(()) };
    let arn = counted.stack.state.output("StripeKeySecretArn")?.to_owned();
    let store = payment::key::SecretsManager { client: aws_sdk_secretsmanager::Client::new(&counted.aws), arn };
    let provider = payment::stripe::Stripe::new(
        counted.stack.state.stripe_url.parse()?,
        payment::key::StripeKey::new(store),
        payment::stripe::Timeouts::default(),
    );
    let table = counted.table("PaymentsTable");
    let ledger = payment::ledger::Payments(Table::new(counted.dynamodb(), &table, payment::ledger::KEY));
    let core = counted.core(payment::Payment { ledger, provider, ambient: Real });
    let orders = orders::<10>();
    let all = orders.map(|order_id| event(order_id, now(), placed("MUG", 1, VISA)));
    let claimed = counted.calls(&core, &all).await;
    assert!(publishes_and(&claimed, "PutItem 10, UpdateItem 10"), "{claimed}");
    let mut ships = Vec::new();
    for order_id in &orders {
        let record = counted.stack.item("PaymentsTable", "order_id", &order_id.to_string()).await?.context("no record")?;
        ships.push(event(order_id, now(), shipped("MUG", PaymentRef(record["payment"].as_str().context("no payment")?.to_owned()))));
    }
    let captured = counted.calls(&core, &ships).await;
    assert!(publishes_and(&captured, "UpdateItem 10"), "{captured}");
    Ok(())
}

#[tokio::test]
async fn inventory_takes_one_transaction_to_reserve_and_one_update_to_commit() -> Result<()> {
    let Some(counted) = Counted::of_tests().await? else { return Ok(()) };
    let warehouse =
        inventory::warehouse::WarehouseTables::new(counted.dynamodb(), counted.table("StockTable"), counted.table("ReservationsTable"));
    let core = counted.core(inventory::Inventory { warehouse, ambient: Real, stock_wait: Duration::ZERO });
    let sku = new_sku("CALLS");
    counted.stack.stock_up(&sku, 1200, 100).await?;
    let orders = orders::<10>();
    let all = orders.map(|order_id| event(order_id, now(), placed(&sku, 1, VISA)));
    // One SKU for all: they are handled one after the other.
    let reserved = counted.calls(&core, &all).await;
    assert!(publishes_and(&reserved, "TransactWriteItems 10"), "{reserved}");
    let ships = orders.map(|order_id| event(order_id, now(), shipped(&sku, PaymentRef("pi_1".into()))));
    let committed = counted.calls(&core, &ships).await;
    assert!(publishes_and(&committed, "UpdateItem 10"), "{committed}");
    assert_eq!(counted.stack.available(&sku).await?, 90);
    Ok(())
}

/// Counts what it hands on: SES is called once a mail, whatever the SDK would like to repeat.
struct Counting<S>(S, Counter);

impl<S: mailer::Sender> mailer::Sender for Counting<S> {
    async fn send(&self, outgoing: &mailer::OutgoingMail) -> Result<String, lambda_kit::Failure> {
        *self.1.0.lock().unwrap().entry("SendEmail".to_owned()).or_default() += 1;
        self.0.send(outgoing).await
    }
}

#[tokio::test]
async fn a_mail_takes_one_read_two_writes_and_one_call_of_ses() -> Result<()> {
    let Some(counted) = Counted::of_tests().await? else { return Ok(()) };
    let suppressions = mailer::suppression::Suppressions::new(counted.dynamodb(), counted.table("SuppressionsTable"));
    let address: mailer::OrdersAddress = "orders@example.com".parse()?;
    let set = counted.stack.state.output("MailConfigurationSetName")?.to_owned();
    let limits = mailer::limits::Limits::new(counted.dynamodb(), counted.table("MailLimitsTable"), u64::MAX);
    let mailer = mailer::Mailer {
        ledger: mailer::ledger::EmailLedger::new(counted.dynamodb(), counted.table("EmailLedgerTable"), suppressions, limits),
        sender: Counting(mailer::ses::Ses::new(&counted.aws, address.clone(), set), counted.counter.clone()),
        ambient: Real,
    };
    let orders = pipeline::orders::Orders::new(counted.dynamodb(), counted.table("OrdersTable"));
    let core = counted.core(order_email::OrderEmail { orders, mailer, address });
    let (order_id, email) = (self::orders::<1>()[0], new_address("calls"));
    let amount = Money { amount_minor: 1200, currency: Currency::EUR };
    let capture_before = "2036-01-01T00:00:00Z".parse()?;
    let happened = event(order_id, now(), PaymentAuthorized { payment: PaymentRef("pi_1".into()), amount, capture_before });
    counted.stack.put("OrdersTable", stored_order(&order_id.to_string(), "MUG", &email, &happened.time.to_string())).await?;
    let happened = std::slice::from_ref(&happened);
    assert_eq!(counted.calls(&core, happened).await, "GetItem 1, SendEmail 1, TransactWriteItems 1, UpdateItem 1");
    assert_eq!(counted.calls(&core, happened).await, "GetItem 1, TransactWriteItems 1", "a second delivery finds it sent");
    assert_eq!(counted.stack.mails_to(&email).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn shipping_and_tracking_take_one_update_an_event() -> Result<()> {
    let Some(counted) = Counted::of_tests().await? else { return Ok(()) };
    let shipments = shipping::shipments::ShipmentsTable::new(counted.dynamodb(), counted.table("ShipmentsTable"));
    let core = counted.core(shipping::Shipping { shipments, ambient: Real });
    let orders = orders::<10>();
    let declined = orders.map(|order_id| event(order_id, now(), PaymentDeclined { code: "card_declined".into() }));
    let decided = counted.calls(&core, &declined).await;
    assert!(publishes_and(&decided, "UpdateItem 10"), "{decided}");
    let undecided = self::orders::<10>().map(|order_id| {
        let amount = Money { amount_minor: 1200, currency: Currency::EUR };
        event(
            order_id,
            now(),
            PaymentAuthorized { payment: PaymentRef("pi_1".into()), amount, capture_before: "2036-01-01T00:00:00Z".parse().unwrap() },
        )
    });
    assert_eq!(counted.calls(&core, &undecided).await, "UpdateItem 10");

    let timelines = order_tracking::timelines::OrdersTable::new(counted.dynamodb(), counted.table("OrdersTable"));
    let core = counted.core(order_tracking::OrderTracking { timelines });
    assert_eq!(counted.calls(&core, &declined).await, "UpdateItem 10");
    Ok(())
}

/// How long an order may take from its 202 until no queue holds anything of it: its clock looks after 3 s, and where a process
/// has just started, a busy machine takes its time.
const SILENCE_LIMIT: Duration = Duration::from_secs(120);
/// How many orders are placed until one goes its way alone. On a machine so busy that each takes longer than the 3 s after
/// which its clock announces it again, no order is the happy path that is counted here.
const ORDERS_MAX: usize = 10;

/// Whether these are the calls of one order that went its way alone: nothing came twice, nothing else came, and both mails
/// went out. `messages` is how many each consumer gets. (Where the order is shipped before it is known to be received, only the second does.)
fn is_happy_path(calls: &Calls, messages: &BTreeMap<String, u64>) -> bool {
    let heard = |(function, messages): (&String, &u64)| calls.0.get(function).is_some_and(|made| made.batches.received == *messages);
    messages.iter().all(heard) && calls.0["order-email"].requests.get("ses:SendEmail") == Some(&2)
}

#[tokio::test]
async fn an_order_that_ships_takes_29_calls_and_a_read_of_the_catalogue() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let (sku, email) = (new_sku("CALLS"), new_address("calls"));
    stack.stock_up(&sku, 1200, 100).await?;
    let messages = messages_of_an_order_that_ships()?;
    let mut seen = Vec::new();
    let calls = loop {
        assert!(seen.len() < ORDERS_MAX, "no order went its way alone: {seen:#?}");
        let work = async { stack.ended(&stack.place_of(&email, &[(&sku, 1)], VISA).await?).await };
        match stack.calls_of(SILENCE_LIMIT, work).await? {
            Some((_, calls)) if is_happy_path(&calls, &messages) => break calls,
            other => seen.push(other),
        }
    };

    // The catalogue is read again where a process of intake has it not, or not any more: the first order's has not.
    // The provider's key is read once by each process of payment, and the two messages may meet two processes.
    let at_times = |made: &Made, action: &str, most: u64| {
        let mut made = made.clone();
        let times = made.requests.remove(action).unwrap_or(0);
        assert!(times <= most, "{action} {times}");
        made.shown()
    };
    let of = |function: &str| &calls.0[function];
    assert_eq!(at_times(of("order-intake"), "dynamodb:BatchGetItem", 1), "dynamodb:PutItem 1, sns:PublishBatch 1");
    // Claimed, authorized, announced; captured, announced.
    let payment = at_times(of("payment"), "secretsmanager:GetSecretValue", 2);
    assert_eq!(payment, "dynamodb:PutItem 1, dynamodb:UpdateItem 2, sns:PublishBatch 2");
    // Reserved, announced; committed, announced.
    assert_eq!(of("inventory").shown(), "dynamodb:TransactWriteItems 1, dynamodb:UpdateItem 1, sns:PublishBatch 2");
    // Two facts are kept, the second decides.
    assert_eq!(of("shipping").shown(), "dynamodb:UpdateItem 2, sns:PublishBatch 1");
    assert_eq!(of("order-tracking").shown(), "dynamodb:UpdateItem 6");
    assert_eq!(of("order-deadline").shown(), "dynamodb:GetItem 1");
    // Two mails: the order is read, the mail is claimed, sent, marked.
    let mails = "dynamodb:GetItem 2, dynamodb:TransactWriteItems 2, dynamodb:UpdateItem 2, ses:SendEmail 2";
    assert_eq!(of("order-email").shown(), mails);
    // 2 + 5 + 4 + 3 + 6 + 1 + 8 = 29. Nobody else has anything to do, but for the test's own looks at the order.
    let functions: BTreeSet<_> = calls.0.keys().map(String::as_str).filter(|function| *function != "order-status").collect();
    assert_eq!(functions, messages.keys().map(String::as_str).chain(["order-intake"]).collect());
    // Consumers of which nothing is said above.
    let counted = ["inventory", "order-deadline", "order-email", "order-intake", "order-tracking", "payment", "shipping"];
    for function in functions.iter().filter(|function| !counted.contains(function)) {
        assert_eq!(of(function).shown(), "", "{function}: say in this test which calls it makes for an order");
    }

    // A receive, an invocation and a delete for every batch. Payment and inventory hear the second message because of what they
    // said of the first; the others may find two in one batch.
    assert_eq!(of("order-intake").invocations, 1);
    for (function, &messages) in &messages {
        let Made { invocations, batches, .. } = of(function);
        assert_eq!((*invocations, batches.deletes, batches.deleted), (batches.receives, batches.receives, messages), "{function}");
        let least = if matches!(function.as_str(), "payment" | "inventory") { messages } else { 1 };
        assert!((least..=messages).contains(&batches.receives), "{function}: {batches:?}");
    }
    Ok(())
}
