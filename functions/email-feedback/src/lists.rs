//! Where it is kept who gets no more mail: the ports of `email-feedback`, and their AWS sides.
//!
//! [`EmailFeedback`](crate::EmailFeedback) calls them. They do not take an address off a list: that is a person's decision.

use aws_sdk_sesv2::{
    Client,
    error::{ProvideErrorMetadata as _, SdkError},
    operation::put_suppressed_destination::PutSuppressedDestinationError,
    types::SuppressionListReason,
};
use domain::{EmailAddress, Timestamp};
use lambda_kit::{
    Failure,
    dynamodb::{DynamoDb, failure},
    sdk,
    warm_up::{Opening, WarmUpRequest},
};
use mailer::suppression::{Reason, Suppressions, TransientBounce};

/// Our own list, which every mail is checked against before it is sent.
pub trait OwnList {
    /// Puts `address` on the list permanently: one UpdateItem. The first time and the first reason stay.
    async fn suppress(&self, address: &EmailAddress, reason: Reason, now: Timestamp) -> Result<(), Failure>;
    /// Notes a bounce that may pass: one UpdateItem, and one more where others have faded. Returns how many different ones
    /// there were lately, this one included.
    async fn note_transient_bounce(&self, address: &EmailAddress, bounce: TransientBounce<'_>, now: Timestamp) -> Result<usize, Failure>;
}

impl<D: DynamoDb> OwnList for Suppressions<D> {
    async fn suppress(&self, address: &EmailAddress, reason: Reason, now: Timestamp) -> Result<(), Failure> {
        self.suppress(address, reason, now).await
    }
    async fn note_transient_bounce(&self, address: &EmailAddress, bounce: TransientBounce<'_>, now: Timestamp) -> Result<usize, Failure> {
        self.note_transient_bounce(address, bounce, now).await
    }
}

/// The list of the SES account, which SES itself checks: it also holds for whatever else sends from the account.
pub trait AccountList {
    /// Puts `address` on the list, where the account has one that may be changed: one PutSuppressedDestination, which may be repeated.
    async fn suppress(&self, address: &EmailAddress, reason: Reason) -> Result<(), Failure>;
}

/// The account's list in SES.
#[derive(Debug, Clone)]
pub struct SesAccount(pub Client);

impl SesAccount {
    /// To be opened in init: the connection to SES.
    pub fn opening(&self) -> Opening<'_> {
        Opening::by_call("SES", self.0.put_suppressed_destination().customize().interceptor(WarmUpRequest).send())
    }
}

impl AccountList for SesAccount {
    async fn suppress(&self, address: &EmailAddress, reason: Reason) -> Result<(), Failure> {
        let reason = match reason {
            Reason::Complaint => SuppressionListReason::Complaint,
            Reason::PermanentBounce | Reason::TransientBounces => SuppressionListReason::Bounce,
        };
        let sent = self.0.put_suppressed_destination().email_address(address.as_str()).reason(reason).send().await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) if is_refused(&error) => {
                // What SES says is kept out: it may quote the address.
                tracing::warn!(account_list = "refused", error_type = sdk::code(&error), "SES takes this address on no list");
                Ok(())
            }
            Err(error) => Err(failure("PutSuppressedDestination", error)),
        }
    }
}

/// Whether SES will never take this, in an account like this one: a request that it finds bad, and in the sandbox, where the calls of the
/// list are switched off (<https://docs.aws.amazon.com/ses/latest/dg/request-production-access.html>), any. Our own list has the address
/// by now and decides about every mail, so nothing is lost. A permission that is missing is another thing: IAM says so, and an alarm
/// must.
fn is_refused(error: &SdkError<PutSuppressedDestinationError>) -> bool {
    let Some(answer) = error.as_service_error() else { return false };
    let iam = answer.message().is_some_and(|text| text.contains("not authorized to perform"));
    answer.is_bad_request_exception() || (answer.code() == Some("AccessDeniedException") && !iam)
}

/// [`None`] where there is no account list to keep: the local engine has none.
impl<L: AccountList> AccountList for Option<L> {
    async fn suppress(&self, address: &EmailAddress, reason: Reason) -> Result<(), Failure> {
        match self {
            Some(list) => list.suppress(address, reason).await,
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lambda_kit::Kind;
    use serde_json::{Value, json};
    use testkit::aws::{Aws, RecordedCall};

    fn account(status: u16, answer: &Value) -> (SesAccount, Aws) {
        let aws = Aws::says(status, answer);
        (SesAccount(Client::new(&aws.config_without_retries())), aws)
    }

    #[tokio::test]
    async fn an_address_is_suppressed_in_the_account_by_one_call() {
        for (reason, word) in [(Reason::Complaint, "COMPLAINT"), (Reason::PermanentBounce, "BOUNCE"), (Reason::TransientBounces, "BOUNCE")]
        {
            let (account, aws) = account(200, &json!({}));
            account.suppress(&"Ada@example.com".parse().unwrap(), reason).await.unwrap();
            let [RecordedCall { line, .. }] = &aws.requests()[..] else { panic!("one call") };
            assert_eq!(line, "PUT https://email.eu-central-1.amazonaws.com/v2/email/suppression/addresses");
            assert_eq!(aws.asked(), [json!({"EmailAddress": "Ada@example.com", "Reason": word})]);
        }
    }

    #[tokio::test]
    async fn an_account_that_keeps_no_list_stops_nothing() {
        let ada = "ada@example.com".parse().unwrap();
        for (status, code) in [(400, "BadRequestException"), (403, "AccessDeniedException")] {
            let answer = json!({"__type": code, "message": "This is not available in the sandbox: ada@example.com"});
            account(status, &answer).0.suppress(&ada, Reason::Complaint).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_ses_postpones_or_iam_denies_is_retried() {
        let ada = "ada@example.com".parse().unwrap();
        for (status, code, message) in [
            (429, "TooManyRequestsException", "slow down"),
            (403, "AccessDeniedException", "User: … is not authorized to perform: ses:PutSuppressedDestination on resource: *"),
        ] {
            let answer = json!({"__type": code, "message": message});
            let failure = account(status, &answer).0.suppress(&ada, Reason::Complaint).await.unwrap_err();
            assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Transient, code));
        }
    }
}
