//! Answers as people read them: what is there, why, and which command comes next.
//!
//! Tables are aligned first and coloured after, line by line, so that a colour never moves a column. It trusts no text that came
//! out of a queue: control characters would be the terminal's.

use crate::style::Style;
use command_line::screen::{self, Layout, command, sentences, wrapped};
use console::progress::{bold, dim, red};
use dlq_inspector::answer::{Answer, Changed, Digested, Explained, Listed, MASK, Peeked};
use dlq_inspector::request::Command;
use dlq_inspector::table::{Group, aligned, to_the_second};
use jiff::Timestamp;
use serde_json::Value;

/// Most groups whose example is told in full: what a screen holds. They are the largest.
const EXAMPLES_MAX: usize = 10;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// An answer to what was asked, in lines.
pub fn text(answer: &Answer, asked: &Command, style: Style<'_>) -> String {
    match answer {
        Answer::List(listed) => list(listed, style),
        Answer::Peek(peeked) => peek(peeked, asked, style),
        Answer::Explain(explained) => explanation(explained, style),
        Answer::Changed(changed) => change(changed, matches!(asked, Command::Discard(_))),
        Answer::Digest(digested) => digest(*digested).to_owned() + "\n",
        // Errors, which have no place here.
        Answer::Refused(_) | Answer::Failed(_) => String::new(),
    }
}

fn list(listed: &[Listed], style: Style<'_>) -> String {
    let table = table(listed, style);
    let mut text = String::new();
    for (line, queue) in table.iter().zip(std::iter::once(None).chain(listed.iter().map(Some))) {
        let line = match queue {
            None => bold(line),
            Some(queue) if queue.held() > 0 => red(line),
            Some(_) => dim(line),
        };
        text.push_str(&(line + "\n"));
    }
    text.push_str(&format!("\n{}\n", sum(listed)));
    // Where there is one to fill in, the fullest.
    if let Some(fullest) = listed.iter().filter(|queue| queue.held() > 0).max_by_key(|queue| queue.held()) {
        text.push_str(
            &(dim(&command(&format!("why: {} dlq explain {}{}", style.program, fullest.queue, style.flags), "", style.width)) + "\n"),
        );
    }
    text
}

/// The queues as a table, without colours.
fn table(listed: &[Listed], Style { now, width, .. }: Style<'_>) -> Vec<String> {
    let head = ["QUEUE", "DEPTH", "IN FLIGHT", "OLDEST", "LAST HOUR", "FROM"].map(str::to_owned);
    let row = |queue: &Listed| {
        let oldest = queue.oldest_sent_at.map_or_else(|| "-".to_owned(), |at| age(now.as_second() - at.as_second()));
        // One that is older may lie behind those that were read.
        let oldest = if queue.oldest_sent_at.is_some() && !queue.complete { format!("over {oldest}") } else { oldest };
        let arrived = queue.arrived_last_hour.map_or_else(|| "?".to_owned(), |count| count.to_string());
        [queue.queue.clone(), queue.depth.to_string(), queue.in_flight.to_string(), oldest, arrived, queue.sources.join(", ")]
    };
    let rows: Vec<_> = std::iter::once(head).chain(listed.iter().map(row)).collect();
    screen::table(&rows, Layout { numbers: &[1, 2, 4], flexible: &[0, 5], width })
}

fn sum(listed: &[Listed]) -> String {
    let messages: u64 = listed.iter().map(Listed::held).sum();
    let full = listed.iter().filter(|queue| queue.held() > 0).count();
    match (listed.len(), messages) {
        (0, _) => "The stack has no dead-letter queue.".to_owned(),
        (queues, 0) => format!("All {queues} dead-letter queues are empty."),
        (queues, _) => format!("{} in {full} of {queues} dead-letter queues.", counted(messages, "message")),
    }
}

fn peek(peeked: &[Peeked], asked: &Command, style: Style<'_>) -> String {
    let (queue, is_revealed) = match asked {
        Command::Peek(peek) => (peek.queue.as_str(), peek.reveal),
        _ => ("the queue", false),
    };
    if peeked.is_empty() {
        return format!("There is nothing to be had in {}.\n", plain(queue));
    }
    let mut text = String::new();
    for message in peeked {
        let [head, rest] = block(message, style);
        text.push_str(&format!("{}\n{rest}\n", bold(&head)));
    }
    let masked = if is_revealed {
        "Bodies are shown as they are; that you asked for them is recorded."
    } else {
        "*** marks fields that may be personal. --reveal shows them, and is recorded."
    };
    text + &dim(&sentences(masked, "", style.width)) + "\n"
}

