//! A message's own facts: its type, the cause, and the parts that go back.
//!
//! Pure. Anyone who may send to a queue could have written what is read here, so everything that is shown has a form or is
//! masked.

use super::{
    mask,
    ports::{Logged, Outbound, ReceivedMessage},
};
use domain::Timestamp;
use lambda_kit::{
    batch::{ATTRIBUTES_MAX, Attribute},
    trace,
};
use serde_json::Value;

/// The attribute that counts how often a message was redriven.
pub const REDRIVE_COUNT: &str = "RedriveCount";
/// How often a message is redriven without `--force`. A fourth redrive means that the cause is not fixed.
pub const REDRIVES_MAX: u32 = 3;
/// The cause of a message that was received too often and whose error is not in the log.
pub const EXHAUSTED: &str = "Exhausted";
/// The cause of a message that SNS could not deliver.
pub const UNDELIVERED: &str = "Undelivered";
/// The attributes that parking adds and redriving removes. `traceparent` stays in the body, where it came from.
const PARKING: [&str; 6] = ["ErrorType", "ErrorMessage", "SourceQueue", "OriginalMessageId", "FailedAt", "traceparent"];

/// The known facts about a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// SQS's id.
    pub message_id: String,
    /// The id it had before it was parked.
    pub original_id: Option<String>,
    /// The event's type; `-` where it has none.
    pub event_type: String,
    /// The subject, if it is an id.
    pub subject: String,
    /// Its trace.
    pub trace_id: Option<String>,
    /// Why it lies here, to group by.
    pub cause: String,
    /// The same in a sentence.
    pub detail: String,
    /// How often it was redriven.
    pub redrives: u32,
    /// Whether a consumer parked it.
    pub parked: bool,
    /// When it last failed, where known.
    pub failed_at: Option<Timestamp>,
    /// Name of the queue that it was parked from.
    pub source_queue: Option<String>,
}

impl Facts {
    /// Reads a message of a queue that is, or is not, where SNS puts what it cannot deliver.
    pub fn of(received: &ReceivedMessage, undelivered: bool) -> Self {
        let text = |name: &str| received.attributes.iter().find_map(|(of, value)| text_of(value).filter(|_| of == name));
        // SQS moved it: reasons of an earlier parking, which a redrive by other means leaves on it, are not why it is here now.
        let parked = received.moved_from.is_none() && text("ErrorType").is_some();
        let own = |name: &str| text(name).filter(|_| parked);
        let body: Value = serde_json::from_str(&received.body).unwrap_or_default();
        let field = |name: &str| body.get(name).and_then(Value::as_str);
        let event_type = field("type").or_else(|| text("type")).map_or("-", |text| if mask::is_type(text) { text } else { mask::MASK });
        let (cause, detail) = match (own("ErrorType"), undelivered) {
            (Some(cause), _) => (name(cause), own("ErrorMessage").map(mask::sentence).unwrap_or_default()),
            (None, true) => (UNDELIVERED.to_owned(), "SNS could not deliver it: see the queue's policy and the key's.".to_owned()),
            (None, false) => (EXHAUSTED.to_owned(), "It was received too often; its last error was not looked up.".to_owned()),
        };
        Self {
            message_id: received.message_id.clone(),
            original_id: own("OriginalMessageId").map(str::to_owned),
            event_type: event_type.to_owned(),
            subject: field("subject").map_or("-", mask::word).to_owned(),
            trace_id: field("traceparent").or_else(|| text("traceparent")).and_then(trace::trace_id).map(str::to_owned),
            cause,
            detail,
            redrives: text(REDRIVE_COUNT).and_then(|count| count.parse().ok()).unwrap_or(0),
            parked,
            failed_at: own("FailedAt").and_then(|at| at.parse().ok()),
            source_queue: own("SourceQueue").map(str::to_owned),
        }
    }

    /// Whether its error stands in the consumer's log alone.
    pub fn asks_log(&self) -> bool {
        self.cause == EXHAUSTED && !self.parked
    }

    /// Takes over what the log says of it.
    pub fn learn(&mut self, logged: Option<&Logged>) {
        match logged {
            Some(Logged { error_type, error, at }) => {
                (self.cause, self.detail, self.failed_at) = (name(error_type), mask::sentence(error), Some(*at));
            }
            None => self.detail = "It was received too often, and its consumer's log has no error of it.".to_owned(),
        }
    }
}

/// An error's name as one: it ends in tables and in conditions.
fn name(text: &str) -> String {
    let plain = !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if plain { text.to_owned() } else { mask::MASK.to_owned() }
}

fn text_of(attribute: &Attribute) -> Option<&str> {
    match attribute {
        Attribute::Text { value, .. } => Some(value),
        Attribute::Binary { .. } => None,
    }
}

