//! What the first deployment of a stack must settle, as pure functions over what was found: each says that it is so, what is wrong
//! and which command to type, or why it cannot be told.

use super::aws::Refused;
use super::found::Found;
use super::permissions::dry_calls;
use super::policy::{Grant, allows};
use super::template::{Resource, entries, items, names_too_long, text_of};
use console::seed::chargeable;
use domain::command::Power;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Pass(String),
    Fail(Vec<Fault>),
    /// Why it was not checked.
    Skip(String),
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In one sentence.
    pub wrong: String,
    /// The command to type.
    pub command: String,
}

/// A check and its name.
pub type Check = (&'static str, fn(&Found) -> Outcome);

/// In the order in which an order travels; what they are about is asked for in one round before all of them.
pub const CHECKS: [Check; 22] = [
    ("stack", stack),
    ("names", names),
    ("routes", routes),
    ("throttles", throttles),
    ("CORS", cors),
    ("functions", functions),
    ("event sources", event_sources),
    ("concurrency", concurrency),
    ("subscriptions", subscriptions),
    ("deliveries", deliveries),
    ("Stripe key", stripe_key),
    ("prices", prices),
    ("aliases", aliases),
    ("time to live", time_to_live),
    ("alarms", alarms),
    ("alerts", alerts),
    ("mail", mail),
    ("mail domain", mail_domain),
    ("mail account", mail_account),
    ("mail events", mail_events),
    ("mail permissions", mail_permissions),
    ("mail received", mail_received),
];

/// What is Stripe's test key like, and its live one (<https://docs.stripe.com/keys>): secret keys and restricted ones.
const TEST_KEYS: [&str; 2] = ["sk_test_", "rk_test_"];
const LIVE_KEYS: [&str; 2] = ["sk_live_", "rk_live_"];

/// Faults as they are found, and what could not be looked at.
#[derive(Default)]
pub struct Judged {
    faults: Vec<Fault>,
    unseen: BTreeSet<String>,
    seen: usize,
}

impl Judged {
    pub fn fault(&mut self, wrong: impl Into<String>, command: impl Into<String>) {
        self.faults.push(Fault { wrong: wrong.into(), command: command.into() });
    }

    /// The answer about a thing, if there is one to judge. One that is not there is a fault.
    pub fn look<'a>(&mut self, found: &'a Found, operation: &str, about: &str, otherwise: &str) -> Option<&'a Value> {
        match found.answer(operation, about) {
            Some(Ok(answer)) => {
                self.seen += 1;
                Some(answer)
            }
            Some(Err(refused)) if refused.is_about_the_caller() => {
                self.unseen.insert(format!("you may not call {operation}"));
                None
            }
            Some(Err(Refused { code, message })) => {
                self.fault(format!("{about}: {code}, {message}"), otherwise);
                None
            }
            None => {
                self.unseen.insert(format!("{operation} was not asked about {about}"));
                None
            }
        }
    }

    pub fn outcome(self, pass: impl FnOnce(usize) -> String) -> Outcome {
        match (self.faults.is_empty(), self.unseen.into_iter().next()) {
            (false, _) => Outcome::Fail(self.faults),
            (true, Some(why)) => Outcome::Skip(why),
            (true, None) => Outcome::Pass(pass(self.seen)),
        }
    }
}

/// A check that finds one thing wrong.
pub fn one(wrong: impl Into<String>, command: impl Into<String>) -> Outcome {
    Outcome::Fail(vec![Fault { wrong: wrong.into(), command: command.into() }])
}

/// The command to type where the account is not what the template says. A change set is the difference of two templates, so
/// that a deployment leaves alone what was changed or deleted by hand
/// (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-stack-drift.html>).
fn deploy(found: &Found) -> String {
    if found.local {
        return "cargo xtask down; cargo xtask up".to_owned();
    }
    let detect = format!("aws cloudformation detect-stack-drift --stack-name {}{}", found.template.stack_name, found.flags);
    format!("{detect}  # take out of template.yaml what differs, sam deploy, put it in again, sam deploy")
}

// ── the stack ───────────────────────────────────────────────────────────────────────────────────────────────────────

fn stack(found: &Found) -> Outcome {
    let name = &found.template.stack_name;
    if !found.local && found.template.parameter("Stage") == "local" {
        return one(
            format!("{name} was deployed with Stage=local, which is for one machine: plain HTTP is let in"),
            "set Stage=dev in samconfig.toml, then: sam deploy",
        );
    }
    match found.status.as_str() {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS" | "IMPORT_COMPLETE" => {
            Outcome::Pass(format!("{name} is {}", found.status))
        }
        status => one(
            format!("{name} is {status}: the last deployment did not succeed"),
            format!("aws cloudformation describe-stack-events --stack-name {name}{}", found.flags),
        ),
    }
}

