//! What must hold when a run has come to rest: every promise, read off the tables, the topic and the provider's own book.
//!
//! It does not take a stage's word for anything that another party has written down.

use super::{cloud::Cloud, scenario::Scenario, wiring::Wiring};
use domain::{
    CloudEvent, Event, EventType, Order, OrderId, Sku, Subject, Timestamp,
    event::CancelReason,
    event::CancelRequest,
    inventory::{Reservation, State as Stock},
    payment::{CAPTURE_MARGIN, CONFIRM_AGAIN_AFTER, Payment, State as Money},
    tracking::Status,
};
use lambda_kit::dynamodb::{Item, record};
use serde::{Deserialize, de::DeserializeOwned};
use simulated_cloud::{messaging::POISON, stripe};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The result of a run.
#[derive(Debug, Default)]
pub struct Found {
    /// Stored orders.
    pub orders: usize,
    /// How they ended.
    pub ends: BTreeMap<&'static str, u64>,
    /// What must not be.
    pub violations: Vec<String>,
}

impl Found {
    fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(otherwise());
        }
    }
}

/// The stage's own row; only what the sum needs.
#[derive(Deserialize)]
struct StockRow {
    sku: Sku,
    available: u64,
}

/// Looks at everything.
pub fn violations(cloud: &Cloud, scenario: &Scenario, wiring: &Wiring, accepted: &BTreeSet<OrderId>) -> Found {
    let mut found = Found::default();
    let heard = announced(cloud, &mut found);
    let book = cloud.bank.book(cloud.now());
    let payments: BTreeMap<OrderId, Money> = rows::<Payment>(cloud, "payments", &mut found).map(|row| (row.order_id, row.state)).collect();
    let reservations: BTreeMap<OrderId, Stock> =
        rows::<Reservation>(cloud, "reservations", &mut found).map(|row| (row.order_id, row.state)).collect();
    let items = cloud.tables.items("orders").into_iter().filter(|item| item.contains_key("received_at"));
    let orders: Vec<Order> = items.filter_map(|item| record(item).ok()).collect();
    found.orders = orders.len();

    stock_adds_up(cloud, scenario, &reservations, &mut found);
    honest_orders_are_not_turned_away(scenario, &heard, &mut found);
    dead_letters_are_explained(cloud, scenario, wiring, &mut found);
    for id in heard.keys().chain(accepted) {
        found.must(orders.iter().any(|order| order.order_id == *id), || format!("{id} was accepted or announced, and is not stored"));
    }
    for order in &orders {
        let id = order.order_id;
        let none = BTreeMap::new();
        let events = heard.get(&id).unwrap_or(&none);
        let said = |event: EventType| events.contains_key(&event);
        let holds: Vec<_> = book.iter().filter(|entry| entry.order_id == id.to_string()).collect();
        never(&id, said, order, &holds, &mut found);
        too_little_is_waited_for(order, events, wiring, &mut found);
        // order-deadline checks some twenty times in a day, and no run has so many faults: what it times out was stuck, unless
        // a function was away for that long.
        let reason = order.facts.cancelled.as_ref().and_then(|fact| fact.reason);
        let stuck = reason == Some(CancelReason::TimedOut) && !scenario.may_wait_until(time_out_after(wiring));
        found.must(!stuck, || format!("{id} was decided by order-deadline's time-out: nothing else could heal it"));

        // An order that was stored, never announced and never answered for is nobody's promise.
        if !said(EventType::OrderPlaced) && !accepted.contains(&id) {
            *found.ends.entry("never accepted").or_default() += 1;
            continue;
        }
        no_good_sale_or_hold_is_ended(&id, said, payments.get(&id), &holds, &mut found);
        let end = end(order, said, payments.get(&id), reservations.get(&id), &holds);
        match end {
            Ok(end) => *found.ends.entry(end).or_default() += 1,
            Err(why) => found.violations.push(format!("{id} has not ended: {why}")),
        }
    }
    found
}

fn time_out_after(wiring: &Wiring) -> Duration {
    let [_, time_out_s, _] = wiring.deadlines_s;
    Duration::from_secs(time_out_s.into())
}

/// What was first announced of each order, and with which time.
type Announced = BTreeMap<OrderId, BTreeMap<EventType, (Event, Timestamp)>>;

