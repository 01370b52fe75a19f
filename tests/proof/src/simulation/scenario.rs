//! What a run is about: who orders what, when, with which card, how many faults there are. All of it drawn from the seed.

use serde_json::Value;
use simulated_cloud::{FaultRates, stripe::card};
use std::{fmt, time::Duration};
use testkit::shop::{key_of, order};

/// What is sold: two SKUs, so that orders share them and one order has both.
const SKUS: [&str; 2] = ["LAMP", "MUG"];
/// The most units of a SKU in stock: the orders of a run ask for 1 to 6, so that at times the last unit is fought over.
const STOCK_MAX: u64 = 6;
/// How long a short hold lasts, in seconds: around the 24 hours within which nothing is shipped any more.
const HOLD_S: std::ops::Range<u32> = 23 * 3600..27 * 3600;
/// How long SQS keeps a message at most
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-quotas.html>).
const RETENTION: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// When a bank that refused a confirmation for now comes back, in seconds: it is asked for five and a half minutes.
const CONFIRMS_AFTER_S: std::ops::Range<u32> = 0..500;
/// When one comes back that refused a capture for now: it is asked until two hours before the hold of seven days lapses.
const CAPTURES_AFTER_S: std::ops::Range<u32> = 0..8 * 24 * 3600;
/// How many calls a second a provider takes that takes few: fewer than the orders of a run make at once.
const PROVIDER_CALLS_PER_SECOND: std::ops::Range<u32> = 1..5;
/// How long a provider is away that is, at most.
const PROVIDER_AWAY_MAX: Duration = Duration::from_secs(3600);
/// How many orders take all there is with cards that will be declined, where somebody does that. Each is over within seconds.
const HOARDERS: std::ops::Range<u32> = 2..9;
/// All orders come within this time, so that they meet.
const ORDERS_WITHIN: Duration = Duration::from_secs(3);

/// A customer and what they do.
#[derive(Debug, Clone)]
pub struct Customer {
    /// The idempotency key.
    pub key: String,
    /// The body of the request.
    pub order: Value,
    /// When it is sent first.
    pub places_after: Duration,
    /// Whether it is sent twice at once.
    pub is_impatient: bool,
    /// How long after the answer they want to cancel, if they do.
    pub cancels_after: Option<Duration>,
}

impl Customer {
    /// How many units of `sku`.
    fn wants(&self, sku: &str) -> u64 {
        let lines = self.order["lines"].as_array().into_iter().flatten();
        lines.filter(|line| line["sku"] == sku).filter_map(|line| line["quantity"].as_u64()).sum()
    }
}

/// How long a mapping is paused, at most: past the age at which order-deadline parks.
const PAUSE_MAX: Duration = Duration::from_secs(75 * 3600);
/// How long order-deadline fails while orders wait for another function, at most: checks of an order of that age are hours
/// apart.
const CLOCK_FAILS_MAX: Duration = Duration::from_secs(8 * 3600);

/// A mapping that somebody has switched off from the start.
#[derive(Debug, Clone)]
pub struct Pause {
    /// Index of the mapping.
    pub mapping: usize,
    /// Until when.
    pub until: Duration,
}

/// A deployment that panics at every message, until it is rolled back.
#[derive(Debug, Clone)]
pub struct BadDeployment {
    /// Index of the mapping whose function it is.
    pub mapping: usize,
    /// From when.
    pub from: Duration,
    /// Until when.
    pub until: Duration,
}

/// A run's plan.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// How much goes wrong by chance.
    pub fault_rates: FaultRates,
    /// Units by SKU.
    pub stock: Vec<(&'static str, u64)>,
    /// The customer.
    pub customers: Vec<Customer>,
    /// Whether somebody deploys something bad.
    pub bad_deployment: Option<BadDeployment>,
    /// When every message and every process is lost, if they are: from there the healing invariant has to bring everything
    /// to its end.
    pub loses_everything_after: Option<Duration>,
    /// Whether that spares order-deadline's messages, which then have to do it alone.
    pub keeps_order_deadline: bool,
    /// Whether a mapping is switched off.
    pub pause: Option<Pause>,
    /// How long nobody looks then: not at all, or longer than SQS keeps a message.
    pub lost_for: Duration,
    /// How many calls a second the provider takes, where it minds; payment knows.
    pub provider_calls_per_second: Option<u32>,
    /// From when to when something else answers in the provider's place.
    pub provider_away: Option<(Duration, Duration)>,
}

