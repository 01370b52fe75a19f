//! Simulated DynamoDB tables, under the expressions that are really sent.
//!
//! Every call has its effect at one instant; a transaction's items then stay in the way of others for a while. It refuses to
//! invent an outcome: an expression that it cannot evaluate is a `ValidationException`, which is a bug.

use super::{
    Caller, Fault, Trouble,
    expression::{Placeholders, assignments, holds},
};
use aws_sdk_dynamodb::types::{self, AttributeValue, ReturnValue, TransactWriteItem};
use lambda_kit::{
    Failure,
    dynamodb::{DynamoDb, Fate, Item, TRANSACTION_ACTIONS_MAX, Transacted, Written},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
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

/// A write of one item: where, on which condition, and what it leaves.
struct Write<'a> {
    table: &'a str,
    key: &'a str,
    condition: Option<&'a str>,
    with: Placeholders<'a>,
    change: Change<'a>,
    /// Whether the item comes back where the condition fails.
    wants_old: bool,
}

enum Change<'a> {
    Put(&'a Item),
    Update(&'a str),
}

impl<'a> Write<'a> {
    fn of(action: &'a TransactWriteItem, tables: &Tables) -> Result<Self, String> {
        match action {
            TransactWriteItem { put: Some(put), .. } => Self::put(put, tables),
            TransactWriteItem { update: Some(update), .. } => Self::update(update),
            _ => Err("an action is neither put nor update".to_owned()),
        }
    }
    fn put(put: &'a types::Put, tables: &Tables) -> Result<Self, String> {
        let table = put.table_name();
        let attribute = tables.lock().get(table).map(|table| table.key).ok_or("ResourceNotFoundException")?;
        let Some(AttributeValue::S(key)) = put.item().get(attribute) else { return Err("the item has no key".to_owned()) };
        Ok(Self {
            table,
            key,
            condition: put.condition_expression(),
            with: with(put.expression_attribute_names(), put.expression_attribute_values()),
            change: Change::Put(put.item()),
            wants_old: put.return_values_on_condition_check_failure().is_some(),
        })
    }
    fn update(update: &'a types::Update) -> Result<Self, String> {
        let Some(AttributeValue::S(key)) = update.key().values().next() else { return Err("the update has no key".to_owned()) };
        Ok(Self {
            table: update.table_name(),
            key,
            condition: update.condition_expression(),
            with: with(update.expression_attribute_names(), update.expression_attribute_values()),
            change: Change::Update(update.update_expression()),
            wants_old: update.return_values_on_condition_check_failure().is_some(),
        })
    }

    /// What the write sets, or how it stands in the transaction's way.
    fn attempt<'t>(&'t self, tables: &'t BTreeMap<&'static str, Table>) -> Result<Result<Vec<(String, AttributeValue)>, Fate>, String> {
        let table = tables.get(self.table).ok_or("ResourceNotFoundException")?;
        if table.busy.get(self.key).is_some_and(|until| Instant::now() < *until) {
            return Ok(Err(Fate::Contended));
        }
        let old = table.items.get(self.key);
        if let Some(condition) = self.condition
            && !holds(condition, self.with, old)?
        {
            return Ok(Err(Fate::ConditionFailed(old.filter(|_| self.wants_old).cloned())));
        }
        let Change::Update(expression) = self.change else { return Ok(Ok(Vec::new())) };
        let set = assignments(expression, self.with, old)?;
        Ok(Ok(set.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
    }

    /// Writes what [`Write::attempt`] came to. Returns the new image.
    fn apply<'t>(&self, tables: &'t mut BTreeMap<&'static str, Table>, set: Vec<(String, AttributeValue)>) -> Option<&'t Item> {
        let table = tables.get_mut(self.table)?;
        if let Change::Put(item) = self.change {
            table.items.insert(self.key.to_owned(), item.clone());
        } else {
            let fresh = || Item::from([(table.key.to_owned(), AttributeValue::S(self.key.to_owned()))]);
            table.items.entry(self.key.to_owned()).or_insert_with(fresh).extend(set);
        }
        table.items.get(self.key)
    }
}

fn with<'a>(names: Option<&'a HashMap<String, String>>, values: Option<&'a HashMap<String, AttributeValue>>) -> Placeholders<'a> {
    Placeholders { names, values }
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
            let outcome = write.attempt(&tables)?.map(|set| {
                let new = write.apply(&mut tables, set);
                self.caller.tell(format_args!("  → written {}", state(new)));
                new.filter(|_| wants_new).cloned()
            });
            if let Err(fate) = &outcome {
                self.caller.tell(format_args!("  → {}", Told(fate)));
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
        Ok(match self.single("PutItem", Write::put(&put, &self.tables), false).await? {
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
        let writes: Vec<_> = actions.iter().map(|action| Write::of(action, &self.tables)).collect::<Result<_, _>>().map_err(invalid)?;
        let rows: BTreeSet<_> = writes.iter().map(|write| (write.table, write.key)).collect();
        if rows.len() < writes.len() || writes.len() > TRANSACTION_ACTIONS_MAX {
            return Err(invalid("a transaction touches up to a hundred items, each once".to_owned()));
        }
        let conflicts = self.caller.lots.fault(&[Fault::Conflict]).is_some();
        let transact = || -> Result<Transacted, String> {
            let mut tables = self.tables.lock();
            let attempts: Vec<_> = writes.iter().map(|write| write.attempt(&tables)).collect::<Result<_, _>>()?;
            let (mut sets, mut fates) = (Vec::new(), Vec::new());
            for attempt in attempts {
                fates.push(attempt.map(|set| sets.push(set)).err().unwrap_or(Fate::Fine));
            }
            if let (true, Some(last)) = (conflicts, fates.last_mut()) {
                *last = Fate::Contended;
            }
            for (write, fate) in writes.iter().zip(&fates) {
                self.caller.tell(format_args!("  {} {}: {}", write.table, write.key, Told(fate)));
            }
            if fates.iter().any(|fate| *fate != Fate::Fine) {
                return Ok(Transacted::Cancelled(fates));
            }
            let until = Instant::now() + self.caller.lots.within(TRANSACTION);
            for (write, set) in writes.iter().zip(sets) {
                write.apply(&mut tables, set);
                if let Some(table) = tables.get_mut(write.table) {
                    table.busy.insert(write.key.to_owned(), until);
                }
            }
            Ok(Transacted::Done)
        };
        self.caller.call("TransactWriteItems", transact).await.map_err(failure)?.map_err(invalid)
    }
}

fn failure(trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Throttled => Failure::transient("ThrottlingException", "the call was refused"),
        Trouble::NoAnswer => Failure::transient("Timeout", "the call was not answered"),
    }
}

fn invalid(why: String) -> Failure {
    Failure::bug("ValidationException", why)
}

/// The fate of a write in the words of a story.
struct Told<'a>(&'a Fate);

impl std::fmt::Display for Told<'_> {
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
