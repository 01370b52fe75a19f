//! The inspector, driven through `handle` against queues in memory: with deaths at every call, two at once, and leases that run
//! out in a moment.

mod world;

use super::*;
use crate::answer::{Changed, Digested, Explained, Listed, Peeked};
use domain::Timestamp;
use message::REDRIVE_COUNT;
use ports::{Logged, PAGE_MAX};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use tokio::time::sleep;
use world::{DEDUPLICATION, Life, Port, TOPIC, World};

/// One invocation; [`None`] where the process died.
async fn invoke(world: &World, command: &Value) -> Option<Answer> {
    let life = Life::default();
    let inspector = Inspector { ports: Port { world, life: &life }, stack_name: "stack".into() };
    let document = json!({ "by": "ada", "command": command });
    let began = Instant::now();
    let request_id = format!("request-{}", world.random());
    let handling = inspector.handle(document, &request_id, Power::Change, began + Duration::from_secs(60));
    let answer = tokio::select! {
        biased;
        () = life.death.notified() => None,
        answer = handling => Some(answer.expect("only a digest fails")),
    };
    assert!(began.elapsed() < Duration::from_secs(60), "Lambda would have ended it");
    answer
}

/// A command to its end, as `cargo xtask dlq` runs it; [`None`] where the process died.
async fn run(world: &World, command: Value) -> Option<Answer> {
    let mut command = command;
    for _ in 0..1000 {
        let answer = invoke(world, &command).await?;
        let cursor = match &answer {
            Answer::Explain(explained) => explained.cursor.clone(),
            Answer::Changed(changed) => changed.cursor.clone(),
            _ => None,
        };
        let Some(cursor) = cursor else { return Some(answer) };
        let name = command.as_object().unwrap().keys().next().unwrap().clone();
        command[name]["cursor"] = serde_json::to_value(cursor).unwrap();
    }
    panic!("a thousand invocations were no end");
}

async fn changed(world: &World, command: Value) -> Changed {
    match run(world, command).await {
        Some(Answer::Changed(changed)) => changed,
        other => panic!("{other:?}"),
    }
}

async fn explained(world: &World, queue: &str) -> Explained {
    match run(world, json!({ "explain": { "queue": queue } })).await {
        Some(Answer::Explain(explained)) => explained,
        other => panic!("{other:?}"),
    }
}

async fn listed(world: &World) -> Vec<Listed> {
    match run(world, json!({ "list": {} })).await {
        Some(Answer::List(listed)) => listed,
        other => panic!("{other:?}"),
    }
}

async fn peeked(world: &World, command: Value) -> Vec<Peeked> {
    match run(world, json!({ "peek": command })).await {
        Some(Answer::Peek(peeked)) => peeked,
        other => panic!("{other:?}"),
    }
}

fn redrive() -> Value {
    json!({ "redrive": { "queue": "payment" } })
}

/// Whether every one of `count` messages is in the source queue or in the dead-letter queue; how many are in the source
/// queue, and how often.
fn check(world: &World, count: usize) -> (usize, usize) {
    let source = world.bodies("payment");
    let at_source: HashSet<_> = source.iter().cloned().collect();
    let mut all = at_source.clone();
    all.extend(world.bodies("payment-dead"));
    assert_eq!(all.len(), count, "a message is lost");
    (at_source.len(), source.len())
}

#[tokio::test(start_paused = true)]
async fn every_dead_letter_queue_of_the_stack_is_found_and_no_other() {
    let world = World::new();
    world.parked(3, &["CardDeclined"]);
    let began = world.now();
    let listed = listed(&world).await;
    let names: Vec<_> = listed.iter().map(|queue| (queue.queue.as_str(), queue.sources[0].as_str(), queue.depth)).collect();
    assert_eq!(names, [("payment", "payment", 3), ("shipping", "shipping", 0), ("undelivered", "order-events", 0)]);
    assert_eq!((listed[0].oldest_sent_at, listed[0].arrived_last_hour, listed[0].complete), (Some(began), Some(3), true));
    assert_eq!(world.hidden("payment-dead"), 0);
}

