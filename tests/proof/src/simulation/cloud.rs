//! The account in which a run takes place.

use super::{functions::TABLES, scenario::Scenario, wiring::Wiring};
use domain::{Timestamp, deadline::Deadlines};
use jiff::SignedDuration;
use lambda_kit::dynamodb::{number, string};
use simulated_cloud::{Caller, Draws, Invocation, dynamodb::Tables, messaging::Messaging, stripe::Bank};
use std::{cell::Cell, sync::Arc, time::Duration};

/// What Stripe allows a sandbox, far more than a run makes.
const SANDBOX_CALLS_PER_SECOND: u32 = 25;

/// Everything that outlives an invocation.
#[derive(Debug)]
pub struct Cloud {
    /// Chance, time and the story.
    pub draws: Arc<Draws>,
    /// DynamoDB.
    pub tables: Tables,
    /// SNS and SQS.
    pub messaging: Messaging,
    /// Stripe.
    pub bank: Bank,
    /// How many calls a second payment believes that it takes.
    pub provider_calls_per_second: u32,
    /// When order-deadline does what.
    pub deadlines: Deadlines,
    /// How long an order waits for units that others hold.
    pub stock_wait: Duration,
    /// How long `order-intake` may take.
    pub intake_timeout: Duration,
    /// Invocations so far.
    pub invocations: Cell<u64>,
}

impl Cloud {
    /// A fresh account, with `scenario`'s stock.
    pub fn new(wiring: &Wiring, scenario: &Scenario, draws: Arc<Draws>) -> Self {
        let tables = Tables::default();
        for (name, key) in TABLES {
            tables.create(name, key);
        }
        for (sku, units) in &scenario.stock {
            tables.seed("stock", sku, [("sku".to_owned(), string(*sku)), ("available".to_owned(), number(*units))].into());
        }
        let [nudge_after, time_out_after, park_after] = wiring.deadlines_s.map(|seconds| SignedDuration::from_secs(seconds.into()));
        let calls_per_second = scenario.provider_calls_per_second;
        let bank = calls_per_second.map_or_else(Bank::default, Bank::limited);
        let bank = match scenario.provider_away {
            Some((from, until)) => bank.away(lambda_kit::Ambient::now(&*draws) + from..lambda_kit::Ambient::now(&*draws) + until),
            None => bank,
        };
        Self {
            tables,
            messaging: Messaging::new(Arc::clone(&draws), &wiring.queues, &wiring.subscriptions),
            bank,
            provider_calls_per_second: calls_per_second.unwrap_or(SANDBOX_CALLS_PER_SECOND),
            deadlines: Deadlines { nudge_after, time_out_after, park_after },
            stock_wait: wiring.stock_wait,
            intake_timeout: wiring.intake_timeout,
            invocations: Cell::new(0),
            draws,
        }
    }

    /// A new process of `function`.
    pub fn start(&self, function: &str) -> Caller {
        self.invocations.set(self.invocations.get() + 1);
        let number = self.invocations.get();
        Caller { draws: Arc::clone(&self.draws), invocation: Invocation::new(format!("{function}#{number}")) }
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        lambda_kit::Ambient::now(&*self.draws)
    }
}
