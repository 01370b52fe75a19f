//! Every row of the table of bad requests, and what no table foresees.

use super::*;
use lambda_kit::http::{BODY_BYTES_MAX, Document, FAULTS_MAX};
use proptest::prelude::*;

/// Sends `wanted` and expects a 422 that names exactly `places`.
async fn refused(wanted: &Value, places: &[&str]) {
    let world = World::new();
    let response = world.place(KEY, wanted).await;
    assert_eq!((response.status(), response.header("Content-Type")), (422, Some("application/problem+json")), "{wanted}");
    assert_eq!(pointers(&response), places, "{wanted}\n{}", response.body());
    assert_eq!(body(&response)["type"], ORDER_INVALID);
    assert_eq!((world.orders.borrow().len(), world.published.borrow().len()), (0, 0));
}

#[tokio::test]
async fn a_missing_repeated_or_malformed_key_is_400() {
    let world = World::new();
    let keys = [
        json!({}),
        json!({"idempotency-key": ""}),
        json!({"idempotency-key": "1"}),
        json!({"idempotency-key": "9f1b4c1e-7a0b-1d3c-8e2f-1a2b3c4d5e6f"}),
        json!({"idempotency-key": format!("{KEY},{KEY}")}),
        json!({"idempotency-key": format!("{KEY}, {OTHER_KEY}")}),
        json!({"idempotency-key": [KEY, OTHER_KEY]}),
    ];
    for mut headers in keys {
        headers["content-type"] = json!("application/json");
        let mut event = placing(KEY, &order());
        event["headers"] = headers.clone();
        let response = world.send(event).await;
        assert_eq!((response.status(), body(&response)["type"].as_str()), (400, Some(KEY_REQUIRED)), "{headers}");
    }
    assert_eq!(world.calls.borrow().len(), 0);
}

#[tokio::test]
async fn a_header_may_be_written_in_any_case() {
    let mut event = placing(KEY, &order());
    event["headers"] = json!({"Idempotency-Key": KEY, "CONTENT-TYPE": "Application/JSON; charset=utf-8"});
    assert_eq!(World::new().send(event).await.status(), 202);
}

#[tokio::test]
async fn a_body_that_is_not_json_is_400() {
    let world = World::new();
    for text in [json!(null), json!(""), json!("{"), json!("currency=EUR"), json!("{} {}"), json!("{\"currency\": NaN}")] {
        let mut event = placing(KEY, &order());
        event["body"] = text;
        let response = world.send(event).await;
        assert_eq!((response.status(), response.header("Content-Type")), (400, Some("application/problem+json")));
    }
}

#[tokio::test]
async fn another_content_type_is_415() {
    let world = World::new();
    for kind in
        [json!("text/plain"), json!("application/x-www-form-urlencoded"), json!("application/vnd.order+json"), json!(""), Value::Null]
    {
        let mut event = placing(KEY, &order());
        match &kind {
            Value::Null => drop(event["headers"].as_object_mut().unwrap().remove("content-type")),
            kind => event["headers"]["content-type"] = kind.clone(),
        }
        assert_eq!(world.send(event).await.status(), 415, "{kind}");
    }
}

#[tokio::test]
async fn a_body_over_64_kib_is_413() {
    for (length, status) in [(BODY_BYTES_MAX, 202), (BODY_BYTES_MAX + 1, 413)] {
        let mut text = order().to_string();
        text.push_str(&" ".repeat(length - text.len()));
        let mut plain = placing(KEY, &order());
        plain["body"] = json!(text);
        let mut encoded = plain.clone();
        encoded["body"] = json!(base64_simd::STANDARD.encode_to_string(&text));
        encoded["isBase64Encoded"] = json!(true);
        assert_eq!(World::new().send(plain).await.status(), status);
        assert_eq!(World::new().send(encoded).await.status(), status);
    }
}

