//! What the engine counted of AWS calls: by function and action, with invocations and the batches that were taken from queues.
//!
//! The demo prints them, the end-to-end tests assert them. It does not count what AWS has no request for; see
//! `local/call_counts.py`. What others than functions called, tests and commands among them, is left out.

use crate::stack::Stack;
use anyhow::Result;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// The calls of a function.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    /// How often it was invoked.
    pub invocations: u64,
    /// Its requests, by action as IAM names them: `dynamodb:PutItem`.
    pub requests: BTreeMap<String, u64>,
    /// What its event source took from its queue.
    pub batches: Batches,
}

/// What an event source took from a queue. Lambda's pollers ask more often than this, and are answered with nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Batches {
    /// Receives that brought something.
    pub receives: u64,
    /// Messages that these brought.
    pub received: u64,
    /// Requests that deleted what was handled, one a batch.
    pub deletes: u64,
    /// Messages that these deleted.
    pub deleted: u64,
}

/// What kind of request an action is, as one pays and waits for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Changes items of tables.
    Write,
    /// Reads items of tables.
    Read,
    /// Publishes to a topic, up to ten messages at once.
    Publish,
    /// Sends to a queue.
    Send,
    /// Hands a mail to SES.
    Mail,
    /// Anything else: reading a secret, hiding a message for a while.
    Other,
}

impl Kind {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 6] = [Self::Write, Self::Read, Self::Publish, Self::Send, Self::Mail, Self::Other];

    /// The kind of an action.
    pub fn of(action: &str) -> Self {
        let (service, operation) = action.split_once(':').unwrap_or(("", action));
        let begins = |stems: &[&str]| stems.iter().any(|stem| operation.starts_with(stem));
        match service {
            "dynamodb" if begins(&["Put", "Update", "Delete", "BatchWrite", "TransactWrite"]) => Self::Write,
            "dynamodb" if begins(&["Get", "BatchGet", "TransactGet", "Query", "Scan"]) => Self::Read,
            "sns" if begins(&["Publish"]) => Self::Publish,
            "sqs" if begins(&["SendMessage"]) => Self::Send,
            "ses" if begins(&["Send"]) => Self::Mail,
            _ => Self::Other,
        }
    }
}

impl Made {
    /// Requests of one kind.
    pub fn of_kind(&self, kind: Kind) -> u64 {
        self.requests.iter().filter(|(action, _)| Kind::of(action) == kind).map(|(_, requests)| requests).sum()
    }

    /// The requests as a test asserts them: `dynamodb:PutItem 1, sns:PublishBatch 1`.
    pub fn shown(&self) -> String {
        self.requests.iter().map(|(action, requests)| format!("{action} {requests}")).collect::<Vec<_>>().join(", ")
    }

    fn since(&self, earlier: &Self) -> Self {
        let (now, then) = (self.batches, earlier.batches);
        Self {
            invocations: self.invocations - earlier.invocations,
            requests: increases(&self.requests, &earlier.requests),
            batches: Batches {
                receives: now.receives - then.receives,
                received: now.received - then.received,
                deletes: now.deletes - then.deletes,
                deleted: now.deleted - then.deleted,
            },
        }
    }
}

fn increases(now: &BTreeMap<String, u64>, earlier: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let increase = |(action, requests): (&String, &u64)| (action.clone(), requests - earlier.get(action).copied().unwrap_or(0));
    now.iter().map(increase).filter(|(_, requests)| *requests > 0).collect()
}

/// The calls of each function since the engine started, by the function's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calls(pub BTreeMap<String, Made>);

impl Calls {
    /// What was done since `earlier`; functions that did nothing are left out.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let nothing = Made::default();
        let of = |(function, made): (&String, &Made)| (function.clone(), made.since(earlier.0.get(function).unwrap_or(&nothing)));
        Self(self.0.iter().map(of).filter(|(_, made)| *made != nothing).collect())
    }

    /// The calls of all functions.
    pub fn sum(&self) -> Made {
        self.0.values().fold(Made::default(), |mut sum, made| {
            sum.invocations += made.invocations;
            for (action, requests) in &made.requests {
                *sum.requests.entry(action.clone()).or_default() += requests;
            }
            let (to, of) = (&mut sum.batches, made.batches);
            to.receives += of.receives;
            to.received += of.received;
            to.deletes += of.deletes;
            to.deleted += of.deleted;
            sum
        })
    }

    fn read(page: Page, stack_name: &str) -> Self {
        let mut calls = Self::default();
        let folder = |name: &str| deployed_folder(name, stack_name);
        for (name, requests) in page.calls {
            if let Some(folder) = folder(&name) {
                calls.0.entry(folder).or_default().requests = requests;
            }
        }
        for (name, invocations) in page.invocations {
            if let Some(folder) = folder(&name) {
                calls.0.entry(folder).or_default().invocations = invocations;
            }
        }
        for (name, batches) in page.batches {
            if let Some(folder) = folder(&name) {
                calls.0.entry(folder).or_default().batches = batches;
            }
        }
        calls
    }
}

/// The engine's own page.
#[derive(Deserialize)]
struct Page {
    calls: BTreeMap<String, BTreeMap<String, u64>>,
    invocations: BTreeMap<String, u64>,
    batches: BTreeMap<String, Batches>,
}

