//! Wires `order-intake`: the catalogue with its cache, the orders table, the topic.

use lambda_kit::{Error, Real, config::Env, dynamodb, http, publish::SnsTopic, warm_up};
use order_intake::{
    OrderIntake,
    catalogue::{Cached, CatalogueTable},
};
use pipeline::orders::Orders;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let client = aws_sdk_dynamodb::Client::new(&config);
    let mut env = Env::process();
    let catalogue = Cached::new(CatalogueTable::new(client.clone(), env.required("CATALOGUE_TABLE"), Real), Real);
    let orders = Orders::new(client.clone(), env.required("ORDERS_TABLE"));
    let topic = SnsTopic::from_env("ORDER_EVENTS_TOPIC_ARN", &mut env, &config);
    env.finish()?;
    warm_up([dynamodb::opening(&client), topic.opening()]).await;
    let function = OrderIntake { catalogue, orders, topic, ambient: Real };
    http::run(Real, async |request: &http::Request| function.handle(request).await).await
}
