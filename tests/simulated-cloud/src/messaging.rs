//! A simulated FIFO topic and the queues behind it: filters, deduplication, visibility timeouts, receive counts, dead letters.
//!
//! Functions reach it through [`TopicClient`] and [`QueueClient`]; the simulation delivers from it. It does not lose a
//! message, and to promise an order: what is documented as at least once comes twice here.

use super::{CallFailure, Caller, Draws, Fault};
use aws_lambda_events::sqs::{SqsEvent, SqsMessage, SqsMessageAttribute};
use lambda_kit::{
    batch::{ATTRIBUTES_MAX, Attribute, DELAY_MAX, Delayed, Hide, Parked, Queue, QueueError},
    message::Outgoing,
    publish::{PublishError, Publisher},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long SNS and SQS recognise a deduplication id.
const DEDUPLICATION: Duration = Duration::from_secs(5 * 60);
/// How long a message is under way from the topic to a queue, at most, when nothing is wrong.
const TRANSIT: Duration = Duration::from_secs(1);
/// How late a late message is, at most: past every visibility timeout, so that others overtake it.
const LATE: Duration = Duration::from_secs(2 * 60 * 60);
/// When a message that is delivered twice comes again, at most: often while the first copy is being handled.
const AGAIN: Duration = Duration::from_millis(500);
/// Where a parked message says which message it was.
const ORIGINAL_MESSAGE_ID: &str = "OriginalMessageId";
/// A body that nobody can read.
pub const POISON: &str = "{\"specversion\":\"1.0\",\"id\":";

/// A queue, as the template describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSpec {
    /// Its name, which ends in `.fifo` on FIFO queues.
    pub name: String,
    /// How long a received message is hidden.
    pub visibility_timeout: Duration,
    /// How long a new message is hidden.
    pub delay: Duration,
    /// A message that was received so often goes to the dead-letter queue instead.
    pub max_receive_count: u32,
    /// The dead-letter queue's name.
    pub dead_letter_queue: String,
    /// How long a message is kept, in its dead-letter queue too.
    pub retention: Duration,
    /// How many messages may be in flight: received, not deleted and not yet back. At that limit nothing is given out. Messages
    /// with a delay are not in flight.
    pub in_flight_max: usize,
}

/// A subscription of a queue to the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The queue's name.
    pub queue: String,
    /// What the attribute `type` may begin with.
    pub type_prefixes: Vec<String>,
    /// An attribute that must not be there.
    pub without: Option<String>,
}

/// A message in a queue.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its id in this queue.
    pub id: String,
    /// The body.
    pub body: Arc<str>,
    /// Message attributes, texts all of them.
    pub attributes: Arc<BTreeMap<String, String>>,
    /// On FIFO queues: the group.
    pub group_id: Option<String>,
    deduplication_id: Option<String>,
    receives: u32,
    deliveries: u32,
    visible_at: Instant,
    /// What its retention is counted from. SQS moves a message of a Standard queue to the dead-letter queue with the age it has.
    sent_at: Instant,
}

impl Message {
    /// How often it was received, as far as the queue counted it.
    pub fn receives(&self) -> u32 {
        self.receives
    }
    /// The handle of this delivery: the next receive gives another, and this one is stale.
    pub fn receipt_handle(&self) -> String {
        format!("{}#{}", self.id, self.deliveries)
    }
    fn is_in_flight(&self, now: Instant) -> bool {
        self.deliveries > 0 && self.visible_at > now
    }
}

#[derive(Debug)]
struct Waiting {
    spec: Option<QueueSpec>,
    is_fifo: bool,
    messages: Vec<Message>,
    seen: BTreeMap<(String, String), Instant>,
}