#[tokio::test]
async fn a_base64_body_is_the_same_order_as_the_plain_one() {
    let world = World::new();
    let plain = world.place(KEY, &order()).await;
    let mut encoded = placing(KEY, &order());
    encoded["body"] = json!(base64_simd::STANDARD.encode_to_string(order().to_string()));
    encoded["isBase64Encoded"] = json!(true);
    let response = world.send(encoded).await;
    assert_eq!((response.status(), response.body(), response.header("Idempotency-Replayed")), (202, plain.body(), Some("true")));
}

#[tokio::test]
async fn an_unknown_field_is_422_at_every_level() {
    refused(&with("/coupon", json!("X")), &["#/coupon"]).await;
    refused(&with("/customer/phone", json!("1")), &["#/customer/phone"]).await;
    refused(&with("/shipping_address/state", json!("X")), &["#/shipping_address/state"]).await;
    refused(&with("/lines/1/unit_price_minor", json!(1)), &["#/lines/1/unit_price_minor"]).await;
    refused(&with("/a~1b", json!(1)), &["#/a~01b"]).await;
}

#[tokio::test]
async fn a_missing_field_is_422_at_every_level() {
    for place in ["/currency", "/customer", "/shipping_address", "/lines", "/payment_method", "/customer/name", "/customer/email"] {
        refused(&without(place), &[&format!("#{place}")]).await;
    }
    for place in ["line1", "city", "postal_code", "country"] {
        refused(&without(&format!("/shipping_address/{place}")), &[&format!("#/shipping_address/{place}")]).await;
    }
    for place in ["/lines/1/sku", "/lines/0/quantity"] {
        refused(&without(place), &[&format!("#{place}")]).await;
    }
    assert_eq!(World::new().place(KEY, &without("/shipping_address/line2")).await.status(), 202);
}

#[tokio::test]
async fn a_field_of_the_wrong_kind_is_422() {
    for wrong in [json!(null), json!(1), json!("x"), json!([]), json!(true)] {
        for place in ["/customer", "/shipping_address", "/lines/0"] {
            refused(&with(place, wrong.clone()), &[&format!("#{place}")]).await;
        }
        refused(&wrong, &["#"]).await;
    }
    for place in ["/currency", "/payment_method", "/customer/name", "/customer/email", "/shipping_address/line2", "/lines/0/sku"] {
        refused(&with(place, json!({"a": 1})), &[&format!("#{place}")]).await;
    }
    refused(&with("/lines", json!({})), &["#/lines"]).await;
}

#[tokio::test]
async fn a_quantity_is_a_whole_number_from_1_to_20() {
    for bad in [json!(0), json!(21), json!(-1), json!(1.5), json!(20.5), json!("2"), json!(null), json!(1e300), json!(u64::MAX)] {
        refused(&with("/lines/0/quantity", bad), &["#/lines/0/quantity"]).await;
    }
}

#[tokio::test]
async fn an_order_has_1_to_50_lines() {
    refused(&with("/lines", json!([])), &["#/lines"]).await;
    let lines = |n: usize| (0..n).map(|n| json!({"sku": format!("S-{n}"), "quantity": 1})).collect::<Vec<_>>();
    refused(&with("/lines", json!(lines(51))), &["#/lines"]).await;
    let response = World::new().place(KEY, &with("/lines", json!(vec![json!(1); 20_000]))).await;
    let more = serde_json::from_str::<Value>(response.body()).unwrap()["more_errors"].as_u64().unwrap();
    assert_eq!((pointers(&response).len(), more), (FAULTS_MAX, 31), "51 faults: no more lines are read than an order can have");
}

#[tokio::test]
async fn the_same_sku_twice_is_422_at_the_second() {
    let lines = json!([{"sku": "MUG-BLUE", "quantity": 1}, {"sku": "TEAPOT", "quantity": 1}, {"sku": "MUG-BLUE", "quantity": 5}]);
    refused(&with("/lines", lines), &["#/lines/2/sku"]).await;
}

