//! The one way out of a function: every client of it sends through the same connector.
//!
//! [`aws_config`](crate::aws_config) builds on it, and so may a client of something that is not AWS. It refuses to be built
//! twice. An SDK client that is given no HTTP client makes one of its own, with its own connections, its own TLS
//! configuration and its own copy of the root certificates, and parses those once more for a connector that it makes when it
//! is itself made, to see that it can, and throws away (`validate_base_client_config` in `aws-smithy-http-client`).
//!
//! Connections are kept by host, for ninety seconds without a call. The certificates are the system's, read once a process;
//! why not Amazon's alone is told in `docs/decisions/0012-system-roots-one-connector.md`.

use aws_config::{
    BehaviorVersion, SdkConfig,
    environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider},
};
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnectorSettings, SharedHttpConnector},
    runtime_components::RuntimeComponents,
};
use std::time::Duration;

/// For TCP and TLS to a new connection: a handshake across an ocean takes less than half of it, a lost packet included. The
/// SDK tries three times, and three times two seconds fit into the seven that the batch core leaves of an invocation of ten;
/// three of the SDK's own 3.1 s would not.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A connector, made for one function and shared by all of its clients. The root certificates are read here, in the init
/// phase, which has the CPU for it.
pub fn connector() -> SharedHttpConnector {
    let settings = HttpConnectorSettings::builder().connect_timeout(CONNECT_TIMEOUT).build();
    // A proxy, where the environment names one: as the SDK's own connector has it.
    let connector = Connector::builder().connector_settings(settings).proxy_config(ProxyConfig::from_env());
    SharedHttpConnector::new(connector.tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build())
}

/// The AWS configuration whose clients all send through `connector`.
///
/// Region and credentials come from the environment, where Lambda puts them, and from nowhere else: the SDK's default chain
/// would build clients of the instance metadata service for each, with a connector apiece, only never to ask them.
/// Endpoints may be named by `AWS_ENDPOINT_URL` and its forms per service.
pub async fn aws_config_over(connector: SharedHttpConnector) -> SdkConfig {
    let loader = aws_config::defaults(BehaviorVersion::latest()).http_client(OneConnector(connector));
    let loader = loader.region(EnvironmentVariableRegionProvider::new());
    loader.credentials_provider(EnvironmentVariableCredentialsProvider::new()).load().await
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
