//! The flow chart in `docs/architecture.md` is drawn from `template.yaml`: a new function, route or subscription changes it.
//!
//! `FLOW_WRITE=1 cargo test --workspace --test flow_chart` writes it again. Tables and roles are left out: the chart shows
//! how an event, a mail or a request gets from one function to the next.
#![allow(clippy::unwrap_used, reason = "a template or a page that cannot be read fails these tests, helpers included")]

use domain::EventType;
use serde_json::Value;
use std::{collections::BTreeSet, env, fs};
use template::{Resource, Template, entries, items, target, texts, workspace_root};

const PAGE: &str = "docs/architecture.md";
const BEGIN: &str = "<!-- the flow chart: begin -->\n";
const END: &str = "<!-- the flow chart: end -->\n";
/// Set to anything, it has the chart written again.
const WRITE: &str = "FLOW_WRITE";
/// From so many events on a label says how many, because the names would not fit the picture.
const NAMED_MAX: usize = 6;
/// The environment variable whose function sends mail through SES.
const SENDS_MAIL: &str = "MAIL_CONFIGURATION_SET";
/// The environment variable whose function calls the payment provider.
const CALLS_PROVIDER: &str = "STRIPE_API_URL";
/// The environment variable of the function that finds the stack's dead-letter queues.
const INSPECTS: &str = "STACK_ID";

/// The chart, one edge a line, sorted by the logical ids of the template.
fn chart(template: &Template) -> String {
    let mut lines = vec!["```mermaid".to_owned(), "flowchart LR".to_owned()];
    for topic in template.of_type("AWS::SNS::Topic") {
        lines.push(format!("    {}{{{{\"{}\"}}}}", topic.id, named(topic.id.trim_end_matches("Topic"))));
    }
    for function in template.functions() {
        lines.push(format!("    {}[{}]", function.id, stem(&function)));
    }
    lines.extend(["    caller([caller])", "    ses([SES])", "    stripe([Stripe])", "    people([operators])"].map(|node| node.to_owned()));
    template.functions().for_each(|function| lines.extend(requests(&function)));
    lines.extend(started_by_people(template));
    template.functions().for_each(|function| lines.extend(published(&function)));
    template.subscriptions().for_each(|subscription| lines.extend(delivered(template, &subscription)));
    lines.extend(mailed(template));
    lines.extend(inspected(template));
    lines.push("```\n".to_owned());
    lines.join("\n")
}

/// A logical id as people write it: `OrderEvents`, `order-events`.
fn named(id: &str) -> String {
    let mut name = String::new();
    for c in id.chars() {
        if c.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(c.to_lowercase());
    }
    name
}

/// A function's name: its binary's.
fn stem<'a>(function: &Resource<'a>) -> &'a str {
    function.body["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap()
}

fn variables<'a>(function: &Resource<'a>) -> impl Iterator<Item = (&'a str, &'a Value)> {
    entries(function.at("/Environment/Variables"))
}

fn has(function: &Resource<'_>, variable: &str) -> bool {
    variables(function).any(|(name, _)| name == variable)
}

/// Callers, people and schedules invoke it.
fn requests(function: &Resource<'_>) -> Vec<String> {
    let events: Vec<_> = entries(function.at("/Events")).map(|(_, event)| event).collect();
    let routes = events.iter().filter(|event| event["Type"] == "HttpApi").map(|event| &event["Properties"]);
    let routes: Vec<_> = routes.map(|it| format!("{} {}", it["Method"].as_str().unwrap(), it["Path"].as_str().unwrap())).collect();
    let is_asked_by_people = events.iter().all(|event| event["Type"] == "Schedule");
    match (routes.is_empty(), is_asked_by_people) {
        (false, _) => vec![format!("    caller -- \"{}\" --> {}", routes.join("<br>"), function.id)],
        (true, true) => vec![format!("    people --> {}", function.id)],
        (true, false) => vec![],
    }
}

/// Consumers whose queue no topic fills: a person sends the message.
fn started_by_people(template: &Template) -> Vec<String> {
    let filled: BTreeSet<_> = template.subscriptions().filter_map(|it| target(it.at("/Endpoint"))).collect();
    let by_hand = template.sources().filter(|source| !filled.contains(source.queue.id));
    by_hand.map(|source| format!("    people -- \"a message\" --> {}", source.function.id)).collect()
}

/// The topics that a function's environment names, with the events that it may publish.
fn published(function: &Resource<'_>) -> Vec<String> {
    let said = EventType::ALL.iter().filter(|event| event.producers().contains(&stem(function))).map(|event| event.stem());
    let label = label(&said.collect::<Vec<_>>());
    let topics = variables(function).filter(|(name, _)| name.ends_with("EVENTS_TOPIC_ARN")).filter_map(|(_, value)| target(value));
    topics.map(|topic| format!("    {} -- \"{label}\" --> {topic}", function.id)).collect()
}

