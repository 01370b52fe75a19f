//! Warming up, through the connector that functions have, against servers on this machine that count their connections.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider, retry::RetryConfig};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};
use lambda_kit::{
    Failure, SdkConfig, dynamodb,
    message::Outgoing,
    publish::{Publisher, SnsTopic},
    secrets::{Cached, SecretStore, SecretText},
    warm_up,
    warm_up::{LIMIT, Opening},
};
use serde_json::json;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{LocalSet, spawn_local, yield_now},
    time::Instant,
};

/// A service that keeps its connections, refuses whatever it is asked, and remembers both.
#[derive(Clone, Default)]
struct Service {
    connections: Rc<Cell<u32>>,
    heads: Rc<RefCell<Vec<String>>>,
}

impl Service {
    /// Starts it; returns it with its address.
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = Self::default();
        let started = service.clone();
        spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                started.connections.set(started.connections.get() + 1);
                spawn_local(started.clone().serve(stream));
            }
        });
        (service, url)
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await.unwrap() == 0 {
                    return;
                }
            }
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            stream.read_exact(&mut vec![0; length]).await.unwrap();
            self.heads.borrow_mut().push(head);
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 7\r\n\r\nrefused").await.unwrap();
        }
    }
}

fn config(endpoint: &str, client: impl HttpClient + 'static) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "tests")))
        .endpoint_url(endpoint)
        .http_client(client)
        .build()
}

/// What functions have.
#[derive(Debug)]
struct Through(SharedHttpConnector);
impl HttpClient for Through {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.0.clone()
    }
}
fn real() -> Through {
    Through(lambda_kit::connector())
}

