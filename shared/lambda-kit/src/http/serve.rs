//! Runs a handler behind an HTTP API: always an answer, one log line.

use super::{Problem, Refused, Request, Response};
use crate::{Ambient, Failure, Kind, trace};
use futures_util::FutureExt as _;
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use std::{panic::AssertUnwindSafe, time::Duration};
use tokio::time::Instant;

/// Kept back from the function's time to write the answer and the log line. Both take a millisecond; half a second is
/// what a small function may need for them when its share of the CPU is small.
const RESERVE: Duration = Duration::from_millis(500);

/// Serves requests until Lambda ends the process.
///
/// # Errors
/// Where the Lambda runtime cannot be reached. No request ends it.
pub async fn run<A: Ambient>(
    ambient: A,
    handler: impl AsyncFn(&Request) -> Result<Response, Refused>,
) -> Result<(), lambda_runtime::Error> {
    let (ambient, handler) = (&ambient, &handler);
    let service = service_fn(move |invocation: LambdaEvent<Value>| async move {
        let deadline = i64::try_from(invocation.context.deadline).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        Ok::<_, lambda_runtime::Error>(answer(invocation.payload, deadline.unwrap_or(Timestamp::MAX), ambient, handler).await)
    });
    lambda_runtime::run(service).await
}

/// Answers one event of API Gateway, before `deadline`. Whatever happens, the answer is a response: an error returned to
/// Lambda would reach the caller as a bare 500 or 502, with our text in it where the gateway is not AWS's.
pub async fn answer<A: Ambient>(
    event: Value,
    deadline: Timestamp,
    ambient: &A,
    handler: &impl AsyncFn(&Request) -> Result<Response, Refused>,
) -> Response {
    let started = Instant::now();
    // Read here and not by the runtime, which would answer what it cannot read with an error.
    let Some(request) = Request::from_event(event, ambient) else {
        tracing::error!(error_type = "NotAnHttpRequest", "the event is not an HTTP API's, payload format 2.0");
        return Problem::internal().into();
    };
    let left = Duration::try_from(deadline.duration_since(ambient.now())).unwrap_or_default().saturating_sub(RESERVE);
    // Dropped at the deadline or by a panic at any await: handlers are written so that sending the request again completes it.
    // Boxed, because the types of an SDK's futures nest so deep that the compiler refuses one more layer around them.
    let handling = async {
        // The client's fault, which no handler needs to hear of.
        if !request.headers_are_legal() {
            return Err(Problem::of(400, "A header has a name or a value that HTTP does not allow, such as a control character.").into());
        }
        handler(&request).await
    };
    let work = AssertUnwindSafe(handling.boxed_local()).catch_unwind();
    let outcome = match tokio::time::timeout(left, work).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panic)) => Err(Failure::bug("Panic", "the handler panicked").into()),
        Err(_elapsed) => Err(Failure::transient("OutOfTime", "the invocation's deadline came before the answer").into()),
    };
    let (response, failure) = match outcome {
        Ok(response) => (response, None),
        Err(Refused::Problem(problem)) => (Response::from(*problem), None),
        Err(Refused::Failure(failure)) => match failure.kind {
            Kind::Transient => (Problem::unavailable().into(), Some(failure)),
            Kind::Permanent | Kind::Bug => (Problem::internal().into(), Some(failure)),
        },
    };
    log(&request, &response, failure.as_ref(), started.elapsed());
    response
}

fn log(request: &Request, response: &Response, failure: Option<&Failure>, took: Duration) {
    let noted = request.noted.borrow();
    let (method, route, request_id) = (request.method(), noted.route, request.request_id());
    let (order_id, customer_id) = (noted.order_id.as_str(), noted.customer_id.as_str());
    let trace_id = trace::trace_id(request.traceparent()).unwrap_or_default();
    let status = response.status();
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    macro_rules! line {
        ($level:ident $(, $failure:ident)?) => {
            tracing::$level!(
                method, route, status, duration_ms, request_id, order_id, customer_id, trace_id,
                $(error_type = $failure.error_type, error = $failure.chain(),)?
                "request"
            )
        };
    }
    match failure {
        None => line!(info),
        Some(failure) if failure.kind == Kind::Transient => line!(warn, failure),
        Some(failure) => line!(error, failure),
    }
}

#[cfg(test)]
mod tests;
