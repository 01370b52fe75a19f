//! Connects the order pipeline with Lambda: an event becomes a message, and a stage becomes a consumer.
//!
//! Functions depend on it. Because it exists, `domain` stays pure and `lambda-kit` knows nothing of orders.

#[cfg(feature = "command")]
pub mod command;
#[cfg(feature = "queue")]
mod consume;
#[cfg(feature = "customers")]
pub mod customers;
mod message;
#[cfg(feature = "orders")]
pub mod orders;
mod stage;
#[cfg(feature = "uncollected")]
pub mod uncollected;

#[cfg(feature = "queue")]
pub use consume::{Consume, run};
pub use message::{outgoing, publish, publish_again, unreadable};
pub use stage::{Announcement, Reply, Stage, customer_id, impossible, not_for, order_id};
