//! The rows of one of the stack's tables: of the stack that runs here, or to look at of one on AWS, with the caller's credentials.

use crate::smoke::aws::{Answer, Aws, Call};
use anyhow::{Context as _, Result, bail};
use console::machine::Repository;
use console::state;
use operate::deployed::Target;
use serde_json::{Value, json};
use testkit::stack::{Stack, plain};

/// Most rows that are read of a table on AWS, where each read is paid for.
pub const ROWS_MAX: usize = 1_000;

/// The rows of the table whose output is `<table>Name`, ordered by `key`.
pub async fn of(repository: &Repository, target: &Target, table: &str, key: &str) -> Result<Vec<Value>> {
    let mut rows = if target.is_on_aws()? {
        on_aws(repository, target, table).await?
    } else {
        Stack::of(state::require(repository)?).scan(table).await?
    };
    rows.sort_by(|a, b| a[key].as_str().cmp(&b[key].as_str()));
    Ok(rows)
}

async fn on_aws(repository: &Repository, target: &Target, table: &str) -> Result<Vec<Value>> {
    let mut aws = Aws::on_aws(repository, target).await?;
    let stack = target.stack.as_deref().unwrap_or_default();
    let described = asked(aws.ask_one(Call::new("cloudformation", "describe_stacks", json!({"StackName": stack}))).await?)?;
    let outputs = described["Stacks"][0]["Outputs"].as_array().into_iter().flatten();
    let name = outputs.into_iter().find(|output| output["OutputKey"] == format!("{table}Name"));
    let name = name.and_then(|output| output["OutputValue"].as_str()).with_context(|| format!("{stack} has no output {table}Name"))?;
    let input = json!({"TableName": name, "PaginationConfig": {"MaxItems": ROWS_MAX}});
    let scanned = asked(aws.ask_one(Call::pages("dynamodb", "scan", input)).await?)?;
    Ok(scanned["Items"].as_array().into_iter().flatten().map(|item| plain(&json!({"M": item}))).collect())
}

fn asked(answer: Answer) -> Result<Value> {
    match answer {
        Ok(answer) => Ok(answer),
        Err(refused) => bail!("AWS: {} ({})", refused.message, refused.code),
    }
}
