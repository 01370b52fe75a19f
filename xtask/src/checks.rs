//! The one list of checks, from formatting to the end-to-end tests with IAM enforced. People and CI run the same one.
//! It stops at the first failure and says how to run that step alone. It leaves a stack of `up` in peace: the end-to-end steps
//! get a fresh one on free ports, which ends with them.

use crate::schemathesis;
use crate::smoke;
use crate::tests_ran;
use crate::{fuzz, sam_local};
use anyhow::{Result, bail, ensure};
use command_line::screen::{width, wrapped};
use console::machine::{Repository, free_ports, require_cargo, require_compiler, require_linux};
use console::processes::{Group, SANDBOX_CALLS_PER_SECOND, Services, Start, cargo};
use console::progress::{Progress, behind, bold, dim, lines, log_of, red, shown};
use console::stack;
use console::{build, setup};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use testkit::stack::State;
use tokio::process::Command;

#[derive(clap::Args)]
pub struct Options {
    /// Run this step alone; may be given several times
    #[arg(long, value_enum)]
    only: Vec<Step>,
    /// Name the steps and end
    #[arg(long)]
    list: bool,
}

/// In the order in which they run: what fails fastest first, what disturbs the others last; a subscription that `smoke` deletes comes
/// back under another ARN. Calls are counted while the stack is fresh, because the payment provider's stand-in slows down as its book
/// grows, and events are published by time as well.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum, Debug)]
enum Step {
    Fmt,
    Clippy,
    Unit,
    Doc,
    Fuzz,
    Template,
    Engine,
    Ports,
    Calls,
    BadRequests,
    Stories,
    Mails,
    Faults,
    DeadLetters,
    Schemathesis,
    SamLocal,
    LeastPrivilege,
    Smoke,
}

impl Step {
    /// The step in the list of steps.
    fn line(self, width: Option<usize>) -> String {
        let name = format!("{:<18} ", self.name());
        wrapped(self.what().split(' '), " ", [&name, &" ".repeat(name.len())], width)
    }

    fn what(self) -> &'static str {
        match self {
            Self::Fmt => "cargo fmt --check",
            Self::Clippy => "cargo clippy, warnings are errors",
            Self::Unit => "unit, template and schema tests of the whole workspace, the model's quick bound, 10,000 runs of the simulation",
            Self::Doc => "cargo doc, warnings are errors",
            Self::Fuzz => "fuzz targets, three seconds each, from their corpus",
            Self::Template => "the template: sam validate --lint, and a parameter for each service that a region of AWS lacks",
            Self::Engine => "contract tests of the local engine: the behaviour that we need, and each gap that we patch",
            Self::Ports => "stores and provider client against the engine and the payment provider",
            Self::BadRequests => "end to end: bad requests to the HTTP API",
            Self::Stories => "end to end: each course of an order",
            Self::Mails => "end to end: each mail goes to its recipient once, and to nobody else",
            Self::Faults => "end to end: duplicates, poison, a consumer killed in the middle",
            Self::DeadLetters => "end to end: parked messages are explained, redriven, discarded and reported",
            Self::Schemathesis => "cargo xtask schemathesis: valid and invalid requests by the OpenAPI description, in a minute",
            Self::Smoke => "cargo xtask smoke: a correct stack passes; then each part is broken, reported and restored",
            Self::Calls => "end to end: AWS calls counted",
            Self::SamLocal => "every sample event by sam local invoke or start-lambda, an order by start-api",
            Self::LeastPrivilege => "end to end: each action is removed from each role, one by one",
        }
    }
    fn name(self) -> String {
        use clap::ValueEnum;
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
    /// The test binary of the package `end-to-end`, for the steps that need a stack.
    fn test_binary(self) -> Option<&'static str> {
        match self {
            Self::BadRequests => Some("bad_requests"),
            Self::Stories => Some("stories"),
            Self::Mails => Some("mails"),
            Self::Faults => Some("faults"),
            Self::DeadLetters => Some("dead_letters"),
            Self::Calls => Some("calls"),
            Self::LeastPrivilege => Some("least_privilege"),
            _ => None,
        }
    }
    fn needs_stack(self) -> bool {
        self.test_binary().is_some() || matches!(self, Self::Ports | Self::Schemathesis | Self::Smoke | Self::SamLocal)
    }
    /// Whether it calls what [`setup`] installs.
    fn needs_tools(self) -> bool {
        self.needs_stack() || matches!(self, Self::Template | Self::Engine)
    }
    /// Whether it is for Linux alone: it starts functions, or the engine that starts them, or instruments Linux programs. The others
    /// compile and read, which every Unix can.
    fn needs_linux(self) -> bool {
        self.needs_stack() || matches!(self, Self::Engine | Self::Fuzz)
    }
}

