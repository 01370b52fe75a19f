//! What an order costs, by a report of the bench and the price table.
//!
//! `cargo xtask cost` calls it. It measures nothing, and does not go without a report.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks on its standard streams")]

use anyhow::{Context as _, Result, ensure};
use bench::{
    cost::{Question, answer, event_flow::EventFlow},
    report::Report,
};
use clap::Parser;
use command_line::{options, screen::end_quietly_when_nobody_reads};
use std::{path::Path, process::ExitCode};

/// What an order that ships costs on AWS, by service: calls and billed milliseconds as measured, times the price table.
#[derive(Parser)]
#[command(name = "cargo xtask cost", bin_name = "cargo xtask cost")]
struct Cli {
    #[command(flatten)]
    options: options::Cost,
}

fn main() -> ExitCode {
    end_quietly_when_nobody_reads();
    match run(Cli::parse()) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(Cli { options }: Cli) -> Result<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = options.report.unwrap_or_else(|| here.join("reference/5-ms.json"));
    ensure!(file.is_file(), "there is no {}: measure with cargo xtask bench --json FILE, then say --report FILE", file.display());
    let table = here.join("prices.toml");
    let table = std::fs::read_to_string(&table).with_context(|| format!("cannot read {}", table.display()))?;
    let options::Cost { orders_per_month, region, cold_starts_per_thousand: cold_per_thousand, .. } = options;
    answer(&Report::read(&file)?, &EventFlow::read()?, &table, &Question { orders_per_month, region, cold_per_thousand })
}
