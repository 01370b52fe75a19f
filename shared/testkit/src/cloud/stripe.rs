//! A simulated Stripe: the PaymentIntents API at the level of HTTP, and the book that it keeps.
//!
//! Payment's own client runs on top of [`Bank::connector`]; whoever checks a run reads [`Bank::book`]. Idempotency keys are
//! kept as <https://docs.stripe.com/api/idempotent_requests> says: what an executed request answered is answered again, a
//! 500 included. It refuses to be kinder than Stripe: only a key makes a call idempotent, and a parameter that is not
//! simulated is a 400, which no retry heals.

#[cfg(test)]
mod tests;

use super::{Caller, Fault, Trouble};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use jiff::Timestamp;
use lambda_kit::Ambient;
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What stands behind a `payment_method`. Any other name is one that does not exist.
pub mod card {
    /// Pays; its hold lasts 7 days.
    pub const GOOD: &str = crate::shop::VISA;
    /// Is declined at the confirmation, as Stripe's test card of that name.
    pub const DECLINED: &str = crate::shop::DECLINED;
    /// Does not exist: no PaymentIntent comes of it.
    pub const UNKNOWN: &str = "pm_card_thatDoesNotExist";
    /// Holds, but its bank refuses every capture.
    pub const UNCAPTURABLE: &str = "pm_card_refusesCapture";
    /// Pays, and its hold lasts as many seconds as the number that follows: `pm_card_holdsForSeconds_3600`.
    pub const HOLDS_FOR_S: &str = "pm_card_holdsForSeconds_";
}

const INTENTS: &str = "/v1/payment_intents";
/// How long a hold lasts by itself, counted from the confirmation
/// (<https://docs.stripe.com/payments/place-a-hold-on-a-payment-method>).
const HOLD_S: i64 = 7 * 24 * 3600;
/// How long an idempotency key is remembered: Stripe prunes it once it is at least so old, so here at the first instant.
const KEY_LIFE_S: i64 = 24 * 3600;
/// The largest amount: Stripe takes eight digits.
const AMOUNT_MAX_MINOR: u64 = 99_999_999;

/// <https://docs.stripe.com/payments/paymentintents/lifecycle>, as far as cards without questions to their owner go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Declined; holds nothing.
    RequiresPaymentMethod,
    /// Created; holds nothing.
    RequiresConfirmation,
    /// Holds its amount.
    RequiresCapture,
    /// Took its amount.
    Succeeded,
    /// Freed, by a call or because the hold lapsed.
    Canceled,
}

/// What became of one PaymentIntent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub payment: String,
    /// Its `metadata[order_id]`.
    pub order_id: String,
    /// What was to be paid, in the currency's smallest unit.
    pub amount_minor: u64,
    /// In lower case, as Stripe writes it.
    pub currency: String,
    /// What stands.
    pub status: Status,
    /// Why it was cancelled, where Stripe did so itself.
    pub cancellation_reason: Option<&'static str>,
    /// How often its amount was held.
    pub held_times: u32,
    /// How often its amount was taken.
    pub captured_times: u32,
    /// What was taken in all, in the currency's smallest unit.
    pub captured_minor: u64,
}

/// The provider, which outlives every invocation. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Bank(Arc<Mutex<Book>>);

impl Bank {
    /// The way to the API for `caller`.
    pub fn connector(&self, caller: Caller) -> SharedHttpConnector {
        SharedHttpConnector::new(Connection { bank: self.clone(), caller })
    }

