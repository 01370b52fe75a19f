//! The decision of inventory on an event, given its reservation: the inventory half of the answer table.
//!
//! `functions/inventory` calls [`decide`], writes the one change it says, and publishes [`answers`]. A stock row holds
//! only what is available; what is reserved or committed is the sum over reservations, so the books cannot disagree.

use crate::{
    Asked, Impossible,
    event::{
        CancelReason, Event, InventoryCommitted, InventoryRejected, InventoryReleased, InventoryReserved, OrderCancelled, OrderShipped,
    },
    id::{OrderId, Sku},
    line::Item,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The record of the reservations table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// Partition key.
    pub order_id: OrderId,
    /// Where it stands.
    #[serde(flatten)]
    pub state: State,
}

/// Where an order's units stand. Fields of earlier states stay in the item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// All items were taken out of what is available.
    Reserved {
        /// The items, ordered by SKU.
        items: Vec<Item>,
        /// When.
        reserved_at: Timestamp,
    },
    /// There was too little of something, so nothing was taken.
    Rejected {
        /// Of what.
        short: Vec<Sku>,
        /// When.
        rejected_at: Timestamp,
    },
    /// The items left the building.
    Committed {
        /// The items, ordered by SKU.
        items: Vec<Item>,
        /// When they were set aside.
        reserved_at: Timestamp,
        /// When they left.
        committed_at: Timestamp,
    },
    /// The items were given back.
    Released {
        /// When.
        released_at: Timestamp,
    },
    /// A tombstone: nothing was ever taken, and nothing will be.
    Closed {
        /// When.
        closed_at: Timestamp,
    },
}

/// The reservation as it is known or assumed for the decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// No record.
    None,
    /// [`State::Reserved`], with these items.
    Reserved(Vec<Item>),
    /// [`State::Rejected`]
    Rejected,
    /// [`State::Committed`]
    Committed,
    /// [`State::Released`]
    Released,
    /// [`State::Closed`]
    Closed,
}

impl Known {
    /// The name that the state has in the table, `none` where there is no record.
    pub const fn name(&self) -> &'static str {
        match self {
            Known::None => "none",
            Known::Reserved(_) => "reserved",
            Known::Rejected => "rejected",
            Known::Committed => "committed",
            Known::Released => "released",
            Known::Closed => "closed",
        }
    }
}

impl From<&State> for Known {
    fn from(state: &State) -> Self {
        match state {
            State::Reserved { items, .. } => Known::Reserved(items.clone()),
            State::Rejected { .. } => Known::Rejected,
            State::Committed { .. } => Known::Committed,
            State::Released { .. } => Known::Released,
            State::Closed { .. } => Known::Closed,
        }
    }
}

/// The most likely record when `order.placed` arrives: fresh orders have none.
pub const PLACED_FINDS: Known = Known::None;

/// The most likely record when `order.shipped` arrives: reserved, or shipping could not have decided so.
pub fn shipped_finds(event: &OrderShipped) -> Known {
    Known::Reserved(event.items.clone())
}

/// The most likely record when `order.cancelled` arrives, from what shipping knew when it decided.
pub fn cancelled_finds(event: &OrderCancelled) -> Known {
    match (&event.items, event.reason) {
        (Some(items), _) => Known::Reserved(items.clone()),
        (None, CancelReason::OutOfStock) => Known::Rejected,
        (None, _) => Known::None,
    }
}

/// The one change to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Take every item out of stock and create the reservation, all in one transaction; where stock is too low, do what
    /// [`when_short`] says.
    Reserve,
    /// Reserved → committed.
    Commit,
    /// Give these items back and mark the reservation released, all in one transaction.
    Release(Vec<Item>),
    /// Create or overwrite as closed, so that a late `order.placed` fails its condition.
    Close,
    /// Nothing to do: the record already answers.
    Answer,
}

