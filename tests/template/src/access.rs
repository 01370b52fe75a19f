//! Rules for who may do what: roles, resource policies, keys, encryption.
//!
//! The local engine enforces most of a role; what it does not (event source permissions, keys, logs) is held here alone.
//! [`RULES`](super::RULES) lists them.

use super::{
    Branch, Complaints, Resource, Template, all_texts, branches, conditional_items, entries, items,
    queues::{Use, admits, use_of},
    statements, target, texts,
};
use domain::EventType;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What each role allows beside what [`of_its_shape`] says of every function, by function: resource, then actions. Widening a role is a
/// line in a review. A consumer that only takes its messages has no row.
const GRANTS: &[(&str, &[(&str, &str)])] = &[
    (
        "OrderIntakeFunction",
        &[
            ("CatalogueTable", "dynamodb:BatchGetItem"),
            ("OrdersTable", "dynamodb:PutItem dynamodb:UpdateItem dynamodb:GetItem"),
            ("OrderEventsTopic", PUBLISH),
            ("TopicKey", SEAL),
        ],
    ),
    (
        "PaymentFunction",
        &[
            ("PaymentsTable", "dynamodb:GetItem dynamodb:PutItem dynamodb:UpdateItem"),
            ("StripeKeySecret", "secretsmanager:GetSecretValue"),
            ("OrderEventsTopic", PUBLISH),
            ("TopicKey", SEAL),
        ],
    ),
    (
        "InventoryFunction",
        &[
            ("StockTable", "dynamodb:UpdateItem"),
            ("ReservationsTable", "dynamodb:PutItem dynamodb:UpdateItem"),
            ("OrderEventsTopic", PUBLISH),
            ("TopicKey", SEAL),
        ],
    ),
    ("ShippingFunction", &[("ShipmentsTable", "dynamodb:UpdateItem"), ("OrderEventsTopic", PUBLISH), ("TopicKey", SEAL)]),
    ("OrderTrackingFunction", &[("OrdersTable", "dynamodb:UpdateItem")]),
    ("OrderStatusFunction", &[("OrdersTable", "dynamodb:GetItem")]),
    ("OrderDeadlineFunction", &[("OrdersTable", "dynamodb:GetItem"), ("OrderEventsTopic", PUBLISH), ("TopicKey", SEAL)]),
    ("CustomerSignupFunction", &[("CustomersTable", "dynamodb:UpdateItem"), ("PublicEventsTopic", PUBLISH), ("TopicKey", SEAL)]),
    ("UnsubscribeFunction", &[("CustomersTable", "dynamodb:UpdateItem"), ("UnsubscribeSecret", "secretsmanager:GetSecretValue")]),
    (
        "WelcomeEmailFunction",
        &[
            ("CustomersTable", "dynamodb:GetItem"),
            ("EmailLedgerTable", "dynamodb:PutItem dynamodb:UpdateItem"),
            ("SuppressionsTable", "dynamodb:ConditionCheckItem"),
            ("MailLimitsTable", "dynamodb:UpdateItem"),
            ("*", "ses:SendEmail"),
            ("identity/*", "ses:SendEmail"),
            ("MailConfigurationSet", "ses:SendEmail"),
            ("UnsubscribeSecret", "secretsmanager:GetSecretValue"),
        ],
    ),
    (
        "OrderEmailFunction",
        &[
            ("OrdersTable", "dynamodb:GetItem"),
            ("EmailLedgerTable", "dynamodb:PutItem dynamodb:UpdateItem"),
            ("SuppressionsTable", "dynamodb:ConditionCheckItem"),
            ("MailLimitsTable", "dynamodb:UpdateItem"),
            ("*", "ses:SendEmail"),
            ("identity/*", "ses:SendEmail"),
            ("MailConfigurationSet", "ses:SendEmail"),
        ],
    ),
    ("EmailFeedbackFunction", &[("SuppressionsTable", "dynamodb:UpdateItem"), ("*", "ses:PutSuppressedDestination")]),
    (
        "EmailInboundFunction",
        &[
            ("${InboundMailBucket.Arn}/*", "s3:GetObject"),
            ("OrdersTable", "dynamodb:GetItem dynamodb:UpdateItem"),
            ("EmailLedgerTable", "dynamodb:PutItem dynamodb:UpdateItem"),
            ("*", "ses:SendEmail"),
            ("identity/*", "ses:SendEmail"),
            ("OperatorMailConfigurationSet", "ses:SendEmail"),
            ("PublicEventsTopic", PUBLISH),
            ("TopicKey", SEAL),
        ],
    ),
    (
        "EmailCampaignFunction",
        &[
            ("CampaignsBucket", "s3:ListBucket"),
            ("${CampaignsBucket.Arn}/lists/*", "s3:GetObject"),
            ("${CampaignsBucket.Arn}/reports/*", "s3:PutObject"),
            ("CustomersTable", "dynamodb:BatchGetItem"),
            ("SuppressionsTable", "dynamodb:BatchGetItem"),
            ("EmailLedgerTable", "dynamodb:BatchGetItem dynamodb:PutItem dynamodb:UpdateItem"),
            ("*", "ses:SendBulkEmail ses:SendBulkTemplatedEmail ses:GetAccount"),
            ("identity/*", SEND_BULK),
            ("template/*", SEND_BULK),
            ("CampaignMailConfigurationSet", SEND_BULK),
            ("UnsubscribeSecret", "secretsmanager:GetSecretValue"),
        ],
    ),
    // And what [`inspected`] says of queues and logs.
    (
        "DlqInspectorFunction",
        &[
            ("AWS::StackId", "cloudformation:ListStackResources"),
            ("OrderEventsTopic", READ_SUBSCRIPTIONS_AND_PUBLISH),
            ("PublicEventsTopic", READ_SUBSCRIPTIONS_AND_PUBLISH),
            ("MailEventsTopic", READ_SUBSCRIPTIONS_AND_PUBLISH),
            ("InboundMailTopic", READ_SUBSCRIPTIONS_AND_PUBLISH),
            ("AlertsTopic", READ_SUBSCRIPTIONS_AND_PUBLISH),
            ("TopicKey", SEAL),
            ("AlertsKey", SEAL),
            ("DlqArchiveBucket", "s3:ListBucket"),
            ("${DlqArchiveBucket.Arn}/audit/*", "s3:PutObject"),
            ("${DlqArchiveBucket.Arn}/discarded/*", "s3:PutObject"),
            ("${DlqArchiveBucket.Arn}/digest/*", "s3:PutObject s3:GetObject"),
            ("${PaymentsTable.Arn}/index/unsettled", "dynamodb:Query"),
        ],
    ),
    (
        "OperatorFunction",
        &[
            ("OrdersTable", "dynamodb:GetItem"),
            ("PaymentsTable", "dynamodb:GetItem dynamodb:UpdateItem"),
            ("${PaymentsTable.Arn}/index/unsettled", "dynamodb:Query"),
            ("OrderEventsTopic", PUBLISH),
            ("TopicKey", SEAL),
            ("${DlqArchiveBucket.Arn}/audit/*", "s3:PutObject"),
        ],
    ),
];
const LOG: &str = "logs:CreateLogStream logs:PutLogEvents";
/// What an event source mapping needs of the role, and back-off.
const TAKE: &str = "sqs:ReceiveMessage sqs:DeleteMessage* sqs:GetQueueAttributes sqs:ChangeMessageVisibility*";
const PARK: &str = "sqs:SendMessage*";
/// The same for a consumer that checks again: each check is a new message on its own queue.
const TAKE_AND_SCHEDULE: &str =
    "sqs:ReceiveMessage sqs:DeleteMessage* sqs:GetQueueAttributes sqs:ChangeMessageVisibility* sqs:SendMessage*";
