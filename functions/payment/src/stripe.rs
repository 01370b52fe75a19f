//! The payment provider: the five calls of the Stripe API that payment makes, and what their answers mean.
//!
//! Called by the stage through [`Provider`]. It does not conclude anything from an answer that is unclear: the status of
//! the PaymentIntent, read back, is the answer, and where that shows nothing either, the message is tried again.
//!
//! Locally `localstripe` stands in (plain HTTP to this machine). It differs in ways that this code tolerates: it knows no
//! idempotency keys; a payment method that does not exist is a 404 without `code` and `param`; most refusals have no
//! `code`; capturing what is not confirmed is a 500; a charge has no `capture_before`; and it refuses
//! `error_on_requires_action` as unexpected.

mod http;
pub mod pace;
#[cfg(test)]
mod tests;

pub use http::{BaseUrl, InvalidBaseUrl, Timeouts};

use crate::{
    Outcome, Prepared, Provider,
    key::{SecretStore, StripeKey},
};
use ::http::StatusCode;
use aws_smithy_runtime_api::client::http::SharedHttpConnector;
use domain::{
    OrderId, Timestamp, charge,
    event::{OrderPlaced, PaymentRef},
};
use http::{Answer, Http, NoAnswer};
use jiff::SignedDuration;
use lambda_kit::{Failure, foreign_json::null_as_default, message::Delivery, warm_up::Opening};
use pace::{Endpoint, Pace};
use serde::Deserialize;
use std::{fmt, time::Duration};

const INTENTS: &str = "/v1/payment_intents";
/// The charge tells when its hold lapses; unexpanded there is only its id.
const EXPAND: (&str, &str) = ("expand[]", "latest_charge");

/// How long a hold lasts where the charge does not say: 4 days and 18 hours, the shortest of Stripe's windows for cards
/// that are not present (Visa's; <https://docs.stripe.com/payments/place-a-hold-on-a-payment-method>). It is counted from
/// the PaymentIntent's creation, which is never later than its confirmation: too short loses nothing, too long a sale.
const HOLD_AT_LEAST: SignedDuration = SignedDuration::from_hours(4 * 24 + 18);

/// Longest id of an object: Stripe promises 255 characters (<https://docs.stripe.com/upgrades>).
const ID_MAX_LEN: usize = 255;
/// Longest code that is handed on in an event. Stripe's longest has 56 characters.
const CODE_MAX_LEN: usize = 64;

/// How often a call that the provider found too much is sent again within one invocation, each time after a pause. It is not
/// remembered under its key, because the limiters run before that
/// (<https://docs.stripe.com/error-low-level>), so it keeps it.
const SENT_AGAIN_MAX: u32 = 2;

/// A client of the Stripe API.
#[derive(Debug)]
pub struct Stripe<V> {
    http: Http,
    key: StripeKey<V>,
    pace: Pace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation<'a> {
    /// For the first time, or again.
    Confirm(Option<Again<'a>>),
    Capture,
    Cancel,
}

/// A further try at a confirmation. A refusal leaves the PaymentIntent in `requires_payment_method`, without its payment
/// method, *so that the payment can be retried* (<https://docs.stripe.com/payments/paymentintents/lifecycle>): the confirmation
/// then sends it once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Again<'a> {
    payment_method: &'a str,
    /// How often it was refused so far.
    tries: u32,
}

impl Operation<'_> {
    const fn verb(self) -> &'static str {
        match self {
            Operation::Confirm(_) => "confirm",
            Operation::Capture => "capture",
            Operation::Cancel => "cancel",
        }
    }

    const fn endpoint(self) -> Endpoint {
        match self {
            Operation::Confirm(_) => Endpoint::Confirm,
            Operation::Capture => Endpoint::Capture,
            Operation::Cancel => Endpoint::Cancel,
        }
    }

    /// The key of this try. A further confirmation has other parameters, for which Stripe would refuse the key of the first.
    fn key(self, payment: &PaymentRef, delivery: &Delivery) -> String {
        match self {
            Operation::Confirm(Some(Again { tries, .. })) => idempotency_key(&payment.0, &format!("confirm-{}", tries + 1), delivery),
            other => idempotency_key(&payment.0, other.verb(), delivery),
        }
    }
}

