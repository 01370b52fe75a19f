//! Dead letters made by hand: what lies in a dead-letter queue when something went wrong, without the wrong.
//!
//! It does not make what SQS itself moves: that takes a consumer that fails, which tests do for themselves.

use anyhow::Result;
use serde_json::{Value, json};
use testkit::stack::Stack;

/// Messages of one SendMessageBatch: what SQS takes.
const BATCH: usize = 10;

/// Puts a message into the queue whose output is `<queue>Url`, as a function parks it.
///
/// # Errors
/// Where the engine refuses.
pub async fn put(stack: &Stack, queue: &str, group: &str, body: &str, attributes: &[(&str, &str)]) -> Result<()> {
    let url = stack.state.output(&format!("{queue}Url"))?;
    let attributes: serde_json::Map<_, _> = attributes.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect();
    let mut input = json!({"QueueUrl": url, "MessageBody": body, "MessageAttributes": attributes});
    if url.ends_with(".fifo") {
        input["MessageGroupId"] = group.into();
        input["MessageDeduplicationId"] = fastrand::u128(..).to_string().into();
    }
    stack.engine.call("sqs", "AmazonSQS.SendMessage", &input).await.map(drop)
}

/// Parks bodies in the Standard queue whose output is `<queue>Url`, with the cause `Fixed`.
///
/// # Errors
/// Where the engine refuses.
pub async fn put_many(stack: &Stack, queue: &str, bodies: impl IntoIterator<Item = String>) -> Result<()> {
    let url = stack.state.output(&format!("{queue}Url"))?;
    let attributes = json!({"ErrorType": text("Fixed"), "ErrorMessage": text("it was broken"), "SourceQueue": text("q")});
    let bodies: Vec<String> = bodies.into_iter().collect();
    for some in bodies.chunks(BATCH) {
        let entry = |(n, body): (usize, &String)| json!({"Id": n.to_string(), "MessageBody": body, "MessageAttributes": attributes});
        let entries: Vec<_> = some.iter().enumerate().map(entry).collect();
        stack.engine.call("sqs", "AmazonSQS.SendMessageBatch", &json!({"QueueUrl": url, "Entries": entries})).await?;
    }
    Ok(())
}

/// Empties the queue whose output is `<queue>Url`.
///
/// # Errors
/// Where the engine refuses.
pub async fn purge(stack: &Stack, queue: &str) -> Result<()> {
    let url = stack.state.output(&format!("{queue}Url"))?;
    stack.engine.call("sqs", "AmazonSQS.PurgeQueue", &json!({"QueueUrl": url})).await.map(drop)
}

fn text(value: &str) -> Value {
    json!({"DataType": "String", "StringValue": value})
}
