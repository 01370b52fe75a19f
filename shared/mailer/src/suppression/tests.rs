//! The suppression list's requests to DynamoDB, to the byte.

use super::*;
use serde_json::json;
use testkit::aws::Aws;

const NOW: &str = "2026-05-04T10:11:12.345Z";

fn list(aws: &Aws) -> (Suppressions, EmailAddress, Timestamp) {
    (Suppressions::new(aws.dynamodb(), "suppressions"), "Ada@Example.com".parse().unwrap(), NOW.parse().unwrap())
}

#[tokio::test]
async fn an_address_is_suppressed_in_lower_case_and_the_first_reason_stays() {
    for (reason, written) in
        [(Reason::Complaint, "complaint"), (Reason::PermanentBounce, "permanent_bounce"), (Reason::TransientBounces, "transient_bounces")]
    {
        let aws = Aws::says(200, &json!({}));
        let (suppressions, address, now) = list(&aws);
        suppressions.suppress(&address, reason, now).await.unwrap();
        let wanted = json!({
            "TableName": "suppressions", "Key": {"address": {"S": "ada@example.com"}}, "ReturnValues": "NONE",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            "UpdateExpression": "SET #n0 = if_not_exists(#n0, :v0), #n1 = if_not_exists(#n1, :v1)",
            "ExpressionAttributeNames": {"#n0": "suppressed_at", "#n1": "reason"},
            "ExpressionAttributeValues": {":v0": {"S": NOW}, ":v1": {"S": written}}
        });
        assert_eq!(aws.asked(), [wanted]);
    }
}

fn bounce(id: &str) -> TransientBounce<'_> {
    TransientBounce { id, at: "2026-05-04T10:00:00Z".parse().unwrap() }
}

#[tokio::test]
async fn a_transient_bounce_is_noted_with_its_time_by_one_write() {
    let noted = ["2026-04-20T08:00:00Z f-1", "2026-05-04T10:00:00Z f-2"];
    let stored = json!({"address": {"S": "ada@example.com"}, "bounced_at": {"S": NOW}, "transient_bounces": {"SS": noted}});
    let aws = Aws::says(200, &json!({ "Attributes": stored }));
    let (suppressions, address, now) = list(&aws);
    assert_eq!(suppressions.note_transient_bounce(&address, bounce("f-2"), now).await.unwrap(), 2);
    let [asked] = &aws.asked()[..] else { panic!("one call") };
    assert_eq!(asked["UpdateExpression"], "SET #n0 = :v0 ADD #n1 :v1");
    assert_eq!(asked["ExpressionAttributeNames"], json!({"#n0": "bounced_at", "#n1": "transient_bounces"}));
    assert_eq!(asked["ExpressionAttributeValues"], json!({":v0": {"S": NOW}, ":v1": {"SS": ["2026-05-04T10:00:00Z f-2"]}}));
    assert_eq!((&asked["Key"], &asked["ReturnValues"]), (&json!({"address": {"S": "ada@example.com"}}), &json!("ALL_NEW")));
}

#[tokio::test]
async fn what_has_faded_does_not_count_and_is_taken_out() {
    let month_ago = "2026-04-04T10:11:12.345Z f-2";
    let faded = ["2026-04-04T10:11:12.344Z f-1", "f-0, as it was noted once"];
    let twice = ["2026-05-04T10:00:00Z f-3", "2026-05-04T10:00:01Z f-3"];
    let stored = json!({"transient_bounces": {"SS": [faded[0], month_ago, faded[1], twice[0], twice[1]]}});
    let aws = Aws::says_all([(200, json!({ "Attributes": stored })), (200, json!({}))]);
    let (suppressions, address, now) = list(&aws);
    assert_eq!(suppressions.note_transient_bounce(&address, bounce("f-3"), now).await.unwrap(), 2, "by their ids");
    let [_, asked] = &aws.asked()[..] else { panic!("two calls") };
    assert_eq!(asked["UpdateExpression"], "DELETE #n0 :v0");
    assert_eq!(asked["ExpressionAttributeValues"], json!({":v0": {"SS": faded}}));
}

#[tokio::test]
async fn a_bounce_from_the_future_is_one_of_now() {
    let aws = Aws::says(200, &json!({"Attributes": {"transient_bounces": {"SS": ["2026-05-04T10:11:12.345Z f-1"]}}}));
    let (suppressions, address, now) = list(&aws);
    let bounce = TransientBounce { id: "f-1", at: "2036-01-01T00:00:00Z".parse().unwrap() };
    assert_eq!(suppressions.note_transient_bounce(&address, bounce, now).await.unwrap(), 1);
    assert_eq!(aws.asked()[0]["ExpressionAttributeValues"][":v1"], json!({"SS": [format!("{NOW} f-1")]}));
}