    /// What stands at `now`, in the order of creation.
    pub fn book(&self, now: Timestamp) -> Vec<Entry> {
        let mut book = self.lock();
        book.intents.iter_mut().for_each(|intent| intent.lapse(now.as_second()));
        book.intents.iter().map(Intent::entry).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Connection {
    bank: Bank,
    caller: Caller,
}

impl HttpConnector for Connection {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (bank, caller) = (self.bank.clone(), self.caller.clone());
        HttpConnectorFuture::new(async move {
            let call = Call::of(&request);
            let effect = || {
                let answer = bank.lock().answer(call, &caller);
                if answer.status != 200 {
                    caller.tell(format_args!("{call}: {} {}", answer.status, answer.body));
                }
                answer
            };
            let answer = match caller.call(call, effect).await {
                Ok(answer) => answer,
                Err(Trouble::Throttled) => too_many(),
                Err(Trouble::NoAnswer) if caller.lots.one_in(2) => {
                    return Err(ConnectorError::timeout(io::Error::from(io::ErrorKind::TimedOut).into()));
                }
                Err(Trouble::NoAnswer) => return Err(ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionReset).into())),
            };
            let status = StatusCode::try_from(answer.status).map_err(|error| ConnectorError::other(error.into(), None))?;
            Ok(HttpResponse::new(status, SdkBody::from(answer.body)))
        })
    }
}

/// A request, as far as it matters.
#[derive(Clone, Copy)]
struct Call<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    body: &'a [u8],
    key: Option<&'a str>,
    authorized: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Create,
    Look,
    Confirm,
    Capture,
    Cancel,
}

impl<'a> Call<'a> {
    fn of(request: &'a HttpRequest) -> Self {
        let uri = request.uri();
        let target = uri.find("/v1/").map_or(uri, |at| &uri[at..]);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (method, headers) = (request.method(), request.headers());
        Self {
            method,
            path,
            query,
            body: request.body().bytes().unwrap_or_default(),
            // Looking is idempotent by itself: there a key has no effect.
            key: headers.get("idempotency-key").filter(|_| method == "POST"),
            authorized: headers.get("authorization").is_some_and(|value| value.len() > "Bearer ".len() && value.starts_with("Bearer ")),
        }
    }

    /// What is asked for, and of which PaymentIntent.
    fn route(&self) -> Option<(Operation, &'a str)> {
        let rest = self.path.strip_prefix(INTENTS)?;
        if (self.method, rest) == ("POST", "") {
            return Some((Operation::Create, ""));
        }
        let (id, verb) = rest.strip_prefix('/').map(|rest| rest.split_once('/').unwrap_or((rest, "")))?;
        match (self.method, verb) {
            ("GET", "") => Some((Operation::Look, id)),
            ("POST", "confirm") => Some((Operation::Confirm, id)),
            ("POST", "capture") => Some((Operation::Capture, id)),
            ("POST", "cancel") => Some((Operation::Cancel, id)),
            _ => None,
        }
    }

    /// What a key stands for: the same endpoint with the same parameters. Ours writes them in one order always, so their
    /// bytes do.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.path, self.body).hash(&mut hasher);
        hasher.finish()
    }
}

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stripe: {} {}", self.method, self.path)
    }
}

/// The parameters of a request.
#[derive(Default)]
struct Form<'a> {
    amount_minor: u64,
    currency: Cow<'a, str>,
    payment_method: Cow<'a, str>,
    order_id: Cow<'a, str>,
    manual: bool,
    expands: bool,
}

