//! A request, read from API Gateway's event.

use super::{DEPTH_MAX, Document, Fault, Pointer, Problem, Unread};
use crate::{Ambient, trace};
use aws_lambda_events::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use std::{borrow::Cow, cell::RefCell, fmt};

/// Largest body that is read, decoded: 64 KiB. Ten times what a big honest document of ours has; it bounds what one
/// request can make a function parse and answer.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// A request.
pub struct Request {
    method: String,
    path: String,
    headers: HeaderMap,
    headers_are_legal: bool,
    body: String,
    base64: bool,
    caller: Option<String>,
    request_id: String,
    traceparent: String,
    pub(super) noted: RefCell<Noted>,
}

/// Fields of the log line beyond those of the request itself.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub route: &'static str,
    pub order_id: String,
    pub customer_id: String,
}

impl fmt::Debug for Request {
    /// Hides path, headers, body and caller: what a client sent is not for the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).field("request_id", &self.request_id).finish_non_exhaustive()
    }
}

impl Request {
    /// Reads an event of an HTTP API, payload format 2.0
    /// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>). Randomness is for a
    /// trace that begins here. [`None`] where the event names no HTTP method: it is another service's.
    ///
    /// Only what is used is read, and it is read as text whatever its JSON type. API Gateway sends texts, but the claims of
    /// a token are what its issuer wrote, and a gateway in its place, or an event written by hand, may have numbers, truth
    /// values, lists and nulls. An unused part can never fail a request.
    pub fn from_event(mut event: Value, ambient: &impl Ambient) -> Option<Self> {
        let mut text = |pointer: &str| event.pointer_mut(pointer).map(Value::take).and_then(as_text);
        let method = text("/requestContext/http/method").filter(|method| !method.is_empty())?;
        let (path, stage) = (text("/rawPath").unwrap_or_default(), text("/requestContext/stage"));
        // A stage with a name stands before the path; the default stage has none.
        let without_stage = stage.and_then(|stage| path.strip_prefix('/')?.strip_prefix(&stage));
        let path = without_stage.filter(|rest| rest.starts_with('/')).map(str::to_owned).unwrap_or(path);
        let caller = text("/requestContext/authorizer/jwt/claims/sub").filter(|sub| !sub.is_empty());
        let request_id = text("/requestContext/requestId").unwrap_or_default();
        let (body, base64) = (text("/body").unwrap_or_default(), text("/isBase64Encoded").is_some_and(|is| is == "true"));
        let headers = event.get_mut("headers").map(Value::take).map_or_else(|| Some(HeaderMap::new()), header_map);
        let (headers, headers_are_legal) = headers.map_or((HeaderMap::new(), false), |headers| (headers, true));
        let traceparent = trace::child(incoming_trace(&headers).as_deref(), ambient);
        Some(Self { method, path, headers, headers_are_legal, body, base64, caller, request_id, traceparent, noted: RefCell::default() })
    }

    /// Whether every header was one that HTTP allows (<https://www.rfc-editor.org/rfc/rfc9110#section-5>). Where one was not, none is kept.
    pub(super) fn headers_are_legal(&self) -> bool {
        self.headers_are_legal
    }

