//! What is measured: one line a function and sample, and the events that are made of the samples.
//!
//! A sample is an order's event; so that no order comes twice, each message gets ids of its own, and the time of now.

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{path::Path, sync::OnceLock};
use template::Template;
use uuid::{Builder, Uuid};

/// One thing that a function does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// The function's folder.
    pub function: &'static str,
    /// Its sample: `events/<function>/<sample>.json`.
    pub sample: &'static str,
    /// The sample of the same order that must have been handled before.
    pub after: Option<&'static str>,
    /// Whether each message is about goods of its own, so that none waits for another's.
    pub own_goods: bool,
    /// Whether all messages are from the one mailbox that every order is from.
    pub same_mailbox: bool,
    /// Whether it comes alone, because one message is work for a whole invocation.
    pub alone: bool,
    /// Of how many answers of AWS one never comes, while the function is warm; none where all come.
    pub one_silent_in: Option<u64>,
}

impl Case {
    /// A case that nothing is special about.
    #[must_use]
    pub const fn of(function: &'static str, sample: &'static str) -> Self {
        Self { function, sample, after: None, own_goods: false, same_mailbox: false, alone: false, one_silent_in: None }
    }
    const fn after(self, sample: &'static str) -> Self {
        Self { after: Some(sample), ..self }
    }
    const fn with_own_goods(self) -> Self {
        Self { own_goods: true, ..self }
    }
    const fn with_one_mailbox(self) -> Self {
        Self { same_mailbox: true, ..self }
    }
    const fn alone(self) -> Self {
        Self { alone: true, ..self }
    }
    const fn with_one_silent_in(self, answers: u64) -> Self {
        Self { one_silent_in: Some(answers), ..self }
    }

    /// What the report calls it beside its function: the sample, and what else there is about it.
    #[must_use]
    pub fn label(&self) -> String {
        let silent = self.one_silent_in.map(|answers| format!(", 1 in {answers} silent"));
        format!("{}{}", self.sample, silent.unwrap_or_default())
    }
}

/// The function that only answers; it takes whatever it is sent.
pub const FLOOR: Case = Case::of("floor", "order-placed");

/// The cases that have to be written, in the order of the report: the way of an order, then what goes on beside it. A consumer of events
/// that has none here gets its usual one.
const CASES: &[Case] = &[
    FLOOR,
    Case::of("order-intake", "place-order"),
    // Two calls an order, and so two invocations in a hundred with a silent answer: the 99th percentile is one of them. It is to be
    // near two attempts, one of which takes all of its limit (`lambda_kit::sdk::ATTEMPT_LIMIT`).
    Case::of("order-intake", "place-order").with_one_silent_in(100),
    Case::of("payment", "order-placed"),
    Case::of("payment", "order-shipped").after("order-placed"),
    Case::of("inventory", "order-placed").with_own_goods(),
    Case::of("inventory", "order-shipped").after("order-placed").with_own_goods(),
    Case::of("shipping", "payment-authorized"),
    Case::of("shipping", "inventory-reserved").after("payment-authorized"),
    Case::of("order-tracking", "order-placed"),
    Case::of("order-status", "read-order"),
    Case::of("order-deadline", "order-placed"),
    Case::of("order-email", "payment-authorized"),
    Case::of("customer-signup", "sign-up"),
    Case::of("welcome-email", "customer-signed-up"),
    Case::of("unsubscribe", "one-click"),
    Case::of("email-feedback", "bounce-permanent"),
    Case::of("email-feedback", "delivery"),
    Case::of("email-inbound", "reply-to-cancel").with_one_mailbox(),
    Case::of("email-campaign", "start-campaign").alone(),
    Case::of("dlq-inspector", "list"),
    Case::of("operator", "nudge"),
];

/// Every case: those that are written, then the usual ones of all other consumers of events, as the template names them.
#[must_use]
pub fn cases() -> &'static [Case] {
    static ALL: OnceLock<Vec<Case>> = OnceLock::new();
    ALL.get_or_init(|| {
        let usual = usual().into_iter().filter(|it| CASES.iter().all(|case| case.function != it.function));
        CASES.iter().copied().chain(usual).collect()
    })
}

/// The usual case of each consumer of events: the first event that its queue hears, whose sample is named like it.
fn usual() -> Vec<Case> {
    let Ok(template) = Template::read() else { return vec![] };
    let case = |folder: &str, event: &str| Case::of(folder.to_owned().leak(), event.replace(['.', '_'], "-").leak());
    let sources = template.sources().filter_map(|source| Some(case(source.function.folder()?, template.heard_at(source.queue.id).next()?)));
    sources.collect()
}

