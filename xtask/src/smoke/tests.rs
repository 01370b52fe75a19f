//! Each check over a small stack in which all is well, and over copies of it broken in one way: it says so, and what to type.

use super::aws::Refused;
use super::before::{self, DELETE};
use super::checks::{Fault, Outcome};
use super::found::Found;
use super::template::Template;
use super::{CHECKS, judge, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use testkit::stack::STACK_NAME_MAX;

const ACCOUNT: &str = "123456789012";
const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:shop-order-events.fifo";
const MAIL_TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:shop-MailEvents";
const ALERTS: &str = "arn:aws:sns:eu-west-1:123456789012:shop-Alerts";
const SUBSCRIPTION: &str = "arn:aws:sns:eu-west-1:123456789012:shop-order-events.fifo:1";

fn template() -> Value {
    json!({
        "Conditions": {
            "IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
            "AllowsOrigins": {"Fn::Not": [{"Fn::Equals": [{"Ref": "AllowedOrigins"}, ""]}]}
        },
        "Resources": {
            "OrderApi": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Body": {
                "paths": {"/orders": {"post": {}}, "/orders/{order_id}": {"get": {}}},
                "x-amazon-apigateway-cors": {"Fn::If": ["AllowsOrigins", {
                    "allowOrigins": {"Fn::Split": [",", {"Ref": "AllowedOrigins"}]}, "allowMethods": ["GET", "POST"], "maxAge": 600
                }, {"Ref": "AWS::NoValue"}]}
            }}},
            "Stage": {"Type": "AWS::ApiGatewayV2::Stage", "Properties": {
                "ApiId": {"Ref": "OrderApi"}, "StageName": "$default",
                "DefaultRouteSettings": {"ThrottlingRateLimit": 100, "ThrottlingBurstLimit": 200},
                "RouteSettings": {"POST /orders": {"ThrottlingRateLimit": {"Fn::If": ["IsProd", 22, 7]}, "ThrottlingBurstLimit": {"Fn::If": ["IsProd", 220, 70]}}}
            }},
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": {"Fn::Sub": "${AWS::StackName}-order-events.fifo"}}},
            "Queue": {"Type": "AWS::SQS::Queue", "Properties": {}},
            "Undelivered": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": {"Fn::Sub": "${AWS::StackName}-undelivered.fifo"}}},
            "Subscription": {"Type": "AWS::SNS::Subscription", "Properties": {
                "TopicArn": {"Ref": "Topic"}, "Protocol": "sqs", "Endpoint": {"Fn::GetAtt": ["Queue", "Arn"]}, "RawMessageDelivery": true,
                "FilterPolicyScope": "MessageAttributes", "FilterPolicy": {"type": [{"prefix": "order.placed."}]},
                "RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": ["Undelivered", "Arn"]}}
            }},
            "PaymentFunction": {"Type": "AWS::Lambda::Function", "Properties": {}},
            "Mapping": {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {
                "FunctionResponseTypes": ["ReportBatchItemFailures"], "ScalingConfig": {"MaximumConcurrency": {"Fn::If": ["IsProd", 5, 2]}}
            }},
            "LookAlias": {"Type": "AWS::Lambda::Alias", "Properties": {"FunctionName": {"Ref": "PaymentFunction"}, "Name": "look"}},
            "ChangeAlias": {"Type": "AWS::Lambda::Alias", "Properties": {"FunctionName": {"Ref": "PaymentFunction"}, "Name": "change"}},
            "StripeKeySecret": {"Type": "AWS::SecretsManager::Secret", "Properties": {}},
            "CatalogueTable": {"Type": "AWS::DynamoDB::Table", "Properties": {}},
            "Limits": {"Type": "AWS::DynamoDB::Table", "Properties": {"TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": true}}},
            "Alarm": {"Type": "AWS::CloudWatch::Alarm", "Properties": {"AlarmDescription": "Something is late."}},
            "AlertsTopic": {"Type": "AWS::SNS::Topic", "Properties": {}},
            "MailTopic": {"Type": "AWS::SNS::Topic", "Properties": {}},
            "MailSet": {"Type": "AWS::SES::ConfigurationSet", "Properties": {}},
            "MailDestination": {"Type": "AWS::SES::ConfigurationSetEventDestination", "Properties": {
                "ConfigurationSetName": {"Ref": "MailSet"},
                "EventDestination": {"Name": "feedback", "Enabled": true, "MatchingEventTypes": ["bounce", "renderingFailure"], "SnsDestination": {"TopicARN": {"Ref": "MailTopic"}}}
            }},
            "RuleSet": {"Type": "AWS::SES::ReceiptRuleSet", "Properties": {}},
            "MailRole": {"Type": "AWS::IAM::Role", "Properties": {"Policies": [{"PolicyDocument": {"Statement": [
                {"Sid": "SendMail", "Effect": "Allow", "Action": "ses:SendEmail", "Resource": "*"}
            ]}}]}}
        }
    })
}

