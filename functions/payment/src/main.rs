//! Wires `payment`: the payments table, the Stripe API with its key, the topic to announce on, its queue.

use lambda_kit::{
    Error, Real,
    batch::{CONCURRENCY, SqsQueue},
    config::Env,
    dynamodb::{self, Table},
    publish::SnsTopic,
    warm_up,
};
use payment::{
    Payment,
    key::{SecretsManager, StripeKey},
    ledger::{KEY, Payments},
    stripe::{
        Stripe, Timeouts,
        pace::{Limits, Pace},
    },
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let connector = lambda_kit::connector();
    let config = lambda_kit::aws_config_over(connector.clone());
    let mut env = Env::process();
    let client = aws_sdk_dynamodb::Client::new(&config);
    let ledger = Payments(Table::new(client.clone(), env.required("PAYMENTS_TABLE"), KEY));
    let store = SecretsManager::from_env("STRIPE_KEY_SECRET_ARN", &mut env, &config);
    let provider = Stripe::over(connector, env.parsed("STRIPE_API_URL"), StripeKey::new(store), Timeouts::default());
    let pace = Pace::share(Limits {
        account: env.parsed("STRIPE_CALLS_PER_SECOND"),
        endpoint: env.parsed("STRIPE_ENDPOINT_CALLS_PER_SECOND"),
        processes: env.parsed("MAXIMUM_CONCURRENCY"),
    });
    let provider = provider.paced(pace);
    let topic = SnsTopic::from_env("ORDER_EVENTS_TOPIC_ARN", &mut env, &config);
    let queue = SqsQueue::from_env(&mut env, &config);
    env.finish()?;
    let [key, api] = provider.openings();
    warm_up(dynamodb::openings(&client, CONCURRENCY).chain([topic.opening(), key, api])).await;
    pipeline::run(Payment { ledger, provider, ambient: Real }, topic, queue).await
}
