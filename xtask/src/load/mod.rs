//! `load`: an open-loop load on a deployed stack of its own. Orders arrive when they are due, whatever becomes of those before
//! them; the run says how long each took from then on, how fast every queue drained, and holds every order against the records.
//! It judges no figure, only that no order is lost, charged twice or cut short: how fast is fast enough, machines do not agree on.
//!
//! Not the stack of `up`: its order-deadline asks to cancel an order after thirty seconds, which at the end of a long queue
//! is most of them.
//!
//! Load generators were looked at first. oha sends one set of headers, so that every order would carry one idempotency key;
//! goose and rlt let a fixed number of users wait for each answer, and goose can then make up requests for those that the
//! wait left out; drill is the same and under the GPL. And none of them follows an order past its 202.

mod arrivals;
mod depths;
mod latency;
mod picture;
mod report;
mod usage;

use crate::chaos::Tally;
use crate::chaos::plan::Plan;
use crate::chaos::verdict;
use anyhow::{Context, Result, bail};
use arrivals::{Schedule, Served};
use console::machine::{Repository, free_ports};
use console::processes::{SANDBOX_CALLS_PER_SECOND, Start};
use console::progress::Progress;
use console::{build, stack};
use depths::{Depths, EVERY};
use jiff::Timestamp;
use report::Report;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::{Duration, Instant};
use testkit::shop::has_ended;
use testkit::stack::Stack;
use usage::Usage;

/// The engine handles some ten orders a second on two cores: this many take half an hour.
const ORDERS: RangeInclusive<u64> = 1..=20_000;
/// Far more than the engine takes; a schedule is held in milliseconds, so that a thousand is also where it ends to be even.
const RATE: RangeInclusive<i64> = 0..=1000;
/// What Lambda allows for an event source mapping of SQS.
const CONCURRENCY: RangeInclusive<i64> = 2..=1000;

/// Payment ends a call to the provider after eight seconds, and asks again.
const PROVIDER_LATENCY_MS: RangeInclusive<u64> = 0..=5000;

/// From what Stripe allows a sandbox to more than any machine of ours would use.
const PROVIDER_CALLS: RangeInclusive<i64> = 1..=100_000;

/// order-deadline as it is deployed. Within a run nobody nudges an order: what is lost stays lost, for everyone to see.
const CLOCK: [&str; 3] = ["NudgeAfterSeconds=900", "TimeOutAfterSeconds=86400", "ParkAfterSeconds=172800"];
/// Where an order waits for that clock until long after its end.
const WAITS_FOR_ITS_TIME: [&str; 1] = ["OrderDeadlineQueue"];

/// From the first order to the last message; then the run says what has not ended.
const RUN_LIMIT: Duration = Duration::from_secs(40 * 60);
/// Asking again after a request that said nothing, once all is over: reading the records.
const READING_LIMIT: Duration = Duration::from_secs(2 * 60);
/// With every queue empty, not even a message hidden, nothing moves an order but order-deadline. A function may still be at
/// work on what it took, at most for its timeout of thirty seconds.
const STANDSTILL: Duration = Duration::from_secs(45);
/// Between two counts of the orders that have ended. They read the whole table, and begin only when the queues are empty.
const COUNT_AGAIN: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub struct Options {
    /// How many orders to place
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(ORDERS))]
    orders: u64,
    /// How many of them are due each second; 0: all at once
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(RATE))]
    rate: u32,
    /// `MaximumConcurrency` of every queue's function, in place of the template's
    #[arg(long, value_parser = clap::value_parser!(u32).range(CONCURRENCY))]
    concurrency: Option<u32>,
    /// How long the payment provider takes for every change, beside its own time: what waits costs no processor, and only then
    /// does concurrency show on a small machine
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(PROVIDER_LATENCY_MS))]
    provider_latency_ms: u64,
    /// How many changes a second the payment provider takes, of each kind too, and payment therefore makes. An order that ships
    /// has three; 25 is what Stripe allows a sandbox
    #[arg(long, default_value_t = SANDBOX_CALLS_PER_SECOND, value_parser = clap::value_parser!(u32).range(PROVIDER_CALLS))]
    provider_calls_per_second: u32,
}

