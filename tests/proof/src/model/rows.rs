//! The tables: rows, and what each call of DynamoDB makes of them.
//!
//! The world applies every call here, at one instant, under the very expressions that the stages send.

use super::{
    bank::mentions,
    interned::{Interned, Interner},
};
use aws_sdk_dynamodb::types::{self, ReturnValue, TransactWriteItem};
use domain::{inventory, payment, shipping::Shipment};
use lambda_kit::dynamodb::{Fate, Item, Transacted, Written, record};
use serde::Deserialize;
use serde_json::Value;
use simulated_cloud::write::{Assignments, Write};

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
pub enum TableAnswer {
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

static ROWS: Interner<String, Row> = Interner::new();

/// The row of `table` that holds `item`.
pub fn row(table: &str, item: Option<Item>) -> Interned<Row> {
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
pub fn apply(call: &Call, places: &mut [Place]) -> Result<TableAnswer, String> {
    let tables: Vec<_> = places.iter().map(|place| place.table).collect();
    let key_name = |table: &str| tables.iter().find(|(name, _)| *name == table).map(|(_, key)| *key);
    match call {
        Call::Get(table, key) => Ok(TableAnswer::Item(at(places, table, key)?.item.clone())),
        Call::Put(put) => Ok(TableAnswer::Written(single(&Write::put(put, key_name)?, false, places)?)),
        Call::Update(update, returns) => {
            Ok(TableAnswer::Written(single(&Write::update(update)?, *returns == ReturnValue::AllNew, places)?))
        }
        Call::Transact(actions) => {
            let writes: Vec<_> = actions.iter().map(|action| Write::of(action, key_name)).collect::<Result<_, _>>()?;
            let (mut sets, mut fates) = (Vec::new(), Vec::new());
            for write in &writes {
                let attempt = write.attempt(at(places, write.table, write.key)?.item.as_ref())?;
                fates.push(attempt.map(|set| sets.push(set)).err().unwrap_or(Fate::Fine));
            }
            if sets.len() < writes.len() {
                return Ok(TableAnswer::Transacted(Transacted::Cancelled(fates)));
            }
            for (write, set) in writes.iter().zip(sets) {
                leave(write, set, at(places, write.table, write.key)?);
            }
            Ok(TableAnswer::Transacted(Transacted::Done))
        }
    }
}

fn single(write: &Write, wants_new: bool, places: &mut [Place]) -> Result<Written, String> {
    let place = at(places, write.table, write.key)?;
    Ok(match write.attempt(place.item.as_ref())? {
        Ok(set) => {
            leave(write, set, place);
            Written::Done(place.item.clone().filter(|_| wants_new))
        }
        Err(Fate::ConditionFailed(old)) => Written::Refused(old),
        Err(fate) => return Err(format!("{fate:?} of a single write")),
    })
}

fn leave(write: &Write, set: Assignments, place: &mut Place) {
    place.item = Some(write.leave(place.item.take(), set));
}

fn at<'a>(places: &'a mut [Place], table: &str, key: &str) -> Result<&'a mut Place, String> {
    places.iter_mut().find(|place| place.table.0 == table && place.key == key).ok_or_else(|| format!("{table} {key} is not this stage's"))
}