/// The message as it goes back to its source.
///
/// # Errors
/// A sentence, where it may not go without `force`.
pub fn outbound(received: &ReceivedMessage, facts: &Facts, fifo: bool, force: bool) -> Result<Outbound, String> {
    if facts.redrives >= REDRIVES_MAX && !force {
        return Err(format!("{} came back {} times; fix its cause, or send it with --force.", facts.message_id, facts.redrives));
    }
    let stays = |name: &String| name != REDRIVE_COUNT && !(facts.parked && PARKING.contains(&name.as_str()));
    let mut attributes: Vec<_> = received.attributes.iter().filter(|(name, _)| stays(name)).cloned().collect();
    if attributes.len() < ATTRIBUTES_MAX {
        let value = facts.redrives.saturating_add(1).to_string();
        attributes.push((REDRIVE_COUNT.to_owned(), Attribute::Text { data_type: "Number".to_owned(), value }));
    } else if !force {
        return Err(format!("{} has no room for another attribute to count by; send it with --force.", facts.message_id));
    }
    let group_id = received.group_id.clone().filter(|_| fifo);
    let deduplication_id = fifo.then(|| received.message_id.clone());
    Ok(Outbound { body: received.body.clone(), attributes, group_id, deduplication_id })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn text(name: &str, value: &str) -> (String, Attribute) {
        (name.to_owned(), Attribute::Text { data_type: "String".into(), value: value.into() })
    }

    fn parked() -> ReceivedMessage {
        let attributes = [
            ("ErrorType", "CardDeclined"),
            ("ErrorMessage", "the bank wrote to ada@example.com"),
            ("SourceQueue", "stack-payment"),
            ("OriginalMessageId", "o-1"),
            ("FailedAt", "2026-05-04T10:11:12Z"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"),
            ("type", "order.placed.v1"),
        ];
        ReceivedMessage {
            message_id: "m-1".into(),
            receipt: "r".into(),
            body: r#"{"type":"order.placed.v1","subject":"0e8f9a6c-36ac-5a52-8d4e-0a9f2b4b6f01"}"#.into(),
            attributes: attributes.map(|(name, value)| text(name, value)).into(),
            group_id: Some("g".into()),
            receives: 1,
            sent_at: Timestamp::UNIX_EPOCH,
            moved_from: None,
        }
    }

    #[test]
    fn a_parked_message_says_why_and_goes_back_as_it_came() {
        let received = parked();
        let facts = Facts::of(&received, false);
        assert_eq!((facts.cause.as_str(), facts.detail.as_str()), ("CardDeclined", "the bank wrote to ***"));
        assert_eq!((facts.event_type.as_str(), facts.original_id.as_deref()), ("order.placed.v1", Some("o-1")));
        assert_eq!(facts.trace_id.as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
        let source = outbound(&received, &facts, true, false).unwrap();
        let names: Vec<_> = source.attributes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["type", REDRIVE_COUNT]);
        assert_eq!((source.group_id.as_deref(), source.deduplication_id.as_deref()), (Some("g"), Some("m-1")));
        assert_eq!(outbound(&received, &facts, false, false).unwrap().deduplication_id, None);
    }

    #[test]
    fn reasons_of_an_earlier_parking_do_not_explain_what_sqs_moved() {
        let received = ReceivedMessage { moved_from: Some("arn:aws:sqs:us-east-1:1:stack-payment".into()), ..parked() };
        let mut facts = Facts::of(&received, false);
        assert!(facts.asks_log() && !facts.parked && facts.cause == EXHAUSTED);
        let at = Timestamp::UNIX_EPOCH;
        facts.learn(Some(&Logged { error_type: "Timeout".into(), error: "no answer".into(), at }));
        assert_eq!((facts.cause.as_str(), facts.failed_at), ("Timeout", Some(at)));
        assert_eq!(Facts::of(&received, true).cause, UNDELIVERED);
    }

    #[test]
    fn a_message_that_came_back_too_often_is_refused_without_force() {
        let mut received = parked();
        received.attributes.push(text(REDRIVE_COUNT, "3"));
        let facts = Facts::of(&received, false);
        assert!(outbound(&received, &facts, true, false).unwrap_err().contains("came back 3 times"));
        let forced = outbound(&received, &facts, true, true).unwrap();
        assert_eq!(forced.attributes.last().unwrap().1, Attribute::Text { data_type: "Number".into(), value: "4".into() });
    }

    #[test]
    fn hostile_names_are_masked() {
        let mut received = parked();
        received.attributes = vec![text("ErrorType", "ada@example.com"), text("type", "Ada Lovelace")];
        received.body = r#"{"subject":"Ada Lovelace"}"#.into();
        let facts = Facts::of(&received, false);
        assert_eq!([facts.cause, facts.event_type, facts.subject], ["***", "***", "***"]);
    }
}
