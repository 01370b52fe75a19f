//! Rules for what people run: names, builds, tables, logs, alarms, outputs.
//!
//! They keep the template readable and the pipeline watched; [`RULES`](super::RULES) lists them.

use super::{
    Branch, Complaints, Resource, Template, branches, entries, items,
    queues::{Use, use_of},
    statements, target, texts,
};
use domain::{
    command::Power,
    uncollected::{INDEX, UNCOLLECTED_AT, UNSETTLED},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use testkit::{calls::stem_of, stack::STACK_NAME_MAX};

/// The types that the rules know. A new one needs rules before it needs a place here.
const KNOWN: &[&str] = &[
    "AWS::CloudWatch::Alarm",
    "AWS::DynamoDB::Table",
    "AWS::IAM::Role",
    "AWS::KMS::Key",
    "AWS::Lambda::Alias",
    "AWS::Logs::LogGroup",
    "AWS::Logs::MetricFilter",
    "AWS::S3::Bucket",
    "AWS::S3::BucketPolicy",
    "AWS::SES::ConfigurationSet",
    "AWS::SES::ConfigurationSetEventDestination",
    "AWS::SES::EmailIdentity",
    "AWS::SNS::Subscription",
    "AWS::SNS::Topic",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::Queue",
    "AWS::SQS::QueuePolicy",
    "AWS::SecretsManager::Secret",
    "AWS::Serverless::Function",
    "AWS::Serverless::HttpApi",
];
/// The local engine refuses them: only under `Condition: OnAws`.
const ONLY_ON_AWS: &[&str] = &[
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::Logs::QueryDefinition",
    "AWS::Route53::HealthCheck",
    "AWS::SES::ReceiptRule",
    "AWS::SES::ReceiptRuleSet",
    "AWS::SES::Template",
];
/// Every route of the API, by function.
const ROUTES: &[(&str, &str)] = &[
    ("OrderIntakeFunction", "POST /orders"),
    ("OrderIntakeFunction", "POST /orders/{order_id}/cancel"),
    ("OrderStatusFunction", "GET /orders/{order_id}"),
    ("CustomerSignupFunction", "POST /customers"),
    ("UnsubscribeFunction", "GET /unsubscribe/{token}"),
    ("UnsubscribeFunction", "POST /unsubscribe/{token}"),
    ("UnsubscribeFunction", "GET /confirm/{token}"),
    ("UnsubscribeFunction", "POST /confirm/{token}"),
];
/// Functions that only people invoke, by commands: a route or a queue would give it to others.
const COMMANDED: &[&str] = &["OperatorFunction"];
/// Functions that people invoke, to look and to change.
const ASKED: &[&str] = &["DlqInspectorFunction", "OperatorFunction"];
/// Scheduled functions: function, when, and with what.
const SCHEDULES: &[(&str, &str, &str)] = &[("DlqInspectorFunction", DIGEST_EVERY, r#"{"by":"schedule","command":{"digest":{}}}"#)];
/// How often the inspector counts what is uncollected: `LATE_SECONDS`, as EventBridge has it.
const DIGEST_EVERY: &str = "rate(15 minutes)";
/// Log groups that need no room in the account's resource policy for log delivery.
const VENDED: &str = "/aws/vendedlogs/";
/// Properties that take an ARN.
const ARN_KEYS: &[&str] =
    &["Resource", "Endpoint", "TopicArn", "TopicARN", "deadLetterTargetArn", "Queue", "Role", "DestinationArn", "aws:SourceArn"];
/// Properties that give a physical name, and how long AWS lets it be.
const NAMES: &[(&str, &str, usize)] = &[
    ("AWS::SQS::Queue", "/QueueName", 80),
    ("AWS::SNS::Topic", "/TopicName", 256),
    ("AWS::Logs::LogGroup", "/LogGroupName", 512),
    ("AWS::Serverless::Function", "/FunctionName", 64),
    ("AWS::IAM::Role", "/RoleName", 64),
    ("AWS::DynamoDB::Table", "/TableName", 255),
    ("AWS::S3::Bucket", "/BucketName", 63),
    ("AWS::SES::ConfigurationSet", "/Name", 64),
    ("AWS::CloudWatch::Alarm", "/AlarmName", 255),
    ("AWS::SecretsManager::Secret", "/Name", 512),
];
/// What works until shortly before its end, and then answers how far it came, needs room for both.
const SCHEDULED_TIMEOUT_MIN: u64 = 30;
/// A message that waits longer than this without being old by design is late.
const LATE_SECONDS: u64 = 15 * 60;

/// A resource of another type would slip past the rules; one that the local engine refuses stops the local run.
pub fn resource_types_are_known_here_and_locally(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for resource in template.resources() {
        let on_aws = template.implies(&resource.body["Condition"], "OnAws");
        let known = KNOWN.contains(&resource.kind()) || (on_aws && ONLY_ON_AWS.contains(&resource.kind()));
        if !known {
            complaints.push(format!("{}: no rule knows {}, or not without Condition: OnAws", resource.id, resource.kind()));
        }
        let known = ["SQS", "HttpApi", "Schedule"];
        let source = entries(resource.at("/Events")).map(|(_, event)| &event["Type"]).find(|kind| known.iter().all(|known| kind != known));
        complaints.extend(source.map(|kind| format!("{}: no rule knows events of type {kind}", resource.id)));
        if !resource.at("/Metrics").is_null() {
            complaints.push(format!("{}: the local engine refuses metric math", resource.id));
        }
        let condition = &resource.body["Condition"];
        if !condition.is_null() && template.at("/Conditions")[condition.as_str().unwrap_or_default()].is_null() {
            complaints.push(format!("{}: Condition {condition} is not defined", resource.id));
        }
    }
    complaints
}

/// What exists in some stacks only, by the beginning of its logical id; the longest that fits decides. Without a domain no mail is
/// sent, so that a first deployment need not know SES, and where nobody reads replies nothing waits for them.
const ONLY_IF: &[(&str, &str)] = &[
    ("AlertsEmailSubscription", "HasAlertEmail"),
    ("BounceRate", "SendsMail"),
    ("CampaignMail", "SendsMail"),
    ("CampaignsBucket", "SendsMail"),
    ("CampaignsBucketPolicy", "SendsMailOnAws"),
    ("ComplaintRate", "SendsMail"),
    ("DeadLetterQueuesPolicy", "OnAws"),
    ("DlqArchiveBucketPolicy", "OnAws"),
    ("EmailCampaign", "SendsMail"),
    ("EmailCampaignQueuePolicy", "SendsMailOnAws"),
    ("EmailFeedback", "SendsMail"),
    ("EmailInbound", "ReceivesMail"),
    ("EmailLedger", "SendsMail"),
    ("ForwardsHeldBack", "ReceivesMail"),
    ("InboundMail", "ReceivesMail"),
    ("InboundRule", "ReceivesMailOnAws"),
    ("Mail", "SendsMail"),
    ("MailIdentity", "VerifiesMailDomain"),
    ("OperatorMail", "ReceivesMail"),
    ("OrderEmail", "SendsMail"),
    ("OrderMails", "SendsMail"),
    ("RenderingFailure", "SendsMail"),
    ("Suppressions", "SendsMail"),
    ("Welcome", "SendsMail"),
];

/// A resource exists where `ONLY_IF` says, and else in every stack.
pub fn resources_exist_where_they_are_listed(template: &Template) -> Complaints {
    let expected = |id: &str| ONLY_IF.iter().filter(|(start, _)| id.starts_with(start)).max_by_key(|(start, _)| start.len());
    let other = template.resources().filter_map(|resource| {
        let (listed, found) = (expected(resource.id).map(|(_, condition)| *condition), resource.body["Condition"].as_str());
        (listed != found).then(|| format!("{}: exists if {found:?}, listed is {listed:?}", resource.id))
    });
    other.collect()
}

/// A parameter or a condition that nothing asks is left over, or something that should ask it is gone.
pub fn parameters_and_conditions_are_used(template: &Template) -> Complaints {
    let mut asked = BTreeSet::new();
    for section in ["/Globals", "/Conditions", "/Resources", "/Outputs"] {
        collect_asked(template.at(section), &mut asked);
    }
    let sections = ["Parameters", "Conditions"].into_iter().flat_map(|section| template.section(section));
    sections.filter(|(id, _)| !asked.contains(id)).map(|(id, _)| format!("{id}: nothing asks it")).collect()
}

fn collect_asked<'a>(value: &'a Value, asked: &mut BTreeSet<&'a str>) {
    asked.extend([&value["Ref"], &value["Condition"], &value["Fn::If"][0]].into_iter().filter_map(Value::as_str));
    entries(value).map(|(_, child)| child).chain(value.as_array().into_iter().flatten()).for_each(|child| collect_asked(child, asked));
}

/// A policy or a filter on nothing is on something in its author's mind.
pub fn attachments_are_about_something(template: &Template) -> Complaints {
    let about = |resource: &Resource<'_>| match resource.kind() {
        "AWS::S3::BucketPolicy" => Some(("/Bucket", "AWS::S3::Bucket")),
        "AWS::SNS::TopicPolicy" => Some(("/Topics", "AWS::SNS::Topic")),
        "AWS::SQS::QueuePolicy" => Some(("/Queues", "AWS::SQS::Queue")),
        "AWS::Logs::MetricFilter" => Some(("/LogGroupName", "AWS::Logs::LogGroup")),
        _ => None,
    };
    let attached = template.resources().filter_map(|resource| Some((resource, about(&resource)?)));
    let idle = attached.filter(|(resource, (property, kind))| {
        let list: Vec<_> = items(resource.at(property)).collect();
        list.is_empty() || list.into_iter().any(|it| template.referred(it, kind).is_none())
    });
    idle.map(|(resource, (property, kind))| format!("{}: {} are not all {kind}s", resource.id, &property[1..])).collect()
}

/// `order-intake` is folder, package, binary and events folder; `OrderIntakeFunction`, `…Role` and `…LogGroup` are its
/// resources. Every folder in `functions/` is deployed.
pub fn one_stem_everywhere(template: &Template) -> Complaints {
    let mut complaints = vec![];
    let mut stems = BTreeSet::new();
    for function in template.functions() {
        let stem = function.folder().unwrap_or_default();
        let name = stem_of(stem);
        let log_group = function.at("/LoggingConfig/LogGroup");
        if function.id != format!("{name}Function") {
            complaints.push(format!("{}: builds the binary {stem:?}", function.id));
        }
        if target(function.at("/Role")) != Some(&format!("{name}Role")) || target(log_group) != Some(&format!("{name}LogGroup")) {
            complaints.push(format!("{}: role and log group are not {name}Role and {name}LogGroup", function.id));
        }
        let policy = template.referred(function.at("/Role"), "AWS::IAM::Role").map(|role| role.at("/Policies/0/PolicyName"));
        if policy.is_none_or(|name| name != stem) {
            complaints.push(format!("{}: the policy of its role is not named {stem:?}", function.id));
        }
        stems.insert(stem.to_owned());
    }
    let folders = &template.beside.functions;
    complaints.extend(stems.symmetric_difference(folders).map(|stem| format!("{stem}: in functions/ or in the template, not in both")));
    complaints
}

/// One build for all: custom runtime, the workspace as source, cargo-lambda, the architecture that was asked for.
pub fn functions_are_built_from_the_workspace(template: &Template) -> Complaints {
    let asked = [
        ("/Runtime", json!("provided.al2023")),
        ("/Handler", json!("bootstrap")),
        ("/CodeUri", json!(".")),
        ("/Architectures", json!([{ "Ref": "Architecture" }])),
    ];
    let mut complaints = vec![];
    for function in template.functions() {
        let other = asked.iter().filter(|(property, value)| function.at(property) != value);
        complaints.extend(other.map(|(property, value)| format!("{}: {} is not {value}", function.id, &property[1..])));
        if function.body["Metadata"]["BuildMethod"] != "rust-cargolambda" {
            complaints.push(format!("{}: BuildMethod is not rust-cargolambda", function.id));
        }
        if !function.at("/MemorySize").as_u64().is_some_and(|mb| (128..=256).contains(&mb)) {
            complaints.push(format!("{}: MemorySize is not 128 to 256", function.id));
        }
        if (entries(function.at("/Events")).count() == 0) != COMMANDED.contains(&function.id) {
            complaints.push(format!("{}: nothing invokes it, or people alone are listed to", function.id));
        }
        let itself = |value: &Value| value["Ref"] == "AWS::StackId";
        let by_stage = |value: &Value| !template.at("/Conditions")[value["Fn::If"][0].as_str().unwrap_or_default()].is_null();
        let variables = entries(function.at("/Environment/Variables"));
        let unused = variables.filter(|(_, value)| !exists(template, value) && !by_stage(value) && !itself(value));
        complaints.extend(unused.map(|(name, _)| format!("{}: {name} refers to nothing in this template", function.id)));
    }
    complaints
}

/// `!Ref` and `!GetAtt` each where they give what the place takes: an ARN, a queue's name in a dimension, or the plain
/// reference. (`!Ref` of a topic is its ARN; a secret's ARN is `.Id`, since `!Ref` is only its name in the local engine.)
pub fn references_have_the_form_that_their_place_takes(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for resource in template.resources() {
        check_references(template, resource.id, "", resource.body, &mut complaints);
    }
    complaints
}

fn check_references(template: &Template, place: &str, key: &str, value: &Value, complaints: &mut Complaints) {
    let wants_arn = ARN_KEYS.contains(&key) || key.ends_with("_ARN");
    let has_arn = |id: &str| template.resource(id).is_none_or(|it| it.kind() == "AWS::SNS::Topic");
    let good = match (&value["Ref"], value["Fn::GetAtt"].as_array().map(Vec::as_slice)) {
        (Value::String(id), _) if id.starts_with("AWS::") => true,
        (Value::String(id), _) => exists(template, value) && (!wants_arn || has_arn(id)),
        (_, Some([_, attribute])) => {
            let fits = if wants_arn {
                attribute == "Arn" || attribute == "Id"
            } else {
                key == "Value" && (attribute == "QueueName" || attribute == "TopicName")
            };
            exists(template, value) && fits
        }
        (_, Some(_)) => false,
        _ => {
            // Items and branches stand in the place of their list or condition.
            let children = entries(value).map(|(name, child)| (if name.starts_with("Fn::") { key } else { name }, child));
            let listed = value.as_array().into_iter().flatten().map(|child| (key, child));
            children.chain(listed).for_each(|(key, child)| check_references(template, place, key, child, complaints));
            true
        }
    };
    if !good {
        complaints.push(format!("{place}: {key} cannot be {value}"));
    }
}

fn exists(template: &Template, value: &Value) -> bool {
    target(value).is_some_and(|id| template.resource(id).is_some() || !template.at("/Parameters")[id].is_null())
}

/// A physical name stops two stacks in one account, and replacement. Where there must be one it carries the stack's.
pub fn names_are_given_only_where_they_must_and_fit(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for resource in template.resources() {
        for (_, property, max) in NAMES.iter().filter(|(kind, ..)| *kind == resource.kind()) {
            let name = resource.at(property);
            let fifo = resource.is_fifo();
            let vended = resource.kind() == "AWS::Logs::LogGroup" && !name.is_null();
            if !fifo && !vended {
                if !name.is_null() {
                    complaints.push(format!("{}: needs no {}", resource.id, &property[1..]));
                }
                continue;
            }
            let text = name["Fn::Sub"].as_str().unwrap_or_default();
            let form = if fifo { text.ends_with(".fifo") } else { text.starts_with(VENDED) };
            let length = text.replace("${AWS::StackName}", &"x".repeat(STACK_NAME_MAX)).len();
            if !form || !text.contains("${AWS::StackName}") || text.matches("${").count() != 1 || length > *max {
                complaints.push(format!("{}: {} is not a fitting name of this stack", resource.id, &property[1..]));
            }
        }
    }
    complaints
}

/// What an operator sees in a console says what it is.
pub fn everything_is_described(template: &Template) -> Complaints {
    let silent = |value: &Value| value.as_str().is_none_or(|text| text.len() < 10);
    let mut complaints = vec![];
    if silent(template.at("/Description")) {
        complaints.push("template: no Description".to_owned());
    }
    for section in ["Parameters", "Outputs"] {
        let bare = template.section(section).filter(|(_, body)| silent(&body["Description"]));
        complaints.extend(bare.map(|(id, _)| format!("{id}: no Description in {section}")));
    }
    for resource in template.resources() {
        let property = match resource.kind() {
            "AWS::Serverless::Function" | "AWS::IAM::Role" | "AWS::KMS::Key" | "AWS::SecretsManager::Secret" => "/Description",
            "AWS::CloudWatch::Alarm" => "/AlarmDescription",
            _ => continue,
        };
        if silent(resource.at(property)) {
            complaints.push(format!("{}: no {}", resource.id, &property[1..]));
        }
    }
    complaints
}

/// The one table whose rows guard nothing once their hour is over.
const EXPIRES: &str = "MailLimitsTable";

/// Records guard against charging and shipping twice: they survive a deleted stack, a bad deployment (restored up to 35
/// days back), and no row of theirs expires.
pub fn tables_outlive_their_stack(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for table in template.of_type("AWS::DynamoDB::Table") {
        if table.body["DeletionPolicy"] != "RetainExceptOnCreate" || table.body["UpdateReplacePolicy"] != "Retain" {
            complaints.push(format!("{}: is deleted with its stack, or when it is replaced", table.id));
        }
        if table.at("/PointInTimeRecoverySpecification/PointInTimeRecoveryEnabled") != true {
            complaints.push(format!("{}: no point-in-time recovery", table.id));
        }
        if *table.at("/DeletionProtectionEnabled") != json!({ "Fn::If": ["IsProd", true, false] }) {
            complaints.push(format!("{}: may be deleted in prod, or in no other stage", table.id));
        }
        if table.at("/BillingMode") != "PAY_PER_REQUEST" {
            complaints.push(format!("{}: not on demand", table.id));
        }
        if table.id == EXPIRES {
            if *table.at("/TimeToLiveSpecification") != json!({ "AttributeName": "expires_at", "Enabled": true }) {
                complaints.push(format!("{}: counts the mails of every hour for ever", table.id));
            }
        } else if !table.at("/TimeToLiveSpecification").is_null() {
            complaints.push(format!("{}: its records guard an effect and expire", table.id));
        }
        let key = table.at("/KeySchema/0/AttributeName");
        let keyed = *table.at("/KeySchema") == json!([{ "AttributeName": key, "KeyType": "HASH" }]);
        let indexes = items(table.at("/GlobalSecondaryIndexes")).flat_map(|index| items(&index["KeySchema"]));
        let texts = std::iter::once(key).chain(indexes.map(|part| &part["AttributeName"]));
        let texts: Value = texts.map(|name| json!({ "AttributeName": name, "AttributeType": "S" })).collect();
        if !keyed || *table.at("/AttributeDefinitions") != texts {
            complaints.push(format!("{}: not keyed by one text", table.id));
        }
    }
    complaints
}

/// Every function logs JSON into a group of its own, which is not kept for ever.
pub fn logs_are_kept_for_a_while(template: &Template) -> Complaints {
    let mut complaints = vec![];
    let mut taken = BTreeSet::new();
    for function in template.functions() {
        let group = template.referred(function.at("/LoggingConfig/LogGroup"), "AWS::Logs::LogGroup");
        if !group.is_some_and(|group| taken.insert(group.id)) {
            complaints.push(format!("{}: no log group of its own", function.id));
        }
        let levels = ["/LoggingConfig/ApplicationLogLevel", "/LoggingConfig/SystemLogLevel"];
        if function.at("/LoggingConfig/LogFormat") != "JSON" || levels.iter().any(|level| function.at(level) != "INFO") {
            complaints.push(format!("{}: does not log JSON at INFO", function.id));
        }
    }
    for group in template.of_type("AWS::Logs::LogGroup") {
        if group.at("/RetentionInDays")["Ref"] != "LogRetentionDays" {
            complaints.push(format!("{}: RetentionInDays is not LogRetentionDays", group.id));
        }
    }
    complaints
}

/// The one route on which a request takes something that others want, before it is paid.
const TAKES_STOCK: &str = "POST /orders";
/// What may come at once there, in seconds of its rate.
const BURST_SECONDS: u64 = 10;

/// An API is not open to any rate, the route that takes stock less than others, and its access log is about requests, not about persons.
pub fn apis_are_throttled_and_logged(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for api in template.of_type("AWS::Serverless::HttpApi") {
        let limit = |name: &str| api.at(&format!("/DefaultRouteSettings/{name}")).as_u64().is_some_and(|limit| limit > 0);
        if !limit("ThrottlingRateLimit") || !limit("ThrottlingBurstLimit") {
            complaints.push(format!("{}: not throttled", api.id));
        }
        let default = api.at("/DefaultRouteSettings/ThrottlingRateLimit").as_u64().unwrap_or_default();
        let rates = branches(&api.at("/RouteSettings")[TAKES_STOCK]["ThrottlingRateLimit"]);
        if rates.iter().any(|rate| rate.value.as_u64().is_none_or(|rate| rate == 0 || rate >= default)) {
            complaints.push(format!("{}: {TAKES_STOCK} is not throttled below the other routes", api.id));
        }
        let bursts = branches(&api.at("/RouteSettings")[TAKES_STOCK]["ThrottlingBurstLimit"]);
        let fits = |rate: u64, burst: &Branch| burst.value.as_u64() == Some(BURST_SECONDS * rate);
        let fitting = rates
            .iter()
            .zip(&bursts)
            .filter(|(rate, burst)| rate.value.as_u64().is_some_and(|limit| fits(limit, burst) && rate.only_if == burst.only_if));
        if fitting.count() != rates.len().max(bursts.len()) {
            complaints.push(format!("{}: a burst at {TAKES_STOCK} is not {BURST_SECONDS} seconds' worth", api.id));
        }
        let group = template.referred(api.at("/AccessLogSettings/DestinationArn"), "AWS::Logs::LogGroup");
        if !group.is_some_and(|group| group.at("/LogGroupName")["Fn::Sub"].as_str().is_some_and(|name| name.starts_with(VENDED))) {
            complaints.push(format!("{}: no access log in a group of this template under {VENDED}", api.id));
        }
        let routes: BTreeSet<_> = template.functions().flat_map(|function| routes(function, api.id)).collect();
        let listed: BTreeSet<_> = ROUTES.iter().map(|(function, route)| ((*function).to_owned(), (*route).to_owned())).collect();
        let differing = routes.symmetric_difference(&listed);
        complaints.extend(differing.map(|(function, route)| format!("{}: {route} of {function} is here or listed, not both", api.id)));
        let format = api.at("/AccessLogSettings/Format").as_str().unwrap_or_default();
        if serde_json::from_str::<Value>(format).is_err() || !format.contains("$context.routeKey") {
            complaints.push(format!("{}: the access log is not JSON with the route", api.id));
        }
        let personal = ["$context.identity", "$context.authorizer", "$context.path", "userAgent", "sourceIp"];
        let found = personal.iter().filter(|field| format.contains(**field));
        complaints.extend(found.map(|field| format!("{}: the access log holds {field}", api.id)));
        // SAM writes a path parameter without its schema, of which the import warns: a stack that fails on warnings is never created.
        // That the routes are there, which an import without warnings would show, `cargo xtask smoke` asks the API itself.
        if api.at("/FailOnWarnings") == true {
            complaints.push(format!("{}: FailOnWarnings is true", api.id));
        }
    }
    complaints
}

/// Request headers that a page may send: those of `docs/api/openapi.yaml`, an authorizer's, and the trace that every function reads.
pub const SENT_BY_PAGES: &[&str] = &["authorization", "content-type", "idempotency-key", "traceparent"];
/// Headers of an answer that a page may read: those of `docs/api/openapi.yaml`, and the id that API Gateway gives a request.
pub const READ_BY_PAGES: &[&str] = &["apigw-requestid", "idempotency-replayed", "location", "retry-after"];

/// A page of another site uses an API only where a parameter names the site, which is empty by itself; then it may use all of it. Never
/// with credentials: there is no cookie, and nothing that a browser would add to a request in its user's name.
pub fn apis_admit_pages_of_named_origins_alone(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for api in template.of_type("AWS::Serverless::HttpApi") {
        let [Branch { value: cors, only_if: Some((condition, true)) }] = branches(api.at("/CorsConfiguration"))[..] else {
            complaints.push(format!("{}: CorsConfiguration is not one under a condition", api.id));
            continue;
        };
        let parameter = &cors["AllowOrigins"]["Fn::Split"][1]["Ref"];
        if *template.at(&format!("/Conditions/{condition}")) != json!({"Fn::Not": [{"Fn::Equals": [{"Ref": parameter}, ""]}]}) {
            complaints.push(format!("{}: {condition} does not say that AllowOrigins has any", api.id));
        }
        if template.at("/Parameters")[parameter.as_str().unwrap_or_default()]["Default"] != "" {
            complaints.push(format!("{}: origins are allowed by default", api.id));
        }
        let methods: BTreeSet<_> = ROUTES.iter().filter_map(|(_, route)| route.split(' ').next()).collect();
        let expected = json!({
            "AllowOrigins": {"Fn::Split": [",", {"Ref": parameter}]}, "AllowMethods": methods,
            "AllowHeaders": SENT_BY_PAGES, "ExposeHeaders": READ_BY_PAGES, "MaxAge": cors["MaxAge"].as_u64(),
        });
        if *cors != expected {
            complaints.push(format!("{}: pages may do something else than {expected}", api.id));
        }
    }
    complaints
}

fn routes(function: Resource<'_>, api: &str) -> Vec<(String, String)> {
    let mine = entries(function.at("/Events")).filter(|(_, event)| event["Type"] == "HttpApi");
    let mine = mine.map(|(_, event)| &event["Properties"]).filter(|route| target(&route["ApiId"]) == Some(api));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    mine.map(|route| (function.id.to_owned(), text(&route["Method"]) + " " + &text(&route["Path"]))).collect()
}

/// Scheduled functions are listed here and have an alarm on errors: no caller waits for their answer.
pub fn schedules_are_listed_and_watched(template: &Template) -> Complaints {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut found = BTreeSet::new();
    let mut complaints = vec![];
    for function in template.functions() {
        for (name, event) in entries(function.at("/Events")).filter(|(_, event)| event["Type"] == "Schedule") {
            let schedule = &event["Properties"];
            found.insert((function.id.to_owned(), text(&schedule["Schedule"]), text(&schedule["Input"])));
            if text(&schedule["Description"]).len() < 10 {
                complaints.push(format!("{}: {name} has no Description", function.id));
            }
            if function.at("/Timeout").as_u64().is_none_or(|seconds| seconds < SCHEDULED_TIMEOUT_MIN) {
                complaints.push(format!("{}: Timeout is below {SCHEDULED_TIMEOUT_MIN}", function.id));
            }
            // Lambda drops what failed three times; alarms and digests go where people hear of them, and so does this.
            let failed = function.at("/EventInvokeConfig/DestinationConfig/OnFailure");
            if *failed != json!({ "Type": "SNS", "Destination": { "Ref": "AlertsTopic" } }) {
                complaints.push(format!("{}: what fails three times is dropped", function.id));
            }
            let errors = alarms_on_errors(template, function.id);
            // It comes too seldom for two data points.
            if !errors.iter().any(|alarm| above(alarm, "Sum", &json!(0), 300)) {
                complaints.push(format!("{}: no alarm on Errors of what a schedule invokes", function.id));
            }
            let invoked = json!({ "Name": "FunctionName", "Value": { "Ref": function.id } });
            let missed = alarms_on(template, ("AWS/Lambda", "Invocations"), invoked);
            let soon = |alarm: &Resource<'_>| {
                let late = alarm.at("/Period").as_u64().zip(every_seconds(&text(&schedule["Schedule"])));
                is_heartbeat(alarm) && late.is_some_and(|(period, every)| (every + 60..=every + LATE_SECONDS).contains(&period))
            };
            if !missed.iter().any(soon) {
                complaints.push(format!("{}: no alarm for a schedule that does not come", function.id));
            }
        }
    }
    let listed: BTreeSet<_> = SCHEDULES.iter().map(|(id, when, what)| ((*id).to_owned(), (*when).to_owned(), (*what).to_owned())).collect();
    complaints.extend(
        found.symmetric_difference(&listed).map(|(id, when, what)| format!("{id}: {when} with {what} is here or listed, not both")),
    );
    complaints
}

