//! `catalogue`: the products that can be ordered and their prices, here or on AWS; and here, a new one or another price.

use crate::rows;
use crate::story::money;
use anyhow::Result;
use clap::Args;
use command_line::screen::{Layout, table, width};
use console::machine::Repository;
use console::progress::{bold, dim};
use console::seed::{CatalogueItem, sellable};
use console::state;
use console::usage::Usage;
use dlq_inspector::nearest::did_you_mean;
use domain::money::AMOUNT_MINOR_MAX;
use domain::{Currency, Sku};
use operate::deployed::Target;
use serde_json::{Value, json};
use testkit::stack::Stack;

#[derive(Args)]
pub struct Options {
    /// This product alone
    sku: Option<Sku>,
    /// Its name
    #[arg(long, requires = "sku", conflicts_with = "stack", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// The price of one, in minor units: 1200 are 12.00 EUR
    #[arg(long, value_name = "N", requires = "sku", conflicts_with = "stack", value_parser = clap::value_parser!(u64).range(0..=AMOUNT_MINOR_MAX))]
    price_minor: Option<u64>,
    /// The ISO 4217 code of the price's currency; EUR for a new product
    #[arg(long, value_name = "CODE", requires = "sku", conflicts_with = "stack", value_parser = currency)]
    currency: Option<Currency>,
    #[command(flatten)]
    target: Target,
}

/// A currency by its code, in any case.
pub fn currency(text: &str) -> Result<Currency, String> {
    Currency::from_code(&text.to_ascii_uppercase()).ok_or_else(|| format!("{text} is no ISO 4217 code: write for instance EUR"))
}

impl Options {
    pub fn writes(&self) -> bool {
        self.name.is_some() || self.price_minor.is_some() || self.currency.is_some()
    }
}

pub async fn run(repository: &Repository, options: &Options) -> Result<()> {
    if let Some(sku) = options.sku.as_ref().filter(|_| options.writes()) {
        let stack = Stack::of(state::require(repository)?);
        let known = stack.item("CatalogueTable", "sku", sku.as_str()).await?;
        stack.put("CatalogueTable", changed(sku, known.as_ref(), options)?).await?;
    }
    let all = rows::of(repository, &options.target, "CatalogueTable", options.sku.as_ref()).await?;
    let remark = all.remark();
    let rows = chosen(all.rows, options.sku.as_ref(), "in the catalogue")?;
    for (at, line) in lines(&rows, width(&std::io::stdout())).into_iter().enumerate() {
        println!("{}", if at == 0 { bold(&line) } else { line });
    }
    if rows.is_empty() {
        println!("{}", dim("The catalogue is empty. `cargo xtask catalogue SKU --name NAME --price-minor 1200` adds a product."));
    }
    if let Some(remark) = remark {
        println!("{}", dim(&remark));
    }
    Ok(())
}

/// The row as it shall be, in DynamoDB's own JSON: what is not said stays.
fn changed(sku: &Sku, known: Option<&Value>, options: &Options) -> Result<Value> {
    let known = known.cloned().unwrap_or_default();
    let text = |field: &str| known[field].as_str().map(str::to_owned);
    let missing = |flag: &str| Usage(format!("{} is not in the catalogue yet: say {flag} as well", sku.as_str()));
    let name = options.name.clone().or_else(|| text("name")).ok_or_else(|| missing("--name"))?;
    let price = options.price_minor.or_else(|| known["unit_price_minor"].as_u64()).ok_or_else(|| missing("--price-minor"))?;
    let currency = options.currency.map(|it| it.code().to_owned()).or_else(|| text("currency")).unwrap_or_else(|| "EUR".to_owned());
    let item = CatalogueItem { sku: sku.as_str().to_owned(), name, unit_price_minor: price, currency };
    sellable(&item).map_err(|why| Usage(format!("{} cannot be sold: {why}", sku.as_str())))?;
    let CatalogueItem { sku, name, unit_price_minor, currency } = item;
    let price = json!({"N": unit_price_minor.to_string()});
    Ok(json!({"sku": {"S": sku}, "name": {"S": name}, "unit_price_minor": price, "currency": {"S": currency}}))
}

