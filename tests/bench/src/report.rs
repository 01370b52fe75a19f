//! What was measured, as a table to read and as JSON to keep, and next to an earlier run.
//!
//! It does not judge: it prints figures and ratios, and a reader decides what they mean.

use crate::{aws::Units, machine::Machine};
use anyhow::{Context as _, Result};
use command_line::screen::{columns, sentences, wrapped};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, path::Path};

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// When, in UTC.
    pub measured_at: String,
    /// Where.
    pub machine: Machine,
    /// How.
    pub conditions: Conditions,
    /// How much.
    pub effort: Effort,
    /// How many processes wanted a processor, on average over the minute before: with more than none, others were running.
    pub load: String,
    /// The content.
    pub rows: Vec<Row>,
}

/// What else figures depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions {
    /// Milliseconds that the stub lets every call wait.
    pub latency_ms: u64,
    /// How functions were held to their share, or why they were not.
    pub share: String,
    /// Certificates in the file of roots.
    pub roots: usize,
    /// What the stub offers to speak, the first first.
    pub protocols: Vec<String>,
    /// Milliseconds between two warm invocations.
    pub pause_ms: u64,
}

/// How much is measured of every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effort {
    /// Cold starts.
    pub starts: u64,
    /// Warm invocations.
    pub warm: u64,
}

/// One case in one size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The function.
    pub function: String,
    /// What it was sent.
    pub sample: String,
    /// Its memory.
    pub memory_mb: u64,
    /// Messages in an invocation.
    pub batch: u64,
    /// From the start of the process to its asking for work; the median of cold starts.
    pub init_us: u64,
    /// The first invocation; the same.
    pub first_us: u64,
    /// Both together; the same.
    pub init_and_first_us: u64,
    /// A warm invocation, half the time.
    pub warm_p50_us: u64,
    /// A warm invocation, but for one in a hundred.
    pub warm_p99_us: u64,
    /// Processor time, warm.
    pub cpu_us_per_message: u64,
    /// The most memory it held.
    pub peak_kib: u64,
    /// Its archive.
    pub zip_bytes: u64,
    /// Handshakes in init.
    pub connections_in_init: u64,
    /// Handshakes in the first invocation.
    pub connections_in_first: u64,
    /// How many of these went on with an earlier session.
    pub resumed_in_first: u64,
    /// Calls of init and the first invocation, by operation.
    pub first_calls: BTreeMap<String, u64>,
    /// Calls of all warm invocations, by operation.
    pub warm_calls: BTreeMap<String, u64>,
    /// Messages of all warm invocations.
    pub warm_messages: u64,
    /// How many warm invocations there were. Of an older report, none: it has nothing of what is billed.
    #[serde(default)]
    pub warm_invocations: u64,
    /// What Lambda bills of them: each rounded up to a millisecond.
    #[serde(default)]
    pub warm_billed_ms: u64,
    /// What else is billed of them by size.
    #[serde(default)]
    pub warm_units: Units,
    /// What they logged.
    #[serde(default)]
    pub warm_log_bytes: u64,
}

impl Row {
    /// The same case in the same size.
    fn is_of(&self, other: &Self) -> bool {
        (&self.function, &self.sample, self.memory_mb, self.batch) == (&other.function, &other.sample, other.memory_mb, other.batch)
    }

    /// What a ratio makes sense of, in the order of the table's columns.
    fn figures(&self) -> [u64; 8] {
        let Self { init_us, first_us, init_and_first_us, warm_p50_us, warm_p99_us, cpu_us_per_message, peak_kib, zip_bytes, .. } = *self;
        [init_us, first_us, init_and_first_us, warm_p50_us, warm_p99_us, cpu_us_per_message, peak_kib, zip_bytes]
    }

    fn calls_per_message(&self) -> String {
        let per_message =
            |(operation, calls): (&String, &u64)| format!("{operation} {}", hundredths(calls * 100 / self.warm_messages.max(1)));
        let calls: Vec<_> = self.warm_calls.iter().map(per_message).collect();
        if calls.is_empty() { "none".to_owned() } else { calls.join(", ") }
    }
}

