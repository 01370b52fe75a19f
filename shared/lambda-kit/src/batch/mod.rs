//! The batch core: what stands between an SQS event source mapping and a handler of one message.
//!
//! [`Batch::handle`] is called once per invocation. A message is acknowledged only when its handler has returned and
//! everything that follows from it is published; whatever else happens to it, it is reported by its id, and by nothing
//! else: the invocation itself never fails. It does not know what a message means.
//!
//! ```text
//! records ─ read each by itself ─ lanes ─ handle, concurrently ─┬─ publish in batches ─ fates ─ check again ─ hide ─ answer
//!                                  │                            └─ park what can never pass
//!                                  └─ one after the other within a FIFO group, or among records that contend for a row
//! ```

mod again;
mod attribute;
mod back_off;
mod lanes;
mod park;
mod record;
mod sqs;

pub use again::{CHECKS, DELAY_MAX, Delayed, LOOK_AGAIN_MAX, NOT_BEFORE};
pub use attribute::{ATTRIBUTE_TEXT_MAX, Attribute};
pub use back_off::{BACK_OFF_FIRST, BACK_OFF_MAX, back_off};
pub use park::{ATTRIBUTES_MAX, EMPTY_BODY, Parked};
pub use sqs::{SqsQueue, run};

use crate::{
    Ambient, Failure, Kind, foreign_json,
    message::{Delivery, Handled, Incoming, Outgoing},
    publish::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, PublishError, Publisher},
    trace,
};
use again::Check;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{join, join_all},
    stream,
};
use record::Record;
use std::{any::Any, cell::RefCell, panic::AssertUnwindSafe, time::Duration};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

/// Lanes that are worked on at once. Ten is the most that a mapping without a batching window delivers.
pub const CONCURRENCY: usize = 10;
/// How long before the invocation's deadline handling ends: enough to hide what is unfinished and to answer. An invocation
/// that runs into its deadline answers nothing, and all of its records are handled again.
pub const DEADLINE_MARGIN: Duration = Duration::from_secs(3);
/// How long hiding may take of that margin. It only shortens or stretches a wait, so it must not cost the answer.
pub const HIDING_MAX: Duration = Duration::from_secs(2);
/// How long the first of a batch of events waits for company. Handlers of one batch finish within milliseconds of each
/// other; 50 ms is small beside a stage's latency and saves nine publishes in ten.
pub const PUBLISH_WINDOW: Duration = Duration::from_millis(50);
/// How long before the invocation's deadline copies stop being sent: what hiding may take, and 200 ms for the answer. So a
/// batch that has used all of its time still has 800 ms for them, some forty times what a call within a region takes.
pub const SENDING_MARGIN: Duration = Duration::from_millis(2_200);
/// The receive at which a bug's message is parked: often enough that a rolled-back deployment heals it by itself. A check is a
/// message of its own, so that receives count failures and nothing else.
pub const BUG_RECEIVES_MAX: u32 = 5;

/// Handles one message.
pub trait Consumer {
    /// A message as the handler wants it.
    type Message;
    /// Reads a body. Called once per record, so one that cannot be read is that record's failure alone.
    ///
    /// # Errors
    /// Permanent where the body can never be read, transient where a later build may.
    fn read(&self, body: &str) -> Result<Incoming<Self::Message>, Failure>;
    /// Whether `message` is about an order. The log then has its subject as `order_id`, which operators search by; else as
    /// `subject`.
    fn is_about_an_order(&self, message: &Self::Message) -> bool {
        // Only some know orders.
        _ = message;
        false
    }
    /// Handles a message. It may be dropped at any await (the deadline) and is called again for the same message after
    /// any failure, so it stores first and returns what is to be published.
    ///
    /// # Errors
    /// By [`Kind`], which decides what becomes of the message.
    async fn handle(&self, message: &Self::Message, delivery: &Delivery) -> Result<Handled, Failure>;
}

/// The queue that the records came from, and its dead-letter queue.
pub trait Queue {
    /// Makes up to ten messages invisible for the given whole seconds from now. Returns one result each, in their order.
    async fn hide(&self, messages: &[Hide]) -> Vec<Result<(), QueueError>>;
    /// Sends a message to the dead-letter queue.
    ///
    /// # Errors
    /// Where it was not taken; the record is then retried instead.
    async fn park(&self, parked: Parked) -> Result<(), QueueError>;
    /// Sends copies of messages to the queue that they came from, each with its delay: up to [`SEND_ENTRIES_MAX`] of together
    /// up to [`SEND_BYTES_MAX`] in one call. Returns one result each, in their order.
    async fn send_delayed(&self, messages: &[Delayed]) -> Vec<Result<(), QueueError>>;
}