/// A network in which nothing ever arrives, and how often it was tried.
#[derive(Debug, Clone, Default)]
struct Nowhere(Arc<AtomicU32>);
impl HttpConnector for Nowhere {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        self.0.fetch_add(1, Ordering::Relaxed);
        HttpConnectorFuture::new(std::future::pending())
    }
}
impl HttpClient for Nowhere {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// What is logged, in the function's own level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);
impl Log {
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        testkit::log::every_thread_listens();
        let log = self.clone();
        let lines = tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || log.clone()).finish();
        tracing::subscriber::set_default(lines)
    }
}
impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::Write::write(&mut *self.0.lock().unwrap(), bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn topic(config: &SdkConfig) -> SnsTopic {
    SnsTopic::new(aws_sdk_sns::Client::new(config), "arn:aws:sns:us-east-1:123456789012:events")
}
/// A turn for everything that is ready: a connection goes back to the pool in a task of its own. In a function, the
/// runtime's asking for the first event is more than enough.
async fn turn() {
    for _ in 0..100 {
        yield_now().await;
    }
}

#[tokio::test]
async fn each_endpoint_is_connected_once_and_the_calls_that_follow_connect_no_more() {
    LocalSet::new()
        .run_until(async {
            let ((table, table_url), (events, events_url)) = (Service::start().await, Service::start().await);
            let connector = lambda_kit::connector();
            let client = aws_sdk_dynamodb::Client::new(&config(&table_url, Through(connector.clone())));
            let topic = topic(&config(&events_url, Through(connector)));

            warm_up([dynamodb::opening(&client), topic.opening()]).await;
            assert_eq!((table.connections.get(), events.connections.get()), (1, 1));
            for service in [&table, &events] {
                let heads = service.heads.take();
                assert_eq!(heads.len(), 1, "a refusal is an answer, and nothing is tried twice");
                assert!(heads[0].starts_with("get / http/1.1\r\nhost: 127.0.0.1:"), "{}", heads[0]);
                for absent in ["authorization", "x-amz", "content-length", "user-agent"] {
                    assert!(!heads[0].contains(absent), "{absent} in {}", heads[0]);
                }
            }

            for _ in 0..2 {
                turn().await;
                client.get_item().table_name("things").send().await.unwrap_err();
                let event = Outgoing { body: "{}".into(), group_id: "g".into(), deduplication_id: "d".into(), attributes: vec![] };
                topic.publish(&[event]).await[0].clone().unwrap_err();
            }
            assert_eq!((table.heads.borrow().len(), events.heads.borrow().len()), (2, 2));
            assert!(table.heads.borrow().iter().all(|head| head.starts_with("post / ") && head.contains("authorization: ")));
            assert_eq!((table.connections.get(), events.connections.get()), (1, 1));
        })
        .await;
}

#[tokio::test]
async fn an_endpoint_that_is_listed_twice_gets_two_connections() {
    LocalSet::new()
        .run_until(async {
            let (table, url) = Service::start().await;
            let client = aws_sdk_dynamodb::Client::new(&config(&url, real()));
            warm_up(dynamodb::openings(&client, 2)).await;
            assert_eq!(table.connections.get(), 2);
            turn().await;
            let get = || client.get_item().table_name("things").send();
            let (a, b) = futures_util::join!(get(), get());
            assert!(a.is_err() && b.is_err());
            assert_eq!(table.connections.get(), 2);
        })
        .await;
}

#[tokio::test]
async fn an_unreachable_endpoint_is_logged_once_and_delays_no_start() {
    // Bound, so that no other test gets the port, and not listening.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let config = config(&url, real());
    let log = Log::default();
    let guard = log.listen();
    let client = aws_sdk_dynamodb::Client::new(&config);
    warm_up(dynamodb::openings(&client, 2).chain([topic(&config).opening()])).await;
    drop((guard, socket));
    let line: serde_json::Value = serde_json::from_slice(&log.0.lock().unwrap()).unwrap();
    assert_eq!((&line["level"], &line["cold"]), (&json!("INFO"), &json!("DynamoDB: NoConnection, SNS: NoConnection")));
}

#[tokio::test(start_paused = true)]
async fn a_silent_endpoint_costs_the_limit_once_and_delays_no_other() {
    let nowhere = Nowhere::default();
    // The SDK's own retries would go on until the limit.
    let config = config("http://127.0.0.1:9", nowhere.clone()).into_builder().retry_config(RetryConfig::standard()).build();
    let client = aws_sdk_dynamodb::Client::new(&config);
    let (topic, reached) = (topic(&config), Cell::new(false));
    let other = Opening::new("other", async {
        reached.set(true);
        Ok(())
    });
    let start = Instant::now();
    warm_up([dynamodb::opening(&client), topic.opening(), other]).await;
    // To the millisecond, tokio's unit: nothing but the limit has let time pass.
    assert_eq!(start.elapsed().as_millis(), LIMIT.as_millis());
    assert_eq!(nowhere.0.load(Ordering::Relaxed), 2);
    assert!(reached.get());
}

#[derive(Debug, Clone, PartialEq)]
struct Word(String);
impl SecretText for Word {
    fn from_text(text: &str) -> Result<Self, Failure> {
        if text.is_empty() { Err(Failure::transient("WordMissing", "put one there")) } else { Ok(Self(text.to_owned())) }
    }
}
/// A store that answers when it is told to.
#[derive(Default)]
struct StubSecretStore {
    text: RefCell<Option<String>>,
    is_stuck: Cell<bool>,
    reads: Cell<u32>,
}
impl SecretStore for &StubSecretStore {
    async fn read(&self) -> Result<Option<String>, Failure> {
        self.reads.set(self.reads.get() + 1);
        if self.is_stuck.get() {
            std::future::pending::<()>().await;
        }
        Ok(self.text.borrow().clone())
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_is_read_ahead_or_when_it_is_used() {
    let drawer = StubSecretStore { text: RefCell::new(Some("sesame".into())), ..StubSecretStore::default() };
    let word = Cached::<_, Word>::new(&drawer);
    warm_up([word.opening()]).await;
    assert_eq!((word.get().await.unwrap(), drawer.reads.get()), (Word("sesame".into()), 1));

    let missing = StubSecretStore::default();
    let word = Cached::<_, Word>::new(&missing);
    warm_up([word.opening()]).await;
    *missing.text.borrow_mut() = Some("sesame".into());
    assert_eq!(word.get().await.unwrap(), Word("sesame".into()));

    let late = StubSecretStore { text: RefCell::new(Some("sesame".into())), is_stuck: Cell::new(true), ..StubSecretStore::default() };
    let word = Cached::<_, Word>::new(&late);
    warm_up([word.opening()]).await;
    late.is_stuck.set(false);
    assert_eq!((word.get().await.unwrap(), late.reads.get()), (Word("sesame".into()), 2));
}