/// The seconds of `rate(15 minutes)`.
fn every_seconds(rate: &str) -> Option<u64> {
    let (number, unit) = rate.strip_prefix("rate(")?.strip_suffix(')')?.split_once(' ')?;
    let unit = if unit.starts_with("hour") { 3600 } else { 60 };
    Some(number.parse::<u64>().ok()? * unit)
}

/// The alarms on a metric of a thing, by its dimension.
fn alarms_on<'a>(template: &'a Template, metric: (&'static str, &'static str), dimension: Value) -> Vec<Resource<'a>> {
    let fits = move |alarm: &Resource<'_>| {
        alarm.at("/Namespace") == metric.0 && alarm.at("/MetricName") == metric.1 && *alarm.at("/Dimensions") == json!([dimension])
    };
    template.of_type("AWS::CloudWatch::Alarm").filter(fits).collect()
}

/// The alarms on a function's errors.
fn alarms_on_errors<'a>(template: &'a Template, function: &str) -> Vec<Resource<'a>> {
    alarms_on(template, ("AWS/Lambda", "Errors"), json!({ "Name": "FunctionName", "Value": { "Ref": function } }))
}

/// Whether an alarm fires when the metric was above `threshold` for a while, at most `within_seconds`.
fn above(alarm: &Resource<'_>, statistic: &str, threshold: &Value, within_seconds: u64) -> bool {
    let seconds = alarm.at("/Period").as_u64().zip(alarm.at("/EvaluationPeriods").as_u64()).map(|(period, times)| period * times);
    alarm.at("/Statistic") == statistic
        && alarm.at("/ComparisonOperator") == "GreaterThanThreshold"
        && alarm.at("/Threshold") == threshold
        && seconds.is_some_and(|seconds| (60..=within_seconds).contains(&seconds))
}