/// The topic and all queues.
#[derive(Debug, Clone)]
pub struct Messaging {
    draws: Arc<Draws>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    subscriptions: Vec<Subscription>,
    queues: BTreeMap<String, Waiting>,
    in_transit: Vec<(Instant, String, Message)>,
    seen: BTreeMap<(String, String), Instant>,
    published: Vec<Outgoing>,
    poisoned: usize,
    dropped: usize,
    /// Messages that were kept for as long as their queue keeps one, and are gone.
    expired: Vec<Message>,
    /// Which message was parked last under a queue's deduplication id.
    parked: BTreeMap<(String, String), Option<String>>,
    ids: u64,
}

impl Messaging {
    /// An account with these queues, their dead-letter queues, and a topic with these subscriptions.
    pub fn new(draws: Arc<Draws>, queues: &[QueueSpec], subscriptions: &[Subscription]) -> Self {
        let waiting = |spec: Option<QueueSpec>, name: &str| Waiting {
            is_fifo: name.ends_with(".fifo"),
            spec,
            messages: Vec::new(),
            seen: BTreeMap::new(),
        };
        let sources = queues.iter().map(|spec| (spec.name.clone(), waiting(Some(spec.clone()), &spec.name)));
        let dead = queues.iter().map(|spec| (spec.dead_letter_queue.clone(), waiting(None, &spec.dead_letter_queue)));
        let state = State { subscriptions: subscriptions.to_vec(), queues: sources.chain(dead).collect(), ..State::default() };
        Self { draws, state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The topic, as `caller` reaches it.
    pub fn topic(&self, caller: &Caller) -> TopicClient {
        TopicClient { messaging: self.clone(), caller: caller.clone() }
    }
    /// A queue and its dead-letter queue, as `caller` reaches them.
    pub fn queue(&self, name: &str, caller: &Caller) -> QueueClient {
        QueueClient { messaging: self.clone(), caller: caller.clone(), name: name.to_owned() }
    }

    /// Everything that the topic took, duplicates included.
    pub fn published(&self) -> Vec<Outgoing> {
        self.state().published.clone()
    }
    /// How many unreadable messages came in from outside.
    pub fn poisoned(&self) -> usize {
        self.state().poisoned
    }

    /// How many parked messages are lost: the dead-letter queue knew their deduplication ids, and dropped them with success.
    pub fn dropped(&self) -> usize {
        self.state().dropped
    }

    /// What expired in a queue, unhandled.
    pub fn expired(&self) -> Vec<Message> {
        self.state().expired.clone()
    }

    /// What the topic does with a message that it takes.
    fn take(&self, message: &Outgoing) {
        let now = Instant::now();
        let mut state = self.state();
        state.published.push(message.clone());
        let forgets = self.draws.fault(&[Fault::DeduplicationForgotten]).is_some();
        if is_known(&mut state.seen, &message.group_id, &message.deduplication_id, now) && !forgets {
            self.draws.tell(|| format!("{:<20} knows {}, and drops it", "topic", message.deduplication_id));
            return;
        }
        let attributes: BTreeMap<_, _> = message.attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let (body, attributes) = (Arc::from(message.body.as_str()), Arc::new(attributes));
        let matching: Vec<_> =
            state.subscriptions.iter().filter(|subscription| subscription.wants(&attributes)).map(|s| s.queue.clone()).collect();
        for queue in matching {
            let copies = match self.draws.fault(&[Fault::Duplicate, Fault::Late, Fault::Poison]) {
                Some(Fault::Duplicate) => vec![self.draws.within(TRANSIT), self.draws.within(LATE)],
                Some(Fault::Late) => vec![self.draws.within(LATE)],
                Some(Fault::Poison) => {
                    let poison = state.message(POISON.into(), Arc::default(), Some(message.group_id.clone()), None, now);
                    state.poisoned += 1;
                    state.in_transit.push((now, queue.clone(), poison));
                    vec![self.draws.within(TRANSIT)]
                }
                _ => vec![self.draws.within(TRANSIT)],
            };
            for (copy, late) in copies.into_iter().enumerate() {
                // A second copy that the queue recognised would be none.
                let id = if copy == 0 { message.deduplication_id.clone() } else { format!("{}+{copy}", message.deduplication_id) };
                let sent = state.message(Arc::clone(&body), Arc::clone(&attributes), Some(message.group_id.clone()), Some(id), now);
                state.in_transit.push((now + late, queue.clone(), sent));
            }
        }
    }

    /// Puts what has arrived into its queues.
    pub fn arrive(&self) {
        let now = Instant::now();
        let mut state = self.state();
        let (arrived, waits): (Vec<_>, Vec<_>) = std::mem::take(&mut state.in_transit).into_iter().partition(|(at, ..)| *at <= now);
        state.in_transit = waits;
        for (_, queue, message) in arrived {
            state.enqueue(&queue, message, now);
        }
        state.expire(now);
    }

    /// Puts a message with a delay of its own into a queue, as SQS does: not on FIFO queues, and not for longer than it allows.
    fn send_delayed(&self, queue: &str, message: &Delayed) -> Result<(), QueueError> {
        let now = Instant::now();
        let mut state = self.state();
        let is_fifo = state.queues.get(queue).is_none_or(|waiting| waiting.is_fifo);
        let delay = Duration::from_secs(message.delay_s.into());
        if is_fifo || delay > DELAY_MAX || message.attributes.len() > ATTRIBUTES_MAX || message.body.is_empty() {
            return Err(QueueError("InvalidParameterValue".to_owned()));
        }
        let attributes = Arc::new(message.attributes.iter().cloned().filter_map(as_text).collect());
        let mut sent = state.message(message.body.as_str().into(), attributes, None, None, now);
        sent.visible_at = now + delay;
        if let Some(waiting) = state.queues.get_mut(queue) {
            waiting.messages.push(sent);
        }
        Ok(())
    }

    /// Receives up to `max` messages, and hides them.
    pub fn receive(&self, queue: &str, max: usize) -> Vec<Message> {
        let now = Instant::now();
        let mut state = self.state();
        let Some(Waiting { spec: Some(spec), is_fifo, messages, .. }) = state.queues.get_mut(queue) else { return Vec::new() };
        let (visibility_timeout, max_receive_count, is_fifo) = (spec.visibility_timeout, spec.max_receive_count, *is_fifo);
        let in_flight = messages.iter().filter(|message| message.is_in_flight(now)).count();
        let max = max.min(spec.in_flight_max.saturating_sub(in_flight));
        if !is_fifo && messages.len() > 1 {
            // No order is promised, so none is kept.
            let rotation = usize::try_from(self.draws.below(messages.len() as u64)).unwrap_or(0);
            messages.rotate_left(rotation);
        }
        let (mut received, mut dead, mut blocked) = (Vec::new(), Vec::new(), BTreeSet::new());
        messages.retain_mut(|message| {
            let group = message.group_id.clone().filter(|_| is_fifo);
            if message.visible_at > now || group.as_ref().is_some_and(|group| blocked.contains(group)) {
                blocked.extend(group);
                return true;
            }
            if received.len() == max {
                return true;
            }
            message.receives += 1;
            message.deliveries += 1;
            if message.receives > max_receive_count {
                dead.push(message.clone());
                return false;
            }
            let twice = self.draws.fault(&[Fault::Duplicate]).is_some();
            message.visible_at = now + if twice { self.draws.within(AGAIN) } else { visibility_timeout };
            received.push(message.clone());
            // A copy from a server that did not hear of this receive: the count is approximate, so the next one may say the same.
            message.receives -= u32::from(twice && self.draws.one_in(2));
            true
        });
        let dead_letter_queue = if dead.is_empty() { String::new() } else { spec.dead_letter_queue.clone() };
        for message in dead {
            self.draws.tell(|| format!("{queue:<20} parks {} after {max_receive_count} receives", message.id));
            state.enqueue(&dead_letter_queue, Message { deduplication_id: None, ..message }, now);
        }
        received
    }

    /// Deletes what was acknowledged, by the handles of its deliveries, unless that fails. A stale handle deletes nothing, with
    /// success, as on a Standard queue it may
    /// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html>).
    pub fn delete(&self, queue: &str, receipt_handles: &[String]) {
        if receipt_handles.is_empty() {
            return;
        }
        if let Some(fault) = self.draws.fault(&[Fault::AcknowledgementLost]) {
            self.draws.tell(|| format!("{queue:<20} {fault:?} {receipt_handles:?}"));
            return;
        }
        if let Some(waiting) = self.state().queues.get_mut(queue) {
            waiting.messages.retain(|message| !receipt_handles.contains(&message.receipt_handle()));
        }
    }

    /// When something arrives, or the first message of one of `queues` can be received.
    pub fn next(&self, queues: &[&str]) -> Option<Instant> {
        let state = self.state();
        let now = Instant::now();
        let visible = queues.iter().filter_map(|queue| state.queues.get(*queue)?.next(now));
        state.in_transit.iter().map(|(at, ..)| *at).chain(visible).min()
    }

    /// The messages in a queue.
    pub fn messages(&self, queue: &str) -> Vec<Message> {
        self.state().queues.get(queue).map(|waiting| waiting.messages.clone()).unwrap_or_default()
    }

    /// Moves what lies in a queue's dead-letter queue back into it, but for unreadable bodies. Returns how many.
    pub fn redrive(&self, queue: &str) -> usize {
        let now = Instant::now();
        let mut state = self.state();
        let Some(spec) = state.queues.get(queue).and_then(|waiting| waiting.spec.clone()) else { return 0 };
        let Some(dead) = state.queues.get_mut(&spec.dead_letter_queue) else { return 0 };
        let (stays, goes): (Vec<_>, Vec<_>) = std::mem::take(&mut dead.messages).into_iter().partition(|message| *message.body == *POISON);
        dead.messages = stays;
        let count = goes.len();
        for message in goes {
            // Under a fresh deduplication id: its own may still be known, and would be dropped.
            let fresh = state.message(message.body, message.attributes, message.group_id, None, now);
            state.enqueue(queue, fresh, now);
        }
        count
    }

    /// Forgets everything that was sent but not handled, as if it had never been: messages in queues and under way.
    pub fn lose_everything(&self) {
        let mut state = self.state();
        state.in_transit.clear();
        state.seen.clear();
        for waiting in state.queues.values_mut() {
            waiting.messages.clear();
            waiting.seen.clear();
        }
    }

    /// The same, but for what is on its way to `queue`, lies in it, or was parked from it.
    pub fn lose_everything_but(&self, queue: &str) {
        let mut state = self.state();
        state.in_transit.retain(|(_, to, _)| to == queue);
        let kept = state.queues.get(queue).and_then(|waiting| waiting.spec.as_ref()).map(|spec| spec.dead_letter_queue.clone());
        for (name, waiting) in &mut state.queues {
            if name != queue && Some(name) != kept.as_ref() {
                waiting.messages.clear();
            }
        }
    }
}

impl Subscription {
    fn wants(&self, attributes: &BTreeMap<String, String>) -> bool {
        let kind = attributes.get("type").map_or("", String::as_str);
        let refused = self.without.as_ref().is_some_and(|name| attributes.contains_key(name));
        !refused && self.type_prefixes.iter().any(|prefix| kind.starts_with(prefix.as_str()))
    }
}

impl State {
    fn message(
        &mut self,
        body: Arc<str>,
        attributes: Arc<BTreeMap<String, String>>,
        group_id: Option<String>,
        deduplication_id: Option<String>,
        now: Instant,
    ) -> Message {
        self.ids += 1;
        Message {
            id: format!("m{}", self.ids),
            body,
            attributes,
            group_id,
            deduplication_id,
            receives: 0,
            deliveries: 0,
            visible_at: now,
            sent_at: now,
        }
    }

    /// Deletes what was kept for as long as its queue keeps one.
    fn expire(&mut self, now: Instant) {
        let kept: BTreeMap<_, _> = self
            .queues
            .values()
            .filter_map(|waiting| waiting.spec.as_ref())
            .map(|spec| (spec.dead_letter_queue.clone(), spec.retention))
            .collect();
        for (name, waiting) in &mut self.queues {
            let Some(retention) = waiting.spec.as_ref().map(|spec| spec.retention).or_else(|| kept.get(name).copied()) else { continue };
            let (stays, goes): (Vec<_>, Vec<_>) =
                std::mem::take(&mut waiting.messages).into_iter().partition(|message| now.duration_since(message.sent_at) < retention);
            waiting.messages = stays;
            self.expired.extend(goes);
        }
    }

    /// A FIFO queue drops a message whose id it knows, and returns success: false, which no sender of SQS gets to see.
    fn enqueue(&mut self, queue: &str, mut message: Message, now: Instant) -> bool {
        let Some(waiting) = self.queues.get_mut(queue) else { return false };
        if waiting.is_fifo
            && let (Some(group), Some(id)) = (&message.group_id, &message.deduplication_id)
            && is_known(&mut waiting.seen, group, id, now)
        {
            return false;
        }
        message.visible_at = now + waiting.spec.as_ref().map_or(Duration::ZERO, |spec| spec.delay);
        waiting.messages.push(message);
        true
    }
}

impl Waiting {
    /// The first of a group holds the others back, so they do not count. At the limit of what may be in flight, the first that
    /// comes back makes room.
    fn next(&self, now: Instant) -> Option<Instant> {
        let in_flight = || self.messages.iter().filter(|message| message.is_in_flight(now)).map(|message| message.visible_at);
        if self.spec.as_ref().is_some_and(|spec| in_flight().count() >= spec.in_flight_max) {
            return in_flight().min();
        }
        let mut groups = BTreeSet::new();
        let counts = |message: &&Message| !self.is_fifo || message.group_id.as_ref().is_none_or(|group| groups.insert(group.clone()));
        self.messages.iter().filter(counts).map(|message| message.visible_at).min()
    }
}

fn is_known(seen: &mut BTreeMap<(String, String), Instant>, group: &str, id: &str, now: Instant) -> bool {
    let until = seen.entry((group.to_owned(), id.to_owned())).or_insert(now);
    let known = *until > now;
    if !known {
        *until = now + DEDUPLICATION;
    }
    known
}

fn as_text((name, attribute): (String, Attribute)) -> Option<(String, String)> {
    match attribute {
        Attribute::Text { value, .. } => Some((name, value)),
        Attribute::Binary { .. } => None,
    }
}

/// The records of an invocation.
pub fn event(queue: &str, messages: &[Message]) -> SqsEvent {
    let mut event = SqsEvent::default();
    event.records = messages.iter().map(|message| record(queue, message)).collect();
    event
}

fn record(queue: &str, message: &Message) -> SqsMessage {
    let mut attributes = HashMap::from([("ApproximateReceiveCount".to_owned(), message.receives.to_string())]);
    if let Some(group) = message.group_id.as_ref().filter(|_| queue.ends_with(".fifo")) {
        attributes.insert("MessageGroupId".to_owned(), group.clone());
    }
    let mut record = SqsMessage::default();
    record.message_id = Some(message.id.clone());
    record.receipt_handle = Some(message.receipt_handle());
    record.body = Some(message.body.as_ref().to_owned());
    record.attributes = attributes;
    record.event_source_arn = Some(format!("arn:aws:sqs:eu-central-1:000000000000:{queue}"));
    record.message_attributes = message.attributes.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    record
}

fn text(value: &str) -> SqsMessageAttribute {
    let mut attribute = SqsMessageAttribute::default();
    attribute.data_type = Some("String".to_owned());
    attribute.string_value = Some(value.to_owned());
    attribute
}

/// What stands in for SNS, in one invocation.
#[derive(Debug, Clone)]
pub struct TopicClient {
    messaging: Messaging,
    caller: Caller,
}

impl Publisher for TopicClient {
    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), PublishError>> {
        let refuse = |code: &str| Err(PublishError { code: code.to_owned(), message: "a simulated fault".to_owned() });
        let publish = || {
            let one = |message: &Outgoing| {
                let refused = self.caller.draws.fault(&[Fault::EntryRefused]).is_some();
                self.caller.tell(format_args!("publishes {}{}", message.deduplication_id, if refused { ": EntryRefused" } else { "" }));
                if refused {
                    return refuse("InternalError");
                }
                self.messaging.take(message);
                Ok(())
            };
            batch.iter().map(one).collect()
        };
        match self.caller.call("PublishBatch", publish).await {
            Ok(results) => results,
            Err(CallFailure::Throttled) => batch.iter().map(|_| refuse("Throttled")).collect(),
            Err(CallFailure::NoAnswer) => batch.iter().map(|_| refuse("Timeout")).collect(),
        }
    }
}

/// What stands in for SQS, in one invocation.
#[derive(Debug, Clone)]
pub struct QueueClient {
    messaging: Messaging,
    caller: Caller,
    name: String,
}

impl Queue for QueueClient {
    async fn hide(&self, messages: &[Hide]) -> Vec<Result<(), QueueError>> {
        let hide = || {
            let now = Instant::now();
            let mut state = self.messaging.state();
            let mut one = |hide: &Hide| {
                let messages = state.queues.get_mut(&self.name).map(|waiting| waiting.messages.iter_mut());
                match messages.into_iter().flatten().find(|message| message.receipt_handle() == hide.receipt_handle) {
                    Some(message) => message.visible_at = now + Duration::from_secs(hide.seconds.into()),
                    None => return Err(QueueError("ReceiptHandleIsInvalid".to_owned())),
                }
                Ok(())
            };
            messages.iter().map(&mut one).collect::<Vec<_>>()
        };
        match self.caller.call(Hides(messages), hide).await {
            Ok(results) => results,
            Err(trouble) => messages.iter().map(|_| Err(QueueError(format!("{trouble:?}")))).collect(),
        }
    }

