//! AWS and the payment provider under the functions' own clients, with one thing that is wrong.
//!
//! What goes well is answered as the bench answers it, the consumer's queue is [`queue`](crate::queue)'s. It refuses a request
//! that neither knows, so that no failure is one of the drill itself.

use crate::queue::Queue;
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use bench::aws::{Answers, Service, operation_of};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long a call takes where nothing is wrong.
const LATENCY: Duration = Duration::from_millis(20);

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StubAnswer {
    /// With a status and a code, in the form of the service.
    Refused(u16, &'static str),
    /// `PublishBatch` answers 200 and says of each entry that it failed.
    EntriesFailed,
    /// Not at all.
    Silent,
    /// The connection is refused.
    Unreachable,
    /// With this body, whatever was asked.
    Says(u16, &'static str),
}

/// What is wrong: some calls fail.
#[derive(Debug, Clone)]
pub struct InjectedFault {
    /// Calls to this service,
    pub service: Service,
    /// of these operations; empty for all. `Update` is every write that IAM calls `UpdateItem`.
    pub operations: Operations,
    /// about this resource; empty for all.
    pub about: String,
    /// fail like this.
    pub answer: StubAnswer,
}

/// Which operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operations {
    /// All of a service.
    All,
    /// Those that begin so.
    Named(&'static str),
    /// Those that need an action of IAM, by its name without the service.
    Needing(&'static str),
}

/// The cloud of one run. Clones are the same one.
#[derive(Debug, Clone)]
pub struct StubCloud(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    answers: Answers,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: Option<Queue>,
    troubles: Vec<InjectedFault>,
    /// How many calls failed because of them.
    failed: u64,
    /// What nobody had an answer to.
    unknown: Vec<String>,
}

impl StubCloud {
    /// A cloud with this queue and empty tables, in which nothing is wrong.
    pub fn new(keys: BTreeMap<String, String>, queue: Option<Queue>) -> Self {
        Self(Arc::new(Inner { answers: Answers::new(keys), state: Mutex::new(State { queue, ..State::default() }) }))
    }
    /// From now on.
    pub fn goes_wrong(&self, troubles: &[InjectedFault]) {
        self.state().troubles = troubles.to_vec();
    }
    /// How many calls failed because of what is wrong, the first of the troubles.
    pub fn failed(&self) -> u64 {
        self.state().failed
    }
    /// Requests that had no answer.
    pub fn unknown(&self) -> Vec<String> {
        self.state().unknown.clone()
    }
    /// The way to it for a client.
    pub fn connector(&self) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
    /// Does something with the queue, if there is one.
    pub fn with_queue<T>(&self, what: impl FnOnce(&mut Queue) -> T) -> Option<T> {
        self.state().queue.as_mut().map(what)
    }
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, service: Service, head: &http::request::Parts, body: &[u8]) -> Option<http::Response<Vec<u8>>> {
        let operation = operation_of(service, head, body);
        let mut state = self.state();
        let trouble = state.troubles.iter().position(|trouble| trouble.hits(service, &operation, head, body));
        if let Some((place, trouble)) = trouble.and_then(|place| Some((place, state.troubles.get(place)?.clone()))) {
            // The others are there so that the first is met.
            state.failed += u64::from(place == 0);
            return refusal(trouble.answer, service, body);
        }
        let answered = match service {
            Service::Sqs => match &mut state.queue {
                Some(queue) => ask_queue(queue, &operation, body),
                None => Err("there is no queue".to_owned()),
            },
            // Nothing is uncollected.
            Service::DynamoDb if operation == "Query" => Ok(json_answer(200, &json!({"Items": [], "Count": 0, "ScannedCount": 0}))),
            _ => self.0.answers.answer(service, head, body),
        };
        Some(answered.unwrap_or_else(|why| {
            state.unknown.push(why);
            json_answer(400, &json!({"__type": "UnknownOperationException", "message": "not known to the drill"}))
        }))
    }
}

impl InjectedFault {
    fn hits(&self, service: Service, operation: &str, head: &http::request::Parts, body: &[u8]) -> bool {
        let about = || {
            let text = format!("{} {}", head.uri, String::from_utf8_lossy(body)).to_ascii_lowercase();
            text.contains(&self.about.to_ascii_lowercase())
        };
        self.service == service && self.operations.include(operation, body) && about()
    }
}

impl Operations {
    fn include(self, operation: &str, body: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Named(name) => operation.starts_with(name),
            // A transaction needs the action of each of its writes
            // (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html>).
            Self::Needing(action) if operation == "TransactWriteItems" => {
                let part = format!("\"{}\":", action.trim_end_matches("Item"));
                String::from_utf8_lossy(body).contains(&part)
            }
            Self::Needing(action) => action.strip_suffix('*').map_or(operation == action, |family| operation.starts_with(family)),
        }
    }
}

/// A call as its service refuses it; nothing where it does not answer.
fn refusal(answer: StubAnswer, service: Service, body: &[u8]) -> Option<http::Response<Vec<u8>>> {
    let (status, code) = match answer {
        StubAnswer::Silent | StubAnswer::Unreachable => return None,
        StubAnswer::Says(status, text) => return Some(response(status, "application/json", text.as_bytes().to_vec(), "")),
        StubAnswer::EntriesFailed => {
            let ids = form_urlencoded::parse(body).filter(|(name, _)| name.starts_with("PublishBatch") && name.ends_with(".Id"));
            let member = |id: &str| format!("<member><Id>{id}</Id><Code>InternalError</Code><SenderFault>false</SenderFault></member>");
            let failed: String = ids.map(|(_, id)| member(&id)).collect();
            let xml = format!(
                "<PublishBatchResponse><PublishBatchResult><Successful/><Failed>{failed}</Failed></PublishBatchResult></PublishBatchResponse>"
            );
            return Some(response(200, "text/xml", xml.into_bytes(), ""));
        }
        StubAnswer::Refused(status, code) => (status, code),
    };
    let message = "is not authorized to perform this, or something else is wrong"; // the first as IAM says it
    Some(match service {
        Service::Sns | Service::CloudFormation => {
            let xml =
                format!("<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>");
            response(status, "text/xml", xml.into_bytes(), "")
        }
        Service::S3 => {
            response(status, "application/xml", format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>").into_bytes(), "")
        }
        _ => response(status, "application/json", json!({"__type": code, "message": message}).to_string().into_bytes(), code),
    })
}

fn response(status: u16, content_type: &str, body: Vec<u8>, error_type: &str) -> http::Response<Vec<u8>> {
    let mut response = http::Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    let headers = response.headers_mut();
    if let Ok(value) = content_type.parse() {
        headers.insert("content-type", value);
    }
    if let (false, Ok(value)) = (error_type.is_empty(), error_type.parse()) {
        headers.insert("x-amzn-errortype", value);
    }
    response
}

fn json_answer(status: u16, body: &Value) -> http::Response<Vec<u8>> {
    response(status, "application/json", body.to_string().into_bytes(), "")
}

/// What the batch core asks of SQS.
fn ask_queue(queue: &mut Queue, operation: &str, body: &[u8]) -> Result<http::Response<Vec<u8>>, String> {
    let asked: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let url = asked["QueueUrl"].as_str().unwrap_or_default().to_owned();
    let is_dead_letters = url.ends_with(&queue.dead_letters);
    let mut send = |message: &Value| {
        if is_dead_letters {
            queue.dead += 1;
            return;
        }
        let mut record = queue.record(message["MessageBody"].as_str().unwrap_or_default(), message["MessageGroupId"].as_str());
        for (name, attribute) in message["MessageAttributes"].as_object().into_iter().flatten() {
            record["messageAttributes"][name] = json!({"stringValue": attribute["StringValue"], "dataType": attribute["DataType"],
                "stringListValues": [], "binaryListValues": []});
        }
        queue.send(record, message["DelaySeconds"].as_u64().map(Duration::from_secs));
    };
    let entries = || asked["Entries"].as_array().into_iter().flatten();
    let successful = |extra: &Value| -> Vec<Value> {
        entries()
            .map(|entry| {
                let mut done = extra.clone();
                done["Id"] = entry["Id"].clone();
                done
            })
            .collect()
    };
    let sent = json!({"MessageId": "m", "MD5OfMessageBody": "0"});
    Ok(json_answer(
        200,
        &match operation {
            "SendMessage" => {
                send(&asked);
                json!({"MessageId": "m"})
            }
            "SendMessageBatch" => {
                entries().for_each(&mut send);
                json!({"Successful": successful(&sent), "Failed": []})
            }
            "ChangeMessageVisibilityBatch" => {
                for entry in entries() {
                    queue.hide(entry["ReceiptHandle"].as_str().unwrap_or_default(), entry["VisibilityTimeout"].as_u64().unwrap_or(0));
                }
                json!({"Successful": successful(&json!({})), "Failed": []})
            }
            _ => return Err(format!("SQS has no {operation} here")),
        },
    ))
}

/// The service behind a host.
fn service_of(host: &str) -> Option<Service> {
    let known = [
        ("dynamodb.", Service::DynamoDb),
        ("sns.", Service::Sns),
        ("sqs.", Service::Sqs),
        ("secretsmanager.", Service::SecretsManager),
        ("email.", Service::Ses),
        ("cloudformation.", Service::CloudFormation),
        ("logs.", Service::CloudWatchLogs),
        ("api.stripe.com", Service::Stripe),
    ];
    let found = known.into_iter().find(|(name, _)| host.starts_with(name)).map(|(_, service)| service);
    found.or_else(|| (host.contains(".s3.") || host.starts_with("s3.")).then_some(Service::S3))
}

impl HttpConnector for StubCloud {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let cloud = self.clone();
        HttpConnectorFuture::new(async move {
            let unsendable = |error: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(error);
            let body = request.body().bytes().unwrap_or_default().to_vec();
            let request = request.try_into_http1x().map_err(|error| unsendable(error.into()))?;
            let (mut head, _) = request.into_parts();
            let host = head.uri.host().unwrap_or_default().to_owned();
            let service = service_of(&host).ok_or_else(|| unsendable(format!("nobody is at {host}").into()))?;
            if let (Service::S3, Some((bucket, _))) = (service, host.split_once(".s3.")) {
                // The bucket before the host is the first part of the path elsewhere.
                let path = format!("/{bucket}{}", head.uri.path_and_query().map_or("/", |path| path.as_str()));
                head.uri = path.parse().map_err(|error: http::uri::InvalidUri| unsendable(error.into()))?;
            }
            tokio::time::sleep(LATENCY).await;
            match cloud.answer(service, &head, &body) {
                Some(answer) => {
                    let (head, body) = answer.into_parts();
                    let status = StatusCode::try_from(head.status.as_u16()).map_err(|error| unsendable(error.into()))?;
                    let mut response = HttpResponse::new(status, SdkBody::from(body));
                    for (name, value) in &head.headers {
                        response.headers_mut().insert(name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned());
                    }
                    Ok(response)
                }
                None if cloud.is_unreachable(service) => Err(ConnectorError::io("connection refused".into())),
                None => std::future::pending().await,
            }
        })
    }
}

impl StubCloud {
    fn is_unreachable(&self, service: Service) -> bool {
        self.state().troubles.iter().any(|trouble| trouble.service == service && trouble.answer == StubAnswer::Unreachable)
    }
}
