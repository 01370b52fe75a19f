//! The outcome of a chunk of recipients: every decision, and nothing else.
//!
//! [`EmailCampaign`](crate::EmailCampaign) does what is decided here. It does not know a clock, a table or SES: state and
//! answers go in, what is to be written next comes out.

use crate::{
    refusal::{Advice, Blame, of_call, of_entry},
    row::{Obstacle, Skip, State, Wish},
};
use domain::CustomerId;
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

/// The known facts about somebody on the list.
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

/// The remaining writes after a refused claim.
pub fn narrow(wishes: Vec<Wish>, obstacles: Vec<Obstacle>) -> Vec<Wish> {
    wishes.into_iter().zip(obstacles).filter_map(|(wish, obstacle)| wish.after(obstacle)).collect()
}

/// SES's response to acall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The outcome of each entry, in their order.
    Entries(Vec<Entry>),
    /// It took none of them, with its code.
    Refused(String),
    /// Nothing that can be relied on, with the word for it: some may have gone out.
    Silence(String),
}

/// SES's response to an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// It has the mail, under this id.
    Accepted(String),
    /// It has not, with its status.
    Refused(String),
    /// Nothing.
    Silence,
}

/// The result of a response.
#[derive(Debug)]
pub struct Outcome {
    /// The writes that are due into the rows of those who were mailed. A recipient that is not here stays `sending`: in doubt.
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

/// The result of `answer` to a call that had these claims' recipients, with the attempt each is; `proven` says whether SES has
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

/// The writes that are still due after `marks` were refused. A row that no longer has the claim had it taken off by a write of
/// its own, whose answer was lost: nobody else may. It is left alone, for another worker may have claimed it since.
pub fn unsettled(marks: Vec<(CustomerId, State)>, obstacles: Vec<Obstacle>) -> Vec<(CustomerId, State)> {
    let open = |(mark, obstacle)| matches!(obstacle, Obstacle::Nothing | Obstacle::Contention).then_some(mark);
    marks.into_iter().zip(obstacles).filter_map(open).collect()
}

#[cfg(test)]
mod tests;