fn names(found: &Found) -> Outcome {
    let mut judged = Judged::default();
    let name = &found.template.stack_name;
    for (id, derived, most) in names_too_long(&found.template) {
        let over = derived.chars().count() - most;
        judged.fault(
            format!("{id} would be called {derived}, and may have {most} characters: the stack's name is {over} too long"),
            "shorten stack_name in samconfig.toml, then: sam deploy",
        );
    }
    judged.outcome(|_| format!("every name that derives from {name} fits"))
}

// ── HTTP API ────────────────────────────────────────────────────────────────────────────────────────────────────────

fn routes(found: &Found) -> Outcome {
    // Beside them a path may have parameters and extensions.
    const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];
    let mut judged = Judged::default();
    for api in found.template.of_type("AWS::ApiGatewayV2::Api") {
        let Some(answer) = judged.look(found, "get_routes", api.id, &deploy(found)) else { continue };
        let there: BTreeSet<_> = items(&answer["Items"]).map(|route| text_of(&route["RouteKey"])).collect();
        let body = api.property("Body");
        let said: BTreeSet<_> = entries(&body["paths"])
            .flat_map(|(path, item)| {
                METHODS.iter().filter(|it| item.get(**it).is_some()).map(move |it| format!("{} {path}", it.to_uppercase()))
            })
            .collect();
        for missing in said.difference(&there) {
            judged.fault(format!("the API has no route {missing}: API Gateway did not import it"), deploy(found));
        }
        for added in there.difference(&said) {
            judged.fault(format!("the API has a route {added} that the template does not have"), deploy(found));
        }
        judged.seen = said.len();
    }
    judged.outcome(|seen| format!("the API has the {seen} routes of the template"))
}

fn throttles(found: &Found) -> Outcome {
    const LIMITS: [&str; 2] = ["ThrottlingRateLimit", "ThrottlingBurstLimit"];
    let mut judged = Judged::default();
    let mut told = Vec::new();
    for stage in found.template.of_type("AWS::ApiGatewayV2::Stage") {
        let Some(answer) = judged.look(found, "get_stage", stage.id, &deploy(found)) else { continue };
        let routes = stage.property("RouteSettings");
        let default = stage.property("DefaultRouteSettings");
        let all = entries(&routes).map(|(route, said)| (route, said, &answer["RouteSettings"][route]));
        for (route, said, there) in all.chain([("every other route", &default, &answer["DefaultRouteSettings"])]) {
            let [expected, actual] = [said, there].map(|settings| LIMITS.map(|limit| number(&settings[limit])));
            told.push(format!("{route} {}", shown(&expected)));
            if expected != actual {
                judged.fault(
                    format!("{route} is throttled at {}, and the template says {} (a second / at once)", shown(&actual), shown(&expected)),
                    format!(
                        "aws apigatewayv2 update-stage --api-id {} --stage-name '{}' {}{}",
                        found.output("ApiId"),
                        text_of(&stage.property("StageName")),
                        if route.contains('/') {
                            format!("--route-settings '{}'", json!({ route: said }))
                        } else {
                            format!("--default-route-settings '{said}'")
                        },
                        found.flags
                    ),
                );
            }
        }
    }
    judged.outcome(|_| told.join(", "))
}

fn number(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "API Gateway has a rate as 7.0; a limit is a whole number")]
    value.as_f64().map(|number| number as i64)
}

fn shown(limits: &[Option<i64>; 2]) -> String {
    limits.map(|limit| limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())).join("/")
}

/// Which pages of other sites may use the API. The order of a list means nothing, nor does the case of a header's name
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html>).
fn cors(found: &Found) -> Outcome {
    let mut judged = Judged::default();
    let mut told = Vec::new();
    for api in found.template.of_type("AWS::ApiGatewayV2::Api") {
        let Some(answer) = judged.look(found, "get_api", api.id, &deploy(found)) else { continue };
        let wanted = cors_of(&api.property("Body")["x-amazon-apigateway-cors"]);
        let [said, there] = [&wanted, &answer["CorsConfiguration"]].map(settings);
        let origins = |of: &Settings| of.get("AllowOrigins").map_or_else(|| "no other site".to_owned(), listed);
        told.push(format!("pages of {} may use it", origins(&said)));
        let aws = |operation: &str| format!("aws apigatewayv2 {operation} --api-id {}", api.physical_id);
        if said.is_empty() && !there.is_empty() {
            judged.fault(
                format!("pages of {} may use the API in a browser, and the template admits none", origins(&there)),
                format!("{}{}", aws("delete-cors-configuration"), found.flags),
            );
        } else if said != there {
            judged.fault(differences(&said, &there), format!("{} --cors-configuration '{wanted}'{}", aws("update-api"), found.flags));
        }
    }
    judged.outcome(|_| told.join(", "))
}

