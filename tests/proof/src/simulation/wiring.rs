//! How the functions are wired, read from the template that is deployed: queues, time-outs, filters, concurrency.
//!
//! [`super::run`] builds its cloud from it, so that a filter that misses an event is a violation here too.

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use simulated_cloud::messaging::{QueueSpec, Subscription};
use std::{collections::BTreeSet, time::Duration};
use template::{Resource, Source, Template, branches, entries, items, statements, target, texts};

/// The topic through which an order's events go.
const TOPIC: &str = "OrderEventsTopic";

/// How many messages of a queue may be in flight: a ten-thousandth of what AWS allows, as a run has a few orders where a shop has
/// many (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>).
const IN_FLIGHT_MAX: usize = 12;

/// An event source mapping and its function.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// The function's folder.
    pub function: String,
    /// The queue's name.
    pub queue: String,
    /// Most messages in a batch.
    pub batch_size: usize,
    /// Most invocations at once.
    pub concurrency: usize,
    /// The longest that an invocation may take.
    pub timeout: Duration,
}

/// All that matters here of `template.yaml`.
#[derive(Debug, Clone)]
pub struct Wiring {
    /// The stages' queues.
    pub queues: Vec<QueueSpec>,
    /// Their subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Their consumers.
    pub mappings: Vec<Mapping>,
    /// How long `order-intake` may take.
    pub intake_timeout: Duration,
    /// The three parameters of order-deadline: nudge, time out, park, in seconds.
    pub deadlines_s: [u32; 3],
    /// How long an order waits for units that others hold.
    pub stock_wait: Duration,
}

impl Wiring {
    /// The index of order-deadline's mapping.
    pub fn clock(&self) -> usize {
        self.mappings.iter().position(|mapping| mapping.function == "order-deadline").unwrap_or_default()
    }

    /// Reads the template.
    ///
    /// # Errors
    /// Where a queue of a stage lacks what a simulation needs of it.
    pub fn read() -> Result<Self> {
        let template = Template::read()?;
        let topic = topic(&template)?;
        let simulated = simulated(&template);
        let intake = template.resource("OrderIntakeFunction").context("no OrderIntakeFunction")?;
        let mut wiring = Self {
            queues: vec![],
            subscriptions: vec![],
            mappings: vec![],
            intake_timeout: seconds(&template, intake.at("/Timeout")).context("Timeout")?,
            deadlines_s: deadlines(&template)?,
            stock_wait: Duration::from_secs(default(&template, "StockWaitSeconds")?.into()),
        };
        for Source { queue, function, mapping } in template.sources() {
            let Some(binary) = function.folder().filter(|folder| simulated.contains(folder)) else { continue };
            let name = name(&queue);
            wiring.queues.push(QueueSpec {
                visibility_timeout: seconds(&template, queue.at("/VisibilityTimeout")).context("VisibilityTimeout")?,
                delay: seconds(&template, queue.at("/DelaySeconds")).unwrap_or_default(),
                max_receive_count: u32::try_from(queue.at("/RedrivePolicy/maxReceiveCount").as_u64().context("maxReceiveCount")?)?,
                dead_letter_queue: dead_letter_queue(&template, &queue).with_context(|| format!("{name} has no dead-letter queue"))?,
                retention: seconds(&template, queue.at("/MessageRetentionPeriod")).context("MessageRetentionPeriod")?,
                in_flight_max: IN_FLIGHT_MAX,
                name: name.clone(),
            });
            let to_it = |subscription: &Resource| {
                target(subscription.at("/Endpoint")) == Some(queue.id) && target(subscription.at("/TopicArn")) == Some(&topic)
            };
            let filters = template.subscriptions().filter(to_it).map(|subscription| subscription.at("/FilterPolicy"));
            wiring.subscriptions.extend(filters.map(|filter| Subscription {
                queue: name.clone(),
                type_prefixes: items(&filter["type"]).filter_map(|item| item["prefix"].as_str()).map(str::to_owned).collect(),
                without: entries(filter).find(|(_, rule)| rule[0]["exists"] == false).map(|(attribute, _)| attribute.to_owned()),
            }));
            let concurrency = &mapping["ScalingConfig"]["MaximumConcurrency"];
            let concurrency = branches(concurrency).into_iter().filter_map(|branch| branch.value.as_u64()).min();
            wiring.mappings.push(Mapping {
                function: binary.to_owned(),
                queue: name,
                batch_size: usize::try_from(mapping["BatchSize"].as_u64().context("BatchSize")?)?,
                concurrency: usize::try_from(concurrency.context("MaximumConcurrency")?)?,
                timeout: seconds(&template, function.at("/Timeout")).context("Timeout")?,
            });
        }
        Ok(wiring)
    }
}

