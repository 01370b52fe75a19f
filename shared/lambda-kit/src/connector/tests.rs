//! A server goes silent, over HTTP/1.1 and HTTP/2: in the middle of an answer, before one, for one call or for all.
//!
//! The server is on this machine and speaks TLS, because a client offers HTTP/2 nowhere else. Time is real where sockets are.

use super::*;
use aws_smithy_http_client::tls::TrustStore;
use aws_smithy_types::byte_stream::ByteStream;
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper::{Request, Response, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::{net::TcpListener, time::Instant, time::timeout};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// What a client here waits for an answer: long beside what one takes on this machine.
const LIMIT: Duration = Duration::from_millis(500);
/// What the tests may take for a call that is answered, with a handshake, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server whose first connection is silent after `answers` answers; the later ones answer always.
#[derive(Debug, Default)]
struct Server {
    answers: u32,
    /// Whether the first answer that is not given begins, with headers and a part of its body.
    begins: bool,
    connections: AtomicU32,
}

impl Server {
    /// Starts it; returns the connector that trusts it, and its address.
    async fn start(self: &Arc<Self>, protocol: &str) -> (SharedHttpConnector, String) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let mut tls = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        tls.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        let server = self.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let is_first = server.connections.fetch_add(1, Ordering::Relaxed) == 0;
                let (acceptor, server) = (acceptor.clone(), server.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let answered = AtomicU32::new(0);
                    let service = service_fn(|request: Request<Incoming>| {
                        let is_answered = !is_first || answered.fetch_add(1, Ordering::Relaxed) < server.answers;
                        let begins = server.begins;
                        async move {
                            request.into_body().collect().await.ok();
                            Ok::<_, Infallible>(answer(is_answered, begins).await)
                        }
                    });
                    // It ends with the client's part of the connection.
                    drop(auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        let context = TlsContext::builder().with_trust_store(TrustStore::empty().with_pem_certificate(cert.pem())).build().unwrap();
        (connector_trusting(context), url)
    }

    fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn answer(is_whole: bool, begins: bool) -> Response<BoxBody<Bytes, Infallible>> {
    let part = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"{")))]);
    match (is_whole, begins) {
        (true, _) => Response::new(http_body_util::Full::from("{}").boxed()),
        (false, true) => Response::new(StreamBody::new(futures_util::StreamExt::chain(part, futures_util::stream::pending())).boxed()),
        (false, false) => std::future::pending().await,
    }
}

/// A call as `payment` makes it: past the SDK's orchestrator, under a limit of its own, its answer read to the end.
async fn call(connector: &SharedHttpConnector, url: &str, limit: Duration) -> Result<u16, &'static str> {
    let answer = async {
        let mut response = connector.call(HttpRequest::get(url).unwrap()).await.map_err(|_| "broken")?;
        ByteStream::new(response.take_body()).collect().await.map_err(|_| "broken")?;
        Ok(response.status().as_u16())
    };
    timeout(limit, answer).await.unwrap_or(Err("silent"))
}

/// Both protocols, each with what goes silent: before an answer, or within one.
async fn each_silence(check: impl AsyncFn(&Server, SharedHttpConnector, String)) {
    for protocol in ["h2", "http/1.1"] {
        for begins in [false, true] {
            let server = Arc::new(Server { answers: 1, begins, ..Server::default() });
            let (connector, url) = server.start(protocol).await;
            println!("{protocol}, {}", if begins { "within an answer" } else { "before an answer" });
            check(&server, connector, url).await;
        }
    }
}

#[tokio::test]
async fn a_silent_connection_is_not_used_for_the_next_call() {
    each_silence(async |server, connector, url| {
        assert_eq!(call(&connector, &url, PATIENCE).await, Ok(200));
        assert_eq!(call(&connector, &url, LIMIT).await, Err("silent"));
        assert_eq!(call(&connector, &url, PATIENCE).await, Ok(200), "the next call opens a connection of its own");
        assert_eq!(server.connections(), 2);
    })
    .await;
}

