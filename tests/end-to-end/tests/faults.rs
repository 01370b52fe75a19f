//! The faults in real life, done to the deployed stack: duplicates, poison, lost messages, killed consumers.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use anyhow::{Context, Result, ensure};
use aws_sdk_sns::{
    config::{BehaviorVersion, Credentials, Region},
    error::{DisplayErrorContext, ProvideErrorMetadata as _},
    types::MessageAttributeValue,
};
use domain::{
    CloudEvent, Currency, CustomerId, Event, EventType, Money, Subject,
    event::{CancelRequest, CustomerSignedUp, InventoryReserved, OrderCancelRequested, OrderShipped, PaymentAuthorized, PaymentRef},
};
use end_to_end::{
    dead_letters::purge,
    events::{event, new_order, now},
    topic_listener::TopicListener,
    wiring::{ORDER_EVENTS, dead_letter_queues, hearing, prompt_consumers, tables_of_orders},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::{Duration, Instant},
};
use template::{Template, items, target, texts};
use testkit::{
    engine::{FunctionProcess, deployed, function_processes, role_of},
    shop::{DECLINED, VISA, new_address, new_sku, stored_customer},
    stack::{QueuedMessage, Stack},
};
use tokio::sync::RwLock;

/// Tests that pause or kill consumers, or empty queues, hold them alone.
static CONSUMERS: RwLock<()> = RwLock::const_new(());

/// The last words about money and stock of an order. How many events come before them is a race: where one stage decides before another
/// has begun, the other closes its record and announces nothing else.
const LAST: [[&str; 2]; 2] = [["payment.captured", "payment.voided"], ["inventory.committed", "inventory.released"]];

/// Every event about these orders that an listener at the topic hears, by its id, until the last ones of each order.
async fn heard(listener: &TopicListener, orders: &[String]) -> Result<BTreeMap<String, CloudEvent>> {
    let mut events = BTreeMap::new();
    listener
        .stack
        .wait_for("the last events of each order", async || {
            for message in listener.take().await? {
                let event = CloudEvent::parse(message["Body"].as_str().unwrap_or_default())?;
                if orders.contains(&event.subject.to_string()) {
                    events.insert(event.id(), event);
                }
            }
            let is_heard = |order: &String, name: &str| events.keys().any(|id| id.starts_with(&format!("{order}/{name}.")));
            let is_over = |order| LAST.iter().all(|names| names.iter().any(|name| is_heard(order, name)));
            Ok(orders.iter().all(is_over).then_some(()))
        })
        .await?;
    Ok(events)
}

/// Everything that is stored and booked about an order, but for what grows harmlessly.
async fn books(stack: &Stack, order_id: &str, sku: &str) -> Result<Value> {
    Ok(json!({
        "seen": stack.look(order_id).await?.json()?,
        "payment": stack.item("PaymentsTable", "order_id", order_id).await?,
        "reservation": stack.item("ReservationsTable", "order_id", order_id).await?,
        "provider": stack.book(order_id).await?,
        "available": stack.available(sku).await?,
    }))
}

async fn about(stack: &Stack, queue: &str, text: &str) -> Result<Vec<QueuedMessage>> {
    Ok(stack.peek(queue).await?.into_iter().filter(|message| message.body.contains(text)).collect())
}

/// What every queue of the stack holds about these orders, but for order-deadline's, whose messages wait by design: for
/// people, and for consumers.
async fn left(stack: &Stack, orders: &[String]) -> Result<[Vec<String>; 2]> {
    const CLOCK: &str = "OrderDeadlineQueue";
    let messages = stack.messages().await?.into_iter().filter(|(queue, _)| queue != CLOCK);
    let about = |messages: &[QueuedMessage]| messages.iter().any(|message| orders.iter().any(|order_id| message.body.contains(order_id)));
    let queues = messages.filter(|(_, messages)| about(messages)).map(|(queue, _)| queue);
    let ends = dead_letter_queues()?;
    let (for_people, for_consumers) = queues.partition(|queue| ends.contains(queue));
    Ok([for_people, for_consumers])
}