impl Scenario {
    /// The plan of `seed`, for a pipeline with so many queue functions, of which order-deadline is the one at index `clock`.
    pub fn draw(seed: u64, mappings: usize, clock: usize) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let fault_rates = match rng.u32(0..100) {
            0..10 => FaultRates { per_mille: 0, faults: 0 },
            10..50 => FaultRates { per_mille: 20, faults: rng.u32(1..6) },
            50..85 => FaultRates { per_mille: 60, faults: rng.u32(1..16) },
            _ => FaultRates { per_mille: 150, faults: rng.u32(1..41) },
        };
        let count = match rng.u32(0..100) {
            0..55 => 1,
            55..85 => 2,
            _ => 3,
        };
        let mut plan = Self {
            fault_rates,
            stock: SKUS.map(|sku| (sku, rng.u64(0..=STOCK_MAX))).to_vec(),
            customers: (0..count).map(|_| customer(&mut rng)).collect(),
            bad_deployment: (rng.u32(0..100) < 4).then(|| {
                let from = within(&mut rng, ORDERS_WITHIN);
                BadDeployment { mapping: rng.usize(0..mappings), from, until: from + within(&mut rng, Duration::from_secs(10 * 60)) }
            }),
            loses_everything_after: (rng.u32(0..100) < 15).then(|| within(&mut rng, 3 * ORDERS_WITHIN)),
            lost_for: if rng.bool() { RETENTION + within(&mut rng, RETENTION) } else { Duration::ZERO },
            keeps_order_deadline: false,
            pause: None,
            provider_calls_per_second: (rng.u32(0..100) < 15).then(|| rng.u32(PROVIDER_CALLS_PER_SECOND)),
            provider_away: (rng.u32(0..100) < 8).then(|| {
                let from = within(&mut rng, 2 * ORDERS_WITHIN);
                (from, from + within(&mut rng, PROVIDER_AWAY_MAX))
            }),
        };
        match rng.u32(0..100) {
            // Somebody switches a mapping off.
            0..4 => plan.pause = Some(Pause { mapping: rng.usize(0..mappings), until: within(&mut rng, PAUSE_MAX) }),
            // The same, while order-deadline checks in vain; and then its checks fail.
            4..6 => {
                let until = within(&mut rng, PAUSE_MAX);
                let from = within(&mut rng, until);
                plan.pause = Some(Pause { mapping: (clock + 1 + rng.usize(0..mappings - 1)) % mappings, until });
                plan.bad_deployment = Some(BadDeployment { mapping: clock, from, until: from + within(&mut rng, CLOCK_FAILS_MAX) });
            }
            // Somebody takes all there is, with cards that will be declined; on half of these days nothing else is wrong.
            9..15 => {
                if rng.bool() {
                    plan = Self { customers: plan.customers, stock: plan.stock, ..Self::calm() };
                }
                let all: Vec<_> = plan
                    .stock
                    .iter()
                    .map(|(sku, units)| (*sku, u32::try_from(*units).unwrap_or_default()))
                    .filter(|(_, units)| *units > 0)
                    .collect();
                let count = if all.is_empty() { 0 } else { rng.u32(HOARDERS) };
                plan.customers.extend((0..count).map(|_| Customer {
                    key: key_of(rng.u128(..)),
                    order: order(&all, card::DECLINED),
                    places_after: within(&mut rng, ORDERS_WITHIN),
                    is_impatient: false,
                    cancels_after: None,
                }));
            }
            // Everything is lost but order-deadline's messages, which are late.
            6..9 => {
                plan.keeps_order_deadline = true;
                plan.pause = Some(Pause { mapping: clock, until: within(&mut rng, PAUSE_MAX) });
                plan.loses_everything_after = Some(within(&mut rng, 3 * ORDERS_WITHIN));
                plan.bad_deployment = None;
            }
            _ => {}
        }
        plan
    }

    /// A day on which nothing goes wrong.
    fn calm() -> Self {
        Self {
            fault_rates: FaultRates { per_mille: 0, faults: 0 },
            stock: Vec::new(),
            customers: Vec::new(),
            bad_deployment: None,
            loses_everything_after: None,
            keeps_order_deadline: false,
            pause: None,
            lost_for: Duration::ZERO,
            provider_calls_per_second: None,
            provider_away: None,
        }
    }

    /// Whether nothing goes wrong, so that every order ends as its customer, their card and the stock have it.
    pub fn is_calm(&self) -> bool {
        let Self { fault_rates, bad_deployment, loses_everything_after, pause, provider_calls_per_second, provider_away, .. } = self;
        fault_rates.faults == 0
            && bad_deployment.is_none()
            && loses_everything_after.is_none()
            && pause.is_none()
            && provider_calls_per_second.is_none()
            && provider_away.is_none()
    }

    /// Customers who only want what they order, with a card that is good.
    pub fn honest(&self) -> impl Iterator<Item = &Customer> {
        self.customers.iter().filter(|customer| customer.order["payment_method"] == card::GOOD && customer.cancels_after.is_none())
    }

    /// Whether there is enough for everybody who may be able to pay.
    pub fn has_enough(&self) -> bool {
        let may_pay = |customer: &&Customer| customer.order["payment_method"] != card::DECLINED;
        self.stock
            .iter()
            .all(|(sku, units)| self.customers.iter().filter(may_pay).map(|customer| customer.wants(sku)).sum::<u64>() <= *units)
    }

    /// Whether an order may have to wait until `age` for reasons that nothing in the pipeline can heal.
    pub fn may_wait_until(&self, age: Duration) -> bool {
        // order-deadline nudges at once where something ends that stood in the way, and then after a quarter of the order's
        // age. Where that is too late, one chance was left, and faults may have taken it (seed 90,441: a pause until 20
        // minutes before the time-out, and a consumer that stopped for 18 of them).
        let too_late = |until: Duration| until + until / 4 >= age;
        let is_paused = self.pause.as_ref().is_some_and(|pause| too_late(pause.until));
        // An operator who nudges an order that lay for longer than the time-out finds it timed out at its next check.
        let is_forgotten = self.loses_everything_after.is_some() && !self.keeps_order_deadline && too_late(self.lost_for);
        is_paused || is_forgotten || self.bad_deployment.as_ref().is_some_and(|bad| too_late(bad.until))
    }
}