    /// The method, upper case.
    pub fn method(&self) -> &str {
        &self.method
    }
    /// API Gateway's id of the request, which the caller got as `Apigw-Requestid`.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }
    /// The caller: the `sub` claim of the token that the API's JWT authorizer has checked. [`None`] where it has none.
    pub fn caller(&self) -> Option<&str> {
        self.caller.as_deref()
    }
    /// The W3C trace context of this request: of the caller's trace, or of one that begins here.
    pub fn traceparent(&self) -> &str {
        &self.traceparent
    }
    /// The value of a header, in whatever case it was sent. API Gateway joins the values of one that was sent several
    /// times by commas, and so does this.
    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.headers, name)
    }
    /// Names the order that the request is about, once it is known, for the log line.
    pub fn about_order(&self, order_id: impl fmt::Display) {
        self.noted.borrow_mut().order_id = order_id.to_string();
    }

    /// Names the customer that the request is about, once known, for the log line: by an id, never by name or address.
    pub fn about_customer(&self, customer_id: impl fmt::Display) {
        self.noted.borrow_mut().customer_id = customer_id.to_string();
    }

    /// Finds the route among `routes` of method, path and target; a segment `{name}` of a path takes any text. Returns
    /// the target and what the braces took, in order.
    ///
    /// # Errors
    /// 404 where no path matches, 405 with `Allow` where only the method does not.
    pub fn route<T: Copy>(&self, routes: &[(&str, &'static str, T)]) -> Result<(T, Vec<&str>), Problem> {
        let known: Vec<_> =
            routes.iter().filter_map(|(method, path, to)| Some((*method, *path, *to, captures(path, &self.path)?))).collect();
        let Some((_, path, _, _)) = known.first() else {
            return Err(Problem::of(404, "There is nothing at this path."));
        };
        self.noted.borrow_mut().route = path;
        let allowed: Vec<_> = known.iter().map(|(method, ..)| *method).collect();
        match known.into_iter().find(|(method, ..)| *method == self.method) {
            Some((_, _, to, captured)) => Ok((to, captured)),
            None => Err(Problem::of(405, "This path does not take this method.").with_header("Allow", allowed.join(", "))),
        }
    }

    /// The body, decoded where API Gateway encoded it.
    ///
    /// # Errors
    /// 413 over [`BODY_BYTES_MAX`]; 400 where the encoding is broken.
    pub fn body(&self) -> Result<Cow<'_, [u8]>, Problem> {
        /// Base64 makes four characters of three bytes, rounded up: beyond it nothing needs to be decoded to be too long.
        const ENCODED_MAX: usize = BODY_BYTES_MAX.div_ceil(3) * 4;
        let too_large = || Problem::of(413, format!("The body must not be longer than {BODY_BYTES_MAX} bytes."));
        let bytes = if !self.base64 {
            Cow::Borrowed(self.body.as_bytes())
        } else if self.body.len() > ENCODED_MAX {
            return Err(too_large());
        } else {
            let decoded = base64_simd::STANDARD.decode_to_vec(&self.body);
            Cow::Owned(decoded.map_err(|_| Problem::of(400, "The body is said to be base64 and is not."))?)
        };
        if bytes.len() > BODY_BYTES_MAX { Err(too_large()) } else { Ok(bytes) }
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// 415 where it is said to be something else, 413 where it is too long, 400 where it is no JSON, nested deeper than [`DEPTH_MAX`],
    /// or has a name twice in an object.
    pub fn json(&self) -> Result<Document, Problem> {
        if !self.header("content-type").is_some_and(|value| is_json(&value)) {
            return Err(Problem::of(415, "The body must be sent as `Content-Type: application/json`, in UTF-8."));
        }
        if self.header("content-encoding").is_some_and(|coding| !coding.trim().eq_ignore_ascii_case("identity")) {
            return Err(Problem::of(415, "The body must be sent without a content coding."));
        }
        let body = self.body()?;
        Document::parse(&body).map_err(|unread| match unread {
            Unread::NotJson { line: 0, .. } => Problem::of(400, "The body is not JSON."),
            Unread::NotJson { line, column } => {
                Problem::of(400, format!("The body is not JSON. It breaks off or goes wrong at line {line}, column {column}."))
            }
            Unread::TooDeep => Problem::of(400, format!("The body is nested deeper than {DEPTH_MAX} arrays and objects.")),
            Unread::Repeated(pointer) => Problem::of(400, "A name stands twice in its object, so the body may mean two things.")
                .with_errors(Fault { pointer, detail: "stands twice in its object".to_owned() }),
        })
    }
}

/// A JSON value as the text that stands for it; [`None`] for null, which says nothing.
fn as_text(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}

/// Headers by name. A list is several values of one header. [`None`] where HTTP does not allow a name or a value, or where there are more
/// than a map holds, 24,576: API Gateway takes 10 KiB of headers.
fn header_map(headers: Value) -> Option<HeaderMap> {
    let headers = if let Value::Object(headers) = headers { headers } else { Map::new() };
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(name).ok()?;
        let values = if let Value::Array(values) = value { values } else { vec![value] };
        for value in values.into_iter().filter_map(as_text) {
            map.try_append(name.clone(), HeaderValue::try_from(value).ok()?).ok()?;
        }
    }
    Some(map)
}

/// `application/json`, with any parameters but a foreign character set. Not `application/*+json`: each of those names a
/// format of its own, such as a patch, and to read it as a plain document would be to misread it.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    let foreign = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        name.trim().eq_ignore_ascii_case("charset") && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    };
    json && !parts.any(foreign)
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let values: Vec<_> = headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// The parameters that `template` finds in `path`, if it matches.
fn captures<'p>(template: &str, path: &'p str) -> Option<Vec<&'p str>> {
    let mut captured = Vec::new();
    let (mut expected, mut segments) = (template.split('/'), path.split('/'));
    loop {
        match (expected.next(), segments.next()) {
            (None, None) => return Some(captured),
            (Some(name), Some(segment)) if name.starts_with('{') && !segment.is_empty() => captured.push(segment),
            (Some(name), Some(segment)) if name == segment => {}
            _ => return None,
        }
    }
}

/// The trace that the request belongs to: the caller's `traceparent`, else the one that API Gateway began.
fn incoming_trace(headers: &HeaderMap) -> Option<String> {
    let valid = |value: &String| trace::trace_id(value).is_some();
    header(headers, "traceparent")
        .filter(valid)
        .or_else(|| header(headers, "x-amzn-trace-id").and_then(|value| from_xray(&value)).filter(valid))
}

/// X-Ray's `Root=1-<8 hex>-<24 hex>;Parent=<16 hex>;Sampled=0|1` as a `traceparent`. The two parts of the root are the
/// trace id (<https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-traceids>).
fn from_xray(value: &str) -> Option<String> {
    /// Where no parent is named any id will do: only the trace id and the flags are handed on.
    const SOME_PARENT: &str = "0000000000000001";
    let field = |name: &str| value.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
    let trace_id = field("Root")?.strip_prefix("1-")?.replacen('-', "", 1);
    let flags = if field("Sampled") == Some("0") { "00" } else { "01" };
    Some(format!("00-{trace_id}-{}-{flags}", field("Parent").unwrap_or(SOME_PARENT)))
}

impl Document {
    /// The place of the whole document, from which [`Pointer::member`] and [`Pointer::element`] lead on.
    pub fn root(&self) -> Pointer {
        Pointer::default()
    }
}

#[cfg(test)]
mod tests;