/// What was announced of each order. The same event always says the same.
fn announced(cloud: &Cloud, found: &mut Found) -> Announced {
    let mut heard = Announced::new();
    for message in cloud.messaging.published() {
        let event = match CloudEvent::parse(&message.body) {
            Ok(event) => event,
            Err(error) => {
                found.violations.push(format!("an event that nobody can read was published: {error}"));
                continue;
            }
        };
        let Subject::Order(id) = event.subject else { continue };
        let kind = event.event.event_type();
        let (first, time) = heard.entry(id).or_default().entry(kind).or_insert_with(|| (event.event.clone(), event.time));
        let same = (*first == event.event && *time == event.time) || asked_after_order_deadline((first, *time), (&event.event, event.time));
        found.must(same, || format!("{id}: {kind} was announced as {first:?} at {time} and as {:?} at {}", event.event, event.time));
    }
    heard
}

/// Whether both ask to cancel, one for order-deadline and one for a customer who asked later than that: the one id that may
/// say two things. order-deadline does not contradict a customer who asked before.
fn asked_after_order_deadline((first, first_at): (&Event, Timestamp), (other, other_at): (&Event, Timestamp)) -> bool {
    let (Event::OrderCancelRequested(first), Event::OrderCancelRequested(other)) = (first, other) else { return false };
    match (first.reason, other.reason) {
        (CancelRequest::TimedOut, CancelRequest::CustomerAsked) => first_at <= other_at,
        (CancelRequest::CustomerAsked, CancelRequest::TimedOut) => other_at <= first_at,
        _ => false,
    }
}

/// What must never be, ended or not.
fn never(id: &OrderId, said: impl Fn(EventType) -> bool, order: &Order, holds: &[&stripe::Entry], found: &mut Found) {
    let (shipped, cancelled) = (said(EventType::OrderShipped), said(EventType::OrderCancelled));
    found.must(!(shipped && cancelled), || format!("{id} was shipped and cancelled"));
    let ready = said(EventType::PaymentAuthorized) && said(EventType::InventoryReserved);
    found.must(!shipped || ready, || format!("{id} was shipped, and was not both authorized and reserved"));
    let confirmed: u32 = holds.iter().map(|hold| hold.held_times).sum();
    found.must(confirmed <= 1, || format!("{id}: {confirmed} holds were confirmed"));
    let captured: u32 = holds.iter().map(|hold| hold.captured_times).sum();
    found.must(captured <= 1, || format!("{id} was captured {captured} times"));
    found.must(captured == 0 || shipped, || format!("{id} was captured and not shipped"));
    let sum: u64 = holds.iter().map(|hold| hold.captured_minor).sum();
    let sum = domain::Money { amount_minor: sum, ..order.total };
    found.must(captured == 0 || sum == order.total, || format!("{id}: {sum} was captured of {}", order.total));
}

/// A refusal for now ends neither a sale at its first tries nor a hold before its margin.
fn no_good_sale_or_hold_is_ended(
    id: &OrderId,
    said: impl Fn(EventType) -> bool,
    money: Option<&Money>,
    holds: &[&stripe::Entry],
    found: &mut Found,
) {
    if let Some(Money::Uncollected { hold, uncollected_at, .. }) = money {
        let is_lost = holds.iter().any(|entry| entry.payment == hold.payment.0 && entry.is_lost);
        let last = hold.capture_before - CAPTURE_MARGIN;
        found.must(is_lost || *uncollected_at >= last, || format!("{id}: a good hold was freed at {uncollected_at}, before {last}"));
    }
    let refused = holds.iter().map(|hold| hold.hesitated_times).sum::<u32>();
    let tries = u32::try_from(CONFIRM_AGAIN_AFTER.len() + 1).unwrap_or(u32::MAX);
    let has_reason = holds.is_empty() || holds.iter().any(|hold| hold.is_lost) || refused >= tries;
    found.must(!said(EventType::PaymentDeclined) || has_reason, || format!("{id} was declined after {refused} refusals for now"));
}

/// Which of the ends an order has come to, by every party's book.
fn end(
    order: &Order,
    said: impl Fn(EventType) -> bool,
    money: Option<&Money>,
    stock: Option<&Stock>,
    holds: &[&stripe::Entry],
) -> Result<&'static str, String> {
    let held = holds.iter().filter(|hold| hold.status == stripe::Status::RequiresCapture).count();
    let captured: u32 = holds.iter().map(|hold| hold.captured_times).sum();
    let status = order.facts.status();
    let so = format!("money {money:?}, stock {stock:?}, status {status:?}, held {held}, captured {captured}");
    let end = match (said(EventType::OrderShipped), money, stock) {
        (true, Some(Money::Captured { .. }), Some(Stock::Committed { .. })) if captured == 1 && status == Status::Completed => "completed",
        (true, Some(Money::Uncollected { .. }), Some(Stock::Committed { .. })) if captured == 0 && status == Status::Uncollected => {
            "uncollected"
        }
        (false, Some(Money::Voided { .. } | Money::Closed { .. }), Some(Stock::Released { .. } | Stock::Closed { .. }))
            if held == 0 && captured == 0 && status == Status::Cancelled =>
        {
            "cancelled"
        }
        _ => return Err(so),
    };
    if order.facts.ended() { Ok(end) } else { Err(format!("tracking has not heard of it: {so}")) }
}

