//! What the AWS SDK says of a call that failed, in one word.

use aws_smithy_runtime_api::client::result::SdkError;
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
