//! Where parcels go: what a country's addresses do not have is not asked for, and what they all have is.

use super::*;
use domain::country::{self, Country};
use serde_json::Map;

/// An address of this country without what is optional somewhere.
fn bare(country: &str) -> Value {
    json!({"line1": "1 Sample Street", "country": country})
}

/// The pointers of what is refused; none where the order is accepted.
async fn refused(address: &Value) -> Vec<String> {
    let response = World::new().place(KEY, &with("/shipping_address", address.clone())).await;
    if response.status() == 202 { Vec::new() } else { pointers(&response) }
}

async fn stored(address: &Value) -> domain::order::Address {
    let world = World::new();
    let response = world.place(KEY, &with("/shipping_address", address.clone())).await;
    assert_eq!(response.status(), 202, "{}", response.body());
    world.orders.borrow()[&ORDER.parse().unwrap()].shipping_address.clone()
}

#[tokio::test]
async fn a_country_without_postal_codes_needs_none() {
    for (country, town) in [("HK", "Hong Kong"), ("AE", "Dubai"), ("IE", "Dublin"), ("QA", "Doha"), ("PA", "Panama")] {
        let mut address = bare(country);
        address["city"] = json!(town);
        let stored = stored(&address).await;
        assert_eq!((stored.city.0.as_str(), stored.postal_code.0.as_str()), (town, ""));
        for code in ["00000", "999077", "none"] {
            address["postal_code"] = json!(code);
            assert_eq!(refused(&address).await, [""; 0], "{country}: many forms ask for one all the same");
        }
    }
}

/// Left out, null, empty, blanks, and what shows nothing, at every optional place.
#[tokio::test]
async fn absent_is_the_same_order_in_all_its_spellings() {
    let world = World::new();
    let mut wanted = with("/shipping_address", json!({"line1": "1 Sample Street", "city": "Hong Kong", "country": "HK"}));
    let first = world.place(KEY, &wanted).await;
    assert_eq!(first.status(), 202, "{}", first.body());
    for place in ["line2", "postal_code"] {
        for absent in [json!(null), json!(""), json!("  \t"), json!("\u{200b}"), json!("\u{3164}\u{feff}")] {
            wanted["shipping_address"][place] = absent.clone();
            let again = world.place(KEY, &wanted).await;
            assert_eq!((again.status(), again.header("Idempotency-Replayed")), (202, Some("true")), "{place}: {absent}");
        }
    }
    let stored = world.orders.borrow()[&ORDER.parse().unwrap()].shipping_address.clone();
    assert_eq!((stored.line2, stored.postal_code.0.as_str()), (None, ""));
}

/// A build of before reads a record without a postal code, because the field is there.
#[tokio::test]
async fn an_address_without_a_postal_code_is_stored_with_all_its_fields() {
    let mut address = bare("HK");
    address["city"] = json!("Hong Kong");
    let stored = serde_json::to_value(stored(&address).await).unwrap();
    assert_eq!(stored, json!({"line1": "1 Sample Street", "city": "Hong Kong", "postal_code": "", "country": "HK"}));
}

#[tokio::test]
async fn a_refusal_names_a_code_of_the_country() {
    let mut address = bare("DE");
    for (code, detail) in [(json!("SW1Y 4JH"), "must be a postal code of DE, such as 26133"), (Value::Null, "is required")] {
        address["city"] = json!("Berlin");
        address["postal_code"] = code;
        let response = World::new().place(KEY, &with("/shipping_address", address.clone())).await;
        assert_eq!(body(&response)["errors"], json!([{"pointer": "#/shipping_address/postal_code", "detail": detail}]));
    }
}

#[tokio::test]
async fn an_unknown_country_hides_no_other_fault() {
    let address = json!({"line1": "\u{200b}", "country": "Germany"});
    assert_eq!(refused(&address).await, ["#/shipping_address/line1", "#/shipping_address/country", "#/shipping_address/city"]);
}

/// Every country of ISO 3166 × each form of an address.
#[tokio::test]
async fn every_country_takes_its_own_form_and_nothing_more() {
    let at = |field: &str| format!("#/shipping_address/{field}");
    for Country { code, needs_town, postal_code } in country::all() {
        let example = postal_code.map_or("", |known| known.example);
        let form = |fields: &[(&str, &str)]| {
            let always = [("line1", "1 Sample Street"), ("country", *code)];
            let all = fields.iter().chain(&always);
            Value::Object(all.map(|(name, text)| ((*name).to_owned(), json!(text))).collect::<Map<_, _>>())
        };
        let town: Vec<_> = needs_town.then(|| at("city")).into_iter().collect();
        let number: Vec<_> = postal_code.map(|_| at("postal_code")).into_iter().collect();
        for (fields, refusals) in [
            (&[("city", "Town"), ("postal_code", example)][..], vec![]),
            (&[("city", "Town"), ("postal_code", example), ("line2", "c/o Somebody")], vec![]),
            (&[("city", "Town"), ("postal_code", example), ("line2", "")], vec![]),
            (&[("city", "Town")], number.clone()),
            (&[("postal_code", example)], town.clone()),
            (&[], [town, number.clone()].concat()),
            (&[("city", "Town"), ("postal_code", "1")], number),
            (&[("city", "Town"), ("postal_code", "12345678901234567")], vec![at("postal_code")]),
        ] {
            assert_eq!(refused(&form(fields)).await, refusals, "{code}: {fields:?}");
        }
    }
}