/// Consumers that check again. All others may send to no queue that a function consumes.
const LOOK_AGAIN: &[&str] =
    &["PaymentFunction", "InventoryFunction", "OrderDeadlineFunction", "EmailInboundFunction", "EmailCampaignFunction"];
/// Functions that read what strangers write: a form, and mail.
pub(crate) const EXPOSED: &[&str] = &["CustomerSignupFunction", "EmailInboundFunction"];
/// What moves a Standard queue as a whole.
const MOVE: &str = "sqs:StartMessageMoveTask sqs:ListMessageMoveTasks";
const PUBLISH: &str = "sns:Publish*";
/// SendBulkEmail needs the permission of the first API's name for it too, on identity, configuration set and template
/// (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonses.html>).
const SEND_BULK: &str = "ses:SendBulkEmail ses:SendBulkTemplatedEmail";
/// SNS has no resource type but the topic, and holds a permission to read a subscription against that
/// (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsns.html>).
const READ_SUBSCRIPTIONS_AND_PUBLISH: &str = "sns:GetSubscriptionAttributes sns:Publish*";
/// What SNS does with the topic's key in the publisher's name.
const SEAL: &str = "kms:GenerateDataKey kms:Decrypt";

/// The variable of a function that reads in the stack's own configuration what it may use.
const STACK_ID: &str = "STACK_ID";

/// What every consumer is told: where its messages come from, and where it parks them.
const OWN_QUEUES: [&str; 2] = ["QUEUE_URL", "DEAD_LETTER_QUEUE_URL"];

/// What each function is told beside the URLs of its own queues, by function. A variable that is missing stops it at its first start.
/// A consumer that is told nothing else has no row.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("OrderIntakeFunction", "CATALOGUE_TABLE ORDERS_TABLE ORDER_EVENTS_TOPIC_ARN"),
    ("OrderStatusFunction", "ORDERS_TABLE"),
    ("OrderTrackingFunction", "ORDERS_TABLE"),
    ("OrderDeadlineFunction", "ORDER_EVENTS_TOPIC_ARN ORDERS_TABLE NUDGE_AFTER_SECONDS TIME_OUT_AFTER_SECONDS PARK_AFTER_SECONDS"),
    (
        "PaymentFunction",
        "ORDER_EVENTS_TOPIC_ARN PAYMENTS_TABLE STRIPE_API_URL STRIPE_KEY_SECRET_ARN \
         STRIPE_CALLS_PER_SECOND STRIPE_ENDPOINT_CALLS_PER_SECOND MAXIMUM_CONCURRENCY",
    ),
    ("InventoryFunction", "ORDER_EVENTS_TOPIC_ARN STOCK_TABLE RESERVATIONS_TABLE STOCK_WAIT_SECONDS"),
    ("ShippingFunction", "ORDER_EVENTS_TOPIC_ARN SHIPMENTS_TABLE"),
    ("CustomerSignupFunction", "CUSTOMERS_TABLE PUBLIC_EVENTS_TOPIC_ARN"),
    ("UnsubscribeFunction", "CUSTOMERS_TABLE UNSUBSCRIBE_SECRET_ARN"),
    (
        "WelcomeEmailFunction",
        "CUSTOMERS_TABLE EMAIL_LEDGER_TABLE SUPPRESSIONS_TABLE MAIL_LIMITS_TABLE UNPAID_MAILS_PER_HOUR \
         ORDERS_ADDRESS MAIL_CONFIGURATION_SET REPLIES_TO UNSUBSCRIBE_SECRET_ARN API_URL",
    ),
    (
        "OrderEmailFunction",
        "ORDERS_TABLE EMAIL_LEDGER_TABLE SUPPRESSIONS_TABLE MAIL_LIMITS_TABLE UNPAID_MAILS_PER_HOUR \
         ORDERS_ADDRESS MAIL_CONFIGURATION_SET REPLIES_TO",
    ),
    ("EmailFeedbackFunction", "SUPPRESSIONS_TABLE SUPPORT_ADDRESS SES_ACCOUNT_SUPPRESSION"),
    (
        "EmailInboundFunction",
        "PUBLIC_EVENTS_TOPIC_ARN ORDERS_TABLE EMAIL_LEDGER_TABLE ORDERS_ADDRESS MAIL_CONFIGURATION_SET SUPPORT_ADDRESS INBOUND_BUCKET",
    ),
    (
        "EmailCampaignFunction",
        "CUSTOMERS_TABLE EMAIL_LEDGER_TABLE SUPPRESSIONS_TABLE ORDERS_ADDRESS MAIL_CONFIGURATION_SET REPLIES_TO CAMPAIGNS_BUCKET MAIL_SINGLE_OPT_INS UNSUBSCRIBE_SECRET_ARN API_URL",
    ),
    ("DlqInspectorFunction", "STACK_ID ARCHIVE_BUCKET ALERTS_TOPIC_ARN PAYMENTS_TABLE"),
    ("OperatorFunction", "ORDERS_TABLE PAYMENTS_TABLE ORDER_EVENTS_TOPIC_ARN ARCHIVE_BUCKET"),
];

/// Secrets whose value nobody has to know.
const MADE_BY_THE_SERVICE: &[&str] = &["UnsubscribeSecret"];

/// Actions that know no resource: they are about the account.
const ACCOUNT_WIDE: &[&str] = &["ses:GetAccount", "ses:PutSuppressedDestination"];

/// One action each on AWS; the local engine counts the batch call as an action of its own.
const FAMILIES: &[&str] = &["sns:Publish*", "sqs:SendMessage*", "sqs:DeleteMessage*", "sqs:ChangeMessageVisibility*"];

/// The role that a function runs as.
fn role_of<'a>(template: &'a Template, function: &Resource<'_>) -> Option<Resource<'a>> {
    template.referred(function.at("/Role"), "AWS::IAM::Role")
}

fn policy_documents<'a>(role: &Resource<'a>) -> impl Iterator<Item = &'a Value> {
    items(role.at("/Policies")).map(|policy| &policy["PolicyDocument"])
}

/// What a role allows: actions by logical id of the resource.
fn grants<'a>(role: &Resource<'a>) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    grants_by(role, |resource| target(resource).unwrap_or("*"))
}

/// What a role allows, with the folders of a bucket and what SES has of a kind told apart: they stand as they are written.
fn grants_by_folder<'a>(role: &Resource<'a>) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let of_ses = |text: &str| OF_SES.iter().copied().find(|kind| text == ses_arn(kind));
    let folder = |resource: &'a Value| {
        let text = resource["Fn::Sub"].as_str()?;
        of_ses(text).or_else(|| text.contains(".Arn}/").then_some(text))
    };
    grants_by(role, |resource| folder(resource).or_else(|| target(resource)).unwrap_or("*"))
}

fn grants_by<'a>(role: &Resource<'a>, place: impl Fn(&'a Value) -> &'a str) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut grants = BTreeMap::<_, BTreeSet<_>>::new();
    for Branch { value, .. } in policy_documents(role).flat_map(statements) {
        for resource in conditional_items(&value["Resource"]) {
            grants.entry(place(resource.value)).or_default().extend(texts(&value["Action"]));
        }
    }
    grants
}

/// What every function may do without a row in [`GRANTS`]: write its own log, and, of its own queue, take what is there, look again where
/// it is listed to, and park what can never pass.
fn of_its_shape<'a>(template: &'a Template, function: &Resource<'_>) -> BTreeMap<&'a str, BTreeSet<&'static str>> {
    let this = template.functions().find(|it| it.id == function.id);
    let log = this.and_then(|it| target(it.at("/LoggingConfig/LogGroup"))).map(|group| (group, words(LOG)));
    let take = words(if LOOK_AGAIN.contains(&function.id) { TAKE_AND_SCHEDULE } else { TAKE });
    let queues = template.sources().filter(|source| source.function.id == function.id).flat_map(move |source| {
        let dead_letters = source.dead_letter_queue().map(|queue| (queue.id, words(PARK)));
        [(source.queue.id, take.clone())].into_iter().chain(dead_letters)
    });
    log.into_iter().chain(queues).collect()
}

