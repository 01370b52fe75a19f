//! Rules for who may do what: roles, resource policies, keys, encryption.
//!
//! The local engine enforces most of a role; what it does not (event source rights, keys, logs) is held here alone.
//! [`RULES`](super::RULES) lists them.

use super::{Branch, Complaints, Resource, Template, all_texts, branches, entries, items, statements, target, texts};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What each role allows, by function: resource, then actions. Widening a role is a line in a review.
const GRANTS: &[(&str, &[(&str, &str)])] = &[
    (
        "OrderIntakeFunction",
        &[
            ("OrderIntakeLogGroup", LOG),
            ("CatalogueTable", "dynamodb:BatchGetItem"),
            ("OrdersTable", "dynamodb:PutItem dynamodb:UpdateItem dynamodb:GetItem"),
            ("OrderEventsTopic", PUBLISH),
            ("TopicKey", SEAL),
        ],
    ),
    (
        "PaymentFunction",
        &[
            ("PaymentLogGroup", LOG),
            ("PaymentQueue", TAKE),
            ("PaymentDeadLetterQueue", PARK),
            ("PaymentsTable", "dynamodb:GetItem dynamodb:PutItem dynamodb:UpdateItem"),
            ("StripeKeySecret", "secretsmanager:GetSecretValue"),
            ("OrderEventsTopic", PUBLISH),
            ("TopicKey", SEAL),
        ],
    ),
    (
        "InventoryFunction",
        &[
            ("InventoryLogGroup", LOG),
            ("InventoryQueue", TAKE),
            ("InventoryDeadLetterQueue", PARK),
            ("StockTable", "dynamodb:UpdateItem"),
            ("ReservationsTable", "dynamodb:PutItem dynamodb:UpdateItem"),
            ("OrderEventsTopic", PUBLISH),
            ("TopicKey", SEAL),
        ],
    ),
    (
        "ShippingFunction",
        &[
            ("ShippingLogGroup", LOG),
            ("ShippingQueue", TAKE),
            ("ShippingDeadLetterQueue", PARK),
            ("ShipmentsTable", "dynamodb:UpdateItem"),
            ("OrderEventsTopic", PUBLISH),
            ("TopicKey", SEAL),
        ],
    ),
    (
        "OrderTrackingFunction",
        &[
            ("OrderTrackingLogGroup", LOG),
            ("OrderTrackingQueue", TAKE),
            ("OrderTrackingDeadLetterQueue", PARK),
            ("OrdersTable", "dynamodb:UpdateItem"),
        ],
    ),
    ("OrderStatusFunction", &[("OrderStatusLogGroup", LOG), ("OrdersTable", "dynamodb:GetItem")]),
    (
        "OrderDeadlineFunction",
        &[
            ("OrderDeadlineLogGroup", LOG),
            ("OrderDeadlineQueue", TAKE),
            ("OrderDeadlineDeadLetterQueue", PARK),
            ("OrdersTable", "dynamodb:GetItem"),
            ("OrderEventsTopic", PUBLISH),
            ("TopicKey", SEAL),
        ],
    ),
];
const LOG: &str = "logs:CreateLogStream logs:PutLogEvents";
/// What an event source mapping needs of the role, and back-off.
const TAKE: &str = "sqs:ReceiveMessage sqs:DeleteMessage* sqs:GetQueueAttributes sqs:ChangeMessageVisibility*";
const PARK: &str = "sqs:SendMessage*";
const PUBLISH: &str = "sns:Publish*";
/// What SNS does with the topic's key in the publisher's name.
const SEAL: &str = "kms:GenerateDataKey kms:Decrypt";

/// What each function is told, by function. A variable that is missing stops it at its first start.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("OrderIntakeFunction", "CATALOGUE_TABLE ORDERS_TABLE ORDER_EVENTS_TOPIC_ARN"),
    ("OrderStatusFunction", "ORDERS_TABLE"),
    ("OrderTrackingFunction", "QUEUE_URL DEAD_LETTER_QUEUE_URL ORDERS_TABLE"),
    (
        "OrderDeadlineFunction",
        "QUEUE_URL DEAD_LETTER_QUEUE_URL ORDER_EVENTS_TOPIC_ARN ORDERS_TABLE NUDGE_AFTER_SECONDS TIME_OUT_AFTER_SECONDS PARK_AFTER_SECONDS",
    ),
    ("PaymentFunction", "QUEUE_URL DEAD_LETTER_QUEUE_URL ORDER_EVENTS_TOPIC_ARN PAYMENTS_TABLE STRIPE_API_URL STRIPE_KEY_SECRET_ARN"),
    ("InventoryFunction", "QUEUE_URL DEAD_LETTER_QUEUE_URL ORDER_EVENTS_TOPIC_ARN STOCK_TABLE RESERVATIONS_TABLE"),
    ("ShippingFunction", "QUEUE_URL DEAD_LETTER_QUEUE_URL ORDER_EVENTS_TOPIC_ARN SHIPMENTS_TABLE"),
];

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
    let mut grants = BTreeMap::<_, BTreeSet<_>>::new();
    for Branch { value, .. } in policy_documents(role).flat_map(statements) {
        for resource in items(&value["Resource"]).flat_map(branches) {
            grants.entry(target(resource.value).unwrap_or("*")).or_default().extend(texts(&value["Action"]));
        }
    }
    grants
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(' ').collect()
}