pub async fn run(repository: &Repository, options: Options) -> Result<()> {
    let mut progress = Progress::new();
    let built = build::with_tools(repository, &mut progress).await?;
    let folder = repository.local().join("load");
    std::fs::create_dir_all(&folder)?;
    let provider_latency = Duration::from_millis(options.provider_latency_ms);
    let provider_calls_per_second = options.provider_calls_per_second;
    let start = Start { port: free_ports()?, folder: &folder, lifeline: true, provider_latency, provider_calls_per_second };
    let pace = ["StripeCallsPerSecond", "StripeEndpointCallsPerSecond"].map(|name| format!("{name}={provider_calls_per_second}"));
    let parameters: Vec<_> = CLOCK.into_iter().chain(pace.iter().map(String::as_str)).collect();
    let (mut services, state) = stack::fresh(repository, start, &built, &parameters, &mut progress).await?;
    let result = services.while_alive(live(repository, &Stack::of(state), &options, &mut progress)).await;
    result.with_context(|| format!("what the engine and the functions said is in {}", repository.shown(&folder.join("engine.log"))))
}

async fn live(repository: &Repository, stack: &Stack, options: &Options, progress: &mut Progress) -> Result<()> {
    let plan = Plan::alike(usize::try_from(options.orders)?);
    for (sku, (price_minor, available)) in &plan.goods {
        stack.stock_up(sku, *price_minor, *available).await?;
    }
    if let Some(concurrency) = options.concurrency {
        let mappings = set_concurrency(stack, concurrency).await?;
        progress.done(&format!("Let {concurrency} batches run at once"), Instant::now(), &format!("{mappings} queues"));
    }

    let (depths, tally) = (Depths::of(stack).await?, Rc::new(Tally::default()));
    let before = Usage::now(&stack.state);
    let (start, started_at) = (Instant::now(), now());
    let deadline = start + RUN_LIMIT;
    let line = || format!("{} of {} accepted{}", tally.orders_accepted(), plan.orders.len(), depths.line());
    let schedule = Schedule { start, rate: options.rate };
    let work = async {
        let served = arrivals::serve(stack, &plan.orders, schedule, &tally, deadline).await?;
        until_nothing_moves(stack, &depths, served.accepted.len(), deadline).await;
        anyhow::Ok(served)
    };
    let watched = async {
        tokio::select! {
            served = work => served,
            () = depths.watch(stack, start) => bail!("the queue watcher has ended"),
        }
    };
    let served = progress.watch("Place the orders, until the last one has ended", line, watched).await?;
    let usage = Usage::now(&stack.state).since(&before);
    // Of a fresh stack: there is nothing from before to take off.
    let calls = stack.calls().await?;

    let timelines = timelines(stack, started_at).await?;
    let wrong = progress.wait("Hold every order against the records", wrong(stack, &plan, &served, &tally)).await?;
    let report = Report { options, served: &served, timelines: &timelines, depths: &depths, usage: &usage, calls: &calls, wrong: &wrong };
    let picture = repository.local().join("load.svg");
    picture::draw(&picture, &report)?;
    report.print(tally.times_asked_again())?;
    println!("\n  picture  {}", repository.shown(&picture));
    match wrong.len() {
        0 => Ok(()),
        wrong => bail!("{wrong} promises were broken"),
    }
}

/// Gives every event source mapping this `MaximumConcurrency`; says how many there are. Nothing is set back: the stack ends with
/// the run.
async fn set_concurrency(stack: &Stack, concurrency: u32) -> Result<usize> {
    let path = "/2015-03-31/event-source-mappings/";
    let answer = stack.engine.rest("lambda", "GET", path, "").await?.json()?;
    let mappings = answer["EventSourceMappings"].as_array().context("the engine lists no event source mappings")?;
    let wanted = json!({"ScalingConfig": {"MaximumConcurrency": concurrency}}).to_string();
    for mapping in mappings {
        let id = mapping["UUID"].as_str().context("an event source mapping without an id")?;
        stack.engine.rest("lambda", "PUT", &format!("{path}{id}"), &wanted).await?;
    }
    Ok(mappings.len())
}