/// What a function that is told the stack may do with its queues and their consumers' logs: see what lies where, take it out
/// of dead-letter queues, bring it back, and read why it failed. It may not touch a message in a source queue.
fn inspected<'a>(template: &'a Template, function: &Resource<'_>) -> BTreeMap<&'a str, BTreeSet<&'static str>> {
    if function.at("/Environment/Variables")[STACK_ID].is_null() {
        return BTreeMap::new();
    }
    let has_source =
        |dead_letters: &Resource<'_>| template.sources().any(|it| it.dead_letter_queue().is_some_and(|queue| queue.id == dead_letters.id));
    let queues = template.queues().map(|queue| {
        let actions = match use_of(template, &queue) {
            Some(Use::Source) => ["sqs:GetQueueAttributes", PARK].as_slice(),
            Some(Use::DeadLetters) if has_source(&queue) && !queue.is_fifo() => &[TAKE, MOVE],
            Some(Use::DeadLetters) => &[TAKE],
            _ => &["sqs:GetQueueAttributes"],
        };
        (queue.id, actions)
    });
    let logs = template.sources().filter_map(|source| target(source.function.at("/LoggingConfig/LogGroup")));
    let all = queues.chain(logs.map(|group| (group, ["logs:FilterLogEvents"].as_slice())));
    all.map(|(id, actions)| (id, actions.iter().flat_map(|some| words(some)).collect())).collect()
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(' ').collect()
}

/// A role that two functions share has the permissions of both; one that SAM writes may read every queue.
pub fn every_function_has_a_role_of_its_own(template: &Template) -> Complaints {
    let mut complaints = vec![];
    let mut taken = BTreeMap::new();
    for function in template.functions() {
        match role_of(template, &function) {
            None => complaints.push(format!("{}: Role is no role of this template", function.id)),
            Some(role) => {
                if let Some(other) = taken.insert(role.id, function.id) {
                    complaints.push(format!("{}: {} is the role of {other} already", function.id, role.id));
                }
            }
        }
        if !function.at("/Policies").is_null() {
            complaints.push(format!("{}: Policies would have SAM write a role", function.id));
        }
    }
    let trusted = json!([{ "Effect": "Allow", "Principal": { "Service": "lambda.amazonaws.com" }, "Action": "sts:AssumeRole" }]);
    for role in template.of_type("AWS::IAM::Role") {
        if !taken.contains_key(role.id) {
            complaints.push(format!("{}: no function runs as this role", role.id));
        }
        if *role.at("/AssumeRolePolicyDocument/Statement") != trusted {
            complaints.push(format!("{}: not only Lambda may assume this role", role.id));
        }
        if !role.at("/ManagedPolicyArns").is_null() {
            complaints.push(format!("{}: managed policies allow more than this template says", role.id));
        }
    }
    complaints
}

/// No action but named ones and `FAMILIES`, on resources of this template, but for `ACCOUNT_WIDE`. The local engine knows SES's resource only
/// as `*`, which may stand where the stack is local.
pub fn roles_name_actions_and_resources(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for role in template.of_type("AWS::IAM::Role") {
        let documents = policy_documents(&role).chain([role.at("/AssumeRolePolicyDocument")]);
        if documents.into_iter().any(|document| document["Version"] != "2012-10-17") {
            complaints.push(format!("{}: a policy is not of Version 2012-10-17", role.id));
        }
        for Branch { value: statement, .. } in policy_documents(&role).flat_map(statements) {
            let sid = statement["Sid"].as_str().unwrap_or("a statement without Sid");
            let keys: BTreeSet<_> = entries(statement).map(|(key, _)| key).filter(|key| *key != "Condition").collect();
            if keys != BTreeSet::from(["Sid", "Effect", "Action", "Resource"]) || statement["Effect"] != "Allow" {
                complaints.push(format!("{}: {sid} is not Sid, Effect: Allow, Action, Resource", role.id));
            }
            let wild = |action: &&str| !action.contains(':') || (action.contains('*') && !FAMILIES.contains(action));
            complaints.extend(texts(&statement["Action"]).filter(wild).map(|action| format!("{}: {sid} allows {action}", role.id)));
            for Branch { value: resource, only_if } in conditional_items(&statement["Resource"]) {
                let known = match resource["Fn::Sub"].as_str() {
                    Some(text) => is_arn_of_what_has_none(template, text),
                    None => target(resource).is_some_and(|id| template.resource(id).is_some()),
                };
                let mail_locally = resource == "*"
                    && only_if == Some(("IsLocal", true))
                    && texts(&statement["Action"]).all(|action| action.starts_with("ses:"));
                let account_wide = resource == "*" && texts(&statement["Action"]).all(|action| ACCOUNT_WIDE.contains(&action));
                let itself = resource["Ref"] == "AWS::StackId" && statement["Action"] == "cloudformation:ListStackResources";
                if !known && !mail_locally && !account_wide && !itself {
                    complaints.push(format!("{}: {sid} is about {resource}, no resource of this template", role.id));
                }
            }
        }
    }
    complaints
}

/// What a mail may be about beside its configuration set. In the sandbox SES holds the permission to send against the identity of the
/// *recipient* too (<https://github.com/aws/aws-sdk-js/issues/3641>), so that a list of one would refuse every mail there.
const OF_SES: &[&str] = &["identity/*", "template/*"];

fn ses_arn(rest: &str) -> String {
    format!("arn:${{AWS::Partition}}:ses:${{AWS::Region}}:${{AWS::AccountId}}:{rest}")
}

/// Whether `text` is the ARN of the objects of a bucket, of an index of a table, of what SES has of a kind or of a configuration set,
/// which have no attribute for it.
fn is_arn_of_what_has_none(template: &Template, text: &str) -> bool {
    let named = |prefix: &str, suffix: &str, kind: &str| {
        let id = text.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(suffix));
        id.and_then(|id| template.resource(id)).is_some_and(|it| it.kind() == kind)
    };
    ["", "lists/", "reports/", "audit/", "discarded/", "digest/"]
        .iter()
        .any(|folder| named("${", &format!(".Arn}}/{folder}*"), "AWS::S3::Bucket"))
        || named("${", ".Arn}/index/unsettled", "AWS::DynamoDB::Table")
        || OF_SES.iter().any(|kind| text == ses_arn(kind))
        || named(&ses_arn("configuration-set/${"), "}", "AWS::SES::ConfigurationSet")
}

/// Every role allows what `GRANTS` lists beside what its function's shape needs, no less and no more.
pub fn roles_grant_exactly_what_is_listed(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for function in template.functions() {
        let allowed = role_of(template, &function).map(|role| grants_by_folder(&role)).unwrap_or_default();
        let listed = GRANTS.iter().filter(|(id, _)| *id == function.id).flat_map(|(_, grants)| *grants);
        let listed = listed.map(|(resource, actions)| (*resource, words(actions)));
        let listed: BTreeMap<_, _> =
            of_its_shape(template, &function).into_iter().chain(listed).chain(inspected(template, &function)).collect();
        for resource in allowed.keys().chain(listed.keys()).collect::<BTreeSet<_>>() {
            let (allowed, listed) = (allowed.get(resource), listed.get(resource));
            if allowed != listed {
                let place = "GRANTS in tests/template/src/access.rs";
                complaints.push(format!("{}: on {resource} its role allows {allowed:?}, listed are {listed:?}: see {place}", function.id));
            }
        }
    }
    complaints
}

