//! An order's way through the deployment: who hears what of it, how often, in which size.
//!
//! Read from the template's subscriptions and from the whole story of an order that ships, which is a sample of
//! order-tracking. [`bill`](super::bill) lays the bench's figures along it. It does not know functions or queues by name,
//! but for the three that no subscription shows: order-intake, order-deadline and the consumer of mail events.

use crate::report::Report;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use template::{Resource, Source, Template, texts};
use testkit::calls::stem_of;

/// Where every event of an order goes through.
const TOPIC: &str = "OrderEventsTopic";
/// Where SES tells what became of a mail.
const MAIL_TOPIC: &str = "MailEventsTopic";
/// Of a mail that arrives SES tells twice. Openings and clicks are the customers' own business, and not counted.
pub const MAIL_EVENTS: [&str; 2] = ["send", "delivery"];
/// The function that takes the order, and its sample.
const INTAKE: [&str; 2] = ["order-intake", "place-order"];
/// The function that looks whether an order has ended. Its case in the bench is an order that has not; of one that ships in
/// time it only reads.
const DEADLINE: &str = "order-deadline";

/// A function that is invoked because of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Its folder.
    pub function: String,
    /// The event that it hears, as its sample is called: `order-placed`.
    pub sample: String,
    /// Its memory, as deployed.
    pub memory_mb: u64,
    /// Whether the queue that it hears from is FIFO; nothing for the HTTP API.
    pub queue_is_fifo: Option<bool>,
    /// Whether it hears of mails, and so as often as SES speaks: not once an order.
    pub is_of_mails: bool,
    /// Whether it does nothing but look.
    pub only_reads: bool,
}

/// What is paid by the month, whatever comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fixed {
    /// Metrics that alarms watch.
    pub alarms: u64,
    /// Secrets.
    pub secrets: u64,
    /// Keys of our own.
    pub keys: u64,
    /// Functions that publish, each under the key of the topic.
    pub publishers: u64,
    /// Standard queues that Lambda polls.
    pub standard_sources: u64,
    /// FIFO queues that Lambda polls.
    pub fifo_sources: u64,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFlow {
    /// In the order of the story; order-intake first, then the reports of SES.
    pub visits: Vec<Visit>,
    /// Messages that the topic brings to queues.
    pub deliveries: u64,
    /// Whether functions run on arm64.
    pub is_arm: bool,
    /// What is paid anyway.
    pub fixed: Fixed,
}

impl EventFlow {
    /// Reads template and story.
    ///
    /// # Errors
    /// One of them is not as it is read here.
    pub fn read() -> Result<Self> {
        Self::of(&Template::read()?, &story()?)
    }

    /// The flow without the consumers that a run has not measured yet: without their queues, their alarms and the events that only they hear.
    ///
    /// # Errors
    /// As of [`EventFlow::read`].
    pub fn measured(report: &Report) -> Result<Self> {
        let mut template = Template::read()?;
        let is_measured = |folder: &str| report.rows.iter().any(|row| row.function == folder);
        let new: Vec<_> = template.sources().filter_map(|source| source.function.folder()).filter(|it| !is_measured(it)).collect();
        let new: Vec<_> = new.into_iter().map(stem_of).collect();
        let theirs = template.resources().map(|it| it.id).filter(|id| new.iter().any(|stem| id.starts_with(stem.as_str())));
        for id in theirs.map(str::to_owned).collect::<Vec<_>>() {
            template = template.without(&id)?;
        }
        Self::of(&template, &story()?)
    }

    /// The way of an order with these events, by type.
    fn of(template: &Template, story: &[String]) -> Result<Self> {
        let door = function(template, INTAKE[0])?;
        let mut visits = vec![visit(door, INTAKE[1].to_owned(), None)?];
        let mut deliveries = 0;
        for event in story {
            for subscription in heard(template, TOPIC).filter(|subscription| passes(subscription, event)) {
                deliveries += 1;
                let Some(source) = source(template, &subscription) else { continue };
                visits.push(visit(source.function, sample(event), Some(source.queue.is_fifo()))?);
            }
        }
        for subscription in heard(template, MAIL_TOPIC) {
            if let Some(source) = source(template, &subscription) {
                let last = MAIL_EVENTS[MAIL_EVENTS.len() - 1].to_owned();
                visits.push(Visit { is_of_mails: true, ..visit(source.function, last, Some(source.queue.is_fifo()))? });
            }
        }
        ensure!(deliveries > 0, "nobody hears {TOPIC}");
        let architecture = template.at("/Parameters/Architecture/Default").as_str().context("the template names no Architecture")?;
        Ok(Self { visits, deliveries, is_arm: architecture == "arm64", fixed: Fixed::of(template) })
    }
}

impl Fixed {
    fn of(template: &Template) -> Self {
        // An alarm over an expression is paid for each metric in it.
        let metrics = |alarm: Resource| match alarm.at("/Metrics").as_array() {
            Some(metrics) => metrics.iter().filter(|metric| metric["MetricStat"].is_object()).count(),
            None => 1,
        };
        let is_topic = |value: &Value| template.referred(value, "AWS::SNS::Topic").is_some();
        let publishes =
            |function: &Resource| function.at("/Environment/Variables").as_object().into_iter().flatten().any(|(_, value)| is_topic(value));
        let count = |count: usize| count as u64;
        Self {
            alarms: count(template.of_type("AWS::CloudWatch::Alarm").map(metrics).sum()),
            secrets: count(template.of_type("AWS::SecretsManager::Secret").count()),
            keys: count(template.of_type("AWS::KMS::Key").count()),
            publishers: count(template.functions().filter(publishes).count()),
            standard_sources: count(template.sources().filter(|source| !source.queue.is_fifo()).count()),
            fifo_sources: count(template.sources().filter(|source| source.queue.is_fifo()).count()),
        }
    }
}

