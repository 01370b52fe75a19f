//! The calls to AWS, as recorded requests and answers.

use super::*;
use serde_json::json;

#[test]
fn a_page_of_ids_is_a_valid_cloudwatch_pattern() {
    assert_eq!(pattern(&["a-1", "b\" || $.x = \"", "c"]).unwrap(), r#"{ ($.message_id = "a-1") || ($.message_id = "c") }"#);
    assert_eq!(pattern(&["", "*"]), None);
    let id = "0e8f9a6c-36ac-4a52-8d4e-0a9f2b4b6f01";
    // CloudWatch Logs takes 1,024 characters.
    assert!(pattern(&[id; crate::inspector::ports::PAGE_MAX]).unwrap().len() <= 1024);
}

#[test]
fn a_message_is_read_with_what_sqs_says_of_it() {
    let value = |text: &str| aws_sdk_sqs::types::MessageAttributeValue::builder().data_type("String").string_value(text).build().unwrap();
    let message = Message::builder()
        .message_id("m")
        .receipt_handle("r")
        .body("{}")
        .attributes(MessageSystemAttributeName::SentTimestamp, "1777889472000")
        .attributes(MessageSystemAttributeName::ApproximateReceiveCount, "21")
        .attributes(MessageSystemAttributeName::DeadLetterQueueSourceArn, "arn:aws:sqs:us-east-1:0:q")
        .message_attributes("type", value("order.placed.v1"));
    let received = received(message.build()).unwrap();
    assert_eq!((received.receives, received.sent_at.as_millisecond()), (21, 1_777_889_472_000));
    assert_eq!(
        (received.moved_from.as_deref(), received.group_id, received.attributes.len()),
        (Some("arn:aws:sqs:us-east-1:0:q"), None, 1)
    );
    assert_eq!(dead_letter_arn(Some(&r#"{"deadLetterTargetArn":"arn:x","maxReceiveCount":20}"#.to_owned())).as_deref(), Some("arn:x"));
}

fn asking(aws: &testkit::aws::Aws) -> Aws {
    let told = [
        ("STACK_ID", "arn:stack/stack/1"),
        ("ARCHIVE_BUCKET", "archive"),
        ("ALERTS_TOPIC_ARN", "arn:alerts"),
        ("PAYMENTS_TABLE", "payments"),
    ];
    let mut env = Env::from_values(told);
    let ports = Aws::from_env(&mut env, &aws.config_without_retries());
    env.finish().unwrap();
    ports
}

#[tokio::test]
async fn a_service_without_move_tasks_is_told_from_one_that_refuses() {
    let without = testkit::aws::Aws::refuses("InvalidAction", "unknown");
    assert_eq!(asking(&without).last_move("arn:q").await.unwrap(), None);
    let refusing = testkit::aws::Aws::refuses("AccessDeniedException", "no");
    assert_eq!(asking(&refusing).last_move("arn:q").await.unwrap_err().error_type, "AccessDeniedException");
    let task = json!({ "Status": "FAILED", "ApproximateNumberOfMessagesMoved": 7, "ApproximateNumberOfMessagesToMove": 9 });
    let failed = asking(&testkit::aws::Aws::says(200, &json!({ "Results": [task] }))).last_move("arn:q").await.unwrap();
    assert_eq!(failed, Some(Some(MoveTask { over: true, moved: 7, to_move: 9, failure: Some("FAILED".into()) })));
    let running = json!({ "Results": [{ "Status": "RUNNING" }] });
    let running = asking(&testkit::aws::Aws::says(200, &running)).last_move("arn:q").await.unwrap();
    assert!(running.is_some_and(|task| task.is_some_and(|task| !task.over && task.failure.is_none())));
}

#[tokio::test]
async fn a_gone_message_counts_as_released_and_a_failed_release_not() {
    let failed = |sender_fault: bool| json!({ "Failed": [{ "Id": "0", "Code": "InternalError", "SenderFault": sender_fault }] });
    let aws = testkit::aws::Aws::says(200, &failed(true));
    asking(&aws).release("https://q", &["r".into()]).await.unwrap();
    assert_eq!(aws.asked()[0]["Entries"], json!([{ "Id": "0", "ReceiptHandle": "r", "VisibilityTimeout": 0 }]));
    let error = asking(&testkit::aws::Aws::says(200, &failed(false))).release("https://q", &["r".into()]).await.unwrap_err();
    assert_eq!(error.error_type, "InternalError");
}

#[tokio::test]
async fn an_object_never_archived_is_none_a_denied_read_fails() {
    let said = |status, code: &str| asking(&testkit::aws::Aws::answering([(status, format!("<Error><Code>{code}</Code></Error>"))]));
    assert_eq!(said(404, "NoSuchKey").get("digest/last.json").await.unwrap(), None);
    assert_eq!(said(403, "AccessDenied").get("digest/last.json").await.unwrap_err().error_type, "AccessDenied");
}

#[tokio::test]
async fn a_stack_is_read_by_pages_without_unmade_resources() {
    let resource = |id: &str, physical: &str| {
        format!("<member><LogicalResourceId>{id}</LogicalResourceId>{physical}<ResourceType>AWS::SQS::Queue</ResourceType></member>")
    };
    let page = |members: String, next: &str| {
        let result = format!("<StackResourceSummaries>{members}</StackResourceSummaries>{next}");
        (
            200,
            format!(
                "<ListStackResourcesResponse><ListStackResourcesResult>{result}</ListStackResourcesResult></ListStackResourcesResponse>"
            ),
        )
    };
    let made = "<PhysicalResourceId>https://q</PhysicalResourceId>";
    let aws = testkit::aws::Aws::answering([
        page(resource("AQueue", made) + &resource("Unmade", ""), "<NextToken>2</NextToken>"),
        page(resource("BQueue", made), ""),
    ]);
    let names: Vec<_> = asking(&aws).resources().await.unwrap().into_iter().map(|it| it.logical_id).collect();
    assert_eq!(names, ["AQueue", "BQueue"]);
    assert!(aws.requests()[1].body.contains("NextToken=2") && aws.requests()[0].body.contains("StackName=arn"));
}

#[tokio::test]
async fn the_last_error_of_a_message_counts_on_whatever_page_it_stands() {
    let line = |id: &str, error_type: &str| json!({ "message_id": id, "error_type": error_type, "error": "e" }).to_string();
    let event = |ms: i64, message: String| json!({ "timestamp": ms, "message": message });
    let aws = testkit::aws::Aws::says_all([
        (200, json!({ "events": [event(1, line("m", "Timeout")), event(2, "START".into())], "nextToken": "2" })),
        (200, json!({ "events": [event(9, line("m", "Throttling")), event(10, line("other", "Panic"))] })),
    ]);
    let LastErrors { by_id: found, complete } = asking(&aws).last_errors("group", &["m"], Timestamp::UNIX_EPOCH).await.unwrap();
    assert!(complete);
    assert_eq!((found.len(), found["m"].error_type.as_str(), found["m"].at.as_millisecond()), (1, "Throttling", 9));
}

#[tokio::test]
async fn a_log_that_has_no_end_is_left_and_that_is_said() {
    let aws = testkit::aws::Aws::says(200, &json!({ "events": [], "nextToken": "more" }));
    let found = asking(&aws).last_errors("group", &["m"], Timestamp::UNIX_EPOCH).await.unwrap();
    assert_eq!((found, aws.requests().len()), (LastErrors::default(), LOG_PAGES_MAX));
}