/// A sample that messages are made of.
#[derive(Debug, Clone)]
pub struct Sample {
    event: Value,
    case: Case,
}

/// In every sample that has one.
const MAILBOX: &str = "ada@example.com";
/// How a PaymentIntent's id starts.
const PAYMENT: &str = "pi_";

impl Sample {
    /// Reads a sample of the case.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn read(case: Case, sample: &str) -> Result<Self> {
        // The floor has no samples: a consumer's do.
        let function = if case == FLOOR { "payment" } else { case.function };
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events").join(function).join(sample).with_extension("json");
        let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Self { event: serde_json::from_str(&text)?, case })
    }

    /// Whether so many messages can come at once: from a queue they can, unless each comes alone, and from the HTTP API not.
    #[must_use]
    pub fn comes_in(&self, batch: u64) -> bool {
        batch == 1 || self.is_queued() && !self.case.alone
    }

    fn is_queued(&self) -> bool {
        self.event["Records"].is_array()
    }

    /// An invocation with a message for each of `numbers`. The same number makes the same ids in every sample.
    #[must_use]
    pub fn invocation(&self, numbers: std::ops::Range<u64>, now: Timestamp) -> Value {
        if !self.is_queued() {
            return self.fresh(&self.event, numbers.start, now);
        }
        let records = numbers.map(|number| self.fresh(&self.event["Records"][0], number, now));
        json!({ "Records": records.collect::<Vec<_>>() })
    }

    fn fresh(&self, message: &Value, number: u64, now: Timestamp) -> Value {
        let mut message = message.clone();
        if let Some(Ok(mut body)) = message["body"].as_str().map(serde_json::from_str::<Value>) {
            // An old event is looked up before it is handled; that is not what most events are.
            if body["specversion"].is_string() {
                body["time"] = now.to_string().into();
            }
            if let Some(campaign) = body["campaign_id"].as_str() {
                // Each is started once.
                body["campaign_id"] = format!("{campaign}-{number}").into();
            }
            if let Some(bucket) = body.pointer_mut("/receipt/action/bucketName") {
                *bucket = crate::wiring::bucket_name("InboundMailBucket").into();
            }
            if self.case.own_goods {
                rename_goods(&mut body, number);
            }
            message["body"] = body.to_string().into();
        }
        let subject = message["body"].as_str().and_then(subject);
        renumber(&mut message, &|text| {
            let text = if self.case.same_mailbox { text.to_owned() } else { text.replace(MAILBOX, &format!("ada-{number}@example.com")) };
            let text = fresh_ids(&text, number);
            match &subject {
                // As the stub of the provider names it.
                Some(order_id) => fresh_payment(&text, &fresh_id(order_id, number)),
                None => text,
            }
        });
        message
    }
}

/// The subject of the event in a message's body.
fn subject(body: &str) -> Option<Uuid> {
    serde_json::from_str::<Value>(body).ok()?["subject"].as_str()?.parse().ok()
}

/// Applies `change` to every text in `value`.
fn renumber(value: &mut Value, change: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = change(text),
        Value::Array(list) => list.iter_mut().for_each(|value| renumber(value, change)),
        Value::Object(map) => map.values_mut().for_each(|value| renumber(value, change)),
        _ => {}
    }
}

fn rename_goods(value: &mut Value, number: u64) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|value| rename_goods(value, number)),
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::String(sku) if name == "sku" => sku.push_str(&format!("-{number}")),
                    value => rename_goods(value, number),
                }
            }
        }
        _ => {}
    }
}

/// The id that `number` has where the sample has `id`: of the same version, because ids are checked for theirs.
fn fresh_id(id: &Uuid, number: u64) -> Uuid {
    let fresh = Uuid::new_v5(id, &number.to_be_bytes());
    let mut bytes = *fresh.as_bytes();
    bytes[6] = (bytes[6] & 0x0f) | (id.as_bytes()[6] & 0xf0);
    Builder::from_bytes(bytes).into_uuid()
}

