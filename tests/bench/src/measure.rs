//! Measures a case: some cold starts, then one function kept warm.
//!
//! `main.rs` runs it over [`cases`](crate::cases). It does not average away what is rare: of cold starts it gives the
//! median, of warm invocations the median and the 99th percentile, and a case in which anything failed gives nothing.

use crate::{
    aws::{Aws, Counted},
    cases::{Case, Sample},
    function::{Bootstrap, Function, require_success},
    package,
    report::{Effort, Row},
    share::Cgroups,
};
use anyhow::{Context as _, Result};
use lambda_kit::{Ambient as _, Real};
use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

/// A case in one size.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Memory, and so the share of the processor.
    pub memory_mb: u64,
    /// Messages in an invocation.
    pub batch: u64,
}

/// What measuring needs.
#[derive(Debug)]
pub struct Bench {
    /// The stub.
    pub aws: Aws,
    /// How functions are held to their share; where they cannot be, they run at full speed.
    pub cgroups: Option<Cgroups>,
    /// How much is measured.
    pub effort: Effort,
    /// How long a warm function rests between two invocations.
    pub pause: Duration,
    /// The number of the next message: none is used twice in a run.
    next_message: u64,
    /// Sizes of archives that are known, by program.
    zip_bytes: BTreeMap<PathBuf, u64>,
}

impl Bench {
    /// A bench that has measured nothing yet.
    #[must_use]
    pub fn new(aws: Aws, cgroups: Option<Cgroups>, effort: Effort, pause: Duration) -> Self {
        Self { aws, cgroups, effort, pause, next_message: 0, zip_bytes: BTreeMap::new() }
    }

    /// Measures `case` in one size; nothing where it has no batches of that size.
    ///
    /// # Errors
    /// A function failed, or the stub could not answer it.
    pub async fn measure(&mut self, case: Case, bootstrap: &Bootstrap, size: Size) -> Result<Option<Row>> {
        let sample = Sample::read(case, case.sample)?;
        if !sample.comes_in(size.batch) {
            return Ok(None);
        }
        let invocations = self.effort.starts + self.effort.warm;
        let numbers = self.next_message..self.next_message + invocations * size.batch;
        self.next_message = numbers.end;
        if let Some(before) = case.after {
            self.prepare(&Sample::read(case, before)?, bootstrap, numbers.clone(), size).await?;
        }
        let mut events = Batches { numbers, size: size.batch };

        let (mut inits, mut firsts, mut sums) = (Vec::new(), Vec::new(), Vec::new());
        let (mut in_init, mut in_first) = (Counted::default(), Counted::default());
        let mut last = None;
        for _ in 0..self.effort.starts {
            if let Some(function) = last.take() {
                Function::end(function).await?;
            }
            self.aws.take();
            let mut function = Function::start(bootstrap, size.memory_mb).await?;
            in_init = self.aws.take();
            if let Some(cgroups) = &self.cgroups {
                function.hold(cgroups, size.memory_mb)?;
            }
            let first = self.invoke(&mut function, &sample, events.take()).await?;
            in_first = self.aws.take();
            inits.push(function.init);
            firsts.push(first);
            sums.push(function.init + first);
            last = Some(function);
        }
        let mut function = last.context("a case needs a start")?;

        let log_bytes = || std::fs::metadata(&bootstrap.log).map(|log| log.len());
        let (cpu_before, logged_before) = (function.cpu()?, log_bytes()?);
        let mut warm = Vec::new();
        self.aws.stay_silent(case.one_silent_in);
        for _ in 0..self.effort.warm {
            tokio::time::sleep(self.pause).await;
            warm.push(self.invoke(&mut function, &sample, events.take()).await?);
        }
        self.aws.stay_silent(None);
        let cpu = function.cpu()?.saturating_sub(cpu_before);
        let warm_log_bytes = log_bytes()?.saturating_sub(logged_before);
        let counted = self.aws.take();
        let peak_kib = function.peak_kib()?;
        function.end().await?;

        let messages = self.effort.warm * size.batch;
        Ok(Some(Row {
            function: case.function.to_owned(),
            sample: case.label(),
            memory_mb: size.memory_mb,
            batch: size.batch,
            init_us: micros(percentile(&mut inits, 50)),
            first_us: micros(percentile(&mut firsts, 50)),
            init_and_first_us: micros(percentile(&mut sums, 50)),
            warm_p50_us: micros(percentile(&mut warm, 50)),
            warm_p99_us: micros(percentile(&mut warm, 99)),
            cpu_us_per_message: micros(cpu) / messages.max(1),
            peak_kib,
            zip_bytes: self.zip_bytes(&bootstrap.program)?,
            connections_in_init: in_init.connections,
            connections_in_first: in_first.connections,
            resumed_in_first: in_first.resumed,
            first_calls: in_init.calls.into_iter().chain(in_first.calls).fold(BTreeMap::new(), |mut sum, (operation, calls)| {
                *sum.entry(operation).or_default() += calls;
                sum
            }),
            warm_calls: counted.calls,
            warm_messages: messages,
            warm_invocations: self.effort.warm,
            warm_billed_ms: warm.iter().map(billed_ms).sum(),
            warm_units: counted.units,
            warm_log_bytes,
        }))
    }

