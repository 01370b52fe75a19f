//! Many runs, on all cores, until one breaks a promise.

use super::{Outcome, Wiring, run};
use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// How often progress is reported.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// What all runs together came to.
#[derive(Debug, Default)]
pub struct Sum {
    /// How many were made.
    pub runs: u64,
    /// Stored orders.
    pub orders: u64,
    /// Invocations of functions.
    pub invocations: u64,
    /// How orders ended.
    pub ends: BTreeMap<&'static str, u64>,
    /// What went wrong, by kind.
    pub faults: BTreeMap<String, u64>,
    /// A seed that breaks a promise.
    pub broken: Option<u64>,
}

impl Sum {
    fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.runs += 1;
        self.orders += outcome.orders as u64;
        self.invocations += outcome.invocations;
        for (end, count) in &outcome.ends {
            *self.ends.entry(end).or_default() += count;
        }
        for (fault, count) in &outcome.faults {
            *self.faults.entry(format!("{fault:?}")).or_default() += count;
        }
        if !outcome.violations.is_empty() {
            self.broken.get_or_insert(seed);
        }
    }
}

/// Runs every seed, or until one breaks a promise; `watch` hears now and then how many were made.
///
/// # Errors
/// Only where the machine gives no timer.
pub fn many(wiring: &Wiring, seeds: Range<u64>, mut watch: impl FnMut(u64)) -> io::Result<Sum> {
    let (next, done, stop) = (AtomicU64::new(seeds.start), AtomicU64::new(0), AtomicBool::new(false));
    let sum = Mutex::new(Sum::default());
    let work = || -> io::Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let outcome = run(wiring, seed, false)?;
            done.fetch_add(1, Ordering::Relaxed);
            stop.fetch_or(!outcome.violations.is_empty(), Ordering::Relaxed);
            sum.lock().unwrap_or_else(PoisonError::into_inner).add(seed, &outcome);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        while workers.iter().any(|worker| !worker.is_finished()) {
            thread::park_timeout(TELL_EVERY);
            watch(done.load(Ordering::Relaxed));
        }
        let ended = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked"))));
        ended.collect::<io::Result<()>>()
    })?;
    Ok(sum.into_inner().unwrap_or_else(PoisonError::into_inner))
}