/// Most entries in one SendMessageBatch
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>).
pub const SEND_ENTRIES_MAX: usize = 10;
/// Most bytes in one SendMessageBatch, all entries together. AWS takes four times as much since 2025; older endpoints and engines
/// do not, and ten events of ours have a tenth of it.
pub const SEND_BYTES_MAX: usize = 256 * 1024;

/// Most entries in one ChangeMessageVisibilityBatch.
const HIDE_ENTRIES_MAX: usize = 10;

/// A message to hide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hide {
    /// The receipt of this delivery.
    pub receipt_handle: String,
    /// For how long from now, in seconds.
    pub seconds: u32,
}

/// A call to the queue failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct QueueError(pub String);

/// Handles the batches of one queue.
#[derive(Debug)]
pub struct Batch<C, P, Q, A> {
    /// Handles one message.
    pub consumer: C,
    /// Where what follows goes.
    pub publisher: P,
    /// Where the records came from.
    pub queue: Q,
    /// Clock and random numbers.
    pub ambient: A,
}

/// The outcome of a record.
#[derive(Debug)]
enum Fate {
    /// Acknowledged: handled, and all that follows is published.
    Done,
    /// Acknowledged: it lies in the dead-letter queue.
    Parked(Failure),
    /// Becomes [`Fate::Sent`] where SQS takes its copy: for another check, or because it has come before its time.
    Again(Check, Why),
    /// Acknowledged: a copy of it waits in the queue.
    Sent(Why),
    /// Reported and hidden with back-off.
    Retry(Failure),
}

impl Fate {
    fn is_acknowledged(&self) -> bool {
        matches!(self, Fate::Done | Fate::Parked(_) | Fate::Sent(_))
    }
}

/// Why a copy of a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Its handler asked for another check.
    LookAgain,
    /// It is not due yet: the wait is longer than one delay. Its handler was not called.
    NotDue,
}

/// Where a record stands while the batch is under way.
#[derive(Debug, Default)]
struct Progress {
    /// Known once nothing more can change it but a failing publish.
    fate: Option<Fate>,
    /// Its events that are not yet published.
    unpublished: usize,
    /// How long its handler took.
    took: Duration,
}

/// A message on its way to the publisher, with the place of the record it came from.
type Queued = (usize, Outgoing);

impl<C: Consumer, P: Publisher, Q: Queue, A: Ambient> Batch<C, P, Q, A> {
    /// Handles one invocation's records and answers with the ids of those that are to be delivered again.
    ///
    /// `deadline` is the invocation's; handling ends [`DEADLINE_MARGIN`] before it.
    pub async fn handle(&self, event: SqsEvent, deadline: Instant) -> SqsBatchResponse {
        let mut records: Vec<_> = event.records.into_iter().map(|message| self.read(message)).collect();
        let progress: Vec<_> = records.iter().map(|_| RefCell::new(Progress::default())).collect();

        let lanes = lanes::lanes(&records);
        let (sender, receiver) = mpsc::unbounded_channel();
        let work = {
            let (records, progress) = (&records, &progress);
            let lanes = stream::iter(&lanes).map(move |lane| self.work_through(lane, records, progress, sender.clone()));
            // The last sender falls with this future, which tells the publisher that nothing more will come.
            async move { lanes.buffer_unordered(CONCURRENCY).collect::<()>().await }
        };
        let stop = deadline.checked_sub(DEADLINE_MARGIN).unwrap_or(deadline);
        let finished = timeout_at(stop, join(work, self.publish_all(receiver, &progress))).await.is_ok();

        let mut fates: Vec<_> = progress.into_iter().map(|cell| settle(cell.into_inner(), finished)).collect();
        hold_back_groups(&lanes, &records, &mut fates);
        let send_until = deadline.checked_sub(SENDING_MARGIN).unwrap_or(deadline);
        self.send_again(&records, &mut fates, send_until).await;
        self.hide(&records, &fates).await;
        for (record, (fate, took)) in records.iter().zip(&fates) {
            let is_order = matches!(&record.incoming, Some(Ok(incoming)) if self.consumer.is_about_an_order(&incoming.message));
            log(record, fate, *took, is_order);
        }

        let mut response = SqsBatchResponse::default();
        for (record, (fate, _)) in records.iter_mut().zip(&fates) {
            if !fate.is_acknowledged() {
                // An empty id makes Lambda deliver the whole batch again: more than needed, but nothing is lost.
                response.add_failure(std::mem::take(&mut record.delivery.message_id));
            }
        }
        response
    }

