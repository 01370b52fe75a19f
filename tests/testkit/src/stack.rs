//! A running stack: where it is, and what the end-to-end tests need of it.

use crate::{
    calls::folder_of,
    engine::{Engine, Keys, element, encode, provider, provider_does},
    skip::skip,
};
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// The state file of a running stack: what `cargo xtask up` leaves for the other commands and the tests. It holds
/// the secrets of the engine and of the payment provider, and only its owner may read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Where the engine answers.
    pub endpoint_url: String,
    /// The region that it plays.
    pub region: String,
    /// The stack's name.
    pub stack_name: String,
    /// Where the HTTP API answers.
    pub api_url: String,
    /// Where the payment provider answers.
    pub stripe_url: String,
    /// The stack's outputs, by key.
    pub outputs: BTreeMap<String, String>,
    /// The engine's process.
    pub engine_pid: u32,
    /// The payment provider's process.
    pub stripe_pid: u32,
    /// The key for opens.
    pub keys: Keys,
}

/// The longest name of a stack: with room for a developer's own beside order-pipeline-staging, and so that each name which the template
/// derives from it fits its service.
pub const STACK_NAME_MAX: usize = 40;

/// The mode of a file that its owner reads and writes, and nobody else.
const OWNER_ALONE: u32 = 0o600;

/// Writes a file that only its owner may read. Made anew, because an older file keeps the mode that it has.
///
/// # Errors
/// Where the file cannot be replaced or written.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{} cannot be replaced", path.display()));
        }
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ALONE).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

impl State {
    /// The engine, with its all-powerful key.
    pub fn engine(&self) -> Engine {
        Engine::new(&self.endpoint_url, &self.keys)
    }

