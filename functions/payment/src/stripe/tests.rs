//! Facts about the Stripe client, over real HTTP against a stub, and against localstripe where one runs.

mod stub;

use super::*;
use crate::{
    Payment,
    tests::ports::{Desk, Surroundings},
};
use domain::{CloudEvent, Currency, Event, Money, Subject, event::OrderShipped};
use lambda_kit::{Kind, warm_up};
use pipeline::Stage as _;
use serde_json::json;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};
use stub::{Act, CREATED, Stub};
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

const ORDER: &str = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";
/// Short enough for tests to wait for, long enough for a busy machine to answer in.
const TIMEOUTS: Timeouts = Timeouts { change: Duration::from_millis(400), look: Duration::from_millis(400) };

struct StubSecretStore(Rc<Cell<&'static str>>);
impl SecretStore for StubSecretStore {
    async fn read(&self) -> Result<Option<String>, Failure> {
        Ok(Some(self.0.get().to_owned()))
    }
}
fn key(text: &'static str) -> StripeKey<StubSecretStore> {
    StripeKey::new(StubSecretStore(Rc::new(Cell::new(text))))
}

fn client(url: &str) -> Stripe<StubSecretStore> {
    let mut stripe = Stripe::new(url.parse().unwrap(), key("sk_test_1"), TIMEOUTS);
    // The stub stands in for the real thing, not for localstripe.
    stripe.http.base.local = false;
    stripe
}
fn order_id() -> OrderId {
    ORDER.parse().unwrap()
}
fn pi() -> PaymentRef {
    PaymentRef("pi_1".into())
}
fn attempt(attempt: u32) -> Delivery {
    Delivery { message_id: "m1".into(), attempt, ..Delivery::default() }
}
fn placed_with(payment_method: &str) -> OrderPlaced {
    OrderPlaced { lines: vec![], total: Money { amount_minor: 2400, currency: Currency::EUR }, payment_method: payment_method.into() }
}
fn short_failure(failure: &Failure) -> String {
    format!("{:?} {}", failure.kind, failure.error_type).to_lowercase()
}
fn short(result: Result<Outcome, Failure>) -> String {
    match result {
        Ok(Outcome::Authorized { capture_before }) => format!("authorized +{} h", (capture_before.as_second() - CREATED) / 3600),
        Ok(Outcome::Declined { code }) => format!("declined {code}"),
        Ok(Outcome::RefusedForNow { code }) => format!("for now {code}"),
        Ok(Outcome::SlowDown { after }) => format!("slow down {} s", after.as_secs()),
        Ok(Outcome::Captured) => "captured".into(),
        Ok(Outcome::Uncollected { code }) => format!("uncollected {code}"),
        Ok(Outcome::Voided) => "voided".into(),
        Ok(Outcome::Contradicts(failure)) => format!("contradicts: {}", short_failure(&failure)),
        Err(failure) => short_failure(&failure),
    }
}
async fn perform(stripe: &Stripe<StubSecretStore>, verb: &str, delivery: &Delivery) -> String {
    short(match verb {
        "confirm" => stripe.confirm(order_id(), delivery, &pi()).await,
        "capture" => stripe.capture(order_id(), delivery, &pi()).await,
        _ => stripe.cancel(order_id(), delivery, &pi()).await,
    })
}
fn refusal(kind: &str, code: Option<&str>, param: Option<&str>) -> serde_json::Value {
    json!({"error": {"type": kind, "code": code, "param": param, "message": "Secret words"}})
}

/// Every status, read back after an answer that said nothing. `processing` and an unknown one are never final.
#[tokio::test]
async fn the_status_read_back_is_the_answer() {
    let table = [
        ("requires_confirmation", "transient stripe500", "contradicts: bug providercontradicts", "transient stripe500"),
        ("requires_payment_method", "declined stolen_card", "contradicts: bug providercontradicts", "transient stripe500"),
        ("requires_action", "declined authentication_required", "contradicts: bug providercontradicts", "transient stripe500"),
        ("processing", "transient stripe500", "transient stripe500", "transient stripe500"),
        ("requires_capture", "authorized +168 h", "transient stripe500", "transient stripe500"),
        ("canceled", "voided", "uncollected canceled", "voided"),
        ("succeeded", "authorized +168 h", "captured", "contradicts: bug providercontradicts"),
        ("something_new", "bug unknownstatus", "bug unknownstatus", "bug unknownstatus"),
    ];
    for (status, on_confirm, on_capture, on_cancel) in table {
        for (verb, expected) in [("confirm", on_confirm), ("capture", on_capture), ("cancel", on_cancel)] {
            let stub = Stub::start().await;
            stub.open("pi_1", status, ORDER);
            stub.with(|world| world.script.push_back(Act::Refuse(500, json!({"error": {"type": "api_error"}}))));
            assert_eq!(perform(&client(&stub.url), verb, &attempt(1)).await, expected, "{verb} × {status}");
            // Nothing is said of a capture that is refused until it is certain that the hold is free.
            let makes_sure = if expected.starts_with("uncollected") { " cancel look" } else { "" };
            assert_eq!(stub.calls(), format!("{verb} look{makes_sure}"), "{verb} × {status}");
        }
    }
}

/// The same without trouble: one call, and a look only where the call was refused.
#[tokio::test]
async fn plain_answers_need_no_second_call() {
    for (verb, status, expected, calls) in [
        ("confirm", "requires_confirmation", "authorized +168 h", "confirm"),
        ("capture", "requires_capture", "captured", "capture"),
        ("cancel", "requires_capture", "voided", "cancel"),
        ("cancel", "requires_confirmation", "voided", "cancel"),
        ("confirm", "requires_capture", "authorized +168 h", "confirm look"),
        ("confirm", "canceled", "voided", "confirm look"),
        ("capture", "succeeded", "captured", "capture look"),
        ("cancel", "canceled", "voided", "cancel look"),
        ("cancel", "succeeded", "contradicts: bug providercontradicts", "cancel look"),
    ] {
        let stub = Stub::start().await;
        stub.open("pi_1", status, ORDER);
        assert_eq!(perform(&client(&stub.url), verb, &attempt(1)).await, expected, "{verb} × {status}");
        assert_eq!(stub.calls(), calls, "{verb} × {status}");
    }
}

/// Each kind of trouble, where nothing was done and where it was done all the same.
#[tokio::test]
async fn every_kind_of_trouble_has_its_end() {
    let redirect =
        || Act::Raw("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:9/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into());
    let garbage = || Act::Raw("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\n<html".into());
    let say = |status, kind: &str, code: Option<&str>, param: Option<&str>| Act::Refuse(status, refusal(kind, code, param));
    let invalid = "invalid_request_error";
    // What happens, and what confirming an unconfirmed, and capturing and cancelling a held PaymentIntent come to.
    let table = [
        ("401", say(401, invalid, None, None), "transient stripe401", "transient stripe401", "transient stripe401", ""),
        ("403", say(403, invalid, None, None), "transient stripe403", "transient stripe403", "transient stripe403", ""),
        ("429", say(429, invalid, Some("rate_limit"), None), "transient stripe429", "transient stripe429", "transient stripe429", ""),
        (
            "409",
            say(409, "idempotency_error", Some("idempotency_key_in_use"), None),
            "transient stripe409",
            "transient stripe409",
            "transient stripe409",
            " look",
        ),
        (
            "409 lock",
            say(409, invalid, Some("lock_timeout"), None),
            "transient stripe409",
            "transient stripe409",
            "transient stripe409",
            " look",
        ),
        (
            "key used otherwise",
            say(400, "idempotency_error", None, None),
            "transient stripe400",
            "transient stripe400",
            "transient stripe400",
            " look",
        ),
        ("500", say(500, "api_error", None, None), "transient stripe500", "transient stripe500", "transient stripe500", " look"),
        ("503 of a proxy", Act::Refuse(503, json!("busy")), "transient stripe503", "transient stripe503", "transient stripe503", " look"),
        ("silence", Act::Silence(false), "transient stripetimeout", "transient stripetimeout", "transient stripetimeout", " look"),
        (
            "hung up",
            Act::HangUp(false),
            "transient stripeunreachable",
            "transient stripeunreachable",
            "transient stripeunreachable",
            " look",
        ),
        ("redirect", redirect(), "transient stripe302", "transient stripe302", "transient stripe302", " look"),
        ("garbage", garbage(), "transient stripeunreadable", "transient stripeunreadable", "transient stripeunreadable", " look"),
        (
            "changed in between",
            say(400, invalid, Some("payment_intent_unexpected_state"), None),
            "transient stripe400",
            "transient stripe400",
            "transient stripe400",
            " look",
        ),
        (
            "not known everywhere yet",
            say(404, invalid, Some("resource_missing"), Some("intent")),
            "transient stripe404",
            "transient stripe404",
            "transient stripe404",
            " look",
        ),
        (
            "402",
            say(402, "card_error", Some("card_declined"), None),
            "declined card_declined",
            "uncollected card_declined",
            "bug stripe402",
            " look",
        ),
        (
            "lapsed",
            say(400, invalid, Some("charge_expired_for_capture"), None),
            "declined charge_expired_for_capture",
            "uncollected charge_expired_for_capture",
            "bug stripe400",
            " look",
        ),
        (
            "no such method",
            say(400, invalid, Some("resource_missing"), Some("payment_method")),
            "declined resource_missing",
            "bug stripe400",
            "bug stripe400",
            " look",
        ),
        ("no such method, localstripe", say(404, invalid, None, None), "declined declined", "bug stripe404", "bug stripe404", " look"),
        (
            "not a card",
            say(400, invalid, Some("payment_intent_incompatible_payment_method"), None),
            "declined payment_intent_incompatible_payment_method",
            "bug stripe400",
            "bug stripe400",
            " look",
        ),
        (
            "our mistake",
            say(400, invalid, Some("parameter_unknown"), Some("expnd")),
            "bug stripe400",
            "bug stripe400",
            "bug stripe400",
            " look",
        ),
        (
            "a code that is no word",
            say(402, "card_error", Some("see https://example.com"), None),
            "declined declined",
            "uncollected declined",
            "bug stripe402",
            " look",
        ),
        ("done, then 500", Act::DoBut(500, json!({"error": {"type": "api_error"}})), "authorized +168 h", "captured", "voided", " look"),
        ("done, then silence", Act::Silence(true), "authorized +168 h", "captured", "voided", " look"),
        ("done, then hung up", Act::HangUp(true), "authorized +168 h", "captured", "voided", " look"),
    ];
    for (name, act, on_confirm, on_capture, on_cancel, look) in table {
        for (verb, status, expected) in [
            ("confirm", "requires_confirmation", on_confirm),
            ("capture", "requires_capture", on_capture),
            ("cancel", "requires_capture", on_cancel),
        ] {
            let stub = Stub::start().await;
            stub.open("pi_1", status, ORDER);
            stub.with(|world| world.script.push_back(act.clone()));
            assert_eq!(perform(&client(&stub.url), verb, &attempt(1)).await, expected, "{verb}: {name}");
            // A hold whose capture is refused is freed before anybody says so.
            let frees = if expected.starts_with("uncollected") { " cancel" } else { "" };
            assert_eq!(stub.calls(), format!("{verb}{look}{frees}"), "{verb}: {name}");
            if !frees.is_empty() {
                assert_eq!(stub.with(|world| world.intents["pi_1"].status), "canceled", "{name}");
            }
        }
    }
}

/// The allow-list of what passes had *our own bug* as its rest, and so a short outage became dead letters. Now only an error
/// in the API's own words, with a status that blames the request, can blame anybody.
#[tokio::test]
async fn only_an_error_of_stripes_own_blames_a_request() {
    let api_error = |message: &str| json!({"error": {"type": "api_error", "message": message}});
    let html = |status: u16| {
        let page = "<html>not found</html>";
        Act::Raw(format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}", page.len()))
    };
    let foreign = [400, 402, 404, 405, 407, 413, 421, 424, 451, 502].map(|status| (status, html(status)));
    let shapeless = [json!({}), json!({"error": "bad request"}), json!({"error": {}}), json!({"message": "Forbidden"}), json!(null)]
        .map(|body| (400, Act::Refuse(400, body)));
    let passing = [
        (424, Act::Refuse(424, api_error("External dependency failed"))),
        (400, Act::Refuse(400, api_error("External dependency failed"))),
        (418, Act::Refuse(418, refusal("invalid_request_error", Some("parameter_unknown"), None))),
        (400, Act::Refuse(400, refusal("a_type_of_next_year", None, None))),
    ];
    for (status, act) in foreign.into_iter().chain(shapeless).chain(passing) {
        let expected = format!("transient stripe{status}");
        for (verb, from) in [("confirm", "requires_confirmation"), ("capture", "requires_capture"), ("cancel", "requires_capture")] {
            let stub = Stub::start().await;
            stub.open("pi_1", from, ORDER);
            stub.with(|world| world.script.push_back(act.clone()));
            assert_eq!(perform(&client(&stub.url), verb, &attempt(1)).await, expected, "{verb}: {act:?}");
            assert_eq!(stub.status("pi_1"), Some(from), "{verb}: {act:?}");
            // The look that follows may meet the same.
            stub.with(|world| world.script.extend([act.clone(), act.clone()]));
            assert_eq!(perform(&client(&stub.url), verb, &attempt(2)).await, expected, "{verb}, look: {act:?}");
        }
        let stub = Stub::start().await;
        stub.with(|world| world.script.push_back(act.clone()));
        let failure = client(&stub.url).create(order_id(), &attempt(1), &placed_with("pm")).await.unwrap_err();
        assert_eq!(short_failure(&failure), expected, "create: {act:?}");
    }
}

/// While the look fails too, nothing is concluded.
#[tokio::test]
async fn an_unclear_answer_and_an_unclear_look_are_transient() {
    for (second, expected) in [
        (Act::Refuse(500, json!({})), "transient stripe500"),
        (Act::Silence(false), "transient stripetimeout"),
        (Act::Refuse(429, json!({})), "transient stripe429"),
        (Act::Raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]".into()), "transient stripeunreadable"),
    ] {
        for verb in ["confirm", "capture", "cancel"] {
            let stub = Stub::start().await;
            stub.open("pi_1", "requires_capture", ORDER);
            stub.with(|world| world.script.extend([Act::DoBut(500, json!({})), second.clone()]));
            assert_eq!(perform(&client(&stub.url), verb, &attempt(1)).await, expected, "{verb}");
        }
    }
    let nobody = client("http://127.0.0.1:9");
    assert_eq!(perform(&nobody, "capture", &attempt(1)).await, "transient stripeunreachable");
}

#[tokio::test]
async fn a_response_over_its_limit_counts_as_none() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
    let endless = Act::Raw(format!("{head}{{\"x\":\"{}", "x".repeat(2 * http::ANSWER_BYTES_MAX)));
    let stub = Stub::start().await;
    stub.open("pi_1", "requires_capture", ORDER);
    stub.with(|world| world.script.extend([endless.clone(), endless]));
    assert_eq!(perform(&client(&stub.url), "capture", &attempt(1)).await, "transient stripeunreadable");
}

#[tokio::test]
async fn a_500_cached_under_its_key_is_read_around() {
    let stub = Stub::start().await;
    stub.open("pi_1", "requires_confirmation", ORDER);
    let stripe = client(&stub.url);
    stub.with(|world| world.script.push_back(Act::Refuse(500, json!({"error": {"type": "api_error"}}))));
    assert_eq!(perform(&stripe, "confirm", &attempt(1)).await, "transient stripe500");
    assert_eq!(
        perform(&stripe, "confirm", &attempt(1)).await,
        "transient stripe500",
        "a copy of the same delivery is answered from memory"
    );
    assert_eq!(perform(&stripe, "confirm", &attempt(2)).await, "authorized +168 h", "the next delivery has a key of its own");
    let keys: Vec<_> = stub.with(|world| world.calls.iter().filter_map(|call| call.headers.get("idempotency-key").cloned()).collect());
    assert_eq!(keys, ["pi_1/confirm/m1/1", "pi_1/confirm/m1/1", "pi_1/confirm/m1/2"]);
    assert_eq!(stub.calls(), "confirm look confirm look confirm", "its status is read before it is tried again");
}

#[tokio::test]
async fn creating_sends_what_stripe_asks_for_and_nothing_personal() {
    let stub = Stub::start().await;
    let prepared = client(&stub.url).create(order_id(), &attempt(1), &placed_with("pm_card_visa")).await.unwrap();
    assert_eq!(prepared, Prepared::Unconfirmed(pi()));
    assert_eq!(stub.status("pi_1"), Some("requires_confirmation"), "it holds nothing");
    let call = stub.with(|world| world.calls.remove(0));
    assert_eq!(call.line, "POST /v1/payment_intents");
    assert_eq!(call.headers["authorization"], "Bearer sk_test_1");
    assert_eq!(call.headers["idempotency-key"], format!("{ORDER}/create/m1/1"));
    assert_eq!(call.headers["stripe-version"], http::STRIPE_VERSION);
    let mut form: Vec<_> = call.form.iter().map(|(name, value)| format!("{name}={value}")).collect();
    form.sort();
    let order = format!("metadata[order_id]={ORDER}");
    assert_eq!(
        form,
        [
            "amount=2400",
            "capture_method=manual",
            "confirm=false",
            "currency=eur",
            &order,
            "payment_method=pm_card_visa",
            "payment_method_types[]=card"
        ]
    );
    // A value cannot become a field.
    client(&stub.url).create(order_id(), &attempt(2), &placed_with("pm_x&confirm=true&amount=1")).await.unwrap();
    let call = stub.with(|world| world.calls.remove(0));
    assert_eq!((call.form["payment_method"].as_str(), call.form["confirm"].as_str()), ("pm_x&confirm=true&amount=1", "false"));
}

#[tokio::test]
async fn creating_ends_declined_transient_or_as_a_bug() {
    let say = |status, code: Option<&str>, param: Option<&str>| Act::Refuse(status, refusal("invalid_request_error", code, param));
    let table = [
        ("pm_gone", Act::Do, "declined resource_missing"),
        ("pm", say(404, None, None), "declined declined"),
        ("pm", say(400, Some("amount_too_small"), Some("amount")), "declined amount_too_small"),
        ("pm", say(400, Some("invalid_currency"), Some("currency")), "declined invalid_currency"),
        ("pm", say(402, Some("card_declined"), None), "declined card_declined"),
        ("pm", say(400, Some("payment_method_unactivated"), None), "declined payment_method_unactivated"),
        (
            "pm",
            Act::Refuse(400, json!({"error": {"type": "invalid_request_error", "message": "The provided PaymentMethod was used"}})),
            "declined declined",
        ),
        ("pm", say(400, Some("parameter_missing"), Some("capture_method")), "bug stripe400"),
        ("pm", Act::Refuse(404, json!("not the API at all")), "transient stripe404"),
        ("pm", say(400, Some("amount_too_small"), None), "declined amount_too_small"),
        ("pm", say(400, Some("amount_too_large"), None), "declined amount_too_large"),
        ("pm", say(401, None, None), "transient stripe401"),
        ("pm", say(403, None, None), "transient stripe403"),
        ("pm", say(409, Some("idempotency_key_in_use"), None), "transient stripe409"),
        ("pm", say(429, Some("rate_limit"), None), "transient stripe429"),
        ("pm", say(500, None, None), "transient stripe500"),
        ("pm", Act::Silence(true), "transient stripetimeout"),
        ("pm", Act::HangUp(true), "transient stripeunreachable"),
        (
            "pm",
            Act::Raw("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".into()),
            "transient stripe302",
        ),
        ("pm", Act::Raw("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}".into()), "transient stripeunreadable"),
    ];
    for (payment_method, act, expected) in table {
        let stub = Stub::start().await;
        stub.with(|world| world.script.push_back(act.clone()));
        let created = client(&stub.url).create(order_id(), &attempt(1), &placed_with(payment_method)).await;
        let said = match created {
            Ok(Prepared::Declined { code }) => format!("declined {code}"),
            Ok(Prepared::Unconfirmed(payment)) => payment.0,
            Ok(Prepared::SlowDown { after }) => format!("slow down {} s", after.as_secs()),
            Err(failure) => short_failure(&failure),
        };
        assert_eq!((said.as_str(), stub.calls().as_str()), (expected, "create"), "{act:?}");
    }
}

#[tokio::test]
async fn cards_that_are_declined_used_up_or_want_their_owner_are_declined() {
    for (payment_method, local, code, calls) in [
        ("pm_declined", false, "insufficient_funds", "create confirm look"),
        ("pm_used", false, "declined", "create confirm look"),
        ("pm_3ds", false, "authentication_required", "create confirm look"),
        // Where the refusal of actions cannot be asked for, `requires_action` comes to the same.
        ("pm_3ds", true, "authentication_required", "create confirm"),
    ] {
        let stub = Stub::start().await;
        let mut stripe = client(&stub.url);
        stripe.http.base.local = local;
        stripe.create(order_id(), &attempt(1), &placed_with(payment_method)).await.unwrap();
        assert_eq!(perform(&stripe, "confirm", &attempt(1)).await, format!("declined {code}"), "{payment_method}");
        assert_eq!(stub.calls(), calls, "{payment_method}");
    }
}

/// A 429 of a rate limiter: the call is sent again under its key, after a pause, and else the message comes again.
#[tokio::test]
async fn too_many_calls_are_sent_again_after_a_pause() {
    let limited = |reason: &str, retry_after: &str| {
        let body = refusal("invalid_request_error", Some("rate_limit"), None).to_string();
        let headers = format!("stripe-rate-limited-reason: {reason}\r\n{retry_after}content-length: {}", body.len());
        Act::Raw(format!("HTTP/1.1 429 X\r\n{headers}\r\nconnection: close\r\n\r\n{body}"))
    };
    let cases = [
        // A peak, a wait that the answer asks for, and one that does not pass.
        (vec![limited("global-rate", "")], 1.0, "captured", "capture capture"),
        (vec![limited("endpoint-concurrency", "retry-after: 2\r\n")], 2.0, "captured", "capture capture"),
        (vec![limited("endpoint-rate", ""); 3], 2.0, "slow down 1 s", "capture capture capture"),
        (vec![limited("global-rate", "retry-after: 60\r\n")], 0.0, "slow down 9 s", "capture"),
        // Not a rate limiter, or one that no pace helps against: a failure with its back-off.
        (vec![Act::Refuse(429, refusal("invalid_request_error", Some("lock_timeout"), None))], 0.0, "transient stripe429", "capture"),
        (vec![limited("resource-specific", "")], 0.0, "transient stripe429", "capture"),
        // The look is limited too.
        (vec![Act::Refuse(500, json!({})), limited("global-rate", "")], 1.0, "transient stripe500", "capture look look"),
    ];
    for (script, waits_s, expected, calls) in cases {
        let stub = Stub::start().await;
        stub.open("pi_1", "requires_capture", ORDER);
        stub.with(|world| world.script.extend(script.clone()));
        let start = std::time::Instant::now();
        assert_eq!(perform(&client(&stub.url), "capture", &attempt(1)).await, expected, "{script:?}");
        // A busy machine may take longer, but nobody waits for the minute that the fourth answer asks for.
        assert!((waits_s..30.0).contains(&start.elapsed().as_secs_f64()), "{script:?}: {:?}", start.elapsed());
        let keys: std::collections::BTreeSet<_> =
            stub.with(|world| world.calls.iter().filter_map(|call| call.headers.get("idempotency-key").cloned()).collect());
        assert_eq!((keys.len(), stub.calls().as_str()), (1, calls), "{script:?}");
    }
    let stub = Stub::start().await;
    stub.with(|world| world.script.extend(vec![limited("endpoint-rate", ""); 3]));
    let created = client(&stub.url).create(order_id(), &attempt(1), &placed_with("pm")).await.unwrap();
    assert_eq!(created, Prepared::SlowDown { after: Duration::from_secs(1) });
}

/// What Stripe's documents say of each code; the network's advice is worth more than the code.
#[tokio::test]
async fn advice_decides_and_else_the_codes_that_may_be_repeated() {
    let table = [
        ("processing_error", None, true),
        ("issuer_not_available", None, true),
        ("try_again_later", None, true),
        ("reenter_transaction", None, true),
        ("approve_with_id", None, true),
        ("stolen_card", None, false),
        ("insufficient_funds", None, false),
        ("generic_decline", None, false),
        ("authentication_not_handled", None, false),
        ("a_code_of_next_year", None, false),
        ("insufficient_funds", Some("try_again_later"), true),
        ("processing_error", Some("do_not_try_again"), false),
        ("issuer_not_available", Some("confirm_card_data"), false),
        ("issuer_not_available", Some("an_advice_of_next_year"), true),
    ];
    for (decline_code, advice, passes) in table {
        let error = json!({"type": "card_error", "code": "card_declined", "decline_code": decline_code, "advice_code": advice});
        for (verb, from, then) in [("confirm", "requires_confirmation", "requires_payment_method"), ("capture", "requires_capture", "")] {
            let stub = Stub::start().await;
            stub.open("pi_1", from, ORDER);
            stub.with(|world| {
                world.script.push_back(Act::Refuse(402, json!({"error": error})));
                let intent = world.intents.get_mut("pi_1").unwrap();
                (intent.after_refusal, intent.error) = (then, error.clone());
            });
            let expected = match (passes, verb) {
                (true, _) => format!("for now {decline_code}"),
                (false, "confirm") => format!("declined {decline_code}"),
                (false, _) => format!("uncollected {decline_code}"),
            };
            assert_eq!(perform(&client(&stub.url), verb, &attempt(1)).await, expected, "{verb}, {advice:?}");
            let frees = if expected.starts_with("uncollected") { " cancel" } else { "" };
            assert_eq!(stub.calls(), format!("{verb} look{frees}"), "{verb}: {decline_code}, {advice:?}");
        }
    }
}

#[tokio::test]
async fn a_further_confirmation_sends_the_card_under_its_own_key() {
    let stub = Stub::start().await;
    let stripe = client(&stub.url);
    stripe.create(order_id(), &attempt(1), &placed_with("pm_soft")).await.unwrap();
    assert_eq!(perform(&stripe, "confirm", &attempt(1)).await, "for now issuer_not_available");
    // Without its payment method it is not tried: what stood, stands, for the first confirmation as well.
    assert_eq!(perform(&stripe, "confirm", &attempt(2)).await, "for now issuer_not_available");
    stub.with(|world| world.calls.clear());
    let again = async |delivery: &Delivery, tries| short(stripe.confirm_again(order_id(), delivery, &pi(), "pm_soft", tries).await);
    // Nothing clear is heard, and the status is that of the try before: no further refusal.
    stub.with(|world| world.script.push_back(Act::Refuse(500, json!({"error": {"type": "api_error"}}))));
    assert_eq!(again(&attempt(3), 1).await, "transient stripe500");
    assert_eq!(again(&attempt(4), 1).await, "for now issuer_not_available");
    stub.with(|world| world.intents.get_mut("pi_1").unwrap().payment_method = "pm_card_visa".into());
    let visa = stripe.confirm_again(order_id(), &attempt(5), &pi(), "pm_card_visa", 2).await;
    assert_eq!(short(visa), "authorized +168 h");
    let sent: Vec<_> = stub.with(|world| {
        let confirms = world.calls.iter().filter(|call| call.line.ends_with("/confirm"));
        confirms.map(|call| (call.headers["idempotency-key"].clone(), call.form["payment_method"].clone())).collect()
    });
    let expected = [("pi_1/confirm-2/m1/3", "pm_soft"), ("pi_1/confirm-2/m1/4", "pm_soft"), ("pi_1/confirm-3/m1/5", "pm_card_visa")];
    assert_eq!(sent, expected.map(|(key, method)| (key.to_owned(), method.to_owned())));
    assert_eq!(again(&attempt(6), 2).await, "authorized +168 h", "a copy that comes late finds it held");
    assert_eq!(perform(&stripe, "cancel", &attempt(7)).await, "voided");
    assert_eq!(again(&attempt(8), 2).await, "voided");
}

/// A card that Stripe does not let be used twice ends as the bank's first word had it.
#[tokio::test]
async fn a_card_that_cannot_be_sent_again_is_declined() {
    let stub = Stub::start().await;
    let stripe = client(&stub.url);
    stripe.create(order_id(), &attempt(1), &placed_with("pm_soft")).await.unwrap();
    assert_eq!(perform(&stripe, "confirm", &attempt(1)).await, "for now issuer_not_available");
    let message = "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment.";
    stub.with(|world| world.script.push_back(Act::Refuse(400, json!({"error": {"type": "invalid_request_error", "message": message}}))));
    let again = stripe.confirm_again(order_id(), &attempt(2), &pi(), "pm_soft", 1).await;
    assert_eq!(short(again), "declined issuer_not_available");
}

/// The last try at a capture: refused, and freed, unless another copy has taken the money just then.
#[tokio::test]
async fn a_refused_capture_is_freed_unless_it_is_taken() {
    for (status, expected, calls) in [
        ("requires_capture", "uncollected try_again_later", "cancel"),
        ("canceled", "uncollected try_again_later", "cancel look"),
        ("succeeded", "captured", "cancel look capture look"),
    ] {
        let stub = Stub::start().await;
        stub.open("pi_1", status, ORDER);
        let freed = client(&stub.url).release_refused(order_id(), &attempt(1), &pi(), "try_again_later".into()).await;
        assert_eq!((short(freed).as_str(), stub.calls().as_str()), (expected, calls), "{status}");
    }
}

#[test]
fn an_intent_whose_metadata_is_null_is_read() {
    let text = format!("{{\"id\":\"pi_1\",\"status\":\"requires_capture\",\"created\":{CREATED},\"metadata\":null}}");
    assert_eq!(serde_json::from_str::<Intent>(&text).unwrap().metadata.order_id, None);
}

#[tokio::test]
async fn a_hold_without_an_end_lapses_at_the_shortest_window() {
    let stub = Stub::start().await;
    stub.open("pi_1", "requires_capture", ORDER);
    stub.with(|world| world.intents.get_mut("pi_1").unwrap().capture_before = None);
    assert_eq!(perform(&client(&stub.url), "confirm", &attempt(1)).await, "authorized +114 h");
    // As an id, as null, as a charge without a card: all the same.
    for charge in [
        "\"ch_1\"",
        "null",
        "{\"payment_method_details\":null}",
        "{\"payment_method_details\":{\"card\":null}}",
        "{\"payment_method_details\":{\"card\":{\"capture_before\":null}}}",
    ] {
        let text = format!(
            "{{\"id\":\"pi_1\",\"status\":\"requires_capture\",\"created\":{CREATED},\"metadata\":{{}},\"latest_charge\":{charge}}}"
        );
        let intent: Intent = serde_json::from_str(&text).unwrap();
        assert_eq!(intent.capture_before().unwrap().as_second() - CREATED, HOLD_AT_LEAST.as_secs(), "{charge}");
    }
}

#[tokio::test]
async fn a_hold_of_another_order_is_a_bug_whatever_became_of_it() {
    let stub = Stub::start().await;
    stub.open("pi_1", "requires_capture", "00000000-0000-5000-8000-000000000000");
    assert_eq!(perform(&client(&stub.url), "capture", &attempt(1)).await, "bug foreignpayment");
    stub.open("pi_1", "succeeded", "");
    assert_eq!(perform(&client(&stub.url), "capture", &attempt(2)).await, "bug foreignpayment");
}

#[tokio::test]
async fn ids_unknown_to_stripe_contradict_the_record() {
    let stub = Stub::start().await;
    assert_eq!(perform(&client(&stub.url), "capture", &attempt(1)).await, "contradicts: transient unknownpaymentintent");
    assert_eq!(stub.calls(), "capture look");
    for id in ["", "..", "pi_1/../../refunds", "pi_1?x=y", "pi 1", &"p".repeat(256)] {
        let outcome = client(&stub.url).capture(order_id(), &attempt(1), &PaymentRef(id.into())).await;
        assert_eq!(short(outcome), "contradicts: bug nopaymentintent", "{id}");
    }
    assert_eq!(stub.calls(), "");
}

#[tokio::test]
async fn a_rotated_key_is_found_at_the_next_try() {
    let stub = Stub::start().await;
    stub.open("pi_1", "requires_capture", ORDER);
    stub.with(|world| world.accepts_key = Some("sk_test_2".into()));
    let text = Rc::new(Cell::new("sk_test_1"));
    let stripe = Stripe::new(stub.url.parse().unwrap(), StripeKey::new(StubSecretStore(text.clone())), TIMEOUTS);
    assert_eq!(perform(&stripe, "capture", &attempt(1)).await, "transient stripe401");
    assert_eq!(perform(&stripe, "capture", &attempt(2)).await, "transient stripe401", "not rotated yet");
    text.set("sk_test_2");
    assert_eq!(perform(&stripe, "capture", &attempt(3)).await, "captured");
    assert!(!format!("{:?}", stripe.http).contains("sk_test"));
}

#[tokio::test]
async fn failures_name_the_request_and_quote_neither_message_nor_key() {
    let stub = Stub::start().await;
    stub.open("pi_1", "requires_confirmation", ORDER);
    stub.with(|world| world.script.push_back(Act::Refuse(500, refusal("api_error", Some("boom"), None))));
    let failure = client(&stub.url).confirm(order_id(), &attempt(1), &pi()).await.unwrap_err();
    assert_eq!(
        failure.to_string(),
        "Stripe500: POST /v1/payment_intents/pi_1/confirm: HTTP 500, type api_error, code boom, request req_500"
    );
    stub.with(|world| world.script.push_back(Act::HangUp(false)));
    let failure = client(&stub.url).create(order_id(), &attempt(1), &placed_with("pm")).await.unwrap_err();
    assert_eq!(failure.to_string(), "StripeUnreachable: POST /v1/payment_intents: no connection, or it broke");
    assert!(std::error::Error::source(&failure).is_some(), "the cause is kept");
}

#[test]
fn the_key_goes_to_https_or_to_this_machine_alone() {
    for good in [
        "https://api.stripe.com",
        "https://api.stripe.com/",
        "http://localhost:4567",
        "http://127.0.0.1:4567",
        "http://127.1.2.3",
        "http://[::1]:4567",
    ] {
        let base: BaseUrl = good.parse().unwrap();
        assert_eq!(base.local, good.starts_with("http:"), "{good}");
    }
    for bad in [
        "",
        "api.stripe.com",
        "/v1",
        "http://api.stripe.com",
        "http://10.0.0.1:4567",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "ftp://localhost",
        "https://",
        "https://api.stripe.com/v1",
        "https://api.stripe.com?x",
        "https://user@api.stripe.com",
        "http://127.0.0.1@example.com",
        "https://a b",
    ] {
        assert!(bad.parse::<BaseUrl>().is_err(), "{bad}");
    }
    assert_eq!(BaseUrl::default(), "https://api.stripe.com".parse().unwrap());
}

#[tokio::test]
async fn the_warm_up_uses_the_calls_connection_without_the_key() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = tokio::spawn(async move {
        // This connection is taken, and no other.
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut calls = Vec::new();
        while let Some(call) = stub::read(&mut stream).await {
            calls.push((call.line, call.headers.contains_key("authorization")));
            stream.write_all(b"HTTP/1.1 404 X\r\ncontent-length: 2\r\n\r\n{}").await.unwrap();
        }
        calls
    });
    let text = Rc::new(Cell::new("sk_test_1"));
    let stripe = Stripe::new(url.parse().unwrap(), StripeKey::new(StubSecretStore(text.clone())), TIMEOUTS);
    warm_up(stripe.openings()).await;
    // The connection goes back to the pool in a task of its own.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    text.set("read ahead");
    stripe.create(order_id(), &attempt(1), &placed_with("pm")).await.unwrap_err();
    drop(stripe);
    assert_eq!(served.await.unwrap(), [("GET /".to_owned(), false), ("POST /v1/payment_intents".to_owned(), true)]);
}

