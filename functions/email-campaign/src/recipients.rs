//! The recipients' consent, and the unsubscribe link: the ports of `email-campaign` to customers, suppressions and the link
//! key.
//!
//! [`EmailCampaign`](crate::EmailCampaign) calls them before each claim.

use crate::{batch_get::batch_get, chunk::Known, list::Recipient};
use aws_sdk_dynamodb::{Client, types::KeysAndAttributes};
use domain::{Customer, CustomerId};
use lambda_kit::{
    Ambient, Failure,
    dynamodb::{record_of_many, string},
    secrets::SecretStore,
};
use mailer::{
    suppression,
    unsubscribe::{Links, SignedLinks},
};
use pipeline::customers;
use std::collections::{HashMap, HashSet};

/// Customers and suppressed addresses.
pub trait Recipients {
    /// The known facts about each of up to 50 different recipients, in their order: one BatchGetItem over both tables, strongly
    /// consistent, so that who has just unsubscribed is not mailed.
    async fn look_up(&self, recipients: &[&Recipient]) -> Result<Vec<Known>, Failure>;
}

/// Where links come from.
pub trait Unsubscribe {
    /// The link that unsubscribes `customer`.
    async fn link(&self, customer: &CustomerId) -> Result<String, Failure>;
}

/// The customers table and the suppressions table.
#[derive(Debug)]
pub struct RecipientTables<A> {
    client: Client,
    customers: String,
    suppressions: String,
    single_opt_ins: bool,
    ambient: A,
}

impl<A: Ambient> RecipientTables<A> {
    /// Handles on the tables of these names. Customers who agreed by the form alone, before consents were confirmed by mail,
    /// take marketing mail where `single_opt_ins` says so. Randomness is for the waits between calls.
    pub fn new(client: Client, customers: impl Into<String>, suppressions: impl Into<String>, single_opt_ins: bool, ambient: A) -> Self {
        Self { client, customers: customers.into(), suppressions: suppressions.into(), single_opt_ins, ambient }
    }
}

impl<A: Ambient> Recipients for RecipientTables<A> {
    async fn look_up(&self, recipients: &[&Recipient]) -> Result<Vec<Known>, Failure> {
        let keys = |name: &str, key: fn(&Recipient) -> String| {
            let keys = recipients.iter().map(|recipient| HashMap::from([(name.to_owned(), string(key(recipient)))])).collect();
            KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true)
        };
        let request = [
            (self.customers.as_str(), keys(customers::KEY, |recipient| recipient.customer_id.to_string())),
            (self.suppressions.as_str(), keys(suppression::KEY, |recipient| recipient.to.canonical())),
        ];
        let mut found = batch_get(&self.client, request, &self.ambient).await?;
        let mut takes = HashMap::new();
        for item in found.remove(&self.customers).unwrap_or_default() {
            let customer: Customer = record_of_many(item, customers::KEY)?;
            takes.insert(customer.customer_id, customer.takes_marketing_mail(self.single_opt_ins));
        }
        // A row without the time is an address that bounced once or twice, and is not suppressed yet.
        let rows = found.remove(&self.suppressions).unwrap_or_default();
        let suppressed = rows.into_iter().filter(|row| row.contains_key(suppression::SUPPRESSED_AT));
        let suppressed: HashSet<_> = suppressed.filter_map(|row| row.get(suppression::KEY)?.as_s().ok().cloned()).collect();
        let known = |recipient: &&Recipient| Known {
            takes_marketing_mail: takes.get(&recipient.customer_id).copied(),
            suppressed: suppressed.contains(&recipient.to.canonical()),
        };
        Ok(recipients.iter().map(known).collect())
    }
}

impl<V: SecretStore> Unsubscribe for SignedLinks<V> {
    async fn link(&self, customer: &CustomerId) -> Result<String, Failure> {
        Ok(Links::new(&self.api_url, self.key.get().await?).link(customer))
    }
}