/// `text` with a fresh id in the place of each that is in it.
fn fresh_ids(text: &str, number: u64) -> String {
    const LENGTH: usize = 36;
    let (mut fresh, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(first) = rest.chars().next() {
        match rest.get(..LENGTH).and_then(|candidate| candidate.parse::<Uuid>().ok()) {
            Some(id) => {
                fresh.push_str(&fresh_id(&id, number).to_string());
                rest = &rest[LENGTH..];
            }
            None => {
                fresh.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    fresh
}

/// `text` with the order's payment in the place of the sample's: a text of its own in the JSON that it is in.
fn fresh_payment(text: &str, order_id: &Uuid) -> String {
    let opening = format!("\"{PAYMENT}");
    let Some((before, rest)) = text.split_once(&opening) else { return text.to_owned() };
    let after = rest.find('"').map_or("", |end| &rest[end..]);
    format!("{before}{opening}{}{after}", order_id.simple())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn now() -> Timestamp {
        "2026-06-01T00:00:00Z".parse().unwrap()
    }
    fn body(record: &Value) -> Value {
        serde_json::from_str(record["body"].as_str().unwrap()).unwrap()
    }

    #[test]
    fn every_case_has_its_samples() {
        for case in cases() {
            for sample in case.after.iter().chain([&case.sample]) {
                Sample::read(*case, sample).unwrap();
            }
        }
    }

    #[test]
    fn no_two_cases_have_one_label() {
        let labels: BTreeSet<_> = cases().iter().map(|case| (case.function, case.label())).collect();
        assert_eq!(labels.len(), cases().len());
    }

    #[test]
    fn every_function_of_the_template_has_a_case() {
        let template = Template::read().unwrap();
        let functions: BTreeSet<_> = template.functions().filter_map(|function| function.folder()).collect();
        let measured: BTreeSet<_> = cases().iter().filter(|case| **case != FLOOR).map(|case| case.function).collect();
        let wrong: Vec<_> = functions.symmetric_difference(&measured).collect();
        assert!(wrong.is_empty(), "{wrong:?}: no case, or no function; see CASES in tests/bench/src/cases.rs");
    }

    #[test]
    fn a_consumer_of_events_has_a_case_without_a_line_here() {
        let of = |function: &str| usual().into_iter().find(|case| case.function == function);
        assert_eq!(of("order-tracking"), Some(Case::of("order-tracking", "order-placed")));
        assert_eq!(of("order-email"), Some(Case::of("order-email", "payment-authorized")));
        assert_eq!(of("email-campaign"), None, "what it hears is no event");
    }

    #[test]
    fn every_message_of_a_batch_is_about_an_order_of_its_own() {
        let case = Case::of("payment", "order-shipped");
        let batch = Sample::read(case, case.sample).unwrap().invocation(3..13, now());
        let records = batch["Records"].as_array().unwrap();
        let of = |pick: &dyn Fn(&Value) -> Value| records.iter().map(|record| pick(record).to_string()).collect::<BTreeSet<_>>().len();
        assert_eq!(records.len(), 10);
        assert_eq!(of(&|record| record["messageId"].clone()), 10);
        assert_eq!(of(&|record| body(record)["subject"].clone()), 10);
        assert_eq!(of(&|record| body(record)["data"]["payment"].clone()), 10);
        let first = body(&records[0]);
        assert_eq!(first["id"], format!("{}/order.shipped.v1", first["subject"].as_str().unwrap()));
        assert_eq!(first["time"], "2026-06-01T00:00:00Z");
        assert_eq!(first["subject"].as_str().unwrap().as_bytes()[14], b'5', "an order's id is of version 5");
    }

    #[test]
    fn one_number_is_one_order_in_every_sample() {
        let read = |sample| Sample::read(Case::of("payment", sample), sample).unwrap().invocation(7..8, now());
        let [placed, shipped] = ["order-placed", "order-shipped"].map(|sample| body(&read(sample)["Records"][0]));
        assert_eq!(placed["subject"], shipped["subject"]);
        let order_id: Uuid = placed["subject"].as_str().unwrap().parse().unwrap();
        assert_eq!(shipped["data"]["payment"], format!("pi_{}", order_id.simple()));
        assert_eq!(placed["data"]["payment_method"], "pm_card_visa", "what the customer pays with stays");
    }

    #[test]
    fn goods_are_shared_unless_the_case_says_otherwise() {
        let sku = |case: Case| {
            let batch = Sample::read(case, case.sample).unwrap().invocation(7..8, now());
            body(&batch["Records"][0])["data"]["lines"][0]["sku"].as_str().unwrap().to_owned()
        };
        assert_eq!(sku(Case::of("inventory", "order-placed")), "MUG-BLUE");
        assert_eq!(sku(Case::of("inventory", "order-placed").with_own_goods()), "MUG-BLUE-7");
    }

    #[test]
    fn a_request_gets_a_key_of_its_own() {
        let case = Case::of("order-intake", "place-order");
        let sample = Sample::read(case, case.sample).unwrap();
        assert!(!sample.comes_in(10));
        let [one, two] = [1, 2].map(|number| sample.invocation(number..number + 1, now())["headers"]["idempotency-key"].clone());
        assert_ne!(one, two);
        assert_eq!(one.as_str().unwrap().as_bytes()[14], b'7', "a key keeps its version");
    }
}
