//! `sam local invoke` with every sample event, against the tables and queues of a running stack.
//!
//! It needs containers: a Docker that answers, or a program named by `SAM_LOCAL_WRAPPER` that makes one for the command it is
//! given (with the engine's port in `EMULATOR_PORT`). Where there is neither, the step says so and is skipped.

use crate::build;
use crate::build::tool;
use crate::engine::Engine;
use crate::machine::{Repository, logical_id};
use crate::progress::{green, red};
use crate::state::State;
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// Where containers find this machine: Docker's own bridge, and the one of a wrapper.
const DOCKER_HOST_ADDRESS: &str = "172.17.0.1";
const WRAPPER_HOST_ADDRESS: &str = "172.29.0.1";

/// What can start containers here.
pub enum Containers {
    Docker,
    Wrapper(OsString),
}

/// What can start containers here, or a sentence why nothing can.
pub fn available(_repository: &Repository) -> Result<Containers, String> {
    if let Some(wrapper) = std::env::var_os("SAM_LOCAL_WRAPPER").filter(|wrapper| !wrapper.is_empty()) {
        return Ok(Containers::Wrapper(wrapper));
    }
    let docker = std::process::Command::new("docker").arg("info").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if docker.is_ok_and(|status| status.success()) { Ok(Containers::Docker) } else { Err("no Docker answers on this machine".into()) }
}

impl Containers {
    /// This program's own command for the step, inside whatever makes containers possible.
    pub fn command(&self, repository: &Repository, state: &Path) -> Result<Command> {
        let this = std::env::current_exe()?;
        // The wrapper looks for sam on the PATH.
        let mut command = match self {
            Self::Docker => tool_from(repository, this.as_os_str()),
            Self::Wrapper(wrapper) => {
                let mut command = tool_from(repository, wrapper);
                command.arg(this);
                command
            }
        };
        let host = if matches!(self, Self::Docker) { DOCKER_HOST_ADDRESS } else { WRAPPER_HOST_ADDRESS };
        command.arg("sam-local").arg(state).arg(host);
        let state: State = serde_json::from_str(&std::fs::read_to_string(state)?)?;
        let port = state.endpoint_url.rsplit(':').next().unwrap_or_default().to_owned();
        command.env("EMULATOR_PORT", port).env("AWS_ENDPOINT_URL", state.endpoint_url);
        Ok(command)
    }
}

/// Any program, with the environment of the tools.
fn tool_from(repository: &Repository, program: &std::ffi::OsStr) -> Command {
    let tool = tool(repository, "sam");
    let mut command = Command::new(program);
    command.current_dir(&repository.root);
    for (name, value) in tool.as_std().get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Invokes every sample event. `host` is this machine as containers see it.
pub async fn run(repository: &Repository, state: &Path, host: &str) -> Result<()> {
    let state: State = serde_json::from_str(&std::fs::read_to_string(state)?).context("not a state file")?;
    let environment = environment(&state, host, repository).await?;
    let mut wrong = 0;
    for (function, event) in events(repository)? {
        let mut sam = tool(repository, "sam");
        sam.args(["local", "invoke", &logical_id(&function), "--skip-pull-image", "--template"])
            .arg(build::folder(repository).join("template.yaml"));
        sam.arg("--event").arg(&event).arg("--env-vars").arg(&environment);
        // Kept from the wrapper or from Docker's own configuration.
        sam.env("AWS_ENDPOINT_URL", &state.endpoint_url).stdin(Stdio::null()).kill_on_drop(true);
        let output = sam.output().await?;
        let (answer, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let fault = fault(output.status.success(), &answer, &said);
        let shown = repository.shown(&event);
        match fault {
            None => println!("{} {function:<16} {shown}", green("✓")),
            Some(fault) => {
                wrong += 1;
                println!("{} {function:<16} {shown}\n  {fault}", red("✗"));
            }
        }
    }
    std::fs::remove_file(environment)?;
    if wrong > 0 {
        bail!("{wrong} sample events did not work with sam local invoke");
    }
    Ok(())
}

/// Why an invocation went wrong. `sam local invoke` ends well even when the function failed or timed out, so its words are read.
fn fault(succeeded: bool, answer: &str, said: &str) -> Option<String> {
    let end: Vec<&str> = said.lines().rev().take(5).collect();
    let end: String = end.into_iter().rev().collect::<Vec<_>>().join("\n  ");
    if !succeeded || said.contains("timed out after") {
        return Some(end);
    }
    match answer.lines().rev().find_map(|line| serde_json::from_str::<Value>(line.trim()).ok()) {
        None => Some(format!("no JSON came back.\n  {end}")),
        Some(answer) if answer.get("errorType").is_some() => Some(answer.to_string()),
        Some(_) => None,
    }
}

/// The sample events by function, in a steady order.
fn events(repository: &Repository) -> Result<Vec<(String, PathBuf)>> {
    let mut events = Vec::new();
    for function in repository.functions()? {
        let folder = repository.root.join("events").join(&function);
        for entry in std::fs::read_dir(&folder).with_context(|| format!("{} cannot be read", folder.display()))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                events.push((function.clone(), path));
            }
        }
    }
    events.sort();
    Ok(events)
}

/// The environment that the deployed functions have, with the addresses that containers need: locally a `!Ref` is a logical id.
async fn environment(state: &State, host: &str, repository: &Repository) -> Result<PathBuf> {
    let mut all = Map::new();
    let functions = Engine::new(&state.endpoint_url).functions().await?;
    for function in repository.functions()? {
        let id = logical_id(&function);
        let deployed = functions.iter().find(|f| f["FunctionName"].as_str().is_some_and(|name| name.contains(&id)));
        let variables = deployed.with_context(|| format!("{id} is not deployed"))?["Environment"]["Variables"].to_string();
        let reachable = variables.replace("127.0.0.1", host).replace("localhost", host);
        all.insert(id, serde_json::from_str(&reachable)?);
    }
    let path = repository.local().join("test/sam-local-environment.json");
    std::fs::write(&path, json!(all).to_string())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_error_is_a_fault_although_sam_ends_well() {
        assert!(fault(true, r#"{"errorType":"Runtime","errorMessage":"x"}"#, "").is_some());
        assert!(fault(true, "", "Function 'X' timed out after 10 seconds").is_some());
        assert!(fault(true, "", "").is_some());
        assert!(fault(false, "{}", "Error: no such function").is_some());
        assert!(fault(true, "{\"batchItemFailures\":[]}\n", "START RequestId").is_none());
    }
}
