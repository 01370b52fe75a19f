//! How a command ends: its exit status by what was wrong, and what standard error says of it.

use crate::interruption::Interrupted;
use crate::machine::Missing;
use crate::progress;
use crate::usage::Usage;
use command_line::screen::{sentences, width};

/// Exit status: a step, a story or a check failed.
pub const FAILED: u8 = 1;
/// Exit status: wrong usage, as clap has it.
pub const WRONG_USAGE: u8 = 2;
/// Exit status: something is missing on this machine, or nothing is running.
pub const MISSING: u8 = 3;
/// Exit status: a signal ended it, as shells have it for Ctrl-C.
pub const INTERRUPTED: u8 = 130;

/// The exit status of a command that ended with this error.
pub fn status(error: &anyhow::Error) -> u8 {
    if error.is::<Interrupted>() {
        INTERRUPTED
    } else if error.is::<Usage>() {
        WRONG_USAGE
    } else if error.is::<Missing>() {
        MISSING
    } else {
        FAILED
    }
}

/// Says on standard error what was wrong, as wide as the terminal.
pub fn report(error: &anyhow::Error) {
    progress::clear_line();
    eprintln!("\n{}", sentences(&format!("error: {error:#}"), "", width(&std::io::stderr())));
}
