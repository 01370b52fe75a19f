//! The meaning of SES's refusals, and the action of an operator.
//!
//! [`outcome`](crate::chunk::outcome) decides by it. It does not wait for what only a person changes: a campaign has one
//! message, which waits in its dead-letter queue with an alarm and a sentence, and goes on where it was when it is sent
//! back. Order mails wait instead, see [`mailer::ses::failure`].

use std::fmt;

/// Who or what must change, and so what becomes of the recipient and of the campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Nothing: tried again, a bounded number of times.
    Moment,
    /// Our rate: tried again, not counted, for it says nothing about the recipient.
    Rate,
    /// The day's quota, or a code that SES documents nowhere: the recipients wait, and the message is retried with back-off.
    Later,
    /// The account's or the configuration's, which do not change by themselves: the message is parked, the recipients wait.
    People,
    /// The mail's: final, once it is known that it is this recipient's and not the template's.
    Mail,
}

/// Of the status of an entry. One that is new blames the mail: it is one of the entry alone.
pub fn of_entry(status: &str) -> Blame {
    known(status).unwrap_or(Blame::Mail)
}

/// Of the code of a call that was refused as a whole.
pub fn of_call(code: &str) -> Blame {
    known(code).unwrap_or(Blame::Later)
}

/// The statuses of entries (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_BulkEmailEntryResult.html>; its page and
/// its model spell three of them differently), the errors of calls
/// (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendBulkEmail.html>), and those of any call.
fn known(code: &str) -> Option<Blame> {
    Some(match code {
        "TRANSIENT_FAILURE" => Blame::Moment,
        "ACCOUNT_THROTTLED" | "TooManyRequestsException" | "ThrottlingException" | "Throttling" => Blame::Rate,
        "ACCOUNT_DAILY_QUOTA_EXCEEDED" | "LimitExceededException" => Blame::Later,
        // One address that SES cannot read refuses the whole call, "even if the message contains other recipients that are valid"
        // (<https://docs.aws.amazon.com/ses/latest/APIReference/API_SendBulkTemplatedEmail.html>).
        "BadRequestException" | "MessageRejected" | NOT_VERIFIED | "ValidationException" | "SerializationException" | "InvalidRequest" => {
            Blame::Mail
        }
        _ => return people_must(code).map(|_| Blame::People),
    })
}

/// [`ses`](crate::ses)'s word for a `MessageRejected` that is about an identity: the sender's, or in the sandbox the recipient's.
pub const NOT_VERIFIED: &str = "NotVerified";

/// The operator's action on a refusal that does not pass by itself.
fn people_must(code: &str) -> Option<&'static str> {
    Some(match code {
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => {
            "the function's role may not do this: compare its SES statements with template.yaml and deploy"
        }
        "AccountSuspendedException" | "ACCOUNT_SUSPENDED" => {
            "AWS has ended sending for this account: answer AWS's case in the support centre"
        }
        "SendingPausedException" | "ACCOUNT_SENDING_PAUSED" => {
            "sending is paused for the account: find out why in the SES console, then `aws sesv2 put-account-sending-attributes \
             --sending-enabled`"
        }
        "CONFIGURATION_SET_SENDING_PAUSED" => {
            "sending is paused for the configuration set: `aws sesv2 put-configuration-set-sending-options --sending-enabled`"
        }
        "MailFromDomainNotVerifiedException" | "MAIL_FROM_DOMAIN_NOT_VERIFIED" => {
            "the sender's domain or its MAIL FROM domain is not verified: put the records of the stack's outputs into DNS"
        }
        "NotFoundException"
        | "ConfigurationSetDoesNotExist"
        | "ConfigurationSetDoesNotExistException"
        | "CONFIGURATION_SET_DOES_NOT_EXIST"
        | "CONFIGURATION_SET_NOT_FOUND" => "the configuration set does not exist: deploy the stack",
        "INVALID_SENDING_POOL_NAME" => "the configuration set names a pool of addresses that does not exist: correct it",
        "TEMPLATE_DOES_NOT_EXIST" | "TEMPLATE_NOT_FOUND" => "SES wants a stored template, and the campaign brings its own: this is a bug",
        _ => return None,
    })
}

/// The sentence for the operator: why SES refuses, and what to do. It ends in the dead-letter queue.
pub struct Advice<'c>(pub &'c str);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (people_must(self.0), self.0) {
            (Some(todo), _) => write!(f, "{todo}; then send the campaign's message back, and it goes on where it was"),
            (None, NOT_VERIFIED) => f.write_str(
                "SES has verified neither the sender nor, where the account is in its sandbox, the recipients: put the records of the stack's \
                 outputs into DNS, or leave the sandbox; then send the campaign's message back",
            ),
            (None, _) => f.write_str(
                "SES has accepted no mail of this campaign and refuses each alone: the template or the columns that it names are wrong, not a \
                 recipient. Correct them, deploy, then send the campaign's message back",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_people_change_says_what_they_do() {
        for code in [
            "AccessDeniedException",
            "AccountSuspendedException",
            "SendingPausedException",
            "MailFromDomainNotVerifiedException",
            "NotFoundException",
            "ConfigurationSetDoesNotExist",
            "ACCOUNT_SENDING_PAUSED",
            "ACCOUNT_SUSPENDED",
            "CONFIGURATION_SET_DOES_NOT_EXIST",
            "CONFIGURATION_SET_NOT_FOUND",
            "CONFIGURATION_SET_SENDING_PAUSED",
            "INVALID_SENDING_POOL_NAME",
            "MAIL_FROM_DOMAIN_NOT_VERIFIED",
            "TEMPLATE_DOES_NOT_EXIST",
            "TEMPLATE_NOT_FOUND",
        ] {
            assert_eq!((of_call(code), of_entry(code)), (Blame::People, Blame::People), "{code}");
            assert!(Advice(code).to_string().ends_with("it goes on where it was"), "{code}");
        }
    }

    #[test]
    fn a_passing_refusal_waits_and_a_new_one_blames_its_subject() {
        for code in ["ACCOUNT_DAILY_QUOTA_EXCEEDED", "LimitExceededException"] {
            assert_eq!((of_call(code), of_entry(code)), (Blame::Later, Blame::Later), "{code}");
        }
        assert_eq!((of_call("TooManyRequestsException"), of_entry("ACCOUNT_THROTTLED")), (Blame::Rate, Blame::Rate));
        assert_eq!((of_call("SomethingNew"), of_entry("SOMETHING_NEW")), (Blame::Later, Blame::Mail));
    }
}
