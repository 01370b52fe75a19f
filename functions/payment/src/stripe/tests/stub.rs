//! A stand-in for the Stripe API over real HTTP that, unlike localstripe, honours idempotency keys as Stripe documents
//! them: whatever an executed call answered is answered again under its key, a 500 included.

use serde_json::{Value, json};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What happens to the next call that is not answered from memory.
#[derive(Debug, Clone)]
pub enum Act {
    /// What Stripe does.
    Do,
    /// Nothing is done; this is the answer.
    Refuse(u16, Value),
    /// It is done, but this is the answer.
    DoBut(u16, Value),
    /// It is done or not, and there is never an answer.
    Silence(bool),
    /// It is done or not, and the connection closes.
    HangUp(bool),
    /// Nothing is done; these bytes are the answer.
    Raw(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// `POST /v1/payment_intents/pi_1/confirm`
    pub line: String,
    pub headers: HashMap<String, String>,
    pub form: HashMap<String, String>,
}

#[derive(Debug, Clone)]
pub struct Intent {
    pub status: &'static str,
    pub order_id: String,
    pub payment_method: String,
    pub error: Value,
    /// Of `latest_charge`, once there is one.
    pub capture_before: Option<i64>,
    /// The status that [`Act::Refuse`] leaves behind; none where it stays as it is.
    pub after_refusal: &'static str,
}

#[derive(Debug, Default)]
pub struct World {
    pub intents: HashMap<String, Intent>,
    pub script: VecDeque<Act>,
    pub calls: Vec<Call>,
    pub accepts_key: Option<String>,
    remembered: HashMap<String, (u16, Value)>,
}

pub const CREATED: i64 = 1_800_000_000;
const LAPSES: i64 = CREATED + 7 * 24 * 3600;

#[derive(Clone)]
pub struct Stub {
    pub url: String,
    world: Arc<Mutex<World>>,
}

impl Stub {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self { url: format!("http://{}", listener.local_addr().unwrap()), world: Arc::default() };
        let served = stub.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let stub = served.clone();
                tokio::spawn(async move { stub.serve(stream).await });
            }
        });
        stub
    }
    pub fn with<T>(&self, then: impl FnOnce(&mut World) -> T) -> T {
        then(&mut self.world.lock().unwrap())
    }
    pub fn open(&self, id: &str, status: &'static str, order_id: &str) {
        let charged = matches!(status, "requires_capture" | "succeeded");
        let error = if status == "requires_payment_method" {
            json!({"type": "card_error", "code": "card_declined", "decline_code": "stolen_card"})
        } else {
            Value::Null
        };
        let capture_before = charged.then_some(LAPSES);
        self.with(|world| {
            world.intents.insert(
                id.into(),
                Intent {
                    status,
                    order_id: order_id.into(),
                    payment_method: "pm_card_visa".into(),
                    error,
                    capture_before,
                    after_refusal: "",
                },
            )
        });
    }
    pub fn status(&self, id: &str) -> Option<&'static str> {
        self.with(|world| world.intents.get(id).map(|intent| intent.status))
    }
    /// The calls since the last time, in short: `create`, `confirm`, `look`, …
    pub fn calls(&self) -> String {
        let calls = self.with(|world| std::mem::take(&mut world.calls));
        let short = |call: &Call| match call.line.rsplit('/').next().unwrap() {
            "payment_intents" => "create".to_owned(),
            id if call.line.starts_with("GET") => format!("look{}", if id.contains("expand%5B%5D=latest_charge") { "" } else { "?" }),
            verb => verb.to_owned(),
        };
        calls.iter().map(short).collect::<Vec<_>>().join(" ")
    }

    async fn serve(&self, mut stream: TcpStream) {
        let Some(call) = read(&mut stream).await else { return };
        let answer = self.with(|world| world.answer(call));
        match answer {
            Some(bytes) => {
                stream.write_all(bytes.as_bytes()).await.ok();
                stream.shutdown().await.ok();
            }
            // Silence: hold the line for longer than anyone waits.
            None => {
                stream.read_u8().await.ok();
            }
        }
    }
}

/// One request; [`None`] where the connection ends.
pub async fn read(stream: &mut TcpStream) -> Option<Call> {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).await.ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&chunk[..n]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let mut lines = head.lines();
        let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
        let headers: HashMap<_, _> =
            lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned())).collect();
        let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        if body.len() >= length {
            let form = form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            return Some(Call { line, headers, form });
        }
    }
}

