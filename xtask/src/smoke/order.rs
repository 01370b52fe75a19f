//! The one order that `smoke` places, as a customer would, over the stack's own API, and follows to its end.

use super::aws::{Aws, Call};
use super::checks::{Key, Outcome, key, one};
use super::found::{Found, ROWS_MAX};
use crate::story::Seen;
use anyhow::{Context as _, Result};
use console::machine::logical_id;
use domain::EventType;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use testkit::calls::folder_of;
use testkit::shop::{VISA, new_key, order_of};
use testkit::stack::State;

/// Who orders: SES's simulator takes its mail, in the sandbox too, and counts it against no reputation. The label makes each time
/// another customer, since one address gets only so many mails in an hour
/// (<https://docs.aws.amazon.com/ses/latest/dg/send-an-email-from-console.html>).
fn customer(key: &str) -> String {
    format!("success+{}@simulator.amazonses.com", key.split('-').next().unwrap_or_default())
}

/// How often it is looked at. Each look is a request that somebody pays for.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// The items to order, and how long to wait for it.
pub struct Placing {
    pub line: Option<(String, u32)>,
    pub limit: Duration,
}

/// Something to order.
struct Wanted {
    sku: String,
    quantity: u32,
    currency: String,
}

/// Places it where no card is charged by it.
pub async fn place(aws: &mut Aws, found: &Found, state: Option<&State>, placing: Placing) -> Result<Outcome> {
    match key(found) {
        Some(Key::Test) => {}
        Some(Key::Live) => return Ok(Outcome::Skip("the Stripe key is a live one: an order would charge a card".to_owned())),
        Some(Key::Other) => return Ok(Outcome::Skip("no payment can succeed without a Stripe key".to_owned())),
        None => return Ok(Outcome::Skip("you may not see whether the Stripe key is a test key, or there is none".to_owned())),
    }
    let wanted = match choose(aws, found, placing.line).await? {
        Ok(wanted) => wanted,
        Err(outcome) => return Ok(outcome),
    };
    let api = state.map_or_else(|| found.output("ApiUrl").to_owned(), |state| state.api_url.clone());
    let key = new_key();
    let mut body = order_of(&customer(&key), &[(&wanted.sku, wanted.quantity)], VISA);
    body["currency"] = wanted.currency.into();
    let headers = json!({"Content-Type": "application/json", "Idempotency-Key": key});
    let placed = match aws.ask_one(Call::http("POST", &format!("{api}/orders"), &headers, &body.to_string())).await? {
        Ok(answer) => answer,
        Err(why) => return Ok(one(format!("POST {api}/orders was not answered: {}", why.message), format!("curl -i {api}/orders"))),
    };
    let said: Value = serde_json::from_str(placed["body"].as_str().unwrap_or_default()).unwrap_or_default();
    let Some(order_id) = said["order_id"].as_str().filter(|_| placed["status"] == 202) else {
        let why = format!("POST {api}/orders was answered with {}: {}", placed["status"], placed["body"].as_str().unwrap_or_default());
        return Ok(one(why, logs(found, "OrderIntakeFunction")));
    };
    let began = Instant::now();
    let seen = follow(aws, &format!("{api}/orders/{order_id}"), placing.limit).await?;
    Ok(judge(found, &wanted.sku, order_id, &seen, began.elapsed()))
}

/// Asks for the order until it has ended.
async fn follow(aws: &mut Aws, url: &str, limit: Duration) -> Result<Seen> {
    let deadline = Instant::now() + limit;
    let mut seen = Seen::default();
    while !seen.has_ended() && Instant::now() < deadline {
        tokio::time::sleep(POLL_EVERY).await;
        // One answer that is none is no story: the next may be.
        if let Ok(answer) = aws.ask_one(Call::http("GET", url, &json!({}), "")).await?
            && answer["status"] == 200
        {
            let body = serde_json::from_str(answer["body"].as_str().unwrap_or_default()).context("an order is not JSON")?;
            seen = Seen::read(&body)?;
        }
    }
    Ok(seen)
}

/// The outcome of it. A good order of a test card ships and is paid.
fn judge(found: &Found, sku: &str, order_id: &str, seen: &Seen, took: Duration) -> Outcome {
    let told: Vec<&str> = seen.events.iter().map(|event| event.name.as_str()).collect();
    if seen.has("order.cancelled") {
        let why = seen.events.iter().map(|event| event.remark.as_str()).filter(|remark| !remark.is_empty()).collect::<Vec<_>>().join(", ");
        return one(
            format!("order {order_id} of {sku} was cancelled ({why}); its timeline: {}", told.join(", ")),
            logs(found, "ShippingFunction"),
        );
    }
    if seen.has("payment.capture_failed") {
        let wrong = format!("order {order_id} of {sku} was shipped, and its payment was not captured");
        return one(
            wrong,
            format!(
                "cargo xtask uncollected list{}",
                if found.local { String::new() } else { format!(" --stack {}{}", found.template.stack_name, found.flags) }
            ),
        );
    }
    if seen.has_ended() {
        return Outcome::Pass(format!("{order_id} of {sku} is {}, after {:.1} s: {}", seen.status, took.as_secs_f32(), told.join(", ")));
    }
    let function = next(&told.into_iter().collect());
    let told: Vec<&str> = seen.events.iter().map(|event| event.name.as_str()).collect();
    let wrong =
        format!("order {order_id} has not ended within {} s, and has {}; {function} is to act next", took.as_secs(), told.join(", "));
    one(wrong, logs(found, &function))
}

