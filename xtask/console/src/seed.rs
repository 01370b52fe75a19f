//! Fills the catalogue and the stock of a fresh stack. A row that is there is left alone, so that a second `up` takes nothing
//! back that was sold.

use crate::machine::Repository;
use anyhow::{Context, Result, anyhow};
use domain::{Money, Sku, charge};
use serde::Deserialize;
use serde_json::{Value, json};
use testkit::engine::Engine;
use testkit::stack::State;

/// A product, as `local/seed/catalogue.json` has it.
#[derive(Debug, Clone, Deserialize)]
pub struct CatalogueItem {
    /// What orders call it.
    pub sku: String,
    /// What customers read.
    pub name: String,
    /// The price of one, in the currency's smallest unit.
    pub unit_price_minor: u64,
    /// An ISO 4217 code.
    pub currency: String,
}

/// How much there is of a product, as `local/seed/stock.json` has it.
#[derive(Debug, Clone, Deserialize)]
pub struct StockItem {
    /// What orders call it.
    pub sku: String,
    /// How many may still be ordered.
    pub available: i64,
}

/// The catalogue's seed. A price that cannot be charged is refused here, before an order meets it.
pub fn catalogue(repository: &Repository) -> Result<Vec<CatalogueItem>> {
    let items: Vec<CatalogueItem> = read(repository, "catalogue.json")?;
    items.iter().try_for_each(|item| sellable(item).map_err(|why| anyhow!("local/seed/catalogue.json: {}: {why}", item.sku)))?;
    Ok(items)
}

/// Whether it can stand in the catalogue: it has a name to show, and order-intake can sell it.
pub fn sellable(item: &CatalogueItem) -> Result<(), String> {
    if !item.name.contains(char::is_alphanumeric) {
        return Err("the name must have letters or digits".to_owned());
    }
    chargeable(&item.sku, item.unit_price_minor, &item.currency)
}

/// Whether order-intake can sell a product at this price: it reads the row, and the payment provider charges in such steps.
pub fn chargeable(sku: &str, unit_price_minor: u64, currency: &str) -> Result<(), String> {
    sku.parse::<Sku>().map_err(|why| format!("the SKU {why}"))?;
    let currency = currency.parse().map_err(|_| format!("{currency} is no ISO 4217 currency code"))?;
    charge::check_price(Money { amount_minor: unit_price_minor, currency }).map_err(|why| format!("the price {why}"))
}

/// Puts every row of the seed that is not there yet.
pub async fn run(repository: &Repository, state: &State) -> Result<()> {
    let engine = state.engine();
    for item in catalogue(repository)? {
        let number = json!({ "N": item.unit_price_minor.to_string() });
        let row =
            json!({ "sku": { "S": item.sku }, "name": { "S": item.name }, "unit_price_minor": number, "currency": { "S": item.currency } });
        put_new(&engine, state.output("CatalogueTableName")?, row).await?;
    }
    for item in read::<StockItem>(repository, "stock.json")? {
        let row = json!({ "sku": { "S": item.sku }, "available": { "N": item.available.to_string() } });
        put_new(&engine, state.output("StockTableName")?, row).await?;
    }
    Ok(())
}

/// How many of a SKU the stock table has.
pub async fn available(engine: &Engine, state: &State, sku: &str) -> Result<i64> {
    let input = json!({ "TableName": state.output("StockTableName")?, "Key": { "sku": { "S": sku } }, "ConsistentRead": true });
    let row = engine.call("dynamodb", "DynamoDB_20120810.GetItem", &input).await?;
    row["Item"]["available"]["N"].as_str().and_then(|n| n.parse().ok()).with_context(|| format!("{sku} is not in the stock table"))
}

async fn put_new(engine: &Engine, table: &str, row: Value) -> Result<()> {
    let input = json!({ "TableName": table, "Item": row, "ConditionExpression": "attribute_not_exists(sku)" });
    match engine.call("dynamodb", "DynamoDB_20120810.PutItem", &input).await {
        Err(error) if format!("{error:#}").contains("ConditionalCheckFailed") => Ok(()),
        result => result.map(drop),
    }
}

fn read<T: serde::de::DeserializeOwned>(repository: &Repository, name: &str) -> Result<Vec<T>> {
    let path = repository.root.join("local/seed").join(name);
    let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not what it should be", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str, unit_price_minor: u64, currency: &str) -> String {
        let item = CatalogueItem { sku: "THING".into(), name: name.into(), unit_price_minor, currency: currency.into() };
        sellable(&item).err().unwrap_or_default()
    }

    #[test]
    fn what_cannot_be_sold_is_no_seed() {
        assert_eq!(refusal("Thing", 0, "EUR"), "", "free, with something else");
        assert_eq!(refusal("Thing", 1205, "KWD"), "the price is not a multiple of 0.010 KWD, in whose steps the payment provider charges");
        assert_eq!(refusal("Thing", 100, "BGN"), "the price is in BGN, which the payment provider does not charge");
        assert_eq!(refusal("Thing", 100, "euro"), "euro is no ISO 4217 currency code");
        assert_eq!(refusal("\u{200b}", 100, "EUR"), "the name must have letters or digits");
    }

    #[test]
    fn everything_in_the_seed_can_be_sold() {
        let repository = Repository::find().unwrap();
        assert!(catalogue(&repository).unwrap().len() > 5);
    }
}