#[tokio::test]
async fn an_unknown_sku_is_422() {
    refused(&with("/lines/1/sku", json!("NO-SUCH")), &["#/lines/1/sku"]).await;
    for bad in ["", "mug", "MUG BLUE", "MUG/BLUE", &"A".repeat(65)] {
        refused(&with("/lines/1/sku", json!(bad)), &["#/lines/1/sku"]).await;
    }
}

#[tokio::test]
async fn a_wrong_currency_is_422() {
    refused(&with("/lines/1/sku", json!("POSTER-USD")), &["#/lines/1/sku"]).await;
    refused(&with("/currency", json!("USD")), &["#/lines/0/sku", "#/lines/1/sku"]).await;
    for bad in ["", "eur", "EURO", "€", "ZZZ", "XAU", "BGN"] {
        refused(&with("/currency", json!(bad)), &["#/currency"]).await;
    }
}

#[tokio::test]
async fn a_total_that_no_one_charge_can_take_is_422() {
    let world = World::new();
    let one = with("/lines", json!([{"sku": "GOLD-BAR", "quantity": 1}]));
    assert_eq!(world.place(KEY, &one).await.status(), 202);
    refused(&with("/lines", json!([{"sku": "GOLD-BAR", "quantity": 2}])), &["#/lines"]).await;
    refused(&with("/lines", json!([{"sku": "GOLD-BAR", "quantity": 2}, {"sku": "NO-SUCH", "quantity": 1}])), &["#/lines/1/sku", "#/lines"])
        .await;
}

#[tokio::test]
async fn a_bad_email_is_422() {
    let long = format!("{}@example.com", "a".repeat(64));
    assert_eq!(World::new().place(KEY, &with("/customer/email", json!(long))).await.status(), 202);
    for bad in [
        "",
        " ",
        "ada",
        "@example.com",
        "ada@",
        "ada@example",
        "ada@@example.com",
        "ada @example.com",
        "Ada <ada@example.com>",
        "<ada@example.com>",
        "ada@example.com, bob@example.com",
        "ada@[192.0.2.7]",
        "ada@example..com",
        "ada@example.com\r\nBcc: bob@example.com",
        "adä@example.com",
        "ada@exämple.com",
        "\"a\tb\"@example.com",
        &format!("a{long}"),
        &format!("a@{}com", "label.".repeat(50)),
    ] {
        refused(&with("/customer/email", json!(bad)), &["#/customer/email"]).await;
    }
}

#[tokio::test]
async fn a_bad_name_or_address_is_422() {
    for place in ["/customer/name", "/shipping_address/line1", "/shipping_address/city", "/shipping_address/postal_code"] {
        for nothing in ["", "   ", "\u{200b}", "\u{2060}\u{3164}", "\u{2800}"] {
            refused(&with(place, json!(nothing)), &[&format!("#{place}")]).await;
        }
    }
    for place in
        ["/customer/name", "/shipping_address/line1", "/shipping_address/line2", "/shipping_address/city", "/shipping_address/postal_code"]
    {
        for bad in ["a\nb", "a\u{0}b", "a\u{7f}b", "a\u{85}b", "a\u{2028}b", &"ä".repeat(101)] {
            refused(&with(place, json!(bad)), &[&format!("#{place}")]).await;
        }
    }
    refused(&with("/shipping_address/postal_code", json!("12345678901234567")), &["#/shipping_address/postal_code"]).await;
    for bad in ["", "D", "DEU", "de", "D1", "Ä", "ZZ", "UK"] {
        refused(&with("/shipping_address/country", json!(bad)), &["#/shipping_address/country"]).await;
    }
    refused(&with("/customer/name", json!(format!("a\n{}", "b".repeat(100)))), &["#/customer/name", "#/customer/name"]).await;
}

