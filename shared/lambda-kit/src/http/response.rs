//! Answers: JSON, HTML, and RFC 9457 problem details.

use super::Pointer;
use crate::Failure;
use aws_lambda_events::http::StatusCode;
use serde::Serialize;
use std::{collections::BTreeMap, fmt};

/// When to come back after a 503, in seconds. What refuses is a throttle or a fail-over, and the SDK has already tried
/// three times within one: a moment later is soon enough, and late enough not to be part of the rush.
pub const RETRY_AFTER_S: u32 = 2;

/// An answer, in the form that API Gateway expects of a function (payload format 2.0).
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Response {
    status_code: u16,
    headers: BTreeMap<&'static str, String>,
    body: String,
    is_base64_encoded: bool,
}

impl fmt::Debug for Response {
    /// Hides the values of headers and the body.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response").field("status_code", &self.status_code).finish_non_exhaustive()
    }
}

impl Response {
    fn new(status_code: u16, content_type: &str, body: String) -> Self {
        // What holds now may not hold in a moment, also of a 404, which caches may otherwise keep.
        let headers = BTreeMap::from([("Cache-Control", "no-store".to_owned()), ("Content-Type", content_type.to_owned())]);
        Self { status_code, headers, body, is_base64_encoded: false }
    }
    /// `body` as `application/json`.
    ///
    /// # Errors
    /// A bug, where `body` has no form in JSON.
    pub fn json(status: u16, body: &impl Serialize) -> Result<Self, Failure> {
        match serde_json::to_string(body) {
            Ok(body) => Ok(Self::new(status, "application/json", body)),
            Err(error) => Err(Failure::bug("UnwritableAnswer", "an answer cannot be written as JSON").caused_by(error)),
        }
    }
    /// `page` as `text/html`, in UTF-8. What such a page may load and do is the function's to say, in a
    /// `Content-Security-Policy`.
    pub fn html(status: u16, page: impl Into<String>) -> Self {
        Self::new(status, "text/html; charset=utf-8", page.into())
    }
    /// Adds or replaces a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.insert(name, value.into());
        self
    }
    /// The status code.
    pub fn status(&self) -> u16 {
        self.status_code
    }
    /// The value of a header, by the name it was given.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
    /// The body.
    pub fn body(&self) -> &str {
        &self.body
    }
}

/// A fault in one place of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where.
    pub pointer: Pointer,
    /// The fault, for people. Never quotes a value.
    pub detail: String,
}

/// How many faults of a request are named: more than a person fixes in one go, and few enough for [`PROBLEM_BYTES_MAX`].
pub const FAULTS_MAX: usize = 20;
/// Longest body of a problem: 16 KiB. [`FAULTS_MAX`] faults in the longest sentences at the longest places take half of it; whatever
/// a client sends, its answer must not be a weapon against the client's network or this function's memory.
pub const PROBLEM_BYTES_MAX: usize = 16 * 1024;

/// The faults of a request: the first [`FAULTS_MAX`] faults, and how many there are beyond them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// The first ones.
    #[serde(rename = "errors", skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<Fault>,
    /// How many more.
    #[serde(rename = "more_errors", skip_serializing_if = "is_none")]
    pub more: usize,
}

impl Faults {
    /// Adds a fault, which is made only if it will be named.
    pub fn add(&mut self, fault: impl FnOnce() -> Fault) {
        if self.named.len() < FAULTS_MAX {
            self.named.push(fault());
        } else {
            self.more += 1;
        }
    }
    /// How many there are.
    pub fn count(&self) -> usize {
        self.named.len() + self.more
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self { named: vec![fault], more: 0 }
    }
}

/// An RFC 9457 problem: why the caller does not get what it asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(flatten)]
    faults: Faults,
    #[serde(skip)]
    headers: Vec<(&'static str, String)>,
}

impl Problem {
    /// A problem that its status says all about: type `about:blank`, and the status's own phrase as its title
    /// (<https://www.rfc-editor.org/rfc/rfc9457#section-4.2.1>).
    pub fn of(status: u16, detail: impl Into<String>) -> Self {
        let phrase = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        Self::typed(status, "about:blank", phrase.unwrap_or_default(), detail)
    }
    /// A problem that a program may want to tell apart from others of the same status, by its `type`.
    pub fn typed(status: u16, problem_type: &'static str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { r#type: problem_type, title, status, detail: detail.into(), faults: Faults::default(), headers: Vec::new() }
    }
    /// It passes with time: 503 with `Retry-After`.
    pub fn unavailable() -> Self {
        let detail = "The request may or may not have been carried out. Send it again, with the same Idempotency-Key if it had one.";
        Self::of(503, detail).with_header("Retry-After", RETRY_AFTER_S.to_string())
    }
    /// A bug: 500, without saying what.
    pub fn internal() -> Self {
        Self::of(500, "The request could not be handled, and not through a fault of its own.")
    }
    /// Names the places that are wrong.
    #[must_use]
    pub fn with_errors(mut self, faults: impl Into<Faults>) -> Self {
        self.faults = faults.into();
        self
    }
    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }
}

