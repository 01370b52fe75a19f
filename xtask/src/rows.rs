//! The rows of one of the stack's tables: of the stack that runs here, or to look at of one on AWS, with the caller's credentials.

use crate::smoke::aws::{Answer, Aws, Call};
use anyhow::{Context as _, Result, bail};
use console::machine::Repository;
use console::state;
use domain::Sku;
use operate::deployed::Target;
use serde_json::{Value, json};
use testkit::stack::{Stack, plain};

/// Most rows that are read of a table on AWS, where each read is paid for.
const ROWS_MAX: usize = 1_000;

/// Rows of a table.
#[derive(Debug, Default)]
pub struct Rows {
    /// Ordered by SKU.
    pub rows: Vec<Value>,
    /// Whether the table has rows that were not read.
    pub is_cut: bool,
}

impl Rows {
    /// The sentence that says so.
    pub fn remark(&self) -> Option<String> {
        let count = self.rows.len();
        self.is_cut
            .then(|| format!("The table has more rows than these {count}, which is as many as are read of it: name a SKU to see its own."))
    }
}

/// The rows of the table whose output is `<table>Name` and whose key is the SKU. Of one on AWS, the row of `sku` alone if it exists.
pub async fn of(repository: &Repository, target: &Target, table: &str, sku: Option<&Sku>) -> Result<Rows> {
    let mut all = if target.is_on_aws()? {
        on_aws(repository, target, table, sku).await?
    } else {
        Rows { rows: Stack::of(state::require(repository)?).scan(table).await?, is_cut: false }
    };
    all.rows.sort_by(|a, b| a["sku"].as_str().cmp(&b["sku"].as_str()));
    Ok(all)
}

async fn on_aws(repository: &Repository, target: &Target, table: &str, sku: Option<&Sku>) -> Result<Rows> {
    let mut aws = Aws::on_aws(repository, target).await?;
    let stack = target.stack.as_deref().unwrap_or_default();
    let described = asked(aws.ask_one(Call::new("cloudformation", "describe_stacks", json!({"StackName": stack}))).await?)?;
    let outputs = described["Stacks"][0]["Outputs"].as_array().into_iter().flatten();
    let name = outputs.into_iter().find(|output| output["OutputKey"] == format!("{table}Name"));
    let name = name.and_then(|output| output["OutputValue"].as_str()).with_context(|| format!("{stack} has no output {table}Name"))?;
    // By its key, because it may be beyond the rows that a scan is allowed.
    if let Some(sku) = sku {
        let input = json!({"TableName": name, "Key": {"sku": {"S": sku.as_str()}}});
        let got = asked(aws.ask_one(Call::new("dynamodb", "get_item", input)).await?)?;
        if let Some(item) = got.get("Item") {
            return Ok(Rows { rows: vec![row(item)], is_cut: false });
        }
    }
    let input = json!({"TableName": name, "PaginationConfig": {"MaxItems": ROWS_MAX}});
    Ok(scanned(&asked(aws.ask_one(Call::pages("dynamodb", "scan", input)).await?)?))
}

/// Of all pages as far as they were read. botocore says by `NextToken` where the next one begins
/// (<https://boto3.amazonaws.com/v1/documentation/api/latest/guide/paginators.html>).
fn scanned(answer: &Value) -> Rows {
    let rows = answer["Items"].as_array().into_iter().flatten().map(row).collect();
    Rows { rows, is_cut: answer.get("NextToken").is_some_and(|token| !token.is_null()) }
}

fn row(item: &Value) -> Value {
    plain(&json!({ "M": item }))
}

fn asked(answer: Answer) -> Result<Value> {
    match answer {
        Ok(answer) => Ok(answer),
        Err(refused) => bail!("AWS: {} ({})", refused.message, refused.code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_were_not_read_are_said_to_exist() {
        let item = json!({"sku": {"S": "MUG-BLUE"}, "available": {"N": "3"}});
        let all = scanned(&json!({"Items": [item]}));
        assert_eq!((all.rows.as_slice(), all.remark()), ([json!({"sku": "MUG-BLUE", "available": 3})].as_slice(), None));
        let cut = scanned(&json!({"Items": [item], "NextToken": "eyJ"}));
        assert!(cut.remark().unwrap().starts_with("The table has more rows than these 1,"), "{cut:?}");
    }
}
