//! Wires `shipping`: the facts about each order, the topic to announce on, its queue.

use lambda_kit::{Error, Real, batch::SqsQueue, config::Env, publish::SnsTopic};
use shipping::{Shipping, shipments::ShipmentsTable};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config().await;
    let mut env = Env::process();
    let shipments = ShipmentsTable::new(aws_sdk_dynamodb::Client::new(&config), env.required("SHIPMENTS_TABLE"));
    let topic = SnsTopic::from_env("ORDER_EVENTS_TOPIC_ARN", &mut env, &config);
    let queue = SqsQueue::from_env(&mut env, &config);
    env.finish()?;
    pipeline::run(Shipping { shipments, ambient: Real }, topic, queue).await
}
