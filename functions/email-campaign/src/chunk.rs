//! What becomes of a chunk of recipients: every decision, and nothing else.
//!
//! [`EmailCampaign`](crate::EmailCampaign) does what is decided here. It refuses to know a clock, a table or SES: state and
//! answers go in, what is to be written next comes out.

use crate::{
    ledger::{Obstacle, Skip, State},
    refusal::{Advice, Blame, of_call, of_entry},
};
use domain::{CustomerId, Timestamp};
use lambda_kit::{Failure, Kind};
use std::time::Duration;

/// How often a recipient is tried whom SES fails to take for a passing reason of their own. With [`RETRY_AFTER`] between
/// them five tries take two minutes; the rest of the list waits for them, so that a campaign's end means that all is over.
pub const ATTEMPTS_MAX: u32 = 5;
/// How long a campaign waits before it tries released recipients again. A rate that was exceeded has long recovered, and a
/// fault that passes is mostly gone.
pub const RETRY_AFTER: Duration = Duration::from_secs(30);
/// How many recipients may be refused alone, in one slice, while SES has accepted no mail of the campaign. Each may be the one of
/// thousands that SES cannot read; five in a row are not, and the template is to blame.
pub const SUSPECTS_MAX: u32 = 5;
/// Longest code that is stored. SES's have at most 32 characters.
const CODE_CHARS_MAX: usize = 64;

/// What is known of somebody on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Whether they take marketing mail; [`None`] where no customer has the address.
    pub takes_marketing_mail: Option<bool>,
    /// Whether mail to the address is suppressed.
    pub suppressed: bool,
}

/// Why somebody is not to be mailed; [`None`] where they are.
pub fn skip(known: Known) -> Option<Skip> {
    match known {
        Known { takes_marketing_mail: None, .. } => Some(Skip::Unknown),
        Known { takes_marketing_mail: Some(false), .. } => Some(Skip::NoConsent),
        Known { suppressed: true, .. } => Some(Skip::Suppressed),
        Known { takes_marketing_mail: Some(true), suppressed: false } => None,
    }
}

/// A row to be written before anything is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Whose.
    pub customer_id: CustomerId,
    /// What it is to say: `sending` or `skipped`.
    pub becomes: State,
    /// Over what it is written: nothing, or a row that was released after so many attempts.
    pub over: Option<u32>,
}

impl Wish {
    /// What is first wished for somebody: assumed fresh, their row is new.
    pub fn new(customer_id: CustomerId, skip: Option<Skip>, claimed_at: Timestamp, claim: u64) -> Self {
        let becomes = skip.map_or(State::Sending { attempt: 1, claimed_at, claim }, |skip| State::Skipped { skip });
        Self { customer_id, becomes, over: None }
    }

    /// Whom it claims, and which attempt that is; [`None`] where it skips.
    pub fn claimed(&self) -> Option<(CustomerId, u32)> {
        match self.becomes {
            State::Sending { attempt, .. } => Some((self.customer_id, attempt)),
            _ => None,
        }
    }

    /// What is still wished after this was found in its way. Whoever has a row has been decided on, by an earlier try or
    /// another worker, and is left out; `sending` too: nobody but who wrote it knows whether that mail went out.
    fn after(mut self, obstacle: Obstacle) -> Option<Self> {
        match obstacle {
            Obstacle::Nothing | Obstacle::Contention => Some(self),
            Obstacle::Row(State::Released { attempts }) => {
                self.over = Some(attempts);
                if let State::Sending { attempt, .. } = &mut self.becomes {
                    *attempt = attempts + 1;
                }
                Some(self)
            }
            Obstacle::Row(State::Sending { .. } | State::Sent { .. } | State::Failed { .. } | State::Skipped { .. }) => None,
        }
    }
}