impl Report {
    /// Reads what [`Report::write`] wrote.
    ///
    /// # Errors
    /// The file is none.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no report of the bench", file.display()))
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// The ratios to an earlier run, as a table: below 1 is less than then. Cases that only one of both has are left out.
    #[must_use]
    pub fn compared(&self, earlier: &Self, width: Option<usize>) -> String {
        let pairs: Vec<_> = self.rows.iter().filter_map(|row| Some((row, earlier.rows.iter().find(|then| then.is_of(row))?))).collect();
        if pairs.is_empty() {
            return "The two runs have no case in common.\n".to_owned();
        }
        let mut table = Table::new(&HEADS[..12]);
        for (row, then) in pairs {
            let ratio =
                |(now, then): (u64, u64)| (now * 100).checked_div(then).map_or_else(|| "–".to_owned(), |r| format!("{}×", hundredths(r)));
            table.push(place(row).into_iter().chain(row.figures().into_iter().zip(then.figures()).map(ratio)));
        }
        let title = format!("Ratios to {} ({})", earlier.measured_at, earlier.machine.processor);
        let mut text = format!("{}\n{}", sentences(&title, "", width), table.fitted(width));
        if earlier.machine != self.machine || earlier.conditions != self.conditions {
            let warning = "The two runs differ in their machine or their conditions; compare them by their JSON before trusting a ratio.";
            text.push_str(&(sentences(warning, "", width) + "\n"));
        }
        text
    }

    /// The report for a terminal of this width: as it is where it fits, else a block a row.
    #[must_use]
    pub fn fitted(&self, width: Option<usize>) -> String {
        format!("{}\n\n{}", sentences(&self.head(), "", width), self.table().fitted(width))
    }

    /// Where and how it was measured.
    fn head(&self) -> String {
        let Machine { processor, cores, kernel, rustc } = &self.machine;
        let Conditions { latency_ms, share, roots, protocols, pause_ms } = &self.conditions;
        let Effort { starts, warm } = self.effort;
        format!(
            "{processor}, {cores} cores, Linux {kernel}, {rustc}; load {} at the start\n\
             {share}; calls wait {latency_ms} ms; TLS with {roots} roots, {}\n\
             cold: the median of {starts}; warm: {warm} invocations, {pause_ms} ms apart",
            self.load,
            protocols.join(" or ")
        )
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&HEADS);
        for row in &self.rows {
            let [times @ .., peak_kib, zip_bytes] = row.figures();
            let cells = place(row).into_iter().chain(times.map(millis));
            let cells = cells.chain([hundredths(peak_kib * 100 / 1024), hundredths(zip_bytes / 10_000)]);
            table.push(cells.chain([format!("{}+{}", row.connections_in_init, row.connections_in_first), row.calls_per_message()]));
        }
        table
    }
}

/// How many columns say what a row is about.
const ABOUT: usize = 4;

/// The columns; the first four say what a row is about, the next eight are [`Row::figures`].
const HEADS: [&str; 14] = [
    "function",
    "event",
    "MB",
    "batch",
    "init ms",
    "first ms",
    "both ms",
    "p50 ms",
    "p99 ms",
    "CPU ms/msg",
    "peak MiB",
    "zip MB",
    "TLS init+first",
    "calls per message",
];

fn place(row: &Row) -> [String; 4] {
    [row.function.clone(), row.sample.clone(), row.memory_mb.to_string(), row.batch.to_string()]
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.fitted(None))
    }
}

/// Microseconds as milliseconds, with two places.
fn millis(us: u64) -> String {
    hundredths(us / 10)
}

fn hundredths(number: u64) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}

/// Columns as wide as they must be; texts to the left, figures to the right.
struct Table {
    lines: Vec<Vec<String>>,
}

