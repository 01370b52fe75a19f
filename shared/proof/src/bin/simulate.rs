//! `cargo xtask simulate`: runs the pipeline through many bad days, or through one again to tell its story.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

use anyhow::Result;
use clap::Parser;
use proof::simulation::{Wiring, many, run};
use std::{
    fmt::Display,
    io::{IsTerminal as _, Write as _, stdout},
    process::ExitCode,
    time::{Duration, Instant},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the functions' own handlers on a simulated cloud in which everything goes wrong, and checks every promise.
#[derive(Parser)]
#[command(
    name = "cargo xtask simulate",
    bin_name = "cargo xtask simulate",
    after_help = "Exit status: 0 every promise held · 1 one was broken, its seed and story are printed · 2 wrong usage."
)]
struct Options {
    /// How many runs
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    runs: u64,
    /// The seed of the first run; the next ones count up from it
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Run this seed alone, and tell its story
    #[arg(long, conflicts_with_all = ["runs", "from"])]
    seed: Option<u64>,
}

/// How many lines tell of the progress where standard output is no terminal.
const LINES: u64 = 20;

fn main() -> Result<ExitCode> {
    let Options { runs, from, seed } = Options::parse();
    let wiring = Wiring::read()?;
    if let Some(seed) = seed {
        return tell(&wiring, seed);
    }
    let begin = Instant::now();
    let mut told = 0;
    let sum = many(&wiring, from..from.saturating_add(runs), |done| {
        let part = done.saturating_mul(LINES) / runs;
        if stdout().is_terminal() {
            print!("\r{} ", bar(done, runs, begin.elapsed()));
            // A bar that cannot be drawn is no reason to stop.
            stdout().flush().unwrap_or_default();
        } else if part > told {
            told = part;
            println!("{}", bar(done, runs, begin.elapsed()));
        }
    })?;
    print!("{}", if stdout().is_terminal() { "\r\x1b[K" } else { "" });
    println!("{}", bar(sum.runs, runs, begin.elapsed()));
    println!("{} orders, {} invocations", sum.orders, sum.invocations);
    println!("ends: {}", listed(sum.ends.iter()));
    println!("faults: {}", listed(sum.faults.iter()));
    let Some(seed) = sum.broken else {
        println!("every promise held");
        return Ok(ExitCode::SUCCESS);
    };
    println!("\na promise was broken; its story, told again by: cargo xtask simulate --seed {seed}\n");
    tell(&wiring, seed)
}

fn tell(wiring: &Wiring, seed: u64) -> Result<ExitCode> {
    let outcome = run(wiring, seed, true)?;
    for line in &outcome.story {
        println!("{line}");
    }
    println!("\nseed {seed}: {} orders, {} invocations, faults {:?}", outcome.orders, outcome.invocations, outcome.faults);
    println!("ends: {:?}", outcome.ends);
    for violation in &outcome.violations {
        println!("✗ {violation}");
    }
    Ok(if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bar(done: u64, runs: u64, elapsed: Duration) -> String {
    const WIDTH: usize = 30;
    let full = usize::try_from(done.saturating_mul(WIDTH as u64) / runs).unwrap_or(WIDTH);
    let per_second = u128::from(done) * 1000 / elapsed.as_millis().max(1);
    format!("{}{} {done} of {runs} runs, {per_second} a second", "█".repeat(full), "░".repeat(WIDTH - full))
}

fn listed<'a>(counts: impl Iterator<Item = (impl Display, &'a u64)>) -> String {
    counts.map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>().join(", ")
}
