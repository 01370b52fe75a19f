//! Sending by Amazon SES: one SendBulkEmail per chunk.
//!
//! [`EmailCampaign`](crate::EmailCampaign) calls it for recipients that are claimed. It does not send twice by itself: SES
//! has no token to know a mail by, so the SDK's own retries are off. And it does not hand on what SES says in words, for
//! SES quotes addresses.

use crate::{
    CampaignId,
    chunk::{Answer, Entry},
    refusal::{self, Advice, Blame, NOT_VERIFIED},
    templates::Template,
};
use aws_sdk_sesv2::{
    error::{BuildError, SdkError},
    operation::send_bulk_email::{SendBulkEmailError, builders::SendBulkEmailFluentBuilder},
    types::{
        self, BulkEmailContent, BulkEmailEntry, BulkEmailEntryResult, BulkEmailStatus, Destination, EmailTemplateContent, MessageHeader,
        MessageTag, ReplacementEmailContent, ReplacementTemplate,
    },
};
use domain::EmailAddress;
use lambda_kit::SdkConfig;
use lambda_kit::{
    Failure,
    config::Env,
    sdk::{code, failure},
    warm_up::{Opening, WarmUpRequest},
};
use mailer::{
    OrdersAddress,
    ses::{TEMPLATE_TAG, is_about_an_identity},
};
use std::{fmt, time::Duration};

/// How long a call may take. SES answers for fifty recipients within a second or two; eight leave room for a slow one, and
/// the slice's twelve last seconds room to write down what came of it.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(8);
/// The tag by which feedback says which campaign a mail belonged to.
pub const CAMPAIGN_TAG: &str = "campaign";

/// The content of one call.
#[derive(Debug)]
pub struct Bulk<'c> {
    /// The campaign.
    pub campaign_id: &'c CampaignId,
    /// Its content.
    pub template: &'static Template,
    /// To whom: 1 to 50.
    pub mails: Vec<BulkMail>,
}

/// One recipient's mail. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct BulkMail {
    /// Where to.
    pub to: EmailAddress,
    /// The values of the template's variables, a JSON object.
    pub data: String,
    /// The recipient's own link, for the header by which mail programs unsubscribe with one click (RFC 8058).
    pub unsubscribe_url: String,
}

impl fmt::Debug for BulkMail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[mail]")
    }
}

/// The part that sends campaigns.
pub trait Sender {
    /// How many mails a second the account may send: GetAccount.
    async fn rate(&self) -> Result<u32, Failure>;
    /// Sends: one SendBulkEmail, never repeated by itself.
    async fn send(&self, bulk: &Bulk<'_>) -> Answer;
}

/// [`mailer`]'s SES, with time for a call of many recipients.
#[derive(Debug, Clone)]
pub struct Ses(mailer::ses::Ses);

impl Ses {
    /// Sends as `from` with the configuration set of this name, which names where feedback goes.
    pub fn new(config: &SdkConfig, from: OrdersAddress, configuration_set: impl Into<String>) -> Self {
        Self(mailer::ses::Ses::within(SEND_TIMEOUT, config, from, configuration_set))
    }

    /// Reads `ORDERS_ADDRESS`, `MAIL_CONFIGURATION_SET` and, where there is one, `REPLIES_TO`.
    pub fn from_env(env: &mut Env, config: &SdkConfig) -> Self {
        Self(mailer::ses::Ses::within_from_env(SEND_TIMEOUT, env, config))
    }

    /// To be opened in init: the connection to SES.
    pub fn opening(&self) -> Opening<'_> {
        Opening::by_call("SES", self.0.client().get_account().customize().interceptor(WarmUpRequest).send())
    }

    fn call(&self, bulk: &Bulk<'_>) -> Result<SendBulkEmailFluentBuilder, BuildError> {
        let Template { name, subject, text, html } = *bulk.template;
        let content = EmailTemplateContent::builder().subject(subject).text(text).html(html).build();
        // The data of all is replaced by each one's; SES asks for some all the same.
        let template = types::Template::builder().template_content(content).template_data("{}").build();
        let tag = |name, value| MessageTag::builder().name(name).value(value).build();
        Ok(self
            .0
            .client()
            .send_bulk_email()
            .from_email_address(self.0.address().from_header())
            .set_reply_to_addresses(self.0.reply_to(None))
            .configuration_set_name(self.0.configuration_set())
            .default_email_tags(tag(TEMPLATE_TAG, name)?)
            .default_email_tags(tag(CAMPAIGN_TAG, bulk.campaign_id.as_str())?)
            .default_content(BulkEmailContent::builder().template(template).build())
            .set_bulk_email_entries(Some(bulk.mails.iter().map(entry).collect::<Result<_, _>>()?)))
    }
}

fn entry(mail: &BulkMail) -> Result<BulkEmailEntry, BuildError> {
    let data = ReplacementTemplate::builder().replacement_template_data(&mail.data).build();
    let header = |name: &str, value: &str| MessageHeader::builder().name(name).value(value).build();
    let entry = BulkEmailEntry::builder().destination(Destination::builder().to_addresses(mail.to.as_str()).build());
    let entry = entry.replacement_email_content(ReplacementEmailContent::builder().replacement_template(data).build());
    let entry = entry.replacement_headers(header("List-Unsubscribe", &format!("<{}>", mail.unsubscribe_url))?);
    Ok(entry.replacement_headers(header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")?).build())
}

impl Sender for Ses {
    async fn rate(&self) -> Result<u32, Failure> {
        let account = self.0.client().get_account().send().await.map_err(|error| match code(&error) {
            // As for a mail: a role that lacks a permission does not gain it by waiting.
            code if refusal::of_call(code) == Blame::People => Failure::permanent(code, Advice(code)),
            _ => failure("GetAccount", error),
        })?;
        // Saturates, and cuts off a fraction: slower, never faster.
        Ok(account.send_quota.map_or(0, |quota| quota.max_send_rate as u32))
    }

    async fn send(&self, bulk: &Bulk<'_>) -> Answer {
        let Ok(call) = self.call(bulk) else { return Answer::Refused("InvalidRequest".to_owned()) };
        match call.send().await {
            Ok(output) => Answer::Entries(output.bulk_email_entry_results.into_iter().map(fate).collect()),
            Err(error) => after(&error),
        }
    }
}

fn fate(result: BulkEmailEntryResult) -> Entry {
    match result.status {
        // Without an id the mail is out all the same.
        Some(BulkEmailStatus::Success) => Entry::Accepted(result.message_id.unwrap_or_default()),
        Some(status) => Entry::Refused(status.as_str().to_owned()),
        None => Entry::Silence,
    }
}

/// What a failed call says: that none is out, or nothing. Only an answer that names a fault of the request, or of the
/// account, is an answer; after a fault of SES's own, some may be out.
fn after(error: &SdkError<SendBulkEmailError>) -> Answer {
    let word = if error.as_service_error().is_some_and(is_about_an_identity) { NOT_VERIFIED } else { code(error) }.to_owned();
    let refused = match error {
        SdkError::ConstructionFailure(_) => true,
        SdkError::ServiceError(context) => {
            let status = context.raw().status();
            // A request that SES waited for in vain may have been read to its end after all.
            status.is_client_error() && status.as_u16() != 408
        }
        _ => false,
    };
    if refused { Answer::Refused(word) } else { Answer::Silence(word) }
}
