//! `email-campaign`: mails a campaign to a list, each recipient at most once.
//!
//! A message on its own queue starts it: `{"campaign_id": "spring-2026", "template": "newsletter", "list":
//! "lists/spring.csv"}`. `lambda_kit::batch` drives it, one message per invocation. It mails only customers who consented to
//! marketing mail and whose address is not suppressed. It keeps to its share of the account's send rate. It ends with a report
//! that has a line for each line of the list. A recipient who may have been mailed before is not mailed again.
//!
//! ```text
//!   GetAccount ─▶ for each chunk:  wait ─ look up ─ claim ─ SendBulkEmail ─ settle ─ advance      ─▶ report
//!                                                     │                      │
//!                                                     └── a process that dies in here leaves one chunk in doubt:
//!                                                         claimed, perhaps mailed, never mailed again, and reported
//! ```
//!
//! SES has no idempotency token. So the claim comes before the mail, and an invocation that finds a claim does not mail: a
//! missing marketing mail is acceptable, a second one is not. The wait for the send rate comes before the claim, so that the
//! time in which a crash leaves a recipient in doubt is one call long.
//!
//! One address that SES cannot parse makes it refuse a call of fifty. Such a chunk is released and mailed in halves, down to
//! the one recipient, who is marked `failed`; [`chunk`] says how a broken template is recognised. A fault that only people can
//! fix parks the message at once, see [`refusal`].
//!
//! A campaign takes longer than an invocation. It runs in slices of [`WORK_FOR`]. Each slice is a message of its own, so that
//! its receive count counts only failures. A process that dies between two messages leaves both: two workers on one campaign.
//! The claims keep them apart, and the report ends both.

mod batch_get;
pub mod chunk;
pub mod ledger;
pub mod list;
pub mod lists;
pub mod pace;
pub mod recipients;
pub mod refusal;
pub mod report;
pub mod row;
pub mod samples;
pub mod ses;
mod start;
pub mod templates;

pub use start::{CampaignId, InvalidStart, ListKey, Start};

use chunk::{SUSPECTS_MAX, Then, narrow, outcome, skip, unsettled};
use domain::CustomerId;
use lambda_kit::{
    Ambient, Failure,
    batch::Consumer,
    dynamodb::Created,
    message::{Delivery, Handled, Incoming},
};
use ledger::{Campaign, Fingerprint, Ledger, ROWS_MAX, Written};
use list::{Entry, Line, Recipient};
use lists::Lists;
use pace::{Pace, Share};
use recipients::{Recipients, Unsubscribe};
use report::ReportState;
use row::{Obstacle, State, Wish};
use ses::{Bulk, BulkMail, Sender};
use std::{cell::RefCell, collections::HashMap, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};

/// How long a slice begins new chunks. The function has 60 s, of which the batch core keeps three; the other twelve are for
/// the last chunk, whose SendBulkEmail alone may take [`ses::SEND_TIMEOUT`].
pub const WORK_FOR: Duration = Duration::from_secs(45);
/// How late in a slice the report is begun: reading the rows of the longest list takes some ten seconds, and more than half
/// a slice must be left for it.
const REPORT_WITHIN: Duration = Duration::from_secs(20);
/// The shortest time between two slices. SQS counts whole seconds.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How often a transaction is tried that others stand in the way of. With the waits between them, eight tries take two
/// seconds at most, in which another worker on the same chunk is through.
const TRIES_MAX: u32 = 8;
/// The longest wait before the second try; it doubles with each further one (full jitter).
const TRY_WAIT: Duration = Duration::from_millis(10);

/// The function and what it works on.
#[derive(Debug)]
pub struct EmailCampaign<L, R, U, B, S, A> {
    /// Lists and reports.
    pub lists: L,
    /// The recipients' consent.
    pub recipients: R,
    /// The link out of it.
    pub unsubscribe: U,
    /// The mailed recipients.
    pub ledger: B,
    /// The sender of mails.
    pub sender: S,
    /// Clock, and random numbers for the waits between tries.
    pub ambient: A,
    /// When the next call may go out.
    pub pace: RefCell<Pace>,
}

