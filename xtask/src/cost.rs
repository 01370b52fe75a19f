//! `cost`: what an order costs on AWS, by a report of `bench` and the prices that lie beside it. `tests/bench/` computes and prints; this
//! only calls it.
//! It builds no function, measures nothing and asks nobody for a price.

use anyhow::{Result, bail};
use console::machine::Repository;
use console::processes::{Group, arguments, program};

pub async fn run(repository: &Repository) -> Result<()> {
    // The bench's own profile: what it has compiled is used again.
    let mut command = program(&repository.root, &["--profile", "proof", "--package", "bench", "--bin", "cost"]);
    command.args(arguments());
    let status = Group::start(command)?.wait().await?;
    if status.success() { Ok(()) } else { bail!("the computation ended with {status}") }
}