/// A consumer takes from its own queue, sends its own checks there if it checks again, and parks in its own dead-letter
/// queue; no other queue is its business, but for the inspector, whose business is every dead-letter queue.
pub fn consumers_take_from_their_own_queue_only(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for function in template.functions() {
        let allowed = role_of(template, &function).map(|role| grants(&role)).unwrap_or_default();
        let mut expected = inspected(template, &function);
        expected.extend(of_its_shape(template, &function));
        for queue in template.queues() {
            let (allowed, expected) = (allowed.get(queue.id), expected.get(queue.id));
            if allowed != expected {
                complaints.push(format!("{}: on {} its role allows {allowed:?}, it needs {expected:?}", function.id, queue.id));
            }
        }
    }
    complaints
}

/// Lambda counts how often a chain of messages comes back to a function, and after about 16 times stops invoking it
/// (<https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html>), which for a clock means that the order is never
/// looked at again. So a consumer that sends its checks to its own queue says that it may; and no other does, because there a
/// loop is a fault.
pub fn consumers_that_look_again_may_loop(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for function in template.functions() {
        let allowed = role_of(template, &function).map(|role| grants(&role)).unwrap_or_default();
        let mut queues = template.sources().filter(|source| source.function.id == function.id).map(|source| source.queue.id);
        let sends_to_itself = queues.any(|queue| allowed.get(queue).is_some_and(|actions| actions.contains("sqs:SendMessage*")));
        let may_loop = function.at("/RecursiveLoop");
        if sends_to_itself != (may_loop == "Allow") || (!sends_to_itself && !may_loop.is_null()) {
            complaints.push(format!("{}: RecursiveLoop is {may_loop}, and sending to its own queue is {sends_to_itself}", function.id));
        }
    }
    complaints
}

/// SNS seals a message in the publisher's name: without permissions for the key publishing fails, and only on AWS.
pub fn publishers_hold_the_key_of_the_topic(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for role in template.of_type("AWS::IAM::Role") {
        let allowed = grants(&role);
        let topics = template.of_type("AWS::SNS::Topic").filter(|topic| allowed.contains_key(topic.id));
        let needed: BTreeSet<_> = topics.filter_map(|topic| target(topic.at("/KmsMasterKeyId"))).collect();
        for key in template.of_type("AWS::KMS::Key") {
            let (allowed, needed) = (allowed.get(key.id), needed.contains(key.id).then(|| words(SEAL)));
            if allowed != needed.as_ref() {
                complaints.push(format!("{}: on {} it allows {allowed:?}, publishing needs {needed:?}", role.id, key.id));
            }
        }
    }
    complaints
}

/// A flaw in a function that reads what strangers write must not reach money or stock, so it publishes to no topic whose
/// subscriptions believe an attribute. Who may publish what stands in the domain's list of producers, and each of them is heard
/// wherever its type is, and nobody else: on a topic for what strangers cause by a filter on its name in the body.
pub fn events_are_heard_from_their_producers_alone(template: &Template) -> Complaints {
    let mut complaints = vec![];
    let mut publishers = BTreeMap::<_, BTreeSet<_>>::new();
    for function in template.functions().filter(|function| function.at("/Environment/Variables")[STACK_ID].is_null()) {
        let allowed = role_of(template, &function).map(|role| grants(&role)).unwrap_or_default();
        let topics = template.of_type("AWS::SNS::Topic").filter(|topic| topic.is_fifo());
        for topic in topics.filter(|topic| allowed.get(topic.id).is_some_and(|actions| actions.contains(PUBLISH))) {
            publishers.entry(topic.id).or_default().extend(function.folder());
            let mut heard = template.subscriptions().filter(|it| target(it.at("/TopicArn")) == Some(topic.id));
            if EXPOSED.contains(&function.id) && heard.any(|it| it.at("/FilterPolicyScope") != "MessageBody") {
                complaints.push(format!("{}: {} believes the attributes of what it publishes", function.id, topic.id));
            }
        }
    }
    let all: BTreeSet<_> = publishers.values().flatten().copied().collect();
    let listed: BTreeSet<_> = EventType::ALL.iter().flat_map(|known| known.producers()).copied().collect();
    complaints.extend(all.symmetric_difference(&listed).map(|name| format!("{name}: a producer or a publisher, and not both")));
    let by_topic = |topic: &Value| target(topic).and_then(|topic| publishers.get(topic)).into_iter().flatten().copied();
    for event in EventType::ALL {
        let subscriptions: Vec<_> = template.subscriptions().filter(|it| admits(it, event)).collect();
        for subscription in &subscriptions {
            let may = by_topic(subscription.at("/TopicArn")).filter(|name| event.producers().contains(name));
            let may: BTreeSet<_> = may.map(|name| format!("/{name}")).collect();
            let named: BTreeSet<_> = texts(subscription.at("/FilterPolicy/source")).map(str::to_owned).collect();
            let by_body = subscription.at("/FilterPolicyScope") == "MessageBody";
            if may.is_empty() || (by_body && named != may) {
                complaints.push(format!("{}: {} comes from {may:?} there, its filter names {named:?}", subscription.id, event.stem()));
            }
        }
        let queues: BTreeSet<_> = subscriptions.iter().filter_map(|it| target(it.at("/Endpoint"))).collect();
        for (queue, producer) in queues.iter().flat_map(|queue| event.producers().iter().map(move |producer| (queue, producer))) {
            let to_it = |it: &&Resource<'_>| target(it.at("/Endpoint")) == Some(queue);
            if !subscriptions.iter().filter(to_it).any(|it| by_topic(it.at("/TopicArn")).any(|name| name == *producer)) {
                complaints.push(format!("{queue}: hears {} not from {producer}", event.stem()));
            }
        }
    }
    complaints
}

/// What a function is told of it may use, and what it may use it is told of; under the names that consumers expect.
pub fn environment_and_role_name_the_same_things(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for function in template.functions() {
        let variables = function.at("/Environment/Variables");
        let kind = |id: &str| template.resource(id).map(|it| it.kind());
        // Lambda is told of the log group and SNS of the key, not the function; and no permission is needed for a URL.
        let told = |id: &&str| !matches!(kind(id), None | Some("AWS::Logs::LogGroup" | "AWS::KMS::Key" | "AWS::Serverless::HttpApi"));
        let named: BTreeSet<_> = entries(variables).filter_map(|(_, value)| target(value)).filter(told).collect();
        let allowed = role_of(template, &function).map(|role| grants(&role)).unwrap_or_default();
        let finds: BTreeSet<_> = if variables[STACK_ID].is_null() { BTreeSet::new() } else { found_by_itself(template) };
        let allowed: BTreeSet<_> = allowed.into_keys().filter(told).filter(|id| !finds.contains(id) || named.contains(id)).collect();
        if named != allowed {
            complaints.push(format!("{}: its environment names {named:?}, its role {allowed:?}", function.id));
        }
        let told: BTreeSet<_> = entries(variables).map(|(name, _)| name).collect();
        let mut listed = ENVIRONMENT.iter().find(|(id, _)| *id == function.id).map(|(_, names)| words(names)).unwrap_or_default();
        if template.sources().any(|source| source.function.id == function.id) {
            listed.extend(OWN_QUEUES);
        }
        if listed != told {
            let place = "ENVIRONMENT in tests/template/src/access.rs";
            complaints.push(format!("{}: its environment is {told:?}, listed are {listed:?}: see {place}", function.id));
        }
        for source in template.sources().filter(|source| source.function.id == function.id) {
            let own = [Some(source.queue.id), source.dead_letter_queue().map(|queue| queue.id)];
            let wrong = OWN_QUEUES.into_iter().zip(own).filter(|(name, id)| variables[name]["Ref"].as_str() != *id);
            complaints.extend(wrong.map(|(name, id)| format!("{}: {name} is not {id:?}", function.id)));
        }
    }
    complaints
}

