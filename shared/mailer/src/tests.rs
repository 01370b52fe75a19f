//! The mailer, driven against a ledger and a sender in memory.

use super::*;
use lambda_kit::Kind;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
};

/// A ledger, an outbox and a clock, with the calls that were made.
#[derive(Default)]
struct World {
    second: Cell<i64>,
    rows: RefCell<BTreeMap<String, Standing>>,
    suppressed: Cell<bool>,
    calls: RefCell<Vec<&'static str>>,
    out: Cell<usize>,
    /// The process dies in this call, before it does anything, or after.
    dies_before: Cell<&'static str>,
    dies_after: Cell<&'static str>,
}

impl World {
    async fn call<T>(&self, name: &'static str, does: impl FnOnce() -> T) -> Result<T, Failure> {
        let died = || Err(Failure::transient("Crash", "the process died"));
        // Others come in between, as they do while a call is under way.
        tokio::task::yield_now().await;
        self.calls.borrow_mut().push(name);
        if self.dies_before.get() == name {
            self.dies_before.take();
            return died();
        }
        let done = does();
        if self.dies_after.get() == name {
            self.dies_after.take();
            return died();
        }
        Ok(done)
    }
    fn claim_as(&self, mail_id: &str, now: Timestamp) -> Claim {
        if self.suppressed.get() {
            return Claim::Suppressed;
        }
        self.rows.borrow_mut().insert(mail_id.to_owned(), Standing::Sending { until: now + SENDING_FOR });
        Claim::Ours
    }
}

impl Ambient for &World {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(self.second.get()).unwrap()
    }
    fn random(&self) -> u64 {
        0
    }
}
impl Ledger for &World {
    async fn claim(&self, letter: &Letter, now: Timestamp) -> Result<Claim, Failure> {
        let claim = || match self.rows.borrow().get(&letter.mail_id).copied() {
            Some(standing) => Claim::Taken(standing),
            None => Claim::Ours,
        };
        self.call("claim", || match claim() {
            Claim::Ours => self.claim_as(&letter.mail_id, now),
            taken => taken,
        })
        .await
    }
    async fn reclaim(&self, letter: &Letter, over: Timestamp, now: Timestamp) -> Result<Claim, Failure> {
        self.call("reclaim", || {
            let standing = self.rows.borrow()[&letter.mail_id];
            if standing == (Standing::Sending { until: over }) { self.claim_as(&letter.mail_id, now) } else { Claim::Taken(standing) }
        })
        .await
    }
    async fn sent(&self, mail_id: &str, ses_message_id: &str, _: Timestamp) -> Result<(), Failure> {
        assert_eq!(ses_message_id, "ses-1");
        self.call("sent", || _ = self.rows.borrow_mut().insert(mail_id.to_owned(), Standing::Sent)).await
    }
}
impl Sender for &World {
    async fn send(&self, _: &Letter) -> Result<String, Failure> {
        self.call("SendEmail", || self.out.set(self.out.get() + 1)).await.map(|()| "ses-1".to_owned())
    }
}

fn mailer(world: &World) -> Mailer<&World, &World, &World> {
    Mailer { ledger: world, sender: world, ambient: world }
}

pub(crate) fn letter() -> Letter {
    Letter {
        mail_id: "o/received".into(),
        to: "Ada@Example.com".parse().unwrap(),
        mail: Mail::new("Order received", "text & text", "<p>text &amp; text</p>"),
        reply_to: Some("orders+o@example.com".into()),
        template: "received",
        headers: vec![("Auto-Submitted".into(), "auto-generated".into())],
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
    let world = World::default();
    assert_eq!(mailer(&world).send(&letter()).await.unwrap(), Outcome::Sent);
    assert_eq!(*world.calls.borrow(), ["claim", "SendEmail", "sent"]);
    world.calls.take();
    for second in [0, OVER, 100 * OVER] {
        world.second.set(second);
        assert_eq!(mailer(&world).send(&letter()).await.unwrap(), Outcome::AlreadySent);
    }
    assert_eq!((&*world.calls.borrow(), world.out.get()), (&vec!["claim"; 3], 1), "a duplicate costs one call");
}

#[tokio::test]
async fn of_duplicates_at_once_one_sends_and_the_other_waits() {
    let world = World::default();
    let (mailer, letter) = (mailer(&world), letter());
    one_of_two(tokio::join!(mailer.send(&letter), mailer.send(&letter)));
    assert_eq!(mailer.send(&letter).await.unwrap(), Outcome::AlreadySent);
    assert_eq!(world.out.get(), 1);
}

#[tokio::test]
async fn after_a_crash_between_sending_and_writing_it_down_a_second_mail_goes_out_but_not_before_until() {
    for crash in [("SendEmail", true), ("sent", false)] {
        let world = World::default();
        if crash.1 { &world.dies_after } else { &world.dies_before }.set(crash.0);
        mailer(&world).send(&letter()).await.unwrap_err();
        for second in [0, 1, OVER - 1] {
            world.second.set(second);
            in_flight(mailer(&world).send(&letter()).await);
        }
        assert_eq!(world.out.get(), 1);
        world.second.set(OVER);
        world.calls.take();
        assert_eq!(mailer(&world).send(&letter()).await.unwrap(), Outcome::Sent, "the one window");
        assert_eq!(*world.calls.borrow(), ["claim", "reclaim", "SendEmail", "sent"]);
        world.second.set(10 * OVER);
        assert_eq!(mailer(&world).send(&letter()).await.unwrap(), Outcome::AlreadySent);
        assert_eq!(world.out.get(), 2);
    }
}

#[tokio::test]
async fn a_crash_anywhere_else_mails_once() {
    for (dies_before, dies_after) in [("claim", ""), ("", "claim"), ("SendEmail", ""), ("", "sent")] {
        let world = World::default();
        world.dies_before.set(dies_before);
        world.dies_after.set(dies_after);
        mailer(&world).send(&letter()).await.unwrap_err();
        world.second.set(OVER);
        mailer(&world).send(&letter()).await.unwrap();
        assert_eq!(world.out.get(), 1, "{dies_before}{dies_after}");
    }
}

#[tokio::test]
async fn of_two_that_find_a_claim_over_one_gets_it() {
    let world = World::default();
    world.dies_before.set("SendEmail");
    let (mailer, letter) = (mailer(&world), letter());
    mailer.send(&letter).await.unwrap_err();
    world.second.set(OVER);
    one_of_two(tokio::join!(mailer.send(&letter), mailer.send(&letter)));
    assert_eq!(world.out.get(), 1);
}

#[tokio::test]
async fn a_suppressed_address_gets_nothing_and_nothing_is_written() {
    let world = World::default();
    world.suppressed.set(true);
    assert_eq!(mailer(&world).send(&letter()).await.unwrap(), Outcome::Suppressed);
    assert_eq!((&*world.calls.borrow(), world.rows.borrow().len()), (&vec!["claim"], 0));
}

#[tokio::test]
async fn who_is_suppressed_while_a_mail_waits_does_not_get_it() {
    let world = World::default();
    world.dies_before.set("SendEmail");
    mailer(&world).send(&letter()).await.unwrap_err();
    world.suppressed.set(true);
    world.second.set(OVER);
    assert_eq!(mailer(&world).send(&letter()).await.unwrap(), Outcome::Suppressed);
    assert_eq!(world.out.get(), 0);
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
    let shown = format!("{:?} {:?}", letter(), letter().mail);
    assert_eq!(shown, "Letter { mail_id: \"o/received\", template: \"received\", .. } [mail]");
}
