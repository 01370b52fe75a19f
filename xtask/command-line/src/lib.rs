//! What the commands share with the programs that take minutes to build: the model, the simulation, the bench and the bill.
//!
//! `cargo xtask` depends on it, and so do these programs.

pub mod options;
pub mod screen;
