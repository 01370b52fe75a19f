//! `sam local invoke` with every sample event, against the tables and queues of a running stack.
//!
//! It needs containers whose functions find the engine, and `sam local invoke` hands a function only the variables that the
//! template declares: a plain Docker would send them to the real AWS. So it takes a program, named by `SAM_LOCAL_WRAPPER`, that
//! runs the command it is given where the Lambda image sets `AWS_ENDPOINT_URL` to this machine (with the engine's port in
//! `EMULATOR_PORT`). Without one the step says so and is skipped.

use crate::build::{self, tool};
use crate::machine::{Repository, logical_id};
use crate::progress::{green, red};
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use testkit::engine::deployed;
use testkit::stack::State;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// This machine as the containers see it, unless `SAM_LOCAL_HOST` says otherwise: the wrapper's own bridge.
const HOST: &str = "172.29.0.1";

/// The program that makes containers possible, or a sentence why the step is skipped. Asked once the tools are set up: the
/// program looks for them.
pub async fn wrapper(repository: &Repository) -> Result<OsString, String> {
    let wrapper = std::env::var_os("SAM_LOCAL_WRAPPER").filter(|wrapper| !wrapper.is_empty());
    let wrapper = wrapper.ok_or("SAM_LOCAL_WRAPPER names no program that runs it in containers that reach the engine")?;
    // A machine on which no container can start at all is no fault of an event.
    let probe = tool_from(repository, &wrapper).arg("true").stdin(Stdio::null()).output().await;
    match probe {
        Ok(output) if output.status.success() => Ok(wrapper),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(format!("SAM_LOCAL_WRAPPER cannot start containers here: {}", said.lines().last().unwrap_or("it does not say why")))
        }
        Err(error) => Err(format!("SAM_LOCAL_WRAPPER cannot be run: {error}")),
    }
}

/// This program's own command for the step, inside the wrapper.
pub fn command(wrapper: &OsStr, repository: &Repository, state: &Path) -> Result<Command> {
    // The wrapper looks for sam on the PATH.
    let mut command = tool_from(repository, wrapper);
    command.arg(std::env::current_exe()?).arg("sam-local").arg(state);
    let state: State = serde_json::from_str(&std::fs::read_to_string(state)?)?;
    command.env("EMULATOR_PORT", port_of(&state)?.to_string()).env("AWS_ENDPOINT_URL", state.endpoint_url);
    Ok(command)
}

fn port_of(state: &State) -> Result<u16> {
    state.endpoint_url.rsplit(':').next().and_then(|port| port.parse().ok()).context("the state file names no port")
}

/// Any program, with the environment of the tools.
fn tool_from(repository: &Repository, program: &OsStr) -> Command {
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

/// Invokes every sample event.
pub async fn run(repository: &Repository, state: &Path) -> Result<()> {
    let state: State = serde_json::from_str(&std::fs::read_to_string(state)?).context("not a state file")?;
    let host = std::env::var("SAM_LOCAL_HOST").unwrap_or_else(|_| HOST.into());
    let port = port_of(&state)?;
    let bridge = TcpListener::bind((&*host, port)).await;
    let bridge = bridge.with_context(|| format!("containers should reach this machine at {host}, and nothing can listen there"))?;
    tokio::select! {
        result = invoke_all(repository, &state, &host) => result,
        result = forward(bridge, port) => result,
    }
}

/// Lets the containers' bridge, and no other network, reach the engine, which listens on the loopback interface.
async fn forward(bridge: TcpListener, port: u16) -> Result<()> {
    loop {
        let (mut container, _) = bridge.accept().await?;
        // A connection that breaks shows in the container, whose function then fails; here there is nobody to tell.
        tokio::spawn(async move {
            let mut engine = TcpStream::connect(("127.0.0.1", port)).await?;
            tokio::io::copy_bidirectional(&mut container, &mut engine).await
        });
    }
}

async fn invoke_all(repository: &Repository, state: &State, host: &str) -> Result<()> {
    let environment = environment(state, host, repository).await?;
    let mut wrong = 0;
    for (function, event) in events(repository)? {
        let mut sam = tool(repository, "sam");
        // Its containers work as the developer: sam has no roles to lend.
        build::with_keys(&mut sam, &state.keys);
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
    // The payment provider stays where it is, out of a container's reach: payment refuses to speak plain HTTP to anything but the
    // loopback interface, and answers that its message has to come back.
    const LEFT_ALONE: &str = "STRIPE_API_URL";
    let mut all = Map::new();
    let functions = state.engine().functions().await?;
    for function in repository.functions()? {
        let id = logical_id(&function);
        let mut variables = deployed(&functions, &id)?["Environment"]["Variables"].clone();
        for (name, value) in variables.as_object_mut().into_iter().flatten() {
            if let (Some(text), true) = (value.as_str(), name != LEFT_ALONE) {
                *value = text.replace("127.0.0.1", host).replace("localhost", host).into();
            }
        }
        all.insert(id, variables);
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
