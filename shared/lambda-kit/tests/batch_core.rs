//! Tests of the batch core, fact by fact.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use lambda_kit::batch::{Attribute, CHECKS, Delayed, EMPTY_BODY, NOT_BEFORE};
use serde_json::json;
use std::time::Duration;
use support::*;

const NONE: [&str; 0] = [];

#[tokio::test(start_paused = true)]
async fn a_message_is_acknowledged_only_when_its_events_are_published() {
    let mut core = core();
    core.publisher.takes = Duration::from_secs(30);
    let slow_topic = run_until(&core, [record(json!({"id": "a", "publish": 1})), ok("b")], Duration::from_secs(20)).await;
    assert_eq!(slow_topic, ["m-a"], "handled, but not published when time ran out");

    core.publisher.takes = Duration::ZERO;
    core.publisher.panics = true;
    assert_eq!(run(&core, [record(json!({"id": "a", "publish": 1})), ok("b")]).await, ["m-a"]);

    core.publisher.panics = false;
    core.publisher.answers_nothing = true;
    assert_eq!(run(&core, [record(json!({"id": "a", "publish": 1})), ok("b")]).await, ["m-a"]);
}

#[tokio::test(start_paused = true)]
async fn events_of_a_batch_share_one_publish() {
    let core = core();
    let records = (0..10).map(|n| record(json!({"id": n.to_string(), "publish": 1, "takes_ms": n})));
    assert_eq!(run(&core, records).await, NONE);
    assert_eq!(core.publisher.calls.borrow().len(), 1);
    assert_eq!(core.publisher.published().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_publish_holds_at_most_ten_events_and_256_kib() {
    let core = core();
    assert_eq!(run(&core, [record(json!({"id": "many", "publish": 25, "bytes": 1024}))]).await, NONE);
    assert_eq!(core.publisher.calls.borrow().iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);

    let core = support::core();
    assert_eq!(run(&core, [record(json!({"id": "large", "publish": 3, "bytes": 100 * 1024}))]).await, NONE);
    assert_eq!(core.publisher.calls.borrow().iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn an_event_waits_at_most_50_ms_for_company() {
    let core = core();
    let slow = record(json!({"id": "slow", "publish": 1, "takes_ms": 51}));
    assert_eq!(run(&core, [record(json!({"id": "quick", "publish": 1})), slow]).await, NONE);
    assert_eq!(core.publisher.calls.borrow().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn records_are_handled_concurrently_up_to_a_bound() {
    let core = core();
    let started = tokio::time::Instant::now();
    assert_eq!(run(&core, (0..20).map(|n| record(json!({"id": n.to_string(), "takes_ms": 1000})))).await, NONE);
    assert_eq!(core.consumer.most_at_once.get(), 10);
    assert_eq!(started.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn records_that_contend_for_a_row_are_handled_one_after_the_other() {
    let core = core();
    let hot = |id: &str| record(json!({"id": id, "takes_ms": 10, "rows": ["hot"]}));
    assert_eq!(run(&core, [hot("a"), hot("b"), hot("c"), record(json!({"id": "free", "takes_ms": 5}))]).await, NONE);
    assert_eq!(*core.consumer.ended.borrow(), ["free", "a", "b", "c"]);
    assert_eq!(core.consumer.most_at_once.get(), 2);
    let core = support::core();
    let failing = record(json!({"id": "b", "what": "transient", "rows": ["hot"]}));
    assert_eq!(run(&core, [hot("a"), failing, hot("c")]).await, ["m-b"], "contention is no order: the next one is still handled");
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_is_reported_and_hidden_with_back_off() {
    let core = core();
    let tries = [(1, 1), (2, 2), (5, 16), (30, 450)]; // the random number is the lowest
    let records = tries.map(|(n, _)| attempt(does(&n.to_string(), "transient"), n));
    assert_eq!(run(&core, records).await.len(), tries.len());
    for (n, seconds) in tries {
        assert_eq!(core.queue.hidden_for(&format!("r-{n}")), Some(seconds), "attempt {n}");
    }
    assert!(core.queue.parked.borrow().is_empty(), "a transient failure is never parked, maxReceiveCount is its end");
}

#[tokio::test(start_paused = true)]
async fn hiding_goes_ten_at_a_time_and_never_costs_the_answer() {
    let mut core = core();
    assert_eq!(run(&core, (0..25).map(|n| does(&n.to_string(), "transient"))).await.len(), 25);
    assert_eq!((core.queue.hide_calls.get(), core.queue.hidden.borrow().len()), (3, 25));
    core.queue.hiding_takes = Duration::from_secs(3600);
    let started = tokio::time::Instant::now();
    assert_eq!(run(&core, [does("a", "transient"), ok("b")]).await, ["m-a"]);
    assert_eq!(started.elapsed(), lambda_kit::batch::HIDING_MAX);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_version_waits_and_passes_once_the_code_knows_it() {
    let core = core();
    for n in 1..=7 {
        assert_eq!(run(&core, [attempt(does("a", "unknown version"), n), ok("b")]).await, ["m-a"]);
    }
    assert!(core.queue.hidden.borrow().iter().any(|hide| hide.seconds == 64), "with back-off");
    assert!(core.queue.parked.borrow().is_empty());
    core.consumer.knows_the_version.set(true);
    assert_eq!(run(&core, [attempt(does("a", "unknown version"), 8)]).await, NONE);
    assert_eq!(core.consumer.ended.borrow().last().unwrap(), "a");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_can_never_pass_is_parked_at_once_with_its_reason() {
    let core = core();
    let mut record = does("a", "permanent");
    record["messageAttributes"] = json!({
        "type": {"dataType": "String", "stringValue": "order.placed.v1", "stringListValues": [], "binaryListValues": []},
        "blob": {"dataType": "Binary", "binaryValue": "AQI=", "stringListValues": [], "binaryListValues": []},
        "ErrorType": {"dataType": "String", "stringValue": "of an earlier parking", "stringListValues": [], "binaryListValues": []}
    });
    let body = record["body"].as_str().unwrap().to_owned();
    assert_eq!(run(&core, [record]).await, NONE, "acknowledged: it lies in the dead-letter queue");
    let parked = core.queue.parked.borrow();
    let text = |name: &str| match &parked[0].attributes.iter().find(|(attribute, _)| attribute == name).unwrap().1 {
        Attribute::Text { value, .. } => value.clone(),
        Attribute::Binary { .. } => "binary".into(),
    };
    assert_eq!(parked[0].body, body);
    assert_eq!(text("ErrorType"), "NeverPasses");
    assert_eq!(text("ErrorMessage"), "a rule that never passes");
    assert_eq!(text("SourceQueue"), "work");
    assert_eq!(text("OriginalMessageId"), "m-a");
    assert_eq!(text("FailedAt"), "2026-05-04T10:11:12.345Z");
    assert_eq!(text("traceparent"), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_eq!((text("type").as_str(), text("blob").as_str()), ("order.placed.v1", "binary"), "its own attributes are kept");
    assert_eq!((&parked[0].group_id, &parked[0].deduplication_id), (&None, &None), "a Standard queue takes neither");
}

/// Raw message delivery is off, of whichever subscription: an operator reads so, not that a column of some JSON is wrong.
#[tokio::test(start_paused = true)]
async fn a_message_in_an_sns_envelope_is_parked_as_such() {
    let core = core();
    let envelope = json!({
        "id": "a", "Type": "Notification", "MessageId": "x", "TopicArn": "arn:aws:sns:us-east-1:123456789012:t",
        "Message": json!({"id": "a"}).to_string(), "Timestamp": "2026-05-04T10:11:12Z"
    });
    // The members of the envelope alone: a consumer that can read a body is never told otherwise.
    let readable = record(envelope.clone());
    let mut enveloped = record(envelope.clone());
    let mut body = envelope;
    body.as_object_mut().unwrap().remove("id");
    enveloped["body"] = body.to_string().into();
    assert_eq!(run(&core, [readable]).await, NONE);
    assert!(core.queue.parked.borrow().is_empty());
    assert_eq!(run(&core, [enveloped]).await, NONE);
    let [parked] = &core.queue.parked.borrow()[..] else { panic!("not parked") };
    let said = |name: &str| match parked.attributes.iter().find(|(known, _)| known == name) {
        Some((_, Attribute::Text { value, .. })) => value.clone(),
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(said("ErrorType"), "SnsEnvelope");
    assert!(said("ErrorMessage").contains("raw message delivery is off"), "{}", said("ErrorMessage"));
}

#[tokio::test(start_paused = true)]
async fn a_parked_message_has_at_most_ten_attributes_and_its_reasons_come_first() {
    let core = core();
    let mut record = does("a", "permanent");
    for n in 0..10 {
        record["messageAttributes"][format!("own{n}")] =
            json!({"dataType": "String", "stringValue": "x", "stringListValues": [], "binaryListValues": []});
    }
    record["messageAttributes"]["empty"] = json!({"dataType": "String", "stringValue": "", "stringListValues": [], "binaryListValues": []});
    assert_eq!(run(&core, [record]).await, NONE);
    let parked = core.queue.parked.borrow();
    let names: Vec<_> = parked[0].attributes.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["ErrorType", "ErrorMessage", "SourceQueue", "OriginalMessageId", "FailedAt", "traceparent", "own0", "own1", "own2", "own3"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_bug_is_reported_four_times_and_parked_at_the_fifth_receive() {
    for what in ["bug", "panic"] {
        for n in 1..=4 {
            let core = core();
            assert_eq!(run(&core, [attempt(does("a", what), n)]).await, ["m-a"]);
            assert!(core.queue.parked.borrow().is_empty(), "{what}, receive {n}");
        }
        let core = core();
        assert_eq!(run(&core, [attempt(does("a", what), 5)]).await, NONE);
        assert_eq!(core.queue.parked.borrow().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_text_that_quotes_data_goes_nowhere() {
    let core = core();
    run(&core, [attempt(does("a", "panic"), 5), attempt(does("b", "static panic"), 5)]).await;
    let parked = format!("{:?}", core.queue.parked.borrow());
    assert!(!parked.contains("with secret"), "{parked}");
    assert!(parked.contains("an invariant is broken"), "a text that stands in the source is safe and helps");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_parked_is_retried() {
    let mut core = core();
    core.queue.refuses_parking = true;
    assert_eq!(run(&core, [attempt(does("a", "permanent"), 3), ok("b")]).await, ["m-a"]);
    assert_eq!(core.queue.hidden_for("r-a"), Some(4));
}

fn text<'c>(copy: &'c Delayed, name: &str) -> Option<&'c str> {
    copy.attributes.iter().find_map(|(known, value)| match value {
        Attribute::Text { value, .. } if known == name => Some(value.as_str()),
        _ => None,
    })
}

#[tokio::test(start_paused = true)]
async fn another_check_sends_a_delayed_copy_and_acknowledges() {
    let core = core();
    let mut asks = does("a", "later");
    asks["messageAttributes"]["type"] =
        json!({"dataType": "String", "stringValue": "x.v1", "stringListValues": [], "binaryListValues": []});
    assert_eq!(run(&core, [asks, ok("b")]).await, NONE);
    assert!(core.queue.hidden.borrow().is_empty(), "nothing waits in flight");
    let copy = core.queue.copy_of("m-a").unwrap();
    assert_eq!((copy.body.as_str(), copy.delay_s), (does("a", "later")["body"].as_str().unwrap(), 77));
    let own = [CHECKS, NOT_BEFORE, "type"].map(|name| text(&copy, name).unwrap_or_default());
    assert_eq!(own, ["1", "2026-05-04T10:12:29.345Z", "x.v1"]);
    assert!(matches!(&copy.attributes[0].1, Attribute::Text { data_type, .. } if data_type == "Number"));

    core.ambient.since_s.set(77);
    assert_eq!(run(&core, [delivered(&copy)]).await, NONE);
    assert_eq!(core.consumer.delivered.borrow()[2..], [(1, 1)], "the first receive, after one check");
    let next = core.queue.copy_of("m-a+").unwrap();
    assert_eq!((text(&next, CHECKS), text(&next, "type"), next.attributes.len()), (Some("2"), Some("x.v1"), 3));
}

/// On the code as it was the fifth receive parked it, though four of them were checks.
#[tokio::test(start_paused = true)]
async fn a_check_that_fails_has_five_failures_of_its_own() {
    let core = core();
    let mut message = does("a", "later");
    for check in 1..=6 {
        assert_eq!(run(&core, [message.clone()]).await, NONE);
        core.ambient.since_s.set(check * 77);
        message = delivered(core.queue.delayed.borrow().last().unwrap());
    }
    message["body"] = does("a", "bug")["body"].clone();
    for n in 1..=4 {
        assert_eq!(run(&core, [attempt(message.clone(), n)]).await.len(), 1, "failure {n} of the seventh check is retried");
    }
    assert!(core.queue.parked.borrow().is_empty());
    assert_eq!(run(&core, [attempt(message, 5)]).await, NONE);
    assert_eq!(core.queue.parked.borrow().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_throttle_after_twelve_checks_waits_two_seconds() {
    let core = core();
    let mut message = does("a", "later");
    for check in 1..=12 {
        assert_eq!(run(&core, [message.clone()]).await, NONE);
        core.ambient.since_s.set(check * 77);
        message = delivered(core.queue.delayed.borrow().last().unwrap());
    }
    message["body"] = does("a", "transient")["body"].clone();
    assert_eq!(run(&core, [message]).await.len(), 1);
    assert_eq!(core.queue.hidden_for("r-"), Some(1), "the first back-off, not the twelfth");
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_an_hour_goes_in_hops_without_the_handler() {
    let core = core();
    assert_eq!(run(&core, [does("a", "in an hour")]).await, NONE);
    let mut waited = vec![];
    for _ in 0..3 {
        let copy = core.queue.delayed.borrow().last().unwrap().clone();
        waited.push(copy.delay_s);
        core.ambient.since_s.set(core.ambient.since_s.get() + i64::from(copy.delay_s) + 1);
        assert_eq!(run(&core, [delivered(&copy)]).await, NONE);
        assert_eq!((core.consumer.began.borrow().len(), text(&copy, CHECKS)), (1, Some("1")), "a hop is no check");
    }
    let last = core.queue.delayed.borrow().last().unwrap().clone();
    waited.push(last.delay_s);
    assert_eq!(waited, [900, 900, 900, 897], "each came a second late");
    core.ambient.since_s.set(3600);
    assert_eq!(run(&core, [delivered(&last)]).await, NONE);
    assert_eq!(*core.consumer.delivered.borrow(), [(1, 0), (1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_cut_at_a_week_and_a_foreign_time_is_ignored() {
    let core = core();
    assert_eq!(run(&core, [does("b", "much later")]).await, NONE);
    let copy = core.queue.copy_of("m-b").unwrap();
    assert_eq!((copy.delay_s, text(&copy, NOT_BEFORE)), (900, Some("2026-05-11T10:11:12.345Z")));
    for foreign in ["9999-12-30T00:00:00Z", "soon", "2026-05-04T10:11:12Z"] {
        let mut record = delivered(&copy);
        record["messageAttributes"][NOT_BEFORE]["stringValue"] = foreign.into();
        record["body"] = ok(foreign)["body"].clone();
        assert_eq!(run(&core, [record]).await, NONE);
        assert_eq!(core.consumer.ended.borrow().last().unwrap(), foreign, "handled at once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_that_is_not_taken_is_retried_as_a_failure() {
    for (what, refuse) in [
        ("refused", (|ends: &mut Ends| ends.refuses_copies_of = ["m-a".to_owned()].into()) as fn(&mut Ends)),
        ("panic", |ends| ends.sending_panics = true),
        ("silence", |ends| ends.sending_says_nothing = true),
        ("no answer", |ends| ends.sending_takes = Duration::from_secs(3600)),
    ] {
        let mut core = core();
        refuse(&mut core.queue);
        assert_eq!(run(&core, [attempt(does("a", "later"), 3), ok("b")]).await, ["m-a"], "{what}");
        assert_eq!(core.queue.hidden_for("r-a"), Some(4), "{what}: with back-off");
        assert!(core.queue.parked.borrow().is_empty() && core.queue.delayed.borrow().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn no_copy_is_sent_before_its_events_are_published() {
    let mut core = core();
    core.publisher.refuses.insert("a/0".into());
    assert_eq!(run(&core, [record(json!({"id": "a", "what": "later", "publish": 1}))]).await, ["m-a"]);
    assert_eq!(core.queue.send_calls.get(), 0);
    core.publisher.refuses.clear();
    assert_eq!(run(&core, [record(json!({"id": "a", "what": "later", "publish": 1}))]).await, NONE);
    assert_eq!((core.publisher.published().len(), core.queue.send_calls.get()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn copies_go_ten_at_a_time_and_up_to_256_kib() {
    let core = core();
    assert_eq!(run(&core, (0..25).map(|n| does(&n.to_string(), "later"))).await, NONE);
    assert_eq!((core.queue.send_calls.get(), core.queue.delayed.borrow().len()), (3, 25));
    let core = support::core();
    let large = |id: &str| record(json!({"id": id, "what": "later", "rows": ["x".repeat(100 * 1024)]}));
    assert_eq!(run(&core, [large("a"), large("b"), large("c")]).await, NONE);
    assert_eq!(core.queue.send_calls.get(), 2);
}

/// What is handled when its time is over still gets its copy, within what is left.
#[tokio::test(start_paused = true)]
async fn copies_are_sent_when_another_record_used_all_the_time() {
    let mut core = core();
    core.queue.sending_takes = Duration::from_millis(700);
    let started = tokio::time::Instant::now();
    let slow = record(json!({"id": "b", "takes_ms": 60_000}));
    assert_eq!(run_until(&core, [does("a", "later"), slow], Duration::from_secs(20)).await, ["m-b"]);
    assert_eq!((core.queue.delayed.borrow().len(), started.elapsed()), (1, Duration::from_millis(17_700)));
}

/// SQS knows no delay of a single message there.
#[tokio::test(start_paused = true)]
async fn another_check_on_a_fifo_queue_is_a_bug() {
    let core = core();
    let mut ungrouped = fifo("", json!({"id": "b", "what": "later", "publish": 1}));
    ungrouped["messageId"] = "m-b".into();
    assert_eq!(run(&core, [fifo("x", json!({"id": "a", "what": "later"})), ungrouped]).await, ["m-a", "m-b"]);
    assert_eq!((core.queue.send_calls.get(), core.publisher.published().len()), (0, 0));
    assert_eq!(run(&core, [attempt(fifo("x", json!({"id": "a", "what": "later"})), 5)]).await, NONE);
    assert_eq!(core.queue.parked.borrow()[0].attributes[0].1, Attribute::text("NoDelayOnFifo"));
}

#[tokio::test(start_paused = true)]
async fn what_is_parked_forgets_its_checks() {
    let core = core();
    assert_eq!(run(&core, [does("a", "later")]).await, NONE);
    core.ambient.since_s.set(77);
    let mut record = delivered(&core.queue.copy_of("m-a").unwrap());
    record["body"] = does("a", "permanent")["body"].clone();
    assert_eq!(run(&core, [record]).await, NONE);
    let parked = core.queue.parked.borrow();
    assert!(parked[0].attributes.iter().all(|(name, _)| name != CHECKS && name != NOT_BEFORE), "redriven, it starts anew");
}

#[tokio::test(start_paused = true)]
async fn handling_ends_three_seconds_before_the_deadline_and_the_rest_is_reported() {
    let core = core();
    let slow = |id: &str, takes_ms: u64| record(json!({"id": id, "takes_ms": takes_ms}));
    let started = tokio::time::Instant::now();
    let failed = run_until(&core, [ok("a"), slow("b", 60_000), slow("c", 16_900), slow("d", 17_100)], Duration::from_secs(20)).await;
    assert_eq!(failed, ["m-b", "m-d"]);
    assert_eq!(started.elapsed(), Duration::from_secs(17));
    assert_eq!(core.queue.hidden.borrow().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_is_already_near_reports_everything_unhandled() {
    let core = core();
    let slow = |id: &str| record(json!({"id": id, "takes_ms": 1}));
    assert_eq!(run_until(&core, [slow("a"), slow("b")], Duration::from_secs(1)).await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_fifo_group_stops_at_its_first_failure() {
    let core = core();
    let step = |group: &str, id: &str, what: &str| fifo(group, json!({"id": id, "what": what, "takes_ms": 10}));
    let records = [
        step("x", "x1", ""),
        step("y", "y1", "transient"),
        step("x", "x2", "bug"),
        step("y", "y2", ""),
        step("x", "x3", ""),
        step("z", "z1", ""),
    ];
    let failed = run(&core, records).await;
    assert_eq!(failed, ["m-y1", "m-x2", "m-y2", "m-x3"]);
    assert_eq!(*core.consumer.ended.borrow(), ["x1", "y1", "z1", "x2"], "what comes after a failure is not handled");
    assert!(failed.iter().all(|id| core.queue.hidden_for(&id.replace("m-", "r-")).is_some()));
}

#[tokio::test(start_paused = true)]
async fn a_fifo_group_comes_back_together() {
    let core = core();
    let records =
        [attempt(fifo("x", json!({"id": "a", "what": "transient"})), 6), fifo("x", json!({"id": "b"})), fifo("x", json!({"id": "c"}))];
    assert_eq!(run(&core, records).await, ["m-a", "m-b", "m-c"]);
    assert_eq!(["r-a", "r-b", "r-c"].map(|receipt| core.queue.hidden_for(receipt)), [Some(32); 3]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_entry_fails_its_record_and_the_later_ones_of_its_group() {
    let mut core = core();
    core.publisher.refuses.insert("b/0".into());
    let step = |group: &str, id: &str| fifo(group, json!({"id": id, "publish": 1}));
    assert_eq!(run(&core, [step("x", "a"), step("x", "b"), step("x", "c"), step("y", "d")]).await, ["m-b", "m-c"]);
}

#[tokio::test(start_paused = true)]
async fn a_parked_message_does_not_hold_its_fifo_group_back() {
    let core = core();
    let poison = fifo("x", json!({"id": "a", "what": "permanent"}));
    assert_eq!(run(&core, [poison, fifo("x", json!({"id": "b"}))]).await, NONE);
    assert_eq!(*core.consumer.ended.borrow(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn parking_on_fifo_keeps_the_group_under_a_fresh_id() {
    let core = core();
    let mut once = fifo("x", json!({"id": "a", "what": "permanent"}));
    once["attributes"]["MessageDeduplicationId"] = "the event's own id".into();
    let mut redriven = once.clone();
    redriven["messageId"] = "m-after-redrive".into();
    assert_eq!(run(&core, [once]).await, NONE);
    assert_eq!(run(&core, [redriven]).await, NONE);
    let parked = core.queue.parked.borrow();
    let ids: Vec<_> = parked.iter().map(|parked| (parked.group_id.as_deref(), parked.deduplication_id.as_deref())).collect();
    assert_eq!(ids, [(Some("x"), Some("m-a")), (Some("x"), Some("m-after-redrive"))]);
}

/// SQS would refuse each of these, and the message would never leave its queue.
#[tokio::test(start_paused = true)]
async fn whatever_a_record_lacks_it_can_be_parked() {
    let core = core();
    let mut bare = fifo("x", json!({"id": "a"}));
    bare["messageId"] = json!(null);
    bare["messageAttributes"] = json!({
        "untyped": {"dataType": "", "stringValue": "x", "stringListValues": [], "binaryListValues": []},
        "hollow": {"dataType": "Binary", "binaryValue": "", "stringListValues": [], "binaryListValues": []},
        "": {"dataType": "String", "stringValue": "nameless", "stringListValues": [], "binaryListValues": []}
    });
    let ungrouped = fifo("", json!({"id": "b", "what": "permanent"}));
    assert_eq!(run(&core, [bare, ungrouped]).await, NONE);
    let parked = core.queue.parked.borrow();
    let ids: Vec<_> = parked.iter().map(|parked| (parked.group_id.as_deref(), parked.deduplication_id.as_deref())).collect();
    assert_eq!(ids, [(Some("x"), Some("0000000000000000")), (None, None)], "a random number stands in for the missing id");
    assert!(parked[0].attributes.iter().all(|(name, _)| !["", "untyped", "hollow"].contains(&name.as_str())));
}

#[tokio::test(start_paused = true)]
async fn what_a_record_lacks_is_the_reason_it_is_parked_for() {
    let lacking = |id: serde_json::Value, body: serde_json::Value| {
        let mut record = ok("a");
        (record["messageId"], record["body"]) = (id, body);
        record
    };
    for (record, reason) in [
        (lacking(json!("m-a"), json!(null)), "MissingBody"),
        (lacking(json!(""), json!("{}")), "MissingMessageId"),
        (lacking(json!(""), json!(null)), "MissingMessageId"),
        (lacking(json!(null), json!(null)), "MissingMessageId"),
    ] {
        let core = core();
        assert_eq!(run(&core, [record]).await, NONE);
        let parked = core.queue.parked.borrow();
        assert_eq!(parked[0].attributes[0], ("ErrorType".to_owned(), Attribute::text(reason)));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_over_from_the_last_invocation() {
    let core = core();
    assert_eq!(run(&core, [fifo("x", json!({"id": "a", "what": "transient"}))]).await, ["m-a"]);
    assert_eq!(run(&core, [fifo("x", json!({"id": "b"}))]).await, NONE);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_nothing_is_parked_as_a_placeholder() {
    let core = core();
    let mut empty = ok("a");
    empty["body"] = "".into();
    assert_eq!(run(&core, [empty]).await, NONE);
    assert_eq!(core.queue.parked.borrow()[0].body, EMPTY_BODY);
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_which_everything_failed_answers_with_ids() {
    assert_eq!(run(&core(), [does("a", "bug"), does("b", "transient"), does("c", "panic")]).await, ["m-a", "m-b", "m-c"]);
}
