//! `checkov`: what a security review of the template would ask. What stays as it is stands in `tests/template/checkov.toml`, with its reason;
//! anything else that checkov finds fails, and so does a reason that nothing needs any more.
//! It installs checkov where nothing else is, a hundred packages, and so is no step of `test`.

use anyhow::{Context as _, Result, bail};
use console::build;
use console::machine::Repository;
use console::progress::{Progress, dim, lines};
use console::setup;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use tokio::process::Command;

/// What stays as it is.
#[derive(Deserialize)]
struct Accepted {
    /// Reasons by the id of the check.
    accepted: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Report {
    results: Results,
    summary: Summary,
}
#[derive(Deserialize)]
struct Results {
    failed_checks: Vec<Finding>,
}
#[derive(Deserialize)]
struct Summary {
    /// Files that it could not read, of which it then says nothing.
    parsing_errors: u32,
}
#[derive(Deserialize)]
struct Finding {
    check_id: String,
    check_name: String,
    resource: String,
}

pub async fn run(repository: &Repository, progress: &mut Progress) -> Result<()> {
    let venv = repository.local().join("checkov");
    let list = repository.root.join("local/checkov.txt");
    let wheels = setup::List { title: "Install checkov (once)", how: &["--only-binary", ":all:"], file: list };
    setup::install(repository, &venv, &[wheels], progress).await?;
    let mut checkov = Command::new(venv.join("bin/checkov"));
    build::without_an_account(&mut checkov);
    checkov.args([
        "--file",
        "template.yaml",
        "--framework",
        "cloudformation",
        "--output",
        "json",
        "--quiet",
        "--compact",
        "--skip-download",
    ]);
    let output = checkov.current_dir(&repository.root).stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).output().await?;
    // 1: it found something. What it found is in its report.
    if !matches!(output.status.code(), Some(0 | 1)) {
        bail!("checkov ended with {}", output.status);
    }
    let report: Report = serde_json::from_slice(&output.stdout).context("checkov's report cannot be read")?;
    let path = repository.root.join("tests/template/checkov.toml");
    let accepted: Accepted = toml::from_str(&std::fs::read_to_string(&path)?).context("tests/template/checkov.toml cannot be read")?;
    if report.summary.parsing_errors > 0 {
        bail!("checkov cannot read template.yaml");
    }
    let faults = faults(&report.results, &accepted.accepted);
    if !faults.is_empty() {
        bail!("{}\nChange the template, or say in tests/template/checkov.toml why it stays so.", faults.join("\n"));
    }
    for (check, reason) in &accepted.accepted {
        let count = report.results.failed_checks.iter().filter(|finding| finding.check_id == *check).count();
        println!("{check}, {count} times\n{}", dim(&lines(reason, "  ")));
    }
    println!(
        "\ncheckov finds nothing that is not accepted: {} findings of {} checks.",
        report.results.failed_checks.len(),
        accepted.accepted.len()
    );
    Ok(())
}

/// A sentence for each resource of which a check finds something that is not accepted, and for each accepted check that finds nothing.
fn faults(found: &Results, accepted: &BTreeMap<String, String>) -> Vec<String> {
    let checks: BTreeSet<&str> = found.failed_checks.iter().map(|finding| finding.check_id.as_str()).collect();
    let new = found.failed_checks.iter().filter(|finding| !accepted.contains_key(&finding.check_id));
    let new = new.map(|Finding { check_id, check_name, resource }| format!("{check_id}: {resource}: {check_name}"));
    let stale = accepted.keys().filter(|check| !checks.contains(check.as_str()));
    let stale = stale.map(|check| format!("{check}: accepted, and found nowhere any more"));
    new.chain(stale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(checks: &[&str]) -> Results {
        let finding = |check: &&str| Finding {
            check_id: (*check).to_owned(),
            check_name: "Ensure encryption".to_owned(),
            resource: "AWS::SQS::Queue.PaymentQueue".to_owned(),
        };
        Results { failed_checks: checks.iter().map(finding).collect() }
    }

    #[test]
    fn only_what_is_accepted_may_be_found_and_all_of_it_must() {
        let accepted = BTreeMap::from([("CKV_AWS_1".to_owned(), "because".to_owned())]);
        assert_eq!(faults(&found(&["CKV_AWS_1", "CKV_AWS_1"]), &accepted), Vec::<String>::new());
        let new = faults(&found(&["CKV_AWS_1", "CKV_AWS_2"]), &accepted);
        assert_eq!(new, ["CKV_AWS_2: AWS::SQS::Queue.PaymentQueue: Ensure encryption"]);
        assert_eq!(faults(&found(&[]), &accepted), ["CKV_AWS_1: accepted, and found nowhere any more"]);
    }
}
