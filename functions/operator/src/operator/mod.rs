//! The function itself: one answer for one document.

pub mod aws;
#[cfg(test)]
mod tests;

use crate::{
    answer::{Answer, Listed, Nudged, Settled},
    request::{Act, Command, REASON_MAX, Request},
};
use domain::{
    CloudEvent, Order, OrderId, Subject,
    command::{Power, Refusal},
    uncollected::Settlement,
};
use lambda_kit::{Ambient, Failure, publish::Publisher, text::is_blank, trace};
use pipeline::{
    command::{Who, audit_record, sentence},
    publish_again,
    uncollected::{CollectionState, Settled as Written, Unsettled},
};
use serde::Serialize;

/// The function's name: its folder and its package, and the `source` of what it publishes.
pub const NAME: &str = "operator";
/// Most payments of a list: what a person works through. As JSON they are 40 KB, of the 6 MB that an answer may have
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
pub const LIST_MAX: usize = 100;

/// The function's operations on orders.
pub trait Orders {
    /// GetItem: the order as it is now, facts included.
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure>;
}

/// The function's operations on payments.
pub trait Payments {
    /// Query: up to `most` of what nobody has settled yet.
    async fn unsettled(&self, most: usize) -> Result<Unsettled, Failure>;
    /// GetItem: what stands there now.
    async fn find(&self, id: &OrderId) -> Result<CollectionState, Failure>;
    /// UpdateItem: settles what is uncollected and not settled.
    async fn settle(&self, id: &OrderId, settlement: &Settlement) -> Result<Written, Failure>;
}

/// Where audit records lie.
pub trait Archive {
    /// PutObject.
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Failure>;
}

impl<D: lambda_kit::dynamodb::DynamoDb> Orders for pipeline::orders::Orders<D> {
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        self.find(id).await
    }
}

impl Payments for pipeline::uncollected::UncollectedPayments {
    async fn unsettled(&self, most: usize) -> Result<Unsettled, Failure> {
        self.unsettled(most).await
    }
    async fn find(&self, id: &OrderId) -> Result<CollectionState, Failure> {
        self.find(id).await
    }
    async fn settle(&self, id: &OrderId, settlement: &Settlement) -> Result<Written, Failure> {
        self.settle(id, settlement).await
    }
}

/// The function. Everything a test must replace is an argument.
#[derive(Debug)]
pub struct Operator<O, P, T, S, A> {
    /// The orders.
    pub orders: O,
    /// The payments.
    pub payments: P,
    /// The topic to repeat on.
    pub topic: T,
    /// The audit records.
    pub archive: S,
    /// The clock, and random numbers for spans.
    pub ambient: A,
}

/// A change, planned or done.
#[derive(Serialize)]
struct Change<'r> {
    phase: &'static str,
    command: &'static str,
    order_id: OrderId,
    reason: &'r str,
    /// The result; none before it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'r str>,
}

/// Why a command ends early.
enum Stop {
    Refused(Refusal),
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn refused(error: &str, message: impl Into<String>) -> Stop {
    Stop::Refused(Refusal::new(error, message))
}

impl<O: Orders, P: Payments, T: Publisher, S: Archive, A: Ambient> Operator<O, P, T, S, A> {
    /// Answers an invocation's document, as far as the caller's `power` reaches. Whatever happens is an answer: somebody waits for it.
    pub async fn handle(&self, document: serde_json::Value, request_id: &str, power: Power) -> Answer {
        let request: Request = match serde_json::from_value(document) {
            Ok(request) => request,
            Err(error) => return Answer::Refused(Refusal::new("InvalidRequest", format!("The request: {error}."))),
        };
        if let Some(refusal) = power.refuses(request.command.needs()) {
            return Answer::Refused(refusal);
        }
        let who = Who { by: &request.by, request_id };
        let answer = match &request.command {
            Command::Uncollected(_) => self.list().await,
            Command::Settle(act) => self.settle(act, &who).await.map(Answer::Settled),
            Command::Nudge(act) => self.nudge(act, &who).await.map(Answer::Nudged),
        };
        answer.unwrap_or_else(|stop| match stop {
            Stop::Refused(refusal) => Answer::Refused(refusal),
            Stop::Failed(failure) => {
                tracing::error!(error_type = failure.error_type, error = failure.chain(), request_id, "the command failed");
                Answer::Failed(Refusal::new(&failure.error_type, sentence(NAME, &failure)))
            }
        })
    }

    async fn list(&self) -> Result<Answer, Stop> {
        let Unsettled { payments, complete } = self.payments.unsettled(LIST_MAX).await?;
        tracing::info!(unsettled = payments.len(), complete, "listed");
        Ok(Answer::Uncollected(Listed { payments, complete }))
    }

