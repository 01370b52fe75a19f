//! Least privilege, proven: every action of every role is taken out of the deployed role, the function's story is seen to
//! fail, and the action is put back. A permission whose absence breaks nothing is one too many. And when all has been done
//! that the end-to-end tests do, no log of any function names a customer.
//!
//! Runs alone and last: it breaks the stack on purpose, one permission at a time.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, and their report")]

use anyhow::{Context, Result, ensure};
use domain::{
    CloudEvent, Currency, CustomerId, Money, Subject,
    event::{CancelReason, InventoryReserved, OrderCancelled, OrderShipped, PaymentAuthorized, PaymentRef},
    inventory::LOOKS_MAX,
    line::Item,
};
use end_to_end::{
    dead_letters::{purge, put, put_many},
    events::{event, new_order, now, placed},
    inbound,
    wiring::first_sample,
};
use lambda_kit::{
    batch::{CHECKS, NOT_BEFORE},
    secrets::SecretText as _,
};
use mailer::unsubscribe::{LinkKey, Links};
use serde_json::{Value, json};
use std::{cell::Cell, collections::BTreeMap, process::Command};
use testkit::{
    engine::{deployed, function_processes, request, role_of},
    shop::{
        DECLINED, EMAIL, NAME, STREET, VISA, new_address, new_key, new_sku, order, stored_asked_customer, stored_customer, stored_order,
    },
    stack::Stack,
};

/// Permissions that the local engine does not check, so that taking them away shows nothing.
/// `tests/template/tests/template.rs` holds them to exactly this list and to the function's own resources.
const NOT_ENFORCED: [(&str, &str); 6] = [
    ("logs:", "the engine collects what functions print"),
    ("kms:", "the engine encrypts nothing"),
    ("sqs:ReceiveMessage", "the engine's event source mappings read as the engine"),
    ("sqs:DeleteMessage", "the same"),
    ("sqs:GetQueueAttributes", "the same"),
    ("xray:", "the engine traces nothing"),
];

/// Of those, what this function asks for itself, and the engine enforces.
const ENFORCED_FOR: [(&str, &str); 2] = [("dlq-inspector", "sqs:"), ("dlq-inspector", "logs:FilterLogEvents")];

/// Permissions that only a failing service makes a function use, by function and action; nothing that this test can send does.
/// A statement's Sid stands for its action where the role has the same action twice.
const NOT_PROVOKED: [(&str, &str, &str); 7] = [
    ("dlq-inspector", "s3:ListBucket", "the engine tells everybody that an object is missing"),
    ("email-campaign", "s3:ListBucket", "the engine tells everybody that an object is missing"),
    ("email-campaign", "sqs:ChangeMessageVisibility*", "a campaign is hidden where SES is away"),
    ("email-campaign", "ScheduleOwnChecks", "a campaign waits where SES throttles or its slice is over"),
    ("payment", "ScheduleOwnChecks", "a payment waits where a bank refuses for now"),
    ("email-feedback", "sqs:ChangeMessageVisibility*", "a notification waits for nothing but the table"),
    ("email-feedback", "ses:PutSuppressedDestination", "the account has a list of its own on AWS alone"),
];

/// From so many messages on a whole queue goes by SQS's own task.
const MOVED_BY_TASK: u64 = dlq_inspector::inspector::move_task::FROM;

/// Addresses that a log may name: where mail comes from, and where what nobody understands goes.
const OURS: [&str; 2] = ["orders@example.com", "support@example.com"];

/// What a refused call looks like in a function's log.
const REFUSED: [&str; 4] = ["AccessDenied", "AuthorizationError", "not authorized", "Forbidden"];

/// How a story ends without a permission: in the log of a queue function, or in the answer of an HTTP function.
const CALL_REFUSED: &str = "a call was refused:";
const UNAVAILABLE: &str = "\"status\":503";

/// How the engine says that an invocation was lost because its process ended before it was ready. A changed policy ends the
/// function's processes, and one that is just starting for the next invocation may be among them: that says nothing of a
/// permission.
const ENDED_IN_INIT: &str = "exited during init";
/// A policy is changed once before a story, so one story in a row can be lost; one more for a process of an earlier change.
const TELLINGS: usize = 3;

