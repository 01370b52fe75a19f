//! Simulated DynamoDB tables, under the expressions that are really sent.
//!
//! Every call has its effect at one instant; a transaction's items then stay in the way of others for a while. It does not
//! invent an outcome: an expression that it cannot evaluate is a `ValidationException`, which is a bug.

use super::{
    CallFailure, Caller, Fault,
    write::{Assignments, Write},
};
use aws_sdk_dynamodb::types::{self, ReturnValue, TransactWriteItem};
use lambda_kit::{
    Failure,
    dynamodb::{DynamoDb, Fate, Item, TRANSACTION_ACTIONS_MAX, Transacted, Written},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long the items of a transaction stand in the way of others, at most.
const TRANSACTION: Duration = Duration::from_millis(15);

/// All tables of an account.
#[derive(Debug, Clone, Default)]
pub struct Tables(Arc<Mutex<BTreeMap<&'static str, Table>>>);

#[derive(Debug)]
struct Table {
    key: &'static str,
    items: BTreeMap<String, Item>,
    /// Until when an item is in a transaction.
    busy: BTreeMap<String, Instant>,
}

impl Tables {
    /// Adds an empty table with the partition key `key`.
    pub fn create(&self, name: &'static str, key: &'static str) {
        self.lock().insert(name, Table { key, items: BTreeMap::new(), busy: BTreeMap::new() });
    }
    /// Puts an item there, whatever stood in its place.
    pub fn seed(&self, table: &str, key: &str, item: Item) {
        if let Some(table) = self.lock().get_mut(table) {
            table.items.insert(key.to_owned(), item);
        }
    }
    /// Every item of a table.
    pub fn items(&self, table: &str) -> Vec<Item> {
        self.lock().get(table).map(|table| table.items.values().cloned().collect()).unwrap_or_default()
    }
    /// One item of a table.
    pub fn item(&self, table: &str, key: &str) -> Option<Item> {
        self.lock().get(table)?.items.get(key).cloned()
    }
    /// The tables, as `caller` reaches them.
    pub fn client(&self, caller: &Caller) -> Client {
        Client { tables: self.clone(), caller: caller.clone() }
    }
    fn key_of(&self, table: &str) -> Option<&'static str> {
        Some(self.lock().get(table)?.key)
    }
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Table>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands in for the SDK's client, in one invocation.
#[derive(Debug, Clone)]
pub struct Client {
    tables: Tables,
    caller: Caller,
}

/// What the write would set, or how it fails.
fn attempt(tables: &BTreeMap<&'static str, Table>, write: &Write) -> Result<Result<Assignments, Fate>, String> {
    let table = tables.get(write.table).ok_or("ResourceNotFoundException")?;
    if table.busy.get(write.key).is_some_and(|until| Instant::now() < *until) {
        return Ok(Err(Fate::Contended));
    }
    write.attempt(table.items.get(write.key))
}

/// Writes what [`attempt`] came to. Returns the new image.
fn apply<'t>(tables: &'t mut BTreeMap<&'static str, Table>, write: &Write, set: Assignments) -> Option<&'t Item> {
    let table = tables.get_mut(write.table)?;
    let old = table.items.remove(write.key);
    table.items.insert(write.key.to_owned(), write.leave(old, set));
    table.items.get(write.key)
}

impl Client {
    /// Does a single write at one instant. Returns the new image where it is wanted, the old one where the condition failed.
    async fn single(
        &self,
        operation: &str,
        write: Result<Write<'_>, String>,
        wants_new: bool,
    ) -> Result<Result<Option<Item>, Option<Item>>, Failure> {
        let write = write.map_err(invalid)?;
        let what = format_args!("{operation} {} {}", write.table, write.key);
        let effect = || {
            let mut tables = self.tables.lock();
            let outcome = attempt(&tables, &write)?.map(|set| {
                let new = apply(&mut tables, &write, set);
                self.caller.tell(format_args!("  → written {}", state(new)));
                new.filter(|_| wants_new).cloned()
            });
            if let Err(fate) = &outcome {
                self.caller.tell(format_args!("  → {}", Described(fate)));
            }
            Ok(outcome)
        };
        match self.caller.call(what, effect).await.map_err(failure)?.map_err(invalid)? {
            Ok(new) => Ok(Ok(new)),
            Err(Fate::ConditionFailed(old)) => Ok(Err(old)),
            Err(_) => Err(Failure::transient("TransactionConflictException", "the item is in a transaction")),
        }
    }
}

impl DynamoDb for Client {
    async fn get_item(&self, table: &str, (_, key): (&str, &str)) -> Result<Option<Item>, Failure> {
        self.caller.call(format_args!("GetItem {table} {key}"), || self.tables.item(table, key)).await.map_err(failure)
    }

    async fn put_item(&self, put: types::Put) -> Result<Written, Failure> {
        Ok(match self.single("PutItem", Write::put(&put, |table| self.tables.key_of(table)), false).await? {
            Ok(_) => Written::Done(None),
            Err(old) => Written::Refused(old),
        })
    }

    async fn update_item(&self, update: types::Update, returns: ReturnValue) -> Result<Written, Failure> {
        Ok(match self.single("UpdateItem", Write::update(&update), returns == ReturnValue::AllNew).await? {
            Ok(new) => Written::Done(new),
            Err(old) => Written::Refused(old),
        })
    }

    async fn transact_write_items(&self, actions: Vec<TransactWriteItem>) -> Result<Transacted, Failure> {
        let writes: Vec<_> =
            actions.iter().map(|action| Write::of(action, |table| self.tables.key_of(table))).collect::<Result<_, _>>().map_err(invalid)?;
        let rows: BTreeSet<_> = writes.iter().map(|write| (write.table, write.key)).collect();
        if rows.len() < writes.len() || writes.len() > TRANSACTION_ACTIONS_MAX {
            return Err(invalid("a transaction touches up to a hundred items, each once".to_owned()));
        }
        let conflicts = self.caller.draws.fault(&[Fault::Conflict]).is_some();
        let transact = || -> Result<Transacted, String> {
            let mut tables = self.tables.lock();
            let attempts: Vec<_> = writes.iter().map(|write| attempt(&tables, write)).collect::<Result<_, _>>()?;
            let (mut sets, mut fates) = (Vec::new(), Vec::new());
            for attempt in attempts {
                fates.push(attempt.map(|set| sets.push(set)).err().unwrap_or(Fate::Fine));
            }
            if let (true, Some(last)) = (conflicts, fates.last_mut()) {
                *last = Fate::Contended;
            }
            for (write, fate) in writes.iter().zip(&fates) {
                self.caller.tell(format_args!("  {} {}: {}", write.table, write.key, Described(fate)));
            }
            if fates.iter().any(|fate| *fate != Fate::Fine) {
                return Ok(Transacted::Cancelled(fates));
            }
            let until = Instant::now() + self.caller.draws.within(TRANSACTION);
            for (write, set) in writes.iter().zip(sets) {
                apply(&mut tables, write, set);
                if let Some(table) = tables.get_mut(write.table) {
                    table.busy.insert(write.key.to_owned(), until);
                }
            }
            Ok(Transacted::Done)
        };
        self.caller.call("TransactWriteItems", transact).await.map_err(failure)?.map_err(invalid)
    }
}

fn failure(trouble: CallFailure) -> Failure {
    match trouble {
        CallFailure::Throttled => Failure::transient("ThrottlingException", "the call was refused"),
        CallFailure::NoAnswer => Failure::transient("Timeout", "the call was not answered"),
    }
}

fn invalid(why: String) -> Failure {
    Failure::bug("ValidationException", why)
}

/// The fate of a write in the words of a story.
struct Described<'a>(&'a Fate);

impl std::fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Fate::ConditionFailed(Some(old)) => write!(f, "refused, found {}", state(Some(old))),
            Fate::ConditionFailed(None) => f.write_str("refused, found nothing"),
            fate => write!(f, "{fate:?}"),
        }
    }
}

/// The attribute that says most about a record.
fn state(item: Option<&Item>) -> &str {
    item.and_then(|item| item.get("state")?.as_s().ok()).map_or("it", String::as_str)
}