#[test]
fn the_longest_way_of_placing_an_order_fits_into_the_budget() {
    let Timeouts { change, look } = Timeouts::default();
    assert!(2 * change + look < crate::PROVIDER_BUDGET);
}

#[test]
fn why_a_hold_is_gone_is_told() {
    let capture = |reason: &str| {
        let text = format!("{{\"id\":\"pi_1\",\"status\":\"canceled\",\"created\":1,\"cancellation_reason\":{reason}}}");
        short(verdict(Operation::Capture, serde_json::from_str(&text).unwrap(), None))
    };
    assert_eq!(capture("\"expired\""), "uncollected expired");
    assert_eq!(capture("null"), "uncollected canceled");
    assert_eq!(capture("\"a long story\""), "uncollected canceled");
}

/// An order that was accepted before such totals were refused: it ends, and no dead-letter queue holds it.
#[tokio::test]
async fn an_amount_that_is_no_charge_is_declined_without_a_call() {
    let stub = Stub::start().await;
    for (amount_minor, currency) in [(0, Currency::EUR), (1205, Currency::MGA)] {
        let placed = OrderPlaced { total: Money { amount_minor, currency }, ..placed_with("pm_card_visa") };
        let prepared = client(&stub.url).create(order_id(), &attempt(1), &placed).await.unwrap();
        assert!(matches!(prepared, Prepared::Declined { code } if code == "invalid_amount"));
    }
    assert_eq!(stub.calls(), "");
}