    fn read(&self, message: aws_lambda_events::sqs::SqsMessage) -> Record<C::Message> {
        let mut record = Record::from_sqs(message);
        if record.incoming.is_none() {
            let read = std::panic::catch_unwind(AssertUnwindSafe(|| self.consumer.read(&record.body)));
            let read = read.unwrap_or_else(|panic| Err(panicked(&*panic)));
            record.incoming = Some(read.map_err(|failure| in_envelope(&record.body).unwrap_or(failure)));
        }
        record
    }

    /// Handles the records of a lane one after the other.
    async fn work_through(
        &self,
        lane: &[usize],
        records: &[Record<C::Message>],
        progress: &[RefCell<Progress>],
        sender: mpsc::UnboundedSender<Queued>,
    ) {
        for &index in lane {
            let (record, cell) = (&records[index], &progress[index]);
            let started = Instant::now();
            let fate = match self.handle_one(record).await {
                Ok(None) => record.check.map_or(Fate::Done, |check| Fate::Again(check, Why::NotDue)),
                Ok(Some(handled)) => {
                    cell.borrow_mut().unpublished = handled.publish.len();
                    for outgoing in handled.publish {
                        if sender.send((index, outgoing)).is_err() {
                            // Cannot be while this future lives; if it ever is, the message is still counted as unpublished.
                            break;
                        }
                    }
                    match handled.look_again_after {
                        None => Fate::Done,
                        Some(after) => Fate::Again(Check::next(record, after, self.ambient.now()), Why::LookAgain),
                    }
                }
                Err(failure) => self.decide(record, failure).await,
            };
            let goes_on = fate.is_acknowledged() || !record.is_fifo();
            let mut progress = cell.borrow_mut();
            progress.took = started.elapsed();
            // A publish may have failed already; that stays.
            progress.fate.get_or_insert(fate);
            if !goes_on {
                return;
            }
        }
    }

    /// [`None`] where the record is not due yet, and its handler was not called.
    async fn handle_one(&self, record: &Record<C::Message>) -> Result<Option<Handled>, Failure> {
        let incoming = match &record.incoming {
            Some(Ok(incoming)) => incoming,
            Some(Err(failure)) => return Err(failure.clone()),
            None => return Err(Failure::bug("NotRead", "the record was never read")),
        };
        if record.check.is_some_and(|check| check.waits(self.ambient.now()).is_some()) {
            return Ok(None);
        }
        let handling = AssertUnwindSafe(self.consumer.handle(&incoming.message, &record.delivery));
        let handled = handling.catch_unwind().await.unwrap_or_else(|panic| Err(panicked(&*panic)))?;
        if handled.look_again_after.is_some() && record.is_on_fifo_queue() {
            return Err(Failure::bug("NoDelayOnFifo", "a FIFO queue has no delay per message, so its consumer cannot check again"));
        }
        Ok(Some(handled))
    }

    /// Retry or park: the one place where it is decided.
    async fn decide(&self, record: &Record<C::Message>, failure: Failure) -> Fate {
        let park = match failure.kind {
            Kind::Transient => false,
            Kind::Permanent => true,
            Kind::Bug => record.delivery.attempt >= BUG_RECEIVES_MAX,
        };
        if !park {
            return Fate::Retry(failure);
        }
        let parking = AssertUnwindSafe(self.queue.park(Parked::new(record, &failure, &self.ambient)));
        match parking.catch_unwind().await.unwrap_or_else(|_| Err(QueueError("parking panicked".into()))) {
            Ok(()) => Fate::Parked(failure),
            Err(error) => {
                let why = format!("the message could not be parked ({error}); it was to be parked for: {failure}");
                Fate::Retry(Failure::transient("ParkingFailed", why))
            }
        }
    }

    /// Publishes what comes in, up to ten at once, and marks the records of entries that failed.
    async fn publish_all(&self, mut receiver: mpsc::UnboundedReceiver<Queued>, progress: &[RefCell<Progress>]) {
        let mut next = receiver.recv().await;
        while let Some(first) = next.take() {
            let mut bytes = first.1.size();
            let mut batch = vec![first];
            let full = Instant::now() + PUBLISH_WINDOW;
            while batch.len() < BATCH_ENTRIES_MAX {
                match timeout_at(full, receiver.recv()).await {
                    Ok(Some(queued)) if bytes + queued.1.size() <= BATCH_BYTES_MAX => {
                        bytes += queued.1.size();
                        batch.push(queued);
                    }
                    Ok(Some(too_much)) => {
                        next = Some(too_much);
                        break;
                    }
                    Ok(None) | Err(_) => break,
                }
            }
            self.publish_batch(batch, progress).await;
            if next.is_none() {
                next = receiver.recv().await;
            }
        }
    }

