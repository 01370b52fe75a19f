//! Wires `welcome-email`: the customers table, the ledger and the suppression list, SES, its queue, and no topic.

use aws_sdk_dynamodb::Client;
use lambda_kit::{Error, Real, batch::SqsQueue, config::Env, dynamodb, publish::NoTopic, warm_up};
use mailer::{Mailer, ledger::EmailLedger, ses::Ses};
use pipeline::customers::Customers;
use welcome_email::WelcomeEmail;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let mut env = Env::process();
    let client = Client::new(&config);
    let customers = Customers::new(client.clone(), env.required("CUSTOMERS_TABLE"));
    let mailer = Mailer { ledger: EmailLedger::from_env(&mut env, &client), sender: Ses::from_env(&mut env, &config), ambient: Real };
    let queue = SqsQueue::from_env(&mut env, &config);
    env.finish()?;
    warm_up([dynamodb::opening(&client), mailer.sender.opening()]).await;
    pipeline::run(WelcomeEmail { customers, mailer }, NoTopic, queue).await
}
