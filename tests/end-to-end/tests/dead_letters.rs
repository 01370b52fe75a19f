//! What operators do with parked messages, on the deployed stack by its own inspector, with its role enforced: looked
//! at, explained, sent back, discarded, digested; while processes die, permissions are missing and others do the same.
//!
//! One test at a time: they empty every queue and pause consumers.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, and what they measure")]

use anyhow::{Context, Result, ensure};
use domain::command::Power;
use end_to_end::{
    dead_letters::{purge, put, put_many},
    events::{event, new_order, now, placed},
    topic_listener::TopicListener,
};
use futures_util::{
    FutureExt as _,
    future::{join_all, try_join},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    process::Command,
};
use testkit::{
    engine::{deployed, function_processes, role_of},
    shop::{EMAIL, NAME, VISA, heard, new_address, new_key, new_sku, stored_order},
    stack::{INSPECTOR, OPERATOR, Patience, QueuedMessage, Stack},
};

/// Begins with everything thrown away that other tests have left: parked messages, and messages that wait for a retry, which
/// would be parked here when a test lowers `maxReceiveCount`.
async fn start() -> Result<Option<Stack>> {
    let Some(stack) = Stack::of_tests()? else { return Ok(None) };
    let outputs = stack.state.outputs.keys().filter_map(|output| output.strip_suffix("Url"));
    for queue in outputs.filter(|output| output.ends_with("Queue")) {
        purge(&stack, queue).await?;
    }
    Ok(Some(stack))
}

/// Does something, panics included, so that what was disturbed for it can be put back before anybody fails.
async fn caught(work: impl Future<Output = Result<()>>) -> Result<()> {
    let said = |panic: Box<dyn std::any::Any + Send>| panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".to_owned());
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| Err(anyhow::anyhow!(said(panic))))
}

/// Does something while a consumer's queue is not read, and empties it again.
async fn while_pausing(stack: &Stack, stage: &str, work: impl Future<Output = Result<()>>) -> Result<()> {
    let (function, queue) = (format!("{stage}Function"), format!("{stage}Queue"));
    stack.set_consumer(&function, false).await?;
    let outcome = caught(work).await;
    purge(stack, &queue).await?;
    stack.set_consumer(&function, true).await?;
    outcome
}

/// Does something while a function's role lacks a statement.
async fn while_lacking(stack: &Stack, logical_id: &str, sid: &str, work: impl Future<Output = Result<()>>) -> Result<()> {
    let functions = stack.engine.functions().await?;
    let role = role_of(deployed(&functions, logical_id)?)?;
    let policies = stack.engine.role_policies(role).await?;
    let (name, policy) = policies.first_key_value().context("no policy")?;
    let mut less = policy.clone();
    let statements = less["Statement"].as_array_mut().context("no statements")?;
    statements.retain(|statement| statement["Sid"] != sid);
    ensure!(*policy != less, "{logical_id} has no statement {sid}");
    stack.engine.put_role_policy(role, name, &less).await?;
    let outcome = caught(work).await;
    stack.engine.put_role_policy(role, name, policy).await?;
    outcome
}

/// Does something while a queue redrives at the second receive.
async fn while_impatient(stack: &Stack, queue: &str, work: impl Future<Output = Result<()>>) -> Result<()> {
    let patience = Patience::lost(stack, queue).await?;
    let outcome = caught(work).await;
    patience.regained(stack).await?;
    outcome
}

async fn one_about(stack: &Stack, queue: &str, text: &str) -> Result<QueuedMessage> {
    let about = async || Ok(stack.peek(queue).await?.into_iter().find(|message| message.body.contains(text)));
    stack.wait_for(&format!("a message about {text} in {queue}"), about).await
}

/// What a queue holds, but for receives and leases.
async fn content(stack: &Stack, queue: &str) -> Result<BTreeMap<String, (String, BTreeMap<String, String>)>> {
    Ok(stack.peek(queue).await?.into_iter().map(|message| (message.message_id, (message.body, message.attributes))).collect())
}

