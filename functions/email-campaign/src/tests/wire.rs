//! The requests to AWS, and the parsing of its responses.

use crate::{
    CampaignId,
    chunk::{Answer, Entry, Known},
    ledger::{Campaign, Fingerprint, Ledger, LedgerTable, Written},
    list::{self, Format, Recipient},
    lists::{Bucket, Lists},
    recipients::{RecipientTables, Recipients, Unsubscribe},
    row::{Obstacle, Skip, State, Wish},
    ses::{Bulk, BulkMail, Sender, Ses},
    templates::{Template, data},
};
use domain::{CustomerId, Timestamp};
use lambda_kit::{
    Ambient, Failure, Kind,
    dynamodb::Created,
    secrets::{Cached, SecretStore},
};
use mailer::unsubscribe::SignedLinks;
use serde_json::{Value, json};
use testkit::aws::Aws;

struct Still;
impl Ambient for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
    fn random(&self) -> u64 {
        0
    }
}

const NOW: &str = "2026-05-04T10:11:12.345Z";
const ADA: &str = "e507ff26-6a21-519c-adde-1e19920b0ce2";

fn campaign() -> CampaignId {
    "spring-2026".parse().unwrap()
}
/// The campaign as it runs for the first time.
fn running() -> Campaign {
    Campaign {
        campaign_id: campaign(),
        fingerprint: Fingerprint { template: "newsletter".into(), list: "lists/spring.csv".into(), etag: "\"e1\"".into() },
        run: 1,
        next_line: 0,
        accepted: false,
        started_at: NOW.parse().unwrap(),
        finished_at: None,
        mailed: None,
    }
}
fn ada() -> CustomerId {
    ADA.parse().unwrap()
}
fn bob() -> CustomerId {
    CustomerId::from_email(&"bob@example.com".parse().unwrap())
}
fn s(text: &str) -> Value {
    json!({"S": text})
}
fn ledger(aws: &Aws) -> LedgerTable<Still> {
    LedgerTable::new(aws.dynamodb(), "ledger", Still)
}
fn recipients() -> Vec<Recipient> {
    let lines = list::parse(b"email\nada@example.com\nBob@Example.com\n", Format::Csv, &[]).unwrap();
    let recipient = |line: list::Line| match line.entry {
        list::Entry::Recipient(recipient) => recipient,
        other => panic!("{other:?}"),
    };
    lines.into_iter().map(recipient).collect()
}
fn cancelled(reasons: Value) -> Value {
    json!({"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "message": "cancelled", "CancellationReasons": reasons})
}

fn bulk(campaign_id: &CampaignId) -> Bulk<'_> {
    let values = [("name", "Ada <3"), ("voucher", "V-1")].map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mail = |to: &str, token: &str| {
        let unsubscribe_url = format!("https://api.example.com/unsubscribe/{token}");
        BulkMail { to: to.parse().unwrap(), data: data(&values, &unsubscribe_url), unsubscribe_url }
    };
    let mails = vec![mail("ada@example.com", "t1"), mail("bob@example.com", "t2")];
    Bulk { campaign_id, template: Template::find("newsletter").unwrap(), mails }
}
fn ses(aws: &Aws) -> Ses {
    Ses::new(&aws.config(), "orders@example.com".parse().unwrap(), "mail")
}

#[tokio::test]
async fn a_chunk_is_one_call_with_template_data_and_links() {
    let accepted = json!({"Status": "SUCCESS", "MessageId": "0100-a"});
    let refused = json!({"Status": "MESSAGE_REJECTED", "Error": "Email address is not verified: bob@example.com"});
    let aws = Aws::says_all([(200, json!({"BulkEmailEntryResults": [accepted, refused, {}]}))]);
    let answer = ses(&aws).send(&bulk(&campaign())).await;
    let entries = vec![Entry::Accepted("0100-a".into()), Entry::Refused("MESSAGE_REJECTED".into()), Entry::Silence];
    assert_eq!(answer, Answer::Entries(entries));

    let [asked] = &aws.requests()[..] else { panic!("not one call") };
    assert_eq!(asked.line, "POST https://email.eu-central-1.amazonaws.com/v2/email/outbound-bulk-emails");
    let template = Template::find("newsletter").unwrap();
    let entry = |to: &str, token: &str| {
        let url = format!("https://api.example.com/unsubscribe/{token}");
        let data = json!({
            "name": "Ada <3", "name_html": "Ada &lt;3", "unsubscribe_url": url, "voucher": "V-1", "voucher_html": "V-1"
        });
        json!({
            "Destination": {"ToAddresses": [to]},
            "ReplacementEmailContent": {"ReplacementTemplate": {"ReplacementTemplateData": data.to_string()}},
            "ReplacementHeaders": [
                {"Name": "List-Unsubscribe", "Value": format!("<{url}>")},
                {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"}
            ]
        })
    };
    let expected = json!({
        "FromEmailAddress": "Order Pipeline <orders@example.com>",
        "ConfigurationSetName": "mail",
        "DefaultEmailTags": [{"Name": "template", "Value": "newsletter"}, {"Name": "campaign", "Value": "spring-2026"}],
        "DefaultContent": {"Template": {
            "TemplateContent": {"Subject": template.subject, "Text": template.text, "Html": template.html},
            "TemplateData": "{}"
        }},
        "BulkEmailEntries": [entry("ada@example.com", "t1"), entry("bob@example.com", "t2")]
    });
    assert_eq!(serde_json::from_str::<Value>(&asked.body).unwrap(), expected);
}

#[tokio::test]
async fn only_a_refused_request_or_account_proves_nobody_was_mailed() {
    let refused = |code: &str| json!({"__type": code, "message": "Email address is not verified: ada@example.com"});
    for (status, code, expected) in [
        (429, "TooManyRequestsException", Answer::Refused("TooManyRequestsException".into())),
        (400, "BadRequestException", Answer::Refused("BadRequestException".into())),
        (400, "SendingPausedException", Answer::Refused("SendingPausedException".into())),
        (403, "AccessDeniedException", Answer::Refused("AccessDeniedException".into())),
        // By its words, for it has no code of its own.
        (400, "MessageRejected", Answer::Refused("NotVerified".into())),
        (500, "InternalFailure", Answer::Silence("InternalFailure".into())),
        (503, "ServiceUnavailable", Answer::Silence("ServiceUnavailable".into())),
        (408, "RequestTimeout", Answer::Silence("RequestTimeout".into())),
    ] {
        let aws = Aws::says_all([(status, refused(code))]);
        assert_eq!(ses(&aws).send(&bulk(&campaign())).await, expected);
        assert_eq!(aws.requests().len(), 1, "{code}: the SDK does not send a second time");
    }
    for answer in [(0, json!("connection reset")), (200, json!("not what was asked for"))] {
        let aws = Aws::says_all([answer]);
        assert!(matches!(ses(&aws).send(&bulk(&campaign())).await, Answer::Silence(_)));
        assert_eq!(aws.requests().len(), 1, "no answer: the SDK does not send a second time");
    }
}

#[tokio::test]
async fn the_rate_is_the_accounts_rounded_down() {
    for (account, rate) in [
        (json!({"SendQuota": {"MaxSendRate": 14.0, "Max24HourSend": 50000.0, "SentLast24Hours": 0.0}}), 14),
        (json!({"SendQuota": {"MaxSendRate": 1.9}}), 1),
        (json!({"SendQuota": {"MaxSendRate": -1.0}}), 0),
        (json!({}), 0),
    ] {
        let aws = Aws::says_all([(200, account)]);
        assert_eq!(ses(&aws).rate().await.unwrap(), rate);
        assert_eq!(aws.requests()[0].line, "GET https://email.eu-central-1.amazonaws.com/v2/email/account");
    }
}

#[tokio::test]
async fn a_denied_read_of_the_send_rate_parks_at_once() {
    for (status, code, kind) in [(403, "AccessDeniedException", Kind::Permanent), (429, "TooManyRequestsException", Kind::Transient)] {
        let aws = Aws::says_all([(status, json!({"__type": code, "message": "not authorized to perform: ses:GetAccount"}))]);
        let failure = ses(&aws).rate().await.unwrap_err();
        assert_eq!((failure.kind, failure.error_type.as_str()), (kind, code));
    }
}

#[tokio::test]
async fn a_claim_is_one_transaction_of_rows_that_must_be_new_or_released() {
    let aws = Aws::says_all([(200, json!({}))]);
    let now = NOW.parse().unwrap();
    let fresh = Wish::new(ada(), None, now, u64::MAX);
    let released = Wish { customer_id: bob(), becomes: State::Sending { attempt: 3, claimed_at: now, claim: 7 }, over: Some(2) };
    assert_eq!(ledger(&aws).claim(&running(), &[fresh, released]).await.unwrap(), Written::All);
    let mut asked = aws.asked().remove(0);
    assert!(asked["ClientRequestToken"].take().is_string(), "so that the SDK's retry after a lost answer claims once");
    let put = json!({"Put": {
        "TableName": "ledger",
        "Item": {"mail_id": s(&format!("spring-2026/{ADA}")), "state": s("sending"), "attempt": {"N": "1"}, "claimed_at": s(NOW),
            "claim": {"N": "18446744073709551615"}},
        "ConditionExpression": "attribute_not_exists(#key)", "ExpressionAttributeNames": {"#key": "mail_id"},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD"
    }});
    let update = json!({"Update": {
        "TableName": "ledger",
        "Key": {"mail_id": s(&format!("spring-2026/{}", bob()))},
        "UpdateExpression": "SET #n0 = :v0, #n1 = :v1, #n2 = :v2, #n3 = :v3",
        "ConditionExpression": "#n3 = :v4 AND #n4 = :v5",
        "ExpressionAttributeNames": {"#n0": "attempt", "#n1": "claim", "#n2": "claimed_at", "#n3": "state", "#n4": "attempts"},
        "ExpressionAttributeValues": {
            ":v0": {"N": "3"}, ":v1": {"N": "7"}, ":v2": s(NOW), ":v3": s("sending"), ":v4": s("released"), ":v5": {"N": "2"}
        },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD"
    }});
    assert_eq!(asked, json!({"TransactItems": [put, update], "ClientRequestToken": null}));
}

#[tokio::test]
async fn a_refused_claim_says_what_stood_in_each_rows_way() {
    let row = |state: Value| {
        let mut item = json!({"mail_id": s(&format!("spring-2026/{ADA}"))});
        item.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
        json!({"Code": "ConditionalCheckFailed", "Item": item})
    };
    let reasons = json!([
        {"Code": "None"},
        {"Code": "TransactionConflict"},
        row(json!({"state": s("sending"), "attempt": {"N": "1"}, "claimed_at": s(NOW), "claim": {"N": "18446744073709551615"}})),
        row(json!({"state": s("sent"), "attempt": {"N": "1"}, "claimed_at": s(NOW), "message_id": s("0100-a")})),
        row(json!({"state": s("released"), "attempts": {"N": "2"}, "attempt": {"N": "2"}, "claimed_at": s(NOW)})),
        row(json!({"state": s("skipped"), "skip": s("no_consent")})),
        row(json!({"state": s("failed"), "code": s("MESSAGE_REJECTED")})),
    ]);
    let aws = Aws::says_all([(400, cancelled(reasons))]);
    let wishes: Vec<_> = (0..7).map(|_| Wish::new(ada(), Some(Skip::Unknown), Timestamp::UNIX_EPOCH, 7)).collect();
    let expected = [
        Obstacle::Nothing,
        Obstacle::Contention,
        Obstacle::Row(State::Sending { attempt: 1, claimed_at: NOW.parse().unwrap(), claim: u64::MAX }),
        Obstacle::Row(State::Sent { message_id: "0100-a".into() }),
        Obstacle::Row(State::Released { attempts: 2 }),
        Obstacle::Row(State::Skipped { skip: Skip::NoConsent }),
        Obstacle::Row(State::Failed { code: "MESSAGE_REJECTED".into() }),
    ];
    assert_eq!(ledger(&aws).claim(&running(), &wishes).await.unwrap(), Written::None(expected.into()));
    let item = &aws.asked()[0]["TransactItems"][0]["Put"]["Item"];
    assert_eq!(*item, json!({"mail_id": s(&format!("spring-2026/{ADA}")), "state": s("skipped"), "skip": s("unknown")}));
}

#[tokio::test]
async fn what_became_of_a_claim_is_written_only_over_that_claim() {
    let aws = Aws::says_all([(200, json!({}))]);
    let marks = [(ada(), State::Sent { message_id: "0100-a".into() }), (bob(), State::Released { attempts: 1 })];
    assert_eq!(ledger(&aws).settle(&running(), 7, &marks).await.unwrap(), Written::All);
    let asked = &aws.asked()[0]["TransactItems"];
    assert_eq!(asked.as_array().unwrap().len(), 2);
    let expected = json!({
        "TableName": "ledger",
        "Key": {"mail_id": s(&format!("spring-2026/{ADA}"))},
        "UpdateExpression": "SET #n0 = :v0, #n1 = :v1",
        "ConditionExpression": "#n1 = :v2 AND #n2 = :v3",
        "ExpressionAttributeNames": {"#n0": "message_id", "#n1": "state", "#n2": "claim"},
        "ExpressionAttributeValues": {":v0": s("0100-a"), ":v1": s("sent"), ":v2": s("sending"), ":v3": {"N": "7"}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD"
    });
    assert_eq!(asked[0]["Update"], expected);
    assert_eq!(asked[1]["Update"]["ExpressionAttributeValues"][":v1"], s("released"));
}

#[tokio::test]
async fn a_campaign_is_created_once_and_then_found_with_its_progress() {
    let new = running();
    let item = json!({
        "mail_id": s("spring-2026"), "template": s("newsletter"), "list": s("lists/spring.csv"), "etag": s("\"e1\""),
        "run": {"N": "1"}, "next_line": {"N": "0"}, "accepted": {"BOOL": false}, "started_at": s(NOW)
    });
    let fresh = Aws::says_all([(200, json!({}))]);
    assert_eq!(ledger(&fresh).open(&new).await.unwrap(), Created::New);
    assert_eq!(fresh.asked()[0]["Item"], item);

    let mut stored = item;
    // As a build wrote it that knew no runs.
    stored.as_object_mut().unwrap().retain(|name, _| name != "run" && name != "accepted");
    (stored["next_line"], stored["finished_at"]) = (json!({"N": "51"}), s(NOW));
    let exists = json!({"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "no", "Item": stored});
    let taken = Aws::says_all([(400, exists)]);
    let old = Campaign { next_line: 51, finished_at: Some(NOW.parse().unwrap()), ..new.clone() };
    assert_eq!(ledger(&taken).open(&new).await.unwrap(), Created::Exists(old));
}

/// The campaign's row as DynamoDB returns it.
fn stored() -> Value {
    json!({
        "mail_id": s("spring-2026"), "template": s("newsletter"), "list": s("lists/spring.csv"), "etag": s("\"e1\""),
        "run": {"N": "1"}, "next_line": {"N": "51"}, "accepted": {"BOOL": true}, "started_at": s(NOW)
    })
}

#[tokio::test]
async fn progress_is_one_conditional_update_of_the_campaigns_row() {
    let aws = Aws::says_all([(200, json!({ "Attributes": stored() }))]);
    ledger(&aws).advance(&running(), 51, false).await.unwrap();
    ledger(&aws).advance(&running(), 51, true).await.unwrap();
    ledger(&aws).finish(&running(), NOW.parse().unwrap(), 7).await.unwrap();
    let [advanced, accepted, finished] = &aws.asked()[..] else { panic!("not three calls") };
    assert_eq!(advanced["Key"], json!({"mail_id": s("spring-2026")}));
    assert_eq!(advanced["UpdateExpression"], "SET #n0 = :v0");
    assert_eq!(advanced["ConditionExpression"], "(attribute_not_exists(#n1) OR #n1 = :v1)");
    assert_eq!(advanced["ExpressionAttributeNames"], json!({"#n0": "next_line", "#n1": "run"}));
    assert_eq!(advanced["ExpressionAttributeValues"], json!({":v0": {"N": "51"}, ":v1": {"N": "1"}}));
    assert_eq!(accepted["ExpressionAttributeValues"], json!({":v0": {"N": "51"}, ":v1": {"BOOL": true}, ":v2": {"N": "1"}}));
    assert_eq!(finished["UpdateExpression"], "SET #n0 = if_not_exists(#n0, :v0), #n1 = if_not_exists(#n1, :v1)");
    assert_eq!(finished["ExpressionAttributeNames"], json!({"#n0": "finished_at", "#n1": "mailed", "#n2": "run"}));
    assert_eq!(finished["ConditionExpression"], "(attribute_not_exists(#n2) OR #n2 = :v2)");
}

#[tokio::test]
async fn a_worker_of_an_earlier_run_writes_nothing_into_a_later_one() {
    let refused = testkit::aws::condition_failed(Some(stored()));
    let aws = Aws::says_all([(400, refused)]);
    let advanced = ledger(&aws).advance(&running(), 51, true).await.unwrap_err();
    let finished = ledger(&aws).finish(&running(), NOW.parse().unwrap(), 0).await.unwrap_err();
    for failure in [advanced, finished] {
        assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Transient, "CampaignStartedAgain"));
    }
}

#[tokio::test]
async fn a_second_run_replaces_one_that_mailed_nobody() {
    let fingerprint = Fingerprint { template: "newsletter".into(), list: "lists/summer.csv".into(), etag: "\"e2\"".into() };
    let new = Campaign { run: 2, fingerprint, ..running() };
    let aws = Aws::says_all([(200, json!({ "Attributes": stored() }))]);
    assert!(ledger(&aws).start_again(&running(), &new).await.unwrap());
    let asked = aws.asked().remove(0);
    assert_eq!(asked["UpdateExpression"], "SET #n0 = :v0, #n1 = :v1, #n2 = :v2, #n3 = :v3, #n4 = :v4, #n5 = :v5 REMOVE #n6, #n7, #n8");
    assert_eq!(asked["ConditionExpression"], "#n8 = :v6 AND (attribute_not_exists(#n3) OR #n3 = :v7)");
    let names = json!({"#n0": "etag", "#n1": "list", "#n2": "template", "#n3": "run", "#n4": "next_line", "#n5": "started_at",
        "#n6": "finished_at", "#n7": "accepted", "#n8": "mailed"});
    assert_eq!(asked["ExpressionAttributeNames"], names);
    let values = json!({":v0": s("\"e2\""), ":v1": s("lists/summer.csv"), ":v2": s("newsletter"), ":v3": {"N": "2"}, ":v4": {"N": "0"},
        ":v5": s(NOW), ":v6": {"N": "0"}, ":v7": {"N": "1"}});
    assert_eq!(asked["ExpressionAttributeValues"], values);

    let aws = Aws::says_all([(400, testkit::aws::condition_failed(Some(stored())))]);
    assert!(!ledger(&aws).start_again(&running(), &new).await.unwrap(), "another start was faster");

    let row = json!({"mail_id": s(&format!("spring-2026/2/{ADA}")), "state": s("skipped"), "skip": s("no_consent")});
    let aws = Aws::says_all([(200, json!({"Responses": {"ledger": [row]}}))]);
    let rows = ledger(&aws).rows(&new, &[ada()]).await.unwrap();
    assert_eq!(rows, [(ada(), State::Skipped { skip: Skip::NoConsent })].into());
    assert_eq!(aws.asked()[0]["RequestItems"]["ledger"]["Keys"], json!([{"mail_id": s(&format!("spring-2026/2/{ADA}"))}]));
}

#[tokio::test]
async fn rows_are_read_consistently_and_asked_for_again_where_dynamodb_leaves_them_out() {
    let row = json!({"mail_id": s(&format!("spring-2026/{ADA}")), "state": s("sent"), "message_id": s("0100-a"), "attempt": {"N": "1"}});
    let left = json!({"ledger": {"Keys": [{"mail_id": s(&format!("spring-2026/{}", bob()))}], "ConsistentRead": true}});
    let aws = Aws::says_all([
        (200, json!({"Responses": {"ledger": [row]}, "UnprocessedKeys": left})),
        (200, json!({"Responses": {"ledger": []}, "UnprocessedKeys": {}})),
    ]);
    let rows = ledger(&aws).rows(&running(), &[ada(), bob()]).await.unwrap();
    assert_eq!(rows, [(ada(), State::Sent { message_id: "0100-a".into() })].into());
    let [first, second] = &aws.asked()[..] else { panic!("not two calls") };
    assert_eq!(first["RequestItems"]["ledger"]["ConsistentRead"], true);
    assert_eq!(first["RequestItems"]["ledger"]["Keys"].as_array().unwrap().len(), 2);
    assert_eq!(second["RequestItems"], left);

    let aws = Aws::says_all([(200, json!({"Responses": {}, "UnprocessedKeys": left}))]);
    let failure = ledger(&aws).rows(&running(), &[ada(), bob()]).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Transient, "UnprocessedKeys"), "half an answer is none");
}

/// A customer who asked, with what became of the consent.
fn customer(id: &str, consent: Value) -> Value {
    let mut customer = json!({
        "customer_id": s(id), "signed_up_at": s(NOW), "name": s("Ada"), "email": s("ada@example.com"),
        "marketing_consent": {"BOOL": false}, "asked_at_sign_up": {"BOOL": true}, "consent_asked_at": s(NOW)
    });
    for (name, value) in consent.as_object().unwrap() {
        customer[name] = value.clone();
    }
    customer
}

#[tokio::test]
async fn an_unconfirmed_customer_is_mailed_only_as_a_wanted_single_opt_in() {
    let left = json!({"double_opt_in_at": s(NOW), "unsubscribed_at": s(NOW)});
    let single = json!({"marketing_consent": {"BOOL": true}});
    for (consent, single_opt_ins, takes) in [
        (json!({}), true, false),
        (json!({"double_opt_in_at": s(NOW)}), false, true),
        (left, true, false),
        (single.clone(), false, false),
        (single, true, true),
    ] {
        let answer = json!({"Responses": {"customers": [customer(ADA, consent.clone())]}});
        let aws = Aws::says_all([(200, answer)]);
        let tables = RecipientTables::new(aws.dynamodb(), "customers", "suppressions", single_opt_ins, Still);
        let known = tables.look_up(&recipients().iter().take(1).collect::<Vec<_>>()).await.unwrap();
        assert_eq!(known[0].takes_marketing_mail, Some(takes), "{consent} {single_opt_ins}");
    }
}

#[tokio::test]
async fn customers_and_suppressions_are_one_question() {
    let answer = json!({"Responses": {
        "customers": [customer(&bob().to_string(), json!({})), customer(ADA, json!({"double_opt_in_at": s(NOW)}))],
        "suppressions": [{"address": s("bob@example.com"), "suppressed_at": s(NOW)}, {"address": s("ada@example.com")}]
    }});
    let aws = Aws::says_all([(200, answer)]);
    let tables = RecipientTables::new(aws.dynamodb(), "customers", "suppressions", false, Still);
    let recipients = recipients();
    let known = tables.look_up(&recipients.iter().collect::<Vec<_>>()).await.unwrap();
    let ada = Known { takes_marketing_mail: Some(true), suppressed: false };
    assert_eq!(known, [ada, Known { takes_marketing_mail: Some(false), suppressed: true }], "two transient bounces suppress nobody");
    let id = |id: &str| json!({"customer_id": s(id)});
    let address = |address: &str| json!({"address": s(address)});
    let expected = json!({"RequestItems": {
        "customers": {"Keys": [id(ADA), id(&bob().to_string())], "ConsistentRead": true},
        "suppressions": {"Keys": [address("ada@example.com"), address("bob@example.com")], "ConsistentRead": true}
    }});
    assert_eq!(aws.asked(), [expected]);

    let nobody = Aws::says_all([(200, json!({"Responses": {}}))]);
    let tables = RecipientTables::new(nobody.dynamodb(), "customers", "suppressions", false, Still);
    let known = tables.look_up(&recipients.iter().collect::<Vec<_>>()).await.unwrap();
    assert_eq!(known, [Known { takes_marketing_mail: None, suppressed: false }; 2]);
}

#[tokio::test]
async fn a_list_is_read_with_its_etag_and_a_report_written() {
    let aws = Aws::says_all([(200, json!("email"))]);
    let bucket = Bucket::new(aws_sdk_s3::Client::new(&aws.config()), "campaigns");
    let object = bucket.read(&"lists/spring.csv".parse().unwrap()).await.unwrap();
    assert_eq!((object.bytes.as_slice(), object.etag.as_str()), (b"\"email\"".as_slice(), "\"e1\""));
    bucket.write_report(&campaign(), b"line\n".to_vec()).await.unwrap();
    let lines: Vec<_> = aws.requests().into_iter().map(|asked| asked.line).collect();
    assert!(lines[0].starts_with("GET https://campaigns.s3.eu-central-1.amazonaws.com/lists/spring.csv"), "{lines:?}");
    assert!(lines[1].starts_with("PUT https://campaigns.s3.eu-central-1.amazonaws.com/reports/spring-2026.csv"), "{lines:?}");
}

#[tokio::test]
async fn a_missing_list_is_parked_and_an_unreadable_one_waits() {
    let xml = |code: &str| format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
    for (status, code, kind) in [(404, "NoSuchKey", Kind::Permanent), (403, "AccessDenied", Kind::Transient)] {
        let aws = Aws::answering([(status, xml(code))]);
        let bucket = Bucket::new(aws_sdk_s3::Client::new(&aws.config()), "campaigns");
        assert_eq!(bucket.read(&"lists/spring.csv".parse().unwrap()).await.unwrap_err().kind, kind, "{code}");
    }
}

#[tokio::test]
async fn a_link_is_signed_with_the_key_and_without_one_the_campaign_waits() {
    struct StubSecretStore(Option<&'static str>);
    impl SecretStore for StubSecretStore {
        async fn read(&self) -> Result<Option<String>, Failure> {
            Ok(self.0.map(str::to_owned))
        }
    }
    let links = |text| SignedLinks { api_url: "https://api.example.com".into(), key: Cached::new(StubSecretStore(text)) };
    let link = links(Some("a sample key, never one that is in use")).link(&ada()).await.unwrap();
    assert_eq!(link, "https://api.example.com/unsubscribe/5Qf_JmohUZyt3h4ZkgsM4vZbu0AGyO9_zb1PG55jrNc");
    assert_eq!(links(None).link(&ada()).await.unwrap_err().kind, Kind::Transient);
}
