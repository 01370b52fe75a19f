//! `order-pipeline`: the commands of [`operate`] as a program of their own, for people on call. It needs neither a checkout nor cargo:
//! with `--stack NAME` it asks a stack on AWS, by sam and with the caller's credentials.

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use command_line::screen::end_quietly_when_nobody_reads;
use console::interruption::until_interrupted;
use console::machine::Repository;
use console::{exit, proxy, usage};
use operate::{Caller, Command, ERROR};
use std::process::ExitCode;

/// What the program is called, in its help and in the commands that it proposes.
const PROGRAM: &str = "order-pipeline";

const ABOUT: &str = "Without --stack it asks the stack that runs on this machine, and has to be called in the checkout where `cargo xtask \
                     up` started that.";

/// Looks after a deployed order pipeline, on this machine or on AWS
#[derive(Parser)]
#[command(name = PROGRAM, version, after_help = ABOUT)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    end_quietly_when_nobody_reads();
    let matches = match usage::parse(Cli::command().term_width(usage::help_width())) {
        Ok(matches) => matches,
        Err(status) => return status,
    };
    let command = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli.command,
        Err(error) => return usage::told(&error),
    };
    if let Err(error) = proxy::except_loopback() {
        exit::report(&error);
        return ExitCode::from(ERROR);
    }
    let repository = Repository::find().ok();
    let meaning = command.if_interrupted();
    let caller = Caller { program: PROGRAM, repository: repository.as_ref() };
    until_interrupted(command.run(caller), Some(meaning)).unwrap_or_else(|error| {
        exit::report(&error);
        ExitCode::from(operate::status(&error))
    })
}
