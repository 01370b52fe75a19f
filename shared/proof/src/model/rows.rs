//! The tables: rows, and what each call of DynamoDB makes of them.
//!
//! The world applies every call here, at one instant, under the very expressions that the stages send. It refuses to know
//! conditions of its own: what guards a write is what the stage's store asked for.

use super::{
    atom::{Atom, Shelf},
    bank::mentions,
};
use aws_sdk_dynamodb::types::{self, AttributeValue, ReturnValue, TransactWriteItem};
use domain::{inventory, payment, shipping::Shipment};
use lambda_kit::dynamodb::{Fate, Item, Transacted, Written, record};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use testkit::cloud::expression::{Placeholders, holds, updated};

/// The tables by name, with what identifies a row.
pub const PAYMENTS: (&str, &str) = ("payments", "order_id");
/// See [`PAYMENTS`].
pub const RESERVATIONS: (&str, &str) = ("reservations", "order_id");
/// See [`PAYMENTS`].
pub const SHIPMENTS: (&str, &str) = ("shipments", "order_id");
/// See [`PAYMENTS`].
pub const STOCK: (&str, &str) = ("stock", "sku");

/// A call of DynamoDB, as the SDK would send it.
#[derive(Debug, Clone)]
pub enum Call {
    /// GetItem, by table and key.
    Get(String, String),
    /// PutItem.
    Put(types::Put),
    /// UpdateItem, and what it wants back.
    Update(types::Update, ReturnValue),
    /// TransactWriteItems.
    Transact(Vec<TransactWriteItem>),
}

/// What the store hears.
#[derive(Debug, Clone)]
pub enum Answer {
    /// To GetItem.
    Item(Option<Item>),
    /// To PutItem and UpdateItem.
    Written(Written),
    /// To TransactWriteItems.
    Transacted(Transacted),
}

/// A row, with what the stages would read in it.
#[derive(Debug)]
pub struct Row {
    /// The item, where there is one.
    pub item: Option<Item>,
    /// The same, read.
    pub record: Record,
    /// The item as JSON, with sorted names.
    pub text: String,
    /// See [`mentions`].
    pub mentions: u8,
}

/// What a row says.
#[derive(Debug, PartialEq)]
pub enum Record {
    /// There is none.
    Nothing,
    /// A row of the payments table.
    Payment(payment::State),
    /// A row of the reservations table.
    Reservation(inventory::State),
    /// A row of the shipments table.
    Shipment(Shipment),
    /// A row of the stock table: units that are available.
    Available(u64),
    /// A row that no build could have written.
    Unreadable,
}

#[derive(Deserialize)]
struct StockRow {
    available: u64,
}

static ROWS: Shelf<String, Row> = Shelf::new();

/// The row of `table` that holds `item`.
pub fn row(table: &str, item: Option<Item>) -> Atom<Row> {
    let text = item.as_ref().map_or_else(String::new, text_of);
    ROWS.keep(format!("{table} {text}").as_str(), || {
        let read = |item: Item| {
            Some(match table {
                "payments" => Record::Payment(record::<payment::Payment>(item).ok()?.state),
                "reservations" => Record::Reservation(record::<inventory::Reservation>(item).ok()?.state),
                "shipments" => Record::Shipment(record(item).ok()?),
                _ => Record::Available(record::<StockRow>(item).ok()?.available),
            })
        };
        Row {
            record: item.clone().map_or(Record::Nothing, |item| read(item).unwrap_or(Record::Unreadable)),
            item,
            mentions: mentions(&text),
            text: text.clone(),
        }
    })
}

/// An item as JSON, which has its names sorted as an item has not.
pub fn text_of(item: &Item) -> String {
    record::<Value>(item.clone()).map_or_else(|failure| failure.to_string(), |value| value.to_string())
}

/// A row within reach of a call.
#[derive(Debug)]
pub struct Place {
    /// The table, and the name of its key.
    pub table: (&'static str, &'static str),
    /// The row's key.
    pub key: String,
    /// What is there.
    pub item: Option<Item>,
}

