//! How long a message waits before it is tried again.

use std::time::Duration;

/// The first wait: long enough for a throttle or a lost race to pass, short enough that nobody notices.
pub const BACK_OFF_FIRST: Duration = Duration::from_secs(2);
/// The longest wait: an outage of hours costs four tries an hour, and its end is noticed within a quarter of one.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(15 * 60);

/// The wait after the `attempt`th receive (1 at first): [`BACK_OFF_FIRST`], doubling to [`BACK_OFF_MAX`], of which the upper
/// half is drawn from `random`, so that messages that failed together do not come back together.
///
/// In whole seconds, as SQS takes them.
pub fn back_off(attempt: u32, random: u64) -> Duration {
    let doublings = attempt.saturating_sub(1).min(16); // 2 s × 2^16 is far above the cap, and cannot overflow
    let ceiling = (BACK_OFF_FIRST.as_secs() << doublings).min(BACK_OFF_MAX.as_secs());
    let floor = ceiling / 2;
    Duration::from_secs(floor + random % (ceiling - floor + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(attempt: u32) -> (u64, u64) {
        let waits: Vec<_> = (0..10_000).map(|random| back_off(attempt, random).as_secs()).collect();
        (*waits.iter().min().unwrap(), *waits.iter().max().unwrap())
    }

    #[test]
    fn waits_start_at_two_seconds_and_double_to_a_quarter_of_an_hour() {
        let expected = [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900];
        for (attempt, ceiling) in (1..).zip(expected) {
            assert_eq!(range(attempt), (ceiling / 2, ceiling), "attempt {attempt}");
        }
        assert_eq!(range(0), (1, 2), "an attempt that SQS did not count");
        assert_eq!(range(u32::MAX), (450, 900));
    }

    #[test]
    fn the_upper_half_of_a_wait_is_spread_evenly() {
        let mut seen = [0u32; 9];
        for random in 0..9_000 {
            seen[usize::try_from(back_off(4, random).as_secs()).unwrap() - 8] += 1;
        }
        assert!(seen.iter().all(|&count| count == 1_000), "{seen:?}");
    }
}
