//! Shared parts of the functions that operators invoke: the caller, the audit record, and the error for a failed call.
//!
//! `dlq-inspector` and `operator` use it. It does not store: each function has a port of its own to the archive bucket.

use domain::Timestamp;
use lambda_kit::Failure;
use serde::Serialize;

/// The caller.
#[derive(Debug, Clone, Copy)]
pub struct Who<'r> {
    /// The name that the caller gives.
    pub by: &'r str,
    /// Lambda's id of the invocation, under which CloudTrail's data events know the caller.
    pub request_id: &'r str,
}

#[derive(Serialize)]
struct Record<'r, C> {
    at: Timestamp,
    by: &'r str,
    request_id: &'r str,
    #[serde(flatten)]
    change: &'r C,
}

/// The audit record of `change` as an object of the archive bucket: its key and its bytes. `phase` is the change's own, and in the
/// key so that the record of what has begun and the one of what has ended lie beside each other.
///
/// # Errors
/// A bug, where `change` does not serialize to a map.
pub fn audit_record(at: Timestamp, who: &Who<'_>, phase: &str, change: &impl Serialize) -> Result<(String, Vec<u8>), Failure> {
    let record = Record { at, by: who.by, request_id: who.request_id, change };
    let bytes = serde_json::to_vec(&record).map_err(|error| Failure::bug("UnwritableAudit", error))?;
    let day: String = at.to_string().chars().take("2026-05-04".len()).collect();
    Ok((format!("audit/{day}/{}-{}-{phase}.json", at.as_millisecond(), who.request_id), bytes))
}

/// Whether a call failed because the function's role may not do it, in the words of whichever service.
pub fn is_denied(failure: &Failure) -> bool {
    matches!(failure.error_type.as_str(), "AccessDenied" | "AccessDeniedException" | "AuthorizationError")
}

/// A failure for the caller; `function` is the one that failed.
pub fn sentence(function: &str, failure: &Failure) -> String {
    let Failure { error_type, message, .. } = failure;
    if is_denied(failure) {
        format!("The {function}'s role may not do this: {message}.")
    } else {
        format!("A call failed and may be tried again: {message} ({error_type}).")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_record_says_who_when_and_what() {
        let (at, who) = ("2026-05-04T10:11:12.345Z".parse().unwrap(), Who { by: "ada", request_id: "r-1" });
        let (key, bytes) = audit_record(at, &who, "begun", &serde_json::json!({"phase": "begun", "command": "nudge"})).unwrap();
        assert_eq!(key, "audit/2026-05-04/1777889472345-r-1-begun.json");
        let expected = r#"{"at":"2026-05-04T10:11:12.345Z","by":"ada","request_id":"r-1","phase":"begun","command":"nudge"}"#;
        let read = |text: &[u8]| serde_json::from_slice::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&bytes), read(expected.as_bytes()));
    }

    #[test]
    fn a_denied_call_is_told_from_one_that_may_be_tried_again() {
        let denied = sentence("operator", &Failure::transient("AccessDeniedException", "Query failed"));
        assert_eq!(denied, "The operator's role may not do this: Query failed.");
        assert!(sentence("operator", &Failure::transient("Timeout", "Query failed")).contains("tried again"));
    }
}
