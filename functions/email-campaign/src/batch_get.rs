//! BatchGetItem until nothing is left out.
//!
//! The ledger and the recipients are read by it. It does not give half an answer: a key that DynamoDB left out would look
//! like an unknown customer.

use aws_sdk_dynamodb::{
    Client,
    types::{KeysAndAttributes, builders::KeysAndAttributesBuilder},
};
use lambda_kit::{
    Ambient, Failure,
    dynamodb::{Item, failure},
};
use std::{collections::HashMap, time::Duration};

/// Most calls for one question, the first included. DynamoDB leaves keys out when it throttles; with the waits below this is
/// a third of a second at most.
const CALLS_MAX: u32 = 6;
/// The longest wait before the second call; it doubles with each further one. The wait is a random part of it (full jitter).
const WAIT: Duration = Duration::from_millis(10);

/// The items of the tables in `request`, by table.
///
/// # Errors
/// Transient where a call failed, or keys were left out again and again.
pub async fn batch_get<const N: usize>(
    client: &Client,
    request: [(&str, KeysAndAttributesBuilder); N],
    ambient: &impl Ambient,
) -> Result<HashMap<String, Vec<Item>>, Failure> {
    let unaskable = |error| Failure::bug("InvalidRequest", "BatchGetItem cannot be asked").caused_by(error);
    let ask = |(table, keys): (&str, KeysAndAttributesBuilder)| Ok((table.to_owned(), keys.build().map_err(unaskable)?));
    let mut left: HashMap<String, KeysAndAttributes> = request.into_iter().map(ask).collect::<Result<_, Failure>>()?;
    let mut found: HashMap<String, Vec<Item>> = HashMap::new();
    for call in 0..CALLS_MAX {
        if call > 0 {
            tokio::time::sleep(jitter(WAIT, call - 1, ambient)).await;
        }
        let output = client.batch_get_item().set_request_items(Some(left)).send().await.map_err(|error| failure("BatchGetItem", error))?;
        for (table, items) in output.responses.unwrap_or_default() {
            found.entry(table).or_default().extend(items);
        }
        left = output.unprocessed_keys.unwrap_or_default();
        left.retain(|_, keys| !keys.keys.is_empty());
        if left.is_empty() {
            return Ok(found);
        }
    }
    Err(Failure::transient("UnprocessedKeys", format_args!("BatchGetItem left keys out {CALLS_MAX} times")))
}

/// A wait between nothing and `base` doubled `retry` times.
pub fn jitter(base: Duration, retry: u32, ambient: &impl Ambient) -> Duration {
    let longest_us = base.saturating_mul(1 << retry.min(16)).as_micros();
    Duration::from_micros(u64::try_from(u128::from(ambient.random()) % (longest_us + 1)).unwrap_or_default())
}
