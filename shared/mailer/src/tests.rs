//! The mailer, driven against a ledger and SES in memory.

use super::*;
use crate::testing::Post;
use lambda_kit::Kind;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// These calls, about the mail.
fn calls(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("{name} o/received")).collect()
}

fn suppress(post: &Post) {
    post.suppressed.borrow_mut().insert("ada@example.com".into());
}

pub(crate) fn outgoing() -> OutgoingMail {
    OutgoingMail {
        mail_id: "o/received".into(),
        to: "Ada@Example.com".parse().unwrap(),
        mail: Mail::new("Order received", "text & text", "<p>text &amp; text</p>"),
        reply_to: Some("orders+o@example.com".into()),
        template: "received",
        headers: vec![("Auto-Submitted".into(), "auto-generated".into())],
        unpaid: false,
    }
}

fn in_flight(result: Result<Outcome, Failure>) {
    let failure = result.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Transient, "MailInFlight"));
}

/// Of two deliveries at once one has sent, whichever came first, and the other must wait.
fn one_of_two((a, b): (Result<Outcome, Failure>, Result<Outcome, Failure>)) {
    let (sent, waits) = if a.is_ok() { (a, b) } else { (b, a) };
    assert_eq!(sent.unwrap(), Outcome::Sent);
    in_flight(waits);
}

const OVER: i64 = SENDING_FOR.as_secs();

#[tokio::test]
async fn a_mail_is_claimed_sent_and_written_down_in_three_calls() {
    let post = Post::default();
    assert_eq!(post.mailer().send(&outgoing()).await.unwrap(), Outcome::Sent);
    assert_eq!(*post.calls.borrow(), calls(&["claim", "SendEmail", "sent"]));
    post.calls.take();
    for second in [0, OVER, 100 * OVER] {
        post.now.set(at(second));
        assert_eq!(post.mailer().send(&outgoing()).await.unwrap(), Outcome::AlreadySent);
    }
    assert_eq!((&*post.calls.borrow(), post.out.borrow().len()), (&calls(&["claim"; 3]), 1), "a duplicate costs one call");
}

#[tokio::test]
async fn of_duplicates_at_once_one_sends_and_the_other_waits() {
    let post = Post::default();
    let (mailer, outgoing) = (post.mailer(), outgoing());
    one_of_two(tokio::join!(mailer.send(&outgoing), mailer.send(&outgoing)));
    assert_eq!(mailer.send(&outgoing).await.unwrap(), Outcome::AlreadySent);
    assert_eq!(post.out.borrow().len(), 1);
}

#[tokio::test]
async fn after_a_crash_a_second_mail_waits_for_the_claims_end() {
    for crash in [("SendEmail", true), ("sent", false)] {
        let post = Post::default();
        if crash.1 { &post.dies_after } else { &post.dies_before }.set(crash.0);
        post.mailer().send(&outgoing()).await.unwrap_err();
        for second in [0, 1, OVER - 1] {
            post.now.set(at(second));
            in_flight(post.mailer().send(&outgoing()).await);
        }
        assert_eq!(post.out.borrow().len(), 1);
        post.now.set(at(OVER));
        post.calls.take();
        assert_eq!(post.mailer().send(&outgoing()).await.unwrap(), Outcome::Sent, "the one window");
        assert_eq!(*post.calls.borrow(), calls(&["claim", "reclaim", "SendEmail", "sent"]));
        post.now.set(at(10 * OVER));
        assert_eq!(post.mailer().send(&outgoing()).await.unwrap(), Outcome::AlreadySent);
        assert_eq!(post.out.borrow().len(), 2);
    }
}

#[tokio::test]
async fn a_crash_anywhere_else_mails_once() {
    for (dies_before, dies_after) in [("claim", ""), ("", "claim"), ("SendEmail", ""), ("", "sent")] {
        let post = Post::default();
        post.dies_before.set(dies_before);
        post.dies_after.set(dies_after);
        post.mailer().send(&outgoing()).await.unwrap_err();
        post.now.set(at(OVER));
        post.mailer().send(&outgoing()).await.unwrap();
        assert_eq!(post.out.borrow().len(), 1, "{dies_before}{dies_after}");
    }
}

#[tokio::test]
async fn of_two_that_find_a_claim_over_one_gets_it() {
    let post = Post::default();
    post.dies_before.set("SendEmail");
    let (mailer, outgoing) = (post.mailer(), outgoing());
    mailer.send(&outgoing).await.unwrap_err();
    post.now.set(at(OVER));
    one_of_two(tokio::join!(mailer.send(&outgoing), mailer.send(&outgoing)));
    assert_eq!(post.out.borrow().len(), 1);
}