impl<'a> Form<'a> {
    fn read(operation: Operation, call: Call<'a>) -> Result<Self, Answer> {
        use Operation::{Confirm, Create, Look};
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(if operation == Look { call.query.as_bytes() } else { call.body }) {
            match (operation, &*name, &*value) {
                (_, "expand[]", "latest_charge") => form.expands = true,
                (Create, "amount", amount) => match amount.parse() {
                    Ok(0) => return Err(invalid("amount_too_small", "amount")),
                    Ok(amount_minor) if amount_minor <= AMOUNT_MAX_MINOR => form.amount_minor = amount_minor,
                    Ok(_) => return Err(invalid("amount_too_large", "amount")),
                    Err(_) => return Err(invalid("parameter_invalid_integer", "amount")),
                },
                (Create, "currency", code) if code.len() == 3 && code.bytes().all(|b| b.is_ascii_lowercase()) => form.currency = value,
                (Create, "payment_method", _) => form.payment_method = value,
                (Create, "metadata[order_id]", _) => form.order_id = value,
                (Create, "capture_method", "manual") => form.manual = true,
                // What else these may say is not simulated. No card here has a question to its owner.
                (Create, "payment_method_types[]", "card") | (Create, "confirm", "false") | (Confirm, "error_on_requires_action", _) => {}
                _ => return Err(invalid("parameter_unknown", &name)),
            }
        }
        let missing = match operation {
            Create if form.amount_minor == 0 => "amount",
            Create if form.currency.is_empty() => "currency",
            Create if form.payment_method.is_empty() => "payment_method",
            // Without it, Stripe would take the money at once.
            Create if !form.manual => "capture_method",
            Create if form.order_id.is_empty() => "metadata[order_id]",
            _ => return Ok(form),
        };
        Err(invalid("parameter_missing", missing))
    }
}

#[derive(Debug, Clone)]
struct Answer {
    status: u16,
    body: String,
}

fn refusal(status: u16, error: &Value) -> Answer {
    Answer { status, body: json!({ "error": error }).to_string() }
}
fn invalid(code: &str, param: &str) -> Answer {
    let error = json!({"type": "invalid_request_error", "code": code, "param": param, "message": "This parameter cannot be accepted."});
    refusal(400, &error)
}
fn too_many() -> Answer {
    refusal(429, &json!({"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests."}))
}
fn locked() -> Answer {
    refusal(409, &json!({"type": "invalid_request_error", "code": "lock_timeout", "message": "The object is in use by another request."}))
}
fn broken() -> Answer {
    refusal(500, &json!({"type": "api_error", "message": "Something went wrong on Stripe's end."}))
}
fn bank_refused() -> Value {
    json!({"type": "card_error", "code": "card_declined", "decline_code": "generic_decline", "message": "The card was declined."})
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Card {
    Pays { hold_s: i64 },
    Declined,
    Uncapturable,
}

impl Card {
    fn named(payment_method: &str) -> Option<Self> {
        match payment_method {
            card::GOOD => Some(Card::Pays { hold_s: HOLD_S }),
            card::DECLINED => Some(Card::Declined),
            card::UNCAPTURABLE => Some(Card::Uncapturable),
            other => other.strip_prefix(card::HOLDS_FOR_S)?.parse::<u32>().ok().map(|hold_s| Card::Pays { hold_s: hold_s.into() }),
        }
    }
    const fn hold_s(self) -> i64 {
        match self {
            Card::Pays { hold_s } => hold_s,
            Card::Declined | Card::Uncapturable => HOLD_S,
        }
    }
}

#[derive(Debug)]
struct Intent {
    number: usize,
    order_id: String,
    amount_minor: u64,
    currency: String,
    card: Card,
    status: Status,
    created_s: i64,
    /// Of the charge, once there is one.
    capture_before_s: Option<i64>,
    declined: bool,
    lapsed: bool,
    held_times: u32,
    captured_times: u32,
}

impl Intent {
    /// Frees a hold whose time is over.
    fn lapse(&mut self, now_s: i64) {
        if self.status == Status::RequiresCapture && self.capture_before_s.is_some_and(|end_s| end_s <= now_s) {
            (self.status, self.lapsed) = (Status::Canceled, true);
        }
    }

    /// Whether `operation` asks the card's bank, and gets its consent.
    const fn would_pay(&self, operation: Operation) -> bool {
        matches!(
            (operation, self.status, self.card),
            (Operation::Confirm, Status::RequiresConfirmation, Card::Pays { .. } | Card::Uncapturable)
                | (Operation::Capture, Status::RequiresCapture, Card::Pays { .. })
        )
    }

    fn cancellation_reason(&self) -> Option<&'static str> {
        self.lapsed.then_some("automatic")
    }

    fn show(&self, expands: bool) -> Answer {
        let charge = match self.capture_before_s {
            None => Value::Null,
            Some(_) if !expands => Value::String(format!("ch_{}", self.number)),
            Some(end_s) => json!({"id": format!("ch_{}", self.number), "payment_method_details": {"card": {"capture_before": end_s}}}),
        };
        let intent = json!({
            "id": format!("pi_{}", self.number),
            "object": "payment_intent",
            "amount": self.amount_minor,
            "currency": self.currency,
            "status": self.status,
            "created": self.created_s,
            "metadata": {"order_id": self.order_id},
            "latest_charge": charge,
            "last_payment_error": self.declined.then(bank_refused),
            "cancellation_reason": self.cancellation_reason(),
        });
        Answer { status: 200, body: intent.to_string() }
    }

    fn entry(&self) -> Entry {
        Entry {
            payment: format!("pi_{}", self.number),
            order_id: self.order_id.clone(),
            amount_minor: self.amount_minor,
            currency: self.currency.clone(),
            status: self.status,
            cancellation_reason: self.cancellation_reason(),
            held_times: self.held_times,
            captured_times: self.captured_times,
            captured_minor: self.amount_minor * u64::from(self.captured_times),
        }
    }
}