/// The row of the product that was named, or all of them.
pub fn chosen(mut rows: Vec<Value>, sku: Option<&Sku>, place: &str) -> Result<Vec<Value>> {
    let Some(sku) = sku else { return Ok(rows) };
    let known: Vec<String> = rows.iter().filter_map(|row| Some(row["sku"].as_str()?.to_owned())).collect();
    rows.retain(|row| row["sku"] == sku.as_str());
    if rows.is_empty() { Err(unknown(sku.as_str(), &known, place).into()) } else { Ok(rows) }
}

/// The sentence that a product does not exist, with what does.
pub fn unknown(sku: &str, known: &[String], place: &str) -> Usage {
    /// As many as can be taken in at a glance.
    const NAMED_MAX: usize = 20;
    let more = if known.len() > NAMED_MAX { format!(", and {} more", known.len() - NAMED_MAX) } else { String::new() };
    let named: Vec<&str> = known.iter().take(NAMED_MAX).map(String::as_str).collect();
    let near = did_you_mean(sku, known.iter().map(String::as_str));
    Usage(format!("{sku} is not {place}.{near} There are: {}{more}", named.join(", ")))
}

fn lines(rows: &[Value], width: Option<usize>) -> Vec<String> {
    let head = ["SKU", "PRICE", "NAME"].map(str::to_owned);
    let row = |row: &Value| {
        let text = |field: &str| row[field].as_str().unwrap_or("?").to_owned();
        [text("sku"), money(row["unit_price_minor"].as_i64().unwrap_or_default(), &text("currency")), text("name")]
    };
    let rows: Vec<_> = std::iter::once(head).chain(rows.iter().map(row)).collect();
    table(&rows, Layout { numbers: &[1], flexible: &[2, 0], width })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::read;

    fn options(line: &str) -> Options {
        read(line).unwrap()
    }

    fn row() -> Value {
        json!({"sku": "MUG-BLUE", "name": "Blue mug", "unit_price_minor": 1200, "currency": "EUR"})
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let sku: Sku = "MUG-BLUE".parse().unwrap();
        let row = row();
        let changed_row = changed(&sku, Some(&row), &options("MUG-BLUE --price-minor 1300")).unwrap();
        assert_eq!((&changed_row["name"]["S"], &changed_row["unit_price_minor"]["N"]), (&json!("Blue mug"), &json!("1300")));
        let error = changed(&sku, None, &options("MUG-BLUE --price-minor 1300")).unwrap_err();
        assert!(error.is::<Usage>() && error.to_string().contains("--name"), "{error}");
        let new = changed(&sku, None, &options("MUG-BLUE --name Mug --price-minor 5 --currency usd")).unwrap();
        assert_eq!(new["currency"]["S"], "USD");
        let error = changed(&sku, Some(&row), &options("MUG-BLUE --price-minor 1205 --currency KWD")).unwrap_err();
        assert!(error.is::<Usage>() && error.to_string().contains("not a multiple of 0.010 KWD"), "{error}");
    }

    #[test]
    fn an_unknown_product_is_named_with_the_nearest_and_what_exists() {
        let error = chosen(vec![row()], Some(&"MUG-BLEU".parse().unwrap()), "in the catalogue").unwrap_err();
        assert!(error.is::<Usage>());
        assert_eq!(error.to_string(), "MUG-BLEU is not in the catalogue. Did you mean MUG-BLUE? There are: MUG-BLUE");
    }

    #[test]
    fn products_stand_in_a_table_with_their_prices() {
        assert_eq!(lines(&[row()], None), ["SKU           PRICE  NAME", "MUG-BLUE  12.00 EUR  Blue mug"]);
    }
}
