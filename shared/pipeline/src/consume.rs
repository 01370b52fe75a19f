//! A stage behind its queue: what the batch core drives.
//!
//! Called by the `main` of every queue function. It refuses to be clever: read, hand over, wrap what follows.

use crate::{
    Stage,
    message::{outgoing, unreadable},
};
use domain::{CloudEvent, Subject};
use lambda_kit::{
    Ambient, Failure, Real,
    batch::{Consumer, SqsQueue},
    message::{Delivery, Handled, Incoming},
    publish::Publisher,
    trace,
};

/// Lets a [`Stage`] be driven by the batch core.
#[derive(Debug)]
pub struct Consume<S, A> {
    /// The stage.
    pub stage: S,
    /// Dice for the spans of the events that follow.
    pub ambient: A,
}

impl<S: Stage, A: Ambient> Consumer for Consume<S, A> {
    type Message = CloudEvent;

    fn read(&self, body: &str) -> Result<Incoming<CloudEvent>, Failure> {
        let event = CloudEvent::parse(body).map_err(unreadable)?;
        Ok(Incoming {
            event_id: event.id(),
            subject: event.subject.to_string(),
            traceparent: event.traceparent.clone(),
            contends_for: self.stage.contends_for(&event),
            message: event,
        })
    }

    fn is_about_an_order(&self, event: &CloudEvent) -> bool {
        matches!(event.subject, Subject::Order(_))
    }

    async fn handle(&self, event: &CloudEvent, delivery: &Delivery) -> Result<Handled, Failure> {
        let reply = self.stage.handle(event, delivery).await?;
        let publish = reply.announcements.into_iter().map(|announcement| {
            let follows = CloudEvent {
                source: format!("/{}", S::NAME),
                subject: event.subject,
                time: announcement.time,
                traceparent: Some(trace::child(event.traceparent.as_deref(), &self.ambient)),
                event: announcement.event,
            };
            // Unique per delivery and type, and the same if this delivery's publish is tried twice.
            let event_type = follows.event.event_type();
            let fresh = announcement.again.then(|| format!("{}/{}/{event_type}", delivery.message_id, delivery.attempt));
            outgoing(&follows, fresh)
        });
        Ok(Handled { publish: publish.collect(), look_again_after: reply.look_again_after })
    }
}

/// Serves a stage as the Lambda function behind `queue`, publishing to `publisher`, until Lambda ends the process.
///
/// # Errors
/// Only the runtime's own.
pub async fn run<S: Stage, P: Publisher>(stage: S, publisher: P, queue: SqsQueue) -> Result<(), lambda_kit::Error> {
    lambda_kit::batch::run(Consume { stage, ambient: Real }, publisher, queue, Real).await
}
