//! `operator`: runs operators' commands on one order.
//!
//! `cargo xtask uncollected …` and `cargo xtask nudge …` invoke it with one JSON document ([`request::Request`]) and get one
//! ([`answer::Answer`]). Every principal that may invoke it may use every command, and no route of the API leads to it. A dry
//! run prints the change and makes none; each change is audited before and after. It repairs no record: it publishes
//! an event again, or notes what a person did, and the pipeline does the rest.

// What the commands share with the function: requests and answers.
pub mod answer;
pub mod request;

#[cfg(feature = "function")]
pub mod operator;