struct Function {
    stack: Stack,
    stem: &'static str,
    name: String,
    role: String,
    log_group: String,
    queue: Option<String>,
    /// Whether its processes were ended on purpose since the last invocation.
    cooled: Cell<bool>,
}

impl Function {
    async fn find(stack: &Stack, stem: &'static str) -> Result<Self> {
        let logical_id = stem.split('-').map(|word| word[..1].to_uppercase() + &word[1..]).collect::<String>();
        let functions = stack.engine.functions().await?;
        let deployed = deployed(&functions, &format!("{logical_id}Function"))?;
        let role = role_of(deployed)?.to_owned();
        let queue = stack.state.outputs.get(&format!("{logical_id}QueueUrl")).and_then(|url| url.rsplit('/').next()).map(str::to_owned);
        let name = deployed["FunctionName"].as_str().unwrap_or_default().to_owned();
        let log_group = deployed["LoggingConfig"]["LogGroup"].as_str().map_or_else(|| format!("/aws/lambda/{name}"), str::to_owned);
        Ok(Self { stack: stack.clone(), stem, name, role, log_group, queue, cooled: Cell::new(false) })
    }

    /// Delivers bodies as its queue would; returns how many were reported as failed. A refused call is an error even where
    /// the function tolerates it.
    async fn deliver(&self, bodies: &[String]) -> Result<usize> {
        self.deliver_with(&json!({}), bodies).await
    }

    /// The same, with these message attributes.
    async fn deliver_with(&self, attributes: &Value, bodies: &[String]) -> Result<usize> {
        let queue = self.queue.as_deref().context("it has no queue")?;
        let record = |(n, body): (usize, &String)| {
            let group = serde_json::from_str::<Value>(body)
                .ok()
                .and_then(|event| event["subject"].as_str().map(str::to_owned))
                .unwrap_or("g".into());
            json!({"messageId": format!("{:08x}-{n}", fastrand::u32(..)), "receiptHandle": "of no delivery", "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "MessageGroupId": group}, "messageAttributes": attributes, "md5OfBody": "",
                "eventSource": "aws:sqs", "eventSourceARN": format!("arn:aws:sqs:us-east-1:000000000000:{queue}"), "awsRegion": "us-east-1"})
        };
        let event = json!({"Records": bodies.iter().enumerate().map(record).collect::<Vec<_>>()});
        let (answer, tail) = loop {
            let (answer, tail) = self.stack.engine.invoke(&self.name, &event).await?;
            // The engine may hand the event to a process that this test has just ended, once for each.
            if !answer["errorType"].as_str().is_some_and(|kind| kind.starts_with("Runtime.")) || !self.cooled.take() {
                break (answer, tail);
            }
        };
        if let Some(line) = tail.lines().find(|line| REFUSED.iter().any(|word| line.contains(word))) {
            let line: Value = serde_json::from_str(line).unwrap_or_default();
            anyhow::bail!(
                "{CALL_REFUSED} {} {}",
                line["error_type"].as_str().unwrap_or_default(),
                line["error"].as_str().unwrap_or_default()
            );
        }
        Ok(answer["batchItemFailures"].as_array().with_context(|| format!("no batch response: {answer}; {tail}"))?.len())
    }

    /// Every line that it has logged.
    async fn log(&self) -> Result<Vec<String>> {
        let mut lines = Vec::new();
        let mut input = json!({"logGroupName": self.log_group});
        loop {
            let page = self.stack.engine.call("logs", "Logs_20140328.FilterLogEvents", &input).await?;
            let messages = page["events"].as_array().into_iter().flatten();
            lines.extend(messages.filter_map(|event| Some(event["message"].as_str()?.to_owned())));
            match page["nextToken"].as_str() {
                Some(token) => input["nextToken"] = token.into(),
                None => return Ok(lines),
            }
        }
    }

    async fn passes(&self, events: &[CloudEvent]) -> Result<()> {
        let bodies: Vec<_> = events.iter().map(CloudEvent::to_json).collect();
        let failed = self.deliver(&bodies).await?;
        ensure!(failed == 0, "{failed} of {} messages failed", bodies.len());
        Ok(())
    }

    /// A customer of their own for this story, who has confirmed everything.
    async fn customer(&self, stem: &str) -> Result<CustomerId> {
        let address = new_address(stem);
        let id = CustomerId::from_email(&address.parse()?);
        self.stack.put("CustomersTable", stored_customer(&id.to_string(), &address, true)).await?;
        Ok(id)
    }

