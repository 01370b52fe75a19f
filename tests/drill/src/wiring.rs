//! The functions, wired as their `main.rs` wires them, over the drill's cloud and clock.
//!
//! It refuses a function that it does not know: a new one in the template needs a line here, so that its alarms are drilled.

use crate::cloud::StubCloud;
use anyhow::{Result, bail};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_types::{SdkConfig, region::Region};
use jiff::Timestamp;
use lambda_kit::{
    Ambient, aws_config_over,
    batch::{Batch, Consumer, SqsQueue},
    config::Env,
    dynamodb::Table,
    http,
    publish::{NoTopic, Publisher, SnsTopic},
    secrets::{self, SecretsManager},
};
use mailer::{
    Mailer,
    ledger::EmailLedger,
    ses::Ses,
    suppression::Suppressions,
    unsubscribe::{CachedLinkKey, SignedLinks},
};
use pipeline::{Consume, customers::Customers, orders::Orders};
use serde_json::Value;
use std::{pin::Pin, rc::Rc, time::Duration};
use tokio::time::Instant;

/// The drill's clock, and the back-off that waits longest.
#[derive(Debug, Clone, Copy)]
pub struct Drill {
    began: Instant,
    at: Timestamp,
}

/// One less than a multiple of every number of waits that back-off draws from (2, 3, 5, 9 … 257, 451), so that each draw is the
/// longest.
pub const LONGEST: u64 = 2 * 9 * 5 * 17 * 11 * 13 * 43 * 257 * 41 - 1;

impl Drill {
    /// A clock that begins now, at `at`.
    pub fn new(at: Timestamp) -> Self {
        Self { began: Instant::now(), at }
    }
}

impl Ambient for Drill {
    fn now(&self) -> Timestamp {
        self.at.checked_add(self.began.elapsed()).unwrap_or(self.at)
    }
    fn random(&self) -> u64 {
        LONGEST
    }
}

/// What an invocation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A batch: these message ids are to be delivered again.
    Batch(Vec<String>),
    /// An HTTP answer.
    Status(u16),
    /// Something else, and it went well.
    Done,
    /// An error, which Lambda counts.
    Error,
}

/// A function: an event and its deadline become an outcome.
pub type Handler = Rc<dyn Fn(Value, Instant) -> Pin<Box<dyn Future<Output = Outcome>>>>;