    /// Where a stack whose state lies in `folder` is described.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("state.json")
    }

    /// What `folder` says; [`None`] where it says nothing that can be read.
    ///
    /// # Errors
    /// Where the file is there and cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = Self::path(folder);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        // One that an older build wrote, or that was cut off, describes nothing that could be stopped safely.
        Ok(serde_json::from_str(&text).ok())
    }

    /// Written aside and moved into place, so that nobody reads half of it.
    ///
    /// # Errors
    /// Where the folder cannot be written to.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = Self::path(folder);
        let aside = path.with_extension("json.new");
        write_private(&aside, &(serde_json::to_string_pretty(self)? + "\n"))?;
        std::fs::rename(&aside, &path).with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Forgets the stack.
    ///
    /// # Errors
    /// Where the file cannot be removed.
    pub fn remove(folder: &Path) -> Result<()> {
        match std::fs::remove_file(Self::path(folder)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// The output `key` of the template.
    ///
    /// # Errors
    /// Names the output that is missing.
    pub fn output(&self, key: &str) -> Result<&str> {
        self.outputs.get(key).map(String::as_str).with_context(|| format!("the stack has no output {key}; template.yaml should have one"))
    }
}

/// The variable that names the state file to the end-to-end tests.
pub const STATE_VARIABLE: &str = "PIPELINE_STATE";

/// A deployed stack on the local engine.
#[derive(Clone)]
pub struct Stack {
    /// Where it is.
    pub state: State,
    /// The engine, with its all-powerful key.
    pub engine: Engine,
}

/// The DLQ inspector in the template.
pub const INSPECTOR: &str = "DlqInspectorFunction";
/// The operator in the template.
pub const OPERATOR: &str = "OperatorFunction";

/// The alias of both that may change something: `domain::command::Power`'s, which this crate does not depend on.
const CHANGE: &str = "change";

/// How long all invocations of one question to the inspector may take: ten thousand messages, on a machine that does ten
/// other things, and no test that hangs.
const INSPECTION_PATIENCE: Duration = Duration::from_secs(600);

/// How long a test waits for something that must happen: a minute more than payment's visibility timeout of 180 s, after
/// which comes back what a killed process had taken. Nothing else brings it: within five minutes of an announcement the topic
/// drops its repetition.
pub const PATIENCE: Duration = Duration::from_secs(240);

impl Stack {
    /// The stack that the state file at `path` describes.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn at(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
        Ok(Self::of(serde_json::from_str(&text).with_context(|| format!("{} is no state file", path.display()))?))
    }

    /// The stack that `state` describes.
    pub fn of(state: State) -> Self {
        Self { engine: state.engine(), state }
    }

    /// The stack that `PIPELINE_STATE` names; [`None`], and the reason printed, where it names none.
    ///
    /// # Errors
    /// Where it names a file that is no state file: a test that was asked for must not be skipped in silence.
    pub fn of_tests() -> Result<Option<Self>> {
        match std::env::var_os(STATE_VARIABLE) {
            Some(path) => Self::at(Path::new(&path)).map(Some),
            None => {
                skip(&format!("{STATE_VARIABLE} names no running stack; `cargo xtask test` starts one"));
                Ok(None)
            }
        }
    }

    /// Waits until `look` finds something.
    ///
    /// # Errors
    /// After [`PATIENCE`], naming `what` was waited for; at once where `look` itself fails.
    pub async fn wait_for<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
        /// Soon enough for tests to feel quick, seldom enough for one machine.
        const POLL_EVERY: Duration = Duration::from_millis(100);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            anyhow::ensure!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for: {what}");
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// An item of the table whose output is `<table>Name`, in plain JSON; [`None`] where there is none.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn item(&self, table: &str, key: &str, value: &str) -> Result<Option<Value>> {
        let name = self.state.output(&format!("{table}Name"))?;
        let input = json!({"TableName": name, "Key": {key: {"S": value}}, "ConsistentRead": true});
        let answer = self.engine.call("dynamodb", "DynamoDB_20120810.GetItem", &input).await?;
        Ok(answer.get("Item").map(|item| plain(&json!({"M": item}))))
    }

    /// Puts a SKU into catalogue and stock.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn stock_up(&self, sku: &str, unit_price_minor: u64, available: u64) -> Result<()> {
        let number = |n: u64| json!({"N": n.to_string()});
        let catalogue =
            json!({"sku": {"S": sku}, "name": {"S": sku}, "unit_price_minor": number(unit_price_minor), "currency": {"S": "EUR"}});
        self.put("CatalogueTable", catalogue).await?;
        self.put("StockTable", json!({"sku": {"S": sku}, "available": number(available)})).await
    }

    /// Writes an item, in DynamoDB's own JSON, over whatever is there.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn put(&self, table: &str, item: Value) -> Result<()> {
        let name = self.state.output(&format!("{table}Name"))?;
        self.engine.call("dynamodb", "DynamoDB_20120810.PutItem", &json!({"TableName": name, "Item": item})).await.map(drop)
    }

    /// How many of `sku` are available.
    ///
    /// # Errors
    /// Where it was never stocked up.
    pub async fn available(&self, sku: &str) -> Result<u64> {
        let row = self.item("StockTable", "sku", sku).await?.with_context(|| format!("{sku} is not in stock"))?;
        row["available"].as_u64().with_context(|| format!("{sku} has no number of available units"))
    }

    /// Every item of the table whose output is `<table>Name`, in plain JSON.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn scan(&self, table: &str) -> Result<Vec<Value>> {
        let mut input = json!({"TableName": self.state.output(&format!("{table}Name"))?, "ConsistentRead": true});
        let mut items = Vec::new();
        loop {
            let page = self.engine.call("dynamodb", "DynamoDB_20120810.Scan", &input).await?;
            items.extend(page["Items"].as_array().into_iter().flatten().map(|item| plain(&json!({"M": item}))));
            match page.get("LastEvaluatedKey").filter(|key| key.is_object()) {
                Some(key) => input["ExclusiveStartKey"] = key.clone(),
                None => return Ok(items),
            }
        }
    }

    /// The provider's own book: every payment that was ever prepared there.
    ///
    /// # Errors
    /// Where the provider refuses.
    pub async fn payments(&self) -> Result<Vec<Payment>> {
        let mut book = Vec::new();
        let mut path = "/v1/payment_intents?limit=100".to_owned();
        loop {
            let page = provider(&self.state.stripe_url, &self.state.keys, &path).await?;
            book.extend(page["data"].as_array().into_iter().flatten().map(Payment::read));
            match book.last() {
                Some(last) if page["has_more"] == true => path = format!("/v1/payment_intents?limit=100&starting_after={}", last.id),
                _ => return Ok(book),
            }
        }
    }

    /// Cancels a payment at the provider, as a hold that has lapsed is cancelled there: nobody tells the pipeline.
    ///
    /// # Errors
    /// Where the provider refuses.
    pub async fn cancel_at_provider(&self, payment_id: &str) -> Result<()> {
        provider_does(&self.state.stripe_url, &self.state.keys, &format!("/v1/payment_intents/{payment_id}/cancel")).await
    }

    /// What the provider's own book holds for an order: status and amount of each of its payments. Those that were never
    /// confirmed hold nothing and are left out: a copy of `order.placed` may prepare one before it finds the record.
    ///
    /// # Errors
    /// Where the provider refuses.
    pub async fn book(&self, order_id: &str) -> Result<Vec<(String, i64)>> {
        let payments = self.payments().await?.into_iter();
        let confirmed = payments.filter(|payment| payment.order_id == order_id && payment.status != Payment::UNCONFIRMED);
        Ok(confirmed.map(|payment| (payment.status, payment.amount_minor)).collect())
    }

    /// Publishes a body to the order topic as somebody would who repeats it.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn publish(&self, group: &str, event_type: &str, body: &str) -> Result<()> {
        self.publish_to("OrderEventsTopic", group, event_type, body).await
    }

    /// The same to the FIFO topic whose output is `<topic>Arn`.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn publish_to(&self, topic: &str, group: &str, event_type: &str, body: &str) -> Result<()> {
        let fresh = fastrand::u128(..).to_string();
        let form = [
            ("Action", "Publish"),
            ("Version", "2010-03-31"),
            ("TopicArn", self.state.output(&format!("{topic}Arn"))?),
            ("Message", body),
            ("MessageGroupId", group),
            ("MessageDeduplicationId", &fresh),
            ("MessageAttributes.entry.1.Name", "type"),
            ("MessageAttributes.entry.1.Value.DataType", "String"),
            ("MessageAttributes.entry.1.Value.StringValue", event_type),
        ];
        self.engine.query("sns", &form).await.map(drop)
    }

    /// Publishes a body to the Standard topic whose output is `<topic>Arn`, as the service that fills it does.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn notify(&self, topic: &str, body: &str) -> Result<()> {
        let arn = self.state.output(&format!("{topic}Arn"))?;
        let form = [("Action", "Publish"), ("Version", "2010-03-31"), ("TopicArn", arn), ("Message", body)];
        self.engine.query("sns", &form).await.map(drop)
    }

    /// Stores an object in the bucket whose output is `<bucket>Name`.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn store(&self, bucket: &str, key: &str, text: &str) -> Result<()> {
        let path = format!("/{}/{key}", self.state.output(&format!("{bucket}Name"))?);
        self.engine.rest("s3", "PUT", &path, text).await.map(drop)
    }

    /// Reads an object of the bucket whose output is `<bucket>Name`; [`None`] where there is none.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn stored(&self, bucket: &str, key: &str) -> Result<Option<String>> {
        let path = format!("/{}/{key}", self.state.output(&format!("{bucket}Name"))?);
        match self.engine.rest("s3", "GET", &path, "").await {
            Ok(answer) => Ok(Some(answer.body)),
            Err(error) if format!("{error:#}").contains("NoSuchKey") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a body to the queue whose output is `<queue>Url`, as if the topic had. Returns the SQS message id.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn send(&self, queue: &str, group: &str, body: &str) -> Result<String> {
        let url = self.state.output(&format!("{queue}Url"))?;
        let mut input = json!({"QueueUrl": url, "MessageBody": body});
        if url.ends_with(".fifo") {
            input["MessageGroupId"] = group.into();
            input["MessageDeduplicationId"] = fastrand::u128(..).to_string().into();
        }
        let sent = self.engine.call("sqs", "AmazonSQS.SendMessage", &input).await?;
        Ok(sent["MessageId"].as_str().context("SendMessage returned no id")?.to_owned())
    }

    /// The messages in the queue whose output is `<queue>Url`, hidden messages too. Looking counts as no receive.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn peek(&self, queue: &str) -> Result<Vec<QueuedMessage>> {
        let path = format!("/_ministack/sqs/messages?QueueUrl={}", encode(self.state.output(&format!("{queue}Url"))?));
        let all = self.engine.rest("sqs", "GET", &path, "").await?.json()?;
        Ok(messages_of(&all).flat_map(|(_, messages)| messages).collect())
    }

    /// The messages in every queue of the stack at one moment, hidden messages too, by output without `Url`. Of one moment,
    /// because a message that is read in no queue may lie in one that was read too early.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn messages(&self) -> Result<BTreeMap<String, Vec<QueuedMessage>>> {
        let all = self.engine.rest("sqs", "GET", "/_ministack/sqs/messages", "").await?.json()?;
        let mut found: BTreeMap<_, _> = messages_of(&all).collect();
        let outputs = self.state.outputs.iter();
        let queues = outputs.filter_map(|(key, url)| Some((key.strip_suffix("Url").filter(|key| key.ends_with("Queue"))?, url)));
        queues
            .map(|(key, url)| Ok((key.to_owned(), found.remove(url).with_context(|| format!("the engine knows no queue {url}"))?)))
            .collect()
    }

    /// The consumers of the queues that are subscribed to the topic whose output is `<topic>Arn`, by their folders: what the deployed
    /// stack says of itself, so that a new consumer is among them.
    ///
    /// # Errors
    /// Where the engine refuses, or nobody hears the topic.
    pub async fn consumers_of(&self, topic: &str) -> Result<Vec<String>> {
        let arn = self.state.output(&format!("{topic}Arn"))?;
        // One page has a hundred (https://docs.aws.amazon.com/sns/latest/api/API_ListSubscriptionsByTopic.html).
        let form = [("Action", "ListSubscriptionsByTopic"), ("Version", "2010-03-31"), ("TopicArn", arn)];
        let consumers = consumers_in(&self.engine.query("sns", &form).await?, &self.state.outputs);
        ensure!(!consumers.is_empty(), "nobody hears {topic}");
        Ok(consumers)
    }

    /// Invokes a deployed function that people command once, by its logical id, with `{"by": …, "command": {…}}`; returns its answer.
    ///
    /// # Errors
    /// Where it is not deployed, the engine refuses, or it ended without an answer.
    pub async fn ask(&self, function: &str, alias: &str, document: &Value) -> Result<Value> {
        let function = self.engine.function(function).await?;
        let (answer, _) = self.engine.invoke(&format!("{function}:{alias}"), document).await?;
        answered(answer)
    }

    /// [`Stack::ask`] of the DLQ inspector.
    ///
    /// # Errors
    /// Where that fails.
    pub async fn ask_inspector(&self, document: &Value) -> Result<Value> {
        self.ask(INSPECTOR, CHANGE, document).await
    }

    /// Commands the deployed operator, for instance `{"nudge": {"order_id": "…", "reason": "…"}}`; returns its answer.
    ///
    /// # Errors
    /// Where [`Stack::ask`] fails. A refusal is an answer.
    pub async fn command(&self, command: &Value) -> Result<Value> {
        self.ask(OPERATOR, CHANGE, &json!({"by": "test", "command": command})).await
    }

    /// Asks the deployed DLQ inspector, for instance `{"explain": {"queue": "payment"}}`, and again with the cursor of its
    /// answer until there is none. Returns the last answer, for instance `{"explain": {…}}`.
    ///
    /// # Errors
    /// Where [`Stack::ask_inspector`] fails, or there is no end to it. A refusal is an answer.
    pub async fn dlq(&self, command: Value) -> Result<Value> {
        let name = command.as_object().and_then(|command| command.keys().next().cloned()).context("a command is {name: {…}}")?;
        let mut document = json!({"by": "test", "command": command});
        let deadline = Instant::now() + INSPECTION_PATIENCE;
        loop {
            let answer = self.ask_inspector(&document).await?;
            let inner = answer.as_object().and_then(|answer| answer.values().next());
            match inner.and_then(|inner| inner.get("cursor")).filter(|cursor| !cursor.is_null()) {
                Some(cursor) => document["command"][&name]["cursor"] = cursor.clone(),
                None => return Ok(answer),
            }
            anyhow::ensure!(Instant::now() < deadline, "asked for {INSPECTION_PATIENCE:?} and heard no end of: {name}");
        }
    }

    /// Deletes one message of the queue whose output is `<queue>Url`, as an operator does after sending it on.
    ///
    /// # Errors
    /// Where the engine refuses, or the message does not show up in time.
    pub async fn delete(&self, queue: &str, message_id: &str) -> Result<()> {
        let url = self.state.output(&format!("{queue}Url"))?;
        let receipt = self
            .wait_for("the message to be received", async || {
                let input = json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "VisibilityTimeout": 1});
                let received = self.engine.call("sqs", "AmazonSQS.ReceiveMessage", &input).await?;
                let found = received["Messages"].as_array().into_iter().flatten().find(|message| message["MessageId"] == message_id);
                Ok(found.map(|message| message["ReceiptHandle"].clone()))
            })
            .await?;
        self.engine.call("sqs", "AmazonSQS.DeleteMessage", &json!({"QueueUrl": url, "ReceiptHandle": receipt})).await.map(drop)
    }

    /// Pauses or resumes the queue of a function.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn set_consumer(&self, logical_id: &str, enabled: bool) -> Result<()> {
        self.engine.set_event_source(logical_id, enabled).await
    }
}

