//! What can go wrong with a function: derived from its role and its event sources, so that the template says what is drilled.

use crate::cloud::{InjectedFault, Operations, StubAnswer};
use anyhow::{Result, bail};
use bench::aws::Service;
use serde_json::json;
use template::{Resource, Template, branches, entries, items, statements, target, texts};

/// One way to fail.
#[derive(Debug, Clone)]
pub struct Fault {
    /// How the table calls it.
    pub name: String,
    /// What happens.
    pub kind: Kind,
    /// A key that nothing can be encrypted with during that time, an alarm neither.
    pub breaks: Option<String>,
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Calls fail.
    Calls(Vec<InjectedFault>),
    /// The same, where what is wrong is with an order and not with the function, which does its work.
    Order(Vec<InjectedFault>),
    /// Calls fail, for a message that cannot be read.
    Poison(Vec<InjectedFault>),
    /// Every process ends before it is ready.
    DiesAtStart,
    /// Every invocation runs into the function's time-out.
    RunsOutOfTime,
    /// Lambda has no concurrency left for it.
    Throttled,
    /// Its event source mapping is disabled, or its schedule.
    Paused,
    /// Lambda may not receive from its queue.
    CannotReceive,
    /// Lambda may not delete from its queue.
    CannotDelete,
    /// SNS may not put messages into its queue.
    NotDelivered,
    /// The same, and not into the queue for what cannot be delivered either.
    NotDeliveredNorKept,
}

/// The permissions that no failure mode is made of, and why.
pub const NOT_DRILLED: [(&str, &str); 2] = [
    ("logs:", "the function works on, unheard; another failure then shows by its queue, its errors or its answers, or not at all"),
    ("s3:ListBucket", "it only makes S3 say that an object is missing, and not that it may not be read"),
];

