//! What an order may cost: what the payment provider charges is accepted, and nothing else is.

use super::*;
use domain::{
    charge::{self, Terms},
    money::Money,
};

/// A shop with one thing in it, at this price.
fn selling(unit_price_minor: u64, currency: Currency) -> World {
    let world = World::default();
    world.prices.borrow_mut().insert("THING".parse().unwrap(), Price { unit_price_minor, currency });
    world
}

async fn ordered(unit_price_minor: u64, currency: Currency, quantity: u64) -> Response {
    let mut wanted = with("/currency", json!(currency.code()));
    wanted["lines"] = json!([{"sku": "THING", "quantity": quantity}]);
    let world = selling(unit_price_minor, currency);
    let response = world.place(KEY, &wanted).await;
    let stored = usize::from(response.status() == 202);
    assert_eq!((world.orders.borrow().len(), world.published.borrow().len()), (stored, stored));
    response
}

/// The pointer and the reason of the one thing that is wrong.
fn refusal(response: &Response) -> String {
    let body = body(response);
    assert_eq!((response.status(), body["errors"].as_array().map(Vec::len)), (422, Some(1)), "{body}");
    let error = &body["errors"][0];
    format!("{} {}", error["pointer"].as_str().unwrap(), error["detail"].as_str().unwrap())
}

#[tokio::test]
async fn a_total_that_the_provider_does_not_charge_is_422_with_the_reason() {
    for (price, currency, reason) in [
        (0, Currency::EUR, "less than 0.50 EUR, the least"),
        (29, Currency::GBP, "less than 0.30 GBP, the least"),
        (49, Currency::JPY, "less than 50 JPY, the least"),
        (1205, Currency::MGA, "not a multiple of 1.00 MGA, in whose steps"),
        (1205, Currency::KWD, "not a multiple of 0.010 KWD, in whose steps"),
        (AMOUNT_MINOR_MAX + 1, Currency::IDR, "more than 9999999999.99 IDR, the most"),
    ] {
        let verb = if reason.starts_with("not") { "charges" } else { "that the payment provider charges" };
        let said = refusal(&ordered(price, currency, 1).await);
        assert!(said.starts_with(&format!("#/lines the total is {reason} ")) && said.ends_with(verb), "{said}");
    }
}

#[tokio::test]
async fn sixty_dollars_in_rupiah_are_accepted() {
    let response = ordered(25_000_000, Currency::IDR, 4).await;
    assert_eq!(response.status(), 202, "{}", response.body());
    assert_eq!(body(&response)["total"], json!({"amount_minor": 100_000_000, "currency": "IDR"}));
}

#[tokio::test]
async fn what_is_cheap_or_free_is_sold_where_the_total_can_be_charged() {
    assert_eq!(ordered(3, Currency::EUR, 17).await.status(), 202);
    assert_eq!(ordered(3, Currency::EUR, 16).await.status(), 422);
    assert_eq!(ordered(1205, Currency::KWD, 2).await.status(), 202, "2.410");
    let world = World::new();
    world.prices.borrow_mut().insert("STICKER".parse().unwrap(), Price { unit_price_minor: 0, currency: Currency::EUR });
    let wanted = with("/lines", json!([{"sku": "STICKER", "quantity": 1}, {"sku": "MUG-BLUE", "quantity": 1}]));
    assert_eq!(world.place(KEY, &wanted).await.status(), 202);
}

#[tokio::test]
async fn the_least_is_not_asked_for_where_a_line_has_no_price() {
    let world = selling(1, Currency::EUR);
    let response = world.place(KEY, &with("/lines", json!([{"sku": "THING", "quantity": 1}, {"sku": "NO-SUCH", "quantity": 1}]))).await;
    assert_eq!(refusal(&response), "#/lines/1/sku is not in the catalogue");
}

/// Every currency of ISO 4217 × each amount at which something changes.
#[tokio::test]
async fn every_currency_is_accepted_from_its_least_to_its_most_in_its_steps() {
    let capitals = || 'A'..='Z';
    let codes = capitals().flat_map(|a| capitals().flat_map(move |b| capitals().map(move |c| format!("{a}{b}{c}"))));
    let mut charged = 0;
    for currency in codes.filter_map(|code| Currency::from_code(&code)) {
        let Some(Terms { least_minor, most_minor, step_minor, .. }) = charge::terms(currency).copied() else {
            let reason = "#/currency must be a currency that the payment provider charges, such as EUR";
            assert_eq!(refusal(&ordered(1000, currency, 1).await), reason, "{}", currency.code());
            continue;
        };
        let mut amounts = vec![(0, 422), (least_minor - 1, 422), (least_minor, 202), (least_minor + step_minor, 202)];
        amounts.extend([(most_minor, 202), (most_minor + 1, 422), (most_minor + step_minor, 422)]);
        amounts.extend((step_minor > 1).then_some((least_minor + 1, 422)));
        for (amount_minor, status) in amounts {
            let response = ordered(amount_minor, currency, 1).await;
            assert_eq!(response.status(), status, "{}: {}", Money { amount_minor, currency }, response.body());
        }
        charged += 1;
    }
    assert_eq!(charged, charge::currencies().count());
}
