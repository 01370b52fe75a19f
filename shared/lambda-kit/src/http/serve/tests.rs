//! Answers to requests, and what is logged of each.

use super::*;
use crate::Real;
use serde_json::json;
use testkit::log::logged_flat;

fn event() -> Value {
    json!({
        "version": "2.0", "routeKey": "POST /orders/{order_id}/cancel", "rawPath": "/orders/secret-path/cancel",
        "headers": {"authorization": "secret-header", "x-forwarded-for": "192.0.2.7"},
        "requestContext": {"stage": "$default", "requestId": "req-1", "timeEpoch": 0,
            "http": {"method": "POST", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "secret-agent"}},
        "body": "secret-body", "isBase64Encoded": false
    })
}

/// The answer, and every line that was logged on the way.
async fn served(event: Value, seconds_left: i64, handler: impl AsyncFn(&Request) -> Result<Response, Refused>) -> (Response, Vec<Value>) {
    let deadline = Real.now().checked_add(jiff::SignedDuration::from_secs(seconds_left)).unwrap();
    let (response, text) = logged_flat(answer(event, deadline, &Real, &handler)).await;
    assert!(!text.contains("secret") && !text.contains("192.0.2.7"), "{text}");
    (response, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[tokio::test]
async fn one_line_is_logged_with_the_route_and_without_anything_the_client_sent() {
    let (response, lines) = served(event(), 10, async |request: &Request| {
        request.route(&[("POST", "/orders/{order_id}/cancel", ())])?;
        request.about_order("o-1");
        request.about_customer("c-1");
        Ok(Response::json(202, &json!({}))?)
    })
    .await;
    assert_eq!((response.status(), lines.len()), (202, 1));
    let line = &lines[0];
    assert_eq!((&line["level"], &line["method"], &line["route"]), (&json!("INFO"), &json!("POST"), &json!("/orders/{order_id}/cancel")));
    assert_eq!((&line["status"], &line["request_id"], &line["order_id"]), (&json!(202), &json!("req-1"), &json!("o-1")));
    assert_eq!(line["customer_id"], "c-1");
    assert!(line["duration_ms"].is_u64() && line["trace_id"].as_str().unwrap().len() == 32);
}

#[tokio::test]
async fn a_panic_is_a_500_that_says_nothing() {
    let (response, lines) = served(event(), 10, async |_: &Request| panic!("at the disco")).await;
    assert_eq!(response.status(), 500);
    assert!(!response.body().contains("disco"));
    assert_eq!((lines.len(), &lines[0]["level"], &lines[0]["error_type"]), (1, &json!("ERROR"), &json!("Panic")));
}

#[tokio::test]
async fn a_failure_is_for_the_log_and_a_problem_for_the_caller() {
    for (failure, status, level) in [
        (Failure::transient("ThrottlingException", "PutItem failed"), 503, "WARN"),
        (Failure::permanent("Never", "PutItem failed"), 500, "ERROR"),
        (Failure::bug("UnreadableRecord", "PutItem failed").caused_by("inner cause"), 500, "ERROR"),
    ] {
        let (response, lines) = served(event(), 10, async |_: &Request| Err(failure.clone().into())).await;
        assert_eq!((response.status(), response.header("Retry-After").is_some()), (status, status == 503));
        assert_eq!(response.header("Content-Type"), Some("application/problem+json"));
        for internal in ["PutItem", "Throttling", "inner", "Record"] {
            assert!(!response.body().contains(internal), "{}", response.body());
        }
        assert_eq!(
            (lines.len(), lines[0]["level"].as_str(), lines[0]["error_type"].as_str()),
            (1, Some(level), Some(failure.error_type.as_str()))
        );
        assert!(lines[0]["error"].as_str().unwrap().starts_with("PutItem failed"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_comes_before_lambdas_deadline() {
    let never = async |_: &Request| std::future::pending().await;
    let began = Instant::now();
    let (response, lines) = served(event(), 10, never).await;
    assert_eq!((response.status(), response.header("Retry-After")), (503, Some("2")));
    assert_eq!(lines[0]["error_type"], "OutOfTime");
    assert!(began.elapsed() <= Duration::from_secs(10) - RESERVE, "{:?}", began.elapsed());
    assert!(began.elapsed() >= Duration::from_secs(9));
    let (response, _) = served(event(), -1, never).await;
    assert_eq!(response.status(), 503, "at once, where no time is left");
}

#[tokio::test]
async fn a_header_that_http_does_not_allow_is_the_clients_fault() {
    for (name, value) in [("x-note", "a\u{0}b"), ("x-note", "a\nb"), ("x-note", "\u{7f}"), ("x note", "secret"), ("", "secret")] {
        let mut event = event();
        event["headers"][name] = json!(value);
        let (response, lines) = served(event, 10, async |_: &Request| unreachable!()).await;
        assert_eq!((response.status(), lines.len(), &lines[0]["request_id"]), (400, 1, &json!("req-1")), "{name:?} {value:?}");
    }
}

#[tokio::test]
async fn headers_and_claims_that_are_no_texts_are_read_as_texts() {
    let mut event = event();
    event["headers"] = json!({"x-number": 7, "x-truth": true, "x-null": null, "x-text": "z\u{fc}rich"});
    event["requestContext"]["authorizer"] = json!({"jwt": {"claims": {"sub": 7, "groups": ["a", "b"], "none": null}, "scopes": 1}});
    event["requestContext"]["timeEpoch"] = json!("soon");
    event["queryStringParameters"] = json!({"none": null});
    let (response, _) = served(event, 10, async |request: &Request| {
        let headers = ["x-number", "x-truth", "x-null", "x-text"].map(|name| request.header(name));
        assert_eq!(headers, [Some("7".into()), Some("true".into()), None, Some("zürich".into())]);
        assert_eq!(request.caller(), Some("7"));
        Ok(Response::json(200, &json!({}))?)
    })
    .await;
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn what_is_no_http_event_is_answered_too() {
    let of_a_balancer = json!({"requestContext": {"elb": {}}, "httpMethod": "GET", "path": "/secret", "headers": {}});
    for event in [json!(null), json!([]), json!({}), json!({"Records": []}), json!({"requestContext": "secret"}), of_a_balancer] {
        let (response, lines) = served(event, 10, async |_: &Request| unreachable!()).await;
        assert_eq!((response.status(), lines.len(), &lines[0]["error_type"]), (500, 1, &json!("NotAnHttpRequest")));
    }
}