#[derive(Debug)]
struct Remembered {
    fingerprint: u64,
    answer: Answer,
    since_s: i64,
}

#[derive(Debug, Default)]
struct Book {
    /// In the order of their numbers, which begin with 1.
    intents: Vec<Intent>,
    remembered: HashMap<String, Remembered>,
}

impl Book {
    /// One request, at one instant.
    fn answer(&mut self, call: Call<'_>, caller: &Caller) -> Answer {
        let Some((operation, id)) = call.route() else {
            return refusal(404, &json!({"type": "invalid_request_error", "message": "Unrecognized request URL."}));
        };
        if !call.authorized {
            return refusal(401, &json!({"type": "invalid_request_error", "message": "You did not provide an API key."}));
        }
        // Not remembered, because nothing was begun.
        let form = match Form::read(operation, call) {
            Ok(form) => form,
            Err(refused) => return refused,
        };
        let now_s = caller.now().as_second();
        let mut intent = self.find(id);
        if let Some(intent) = &mut intent {
            intent.lapse(now_s);
        }
        let would_pay = intent.is_some_and(|intent| intent.would_pay(operation));

        let known = call.key.and_then(|key| self.remembered.get(key)).filter(|known| now_s - known.since_s < KEY_LIFE_S);
        let fault = caller.lots.fault(faults(operation, would_pay, known.is_some()));
        if let Some(fault) = fault {
            caller.tell(format_args!("{call}: {fault:?}"));
        }
        let fingerprint = call.fingerprint();
        match (fault, known) {
            (Some(Fault::ProviderBusy), _) if operation != Operation::Look && caller.lots.one_in(2) => return locked(),
            (Some(Fault::ProviderBusy), _) => return too_many(),
            (None, Some(known)) if known.fingerprint == fingerprint => return known.answer.clone(),
            (None, Some(_)) => {
                let message = "Keys for idempotent requests can only be used with the parameters they were first used with.";
                return refusal(400, &json!({"type": "idempotency_error", "message": message}));
            }
            _ => {}
        }

        let answer = match fault {
            Some(Fault::ProviderError) => broken(),
            Some(Fault::ProviderErrorAfter) => {
                self.execute(operation, id, &form, now_s, false);
                broken()
            }
            _ => self.execute(operation, id, &form, now_s, fault == Some(Fault::BankRefuses)),
        };
        if let Some(key) = call.key {
            self.remembered.insert(key.to_owned(), Remembered { fingerprint, answer: answer.clone(), since_s: now_s });
        }
        answer
    }

