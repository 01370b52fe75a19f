//! How answers are laid out for people.

use jiff::Timestamp;

/// What an answer's text depends on, beside the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style<'s> {
    /// What proposed commands begin with.
    pub(crate) program: &'s str,
    /// The flags that they need to mean the same stack.
    pub(crate) flags: &'s str,
    /// When it is read.
    pub(crate) now: Timestamp,
    /// How wide the terminal is; [`None`] without one.
    pub(crate) width: Option<usize>,
}