impl<V: SecretStore> Stripe<V> {
    /// A client of the API at `base`, with the key that `key` keeps and a connector of its own.
    pub fn new(base: BaseUrl, key: StripeKey<V>, timeouts: Timeouts) -> Self {
        Self { http: Http::new(base, timeouts), key, pace: Pace::unlimited() }
    }

    /// The same, over another way to send requests: the one that the function has already, or a simulated Stripe.
    pub fn over(connector: SharedHttpConnector, base: BaseUrl, key: StripeKey<V>, timeouts: Timeouts) -> Self {
        Self { http: Http::over(connector, base, timeouts), key, pace: Pace::unlimited() }
    }

    /// The same, at this pace. Without one it calls as fast as it is called.
    #[must_use]
    pub fn paced(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// To be opened in init: the key, and the connection to the API, which is asked for its root without the key.
    pub fn openings(&self) -> [Opening<'_>; 2] {
        let warm_up_request = async { self.http.warm_up_request().await.map_err(|no_answer| no_answer.to_string()) };
        [self.key.opening(), Opening::new("Stripe", warm_up_request)]
    }

    /// Does `operation`, and finds out what stands then.
    async fn operate(
        &self,
        operation: Operation<'_>,
        order_id: OrderId,
        delivery: &Delivery,
        payment: &PaymentRef,
    ) -> Result<Outcome, Failure> {
        if !is_id(&payment.0) {
            return Ok(Outcome::Contradicts(Failure::bug("NoPaymentIntent", "the hold's id is none that Stripe gives")));
        }
        let path = format!("{INTENTS}/{payment}");
        // A hold that waits for its customer at a bank's page would wait for ever: nobody is there to show the page to.
        // localstripe does not know the parameter, and its `requires_action` is mapped to the same end below.
        let refuse_actions = ("error_on_requires_action", "true");
        let mut form = Vec::new();
        if let Operation::Confirm(again) = operation {
            form.push(EXPAND);
            form.extend((!self.http.base.local).then_some(refuse_actions));
            form.extend(again.map(|again| ("payment_method", again.payment_method)));
        }
        let key = operation.key(payment, delivery);
        let posted = self.post(operation.endpoint(), &format!("{path}/{}", operation.verb()), &key, &form, order_id).await?;
        let (intent, trouble) = match posted {
            Ok(intent) => (intent, None),
            // Nothing was done, and nothing is wrong.
            Err(FailedCall { slow_down: Some(after), .. }) => return Ok(Outcome::SlowDown { after }),
            // Certainly nothing was done, and asking about it would be refused as well.
            Err(trouble) if matches!(trouble.status, Some(401 | 403 | 429)) => return Err(trouble.into_failure()),
            // Whatever it was, declines included: the status is the answer.
            Err(trouble) => match self.look(&path, order_id).await? {
                Ok(intent) => (intent, Some(trouble)),
                // Whatever was done, the next delivery finds out.
                Err(FailedCall { slow_down: Some(after), .. }) => return Ok(Outcome::SlowDown { after }),
                // A 404 of the API's own, that is. One of something in between says nothing about the PaymentIntent.
                Err(missing) if missing.status == Some(404) && missing.said.kind.is_some() => {
                    let message = format_args!("{missing}; is the key of another account, or of test mode?");
                    return Ok(Outcome::Contradicts(Failure::transient("UnknownPaymentIntent", message)));
                }
                Err(trouble) => return Err(trouble.into_failure()),
            },
        };
        verdict(operation, intent, trouble)
    }

    async fn post(
        &self,
        endpoint: Endpoint,
        path: &str,
        key: &str,
        form: &[(&str, &str)],
        order_id: OrderId,
    ) -> Result<Result<Intent, FailedCall>, Failure> {
        let secret = self.key.get().await?;
        match self.in_turn(endpoint, async || self.http.post(path, &secret, key, form).await).await {
            Ok(answer) => self.read(answer, &secret, order_id, format_args!("POST {path}")).await,
            Err(after) => Ok(Err(FailedCall { call: format!("POST {path}"), slow_down: Some(after), ..FailedCall::default() })),
        }
    }

    /// Sends a call when it is its turn, and again, after a pause, where it was too much for the provider.
    ///
    /// # Errors
    /// How long to wait before it is tried again, where that is too long for an invocation.
    async fn in_turn(
        &self,
        endpoint: Endpoint,
        send: impl AsyncFn() -> Result<Answer, NoAnswer>,
    ) -> Result<Result<Answer, NoAnswer>, Duration> {
        let mut sent_again = 0;
        loop {
            self.pace.turn(endpoint).await?;
            let answer = send().await;
            let Ok(Answer { limited: Some((reached, retry_after)), .. }) = &answer else { return Ok(answer) };
            let pause = self.pace.slow_down(endpoint, *reached, *retry_after);
            tracing::info!(?endpoint, ?reached, pause_ms = pause.as_millis(), sent_again, "the provider asks to slow down");
            if sent_again == SENT_AGAIN_MAX {
                return Err(pause);
            }
            sent_again += 1;
        }
    }

    async fn look(&self, path: &str, order_id: OrderId) -> Result<Result<Intent, FailedCall>, Failure> {
        let secret = self.key.get().await?;
        let query = form_urlencoded::Serializer::new(String::new()).append_pair(EXPAND.0, EXPAND.1).finish();
        match self.in_turn(Endpoint::Look, async || self.http.get(&format!("{path}?{query}"), &secret).await).await {
            Ok(answer) => self.read(answer, &secret, order_id, format_args!("GET {path}")).await,
            Err(after) => Ok(Err(FailedCall { call: format!("GET {path}"), slow_down: Some(after), ..FailedCall::default() })),
        }
    }

    /// Reads an answer: a PaymentIntent of this order, or trouble.
    async fn read(
        &self,
        answer: Result<Answer, NoAnswer>,
        secret: &crate::key::Secret,
        order_id: OrderId,
        call: fmt::Arguments<'_>,
    ) -> Result<Result<Intent, FailedCall>, Failure> {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(Err(FailedCall { call: call.to_string(), no_answer: Some(error), ..FailedCall::default() })),
        };
        if answer.status == StatusCode::UNAUTHORIZED {
            self.key.forget(secret).await;
        }
        let trouble = |said: ErrorBody| FailedCall {
            call: call.to_string(),
            status: Some(answer.status),
            request_id: answer.request_id.clone(),
            said,
            no_answer: None,
            slow_down: None,
        };
        if answer.status != StatusCode::OK {
            let said = serde_json::from_slice::<Refusal>(&answer.body).map(|refusal| refusal.error);
            return Ok(Err(trouble(said.unwrap_or_default())));
        }
        let Ok(intent) = serde_json::from_slice::<Intent>(&answer.body) else {
            return Ok(Err(trouble(ErrorBody::default())));
        };
        // Every PaymentIntent of ours names its order. One that names another, or none, was never this order's to touch.
        if intent.metadata.order_id.as_deref() != Some(order_id.to_string().as_str()) {
            let message = format_args!("{} answered with a PaymentIntent that is not of this order", trouble(ErrorBody::default()).call);
            return Err(Failure::bug("ForeignPayment", message));
        }
        Ok(Ok(intent))
    }
}

