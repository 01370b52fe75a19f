//! What the end-to-end tests share: an ear at a topic, a mail that comes in, events and dead letters, and
//! who hears what by the template.

pub mod dead_letters;
pub mod ear;
pub mod events;
pub mod inbound;
pub mod wiring;
