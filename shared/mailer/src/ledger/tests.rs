//! The ledger's requests to DynamoDB, to the byte, and its handling of each response.

use super::*;
use crate::{Ledger, tests::outgoing};
use lambda_kit::Kind;
use serde_json::{Value, json};
use testkit::aws::Aws;

const NOW: &str = "2026-05-04T10:11:12.345Z";
const UNTIL_TEXT: &str = "2026-05-04T10:11:42.345Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}
fn ledger(aws: &Aws) -> EmailLedger {
    let tables = [("EMAIL_LEDGER_TABLE", "outgoing"), ("SUPPRESSIONS_TABLE", "suppressions"), ("MAIL_LIMITS_TABLE", "limits")];
    let mut env = Env::from_values(tables.into_iter().chain([("UNPAID_MAILS_PER_HOUR", "300")]));
    EmailLedger::from_env(&mut env, &aws.dynamodb())
}
fn row(state: &str) -> Value {
    json!({"mail_id": {"S": "o/received"}, "state": {"S": state}, "until": {"S": UNTIL_TEXT}, "template": {"S": "received"}})
}
fn cancelled(reasons: &[Value]) -> Aws {
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    Aws::says(400, &json!({"__type": kind, "CancellationReasons": reasons}))
}
fn fine() -> Value {
    json!({"Code": "None"})
}
fn failed(item: Value) -> Value {
    json!({"Code": "ConditionalCheckFailed", "Item": item})
}
fn not_suppressed() -> Value {
    json!({"ConditionCheck": {
        "TableName": "suppressions", "Key": {"address": {"S": "ada@example.com"}},
        "ConditionExpression": "attribute_not_exists(#n0)", "ExpressionAttributeNames": {"#n0": "suppressed_at"}
    }})
}