/// A role that two functions share has the rights of both; one that SAM writes may read every queue.
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

/// No action but named ones and `FAMILIES`, on resources of this template. The local engine knows SES's resource only
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
            for Branch { value: resource, only_if } in items(&statement["Resource"]).flat_map(branches) {
                let known = target(resource).is_some_and(|id| template.resource(id).is_some());
                let mail_locally = resource == "*"
                    && only_if == Some(("IsLocal", true))
                    && texts(&statement["Action"]).all(|action| action.starts_with("ses:"));
                if !known && !mail_locally {
                    complaints.push(format!("{}: {sid} is about {resource}, no resource of this template", role.id));
                }
            }
        }
    }
    complaints
}

/// Every role allows what `GRANTS` lists, no less and no more.
pub fn roles_grant_exactly_what_is_listed(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for function in template.functions() {
        let allowed = role_of(template, &function).map(|role| grants(&role)).unwrap_or_default();
        let listed = GRANTS.iter().filter(|(id, _)| *id == function.id).flat_map(|(_, grants)| *grants);
        let listed: BTreeMap<_, _> = listed.map(|(resource, actions)| (*resource, words(actions))).collect();
        for resource in allowed.keys().chain(listed.keys()).collect::<BTreeSet<_>>() {
            let (allowed, listed) = (allowed.get(resource), listed.get(resource));
            if allowed != listed {
                complaints.push(format!("{}: on {resource} its role allows {allowed:?}, listed are {listed:?}", function.id));
            }
        }
    }
    complaints
}

/// A consumer takes from its own queue and parks in its own dead-letter queue; no other queue is its business.
pub fn consumers_take_from_their_own_queue_only(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for function in template.functions() {
        let allowed = role_of(template, &function).map(|role| grants(&role)).unwrap_or_default();
        let mut expected = BTreeMap::new();
        for source in template.sources().filter(|source| source.function.id == function.id) {
            expected.insert(source.queue.id, words(TAKE));
            if let Some(letters) = target(source.queue.at("/RedrivePolicy/deadLetterTargetArn")) {
                expected.insert(letters, words(PARK));
            }
        }
        for queue in template.queues() {
            let (allowed, expected) = (allowed.get(queue.id), expected.get(queue.id));
            if allowed != expected {
                complaints.push(format!("{}: on {} its role allows {allowed:?}, it needs {expected:?}", function.id, queue.id));
            }
        }
    }
    complaints
}

/// SNS seals a message in the publisher's name: without the key's rights publishing fails, and only on AWS.
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

/// What a function is told of it may use, and what it may use it is told of; under the names that consumers expect.
pub fn environment_and_role_name_the_same_things(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for function in template.functions() {
        let variables = function.at("/Environment/Variables");
        let kind = |id: &str| template.resource(id).map(|it| it.kind());
        // Lambda is told of the log group and SNS of the key, not the function.
        let told = |id: &&str| !matches!(kind(id), None | Some("AWS::Logs::LogGroup" | "AWS::KMS::Key"));
        let named: BTreeSet<_> = entries(variables).filter_map(|(_, value)| target(value)).filter(told).collect();
        let allowed = role_of(template, &function).map(|role| grants(&role)).unwrap_or_default();
        let allowed: BTreeSet<_> = allowed.into_keys().filter(told).collect();
        if named != allowed {
            complaints.push(format!("{}: its environment names {named:?}, its role {allowed:?}", function.id));
        }
        let told: BTreeSet<_> = entries(variables).map(|(name, _)| name).collect();
        let listed = ENVIRONMENT.iter().find(|(id, _)| *id == function.id).map(|(_, names)| words(names));
        if listed.as_ref() != Some(&told) {
            complaints.push(format!("{}: its environment is {told:?}, listed are {listed:?}", function.id));
        }
        for source in template.sources().filter(|source| source.function.id == function.id) {
            let own = [
                ("QUEUE_URL", Some(source.queue.id)),
                ("DEAD_LETTER_QUEUE_URL", target(source.queue.at("/RedrivePolicy/deadLetterTargetArn"))),
            ];
            let wrong = own.into_iter().filter(|(name, id)| variables[name]["Ref"].as_str() != *id);
            complaints.extend(wrong.map(|(name, id)| format!("{}: {name} is not {id:?}", function.id)));
        }
    }
    complaints
}

fn denies_plain_http_on_aws(document: &Value, resource_on_aws: bool) -> bool {
    statements(document).iter().any(|Branch { value, only_if }| {
        value["Effect"] == "Deny"
            && value["Principal"] == "*"
            && value["Condition"] == json!({ "Bool": { "aws:SecureTransport": "false" } })
            && texts(&value["Action"]).any(|action| matches!(action, "sns:Publish" | "sqs:*"))
            && (resource_on_aws || *only_if == Some(("OnAws", true)))
    })
}