fn event(event: impl Into<Event>, time: Timestamp) -> CloudEvent {
    CloudEvent { source: "/test".into(), subject: Subject::Order(order_id()), time, traceparent: None, event: event.into() }
}

/// Stage and client together: cut off at every call of a delivery, by every kind of trouble, the redeliveries bring the
/// order to its end with one hold confirmed and captured once.
#[tokio::test]
async fn the_stage_heals_from_any_trouble_at_any_call() {
    let now = Timestamp::from_second(CREATED).unwrap();
    let troubles = [
        Act::Refuse(500, json!({})),
        Act::DoBut(500, json!({})),
        Act::Silence(false),
        Act::Silence(true),
        Act::HangUp(true),
        Act::Refuse(409, json!({})),
        Act::Refuse(429, json!({})),
    ];
    for trouble in troubles {
        for good_calls in 0..4 {
            let stub = Stub::start().await;
            stub.with(|world| {
                world.script.extend(std::iter::repeat_n(Act::Do, good_calls));
                world.script.extend([trouble.clone(), trouble.clone()]);
            });
            let around = Surroundings::new(now);
            let desk = Desk { around: &around, items: RefCell::default() };
            let stage = Payment { ledger: &desk, provider: client(&stub.url), ambient: &around };
            let mut handled = Vec::new();
            for make in [None, Some("shipped")] {
                let mut deliveries = 0;
                loop {
                    deliveries += 1;
                    assert!(deliveries < 5, "{trouble:?} after {good_calls}: does not end");
                    let event = match (make, desk.state(order_id())) {
                        (None, _) => event(placed_with("pm_card_visa"), now),
                        (Some(_), Some(domain::payment::State::Authorized(hold) | domain::payment::State::Captured { hold, .. })) => {
                            event(OrderShipped { tracking_number: "OP1".into(), payment: hold.payment, items: vec![] }, now)
                        }
                        (Some(_), other) => panic!("{other:?}"),
                    };
                    match stage.handle(&event, &attempt(deliveries)).await {
                        Ok(reply) => {
                            handled.push(reply.announcements[0].event.event_type().stem());
                            break;
                        }
                        Err(failure) => assert_eq!(failure.kind, Kind::Transient, "{failure}"),
                    }
                }
            }
            assert_eq!(handled, ["payment.authorized", "payment.captured"], "{trouble:?} after {good_calls}");
            let statuses = stub.with(|world| world.intents.values().map(|intent| intent.status).collect::<Vec<_>>());
            assert_eq!(statuses.iter().filter(|status| **status == "succeeded").count(), 1, "{trouble:?} after {good_calls}: {statuses:?}");
            assert!(
                statuses.iter().all(|status| matches!(*status, "succeeded" | "requires_confirmation")),
                "orphans hold nothing: {statuses:?}"
            );
        }
    }
}

