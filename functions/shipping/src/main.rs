//! Wires `shipping`: the facts about each order, the topic to announce on, its queue.

use lambda_kit::{
    Error, Real,
    batch::{CONCURRENCY, SqsQueue},
    config::Env,
    dynamodb,
    publish::SnsTopic,
    warm_up,
};
use shipping::{Shipping, shipments::ShipmentsTable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let mut env = Env::process();
    let client = aws_sdk_dynamodb::Client::new(&config);
    let shipments = ShipmentsTable::new(client.clone(), env.required("SHIPMENTS_TABLE"));
    let topic = SnsTopic::from_env("ORDER_EVENTS_TOPIC_ARN", &mut env, &config);
    let queue = SqsQueue::from_env(&mut env, &config);
    env.finish()?;
    warm_up(dynamodb::openings(&client, CONCURRENCY).chain([topic.opening()])).await;
    pipeline::run(Shipping { shipments, ambient: Real }, topic, queue).await
}
