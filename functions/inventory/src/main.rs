//! Wires `inventory`: stock and reservations, the topic to announce on, its queue.

use inventory::{Inventory, warehouse::WarehouseTables};
use lambda_kit::{
    Error, Real,
    batch::{CONCURRENCY, SqsQueue},
    config::Env,
    dynamodb,
    publish::SnsTopic,
    warm_up,
};
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let mut env = Env::process();
    let client = aws_sdk_dynamodb::Client::new(&config);
    let warehouse = WarehouseTables::new(client.clone(), env.required("STOCK_TABLE"), env.required("RESERVATIONS_TABLE"));
    let topic = SnsTopic::from_env("ORDER_EVENTS_TOPIC_ARN", &mut env, &config);
    let queue = SqsQueue::from_env(&mut env, &config);
    let stock_wait = Duration::from_secs(env.parsed("STOCK_WAIT_SECONDS"));
    env.finish()?;
    warm_up(dynamodb::openings(&client, CONCURRENCY).chain([topic.opening()])).await;
    pipeline::run(Inventory { warehouse, ambient: Real, stock_wait }, topic, queue).await
}
