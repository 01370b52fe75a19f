//! Watches one invocation: a message may be acknowledged only when it was handled and all that follows is published, or parked.
//!
//! Wraps the three things that the batch core is given. It refuses to change anything that passes through, unless it is
//! told to stand for a bad deployment, which panics at every message.

use lambda_kit::{
    Failure,
    batch::{Attribute, Consumer, Hide, Parked, Queue, QueueError},
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
    /// By message: what its handler, which succeeded, wants published.
    handled: RefCell<BTreeMap<String, Vec<String>>>,
    published: RefCell<BTreeSet<String>>,
    parked: RefCell<BTreeSet<String>>,
}

impl Watch {
    /// Of a deployment that works, or one that panics at every message.
    pub fn of(is_broken: bool) -> Self {
        Self { is_broken, ..Self::default() }
    }
    /// Whether `message_id` may be acknowledged.
    pub fn is_done(&self, message_id: &str) -> bool {
        let published = self.published.borrow();
        let all_out = |events: &Vec<String>| events.iter().all(|event| published.contains(event));
        self.parked.borrow().contains(message_id) || self.handled.borrow().get(message_id).is_some_and(all_out)
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
        if self.watch.is_broken {
            resume_unwind(Box::new("a bad deployment"));
        }
        let handled = self.inner.handle(message, delivery).await?;
        if handled.look_again_after.is_none() {
            let events = handled.publish.iter().map(|outgoing| outgoing.deduplication_id.clone()).collect();
            self.watch.handled.borrow_mut().insert(delivery.message_id.clone(), events);
        }
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
        let original = parked.attributes.iter().find(|(name, _)| name == "OriginalMessageId").map(|(_, value)| value.clone());
        self.inner.park(parked).await?;
        if let Some(Attribute::Text { value, .. }) = original {
            self.watch.parked.borrow_mut().insert(value);
        }
        Ok(())
    }
}
