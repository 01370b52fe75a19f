//! Reading a queue from one end to the other, which SQS does not offer.
//!
//! A message that was read is hidden for a lease, so that the next receive gives another. Read to the end, everything that
//! is still there is made visible at once; a process that dies on the way leaves it hidden for the rest of the lease. The
//! ids of what was read are remembered, so that a message that comes back is not counted twice.
//!
//! SQS locks a FIFO group while one of its messages is hidden. So at the end of a FIFO queue everything is made visible and read
//! once more, as long as that brings something new: what lay behind messages that have gone since.
//!
//! In memory: eight bytes and a tree's share for each id, of at most [`READ_MAX`], and a receipt for each message held, of at most
//! [`HELD_MAX`]; together under 20 MB. Bodies are gone when their page is.

use super::{
    ports::{PAGE_MAX, Queues, ReceivedMessage},
    stack::DeadLetterQueue,
};
use crate::seen::{READ_MAX, Seen, hash};
use futures_util::{StreamExt as _, future::join_all, stream};
use lambda_kit::Failure;
use std::{collections::BTreeMap, time::Duration};

/// Most receipts that are kept, to make their messages visible at the end. What is beyond waits for its lease.
pub const HELD_MAX: usize = 20_000;
/// How many releases are under way at once.
const RELEASES: usize = 8;

/// How long a message stays hidden that was read from a queue of this depth: ten seconds, and what reading so many takes at a
/// slow 500 a second, up to a quarter of an hour.
pub fn lease(depth: u64) -> Duration {
    Duration::from_secs((10 + depth / 500).min(900))
}

/// A walk through a queue.
#[derive(Debug)]
pub struct Walk<'p, Q> {
    queues: &'p Q,
    url: &'p str,
    fifo: bool,
    /// How long what is read stays hidden.
    pub lease: Duration,
    /// Messages that were read and are still there, in this invocation or before it.
    pub seen: Seen,
    held: BTreeMap<u64, String>,
    again: usize,
    is_new: bool,
}

impl<'p, Q: Queues> Walk<'p, Q> {
    /// Begins, or goes on where `seen` was read.
    pub fn new(queues: &'p Q, queue: &'p DeadLetterQueue, lease: Duration, seen: Seen) -> Self {
        Self { queues, url: &queue.url, fifo: queue.is_fifo(), lease, seen, held: BTreeMap::new(), again: 0, is_new: false }
    }

    /// The next messages, up to `most` from each of so many receives concurrently; [`None`] at the end.
    ///
    /// # Errors
    /// Where a receive failed.
    pub async fn page(&mut self, most: usize, receives: usize) -> Result<Option<Vec<ReceivedMessage>>, Failure> {
        while self.seen.len() < READ_MAX {
            let calls = (0..receives.max(1)).map(|_| self.queues.receive(self.url, most.clamp(1, PAGE_MAX), self.lease));
            let answers = join_all(calls).await;
            let mut failed = None;
            let mut received = Vec::new();
            for answer in answers {
                match answer {
                    Ok(page) => received.extend(page),
                    Err(failure) => failed = Some(failure),
                }
            }
            // Also of what came beside a failure: it is hidden.
            for received in &received {
                if self.held.len() < HELD_MAX {
                    self.held.insert(hash(&received.message_id), received.receipt.clone());
                }
            }
            if let Some(failure) = failed {
                return Err(failure);
            }
            if received.is_empty() {
                if !self.fifo || !self.is_new {
                    return Ok(None);
                }
                (self.is_new, self.again) = (false, 0);
                self.end().await?;
                continue;
            }
            let read = received.len();
            received.retain(|received| self.seen.insert(&received.message_id));
            self.again += read - received.len();
            if !received.is_empty() {
                self.is_new = true;
                return Ok(Some(received));
            }
            // Leases run out faster than the end is reached: everything was read once, as far as can be told.
            if self.again > self.seen.len() + 10 * PAGE_MAX {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// A message is gone from the queue.
    pub fn gone(&mut self, message_id: &str) {
        self.held.remove(&hash(message_id));
        self.seen.remove(message_id);
    }

    /// A message was read in vain: it is to be read again.
    pub fn forget(&mut self, message_id: &str) {
        self.seen.remove(message_id);
    }

    /// Makes messages visible again.
    ///
    /// # Errors
    /// Where a call failed; its messages wait for their lease.
    pub async fn release(&mut self, message_ids: &[String]) -> Result<(), Failure> {
        let receipts: Vec<_> = message_ids.iter().filter_map(|id| self.held.remove(&hash(id))).collect();
        self.release_all(receipts).await
    }

    /// Makes everything visible that is held.
    ///
    /// # Errors
    /// Where a call failed; its messages wait for their lease.
    pub async fn end(&mut self) -> Result<(), Failure> {
        let receipts: Vec<_> = std::mem::take(&mut self.held).into_values().collect();
        self.release_all(receipts).await
    }

    async fn release_all(&self, receipts: Vec<String>) -> Result<(), Failure> {
        let calls = stream::iter(receipts.chunks(PAGE_MAX)).map(|chunk| self.queues.release(self.url, chunk));
        let answers: Vec<_> = calls.buffer_unordered(RELEASES).collect().await;
        answers.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_grows_with_the_depth_and_has_an_end() {
        assert_eq!([lease(0), lease(10_000), lease(u64::MAX)].map(|lease| lease.as_secs()), [10, 30, 900]);
    }
}
