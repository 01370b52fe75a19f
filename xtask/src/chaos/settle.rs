//! After the faults: reports parked messages and their causes, has the DLQ inspector redrive them, as an operator would
//! once the cause is fixed, and waits until no message is left. It repairs nothing: what the pipeline does not bring to an
//! end then stays open, for the verdict.

use anyhow::{Result, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use testkit::stack::{QueuedMessage, Stack};

/// How often the queues are looked at; a look is one call.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// A message that is parked again after this many redrives, with every cause fixed, is not going to pass.
const REDRIVES_MAX: usize = 3;
/// Between two redrives: what comes back by then was parked again, and did not just wait for its turn.
const BETWEEN_REDRIVES: Duration = Duration::from_secs(10);

/// A dead-letter queue's output ends so, and begins with the name of the stage whose queue it belongs to.
const DEAD_LETTER_QUEUE: &str = "DeadLetterQueue";
/// The output of a queue that nothing reads but people ends so: no waiting empties it.
const UNDELIVERED_QUEUE: &str = "UndeliveredQueue";

/// Parked messages: by queue and reason, how many.
pub type Parked = BTreeMap<(String, String), usize>;

/// Redrives and waits until no queue holds a message, hidden ones counted, until redriving does not help, or until `deadline`.
/// Returns what was sent back.
///
/// Sent back at once, not when all else is through: an order whose announcement lies in a dead-letter queue would be
/// brought to its end by order-deadline too, but only after the five minutes in which the topic drops the same announcement
/// as a duplicate.
pub async fn settle(stack: &Stack, deadline: Instant) -> Result<Parked> {
    let mut parked = Parked::new();
    let (mut redrives, mut not_before) = (0, Instant::now());
    while Instant::now() < deadline {
        let messages =
            stack.messages().await?.into_iter().filter(|(queue, messages)| !queue.ends_with(UNDELIVERED_QUEUE) && !messages.is_empty());
        let (dead, open): (Vec<_>, Vec<_>) = messages.partition(|(queue, _)| queue.ends_with(DEAD_LETTER_QUEUE));
        if open.is_empty() && (dead.is_empty() || redrives == REDRIVES_MAX) {
            break;
        }
        if !dead.is_empty() && Instant::now() >= not_before && redrives < REDRIVES_MAX {
            for (queue, messages) in dead {
                for message in &messages {
                    *parked.entry((queue.clone(), reason(message))).or_default() += 1;
                }
                let answer = stack.dlq(json!({"redrive": {"queue": queue, "reason": "the faults are over"}})).await?;
                ensure!(answer["changed"].is_object(), "{queue} was not redriven: {answer}");
            }
            (redrives, not_before) = (redrives + 1, Instant::now() + BETWEEN_REDRIVES);
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
    Ok(parked)
}

/// Why a message lies in a dead-letter queue.
pub fn reason(message: &QueuedMessage) -> String {
    match message.attributes.get("ErrorType") {
        Some(kind) => format!("{kind}: {}", message.attributes.get("ErrorMessage").map_or("", String::as_str)),
        None => "no ErrorType: moved by SQS itself, its receives used up".to_owned(),
    }
}
