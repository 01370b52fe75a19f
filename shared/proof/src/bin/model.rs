//! `cargo xtask model`: explores every case of the saga and says how many states that were, or tells how a promise is broken.
//!
//! It refuses to go on after a broken promise: the shortest story of it is the report.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

use clap::Parser;
use proof::model::{Bound, Case, Report, cases, check};
use std::{process::ExitCode, time::Duration};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Explores the saga under its deployed handlers: every order of deliveries and calls, with crashes, duplicates and lost answers.
#[derive(Parser)]
#[command(name = "cargo xtask model", bin_name = "cargo xtask model")]
struct Options {
    /// Explore the bounds that are promised, not only those of a test run: half an hour on two cores
    #[arg(long)]
    deep: bool,
    /// Only the cases whose name contains this; may be given several times
    #[arg(long)]
    case: Vec<String>,
    /// Name the cases and end
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let bound = if options.deep { Bound::Deep } else { Bound::Quick };
    let wanted = |case: &Case| options.case.is_empty() || options.case.iter().any(|name| case.name.contains(name.as_str()));
    let cases: Vec<_> = cases(bound).into_iter().filter(wanted).collect();
    if options.list {
        cases.iter().for_each(|case| println!("{}", case.name));
        return ExitCode::SUCCESS;
    }
    println!("{:<44} {:>12} {:>11} {:>6} {:>8} {:>9}  ends", "case", "steps", "states", "depth", "healing", "time");
    let (mut states, mut unique, mut took) = (0, 0, Duration::ZERO);
    for case in &cases {
        let report = check(case);
        let seconds = report.took.as_secs_f64();
        let ends = report.ends.join(", ");
        let Report { states: steps, unique: different, depth, healing, .. } = report;
        println!("{:<44} {steps:>12} {different:>11} {depth:>6} {healing:>8} {seconds:>7.1} s  {ends}", case.name);
        (states, unique, took) = (states + steps, unique + different, took + report.took);
        if let Some((promise, story)) = report.broken {
            println!("\n✗ {}: {promise}", case.name);
            story.iter().for_each(|line| println!("  {line}"));
            return ExitCode::FAILURE;
        }
    }
    println!("{} cases, {states} steps, {unique} states, {:.1} s: every promise holds in every state", cases.len(), took.as_secs_f64());
    ExitCode::SUCCESS
}
