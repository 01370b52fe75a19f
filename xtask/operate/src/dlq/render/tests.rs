//! Answers as people read them, at 80 columns too.

use super::*;
use dlq_inspector::request::Counts;
use dlq_inspector::table::{Example, Table};
use serde_json::json;

fn style(now: i64, width: Option<usize>) -> Style<'static> {
    Style { program: "cargo xtask", flags: "", now: at(now), width }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn listed(queue: &str, depth: u64, oldest: Option<i64>, complete: bool) -> Listed {
    Listed {
        queue: queue.into(),
        queue_name: format!("stack-{queue}-dlq"),
        sources: vec![queue.into()],
        depth,
        in_flight: 0,
        oldest_sent_at: oldest.map(at),
        arrived_last_hour: complete.then_some(depth),
        complete,
    }
}

fn group(cause: &str) -> Group {
    Group {
        cause: cause.into(),
        event_type: "order.placed.v1".into(),
        function: "payment".into(),
        count: 2,
        first: at(0),
        last: at(1),
        example: Example { message_id: "m-1".into(), subject: "-".into(), detail: "no field lines\x1b[2J".into() },
    }
}

#[test]
fn ages_have_the_two_units_that_matter() {
    for (seconds, told) in [(-5, "0 s"), (0, "0 s"), (59, "59 s"), (60, "1 min"), (3_599, "59 min"), (3_600, "1 h 0 min")] {
        assert_eq!(age(seconds), told);
    }
    assert_eq!((age(3 * HOUR + 12 * MINUTE + 59), age(50 * HOUR)), ("3 h 12 min".into(), "2 d 2 h".into()));
}

#[test]
fn a_list_is_aligned_and_says_what_it_does_not_know() {
    let queues = [listed("payment", 12, Some(1_000), true), listed("email-campaign", 900, Some(1_000), false)];
    let lines = table(&queues, style(1_000 + HOUR, Some(80)));
    assert_eq!(lines[0], "QUEUE           DEPTH  IN FLIGHT  OLDEST          LAST HOUR  FROM");
    assert_eq!(lines[1], "payment            12          0  1 h 0 min              12  payment");
    assert_eq!(lines[2], "email-campaign    900          0  over 1 h 0 min          ?  email-campaign");
}

#[test]
fn nothing_is_said_in_a_sentence() {
    assert_eq!(sum(&[]), "The stack has no dead-letter queue.");
    assert_eq!(sum(&[listed("a", 0, None, true), listed("b", 0, None, true)]), "All 2 dead-letter queues are empty.");
    assert_eq!(sum(&[listed("a", 1, None, true), listed("b", 0, None, true)]), "1 message in 1 of 2 dead-letter queues.");
    let nothing =
        Changed { queue: "a".into(), dry_run: false, counts: Counts::default(), depth: 0, unread: 0, notes: vec![], cursor: None };
    assert_eq!(change(&nothing, true), "a is empty: nothing to discard.\n");
}

#[test]
fn a_message_tells_why_and_its_body_commands_no_terminal() {
    let message = Peeked {
        message_id: "m-1".into(),
        event_type: "order.placed.v1".into(),
        subject: "-".into(),
        trace_id: None,
        receives: 1,
        redrives: 2,
        first_seen: at(0),
        last_seen: None,
        cause: "MalformedEvent".into(),
        detail: "expected value".into(),
        body: json!("{\"broken\x1b]0;title\x07\u{9b}2J"),
    };
    let [head, rest] = block(&message, style(90, Some(80)));
    assert_eq!(head, "m-1  order.placed.v1  -");
    let lines: Vec<_> = rest.lines().collect();
    assert_eq!(lines[0], "  MalformedEvent: expected value");
    assert_eq!(lines[1], "  first seen 1970-01-01T00:00:00Z (1 min ago)");
    // The count is not the consumer's alone.
    let received = "  redriven 2 times, received once: looks by these commands and by the digest\n  count too";
    assert_eq!(lines[2..4].join("\n"), received);
    assert!(lines[4].starts_with("  {\"broken") && !rest.contains(['\x1b', '\x07', '\u{9b}']), "{rest:?}");
}

#[test]
fn documents_are_shown_field_by_field_masked_or_not() {
    let told = "{\n  \"a\": 1\n}";
    assert_eq!((body(&json!({"a": 1})).as_str(), body(&json!("{\"a\":1}")).as_str()), (told, told));
    assert_eq!((body(&json!("7")).as_str(), body(&json!("")).as_str()), ("7", "(an empty body)"));
}

#[test]
fn an_explanation_ends_with_commands_that_can_be_pasted() {
    let flags = Style { flags: " --stack prod", ..style(0, None) };
    let told = next("payment", Some(&group("CardDeclined")), flags);
    assert!(told.contains("\n  cargo xtask dlq redrive payment --where cause=CardDeclined --dry-run --stack prod\n"), "{told}");
    assert!(told.contains("\n  cargo xtask dlq discard payment --where cause=CardDeclined --reason"), "{told}");
    let told = next("payment", Some(&group(MASK)), style(0, None));
    assert!(!told.contains("--where") && !told.contains("discard"), "what is masked cannot be selected by: {told}");
}

#[test]
fn an_explanation_fits_80_columns() {
    let mut group = group("ProvisionedThroughputExceededException");
    group.event_type = "order.cancel_requested.v1".into();
    group.function = "order-tracking".into();
    group.example.subject = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9".into();
    group.example.message_id = group.example.subject.clone();
    group.example.detail = "a word ".repeat(40);
    let table = Table { groups: vec![group], ..Table::default() };
    let explained = Explained { queue: "order-tracking".into(), table, read: 2, depth: 2, lease_seconds: 30, cursor: None };
    let told = explanation(&explained, Style { flags: " --stack order-pipeline-prod --region eu-central-1", ..style(9, Some(80)) });
    let wide: Vec<_> = told.lines().filter(|line| screen::columns(line) > 80).collect();
    assert!(wide.is_empty(), "{wide:#?}");
    // Cut in the table, where it has no room, and whole in what can be pasted.
    assert!(told.contains("ProvisionedThroughp…") && told.contains("--where cause=ProvisionedThroughputExceededException"), "{told}");
}

#[test]
fn an_explanation_says_what_it_has_not_read() {
    let explained = |read| Explained { queue: "shipping".into(), table: Table::default(), read, depth: 4, lease_seconds: 30, cursor: None };
    assert_eq!(read_of(&explained(4)), "shipping: 4 messages");
    assert!(read_of(&explained(1)).starts_with("shipping: 1 of about 4 messages were read;"));
    let many: Vec<_> = (0..12).map(|n| group(&n.to_string())).collect();
    let told = examples(&many, Some(80));
    assert!(told.ends_with("and 2 more: --json has them all\n") && !told.contains('\x1b'), "{told}");
}

#[test]
fn what_became_of_messages_is_counted_and_zeros_are_left_out() {
    let counts = Counts { read: 15, done: 12, skipped: 0, newer: 0, refused: 2, held_back: 1, failed: 0 };
    let of = |dry_run| Changed { queue: "payment".into(), dry_run, counts, depth: 15, unread: 0, notes: vec![], cursor: None };
    let told = change(&of(false), false);
    assert!(told.starts_with("payment: 15 messages read\n12  went back\n 2  refused: they stay\n 1  held back"), "{told}");
    assert!(!told.contains("not selected") && !told.contains("failed"), "{told}");
    let told = change(&of(true), true);
    assert!(told.contains("12  would be archived and deleted\n") && told.ends_with("A dry run: nothing was changed.\n"), "{told}");
}
