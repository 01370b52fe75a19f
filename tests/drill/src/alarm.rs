//! The alarms of the template, evaluated as CloudWatch documents it.
//!
//! It refuses what it does not know (a statistic, an operator, metric math): an alarm that cannot be read is an error and not
//! an alarm that never fires.

use crate::metrics::{Metric, Metrics, OWN, Statistic};
use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use template::{Resource, Template, items, target};

/// From the end of a minute until its value is there and the alarm has looked: SQS publishes once a minute
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html>), Lambda and
/// metric filters too (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics.html>,
/// <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/MonitoringLogData.html>), and an alarm is evaluated once a minute
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html>). None of them promises more.
pub const DELAY_MINUTES: i64 = 2;

/// An alarm of the template.
#[derive(Debug, Clone)]
pub struct Alarm {
    /// Its logical id.
    pub id: String,
    metric: Metric,
    statistic: Statistic,
    period_minutes: i64,
    evaluation_periods: i64,
    datapoints: i64,
    threshold: u64,
    breaches: fn(u64, u64) -> bool,
    missing_breaches: bool,
    /// The keys that its topics are sealed with.
    keys: BTreeSet<String>,
}

/// Alarms whose metrics no failure of ours makes: SES computes them from what mailboxes say.
pub const NOT_DRILLED: [&str; 2] = ["BounceRateAlarm", "ComplaintRateAlarm"];

/// Every alarm with an action on the topic `AlertsTopic`, but for [`NOT_DRILLED`].
///
/// # Errors
/// An alarm says something that is not known here.
pub fn alarms(template: &Template) -> Result<Vec<Alarm>> {
    let drilled = template.of_type("AWS::CloudWatch::Alarm").filter(|alarm| !NOT_DRILLED.contains(&alarm.id));
    drilled.filter(|alarm| tells_people(alarm)).map(|alarm| read(template, &alarm).context(alarm.id.to_owned())).collect()
}

fn tells_people(alarm: &Resource<'_>) -> bool {
    alarm.at("/ActionsEnabled") != false && items(alarm.at("/AlarmActions")).any(|action| target(action) == Some("AlertsTopic"))
}

fn read(template: &Template, alarm: &Resource<'_>) -> Result<Alarm> {
    if !alarm.at("/Metrics").is_null() {
        bail!("metric math is not known to the drill");
    }
    let text = |name: &str| alarm.at(name).as_str().with_context(|| format!("no {name}"));
    let number = |name: &str| alarm.at(name).as_i64().with_context(|| format!("no {name}"));
    let namespace = if alarm.at("/Namespace")["Ref"] == OWN { OWN } else { text("/Namespace")? };
    let of = match items(alarm.at("/Dimensions")).collect::<Vec<_>>()[..] {
        [] => None,
        [one] => Some(target(&one["Value"]).context("a dimension that names no resource")?.to_owned()),
        _ => bail!("more than one dimension"),
    };
    let evaluation_periods = number("/EvaluationPeriods")?;
    let keys = items(alarm.at("/AlarmActions")).filter_map(|topic| template.referred(topic, "AWS::SNS::Topic"));
    Ok(Alarm {
        id: alarm.id.to_owned(),
        metric: Metric { namespace: namespace.to_owned(), name: text("/MetricName")?.to_owned(), of },
        statistic: match text("/Statistic")? {
            "Sum" => Statistic::Sum,
            "Maximum" => Statistic::Maximum,
            "Minimum" => Statistic::Minimum,
            "SampleCount" => Statistic::SampleCount,
            other => bail!("the statistic {other} is not known to the drill"),
        },
        period_minutes: number("/Period")? / 60,
        evaluation_periods,
        // As many as there are periods, where nothing is said
        // (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>).
        datapoints: alarm.at("/DatapointsToAlarm").as_i64().unwrap_or(evaluation_periods),
        threshold: resolved(template, alarm.at("/Threshold")).context("no /Threshold")?,
        breaches: match text("/ComparisonOperator")? {
            "GreaterThanThreshold" => |value, threshold| value > threshold,
            "GreaterThanOrEqualToThreshold" => |value, threshold| value >= threshold,
            "LessThanThreshold" => |value, threshold| value < threshold,
            "LessThanOrEqualToThreshold" => |value, threshold| value <= threshold,
            other => bail!("the operator {other} is not known to the drill"),
        },
        missing_breaches: match text("/TreatMissingData")? {
            "notBreaching" => false,
            "breaching" => true,
            other => bail!("TreatMissingData {other} is not known to the drill"),
        },
        keys: keys.filter_map(|topic| target(topic.at("/KmsMasterKeyId")).map(str::to_owned)).collect(),
    })
}