/// The types of the events of an order that ships, each once.
fn story() -> Result<Vec<String>> {
    const STORY: &str = include_str!("../../../../events/order-tracking/whole-story.json");
    let story: Value = serde_json::from_str(STORY)?;
    let records = story["Records"].as_array().context("the story has no records")?;
    let types = records.iter().map(|record| {
        let body: Value = serde_json::from_str(record["body"].as_str().context("a record without a body")?)?;
        Ok(body["type"].as_str().context("an event without a type")?.to_owned())
    });
    types.collect()
}

/// `order.placed.v1` is `order-placed` among the samples.
fn sample(event: &str) -> String {
    let stem = event.rsplit_once('.').map_or(event, |(stem, _)| stem);
    stem.replace('.', "-")
}

fn visit(function: Resource, sample: String, queue_is_fifo: Option<bool>) -> Result<Visit> {
    let folder = folder(&function).context("a function is built from no folder")?.to_owned();
    let memory_mb = function.at("/MemorySize").as_u64().with_context(|| format!("{folder} has no MemorySize"))?;
    let only_reads = folder == DEADLINE;
    Ok(Visit { function: folder, sample, memory_mb, queue_is_fifo, is_of_mails: false, only_reads })
}

fn folder<'a>(function: &Resource<'a>) -> Option<&'a str> {
    function.body["Metadata"]["BuildProperties"]["Binary"].as_str()
}

fn function<'a>(template: &'a Template, name: &str) -> Result<Resource<'a>> {
    template.functions().find(|function| folder(function) == Some(name)).with_context(|| format!("the template has no function {name}"))
}

/// The queues' subscriptions to a topic.
fn heard<'a>(template: &'a Template, topic: &'a str) -> impl Iterator<Item = Resource<'a>> {
    template.subscriptions().filter(move |subscription| subscription.at("/TopicArn")["Ref"] == topic)
}

/// Whether a subscription lets an event through: all prefixes, as a rule of the template has it.
fn passes(subscription: &Resource, event: &str) -> bool {
    let filters = subscription.at("/FilterPolicy/type").as_array().map(Vec::as_slice).unwrap_or_default();
    filters.iter().flat_map(|filter| texts(&filter["prefix"])).any(|prefix| event.starts_with(prefix))
}

/// Who consumes the queue of a subscription; of one that is for people, nobody.
fn source<'a>(template: &'a Template, subscription: &Resource<'a>) -> Option<Source<'a>> {
    let queue = template.referred(subscription.at("/Endpoint"), "AWS::SQS::Queue")?;
    template.sources().find(|source| source.queue.id == queue.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The flow of the reference run, which does not change with each new consumer.
    fn flow() -> EventFlow {
        let run = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/5-ms.json");
        EventFlow::measured(&Report::read(&run).unwrap()).unwrap()
    }

    fn heard_by<'w>(flow: &'w EventFlow, function: &str) -> Vec<&'w str> {
        flow.visits.iter().filter(|visit| visit.function == function).map(|visit| visit.sample.as_str()).collect()
    }

    #[test]
    fn an_order_that_ships_is_heard_of_as_the_filters_have_it() {
        let flow = flow();
        assert_eq!(heard_by(&flow, "order-intake"), ["place-order"]);
        assert_eq!(heard_by(&flow, "payment"), ["order-placed", "order-shipped"]);
        assert_eq!(heard_by(&flow, "inventory"), ["order-placed", "order-shipped"]);
        assert_eq!(heard_by(&flow, "shipping"), ["payment-authorized", "inventory-reserved"]);
        assert_eq!(heard_by(&flow, "order-email"), ["payment-authorized", "order-shipped"]);
        assert_eq!(heard_by(&flow, "order-deadline"), ["order-placed"]);
        assert_eq!(heard_by(&flow, "order-tracking").len(), 6);
        assert_eq!(heard_by(&flow, "email-feedback"), ["delivery"]);
        // 2 + 2 + 2 + 2 + 1 + 6
        assert_eq!(flow.deliveries, 15);
        assert_eq!(flow.visits.len(), 1 + 15 + 1);
    }

    #[test]
    fn sizes_and_kinds_are_those_of_the_template() {
        let flow = flow();
        let of = |function: &str| flow.visits.iter().find(|visit| visit.function == function).unwrap();
        assert_eq!((of("payment").memory_mb, of("inventory").memory_mb), (256, 128), "its own, and that of Globals");
        let fifo = ["order-intake", "payment", "shipping"].map(|function| of(function).queue_is_fifo);
        assert_eq!(fifo, [None, Some(false), Some(true)]);
    }

    #[test]
    fn a_filter_that_lets_less_through_makes_the_way_shorter() {
        let template = Template::read().unwrap();
        let (story, flow) = (story().unwrap(), EventFlow::read().unwrap());
        let fewer = template.without("OrderTrackingSubscription/FilterPolicy/type/0").unwrap();
        assert_eq!(EventFlow::of(&fewer, &story).unwrap().deliveries, flow.deliveries - 1);
    }

    #[test]
    fn what_is_paid_by_the_month_is_counted_in_the_template() {
        let template = Template::read().unwrap();
        let fixed = Fixed::of(&template);
        assert!(fixed.alarms >= 40 && fixed.publishers >= 5, "{fixed:?}");
        // The key of the topics and that of the alerts.
        assert_eq!((fixed.keys, fixed.fifo_sources), (2, 1));
        let fewer = Fixed::of(&template.without("PaymentAgeAlarm").unwrap());
        assert_eq!(fewer.alarms, fixed.alarms - 1);
    }
}
