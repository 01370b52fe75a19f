//! A simulated Stripe: the PaymentIntents API at the level of HTTP, and the book that it keeps.
//!
//! Payment's own client runs on top of [`Bank::connector`]; the checks of a run read [`Bank::book`]. Idempotency keys are
//! kept as <https://docs.stripe.com/api/idempotent_requests> says: what an executed request answered is answered again, a
//! 500 included. It is no kinder than Stripe: only a key makes a call idempotent, and a parameter that is not simulated is
//! a 400, which no retry heals.

#[cfg(test)]
mod tests;

use super::{CallFailure, Caller, Fault};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use domain::{
    Currency,
    charge::{self, NotChargeable},
};
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
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What stands behind a `payment_method`. Any other name is one that does not exist.
pub mod card {
    /// Pays; its hold lasts 7 days.
    pub const GOOD: &str = testkit::shop::VISA;
    /// Is declined at the confirmation, as Stripe's test card of that name.
    pub const DECLINED: &str = testkit::shop::DECLINED;
    /// Does not exist: no PaymentIntent comes of it.
    pub const UNKNOWN: &str = "pm_card_thatDoesNotExist";
    /// Holds, but its bank refuses every capture.
    pub const UNCAPTURABLE: &str = "pm_card_refusesCapture";
    /// Asks its owner a question at the confirmation, as Stripe's test card of that name.
    pub const ASKS: &str = "pm_card_authenticationRequired";
    /// Its bank refuses *for now* to hold anything, for as many seconds from the PaymentIntent's creation as the number that
    /// follows says; then it pays.
    pub const CONFIRMS_AFTER_S: &str = "pm_card_confirmsAfterSeconds_";
    /// Holds, and its bank refuses every capture *for now*, for as many seconds from the hold as the number that follows says.
    pub const CAPTURES_AFTER_S: &str = "pm_card_capturesAfterSeconds_";
    /// Pays, and its hold lasts as many seconds as the number that follows: `pm_card_holdsForSeconds_3600`.
    pub const HOLDS_FOR_S: &str = "pm_card_holdsForSeconds_";
}

const INTENTS: &str = "/v1/payment_intents";
/// How long a hold lasts by itself, counted from the confirmation
/// (<https://docs.stripe.com/payments/place-a-hold-on-a-payment-method>).
const HOLD_S: i64 = 7 * 24 * 3600;
/// How long an idempotency key is remembered: Stripe prunes it once it is at least so old, so here at the first instant.
const KEY_LIFE_S: i64 = 24 * 3600;
/// How long a bank takes that takes its time, in seconds at most.
const PROCESSING_MAX_S: u64 = 180;

/// <https://docs.stripe.com/payments/paymentintents/lifecycle>, as far as cards without questions to their owner go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Declined; holds nothing.
    RequiresPaymentMethod,
    /// Created; holds nothing.
    RequiresConfirmation,
    /// Waits for the card's owner; holds nothing.
    RequiresAction,
    /// The bank takes its time to hold or to take.
    Processing,
    /// Holds its amount.
    RequiresCapture,
    /// Took its amount.
    Succeeded,
    /// Freed, by a call or because the hold lapsed.
    Canceled,
}

/// The outcome of one PaymentIntent.
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
    /// How often the bank refused for now.
    pub hesitated_times: u32,
    /// Whether the bank refused permanently, or the hold lapsed.
    pub is_lost: bool,
    /// What was taken in all, in the currency's smallest unit.
    pub captured_minor: u64,
}

/// The provider, which outlives every invocation. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Bank(Arc<Mutex<Book>>);

impl Bank {
    /// One that takes so many calls a second, and refuses what is more as <https://docs.stripe.com/rate-limits> says: by a
    /// token bucket that holds a second's calls, before anything is remembered.
    pub fn limited(calls_per_second: u32) -> Self {
        let bank = Self::default();
        let calls_per_second = i64::from(calls_per_second);
        bank.lock().limit = Some(Limit { calls_per_second, thousandths: calls_per_second * 1_000, since_ms: i64::MIN });
        bank
    }

    /// Behind something that answers in its place between these moments.
    #[must_use]
    pub fn away(self, between: Range<Timestamp>) -> Self {
        self.lock().away = Some(between);
        self
    }

    /// The way to the API for `caller`.
    pub fn connector(&self, caller: Caller) -> SharedHttpConnector {
        SharedHttpConnector::new(Connection { bank: self.clone(), caller })
    }

