//! The commands of the project, run as `cargo xtask <command>`: the whole pipeline on this machine, and the one list of
//! checks. People, the README and CI call the same ones.
//!
//! It speaks to this machine alone, with one exception that has to be asked for: `dlq`, `uncollected` and `nudge` with
//! `--stack NAME` invoke the inspector or the operator of a stack on AWS, by sam and with the caller's credentials, and `smoke` looks
//! at one, by sam's Python. A deployment to AWS is `sam build && sam deploy`, not a command of this program.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

mod bench;
mod breakages;
mod catalogue;
mod chaos;
mod checkov;
mod checks;
mod cli;
mod completions;
mod cost;
mod demo;
mod fuzz;
mod inbox;
mod load;
mod logs;
mod mutants;
mod new_consumer;
mod order;
mod proof;
mod rows;
mod sam_env;
mod sam_local;
mod schemathesis;
mod show;
mod signup;
mod smoke;
mod stock;
mod story;
mod tests_ran;

use anyhow::Result;
use cli::{Command, Daily, Measure, Operate, Port, Prove, Up};
use command_line::screen::end_quietly_when_nobody_reads;
use console::interruption::until_interrupted;
use console::progress::Progress;
use console::{exit, machine, proxy, stack};
use operate::Caller;
use std::process::ExitCode;

fn main() -> ExitCode {
    end_quietly_when_nobody_reads();
    let cli = match cli::parse() {
        Ok(cli) => cli,
        Err(status) => return status,
    };
    let asks_a_function = matches!(cli.command, Command::Operate(Operate::Functions(_)));
    let meaning = cli.command.if_interrupted();
    proxy::except_loopback().and_then(|()| until_interrupted(run(cli.command), meaning)).unwrap_or_else(|error| {
        exit::report(&error);
        ExitCode::from(if asks_a_function { operate::status(&error) } else { exit::status(&error) })
    })
}

async fn run(command: Command) -> Result<ExitCode> {
    if let Command::Daily(Daily::Completions(options)) = &command {
        return completions::print(options).map(|()| ExitCode::SUCCESS);
    }
    let repository = machine::Repository::find()?;
    repository.keep_local_private()?;
    let mut progress = Progress::new();
    match command {
        Command::Operate(Operate::Functions(command)) => {
            return command.run(Caller { program: cli::PROGRAM, repository: Some(&repository) }).await;
        }
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
        Daily::NewConsumer(options) => new_consumer::run(repository, &options),
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

#[cfg(test)]
mod tests;
