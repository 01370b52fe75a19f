//! What the end-to-end tests share: an ear at a topic, a mail that
//! comes in, events and dead letters.

pub mod dead_letters;
pub mod ear;
pub mod events;
pub mod inbound;
