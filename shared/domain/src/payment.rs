//! The decision of payment on an event, given its record: the payment half of the answer table.
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
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How long after each refusal *for now* a confirmation is tried again; after the last one the order is declined. So three
/// tries at most, within six minutes: a bank's system that was away for a moment is back, and the customer still waits. Stripe
/// advises eight tries of a card at most (<https://docs.stripe.com/declines/card>), Visa allows 15 in 30 days
/// (<https://support.stripe.com/questions/payment-blocked-due-to-excessive-retries>).
pub const CONFIRM_AGAIN_AFTER: [SignedDuration; 2] = [SignedDuration::from_secs(30), SignedDuration::from_mins(5)];

/// How long after its first refusal *for now* a capture is tried again. Doubled with each further one, up to
/// [`CAPTURE_AGAIN_MAX`].
pub const CAPTURE_AGAIN_FIRST: SignedDuration = SignedDuration::from_mins(5);

/// The longest time between two tries at a capture: a hold of seven days then sees some twenty tries, far fewer than the 50
/// receives of the queue and the 1,000 changes an hour that Stripe allows each PaymentIntent.
pub const CAPTURE_AGAIN_MAX: SignedDuration = SignedDuration::from_hours(12);

/// How long before the hold lapses its capture is tried for the last time. A delivery may come late by a back-off of 15
/// minutes several times over, and what comes after the hold has lapsed takes nothing.
pub const CAPTURE_MARGIN: SignedDuration = SignedDuration::from_hours(2);

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
        /// The bank's last answer, if it refused the confirmation for now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confirm_refused: Option<Refused>,
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
    /// The provider refused permanently what it had authorized.
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
    /// The bank's last answer, if it refused the capture for now. It stays when the money is collected after all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capture_refused: Option<Refused>,
}

/// The bank refused for now: the same may pass later, and nothing is ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// How often, this time included.
    pub tries: u32,
    /// Decline code.
    pub code: String,
    /// When.
    pub at: Timestamp,
    /// When it is tried again, and not before.
    pub next_try_at: Timestamp,
}

/// The record as it is known or assumed for the decision: just enough to choose the step.
///
/// An assumption is checked by the condition of the write that follows from it; where it fails, the stored record
/// comes back with the failure and decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Known {
    /// No record.
    None,
    /// [`State::Claimed`]
    Claimed(PaymentRef),
    /// [`State::Claimed`], and the bank has refused for now.
    ClaimRefused(PaymentRef, Refused),
    /// [`State::Authorized`]
    Authorized(PaymentRef),
    /// [`State::Authorized`], and the bank has refused the capture for now.
    CaptureRefused(PaymentRef, Refused),
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
    /// The name that the state has in the table, `none` where there is no record. A refusal for now is no state of its own: what
    /// is written onto a claim or a hold is written onto it with or without one.
    pub const fn name(&self) -> &'static str {
        match self {
            Known::None => "none",
            Known::Claimed(_) | Known::ClaimRefused(..) => "claimed",
            Known::Authorized(_) | Known::CaptureRefused(..) => "authorized",
            Known::Declined(_) => "declined",
            Known::Captured => "captured",
            Known::Uncollected => "uncollected",
            Known::Voided => "voided",
            Known::Closed => "closed",
        }
    }

    /// The hold that a step would be about.
    pub const fn payment(&self) -> Option<&PaymentRef> {
        match self {
            Known::Claimed(payment)
            | Known::ClaimRefused(payment, _)
            | Known::Authorized(payment)
            | Known::CaptureRefused(payment, _)
            | Known::Declined(Some(payment)) => Some(payment),
            Known::None | Known::Declined(None) | Known::Captured | Known::Uncollected | Known::Voided | Known::Closed => None,
        }
    }
}

impl From<&State> for Known {
    fn from(state: &State) -> Self {
        match state {
            State::Claimed { payment, confirm_refused: None } => Known::Claimed(payment.clone()),
            State::Claimed { payment, confirm_refused: Some(refused) } => Known::ClaimRefused(payment.clone(), refused.clone()),
            State::Authorized(Hold { payment, capture_refused: None, .. }) => Known::Authorized(payment.clone()),
            State::Authorized(Hold { payment, capture_refused: Some(refused), .. }) => {
                Known::CaptureRefused(payment.clone(), refused.clone())
            }
            State::Declined { payment, .. } => Known::Declined(payment.clone()),
            State::Captured { .. } => Known::Captured,
            State::Uncollected { .. } => Known::Uncollected,
            State::Voided { .. } => Known::Voided,
            State::Closed { .. } => Known::Closed,
        }
    }
}

/// The most likely record when `order.placed` arrives: fresh orders have none.
pub const PLACED_FINDS: Known = Known::None;

/// The most likely record when `order.shipped` arrives: authorized, or shipping could not have decided so.
pub fn shipped_finds(event: &OrderShipped) -> Known {
    Known::Authorized(event.payment.clone())
}

/// The most likely record when `order.cancelled` arrives, from what shipping knew when it decided. A declined one
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
    /// Confirm this hold once more, with its means of payment, then store what the provider says.
    ConfirmAgain {
        /// The hold.
        payment: PaymentRef,
        /// How often it was refused so far.
        tries: u32,
    },
    /// Nothing before this moment: the bank refused for now. Then decide again.
    Wait(Timestamp),
    /// Capture this hold, then store what the provider says.
    Capture(PaymentRef),
    /// Cancel this hold at the provider, then store [`Change::Voided`].
    Cancel(PaymentRef),
    /// Store [`Change::Closed`], so that a late `order.placed` fails its condition.
    Close,
    /// Nothing to do: the record already answers.
    Answer,
}

