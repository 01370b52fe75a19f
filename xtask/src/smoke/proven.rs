//! The proof of `smoke`, against a stack on this machine: it finds nothing wrong, and an order ships; then each thing is broken in the
//! account, is named in the right sentence, and is put back. The step `smoke` of `cargo xtask test`.
//!
//! Last it deletes a subscription, which comes back under another ARN: only a new stack passes `smoke` again.

use super::aws::Aws;
use super::checks::Outcome;
use super::{found, look_here, order, print_all, text};
use anyhow::{Context as _, Result, bail, ensure};
use console::machine::Repository;
use console::progress::green;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::engine::{Engine, element};
use testkit::shop::new_key;
use testkit::stack::State;

/// An order takes two seconds; a busy machine takes longer.
const ORDER_LIMIT: Duration = Duration::from_secs(30);

pub async fn run(repository: &Repository, state: &State) -> Result<()> {
    let mut aws = Aws::here(repository, state)?;
    let found = found::find(&mut aws, &state.stack_name, true, String::new()).await?;
    let placing = order::Placing { line: None, limit: ORDER_LIMIT };
    let placed = order::place(&mut aws, &found, Some(state), placing).await?;
    ensure!(matches!(placed, Outcome::Pass(_)), "{}", text("order", &placed));
    print_all(&[("order", placed)]);
    let ids = found.template.resources.clone();
    let mut proof = Proof { aws, engine: state.engine(), state, ids };
    proof.is_well().await?;
    proof.http_api().await?;
    proof.queues().await?;
    proof.topics().await?;
    proof.settings().await?;
    proof.mail().await?;
    proof.is_well().await?;
    proof.subscription().await
}

struct Proof<'a> {
    aws: Aws,
    engine: Engine,
    state: &'a State,
    /// Physical ids by logical ones.
    ids: std::collections::BTreeMap<String, String>,
}

