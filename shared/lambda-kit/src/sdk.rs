//! What the AWS SDK says of a call that failed, in one word, and what that means for the message that made it.

use crate::Failure;
use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

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

/// What a failed call means for the message that made it.
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
