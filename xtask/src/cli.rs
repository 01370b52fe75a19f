//! The command line: the commands in their groups, how their help fits the terminal, and what an interruption of each means.
//! Names and ranges are clap's to check, so that wrong usage ends with status 2 before anything is started.

use crate::{
    breakages, catalogue, chaos, checks, fuzz, inbox, load, logs, mutants, new_consumer, order, sam_env, schemathesis, show, signup, smoke,
    stock,
};
use clap::builder::{PossibleValue, PossibleValuesParser, ValueParser};
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use command_line::options;
use command_line::screen::wrapped;
use console::machine;
use console::usage::{self, HELP_WIDTH_MAX};
use std::path::PathBuf;
use std::process::ExitCode;

/// What is typed before every command.
pub const PROGRAM: &str = "cargo xtask";
/// Where the engine answers unless told otherwise; the payment provider answers on the port above it.
pub const DEFAULT_PORT: u16 = 4566;

const STATUS: &str = "Exit status: 0 all well · 1 a step, a story or a check failed · 2 wrong usage · 3 something is missing on this \
                      machine, or nothing is running · 130 interrupted. `dlq`, `uncollected` and `nudge` have their own: see their \
                      --help.";

/// Runs the order pipeline on this machine: no account, no Docker, no token.
#[derive(Parser)]
#[command(name = PROGRAM, bin_name = PROGRAM, after_help = STATUS)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    #[command(flatten)]
    Daily(Daily),
    #[command(flatten)]
    Operate(Operate),
    #[command(flatten)]
    Prove(Prove),
    #[command(flatten)]
    Measure(Measure),
}

/// Day by day.
#[derive(Subcommand)]
pub enum Daily {
    /// Set up, build, deploy, place six orders, tell their stories, stop
    ///
    /// A stack that `up` left running is used, and left running.
    Demo(Port),
    /// Start the engine and the provider, deploy the pipeline, stay up
    ///
    /// It leaves the engine and the payment provider running. Called again after an edit it deploys what changed.
    Up(Up),
    /// Stop what `up` left running
    Down,
    /// Place one order and follow it until it ends
    Order(order::Options),
    /// Show an order: its events, charges and mails
    Show(show::Options),
    /// List the products, or add or change one
    Catalogue(catalogue::Options),
    /// List the stock, or change it
    Stock(stock::Options),
    /// Sign up a customer, or list all customers
    Signup(signup::Options),
    /// List the sent mails, or show one
    Inbox(inbox::Options),
    /// Show the running stack and its queues
    Status,
    /// Print the functions' logs
    Logs(logs::Options),
    /// Write a new consumer of an order's events, in every place
    ///
    /// Crate, samples, queue, role, alarms and rows, as docs/adding-a-consumer.md has them. One test is left to fail: what it is for.
    NewConsumer(new_consumer::Options),
    /// Write every mail with sample data as HTML pages
    MailPreview,
    /// Print a completion script for the shell
    Completions(crate::completions::Options),
}

/// Commands for operators of a stack, here or on AWS.
#[derive(Subcommand)]
pub enum Operate {
    #[command(flatten)]
    Functions(operate::Command),
    /// Compare a deployed stack with its template, and test it
    ///
    /// Works on the local stack, or with --stack on AWS. It places an order and follows it until it ends.
    Smoke(smoke::Options),
    /// Let `sam local` work on the running stack, until Ctrl-C
    ///
    /// For the containers of `sam local invoke`, `start-api` and `start-lambda`.
    SamEnv(sam_env::Options),
}

