//! The pipeline on a simulated cloud: the functions' own handlers under the batch core, with everything going wrong around them.
//!
//! ```text
//! seed ─ scenario ─ customers ─▶ order-intake ─▶ topic ─▶ queues ─▶ mappings ─▶ Batch::handle ─▶ Stage::handle
//!                                                  ▲                                  │                │
//!                                                  └───────────── publish ◀───────────┘       tables, provider
//! ```
//!
//! A run goes on until nothing is left to do; then dead letters are redriven, and then `check` looks into every table and
//! the provider's own book.

mod check;
mod cloud;
mod functions;
mod many;
mod operator;
mod scenario;
mod watch;
mod wiring;

pub use functions::WIRED;
pub use many::{Sum, many};
pub use wiring::Wiring;

use aws_lambda_events::sqs::SqsBatchResponse;
use cloud::Cloud;
use domain::OrderId;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{LocalBoxFuture, join},
    stream::FuturesUnordered,
};
use lambda_kit::batch::BUG_RECEIVES_MAX;
use scenario::{Customer, Scenario};
use serde_json::{Value, json};
use simulated_cloud::{Draws, Fault, messaging::Message};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use watch::Watch;
use wiring::Mapping;

/// Most invocations in a run. The longest that a run needs is a few thousand: an order that waits a day for its time-out is
/// nudged a hundred times. Beyond it something feeds itself.
const INVOCATIONS_MAX: u64 = 20_000;
/// Most rounds of redriving after the last fault. One is enough for what a fault has parked; order-deadline's own message,
/// parked after two days, may have to wait for the others.
const REDRIVES_MAX: usize = 5;
/// How long a mapping is paused, at most.
const STANDSTILL: Duration = Duration::from_secs(30 * 60);
/// How often a customer sends a request that is not answered.
const TRIES_MAX: usize = 5;
/// How long a customer waits before that.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// How often somebody looks after a bad deployment and redrives what it has parked: within the five minutes for which queues
/// recognise a deduplication id.
const OPERATOR_ROUND: Duration = Duration::from_secs(60);

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// How many orders were stored.
    pub orders: usize,
    /// How often functions were invoked.
    pub invocations: u64,
    /// What went wrong around them.
    pub faults: BTreeMap<Fault, u64>,
    /// How the orders ended.
    pub ends: BTreeMap<&'static str, u64>,
    /// What must not be. Empty, or the promise is broken.
    pub violations: Vec<String>,
    /// Line by line, if it was to be told.
    pub story: Vec<String>,
}

/// Runs `seed`, which decides everything.
///
/// # Errors
/// Only where the machine gives no timer.
pub fn run(wiring: &Wiring, seed: u64, tells: bool) -> std::io::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
    Ok(runtime.block_on(async {
        let scenario = Scenario::draw(seed, wiring.mappings.len(), wiring.clock());
        let draws = Arc::new(Draws::new(!seed, scenario.fault_rates, tells));
        let cloud = Cloud::new(wiring, &scenario, draws);
        cloud.draws.tell(|| scenario.to_string());
        Simulation::new(wiring, &scenario, &cloud).run().await
    }))
}

struct Simulation<'a> {
    wiring: &'a Wiring,
    scenario: &'a Scenario,
    cloud: &'a Cloud,
    begin: Instant,
    /// Processes and customers that are under way.
    under_way: FuturesUnordered<LocalBoxFuture<'a, Ended>>,
    /// Invocations under way, by mapping.
    busy: Vec<usize>,
    /// Until when a mapping is paused.
    stopped: Vec<Instant>,
    /// Orders that were answered with 202.
    accepted: BTreeSet<OrderId>,
    /// How many deliveries of a message were checks and no failures, by mapping and message.
    checks: BTreeMap<(usize, String), u32>,
    violations: Vec<String>,
}

/// What has ended.
enum Ended {
    Customer(Result<Option<OrderId>, String>),
    Batch { mapping: usize, messages: Vec<Message>, response: Option<SqsBatchResponse>, watch: Box<Watch> },
}