    /// The key of unsubscribe links, as an administrator of the account could read it.
    async fn link_key(&self) -> Result<String> {
        let arn = self.stack.state.output("UnsubscribeSecretArn")?;
        let secret = self.stack.engine.call("secretsmanager", "secretsmanager.GetSecretValue", &json!({"SecretId": arn})).await?;
        Ok(secret["SecretString"].as_str().context("the secret has no value")?.to_owned())
    }

    /// Parks what can never pass.
    async fn parks(&self) -> Result<()> {
        ensure!(self.deliver(&["poison, not JSON".to_owned()]).await? == 0, "poison was not parked");
        Ok(())
    }

    /// What every consumer of events does: park what can never pass, hide what has to wait.
    async fn parks_and_hides(&self) -> Result<()> {
        self.parks().await?;
        let mut unknown: Value = serde_json::from_str(&event(new_order(), now(), placed("X", 1, VISA)).to_json())?;
        unknown["type"] = "order.placed.v99".into();
        ensure!(self.deliver(&[unknown.to_string()]).await? == 1, "an unknown version has to wait");
        Ok(())
    }

    /// Looks at dead letters, tells of them, and sends them on in each of the ways there are.
    async fn inspects(&self) -> Result<()> {
        let (stack, cause) = (&self.stack, new_sku("CAUSE"));
        let inspected = async |command: Value| {
            let answer = match stack.dlq(command).await {
                Err(error) if REFUSED.iter().any(|word| format!("{error:#}").contains(word)) => anyhow::bail!("{CALL_REFUSED} {error:#}"),
                answer => answer?,
            };
            match answer["failed"]["message"].as_str() {
                Some(sentence) => anyhow::bail!("{CALL_REFUSED} {sentence}"),
                None => Ok(answer),
            }
        };
        let parking = [("ErrorType", &*cause), ("ErrorMessage", "why"), ("SourceQueue", "q"), ("type", "nothing.heard.v1")];
        put(stack, "WelcomeEmailDeadLetterQueue", "", "first", &parking).await?;
        // Nothing on it says why: a selection by cause looks into the consumer's log.
        put(stack, "WelcomeEmailDeadLetterQueue", "", "unexplained", &[]).await?;
        put(stack, "UndeliveredQueue", "g", "second", &parking[3..]).await?;
        inspected(json!({"explain": {"queue": "welcome-email"}})).await?;
        inspected(json!({"digest": {}})).await?;
        let selected = inspected(json!({"redrive": {"queue": "welcome-email", "where": [format!("cause={cause}")]}})).await?;
        ensure!(selected["changed"]["counts"]["done"] == 1, "{selected}");
        purge(stack, "WelcomeEmailDeadLetterQueue").await?;
        let published = inspected(json!({"redrive": {"queue": "undelivered"}})).await?;
        ensure!(published["changed"]["counts"]["done"] == 1, "{published}");
        put(stack, "WelcomeEmailDeadLetterQueue", "", "third", &parking).await?;
        let discard = json!({"queue": "welcome-email", "where": [format!("cause={cause}")], "reason": "a test"});
        let discarded = inspected(json!({"discard": discard})).await?;
        ensure!(discarded["changed"]["counts"]["done"] == 1, "{discarded}");
        put_many(stack, "WelcomeEmailDeadLetterQueue", (0..MOVED_BY_TASK).map(|n| n.to_string())).await?;
        let moved = inspected(json!({"redrive": {"queue": "welcome-email"}})).await?;
        ensure!(moved["changed"]["counts"]["done"] == MOVED_BY_TASK, "{moved}");
        Ok(())
    }

