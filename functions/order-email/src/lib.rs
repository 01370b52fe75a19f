//! `order-email`: mails the customer about the progress of an order: received, shipped, cancelled.
//!
//! `main.rs` wires it behind its queue. One read finds the order and its address, because no event carries an address. The
//! [`Mailer`] sends each mail once. Old news is not mailed: an event older than
//! [`MAIL_AGE_MAX`](mailer::MAIL_AGE_MAX), or a receipt for an order that has since shipped or been cancelled. A receipt is
//! mailed only after the payment is authorized: until then an order costs nothing and can name any address. The function
//! publishes no events.

mod mails;
pub mod samples;

pub use mails::every;

use domain::{CloudEvent, Event, Order, OrderId, tracking::Status};
use lambda_kit::{Ambient, Failure, dynamodb::DynamoDb, message::Delivery};
use mailer::{Ledger, Mailer, OVERTAKEN, OrdersAddress, OutgoingMail, Sender, TOO_OLD, too_old};
use pipeline::{Reply, Stage, not_for, order_id};

/// The function's operations on orders.
pub trait Orders {
    /// The order as it is now, facts included: one strongly consistent read.
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure>;
}

impl<D: DynamoDb> Orders for pipeline::orders::Orders<D> {
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        self.find(id).await
    }
}

/// The stage.
#[derive(Debug)]
pub struct OrderEmail<O, L, S, A> {
    /// The orders.
    pub orders: O,
    /// The part that sends each mail once. Its clock is the stage's.
    pub mailer: Mailer<L, S, A>,
    /// Where mails come from; answers go to its label for the order.
    pub address: OrdersAddress,
}

impl<O: Orders, L: Ledger, S: Sender, A: Ambient> Stage for OrderEmail<O, L, S, A> {
    const NAME: &'static str = "order-email";

    async fn handle(&self, event: &CloudEvent, _: &Delivery) -> Result<Reply, Failure> {
        let order_id = order_id(event)?;
        let template = template(&event.event).ok_or_else(|| not_for(Self::NAME, event))?;
        let mail_id = format!("{order_id}/{template}");
        if too_old(event.time, self.mailer.ambient.now()) {
            mailer::log(TOO_OLD, template, &mail_id);
            return Ok(Reply::nothing());
        }
        // Intake stores an order before anyone hears of it, and the read is strongly consistent: what is not there now was
        // deleted, or never was, and no retry brings it. Parking it says so at once, with the reason beside it.
        let unknown = || Failure::permanent("UnknownOrder", "there is no order of this id to write about");
        let order = self.orders.find(&order_id).await?.ok_or_else(unknown)?;
        if matches!(event.event, Event::PaymentAuthorized(_)) && order.facts.status() >= Status::Cancelled {
            mailer::log(OVERTAKEN, template, &mail_id);
            return Ok(Reply::nothing());
        }
        // Intake has checked it, so that only an order from before that check can have another; its value is not quoted.
        let unusable = |_| Failure::permanent("UnusableAddress", "the order's address is none that mail can be sent to");
        let outgoing = OutgoingMail {
            mail_id,
            to: order.customer.email.0.parse().map_err(unusable)?,
            mail: mails::mail(&event.event, &order)?.ok_or_else(|| not_for(Self::NAME, event))?,
            reply_to: Some(self.address.labelled(&order_id)),
            template,
            // RFC 3834: vacation responders must not answer.
            headers: vec![("Auto-Submitted".to_owned(), "auto-generated".to_owned())],
            // A hold that shipping has not heard of yet is missed: the mail is counted once too often.
            unpaid: matches!(&event.event, Event::OrderCancelled(cancelled) if cancelled.payment.is_none()),
        };
        self.mailer.send(&outgoing).await?;
        Ok(Reply::nothing())
    }
}

/// The name of the template that tells of `event`: also the end of the mail's id, so that an order causes each mail once.
fn template(event: &Event) -> Option<&'static str> {
    match event {
        Event::PaymentAuthorized(_) => Some("received"),
        Event::OrderShipped(_) => Some("shipped"),
        Event::OrderCancelled(_) => Some("cancelled"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