/// Waits until as many orders as were accepted have ended; or until nothing is left that could end one, or `deadline`.
async fn until_nothing_moves(stack: &Stack, depths: &Depths, accepted: usize, deadline: Instant) {
    let mut empty_since = None;
    while Instant::now() < deadline {
        if depths.are_empty() {
            let since = *empty_since.get_or_insert_with(Instant::now);
            // No answer, from a machine that is too busy, says nothing of the orders.
            let orders = stack.scan("OrdersTable").await.unwrap_or_default();
            let ended = orders.iter().filter(|order| has_ended(|event| order.get(event).is_some())).count();
            if ended >= accepted || since.elapsed() > STANDSTILL {
                return;
            }
            tokio::time::sleep(COUNT_AGAIN).await;
        } else {
            empty_since = None;
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// When an order shipped and when it ended, after the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Timeline {
    shipped: Option<Duration>,
    ended: Option<Duration>,
}

/// One look at the whole table, after the run. The times are the events' own, which the stage that caused one took from this
/// machine's clock, as `started_at` was: to the millisecond, and before anybody heard of it.
async fn timelines(stack: &Stack, started_at: Timestamp) -> Result<BTreeMap<String, Timeline>> {
    let orders = stack.scan("OrdersTable").await?;
    orders.iter().map(|order| Ok((order["order_id"].as_str().context("no order_id")?.to_owned(), timeline(order, started_at)))).collect()
}

fn timeline(order: &Value, started_at: Timestamp) -> Timeline {
    let at = |event: &str| {
        let at: Timestamp = order.get(event)?["at"].as_str()?.parse().ok()?;
        // A clock that was set back would give a negative time.
        Some(Duration::try_from(at.duration_since(started_at)).unwrap_or_default())
    };
    let facts = order.as_object().into_iter().flat_map(|order| order.keys());
    let last = facts.filter_map(|name| at(name)).max();
    Timeline { shipped: at("order.shipped"), ended: last.filter(|_| has_ended(|event| order.get(event).is_some())) }
}

/// Everything that is not as it should be: what `chaos` looks for, and besides any order that did not ship, since nothing here
/// gives one a reason not to.
async fn wrong(stack: &Stack, plan: &Plan, served: &Served, tally: &Tally) -> Result<Vec<String>> {
    let verdict = verdict::of_orders(stack, plan, &served.accepted, tally, Instant::now() + READING_LIMIT).await?;
    let mut wrong = not_shipped(&verdict.ends);
    wrong.extend(verdict.wrong);
    wrong.extend(served.refused.iter().map(|why| format!("an order was not accepted: {why}")));
    wrong.extend(verdict::left_in_queues(stack, &WAITS_FOR_ITS_TIME).await?);
    Ok(wrong)
}

fn not_shipped(ends: &BTreeMap<String, usize>) -> Vec<String> {
    let others = ends.iter().filter(|(end, _)| *end != verdict::COMPLETED);
    others.map(|(end, orders)| format!("{orders} orders did not ship: {end}")).collect()
}

#[expect(clippy::disallowed_methods, reason = "the times of the deployed functions are by the real clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_is_cancelled_or_stuck_is_wrong_here() {
        let ends = |ends: &[(&str, usize)]| not_shipped(&ends.iter().map(|(end, orders)| ((*end).to_owned(), *orders)).collect());
        assert_eq!(ends(&[(verdict::COMPLETED, 200)]), Vec::<String>::new());
        assert_eq!(ends(&[(verdict::COMPLETED, 197), ("cancelled, timed out", 1), ("reserved", 2)]).len(), 2);
    }

    #[test]
    fn an_orders_times_are_its_events_after_the_start() {
        let at = |time: &str| json!({"at": time});
        let mut order = json!({"order_id": "o", "received_at": "2026-05-04T10:00:01Z", "total": {"amount_minor": 1},
            "order.placed": at("2026-05-04T10:00:01Z"), "order.shipped": at("2026-05-04T10:00:02.5Z"),
            "payment.captured": at("2026-05-04T10:00:04.125Z")});
        let start: Timestamp = "2026-05-04T10:00:00Z".parse().unwrap();
        let ms = Duration::from_millis;
        assert_eq!(timeline(&order, start), Timeline { shipped: Some(ms(2500)), ended: None }, "inventory has yet to commit");
        order["inventory.committed"] = at("2026-05-04T10:00:03Z");
        assert_eq!(timeline(&order, start), Timeline { shipped: Some(ms(2500)), ended: Some(ms(4125)) });
        let later = "2026-05-04T11:00:00Z".parse().unwrap();
        assert_eq!(timeline(&order, later).shipped, Some(Duration::ZERO), "no time is negative");
        assert_eq!(timeline(&json!({"order_id": "o"}), start), Timeline::default());
    }
}
