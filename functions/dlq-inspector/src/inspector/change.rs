//! `redrive` and `discard`: message by message, the new place first. `decide` has chosen the action for each before.
//!
//! ```text
//!   redrive   send back ─▶ delete         discard   archive ─▶ delete
//! ```
//!
//! Between the two a message is in both places, never in none. In a FIFO queue a group's messages go one after the other, and
//! when one does not go, those behind it stay: an order's messages come back in order, or wait together. A dry run selects
//! as the real one does, and calls nothing that changes anything.

use super::{
    Inspector,
    audit::{self, Who},
    count,
    decide::{Act, Fate, SoFar, Task, Wanted, decide},
    filter::Filter,
    look::RECEIVES,
    move_task, pages_end,
    ports::{PAGE_MAX, Ports, ReceivedMessage},
    stack::{DeadLetterQueue, Source},
    stop::Stop,
    walk::{Walk, lease},
};
use crate::{
    answer::Changed,
    request::{Counts, Cursor, Discard, Redrive},
    seen::Seen,
};
use domain::Timestamp;
use futures_util::future::join_all;
use lambda_kit::{Failure, text::is_blank};
use pipeline::command::is_denied;
use std::{
    cell::{Cell, RefCell},
    time::Duration,
};
use tokio::time::{Instant, sleep_until};

/// The shortest lease of what is to be changed: a page at the slowest rate takes ten seconds, and [`LEASE_LEFT`] is kept.
const LEASE_MIN: Duration = Duration::from_secs(30);
/// How much of a lease must be left to begin with a message: its send and its delete.
const LEASE_LEFT: Duration = Duration::from_secs(15);
/// How many seconds' worth a page is at most, where a rate is given.
const PAGE_SECONDS: u32 = 10;
/// Most look-ups in logs of one invocation, where a selection goes by cause: each has to be known.
const LOOK_UPS_MAX: usize = 100;
/// How often a delete is tried whose message is in its new place.
const DELETES_MAX: u32 = 3;
/// How long one invocation waits for messages that somebody else has hidden.
const WAIT: Duration = Duration::from_secs(5);
/// Most sentences about messages that did not go.
const NOTES_MAX: usize = 10;

/// A request to change a queue.
struct Job<'r> {
    wanted: Wanted<'r>,
    pace: Pace,
    dry_run: bool,
    who: &'r Who<'r>,
    record: audit::Change<'r>,
}

/// One invocation's work, and what is known from those before it: what survives a failure half-way.
struct Run<'p, P> {
    walk: Walk<'p, P>,
    /// Groups of which a message did not go.
    held: Seen,
    counts: Counts,
    notes: Vec<String>,
    /// Whether something may have been changed: the audit record says so.
    begun: bool,
    /// When the first invocation began.
    began_at: Timestamp,
}

impl<P> Run<'_, P> {
    fn note(&mut self, sentence: String) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(sentence);
        }
    }
}

/// The outcome of a message that was to go.
enum Went {
    Done,
    /// A sentence, and what the call said.
    Failed(String, Failure),
    HeldBack,
    /// There was no time.
    NotBegun,
}

