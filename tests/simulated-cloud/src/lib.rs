//! A simulated cloud in one process: tables, a topic, queues, a payment provider, and everything that goes wrong with them.
//!
//! `proof` runs the pipeline's own handlers on it. Every draw comes from one seed and time is tokio's paused clock, so a
//! seed is a run, to the last line of its story. It does not know what an order is: it stores items, delivers messages and
//! holds money, as AWS and Stripe document that they do.

pub mod dynamodb;
mod expression;
mod faults;
pub mod messaging;
pub mod stripe;
pub mod write;

pub use faults::{CallFailure, Caller, Draws, Fault, FaultRates, Invocation};
