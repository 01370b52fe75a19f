//! Where units and reservations are kept: the port of `inventory`, and its DynamoDB side.
//!
//! [`Inventory`](crate::Inventory) calls it; each method is one call to DynamoDB. It does not decide: a write carries the
//! condition that its step was decided on, and says what it found where that failed.
//!
//! A stock row holds only `available`. What is reserved or committed is the sum over reservations, so that no crash can
//! make the two disagree: units change hands in one transaction or not at all.

use aws_sdk_dynamodb::Client;
use domain::{
    OrderId, Sku, Timestamp,
    inventory::{Reservation, State},
    line::Item,
};
use lambda_kit::{
    Failure,
    dynamodb::{self, Created, DynamoDb, Fate, Table, Transacted, Update, Updated, attribute, string, transact},
};

/// The outcome of a transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Attempt<T> {
    /// It was written, or refused for a reason.
    Through(T),
    /// Another one stood in the way: again in a moment.
    Contended,
}

/// The outcome of reserving.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// Reserved, or decided before.
    Decided(Updated<State>),
    /// There is too little of these; nothing was written.
    Short(Vec<Sku>),
}

/// Stock rows and reservations. `Updated::Refused` is the reservation as it is, where the step does not fit it.
pub trait Warehouse {
    /// Takes every item out of stock and creates the reservation: one TransactWriteItems.
    async fn reserve(&self, order_id: &OrderId, items: &[Item], at: Timestamp) -> Result<Attempt<Taken>, Failure>;
    /// Creates the reservation as rejected: one PutItem.
    async fn reject(&self, order_id: &OrderId, short: Vec<Sku>, at: Timestamp) -> Result<Updated<State>, Failure>;
    /// Reserved → committed: one UpdateItem.
    async fn commit(&self, order_id: &OrderId, at: Timestamp) -> Result<Updated<State>, Failure>;
    /// Gives exactly these items back and marks the reservation released: one TransactWriteItems.
    async fn release(&self, order_id: &OrderId, items: &[Item], at: Timestamp) -> Result<Attempt<Updated<State>>, Failure>;
    /// None or rejected → closed: one UpdateItem.
    async fn close(&self, order_id: &OrderId, at: Timestamp) -> Result<Updated<State>, Failure>;
}

/// The stock table (key `sku`) and the reservations table (key `order_id`).
#[derive(Debug, Clone)]
pub struct WarehouseTables<D = Client> {
    client: D,
    stock: Table<D>,
    reservations: Table<D>,
}

impl<D: DynamoDb + Clone> WarehouseTables<D> {
    /// A handle on the tables of these names.
    pub fn new(client: D, stock: impl Into<String>, reservations: impl Into<String>) -> Self {
        let stock = Table::new(client.clone(), stock, "sku");
        let reservations = Table::new(client.clone(), reservations, "order_id");
        Self { client, stock, reservations }
    }
}

impl<D: DynamoDb> Warehouse for WarehouseTables<D> {
    async fn reserve(&self, order_id: &OrderId, items: &[Item], at: Timestamp) -> Result<Attempt<Taken>, Failure> {
        let state = State::Reserved { items: items.to_vec(), reserved_at: at };
        // The reservation goes first, here and in `release`: its fate is the first of a cancellation's.
        let mut actions = vec![self.reservations.creation(&Reservation { order_id: *order_id, state: state.clone() })?];
        for item in items {
            // A row without `available`, and no row at all, has none: the condition fails, which counts as short.
            actions.push(self.stock.change(item.sku.as_str(), Update::new().take("available", item.quantity.into()))?);
        }
        after_reserving(transact(&self.client, actions).await?, state, items)
    }

    async fn reject(&self, order_id: &OrderId, short: Vec<Sku>, at: Timestamp) -> Result<Updated<State>, Failure> {
        let new = Reservation { order_id: *order_id, state: State::Rejected { short, rejected_at: at } };
        Ok(match self.reservations.create(&new).await? {
            Created::New => Updated::Now(new.state),
            Created::Exists(old) => Updated::Refused(Some(old.state)),
        })
    }

    async fn commit(&self, order_id: &OrderId, at: Timestamp) -> Result<Updated<State>, Failure> {
        let update = Update::new().set("state", string("committed")).set("committed_at", attribute(&at)?);
        self.update(order_id, update.if_equals("state", string("reserved"))).await
    }