impl<V: SecretStore> Provider for Stripe<V> {
    async fn create(&self, order_id: OrderId, delivery: &Delivery, placed: &OrderPlaced) -> Result<Prepared, Failure> {
        let Some(amount) = charge::to_provider(placed.total) else {
            return Ok(Prepared::Declined { code: "invalid_amount".into() });
        };
        let (order, amount, currency) = (order_id.to_string(), amount.to_string(), placed.total.currency.code().to_ascii_lowercase());
        let form = [
            ("amount", amount.as_str()),
            ("currency", currency.as_str()),
            ("payment_method", placed.payment_method.as_str()),
            // Named types switch automatic payment methods off, which the API has on since 2023-08-16 and which ask for a
            // `return_url` at the confirmation: a redirect has nobody to be shown to here. Cards need none, and can be
            // authorized now and captured later.
            ("payment_method_types[]", "card"),
            ("capture_method", "manual"),
            ("confirm", "false"),
            ("metadata[order_id]", order.as_str()),
        ];
        match self.post(Endpoint::Create, INTENTS, &idempotency_key(&order, "create", delivery), &form, order_id).await? {
            Err(FailedCall { slow_down: Some(after), .. }) => Ok(Prepared::SlowDown { after }),
            Ok(intent) if is_id(&intent.id) => Ok(Prepared::Unconfirmed(PaymentRef(intent.id))),
            Ok(_) => Err(Failure::transient("StripeUnreadable", "the new PaymentIntent has no id")),
            Err(trouble) if matches!(trouble.blames(), Blame::Bank | Blame::Order) => Ok(Prepared::Declined { code: trouble.code() }),
            // An unclear answer has no id to look up. The next delivery creates another one, and this one, if it is
            // there, is never confirmed and holds nothing.
            Err(trouble) => Err(trouble.into_failure()),
        }
    }