/// Commands that test the promises.
#[derive(Subcommand)]
pub enum Prove {
    /// Run every check and test, unit to end to end: what CI runs
    ///
    /// The tests against a deployed stack run with IAM enforced.
    Test(checks::Options),
    /// Explore every order of deliveries, crashes and duplicates
    ///
    /// It runs the deployed handlers in every interleaving, within bounds. A broken promise is printed as its shortest trace.
    Model(options::Model),
    /// Run the handlers through thousands of runs with faults
    ///
    /// A simulated cloud injects faults, and every promise is checked. --seed repeats one run and prints it.
    Simulate(options::Simulate),
    /// Break the code on purpose, and check that a proof fails
    ///
    /// One change at a time, found by the model, the simulation or a test.
    Breakages(breakages::Options),
    /// Place orders while functions are killed and tables refuse
    ///
    /// It uses a stack of its own. Consumers are paused, tables and the topic refuse, and messages are delivered twice.
    /// Then every order is compared with the records and the payment provider.
    Chaos(chaos::Options),
    /// Fuzz every parser of outside input
    ///
    /// Guided by code coverage.
    Fuzz(fuzz::Options),
    /// Mutate the decisions, and check that a test fails
    ///
    /// The batch core too, with every mutation of cargo-mutants, one by one.
    Mutants(mutants::Options),
    /// Check the template with checkov
    ///
    /// Each finding must be accepted with a reason, or the command fails.
    Checkov,
    /// Compare the API's answers with its OpenAPI description
    ///
    /// schemathesis sends valid and invalid requests to the running stack.
    Schemathesis(schemathesis::Options),
    /// Invoke every sample event by `sam local invoke`, and place an order by `start-api` (a step of `test`, which calls it where
    /// containers can run)
    #[command(hide = true)]
    SamLocal {
        /// The state file of the stack whose tables and queues the functions shall use
        state: PathBuf,
    },
}

/// Commands that measure speed and cost.
#[derive(Subcommand)]
pub enum Measure {
    /// Measure each function as Lambda would run it
    ///
    /// Cold start, warm, batches, CPU, memory, size, AWS calls. It builds the functions as they are deployed. A stub over TLS takes the place of AWS.
    Bench(options::Bench),
    /// Print the cost of an order on AWS, by service
    ///
    /// The measured calls and billed milliseconds, times AWS's prices.
    Cost(options::Cost),
    /// Place many orders, and report their latency
    ///
    /// At a steady rate or all at once, on a stack of its own. It also reports how fast the queues drained, checks that no order was lost, and draws a chart.
    Load(load::Options),
}

#[derive(Args)]
pub struct Port {
    /// Port of the engine; the payment provider takes the one above it
    #[arg(long, default_value_t = DEFAULT_PORT, value_parser = clap::value_parser!(u16).range(1024..=65534))]
    pub port: u16,
}