/// One more mail of ten to the address, in the hour that begins at ten: by a pseudonym, until two days after it.
fn counted() -> Value {
    json!({"Update": {
        "TableName": "limits", "Key": {"limit_id": {"S": "to/e507ff26-6a21-519c-adde-1e19920b0ce2/2026-05-04T10"}},
        "UpdateExpression": "SET #n1 = :v1 ADD #n0 :v0", "ConditionExpression": "(attribute_not_exists(#n0) OR #n0 < :v2)",
        "ExpressionAttributeNames": {"#n0": "mails", "#n1": "expires_at"},
        "ExpressionAttributeValues": {":v0": {"N": "1"}, ":v1": {"N": "1778065200"}, ":v2": {"N": "10"}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD"
    }})
}

#[tokio::test]
async fn a_claim_is_one_transaction_of_row_suppression_and_count() {
    let aws = Aws::says(200, &json!({}));
    assert_eq!(ledger(&aws).claim(&outgoing(), now()).await.unwrap(), Claim::Ours);
    let [asked] = &aws.asked()[..] else { panic!("one call") };
    let put = json!({"Put": {
        "TableName": "outgoing", "Item": row("sending"), "ConditionExpression": "attribute_not_exists(#key)",
        "ExpressionAttributeNames": {"#key": "mail_id"}, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"
    }});
    assert_eq!(asked["TransactItems"], json!([put, not_suppressed(), counted()]));
}

/// The attack of a click on "spam": what it leaves behind is asked for nowhere on the way to an operator.
#[tokio::test]
async fn operators_are_mailed_whatever_the_suppression_list_says() {
    let aws = Aws::says(200, &json!({}));
    let ledger = EmailLedger::of_operators(aws.dynamodb(), "outgoing");
    assert_eq!(ledger.claim(&outgoing(), now()).await.unwrap(), Claim::Ours);
    assert_eq!(ledger.reclaim(&outgoing(), now(), now()).await.unwrap(), Claim::Ours);
    for asked in aws.asked() {
        let actions = asked["TransactItems"].as_array().unwrap();
        assert_eq!((actions.len(), asked.to_string().contains("suppress")), (1, false), "{asked}");
    }
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    let taken = Aws::says(400, &json!({"__type": kind, "CancellationReasons": [failed(row("sent"))]}));
    let ledger = EmailLedger::of_operators(taken.dynamodb(), "outgoing");
    assert_eq!(ledger.claim(&outgoing(), now()).await.unwrap(), Claim::Taken(ClaimState::Sent), "a forward goes out once all the same");
}

#[tokio::test]
async fn an_expired_claim_is_taken_by_its_old_end() {
    let aws = Aws::says(200, &json!({}));
    let over = "2026-05-04T10:00:00Z";
    assert_eq!(ledger(&aws).reclaim(&outgoing(), over.parse().unwrap(), now()).await.unwrap(), Claim::Ours);
    let [asked] = &aws.asked()[..] else { panic!("one call") };
    let update = json!({"Update": {
        "TableName": "outgoing", "Key": {"mail_id": {"S": "o/received"}}, "UpdateExpression": "SET #n0 = :v0",
        "ConditionExpression": "#n1 = :v1 AND #n0 = :v2", "ExpressionAttributeNames": {"#n0": "until", "#n1": "state"},
        "ExpressionAttributeValues": {":v0": {"S": UNTIL_TEXT}, ":v1": {"S": "sending"}, ":v2": {"S": over}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD"
    }});
    assert_eq!(asked["TransactItems"], json!([update, not_suppressed()]));
}

#[tokio::test]
async fn that_ses_has_taken_a_mail_is_one_unconditional_update() {
    let aws = Aws::says(200, &json!({}));
    ledger(&aws).sent("o/received", "ses-1", now()).await.unwrap();
    let wanted = json!({
        "TableName": "outgoing", "Key": {"mail_id": {"S": "o/received"}}, "ReturnValues": "NONE",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        "UpdateExpression": "SET #n0 = :v0, #n1 = if_not_exists(#n1, :v1), #n2 = if_not_exists(#n2, :v2)",
        "ExpressionAttributeNames": {"#n0": "state", "#n1": "ses_message_id", "#n2": "sent_at"},
        "ExpressionAttributeValues": {":v0": {"S": "sent"}, ":v1": {"S": "ses-1"}, ":v2": {"S": NOW}}
    });
    assert_eq!(aws.asked(), [wanted]);
}

#[tokio::test]
async fn a_refused_claim_names_its_reason() {
    let sending = Claim::Taken(ClaimState::Sending { until: UNTIL_TEXT.parse().unwrap() });
    for (aws, expected) in [
        (cancelled(&[failed(row("sending")), fine(), fine()]), sending),
        (cancelled(&[failed(row("sent")), fine(), fine()]), Claim::Taken(ClaimState::Sent)),
        (cancelled(&[failed(row("sent")), failed(json!({})), failed(json!({}))]), Claim::Taken(ClaimState::Sent)),
        (cancelled(&[fine(), failed(json!({})), failed(json!({}))]), Claim::Suppressed),
        (cancelled(&[fine(), failed(json!({}))]), Claim::Suppressed),
        (cancelled(&[fine(), fine(), failed(json!({}))]), Claim::Limited),
    ] {
        assert_eq!(ledger(&aws).claim(&outgoing(), now()).await.unwrap(), expected);
        assert_eq!(ledger(&aws).reclaim(&outgoing(), now(), now()).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_claim_without_an_answer_is_retried_or_a_bug() {
    let conflict = || json!({"Code": "TransactionConflict"});
    let mut unreadable = row("sent");
    unreadable["state"] = json!({"S": "Ada Lovelace"});
    for (aws, expected) in [
        (cancelled(&[conflict(), fine(), fine()]), (Kind::Transient, "ClaimContended")),
        (cancelled(&[fine(), fine(), conflict()]), (Kind::Transient, "ClaimContended")),
        (cancelled(&[fine(), fine(), json!({"Code": "ValidationError"})]), (Kind::Bug, "ClaimRefused")),
        (cancelled(&[fine(), conflict(), fine()]), (Kind::Transient, "ClaimContended")),
        (cancelled(&[failed(json!({})), fine(), fine()]), (Kind::Transient, "LostRace")),
        (cancelled(&[json!({"Code": "ValidationError"}), fine(), fine()]), (Kind::Bug, "ClaimRefused")),
        (cancelled(&[fine(), json!({"Code": "ValidationError"}), fine()]), (Kind::Bug, "ClaimRefused")),
        (cancelled(&[failed(unreadable), fine(), fine()]), (Kind::Bug, "UnreadableRecord")),
        (Aws::refuses("ThrottlingException", ""), (Kind::Transient, "ThrottlingException")),
    ] {
        let failure = ledger(&aws).claim(&outgoing(), now()).await.unwrap_err();
        assert_eq!((failure.kind, failure.error_type.as_str()), expected);
        assert!(!failure.chain().contains("Ada"), "{}", failure.chain());
    }
}
