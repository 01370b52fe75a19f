//! Programs in process groups of their own, and their end. Dropping a [`Group`] ends every process in it, the functions that
//! the engine started among them, so that a failure, a panic or Ctrl-C leaves nothing behind. `kill -9` of this program is
//! covered by the lifeline: the services hold a pipe of which they see the end.
//! It never ends a process by name: only groups it started, or a pid that still is what the state file says.

use crate::machine::{Repository, command_line, require_free_port};
use crate::progress;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use testkit::engine::{self, Keys};
use testkit::stack::State;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

/// How long a group may take to end by itself: the engine gives its functions two seconds.
const GRACE: Duration = Duration::from_secs(5);
/// How often a dying group is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// How long a service may take from its start to its first answer. Half a second is usual; a busy CI machine takes longer.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A program and all it started, which end with this value.
pub struct Group {
    child: Child,
    pid: Pid,
    stays: bool,
}

impl Group {
    /// Starts the program as the leader of a process group.
    pub fn start(mut command: Command) -> Result<Self> {
        command.process_group(0);
        let name = command.as_std().get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("{name} could not be started"))?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("a program exited at start")?;
        Ok(Self { child, pid, stays: false })
    }

    /// Waits for the end of the program.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// The program's output, where it was started with pipes.
    pub fn output(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// The id of the program and of its group.
    pub fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().cast_unsigned()
    }

    /// Lets the program run on after this one has ended.
    pub fn stay(&mut self) {
        self.stays = true;
    }

    fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.stays {
            let Self { child, pid, .. } = self;
            // Collecting the leader as it ends, so that it does not count as alive.
            end_group(*pid, || drop(child.try_wait()));
        }
    }
}

/// Cargo in the workspace at `root`.
pub fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(arguments).current_dir(root);
    // Set by the cargo that runs this program, about this package: tests of others would read them.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CARGO_PKG_") || name.to_string_lossy().starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// A program of the workspace, which cargo builds first, and is seen to: what takes a minute in silence looks as if it hung. Its own
/// arguments follow.
pub fn program(root: &Path, which: &[&str]) -> Command {
    let mut command = cargo(root, &["run"]);
    command.args(which).arg("--");
    command
}

/// What was typed behind this program's command, for a program that reads the same options.
pub fn arguments() -> impl Iterator<Item = std::ffi::OsString> {
    std::env::args_os().skip(2)
}

/// Asks a group to end, and makes it.
#[expect(clippy::disallowed_methods, reason = "it polls with a deadline, where a destructor cannot await")]
fn end_group(pid: Pid, mut collect: impl FnMut()) {
    let deadline = Instant::now() + GRACE;
    let mut signal = Signal::TERM;
    loop {
        collect();
        if !group_lives(pid) {
            return;
        }
        if kill_process_group(pid, signal).is_err() || signal == Signal::KILL {
            collect();
            return;
        }
        while Instant::now() < deadline && group_lives(pid) {
            std::thread::sleep(LOOK);
            collect();
        }
        signal = Signal::KILL;
    }
}

/// Whether any process of the group still runs. One that has ended and that nobody collects does not.
fn group_lives(group: Pid) -> bool {
    if test_kill_process_group(group).is_err() {
        return false;
    }
    let Ok(processes) = std::fs::read_dir("/proc") else { return true };
    processes.flatten().filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok()).any(|stat| {
        // `pid (name) state parent group …`, where the name may hold anything.
        let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
        let state = fields.next();
        fields.nth(1) == Some(&group.to_string()) && state != Some("Z")
    })
}

/// What tells a service's process from a stranger that was given the same pid later: its script.
#[derive(Clone, Copy)]
pub enum Service {
    /// AWS on this machine.
    Engine,
    /// Stripe on this machine.
    PaymentProvider,
}

