//! Facts about the simulated Stripe, over its connector.

use super::*;
use crate::{Draws, FaultRates, Invocation};
use std::time::Duration;
use tokio::time::advance;

const FINE: FaultRates = FaultRates { per_mille: 0, faults: 0 };
/// One fault, early.
const ONE_FAULT: FaultRates = FaultRates { per_mille: 500, faults: 1 };
const DAY: Duration = Duration::from_secs(24 * 3600);
const CREATE: &str = "POST /v1/payment_intents";

/// A bank, and two kinds of callers on the same clock.
struct World {
    bank: Bank,
    fine: Arc<Draws>,
    bad: Arc<Draws>,
}

impl World {
    fn new(seed: u64) -> Self {
        Self { bank: Bank::default(), fine: Arc::new(Draws::new(seed, FINE, false)), bad: Arc::new(Draws::new(seed, ONE_FAULT, false)) }
    }
    fn caller(draws: &Arc<Draws>) -> Caller {
        Caller { draws: draws.clone(), invocation: Invocation::new("test".into()) }
    }
    /// A PaymentIntent in this status.
    fn with(self, card: Card, status: Status) -> Self {
        let capture_before_s = matches!(status, Status::RequiresCapture | Status::Succeeded).then(|| self.now_s() + card.hold_s());
        let number = self.bank.lock().intents.len() + 1;
        let (held, captured) = (capture_before_s.is_some(), status == Status::Succeeded);
        self.bank.lock().intents.push(Intent {
            number,
            order_id: "o1".into(),
            amount_minor: 2400,
            currency: "eur".into(),
            card,
            status,
            created_s: self.now_s(),
            capture_before_s,
            refused: (status == Status::RequiresPaymentMethod).then(bank_refused),
            processing: None,
            lapsed: false,
            lost: false,
            held_times: held.into(),
            captured_times: captured.into(),
            hesitated_times: 0,
        });
        self
    }
    fn now_s(&self) -> i64 {
        self.fine.now().as_second()
    }
    fn entries(&self) -> Vec<Entry> {
        self.bank.book(self.fine.now())
    }
    fn statuses(&self) -> Vec<Status> {
        self.entries().into_iter().map(|entry| entry.status).collect()
    }
    /// Sends by a caller that meets no fault.
    async fn send(&self, line: &str, key: &str, body: &str) -> (u16, Value) {
        exchange(&self.bank, &self.fine, line, key, body).await.unwrap().unwrap().unwrap()
    }
    /// The same in short: the status, and the code of a refusal or the PaymentIntent's status.
    async fn short(&self, line: &str, key: &str, body: &str) -> String {
        short(&self.send(line, key, body).await)
    }
}

fn short((status, body): &(u16, Value)) -> String {
    let word = [&body["status"], &body["error"]["code"], &body["error"]["type"]].into_iter().find_map(Value::as_str);
    format!("{status} {}", word.unwrap_or_default())
}

fn form(payment_method: &str) -> String {
    format!(
        "amount=2400&currency=eur&payment_method={payment_method}&payment_method_types[]=card&capture_method=manual&confirm=false\
         &metadata%5Border_id%5D=o1"
    )
}

fn request(line: &str, key: &str, body: &str) -> HttpRequest {
    let (method, target) = line.split_once(' ').unwrap();
    let mut request = HttpRequest::new(SdkBody::from(body));
    request.set_method(method).unwrap();
    request.set_uri(format!("https://api.stripe.com{target}")).unwrap();
    request.headers_mut().insert("authorization", "Bearer sk_test_1");
    request.headers_mut().insert("idempotency-key", key.to_owned());
    request
}

type Heard = Result<(u16, Value), ConnectorError>;

/// What the caller hears: [`Err`] if its code panicked, [`None`] if its process died.
async fn exchange(bank: &Bank, draws: &Arc<Draws>, line: &str, key: &str, body: &str) -> Result<Option<Heard>, tokio::task::JoinError> {
    let caller = World::caller(draws);
    let invocation = caller.invocation.clone();
    let answer = bank.connector(caller).call(request(line, key, body));
    let heard =
        async { answer.await.map(|answer| (answer.status().as_u16(), serde_json::from_slice(answer.body().bytes().unwrap()).unwrap())) };
    tokio::spawn(invocation.run(heard)).await
}

