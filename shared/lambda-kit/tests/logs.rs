//! Tests of a batch's log lines: their fields, and what they never contain.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::*;
use testkit::log::logged_flat;

async fn lines_of(records: Vec<Value>) -> Vec<Value> {
    let (_, text) = logged_flat(run(&core(), records)).await;
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn one_json_line_per_message_with_the_fields_that_operators_search_by() {
    let lines = lines_of(vec![
        record(json!({"id": "a", "takes_ms": 12})),
        attempt(does("b", "transient"), 3),
        does("c", "permanent"),
        does("d", "bug"),
    ])
    .await;
    assert_eq!(lines.len(), 4);
    let show = |line: &Value| {
        ["level", "event_id", "message_id", "attempt", "outcome", "error_type"]
            .map(|field| line[field].to_string().replace('"', ""))
            .join(" ")
    };
    assert_eq!(show(&lines[0]), "INFO a m-a 1 done null");
    assert_eq!(show(&lines[1]), "WARN b m-b 3 retry Throttled");
    assert_eq!(show(&lines[2]), "ERROR c m-c 1 parked NeverPasses");
    assert_eq!(show(&lines[3]), "ERROR d m-d 1 retry Impossible", "for us to fix, long before it is parked");
    assert_eq!(lines[0]["duration_ms"], 12);
    assert_eq!(lines[0]["order_id"], "s");
    assert_eq!(lines[0]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
}

/// On the code as it was every subject was called `order_id`.
#[tokio::test(start_paused = true)]
async fn only_an_orders_subject_is_logged_as_order_id() {
    let mut unreadable = ok("c");
    unreadable["body"] = "{not json".into();
    let lines = lines_of(vec![ok("a"), does("b", "of a customer"), unreadable]).await;
    let named = |line: &Value| ["order_id", "subject"].map(|field| line[field].as_str().map(str::to_owned));
    let s = Some("s".to_owned());
    assert_eq!(lines.iter().map(named).collect::<Vec<_>>(), [[s.clone(), None], [None, s], [None, None]]);
}

#[tokio::test(start_paused = true)]
async fn the_log_distinguishes_a_check_from_an_early_copy() {
    let core = core();
    run(&core, [does("a", "later")]).await;
    let early = delivered(&core.queue.copy_of("m-a").unwrap());
    let lines = lines_of(vec![does("a", "later"), early]).await;
    let show = |line: &Value| (line["level"].to_string(), line["outcome"].to_string(), line["checks"].as_u64());
    let info = "\"INFO\"".to_owned();
    let expected = [(info.clone(), "\"look_again\"".to_owned(), Some(0)), (info, "\"waiting\"".to_owned(), Some(1))];
    assert_eq!(lines.iter().map(show).collect::<Vec<_>>(), expected);
}

#[tokio::test(start_paused = true)]
async fn no_line_quotes_a_body() {
    let mut broken = ok("b");
    broken["body"] = "Ada Lovelace, not JSON".into();
    let lines = lines_of(vec![broken, record(json!({"id": "a", "name": "Ada Lovelace"}))]).await;
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| !line.to_string().contains("Lovelace")), "{lines:?}");
}
