//! `payment`: authorizes the payment when an order is placed, captures it when the order ships, voids it when it is cancelled.
//!
//! `main.rs` wires it behind its queue. The answer table in `domain::payment` chooses the next step. This file executes the
//! step, stores the result and returns the event to publish. A hold is confirmed only after its id is stored: it is
//! prepared, its id written, and only then confirmed.

pub mod key;
pub mod ledger;
pub mod stripe;
#[cfg(test)]
mod tests;

use domain::{
    Asked, CloudEvent, Event, OrderId, Timestamp,
    event::{OrderPlaced, PaymentRef},
    payment::{
        Change, Hold, Known, PLACED_FINDS, Payment as Record, Refusal, State, Step, answers, cancelled_finds, decide, refused_for_now,
        shipped_finds,
    },
};
use jiff::SignedDuration;
use lambda_kit::{Ambient, Failure, message::Delivery};
use pipeline::{Reply, Stage};
use std::{future::Future, time::Duration};
use tokio::time::{Instant, timeout_at};

/// An event older than this is looked up before the provider is called: it was probably handled already, and a read is
/// cheaper than a call abroad. Fresh events are delivered within seconds; five minutes is also how long SNS and SQS
/// recognise a duplicate by themselves.
const FRESH_FOR: SignedDuration = SignedDuration::from_mins(5);

/// Longest time that one event may spend at the provider: the function's 30 s less the 10 s that are kept back: 6.6 s to store
/// what it said, by a write that is given every attempt (`sdk::OPERATION_LIMIT`), and the batch core's 3 s to answer. The batch
/// core drops what runs longer still.
pub const PROVIDER_BUDGET: Duration = Duration::from_secs(20);

/// Most rounds of *decide, do, write* for one event. A record only moves forward, at most none → claimed → authorized →
/// captured, so every lost write brings it nearer its end: a wrong assumption, four states and the answer make six. A refusal
/// for now that another copy has counted first is one round more, and then this copy waits.
/// What needs more is not a race but a fault of ours; as a lost race it waits for the next delivery.
const ROUNDS_MAX: usize = 8;

/// How long a message waits at the least when the provider is called too fast; up to as long again is added by chance, so that
/// a thousand messages do not come back together.
const SLOW_DOWN_FOR: Duration = Duration::from_secs(5);

/// How often a message may wait so. After some five minutes of it the limit is no peak but the rule: from then on it counts as
/// a failure, which begins with a back-off of 2 s, and which an alarm notices.
const SLOW_DOWNS_MAX: u32 = 30;

/// Where payments are recorded. Every call is one call of DynamoDB, named after it.
pub trait Ledger {
    /// GetItem: the record of `order_id`.
    async fn get(&self, order_id: OrderId) -> Result<Option<State>, Failure>;
    /// PutItem, if there is no record. Returns the record that stands now: this one, or the one that was there.
    async fn put(&self, record: Record) -> Result<State, Failure>;
    /// UpdateItem, if the record is `onto` in state and payment id. Returns the record that stands now: changed, or as
    /// the failed condition found it.
    async fn update(&self, order_id: OrderId, onto: &Known, change: &Change) -> Result<Option<State>, Failure>;
}

/// Who holds and takes the money. Called again with the same arguments it comes to the same result, or says what has
/// become of the hold in between.
///
/// A failure leaves open what happened; nothing may be concluded from it but that the event is to be delivered again.
pub trait Provider {
    /// Prepares an unconfirmed hold, which holds nothing.
    async fn create(&self, order_id: OrderId, delivery: &Delivery, placed: &OrderPlaced) -> Result<Prepared, Failure>;
    /// Confirms a hold: from here the money is set aside.
    async fn confirm(&self, order_id: OrderId, delivery: &Delivery, payment: &PaymentRef) -> Result<Outcome, Failure>;
    /// Confirms a hold once more that the bank has refused for now, `tries` times so far, with its means of payment.
    async fn confirm_again(
        &self,
        order_id: OrderId,
        delivery: &Delivery,
        payment: &PaymentRef,
        payment_method: &str,
        tries: u32,
    ) -> Result<Outcome, Failure>;
    /// Takes the money, or frees it where that is refused permanently.
    async fn capture(&self, order_id: OrderId, delivery: &Delivery, payment: &PaymentRef) -> Result<Outcome, Failure>;
    /// Frees money whose capture was refused with `code`, and will not be tried again; unless another copy has taken it.
    async fn release_refused(&self, order_id: OrderId, delivery: &Delivery, payment: &PaymentRef, code: String)
    -> Result<Outcome, Failure>;
    /// Frees the money. What is cancelled cannot be confirmed or captured any more.
    async fn cancel(&self, order_id: OrderId, delivery: &Delivery, payment: &PaymentRef) -> Result<Outcome, Failure>;
}

