//! The one way out of a function: every client of it sends through the same connector.
//!
//! [`aws_config`](crate::aws_config) builds on it, and so may a client of something that is not AWS. It refuses to be built
//! twice. An SDK client that is given no HTTP client makes one of its own, with its own connections, its own TLS
//! configuration and its own copy of the root certificates, and parses those once more for a connector that it makes when it
//! is itself made, to see that it can, and throws away (`validate_base_client_config` in `aws-smithy-http-client`).
//!
//! Connections are kept by host, for ninety seconds without a call. The certificates are the system's, read once a process;
//! why not Amazon's alone is told in `docs/decisions/0012-system-roots-one-connector.md`.

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    behavior_version::BehaviorVersion,
    http::{HttpClient, HttpConnectorSettings, SharedHttpConnector},
    runtime_components::RuntimeComponents,
};
use aws_types::{
    SdkConfig,
    region::Region,
    sdk_config::SharedHttpClient,
    service_config::{LoadServiceConfig, ServiceConfigKey},
};
use std::{env, time::Duration};

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
    config.build()
}

/// Those of the function's role, which Lambda gives an environment for as long as it lives. Without them, each call says that
/// it cannot be signed.
fn credentials() -> Option<Credentials> {
    let [key, secret] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(env::var);
    Some(Credentials::new(key.ok()?, secret.ok()?, env::var("AWS_SESSION_TOKEN").ok(), None, "environment"))
}

/// What the environment says of one service, in the names that the SDKs agree on
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
mod tests {
    use super::for_service;
    use aws_types::service_config::ServiceConfigKey;

    #[test]
    fn an_endpoint_is_named_per_service_as_in_every_sdk() {
        let variable = |service_id| {
            let key = ServiceConfigKey::builder().service_id(service_id).env("AWS_ENDPOINT_URL").profile("endpoint_url");
            for_service(&key.build().unwrap())
        };
        assert_eq!(variable("DynamoDB"), "AWS_ENDPOINT_URL_DYNAMODB");
        assert_eq!(variable("Secrets Manager"), "AWS_ENDPOINT_URL_SECRETS_MANAGER");
    }
}
