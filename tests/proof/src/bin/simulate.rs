//! `cargo xtask simulate`: runs the pipeline through many simulated runs, or through one again to print its story.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

use anyhow::Result;
use clap::Parser;
use command_line::{
    options::Simulate,
    screen::{end_quietly_when_nobody_reads, hanging, width, wrapped},
};
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
#[command(name = "cargo xtask simulate", bin_name = "cargo xtask simulate")]
struct Cli {
    #[command(flatten)]
    options: Simulate,
}

/// How many lines tell of the progress where standard output is no terminal.
const LINES: u64 = 20;
/// As wide as the time that begins each line of a story.
const BESIDE_THE_TIME: &str = "              ";

fn main() -> Result<ExitCode> {
    end_quietly_when_nobody_reads();
    let Cli { options: Simulate { runs, from, seed } } = Cli::parse();
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
    println!("{}", listed("ends: ", sum.ends.iter()));
    println!("{}", listed("faults: ", sum.faults.iter()));
    let Some(seed) = sum.broken else {
        println!("every promise held");
        return Ok(ExitCode::SUCCESS);
    };
    println!("\na promise was broken; its story is told again by: cargo xtask simulate --seed {seed}\n");
    tell(&wiring, seed)
}

fn tell(wiring: &Wiring, seed: u64) -> Result<ExitCode> {
    let outcome = run(wiring, seed, true)?;
    let width = width(&stdout());
    for line in &outcome.story {
        println!("{}", hanging(line, BESIDE_THE_TIME, width));
    }
    println!("\nseed {seed}: {} orders, {} invocations", outcome.orders, outcome.invocations);
    println!("{}", listed("ends: ", outcome.ends.iter()));
    println!("{}", listed("faults: ", outcome.faults.iter().map(|(fault, count)| (format!("{fault:?}"), count))));
    for violation in &outcome.violations {
        println!("{}", hanging(&format!("✗ {violation}"), "  ", width));
    }
    Ok(if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn bar(done: u64, runs: u64, elapsed: Duration) -> String {
    const WIDTH: usize = 30;
    let full = usize::try_from(done.saturating_mul(WIDTH as u64) / runs).unwrap_or(WIDTH);
    let per_second = u128::from(done) * 1000 / elapsed.as_millis().max(1);
    format!("{}{} {done} of {runs} runs, {per_second} a second", "█".repeat(full), "░".repeat(WIDTH - full))
}

fn listed<'a>(title: &str, counts: impl Iterator<Item = (impl Display, &'a u64)>) -> String {
    let counts = counts.map(|(what, count)| format!("{what} {count}"));
    wrapped(counts, ", ", [title, "  "], width(&stdout()))
}
