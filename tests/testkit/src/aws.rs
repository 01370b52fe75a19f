//! AWS in so far as it gives the answers that a test has written, and keeps what it was asked: under the SDK's own client, so that
//! what is asserted is what goes over the wire.
#![allow(clippy::unwrap_used, reason = "what is not as the tests expect fails them, helpers included")]

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider, retry::RetryConfig};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_types::SdkConfig;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

/// Gives one answer after the other, the last for ever.
#[derive(Debug, Clone, Default)]
pub struct Aws(Arc<Mutex<Talk>>);

#[derive(Debug, Default)]
struct Talk {
    answers: VecDeque<(u16, Vec<u8>)>,
    asked: Vec<RecordedCall>,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedCall {
    /// `POST https://…`
    pub line: String,
    /// The body.
    pub body: String,
}

/// The entity tag of every answer.
pub const ETAG: &str = "\"e1\"";

impl Aws {
    /// One answer, again and again.
    pub fn says(status: u16, answer: &Value) -> Self {
        Self::answering([(status, answer.to_string())])
    }
    /// These answers, one after the other.
    pub fn says_all(answers: impl IntoIterator<Item = (u16, Value)>) -> Self {
        Self::answering(answers.into_iter().map(|(status, answer)| (status, answer.to_string())))
    }
    /// These bodies, one after the other; a status of 0 is no answer at all.
    pub fn answering<B: Into<Vec<u8>>>(answers: impl IntoIterator<Item = (u16, B)>) -> Self {
        let answers = answers.into_iter().map(|(status, body)| (status, body.into())).collect();
        Self(Arc::new(Mutex::new(Talk { answers, asked: Vec::new() })))
    }
    /// A refusal with this code.
    pub fn refuses(code: &str, message: &str) -> Self {
        Self::says(400, &json!({"__type": code, "message": message}))
    }
    /// No answer, however long one waits.
    pub fn is_silent() -> Self {
        Self::default()
    }
    /// For clients that repeat calls as a function's do: a caller that must not has to say so.
    pub fn config(&self) -> SdkConfig {
        self.with(RetryConfig::standard().with_initial_backoff(std::time::Duration::from_millis(1)))
    }
    /// For clients that repeat nothing, so that each call is seen once.
    pub fn config_without_retries(&self) -> SdkConfig {
        self.with(RetryConfig::disabled())
    }
    fn with(&self, retries: RetryConfig) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
            .retry_config(retries)
            .http_client(self.clone())
            .build()
    }
    /// A client of DynamoDB that repeats nothing.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        aws_sdk_dynamodb::Client::new(&self.config_without_retries())
    }
    /// Each request there was.
    pub fn requests(&self) -> Vec<RecordedCall> {
        self.0.lock().unwrap().asked.clone()
    }
    /// The body of each request there was, all JSON.
    pub fn asked(&self) -> Vec<Value> {
        self.requests().iter().map(|asked| serde_json::from_str(&asked.body).unwrap()).collect()
    }
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut talk = self.0.lock().unwrap();
        let body = String::from_utf8(request.body().bytes().unwrap_or_default().to_vec()).unwrap();
        talk.asked.push(RecordedCall { line: format!("{} {}", request.method(), request.uri()), body });
        let answer = if talk.answers.len() > 1 { talk.answers.pop_front() } else { talk.answers.front().cloned() };
        HttpConnectorFuture::ready(match answer.filter(|(status, _)| *status != 0) {
            Some((status, body)) => {
                let mut response = HttpResponse::new(status.try_into().unwrap(), body.into());
                response.headers_mut().insert("etag", ETAG);
                Ok(response)
            }
            None => Err(ConnectorError::timeout("too slow".into())),
        })
    }
}

impl HttpClient for Aws {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// The answer to a write whose condition failed, with the item that is there.
pub fn condition_failed(item: Option<Value>) -> Value {
    let mut answer =
        json!({"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "The conditional request failed"});
    if let Some(item) = item {
        answer["Item"] = item;
    }
    answer
}

/// The answer of a table that is asked too much.
pub fn throttled() -> Value {
    json!({"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException", "message": "slow down"})
}
