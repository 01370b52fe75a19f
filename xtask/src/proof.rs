//! `cargo xtask model` and `cargo xtask simulate`: the programs of `shared/proof`, built by a profile that is fast enough for
//! millions of states and runs. What they print is theirs; this only builds, hands over and hears how it ended.

use crate::machine::{Repository, require_cargo, require_compiler};
use crate::processes::{Group, cargo};
use anyhow::{Result, bail};

#[derive(clap::Args)]
pub struct Arguments {
    /// Arguments of the program; `--help` tells them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs `program`, whose exit status 1 means that a promise was broken.
pub async fn run(repository: &Repository, program: &str, arguments: &Arguments) -> Result<()> {
    require_cargo()?;
    require_compiler()?;
    let mut command = cargo(&repository.root, &["run", "--quiet", "--profile", "proof", "--package", "proof", "--bin", program, "--"]);
    command.args(&arguments.arguments);
    let status = Group::start(command)?.wait().await?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => bail!("a promise was broken: its story stands above"),
        _ => bail!("{program} ended with {status}"),
    }
}

/// Writes every mail to files, by the program of the end-to-end crate that knows them all.
pub async fn mail_preview(repository: &Repository) -> Result<()> {
    require_cargo()?;
    require_compiler()?;
    let mut command = cargo(&repository.root, &["run", "--quiet", "--package", "end-to-end", "--example", "mail-preview", "--"]);
    command.arg(repository.local().join("mail"));
    let status = Group::start(command)?.wait().await?;
    if status.success() { Ok(()) } else { bail!("mail-preview ended with {status}") }
}
