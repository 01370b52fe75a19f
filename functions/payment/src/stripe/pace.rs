//! How fast payment calls the provider: each process takes its share of what Stripe allows the account.
//!
//! The client asks before each call. It does not make up for lost time, for a limit of calls a second knows no yesterday,
//! and it does not wait for long: a message that would have to comes again later.

use std::{cell::Cell, fmt, num::NonZeroU32, str::FromStr, time::Duration};
use tokio::time::{Instant, sleep_until};

/// Of a limit, this much in a hundred is used: the rest is left to people at the dashboard, to other programs of the account,
/// and to calls that take a little longer than the one before them, and so arrive concurrently.
const USED_PERCENT: u32 = 90;

/// The longest that a call waits for its turn. Ten records of a batch at 4.5 calls a second and process are through in two
/// seconds; a message that would wait longer is better off in its queue, where it costs no processor time.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long nothing is sent after the provider has said that it was too much, where it does not say how long.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause that is believed. More is for an operator to see, and for messages to wait for in their queue.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A number of the configuration that is at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtLeastOne(NonZeroU32);

impl Default for AtLeastOne {
    fn default() -> Self {
        Self(NonZeroU32::MIN)
    }
}

impl From<NonZeroU32> for AtLeastOne {
    fn from(number: NonZeroU32) -> Self {
        Self(number)
    }
}

impl FromStr for AtLeastOne {
    type Err = std::num::ParseIntError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// What Stripe allows, and how many share it.
///
/// <https://docs.stripe.com/rate-limits>, as copied on 2026-04-30: 100 calls a second of the whole account in live mode, 25 in
/// a sandbox, and 25 of each endpoint in both, where each named operation is an endpoint, whatever PaymentIntent it is about.
/// Stripe raises them on request. Older copies count reads and writes apart.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Calls a second, of the account.
    pub account: AtLeastOne,
    /// Calls a second, of each endpoint.
    pub endpoint: AtLeastOne,
    /// Most processes at once: `MaximumConcurrency` of the queue's mapping.
    pub processes: AtLeastOne,
}

/// An endpoint, as the limits count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// `POST /v1/payment_intents`
    Create,
    /// `GET /v1/payment_intents/{id}`
    Look,
    /// `POST /v1/payment_intents/{id}/confirm`
    Confirm,
    /// `POST /v1/payment_intents/{id}/capture`
    Capture,
    /// `POST /v1/payment_intents/{id}/cancel`
    Cancel,
}

/// Whose limit was reached, by the header `Stripe-Rate-Limited-Reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reached {
    /// `global-rate`, `global-concurrency`
    Account,
    /// `endpoint-rate`, `endpoint-concurrency`
    Endpoint,
}

/// When the next calls may go out. It lives as long as the process, so that one batch does not begin on the other's time.
///
/// A bucket of one token each for the account and every endpoint: calls are spaced evenly, and in no second do all
/// processes together send more than the limit. A single order, whose calls are of different endpoints, is not held up.
#[derive(Debug)]
pub struct Pace {
    account: Turns,
    endpoints: [Turns; 5],
}

impl Pace {
    /// A process's share.
    pub fn share(limits: Limits) -> Self {
        let Limits { account, endpoint, processes } = limits;
        let every = |limit: AtLeastOne| Duration::from_secs(100) * processes.0.get() / limit.0.get() / USED_PERCENT;
        let turns = |every| Turns { every, next: Cell::new(None) };
        Self { account: turns(every(account)), endpoints: std::array::from_fn(|_| turns(every(endpoint))) }
    }

    /// As fast as it goes: for tests with paused time.
    pub fn unlimited() -> Self {
        let turns = || Turns { every: Duration::ZERO, next: Cell::new(None) };
        Self { account: turns(), endpoints: std::array::from_fn(|_| turns()) }
    }

    /// Waits for the turn of a call.
    ///
    /// # Errors
    /// That it would take too long, and how long.
    pub(super) async fn turn(&self, endpoint: Endpoint) -> Result<(), Duration> {
        let now = Instant::now();
        let turns = &self.endpoints[endpoint as usize];
        let at = turns.from(self.account.from(now));
        if at - now > PATIENCE {
            return Err(at - now);
        }
        // The account's turn first, then the endpoint's, which is not before it. A caller that times out has used its turn.
        turns.take(self.account.take(now));
        if at > now {
            sleep_until(at).await;
        }
        Ok(())
    }

    /// Nothing more for a while: the provider has said so. Returns for how long.
    pub(super) fn slow_down(&self, endpoint: Endpoint, reached: Reached, retry_after: Option<Duration>) -> Duration {
        let pause = retry_after.unwrap_or(PAUSE).clamp(PAUSE, PAUSE_MAX);
        let turns = match reached {
            Reached::Account => &self.account,
            Reached::Endpoint => &self.endpoints[endpoint as usize],
        };
        let until = Instant::now() + pause;
        turns.next.set(Some(turns.from(until)));
        pause
    }
}

