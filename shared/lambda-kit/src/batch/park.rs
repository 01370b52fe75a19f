//! Parking: a message that can never pass goes to the dead-letter queue at once, with its reason.

use super::record::Record;
use crate::Failure;
use aws_lambda_events::sqs::SqsMessageAttribute;
use jiff::Timestamp;

/// Most message attributes that SQS takes
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>).
pub const ATTRIBUTES_MAX: usize = 10;
/// Longest text of a reason, in bytes: attributes count towards the message's size, and a body of the full size must
/// still fit with them.
pub const ATTRIBUTE_TEXT_MAX: usize = 1024;
/// Stands for a body that was missing or empty: SQS takes no empty one.
pub const EMPTY_BODY: &str = "(no body)";

/// A message for the dead-letter queue: body and attributes as they came, and why it lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    /// The body, unchanged.
    pub body: String,
    /// `ErrorType`, `ErrorMessage`, `SourceQueue`, `OriginalMessageId`, `FailedAt` (RFC 3339), `traceparent` where known;
    /// then the message's own, as many as fit.
    pub attributes: Vec<(String, Attribute)>,
    /// On FIFO queues: the message's own group.
    pub group_id: Option<String>,
    /// On FIFO queues: the SQS message id. Never the id that the message was sent with, which the dead-letter queue may
    /// know from the last five minutes: it would swallow this one, and report success.
    pub deduplication_id: Option<String>,
}

/// A message attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// `String`, `Number` or a custom type of these.
    Text {
        /// The type's name.
        data_type: String,
        /// The value, never empty.
        value: String,
    },
    /// `Binary` or a custom type of it.
    Binary {
        /// The type's name.
        data_type: String,
        /// The bytes.
        value: Vec<u8>,
    },
}

impl Attribute {
    /// A text that SQS takes whatever it held: without control characters, cut to [`ATTRIBUTE_TEXT_MAX`], never empty.
    pub fn text(value: &str) -> Self {
        let mut clean: String = value.chars().map(|c| if is_legal(c) { c } else { ' ' }).collect();
        let end =
            clean.char_indices().map(|(start, c)| start + c.len_utf8()).take_while(|end| *end <= ATTRIBUTE_TEXT_MAX).last().unwrap_or(0);
        clean.truncate(end);
        let clean = if clean.trim().is_empty() { "unknown" } else { clean.trim() };
        Attribute::Text { data_type: "String".into(), value: clean.into() }
    }

    pub(super) fn from_sqs(attribute: &SqsMessageAttribute) -> Option<Self> {
        let data_type = attribute.data_type.clone()?;
        match (&attribute.string_value, &attribute.binary_value) {
            (Some(value), _) if !value.is_empty() => Some(Attribute::Text { data_type, value: value.clone() }),
            (_, Some(value)) if !value.0.is_empty() => Some(Attribute::Binary { data_type, value: value.0.clone() }),
            _ => None,
        }
    }
}

/// The characters that SQS takes (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>),
/// less the line breaks, which would break an operator's table.
fn is_legal(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}')
}

impl Parked {
    pub(super) fn new<M>(record: &Record<M>, failure: &Failure, now: Timestamp) -> Self {
        let incoming = record.incoming.as_ref().and_then(|read| read.as_ref().ok());
        let reasons = [
            ("ErrorType", Some(failure.error_type.clone())),
            ("ErrorMessage", Some(failure.message.clone())),
            ("SourceQueue", Some(record.source_queue.clone())),
            ("OriginalMessageId", Some(record.delivery.message_id.clone())),
            ("FailedAt", Some(now.to_string())),
            ("traceparent", incoming.and_then(|incoming| incoming.traceparent.clone())),
        ];
        let reasons = reasons.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Attribute::text(&value?))));
        let mut attributes: Vec<_> = reasons.collect();
        for (name, value) in &record.attributes {
            let is_taken = attributes.iter().any(|(taken, _)| taken == name);
            if !is_taken && attributes.len() < ATTRIBUTES_MAX {
                attributes.push((name.clone(), value.clone()));
            }
        }
        let body = if record.body.is_empty() { EMPTY_BODY.to_owned() } else { record.body.clone() };
        let deduplication_id = record.group_id.as_ref().map(|_| record.delivery.message_id.clone());
        Self { body, attributes, group_id: record.group_id.clone(), deduplication_id }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> String {
        match Attribute::text(value) {
            Attribute::Text { value, .. } => value,
            Attribute::Binary { .. } => panic!(),
        }
    }

    #[test]
    fn reasons_are_cleaned_cut_at_a_character_and_never_empty() {
        assert_eq!(text("two\r\nlines\u{0}\u{ffff}"), "two  lines");
        assert_eq!(text(""), "unknown");
        assert_eq!(text("\n\t"), "unknown");
        assert_eq!(text(&"ä".repeat(ATTRIBUTE_TEXT_MAX)).len(), ATTRIBUTE_TEXT_MAX);
        assert_eq!(text(&format!("a{}", "ä".repeat(ATTRIBUTE_TEXT_MAX))).len(), ATTRIBUTE_TEXT_MAX - 1);
    }
}