#[tokio::test]
async fn every_event_delivered_again_changes_nothing() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let listener = TopicListener::at(&stack, "OrderEventsTopic").await?;
    let sku = new_sku("TWICE");
    stack.stock_up(&sku, 1200, 5).await?;
    let shipped = stack.place(&[(&sku, 1)], VISA).await?;
    let declined = stack.place(&[(&sku, 1)], DECLINED).await?;
    let rejected = stack.place(&[(&sku, 9)], VISA).await?;
    let orders = [shipped, declined, rejected];
    for order_id in &orders {
        stack.ended(order_id).await?;
    }
    let events = heard(&listener, &orders).await?;
    // The topic answered each publish after it had filled the queues, and every echo is published before its cause leaves
    // its queue: when no queue holds anything about these orders, all of it has been handled.
    let drained = async || Ok(left(&stack, &orders).await?[1].is_empty().then_some(()));
    stack.wait_for("the consumers' queues to hold nothing about these orders", drained).await?;
    // Of all together: they share the stock, and one that has not ended may still hold some.
    let mut before = Vec::new();
    for order_id in &orders {
        before.push(books(&stack, order_id, &sku).await?);
    }
    for _ in 0..2 {
        for event in events.values() {
            stack.publish(&event.subject.to_string(), event.event.event_type().as_str(), &event.to_json()).await?;
        }
    }
    stack.wait_for("the consumers' queues to hold nothing about these orders again", drained).await?;
    for (order_id, before) in orders.iter().zip(before) {
        assert_eq!(books(&stack, order_id, &sku).await?, before);
    }
    let [for_people, _] = left(&stack, &orders).await?;
    assert!(for_people.is_empty(), "{for_people:?} hold something about {orders:?}");
    listener.leave().await
}

#[tokio::test]
async fn poison_is_parked_with_its_reason_and_the_others_pass() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _alone = CONSUMERS.write().await;
    let sku = new_sku("POISON");
    stack.stock_up(&sku, 1200, 50).await?;
    // Held back, so that poison and orders lie in the queue together.
    stack.set_consumer("PaymentFunction", false).await?;
    let prepared = async {
        let mut orders = Vec::new();
        for n in 0..6 {
            orders.push(stack.place(&[(&sku, 1)], VISA).await?);
            stack.send("PaymentQueue", "poison", &format!("poison {n} of {sku}, not JSON")).await?;
        }
        Ok::<_, anyhow::Error>(orders)
    };
    let orders = prepared.await;
    stack.set_consumer("PaymentFunction", true).await?;
    for order_id in orders? {
        let seen = stack.ended(&order_id).await?;
        assert_eq!(seen["status"], "completed", "{seen:#}");
    }
    let messages = stack
        .wait_for("six parked messages", async || {
            let messages = about(&stack, "PaymentDeadLetterQueue", &sku).await?;
            Ok((messages.len() == 6).then_some(messages))
        })
        .await?;
    for message in messages {
        assert_eq!(message.attributes["ErrorType"], "UnreadableEvent");
        assert!(message.attributes["ErrorMessage"].contains("not JSON"), "{message:?}");
        for name in ["SourceQueue", "OriginalMessageId", "FailedAt"] {
            assert!(!message.attributes[name].is_empty());
        }
        assert!(!message.attributes["ErrorMessage"].contains(&sku), "a reason never quotes a body");
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_type_is_parked_and_an_unknown_version_waits() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let order_id = "aef753cd-ba7e-587f-b823-e93918496790";
    let marker = new_sku("MARK");
    let body = |event_type: &str| {
        json!({"specversion": "1.0", "id": format!("{order_id}/{event_type}"), "source": "/order-intake", "type": event_type, "subject": order_id,
            "time": "2026-01-01T00:00:00Z", "datacontenttype": "application/json", "data": {"marker": marker}})
        .to_string()
    };
    // Through the topic: the filter goes by prefix, so that an unknown version is delivered and seen, never filtered away.
    stack.publish(order_id, "order.placed.v99", &body("order.placed.v99")).await?;
    stack.send("PaymentQueue", order_id, &body("order.vanished.v1")).await?;
    stack
        .wait_for("the unknown type to be parked", async || {
            let messages = about(&stack, "PaymentDeadLetterQueue", &marker).await?;
            Ok(messages.into_iter().find(|message| message.attributes.get("ErrorType").is_some_and(|kind| kind == "UnknownEventType")))
        })
        .await?;
    // Tried more than once, and still it is not parked.
    for queue in hearing(ORDER_EVENTS, "order.placed")? {
        let dead_letter_queue = queue.replace("Queue", "DeadLetterQueue");
        stack
            .wait_for(&format!("{queue}: the unknown version to be tried again"), async || {
                ensure!(about(&stack, &dead_letter_queue, &marker).await?.iter().all(|it| !it.body.contains("order.placed.v99")), "parked");
                let waiting = about(&stack, &queue, &marker).await?;
                Ok(waiting.into_iter().find(|message| message.body.contains("order.placed.v99") && message.receive_count >= 2))
            })
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_message_parked_twice_within_five_minutes_is_not_deduplicated() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let body = format!("{} is no event", new_sku("FIFO"));
    stack.send("ShippingQueue", "aef753cd-ba7e-587f-b823-e93918496790", &body).await?;
    let parked = async || {
        stack.wait_for("the parked message", async || Ok(about(&stack, "ShippingDeadLetterQueue", &body).await?.into_iter().next())).await
    };
    let first = parked().await?;
    assert_eq!(first.group_id.as_deref(), Some("aef753cd-ba7e-587f-b823-e93918496790"), "the group is kept");
    let redriven = stack.dlq(json!({"redrive": {"queue": "shipping", "where": [format!("id={}", first.message_id)]}})).await?;
    assert_eq!(redriven["changed"]["counts"]["done"], 1, "{redriven:#}");
    stack
        .wait_for("the same message to be parked again", async || {
            let messages = about(&stack, "ShippingDeadLetterQueue", &body).await?;
            Ok(messages.into_iter().find(|message| message.message_id != first.message_id))
        })
        .await?;
    Ok(())
}

/// The healing invariant, live: all messages of an order are lost, and order-deadline's nudge alone brings it to its end.
#[tokio::test]
async fn an_order_whose_messages_were_all_lost_heals_by_one_nudge() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _alone = CONSUMERS.write().await;
    let sku = new_sku("LOST");
    stack.stock_up(&sku, 1200, 5).await?;
    let consumers = prompt_consumers()?;
    for (consumer, _) in &consumers {
        stack.set_consumer(consumer, false).await?;
    }
    let lost = async {
        let order_id = stack.place(&[(&sku, 1)], VISA).await?;
        for (_, queue) in &consumers {
            purge(&stack, queue).await?;
        }
        Ok::<_, anyhow::Error>(order_id)
    };
    let order_id = lost.await;
    for (consumer, _) in &consumers {
        stack.set_consumer(consumer, true).await?;
    }
    let order_id = order_id?;
    let seen = stack.ended(&order_id).await?;
    assert_eq!(seen["status"], "completed", "{seen:#}");
    assert_eq!(stack.book(&order_id).await?, [("succeeded".to_owned(), 1200)]);
    Ok(())
}