/// The outcome of preparing a hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prepared {
    /// It waits to be confirmed.
    Unconfirmed(PaymentRef),
    /// The order's means of payment or its sum cannot be charged.
    Declined {
        /// Decline code.
        code: String,
    },
    /// See [`Outcome::SlowDown`].
    SlowDown {
        /// How long to wait at the least.
        after: Duration,
    },
}

/// What stands at the provider after confirming, capturing or cancelling a hold.
#[derive(Debug)]
pub enum Outcome {
    /// The money is held.
    Authorized {
        /// When the hold lapses.
        capture_before: Timestamp,
    },
    /// It is refused.
    Declined {
        /// Decline code.
        code: String,
    },
    /// It is refused, and the same may pass later: confirming leaves nothing held, capturing leaves the hold as it was.
    RefusedForNow {
        /// Decline code.
        code: String,
    },
    /// It is taken.
    Captured,
    /// Taking it is refused, and it is free: nobody can take it any more.
    Uncollected {
        /// The provider's error code.
        code: String,
    },
    /// It is free.
    Voided,
    /// Nobody knows: the provider is called too fast. To be tried again after this time, which is no failure.
    SlowDown {
        /// How long to wait at the least.
        after: Duration,
    },
    /// What the record says cannot be true of this hold. The record is read (again); if it still says so, this failure
    /// is the event's.
    Contradicts(Failure),
}

/// The stage. Everything a test must replace is an argument.
#[derive(Debug)]
pub struct Payment<L, P, A> {
    /// The payments table.
    pub ledger: L,
    /// The Stripe API.
    pub provider: P,
    /// The clock.
    pub ambient: A,
}

/// Where a round starts from.
enum Found {
    /// What the event suggests; the condition of the write that follows checks it.
    Assumed(Known),
    /// What the table said last.
    Stored(Option<State>),
}

impl Found {
    fn known(&self) -> Known {
        match self {
            Found::Assumed(known) => known.clone(),
            Found::Stored(state) => state.as_ref().map_or(Known::None, Known::from),
        }
    }
}

/// What to do after the provider was called.
enum Next {
    Put(State),
    Update(Change),
    /// Wait, and begin anew.
    SlowDown(Duration),
    /// The bank refuses for now: what follows from it depends on the record.
    Refused(String),
    /// The provider contradicts what was assumed or read: look into the record, and if it still says so, fail with this.
    LookAgain(Failure),
}

impl<L: Ledger, P: Provider, A: Ambient> Stage for Payment<L, P, A> {
    const NAME: &'static str = "payment";

