//! What the end-to-end tests share: a listener at a topic, a mail that comes in, events and dead letters, and the wiring as the
//! template has it.

pub mod dead_letters;
pub mod events;
pub mod inbound;
pub mod topic_listener;
pub mod wiring;
