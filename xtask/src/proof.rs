//! `cargo xtask model` and `cargo xtask simulate`: the programs of `tests/proof`, built by a profile that is fast enough for
//! millions of states and runs. What they print is theirs; this only builds, hands over and hears how it ended.

use anyhow::{Result, bail};
use console::machine::{Repository, require_cargo, require_compiler};
use console::processes::{Group, arguments, program};
use console::usage::Usage;

/// Runs `name`, whose exit status 1 means that a promise was broken.
pub async fn run(repository: &Repository, name: &str) -> Result<()> {
    require_cargo()?;
    require_compiler()?;
    let mut command = program(&repository.root, &["--profile", "proof", "--package", "proof", "--bin", name]);
    command.args(arguments());
    let status = Group::start(command)?.wait().await?;
    match status.code() {
        Some(0) => Ok(()),
        Some(1) => bail!("a promise was broken; its trace is above"),
        Some(2) => Err(Usage("invalid options: see above".to_owned()).into()),
        _ => bail!("{name} ended with {status}"),
    }
}

/// Writes every mail to files, by the program of the end-to-end crate that knows them all.
pub async fn mail_preview(repository: &Repository) -> Result<()> {
    require_cargo()?;
    require_compiler()?;
    let mut command = program(&repository.root, &["--package", "end-to-end", "--example", "mail-preview"]);
    command.arg(repository.local().join("mail"));
    let status = Group::start(command)?.wait().await?;
    if status.success() { Ok(()) } else { bail!("mail-preview ended with {status}") }
}
