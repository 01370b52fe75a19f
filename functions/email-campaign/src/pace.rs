//! How fast a campaign sends: its share of what SES grants the account.
//!
//! [`EmailCampaign`](crate::EmailCampaign) asks before each claim. It does not make up for lost time: who waited for
//! something else may not send the faster for it, for the account's rate knows no yesterday.

use crate::ledger::CHUNK_MAX;
use std::time::Duration;
use tokio::time::Instant;

/// Into how many parts the account's rate is divided; a worker on a campaign takes one. Half of the rate is left to mail
/// about orders, which somebody waits for, and the other half to the two invocations that the queue's mapping allows at once
/// (`MaximumConcurrency: 2`, the least that Lambda knows).
pub const PARTS: u32 = 2 * WORKERS_MAX;
/// Most invocations at once.
const WORKERS_MAX: u32 = 2;

/// A worker's share of the account's rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How long a mail takes up.
    pub per_mail: Duration,
    /// Most recipients in one call: what the share sends in a second, for SES refuses of one call what is beyond the
    /// account's rate (<https://docs.aws.amazon.com/ses/latest/APIReference/API_SendBulkTemplatedEmail.html>).
    pub at_once: usize,
}

impl Share {
    /// The share of an account that may send `per_second` mails a second. An account that says less than one is read as the
    /// sandbox's, which is one.
    pub fn of(per_second: u32) -> Self {
        let per_second = per_second.max(1);
        let at_once = usize::try_from(per_second / PARTS).unwrap_or(CHUNK_MAX).clamp(1, CHUNK_MAX);
        Self { per_mail: Duration::from_secs(PARTS.into()) / per_second, at_once }
    }
}

/// When the next call may go out. Kept as long as the process lives, so that one slice does not begin on the other's time.
#[derive(Debug, Default)]
pub struct Pace {
    due: Option<Instant>,
}

impl Pace {
    /// The moment from which on a call may go out.
    pub fn due(&self, now: Instant) -> Instant {
        self.due.map_or(now, |due| due.max(now))
    }

    /// Notes that a call with `mails` recipients goes out at `now`.
    pub fn spend(&mut self, now: Instant, mails: usize, share: Share) {
        let mails = u32::try_from(mails).unwrap_or(u32::MAX);
        self.due = Some(self.due(now) + share.per_mail.saturating_mul(mails));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_quarter_of_the_rate_at_most_a_chunk() {
        let of = |per_second| {
            let Share { per_mail, at_once } = Share::of(per_second);
            (per_mail.as_micros(), at_once)
        };
        assert_eq!(of(14), (285_714, 3));
        assert_eq!(of(200), (20_000, 50));
        assert_eq!(of(1_000), (4_000, 50));
        assert_eq!(of(1), (4_000_000, 1), "the sandbox");
        assert_eq!(of(0), of(1), "an account that says nothing sensible");
        assert_eq!(of(u32::MAX).1, 50);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_sent_in_time_is_not_sent_faster_later() {
        let (mut pace, share, start) = (Pace::default(), Share::of(4), Instant::now());
        assert_eq!(pace.due(start), start);
        pace.spend(start, 3, share);
        assert_eq!(pace.due(start) - start, Duration::from_secs(3));
        let late = start + Duration::from_secs(60);
        assert_eq!(pace.due(late), late);
        pace.spend(late, 1, share);
        assert_eq!(pace.due(late) - late, Duration::from_secs(1));
    }
}
