//! `chaos`: hundreds of orders at a deployed stack of its own, while whatever can fail on this machine fails; then every promise
//! is compared with the records. A seed replays the orders, and the order and length of faults, but not whom they meet at what.
//! It leaves the stacks of `up` and `test` in peace, and stops everything it started, however it ends.

pub mod customers;
mod faults;
pub mod plan;
mod settle;
pub mod verdict;

use anyhow::{Result, bail};
use console::machine::{Repository, free_ports, require_cargo, require_compiler, require_linux};
use console::processes::{SANDBOX_CALLS_PER_SECOND, Start};
use console::progress::{Progress, behind, bold, dim, green, red, shown};
use console::{build, stack};
use plan::Plan;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};
use testkit::shop::has_ended;
use testkit::stack::Stack;

/// One customer of each kind, and a few more.
const ORDERS_MIN: u64 = 10;
/// Three orders a second are placed: these take six of the fifteen minutes.
const ORDERS_MAX: u64 = 1000;

/// order-deadline's parameters in these runs. A nudge comes before a message that died with its process does (60 s,
/// payment's 180 s), so that both ways to heal are taken, the redelivery as a late duplicate. The time-out leaves room for
/// several nudges and is longer than any fault, so that most orders ship. Parking lies beyond the end of the run: it hands
/// to people what has not ended, which here the verdict does, and a slow machine is no reason for it.
const CLOCK: [&str; 3] = ["NudgeAfterSeconds=15", "TimeOutAfterSeconds=120", "ParkAfterSeconds=3600"];

/// Faults end with the last customer served, and then at the latest: on a machine that is slower than they are fast, customers
/// are served in the calm after them.
const TROUBLE_LIMIT: Duration = Duration::from_secs(6 * 60);
/// Customers, who ask again while a fault lasts, are served by then, or something is stuck.
const SERVING_LIMIT: Duration = Duration::from_secs(9 * 60);
/// From the first order to the last message. Longest is the wait for what payment took and died with, three minutes, and a
/// second time for what is redriven.
const RUN_LIMIT: Duration = Duration::from_secs(15 * 60);
/// Reading all records afterwards: one call for each order, and a few for those that meet a process that was killed.
const READING_LIMIT: Duration = Duration::from_secs(2 * 60);
/// How often it is counted how many orders have ended; a look reads the whole table.
const COUNT_AGAIN: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub struct Options {
    /// How many orders to place
    #[arg(long, default_value_t = 300, value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(ORDERS_MIN..=ORDERS_MAX))]
    orders: usize,
    /// Where orders and faults are drawn from; a run prints its own
    #[arg(long)]
    seed: Option<u64>,
}

/// The events so far, counted by customers, fault injectors and the watch concurrently.
#[derive(Default)]
pub struct Tally(RefCell<Counts>);

#[derive(Default, Clone)]
struct Counts {
    accepted: usize,
    ended: usize,
    asked_again: usize,
    faults: BTreeMap<&'static str, usize>,
    kills: BTreeMap<String, usize>,
}

impl Tally {
    /// Never held over an await.
    fn counts(&self) -> RefMut<'_, Counts> {
        self.0.borrow_mut()
    }
    pub fn accepted(&self) {
        self.counts().accepted += 1;
    }
    pub fn orders_accepted(&self) -> usize {
        self.counts().accepted
    }
    fn ended(&self, ended: usize) {
        self.counts().ended = ended;
    }
    fn asked_again(&self) {
        self.counts().asked_again += 1;
    }
    pub fn times_asked_again(&self) -> usize {
        self.counts().asked_again
    }
    fn fault(&self, kind: &'static str) {
        *self.counts().faults.entry(kind).or_default() += 1;
    }
    fn killed(&self, function: &str) {
        // The logical id, out of `<stack>-<logical id>-<random>`.
        let logical_id = function.split('-').find(|part| part.ends_with("Function")).unwrap_or(function);
        *self.counts().kills.entry(logical_id.to_owned()).or_default() += 1;
    }
    fn line(&self, orders: usize) -> String {
        let Counts { accepted, ended, faults, .. } = &*self.counts();
        format!("{accepted} of {orders} accepted, {ended} ended, {} faults", faults.values().sum::<usize>())
    }
}

