//! What people do about a deployed stack, the one that runs here or one on AWS: see what lies in the dead-letter queues and send it
//! back, list and settle uncollected payments, nudge an order.
//!
//! It calls the stack's own functions and nothing else: a person who may not invoke those gets nowhere by it.

pub mod deployed;
pub mod dlq;
pub mod orders;
