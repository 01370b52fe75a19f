//! One order's story: placed over HTTP, followed by its own timeline, and judged by how it ended.
//! It sees what a customer sees, `GET /orders/{order_id}`, and looks into no table.

use anyhow::{Context, Result, bail};
use command_line::screen::{columns, width, wrapped};
use console::progress::{dim, nth_colour};
use console::seed::CatalogueItem;
use domain::{Currency, Money, charge};
use jiff::Timestamp;
use serde_json::Value;
use std::time::{Duration, Instant};
use testkit::engine::{HttpAnswer, request};
use testkit::shop;

/// How often an order is asked for while it moves: no fact is late by more than the eye sees.
const POLL_EVERY: Duration = Duration::from_millis(150);
/// What the demo's stories are paid in.
pub const CURRENCY: &str = "EUR";
/// As wide as the longest title of the demo.
const TITLE_COLUMNS: usize = 17;
/// How long the HTTP API may answer that it is busy or starting.
const DOOR_LIMIT: Duration = Duration::from_secs(30);

/// Prints the lines of one story, told apart from those that go on beside it, and no fact twice.
pub struct Teller {
    title: String,
    colour: usize,
    began: Instant,
    told: Vec<String>,
}

impl Teller {
    pub fn new(title: &str, colour: usize) -> Self {
        Self { title: title.to_owned(), colour, began: Instant::now(), told: Vec::new() }
    }
    /// One whose lines stand among those of other stories.
    pub fn among_others(title: &str, colour: usize) -> Self {
        Self::new(&format!("{title:<TITLE_COLUMNS$}"), colour)
    }
    /// Prints parts that stay whole; those that have no room beside the others go on below.
    pub fn say(&self, parts: &[&str]) {
        let took = self.began.elapsed().as_millis();
        let clock = format!("{:>4}.{:02} s", took / 1000, took % 1000 / 10);
        let title = nth_colour(self.colour, &self.title);
        println!("{}", told(&title, &dim(&clock), parts, width(&std::io::stdout())));
    }
    /// Tells the facts that are new.
    fn tell(&mut self, seen: &Seen) {
        for event in &seen.events {
            if !self.told.contains(&event.name) {
                self.told.push(event.name.clone());
                let remark = dim(&event.remark);
                let parts = [event.name.as_str(), &remark];
                self.say(if event.remark.is_empty() { &parts[..1] } else { &parts });
            }
        }
    }
}

/// A line of a story; where it is too long for the terminal it goes on below its own beginning.
fn told(title: &str, clock: &str, parts: &[&str], width: Option<usize>) -> String {
    let first = format!("{title} {clock}  ");
    let rest = " ".repeat(columns(&first));
    wrapped(parts, "  ", [&first, &rest], width)
}

/// A request body as a shop would send it with the idempotency key `key`, to be paid in `currency`. `lines` are SKUs and
/// quantities.
pub fn order(key: &str, lines: &[(String, u32)], currency: &str, payment_method: &str) -> Value {
    let mut order = shop::order_with(key, lines, payment_method);
    order["currency"] = currency.into();
    order
}

/// An order that was answered with 202.
#[derive(Debug, Clone)]
pub struct Placed {
    pub order_id: String,
    pub replayed: bool,
    pub body: Value,
}

/// `POST /orders`. A 503 means that nothing is known: it is retried with the same key, as every client should.
pub async fn place(api_url: &str, key: &str, order: &Value) -> Result<Placed> {
    let deadline = Instant::now() + DOOR_LIMIT;
    let answer = loop {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        let answer = request("POST", &format!("{api_url}/orders"), &headers, order.to_string()).await?;
        if !matches!(answer.status, 503 | 502) || Instant::now() > deadline {
            break answer;
        }
        tokio::time::sleep(POLL_EVERY).await;
    };
    if answer.status != 202 {
        bail!("POST /orders was answered with {}: {}", answer.status, problem(&answer, order));
    }
    let body = answer.json()?;
    let order_id = body["order_id"].as_str().context("the answer to POST /orders has no order_id")?.to_owned();
    let replayed = answer.header("Idempotency-Replayed") == Some("true");
    Ok(Placed { order_id, replayed, body })
}

/// `POST /orders/{order_id}/cancel`; 202 means asked.
pub async fn cancel(api_url: &str, order_id: &str) -> Result<()> {
    let headers = [("Content-Type", "application/json")];
    let answer = request("POST", &format!("{api_url}/orders/{order_id}/cancel"), &headers, String::new()).await?;
    if answer.status != 202 {
        bail!("the cancel request was answered with {}: {}", answer.status, problem(&answer, &Value::Null));
    }
    Ok(())
}