/// Whether there is nothing to say.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_none(count: &usize) -> bool {
    *count == 0
}

impl From<Problem> for Response {
    /// Leaves out the last errors where the body would be longer than [`PROBLEM_BYTES_MAX`].
    fn from(mut problem: Problem) -> Self {
        // Serializing texts and numbers into memory has no way to fail.
        let mut body = serde_json::to_string(&problem).unwrap_or_default();
        while body.len() > PROBLEM_BYTES_MAX && problem.faults.named.pop().is_some() {
            problem.faults.more += 1;
            body = serde_json::to_string(&problem).unwrap_or_default();
        }
        let response = Response::new(problem.status, "application/problem+json", body);
        problem.headers.into_iter().fold(response, |response, (name, value)| response.with_header(name, value))
    }
}

/// Why a handler has no answer of its own.
#[derive(Debug)]
pub enum Refused {
    /// The caller must act: what the caller reads.
    Problem(Box<Problem>),
    /// We, or time, must act: what the operator reads. The caller gets a 503 if it is transient, else a 500.
    Failure(Failure),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}
impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_problem_is_what_rfc_9457_shows() {
        let place = Pointer::default().member("lines").element(0).member("sku");
        let errors = Fault { pointer: place, detail: "is not in the catalogue".into() };
        let problem = Problem::typed(422, "urn:example:invalid", "Invalid", "It is invalid.").with_errors(errors);
        let response: Response = problem.with_header("Allow", "GET").into();
        assert_eq!(
            serde_json::to_value(&response).unwrap(),
            json!({
                "statusCode": 422, "isBase64Encoded": false,
                "headers": {"Allow": "GET", "Cache-Control": "no-store", "Content-Type": "application/problem+json"},
                "body": "{\"type\":\"urn:example:invalid\",\"title\":\"Invalid\",\"status\":422,\"detail\":\"It is invalid.\",\
                         \"errors\":[{\"pointer\":\"#/lines/0/sku\",\"detail\":\"is not in the catalogue\"}]}"
            })
        );
    }

    #[test]
    fn a_problem_names_what_fits_and_counts_the_rest() {
        let mut faults = Faults::default();
        for _ in 0..FAULTS_MAX + 7 {
            faults.add(|| Fault { pointer: Pointer::default(), detail: "é".repeat(1_000) });
        }
        let response: Response = Problem::of(422, "d").with_errors(faults).into();
        let body: serde_json::Value = serde_json::from_str(response.body()).unwrap();
        let named = body["errors"].as_array().unwrap().len();
        assert!(response.body().len() <= PROBLEM_BYTES_MAX && (1..FAULTS_MAX).contains(&named), "{named}");
        assert_eq!(body["more_errors"], FAULTS_MAX + 7 - named);
    }

    #[test]
    fn a_page_is_html_in_utf_8_that_nobody_keeps() {
        let page = Response::html(404, "<p>Zoë</p>").with_header("Referrer-Policy", "no-referrer");
        assert_eq!((page.status(), page.body(), page.header("Content-Type")), (404, "<p>Zoë</p>", Some("text/html; charset=utf-8")));
        assert_eq!((page.header("Cache-Control"), page.header("Referrer-Policy")), (Some("no-store"), Some("no-referrer")));
    }

    #[test]
    fn a_503_has_retry_after_and_a_problem_its_title() {
        let response: Response = Problem::unavailable().into();
        assert_eq!((response.status(), response.header("Retry-After")), (503, Some("2")));
        let body: serde_json::Value = serde_json::from_str(response.body()).unwrap();
        assert_eq!((body["type"].as_str(), body["title"].as_str()), (Some("about:blank"), Some("Service Unavailable")));
        assert!(body.get("errors").is_none());
    }

    #[test]
    fn debug_output_hides_the_body() {
        let response = Response::json(200, &json!({"name": "secret"})).unwrap().with_header("x", "secret");
        assert!(!format!("{response:?}").contains("secret"));
    }
}