impl Proof<'_> {
    fn id(&self, logical: &str) -> Result<String> {
        self.ids.get(logical).cloned().with_context(|| format!("the stack has no {logical}"))
    }

    async fn is_well(&mut self) -> Result<()> {
        let outcomes = look_here(&mut self.aws, self.state).await?;
        let wrong: String = outcomes.iter().filter(|(_, it)| matches!(it, Outcome::Fail(_))).map(|(name, it)| text(name, it)).collect();
        ensure!(wrong.is_empty(), "nothing is broken, and smoke says:\n{wrong}");
        ensure!(outcomes.iter().any(|(_, it)| matches!(it, Outcome::Pass(_))), "smoke has checked nothing");
        println!("{} nothing is wrong", green("✓"));
        Ok(())
    }

    /// The check of this name says this of the stack as it is now.
    async fn says(&mut self, name: &str, sentence: &str) -> Result<()> {
        let outcomes = look_here(&mut self.aws, self.state).await?;
        let (_, outcome) = outcomes.into_iter().find(|(it, _)| *it == name).with_context(|| format!("no check is called {name}"))?;
        match &outcome {
            Outcome::Fail(faults) if faults.iter().any(|fault| fault.wrong.contains(sentence) && !fault.command.is_empty()) => {
                println!("{} {name}: {sentence}", green("✓"));
                Ok(())
            }
            _ => bail!("{name} should say `{sentence}`, and says:\n{}", text(name, &outcome)),
        }
    }

    async fn sqs(&self, action: &str, input: Value) -> Result<Value> {
        self.engine.call("sqs", &format!("AmazonSQS.{action}"), &input).await
    }

    async fn sns(&self, action: &str, form: &[(&str, &str)]) -> Result<String> {
        self.engine.query("sns", &[&[("Action", action), ("Version", "2010-03-31")], form].concat()).await
    }

    async fn http_api(&mut self) -> Result<()> {
        let stage = format!("/v2/apis/{}/stages/$default", self.id("OrderApi")?);
        let before = self.engine.rest("apigateway", "GET", &stage, "").await?.json()?["routeSettings"].clone();
        self.engine.rest("apigateway", "PATCH", &stage, &json!({"routeSettings": {}}).to_string()).await?;
        let said = self.says("throttles", "POST /orders is throttled at none/none, and the template says 7/70").await;
        self.engine.rest("apigateway", "PATCH", &stage, &json!({ "routeSettings": before }).to_string()).await?;
        said?;

        let api = format!("/v2/apis/{}", self.id("OrderApi")?);
        let opened = json!({"corsConfiguration": {"allowOrigins": ["https://other.example"], "allowMethods": ["GET"]}});
        self.engine.rest("apigateway", "PATCH", &api, &opened.to_string()).await?;
        let said = self.says("CORS", "pages of https://other.example may use the API in a browser, and the template admits none").await;
        self.engine.rest("apigateway", "DELETE", &format!("{api}/cors"), "").await?;
        said?;

        let routes = format!("{api}/routes");
        let all = self.engine.rest("apigateway", "GET", &routes, "").await?.json()?;
        let route = all["items"].as_array().into_iter().flatten().find(|route| route["routeKey"] == "GET /orders/{order_id}");
        let route = route.context("no route to look at an order")?;
        self.engine.rest("apigateway", "DELETE", &format!("{routes}/{}", route["routeId"].as_str().unwrap_or_default()), "").await?;
        let said = self.says("routes", "no route GET /orders/{order_id}").await;
        let again = json!({"routeKey": route["routeKey"], "target": route["target"]});
        self.engine.rest("apigateway", "POST", &routes, &again.to_string()).await?;
        said
    }

    async fn queues(&mut self) -> Result<()> {
        self.engine.set_event_source("InventoryFunction", false).await?;
        let said = self.says("event sources", "InventoryFunctionQueue is Disabled").await;
        self.engine.set_event_source("InventoryFunction", true).await?;
        said?;

        let queue = self.id("InventoryQueue")?;
        let attributes = self.sqs("GetQueueAttributes", json!({"QueueUrl": queue, "AttributeNames": ["Policy"]})).await?;
        self.sqs("SetQueueAttributes", json!({"QueueUrl": queue, "Attributes": {"Policy": ""}})).await?;
        let said = self.says("deliveries", "the policy of InventoryQueue does not let SNS send").await;
        self.sqs("SetQueueAttributes", json!({"QueueUrl": queue, "Attributes": {"Policy": attributes["Attributes"]["Policy"]}})).await?;
        said?;

        let reserved = format!("/2017-10-31/functions/{}/concurrency", self.id("OrderIntakeFunction")?);
        self.engine.rest("lambda", "PUT", &reserved, &json!({"ReservedConcurrentExecutions": 990}).to_string()).await?;
        let said = self.says("concurrency", "no room for the API's").await;
        self.engine.rest("lambda", "DELETE", &reserved, "").await?;
        said
    }

    async fn topics(&mut self) -> Result<()> {
        let arn = self.id("PaymentSubscription")?;
        let attributes = self.sns("GetSubscriptionAttributes", &[("SubscriptionArn", &arn)]).await?;
        for (name, broken, sentence) in [
            ("RawMessageDelivery", "false", "raw delivery is off"),
            ("FilterPolicy", r#"{"type":["order.placed.v1"]}"#, "PaymentSubscription lets through {\"type\":[\"order.placed.v1\"]}"),
            ("RedrivePolicy", "{}", "PaymentSubscription has no dead-letter queue"),
        ] {
            let before = attribute(&attributes, name).with_context(|| format!("the subscription has no {name}"))?;
            let set = |value| [("SubscriptionArn", &*arn), ("AttributeName", name), ("AttributeValue", value)];
            self.sns("SetSubscriptionAttributes", &set(broken)).await?;
            let said = self.says("subscriptions", sentence).await;
            self.sns("SetSubscriptionAttributes", &set(&before)).await?;
            said?;
        }

        let arn = self.id("AlertsTopic")?;
        let attributes = self.sns("GetTopicAttributes", &[("TopicArn", &arn)]).await?;
        let before = attribute(&attributes, "Policy").context("the topic for alarms has no policy")?;
        let set = |value| [("TopicArn", &*arn), ("AttributeName", "Policy"), ("AttributeValue", value)];
        self.sns("SetTopicAttributes", &set(r#"{"Version":"2012-10-17","Statement":[]}"#)).await?;
        let said = self.says("deliveries", "AlertsTopic does not let cloudwatch.amazonaws.com publish").await;
        self.sns("SetTopicAttributes", &set(&before)).await?;
        said
    }

    async fn settings(&mut self) -> Result<()> {
        let put = async |engine: &Engine, state: &State, key: &str| -> Result<()> {
            let secret = json!({"SecretId": state.output("StripeKeySecretArn")?, "SecretString": key, "ClientRequestToken": new_key()});
            engine.call("secretsmanager", "secretsmanager.PutSecretValue", &secret).await.map(drop)
        };
        put(&self.engine, self.state, "to be set").await?;
        let said = self.says("Stripe key", "none of Stripe's secret keys").await;
        put(&self.engine, self.state, &self.state.keys.provider).await?;
        said?;

        let catalogue = self.id("CatalogueTable")?;
        // One that smoke reads, which are not all: the first of a scan.
        let first = self.engine.call("dynamodb", "DynamoDB_20120810.Scan", &json!({"TableName": catalogue, "Limit": 1})).await?;
        let row = &first["Items"][0];
        let sku = row["sku"]["S"].as_str().context("the catalogue is empty")?;
        let mut wrong = row.clone();
        (wrong["unit_price_minor"], wrong["currency"]) = (json!({"N": "1205"}), json!({"S": "KWD"}));
        self.engine.call("dynamodb", "DynamoDB_20120810.PutItem", &json!({"TableName": catalogue, "Item": wrong})).await?;
        let said = self.says("prices", &format!("{sku} cannot be ordered: the price is not a multiple of 0.010 KWD")).await;
        self.engine.call("dynamodb", "DynamoDB_20120810.PutItem", &json!({"TableName": catalogue, "Item": row})).await?;
        said?;

        let function = self.id("OperatorFunction")?;
        let aliases = format!("/2015-03-31/functions/{function}/aliases");
        self.engine.rest("lambda", "DELETE", &format!("{aliases}/look"), "").await?;
        let said = self.says("aliases", "OperatorLookAlias").await;
        self.engine.rest("lambda", "POST", &aliases, &json!({"Name": "look", "FunctionVersion": "$LATEST"}).to_string()).await?;
        said?;

        let ttl = |enabled| json!({"Enabled": enabled, "AttributeName": "expires_at"});
        let mut input = json!({"TableName": self.id("MailLimitsTable")?, "TimeToLiveSpecification": ttl(false)});
        self.engine.call("dynamodb", "DynamoDB_20120810.UpdateTimeToLive", &input).await?;
        let said = self.says("time to live", "MailLimitsTable keeps its rows for ever").await;
        input["TimeToLiveSpecification"] = ttl(true);
        self.engine.call("dynamodb", "DynamoDB_20120810.UpdateTimeToLive", &input).await?;
        said?;

        let alarm = self.id("PaymentDeadLetterAlarm")?;
        let state = |value| {
            [
                ("Action", "SetAlarmState"),
                ("Version", "2010-08-01"),
                ("AlarmName", &*alarm),
                ("StateValue", value),
                ("StateReason", "smoke"),
            ]
        };
        self.engine.query("monitoring", &state("ALARM")).await?;
        let said = self.says("alarms", "PaymentDeadLetterAlarm is in ALARM: A message of payment").await;
        self.engine.query("monitoring", &state("OK")).await?;
        said
    }

    async fn mail(&mut self) -> Result<()> {
        let set = format!("/v2/email/configuration-sets/{}/event-destinations", self.id("MailConfigurationSet")?);
        let all = self.engine.rest("ses", "GET", &set, "").await?.json()?;
        let mut destination = all["EventDestinations"][0].clone();
        let name = destination["Name"].as_str().context("no event destination")?.to_owned();
        let path = format!("{set}/{name}");
        destination["Enabled"] = false.into();
        self.engine.rest("ses", "PUT", &path, &json!({ "EventDestination": destination }).to_string()).await?;
        let said = self.says("mail events", "MailEventDestination is disabled").await;
        destination["Enabled"] = true.into();
        self.engine.rest("ses", "PUT", &path, &json!({ "EventDestination": destination }).to_string()).await?;
        said?;

        let role = self.id("OrderEmailRole")?;
        let policies = self.engine.role_policies(&role).await?;
        let (name, before) = policies.into_iter().next().context("order-email's role has no policy")?;
        let mut without = before.clone();
        if let Some(statements) = without["Statement"].as_array_mut() {
            statements.retain(|statement| statement["Sid"] != "SendMail");
        }
        self.engine.put_role_policy(&role, &name, &without).await?;
        let said = self.says("mail permissions", "OrderEmailRole may not ses:SendEmail").await;
        self.engine.put_role_policy(&role, &name, &before).await?;
        said
    }

    /// Of SES's notifications: Standard, and without a filter, so that it is easily made again.
    async fn subscription(&mut self) -> Result<()> {
        let arn = self.id("EmailFeedbackSubscription")?;
        let topic = self.id("MailEventsTopic")?;
        let input = json!({"QueueUrl": self.id("EmailFeedbackQueue")?, "AttributeNames": ["QueueArn"]});
        let queue = self.sqs("GetQueueAttributes", input).await?;
        let endpoint = queue["Attributes"]["QueueArn"].as_str().context("a queue without an ARN")?.to_owned();
        let attributes = self.sns("GetSubscriptionAttributes", &[("SubscriptionArn", &arn)]).await?;
        let redrive = attribute(&attributes, "RedrivePolicy").context("the subscription has no dead-letter queue")?;
        self.sns("Unsubscribe", &[("SubscriptionArn", &arn)]).await?;
        let said = self.says("subscriptions", "EmailFeedbackSubscription: NotFound").await;
        let subscribe = [
            ("TopicArn", &*topic),
            ("Protocol", "sqs"),
            ("Endpoint", &*endpoint),
            ("Attributes.entry.1.key", "RawMessageDelivery"),
            ("Attributes.entry.1.value", "true"),
            ("Attributes.entry.2.key", "RedrivePolicy"),
            ("Attributes.entry.2.value", &*redrive),
        ];
        self.sns("Subscribe", &subscribe).await?;
        said
    }
}

/// An attribute in an answer of SNS: `<entry><key>Name</key><value>…</value></entry>`.
fn attribute(answer: &str, name: &str) -> Option<String> {
    let entry = answer.split("<entry>").find(|entry| element(entry, "key").as_deref() == Some(name))?;
    element(entry, "value")
}