    /// Compressing takes longer than many a case: once for each program.
    fn zip_bytes(&mut self, program: &Path) -> Result<u64> {
        if let Some(bytes) = self.zip_bytes.get(program) {
            return Ok(*bytes);
        }
        let bytes = package::zip_bytes(program)?;
        self.zip_bytes.insert(program.to_owned(), bytes);
        Ok(bytes)
    }

    /// Has the earlier event of each order handled, by a function of its own, at full speed.
    async fn prepare(&self, sample: &Sample, bootstrap: &Bootstrap, numbers: Range<u64>, size: Size) -> Result<()> {
        let mut events = Batches { numbers, size: size.batch };
        let mut function = Function::start(bootstrap, size.memory_mb).await?;
        while !events.numbers.is_empty() {
            let (answer, _) = function.invoke(event(sample, events.take())).await?;
            require_success(&answer).map_err(|error| function.explain(error))?;
        }
        function.end().await
    }

    async fn invoke(&self, function: &mut Function, sample: &Sample, numbers: Range<u64>) -> Result<Duration> {
        let result = function.invoke(event(sample, numbers)).await;
        // First, because it is why the function failed.
        self.aws.require_known()?;
        let (answer, took) = result?;
        require_success(&answer).map_err(|error| function.explain(error))?;
        Ok(took)
    }
}

fn event(sample: &Sample, numbers: Range<u64>) -> hyper::body::Bytes {
    sample.invocation(numbers, Real.now()).to_string().into()
}

/// Deals out message numbers, a batch at a time.
struct Batches {
    numbers: Range<u64>,
    size: u64,
}

impl Batches {
    fn take(&mut self) -> Range<u64> {
        let end = (self.numbers.start + self.size).min(self.numbers.end);
        let batch = self.numbers.start..end;
        self.numbers.start = end;
        batch
    }
}

/// The smallest of `times` that so many percent of them do not exceed.
fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let rank = (times.len() * percent).div_ceil(100).max(1);
    times.get(rank - 1).copied().unwrap_or_default()
}

/// As Lambda rounds it.
fn billed_ms(time: &Duration) -> u64 {
    micros(*time).div_ceil(1000)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_times() {
        let mut times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&mut times, 50), Duration::from_millis(50));
        assert_eq!(percentile(&mut times, 99), Duration::from_millis(99));
        assert_eq!(percentile(&mut times[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&mut [], 50), Duration::ZERO);
    }

    #[test]
    fn a_begun_millisecond_is_billed() {
        assert_eq!([1, 1_000, 1_001].map(|us| billed_ms(&Duration::from_micros(us))), [1, 1, 2]);
    }

    #[test]
    fn every_number_is_dealt_out_once() {
        let mut batches = Batches { numbers: 5..15, size: 4 };
        let dealt: Vec<_> = std::iter::repeat_with(|| batches.take()).take_while(|batch| !batch.is_empty()).flatten().collect();
        assert_eq!(dealt, (5..15).collect::<Vec<_>>());
    }
}
