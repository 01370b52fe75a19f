//! Requests and answers of the Stripe API, as HTTP has them.
//!
//! Called by `stripe.rs`, which knows what they mean. It refuses plain HTTP to any other machine, and follows no
//! redirect: neither may carry the key away.

use super::pace::Reached;
use crate::key::Secret;
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector as _, SharedHttpConnector},
        orchestrator::HttpRequest,
        result::ConnectorError,
    },
    http::Headers,
};
use aws_smithy_types::{body::SdkBody, byte_stream::ByteStream};
use http::{HeaderValue, Method, Uri, header, uri::Scheme};
use std::{net::IpAddr, str::FromStr, time::Duration};

/// The version of the API that this client was written against: the current one in Stripe's reference
/// (<https://docs.stripe.com/api/versioning>) when it was. Without the header an account's default decides, and so
/// a click on "upgrade". All that is used here has kept its shape since 2022-11-15, which brought `latest_charge`.
pub(super) const STRIPE_VERSION: &str = "2026-02-25.clover";

/// For a whole call that changes something, connecting and reading included: a confirmation waits for the card's issuer.
/// Two changes and a look (create, confirm, and the status where that was unclear) stay a second below the stage's budget
/// of 20 s, and the key is fetched in it.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(8);
/// For a whole call that only looks, which Stripe answers by itself.
const LOOK_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest answer that is read. A PaymentIntent has some 5 KB, and some 30 KB with all the metadata that Stripe allows
/// (<https://docs.stripe.com/api/metadata>: 50 values of 500 characters); what is longer is not Stripe's.
pub(super) const ANSWER_BYTES_MAX: usize = 128 * 1024;

/// How long calls may take. Connecting has the connector's own limit, [`lambda_kit::CONNECT_TIMEOUT`], and counts here too.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// A whole call that changes something, connecting included.
    pub change: Duration,
    /// A whole call that only looks.
    pub look: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { change: CHANGE_TIMEOUT, look: LOOK_TIMEOUT }
    }
}

/// Where the API is: `https://` and a host, or `http://` and this machine. No path, no query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    text: String,
    /// Whether it is the local stand-in: real Stripe answers no plain HTTP.
    pub(super) local: bool,
}

/// The text is no base URL that the key may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be https:// and a host, or http:// and a loopback address, without path or query")]
pub struct InvalidBaseUrl;

impl Default for BaseUrl {
    fn default() -> Self {
        Self { text: "https://api.stripe.com".into(), local: false }
    }
}

impl FromStr for BaseUrl {
    type Err = InvalidBaseUrl;
    fn from_str(text: &str) -> Result<Self, InvalidBaseUrl> {
        let uri: Uri = text.parse().map_err(|_| InvalidBaseUrl)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(InvalidBaseUrl)?;
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
        let local = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => false,
            Some(scheme) if *scheme == Scheme::HTTP && loopback => true,
            _ => return Err(InvalidBaseUrl),
        };
        let userinfo = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if userinfo || uri.path() != "/" || uri.query().is_some() {
            return Err(InvalidBaseUrl);
        }
        Ok(Self { text: text.trim_end_matches('/').to_owned(), local })
    }
}

/// An answer, of whatever status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Stripe's name for the request, which its support asks for.
    pub(super) request_id: Option<String>,
    /// Of a 429: whose limit was reached, and how long to wait where the answer says so.
    pub(super) limited: Option<(Reached, Option<Duration>)>,
    pub(super) body: Vec<u8>,
}

/// There is no answer, so the outcome is unknown.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error("no answer in time")]
    Timeout,
    #[error("more than {ANSWER_BYTES_MAX} bytes are no answer of Stripe's")]
    TooLong,
    #[error("no connection, or it broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the request cannot be put into HTTP")]
    Unsendable(#[source] http::Error),
}

/// A client of one API.
#[derive(Debug)]
pub(super) struct Http {
    connector: SharedHttpConnector,
    pub(super) base: BaseUrl,
    timeouts: Timeouts,
}

