//! Fills the catalogue and the stock of a fresh stack. A row that is there is left alone, so that a second `up` takes nothing
//! back that was sold.

use crate::machine::Repository;
use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use testkit::engine::Engine;
use testkit::stack::State;

#[derive(Debug, Clone, Deserialize)]
pub struct CatalogueItem {
    pub sku: String,
    pub name: String,
    pub unit_price_minor: i64,
    pub currency: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct StockItem {
    pub sku: String,
    pub available: i64,
}

pub fn catalogue(repository: &Repository) -> Result<Vec<CatalogueItem>> {
    read(repository, "catalogue.json")
}

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