/// Whatever lies in a queue that no function reads is a matter for people, at once. A source is late when its oldest
/// message is; a delayed one (a clock) holds old messages by design, so it is late when what is due is not fetched, and
/// broken when a message is older than the parameter that should have ended it.
pub fn queues_are_watched(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for queue in template.queues() {
        let dimension = json!({ "Name": "QueueName", "Value": { "Fn::GetAtt": [queue.id, "QueueName"] } });
        let visible = alarms_on(template, ("AWS/SQS", "ApproximateNumberOfMessagesVisible"), dimension.clone());
        let age = alarms_on(template, ("AWS/SQS", "ApproximateAgeOfOldestMessage"), dimension);
        let watched = match (use_of(template, &queue), queue.at("/DelaySeconds").is_null()) {
            (Some(Use::Source), true) => age.iter().any(|alarm| {
                let threshold = alarm.at("/Threshold");
                threshold.as_u64().is_some_and(|seconds| (60..=LATE_SECONDS).contains(&seconds)) && above(alarm, "Maximum", threshold, 300)
            }),
            (Some(Use::Source), false) => {
                let by_parameter =
                    |alarm: &&Resource<'_>| target(alarm.at("/Threshold")).is_some() && exists(template, alarm.at("/Threshold"));
                visible.iter().any(|alarm| above(alarm, "Minimum", &json!(0), LATE_SECONDS))
                    && age.iter().filter(by_parameter).any(|alarm| above(alarm, "Maximum", alarm.at("/Threshold"), LATE_SECONDS))
            }
            _ => visible.iter().any(|alarm| above(alarm, "Maximum", &json!(0), 60)),
        };
        if !watched {
            complaints.push(format!("{}: no alarm for what lies in it too long", queue.id));
        }
    }
    complaints
}

