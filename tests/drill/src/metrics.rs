//! CloudWatch's metrics, as far as alarms look at them: values by minute.
//!
//! The simulation writes them, [`alarm`](crate::alarm) reads them. It keeps whole numbers: no alarm of the drill asks for more.

use std::collections::BTreeMap;

/// The name of a metric: `AWS/SQS`, `ApproximateNumberOfMessagesVisible`, and what it is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Metric {
    /// `AWS/SQS`, or [`OWN`] for the stack's own.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// The logical id that its one dimension names, if it has one.
    pub of: Option<String>,
}

/// Stands for `!Ref AWS::StackName`, the namespace of what metric filters count.
pub const OWN: &str = "AWS::StackName";

impl Metric {
    /// A metric of an AWS service about the resource `of`.
    pub fn new(namespace: &str, name: &str, of: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned(), of: Some(of.to_owned()) }
    }
    /// A metric without dimensions.
    pub fn whole(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned(), of: None }
    }
}

/// How a period's values become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// All of them together.
    Sum,
    /// The largest.
    Maximum,
    /// The smallest.
    Minimum,
    /// How many there are.
    SampleCount,
}

/// All values, by metric and minute.
#[derive(Debug, Clone, Default)]
pub struct Metrics(BTreeMap<Metric, BTreeMap<i64, Vec<u64>>>);

impl Metrics {
    /// Adds a value to a minute.
    pub fn put(&mut self, metric: Metric, minute: i64, value: u64) {
        self.0.entry(metric).or_default().entry(minute).or_default().push(value);
    }

    /// One number for the minutes of `range`; nothing where the metric has no value in them.
    pub fn of(&self, metric: &Metric, range: std::ops::Range<i64>, statistic: Statistic) -> Option<u64> {
        let values = || self.0.get(metric).into_iter().flat_map(|minutes| minutes.range(range.clone())).flat_map(|(_, values)| values);
        values().next()?;
        match statistic {
            Statistic::Sum => Some(values().sum()),
            Statistic::Maximum => values().max().copied(),
            Statistic::Minimum => values().min().copied(),
            Statistic::SampleCount => u64::try_from(values().count()).ok(),
        }
    }
}