/// The sentence of a problem+json, with its pointers, and what stands there in the body that was `sent`.
pub fn problem(answer: &HttpAnswer, sent: &Value) -> String {
    let Ok(body) = answer.json() else { return answer.body.clone() };
    let title = body["detail"].as_str().or(body["title"].as_str()).unwrap_or(&answer.body).to_owned();
    let fault = |fault: &Value| {
        let pointer = fault["pointer"].as_str().unwrap_or_default();
        let value = sent.pointer(pointer).filter(|value| !value.is_object() && !value.is_array());
        let value = value.map(|value| format!(" ({value})")).unwrap_or_default();
        format!("\n  {pointer}{value} {}", fault["detail"].as_str().unwrap_or_default())
    };
    title + &body["errors"].as_array().into_iter().flatten().map(fault).collect::<String>()
}

/// SKU and quantity of a line of an order.
pub fn ordered(line: &Value) -> Option<(String, u32)> {
    Some((line["sku"].as_str()?.to_owned(), line["quantity"].as_u64()?.try_into().ok()?))
}

/// The known facts about an order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub status: String,
    pub events: Vec<Event>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub at: Timestamp,
    /// Whatever else the timeline says of it: a reason, a tracking number.
    pub remark: String,
}

impl Seen {
    pub fn read(body: &Value) -> Result<Self> {
        let mut events = Vec::new();
        for entry in body["timeline"].as_array().context("the order has no timeline")? {
            let text = |name: &str| entry[name].as_str().with_context(|| format!("a fact of the timeline has no {name}"));
            let others = entry.as_object().into_iter().flatten().filter(|(name, _)| *name != "event" && *name != "at");
            let remark: Vec<String> =
                others.filter_map(|(name, value)| Some(format!("{}: {}", name.replace('_', " "), value.as_str()?))).collect();
            events.push(Event { name: text("event")?.to_owned(), at: text("at")?.parse()?, remark: remark.join(", ") });
        }
        Ok(Self { status: body["status"].as_str().context("the order has no status")?.to_owned(), events })
    }
    pub fn has(&self, event: &str) -> bool {
        self.events.iter().any(|e| e.name == event)
    }
    /// Whether every stage has done its part: nothing will follow.
    pub fn has_ended(&self) -> bool {
        shop::has_ended(|event| self.has(event))
    }
}

