//! The one way out of a function: every client of it sends through the same connector.
//!
//! [`aws_config`](crate::aws_config) builds on it, and so may a client of something that is not AWS. It is built once. An
//! SDK client that is given no HTTP client makes one of its own, with its own connections, its own TLS configuration and
//! its own copy of the root certificates, and parses those once more for a connector that it makes when it is itself made,
//! to see that it can, and throws away (`validate_base_client_config` in `aws-smithy-http-client`).
//!
//! Connections are kept by host, for ninety seconds without a call. A connection is used again only after a whole answer has
//! come over it: [`Poisoning`] says why. The certificates are the system's, read once a process;
//! why not Amazon's alone is told in `docs/decisions/0012-system-roots-one-connector.md`.

use crate::sdk;
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    behavior_version::BehaviorVersion,
    connection::CaptureSmithyConnection,
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
    stalled_stream_protection::StalledStreamProtectionConfig,
};
use aws_smithy_types::body::SdkBody;
use aws_types::{
    SdkConfig,
    region::Region,
    sdk_config::SharedHttpClient,
    service_config::{LoadServiceConfig, ServiceConfigKey},
};
use http_body::{Body, Frame, SizeHint};
use std::{
    env,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

/// For TCP and TLS to a new connection: a handshake across an ocean takes less than half of it, a lost packet included. An
/// attempt of the SDK's, connecting included, ends after the same time ([`sdk::ATTEMPT_LIMIT`]); this limit is for clients
/// whose calls may take longer than that.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A connector, made for one function and shared by all of its clients. The root certificates are read here, in the init
/// phase, which has the CPU for it.
pub fn connector() -> SharedHttpConnector {
    connector_trusting(TlsContext::default())
}

/// The same, with another trust store: for a test's server.
fn connector_trusting(context: TlsContext) -> SharedHttpConnector {
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build();
    // A proxy, where the environment names one: as the SDK's own connector has it.
    let connector = Connector::builder().connector_settings(settings).proxy_config(ProxyConfig::from_env());
    let connector = connector.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).tls_context(context).build();
    SharedHttpConnector::new(Poisoning(connector))
}

/// A connector that uses a connection again only after a whole answer has come over it.
///
/// A connection dies silently when a machine or a NAT gateway between forgets it: no packet says so. Over HTTP/1.1 a call that
/// is dropped, because its time is up, closes its connection. Over HTTP/2 it resets its stream alone: the connection stays in
/// the pool, and every later call takes it and waits in vain.
///
/// ```text
/// call 1 ── answered ─▶ connection A goes to the pool
///                       A goes silent
/// call 2 ── A ── time is up ─▶ poisoned here, by its guard's drop
/// call 3 ── the pool drops A, opens B ── answered
/// ```
///
/// The SDK's orchestrator poisons a connection after an attempt that failed (`ConnectionPoisoningInterceptor`), but only a client
/// that goes through it has that, and only for a call that is polled to its end: not one that a deadline drops. Here it holds
/// for every client, and for whatever ends a call: a limit of the client's own, the batch core's deadline, a panic. Other calls
/// on the same connection go on; only new ones do not begin on it.
#[derive(Debug)]
struct Poisoning<C>(C);

impl<C: HttpConnector> HttpConnector for Poisoning<C> {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        // The orchestrator attaches one to each attempt; it and the guard then see the same connection.
        let connection = request.extension::<CaptureSmithyConnection>().cloned().unwrap_or_else(|| {
            let connection = CaptureSmithyConnection::new();
            request.add_extension(connection.clone());
            connection
        });
        let guard = Guard(Some(connection));
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let mut response = answer.await?;
            let body = response.take_body();
            *response.body_mut() = SdkBody::from_body_1_x(Guarded { body, guard });
            Ok(response)
        })
    }
}

/// Poisons its connection when dropped, unless the answer was whole before.
struct Guard(Option<CaptureSmithyConnection>);

impl Drop for Guard {
    fn drop(&mut self) {
        // None where no connection was made.
        if let Some(connection) = self.0.take().and_then(|connection| connection.get()) {
            connection.poison();
        }
    }
}

/// The body of an answer, which is whole once it has been read to its end.
struct Guarded {
    body: SdkBody,
    guard: Guard,
}

impl Guarded {
    fn whole(&mut self) {
        self.guard.0 = None;
    }
}

impl Body for Guarded {
    type Data = <SdkBody as Body>::Data;
    type Error = <SdkBody as Body>::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        // A reader that knows the length does not ask for more than that.
        if frame.is_none() || matches!(&frame, Some(Ok(_))) && Body::is_end_stream(&this.body) {
            this.whole();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        Body::is_end_stream(&self.body)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // An empty body is at its end before anybody reads it.
        if Body::is_end_stream(&self.body) {
            self.whole();
        }
    }
}

/// The AWS configuration whose clients all send through `connector`.
///
/// Region, credentials and endpoints come from the environment, where Lambda puts them, and from nowhere else, and so they are
/// read here and not by `aws-config`: its default chain brings a client of STS, of the instance metadata service and of the
/// container's, and a parser for profiles, which a function carries and loads and never asks. Endpoints may be named by
/// `AWS_ENDPOINT_URL` and its forms per service; what else the SDK reads from the environment elsewhere (attempts, FIPS) is not.
pub fn aws_config_over(connector: SharedHttpConnector) -> SdkConfig {
    let mut config = SdkConfig::builder();
    config.set_behavior_version(Some(BehaviorVersion::latest()));
    config.set_http_client(Some(SharedHttpClient::new(OneConnector(connector))));
    config.set_service_config(Some(Environment));
    config.set_region(env::var("AWS_REGION").ok().map(Region::new));
    config.set_credentials_provider(credentials().map(SharedCredentialsProvider::new));
    config.set_retry_config(Some(sdk::retries()));
    config.set_timeout_config(Some(sdk::time_limits(sdk::ATTEMPT_LIMIT)));
    // An attempt ends with the headers of an answer whose body is read by the caller (S3's GetObject alone): a body that stands
    // still is given as long again, and not the SDK's own five seconds.
    let protection = StalledStreamProtectionConfig::enabled().grace_period(sdk::ATTEMPT_LIMIT);
    config.set_stalled_stream_protection(Some(protection.build()));
    config.build()
}

/// Those of the function's role, which Lambda gives an environment for as long as it lives. Without them, each call says that
/// it cannot be signed.
fn credentials() -> Option<Credentials> {
    let [key, secret] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(env::var);
    // Keys that are no role's have none; `sam local` says so by an empty one.
    let token = env::var("AWS_SESSION_TOKEN").ok().filter(|token| !token.is_empty());
    Some(Credentials::new(key.ok()?, secret.ok()?, token, None, "environment"))
}

/// The environment's settings for one service, in the names that the SDKs agree on
/// (<https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html>).
#[derive(Debug)]
struct Environment;

impl LoadServiceConfig for Environment {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        env::var(for_service(&key)).or_else(|_| env::var(key.env())).ok()
    }
}

/// `AWS_ENDPOINT_URL_SECRETS_MANAGER`, for the service `Secrets Manager`.
fn for_service(key: &ServiceConfigKey<'_>) -> String {
    format!("{}_{}", key.env(), key.service_id().to_ascii_uppercase().replace([' ', '-'], "_"))
}

/// The SDK's view of it. Time limits of a client's own on connecting and reading are not looked at, because another limit
/// would be another connector; limits on attempts and operations are the SDK's to keep, and hold.
#[derive(Debug)]
struct OneConnector(SharedHttpConnector);

impl HttpClient for OneConnector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests;
