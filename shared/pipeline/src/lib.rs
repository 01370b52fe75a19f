//! The thin layer that knows both the order pipeline and Lambda: how an event becomes a message and a stage a consumer.
//!
//! Functions depend on it; `domain` stays pure and `lambda-kit` stays generic because it exists. It refuses to decide
//! anything about an order.

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
