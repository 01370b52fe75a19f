//! `welcome-email`: welcomes a new customer, and asks the owner of an address to confirm a consent to marketing mail.
//!
//! `main.rs` wires it behind its queue. One read finds the customer, the address and the question, because no event carries
//! them. The [`Mailer`] sends each mail once. If the customer asked for marketing mail at the first sign-up, the welcome mail
//! contains the question; a later yes gets a mail of its own. The question is a link that `unsubscribe` handles, and neither
//! mail contains marketing. Old news is not mailed: an event older than [`MAIL_AGE_MAX`](mailer::MAIL_AGE_MAX) is only
//! logged. The function publishes no events.

pub mod links;
mod mails;
pub mod samples;

use domain::{CloudEvent, Customer, CustomerId, Event};
use lambda_kit::{Ambient, Failure, dynamodb::DynamoDb, message::Delivery};
use links::Links;
use mailer::{Ledger, Mail, Mailer, OutgoingMail, Sender, TOO_OLD, confirmation::Question, too_old};
use mails::Asking;
use pipeline::{Reply, Stage, customer_id, not_for};

/// The template's name, and the end of the mail's id: a customer is welcomed once, however often the form is sent.
const WELCOME: &str = "welcome";
/// The template's name, in the mail's id before the time of the asking: each asking is mailed once, and sign-up records one a day
/// at most.
const CONFIRM: &str = "confirm";

/// The function's operations on customers.
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
pub struct WelcomeEmail<C, K, L, S, A> {
    /// The customers.
    pub customers: C,
    /// What makes the links that confirm.
    pub links: K,
    /// What sends the mail once. Its clock is the stage's.
    pub mailer: Mailer<L, S, A>,
}

impl<C: Customers, K: Links, L: Ledger, S: Sender, A: Ambient> Stage for WelcomeEmail<C, K, L, S, A> {
    const NAME: &'static str = "welcome-email";

    async fn handle(&self, event: &CloudEvent, _: &Delivery) -> Result<Reply, Failure> {
        let Event::CustomerSignedUp(_) = &event.event else { return Err(not_for(Self::NAME, event)) };
        let customer_id = customer_id(event)?;
        let now = self.mailer.ambient.now();
        let is_new = !too_old(event.time, now);
        // Sign-up stores a customer before anyone hears of one, and the read is strongly consistent: who is not there now
        // was deleted, and no retry brings him back. Parking it says so at once, with the reason beside it.
        let customer = match self.customers.find(&customer_id).await? {
            Some(customer) => Some(customer),
            None if is_new => return Err(Failure::permanent("UnknownCustomer", "there is no customer of this id to welcome")),
            None => None,
        };
        let asked = customer.as_ref().and_then(Customer::open_question).filter(|asked| !too_old(*asked, now));
        let question = asked.map(|asked_at| Question { customer_id, asked_at });
        match customer {
            Some(customer) if is_new || question.is_some() => self.mail(customer, is_new, question).await?,
            _ => mailer::log(TOO_OLD, WELCOME, &format!("{customer_id}/{WELCOME}")),
        }
        Ok(Reply::nothing())
    }
}

impl<C, K: Links, L: Ledger, S: Sender, A: Ambient> WelcomeEmail<C, K, L, S, A> {
    /// Sends the mails that are due: the welcome, the question, or one mail that is both.
    async fn mail(&self, customer: Customer, is_new: bool, question: Option<Question>) -> Result<(), Failure> {
        let asking = match question {
            Some(question) => Some(Asking::new(self.links.confirmation(&question).await?, &question)),
            None => None,
        };
        // Asked by the first sign-up and not again since: one mail is enough.
        let welcome_asks = customer.asked_at_sign_up && customer.consent_asked_at == Some(customer.signed_up_at);
        if is_new {
            let mail = mails::welcome(&customer, asking.clone().filter(|_| welcome_asks))?;
            self.send(&customer, WELCOME, format!("{}/{WELCOME}", customer.customer_id), mail).await?;
        }
        if let (Some(asking), Some(question), false) = (asking, question, welcome_asks) {
            let mail = mails::confirm(&customer, asking)?;
            self.send(&customer, CONFIRM, format!("{}/{CONFIRM}/{}", customer.customer_id, question.asked_at), mail).await?;
        }
        Ok(())
    }

    async fn send(&self, customer: &Customer, template: &'static str, mail_id: String, mail: Mail) -> Result<(), Failure> {
        let outgoing = OutgoingMail {
            mail_id,
            mail,
            to: customer.email.clone(),
            reply_to: None,
            template,
            // RFC 3834: vacation responders must not answer.
            headers: vec![("Auto-Submitted".to_owned(), "auto-generated".to_owned())],
            unpaid: true, // a form is sent for nothing, with anybody's address
        };
        self.mailer.send(&outgoing).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
