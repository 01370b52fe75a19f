//! What is written of a customer, and under which conditions.

use super::*;
use domain::{Personal, customer::CONFIRM_WITHIN};
use jiff::SignedDuration;
use lambda_kit::Kind;
use serde_json::{Value, json};
use simulated_cloud::{
    Caller, Draws, FaultRates, Invocation,
    dynamodb::{self, Tables},
};
use std::sync::Arc;
use testkit::aws::{Aws, condition_failed, throttled};

const ID: &str = "e507ff26-6a21-519c-adde-1e19920b0ce2";
const NOW: &str = "2026-05-05T08:30:04Z";

fn customers(status: u16, answer: &Value) -> (Customers, Aws) {
    let aws = Aws::says(status, answer);
    (Customers::new(aws.dynamodb(), "customers"), aws)
}
fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

/// The item of a customer, as DynamoDB has it, with the customer.
fn stored() -> (Customer, Value) {
    let customer = Customer {
        customer_id: ID.parse().unwrap(),
        signed_up_at: at("2026-05-04T10:02:41.007Z"),
        name: Personal("Ada Lovelace".into()),
        email: "ada@example.com".parse().unwrap(),
        marketing_consent: false,
        asked_at_sign_up: true,
        consent_asked_at: Some(at("2026-05-04T10:02:41.007Z")),
        double_opt_in_at: None,
        unsubscribed_at: None,
    };
    let s = |text: &str| json!({"S": text});
    let item = json!({
        "customer_id": s(ID), "signed_up_at": s("2026-05-04T10:02:41.007Z"), "name": s("Ada Lovelace"),
        "email": s("ada@example.com"), "marketing_consent": {"BOOL": false}, "asked_at_sign_up": {"BOOL": true},
        "consent_asked_at": s("2026-05-04T10:02:41.007Z")
    });
    (customer, item)
}

#[tokio::test]
async fn a_stored_customer_is_found_by_one_consistent_read() {
    let (customer, item) = stored();
    let (known, aws) = customers(200, &json!({"Item": item}));
    assert_eq!(known.find(&customer.customer_id).await.unwrap(), Some(customer.clone()));
    assert_eq!(aws.asked(), [json!({"TableName": "customers", "Key": {"customer_id": {"S": ID}}, "ConsistentRead": true})]);
    assert_eq!(customers(200, &json!({})).0.find(&customer.customer_id).await.unwrap(), None);
}

#[tokio::test]
async fn a_customer_that_cannot_be_read_is_a_bug_that_quotes_nothing() {
    let (customer, mut item) = stored();
    for field in ["marketing_consent", "email", "signed_up_at"] {
        item[field] = json!({"S": "Ada Lovelace"});
        let failure = customers(200, &json!({"Item": item})).0.find(&customer.customer_id).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Bug);
        assert!(!failure.chain().contains("Ada"), "{}", failure.chain());
    }
}

#[tokio::test]
async fn a_sign_up_is_one_write_that_changes_nothing_but_the_asking() {
    let (customer, item) = stored();
    let (table, aws) = customers(200, &json!({"Attributes": item}));
    assert_eq!(table.sign_up(&customer).await.unwrap(), customer);
    let asked = aws.asked()[0].clone();
    let once = |n: u8| format!("#n{n} = if_not_exists(#n{n}, :v{n})");
    assert_eq!(asked["UpdateExpression"], format!("SET {}, #n5 = :v5", [0, 1, 2, 3, 4].map(once).join(", ")));
    assert_eq!(asked["ConditionExpression"], "(attribute_not_exists(#n5) OR #n5 < :v6)");
    let names = ["asked_at_sign_up", "email", "marketing_consent", "name", "signed_up_at", "consent_asked_at"];
    assert_eq!((0..6).map(|n| asked["ExpressionAttributeNames"][format!("#n{n}")].clone()).collect::<Vec<_>>(), names);
    assert_eq!(asked["ExpressionAttributeValues"][":v6"], json!({"S": "2026-05-03T10:02:41"}), "a day before, to the second");

    let (table, aws) = customers(200, &json!({"Attributes": item}));
    table.sign_up(&Customer { asked_at_sign_up: false, consent_asked_at: None, ..customer.clone() }).await.unwrap();
    assert_eq!(aws.asked()[0].get("ConditionExpression"), None, "one that asks for nothing always passes");
    let refused = customers(400, &condition_failed(Some(item))).0.sign_up(&customer).await.unwrap();
    assert_eq!(refused, customer, "asked within the day: as stored");
    let failure = customers(400, &throttled()).0.sign_up(&customer).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Transient);
}

