//! Rules for queues, their consumers and their subscriptions.
//!
//! They are what keeps a message from being lost between two functions; [`RULES`](super::RULES) lists them.

use super::{Complaints, Resource, Source, Template, access::EXPOSED, branches, entries, items, target, texts};
use domain::EventType;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use testkit::calls::stem_of;

/// 14 days, the longest that SQS keeps a message.
const RETENTION_SECONDS: u64 = 1_209_600;
/// What AWS asks for at least, so that a batch can be retried while Lambda throttles.
const TIMEOUTS_PER_VISIBILITY: u64 = 6;
/// With fewer receives a message would be parked within minutes; 20 with our back-off are about 3 hours.
const RECEIVES_MIN: u64 = 20;
/// The most that SQS counts to.
const RECEIVES_MAX: u64 = 1000;
/// A FIFO queue gives no more, one PublishBatch takes no more.
const BATCH_MAX: u64 = 10;
/// Lambda's bounds of `MaximumConcurrency`.
const CONCURRENCY: std::ops::RangeInclusive<u64> = 2..=1000;
/// Stripe's calls a second, (live, test mode). A batch is handled concurrently, each record waiting for one call.
const PROVIDER_CALLS_PER_SECOND: (u64, u64) = (100, 25);

/// Where it is written who hears what: a column of consumers for each event. Widening it is a line in a review.
pub const CATALOGUE: &str = "events/README.md";
/// The topic of functions that read what strangers write. An attribute may say something else than the body, which is what a consumer reads.
const FILTERED_BY_BODY: &str = "PublicEventsTopic";

/// Queues that no topic fills: an operator who starts a campaign sends to this one.
const FILLED_BY_PEOPLE: &[&str] = &["EmailCampaignQueue"];

/// The use of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A function consumes it.
    Source,
    /// It takes what a queue or a subscription redrives.
    DeadLetters,
}

/// The use of a queue, if anything.
pub fn use_of(template: &Template, queue: &Resource<'_>) -> Option<Use> {
    let is_target = |of: &Resource<'_>| target(of.at("/RedrivePolicy/deadLetterTargetArn")) == Some(queue.id);
    if template.sources().any(|source| source.queue.id == queue.id) {
        Some(Use::Source)
    } else if template.queues().any(|it| is_target(&it)) || template.subscriptions().any(|it| is_target(&it)) {
        Some(Use::DeadLetters)
    } else {
        None
    }
}

/// A queue that nobody fills or nobody reads is a mistake in another resource; so is an event that names no queue. One that hears
/// the topic for people alone forgets after 14 days what nobody looked at: that is kept in records.
pub fn every_queue_has_a_use(template: &Template) -> Complaints {
    let unused = template
        .queues()
        .filter(|queue| use_of(template, queue).is_none())
        .map(|queue| format!("{}: no function and no redrive policy uses this queue", queue.id));
    let unheard = template
        .sources()
        .filter(|source| !FILLED_BY_PEOPLE.contains(&source.queue.id))
        .filter(|source| !template.subscriptions().any(|it| target(it.at("/Endpoint")) == Some(source.queue.id)))
        .map(|source| format!("{}: no subscription fills this queue", source.queue.id));
    let dangling = template.functions().flat_map(|function| {
        entries(function.at("/Events"))
            .filter(|(_, event)| event["Type"] == "SQS" && template.referred(&event["Properties"]["Queue"], "AWS::SQS::Queue").is_none())
            .map(move |(event, _)| format!("{}: event {event} names no queue of this template", function.id))
    });
    unused.chain(unheard).chain(dangling).collect()
}

/// A queue without redrive retries a poison message for 14 days and then loses it. A FIFO queue redrives to a FIFO one.
pub fn sources_redrive_to_their_own_dead_letter_queue_of_the_same_kind(template: &Template) -> Complaints {
    let mut complaints = vec![];
    let mut taken = BTreeMap::new();
    for source in template.sources() {
        let queue = source.queue;
        let Some(dead_letters) = template.referred(queue.at("/RedrivePolicy/deadLetterTargetArn"), "AWS::SQS::Queue") else {
            complaints.push(format!("{}: no redrive to a queue of this template", queue.id));
            continue;
        };
        if dead_letters.is_fifo() != queue.is_fifo() {
            complaints.push(format!("{}: {} is of the other kind, FIFO or Standard", queue.id, dead_letters.id));
        }
        if use_of(template, &dead_letters) != Some(Use::DeadLetters) {
            complaints.push(format!("{}: {} is a source itself", queue.id, dead_letters.id));
        }
        if let Some(other) = taken.insert(dead_letters.id, queue.id).filter(|other| *other != queue.id) {
            complaints.push(format!("{}: {} is the dead-letter queue of {other} already", queue.id, dead_letters.id));
        }
        let receives = queue.at("/RedrivePolicy/maxReceiveCount").as_u64();
        if !receives.is_some_and(|count| (RECEIVES_MIN..=RECEIVES_MAX).contains(&count)) {
            complaints.push(format!("{}: maxReceiveCount is not {RECEIVES_MIN} to {RECEIVES_MAX}", queue.id));
        }
    }
    complaints
}

