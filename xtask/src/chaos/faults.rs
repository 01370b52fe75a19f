//! The faults while the customers shop, drawn from the seed: four concurrent fault injectors, each of which restores what it
//! broke before it goes on. They touch only the stack of this run, and kill only what its engine started.

use crate::chaos::Tally;
use anyhow::{Context, Result};
use console::machine::logical_id;
use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;
use testkit::engine::{function_processes, role_of};
use testkit::stack::{Patience, Stack};

/// Between two kills: every function loses a process every few seconds, and most messages are still handled by somebody.
const BETWEEN_KILLS_MS: RangeInclusive<u64> = 200..=1200;
/// How long a consumer hears nothing: long enough for its queue to fill, and for order-deadline to nudge some orders.
const PAUSED_MS: RangeInclusive<u64> = 2_000..=8_000;
/// How long a table or the topic refuses: past the first back-off of 2 s, so that messages are refused more than once.
const REFUSED_MS: RangeInclusive<u64> = 4_000..=8_000;
/// Calm between two pauses or refusals, in which customers get through.
const CALM_MS: RangeInclusive<u64> = 2_000..=6_000;
/// Between two duplicates: some hundreds in a run, a fifth of its messages.
const BETWEEN_DUPLICATES_MS: RangeInclusive<u64> = 100..=700;
/// Events kept to be repeated late, long after their order has ended. A few hundred are more than a run repeats.
const KEPT: usize = 300;

/// A stage of an order, and the table without which it can do nothing: its refused messages are parked, and redriven in the end.
const STAGES: [(&str, &str); 5] = [
    ("Payment", "PaymentsTable"),
    ("Inventory", "ReservationsTable"),
    ("Shipping", "ShipmentsTable"),
    ("OrderTracking", "OrdersTable"),
    ("OrderDeadline", "OrdersTable"),
];
const TABLES: [&str; 6] = ["CatalogueTable", "OrdersTable", "PaymentsTable", "StockTable", "ReservationsTable", "ShipmentsTable"];

/// Everything that goes wrong in a run, as its report names it.
pub const KINDS: [&str; 7] = [KILLED, PAUSED, REFUSED, UNHEARD, PARKED, SENT_AGAIN, PUBLISHED_AGAIN];
const KILLED: &str = "function processes killed";
const PAUSED: &str = "consumers disabled for a while";
const REFUSED: &str = "tables that refused for a while";
const UNHEARD: &str = "times that the topic refused for a while";
const PARKED: &str = "tables that refused, and each message parked at its second receive";
const SENT_AGAIN: &str = "messages sent again to their queue";
const PUBLISHED_AGAIN: &str = "events published again";

/// Makes trouble of every kind until `over`, at least one round of it; then everything is as it was.
pub async fn make(stack: &Stack, seed: u64, tally: &Tally, over: impl Fn() -> bool) -> Result<()> {
    let mut rng = Rng::with_seed(seed);
    let [kills, pauses, refusals, duplicates] = std::array::from_fn(|_| rng.fork());
    let consumers: Vec<_> = stack.consumers_of("OrderEventsTopic").await?.iter().map(|folder| logical_id(folder)).collect();
    tokio::try_join!(
        kill(stack, kills, tally, &over),
        pause(stack, &consumers, pauses, tally, &over),
        refuse(stack, refusals, tally, &over),
        repeat(stack, &consumers, duplicates, tally, &over),
    )?;
    Ok(())
}

async fn rest(rng: &mut Rng, ms: RangeInclusive<u64>) {
    tokio::time::sleep(Duration::from_millis(rng.u64(ms))).await;
}

/// SIGKILL to one process of one function at a time, in whatever it is doing. Never to all of a function at once: where cold
/// starts take longer than the time between kills, nobody would ever be served.
async fn kill(stack: &Stack, mut rng: Rng, tally: &Tally, over: &impl Fn() -> bool) -> Result<()> {
    while !over() {
        rest(&mut rng, BETWEEN_KILLS_MS).await;
        let processes = function_processes(stack.state.engine_pid);
        // A function and not a process: order-intake has most of these, and would take most of the kills.
        let functions: BTreeSet<_> = processes.iter().map(|process| &process.function).collect();
        let Some(function) = rng.choice(functions) else { continue };
        let Some(victim) = rng.choice(processes.iter().filter(|process| process.function == *function).collect::<Vec<_>>()) else {
            continue;
        };
        // One that has just ended by itself cannot be killed, which is no fault of anybody.
        if Pid::from_raw(victim.pid.cast_signed()).is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok()) {
            tally.fault(KILLED);
            tally.killed(function);
        }
    }
    Ok(())
}

/// One consumer hears nothing for a while.
async fn pause(stack: &Stack, consumers: &[String], mut rng: Rng, tally: &Tally, over: &impl Fn() -> bool) -> Result<()> {
    loop {
        let function = &consumers[rng.usize(..consumers.len())];
        stack.set_consumer(function, false).await?;
        rest(&mut rng, PAUSED_MS).await;
        stack.set_consumer(function, true).await?;
        tally.fault(PAUSED);
        if over() {
            return Ok(());
        }
        rest(&mut rng, CALM_MS).await;
    }
}