/// The same calls against localstripe, where the environment names one.
#[tokio::test]
async fn localstripe_holds_takes_frees_and_declines() {
    let Ok(url) = std::env::var("LOCALSTRIPE_URL") else {
        testkit::skip::skip("LOCALSTRIPE_URL names no running localstripe");
        return;
    };
    let secret = std::env::var("LOCALSTRIPE_KEY").unwrap();
    let generous = Timeouts::default();
    let stripe = Stripe::new(url.parse().unwrap(), key(Box::leak(secret.into_boxed_str())), generous);
    let create = async |payment_method: &str| match stripe.create(order_id(), &attempt(1), &placed_with(payment_method)).await.unwrap() {
        Prepared::Unconfirmed(payment) => Ok(payment),
        Prepared::Declined { code } => Err(code),
        other @ Prepared::SlowDown { .. } => panic!("{other:?}"),
    };
    let confirm = async |payment: &PaymentRef| short(stripe.confirm(order_id(), &attempt(1), payment).await);
    let capture = async |payment: &PaymentRef| short(stripe.capture(order_id(), &attempt(1), payment).await);
    let cancel = async |payment: &PaymentRef| short(stripe.cancel(order_id(), &attempt(1), payment).await);

    let payment = create("pm_card_visa").await.unwrap();
    let held = confirm(&payment).await;
    assert!(held.starts_with("authorized"), "{held}");
    assert_eq!(confirm(&payment).await, held, "again");
    assert_eq!(capture(&payment).await, "captured");
    assert_eq!(capture(&payment).await, "captured", "again");
    assert_eq!(confirm(&payment).await, held, "a copy that comes late");
    assert_eq!(cancel(&payment).await, "contradicts: bug providercontradicts");

    let payment = create("pm_card_visa").await.unwrap();
    assert_eq!(capture(&payment).await, "contradicts: bug providercontradicts", "unconfirmed");
    confirm(&payment).await;
    assert_eq!(cancel(&payment).await, "voided");
    assert_eq!(cancel(&payment).await, "voided", "again");
    assert_eq!(confirm(&payment).await, "voided");

    let payment = create("pm_card_visa").await.unwrap();
    assert_eq!(cancel(&payment).await, "voided", "unconfirmed");

    let payment = create("pm_card_chargeCustomerFail").await.unwrap();
    assert_eq!(confirm(&payment).await, "declined card_declined");
    assert_eq!(confirm(&payment).await, "declined card_declined", "again");
    assert_eq!(cancel(&payment).await, "voided");

    assert_eq!(create("pm_nobody").await, Err("declined".to_owned()));
    assert_eq!(capture(&PaymentRef("pi_nobody".into())).await, "contradicts: transient unknownpaymentintent");
}
