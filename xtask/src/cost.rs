//! `cost`: what an order costs on AWS, by a report of `bench` and the prices that lie beside it. `bench/` computes and prints; this
//! only calls it.
//! It builds no function, measures nothing and asks nobody for a price.

use crate::machine::Repository;
use crate::processes::{Group, cargo};
use anyhow::{Result, bail};

#[derive(clap::Args)]
pub struct Arguments {
    /// Arguments of the computation; `--help` tells them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub async fn run(repository: &Repository, arguments: &Arguments) -> Result<()> {
    // The bench's own profile: what it has compiled is used again.
    let mut command = cargo(&repository.root, &["run", "--quiet", "--profile", "proof", "--package", "bench", "--bin", "cost", "--"]);
    command.args(&arguments.arguments);
    let status = Group::start(command)?.wait().await?;
    if status.success() { Ok(()) } else { bail!("the computation ended with {status}") }
}
