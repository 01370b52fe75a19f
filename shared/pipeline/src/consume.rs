//! A stage behind its queue: what the batch core drives.
//!
//! Called by the `main` of every queue function.

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
    /// Random numbers for the spans of the events that follow.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reply;
    use domain::event::InventoryReserved;
    use lambda_kit::Kind;

    /// A stage that must not be asked.
    struct Unasked;

    impl Stage for Unasked {
        const NAME: &'static str = "unasked";

        async fn handle(&self, _: &CloudEvent, _: &Delivery) -> Result<Reply, Failure> {
            unreachable!("what cannot be read is not handled")
        }
    }

    #[test]
    fn an_event_of_a_source_that_may_not_say_it_is_parked() {
        let consume = Consume { stage: Unasked, ambient: Real };
        let said_by = |source: &str| CloudEvent {
            source: source.into(),
            subject: Subject::Order("fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9".parse().unwrap()),
            time: domain::Timestamp::UNIX_EPOCH,
            traceparent: None,
            event: InventoryReserved { items: vec![] }.into(),
        };
        assert_eq!(consume.read(&said_by("/inventory").to_json()).unwrap().message, said_by("/inventory"));
        let refused = consume.read(&said_by("/email-inbound").to_json()).unwrap_err();
        assert_eq!((refused.kind, refused.error_type.as_ref()), (Kind::Permanent, "SourceNotAllowed"));
        assert_eq!(refused.to_string(), "SourceNotAllowed: `/email-inbound` may not say `inventory.reserved.v1`");
    }
}