    fn execute(&mut self, operation: Operation, id: &str, form: &Form<'_>, now_s: i64, bank_refuses: bool) -> Answer {
        use Operation::{Cancel, Capture, Confirm, Create, Look};
        use Status::{Canceled, RequiresCapture, RequiresConfirmation, RequiresPaymentMethod, Succeeded};
        if operation == Create {
            return self.create(form, now_s);
        }
        let Some(intent) = self.find(id) else {
            let error = json!({"type": "invalid_request_error", "code": "resource_missing", "param": "intent", "message": "No such payment_intent."});
            return refusal(404, &error);
        };
        match (operation, intent.status) {
            (Look, _) => {}
            (Confirm, RequiresConfirmation) if bank_refuses || !intent.would_pay(operation) => {
                (intent.status, intent.declined) = (RequiresPaymentMethod, true);
                return refusal(402, &bank_refused());
            }
            (Confirm, RequiresConfirmation) => {
                intent.status = RequiresCapture;
                intent.capture_before_s = Some(now_s + intent.card.hold_s());
                intent.held_times += 1;
            }
            (Capture, RequiresCapture) if bank_refuses || !intent.would_pay(operation) => return refusal(402, &bank_refused()),
            (Capture, RequiresCapture) => {
                intent.status = Succeeded;
                intent.captured_times += 1;
            }
            (Cancel, RequiresPaymentMethod | RequiresConfirmation | RequiresCapture) => intent.status = Canceled,
            // Doing what is done already is refused as well, and so is confirming what was declined: that needs another card.
            (Create, _)
            | (Confirm, RequiresPaymentMethod | RequiresCapture | Succeeded | Canceled)
            | (Capture, RequiresPaymentMethod | RequiresConfirmation | Succeeded | Canceled)
            | (Cancel, Succeeded | Canceled) => {
                let message = format!("This PaymentIntent's status is {:?}.", intent.status);
                let error = json!({"type": "invalid_request_error", "code": "payment_intent_unexpected_state", "message": message});
                return refusal(400, &error);
            }
        }
        intent.show(form.expands)
    }

    fn create(&mut self, form: &Form<'_>, now_s: i64) -> Answer {
        let Some(card) = Card::named(&form.payment_method) else {
            return invalid("resource_missing", "payment_method");
        };
        let intent = Intent {
            number: self.intents.len() + 1,
            order_id: form.order_id.to_string(),
            amount_minor: form.amount_minor,
            currency: form.currency.to_string(),
            card,
            status: Status::RequiresConfirmation,
            created_s: now_s,
            capture_before_s: None,
            declined: false,
            lapsed: false,
            held_times: 0,
            captured_times: 0,
        };
        let answer = intent.show(form.expands);
        self.intents.push(intent);
        answer
    }

    fn find(&mut self, id: &str) -> Option<&mut Intent> {
        let digits = id.strip_prefix("pi_").filter(|digits| digits.starts_with(|first: char| matches!(first, '1'..='9')))?;
        self.intents.get_mut(digits.parse::<usize>().ok()?.checked_sub(1)?)
    }
}

/// What can go wrong with a request at Stripe: only what this one can feel. `would_pay` says that the bank is asked and would
/// agree, `replays` that the answer is in memory.
const fn faults(operation: Operation, would_pay: bool, replays: bool) -> &'static [Fault] {
    use Fault::{BankRefuses, KeyExpired, ProviderBusy, ProviderError, ProviderErrorAfter};
    match operation {
        _ if replays => &[ProviderBusy, KeyExpired],
        Operation::Look => &[ProviderError, ProviderBusy],
        _ if would_pay => &[ProviderError, ProviderErrorAfter, ProviderBusy, BankRefuses],
        Operation::Create | Operation::Confirm | Operation::Capture | Operation::Cancel => {
            &[ProviderError, ProviderErrorAfter, ProviderBusy]
        }
    }
}