impl<P: Ports> Inspector<P> {
    pub(crate) async fn redrive(&self, redrive: &Redrive, who: &Who<'_>, last: Instant) -> Result<Changed, Stop> {
        let filter = Filter::parse(&redrive.conditions).map_err(|sentence| Stop::refused("InvalidCondition", sentence))?;
        if redrive.rate == Some(0) || redrive.max == Some(0) {
            return Err(Stop::refused("InvalidLimit", "--rate and --max must be at least 1."));
        }
        let layout = self.layout().await?;
        let queue = layout.find(&redrive.queue)?;
        if let Some(to) = redrive.to.as_deref().filter(|to| !queue.sources.iter().any(|source| source.name() == *to)) {
            let names: Vec<_> = queue.sources.iter().map(Source::name).collect();
            return Err(Stop::refused("UnknownSource", format!("{} sends nothing to `{to}`, but to {}.", queue.name, names.join(" or "))));
        }
        if redrive.cursor.as_ref().is_some_and(|cursor| cursor.by_task) {
            return Ok(self.follow_task(queue, redrive, who, last).await?);
        }
        if let Some(to_arn) = move_task::destination(queue, redrive).filter(|_| redrive.cursor.is_none())
            && let Some(changed) = self.start_task(queue, to_arn, redrive, who, last).await?
        {
            return Ok(changed);
        }
        let record = audit::Change::redrive("redrive", queue, redrive);
        let act = Act::Redrive { force: redrive.force, to: redrive.to.as_deref() };
        let (max, pace) = (redrive.max.unwrap_or(u64::MAX), Pace::new(redrive.rate));
        let job = Job { wanted: Wanted { act, filter, max }, pace, dry_run: redrive.dry_run, who, record };
        Ok(self.change(queue, job, redrive.cursor.clone().unwrap_or_default(), last).await?)
    }

    pub(crate) async fn discard(&self, discard: &Discard, who: &Who<'_>, last: Instant) -> Result<Changed, Stop> {
        let filter = Filter::parse(&discard.conditions).map_err(|sentence| Stop::refused("InvalidCondition", sentence))?;
        if filter.is_all() {
            return Err(Stop::refused("NoCondition", "discard takes a selection: say which messages with --where."));
        }
        let reason = discard.reason.trim();
        if is_blank(reason) {
            return Err(Stop::refused("NoReason", "discard takes a reason: say why with --reason."));
        }
        if discard.max == Some(0) {
            return Err(Stop::refused("InvalidLimit", "--max must be at least 1."));
        }
        let layout = self.layout().await?;
        let queue = layout.find(&discard.queue)?;
        let record = audit::Change {
            phase: "begun",
            command: "discard",
            queue: &queue.name,
            conditions: &discard.conditions,
            max: discard.max,
            force: false,
            reason,
            counts: Counts::default(),
        };
        let (act, max) = (Act::Discard { reason, by: who.by }, discard.max.unwrap_or(u64::MAX));
        let wanted = Wanted { act, filter, max };
        let job = Job { wanted, pace: Pace::new(None), dry_run: discard.dry_run, who, record };
        Ok(self.change(queue, job, discard.cursor.clone().unwrap_or_default(), last).await?)
    }

    async fn change(&self, queue: &DeadLetterQueue, mut job: Job<'_>, cursor: Cursor, last: Instant) -> Result<Changed, Failure> {
        let Cursor { seen, held, counts, began_at, waits, .. } = cursor;
        let lease = lease(queue.depth()).max(LEASE_MIN);
        // What is gone is no longer counted by the queue.
        let known = queue.depth() + if job.dry_run { 0 } else { counts.done };
        let began_at = began_at.unwrap_or_else(|| self.ports.now());
        let walk = Walk::new(&self.ports, queue, lease, seen);
        let mut run = Run { walk, held, counts, notes: Vec::new(), begun: false, began_at };
        let outcome = self.change_all(queue, &job, &mut run, last).await;
        // What is held when the invocation only pauses stays hidden: the next one reads on behind it.
        let released = if matches!(outcome, Ok(false)) { Ok(()) } else { run.walk.end().await };
        if run.begun {
            (job.record.phase, job.record.counts) = ("ended", run.counts);
            self.audit(job.who, &job.record).await?;
        }
        let is_over = outcome?;
        if let Err(failure) = released {
            // They come back by themselves, when their lease ends.
            tracing::warn!(error_type = failure.error_type, error = failure.chain(), "messages were not made visible at once");
        }
        let unread = if is_over && run.counts.done < job.wanted.max { known.saturating_sub(run.counts.read) } else { 0 };
        let waits_on = unread > 0 && waits < waits_max(lease) && self.waits(queue, &job, last).await?;
        let Run { walk, held, counts, mut notes, .. } = run;
        if unread > 0 {
            let then = if waits_on { "They are waited for." } else { "Ask again in a minute." };
            notes.push(format!("About {unread} are hidden: another reader has them, or they are behind others of their group. {then}"));
        }
        let (began_at, waits) = (Some(began_at), waits + u64::from(waits_on));
        let cursor = (!is_over || waits_on).then(|| Cursor { seen: walk.seen, held, counts, began_at, waits, ..Cursor::default() });
        Ok(Changed { queue: queue.name.clone(), dry_run: job.dry_run, counts, depth: known, unread, notes, cursor })
    }

