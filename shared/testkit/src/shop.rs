//! The shop as a customer sees it: place, cancel, look.

use crate::{
    engine::{Answer, request},
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

/// The name that every test customer bears. No log line may ever hold it.
pub const NAME: &str = "Ada Examplova";
/// The mail address that every test customer bears. No log line may ever hold it.
pub const EMAIL: &str = "ada.examplova@example.com";

/// Where every test customer lives. No log line may ever hold it.
pub const STREET: &str = "1 Exampleton Street";

/// A request body as a shop would send it. `lines` are SKUs and quantities.
pub fn order(lines: &[(&str, u32)], payment_method: &str) -> Value {
    json!({
        "currency": "EUR",
        "customer": {"name": NAME, "email": EMAIL},
        "shipping_address": {"line1": STREET, "city": "Berlin", "postal_code": "10115", "country": "DE"},
        "lines": lines.iter().map(|(sku, quantity)| json!({"sku": sku, "quantity": quantity})).collect::<Vec<_>>(),
        "payment_method": payment_method,
    })
}

impl Stack {
    /// `POST /orders`, whatever the answer.
    ///
    /// # Errors
    /// Where there was no answer.
    pub async fn post_order(&self, key: &str, order: &Value) -> Result<Answer> {
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key)];
        request("POST", &format!("{}/orders", self.state.api_url), &headers, order.to_string()).await
    }

    /// Places an order that must be accepted; returns its id.
    ///
    /// # Errors
    /// Where it was not.
    pub async fn place(&self, lines: &[(&str, u32)], payment_method: &str) -> Result<String> {
        let answer = self.post_order(&new_key(), &order(lines, payment_method)).await?;
        ensure!(answer.status == 202, "POST /orders was answered with {}: {}", answer.status, answer.body);
        Ok(answer.json()?["order_id"].as_str().context("no order_id")?.to_owned())
    }

    /// `POST /orders/{order_id}/cancel`, whatever the answer.
    ///
    /// # Errors
    /// Where there was no answer.
    pub async fn cancel(&self, order_id: &str) -> Result<Answer> {
        request("POST", &format!("{}/orders/{order_id}/cancel", self.state.api_url), &[], String::new()).await
    }

    /// `GET /orders/{order_id}`, whatever the answer.
    ///
    /// # Errors
    /// Where there was no answer.
    pub async fn look(&self, order_id: &str) -> Result<Answer> {
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
