//! Builds every function once, quickly, and lets sam find them built.
//!
//! `sam build` would build one function after the other, each with the deployment's slow profile. One build of all of them with
//! a target folder and a profile of the local run costs a fraction; `sam build` then only copies. What goes to AWS is built by
//! `sam build` alone, into another folder: nothing here can be deployed there by accident.

use crate::machine::{Repository, logical_id, require_linux};
use crate::progress::{Progress, log_of};
use crate::setup;
use anyhow::Result;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;
use testkit::engine::{self, Keys};
use tokio::process::Command;

/// The name of the environment in samconfig.toml.
pub const CONFIG_ENV: &str = "local";

/// Where `sam build` puts the functions of the local run. `.aws-sam` stays what a deployment to AWS made it.
pub fn folder(repository: &Repository) -> PathBuf {
    repository.local().join("sam")
}

/// The build's result: the template that `sam deploy` takes.
pub struct Built {
    /// Its path, below the folder of local runs.
    pub template: PathBuf,
}

/// Sets up the tools, where they are not yet, and builds every function beside that.
pub async fn with_tools(repository: &Repository, progress: &mut Progress) -> Result<Built> {
    require_linux()?;
    setup::beside(repository, progress, async |progress| compile(repository, progress).await).await?;
    package(repository, progress).await
}

/// Builds every function, and packages them unless nothing has changed.
pub async fn run(repository: &Repository, progress: &mut Progress) -> Result<Built> {
    compile(repository, progress).await?;
    package(repository, progress).await
}

async fn compile(repository: &Repository, progress: &mut Progress) -> Result<()> {
    let functions = repository.functions()?;
    let mut cargo = tool(repository, "cargo-lambda");
    cargo.args(["lambda", "build", "--release"]);
    // `--bin` and not `--package`, as sam will say it: cargo chooses features by the packages named, and would build twice.
    for function in &functions {
        cargo.args(["--bin", function]);
    }
    quick_profile(&mut cargo, repository);
    let title = format!("Build {} functions", functions.len());
    progress.run(&title, cargo, &log_of(&repository.local(), "build"), repository).await.map(drop)
}

async fn package(repository: &Repository, progress: &mut Progress) -> Result<Built> {
    let functions = repository.functions()?;
    let template = folder(repository).join("template.yaml");
    if is_packaged(repository, &functions, &template) {
        progress.done("Package for the engine", Instant::now(), "unchanged");
        return Ok(Built { template });
    }
    let mut sam = tool(repository, "sam");
    sam.args(["build", "--config-env", CONFIG_ENV, "--build-dir"]).arg(folder(repository));
    if let Some(architecture) = architecture_override() {
        sam.args(["--parameter-overrides", architecture]);
    }
    quick_profile(&mut sam, repository);
    progress.run("Package for the engine", sam, &log_of(&repository.local(), "sam-build"), repository).await?;
    Ok(Built { template })
}

/// The profile of the local run, by environment, so that it needs no lines in Cargo.toml that a deployment would have to ignore.
fn quick_profile(command: &mut Command, repository: &Repository) {
    command.env("CARGO_TARGET_DIR", repository.root.join("target/lambda-local"));
    for (setting, value) in [("LTO", "off"), ("CODEGEN_UNITS", "16"), ("OPT_LEVEL", "0")] {
        command.env(format!("CARGO_PROFILE_RELEASE_{setting}"), value);
    }
}

/// The parameter that says what the functions are built for, where it is not the template's default.
pub fn architecture_override() -> Option<&'static str> {
    cfg!(target_arch = "aarch64").then_some("Architecture=arm64")
}

/// A program of the virtual environment, which finds the others, and which knows no key of AWS. [`with_keys`] gives it the engine's.
pub fn tool(repository: &Repository, name: &str) -> Command {
    let mut command = Command::new(repository.program(name));
    let mut path = OsString::from(repository.venv().join("bin"));
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    command.current_dir(&repository.root).env("PATH", path);
    without_an_account(&mut command);
    for (name, value) in [
        ("SAM_CLI_TELEMETRY", "0"),
        // Otherwise it looks for a newer version of itself.
        ("__SAM_CLI_APP_DIR", &repository.local().join("sam-cli").to_string_lossy()),
    ] {
        command.env(name, value);
    }
    command
}

/// Takes a profile or a session of a real account out of the environment of a tool: it must not reach one that speaks to the engine.
pub fn without_an_account(command: &mut Command) {
    for name in ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"] {
        command.env_remove(name);
    }
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "none"),
        ("AWS_SECRET_ACCESS_KEY", "none"),
        ("AWS_DEFAULT_REGION", engine::REGION),
        ("AWS_REGION", engine::REGION),
        // No files of a real account either.
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ] {
        command.env(name, value);
    }
}

/// Lets `tool` speak to the engine that was started with `keys`.
pub fn with_keys(tool: &mut Command, keys: &Keys) {
    tool.env("AWS_ACCESS_KEY_ID", &keys.root).env("AWS_SECRET_ACCESS_KEY", &keys.root);
}

/// Whether the last `sam build` took exactly these functions and this template. Times do not tell: every build copies the
/// functions anew.
fn is_packaged(repository: &Repository, functions: &[String], template: &Path) -> bool {
    let modified = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    let sources = ["template.yaml", "samconfig.toml"].map(|name| modified(&repository.root.join(name)));
    let packaged = modified(template);
    if packaged.is_none() || sources.iter().any(|source| source.is_none() || *source >= packaged) {
        return false;
    }
    functions.iter().all(|function| {
        let built = std::fs::read(repository.root.join("target/lambda-local/lambda").join(function).join("bootstrap"));
        let packaged = std::fs::read(folder(repository).join(logical_id(function)).join("bootstrap"));
        matches!((built, packaged), (Ok(built), Ok(packaged)) if built == packaged)
    })
}