impl<'a> Simulation<'a> {
    fn new(wiring: &'a Wiring, scenario: &'a Scenario, cloud: &'a Cloud) -> Self {
        let begin = Instant::now();
        let paused = |mapping| scenario.pause.as_ref().filter(|pause| pause.mapping == mapping).map_or(begin, |pause| begin + pause.until);
        Self {
            wiring,
            scenario,
            cloud,
            begin,
            under_way: FuturesUnordered::new(),
            busy: vec![0; wiring.mappings.len()],
            stopped: (0..wiring.mappings.len()).map(paused).collect(),
            accepted: BTreeSet::new(),
            checks: BTreeMap::new(),
            violations: Vec::new(),
        }
    }

    async fn run(mut self) -> Outcome {
        for customer in &self.scenario.customers {
            self.under_way.push(place(self.cloud, customer).boxed_local());
        }
        let loses_at = self.scenario.loses_everything_after.map(|after| self.begin + after);
        self.until_rest(loses_at).await;
        if loses_at.is_some() {
            if self.scenario.keeps_order_deadline {
                self.lose_everything_but_order_deadline();
            } else {
                self.lose_everything().await;
            }
            self.until_rest(None).await;
        }
        self.cloud.draws.clear();
        for _ in 0..REDRIVES_MAX {
            if self.redrive() == 0 {
                break;
            }
            self.until_rest(None).await;
        }
        let found = check::violations(self.cloud, self.scenario, self.wiring, &self.accepted);
        self.violations.extend(found.violations);
        Outcome {
            orders: found.orders,
            invocations: self.cloud.invocations.get(),
            faults: self.cloud.draws.drawn(),
            ends: found.ends,
            violations: self.violations,
            story: self.cloud.draws.story(),
        }
    }

    /// Until nothing is left to do, or a moment has come.
    async fn until_rest(&mut self, end: Option<Instant>) {
        let mut operator = self.scenario.bad_deployment.as_ref().map(|bad| (Instant::now() + OPERATOR_ROUND, self.begin + bad.until));
        loop {
            if self.cloud.invocations.get() > INVOCATIONS_MAX {
                self.violations.push(format!("does not come to rest: {INVOCATIONS_MAX} invocations"));
                return;
            }
            self.cloud.messaging.arrive();
            self.start_invocations();
            let looks_at = operator.map(|(at, _)| at);
            let next = [self.next_message(), looks_at].into_iter().flatten().min();
            if next.is_none() && self.under_way.is_empty() {
                return;
            }
            let ended = match next.into_iter().chain(end).min() {
                None => self.under_way.next().await,
                Some(next) if self.under_way.is_empty() => {
                    sleep_until(next).await;
                    None
                }
                Some(next) => timeout_at(next, self.under_way.next()).await.ok().flatten(),
            };
            if let Some(ended) = ended {
                self.ended(ended);
            }
            let now = Instant::now();
            if end.is_some_and(|end| end <= now) {
                return;
            }
            if let Some((at, until)) = operator
                && at <= now
            {
                self.redrive();
                operator = (now < until).then_some((now + OPERATOR_ROUND, until));
            }
        }
    }

    /// When a message arrives, or can be received by a mapping that has room for it.
    fn next_message(&self) -> Option<Instant> {
        let now = Instant::now();
        let mappings = || self.wiring.mappings.iter().enumerate();
        let ready: Vec<_> = mappings()
            .filter(|(index, mapping)| self.busy[*index] < mapping.concurrency && self.stopped[*index] <= now)
            .map(|(_, mapping)| mapping.queue.as_str())
            .collect();
        let restarts = self.stopped.iter().copied().filter(|until| *until > now);
        self.cloud.messaging.next(&ready).into_iter().chain(restarts).min()
    }

    fn start_invocations(&mut self) {
        let now = Instant::now();
        for (index, mapping) in self.wiring.mappings.iter().enumerate() {
            while self.busy[index] < mapping.concurrency && self.stopped[index] <= now {
                let messages = self.cloud.messaging.receive(&mapping.queue, mapping.batch_size);
                if messages.is_empty() {
                    break;
                }
                self.busy[index] += 1;
                self.under_way.push(invoke(self.cloud, index, mapping, messages, self.is_broken(index)).boxed_local());
                if self.cloud.draws.fault(&[Fault::ConsumerStopped]).is_some() {
                    self.stopped[index] = now + self.cloud.draws.within(STANDSTILL);
                }
            }
        }
    }

