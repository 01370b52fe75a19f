//! `schemathesis`: the API of a running stack against its description. It sends what `docs/api/openapi.yaml` allows and what it does not,
//! and fails on an answer of 5xx, on one that the description does not have, on a valid request that is refused and on an invalid one that
//! is not. What the description cannot say, `tests/schemathesis/hooks.py` does.
//! A step of `test` does the same in a minute at most, with the same cases each time.

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use console::build;
use console::machine::Repository;
use console::processes::Group;
use console::progress::Progress;
use console::{setup, state};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use testkit::stack::State;
use tokio::process::Command;

/// Seconds of a run: its step of `test` may take a minute. Schemathesis divides them among its phases and draws until they are spent, the
/// same cases in the same order each time; a slower machine sees fewer of them.
const SECONDS: u32 = 50;

#[derive(Args, Clone, Copy, Default)]
pub struct Options {
    /// How many cases are drawn for each operation, at most; without it, as many as fit into fifty seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    max_examples: Option<u32>,
    /// What the cases are drawn from; the same seed is the same cases, and without it they are always the same
    #[arg(long)]
    seed: Option<u64>,
}

/// Against the stack of `up`.
pub async fn run(repository: &Repository, options: Options, progress: &mut Progress) -> Result<()> {
    let state = state::require(repository)?;
    install(repository, progress).await?;
    against(repository, &state, options).await
}

/// Makes sure that it is there.
pub async fn install(repository: &Repository, progress: &mut Progress) -> Result<()> {
    let list = repository.root.join("local/schemathesis.txt");
    let wheels = setup::List { title: "Install schemathesis (once)", how: &["--only-binary", ":all:"], file: list };
    setup::install(repository, &venv(repository), &[wheels], progress).await
}

/// Against a stack.
pub async fn against(repository: &Repository, state: &State, options: Options) -> Result<()> {
    let answers = repository.local().join("schemathesis-answers.json");
    // Those of an earlier run are not this one's.
    std::fs::write(&answers, "{}")?;
    let mut command = command(repository, &state.api_url, options);
    command.env("ANSWERS", &answers).stdin(Stdio::null());
    println!("{}", line_of(&command));
    let mut group = Group::start(command)?;
    let status = group.wait().await?;
    let answers = Answers::read(&answers)?;
    println!("\n{}", answers.table());
    if !status.success() {
        bail!("schemathesis ended with {status}; its findings are above");
    }
    answers.require_that_each_operation_was_tried()
}

fn venv(repository: &Repository) -> PathBuf {
    repository.local().join("schemathesis")
}

fn command(repository: &Repository, url: &str, options: Options) -> Command {
    let mut command = Command::new(venv(repository).join("bin/schemathesis"));
    build::without_an_account(&mut command);
    command.current_dir(&repository.root).args(["--config-file", "tests/schemathesis/schemathesis.toml", "run", "docs/api/openapi.yaml"]);
    command.args(["--url", url]);
    let seconds = options.max_examples.is_none().then_some(u64::from(SECONDS));
    for (flag, number) in [("--max-examples", options.max_examples.map(u64::from)), ("--max-time", seconds), ("--seed", options.seed)] {
        number.iter().for_each(|number| _ = command.args([flag, &number.to_string()]));
    }
    command
}

/// The command as a person types it.
fn line_of(command: &Command) -> String {
    let command = command.as_std();
    let words = [command.get_program()].into_iter().chain(command.get_args()).map(|word| word.to_string_lossy().into_owned());
    words.collect::<Vec<_>>().join(" ")
}

/// How often each operation was answered with each status.
#[derive(Debug, PartialEq, Eq)]
struct Answers(BTreeMap<String, BTreeMap<u16, u64>>);

impl Answers {
    /// What the hooks counted.
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).context("the hooks' counts are missing")?;
        Ok(Self(serde_json::from_str(&text).context("the hooks' counts cannot be read")?))
    }

    fn table(&self) -> String {
        let statuses: BTreeSet<u16> = self.0.values().flat_map(|counts| counts.keys().copied()).collect();
        let mut lines = vec![format!("{:<32}{}", "answers", statuses.iter().map(|status| format!("{status:>7}")).collect::<String>())];
        for (operation, counts) in &self.0 {
            let count = |status| counts.get(status).map_or_else(String::new, u64::to_string);
            lines.push(format!("{operation:<32}{}", statuses.iter().map(|status| format!("{:>7}", count(status))).collect::<String>()));
        }
        lines.join("\n")
    }

    /// A run that was refused throughout, or cut off before an operation's turn, has shown nothing about it.
    fn require_that_each_operation_was_tried(&self) -> Result<()> {
        let was_tried =
            |operation: &str, right: &[u16]| self.0.get(operation).is_some_and(|counts| counts.keys().any(|status| right.contains(status)));
        let untried: Vec<_> =
            RIGHT.iter().filter(|(operation, right)| !was_tried(operation, right)).map(|(operation, _)| *operation).collect();
        ensure!(untried.is_empty(), "no valid request was made of {}", untried.join(", "));
        Ok(())
    }
}

/// The operations whose right requests can be made from the description and the catalogue, and how these are answered: a cancellation may
/// come too late. The links of a mail are signed.
const RIGHT: [(&str, &[u16]); 4] = [
    ("POST /customers", &[202]),
    ("POST /orders", &[202]),
    ("GET /orders/{order_id}", &[200]),
    ("POST /orders/{order_id}/cancel", &[202, 409]),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(counts: &[(&str, &[(u16, u64)])]) -> Answers {
        Answers(counts.iter().map(|(operation, counts)| ((*operation).to_owned(), counts.iter().copied().collect())).collect())
    }

    #[test]
    fn a_run_in_which_no_valid_request_of_an_operation_was_made_fails() {
        let mut all: Vec<_> = RIGHT.iter().map(|(operation, right)| (*operation, vec![(right[right.len() - 1], 1), (422, 3)])).collect();
        let of = |all: &[(&str, Vec<(u16, u64)>)]| {
            let counts: Vec<_> = all.iter().map(|(operation, counts)| (*operation, counts.as_slice())).collect();
            answers(&counts).require_that_each_operation_was_tried()
        };
        assert!(of(&all).is_ok());
        all[1].1 = vec![(400, 7), (409, 1), (422, 3)];
        assert_eq!(of(&all).unwrap_err().to_string(), "no valid request was made of POST /orders");
        assert!(of(&all[2..]).is_err());
    }

    #[test]
    fn answers_are_counted_by_operation_and_status() {
        let table = answers(&[("GET /x", &[(200, 12)]), ("POST /x", &[(202, 3), (422, 45)])]).table();
        let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows, [vec!["answers", "200", "202", "422"], vec!["GET", "/x", "12"], vec!["POST", "/x", "3", "45"]]);
    }
}
