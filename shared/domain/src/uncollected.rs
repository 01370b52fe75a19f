//! A payment that was never collected, until a person settles it: the part of the payments record that people work with.
//!
//! Payment marks the record [`UNSETTLED`] when it writes the state `uncollected`; `operator` lists what is marked, and
//! [`Settlement`] is what it writes when a person has settled it. The state stays `uncollected` for ever, because payment answers
//! by it. Nothing here says how the money was collected: that is between the customer and a person.

use crate::{event::PaymentRef, id::OrderId, money::Money};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The attribute that only an uncollected record has, and only until it is settled. It is the partition key of a sparse index:
/// DynamoDB keeps an item out of an index whose key it lacks
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-indexes-general-sparse-indexes.html>).
pub const UNSETTLED: &str = "unsettled";
/// Its one value: all that is unsettled lies in one partition of the index, in the order in which it came. One partition takes
/// 1,000 writes a second, and uncollected orders come one by one.
pub const UNSETTLED_VALUE: &str = "yes";
/// The index's name.
pub const INDEX: &str = "unsettled";
/// The index's sort key: the oldest comes first.
pub const UNCOLLECTED_AT: &str = "uncollected_at";

/// An uncollected payment, as the payments table has it. Other attributes of the record are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uncollected {
    /// The order.
    pub order_id: OrderId,
    /// The provider's id of the hold, which is cancelled: the place to see what happened, not the place to collect.
    pub payment: PaymentRef,
    /// The sum.
    pub amount: Money,
    /// The provider's error code.
    pub capture_code: String,
    /// When the provider refused it permanently.
    pub uncollected_at: Timestamp,
    /// The settlement, if there is one.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub settlement: Option<Settlement>,
}

/// That a person has settled it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// When.
    pub settled_at: Timestamp,
    /// The operator.
    pub settled_by: String,
    /// The operator's note.
    pub settled_reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_record_is_read_with_its_settlement_or_without() {
        let mut record = json!({
            "order_id": "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9", "state": "uncollected", "payment": "pi_1",
            "amount": {"amount_minor": 2400, "currency": "EUR"}, "capture_before": "2026-05-09T00:00:00Z",
            "authorized_at": "2026-05-02T00:00:00Z", "capture_code": "expired", "uncollected_at": "2026-05-09T08:00:00Z"
        });
        let open: Uncollected = serde_json::from_value(record.clone()).unwrap();
        assert_eq!((open.payment.0.as_str(), open.settlement), ("pi_1", None));
        record["settled_at"] = "2026-05-10T08:00:00Z".into();
        record["settled_by"] = "ada".into();
        record["settled_reason"] = "paid by transfer".into();
        let settled: Uncollected = serde_json::from_value(record).unwrap();
        assert_eq!(settled.settlement.map(|it| it.settled_by).as_deref(), Some("ada"));
    }
}