    async fn confirm(&self, order_id: OrderId, delivery: &Delivery, payment: &PaymentRef) -> Result<Outcome, Failure> {
        self.operate(Operation::Confirm(None), order_id, delivery, payment).await
    }

    async fn confirm_again(
        &self,
        order_id: OrderId,
        delivery: &Delivery,
        payment: &PaymentRef,
        payment_method: &str,
        tries: u32,
    ) -> Result<Outcome, Failure> {
        self.operate(Operation::Confirm(Some(Again { payment_method, tries })), order_id, delivery, payment).await
    }

    async fn capture(&self, order_id: OrderId, delivery: &Delivery, payment: &PaymentRef) -> Result<Outcome, Failure> {
        let taken = self.operate(Operation::Capture, order_id, delivery, payment).await?;
        let Outcome::Uncollected { code } = taken else { return Ok(taken) };
        self.release_refused(order_id, delivery, payment, code).await
    }

    async fn release_refused(
        &self,
        order_id: OrderId,
        delivery: &Delivery,
        payment: &PaymentRef,
        code: String,
    ) -> Result<Outcome, Failure> {
        // A bank's refusal leaves the hold as it was, and another copy of the event may be taking it just now. What is
        // cancelled cannot be taken, so the provider settles it before anybody says that the order is uncollected:
        //
        //   one copy                          another copy
        //   capture: refused by the bank
        //                                     capture: taken
        //   cancel: refused, it is captured
        //   capture: is taken already
        //   update captured                   update captured
        match self.operate(Operation::Cancel, order_id, delivery, payment).await? {
            Outcome::Voided => Ok(Outcome::Uncollected { code }),
            Outcome::SlowDown { after } => Ok(Outcome::SlowDown { after }),
            _ => self.operate(Operation::Capture, order_id, delivery, payment).await,
        }
    }

    async fn cancel(&self, order_id: OrderId, delivery: &Delivery, payment: &PaymentRef) -> Result<Outcome, Failure> {
        self.operate(Operation::Cancel, order_id, delivery, payment).await
    }
}

