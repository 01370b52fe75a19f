//! Whether a resource's policy lets a service in: as much of IAM's evaluation as the policies of a queue or a topic need here.

use super::template::items;
use serde_json::Value;

/// What a service does to a queue or a topic.
#[derive(Debug, Clone, Copy)]
pub struct Grant<'a> {
    /// Its principal.
    pub service: &'a str,
    pub action: &'a str,
    /// For whom it does so, where that is known: a topic, a configuration set.
    pub source_arn: Option<&'a str>,
    pub account: &'a str,
}

/// Whether a statement of the policy allows it. A statement that denies is left out: those of the template deny plain HTTP and other
/// accounts, which a service of AWS for this account is neither.
pub fn allows(policy: &Value, grant: &Grant<'_>) -> bool {
    items(&policy["Statement"]).any(|statement| {
        let names = |value: &Value, wanted: &str| texts(value).any(|pattern| matches(&pattern.to_lowercase(), &wanted.to_lowercase()));
        let principal = &statement["Principal"];
        statement["Effect"] == "Allow"
            && (*principal == "*" || names(&principal["Service"], grant.service))
            && names(&statement["Action"], grant.action)
            && holds(&statement["Condition"], grant)
    })
}

/// Whether the conditions hold, of which those about the source count and any other does not hold.
fn holds(condition: &Value, grant: &Grant<'_>) -> bool {
    let keys = condition.as_object().into_iter().flatten().filter_map(|(_, keys)| keys.as_object()).flatten();
    keys.into_iter().all(|(key, patterns)| match key.to_lowercase().as_str() {
        "aws:sourcearn" => grant.source_arn.is_none_or(|source| texts(patterns).any(|pattern| matches(pattern, source))),
        "aws:sourceaccount" | "aws:principalaccount" => texts(patterns).any(|pattern| pattern == grant.account),
        _ => false,
    })
}

/// IAM's patterns: `*` is any text, `?` any character.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star stands, and how far it has reached.
    let mut star = None;
    while let Some(&c) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == c => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, reached)) => {
                    star = Some((at, reached + 1));
                    (p, t) = (at + 1, reached + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).is_some_and(|rest| rest.iter().all(|c| *c == '*'))
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    items(value).filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TOPIC: &str = "arn:aws:sns:eu-west-1:1:shop-order-events.fifo";
    const GRANT: Grant<'static> = Grant { service: "sns.amazonaws.com", action: "sqs:SendMessage", source_arn: Some(TOPIC), account: "1" };

    fn statement() -> Value {
        json!({
            "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": "*",
            "Condition": {"ArnEquals": {"aws:SourceArn": ["arn:aws:sns:eu-west-1:1:other", TOPIC]}}
        })
    }

    #[test]
    fn a_service_is_let_in_by_name_action_and_source() {
        let allowed = |change: fn(&mut Value)| {
            let mut statement = statement();
            change(&mut statement);
            allows(&json!({ "Statement": [statement] }), &GRANT)
        };
        assert!(allowed(|_| ()));
        assert!(allowed(|it| it["Action"] = json!(["SQS:*"])));
        assert!(allowed(|it| it["Condition"] =
            json!({"StringEquals": {"aws:SourceAccount": "1"}, "ArnLike": {"aws:SourceArn": "arn:aws:sns:*:1:shop-*"}})));
        assert!(!allowed(|it| it["Effect"] = "Deny".into()));
        assert!(!allowed(|it| it["Principal"]["Service"] = "ses.amazonaws.com".into()));
        assert!(!allowed(|it| it["Action"] = "sqs:ReceiveMessage".into()));
        assert!(!allowed(|it| it["Condition"] = json!({"ArnEquals": {"aws:SourceArn": "arn:aws:sns:eu-west-1:1:other"}})));
        assert!(!allowed(|it| it["Condition"]["StringEquals"] = json!({"aws:SourceAccount": "2"})));
        assert!(!allowed(|it| it["Condition"]["StringEquals"] = json!({"aws:SourceVpce": "vpce-1"})), "what is not known does not hold");
        assert!(!allows(&Value::Null, &GRANT), "no policy");
    }

    #[test]
    fn patterns_are_matched_as_iam_does() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c*", "abcd", true),
            ("a?c", "abc", true),
            ("a*c", "abd", false),
            ("ab", "abc", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
