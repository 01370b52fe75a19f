//! What was typed and is wrong: clap's refusals, as wide as the terminal, and those that only the checkout or the stack can tell.

use clap::ArgMatches;
use command_line::screen::{USUAL_WIDTH, sentences, width};
use std::io::Write as _;
use std::process::ExitCode;

/// Wrong usage that only the checkout or the stack can tell. Exit status 2, as clap's own.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Lines of help that are longer are hard to read, however wide the terminal is.
pub const HELP_WIDTH_MAX: usize = 100;

/// How wide help is.
pub fn help_width() -> usize {
    width(&std::io::stdout()).unwrap_or(USUAL_WIDTH).min(HELP_WIDTH_MAX)
}

/// What was typed; or the status after help was printed, or what is wrong with it.
pub fn parse(command: clap::Command) -> Result<ArgMatches, ExitCode> {
    command.try_get_matches().map_err(|error| told(&error))
}

/// Prints what clap has to say: help, or what is wrong. Returns the exit status.
pub fn told(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        complain(&error.render());
    } else if let Err(unread) = error.print().or_else(when_nobody_reads) {
        complain(&unread);
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// `cargo xtask --help | head` closes the pipe: enough was read.
fn when_nobody_reads(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}

/// Prints an error of clap's to standard error, which it would print wider than the terminal.
fn complain(error: &impl std::fmt::Display) {
    let text = sentences(error.to_string().trim_end(), "", width(&std::io::stderr()));
    // Where nobody can be told there is nothing left to do.
    drop(writeln!(std::io::stderr(), "{text}"));
}