/// Asks for the order until `enough`, telling each new fact.
pub async fn follow(api_url: &str, order_id: &str, teller: &mut Teller, limit: Duration, enough: impl Fn(&Seen) -> bool) -> Result<Seen> {
    let deadline = Instant::now() + limit;
    let mut seen = Seen::default();
    loop {
        let answer = request("GET", &format!("{api_url}/orders/{order_id}"), &[], String::new()).await?;
        // Right after a deployment the status function may still be starting.
        if answer.status == 200 {
            seen = Seen::read(&answer.json()?)?;
        } else if answer.status < 500 {
            bail!("GET /orders/{order_id} was answered with {}: {}", answer.status, problem(&answer, &Value::Null));
        }
        teller.tell(&seen);
        if enough(&seen) || Instant::now() > deadline {
            return Ok(seen);
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
}

/// How a story should end.
#[derive(Debug, Clone)]
pub struct Expected {
    pub status: &'static str,
    /// Facts that must be in the timeline.
    pub facts: &'static [&'static str],
    /// Minor units that the provider's book must show as charged.
    pub charged_minor: i64,
}

/// The result of the story; empty when all is as expected, else a sentence per difference.
pub fn judge(expected: &Expected, seen: &Seen, charged_minor: i64) -> Vec<String> {
    let mut faults = Vec::new();
    if seen.status != expected.status {
        faults.push(format!(
            "expected it to be {}, and it is {}",
            expected.status,
            if seen.status.is_empty() { "unknown" } else { &seen.status }
        ));
    }
    for fact in expected.facts.iter().filter(|fact| !seen.has(fact)) {
        faults.push(format!("expected {fact} in its timeline, and it is not there"));
    }
    for (one, other) in [("order.shipped", "order.cancelled"), ("payment.captured", "payment.voided")] {
        if seen.has(one) && seen.has(other) {
            faults.push(format!("it has both {one} and {other}, which must never happen"));
        }
    }
    if !seen.has_ended() {
        faults.push("it has not ended: some stage has not done its part".into());
    }
    if charged_minor != expected.charged_minor {
        let (due, charged) = (money(expected.charged_minor, CURRENCY), money_of_provider(charged_minor, CURRENCY));
        faults.push(format!("expected {due} to be charged, and the provider's book says {charged}"));
    }
    faults
}

/// `69.00 EUR`, `500 JPY`: with the decimals of the currency.
pub fn money(minor: i64, currency: &str) -> String {
    amount(minor, currency, |amount_minor, currency| Money { amount_minor, currency })
}

/// The same of an amount in the payment provider's book, which is not always counted in minor units.
pub fn money_of_provider(counted: i64, currency: &str) -> String {
    amount(counted, currency, charge::from_provider)
}

fn amount(number: i64, currency: &str, read: impl Fn(u64, Currency) -> Money) -> String {
    match (u64::try_from(number), Currency::from_code(currency)) {
        (Ok(number), Some(currency)) => read(number, currency).to_string(),
        // Neither is an amount of this shop; what it is stays visible.
        _ => format!("{number} units of {currency:?}"),
    }
}

/// `2 × Blue mug, 1 × Teapot`.
pub fn basket(lines: &[(String, u32)], catalogue: &[CatalogueItem]) -> String {
    let name = |sku: &str| catalogue.iter().find(|item| item.sku == sku).map_or(sku.to_owned(), |item| item.name.clone());
    lines.iter().map(|(sku, quantity)| format!("{quantity} × {}", name(sku))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const SHIPS: Expected = Expected { status: "completed", facts: &["order.shipped", "payment.captured"], charged_minor: 6900 };

    fn seen(status: &str, events: &[&str]) -> Seen {
        let event = |name: &&str| Event { name: (*name).to_owned(), at: Timestamp::UNIX_EPOCH, remark: String::new() };
        Seen { status: status.into(), events: events.iter().map(event).collect() }
    }
    fn shipped() -> Seen {
        seen("completed", &["order.placed", "order.shipped", "payment.captured", "inventory.committed"])
    }

    #[test]
    fn a_story_that_ends_as_expected_has_no_fault() {
        assert_eq!(judge(&SHIPS, &shipped(), 6900), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_a_sentence() {
        let faults = judge(&SHIPS, &seen("cancelled", &["order.placed", "order.cancelled", "payment.voided", "inventory.released"]), 0);
        assert_eq!(faults.len(), 4, "{faults:?}");
        assert!(faults[0].contains("expected it to be completed, and it is cancelled"), "{faults:?}");
    }

    #[test]
    fn a_double_charge_is_a_fault() {
        assert_eq!(judge(&SHIPS, &shipped(), 13_800).len(), 1);
    }

    #[test]
    fn shipped_and_cancelled_is_a_fault_whatever_was_expected() {
        let mut both = shipped();
        both.events.extend(seen("", &["order.cancelled"]).events);
        assert_eq!(judge(&SHIPS, &both, 6900).len(), 1);
    }

    #[test]
    fn an_order_that_has_not_ended_is_a_fault() {
        assert!(judge(&SHIPS, &seen("processing", &["order.placed"]), 0).iter().any(|f| f.contains("has not ended")));
    }

    #[test]
    fn the_timeline_is_read_with_its_remarks() {
        let body = json!({ "status": "cancelled", "timeline": [{ "event": "order.cancelled", "at": "2026-01-02T03:04:05Z", "reason": "timed_out" }] });
        let seen = Seen::read(&body).unwrap();
        assert_eq!(seen.events[0].remark, "reason: timed_out");
        assert!(!seen.has_ended());
    }

    #[test]
    fn a_refused_order_names_what_was_refused() {
        let body = json!({"detail": "Wrong.", "errors": [{"pointer": "/lines/0/sku", "detail": "is not in the catalogue"}]});
        let answer = HttpAnswer { status: 422, headers: vec![], body: body.to_string() };
        let sent = json!({"lines": [{"sku": "NO-SUCH"}]});
        assert_eq!(problem(&answer, &sent), "Wrong.\n  /lines/0/sku (\"NO-SUCH\") is not in the catalogue");
    }

    #[test]
    fn a_line_of_a_story_fits_80_columns() {
        let id = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";
        let line = told("payment held back", "  30.52 s", &["POST /orders → 202", "2 × Blue mug, 1 × Teapot", "69.00 EUR", id], Some(80));
        assert!(line.lines().count() == 2 && line.lines().all(|line| columns(line) <= 80) && line.ends_with(id), "{line}");
    }

    #[test]
    fn money_and_baskets_read_well() {
        assert_eq!((money(6905, "EUR"), money(500, "JPY"), money(1210, "KWD")), ("69.05 EUR".into(), "500 JPY".into(), "1.210 KWD".into()));
        let booked = (money_of_provider(500, "ISK"), money_of_provider(12, "MGA"), money_of_provider(6905, "EUR"));
        assert_eq!(booked, ("5 ISK".into(), "12.00 MGA".into(), "69.05 EUR".into()));
        assert_eq!((money(-1, "EUR"), money(1, "")), ("-1 units of \"EUR\"".into(), "1 units of \"\"".into()));
        let catalogue = [CatalogueItem { sku: "TEAPOT".into(), name: "Teapot".into(), unit_price_minor: 1, currency: "EUR".into() }];
        assert_eq!(basket(&[("TEAPOT".into(), 2), ("X".into(), 1)], &catalogue), "2 × Teapot, 1 × X");
    }
}
