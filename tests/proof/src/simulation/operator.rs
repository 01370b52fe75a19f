//! The person on duty: has the commands that people have, redrive and nudge, and nothing else.
//!
//! Nudging is the deployed operator's own handler over the simulated cloud. Redriving is [`Messaging::redrive`], because which queue
//! is whose dead-letter queue is what the inspector reads of a stack's configuration, and there is none here.
//!
//! [`Messaging::redrive`]: simulated_cloud::messaging::Messaging::redrive

use super::cloud::Cloud;
use domain::{Order, OrderId, command::Power, uncollected::Settlement};
use lambda_kit::{Failure, dynamodb::record};
use operator::{
    answer::Answer,
    operator::{Archive, Operator, Payments},
};
use pipeline::{
    orders::Orders,
    uncollected::{CollectionState, Settled, Unsettled},
};
use serde_json::json;

/// Nudges every stored order that has not ended, by what its record says. Returns the ids of those that were nudged.
///
/// # Errors
/// What the operator answered, where it was neither nudged nor refused because it has ended.
pub async fn nudge_what_is_open(cloud: &Cloud) -> Result<Vec<OrderId>, String> {
    let mut nudged = Vec::new();
    for item in cloud.tables.items("orders") {
        // Facts of an order that intake never stored are no order.
        let Ok(order) = record::<Order>(item) else { continue };
        let caller = cloud.start("operator");
        let operator = Operator {
            orders: Orders::new(cloud.tables.client(&caller), "orders"),
            payments: NotAsked,
            topic: cloud.messaging.topic(&caller),
            archive: NotKept,
            ambient: caller.clone(),
        };
        let request = json!({"by": "simulation", "command": {"nudge": {"order_id": order.order_id, "reason": "it is open"}}});
        match operator.handle(request, &format!("nudge-{}", cloud.invocations.get()), Power::Change).await {
            Answer::Nudged(_) => nudged.push(order.order_id),
            Answer::Refused(refusal) if refusal.error == "OrderHasEnded" => {}
            other => return Err(format!("{}: the operator answers {other:?}", order.order_id)),
        }
    }
    cloud.draws.tell(|| format!("{:<20} nudges {} orders", "operator", nudged.len()));
    Ok(nudged)
}

/// A nudge looks at no payment.
struct NotAsked;

impl Payments for NotAsked {
    async fn unsettled(&self, _: usize) -> Result<Unsettled, Failure> {
        Err(Failure::bug("NotAsked", "a nudge looks at no payment"))
    }
    async fn find(&self, _: &OrderId) -> Result<CollectionState, Failure> {
        Err(Failure::bug("NotAsked", "a nudge looks at no payment"))
    }
    async fn settle(&self, _: &OrderId, _: &Settlement) -> Result<Settled, Failure> {
        Err(Failure::bug("NotAsked", "a nudge looks at no payment"))
    }
}

/// Audit records, of which the simulation asks nothing.
struct NotKept;

impl Archive for NotKept {
    async fn put(&self, _: &str, _: Vec<u8>) -> Result<(), Failure> {
        Ok(())
    }
}
