//! Metric filters: patterns over JSON log lines, and what they count.
//!
//! The syntax is the one that AWS documents for JSON
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html>): `{ $.a = "x" && $.b >= 9 }`.
//! It refuses what it does not know of it: a filter that cannot be read is an error and not one that never matches.

use crate::metrics::{Metric, OWN};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use template::{Resource, Template, items, target, texts};

/// A filter of the template.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Its logical id.
    pub id: String,
    /// The log group's logical id.
    pub log_group: String,
    pattern: Pattern,
    counts: Vec<(Metric, Counted)>,
}

#[derive(Debug, Clone)]
enum Counted {
    Number(u64),
    Field(Vec<String>),
}

/// Every filter of the template. What a dimension takes from the line is left out: no alarm asks for one.
///
/// # Errors
/// A filter says something that is not known here.
pub fn filters(template: &Template) -> Result<Vec<Filter>> {
    template.of_type("AWS::Logs::MetricFilter").map(|filter| read(&filter).context(filter.id.to_owned())).collect()
}

fn read(filter: &Resource<'_>) -> Result<Filter> {
    let pattern = Pattern::parse(filter.at("/FilterPattern").as_str().context("no FilterPattern")?)?;
    let counts = items(filter.at("/MetricTransformations")).filter(|it| it["Dimensions"].is_null()).map(|it| {
        let name = texts(&it["MetricName"]).next().context("no MetricName")?;
        let namespace =
            if it["MetricNamespace"]["Ref"] == OWN { OWN } else { texts(&it["MetricNamespace"]).next().context("no namespace")? };
        let value = texts(&it["MetricValue"]).next().context("no MetricValue")?;
        let counted = match value.strip_prefix("$.") {
            Some(field) => Counted::Field(field.split('.').map(str::to_owned).collect()),
            None => Counted::Number(value.parse()?),
        };
        Ok((Metric::whole(namespace, name), counted))
    });
    Ok(Filter {
        id: filter.id.to_owned(),
        log_group: target(filter.at("/LogGroupName")).context("no LogGroupName")?.to_owned(),
        counts: counts.collect::<Result<_>>()?,
        pattern,
    })
}

impl Filter {
    /// What a line adds to which metrics.
    pub fn counted<'a>(&'a self, line: &'a Value) -> impl Iterator<Item = (Metric, u64)> + 'a {
        self.counts.iter().filter(|_| self.pattern.matches(line)).filter_map(|(metric, counted)| {
            let value = match counted {
                Counted::Number(number) => Some(*number),
                Counted::Field(path) => at(line, path).and_then(Value::as_u64),
            };
            Some((metric.clone(), value?))
        })
    }
}

/// Alternatives of conditions that must all hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Vec<Condition>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    path: Vec<String>,
    operator: Operator,
    value: Operand,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is,
    IsNot,
    Above,
    AtLeast,
    Below,
    AtMost,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operand {
    Number(i64),
    /// `*` stands for anything.
    Text(String),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// It is none, or uses what is not known here: parentheses, `EXISTS`, `IS`.
    pub fn parse(text: &str) -> Result<Self> {
        let inner = text.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).context("not a pattern over JSON")?;
        let alternatives = inner.split("||").map(|all| all.split("&&").map(Condition::parse).collect());
        Ok(Self(alternatives.collect::<Result<_>>()?))
    }

    /// Whether a line of JSON matches.
    pub fn matches(&self, line: &Value) -> bool {
        self.0.iter().any(|all| all.iter().all(|condition| condition.holds(line)))
    }
}

impl Condition {
    fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        ensure!(!text.starts_with('('), "parentheses are not known to the drill");
        let (path, rest) = text.strip_prefix("$.").context("a selector begins with $.")?.split_once(' ').context("no operator")?;
        let (operator, value) = rest.trim().split_once(' ').context("no value")?;
        let operator = match operator {
            "=" => Operator::Is,
            "!=" => Operator::IsNot,
            ">" => Operator::Above,
            ">=" => Operator::AtLeast,
            "<" => Operator::Below,
            "<=" => Operator::AtMost,
            other => bail!("the operator {other} is not known to the drill"),
        };
        let value = value.trim();
        let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let value = match quoted {
            Some(text) => Operand::Text(text.to_owned()),
            None => Operand::Number(value.parse().with_context(|| format!("{value} is no number and no quoted text"))?),
        };
        Ok(Self { path: path.split('.').map(str::to_owned).collect(), operator, value })
    }

    fn holds(&self, line: &Value) -> bool {
        match (at(line, &self.path), &self.value) {
            // What is not there equals nothing, and differs from everything.
            (None, _) => self.operator == Operator::IsNot,
            (Some(found), Operand::Number(wanted)) => found.as_i64().is_some_and(|found| match self.operator {
                Operator::Is => found == *wanted,
                Operator::IsNot => found != *wanted,
                Operator::Above => found > *wanted,
                Operator::AtLeast => found >= *wanted,
                Operator::Below => found < *wanted,
                Operator::AtMost => found <= *wanted,
            }),
            (Some(found), Operand::Text(wanted)) => {
                let fits = found.as_str().is_some_and(|found| fits(found, wanted));
                match self.operator {
                    Operator::Is => fits,
                    Operator::IsNot => !fits,
                    _ => false,
                }
            }
        }
    }
}

fn at<'a>(line: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(line, |value, name| value.get(name))
}

fn fits(text: &str, wanted: &str) -> bool {
    match wanted.split_once('*') {
        None => text == wanted,
        Some((before, after)) => text.strip_prefix(before).is_some_and(|rest| rest.len() >= after.len() && rest.ends_with(after)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(pattern: &str, line: &Value) -> bool {
        Pattern::parse(pattern).unwrap().matches(line)
    }

    #[test]
    fn numbers_texts_and_what_is_missing_are_compared_as_documented() {
        let line = json!({"outcome": "retry", "attempt": 9, "error": {"type": "Timeout"}});
        assert!(matches(r#"{ $.outcome = "retry" && $.attempt >= 9 }"#, &line));
        assert!(!matches(r#"{ $.outcome = "retry" && $.attempt > 9 }"#, &line));
        assert!(matches(r#"{ $.outcome = "done" || $.error.type = "Time*" }"#, &line));
        assert!(!matches("{ $.checks >= 0 }", &line), "what is not there is no number");
        assert!(matches(r#"{ $.checks != "x" }"#, &line));
    }

    #[test]
    fn a_pattern_that_is_not_known_here_is_an_error() {
        for pattern in ["attempt", "{ ($.a = 1) }", "{ $.a IS NULL }", "{ $.a NOT EXISTS }", "{ $.a = b }"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