#[tokio::test]
async fn a_suppressed_address_gets_nothing_and_nothing_is_written() {
    let post = Post::default();
    suppress(&post);
    assert_eq!(post.mailer().send(&outgoing()).await.unwrap(), Outcome::Suppressed);
    assert_eq!((&*post.calls.borrow(), post.rows.borrow().len()), (&calls(&["claim"]), 0));
}

#[tokio::test]
async fn an_address_suppressed_while_a_mail_waits_gets_none() {
    let post = Post::default();
    post.dies_before.set("SendEmail");
    post.mailer().send(&outgoing()).await.unwrap_err();
    suppress(&post);
    post.now.set(at(OVER));
    assert_eq!(post.mailer().send(&outgoing()).await.unwrap(), Outcome::Suppressed);
    assert_eq!(post.out.borrow().len(), 0);
}

#[tokio::test]
async fn an_address_over_its_hours_limit_gets_no_mail() {
    let post = Post::default();
    post.full.borrow_mut().insert("ada@example.com".into());
    assert_eq!(post.mailer().send(&outgoing()).await.unwrap(), Outcome::Limited(Limit::Address));
    assert_eq!((&*post.calls.borrow(), post.rows.borrow().len()), (&calls(&["claim"]), 0));
}

#[tokio::test]
async fn a_mail_that_was_claimed_goes_out_however_full_the_hour_is() {
    let post = Post::default();
    post.dies_before.set("SendEmail");
    post.mailer().send(&outgoing()).await.unwrap_err();
    post.full.borrow_mut().insert("ada@example.com".into());
    post.now.set(at(OVER));
    assert_eq!(post.mailer().send(&outgoing()).await.unwrap(), Outcome::Sent);
}

#[tokio::test]
async fn an_unpaid_mail_needs_a_place_in_its_hour() {
    let post = Post::default();
    let unpaid = OutgoingMail { unpaid: true, ..outgoing() };
    assert_eq!(post.mailer().send(&unpaid).await.unwrap(), Outcome::Sent);
    assert_eq!(*post.calls.borrow(), ["claim o/received", "place unpaid", "SendEmail o/received", "sent o/received"]);

    let post = Post::default();
    post.unpaid_is_full.set(true);
    assert_eq!(post.mailer().send(&unpaid).await.unwrap(), Outcome::Limited(Limit::Unpaid));
    assert_eq!(
        post.mailer().send(&OutgoingMail { mail_id: "o/shipped".into(), ..outgoing() }).await.unwrap(),
        Outcome::Sent,
        "who pays is mailed"
    );
    assert_eq!(post.out.borrow().len(), 1);
}

#[tokio::test]
async fn what_a_limit_held_back_is_in_the_log_by_the_limits_name() {
    let post = Post::default();
    post.unpaid_is_full.set(true);
    let (_, log) = testkit::log::logged(post.mailer().send(&OutgoingMail { unpaid: true, ..outgoing() })).await;
    let [line] = &log.lines().collect::<Vec<_>>()[..] else { panic!("one line: {log}") };
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    let said = ["mail", "limit", "template", "mail_id"].map(|field| line["fields"][field].as_str().unwrap().to_owned());
    assert_eq!(said, ["limited", "unpaid", "received", "o/received"]);
}

#[test]
fn an_event_is_too_old_after_a_day() {
    let time = Timestamp::UNIX_EPOCH;
    assert!(!too_old(time, time + MAIL_AGE_MAX));
    assert!(too_old(time, time + MAIL_AGE_MAX + SignedDuration::from_millis(1)));
    assert!(!too_old(time + MAIL_AGE_MAX, time), "a clock that is behind");
}

#[test]
fn a_claim_outlasts_an_invocation_and_a_retry_outlasts_the_claim() {
    let sending_for = SENDING_FOR.unsigned_abs();
    assert!(sending_for > 2 * ses::SEND_TIMEOUT);
    // What the batch core waits for at most; it is not linked here.
    assert!(sending_for < std::time::Duration::from_secs(15 * 60));
}

#[test]
fn a_subject_cannot_begin_another_header() {
    let mail = Mail::new("Order\r\nBcc: bob@example.com\u{2028}\n", "", "");
    assert_eq!(mail.subject, "Order Bcc: bob@example.com");
}

#[test]
fn debug_output_hides_what_a_mail_says_and_to_whom() {
    let shown = format!("{:?} {:?}", outgoing(), outgoing().mail);
    assert_eq!(shown, "OutgoingMail { mail_id: \"o/received\", template: \"received\", .. } [mail]");
}
