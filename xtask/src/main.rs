//! The commands of the project, run as `cargo xtask <command>`: the whole pipeline on this machine, and the one list of
//! checks. People, the README and CI call the same ones.
//!
//! It speaks to this machine alone, with one exception that has to be asked for: `dlq`, `uncollected` and `nudge` with
//! `--stack NAME` invoke the inspector or the operator of a stack on AWS, by sam and with the caller's credentials, and `smoke` looks
//! at one, by sam's Python. A deployment to AWS is `sam build && sam deploy`, not a command of this program.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

mod bench;
mod breakages;
mod build;
mod catalogue;
mod chaos;
mod checkov;
mod checks;
mod cli;
mod completions;
mod cost;
mod demo;
mod deploy;
mod deployed;
#[cfg(test)]
mod dev_container;
mod dlq;
#[cfg(test)]
mod docs_commands;
mod fuzz;
mod inbox;
mod load;
mod logs;
mod machine;
mod mutants;
mod operator;
mod order;
mod processes;
mod progress;
mod proof;
mod proxy;
mod rows;
mod sam_env;
mod sam_local;
mod schemathesis;
mod seed;
mod setup;
mod show;
mod signup;
mod smoke;
mod stack;
mod state;
mod stock;
mod story;
mod tests_ran;
mod watch;

use anyhow::Result;
use cli::{Cli, Command, Daily, Measure, Operate, Port, Prove, Up, Usage};
use command_line::screen::{sentences, width};
use machine::Missing;
use progress::Progress;
use std::cell::Cell;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Exit status: wrong usage, as clap has it.
const WRONG_USAGE: u8 = 2;
/// Exit status: something is missing on this machine, or nothing is running.
const MISSING: u8 = 3;
/// Exit status: a signal ended it, as shells have it for Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Why a command ended early without anything being wrong: what is true now, for the person who interrupted it.
#[derive(Debug, thiserror::Error)]
#[error("interrupted; {0}")]
struct Interrupted(String);

fn main() -> ExitCode {
    end_quietly_when_nobody_reads();
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    if let Err(error) = proxy::except_loopback() {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    // As grep has it: no error may be taken for an answer.
    let asks_a_function = matches!(cli.command, Command::Operate(Operate::Dlq(_) | Operate::Uncollected(_) | Operate::Nudge(_)));
    match until_interrupted(cli) {
        Ok(status) => status,
        Err(error) => {
            progress::clear_line();
            eprintln!("\n{}", sentences(&format!("error: {error:#}"), "", width(&std::io::stderr())));
            ExitCode::from(if error.is::<Interrupted>() {
                INTERRUPTED
            } else if asks_a_function {
                dlq::ERROR
            } else if error.is::<Usage>() {
                WRONG_USAGE
            } else if error.is::<Missing>() {
                MISSING
            } else {
                1
            })
        }
    }
}

fn until_interrupted(cli: Cli) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let meaning = cli.command.if_interrupted();
    let result = runtime.block_on(unless_signalled(run(cli.command), meaning, interrupted));
    // Calls run in threads of their own: a person who interrupts does not wait for the answer of one.
    runtime.shutdown_background();
    result
}

/// Awaits a command. Dropping its future drops its guards, and those stop what it started. A command that hears the signal itself answers
/// to it: it is asked first, and while it [`Tidies`] it is let end; a second signal ends that too.
async fn unless_signalled(
    command: impl Future<Output = Result<ExitCode>>,
    meaning: Option<&'static str>,
    signal: impl AsyncFn() -> Result<()>,
) -> Result<ExitCode> {
    tokio::pin!(command);
    for is_last in [false, true] {
        tokio::select! {
            biased;
            result = &mut command => return result,
            signal = signal() => signal?,
        }
        if is_last || !Tidies::is_going_on() {
            break;
        }
    }
    match meaning {
        Some(sentence) => Err(Interrupted(sentence.into()).into()),
        None => Ok(ExitCode::SUCCESS),
    }
}

thread_local! {
    static TIDYING: Cell<u32> = const { Cell::new(0) };
}

/// While it lives, the command hears signals itself and puts something back before it ends.
struct Tidies;

impl Tidies {
    fn begin() -> Self {
        TIDYING.set(TIDYING.get() + 1);
        Self
    }
    fn is_going_on() -> bool {
        TIDYING.get() > 0
    }
}

impl Drop for Tidies {
    fn drop(&mut self) {
        TIDYING.set(TIDYING.get() - 1);
    }
}

/// Does `work`, unless a signal comes: then `meaning` says what is true at that moment.
async fn unless_interrupted<T>(work: impl Future<Output = Result<T>>, meaning: impl FnOnce() -> String) -> Result<T> {
    tokio::select! {
        biased;
        result = work => result,
        signal = interrupted() => signal.and_then(|()| Err(Interrupted(meaning()).into())),
    }
}