/// A message that waits for people waits as long as SQS lets it.
pub fn queues_keep_messages_for_14_days(template: &Template) -> Complaints {
    template
        .queues()
        .filter(|queue| queue.at("/MessageRetentionPeriod") != RETENTION_SECONDS)
        .map(|queue| format!("{}: MessageRetentionPeriod is not {RETENTION_SECONDS}", queue.id))
        .collect()
}

/// A message that shows again while it is still being handled is handled twice at once; one that hides for longer than it
/// must waits for nothing after a crash.
pub fn sources_hide_messages_for_six_timeouts(template: &Template) -> Complaints {
    let long_enough = |source: &Source<'_>| {
        let timeout = source.function.at("/Timeout").as_u64()?;
        let window = source.mapping["MaximumBatchingWindowInSeconds"].as_u64().unwrap_or(0);
        let visibility = source.queue.at("/VisibilityTimeout").as_u64()?;
        (visibility == TIMEOUTS_PER_VISIBILITY * timeout + window).then_some(())
    };
    template
        .sources()
        .filter(|source| long_enough(source).is_none())
        .map(|Source { queue, function, .. }| {
            format!("{}: VisibilityTimeout is not {TIMEOUTS_PER_VISIBILITY} × Timeout of {} + window", queue.id, function.id)
        })
        .collect()
}

/// Without it Lambda ignores the ids of failed records and deletes the whole batch.
pub fn sources_report_failures_one_by_one(template: &Template) -> Complaints {
    template
        .sources()
        .filter(|source| !texts(&source.mapping["FunctionResponseTypes"]).any(|kind| kind == "ReportBatchItemFailures"))
        .map(|source| format!("{}: ReportBatchItemFailures is missing for {}", source.function.id, source.queue.id))
        .collect()
}

/// A backlog must not take all of the account's concurrency, nor a batch outgrow what follows from it.
pub fn sources_are_bounded(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for source in template.sources() {
        let limits = branches(&source.mapping["ScalingConfig"]["MaximumConcurrency"]);
        if limits.is_empty() || limits.iter().any(|limit| !limit.value.as_u64().is_some_and(|n| CONCURRENCY.contains(&n))) {
            complaints.push(format!("{}: no MaximumConcurrency of 2 to 1000 for {}", source.function.id, source.queue.id));
        }
        if !source.mapping["BatchSize"].as_u64().is_some_and(|size| (1..=BATCH_MAX).contains(&size)) {
            complaints.push(format!("{}: BatchSize is not 1 to {BATCH_MAX} for {}", source.function.id, source.queue.id));
        }
    }
    complaints
}

/// A process takes its share of the provider's rate, so what it divides by has to be what may run at once. Concurrent
/// calls, one for each record, stay below the calls of a second too: how many Stripe takes at once it does not say.
pub fn the_provider_is_called_below_its_rate(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for source in template.sources().filter(|source| !source.function.at("/Environment/Variables/STRIPE_API_URL").is_null()) {
        let (function, variable) = (source.function.id, |name: &str| source.function.at(&format!("/Environment/Variables/{name}")));
        let concurrency = &source.mapping["ScalingConfig"]["MaximumConcurrency"];
        if *variable("MAXIMUM_CONCURRENCY") != in_texts(concurrency) {
            complaints.push(format!("{function}: MAXIMUM_CONCURRENCY is not the mapping's MaximumConcurrency, {concurrency}"));
        }
        let (live, sandbox) = PROVIDER_CALLS_PER_SECOND;
        let by_stage = json!({ "Fn::If": ["IsProd", live.to_string(), sandbox.to_string()] });
        let account = json!({ "Fn::If": ["HasStripeCallsPerSecond", { "Ref": "StripeCallsPerSecond" }, by_stage] });
        let endpoint = json!({ "Ref": "StripeEndpointCallsPerSecond" });
        for (name, rate) in [("STRIPE_CALLS_PER_SECOND", account), ("STRIPE_ENDPOINT_CALLS_PER_SECOND", endpoint)] {
            if *variable(name) != rate {
                complaints.push(format!("{function}: {name} is not {rate}, and nothing keeps it below the provider's rate"));
            }
        }
        for limit in branches(concurrency) {
            let rate = match limit.only_if {
                Some(("IsProd", true)) => PROVIDER_CALLS_PER_SECOND.0,
                _ => PROVIDER_CALLS_PER_SECOND.1,
            };
            let concurrent = source.mapping["BatchSize"].as_u64().zip(limit.value.as_u64()).map(|(batch, concurrency)| batch * concurrency);
            if concurrent.is_none_or(|calls| calls >= rate) {
                complaints.push(format!("{function}: {concurrent:?} concurrent calls reach the provider's {rate} a second"));
            }
        }
    }
    complaints
}