    /// Lists, looks, settles and nudges.
    async fn carries_out(&self, sku: &str) -> Result<()> {
        let (stack, order_id, uncollected) = (&self.stack, new_order(), new_order());
        let commanded = async |command: Value| {
            let answer = stack.command(&command).await?;
            match answer["failed"]["message"].as_str() {
                Some(sentence) => anyhow::bail!("{CALL_REFUSED} {sentence}"),
                None => Ok(answer),
            }
        };
        stack.put("OrdersTable", stored_order(&order_id, sku, &new_address(EMAIL), &now().to_string())).await?;
        let never = json!({
            "order_id": {"S": uncollected}, "state": {"S": "uncollected"}, "payment": {"S": "pi_1"}, "capture_code": {"S": "expired"},
            "amount": {"M": {"amount_minor": {"N": "1200"}, "currency": {"S": "EUR"}}}, "uncollected_at": {"S": now().to_string()},
            "unsettled": {"S": "yes"}
        });
        stack.put("PaymentsTable", never).await?;
        // Settled whatever comes before fails: another story's digest must not tell of it.
        let told = async {
            let listed = commanded(json!({"uncollected": {}})).await?;
            ensure!(listed.to_string().contains(&uncollected), "{listed}");
            let dry = json!({"order_id": uncollected, "reason": "a test", "dry_run": true});
            let seen = commanded(json!({"settle": dry})).await?;
            ensure!(seen["settled"]["before"] == false, "{seen}");
            let nudged = commanded(json!({"nudge": {"order_id": order_id, "reason": "a test"}})).await?;
            ensure!(nudged["nudged"]["dry_run"] == false, "{nudged}");
            let settled = commanded(json!({"settle": {"order_id": uncollected, "reason": "a test"}})).await?;
            ensure!(settled["settled"]["payment"]["settled_by"] == "test", "{settled}");
            Ok(())
        };
        let told = told.await;
        stack
            .put("PaymentsTable", json!({"order_id": {"S": uncollected}, "state": {"S": "closed"}, "closed_at": {"S": now().to_string()}}))
            .await?;
        told
    }

    /// Ends the function's processes, so that the next invocation starts cold.
    fn cool_down(&self) {
        self.cooled.set(true);
        for process in function_processes(self.stack.state.engine_pid).iter().filter(|process| process.function == self.name) {
            Command::new("kill").args(["-KILL", &process.pid.to_string()]).status().ok();
        }
    }

    /// The function's story, told again where the engine ended the process that it was told to.
    async fn told(&self) -> Result<()> {
        for _ in 1..TELLINGS {
            match self.story().await {
                Err(error) if format!("{error:#}").contains(ENDED_IN_INIT) => {}
                told => return told,
            }
        }
        self.story().await
    }