/// Available, reserved and committed are, together, what there was.
fn stock_adds_up(cloud: &Cloud, scenario: &Scenario, reservations: &BTreeMap<OrderId, Stock>, found: &mut Found) {
    let mut units = BTreeMap::<Sku, u64>::new();
    for row in rows::<StockRow>(cloud, "stock", found) {
        *units.entry(row.sku).or_default() += row.available;
    }
    for state in reservations.values() {
        if let Stock::Reserved { items, .. } | Stock::Committed { items, .. } = state {
            for item in items {
                *units.entry(item.sku.clone()).or_default() += u64::from(item.quantity);
            }
        }
    }
    for (sku, seeded) in &scenario.stock {
        let there = units.iter().find(|(known, _)| known.as_str() == *sku).map_or(0, |(_, units)| *units);
        found.must(there == *seeded, || format!("{sku}: {there} units where there were {seeded}"));
    }
}

/// An order is rejected only when it has waited for units that may come back.
fn too_little_is_waited_for(order: &Order, events: &BTreeMap<EventType, (Event, Timestamp)>, wiring: &Wiring, found: &mut Found) {
    let Some((_, rejected_at)) = events.get(&EventType::InventoryRejected) else { return };
    let waited = rejected_at.duration_since(order.received_at);
    let enough = Duration::try_from(waited).is_ok_and(|waited| waited >= wiring.stock_wait);
    found.must(enough, || format!("{} was rejected after {waited:#} as out of stock", order.order_id));
}

/// Where nothing goes wrong and there is enough for everybody who can pay, those who cannot take nothing from them.
fn honest_orders_are_not_turned_away(scenario: &Scenario, heard: &Announced, found: &mut Found) {
    if !scenario.is_calm() || !scenario.has_enough() {
        return;
    }
    for customer in scenario.honest() {
        let id = customer.key.parse().ok().map(|key| OrderId::from_key(&key, None));
        let is_captured = id.and_then(|id| heard.get(&id)).is_some_and(|events| events.contains_key(&EventType::PaymentCaptured));
        found.must(is_captured, || format!("{id:?}: there was enough for everybody, and it did not ship"));
    }
}

/// After the last fault, a dead-letter queue holds nothing but what nobody can read, and of that everything.
fn dead_letters_are_explained(cloud: &Cloud, scenario: &Scenario, wiring: &Wiring, found: &mut Found) {
    let mut poison = 0;
    for queue in &wiring.queues {
        for dead in cloud.messaging.messages(&queue.dead_letter_queue) {
            if *dead.body == *POISON {
                poison += 1;
                found.must(dead.attributes.contains_key("ErrorType"), || "a message was parked without its reason".to_owned());
            } else {
                found.violations.push(format!("{} still holds {:?}", queue.dead_letter_queue, dead.attributes));
            }
        }
    }
    for gone in cloud.messaging.expired().iter().filter(|message| *message.body != *POISON) {
        found.violations.push(format!("{} expired unhandled: {:?}", gone.id, gone.attributes));
    }
    let dropped = cloud.messaging.dropped();
    found.must(dropped == 0, || format!("{dropped} parked messages were dropped by deduplication"));
    let poisoned = cloud.messaging.poisoned();
    let expired = cloud.messaging.expired().iter().filter(|message| *message.body == *POISON).count();
    let lost = poison + expired < poisoned && scenario.loses_everything_after.is_none();
    found.must(!lost, || format!("of {poisoned} unreadable messages {poison} were parked"));
}

fn rows<T: DeserializeOwned>(cloud: &Cloud, table: &str, found: &mut Found) -> impl Iterator<Item = T> + use<T> {
    let read = |item: Item| match record(item) {
        Ok(row) => Some(row),
        Err(failure) => {
            found.violations.push(format!("{table}: {failure}"));
            None
        }
    };
    cloud.tables.items(table).into_iter().filter_map(read).collect::<Vec<_>>().into_iter()
}
