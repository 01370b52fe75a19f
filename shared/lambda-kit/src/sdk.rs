//! Time limits on calls of the AWS SDK, the SDK's error code of a failed call, and its meaning for the
//! message that made it.
//!
//! [`aws_config`](crate::aws_config) gives the limits to every client. The arithmetic, in seconds:
//!
//! ```text
//! attempt 2.0 ─ back-off ≤ 0.2 ─ attempt 2.0 ─ back-off ≤ 0.4 ─ attempt 2.0   = 6.6, an operation
//! Timeout 10 (the template's least) − 3 (batch::DEADLINE_MARGIN)              = 7.0, what a handler has
//! ```
//!
//! So one call that gets no answer at all ends as a transient failure with a name, before the batch core drops its handler, and
//! an answer that is lost costs an invocation two seconds and not all of its time. A test over the template holds it for every
//! function (`a_call_with_all_its_attempts_fits_into_every_function`).

use crate::Failure;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::{error::metadata::ProvideErrorMetadata, retry::RetryConfig, timeout::TimeoutConfig};
use std::time::Duration;

/// How often a call is attempted: the SDK's own number.
pub const ATTEMPTS: u32 = 3;
/// For one attempt: connecting, and the whole answer, or the headers of one whose body is streamed. DynamoDB, SNS and SQS answer
/// within tens of milliseconds; the longest that this side was seen to need is 0.3 s, a first batch of ten with 26 TLS handshakes
/// at the share of a CPU that 128 MB have (`docs/performance.md`). Three attempts of more than 2.1 s would not fit into seven
/// seconds.
pub const ATTEMPT_LIMIT: Duration = Duration::from_secs(2);
/// The most that the SDK waits before the second attempt; twice as much before the third. Each wait is a random part of it. The
/// SDK's own second would leave an attempt 1.3 s. A throttle that outlasts these waits is a transient failure, and its message is
/// tried again after the batch core's back-off, which counts in minutes.
pub const BACK_OFF: Duration = Duration::from_millis(200);
/// For a call with all of its attempts.
pub const OPERATION_LIMIT: Duration = operation_limit(ATTEMPT_LIMIT);

/// The time limit of a call whose attempts may take `attempt_limit` each.
pub const fn operation_limit(attempt_limit: Duration) -> Duration {
    // 1 + 2 + …: the waits double, and there is one fewer than attempts.
    attempt_limit.saturating_mul(ATTEMPTS).saturating_add(BACK_OFF.saturating_mul((1 << (ATTEMPTS - 1)) - 1))
}

/// The SDK's standard retries, by these numbers.
pub fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(BACK_OFF)
}

/// The limits on an attempt and on the operation that it belongs to.
pub fn time_limits(attempt_limit: Duration) -> TimeoutConfig {
    let limits = TimeoutConfig::builder().operation_attempt_timeout(attempt_limit);
    limits.operation_timeout(operation_limit(attempt_limit)).build()
}

/// The error code of the service; without an answer of the service `Timeout`, `NoConnection`, `NoResponse`, or
/// `InvalidRequest` where nothing was sent.
pub fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> &str {
    match error {
        SdkError::ServiceError(context) => context.err().code().unwrap_or("ServiceError"),
        SdkError::TimeoutError(_) => "Timeout",
        // Connecting took too long, or the answer did.
        SdkError::DispatchFailure(cause) if cause.is_timeout() => "Timeout",
        SdkError::DispatchFailure(_) => "NoConnection",
        SdkError::ConstructionFailure(_) => "InvalidRequest",
        _ => "NoResponse",
    }
}

/// The meaning of a failed call for the message that made it.
pub fn failure<E>(operation: &str, error: SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let code = code(&error).to_owned();
    let message = format!("{operation} failed");
    match code.as_str() {
        // The request itself is wrong: sending it again sends the same mistake.
        "ValidationException" | "SerializationException" | "InvalidRequest" => Failure::bug(code, message).caused_by(error),
        _ => Failure::transient(code, message).caused_by(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_outlasts_its_attempts_and_the_longest_waits() {
        assert_eq!(OPERATION_LIMIT, Duration::from_millis(3 * 2_000 + 200 + 400));
        assert_eq!(operation_limit(Duration::from_secs(10)), Duration::from_millis(30_600));
    }

    #[cfg(feature = "batch")]
    #[test]
    fn an_operation_fits_into_the_shortest_invocation() {
        let shortest = Duration::from_secs(10) - crate::batch::DEADLINE_MARGIN;
        assert!(OPERATION_LIMIT <= shortest && crate::CONNECT_TIMEOUT <= ATTEMPT_LIMIT);
    }
}
