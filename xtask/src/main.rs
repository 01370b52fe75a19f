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
mod chaos;
mod checkov;
mod checks;
mod cost;
mod demo;
mod deploy;
mod deployed;
mod dlq;
#[cfg(test)]
mod docs_commands;
mod fuzz;
mod inbox;
mod load;
mod machine;
mod mutants;
mod operator;
mod order;
mod processes;
mod progress;
mod proof;
mod proxy;
mod sam_env;
mod sam_local;
mod seed;
mod setup;
mod smoke;
mod stack;
mod state;
mod story;
mod tests_ran;

use clap::{Args, Parser, Subcommand};
use machine::Missing;
use progress::Progress;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Where the engine answers unless told otherwise; the payment provider answers on the port above it.
const DEFAULT_PORT: u16 = 4566;

/// Runs the order pipeline on this machine: no account, no Docker, no token.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    after_help = "Exit status: 0 all well · 1 a step, a story or a check failed · 2 wrong usage · 3 something is missing on this machine, \
                  or nothing is running · 130 interrupted. `dlq`, `uncollected` and `nudge` have their own: see their --help."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Set up, build, start and deploy everything, place six orders, tell their stories, and stop everything again
    Demo(Port),
    /// Start the engine and the payment provider, deploy the pipeline and leave it running; after an edit, deploy what changed
    Up(Port),
    /// Stop what `up` left running
    Down,
    /// Place one order at the running stack and follow it to its end
    Order(order::Options),
    /// List the mails that the running stack has sent, or show one
    Inbox(inbox::Options),
    /// Write every mail that the pipeline can send, with sample data, as HTML pages to look at
    MailPreview,
    /// Say what is running, and what its queues hold
    Status,
    /// Print the log of a function
    Logs {
        /// Its folder under functions/, for instance `payment`
        function: String,
        /// Keep printing as it logs, until Ctrl-C
        #[arg(short, long)]
        follow: bool,
    },
    /// See what lies in the dead-letter queues and why, and send it on: here, or on AWS with --stack
    Dlq(dlq::Options),
    /// See which orders were shipped and not collected, and note that you have settled one: here, or on AWS with --stack
    Uncollected(operator::Uncollected),
    /// Publish an order's `order.placed` again, which brings it to its end if messages of it were lost: here, or on AWS with --stack
    Nudge(operator::Nudge),
    /// See whether a deployed stack is what its template says, and ships an order: here, or on AWS with --stack
    Smoke(smoke::Options),
    /// Let functions that `sam local invoke`, `start-api` and `start-lambda` run in containers work on the running stack, until Ctrl-C
    SamEnv(sam_env::Options),
    /// Run every check and test, unit to end to end, with IAM enforced: the list that CI runs
    Test(checks::Options),
    /// Explore every order of deliveries, crashes and duplicates that the saga can meet, under its deployed handlers
    #[command(disable_help_flag = true)]
    Model(proof::Arguments),
    /// Run the deployed handlers through thousands of bad days on a simulated cloud, or through one again, by its seed
    #[command(disable_help_flag = true)]
    Simulate(proof::Arguments),
    /// Break the code on purpose, one way at a time, and see that the model and the simulation notice
    Breakages(breakages::Options),
    /// Place hundreds of orders at a stack of its own while its functions are killed, its consumers paused, its tables and its
    /// topic refused and its messages delivered twice; then hold every order against the records and the provider's book
    Chaos(chaos::Options),
    /// Place orders at a stack of its own at a steady rate, or all at once, and say how long each took, how fast the queues
    /// drained, and that none was lost; with a picture
    Load(load::Options),
    /// Throw made-up input at everything that reads what comes from outside, steered by the code that it reaches
    Fuzz(fuzz::Options),
    /// Break the decisions and the batch core in every way a tool can think of, one by one, and see whether a test notices
    Mutants(mutants::Options),
    /// Look the template over by checkov; what it finds is accepted with a reason, or fails
    Checkov,
    /// Measure each function as Lambda would run it: cold start, warm, batches, processor, memory, bytes, AWS calls
    #[command(disable_help_flag = true)]
    Bench(bench::Arguments),
    /// Say what an order costs on AWS, by service, from the bench's figures and the price table
    #[command(disable_help_flag = true)]
    Cost(cost::Arguments),
    /// Invoke every sample event by `sam local invoke`, and place an order by `start-api` (a step of `test`, which calls it where containers can run)
    #[command(hide = true)]
    SamLocal {
        /// The state file of the stack whose tables and queues the functions shall use
        state: PathBuf,
    },
}