/// A queue whose messages go to the dead-letter queue at their second receive, until [`Patience::regained`].
pub struct Patience {
    queue_url: String,
    redrive_policy: String,
}

impl Patience {
    /// Takes it from the queue whose output is `<queue>Url`.
    ///
    /// # Errors
    /// Where the engine refuses, or the queue redrives to nowhere.
    pub async fn lost(stack: &Stack, queue: &str) -> Result<Self> {
        let queue_url = stack.state.output(&format!("{queue}Url"))?.to_owned();
        let input = json!({"QueueUrl": queue_url, "AttributeNames": ["RedrivePolicy"]});
        let answer = stack.engine.call("sqs", "AmazonSQS.GetQueueAttributes", &input).await?;
        let redrive_policy = answer["Attributes"]["RedrivePolicy"].as_str().with_context(|| format!("{queue} has no redrive policy"))?;
        let mut impatient: Value = serde_json::from_str(redrive_policy).context("a redrive policy is not JSON")?;
        impatient["maxReceiveCount"] = 1.into();
        let patience = Self { queue_url, redrive_policy: redrive_policy.to_owned() };
        patience.set(stack, &impatient.to_string()).await?;
        Ok(patience)
    }

    /// Gives it back.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn regained(self, stack: &Stack) -> Result<()> {
        self.set(stack, &self.redrive_policy).await
    }

    async fn set(&self, stack: &Stack, redrive_policy: &str) -> Result<()> {
        let input = json!({"QueueUrl": self.queue_url, "Attributes": {"RedrivePolicy": redrive_policy}});
        stack.engine.call("sqs", "AmazonSQS.SetQueueAttributes", &input).await.map(drop)
    }
}

