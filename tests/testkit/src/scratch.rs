//! Tables of a test's own, at a real engine, for the tests of the stores.

use crate::skip::skip;
use aws_sdk_dynamodb::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType},
};

/// A client of the engine that `DYNAMODB_ENDPOINT_URL` names, with the key `DYNAMODB_KEY`; [`None`], and the reason printed, where there
/// is none.
pub fn client() -> Option<Client> {
    let Some(endpoint) = std::env::var("DYNAMODB_ENDPOINT_URL").ok().filter(|url| !url.is_empty()) else {
        skip("DYNAMODB_ENDPOINT_URL names no engine");
        return None;
    };
    let config = aws_sdk_dynamodb::Config::builder().behavior_version(BehaviorVersion::latest()).region(Region::new("us-east-1"));
    let key = std::env::var("DYNAMODB_KEY").unwrap_or_default();
    let credentials = Credentials::new(&key, &key, None, None, "test");
    Some(Client::from_conf(config.endpoint_url(endpoint).credentials_provider(credentials).build()))
}

/// Creates a table with the string partition key `key`; returns its name, `<stem>-<test>-<process>`, which no other run has.
///
/// # Errors
/// Where the engine refuses.
pub async fn table(client: &Client, stem: &str, test: &str, key: &str) -> anyhow::Result<String> {
    let table = format!("{stem}-{test}-{}", std::process::id());
    let schema = KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash).build()?;
    let attribute = AttributeDefinition::builder().attribute_name(key).attribute_type(ScalarAttributeType::S).build()?;
    let create = client.create_table().table_name(&table).key_schema(schema).attribute_definitions(attribute);
    create.billing_mode(BillingMode::PayPerRequest).send().await?;
    Ok(table)
}
