//! Wires `email-campaign`: the bucket, customers and suppressions, the link key, the ledger, SES, and its queue.

use email_campaign::{EmailCampaign, ledger::LedgerTable, lists::Bucket, recipients::RecipientTables, ses::Ses};
use lambda_kit::{
    Error, Real,
    batch::SqsQueue,
    config::Env,
    publish::NoTopic,
    secrets::{Cached, SecretsManager},
};
use mailer::unsubscribe::SignedLinks;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let mut env = Env::process();
    let client = aws_sdk_dynamodb::Client::new(&config);
    let (customers, suppressions) = (env.required("CUSTOMERS_TABLE"), env.required("SUPPRESSIONS_TABLE"));
    let single_opt_ins = env.parsed("MAIL_SINGLE_OPT_INS");
    let key = Cached::new(SecretsManager::from_env("UNSUBSCRIBE_SECRET_ARN", &mut env, &config));
    let campaigns = EmailCampaign {
        lists: Bucket::new(aws_sdk_s3::Client::new(&config), env.required("CAMPAIGNS_BUCKET")),
        recipients: RecipientTables::new(client.clone(), customers, suppressions, single_opt_ins, Real),
        unsubscribe: SignedLinks { api_url: env.required("API_URL"), key },
        ledger: LedgerTable::new(client.clone(), env.required("EMAIL_LEDGER_TABLE"), Real),
        sender: Ses::from_env(&mut env, &config),
        ambient: Real,
        pace: Default::default(),
    };
    let queue = SqsQueue::from_env(&mut env, &config);
    env.finish()?;
    let (lists, key, sender) = (campaigns.lists.opening(), campaigns.unsubscribe.key.opening(), campaigns.sender.opening());
    lambda_kit::warm_up([lambda_kit::dynamodb::opening(&client), lists, key, sender]).await;
    lambda_kit::batch::run(campaigns, NoTopic, queue, Real).await
}
