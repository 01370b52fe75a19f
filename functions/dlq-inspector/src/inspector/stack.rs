//! Which queues of the stack are dead-letter queues, and where their messages belong.
//!
//! Pure: read from what CloudFormation, SQS and SNS say (docs/decisions/0011-dead-letter-queues-are-found.md). It does not
//! know any queue by its name: a queue is a dead-letter queue because another one, or a subscription, redrives to it.

use super::{
    message::Facts,
    ports::{QueueFacts, ReceivedMessage, Resource, Route},
    stop::Stop,
};
use crate::nearest::did_you_mean;

/// Where messages go back to: the source queue or the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The queue that they were moved or parked from.
    Queue {
        /// Its consumer's name.
        name: String,
        /// Its URL.
        url: String,
        /// Its ARN.
        arn: String,
        /// Its consumer's log group.
        log_group: Option<String>,
    },
    /// The topic that could not deliver them.
    Topic {
        /// Its name.
        name: String,
        /// Its ARN.
        arn: String,
    },
}

impl Source {
    /// Its name for operators.
    pub fn name(&self) -> &str {
        match self {
            Self::Queue { name, .. } | Self::Topic { name, .. } => name,
        }
    }

    /// Its ARN.
    pub fn arn(&self) -> &str {
        match self {
            Self::Queue { arn, .. } | Self::Topic { arn, .. } => arn,
        }
    }

    /// Whether it is FIFO.
    pub fn is_fifo(&self) -> bool {
        self.arn().ends_with(".fifo")
    }
}

/// A dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterQueue {
    /// Its name for operators: the consumer's name, or `undelivered`.
    pub name: String,
    /// Its name in the template.
    pub logical_id: String,
    /// Its URL.
    pub url: String,
    /// Its attributes.
    pub facts: QueueFacts,
    /// Where its messages belong: at least one.
    pub sources: Vec<Source>,
}

impl DeadLetterQueue {
    /// Its name in the account.
    pub fn queue_name(&self) -> &str {
        self.facts.arn.rsplit(':').next().unwrap_or_default()
    }

    /// Whether SNS puts messages here, and no queue does.
    pub fn is_undelivered(&self) -> bool {
        self.sources.iter().all(|source| matches!(source, Source::Topic { .. }))
    }

    /// Whether it is FIFO.
    pub fn is_fifo(&self) -> bool {
        self.facts.arn.ends_with(".fifo")
    }

    /// Messages in it, about, whether in flight or not.
    pub fn depth(&self) -> u64 {
        self.facts.visible + self.facts.in_flight
    }

    /// Where a message belongs.
    ///
    /// # Errors
    /// A sentence, where that cannot be told.
    pub fn source(&self, received: &ReceivedMessage, facts: &Facts, to: Option<&str>) -> Result<&Source, String> {
        let is_named = |source: &&Source| {
            let queue = source.arn().rsplit(':').next();
            received.moved_from.as_deref() == Some(source.arn()) || facts.source_queue.is_some() && facts.source_queue.as_deref() == queue
        };
        let wanted = |source: &&Source| to.is_some_and(|to| to == source.name());
        match self.sources.as_slice() {
            [source] => Ok(source),
            sources => sources.iter().find(is_named).or_else(|| sources.iter().find(wanted)).ok_or_else(|| {
                let names: Vec<_> = sources.iter().map(Source::name).collect();
                format!("{} does not say where it belongs; say it with --to {}.", facts.message_id, names.join(" or "))
            }),
        }
    }
}

/// The stack's queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The dead-letter queues, by name.
    pub dead: Vec<DeadLetterQueue>,
    /// The other queues: logical id, name in the account, and the name of the dead-letter queue that they redrive to.
    others: Vec<(String, String, Option<String>)>,
}

