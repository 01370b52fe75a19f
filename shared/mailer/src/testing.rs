//! Shared parts of the tests of mails: ledger, SES and clock in memory, and checks for every mail.
//!
//! The tests of the mailer and of the functions that mail call it. It is not part of a function: only tests turn its
//! feature on.
#![allow(clippy::unwrap_used, reason = "what is not as the tests expect fails them, helpers included")]

use crate::{Claim, ClaimState, Ledger, Mail, Mailer, OutgoingMail, SENDING_FOR, Sender};
use domain::Timestamp;
use lambda_kit::{Ambient, Failure, Kind};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The SES message id of every mail.
const SES_MESSAGE_ID: &str = "ses-1";

/// A ledger, an outbox and a clock that stands unless a test moves it, with the calls that were made.
#[derive(Debug, Default)]
pub struct Post {
    /// The time.
    pub now: Cell<Timestamp>,
    /// The ledger's rows, by the mails' ids.
    pub rows: RefCell<BTreeMap<String, ClaimState>>,
    /// The suppression list, in lower case.
    pub suppressed: RefCell<BTreeSet<String>>,
    /// The addresses that have had as many mails in this hour as they may, in lower case.
    pub full: RefCell<BTreeSet<String>>,
    /// Whether as many mails as may that nobody has paid for have gone out in this hour.
    pub unpaid_is_full: Cell<bool>,
    /// The mails that SES accepted.
    pub out: RefCell<Vec<OutgoingMail>>,
    /// Each call and what it was about, in their order: `claim o/received`.
    pub calls: RefCell<Vec<String>>,
    /// SES refuses the next mail.
    pub refuses: RefCell<Option<Failure>>,
    /// The process dies in the next call of this name, before it does anything.
    pub dies_before: Cell<&'static str>,
    /// The process dies in the next call of this name, after it has had its effect.
    pub dies_after: Cell<&'static str>,
}

impl Post {
    /// A mailer with all of this around it.
    pub fn mailer(&self) -> Mailer<&Self, &Self, &Self> {
        Mailer { ledger: self, sender: self, ambient: self }
    }
    /// Notes a call in its place among the others.
    pub fn note(&self, call: &str, about: impl fmt::Display) {
        self.calls.borrow_mut().push(format!("{call} {about}"));
    }
    async fn call<T>(&self, name: &'static str, mail_id: &str, does: impl FnOnce() -> T) -> Result<T, Failure> {
        let died = || Err(Failure::transient("Crash", "the process died"));
        // Others come in between, as they do while a call is under way.
        tokio::task::yield_now().await;
        self.note(name, mail_id);
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
    fn claim_as(&self, outgoing: &OutgoingMail, now: Timestamp, is_new: bool) -> Claim {
        if self.suppressed.borrow().contains(&outgoing.to.canonical()) {
            return Claim::Suppressed;
        }
        if is_new && self.full.borrow().contains(&outgoing.to.canonical()) {
            return Claim::Limited;
        }
        self.rows.borrow_mut().insert(outgoing.mail_id.clone(), ClaimState::Sending { until: now + SENDING_FOR });
        Claim::Ours
    }
}

impl Ambient for &Post {
    fn now(&self) -> Timestamp {
        self.now.get()
    }
    fn random(&self) -> u64 {
        7
    }
}
impl Ledger for &Post {
    async fn claim(&self, outgoing: &OutgoingMail, now: Timestamp) -> Result<Claim, Failure> {
        self.call("claim", &outgoing.mail_id, || {
            let taken = self.rows.borrow().get(&outgoing.mail_id).copied();
            taken.map_or_else(|| self.claim_as(outgoing, now, true), Claim::Taken)
        })
        .await
    }
    async fn reclaim(&self, outgoing: &OutgoingMail, over: Timestamp, now: Timestamp) -> Result<Claim, Failure> {
        self.call("reclaim", &outgoing.mail_id, || {
            let standing = self.rows.borrow()[&outgoing.mail_id];
            if standing == (ClaimState::Sending { until: over }) { self.claim_as(outgoing, now, false) } else { Claim::Taken(standing) }
        })
        .await
    }
    async fn place(&self, _: Timestamp) -> Result<bool, Failure> {
        self.call("place", "unpaid", || !self.unpaid_is_full.get()).await
    }
    async fn sent(&self, mail_id: &str, ses_message_id: &str, _: Timestamp) -> Result<(), Failure> {
        assert_eq!(ses_message_id, SES_MESSAGE_ID);
        self.call("sent", mail_id, || _ = self.rows.borrow_mut().insert(mail_id.to_owned(), ClaimState::Sent)).await
    }
}
impl Sender for &Post {
    async fn send(&self, outgoing: &OutgoingMail) -> Result<String, Failure> {
        let send = || match self.refuses.take() {
            Some(refused) => Err(refused),
            None => {
                self.out.borrow_mut().push(outgoing.clone());
                Ok(SES_MESSAGE_ID.to_owned())
            }
        };
        self.call("SendEmail", &outgoing.mail_id, send).await?
    }
}

/// Whose the failure is, and which; it must not name Ada, whom all sample mails go to.
pub fn failed<T>(result: Result<T, Failure>) -> (Kind, String) {
    let failure = result.err().unwrap();
    assert!(!failure.chain().contains("Ada") && !failure.chain().contains("ada@"), "{}", failure.chain());
    (failure.kind, failure.error_type)
}

/// `text` as one line, with one blank between words: where a sentence breaks is a template's business.
pub fn one_blank(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text must read well in a terminal, and a page anywhere: on a telephone, at night, without its pictures. `title` begins
/// the page's.
pub fn reads_well(mail: &Mail, title: &str) {
    assert!(mail.text.lines().all(|line| line.chars().count() <= 72), "{}", mail.text);
    assert!(mail.text.lines().all(|line| line == "-- " || line == line.trim_end()), "{:?}", mail.text);
    assert!(!mail.text.contains("\n\n\n") && mail.text.ends_with(".\n"), "{:?}", mail.text);
    let title = format!("<title>{title}");
    for needed in ["<html lang=\"en\"", "name=\"viewport\"", "color-scheme", "max-width: 600px", &title] {
        assert!(mail.html.contains(needed), "{needed}");
    }
    assert!(!mail.html.contains("http"), "nothing is loaded, and nothing is linked: {}", mail.html);
    assert!(mail.html.lines().all(|line| line.len() < 998), "RFC 5322 allows no longer line");
}
