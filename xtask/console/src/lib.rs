//! What the commands share: the checkout and the machine that it is on, the programs that a command starts, what it shows while it
//! works, how it ends, and the stack that runs here: its tools, its build, its deployment.
//!
//! `xtask` and `operate` are lists of commands over it. It knows no command and none of their options.
#![expect(clippy::print_stdout, reason = "a command line tool speaks on standard output")]

pub mod build;
pub mod deploy;
pub mod exit;
pub mod interruption;
pub mod machine;
pub mod processes;
pub mod progress;
pub mod proxy;
pub mod seed;
pub mod setup;
pub mod stack;
pub mod state;
pub mod usage;
pub mod watch;