/// Which queues the stack has, by what CloudFormation says; `queues` are its queues with what each says of itself.
pub fn layout(resources: &[Resource], queues: &[(Resource, QueueFacts)], routes: &[Route]) -> Layout {
    let log_group = |stem: &str| {
        let is_group = |resource: &&Resource| resource.kind == "AWS::Logs::LogGroup" && resource.logical_id == format!("{stem}LogGroup");
        resources.iter().find(is_group).map(|group| group.physical_id.clone())
    };
    let source = |(resource, facts): &(Resource, QueueFacts)| {
        let stem = stem(&resource.logical_id);
        Source::Queue { name: kebab(stem), url: resource.physical_id.clone(), arn: facts.arn.clone(), log_group: log_group(stem) }
    };
    let topic = |arn: &str| {
        let logical = resources.iter().find(|resource| resource.physical_id == arn).map(|topic| topic.logical_id.as_str());
        let name = logical.map_or_else(|| arn.rsplit(':').next().unwrap_or_default().to_owned(), |id| kebab(id.trim_end_matches("Topic")));
        Source::Topic { name, arn: arn.to_owned() }
    };
    let sources = |arn: &str| {
        let mut sources: Vec<_> = queues.iter().filter(|(_, facts)| facts.dead_letter_arn.as_deref() == Some(arn)).map(source).collect();
        for route in routes.iter().filter(|route| route.dead_letter_arn.as_deref() == Some(arn)) {
            let source = topic(&route.topic_arn);
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        sources
    };
    let (mut dead, mut others) = (Vec::new(), Vec::new());
    for (resource, facts) in queues {
        let sources = sources(&facts.arn);
        let logical_id = resource.logical_id.clone();
        if sources.is_empty() {
            others.push((logical_id, facts.arn.rsplit(':').next().unwrap_or_default().to_owned(), facts.dead_letter_arn.clone()));
        } else {
            let name = kebab(stem(&logical_id));
            dead.push(DeadLetterQueue { name, logical_id, url: resource.physical_id.clone(), facts: facts.clone(), sources });
        }
    }
    dead.sort_by(|a: &DeadLetterQueue, b| a.name.cmp(&b.name));
    for (_, _, redrives_to) in &mut others {
        *redrives_to = dead.iter().find(|queue| redrives_to.as_deref() == Some(&queue.facts.arn)).map(|queue| queue.name.clone());
    }
    Layout { dead, others }
}

impl Layout {
    /// The dead-letter queue that is called so, by operators, in the template or in the account.
    ///
    /// # Errors
    /// One sentence: unknown, with the nearest names, or no dead-letter queue.
    pub fn find(&self, name: &str) -> Result<&DeadLetterQueue, Stop> {
        let is_called = |logical_id: &str, queue_name: &str| name == logical_id || name == queue_name || name == kebab(logical_id);
        let found = self.dead.iter().find(|queue| queue.name == name);
        if let Some(queue) = found.or_else(|| self.dead.iter().find(|queue| is_called(&queue.logical_id, queue.queue_name()))) {
            return Ok(queue);
        }
        let other =
            self.others.iter().find(|(logical_id, queue_name, _)| is_called(logical_id, queue_name) || name == kebab(stem(logical_id)));
        if let Some((_, _, redrives_to)) = other {
            let instead = redrives_to.as_ref().map(|dead| format!(" Its dead-letter queue is {dead}.")).unwrap_or_default();
            return Err(Stop::refused("NoDeadLetterQueue", format!("{name} is a queue of the stack but no dead-letter queue.{instead}")));
        }
        let near = did_you_mean(name, self.dead.iter().map(|queue| queue.name.as_str()));
        Err(Stop::refused("UnknownQueue", format!("The stack has no dead-letter queue `{name}`.{near}")))
    }
}

/// The part of a logical id that names the consumer: one stem everywhere is the house's rule, and the template's test.
fn stem(logical_id: &str) -> &str {
    logical_id.strip_suffix("DeadLetterQueue").or_else(|| logical_id.strip_suffix("Queue")).unwrap_or(logical_id)
}

/// `OrderTracking` as `order-tracking`.
fn kebab(logical_id: &str) -> String {
    let mut kebab = String::with_capacity(logical_id.len() + 4);
    for (at, c) in logical_id.chars().enumerate() {
        if c.is_ascii_uppercase() && at > 0 {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    kebab
}
