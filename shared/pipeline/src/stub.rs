//! DynamoDB as the tests of the tables need it: under the SDK's own client, so that what is asserted is what is sent.
#![allow(clippy::unwrap_used, reason = "what is not as the tests expect fails them, helpers included")]

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    runtime_components::RuntimeComponents,
};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// Gives one answer and keeps what it was asked.
#[derive(Debug, Clone)]
struct Stub {
    answer: (u16, String),
    asked: Arc<Mutex<Vec<Value>>>,
}
impl HttpConnector for Stub {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.asked.lock().unwrap().push(serde_json::from_slice(request.body().bytes().unwrap()).unwrap());
        let (status, body) = self.answer.clone();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().unwrap(), body.into())))
    }
}
impl HttpClient for Stub {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// A client that gets this answer each time, and what it asked.
pub fn client(status: u16, answer: &Value) -> (Client, Arc<Mutex<Vec<Value>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let stub = Stub { answer: (status, answer.to_string()), asked: asked.clone() };
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .http_client(stub)
        .build();
    (Client::from_conf(config), asked)
}

/// The answer to a write whose condition failed, with the item that is there.
pub fn refused(item: Option<Value>) -> Value {
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
