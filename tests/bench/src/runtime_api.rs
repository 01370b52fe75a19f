//! Lambda's side of a function: the Runtime API, as it is served to one bootstrap, one invocation after the other.
//!
//! [`Function`](crate::function::Function) asks for invocations and hears what became of each, and when. It does not be a
//! Lambda: no queue of events, no second worker, no retry.
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>)

use anyhow::{Context as _, Result};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, net::SocketAddr, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};

const NEXT: &str = "/2018-06-01/runtime/invocation/next";
const INVOCATIONS: &str = "/2018-06-01/runtime/invocation/";
const INIT_ERROR: &str = "/2018-06-01/runtime/init/error";

/// What a function is handed.
#[derive(Debug)]
struct Invocation {
    request_id: String,
    deadline_ms: i64,
    event: Bytes,
}

/// What a function says.
#[derive(Debug)]
enum Reported {
    /// It is ready for work, which is to be put here.
    Ready(oneshot::Sender<Invocation>),
    /// It has answered.
    Answer(Bytes),
    /// It has failed, or could not start.
    Failure(Bytes),
}

/// The Runtime API of one bootstrap. Dropping it ends it.
#[derive(Debug)]
pub struct RuntimeApi {
    address: SocketAddr,
    said: mpsc::UnboundedReceiver<(Instant, Reported)>,
    ready: Option<oneshot::Sender<Invocation>>,
    invocations: u64,
    server: JoinHandle<()>,
}

impl Drop for RuntimeApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl RuntimeApi {
    /// Listens on a free port of the loopback interface.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (hear, said) = mpsc::unbounded_channel();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Without it an answer of two writes waits for an acknowledgement that nobody hurries to send.
                if stream.set_nodelay(true).is_err() {
                    continue;
                }
                let hear = hear.clone();
                let service = service_fn(move |request| serve(request, hear.clone()));
                // An end of the connection is the end of the function, which the waiting code sees by itself.
                tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await });
            }
        });
        Ok(Self { address, said, ready: None, invocations: 0, server })
    }

    /// For `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until the function asks for work. Returns when it did.
    ///
    /// # Errors
    /// It could not start.
    pub async fn ready(&mut self) -> Result<Instant> {
        match self.said.recv().await.context("the Runtime API has ended")? {
            (at, Reported::Ready(slot)) => {
                self.ready = Some(slot);
                Ok(at)
            }
            (_, Reported::Answer(text) | Reported::Failure(text)) => {
                anyhow::bail!("the function was to ask for work, and said: {}", String::from_utf8_lossy(&text))
            }
        }
    }

    /// Hands the function an event; returns its answer and the time from handing over to the answer's last byte. Waits until
    /// the function asks for work again, so that nothing of this invocation falls into the next.
    ///
    /// # Errors
    /// The function failed, or has ended.
    pub async fn invoke(&mut self, event: Bytes, deadline_ms: i64) -> Result<(Bytes, Duration)> {
        if self.ready.is_none() {
            self.ready().await?;
        }
        let slot = self.ready.take().context("the function does not ask for work")?;
        self.invocations += 1;
        let invocation = Invocation { request_id: format!("bench-{}", self.invocations), deadline_ms, event };
        let started = Instant::now();
        slot.send(invocation).ok().context("the function has gone away")?;
        let (at, said) = self.said.recv().await.context("the Runtime API has ended")?;
        let answer = match said {
            Reported::Answer(answer) => answer,
            Reported::Failure(text) => anyhow::bail!("the function failed: {}", String::from_utf8_lossy(&text)),
            Reported::Ready(_) => anyhow::bail!("the function asked for work without having answered"),
        };
        self.ready().await?;
        Ok((answer, at - started))
    }
}

async fn serve(request: Request<Incoming>, hear: mpsc::UnboundedSender<(Instant, Reported)>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if method == Method::GET && path == NEXT {
        let (slot, work) = oneshot::channel();
        // Nobody listens any more once the measurement is over; the function then waits until it is ended.
        let heard = hear.send((Instant::now(), Reported::Ready(slot)));
        return Ok(match (heard, work.await) {
            (Ok(()), Ok(invocation)) => handed_over(invocation),
            _ => empty(StatusCode::GONE),
        });
    }
    let Ok(body) = request.into_body().collect().await else { return Ok(empty(StatusCode::BAD_REQUEST)) };
    let (at, body) = (Instant::now(), body.to_bytes());
    let said = match path.strip_prefix(INVOCATIONS).and_then(|rest| rest.split_once('/')) {
        _ if path == INIT_ERROR => Reported::Failure(body),
        Some((_, "response")) => Reported::Answer(body),
        Some((_, "error")) => Reported::Failure(body),
        _ => return Ok(empty(StatusCode::NOT_FOUND)),
    };
    Ok(empty(if hear.send((at, said)).is_ok() { StatusCode::ACCEPTED } else { StatusCode::GONE }))
}

fn handed_over(invocation: Invocation) -> Response<Full<Bytes>> {
    let response = Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .header("lambda-runtime-aws-request-id", invocation.request_id)
        .header("lambda-runtime-deadline-ms", invocation.deadline_ms)
        // By the alias that may do whatever the function can: of those that people command, what changes something is measured.
        .header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:123456789012:function:bench:change");
    response.body(Full::new(invocation.event)).unwrap_or_else(|_| empty(StatusCode::INTERNAL_SERVER_ERROR))
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
