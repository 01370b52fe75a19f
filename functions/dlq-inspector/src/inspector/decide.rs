//! What is to become of messages that `redrive` or `discard` was asked for.
//!
//! Pure: pages, facts and a time go in, fates come out, and [`change`](super::change) carries them out. A dry run is decided as the
//! real one is.

use super::{
    filter::Filter,
    message::{Facts, outbound},
    ports::{Outbound, ReceivedMessage},
    stack::{DeadLetterQueue, Source},
};
use crate::seen::Seen;
use domain::Timestamp;
use lambda_kit::batch::Attribute;
use serde_json::json;

/// What is done with what is selected.
pub(super) enum Act<'r> {
    Redrive { force: bool, to: Option<&'r str> },
    Discard { reason: &'r str, by: &'r str },
}

/// What is to be changed.
pub(super) struct Wanted<'r> {
    pub(super) act: Act<'r>,
    /// Which messages are meant.
    pub(super) filter: Filter,
    /// How many at most, of all invocations together.
    pub(super) max: u64,
}

/// Where a message goes.
pub(super) enum Task<'q> {
    Source(&'q Source, Outbound),
    Archive(String, Vec<u8>),
}

/// The action for a message.
pub(super) enum Fate<'q> {
    /// It goes.
    Goes(Task<'q>),
    /// It is not selected.
    Skipped,
    /// It came after this began: a message that is parked again at once would otherwise be redriven for ever.
    Newer,
    /// It may not go.
    Refused(String),
    /// One before it in its group did not go.
    HeldBack,
    /// As many have gone as were wanted.
    BeyondMax,
}

/// What is known before a page is decided.
pub(super) struct SoFar<'s> {
    /// How many have gone.
    pub(super) done: u64,
    /// When the first invocation began.
    pub(super) began_at: Timestamp,
    /// Groups of which a message did not go; those that are refused here come to them.
    pub(super) held: &'s mut Seen,
}

/// What is to become of each message of a page, in their order.
pub(super) fn decide<'q>(
    queue: &'q DeadLetterQueue,
    wanted: &Wanted<'_>,
    page: &[ReceivedMessage],
    facts: &[Facts],
    so_far: SoFar<'_>,
    now: Timestamp,
) -> Vec<Fate<'q>> {
    let SoFar { done, began_at, held } = so_far;
    let mut left = wanted.max.saturating_sub(done);
    let mut fates = Vec::with_capacity(page.len());
    for (received, facts) in page.iter().zip(facts) {
        let fate = if !wanted.filter.selects(facts) {
            Fate::Skipped
        } else if received.sent_at > began_at {
            Fate::Newer
        } else if received.group_id.as_ref().is_some_and(|group| held.contains(group)) {
            Fate::HeldBack
        } else if left == 0 {
            Fate::BeyondMax
        } else {
            match task(queue, &wanted.act, received, facts, now) {
                Ok(task) => {
                    left -= 1;
                    Fate::Goes(task)
                }
                Err(sentence) => {
                    if let Some(group) = &received.group_id {
                        held.insert(group);
                    }
                    Fate::Refused(sentence)
                }
            }
        };
        fates.push(fate);
    }
    fates
}

fn task<'q>(
    queue: &'q DeadLetterQueue,
    act: &Act<'_>,
    received: &ReceivedMessage,
    facts: &Facts,
    now: Timestamp,
) -> Result<Task<'q>, String> {
    match *act {
        Act::Redrive { force, to } => {
            let source = queue.source(received, facts, to)?;
            Ok(Task::Source(source, outbound(received, facts, source.is_fifo(), force)?))
        }
        Act::Discard { reason, by } => {
            let attribute = |(name, value): &(String, Attribute)| match value {
                Attribute::Text { data_type, value } => (name.clone(), json!({ "type": data_type, "value": value })),
                Attribute::Binary { data_type, value } => {
                    (name.clone(), json!({ "type": data_type, "base64": base64_simd::STANDARD.encode_to_string(value) }))
                }
            };
            let copy = json!({
                "queue": queue.queue_name(),
                "message_id": received.message_id,
                "group_id": received.group_id,
                "sent_at": received.sent_at,
                "attributes": received.attributes.iter().map(attribute).collect::<serde_json::Map<_, _>>(),
                "body": received.body,
                "cause": facts.cause,
                "discarded": { "at": now, "by": by, "reason": reason },
            });
            // An id of SQS's is a UUID; whatever else an engine hands out must not choose the key's folder.
            let id: String = received.message_id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
            Ok(Task::Archive(format!("discarded/{}/{id}.json", queue.name), copy.to_string().into_bytes()))
        }
    }
}

#[cfg(test)]
mod tests;