/// What CORS is set to, by API Gateway's names: each value as a list in lower case. What is off is left out.
type Settings = BTreeMap<String, BTreeSet<String>>;

fn settings(cors: &Value) -> Settings {
    let values = |value| items(value).map(|it| text_of(it).to_lowercase()).collect::<BTreeSet<_>>();
    let all = entries(cors).map(|(name, value)| (name.to_owned(), values(value)));
    all.filter(|(_, values)| values.iter().any(|value| value != "false")).collect()
}

/// The template's CORS by the names of API Gateway's own API, which begin with a capital
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-import.html>).
fn cors_of(body: &Value) -> Value {
    entries(body).map(|(name, value)| (format!("{}{}", name[..1].to_uppercase(), &name[1..]), value.clone())).collect()
}

fn differences(said: &Settings, there: &Settings) -> String {
    let names: BTreeSet<_> = said.keys().chain(there.keys()).filter(|name| said.get(*name) != there.get(*name)).collect();
    let of = |settings: &Settings, name| settings.get(name).map_or_else(|| "nothing".to_owned(), listed);
    let each = names.into_iter().map(|name| format!("{name} is {}, and the template says {}", of(there, name), of(said, name)));
    format!("CORS: {}", each.collect::<Vec<_>>().join("; "))
}

fn listed(values: &BTreeSet<String>) -> String {
    values.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

// ── functions and queues ────────────────────────────────────────────────────────────────────────────────────────────

fn functions(found: &Found) -> Outcome {
    let mut judged = Judged::default();
    for function in found.template.of_type("AWS::Lambda::Function") {
        let Some(answer) = judged.look(found, "get_function_configuration", function.id, &deploy(found)) else { continue };
        let [state, update] = ["State", "LastUpdateStatus"].map(|name| answer[name].as_str().unwrap_or("unknown"));
        // A function that nobody invokes for weeks is Inactive, and wakes up by itself
        // (https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html).
        if state == "Failed" || update == "Failed" {
            let why = answer["StateReason"].as_str().or(answer["LastUpdateStatusReason"].as_str()).unwrap_or("without a reason");
            judged.fault(
                format!("{} is {state}, its last update {update}: {why}", function.id),
                format!("aws lambda get-function-configuration --function-name {}{}", function.physical_id, found.flags),
            );
        }
    }
    judged.outcome(|seen| format!("{seen} can be invoked"))
}

fn event_sources(found: &Found) -> Outcome {
    let mut judged = Judged::default();
    for mapping in found.template.of_type("AWS::Lambda::EventSourceMapping") {
        let update = format!("aws lambda update-event-source-mapping --uuid {}", mapping.physical_id);
        let Some(answer) = judged.look(found, "get_event_source_mapping", mapping.id, &deploy(found)) else { continue };
        let state = answer["State"].as_str().unwrap_or("unknown");
        // As CloudFormation left it: Creating and Updating pass by themselves.
        if !["Enabled", "Enabling", "Creating", "Updating"].contains(&state) {
            judged.fault(format!("{} is {state}: its queue is not consumed", mapping.id), format!("{update} --enabled{}", found.flags));
        }
        if answer["FunctionResponseTypes"] != mapping.property("FunctionResponseTypes") {
            judged.fault(
                format!("{} does not report failures one by one: one bad message brings back its whole batch", mapping.id),
                format!("{update} --function-response-types ReportBatchItemFailures{}", found.flags),
            );
        }
        let [said, there] =
            [&mapping.property("ScalingConfig"), &answer["ScalingConfig"]].map(|config| number(&config["MaximumConcurrency"]));
        if said.is_some() && there.is_some() && said != there {
            judged.fault(
                format!(
                    "{} runs at most {} at once, and the template says {}",
                    mapping.id,
                    there.unwrap_or_default(),
                    said.unwrap_or_default()
                ),
                format!("{update} --scaling-config MaximumConcurrency={}{}", said.unwrap_or_default(), found.flags),
            );
        }
    }
    judged.outcome(|seen| format!("{seen} are enabled, bounded as the template says, and report failures one by one"))
}

/// A mapping's MaximumConcurrency reserves nothing: the account's limit has room for all of them together, and for the functions
/// behind the API, or messages are throttled and come back late, and customers get 503
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html>). A new account may have a limit of ten
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
fn concurrency(found: &Found) -> Outcome {
    let mut judged = Judged::default();
    let mappings = found.template.of_type("AWS::Lambda::EventSourceMapping");
    let sum: i64 = mappings.iter().filter_map(|mapping| number(&mapping.property("ScalingConfig")["MaximumConcurrency"])).sum();
    let Some(answer) = judged.look(found, "get_account_settings", "account", "") else {
        return judged.outcome(|_| String::new());
    };
    let limit = number(&answer["AccountLimit"]["UnreservedConcurrentExecutions"]).unwrap_or_default();
    if sum >= limit {
        judged.fault(
            format!(
                "the queues' functions may run {sum} at once together, and the account has {limit} for everything: no room for the API's"
            ),
            format!(
                "aws service-quotas request-service-quota-increase --service-code lambda --quota-code L-B99A9384 --desired-value 1000{}",
                found.flags
            ),
        );
    }
    judged.outcome(|_| format!("{sum} at once at most by queues, of the account's {limit}"))
}