#[tokio::test(start_paused = true)]
async fn bad_input_is_answered_in_one_sentence_and_changes_nothing() {
    let world = World::new();
    world.parked(3, &["CardDeclined"]);
    let before = world.content("payment-dead");
    for (command, error, says) in [
        (json!({ "peek": { "queue": "paymnt" } }), "UnknownQueue", "Did you mean payment?"),
        (json!({ "explain": { "queue": "email-list" } }), "NoDeadLetterQueue", "no dead-letter queue"),
        (json!({ "explain": { "queue": "PaymentQueue" } }), "NoDeadLetterQueue", "Its dead-letter queue is payment"),
        (json!({ "redrive": { "queue": "payment", "where": ["cuase=X"] } }), "InvalidCondition", "Did you mean cause?"),
        (json!({ "redrive": { "queue": "payment", "dryrun": true } }), "InvalidRequest", "dryrun"),
        (json!({ "redrive": { "queue": "payment", "rate": 0 } }), "InvalidLimit", "at least 1"),
        (json!({ "redrive": { "queue": "payment", "to": "shipping" } }), "UnknownSource", "but to payment"),
        (json!({ "discard": { "queue": "payment", "reason": "r" } }), "NoCondition", "--where"),
        (json!({ "discard": { "queue": "payment", "where": ["id=x"], "reason": " " } }), "NoReason", "--reason"),
        (json!({ "discard": { "queue": "payment", "where": ["id=x"], "reason": "\u{2060}" } }), "NoReason", "--reason"),
        (json!({ "peek": { "queue": "payment", "limit": 1000 } }), "InvalidLimit", "between 1 and 100"),
        (json!({ "redo": {} }), "InvalidRequest", "redo"),
    ] {
        match run(&world, command.clone()).await {
            Some(Answer::Refused(refusal)) => {
                assert_eq!(refusal.error, error, "{command}");
                assert!(refusal.message.contains(says), "{}", refusal.message);
            }
            other => panic!("{command}: {other:?}"),
        }
    }
    assert_eq!((world.content("payment-dead"), world.archive.borrow().len(), world.hidden("payment-dead")), (before, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_peek_masks_unless_it_reveals_and_revealing_is_recorded() {
    let world = World::new();
    world.put("payment-dead", r#"{"type":"order.placed.v1","data":{"name":"Ada Lovelace"}}"#, &[("ErrorType", "X")], None);
    let shown = peeked(&world, json!({ "queue": "payment" })).await;
    assert_eq!((shown[0].cause.as_str(), shown[0].event_type.as_str(), shown[0].receives), ("X", "order.placed.v1", 1));
    assert!(!serde_json::to_string(&shown).unwrap().contains("Ada") && world.audits().is_empty());
    let shown = peeked(&world, json!({ "queue": "payment", "reveal": true })).await;
    assert!(shown[0].body.as_str().unwrap().contains("Ada"));
    assert_eq!((world.audits()[0]["phase"].as_str(), world.audits()[0]["by"].as_str()), (Some("revealed"), Some("ada")));
}

#[tokio::test(start_paused = true)]
async fn the_permission_to_look_changes_nothing_and_masks_bodies() {
    let world = World::new();
    world.parked(3, &["A"]);
    let (before, life) = (world.content("payment-dead"), Life::default());
    let inspector = Inspector { ports: Port { world: &world, life: &life }, stack_name: "stack".into() };
    let looks = async |command: Value| {
        let document = json!({ "by": "ada", "command": command });
        inspector.handle(document, "r", Power::Look, Instant::now() + Duration::from_secs(60)).await.unwrap()
    };
    let select = |dry_run: bool| json!({ "queue": "payment", "where": ["cause=A"], "reason": "because", "dry_run": dry_run });
    let reveal = json!({ "peek": { "queue": "payment", "reveal": true } });
    for command in [json!({ "redrive": select(false) }), json!({ "discard": select(false) }), reveal] {
        let Answer::Refused(refusal) = looks(command.clone()).await else { panic!("{command}") };
        assert_eq!(refusal.error, "MayOnlyLook", "{command}");
    }
    let peek = json!({ "peek": { "queue": "payment" } });
    let looked = [json!({ "list": {} }), peek, json!({ "explain": { "queue": "payment" } }), json!({ "redrive": select(true) })];
    for command in looked.into_iter().chain([json!({ "discard": select(true) })]) {
        assert!(!matches!(looks(command.clone()).await, Answer::Refused(_) | Answer::Failed(_)), "{command}");
    }
    assert_eq!(world.content("payment-dead"), before);
    assert!(world.audits().is_empty());
}

#[tokio::test(start_paused = true)]
async fn bodies_that_no_answer_has_room_for_are_told_by_their_size() {
    let world = World::new();
    let long = "x".repeat(256 * 1024);
    for _ in 0..10 {
        world.put("payment-dead", &long, &[("ErrorType", "X")], None);
    }
    let shown = peeked(&world, json!({ "queue": "payment", "reveal": true })).await;
    let whole = shown.iter().filter(|peeked| peeked.body == long.as_str()).count();
    assert_eq!((shown.len(), whole), (10, 7));
    assert!(shown[9].body.as_str().unwrap().contains("262144 bytes"), "{}", shown[9].body);
}

#[tokio::test(start_paused = true)]
async fn a_crash_while_looking_hides_messages_for_a_short_lease_at_most() {
    for (limit, lease) in [(10, 0), (50, 10)] {
        for call in 0..40 {
            let world = World::new();
            world.parked(60, &["A"]);
            let before = world.content("payment-dead");
            world.dies_at.set(Some((call, true)));
            run(&world, json!({ "peek": { "queue": "payment", "limit": limit } })).await;
            sleep(Duration::from_secs(lease)).await;
            assert_eq!((world.hidden("payment-dead"), world.content("payment-dead")), (0, before));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_messages_are_explained_in_bounded_memory_and_stay_where_they_are() {
    let mut world = World::new();
    world.latency = Duration::from_millis(100);
    world.parked(10_000, &["A", "B", "A", "C"]);
    let before = world.content("payment-dead");
    let mut command = json!({ "explain": { "queue": "payment" } });
    let mut invocations = 0;
    let explained = loop {
        invocations += 1;
        let Some(Answer::Explain(explained)) = invoke(&world, &command).await else { panic!() };
        let Some(cursor) = &explained.cursor else { break explained };
        let bytes = serde_json::to_string(cursor).unwrap().len();
        assert!(bytes < 150_000, "a cursor of {bytes} bytes");
        command["explain"]["cursor"] = serde_json::to_value(cursor).unwrap();
    };
    let counts: Vec<_> = explained.table.groups.iter().map(|group| (group.cause.as_str(), group.count)).collect();
    assert_eq!(counts, [("A", 5_000), ("B", 2_500), ("C", 2_500)]);
    assert_eq!((explained.read, explained.table.groups[0].function.as_str()), (10_000, "payment"));
    assert!(invocations > 1, "{invocations}");
    sleep(Duration::from_secs(explained.lease_seconds)).await;
    assert_eq!((world.hidden("payment-dead"), world.content("payment-dead")), (0, before));
}

#[tokio::test(start_paused = true)]
async fn what_is_explained_in_one_invocation_is_visible_at_once() {
    let world = World::new();
    world.parked(1_000, &["A"]);
    assert_eq!((explained(&world, "payment").await.read, world.hidden("payment-dead")), (1_000, 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_sqs_moved_is_explained_by_the_log() {
    let world = World::new();
    let known = world.put("payment-dead", "{}", &[], None);
    let unknown = world.put("payment-dead", "[]", &[], None);
    let at = Timestamp::UNIX_EPOCH;
    world.logged.borrow_mut().insert(known.clone(), Logged { error_type: "Timeout".into(), error: "no answer".into(), at });
    let shown = peeked(&world, json!({ "queue": "payment" })).await;
    let causes: Vec<_> = shown.iter().map(|shown| (shown.message_id.as_str(), shown.cause.as_str())).collect();
    assert_eq!(causes, [(known.as_str(), "Timeout"), (unknown.as_str(), "Exhausted")]);
    let changed = changed(&world, json!({ "redrive": { "queue": "payment", "where": ["cause=Timeout"] } })).await;
    assert_eq!((changed.counts.done, changed.counts.skipped, world.bodies("payment")), (1, 1, vec!["{}".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_is_too_long_is_not_taken_for_empty() {
    let world = World { endless_log: true, ..World::new() };
    world.put("payment-dead", "{}", &[], None);
    let explained = explained(&world, "payment").await;
    assert_eq!((explained.table.not_looked_up, explained.table.groups[0].cause.as_str()), (1, message::EXHAUSTED));
    assert!(explained.table.groups[0].example.detail.contains("too long"), "{:?}", explained.table);
    let selection = json!({ "redrive": { "queue": "payment", "where": ["cause=Exhausted"] } });
    let Some(Answer::Failed(failed)) = run(&world, selection).await else { panic!("it was taken for exhausted") };
    assert!(failed.message.contains("select by id, type or subject"), "{failed:?}");
    assert_eq!(world.bodies("payment-dead").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_redrive_sends_everything_back_counts_it_and_is_recorded() {
    let world = World::new();
    world.parked(25, &["A"]);
    let changed = changed(&world, redrive()).await;
    assert_eq!((changed.counts.done, check(&world, 25)), (25, (25, 25)));
    let source = world.content("payment");
    assert!(source.iter().all(|stored| stored.attributes.iter().map(|(name, _)| name.as_str()).eq(["type", REDRIVE_COUNT])));
    let audits = world.audits();
    assert_eq!(audits.iter().map(|audit| audit["phase"].as_str().unwrap()).collect::<Vec<_>>(), ["begun", "ended"]);
    assert_eq!((audits[1]["counts"]["done"].as_u64(), audits[1]["queue"].as_str()), (Some(25), Some("payment")));
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_call_of_a_redrive_loses_nothing() {
    let calls = {
        let world = World::new();
        world.parked(500, &["A"]);
        changed(&world, redrive()).await;
        world.calls.get()
    };
    assert!(calls > 1_000, "{calls} calls are no redrive of 500");
    let mut doubled = 0;
    // Every call of the first pages; then one in eleven, which comes by every place of a page.
    for call in (0..100).chain((100..calls).step_by(11)) {
        for after in [false, true] {
            let world = World::new();
            world.parked(500, &["A"]);
            world.dies_at.set(Some((call, after)));
            assert_eq!(run(&world, redrive()).await, None, "call {call} never came");
            check(&world, 500);
            // At once: what the dead process had is hidden still. Then when its lease is over.
            changed(&world, redrive()).await;
            check(&world, 500);
            sleep(Duration::from_secs(60)).await;
            changed(&world, redrive()).await;
            let (source, copies) = check(&world, 500);
            assert_eq!((source, world.bodies("payment-dead").len()), (500, 0));
            assert!(copies - source <= PAGE_MAX, "{copies} copies of 500 messages");
            doubled += copies - source;
        }
    }
    assert!(doubled > 0, "no death fell between a send and its delete");
}

#[tokio::test(start_paused = true)]
async fn two_inspectors_at_once_redrive_every_message_once() {
    for seed in 0..20 {
        let mut world = World::new();
        world.rough = true;
        world.number.set(seed * 1_000_000);
        world.parked(300, &["A"]);
        let (a, b) = tokio::join!(changed(&world, redrive()), changed(&world, redrive()));
        assert_eq!((a.counts.done + b.counts.done, check(&world, 300)), (300, (300, 300)));
        assert!(a.counts.done > 0 && b.counts.done > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_explains_beside_a_redrive_holds_nothing_back_for_long() {
    let mut world = World::new();
    world.rough = true;
    world.parked(300, &["A"]);
    tokio::join!(changed(&world, redrive()), explained(&world, "payment"));
    sleep(Duration::from_secs(60)).await;
    changed(&world, redrive()).await;
    assert_eq!(check(&world, 300), (300, 300));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_changes_nothing_and_counts_what_would_go() {
    let world = World::new();
    world.parked(100, &["A", "B"]);
    let before = world.content("payment-dead");
    for command in [
        json!({ "redrive": { "queue": "payment", "where": ["cause=A"], "dry_run": true } }),
        json!({ "discard": { "queue": "payment", "where": ["cause=A"], "reason": "r", "dry_run": true } }),
    ] {
        let changed = changed(&world, command).await;
        assert_eq!((changed.counts.done, changed.counts.skipped, changed.dry_run), (50, 50, true));
    }
    assert_eq!((world.content("payment-dead"), world.hidden("payment-dead")), (before, 0));
    assert!(world.bodies("payment").is_empty() && world.archive.borrow().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_selection_touches_only_itself_and_a_maximum_is_kept() {
    let world = World::new();
    world.parked(100, &["A", "B"]);
    let others: Vec<_> = world.content("payment-dead").into_iter().skip(1).step_by(2).collect();
    let some = json!({ "redrive": { "queue": "payment", "where": ["cause=A"], "max": 7 } });
    assert_eq!(changed(&world, some).await.counts.done, 7);
    assert_eq!((world.bodies("payment").len(), world.hidden("payment-dead")), (7, 0));
    let rest = json!({ "redrive": { "queue": "payment", "where": ["cause=A"] } });
    assert_eq!(changed(&world, rest).await.counts.done, 43);
    assert_eq!(world.content("payment-dead"), others);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept_over_invocations() {
    let world = World::new();
    world.parked(100, &["A"]);
    let began = Instant::now();
    let changed = changed(&world, json!({ "redrive": { "queue": "payment", "rate": 4 } })).await;
    assert_eq!((changed.counts.done, check(&world, 100)), (100, (100, 100)));
    assert!(began.elapsed() >= Duration::from_secs(24) && began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_taken_stays_and_is_named() {
    let world = World::new();
    world.parked(20, &["A"]);
    world.refuses.borrow_mut().insert(world.bodies("payment-dead")[3].clone());
    let changed = changed(&world, redrive()).await;
    assert_eq!((changed.counts.done, changed.counts.failed, world.bodies("payment-dead").len()), (19, 1, 1));
    assert!(changed.notes[0].contains("stays where it is: Throttling"), "{:?}", changed.notes);
    assert_eq!(world.hidden("payment-dead"), 0);
}

/// A FIFO dead-letter queue of so many groups with so many messages each, their facts mixed.
#[tokio::test(start_paused = true)]
async fn a_redrive_ends_when_its_messages_are_parked_again() {
    let world = World { returns: true, latency: Duration::from_millis(1), ..World::new() };
    world.parked(30, &["A"]);
    sleep(Duration::from_secs(1)).await;
    let done = changed(&world, redrive()).await;
    assert_eq!((done.counts.done, done.counts.newer), (30, 30), "{done:?}");
    assert_eq!((world.bodies("payment").len(), world.bodies("payment-dead").len()), (0, 30));
}

#[tokio::test(start_paused = true)]
async fn a_missing_permission_ends_a_change_at_once() {
    let world = World { keeps: true, ..World::new() };
    world.parked(100, &["A"]);
    let Some(Answer::Failed(failed)) = run(&world, redrive()).await else { panic!("it did not fail") };
    assert_eq!(failed.message, "The inspector's role may not do this: DeleteMessage failed.");
    assert_eq!((world.bodies("payment").len(), world.bodies("payment-dead").len()), (PAGE_MAX, 100), "a page is in both places");
    assert_eq!(world.audits().last().unwrap()["counts"]["failed"], PAGE_MAX);
    assert_eq!(world.hidden("payment-dead"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_redrive_waits_for_what_an_inspector_has_hidden_that_died() {
    let mut world = World::new();
    world.latency = Duration::from_millis(50);
    world.parked(100, &["A"]);
    world.dies_at.set(Some((30, true)));
    assert!(run(&world, redrive()).await.is_none(), "it did not die");
    assert!(world.hidden("payment-dead") > 0, "it died with nothing in its hands");
    let done = changed(&world, redrive()).await;
    assert!(done.unread == 0 && done.cursor.is_none(), "{done:?}");
    check(&world, 100);
    assert!(world.bodies("payment-dead").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_redrive_that_waits_in_vain_has_an_end() {
    let world = World::new();
    world.parked(3, &["A"]);
    // Somebody who keeps one for an hour.
    world
        .with("payment-dead", |queue| queue.messages.values_mut().next().unwrap().hidden_until = Some(Instant::now() + 60 * DEDUPLICATION));
    let done = changed(&world, redrive()).await;
    assert_eq!((done.counts.done, done.unread), (2, 1));
    assert!(done.notes.iter().any(|note| note.contains("About 1 are hidden")), "{:?}", done.notes);
}

#[tokio::test(start_paused = true)]
async fn a_whole_deep_queue_is_moved_by_a_task_of_sqs() {
    let world = World { has_tasks: true, ..World::new() };
    world.parked(2_000, &["A"]);
    let done = changed(&world, json!({ "redrive": { "queue": "payment", "rate": 90, "reason": "fixed" } })).await;
    assert_eq!((done.counts.done, done.depth), (2_000, 2_000));
    assert_eq!((world.bodies("payment").len(), world.bodies("payment-dead").len()), (2_000, 0));
    let audits = world.audits();
    let phases: Vec<_> = audits.iter().map(|record| (record["command"].as_str().unwrap(), record["phase"].as_str().unwrap())).collect();
    assert_eq!(phases, [("redrive by task", "begun"), ("redrive by task", "ended")]);
    assert_eq!((&audits[0]["reason"], &audits[1]["counts"]["done"]), (&json!("fixed"), &json!(2_000)));
}

#[tokio::test(start_paused = true)]
async fn what_a_task_could_not_move_because_somebody_reads_it_is_said() {
    let world = World { has_tasks: true, ..World::new() };
    world.parked(1_100, &["A"]);
    world.with("payment-dead", |queue| {
        queue.messages.values_mut().take(100).for_each(|stored| stored.hidden_until = Some(Instant::now() + 60 * DEDUPLICATION));
    });
    let done = changed(&world, redrive()).await;
    assert_eq!((done.counts.done, done.unread), (1_000, 100));
    assert!(done.notes.iter().any(|note| note.contains("About 100 are hidden")), "{:?}", done.notes);
}

#[tokio::test(start_paused = true)]
async fn a_request_during_a_task_returns_progress_and_starts_no_other() {
    let world = World { has_tasks: true, ..World::new() };
    world.parked(2_000, &["A"]);
    let Some(Answer::Changed(first)) = invoke(&world, &redrive()).await else { panic!("not changed") };
    assert!(first.cursor.is_some() && first.counts.done > 0 && first.counts.done < 2_000, "{first:?}");
    let second = changed(&world, redrive()).await;
    assert_eq!((second.counts.done, world.bodies("payment").len()), (2_000, 2_000));
}

#[tokio::test(start_paused = true)]
async fn what_a_task_cannot_do_goes_message_by_message() {
    let deep = usize::try_from(move_task::FROM).unwrap();
    let selections = [json!({ "queue": "payment", "where": ["cause=A"] }), json!({ "queue": "payment", "max": deep })];
    for command in selections {
        let world = World { has_tasks: true, ..World::new() };
        world.parked(deep, &["A"]);
        assert_eq!(changed(&world, json!({ "redrive": command })).await.counts.done, move_task::FROM);
        assert!(world.task.borrow().is_none(), "a selection went by a task");
    }
    let shallow = World { has_tasks: true, ..World::new() };
    shallow.parked(deep - 1, &["A"]);
    changed(&shallow, redrive()).await;
    assert!(shallow.task.borrow().is_none(), "so few are counted and guarded");
    let without = World::new();
    without.parked(deep, &["A"]);
    assert_eq!(changed(&without, redrive()).await.counts.done, move_task::FROM, "a service without tasks");
    assert!(without.audits().iter().all(|record| record["command"] == "redrive"), "no task was begun");
    let ordered = World { has_tasks: true, ..World::new() };
    groups(&ordered, deep, 1);
    changed(&ordered, json!({ "redrive": { "queue": "shipping" } })).await;
    assert!(ordered.task.borrow().is_none(), "a FIFO queue keeps its order and its ids");
}

fn groups(world: &World, groups: usize, each: usize) {
    for n in 0..each {
        for group in 0..groups {
            let (body, group) = (json!({ "group": group, "n": n }).to_string(), format!("g{group}"));
            world.put("shipping-dead", &body, &[("ErrorType", "A")], Some(&group));
        }
    }
}

/// Whether the source queue holds each group's messages in order; how many it holds.
fn in_order(world: &World) -> usize {
    let mut last: HashMap<String, u64> = HashMap::new();
    let source = world.content("shipping");
    for stored in &source {
        let n = serde_json::from_str::<Value>(&stored.body).unwrap()["n"].as_u64().unwrap();
        let next = last.entry(stored.group.clone().unwrap()).or_default();
        assert_eq!(n, *next, "out of order in {:?}", stored.group);
        *next += 1;
    }
    source.len()
}

#[tokio::test(start_paused = true)]
async fn a_fifo_group_comes_back_in_order_through_crashes_and_parallel_runs() {
    let command = || json!({ "redrive": { "queue": "shipping" } });
    for seed in 0..60_u64 {
        let mut world = World::new();
        (world.rough, world.latency) = (true, Duration::from_millis(5));
        world.number.set(seed * 1_000_000);
        groups(&world, 6, 12);
        world.dies_at.set((seed % 3 > 0).then_some((usize::try_from(seed * 4).unwrap(), seed % 2 == 0)));
        tokio::join!(run(&world, command()), run(&world, command()));
        in_order(&world);
        for _ in 0..2 {
            sleep(Duration::from_secs(60)).await;
            run(&world, command()).await;
        }
        assert_eq!((in_order(&world), world.bodies("shipping-dead").len()), (72, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fifo_queue_is_redriven_in_order_over_many_invocations() {
    let mut world = World::new();
    world.latency = Duration::from_secs(1);
    world.put("shipping-dead", r#"{"group":0,"n":0}"#, &[(REDRIVE_COUNT, "3")], Some("g0"));
    groups(&world, 12, 6);
    let first = changed(&world, json!({ "redrive": { "queue": "shipping" } })).await;
    assert_eq!((first.counts.done, first.counts.refused), (66, 1));
    assert!(first.counts.held_back <= 6, "{:?}", first.counts);
    assert_eq!((in_order(&world), world.bodies("shipping-dead").len()), (66, 7));
    assert!(world.began.elapsed() > WORK_FOR * 2, "{:?} are not many invocations", world.began.elapsed());
    sleep(Duration::from_secs(60)).await;
    assert_eq!(world.hidden("shipping-dead"), 0, "what an earlier invocation read is back after its lease");
}

#[tokio::test(start_paused = true)]
async fn a_fifo_queue_of_unselected_messages_ends() {
    let mut world = World::new();
    world.latency = Duration::from_millis(500);
    groups(&world, 300, 1);
    let last = world.content("shipping-dead")[299].id.clone();
    let changed = changed(&world, json!({ "redrive": { "queue": "shipping", "where": [format!("id={last}")] } })).await;
    assert_eq!((changed.counts.done, changed.counts.skipped), (1, 299), "{changed:?}");
}

#[tokio::test(start_paused = true)]
async fn what_lies_behind_messages_that_have_gone_is_reached_in_the_same_run() {
    let world = World::new();
    groups(&world, 1, 12);
    let (first, eleventh) = (world.content("shipping-dead")[0].id.clone(), world.content("shipping-dead")[10].id.clone());
    let selection = json!({ "queue": "shipping", "where": [format!("id={first}"), format!("id={eleventh}")] });
    assert_eq!(changed(&world, json!({ "redrive": selection })).await.counts.done, 2, "without the first it is the tenth");
}

#[tokio::test(start_paused = true)]
async fn the_eleventh_message_of_a_group_is_reported_as_not_reached() {
    let world = World::new();
    groups(&world, 1, 12);
    let last = world.content("shipping-dead")[11].id.clone();
    let changed = changed(&world, json!({ "redrive": { "queue": "shipping", "where": [format!("id={last}")] } })).await;
    assert_eq!((changed.counts.done, changed.counts.skipped), (0, 10));
    assert!(changed.unread == 2 && changed.notes[0].contains("About 2 are hidden"), "{:?}", changed.notes);
}

#[tokio::test(start_paused = true)]
async fn a_selection_by_cause_looks_every_cause_up_however_many_there_are() {
    let world = World::new();
    for n in 0..3_000 {
        let id = world.put("payment-dead", &n.to_string(), &[], None);
        let error_type = if n % 2 == 0 { "Timeout" } else { "Throttling" };
        let logged = Logged { error_type: error_type.into(), error: "e".into(), at: Timestamp::UNIX_EPOCH };
        world.logged.borrow_mut().insert(id, logged);
    }
    for (cause, count) in [("Exhausted", 0), ("Timeout", 1_500)] {
        let command = json!({ "redrive": { "queue": "payment", "where": [format!("cause={cause}")], "dry_run": true } });
        assert_eq!(changed(&world, command).await.counts.done, count, "{cause}");
        sleep(Duration::from_secs(60)).await;
    }
    let explained = explained(&world, "payment").await;
    assert!(explained.table.not_looked_up > 0 && explained.read == 3_000, "an explanation has a budget, and says so");
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_holds_back_its_group_alone() {
    let world = World::new();
    world.put("shipping-dead", r#"{"group":0,"n":0}"#, &[(REDRIVE_COUNT, "3")], Some("g0"));
    world.put("shipping-dead", r#"{"group":0,"n":1}"#, &[], Some("g0"));
    world.put("shipping-dead", r#"{"group":1,"n":0}"#, &[], Some("g1"));
    let first = changed(&world, json!({ "redrive": { "queue": "shipping" } })).await;
    assert_eq!((first.counts.done, first.counts.refused, first.counts.held_back), (1, 1, 1));
    assert!(first.notes[0].contains("--force"), "{:?}", first.notes);
    let forced = changed(&world, json!({ "redrive": { "queue": "shipping", "force": true } })).await;
    assert_eq!((forced.counts.done, in_order(&world)), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn behind_a_message_that_is_not_taken_its_group_waits() {
    let world = World::new();
    groups(&world, 2, 5);
    world.refuses.borrow_mut().insert(json!({ "group": 0, "n": 2 }).to_string());
    let first = changed(&world, json!({ "redrive": { "queue": "shipping" } })).await;
    assert_eq!((first.counts.done, first.counts.failed, first.counts.held_back), (7, 1, 2));
    world.refuses.borrow_mut().clear();
    changed(&world, json!({ "redrive": { "queue": "shipping" } })).await;
    assert_eq!(in_order(&world), 10);
}

#[tokio::test(start_paused = true)]
async fn what_sns_could_not_deliver_is_published_again() {
    let world = World::new();
    let id = world.put("undelivered", "{}", &[("type", "order.placed.v1")], Some("g"));
    let shown = peeked(&world, json!({ "queue": "undelivered" })).await;
    assert_eq!(shown[0].cause, "Undelivered");
    assert_eq!(changed(&world, json!({ "redrive": { "queue": "undelivered" } })).await.counts.done, 1);
    let published = world.published.borrow();
    assert_eq!(
        (published[0].0.as_str(), published[0].1.deduplication_id.as_deref(), published[0].1.group_id.as_deref()),
        (TOPIC, Some(id.as_str()), Some("g"))
    );
    assert!(world.bodies("undelivered").is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_deleted_without_a_copy_whenever_the_process_dies() {
    let command = || json!({ "discard": { "queue": "payment", "where": ["cause=A"], "reason": "test orders" } });
    let calls = {
        let world = World::new();
        world.parked(30, &["A", "B"]);
        let changed = changed(&world, command()).await;
        assert_eq!((changed.counts.done, changed.counts.skipped, world.bodies("payment-dead").len()), (15, 15, 15));
        world.calls.get()
    };
    for call in 0..calls {
        for after in [false, true] {
            let world = World::new();
            world.parked(30, &["A", "B"]);
            let mut before = world.bodies("payment-dead");
            world.dies_at.set(Some((call, after)));
            assert_eq!(run(&world, command()).await, None);
            let copies = world.archive.borrow().clone();
            let copies = copies.iter().filter(|(key, _)| key.starts_with("discarded/payment/"));
            let copies = copies.map(|(_, bytes)| serde_json::from_slice::<Value>(bytes).unwrap()["body"].as_str().unwrap().to_owned());
            let mut found: Vec<_> = copies.chain(world.bodies("payment-dead")).collect();
            before.sort();
            found.sort();
            found.dedup();
            assert_eq!(found, before);
            let deleted = before.len() - world.bodies("payment-dead").len();
            assert!(deleted == 0 || world.audits().iter().any(|audit| audit["phase"] == "begun" && audit["reason"] == "test orders"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_digest_is_silent_or_sent_and_not_repeated_within_its_time() {
    let world = World::new();
    let digest = || async {
        match run(&world, json!({ "digest": {} })).await {
            Some(Answer::Digest(digested)) => digested,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((digest().await, world.alerts.borrow().len()), (Digested::Silent, 0));
    world.parked(5, &["A"]);
    assert_eq!(digest().await, Digested::Sent);
    assert_eq!(digest().await, Digested::Said);
    world.parked(1, &["B"]);
    assert_eq!(digest().await, Digested::Sent, "a cause is new");
    sleep(digest::REPEAT_AFTER).await;
    assert_eq!(digest().await, Digested::Sent, "nobody has fixed it");
    changed(&world, redrive()).await;
    assert_eq!(digest().await, Digested::Silent);
    world.parked(1, &["B"]);
    world.parked(5, &["A"]);
    assert_eq!(digest().await, Digested::Sent, "it has come back");
    let alerts = world.alerts.borrow();
    assert!(alerts[0].0.starts_with("stack: 5 dead letters in 1 queues") && alerts[0].1.contains("order.placed.v1"), "{:?}", alerts[0]);
}

#[tokio::test(start_paused = true)]
async fn the_digest_names_uncollected_payments_until_they_are_settled() {
    let world = World::new();
    let digest = || async {
        match run(&world, json!({ "digest": {} })).await {
            Some(Answer::Digest(digested)) => digested,
            other => panic!("{other:?}"),
        }
    };
    let payment = |n: usize| {
        let json = json!({
            "order_id": format!("fe08ddf2-c1ca-5f7e-9ff5-{n:012}"), "payment": format!("pi_{n}"), "capture_code": "expired",
            "amount": {"amount_minor": 2400, "currency": "EUR"}, "uncollected_at": "2026-05-09T08:00:00Z"
        });
        serde_json::from_value::<domain::uncollected::Uncollected>(json).unwrap()
    };
    world.unsettled.borrow_mut().push(payment(1));
    assert_eq!(digest().await, Digested::Sent);
    assert_eq!(digest().await, Digested::Said);
    world.unsettled.borrow_mut().push(payment(2));
    assert_eq!(digest().await, Digested::Sent, "a second while the first is there");
    world.unsettled.borrow_mut().remove(0);
    assert_eq!(digest().await, Digested::Sent, "the list is another");
    sleep(digest::REPEAT_AFTER).await;
    assert_eq!(digest().await, Digested::Sent, "nobody has settled it");
    world.unsettled.borrow_mut().clear();
    assert_eq!(digest().await, Digested::Silent);
    let first = world.alerts.borrow()[0].clone();
    assert_eq!(first.0, "stack: 1 uncollected payments");
    for part in ["fe08ddf2-c1ca-5f7e-9ff5-000000000001", "24.00 EUR", "pi_1", "expired", "cargo xtask uncollected settle"] {
        assert!(first.1.contains(part), "{part}: {}", first.1);
    }
    world.unsettled.borrow_mut().extend((0..=digest::PAYMENTS_MAX).map(payment));
    world.parked(1, &["A"]);
    assert_eq!(digest().await, Digested::Sent);
    let subject = world.alerts.borrow().last().unwrap().0.clone();
    assert_eq!(subject, "stack: more than 50 uncollected payments, 1 dead letters in 1 queues");
}
