//! `email-inbound`: reads the replies to order mails. A clear cancellation is carried out; every other reply goes to support.
//!
//! `main.rs` wires it behind its queue, which the topic of SES's receipt rule feeds with raw delivery. Mail from machines is
//! dropped first, so that no mail loop starts. A cancellation counts under three conditions: SES verified the sender, the
//! sender is the customer of the one order that the reply names, and the reply says "cancel" and nothing else, in each way in
//! which it can be read. It then does what `POST /orders/{order_id}/cancel` does. Cancelling cannot be undone, so a reply with
//! a word against it, or an uncertain one, goes to support, once.

pub mod css;
pub mod decode;
pub mod digest;
pub mod forward;
pub mod forwards;
pub mod html;
pub mod inbox;
pub mod loops;
pub mod mail;
pub mod notification;
pub mod order;
pub mod parts;
pub mod quote;
pub mod samples;
pub mod verdict;
pub mod wish;

use domain::{
    CloudEvent, EmailAddress, Order, OrderId, Subject, Timestamp,
    event::{CancelRequest, OrderCancelRequested},
};
use forward::Why;
use forwards::{Forwards, Place, Reply, Writer};
use inbox::Inbox;
use lambda_kit::{
    Ambient, Failure,
    batch::Consumer,
    dynamodb::DynamoDb,
    message::{Delivery, Handled, Incoming},
    trace,
};
use mail::Mail;
use mailer::{Hour, Ledger, Mailer, OrdersAddress, Outcome, OutgoingMail, Sender};
use notification::{Message, Notification};
use pipeline::orders::CancelAsked;
use quote::Ours;
use std::time::Duration;

/// The function's name: its folder, its package, and the `source` of its events.
pub const NAME: &str = "email-inbound";

/// The function's operations on orders.
pub trait Orders {
    /// The order as it is now: one strongly consistent read.
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure>;
    /// Notes that the customer wants it cancelled: one conditional write.
    async fn request_cancel(&self, id: &OrderId, now: Timestamp) -> Result<CancelAsked, Failure>;
}

impl<D: DynamoDb> Orders for pipeline::orders::Orders<D> {
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        self.find(id).await
    }
    async fn request_cancel(&self, id: &OrderId, now: Timestamp) -> Result<CancelAsked, Failure> {
        self.request_cancel(id, now).await
    }
}

/// The function.
#[derive(Debug)]
pub struct EmailInbound<I, O, F, L, S, A> {
    /// Where SES puts the mails.
    pub inbox: I,
    /// Where orders are kept.
    pub orders: O,
    /// How many replies go on to people.
    pub forwards: F,
    /// The part that forwards a mail once. Its clock and random numbers are the function's.
    pub mailer: Mailer<L, S, A>,
    /// The address that our mails come from, and replies go to.
    pub own: OrdersAddress,
    /// Where people read what this function does not understand.
    pub support: EmailAddress,
}

/// The action for a parsed mail.
enum Decision {
    /// The customer wants the order cancelled, since then.
    Cancel(OrderId, Timestamp),
    /// A person must look at it.
    Forward(Why, Option<OrderId>),
}

impl<I: Inbox, O: Orders, F: Forwards, L: Ledger, S: Sender, A: Ambient> Consumer for EmailInbound<I, O, F, L, S, A> {
    type Message = Message;

    fn read(&self, body: &str) -> Result<Incoming<Message>, Failure> {
        let message = Message::parse(body)?;
        let (event_id, subject) = match &message {
            Message::Received(notification) => {
                let recipients = notification.recipients.iter().map(|recipient| recipient.0.as_str());
                let order_id = order::named(recipients, "", &self.own);
                (notification.message_id.clone(), order_id.map(|order_id| order_id.to_string()).unwrap_or_default())
            }
            Message::Setup => ("setup".to_owned(), String::new()),
        };
        Ok(Incoming { event_id, subject, traceparent: None, contends_for: Vec::new(), message })
    }

    /// Every effect may be repeated: the first wish to cancel stays, and its event has the same id again; a forward is
    /// written down before it is sent, and a mail has one place among the forwards of its hour.
    async fn handle(&self, message: &Message, delivery: &Delivery) -> Result<Handled, Failure> {
        let Message::Received(notification) = message else {
            tracing::info!(inbound = "setup", "mail received");
            return Ok(Handled::default());
        };
        let mail_id = notification.message_id.as_str();
        let dropped = |reason| {
            tracing::info!(inbound = "dropped", reason, mail_id, "mail received");
            Ok(Handled::default())
        };
        // Only a message that is to make a digest is looked at again, and whatever its own mail has become since, it is to.
        if delivery.checks > 0 {
            return self.report(notification).await;
        }
        if let Some(reason) = verdict::refusal(&notification.verdicts) {
            return dropped(reason);
        }
        // The role reads one bucket; a notification that names another was made by nobody of ours.
        if notification.bucket != self.inbox.bucket() {
            return Err(Failure::permanent("OtherBucket", "the mail is in a bucket that is not this function's"));
        }
        let stored = self.inbox.fetch(&notification.key).await?;
        // SES writes headers of its own in front of every mail, so this is none of its. Parked, it stays in the bucket.
        let mail = Mail::read(&stored.bytes).ok_or_else(|| Failure::permanent("UnreadableMail", "what is stored is no mail"))?;
        if let Some(reason) = loops::automatic(notification, &mail, &self.own) {
            return dropped(reason);
        }
        match self.decide(notification, &mail, stored.whole).await? {
            Decision::Cancel(order_id, since) => {
                let order = order_id.to_string();
                tracing::info!(inbound = "cancel_requested", reason = "clear_wish", mail_id, order_id = order, "mail received");
                Ok(Handled { publish: vec![self.cancel_requested(order_id, since)], look_again_after: None })
            }
            Decision::Forward(why, order_id) => {
                let writer = Writer::new(mail.from.as_ref().map(|from| &from.address), why.is_verified());
                let hour = Hour::of(notification.received_at);
                match self.forwards.place(hour, Reply { notification, writer: &writer }).await? {
                    Place::Forward => {}
                    Place::HeldBack { limit, reports } => {
                        tracing::info!(inbound = "held_back", reason = why.as_str(), limit = limit.as_str(), mail_id, "mail received");
                        let after = forwards::digest_after(hour, self.mailer.ambient.now()).max(forwards::LATE_WAIT);
                        let look_again_after = if reports { Some(Duration::try_from(after).unwrap_or_default()) } else { None };
                        return Ok(Handled { publish: Vec::new(), look_again_after });
                    }
                }
                let outgoing = forward::outgoing(notification, &mail, &stored, why, order_id, &self.support)?;
                self.tell_support(&outgoing).await?;
                tracing::info!(inbound = "forwarded", reason = why.as_str(), mail_id, "mail received");
                Ok(Handled::default())
            }
        }
    }
}

