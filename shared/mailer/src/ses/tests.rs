//! Requests to SES, to the byte, and the handling of each response.

use super::*;
use crate::{Attachment, Mail, Sender, tests::outgoing};
use lambda_kit::Kind;
use serde_json::json;
use testkit::aws::Aws;

fn ses(aws: &Aws) -> Ses {
    let mut env = Env::from_values([("ORDERS_ADDRESS", "orders@example.com"), ("MAIL_CONFIGURATION_SET", "mail")]);
    let ses = Ses::from_env(&mut env, &aws.config());
    env.finish().unwrap();
    ses
}

#[tokio::test]
async fn a_mail_is_one_send_email_to_one_recipient() {
    let aws = Aws::says(200, &json!({"MessageId": "ses-1"}));
    assert_eq!(ses(&aws).send(&outgoing()).await.unwrap(), "ses-1");
    let content = |data: &str| json!({"Data": data, "Charset": "UTF-8"});
    let wanted = json!({
        "FromEmailAddress": "Order Pipeline <orders@example.com>",
        "Destination": {"ToAddresses": ["Ada@Example.com"]},
        "ReplyToAddresses": ["orders+o@example.com"],
        "Content": {"Simple": {
            "Subject": content("Order received"),
            "Body": {"Text": content("text & text"), "Html": content("<p>text &amp; text</p>")},
            "Headers": [{"Name": "Auto-Submitted", "Value": "auto-generated"}]
        }},
        "EmailTags": [{"Name": "template", "Value": "received"}],
        "ConfigurationSetName": "mail"
    });
    assert_eq!(aws.asked(), [wanted]);
}

#[tokio::test]
async fn answers_go_to_support_where_nobody_reads_ours() {
    let aws = Aws::says(200, &json!({}));
    let told = [("ORDERS_ADDRESS", "orders@example.com"), ("MAIL_CONFIGURATION_SET", "mail"), ("REPLIES_TO", "help@example.org")];
    let mut env = Env::from_values(told);
    let ses = Ses::from_env(&mut env, &aws.config());
    env.finish().unwrap();
    for outgoing in [outgoing(), OutgoingMail { reply_to: None, ..outgoing() }] {
        ses.send(&outgoing).await.unwrap();
    }
    assert!(aws.asked().iter().all(|asked| asked["ReplyToAddresses"] == json!(["help@example.org"])), "{:?}", aws.asked());
}

#[test]
fn a_support_address_that_is_none_stops_the_start() {
    let told = [("ORDERS_ADDRESS", "orders@example.com"), ("MAIL_CONFIGURATION_SET", "mail"), ("REPLIES_TO", "nobody")];
    let mut env = Env::from_values(told);
    Ses::from_env(&mut env, &Aws::says(200, &json!({})).config());
    assert!(env.finish().unwrap_err().to_string().contains("REPLIES_TO is invalid"));
}

#[tokio::test]
async fn a_mail_without_extras_sends_none() {
    let aws = Aws::says(200, &json!({}));
    let bare = OutgoingMail { reply_to: None, headers: vec![], ..outgoing() };
    assert_eq!(ses(&aws).send(&bare).await.unwrap(), "", "taken, though without an id");
    let asked = &aws.asked()[0];
    assert_eq!((asked.get("ReplyToAddresses"), asked["Content"]["Simple"].get("Headers")), (None, None));
}

#[tokio::test]
async fn an_attachment_goes_along_as_it_is_or_encoded() {
    for (seven_bits, encoding) in [(true, "SEVEN_BIT"), (false, "BASE64")] {
        let aws = Aws::says(200, &json!({}));
        let attachment = Attachment { file_name: "original.eml", content_type: "message/rfc822", seven_bits, bytes: b"From: a".to_vec() };
        let with = OutgoingMail { mail: Mail { attachment: Some(attachment), ..outgoing().mail }, ..outgoing() };
        ses(&aws).send(&with).await.unwrap();
        let wanted = json!([{
            "RawContent": "RnJvbTogYQ==",
            "FileName": "original.eml",
            "ContentType": "message/rfc822",
            "ContentTransferEncoding": encoding
        }]);
        assert_eq!(aws.asked()[0]["Content"]["Simple"]["Attachments"], wanted);
    }
}

#[tokio::test]
async fn a_header_of_more_than_one_line_never_goes_out() {
    let aws = Aws::says(200, &json!({}));
    let mail = Mail { subject: "a\nBcc: b@example.com".into(), ..outgoing().mail };
    let header = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    for unsafe_mail in [
        OutgoingMail { mail, ..outgoing() },
        OutgoingMail { reply_to: Some("a@example.com\r\nBcc: b@example.com".into()), ..outgoing() },
        OutgoingMail { headers: header("X-A", "a\r\nBcc: b@example.com"), ..outgoing() },
        OutgoingMail { headers: header("X-A: a\r\nBcc", "b@example.com"), ..outgoing() },
    ] {
        let failure = ses(&aws).send(&unsafe_mail).await.unwrap_err();
        assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Bug, "UnsafeHeader"));
    }
    assert_eq!(aws.asked(), Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn a_refusal_is_classified_by_who_must_act_and_quotes_no_address() {
    let unverified = "Email address is not verified. The following identities failed the check in region EU-CENTRAL-1: ada@example.com";
    for (aws, expected) in [
        (Aws::refuses("MessageRejected", unverified), (Kind::Transient, "NotVerified")),
        (Aws::refuses("MessageRejected", "ada@example.com"), (Kind::Permanent, "MessageRejected")),
        (Aws::refuses("BadRequestException", "ada@example.com"), (Kind::Permanent, "BadRequestException")),
        (Aws::refuses("MailFromDomainNotVerifiedException", ""), (Kind::Transient, "MailFromDomainNotVerifiedException")),
        (Aws::refuses("NotFoundException", ""), (Kind::Transient, "NotFoundException")),
        (Aws::refuses("AccountSuspendedException", ""), (Kind::Transient, "AccountSuspendedException")),
        (Aws::refuses("SendingPausedException", ""), (Kind::Transient, "SendingPausedException")),
        (Aws::refuses("LimitExceededException", ""), (Kind::Transient, "LimitExceededException")),
        (Aws::refuses("TooManyRequestsException", ""), (Kind::Transient, "TooManyRequestsException")),
        (Aws::refuses("AccessDeniedException", "ada@example.com"), (Kind::Transient, "AccessDeniedException")),
    ] {
        let failure = ses(&aws).send(&outgoing()).await.unwrap_err();
        assert_eq!((failure.kind, failure.error_type.as_str()), expected);
        assert!(!failure.chain().contains("ada@"), "{}", failure.chain());
    }
}

#[tokio::test]
async fn a_mail_that_may_be_out_is_not_sent_again_by_the_sdk() {
    for (aws, code) in [(Aws::says(500, &json!({})), "ServiceError"), (Aws::is_silent(), "Timeout")] {
        let failure = ses(&aws).send(&outgoing()).await.unwrap_err();
        assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Transient, code));
        assert_eq!(aws.asked().len(), 1);
    }
}
