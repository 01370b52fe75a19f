//! The loop inside Lambda, against a runtime API that this test plays: an event in, the ids that failed out.
//!
//! The runtime finds that API by the environment of its process, so the function is a second process: this binary again.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

mod support;

use lambda_kit::batch::SqsQueue;
use serde_json::{Value, json};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};
use support::*;

/// Set in the process that is the function.
const RUNTIME_API: &str = "AWS_LAMBDA_RUNTIME_API";
/// [`Still`]'s time in milliseconds, and four seconds: one for handling, and three of margin.
const DEADLINE_MS: i64 = 1_777_889_472_345 + 4_000;

struct Function(Child);
impl Drop for Function {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}

#[test]
fn an_invocation_is_answered_before_its_deadline_with_the_ids_that_failed() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let api = listener.local_addr().unwrap().to_string();
    let mut function = Command::new(std::env::current_exe().unwrap());
    function.args(["--exact", "the_function", "--nocapture"]).env(RUNTIME_API, api);
    for (name, value) in [("FUNCTION_NAME", "f"), ("FUNCTION_MEMORY_SIZE", "128"), ("FUNCTION_VERSION", "1")] {
        function.env(format!("AWS_LAMBDA_{name}"), value);
    }
    let mut function = Function(function.stdout(Stdio::piped()).spawn().unwrap());
    let mut says = function.0.stdout.take().unwrap();
    let end = listener.local_addr().unwrap();
    // A function that ends without being told to would be waited for without end: then this is the next to call.
    std::thread::spawn(move || io::copy(&mut says, &mut io::sink()).and_then(|_| TcpStream::connect(end)));

    let slow = record(json!({"id": "slow", "takes_ms": 3_600_000}));
    let mut event = json!({"Records": [ok("a"), does("b", "transient"), slow]});
    for record in event["Records"].as_array_mut().unwrap() {
        // Nothing to hide by: no queue is needed.
        record["receiptHandle"] = Value::Null;
    }
    let (request, _) = answer(&listener, "200 OK", &event.to_string());
    assert!(request.starts_with("GET /2018-06-01/runtime/invocation/next "), "{request}");
    let (request, body) = answer(&listener, "202 Accepted", "");
    assert!(request.starts_with("POST /2018-06-01/runtime/invocation/i-1/response "), "{request}");
    assert_eq!(body, json!({"batchItemFailures": [{"itemIdentifier": "m-b"}, {"itemIdentifier": "m-slow"}]}));
    let (request, _) = answer(&listener, "200 OK", &json!({"Records": []}).to_string());
    assert!(request.starts_with("GET "), "and it asks for the next: {request}");
}

/// The function itself, in the process that the test above starts; nothing in any other.
#[tokio::test]
async fn the_function() {
    if std::env::var_os(RUNTIME_API).is_some() {
        let core = core();
        let sqs = aws_sdk_sqs::Client::new(
            &lambda_kit::SdkConfig::builder().behavior_version(aws_sdk_sqs::config::BehaviorVersion::latest()).build(),
        );
        let queue = SqsQueue::new(sqs, "https://sqs.example/1/work", "https://sqs.example/1/work-dead");
        lambda_kit::batch::run(core.consumer, core.publisher, queue, core.ambient).await.unwrap();
    }
}

/// Answers one request of the runtime; returns its first line and its body.
fn answer(listener: &TcpListener, status: &str, body: &str) -> (String, Value) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        head.push(line.trim().to_owned());
    }
    let length = head.iter().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut sent = vec![0; length];
    reader.read_exact(&mut sent).unwrap();
    let headers = format!("Lambda-Runtime-Aws-Request-Id: i-1\r\nLambda-Runtime-Deadline-Ms: {DEADLINE_MS}\r\nConnection: close");
    let arn = "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:f";
    let length = body.len();
    write!(stream, "HTTP/1.1 {status}\r\n{headers}\r\n{arn}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .unwrap();
    assert!(!head.is_empty(), "the function ended");
    (head.remove(0), serde_json::from_slice(&sent).unwrap_or_default())
}
