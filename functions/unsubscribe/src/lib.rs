//! `unsubscribe`: the targets of the signed links in mails. `GET` and `POST /unsubscribe/{token}` end a consent to marketing
//! mail, `GET` and `POST /confirm/{token}` confirm one.
//!
//! `main.rs` wires it behind the HTTP API. A `GET` shows a page with one button. The button sends the `POST` that changes the
//! record, and so does a mail program's one-click unsubscribe (RFC 8058). A `GET` changes nothing, because
//! scanners follow every link of a mail before its reader sees it. Both links are in this function and not in the sign-up
//! function, which parses input from the public: that function has neither the key nor the permission.

mod pages;

use domain::{CustomerId, Timestamp};
use lambda_kit::{
    Ambient, Failure,
    dynamodb::DynamoDb,
    http::{Refused, Request, Response},
    secrets::SecretStore,
};
use mailer::{
    confirmation::Question,
    unsubscribe::{CachedLinkKey, LinkKey},
};

/// The function's operations on customers.
pub trait Customers {
    /// Notes that the customer wants no more marketing mail, and says whether there is such a customer: one conditional
    /// write.
    async fn unsubscribe(&self, id: &CustomerId, now: Timestamp) -> Result<bool, Failure>;
    /// Notes that the customer confirms the consent that was asked for at `asked_at`, and says whether the consent stands: one
    /// conditional write.
    async fn confirm(&self, id: &CustomerId, asked_at: Timestamp, now: Timestamp) -> Result<bool, Failure>;
}

impl<D: DynamoDb> Customers for pipeline::customers::Customers<D> {
    async fn unsubscribe(&self, id: &CustomerId, now: Timestamp) -> Result<bool, Failure> {
        self.unsubscribe(id, now).await
    }
    async fn confirm(&self, id: &CustomerId, asked_at: Timestamp, now: Timestamp) -> Result<bool, Failure> {
        self.confirm(id, asked_at, now).await
    }
}

/// The function.
#[derive(Debug)]
pub struct Unsubscribe<V, C, A> {
    /// The key that signed the links.
    pub key: CachedLinkKey<V>,
    /// Where customers are kept.
    pub customers: C,
    /// The clock.
    pub ambient: A,
}

#[derive(Clone, Copy)]
enum Link {
    Unsubscribe,
    Confirm,
}
#[derive(Clone, Copy)]
enum Step {
    Show,
    Answer,
}
const ROUTES: &[(&str, &str, (Link, Step))] = &[
    ("GET", "/unsubscribe/{token}", (Link::Unsubscribe, Step::Show)),
    ("POST", "/unsubscribe/{token}", (Link::Unsubscribe, Step::Answer)),
    ("GET", "/confirm/{token}", (Link::Confirm, Step::Show)),
    ("POST", "/confirm/{token}", (Link::Confirm, Step::Answer)),
];

impl<V: SecretStore, C: Customers, A: Ambient> Unsubscribe<V, C, A> {
    /// Answers a request, by a page. The body of a POST is not read: that it was sent to a link which only the mail's reader
    /// has says all, and mail programs differ in how they write `List-Unsubscribe=One-Click`.
    ///
    /// # Errors
    /// The problem that the caller gets, or the failure that the operator reads.
    pub async fn handle(&self, request: &Request) -> Result<Response, Refused> {
        let ((link, step), path) = request.route(ROUTES)?;
        let token = path.first().copied().unwrap_or_default();
        let key = self.key.get().await?;
        match link {
            Link::Unsubscribe => self.unsubscribe(request, step, token, &key).await,
            Link::Confirm => self.confirm(request, step, token, &key).await,
        }
    }

    async fn unsubscribe(&self, request: &Request, step: Step, token: &str, key: &LinkKey) -> Result<Response, Refused> {
        // A forged link and a customer who is gone look the same: what is wrong with a link is no stranger's business.
        let Some(customer_id) = key.verify(token) else { return Ok(pages::unknown()) };
        request.about_customer(customer_id);
        Ok(match step {
            // Without a look at the customer: showing a button reads nothing, so that the role needs no permission to read.
            Step::Show => pages::ask_to_unsubscribe(),
            Step::Answer if self.customers.unsubscribe(&customer_id, self.ambient.now()).await? => pages::unsubscribed(),
            Step::Answer => pages::unknown(),
        })
    }

    async fn confirm(&self, request: &Request, step: Step, token: &str, key: &LinkKey) -> Result<Response, Refused> {
        // Forged, expired, overtaken by an unsubscribing, of a customer who is gone: one page for all. A link that was used is
        // answered as it was then, as long as its consent stands: the click may be one whose answer was lost.
        let now = self.ambient.now();
        let Some(Question { customer_id, asked_at }) = Question::verify(token, key, now) else { return Ok(pages::unconfirmed()) };
        request.about_customer(customer_id);
        Ok(match step {
            Step::Show => pages::ask_to_confirm(),
            Step::Answer if self.customers.confirm(&customer_id, asked_at, now).await? => pages::confirmed(),
            Step::Answer => pages::unconfirmed(),
        })
    }
}

#[cfg(test)]
mod tests;
