//! The command lines of the programs that take minutes to build.
//!
//! The programs read them, and so does `cargo xtask`: it explains them, and refuses wrong usage, before anything is built.

use clap::Args;
use std::path::PathBuf;

/// Most runs of one simulation: some days on two cores.
const RUNS_MAX: u64 = 1_000_000_000;
/// Most orders in a month: four hundred a second. The bill is a sum of whole numbers that is exact far beyond.
const ORDERS_PER_MONTH_MAX: u64 = 1_000_000_000;
/// How many of a thousand invocations are cold starts, unless told otherwise. An assumption of ours: an environment is kept for
/// minutes after its last event, so that under steady traffic few are; a shop that has orders by the hour should say more.
pub const COLD_STARTS_PER_THOUSAND: u64 = 10;

/// `cargo xtask model`.
#[derive(Debug, Args)]
pub struct Model {
    /// Explore the bounds that are promised, not only those of a test run: half an hour on two cores
    #[arg(long)]
    pub deep: bool,
    /// Only the cases whose name contains this; may be given several times
    #[arg(long, value_name = "NAME")]
    pub case: Vec<String>,
    /// Name the cases and end
    #[arg(long)]
    pub list: bool,
}

/// `cargo xtask simulate`.
#[derive(Debug, Args)]
#[command(after_help = "Exit status: 0 every promise held · 1 one was broken, its seed and story are printed · 2 wrong usage.")]
pub struct Simulate {
    /// How many runs
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=RUNS_MAX))]
    pub runs: u64,
    /// The seed of the first run; the next ones count up from it
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub from: u64,
    /// Run this seed alone, and tell its story
    #[arg(long, conflicts_with_all = ["runs", "from"])]
    pub seed: Option<u64>,
}

/// `cargo xtask bench`.
#[derive(Debug, Args)]
pub struct Bench {
    /// Only these functions, and the floor
    #[arg(long, value_name = "NAME")]
    pub function: Vec<String>,
    /// Memory sizes, in MB: each has its share of the processor
    #[arg(long, value_name = "MB", value_delimiter = ',', default_values_t = [128, 256, 512], value_parser = clap::value_parser!(u64).range(128..=10_240))]
    pub memory: Vec<u64>,
    /// Messages in an invocation
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 10], value_parser = clap::value_parser!(u64).range(1..=10))]
    pub batch: Vec<u64>,
    /// How long every call to AWS and to the payment provider takes, beside the stub's own time
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    pub latency_ms: u64,
    /// Cold starts of each case; the median counts
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    pub starts: u64,
    /// Warm invocations of each case
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub warm: u64,
    /// How long a warm function rests between two invocations: by default longer than a period of its share, so that each
    /// finds its share whole, as one that comes alone does. 0 is for a function that is never idle
    #[arg(long, value_name = "MS", default_value_t = 25, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    pub pause_ms: u64,
    /// Have functions trust the stub's root certificate alone, instead of the system's as well: what fewer roots save
    #[arg(long)]
    pub lean_roots: bool,
    /// Offer HTTP/2 too. Most of AWS speaks HTTP/1.1 alone
    #[arg(long)]
    pub h2: bool,
    /// Run at full speed, not at the share that the memory size has
    #[arg(long)]
    pub no_share: bool,
    /// Write the report there
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Show the ratios to an earlier report
    #[arg(long, value_name = "FILE")]
    pub compare: Option<PathBuf>,
}

/// `cargo xtask cost`.
#[derive(Debug, Args)]
pub struct Cost {
    /// Orders in a month
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=ORDERS_PER_MONTH_MAX))]
    pub orders_per_month: u64,
    /// Whose prices; tests/bench/prices.toml says for which regions there are any
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    pub region: String,
    /// The figures: what `cargo xtask bench --json FILE` wrote [default: tests/bench/reference/5-ms.json]
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// How many of a thousand invocations are taken for cold starts, whose init is billed too
    #[arg(long, value_name = "N", default_value_t = COLD_STARTS_PER_THOUSAND, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    pub cold_starts_per_thousand: u64,
}