#[tokio::test]
async fn unsubscribing_is_one_conditional_update_that_makes_nobody_up() {
    let (customer, mut item) = stored();
    item["unsubscribed_at"] = json!({"S": NOW});
    let now = at(NOW);
    let (known, aws) = customers(200, &json!({"Attributes": item}));
    assert!(known.unsubscribe(&customer.customer_id, now).await.unwrap());
    let asked = aws.asked()[0].clone();
    assert_eq!(asked["UpdateExpression"], "SET #n0 = :v0");
    assert_eq!(asked["ConditionExpression"], "attribute_exists(#n1)");
    assert_eq!(asked["ExpressionAttributeNames"], json!({"#n0": "unsubscribed_at", "#n1": "customer_id"}));
    assert_eq!(asked["ExpressionAttributeValues"], json!({":v0": {"S": NOW}}));
    assert!(!customers(400, &condition_failed(None)).0.unsubscribe(&customer.customer_id, now).await.unwrap());
    let failure = customers(400, &throttled()).0.unsubscribe(&customer.customer_id, now).await.unwrap_err();
    assert_eq!(failure.kind, Kind::Transient);
}

// ── Under the expressions that are really sent ──────────────────────────────────────────────────────────────────

/// The table in memory.
fn table() -> Customers<dynamodb::Client> {
    let tables = Tables::default();
    tables.create("customers", KEY);
    let calm = FaultRates { per_mille: 0, faults: 0 };
    let caller = Caller { draws: Arc::new(Draws::new(1, calm, false)), invocation: Invocation::new("test".into()) };
    Customers::new(tables.client(&caller), "customers")
}
/// A sign-up at `time`, which asks for marketing mail or not.
fn sign_up(time: Timestamp, asks: bool) -> Customer {
    Customer { signed_up_at: time, asked_at_sign_up: asks, consent_asked_at: asks.then_some(time), ..stored().0 }
}
fn later(seconds: i64) -> Timestamp {
    stored().0.signed_up_at + SignedDuration::from_secs(seconds)
}
async fn now_in(table: &Customers<dynamodb::Client>) -> Customer {
    table.find(&ID.parse().unwrap()).await.unwrap().unwrap()
}
const DAY: i64 = 24 * 3600;

#[tokio::test(start_paused = true)]
async fn a_later_yes_is_asked_once_a_day_at_most() {
    let (table, id) = (table(), ID.parse().unwrap());
    let first = table.sign_up(&sign_up(later(0), false)).await.unwrap();
    assert_eq!((first.consent_asked_at, first.asked_at_sign_up), (None, false));
    let renamed = Customer { name: Personal("Mallory".into()), ..sign_up(later(60), true) };
    let asked = table.sign_up(&renamed).await.unwrap();
    assert_eq!(asked, Customer { consent_asked_at: Some(later(60)), ..first.clone() });
    for within in [61, 3600, 60 + DAY - 1, 60 + DAY] {
        assert_eq!(table.sign_up(&sign_up(later(within), true)).await.unwrap(), asked, "{within} s");
    }
    assert_eq!(table.sign_up(&sign_up(later(2 * DAY), false)).await.unwrap(), asked, "a no asks for nothing");
    let again = table.sign_up(&sign_up(later(61 + DAY), true)).await.unwrap();
    assert_eq!(again.consent_asked_at, Some(later(61 + DAY)));
    assert_eq!(again.consent(), None, "asking is no consent");
    assert!(table.confirm(&id, later(60), later(3 * DAY)).await.unwrap(), "the older link still works");
}