/// A function's answer, unless it is Lambda's word that there is none.
///
/// # Errors
/// A sentence, where the function failed or ran out of time.
pub fn answered(answer: Value) -> Result<Value> {
    match answer.get("errorMessage").and_then(Value::as_str) {
        Some(message) => {
            let error_type = answer["errorType"].as_str().unwrap_or("no type");
            anyhow::bail!("the function failed: {message} ({error_type}); its log says more")
        }
        None => Ok(answer),
    }
}

/// The folders of the functions whose queues, which are outputs, are endpoints of a ListSubscriptionsByTopic answer.
fn consumers_in(xml: &str, outputs: &BTreeMap<String, String>) -> Vec<String> {
    let endpoints: Vec<_> = xml.split("<member>").filter_map(|member| element(member, "Endpoint")).collect();
    let is_subscribed =
        |url: &str| url.rsplit('/').next().is_some_and(|name| endpoints.iter().any(|arn| arn.rsplit(':').next() == Some(name)));
    let queues = outputs.iter().filter(|(_, url)| is_subscribed(url)).filter_map(|(key, _)| key.strip_suffix("QueueUrl"));
    queues.map(folder_of).collect()
}

/// The queues of the engine's own answer, by URL: account, region, queue, messages.
fn messages_of(all: &Value) -> impl Iterator<Item = (&String, Vec<QueuedMessage>)> {
    let accounts = all["messages"].as_object().into_iter().flat_map(|accounts| accounts.values());
    let regions = accounts.filter_map(Value::as_object).flat_map(|regions| regions.values());
    let queues = regions.filter_map(Value::as_object).flatten();
    queues.map(|(url, messages)| (url, messages.as_array().into_iter().flatten().map(QueuedMessage::read).collect()))
}

