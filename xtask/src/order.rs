//! `order`: places one order at the running stack, from a file or from flags, and follows it to its end.

use crate::machine::Repository;
use crate::progress::bold;
use crate::state;
use crate::story::{self, Seen, Teller, basket, money, money_of_provider};
use crate::{demo, seed};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Args)]
pub struct Options {
    /// A file with the request's body, as in the README's example
    file: Option<PathBuf>,
    /// What to order, as SKU=QUANTITY; may be given several times (MUG-BLUE=2)
    #[arg(short, long = "line", value_name = "SKU=QUANTITY", value_parser = line, conflicts_with = "file", required_unless_present = "file")]
    lines: Vec<(String, u32)>,
    /// ISO 4217 code in which the total is paid
    #[arg(long, default_value = "EUR", conflicts_with = "file")]
    currency: String,
    /// How it is paid: pm_card_visa, or pm_card_chargeCustomerFail, which is declined
    #[arg(long, default_value = "pm_card_visa", conflicts_with = "file")]
    payment_method: String,
    /// Idempotency key, a UUID v4 or v7; the same key is the same order
    #[arg(long)]
    key: Option<String>,
    /// Ask for the order to be cancelled as soon as it is placed
    #[arg(long)]
    cancel: bool,
    /// How long to follow it
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    follow: u64,
}

/// A line of an order, as `SKU=QUANTITY`.
pub fn line(text: &str) -> Result<(String, u32), String> {
    let (sku, quantity) = text.split_once('=').unwrap_or((text, "1"));
    let quantity = quantity.parse().map_err(|_| format!("{quantity} is not a quantity: write for instance {sku}=2"))?;
    Ok((sku.to_owned(), quantity))
}

pub async fn run(repository: &Repository, options: Options) -> Result<()> {
    let state = state::require(repository)?;
    let key = options.key.unwrap_or_else(testkit::shop::new_key);
    let order = match &options.file {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
            serde_json::from_str::<Value>(&text).with_context(|| format!("{} is not JSON", path.display()))?
        }
        None => story::order(&key, &options.lines, &options.currency, &options.payment_method),
    };
    let mut teller = Teller::new("order", 0);
    let placed = story::place(&state.api_url, &key, &order).await?;
    let lines: Vec<(String, u32)> = order["lines"].as_array().into_iter().flatten().filter_map(ordered).collect();
    let total = &placed.body["total"];
    let total = money(total["amount_minor"].as_i64().unwrap_or_default(), total["currency"].as_str().unwrap_or_default());
    let replayed = if placed.replayed { ", replayed" } else { "" };
    teller.say(&format!("POST /orders → 202{replayed}  {}, {total}", basket(&lines, &seed::catalogue(repository)?)));
    teller.say(&format!("order {} · idempotency key {key}", placed.order_id));
    if options.cancel {
        story::cancel(&state.api_url, &placed.order_id).await?;
        teller.say("POST /orders/{order_id}/cancel → asked");
    }
    let limit = Duration::from_secs(options.follow);
    let seen = story::follow(&state.api_url, &placed.order_id, &mut teller, limit, Seen::has_ended).await?;
    let charged = money_of_provider(demo::charged(&state, &placed.order_id).await?, order["currency"].as_str().unwrap_or_default());
    teller.say(&bold(&format!("{}, charged {charged}", seen.status)));
    if !seen.has_ended() {
        bail!("the order has not ended within {} s; look with: cargo xtask status, cargo xtask logs shipping", options.follow);
    }
    Ok(())
}

fn ordered(line: &Value) -> Option<(String, u32)> {
    Some((line["sku"].as_str()?.to_owned(), line["quantity"].as_u64()?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_sku_and_a_quantity() {
        assert_eq!(line("MUG-BLUE=2"), Ok(("MUG-BLUE".into(), 2)));
        assert_eq!(line("TEAPOT"), Ok(("TEAPOT".into(), 1)));
        assert!(line("TEAPOT=many").unwrap_err().contains("TEAPOT=2"));
    }
}