impl Service {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Engine => "the engine",
            Self::PaymentProvider => "the payment provider",
        }
    }
    fn script(self, repository: &Repository) -> PathBuf {
        repository.root.join("local").join(match self {
            Self::Engine => "engine.py",
            Self::PaymentProvider => "payment_provider.py",
        })
    }
    fn log(self, folder: &Path) -> PathBuf {
        folder.join(match self {
            Self::Engine => "engine.log",
            Self::PaymentProvider => "stripe.log",
        })
    }
    /// Whether the process still is this service.
    pub fn runs_as(self, pid: u32, repository: &Repository) -> bool {
        command_line(pid).is_some_and(|line| line.contains(&*self.script(repository).to_string_lossy()))
    }
    /// Ends the service that an earlier command left running. Says whether there was one.
    pub fn stop(self, pid: u32, repository: &Repository) -> bool {
        let Some(group) = Pid::from_raw(pid.cast_signed()).filter(|_| self.runs_as(pid, repository)) else { return false };
        end_group(group, || ());
        true
    }
}

/// The engine and the payment provider, started by this command. Fields are dropped in this order: first both programs end.
pub struct Services {
    engine: Group,
    provider: Group,
    traces: Traces,
    keys: Keys,
}

/// What a stack leaves in its folder beside its logs: it goes when the stack ends, and before a new one starts.
struct Traces {
    folder: PathBuf,
    stay: bool,
}

impl Drop for Traces {
    fn drop(&mut self) {
        if !self.stay
            && let Err(error) = remove_traces(&self.folder)
        {
            eprintln!("{error:#}");
        }
    }
}

/// Removes the state file, and what the engine unpacked the functions into.
pub fn remove_traces(folder: &Path) -> Result<()> {
    State::remove(folder)?;
    match std::fs::remove_dir_all(temporary(folder)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).context("the engine's temporary folder cannot be removed"),
        _ => Ok(()),
    }
}

fn temporary(folder: &Path) -> PathBuf {
    folder.join("tmp")
}

/// How the services are started.
pub struct Start<'a> {
    /// Of the engine; the provider takes the one above it.
    pub port: u16,
    /// Where they log.
    pub folder: &'a Path,
    /// Whether they end with this program. Those of `up` do not.
    pub lifeline: bool,
    /// How long the payment provider takes for every change, beside its own time.
    pub provider_latency: Duration,
    /// How many changes a second the payment provider takes: what the template's parameters tell payment.
    pub provider_calls_per_second: u32,
}

/// What Stripe allows a sandbox, and each endpoint (<https://docs.stripe.com/rate-limits>, as copied on 2026-04-30).
pub const SANDBOX_CALLS_PER_SECOND: u32 = 25;

/// The payment provider's port, beside an engine at `port`.
pub fn provider_port(port: u16) -> u16 {
    port + 1
}

impl Services {
    /// Starts both and waits until they answer.
    pub async fn start(repository: &Repository, start: Start<'_>, progress: &mut progress::Progress) -> Result<Self> {
        let port = start.port;
        require_free_port(port, "the engine")?;
        require_free_port(provider_port(port), "the payment provider")?;
        remove_traces(start.folder)?;
        let temporary = temporary(start.folder);
        std::fs::create_dir_all(&temporary)?;
        // Made first, so that it goes last, however far this comes.
        let traces = Traces { folder: start.folder.to_owned(), stay: false };

        let keys = Keys::draw()?;
        let mut engine = service(Service::Engine, repository, &start)?;
        // Functions inherit the engine's whole environment, so it is made from nothing: no credentials of this machine, no proxy.
        for (name, value) in [
            ("GATEWAY_PORT", port.to_string()),
            ("BIND_HOST", "127.0.0.1".into()),
            ("AUTH", "true".into()),
            ("AWS_ENDPOINT_URL", engine::url(port)),
            ("AWS_ACCESS_KEY_ID", keys.root.clone()),
            ("AWS_SECRET_ACCESS_KEY", keys.root.clone()),
            ("AWS_DEFAULT_REGION", engine::REGION.into()),
            ("AWS_REGION", engine::REGION.into()),
            // Services this template does not use and that would open ports or look for Docker.
            ("IOT_MTLS_ENABLED", "0".into()),
            ("SFTP_ENABLED", "0".into()),
            ("DOCKER_HOST", "unix:///nonexistent.sock".into()),
            ("TMPDIR", temporary.to_string_lossy().into_owned()),
        ] {
            engine.env(name, value);
        }
        let engine = Group::start(engine)?;

        let mut provider = service(Service::PaymentProvider, repository, &start)?;
        let calls = start.provider_calls_per_second.to_string();
        provider.args(["--calls-per-second", &calls, "--endpoint-calls-per-second", &calls]);
        provider.arg("--latency-ms").arg(start.provider_latency.as_millis().to_string()).arg(provider_port(port).to_string());
        // Not among the arguments, which every user of the machine can list.
        provider.env("PROVIDER_KEY", &keys.provider);
        let provider = Group::start(provider)?;

        let mut services = Self { engine, provider, traces, keys };
        progress
            .wait("Start the engine and the payment provider", async {
                let deadline = Instant::now() + START_LIMIT;
                while !(engine::is_healthy(port).await && engine::provider_answers(provider_port(port), &services.keys).await) {
                    services.require_alive()?;
                    if Instant::now() > deadline {
                        bail!("the engine did not answer within {} s; see {}", START_LIMIT.as_secs(), services.logs(repository));
                    }
                    tokio::time::sleep(LOOK).await;
                }
                Ok(())
            })
            .await?;
        Ok(services)
    }