const ALL: [Step; 18] = [
    Step::Fmt,
    Step::Clippy,
    Step::Unit,
    Step::Doc,
    Step::Fuzz,
    Step::Template,
    Step::Engine,
    Step::Ports,
    Step::Calls,
    Step::BadRequests,
    Step::Stories,
    Step::Mails,
    Step::Faults,
    Step::DeadLetters,
    Step::Schemathesis,
    Step::SamLocal,
    Step::LeastPrivilege,
    Step::Smoke,
];

pub async fn run(repository: &Repository, options: Options, progress: &mut Progress) -> Result<()> {
    if options.list {
        for step in ALL {
            println!("{}", step.line(width(&std::io::stdout())));
        }
        return Ok(());
    }
    let steps: Vec<Step> = ALL.into_iter().filter(|step| options.only.is_empty() || options.only.contains(step)).collect();
    if steps.iter().any(|step| step.needs_linux()) {
        require_linux()?;
    }
    require_cargo()?;
    require_compiler()?;
    let needs_tools = steps.iter().any(|step| step.needs_tools());
    let mut checks = Checks { repository, progress, needs_tools, stack: None, skipped: Vec::new() };
    let count = steps.len();
    for step in steps {
        if let Err(error) = checks.step(step).await {
            println!("\n{}", red(&behind("✗ ", step.what())));
            return Err(error.context(format!("the step {0} failed; run it alone with: cargo xtask test --only {0}", step.name())));
        }
    }
    // Before the last word, so that it is the last.
    checks.stack = None;
    let skipped = std::mem::take(&mut checks.skipped);
    for (step, why) in &skipped {
        println!("{}", dim(&behind("skipped: ", &format!("{} ({why})", step.what()))));
    }
    println!("{} of {count} steps passed in {}.", count - skipped.len(), shown(progress.elapsed()));
    Ok(())
}

struct Checks<'a> {
    repository: &'a Repository,
    progress: &'a mut Progress,
    /// Whether any of the steps does.
    needs_tools: bool,
    /// Started by the first step that needs it.
    stack: Option<(Services, State)>,
    skipped: Vec<(Step, String)>,
}