/// A consumer answers for each record and never fails: an error is a crash or a timeout. SQS leaves what a Standard queue
/// has handed out three times out of its age, so long retries are counted from the log, for each consumer on its own: CloudWatch
/// tells of a change of state alone, and an alarm that is on already says nothing of a second consumer.
pub fn functions_and_apis_are_watched(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for source in template.sources() {
        let function = source.function;
        let errors = alarms_on_errors(template, function.id);
        let patient = |alarm: &Resource<'_>| above(alarm, "Sum", &json!(0), LATE_SECONDS) && alarm.at("/DatapointsToAlarm") == 2;
        if !errors.iter().any(patient) {
            complaints.push(format!("{}: no alarm on Errors", function.id));
        }
        let counted = template.of_type("AWS::Logs::MetricFilter").any(|filter| {
            target(filter.at("/LogGroupName")) == target(function.at("/LoggingConfig/LogGroup"))
                && filter.at("/FilterPattern") == "{ $.attempt >= 9 }"
                && filter.at("/MetricTransformations/0/MetricValue") == "1"
                && template.of_type("AWS::CloudWatch::Alarm").any(|alarm| {
                    ["MetricName", "Namespace"]
                        .iter()
                        .zip(["/MetricTransformations/0/MetricName", "/MetricTransformations/0/MetricNamespace"])
                        .all(|(of_alarm, of_filter)| {
                            alarm.at(&format!("/{of_alarm}")) == filter.at(of_filter) && !filter.at(of_filter).is_null()
                        })
                        && above(&alarm, "Sum", &json!(0), LATE_SECONDS)
                        && alarm.at("/DatapointsToAlarm") == 1
                })
                && template.of_type("AWS::Logs::MetricFilter").filter(|other| counts_alike(other, &filter)).count() == 1
        });
        if !counted {
            complaints.push(format!("{}: long retries are not counted, or raise no alarm of its own", function.id));
        }
    }
    // A command is four calls one after the other, each with its retries; and one that crashed answered its person nothing.
    for function in template.functions().filter(|function| COMMANDED.contains(&function.id)) {
        if function.at("/Timeout").as_u64().is_none_or(|seconds| seconds < SCHEDULED_TIMEOUT_MIN) {
            complaints.push(format!("{}: Timeout is below {SCHEDULED_TIMEOUT_MIN}", function.id));
        }
        if !alarms_on_errors(template, function.id).iter().any(|alarm| above(alarm, "Sum", &json!(0), 300)) {
            complaints.push(format!("{}: no alarm on Errors of what people command", function.id));
        }
    }
    for api in template.of_type("AWS::Serverless::HttpApi") {
        let errors = alarms_on(template, ("AWS/ApiGateway", "5xx"), json!({ "Name": "ApiId", "Value": { "Ref": api.id } }));
        if !errors.iter().any(|alarm| above(alarm, "Sum", &json!(5), 300)) {
            complaints.push(format!("{}: no alarm on 5xx", api.id));
        }
    }
    complaints
}

