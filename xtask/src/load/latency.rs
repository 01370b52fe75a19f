//! Percentiles of what customers waited. Pure: times in, figures out, in whole milliseconds and three significant digits.

use crate::load::Timeline;
use crate::load::arrivals::Times;
use anyhow::Result;
use hdrhistogram::Histogram;
use std::time::Duration;

/// Three digits: a figure is at most a thousandth above what was measured, which is less than two runs differ by.
const DIGITS: u8 = 3;

/// The figures of one kind of wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Percentiles {
    pub p50: Duration,
    pub p90: Duration,
    pub p99: Duration,
    pub max: Duration,
}

impl Percentiles {
    /// [`None`] of nothing.
    fn of(waits: impl Iterator<Item = Duration>) -> Result<Option<Self>> {
        let mut histogram = Histogram::<u64>::new(DIGITS)?;
        for wait in waits {
            histogram.record(u64::try_from(wait.as_millis())?)?;
        }
        let at = |quantile| Duration::from_millis(histogram.value_at_quantile(quantile));
        let max = Duration::from_millis(histogram.max());
        Ok((!histogram.is_empty()).then(|| Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), max }))
    }
}

/// What customers waited for, and how long, in the order of a table.
pub fn table(orders: &[(Times, Timeline)]) -> Result<Vec<(&'static str, Option<Percentiles>)>> {
    let all = |wait: fn(&(Times, Timeline)) -> Option<Duration>| Percentiles::of(orders.iter().filter_map(wait));
    Ok(vec![
        ("due → 202", all(|(times, _)| Some(times.accepted.saturating_sub(times.due)))?),
        // What somebody measures who starts the clock when there is a connection for the order.
        ("  sent → 202, uncorrected", all(|(times, _)| Some(times.accepted.saturating_sub(times.sent)))?),
        // Shipping may be as quick as the answer's way back: then this is nothing.
        ("202 → shipped", all(|(times, timeline)| Some(timeline.shipped?.saturating_sub(times.accepted)))?),
        ("due → shipped", all(|(times, timeline)| Some(timeline.shipped?.saturating_sub(times.due)))?),
        ("due → captured and committed", all(|(times, timeline)| Some(timeline.ended?.saturating_sub(times.due)))?),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_waits() {
        let of = |waits: &[u64]| Percentiles::of(waits.iter().copied().map(ms)).unwrap();
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some(Percentiles { p50: ms(7), p90: ms(7), p99: ms(7), max: ms(7) }));
        let hundred: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(of(&hundred), Some(Percentiles { p50: ms(50), p90: ms(90), p99: ms(99), max: ms(100) }));
        let long = of(&[3_600_000]).unwrap().max;
        assert!(long >= ms(3_600_000) && long <= ms(3_603_600), "three digits of an hour: {long:?}");
    }

    /// An order is due every 10 ms, and takes 1 ms, at a server with room for one; at one second the server pauses for one.
    fn stalled() -> Vec<(Times, Timeline)> {
        let mut free = 0;
        let orders = (0..300).map(|place| {
            let due = place * 10;
            let sent = free.max(due);
            free = sent + if place == 100 { 1000 } else { 1 };
            (Times { due: ms(due), sent: ms(sent), accepted: ms(free) }, Timeline { shipped: Some(ms(free + 5)), ended: None })
        });
        orders.collect()
    }

    #[test]
    fn a_standstill_counts_for_every_order_due_in_that_time() {
        let table = table(&stalled()).unwrap();
        let row = |name: &str| table.iter().find(|(title, _)| title.contains(name)).unwrap().1;
        let (corrected, uncorrected) = (row("due → 202").unwrap(), row("uncorrected").unwrap());
        assert_eq!((uncorrected.p90, uncorrected.p99, uncorrected.max), (ms(1), ms(1), ms(1000)), "one order in 300 saw it");
        assert_eq!(corrected.max, ms(1000));
        assert!(corrected.p90 > ms(700), "a third of the orders was due while the server paused: {corrected:?}");
        assert!(row("due → shipped").unwrap().p90 > ms(700));
        assert_eq!(row("202 → shipped").unwrap().max, ms(5));
        assert_eq!(row("captured"), None, "none has ended");
    }
}
