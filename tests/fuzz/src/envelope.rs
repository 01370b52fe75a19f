//! The event envelope: whatever a queue delivers.

use domain::{CloudEvent, ParseError};
use serde_json::Value;

/// The longest text that says why a message is no event: it quotes nothing.
const REASON_MAX: usize = 200;

/// Any text as a message's body.
pub fn envelope(input: &[u8]) {
    let Ok(body) = std::str::from_utf8(input) else { return };
    check(body);
    // A mutation of subject or type makes the id wrong, and what lies behind would never be reached.
    if let Ok(Value::Object(mut envelope)) = serde_json::from_str(body)
        && let (Some(Value::String(subject)), Some(Value::String(event_type))) = (envelope.get("subject"), envelope.get("type"))
    {
        let id = format!("{subject}/{event_type}");
        envelope.insert("id".into(), id.into());
        check(&Value::Object(envelope).to_string());
    }
}

fn check(body: &str) {
    match CloudEvent::parse(body) {
        Ok(event) => {
            let json = event.to_json();
            assert_eq!(CloudEvent::parse(&json).as_ref(), Ok(&event), "what is accepted round-trips");
            let sent: Value = serde_json::from_str(body).expect("accepted, so it is JSON");
            let kept: Value = serde_json::from_str(&json).expect("written by serde_json");
            for field in ["specversion", "id", "source", "type", "subject", "traceparent"] {
                assert_eq!(kept.get(field), sent.get(field).filter(|value| !value.is_null()), "{field}");
            }
        }
        Err(ParseError::Unreadable(reason)) => assert!(reason.len() <= REASON_MAX, "{reason}"),
        Err(error @ ParseError::SourceNotAllowed { .. }) => assert!(error.to_string().len() <= REASON_MAX, "{error}"),
        Err(ParseError::UnknownType(_) | ParseError::UnknownVersion(_)) => {}
    }
}
