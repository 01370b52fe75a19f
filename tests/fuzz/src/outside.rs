//! What the HTTP functions have around them, in memory: a clock that does not move and a topic that takes everything.

use domain::{CloudEvent, Timestamp};
use lambda_kit::{
    Ambient,
    message::Outgoing,
    publish::{PublishError, Publisher},
};
use serde_json::Value;
use std::cell::RefCell;

#[derive(Default)]
pub struct Outside {
    /// What was published, in its order.
    pub published: RefCell<Vec<CloudEvent>>,
}

impl Ambient for Outside {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
    fn random(&self) -> u64 {
        0
    }
}

impl Publisher for &Outside {
    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), PublishError>> {
        let read = |message: &Outgoing| CloudEvent::parse(&message.body).expect("what is published can be read");
        self.published.borrow_mut().extend(batch.iter().map(read));
        batch.iter().map(|_| Ok(())).collect()
    }
}

/// An event of API Gateway with another body.
pub fn with_body(event: &Value, body: &[u8]) -> Value {
    let mut event = event.clone();
    event["body"] = String::from_utf8_lossy(body).into();
    event
}
