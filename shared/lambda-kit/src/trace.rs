//! W3C trace context, handed on from request to event to event.
//!
//! X-Ray's header is an attribute of one SQS message and does not come along when a message is sent anew, to a dead-letter
//! queue for instance, so the context travels in the body. It does not guess: what is no valid `traceparent` starts a new
//! trace.

use crate::Ambient;

/// The `traceparent` of work that `parent` caused: the same trace, a span of its own. A new trace where there is no
/// valid parent (<https://www.w3.org/TR/trace-context/#traceparent-header>).
pub fn child(parent: Option<&str>, ambient: &impl Ambient) -> String {
    // An all-zero id is invalid; the lowest bit keeps ours from ever being one.
    let span = ambient.random() | 1;
    match parent.and_then(parse) {
        Some((trace_id, flags)) => format!("00-{trace_id}-{span:016x}-{flags}"),
        None => format!("00-{:016x}{:016x}-{span:016x}-01", ambient.random(), ambient.random() | 1),
    }
}

/// The trace id of a valid `traceparent`, for the log.
pub fn trace_id(traceparent: &str) -> Option<&str> {
    parse(traceparent).map(|(trace_id, _)| trace_id)
}

/// Trace id and flags. Versions after 00 may append fields, which are ignored as the specification asks.
fn parse(traceparent: &str) -> Option<(&str, &str)> {
    let mut parts = traceparent.split('-');
    let (version, trace_id, parent_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, len: usize| text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let set = |text: &str| text.bytes().any(|b| b != b'0');
    let ends_well = version != "00" || parts.next().is_none();
    let valid =
        hex(version, 2) && version != "ff" && hex(trace_id, 32) && set(trace_id) && hex(parent_id, 16) && set(parent_id) && hex(flags, 2);
    (valid && ends_well).then_some((trace_id, flags))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Real;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    #[test]
    fn a_child_keeps_trace_and_flags_and_has_a_span_of_its_own() {
        let child = child(Some(PARENT), &Real);
        assert!(child.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && child.ends_with("-00"), "{child}");
        assert_ne!(child, PARENT);
        assert_eq!(trace_id(&child), trace_id(PARENT));
    }

    #[test]
    fn without_a_valid_parent_a_new_trace_begins() {
        let zeros = "00-00000000000000000000000000000000-b7ad6b7169203331-00";
        let upper = PARENT.to_uppercase();
        for bad in [None, Some(""), Some("00-ab-cd-01"), Some(zeros), Some(upper.as_str()), Some(&format!("{PARENT}-more"))] {
            let fresh = child(bad, &Real);
            assert!(trace_id(&fresh).is_some(), "{fresh}");
            assert!(!fresh.contains("0af7651916cd43dd8448eb211c80319c"));
        }
        assert!(trace_id(&format!("01{}-more", &PARENT[2..])).is_some(), "a later version may append");
    }
}