#[tokio::test]
async fn a_card_number_is_no_payment_method() {
    for bad in ["", "4242424242424242", "pm_card visa", "pm_card\n", "pm_ä", "_x", &format!("pm_{}", "x".repeat(253))] {
        refused(&with("/payment_method", json!(bad)), &["#/payment_method"]).await;
    }
}

#[tokio::test]
async fn a_field_that_stands_twice_is_400_at_the_first() {
    let world = World::new();
    let mut event = placing(KEY, &order());
    let text = order()
        .to_string()
        .replace("\"quantity\":2", "\"quantity\":2,\"quantity\":3")
        .replace("\"currency\":\"EUR\"", "\"currency\":\"EUR\",\"currency\":\"EUR\"");
    event["body"] = json!(text);
    let response = world.send(event).await;
    assert_eq!((response.status(), pointers(&response)), (400, vec!["#/currency".to_owned()]));
}

#[tokio::test]
async fn every_fault_of_the_shape_is_named_at_once() {
    let world = World::new();
    let response = world
        .place(
            KEY,
            &json!({
                "currency": "eur", "coupon": 1,
                "customer": {"name": "", "email": "ada", "phone": "1"},
                "shipping_address": {"line1": "a\tb", "city": 7, "postal_code": "1", "country": "GBR"},
                "lines": [{"sku": "mug", "quantity": 0}, {"quantity": 1001, "colour": "red"}, {"sku": "TEAPOT", "quantity": 1}, {"sku": "TEAPOT"}],
            }),
        )
        .await;
    assert_eq!(
        response.body(),
        concat!(
            r##"{"type":"urn:order-pipeline:problem:order-invalid","title":"The order is invalid","status":422,"##,
            r##""detail":"The places that are wrong are named in `errors`.","errors":["##,
            r##"{"pointer":"#/coupon","detail":"is not a known field"},"##,
            r##"{"pointer":"#/currency","detail":"must be an ISO 4217 currency code, such as EUR"},"##,
            r##"{"pointer":"#/customer/phone","detail":"is not a known field"},"##,
            r##"{"pointer":"#/customer/name","detail":"must not be blank"},"##,
            r##"{"pointer":"#/customer/email","detail":"must be an e-mail address in ASCII, of at most 254 characters, such as name@example.com"},"##,
            r##"{"pointer":"#/shipping_address/line1","detail":"must not contain control characters or line breaks; character 2 is U+0009, which does not show"},"##,
            r##"{"pointer":"#/shipping_address/city","detail":"must be text"},"##,
            r##"{"pointer":"#/shipping_address/country","detail":"must be an ISO 3166-1 alpha-2 country code, such as DE"},"##,
            r##"{"pointer":"#/lines/0/sku","detail":"must be a SKU: 1 to 64 of A-Z, 0-9, '-', '_', '.', starting with a letter or digit"},"##,
            r##"{"pointer":"#/lines/0/quantity","detail":"must be a whole number from 1 to 20"},"##,
            r##"{"pointer":"#/lines/1/colour","detail":"is not a known field"},"##,
            r##"{"pointer":"#/lines/1/sku","detail":"is required"},"##,
            r##"{"pointer":"#/lines/1/quantity","detail":"must be a whole number from 1 to 20"},"##,
            r##"{"pointer":"#/lines/3/sku","detail":"is the SKU of line 2 too; add the quantities up"},"##,
            r##"{"pointer":"#/lines/3/quantity","detail":"is required"},"##,
            r##"{"pointer":"#/payment_method","detail":"is required"}]}"##
        )
    );
    assert_eq!(world.calls.borrow().len(), 0, "shape is checked first");
}

#[tokio::test]
async fn every_fault_that_the_catalogue_finds_is_named_at_once() {
    let lines = json!([
        {"sku": "NO-SUCH", "quantity": 1}, {"sku": "MUG-BLUE", "quantity": 1}, {"sku": "POSTER-USD", "quantity": 1}, {"sku": "NEITHER", "quantity": 1}
    ]);
    refused(&with("/lines", lines), &["#/lines/0/sku", "#/lines/2/sku", "#/lines/3/sku"]).await;
}