/// All that can go wrong with a function.
///
/// # Errors
/// Its role names an action of which the drill does not know what it is for.
pub fn faults(template: &Template, function: &Resource<'_>) -> Result<Vec<Fault>> {
    let dies = |name: &str, kind: Kind| Fault { name: name.to_owned(), kind, breaks: None };
    if entries(function.at("/Events")).next().is_none() {
        // It carries out what people command, and they see its answer.
        return Ok(vec![dies("the process dies at start", Kind::DiesAtStart), dies("every invocation times out", Kind::RunsOutOfTime)]);
    }
    let mut faults = permissions(template, function)?;
    let queued = template.sources().find(|source| source.function.id == function.id);
    let mut add = |name: &str, kind: Kind| faults.push(Fault { name: name.to_owned(), kind, breaks: None });
    add("the process dies at start", Kind::DiesAtStart);
    add("every invocation times out", Kind::RunsOutOfTime);
    add("Lambda throttles the function", Kind::Throttled);
    let calls = |service, operations, answer| InjectedFault { service, operations, about: String::new(), answer };
    for service in services(template, function)? {
        let (name, code) = match service {
            Service::DynamoDb => ("the tables", "InternalServerError"),
            Service::Sns => ("the topic", "InternalError"),
            Service::SecretsManager => ("Secrets Manager", "InternalServiceError"),
            Service::Ses => ("SES", "InternalFailure"),
            Service::S3 => ("S3", "InternalError"),
            Service::Stripe => ("the payment provider", ""),
            Service::CloudFormation => ("CloudFormation", "InternalFailure"),
            Service::CloudWatchLogs => ("CloudWatch Logs", "InternalFailure"),
            Service::Sqs => continue,
        };
        let mut down = |what: &str, answer| add(&format!("{name} {what}"), Kind::Calls(vec![calls(service, Operations::All, answer)]));
        down("time out", StubAnswer::Silent);
        down("refuse connections", StubAnswer::Unreachable);
        if service == Service::Stripe {
            down("answer 503", StubAnswer::Says(503, r#"{"error":{"type":"api_error","message":"down"}}"#));
            down("refuse the key", StubAnswer::Says(401, r#"{"error":{"type":"invalid_request_error","message":"Invalid API Key"}}"#));
            down("limit the rate", StubAnswer::Says(429, r#"{"error":{"type":"invalid_request_error","code":"rate_limit"}}"#));
        } else {
            down("answer 500", StubAnswer::Refused(500, code));
        }
        match service {
            Service::DynamoDb => {
                down("throttle", StubAnswer::Refused(400, "ThrottlingException"));
                down("find a request invalid", StubAnswer::Refused(400, "ValidationException"));
            }
            Service::Sns => down("refuse each entry", StubAnswer::EntriesFailed),
            Service::Ses => {
                down("throttle", StubAnswer::Refused(429, "TooManyRequestsException"));
                down("suspend the account", StubAnswer::Refused(400, "AccountSuspendedException"));
                down("refuse the mail", StubAnswer::Refused(400, "MessageRejected"));
                down("have no verified domain", StubAnswer::Refused(400, "MailFromDomainNotVerifiedException"));
            }
            _ => {}
        }
    }
    if let Some(source) = queued {
        add("a message that cannot be read", Kind::Poison(vec![]));
        add("the event source mapping is disabled", Kind::Paused);
        if template.subscriptions().any(|it| target(it.at("/Endpoint")) == Some(source.queue.id)) {
            add("SNS may not send to the queue", Kind::NotDelivered);
            add("SNS may send to no queue at all", Kind::NotDeliveredNorKept);
        }
    }
    if entries(function.at("/Events")).any(|(_, event)| event["Type"] == "Schedule") {
        add("the schedule is disabled", Kind::Paused);
    }
    let mut told = entries(function.at("/Environment/Variables")).filter_map(|(_, value)| template.referred(value, "AWS::SNS::Topic"));
    if let Some(topic) = told.find(Resource::is_fifo) {
        let sealing = calls(Service::Sns, Operations::Named("Publish"), StubAnswer::Refused(400, "KMSDisabled"));
        let key = target(topic.at("/KmsMasterKeyId")).map(str::to_owned);
        faults.push(Fault { name: "the topics' key is disabled".to_owned(), kind: Kind::Calls(vec![sealing]), breaks: key });
    }
    let has = |variable: &str| !function.at(&format!("/Environment/Variables/{variable}")).is_null();
    if has("STRIPE_API_URL") {
        let refused = InjectedFault {
            operations: Operations::Named("Stripe capture"),
            ..calls(Service::Stripe, Operations::All, StubAnswer::Says(402, REFUSED_FOR_NOW))
        };
        faults.push(dies("a shipped order's capture is refused for now", Kind::Order(vec![refused])));
    }
    if has("PAYMENTS_TABLE") && has("STACK_ID") {
        let uncollected = calls(Service::DynamoDb, Operations::Named("Query"), StubAnswer::Says(200, UNCOLLECTED));
        faults.push(dies("a shipped order is uncollected", Kind::Order(vec![uncollected])));
    }
    if has("SUPPORT_ADDRESS") && has("INBOUND_BUCKET") {
        faults.push(dies("more replies come in than support is forwarded", Kind::Order(vec![full_hour()])));
    }
    if has("UNPAID_MAILS_PER_HOUR") {
        let full = InjectedFault {
            about: "unpaid/".to_owned(),
            ..calls(Service::DynamoDb, Operations::Named("UpdateItem"), StubAnswer::Says(400, FULL))
        };
        faults.push(dies("an hour is full of mails that nobody has paid for", Kind::Order(vec![full])));
    }
    Ok(faults)
}

/// A count that is at its limit.
const FULL: &str = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"",
    "Item":{"limit_id":{"S":"unpaid/hour"},"mails":{"N":"300"}}}"#;

/// No reply of the sample's hour is forwarded any more: all places are taken, and the sample's message makes the digest.
fn full_hour() -> InjectedFault {
    let forwarded: Vec<_> = (0..email_inbound::forwards::ALL_MAX).map(|n| n.to_string()).collect();
    let row = json!({"mail_id": {"S": "forwards/hour"}, "forwarded": {"SS": forwarded}, "held_back": {"SS": ["unverified.unclear/other"]},
        "digest_by": {"S": SAMPLE_MAIL}});
    let refused = json!({"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "", "Item": row});
    // Faults are few and live as long as the drill.
    let refused: &'static str = Box::leak(refused.to_string().into_boxed_str());
    InjectedFault {
        service: Service::DynamoDb,
        operations: Operations::Named("UpdateItem"),
        about: "forwards/".to_owned(),
        answer: StubAnswer::Says(400, refused),
    }
}

/// SES's id of the mail that the samples of email-inbound are about.
const SAMPLE_MAIL: &str = "d6iitobk75ur44p8kdnnp7g2n8001";

/// A decline that may pass (<https://docs.stripe.com/declines/codes>).
const REFUSED_FOR_NOW: &str = r#"{"error":{"type":"card_error","code":"card_declined","decline_code":"try_again_later","advice_code":"try_again_later","message":"no"}}"#;

/// A payment that waits for a person, as the index has it.
const UNCOLLECTED: &str = r#"{"Items":[{"order_id":{"S":"ee3717c6-3e6f-58b0-ad82-7756503e0a32"},"state":{"S":"uncollected"},
    "payment":{"S":"pi_1"},"amount":{"M":{"amount_minor":{"N":"2400"},"currency":{"S":"EUR"}}},"capture_code":{"S":"expired_card"},
    "unsettled":{"S":"yes"},"uncollected_at":{"S":"2026-05-04T10:11:12Z"}}],"Count":1,"ScannedCount":1}"#;

/// The actions of a function's role and what they are about, by logical id; `*` for everything.
fn grants(template: &Template, function: &Resource<'_>) -> Vec<(String, String)> {
    let Some(role) = template.referred(function.at("/Role"), "AWS::IAM::Role") else { return vec![] };
    let documents = items(role.at("/Policies")).map(|policy| &policy["PolicyDocument"]);
    let mut grants = vec![];
    for statement in documents.flat_map(statements).filter(|it| it.only_if != Some(("IsLocal", true))) {
        for action in texts(&statement.value["Action"]) {
            for resource in items(&statement.value["Resource"]).flat_map(branches) {
                grants.push((action.to_owned(), target(resource.value).unwrap_or("*").to_owned()));
            }
        }
    }
    grants.sort();
    grants.dedup();
    grants
}

/// The services that a function calls, by its role; the payment provider by its environment.
fn services(template: &Template, function: &Resource<'_>) -> Result<Vec<Service>> {
    let mut services = vec![];
    for (action, _) in grants(template, function) {
        let service = match action.split_once(':').map(|(service, _)| service) {
            Some("dynamodb") => Service::DynamoDb,
            Some("sns") => Service::Sns,
            Some("sqs") => Service::Sqs,
            Some("secretsmanager") => Service::SecretsManager,
            Some("ses") => Service::Ses,
            Some("s3") => Service::S3,
            Some("cloudformation") => Service::CloudFormation,
            // Lambda writes the logs; who reads them asks for them.
            Some("logs") if action == "logs:FilterLogEvents" => Service::CloudWatchLogs,
            Some("logs" | "kms" | "lambda") => continue,
            _ => bail!("{}: the drill does not know whose {action} is", function.id),
        };
        services.push(service);
    }
    if !function.at("/Environment/Variables/STRIPE_API_URL").is_null() {
        services.push(Service::Stripe);
    }
    services.sort();
    services.dedup();
    Ok(services)
}

/// Each permission, missing.
fn permissions(template: &Template, function: &Resource<'_>) -> Result<Vec<Fault>> {
    let own_queue = template.sources().find(|source| source.function.id == function.id).map(|source| source.queue.id);
    // A function that calls nothing but its queues waits for nothing, so it hides no message.
    let waits = services(template, function)?.iter().any(|service| *service != Service::Sqs);
    let mut faults = vec![];
    for (action, about) in grants(template, function) {
        if !waits && action.starts_with("sqs:ChangeMessageVisibility") {
            continue;
        }
        if NOT_DRILLED.iter().any(|(prefix, _)| action.starts_with(prefix)) && action != "logs:FilterLogEvents" {
            continue;
        }
        let is_own = Some(about.as_str()) == own_queue;
        let denied = |service, code: (u16, &'static str), needing: &str| {
            // Names are few and live as long as the drill.
            let needing: &'static str = Box::leak(needing.to_owned().into_boxed_str());
            let about = if about == "*" { String::new() } else { about.clone() };
            InjectedFault { service, operations: Operations::Needing(needing), about, answer: StubAnswer::Refused(code.0, code.1) }
        };
        let (service, name) = action.split_once(':').unwrap_or_default();
        let kind = match (service, name) {
            // The event source mapping's, which uses the function's role
            // (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html#events-sqs-permissions>).
            ("sqs", "ReceiveMessage" | "GetQueueAttributes") if is_own => Kind::CannotReceive,
            ("sqs", "DeleteMessage*" | "DeleteMessage") if is_own => Kind::CannotDelete,
            // A message waits for the queue's visibility timeout then, which shows where it has to wait at all.
            ("sqs", "ChangeMessageVisibility*" | "ChangeMessageVisibility") if is_own => {
                let hide = denied(Service::Sqs, (400, "AccessDeniedException"), name);
                let tables = InjectedFault {
                    service: Service::DynamoDb,
                    operations: Operations::All,
                    about: String::new(),
                    answer: StubAnswer::Refused(400, "ThrottlingException"),
                };
                Kind::Calls(vec![hide, tables])
            }
            // A next check is sent to it: of a capture that the bank refuses for now, of a campaign that SES throttles, of a reply
            // that is in the digest of its hour.
            ("sqs", _) if is_own => {
                let waits = |service, operation, answer| InjectedFault {
                    service,
                    operations: Operations::Named(operation),
                    about: String::new(),
                    answer,
                };
                let bank = waits(Service::Stripe, "Stripe capture", StubAnswer::Says(402, REFUSED_FOR_NOW));
                let mail = waits(Service::Ses, "SendBulkEmail", StubAnswer::Refused(429, "TooManyRequestsException"));
                Kind::Calls(vec![denied(Service::Sqs, (400, "AccessDeniedException"), name), bank, mail, full_hour()])
            }
            // Parking, where the queue is the function's own dead-letter queue.
            ("sqs", "SendMessage*" | "SendMessage") if own_queue.is_some() => {
                Kind::Poison(vec![denied(Service::Sqs, (400, "AccessDeniedException"), name)])
            }
            ("sqs", _) => Kind::Calls(vec![denied(Service::Sqs, (400, "AccessDeniedException"), name)]),
            // SNS asks for it in the publisher's name
            // (<https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html>).
            ("kms", _) => Kind::Calls(vec![InjectedFault {
                service: Service::Sns,
                operations: Operations::Named("Publish"),
                about: String::new(),
                answer: StubAnswer::Refused(400, "KMSAccessDenied"),
            }]),
            ("dynamodb", _) => Kind::Calls(vec![denied(Service::DynamoDb, (400, "AccessDeniedException"), name)]),
            ("sns", _) => Kind::Calls(vec![denied(Service::Sns, (403, "AuthorizationError"), name)]),
            ("secretsmanager", _) => Kind::Calls(vec![denied(Service::SecretsManager, (400, "AccessDeniedException"), name)]),
            ("ses", _) => {
                // One call, which needs the permission of both names.
                let name = if name == "SendBulkTemplatedEmail" { "SendBulkEmail" } else { name };
                // Identity and configuration set are not named in the call as the template names them.
                let trouble = InjectedFault { about: String::new(), ..denied(Service::Ses, (403, "AccessDeniedException"), name) };
                Kind::Calls(vec![trouble])
            }
            ("s3", _) => Kind::Calls(vec![denied(Service::S3, (403, "AccessDenied"), name)]),
            ("cloudformation", _) => {
                Kind::Calls(vec![InjectedFault { about: String::new(), ..denied(Service::CloudFormation, (403, "AccessDenied"), name) }])
            }
            ("logs", _) => Kind::Calls(vec![denied(Service::CloudWatchLogs, (400, "AccessDeniedException"), name)]),
            _ => bail!("{}: the drill does not know what {action} is for", function.id),
        };
        let own = own_queue.and_then(|queue| queue.strip_suffix("Queue")).unwrap_or("-");
        let about = match about.as_str() {
            "*" => String::new(),
            about if is_own => format!(" on {}", about.replace(own, "its ")),
            about if about.strip_prefix(own) == Some("DeadLetterQueue") => " on its DeadLetterQueue".to_owned(),
            about => format!(" on {about}"),
        };
        faults.push(Fault { name: format!("denied: {action}{about}"), kind, breaks: None });
    }
    Ok(faults)
}

/// Nothing is wrong.
pub fn none() -> Fault {
    Fault { name: "nothing".to_owned(), kind: Kind::Calls(vec![]), breaks: None }
}