    async fn story(&self) -> Result<()> {
        let stack = &self.stack;
        let sku = new_sku("GRANTS");
        stack.stock_up(&sku, 1200, 100).await?;
        match self.stem {
            "order-intake" => {
                let placed = stack.post_order(&new_key(), &order(&[(&sku, 1)], VISA)).await?;
                ensure!(placed.status == 202, "{}", placed.body);
                let order_id = placed.json()?["order_id"].as_str().context("no order_id")?.to_owned();
                // Of an order that nobody handles, so that shipping cannot forestall the cancellation.
                let asked = stack.cancel(&order_id).await?;
                ensure!(matches!(asked.status, 202 | 409), "{}", asked.body);
                let refused = stack.post_order(&new_key(), &order(&[("NEVER-HEARD-OF", 1)], VISA)).await?;
                ensure!(refused.status == 422, "{}", refused.body);
            }
            "order-status" => {
                let seen = stack.look(&new_order()).await?;
                ensure!(seen.status == 404, "{}", seen.body);
            }
            "order-tracking" => {
                self.passes(&[event(new_order(), now(), placed(&sku, 1, VISA))]).await?;
                self.parks_and_hides().await?;
            }
            "order-deadline" => {
                // An order that lies in the table and that nobody was told of: the nudge announces it.
                let order_id = new_order();
                stack.put("OrdersTable", stored_order(&order_id, &sku, &new_address(EMAIL), &now().to_string())).await?;
                let nudged = self.deliver(&[event(&order_id, now(), placed(&sku, 1, VISA)).to_json()]).await?;
                ensure!(nudged == 0, "its next check could not be scheduled");
                self.parks_and_hides().await?;
            }
            "payment" => {
                self.cool_down();
                // Fresh, so that nothing is read first; declined, so that no money has to be found again.
                self.passes(&[event(new_order(), now(), placed(&sku, 1, DECLINED))]).await?;
                // Old, so that the record is looked up before the provider is called.
                self.passes(&[event(new_order(), "2026-01-01T00:00:00Z".parse()?, cancelled(None))]).await?;
                self.parks_and_hides().await?;
            }
            "inventory" => {
                let order_id = new_order();
                let items = vec![Item { sku: sku.parse()?, quantity: 1 }];
                self.passes(&[event(&order_id, now(), placed(&sku, 1, VISA))]).await?;
                let shipped = OrderShipped { tracking_number: "OP1".into(), payment: PaymentRef("pi_1".into()), items };
                self.passes(&[event(&order_id, now(), shipped)]).await?;
                // Too little: it checks again, and at the last check it rejects.
                let large = event(new_order(), now(), placed(&sku, 1000, VISA));
                self.passes(std::slice::from_ref(&large)).await?;
                let text = |data_type: &str, value: String| json!({"dataType": data_type, "stringValue": value});
                let last = json!({CHECKS: text("Number", LOOKS_MAX.to_string()), NOT_BEFORE: text("String", now().to_string())});
                ensure!(self.deliver_with(&last, &[large.to_json()]).await? == 0, "it was not rejected");
                self.parks_and_hides().await?;
            }
            "shipping" => {
                let order_id = new_order();
                let amount = Money { amount_minor: 1200, currency: Currency::EUR };
                let capture_before = "2036-01-01T00:00:00Z".parse()?;
                let authorized = PaymentAuthorized { payment: PaymentRef("pi_none".into()), amount, capture_before };
                self.passes(&[event(&order_id, now(), authorized)]).await?;
                // Rejected rather than reserved: nothing else is set in motion by it.
                self.passes(&[event(new_order(), now(), domain::event::InventoryRejected { short: vec![] })]).await?;
                self.passes(&[event(new_order(), now(), InventoryReserved { items: vec![] })]).await?;
                self.parks_and_hides().await?;
            }
            "customer-signup" => {
                let answer = stack.sign_up(NAME, &new_address("permissions"), true).await?;
                ensure!(answer.status == 202, "{}", answer.body);
            }
            "unsubscribe" => {
                self.cool_down();
                let id = self.customer("permissions").await?;
                let link = Links::new(&stack.state.api_url, LinkKey::from_text(self.link_key().await?.trim())?).link(&id);
                let answer = request("POST", &link, &[("Content-Type", "application/x-www-form-urlencoded")], String::new()).await?;
                ensure!(answer.status == 200, "{}", answer.body);
            }
            "welcome-email" => {
                // Asked just now, so that the key is needed; and once read, it is kept.
                self.cool_down();
                let address = new_address("welcomed");
                let id = CustomerId::from_email(&address.parse()?);
                stack.put("CustomersTable", stored_asked_customer(&id.to_string(), &address, &now().to_string())).await?;
                let signed_up = domain::event::CustomerSignedUp { marketing_consent: false };
                self.passes(&[CloudEvent { subject: Subject::Customer(id), ..event(new_order(), now(), signed_up) }]).await?;
                self.parks_and_hides().await?;
            }
            "order-email" => {
                let order_id = new_order();
                stack.put("OrdersTable", stored_order(&order_id, &sku, &new_address("permissions"), &now().to_string())).await?;
                // One that shipping knew of no hold for, so that its place among the unpaid is counted too.
                self.passes(&[event(&order_id, now(), cancelled(None))]).await?;
                self.parks_and_hides().await?;
            }
            "email-feedback" => {
                for fixture in ["complaint", "bounce-transient"] {
                    let path = format!("{}/../../functions/email-feedback/tests/fixtures/{fixture}.json", env!("CARGO_MANIFEST_DIR"));
                    let told = std::fs::read_to_string(path)?.replace("ada@example.com", &new_address("permissions"));
                    ensure!(self.deliver(&[told]).await? == 0, "{fixture} was not handled");
                }
                self.parks().await?;
            }
            "email-inbound" => {
                let (order_id, from) = (new_order(), new_address("permissions"));
                stack.put("OrdersTable", stored_order(&order_id, &sku, &from, &now().to_string())).await?;
                let to = format!("orders+{order_id}@example.com");
                let told = inbound::stored(stack, &from, &to, "cancel", "PASS").await?;
                ensure!(self.deliver(&[told]).await? == 0, "the mail was not handled");
                // One more than is forwarded: it is looked at again.
                let hour = inbound::hour_of_its_own();
                let mut questions = vec![];
                for n in 0..=email_inbound::forwards::FROM_ONE_MAX {
                    let at = format!("{hour}:{n:02}:00Z");
                    questions.push(inbound::stored_at(stack, &from, &to, "Where is it?", "PASS", &at).await?);
                }
                ensure!(self.deliver(&questions).await? == 0, "the questions were not handled");
                let told = inbound::stored(stack, &from, &format!("orders+{order_id}@example.com"), "cancel", "PASS").await?;
                let gone = told.replace("\"objectKey\":\"", "\"objectKey\":\"gone-");
                ensure!(self.deliver(&[gone]).await? == 1, "a mail that is not stored yet has to wait");
                self.parks().await?;
            }
            "email-campaign" => {
                self.cool_down();
                let (run, reader) = (format!("{:08x}", fastrand::u32(..)), new_address("reader"));
                let id = CustomerId::from_email(&reader.parse()?);
                stack.put("CustomersTable", stored_customer(&id.to_string(), &reader, true)).await?;
                stack
                    .store("CampaignsBucket", &format!("lists/{run}.csv"), &format!("email,name,voucher\n{reader},Reader,SPRING\n"))
                    .await?;
                let start = json!({"campaign_id": run, "template": "newsletter", "list": format!("lists/{run}.csv")});
                ensure!(self.deliver(&[start.to_string()]).await? == 0, "the campaign did not end");
                ensure!(!stack.mails_to(&reader).await?.is_empty(), "nobody was mailed");
                self.parks().await?;
            }
            "dlq-inspector" => {
                let queues = ["WelcomeEmailQueue", "WelcomeEmailDeadLetterQueue", "UndeliveredQueue"];
                stack.set_consumer("WelcomeEmailFunction", false).await?;
                for queue in queues {
                    purge(stack, queue).await?;
                }
                let told = self.inspects().await;
                for queue in queues {
                    purge(stack, queue).await?;
                }
                stack.set_consumer("WelcomeEmailFunction", true).await?;
                told?;
            }
            "operator" => self.carries_out(&sku).await?,
            // A consumer whose role has nothing but its queues and its log needs no story of its own. Any other permission that this
            // does not use is named below, as one that nothing misses.
            other => {
                let sample = first_sample(other).with_context(|| format!("{other} has no story here: add one"))?;
                let body = sample["Records"][0]["body"].as_str().context("the sample is no message")?;
                self.passes(&[CloudEvent { subject: Subject::Order(new_order().parse()?), ..CloudEvent::parse(body)? }]).await?;
                self.parks_and_hides().await?;
            }
        }
        Ok(())
    }
}