    /// What stands at `now`, in the order of creation.
    pub fn book(&self, now: Timestamp) -> Vec<Entry> {
        let mut book = self.lock();
        book.intents.iter_mut().for_each(|intent| intent.settle(now.as_second()));
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
                Err(CallFailure::Throttled) => too_many(),
                Err(CallFailure::NoAnswer) if caller.draws.one_in(2) => {
                    return Err(ConnectorError::timeout(io::Error::from(io::ErrorKind::TimedOut).into()));
                }
                Err(CallFailure::NoAnswer) => return Err(ConnectorError::io(io::Error::from(io::ErrorKind::ConnectionReset).into())),
            };
            let status = StatusCode::try_from(answer.status).map_err(|error| ConnectorError::other(error.into(), None))?;
            let mut response = HttpResponse::new(status, SdkBody::from(answer.body));
            if let Some(reason) = answer.limited {
                response.headers_mut().insert("stripe-rate-limited-reason", reason);
            }
            Ok(response)
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
    refuses_actions: bool,
}

impl<'a> Form<'a> {
    fn read(operation: Operation, call: Call<'a>) -> Result<Self, StripeAnswer> {
        use Operation::{Confirm, Create, Look};
        let mut form = Self::default();
        for (name, value) in form_urlencoded::parse(if operation == Look { call.query.as_bytes() } else { call.body }) {
            match (operation, &*name, &*value) {
                (_, "expand[]", "latest_charge") => form.expands = true,
                (Create, "amount", amount) => match amount.parse() {
                    Ok(amount_minor) if amount_minor > 0 => form.amount_minor = amount_minor,
                    // "A positive integer" (<https://docs.stripe.com/api/payment_intents/create>).
                    _ => return Err(invalid("parameter_invalid_integer", "amount")),
                },
                (Create, "currency", code) if code.len() == 3 && code.bytes().all(|b| b.is_ascii_lowercase()) => form.currency = value,
                (Create | Confirm, "payment_method", _) => form.payment_method = value,
                (Create, "metadata[order_id]", _) => form.order_id = value,
                (Create, "capture_method", "manual") => form.manual = true,
                (Confirm, "error_on_requires_action", refuses) => form.refuses_actions = refuses == "true",
                // What else these may say is not simulated.
                (Create, "payment_method_types[]", "card") | (Create, "confirm", "false") => {}
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
            Create => return form.charged(),
            _ => return Ok(form),
        };
        Err(invalid("parameter_missing", missing))
    }

    /// Held to what Stripe charges in this currency.
    fn charged(self) -> Result<Self, StripeAnswer> {
        let Some(currency) = Currency::from_code(&self.currency.to_ascii_uppercase()) else {
            return Err(invalid("invalid_currency", "currency"));
        };
        let amount = charge::from_provider(self.amount_minor, currency);
        if charge::to_provider(amount) != Some(self.amount_minor) {
            return Err(invalid("invalid_amount", "amount"));
        }
        match charge::check(amount) {
            Ok(()) => Ok(self),
            Err(NotChargeable::Currency(_)) => Err(invalid("invalid_currency", "currency")),
            Err(NotChargeable::TooLittle(_)) => Err(invalid("amount_too_small", "amount")),
            Err(NotChargeable::TooMuch(_)) => Err(invalid("amount_too_large", "amount")),
            Err(NotChargeable::NotInSteps(_)) => Err(invalid("invalid_amount", "amount")),
        }
    }
}

#[derive(Debug, Clone)]
struct StripeAnswer {
    status: u16,
    body: String,
    /// Which limiter says so.
    limited: Option<&'static str>,
}

fn refusal(status: u16, error: &Value) -> StripeAnswer {
    StripeAnswer { status, body: json!({ "error": error }).to_string(), limited: None }
}
/// An answer that is not Stripe's, or one that is not about the request.
fn away(lot: u64) -> StripeAnswer {
    match lot {
        0 => refusal(424, &json!({"type": "api_error", "message": "External dependency failed"})),
        1 => StripeAnswer { status: 404, body: "<html>not found</html>".to_owned(), limited: None },
        _ => StripeAnswer { status: 403, body: "{\"message\":\"Forbidden\"}".to_owned(), limited: None },
    }
}
fn invalid(code: &str, param: &str) -> StripeAnswer {
    let error = json!({"type": "invalid_request_error", "code": code, "param": param, "message": "This parameter cannot be accepted."});
    refusal(400, &error)
}
fn too_many() -> StripeAnswer {
    let error = json!({"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests."});
    StripeAnswer { limited: Some("global-rate"), ..refusal(429, &error) }
}
fn locked() -> StripeAnswer {
    refusal(409, &json!({"type": "invalid_request_error", "code": "lock_timeout", "message": "The object is in use by another request."}))
}
fn broken() -> StripeAnswer {
    refusal(500, &json!({"type": "api_error", "message": "Something went wrong on Stripe's end."}))
}
fn bank_refused() -> Value {
    json!({"type": "card_error", "code": "card_declined", "decline_code": "generic_decline", "message": "The card was declined."})
}

fn bank_hesitates() -> Value {
    json!({"type": "card_error", "code": "card_declined", "decline_code": "issuer_not_available", "message": "The card was declined."})
}
fn owner_is_asked() -> Value {
    json!({"type": "card_error", "code": "card_declined", "decline_code": "authentication_not_handled", "message": "The card was declined."})
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Card {
    Pays {
        hold_s: i64,
    },
    Declined,
    Uncapturable,
    Asks,
    /// Pays, but refuses for now for so long.
    Hesitates {
        confirm_s: i64,
        capture_s: i64,
    },
}

impl Card {
    fn named(payment_method: &str) -> Option<Self> {
        match payment_method {
            card::GOOD => Some(Card::Pays { hold_s: HOLD_S }),
            card::DECLINED => Some(Card::Declined),
            card::UNCAPTURABLE => Some(Card::Uncapturable),
            card::ASKS => Some(Card::Asks),
            other => {
                let seconds = |prefix| other.strip_prefix(prefix)?.parse::<u32>().ok().map(i64::from);
                let pays = seconds(card::HOLDS_FOR_S).map(|hold_s| Card::Pays { hold_s });
                let confirms = seconds(card::CONFIRMS_AFTER_S).map(|confirm_s| Card::Hesitates { confirm_s, capture_s: 0 });
                let captures = seconds(card::CAPTURES_AFTER_S).map(|capture_s| Card::Hesitates { confirm_s: 0, capture_s });
                pays.or(confirms).or(captures)
            }
        }
    }
    const fn hold_s(self) -> i64 {
        match self {
            Card::Pays { hold_s } => hold_s,
            Card::Declined | Card::Uncapturable | Card::Asks | Card::Hesitates { .. } => HOLD_S,
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
    /// The bank's last answer, if it refused.
    refused: Option<Value>,
    /// When the bank has taken its time, and whether it holds or takes then.
    processing: Option<(i64, Operation)>,
    lapsed: bool,
    lost: bool,
    held_times: u32,
    captured_times: u32,
    hesitated_times: u32,
}

impl Intent {
    /// Brings about what the bank has taken its time for, and frees a hold whose time is over.
    fn settle(&mut self, now_s: i64) {
        if let Some((end_s, operation)) = self.processing
            && end_s <= now_s
        {
            self.processing = None;
            self.pay(operation, end_s);
        }
        if self.status == Status::RequiresCapture && self.capture_before_s.is_some_and(|end_s| end_s <= now_s) {
            (self.status, self.lapsed, self.lost) = (Status::Canceled, true, true);
        }
    }

    /// Holds or takes the amount.
    fn pay(&mut self, operation: Operation, now_s: i64) {
        if operation == Operation::Confirm {
            self.status = Status::RequiresCapture;
            self.capture_before_s = Some(now_s + self.card.hold_s());
            self.held_times += 1;
        } else {
            self.status = Status::Succeeded;
            self.captured_times += 1;
        }
        self.refused = None;
    }

    /// Whether a confirmation is tried: for the first time, or again with a payment method.
    fn is_tried(&self, form: &Form<'_>) -> bool {
        self.status == Status::RequiresConfirmation || (self.status == Status::RequiresPaymentMethod && !form.payment_method.is_empty())
    }

    /// Whether `operation` asks the card's bank, and what it says by itself: consent, or the error. [`None`] where it is not
    /// asked.
    fn asks(&self, operation: Operation, form: &Form<'_>, now_s: i64) -> Option<Result<(), Value>> {
        let confirms = operation == Operation::Confirm && self.is_tried(form);
        let captures = operation == Operation::Capture && self.status == Status::RequiresCapture;
        if !confirms && !captures {
            return None;
        }
        let held_s = self.capture_before_s.map_or(now_s, |end_s| end_s - self.card.hold_s());
        Some(match self.card {
            Card::Pays { .. } => Ok(()),
            Card::Uncapturable if confirms => Ok(()),
            Card::Hesitates { confirm_s, .. } if confirms && self.created_s + confirm_s > now_s => Err(bank_hesitates()),
            Card::Hesitates { capture_s, .. } if captures && held_s + capture_s > now_s => Err(bank_hesitates()),
            Card::Hesitates { .. } => Ok(()),
            Card::Asks if confirms => Err(owner_is_asked()),
            Card::Declined | Card::Uncapturable | Card::Asks => Err(bank_refused()),
        })
    }

    fn cancellation_reason(&self) -> Option<&'static str> {
        self.lapsed.then_some("automatic")
    }

    fn show(&self, expands: bool) -> StripeAnswer {
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
            "last_payment_error": self.refused,
            "cancellation_reason": self.cancellation_reason(),
        });
        StripeAnswer { status: 200, body: intent.to_string(), limited: None }
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
            hesitated_times: self.hesitated_times,
            is_lost: self.lost,
            captured_minor: self.amount_minor * u64::from(self.captured_times),
        }
    }
}

