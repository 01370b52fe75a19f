//! What people do about a deployed stack, the one that runs here or one on AWS: see what lies in the dead-letter queues and send it
//! back, list and settle uncollected payments, nudge an order.
//!
//! Two programs offer these commands: `cargo xtask` in a checkout, and `order-pipeline` anywhere. It calls the stack's own functions
//! and nothing else: a person who may not invoke those gets nowhere by it.

pub mod deployed;
pub mod dlq;
pub mod orders;
mod style;

use anyhow::Result;
use clap::Subcommand;
use console::exit;
use console::interruption::Interrupted;
use console::machine::Repository;
use std::process::ExitCode;

/// Exit status: there is no answer. As grep has it: no error may be taken for one.
pub const ERROR: u8 = 2;

/// What is true of a command that only looks.
const NOTHING: &str = "nothing was changed";
/// What is true of a change that is one call.
const UNKNOWN: &str = "whether it was done is not known; the same command again does no harm";

/// What is asked of a stack's functions.
#[derive(Subcommand)]
pub enum Command {
    /// List, explain and redrive messages in dead-letter queues
    ///
    /// Works on the local stack, or with --stack on AWS.
    Dlq(dlq::Options),
    /// List orders that were shipped and not paid, and settle them
    ///
    /// Works on the local stack, or with --stack on AWS.
    Uncollected(orders::Uncollected),
    /// Publish an order's `order.placed` again
    ///
    /// An order whose messages were lost then ends. Works on the local stack, or with --stack on AWS.
    Nudge(orders::Nudge),
}

/// The program that offers the commands.
#[derive(Clone, Copy)]
pub struct Caller<'c> {
    /// What the commands that an answer proposes begin with, for instance `cargo xtask`.
    pub program: &'c str,
    /// The checkout that it was called in, with the stack that runs there; [`None`] outside of one.
    pub repository: Option<&'c Repository>,
}

impl Command {
    /// Asks, prints the answer, and returns the exit status.
    ///
    /// # Errors
    /// Where there is no answer, or it is a refusal.
    pub async fn run(self, caller: Caller<'_>) -> Result<ExitCode> {
        match self {
            Self::Dlq(options) => dlq::run(caller, options).await,
            Self::Uncollected(options) => orders::uncollected(caller, options).await,
            Self::Nudge(options) => orders::nudge(caller, options).await,
        }
    }

    /// What is true when a signal ends the command. `dlq`, of which that changes on its way, hears the signal itself.
    pub fn if_interrupted(&self) -> &'static str {
        match self {
            Self::Dlq(_) => "the invocation under way ends by itself within a minute",
            Self::Uncollected(options) if options.changes() => UNKNOWN,
            Self::Nudge(options) if options.changes() => UNKNOWN,
            Self::Uncollected(_) | Self::Nudge(_) => NOTHING,
        }
    }
}

/// The exit status of a command that ended with this error.
pub fn status(error: &anyhow::Error) -> u8 {
    if error.is::<Interrupted>() { exit::INTERRUPTED } else { ERROR }
}
