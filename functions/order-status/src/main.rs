//! Wires `order-status`: the orders table to read.

use lambda_kit::{Error, Real, config::Env, http};
use order_status::OrderStatus;
use pipeline::orders::Orders;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config().await;
    let mut env = Env::process();
    let orders = Orders::new(aws_sdk_dynamodb::Client::new(&config), env.required("ORDERS_TABLE"));
    env.finish()?;
    let function = OrderStatus { orders };
    http::run(Real, async |request: &http::Request| function.handle(request).await).await
}
