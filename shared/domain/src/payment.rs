//! What payment does with an event, given its record: the payment half of the answer table.
//!
//! `functions/payment` calls [`decide`], does the one thing it says, stores the [`Change`], and publishes [`answers`].
//! Nothing here talks to the provider, and nothing is held before its id is stored: [`Step::Claim`] comes first.

use crate::{
    Asked, Impossible,
    event::{
        Event, OrderCancelled, OrderShipped, PaymentAuthorized, PaymentCaptureFailed, PaymentCaptured, PaymentDeclined, PaymentRef,
        PaymentVoided,
    },
    id::OrderId,
    money::Money,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The record of the payments table: what happened to the order's money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Partition key.
    pub order_id: OrderId,
    /// Where it stands.
    #[serde(flatten)]
    pub state: State,
}

/// Where an order's money stands, with what each answer needs. Fields of earlier states stay in the item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// A hold was prepared at the provider; it may or may not have been confirmed.
    Claimed {
        /// The hold.
        payment: PaymentRef,
    },
    /// The provider holds the total.
    Authorized(Hold),
    /// The provider refused.
    Declined {
        /// The hold that was refused; none where not even one could be prepared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payment: Option<PaymentRef>,
        /// Decline code.
        code: String,
        /// When.
        declined_at: Timestamp,
    },
    /// The money was collected.
    Captured {
        /// The hold that was captured.
        #[serde(flatten)]
        hold: Hold,
        /// When.
        captured_at: Timestamp,
    },
    /// The provider refused for good what it had authorized.
    Uncollected {
        /// The hold that was refused.
        #[serde(flatten)]
        hold: Hold,
        /// The provider's error code.
        capture_code: String,
        /// When.
        uncollected_at: Timestamp,
    },
    /// A hold was undone, or can never be confirmed.
    Voided {
        /// When.
        voided_at: Timestamp,
    },
    /// A tombstone: nothing was ever held, and nothing will be.
    Closed {
        /// When.
        closed_at: Timestamp,
    },
}

/// A confirmed hold on the customer's money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The provider's id of it.
    pub payment: PaymentRef,
    /// The sum held.
    pub amount: Money,
    /// When it lapses.
    pub capture_before: Timestamp,
    /// When it was confirmed.
    pub authorized_at: Timestamp,
}

/// What is known, or assumed, of the record when deciding: just enough to choose the step.
///
/// An assumption is checked by the condition of the write that follows from it; where it fails, the stored record
/// comes back with the failure and decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// No record.
    None,
    /// [`State::Claimed`]
    Claimed(PaymentRef),
    /// [`State::Authorized`]
    Authorized(PaymentRef),
    /// [`State::Declined`]
    Declined(Option<PaymentRef>),
    /// [`State::Captured`]
    Captured,
    /// [`State::Uncollected`]
    Uncollected,
    /// [`State::Voided`]
    Voided,
    /// [`State::Closed`]
    Closed,
}

impl Known {
    /// The name that the state has in the table, `none` where there is no record.
    pub const fn name(&self) -> &'static str {
        match self {
            Known::None => "none",
            Known::Claimed(_) => "claimed",
            Known::Authorized(_) => "authorized",
            Known::Declined(_) => "declined",
            Known::Captured => "captured",
            Known::Uncollected => "uncollected",
            Known::Voided => "voided",
            Known::Closed => "closed",
        }
    }
}

impl From<&State> for Known {
    fn from(state: &State) -> Self {
        match state {
            State::Claimed { payment } => Known::Claimed(payment.clone()),
            State::Authorized(hold) => Known::Authorized(hold.payment.clone()),
            State::Declined { payment, .. } => Known::Declined(payment.clone()),
            State::Captured { .. } => Known::Captured,
            State::Uncollected { .. } => Known::Uncollected,
            State::Voided { .. } => Known::Voided,
            State::Closed { .. } => Known::Closed,
        }
    }
}

/// What the record most likely is when `order.placed` arrives: fresh orders have none.
pub const PLACED_FINDS: Known = Known::None;

/// What the record most likely is when `order.shipped` arrives: authorized, or shipping could not have decided so.
pub fn shipped_finds(event: &OrderShipped) -> Known {
    Known::Authorized(event.payment.clone())
}