#[derive(Debug)]
struct Remembered {
    fingerprint: u64,
    answer: StripeAnswer,
    since_s: i64,
}

#[derive(Debug, Default)]
struct Book {
    /// In the order of their numbers, which begin with 1.
    intents: Vec<Intent>,
    remembered: HashMap<String, Remembered>,
    limit: Option<Limit>,
    away: Option<Range<Timestamp>>,
}

/// A token bucket, counted in thousandths of a call: a call costs 1,000, and each millisecond brings `calls_per_second`.
#[derive(Debug)]
struct Limit {
    calls_per_second: i64,
    thousandths: i64,
    since_ms: i64,
}

impl Limit {
    fn takes(&mut self, now_ms: i64) -> bool {
        let brought = now_ms.saturating_sub(self.since_ms).max(0).saturating_mul(self.calls_per_second);
        self.thousandths = self.thousandths.saturating_add(brought).min(self.calls_per_second * 1_000);
        self.since_ms = now_ms;
        let takes = self.thousandths >= 1_000;
        if takes {
            self.thousandths -= 1_000;
        }
        takes
    }
}

impl Book {
    /// One request, at one instant.
    fn answer(&mut self, call: Call<'_>, caller: &Caller) -> StripeAnswer {
        let now = caller.now();
        if self.away.as_ref().is_some_and(|away| away.contains(&now)) {
            return away(caller.draws.below(3));
        }
        let Some((operation, id)) = call.route() else {
            return refusal(404, &json!({"type": "invalid_request_error", "message": "Unrecognized request URL."}));
        };
        if !call.authorized {
            return refusal(401, &json!({"type": "invalid_request_error", "message": "You did not provide an API key."}));
        }
        if self.limit.as_mut().is_some_and(|limit| !limit.takes(now.as_millisecond())) {
            return too_many();
        }
        // Not remembered, because nothing was begun.
        let form = match Form::read(operation, call) {
            Ok(form) => form,
            Err(refused) => return refused,
        };
        let now_s = now.as_second();
        let mut intent = self.find(id);
        if let Some(intent) = &mut intent {
            intent.settle(now_s);
        }
        let would_pay = intent.is_some_and(|intent| intent.asks(operation, &form, now_s) == Some(Ok(())));

        let known = call.key.and_then(|key| self.remembered.get(key)).filter(|known| now_s - known.since_s < KEY_LIFE_S);
        let fault = caller.draws.fault(faults(operation, would_pay, known.is_some()));
        if let Some(fault) = fault {
            caller.tell(format_args!("{call}: {fault:?}"));
        }
        let fingerprint = call.fingerprint();
        match (fault, known) {
            (Some(Fault::ProviderBusy), _) if operation != Operation::Look && caller.draws.one_in(2) => return locked(),
            (Some(Fault::ProviderBusy), _) => return too_many(),
            (Some(Fault::ProviderUnreachable), _) => return away(caller.draws.below(3)),
            (None, Some(known)) if known.fingerprint == fingerprint => return known.answer.clone(),
            (None, Some(_)) => {
                let message = "Keys for idempotent requests can only be used with the parameters they were first used with.";
                return refusal(400, &json!({"type": "idempotency_error", "message": message}));
            }
            _ => {}
        }

        let bank = match fault {
            Some(Fault::BankRefuses) => Says::Itself(Some(bank_refused())),
            Some(Fault::BankHesitates) => Says::Itself(Some(bank_hesitates())),
            Some(Fault::BankTakesItsTime) => {
                Says::Later(now_s + 1 + i64::try_from(caller.draws.below(PROCESSING_MAX_S)).unwrap_or_default())
            }
            _ => Says::Itself(None),
        };
        let answer = match fault {
            Some(Fault::ProviderError) => broken(),
            Some(Fault::ProviderErrorAfter) => {
                self.execute(operation, id, &form, now_s, bank);
                broken()
            }
            _ => self.execute(operation, id, &form, now_s, bank),
        };
        if let Some(key) = call.key {
            self.remembered.insert(key.to_owned(), Remembered { fingerprint, answer: answer.clone(), since_s: now_s });
        }
        answer
    }