/// What is still wished after a refused claim.
pub fn narrow(wishes: Vec<Wish>, obstacles: Vec<Obstacle>) -> Vec<Wish> {
    wishes.into_iter().zip(obstacles).filter_map(|(wish, obstacle)| wish.after(obstacle)).collect()
}

/// What SES says to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What became of each entry, in their order.
    Entries(Vec<Entry>),
    /// It took none of them, with its code.
    Refused(String),
    /// Nothing that can be relied on, with the word for it: some may have gone out.
    Silence(String),
}

/// What SES says to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// It has the mail, under this id.
    Accepted(String),
    /// It has not, with its status.
    Refused(String),
    /// Nothing.
    Silence,
}

/// What follows from an answer.
#[derive(Debug)]
pub struct Outcome {
    /// What is to be written into the rows of those who were mailed. Whoever is not here stays `sending`: in doubt.
    pub marks: Vec<(CustomerId, State)>,
    /// How it goes on after that.
    pub then: Then,
}

/// How it goes on.
#[derive(Debug)]
pub enum Then {
    /// With the next chunk.
    On,
    /// With the same chunk, in a while.
    Again(Duration),
    /// With each half of the same chunk: SES refused it as a whole and did not say for whose sake.
    Halve,
    /// With the next chunk: a recipient was refused alone, and nobody was accepted yet who would prove that it is not the template.
    /// [`SUSPECTS_MAX`] of these, and the campaign is parked for this.
    Suspect(Failure),
    /// Not now: the message is retried, or parked, and the campaign goes on here.
    Stop(Failure),
}

/// What follows from `answer` to a call that had these claims' recipients, with the attempt each is; `proven` says whether SES has
/// accepted a mail of this campaign before.
pub fn outcome(answer: Answer, claims: &[(CustomerId, u32)], proven: bool) -> Outcome {
    match answer {
        Answer::Entries(entries) => after_entries(entries, claims),
        Answer::Refused(code) => after_refusal(&code, claims, proven),
        Answer::Silence(code) => {
            let what = format_args!("SES gave no answer that can be relied on, and {} recipients are in doubt", claims.len());
            Outcome { marks: Vec::new(), then: Then::Stop(Failure::transient(code, what)) }
        }
    }
}

fn after_entries(entries: Vec<Entry>, claims: &[(CustomerId, u32)]) -> Outcome {
    let mut outcome = Outcome { marks: Vec::new(), then: Then::On };
    for (claim, entry) in claims.iter().zip(entries) {
        let (customer_id, attempt) = *claim;
        let mark = match entry {
            Entry::Silence => continue,
            Entry::Accepted(message_id) => (customer_id, State::Sent { message_id }),
            Entry::Refused(status) => match of_entry(&status) {
                Blame::Mail => failed(customer_id, &status),
                Blame::Moment if attempt >= ATTEMPTS_MAX => failed(customer_id, &status),
                fault => {
                    match stops(fault, &status) {
                        // What people must do comes before what passes by itself.
                        Some(failure) if !is_for_people(&outcome.then) => outcome.then = Then::Stop(failure),
                        None if matches!(outcome.then, Then::On) => outcome.then = Then::Again(RETRY_AFTER),
                        _ => {}
                    }
                    release(claim, fault == Blame::Moment)
                }
            },
        };
        outcome.marks.push(mark);
    }
    outcome
}

fn is_for_people(then: &Then) -> bool {
    matches!(then, Then::Stop(failure) if failure.kind == Kind::Permanent)
}