/// What the status says after `operation`; `trouble` is what the operation itself said, where that was not plain success.
fn verdict(operation: Operation<'_>, intent: Intent, trouble: Option<FailedCall>) -> Result<Outcome, Failure> {
    use Operation::{Cancel, Capture, Confirm};
    let blame = trouble.as_ref().map_or(Blame::Time, FailedCall::blames);
    let refused = matches!(blame, Blame::Bank | Blame::Order);
    let code = || {
        intent.last_payment_error.as_ref().and_then(ErrorBody::code).or_else(|| trouble.as_ref().and_then(|trouble| trouble.said.code()))
    };
    let for_now = |code: Option<String>| Outcome::RefusedForNow { code: code.unwrap_or_else(declined) };
    Ok(match (operation, intent.status) {
        (Confirm(_), Status::RequiresCapture) => Outcome::Authorized { capture_before: intent.capture_before()? },
        // A copy of this delivery was faster, and the order has even shipped: the record tells, or takes this as it was.
        (Confirm(_), Status::Succeeded) => Outcome::Authorized { capture_before: intent.capture_before()? },
        // What stood before a further try stands after one that was perhaps never made. That is no refusal, and counts as none.
        (Confirm(Some(_)), Status::RequiresPaymentMethod) if matches!(blame, Blame::Time | Blame::Us) => {
            return Err(pending(operation, &intent, trouble));
        }
        (Confirm(_), Status::RequiresPaymentMethod) => match blame {
            Blame::BankForNow => for_now(code()),
            // The answer to the first try was lost, or another copy of the delivery got it: the PaymentIntent tells what it was.
            Blame::Time | Blame::Us if intent.last_payment_error.as_ref().is_some_and(ErrorBody::passes) => for_now(code()),
            Blame::Time | Blame::Us | Blame::Bank | Blame::Order => Outcome::Declined { code: code().unwrap_or_else(declined) },
        },
        (Confirm(_), Status::RequiresAction) => Outcome::Declined { code: code().unwrap_or_else(|| "authentication_required".into()) },
        (Confirm(_), Status::Canceled) => Outcome::Voided,
        // Refused before it was tried, for a reason that every copy of the delivery would meet: a payment method that is
        // gone, used up or not a card.
        (Confirm(_), Status::RequiresConfirmation) if refused => Outcome::Declined { code: code().unwrap_or_else(declined) },

        (Capture, Status::Succeeded) => Outcome::Captured,
        // The hold lapsed, or somebody freed it by hand.
        (Capture, Status::Canceled) => {
            Outcome::Uncollected { code: intent.cancellation_reason.as_deref().and_then(clean).unwrap_or_else(|| "canceled".into()) }
        }
        (Capture, Status::RequiresCapture) if blame == Blame::BankForNow => for_now(code()),
        (Capture, Status::RequiresCapture) if blame == Blame::Bank => Outcome::Uncollected { code: code().unwrap_or_else(declined) },
        (Capture, Status::RequiresPaymentMethod | Status::RequiresAction | Status::RequiresConfirmation) => {
            contradiction("was never confirmed")
        }

        (Cancel, Status::Canceled) => Outcome::Voided,
        (Cancel, Status::Succeeded) => contradiction("was captured"),

        // Nothing happened, or not yet: a 5xx, a lost answer, a lock that another copy holds, a bank that takes its time.
        (Confirm(_), Status::RequiresConfirmation)
        | (Capture, Status::RequiresCapture)
        | (Cancel, Status::RequiresPaymentMethod | Status::RequiresAction | Status::RequiresConfirmation | Status::RequiresCapture)
        | (_, Status::Processing) => return Err(pending(operation, &intent, trouble)),
        (_, Status::Unknown) => {
            return Err(Failure::bug("UnknownStatus", "the PaymentIntent has a status that this API version does not have"));
        }
    })
}

fn pending(operation: Operation<'_>, intent: &Intent, trouble: Option<FailedCall>) -> Failure {
    let pending = || format!("the PaymentIntent is still {:?} after {}", intent.status, operation.verb());
    trouble.map_or_else(|| Failure::transient("StripePending", pending()), FailedCall::into_failure)
}

fn contradiction(what: &str) -> Outcome {
    Outcome::Contradicts(Failure::bug("ProviderContradicts", format_args!("the PaymentIntent {what}, the record says otherwise")))
}

/// The key under which Stripe remembers an answer for a day, a cached 500 or 400 included. So it names one try: the next
/// delivery of the message has another attempt number, a nudge another message id, and both get an answer of their own,
/// after the record (and by it the status) was read. Two copies of one delivery share it, and Stripe does the thing once.
/// That only saves an orphan or a refusal: what keeps a hold from being confirmed twice is that the record names one.
fn idempotency_key(subject: &str, verb: &str, delivery: &Delivery) -> String {
    format!("{subject}/{verb}/{}/{}", delivery.message_id, delivery.attempt)
}

