//! Opens a function's connections before its first event.
//!
//! `main` calls [`warm_up`] last before it serves events. Until then the function is in its init phase and has a whole CPU;
//! after it, at 128 MB, a fourteenth of one, and there a first TLS handshake takes a good part of a second. It never
//! prevents a start: what cannot be opened in time is said once, and the first call opens it as if nobody had tried.
//!
//! An SDK client is warmed by a call of its own, one that the function makes anyway, so that no other is compiled in.
//! Shortly before it is sent, [`WarmUpRequest`] puts a bare `GET /` without signature, headers and body in its place. So
//! the endpoint is the one that the SDK finds (region, `AWS_ENDPOINT_URL`, a bucket's own host), the connection lands in
//! the pool that the client uses, and endpoint rules, credentials and signing have run once, which costs more the first
//! time than ever after. And the service sees a stranger who asks for nothing: no permission is needed, nothing is changed,
//! no error of this role stands in CloudTrail. Whatever it answers, the connection is open. A signed call that only reads
//! (`DescribeEndpoints`, `GetTopicAttributes`) was rejected because roles would need a permission for nothing else. A bare
//! request past the SDK, to an endpoint that its resolver names, was rejected because it warms the connection alone.
//!
//! A connection is for one call at a time where it is HTTP/1.1, as those of DynamoDB, SNS and SQS are. A batch that writes
//! ten records concurrently wants ten: who wants more of them open lists the endpoint as often.

use crate::sdk::code;
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextMut},
        },
        orchestrator::{HttpRequest, HttpResponse},
        result::SdkError,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{config_bag::ConfigBag, error::metadata::ProvideErrorMetadata, retry::RetryConfig};
use futures_util::future::join_all;
use std::{fmt, pin::Pin, time::Duration};
use tokio::time::{Instant, timeout_at};

/// Longest time for all connections together. Within a region a handshake takes milliseconds, across an ocean a third of a
/// second. Lambda ends an init phase after ten seconds, and starts it anew under the invocation's own limit; and a function
/// that waits for the first answer waits for this too.
pub const LIMIT: Duration = Duration::from_secs(1);

/// A connection that is about to be opened.
pub struct Opening<'a> {
    to: &'static str,
    attempt: Pin<Box<dyn Future<Output = Result<(), String>> + 'a>>,
}

impl fmt::Debug for Opening<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Opening").field(&self.to).finish()
    }
}

impl<'a> Opening<'a> {
    /// An attempt to open a connection to the service `to`, or to fetch what every first event needs. It is dropped when
    /// time is up. Its error goes into the log, and must have nothing secret or personal in it.
    pub fn new(to: &'static str, attempt: impl Future<Output = Result<(), String>> + 'a) -> Self {
        Self { to, attempt: Box::pin(attempt) }
    }

    /// The same by a call of the SDK, which is to be customized with [`WarmUpRequest`]. Any answer will do.
    pub fn by_call<T, E>(to: &'static str, call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>> + 'a) -> Self
    where
        E: ProvideErrorMetadata,
    {
        Self::new(to, async move {
            match call.await {
                // A refusal, or an answer that is none of the operation's.
                Ok(_) | Err(SdkError::ServiceError(_) | SdkError::ResponseError(_)) => Ok(()),
                Err(error) => Err(code(&error).to_owned()),
            }
        })
    }
}

/// Opens all of them at once, and waits for as long as [`LIMIT`].
pub async fn warm_up<'a>(openings: impl IntoIterator<Item = Opening<'a>>) {
    let deadline = Instant::now() + LIMIT;
    let attempts = openings.into_iter().map(|Opening { to, attempt }| async move {
        let opened = timeout_at(deadline, attempt).await.unwrap_or_else(|_| Err("Timeout".to_owned()));
        opened.err().map(|why| format!("{to}: {why}"))
    });
    let mut cold: Vec<String> = join_all(attempts).await.into_iter().flatten().collect();
    cold.dedup();
    if !cold.is_empty() {
        tracing::info!(cold = cold.join(", "), "not every connection is open yet; the first call opens the rest");
    }
}

/// Puts a bare `GET /` to the same endpoint in place of the call that it customizes, and lets it be tried once.
#[derive(Debug, Clone, Copy)]
pub struct WarmUpRequest;

impl Intercept for WarmUpRequest {
    fn name(&self) -> &'static str {
        "WarmUpRequest"
    }

    fn read_before_execution(&self, _: &BeforeSerializationInterceptorContextRef<'_>, cfg: &mut ConfigBag) -> Result<(), BoxError> {
        cfg.interceptor_state().store_put(RetryConfig::disabled());
        Ok(())
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        *request = HttpRequest::get(root(request.uri()))?;
        Ok(())
    }
}

/// Scheme, host and port of `uri`, and the path `/`.
fn root(uri: &str) -> String {
    let host = uri.find("://").map_or(0, |at| at + "://".len());
    let path = uri[host..].find(['/', '?']).map_or(uri.len(), |at| host + at);
    format!("{}/", &uri[..path])
}

#[cfg(test)]
mod tests {
    use super::root;

    #[test]
    fn a_warm_up_request_goes_to_the_root_without_headers() {
        for uri in ["https://bucket.s3.eu-west-1.amazonaws.com/a/key?x-id=GetObject", "https://bucket.s3.eu-west-1.amazonaws.com?a=/"] {
            assert_eq!(root(uri), "https://bucket.s3.eu-west-1.amazonaws.com/");
        }
        assert_eq!(root("http://127.0.0.1:4566"), "http://127.0.0.1:4566/");
    }
}
