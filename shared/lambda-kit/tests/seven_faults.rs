//! The faults of public Rust SQS handlers, each of which loses messages, as tests of the batch core.
//! (The sixth, a template without `ReportBatchItemFailures`, is tested where the template is.)
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use std::time::Duration;
use support::*;

/// A record is handled in a task, the `JoinError` is dropped: a panicking record is acknowledged.
#[tokio::test(start_paused = true)]
async fn fault_1_a_panicking_record_is_reported_and_the_others_are_acknowledged() {
    let core = core();
    let failed = run(&core, [ok("a"), does("b", "panic"), does("c", "static panic"), does("d", "panic in read"), ok("e")]).await;
    assert_eq!(failed, ["m-b", "m-c", "m-d"]);
    assert_eq!(*core.consumer.ended.borrow(), ["a", "b", "c", "e"]);
}

/// The body is typed in the event: one body that is not JSON fails the whole batch.
#[tokio::test(start_paused = true)]
async fn fault_2_a_body_that_is_not_json_is_parked_alone() {
    let core = core();
    let mut broken = ok("b");
    broken["body"] = "{not json".into();
    assert_eq!(run(&core, [ok("a"), broken, ok("c")]).await, [""; 0]);
    assert_eq!(*core.consumer.ended.borrow(), ["a", "c"]);
    let parked = core.queue.parked.borrow();
    assert_eq!((parked.len(), parked[0].body.as_str()), (1, "{not json"), "unchanged, so that it can be sent again");
}

/// Errors are bound to `_` and `Ok(())` returned: everything is acknowledged.
#[tokio::test(start_paused = true)]
async fn fault_3_an_error_of_handler_publisher_or_parking_is_never_lost() {
    let mut core = core();
    core.queue.refuses_parking = true;
    core.publisher.refuses.insert("p/0".into());
    let failed =
        run(&core, [does("t", "transient"), does("b", "bug"), does("n", "permanent"), record(json!({"id": "p", "publish": 1}))]).await;
    assert_eq!(failed, ["m-t", "m-b", "m-n", "m-p"]);
}

/// The response JSON is built by hand and invalid for none or several failures.
#[tokio::test(start_paused = true)]
async fn fault_4_the_answer_is_valid_for_none_one_and_several_failures() {
    let minute = Duration::from_secs(60);
    let none = respond(&core(), [ok("a")], minute).await;
    assert_eq!(serde_json::to_value(none).unwrap(), json!({"batchItemFailures": []}));
    let two = respond(&core(), [does("a", "bug"), ok("b"), does("c", "bug")], minute).await;
    assert_eq!(serde_json::to_value(two).unwrap(), json!({"batchItemFailures": [{"itemIdentifier": "m-a"}, {"itemIdentifier": "m-c"}]}));
    let empty = respond(&core(), [], minute).await;
    assert_eq!(serde_json::to_value(empty).unwrap(), json!({"batchItemFailures": []}));
}

/// Only `records[0]` is handled.
#[tokio::test(start_paused = true)]
async fn fault_5_every_record_is_handled() {
    let core = core();
    let ids: Vec<_> = (0..37).map(|n| format!("{n}")).collect();
    assert_eq!(run(&core, ids.iter().map(|id| ok(id))).await, [""; 0]);
    let mut ended = core.consumer.ended.borrow().clone();
    ended.sort_by_key(|id| id.parse::<u32>().unwrap());
    assert_eq!(ended, ids);
}

/// A record without body or message id is skipped and so acknowledged.
#[tokio::test(start_paused = true)]
async fn fault_7_a_record_without_body_or_id_is_never_skipped() {
    let without = |field: &str, value: Value| {
        let mut record = ok("x");
        record[field] = value;
        record
    };
    let bad =
        [without("body", Value::Null), without("messageId", Value::Null), without("messageId", "".into()), without("body", "".into())];
    let core = core();
    assert_eq!(run(&core, bad.clone()).await, [""; 0]);
    assert_eq!(core.queue.parked.borrow().len(), bad.len());
    assert!(core.queue.parked.borrow().iter().all(|parked| !parked.body.is_empty()), "SQS takes no empty body");
    assert!(core.consumer.began.borrow().is_empty());

    let mut core = support::core();
    core.queue.refuses_parking = true;
    let failed = run(&core, bad).await;
    assert_eq!(failed, ["m-x", "", "", "m-x"], "an empty id makes Lambda deliver the whole batch again");
}

/// `PublishBatch` answers 200 with failed entries, and nobody looks.
#[tokio::test(start_paused = true)]
async fn a_failed_entry_of_a_publish_that_answered_200_fails_its_record_alone() {
    let mut core = core();
    core.publisher.refuses.insert("b/1".into());
    let publishes = |id: &str| record(json!({"id": id, "publish": 2}));
    assert_eq!(run(&core, [publishes("a"), publishes("b"), publishes("c")]).await, ["m-b"]);
}