#[derive(Args)]
pub struct Up {
    #[command(flatten)]
    pub port: Port,
    /// Stay, and after every edit build and deploy what changed, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// The parsed options; or the status after help was printed, or what is wrong with it.
pub fn parse() -> Result<Cli, ExitCode> {
    let matches = usage::parse(command(usage::help_width()))?;
    Cli::from_arg_matches(&matches).map_err(|error| usage::told(&error))
}

/// Clap's definition of all of it, with help for a terminal of `width` columns.
pub fn command(width: usize) -> clap::Command {
    let width = width.min(HELP_WIDTH_MAX);
    let groups: String = groups().iter().map(|(title, commands)| group(title, commands, width)).collect();
    let template = format!("{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}Options:\n{{options}}{{after-help}}\n");
    // The crate of these options knows no checkout.
    Cli::command()
        .term_width(width)
        .help_template(template)
        .mut_subcommand("bench", |bench| bench.mut_arg("function", |arg| arg.value_parser(one_of(functions(), |_| None))))
        .mut_subcommand("cost", |cost| cost.mut_arg("region", |arg| arg.value_parser(one_of(price_regions(), |_| None))))
}

/// The commands as help lists them.
pub fn groups() -> Vec<(&'static str, Vec<clap::Command>)> {
    let of = |group: clap::Command| group.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let empty = clap::Command::new;
    vec![
        ("Day by day", of(Daily::augment_subcommands(empty("daily")))),
        ("Operate, here or on AWS", of(Operate::augment_subcommands(empty("operate")))),
        ("Prove", of(Prove::augment_subcommands(empty("prove")))),
        ("Measure", of(Measure::augment_subcommands(empty("measure")))),
    ]
}

fn group(title: &str, commands: &[clap::Command], width: usize) -> String {
    /// As wide as the longest name.
    const NAME: usize = 12;
    let line = |command: &clap::Command| {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let name = format!("  {:<NAME$} ", command.get_name());
        wrapped(about.split(' '), " ", [&name, &" ".repeat(name.len())], Some(width)) + "\n"
    };
    format!("{title}:\n{}\n", commands.iter().map(line).collect::<String>())
}

/// The functions of this checkout, by their folders or their logical ids.
pub fn function_names() -> ValueParser {
    one_of(functions(), |name| Some(machine::logical_id(name)))
}

/// One of these names, or of their aliases. Outside of a checkout, where they are not known, any will do: the command says so itself.
fn one_of(names: anyhow::Result<Vec<String>>, alias: fn(&str) -> Option<String>) -> ValueParser {
    let value = |name: String| {
        let alias = alias(&name);
        alias.into_iter().fold(PossibleValue::new(name), PossibleValue::alias)
    };
    match names {
        Ok(names) => PossibleValuesParser::new(names.into_iter().map(value)).into(),
        Err(_) => ValueParser::string(),
    }
}

fn functions() -> anyhow::Result<Vec<String>> {
    machine::Repository::find()?.functions()
}

/// The regions of which the price table has prices.
fn price_regions() -> anyhow::Result<Vec<String>> {
    let table: toml::Table = std::fs::read_to_string(machine::Repository::find()?.root.join("tests/bench/prices.toml"))?.parse()?;
    Ok(table.keys().cloned().collect())
}

/// What is true once everything that a command has started ended with it.
const STOPPED: &str = "what this command started has been stopped";
/// The same where there may be a stack of `up`.
const STOPPED_BUT_UP: &str = "what this command started has been stopped; a stack that ran before still runs, and its orders go on";
/// What is true of a command that only looks.
const NOTHING: &str = "nothing was changed";
/// What is true of a change that is one call.
const UNKNOWN: &str = "whether it was done is not known; the same command again does no harm";

impl Command {
    /// What is true when a signal ends the command; [`None`] where that is its ordinary end. A command that hears signals itself, because
    /// what is true changes on its way, is asked first.
    pub fn if_interrupted(&self) -> Option<&'static str> {
        Some(match self {
            Self::Daily(Daily::Demo(_) | Daily::Up(_)) => STOPPED_BUT_UP,
            Self::Daily(Daily::MailPreview) => STOPPED,
            Self::Daily(Daily::Down) => "what was not stopped yet still runs; the same command again stops it",
            // It says itself what is true once it has placed the order.
            Self::Daily(Daily::Order(_)) => "no order was placed",
            Self::Daily(Daily::Logs(options)) if options.follows() => return None,
            Self::Daily(Daily::Catalogue(options)) if options.writes() => UNKNOWN,
            Self::Daily(Daily::Stock(options)) if options.writes() => "whether it was done is not known: `cargo xtask stock` shows it",
            Self::Daily(Daily::Signup(options)) if options.writes() => UNKNOWN,
            Self::Daily(_) => NOTHING,
            Self::Operate(Operate::Functions(command)) => command.if_interrupted(),
            Self::Operate(Operate::Smoke(_)) => "nothing was changed; an order that it placed goes on",
            Self::Operate(Operate::SamEnv(_)) => return None,
            Self::Prove(_) | Self::Measure(_) => STOPPED,
        })
    }
}

/// The options of a command, read as if the line followed its name.
#[cfg(test)]
pub fn read<T: Args>(line: &str) -> Result<T, clap::Error> {
    let command = T::augment_args(clap::Command::new("command").no_binary_name(true));
    T::from_arg_matches(&command.try_get_matches_from(line.split_whitespace())?)
}

#[cfg(test)]
mod tests;