/// What a subscription admits, and the consumer of its queue.
fn delivered(template: &Template, subscription: &Resource<'_>) -> Vec<String> {
    let (Some(topic), Some(queue)) = (target(subscription.at("/TopicArn")), target(subscription.at("/Endpoint"))) else { return vec![] };
    let admitted =
        items(subscription.at("/FilterPolicy/type")).filter_map(|rule| rule["prefix"].as_str()).map(|it| it.trim_end_matches('.'));
    let mut label = label(&admitted.collect::<Vec<_>>());
    let sources: Vec<_> = texts(subscription.at("/FilterPolicy/source")).map(|source| source.trim_start_matches('/')).collect();
    if !sources.is_empty() {
        label = format!("{label}<br>of {}", sources.join(", "));
    }
    let consumers = template.sources().filter(|source| source.queue.id == queue).map(|source| source.function.id);
    let edge = if label.is_empty() { "-->".to_owned() } else { format!("-- \"{label}\" -->") };
    consumers.map(|consumer| format!("    {topic} {edge} {consumer}")).collect()
}

/// Mail on its way out, what SES reports of it, and mail that comes in.
fn mailed(template: &Template) -> Vec<String> {
    let senders = template.functions().filter(|function| has(function, SENDS_MAIL)).map(|it| format!("    {} --> ses", it.id));
    let reports = template.of_type("AWS::SES::ConfigurationSetEventDestination");
    let reports: BTreeSet<_> =
        reports.filter_map(|it| target(it.at("/EventDestination/SnsDestination/TopicARN")).map(str::to_owned)).collect();
    let rules = template.of_type("AWS::SES::ReceiptRule").flat_map(|rule| items(rule.at("/Rule/Actions")));
    let received: BTreeSet<_> = rules.filter_map(|action| target(&action["S3Action"]["TopicArn"]).map(str::to_owned)).collect();
    let reports = reports.into_iter().map(|topic| format!("    ses -- \"deliveries, bounces, complaints\" --> {topic}"));
    let received = received.into_iter().map(|topic| format!("    ses -- \"replies\" --> {topic}"));
    let providers = template.functions().filter(|it| has(it, CALLS_PROVIDER)).map(|it| format!("    {} <--> stripe", it.id));
    senders.chain(reports).chain(received).chain(providers).collect()
}

/// The dead-letter queues, as one node, and the function that finds them.
fn inspected(template: &Template) -> Vec<String> {
    let dead: BTreeSet<_> = template.queues().filter_map(|queue| target(queue.at("/RedrivePolicy/deadLetterTargetArn"))).collect();
    let undelivered: BTreeSet<_> = template.subscriptions().filter_map(|it| target(it.at("/RedrivePolicy/deadLetterTargetArn"))).collect();
    let mut lines = vec![format!("    dead[({} dead-letter queues)]", dead.union(&undelivered).count())];
    lines.extend(template.sources().map(|source| format!("    {} -. parks .-> dead", source.function.id)));
    for inspector in template.functions().filter(|function| has(function, INSPECTS)) {
        lines.push(format!("    dead <-- \"list, explain, redrive, discard\" --> {}", inspector.id));
        let topics = variables(&inspector).filter(|(name, _)| name.ends_with("ALERTS_TOPIC_ARN")).filter_map(|(_, value)| target(value));
        lines.extend(topics.map(|topic| format!("    {} -- \"digest\" --> {topic}", inspector.id)));
    }
    let by_mail = template.of_type("AWS::SNS::Subscription").filter(|it| it.at("/Protocol") == "email");
    lines.extend(by_mail.filter_map(|it| target(it.at("/TopicArn"))).map(|topic| format!("    {topic} --> people")));
    lines
}

/// Event types as an edge names them; many as their number.
fn label(types: &[&str]) -> String {
    if types.len() > NAMED_MAX { format!("{} of {} event types", types.len(), EventType::ALL.len()) } else { types.join("<br>") }
}

#[test]
fn the_flow_chart_is_the_templates() {
    let path = workspace_root().join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (stands, after) = rest.split_once(END).unwrap();
    let expected = format!("\n{}\n", chart(&Template::read().unwrap()));
    if env::var_os(WRITE).is_some() {
        fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(stands, expected, "{WRITE}=1 cargo test --workspace --test flow_chart writes it again");
}

#[test]
fn the_chart_shows_every_function_and_follows_the_template() {
    let template = Template::read().unwrap();
    let drawn = chart(&template);
    for function in template.functions() {
        let edges = drawn.lines().filter(|line| line.contains("--") && line.split(' ').any(|word| word == function.id)).count();
        assert!(edges > 0, "nothing leads to {} or from it", function.id);
    }
    let without = template.without("/Resources/ShippingPublicSubscription").unwrap();
    assert_ne!(chart(&without), drawn, "a subscription that has gone is still drawn");
}
