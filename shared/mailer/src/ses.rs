//! Sending by Amazon SES: one SendEmail per mail.
//!
//! [`Mailer`](crate::Mailer) calls it. It does not send a mail twice by itself: SES has no token to know a mail by, so the
//! SDK's own retries are off, and what the queue delivers again is the ledger's to judge.

use crate::{OrdersAddress, OutgoingMail};
use aws_sdk_sesv2::{
    Client,
    error::{BuildError, ProvideErrorMetadata, SdkError},
    operation::send_email::SendEmailError,
    primitives::Blob,
    types::{Attachment, AttachmentContentTransferEncoding, Body, Content, Destination, EmailContent, Message, MessageHeader, MessageTag},
};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use domain::EmailAddress;
use lambda_kit::SdkConfig;
use lambda_kit::{
    Failure,
    config::Env,
    sdk,
    warm_up::{Opening, WarmUpRequest},
};
use std::time::Duration;

/// How long a SendEmail may take. It answers within a second; five leave room for a slow one, and an invocation of ten, of
/// which the batch core keeps three, room to write down what came of it.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// The tag by which feedback says which template a mail was made of.
pub const TEMPLATE_TAG: &str = "template";

/// Text that SES encodes as quoted-printable or base64, and announces in the header.
const CHARSET: &str = "UTF-8";

/// Amazon SES, version 2 of its API.
#[derive(Debug, Clone)]
pub struct Ses {
    client: Client,
    from: OrdersAddress,
    configuration_set: String,
    /// Where answers go that nobody would read at `from`.
    replies_to: Option<EmailAddress>,
}

impl Ses {
    /// Sends as `from` with the configuration set of this name, which names where feedback goes.
    pub fn new(config: &SdkConfig, from: OrdersAddress, configuration_set: impl Into<String>) -> Self {
        Self::within(SEND_TIMEOUT, config, from, configuration_set)
    }

    /// The same, with another limit on what a call may take. No call is repeated, whatever its limit: SES knows no token.
    pub fn within(limit: Duration, config: &SdkConfig, from: OrdersAddress, configuration_set: impl Into<String>) -> Self {
        let timeout = TimeoutConfig::builder().operation_timeout(limit).build();
        let config = aws_sdk_sesv2::config::Builder::from(config).retry_config(RetryConfig::disabled()).timeout_config(timeout).build();
        Self { client: Client::from_conf(config), from, configuration_set: configuration_set.into(), replies_to: None }
    }

    /// Reads `ORDERS_ADDRESS`, `MAIL_CONFIGURATION_SET` and, where there is one, `REPLIES_TO`.
    pub fn from_env(env: &mut Env, config: &SdkConfig) -> Self {
        Self::within_from_env(SEND_TIMEOUT, env, config)
    }

    /// [`Ses::within`] a limit, from the same variables.
    pub fn within_from_env(limit: Duration, env: &mut Env, config: &SdkConfig) -> Self {
        let from = env.parsed("ORDERS_ADDRESS");
        let replies_to = env.parsed_if_set("REPLIES_TO");
        Self { replies_to, ..Self::within(limit, config, from, env.required("MAIL_CONFIGURATION_SET")) }
    }

    /// To be opened in init: the connection to SES.
    pub fn opening(&self) -> Opening<'_> {
        Opening::by_call("SES", self.client.send_email().customize().interceptor(WarmUpRequest).send())
    }

    /// The address that every mail comes from.
    pub fn address(&self) -> &OrdersAddress {
        &self.from
    }
    /// The configuration set that every mail goes out with.
    pub fn configuration_set(&self) -> &str {
        &self.configuration_set
    }
    /// Where the answers to a mail go, which itself would have them at `wanted`: the header `Reply-To`.
    pub fn reply_to(&self, wanted: Option<&str>) -> Option<Vec<String>> {
        self.replies_to.as_ref().map(EmailAddress::as_str).or(wanted).map(|address| vec![address.to_owned()])
    }
    /// The client, for calls that this module does not make.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl crate::Sender for Ses {
    async fn send(&self, outgoing: &OutgoingMail) -> Result<String, Failure> {
        let one_line = |text: &str| !text.contains(char::is_control);
        let headers = outgoing.headers.iter().flat_map(|(name, value)| [name, value]);
        if !headers.chain([&outgoing.mail.subject]).chain(&outgoing.reply_to).all(|text| one_line(text)) {
            return Err(Failure::bug("UnsafeHeader", "a header of the mail would have more than one line"));
        }
        let call = self.client.send_email().from_email_address(self.from.from_header());
        let call = call.destination(Destination::builder().to_addresses(outgoing.to.as_str()).build());
        let call = call.set_reply_to_addresses(self.reply_to(outgoing.reply_to.as_deref()));
        let call = call.content(EmailContent::builder().simple(message(outgoing).map_err(unbuildable)?).build());
        let tag = MessageTag::builder().name(TEMPLATE_TAG).value(outgoing.template).build().map_err(unbuildable)?;
        match call.configuration_set_name(&self.configuration_set).email_tags(tag).send().await {
            // Without an id the mail is out all the same.
            Ok(output) => Ok(output.message_id.unwrap_or_default()),
            Err(error) => Err(failure(error)),
        }
    }
}