    fn is_broken(&self, mapping: usize) -> bool {
        let since = self.begin.elapsed();
        self.scenario.bad_deployment.as_ref().is_some_and(|bad| bad.mapping == mapping && bad.from <= since && since < bad.until)
    }

    fn ended(&mut self, ended: Ended) {
        match ended {
            Ended::Customer(Ok(order)) => self.accepted.extend(order),
            Ended::Customer(Err(violation)) => self.violations.push(violation),
            Ended::Batch { mapping, messages, response, watch } => {
                self.busy[mapping] -= 1;
                for why in watch.blames_the_provider() {
                    self.violations
                        .push(format!("{} parked a message for an answer of the provider: {why}", self.wiring.mappings[mapping].function));
                }
                for id in watch.parked_as_bugs() {
                    let receives = messages.iter().find(|message| message.id == id).map_or(0, Message::receives);
                    let failures = receives - self.checks.get(&(mapping, id.clone())).copied().unwrap_or_default().min(receives);
                    if failures < BUG_RECEIVES_MAX {
                        let function = &self.wiring.mappings[mapping].function;
                        self.violations.push(format!("{function} parked {id} as a bug at its failure {failures}: it was checked before"));
                    }
                }
                let Some(response) = response else { return };
                let failed: BTreeSet<_> = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();
                // As Lambda does: an id that it does not know fails the whole batch.
                if !failed.iter().all(|id| messages.iter().any(|message| message.id == *id)) {
                    return;
                }
                for id in failed.iter().filter(|id| watch.is_mere_check(id)) {
                    *self.checks.entry((mapping, id.clone())).or_default() += 1;
                }
                let acknowledged: Vec<_> = messages.into_iter().filter(|message| !failed.contains(&message.id)).collect();
                for Message { id, .. } in acknowledged.iter().filter(|message| !watch.is_done(&message.id)) {
                    let function = &self.wiring.mappings[mapping].function;
                    self.violations.push(format!("{function} acknowledged {id}, which was neither handled and published nor parked"));
                }
                let receipt_handles: Vec<_> = acknowledged.iter().map(Message::receipt_handle).collect();
                self.cloud.messaging.delete(&self.wiring.mappings[mapping].queue, &receipt_handles);
            }
        }
    }

    fn redrive(&self) -> usize {
        let moved = self.wiring.queues.iter().map(|queue| self.cloud.messaging.redrive(&queue.name)).sum();
        if moved > 0 {
            self.cloud.draws.tell(|| format!("{:<20} redrives {moved} dead letters", "operator"));
        }
        moved
    }

    /// Loses every process, and every message but order-deadline's, which has to bring each announced order to its end alone.
    fn lose_everything_but_order_deadline(&mut self) {
        self.cloud.draws.tell(|| "every process is lost, and every message but order-deadline's".to_owned());
        self.under_way.clear();
        self.busy.fill(0);
        self.cloud.messaging.lose_everything_but(&self.wiring.mappings[self.wiring.clock()].queue);
    }

    /// Loses every message and every process, and has the operator nudge each order that has not ended.
    async fn lose_everything(&mut self) {
        self.cloud.draws.tell(|| "every message and every process is lost".to_owned());
        self.cloud.draws.clear();
        self.under_way.clear();
        self.busy.fill(0);
        self.stopped.fill(Instant::now());
        self.cloud.messaging.lose_everything();
        // Time passes: what lies in a queue for 14 days is deleted, and nobody has looked for longer.
        sleep(self.scenario.lost_for).await;
        // A nudged order is a promise.
        match operator::nudge_what_is_open(self.cloud).await {
            Ok(nudged) => self.accepted.extend(nudged),
            Err(violation) => self.violations.push(format!("fine fault_rates, and {violation}")),
        }
    }
}

