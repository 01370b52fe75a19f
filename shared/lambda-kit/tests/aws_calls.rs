//! The kit's requests to AWS, to the byte, and its handling of each response. AWS is a connector in memory.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use aws_sdk_dynamodb::config::{
    BehaviorVersion, Credentials, Region, SharedCredentialsProvider, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use lambda_kit::{
    Failure, Kind, SdkConfig,
    batch::{Attribute, Delayed, Hide, Parked, Queue, SqsQueue},
    config::Env,
    dynamodb::{Created, Fate, Table, Transacted, Update, Updated, number, string, transact},
    message::Outgoing,
    publish::{NoTopic, PublishError, Publisher, SnsTopic},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// A response of AWS: a status and a body, or none.
#[derive(Debug, Clone)]
enum Answer {
    Body(u16, String),
    TimesOut,
    IsAway,
    NeverComes,
}

/// AWS in so far as it answers once, and remembers what it was asked.
#[derive(Debug, Clone)]
struct Aws {
    answer: Answer,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Aws {
    fn new(answer: Answer) -> Self {
        Self { answer, asked: Arc::default() }
    }
    fn says(status: u16, body: impl ToString) -> Self {
        Self::new(Answer::Body(status, body.to_string()))
    }
    /// An error, as services that speak JSON put it.
    fn refuses(code: &str) -> Self {
        Self::says(400, json!({"__type": format!("com.amazonaws.v1#{code}"), "message": "said so"}))
    }
    fn config(&self) -> SdkConfig {
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "tests")))
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_millis(500)).build())
            .http_client(self.clone())
            .build()
    }
    fn table(&self) -> Table {
        let client = aws_sdk_dynamodb::Client::new(&self.config());
        Table::from_env("THINGS_TABLE", "id", &mut Env::from_values([("THINGS_TABLE", "things")]), &client)
    }
    fn topic(&self, name: &str) -> SnsTopic {
        let arn = format!("arn:aws:sns:us-east-1:123456789012:{name}");
        SnsTopic::from_env("TOPIC_ARN", &mut Env::from_values([("TOPIC_ARN", arn)]), &self.config())
    }
    fn queue(&self) -> SqsQueue {
        let urls = [("QUEUE_URL", "https://sqs.example/1/work"), ("DEAD_LETTER_QUEUE_URL", "https://sqs.example/1/work-dead")];
        SqsQueue::from_env(&mut Env::from_values(urls), &self.config())
    }
    /// The operation and the body of the one request there was.
    fn asked(&self) -> (String, Value) {
        let asked = self.asked.lock().unwrap();
        assert_eq!(asked.len(), 1, "one call");
        (asked[0].0.clone(), serde_json::from_str(&asked[0].1).unwrap())
    }
}

