//! Wires `email-feedback`: our suppression list, the SES account's where there is one, its queue, and no topic.

use domain::EmailAddress;
use email_feedback::{EmailFeedback, lists::SesAccount};
use lambda_kit::{
    Error, Real,
    batch::{self, SqsQueue},
    config::Env,
    dynamodb,
    publish::NoTopic,
    warm_up,
};
use mailer::suppression::Suppressions;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let mut env = Env::process();
    let client = aws_sdk_dynamodb::Client::new(&config);
    let own = Suppressions::new(client.clone(), env.required("SUPPRESSIONS_TABLE"));
    let has_account_list: bool = env.parsed("SES_ACCOUNT_SUPPRESSION");
    let account = has_account_list.then(|| SesAccount(aws_sdk_sesv2::Client::new(&config)));
    let support = env.required("SUPPORT_ADDRESS");
    let queue = SqsQueue::from_env(&mut env, &config);
    env.finish()?;
    let support: EmailAddress = support.parse().map_err(|fault| format!("SUPPORT_ADDRESS {fault}"))?;
    warm_up(account.iter().map(SesAccount::opening).chain([dynamodb::opening(&client)])).await;
    batch::run(EmailFeedback { own, account, support, ambient: Real }, NoTopic, queue, Real).await
}
