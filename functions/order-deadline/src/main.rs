//! Wires `order-deadline`: the orders table to look at, the topic to repeat on, its queue.

use lambda_kit::{Error, Real, batch::SqsQueue, config::Env, dynamodb, publish::SnsTopic, warm_up};
use order_deadline::{OrderDeadline, deadlines};
use pipeline::orders::Orders;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let mut env = Env::process();
    let client = aws_sdk_dynamodb::Client::new(&config);
    let orders = Orders::new(client.clone(), env.required("ORDERS_TABLE"));
    let topic = SnsTopic::from_env("ORDER_EVENTS_TOPIC_ARN", &mut env, &config);
    let queue = SqsQueue::from_env(&mut env, &config);
    let [nudge, time_out, park] = ["NUDGE_AFTER_SECONDS", "TIME_OUT_AFTER_SECONDS", "PARK_AFTER_SECONDS"].map(|name| env.parsed(name));
    env.finish()?;
    let stage = OrderDeadline { orders, ambient: Real, deadlines: deadlines(nudge, time_out, park)? };
    warm_up([dynamodb::opening(&client), topic.opening()]).await;
    pipeline::run(stage, topic, queue).await
}