/// The function whose folder is `name`, in this environment.
///
/// # Errors
/// It is not known here, or its environment lacks something.
pub fn wire(name: &str, environment: &[(String, String)], cloud: &StubCloud, drill: Drill) -> Result<Handler> {
    let connector = cloud.connector();
    let config = config(cloud);
    let env = &mut Env::from_values(environment.iter().cloned());
    let client = aws_sdk_dynamodb::Client::new(&config);
    let (config, ambient) = (&config, drill);
    let mailer = |env: &mut Env| Mailer { ledger: EmailLedger::from_env(env, &client), sender: Ses::from_env(env, config), ambient };
    let topic = |env: &mut Env| SnsTopic::from_env("ORDER_EVENTS_TOPIC_ARN", env, config);
    let public_topic = |env: &mut Env| SnsTopic::from_env("PUBLIC_EVENTS_TOPIC_ARN", env, config);
    let handler = match name {
        "payment" => {
            let ledger = payment::ledger::Payments(Table::new(client.clone(), env.required("PAYMENTS_TABLE"), payment::ledger::KEY));
            let store = payment::key::SecretsManager::from_env("STRIPE_KEY_SECRET_ARN", env, config);
            let key = payment::key::StripeKey::new(store);
            let provider = payment::stripe::Stripe::over(connector, env.parsed("STRIPE_API_URL"), key, Default::default());
            let stage = payment::Payment { ledger, provider, ambient };
            batch(Consume { stage, ambient }, topic(env), env, config, ambient)
        }
        "inventory" => {
            let (stock, reservations) = (env.required("STOCK_TABLE"), env.required("RESERVATIONS_TABLE"));
            let warehouse = inventory::warehouse::WarehouseTables::new(client.clone(), stock, reservations);
            let stock_wait = Duration::from_secs(env.parsed("STOCK_WAIT_SECONDS"));
            let stage = inventory::Inventory { warehouse, ambient, stock_wait };
            batch(Consume { stage, ambient }, topic(env), env, config, ambient)
        }
        "shipping" => {
            let shipments = shipping::shipments::ShipmentsTable::new(client.clone(), env.required("SHIPMENTS_TABLE"));
            let stage = shipping::Shipping { shipments, ambient };
            batch(Consume { stage, ambient }, topic(env), env, config, ambient)
        }
        "order-tracking" => {
            let timelines = order_tracking::timelines::OrdersTable::new(client.clone(), env.required("ORDERS_TABLE"));
            let stage = order_tracking::OrderTracking { timelines };
            batch(Consume { stage, ambient }, NoTopic, env, config, ambient)
        }
        "order-deadline" => {
            let [nudge, time_out, park] =
                ["NUDGE_AFTER_SECONDS", "TIME_OUT_AFTER_SECONDS", "PARK_AFTER_SECONDS"].map(|name| env.parsed(name));
            let orders = Orders::new(client.clone(), env.required("ORDERS_TABLE"));
            let stage = order_deadline::OrderDeadline { orders, ambient, deadlines: order_deadline::deadlines(nudge, time_out, park)? };
            batch(Consume { stage, ambient }, topic(env), env, config, ambient)
        }
        "order-email" => {
            let orders = Orders::new(client.clone(), env.required("ORDERS_TABLE"));
            let mailer = mailer(env);
            let address = mailer.sender.address().clone();
            batch(Consume { stage: order_email::OrderEmail { orders, mailer, address }, ambient }, NoTopic, env, config, ambient)
        }
        "welcome-email" => {
            let customers = Customers::new(client.clone(), env.required("CUSTOMERS_TABLE"));
            let key = CachedLinkKey::new(SecretsManager::from_env("UNSUBSCRIBE_SECRET_ARN", env, config));
            let links = SignedLinks { api_url: env.required("API_URL"), key };
            let stage = welcome_email::WelcomeEmail { customers, links, mailer: mailer(env) };
            batch(Consume { stage, ambient }, NoTopic, env, config, ambient)
        }
        "email-feedback" => {
            let own = Suppressions::new(client.clone(), env.required("SUPPRESSIONS_TABLE"));
            let account = env.parsed::<bool>("SES_ACCOUNT_SUPPRESSION");
            let account = account.then(|| email_feedback::lists::SesAccount(aws_sdk_sesv2::Client::new(config)));
            let Ok(support) = env.required("SUPPORT_ADDRESS").parse() else { bail!("SUPPORT_ADDRESS is no address") };
            batch(email_feedback::EmailFeedback { own, account, support, ambient }, NoTopic, env, config, ambient)
        }
        "email-inbound" => {
            let inbox = email_inbound::inbox::Bucket::new(aws_sdk_s3::Client::new(config), env.required("INBOUND_BUCKET"));
            let orders = Orders::new(client.clone(), env.required("ORDERS_TABLE"));
            let table = env.required("EMAIL_LEDGER_TABLE");
            let forwards = email_inbound::forwards::ForwardRows::new(client.clone(), &table);
            let mailer = Mailer { ledger: EmailLedger::of_operators(client.clone(), table), sender: Ses::from_env(env, config), ambient };
            let own = mailer.sender.address().clone();
            let Ok(support) = env.required("SUPPORT_ADDRESS").parse() else { bail!("SUPPORT_ADDRESS is no address") };
            batch(email_inbound::EmailInbound { inbox, orders, forwards, mailer, own, support }, public_topic(env), env, config, ambient)
        }
        "email-campaign" => {
            let (customers, suppressions) = (env.required("CUSTOMERS_TABLE"), env.required("SUPPRESSIONS_TABLE"));
            let single_opt_ins = env.parsed("MAIL_SINGLE_OPT_INS");
            let key = secrets::Cached::new(SecretsManager::from_env("UNSUBSCRIBE_SECRET_ARN", env, config));
            let campaigns = email_campaign::EmailCampaign {
                lists: email_campaign::lists::Bucket::new(aws_sdk_s3::Client::new(config), env.required("CAMPAIGNS_BUCKET")),
                recipients: email_campaign::recipients::RecipientTables::new(
                    client.clone(),
                    customers,
                    suppressions,
                    single_opt_ins,
                    ambient,
                ),
                unsubscribe: SignedLinks { api_url: env.required("API_URL"), key },
                ledger: email_campaign::ledger::LedgerTable::new(client.clone(), env.required("EMAIL_LEDGER_TABLE"), ambient),
                sender: email_campaign::ses::Ses::from_env(env, config),
                ambient,
                pace: Default::default(),
            };
            batch(campaigns, NoTopic, env, config, ambient)
        }
        "order-intake" => {
            let table = order_intake::catalogue::CatalogueTable::new(client.clone(), env.required("CATALOGUE_TABLE"), ambient);
            let catalogue = order_intake::catalogue::Cached::new(table, ambient);
            let orders = Orders::new(client.clone(), env.required("ORDERS_TABLE"));
            let function = order_intake::OrderIntake { catalogue, orders, topic: topic(env), ambient };
            serve(ambient, Rc::new(function), |function, request| Box::pin(async move { function.handle(request).await }))
        }
        "order-status" => {
            let function = order_status::OrderStatus { orders: Orders::new(client.clone(), env.required("ORDERS_TABLE")) };
            serve(ambient, Rc::new(function), |function, request| Box::pin(async move { function.handle(request).await }))
        }
        "customer-signup" => {
            let customers = Customers::new(client.clone(), env.required("CUSTOMERS_TABLE"));
            let function = customer_signup::CustomerSignup { customers, topic: public_topic(env), ambient };
            serve(ambient, Rc::new(function), |function, request| Box::pin(async move { function.handle(request).await }))
        }
        "unsubscribe" => {
            let customers = Customers::new(client.clone(), env.required("CUSTOMERS_TABLE"));
            let key = CachedLinkKey::new(SecretsManager::from_env("UNSUBSCRIBE_SECRET_ARN", env, config));
            let function = unsubscribe::Unsubscribe { key, customers, ambient };
            serve(ambient, Rc::new(function), |function, request| Box::pin(async move { function.handle(request).await }))
        }
        "dlq-inspector" => {
            let ports = dlq_inspector::inspector::aws::Aws::from_env(env, config);
            let stack_name = ports.stack_name();
            let inspector = Rc::new(dlq_inspector::inspector::Inspector { ports, stack_name });
            Rc::new(move |event: Value, deadline: Instant| {
                let inspector = Rc::clone(&inspector);
                Box::pin(async move {
                    match inspector.handle(event, "r", domain::command::Power::Look, deadline).await {
                        Ok(_) => Outcome::Done,
                        Err(_) => Outcome::Error,
                    }
                }) as Pin<Box<dyn Future<Output = Outcome>>>
            })
        }
        // Stages that need nothing, by build.rs, and the refusal of all others.
        name => include!(concat!(env!("OUT_DIR"), "/plain.rs")),
    };
    std::mem::replace(env, Env::from_values::<String, String>([])).finish()?;
    Ok(handler)
}