/// The folder of the function that CloudFormation calls `name`: `<stack>-OrderIntakeFunction-<random>` is `order-intake`'s.
fn deployed_folder(name: &str, stack_name: &str) -> Option<String> {
    let logical_id = name.strip_prefix(stack_name)?.strip_prefix('-')?.split('-').next()?;
    logical_id.ends_with("Function").then(|| folder_of(logical_id))
}

/// The folder of a function by its logical id: `OrderIntakeFunction` is `order-intake`'s.
pub fn folder_of(logical_id: &str) -> String {
    let mut folder = String::new();
    for character in logical_id.trim_end_matches("Function").chars() {
        if character.is_ascii_uppercase() && !folder.is_empty() {
            folder.push('-');
        }
        folder.push(character.to_ascii_lowercase());
    }
    folder
}

/// How the resources of a function begin, by its folder: `order-intake` is `OrderIntake`.
pub fn stem_of(folder: &str) -> String {
    let words = folder.split('-').map(|word| {
        let mut characters = word.chars();
        characters.next().map(|first| first.to_ascii_uppercase().to_string() + characters.as_str()).unwrap_or_default()
    });
    words.collect()
}

impl Stack {
    /// What the functions of the stack have done since the engine started.
    ///
    /// # Errors
    /// Where the engine shows no counts.
    pub async fn calls(&self) -> Result<Calls> {
        let page = self.engine.rest("sqs", "GET", "/_calls", "").await?.json()?;
        Ok(Calls::read(serde_json::from_value(page)?, &self.state.stack_name))
    }

    /// Waits until no queue with a consumer holds anything: nothing is under way, and nothing waits for its time. Says whether
    /// that came within `limit`.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn falls_silent(&self, limit: Duration) -> Result<bool> {
        const POLL_EVERY: Duration = Duration::from_millis(200);
        // What lies there waits for people.
        let has_consumer = |queue: &str| !["DeadLetter", "Undelivered"].iter().any(|stem| queue.contains(stem));
        let deadline = Instant::now() + limit;
        loop {
            let messages = self.messages().await?;
            if messages.iter().all(|(queue, messages)| messages.is_empty() || !has_consumer(queue)) {
                return Ok(true);
            }
            if Instant::now() > deadline {
                return Ok(false);
            }
            tokio::time::sleep(POLL_EVERY).await;
        }
    }

    /// What the functions do for `work` alone, and because of it; [`None`] where something else is under way for longer than
    /// `limit`, before or after. Others that begin during that time are counted too.
    ///
    /// # Errors
    /// Where `work` fails, or the engine refuses.
    pub async fn calls_of<T>(&self, limit: Duration, work: impl Future<Output = Result<T>>) -> Result<Option<(T, Calls)>> {
        if !self.falls_silent(limit).await? {
            return Ok(None);
        }
        let before = self.calls().await?;
        let done = work.await?;
        let is_over = self.falls_silent(limit).await?;
        let after = self.calls().await?;
        Ok(is_over.then(|| (done, after.since(&before))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn page(puts: u64, received: u64) -> Calls {
        let page = json!({
            "calls": {
                "root": {"dynamodb:PutItem": 1000},
                "shop-order-api-OrderIntakeFunction-1A2B": {"dynamodb:PutItem": puts, "dynamodb:BatchGetItem": 1, "sns:PublishBatch": puts},
                "contract": {"sns:PublishBatch": 1},
            },
            "invocations": {"shop-order-api-OrderIntakeFunction-1A2B": puts, "shop-order-api-PaymentFunction-9": 1},
            "batches": {"shop-order-api-PaymentFunction-9": {"receives": 1, "received": received}},
        });
        Calls::read(serde_json::from_value(page).unwrap(), "shop-order-api")
    }

    #[test]
    fn functions_are_called_by_their_folders_and_others_left_out() {
        let calls = page(3, 2);
        assert_eq!(calls.0.keys().collect::<Vec<_>>(), ["order-intake", "payment"]);
        assert_eq!(calls.0["payment"].batches, Batches { receives: 1, received: 2, ..Batches::default() });
        assert_eq!(calls.sum().shown(), "dynamodb:BatchGetItem 1, dynamodb:PutItem 3, sns:PublishBatch 3");
        assert_eq!(calls.sum().invocations, 4);
    }

    #[test]
    fn between_two_looks_is_what_has_come_since() {
        let since = page(5, 2).since(&page(3, 2));
        assert_eq!(since.0.keys().collect::<Vec<_>>(), ["order-intake"], "who did nothing is left out");
        assert_eq!(since.0["order-intake"].shown(), "dynamodb:PutItem 2, sns:PublishBatch 2");
        assert_eq!(page(3, 2).since(&Calls::default()), page(3, 2));
    }

    #[test]
    fn every_action_is_of_one_kind() {
        let made = page(3, 2).0["order-intake"].clone();
        assert_eq!(Kind::ALL.map(|kind| made.of_kind(kind)), [3, 1, 3, 0, 0, 0]);
        let of = |action| Kind::of(action);
        assert_eq!([of("dynamodb:TransactWriteItems"), of("dynamodb:TransactGetItems")], [Kind::Write, Kind::Read]);
        assert_eq!([of("sqs:SendMessageBatch"), of("ses:SendBulkEmail")], [Kind::Send, Kind::Mail]);
        assert_eq!([of("sqs:ChangeMessageVisibilityBatch"), of("secretsmanager:GetSecretValue")], [Kind::Other; 2]);
    }
}