/// Ids go into paths, and the ones in events come from outside: letters, digits and `_` cannot leave their segment.
fn is_id(text: &str) -> bool {
    (1..=ID_MAX_LEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A code that may stand in an event: one word, as Stripe's are.
fn clean(code: &str) -> Option<String> {
    let word = (1..=CODE_MAX_LEN).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    word.then(|| code.to_owned())
}

fn declined() -> String {
    "declined".to_owned()
}

/// A PaymentIntent, as far as it matters here (<https://docs.stripe.com/api/payment_intents/object>).
#[derive(Debug, Deserialize)]
struct Intent {
    id: String,
    status: Status,
    created: i64,
    #[serde(default, deserialize_with = "null_as_default")]
    metadata: Metadata,
    #[serde(default)]
    latest_charge: Option<Charge>,
    #[serde(default)]
    last_payment_error: Option<ErrorBody>,
    #[serde(default)]
    cancellation_reason: Option<String>,
}

/// <https://docs.stripe.com/payments/paymentintents/lifecycle>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Status {
    RequiresPaymentMethod,
    RequiresConfirmation,
    RequiresAction,
    Processing,
    RequiresCapture,
    Canceled,
    Succeeded,
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    order_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Charge {
    Expanded {
        #[serde(default, deserialize_with = "null_as_default")]
        payment_method_details: Details,
    },
    Other(serde::de::IgnoredAny),
}

#[derive(Debug, Default, Deserialize)]
struct Details {
    #[serde(default, deserialize_with = "null_as_default")]
    card: Card,
}

#[derive(Debug, Default, Deserialize)]
struct Card {
    #[serde(default)]
    capture_before: Option<i64>,
}

impl Intent {
    /// When the hold lapses.
    fn capture_before(&self) -> Result<Timestamp, Failure> {
        let said = match &self.latest_charge {
            Some(Charge::Expanded { payment_method_details }) => payment_method_details.card.capture_before,
            Some(Charge::Other(_)) | None => None,
        };
        let seconds = said.unwrap_or_else(|| self.created.saturating_add(HOLD_AT_LEAST.as_secs()));
        Timestamp::from_second(seconds)
            .map_err(|error| Failure::transient("StripeUnreadable", "the hold lapses at no time").caused_by(error))
    }
}

#[derive(Debug, Deserialize)]
struct Refusal {
    error: ErrorBody,
}

/// An error, as the API words it (<https://docs.stripe.com/api/errors>). Its `message` is not kept, because it quotes what
/// was sent and would end up in logs.
#[derive(Debug, Default, Deserialize)]
struct ErrorBody {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    decline_code: Option<String>,
    /// What the card's network advises, where it does.
    #[serde(default)]
    advice_code: Option<String>,
    #[serde(default)]
    param: Option<String>,
    /// Whether the message speaks of a PaymentMethod. "The provided PaymentMethod was previously used …" comes without
    /// code and parameter, and is what a customer gets who orders again with the card that was declined.
    #[serde(default, rename = "message", deserialize_with = "speaks_of_a_payment_method")]
    about_payment_method: bool,
}

fn speaks_of_a_payment_method<'de, D: serde::Deserializer<'de>>(message: D) -> Result<bool, D::Error> {
    Ok(Option::<String>::deserialize(message)?.is_some_and(|text| text.contains("PaymentMethod")))
}

impl ErrorBody {
    /// The issuer's reason where there is one, else Stripe's.
    fn code(&self) -> Option<String> {
        self.decline_code.as_deref().and_then(clean).or_else(|| self.code.as_deref().and_then(clean))
    }

    /// Whether the same card may be asked for the same once more. The network's advice decides where there is one
    /// (<https://docs.stripe.com/declines/card>: `try_again_later`, and two that mean no). Else only those decline codes may of
    /// which Stripe says that the payment "should be attempted again" (<https://docs.stripe.com/declines/codes>); every other
    /// one is final, an unknown one included.
    fn passes(&self) -> bool {
        match self.advice_code.as_deref() {
            Some("try_again_later") => true,
            Some("do_not_try_again" | "confirm_card_data") => false,
            _ => matches!(
                self.decline_code.as_deref().or(self.code.as_deref()),
                Some("approve_with_id" | "issuer_not_available" | "processing_error" | "reenter_transaction" | "try_again_later")
            ),
        }
    }
}

/// Why a call did not simply succeed.
#[derive(Debug, Default)]
struct FailedCall {
    call: String,
    status: Option<u16>,
    request_id: Option<String>,
    said: ErrorBody,
    no_answer: Option<NoAnswer>,
    /// It was not sent, or sent in vain, because it would be too much: to be tried again after this time.
    slow_down: Option<Duration>,
}

/// Who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blame {
    /// Nobody: it passes, or an operator fixes the key.
    Time,
    /// Time, and the customer's bank: it refuses, and may be asked the same again.
    BankForNow,
    /// The customer's bank: it refuses permanently, and the order ends declined or, once it has shipped, uncollected.
    Bank,
    /// The customer: it cannot be paid like this, and ends declined instead of parked.
    Order,
    /// We: a request that is wrong today is wrong tomorrow. No sale and no money is lost for a fault of ours.
    Us,
}

impl FailedCall {
    fn blames(&self) -> Blame {
        let ErrorBody { kind, code, param, .. } = &self.said;
        let code = code.as_deref().unwrap_or_default();
        match (self.status, kind.as_deref(), param.as_deref()) {
            (None, ..) if matches!(self.no_answer, Some(NoAnswer::Unsendable(_))) => Blame::Us,
            (None, ..) => Blame::Time,
            // Only the API itself says that a request is wrong, in the words of <https://docs.stripe.com/api/errors>: an
            // `error` with a `type`. What has none comes from a proxy or a page between us and Stripe, or is a success that
            // cannot be read, and says nothing about the request.
            (_, None, _) => Blame::Time,
            // Statuses that blame a request: 400, 402 (valid, but it failed) and 404. All others pass, as that page has them:
            // a key refused or not allowed (401, 403), a concurrent call (409), something that Stripe itself depends on (424),
            // too many calls (429), its own troubles (5xx), and what a later version may add.
            (Some(status), ..) if !matches!(status, 400 | 402 | 404) => Blame::Time,
            // `api_error` is Stripe's own trouble. With `idempotency_error` the key was used for another request; the next
            // delivery has another one.
            (_, Some(kind), _) if !matches!(kind, "card_error" | "invalid_request_error") => Blame::Time,
            // The PaymentIntent moved while we looked, or is so new that not every server of theirs knows it.
            _ if code == "payment_intent_unexpected_state" => Blame::Time,
            (Some(404), _, Some("intent")) => Blame::Time,
            (Some(402), ..) | (_, Some("card_error"), _) if self.said.passes() => Blame::BankForNow,
            (Some(402), ..) | (_, Some("card_error"), _) => Blame::Bank,
            // The hold lapsed under the capture (<https://docs.stripe.com/error-codes>).
            _ if matches!(code, "charge_expired_for_capture" | "capture_charge_authorization_expired" | "capture_unauthorized_payment") => {
                Blame::Bank
            }
            // No such payment method, or one that is used up or no card; a sum too small, too large, or in a currency that
            // is not offered.
            _ if matches!(code, "amount_too_small" | "amount_too_large") => Blame::Order,
            (_, _, Some("payment_method" | "amount" | "currency")) => Blame::Order,
            _ if code.starts_with("payment_method_") || code == "payment_intent_incompatible_payment_method" => Blame::Order,
            _ if self.said.about_payment_method && code.is_empty() && param.is_none() => Blame::Order,
            // localstripe's way to say that there is no such payment method: the path, at least, does exist.
            (Some(404), _, None) => Blame::Order,
            _ => Blame::Us,
        }
    }

    fn code(&self) -> String {
        self.said.code().unwrap_or_else(declined)
    }

    fn into_failure(self) -> Failure {
        let error_type = match (&self.no_answer, self.status) {
            (Some(NoAnswer::Timeout), _) => "StripeTimeout".to_owned(),
            (Some(NoAnswer::Unsendable(_)), _) => "StripeUnsendable".to_owned(),
            (Some(NoAnswer::Broken(_)), _) | (None, None) => "StripeUnreachable".to_owned(),
            (Some(NoAnswer::TooLong), _) | (None, Some(200)) => "StripeUnreadable".to_owned(),
            (None, Some(status)) => format!("Stripe{status}"),
        };
        let failure = match self.blames() {
            Blame::Time | Blame::BankForNow => Failure::transient(error_type, &self),
            // A refusal that the caller has no end for is a request that we should not have made.
            Blame::Bank | Blame::Order | Blame::Us => Failure::bug(error_type, &self),
        };
        match self.no_answer {
            Some(source) => failure.caused_by(source),
            None => failure,
        }
    }
}

impl fmt::Display for FailedCall {
    /// Everything that an operator needs to find the request in Stripe's log, and nothing that the customer sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.call)?;
        match (&self.no_answer, self.status) {
            (Some(error), _) => write!(f, "{error}")?,
            (None, status) => write!(f, "HTTP {}", status.unwrap_or_default())?,
        }
        let ErrorBody { kind, code, decline_code, advice_code, param, .. } = &self.said;
        for (name, value) in [
            ("type", kind),
            ("code", code),
            ("decline_code", decline_code),
            ("advice_code", advice_code),
            ("param", param),
            ("request", &self.request_id),
        ] {
            if let Some(value) = value {
                write!(f, ", {name} {}", value.chars().take(CODE_MAX_LEN).collect::<String>())?;
            }
        }
        Ok(())
    }
}
