//! The bench: one function after the other as Lambda would run it, on this machine, with AWS played by a stub.
//!
//! `cargo xtask bench` builds the functions as they are deployed and calls `main.rs`, which measures the cases of
//! [`cases`]. A case goes like this:
//!
//! ```text
//! spawn bootstrap ─ init, full speed ─▶ first event ─ held to its share ─▶ answered ─▶ many more, warm ─▶ ended
//!                  [`runtime_api`]        [`share`]        [`aws`], over TLS            [`process`]
//! ```
//!
//! It does not compare machines: what it measures here is good for ratios, to an earlier run here or to the floor, a
//! function that only answers.

pub mod aws;
pub mod cases;
pub mod certificate;
pub mod cost;
pub mod function;
pub mod machine;
pub mod measure;
pub mod package;
pub mod process;
pub mod report;
pub mod runtime_api;
pub mod share;
pub mod wiring;
