//! Requests as API Gateway hands them over, and what each is refused for.

use super::*;
use crate::Real;
use serde_json::json;

fn event() -> Value {
    json!({
        "version": "2.0", "routeKey": "POST /orders", "rawPath": "/orders", "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "stage": "$default", "requestId": "req-1", "timeEpoch": 0,
            "http": {"method": "POST", "path": "/orders", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "curl"}
        },
        "body": "{}", "isBase64Encoded": false
    })
}
fn request(change: impl FnOnce(&mut Value)) -> Request {
    let mut json = event();
    change(&mut json);
    Request::from_event(json, &Real).unwrap()
}
fn status<T>(result: Result<T, Problem>) -> u16 {
    result.err().unwrap().status()
}

#[test]
fn headers_have_no_case_and_several_values_are_joined() {
    let sent = request(|e| e["headers"] = json!({"Idempotency-KEY": "a,b", "x": ["1", "2"]}));
    assert_eq!(sent.header("idempotency-key").as_deref(), Some("a,b"));
    assert_eq!(sent.header("X").as_deref(), Some("1, 2"));
    assert_eq!(sent.header("y"), None);
}

#[test]
fn non_text_headers_are_read_and_unused_ones_ignored() {
    let plain = request(|_| {});
    let odd = request(|e| {
        e["headers"] = json!({"content-type": "application/json", "x": [1, null, true], "content-length": 2, "traceparent": null});
        e["cookies"] = json!(7);
        e["queryStringParameters"] = json!({"page": 2, "none": null});
        e["pathParameters"] = json!(["order_id"]);
        e["stageVariables"] = json!({"on": true});
        e["requestContext"]["timeEpoch"] = json!("0");
        e["requestContext"]["requestId"] = json!(7);
        e["requestContext"]["authorizer"] =
            json!({"jwt": {"claims": {"sub": 7, "exp": 1.5, "aud": ["a"]}, "scopes": "a b"}, "lambda": null});
        e["requestContext"]["authentication"] = json!([]);
        e["isBase64Encoded"] = json!("false");
    });
    assert_eq!((odd.method(), odd.path.as_str(), odd.json().unwrap()), (plain.method(), plain.path.as_str(), plain.json().unwrap()));
    assert_eq!((odd.header("x").as_deref(), odd.header("content-length").as_deref()), (Some("1, true"), Some("2")));
    assert_eq!((odd.caller(), odd.request_id(), odd.header("traceparent")), (Some("7"), "7", None));
    for (sub, caller) in [(json!(true), Some("true")), (json!(["u", 1]), Some("[\"u\",1]")), (json!(null), None), (json!(""), None)] {
        let sent = request(|e| e["requestContext"]["authorizer"] = json!({"jwt": {"claims": {"sub": sub}}}));
        assert_eq!(sent.caller(), caller);
    }
}

#[test]
fn a_body_with_a_byte_order_mark_is_read_plain_and_as_base64() {
    let text = "\u{feff}{}";
    assert!(request(|e| e["body"] = json!(text)).json().is_ok());
    let encoded = request(|e| {
        e["body"] = json!(base64_simd::STANDARD.encode_to_string(text));
        e["isBase64Encoded"] = json!(true);
    });
    assert!(encoded.json().is_ok());
}

#[test]
fn json_is_json_by_any_parameters_but_nothing_else_is() {
    for good in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "application/json; v=1",
        "application/json;",
    ] {
        assert!(is_json(good), "{good}");
    }
    for bad in [
        "",
        "text/plain",
        "application/jsonx",
        "application/merge-patch+json",
        "application/json; charset=latin1",
        "application/json, text/plain",
    ] {
        assert!(!is_json(bad), "{bad}");
    }
    assert_eq!(status(request(|e| e["headers"] = json!({})).json()), 415);
    assert_eq!(status(request(|e| e["headers"]["content-encoding"] = json!("gzip")).json()), 415);
    assert!(request(|e| e["headers"]["content-encoding"] = json!("identity")).json().is_ok());
}

#[test]
fn a_base64_body_is_read_as_if_plain() {
    let plain = request(|e| e["body"] = json!("{\"name\":\"Zoë\"}")).json().unwrap();
    let encoded = request(|e| {
        e["body"] = json!(base64_simd::STANDARD.encode_to_string("{\"name\":\"Zoë\"}"));
        e["isBase64Encoded"] = json!(true);
    });
    assert_eq!(encoded.json().unwrap(), plain);
    let broken = request(|e| {
        e["body"] = json!("{}");
        e["isBase64Encoded"] = json!(true);
    });
    assert_eq!(status(broken.body()), 400);
}

