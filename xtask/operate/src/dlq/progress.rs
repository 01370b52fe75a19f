//! What is said while the inspector works, on standard error: how far it is, what it noted, and, if it ends early, what was done.
//! On a terminal one line that is rewritten; in a pipe or in CI plain lines at intervals.

use anyhow::Result;
use command_line::screen::{USUAL_WIDTH, width};
use console::progress::{self, PIPE_TICK, TERMINAL_TICK, under_way};
use dlq_inspector::answer::Answer;
use dlq_inspector::request::{Command, Counts};
use std::collections::HashSet;
use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;
use tokio::time::Interval;

/// A question on its way.
pub struct Progress {
    title: String,
    is_change: bool,
    is_dry_run: bool,
    started: Instant,
    ticks: Interval,
    on_terminal: bool,
    answers: u32,
    so_far: Option<SoFar>,
    said: HashSet<String>,
}

/// What the answers so far have told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SoFar {
    counts: Counts,
    depth: u64,
    /// How long what was read may stay hidden, where that is known.
    lease_seconds: Option<u64>,
}

impl Progress {
    pub fn new(command: &Command) -> Self {
        let (title, is_change, is_dry_run) = match command {
            Command::List(_) => ("list".to_owned(), false, false),
            Command::Digest(_) => ("digest".to_owned(), false, false),
            Command::Peek(peek) => (format!("peek {}", peek.queue), false, false),
            Command::Explain(explain) => (format!("explain {}", explain.queue), false, false),
            Command::Redrive(redrive) => (format!("redrive {}", redrive.queue), true, redrive.dry_run),
            Command::Discard(discard) => (format!("discard {}", discard.queue), true, discard.dry_run),
        };
        let on_terminal = std::io::stderr().is_terminal();
        let tick = if on_terminal { TERMINAL_TICK } else { PIPE_TICK };
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + tick, tick);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        Self { title, is_change, is_dry_run, started: Instant::now(), ticks, on_terminal, answers: 0, so_far: None, said: HashSet::new() }
    }

    /// Awaits `work`, and prints its progress.
    pub async fn show_while<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => {
                    self.clear();
                    return result;
                }
                _ = self.ticks.tick() => self.show(),
            }
        }
    }

    fn show(&self) {
        let took = progress::shown(self.started.elapsed());
        match width(&std::io::stderr()) {
            Some(width) => {
                eprint!("\r\x1b[2K{}", under_way(&self.title, &took, &self.remark(), width));
                // It is a line of progress: where it cannot be shown, nothing is lost.
                drop(std::io::stderr().flush());
            }
            None => eprintln!("{}", under_way(&self.title, &took, &self.remark(), USUAL_WIDTH)),
        }
    }

    fn remark(&self) -> String {
        self.so_far.map(|SoFar { counts, depth, .. }| format!("{} of {depth} read", counts.read)).unwrap_or_default()
    }

    /// Removes the unfinished line.
    pub fn clear(&self) {
        if self.on_terminal {
            eprint!("\r\x1b[2K");
        }
    }

    /// Takes in an answer, and says what it notes, unless that was said before.
    pub fn learn(&mut self, answer: &Answer) {
        self.answers += 1;
        match answer {
            Answer::Explain(explained) => {
                let counts = Counts { read: explained.read, ..Counts::default() };
                self.so_far = Some(SoFar { counts, depth: explained.depth, lease_seconds: Some(explained.lease_seconds) });
            }
            Answer::Changed(changed) => {
                self.so_far = Some(SoFar { counts: changed.counts, depth: changed.depth, lease_seconds: None });
                for note in &changed.notes {
                    self.note(note);
                }
            }
            // Nothing that goes on.
            Answer::List(_) | Answer::Peek(_) | Answer::Digest(_) | Answer::Refused(_) | Answer::Failed(_) => {}
        }
    }

    fn note(&mut self, note: &str) {
        if self.said.insert(note.to_owned()) {
            eprintln!("note: {note}");
        }
    }

    /// Says what the last answer leaves to be said.
    pub fn over(&mut self) {
        if let Some(note) = self.still_hidden() {
            self.note(&note);
        }
    }

    /// An invocation that is not the last leaves hidden what it has read: a redrive now misses that.
    fn still_hidden(&self) -> Option<String> {
        let SoFar { counts, lease_seconds, .. } = self.so_far.filter(|_| self.answers > 1)?;
        if self.is_change && !self.is_dry_run && counts.done == counts.read {
            return None;
        }
        let when = lease_seconds.map_or_else(|| "within minutes".to_owned(), |seconds| format!("within {seconds} s"));
        Some(format!("It took {} invocations: what the first ones read and left there is visible again {when}.", self.answers))
    }

    /// What was done by the invocations that have answered; [`None`] where none has.
    fn done(&self) -> Option<String> {
        let SoFar { counts, depth, .. } = self.so_far?;
        let mut done = format!("{} of {depth} read", counts.read);
        if self.is_change {
            let went = if self.is_dry_run { "would have gone" } else { "went" };
            let others = [(counts.done, went), (counts.refused, "refused"), (counts.held_back, "held back"), (counts.failed, "failed")];
            for (count, what) in others.into_iter().filter(|(count, what)| *count > 0 || *what == went) {
                done.push_str(&format!(", {count} {what}"));
            }
        }
        Some(done)
    }

    /// What Ctrl-C means at this point.
    pub fn if_interrupted(&self) -> String {
        let done = self.done().map(|done| format!(" Answered so far: {done}.")).unwrap_or_default();
        if self.is_change && !self.is_dry_run {
            format!(
                "nothing is lost.{done} The invocation under way ends by itself within a minute and records what it did; the same \
                 command goes on with what is left."
            )
        } else {
            let lease = self.so_far.and_then(|so_far| so_far.lease_seconds);
            let visible = lease.map(|seconds| format!(" within {seconds} s")).unwrap_or_default();
            format!("nothing was changed.{done} What is being read is visible again{visible} by itself.")
        }
    }

    /// An error after something was done says what that was.
    pub fn with_what_was_done(&self, error: anyhow::Error) -> anyhow::Error {
        match self.done().filter(|_| !error.is::<console::interruption::Interrupted>()) {
            Some(done) => error.context(format!("answered so far: {done}; then")),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dlq_inspector::answer::Changed;
    use dlq_inspector::request::Redrive;

    fn after(dry_run: bool, counts: Counts) -> Progress {
        let redrive = Redrive { queue: "payment".into(), dry_run, ..Redrive::default() };
        let mut progress = Progress::new(&Command::Redrive(redrive));
        progress.learn(&Answer::Changed(Changed {
            queue: "payment".into(),
            dry_run,
            counts,
            depth: 500,
            unread: 0,
            notes: vec!["m-1 came back 3 times.".into(), "m-1 came back 3 times.".into()],
            cursor: None,
        }));
        progress
    }

    #[tokio::test]
    async fn progress_is_what_was_read_of_all() {
        let progress = after(false, Counts { read: 120, done: 118, refused: 2, ..Counts::default() });
        assert_eq!((progress.title.as_str(), progress.remark().as_str()), ("redrive payment", "120 of 500 read"));
        assert_eq!(Progress::new(&Command::List(Default::default())).remark(), "");
        assert_eq!(progress.said.len(), 1, "a note is said once");
    }

    #[tokio::test]
    async fn an_interrupted_command_says_what_was_done() {
        let counts = Counts { read: 120, done: 118, refused: 2, ..Counts::default() };
        let sentence = after(false, counts).if_interrupted();
        assert!(
            sentence.starts_with("nothing is lost. Answered so far: 120 of 500 read, 118 went, 2 refused. The invocation"),
            "{sentence}"
        );
        let sentence = after(true, counts).if_interrupted();
        assert!(sentence.starts_with("nothing was changed. Answered so far: 120 of 500 read, 118 would have gone"), "{sentence}");
        let sentence = Progress::new(&Command::List(Default::default())).if_interrupted();
        assert_eq!(sentence, "nothing was changed. What is being read is visible again by itself.");
    }

    #[tokio::test]
    async fn after_several_invocations_it_is_said_that_messages_are_still_hidden() {
        let again = |dry_run, counts| {
            let mut progress = after(dry_run, counts);
            progress.answers += 1;
            progress.still_hidden()
        };
        let all = Counts { read: 20, done: 20, ..Counts::default() };
        let some = Counts { read: 20, done: 18, skipped: 2, ..Counts::default() };
        assert_eq!(after(true, some).still_hidden(), None, "a single one leaves nothing hidden");
        assert_eq!(again(false, all), None);
        assert!(again(true, all).is_some() && again(false, some).unwrap().starts_with("It took 2 invocations"));
    }

    #[tokio::test]
    async fn an_error_half_way_says_how_far_it_came() {
        let progress = after(false, Counts { read: 20, done: 20, ..Counts::default() });
        let error = progress.with_what_was_done(anyhow::anyhow!("the engine is gone"));
        assert_eq!(format!("{error:#}"), "answered so far: 20 of 500 read, 20 went; then: the engine is gone");
        let first = Progress::new(&Command::List(Default::default())).with_what_was_done(anyhow::anyhow!("the engine is gone"));
        assert_eq!(format!("{first:#}"), "the engine is gone");
    }
}
