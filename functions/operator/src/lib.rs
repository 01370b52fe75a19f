//! `operator`: carries out what people command.
//!
//! Invoked by `cargo xtask uncollected …` and `cargo xtask nudge …` with one JSON document ([`request::Request`]); it answers with
//! one ([`answer::Answer`]). Whoever may invoke it may command it, and no route of the API leads to it. A dry run says what would be
//! done and changes nothing; whatever changes something is audited before and after. It refuses to repair by hand: it repeats what
//! was said, or notes what a person has done, and the pipeline does the rest.

// What the commands share with the function: requests and answers.
pub mod answer;
pub mod request;

#[cfg(feature = "function")]
pub mod operator;