    /// Refuses to go on when one of them has died.
    pub fn require_alive(&mut self) -> Result<()> {
        for (service, group) in [(Service::Engine, &mut self.engine), (Service::PaymentProvider, &mut self.provider)] {
            if let Some(status) = group.has_ended() {
                let log = std::fs::read_to_string(service.log(&self.traces.folder)).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(5).collect();
                let said: String = last.into_iter().rev().map(|line| format!("\n  {line}")).collect();
                bail!("{} has ended ({status}). The end of {}:{said}", service.name(), service.log(&self.traces.folder).display());
            }
        }
        Ok(())
    }

    /// Runs `work` unless one of the services dies first.
    pub async fn while_alive<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        /// Soon enough that nobody wonders, seldom enough to cost nothing.
        const LOOK_FOR_DEATH: Duration = Duration::from_millis(500);
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => return result.or_else(|error| self.require_alive().and(Err(error))),
                () = tokio::time::sleep(LOOK_FOR_DEATH) => self.require_alive()?,
            }
        }
    }

    /// The key for opens.
    pub fn keys(&self) -> Keys {
        self.keys.clone()
    }
    /// The engine's process.
    pub fn engine_pid(&self) -> u32 {
        self.engine.id()
    }
    /// The payment provider's process.
    pub fn provider_pid(&self) -> u32 {
        self.provider.id()
    }

    /// Leaves both running when this program ends.
    pub fn stay(mut self) {
        self.engine.stay();
        self.provider.stay();
        self.traces.stay = true;
    }

    fn logs(&self, repository: &Repository) -> String {
        let [engine, provider] = [Service::Engine, Service::PaymentProvider].map(|s| s.log(&self.traces.folder));
        format!("{} and {}", repository.shown(&engine), repository.shown(&provider))
    }
}

/// A service's program with an empty environment and its log file.
fn service(which: Service, repository: &Repository, start: &Start<'_>) -> Result<Command> {
    let log = File::create(which.log(start.folder))?;
    let mut command = Command::new(repository.program("python"));
    command.arg(which.script(repository)).env_clear().current_dir(start.folder);
    for name in ["PATH", "HOME"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.env("PYTHONDONTWRITEBYTECODE", "1").stdout(log.try_clone()?).stderr(log);
    if start.lifeline {
        // The pipe's other end is held by the child handle, and closed by the kernel if this program dies.
        command.arg("--lifeline").stdin(Stdio::piped());
    } else {
        command.stdin(Stdio::null());
    }
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn dropping_a_group_ends_what_its_program_started() {
        let told = std::env::temp_dir().join(format!("xtask-group-{}", std::process::id()));
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $! > $0.new; mv $0.new $0; wait"]).arg(&told);
        let group = Group::start(command).unwrap();
        let deadline = Instant::now() + START_LIMIT;
        while !told.exists() && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
        let grandchild: u32 = std::fs::read_to_string(&told).unwrap().trim().parse().unwrap();
        std::fs::remove_file(told).unwrap();
        assert!(command_line(grandchild).is_some());
        let pid = group.pid;
        drop(group);
        assert!(!group_lives(pid));
        assert_eq!(command_line(grandchild), None);
    }

    #[test]
    fn a_stranger_with_a_known_pid_is_left_alone() {
        let repository = Repository::find().unwrap();
        assert!(!Service::Engine.stop(std::process::id(), &repository));
    }
}