fn subscriptions(found: &Found) -> Outcome {
    let mut judged = Judged::default();
    for it in queue_subscriptions(found) {
        let Some(answer) = judged.look(found, "get_subscription_attributes", it.id, &deploy(found)) else { continue };
        let there = &answer["Attributes"];
        let set = |name: &str, value: &str| {
            let arn = it.physical_id;
            format!(
                "aws sns set-subscription-attributes --subscription-arn {arn} --attribute-name {name} --attribute-value '{value}'{}",
                found.flags
            )
        };
        if text_of(&there["RawMessageDelivery"]) != "true" {
            judged.fault(
                format!("{} wraps its messages: raw delivery is off, and its function reads none", it.id),
                set("RawMessageDelivery", "true"),
            );
        }
        let (said, actual) = (it.property("FilterPolicy"), document(&there["FilterPolicy"]));
        if said != actual {
            judged.fault(format!("{} lets through {actual}, and the template says {said}", it.id), set("FilterPolicy", &text_of(&said)));
        }
        let scope = it.property("FilterPolicyScope");
        if scope.is_string() && there["FilterPolicyScope"] != scope {
            judged.fault(
                format!("{} filters by {}, and the template says {}", it.id, text_of(&there["FilterPolicyScope"]), text_of(&scope)),
                set("FilterPolicyScope", &text_of(&scope)),
            );
        }
        let said = it.property("RedrivePolicy");
        if document(&there["RedrivePolicy"])["deadLetterTargetArn"] != said["deadLetterTargetArn"] {
            judged.fault(
                format!("{} has no dead-letter queue: what SNS cannot deliver is lost", it.id),
                set("RedrivePolicy", &said.to_string()),
            );
        }
    }
    judged.outcome(|seen| format!("{seen} deliver raw, by the template's filters, with a dead-letter queue"))
}

/// Whether what one service hands to the next is let in: SNS by the queues, SES and CloudWatch by the topics.
fn deliveries(found: &Found) -> Outcome {
    let mut judged = Judged::default();
    let account = found.template.account();
    for it in queue_subscriptions(found) {
        let topic = text_of(&it.property("TopicArn"));
        let redrive = it.property("RedrivePolicy");
        for arn in [&it.property("Endpoint"), &redrive["deadLetterTargetArn"]] {
            let Some(queue) = queue_of(found, arn) else { continue };
            let Some(answer) = judged.look(found, "get_queue_attributes", queue.id, &deploy(found)) else { continue };
            let grant = Grant { service: "sns.amazonaws.com", action: "sqs:SendMessage", source_arn: Some(&topic), account };
            if !allows(&document(&answer["Attributes"]["Policy"]), &grant) {
                judged.fault(
                    format!("the policy of {} does not let SNS send from {}: {} delivers nothing", queue.id, name_of(&topic), it.id),
                    format!(
                        "aws sqs get-queue-attributes --queue-url {} --attribute-names Policy{}  # then: {}",
                        queue.physical_id,
                        found.flags,
                        deploy(found)
                    ),
                );
            }
        }
    }
    let set_arn = |set: &str| found.template.arn("ses", true, &format!("configuration-set/{set}"));
    let destinations = found.template.of_type("AWS::SES::ConfigurationSetEventDestination");
    let mailed = destinations.iter().map(|it| {
        let topic = it.property("EventDestination")["SnsDestination"]["TopicARN"].clone();
        (text_of(&topic), "ses.amazonaws.com", Some(set_arn(&text_of(&it.property("ConfigurationSetName")))))
    });
    let alerts = found.template.resource("AlertsTopic");
    let alerted = alerts.into_iter().map(|it| (it.physical_id.to_owned(), "cloudwatch.amazonaws.com", None));
    for (arn, service, source) in mailed.chain(alerted).collect::<Vec<_>>() {
        let topics = found.template.of_type("AWS::SNS::Topic");
        let Some(topic) = topics.iter().find(|topic| topic.physical_id == arn) else { continue };
        let Some(answer) = judged.look(found, "get_topic_attributes", topic.id, &deploy(found)) else { continue };
        let grant = Grant { service, action: "sns:Publish", source_arn: source.as_deref(), account };
        if !allows(&document(&answer["Attributes"]["Policy"]), &grant) {
            judged.fault(
                format!("the policy of {} does not let {service} publish: it hears nothing", topic.id),
                format!("aws sns get-topic-attributes --topic-arn {arn}{}  # then: {}", found.flags, deploy(found)),
            );
        }
    }
    judged.outcome(|_| "SNS may send to every queue, SES and CloudWatch may publish".to_owned())
}