/// SIGKILL, again and again, to whichever function process is at work while orders flow.
#[tokio::test]
async fn consumers_killed_in_the_middle_lose_and_double_nothing() -> Result<()> {
    /// Enough to hit every function at work several times.
    const KILLS: usize = 40;
    const ORDERS: usize = 20;
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _alone = CONSUMERS.write().await;
    let sku = new_sku("KILL");
    stack.stock_up(&sku, 1200, 100).await?;
    let place = async {
        let mut orders = Vec::new();
        for _ in 0..ORDERS {
            // Intake is killed too: a customer who hears nothing asks again with the same key.
            let (key, order) = (testkit::shop::new_key(), testkit::shop::order(&[(&sku, 1)], VISA));
            let order_id = stack
                .wait_for("a 202", async || {
                    let answer = stack.post_order(&key, &order).await?;
                    Ok(if answer.status == 202 { answer.json()?["order_id"].as_str().map(str::to_owned) } else { None })
                })
                .await?;
            orders.push(order_id);
        }
        Ok::<_, anyhow::Error>(orders)
    };
    let kill = async {
        let mut killed = 0;
        let deadline = Instant::now() + Duration::from_secs(30);
        while killed < KILLS && Instant::now() < deadline {
            for FunctionProcess { pid, .. } in function_processes(stack.state.engine_pid) {
                if fastrand::bool() && Command::new("kill").args(["-KILL", &pid.to_string()]).status().is_ok_and(|status| status.success())
                {
                    killed += 1;
                }
            }
            tokio::time::sleep(Duration::from_millis(120)).await;
        }
        killed
    };
    let (orders, killed) = tokio::join!(place, kill);
    let orders = orders?;
    assert!(killed > 0, "no function process was found to kill");
    let mut shipped = 0;
    for order_id in &orders {
        let seen = stack.ended(order_id).await?;
        let book = stack.book(order_id).await?;
        let collected = book.iter().filter(|(status, _)| status == "succeeded").count();
        ensure!(!book.iter().any(|(status, _)| status == "requires_capture"), "still held: {book:?}");
        match seen["status"].as_str() {
            Some("completed") => {
                shipped += 1;
                assert_eq!(collected, 1, "{book:?}");
            }
            // What was killed comes back after its visibility timeout, which is longer than the local deadline.
            Some("cancelled") => assert_eq!(collected, 0, "{book:?}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stack.available(&sku).await?, 100 - shipped, "stock adds up");
    Ok(())
}

#[tokio::test]
async fn a_forged_event_about_an_order_that_never_was_is_not_acted_on() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let order_id = testkit::shop::new_key().replacen("-4", "-5", 1);
    let event = CloudEvent {
        source: "/payment".into(),
        subject: Subject::Order(order_id.parse()?),
        time: "2026-01-01T00:00:00Z".parse()?,
        traceparent: None,
        event: domain::event::PaymentAuthorized {
            payment: domain::event::PaymentRef("pi_forged".into()),
            amount: domain::Money { amount_minor: 1, currency: domain::Currency::EUR },
            capture_before: "2030-01-01T00:00:00Z".parse()?,
        }
        .into(),
    };
    stack.publish(&order_id, EventType::PaymentAuthorized.as_str(), &event.to_json()).await?;
    stack.wait_for("tracking to have heard it", async || Ok(stack.item("OrdersTable", "order_id", &order_id).await?.map(drop))).await?;
    assert_eq!(stack.look(&order_id).await?.status, 404, "facts alone are no order");
    assert!(stack.book(&order_id).await?.is_empty());
    Ok(())
}

/// The topics of events.
const TOPICS: [&str; 2] = ["OrderEventsTopic", "PublicEventsTopic"];

/// A function that may publish events, as somebody has it who has taken it over.
struct TakenOver {
    name: String,
    sns: aws_sdk_sns::Client,
    allowed: BTreeSet<&'static str>,
}

/// Every function whose deployed role may publish to one of the topics.
async fn publishers(stack: &Stack) -> Result<Vec<TakenOver>> {
    let (template, functions) = (Template::read()?, stack.engine.functions().await?);
    let arns = TOPICS.map(|topic| stack.state.output(&format!("{topic}Arn")).map(|arn| (topic, arn)));
    let mut found = Vec::new();
    for function in template.functions() {
        let deployed = deployed(&functions, function.id)?;
        let policies = stack.engine.role_policies(role_of(deployed)?).await?;
        let statements = policies.values().flat_map(|policy| items(&policy["Statement"]));
        let publishing: Vec<_> = statements.filter(|it| texts(&it["Action"]).any(|action| action.starts_with("sns:Publish"))).collect();
        let is_allowed = |arn: &str| publishing.iter().any(|statement| texts(&statement["Resource"]).any(|resource| resource == arn));
        let allowed: BTreeSet<_> = arns.iter().flatten().filter(|(_, arn)| is_allowed(arn)).map(|(topic, _)| *topic).collect();
        if allowed.is_empty() {
            continue;
        }
        let of_account = deployed["FunctionName"].as_str().context("a function without a name")?;
        // Whatever it answers to this, a process has started.
        stack.engine.invoke(of_account, &json!({"Records": []})).await?;
        let process = function_processes(stack.state.engine_pid).into_iter().find(|process| process.function == of_account);
        let credentials = process.with_context(|| format!("no process of {of_account}"))?.credentials()?;
        let testkit::engine::Credentials { access_key_id, secret_access_key, session_token } = credentials;
        let credentials = Credentials::new(access_key_id, secret_access_key, Some(session_token), None, "taken over");
        let config = aws_sdk_sns::Config::builder().behavior_version(BehaviorVersion::latest()).credentials_provider(credentials);
        let config = config.region(Region::new(stack.state.region.clone())).endpoint_url(&stack.state.endpoint_url).build();
        let name = function.body["Metadata"]["BuildProperties"]["Binary"].as_str().context("Binary")?.to_owned();
        found.push(TakenOver { name, sns: aws_sdk_sns::Client::from_conf(config), allowed });
    }
    Ok(found)
}

/// Every function that consumes events.
fn consumers() -> Result<BTreeSet<String>> {
    let template = Template::read()?;
    let heard = template.subscriptions().filter(|it| target(it.at("/TopicArn")).is_some_and(|topic| TOPICS.contains(&topic)));
    let queues: BTreeSet<_> = heard.filter_map(|subscription| target(subscription.at("/Endpoint"))).collect();
    Ok(template.sources().filter(|source| queues.contains(source.queue.id)).map(|source| source.function.id.to_owned()).collect())
}

/// What was published about an order that never was: by whom, where, and which queues it should reach.
struct Forged {
    what: String,
    order_id: String,
    reaches: BTreeSet<String>,
    parked_as: &'static str,
}

/// Publishes with a function's own credentials, and holds the answer against its role.
async fn forge(stack: &Stack, taken: &TakenOver, topic: &'static str, group: &str, event_type: &str, body: &str) -> Result<bool> {
    let kind = MessageAttributeValue::builder().data_type("String").string_value(event_type).build()?;
    let publish = taken.sns.publish().topic_arn(stack.state.output(&format!("{topic}Arn"))?).message(body).message_attributes("type", kind);
    let published = publish.message_group_id(group).message_deduplication_id(fastrand::u128(..).to_string()).send().await;
    let is_taken = published.is_ok();
    ensure!(is_taken == taken.allowed.contains(topic), "{} publishes to {topic}: {published:?}", taken.name);
    if let Err(error) = published {
        ensure!(error.code() == Some("AuthorizationError"), "{}", DisplayErrorContext(&error));
    }
    Ok(is_taken)
}

/// Facts about money, stock and parcels, as their producers would say them.
fn facts() -> Result<[Event; 3]> {
    let (payment, amount) = (PaymentRef("pi_forged".into()), Money { amount_minor: 1, currency: Currency::EUR });
    let authorized = PaymentAuthorized { payment: payment.clone(), amount, capture_before: "2036-01-01T00:00:00Z".parse()? };
    let shipped = OrderShipped { tracking_number: "OP1".into(), payment, items: vec![] };
    Ok([authorized.into(), InventoryReserved { items: vec![] }.into(), shipped.into()])
}

/// What somebody may say who has taken over a function that reads what strangers write: with each source, with an attribute that tells
/// the truth or lies, and with bodies that a filter and a consumer might read differently.
async fn forge_by_the_exposed(stack: &Stack, taken: &TakenOver) -> Result<Vec<Forged>> {
    const TOPIC: &str = "PublicEventsTopic";
    const LIES: [&str; 2] = ["order.cancel_requested.v1", "customer.signed_up.v1"];
    let mut forged = Vec::new();
    for fact in facts()? {
        let (producer, kind) = (event(new_order(), now(), fact.clone()).source, fact.event_type().as_str());
        for source in [&producer, &format!("/{}", taken.name), "/email-inbound", "/customer-signup"] {
            for attribute in [kind, LIES[0], LIES[1]] {
                let order_id = new_order();
                let body = CloudEvent { source: source.to_owned(), ..event(&order_id, now(), fact.clone()) }.to_json();
                forge(stack, taken, TOPIC, &order_id, attribute, &body).await?;
                let what = format!("{} says {kind} as {source}, the attribute {attribute}", taken.name);
                forged.push(Forged { what, order_id, reaches: BTreeSet::new(), parked_as: "" });
            }
        }
        // Two names, or a list: the filter may take one, and the consumer must take neither.
        for twice in [true, false] {
            let order_id = new_order();
            let body = event(&order_id, now(), fact.clone()).to_json();
            let (kinds, sources) = ([kind, LIES[0]], [&*producer, "/email-inbound"]);
            let say = |name: &str, values: [&str; 2]| match twice {
                true => values.map(|value| format!("\"{name}\":\"{value}\"")).join(","),
                false => format!("\"{name}\":{}", json!(values)),
            };
            let body = body.replace(&format!("\"type\":\"{kind}\""), &say("type", kinds));
            let body = body.replace(&format!("\"source\":\"{producer}\""), &say("source", sources));
            forge(stack, taken, TOPIC, &order_id, LIES[0], &body).await?;
            let what = format!("{} says {kind} and {}, {}", taken.name, LIES[0], if twice { "one after the other" } else { "as a list" });
            forged.push(Forged { what, order_id, reaches: hearing(TOPIC, "order.cancel_requested")?, parked_as: "UnreadableEvent" });
        }
    }
    // This is what they are for, and all that is left to say.
    for (source, reaches) in [("/email-inbound", hearing(TOPIC, "order.cancel_requested")?), ("/order-intake", BTreeSet::new())] {
        let order_id = new_order();
        let asked = event(&order_id, now(), OrderCancelRequested { reason: CancelRequest::CustomerAsked });
        let body = CloudEvent { source: source.to_owned(), ..asked }.to_json();
        forge(stack, taken, TOPIC, &order_id, LIES[0], &body).await?;
        forged.push(Forged { what: format!("{} asks to cancel as {source}", taken.name), order_id, reaches, parked_as: "" });
    }
    let address = new_address("forged");
    let customer = CustomerId::from_email(&address.parse()?);
    stack.put("CustomersTable", stored_customer(&customer.to_string(), &address, true)).await?;
    let signed_up = event(new_order(), now(), CustomerSignedUp { marketing_consent: false });
    let body = CloudEvent { subject: Subject::Customer(customer), ..signed_up }.to_json();
    forge(stack, taken, TOPIC, &customer.to_string(), LIES[1], &body).await?;
    let what = format!("{} signs somebody up", taken.name);
    forged.push(Forged { what, order_id: customer.to_string(), reaches: hearing(TOPIC, "customer.signed_up")?, parked_as: "" });
    Ok(forged)
}

/// Each function that may publish says what is not its own to say, with its own credentials: while consumers are paused it is seen
/// whom it reaches, and afterwards that they park it.
#[tokio::test]
async fn forged_facts_reach_nobody_or_are_parked() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _alone = CONSUMERS.write().await;
    let publishers = publishers(&stack).await?;
    let exposed: BTreeSet<_> = publishers.iter().filter(|it| !it.allowed.contains("OrderEventsTopic")).map(|it| it.name.as_str()).collect();
    assert_eq!(exposed, ["customer-signup", "email-inbound"].into());
    let (consumers, tables) = (consumers()?, tables_of_orders()?);
    for consumer in &consumers {
        stack.set_consumer(consumer, false).await?;
    }
    let seen = async {
        let mut forged = Vec::new();
        for taken in &publishers {
            if taken.allowed.contains("PublicEventsTopic") {
                forged.extend(forge_by_the_exposed(&stack, taken).await?);
            }
            for fact in facts()? {
                let (order_id, kind) = (new_order(), fact.event_type());
                if kind.producers().contains(&taken.name.as_str()) {
                    continue;
                }
                let body = CloudEvent { source: format!("/{}", taken.name), ..event(&order_id, now(), fact) }.to_json();
                let is_taken = forge(&stack, taken, "OrderEventsTopic", &order_id, kind.as_str(), &body).await?;
                let reaches = if is_taken { hearing(ORDER_EVENTS, kind.stem())? } else { BTreeSet::new() };
                forged.push(Forged { what: format!("{} says {kind}", taken.name), order_id, reaches, parked_as: "SourceNotAllowed" });
            }
            if !taken.allowed.contains("PublicEventsTopic") {
                forge(&stack, taken, "PublicEventsTopic", "g", "order.cancel_requested.v1", "{}").await?;
            }
        }
        Ok::<_, anyhow::Error>((stack.messages().await?, forged))
    };
    let seen = seen.await;
    for consumer in &consumers {
        stack.set_consumer(consumer, true).await?;
    }
    let (messages, forged) = seen?;
    for Forged { what, order_id, reaches, .. } in &forged {
        let holds = |messages: &[QueuedMessage]| messages.iter().any(|message| message.body.contains(order_id.as_str()));
        let reached: BTreeSet<_> = messages.iter().filter(|(_, messages)| holds(messages)).map(|(queue, _)| queue.clone()).collect();
        assert_eq!(&reached, reaches, "{what}");
    }
    let mut parked = 0;
    for Forged { what, order_id, reaches, parked_as } in forged.iter().filter(|forged| !forged.parked_as.is_empty()) {
        for queue in reaches {
            let dead_letter_queue = queue.replace("Queue", "DeadLetterQueue");
            let found = async || Ok(about(&stack, &dead_letter_queue, order_id).await?.into_iter().next());
            let message = stack.wait_for(&format!("{dead_letter_queue} to hold: {what}"), found).await?;
            assert_eq!(message.attributes["ErrorType"], *parked_as, "{what}");
            parked += 1;
        }
        for table in &tables {
            assert_eq!(stack.item(table, "order_id", order_id).await?, None, "{what}: {table}");
        }
    }
    assert!(parked > publishers.len(), "only {parked} forged facts were parked");
    Ok(())
}
