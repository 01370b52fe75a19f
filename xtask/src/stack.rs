//! The stack of daily work: `up`, `down`, `status` and `logs`, and the start of a stack that `demo` and `test` share.
//! At most one stack of `up` runs per checkout; `test` starts another beside it.

use crate::machine::{Repository, logical_id, missing};
use crate::processes::{SANDBOX_CALLS_PER_SECOND, Service, Services, Start, remove_traces};
use crate::progress::{Progress, bold, dim, green, red, shown};
use crate::state;
use crate::{build, deploy, setup};
use anyhow::{Result, bail};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use testkit::engine::{self, deployed};
use testkit::stack::State;

pub async fn up(repository: &Repository, port: u16) -> Result<()> {
    let mut progress = Progress::new();
    setup::run(repository, &mut progress).await?;
    let built = build::run(repository, &mut progress).await?;
    let folder = repository.local();
    let state = if let Some(running) = state::of_running(repository, &folder)? {
        require_port(&running, port)?;
        let target =
            deploy::Target { port, pids: (running.engine_pid, running.stripe_pid), keys: running.keys, folder: &folder, parameters: &[] };
        deploy::run(repository, &built, target, &mut progress).await?
    } else {
        let start = Start {
            port,
            folder: &folder,
            lifeline: false,
            provider_latency: Duration::ZERO,
            provider_calls_per_second: SANDBOX_CALLS_PER_SECOND,
        };
        let mut services = Services::start(repository, start, &mut progress).await?;
        let pids = (services.engine_pid(), services.provider_pid());
        let target = deploy::Target { port, pids, keys: services.keys(), folder: &folder, parameters: &[] };
        let deployed = deploy::run(repository, &built, target, &mut progress);
        let state = services.while_alive(deployed).await?;
        services.stay();
        state
    };
    println!("\nUp in {}. Orders go to {}", shown(progress.elapsed()), bold(&format!("{}/orders", state.api_url)));
    println!(
        "  place one    cargo xtask order --line MUG-BLUE=2\n  see inside   cargo xtask status · cargo xtask logs payment\n  stop it      cargo xtask down"
    );
    Ok(())
}

/// A fresh stack that ends with its [`Services`]; `parameters` stand in place of those of samconfig.toml.
pub async fn fresh(
    repository: &Repository,
    start: Start<'_>,
    built: &build::Built,
    parameters: &[&str],
    progress: &mut Progress,
) -> Result<(Services, State)> {
    let (port, folder) = (start.port, start.folder);
    let mut services = Services::start(repository, start, progress).await?;
    let pids = (services.engine_pid(), services.provider_pid());
    let target = deploy::Target { port, pids, keys: services.keys(), folder, parameters };
    let state = services.while_alive(deploy::run(repository, built, target, progress)).await?;
    Ok((services, state))
}

pub async fn down(repository: &Repository) -> Result<()> {
    let folder = repository.local();
    let state = State::read(&folder)?;
    let mut stopped = Vec::new();
    for (service, pid) in state.iter().flat_map(|s| [(Service::Engine, s.engine_pid), (Service::PaymentProvider, s.stripe_pid)]) {
        if service.stop(pid, repository) {
            stopped.push(format!("{} (process {pid})", service.name()));
        }
    }
    remove_traces(&folder)?;
    match stopped.as_slice() {
        [] => println!("Nothing was running."),
        services => println!("Stopped {}.", services.join(" and ")),
    }
    Ok(())
}

/// The running stack answers at its own port: another one asked for is a misunderstanding.
pub fn require_port(running: &State, port: u16) -> Result<()> {
    if running.endpoint_url == engine::url(port) {
        return Ok(());
    }
    missing(format!("the pipeline is already up at {}: stop it with `cargo xtask down`, or leave out --port.", running.endpoint_url))
}

pub async fn status(repository: &Repository) -> Result<()> {
    let state = state::require(repository)?;
    let engine = state.engine();
    println!("{} the engine            {}  process {}", green("●"), state.endpoint_url, state.engine_pid);
    println!("{} the payment provider  {}  process {}", green("●"), state.stripe_url, state.stripe_pid);
    println!("  orders go to          {}/orders\n", state.api_url);
    println!("{}", bold(&format!("{:<28}{:>10}{:>12}{:>10}", "queue", "waiting", "in flight", "hidden")));
    let mut dead = 0;
    for (key, url) in state.outputs.iter().filter(|(key, _)| key.ends_with("QueueUrl")) {
        let input = json!({ "QueueUrl": url, "AttributeNames": ["All"] });
        let attributes = engine.call("sqs", "AmazonSQS.GetQueueAttributes", &input).await?;
        let number = |name: &str| attributes["Attributes"][name].as_str().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
        let waiting = number("ApproximateNumberOfMessages");
        let name = key.trim_end_matches("QueueUrl");
        let line = format!(
            "{name:<28}{waiting:>10}{:>12}{:>10}",
            number("ApproximateNumberOfMessagesNotVisible"),
            number("ApproximateNumberOfMessagesDelayed")
        );
        let is_for_people = key.contains("DeadLetter") || key.contains("Undelivered");
        if is_for_people && waiting > 0 {
            dead += waiting;
            println!("{}", red(&line));
        } else {
            println!("{line}");
        }
    }
    if dead > 0 {
        println!("\n{} wait for a person: see what they are with `cargo xtask dlq list`.", red(&format!("{dead} messages")));
    }
    Ok(())
}

pub async fn logs(repository: &Repository, function: &str, follow: bool) -> Result<()> {
    /// Soon enough to feel live, seldom enough for one machine.
    const LOOK_AGAIN: Duration = Duration::from_millis(500);
    let known = repository.functions()?;
    let Some(folder) = known.iter().find(|name| *name == function || logical_id(name) == function) else {
        bail!("there is no function {function}; there are {}", known.join(", "));
    };
    let state = state::require(repository)?;
    let engine = state.engine();
    let functions = engine.functions().await?;
    let deployed = deployed(&functions, &logical_id(folder))?;
    let default_group = format!("/aws/lambda/{}", deployed["FunctionName"].as_str().unwrap_or_default());
    let group = deployed["LoggingConfig"]["LogGroup"].as_str().unwrap_or(&default_group).to_owned();

    let mut printed = HashSet::new();
    loop {
        let mut token = None;
        // The engine's events have no id: an event is what it says, when, and how often that was said before.
        let mut said: HashMap<String, u32> = HashMap::new();
        loop {
            let mut input = json!({ "logGroupName": group });
            if let Some(token) = token {
                input["nextToken"] = token;
            }
            let page = match engine.call("logs", "Logs_20140328.FilterLogEvents", &input).await {
                Err(error) if format!("{error:#}").contains("ResourceNotFound") => serde_json::Value::Null,
                page => page?,
            };
            for event in page["events"].as_array().into_iter().flatten() {
                let times = said.entry(event.to_string()).and_modify(|times| *times += 1).or_default();
                if printed.insert((event.to_string(), *times)) {
                    println!("{}", event["message"].as_str().unwrap_or_default().trim_end());
                }
            }
            token = page.get("nextToken").filter(|token| token.is_string()).cloned();
            if token.is_none() {
                break;
            }
        }
        if !follow {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    if printed.is_empty() {
        println!("{}", dim(&format!("{folder} has logged nothing yet.")));
    }
    Ok(())
}