fn queue_subscriptions(found: &Found) -> Vec<Resource<'_>> {
    found.template.of_type("AWS::SNS::Subscription").into_iter().filter(|it| it.property("Protocol") == "sqs").collect()
}

fn queue_of<'a>(found: &'a Found, arn: &Value) -> Option<Resource<'a>> {
    let name = name_of(arn.as_str()?).to_owned();
    found.template.of_type("AWS::SQS::Queue").into_iter().find(|queue| queue.physical_id.rsplit('/').next() == Some(&name))
}

// ── what people set ─────────────────────────────────────────────────────────────────────────────────────────────────

/// What kind of key the provider's secret holds. Never the key itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Test,
    Live,
    /// None of Stripe's: what somebody typed to have something there.
    Other,
}

/// The provider's key as far as the caller may know; [`None`] where not.
pub fn key(found: &Found) -> Option<Key> {
    let secret = found.answer("get_secret_value", "StripeKeySecret")?.as_ref().ok()?;
    let text = secret["SecretString"].as_str().unwrap_or_default().trim();
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| text.starts_with(beginning) && text.len() > beginning.len());
    Some(match (begins(&TEST_KEYS), begins(&LIVE_KEYS)) {
        (true, _) => Key::Test,
        (_, true) => Key::Live,
        _ => Key::Other,
    })
}

fn stripe_key(found: &Found) -> Outcome {
    let put = format!(
        "aws secretsmanager put-secret-value --secret-id {} --secret-string \"$STRIPE_TEST_KEY\"{}",
        found.output("StripeKeySecretArn"),
        found.flags
    );
    let mut judged = Judged::default();
    // A secret without a value is not found, as one that is gone.
    if let Some(Err(refused)) = found.answer("get_secret_value", "StripeKeySecret")
        && refused.code.contains("ResourceNotFound")
    {
        return one("no Stripe key is set: payments wait in their queue", put);
    }
    judged.look(found, "get_secret_value", "StripeKeySecret", &put);
    let is_prod = found.template.parameter("Stage") == "prod";
    match key(found) {
        None => {}
        Some(Key::Other) => {
            judged.fault("the Stripe key is none of Stripe's secret keys, which begin sk_test_ or sk_live_: every payment fails", put)
        }
        Some(Key::Live) if !is_prod => {
            judged.fault(format!("a live Stripe key is set on stage {}: orders here charge cards", found.template.parameter("Stage")), put);
        }
        Some(Key::Test) if is_prod => judged.fault("a test key is set on stage prod: nobody is charged", put),
        Some(_) => {}
    }
    judged.outcome(|_| if is_prod { "a live key is set" } else { "a test key is set" }.to_owned())
}

/// Whether the catalogue's prices can be charged. An order of one that cannot is refused, and a row that order-intake cannot read is
/// 503 to everybody who orders it.
fn prices(found: &Found) -> Outcome {
    let mut judged = Judged::default();
    let Some(table) = found.template.resource("CatalogueTable") else { return one("there is no catalogue", deploy(found)) };
    let Some(answer) = judged.look(found, "scan", table.id, &deploy(found)) else { return judged.outcome(|_| String::new()) };
    let rows: Vec<_> = items(&answer["Items"]).collect();
    for row in &rows {
        let text = |name: &str, kind: &str| row[name][kind].as_str().unwrap_or_default();
        let (sku, currency) = (text("sku", "S"), text("currency", "S"));
        let price = text("unit_price_minor", "N").parse().map_err(|_| "the price is no whole number of minor units".to_owned());
        if let Err(why) = price.and_then(|price| chargeable(sku, price, currency)) {
            judged.fault(format!("{sku} cannot be ordered: {why}"), look_at_price(found, table.physical_id, sku));
        }
    }
    let more = if answer.get("LastEvaluatedKey").is_some() { ", and the others were not read" } else { "" };
    judged.outcome(|_| match rows.len() {
        0 => "the catalogue is empty".to_owned(),
        1 => format!("the one that was read can be charged{more}"),
        count => format!("{count} can be charged{more}"),
    })
}