/// A call that SES refused as a whole mailed nobody. Where the mail is to blame, it may be one recipient's or everybody's. A half that
/// is accepted proves the first, and halving ends at the culprit, after `2 × log₂ 50` calls; where nothing is ever accepted, calling
/// one recipient after the other failed for a broken template would lose the campaign.
fn after_refusal(code: &str, claims: &[(CustomerId, u32)], proven: bool) -> Outcome {
    let all = |counted| claims.iter().map(|claim| release(claim, counted)).collect();
    let blamed = of_call(code);
    match (blamed, claims) {
        (Blame::Mail, [(customer_id, _)]) if proven => Outcome { marks: vec![failed(*customer_id, code)], then: Then::On },
        (Blame::Mail, [(_, attempt)]) => {
            let failure = Failure::permanent(self::code(code), Advice(code));
            Outcome { marks: all(true), then: if *attempt >= ATTEMPTS_MAX { Then::Stop(failure) } else { Then::Suspect(failure) } }
        }
        (Blame::Mail, _) => Outcome { marks: all(false), then: Then::Halve },
        _ => Outcome { marks: all(false), then: stops(blamed, code).map_or(Then::Again(RETRY_AFTER), Then::Stop) },
    }
}

/// Why a campaign cannot go on by itself; [`None`] where it can, in a moment.
fn stops(blamed: Blame, code: &str) -> Option<Failure> {
    match blamed {
        Blame::Moment | Blame::Rate | Blame::Mail => None,
        Blame::Later => Some(Failure::transient(self::code(code), "SES takes no more mail of the account for now; the campaign waits")),
        Blame::People => Some(Failure::permanent(self::code(code), Advice(code))),
    }
}

fn failed(customer_id: CustomerId, status: &str) -> (CustomerId, State) {
    (customer_id, State::Failed { code: code(status) })
}

/// A claim that did not go out, given back; `counted` where that counts as one of its attempts.
fn release((customer_id, attempt): &(CustomerId, u32), counted: bool) -> (CustomerId, State) {
    (*customer_id, State::Released { attempts: if counted { *attempt } else { attempt.saturating_sub(1) } })
}

/// SES's word, as long as it is a word: it ends in logs and in the report.
fn code(status: &str) -> String {
    let word = !status.is_empty() && status.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if word && status.len() <= CODE_CHARS_MAX { status.to_owned() } else { "UNKNOWN".to_owned() }
}

