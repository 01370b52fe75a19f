//! `order`: places one order at the running stack, from a file or from flags, and follows it to its end.

use crate::story::{self, Seen, Teller, basket, money, money_of_provider, ordered};
use crate::{catalogue, demo};
use anyhow::{Context, Result, bail};
use clap::Args;
use console::interruption::unless_interrupted;
use console::machine::Repository;
use console::progress::bold;
use console::seed;
use console::state;
use domain::Currency;
use domain::line::QUANTITY_MAX;
use serde_json::Value;
use std::cell::OnceCell;
use std::path::PathBuf;
use std::time::Duration;
use testkit::stack::{Stack, State};

/// The longest that an order is followed: a day, after which order-deadline ends it.
pub const FOLLOW_SECONDS_MAX: u64 = 86_400;

#[derive(Args)]
pub struct Options {
    /// A file with the request's body, as in the README's example
    file: Option<PathBuf>,
    /// The items to order, as SKU=QUANTITY; may be given several times (MUG-BLUE=2)
    #[arg(short, long = "line", value_name = "SKU=QUANTITY", value_parser = line, conflicts_with = "file", required_unless_present = "file")]
    lines: Vec<(String, u32)>,
    /// ISO 4217 code in which the total is paid
    #[arg(long, default_value = "EUR", conflicts_with = "file", value_parser = catalogue::currency)]
    currency: Currency,
    /// How it is paid: pm_card_visa, or pm_card_chargeCustomerFail, which is declined
    #[arg(long, default_value = "pm_card_visa", conflicts_with = "file")]
    payment_method: String,
    /// Idempotency key, a UUID v4 or v7; the same key is the same order
    #[arg(long)]
    key: Option<String>,
    /// Ask for the order to be cancelled as soon as it is placed
    #[arg(long)]
    cancel: bool,
    /// How long to follow it; 0 only places it
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(0..=FOLLOW_SECONDS_MAX))]
    follow: u64,
}

/// A line of an order, as `SKU=QUANTITY`.
pub fn line(text: &str) -> Result<(String, u32), String> {
    let (sku, quantity) = text.split_once('=').unwrap_or((text, "1"));
    let number = quantity.parse().ok().filter(|number| (1..=QUANTITY_MAX).contains(number));
    let number = number.ok_or_else(|| format!("{quantity} is not in 1..={QUANTITY_MAX}: write for instance {sku}=2"))?;
    Ok((sku.to_owned(), number))
}

pub async fn run(repository: &Repository, options: Options) -> Result<()> {
    let state = state::require(repository)?;
    let key = options.key.clone().unwrap_or_else(testkit::shop::new_key);
    let order = match &options.file {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
            serde_json::from_str::<Value>(&text).with_context(|| format!("{} is not JSON", path.display()))?
        }
        None => {
            require_products(&state, &options.lines).await?;
            story::order(&key, &options.lines, options.currency.code(), &options.payment_method)
        }
    };
    // Known once it is placed.
    let placed = OnceCell::new();
    unless_interrupted(follow(repository, &state, &options, &key, &order, &placed), || goes_on(placed.get(), &key)).await
}

/// Wrong usage, where a product does not exist. Of a file the API says so itself.
async fn require_products(state: &State, lines: &[(String, u32)]) -> Result<()> {
    let rows = Stack::of(state.clone()).scan("CatalogueTable").await?;
    let mut known: Vec<String> = rows.iter().filter_map(|row| Some(row["sku"].as_str()?.to_owned())).collect();
    known.sort();
    match lines.iter().find(|(sku, _)| !known.contains(sku)) {
        Some((sku, _)) => Err(catalogue::unknown(sku, &known, "in the catalogue").into()),
        None => Ok(()),
    }
}

/// What is true when a signal ends the command.
fn goes_on(placed: Option<&String>, key: &str) -> String {
    match placed {
        Some(order) => format!("the order goes on: `cargo xtask show {order}` says how far it is"),
        None => format!("whether the order was placed is not known: the same order with `--key {key}` says so, and is not placed twice"),
    }
}

async fn follow(
    repository: &Repository,
    state: &State,
    options: &Options,
    key: &str,
    order: &Value,
    known: &OnceCell<String>,
) -> Result<()> {
    let mut teller = Teller::new("order", 0);
    let placed = story::place(&state.api_url, key, order).await?;
    let order_id = known.get_or_init(|| placed.order_id.clone());
    let lines: Vec<(String, u32)> = order["lines"].as_array().into_iter().flatten().filter_map(ordered).collect();
    let total = &placed.body["total"];
    let total = money(total["amount_minor"].as_i64().unwrap_or_default(), total["currency"].as_str().unwrap_or_default());
    let replayed = if placed.replayed { ", replayed" } else { "" };
    teller.say(&[&format!("POST /orders → 202{replayed}"), &basket(&lines, &seed::catalogue(repository)?), &total]);
    teller.say(&["order", order_id]);
    teller.say(&["idempotency key", key]);
    if options.cancel {
        story::cancel(&state.api_url, order_id).await?;
        teller.say(&["POST /orders/{order_id}/cancel → asked"]);
    }
    if options.follow == 0 {
        return Ok(());
    }
    let limit = Duration::from_secs(options.follow);
    let seen = story::follow(&state.api_url, order_id, &mut teller, limit, Seen::has_ended).await?;
    let charged = money_of_provider(demo::charged(state, order_id).await?, order["currency"].as_str().unwrap_or_default());
    teller.say(&[&bold(&format!("{}, charged {charged}", seen.status))]);
    if !seen.has_ended() {
        bail!("the order has not ended within {} s; see: cargo xtask logs --order {order_id}", options.follow);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_sku_and_a_quantity() {
        assert_eq!(line("MUG-BLUE=2"), Ok(("MUG-BLUE".into(), 2)));
        assert_eq!(line("TEAPOT"), Ok(("TEAPOT".into(), 1)));
        for bad in ["TEAPOT=many", "TEAPOT=0", "TEAPOT=1001", "TEAPOT=-1", "TEAPOT="] {
            let error = line(bad).unwrap_err();
            assert!(error.contains("is not in 1..=1000") && error.contains("TEAPOT=2"), "{bad}: {error}");
        }
    }

    #[test]
    fn an_interrupted_order_is_said_to_go_on() {
        let placed = goes_on(Some(&"fe08".to_owned()), "key");
        assert!(placed.contains("the order goes on") && placed.contains("cargo xtask show fe08"), "{placed}");
        let unknown = goes_on(None, "key");
        assert!(unknown.contains("not known") && unknown.contains("--key key"), "{unknown}");
    }
}