    // placed and cancelled may be handled at the same time, on two machines. The provider settles who was first, because
    // a cancelled hold cannot be confirmed; the conditional writes settle what the record says of it:
    //
    //   order.placed                     order.cancelled
    //   create pi (holds nothing)
    //   put claimed(pi)
    //                                    put closed: refused, finds claimed(pi)
    //   confirm pi ─────────┬─────────── cancel pi
    //        confirm first: │ money held, then freed; whichever of these two writes comes first wins:
    //   update authorized(pi)            update voided, onto claimed(pi)
    //                     (refused if late: finds authorized(pi), cancels pi again, updates voided onto that)
    //   (refused if late: finds voided, answers voided)
    //         cancel first: │ confirm is refused, the status read back is canceled
    //   update voided, onto claimed(pi)  update voided, onto claimed(pi): the later one finds voided, and answers it
    //
    // Before the put, cancelled creates `closed`; the put is refused, and pi is never confirmed. So whatever the order of
    // events, the record ends voided or closed, nothing is held, and at most one hold, the one in the record, is ever
    // confirmed. `payment.authorized` may have gone out in between; shipping has decided and does not mind.
    //
    // A bank may refuse for now (`domain::payment::refused_for_now`). The record then says when the next try is due, and every
    // copy of the event that finds it so waits until then, without a call to the provider. Copies that are due at once may all
    // try; the hold is one and the same, so at most one of them confirms or captures it, and of the refused ones one counts:
    //
    //   one copy, third try              another copy, third try
    //   confirm pi: refused
    //                                    confirm pi: held
    //   update declined, onto claimed(pi)
    //                                    update authorized, onto claimed(pi): finds declined, and answers it
    //   shipping cancels; order.cancelled finds declined(pi), and frees pi
    async fn handle(&self, event: &CloudEvent, delivery: &Delivery) -> Result<Reply, Failure> {
        let (asked, assumed) = match &event.event {
            Event::OrderPlaced(_) => (Asked::Placed, PLACED_FINDS),
            Event::OrderShipped(shipped) => (Asked::Shipped, shipped_finds(shipped)),
            Event::OrderCancelled(cancelled) => (Asked::Cancelled, cancelled_finds(cancelled)),
            _ => return Err(pipeline::not_for(Self::NAME, event)),
        };
        let order_id = pipeline::order_id(event)?;
        let deadline = Instant::now() + PROVIDER_BUDGET;
        let mut found =
            if self.is_fresh(event, delivery) { Found::Assumed(assumed) } else { Found::Stored(self.ledger.get(order_id).await?) };

        for _ in 0..ROUNDS_MAX {
            let known = found.known();
            let step = match (decide(&known, asked, self.ambient.now()), &found) {
                (Ok(Step::Answer), Found::Stored(Some(state))) => return reply(state, asked),
                (Ok(Step::Wait(until)), Found::Stored(_)) => return Ok(self.wait(&known, until, event, delivery)),
                (Err(error), Found::Stored(_)) => return Err(pipeline::impossible(error)),
                // An assumption neither answers nor convicts: only the record does.
                (Ok(Step::Answer | Step::Wait(_)) | Err(_), _) => {
                    found = Found::Stored(self.ledger.get(order_id).await?);
                    continue;
                }
                (Ok(step), _) => step,
            };
            found = Found::Stored(match self.carry_out(step, &known, order_id, event, delivery, deadline).await? {
                Next::Put(state) => Some(self.ledger.put(Record { order_id, state }).await?),
                Next::Update(change) => self.ledger.update(order_id, &known, &change).await?,
                Next::SlowDown(after) => return self.slow_down(after, event, delivery),
                Next::Refused(code) => {
                    let standing = match found {
                        Found::Stored(standing) => standing,
                        Found::Assumed(_) => self.ledger.get(order_id).await?,
                    };
                    self.refused(code, &known, standing, order_id, delivery, deadline).await?
                }
                Next::LookAgain(contradiction) => {
                    let looked = Found::Stored(self.ledger.get(order_id).await?);
                    if looked.known() == known {
                        return Err(contradiction);
                    }
                    found = looked;
                    continue;
                }
            });
        }
        Err(Failure::transient("LostRace", "the record changed under every attempt to write it"))
    }
}

impl<L: Ledger, P: Provider, A: Ambient> Payment<L, P, A> {
    /// Whether the assumption is the better bet. A message that comes again was cut off, most likely after its claim or
    /// at the provider: reading what the table has saves calls that only repeat what is done.
    fn is_fresh(&self, event: &CloudEvent, delivery: &Delivery) -> bool {
        delivery.attempt <= 1 && delivery.checks == 0 && self.ambient.now().duration_since(event.time) <= FRESH_FOR
    }