/// What is still to be written after `marks` were refused. A row that no longer has the claim had it taken off by a write of
/// its own, whose answer was lost: nobody else may. It is left alone, for another worker may have claimed it since.
pub fn unsettled(marks: Vec<(CustomerId, State)>, obstacles: Vec<Obstacle>) -> Vec<(CustomerId, State)> {
    let open = |(mark, obstacle)| matches!(obstacle, Obstacle::Nothing | Obstacle::Contention).then_some(mark);
    marks.into_iter().zip(obstacles).filter_map(open).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn customer(n: u32) -> CustomerId {
        CustomerId::from_email(&format!("c{n}@example.com").parse().unwrap())
    }

    fn sending(attempt: u32) -> State {
        State::Sending { attempt, claimed_at: Timestamp::UNIX_EPOCH, claim: 7 }
    }

    fn wish(n: u32) -> Wish {
        Wish::new(customer(n), None, Timestamp::UNIX_EPOCH, 7)
    }

    #[test]
    fn only_customers_who_take_marketing_mail_and_are_not_suppressed_are_mailed() {
        let of = |takes_marketing_mail, suppressed| skip(Known { takes_marketing_mail, suppressed });
        assert_eq!(of(Some(true), false), None);
        assert_eq!(of(Some(true), true), Some(Skip::Suppressed));
        assert_eq!(of(Some(false), true), Some(Skip::NoConsent));
        assert_eq!(of(Some(false), false), Some(Skip::NoConsent));
        assert_eq!(of(None, true), Some(Skip::Unknown));
        assert_eq!(of(None, false), Some(Skip::Unknown));
    }

    #[test]
    fn whoever_has_a_row_is_left_out_unless_it_was_released() {
        let rows = [
            Obstacle::Nothing,
            Obstacle::Contention,
            Obstacle::Row(sending(1)),
            Obstacle::Row(State::Sent { message_id: "m".into() }),
            Obstacle::Row(State::Failed { code: "FAILED".into() }),
            Obstacle::Row(State::Skipped { skip: Skip::Unknown }),
            Obstacle::Row(State::Released { attempts: 2 }),
        ];
        let left = narrow((0..7).map(wish).collect(), rows.into());
        let again = Wish { customer_id: customer(6), becomes: sending(3), over: Some(2) };
        assert_eq!(left, [wish(0), wish(1), again]);
    }

    #[test]
    fn who_was_released_and_has_unsubscribed_since_is_skipped_over_the_released_row() {
        let wish = Wish::new(customer(0), Some(Skip::NoConsent), Timestamp::UNIX_EPOCH, 7);
        assert_eq!(wish.claimed(), None);
        let left = narrow(vec![wish.clone()], vec![Obstacle::Row(State::Released { attempts: 1 })]);
        assert_eq!(left, [Wish { over: Some(1), ..wish }]);
    }

    #[test]
    fn each_entry_has_its_own_fate() {
        let entries = vec![
            Entry::Accepted("id-0".into()),
            Entry::Refused("MESSAGE_REJECTED".into()),
            Entry::Refused("TRANSIENT_FAILURE".into()),
            Entry::Refused("TRANSIENT_FAILURE".into()),
            Entry::Refused("ACCOUNT_THROTTLED".into()),
            Entry::Silence,
            Entry::Refused("not a word of SES's: ada@example.com".into()),
        ];
        let claims: Vec<_> = [1, 1, 1, ATTEMPTS_MAX, 3, 1, 1].into_iter().zip(0..).map(|(attempt, n)| (customer(n), attempt)).collect();
        let Outcome { marks, then } = outcome(Answer::Entries(entries), &claims, false);
        let failed = |code: &str| State::Failed { code: code.into() };
        let expected = [
            (0, State::Sent { message_id: "id-0".into() }),
            (1, failed("MESSAGE_REJECTED")),
            (2, State::Released { attempts: 1 }),
            (3, failed("TRANSIENT_FAILURE")),
            (4, State::Released { attempts: 2 }),
            (6, failed("UNKNOWN")),
        ];
        assert_eq!(marks, expected.map(|(n, state)| (customer(n), state)));
        assert!(matches!(then, Then::Again(RETRY_AFTER)));
    }

    #[test]
    fn entries_that_the_answer_does_not_have_stay_in_doubt() {
        let claims = [(customer(0), 1), (customer(1), 1)];
        let Outcome { marks, then } = outcome(Answer::Entries(vec![Entry::Accepted("id".into())]), &claims, false);
        assert_eq!((marks.len(), matches!(then, Then::On)), (1, true));
    }

    #[test]
    fn a_fault_of_the_account_releases_and_stops_whatever_else_is_in_the_answer() {
        let claims = [(customer(0), 2), (customer(1), 1), (customer(2), 1)];
        for (status, kind) in [
            ("ACCOUNT_DAILY_QUOTA_EXCEEDED", Kind::Transient),
            ("ACCOUNT_SENDING_PAUSED", Kind::Permanent),
            ("CONFIGURATION_SET_NOT_FOUND", Kind::Permanent),
            ("MAIL_FROM_DOMAIN_NOT_VERIFIED", Kind::Permanent),
        ] {
            let entries = ["TRANSIENT_FAILURE", status, "ACCOUNT_THROTTLED"].map(|status| Entry::Refused(status.into()));
            let Outcome { marks, then } = outcome(Answer::Entries(entries.into()), &claims, false);
            assert_eq!(marks[1], (customer(1), State::Released { attempts: 0 }), "not counted");
            assert_eq!(marks.len(), 3);
            let Then::Stop(failure) = then else { panic!("{status} does not stop") };
            assert_eq!((failure.kind, failure.error_type.as_str()), (kind, status));
        }
        for order in [["ACCOUNT_DAILY_QUOTA_EXCEEDED", "ACCOUNT_SUSPENDED"], ["ACCOUNT_SUSPENDED", "ACCOUNT_DAILY_QUOTA_EXCEEDED"]] {
            let entries = order.map(|status| Entry::Refused(status.into()));
            let then = outcome(Answer::Entries(entries.into()), &claims, false).then;
            assert!(matches!(then, Then::Stop(failure) if failure.error_type == "ACCOUNT_SUSPENDED"), "{order:?}");
        }
    }

    #[test]
    fn a_call_that_ses_refuses_releases_all_of_it() {
        let claims = [(customer(0), 1), (customer(1), 4)];
        for (code, kind) in [
            ("TooManyRequestsException", None),
            ("AccountSuspendedException", Some(Kind::Permanent)),
            ("SendingPausedException", Some(Kind::Permanent)),
            ("MailFromDomainNotVerifiedException", Some(Kind::Permanent)),
            ("NotFoundException", Some(Kind::Permanent)),
            ("AccessDeniedException", Some(Kind::Permanent)),
            ("LimitExceededException", Some(Kind::Transient)),
            ("SomethingNew", Some(Kind::Transient)),
        ] {
            let Outcome { marks, then } = outcome(Answer::Refused(code.into()), &claims, true);
            let released = [(customer(0), State::Released { attempts: 0 }), (customer(1), State::Released { attempts: 3 })];
            assert_eq!(marks, released, "{code}");
            match (then, kind) {
                (Then::Again(RETRY_AFTER), None) => {}
                (Then::Stop(failure), Some(kind)) => assert_eq!((failure.kind, failure.error_type.as_str()), (kind, code)),
                (then, _) => panic!("{code}: {then:?}"),
            }
        }
    }

    #[test]
    fn a_mail_refused_as_a_whole_is_halved_and_alone_it_fails_once_another_was_accepted() {
        for code in ["BadRequestException", "MessageRejected", "NotVerified", "ValidationException"] {
            let of = |claims: &[(CustomerId, u32)], proven| outcome(Answer::Refused(code.into()), claims, proven);
            for proven in [false, true] {
                let Outcome { marks, then } = of(&[(customer(0), 1), (customer(1), 4)], proven);
                let released = [(customer(0), State::Released { attempts: 0 }), (customer(1), State::Released { attempts: 3 })];
                assert_eq!((marks.as_slice(), matches!(then, Then::Halve)), (released.as_slice(), true), "{code}");
            }
            let Outcome { marks, then } = of(&[(customer(0), 1)], true);
            assert_eq!((&marks[0].1, matches!(then, Then::On)), (&State::Failed { code: code.into() }, true));
            let Outcome { marks, then } = of(&[(customer(0), 1)], false);
            assert_eq!(marks[0].1, State::Released { attempts: 1 });
            assert!(matches!(then, Then::Suspect(failure) if failure.kind == Kind::Permanent && failure.error_type == code));
            let Outcome { then, .. } = of(&[(customer(0), ATTEMPTS_MAX)], false);
            assert!(matches!(then, Then::Stop(failure) if failure.kind == Kind::Permanent));
        }
    }

    #[test]
    fn a_call_without_an_answer_marks_nobody_and_stops() {
        let Outcome { marks, then } = outcome(Answer::Silence("Timeout".into()), &[(customer(0), 1)], true);
        assert_eq!(marks, []);
        assert!(matches!(then, Then::Stop(failure) if failure.kind == Kind::Transient && failure.error_type == "Timeout"));
    }

    #[test]
    fn what_a_lost_answer_had_written_is_not_written_again_whatever_became_of_it_since() {
        let sent = |n: u32| (customer(n), State::Sent { message_id: n.to_string() });
        let obstacles = vec![Obstacle::Row(sent(0).1), Obstacle::Contention, Obstacle::Nothing, Obstacle::Row(sending(2))];
        assert_eq!(unsettled((0..4).map(sent).collect(), obstacles), [sent(1), sent(2)]);
    }
}
