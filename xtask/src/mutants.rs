//! `mutants`: do the tests bite? cargo-mutants breaks the decisions of `domain` and the core of `lambda-kit`, one place at a time,
//! and runs their tests; a mutant that passes all of them is a fact that no test states. What is broken, and which mutants are
//! left out and why, stands in `.cargo/mutants.toml`.
//! It works on a copy, takes half an hour, and so is no step of `test`.

use anyhow::{Result, bail};
use console::machine::{Repository, require_cargo, require_compiler};
use console::processes::{Group, cargo};
use console::progress::{Progress, log_of};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// The version whose mutants `.cargo/mutants.toml` speaks of: another one breaks other places.
const VERSION: &str = "27.1.0";
/// The longest that the tests of one mutant may take: they take seconds, and one that hangs is a mutant that was noticed.
const TESTS_LIMIT: Duration = Duration::from_secs(60);
/// The longest that all of it may take: four times what it takes on two cores with nothing else to do.
const LIMIT: Duration = Duration::from_secs(2 * 60 * 60);

#[derive(clap::Args)]
pub struct Options {
    /// More arguments for cargo-mutants, such as `--re shipping.rs` for one file, or `--shard 1/4`
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs every mutant, or those that the arguments choose.
pub async fn run(repository: &Repository, options: Options, progress: &mut Progress) -> Result<()> {
    require_cargo()?;
    require_compiler()?;
    let tool = install(repository, progress).await?;
    let folder = folder(repository);
    let mut command = Command::new(tool);
    command.args(["mutants", "--output"]).arg(&folder).args(["--timeout", &TESTS_LIMIT.as_secs().to_string()]);
    command.args(options.arguments).current_dir(&repository.root).stdin(Stdio::null());
    // One for all copies: what is not mutated is built once, and is still there for the next run.
    command.env("CARGO_TARGET_DIR", folder.join("target"));
    // Nobody debugs a mutant, and linking is most of the time that one takes.
    command.env("CARGO_PROFILE_DEV_DEBUG", "0");
    let started = Instant::now();
    let mut group = Group::start(command)?;
    let Ok(status) = tokio::time::timeout(LIMIT, group.wait()).await else {
        bail!("the mutants took longer than {} minutes; take fewer at once: cargo xtask mutants -- --shard 1/4", LIMIT.as_secs() / 60);
    };
    // 2: some got through. 3: some made a test hang, which is noticing; others may have got through all the same.
    if !matches!(status?.code(), Some(0 | 2 | 3)) {
        bail!("cargo-mutants failed; do the tests pass without mutants? Its output is in {}", repository.shown(&folder));
    }
    let missed = folder.join("mutants.out/missed.txt");
    if !std::fs::read_to_string(&missed)?.is_empty() {
        bail!(
            "no test notices the mutants in {}: each is a fact to be tested or, where nothing could tell it from the code, a line in \
             .cargo/mutants.toml with its reason",
            repository.shown(&missed)
        );
    }
    progress.done("Every mutant was noticed", started, "");
    Ok(())
}

fn folder(repository: &Repository) -> PathBuf {
    repository.local().join("mutants")
}

/// Installs the pinned version, once, where nothing else is.
async fn install(repository: &Repository, progress: &mut Progress) -> Result<PathBuf> {
    let root = folder(repository).join(VERSION);
    let tool = root.join("bin/cargo-mutants");
    if !tool.is_file() {
        let version = format!("={VERSION}");
        let mut cargo = cargo(&repository.root, &["install", "cargo-mutants", "--version", &version, "--locked", "--root"]);
        cargo.arg(&root);
        progress.run("Install cargo-mutants (once)", cargo, &log_of(&folder(repository), "install"), repository).await?;
    }
    Ok(tool)
}
