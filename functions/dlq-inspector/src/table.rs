//! A queue by cause: what an operator reads first.
//!
//! A table has at most [`GROUPS_MAX`] groups of cut texts, so that it stays under 200 KiB whatever lies in the queue.

use domain::Timestamp;
use serde::{Deserialize, Serialize};

/// Most groups of a table; what belongs to none of them is counted together.
pub const GROUPS_MAX: usize = 200;
/// Longest sentence of an example, in characters.
pub const DETAIL_MAX: usize = 256;

/// Messages by cause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The groups, in the order they were met.
    pub groups: Vec<Group>,
    /// How many belong to no group, because there are too many.
    pub other: u64,
    /// How many causes were not looked up in a log, because there are too many or the log did not answer.
    pub not_looked_up: u64,
}

/// Messages that failed for the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Why.
    pub cause: String,
    /// The content.
    pub event_type: String,
    /// Whose they are.
    pub function: String,
    /// How many.
    pub count: u64,
    /// When the first of them failed, or was sent where that is not known.
    pub first: Timestamp,
    /// When the last did.
    pub last: Timestamp,
    /// One of them.
    pub example: Example,
}

/// One of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// SQS's id.
    pub message_id: String,
    /// The subject.
    pub subject: String,
    /// Why it failed, in a sentence.
    pub detail: String,
}

impl Table {
    /// How many messages were counted.
    pub fn total(&self) -> u64 {
        self.groups.iter().map(|group| group.count).sum::<u64>() + self.other
    }

    /// The largest group first.
    pub fn sort(&mut self) {
        self.groups.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.cause.cmp(&b.cause)).then_with(|| a.event_type.cmp(&b.event_type)));
    }

    /// The table for people, aligned; without any personal data, for it goes into mails.
    pub fn text(&self) -> String {
        let head = ["COUNT", "CAUSE", "TYPE", "FUNCTION", "FIRST", "LAST", "EXAMPLE"].map(str::to_owned);
        let row = |group: &Group| {
            let Group { cause, event_type, function, count, first, last, example } = group;
            let (first, last) = (to_the_second(*first), to_the_second(*last));
            [count.to_string(), cause.clone(), event_type.clone(), function.clone(), first, last, example.message_id.clone()]
        };
        let mut text = aligned(&std::iter::once(head).chain(self.groups.iter().map(row)).collect::<Vec<_>>(), &[0]);
        if self.other > 0 {
            text.push_str(&format!("and {} of further groups\n", self.other));
        }
        text
    }
}

/// A time as people read it, without fractions.
pub fn to_the_second(at: Timestamp) -> String {
    at.to_string().chars().take("2026-05-04T10:11:12".len()).collect::<String>() + "Z"
}

/// Rows of cells as lines whose columns are aligned: to the left, but for `numbers`.
pub fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]], numbers: &[usize]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).enumerate();
        let cells =
            cells.map(|(at, (cell, width))| if numbers.contains(&at) { format!("{cell:>width$}") } else { format!("{cell:<width$}") });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