/// A payment in the provider's book.
#[derive(Debug, Clone)]
pub struct Payment {
    /// The provider's id of it.
    pub id: String,
    /// The order that it was prepared for.
    pub order_id: String,
    /// As the Stripe API names it.
    pub status: String,
    /// The amount in minor units.
    pub amount_minor: i64,
}

impl Payment {
    /// The status of a payment that was prepared and never confirmed: it holds nothing.
    pub const UNCONFIRMED: &str = "requires_confirmation";

    fn read(payment: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            id: text(&payment["id"]),
            order_id: text(&payment["metadata"]["order_id"]),
            status: text(&payment["status"]),
            amount_minor: payment["amount"].as_i64().unwrap_or_default(),
        }
    }
}

/// A message in a queue.
#[derive(Debug, Clone)]
pub struct QueuedMessage {
    /// The SQS message id.
    pub message_id: String,
    /// The body.
    pub body: String,
    /// The message attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Its message group, on FIFO queues.
    pub group_id: Option<String>,
    /// How often it has been received.
    pub receive_count: u64,
}

impl QueuedMessage {
    fn read(message: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let attributes = message["MessageAttributes"].as_object().into_iter().flatten();
        Self {
            message_id: text(&message["MessageId"]),
            body: text(&message["Body"]),
            attributes: attributes.map(|(name, value)| (name.clone(), text(&value["StringValue"]))).collect(),
            group_id: message["MessageGroupId"].as_str().map(str::to_owned),
            receive_count: message["ReceiveCount"].as_u64().unwrap_or_default(),
        }
    }
}