#[tokio::test]
async fn faults_are_reported_in_the_order_in_which_callers_fix_them() {
    let mut event = event("PUT", "/orders");
    event["headers"] = json!({});
    event["body"] = json!("x".repeat(BODY_BYTES_MAX + 1));
    let world = World::new();
    let mut expect = async |change: fn(&mut Value), status: u16| {
        assert_eq!(world.send(event.clone()).await.status(), status);
        change(&mut event);
    };
    expect(|event| event["requestContext"]["http"]["method"] = json!("POST"), 405).await;
    expect(|event| event["headers"]["idempotency-key"] = json!(KEY), 400).await;
    expect(|event| event["headers"]["content-type"] = json!("application/json"), 415).await;
    expect(|event| event["body"] = json!("x"), 413).await;
    expect(|event| event["body"] = json!("{}"), 400).await;
    expect(|event| event["body"] = json!(order().to_string()), 422).await;
    expect(|_| {}, 202).await;
}

#[tokio::test]
async fn an_unknown_route_is_404_and_a_wrong_method_is_405() {
    let world = World::new();
    for (method, path, status) in [
        ("POST", "/", 404),
        ("POST", "/order", 404),
        ("POST", "/orders/", 404),
        ("POST", "/orders/x/cancel/now", 404),
        ("GET", "/orders", 405),
        ("DELETE", "/orders/x/cancel", 405),
    ] {
        let response = world.send(event(method, path)).await;
        assert_eq!((response.status(), response.header("Content-Type")), (status, Some("application/problem+json")), "{method} {path}");
        assert_eq!(response.header("Allow"), (status == 405).then_some("POST"));
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        "[a-z@.\" <>\\\\\\[\\]]{0,30}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map("[a-z_~/]{0,6}", inner, 0..6).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

const PLACES: [&str; 16] = [
    "/currency",
    "/customer",
    "/customer/name",
    "/customer/email",
    "/shipping_address",
    "/shipping_address/line1",
    "/shipping_address/line2",
    "/shipping_address/postal_code",
    "/shipping_address/country",
    "/lines",
    "/lines/0",
    "/lines/0/sku",
    "/lines/1/quantity",
    "/lines/2",
    "/payment_method",
    "/extra",
];

/// A panic would be answered with 500, and so would a bug.
fn answered(event: Value) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let world = World::new();
    let intake = world.intake();
    let status = runtime.block_on(async {
        let request = async |request: &Request| intake.handle(request).await;
        // Without a timer: the deadline is none of this test's business.
        match request(&Request::from_event(event, &world).unwrap()).await {
            Ok(response) => response.status(),
            Err(Refused::Problem(problem)) => problem.status(),
            Err(Refused::Failure(failure)) => panic!("{failure}"),
        }
    });
    prop_assert!([202, 400, 413, 415, 422].contains(&status), "{}", status);
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let mut event = placing(KEY, &order());
        event["body"] = json!(base64_simd::STANDARD.encode_to_string(&bytes));
        event["isBase64Encoded"] = json!(true);
        answered(event)?;
        if let Ok(document) = Document::parse(&bytes) {
            prop_assert!(PlaceOrder::parse(&document).is_err());
        }
    }

    #[test]
    fn any_text_is_answered_even_where_base64_is_expected(text in ".{0,200}", base64 in any::<bool>()) {
        let mut event = placing(KEY, &order());
        event["body"] = json!(text);
        event["isBase64Encoded"] = json!(base64);
        answered(event)?;
    }

    #[test]
    fn any_json_in_any_place_of_an_order_is_answered(place in prop::sample::select(&PLACES[..]), value in any_json()) {
        answered(placing(KEY, &with(place, value)))?;
    }

    #[test]
    fn any_json_is_answered(value in any_json()) {
        answered(placing(KEY, &value))?;
    }
}