#[test]
fn a_body_may_have_64_kib_plain_or_encoded() {
    for (length, fits) in [(BODY_BYTES_MAX, true), (BODY_BYTES_MAX + 1, false), (BODY_BYTES_MAX * 2, false)] {
        let text = format!("\"{}\"", "x".repeat(length - 2));
        let plain = request(|e| e["body"] = json!(text));
        let encoded = request(|e| {
            e["body"] = json!(base64_simd::STANDARD.encode_to_string(&text));
            e["isBase64Encoded"] = json!(true);
        });
        for sent in [plain, encoded] {
            let read = sent.json();
            assert_eq!(read.is_ok(), fits, "{length}");
            assert!(fits || status(read) == 413);
        }
    }
}

#[test]
fn a_body_that_is_no_json_is_refused_without_quoting_it() {
    for text in ["", "secret", "{\"secret\"", "{\"a\": secret}"] {
        let problem = request(|e| e["body"] = json!(text)).json().unwrap_err();
        assert_eq!(problem.status(), 400);
        assert!(!format!("{problem:?}").contains("secret"));
    }
    assert_eq!(status(request(|e| e["body"] = Value::Null).json()), 400);
}

#[test]
fn routes_are_found_by_method_and_path_also_behind_a_named_stage() {
    let routes = [("POST", "/orders", 1), ("GET", "/orders/{order_id}", 2), ("POST", "/orders/{order_id}/cancel", 3)];
    let at = |method: &str, path: &str, stage: &str| {
        let sent = request(|e| {
            e["rawPath"] = json!(path);
            e["requestContext"]["stage"] = json!(stage);
            e["requestContext"]["http"]["method"] = json!(method);
        });
        sent.route(&routes).map(|(to, captured)| (to, captured.join("|"))).map_err(|problem| problem.status())
    };
    assert_eq!(at("POST", "/orders", "$default"), Ok((1, String::new())));
    assert_eq!(at("POST", "/prod/orders", "prod"), Ok((1, String::new())));
    assert_eq!(at("GET", "/orders/x", "$default"), Ok((2, "x".into())));
    assert_eq!(at("POST", "/orders/x/cancel", "orders"), Err(404), "a stage is taken off, whatever its name");
    assert_eq!(at("POST", "/orders/x/cancel", "order"), Ok((3, "x".into())));
    assert_eq!(at("DELETE", "/orders/x", "$default"), Err(405));
    for nowhere in ["", "/", "/orders/", "/orders//cancel", "/orders/x/cancel/", "/order", "orders"] {
        assert_eq!(at("POST", nowhere, "$default"), Err(404), "{nowhere}");
    }
}

#[test]
fn the_caller_is_the_subject_of_a_checked_token_and_nobody_else() {
    assert_eq!(request(|_| {}).caller(), None);
    let signed = request(|e| e["requestContext"]["authorizer"] = json!({"jwt": {"claims": {"sub": "u-1", "iss": "i"}, "scopes": null}}));
    assert_eq!(signed.caller(), Some("u-1"));
    assert_eq!(request(|e| e["headers"]["sub"] = json!("u-1")).caller(), None);
}

#[test]
fn the_trace_is_the_callers_else_api_gateways_else_new() {
    let w3c = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let xray = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=1:2";
    let of = |headers: Value| request(|e| e["headers"] = headers).traceparent().to_owned();
    let both = of(json!({"traceparent": w3c, "x-amzn-trace-id": xray}));
    assert!(both.starts_with("00-0af7651916cd43dd8448eb211c80319c-") && both.ends_with("-00") && both != w3c, "{both}");
    let gateway = of(json!({"traceparent": "nonsense", "X-Amzn-Trace-Id": xray}));
    assert!(gateway.starts_with("00-5759e988bd862e3fe1be46a994272793-") && gateway.ends_with("-00"), "{gateway}");
    let root_alone = of(json!({"x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793"}));
    assert!(root_alone.starts_with("00-5759e988bd862e3fe1be46a994272793-") && root_alone.ends_with("-01"));
    for neither in [json!({}), json!({"x-amzn-trace-id": "Root=1-57-bd"}), json!({"x-amzn-trace-id": "Self=1"})] {
        assert!(trace::trace_id(&of(neither)).is_some());
    }
}

#[test]
fn debug_output_hides_what_the_client_sent() {
    let sent = request(|e| {
        e["headers"]["x"] = json!("secret");
        e["body"] = json!("{\"a\":\"secret\"}");
        e["rawPath"] = json!("/secret");
    });
    assert!(!format!("{sent:?} {:?}", sent.json()).contains("secret"));
}
