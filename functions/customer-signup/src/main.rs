//! Wires `customer-signup`: the customers table, the topic for what strangers cause.

use customer_signup::CustomerSignup;
use lambda_kit::{Error, Real, config::Env, dynamodb, http, publish::SnsTopic, warm_up};
use pipeline::customers::Customers;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let mut env = Env::process();
    let client = aws_sdk_dynamodb::Client::new(&config);
    let customers = Customers::new(client.clone(), env.required("CUSTOMERS_TABLE"));
    let topic = SnsTopic::from_env("PUBLIC_EVENTS_TOPIC_ARN", &mut env, &config);
    env.finish()?;
    warm_up([dynamodb::opening(&client), topic.opening()]).await;
    let function = CustomerSignup { customers, topic, ambient: Real };
    http::run(Real, async |request: &http::Request| function.handle(request).await).await
}
