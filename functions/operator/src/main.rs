//! Wires `operator`: the orders and payments tables, the topic, the archive of audit records.

use domain::command::Power;
use lambda_kit::{Error, Real, config::Env, dynamodb, publish::SnsTopic, warm_up};
use lambda_runtime::{LambdaEvent, service_fn};
use operator::operator::{Operator, aws::Bucket};
use pipeline::{orders::Orders, uncollected::UncollectedPayments};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let mut env = Env::process();
    let client = aws_sdk_dynamodb::Client::new(&config);
    let orders = Orders::new(client.clone(), env.required("ORDERS_TABLE"));
    let payments = UncollectedPayments::new(client.clone(), env.required("PAYMENTS_TABLE"));
    let topic = SnsTopic::from_env("ORDER_EVENTS_TOPIC_ARN", &mut env, &config);
    let archive = Bucket::from_env("ARCHIVE_BUCKET", &mut env, &config);
    env.finish()?;
    // Topic and archive are for some commands, and wait for them.
    warm_up([dynamodb::opening(&client)]).await;
    let operator = &Operator { orders, payments, topic, archive, ambient: Real };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<serde_json::Value>| async move {
        // Boxed: the futures of handler, SDK and runtime nest deeper than the compiler follows in one piece.
        let power = Power::of(&event.context.invoked_function_arn);
        Ok::<_, Error>(Box::pin(operator.handle(event.payload, &event.context.request_id, power)).await)
    }))
    .await
}