fn policy(service: &str, action: &str, source: &str) -> Value {
    let condition = json!({"ArnLike": {"aws:SourceArn": source}});
    json!({"Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": action, "Condition": condition}]})
        .to_string()
        .into()
}

/// A stack in which all is well.
pub fn found() -> Found {
    let physical = [
        ("OrderApi", "a1"),
        ("Stage", "$default"),
        ("Topic", TOPIC),
        ("Queue", "https://sqs.eu-west-1.amazonaws.com/123456789012/shop-Queue-1"),
        ("Undelivered", "https://sqs.eu-west-1.amazonaws.com/123456789012/shop-undelivered.fifo"),
        ("Subscription", SUBSCRIPTION),
        ("PaymentFunction", "shop-PaymentFunction-1"),
        ("Mapping", "uuid-1"),
        ("LookAlias", "look"),
        ("ChangeAlias", "change"),
        ("StripeKeySecret", "arn:secret"),
        ("CatalogueTable", "shop-Catalogue-1"),
        ("Limits", "shop-Limits-1"),
        ("Alarm", "shop-Alarm-1"),
        ("AlertsTopic", ALERTS),
        ("MailTopic", MAIL_TOPIC),
        ("MailSet", "shop-set"),
        ("MailDestination", "feedback"),
        ("RuleSet", "shop-rules"),
        ("MailRole", "shop-MailRole-1"),
    ];
    let redrive = json!({"deadLetterTargetArn": format!("arn:aws:sqs:eu-west-1:{ACCOUNT}:shop-undelivered.fifo")}).to_string();
    let queue = json!({"Attributes": {"Policy": policy("sns.amazonaws.com", "sqs:SendMessage", TOPIC)}});
    let set = format!("arn:aws:ses:eu-west-1:{ACCOUNT}:configuration-set/shop-set");
    let refused = json!({"Payload": {"refused": {"error": "MayOnlyLook"}}});
    let answers = [
        (
            "get_api",
            "OrderApi",
            // As AWS may say it: in another order, with what is off.
            json!({"CorsConfiguration": {
                "AllowCredentials": false, "AllowHeaders": [], "AllowMethods": ["POST", "GET"], "MaxAge": 600,
                "AllowOrigins": ["https://b.example", "https://a.example"]
            }}),
        ),
        ("get_routes", "OrderApi", json!({"Items": [{"RouteKey": "POST /orders"}, {"RouteKey": "GET /orders/{order_id}"}]})),
        (
            "get_stage",
            "Stage",
            json!({
                "DefaultRouteSettings": {"ThrottlingRateLimit": 100.0, "ThrottlingBurstLimit": 200},
                "RouteSettings": {"POST /orders": {"ThrottlingRateLimit": 7.0, "ThrottlingBurstLimit": 70}}
            }),
        ),
        ("get_function_configuration", "PaymentFunction", json!({"State": "Active", "LastUpdateStatus": "Successful"})),
        (
            "get_event_source_mapping",
            "Mapping",
            json!({
                "State": "Enabled", "FunctionResponseTypes": ["ReportBatchItemFailures"], "ScalingConfig": {"MaximumConcurrency": 2}
            }),
        ),
        ("get_alias", "LookAlias", json!({"Name": "look"})),
        ("get_alias", "ChangeAlias", json!({"Name": "change"})),
        ("invoke", "LookAlias", refused),
        ("invoke", "ChangeAlias", json!({"Payload": {"refused": {"error": "UnknownQueue"}}})),
        ("get_queue_attributes", "Queue", queue.clone()),
        ("get_queue_attributes", "Undelivered", queue),
        ("get_topic_attributes", "MailTopic", json!({"Attributes": {"Policy": policy("ses.amazonaws.com", "sns:Publish", &set)}})),
        ("get_topic_attributes", "AlertsTopic", json!({"Attributes": {"Policy": policy("cloudwatch.amazonaws.com", "sns:Publish", "*")}})),
        (
            "get_subscription_attributes",
            "Subscription",
            json!({"Attributes": {
                "RawMessageDelivery": "true", "FilterPolicyScope": "MessageAttributes", "RedrivePolicy": redrive,
                "FilterPolicy": json!({"type": [{"prefix": "order.placed."}]}).to_string()
            }}),
        ),
        ("list_subscriptions_by_topic", "AlertsTopic", json!({"Subscriptions": [{"SubscriptionArn": "arn:aws:sns:alerts:1"}]})),
        ("get_secret_value", "StripeKeySecret", json!({"SecretString": "sk_test_1"})),
        ("scan", "CatalogueTable", json!({"Items": [{"sku": {"S": "MUG"}, "unit_price_minor": {"N": "1200"}, "currency": {"S": "EUR"}}]})),
        (
            "describe_time_to_live",
            "Limits",
            json!({"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}}),
        ),
        ("describe_alarms", "0", json!({"MetricAlarms": [{"AlarmName": "shop-Alarm-1", "StateValue": "OK", "ActionsEnabled": true}]})),
        ("get_account_settings", "account", json!({"AccountLimit": {"UnreservedConcurrentExecutions": 1000}})),
        (
            "get_configuration_set_event_destinations",
            "shop-set",
            json!({"EventDestinations": [
                {"Name": "feedback", "Enabled": true, "MatchingEventTypes": ["BOUNCE", "RENDERING_FAILURE"], "SnsDestination": {"TopicArn": MAIL_TOPIC}}
            ]}),
        ),
        (
            "get_email_identity",
            "domain",
            json!({
                "VerifiedForSendingStatus": true, "MailFromAttributes": {"MailFromDomain": "bounce.shop.example", "MailFromDomainStatus": "SUCCESS"}
            }),
        ),
        ("get_account", "account", json!({"SendingEnabled": true, "ProductionAccessEnabled": true, "EnforcementStatus": "HEALTHY"})),
        ("describe_active_receipt_rule_set", "active", json!({"Metadata": {"Name": "shop-rules"}})),
        (
            "simulate_principal_policy",
            "MailRole/SendMail",
            json!({"EvaluationResults": [
                {"EvalActionName": "ses:SendEmail", "EvalResourceName": "*", "EvalDecision": "allowed"}
            ]}),
        ),
    ];
    Found {
        template: Template {
            body: template(),
            stack_name: "shop".to_owned(),
            stack_id: format!("arn:aws:cloudformation:eu-west-1:{ACCOUNT}:stack/shop/1"),
            parameters: texts([
                ("Stage", "dev"),
                ("AllowedOrigins", "https://a.example,https://b.example"),
                ("MailDomain", "shop.example"),
                ("AlertEmail", "ops@shop.example"),
            ]),
            resources: texts(physical),
        },
        status: "UPDATE_COMPLETE".to_owned(),
        outputs: texts([("ApiId", "a1"), ("StripeKeySecretArn", "arn:secret")]),
        local: false,
        protected: false,
        flags: " --region eu-west-1".to_owned(),
        answers: answers.into_iter().map(|(operation, about, answer)| ((operation.to_owned(), about.to_owned()), Ok(answer))).collect(),
    }
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn outcome(found: &Found, name: &str) -> Outcome {
    let (_, check) = CHECKS.iter().find(|(it, _)| *it == name).unwrap_or_else(|| panic!("no check {name}"));
    check(found)
}

/// The answer about a thing, to be broken.
fn answer<'a>(found: &'a mut Found, operation: &str, about: &str) -> &'a mut Value {
    found.answers.get_mut(&(operation.to_owned(), about.to_owned())).unwrap().as_mut().unwrap()
}

/// One way of breaking a stack: the check that notices, what it says, and what it tells to type.
type Break = (&'static str, &'static str, &'static str, fn(&mut Found));

#[rustfmt::skip]
const BREAKS: [Break; 45] = [
    ("stack", "UPDATE_ROLLBACK_COMPLETE", "describe-stack-events --stack-name shop --region eu-west-1", |it| it.status = "UPDATE_ROLLBACK_COMPLETE".to_owned()),
    ("stack", "Stage=local", "sam deploy", |it| { it.template.parameters.insert("Stage".to_owned(), "local".to_owned()); }),
    ("names", "Undelivered would be called", "shorten stack_name", |it| it.template.stack_name = "s".repeat(64)),
    ("routes", "no route POST /orders", "sam deploy", |it| answer(it, "get_routes", "OrderApi")["Items"][0]["RouteKey"] = "POST /baskets".into()),
    ("routes", "a route POST /baskets that", "sam deploy", |it| answer(it, "get_routes", "OrderApi")["Items"][0]["RouteKey"] = "POST /baskets".into()),
    ("throttles", "POST /orders is throttled at 7/7, and the template says 7/70", "update-stage --api-id a1", |it| answer(it, "get_stage", "Stage")["RouteSettings"]["POST /orders"]["ThrottlingBurstLimit"] = 7.into()),
    ("throttles", "POST /orders is throttled at none/none", "--route-settings", |it| answer(it, "get_stage", "Stage")["RouteSettings"] = json!({})),
    ("throttles", "every other route is throttled at 100/none", "--default-route-settings", |it| answer(it, "get_stage", "Stage")["DefaultRouteSettings"] = json!({"ThrottlingRateLimit": 100.0})),
    ("CORS", "AllowOrigins is https://a.example, and the template says https://a.example, https://b.example", "update-api --api-id a1 --cors-configuration '{\"AllowMethods\"", |it| answer(it, "get_api", "OrderApi")["CorsConfiguration"]["AllowOrigins"] = json!(["https://a.example"])),
    ("CORS", "AllowCredentials is true, and the template says nothing", "update-api", |it| answer(it, "get_api", "OrderApi")["CorsConfiguration"]["AllowCredentials"] = true.into()),
    ("CORS", "AllowMethods is nothing, and the template says get, post", "update-api", |it| answer(it, "get_api", "OrderApi")["CorsConfiguration"] = Value::Null),
    ("CORS", "pages of https://a.example, https://b.example may use the API in a browser, and the template admits none", "delete-cors-configuration --api-id a1 --region", |it| { it.template.parameters.insert("AllowedOrigins".to_owned(), String::new()); }),
    ("functions", "PaymentFunction is Failed", "get-function-configuration --function-name shop-PaymentFunction-1", |it| answer(it, "get_function_configuration", "PaymentFunction")["State"] = "Failed".into()),
    ("event sources", "Mapping is Disabled", "--uuid uuid-1 --enabled", |it| answer(it, "get_event_source_mapping", "Mapping")["State"] = "Disabled".into()),
    ("event sources", "one by one", "ReportBatchItemFailures", |it| answer(it, "get_event_source_mapping", "Mapping")["FunctionResponseTypes"] = json!([])),
    ("event sources", "at most 9 at once, and the template says 2", "MaximumConcurrency=2", |it| answer(it, "get_event_source_mapping", "Mapping")["ScalingConfig"]["MaximumConcurrency"] = 9.into()),
    ("concurrency", "may run 2 at once together, and the account has 2", "--quota-code L-B99A9384", |it| answer(it, "get_account_settings", "account")["AccountLimit"]["UnreservedConcurrentExecutions"] = 2.into()),
    ("subscriptions", "raw delivery is off", "RawMessageDelivery --attribute-value 'true'", |it| answer(it, "get_subscription_attributes", "Subscription")["Attributes"]["RawMessageDelivery"] = "false".into()),
    ("subscriptions", "lets through null", "FilterPolicy --attribute-value '{\"type\"", |it| answer(it, "get_subscription_attributes", "Subscription")["Attributes"]["FilterPolicy"] = Value::Null),
    ("subscriptions", "filters by MessageBody", "FilterPolicyScope", |it| answer(it, "get_subscription_attributes", "Subscription")["Attributes"]["FilterPolicyScope"] = "MessageBody".into()),
    ("subscriptions", "no dead-letter queue", "RedrivePolicy", |it| answer(it, "get_subscription_attributes", "Subscription")["Attributes"]["RedrivePolicy"] = Value::Null),
    ("subscriptions", "NotFound", "sam deploy", |it| { it.answers.insert(("get_subscription_attributes".to_owned(), "Subscription".to_owned()), Err(Refused { code: "NotFound".to_owned(), message: "gone".to_owned() })); }),
    ("deliveries", "the policy of Queue does not let SNS send", "--attribute-names Policy", |it| answer(it, "get_queue_attributes", "Queue")["Attributes"]["Policy"] = Value::Null),
    ("deliveries", "the policy of Undelivered does not", "--attribute-names Policy", |it| answer(it, "get_queue_attributes", "Undelivered")["Attributes"]["Policy"] = policy("sns.amazonaws.com", "sqs:SendMessage", "arn:aws:sns:other")),
    ("deliveries", "MailTopic does not let ses.amazonaws.com publish", "get-topic-attributes", |it| answer(it, "get_topic_attributes", "MailTopic")["Attributes"]["Policy"] = policy("ses.amazonaws.com", "sns:Publish", "arn:aws:ses:other")),
    ("deliveries", "AlertsTopic does not let cloudwatch.amazonaws.com", "get-topic-attributes", |it| answer(it, "get_topic_attributes", "AlertsTopic")["Attributes"]["Policy"] = json!("{}")),
    ("Stripe key", "none of Stripe's secret keys", "put-secret-value --secret-id arn:secret", |it| answer(it, "get_secret_value", "StripeKeySecret")["SecretString"] = "sk_test_".into()),
    ("Stripe key", "a live Stripe key is set on stage dev", "put-secret-value", |it| answer(it, "get_secret_value", "StripeKeySecret")["SecretString"] = "sk_live_1".into()),
    ("Stripe key", "no Stripe key is set", "put-secret-value", |it| { it.answers.insert(("get_secret_value".to_owned(), "StripeKeySecret".to_owned()), Err(Refused { code: "ResourceNotFoundException".to_owned(), message: "no value".to_owned() })); }),
    ("prices", "MUG cannot be ordered: the price is not a multiple of 0.010 KWD", "get-item --table-name shop-Catalogue-1 --key '{\"sku\":{\"S\":\"MUG\"}}' --region", |it| answer(it, "scan", "CatalogueTable")["Items"][0] = json!({"sku": {"S": "MUG"}, "unit_price_minor": {"N": "1205"}, "currency": {"S": "KWD"}})),
    ("prices", "MUG cannot be ordered: the price is no whole number", "get-item", |it| answer(it, "scan", "CatalogueTable")["Items"][0]["unit_price_minor"] = json!({"N": "12.5"})),
    ("prices", "MUG cannot be ordered: the price is in BGN, which the payment provider does not charge", "get-item", |it| answer(it, "scan", "CatalogueTable")["Items"][0]["currency"] = json!({"S": "BGN"})),
    ("aliases", "LookAlias does not refuse", "aws logs tail", |it| *answer(it, "invoke", "LookAlias") = json!({"Payload": {"refused": {"error": "UnknownQueue"}}})),
    ("aliases", "ChangeAlias only looks", "aws logs tail", |it| *answer(it, "invoke", "ChangeAlias") = json!({"Payload": {"refused": {"error": "MayOnlyLook"}}})),
    ("aliases", "LookAlias fails: no", "aws logs tail", |it| *answer(it, "invoke", "LookAlias") = json!({"FunctionError": "Unhandled", "Payload": {"errorMessage": "no"}})),
    ("time to live", "DISABLED on expires_at", "update-time-to-live --table-name shop-Limits-1", |it| answer(it, "describe_time_to_live", "Limits")["TimeToLiveDescription"] = json!({"TimeToLiveStatus": "DISABLED"})),
    ("alarms", "Alarm is in ALARM: Something is late.", "describe-alarms --alarm-names shop-Alarm-1", |it| answer(it, "describe_alarms", "0")["MetricAlarms"][0]["StateValue"] = "ALARM".into()),
    ("alarms", "Alarm is gone", "sam deploy", |it| answer(it, "describe_alarms", "0")["MetricAlarms"] = json!([])),
    ("alarms", "its actions are disabled", "enable-alarm-actions", |it| answer(it, "describe_alarms", "0")["MetricAlarms"][0]["ActionsEnabled"] = false.into()),
    ("alerts", "no subscription to alarms is confirmed", "sns subscribe", |it| answer(it, "list_subscriptions_by_topic", "AlertsTopic")["Subscriptions"][0]["SubscriptionArn"] = "PendingConfirmation".into()),
    ("alerts", "alarms reach nobody", "sns subscribe", |it| answer(it, "list_subscriptions_by_topic", "AlertsTopic")["Subscriptions"] = json!([])),
    ("mail domain", "shop.example is not verified (DKIM PENDING)", "get-email-identity --email-identity shop.example", |it| *answer(it, "get_email_identity", "domain") = json!({"VerifiedForSendingStatus": false, "DkimAttributes": {"Status": "PENDING"}})),
    ("mail account", "SES has paused", "get-account", |it| answer(it, "get_account", "account")["SendingEnabled"] = false.into()),
    ("mail permissions", "MailRole may not ses:SendEmail on * (implicitDeny)", "get-role --role-name shop-MailRole-1", |it| answer(it, "simulate_principal_policy", "MailRole/SendMail")["EvaluationResults"][0]["EvalDecision"] = "implicitDeny".into()),
    ("mail received", "the rule set others is active", "set-active-receipt-rule-set --rule-set-name shop-rules", |it| answer(it, "describe_active_receipt_rule_set", "active")["Metadata"]["Name"] = "others".into()),
];

#[rustfmt::skip]
const MAIL_EVENT_BREAKS: [Break; 4] = [
    ("mail events", "MailDestination is disabled", "update-configuration-set-event-destination --configuration-set-name shop-set", |it| answer(it, "get_configuration_set_event_destinations", "shop-set")["EventDestinations"][0]["Enabled"] = false.into()),
    ("mail events", "MailDestination is gone", "sam deploy", |it| answer(it, "get_configuration_set_event_destinations", "shop-set")["EventDestinations"] = json!([])),
    ("mail events", "does not tell of BOUNCE", "\"MatchingEventTypes\":[\"BOUNCE\",\"RENDERING_FAILURE\"]", |it| answer(it, "get_configuration_set_event_destinations", "shop-set")["EventDestinations"][0]["MatchingEventTypes"] = json!(["RENDERING_FAILURE"])),
    ("mail events", "and the template says arn:aws:sns", "sam deploy", |it| answer(it, "get_configuration_set_event_destinations", "shop-set")["EventDestinations"][0]["SnsDestination"]["TopicArn"] = "arn:other".into()),
];

/// A stack that may be deleted: its rule set rests, and its queues are empty.
fn deletable() -> Found {
    let mut it = found();
    answer(&mut it, "describe_active_receipt_rule_set", "active")["Metadata"]["Name"] = "others".into();
    for queue in ["Queue", "Undelivered"] {
        answer(&mut it, "get_queue_attributes", queue)["Attributes"]["ApproximateNumberOfMessages"] = "0".into();
    }
    it
}

#[rustfmt::skip]
const DELETION_BREAKS: [Break; 4] = [
    ("termination", "shop is protected", "update-termination-protection --no-enable-termination-protection --stack-name shop --region eu-west-1", |it| it.protected = true),
    ("rule set", "shop-rules is active", "aws ses set-active-receipt-rule-set --region eu-west-1", |it| answer(it, "describe_active_receipt_rule_set", "active")["Metadata"]["Name"] = "shop-rules".into()),
    ("messages", "Queue: 3 messages would be lost", "smoke --stack shop --region eu-west-1 --before delete", |it| {
        let attributes = &mut answer(it, "get_queue_attributes", "Queue")["Attributes"];
        attributes["ApproximateNumberOfMessagesNotVisible"] = "1".into();
        attributes["ApproximateNumberOfMessagesDelayed"] = "2".into();
    }),
    ("messages", "Undelivered: 1 message would be lost", "--before delete", |it| answer(it, "get_queue_attributes", "Undelivered")["Attributes"]["ApproximateNumberOfMessages"] = "1".into()),
];

#[test]
fn what_stops_a_deletion_or_is_lost_by_it_is_named_before() {
    for (name, outcome) in judge(&DELETE, &deletable()) {
        assert!(matches!(outcome, Outcome::Pass(_)), "{name}: {outcome:?}");
    }
    for (name, wrong, command, break_it) in DELETION_BREAKS {
        let mut broken = deletable();
        break_it(&mut broken);
        let outcome = judge(&DELETE, &broken).into_iter().find(|(check, _)| *check == name).unwrap().1;
        let Outcome::Fail(faults) = outcome else { panic!("{name} does not notice: {wrong}") };
        assert!(faults.iter().any(|it| it.wrong.contains(wrong) && it.command.contains(command)), "{name}: {faults:?}");
    }
}

#[test]
fn what_outlives_its_stack_is_named() {
    let mut it = deletable();
    it.template.body["Resources"]["Limits"]["DeletionPolicy"] = "RetainExceptOnCreate".into();
    it.template.body["Resources"]["Queue"]["DeletionPolicy"] = "Retain".into();
    it.template.body["Resources"]["Alarm"]["DeletionPolicy"] = "Delete".into();
    let told: String = judge(&DELETE, &it).iter().map(|(name, outcome)| text(name, outcome)).collect();
    let queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/shop-Queue-1";
    assert!(told.contains(&format!("delete by hand once nobody needs it: shop-Limits-1, {queue}\n")), "{told}");
}

#[test]
fn a_name_that_no_stack_can_have_is_refused_before_it_is_deployed() {
    for fine in ["order-pipeline-staging".to_owned(), "s".repeat(STACK_NAME_MAX)] {
        assert!(matches!(before::name(&fine), Outcome::Pass(_)), "{fine}");
    }
    for (refused, why) in
        [("s".repeat(STACK_NAME_MAX + 2), "is 2 too long"), ("1st".to_owned(), "is no name"), ("my_shop".to_owned(), "is no name")]
    {
        let Outcome::Fail(faults) = before::name(&refused) else { panic!("{refused}") };
        assert!(faults[0].wrong.contains(why), "{faults:?}");
    }
}

#[test]
fn a_stack_in_which_all_is_well_passes_every_check() {
    for (name, outcome) in judge(&CHECKS, &found()) {
        assert!(matches!(outcome, Outcome::Pass(_)), "{name}: {outcome:?}");
    }
}

#[test]
fn each_thing_that_is_broken_is_named_with_what_to_type() {
    for (name, wrong, command, break_it) in BREAKS.into_iter().chain(MAIL_EVENT_BREAKS) {
        let mut broken = found();
        break_it(&mut broken);
        let Outcome::Fail(faults) = outcome(&broken, name) else { panic!("{name} does not notice: {wrong}") };
        let said = |fault: &Fault| fault.wrong.contains(wrong) && fault.command.contains(command);
        assert!(faults.iter().any(said), "{name} should say `{wrong}` and `{command}`: {faults:?}");
    }
}

#[test]
fn every_check_is_broken_by_one_of_the_breaks() {
    let broken: Vec<&str> = BREAKS.iter().chain(&MAIL_EVENT_BREAKS).map(|(name, ..)| *name).collect();
    // `mail` only says whether the others are about anything.
    for (name, _) in CHECKS.iter().filter(|(name, _)| *name != "mail") {
        assert!(broken.contains(name), "{name}");
    }
}

#[test]
fn an_api_without_allowed_origins_has_no_cors() {
    let mut closed = found();
    closed.template.parameters.insert("AllowedOrigins".to_owned(), String::new());
    answer(&mut closed, "get_api", "OrderApi").as_object_mut().unwrap().remove("CorsConfiguration");
    assert_eq!(outcome(&closed, "CORS"), Outcome::Pass("pages of no other site may use it".to_owned()));
}

#[test]
fn without_a_mail_domain_mail_is_not_checked() {
    let mut without = found();
    without.template.parameters.insert("MailDomain".to_owned(), String::new());
    for (name, _) in CHECKS.iter().filter(|(name, _)| name.starts_with("mail")) {
        assert_eq!(outcome(&without, name), Outcome::Skip("this stack has no MailDomain".to_owned()), "{name}");
    }
    assert!(text("mail", &outcome(&without, "mail")).contains("mail: "));
}

#[test]
fn what_the_caller_may_not_see_is_skipped_with_the_reason() {
    for (name, check) in CHECKS.iter().filter(|(name, _)| !["stack", "names", "mail"].contains(name)) {
        let mut blind = found();
        for answer in blind.answers.values_mut() {
            *answer = Err(Refused { code: "AccessDeniedException".to_owned(), message: "no".to_owned() });
        }
        let outcome = check(&blind);
        assert!(matches!(&outcome, Outcome::Skip(why) if why.starts_with("you may not call ")), "{name}: {outcome:?}");
    }
}

#[test]
fn what_a_stage_may_do_without_is_no_fault() {
    let mut dev = found();
    dev.template.parameters.insert("AlertEmail".to_owned(), String::new());
    answer(&mut dev, "list_subscriptions_by_topic", "AlertsTopic")["Subscriptions"] = json!([]);
    answer(&mut dev, "get_account", "account")["ProductionAccessEnabled"] = false.into();
    for name in ["alerts", "mail account"] {
        assert!(matches!(outcome(&dev, name), Outcome::Skip(_)), "{name}");
    }
    let mut prod = dev;
    prod.template.parameters.insert("Stage".to_owned(), "prod".to_owned());
    for name in ["alerts", "mail account", "Stripe key", "throttles"] {
        assert!(matches!(outcome(&prod, name), Outcome::Fail(_)), "{name}");
    }
}

#[test]
fn a_key_is_never_printed() {
    for key in ["sk_test_hidden", "sk_live_hidden", "hidden"] {
        let mut it = found();
        answer(&mut it, "get_secret_value", "StripeKeySecret")["SecretString"] = key.into();
        let told: String = judge(&CHECKS, &it).iter().map(|(name, outcome)| text(name, outcome)).collect();
        assert!(!told.contains("hidden"), "{told}");
    }
}