fn resolved(template: &Template, value: &Value) -> Option<u64> {
    let default = || template.at("/Parameters").get(value["Ref"].as_str()?)?["Default"].as_u64();
    value.as_u64().or_else(default)
}

impl Alarm {
    /// The minute at whose end it fires, of those in `minutes`; with the time that it takes CloudWatch to know.
    ///
    /// By default the periods end at the time of each evaluation, they slide
    /// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation-window.html>), and it fires when
    /// `DatapointsToAlarm` of the last `EvaluationPeriods` breach
    /// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html>). A period without data counts as
    /// `TreatMissingData` says
    /// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html>).
    pub fn goes_off(&self, metrics: &Metrics, minutes: std::ops::Range<i64>) -> Option<i64> {
        minutes.into_iter().find(|now| self.is_on(metrics, now + 1)).map(|minute| minute + 1 + DELAY_MINUTES)
    }

    fn is_on(&self, metrics: &Metrics, end: i64) -> bool {
        let breaching = (0..self.evaluation_periods).filter(|back| {
            let end = end - back * self.period_minutes;
            match metrics.of(&self.metric, end - self.period_minutes..end, self.statistic) {
                Some(value) => (self.breaches)(value, self.threshold),
                None => self.missing_breaches,
            }
        });
        i64::try_from(breaching.count()).is_ok_and(|count| count >= self.datapoints)
    }

    /// Whether what it says still reaches people when this key cannot be used.
    pub fn does_without(&self, key: &str) -> bool {
        !self.keys.contains(key)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn alarm(datapoints: i64, missing_breaches: bool) -> Alarm {
        Alarm {
            id: "A".into(),
            metric: Metric::whole("n", "m"),
            statistic: Statistic::Sum,
            period_minutes: 5,
            evaluation_periods: 3,
            datapoints,
            threshold: 0,
            breaches: |value, threshold| value > threshold,
            missing_breaches,
            keys: BTreeSet::new(),
        }
    }
    fn at(minutes: &[i64]) -> Metrics {
        let mut metrics = Metrics::default();
        minutes.iter().for_each(|minute| metrics.put(Metric::whole("n", "m"), *minute, 1));
        metrics
    }

    #[test]
    fn two_of_three_periods_breach_once_they_slide_apart() {
        assert_eq!(alarm(1, false).goes_off(&at(&[2]), 0..30), Some(3 + DELAY_MINUTES));
        assert_eq!(alarm(2, false).goes_off(&at(&[2, 7]), 0..30), Some(8 + DELAY_MINUTES));
        assert_eq!(alarm(2, false).goes_off(&at(&[2]), 0..30), None, "one data point is one period's");
        assert_eq!(alarm(2, false).goes_off(&at(&[2, 18]), 0..30), None, "the first is out of the window");
    }

    #[test]
    fn a_period_without_data_counts_as_the_alarm_says() {
        assert_eq!(alarm(1, false).goes_off(&at(&[]), 0..30), None);
        assert_eq!(alarm(3, true).goes_off(&at(&[]), 0..30), Some(1 + DELAY_MINUTES));
    }

    #[test]
    fn an_alarm_is_silent_without_the_key_of_its_topic() {
        let sealed = Alarm { keys: ["K".to_owned()].into(), ..alarm(1, false) };
        assert!(!sealed.does_without("K") && sealed.does_without("L"));
    }
}