/// A table refuses for a while, then the topic, then a table whose stage is not given a second chance; and again.
async fn refuse(stack: &Stack, mut rng: Rng, tally: &Tally, over: &impl Fn() -> bool) -> Result<()> {
    loop {
        let table = TABLES[rng.usize(..TABLES.len())];
        let refusal = Refusal::of(stack, &format!("table/{}", stack.state.output(&format!("{table}Name"))?)).await?;
        rest(&mut rng, REFUSED_MS).await;
        refusal.end(stack).await?;
        tally.fault(REFUSED);
        rest(&mut rng, CALM_MS).await;

        let refusal = Refusal::of(stack, stack.state.output("OrderEventsTopicArn")?).await?;
        rest(&mut rng, REFUSED_MS).await;
        refusal.end(stack).await?;
        tally.fault(UNHEARD);
        rest(&mut rng, CALM_MS).await;

        // Otherwise nothing would land in a dead-letter queue before hours of back-off have passed.
        let (stage, table) = STAGES[rng.usize(..STAGES.len())];
        let patience = Patience::lost(stack, &format!("{stage}Queue")).await?;
        let refusal = Refusal::of(stack, &format!("table/{}", stack.state.output(&format!("{table}Name"))?)).await?;
        rest(&mut rng, REFUSED_MS).await;
        refusal.end(stack).await?;
        patience.regained(stack).await?;
        tally.fault(PARKED);
        if over() {
            return Ok(());
        }
        rest(&mut rng, CALM_MS).await;
    }
}

/// Messages delivered twice: straight to the queue they were found in, or by the topic to everybody, under a fresh
/// deduplication id; at once, or long after.
async fn repeat(stack: &Stack, consumers: &[String], mut rng: Rng, tally: &Tally, over: &impl Fn() -> bool) -> Result<()> {
    let mut kept: Vec<(String, String)> = Vec::new();
    while !over() {
        rest(&mut rng, BETWEEN_DUPLICATES_MS).await;
        let queue = consumers[rng.usize(..consumers.len())].replace("Function", "Queue");
        let fresh = rng.choice(stack.peek(&queue).await?).map(|message| (queue, message.body));
        if let Some(fresh) = &fresh {
            if kept.len() < KEPT {
                kept.push(fresh.clone());
            } else {
                kept[rng.usize(..KEPT)] = fresh.clone();
            }
        }
        let late = rng.choice(&kept).cloned().filter(|_| rng.bool());
        let Some((queue, body)) = late.or(fresh) else { continue };
        let event: Value = serde_json::from_str(&body).context("a message of this run is not JSON")?;
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        if rng.bool() {
            stack.send(&queue, text("subject"), &body).await?;
            tally.fault(SENT_AGAIN);
        } else {
            stack.publish(text("subject"), text("type"), &body).await?;
            tally.fault(PUBLISHED_AGAIN);
        }
    }
    Ok(())
}

/// Permissions on a resource that were taken from every role, and are given back by [`Refusal::end`].
struct Refusal {
    /// Role, policy and what it said.
    policies: Vec<(String, String, Value)>,
}

impl Refusal {
    async fn of(stack: &Stack, resource: &str) -> Result<Self> {
        let mut policies = Vec::new();
        for function in stack.engine.functions().await? {
            let role = role_of(&function)?;
            for (name, policy) in stack.engine.role_policies(role).await? {
                if let Some(less) = without(&policy, resource) {
                    stack.engine.put_role_policy(role, &name, &less).await?;
                    policies.push((role.to_owned(), name, policy));
                }
            }
        }
        anyhow::ensure!(!policies.is_empty(), "no role has a permission on {resource}");
        Ok(Self { policies })
    }

    async fn end(self, stack: &Stack) -> Result<()> {
        for (role, name, policy) in self.policies {
            stack.engine.put_role_policy(&role, &name, &policy).await?;
        }
        Ok(())
    }
}

/// The policy without the statements about a resource; [`None`] where it has none.
fn without(policy: &Value, resource: &str) -> Option<Value> {
    let statements = policy["Statement"].as_array()?;
    let is_about = |statement: &&Value| statement["Resource"].as_str().is_some_and(|arn| arn.ends_with(resource));
    let left: Vec<_> = statements.iter().filter(|statement| !is_about(statement)).cloned().collect();
    (left.len() < statements.len()).then(|| json!({"Version": policy["Version"], "Statement": left}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_consumer_with_a_table_is_refused_it_or_listed() {
        /// Consumers of which no order depends on a table, and why.
        const SPARED: [(&str, &str); 1] = [("OrderEmail", "a mail that is parked and sent back is late, and its order is not")];
        let template = template::Template::read().unwrap();
        let reads = |source: &template::Source<'_>| {
            let mut told = template::entries(source.function.at("/Environment/Variables"));
            told.any(|(_, value)| template.referred(value, "AWS::DynamoDB::Table").is_some())
        };
        let need = template.consumers_of("OrderEventsTopic").filter(reads).map(|source| source.function.id.trim_end_matches("Function"));
        let listed: BTreeSet<_> = STAGES.iter().chain(&SPARED).map(|(stage, _)| *stage).collect();
        assert_eq!(need.collect::<BTreeSet<_>>(), listed, "see STAGES in xtask/src/chaos/faults.rs");
    }

    #[test]
    fn only_the_permissions_on_the_resource_are_taken() {
        let statement = |resource: &str| json!({"Effect": "Allow", "Action": "x", "Resource": resource});
        let policy =
            json!({"Version": "2012-10-17", "Statement": [statement("arn:table/a"), statement("arn:table/ab"), statement("arn:log")]});
        let less = without(&policy, "table/a").unwrap();
        assert_eq!(less["Statement"], json!([statement("arn:table/ab"), statement("arn:log")]));
        assert_eq!(without(&policy, "table/b"), None);
    }
}
