//! `unsubscribe`: `GET` and `POST /unsubscribe/{token}`, the link in each marketing mail.
//!
//! `main.rs` wires it behind the HTTP API. Reading the link shows a page with one button; the button, and the mail program's
//! own (RFC 8058, one click), send the POST that ends marketing mail. It refuses to change anything on a GET, because
//! scanners follow every link of a mail before its reader sees it.

mod pages;

use domain::{CustomerId, Timestamp};
use lambda_kit::{
    Ambient, Failure,
    dynamodb::DynamoDb,
    http::{Refused, Request, Response},
    secrets::Vault,
};
use mailer::unsubscribe::CachedLinkKey;

/// What the function may do with customers.
pub trait Customers {
    /// Notes that the customer wants no more marketing mail, and says whether there is such a customer: one conditional
    /// write.
    async fn unsubscribe(&self, id: &CustomerId, now: Timestamp) -> Result<bool, Failure>;
}

impl<D: DynamoDb> Customers for pipeline::customers::Customers<D> {
    async fn unsubscribe(&self, id: &CustomerId, now: Timestamp) -> Result<bool, Failure> {
        self.unsubscribe(id, now).await
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
enum Route {
    Show,
    End,
}
const ROUTES: &[(&str, &str, Route)] = &[("GET", "/unsubscribe/{token}", Route::Show), ("POST", "/unsubscribe/{token}", Route::End)];

impl<V: Vault, C: Customers, A: Ambient> Unsubscribe<V, C, A> {
    /// Answers a request, by a page. The body of a POST is not read: that it was sent to a link which only the mail's reader
    /// has says all, and mail programs differ in how they write `List-Unsubscribe=One-Click`.
    ///
    /// # Errors
    /// The problem that the caller gets, or the failure that the operator reads.
    pub async fn handle(&self, request: &Request) -> Result<Response, Refused> {
        let (route, path) = request.route(ROUTES)?;
        let token = path.first().copied().unwrap_or_default();
        // A forged link and a customer who is gone look the same: what is wrong with a link is no stranger's business.
        let Some(customer_id) = self.key.get().await?.verify(token) else { return Ok(pages::unknown()) };
        request.about_customer(customer_id);
        Ok(match route {
            // Without a look at the customer: showing a button reads nothing, so that the role needs no right to read.
            Route::Show => pages::ask(),
            Route::End if self.customers.unsubscribe(&customer_id, self.ambient.now()).await? => pages::done(),
            Route::End => pages::unknown(),
        })
    }
}

#[cfg(test)]
mod tests;