    async fn release(&self, order_id: &OrderId, items: &[Item], at: Timestamp) -> Result<Attempt<Updated<State>>, Failure> {
        let update = Update::new().set("state", string("released")).set("released_at", attribute(&at)?);
        let update = update.if_equals("state", string("reserved")).if_equals("items", attribute(&items)?);
        let mut actions = vec![self.reservations.change(&order_id.to_string(), update)?];
        for item in items {
            // Adding creates a row that somebody deleted in the meantime: the units are back in the house whatever the
            // table says, and a release that could never pass would keep its order from ending.
            actions.push(self.stock.change(item.sku.as_str(), Update::new().add("available", item.quantity.into()))?);
        }
        after_releasing(transact(&self.client, actions).await?, State::Released { released_at: at })
    }

    async fn close(&self, order_id: &OrderId, at: Timestamp) -> Result<Updated<State>, Failure> {
        let update = Update::new().set("state", string("closed")).set("closed_at", attribute(&at)?);
        // Both states that `Step::Close` is decided on, so that a wrong guess between them costs nothing.
        self.update(order_id, update.if_absent_or_equals("state", string("rejected"))).await
    }
}

impl<D: DynamoDb> WarehouseTables<D> {
    async fn update(&self, order_id: &OrderId, update: Update) -> Result<Updated<State>, Failure> {
        Ok(match self.reservations.update::<Reservation>(&order_id.to_string(), update).await? {
            Updated::Now(now) => Updated::Now(now.state),
            Updated::Refused(old) => Updated::Refused(old.map(|old| old.state)),
        })
    }
}

/// Reads the answer to a `reserve`, in the one order that is right: the reservation first, because a redelivery of an order
/// that took the last unit finds the stock short, too; then conflicts, because what is short may be on its way back.
pub(crate) fn after_reserving(transacted: Transacted, reserved: State, items: &[Item]) -> Result<Attempt<Taken>, Failure> {
    let (reservation, rows) = match read(transacted)? {
        Cancelled::Not => return Ok(Attempt::Through(Taken::Decided(Updated::Now(reserved)))),
        Cancelled::Contended => return Ok(Attempt::Contended),
        Cancelled::For(reservation, rows) => (reservation, rows),
    };
    if let Some(refused) = reservation {
        return Ok(Attempt::Through(Taken::Decided(refused)));
    }
    let short = |(item, fate): (&Item, Fate)| matches!(fate, Fate::ConditionFailed(_)).then(|| item.sku.clone());
    Ok(Attempt::Through(Taken::Short(items.iter().zip(rows).filter_map(short).collect())))
}

/// Reads the answer to a `release`: giving back has no condition but the reservation's.
pub(crate) fn after_releasing(transacted: Transacted, released: State) -> Result<Attempt<Updated<State>>, Failure> {
    match read(transacted)? {
        Cancelled::Not => Ok(Attempt::Through(Updated::Now(released))),
        Cancelled::Contended => Ok(Attempt::Contended),
        Cancelled::For(Some(refused), _) => Ok(Attempt::Through(refused)),
        Cancelled::For(None, _) => Err(Failure::bug("TransactionCanceled", "a stock row refused to take units back")),
    }
}

enum Cancelled {
    Not,
    Contended,
    /// What the reservation's condition found, if that failed; and the fates of the stock rows, one of which failed if not.
    For(Option<Updated<State>>, Vec<Fate>),
}

fn read(transacted: Transacted) -> Result<Cancelled, Failure> {
    let Transacted::Cancelled(fates) = transacted else { return Ok(Cancelled::Not) };
    let mut rows = fates.into_iter();
    let reservation = rows.next();
    let rows: Vec<_> = rows.collect();
    if let Some(Fate::ConditionFailed(old)) = reservation {
        let old = old.map(dynamodb::record::<Reservation>).transpose()?;
        return Ok(Cancelled::For(Some(Updated::Refused(old.map(|old| old.state))), rows));
    }
    let of_all = || reservation.iter().chain(&rows);
    if of_all().any(|fate| *fate == Fate::Contended) {
        return Ok(Cancelled::Contended);
    }
    if let Some(code) = of_all().find_map(|fate| if let Fate::Refused(code) = fate { Some(code) } else { None }) {
        return Err(Failure::bug(code.clone(), "DynamoDB will not do an action of the transaction"));
    }
    if rows.iter().any(|fate| matches!(fate, Fate::ConditionFailed(_))) {
        return Ok(Cancelled::For(None, rows));
    }
    Err(Failure::transient("TransactionCanceled", "the transaction was cancelled without a reason"))
}