impl Table {
    fn new(heads: &[&str]) -> Self {
        Self { lines: vec![heads.iter().map(|head| (*head).to_owned()).collect()] }
    }
    fn push(&mut self, cells: impl Iterator<Item = String>) {
        self.lines.push(cells.collect());
    }
    /// As a table, or where the terminal has no room for that, a block a row: what it is about, and below it each figure by its name.
    fn fitted(&self, width: Option<usize>) -> String {
        let table = self.to_string();
        if width.is_none_or(|width| table.lines().all(|line| columns(line) <= width)) {
            return table;
        }
        let mut lines = self.lines.iter();
        let Some(heads) = lines.next() else { return table };
        let block = |row: &Vec<String>| {
            let (about, figures) = row.split_at(ABOUT.min(row.len()));
            let figures = heads.iter().skip(ABOUT).zip(figures).map(|(head, cell)| format!("{head}: {cell}"));
            let about = match about {
                [function, event, memory_mb, batch] => format!("{function}, {event}, {memory_mb} MB, batches of {batch}"),
                other => other.join(", "),
            };
            format!("{}\n{}\n", sentences(&about, "", width), wrapped(figures, "; ", ["  ", "  "], width))
        };
        lines.map(block).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const TEXTS: [usize; 3] = [0, 1, 13];
        let columns = self.lines.first().map_or(0, Vec::len);
        let width =
            |column: usize| self.lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for line in &self.lines {
            let cells =
                line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                    if TEXTS.contains(&column) { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
                });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let text = |text: &str| text.to_owned();
        let row = Row {
            function: text("payment"),
            sample: text("order-placed"),
            memory_mb: 128,
            batch: 10,
            init_us: 3_000,
            first_us: 350_000,
            init_and_first_us: 353_000,
            warm_p50_us: 1_234,
            warm_p99_us: 20_000,
            cpu_us_per_message: 400,
            peak_kib: 10_240,
            zip_bytes: 2_345_678,
            connections_in_init: 0,
            connections_in_first: 3,
            resumed_in_first: 1,
            first_calls: BTreeMap::new(),
            warm_calls: [(text("PutItem"), 20), (text("PublishBatch"), 2)].into(),
            warm_messages: 20,
            warm_invocations: 2,
            warm_billed_ms: 4,
            warm_units: Units { write: 20, read_halves: 0, published: 20, published_bytes: 10_000 },
            warm_log_bytes: 8_000,
        };
        let conditions = Conditions { latency_ms: 0, share: text("no share"), roots: 1, protocols: vec![text("http/1.1")], pause_ms: 25 };
        let machine = Machine { processor: text("a CPU"), cores: 2, kernel: text("6"), rustc: text("rustc") };
        let effort = Effort { starts: 1, warm: 2 };
        Report { measured_at: text("2026-06-01T00:00:00Z"), machine, conditions, effort, load: text("0.1"), rows: vec![row] }
    }

    #[test]
    fn the_table_names_the_machine_and_shows_every_figure_in_its_unit() {
        let shown = report().to_string();
        assert!(shown.starts_with("a CPU, 2 cores, Linux 6, rustc"), "{shown}");
        let line = shown.lines().last().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(line, "payment order-placed 128 10 3.00 350.00 353.00 1.23 20.00 0.40 10.00 2.34 0+3 PublishBatch 0.10, PutItem 1.00");
    }

    #[test]
    fn a_report_fits_80_columns_and_loses_no_figure() {
        let (whole, narrow) = (report().to_string(), report().fitted(Some(80)));
        assert!(narrow.lines().all(|line| columns(line) <= 80), "{narrow}");
        for figure in whole.lines().last().unwrap().split_whitespace() {
            assert!(narrow.contains(figure), "{figure}\n{narrow}");
        }
        assert_eq!(report().fitted(Some(200)), whole);
    }

    #[test]
    fn a_ratio_is_to_the_same_case_in_the_same_size() {
        let (earlier, mut now) = (report(), report());
        now.rows[0].first_us = 3_500;
        let mut other = now.rows[0].clone();
        other.memory_mb = 256;
        now.rows.push(other);
        let shown = now.compared(&earlier, None);
        assert!(shown.contains(" 0.01× ") && !shown.contains("256") && !shown.contains("differ"), "{shown}");
        now.effort.warm = 1_000;
        assert!(!now.compared(&earlier, None).contains("differ"), "more of the same is the same");
        now.machine.cores = 64;
        assert!(now.compared(&earlier, None).contains("differ"));
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let file = std::env::temp_dir().join(format!("bench-report-{}.json", std::process::id()));
        report().write(&file).unwrap();
        let read = Report::read(&file);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(read.unwrap(), report());
    }
}