    async fn park(&self, parked: Parked) -> Result<(), QueueError> {
        let park = || {
            let now = Instant::now();
            let mut state = self.messaging.state();
            let Some(spec) = state.queues.get(&self.name).and_then(|waiting| waiting.spec.clone()) else { return };
            let attributes = Arc::new(parked.attributes.into_iter().filter_map(as_text).collect());
            let message = state.message(parked.body.into(), attributes, parked.group_id, parked.deduplication_id, now);
            let (original, id) = (message.attributes.get(ORIGINAL_MESSAGE_ID).cloned(), message.deduplication_id.clone());
            let enqueued = state.enqueue(&spec.dead_letter_queue, message, now);
            let parked = state.parked.entry((spec.dead_letter_queue, id.unwrap_or_default()));
            if enqueued {
                parked.insert_entry(original);
            } else if *parked.or_insert_with(|| original.clone()) != original {
                // Under another message's id. The same message, parked twice, is there once, and nothing is lost.
                state.dropped += 1;
            }
        };
        self.caller.call("parks a message", park).await.map_err(|trouble| QueueError(format!("{trouble:?}")))
    }

    async fn send_delayed(&self, messages: &[Delayed]) -> Vec<Result<(), QueueError>> {
        let send = || {
            let one = |message: &Delayed| {
                if self.caller.draws.fault(&[Fault::EntryRefused]).is_some() {
                    self.caller.tell(format_args!("sends a copy of {}: EntryRefused", message.copy_of));
                    return Err(QueueError("InternalError".to_owned()));
                }
                self.messaging.send_delayed(&self.name, message)
            };
            messages.iter().map(one).collect::<Vec<_>>()
        };
        match self.caller.call(Sends(messages), send).await {
            Ok(results) => results,
            Err(trouble) => messages.iter().map(|_| Err(QueueError(format!("{trouble:?}")))).collect(),
        }
    }
}

/// What is sent, in the words of a story.
struct Sends<'a>(&'a [Delayed]);

