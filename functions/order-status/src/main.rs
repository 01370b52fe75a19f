//! Wires `order-status`: the orders table to read.

use lambda_kit::{Error, Real, config::Env, dynamodb, http, warm_up};
use order_status::OrderStatus;
use pipeline::orders::Orders;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let mut env = Env::process();
    let client = aws_sdk_dynamodb::Client::new(&config);
    let orders = Orders::new(client.clone(), env.required("ORDERS_TABLE"));
    env.finish()?;
    warm_up([dynamodb::opening(&client)]).await;
    let function = OrderStatus { orders };
    http::run(Real, async |request: &http::Request| function.handle(request).await).await
}
