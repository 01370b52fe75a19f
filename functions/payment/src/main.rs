//! Wires `payment`: the payments table, the Stripe API with its key, the topic to announce on, its queue.

use lambda_kit::{Error, Real, batch::SqsQueue, config::Env, dynamodb::Table, publish::SnsTopic};
use payment::{
    Payment,
    key::{SecretsManager, StripeKey},
    ledger::{KEY, Payments},
    stripe::{Stripe, Timeouts},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config().await;
    let mut env = Env::process();
    let ledger = Payments(Table::new(aws_sdk_dynamodb::Client::new(&config), env.required("PAYMENTS_TABLE"), KEY));
    let vault = SecretsManager::from_env("STRIPE_KEY_SECRET_ARN", &mut env, &config);
    let provider = Stripe::new(env.parsed("STRIPE_API_URL"), StripeKey::new(vault), Timeouts::default());
    let topic = SnsTopic::from_env("ORDER_EVENTS_TOPIC_ARN", &mut env, &config);
    let queue = SqsQueue::from_env(&mut env, &config);
    env.finish()?;
    pipeline::run(Payment { ledger, provider, ambient: Real }, topic, queue).await
}
