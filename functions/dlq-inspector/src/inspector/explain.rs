//! `explain`: reads a queue to its end and counts its messages by cause.

use super::{
    Inspector, count,
    look::{LOOK_UPS_MAX, RECEIVES},
    message::Facts,
    pages_end,
    ports::{PAGE_MAX, Ports},
    stack::{DeadLetterQueue, Source},
    stop::Stop,
    walk::{Walk, lease},
};
use crate::{
    answer::Explained,
    request::{Counts, Cursor, Explain},
    table::{DETAIL_MAX, Example, GROUPS_MAX, Group, Table},
};
use domain::Timestamp;
use lambda_kit::Failure;
use tokio::time::Instant;

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
                example: Example { message_id: facts.message_id.clone(), subject: facts.subject.clone(), detail: cut(&facts.detail) },
            }),
        }
    }
}

/// A sentence, no longer than an example's.
fn cut(text: &str) -> String {
    match text.char_indices().nth(DETAIL_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl<P: Ports> Inspector<P> {
    pub(crate) async fn explain(&self, explain: &Explain, last: Instant) -> Result<Explained, Stop> {
        let layout = self.layout().await?;
        let queue = layout.find(&explain.queue)?;
        Ok(self.explained(queue, explain.cursor.clone().unwrap_or_default(), u64::MAX, pages_end(last)).await?)
    }

    /// Reads on in a queue, a page at least, up to so many messages, or until `ends`.
    pub(crate) async fn explained(&self, queue: &DeadLetterQueue, cursor: Cursor, most: u64, ends: Instant) -> Result<Explained, Failure> {
        let Cursor { seen, mut counts, mut table, .. } = cursor;
        let lease = lease(queue.depth());
        let mut walk = Walk::new(&self.ports, queue, lease, seen);
        let mut look_ups = LOOK_UPS_MAX;
        let outcome = loop {
            let page = match walk.page(PAGE_MAX, RECEIVES).await {
                Ok(Some(page)) => page,
                Ok(None) => break Ok(true),
                Err(failure) => break Err(failure),
            };
            match self.facts(queue, &page, &mut look_ups, false).await {
                Ok((facts, not_looked_up)) => {
                    table.not_looked_up += not_looked_up;
                    for (received, facts) in page.iter().zip(&facts) {
                        let function = queue.source(received, facts, None).map_or("-", Source::name);
                        table.add(facts, function, received.sent_at);
                    }
                }
                Err(failure) => break Err(failure),
            }
            counts.read += count(page.len());
            if counts.read >= most {
                break Ok(true);
            }
            if Instant::now() >= ends {
                break Ok(false);
            }
        };
        if !matches!(outcome, Ok(false)) {
            walk.end().await?;
        }
        let is_over = outcome?;
        table.sort();
        let Counts { read, .. } = counts;
        let cursor = (!is_over).then(|| Cursor { seen: walk.seen, counts, table: table.clone(), ..Cursor::default() });
        Ok(Explained { queue: queue.name.clone(), table, read, depth: queue.depth(), lease_seconds: lease.as_secs(), cursor })
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