async fn run(command: Command) -> Result<ExitCode> {
    if let Command::Daily(Daily::Completions(options)) = &command {
        return completions::print(options).map(|()| ExitCode::SUCCESS);
    }
    let repository = machine::Repository::find()?;
    repository.keep_local_private()?;
    let mut progress = Progress::new();
    match command {
        Command::Operate(Operate::Dlq(options)) => return dlq::run(&repository, options).await,
        Command::Operate(Operate::Uncollected(options)) => return operator::uncollected(&repository, options).await,
        Command::Operate(Operate::Nudge(options)) => return operator::nudge(&repository, options).await,
        Command::Operate(Operate::Smoke(options)) => return smoke::run(&repository, options).await,
        Command::Operate(Operate::SamEnv(options)) => sam_env::run(&repository, &options).await,
        Command::Daily(daily) => run_daily(&repository, daily).await,
        Command::Prove(prove) => run_proof(&repository, prove, &mut progress).await,
        Command::Measure(Measure::Load(options)) => load::run(&repository, options).await,
        Command::Measure(Measure::Bench(_)) => bench::run(&repository, &mut progress).await,
        Command::Measure(Measure::Cost(_)) => cost::run(&repository).await,
    }
    .map(|()| ExitCode::SUCCESS)
}

async fn run_daily(repository: &machine::Repository, command: Daily) -> Result<()> {
    match command {
        Daily::Demo(Port { port }) => demo::run(repository, port).await,
        Daily::Up(Up { port: Port { port }, watch }) => stack::up(repository, port, watch).await,
        Daily::Down => stack::down(repository).await,
        Daily::Order(options) => order::run(repository, options).await,
        Daily::Show(options) => show::run(repository, &options).await,
        Daily::Catalogue(options) => catalogue::run(repository, &options).await,
        Daily::Stock(options) => stock::run(repository, &options).await,
        Daily::Signup(options) => signup::run(repository, &options).await,
        Daily::Inbox(options) => inbox::run(repository, &options).await,
        Daily::Status => stack::status(repository).await,
        Daily::Logs(options) => logs::run(repository, &options).await,
        Daily::MailPreview => proof::mail_preview(repository).await,
        Daily::Completions(options) => completions::print(&options),
    }
}

async fn run_proof(repository: &machine::Repository, command: Prove, progress: &mut Progress) -> Result<()> {
    match command {
        Prove::Test(options) => checks::run(repository, options, progress).await,
        Prove::Model(_) => proof::run(repository, "model").await,
        Prove::Simulate(_) => proof::run(repository, "simulate").await,
        Prove::Breakages(options) => breakages::run(repository, &options).await,
        Prove::Chaos(options) => chaos::run(repository, options).await,
        Prove::Fuzz(options) => fuzz::run(repository, options, progress).await,
        Prove::Mutants(options) => mutants::run(repository, options, progress).await,
        Prove::Checkov => checkov::run(repository, progress).await,
        Prove::Schemathesis(options) => schemathesis::run(repository, options, progress).await,
        Prove::SamLocal { state } => sam_local::run(repository, &state).await,
    }
}

/// `cargo xtask logs payment | head` closes the pipe. `println!` panics then, which stops everything as it should; only the
/// report of it is left out.
fn end_quietly_when_nobody_reads() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload_as_str().is_some_and(|what| what.contains("Broken pipe")) {
            report(panic);
        }
    }));
}

/// Ends with the first signal that asks this program to stop.
async fn interrupted() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn at_once() -> Result<()> {
        Ok(())
    }

    #[tokio::test]
    async fn a_signal_ends_a_command_and_says_what_is_true() {
        let error = unless_signalled(std::future::pending(), Some("nothing was changed"), at_once).await.unwrap_err();
        assert_eq!(error.to_string(), "interrupted; nothing was changed");
        assert!(unless_signalled(std::future::pending(), None, at_once).await.is_ok(), "its ordinary end");
    }

    /// On the code before, the first look at the signal dropped what was being put back.
    #[tokio::test]
    async fn a_command_that_tidies_is_let_end_and_a_second_signal_ends_it() {
        let signals = Cell::new(0);
        let signal = async || {
            signals.set(signals.get() + 1);
            if signals.get() > 1 { std::future::pending().await } else { Ok(()) }
        };
        let tidy = async {
            let _tidies = Tidies::begin();
            tokio::task::yield_now().await;
            Err(Interrupted("all is back".into()).into())
        };
        assert_eq!(unless_signalled(tidy, None, signal).await.unwrap_err().to_string(), "interrupted; all is back");
        let hangs = async {
            let _tidies = Tidies::begin();
            std::future::pending().await
        };
        assert!(unless_signalled(hangs, None, at_once).await.is_ok());
        assert!(!Tidies::is_going_on());
    }
}