/// One invocation of a queue function: served, timed out or dead.
async fn invoke<'a>(cloud: &'a Cloud, index: usize, mapping: &'a Mapping, messages: Vec<Message>, is_broken: bool) -> Ended {
    let caller = cloud.start(&mapping.function);
    let watch = Watch::of(is_broken);
    caller.tell(format_args!("receives {}", Received(&messages)));
    let served = Arc::clone(&caller.invocation).run(functions::invoke(cloud, mapping, &messages, &caller, &watch)).await;
    let response = served.flatten();
    match &response {
        None => caller.tell("is dead"),
        Some(response) if response.batch_item_failures.is_empty() => caller.tell("acknowledges all"),
        Some(response) => caller.tell(format_args!("reports {:?}", Failed(response))),
    }
    Ended::Batch { mapping: index, messages, response, watch: Box::new(watch) }
}

/// A customer, until they are content or tired.
async fn place(cloud: &Cloud, customer: &Customer) -> Ended {
    sleep(customer.places_after).await;
    let request = post("/orders", &customer.key, &customer.order.to_string());
    let accepted = match &request {
        // Twice at once, as by a double click.
        request if customer.is_impatient => {
            let (one, other) = join(send(cloud, request), send(cloud, request)).await;
            one.and_then(|one| Ok(one.or(other?)))
        }
        request => send(cloud, request).await,
    };
    if let (Ok(Some(answer)), Some(after)) = (&accepted, customer.cancels_after)
        && let Some(order_id) = answer["order_id"].as_str()
    {
        sleep(after).await;
        let request = post(&format!("/orders/{order_id}/cancel"), &customer.key, "");
        if let Err(violation) = send(cloud, &request).await {
            return Ended::Customer(Err(violation));
        }
    }
    Ended::Customer(accepted.map(|answer| answer.and_then(|answer| answer["order_id"].as_str()?.parse().ok())))
}

/// Sends a request until it is answered with anything but "come back"; [`None`] where it never is.
async fn send(cloud: &Cloud, request: &Value) -> Result<Option<Value>, String> {
    for _ in 0..TRIES_MAX {
        let caller = cloud.start("order-intake");
        let served = Arc::clone(&caller.invocation).run(functions::intake(cloud, request.clone(), &caller));
        let response = timeout(cloud.intake_timeout, served).await.ok().flatten();
        caller.tell(format_args!("answers {:?}", response.as_ref().map(lambda_kit::http::Response::status)));
        match response {
            // The customer may not hear of it, and asks again.
            Some(response) if matches!(response.status(), 202 | 409) && cloud.draws.fault(&[Fault::AnswerLost]).is_some() => {}
            Some(response) if matches!(response.status(), 202 | 409) => return Ok(serde_json::from_str(response.body()).ok()),
            Some(response) if response.status() < 500 => {
                return Err(format!("an honest request was refused: {} {}", response.status(), response.body()));
            }
            _ => {}
        }
        sleep(RETRY_AFTER).await;
    }
    Ok(None)
}

fn post(path: &str, key: &str, body: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "POST /orders", "rawPath": path, "rawQueryString": "",
        "headers": {"content-type": "application/json", "idempotency-key": key},
        "requestContext": {
            "accountId": "000000000000", "apiId": "api", "stage": "$default", "requestId": "request", "timeEpoch": 0,
            "http": {"method": "POST", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": "simulation"}
        },
        "body": body, "isBase64Encoded": false
    })
}

/// Messages in the words of a story.
struct Received<'a>(&'a [Message]);

impl std::fmt::Display for Received<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for message in self.0 {
            let kind = message.attributes.get("type").map_or("poison", String::as_str);
            write!(f, "{}:{kind}({}) ", message.id, message.group_id.as_deref().unwrap_or_default())?;
        }
        Ok(())
    }
}

/// Failures in the words of a story.
struct Failed<'a>(&'a SqsBatchResponse);

impl std::fmt::Debug for Failed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.batch_item_failures.iter().map(|failure| &failure.item_identifier)).finish()
    }
}