#[tokio::test(start_paused = true)]
async fn two_sign_ups_at_once_are_one_customer_who_is_asked_once() {
    let table = table();
    let (one, other) = (sign_up(later(0), true), Customer { name: Personal("Mallory".into()), ..sign_up(later(1), true) });
    let (one, other) = tokio::join!(table.sign_up(&one), table.sign_up(&other));
    assert_eq!(one.unwrap(), other.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_consent_of_before_keeps_its_date_until_it_is_confirmed() {
    let (table, id) = (table(), ID.parse().unwrap());
    let before = Customer { marketing_consent: true, asked_at_sign_up: false, consent_asked_at: None, ..stored().0 };
    table.0.create(&before).await.unwrap();
    let asked = table.sign_up(&sign_up(later(DAY), true)).await.unwrap();
    assert_eq!((asked.consent(), asked.signed_up_at), (before.consent(), before.signed_up_at));
    assert!(table.confirm(&id, later(DAY), later(2 * DAY)).await.unwrap());
    assert_eq!(now_in(&table).await.consent().unwrap().since, later(2 * DAY));
}

#[tokio::test(start_paused = true)]
async fn a_click_counts_once_and_a_second_one_changes_nothing() {
    let (table, id) = (table(), ID.parse().unwrap());
    table.sign_up(&sign_up(later(0), true)).await.unwrap();
    for click in [100, 200] {
        assert!(table.confirm(&id, later(0), later(click)).await.unwrap());
        assert_eq!(now_in(&table).await.double_opt_in_at, Some(later(100)), "the first date stays");
    }
    assert!(!table.confirm(&"00000000-0000-5000-8000-000000000000".parse().unwrap(), later(0), later(1)).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_wins_over_every_link_asked_for_before_it() {
    let (table, id) = (table(), ID.parse().unwrap());
    table.sign_up(&sign_up(later(0), true)).await.unwrap();
    assert!(table.unsubscribe(&id, later(10)).await.unwrap());
    assert!(!table.confirm(&id, later(0), later(20)).await.unwrap(), "never confirmed");
    table.sign_up(&sign_up(later(2 * DAY), true)).await.unwrap();
    assert!(table.unsubscribe(&id, later(2 * DAY + 10)).await.unwrap());
    assert!(!table.confirm(&id, later(2 * DAY), later(2 * DAY + 20)).await.unwrap(), "a second unsubscribing counts too");
    table.sign_up(&sign_up(later(4 * DAY), true)).await.unwrap();
    assert!(table.confirm(&id, later(4 * DAY), later(4 * DAY + 20)).await.unwrap(), "asked after it");
    assert!(now_in(&table).await.consent().is_some());
    assert!(table.unsubscribe(&id, later(4 * DAY + 30)).await.unwrap());
    assert!(!table.confirm(&id, later(4 * DAY), later(4 * DAY + 40)).await.unwrap(), "a used link");
    let left = now_in(&table).await;
    assert_eq!((left.consent(), left.double_opt_in_at), (None, Some(later(4 * DAY + 20))), "what was agreed to stays on record");
}

/// Both clicks are under way; which write comes first is the table's.
#[tokio::test(start_paused = true)]
async fn unsubscribing_wins_in_whichever_order_the_two_clicks_arrive() {
    for (first_ms, second_ms) in [(0, 50), (50, 0)] {
        let (table, id) = (table(), ID.parse().unwrap());
        table.sign_up(&sign_up(later(0), true)).await.unwrap();
        let after = async |ms: u64| tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
        let confirm = async {
            after(first_ms).await;
            table.confirm(&id, later(0), later(100)).await.unwrap();
        };
        let unsubscribe = async {
            after(second_ms).await;
            table.unsubscribe(&id, later(100)).await.unwrap();
        };
        tokio::join!(confirm, unsubscribe);
        assert_eq!(now_in(&table).await.consent(), None, "{first_ms} {second_ms}");
    }
}

/// Text compares by its bytes: a fraction sorts before the `Z` of its whole second.
#[tokio::test(start_paused = true)]
async fn in_the_second_of_the_asking_unsubscribing_counts_as_later() {
    for (unsubscribed, stands) in [("10:02:40.999Z", true), ("10:02:40Z", true), ("10:02:41Z", false), ("10:02:41.5Z", false)] {
        let (table, id) = (table(), ID.parse().unwrap());
        table.sign_up(&sign_up(later(0), true)).await.unwrap();
        table.unsubscribe(&id, at(&format!("2026-05-04T{unsubscribed}"))).await.unwrap();
        let asked = now_in(&table).await.open_question();
        assert_eq!(table.confirm(&id, later(0), later(0) + CONFIRM_WITHIN).await.unwrap(), stands, "{unsubscribed}");
        assert_eq!(asked.is_some(), stands, "a mail asks for what can be confirmed: {unsubscribed}");
    }
}