#[derive(Args)]
struct Port {
    /// Port of the engine; the payment provider takes the one above it
    #[arg(long, default_value_t = DEFAULT_PORT, value_parser = clap::value_parser!(u16).range(1024..65535))]
    port: u16,
}

/// Why a command ended early without anything being wrong: what that means, for whoever interrupted it.
#[derive(Debug)]
struct Interrupted(String);

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "interrupted; {}", self.0)
    }
}
impl std::error::Error for Interrupted {}

fn main() -> ExitCode {
    end_quietly_when_nobody_reads();
    let cli = Cli::parse();
    if let Err(error) = proxy::except_loopback() {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    // As grep has it: no error may be taken for an answer.
    let asks_a_function = matches!(cli.command, Command::Dlq(_) | Command::Uncollected(_) | Command::Nudge(_));
    match until_interrupted(cli.command) {
        Ok(status) => status,
        Err(error) => {
            progress::clear_line();
            eprintln!("\nerror: {error:#}");
            ExitCode::from(if error.is::<Interrupted>() {
                130
            } else if asks_a_function {
                dlq::ERROR
            } else if error.is::<Missing>() {
                3
            } else {
                1
            })
        }
    }
}

fn until_interrupted(command: Command) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Dropping the command's future drops its guards, and those stop what it started. A command that hears the signal itself
    // answers to it: it is asked first.
    let result = runtime.block_on(async {
        tokio::select! {
            biased;
            result = run(command) => result,
            signal = interrupted() => signal.and(Err(Interrupted("everything this command started has been stopped".into()).into())),
        }
    });
    // Calls run in threads of their own: whoever interrupts does not wait for the answer of one.
    runtime.shutdown_background();
    result
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    let repository = machine::Repository::find()?;
    repository.keep_local_private()?;
    let done = match command {
        Command::Demo(Port { port }) => demo::run(&repository, port).await,
        Command::Up(Port { port }) => stack::up(&repository, port).await,
        Command::Down => stack::down(&repository).await,
        Command::Order(options) => order::run(&repository, options).await,
        Command::Inbox(options) => inbox::run(&repository, &options).await,
        Command::MailPreview => proof::mail_preview(&repository).await,
        Command::Status => stack::status(&repository).await,
        Command::Logs { function, follow } => stack::logs(&repository, &function, follow).await,
        Command::Dlq(options) => return dlq::run(&repository, options).await,
        Command::Uncollected(options) => return operator::uncollected(&repository, options).await,
        Command::Nudge(options) => return operator::nudge(&repository, options).await,
        Command::Smoke(options) => return smoke::run(&repository, options).await,
        Command::SamEnv(options) => sam_env::run(&repository, &options).await,
        Command::Test(options) => checks::run(&repository, options, &mut Progress::new()).await,
        Command::Model(arguments) => proof::run(&repository, "model", &arguments).await,
        Command::Simulate(arguments) => proof::run(&repository, "simulate", &arguments).await,
        Command::Breakages(options) => breakages::run(&repository, &options).await,
        Command::Chaos(options) => chaos::run(&repository, options).await,
        Command::Load(options) => load::run(&repository, options).await,
        Command::Fuzz(options) => fuzz::run(&repository, options, &mut Progress::new()).await,
        Command::Mutants(options) => mutants::run(&repository, options, &mut Progress::new()).await,
        Command::Checkov => checkov::run(&repository, &mut Progress::new()).await,
        Command::Bench(arguments) => bench::run(&repository, &arguments, &mut Progress::new()).await,
        Command::Cost(arguments) => cost::run(&repository, &arguments).await,
        Command::SamLocal { state } => sam_local::run(&repository, &state).await,
    };
    done.map(|()| ExitCode::SUCCESS)
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
async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
    Ok(())
}
