//! What each operation is answered with: the shortest answer that its caller takes for success.
//!
//! It does not know what the functions make of them; only DynamoDB's answers depend on what was asked before.

use super::{Service, dynamodb::Tables};
use serde_json::{Value, json};

/// The value of every secret but one.
const STRIPE_KEY: &str = "sk_test_0123456789abcdef0123456789abcdef";
/// The key that the sample links of `unsubscribe` were signed with.
const LINK_KEY: &str = "a sample key, never one that is in use";
/// What the id of that secret has in it.
const LINKS: &[u8] = b"UnsubscribeSecret";
/// Every list of a campaign.
const LIST: &str = "email,name,voucher\nada@example.com,Ada,SPRING10\n";
/// Every mail that came in.
const MAIL: &str = "From: Ada Example <ada@example.com>\r\nSubject: Re: Your order\r\nMIME-Version: 1.0\r\n\
                    Content-Type: text/plain; charset=utf-8\r\n\r\nPlease cancel.\r\n";
/// When every payment was created: long ago. Nothing reads it where the charge says when its hold lapses.
const CREATED_S: i64 = 1_777_889_472;
/// When every hold lapses: at the end of the century.
const CAPTURE_BEFORE_S: i64 = 4_102_358_400;
/// Most entries in a batch of SNS and SQS.
const ENTRIES_MAX: usize = 10;

/// An answer over HTTP.
#[derive(Debug, PartialEq, Eq)]
pub struct StubAnswer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

impl StubAnswer {
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, content_type: "application/json", body: body.to_string().into_bytes() }
    }
    fn xml(body: String) -> Self {
        Self { status: 200, content_type: "text/xml", body: body.into_bytes() }
    }
}

/// A request, as far as answers differ.
#[derive(Debug, Clone, Copy)]
pub struct ApiCall<'a> {
    pub service: Service,
    pub operation: &'a str,
    pub path: &'a str,
    pub body: &'a [u8],
}

/// # Errors
/// There is no answer, with the reason.
pub fn answer(asked: ApiCall, tables: &mut Tables) -> Result<StubAnswer, String> {
    let no_answer = || "no such operation".to_owned();
    match (asked.service, asked.operation) {
        // A function that opens a connection before it needs one asks for nothing, and takes any answer.
        (_, super::operation::WARM_UP_REQUEST) => Ok(StubAnswer::json(404, &json!({}))),
        (Service::DynamoDb, operation) => tables.answer(operation, asked.body),
        (Service::Sns, "PublishBatch") => Ok(published(asked.body)),
        (Service::Sns, "Publish") => {
            Ok(StubAnswer::xml("<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>".to_owned()))
        }
        (Service::Sqs, operation) => queue(operation, asked.body),
        (Service::SecretsManager, "GetSecretValue") => {
            let secret = if asked.body.windows(LINKS.len()).any(|part| part == LINKS) { LINK_KEY } else { STRIPE_KEY };
            let arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:s";
            Ok(StubAnswer::json(200, &json!({"ARN": arn, "Name": "s", "SecretString": secret})))
        }
        (Service::Ses, "SendEmail") => Ok(StubAnswer::json(200, &json!({"MessageId": "m"}))),
        (Service::Ses, "SendBulkEmail") => {
            let asked: Value = serde_json::from_slice(asked.body).map_err(|error| error.to_string())?;
            let entries = asked["BulkEmailEntries"].as_array().map_or(0, Vec::len);
            Ok(StubAnswer::json(200, &json!({"BulkEmailEntryResults": vec![json!({"Status": "SUCCESS", "MessageId": "m"}); entries]})))
        }
        (Service::Ses, "GetAccount") => {
            Ok(StubAnswer::json(200, &json!({"SendQuota": {"MaxSendRate": 14, "Max24HourSend": 50000, "SentLast24Hours": 0}})))
        }
        (Service::Ses, "PutSuppressedDestination") => Ok(StubAnswer::json(200, &json!({}))),
        (Service::S3, "GetObject") => Ok(StubAnswer { status: 200, content_type: "application/octet-stream", body: object(asked.path) }),
        (Service::S3, "PutObject") => Ok(StubAnswer::xml(String::new())),
        (Service::CloudFormation, "ListStackResources") => Ok(StubAnswer::xml(
            "<ListStackResourcesResponse><ListStackResourcesResult><StackResourceSummaries/></ListStackResourcesResult>\
             </ListStackResourcesResponse>"
                .to_owned(),
        )),
        (Service::Stripe, operation) => payment_intent(operation, asked).ok_or_else(no_answer),
        _ => Err(no_answer()),
    }
}

/// A list of one recipient, because the second would wait for the send rate; or a mail.
fn object(path: &str) -> Vec<u8> {
    if path.ends_with(".csv") { LIST } else { MAIL }.as_bytes().to_vec()
}

