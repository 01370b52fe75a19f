//! `dlq-inspector`: lists the messages in dead-letter queues with their causes, and redrives or discards them.
//!
//! `cargo xtask dlq …` invokes it with one JSON document ([`request::Request`]) and gets one ([`answer::Answer`]). A schedule
//! invokes it for the digest. It finds the queues in the stack's own configuration. Looking changes nothing that matters.
//! A redrive sends a message before it deletes it, so that a crash in between duplicates the message, which consumers
//! tolerate, and never loses it. A message of which there is no copy is not deleted: discarding archives first.
//!
//! ```text
//!   receive ─▶ facts ─▶ select ─▶ send back ─▶ delete          read to the end: release the rest
//!    (lease)                         │           │
//!                                    └── a process that dies here leaves the message in both queues;
//!                                        run again, a FIFO source queue ignores the second copy by its deduplication id
//! ```

// What the command shares with the function: questions, answers, and how they are shown.
pub mod answer;
pub mod nearest;
pub mod request;
pub mod seen;
pub mod table;

#[cfg(feature = "function")]
pub mod inspector;
