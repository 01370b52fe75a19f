//! The customers table: written once by sign-up, added to by unsubscribing, read before a mail is sent.
//!
//! Each function that uses it declares a port with the verbs it needs and implements it by these methods, so that what a
//! handler may call and what its role allows line up. This module refuses to change who a customer is: nothing proves that
//! a second sign-up comes from the same person.

use aws_sdk_dynamodb::Client;
use domain::{Customer, CustomerId, Timestamp};
use lambda_kit::{
    Failure,
    dynamodb::{Created, DynamoDb, Table, Update, Updated, string},
};

/// The table's partition key.
pub const KEY: &str = "customer_id";
/// Set when the customer first unsubscribes.
const UNSUBSCRIBED_AT: &str = "unsubscribed_at";

/// The customers table.
#[derive(Debug, Clone)]
pub struct Customers<D = Client>(Table<D>);

impl<D: DynamoDb> Customers<D> {
    /// A handle on the table `name`.
    pub fn new(client: D, name: impl Into<String>) -> Self {
        Self(Table::new(client, name, KEY))
    }

    /// The customer as it is now; one strongly consistent read.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the stored customer cannot be read.
    pub async fn find(&self, id: &CustomerId) -> Result<Option<Customer>, Failure> {
        self.0.get(&id.to_string()).await
    }

    /// Writes a new customer; one conditional write. Where the address is known, returns the customer that has it.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the stored customer cannot be read.
    pub async fn create(&self, customer: &Customer) -> Result<Created<Customer>, Failure> {
        self.0.create(customer).await
    }

    /// Notes at `now` that the customer wants no more marketing mail; one conditional write. The first time stays. Returns
    /// whether there is such a customer.
    ///
    /// # Errors
    /// Transient where the call failed; a bug where the stored customer cannot be read.
    pub async fn unsubscribe(&self, id: &CustomerId, now: Timestamp) -> Result<bool, Failure> {
        let wish = Update::new().set_once(UNSUBSCRIBED_AT, string(now.to_string())).if_exists(KEY);
        Ok(match self.0.update::<Customer>(&id.to_string(), wish).await? {
            Updated::Now(_) => true,
            Updated::Refused(_) => false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Personal;
    use lambda_kit::Kind;
    use serde_json::{Value, json};
    use testkit::aws::{Aws, condition_failed, throttled};

    const ID: &str = "e507ff26-6a21-519c-adde-1e19920b0ce2";
    const NOW: &str = "2026-05-05T08:30:04Z";

    fn customers(status: u16, answer: &Value) -> (Customers, Aws) {
        let aws = Aws::says(status, answer);
        (Customers::new(aws.dynamodb(), "customers"), aws)
    }

    /// The item of a customer, as DynamoDB has it, with the customer.
    fn stored() -> (Customer, Value) {
        let customer = Customer {
            customer_id: ID.parse().unwrap(),
            signed_up_at: "2026-05-04T10:02:41.007Z".parse().unwrap(),
            name: Personal("Ada Lovelace".into()),
            email: "ada@example.com".parse().unwrap(),
            marketing_consent: true,
            unsubscribed_at: None,
        };
        let s = |text: &str| json!({"S": text});
        let item = json!({
            "customer_id": s(ID), "signed_up_at": s("2026-05-04T10:02:41.007Z"), "name": s("Ada Lovelace"),
            "email": s("ada@example.com"), "marketing_consent": {"BOOL": true}
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
    async fn a_new_customer_is_written_once_and_the_second_time_found() {
        let (customer, item) = stored();
        let (fresh, aws) = customers(200, &json!({}));
        assert_eq!(fresh.create(&customer).await.unwrap(), Created::New);
        let asked = aws.asked()[0].clone();
        assert_eq!((&asked["Item"], &asked["ConditionExpression"]), (&item, &json!("attribute_not_exists(#key)")));
        assert_eq!(customers(400, &condition_failed(Some(item))).0.create(&customer).await.unwrap(), Created::Exists(customer));
    }

    #[tokio::test]
    async fn unsubscribing_is_one_conditional_update_that_makes_nobody_up() {
        let (customer, mut item) = stored();
        item["unsubscribed_at"] = json!({"S": NOW});
        let now = NOW.parse().unwrap();
        let (known, aws) = customers(200, &json!({"Attributes": item}));
        assert!(known.unsubscribe(&customer.customer_id, now).await.unwrap());
        let asked = aws.asked()[0].clone();
        assert_eq!(asked["UpdateExpression"], "SET #n0 = if_not_exists(#n0, :v0)");
        assert_eq!(asked["ConditionExpression"], "attribute_exists(#n1)");
        assert_eq!(asked["ExpressionAttributeNames"], json!({"#n0": "unsubscribed_at", "#n1": "customer_id"}));
        assert_eq!(asked["ExpressionAttributeValues"], json!({":v0": {"S": NOW}}));
        assert!(!customers(400, &condition_failed(None)).0.unsubscribe(&customer.customer_id, now).await.unwrap());
        let failure = customers(400, &throttled()).0.unsubscribe(&customer.customer_id, now).await.unwrap_err();
        assert_eq!(failure.kind, Kind::Transient);
    }
}
