//! Holds every accepted order against what the customer sees, the tables, and the provider's own book; then the stock, and the
//! queues. It judges records, not what happened: whatever was done to the pipeline, these must be true of it afterwards.

use crate::chaos::Tally;
use crate::chaos::customers::{Accepted, persist};
use crate::chaos::plan::{Plan, Twist};
use crate::chaos::settle::reason;
use crate::story::{self, CURRENCY, money_of_provider};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Instant;
use testkit::shop::{DECLINED, has_ended, heard};
use testkit::stack::{Payment, Stack};

/// The result of a run.
#[derive(Debug, Default)]
pub struct Verdict {
    /// How many orders came to which end.
    pub ends: BTreeMap<String, usize>,
    /// Payments that were prepared by a process that died, or by a second copy of a message; they never held anything.
    pub never_confirmed: usize,
    /// The violations, a sentence each.
    pub wrong: Vec<String>,
}

/// Everything that is recorded about one order.
#[derive(Debug, Default)]
struct Records {
    /// The response of `GET /orders/{order_id}`.
    seen: Value,
    payment: Option<Value>,
    reservation: Option<Value>,
    shipment: Option<Value>,
    /// The provider's records.
    book: Vec<Payment>,
}

impl fmt::Display for Records {
    /// One record a line, below the line that says what is wrong.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "\n    seen         {}", self.seen)?;
        for (name, record) in [("payment", &self.payment), ("reservation", &self.reservation), ("shipment", &self.shipment)] {
            write!(f, "\n    {name:<12} {}", record.as_ref().unwrap_or(&Value::Null))?;
        }
        self.book.iter().try_for_each(|payment| write!(f, "\n    book         {}", booked(payment)))
    }
}

/// A payment of the provider's book: `pi_1 succeeded, 24.00 EUR`.
fn booked(payment: &Payment) -> String {
    format!("{} {}, {}", payment.id, payment.status, money_of_provider(payment.amount_minor, CURRENCY))
}

/// The end of an order that went as everybody wants.
pub const COMPLETED: &str = "shipped, captured and committed";

/// Reads everything and judges it.
pub async fn reach(stack: &Stack, plan: &Plan, orders: &[Accepted], tally: &Tally, deadline: Instant) -> Result<Verdict> {
    let mut verdict = of_orders(stack, plan, orders, tally, deadline).await?;
    verdict.wrong.extend(left_in_queues(stack, &[]).await?);
    Ok(verdict)
}

/// The remaining messages of a queue, a sentence a message; but for those `waiting`, whose messages wait for their time.
pub async fn left_in_queues(stack: &Stack, waiting: &[&str]) -> Result<Vec<String>> {
    let messages = stack.messages().await?.into_iter().filter(|(queue, _)| !waiting.contains(&&**queue));
    let left = messages.flat_map(|(queue, messages)| messages.into_iter().map(move |message| (queue.clone(), message)));
    Ok(left.map(|(queue, message)| format!("{queue} still holds a message ({}): {}", reason(&message), message.body)).collect())
}

/// Reads everything but the queues and judges it.
pub async fn of_orders(stack: &Stack, plan: &Plan, orders: &[Accepted], tally: &Tally, deadline: Instant) -> Result<Verdict> {
    let mut verdict = Verdict::default();
    let book = stack.payments().await?;
    let mut payments = by_order(stack.scan("PaymentsTable").await?)?;
    let mut reservations = by_order(stack.scan("ReservationsTable").await?)?;
    let mut shipments = by_order(stack.scan("ShipmentsTable").await?)?;
    verdict.never_confirmed = book.iter().filter(|payment| payment.status == Payment::UNCONFIRMED).count();

    let mut available = BTreeMap::new();
    for sku in plan.goods.keys() {
        available.insert(*sku, stack.available(sku).await?);
    }
    verdict.wrong.extend(stock(plan, &available, &reservations));

    let mut accepted = BTreeSet::new();
    for order in orders {
        let id = &order.order_id;
        // The engine may still hand the request to a process that was killed while it was idle, once for each.
        let seen = persist(tally, deadline, async || stack.look(id).await).await?;
        let records = Records {
            seen: if seen.status == 200 { seen.json()? } else { json!({"status": format!("GET was answered with {}", seen.status)}) },
            payment: payments.remove(id),
            reservation: reservations.remove(id),
            shipment: shipments.remove(id),
            book: book.iter().filter(|payment| payment.order_id == *id).cloned().collect(),
        };
        let faults = judge(order, &records);
        if !faults.is_empty() {
            verdict.wrong.push(format!("order {id} ({:?}): {}{records}", order.planned.twist, faults.join("; ")));
        }
        *verdict.ends.entry(end(&records.seen)).or_default() += 1;
        if !accepted.insert(id) {
            verdict.wrong.push(format!("order {id} was accepted under two keys"));
        }
    }
    for (table, left) in [("payments", payments), ("reservations", reservations), ("shipments", shipments)] {
        verdict.wrong.extend(left.keys().map(|id| format!("the table of {table} has a record of order {id}, which nobody placed")));
    }
    for payment in book.iter().filter(|payment| !accepted.contains(&payment.order_id)) {
        verdict.wrong.push(format!("the provider's book has {}, for order {}, which nobody placed", booked(payment), payment.order_id));
    }
    Ok(verdict)
}

fn by_order(items: Vec<Value>) -> Result<BTreeMap<String, Value>> {
    items.into_iter().map(|item| Ok((item["order_id"].as_str().context("a record without an order_id")?.to_owned(), item))).collect()
}