/// The turns of one limit.
struct Turns {
    /// How far apart they are.
    every: Duration,
    /// The first that is not taken.
    next: Cell<Option<Instant>>,
}

impl Turns {
    /// The first turn that is not before `moment`.
    fn from(&self, moment: Instant) -> Instant {
        self.next.get().map_or(moment, |next| next.max(moment))
    }
    /// Takes it.
    fn take(&self, moment: Instant) -> Instant {
        let turn = self.from(moment);
        self.next.set(Some(turn + self.every));
        turn
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns").field("every", &self.every).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;

    fn limits(account: u32, endpoint: u32, processes: u32) -> Limits {
        let [account, endpoint, processes] = [account, endpoint, processes].map(|n| n.to_string().parse().unwrap());
        Limits { account, endpoint, processes }
    }

    /// Batch after batch of every process, each call followed by the next one of its order: in no second is a limit passed.
    #[tokio::test(start_paused = true)]
    async fn all_processes_together_stay_below_each_limit() {
        for (account, endpoint, processes, orders_a_second) in [(100, 25, 5, 22.5), (25, 25, 2, 7.5), (500, 125, 20, 112.5)] {
            let paces: Vec<_> = (0..processes).map(|_| Pace::share(limits(account, endpoint, processes))).collect();
            let (start, calls) = (Instant::now(), std::cell::RefCell::new(Vec::new()));
            let orders_each = 40;
            let order = async |pace: &Pace| {
                for endpoint in [Endpoint::Create, Endpoint::Confirm, Endpoint::Capture] {
                    while pace.turn(endpoint).await.is_err() {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    calls.borrow_mut().push((start.elapsed(), endpoint));
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            };
            let lanes = paces.iter().flat_map(|pace| (0..10).map(move |_| pace));
            join_all(lanes.map(async |pace| {
                for _ in 0..orders_each / 10 {
                    order(pace).await
                }
            }))
            .await;
            let took = start.elapsed().as_secs_f64();
            let mut calls = calls.into_inner();
            calls.sort_by_key(|(at, _)| *at);
            for (n, (at, first)) in calls.iter().enumerate() {
                let second: Vec<_> = calls[n..].iter().take_while(|(other, _)| *other - *at < Duration::from_secs(1)).collect();
                assert!(second.len() <= account as usize, "{} calls in the second from {at:?}", second.len());
                let alike = second.iter().filter(|(_, other)| other == first).count();
                assert!(alike <= endpoint as usize, "{alike} × {first:?} in the second from {at:?}");
            }
            let rate = f64::from(orders_each * processes) / took;
            assert!(rate > 0.6 * orders_a_second && rate <= orders_a_second * 1.1, "{rate} orders a second of {orders_a_second}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_single_order_never_waits() {
        let pace = Pace::share(limits(25, 25, 2));
        let start = Instant::now();
        for endpoint in [Endpoint::Create, Endpoint::Confirm, Endpoint::Look, Endpoint::Capture] {
            pace.turn(endpoint).await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await; // what a call takes at the least
        }
        assert_eq!(start.elapsed(), Duration::from_millis(400));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_back_what_reached_the_limit_and_nothing_else() {
        let pace = Pace::share(limits(100, 25, 5));
        let start = Instant::now();
        assert_eq!(pace.slow_down(Endpoint::Capture, Reached::Endpoint, None), PAUSE);
        pace.turn(Endpoint::Create).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        pace.turn(Endpoint::Capture).await.unwrap();
        assert_eq!(start.elapsed(), PAUSE);
        assert_eq!(pace.slow_down(Endpoint::Capture, Reached::Account, Some(Duration::from_secs(3))).as_secs(), 3);
        pace.turn(Endpoint::Cancel).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 4);
        // A pause that is longer than anybody waits is not waited for.
        assert_eq!(pace.slow_down(Endpoint::Look, Reached::Account, Some(Duration::from_secs(3_600))), PAUSE_MAX);
        assert!(pace.turn(Endpoint::Look).await.unwrap_err() > PATIENCE);
        assert_eq!(start.elapsed().as_secs(), 4, "it said so at once");
    }

    #[test]
    fn a_limit_of_nothing_is_refused() {
        assert!("0".parse::<AtLeastOne>().is_err() && "".parse::<AtLeastOne>().is_err() && "-1".parse::<AtLeastOne>().is_err());
        assert_eq!("25".parse::<AtLeastOne>().unwrap().0.get(), 25);
    }
}
