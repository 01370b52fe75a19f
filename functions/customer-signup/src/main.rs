//! Wires `customer-signup`: the customers table, the topic.

use customer_signup::CustomerSignup;
use lambda_kit::{Error, Real, config::Env, http, publish::SnsTopic};
use pipeline::customers::Customers;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config().await;
    let mut env = Env::process();
    let customers = Customers::new(aws_sdk_dynamodb::Client::new(&config), env.required("CUSTOMERS_TABLE"));
    let topic = SnsTopic::from_env("ORDER_EVENTS_TOPIC_ARN", &mut env, &config);
    env.finish()?;
    let function = CustomerSignup { customers, topic, ambient: Real };
    http::run(Real, async |request: &http::Request| function.handle(request).await).await
}