/// Does `call` to the rows at `places`.
///
/// # Errors
/// A call that DynamoDB would refuse, or that reaches for another stage's or order's row.
pub fn apply(call: &Call, places: &mut [Place]) -> Result<Answer, String> {
    match call {
        Call::Get(table, key) => Ok(Answer::Item(at(places, table, key)?.item.clone())),
        Call::Put(put) => Ok(Answer::Written(single(Write::put(put, places)?, false, places)?)),
        Call::Update(update, returns) => Ok(Answer::Written(single(Write::update(update)?, *returns == ReturnValue::AllNew, places)?)),
        Call::Transact(actions) => {
            let write = |action: &TransactWriteItem| match (action.put(), action.update()) {
                (Some(put), None) => {
                    Write::put(put, places).map(|write| (write.table.to_owned(), write.key.to_owned(), write.attempt(places)))
                }
                (None, Some(update)) => {
                    Write::update(update).map(|write| (write.table.to_owned(), write.key.to_owned(), write.attempt(places)))
                }
                _ => Err("an action is neither put nor update".to_owned()),
            };
            let attempts = actions.iter().map(write).collect::<Result<Vec<_>, _>>()?;
            let mut fates = Vec::new();
            let mut written = Vec::new();
            for (table, key, attempt) in attempts {
                match attempt? {
                    Ok(new) => {
                        fates.push(Fate::Fine);
                        written.push((table, key, new));
                    }
                    Err(fate) => fates.push(fate),
                }
            }
            if written.len() < fates.len() {
                return Ok(Answer::Transacted(Transacted::Cancelled(fates)));
            }
            for (table, key, new) in written {
                at(places, &table, &key)?.item = Some(new);
            }
            Ok(Answer::Transacted(Transacted::Done))
        }
    }
}

fn single(write: Write, wants_new: bool, places: &mut [Place]) -> Result<Written, String> {
    Ok(match write.attempt(places)? {
        Ok(new) => {
            at(places, write.table, write.key)?.item = Some(new.clone());
            Written::Done(wants_new.then_some(new))
        }
        Err(Fate::ConditionFailed(old)) => Written::Refused(old),
        Err(fate) => return Err(format!("{fate:?} of a single write")),
    })
}

fn at<'a>(places: &'a mut [Place], table: &str, key: &str) -> Result<&'a mut Place, String> {
    places.iter_mut().find(|place| place.table.0 == table && place.key == key).ok_or_else(|| format!("{table} {key} is not this stage's"))
}

/// A conditional write of one row.
struct Write<'a> {
    table: &'a str,
    key: &'a str,
    condition: Option<&'a str>,
    with: Placeholders<'a>,
    change: Change<'a>,
    wants_old: bool,
}

enum Change<'a> {
    Put(&'a Item),
    Update(&'a str),
}

impl<'a> Write<'a> {
    fn put(put: &'a types::Put, places: &[Place]) -> Result<Self, String> {
        let name = places.iter().find(|place| place.table.0 == put.table_name()).map(|place| place.table.1);
        let Some(AttributeValue::S(key)) = name.and_then(|name| put.item().get(name)) else { return Err("a put without a key".to_owned()) };
        Ok(Self {
            table: put.table_name(),
            key,
            condition: put.condition_expression(),
            with: with(put.expression_attribute_names(), put.expression_attribute_values()),
            change: Change::Put(put.item()),
            wants_old: put.return_values_on_condition_check_failure().is_some(),
        })
    }
    fn update(update: &'a types::Update) -> Result<Self, String> {
        let Some(AttributeValue::S(key)) = update.key().values().next() else { return Err("an update without a key".to_owned()) };
        Ok(Self {
            table: update.table_name(),
            key,
            condition: update.condition_expression(),
            with: with(update.expression_attribute_names(), update.expression_attribute_values()),
            change: Change::Update(update.update_expression()),
            wants_old: update.return_values_on_condition_check_failure().is_some(),
        })
    }

    /// The item that the write leaves, or how it fails.
    fn attempt(&self, places: &[Place]) -> Result<Result<Item, Fate>, String> {
        let place = places.iter().find(|place| place.table.0 == self.table && place.key == self.key);
        let place = place.ok_or_else(|| format!("{} {} is not this stage's", self.table, self.key))?;
        let old = place.item.as_ref();
        if let Some(condition) = self.condition
            && !holds(condition, self.with, old)?
        {
            return Ok(Err(Fate::ConditionFailed(old.filter(|_| self.wants_old).cloned())));
        }
        match &self.change {
            Change::Put(item) => Ok(Ok((*item).clone())),
            Change::Update(expression) => updated(expression, self.with, old, (place.table.1, self.key)).map(Ok),
        }
    }
}

fn with<'a>(names: Option<&'a HashMap<String, String>>, values: Option<&'a HashMap<String, AttributeValue>>) -> Placeholders<'a> {
    Placeholders { names, values }
}