impl fmt::Display for Scenario {
    /// The plan, a line for each of its parts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault_rates, stock, customers, bad_deployment, loses_everything_after, keeps_order_deadline, pause, lost_for, .. } =
            self;
        write!(f, "in stock {stock:?}; up to {} faults, {} of a thousand chances", fault_rates.faults, fault_rates.per_mille)?;
        for Customer { order, places_after, is_impatient, cancels_after, .. } in customers {
            let (lines, card) = (&order["lines"], &order["payment_method"]);
            write!(f, "\n{:>12}a customer orders {lines} with {card} after {places_after:?}", "")?;
            write!(f, "{}", if *is_impatient { ", twice at once" } else { "" })?;
            cancels_after.iter().try_for_each(|after| write!(f, ", and cancels {after:?} later"))?;
        }
        if let Some(BadDeployment { mapping, from, until }) = bad_deployment {
            write!(f, "\n{:>12}a bad deployment of function {mapping} from {from:?} until {until:?}", "")?;
        }
        if let Some(calls) = self.provider_calls_per_second {
            write!(f, "\n{:>12}the provider takes {calls} calls a second", "")?;
        }
        if let Some((from, until)) = self.provider_away {
            write!(f, "\n{:>12}something else answers in the provider's place from {from:?} until {until:?}", "")?;
        }
        if let Some(Pause { mapping, until }) = pause {
            write!(f, "\n{:>12}function {mapping} is switched off until {until:?}", "")?;
        }
        let rest = if *keeps_order_deadline {
            "but for order-deadline's messages".to_owned()
        } else {
            format!("and nobody looks for {lost_for:?}")
        };
        loses_everything_after.iter().try_for_each(|after| write!(f, "\n{:>12}everything is lost after {after:?}, {rest}", ""))
    }
}

fn customer(rng: &mut fastrand::Rng) -> Customer {
    let payment_method = match rng.u32(0..100) {
        0..60 => card::GOOD.to_owned(),
        60..70 => card::DECLINED.to_owned(),
        70..75 => card::UNKNOWN.to_owned(),
        75..81 => card::UNCAPTURABLE.to_owned(),
        81..83 => card::ASKS.to_owned(),
        // Its bank comes back before the first try, between two, or after the last.
        83..88 => format!("{}{}", card::CONFIRMS_AFTER_S, rng.u32(CONFIRMS_AFTER_S)),
        // The same within an hour, or within days and perhaps too late.
        88..91 => format!("{}{}", card::CAPTURES_AFTER_S, rng.u32(0..3600)),
        91..94 => format!("{}{}", card::CAPTURES_AFTER_S, rng.u32(CAPTURES_AFTER_S)),
        // Too short to ship, so short that the capture may come too late, or just long enough.
        _ => format!("{}{}", card::HOLDS_FOR_S, rng.u32(HOLD_S)),
    };
    let skus = match rng.u32(0..4) {
        0 => &SKUS[..],
        1 => &SKUS[1..],
        _ => &SKUS[..1],
    };
    let lines: Vec<_> = skus.iter().map(|sku| (*sku, rng.u32(1..3))).collect();
    Customer {
        key: key_of(rng.u128(..)),
        order: order(&lines, &payment_method),
        places_after: within(rng, ORDERS_WITHIN),
        is_impatient: rng.u32(0..10) == 0,
        cancels_after: match rng.u32(0..100) {
            0..28 => Some(within(rng, ORDERS_WITHIN)),
            28..32 => Some(within(rng, Duration::from_secs(30 * 60))),
            _ => None,
        },
    }
}

fn within(rng: &mut fastrand::Rng, limit: Duration) -> Duration {
    Duration::from_millis(rng.u64(0..u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)))
}
