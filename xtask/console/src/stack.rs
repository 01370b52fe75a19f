//! The stack of daily work: `up`, `down` and `status`, and the start of a stack that `demo` and `test` share.
//! At most one stack of `up` runs per checkout; `test` starts another beside it.

use crate::machine::{Repository, missing};
use crate::processes::{SANDBOX_CALLS_PER_SECOND, Service, Services, Start, remove_traces};
use crate::progress::{Progress, bold, green, red, shown};
use crate::state::{self, port_of};
use crate::{build, deploy, watch};
use anyhow::Result;
use command_line::screen::{Layout, table, width, wrapped};
use serde_json::json;
use std::time::Duration;
use testkit::engine::{self, Engine};
use testkit::stack::State;

/// `up`: builds, starts what does not run yet, and deploys what changed. It leaves the stack running.
pub async fn up(repository: &Repository, port: u16, watch: bool) -> Result<()> {
    let mut progress = Progress::new();
    // What is edited from here on is not in the build that begins now.
    let mut built_from = watch::Sources::look(repository)?;
    let built = build::with_tools(repository, &mut progress).await?;
    let folder = repository.local();
    let state = if let Some(running) = state::of_running(repository, &folder)? {
        require_port(&running, port)?;
        redeploy(repository, running, &built, &mut progress).await?
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
    let width = width(&std::io::stdout());
    println!("\nUp in {}.", shown(progress.elapsed()));
    println!("{}", wrapped(["orders go to", &bold(&format!("{}/orders", state.api_url))], " ", ["  ", "    "], width));
    println!("  place one    cargo xtask order --line MUG-BLUE=2");
    println!("  see inside   cargo xtask status · cargo xtask logs payment");
    println!("  stop it      cargo xtask down");
    if watch { watch::run(repository, &mut built_from).await } else { Ok(()) }
}

/// Builds and deploys what changed into the stack that runs.
pub async fn update(repository: &Repository) -> Result<()> {
    let mut progress = Progress::new();
    let built = build::run(repository, &mut progress).await?;
    let running = state::require(repository)?;
    redeploy(repository, running, &built, &mut progress).await.map(drop)
}

async fn redeploy(repository: &Repository, running: State, built: &build::Built, progress: &mut Progress) -> Result<State> {
    let (pids, folder) = ((running.engine_pid, running.stripe_pid), repository.local());
    let port = port_of(&running)?;
    let target = deploy::Target { port, pids, keys: running.keys, folder: &folder, parameters: &[] };
    deploy::run(repository, built, target, progress).await
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

/// `down`: ends what `up` left running.
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

/// `status`: what runs, and what its queues hold.
pub async fn status(repository: &Repository) -> Result<()> {
    let state = state::require(repository)?;
    let width = width(&std::io::stdout());
    println!("{} the engine            {}  process {}", green("●"), state.endpoint_url, state.engine_pid);
    println!("{} the payment provider  {}  process {}", green("●"), state.stripe_url, state.stripe_pid);
    println!("{}\n", wrapped(["orders go to", &format!("{}/orders", state.api_url)], "          ", ["  ", "    "], width));
    let depths = depths(&state).await?;
    for (depth, line) in std::iter::once(None).chain(depths.iter().map(Some)).zip(status_lines(&depths, width)) {
        println!("{}", depth.map_or_else(|| bold(&line), |depth| if depth.waits_for_people() { red(&line) } else { line.clone() }));
    }
    let dead: u64 = depths.iter().filter(|depth| depth.waits_for_people()).map(|depth| depth.waiting).sum();
    if dead > 0 {
        let messages = if dead == 1 { "1 message waits".to_owned() } else { format!("{dead} messages wait") };
        println!("\n{} for a person: see why with `cargo xtask dlq list`.", red(&messages));
    }
    Ok(())
}

/// How much lies in a queue.
struct Depth {
    queue: String,
    waiting: u64,
    in_flight: u64,
    hidden: u64,
}

impl Depth {
    fn waits_for_people(&self) -> bool {
        self.waiting > 0 && (self.queue.contains("DeadLetter") || self.queue.contains("Undelivered"))
    }
}

/// Of every queue, asked concurrently: one after the other they are thirty calls.
async fn depths(state: &State) -> Result<Vec<Depth>> {
    let queues = state.outputs.iter().filter(|(key, _)| key.ends_with("QueueUrl"));
    let asked: Vec<_> = queues.map(|(key, url)| tokio::spawn(depth(state.engine(), key.clone(), url.clone()))).collect();
    let mut depths = Vec::with_capacity(asked.len());
    for answer in asked {
        depths.push(answer.await??);
    }
    Ok(depths)
}

async fn depth(engine: Engine, key: String, url: String) -> Result<Depth> {
    let input = json!({ "QueueUrl": url, "AttributeNames": ["All"] });
    let attributes = engine.call("sqs", "AmazonSQS.GetQueueAttributes", &input).await?;
    let number = |name: &str| attributes["Attributes"][name].as_str().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    Ok(Depth {
        queue: key.trim_end_matches("QueueUrl").to_owned(),
        waiting: number("ApproximateNumberOfMessages"),
        in_flight: number("ApproximateNumberOfMessagesNotVisible"),
        hidden: number("ApproximateNumberOfMessagesDelayed"),
    })
}

fn status_lines(depths: &[Depth], width: Option<usize>) -> Vec<String> {
    let head = ["queue", "waiting", "in flight", "hidden"].map(str::to_owned);
    let row = |it: &Depth| [it.queue.clone(), it.waiting.to_string(), it.in_flight.to_string(), it.hidden.to_string()];
    let rows: Vec<_> = std::iter::once(head).chain(depths.iter().map(row)).collect();
    table(&rows, Layout { numbers: &[1, 2, 3], flexible: &[0], width })
}

#[cfg(test)]
mod tests {
    use super::*;
    use command_line::screen::columns;
    use std::time::Instant;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[test]
    fn the_queues_fit_the_terminal() {
        let depth = Depth { queue: "EmailCampaignDeadLetter".into(), waiting: 1, in_flight: 100_000, hidden: 0 };
        assert!(depth.waits_for_people());
        for width in [40, 80] {
            assert!(status_lines(std::slice::from_ref(&depth), Some(width)).iter().all(|line| columns(line) <= width));
        }
    }

    /// An engine that takes its time for each answer: one after the other, twenty queues would take twenty times as long.
    #[tokio::test]
    async fn queues_are_asked_concurrently() {
        const EACH: Duration = Duration::from_millis(300);
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (mut connection, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    assert!(connection.read(&mut [0; 4096]).await.unwrap() > 0);
                    tokio::time::sleep(EACH).await;
                    let body = r#"{"Attributes":{"ApproximateNumberOfMessages":"7"}}"#;
                    let answer = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                    connection.write_all(answer.as_bytes()).await.unwrap();
                });
            }
        });
        let state = State {
            endpoint_url: engine::url(port),
            region: engine::REGION.into(),
            stack_name: "order-pipeline".into(),
            api_url: String::new(),
            stripe_url: String::new(),
            outputs: (0..20).map(|n| (format!("Q{n}QueueUrl"), format!("http://q/{n}"))).collect(),
            engine_pid: 0,
            stripe_pid: 0,
            keys: engine::Keys::draw().unwrap(),
        };
        let began = Instant::now();
        let depths = depths(&state).await.unwrap();
        assert!(depths.len() == 20 && depths.iter().all(|depth| depth.waiting == 7));
        assert!(began.elapsed() < EACH * 10, "{:?}", began.elapsed());
    }
}
