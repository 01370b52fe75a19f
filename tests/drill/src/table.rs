//! The table: what goes wrong, with whom, who is told, and after how many minutes.

use crate::{
    LIMIT_MINUTES,
    alarm::{Alarm, DELAY_MINUTES},
    filter::Filter,
    run::Run,
};
use std::collections::{BTreeMap, BTreeSet};
use template::Template;

/// The alarms that fire in a run in time and reach people, and when.
pub fn told(run: &Run, alarms: &[Alarm], filters: &[Filter]) -> Vec<(String, i64)> {
    let mut metrics = run.metrics.clone();
    for (group, minute, line) in &run.lines {
        for filter in filters.iter().filter(|filter| filter.log_group == *group) {
            filter.counted(line).for_each(|(metric, value)| metrics.put(metric, *minute, value));
        }
    }
    let reaches = |alarm: &&Alarm| run.breaks.as_ref().is_none_or(|key| alarm.does_without(key));
    let minutes = 0..LIMIT_MINUTES + 1 - DELAY_MINUTES;
    let went_off = alarms.iter().filter(reaches).filter_map(|alarm| Some((alarm.id.clone(), alarm.goes_off(&metrics, minutes.clone())?)));
    went_off.filter(|(_, minute)| *minute <= LIMIT_MINUTES).collect()
}

/// A run, and whom it told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlarmsOfRun {
    /// The fault.
    pub fault: String,
    /// The function's folder.
    pub function: String,
    /// The alarms, and the minutes.
    pub alarms: Vec<(String, i64)>,
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The fault.
    pub fault: String,
    /// The function's folder.
    pub function: String,
    /// The alarm, and the minutes.
    pub told: Option<(String, i64)>,
}

/// One row for each function and fault, as far as `stands` says that an alarm is there: its first alarm in the latest of its runs,
/// and a run that nobody is told of before all others.
pub fn rows(runs: &[AlarmsOfRun], stands: impl Fn(&str) -> bool) -> Vec<Row> {
    let mut rows: BTreeMap<(String, String), Option<(String, i64)>> = BTreeMap::new();
    for run in runs {
        let there = run.alarms.iter().filter(|(alarm, _)| stands(alarm));
        let first = there.min_by_key(|(alarm, minute)| (*minute, alarm)).cloned();
        let row = rows.entry((run.fault.clone(), run.function.clone())).or_insert_with(|| first.clone());
        let is_worse = match (&row, &first) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some((_, old)), Some((_, new))) => new > old,
        };
        if is_worse {
            *row = first;
        }
    }
    rows.into_iter().map(|((fault, function), told)| Row { fault, function, told }).collect()
}

/// What a line of the table says instead of the names of most consumers.
pub const OTHERS: &str = "every other consumer";
/// From how many on: fewer are easier to find by their names.
const OTHERS_MIN: usize = 5;

/// The rows in Markdown. Functions of which the same is true share a line; `*` stands for the function's name in an alarm's. Where that is
/// true of most consumers, the line says so and names nobody: so it stays as it is when a consumer is added.
pub fn markdown(rows: &[Row], template: &Template) -> String {
    let consumers: BTreeSet<_> = template.sources().filter_map(|source| source.function.folder()).collect();
    let mut lines: BTreeMap<(String, String, i64), Vec<&str>> = BTreeMap::new();
    for row in rows {
        let (alarm, minutes) = row.told.clone().unwrap_or(("nobody".to_owned(), 0));
        let stem: String = row.function.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        let alarm = alarm.strip_prefix(&stem).map_or(alarm.clone(), |rest| format!("*{rest}"));
        lines.entry((row.fault.clone(), alarm, minutes)).or_default().push(&row.function);
    }
    let mut text = "| what goes wrong | with | fires | minutes |\n|---|---|---|---:|\n".to_owned();
    let consumers_of = |functions: &[&str]| functions.iter().filter(|it| consumers.contains(*it)).count();
    for ((fault, alarm, minutes), functions) in &lines {
        let of_this_fault = lines.iter().filter(|((other, ..), _)| other == fault).map(|(_, functions)| consumers_of(functions));
        let (theirs, all): (_, usize) = (consumers_of(functions), of_this_fault.sum());
        let are_most = theirs >= OTHERS_MIN && theirs * 2 > all;
        let named = functions.iter().copied().filter(|function| !are_most || !consumers.contains(function));
        let functions = named.chain(are_most.then_some(OTHERS)).collect::<Vec<_>>().join(", ");
        text.push_str(&format!("| {fault} | {functions} | `{alarm}` | {minutes} |\n"));
    }
    text
}