impl Http {
    pub(super) fn new(base: BaseUrl, timeouts: Timeouts) -> Self {
        Self::over(lambda_kit::connector(), base, timeouts)
    }

    pub(super) fn over(connector: SharedHttpConnector, base: BaseUrl, timeouts: Timeouts) -> Self {
        Self { connector, base, timeouts }
    }

    /// Opens a connection by asking for `/`, without a key. Whatever is answered, the connection stays for the calls.
    pub(super) async fn warm_up_request(&self) -> Result<(), NoAnswer> {
        let request = HttpRequest::get(format!("{}/", self.base.text)).map_err(|error| NoAnswer::Broken(error.into()))?;
        self.answer(request).await.map(|_| ())
    }

    /// Looks at `path_and_query`.
    pub(super) async fn get(&self, path_and_query: &str, secret: &Secret) -> Result<Answer, NoAnswer> {
        self.exchange(self.timeouts.look, Method::GET, path_and_query, secret, None, String::new()).await
    }

    /// Changes something. Answered from memory where `idempotency_key` was answered before.
    pub(super) async fn post(&self, path: &str, secret: &Secret, idempotency_key: &str, form: &[(&str, &str)]) -> Result<Answer, NoAnswer> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        self.exchange(self.timeouts.change, Method::POST, path, secret, Some(idempotency_key), body).await
    }

    async fn exchange(
        &self,
        limit: Duration,
        method: Method,
        path_and_query: &str,
        secret: &Secret,
        idempotency_key: Option<&str>,
        body: String,
    ) -> Result<Answer, NoAnswer> {
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {}", secret.expose())).map_err(|error| NoAnswer::Unsendable(error.into()))?;
        bearer.set_sensitive(true);
        let request = http::Request::builder().method(method).uri(format!("{}{path_and_query}", self.base.text));
        let request = request.header(header::AUTHORIZATION, bearer).header("stripe-version", STRIPE_VERSION);
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = match idempotency_key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        let request = request.body(SdkBody::from(body)).map_err(NoAnswer::Unsendable)?;
        let request = HttpRequest::try_from(request).map_err(|error| NoAnswer::Broken(error.into()))?;

        // The connector's own read time-out would end with the headers; this one holds for the body too. The connection of a call
        // that ends here is not used again: the connector sees to that (`lambda_kit::connector`), for no orchestrator does.
        tokio::time::timeout(limit, self.answer(request)).await.unwrap_or(Err(NoAnswer::Timeout))
    }

    /// The answer, read to its end: only then is the connection free for the next request.
    async fn answer(&self, request: HttpRequest) -> Result<Answer, NoAnswer> {
        let mut response = self.connector.call(request).await.map_err(broken)?;
        let request_id = response.headers().get("request-id").map(str::to_owned);
        let limited = (response.status().as_u16() == 429).then(|| limited(response.headers())).flatten();
        let (mut stream, mut body) = (ByteStream::new(response.take_body()), Vec::new());
        while let Some(chunk) = stream.try_next().await.map_err(|error| NoAnswer::Broken(error.into()))? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(NoAnswer::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status: response.status().as_u16(), request_id, limited, body })
    }
}

/// What a 429 says of a limit. Without Stripe's header no rate limiter sent it, but for example a lock that took too long
/// (<https://docs.stripe.com/rate-limits>); `resource-specific` is about one PaymentIntent, and no pace helps against it.
/// Stripe documents no `Retry-After`; what stands between us and Stripe may send one.
fn limited(headers: &Headers) -> Option<(Reached, Option<Duration>)> {
    let reached = match headers.get("stripe-rate-limited-reason")? {
        reason if reason.starts_with("global-") => Reached::Account,
        reason if reason.starts_with("endpoint-") => Reached::Endpoint,
        _ => return None,
    };
    let retry_after = headers.get("retry-after").and_then(|text| text.parse().ok()).map(Duration::from_secs);
    Some((reached, retry_after))
}

fn broken(error: ConnectorError) -> NoAnswer {
    if error.is_timeout() { NoAnswer::Timeout } else { NoAnswer::Broken(error.into()) }
}
