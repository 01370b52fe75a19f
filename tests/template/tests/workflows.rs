//! The workflows of the repository: what they run is named to the bit, and they end.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use template::workspace_root;

/// Every job of every workflow, with the workflow's file name.
fn jobs() -> Result<Vec<(String, Value)>> {
    let folder = workspace_root().join(".github/workflows");
    let mut jobs = vec![];
    for file in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = file?.path();
        let workflow: Value = yaml_serde::from_str(&std::fs::read_to_string(&path)?)?;
        ensure!(workflow["permissions"] == serde_json::json!({ "contents": "read" }), "{}: permissions are not the least", path.display());
        let found = workflow["jobs"].as_object().with_context(|| format!("{} has no jobs", path.display()))?;
        jobs.extend(found.iter().map(|(name, job)| (format!("{}: {name}", path.display()), job.clone())));
    }
    ensure!(!jobs.is_empty(), "no workflow has a job");
    Ok(jobs)
}

#[test]
fn every_action_is_pinned_by_its_commit_and_checks_out_without_credentials() -> Result<()> {
    for (name, job) in jobs()? {
        for step in job["steps"].as_array().into_iter().flatten() {
            let Some(action) = step["uses"].as_str() else { continue };
            let commit = action.split_once('@').map(|(_, commit)| commit).unwrap_or_default();
            assert!(commit.len() == 40 && commit.bytes().all(|b| b.is_ascii_hexdigit()), "{name}: {action} names no commit");
            assert!(!action.starts_with("actions/checkout@") || step["with"]["persist-credentials"] == false, "{name}: keeps its token");
        }
    }
    Ok(())
}

#[test]
fn every_job_ends_and_installs_tools_of_a_version() -> Result<()> {
    for (name, job) in jobs()? {
        assert!(job["timeout-minutes"].is_u64(), "{name} has no time limit");
        for command in job["steps"].as_array().into_iter().flatten().filter_map(|step| step["run"].as_str()) {
            let installs = command.contains("install") || command.contains("pipx run");
            assert!(!installs || command.contains('@') || command.contains("=="), "{name}: {command} installs whatever is newest");
        }
    }
    Ok(())
}

/// A checkout anywhere runs the same checks: a path outside of it exists on one machine only.
#[test]
fn the_ci_script_needs_nothing_outside_of_the_checkout() -> Result<()> {
    let script = std::fs::read_to_string(workspace_root().join(".ci/run"))?;
    let outside: Vec<_> = script.lines().filter(|line| line.contains("../") || line.contains(" /")).collect();
    assert!(outside.is_empty(), "{outside:?}");
    assert!(script.lines().any(|line| line == "exec cargo xtask test"), "it runs another list than people do");
    Ok(())
}