pub async fn run(repository: &Repository, options: Options) -> Result<()> {
    require_linux()?;
    require_cargo()?;
    require_compiler()?;
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("  {}", dim(&format!("the same again: cargo xtask chaos --orders {} --seed {seed}", options.orders)));
    let mut progress = Progress::new();
    let built = build::with_tools(repository, &mut progress).await?;
    let folder = repository.local().join("chaos");
    std::fs::create_dir_all(&folder)?;
    let start = Start {
        port: free_ports()?,
        folder: &folder,
        lifeline: true,
        provider_latency: Duration::ZERO,
        provider_calls_per_second: SANDBOX_CALLS_PER_SECOND,
    };
    let (mut services, state) = stack::fresh(repository, start, &built, &CLOCK, &mut progress).await?;
    let result = services.while_alive(live(&Stack::of(state), seed, options.orders, &mut progress)).await;
    result.map_err(|error| {
        error.context(format!(
            "the run failed; what the engine and the functions said is in {}",
            repository.shown(&folder.join("engine.log"))
        ))
    })
}

async fn live(stack: &Stack, seed: u64, count: usize, progress: &mut Progress) -> Result<()> {
    let started = Instant::now();
    let plan = Plan::of(seed, count);
    for (sku, (price_minor, available)) in &plan.goods {
        stack.stock_up(sku, *price_minor, *available).await?;
    }
    let tally = Rc::new(Tally::default());
    let (line, deadline) = (|| tally.line(count), started + RUN_LIMIT);

    let served = Cell::new(false);
    let shopping = async {
        let orders = customers::serve(stack, plan.orders.clone(), &tally, started + SERVING_LIMIT).await?;
        served.set(true);
        Ok(orders)
    };
    let trouble = faults::make(stack, seed, &tally, || served.get() || started.elapsed() > TROUBLE_LIMIT);
    let both = async { tokio::try_join!(shopping, trouble) };
    let (orders, ()) = progress.watch("Shop while everything fails", line, counting(stack, &tally, both)).await?;
    if let Some(kind) = faults::KINDS.iter().find(|kind| !tally.counts().faults.contains_key(*kind)) {
        bail!("a run without {kind} shows nothing about them (seed {seed})");
    }
    let settling = settle::settle(stack, deadline);
    let parked = progress.watch("Wait for the last message, and redrive", line, counting(stack, &tally, settling)).await?;
    let judging = verdict::reach(stack, &plan, &orders, &tally, deadline + READING_LIMIT);
    let verdict = progress.wait("Hold every order against the records", judging).await?;

    report(&tally.counts(), &parked, &verdict, started.elapsed());
    match verdict.wrong.len() {
        0 => Ok(()),
        wrong => bail!("{wrong} promises were broken (seed {seed})"),
    }
}

/// Does `work` and counts at the same time how many orders have ended.
async fn counting<T>(stack: &Stack, tally: &Tally, work: impl Future<Output = Result<T>>) -> Result<T> {
    let count = async || {
        let orders = stack.scan("OrdersTable").await?;
        tally.ended(orders.iter().filter(|order| has_ended(|event| order.get(event).is_some())).count());
        anyhow::Ok(())
    };
    let count_on = async {
        loop {
            tokio::time::sleep(COUNT_AGAIN).await;
            count().await?;
        }
    };
    let result = tokio::select! {
        result = work => result?,
        error = count_on => return error,
    };
    count().await?;
    Ok(result)
}

fn report(counts: &Counts, parked: &settle::Parked, verdict: &verdict::Verdict, took: Duration) {
    let list = |title: &str, entries: Vec<(String, usize)>| {
        println!("\n{}", bold(title));
        for (what, how_often) in entries {
            println!("  {how_often:>6}  {what}");
        }
    };
    list("How the orders ended", verdict.ends.iter().map(|(end, orders)| (end.clone(), *orders)).collect());
    let mut faults: Vec<_> = counts.faults.iter().map(|(kind, faults)| ((*kind).to_owned(), *faults)).collect();
    faults.push(("requests that customers sent again".to_owned(), counts.asked_again));
    faults.push(("payments prepared in vain, never confirmed".to_owned(), verdict.never_confirmed));
    list("What went wrong on the way", faults);
    list("Whose processes were killed", counts.kills.iter().map(|(function, kills)| (function.clone(), *kills)).collect());
    let parked = parked.iter().map(|((queue, reason), messages)| (format!("{queue}: {reason}"), *messages));
    list("Parked, and redriven once the faults were over", parked.collect());
    println!();
    for wrong in &verdict.wrong {
        println!("{}", behind(&red("✗ "), wrong));
    }
    let orders: usize = verdict.ends.values().sum();
    if verdict.wrong.is_empty() {
        println!("{}", green(&format!("All {orders} orders ended as promised, in {}.", shown(took))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_is_counted_under_the_functions_logical_id() {
        let tally = Tally::default();
        tally.killed("order-pipeline-PaymentFunction-1A2B");
        assert_eq!(tally.counts().kills["PaymentFunction"], 1);
        tally.fault(faults::KINDS[0]);
        assert_eq!(tally.line(10), "0 of 10 accepted, 0 ended, 1 faults");
    }
}