/// The batch core's deadline drops a handler with all of its calls: nobody polls them to a time-out.
#[tokio::test]
async fn calls_dropped_together_leave_no_connection_behind() {
    each_silence(async |server, connector, url| {
        assert_eq!(call(&connector, &url, PATIENCE).await, Ok(200));
        let both = async { tokio::join!(call(&connector, &url, PATIENCE), call(&connector, &url, PATIENCE)) };
        // Over HTTP/1.1 the second of them opens a connection, and is answered.
        timeout(LIMIT, both).await.unwrap_err();
        let before = server.connections();
        assert_eq!(call(&connector, &url, PATIENCE).await, Ok(200));
        assert!(server.connections() <= before + 1);
    })
    .await;
}

#[tokio::test]
async fn whole_answers_share_one_connection() {
    for protocol in ["h2", "http/1.1"] {
        let server = Arc::new(Server { answers: u32::MAX, ..Server::default() });
        let (connector, url) = server.start(protocol).await;
        for _ in 0..5 {
            assert_eq!(call(&connector, &url, PATIENCE).await, Ok(200));
            // Over HTTP/1.1 a connection goes back to the pool in a task of its own.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(server.connections(), 1, "{protocol}");
    }
}

/// The limits of `sdk`, kept by a client as functions have it. AWS is in memory, and time passes when nothing else can happen.
#[cfg(feature = "dynamodb")]
mod limits {
    use super::*;
    use crate::Kind;
    use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::ConnectorError};

    /// AWS that leaves the first `calls` unanswered.
    #[derive(Debug, Clone)]
    struct Silent {
        calls: u32,
        asked: Arc<AtomicU32>,
    }

    impl HttpConnector for Silent {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            if self.asked.fetch_add(1, Ordering::Relaxed) < self.calls {
                return HttpConnectorFuture::new(std::future::pending::<Result<HttpResponse, ConnectorError>>());
            }
            HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().unwrap(), "{}".into())))
        }
    }

    /// A read through a client that has the functions' configuration; with how long it took and how often AWS was asked.
    async fn read(calls: u32) -> (Result<(), crate::Failure>, Duration, u32) {
        let silent = Silent { calls, asked: Arc::default() };
        let credentials = SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "tests"));
        let config = aws_config_over(SharedHttpConnector::new(silent.clone())).into_builder();
        let config = config.region(Region::new("us-east-1")).credentials_provider(credentials).build();
        let client = aws_sdk_dynamodb::Client::new(&config);
        let begun = Instant::now();
        let answer = client.get_item().table_name("things").key("id", crate::dynamodb::string("a")).send().await;
        let answer = answer.map(|_| ()).map_err(|error| sdk::failure("GetItem", error));
        (answer, begun.elapsed(), silent.asked.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn one_silent_answer_costs_an_attempt_and_not_the_invocation() {
        let (answer, took, asked) = read(1).await;
        answer.unwrap();
        assert_eq!(asked, 2);
        assert!((sdk::ATTEMPT_LIMIT..=sdk::ATTEMPT_LIMIT + sdk::BACK_OFF + Duration::from_millis(2)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_never_answers_is_a_timeout_within_the_limit() {
        let (answer, took, asked) = read(u32::MAX).await;
        let failure = answer.unwrap_err();
        assert_eq!((failure.kind, failure.error_type.as_str(), asked), (Kind::Transient, "Timeout", sdk::ATTEMPTS));
        // To a millisecond, tokio's unit, for each limit and each wait.
        assert!(took >= sdk::ATTEMPT_LIMIT * sdk::ATTEMPTS && took <= sdk::OPERATION_LIMIT + Duration::from_millis(5), "{took:?}");
    }
}

#[test]
fn an_endpoint_is_named_per_service_as_in_every_sdk() {
    let variable = |service_id| {
        let key = ServiceConfigKey::builder().service_id(service_id).env("AWS_ENDPOINT_URL").profile("endpoint_url");
        for_service(&key.build().unwrap())
    };
    assert_eq!(variable("DynamoDB"), "AWS_ENDPOINT_URL_DYNAMODB");
    assert_eq!(variable("Secrets Manager"), "AWS_ENDPOINT_URL_SECRETS_MANAGER");
}
