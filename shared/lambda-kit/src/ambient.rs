//! The two things that no decision may fetch for itself: the time and randomness.

use jiff::Timestamp;
use lambda_runtime::Context;
use std::time::Duration;
use tokio::time::Instant;

/// Clock and random numbers. An argument everywhere, so that tests and simulations own them.
pub trait Ambient {
    /// The time, in whole milliseconds: what is stored and what is published must be the same to the digit.
    fn now(&self) -> Timestamp;
    /// 64 random bits.
    fn random(&self) -> u64;
}

/// When Lambda ends an invocation, on the clock that timers go by.
pub fn deadline(ambient: &impl Ambient, context: &Context) -> Instant {
    let now = u64::try_from(ambient.now().as_millisecond()).unwrap_or(0);
    Instant::now() + Duration::from_millis(context.deadline.saturating_sub(now))
}

/// The machine's clock and RNG.
#[derive(Debug, Clone, Copy, Default)]
pub struct Real;

impl Ambient for Real {
    #[expect(clippy::disallowed_methods, reason = "the one place where the real clock comes in")]
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }
    fn random(&self) -> u64 {
        fastrand::u64(..)
    }
}

impl<A: Ambient + ?Sized> Ambient for &A {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
    fn random(&self) -> u64 {
        (**self).random()
    }
}
