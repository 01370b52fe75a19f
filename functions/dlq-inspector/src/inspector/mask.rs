//! The parts of a message that may be shown to a caller who has not asked to see it all.
//!
//! It goes by form, not by a list of fields to hide: a dead-letter queue holds what nobody expected. A value is shown if
//! its form is not that of a name, an address or a text. It does not trust names of fields: hostile bodies have those too.

pub use crate::answer::MASK;
use serde_json::Value;

/// Longest body that is read for its form: three times the largest event, an order of fifty lines. In memory a value can take 24
/// times its text, and up to a hundred bodies are shown at once.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// Longest text that is shown.
const SHOWN_MAX: usize = 128;
/// Most digits of a number that is shown: amounts and counts are shorter than telephone and card numbers.
const DIGITS_MAX: usize = 8;

/// A body with everything masked that may be personal.
pub fn body(text: &str) -> Value {
    if text.len() > BODY_BYTES_MAX {
        return Value::String(format!("{MASK} ({} bytes, too many to be masked one by one)", text.len()));
    }
    match serde_json::from_str(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => masked(value),
        _ => Value::String(format!("{MASK} ({} bytes that are no JSON document)", text.len())),
    }
}

fn masked(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(word(&text).to_owned()),
        Value::Array(values) => Value::Array(values.into_iter().map(masked).collect()),
        Value::Object(fields) => Value::Object(fields.into_iter().map(|(name, value)| (field(name), masked(value))).collect()),
        Value::Number(number) if number.to_string().len() > DIGITS_MAX => Value::String(MASK.to_owned()),
        plain => plain,
    }
}

fn field(name: String) -> String {
    let plain = name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if plain { name } else { MASK.to_owned() }
}

/// `text`, if its form is that of an id, a time, a type or a code.
pub fn word(text: &str) -> &str {
    let is_trace = || lambda_kit::trace::trace_id(text).is_some();
    let is_time = || text.len() >= 20 && text.parse::<domain::Timestamp>().is_ok();
    if text.len() <= SHOWN_MAX && (is_id(text) || is_type(text) || is_code(text) || is_trace() || is_time()) { text } else { MASK }
}

/// A UUID, alone or before a `/` and a type, as ids of events are.
fn is_id(text: &str) -> bool {
    let (id, rest) = text.split_once('/').map_or((text, None), |(id, rest)| (id, Some(rest)));
    let is_hex_or_dash = |(at, b): (usize, u8)| if matches!(at, 8 | 13 | 18 | 23) { b == b'-' } else { b.is_ascii_hexdigit() };
    id.len() == 36 && id.bytes().enumerate().all(is_hex_or_dash) && rest.is_none_or(is_type)
}

/// `order.placed.v1`: words in lower case with dots between them, and a version.
pub fn is_type(text: &str) -> bool {
    let Some((words, version)) = text.rsplit_once(".v") else { return false };
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let is_version = matches!(version.len(), 1..=3) && version.bytes().all(|b| b.is_ascii_digit());
    text.len() <= SHOWN_MAX && is_version && words.split('.').all(is_word)
}

/// Three capitals (a currency), or what every envelope says.
fn is_code(text: &str) -> bool {
    matches!(text, "1.0" | "application/json") || text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase())
}

/// A sentence without what may be an address: words with an `@` are masked, and it is cut.
pub fn sentence(text: &str) -> String {
    let clean = |word: &str| if word.contains('@') || word.contains("%40") { MASK.to_owned() } else { word.to_owned() };
    let cut: String = text.chars().take(512).map(|c| if c.is_control() { ' ' } else { c }).collect();
    cut.split(' ').map(clean).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_times_types_and_amounts_are_shown_and_all_else_is_masked() {
        let text = r#"{"specversion":"1.0","id":"0e8f9a6c-36ac-5a52-8d4e-0a9f2b4b6f01/order.placed.v1","type":"order.placed.v1",
            "time":"2026-05-04T10:11:12.000Z","data":{"amount_minor":1999,"currency":"EUR","name":"Ada Lovelace","phone":4915112345678,
            "ada@example.com":["ada@example.com",true]}}"#;
        let shown = body(text).to_string();
        for kept in ["0e8f9a6c", "order.placed.v1", "2026-05-04", "1999", "EUR", "true"] {
            assert!(shown.contains(kept), "{shown}");
        }
        for hidden in ["Ada", "ada@", "example.com", "49151"] {
            assert!(!shown.contains(hidden), "{shown}");
        }
    }

    #[test]
    fn what_is_no_document_is_not_shown_at_all() {
        for text in ["ada@example.com", "\"Ada\"", "", "{\"name\": \"Ada\""] {
            assert!(!body(text).to_string().to_lowercase().contains("ada"), "{text}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        let of = |bytes: usize| body(&format!("[{}1]", " ".repeat(bytes - 3)));
        assert!(of(BODY_BYTES_MAX).is_array() && of(BODY_BYTES_MAX + 1).is_string());
    }

    #[test]
    fn sentences_lose_their_addresses() {
        assert_eq!(sentence("SES quotes <ada@example.com>, and\nmore"), "SES quotes *** and more");
    }
}