impl HttpConnector for Aws {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request.headers().get("x-amz-target").and_then(|target| target.split('.').next_back()).unwrap_or_default();
        let body = String::from_utf8(request.body().bytes().unwrap().to_vec()).unwrap();
        self.asked.lock().unwrap().push((operation.to_owned(), body));
        HttpConnectorFuture::ready(match &self.answer {
            Answer::NeverComes => return HttpConnectorFuture::new(std::future::pending()),
            Answer::Body(status, body) => Ok(HttpResponse::new((*status).try_into().unwrap(), body.clone().into())),
            Answer::TimesOut => Err(ConnectorError::timeout("too slow".into())),
            Answer::IsAway => Err(ConnectorError::io("nobody there".into())),
        })
    }
}
impl HttpClient for Aws {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Thing {
    id: String,
    count: u32,
}

fn thing() -> Thing {
    Thing { id: "a".into(), count: 2 }
}
fn stored() -> Value {
    json!({"id": {"S": "a"}, "count": {"N": "2"}})
}
/// A conditional write's refusal, with the item that was in the way.
fn in_the_way(item: Option<Value>) -> Aws {
    let mut body = json!({"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "said so"});
    if let Some(item) = item {
        body["Item"] = item;
    }
    Aws::says(400, body)
}
fn kind<T>(result: Result<T, Failure>) -> (Kind, String) {
    let failure = result.err().unwrap();
    (failure.kind, failure.error_type)
}

#[tokio::test]
async fn a_record_is_read_as_it_is_now() {
    let aws = Aws::says(200, json!({"Item": stored()}));
    let table = aws.table();
    assert_eq!(table.name(), "things");
    assert_eq!(table.get::<Thing>("a").await.unwrap(), Some(thing()));
    let wanted = json!({"TableName": "things", "Key": {"id": {"S": "a"}}, "ConsistentRead": true});
    assert_eq!(aws.asked(), ("GetItem".into(), wanted));
    assert_eq!(Aws::says(200, "{}").table().get::<Thing>("a").await.unwrap(), None);
    let unreadable = Aws::says(200, json!({"Item": {"id": {"S": "secret"}}})).table().get::<Thing>("a").await.unwrap_err();
    assert_eq!((unreadable.kind, unreadable.error_type.as_str()), (Kind::Bug, "UnreadableRecord"));
    assert!(!unreadable.chain().contains("secret"), "{}", unreadable.chain());
}

#[tokio::test]
async fn a_record_is_created_once_and_what_is_in_the_way_comes_back() {
    let aws = Aws::says(200, "{}");
    assert_eq!(aws.table().create(&thing()).await.unwrap(), Created::New);
    let (operation, put) = aws.asked();
    assert_eq!((operation.as_str(), &put["TableName"], &put["Item"]), ("PutItem", &json!("things"), &stored()));
    assert_eq!(
        (&put["ConditionExpression"], &put["ExpressionAttributeNames"]),
        (&json!("attribute_not_exists(#key)"), &json!({"#key": "id"}))
    );
    assert_eq!(put["ReturnValuesOnConditionCheckFailure"], "ALL_OLD");

    assert_eq!(in_the_way(Some(stored())).table().create(&thing()).await.unwrap(), Created::Exists(thing()));
    assert_eq!(kind(in_the_way(None).table().create(&thing()).await), (Kind::Transient, "LostRace".into()));
    let throttled = Aws::refuses("ProvisionedThroughputExceededException").table().create(&thing()).await;
    assert_eq!(kind(throttled), (Kind::Transient, "ProvisionedThroughputExceededException".into()));
}

#[tokio::test]
async fn an_update_returns_the_new_record_or_the_refusing_one() {
    let aws = Aws::says(200, json!({"Attributes": stored()}));
    let update = || Update::new().set("count", number(2)).if_equals("state", string("open"));
    assert_eq!(aws.table().update::<Thing>("a", update()).await.unwrap(), Updated::Now(thing()));
    let wanted = json!({
        "TableName": "things", "Key": {"id": {"S": "a"}}, "ReturnValues": "ALL_NEW", "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        "UpdateExpression": "SET #n0 = :v0", "ConditionExpression": "#n1 = :v1",
        "ExpressionAttributeNames": {"#n0": "count", "#n1": "state"}, "ExpressionAttributeValues": {":v0": {"N": "2"}, ":v1": {"S": "open"}}
    });
    assert_eq!(aws.asked(), ("UpdateItem".into(), wanted));

    let refused = in_the_way(Some(stored())).table().update::<Thing>("a", update()).await;
    assert_eq!(refused.unwrap(), Updated::Refused(Some(thing())));
    assert_eq!(in_the_way(None).table().update::<Thing>("a", update()).await.unwrap(), Updated::Refused(None));
    assert_eq!(kind(Aws::says(200, "{}").table().update::<Thing>("a", update()).await), (Kind::Bug, "NoImage".into()));
    assert_eq!(kind(Aws::refuses("ThrottlingException").table().update::<Thing>("a", update()).await).0, Kind::Transient);
}

#[tokio::test]
async fn an_update_that_looks_at_nothing_asks_for_nothing() {
    let aws = Aws::says(200, "{}");
    aws.table().write("a", Update::new().set_once("seen", number(1))).await.unwrap();
    assert_eq!(aws.asked().1["ReturnValues"], "NONE");
    let write = async |aws: Aws| kind(aws.table().write("a", Update::new().if_exists("id")).await);
    assert_eq!(write(in_the_way(None)).await, (Kind::Bug, "Refused".into()));
    let bare = Aws::says(200, "{}");
    bare.table().write("a", Update::new().if_exists("id")).await.unwrap();
    assert_eq!(bare.asked().1.get("ExpressionAttributeValues"), None, "DynamoDB refuses an empty map of values");
}

#[tokio::test]
async fn a_transaction_does_all_or_says_who_was_in_the_way() {
    let actions = |table: &Table| {
        vec![table.creation(&thing()).unwrap(), table.change("b", Update::new().set_all(&thing()).unwrap().take("stock", 3)).unwrap()]
    };
    let aws = Aws::says(200, "{}");
    let table = aws.table();
    assert_eq!(transact(table.client(), actions(&table)).await.unwrap(), Transacted::Done);
    let (operation, sent) = aws.asked();
    assert_eq!(operation, "TransactWriteItems");
    assert_eq!(
        (&sent["TransactItems"][0]["Put"]["Item"], &sent["TransactItems"][1]["Update"]["Key"]),
        (&stored(), &json!({"id": {"S": "b"}}))
    );
    let update = &sent["TransactItems"][1]["Update"];
    assert_eq!(update["UpdateExpression"], "SET #n0 = :v0, #n1 = :v1, #n2 = #n2 - :v2");
    assert_eq!(update["ExpressionAttributeValues"], json!({":v0": {"N": "2"}, ":v1": {"S": "a"}, ":v2": {"N": "3"}}));

    let reasons =
        json!([{"Code": "ConditionalCheckFailed", "Item": stored()}, {"Code": "ConditionalCheckFailed", "Item": {}}, {"Code": "None"}]);
    let cancelled =
        Aws::says(400, json!({"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "CancellationReasons": reasons}));
    let table = cancelled.table();
    let Transacted::Cancelled(fates) = transact(table.client(), actions(&table)).await.unwrap() else { panic!("done") };
    let item = HashMap::from([("id".to_owned(), string("a")), ("count".to_owned(), number(2))]);
    assert_eq!(fates, [Fate::ConditionFailed(Some(item)), Fate::ConditionFailed(None), Fate::Fine]);
    let table = Aws::refuses("ThrottlingException").table();
    assert_eq!(kind(transact(table.client(), actions(&table)).await), (Kind::Transient, "ThrottlingException".into()));
}

#[tokio::test]
async fn a_check_is_its_conditions_alone() {
    let aws = Aws::says(200, "{}");
    let table = aws.table();
    let open = table.check("b", Update::new().if_absent("closed_at").if_equals("state", string("open"))).unwrap();
    transact(table.client(), vec![table.creation(&thing()).unwrap(), open]).await.unwrap();
    let wanted = json!({
        "TableName": "things", "Key": {"id": {"S": "b"}}, "ConditionExpression": "attribute_not_exists(#n0) AND #n1 = :v0",
        "ExpressionAttributeNames": {"#n0": "closed_at", "#n1": "state"}, "ExpressionAttributeValues": {":v0": {"S": "open"}}
    });
    assert_eq!(aws.asked().1["TransactItems"][1], json!({ "ConditionCheck": wanted }));

    let bare = Aws::says(200, "{}");
    let table = bare.table();
    transact(table.client(), vec![table.check("b", Update::new().if_absent("closed_at")).unwrap()]).await.unwrap();
    let sent = &bare.asked().1["TransactItems"][0]["ConditionCheck"];
    assert_eq!(sent.get("ExpressionAttributeValues"), None, "DynamoDB refuses an empty map of values");

    assert_eq!(kind(table.check("b", Update::new())), (Kind::Bug, "InvalidRequest".into()));
    assert_eq!(kind(table.check("b", Update::new().set("count", number(1)).if_absent("id"))), (Kind::Bug, "NotACheck".into()));
}

#[tokio::test]
async fn what_a_failed_call_means_follows_from_its_code() {
    for (aws, expected) in [
        (Aws::refuses("ValidationException"), (Kind::Bug, "ValidationException")),
        (Aws::refuses("SerializationException"), (Kind::Bug, "SerializationException")),
        (Aws::refuses("AccessDeniedException"), (Kind::Transient, "AccessDeniedException")),
        (Aws::says(500, "{}"), (Kind::Transient, "ServiceError")),
        (Aws::new(Answer::TimesOut), (Kind::Transient, "Timeout")),
        (Aws::new(Answer::NeverComes), (Kind::Transient, "Timeout")),
        (Aws::new(Answer::IsAway), (Kind::Transient, "NoConnection")),
        (Aws::says(200, "no JSON"), (Kind::Transient, "ServiceError")),
    ] {
        let (kind, code) = kind(aws.table().get::<Thing>("a").await);
        assert_eq!((kind, code.as_str()), expected);
    }
    let lacks_a_part =
        lambda_kit::dynamodb::failure("GetItem", aws_sdk_dynamodb::error::SdkError::<Plain>::construction_failure("no table"));
    assert_eq!((lacks_a_part.kind, lacks_a_part.error_type.as_str()), (Kind::Bug, "InvalidRequest"));
}
type Plain = aws_sdk_dynamodb::operation::get_item::GetItemError;

fn outgoing(id: &str) -> Outgoing {
    let attributes = vec![("type", "order.placed.v1".to_owned())];
    Outgoing { group_id: "g".into(), deduplication_id: id.into(), body: format!("body of {id}"), attributes }
}

#[tokio::test]
async fn each_entry_of_a_publish_has_a_fate_of_its_own() {
    let answer = "<PublishBatchResponse><PublishBatchResult>\
        <Successful><member><Id>0</Id><MessageId>m</MessageId></member><member><Id>9</Id><MessageId>m</MessageId></member></Successful>\
        <Failed><member><Id>2</Id><Code>InternalError</Code><Message>busy</Message><SenderFault>false</SenderFault></member></Failed>\
        </PublishBatchResult></PublishBatchResponse>";
    let aws = Aws::says(200, answer);
    let fates = aws.topic("events.fifo").publish(&[outgoing("a"), outgoing("b"), outgoing("c")]).await;
    let codes: Vec<_> = fates.iter().map(|fate| fate.as_ref().map_err(|error| (error.code.as_str(), error.message.as_str()))).collect();
    let unmentioned = ("NotMentioned", "the answer does not mention this entry");
    assert_eq!(codes, [Ok(&()), Err(unmentioned), Err(("InternalError", "busy"))]);

    let sent = aws.asked.lock().unwrap()[0].1.clone();
    for wanted in [
        "TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A123456789012%3Aevents.fifo",
        "member.2.Id=1",
        "member.2.Message=body%20of%20b",
        "member.2.MessageGroupId=g",
        "member.2.MessageDeduplicationId=b",
        "Value.DataType=String",
        "Value.StringValue=order.placed.v1",
    ] {
        assert!(sent.contains(wanted), "{wanted} is not in {sent}");
    }
    let plain = Aws::says(200, answer);
    plain.topic("events").publish(&[outgoing("a")]).await;
    assert!(!plain.asked.lock().unwrap()[0].1.contains("MessageGroupId"), "a Standard topic takes no group");
}

#[tokio::test]
async fn a_publish_without_an_answer_fails_every_entry_with_its_code() {
    let error = |code: &str| {
        format!("<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>said so</Message></Error></ErrorResponse>")
    };
    for (aws, expected) in [
        (Aws::says(400, error("Throttled")), ("Throttled", "said so")),
        (Aws::new(Answer::TimesOut), ("Timeout", "PublishBatch failed")),
        (Aws::new(Answer::NeverComes), ("Timeout", "PublishBatch failed")),
        (Aws::new(Answer::IsAway), ("NoConnection", "PublishBatch failed")),
        (Aws::says(200, "no XML"), ("ServiceError", "PublishBatch failed")),
    ] {
        let fates = aws.topic("events.fifo").publish(&[outgoing("a"), outgoing("b")]).await;
        let expected = PublishError { code: expected.0.into(), message: expected.1.into() };
        assert_eq!(fates, [Err(expected.clone()), Err(expected)]);
    }
    let refused = NoTopic.publish(&[outgoing("a"), outgoing("b")]).await;
    assert_eq!(refused.iter().map(|fate| fate.as_ref().unwrap_err().code.as_str()).collect::<Vec<_>>(), ["NoTopic", "NoTopic"]);
}

fn hides() -> [Hide; 2] {
    [Hide { receipt_handle: "r-a".into(), seconds: 2 }, Hide { receipt_handle: "r-b".into(), seconds: 900 }]
}

#[tokio::test]
async fn messages_are_hidden_in_one_call_and_each_has_a_result() {
    let failed = json!([{"Id": "1", "Code": "ReceiptHandleIsInvalid", "Message": "expired", "SenderFault": true}]);
    let aws = Aws::says(200, json!({"Successful": [{"Id": "0"}], "Failed": failed}));
    let results: Vec<_> = aws.queue().hide(&hides()).await.into_iter().map(|result| result.map_err(|error| error.to_string())).collect();
    assert_eq!(results, [Ok(()), Err("ReceiptHandleIsInvalid: expired".to_owned())]);
    let entry =
        |n: usize, hide: &Hide| json!({"Id": n.to_string(), "ReceiptHandle": hide.receipt_handle, "VisibilityTimeout": hide.seconds});
    let entries: Vec<_> = hides().iter().enumerate().map(|(n, hide)| entry(n, hide)).collect();
    let wanted = json!({"QueueUrl": "https://sqs.example/1/work", "Entries": entries});
    assert_eq!(aws.asked(), ("ChangeMessageVisibilityBatch".into(), wanted));

    let refused = Aws::refuses("AccessDenied").queue().hide(&hides()).await;
    assert!(refused.len() == 2 && refused.iter().all(|result| result.as_ref().is_err_and(|error| error.0.contains("AccessDenied"))));
}

#[tokio::test]
async fn copies_go_to_their_own_queue_with_a_delay_each() {
    let copy = |id: &str, delay_s| Delayed {
        copy_of: id.into(),
        body: format!("body of {id}"),
        attributes: vec![("Checks".into(), Attribute::Text { data_type: "Number".into(), value: "3".into() })],
        delay_s,
    };
    let failed = json!([{"Id": "1", "Code": "InternalError", "Message": "try again", "SenderFault": false}]);
    let sent = json!({"Id": "0", "MessageId": "m", "MD5OfMessageBody": "c7bc6fcd9d0a3b0d1d9ef3b4bfbd4fd9"});
    let aws = Aws::says(200, json!({"Successful": [sent], "Failed": failed}));
    let copies = [copy("a", 1), copy("b", 900), copy("c", 77)];
    let results: Vec<_> = aws.queue().send_delayed(&copies).await.into_iter().map(|result| result.map_err(|error| error.0)).collect();
    let unsaid = "the answer does not mention this message".to_owned();
    assert_eq!(results, [Ok(()), Err("InternalError: try again".to_owned()), Err(unsaid)]);
    let entry = |n: usize, copy: &Delayed| {
        json!({"Id": n.to_string(), "MessageBody": copy.body, "DelaySeconds": copy.delay_s,
            "MessageAttributes": {"Checks": {"DataType": "Number", "StringValue": "3"}}})
    };
    let entries: Vec<_> = copies.iter().enumerate().map(|(n, copy)| entry(n, copy)).collect();
    assert_eq!(aws.asked(), ("SendMessageBatch".into(), json!({"QueueUrl": "https://sqs.example/1/work", "Entries": entries})));
    let refused = Aws::refuses("AccessDenied").queue().send_delayed(&copies).await;
    assert!(refused.len() == 3 && refused.iter().all(|result| result.as_ref().is_err_and(|error| error.0.contains("AccessDenied"))));
}

#[tokio::test]
async fn a_parked_message_goes_to_the_dead_letter_queue_whole() {
    let parked = Parked {
        body: "as it came".into(),
        attributes: vec![
            ("ErrorType".into(), Attribute::text("NeverPasses")),
            ("blob".into(), Attribute::Binary { data_type: "Binary".into(), value: vec![1, 2] }),
        ],
        group_id: Some("g".into()),
        deduplication_id: Some("m-a".into()),
    };
    let aws = Aws::says(200, json!({"MessageId": "m", "MD5OfMessageBody": "c7bc6fcd9d0a3b0d1d9ef3b4bfbd4fd9"}));
    let result = aws.queue().park(parked.clone()).await;
    let wanted = json!({
        "QueueUrl": "https://sqs.example/1/work-dead", "MessageBody": "as it came", "MessageGroupId": "g", "MessageDeduplicationId": "m-a",
        "MessageAttributes": {
            "ErrorType": {"DataType": "String", "StringValue": "NeverPasses"}, "blob": {"DataType": "Binary", "BinaryValue": "AQI="}
        }
    });
    assert_eq!(aws.asked(), ("SendMessage".into(), wanted));
    assert_eq!(result, Ok(()));
    assert!(Aws::refuses("AccessDenied").queue().park(parked).await.is_err_and(|error| error.0.contains("AccessDenied")));
}
