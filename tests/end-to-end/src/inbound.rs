//! A mail that comes in, as SES would have it.
//!
//! The local engine receives no mail, so tests store one and tell of it themselves.

use anyhow::Result;
use serde_json::json;
use testkit::stack::Stack;

/// Stores a plain mail in the bucket of what came in; returns SES's notification of it. `authenticated` is the verdict on SPF
/// and DMARC: `PASS`, `FAIL`, `GRAY`.
///
/// # Errors
/// Where the engine refuses.
pub async fn stored(stack: &Stack, from: &str, to: &str, text: &str, authenticated: &str) -> Result<String> {
    stored_at(stack, from, to, text, authenticated, &crate::events::now().to_string()).await
}

/// An hour of the past (`2006-01-02T15`) whose places among the forwards no other test takes.
pub fn hour_of_its_own() -> String {
    format!("{}-{:02}-{:02}T{:02}", fastrand::u32(1990..2020), fastrand::u32(1..13), fastrand::u32(1..29), fastrand::u32(0..24))
}

/// [`stored`], of a mail that SES received at another time than now.
///
/// # Errors
/// Where the engine refuses.
pub async fn stored_at(stack: &Stack, from: &str, to: &str, text: &str, authenticated: &str, at: &str) -> Result<String> {
    let message_id = format!("{:032x}", fastrand::u128(..));
    let mime = format!(
        "Return-Path: <{from}>\r\nFrom: {from}\r\nTo: {to}\r\nSubject: Re: Your order\r\nMessage-ID: <{message_id}@example.com>\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n"
    );
    stack.store("InboundMailBucket", &message_id, &mime).await?;
    let verdict = |status: &str| json!({"status": status});
    let notification = json!({
        "notificationType": "Received",
        "mail": {
            "timestamp": at, "source": from, "messageId": message_id, "destination": [to], "headersTruncated": false,
            "headers": [{"name": "Return-Path", "value": format!("<{from}>")}, {"name": "From", "value": from}, {"name": "To", "value": to}],
            "commonHeaders": {"returnPath": from, "from": [from], "to": [to], "subject": "Re: Your order", "messageId": format!("<{message_id}@example.com>")}
        },
        "receipt": {
            "timestamp": at, "processingTimeMillis": 574, "recipients": [to],
            "spamVerdict": verdict("PASS"), "virusVerdict": verdict("PASS"), "spfVerdict": verdict(authenticated),
            "dkimVerdict": verdict("PASS"), "dmarcVerdict": verdict(authenticated),
            "action": {
                "type": "S3", "topicArn": stack.state.output("InboundMailTopicArn")?,
                "bucketName": stack.state.output("InboundMailBucketName")?, "objectKeyPrefix": "", "objectKey": message_id
            }
        }
    });
    Ok(notification.to_string())
}
