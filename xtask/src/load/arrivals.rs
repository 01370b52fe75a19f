//! Orders that arrive when they are due. Every one has an idempotency key of its own; a request that is answered with
//! nothing that says something is sent again under the same key, as every client should, and its time runs on. It does not
//! wait for an answer before the next order is due: that would ask the shop how fast it wants to be asked.

use crate::chaos::Tally;
use crate::chaos::customers::{Accepted, persist};
use crate::chaos::plan::Planned;
use anyhow::{Context, Result, ensure};
use std::rc::Rc;
use std::time::{Duration, Instant};
use testkit::shop;
use testkit::stack::Stack;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

/// Requests open at once. The engine starts a process for each that finds none idle, and more than a few at a time only slow
/// each other down on a small machine. An order that finds none free waits, and its time has begun: it counts from when it was
/// due, as its customer would count it. That is the correction for coordinated omission, and here it is all of it.
const OPEN_MAX: usize = 16;

/// When orders are due.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    pub start: Instant,
    /// A second; 0: all of them at the start.
    pub rate: u32,
}

impl Schedule {
    /// When the order at this place is due, after the start.
    pub fn due(&self, place: usize) -> Duration {
        let place = u64::try_from(place).unwrap_or(u64::MAX);
        match u64::from(self.rate) {
            0 => Duration::ZERO,
            // From the start each, so that no error adds up.
            rate => Duration::from_millis(place.saturating_mul(1000) / rate),
        }
    }
}

/// What the HTTP API did with an order, as its customer timed it, after the start.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub due: Duration,
    pub sent: Duration,
    pub accepted: Duration,
}

/// The outcome of the orders at the HTTP API.
#[derive(Default)]
pub struct Served {
    pub accepted: Vec<Accepted>,
    /// Of each of `accepted`, in its order.
    pub times: Vec<Times>,
    /// Why each of the others was not.
    pub refused: Vec<String>,
}

/// Places each order when it is due, and waits until each was answered, at the latest a little after `deadline`.
pub async fn serve(stack: &Stack, orders: &[Planned], schedule: Schedule, tally: &Rc<Tally>, deadline: Instant) -> Result<Served> {
    let door = Door { stack: stack.clone(), turns: Rc::new(Semaphore::new(OPEN_MAX)), tally: Rc::clone(tally), schedule, deadline };
    let serving = async {
        let mut customers = JoinSet::new();
        for (place, planned) in orders.iter().enumerate() {
            tokio::time::sleep_until((schedule.start + schedule.due(place)).into()).await;
            customers.spawn_local(door.clone().place(place, planned.clone()));
        }
        let mut served = Served::default();
        while let Some(customer) = customers.join_next().await {
            match customer.context("a customer's task was cancelled")? {
                Ok((accepted, times)) => {
                    served.accepted.push(accepted);
                    served.times.push(times);
                }
                Err(why) => served.refused.push(format!("{why:#}")),
            }
        }
        Ok(served)
    };
    LocalSet::new().run_until(serving).await
}

/// The HTTP API as customers meet it.
#[derive(Clone)]
struct Door {
    stack: Stack,
    turns: Rc<Semaphore>,
    tally: Rc<Tally>,
    schedule: Schedule,
    deadline: Instant,
}

impl Door {
    async fn place(self, place: usize, planned: Planned) -> Result<(Accepted, Times)> {
        let turn = self.turns.acquire().await?;
        let sent = self.schedule.start.elapsed();
        let body = shop::order_with(&planned.key, &planned.lines, planned.payment_method);
        let answer = persist(&self.tally, self.deadline, async || self.stack.post_order(&planned.key, &body).await).await?;
        let accepted = self.schedule.start.elapsed();
        drop(turn);
        ensure!(answer.status == 202, "POST /orders was answered with {}: {}", answer.status, answer.body);
        self.tally.accepted();
        let order_id = answer.json()?["order_id"].as_str().context("a 202 without an order_id")?.to_owned();
        Ok((Accepted { order_id, planned }, Times { due: self.schedule.due(place), sent, accepted }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_due_at_an_even_pace_that_does_not_drift() {
        let due = |rate, place| Schedule { start: Instant::now(), rate }.due(place);
        assert_eq!((due(4, 0), due(4, 1), due(4, 4)), (Duration::ZERO, Duration::from_millis(250), Duration::from_secs(1)));
        assert_eq!((due(3, 1), due(3, 3000)), (Duration::from_millis(333), Duration::from_secs(1000)));
    }

    #[test]
    fn without_a_rate_all_orders_are_due_at_the_start() {
        let schedule = Schedule { start: Instant::now(), rate: 0 };
        assert_eq!((schedule.due(0), schedule.due(19_999)), (Duration::ZERO, Duration::ZERO));
    }
}
