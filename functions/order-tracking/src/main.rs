//! Wires `order-tracking`: the orders table, its queue, and no topic, for it has nothing to say.

use lambda_kit::{
    Error,
    batch::{CONCURRENCY, SqsQueue},
    config::Env,
    dynamodb,
    publish::NoTopic,
    warm_up,
};
use order_tracking::{OrderTracking, timelines::OrdersTable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let mut env = Env::process();
    let client = aws_sdk_dynamodb::Client::new(&config);
    let timelines = OrdersTable::new(client.clone(), env.required("ORDERS_TABLE"));
    let queue = SqsQueue::from_env(&mut env, &config);
    env.finish()?;
    warm_up(dynamodb::openings(&client, CONCURRENCY)).await;
    pipeline::run(OrderTracking { timelines }, NoTopic, queue).await
}