impl<L, R, U, B, S, A> Consumer for EmailCampaign<L, R, U, B, S, A>
where
    L: Lists,
    R: Recipients,
    U: Unsubscribe,
    B: Ledger,
    S: Sender,
    A: Ambient,
{
    type Message = Start;

    fn read(&self, body: &str) -> Result<Incoming<Start>, Failure> {
        let start: Start = body.parse().map_err(|error: InvalidStart| Failure::permanent("UnreadableStart", error))?;
        let campaign_id = start.campaign_id.to_string();
        Ok(Incoming { message: start, event_id: campaign_id.clone(), subject: campaign_id, traceparent: None, contends_for: Vec::new() })
    }

    async fn handle(&self, start: &Start, _: &Delivery) -> Result<Handled, Failure> {
        let began = Instant::now();
        let object = self.lists.read(&start.list).await?;
        // Before anything is written: a list that is refused may be fixed and started again under the same name.
        let lines = list::parse(&object.bytes, start.list.format(), &start.template.columns())?;
        let campaign = self.open(start, object.etag).await?;
        let mut again = None;
        if campaign.finished_at.is_none() {
            again = self.work(start, &campaign, &lines, began + WORK_FOR).await?;
            if again.is_none() {
                again = if began.elapsed() > REPORT_WITHIN { Some(AGAIN_AFTER) } else { self.finish(start, &campaign, &lines).await? };
            }
        }
        Ok(Handled { publish: Vec::new(), look_again_after: again.map(|after| after.max(AGAIN_AFTER)) })
    }
}

impl<L: Lists, R: Recipients, U: Unsubscribe, B: Ledger, S: Sender, A: Ambient> EmailCampaign<L, R, U, B, S, A> {
    /// The campaign that `start` begins, begins again, or goes on with.
    async fn open(&self, start: &Start, etag: String) -> Result<Campaign, Failure> {
        let fingerprint = Fingerprint { template: start.template.name.to_owned(), list: start.list.to_string(), etag };
        let new = Campaign {
            campaign_id: start.campaign_id.clone(),
            fingerprint,
            run: 1,
            next_line: 0,
            accepted: false,
            started_at: self.ambient.now(),
            finished_at: None,
            mailed: None,
        };
        match self.ledger.open(&new).await? {
            Created::New => Ok(new),
            Created::Exists(old) if old.may_start_again() => {
                let again = Campaign { run: old.run.saturating_add(1), ..new };
                if !self.ledger.start_again(&old, &again).await? {
                    return Err(Failure::transient("LostRace", "another start of this campaign was faster"));
                }
                let (campaign_id, run) = (again.campaign_id.as_str(), again.run);
                tracing::info!(campaign = "started_again", campaign_id, run, "campaign");
                Ok(again)
            }
            Created::Exists(old) if old.fingerprint == new.fingerprint => Ok(old),
            Created::Exists(_) => Err(Failure::permanent(
                "CampaignChanged",
                "a campaign of this name was started with another template, another list, or another content of the list, and has not \
                 ended or has mailed somebody: a new one needs a new name",
            )),
        }
    }

