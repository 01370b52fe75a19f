//! Wires `email-feedback`: our suppression list, the SES account's where there is one, its queue, and no topic.

use email_feedback::{EmailFeedback, lists::SesAccount};
use lambda_kit::{
    Error, Real,
    batch::{self, SqsQueue},
    config::Env,
    publish::NoTopic,
};
use mailer::suppression::Suppressions;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config().await;
    let mut env = Env::process();
    let own = Suppressions::new(aws_sdk_dynamodb::Client::new(&config), env.required("SUPPRESSIONS_TABLE"));
    let has_account_list: bool = env.parsed("SES_ACCOUNT_SUPPRESSION");
    let account = has_account_list.then(|| SesAccount(aws_sdk_sesv2::Client::new(&config)));
    let queue = SqsQueue::from_env(&mut env, &config);
    env.finish()?;
    batch::run(EmailFeedback { own, account, ambient: Real }, NoTopic, queue, Real).await
}
