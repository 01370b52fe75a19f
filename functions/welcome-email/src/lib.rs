//! `welcome-email`: welcomes who has signed up.
//!
//! `main.rs` wires it behind its queue. One read finds the customer and the address, for no event carries one; the
//! [`Mailer`] sees to it that the mail goes out once. It refuses to welcome anybody a day late: an event older than
//! [`MAIL_AGE_MAX`](mailer::MAIL_AGE_MAX) is only logged. It announces nothing.

mod mails;
pub mod samples;

use domain::{CloudEvent, Customer, CustomerId, Event};
use lambda_kit::{Ambient, Failure, dynamodb::DynamoDb, message::Delivery};
use mailer::{Ledger, Letter, Mailer, Sender, TOO_OLD, too_old};
use pipeline::{Reply, Stage, customer_id, not_for};

/// The template's name, and the end of the mail's id: a customer is welcomed once, however often the form is sent.
const TEMPLATE: &str = "welcome";

/// What the function may do with customers.
pub trait Customers {
    /// The customer as it is now: one strongly consistent read.
    async fn find(&self, id: &CustomerId) -> Result<Option<Customer>, Failure>;
}

impl<D: DynamoDb> Customers for pipeline::customers::Customers<D> {
    async fn find(&self, id: &CustomerId) -> Result<Option<Customer>, Failure> {
        self.find(id).await
    }
}

/// The stage.
#[derive(Debug)]
pub struct WelcomeEmail<C, L, S, A> {
    /// The customers.
    pub customers: C,
    /// What sends the mail once. Its clock is the stage's.
    pub mailer: Mailer<L, S, A>,
}

impl<C: Customers, L: Ledger, S: Sender, A: Ambient> Stage for WelcomeEmail<C, L, S, A> {
    const NAME: &'static str = "welcome-email";

    async fn handle(&self, event: &CloudEvent, _: &Delivery) -> Result<Reply, Failure> {
        let Event::CustomerSignedUp(_) = &event.event else { return Err(not_for(Self::NAME, event)) };
        let customer_id = customer_id(event)?;
        let mail_id = format!("{customer_id}/{TEMPLATE}");
        if too_old(event.time, self.mailer.ambient.now()) {
            mailer::log(TOO_OLD, TEMPLATE, &mail_id);
            return Ok(Reply::nothing());
        }
        // Sign-up stores a customer before anyone hears of one, and the read is strongly consistent: who is not there now
        // was deleted, and no retry brings him back. Parking it says so at once, with the reason beside it.
        let unknown = || Failure::permanent("UnknownCustomer", "there is no customer of this id to welcome");
        let customer = self.customers.find(&customer_id).await?.ok_or_else(unknown)?;
        let letter = Letter {
            mail_id,
            mail: mails::welcome(&customer)?,
            to: customer.email,
            reply_to: None,
            template: TEMPLATE,
            // RFC 3834: vacation responders must not answer.
            headers: vec![("Auto-Submitted".to_owned(), "auto-generated".to_owned())],
            unpaid: true, // a form is sent for nothing, with anybody's address
        };
        self.mailer.send(&letter).await?;
        Ok(Reply::nothing())
    }
}

#[cfg(test)]
mod tests;