/// The same with its numbers as texts, which environment variables are.
fn in_texts(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Array(list) => list.iter().map(in_texts).collect(),
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), in_texts(value))).collect(),
        other => other.clone(),
    }
}

/// An order waits for its own events only, never for another order's.
pub fn fifo_is_by_message_group(template: &Template) -> Complaints {
    let asked = |resource: &Resource<'_>| match resource.kind() {
        "AWS::SQS::Queue" => vec![("/DeduplicationScope", json!("messageGroup")), ("/FifoThroughputLimit", json!("perMessageGroupId"))],
        _ => vec![("/FifoThroughputScope", json!("MessageGroup")), ("/ContentBasedDeduplication", json!(false))],
    };
    let fifo = template.resources().filter(Resource::is_fifo);
    fifo.flat_map(|resource| {
        asked(&resource)
            .into_iter()
            .filter(move |(property, value)| resource.at(property) != value)
            .map(move |(property, value)| format!("{}: {} is not {value}", resource.id, &property[1..]))
    })
    .collect()
}

/// What SNS cannot deliver waits in a queue, which for a FIFO topic is FIFO; consumers read envelopes, not SNS's wrapping.
pub fn subscriptions_deliver_raw_and_redrive(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for subscription in template.subscriptions() {
        let topic = template.referred(subscription.at("/TopicArn"), "AWS::SNS::Topic");
        let dead_letters = template.referred(subscription.at("/RedrivePolicy/deadLetterTargetArn"), "AWS::SQS::Queue");
        if topic.is_none() || template.referred(subscription.at("/Endpoint"), "AWS::SQS::Queue").is_none() {
            complaints.push(format!("{}: topic or queue is not of this template", subscription.id));
        }
        if subscription.at("/RawMessageDelivery") != true {
            complaints.push(format!("{}: RawMessageDelivery is not true", subscription.id));
        }
        match dead_letters {
            None => complaints.push(format!("{}: no redrive to a queue of this template", subscription.id)),
            Some(dead_letters) if topic.is_some_and(|topic| topic.is_fifo() != dead_letters.is_fifo()) => {
                complaints.push(format!("{}: {} is of the other kind than the topic", subscription.id, dead_letters.id));
            }
            Some(_) => {}
        }
    }
    let inline = template.of_type("AWS::SNS::Topic").filter(|topic| !topic.at("/Subscription").is_null());
    complaints.extend(inline.map(|topic| format!("{}: subscriptions are resources of their own", topic.id)));
    complaints
}

/// The subscriptions to topics of ours: the FIFO ones. What other services publish to theirs has no type of ours.
fn of_events(template: &Template) -> impl Iterator<Item = Resource<'_>> {
    template.subscriptions().filter(|it| template.referred(it.at("/TopicArn"), "AWS::SNS::Topic").is_some_and(|topic| topic.is_fifo()))
}

/// Whether the filter of `subscription` admits `event`, of whatever version.
pub fn admits(subscription: &Resource<'_>, event: &EventType) -> bool {
    items(subscription.at("/FilterPolicy/type")).any(|rule| rule["prefix"] == format!("{}.", event.stem()))
}

fn is_filtered_by_body(subscription: &Resource<'_>) -> bool {
    target(subscription.at("/TopicArn")) == Some(FILTERED_BY_BODY)
}

