//! The shop as a customer sees it: place, cancel, look.

use crate::{
    engine::{HttpAnswer, request},
    stack::Stack,
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// A card that the provider accepts.
pub const VISA: &str = "pm_card_visa";
/// A card that the provider declines when it is charged. (`pm_card_visa_chargeDeclined` is declined by Stripe too, but the
/// local provider only refuses to attach it to a customer, and then charges it.)
pub const DECLINED: &str = "pm_card_chargeCustomerFail";

/// A new idempotency key: a random UUID of version 4.
pub fn new_key() -> String {
    key_of(fastrand::u128(..))
}

/// The idempotency key that follows from these random bits.
pub fn key_of(random: u128) -> String {
    uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid().to_string()
}

/// A SKU that no other test uses.
pub fn new_sku(stem: &str) -> String {
    format!("{stem}-{:08X}", fastrand::u32(..))
}

/// The name that every test customer has. No log line may ever hold it.
pub const NAME: &str = "Ada Examplova";
/// How the mail address of every test customer begins. No log line may ever hold it.
pub const EMAIL: &str = "ada.examplova";

/// Where every test customer lives. No log line may ever hold it.
pub const STREET: &str = "1 Exampleton Street";

/// A mail address that no other test uses.
pub fn new_address(stem: &str) -> String {
    format!("{stem}.{:08x}@example.com", fastrand::u32(..))
}

/// A request body as a shop would send it, of a customer who orders once. `lines` are SKUs and quantities.
pub fn order(lines: &[(impl AsRef<str>, u32)], payment_method: &str) -> Value {
    order_of(&new_address(EMAIL), lines, payment_method)
}

/// The same for an idempotency key: of one key the same body each time, and of each key another customer, since one mail address
/// gets only so many mails in an hour.
pub fn order_with(key: &str, lines: &[(impl AsRef<str>, u32)], payment_method: &str) -> Value {
    order_of(&format!("{EMAIL}.{}@example.com", key.split('-').next().unwrap_or_default()), lines, payment_method)
}

/// The same, of the customer with this mail address.
pub fn order_of(email: &str, lines: &[(impl AsRef<str>, u32)], payment_method: &str) -> Value {
    json!({
        "currency": "EUR",
        "customer": {"name": NAME, "email": email},
        "shipping_address": {"line1": STREET, "city": "Berlin", "postal_code": "10115", "country": "DE"},
        "lines": lines.iter().map(|(sku, quantity)| json!({"sku": sku.as_ref(), "quantity": quantity})).collect::<Vec<_>>(),
        "payment_method": payment_method,
    })
}

/// An order as intake stores it, in DynamoDB's JSON: one unit of `sku`.
pub fn stored_order(order_id: &str, sku: &str, email: &str, received_at: &str) -> Value {
    let text = |text: &str| json!({"S": text});
    let line = json!({"M": {"sku": text(sku), "quantity": {"N": "1"}, "unit_price_minor": {"N": "1200"}}});
    let address = json!({"M": {"line1": text(STREET), "city": text("Berlin"), "postal_code": text("10115"), "country": text("DE")}});
    json!({"order_id": text(order_id), "received_at": text(received_at), "fingerprint": text("x"), "lines": {"L": [line]},
        "total": {"M": {"amount_minor": {"N": "1200"}, "currency": text("EUR")}}, "payment_method": text(VISA),
        "customer": {"M": {"name": text(NAME), "email": text(email)}}, "shipping_address": address})
}

/// A customer as sign-up stores one, in DynamoDB's JSON.
pub fn stored_customer(customer_id: &str, email: &str, confirmed: bool) -> Value {
    let text = |text: &str| json!({"S": text});
    let mut customer = json!({"customer_id": text(customer_id), "signed_up_at": text("2026-01-01T00:00:00Z"), "name": text(NAME),
        "email": text(email), "marketing_consent": {"BOOL": false}, "asked_at_sign_up": {"BOOL": false}});
    if confirmed {
        customer["consent_asked_at"] = text("2026-01-01T00:00:00Z");
        customer["double_opt_in_at"] = text("2026-01-01T00:01:00Z");
    }
    customer
}

/// A customer who signed up at `time` and asked for marketing mail, as sign-up stores one.
pub fn stored_asked_customer(customer_id: &str, email: &str, time: &str) -> Value {
    let mut customer = stored_customer(customer_id, email, false);
    customer["asked_at_sign_up"] = json!({"BOOL": true});
    for asked in ["signed_up_at", "consent_asked_at"] {
        customer[asked] = json!({"S": time});
    }
    customer
}

impl Stack {
    /// `POST /orders`, whatever the answer.
    ///
    /// # Errors
    /// Where there was no answer.
    pub async fn post_order(&self, key: &str, order: &Value) -> Result<HttpAnswer> {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        request("POST", &format!("{}/orders", self.state.api_url), &headers, order.to_string()).await
    }

    /// Places an order that must be accepted; returns its id.
    ///
    /// # Errors
    /// Where it was not.
    pub async fn place(&self, lines: &[(&str, u32)], payment_method: &str) -> Result<String> {
        self.place_of(&new_address(EMAIL), lines, payment_method).await
    }

    /// The same, of somebody with another mail address.
    ///
    /// # Errors
    /// Where it was not accepted.
    pub async fn place_of(&self, email: &str, lines: &[(&str, u32)], payment_method: &str) -> Result<String> {
        let answer = self.post_order(&new_key(), &order_of(email, lines, payment_method)).await?;
        ensure!(answer.status == 202, "POST /orders was answered with {}: {}", answer.status, answer.body);
        Ok(answer.json()?["order_id"].as_str().context("no order_id")?.to_owned())
    }

    /// `POST /customers`, whatever the answer.
    ///
    /// # Errors
    /// Where there was no answer.
    pub async fn sign_up(&self, name: &str, email: &str, marketing_consent: bool) -> Result<HttpAnswer> {
        let body = json!({"name": name, "email": email, "marketing_consent": marketing_consent});
        let headers = [("Content-Type", "application/json")];
        request("POST", &format!("{}/customers", self.state.api_url), &headers, body.to_string()).await
    }

    /// `POST /orders/{order_id}/cancel`, whatever the answer.
    ///
    /// # Errors
    /// Where there was no answer.
    pub async fn cancel(&self, order_id: &str) -> Result<HttpAnswer> {
        request("POST", &format!("{}/orders/{order_id}/cancel", self.state.api_url), &[], String::new()).await
    }

    /// `GET /orders/{order_id}`, whatever the answer.
    ///
    /// # Errors
    /// Where there was no answer.
    pub async fn look(&self, order_id: &str) -> Result<HttpAnswer> {
        request("GET", &format!("{}/orders/{order_id}", self.state.api_url), &[], String::new()).await
    }

    /// Waits until every stage has reported the order's end; returns what the customer then sees.
    ///
    /// # Errors
    /// Where it does not end in time.
    pub async fn ended(&self, order_id: &str) -> Result<Value> {
        self.wait_for(&format!("the end of order {order_id}"), async || {
            let seen = self.look(order_id).await?;
            ensure!(seen.status == 200, "GET /orders/{order_id} was answered with {}: {}", seen.status, seen.body);
            let seen = seen.json()?;
            Ok(has_ended(|event| heard(&seen, event)).then_some(seen))
        })
        .await
    }

    /// Waits until the order's timeline holds `event`.
    ///
    /// # Errors
    /// Where it does not in time.
    pub async fn until(&self, order_id: &str, event: &str) -> Result<Value> {
        self.wait_for(&format!("{event} of order {order_id}"), async || {
            let seen = self.look(order_id).await?.json()?;
            Ok(heard(&seen, event).then_some(seen))
        })
        .await
    }
}

/// Whether every stage has done its part and nothing will follow, by the events that are known to have happened.
pub fn has_ended(has: impl Fn(&str) -> bool) -> bool {
    let paid = has("payment.captured") || has("payment.capture_failed");
    (paid && has("inventory.committed")) || (has("payment.voided") && has("inventory.released"))
}

/// Whether the timeline of what a customer sees holds `event`.
pub fn heard(seen: &Value, event: &str) -> bool {
    seen["timeline"].as_array().is_some_and(|timeline| timeline.iter().any(|entry| entry["event"] == event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_one_that_intake_takes() {
        let key: uuid::Uuid = new_key().parse().unwrap();
        assert_eq!((key.get_version_num(), key.get_variant()), (4, uuid::Variant::RFC4122));
    }
}