    /// Whether what is hidden is worth waiting for; if so, a moment has passed. Only where all is meant: a selection would read
    /// everything again that it has left.
    async fn waits(&self, queue: &DeadLetterQueue, job: &Job<'_>, last: Instant) -> Result<bool, Failure> {
        if job.dry_run || !job.wanted.filter.is_all() || self.ports.facts(&queue.url).await?.in_flight == 0 {
            return Ok(false);
        }
        sleep_until((Instant::now() + WAIT).min(last)).await;
        Ok(true)
    }

    /// Page by page, one at least, to the end or for a while, but not beyond `last`; whether it is over.
    async fn change_all(&self, queue: &DeadLetterQueue, job: &Job<'_>, run: &mut Run<'_, P>, last: Instant) -> Result<bool, Failure> {
        let mut look_ups = if job.wanted.filter.asks_cause() { LOOK_UPS_MAX } else { 0 };
        let ends = pages_end(last);
        while run.counts.done < job.wanted.max {
            let until = (Instant::now() + run.walk.lease).checked_sub(LEASE_LEFT).unwrap_or(last).min(last);
            let receives = if job.dry_run { RECEIVES } else { 1 };
            let Some(page) = run.walk.page(job.pace.page(), receives).await? else { return Ok(true) };
            let (facts, _) = self.facts(queue, &page, &mut look_ups, job.wanted.filter.asks_cause()).await?;
            run.counts.read += count(page.len());

            let so_far = SoFar { done: run.counts.done, began_at: run.began_at, held: &mut run.held };
            let fates = decide(queue, &job.wanted, &page, &facts, so_far, self.ports.now());
            let goes = |fate: &Fate<'_>| matches!(fate, Fate::Goes(_));
            if !job.dry_run && !run.begun && fates.iter().any(goes) {
                self.audit(job.who, &job.record).await?;
                run.begun = true;
            }
            let went = self.carry_out(queue, job, &page, &fates, until).await;
            let (mut again, mut denied) = (Vec::new(), None);
            for ((received, fate), went) in page.iter().zip(fates).zip(went) {
                match (fate, went) {
                    (Fate::Skipped, _) => run.counts.skipped += 1,
                    (Fate::Newer, _) => run.counts.newer += 1,
                    (Fate::HeldBack, _) | (_, Some(Went::HeldBack)) => run.counts.held_back += 1,
                    (Fate::Refused(sentence), _) => {
                        run.counts.refused += 1;
                        run.note(sentence);
                    }
                    (Fate::Goes(_), Some(Went::Done)) => {
                        run.counts.done += 1;
                        if !job.dry_run {
                            run.walk.gone(&received.message_id);
                        }
                    }
                    (Fate::Goes(_), Some(Went::Failed(sentence, failure))) => {
                        // Nobody who comes after it fares better.
                        denied = denied.or(is_denied(&failure).then_some(failure));
                        run.counts.failed += 1;
                        if let Some(group) = &received.group_id {
                            run.held.insert(group);
                        }
                        run.note(sentence);
                    }
                    (Fate::BeyondMax, _) | (Fate::Goes(_), Some(Went::NotBegun) | None) => {
                        run.counts.read -= 1;
                        run.walk.forget(&received.message_id);
                        again.push(received.message_id.clone());
                    }
                }
            }
            run.walk.release(&again).await?;
            if let Some(denied) = denied {
                return Err(denied);
            }
            if Instant::now() >= ends || job.wanted.filter.asks_cause() && look_ups == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Does what was decided: concurrently, one after the other within a group. One answer for each message, in their order.
    async fn carry_out(
        &self,
        queue: &DeadLetterQueue,
        job: &Job<'_>,
        page: &[ReceivedMessage],
        fates: &[Fate<'_>],
        until: Instant,
    ) -> Vec<Option<Went>> {
        let cells: Vec<_> = page.iter().map(|_| RefCell::new(None)).collect();
        let mut lanes: Vec<Vec<usize>> = Vec::new();
        for (at, received) in page.iter().enumerate().filter(|(at, _)| matches!(fates[*at], Fate::Goes(_))) {
            let same = |lane: &&mut Vec<usize>| received.group_id.is_some() && page[lane[0]].group_id == received.group_id;
            match lanes.iter_mut().find(same) {
                Some(lane) => lane.push(at),
                None => lanes.push(vec![at]),
            }
        }
        let cells_of = &cells;
        let lanes = lanes.iter().map(|lane| async move {
            let mut stopped = None;
            for &at in lane {
                let Fate::Goes(task) = &fates[at] else { continue };
                let outcome = match stopped {
                    Some(false) => Went::NotBegun,
                    Some(true) => Went::HeldBack,
                    None if job.dry_run => Went::Done,
                    None if !job.pace.wait(until).await => Went::NotBegun,
                    None => self.carry_out_one(queue, &page[at], task).await,
                };
                match outcome {
                    Went::NotBegun => stopped = Some(false),
                    Went::Failed(..) => stopped = Some(true),
                    Went::Done | Went::HeldBack => {}
                }
                cells_of[at].replace(Some(outcome));
            }
        });
        join_all(lanes).await;
        cells.into_iter().map(RefCell::into_inner).collect()
    }

    /// The new place, then the old one.
    async fn carry_out_one(&self, queue: &DeadLetterQueue, received: &ReceivedMessage, task: &Task<'_>) -> Went {
        let sent = match task {
            Task::Source(Source::Queue { url, .. }, message) => self.ports.send(url, message).await,
            Task::Source(Source::Topic { arn, .. }, message) => self.ports.publish(arn, message).await,
            Task::Archive(key, copy) => self.ports.put(key, copy.clone()).await,
        };
        let id = &received.message_id;
        if let Err(failure) = sent {
            return Went::Failed(format!("{id} stays where it is: {failure}."), failure);
        }
        let mut tries = 1;
        loop {
            match self.ports.delete(&queue.url, &received.receipt).await {
                Ok(()) => return Went::Done,
                Err(failure) if tries == DELETES_MAX => {
                    return Went::Failed(format!("{id} is in its new place and in the dead-letter queue: {failure}."), failure);
                }
                Err(_) => tries += 1,
            }
        }
    }
}

/// How often hidden messages are waited for: a little longer than a lease that an inspector took which died, or goes on.
fn waits_max(lease: Duration) -> u64 {
    lease.as_secs() / WAIT.as_secs() + 2
}

/// When the next message may go.
struct Pace {
    rate: Option<u32>,
    next: Cell<Option<Instant>>,
}

impl Pace {
    fn new(rate: Option<u32>) -> Self {
        Self { rate, next: Cell::new(None) }
    }

    /// How many messages a page has: no more than go while they are hidden.
    fn page(&self) -> usize {
        self.rate.map_or(PAGE_MAX, |rate| usize::try_from(rate.saturating_mul(PAGE_SECONDS)).unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX))
    }

    /// Waits for the next one's time, but not beyond `until`; whether it came.
    async fn wait(&self, until: Instant) -> bool {
        let now = Instant::now();
        let due = self.next.get().map_or(now, |next| next.max(now));
        if due >= until {
            // Not at once: callers that ask again would ask at the same time, for ever.
            sleep_until(until).await;
            return false;
        }
        if let Some(rate) = self.rate {
            self.next.set(Some(due + Duration::from_secs(1) / rate.max(1)));
            sleep_until(due).await;
        }
        true
    }
}
