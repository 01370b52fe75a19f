//! What a stack is like: its template, and what AWS says of each of its resources. One round of calls for the stack, one for all the
//! rest; nothing is judged here.

use super::aws::{Answer, Aws, Call};
use super::template::{Resource, Template};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most alarms that DescribeAlarms takes by name
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html>).
const ALARMS_MAX: usize = 100;
/// Rows of a table that are read, each of which is paid for: a shop that has more shows its habits among these.
pub const ROWS_MAX: usize = 100;
/// An order that cannot exist, for a command that must be refused: settling or nudging it would find nothing.
const NO_ORDER: &str = "00000000-0000-5000-8000-000000000000";

/// All that the checks judge.
#[derive(Debug, Clone)]
pub struct Found {
    pub template: Template,
    /// The stack's, such as `UPDATE_COMPLETE`.
    pub status: String,
    pub outputs: BTreeMap<String, String>,
    /// Whether a deletion is refused.
    pub protected: bool,
    /// Whether it runs on this machine, where some of AWS is not.
    pub local: bool,
    /// What commands of the AWS CLI need to mean the same account, such as ` --region eu-west-1`.
    pub flags: String,
    /// By operation, and by logical id or what else was asked for.
    pub answers: BTreeMap<(String, String), Answer>,
}

impl Found {
    /// The response; [`None`] where it was not asked for.
    pub fn answer(&self, operation: &str, about: &str) -> Option<&Answer> {
        self.answers.get(&(operation.to_owned(), about.to_owned()))
    }

    /// Whether the stack has mail: without a domain it has none, and mails nobody.
    pub fn has_mail(&self) -> bool {
        !self.template.parameter("MailDomain").is_empty() && !self.template.of_type("AWS::SES::ConfigurationSet").is_empty()
    }

    pub fn output(&self, name: &str) -> &str {
        self.outputs.get(name).map_or("", String::as_str)
    }
}

/// Calls about one thing each, and what they are about.
struct Round(Vec<((String, String), Call)>);

impl Round {
    fn add(&mut self, about: &str, service: &str, operation: &str, input: Value) {
        self.0.push(((operation.to_owned(), about.to_owned()), Call::new(service, operation, input)));
    }
    fn add_pages(&mut self, about: &str, service: &str, operation: &str, input: Value) {
        self.0.push(((operation.to_owned(), about.to_owned()), Call::pages(service, operation, input)));
    }
    async fn ask(self, aws: &mut Aws) -> Result<BTreeMap<(String, String), Answer>> {
        let (names, calls): (Vec<_>, Vec<_>) = self.0.into_iter().unzip();
        Ok(names.into_iter().zip(aws.ask(calls).await?).collect())
    }
}

/// Asks for everything.
pub async fn find(aws: &mut Aws, stack: &str, local: bool, flags: String) -> Result<Found> {
    let name = json!({"StackName": stack});
    let calls = vec![
        Call::new("cloudformation", "describe_stacks", name.clone()),
        Call::pages("cloudformation", "list_stack_resources", name.clone()),
        Call::new("cloudformation", "get_template", json!({"StackName": stack, "TemplateStage": "Processed"})),
    ];
    let mut answers =
        aws.ask(calls).await?.into_iter().map(|answer| answer.map_err(|why| anyhow::anyhow!("{}: {}", why.code, why.message)));
    let mut next = || answers.next().context("fewer answers than calls").flatten();
    let described = next().with_context(|| format!("the stack {stack} cannot be described"))?;
    let listed = next().with_context(|| format!("the resources of {stack} cannot be listed"))?;
    let template = next().with_context(|| format!("the template of {stack} cannot be read"))?;

    let mut found = stack_of(&described["Stacks"][0], &listed, template["TemplateBody"].clone())?;
    found.local = local;
    found.flags = flags;
    found.answers = round(&found).ask(aws).await?;
    Ok(found)
}

fn stack_of(stack: &Value, listed: &Value, body: Value) -> Result<Found> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pairs = |list: &Value, key: &str, value: &str| -> BTreeMap<String, String> {
        list.as_array().into_iter().flatten().map(|item| (text(&item[key]), text(&item[value]))).collect()
    };
    // As a text where it is none that botocore reads as JSON.
    let body = match body {
        Value::String(text) => serde_json::from_str(&text).context("the processed template is not JSON")?,
        object => object,
    };
    if !body["Resources"].is_object() {
        bail!("the processed template has no resources");
    }
    let summaries = listed["StackResourceSummaries"].as_array().into_iter().flatten();
    let existing = summaries.filter(|resource| !text(&resource["ResourceStatus"]).starts_with("DELETE"));
    let template = Template {
        body,
        stack_name: text(&stack["StackName"]),
        stack_id: text(&stack["StackId"]),
        parameters: pairs(&stack["Parameters"], "ParameterKey", "ParameterValue"),
        resources: existing.map(|resource| (text(&resource["LogicalResourceId"]), text(&resource["PhysicalResourceId"]))).collect(),
    };
    let outputs = pairs(&stack["Outputs"], "OutputKey", "OutputValue");
    let status = text(&stack["StackStatus"]);
    let protected = stack["EnableTerminationProtection"] == true;
    Ok(Found { template, status, outputs, protected, local: false, flags: String::new(), answers: BTreeMap::new() })
}

