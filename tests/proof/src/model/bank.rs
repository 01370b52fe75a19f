//! The payment provider: a book of PaymentIntents, and what the Stripe API answers about them.
//!
//! The world serves every request of the deployed client here, at one instant. It does not guess what a card issuer does:
//! that is the case's to say.

use super::interned::{Interned, words};
use domain::OrderId;
use lambda_kit::Failure;
use serde_json::{Value, json};

/// Most PaymentIntents that anybody can still name at the same time: the record's, and one of each handler at work.
pub const INTENTS_MAX: usize = 6;

/// When everything happens; the deadlines of a case are told from here.
pub const NOW_S: i64 = 1_800_000_000;
const HOUR_S: i64 = 3_600;

/// The usual window of an issuer; the shortest is nearly five days.
pub const HOLD_H: i64 = 7 * 24;

/// Steps of time, which passes only where somebody waits for it: now, and as many hours later; from [`LAST_TRY`] on, the hold
/// of [`HOLD_H`] is so near its end that its capture is tried for the last time. Every wait is shorter than a step.
pub const STEPS_MAX: u8 = 6;
/// See [`STEPS_MAX`]. Three tries at a confirmation take the steps before it.
pub const LAST_TRY: u8 = 3;

/// Seconds from [`NOW_S`] to a step.
pub const fn step_s(step: u8) -> i64 {
    let before = if step < LAST_TRY { 0 } else { HOLD_H * HOUR_S - domain::payment::CAPTURE_MARGIN.as_secs() - LAST_TRY as i64 * HOUR_S };
    before + step as i64 * HOUR_S
}

/// A PaymentIntent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Intent {
    /// The order that its metadata name.
    pub order: u8,
    /// <https://docs.stripe.com/payments/paymentintents/lifecycle>
    pub status: Status,
}

/// The status of a PaymentIntent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// `requires_confirmation`: holds nothing.
    Unconfirmed,
    /// `requires_capture`: the money is held.
    Held,
    /// `requires_payment_method`: the issuer refused, and the means of payment was taken off.
    Refused,
    /// The same, but for now.
    RefusedForNow,
    /// `succeeded`: the money is taken.
    Captured,
    /// `canceled`.
    Canceled,
}

impl Status {
    /// As the API names it.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Unconfirmed => "requires_confirmation",
            Status::Held => "requires_capture",
            Status::Refused | Status::RefusedForNow => "requires_payment_method",
            Status::Captured => "succeeded",
            Status::Canceled => "canceled",
        }
    }
}

/// The outcome of a confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Card {
    /// The issuer holds the money.
    Good,
    /// The issuer refuses: `requires_payment_method`.
    Declined,
    /// The means of payment is unknown already when the PaymentIntent is created.
    Unknown,
    /// The confirmation is refused before it is tried, by every copy alike: a means of payment that is used up.
    UsedUp,
    /// The same, but each try may come out otherwise.
    Fickle,
    /// Each try may be refused for now, and another one may pass.
    Hesitant,
}

/// The outcome of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// The money is taken.
    Succeeds,
    /// It is refused permanently.
    Refused,
    /// Each try may come out otherwise.
    Fickle,
    /// Each try may be refused for now, and leaves the hold as it was.
    Hesitant,
}

/// A request to the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What is asked for.
    pub verb: Verb,
    /// Of which PaymentIntent, by its place in the book.
    pub intent: Option<usize>,
    /// The `Idempotency-Key`, of requests that change something.
    pub key: Option<Interned<String>>,
    /// The order that a new PaymentIntent shall name.
    pub order: Option<OrderId>,
    /// Whether it brings a means of payment along.
    pub pays: bool,
}

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET.
    Look,
    /// POST.
    Create,
    /// POST …/confirm.
    Confirm,
    /// POST …/capture.
    Capture,
    /// POST …/cancel.
    Cancel,
}

impl Request {
    /// Reads a request as HTTP has it.
    ///
    /// # Errors
    /// A bug: the API knows no such request.
    pub fn parse(method: &str, uri: &str, key: Option<&str>, body: &str) -> Result<Self, Failure> {
        let unknown = || Failure::bug("UnknownRequest", format_args!("{method} {uri}"));
        let path = uri.split_once("/v1/payment_intents").ok_or_else(unknown)?.1.split('?').next().unwrap_or_default();
        let (name, verb) = match (method, path.trim_start_matches('/').split_once('/')) {
            ("POST", None) if path.is_empty() => ("", Verb::Create),
            ("GET", None) => (path.trim_start_matches('/'), Verb::Look),
            ("POST", Some((name, "confirm"))) => (name, Verb::Confirm),
            ("POST", Some((name, "capture"))) => (name, Verb::Capture),
            ("POST", Some((name, "cancel"))) => (name, Verb::Cancel),
            _ => return Err(unknown()),
        };
        let field = |wanted: &str| form_urlencoded::parse(body.as_bytes()).find(|(name, _)| name == wanted);
        let order = field("metadata[order_id]");
        Ok(Self {
            verb,
            intent: name.strip_prefix("pi_").and_then(|n| n.parse::<usize>().ok()),
            key: key.map(words),
            order: order.and_then(|(_, id)| id.parse().ok()),
            pays: field("payment_method").is_some(),
        })
    }
}

