//! `dlq-inspector`: shows what lies in the dead-letter queues and why, and sends it on.
//!
//! Invoked by `cargo xtask dlq …` with one JSON document ([`request::Request`]), and by a schedule for the digest; it answers
//! with one ([`answer::Answer`]). Which queues there are it reads from the stack's own configuration. Looking changes nothing
//! that matters; redriving sends before it deletes, so that a death on the way doubles a message, which consumers bear, and
//! never loses one; discarding archives first. It refuses to delete anything of which there is no copy.
//!
//! ```text
//!   receive ─▶ facts ─▶ select ─▶ send home ─▶ delete          read to the end: release the rest
//!    (lease)                         │           │
//!                                    └── whoever dies in here leaves a message at home and in the dead-letter queue;
//!                                        run again, a FIFO home swallows the second copy by its deduplication id
//! ```

// What the command shares with the function: questions, answers, and how they are shown.
pub mod answer;
pub mod nearest;
pub mod request;
pub mod seen;
pub mod table;

#[cfg(feature = "function")]
pub mod inspector;
