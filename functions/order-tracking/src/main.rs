//! Wires `order-tracking`: the orders table, its queue, and no topic, for it has nothing to say.

use lambda_kit::{Error, batch::SqsQueue, config::Env, publish::NoTopic};
use order_tracking::{OrderTracking, timelines::OrdersTable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config().await;
    let mut env = Env::process();
    let timelines = OrdersTable::new(aws_sdk_dynamodb::Client::new(&config), env.required("ORDERS_TABLE"));
    let queue = SqsQueue::from_env(&mut env, &config);
    env.finish()?;
    pipeline::run(OrderTracking { timelines }, NoTopic, queue).await
}