/// Whether two filters count into the same metric.
fn counts_alike(one: &Resource<'_>, other: &Resource<'_>) -> bool {
    one.at("/MetricTransformations/0/MetricName") == other.at("/MetricTransformations/0/MetricName")
}

/// What SNS can put nowhere at all is in no queue, and what Lambda throttles is in no log.
pub fn what_is_lost_or_throttled_is_watched(template: &Template) -> Complaints {
    let heard = |topic: &Resource<'_>| template.subscriptions().any(|it| target(it.at("/TopicArn")) == Some(topic.id));
    let mut complaints = vec![];
    for topic in template.of_type("AWS::SNS::Topic").filter(heard) {
        let dimension = json!({ "Name": "TopicName", "Value": { "Fn::GetAtt": [topic.id, "TopicName"] } });
        let lost = alarms_on(template, ("AWS/SNS", "NumberOfNotificationsFailedToRedriveToDlq"), dimension);
        if !lost.iter().any(|alarm| above(alarm, "Sum", &json!(0), 300)) {
            complaints.push(format!("{}: no alarm for what reaches no queue at all", topic.id));
        }
    }
    let throttled = template.of_type("AWS::CloudWatch::Alarm").any(|alarm| {
        alarm.at("/Namespace") == "AWS/Lambda"
            && alarm.at("/MetricName") == "Throttles"
            && alarm.at("/Dimensions").is_null()
            && alarm.at("/DatapointsToAlarm") == 2
            && above(&alarm, "Sum", &json!(0), LATE_SECONDS)
    });
    if !throttled {
        complaints.push("Throttles: no alarm".to_owned());
    }
    complaints
}

