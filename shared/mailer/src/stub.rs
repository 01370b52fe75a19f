//! AWS in so far as it gives one answer, again and again, and keeps what it was asked: for the tests of what goes over the
//! wire.

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// What AWS answers: a status and a body, or nothing.
#[derive(Debug, Clone)]
pub(crate) struct Aws {
    answer: Option<(u16, String)>,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Aws {
    pub(crate) fn says(status: u16, answer: &Value) -> Self {
        Self { answer: Some((status, answer.to_string())), asked: Arc::default() }
    }
    pub(crate) fn refuses(code: &str, message: &str) -> Self {
        Self::says(400, &json!({"__type": code, "message": message}))
    }
    pub(crate) fn is_silent() -> Self {
        Self { answer: None, asked: Arc::default() }
    }
    pub(crate) fn config(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
            // As a function has it: whoever must not repeat a call has to say so.
            .retry_config(RetryConfig::standard().with_initial_backoff(std::time::Duration::from_millis(1)))
            .http_client(self.clone())
            .build()
    }
    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        let config = aws_sdk_dynamodb::config::Builder::from(&self.config()).retry_config(RetryConfig::disabled()).build();
        aws_sdk_dynamodb::Client::from_conf(config)
    }
    /// The body of each request there was.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.asked.lock().unwrap().push(serde_json::from_slice(request.body().bytes().unwrap()).unwrap());
        HttpConnectorFuture::ready(match self.answer.clone() {
            Some((status, body)) => Ok(HttpResponse::new(status.try_into().unwrap(), body.into())),
            None => Err(ConnectorError::timeout("too slow".into())),
        })
    }
}
impl HttpClient for Aws {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
