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

/// `cargo xtask logs payment | head` closes the pipe. `println!` panics then, which stops everything as it should; only the
/// report of it is left out.
pub fn end_quietly_when_nobody_reads() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.payload_as_str().is_some_and(|what| what.contains("Broken pipe")) {
            report(panic);
        }
    }));
}