/// The policies of a type that name a resource in their list.
fn policies_on<'a>(template: &'a Template, kind: &'static str, list: &'static str, id: &str) -> Vec<Resource<'a>> {
    template.of_type(kind).filter(|policy| items(policy.at(list)).any(|it| target(it) == Some(id))).collect()
}

/// A topic without policy is open to the whole account in the local engine; one that allows a principal of the account
/// needs no right in a role. So: a policy that always says something, allows services of this account only, and denies
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
            let here = statement["Condition"]["StringEquals"]["aws:SourceAccount"]["Ref"] == "AWS::AccountId";
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

/// A queue that hears a topic, or takes what it could not deliver, admits that topic and nobody else. Any queue denies
/// plain HTTP on AWS. SQS keeps one policy a queue.
pub fn queues_admit_only_the_topic(template: &Template) -> Complaints {
    let mut complaints = vec![];
    for queue in template.queues() {
        let topics = template.subscriptions().filter_map(|subscription| {
            let reaches = [subscription.at("/Endpoint"), subscription.at("/RedrivePolicy/deadLetterTargetArn")];
            reaches.into_iter().any(|it| target(it) == Some(queue.id)).then(|| subscription.at("/TopicArn"))
        });
        let expected: Vec<_> = topics.take(1).map(|topic| json!({ "ArnEquals": { "aws:SourceArn": topic } })).collect();
        let policies = policies_on(template, "AWS::SQS::QueuePolicy", "/Queues", queue.id);
        let [policy] = policies.as_slice() else {
            complaints.push(format!("{}: {} policies instead of one", queue.id, policies.len()));
            continue;
        };
        let document = policy.at("/PolicyDocument");
        let everywhere = policy.body["Condition"].is_null();
        if !denies_plain_http_on_aws(document, policy.body["Condition"] == "OnAws") {
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
        if !good || allowed.iter().map(|it| it.value["Condition"].clone()).collect::<Vec<_>>() != expected {
            complaints.push(format!("{}: {} does not admit exactly SNS, with {expected:?}", queue.id, policy.id));
        }
        // In a queue's policy `*` is the queue itself, which is what lets one policy serve many.
        let whole = |it: &Branch<'_>| it.value["Resource"] == "*" && !it.value["Sid"].is_null();
        if document["Version"] != "2012-10-17" || !statements(document).iter().all(whole) {
            complaints.push(format!("{}: a statement is not Sid and Resource \"*\"", policy.id));
        }
    }
    complaints
}

/// The key of topics: administered by the account, which may delegate to roles, and used by services in its name.
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
        for service in ["sns.amazonaws.com", "cloudwatch.amazonaws.com", "ses.amazonaws.com"] {
            if !admitted.contains(service) || actions != BTreeSet::from(["kms:GenerateDataKey*", "kms:Decrypt"]) {
                complaints.push(format!("{}: {service} cannot publish, or do more, under this key", key.id));
            }
        }
        if key.at("/EnableKeyRotation") != true {
            complaints.push(format!("{}: EnableKeyRotation is not true", key.id));
        }
    }
    complaints
}

/// Queues by SQS's own key, topics by a key of this template, tables by KMS. AWS's managed keys for SNS and SQS admit no
/// other service: an alarm or a delivery under them vanishes.
pub fn everything_is_encrypted(template: &Template) -> Complaints {
    let open = template.resources().filter_map(|resource| {
        let closed = match resource.kind() {
            "AWS::SQS::Queue" => resource.at("/SqsManagedSseEnabled") == true && resource.at("/KmsMasterKeyId").is_null(),
            "AWS::SNS::Topic" => template.referred(resource.at("/KmsMasterKeyId"), "AWS::KMS::Key").is_some(),
            "AWS::DynamoDB::Table" => resource.at("/SSESpecification/SSEEnabled") == true,
            _ => true,
        };
        (!closed).then(|| format!("{}: not encrypted, or by a key that others cannot use", resource.id))
    });
    let managed = template.resources().filter(|resource| all_texts(resource.body).any(|text| text.contains("alias/aws/")));
    open.chain(managed.map(|resource| format!("{}: names a managed key of AWS", resource.id))).collect()
}

/// A value in a template or a parameter can be read in CloudFormation for ever. The operator puts it.
pub fn secrets_have_no_value_here(template: &Template) -> Complaints {
    let valued = |secret: &Resource<'_>| ["/SecretString", "/GenerateSecretString"].iter().any(|it| !secret.at(it).is_null());
    let secrets = template.of_type("AWS::SecretsManager::Secret").filter(valued).map(|it| format!("{}: has a value", it.id));
    let is_key = |text: &str| ["sk_live_", "sk_test_", "rk_live_"].iter().any(|prefix| text.contains(prefix));
    let keys = template.resources().filter(|it| all_texts(it.body).any(is_key));
    secrets.chain(keys.map(|it| format!("{}: holds a provider's key", it.id))).collect()
}