impl std::fmt::Display for Sends<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("sends again")?;
        self.0.iter().try_for_each(|message| write!(f, " {} in {} s", message.copy_of, message.delay_s))
    }
}

/// What is hidden, in the words of a story.
struct Hides<'a>(&'a [Hide]);

impl std::fmt::Display for Hides<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hides")?;
        self.0.iter().try_for_each(|hide| write!(f, " {} for {} s", hide.receipt_handle, hide.seconds))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::{FaultRates, Invocation};

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn without_faults() -> (Messaging, QueueClient) {
        let draws = Arc::new(Draws::new(7, FaultRates { per_mille: 0, faults: 0 }, false));
        let spec = QueueSpec {
            name: "work".to_owned(),
            visibility_timeout: Duration::from_secs(60),
            delay: Duration::ZERO,
            max_receive_count: 3,
            dead_letter_queue: "dead".to_owned(),
            retention: 14 * DAY,
            in_flight_max: 2,
        };
        let messaging = Messaging::new(Arc::clone(&draws), &[spec], &[]);
        let queue = messaging.queue("work", &Caller { draws, invocation: Invocation::new("test".to_owned()) });
        (messaging, queue)
    }

    fn delayed(delay_s: u32) -> Delayed {
        Delayed { copy_of: "m".to_owned(), body: "body".to_owned(), attributes: vec![], delay_s }
    }

    async fn send(queue: &QueueClient, delay_s: u32) -> Result<(), QueueError> {
        queue.send_delayed(&[delayed(delay_s)]).await.into_iter().next().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_receipt_handle_neither_deletes_nor_hides() {
        let (messaging, queue) = without_faults();
        send(&queue, 1).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let first = messaging.receive("work", 10).remove(0).receipt_handle();
        tokio::time::sleep(Duration::from_secs(61)).await;
        let second = messaging.receive("work", 10).remove(0).receipt_handle();
        messaging.delete("work", std::slice::from_ref(&first));
        assert_eq!(messaging.messages("work").len(), 1, "reported as deleted, and still there");
        let hide = |receipt_handle: &String| Hide { receipt_handle: receipt_handle.clone(), seconds: 9 };
        let hidden = queue.hide(&[hide(&first), hide(&second)]).await;
        assert_eq!(hidden, [Err(QueueError("ReceiptHandleIsInvalid".to_owned())), Ok(())]);
        messaging.delete("work", &[second]);
        assert!(messaging.messages("work").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_gives_nothing_out_while_too_much_is_in_flight() {
        let (messaging, queue) = without_faults();
        for _ in 0..4 {
            send(&queue, 1).await.unwrap();
        }
        // Delayed messages are not in flight.
        for _ in 0..10 {
            send(&queue, 900).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        let in_flight = messaging.receive("work", 10);
        assert_eq!((in_flight.len(), messaging.receive("work", 10).len()), (2, 0));
        let next = messaging.next(&["work"]).unwrap();
        assert!(next > Instant::now(), "not before one of them is back");
        messaging.delete("work", &[in_flight[0].receipt_handle()]);
        assert_eq!(messaging.receive("work", 10).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_expires_after_its_retention_and_is_missed() {
        let (messaging, queue) = without_faults();
        send(&queue, 900).await.unwrap();
        tokio::time::sleep(13 * DAY).await;
        messaging.arrive();
        assert_eq!((messaging.messages("work").len(), messaging.expired().len()), (1, 0));
        tokio::time::sleep(DAY + DAY / 24).await;
        messaging.arrive();
        assert_eq!((messaging.messages("work").len(), messaging.expired().len()), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_sqs_refuses_to_delay_is_refused() {
        let (messaging, queue) = without_faults();
        assert!(send(&queue, 901).await.is_err());
        let attributes = (0..=ATTRIBUTES_MAX).map(|n| (n.to_string(), Attribute::text("x"))).collect();
        assert!(queue.send_delayed(&[Delayed { attributes, ..delayed(1) }]).await[0].is_err());
        assert!(messaging.messages("work").is_empty());
    }
}
