//! Message attributes, as they come and as they are written.

use aws_lambda_events::sqs::SqsMessageAttribute;

/// Longest text of a reason, in bytes: attributes count towards the message's size, and a body of the full size must
/// still fit with them.
pub const ATTRIBUTE_TEXT_MAX: usize = 1024;

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

    /// [`None`] for one that SQS would refuse, and the whole message with it.
    pub(super) fn from_sqs(attribute: &SqsMessageAttribute) -> Option<Self> {
        let data_type = attribute.data_type.clone().filter(|data_type| !data_type.is_empty())?;
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