/// A message: what it is, and in lines what is known of it.
fn block(message: &Peeked, Style { now, width, .. }: Style<'_>) -> [String; 2] {
    const INDENT: &str = "  ";
    let when = |at: Timestamp| format!("{} ({} ago)", to_the_second(at), age(now.as_second() - at.as_second()));
    let mut lines = vec![format!("{}: {}", message.cause, message.detail), format!("first seen {}", when(message.first_seen))];
    if let Some(last) = message.last_seen {
        lines.push(format!("last failed {}", when(last)));
    }
    lines.push(received(message));
    if let Some(trace) = &message.trace_id {
        lines.push(format!("trace {trace}"));
    }
    let known = lines.iter().map(|line| sentences(&plain(line), INDENT, width) + "\n");
    // As it is: one that is wrapped could not be copied.
    let body = body(&message.body);
    let body = body.lines().map(|line| format!("{INDENT}{}\n", plain(line)));
    let rest = known.chain(body).collect();
    let head = [&message.message_id, &message.event_type, &message.subject].map(|text| plain(text));
    [wrapped(head, "  ", ["", INDENT], width), rest]
}

/// SQS counts each receive of a message, of every queue that it lay in, until it is deleted: the inspector's own too
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html>, `ApproximateReceiveCount`). Which of
/// them were the consumer's nobody says.
fn received(message: &Peeked) -> String {
    format!(
        "redriven {}, received {}: looks by these commands and by the digest count too",
        times(message.redrives),
        times(message.receives)
    )
}

/// A body in lines: a document with its fields each in one, and all else as it is.
fn body(body: &Value) -> String {
    let text = match body {
        // As it is, it comes as text; masked, as a document.
        Value::String(text) => text,
        document => return pretty(document),
    };
    match serde_json::from_str::<Value>(text) {
        Ok(document @ (Value::Object(_) | Value::Array(_))) => pretty(&document),
        _ if text.is_empty() => "(an empty body)".to_owned(),
        _ => text.clone(),
    }
}

fn pretty(document: &Value) -> String {
    serde_json::to_string_pretty(document).unwrap_or_else(|_| document.to_string())
}

fn explanation(explained: &Explained, style: Style<'_>) -> String {
    let Explained { queue, table, .. } = explained;
    if table.total() == 0 && explained.depth == 0 {
        return format!("{queue} is empty: there is nothing to explain.\n");
    }
    let mut text = format!("{}\n", sentences(&read_of(explained), "", style.width));
    if table.groups.is_empty() {
        return text;
    }
    text.push('\n');
    for (at, line) in causes(&table.groups, style).iter().enumerate() {
        text.push_str(&(if at == 0 { bold(line) } else { line.to_owned() } + "\n"));
    }
    if table.other > 0 {
        text.push_str(&format!("and {} of further groups\n", table.other));
    }
    text.push_str(&format!("\n{}\n{}", bold("One of each"), examples(&table.groups, style.width)));
    if table.not_looked_up > 0 {
        let unknown = format!("Of {} the error was not looked up in the consumer's log.", counted(table.not_looked_up, "message"));
        text.push_str(&format!("\n{}\n", sentences(&unknown, "", style.width)));
    }
    text + &format!("\n{}\n{}", bold("What next"), next(queue, table.groups.first(), style))
}

/// The groups as a table, without colours. Times are ages: what matters is whether it still goes on.
fn causes(groups: &[Group], Style { now, width, .. }: Style<'_>) -> Vec<String> {
    let head = ["COUNT", "CAUSE", "TYPE", "FUNCTION", "OLDEST", "NEWEST"].map(str::to_owned);
    let ago = |at: Timestamp| age(now.as_second() - at.as_second());
    let row = |group: &Group| {
        let [cause, event_type, function] = [&group.cause, &group.event_type, &group.function].map(|text| plain(text));
        [group.count.to_string(), cause, event_type, function, ago(group.first), ago(group.last)]
    };
    let rows: Vec<_> = std::iter::once(head).chain(groups.iter().map(row)).collect();
    screen::table(&rows, Layout { numbers: &[0, 4, 5], flexible: &[1, 2, 3], width })
}