/// What the functions' clients are made from, with what Lambda's environment would add.
fn config(cloud: &StubCloud) -> SdkConfig {
    let credentials = Credentials::new("drill", "drill", None, None, "drill");
    let config = aws_config_over(cloud.connector()).into_builder().region(Region::new("us-east-1"));
    config.credentials_provider(SharedCredentialsProvider::new(credentials)).build()
}

fn batch<C, P>(consumer: C, publisher: P, env: &mut Env, config: &SdkConfig, ambient: Drill) -> Handler
where
    C: Consumer + 'static,
    P: Publisher + 'static,
{
    let core = Rc::new(Batch { consumer, publisher, queue: SqsQueue::from_env(env, config), ambient });
    Rc::new(move |event, deadline| {
        let core = Rc::clone(&core);
        Box::pin(async move {
            let Ok(event) = serde_json::from_value(event) else { return Outcome::Error };
            let response = core.handle(event, deadline).await;
            Outcome::Batch(response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect())
        })
    })
}

type Answered<'a> = Pin<Box<dyn Future<Output = Result<http::Response, http::Refused>> + 'a>>;

fn serve<F: 'static>(ambient: Drill, function: Rc<F>, handle: for<'a> fn(&'a F, &'a http::Request) -> Answered<'a>) -> Handler {
    Rc::new(move |event, deadline| {
        let function = Rc::clone(&function);
        Box::pin(async move {
            let left = deadline.saturating_duration_since(Instant::now());
            let until = ambient.now().checked_add(left).unwrap_or(Timestamp::MAX);
            let answer = http::answer(event, until, &ambient, &async |request: &http::Request| handle(&function, request).await).await;
            Outcome::Status(answer.status())
        })
    })
}

/// How long a function has.
pub fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout
}

#[cfg(test)]
mod tests {
    use super::LONGEST;
    use lambda_kit::batch::{BACK_OFF_FIRST, BACK_OFF_MAX, back_off};

    #[test]
    fn every_back_off_is_the_longest() {
        for attempt in 1..20 {
            let longest = (BACK_OFF_FIRST * (1 << (attempt - 1).min(16))).min(BACK_OFF_MAX);
            assert_eq!(back_off(attempt, LONGEST), longest, "attempt {attempt}");
        }
    }
}