/// A prefix without version lets an unknown version through, to be seen and retried; a filter with one drops it.
pub fn subscriptions_filter_by_prefix_without_version(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for subscription in of_events(template) {
        let by_body = is_filtered_by_body(&subscription);
        let scope = if by_body { "MessageBody" } else { "MessageAttributes" };
        if subscription.at("/FilterPolicyScope") != scope {
            complaints.push(format!("{}: FilterPolicyScope is not {scope}", subscription.id));
        }
        if by_body && texts(subscription.at("/FilterPolicy/source")).next().is_none() {
            complaints.push(format!("{}: FilterPolicy names no source", subscription.id));
        }
        if subscription.at("/FilterPolicy/type").as_array().is_none_or(Vec::is_empty) {
            complaints.push(format!("{}: FilterPolicy names no type", subscription.id));
        }
        if subscription.at("/FilterPolicy/again").as_array().is_some_and(Vec::is_empty) {
            complaints.push(format!("{}: FilterPolicy/again says nothing", subscription.id));
        }
        for (key, rules) in entries(subscription.at("/FilterPolicy")) {
            let bad = items(rules).filter(|rule| match key {
                "type" => !is_prefix_of_an_event(rule),
                "again" => by_body || *rules != json!([{ "exists": false }]),
                "source" => !by_body || rule.as_str().is_none_or(|source| !source.starts_with('/')),
                _ => true,
            });
            complaints
                .extend(bad.map(|rule| format!("{}: {key} {rule} is not the prefix `stem.` of an event, or a source", subscription.id)));
        }
    }
    complaints
}

fn is_prefix_of_an_event(rule: &Value) -> bool {
    let stem = rule["prefix"].as_str().and_then(|prefix| prefix.strip_suffix('.'));
    rule.as_object().is_some_and(|rule| rule.len() == 1) && EventType::ALL.iter().any(|event| Some(event.stem()) == stem)
}

/// Who hears what, by the catalogue of events: by queue, and by whether the queue hears it from strangers, whose topic is filtered by body.
fn heard_by_catalogue(template: &Template) -> BTreeMap<(String, bool), BTreeSet<String>> {
    let mut heard = BTreeMap::<_, BTreeSet<_>>::new();
    for event in EventType::ALL {
        let row = template.beside.catalogue.lines().find(|line| line.starts_with(&format!("| `{event}` |"))).unwrap_or_default();
        let consumers = row.split('|').nth(4).unwrap_or_default().split('`').skip(1).step_by(2);
        for (consumer, producer) in consumers.flat_map(|it| event.producers().iter().map(move |producer| (it, producer))) {
            let by_body = EXPOSED.contains(&format!("{}Function", stem_of(producer)).as_str());
            heard.entry((format!("{}Queue", stem_of(consumer)), by_body)).or_default().insert(format!("{}.", event.stem()));
        }
    }
    heard
}

/// Who hears what stands in the catalogue of events; what a stage does not expect it would park. A delayed queue is a clock, which sends
/// its own checks to itself, so it must not hear its own nudges: each would start another clock for the same order.
pub fn stages_hear_exactly_their_events(template: &Template) -> Complaints {
    let mut complaints = vec![];
    let by_catalogue = heard_by_catalogue(template);
    for (queue, by_body) in by_catalogue.keys() {
        let is_it = |it: &Resource<'_>| is_filtered_by_body(it) == *by_body && target(it.at("/Endpoint")) == Some(queue);
        if !of_events(template).any(|it| is_it(&it)) {
            complaints.push(format!("{queue}: it does not hear what {CATALOGUE} lists"));
        }
    }
    for subscription in of_events(template) {
        let queue = target(subscription.at("/Endpoint")).unwrap_or_default();
        let listed = by_catalogue.get(&(queue.to_owned(), is_filtered_by_body(&subscription)));
        let heard: BTreeSet<String> =
            items(subscription.at("/FilterPolicy/type")).filter_map(|rule| Some(rule["prefix"].as_str()?.to_owned())).collect();
        if listed != Some(&heard) {
            complaints.push(format!("{}: {queue} hears {heard:?}, {CATALOGUE} lists {listed:?}", subscription.id));
        }
        let delay = template.resource(queue).map_or(&Value::Null, |it| it.at("/DelaySeconds"));
        if delay.is_null() != subscription.at("/FilterPolicy/again").is_null() {
            complaints.push(format!("{}: a delayed queue refuses what is published `again`, and it alone", subscription.id));
        }
        let consumers = template.sources().filter(|source| source.queue.id == queue);
        let mut told = consumers.flat_map(|source| entries(source.function.at("/Environment/Variables")));
        if !delay.is_null() && !told.any(|(_, value)| value == delay && target(value).is_some()) {
            complaints.push(format!("{queue}: its consumer is not told of its DelaySeconds"));
        }
    }
    complaints
}