/// Lambda's environment variables are texts. CloudFormation makes a text of a number or a truth value; the local engine keeps it, and
/// cannot start the function.
pub fn environment_variables_are_texts(template: &Template) -> Complaints {
    let everywhere = template.at("/Globals/Function/Environment/Variables");
    let globals = entries(everywhere).map(|(name, value)| ("Globals", name, value));
    let functions: Vec<_> = template.functions().collect();
    let own = functions
        .iter()
        .flat_map(|function| entries(function.at("/Environment/Variables")).map(|(name, value)| (function.id, name, value)));
    globals
        .chain(own)
        .filter(|(.., value)| branches(value).iter().any(|branch| matches!(branch.value, Value::Number(_) | Value::Bool(_))))
        .map(|(id, name, value)| format!("{id}: {name} is not a text: {value}"))
        .collect()
}

/// What stands in the stack's own configuration: queues, and the topics that they hear.
fn found_by_itself(template: &Template) -> BTreeSet<&str> {
    let topics = template.subscriptions().filter_map(|subscription| target(subscription.at("/TopicArn")));
    template.queues().map(|queue| queue.id).chain(topics).collect()
}

/// What services that act for others may be admitted by: type of the source, and its ARN. The ARN of what waits for the policy
/// is made of its name, because a reference would go round in a circle; that of alarms, of which there are dozens, of the name
/// that CloudFormation gives them (<https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-name.html>).
const SOURCES: &[(&str, &str)] = &[
    ("AWS::SES::ReceiptRule", "receipt-rule-set/*:receipt-rule/${AWS::StackName}-orders"),
    ("AWS::SES::ConfigurationSet", "configuration-set/${"),
    ("AWS::CloudWatch::Alarm", "alarm:${AWS::StackName}-*"),
];

/// Whether a statement that admits a service admits it for this stack alone: for this account, and for sources of it that this
/// template has. Without the first, other accounts can have the service act on what is ours; without the second, everything else
/// in this account can (<https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html>).
fn is_from_this_stack(template: &Template, statement: &Value) -> bool {
    let service = match statement["Principal"]["Service"].as_str() {
        Some("ses.amazonaws.com") => "ses",
        Some("cloudwatch.amazonaws.com") => "cloudwatch",
        _ => return false,
    };
    let here = json!({ "aws:SourceAccount": { "Ref": "AWS::AccountId" } });
    let sources: Vec<_> = items(&statement["Condition"]["ArnLike"]["aws:SourceArn"]).filter_map(|arn| arn["Fn::Sub"].as_str()).collect();
    let prefix = format!("arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:");
    let is_ours = |arn: &&str| {
        let Some(rest) = arn.strip_prefix(&prefix) else { return false };
        SOURCES.iter().any(|(kind, form)| match (rest.strip_prefix(form), form.ends_with("${")) {
            (Some(""), false) => template.of_type(kind).next().is_some(),
            (Some(id), true) => id.strip_suffix('}').and_then(|id| template.resource(id)).is_some_and(|it| it.kind() == *kind),
            _ => false,
        })
    };
    // Each that publishes to a topic, so that none of them is refused.
    let sets = template.of_type("AWS::SES::ConfigurationSet").count();
    let all = sources.iter().filter(|arn| arn.contains(":configuration-set/")).count();
    let keys: BTreeSet<_> = entries(&statement["Condition"]).map(|(key, _)| key).collect();
    keys == BTreeSet::from(["StringEquals", "ArnLike"])
        && statement["Condition"]["StringEquals"] == here
        && !sources.is_empty()
        && sources.len() == items(&statement["Condition"]["ArnLike"]["aws:SourceArn"]).count()
        && sources.iter().all(is_ours)
        && (all == 0 || all == sets)
}

fn denies_plain_http_on_aws(document: &Value, resource_on_aws: bool) -> bool {
    statements(document).iter().any(|Branch { value, only_if }| {
        value["Effect"] == "Deny"
            && value["Principal"] == "*"
            && value["Condition"] == json!({ "Bool": { "aws:SecureTransport": "false" } })
            && texts(&value["Action"]).any(|action| matches!(action, "sns:Publish" | "sqs:*" | "s3:*"))
            && (resource_on_aws || *only_if == Some(("OnAws", true)))
    })
}

/// The policies of a type that name a resource in their list.
fn policies_on<'a>(template: &'a Template, kind: &'static str, list: &'static str, id: &str) -> Vec<Resource<'a>> {
    template.of_type(kind).filter(|policy| items(policy.at(list)).any(|it| target(it) == Some(id))).collect()
}

/// A topic without policy is open to the whole account in the local engine; one that allows a principal of the account
/// needs no permission in a role. So: a policy that always says something, allows services of this account only, and denies
/// plain HTTP on AWS (the local engine speaks nothing else).
pub fn topics_allow_no_principal_of_this_account(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for topic in template.of_type("AWS::SNS::Topic") {
        let policies = policies_on(template, "AWS::SNS::TopicPolicy", "/Topics", topic.id);
        let [policy] = policies.as_slice() else {
            complaints.push(format!("{}: {} policies instead of one", topic.id, policies.len()));
            continue;
        };
        let document = policy.at("/PolicyDocument");
        if document["Version"] != "2012-10-17" || statements(document).iter().all(|statement| statement.only_if.is_some()) {
            complaints.push(format!("{}: nothing is said in every stage", policy.id));
        }
        if !denies_plain_http_on_aws(document, false) {
            complaints.push(format!("{}: plain HTTP is not denied on AWS, or denied locally", policy.id));
        }
        for Branch { value: statement, .. } in statements(document) {
            let service = entries(&statement["Principal"]).all(|(kind, _)| kind == "Service") && statement["Principal"].is_object();
            let here = is_from_this_stack(template, statement);
            if statement["Effect"] != "Deny" && !(service && here) {
                complaints.push(format!("{}: {} allows more than services of this account", policy.id, statement["Sid"]));
            }
            let foreign = json!({ "StringNotEquals": { "aws:PrincipalAccount": { "Ref": "AWS::AccountId" } } });
            let plain = json!({ "Bool": { "aws:SecureTransport": "false" } });
            let denials = [(foreign, json!(["sns:Publish", "sns:Subscribe"])), (plain, json!("sns:Publish"))];
            let denied = (statement["Condition"].clone(), statement["Action"].clone());
            if statement["Effect"] == "Deny" && (statement["Principal"] != "*" || !denials.contains(&denied)) {
                complaints.push(format!("{}: {} denies other than other accounts and plain HTTP", policy.id, statement["Sid"]));
            }
            if statement["Action"].is_null() || target(&statement["Resource"]) != Some(topic.id) || statement["Sid"].is_null() {
                complaints.push(format!("{}: {} is not Sid, Action and the topic", policy.id, statement["Sid"]));
            }
        }
    }
    complaints
}

