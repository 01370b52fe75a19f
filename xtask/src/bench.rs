//! `bench`: what a cold start, an order and a batch cost each function, in time, processor, memory, bytes and AWS calls. Builds
//! the functions as `sam build` builds them for AWS, then has `tests/bench/` measure them; what that prints is its own.
//! It deploys nothing and is no step of `test`: figures differ between machines, and a busy one has none to give.

use anyhow::{Result, bail};
use console::build::{architecture_override, tool};
use console::machine::Repository;
use console::processes::{Group, arguments, program};
use console::progress::{Progress, log_of};
use console::setup;
use std::path::PathBuf;

/// The binary that is measured beside the functions.
const FLOOR: &str = "floor";

/// Builds, measures and reports.
pub async fn run(repository: &Repository, progress: &mut Progress) -> Result<()> {
    // Optimized, or the stub would be what is measured; the profile of the proofs, because it is built in a minute.
    let mut command = program(&repository.root, &["--profile", "proof", "--package", "bench", "--bin", "bench"]);
    command.arg("--bootstraps").arg(deployable(repository, progress).await?).arg("--work").arg(repository.local().join("bench"));
    command.args(arguments());
    let status = Group::start(command)?.wait().await?;
    if status.success() { Ok(()) } else { bail!("the bench ended with {status}") }
}

/// Builds every function as `sam build` does, with all of one call's work shared: the release profile, in the folder that
/// cargo-lambda chooses. Returns that folder.
async fn deployable(repository: &Repository, progress: &mut Progress) -> Result<PathBuf> {
    setup::run(repository, progress).await?;
    let functions = repository.functions()?;
    let target = repository.root.join("target");
    let mut cargo = tool(repository, "cargo-lambda");
    cargo.args(["lambda", "build", "--release"]);
    // `--bin` and not `--package`, as sam says it: cargo chooses features by the packages named.
    for name in functions.iter().map(String::as_str).chain([FLOOR]) {
        cargo.args(["--bin", name]);
    }
    if architecture_override().is_some() {
        cargo.arg("--arm64");
    }
    // Settings of the caller's shell must not make other programs than those that are deployed.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PROFILE_RELEASE_") {
            cargo.env_remove(name);
        }
    }
    cargo.env("CARGO_TARGET_DIR", &target);
    let title = format!("Build {} functions as they are deployed", functions.len());
    progress.run(&title, cargo, &log_of(&repository.local(), "build-release"), repository).await?;
    Ok(target.join("lambda"))
}
