//! JSON that another service writes: a missing member, `null` and an envelope around it.
//!
//! Readers of SES's events and of a payment provider's answers call it. It does not serve JSON that people or our own
//! commands write: there a `null` is a mistake, and `"dry_run": null` must not count as "no".

use serde::{Deserialize, Deserializer};

/// `null` as the default of its type, as if the member were missing: to be named beside `default`, which serde applies to a missing
/// member alone.
///
/// Services write either for "nothing", and change from one to the other without a word, because most languages read both alike.
///
/// ```
/// #[derive(serde::Deserialize)]
/// struct Mail {
///     #[serde(default, deserialize_with = "lambda_kit::foreign_json::null_as_default")]
///     destination: Vec<String>,
/// }
/// let mail: Mail = serde_json::from_str(r#"{"destination": null}"#).unwrap();
/// assert!(mail.destination.is_empty());
/// ```
///
/// # Errors
/// Those of the type.
pub fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Whether `body` is the envelope that SNS puts around a message where raw message delivery is off
/// (<https://docs.aws.amazon.com/sns/latest/dg/sns-large-payload-raw-message-delivery.html>,
/// <https://docs.aws.amazon.com/sns/latest/dg/http-notification-json.html>).
pub fn is_sns_envelope(body: &str) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Envelope {
        r#type: String,
        topic_arn: String,
        message: String,
    }
    let is_one = |it: Envelope| it.r#type == "Notification" && it.topic_arn.starts_with("arn:") && !it.message.is_empty();
    serde_json::from_str(body).is_ok_and(is_one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Parsed {
        #[serde(default, deserialize_with = "null_as_default")]
        list: Vec<String>,
    }

    #[test]
    fn null_counts_as_missing_and_a_wrong_type_as_wrong() {
        let read = |value: serde_json::Value| serde_json::from_value::<Parsed>(value);
        assert_eq!(read(json!({ "list": null })).unwrap(), read(json!({})).unwrap());
        assert_eq!(read(json!({"list": ["a"]})).unwrap().list, ["a"]);
        assert!(read(json!({"list": "a"})).is_err() && read(json!({"list": [null]})).is_err());
    }

    #[test]
    fn an_envelope_of_sns_is_told_from_an_event() {
        let envelope = json!({"Type": "Notification", "MessageId": "x", "TopicArn": "arn:aws:sns:us-east-1:1:t", "Message": "{}"});
        assert!(is_sns_envelope(&envelope.to_string()));
        let without = |member: &str| {
            let mut envelope = envelope.clone();
            envelope.as_object_mut().unwrap().remove(member);
            envelope.to_string()
        };
        for member in ["Type", "TopicArn", "Message"] {
            assert!(!is_sns_envelope(&without(member)), "{member}");
        }
        for other in ["", "null", "[]", "{\"eventType\":\"Send\"}", "Successfully validated SNS topic"] {
            assert!(!is_sns_envelope(other), "{other}");
        }
    }
}