/// The calls for a stack's resources.
fn round(found: &Found) -> Round {
    let (template, mut round) = (&found.template, Round(Vec::new()));
    for it in template.of_type("AWS::ApiGatewayV2::Stage") {
        let api = it.property("ApiId");
        round.add(it.id, "apigatewayv2", "get_stage", json!({"ApiId": api, "StageName": it.property("StageName")}));
    }
    for it in template.of_type("AWS::ApiGatewayV2::Api") {
        round.add(it.id, "apigatewayv2", "get_api", json!({"ApiId": it.physical_id}));
        round.add_pages(it.id, "apigatewayv2", "get_routes", json!({"ApiId": it.physical_id}));
    }
    for it in template.of_type("AWS::Lambda::Function") {
        round.add(it.id, "lambda", "get_function_configuration", json!({"FunctionName": it.physical_id}));
    }
    for it in template.of_type("AWS::Lambda::EventSourceMapping") {
        round.add(it.id, "lambda", "get_event_source_mapping", json!({"UUID": it.physical_id}));
    }
    for it in template.of_type("AWS::Lambda::Alias") {
        aliases(it, &mut round);
    }
    for it in template.of_type("AWS::SQS::Queue") {
        round.add(it.id, "sqs", "get_queue_attributes", json!({"QueueUrl": it.physical_id, "AttributeNames": ["All"]}));
    }
    for it in template.of_type("AWS::SNS::Topic") {
        round.add(it.id, "sns", "get_topic_attributes", json!({"TopicArn": it.physical_id}));
        round.add_pages(it.id, "sns", "list_subscriptions_by_topic", json!({"TopicArn": it.physical_id}));
    }
    for it in template.of_type("AWS::SNS::Subscription").into_iter().filter(|it| it.property("Protocol") == "sqs") {
        round.add(it.id, "sns", "get_subscription_attributes", json!({"SubscriptionArn": it.physical_id}));
    }
    for it in template.of_type("AWS::SecretsManager::Secret").into_iter().filter(|it| it.properties.get("GenerateSecretString").is_none()) {
        round.add(it.id, "secretsmanager", "get_secret_value", json!({"SecretId": it.physical_id}));
    }
    for it in template.of_type("AWS::DynamoDB::Table").into_iter().filter(|it| it.properties.get("TimeToLiveSpecification").is_some()) {
        round.add(it.id, "dynamodb", "describe_time_to_live", json!({"TableName": it.physical_id}));
    }
    if let Some(it) = template.resource("CatalogueTable") {
        round.add(it.id, "dynamodb", "scan", json!({"TableName": it.physical_id, "Limit": ROWS_MAX}));
    }
    let alarms: Vec<_> = template.of_type("AWS::CloudWatch::Alarm").iter().map(|it| it.physical_id).collect();
    for (number, names) in alarms.chunks(ALARMS_MAX).enumerate() {
        round.add(&number.to_string(), "cloudwatch", "describe_alarms", json!({"AlarmNames": names, "MaxRecords": ALARMS_MAX}));
    }
    round.add("account", "lambda", "get_account_settings", json!({}));
    if found.has_mail() {
        mail(template, &mut round);
    }
    round
}

/// Each is asked for, and asked the same, about what is not there: the one that may only look has to refuse it, the other one to look
/// for it in vain.
fn aliases(it: Resource<'_>, round: &mut Round) {
    let (function, name) = (it.property("FunctionName"), it.property("Name"));
    let command = if it.properties["FunctionName"]["Ref"] == testkit::stack::OPERATOR {
        json!({"nudge": {"order_id": NO_ORDER, "reason": "smoke", "dry_run": false}})
    } else {
        json!({"peek": {"queue": "smoke-asks-for-no-queue", "reveal": true}})
    };
    let payload = json!({"by": "smoke", "command": command}).to_string();
    round.add(it.id, "lambda", "get_alias", json!({"FunctionName": function, "Name": name}));
    round.add(it.id, "lambda", "invoke", json!({"FunctionName": function, "Qualifier": name, "Payload": payload}));
}

fn mail(template: &Template, round: &mut Round) {
    for it in template.of_type("AWS::SES::ConfigurationSet") {
        let name = json!({"ConfigurationSetName": it.physical_id});
        round.add(it.physical_id, "sesv2", "get_configuration_set_event_destinations", name);
    }
    round.add("domain", "sesv2", "get_email_identity", json!({"EmailIdentity": template.parameter("MailDomain")}));
    round.add("account", "sesv2", "get_account", json!({}));
    if !template.of_type("AWS::SES::ReceiptRuleSet").is_empty() {
        round.add("active", "ses", "describe_active_receipt_rule_set", json!({}));
    }
    for dry in super::permissions::dry_calls(template) {
        round.add(&dry.name(), "iam", "simulate_principal_policy", dry.input());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_read_with_what_exists_of_it() {
        let stack = json!({
            "StackName": "shop", "StackId": "arn:aws:cloudformation:eu-west-1:123456789012:stack/shop/1", "StackStatus": "CREATE_COMPLETE",
            "Parameters": [{"ParameterKey": "Stage", "ParameterValue": "dev"}], "Outputs": [{"OutputKey": "ApiUrl", "OutputValue": "https://x"}]
        });
        let resource = |id: &str, status: &str| json!({"LogicalResourceId": id, "PhysicalResourceId": "p", "ResourceStatus": status});
        let listed = json!({"StackResourceSummaries": [resource("A", "CREATE_COMPLETE"), resource("B", "DELETE_COMPLETE")]});
        let found = stack_of(&stack, &listed, json!("{\"Resources\": {}}").clone()).unwrap();
        assert_eq!(found.template.resources.keys().collect::<Vec<_>>(), ["A"]);
        assert_eq!((found.template.parameter("Stage"), found.output("ApiUrl"), &*found.status), ("dev", "https://x", "CREATE_COMPLETE"));
        assert!(!found.has_mail(), "no domain");
        assert!(stack_of(&stack, &listed, json!("A: 1")).is_err());
    }
}