    fn execute(&mut self, operation: Operation, id: &str, form: &Form<'_>, now_s: i64, bank: Says) -> StripeAnswer {
        use Operation::{Cancel, Capture, Confirm, Create, Look};
        use Status::{Canceled, RequiresAction, RequiresCapture, RequiresConfirmation, RequiresPaymentMethod};
        if operation == Create {
            return self.create(form, now_s);
        }
        let Some(intent) = self.find(id) else {
            let error = json!({"type": "invalid_request_error", "code": "resource_missing", "param": "intent", "message": "No such payment_intent."});
            return refusal(404, &error);
        };
        if let Some(says) = intent.asks(operation, form, now_s) {
            if operation == Confirm && !form.payment_method.is_empty() && Card::named(&form.payment_method) != Some(intent.card) {
                return invalid("resource_missing", "payment_method");
            }
            let refused = match &bank {
                Says::Itself(Some(error)) => Some(error.clone()),
                Says::Itself(None) | Says::Later(_) => says.err(),
            };
            match (refused, bank) {
                (Some(error), _) if operation == Confirm && error == owner_is_asked() && !form.refuses_actions => {
                    intent.status = RequiresAction;
                }
                (Some(error), _) => {
                    let hesitates = error == bank_hesitates();
                    intent.hesitated_times += u32::from(hesitates);
                    intent.lost |= !hesitates;
                    if operation == Confirm {
                        (intent.status, intent.refused) = (RequiresPaymentMethod, Some(error.clone()));
                    }
                    return refusal(402, &error);
                }
                (None, Says::Later(end_s)) => (intent.status, intent.processing) = (Status::Processing, Some((end_s, operation))),
                (None, Says::Itself(_)) => intent.pay(operation, now_s),
            }
            return intent.show(form.expands);
        }
        match (operation, intent.status) {
            (Look, _) => {}
            (Cancel, RequiresPaymentMethod | RequiresConfirmation | RequiresAction | RequiresCapture) => intent.status = Canceled,
            // Doing what is done already is refused as well, and so is confirming what was declined: that needs a card. What a bank
            // takes its time for cannot be cancelled, but in rare cases.
            (Create | Confirm | Capture | Cancel, _) => {
                let message = format!("This PaymentIntent's status is {:?}.", intent.status);
                let error = json!({"type": "invalid_request_error", "code": "payment_intent_unexpected_state", "message": message});
                return refusal(400, &error);
            }
        }
        intent.show(form.expands)
    }