/// Every entry got through.
fn published(body: &[u8]) -> StubAnswer {
    let ids = form_urlencoded::parse(body).filter(|(name, _)| {
        name.strip_prefix("PublishBatchRequestEntries.member.")
            .and_then(|rest| rest.split_once('.'))
            .is_some_and(|(_, field)| field == "Id")
    });
    let member = |id: &str| format!("<member><Id>{id}</Id><MessageId>m</MessageId><SequenceNumber>1</SequenceNumber></member>");
    let members: String = ids.take(ENTRIES_MAX).map(|(_, id)| member(&id)).collect();
    StubAnswer::xml(format!(
        "<PublishBatchResponse><PublishBatchResult><Successful>{members}</Successful><Failed/></PublishBatchResult></PublishBatchResponse>"
    ))
}

fn queue(operation: &str, body: &[u8]) -> Result<StubAnswer, String> {
    let asked: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let all = || -> Vec<Value> { asked["Entries"].as_array().into_iter().flatten().map(|entry| json!({"Id": entry["Id"]})).collect() };
    Ok(StubAnswer::json(
        200,
        &match operation {
            // Which is how a message is parked, and no case is about one that is.
            "SendMessage" => return Err("a message was parked; the function's log says why".to_owned()),
            // Which is how a message is looked at again.
            "SendMessageBatch" => {
                let sent = |entry: Value| json!({"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "m"});
                json!({"Successful": all().into_iter().map(sent).collect::<Vec<_>>(), "Failed": []})
            }
            "ChangeMessageVisibilityBatch" | "DeleteMessageBatch" => json!({"Successful": all(), "Failed": []}),
            "ChangeMessageVisibility" | "DeleteMessage" => json!({}),
            "ReceiveMessage" => json!({"Messages": []}),
            _ => return Err("no such operation".to_owned()),
        },
    ))
}

/// A PaymentIntent that is just where the operation leads. Its id is made of its order's, which is all that is remembered.
fn payment_intent(operation: &str, asked: ApiCall) -> Option<StubAnswer> {
    let status = match operation {
        "Stripe create" => "requires_confirmation",
        "Stripe confirm" | "Stripe look" => "requires_capture",
        "Stripe capture" => "succeeded",
        "Stripe cancel" => "canceled",
        _ => return None,
    };
    let order_id = if operation == "Stripe create" {
        let (_, id) = form_urlencoded::parse(asked.body).find(|(name, _)| name == "metadata[order_id]")?;
        id.parse::<uuid::Uuid>().ok()?
    } else {
        asked.path.split('/').find_map(|segment| segment.strip_prefix("pi_"))?.parse().ok()?
    };
    let charge = json!({"id": "ch_1", "object": "charge", "payment_method_details": {"card": {"capture_before": CAPTURE_BEFORE_S}}});
    Some(StubAnswer::json(
        200,
        &json!({"id": format!("pi_{}", order_id.simple()), "object": "payment_intent", "status": status, "created": CREATED_S,
            "metadata": {"order_id": order_id.to_string()}, "latest_charge": (status != "requires_confirmation").then_some(charge)}),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(service: Service, operation: &str, path: &str, body: &str) -> Result<String, String> {
        let asked = ApiCall { service, operation, path, body: body.as_bytes() };
        answer(asked, &mut Tables::new(Default::default())).map(|answer| String::from_utf8(answer.body).unwrap())
    }

    #[test]
    fn every_entry_of_a_batch_is_published_by_its_id() {
        let body = "Action=PublishBatch&PublishBatchRequestEntries.member.1.Id=0&PublishBatchRequestEntries.member.1.Message=x\
                    &PublishBatchRequestEntries.member.2.Id=7";
        let answer = ask(Service::Sns, "PublishBatch", "/", body).unwrap();
        assert!(answer.contains("<Id>0</Id>") && answer.contains("<Id>7</Id>") && answer.matches("<member>").count() == 2, "{answer}");
    }

    #[test]
    fn a_payment_names_its_order_from_its_creation_to_its_capture() {
        let order = "ee3717c6-3e6f-58b0-ad82-7756503e0a32";
        let created = ask(Service::Stripe, "Stripe create", "/v1/payment_intents", &format!("metadata[order_id]={order}")).unwrap();
        let created: Value = serde_json::from_str(&created).unwrap();
        let path = format!("/v1/payment_intents/{}/capture", created["id"].as_str().unwrap());
        let captured: Value = serde_json::from_str(&ask(Service::Stripe, "Stripe capture", &path, "").unwrap()).unwrap();
        assert_eq!((&captured["metadata"]["order_id"], &captured["status"]), (&json!(order), &json!("succeeded")));
    }

    #[test]
    fn an_unknown_operation_has_no_answer() {
        assert!(ask(Service::Sqs, "PurgeQueue", "/", "{}").is_err());
        assert!(ask(Service::Sns, "Subscribe", "/", "").is_err());
    }
}