/// A policy of queues that hear topics, or take what those could not deliver, admits these topics and nobody else. Any queue
/// denies plain HTTP on AWS. SQS keeps one policy a queue.
pub fn queues_admit_only_the_topic(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for queue in template.queues() {
        let policies = policies_on(template, "AWS::SQS::QueuePolicy", "/Queues", queue.id);
        let [policy] = policies.as_slice() else {
            complaints.push(format!("{}: {} policies instead of one", queue.id, policies.len()));
            continue;
        };
        let shares = |queue: &Value| items(policy.at("/Queues")).any(|it| target(it) == target(queue));
        let mut topics: Vec<&Value> = vec![];
        for subscription in template.subscriptions() {
            let reaches = [subscription.at("/Endpoint"), subscription.at("/RedrivePolicy/deadLetterTargetArn")];
            let topic = subscription.at("/TopicArn");
            if reaches.into_iter().any(shares) && !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        let expected = match topics.as_slice() {
            [] => vec![],
            [topic] => vec![json!({ "ArnEquals": { "aws:SourceArn": topic } })],
            several => vec![json!({ "ArnEquals": { "aws:SourceArn": several } })],
        };
        let document = policy.at("/PolicyDocument");
        let condition = &policy.body["Condition"];
        let everywhere = condition.is_null() || *condition == queue.body["Condition"];
        if !denies_plain_http_on_aws(document, template.implies(condition, "OnAws")) {
            complaints.push(format!("{}: plain HTTP is not denied on AWS, or denied locally", policy.id));
        }
        let allowed: Vec<_> = statements(document).into_iter().filter(|statement| statement.value["Effect"] != "Deny").collect();
        let good = allowed.iter().all(|Branch { value, only_if }| {
            value["Principal"] == json!({ "Service": "sns.amazonaws.com" })
                && value["Action"] == "sqs:SendMessage"
                && value["Effect"] == "Allow"
                && everywhere
                && only_if.is_none()
        });
        if !good || allowed.iter().map(|it| whole(&it.value["Condition"])).collect::<Vec<_>>() != expected {
            complaints.push(format!("{}: {} does not admit exactly SNS, with {expected:?}", queue.id, policy.id));
        }
        // In a queue's policy `*` is the queue itself, which is what lets one policy serve many.
        let itself = |it: &Branch<'_>| it.value["Resource"] == "*" && !it.value["Sid"].is_null();
        if document["Version"] != "2012-10-17" || !statements(document).iter().all(itself) {
            complaints.push(format!("{}: a statement is not Sid and Resource \"*\"", policy.id));
        }
    }
    complaints
}

/// A copy in which lists hold what is in them under a condition, too.
fn whole(value: &Value) -> Value {
    match value {
        Value::Array(_) => items(value).map(whole).collect(),
        Value::Object(map) => map.iter().map(|(key, child)| (key.clone(), whole(child))).collect(),
        scalar => scalar.clone(),
    }
}

/// The key of topics: administered by the account, which may delegate to roles, and used by services in its name. By account
/// and no source: which source SNS and SES name to KMS is documented nowhere, and who may publish is the topic's policy to say.
pub fn keys_admit_services_of_this_account_only(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for key in template.of_type("AWS::KMS::Key") {
        let root = json!({ "AWS": { "Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:root" } });
        let document = key.at("/KeyPolicy");
        let (ours, services): (Vec<_>, Vec<_>) =
            statements(document).into_iter().map(|it| it.value).partition(|it| it["Principal"] == root);
        if document["Version"] != "2012-10-17"
            || !ours.iter().any(|it| it["Effect"] == "Allow" && it["Action"] == "kms:*" && it["Resource"] == "*")
        {
            complaints.push(format!("{}: the account cannot administer this key", key.id));
        }
        let here = json!({ "StringEquals": { "aws:SourceAccount": { "Ref": "AWS::AccountId" } } });
        let good = |it: &&&Value| {
            let only_services = entries(&it["Principal"]).all(|(kind, _)| kind == "Service");
            it["Effect"] == "Allow" && only_services && it["Condition"] == here && it["Resource"] == "*" && !it["Sid"].is_null()
        };
        if services.iter().filter(good).count() != services.len() || ours.iter().any(|it| it["Sid"].is_null()) {
            complaints.push(format!("{}: admits more than services of this account", key.id));
        }
        let admitted: BTreeSet<_> = services.iter().flat_map(|it| texts(&it["Principal"]["Service"])).collect();
        let actions: BTreeSet<_> = services.iter().flat_map(|it| texts(&it["Action"])).collect();
        let needed = services_under(template, key.id);
        if admitted != needed || actions != BTreeSet::from(["kms:GenerateDataKey*", "kms:Decrypt"]) {
            complaints.push(format!("{}: {admitted:?} publish or deliver under this key, {needed:?} must", key.id));
        }
        if key.at("/EnableKeyRotation") != true {
            complaints.push(format!("{}: EnableKeyRotation is not true", key.id));
        }
    }
    complaints
}

/// Who publishes to topics under a key, beside our roles: CloudWatch where alarms go, SES to the other standard topics; and SNS
/// delivers. A key that both need would be one cause for a failure and for the silence about it.
fn services_under<'a>(template: &Template, key: &str) -> BTreeSet<&'a str> {
    let told = |topic: &Resource<'_>| {
        let mut alarms = template.of_type("AWS::CloudWatch::Alarm");
        alarms.any(|alarm| items(alarm.at("/AlarmActions")).any(|action| target(action) == Some(topic.id)))
    };
    let topics = template.of_type("AWS::SNS::Topic").filter(|topic| target(topic.at("/KmsMasterKeyId")) == Some(key));
    let publishers =
        topics.filter(|topic| !topic.is_fifo()).map(|topic| if told(&topic) { "cloudwatch.amazonaws.com" } else { "ses.amazonaws.com" });
    publishers.chain(["sns.amazonaws.com"]).collect()
}

/// Queues by SQS's own key, topics by a key of this template, tables by KMS. AWS's managed keys for SNS and SQS admit no
/// other service: an alarm or a delivery under them vanishes.
pub fn everything_is_encrypted(template: &Template) -> Complaints {
    let open = template.resources().filter_map(|resource| {
        let closed = match resource.kind() {
            "AWS::SQS::Queue" => resource.at("/SqsManagedSseEnabled") == true && resource.at("/KmsMasterKeyId").is_null(),
            "AWS::SNS::Topic" => template.referred(resource.at("/KmsMasterKeyId"), "AWS::KMS::Key").is_some(),
            "AWS::DynamoDB::Table" => resource.at("/SSESpecification/SSEEnabled") == true,
            "AWS::S3::Bucket" => {
                let rule = resource.at("/BucketEncryption/ServerSideEncryptionConfiguration/0/ServerSideEncryptionByDefault/SSEAlgorithm");
                rule == "AES256"
            }
            _ => true,
        };
        (!closed).then(|| format!("{}: not encrypted, or by a key that others cannot use", resource.id))
    });
    let managed = template.resources().filter(|resource| all_texts(resource.body).any(|text| text.contains("alias/aws/")));
    open.chain(managed.map(|resource| format!("{}: names a managed key of AWS", resource.id))).collect()
}

/// For how many days each bucket keeps what lies under a prefix. What persons wrote, and lists of them, stays for a month or a
/// quarter; of what was done to a dead letter only the audit, which has no bodies, stays for longer than a year.
const KEPT_DAYS: &[(&str, &[(&str, u64)])] = &[
    ("InboundMailBucket", &[("", 30)]),
    ("CampaignsBucket", &[("", 90)]),
    ("DlqArchiveBucket", &[("audit/", 400), ("discarded/", 30), ("digest/", 30)]),
];

/// Buckets of which an object that was overwritten or deleted can be had back, and for how many days after, by prefix: what was
/// written by persons for no longer than S3 makes it.
const OLD_DAYS: &[(&str, &[(&str, u64)])] = &[("DlqArchiveBucket", &[("audit/", 30), ("discarded/", 1), ("digest/", 1)])];