/// The outcome of mails is a metric, and a template that SES could not render an alarm: SES tells nobody else of it.
pub fn mails_are_counted(template: &Template) -> Complaints {
    let all = json!([{
        "MetricNamespace": { "Ref": "AWS::StackName" }, "MetricName": "MailEvents", "MetricValue": "1",
        "Dimensions": [{ "Key": "Event", "Value": "$.mail_event" }]
    }]);
    let failed = json!([{ "MetricNamespace": { "Ref": "AWS::StackName" }, "MetricName": "RenderingFailures", "MetricValue": "1" }]);
    let wanted = [(r#"{ $.mail_event = "*" }"#, all), (r#"{ $.mail_event = "rendering_failure" }"#, failed)];
    let mut complaints = vec![];
    for (pattern, metric) in wanted {
        let counts = |filter: &Resource<'_>| filter.at("/FilterPattern") == pattern && *filter.at("/MetricTransformations") == metric;
        if !template.of_type("AWS::Logs::MetricFilter").any(|filter| counts(&filter)) {
            complaints.push(format!("{pattern}: not counted"));
        }
    }
    let watched = template.of_type("AWS::CloudWatch::Alarm").any(|alarm| {
        let metric = alarm.at("/MetricName") == "RenderingFailures" && alarm.at("/Namespace")["Ref"] == "AWS::StackName";
        metric && above(&alarm, "Sum", &json!(0), LATE_SECONDS)
    });
    if !watched {
        complaints.push("RenderingFailures: no alarm".to_owned());
    }
    complaints
}

/// What was shipped and not collected waits for a person in the records: a sparse index finds it, the digest logs how many there are,
/// and the alarm on that number fires within half an hour and holds until the last is settled.
pub fn uncollected_payments_are_counted(template: &Template) -> Complaints {
    let mut complaints = vec![];
    let key = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
    let index = json!([{
        "IndexName": INDEX,
        "KeySchema": [key(UNSETTLED, "HASH"), key(UNCOLLECTED_AT, "RANGE")],
        "Projection": { "ProjectionType": "ALL" },
    }]);
    if template.resource("PaymentsTable").is_none_or(|table| *table.at("/GlobalSecondaryIndexes") != index) {
        complaints.push("PaymentsTable: no index of what is unsettled".to_owned());
    }
    let metric = json!([{ "MetricNamespace": { "Ref": "AWS::StackName" }, "MetricName": "Uncollected", "MetricValue": "$.uncollected" }]);
    let counted = template.of_type("AWS::Logs::MetricFilter").any(|filter| {
        target(filter.at("/LogGroupName")) == Some("DlqInspectorLogGroup")
            && filter.at("/FilterPattern") == "{ $.uncollected >= 0 }"
            && *filter.at("/MetricTransformations") == metric
    });
    if !counted {
        complaints.push("the digest's number of uncollected payments: not counted".to_owned());
    }
    let digest = template.resource("DlqInspectorFunction");
    let is_often = digest.is_some_and(|it| entries(it.at("/Events")).any(|(_, event)| event["Properties"]["Schedule"] == DIGEST_EVERY));
    let watched = template.of_type("AWS::CloudWatch::Alarm").any(|alarm| {
        let metric = alarm.at("/MetricName") == "Uncollected" && alarm.at("/Namespace")["Ref"] == "AWS::StackName";
        // Two periods, because a schedule is not exact, and one of them is enough.
        metric && above(&alarm, "Maximum", &json!(0), 2 * LATE_SECONDS) && alarm.at("/DatapointsToAlarm") == 1
    });
    if !watched || !is_often {
        complaints.push("Uncollected: no alarm within half an hour".to_owned());
    }
    complaints
}

/// A shipped order that waits for its money fails no message, so that payment's own line is all there is to see of it.
pub fn refused_captures_are_counted(template: &Template) -> Complaints {
    let pattern = "{ $.error_type = \"CaptureRefusedForNow\" }";
    if is_alarmed(template, "PaymentLogGroup", pattern, "CapturesRefusedForNow") {
        return vec![];
    }
    vec!["refused captures: not counted, or no alarm within a quarter of an hour".to_owned()]
}

/// A reply that is not forwarded fails no message. One sender alone rings no alarm: anybody could.
pub fn forwards_that_are_held_back_are_counted(template: &Template) -> Complaints {
    let pattern = "{ $.inbound = \"held_back\" && $.limit != \"sender\" }";
    if is_alarmed(template, "EmailInboundLogGroup", pattern, "ForwardsHeldBack") {
        return vec![];
    }
    vec!["forwards that are held back: not counted, or no alarm".to_owned()]
}

/// What people invoke by its name looks, and changes something where it is told that it was invoked by the alias for that: each is a
/// permission of its own. An alias of a version would stay behind when a new one is deployed.
pub fn to_look_and_to_change_are_two_permissions(template: &Template) -> Complaints {
    let wanted = ASKED.iter().flat_map(|function| Power::ALL.map(|power| (*function, power.alias())));
    let mut wanted: BTreeSet<_> = wanted.collect();
    let mut complaints = vec![];
    for alias in template.of_type("AWS::Lambda::Alias") {
        let function = target(alias.at("/FunctionName")).unwrap_or_default();
        let name = alias.at("/Name").as_str().unwrap_or_default();
        if !wanted.remove(&(function, name)) || alias.at("/FunctionVersion") != "$LATEST" {
            complaints.push(format!("{}: not the one alias to look, or to change, of a function that people command", alias.id));
        }
    }
    complaints.extend(wanted.into_iter().map(|(function, name)| format!("{function}: no alias `{name}`")));
    complaints
}

/// A mail that a limit holds back fails no message. That of one address rings no alarm: anybody could.
pub fn mails_that_are_held_back_are_counted(template: &Template) -> Complaints {
    let pattern = "{ $.mail = \"limited\" && $.limit = \"unpaid\" }";
    let mails = template.functions().filter(|function| !function.at("/Environment/Variables/UNPAID_MAILS_PER_HOUR").is_null());
    let log_groups = mails.filter_map(|function| template.referred(function.at("/LoggingConfig/LogGroup"), "AWS::Logs::LogGroup"));
    let silent = log_groups.filter(|group| !is_alarmed(template, group.id, pattern, "MailsLimited"));
    silent.map(|group| format!("{}: mails that are held back are not counted, or no alarm", group.id)).collect()
}

/// Whether each log line that fits `pattern` counts as one of the stack's `metric`, and the first raises an alarm in time.
fn is_alarmed(template: &Template, log_group: &str, pattern: &str, metric: &str) -> bool {
    let counts_one = json!([{ "MetricNamespace": { "Ref": "AWS::StackName" }, "MetricName": metric, "MetricValue": "1" }]);
    let counted = template.of_type("AWS::Logs::MetricFilter").any(|filter| {
        target(filter.at("/LogGroupName")) == Some(log_group)
            && filter.at("/FilterPattern") == pattern
            && *filter.at("/MetricTransformations") == counts_one
    });
    let watched = template.of_type("AWS::CloudWatch::Alarm").any(|alarm| {
        let is_it = alarm.at("/MetricName") == metric && alarm.at("/Namespace")["Ref"] == "AWS::StackName";
        is_it && above(&alarm, "Sum", &json!(0), LATE_SECONDS)
    });
    counted && watched
}

/// Whether an alarm fires when a function is not invoked.
fn is_heartbeat(alarm: &Resource<'_>) -> bool {
    alarm.at("/Namespace") == "AWS/Lambda"
        && alarm.at("/MetricName") == "Invocations"
        && alarm.at("/ComparisonOperator") == "LessThanThreshold"
        && alarm.at("/Threshold") == 1
        && alarm.at("/Statistic") == "Sum"
        && alarm.at("/EvaluationPeriods") == 1
        && alarm.at("/Period").is_u64()
}

/// An alarm that tells nobody, or whose topic refuses CloudWatch, is none. `NumberOfMessagesSent` misses what SQS itself
/// moves to a dead-letter queue; a silent metric is a quiet queue, not a broken one.
pub fn alarms_reach_the_operators(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for alarm in template.of_type("AWS::CloudWatch::Alarm") {
        let topics: Vec<_> = items(alarm.at("/AlarmActions")).filter_map(|topic| template.referred(topic, "AWS::SNS::Topic")).collect();
        let admitted = |topic: &Resource<'_>| {
            template.of_type("AWS::SNS::TopicPolicy").any(|policy| {
                items(policy.at("/Topics")).any(|it| target(it) == Some(topic.id))
                    && statements(policy.at("/PolicyDocument")).iter().any(|it| {
                        let service = it.value["Principal"]["Service"] == "cloudwatch.amazonaws.com";
                        service && it.value["Effect"] == "Allow" && texts(&it.value["Action"]).any(|action| action == "sns:Publish")
                    })
            })
        };
        if !topics.iter().any(admitted) {
            complaints.push(format!("{}: reaches no topic that admits CloudWatch", alarm.id));
        }
        // Silence is trouble of what comes by a schedule, and of nothing else.
        let quiet = if is_heartbeat(&alarm) { "breaching" } else { "notBreaching" };
        if alarm.at("/ActionsEnabled") == false || alarm.at("/TreatMissingData") != quiet {
            complaints.push(format!("{}: is off, or takes silence for trouble", alarm.id));
        }
        if alarm.at("/MetricName") == "NumberOfMessagesSent" {
            complaints.push(format!("{}: NumberOfMessagesSent misses what SQS moves itself", alarm.id));
        }
        if items(alarm.at("/Dimensions")).flat_map(|it| branches(&it["Value"])).any(|it| !exists(template, it.value)) {
            complaints.push(format!("{}: watches nothing of this template", alarm.id));
        }
    }
    // What SES itself says of the account's mail, in its own terms.
    let reputation = [("Reputation.BounceRate", json!(0.05)), ("Reputation.ComplaintRate", json!(0.001))];
    for (metric, threshold) in reputation {
        let watched = template.of_type("AWS::CloudWatch::Alarm").any(|alarm| {
            alarm.at("/Namespace") == "AWS/SES" && alarm.at("/MetricName") == metric && above(&alarm, "Maximum", &threshold, LATE_SECONDS)
        });
        if !watched {
            complaints.push(format!("{metric}: no alarm above {threshold}"));
        }
    }
    let mail = template.of_type("AWS::SNS::Subscription").filter(|it| it.at("/Protocol") != "sqs");
    for subscription in mail {
        let topic = template.referred(subscription.at("/TopicArn"), "AWS::SNS::Topic");
        let email = subscription.at("/Protocol") == "email" && exists(template, subscription.at("/Endpoint"));
        if !email || topic.is_none_or(|topic| topic.is_fifo()) || subscription.body["Condition"] != "HasAlertEmail" {
            complaints.push(format!("{}: only operators are mailed, by a topic that can mail, and if they want", subscription.id));
        }
    }
    complaints
}

/// Commands and tests find the stack by its outputs: a URL for each queue, a name for each table and bucket, an ARN for each topic
/// and secret.
pub fn outputs_name_what_others_need(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for resource in template.resources() {
        let suffix = match resource.kind() {
            "AWS::SQS::Queue" => "Url",
            "AWS::DynamoDB::Table" | "AWS::S3::Bucket" => "Name",
            "AWS::SNS::Topic" | "AWS::SecretsManager::Secret" => "Arn",
            _ => continue,
        };
        let output = format!("{}{suffix}", resource.id);
        if target(&template.at("/Outputs")[&output]["Value"]) != Some(resource.id) {
            complaints.push(format!("{output}: no such output of {}", resource.id));
        }
    }
    complaints
}