/// How an order ended, in words.
fn end(seen: &Value) -> String {
    match (seen["status"].as_str().unwrap_or("unknown"), why_cancelled(seen)) {
        ("completed", _) => COMPLETED.to_owned(),
        ("cancelled", Some(reason)) => format!("cancelled, {}", reason.replace('_', " ")),
        (status, _) => status.to_owned(),
    }
}

fn why_cancelled(seen: &Value) -> Option<&str> {
    let mut timeline = seen["timeline"].as_array()?.iter();
    timeline.find(|entry| entry["event"] == "order.cancelled")?["reason"].as_str()
}

/// The fault in an order, a clause each.
fn judge(order: &Accepted, records: &Records) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, otherwise: &dyn Fn() -> String| {
        if !holds {
            wrong.push(otherwise());
        }
    };
    let Records { seen, payment, reservation, shipment, book } = records;
    let state = |record: &Option<Value>| record.as_ref().and_then(|r| r["state"].as_str()).unwrap_or("none").to_owned();
    let (money, units) = (state(payment), state(reservation));
    let status = seen["status"].as_str().unwrap_or("unknown");
    must(has_ended(|event| heard(seen, event)), &|| format!("has not ended, it is {status}"));
    must(!(heard(seen, "order.shipped") && heard(seen, "order.cancelled")), &|| "is both shipped and cancelled".into());

    // The order's own payment is the one that its record names; whatever else was prepared was never confirmed.
    let own = payment.as_ref().and_then(|record| record["payment"].as_str());
    for other in book.iter().filter(|p| Some(&*p.id) != own && p.status != Payment::UNCONFIRMED) {
        must(false, &|| format!("{} is {}, and its record does not name it", other.id, other.status));
    }
    let with = |status: &str| book.iter().filter(|p| p.status == status).collect::<Vec<_>>();
    let (charged, held) = (with("succeeded"), with("requires_capture"));
    let all = |payments: &[&Payment]| payments.iter().map(|payment| booked(payment)).collect::<Vec<_>>().join("; ");
    must(held.is_empty(), &|| format!("{} is still held", all(&held)));

    let items = order.planned.lines.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity})).collect::<Vec<_>>();
    let twist = order.planned.twist;
    match status {
        "completed" => {
            must(money == "captured", &|| format!("has shipped, and its payment is {money}"));
            must(units == "committed", &|| format!("has shipped, and its units are {units}"));
            must(reservation.as_ref().is_some_and(|r| r["items"] == json!(items)), &|| "other items were committed than ordered".into());
            let due = order.planned.total_minor();
            must(charged.len() == 1 && charged[0].amount_minor == due, &|| {
                let charged = if charged.is_empty() { "nothing".to_owned() } else { all(&charged) };
                format!("{} is due, and charged is {charged}", story::money(due, CURRENCY))
            });
            let facts = shipment.as_ref().and_then(|record| record["facts"].as_array()).into_iter().flatten();
            let facts: Vec<_> = facts.filter_map(|fact| fact["fact"].as_str()).collect();
            must(["authorized", "reserved"].iter().all(|fact| facts.contains(fact)), &|| format!("was shipped upon {facts:?}"));
            must(order.planned.payment_method != DECLINED, &|| "has shipped, and its card is one that is declined".into());
            must(twist != Twist::OutOfStock, &|| "has shipped, and there was none of it".into());
        }
        "cancelled" => {
            must(["voided", "closed"].contains(&&*money), &|| format!("is cancelled, and its payment is {money}"));
            must(["released", "closed"].contains(&&*units), &|| format!("is cancelled, and its units are {units}"));
            must(charged.is_empty(), &|| format!("is cancelled, and charged is {}", all(&charged)));
            let given_cause = match why_cancelled(seen) {
                Some("payment_declined") => order.planned.payment_method == DECLINED,
                Some("out_of_stock") => matches!(twist, Twist::OutOfStock | Twist::LastUnits),
                Some("customer_asked") => matches!(twist, Twist::Cancels(_)),
                reason => reason == Some("timed_out"),
            };
            must(given_cause, &|| format!("gave no cause to be cancelled for {:?}", why_cancelled(seen)));
        }
        // Uncollected is an end too, but no card of these customers is one whose capture is refused.
        other => must(false, &|| format!("{other} is no end of an order of this run")),
    }
    wrong
}

/// Per SKU: available + reserved + committed must be what there was.
fn stock(plan: &Plan, available: &BTreeMap<&str, u64>, reservations: &BTreeMap<String, Value>) -> Vec<String> {
    let mut taken: BTreeMap<&str, u64> = BTreeMap::new();
    let keeps = |reservation: &&Value| ["reserved", "committed"].contains(&reservation["state"].as_str().unwrap_or_default());
    for item in reservations.values().filter(keeps).flat_map(|reservation| reservation["items"].as_array().into_iter().flatten()) {
        *taken.entry(item["sku"].as_str().unwrap_or_default()).or_default() += item["quantity"].as_u64().unwrap_or_default();
    }
    let goods = plan.goods.iter().map(|(sku, (_, seeded))| {
        let (available, taken) = (available.get(sku).copied().unwrap_or_default(), taken.get(sku).copied().unwrap_or_default());
        (available + taken != *seeded).then(|| format!("of {sku} there were {seeded}, and now {available} are available and {taken} taken"))
    });
    goods.flatten().collect()
}

#[cfg(test)]
mod tests;