/// How often an order that finds too little is checked again, at most. What an order that is not paid takes falls back
/// within seconds, when its bank has answered and shipping has cancelled it. So looks are seconds apart, and each costs a
/// message and a transaction that fails: a dozen is one every five seconds in a minute.
pub const LOOKS_MAX: u32 = 12;
/// The shortest time between two looks: a message is delayed by whole seconds.
pub const LOOK_AFTER_MIN: Duration = Duration::from_secs(1);

/// The next step for an order without enough stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// check again after this time: units that another order holds may come back.
    LookAgain(Duration),
    /// Create [`State::Rejected`]: final.
    Reject,
}

/// Decides about an order that finds too little at a look before which there were `looks` others, where it may wait for `wait`.
///
/// Too little is not final at once: orders take units before they are paid, so that orders that will be declined would turn honest
/// ones away. How long an order has waited is counted in looks, not by a clock, so that one that is not looked at does not wait.
pub fn when_short(looks: u32, wait: Duration) -> Short {
    let after = Duration::from_secs(wait.as_secs().div_ceil(LOOKS_MAX.into())).max(LOOK_AFTER_MIN);
    if after.saturating_mul(looks) < wait { Short::LookAgain(after) } else { Short::Reject }
}

/// Decides what to do when `asked` meets `known`.
///
/// # Errors
/// [`Impossible`] for the ✗ cells.
pub fn decide(known: &Known, asked: Asked) -> Result<Step, Impossible> {
    use Known as K;
    Ok(match (asked, known) {
        (Asked::Placed, K::None) => Step::Reserve,
        (Asked::Placed, _) => Step::Answer,

        (Asked::Shipped, K::Reserved(_)) => Step::Commit,
        (Asked::Shipped, K::Committed) => Step::Answer,
        (Asked::Shipped, K::None | K::Rejected | K::Released | K::Closed) => return Err(impossible(known, asked)),

        (Asked::Cancelled, K::None | K::Rejected) => Step::Close,
        (Asked::Cancelled, K::Reserved(items)) => Step::Release(items.clone()),
        (Asked::Cancelled, K::Released | K::Closed) => Step::Answer,
        (Asked::Cancelled, K::Committed) => return Err(impossible(known, asked)),
    })
}

/// The event for the stored record and `asked`, with its time.
///
/// # Errors
/// [`Impossible`] for the ✗ cells, and for a record that has not yet done what was asked.
pub fn answers(state: &State, asked: Asked) -> Result<(Event, Timestamp), Impossible> {
    Ok(match (asked, state) {
        (Asked::Placed, State::Reserved { items, reserved_at } | State::Committed { items, reserved_at, .. }) => {
            (InventoryReserved { items: items.clone() }.into(), *reserved_at)
        }
        (Asked::Placed, State::Rejected { short, rejected_at }) => (InventoryRejected { short: short.clone() }.into(), *rejected_at),
        (Asked::Shipped, State::Committed { items, committed_at, .. }) => {
            (InventoryCommitted { items: items.clone() }.into(), *committed_at)
        }
        (Asked::Placed | Asked::Cancelled, State::Released { released_at: at } | State::Closed { closed_at: at }) => {
            (InventoryReleased {}.into(), *at)
        }
        (Asked::Shipped | Asked::Cancelled, _) => return Err(impossible(&Known::from(state), asked)),
    })
}