    /// Works through the list from where the campaign is, until its end or that of the slice; returns after which time to go on.
    async fn work(&self, start: &Start, campaign: &Campaign, lines: &[Line], ends: Instant) -> Result<Option<Duration>, Failure> {
        let recipients: Vec<_> = recipients(lines).filter(|(number, _)| *number >= campaign.next_line).collect();
        if recipients.is_empty() {
            return Ok(None);
        }
        // Also the proof that SES can be reached, before anybody is claimed for it.
        let share = Share::of(self.sender.rate().await?);
        let mut slice = Slice { start, campaign, share, accepted: campaign.accepted };
        let mut suspects = 0;
        for chunk in recipients.chunks(share.at_once) {
            // What of the chunk is still to be mailed, the next part last: all of it, or halves of what SES refused as a whole.
            let mut parts = vec![chunk];
            while let Some(part) = parts.pop() {
                let due = self.pace.borrow().due(Instant::now());
                if due >= ends {
                    return Ok(Some(due.duration_since(Instant::now())));
                }
                sleep_until(due).await;
                let then = self.mail(&mut slice, part).await?;
                if !slice.accepted && matches!(then, Then::Halve | Then::Suspect(_)) {
                    // A slice that ended within this chunk has noted nowhere else that somebody was accepted.
                    let customers: Vec<_> = chunk.iter().map(|(_, recipient)| recipient.customer_id).collect();
                    slice.accepted = self.ledger.rows(campaign, &customers).await?.values().any(State::is_sent);
                }
                match then {
                    Then::On => {}
                    Then::Again(after) => return Ok(Some(after)),
                    Then::Halve => {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                    // Decided at the end of the list, if not by then: it was given back.
                    Then::Suspect(_) if slice.accepted => {}
                    Then::Suspect(failure) => {
                        suspects += 1;
                        if suspects >= SUSPECTS_MAX {
                            return Err(failure);
                        }
                    }
                    Then::Stop(failure) => return Err(failure),
                }
            }
            let last = chunk.last().map_or(campaign.next_line, |(number, _)| *number);
            self.ledger.advance(campaign, last + 1, slice.accepted).await?;
        }
        Ok(None)
    }

    /// Mails a chunk: those of it who are to be mailed, and have not been.
    async fn mail(&self, slice: &mut Slice<'_>, chunk: &[(u32, &Recipient)]) -> Result<Then, Failure> {
        let Slice { start, campaign, share, .. } = *slice;
        let chunk: Vec<_> = chunk.iter().map(|(_, recipient)| *recipient).collect();
        let known = self.recipients.look_up(&chunk).await?;
        let mut mails = HashMap::new();
        let mut wishes = Vec::with_capacity(chunk.len());
        let (now, claim) = (self.ambient.now(), self.ambient.random());
        for (recipient, known) in chunk.into_iter().zip(known) {
            let skip = skip(known);
            if skip.is_none() {
                let unsubscribe_url = self.unsubscribe.link(&recipient.customer_id).await?;
                let data = templates::data(&recipient.values.0, &unsubscribe_url);
                mails.insert(recipient.customer_id, BulkMail { to: recipient.to.clone(), data, unsubscribe_url });
            }
            wishes.push(Wish::new(recipient.customer_id, skip, now, claim));
        }

        let claims: Vec<_> = self.claim(campaign, wishes).await?.iter().filter_map(Wish::claimed).collect();
        if claims.is_empty() {
            return Ok(Then::On);
        }
        let mails: Vec<_> = claims.iter().filter_map(|(customer_id, _)| mails.remove(customer_id)).collect();
        self.pace.borrow_mut().spend(Instant::now(), mails.len(), share);
        let bulk = Bulk { campaign_id: &start.campaign_id, template: start.template, mails };
        let outcome = outcome(self.sender.send(&bulk).await, &claims, slice.accepted);
        slice.accepted |= outcome.marks.iter().any(|(_, state)| state.is_sent());
        log(start, claims.len(), &outcome.marks);
        self.settle(campaign, claim, outcome.marks).await?;
        Ok(outcome.then)
    }

    /// Claims whom nobody has claimed, and writes down who is skipped; returns what was written.
    async fn claim(&self, campaign: &Campaign, mut wishes: Vec<Wish>) -> Result<Vec<Wish>, Failure> {
        for retry in 0..TRIES_MAX {
            if wishes.is_empty() {
                return Ok(wishes);
            }
            let obstacles = match self.ledger.claim(campaign, &wishes).await? {
                Written::All => return Ok(wishes),
                Written::None(obstacles) => obstacles,
            };
            let contended = obstacles.contains(&Obstacle::Contention);
            wishes = narrow(wishes, obstacles);
            if contended {
                sleep(batch_get::jitter(TRY_WAIT, retry, &self.ambient)).await;
            }
        }
        Err(Failure::transient("TransactionConflict", format_args!("other transactions stood in the way {TRIES_MAX} times")))
    }

    /// Writes down what became of claims. Tried again after any failure: what SES said is known here alone, and a recipient
    /// who is not written down is in doubt for ever.
    async fn settle(&self, campaign: &Campaign, claim: u64, mut marks: Vec<(CustomerId, State)>) -> Result<(), Failure> {
        let mut failed = Failure::transient("TransactionConflict", format_args!("other transactions stood in the way {TRIES_MAX} times"));
        for retry in 0..TRIES_MAX {
            if marks.is_empty() {
                return Ok(());
            }
            match self.ledger.settle(campaign, claim, &marks).await {
                Ok(Written::All) => return Ok(()),
                Ok(Written::None(obstacles)) => marks = unsettled(marks, obstacles),
                Err(failure) => failed = failure,
            }
            sleep(batch_get::jitter(TRY_WAIT, retry, &self.ambient)).await;
        }
        Err(failed)
    }

    /// Writes the report, if every recipient's fate is final; otherwise returns after which time to check again.
    async fn finish(&self, start: &Start, campaign: &Campaign, lines: &[Line]) -> Result<Option<Duration>, Failure> {
        let recipients: Vec<_> = recipients(lines).map(|(_, recipient)| recipient.customer_id).collect();
        let mut rows = HashMap::with_capacity(recipients.len());
        for customers in recipients.chunks(ROWS_MAX) {
            rows.extend(self.ledger.rows(campaign, customers).await?);
        }
        match report::standing(lines, &rows, self.ambient.now())? {
            ReportState::Wait(after) => Ok(Some(after)),
            ReportState::Unfinished(line) => {
                let accepted = rows.values().any(State::is_sent);
                self.ledger.advance(campaign, line, accepted).await.map(|()| Some(AGAIN_AFTER))
            }
            ReportState::Over(report, counts) => {
                self.lists.write_report(&start.campaign_id, report).await?;
                let report::Counts { sent, failed, skipped, in_doubt, unusable } = counts;
                self.ledger.finish(campaign, self.ambient.now(), sent + in_doubt).await?;
                let (campaign_id, template) = (start.campaign_id.as_str(), start.template.name);
                tracing::info!(campaign = "finished", campaign_id, template, sent, failed, skipped, in_doubt, unusable, "campaign");
                Ok(None)
            }
        }
    }
}

/// A slice of a campaign that is being worked on.
struct Slice<'c> {
    start: &'c Start,
    campaign: &'c Campaign,
    share: Share,
    /// Whether SES has accepted a mail of the campaign.
    accepted: bool,
}

/// Whom a list names, each once, with the number of the line.
fn recipients(lines: &[Line]) -> impl Iterator<Item = (u32, &Recipient)> {
    lines.iter().filter_map(|line| match &line.entry {
        Entry::Recipient(recipient) => Some((line.number, recipient)),
        Entry::Duplicate | Entry::InvalidAddress | Entry::InvalidLine => None,
    })
}

/// One line per call to SES, which metric filters count by.
fn log(start: &Start, claimed: usize, marks: &[(CustomerId, State)]) {
    let count = |of: fn(&State) -> bool| marks.iter().filter(|(_, state)| of(state)).count();
    let sent = count(State::is_sent);
    let failed = count(|state| matches!(state, State::Failed { .. }));
    let released = count(|state| matches!(state, State::Released { .. }));
    let in_doubt = claimed - marks.len();
    let (campaign_id, template) = (start.campaign_id.as_str(), start.template.name);
    tracing::info!(campaign = "mailed", campaign_id, template, sent, failed, released, in_doubt, "campaign");
}

#[cfg(test)]
mod tests;