/// What is in a bucket is about persons: nobody outside the account sees it, nobody reads it on its way, and it does not stay for ever.
pub fn buckets_are_closed_and_expire(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for bucket in template.of_type("AWS::S3::Bucket") {
        let blocks = ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"];
        if blocks.iter().any(|it| bucket.at(&format!("/PublicAccessBlockConfiguration/{it}")) != true) {
            complaints.push(format!("{}: may be made public", bucket.id));
        }
        if bucket.at("/OwnershipControls/Rules/0/ObjectOwnership") != "BucketOwnerEnforced" {
            complaints.push(format!("{}: its objects may belong to others", bucket.id));
        }
        let rules: Vec<&Value> = items(bucket.at("/LifecycleConfiguration/Rules")).collect();
        let days_of = |pointer: &str| -> BTreeMap<_, _> {
            let rules = rules.iter().filter(|rule| rule["Status"] == "Enabled" && rule["Id"].is_string());
            rules.filter_map(|rule| Some((rule["Prefix"].as_str().unwrap_or_default(), rule.pointer(pointer)?.as_u64()?))).collect()
        };
        let listed_in = |lists: &[(&str, &'static [(&'static str, u64)])]| -> Option<BTreeMap<&str, u64>> {
            lists.iter().find(|(id, _)| *id == bucket.id).map(|(_, days)| days.iter().copied().collect())
        };
        let (lives, old) = (days_of("/ExpirationInDays"), days_of("/NoncurrentVersionExpiration/NoncurrentDays"));
        let (listed, listed_old) = (listed_in(KEPT_DAYS), listed_in(OLD_DAYS));
        let versioned = bucket.at("/VersioningConfiguration/Status") == "Enabled";
        if versioned != listed_old.is_some() || old != listed_old.unwrap_or_default() {
            complaints.push(format!("{}: has versions, or keeps old ones {old:?}, and is listed otherwise", bucket.id));
        }
        if listed != Some(lives.clone()) || lives.len() + old.len() != rules.len() {
            complaints.push(format!("{}: keeps {lives:?}, listed are {listed:?}", bucket.id));
        }
        // SES writes into its bucket while the stack is created, and one that is not empty cannot be deleted when that fails.
        let is_written = |rule: Resource<'_>| target(rule.at("/Rule/Actions/0/S3Action/BucketName")) == Some(bucket.id);
        let deletion = if template.of_type("AWS::SES::ReceiptRule").any(is_written) { "Retain" } else { "RetainExceptOnCreate" };
        if bucket.body["DeletionPolicy"] != deletion || bucket.body["UpdateReplacePolicy"] != "Retain" {
            complaints.push(format!("{}: is deleted with its stack, or when it is replaced", bucket.id));
        }
        let denies =
            template.of_type("AWS::S3::BucketPolicy").filter(|policy| target(policy.at("/Bucket")) == Some(bucket.id)).any(|policy| {
                let on_aws = template.implies(&policy.body["Condition"], "OnAws");
                denies_plain_http_on_aws(policy.at("/PolicyDocument"), on_aws)
            });
        if !denies {
            complaints.push(format!("{}: plain HTTP is not denied on AWS, or denied locally", bucket.id));
        }
    }
    for policy in template.of_type("AWS::S3::BucketPolicy") {
        if statements(policy.at("/PolicyDocument")).is_empty() {
            complaints.push(format!("{}: says nothing", policy.id));
        }
        for Branch { value: statement, .. } in statements(policy.at("/PolicyDocument")) {
            let bucket = target(policy.at("/Bucket"));
            if statement["Effect"] == "Deny" {
                let all = items(&statement["Resource"]).all(|it| target(it) == bucket) && items(&statement["Resource"]).count() == 2;
                if !all || statement["Sid"].is_null() || policy.at("/PolicyDocument/Version") != "2012-10-17" {
                    complaints.push(format!("{}: {} is not about the bucket and its objects", policy.id, statement["Sid"]));
                }
                continue;
            }
            let here = is_from_this_stack(template, statement);
            let service = statement["Principal"] == json!({ "Service": "ses.amazonaws.com" }) && statement["Action"] == "s3:PutObject";
            let allowed =
                statement["Effect"] == "Allow" && !statement["Sid"].is_null() && policy.at("/PolicyDocument/Version") == "2012-10-17";
            if !here || !service || !allowed || target(&statement["Resource"]) != bucket {
                complaints.push(format!("{}: {} allows more than that SES stores mail", policy.id, statement["Sid"]));
            }
        }
    }
    complaints
}

/// The parts of SES, by logical id.
const SES: &[(&str, &str)] = &[
    ("MailIdentity", "AWS::SES::EmailIdentity"),
    ("MailConfigurationSet", "AWS::SES::ConfigurationSet"),
    ("MailEventDestination", "AWS::SES::ConfigurationSetEventDestination"),
    ("CampaignMailConfigurationSet", "AWS::SES::ConfigurationSet"),
    ("CampaignMailEventDestination", "AWS::SES::ConfigurationSetEventDestination"),
    ("OperatorMailConfigurationSet", "AWS::SES::ConfigurationSet"),
    ("OperatorMailEventDestination", "AWS::SES::ConfigurationSetEventDestination"),
    ("InboundRuleSet", "AWS::SES::ReceiptRuleSet"),
    ("InboundRule", "AWS::SES::ReceiptRule"),
];

/// What SES has to be told, by logical id: property, then value. A new one is a line in a review.
fn told_to_ses() -> Vec<(&'static str, &'static str, Value)> {
    let of_set = |set: &'static str, destination: &'static str, suppressed: Value, events: Value| {
        [
            (set, "/DeliveryOptions", json!({ "TlsPolicy": "REQUIRE" })),
            (set, "/ReputationOptions", json!({ "ReputationMetricsEnabled": true })),
            (set, "/SendingOptions", json!({ "SendingEnabled": true })),
            (set, "/SuppressionOptions", json!({ "SuppressedReasons": suppressed })),
            (destination, "/ConfigurationSetName", json!({ "Ref": set })),
            (
                destination,
                "/EventDestination",
                json!({
                    "Name": "feedback",
                    "Enabled": true,
                    "MatchingEventTypes": events,
                    "SnsDestination": { "TopicARN": { "Ref": "MailEventsTopic" } }
                }),
            ),
        ]
    };
    // An event destination that hears of opens or clicks makes SES put a pixel into each mail of its set, and rewrite its links
    // (https://docs.aws.amazon.com/ses/latest/dg/faqs-metrics.html): campaigns alone.
    let events = json!(["send", "delivery", "bounce", "complaint", "reject", "renderingFailure", "deliveryDelay", "subscription"]);
    let of_campaigns =
        json!(["send", "delivery", "bounce", "complaint", "reject", "open", "click", "renderingFailure", "deliveryDelay", "subscription"]);
    // No address of an operator is suppressed, and no link that a customer wrote is rewritten to be counted.
    let of_operators = json!(["send", "delivery", "bounce", "complaint", "reject", "renderingFailure", "deliveryDelay"]);
    let mut told = vec![
        ("MailIdentity", "/EmailIdentity", json!({ "Ref": "MailDomain" })),
        ("MailIdentity", "/DkimSigningAttributes", json!({ "NextSigningKeyLength": "RSA_2048_BIT" })),
        ("MailIdentity", "/MailFromAttributes/MailFromDomain", json!({ "Fn::Sub": "bounce.${MailDomain}" })),
        ("MailIdentity", "/MailFromAttributes/BehaviorOnMxFailure", json!("USE_DEFAULT_VALUE")),
        ("MailIdentity", "/ConfigurationSetAttributes", json!({ "ConfigurationSetName": { "Ref": "MailConfigurationSet" } })),
        ("MailIdentity", "/FeedbackAttributes", json!({ "EmailForwardingEnabled": false })),
        ("InboundRule", "/RuleSetName", json!({ "Ref": "InboundRuleSet" })),
        (
            "InboundRule",
            "/Rule",
            json!({
                "Name": { "Fn::Sub": "${AWS::StackName}-orders" },
                "Enabled": true,
                "ScanEnabled": true,
                "TlsPolicy": "Optional",
                "Recipients": [{ "Fn::Sub": "orders@${MailDomain}" }],
                "Actions": [{ "S3Action": { "BucketName": { "Ref": "InboundMailBucket" }, "TopicArn": { "Ref": "InboundMailTopic" } } }]
            }),
        ),
    ];
    told.extend(of_set("MailConfigurationSet", "MailEventDestination", json!(["BOUNCE", "COMPLAINT"]), events));
    told.extend(of_set("CampaignMailConfigurationSet", "CampaignMailEventDestination", json!(["BOUNCE", "COMPLAINT"]), of_campaigns));
    told.extend(of_set("OperatorMailConfigurationSet", "OperatorMailEventDestination", json!([]), of_operators));
    told
}

