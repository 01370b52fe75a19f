//! Wires `welcome-email`: the customers table, the key of the links, the ledger and the suppression list, SES, its queue, and no topic.

use aws_sdk_dynamodb::Client;
use lambda_kit::{Error, Real, batch::SqsQueue, config::Env, dynamodb, publish::NoTopic, secrets::SecretsManager, warm_up};
use mailer::{
    Mailer,
    ledger::EmailLedger,
    ses::Ses,
    unsubscribe::{CachedLinkKey, SignedLinks},
};
use pipeline::customers::Customers;
use welcome_email::WelcomeEmail;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let mut env = Env::process();
    let client = Client::new(&config);
    let customers = Customers::new(client.clone(), env.required("CUSTOMERS_TABLE"));
    let key = CachedLinkKey::new(SecretsManager::from_env("UNSUBSCRIBE_SECRET_ARN", &mut env, &config));
    let links = SignedLinks { api_url: env.required("API_URL"), key };
    let mailer = Mailer { ledger: EmailLedger::from_env(&mut env, &client), sender: Ses::from_env(&mut env, &config), ambient: Real };
    let queue = SqsQueue::from_env(&mut env, &config);
    env.finish()?;
    warm_up([dynamodb::opening(&client), links.key.opening(), mailer.sender.opening()]).await;
    pipeline::run(WelcomeEmail { customers, links, mailer }, NoTopic, queue).await
}