/// Decides what to do when `asked` meets `known` at `now`.
///
/// A decline is one copy's experience, and another copy of the same event may have fared better, before or after the first
/// wrote it down. So a declined hold is cancelled like any other once the order is, and not left alone.
///
/// # Errors
/// [`Impossible`] for the ✗ cells.
pub fn decide(known: &Known, asked: Asked, now: Timestamp) -> Result<Step, Impossible> {
    use Known as K;
    Ok(match (asked, known) {
        (Asked::Placed, K::None) => Step::Claim,
        (Asked::Placed, K::Claimed(payment)) => Step::Confirm(payment.clone()),
        (Asked::Placed, K::ClaimRefused(_, refused)) | (Asked::Shipped, K::CaptureRefused(_, refused)) if now < refused.next_try_at => {
            Step::Wait(refused.next_try_at)
        }
        (Asked::Placed, K::ClaimRefused(payment, refused)) => Step::ConfirmAgain { payment: payment.clone(), tries: refused.tries },
        (Asked::Placed, _) => Step::Answer,

        (Asked::Shipped, K::Authorized(payment) | K::CaptureRefused(payment, _)) => Step::Capture(payment.clone()),
        (Asked::Shipped, K::Captured | K::Uncollected) => Step::Answer,
        (Asked::Shipped, K::None | K::Claimed(_) | K::ClaimRefused(..) | K::Declined(_) | K::Voided | K::Closed) => {
            return Err(impossible(known, asked));
        }

        (Asked::Cancelled, K::None | K::Declined(None)) => Step::Close,
        (Asked::Cancelled, K::Claimed(payment) | K::Authorized(payment) | K::Declined(Some(payment))) => Step::Cancel(payment.clone()),
        (Asked::Cancelled, K::ClaimRefused(payment, _) | K::CaptureRefused(payment, _)) => Step::Cancel(payment.clone()),
        (Asked::Cancelled, K::Voided | K::Closed) => Step::Answer,
        (Asked::Cancelled, K::Captured | K::Uncollected) => return Err(impossible(known, asked)),
    })
}

/// The change that a step writes. The store writes it only onto the record that the step was decided for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A hold was prepared.
    Claimed {
        /// The hold.
        payment: PaymentRef,
        /// When.
        at: Timestamp,
    },
    /// Its confirmation was refused for now.
    ConfirmRefused(Refused),
    /// It was confirmed.
    Authorized(Hold),
    /// Its capture was refused for now.
    CaptureRefused(Refused),
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
    /// Its capture was refused permanently.
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
    /// A closed record was written first.
    Closed {
        /// When.
        at: Timestamp,
    },
}

/// The decision on a refusal *for now*.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Store this. The record then says when the next try is due, or that the order is declined.
    Store(Change),
    /// Enough: the hold is about to lapse. Free it, then store [`Change::Uncollected`].
    Final,
}

/// The decision when the bank refuses for now, at `at`, what the record waits for: a confirmation or a capture. [`None`] if
/// the record waits for neither.
///
/// At a confirmation nothing is lost but a sale, and a customer waits for the answer: a few tries, then declined. At a capture
/// the goods have left: the hold is kept, and tried, for as long as it lasts.
pub fn refused_for_now(state: &State, code: &str, at: Timestamp) -> Option<Refusal> {
    let refused = |before: &Option<Refused>| before.as_ref().map_or(0, |before| before.tries).saturating_add(1);
    let again = |tries, next_try_at| Refused { tries, code: code.to_owned(), at, next_try_at };
    let after = |wait: SignedDuration| at.saturating_add(wait).unwrap_or(Timestamp::MAX);
    match state {
        State::Claimed { confirm_refused, .. } => {
            let tries = refused(confirm_refused);
            let wait = usize::try_from(tries - 1).ok().and_then(|n| CONFIRM_AGAIN_AFTER.get(n));
            Some(Refusal::Store(match wait {
                Some(wait) => Change::ConfirmRefused(again(tries, after(*wait))),
                None => Change::Declined { code: code.to_owned(), at },
            }))
        }
        State::Authorized(Hold { capture_refused, capture_before, .. }) => {
            let tries = refused(capture_refused);
            let doubled = CAPTURE_AGAIN_FIRST.checked_mul(2_i32.saturating_pow(tries - 1));
            let wait = doubled.map_or(CAPTURE_AGAIN_MAX, |wait| wait.min(CAPTURE_AGAIN_MAX));
            let last = capture_before.saturating_sub(CAPTURE_MARGIN).unwrap_or(Timestamp::MIN);
            // The last try is as late as it may be, whatever the doubling came to, and however short before it another one was.
            Some(match after(wait).min(last) {
                next if next > at => Refusal::Store(Change::CaptureRefused(again(tries, next))),
                _ => Refusal::Final,
            })
        }
        State::Declined { .. } | State::Captured { .. } | State::Uncollected { .. } | State::Voided { .. } | State::Closed { .. } => None,
    }
}

/// The event for the stored record and `asked`, with its time. [`None`] while the record is only claimed.
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
            let payment = Some(hold.payment.clone());
            Some((PaymentCaptureFailed { amount: hold.amount, code: capture_code.clone(), payment }.into(), *uncollected_at))
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
mod tests;
