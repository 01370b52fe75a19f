//! The function itself: one answer for one document.

pub mod audit;
pub mod aws;
pub mod change;
mod decide;
pub mod digest;
pub mod explain;
pub mod filter;
pub mod look;
pub mod mask;
pub mod message;
pub mod move_task;
pub mod ports;
pub mod stack;
pub mod stop;
pub mod walk;

use crate::{
    answer::Answer,
    request::{Command, Request},
};
use audit::Who;
use domain::command::{Power, Refusal};
use lambda_kit::Failure;
use pipeline::command::sentence;
use ports::Ports;
use std::time::Duration;
use stop::Stop;
use tokio::time::Instant;

/// The function's name: its folder and its package.
pub const NAME: &str = "dlq-inspector";
/// How long an invocation begins new pages, but for the first, which it always does. What is left then is done by the next, so
/// that the command can show progress.
pub const WORK_FOR: Duration = Duration::from_secs(5);
/// How long before the invocation's deadline it stops at the latest: a page of sends and deletes, releases and a record.
pub const DEADLINE_MARGIN: Duration = Duration::from_secs(10);

/// The function.
#[derive(Debug)]
pub struct Inspector<P> {
    /// Its data.
    pub ports: P,
    /// The stack's name, for the digest.
    pub stack_name: String,
}

impl<P: Ports> Inspector<P> {
    /// Answers an invocation's document, as far as the caller's `power` reaches.
    ///
    /// # Errors
    /// Where the document cannot be read by a program of ours, or the digest failed: Lambda counts it, and an alarm says so.
    /// Everything else is an answer.
    pub async fn handle(&self, document: serde_json::Value, request_id: &str, power: Power, deadline: Instant) -> Result<Answer, Failure> {
        let request: Request = match serde_json::from_value(document) {
            Ok(request) => request,
            Err(error) => return Ok(Answer::Refused(Refusal::new("InvalidRequest", format!("The request: {error}.")))),
        };
        if let Some(refusal) = power.refuses(request.command.needs()) {
            return Ok(Answer::Refused(refusal));
        }
        let last = deadline.checked_sub(DEADLINE_MARGIN).unwrap_or(deadline);
        let who = Who { by: &request.by, request_id };
        let answer = match &request.command {
            Command::List(_) => self.list().await.map(Answer::List),
            Command::Peek(peek) => self.peek(peek, &who).await.map(Answer::Peek),
            Command::Explain(explain) => self.explain(explain, last).await.map(Answer::Explain),
            Command::Redrive(redrive) => self.redrive(redrive, &who, last).await.map(Answer::Changed),
            Command::Discard(discard) => self.discard(discard, &who, last).await.map(Answer::Changed),
            Command::Digest(_) => return self.digest(last).await.map(Answer::Digest),
        };
        Ok(answer.unwrap_or_else(|stop| match stop {
            Stop::Refused(refusal) => Answer::Refused(refusal),
            Stop::Failed(failure) => {
                tracing::error!(error_type = failure.error_type, error = failure.chain(), request_id, "the command failed");
                Answer::Failed(Refusal::new(&failure.error_type, sentence("inspector", &failure)))
            }
        }))
    }
}

/// When an invocation that begins its work now begins no further page; `last` is the latest.
fn pages_end(last: Instant) -> Instant {
    (Instant::now() + WORK_FOR).min(last)
}

/// How many, as answers say it.
fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
