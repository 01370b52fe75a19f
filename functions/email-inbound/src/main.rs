//! Wires `email-inbound`: the bucket of the receipt rule, the orders table, what forwards mail once, the topic for what strangers cause, its queue.

use aws_sdk_dynamodb::Client;
use domain::EmailAddress;
use email_inbound::{EmailInbound, forwards::ForwardRows, inbox::Bucket};
use lambda_kit::{
    Error, Real,
    batch::{self, SqsQueue},
    config::Env,
    dynamodb,
    publish::SnsTopic,
    warm_up,
};
use mailer::{Mailer, ledger::EmailLedger, ses::Ses};
use pipeline::orders::Orders;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let mut env = Env::process();
    let client = Client::new(&config);
    let inbox = Bucket::new(aws_sdk_s3::Client::new(&config), env.required("INBOUND_BUCKET"));
    let orders = Orders::new(client.clone(), env.required("ORDERS_TABLE"));
    let ledger_table = env.required("EMAIL_LEDGER_TABLE");
    let forwards = ForwardRows::new(client.clone(), &ledger_table);
    let ledger = EmailLedger::of_operators(client.clone(), ledger_table);
    let mailer = Mailer { ledger, sender: Ses::from_env(&mut env, &config), ambient: Real };
    let (own, support) = (mailer.sender.address().clone(), env.required("SUPPORT_ADDRESS"));
    let topic = SnsTopic::from_env("PUBLIC_EVENTS_TOPIC_ARN", &mut env, &config);
    let queue = SqsQueue::from_env(&mut env, &config);
    env.finish()?;
    let support: EmailAddress = support.parse().map_err(|fault| format!("SUPPORT_ADDRESS {fault}"))?;
    warm_up([dynamodb::opening(&client), inbox.opening(), topic.opening(), mailer.sender.opening()]).await;
    batch::run(EmailInbound { inbox, orders, forwards, mailer, own, support }, topic, queue, Real).await
}