/// How much of a queue the table tells of.
fn read_of(explained: &Explained) -> String {
    let Explained { queue, read, depth, .. } = explained;
    if read >= depth {
        return format!("{queue}: {}", counted(*read, "message"));
    }
    format!("{queue}: {read} of about {} were read; another reader has the others, or they are behind others of their FIFO group.", {
        counted(*depth, "message")
    })
}

fn examples(groups: &[Group], width: Option<usize>) -> String {
    const INDENT: &str = "  ";
    let example = |group: &Group| {
        let about = [&group.cause, &group.event_type].map(|text| plain(text));
        let which = [format!("message {}", group.example.message_id), format!("about {}", group.example.subject)].map(|text| plain(&text));
        let [about, which] = [wrapped(about, "  ", ["", INDENT], width), wrapped(which, ", ", [INDENT; 2], width)];
        format!("{about}\n{which}\n{}\n", sentences(&plain(&group.example.detail), INDENT, width))
    };
    let mut text: String = groups.iter().take(EXAMPLES_MAX).map(example).collect();
    if groups.len() > EXAMPLES_MAX {
        text.push_str(&format!("and {} more: --json has them all\n", groups.len() - EXAMPLES_MAX));
    }
    text
}

/// What an operator does once they know why: for the largest group, or for all where its cause cannot be named.
fn next(queue: &str, largest: Option<&Group>, Style { program, flags, width, .. }: Style<'_>) -> String {
    let cause = largest.map(|group| group.cause.as_str()).filter(|cause| *cause != MASK && !cause.is_empty());
    let select = cause.map(|cause| format!(" --where cause={cause}")).unwrap_or_default();
    let mut rows = vec![
        ("see messages", format!("{program} dlq peek {queue}{flags}")),
        ("try it out", format!("{program} dlq redrive {queue}{select} --dry-run{flags}")),
        ("send them back, once the cause is fixed", format!("{program} dlq redrive {queue}{select}{flags}")),
    ];
    if cause.is_some() {
        rows.push(("archive and delete them", format!("{program} dlq discard {queue}{select} --reason \"…\" --dry-run{flags}")));
    }
    // Below each other, so that the commands are as narrow as they can be.
    rows.into_iter().map(|(why, line)| format!("{why}\n{}\n", command(&line, "  ", width))).collect()
}

/// The outcome of a queue's messages.
fn change(changed: &Changed, is_discard: bool) -> String {
    let Changed { queue, dry_run, counts, depth, .. } = changed;
    if counts.read == 0 && counts.done == 0 && *depth == 0 {
        return format!("{queue} is empty: nothing to {}.\n", if is_discard { "discard" } else { "redrive" });
    }
    let done = match (is_discard, dry_run) {
        (false, false) => "went back",
        (false, true) => "would go back",
        (true, false) => "archived and deleted",
        (true, true) => "would be archived and deleted",
    };
    let rows = [
        (counts.done, done),
        (counts.skipped, "not selected"),
        (counts.newer, "arrived during the redrive: they stay"),
        (counts.refused, "refused: they stay"),
        (counts.held_back, "held back: one before them in their FIFO group did not go"),
        (counts.failed, "failed: still there"),
    ];
    let rows: Vec<_> = rows
        .into_iter()
        .filter(|(count, what)| *count > 0 || *what == done)
        .map(|(count, what)| [count.to_string(), what.into()])
        .collect();
    let end = if *dry_run { "A dry run: nothing was changed.\n" } else { "" };
    format!("{queue}: {} read\n{}{end}", counted(counts.read, "message"), aligned(&rows, &[0]))
}

fn digest(digested: Digested) -> &'static str {
    match digested {
        Digested::Silent => "Every dead-letter queue is empty: no digest was sent.",
        Digested::Said => "The same digest was sent recently: it was not sent again.",
        Digested::Sent => "The digest went to the operators' alert topic.",
    }
}

/// How long ago, in the two units that matter: `3 h 12 min`.
pub fn age(seconds: i64) -> String {
    match seconds {
        // The clocks of two machines differ.
        ..0 => "0 s".to_owned(),
        0..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => format!("{} h {} min", seconds / HOUR, seconds % HOUR / MINUTE),
        _ => format!("{} d {} h", seconds / DAY, seconds % DAY / HOUR),
    }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn times(count: u32) -> String {
    match count {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        _ => format!("{count} times"),
    }
}

/// A line without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests;
