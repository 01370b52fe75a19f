//! A queue by cause: what an operator reads first.
//!
//! A table has at most [`GROUPS_MAX`] groups of cut texts, so that it stays under 200 KiB whatever lies in the queue.

use crate::message::Facts;
use domain::Timestamp;
use serde::{Deserialize, Serialize};

/// Most groups of a table; what belongs to none of them is counted together.
pub const GROUPS_MAX: usize = 200;
/// Longest sentence of an example, in characters.
const DETAIL_MAX: usize = 256;

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
    /// What they are.
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
    /// What it is about.
    pub subject: String,
    /// Why it failed, in a sentence.
    pub detail: String,
}

impl Table {
    /// Counts a message of this function in.
    pub fn add(&mut self, facts: &Facts, function: &str, sent_at: Timestamp) {
        let at = facts.failed_at.unwrap_or(sent_at);
        let is_same = |group: &&mut Group| group.cause == facts.cause && group.event_type == facts.event_type && group.function == function;
        let groups = self.groups.len();
        match self.groups.iter_mut().find(is_same) {
            Some(group) => {
                group.count += 1;
                (group.first, group.last) = (group.first.min(at), group.last.max(at));
            }
            None if groups >= GROUPS_MAX => self.other += 1,
            None => self.groups.push(Group {
                cause: facts.cause.clone(),
                event_type: facts.event_type.clone(),
                function: function.to_owned(),
                count: 1,
                first: at,
                last: at,
                example: Example {
                    message_id: facts.message_id.clone(),
                    subject: facts.subject.clone(),
                    detail: facts.detail.chars().take(DETAIL_MAX).collect(),
                },
            }),
        }
    }

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
        let second = |at: Timestamp| at.to_string().chars().take(19).collect::<String>() + "Z";
        let row = |group: &Group| {
            let Group { cause, event_type, function, count, first, last, example } = group;
            let (first, last) = (second(*first), second(*last));
            [count.to_string(), cause.clone(), event_type.clone(), function.clone(), first, last, example.message_id.clone()]
        };
        let rows: Vec<_> = std::iter::once(head).chain(self.groups.iter().map(row)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 7] = std::array::from_fn(width);
        let mut text = String::new();
        for row in &rows {
            let cells = row.iter().zip(widths).enumerate();
            let cells = cells.map(|(at, (cell, width))| if at == 0 { format!("{cell:>width$}") } else { format!("{cell:<width$}") });
            text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
            text.push('\n');
        }
        if self.other > 0 {
            text.push_str(&format!("and {} of further groups\n", self.other));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(cause: &str) -> Facts {
        Facts { cause: cause.into(), event_type: "order.placed.v1".into(), message_id: "m".into(), ..Facts::default() }
    }

    #[test]
    fn messages_are_counted_by_cause_and_the_table_is_aligned() {
        let mut table = Table::default();
        for (n, cause) in ["B", "A", "B"].into_iter().enumerate() {
            table.add(&facts(cause), "payment", Timestamp::from_second(i64::try_from(n).unwrap()).unwrap());
        }
        table.sort();
        assert_eq!((table.groups[0].count, table.groups[0].cause.as_str(), table.total()), (2, "B", 3));
        assert_eq!((table.groups[0].first.as_second(), table.groups[0].last.as_second()), (0, 2));
        let text = table.text();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("COUNT  CAUSE  TYPE ") && lines[1].starts_with("    2  B      order.placed.v1  payment "), "{text}");
    }

    #[test]
    fn a_table_stays_small_whatever_lies_in_the_queue() {
        let mut table = Table::default();
        for n in 0..10_000 {
            let detail = "x".repeat(512);
            table.add(&Facts { detail, ..facts(&format!("{n:064}")) }, "payment", Timestamp::UNIX_EPOCH);
        }
        assert_eq!((table.groups.len(), table.total()), (GROUPS_MAX, 10_000));
        assert!(serde_json::to_string(&table).unwrap().len() < 200 * 1024);
    }
}