    async fn publish_batch(&self, batch: Vec<Queued>, progress: &[RefCell<Progress>]) {
        let (places, messages): (Vec<usize>, Vec<Outgoing>) = batch.into_iter().unzip();
        let publishing = AssertUnwindSafe(self.publisher.publish(&messages));
        let mut results = publishing.catch_unwind().await.unwrap_or_default();
        let unanswered = || Err(PublishError { code: "NoAnswer".into(), message: "the publisher said nothing about this message".into() });
        results.resize_with(places.len(), unanswered);
        for (place, result) in places.into_iter().zip(results) {
            let mut progress = progress[place].borrow_mut();
            match result {
                Ok(()) => progress.unpublished -= 1,
                Err(error) => {
                    progress.fate = Some(Fate::Retry(Failure::transient(error.code, format_args!("publishing failed: {}", error.message))))
                }
            }
        }
    }

    /// Sends the copies of what is to be looked at again. Whatever is not taken is reported, and retried as after a failure.
    async fn send_again(&self, records: &[Record<C::Message>], fates: &mut [(Fate, Duration)], until: Instant) {
        let now = self.ambient.now();
        let (mut calls, mut bytes) = (Vec::<(Vec<usize>, Vec<Delayed>)>::new(), 0);
        for (place, (record, (fate, _))) in records.iter().zip(&*fates).enumerate() {
            let Fate::Again(check, _) = fate else { continue };
            let copy = Delayed::new(record, *check, now);
            match calls.last_mut() {
                Some((places, copies)) if copies.len() < SEND_ENTRIES_MAX && bytes + copy.size() <= SEND_BYTES_MAX => {
                    bytes += copy.size();
                    places.push(place);
                    copies.push(copy);
                }
                _ => {
                    bytes = copy.size();
                    calls.push((vec![place], vec![copy]));
                }
            }
        }
        let sent = calls.into_iter().map(|(places, copies)| async move {
            let sending = timeout_at(until, AssertUnwindSafe(self.queue.send_delayed(&copies)).catch_unwind()).await;
            let unanswered = match &sending {
                Ok(Ok(_)) => "the answer does not mention this message",
                Ok(Err(_)) => "sending panicked",
                Err(_) => "no answer before the invocation's deadline",
            };
            let mut results = sending.ok().and_then(Result::ok).unwrap_or_default();
            results.resize_with(places.len(), || Err(QueueError(unanswered.to_owned())));
            places.into_iter().zip(results)
        });
        for (place, result) in join_all(sent).await.into_iter().flatten() {
            let fate = &mut fates[place].0;
            match (result, &*fate) {
                (Ok(()), Fate::Again(_, why)) => *fate = Fate::Sent(*why),
                (Err(error), _) => {
                    let why = format_args!("the message's next check could not be scheduled: {error}");
                    *fate = Fate::Retry(Failure::transient("SchedulingFailed", why));
                }
                (Ok(()), _) => {}
            }
        }
    }

    /// Hides what is to be delivered again, so that it waits its back-off and not the queue's visibility timeout.
    async fn hide(&self, records: &[Record<C::Message>], fates: &[(Fate, Duration)]) {
        let mut hides = Vec::new();
        let mut delays = std::collections::HashMap::new();
        for (record, (fate, _)) in records.iter().zip(fates) {
            let delay = match fate {
                Fate::Done | Fate::Parked(_) | Fate::Sent(_) => continue,
                Fate::Again(..) | Fate::Retry(_) => back_off(record.delivery.attempt, self.ambient.random()),
            };
            // A group comes back together: what is behind a hidden message is held back by SQS anyway, and what is in
            // front of it must not stay hidden longer than the first.
            let delay = match &record.group_id {
                Some(group) => *delays.entry(group).or_insert(delay),
                None => delay,
            };
            if let Some(receipt_handle) = record.receipt_handle.clone() {
                hides.push(Hide { receipt_handle, seconds: u32::try_from(delay.as_secs()).unwrap_or(u32::MAX) });
            }
        }
        let calls = hides.chunks(HIDE_ENTRIES_MAX).map(|chunk| async move {
            match timeout(HIDING_MAX, AssertUnwindSafe(self.queue.hide(chunk)).catch_unwind()).await {
                Ok(Ok(results)) => results.into_iter().filter_map(Result::err).next().map(|error| error.to_string()),
                Ok(Err(_)) => Some("hiding panicked".to_owned()),
                Err(_) => Some(format!("hiding took longer than {HIDING_MAX:?}")),
            }
        });
        for error in join_all(calls).await.into_iter().flatten() {
            tracing::warn!(%error, "messages could not be hidden and wait for the queue's visibility timeout instead");
        }
    }
}