fn look_at_price(found: &Found, table: &str, sku: &str) -> String {
    if found.local {
        return format!("cargo xtask catalogue {sku} --price-minor …");
    }
    let key = json!({"sku": {"S": sku}});
    format!("aws dynamodb get-item --table-name {table} --key '{key}'{}  # put it again, as README.md shows", found.flags)
}

fn aliases(found: &Found) -> Outcome {
    let mut judged = Judged::default();
    for alias in found.template.of_type("AWS::Lambda::Alias") {
        let name = text_of(&alias.property("Name"));
        if judged.look(found, "get_alias", alias.id, &deploy(found)).is_none() {
            continue;
        }
        let Some(answer) = judged.look(found, "invoke", alias.id, &deploy(found)) else { continue };
        let function = text_of(&alias.property("FunctionName"));
        let logs = format!(
            "aws logs tail --since 5m $(aws lambda get-function-configuration --function-name {function} --query LoggingConfig.LogGroup --output text{0}){0}",
            found.flags
        );
        let refused = answer["Payload"]["refused"]["error"].as_str();
        match (name == Power::Look.alias(), refused == Some("MayOnlyLook")) {
            _ if answer.get("FunctionError").is_some() => {
                judged.fault(format!("{} fails: {}", alias.id, text_of(&answer["Payload"]["errorMessage"])), logs);
            }
            (true, false) => {
                judged.fault(format!("{} does not refuse to change something: it is not told which alias was invoked", alias.id), logs)
            }
            (false, true) => judged.fault(format!("{} only looks: it is not told which alias was invoked", alias.id), logs),
            _ => {}
        }
    }
    judged.outcome(|seen| format!("{} answer, and know whether they may change something", seen / 2))
}

fn time_to_live(found: &Found) -> Outcome {
    let mut judged = Judged::default();
    for table in
        found.template.of_type("AWS::DynamoDB::Table").into_iter().filter(|it| it.properties.get("TimeToLiveSpecification").is_some())
    {
        let attribute = text_of(&table.property("TimeToLiveSpecification")["AttributeName"]);
        let Some(answer) = judged.look(found, "describe_time_to_live", table.id, &deploy(found)) else { continue };
        let there = &answer["TimeToLiveDescription"];
        let is_on =
            there["TimeToLiveStatus"].as_str().is_some_and(|status| status.starts_with("ENABL")) && there["AttributeName"] == *attribute;
        if !is_on {
            judged.fault(
                format!("{} keeps its rows for ever: time to live is {} on {attribute}", table.id, text_of(&there["TimeToLiveStatus"])),
                format!(
                    "aws dynamodb update-time-to-live --table-name {} --time-to-live-specification Enabled=true,AttributeName={attribute}{}",
                    table.physical_id, found.flags
                ),
            );
        }
    }
    judged.outcome(|seen| format!("on, for {seen} {}", if seen == 1 { "table" } else { "tables" }))
}

// ── alarms ──────────────────────────────────────────────────────────────────────────────────────────────────────────

fn alarms(found: &Found) -> Outcome {
    let mut judged = Judged::default();
    let alarms = found.template.of_type("AWS::CloudWatch::Alarm");
    let pages: BTreeSet<_> = found.answers.keys().filter(|(operation, _)| operation == "describe_alarms").map(|(_, page)| page).collect();
    let mut there = BTreeMap::new();
    for page in pages {
        let Some(answer) = judged.look(found, "describe_alarms", page, &deploy(found)) else { return judged.outcome(|_| String::new()) };
        there.extend(items(&answer["MetricAlarms"]).map(|alarm| (text_of(&alarm["AlarmName"]), alarm.clone())));
    }
    for alarm in &alarms {
        let Some(seen) = there.get(alarm.physical_id) else {
            judged.fault(format!("{} is gone", alarm.id), deploy(found));
            continue;
        };
        if seen["StateValue"] == "ALARM" {
            judged.fault(
                format!("{} is in ALARM: {}", alarm.id, text_of(&alarm.property("AlarmDescription"))),
                format!("aws cloudwatch describe-alarms --alarm-names {}{}  # and docs/operations.md", alarm.physical_id, found.flags),
            );
        }
        if seen["ActionsEnabled"] == false {
            judged.fault(
                format!("{} reaches nobody: its actions are disabled", alarm.id),
                format!("aws cloudwatch enable-alarm-actions --alarm-names {}{}", alarm.physical_id, found.flags),
            );
        }
    }
    judged.outcome(|_| format!("{} are there, and none is in ALARM", alarms.len()))
}