/// What the inspector changed, or a panic with what it said instead.
async fn changed(stack: &Stack, command: Value) -> Result<Value> {
    let answer = stack.dlq(command).await?;
    ensure!(answer["changed"].is_object(), "{answer:#}");
    Ok(answer["changed"].clone())
}

/// The keys of the archive under a folder.
async fn archived(stack: &Stack, folder: &str) -> Result<BTreeSet<String>> {
    let bucket = stack.state.output("DlqArchiveBucketName")?;
    let list = stack.engine.rest("s3", "GET", &format!("/{bucket}?list-type=2&max-keys=1000&prefix={folder}/"), "").await?.body;
    Ok(list.split("<Key>").skip(1).filter_map(|rest| Some(rest.split_once('<')?.0.to_owned())).collect())
}

/// An order that lies in the table and that nobody was told of, and its announcement.
async fn unannounced(stack: &Stack, sku: &str) -> Result<(String, String)> {
    let (order_id, time) = (new_order(), now());
    stack.put("OrdersTable", stored_order(&order_id, sku, &new_address(EMAIL), &time.to_string())).await?;
    let announcement = event(&order_id, time, placed(sku, 1, VISA)).to_json();
    Ok((order_id, announcement))
}

#[tokio::test]
async fn each_parked_message_names_its_cause_and_ends_once_that_is_fixed() -> Result<()> {
    let Some(stack) = start().await? else { return Ok(()) };
    let sku = new_sku("DEAD");
    stack.stock_up(&sku, 1200, 50).await?;

    // Exhausted: inventory may not count its stock, and its `maxReceiveCount` is low.
    let order_id = std::cell::RefCell::new(String::new());
    let exhaust = async {
        *order_id.borrow_mut() = stack.place(&[(&sku, 1)], VISA).await?;
        let id = order_id.borrow().clone();
        one_about(&stack, "InventoryDeadLetterQueue", &id).await.map(drop)
    };
    while_impatient(&stack, "InventoryQueue", while_lacking(&stack, "InventoryFunction", "CountStock", exhaust)).await?;
    let exhausted = order_id.into_inner();
    // Parked: no consumer can read it. On a FIFO queue too.
    let poison = format!("poison of {sku}, ada@example.com");
    stack.send("PaymentQueue", "", &poison).await?;
    let parked = one_about(&stack, "PaymentDeadLetterQueue", &poison).await?;
    stack.send("ShippingQueue", "aef753cd-ba7e-587f-b823-e93918496790", &poison).await?;
    one_about(&stack, "ShippingDeadLetterQueue", &poison).await?;
    // Undelivered: what SNS could not bring to anybody.
    let (lost, announcement) = unannounced(&stack, &sku).await?;
    put(&stack, "UndeliveredQueue", &lost, &announcement, &[("type", "order.placed.v1")]).await?;

    let list = stack.dlq(json!({"list": {}})).await?;
    let queues = list["list"].as_array().context("no list")?;
    let names: BTreeSet<_> = queues.iter().filter_map(|queue| queue["queue"].as_str()).collect();
    let outputs = stack.state.outputs.keys().filter(|key| key.ends_with("DeadLetterQueueUrl") || key.ends_with("UndeliveredQueueUrl"));
    assert_eq!(names.len(), outputs.count(), "every dead-letter queue of the stack: {names:?}");
    let listed = |name: &str| queues.iter().find(|queue| queue["queue"] == name).unwrap();
    let holds = |name: &str| (listed(name)["depth"].as_u64(), listed(name)["sources"][0].as_str());
    assert_eq!(holds("inventory"), (Some(1), Some("inventory")));
    assert_eq!(holds("undelivered"), (Some(1), Some("order-events")));
    assert_eq!(holds("public-undelivered"), (Some(0), Some("public-events")), "what strangers caused goes back to its own topic");
    assert_eq!(holds("shipping"), (Some(1), Some("shipping")));
    assert_eq!((holds("payment"), listed("payment")["arrived_last_hour"].as_u64()), ((Some(1), Some("payment")), Some(1)));
    assert!(listed("inventory")["arrived_last_hour"].is_null(), "SQS does not say when it moved a message");

    let peek = async |queue: &str, reveal: bool| {
        let answer = stack.dlq(json!({"peek": {"queue": queue, "reveal": reveal}})).await?;
        answer["peek"][0].as_object().cloned().with_context(|| format!("{answer:#}"))
    };
    let seen = peek("inventory", false).await?;
    assert_eq!((&seen["cause"], &seen["event_type"]), (&json!("AccessDeniedException"), &json!("order.placed.v1")), "{seen:?}");
    assert_eq!(seen["subject"], json!(exhausted));
    assert!(seen["trace_id"].as_str().is_some_and(|id| id.len() == 32) && seen["last_seen"].is_string(), "{seen:?}");
    let seen = peek("payment", false).await?;
    assert_eq!((&seen["cause"], &seen["message_id"]), (&json!("UnreadableEvent"), &json!(parked.message_id)), "{seen:?}");
    assert!(!json!(seen).to_string().contains("ada@"), "{seen:?}");
    let audits = archived(&stack, "audit").await?;
    assert_eq!(peek("payment", true).await?["body"], json!(poison));
    assert_eq!(archived(&stack, "audit").await?.len(), audits.len() + 1, "each reveal is recorded");
    let now = content(&stack, "PaymentDeadLetterQueue").await?;
    assert_eq!(now.get(&parked.message_id), Some(&(parked.body, parked.attributes)), "looking changes nothing");

    let truths = [
        ("inventory", "AccessDeniedException", "inventory", exhausted.as_str()),
        ("payment", "UnreadableEvent", "payment", "-"),
        ("shipping", "UnreadableEvent", "shipping", "-"),
        ("undelivered", "Undelivered", "order-events", &lost),
    ];
    for (queue, cause, function, subject) in truths {
        let explained = stack.dlq(json!({"explain": {"queue": queue}})).await?;
        let groups = &explained["explain"]["table"]["groups"];
        assert_eq!(groups.as_array().map(Vec::len), Some(1), "{explained:#}");
        let group = (&groups[0]["cause"], &groups[0]["function"], &groups[0]["count"], &groups[0]["example"]["subject"]);
        assert_eq!(group, (&json!(cause), &json!(function), &json!(1), &json!(subject)), "{explained:#}");
    }

    // The permission was given back: that cause is fixed.
    assert_eq!(changed(&stack, json!({"redrive": {"queue": "inventory"}})).await?["counts"]["done"], 1);
    assert_eq!(changed(&stack, json!({"redrive": {"queue": "undelivered"}})).await?["counts"]["done"], 1);
    for order_id in [&exhausted, &lost] {
        let seen = stack.ended(order_id).await?;
        assert_eq!(seen["status"], "completed", "{seen:#}");
        assert!(heard(&seen, "inventory.committed"), "{seen:#}");
    }

    // Poison stays poison: it comes back, is counted, is refused, and is kept when it goes.
    for times in 1..=3 {
        assert_eq!(changed(&stack, json!({"redrive": {"queue": "payment"}})).await?["counts"]["done"], 1);
        let back = one_about(&stack, "PaymentDeadLetterQueue", &poison).await?;
        assert_eq!(back.attributes.get("RedriveCount").map(String::as_str), Some(&*times.to_string()), "{back:?}");
    }
    let refused = changed(&stack, json!({"redrive": {"queue": "payment"}})).await?;
    assert_eq!((&refused["counts"]["refused"], &refused["counts"]["done"]), (&json!(1), &json!(0)), "{refused:#}");
    assert!(refused["notes"][0].as_str().is_some_and(|note| note.contains("came back 3 times")), "{refused:#}");
    let last = one_about(&stack, "PaymentDeadLetterQueue", &poison).await?;
    let discard = json!({"discard": {"queue": "payment", "where": ["cause=UnreadableEvent"], "reason": "no producer of ours sent it"}});
    assert_eq!(changed(&stack, discard).await?["counts"]["done"], 1);
    assert!(stack.peek("PaymentDeadLetterQueue").await?.is_empty());
    let key = format!("discarded/payment/{}.json", last.message_id);
    let copy: Value = serde_json::from_str(&stack.stored("DlqArchiveBucket", &key).await?.context("no copy")?)?;
    assert_eq!((&copy["body"], &copy["discarded"]["reason"]), (&json!(poison), &json!("no producer of ours sent it")));
    Ok(())
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_a_selection_touches_only_itself() -> Result<()> {
    let Some(stack) = start().await? else { return Ok(()) };
    let work = async {
        let messages = [("A", "X", "order.placed.v1"), ("B", "X", "order.shipped.v1"), ("C", "Y", "order.placed.v1")];
        for (body, cause, event_type) in messages {
            let attributes = [("ErrorType", cause), ("ErrorMessage", "why"), ("SourceQueue", "q"), ("type", event_type), ("again", "1")];
            put(&stack, "PaymentDeadLetterQueue", "", body, &attributes).await?;
        }
        let before = content(&stack, "PaymentDeadLetterQueue").await?;
        let audits = archived(&stack, "audit").await?;
        let rehearsed = changed(&stack, json!({"redrive": {"queue": "payment", "dry_run": true}})).await?;
        assert_eq!((&rehearsed["counts"]["done"], &rehearsed["dry_run"]), (&json!(3), &json!(true)), "{rehearsed:#}");
        assert_eq!(content(&stack, "PaymentDeadLetterQueue").await?, before);
        assert_eq!((stack.peek("PaymentQueue").await?.len(), archived(&stack, "audit").await?), (0, audits.clone()));

        let selection = json!({"queue": "payment", "where": ["cause=X", "type=order.placed.*"], "reason": "fixed"});
        let done = changed(&stack, json!({"redrive": selection})).await?;
        assert_eq!((&done["counts"]["done"], &done["counts"]["skipped"]), (&json!(1), &json!(2)), "{done:#}");
        let source = stack.peek("PaymentQueue").await?;
        let [only] = source.as_slice() else { panic!("{source:?}") };
        let expected = [("RedriveCount", "1"), ("again", "1"), ("type", "order.placed.v1")];
        assert_eq!(only.body, "A");
        assert_eq!(only.attributes, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), "nothing of the parking");
        let mut left = before;
        left.retain(|_, (body, _)| body != "A");
        assert_eq!(content(&stack, "PaymentDeadLetterQueue").await?, left);

        let records: Vec<_> = archived(&stack, "audit").await?.difference(&audits).cloned().collect();
        assert_eq!(records.len(), 2, "before and after: {records:?}");
        let record: Value = serde_json::from_str(&stack.stored("DlqArchiveBucket", &records[1]).await?.context("no record")?)?;
        let told = (&record["by"], &record["command"], &record["where"][0], &record["counts"]["done"], &record["reason"]);
        assert_eq!(told, (&json!("test"), &json!("redrive"), &json!("cause=X"), &json!(1), &json!("fixed")), "{record:#}");
        Ok(())
    };
    while_pausing(&stack, "Payment", work).await
}