/// The consumers whose work another stage of an order sees: they publish to its topic, or write a table that such a function uses. All
/// other consumers, of mail for one, answer nothing: their own tests let them die at every call.
fn simulated(template: &Template) -> BTreeSet<&str> {
    let told = |source: &Source<'_>, kind: &'static str| -> BTreeSet<String> {
        let variables = entries(source.function.at("/Environment/Variables"));
        variables.filter_map(|(_, value)| template.referred(value, kind)).map(|it| it.id.to_owned()).collect()
    };
    let hearing: Vec<_> = template.consumers_of(TOPIC).collect();
    let publishes = |source: &&Source<'_>| told(source, "AWS::SNS::Topic").contains(TOPIC);
    let tables: BTreeSet<_> = hearing.iter().filter(publishes).flat_map(|source| told(source, "AWS::DynamoDB::Table")).collect();
    let writes = |source: &&Source<'_>| {
        let role = template.referred(source.function.at("/Role"), "AWS::IAM::Role");
        let documents = role.iter().flat_map(|role| items(role.at("/Policies"))).map(|policy| &policy["PolicyDocument"]);
        let grants = documents.flat_map(statements).filter(|it| texts(&it.value["Action"]).any(is_a_write));
        grants.flat_map(|it| items(&it.value["Resource"])).filter_map(target).any(|table| tables.contains(table))
    };
    hearing.iter().filter(|source| publishes(source) || writes(source)).filter_map(|source| source.function.folder()).collect()
}

fn is_a_write(action: &str) -> bool {
    ["dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"].contains(&action)
}

/// The one topic that the simulated functions publish to. What customer-signup and email-inbound say comes by a topic of their own,
/// which nobody here publishes to: its subscriptions are left out, or what intake says would come twice.
fn topic(template: &Template) -> Result<String> {
    let simulated = simulated(template);
    let is_simulated = |function: &Resource| {
        function.folder().is_some_and(|folder| ["order-intake", "operator"].contains(&folder) || simulated.contains(folder))
    };
    let mut topics = BTreeSet::new();
    for function in template.functions().filter(is_simulated) {
        let told = entries(function.at("/Environment/Variables")).filter_map(|(_, value)| template.referred(value, "AWS::SNS::Topic"));
        topics.extend(told.map(|topic| topic.id.to_owned()));
    }
    let mut topics = topics.into_iter();
    match (topics.next(), topics.next()) {
        (Some(topic), None) => Ok(topic),
        (first, second) => bail!("the simulated functions publish to {first:?} and {second:?}, and the simulation has one topic"),
    }
}

/// The logical id; SQS wants `.fifo` at the end where it matters.
fn name(queue: &Resource) -> String {
    if queue.is_fifo() { format!("{}.fifo", queue.id) } else { queue.id.to_owned() }
}

fn dead_letter_queue(template: &Template, queue: &Resource) -> Option<String> {
    let target = queue.at("/RedrivePolicy/deadLetterTargetArn");
    template.referred(target, "AWS::SQS::Queue").map(|dead| name(&dead))
}

/// A number of seconds, or the default of the parameter that stands for it.
fn seconds(template: &Template, value: &Value) -> Option<Duration> {
    let parameter = value["Ref"].as_str().map(|name| template.at(&format!("/Parameters/{name}/Default")));
    parameter.unwrap_or(value).as_u64().map(Duration::from_secs)
}

fn deadlines(template: &Template) -> Result<[u32; 3]> {
    let default = |name| default(template, name);
    Ok([default("NudgeAfterSeconds")?, default("TimeOutAfterSeconds")?, default("ParkAfterSeconds")?])
}

/// The default of a parameter that is a number.
fn default(template: &Template, name: &str) -> Result<u32> {
    let value = template.at(&format!("/Parameters/{name}/Default")).as_u64();
    Ok(u32::try_from(value.with_context(|| format!("{name} has no default"))?)?)
}