/// What the record most likely is when `order.cancelled` arrives, from what shipping knew when it decided. A declined one
/// is not assumed: only the record names the hold that was refused.
pub fn cancelled_finds(event: &OrderCancelled) -> Known {
    event.payment.clone().map_or(Known::None, Known::Authorized)
}

/// The one thing to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Prepare an unconfirmed hold, which holds nothing, and store its id. Decide again after it.
    Claim,
    /// Confirm this hold, then store what the provider says.
    Confirm(PaymentRef),
    /// Capture this hold, then store what the provider says.
    Capture(PaymentRef),
    /// Cancel this hold at the provider, then store [`Change::Voided`].
    Cancel(PaymentRef),
    /// Store [`Change::Closed`], so that a late `order.placed` finds the door shut.
    Close,
    /// Nothing to do: the record already answers.
    Answer,
}

/// Decides what to do when `asked` meets `known`.
///
/// A decline is one copy's experience, and another copy of the same event may have fared better, before or after the first
/// wrote it down. So a declined hold is cancelled like any other once the order is, and not left alone.
///
/// # Errors
/// [`Impossible`] for the ✗ cells.
pub fn decide(known: &Known, asked: Asked) -> Result<Step, Impossible> {
    use Known as K;
    Ok(match (asked, known) {
        (Asked::Placed, K::None) => Step::Claim,
        (Asked::Placed, K::Claimed(payment)) => Step::Confirm(payment.clone()),
        (Asked::Placed, _) => Step::Answer,

        (Asked::Shipped, K::Authorized(payment)) => Step::Capture(payment.clone()),
        (Asked::Shipped, K::Captured | K::Uncollected) => Step::Answer,
        (Asked::Shipped, K::None | K::Claimed(_) | K::Declined(_) | K::Voided | K::Closed) => return Err(impossible(known, asked)),

        (Asked::Cancelled, K::None | K::Declined(None)) => Step::Close,
        (Asked::Cancelled, K::Claimed(payment) | K::Authorized(payment) | K::Declined(Some(payment))) => Step::Cancel(payment.clone()),
        (Asked::Cancelled, K::Voided | K::Closed) => Step::Answer,
        (Asked::Cancelled, K::Captured | K::Uncollected) => return Err(impossible(known, asked)),
    })
}

/// What a step writes. The store writes it only onto the record that the step was decided for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A hold was prepared.
    Claimed {
        /// The hold.
        payment: PaymentRef,
        /// When.
        at: Timestamp,
    },
    /// It was confirmed.
    Authorized(Hold),
    /// It was refused.
    Declined {
        /// Decline code.
        code: String,
        /// When.
        at: Timestamp,
    },
    /// It was captured.
    Captured {
        /// When.
        at: Timestamp,
    },
    /// Its capture was refused for good.
    Uncollected {
        /// The provider's error code.
        code: String,
        /// When.
        at: Timestamp,
    },
    /// It was undone.
    Voided {
        /// When.
        at: Timestamp,
    },
    /// The door was shut.
    Closed {
        /// When.
        at: Timestamp,
    },
}

/// What the stored record answers to `asked`: an event and its time. [`None`] while the record is only claimed.
///
/// # Errors
/// [`Impossible`] for the ✗ cells, and for a record that has not yet done what was asked.
pub fn answers(state: &State, asked: Asked) -> Result<Option<(Event, Timestamp)>, Impossible> {
    let authorized = |hold: &Hold| {
        let event = PaymentAuthorized { payment: hold.payment.clone(), amount: hold.amount, capture_before: hold.capture_before };
        Some((event.into(), hold.authorized_at))
    };
    Ok(match (asked, state) {
        (Asked::Placed, State::Claimed { .. }) => None,
        (Asked::Placed, State::Authorized(hold) | State::Captured { hold, .. } | State::Uncollected { hold, .. }) => authorized(hold),
        (Asked::Placed, State::Declined { code, declined_at, .. }) => Some((PaymentDeclined { code: code.clone() }.into(), *declined_at)),
        (Asked::Shipped, State::Captured { hold, captured_at }) => Some((PaymentCaptured { amount: hold.amount }.into(), *captured_at)),
        (Asked::Shipped, State::Uncollected { hold, capture_code, uncollected_at }) => {
            Some((PaymentCaptureFailed { amount: hold.amount, code: capture_code.clone() }.into(), *uncollected_at))
        }
        (Asked::Placed | Asked::Cancelled, State::Voided { voided_at: at } | State::Closed { closed_at: at }) => {
            Some((PaymentVoided {}.into(), *at))
        }
        (Asked::Shipped | Asked::Cancelled, _) => return Err(impossible(&Known::from(state), asked)),
    })
}

