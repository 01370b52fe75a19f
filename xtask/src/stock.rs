//! `stock`: how many of each product are available, here or on AWS; and here, more of one. It changes no reservation: what an order
//! has reserved is no longer available, and comes back by itself if the order is cancelled.

use crate::{catalogue, rows};
use anyhow::Result;
use clap::Args;
use command_line::screen::{Layout, table, width};
use console::machine::Repository;
use console::progress::{bold, dim};
use console::state;
use domain::Sku;
use operate::deployed::Target;
use serde_json::{Value, json};

/// Most units of one product: more than any shelf has, and far from where a sum would end.
const UNITS_MAX: u64 = 1_000_000_000;

#[derive(Args)]
pub struct Options {
    /// This product alone
    sku: Option<Sku>,
    /// Put so many units of it on the shelf, beside those that are there
    #[arg(long, value_name = "UNITS", requires = "sku", conflicts_with = "stack", value_parser = clap::value_parser!(u64).range(1..=UNITS_MAX))]
    add: Option<u64>,
    /// Say how many units of it are available, whatever was there
    #[arg(long, value_name = "UNITS", requires = "sku", conflicts_with_all = ["add", "stack"], value_parser = clap::value_parser!(u64).range(0..=UNITS_MAX))]
    set: Option<u64>,
    #[command(flatten)]
    target: Target,
}

impl Options {
    pub fn writes(&self) -> bool {
        self.add.is_some() || self.set.is_some()
    }
}

pub async fn run(repository: &Repository, options: &Options) -> Result<()> {
    if let (Some(sku), Some((verb, units))) =
        (&options.sku, options.add.map(|n| ("ADD available", n)).or(options.set.map(|n| ("SET available =", n))))
    {
        let state = state::require(repository)?;
        let update = json!({
            "TableName": state.output("StockTableName")?, "Key": {"sku": {"S": sku.as_str()}},
            "UpdateExpression": format!("{verb} :units"), "ExpressionAttributeValues": {":units": {"N": units.to_string()}},
        });
        state.engine().call("dynamodb", "DynamoDB_20120810.UpdateItem", &update).await?;
    }
    let all = rows::of(repository, &options.target, "StockTable", options.sku.as_ref()).await?;
    let remark = all.remark();
    let rows = catalogue::chosen(all.rows, options.sku.as_ref(), "in stock")?;
    for (at, line) in lines(&rows, width(&std::io::stdout())).into_iter().enumerate() {
        println!("{}", if at == 0 { bold(&line) } else { line });
    }
    if rows.is_empty() {
        println!("{}", dim("Nothing is in stock. `cargo xtask stock SKU --add 10` puts something there."));
    }
    if let Some(remark) = remark {
        println!("{}", dim(&remark));
    }
    Ok(())
}

fn lines(rows: &[Value], width: Option<usize>) -> Vec<String> {
    let head = ["SKU", "AVAILABLE"].map(str::to_owned);
    let row = |row: &Value| [row["sku"].as_str().unwrap_or("?").to_owned(), row["available"].to_string()];
    let rows: Vec<_> = std::iter::once(head).chain(rows.iter().map(row)).collect();
    table(&rows, Layout { numbers: &[1], flexible: &[0], width })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_stands_in_a_table() {
        let rows = [json!({"sku": "MUG-BLUE", "available": 12}), json!({"sku": "LAMP"})];
        assert_eq!(lines(&rows, Some(80)), ["SKU       AVAILABLE", "MUG-BLUE         12", "LAMP           null"]);
    }
}