/// DynamoDB's JSON as plain JSON.
pub fn plain(attribute: &Value) -> Value {
    let Some((kind, value)) = attribute.as_object().and_then(|object| object.iter().next()) else { return Value::Null };
    match (kind.as_str(), value) {
        ("M", Value::Object(map)) => map.iter().map(|(name, value)| (name.clone(), plain(value))).collect::<serde_json::Map<_, _>>().into(),
        ("L", Value::Array(list)) => list.iter().map(plain).collect(),
        ("N", Value::String(number)) => serde_json::from_str(number).unwrap_or(Value::Null),
        ("NULL", _) => Value::Null,
        (_, value) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambdas_word_of_a_failure_is_no_answer() {
        let failed = json!({"errorMessage": "2026-05-04T10:11:12Z Task timed out after 60.00 seconds", "errorType": "Sandbox.Timedout"});
        let sentence = answered(failed).unwrap_err().to_string();
        assert!(sentence.contains("Task timed out") && sentence.contains("(Sandbox.Timedout)"), "{sentence}");
        assert_eq!(answered(json!({"list": []})).unwrap(), json!({"list": []}));
    }

    #[test]
    fn the_consumers_of_a_topic_are_those_whose_queues_are_subscribed() {
        let outputs = [("PaymentQueueUrl", "payment-1"), ("OrderEmailQueueUrl", "email-2"), ("OrderEmailDeadLetterQueueUrl", "dead-3")];
        let outputs = outputs.map(|(key, name)| (key.to_owned(), format!("http://localhost:4566/000000000000/{name}"))).into();
        let member = |name: &str| format!("<member><Protocol>sqs</Protocol><Endpoint>arn:aws:sqs:us-east-1:0:{name}</Endpoint></member>");
        let xml = format!("<Subscriptions>{}{}</Subscriptions>", member("email-2"), member("foreign"));
        assert_eq!(consumers_in(&xml, &outputs), ["order-email"]);
    }

    #[test]
    fn the_messages_of_each_queue_are_told_apart() {
        let parked =
            json!({"MessageId": "1", "Body": "b", "ReceiveCount": 3, "MessageAttributes": {"ErrorType": {"StringValue": "Panic"}}});
        let all = json!({"messages": {"000000000000": {"us-east-1": {"http://q/one": [parked], "http://q/two": []}}}});
        let queues: BTreeMap<_, _> = messages_of(&all).collect();
        let (one, two) = (&queues[&"http://q/one".to_owned()], &queues[&"http://q/two".to_owned()]);
        assert_eq!((one.len(), two.len()), (1, 0));
        assert_eq!((one[0].receive_count, one[0].attributes["ErrorType"].as_str()), (3, "Panic"));
    }
}