/// What an order that ships is told of, one after the other.
const STORY: [EventType; 5] = [
    EventType::PaymentAuthorized,
    EventType::InventoryReserved,
    EventType::OrderShipped,
    EventType::PaymentCaptured,
    EventType::InventoryCommitted,
];

/// The function whose event is missing first; where none is, the one that keeps what the others said.
fn next(told: &BTreeSet<&str>) -> String {
    let missing = STORY.into_iter().find(|event| !told.contains(event.stem()));
    logical_id(missing.and_then(|event| event.producers().first()).unwrap_or(&"order-tracking"))
}

fn logs(found: &Found, function: &str) -> String {
    if found.local {
        return format!("cargo xtask logs {}", folder_of(function));
    }
    let group = function.trim_end_matches("Function").to_owned() + "LogGroup";
    let group = found.template.resource(&group).map_or("<its log group>", |it| it.physical_id);
    format!("aws logs tail {group} --since 10m{}", found.flags)
}

/// What the caller named, or one of what is in stock.
async fn choose(aws: &mut Aws, found: &Found, line: Option<(String, u32)>) -> Result<Result<Wanted, Outcome>> {
    let unread = |why: &str| Ok(Err(Outcome::Skip(format!("the catalogue and the stock cannot be read: {why}"))));
    let catalogue = match found.answer("scan", "CatalogueTable") {
        Some(Ok(catalogue)) => catalogue,
        Some(Err(why)) => return unread(&why.message),
        None => return unread("the stack has no CatalogueTable"),
    };
    let input = json!({"TableName": found.output("StockTableName"), "Limit": ROWS_MAX});
    let stock = match aws.ask_one(Call::new("dynamodb", "scan", input)).await? {
        Ok(stock) => stock,
        Err(why) => return unread(&why.message),
    };
    Ok(wanted(catalogue, &stock, line).ok_or_else(|| {
        let put = format!(
            "aws dynamodb put-item --table-name {} …{}  # README.md, Deploy it to AWS, has the whole command",
            found.output("CatalogueTableName"),
            found.flags
        );
        one("nothing is in the catalogue and in stock: there is nothing to order".to_owned(), put)
    }))
}

fn wanted(catalogue: &Value, stock: &Value, line: Option<(String, u32)>) -> Option<Wanted> {
    let rows = |table: &Value| table["Items"].as_array().cloned().unwrap_or_default();
    let in_stock: BTreeSet<String> = rows(stock)
        .iter()
        .filter(|row| row["available"]["N"].as_str().and_then(|n| n.parse::<i64>().ok()).is_some_and(|n| n > 0))
        .filter_map(|row| row["sku"]["S"].as_str().map(str::to_owned))
        .collect();
    let mut priced: Vec<(String, String)> = rows(catalogue)
        .iter()
        .filter_map(|row| Some((row["sku"]["S"].as_str()?.to_owned(), row["currency"]["S"].as_str()?.to_owned())))
        .collect();
    priced.sort();
    match line {
        // One that is beyond the rows that were read is taken at its word.
        Some((sku, quantity)) => {
            let currency = priced.into_iter().find(|(it, _)| *it == sku).map_or_else(|| "EUR".to_owned(), |(_, currency)| currency);
            Some(Wanted { sku, quantity, currency })
        }
        None => {
            let (sku, currency) = priced.into_iter().find(|(sku, _)| in_stock.contains(sku))?;
            Some(Wanted { sku, quantity: 1, currency })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::Event;

    fn seen(events: &[&str]) -> Seen {
        let event = |name: &&str| Event { name: (*name).to_owned(), at: jiff::Timestamp::UNIX_EPOCH, remark: String::new() };
        Seen { status: "processing".to_owned(), events: events.iter().map(event).collect() }
    }

    fn judged(events: &[&str]) -> Outcome {
        judge(&super::super::tests::found(), "MUG", "o-1", &seen(events), Duration::from_secs(7))
    }

    #[test]
    fn an_order_that_stands_still_names_who_is_to_act() {
        let shipped =
            ["order.placed", "payment.authorized", "inventory.reserved", "order.shipped", "payment.captured", "inventory.committed"];
        assert!(matches!(judged(&shipped), Outcome::Pass(_)));
        for (known, function) in
            [(1, "PaymentFunction"), (2, "InventoryFunction"), (3, "ShippingFunction"), (4, "PaymentFunction"), (5, "InventoryFunction")]
        {
            let Outcome::Fail(faults) = judged(&shipped[..known]) else { panic!("{known}") };
            assert!(faults[0].wrong.contains(&format!("{function} is to act next")), "{faults:?}");
        }
        let Outcome::Fail(faults) = judged(&["order.placed", "payment.declined", "order.cancelled"]) else { panic!() };
        assert!(faults[0].wrong.contains("was cancelled"), "{faults:?}");
    }

    #[test]
    fn what_is_in_stock_is_ordered_unless_something_is_named() {
        let catalogue = json!({"Items": [
            {"sku": {"S": "B"}, "currency": {"S": "USD"}}, {"sku": {"S": "A"}, "currency": {"S": "EUR"}}
        ]});
        let stock = json!({"Items": [{"sku": {"S": "A"}, "available": {"N": "0"}}, {"sku": {"S": "B"}, "available": {"N": "2"}}]});
        let chosen = wanted(&catalogue, &stock, None).unwrap();
        assert_eq!((&*chosen.sku, chosen.quantity, &*chosen.currency), ("B", 1, "USD"));
        let named = wanted(&catalogue, &stock, Some(("A".to_owned(), 3))).unwrap();
        assert_eq!((&*named.sku, named.quantity, &*named.currency), ("A", 3, "EUR"));
        assert!(wanted(&catalogue, &json!({"Items": []}), None).is_none());
    }
}