fn message(outgoing: &OutgoingMail) -> Result<Message, BuildError> {
    let content = |data: &str| Content::builder().data(data).charset(CHARSET).build();
    let body = Body::builder().text(content(&outgoing.mail.text)?).html(content(&outgoing.mail.html)?).build();
    let headers = outgoing.headers.iter().map(|(name, value)| MessageHeader::builder().name(name).value(value).build());
    let headers = headers.collect::<Result<Vec<_>, _>>()?;
    let message = Message::builder().subject(content(&outgoing.mail.subject)?).body(body);
    let message = message.set_headers((!headers.is_empty()).then_some(headers));
    let attachments = outgoing.mail.attachment.as_ref().map(|file| Ok::<_, BuildError>(vec![attachment(file)?])).transpose()?;
    Ok(message.set_attachments(attachments).build())
}

/// SES makes the parts of the mail itself (<https://docs.aws.amazon.com/ses/latest/dg/attachments.html>), so that this is still the
/// SendEmail that a role may ask for, and not one of a raw message, which is another permission.
fn attachment(file: &crate::Attachment) -> Result<Attachment, BuildError> {
    let encoding = if file.seven_bits { AttachmentContentTransferEncoding::SevenBit } else { AttachmentContentTransferEncoding::Base64 };
    let attachment = Attachment::builder().file_name(file.file_name).content_type(file.content_type);
    attachment.content_transfer_encoding(encoding).raw_content(Blob::new(file.bytes.as_slice())).build()
}

/// What a failed SendEmail means for the mail.
///
/// An answer of SES is not kept as the cause: it quotes addresses, and failures end in logs.
///
/// A refusal that only a person can fix, such as a permission, a domain, an account that may not send, is transient here,
/// and permanent for a campaign. A campaign is one message that a person has just sent. Order mails are as many messages as
/// there are orders: parked at once, each would have to be sent back by hand, also after a cause that passes, such as a
/// permission that a deployment has just given (IAM is eventually consistent:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency>) or a
/// pause of minutes. Retried, they go out by themselves within a quarter of an hour of its end; the alarm on retries tells
/// people after eleven minutes, and after some three hours they lie in the dead-letter queue as well. Neither money nor
/// stock waits for a mail.
pub fn failure(error: SdkError<SendEmailError>) -> Failure {
    let code = sdk::code(&error).to_owned();
    let Some(answer) = error.as_service_error() else {
        let failure = match code.as_str() {
            "InvalidRequest" => Failure::bug(code, "a SendEmail could not be made"),
            _ => Failure::transient(code, "SendEmail had no answer: the mail may be out"),
        };
        return failure.caused_by(error);
    };
    match code.as_str() {
        "MessageRejected" if is_about_an_identity(answer) => {
            Failure::transient("NotVerified", "SES has not verified the sender, or, in its sandbox, the recipient: see docs/email.md")
        }
        "MessageRejected" => Failure::permanent(code, "SES rejects what the mail says"),
        "BadRequestException" => Failure::permanent(code, "SES cannot make a mail of this request"),
        "AccessDeniedException" => {
            Failure::transient(code, "the function's role may not send this mail: compare its SES statement with template.yaml, deploy")
        }
        "MailFromDomainNotVerifiedException" => {
            Failure::transient(code, "the sender's MAIL FROM domain is not verified: put the records of the stack's outputs into DNS")
        }
        "NotFoundException" => Failure::transient(code, "the configuration set does not exist: deploy the stack"),
        "AccountSuspendedException" => {
            Failure::transient(code, "AWS has ended sending for this account: answer AWS's case in the support centre")
        }
        "SendingPausedException" => {
            Failure::transient(code, "sending is paused for the account: find out why in the SES console, then resume it")
        }
        "LimitExceededException" | "TooManyRequestsException" => Failure::transient(code, "SES's sending rate or quota is used up"),
        _ if error.raw_response().is_some_and(|response| response.status().is_server_error()) => {
            Failure::transient(code, "SES failed in the middle of a SendEmail: the mail may be out")
        }
        _ => Failure::transient(code, "SendEmail failed"),
    }
}

/// Whether SES refuses a mail because an identity is not verified: the sender's or, while the account is in the sandbox, the
/// recipient's. It has no code of its own.
pub fn is_about_an_identity(answer: &impl ProvideErrorMetadata) -> bool {
    answer.code() == Some("MessageRejected") && answer.message().is_some_and(|text| text.contains("not verified"))
}

fn unbuildable(error: BuildError) -> Failure {
    Failure::bug("InvalidRequest", "a SendEmail lacks a part").caused_by(error)
}

#[cfg(test)]
mod tests;