fn impossible(known: &Known, asked: Asked) -> Impossible {
    Impossible { stage: "inventory", record: known.name(), event: asked.stem() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Vec<Item> {
        vec![Item { sku: "MUG-BLUE".parse().unwrap(), quantity: 2 }]
    }
    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }
    fn states() -> Vec<State> {
        vec![
            State::Reserved { items: items(), reserved_at: at(100) },
            State::Rejected { short: vec!["LAMP".parse().unwrap()], rejected_at: at(200) },
            State::Committed { items: items(), reserved_at: at(100), committed_at: at(300) },
            State::Released { released_at: at(400) },
            State::Closed { closed_at: at(500) },
        ]
    }
    fn cell(record: Option<&State>, asked: Asked) -> &'static str {
        let known = record.map_or(Known::None, Known::from);
        match decide(&known, asked) {
            Err(_) => "✗",
            Ok(Step::Reserve) => "reserve",
            Ok(Step::Commit) => "commit",
            Ok(Step::Release(_)) => "release",
            Ok(Step::Close) => "close",
            Ok(Step::Answer) => answers(record.unwrap(), asked).unwrap().0.event_type().stem(),
        }
    }

    /// The table of the design, cell for cell.
    #[test]
    fn every_cell_of_the_answer_table() {
        let table = [
            ("none", "reserve", "✗", "close"),
            ("reserved", "inventory.reserved", "commit", "release"),
            ("rejected", "inventory.rejected", "✗", "close"),
            ("committed", "inventory.reserved", "inventory.committed", "✗"),
            ("released", "inventory.released", "✗", "inventory.released"),
            ("closed", "inventory.released", "✗", "inventory.released"),
        ];
        let records = std::iter::once(None).chain(states().into_iter().map(Some));
        for (record, (name, placed, shipped, cancelled)) in records.zip(table) {
            let record = record.as_ref();
            assert_eq!(record.map_or(Known::None, Known::from).name(), name);
            assert_eq!(cell(record, Asked::Placed), placed, "{name} × order.placed");
            assert_eq!(cell(record, Asked::Shipped), shipped, "{name} × order.shipped");
            assert_eq!(cell(record, Asked::Cancelled), cancelled, "{name} × order.cancelled");
        }
    }

    #[test]
    fn a_record_that_has_not_done_what_was_asked_does_not_answer() {
        let [reserved, rejected, ..] = &states()[..] else { panic!() };
        for unfinished in [reserved, rejected] {
            assert!(answers(unfinished, Asked::Shipped).is_err());
            assert!(answers(unfinished, Asked::Cancelled).is_err());
        }
    }

    #[test]
    fn answers_take_their_time_from_the_record() {
        for (state, expected) in states().iter().zip([100, 200, 100, 400, 500]) {
            assert_eq!(answers(state, Asked::Placed).unwrap().1.as_second(), expected);
        }
    }

    #[test]
    fn too_little_stock_is_checked_again_until_the_order_has_waited() {
        for (wait, after, times) in [(60, 5, 12), (300, 25, 12), (12, 1, 12), (13, 2, 7), (3, 1, 3), (1, 1, 1)] {
            let wait = Duration::from_secs(wait);
            let again = Short::LookAgain(Duration::from_secs(after));
            for looks in 0..times {
                assert_eq!(when_short(looks, wait), again, "{looks} looks of {wait:?}");
            }
            for looks in [times, times + 1, u32::MAX] {
                assert_eq!(when_short(looks, wait), Short::Reject, "{looks} looks of {wait:?}");
            }
        }
        assert_eq!(when_short(0, Duration::ZERO), Short::Reject, "an order that may not wait is rejected at once");
    }

    #[test]
    fn records_are_stored_flat_and_read_back() {
        for state in states() {
            let record = Reservation { order_id: "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9".parse().unwrap(), state };
            let json = serde_json::to_value(&record).unwrap();
            assert_eq!(json["state"], Known::from(&record.state).name());
            assert_eq!(serde_json::from_value::<Reservation>(json).unwrap(), record);
        }
    }

    #[test]
    fn what_shipping_knew_is_what_inventory_assumes() {
        let cancelled = |reason, items| cancelled_finds(&OrderCancelled { reason, payment: None, items });
        assert_eq!(cancelled(CancelReason::PaymentDeclined, Some(items())), Known::Reserved(items()));
        assert_eq!(cancelled(CancelReason::OutOfStock, None), Known::Rejected);
        assert_eq!(cancelled(CancelReason::TimedOut, None), Known::None);
    }
}
