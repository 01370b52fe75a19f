//! What the suppression list sends to DynamoDB, to the byte.

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

#[tokio::test]
async fn transient_bounces_are_counted_by_their_feedback_ids() {
    let stored = json!({"address": {"S": "ada@example.com"}, "bounced_at": {"S": NOW}, "transient_bounces": {"SS": ["f-1", "f-2"]}});
    let aws = Aws::says(200, &json!({ "Attributes": stored }));
    let (suppressions, address, now) = list(&aws);
    assert_eq!(suppressions.note_transient_bounce(&address, "f-2", now).await.unwrap(), 2);
    let [asked] = &aws.asked()[..] else { panic!("one call") };
    assert_eq!(asked["UpdateExpression"], "SET #n0 = :v0 ADD #n1 :v1");
    assert_eq!(asked["ExpressionAttributeNames"], json!({"#n0": "bounced_at", "#n1": "transient_bounces"}));
    assert_eq!(asked["ExpressionAttributeValues"], json!({":v0": {"S": NOW}, ":v1": {"SS": ["f-2"]}}));
    assert_eq!((&asked["Key"], &asked["ReturnValues"]), (&json!({"address": {"S": "ada@example.com"}}), &json!("ALL_NEW")));
}