impl<I: Inbox, O: Orders, F: Forwards, L: Ledger, S: Sender, A: Ambient> EmailInbound<I, O, F, L, S, A> {
    /// Tells support of the replies of this mail's hour that were not forwarded, once the hour is over.
    async fn report(&self, notification: &Notification) -> Result<Handled, Failure> {
        let (hour, now) = (Hour::of(notification.received_at), self.mailer.ambient.now());
        let left = Duration::try_from(forwards::digest_after(hour, now)).unwrap_or_default();
        if !left.is_zero() {
            return Ok(Handled { publish: Vec::new(), look_again_after: Some(left) });
        }
        let closed = self.forwards.close(hour, &notification.message_id, now).await?;
        let outgoing = digest::outgoing(hour, &closed, self.inbox.bucket(), &self.support)?;
        self.tell_support(&outgoing).await?;
        tracing::info!(inbound = "reported", mail_id = notification.message_id, held_back = closed.held_back.len(), "mail received");
        Ok(Handled::default())
    }

    async fn tell_support(&self, outgoing: &OutgoingMail) -> Result<(), Failure> {
        match self.mailer.send(outgoing).await? {
            Outcome::Sent | Outcome::AlreadySent => Ok(()),
            // Acknowledged, the customer's words would be gone.
            Outcome::Suppressed => Err(Failure::bug("SupportSuppressed", "support is never suppressed, and its ledger asks no list")),
            Outcome::Limited(_) => {
                Err(Failure::bug("SupportLimited", "mail to support is limited by its places, and its ledger counts nothing"))
            }
        }
    }

    async fn decide(&self, notification: &Notification, mail: &Mail, whole: bool) -> Result<Decision, Failure> {
        let recipients = notification.recipients.iter().map(|recipient| recipient.0.as_str());
        let named = order::named(recipients, &mail.subject.0, &self.own);
        let forward = |why| Ok(Decision::Forward(why, named));
        let Some(from) = &mail.from else { return forward(Why::NoClearSender) };
        if !verdict::vouches_for(notification, &from.address) {
            return forward(Why::Unverified);
        }
        let Some(order_id) = named else { return forward(Why::NoOrder) };
        // Intake stores an order before it gives its id away, so one that is not there never was.
        let Some(order) = self.orders.find(&order_id).await? else { return forward(Why::UnknownOrder) };
        if order.customer.email.0.parse::<EmailAddress>().as_ref() != Ok(&from.address) {
            return forward(Why::NotTheCustomer);
        }
        if !(whole && mail.complete) {
            return forward(Why::NotAll);
        }
        if !mail.certain || mail.enclosures > 0 {
            return forward(Why::NotCertain);
        }
        if !self.asks_to_cancel(mail, from, &order) {
            return forward(Why::NoClearWish);
        }
        match self.orders.request_cancel(&order_id, self.mailer.ambient.now()).await? {
            CancelAsked::Since(since) => Ok(Decision::Cancel(order_id, since)),
            CancelAsked::TooLate => forward(Why::HasShipped),
            CancelAsked::NoSuchOrder => forward(Why::UnknownOrder),
        }
    }

    /// Whether the mail asks to cancel `order`, and nothing else, in each way in which it can be read.
    fn asks_to_cancel(&self, mail: &Mail, from: &mail::Sender, order: &Order) -> bool {
        let names: Vec<_> = from.name.iter().chain([&order.customer.name]).map(|name| name.0.as_str()).collect();
        let ours = Ours::of(order, &self.own, &names);
        let asks = |own: String| wish::asks_to_cancel(&own, &order.order_id, &names);
        wish::adds_nothing(&mail.subject.0, &order.order_id, &ours)
            && mail.readings().all(|text| quote::own_text(text, &ours).is_some_and(asks))
    }

    /// The event that order-intake publishes for the same wish, under the same id: asking twice is asking once.
    fn cancel_requested(&self, order_id: OrderId, since: Timestamp) -> lambda_kit::message::Outgoing {
        let event = CloudEvent {
            source: format!("/{NAME}"),
            subject: Subject::Order(order_id),
            time: since,
            traceparent: Some(trace::child(None, &self.mailer.ambient)),
            event: OrderCancelRequested { reason: CancelRequest::CustomerAsked }.into(),
        };
        pipeline::outgoing(&event, None)
    }
}

#[cfg(test)]
mod tests;
