//! `inventory`: reserves stock when an order is placed, and commits or releases it once the order is decided.
//!
//! `main.rs` wires it behind its queue. [`domain::inventory::decide`] chooses the next step from an assumed record. The write
//! carries that assumption as its condition. If the condition fails, DynamoDB returns the stored record, and that record
//! decides. It never reads before it writes.

pub mod warehouse;

use domain::{
    Asked, CloudEvent, Event, Sku,
    inventory::{self as table, Known, Short, Step},
    line::{Item, items},
};
use lambda_kit::{
    Ambient, Failure,
    dynamodb::{TRANSACTION_ACTIONS_MAX, Updated},
    message::Delivery,
};
use pipeline::{Reply, Stage, impossible, not_for, order_id};
use std::{collections::BTreeMap, time::Duration};
use warehouse::{Attempt, Taken, Warehouse};

/// Most SKUs in one order: each is an action of the one transaction, and the reservation is one more.
pub const SKUS_MAX: usize = TRANSACTION_ACTIONS_MAX - 1;

/// Most decisions about one event: one on the assumption, and one for each place where a record can be found on its way:
/// none, then reserved or rejected, then ended. Only a record that moves backwards needs more.
pub const DECISIONS_MAX: usize = 4;

/// How often a transaction that met another one is tried again before the message goes back to its queue, whose back-off
/// starts at seconds. Transactions take milliseconds, and the batch core keeps records of one SKU apart, so only the few
/// other functions can be in the way, and five tries outlast them almost always.
pub const CONFLICT_RETRIES: u32 = 5;

/// The longest wait before the first retry, doubled for each further one: together at most 310 ms.
const CONFLICT_BASE: Duration = Duration::from_millis(10);

/// The stage.
#[derive(Debug)]
pub struct Inventory<W, A> {
    /// Stock rows and reservations.
    pub warehouse: W,
    /// The time of what is stored, and the jitter between retries.
    pub ambient: A,
    /// How long an order waits for units that others hold before it is rejected.
    pub stock_wait: Duration,
}

impl<W: Warehouse, A: Ambient> Stage for Inventory<W, A> {
    const NAME: &'static str = "inventory";

    async fn handle(&self, event: &CloudEvent, delivery: &Delivery) -> Result<Reply, Failure> {
        let order_id = order_id(event)?;
        let (asked, mut known, wanted) = match &event.event {
            Event::OrderPlaced(placed) => (Asked::Placed, table::PLACED_FINDS, distinct(items(&placed.lines))?),
            Event::OrderShipped(shipped) => (Asked::Shipped, table::shipped_finds(shipped), Vec::new()),
            Event::OrderCancelled(cancelled) => (Asked::Cancelled, table::cancelled_finds(cancelled), Vec::new()),
            _ => return Err(not_for(Self::NAME, event)),
        };
        let mut found = None;
        for _ in 0..DECISIONS_MAX {
            let now = self.ambient.now();
            let written = match table::decide(&known, asked).map_err(impossible)? {
                Step::Reserve => match self.insist(|| self.warehouse.reserve(&order_id, &wanted, self.ambient.now())).await? {
                    Taken::Decided(written) => written,
                    Taken::Short(skus) => match table::when_short(delivery.checks, self.stock_wait) {
                        Short::LookAgain(after) => return Ok(Reply { look_again_after: Some(after), ..Reply::nothing() }),
                        // Stands back for a reservation that another delivery made in between.
                        Short::Reject => self.warehouse.reject(&order_id, skus, self.ambient.now()).await?,
                    },
                },
                Step::Commit => self.warehouse.commit(&order_id, now).await?,
                Step::Release(items) => {
                    let items = distinct(items)?;
                    self.insist(|| self.warehouse.release(&order_id, &items, self.ambient.now())).await?
                }
                Step::Close => self.warehouse.close(&order_id, now).await?,
                Step::Answer => Updated::Now(found.take().ok_or_else(|| Failure::bug("Assumed", "an assumption was taken for an answer"))?),
            };
            match written {
                Updated::Now(state) => return table::answers(&state, asked).map(Reply::announce).map_err(impossible),
                Updated::Refused(state) => {
                    known = state.as_ref().map_or(Known::None, Known::from);
                    found = state;
                }
            }
        }
        Err(Failure::transient("LostRace", format_args!("the reservation changed under each of {DECISIONS_MAX} decisions")))
    }

    /// The stock rows that reserving or releasing writes; committing and closing touch the order's own record alone.
    fn contends_for(&self, event: &CloudEvent) -> Vec<String> {
        let skus = |items: &[Item]| items.iter().map(|item| item.sku.to_string()).collect();
        match &event.event {
            Event::OrderPlaced(placed) => skus(&items(&placed.lines)),
            Event::OrderCancelled(cancelled) => cancelled.items.as_deref().map(skus).unwrap_or_default(),
            _ => Vec::new(),
        }
    }
}

impl<W: Warehouse, A: Ambient> Inventory<W, A> {
    /// Tries until nobody else is in the way, with full jitter: those who met once should not meet again
    /// (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
    async fn insist<T>(&self, attempt: impl AsyncFn() -> Result<Attempt<T>, Failure>) -> Result<T, Failure> {
        for retry in 0..=CONFLICT_RETRIES {
            if let Attempt::Through(value) = attempt().await? {
                return Ok(value);
            }
            if retry < CONFLICT_RETRIES {
                tokio::time::sleep(jitter(retry, self.ambient.random())).await;
            }
        }
        Err(Failure::transient("TransactionConflict", format_args!("other transactions stood in the way {} times", CONFLICT_RETRIES + 1)))
    }
}

/// A wait between nothing and the base doubled `retry` times.
fn jitter(retry: u32, random: u64) -> Duration {
    let longest = (CONFLICT_BASE * 2u32.pow(retry)).as_micros() as u64;
    Duration::from_micros(random % (longest + 1))
}

/// `items` with each SKU once, ordered. Intake sees to it, but a transaction that touches one row twice is refused as a
/// whole, and no retry would help: what another producer sends must not get so far.
fn distinct(items: Vec<Item>) -> Result<Vec<Item>, Failure> {
    let mut units = BTreeMap::<Sku, u32>::new();
    for Item { sku, quantity } in items {
        let sum = units.entry(sku).or_default();
        *sum = sum.checked_add(quantity).ok_or_else(|| Failure::permanent("TooManyUnits", "the order's quantities do not fit a number"))?;
    }
    if units.len() > SKUS_MAX {
        return Err(Failure::permanent(
            "TooManySkus",
            format_args!("the order has {} SKUs, and one transaction takes {SKUS_MAX}", units.len()),
        ));
    }
    Ok(units.into_iter().map(|(sku, quantity)| Item { sku, quantity }).collect())
}

#[cfg(test)]
mod tests;