impl Checks<'_> {
    async fn step(&mut self, step: Step) -> Result<()> {
        match step {
            Step::Fmt => self.cargo(step, &["fmt", "--all", "--check"]).await,
            Step::Clippy => self.clippy(step).await,
            // Those that need a stack skip themselves here and say so; the steps that follow insist on them.
            Step::Unit => self.tests(step, cargo(&self.repository.root, &["test", "--workspace"]), None).await,
            Step::Doc => {
                let mut doc = cargo(&self.repository.root, &["doc", "--workspace", "--no-deps"]);
                doc.env("RUSTDOCFLAGS", "-D warnings");
                self.quiet(step, doc).await
            }
            Step::Fuzz => match fuzz::compiler() {
                Ok(()) => fuzz::short(self.repository, self.progress).await,
                Err(why) => {
                    self.skip(step, why);
                    Ok(())
                }
            },
            Step::Template => {
                setup::tools(self.repository, self.progress).await?;
                let mut sam = build::tool(self.repository, "sam");
                sam.args(["validate", "--lint", "--template-file", "template.yaml"]);
                self.progress.run("sam validate --lint", sam, &log_of(&self.folder(), &step.name()), self.repository).await?;
                let mut python = build::tool(self.repository, "python");
                python.args(["-B", "tests/template/regions.py", "template.yaml"]);
                self.shown(step, python).await
            }
            Step::Engine => {
                setup::run(self.repository, self.progress).await?;
                let mut python = build::tool(self.repository, "python");
                python.args(["-B", "-m", "unittest", "--verbose", "engine_test"]).current_dir(self.repository.root.join("local"));
                python.env("TMPDIR", self.temporary()?);
                self.shown(step, python).await
            }
            Step::Ports => self.ports(step).await,
            Step::Schemathesis => self.schemathesis(step).await,
            Step::Smoke => self.by_command(step, smoke::proven::run).await,
            Step::SamLocal => {
                setup::run(self.repository, self.progress).await?;
                match sam_local::wrapper(self.repository).await {
                    Ok(wrapper) => {
                        self.require_stack().await?;
                        let command = sam_local::command(&wrapper, self.repository, &State::path(&self.folder()))?;
                        self.shown(step, command).await
                    }
                    Err(why) => {
                        self.skip(step, why);
                        Ok(())
                    }
                }
            }
            Step::BadRequests | Step::Stories | Step::Mails | Step::Faults | Step::DeadLetters | Step::Calls | Step::LeastPrivilege => {
                self.end_to_end(step).await
            }
        }
    }

    /// With the tools of later steps installed beside it, where they are missing: it compiles for minutes and needs none of them.
    async fn clippy(&mut self, step: Step) -> Result<()> {
        let arguments = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        if !self.needs_tools {
            return self.cargo(step, &arguments).await;
        }
        let (repository, clippy) = (self.repository, cargo(&self.repository.root, &arguments));
        let log = log_of(&self.folder(), &step.name());
        let run = async |progress: &mut Progress| progress.run(step.what(), clippy, &log, repository).await;
        setup::beside(repository, self.progress, run).await.map(drop)
    }

    async fn schemathesis(&mut self, step: Step) -> Result<()> {
        schemathesis::install(self.repository, self.progress).await?;
        let run =
            async |repository: &Repository, state: &State| schemathesis::against(repository, state, schemathesis::Options::default()).await;
        self.by_command(step, run).await
    }

    /// By a command itself, in this process, on the stack of these steps.
    async fn by_command(&mut self, step: Step, run: impl AsyncFnOnce(&Repository, &State) -> Result<()>) -> Result<()> {
        self.require_stack().await?;
        println!("\n{}", bold(&lines(step.what(), "")));
        let started = Instant::now();
        let repository = self.repository;
        let Some((services, state)) = &mut self.stack else { bail!("the stack was started and is gone") };
        let state = state.clone();
        services.while_alive(run(repository, &state)).await?;
        self.progress.done(step.what(), started, "");
        Ok(())
    }

    /// The tests that pass with a printed reason where nothing runs, now that something does.
    async fn ports(&mut self, step: Step) -> Result<()> {
        self.require_stack().await?;
        let Some((_, state)) = &self.stack else { bail!("the stack was started and is gone") };
        let (endpoint_url, stripe_url, keys) = (state.endpoint_url.clone(), state.stripe_url.clone(), state.keys.clone());
        let mut stores = cargo(&self.repository.root, &["test", "--workspace", "--test", "dynamodb"]);
        stores.env("DYNAMODB_ENDPOINT_URL", endpoint_url).env("DYNAMODB_KEY", keys.root);
        let mut expected = 0;
        for function in self.repository.functions()? {
            let file = self.repository.root.join("functions").join(function).join("tests/dynamodb.rs");
            expected += if file.is_file() { tests_ran::in_file(&file, "")? } else { 0 };
        }
        self.tests(step, stores, Some(expected)).await?;
        let mut provider = cargo(&self.repository.root, &["test", "--workspace", "--lib", "localstripe"]);
        provider.env("LOCALSTRIPE_URL", stripe_url).env("LOCALSTRIPE_KEY", keys.provider);
        let expected = tests_ran::in_file(&self.repository.root.join("functions/payment/src/stripe/tests.rs"), "localstripe")?;
        self.tests(step, provider, Some(expected)).await
    }

    async fn end_to_end(&mut self, step: Step) -> Result<()> {
        let Some(binary) = step.test_binary() else { bail!("{} is no end-to-end step", step.name()) };
        let expected = tests_ran::in_file(&self.repository.root.join(format!("tests/end-to-end/tests/{binary}.rs")), "")?;
        self.require_stack().await?;
        // `--workspace`, as the unit tests are built: one package alone gets other features, and everything is built again.
        let mut test = cargo(&self.repository.root, &["test", "--workspace", "--test", binary]);
        // One test at a time: where events are published by time as well as by number, and neighbours cost time; where
        // permissions are taken from running functions, and neighbours would see the holes; and where queues are emptied
        // that all share.
        if matches!(step, Step::Calls | Step::DeadLetters | Step::LeastPrivilege) {
            test.args(["--", "--test-threads", "1"]);
        }
        test.env("PIPELINE_STATE", State::path(&self.folder()));
        self.tests(step, test, Some(expected)).await
    }

    /// Starts the stack of the end-to-end steps, unless it runs.
    async fn require_stack(&mut self) -> Result<()> {
        if let Some((services, _)) = &mut self.stack {
            return services.require_alive();
        }
        let built = build::with_tools(self.repository, self.progress).await?;
        let folder = self.folder();
        std::fs::create_dir_all(&folder)?;
        let start = Start {
            port: free_ports()?,
            folder: &folder,
            lifeline: true,
            provider_latency: Duration::ZERO,
            provider_calls_per_second: SANDBOX_CALLS_PER_SECOND,
        };
        self.stack = Some(stack::fresh(self.repository, start, &built, &[], self.progress).await?);
        Ok(())
    }

    fn skip(&mut self, step: Step, why: String) {
        self.progress.skipped(step.what(), &why);
        self.skipped.push((step, why));
    }

    /// The folder of this run's stack, beside that of `up`.
    fn folder(&self) -> PathBuf {
        self.repository.local().join("test")
    }
    fn temporary(&self) -> Result<PathBuf> {
        let folder = self.folder().join("contract");
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    async fn cargo(&mut self, step: Step, arguments: &[&str]) -> Result<()> {
        let command = cargo(&self.repository.root, arguments);
        self.quiet(step, command).await
    }

    /// A step whose output matters only when it fails.
    async fn quiet(&mut self, step: Step, command: Command) -> Result<()> {
        let log = log_of(&self.folder(), &step.name());
        self.progress.run(step.what(), command, &log, self.repository).await.map(drop)
    }

    /// A step whose output is the report.
    async fn shown(&mut self, step: Step, command: Command) -> Result<()> {
        println!("\n{}", bold(&lines(step.what(), "")));
        let started = Instant::now();
        let mut command = command;
        command.stdin(std::process::Stdio::null());
        let mut group = Group::start(command)?;
        let status = self.while_alive(async { Ok(group.wait().await?) }).await?;
        self.require_success(step, status)?;
        self.progress.done(step.what(), started, "");
        Ok(())
    }

    /// The same of tests, which are counted. Where they are `expected`, so many have to run, and none may skip itself: neither a
    /// filter that matches nothing nor a stack that is not found may pass.
    async fn tests(&mut self, step: Step, command: Command, expected: Option<usize>) -> Result<()> {
        println!("\n{}", bold(&lines(step.what(), "")));
        let started = Instant::now();
        let (status, ran) = self.while_alive(tests_ran::start(command)?).await?;
        self.require_success(step, status)?;
        let (passed, skipped) = (ran.passed(), ran.skipped);
        if let Some(expected) = expected {
            ensure!(expected > 0 && passed == expected, "{expected} tests are to run, and {passed} did; {skipped} skipped themselves");
        }
        let without = if skipped > 0 { format!(", {skipped} skipped: they need a stack") } else { String::new() };
        self.progress.done(step.what(), started, &format!("{passed} tests{without}"));
        Ok(())
    }

    /// Waits for what needs the stack, if there is one, for as long as that lives.
    async fn while_alive<T>(&mut self, finished: impl Future<Output = Result<T>>) -> Result<T> {
        match &mut self.stack {
            Some((services, _)) => services.while_alive(finished).await,
            None => finished.await,
        }
    }

    fn require_success(&self, step: Step, status: std::process::ExitStatus) -> Result<()> {
        if !status.success() {
            let logs = if step.needs_stack() {
                format!("; the engine's log is {}", self.repository.shown(&self.folder().join("engine.log")))
            } else {
                String::new()
            };
            bail!("{status}{logs}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_runs_and_those_that_break_the_stack_run_last() {
        use clap::ValueEnum;
        assert_eq!(ALL.as_slice(), Step::value_variants());
        assert_eq!(ALL.last_chunk(), Some(&[Step::LeastPrivilege, Step::Smoke]));
    }

    #[test]
    fn steps_that_compile_and_read_need_no_linux() {
        let anywhere: Vec<Step> = ALL.into_iter().filter(|step| !step.needs_linux()).collect();
        assert_eq!(anywhere, [Step::Fmt, Step::Clippy, Step::Unit, Step::Doc, Step::Template]);
    }
}