    /// Does the one thing at the provider, and says what to write about it.
    async fn carry_out(
        &self,
        step: Step,
        known: &Known,
        order_id: OrderId,
        event: &CloudEvent,
        delivery: &Delivery,
        deadline: Instant,
    ) -> Result<Next, Failure> {
        let outcome = match &step {
            Step::Claim => {
                let prepared = within(deadline, self.provider.create(order_id, delivery, placed(event)?)).await?;
                return Ok(Next::Put(match prepared {
                    Prepared::SlowDown { after } => return Ok(Next::SlowDown(after)),
                    Prepared::Unconfirmed(payment) => State::Claimed { payment, confirm_refused: None },
                    Prepared::Declined { code } => State::Declined { payment: None, code, declined_at: self.ambient.now() },
                }));
            }
            Step::Close => {
                let at = self.ambient.now();
                return Ok(if *known == Known::None {
                    Next::Put(State::Closed { closed_at: at })
                } else {
                    Next::Update(Change::Closed { at })
                });
            }
            // Not reached: the caller answers, and waits, by itself.
            Step::Answer | Step::Wait(_) => {
                return Ok(Next::LookAgain(Failure::bug("NothingToDo", "neither an answer nor a wait is a step")));
            }
            Step::Confirm(payment) => within(deadline, self.provider.confirm(order_id, delivery, payment)).await?,
            Step::ConfirmAgain { payment, tries } => {
                let payment_method = &placed(event)?.payment_method;
                within(deadline, self.provider.confirm_again(order_id, delivery, payment, payment_method, *tries)).await?
            }
            // Fresh, this is called with the id that the event brings, before anything is read. That is safe because of
            // what must have happened before there can be such an event:
            //
            //   payment                                shipping
            //   confirm pi: held
            //   update authorized(pi)
            //   publish payment.authorized(pi) ──────▶ store the fact
            //                                          decide shipped, and so never cancelled
            //   capture pi ◀────────────────────────── publish order.shipped(pi)
            //
            // From authorized(pi) a record moves on by capture, or by order.cancelled, which this order never sees. So
            // it is authorized, captured or uncollected, each with this pi. In the latter two the provider refuses, the
            // status tells why, the write onto authorized(pi) fails, and the record found there answers.
            //
            // In the ✗ cells, which only a fault elsewhere can reach, the provider refuses for us: there is no such
            // hold (none, closed), it is unconfirmed (claimed, or an orphan), declined, or cancelled (voided). Claimed
            // but confirmed, where a crash kept us from writing so, it does take the money of the very order and the
            // very hold that the record names; the write onto authorized(pi) fails, the event is a bug and stays, and
            // the redelivered order.placed finds the hold good and writes authorized: everything ends right.
            // Left is a hold of another order. A capture takes no condition along, so the provider's answer is checked
            // for whose hold it is (`ForeignPayment`), and nothing is written or said about it.
            Step::Capture(payment) => within(deadline, self.provider.capture(order_id, delivery, payment)).await?,
            Step::Cancel(payment) => within(deadline, self.provider.cancel(order_id, delivery, payment)).await?,
        };
        let at = self.ambient.now();
        Ok(Next::Update(match (outcome, step) {
            (Outcome::Authorized { capture_before }, Step::Confirm(payment) | Step::ConfirmAgain { payment, .. }) => {
                let amount = placed(event)?.total;
                Change::Authorized(Hold { payment, amount, capture_before, authorized_at: at, capture_refused: None })
            }
            (Outcome::Authorized { .. }, _) => {
                return Err(Failure::bug("StillHeld", "the provider neither captured nor cancelled, and gave no reason"));
            }
            (Outcome::Declined { code }, _) => Change::Declined { code, at },
            (Outcome::RefusedForNow { code }, _) => return Ok(Next::Refused(code)),
            (Outcome::SlowDown { after }, _) => return Ok(Next::SlowDown(after)),
            (Outcome::Captured, _) => Change::Captured { at },
            (Outcome::Uncollected { code }, _) => Change::Uncollected { code, at },
            (Outcome::Voided, _) => Change::Voided { at },
            (Outcome::Contradicts(failure), _) => return Ok(Next::LookAgain(failure)),
        }))
    }

