//! Watches one invocation: a message may be acknowledged only when it was handled and all that follows is published, or when it
//! was parked; and if its handler asked to check again, only when a copy of it waits.
//!
//! Wraps the three things that the batch core is given. It does not change anything that passes through, unless it is told
//! to stand for a bad deployment, which panics at every message.

use lambda_kit::{
    Failure, Kind,
    batch::{Attribute, Consumer, Delayed, Hide, Parked, Queue, QueueError},
    message::{Delivery, Handled, Incoming, Outgoing},
    publish::{PublishError, Publisher},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    panic::resume_unwind,
};

/// What was seen in one invocation.
#[derive(Debug, Default)]
pub struct Watch {
    is_broken: bool,
    /// By message: what its handler, which succeeded, wants.
    handled: RefCell<BTreeMap<String, Wants>>,
    published: RefCell<BTreeSet<String>>,
    parked: RefCell<BTreeSet<String>>,
    /// Why messages were parked, where an answer of the provider was blamed.
    blames_the_provider: RefCell<Vec<String>>,
    /// Messages whose handler panicked, reported a bug or was cut off.
    bugs: RefCell<BTreeSet<String>>,
    /// Messages of which a copy was to be sent, taken or not.
    tried_again: RefCell<BTreeSet<String>>,
    /// Messages of which a copy was taken.
    sent_again: RefCell<BTreeSet<String>>,
}

/// What a handler wants before its message is acknowledged.
#[derive(Debug)]
struct Wants {
    events: Vec<String>,
    checks_again: bool,
}

impl Watch {
    /// Of a deployment that works, or one that panics at every message.
    pub fn of(is_broken: bool) -> Self {
        Self { is_broken, ..Self::default() }
    }
    /// Whether `message_id` may be acknowledged.
    pub fn is_done(&self, message_id: &str) -> bool {
        let is_sent_again = self.sent_again.borrow().contains(message_id);
        let is_done = match self.handled.borrow().get(message_id) {
            Some(wants) => self.all_out(wants) && wants.checks_again == is_sent_again,
            // Its handler was not called: it came before its time.
            None => is_sent_again,
        };
        is_done || self.parked.borrow().contains(message_id)
    }
}

impl Watch {
    /// Messages that were parked because of a bug.
    pub fn parked_as_bugs(&self) -> Vec<String> {
        self.parked.borrow().intersection(&self.bugs.borrow()).cloned().collect()
    }
    /// Why messages were parked for what the provider answered: it is never wrong permanently, and payment makes no mistake.
    pub fn blames_the_provider(&self) -> Vec<String> {
        self.blames_the_provider.borrow().clone()
    }
    /// Whether the handler of `message_id` checked, said all it had to say, and asked to check again, and nothing failed: a
    /// delivery that must not count as a failure, whatever the core does to have the message delivered again.
    pub fn is_mere_check(&self, message_id: &str) -> bool {
        let checked = self.handled.borrow().get(message_id).is_some_and(|wants| wants.checks_again && self.all_out(wants));
        checked && !self.tried_again.borrow().contains(message_id)
    }

    fn all_out(&self, wants: &Wants) -> bool {
        let published = self.published.borrow();
        wants.events.iter().all(|event| published.contains(event))
    }
}

/// Something that is watched.
#[derive(Debug)]
pub struct Watched<'a, T> {
    /// What it is.
    pub inner: T,
    /// Where it is noted.
    pub watch: &'a Watch,
}

impl<C: Consumer> Consumer for Watched<'_, C> {
    type Message = C::Message;
    fn read(&self, body: &str) -> Result<Incoming<C::Message>, Failure> {
        self.inner.read(body)
    }
    async fn handle(&self, message: &C::Message, delivery: &Delivery) -> Result<Handled, Failure> {
        // Taken back where it ends otherwise; a panic leaves it.
        self.watch.bugs.borrow_mut().insert(delivery.message_id.clone());
        if self.watch.is_broken {
            resume_unwind(Box::new("a bad deployment"));
        }
        let handled = self.inner.handle(message, delivery).await;
        if !handled.as_ref().is_err_and(|failure| failure.kind == Kind::Bug) {
            self.watch.bugs.borrow_mut().remove(&delivery.message_id);
        }
        let handled = handled?;
        let events = handled.publish.iter().map(|outgoing| outgoing.deduplication_id.clone()).collect();
        let wants = Wants { events, checks_again: handled.look_again_after.is_some() };
        self.watch.handled.borrow_mut().insert(delivery.message_id.clone(), wants);
        Ok(handled)
    }
}

impl<P: Publisher> Publisher for Watched<'_, P> {
    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), PublishError>> {
        let results = self.inner.publish(batch).await;
        let taken = batch.iter().zip(&results).filter(|(_, result)| result.is_ok());
        self.watch.published.borrow_mut().extend(taken.map(|(outgoing, _)| outgoing.deduplication_id.clone()));
        results
    }
}

impl<Q: Queue> Queue for Watched<'_, Q> {
    async fn hide(&self, messages: &[Hide]) -> Vec<Result<(), QueueError>> {
        self.inner.hide(messages).await
    }
    async fn park(&self, parked: Parked) -> Result<(), QueueError> {
        let attribute = |wanted: &str| parked.attributes.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
        let original = attribute("OriginalMessageId");
        if let Some(Attribute::Text { value, .. }) =
            attribute("ErrorType").filter(|why| matches!(why, Attribute::Text { value, .. } if value.starts_with("Stripe")))
        {
            self.watch.blames_the_provider.borrow_mut().push(value);
        }
        self.inner.park(parked).await?;
        if let Some(Attribute::Text { value, .. }) = original {
            self.watch.parked.borrow_mut().insert(value);
        }
        Ok(())
    }
    async fn send_delayed(&self, messages: &[Delayed]) -> Vec<Result<(), QueueError>> {
        self.watch.tried_again.borrow_mut().extend(messages.iter().map(|message| message.copy_of.clone()));
        let results = self.inner.send_delayed(messages).await;
        let taken = messages.iter().zip(&results).filter(|(_, result)| result.is_ok());
        self.watch.sent_again.borrow_mut().extend(taken.map(|(message, _)| message.copy_of.clone()));
        results
    }
}
