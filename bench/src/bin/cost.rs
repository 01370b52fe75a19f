//! What an order costs, by a report of the bench and the price table.
//!
//! `cargo xtask cost` calls it. It measures nothing, and refuses to go without a report.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks on its standard streams")]

use anyhow::{Context as _, Result, ensure};
use bench::{
    cost::{Question, answer, bill::COLD_STARTS_PER_THOUSAND, way::Way},
    report::Report,
};
use clap::Parser;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What an order that ships costs on AWS, by service: calls and billed milliseconds as measured, times the price table.
#[derive(Parser)]
#[command(name = "cargo xtask cost", bin_name = "cargo xtask cost")]
struct Cli {
    /// Orders in a month
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    orders_per_month: u64,
    /// Whose prices; bench/prices.toml says for which regions there are any
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    region: String,
    /// The figures: what `cargo xtask bench --json FILE` wrote [default: bench/reference/5-ms.json]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How many of a thousand invocations are taken for cold starts, whose init is billed too
    #[arg(long, value_name = "N", default_value_t = COLD_STARTS_PER_THOUSAND, value_parser = clap::value_parser!(u64).range(..=1_000))]
    cold_starts_per_thousand: u64,
}

fn main() -> ExitCode {
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

fn run(cli: Cli) -> Result<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = cli.report.unwrap_or_else(|| here.join("reference/5-ms.json"));
    ensure!(file.is_file(), "there is no {}: measure with cargo xtask bench --json FILE, then say --report FILE", file.display());
    let table = here.join("prices.toml");
    let table = std::fs::read_to_string(&table).with_context(|| format!("cannot read {}", table.display()))?;
    let Cli { orders_per_month, region, cold_starts_per_thousand: cold_per_thousand, .. } = cli;
    answer(&Report::read(&file)?, &Way::read()?, &table, &Question { orders_per_month, region, cold_per_thousand })
}
