//! Every sample event by `sam local invoke` or `start-lambda`, and an order by `start-api`, against the tables and queues of a running
//! stack, with the files that [`sam_env`](crate::sam_env) makes.
//!
//! It needs containers. So it takes a program, named by `SAM_LOCAL_WRAPPER`, that runs the command it is given where they can start
//! (with the engine's port in `EMULATOR_PORT`). Without one the step says so and is skipped.

use crate::sam_env::{Door, Files};
use anyhow::{Context, Result, bail, ensure};
use console::build::{self, tool};
use console::machine::{Repository, free_ports, logical_id, this_program};
use console::processes::Group;
use console::progress::{green, red};
use console::state::port_of;
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use testkit::engine::{self, HttpAnswer, request};
use testkit::shop::{EMAIL, VISA, new_address, new_key, new_sku, order_of};
use testkit::stack::{Stack, State};
use tokio::process::Command;

/// How long a server of sam's may take until it listens: it starts in three seconds, on a busy machine in ten.
const SERVER_LIMIT: Duration = Duration::from_secs(60);
/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(100);

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
    command.arg(this_program()).arg("sam-local").arg(state);
    let state: State = serde_json::from_str(&std::fs::read_to_string(state)?)?;
    command.env("EMULATOR_PORT", port_of(&state)?.to_string()).env("AWS_ENDPOINT_URL", state.endpoint_url);
    Ok(command)
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

/// Invokes every sample event, and places an order by `start-api`.
pub async fn run(repository: &Repository, state: &Path) -> Result<()> {
    let folder = state.parent().context("a state file lies in a folder")?.join("sam-local");
    let state: State = serde_json::from_str(&std::fs::read_to_string(state)?).context("not a state file")?;
    let host = std::env::var("SAM_LOCAL_HOST").unwrap_or_else(|_| HOST.into()).parse().context("SAM_LOCAL_HOST is no IP address")?;
    let door = Door::open(&state, host).await?;
    let files = Files::write(repository, &state, host, &folder).await?;
    let calls = Sam { repository, state: &state, files: &files };
    tokio::select! {
        result = calls.all() => result,
        result = door.forward() => result,
    }
}

/// `sam local`, as the README types it, but for the files: those of samconfig.toml are of the stack of `up`.
struct Sam<'a> {
    repository: &'a Repository,
    state: &'a State,
    files: &'a Files,
}

impl Sam<'_> {
    async fn all(&self) -> Result<()> {
        self.samples().await?;
        self.place_an_order().await.context("sam local start-api")
    }

    fn command(&self, command: &str) -> Command {
        let mut sam = tool(self.repository, "sam");
        // Its containers work as the developer: sam has no roles to lend.
        build::with_keys(&mut sam, &self.state.keys);
        sam.args(["local", command, "--config-env", build::CONFIG_ENV, "--skip-pull-image", "--config-file"]);
        sam.arg(self.repository.root.join("samconfig.toml")).arg("--template").arg(&self.files.template);
        sam.arg("--env-vars").arg(&self.files.environment);
        // Kept from the wrapper or from Docker's own configuration.
        sam.env("AWS_ENDPOINT_URL", &self.state.endpoint_url).stdin(Stdio::null());
        sam
    }

    /// Each function's first by `invoke`, as a person types it. That starts a program and a container for every event, which takes
    /// seconds; so the others go through `start-lambda`, which keeps one container a function and calls it in the same way.
    async fn samples(&self) -> Result<()> {
        let (_server, url) = self.serve("start-lambda").await?;
        let (mut wrong, mut before) = (0, String::new());
        for (function, event) in events(self.repository)? {
            let (way, fault) = if function == before {
                ("start-lambda", self.call(&url, &function, &event).await?)
            } else {
                ("invoke", self.invoke(&function, &event).await?)
            };
            let shown = self.repository.shown(&event);
            match fault {
                None => println!("{} {way:<12} {function:<16} {shown}", green("✓")),
                Some(fault) => {
                    wrong += 1;
                    println!("{} {way:<12} {function:<16} {shown}\n  {fault}", red("✗"));
                }
            }
            before = function;
        }
        if wrong > 0 {
            bail!("{wrong} sample events did not work with sam local");
        }
        Ok(())
    }

    async fn invoke(&self, function: &str, event: &Path) -> Result<Option<String>> {
        let mut sam = self.command("invoke");
        sam.arg(logical_id(function)).arg("--event").arg(event).kill_on_drop(true);
        let output = sam.output().await?;
        let (answer, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Ok(fault(output.status.success(), &answer, &said))
    }

    async fn call(&self, url: &str, function: &str, event: &Path) -> Result<Option<String>> {
        let answer = invocation(url, function, std::fs::read_to_string(event)?).await?;
        // A function that times out is answered for with nothing at all, which is a fault by itself.
        Ok(fault(answer.status == 200, &answer.body, &answer.body))
    }

    /// By `curl`'s request through `start-api`: what is there was placed in the running stack, and is read from it.
    async fn place_an_order(&self) -> Result<()> {
        let stack = Stack::of(self.state.clone());
        let sku = new_sku("SAM");
        stack.stock_up(&sku, 1200, 1).await?;
        let (_server, url) = self.serve("start-api").await?;
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", &*new_key())];
        let order = order_of(&new_address(EMAIL), &[(&sku, 1)], VISA);
        let placed = request("POST", &format!("{url}/orders"), &headers, order.to_string()).await?;
        ensure!(placed.status == 202, "POST /orders was answered with {}: {}", placed.status, placed.body);
        let placed = placed.json()?;
        let order_id = placed["order_id"].as_str().context("an order without an id")?;
        let seen = request("GET", &format!("{url}/orders/{order_id}"), &[], String::new()).await?;
        ensure!(seen.status == 200, "GET /orders/{{order_id}} was answered with {}: {}", seen.status, seen.body);
        println!("{} {:<12} POST /orders, GET /orders/{{order_id}}", green("✓"), "start-api");
        Ok(())
    }

    /// One of sam's servers, which ends with the value, and where it answers.
    async fn serve(&self, command: &str) -> Result<(Group, String)> {
        let port = free_ports()?;
        let mut sam = self.command(command);
        let log = std::fs::File::create(self.files.environment.with_file_name(format!("{command}.log")))?;
        sam.arg("--port").arg(port.to_string()).stdout(log.try_clone()?).stderr(log);
        let server = Group::start(sam)?;
        let deadline = Instant::now() + SERVER_LIMIT;
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            ensure!(Instant::now() < deadline, "sam local {command} did not listen within {} s", SERVER_LIMIT.as_secs());
            tokio::time::sleep(LOOK).await;
        }
        Ok((server, engine::url(port)))
    }
}

/// Lambda's own request for an invocation, to `start-lambda`.
async fn invocation(url: &str, function: &str, event: String) -> Result<HttpAnswer> {
    let url = format!("{url}/2015-03-31/functions/{}/invocations", logical_id(function));
    request("POST", &url, &[("Content-Type", "application/json")], event).await
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