    fn create(&mut self, form: &Form<'_>, now_s: i64) -> StripeAnswer {
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
            refused: None,
            processing: None,
            lapsed: false,
            lost: false,
            held_times: 0,
            captured_times: 0,
            hesitated_times: 0,
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

/// What the bank says to a request.
#[derive(Debug)]
enum Says {
    /// At once: this refusal, or what the card has it say.
    Itself(Option<Value>),
    /// Nothing before this moment.
    Later(i64),
}

/// What can go wrong with a request at Stripe: only what this one can feel. `would_pay` says that the bank is asked and would
/// agree, `replays` that the answer is in memory.
const fn faults(operation: Operation, would_pay: bool, replays: bool) -> &'static [Fault] {
    use Fault::{
        BankHesitates, BankRefuses, BankTakesItsTime, KeyExpired, ProviderBusy, ProviderError, ProviderErrorAfter, ProviderUnreachable,
    };
    match operation {
        _ if replays => &[ProviderBusy, KeyExpired],
        Operation::Look => &[ProviderError, ProviderBusy, ProviderUnreachable],
        _ if would_pay => {
            &[ProviderError, ProviderErrorAfter, ProviderBusy, ProviderUnreachable, BankRefuses, BankHesitates, BankTakesItsTime]
        }
        Operation::Create | Operation::Confirm | Operation::Capture | Operation::Cancel => {
            &[ProviderError, ProviderErrorAfter, ProviderBusy, ProviderUnreachable]
        }
    }
}