fn impossible(known: &Known, asked: Asked) -> Impossible {
    Impossible { stage: "payment", record: known.name(), event: asked.stem() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::CancelReason;

    fn hold() -> Hold {
        Hold {
            payment: PaymentRef("pi_1".into()),
            amount: Money { amount_minor: 2400, currency: crate::Currency::EUR },
            capture_before: Timestamp::from_second(700).unwrap(),
            authorized_at: Timestamp::from_second(100).unwrap(),
        }
    }
    fn at() -> Timestamp {
        Timestamp::from_second(200).unwrap()
    }
    fn states() -> Vec<State> {
        vec![
            State::Claimed { payment: PaymentRef("pi_1".into()) },
            State::Authorized(hold()),
            State::Declined { payment: Some(PaymentRef("pi_1".into())), code: "card_declined".into(), declined_at: at() },
            State::Captured { hold: hold(), captured_at: at() },
            State::Uncollected { hold: hold(), capture_code: "expired".into(), uncollected_at: at() },
            State::Voided { voided_at: at() },
            State::Closed { closed_at: at() },
        ]
    }

    /// A cell of the table: what to do, or the stem of the answer, or `✗`.
    fn cell(record: Option<&State>, asked: Asked) -> &'static str {
        let known = record.map_or(Known::None, Known::from);
        match decide(&known, asked) {
            Err(_) => "✗",
            Ok(Step::Claim) => "claim",
            Ok(Step::Confirm(_)) => "confirm",
            Ok(Step::Capture(_)) => "capture",
            Ok(Step::Cancel(_)) => "cancel",
            Ok(Step::Close) => "close",
            Ok(Step::Answer) => answers(record.unwrap(), asked).unwrap().unwrap().0.event_type().stem(),
        }
    }

    /// The table of the design, cell for cell.
    #[test]
    fn every_cell_of_the_answer_table() {
        let table = [
            ("none", "claim", "✗", "close"),
            ("claimed", "confirm", "✗", "cancel"),
            ("authorized", "payment.authorized", "capture", "cancel"),
            ("declined", "payment.declined", "✗", "cancel"),
            ("captured", "payment.authorized", "payment.captured", "✗"),
            ("uncollected", "payment.authorized", "payment.capture_failed", "✗"),
            ("voided", "payment.voided", "✗", "payment.voided"),
            ("closed", "payment.voided", "✗", "payment.voided"),
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
        let [claimed, authorized, declined, ..] = &states()[..] else { panic!() };
        assert_eq!(answers(claimed, Asked::Placed), Ok(None));
        for unfinished in [claimed, authorized, declined] {
            assert!(answers(unfinished, Asked::Shipped).is_err());
            assert!(answers(unfinished, Asked::Cancelled).is_err());
        }
    }

    #[test]
    fn answers_take_their_time_from_the_record() {
        for (state, expected) in states().iter().zip([None, Some(100), Some(200), Some(100), Some(100), Some(200), Some(200)]) {
            assert_eq!(answers(state, Asked::Placed).unwrap().map(|(_, time)| time.as_second()), expected);
        }
    }

    #[test]
    fn records_are_stored_flat_and_read_back() {
        for state in states() {
            let record = Payment { order_id: "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9".parse().unwrap(), state };
            let json = serde_json::to_value(&record).unwrap();
            assert_eq!(json["state"], Known::from(&record.state).name());
            assert_eq!(serde_json::from_value::<Payment>(json).unwrap(), record);
        }
    }

    #[test]
    fn what_shipping_knew_is_what_payment_assumes() {
        let cancelled = |reason, payment| cancelled_finds(&OrderCancelled { reason, payment, items: None });
        assert_eq!(cancelled(CancelReason::OutOfStock, Some(PaymentRef("pi_1".into()))), Known::Authorized(PaymentRef("pi_1".into())));
        assert_eq!(cancelled(CancelReason::PaymentDeclined, None), Known::None);
        assert_eq!(cancelled(CancelReason::CustomerAsked, None), Known::None);
    }
}