fn http(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nrequest-id: req_{status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

impl World {
    /// The answer as bytes; [`None`] is silence.
    fn answer(&mut self, call: Call) -> Option<String> {
        self.calls.push(call.clone());
        if self.accepts_key.as_ref().is_some_and(|key| call.headers["authorization"] != format!("Bearer {key}")) {
            return Some(http(401, &json!({"error": {"type": "invalid_request_error"}}).to_string()));
        }
        let key = call.headers.get("idempotency-key").cloned();
        if let Some((status, body)) = key.as_ref().and_then(|key| self.remembered.get(key)) {
            return Some(http(*status, &body.to_string()));
        }
        let (answer, executed) = match self.script.pop_front().unwrap_or(Act::Do) {
            Act::Do => {
                let (status, body) = self.execute(&call);
                (Some((status, body)), true)
            }
            // Stripe does not remember what it did not begin.
            Act::Refuse(status, body) => {
                let id = call.line.split('/').nth(3).unwrap_or_default();
                if let Some(intent) = self.intents.get_mut(id).filter(|intent| !intent.after_refusal.is_empty()) {
                    intent.status = intent.after_refusal;
                }
                (Some((status, body)), !matches!(status, 401 | 403 | 409 | 429))
            }
            Act::DoBut(status, body) => {
                self.execute(&call);
                (Some((status, body)), true)
            }
            Act::Silence(done) => {
                self.quietly(done, &call, key);
                return None;
            }
            Act::HangUp(done) => {
                self.quietly(done, &call, key);
                return Some(String::new());
            }
            Act::Raw(bytes) => return Some(bytes),
        };
        let (status, body) = answer?;
        if let Some(key) = key.filter(|_| executed) {
            self.remembered.insert(key, (status, body.clone()));
        }
        Some(http(status, &body.to_string()))
    }

    fn quietly(&mut self, done: bool, call: &Call, key: Option<String>) {
        if done {
            let answer = self.execute(call);
            self.remembered.extend(key.map(|key| (key, answer)));
        }
    }

    fn execute(&mut self, call: &Call) -> (u16, Value) {
        let refused = |status, code: &str, param: Option<&str>| {
            (status, json!({"error": {"type": "invalid_request_error", "code": code, "param": param, "message": "Secret words"}}))
        };
        let path = call.line.split_once(' ').unwrap().1.split('?').next().unwrap();
        let parts: Vec<_> = path.trim_start_matches("/v1/payment_intents").trim_start_matches('/').split('/').collect();
        let (id, verb) = (parts[0].to_owned(), parts.get(1).copied().unwrap_or_default());
        if id.is_empty() {
            if call.form["payment_method"] == "pm_gone" {
                return refused(400, "resource_missing", Some("payment_method"));
            }
            let id = format!("pi_{}", self.intents.len() + 1);
            let (order_id, payment_method) = (call.form["metadata[order_id]"].clone(), call.form["payment_method"].clone());
            self.intents.insert(
                id.clone(),
                Intent {
                    status: "requires_confirmation",
                    order_id,
                    payment_method,
                    error: Value::Null,
                    capture_before: None,
                    after_refusal: "",
                },
            );
            return (200, self.show(&id, false));
        }
        let Some(intent) = self.intents.get_mut(&id) else { return refused(404, "resource_missing", Some("intent")) };
        let card_error = |code: &str, decline_code: Option<&str>| json!({"type": "card_error", "code": code, "decline_code": decline_code, "message": "Secret words"});
        match (verb, intent.status) {
            ("", _) => {}
            ("confirm", status)
                if status == "requires_confirmation"
                    || (status == "requires_payment_method" && call.form.contains_key("payment_method")) =>
            {
                match intent.payment_method.as_str() {
                    "pm_soft" => {
                        (intent.status, intent.error) =
                            ("requires_payment_method", card_error("card_declined", Some("issuer_not_available")));
                        return (402, json!({"error": intent.error}));
                    }
                    "pm_declined" => {
                        (intent.status, intent.error) =
                            ("requires_payment_method", card_error("card_declined", Some("insufficient_funds")));
                        return (402, json!({"error": intent.error}));
                    }
                    "pm_3ds" if call.form.get("error_on_requires_action").is_some_and(|v| v == "true") => {
                        (intent.status, intent.error) =
                            ("requires_payment_method", card_error("card_declined", Some("authentication_required")));
                        return (402, json!({"error": intent.error}));
                    }
                    "pm_3ds" => intent.status = "requires_action",
                    "pm_used" => {
                        let message = "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment.";
                        return (400, json!({"error": {"type": "invalid_request_error", "message": message}}));
                    }
                    _ => (intent.status, intent.capture_before) = ("requires_capture", Some(LAPSES)),
                }
            }
            ("capture", "requires_capture") => intent.status = "succeeded",
            ("cancel", "requires_confirmation" | "requires_payment_method" | "requires_action" | "requires_capture") => {
                intent.status = "canceled"
            }
            _ => return refused(400, "payment_intent_unexpected_state", None),
        }
        let expands =
            call.line.contains("expand%5B%5D=latest_charge") || call.form.get("expand[]").is_some_and(|field| field == "latest_charge");
        (200, self.show(&id, expands))
    }

    fn show(&self, id: &str, expands: bool) -> Value {
        let intent = &self.intents[id];
        let charge = match intent.capture_before {
            None => Value::Null,
            Some(capture_before) if expands => {
                json!({"id": "ch_1", "payment_method_details": {"card": {"capture_before": capture_before}}})
            }
            Some(_) => json!("ch_1"),
        };
        json!({
            "id": id, "object": "payment_intent", "status": intent.status, "created": CREATED, "metadata": {"order_id": intent.order_id},
            "latest_charge": charge, "last_payment_error": intent.error, "cancellation_reason": null,
        })
    }
}
