//! The promises, proven: the stages' own handlers under a model checker, and on a simulated cloud.
//!
//! `cargo xtask model` and `cargo xtask simulate` call it, and so do its tests. It does not repeat anything that a handler
//! decides: what runs here is what is deployed, and only what surrounds it is made up.

pub mod model;
pub mod simulation;
mod stripe_key;
