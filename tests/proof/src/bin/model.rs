//! `cargo xtask model`: explores every case of the saga and says how many states that were, or tells how a promise is broken.
//!
//! It does not go on after a broken promise: the shortest story of it is the report.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

use clap::{CommandFactory as _, Parser, error::ErrorKind};
use command_line::{
    options,
    screen::{end_quietly_when_nobody_reads, hanging, width, wrapped},
};
use proof::model::{Bound, Case, Report, cases, check};
use std::{process::ExitCode, time::Duration};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Explores the saga under its deployed handlers: every order of deliveries and calls, with crashes, duplicates and lost answers.
#[derive(Parser)]
#[command(name = "cargo xtask model", bin_name = "cargo xtask model")]
struct Cli {
    #[command(flatten)]
    options: options::Model,
}

fn main() -> ExitCode {
    end_quietly_when_nobody_reads();
    let Cli { options } = Cli::parse();
    let bound = if options.deep { Bound::Deep } else { Bound::Quick };
    let wanted = |case: &Case| options.case.is_empty() || options.case.iter().any(|name| case.name.contains(name.as_str()));
    let all = cases(bound);
    let known: Vec<_> = all.iter().map(|case| case.name.clone()).collect();
    let cases: Vec<_> = all.into_iter().filter(wanted).collect();
    if cases.is_empty() {
        // Nothing explored is nothing proven.
        Cli::command().error(ErrorKind::InvalidValue, format!("no case has such a name; there are:\n  {}", known.join("\n  "))).exit();
    }
    if options.list {
        cases.iter().for_each(|case| println!("{}", case.name));
        return ExitCode::SUCCESS;
    }
    let width = width(&std::io::stdout());
    let (mut states, mut unique, mut took) = (0, 0, Duration::ZERO);
    for case in &cases {
        let report = check(case);
        let Report { states: steps, unique: different, depth, healing, .. } = report;
        let seconds = report.took.as_secs_f64();
        let figures = [
            format!("{steps} steps"),
            format!("{different} states"),
            format!("depth {depth}"),
            format!("healing {healing}"),
            format!("{seconds:.1} s"),
            format!("ends: {}", report.ends.join(", ")),
        ];
        println!("{}", wrapped(figures, "  ", [&format!("{:<44}  ", case.name), "    "], width));
        (states, unique, took) = (states + steps, unique + different, took + report.took);
        if let Some((promise, story)) = report.broken {
            println!("\n{}", hanging(&format!("✗ {}: {promise}", case.name), "  ", width));
            story.iter().for_each(|line| println!("{}", hanging(&format!("  {line}"), "      ", width)));
            return ExitCode::FAILURE;
        }
    }
    println!("{} cases, {states} steps, {unique} states, {:.1} s: every promise holds in every state", cases.len(), took.as_secs_f64());
    ExitCode::SUCCESS
}
