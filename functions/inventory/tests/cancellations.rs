//! What the real store makes of answers that no local engine gives: conflicts, throttles and lost answers, played back by a
//! stand-in as DynamoDB words them (<https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
};
use domain::{Item, OrderId, Timestamp, inventory::State};
use inventory::warehouse::{Attempt, Taken, Warehouse, WarehouseTables};
use lambda_kit::{Kind, dynamodb::Updated};
use std::{cell::RefCell, collections::VecDeque, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const DONE: &str = "{}";
/// Read, and never answered: the connection breaks.
const LOST: &str = "";

fn cancelled(reasons: &[&str]) -> String {
    let reasons = reasons.join(",");
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    format!(r#"{{"__type":"{kind}","Message":"Transaction cancelled","CancellationReasons":[{reasons}]}}"#)
}
const FINE: &str = r#"{"Code":"None"}"#;
const FAILED: &str = r#"{"Code":"ConditionalCheckFailed","Message":"The conditional request failed"}"#;
const CONFLICT: &str = r#"{"Code":"TransactionConflict","Message":"Transaction is ongoing for the item"}"#;
const THROTTLED: &str = r#"{"Code":"ThrottlingError","Message":"Throughput exceeds the current capacity of your table or index."}"#;
const EXCEEDED: &str =
    r#"{"Code":"ProvisionedThroughputExceeded","Message":"The level of configured provisioned throughput for the table was exceeded."}"#;
const INVALID: &str = r#"{"Code":"ValidationError","Message":"An operand in the update expression has an incorrect data type"}"#;

/// Has one `reserve` met by `answers`, one request each. Returns what became of it, and the bodies of the requests.
async fn reserve(answers: &[&str]) -> (Result<Attempt<Taken>, lambda_kit::Failure>, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let bodies = RefCell::new(Vec::new());
    let mut answers: VecDeque<_> = answers.iter().map(|answer| (*answer).to_owned()).collect();
    let stand_in = async {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let body = read_request(&mut connection).await;
            bodies.borrow_mut().push(body);
            let answer = answers.pop_front().expect("no further request was expected");
            if answer != LOST {
                let status = if answer == DONE { "200 OK" } else { "400 Bad Request" };
                let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.0\r\nconnection: close\r\n");
                connection.write_all(format!("{head}content-length: {}\r\n\r\n{answer}", answer.len()).as_bytes()).await.unwrap();
            }
        }
    };
    // The SDK retries as it does by default, only sooner.
    let retries = RetryConfig::standard().with_initial_backoff(Duration::from_millis(1));
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .retry_config(retries);
    let client =
        Client::from_conf(config.endpoint_url(endpoint).credentials_provider(Credentials::new("test", "test", None, None, "test")).build());
    let warehouse = WarehouseTables::new(client, "stock", "reservations");
    let (items, at) = (items(), Timestamp::from_second(5).unwrap());
    let order: OrderId = ORDER.parse().unwrap();
    let outcome = tokio::select! {
        outcome = warehouse.reserve(&order, &items, at) => outcome,
        () = stand_in => unreachable!("it serves until the store is done"),
    };
    (outcome, bodies.into_inner())
}

async fn read_request(connection: &mut tokio::net::TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let n = connection.read(&mut chunk).await.unwrap();
        assert!(n > 0, "the request broke off");
        read.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&read);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(|n| n.trim().parse::<usize>().unwrap()));
        if body.len() >= length.unwrap() {
            return body.to_owned();
        }
    }
}

const ORDER: &str = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";
fn items() -> Vec<Item> {
    ["CUP", "MUG"].map(|code| Item { sku: code.parse().unwrap(), quantity: 1 }).to_vec()
}
fn token(body: &str) -> &str {
    body.split_once(r#""ClientRequestToken":""#).and_then(|(_, rest)| rest.split_once('"')).unwrap().0
}

#[tokio::test]
async fn conflicts_and_throttles_are_not_retried_by_the_sdk() {
    for reason in [CONFLICT, THROTTLED, EXCEEDED] {
        for reasons in [[reason, FINE, FINE], [FINE, FINE, reason], [FINE, FAILED, reason], [reason, FAILED, FAILED]] {
            let (outcome, requests) = reserve(&[&cancelled(&reasons)]).await;
            assert_eq!(outcome.unwrap(), Attempt::Contended, "{reasons:?}");
            assert_eq!(requests.len(), 1);
        }
    }
}

#[tokio::test]
async fn the_old_image_of_the_reservation_comes_before_conflicts_and_stock() {
    let image = format!(
        r#"{{"order_id":{{"S":"{ORDER}"}},"state":{{"S":"reserved"}},"reserved_at":{{"S":"1970-01-01T00:00:09Z"}},
            "items":{{"L":[{{"M":{{"sku":{{"S":"CUP"}},"quantity":{{"N":"1"}}}}}}]}}}}"#
    );
    let found = format!(r#"{{"Code":"ConditionalCheckFailed","Message":"The conditional request failed","Item":{image}}}"#);
    let (outcome, _) = reserve(&[&cancelled(&[&found, CONFLICT, FAILED])]).await;
    let state = State::Reserved { items: items()[..1].to_vec(), reserved_at: Timestamp::from_second(9).unwrap() };
    assert_eq!(outcome.unwrap(), Attempt::Through(Taken::Decided(Updated::Refused(Some(state)))));
}

#[tokio::test]
async fn only_a_cancellation_for_stock_alone_is_short() {
    let (outcome, _) = reserve(&[&cancelled(&[FINE, FINE, FAILED])]).await;
    assert_eq!(outcome.unwrap(), Attempt::Through(Taken::Short(vec!["MUG".parse().unwrap()])));
    let (outcome, _) = reserve(&[&cancelled(&[FINE, INVALID, FAILED])]).await;
    let failure = outcome.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Bug, "ValidationError"));
    let (outcome, _) = reserve(&[&cancelled(&[])]).await;
    assert_eq!(outcome.unwrap_err().kind, Kind::Transient);
}

/// ```text
/// store                          DynamoDB
/// reserve, token A ────────────▶ written
///                   ✗◀────────── done
/// reserve, token A ────────────▶ seen it: done      without a token: refused, by the very record it wrote
/// ```
#[tokio::test]
async fn a_lost_answer_is_retried_with_the_same_token() {
    let (outcome, requests) = reserve(&[LOST, DONE]).await;
    assert!(matches!(outcome.unwrap(), Attempt::Through(Taken::Decided(Updated::Now(State::Reserved { .. })))));
    assert_eq!((requests.len(), token(&requests[0])), (2, token(&requests[1])));
    let (_, others) = reserve(&[DONE]).await;
    assert_ne!(token(&others[0]), token(&requests[0]), "a redelivery must be judged by the record, not by a memory of ten minutes");
}