/// Mail goes out encrypted or not at all, from a domain of this template, under a configuration set whose events are heard,
/// and mail to operators under one that suppresses nobody; what comes in is scanned, stored and told.
pub fn mail_is_encrypted_and_heard_of(template: &Template) -> Complaints {
    let mut complaints = vec![];
    let mut parts = template.resources().filter(|it| it.kind().starts_with("AWS::SES::"));
    complaints.extend(parts.by_ref().filter(|it| !SES.contains(&(it.id, it.kind()))).map(|it| format!("{}: not listed", it.id)));
    let missing = SES.iter().filter(|(id, kind)| template.resource(id).is_none_or(|it| it.kind() != *kind));
    complaints.extend(missing.map(|(id, kind)| format!("{kind}: {id} is not there")));
    for (id, property, told) in told_to_ses() {
        if template.resource(id).is_none_or(|it| *it.at(property) != told) {
            complaints.push(format!("{id}: {} is not {told}", &property[1..]));
        }
    }
    // SES tries whether it may publish before it takes a destination, and what it says then must be heard.
    let heard = json!(["MailEventsTopicPolicy", "EmailFeedbackQueuePolicy", "EmailFeedbackSubscription"]);
    let early = template.of_type("AWS::SES::ConfigurationSetEventDestination").filter(|it| it.body["DependsOn"] != heard);
    complaints.extend(early.map(|it| format!("{}: DependsOn is not {heard}", it.id)));
    // SES asks whether it may store and tell before the rule is taken.
    let asked = json!(["InboundMailBucketPolicy", "InboundMailTopicPolicy"]);
    let early = template.of_type("AWS::SES::ReceiptRule").filter(|rule| rule.body["DependsOn"] != asked);
    complaints.extend(early.map(|rule| format!("{}: DependsOn is not {asked}", rule.id)));
    for topic in ["MailEventsTopic", "InboundMailTopic"] {
        let admits = policies_on(template, "AWS::SNS::TopicPolicy", "/Topics", topic).into_iter().any(|policy| {
            statements(policy.at("/PolicyDocument")).iter().any(|Branch { value, .. }| {
                let service = value["Principal"] == json!({ "Service": "ses.amazonaws.com" });
                service && value["Effect"] == "Allow" && value["Action"] == "sns:Publish"
            })
        });
        if !admits {
            complaints.push(format!("{topic}: SES cannot publish to it"));
        }
    }
    let stores = |policy: &Resource<'_>| {
        statements(policy.at("/PolicyDocument")).iter().any(|it| it.value["Effect"] == "Allow" && it.value["Action"] == "s3:PutObject")
    };
    let stored = |bucket: &Value| template.of_type("AWS::S3::BucketPolicy").any(|policy| policy.at("/Bucket") == bucket && stores(&policy));
    let refused = template.of_type("AWS::SES::ReceiptRule").filter(|rule| !stored(rule.at("/Rule/Actions/0/S3Action/BucketName")));
    complaints.extend(refused.map(|rule| format!("{}: no policy lets SES store what comes in", rule.id)));
    for function in template.functions() {
        let answered = function.at("/Environment/Variables/REPLIES_TO");
        let support = json!({ "Fn::If": ["ReceivesMail", { "Ref": "AWS::NoValue" }, { "Ref": "SupportEmail" }] });
        if !answered.is_null() && *answered != support {
            complaints.push(format!("{}: answers go to nobody where mail is not received", function.id));
        }
        let suppresses = function.at("/Environment/Variables/SES_ACCOUNT_SUPPRESSION");
        if !suppresses.is_null() && *suppresses != json!({ "Fn::If": ["OnAws", "true", "false"] }) {
            complaints.push(format!("{}: the account's own list is kept on AWS, where there is one", function.id));
        }
        let allowed = role_of(template, &function).map(|role| grants(&role)).unwrap_or_default();
        let sends = allowed.values().flatten().any(|action| action.starts_with("ses:Send"));
        let set = target(function.at("/Environment/Variables/MAIL_CONFIGURATION_SET")).and_then(|id| template.resource(id));
        let fitting = match function.id {
            id if OPERATORS_ARE_MAILED_BY.contains(&id) => "OperatorMailConfigurationSet",
            id if CAMPAIGNS_ARE_MAILED_BY.contains(&id) => "CampaignMailConfigurationSet",
            _ => "MailConfigurationSet",
        };
        if sends && set.is_none_or(|set| set.id != fitting) {
            complaints.push(format!("{}: sends without a configuration set, or not under {fitting}", function.id));
        }
    }
    complaints
}

/// Functions that mail campaigns, and nothing else.
const CAMPAIGNS_ARE_MAILED_BY: &[&str] = &["EmailCampaignFunction"];

/// Functions that mail operators, and nobody else.
const OPERATORS_ARE_MAILED_BY: &[&str] = &["EmailInboundFunction"];

/// A function sends mail as the shop's one address, and one that mails operators mails nobody else. `SendBulkEmail` knows neither
/// condition, so that one on it would never hold
/// (<https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsimpleemailservicev2.html>).
pub fn mail_is_sent_as_nobody_else(template: &Template) -> Complaints {
    let from = json!({ "ses:FromAddress": { "Fn::Sub": "orders@${MailDomain}" } });
    let mut complaints = vec![];
    for function in template.functions() {
        let Some(role) = role_of(template, &function) else { continue };
        let expected = if OPERATORS_ARE_MAILED_BY.contains(&function.id) {
            json!({ "StringEquals": from, "ForAllValues:StringEquals": { "ses:Recipients": [function.at("/Environment/Variables/SUPPORT_ADDRESS")] } })
        } else {
            json!({ "StringEquals": from })
        };
        for Branch { value: statement, .. } in policy_documents(&role).flat_map(statements) {
            let expected = if texts(&statement["Action"]).any(|action| action == "ses:SendEmail") { &expected } else { &Value::Null };
            if statement["Condition"] != *expected {
                complaints
                    .push(format!("{}: {} has the condition {}, not {expected}", function.id, statement["Sid"], statement["Condition"]));
            }
        }
        let address = function.at("/Environment/Variables/ORDERS_ADDRESS");
        if !address.is_null() && *address != from["ses:FromAddress"] {
            complaints.push(format!("{}: ORDERS_ADDRESS is not the address that it may send as", function.id));
        }
    }
    complaints
}

/// A value in a template or a parameter can be read in CloudFormation for ever. The operator puts it, or the service makes it.
pub fn secrets_have_no_value_here(template: &Template) -> Complaints {
    let valued = |secret: &Resource<'_>| {
        let made = *secret.at("/GenerateSecretString") == json!({ "PasswordLength": 64, "ExcludePunctuation": true });
        !secret.at("/SecretString").is_null()
            || made != MADE_BY_THE_SERVICE.contains(&secret.id)
            || !made && !secret.at("/GenerateSecretString").is_null()
    };
    let secrets = template.of_type("AWS::SecretsManager::Secret").filter(valued).map(|it| format!("{}: has a value", it.id));
    let is_key = |text: &str| ["sk_live_", "sk_test_", "rk_live_"].iter().any(|prefix| text.contains(prefix));
    let keys = template.resources().filter(|it| all_texts(it.body).any(is_key));
    secrets.chain(keys.map(|it| format!("{}: holds a provider's key", it.id))).collect()
}