    /// Writes down that the bank refused for now, or that this was the last try. Returns the record that stands now.
    async fn refused(
        &self,
        code: String,
        known: &Known,
        standing: Option<State>,
        order_id: OrderId,
        delivery: &Delivery,
        deadline: Instant,
    ) -> Result<Option<State>, Failure> {
        let Some(state) = standing else { return Ok(None) };
        let onto = Known::from(&state);
        // Where the record is not what was assumed, it decides afresh: the hold that was refused is not the one in question.
        let (true, Some(payment)) = ((onto.name(), onto.payment()) == (known.name(), known.payment()), onto.payment()) else {
            return Ok(Some(state));
        };
        let change = match refused_for_now(&state, &code, self.ambient.now()) {
            None => return Ok(Some(state)),
            Some(Refusal::Store(change)) => change,
            Some(Refusal::Final) => {
                let outcome = within(deadline, self.provider.release_refused(order_id, delivery, payment, code)).await?;
                let at = self.ambient.now();
                match outcome {
                    Outcome::Uncollected { code } => Change::Uncollected { code, at },
                    Outcome::Captured => Change::Captured { at },
                    other => return Err(Failure::transient("StillHeld", format_args!("a hold that was to be freed is {other:?}"))),
                }
            }
        };
        self.ledger.update(order_id, &onto, &change).await
    }

    /// Lets the message come again shortly: at the provider's pace, not by a back-off that grows to minutes.
    fn slow_down(&self, after: Duration, event: &CloudEvent, delivery: &Delivery) -> Result<Reply, Failure> {
        let failure =
            Failure::transient("StripeRateLimited", "the provider is called as fast as it allows, and this call was one too many");
        if delivery.checks >= SLOW_DOWNS_MAX {
            return Err(failure);
        }
        tracing::warn!(
            order_id = %event.subject, event_id = event.id(), message_id = delivery.message_id, checks = delivery.checks,
            error_type = failure.error_type, "{}", failure.message
        );
        let by_chance = Duration::from_secs(self.ambient.random() % (SLOW_DOWN_FOR.as_secs() + 1));
        let wait = Duration::from_secs(after.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX));
        Ok(Reply { look_again_after: Some(wait.max(SLOW_DOWN_FOR) + by_chance), ..Reply::nothing() })
    }

    /// Nothing follows until the bank is asked again. Of an order that has shipped, people hear in the meantime: an alarm
    /// counts the lines with this `error_type`.
    fn wait(&self, known: &Known, until: Timestamp, event: &CloudEvent, delivery: &Delivery) -> Reply {
        if let Known::CaptureRefused(payment, refused) = known {
            tracing::warn!(
                order_id = %event.subject, event_id = event.id(), message_id = delivery.message_id, attempt = delivery.attempt,
                error_type = "CaptureRefusedForNow", code = refused.code, tries = refused.tries, %payment, next_try_at = %until,
                "the order has shipped, and the bank refuses for now to pay what it had authorized: it is asked again"
            );
        }
        // Up to the next whole second: SQS delays by seconds, and what comes too early only waits again.
        let wait = until.duration_since(self.ambient.now()).as_millis().max(0);
        let seconds = u64::try_from(wait).unwrap_or(u64::MAX).div_ceil(1_000).max(1);
        Reply { look_again_after: Some(Duration::from_secs(seconds)), ..Reply::nothing() }
    }
}

/// What the record answers.
fn reply(state: &State, asked: Asked) -> Result<Reply, Failure> {
    Ok(answers(state, asked).map_err(pipeline::impossible)?.map_or_else(Reply::nothing, Reply::announce))
}

/// The order's data, where the event has them: steps that need them follow from `order.placed` alone.
fn placed(event: &CloudEvent) -> Result<&OrderPlaced, Failure> {
    match &event.event {
        Event::OrderPlaced(placed) => Ok(placed),
        other => Err(Failure::bug("NotPlaced", format_args!("`{}` does not say what to charge", other.event_type()))),
    }
}

/// Ends a call to the provider with the budget. What it did is unknown then, as after a crash, and heals the same way.
async fn within<T>(deadline: Instant, call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let spent = || Failure::transient("ProviderTooSlow", format_args!("the provider took more than {} s", PROVIDER_BUDGET.as_secs()));
    timeout_at(deadline, call).await.unwrap_or_else(|_| Err(spent()))
}