fn cancelled(payment: Option<PaymentRef>) -> OrderCancelled {
    OrderCancelled { reason: CancelReason::CustomerAsked, payment, items: None }
}

/// The policy without one action of one statement.
fn without(policy: &Value, statement: usize, action: &str) -> Value {
    let mut policy = policy.clone();
    let statements = policy["Statement"].as_array_mut().unwrap();
    let left: Vec<_> = actions(&statements[statement]).into_iter().filter(|other| other != action).collect();
    if left.is_empty() {
        statements.remove(statement);
    } else {
        statements[statement]["Action"] = left.into();
    }
    policy
}

fn actions(statement: &Value) -> Vec<String> {
    match &statement["Action"] {
        Value::String(one) => vec![one.clone()],
        Value::Array(list) => list.iter().filter_map(|action| Some(action.as_str()?.to_owned())).collect(),
        _ => vec![],
    }
}

#[tokio::test]
async fn every_action_of_every_role_is_needed() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let mut faults = Vec::new();
    let (mut missed, mut not_enforced) = (0, BTreeMap::<&str, usize>::new());
    for stem in functions_of_the_template() {
        let function = Function::find(&stack, stem).await?;
        function.told().await.with_context(|| format!("{stem} with all its permissions"))?;
        for (name, policy) in stack.engine.role_policies(&function.role).await? {
            for (place, statement) in policy["Statement"].as_array().context("no statements")?.iter().enumerate() {
                for action in actions(statement) {
                    let sid = statement["Sid"].as_str().unwrap_or_default();
                    let named = |right: &str| right == action || right == sid;
                    let of_service = NOT_PROVOKED.iter().find(|(function, right, _)| *function == stem && named(right));
                    let asks_itself = ENFORCED_FOR.iter().any(|(function, prefix)| *function == stem && action.starts_with(prefix));
                    let free = NOT_ENFORCED.iter().find(|(prefix, _)| action.starts_with(prefix) && !asks_itself).map(|(_, why)| why);
                    if let Some(why) = free.or(of_service.map(|(_, _, why)| why)) {
                        *not_enforced.entry(why).or_default() += 1;
                        continue;
                    }
                    stack.engine.put_role_policy(&function.role, &name, &without(&policy, place, &action)).await?;
                    let told = function.told().await;
                    stack.engine.put_role_policy(&function.role, &name, &policy).await?;
                    match told.map_err(|error| format!("{error:#}")) {
                        Ok(()) => faults.push(format!("{stem} never misses {action} ({sid})")),
                        Err(why) if !why.contains(CALL_REFUSED) && !why.contains(UNAVAILABLE) => {
                            faults.push(format!("{stem} without {action} ({sid}) failed, but not for want of it: {why}"));
                        }
                        Err(why) => {
                            missed += 1;
                            println!("{stem:<16} {sid:<26} {action:<32} missed: {}", why.chars().take(110).collect::<String>());
                        }
                    }
                }
            }
        }
        function.told().await.with_context(|| format!("{stem} with all its permissions given back"))?;
    }
    println!("{missed} permissions were needed; not enforced by the engine: {not_enforced:?}");
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(missed >= 20, "only {missed} permissions were tried: the roles were not found");
    Ok(())
}