/// Why no consumer can read a body that SNS has wrapped. Without this each would park it as unreadable, which names neither the
/// cause nor what to do.
fn in_envelope(body: &str) -> Option<Failure> {
    foreign_json::is_sns_envelope(body).then(|| {
        let why = "the message came inside an SNS envelope: raw message delivery is off. Set RawMessageDelivery to true on the subscription \
                   of this queue; this message stays in its envelope and can only be read by a person, then discarded";
        Failure::permanent("SnsEnvelope", why)
    })
}

/// The fate that a record ends with.
fn settle(progress: Progress, finished: bool) -> (Fate, Duration) {
    let out_of_time =
        || Fate::Retry(Failure::transient("OutOfTime", "the invocation's deadline came before the message was handled and published"));
    let not_begun = || Fate::Retry(Failure::transient("HeldBack", "an earlier message of its group failed"));
    let fate = match (progress.fate, finished) {
        (Some(Fate::Retry(failure)), _) => Fate::Retry(failure),
        (Some(fate), _) if progress.unpublished == 0 => fate,
        (_, false) => out_of_time(),
        (None, true) => not_begun(),
        (Some(_), true) => Fate::Retry(Failure::bug("Unpublished", "an event was handed over and never published")),
    };
    (fate, progress.took)
}

/// Reports the rest of a FIFO group after its first failure, also one that only showed when publishing.
fn hold_back_groups<M>(lanes: &[Vec<usize>], records: &[Record<M>], fates: &mut [(Fate, Duration)]) {
    for lane in lanes.iter().filter(|lane| lane.first().is_some_and(|&first| records[first].is_fifo())) {
        let mut failed = false;
        for &index in lane {
            let fate = &mut fates[index].0;
            if failed && fate.is_acknowledged() && !matches!(fate, Fate::Parked(_)) {
                *fate = Fate::Retry(Failure::transient("HeldBack", "an earlier message of its group failed"));
            }
            failed |= !fate.is_acknowledged();
        }
    }
}

/// A panic as a failure. A formatted panic text may quote data, so only texts that stand in the source are kept.
fn panicked(panic: &(dyn Any + Send)) -> Failure {
    match panic.downcast_ref::<&'static str>() {
        Some(text) => Failure::bug("Panic", text),
        None => Failure::bug("Panic", "the handler panicked; the log line before this one says where"),
    }
}

/// The one line per message.
fn log<M>(record: &Record<M>, fate: &Fate, took: Duration, is_order: bool) {
    let incoming = record.incoming.as_ref().and_then(|read| read.as_ref().ok());
    let event_id = incoming.map_or("", |incoming| incoming.event_id.as_str());
    let subject = incoming.map(|incoming| incoming.subject.as_str()).filter(|subject| !subject.is_empty());
    // What is none is not written.
    let (order_id, subject) = if is_order { (subject, None) } else { (None, subject) };
    let trace_id = incoming.and_then(|incoming| trace::trace_id(incoming.traceparent.as_deref()?)).unwrap_or_default();
    let Delivery { message_id, attempt, checks, .. } = &record.delivery;
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    macro_rules! line {
        ($level:ident, $outcome:literal $(, $failure:ident)?) => {
            tracing::$level!(
                order_id, subject, event_id, message_id, attempt, checks, duration_ms, trace_id, outcome = $outcome,
                $(error_type = $failure.error_type, error = $failure.chain(),)?
                "message"
            )
        };
    }
    match fate {
        Fate::Done => line!(info, "done"),
        Fate::Again(_, Why::LookAgain) | Fate::Sent(Why::LookAgain) => line!(info, "look_again"),
        Fate::Again(_, Why::NotDue) | Fate::Sent(Why::NotDue) => line!(info, "waiting"),
        Fate::Parked(failure) => line!(error, "parked", failure),
        Fate::Retry(failure) if failure.kind == Kind::Bug => line!(error, "retry", failure),
        Fate::Retry(failure) => line!(warn, "retry", failure),
    }
}