/// Sends once under `fault`, and under it alone: in the first of the worlds that `prepare` makes where it strikes.
async fn under(fault: Fault, prepare: impl AsyncFn(World) -> World, line: &str, body: &str) -> (World, Option<Heard>) {
    for seed in 0..1000 {
        let world = prepare(World::new(seed)).await;
        let heard = exchange(&world.bank, &world.bad, line, "k", body).await;
        if world.bad.drawn().contains_key(&fault) {
            return (world, heard.unwrap());
        }
    }
    panic!("{fault:?} never strikes");
}

#[tokio::test(start_paused = true)]
async fn an_amount_is_held_and_then_taken() {
    let world = World::new(1);
    let (status, created) = world.send(CREATE, "1", &form(card::GOOD)).await;
    assert_eq!((status, &created["id"], &created["status"]), (200, &json!("pi_1"), &json!("requires_confirmation")));
    assert_eq!((&created["metadata"], &created["latest_charge"]), (&json!({"order_id": "o1"}), &Value::Null));
    advance(Duration::from_secs(60)).await;
    let (_, held) = world.send("POST /v1/payment_intents/pi_1/confirm", "2", "expand[]=latest_charge&error_on_requires_action=true").await;
    let lapses_s = world.now_s() + HOLD_S;
    assert_eq!(held["latest_charge"], json!({"id": "ch_1", "payment_method_details": {"card": {"capture_before": lapses_s}}}));
    assert_eq!(held["created"].as_i64().unwrap() + 60, world.now_s());
    let look = "GET /v1/payment_intents/pi_1?expand%5B%5D=latest_charge";
    assert_eq!(world.send(look, "2", "").await, (200, held), "looking shows the same");
    assert_eq!(world.send("GET /v1/payment_intents/pi_1", "", "").await.1["latest_charge"], "ch_1", "unexpanded");
    assert_eq!(world.short("POST /v1/payment_intents/pi_1/capture", "3", "").await, "200 succeeded");
    assert_eq!(
        world.entries(),
        [Entry {
            payment: "pi_1".into(),
            order_id: "o1".into(),
            amount_minor: 2400,
            currency: "eur".into(),
            status: Status::Succeeded,
            cancellation_reason: None,
            held_times: 1,
            captured_times: 1,
            hesitated_times: 0,
            is_lost: false,
            captured_minor: 2400,
        }]
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_idempotent_by_itself() {
    use Status::{Canceled, RequiresCapture, RequiresConfirmation, RequiresPaymentMethod, Succeeded};
    let no = "400 payment_intent_unexpected_state";
    for (status, confirmed, captured, cancelled) in [
        (RequiresConfirmation, "200 requires_capture", no, "200 canceled"),
        (RequiresPaymentMethod, no, no, "200 canceled"),
        (RequiresCapture, no, "200 succeeded", "200 canceled"),
        (Succeeded, no, no, no),
        (Canceled, no, no, no),
    ] {
        for (verb, expected) in [("confirm", confirmed), ("capture", captured), ("cancel", cancelled)] {
            let world = World::new(1).with(Card::Pays { hold_s: HOLD_S }, status);
            let before = world.entries();
            let said = world.short(&format!("POST /v1/payment_intents/pi_1/{verb}"), "k", "").await;
            assert_eq!(said, expected, "{verb} × {status:?}");
            assert_eq!(world.entries() == before, expected == no, "{verb} × {status:?}: a refusal changes nothing");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_is_answered_from_memory_for_a_day() {
    let world = World::new(1);
    let first = world.send(CREATE, "k", &form(card::GOOD)).await;
    world.send("POST /v1/payment_intents/pi_1/cancel", "other", "").await;
    assert_eq!(world.send(CREATE, "k", &form(card::GOOD)).await, first, "as it was then");
    assert_eq!(world.short(CREATE, "k", &form(card::DECLINED)).await, "400 idempotency_error", "other parameters");
    assert_eq!(world.short("POST /v1/payment_intents/pi_1/capture", "other", "").await, "400 idempotency_error", "another endpoint");
    advance(DAY - Duration::from_secs(2)).await;
    assert_eq!(world.send(CREATE, "k", &form(card::GOOD)).await, first);
    advance(Duration::from_secs(3)).await;
    assert_eq!(world.send(CREATE, "k", &form(card::GOOD)).await.1["id"], "pi_2");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_remembered_too_but_not_one_before_anything_began() {
    let world = World::new(1).with(Card::Pays { hold_s: HOLD_S }, Status::RequiresConfirmation);
    let capture = "POST /v1/payment_intents/pi_1/capture";
    assert_eq!(world.short(capture, "early", "").await, "400 payment_intent_unexpected_state");
    world.send("POST /v1/payment_intents/pi_1/confirm", "1", "").await;
    assert_eq!(world.short(capture, "early", "").await, "400 payment_intent_unexpected_state");
    assert_eq!(world.short(capture, "fresh", "").await, "200 succeeded");
    assert_eq!(world.short(CREATE, "k", "amount=1").await, "400 parameter_missing");
    assert_eq!(world.short(CREATE, "k", &form(card::GOOD)).await, "200 requires_confirmation");
}

#[tokio::test(start_paused = true)]
async fn each_card_has_its_way() {
    let world = World::new(1);
    let refused = world.send(CREATE, "1", &form(card::UNKNOWN)).await;
    assert_eq!((short(&refused).as_str(), &refused.1["error"]["param"]), ("400 resource_missing", &json!("payment_method")));
    assert_eq!(world.entries(), []);

    world.send(CREATE, "2", &form(card::DECLINED)).await;
    let declined = world.send("POST /v1/payment_intents/pi_1/confirm", "3", "").await;
    assert_eq!((declined.0, &declined.1["error"]), (402, &bank_refused()));
    let looked = world.send("GET /v1/payment_intents/pi_1", "", "").await;
    assert_eq!((short(&looked).as_str(), &looked.1["last_payment_error"]), ("200 requires_payment_method", &bank_refused()));

    world.send(CREATE, "4", &form(card::UNCAPTURABLE)).await;
    assert_eq!(world.short("POST /v1/payment_intents/pi_2/confirm", "5", "").await, "200 requires_capture");
    for key in ["6", "7"] {
        assert_eq!(world.short("POST /v1/payment_intents/pi_2/capture", key, "").await, "402 card_declined");
    }
    assert_eq!(world.statuses(), [Status::RequiresPaymentMethod, Status::RequiresCapture]);
    assert_eq!(world.short("POST /v1/payment_intents/pi_2/cancel", "8", "").await, "200 canceled");
}

/// A bank that is away for a while: a no that a later try, with the payment method, turns into a yes.
#[tokio::test(start_paused = true)]
async fn a_hesitant_bank_says_no_for_now_and_then_yes() {
    let world = World::new(1);
    let (confirm, capture) = ("POST /v1/payment_intents/pi_1/confirm", "POST /v1/payment_intents/pi_1/capture");
    world.send(CREATE, "1", &form(&format!("{}60", card::CONFIRMS_AFTER_S))).await;
    let method = format!("payment_method={}60", card::CONFIRMS_AFTER_S);
    let refused = world.send(confirm, "2", "").await;
    assert_eq!((refused.0, &refused.1["error"]["decline_code"]), (402, &json!("issuer_not_available")));
    assert_eq!(world.short(confirm, "3", "").await, "400 payment_intent_unexpected_state", "the payment method is taken off");
    assert_eq!(world.short(confirm, "4", &method).await, "402 card_declined", "too early");
    advance(Duration::from_secs(60)).await;
    assert_eq!(world.short(confirm, "5", "payment_method=pm_card_visa").await, "400 resource_missing", "another card");
    assert_eq!(world.short(confirm, "6", &method).await, "200 requires_capture");
    assert_eq!(world.send("GET /v1/payment_intents/pi_1", "", "").await.1["last_payment_error"], Value::Null);
    assert_eq!((world.entries()[0].hesitated_times, world.entries()[0].held_times, world.entries()[0].is_lost), (2, 1, false));

    let world = World::new(1);
    world.send(CREATE, "1", &form(&format!("{}600", card::CAPTURES_AFTER_S))).await;
    assert_eq!(world.short(confirm, "2", "").await, "200 requires_capture");
    assert_eq!(world.short(capture, "3", "").await, "402 card_declined");
    assert_eq!(world.statuses(), [Status::RequiresCapture], "the hold stays");
    advance(Duration::from_secs(600)).await;
    assert_eq!(world.short(capture, "4", "").await, "200 succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_card_with_a_question_is_declined_or_waits_for_its_owner() {
    for (body, said, status) in [
        ("error_on_requires_action=true", "402 card_declined", Status::RequiresPaymentMethod),
        ("", "200 requires_action", Status::RequiresAction),
    ] {
        let world = World::new(1);
        world.send(CREATE, "1", &form(card::ASKS)).await;
        assert_eq!(world.short("POST /v1/payment_intents/pi_1/confirm", "2", body).await, said);
        assert_eq!(world.statuses(), [status]);
        assert_eq!(world.short("POST /v1/payment_intents/pi_1/cancel", "3", "").await, "200 canceled");
    }
}

#[tokio::test(start_paused = true)]
async fn more_calls_than_the_limit_are_refused_and_not_remembered() {
    let mut world = World::new(1);
    world.bank = Bank::limited(2);
    let said = async |n: u32| world.short(CREATE, &format!("k{n}"), &form(card::GOOD)).await;
    let mut answers = Vec::new();
    for n in 0..8 {
        answers.push(said(n).await);
    }
    // A call takes some 20 ms here, so that eight are over in a fraction of a second.
    assert_eq!(answers.iter().filter(|answer| **answer == "429 rate_limit").count(), 6, "{answers:?}");
    advance(Duration::from_secs(1)).await;
    assert_eq!(said(7).await, "200 requires_confirmation", "the same key");
    assert_eq!(world.entries().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_hold_lapses_at_its_end() {
    let capture = "POST /v1/payment_intents/pi_1/capture";
    let held = async || {
        let world = World::new(1);
        world.send(CREATE, "1", &form(&format!("{}3600", card::HOLDS_FOR_S))).await;
        advance(DAY).await;
        assert_eq!(world.short("POST /v1/payment_intents/pi_1/confirm", "2", "").await, "200 requires_capture");
        world
    };
    let world = held().await;
    advance(Duration::from_secs(3598)).await;
    assert_eq!(world.short(capture, "3", "").await, "200 succeeded");

    let world = held().await;
    advance(Duration::from_secs(3600)).await;
    assert_eq!(world.entries()[0].cancellation_reason, Some("automatic"), "without a call");

    for (line, said) in [
        (capture, "400 payment_intent_unexpected_state"),
        ("POST /v1/payment_intents/pi_1/cancel", "400 payment_intent_unexpected_state"),
        ("GET /v1/payment_intents/pi_1", "200 canceled"),
    ] {
        let world = held().await;
        advance(Duration::from_secs(3600)).await;
        assert_eq!(world.short(line, "3", "").await, said, "{line}");
        assert_eq!(world.send("GET /v1/payment_intents/pi_1", "", "").await.1["cancellation_reason"], "automatic");
        assert_eq!((world.entries()[0].held_times, world.entries()[0].captured_times), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_simulated_is_refused() {
    let good = form(card::GOOD);
    for (body, code, param) in [
        (good.replace("confirm=false", "confirm=true"), "parameter_unknown", "confirm"),
        (good.replace("capture_method=manual", "capture_method=automatic"), "parameter_unknown", "capture_method"),
        (good.replace("&capture_method=manual", ""), "parameter_missing", "capture_method"),
        (good.replace("&metadata%5Border_id%5D=o1", ""), "parameter_missing", "metadata[order_id]"),
        (good.replace("&currency=eur", ""), "parameter_missing", "currency"),
        (good.replace("currency=eur", "currency=EUR"), "parameter_unknown", "currency"),
        (good.replace("amount=2400", "amount=24.0"), "parameter_invalid_integer", "amount"),
        (good.replace("amount=2400", "amount=0"), "parameter_invalid_integer", "amount"),
        (good.replace("amount=2400", "amount=49"), "amount_too_small", "amount"),
        (good.replace("amount=2400", "amount=1000000000000"), "amount_too_large", "amount"),
        (good.replace("currency=eur", "currency=kwd").replace("=2400", "=2405"), "invalid_amount", "amount"),
        (good.replace("currency=eur", "currency=isk").replace("=2400", "=2450"), "invalid_amount", "amount"),
        (good.replace("currency=eur", "currency=bgn"), "invalid_currency", "currency"),
        (format!("{good}&customer=c"), "parameter_unknown", "customer"),
    ] {
        let world = World::new(1);
        let (status, said) = world.send(CREATE, "k", &body).await;
        assert_eq!((status, &said["error"]["code"], &said["error"]["param"]), (400, &json!(code), &json!(param)), "{body}");
        assert_eq!(world.entries(), [], "{body}");
    }
    let world = World::new(1).with(Card::Pays { hold_s: HOLD_S }, Status::RequiresCapture);
    assert_eq!(world.short("POST /v1/payment_intents/pi_1/capture", "k", "amount_to_capture=1").await, "400 parameter_unknown");
    for line in ["GET /v1/payment_intents", "DELETE /v1/payment_intents/pi_1", "POST /v1/payment_intents/pi_1/refund", "POST /v1/refunds"] {
        assert_eq!(world.short(line, "k", "").await, "404 invalid_request_error", "{line}");
    }
    for id in ["pi_0", "pi_01", "pi_+1", "pi_2", "pi_", "ch_1"] {
        assert_eq!(world.short(&format!("GET /v1/payment_intents/{id}"), "", "").await, "404 resource_missing", "{id}");
    }
    let mut anonymous = request("POST /v1/payment_intents/pi_1/capture", "k", "");
    anonymous.headers_mut().remove("authorization");
    let refused = world.bank.connector(World::caller(&world.fine)).call(anonymous).await.unwrap();
    assert_eq!((refused.status().as_u16(), world.statuses()), (401, vec![Status::RequiresCapture]));
}

/// Each fault, at a capture that would succeed: what its caller hears, what stands, and what the key says afterwards.
#[tokio::test(start_paused = true)]
async fn each_fault_does_what_it_says() {
    use Status::{RequiresCapture, Succeeded};
    let line = "POST /v1/payment_intents/pi_1/capture";
    let held = async |world: World| world.with(Card::Pays { hold_s: HOLD_S }, RequiresCapture);
    for (fault, heard, stands, again) in [
        (Fault::ProviderError, "500 api_error", RequiresCapture, "500 api_error"),
        (Fault::ProviderErrorAfter, "500 api_error", Succeeded, "500 api_error"),
        (Fault::BankRefuses, "402 card_declined", RequiresCapture, "402 card_declined"),
        (Fault::BankHesitates, "402 card_declined", RequiresCapture, "402 card_declined"),
        (Fault::BankTakesItsTime, "200 processing", Status::Processing, "200 processing"),
        (Fault::Throttled, "429 rate_limit", RequiresCapture, "200 succeeded"),
        (Fault::AnswerLost, "no answer", Succeeded, "200 succeeded"),
        (Fault::Hang, "no answer", RequiresCapture, "200 succeeded"),
        (Fault::CrashBefore, "nobody hears", RequiresCapture, "200 succeeded"),
        (Fault::CrashAfter, "nobody hears", Succeeded, "200 succeeded"),
    ] {
        let (world, said) = under(fault, held, line, "").await;
        let said = match said {
            Some(Ok(answer)) => short(&answer),
            Some(Err(_)) => "no answer".into(),
            None => "nobody hears".into(),
        };
        assert_eq!((said.as_str(), world.statuses()), (heard, vec![stands]), "{fault:?}");
        assert_eq!(world.short(line, "k", "").await, again, "{fault:?}: the same key again");
        if fault == Fault::BankTakesItsTime {
            assert_eq!(world.short(line, "fresh", "").await, "400 payment_intent_unexpected_state", "not yet");
            advance(Duration::from_secs(PROCESSING_MAX_S + 1)).await;
            assert_eq!(world.statuses(), [Succeeded]);
        }
        if matches!(fault, Fault::ProviderError | Fault::BankRefuses | Fault::BankHesitates) {
            assert_eq!(world.short(line, "fresh", "").await, "200 succeeded", "{fault:?}: another key");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_provider_does_nothing_and_forgets_it() {
    let line = "POST /v1/payment_intents/pi_1/capture";
    let held = async |world: World| world.with(Card::Pays { hold_s: HOLD_S }, Status::RequiresCapture);
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let world = held(World::new(seed)).await;
        let heard = exchange(&world.bank, &world.bad, line, "k", "").await;
        if world.bad.drawn().contains_key(&Fault::ProviderBusy) {
            seen.insert(short(&heard.unwrap().unwrap().unwrap()));
            assert_eq!(world.statuses(), [Status::RequiresCapture]);
            assert_eq!(world.short(line, "k", "").await, "200 succeeded");
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["409 lock_timeout", "429 rate_limit"]);
}

#[tokio::test(start_paused = true)]
async fn a_bank_that_refuses_once_leaves_a_good_card_declined() {
    let unconfirmed = async |world: World| world.with(Card::Pays { hold_s: HOLD_S }, Status::RequiresConfirmation);
    let (world, heard) = under(Fault::BankRefuses, unconfirmed, "POST /v1/payment_intents/pi_1/confirm", "").await;
    assert_eq!(short(&heard.unwrap().unwrap()), "402 card_declined");
    assert_eq!((world.statuses(), world.entries()[0].held_times), (vec![Status::RequiresPaymentMethod], 0));
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_key_makes_a_second_payment_intent() {
    let created = async |world: World| {
        world.send(CREATE, "k", &form(card::GOOD)).await;
        world
    };
    let (world, heard) = under(Fault::KeyExpired, created, CREATE, &form(card::GOOD)).await;
    let second = heard.unwrap().unwrap();
    assert_eq!((second.0, &second.1["id"], world.entries().len()), (200, &json!("pi_2"), 2));
    assert_eq!(world.send(CREATE, "k", &form(card::GOOD)).await, second, "remembered anew");
}

/// Nothing but the seed decides, and no fault is drawn where it could not be felt.
#[tokio::test(start_paused = true)]
async fn faults_strike_only_where_they_are_felt() {
    let mut looks = std::collections::BTreeSet::new();
    let mut declined = looks.clone();
    for seed in 0..300 {
        let world = World::new(seed).with(Card::Declined, Status::RequiresConfirmation);
        drop(exchange(&world.bank, &world.bad, "GET /v1/payment_intents/pi_1", "k", "").await);
        looks.extend(world.bad.drawn().into_keys());
        let world = World::new(seed).with(Card::Declined, Status::RequiresConfirmation);
        drop(exchange(&world.bank, &world.bad, "POST /v1/payment_intents/pi_1/confirm", "k", "").await);
        declined.extend(world.bad.drawn().into_keys());
    }
    use Fault::{BankRefuses, KeyExpired, ProviderBusy, ProviderError, ProviderErrorAfter};
    let felt = |drawn: &std::collections::BTreeSet<Fault>| {
        [ProviderError, ProviderErrorAfter, ProviderBusy, KeyExpired, BankRefuses].map(|fault| drawn.contains(&fault))
    };
    assert_eq!(felt(&looks), [true, false, true, false, false]);
    assert_eq!(felt(&declined), [true, true, true, false, false]);
}
