//! The answer table: which of a page's messages go, and why the others do not.

use super::*;
use crate::inspector::ports::QueueFacts;

const BEGAN: i64 = 1_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn queue(sources: &[&str]) -> DeadLetterQueue {
    let source = |name: &&str| Source::Queue {
        name: (*name).to_owned(),
        url: format!("http://q/{name}"),
        arn: format!("arn:aws:sqs:us-east-1:1:{name}.fifo"),
        log_group: None,
    };
    let facts = QueueFacts { arn: "arn:aws:sqs:us-east-1:1:payment-dlq.fifo".into(), ..QueueFacts::default() };
    let (name, logical_id, url) = ("payment".to_owned(), "PaymentDeadLetterQueue".to_owned(), "http://q/dlq".to_owned());
    DeadLetterQueue { name, logical_id, url, facts, sources: sources.iter().map(source).collect() }
}

/// The message `id` of a group, sent before the first invocation began.
fn message(id: &str, group: &str, redrives: u32) -> (ReceivedMessage, Facts) {
    let received = ReceivedMessage {
        message_id: id.into(),
        receipt: "r".into(),
        body: "{}".into(),
        attributes: vec![("blob".into(), Attribute::Binary { data_type: "Binary".into(), value: vec![0, 255] })],
        group_id: Some(group.into()),
        receives: 1,
        sent_at: at(BEGAN),
        moved_from: None,
    };
    let facts = Facts { message_id: id.into(), cause: "Timeout".into(), redrives, ..Facts::default() };
    (received, facts)
}

fn redrive<'r>(conditions: &[&str], max: u64) -> Wanted<'r> {
    let conditions: Vec<_> = conditions.iter().map(|text| (*text).to_owned()).collect();
    Wanted { act: Act::Redrive { force: false, to: None }, filter: Filter::parse(&conditions).unwrap(), max }
}

/// What becomes of a page, in one word each.
fn fates(queue: &DeadLetterQueue, wanted: &Wanted<'_>, page: &[(ReceivedMessage, Facts)], done: u64, held: &mut Seen) -> Vec<&'static str> {
    let (received, facts): (Vec<_>, Vec<_>) = page.iter().cloned().unzip();
    let so_far = SoFar { done, began_at: at(BEGAN), held };
    let word = |fate: &Fate<'_>| match fate {
        Fate::Goes(_) => "goes",
        Fate::Skipped => "skipped",
        Fate::Newer => "newer",
        Fate::Refused(_) => "refused",
        Fate::HeldBack => "held back",
        Fate::BeyondMax => "beyond max",
    };
    decide(queue, wanted, &received, &facts, so_far, at(BEGAN)).iter().map(word).collect()
}

#[test]
fn behind_a_refused_message_its_group_is_held_back() {
    let page = [message("m-1", "a", 9), message("m-2", "a", 0), message("m-3", "b", 0)];
    let mut held = Seen::default();
    assert_eq!(fates(&queue(&["payment"]), &redrive(&[], 9), &page, 0, &mut held), ["refused", "held back", "goes"]);
    assert!(held.contains("a") && !held.contains("b"));
    // The next page knows.
    assert_eq!(fates(&queue(&["payment"]), &redrive(&[], 9), &page[1..], 0, &mut held), ["held back", "goes"]);
}

#[test]
fn no_more_go_than_were_wanted_of_all_invocations() {
    let page = [message("m-1", "a", 0), message("m-2", "b", 0), message("m-3", "c", 0)];
    let of = |max, done| fates(&queue(&["payment"]), &redrive(&[], max), &page, done, &mut Seen::default());
    assert_eq!(of(5, 3), ["goes", "goes", "beyond max"]);
    assert_eq!(of(3, 4), ["beyond max"; 3], "fewer than have gone");
}

#[test]
fn what_is_not_selected_or_came_later_takes_no_place() {
    let mut later = message("m-2", "b", 0);
    later.0.sent_at = at(BEGAN + 1);
    let mut other = message("m-1", "a", 0);
    other.1.cause = "CardDeclined".into();
    let page = [other, later, message("m-3", "c", 0)];
    assert_eq!(fates(&queue(&["payment"]), &redrive(&["cause=Timeout"], 1), &page, 0, &mut Seen::default()), ["skipped", "newer", "goes"]);
}

#[test]
fn a_message_of_unknown_source_goes_only_where_told() {
    let (queue, page) = (queue(&["payment", "shipping"]), [message("m-1", "a", 0)]);
    assert_eq!(fates(&queue, &redrive(&[], 9), &page, 0, &mut Seen::default()), ["refused"]);
    let told = Wanted { act: Act::Redrive { force: false, to: Some("shipping") }, ..redrive(&[], 9) };
    let (received, facts) = &page[0];
    let Ok(Task::Source(source, message)) = task(&queue, &told.act, received, facts, at(0)) else { panic!("it goes nowhere") };
    assert_eq!((source.name(), message.group_id.as_deref()), ("shipping", Some("a")));
}

#[test]
fn an_archived_copy_has_the_message_and_the_reason() {
    let act = Act::Discard { reason: "sent by hand", by: "ada" };
    let (received, facts) = message("../m-1", "a", 0);
    let queue = queue(&["payment"]);
    let Ok(Task::Archive(key, copy)) = task(&queue, &act, &received, &facts, at(7)) else { panic!("it is not archived") };
    assert_eq!(key, "discarded/payment/___m-1.json", "an id chooses no folder");
    let copy: serde_json::Value = serde_json::from_slice(&copy).unwrap();
    assert_eq!(copy["discarded"], json!({ "at": at(7), "by": "ada", "reason": "sent by hand" }));
    assert_eq!((&copy["queue"], &copy["cause"], &copy["body"]), (&json!("payment-dlq.fifo"), &json!("Timeout"), &json!("{}")));
    assert_eq!(copy["attributes"]["blob"], json!({ "type": "Binary", "base64": "AP8=" }));
}
