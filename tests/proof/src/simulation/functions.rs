//! The functions: each with its own handler, over the simulated cloud instead of AWS.
//!
//! What `main.rs` wires of each function is wired here once more, over other clients.

use super::{
    cloud::Cloud,
    watch::{Watch, Watched},
    wiring::Mapping,
};
use crate::stripe_key::FixedKey;
use aws_lambda_events::sqs::SqsBatchResponse;
use domain::{Currency, Sku};
use inventory::{Inventory, warehouse::WarehouseTables};
use lambda_kit::{
    Ambient as _, Failure,
    batch::Batch,
    dynamodb::Table,
    http::{Request, Response, answer},
};
use order_deadline::OrderDeadline;
use order_intake::{
    OrderIntake,
    catalogue::{Catalogue, Price},
};
use order_tracking::{OrderTracking, timelines::OrdersTable};
use payment::{
    Payment,
    key::StripeKey,
    ledger::Payments,
    stripe::{
        BaseUrl, Stripe, Timeouts,
        pace::{AtLeastOne, Limits, Pace},
    },
};
use pipeline::{Consume, Stage, orders::Orders};
use serde_json::Value;
use shipping::{Shipping, shipments::ShipmentsTable};
use simulated_cloud::{
    Caller,
    messaging::{Message, event},
};
use std::{collections::HashMap, num::NonZeroU32};
use tokio::time::{Instant, timeout};

/// The queue functions that `invoke` wires.
pub const WIRED: [&str; 5] = ["inventory", "order-deadline", "order-tracking", "payment", "shipping"];

/// Names and keys of the tables.
pub const TABLES: [(&str, &str); 5] =
    [("orders", "order_id"), ("payments", "order_id"), ("stock", "sku"), ("reservations", "order_id"), ("shipments", "order_id")];

/// The price of one unit, of everything.
const UNIT_PRICE_MINOR: u64 = 1200;

/// Runs one invocation of a queue function, as Lambda would; [`None`] where it ran into its time-out.
pub async fn invoke(cloud: &Cloud, mapping: &Mapping, messages: &[Message], caller: &Caller, watch: &Watch) -> Option<SqsBatchResponse> {
    let client = cloud.tables.client(caller);
    let ambient = caller.clone();
    macro_rules! served_by {
        ($stage:expr) => {
            serve(cloud, $stage, mapping, messages, caller, watch).await
        };
    }
    match mapping.function.as_str() {
        "payment" => {
            let connector = cloud.bank.connector(caller.clone());
            let provider = Stripe::over(connector, BaseUrl::default(), StripeKey::new(FixedKey), Timeouts::default());
            let provider = provider.paced(pace(cloud, mapping));
            let ledger = Payments(Table::new(client, "payments", payment::ledger::KEY));
            served_by!(Payment { ledger, provider, ambient })
        }
        "inventory" => {
            let warehouse = WarehouseTables::new(client, "stock", "reservations");
            served_by!(Inventory { warehouse, ambient, stock_wait: cloud.stock_wait })
        }
        "shipping" => served_by!(Shipping { shipments: ShipmentsTable::new(client, "shipments"), ambient }),
        "order-tracking" => served_by!(OrderTracking { timelines: OrdersTable::new(client, "orders") }),
        "order-deadline" => served_by!(OrderDeadline { orders: Orders::new(client, "orders"), ambient, deadlines: cloud.deadlines }),
        // Its messages stay in their queue, so that the run never comes to rest. A test says so before that, by WIRED.
        _ => None,
    }
}

/// The share of a process in what the provider takes. Every invocation is a process of its own here, so that together they send
/// more than they may at times.
fn pace(cloud: &Cloud, mapping: &Mapping) -> Pace {
    let at_least_one = |number: u32| NonZeroU32::new(number).map(AtLeastOne::from).unwrap_or_default();
    let rate = at_least_one(cloud.provider_calls_per_second);
    let processes = at_least_one(u32::try_from(mapping.concurrency).unwrap_or(u32::MAX));
    Pace::share(Limits { account: rate, endpoint: rate, processes })
}

async fn serve<S: Stage>(
    cloud: &Cloud,
    stage: S,
    mapping: &Mapping,
    messages: &[Message],
    caller: &Caller,
    watch: &Watch,
) -> Option<SqsBatchResponse> {
    let batch = Batch {
        consumer: Watched { inner: Consume { stage, ambient: caller.clone() }, watch },
        publisher: Watched { inner: cloud.messaging.topic(caller), watch },
        queue: Watched { inner: cloud.messaging.queue(&mapping.queue, caller), watch },
        ambient: caller.clone(),
    };
    let handling = batch.handle(event(&mapping.queue, messages), Instant::now() + mapping.timeout);
    timeout(mapping.timeout, handling).await.ok()
}

/// Runs one invocation of `order-intake`.
pub async fn intake(cloud: &Cloud, request: Value, caller: &Caller) -> Response {
    let orders = Orders::new(cloud.tables.client(caller), "orders");
    let intake = OrderIntake { catalogue: Interner, orders, topic: cloud.messaging.topic(caller), ambient: caller.clone() };
    let deadline = caller.now().saturating_add(cloud.intake_timeout).unwrap_or(jiff::Timestamp::MAX);
    answer(request, deadline, caller, &async |request: &Request| intake.handle(request).await).await
}

/// A catalogue that has everything.
struct Interner;

impl Catalogue for Interner {
    async fn prices(&self, skus: &[Sku]) -> Result<HashMap<Sku, Price>, Failure> {
        let price = Price { unit_price_minor: UNIT_PRICE_MINOR, currency: Currency::EUR };
        Ok(skus.iter().map(|sku| (sku.clone(), price)).collect())
    }
}
