//! Wires `unsubscribe`: the key of the links, the customers table.

use lambda_kit::{Error, Real, config::Env, dynamodb, http, secrets::SecretsManager, warm_up};
use mailer::unsubscribe::CachedLinkKey;
use pipeline::customers::Customers;
use unsubscribe::Unsubscribe;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let mut env = Env::process();
    let client = aws_sdk_dynamodb::Client::new(&config);
    let customers = Customers::new(client.clone(), env.required("CUSTOMERS_TABLE"));
    let key = CachedLinkKey::new(SecretsManager::from_env("UNSUBSCRIBE_SECRET_ARN", &mut env, &config));
    env.finish()?;
    warm_up([dynamodb::opening(&client), key.opening()]).await;
    let function = Unsubscribe { key, customers, ambient: Real };
    http::run(Real, async |request: &http::Request| function.handle(request).await).await
}