/// Which PaymentIntents a text names, a bit for each place in the book.
pub fn mentions(text: &str) -> u8 {
    (0..INTENTS_MAX).filter(|place| text.contains(&format!("pi_{place}"))).map(|place| 1u8 << place).sum()
}

/// An answer of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BankAnswer {
    /// HTTP status.
    pub status: u16,
    /// JSON.
    pub body: String,
}

/// How the provider behaves in a case.
#[derive(Debug, Clone, Copy)]
pub struct Conduct {
    /// The outcome of a confirmation.
    pub card: Card,
    /// The outcome of a capture.
    pub capture: Capture,
    /// How long a hold lasts.
    pub hold_h: i64,
}

impl Conduct {
    /// Whether it says a no that may become a yes, so that somebody waits.
    pub fn hesitates(&self) -> bool {
        self.card == Card::Hesitant || self.capture == Capture::Hesitant
    }
    /// Whether the case leaves it open what becomes of such a request.
    pub fn tosses(&self, verb: Verb) -> bool {
        match verb {
            Verb::Confirm => matches!(self.card, Card::Fickle | Card::Hesitant),
            Verb::Capture => matches!(self.capture, Capture::Fickle | Capture::Hesitant),
            Verb::Look | Verb::Create | Verb::Cancel => false,
        }
    }
}

fn card_error(decline_code: &str) -> Value {
    json!({ "type": "card_error", "code": "card_declined", "decline_code": decline_code })
}

/// Serves `request` for an order; `refuses` is the toss where the case has one.
pub fn serve(
    book: &mut [Option<Intent>; INTENTS_MAX],
    conduct: &Conduct,
    request: &Request,
    orders: &[OrderId],
    refuses: bool,
) -> BankAnswer {
    let of_order = |order: &u8| orders.get(usize::from(*order)).map(ToString::to_string);
    let shown = |place: usize, intent: Intent| {
        let mut object = json!({
            "id": format!("pi_{place}"), "status": intent.status.name(), "created": NOW_S, "metadata": { "order_id": of_order(&intent.order) },
        });
        if matches!(intent.status, Status::Held | Status::Captured) {
            let capture_before = NOW_S + conduct.hold_h * HOUR_S;
            object["latest_charge"] = json!({ "payment_method_details": { "card": { "capture_before": capture_before } } });
        }
        match intent.status {
            Status::Refused => object["last_payment_error"] = card_error("stolen_card"),
            Status::RefusedForNow => object["last_payment_error"] = card_error("issuer_not_available"),
            _ => {}
        }
        BankAnswer { status: 200, body: object.to_string() }
    };
    let refused = |status: u16, error: Value| BankAnswer { status, body: json!({ "error": error }).to_string() };
    let unexpected = || refused(400, json!({ "type": "invalid_request_error", "code": "payment_intent_unexpected_state" }));
    let card_declined = || refused(402, card_error("stolen_card"));
    let for_now = || refused(402, card_error("issuer_not_available"));

    if request.verb == Verb::Create {
        if conduct.card == Card::Unknown {
            return refused(400, json!({ "type": "invalid_request_error", "code": "resource_missing", "param": "payment_method" }));
        }
        let order = request.order.and_then(|order| orders.iter().position(|known| *known == order)).and_then(|n| u8::try_from(n).ok());
        let (Some(order), Some(place)) = (order, book.iter().position(Option::is_none)) else {
            return refused(500, json!({ "type": "api_error", "message": "the model has no room or no such order" }));
        };
        let intent = Intent { order, status: Status::Unconfirmed };
        book[place] = Some(intent);
        return shown(place, intent);
    }
    let Some((place, intent)) = request.intent.and_then(|place| Some((place, book.get_mut(place)?.as_mut()?))) else {
        return refused(404, json!({ "type": "invalid_request_error", "code": "resource_missing", "param": "intent" }));
    };
    let become_ = |intent: &mut Intent, status| {
        intent.status = status;
        shown(place, *intent)
    };
    match (request.verb, intent.status) {
        (Verb::Look | Verb::Create, _) => shown(place, *intent),
        (Verb::Confirm, status)
            if status == Status::Unconfirmed || (request.pays && matches!(status, Status::Refused | Status::RefusedForNow)) =>
        {
            match conduct.card {
                Card::Good => become_(intent, Status::Held),
                Card::Fickle | Card::Hesitant if !refuses => become_(intent, Status::Held),
                Card::Hesitant => {
                    intent.status = Status::RefusedForNow;
                    for_now()
                }
                Card::Declined => {
                    intent.status = Status::Refused;
                    card_declined()
                }
                Card::Unknown | Card::UsedUp | Card::Fickle => {
                    refused(400, json!({ "type": "invalid_request_error", "param": "payment_method" }))
                }
            }
        }
        (Verb::Capture, Status::Held) => match conduct.capture {
            Capture::Refused => card_declined(),
            Capture::Fickle if refuses => card_declined(),
            Capture::Hesitant if refuses => for_now(),
            Capture::Succeeds | Capture::Fickle | Capture::Hesitant => become_(intent, Status::Captured),
        },
        (Verb::Cancel, Status::Unconfirmed | Status::Held | Status::Refused | Status::RefusedForNow) => become_(intent, Status::Canceled),
        (Verb::Confirm | Verb::Capture | Verb::Cancel, _) => unexpected(),
    }
}