    /// One conditional write: settling twice at once is settling once.
    async fn settle(&self, act: &Act, who: &Who<'_>) -> Result<Settled, Stop> {
        let Act { order_id, reason, dry_run } = act;
        check(reason)?;
        if *dry_run {
            let standing = self.payments.find(order_id).await?;
            tracing::info!(order_id = %order_id, "settle: a dry run");
            return settled(standing, true);
        }
        let settlement = Settlement { settled_at: self.ambient.now(), settled_by: who.by.to_owned(), settled_reason: reason.clone() };
        let of = |phase, outcome| Change { phase, command: "settle", order_id: *order_id, reason, outcome };
        self.audit(who, &of("begun", None)).await?;
        let written = self.payments.settle(order_id, &settlement).await;
        let outcome = match &written {
            Ok(Written::Now(_)) => "settled",
            Ok(Written::Refused(CollectionState::Settled(_))) => "settled before",
            Ok(Written::Refused(_)) => "refused",
            Err(failure) => &failure.error_type,
        };
        self.audit(who, &of("ended", Some(outcome))).await?;
        match written? {
            Written::Now(payment) => Ok(Settled { payment, before: false, dry_run: false }),
            Written::Refused(standing) => settled(standing, false),
        }
    }

    /// Publishes `order.placed` again: by the healing invariant that brings any order to its right end.
    ///
    /// Unlike order-deadline's own repetition, order-deadline hears this one too, and watches over the order from here on.
    /// It must, where its own message is gone: an order whose hold lapsed before payment had recorded it is answered
    /// `payment.voided`, which decides nothing, and only order-deadline's time-out ends it.
    async fn nudge(&self, act: &Act, who: &Who<'_>) -> Result<Nudged, Stop> {
        let Act { order_id, reason, dry_run } = act;
        check(reason)?;
        let unknown = || refused("NoSuchOrder", format!("There is no order {order_id}."));
        let order = self.orders.find(order_id).await?.ok_or_else(unknown)?;
        let status = order.facts.status();
        if order.facts.ended() {
            let name = serde_json::to_value(status).unwrap_or_default();
            let message = format!("Order {order_id} has ended: it is {}.", name.as_str().unwrap_or("over"));
            return Err(refused("OrderHasEnded", message));
        }
        let nudged = Nudged { order_id: *order_id, received_at: order.received_at, status, dry_run: *dry_run };
        if *dry_run {
            tracing::info!(order_id = %order_id, "nudge: a dry run");
            return Ok(nudged);
        }
        let of = |phase, outcome| Change { phase, command: "nudge", order_id: *order_id, reason, outcome };
        self.audit(who, &of("begun", None)).await?;
        let event = CloudEvent {
            source: format!("/{NAME}"),
            subject: Subject::Order(*order_id),
            time: order.received_at,
            traceparent: Some(trace::child(None, &self.ambient)),
            event: order.placed().into(),
        };
        // Unique per invocation: under the event's own id the topic would drop it for five minutes, with success.
        let published = publish_again(&self.topic, &event, format!("{}/{}", who.request_id, event.id())).await;
        let outcome = published.as_ref().map_or_else(|failure| failure.error_type.as_str(), |()| "published");
        self.audit(who, &of("ended", Some(outcome))).await?;
        published?;
        Ok(nudged)
    }

    async fn audit(&self, who: &Who<'_>, change: &Change<'_>) -> Result<(), Failure> {
        let (key, bytes) = audit_record(self.ambient.now(), who, change.phase, change)?;
        self.archive.put(&key, bytes).await?;
        let Change { phase, command, order_id, outcome, .. } = change;
        tracing::info!(command, phase, order_id = %order_id, outcome, request_id = who.request_id, "audit");
        Ok(())
    }
}

fn check(reason: &str) -> Result<(), Stop> {
    match reason.trim().len() {
        _ if is_blank(reason) => Err(refused("NoReason", "Say why, for the audit record: --reason.")),
        1..=REASON_MAX => Ok(()),
        long => Err(refused("ReasonTooLong", format!("The reason has {long} bytes; {REASON_MAX} is the most."))),
    }
}

/// The stored payment, for an operator who settles it.
fn settled(standing: CollectionState, dry_run: bool) -> Result<Settled, Stop> {
    match standing {
        CollectionState::Unsettled(payment) if dry_run => Ok(Settled { payment, before: false, dry_run }),
        CollectionState::Settled(payment) => Ok(Settled { payment, before: true, dry_run }),
        // Uncollected is an end: no write of payment's moves a record away from it.
        CollectionState::Unsettled(_) => Err(Failure::bug("NotSettled", "an uncollected payment refused to be settled").into()),
        CollectionState::Other(state) => {
            Err(refused("NotUncollected", format!("The payment of this order is {state}, not uncollected: there is nothing to settle.")))
        }
        CollectionState::Missing => Err(refused("NoSuchPayment", "There is no payment of such an order.")),
    }
}