#[tokio::test]
async fn the_alias_to_look_changes_nothing_and_masks_bodies() -> Result<()> {
    let Some(stack) = start().await? else { return Ok(()) };
    let work = async {
        let secret = format!(r#"{{"type":"order.placed.v1","name":"{NAME}"}}"#);
        let parked = [("ErrorType", "X"), ("ErrorMessage", "why"), ("SourceQueue", "q")];
        put(&stack, "PaymentDeadLetterQueue", "", &secret, &parked).await?;
        let before = content(&stack, "PaymentDeadLetterQueue").await?;
        let whole = || json!({"queue": "payment", "where": ["cause=X"], "reason": "a test"});
        let reveal = json!({"queue": "payment", "reveal": true});
        for command in [json!({"redrive": whole()}), json!({"discard": whole()}), json!({"peek": reveal})] {
            let answer = stack.ask(INSPECTOR, Power::Look.alias(), &json!({"by": "test", "command": command})).await?;
            assert_eq!(answer["refused"]["error"], "MayOnlyLook", "{answer}");
        }
        let nudge = json!({"nudge": {"order_id": new_key(), "reason": "a test"}});
        let answer = stack.ask(OPERATOR, Power::Look.alias(), &json!({"by": "test", "command": nudge})).await?;
        assert_eq!(answer["refused"]["error"], "MayOnlyLook", "{answer}");
        assert_eq!(content(&stack, "PaymentDeadLetterQueue").await?, before);
        let peek = json!({"by": "test", "command": {"peek": {"queue": "payment"}}});
        let seen = stack.ask(INSPECTOR, Power::Look.alias(), &peek).await?.to_string();
        assert!(seen.contains("order.placed.v1") && !seen.contains(NAME), "{seen}");
        Ok(())
    };
    while_pausing(&stack, "Payment", work).await
}

#[tokio::test]
async fn a_fifo_orders_messages_come_back_in_their_order() -> Result<()> {
    let Some(stack) = start().await? else { return Ok(()) };
    let orders = [new_key(), new_key()];
    let work = async {
        for n in 0..15 {
            for order_id in &orders {
                let attributes = [("ErrorType", "Fixed"), ("ErrorMessage", "why"), ("SourceQueue", "q")];
                put(&stack, "ShippingDeadLetterQueue", order_id, &format!("{n:02} of {order_id}"), &attributes).await?;
            }
        }
        let done = changed(&stack, json!({"redrive": {"queue": "shipping"}})).await?;
        assert_eq!(done["counts"]["done"], 30, "{done:#}");
        let source = stack.peek("ShippingQueue").await?;
        for order_id in &orders {
            let of_it: Vec<_> =
                source.iter().filter(|message| message.group_id.as_ref() == Some(order_id)).map(|it| it.body.clone()).collect();
            assert_eq!(of_it, (0..15).map(|n| format!("{n:02} of {order_id}")).collect::<Vec<_>>());
        }
        Ok(())
    };
    while_pausing(&stack, "Shipping", work).await
}

#[tokio::test]
async fn an_inspector_killed_in_the_middle_of_a_redrive_of_500_loses_nothing() -> Result<()> {
    const MESSAGES: usize = 500;
    /// What one page holds: what a process that dies has sent and not deleted.
    const DOUBLED_MAX: usize = 10;
    let Some(stack) = start().await? else { return Ok(()) };
    let work = async {
        let bodies: BTreeSet<_> = (0..MESSAGES).map(|n| format!("message {n}")).collect();
        put_many(&stack, "PaymentDeadLetterQueue", bodies.clone()).await?;
        let name = stack.engine.function(INSPECTOR).await?;
        let redrive = json!({"redrive": {"queue": "payment"}});
        let kill = async {
            stack
                .wait_for("some to be back in the source queue", async || {
                    Ok((stack.peek("PaymentQueue").await?.len() > MESSAGES / 5).then_some(()))
                })
                .await?;
            let processes = function_processes(stack.state.engine_pid);
            let mut killed = 0;
            for process in processes.iter().filter(|process| process.function == name) {
                ensure!(Command::new("kill").args(["-KILL", &process.pid.to_string()]).status()?.success(), "it was gone");
                killed += 1;
            }
            ensure!(killed > 0, "no process of the inspector was found");
            Ok(())
        };
        // Its invocation ends in an error, or in an answer that was on its way.
        let interrupted = async { Ok(stack.ask_inspector(&json!({"by": "test", "command": redrive})).await.is_err()) };
        let (was_cut, ()) = try_join(interrupted, kill).await?;
        let all = async || {
            let bodies = |messages: Vec<QueuedMessage>| messages.into_iter().map(|message| message.body).collect::<Vec<_>>();
            Ok::<_, anyhow::Error>((bodies(stack.peek("PaymentQueue").await?), bodies(stack.peek("PaymentDeadLetterQueue").await?)))
        };
        let (source, left) = all().await?;
        assert!(was_cut && !left.is_empty(), "it was killed after its end: {} redriven", source.len());
        let known: BTreeSet<_> = source.iter().chain(&left).cloned().collect();
        assert_eq!(known, bodies, "every message is in its source queue or still in the dead-letter queue");

        // Again, until what the dead process had hidden is back.
        stack
            .wait_for("the rest to be redriven", async || {
                changed(&stack, redrive.clone()).await?;
                Ok(stack.peek("PaymentDeadLetterQueue").await?.is_empty().then_some(()))
            })
            .await?;
        let (source, _) = all().await?;
        assert_eq!(source.iter().cloned().collect::<BTreeSet<_>>(), bodies);
        assert!(source.len() <= MESSAGES + DOUBLED_MAX, "{} were doubled", source.len() - MESSAGES);
        Ok(())
    };
    while_pausing(&stack, "Payment", work).await
}

#[tokio::test]
async fn two_inspectors_at_once_redrive_every_message_once() -> Result<()> {
    const MESSAGES: usize = 300;
    let Some(stack) = start().await? else { return Ok(()) };
    let work = async {
        let bodies: BTreeSet<_> = (0..MESSAGES).map(|n| format!("message {n}")).collect();
        put_many(&stack, "PaymentDeadLetterQueue", bodies.clone()).await?;
        let both = join_all((0..2).map(|_| changed(&stack, json!({"redrive": {"queue": "payment"}})))).await;
        let done: u64 = both.into_iter().map(|one| Ok(one?["counts"]["done"].as_u64().unwrap_or(0))).sum::<Result<_>>()?;
        let source: Vec<_> = stack.peek("PaymentQueue").await?.into_iter().map(|message| message.body).collect();
        assert_eq!((source.iter().cloned().collect::<BTreeSet<_>>(), source.len(), done), (bodies, MESSAGES, 300));
        assert!(stack.peek("PaymentDeadLetterQueue").await?.is_empty());
        Ok(())
    };
    while_pausing(&stack, "Payment", work).await
}

/// Deep enough for the service's own task, which the engine has too.
#[tokio::test]
async fn a_whole_deep_queue_is_redriven_by_the_services_own_task() -> Result<()> {
    const MESSAGES: usize = 1_200;
    let Some(stack) = start().await? else { return Ok(()) };
    let work = async {
        put_many(&stack, "PaymentDeadLetterQueue", (0..MESSAGES).map(|n| format!("message {n}"))).await?;
        let done = changed(&stack, json!({"redrive": {"queue": "payment", "rate": 500}})).await?;
        assert!(done["notes"].to_string().contains("by a task of its own") && done["counts"]["done"] == MESSAGES, "{done:#}");
        let source: BTreeSet<_> = stack.peek("PaymentQueue").await?.into_iter().map(|message| message.body).collect();
        assert_eq!((source.len(), stack.peek("PaymentDeadLetterQueue").await?.len()), (MESSAGES, 0));
        Ok(())
    };
    while_pausing(&stack, "Payment", work).await
}

#[tokio::test]
async fn ten_thousand_messages_are_explained_within_the_functions_memory_and_are_visible_again() -> Result<()> {
    const MESSAGES: usize = 10_000;
    const MEMORY_KB: u64 = 256 * 1024;
    let Some(stack) = start().await? else { return Ok(()) };
    put_many(
        &stack,
        "PaymentDeadLetterQueue",
        (0..MESSAGES).map(|n| format!(r#"{{"type":"order.placed.v1","n":{n},"ballast":"{}"}}"#, "x".repeat(400))),
    )
    .await?;
    let explained = stack.dlq(json!({"explain": {"queue": "payment"}})).await?;
    let group = &explained["explain"]["table"]["groups"][0];
    assert_eq!((&group["count"], &group["cause"], &group["event_type"]), (&json!(MESSAGES), &json!("Fixed"), &json!("order.placed.v1")));

    let name = stack.engine.function(INSPECTOR).await?;
    let processes = function_processes(stack.state.engine_pid);
    let mine = processes.iter().filter(|process| process.function == name);
    let peak = |pid: u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok())
    };
    let peak = mine.filter_map(|process| peak(process.pid)).max().context("no process of the inspector was found")?;
    println!("explained {MESSAGES} messages in {} MB at most", peak / 1024);
    assert!(peak < MEMORY_KB, "{peak} kB");

    let depth = json!({"QueueUrl": stack.state.output("PaymentDeadLetterQueueUrl")?, "AttributeNames": ["All"]});
    stack
        .wait_for("all messages to be visible again", async || {
            let answer = stack.engine.call("sqs", "AmazonSQS.GetQueueAttributes", &depth).await?;
            Ok((answer["Attributes"]["ApproximateNumberOfMessages"].as_str() == Some("10000")).then_some(()))
        })
        .await?;
    start().await.map(drop)
}

#[tokio::test]
async fn bad_input_and_missing_permissions_are_answered_and_change_nothing() -> Result<()> {
    let Some(stack) = start().await? else { return Ok(()) };
    let attributes = [("ErrorType", "Fixed"), ("ErrorMessage", "why"), ("SourceQueue", "q")];
    put(&stack, "PaymentDeadLetterQueue", "", "it stays", &attributes).await?;
    let before = content(&stack, "PaymentDeadLetterQueue").await?;
    let refusals = [
        (json!({"redrive": {"queue": "paymnet"}}), "The stack has no dead-letter queue `paymnet`. Did you mean payment?"),
        (json!({"redrive": {"queue": "PaymentQueue"}}), "PaymentQueue is a queue of the stack but no dead-letter queue."),
        (json!({"redrive": {"queue": "payment", "where": ["cuase=X"]}}), "`cuase` is nothing to select by"),
        (json!({"redrive": {"queue": "payment", "dryrun": true}}), "unknown field `dryrun`"),
        (json!({"discard": {"queue": "payment", "where": ["cause=X"]}}), "discard takes a reason"),
    ];
    for (command, sentence) in refusals {
        let answer = stack.dlq(command).await?;
        let message = answer["refused"]["message"].as_str().with_context(|| format!("{answer:#}"))?;
        assert!(message.contains(sentence), "{message}");
    }
    let missing = ["TakeAndMoveDeadLetters", "SendBackToQueues", "Archive", "FindQueues"];
    for sid in missing {
        let denied = async {
            let answer = stack.dlq(json!({"redrive": {"queue": "payment"}})).await?;
            let message = answer["failed"]["message"].as_str().with_context(|| format!("{sid}: {answer:#}"))?;
            assert!(message.contains("may not do this"), "{sid}: {message}");
            Ok(())
        };
        while_lacking(&stack, INSPECTOR, sid, denied).await?;
    }
    stack
        .wait_for("the message to be as it was", async || {
            Ok((content(&stack, "PaymentDeadLetterQueue").await? == before && stack.dlq(json!({"list": {}})).await?["list"].is_array())
                .then_some(()))
        })
        .await?;
    Ok(())
}

/// What the digest says it did, invoked as the schedule does.
async fn digest(stack: &Stack) -> Result<Value> {
    Ok(stack.ask_inspector(&json!({"by": "schedule", "command": {"digest": {}}})).await?["digest"].clone())
}

/// The one mail that two digests in a row send.
async fn told_once(stack: &Stack, listener: &TopicListener) -> Result<String> {
    assert_eq!([digest(stack).await?, digest(stack).await?], ["sent", "said"]);
    let mails = stack
        .wait_for("the digest", async || {
            let mails = listener.take().await?;
            Ok((!mails.is_empty()).then_some(mails))
        })
        .await?;
    let [mail] = mails.as_slice() else { panic!("{mails:?}") };
    Ok(mail["Body"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn the_digest_tells_the_operators_once_and_is_silent_where_nothing_lies() -> Result<()> {
    let Some(stack) = start().await? else { return Ok(()) };
    let listener = TopicListener::at(&stack, "AlertsTopic").await?;
    assert_eq!(digest(&stack).await?, "silent");
    let attributes = [("ErrorType", "CardReaderOnFire"), ("ErrorMessage", "why"), ("SourceQueue", "q"), ("type", "order.placed.v1")];
    put(&stack, "PaymentDeadLetterQueue", "", "ada@example.com", &attributes).await?;
    let text = told_once(&stack, &listener).await?;
    assert!(text.contains("payment: 1 messages") && text.contains("CardReaderOnFire") && !text.contains("ada@"), "{text}");
    start().await?;
    assert_eq!(digest(&stack).await?, "silent");
    listener.leave().await
}

/// The one end that needs a person, from the provider's refusal to the settlement. The hold is cancelled at the provider behind
/// payment's back, so that its capture is refused permanently.
#[tokio::test]
async fn a_refused_capture_is_listed_told_once_and_settled() -> Result<()> {
    let Some(stack) = start().await? else { return Ok(()) };
    let listener = TopicListener::at(&stack, "AlertsTopic").await?;
    let sku = new_sku("UNPAID");
    stack.stock_up(&sku, 1200, 1).await?;
    stack.set_consumer("InventoryFunction", false).await?;
    let refused = async {
        let order_id = stack.place(&[(&sku, 1)], VISA).await?;
        stack.until(&order_id, "payment.authorized").await?;
        let held = stack.payments().await?.into_iter().find(|payment| payment.order_id == order_id && payment.status == "requires_capture");
        let payment_id = held.context("nothing is held")?.id;
        stack.cancel_at_provider(&payment_id).await?;
        Ok::<_, anyhow::Error>((order_id, payment_id))
    };
    let refused = refused.await;
    stack.set_consumer("InventoryFunction", true).await?;
    let (order_id, payment_id) = refused?;
    assert_eq!(stack.ended(&order_id).await?["status"], "uncollected");

    // Index, list and digest name it, with the payment that people look up; a second digest says nothing new.
    let listed = stack.command(&json!({"uncollected": {}})).await?["uncollected"].clone();
    let mine = listed["payments"].as_array().into_iter().flatten().find(|payment| payment["order_id"] == order_id);
    assert_eq!(mine.context("it is not listed")?["payment"], payment_id, "{listed:#}");
    let text = told_once(&stack, &listener).await?;
    assert!(text.contains("Shipped and not collected: 1") && text.contains(&order_id) && text.contains(&payment_id), "{text}");

    // A nudge has nothing to do here, a dry run changes nothing, a settlement is one, and the digest falls silent.
    let nudged = stack.command(&json!({"nudge": {"order_id": order_id, "reason": "a test"}})).await?;
    assert_eq!(nudged["refused"]["error"], "OrderHasEnded", "{nudged:#}");
    let settle = async |reason: &str, dry_run: bool| {
        let settled = stack.command(&json!({"settle": {"order_id": order_id, "reason": reason, "dry_run": dry_run}})).await?;
        Ok::<_, anyhow::Error>(settled["settled"].clone())
    };
    assert!(settle("a try", true).await?["payment"].get("settled_at").is_none());
    assert_eq!(settle("paid by transfer", false).await?["before"], false);
    let again = settle("written off", false).await?;
    assert_eq!((&again["before"], &again["payment"]["settled_reason"]), (&json!(true), &json!("paid by transfer")));
    let record = stack.item("PaymentsTable", "order_id", &order_id).await?.context("no record")?;
    assert_eq!((&record["state"], record.get("unsettled")), (&json!("uncollected"), None), "{record:#}");
    assert_eq!(digest(&stack).await?, "silent");
    listener.leave().await
}

/// Stored and not announced, with no message left anywhere: the operator's nudge takes it up.
#[tokio::test]
async fn a_nudge_brings_an_order_to_its_end_whose_messages_were_lost() -> Result<()> {
    let Some(stack) = start().await? else { return Ok(()) };
    let sku = new_sku("NUDGED");
    stack.stock_up(&sku, 1200, 1).await?;
    let (order_id, _) = unannounced(&stack, &sku).await?;
    let before = archived(&stack, "audit").await?.len();
    let nudged = stack.command(&json!({"nudge": {"order_id": order_id, "reason": "its messages were lost"}})).await?;
    assert_eq!(nudged["nudged"]["order_id"], order_id, "{nudged:#}");
    assert_eq!(stack.ended(&order_id).await?["status"], "completed");
    assert_eq!(archived(&stack, "audit").await?.len(), before + 2, "begun and ended");
    let unknown = stack.command(&json!({"nudge": {"order_id": new_order(), "reason": "?"}})).await?;
    assert_eq!(unknown["refused"]["error"], "NoSuchOrder", "{unknown:#}");
    Ok(())
}
