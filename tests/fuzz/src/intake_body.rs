//! The body of `POST /orders`, as text and as the base64 that API Gateway makes of what is not text.

use crate::{intake, outside::with_body};
use domain::{
    charge, country,
    line::{LINES_MAX, QUANTITY_MAX},
};
use lambda_kit::{
    Real,
    http::{Document, FAULTS_MAX, Problem, Request, Response},
    text::is_blank,
};
use order_intake::shape::{EMAIL_BYTES_MAX, PAYMENT_METHOD_BYTES_MAX, POSTAL_CODE_CHARS_MAX, PlaceOrder, TEXT_CHARS_MAX};
use serde_json::{Value, json};
use std::{collections::HashSet, sync::LazyLock};

/// The longest text that says what is wrong with a place: it quotes nothing.
const DETAIL_MAX: usize = 200;

static EVENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../events/order-intake/place-order.json")).expect("a sample is JSON"));

/// Any bytes as the body of a request.
pub fn intake_body(body: &[u8]) {
    let document = read(base64_simd::STANDARD.encode_to_string(body), true);
    if let Ok(text) = std::str::from_utf8(body) {
        assert_eq!(document, read(text.into(), false), "base64 is another spelling, not another body");
    }
    let Ok(document) = document else { return };
    match PlaceOrder::parse(&document) {
        Ok(order) => accepted(&order),
        Err(faults) => {
            assert!(faults.count() > 0 && faults.named.len() <= FAULTS_MAX, "refused for a reason, or some");
            for fault in faults.named {
                assert!(fault.detail.len() <= DETAIL_MAX && fault.pointer.as_str().starts_with('#') && fault.pointer.as_str().is_ascii());
            }
        }
    }
    intake::check(&with_body(&EVENT, body));
}

/// What `order-intake` answers to this body.
pub fn answer_to_order(body: &[u8]) -> Response {
    intake::answer_to(&with_body(&EVENT, body))
}

fn read(body: String, is_base64: bool) -> Result<Document, Problem> {
    let mut event = EVENT.clone();
    event["body"] = body.into();
    event["isBase64Encoded"] = is_base64.into();
    Request::from_event(event, &Real).expect("the sample is an HTTP API's event").json()
}

fn accepted(order: &PlaceOrder) {
    let PlaceOrder { currency, customer, shipping_address: address, items, payment_method } = order;
    let country = country::find(&address.country).expect("a country of ISO 3166");
    let texts = [&customer.name, &address.line1].into_iter().chain(&address.line2).map(|text| (text, TEXT_CHARS_MAX, true));
    let of_country =
        [(&address.city, TEXT_CHARS_MAX, country.needs_town), (&address.postal_code, POSTAL_CODE_CHARS_MAX, country.postal_code.is_some())];
    for (text, chars_max, is_needed) in texts.chain(of_country) {
        assert!(text.0.chars().count() <= chars_max && text.0.trim() == text.0 && !text.0.chars().any(char::is_control));
        assert!(!is_blank(&text.0) || text.0.is_empty() && !is_needed);
    }
    assert!(country.postal_code.is_none_or(|known| known.admits(&address.postal_code.0)));
    assert!(charge::terms(*currency).is_some());
    assert!(customer.email.0.is_ascii() && customer.email.0.len() <= EMAIL_BYTES_MAX && customer.email.0.contains('@'));
    assert!((1..=PAYMENT_METHOD_BYTES_MAX).contains(&payment_method.len()) && !payment_method.starts_with(|c: char| c.is_ascii_digit()));
    let different: HashSet<_> = items.iter().map(|item| &item.sku).collect();
    assert!((1..=LINES_MAX).contains(&items.len()) && different.len() == items.len());
    assert!(items.iter().all(|item| (1..=QUANTITY_MAX).contains(&item.quantity)));

    // The same order as another client writes it: other white space, lines the other way round, null or nothing visible for what is absent.
    let mut wanted = serde_json::to_value(order).expect("a request is written as JSON");
    let items = wanted.as_object_mut().and_then(|order| order.remove("items"));
    wanted["lines"] = items.iter().flat_map(Value::as_array).flatten().rev().cloned().collect();
    if address.line2.is_none() {
        wanted["shipping_address"]["line2"] = json!(null);
    }
    for place in ["city", "postal_code"] {
        if wanted["shipping_address"][place] == "" {
            wanted["shipping_address"][place] = json!("\u{200b} ");
        }
    }
    let text = serde_json::to_string_pretty(&wanted).expect("a value is written as JSON");
    let document = Document::parse(text.as_bytes()).expect("written by serde_json");
    let again = PlaceOrder::parse(&document).expect("accepted as it was written first");
    let fingerprint = order.fingerprint().expect("a request has a fingerprint");
    assert_eq!(again.fingerprint().ok(), Some(fingerprint), "of what was understood, not of how it was written");
}