fn alerts(found: &Found) -> Outcome {
    let mut judged = Judged::default();
    let Some(topic) = found.template.resource("AlertsTopic") else { return one("there is no topic for alarms", deploy(found)) };
    let Some(answer) = judged.look(found, "list_subscriptions_by_topic", topic.id, &deploy(found)) else {
        return judged.outcome(|_| String::new());
    };
    let all: Vec<_> = items(&answer["Subscriptions"]).collect();
    let confirmed = all.iter().filter(|it| text_of(&it["SubscriptionArn"]).starts_with("arn:")).count();
    let subscribe =
        format!("aws sns subscribe --topic-arn {} --protocol email --notification-endpoint ADDRESS{}", topic.physical_id, found.flags);
    let nobody_asked = found.template.parameter("AlertEmail").is_empty() && all.is_empty();
    match (confirmed, all.len()) {
        (0, 0) if nobody_asked && found.template.parameter("Stage") != "prod" => {
            return Outcome::Skip("AlertEmail is empty: alarms reach nobody".to_owned());
        }
        (0, 0) => judged.fault("alarms reach nobody: set AlertEmail in samconfig.toml", subscribe),
        (0, _) => judged.fault("no subscription to alarms is confirmed: open the mail that SNS sent, or have it sent again", subscribe),
        _ => {}
    }
    judged.outcome(|_| format!("{confirmed} confirmed {}", if confirmed == 1 { "subscription hears" } else { "subscriptions hear" }))
}

// ── mail ────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Why nothing of mail is checked.
fn without_mail(found: &Found) -> Option<Outcome> {
    (!found.has_mail()).then(|| Outcome::Skip("this stack has no MailDomain".to_owned()))
}

fn mail(found: &Found) -> Outcome {
    without_mail(found).unwrap_or_else(|| Outcome::Pass(format!("from {}", found.template.parameter("MailDomain"))))
}

fn mail_domain(found: &Found) -> Outcome {
    if let Some(skip) = without_mail(found) {
        return skip;
    }
    let mut judged = Judged::default();
    let domain = found.template.parameter("MailDomain");
    let look = format!("aws sesv2 get-email-identity --email-identity {domain}{}  # docs/email.md has the records", found.flags);
    let Some(answer) = judged.look(found, "get_email_identity", "domain", &look) else { return judged.outcome(|_| String::new()) };
    if found.local {
        return Outcome::Skip("the local engine verifies no domain".to_owned());
    }
    if answer["VerifiedForSendingStatus"] != true {
        let status = answer["DkimAttributes"]["Status"].as_str().unwrap_or("unknown");
        judged.fault(format!("{domain} is not verified (DKIM {status}): SES refuses to send until its records are in DNS"), look.clone());
    }
    let mail_from = &answer["MailFromAttributes"];
    if mail_from["MailFromDomain"].as_str().is_some_and(|domain| !domain.is_empty()) && mail_from["MailFromDomainStatus"] != "SUCCESS" {
        let [domain, status] = ["MailFromDomain", "MailFromDomainStatus"].map(|name| text_of(&mail_from[name]));
        judged.fault(format!("{domain} is {status}: mail goes out under the name of SES, and SPF does not align"), look);
    }
    judged.outcome(|_| format!("{domain} is verified"))
}

fn mail_account(found: &Found) -> Outcome {
    if let Some(skip) = without_mail(found) {
        return skip;
    }
    let mut judged = Judged::default();
    let look = format!("aws sesv2 get-account{}", found.flags);
    let Some(answer) = judged.look(found, "get_account", "account", &look) else { return judged.outcome(|_| String::new()) };
    if answer["SendingEnabled"] != true || answer["EnforcementStatus"] == "SHUTDOWN" {
        judged.fault(format!("SES has paused the account's sending (it is {})", text_of(&answer["EnforcementStatus"])), look);
    } else if answer["ProductionAccessEnabled"] != true {
        let what = "the account is in the sandbox: SES mails verified addresses and its simulator alone";
        if found.template.parameter("Stage") != "prod" {
            return Outcome::Skip(format!("{what}; docs/email.md says how to leave it"));
        }
        judged.fault(what, format!("aws sesv2 put-account-details --production-access-enabled …{}  # docs/email.md", found.flags));
    }
    judged.outcome(|_| "may send, and is out of the sandbox".to_owned())
}

