//! Which operation of which service a request asks for.
//!
//! AWS has four ways to say so: a header (`X-Amz-Target`), a form (`Action=`), and for REST the method and the path, in which
//! Stripe does as S3 and SES do.

use http::request::Parts;

/// What the functions call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Tables.
    DynamoDb,
    /// Topics.
    Sns,
    /// Queues.
    Sqs,
    /// Secrets.
    SecretsManager,
    /// Mail.
    Ses,
    /// Buckets.
    S3,
    /// The stack.
    CloudFormation,
    /// What functions log.
    CloudWatchLogs,
    /// The payment provider.
    Stripe,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::DynamoDb,
        Self::Sns,
        Self::Sqs,
        Self::SecretsManager,
        Self::Ses,
        Self::S3,
        Self::CloudFormation,
        Self::CloudWatchLogs,
        Self::Stripe,
    ];

    /// The variable by which a function learns where it is. Stripe's stands in the template instead.
    #[must_use]
    pub fn variable(self) -> Option<&'static str> {
        Some(match self {
            Self::DynamoDb => "AWS_ENDPOINT_URL_DYNAMODB",
            Self::Sns => "AWS_ENDPOINT_URL_SNS",
            Self::Sqs => "AWS_ENDPOINT_URL_SQS",
            Self::SecretsManager => "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            Self::Ses => "AWS_ENDPOINT_URL_SESV2",
            Self::S3 => "AWS_ENDPOINT_URL_S3",
            Self::CloudFormation => "AWS_ENDPOINT_URL_CLOUDFORMATION",
            Self::CloudWatchLogs => "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
            Self::Stripe => return None,
        })
    }

    /// A name, so that looking it up is part of the first call. S3 puts its bucket before a name, and leaves an address alone.
    pub(super) fn host(self) -> &'static str {
        if self == Self::S3 { "127.0.0.1" } else { "localhost" }
    }
}

/// A bare `GET /`, which asks for nothing: a connection that is opened before it is needed.
pub const WARM_UP_REQUEST: &str = "warm-up request";

/// The operation in its own words, for instance `PutItem`; what is not recognized by its method and path.
pub fn name(service: Service, head: &Parts, body: &[u8]) -> String {
    let named = match service {
        Service::DynamoDb | Service::Sqs | Service::SecretsManager | Service::CloudWatchLogs => target(head),
        Service::Sns | Service::CloudFormation => action(body),
        Service::Ses | Service::S3 | Service::Stripe => rest(service, head.method.as_str(), head.uri.path()).map(str::to_owned),
    };
    let is_warm_up = named.is_none() && head.method == "GET" && head.uri.path() == "/" && body.is_empty();
    named.or_else(|| is_warm_up.then(|| WARM_UP_REQUEST.to_owned())).unwrap_or_else(|| format!("{} {}", head.method, head.uri.path()))
}

/// `X-Amz-Target: DynamoDB_20120810.PutItem`
fn target(head: &Parts) -> Option<String> {
    let (_, operation) = head.headers.get("x-amz-target")?.to_str().ok()?.rsplit_once('.')?;
    Some(operation.to_owned())
}

/// `Action=PublishBatch&Version=…`
fn action(body: &[u8]) -> Option<String> {
    let (_, action) = form_urlencoded::parse(body).find(|(name, _)| name == "Action")?;
    Some(action.into_owned())
}

fn rest(service: Service, method: &str, path: &str) -> Option<&'static str> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    Some(match (service, method, &segments[..]) {
        (Service::Ses, "POST", ["v2", "email", "outbound-emails"]) => "SendEmail",
        (Service::Ses, "POST", ["v2", "email", "outbound-bulk-emails"]) => "SendBulkEmail",
        (Service::Ses, "GET", ["v2", "email", "account"]) => "GetAccount",
        (Service::Ses, "PUT", ["v2", "email", "suppression", "addresses"]) => "PutSuppressedDestination",
        (Service::S3, "GET", [_, _, ..]) => "GetObject",
        (Service::S3, "PUT", [_, _, ..]) => "PutObject",
        (Service::Stripe, "POST", ["v1", "payment_intents"]) => "Stripe create",
        (Service::Stripe, "GET", ["v1", "payment_intents", _]) => "Stripe look",
        (Service::Stripe, "POST", ["v1", "payment_intents", _, "confirm"]) => "Stripe confirm",
        (Service::Stripe, "POST", ["v1", "payment_intents", _, "capture"]) => "Stripe capture",
        (Service::Stripe, "POST", ["v1", "payment_intents", _, "cancel"]) => "Stripe cancel",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn of(service: Service, method: &str, path: &str, target: &str, body: &str) -> String {
        let request = Request::builder().method(method).uri(path).header("x-amz-target", target).body(()).unwrap();
        name(service, &request.into_parts().0, body.as_bytes())
    }

    #[test]
    fn every_way_to_name_an_operation_is_read() {
        assert_eq!(of(Service::DynamoDb, "POST", "/", "DynamoDB_20120810.PutItem", "{}"), "PutItem");
        assert_eq!(of(Service::Sns, "POST", "/", "", "Action=PublishBatch&Version=2010-03-31"), "PublishBatch");
        assert_eq!(of(Service::Ses, "POST", "/v2/email/outbound-emails", "", "{}"), "SendEmail");
        assert_eq!(of(Service::S3, "GET", "/bucket/a/key", "", ""), "GetObject");
        assert_eq!(of(Service::Stripe, "POST", "/v1/payment_intents/pi_1/capture", "", ""), "Stripe capture");
    }

    #[test]
    fn what_is_not_recognized_is_called_by_its_method_and_path() {
        assert_eq!(of(Service::Ses, "DELETE", "/v2/email/identities/x", "", ""), "DELETE /v2/email/identities/x");
        assert_eq!(of(Service::Sns, "POST", "/", "", "Version=1"), "POST /");
        assert_eq!(of(Service::Sns, "GET", "/", "", ""), WARM_UP_REQUEST);
    }
}
