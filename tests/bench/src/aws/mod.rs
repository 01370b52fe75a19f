//! AWS, and the payment provider, as far as the functions call them: over TLS, with a latency, every call counted.
//!
//! Each service has a port of its own, as it has a host of its own on AWS: connections to one serve no other, and each costs
//! its own handshake. It refuses what it does not know: an operation without an answer here ends the run.

mod answers;
mod dynamodb;
mod operation;
mod units;

pub use dynamodb::SOLD_OUT;
pub use operation::{Service, name as operation_of};
pub use units::Units;

use crate::certificate::Authority;
use answers::StubAnswer;
use anyhow::{Result, bail};
use dynamodb::Tables;
use http::{Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::{Bytes, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::{TlsAcceptor, rustls::HandshakeKind};

/// The same answers without a network, for clients that run in the same process: the alarm drill's.
#[derive(Debug)]
pub struct Answers(Mutex<Tables>);

impl Answers {
    /// Answers over empty tables; `keys` are their partition keys, by name.
    #[must_use]
    pub fn new(keys: BTreeMap<String, String>) -> Self {
        Self(Mutex::new(Tables::new(keys)))
    }

    /// Answers a request to `service`.
    ///
    /// # Errors
    /// There is no answer, with the reason.
    pub fn answer(&self, service: Service, head: &Parts, body: &[u8]) -> Result<Response<Vec<u8>>, String> {
        let operation = operation_of(service, head, body);
        let asked = answers::ApiCall { service, operation: &operation, path: head.uri.path(), body };
        let answer = answers::answer(asked, &mut lock(&self.0)).map_err(|why| format!("{service:?} {operation}: {why}"))?;
        let response = Response::builder().status(answer.status).header(header::CONTENT_TYPE, answer.content_type);
        response.body(answer.body).map_err(|error| error.to_string())
    }
}

/// What was asked of AWS between two looks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Calls by operation.
    pub calls: BTreeMap<String, u64>,
    /// Handshakes that were completed.
    pub connections: u64,
    /// Those of them that went on with the session of an earlier one, which takes a fraction of the work.
    pub resumed: u64,
    /// What is billed by size.
    pub units: Units,
}

#[derive(Debug)]
struct State {
    latency: Duration,
    tables: Mutex<Tables>,
    counted: Mutex<Counted>,
    /// The first request that had no answer here.
    unknown: Mutex<Option<String>>,
    silence: Mutex<Silence>,
}

/// Which answers never come.
#[derive(Debug, Default)]
struct Silence {
    /// One of so many; none where all come.
    one_in: Option<u64>,
    calls: u64,
}

impl Silence {
    /// Whether the answer to the next call is one of them.
    fn is_silent_next(&mut self) -> bool {
        self.calls += 1;
        self.one_in.is_some_and(|one_in| self.calls.is_multiple_of(one_in))
    }
}

/// The endpoints of all services. Dropping it ends them.
#[derive(Debug)]
pub struct Aws {
    ports: BTreeMap<Service, u16>,
    state: Arc<State>,
    servers: Vec<JoinHandle<()>>,
}

impl Drop for Aws {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

impl Aws {
    /// Listens on a free port for each service. Every answer waits for `latency` from the end of its request on, rounded up to
    /// a millisecond. `keys` are the partition keys of the tables, by name.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start(authority: &Authority, latency: Duration, keys: BTreeMap<String, String>) -> Result<Self> {
        let state = Arc::new(State {
            latency,
            tables: Mutex::new(Tables::new(keys)),
            counted: Mutex::default(),
            unknown: Mutex::default(),
            silence: Mutex::default(),
        });
        let (mut ports, mut servers) = (BTreeMap::new(), Vec::new());
        for service in Service::ALL {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            ports.insert(service, listener.local_addr()?.port());
            servers.push(tokio::spawn(listen(service, listener, TlsAcceptor::from(Arc::clone(&authority.server)), Arc::clone(&state))));
        }
        Ok(Self { ports, state, servers })
    }

    /// Where a service answers.
    #[must_use]
    pub fn url(&self, service: Service) -> String {
        format!("https://{}:{}", service.host(), self.ports.get(&service).copied().unwrap_or_default())
    }

    /// What was asked since the last look, which starts the count anew.
    pub fn take(&self) -> Counted {
        let counted = std::mem::take(&mut *lock(&self.state.counted));
        Counted { units: std::mem::take(&mut lock(&self.state.tables).units), ..counted }
    }

    /// From now on, one of so many answers of AWS never comes, though what was asked for is done: the connection is there and says
    /// nothing, as one does that a machine between has forgotten.
    pub fn stay_silent(&self, one_in: Option<u64>) {
        *lock(&self.state.silence) = Silence { one_in, calls: 0 };
    }

    /// Refuses to go on after a request that had no answer here.
    ///
    /// # Errors
    /// Names the request.
    pub fn require_known(&self) -> Result<()> {
        match &*lock(&self.state.unknown) {
            Some(what) => bail!("the stub of AWS has no answer to {what}: give it one, in tests/bench/src/aws"),
            None => Ok(()),
        }
    }
}

async fn listen(service: Service, listener: TcpListener, tls: TlsAcceptor, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            // A handshake that fails, fails the call that it was for, and so the invocation; every handshake is answered.
            let Ok(()) = stream.set_nodelay(true) else { return };
            let Ok(stream) = tls.accept(stream).await else { return };
            let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
            {
                let mut counted = lock(&state.counted);
                counted.connections += 1;
                counted.resumed += u64::from(resumed);
            }
            let answer = service_fn(move |request| serve(service, request, Arc::clone(&state)));
            // Speaks whatever of HTTP/1.1 and HTTP/2 was agreed on. That it ends is the client's doing.
            auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), answer).await.ok();
        });
    }
}

async fn serve(service: Service, request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    // Cut off: nobody waits for an answer.
    let Ok(body) = body.collect().await else { return Ok(Response::new(Full::default())) };
    let body = body.to_bytes();
    let operation = operation::name(service, &head, &body);
    *lock(&state.counted).calls.entry(operation.clone()).or_default() += 1;
    if !state.latency.is_zero() {
        tokio::time::sleep(state.latency).await;
    }
    let asked = answers::ApiCall { service, operation: &operation, path: head.uri.path(), body: &body };
    let answer = {
        let mut tables = lock(&state.tables);
        if service == Service::Sns {
            tables.units.publish(&body);
        }
        answers::answer(asked, &mut tables)
    };
    // The provider's client has limits of its own.
    if service != Service::Stripe && lock(&state.silence).is_silent_next() {
        std::future::pending::<()>().await;
    }
    Ok(respond(answer.unwrap_or_else(|why| {
        let what = format!("{service:?} {operation} ({} {}): {why}", head.method, head.uri.path());
        lock(&state.unknown).get_or_insert(what);
        // No client repeats what was refused like this, so that the run ends at once.
        StubAnswer::json(400, &serde_json::json!({"__type": "UnknownOperationException", "message": "not known to the bench"}))
    })))
}

fn respond(answer: StubAnswer) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = Response::new(Full::from(answer.body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(answer.content_type));
    response.headers_mut().insert("x-amzn-requestid", header::HeaderValue::from_static("00000000-0000-0000-0000-000000000000"));
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