fn mail_events(found: &Found) -> Outcome {
    if let Some(skip) = without_mail(found) {
        return skip;
    }
    let mut judged = Judged::default();
    for it in found.template.of_type("AWS::SES::ConfigurationSetEventDestination") {
        let set = text_of(&it.property("ConfigurationSetName"));
        let said = it.property("EventDestination");
        let name = text_of(&said["Name"]);
        let Some(answer) = judged.look(found, "get_configuration_set_event_destinations", &set, &deploy(found)) else { continue };
        let types: Vec<_> = items(&said["MatchingEventTypes"]).map(|kind| upper(&text_of(kind))).collect();
        let whole =
            json!({"Enabled": true, "MatchingEventTypes": types, "SnsDestination": {"TopicArn": said["SnsDestination"]["TopicARN"]}});
        let update = format!(
            "aws sesv2 update-configuration-set-event-destination --configuration-set-name {set} --event-destination-name {name} \
             --event-destination '{whole}'{}",
            found.flags
        );
        let Some(there) = items(&answer["EventDestinations"]).find(|destination| destination["Name"] == *name) else {
            judged.fault(format!("{} is gone: of mails under {set} nothing is heard, no bounce and no complaint", it.id), deploy(found));
            continue;
        };
        if there["Enabled"] != true {
            judged
                .fault(format!("{} is disabled: of mails under {set} nothing is heard, no bounce and no complaint", it.id), update.clone());
        }
        let [here, topic] = [&there["SnsDestination"]["TopicArn"], &said["SnsDestination"]["TopicARN"]].map(text_of);
        if here != topic {
            judged.fault(format!("{} tells {here}, and the template says {topic}", it.id), deploy(found));
        }
        let missing: Vec<_> = event_types(&said).difference(&event_types(there)).cloned().collect();
        if !missing.is_empty() {
            judged.fault(format!("{} does not tell of {}", it.id, missing.join(", ")), update);
        }
    }
    judged.outcome(|seen| format!("{seen} event destinations are enabled, and tell the template's events"))
}

fn event_types(destination: &Value) -> BTreeSet<String> {
    items(&destination["MatchingEventTypes"]).map(|kind| upper(&text_of(kind))).collect()
}

/// `renderingFailure` in a template is `RENDERING_FAILURE` in the API.
fn upper(kind: &str) -> String {
    if kind.contains('_') {
        return kind.to_owned();
    }
    let mut upper = String::new();
    let mut after_small = false;
    for c in kind.chars() {
        if c.is_ascii_uppercase() && after_small {
            upper.push('_');
        }
        after_small = c.is_ascii_lowercase();
        upper.push(c.to_ascii_uppercase());
    }
    upper
}

fn mail_permissions(found: &Found) -> Outcome {
    if let Some(skip) = without_mail(found) {
        return skip;
    }
    let mut judged = Judged::default();
    let calls = dry_calls(&found.template);
    for call in &calls {
        let Some(answer) = judged.look(found, "simulate_principal_policy", &call.name(), &deploy(found)) else { continue };
        for result in items(&answer["EvaluationResults"]).filter(|result| result["EvalDecision"] != "allowed") {
            let [action, resource] = ["EvalActionName", "EvalResourceName"].map(|name| text_of(&result[name]));
            judged.fault(
                format!("{} may not {action} on {resource} ({})", call.role, text_of(&result["EvalDecision"])),
                format!(
                    "aws iam get-role --role-name {}{}  # a permissions boundary? a policy of the organization?",
                    physical(found, &call.role),
                    found.flags
                ),
            );
        }
    }
    if calls.is_empty() {
        judged.fault("no role may send mail, and the stack has a MailDomain", deploy(found));
    }
    judged.outcome(|seen| format!("{seen} roles may send, by a dry call of each"))
}

fn physical<'a>(found: &'a Found, id: &str) -> &'a str {
    found.template.resource(id).map_or("", |it| it.physical_id)
}

fn mail_received(found: &Found) -> Outcome {
    if let Some(skip) = without_mail(found) {
        return skip;
    }
    let sets = found.template.of_type("AWS::SES::ReceiptRuleSet");
    let Some(set) = sets.first() else { return Outcome::Skip("this stack has no receipt rule set".to_owned()) };
    let mut judged = Judged::default();
    let activate = format!("aws ses set-active-receipt-rule-set --rule-set-name {}{}", set.physical_id, found.flags);
    let Some(answer) = judged.look(found, "describe_active_receipt_rule_set", "active", &activate) else {
        return judged.outcome(|_| String::new());
    };
    match answer["Metadata"]["Name"].as_str() {
        Some(name) if name == set.physical_id => {}
        Some(other) => {
            judged.fault(format!("the rule set {other} is active, and an account has one: no reply reaches this stack"), activate)
        }
        None => judged.fault("no rule set is active: no reply reaches this stack", activate),
    }
    judged.outcome(|_| "the rule set is active".to_owned())
}

// ── values ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/// JSON that AWS hands over as text; `null` where it is none.
fn document(text: &Value) -> Value {
    text.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// The last part of an ARN.
fn name_of(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}