/// Stored and not announced is the one half-done state there is, and the customer's own retry completes it.
#[tokio::test]
async fn a_refused_publish_is_503_and_the_same_key_heals() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let intake = Function::find(&stack, "order-intake").await?;
    let sku = new_sku("HEALED");
    stack.stock_up(&sku, 1200, 5).await?;
    let (key, order) = (new_key(), order(&[(&sku, 1)], VISA));
    let policies = stack.engine.role_policies(&intake.role).await?;
    let (name, policy) = policies.first_key_value().context("intake has no policy")?;
    let statements = policy["Statement"].as_array().context("no statements")?;
    let place = statements.iter().position(|statement| statement["Sid"] == "Announce").context("intake announces nothing")?;
    stack.engine.put_role_policy(&intake.role, name, &without(policy, place, "sns:Publish*")).await?;
    let refused = stack.post_order(&key, &order).await;
    stack.engine.put_role_policy(&intake.role, name, policy).await?;
    let refused = refused?;
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.header("Retry-After").is_some_and(|seconds| seconds.parse::<u32>().is_ok()));
    let retried = stack.post_order(&key, &order).await?;
    assert_eq!((retried.status, retried.header("Idempotency-Replayed")), (202, Some("true")), "{}", retried.body);
    let order_id = retried.json()?["order_id"].as_str().context("no order_id")?.to_owned();
    assert_eq!(stack.ended(&order_id).await?["status"], "completed");
    assert_eq!(stack.book(&order_id).await?, [("succeeded".to_owned(), 1200)]);
    Ok(())
}

/// Runs after the stories, the faults and the stories without permissions: failures log most.
#[tokio::test]
async fn no_log_line_of_any_function_names_a_customer() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    // Whatever else ran before, one order of the customer whose name is looked for.
    let sku = new_sku("PRIVATE");
    stack.stock_up(&sku, 1200, 1).await?;
    stack.ended(&stack.place(&[(&sku, 1)], VISA).await?).await?;
    for stem in functions_of_the_template() {
        let lines = Function::find(&stack, stem).await?.log().await?;
        ensure!(!lines.is_empty(), "{stem} has logged nothing: its log group was not found");
        for line in lines {
            for personal in [NAME, EMAIL, STREET] {
                assert!(!line.contains(personal), "{stem} logged {personal}: {line}");
            }
            // Nor any other customer's address: only our own may be named.
            let others = OURS.iter().fold(line.clone(), |line, ours| line.replace(ours, ""));
            assert!(!others.contains("@example."), "{stem} logged an address: {line}");
            assert!(!line.contains("sk_test"), "{stem} logged the provider's key");
        }
    }
    Ok(())
}

/// The functions, by their folders.
fn functions_of_the_template() -> Vec<&'static str> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../functions");
    let mut stems: Vec<_> = std::fs::read_dir(folder).unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    stems.sort();
    stems.into_iter().map(|stem| &*stem.leak()).collect()
}
