//! `redrive` of a whole deep queue: by SQS's own task, which moves hundreds a second and needs nobody to wait for it.
//!
//! A task knows no selection, counts no redrives, refuses nobody and leaves a parked message's reasons on it. So it is for
//! what message by message takes minutes ([`FROM`]), of a Standard queue with one source queue; what SQS put where SNS
//! could not deliver it does not serve. It does not run beside another one: a second request while one runs returns its
//! progress.

use super::{
    Inspector,
    audit::{Change, Who},
    pages_end,
    ports::{MoveTask, Ports},
    stack::{DeadLetterQueue, Source},
};
use crate::{
    answer::Changed,
    request::{Counts, Cursor, Redrive},
};
use lambda_kit::Failure;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// From how many messages on a whole queue goes by a task. Message by message this many take a minute or two, are counted,
/// and those that came back too often are refused: worth more than the minute.
pub const FROM: u64 = 1_000;
/// The fastest that SQS lets a task be, in messages a second.
pub const RATE_MAX: u32 = 500;
/// Its name in audit records.
const BY_TASK: &str = "redrive by task";
/// Between two looks at a task.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// Where a task would bring the messages of a queue, if one may be asked for this.
pub(crate) fn destination<'q>(queue: &'q DeadLetterQueue, redrive: &Redrive) -> Option<&'q str> {
    let whole = redrive.conditions.is_empty() && redrive.max.is_none() && !redrive.dry_run;
    match queue.sources.as_slice() {
        [Source::Queue { arn, .. }] if whole && !queue.is_fifo() && queue.facts.visible >= FROM => Some(arn),
        _ => None,
    }
}

impl<P: Ports> Inspector<P> {
    /// Starts a task and follows it for a while; [`None`] where the service has none.
    pub(crate) async fn start_task(
        &self,
        queue: &DeadLetterQueue,
        to_arn: &str,
        redrive: &Redrive,
        who: &Who<'_>,
        last: Instant,
    ) -> Result<Option<Changed>, Failure> {
        let Some(before) = self.ports.last_move(&queue.facts.arn).await? else { return Ok(None) };
        let note = if before.is_some_and(|task| !task.over) {
            "A move task was running already: this is how far it is."
        } else {
            self.audit(who, &Change::redrive(BY_TASK, queue, redrive)).await?;
            self.ports.start_move(&queue.facts.arn, to_arn, redrive.rate.map(|rate| rate.min(RATE_MAX))).await?;
            "SQS moves the whole queue by a task of its own, which counts no redrives and goes on without anybody waiting."
        };
        let mut changed = self.follow_task(queue, redrive, who, last).await?;
        changed.notes.insert(0, note.to_owned());
        Ok(Some(changed))
    }

    /// Follows the last task out of a queue until it is over, or for a while.
    pub(crate) async fn follow_task(
        &self,
        queue: &DeadLetterQueue,
        redrive: &Redrive,
        who: &Who<'_>,
        last: Instant,
    ) -> Result<Changed, Failure> {
        let ends = pages_end(last);
        let task = loop {
            let known = self.ports.last_move(&queue.facts.arn).await?.flatten();
            // A task that is not told of any more ended long ago.
            let task = known.unwrap_or(MoveTask { over: true, ..MoveTask::default() });
            let again = Instant::now() + POLL_EVERY;
            if task.over || again >= ends {
                break task;
            }
            sleep_until(again).await;
        };
        let counts = Counts { read: task.moved, done: task.moved, ..Counts::default() };
        let failed = |why: String| format!("The task stopped early ({why}); what it did not move is where it was.");
        let mut notes: Vec<_> = task.failure.map(failed).into_iter().collect();
        let mut unread = 0;
        if task.over {
            self.audit(who, &Change { phase: "ended", counts, ..Change::redrive(BY_TASK, queue, redrive) }).await?;
            // It takes what is to be had.
            unread = self.ports.facts(&queue.url).await?.in_flight;
            if unread > 0 {
                notes.push(format!("About {unread} are hidden: another reader has them. Ask again in a minute."));
            }
        }
        Ok(Changed {
            queue: queue.name.clone(),
            dry_run: false,
            counts,
            depth: task.to_move.max(task.moved),
            unread,
            notes,
            cursor: (!task.over).then(|| Cursor { counts, by_task: true, ..Cursor::default() }),
        })
    }
}
