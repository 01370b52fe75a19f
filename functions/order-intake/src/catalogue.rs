//! Prices: the port, the catalogue table behind it, and the cache before that.
//!
//! [`OrderIntake`](crate::OrderIntake) asks for all SKUs of an order at once. It does not price anything: it only knows
//! what one unit costs.

use aws_sdk_dynamodb::{
    Client,
    error::BuildError,
    types::{AttributeValue, KeysAndAttributes},
};
use domain::{Currency, Sku, Timestamp};
use lambda_kit::{
    Ambient, Failure,
    dynamodb::{failure, record_of_many},
};
use serde::Deserialize;
use std::{cell::RefCell, collections::HashMap, time::Duration};

/// How long a price is believed, in seconds. A change of price is seen by all within a minute, and a shop sells the same
/// few things so often that a minute saves nearly every read.
pub const PRICE_TTL_S: i64 = 60;
/// Most prices that are kept. At some 150 bytes each they stay below a megabyte.
pub const PRICES_MAX: usize = 5_000;
/// Most calls for one order, the first included. DynamoDB leaves keys out when it throttles; with the waits below this is
/// a third of a second at most, and a caller without an answer by then is better told to come back.
pub const CALLS_MAX: u32 = 6;
/// The longest wait before the second call; it doubles with each further one. The wait is a random part of it (full
/// jitter), so that throttled callers do not come back together.
const WAIT: Duration = Duration::from_millis(10);

/// The price of one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Price {
    /// In minor units.
    pub unit_price_minor: u64,
    /// Of this currency.
    pub currency: Currency,
}

/// The products and prices.
pub trait Catalogue {
    /// The prices of those of `skus`, at most 50 different ones, that are in the catalogue.
    async fn prices(&self, skus: &[Sku]) -> Result<HashMap<Sku, Price>, Failure>;
}

/// A catalogue that remembers prices for [`PRICE_TTL_S`].
///
/// It does not remember that a SKU is unknown: what is added to the catalogue must sell at once, and anybody could fill
/// the memory with SKUs that do not exist.
#[derive(Debug)]
pub struct Cached<C, A> {
    catalogue: C,
    ambient: A,
    known: RefCell<HashMap<Sku, (Price, Timestamp)>>,
}

impl<C, A: Ambient> Cached<C, A> {
    /// Remembers what `catalogue` says.
    pub fn new(catalogue: C, ambient: A) -> Self {
        Self { catalogue, ambient, known: RefCell::default() }
    }

    fn fresh(&self, learnt_at: Timestamp) -> bool {
        self.ambient.now().duration_since(learnt_at).as_secs() < PRICE_TTL_S
    }

    fn remember(&self, prices: &HashMap<Sku, Price>) {
        let now = self.ambient.now();
        let mut known = self.known.borrow_mut();
        if known.len() + prices.len() > PRICES_MAX {
            known.retain(|_, (_, learnt_at)| self.fresh(*learnt_at));
        }
        if known.len() + prices.len() > PRICES_MAX {
            // So many different SKUs within a minute: forgetting them all costs one read each, choosing costs more code.
            known.clear();
        }
        known.extend(prices.iter().map(|(sku, price)| (sku.clone(), (*price, now))));
    }
}

impl<C: Catalogue, A: Ambient> Catalogue for Cached<C, A> {
    async fn prices(&self, skus: &[Sku]) -> Result<HashMap<Sku, Price>, Failure> {
        let mut prices = HashMap::new();
        let mut missing = Vec::new();
        for sku in skus {
            match self.known.borrow().get(sku) {
                Some((price, learnt_at)) if self.fresh(*learnt_at) => drop(prices.insert(sku.clone(), *price)),
                _ => missing.push(sku.clone()),
            }
        }
        if !missing.is_empty() {
            let learnt = self.catalogue.prices(&missing).await?;
            self.remember(&learnt);
            prices.extend(learnt);
        }
        Ok(prices)
    }
}

/// The partition key of the catalogue table, which is also what a failure names a row by.
const KEY: &str = "sku";

/// The catalogue table.
#[derive(Debug)]
pub struct CatalogueTable<A> {
    client: Client,
    name: String,
    ambient: A,
}

#[derive(Deserialize)]
struct Row {
    sku: Sku,
    unit_price_minor: u64,
    currency: Currency,
}

impl<A: Ambient> CatalogueTable<A> {
    /// A handle on the table `name`. Randomness is for the waits between calls.
    pub fn new(client: Client, name: impl Into<String>, ambient: A) -> Self {
        Self { client, name: name.into(), ambient }
    }

    fn keys(skus: &[Sku]) -> Result<KeysAndAttributes, BuildError> {
        let key = |sku: &Sku| HashMap::from([(KEY.to_owned(), AttributeValue::S(sku.to_string()))]);
        // Names stand apart from the expression, so that none can ever be a reserved word.
        let names = [("#s", KEY), ("#p", "unit_price_minor"), ("#c", "currency")].map(|(short, name)| (short.to_owned(), name.to_owned()));
        KeysAndAttributes::builder()
            .set_keys(Some(skus.iter().map(key).collect()))
            .projection_expression("#s, #p, #c")
            .set_expression_attribute_names(Some(HashMap::from(names)))
            .build()
    }

    async fn wait(&self, calls: u32) {
        let longest_us = WAIT.saturating_mul(1 << (calls - 1)).as_micros();
        let wait_us = u128::from(self.ambient.random()) % longest_us.max(1);
        tokio::time::sleep(Duration::from_micros(u64::try_from(wait_us).unwrap_or_default())).await;
    }
}

impl<A: Ambient> Catalogue for CatalogueTable<A> {
    /// One BatchGetItem, and more for what DynamoDB leaves out, up to [`CALLS_MAX`]. Eventually consistent: the cache
    /// before it is older than any replica.
    async fn prices(&self, skus: &[Sku]) -> Result<HashMap<Sku, Price>, Failure> {
        let mut prices = HashMap::with_capacity(skus.len());
        let mut keys = Self::keys(skus).map_err(|error| Failure::bug("InvalidRequest", "BatchGetItem cannot be asked").caused_by(error))?;
        for calls in 0..CALLS_MAX {
            if calls > 0 {
                self.wait(calls).await;
            }
            let sent = self.client.batch_get_item().request_items(&self.name, keys).send().await;
            let output = sent.map_err(|error| failure("BatchGetItem", error))?;
            for item in output.responses.into_iter().flat_map(HashMap::into_values).flatten() {
                let Row { sku, unit_price_minor, currency } = record_of_many(item, KEY)?;
                prices.insert(sku, Price { unit_price_minor, currency });
            }
            match output.unprocessed_keys.into_iter().flat_map(HashMap::into_values).find(|left_out| !left_out.keys.is_empty()) {
                None => return Ok(prices),
                Some(left_out) => keys = left_out,
            }
        }
        Err(Failure::transient("UnprocessedKeys", format!("BatchGetItem left keys out {CALLS_MAX} times")))
    }
}
