//! Stock and reservations against a real engine, where `DYNAMODB_ENDPOINT_URL` names one: the same stage and store as in
//! production, over tables of their own.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use domain::{
    CloudEvent, Currency, Event, Item, Line, Money, OrderId, Sku, Subject, Timestamp,
    event::{CancelReason, InventoryRejected, InventoryReserved, OrderCancelled, OrderPlaced, OrderShipped, PaymentRef},
    inventory::State,
};
use futures_util::future::join_all;
use inventory::{
    Inventory, SKUS_MAX,
    warehouse::{Attempt, Taken, Warehouse, WarehouseTables},
};
use lambda_kit::{Failure, Kind, Real, dynamodb::Updated, message::Delivery};
use pipeline::Stage;

/// The stage over tables of its own.
struct Scratch {
    client: Client,
    stock: String,
    reservations: String,
    stage: Inventory<WarehouseTables, Real>,
}

/// Tables with this stock, or nothing and a word why.
async fn scratch(test: &str, stock: &[(&str, u64)]) -> Option<Scratch> {
    let client = testkit::scratch::client()?;
    let stock_table = testkit::scratch::table(&client, "stock", test, "sku").await.unwrap();
    let reservations = testkit::scratch::table(&client, "reservations", test, "order_id").await.unwrap();
    for (code, available) in stock {
        let put = client.put_item().table_name(&stock_table).item("sku", AttributeValue::S((*code).to_owned()));
        put.item("available", AttributeValue::N(available.to_string())).send().await.unwrap();
    }
    let warehouse = WarehouseTables::new(client.clone(), &stock_table, &reservations);
    Some(Scratch {
        client,
        stock: stock_table,
        reservations,
        stage: Inventory { warehouse, ambient: Real, stock_wait: std::time::Duration::ZERO },
    })
}

impl Scratch {
    async fn available(&self, code: &str) -> Option<u64> {
        let get = self.client.get_item().table_name(&self.stock).key("sku", AttributeValue::S(code.to_owned())).consistent_read(true);
        get.send().await.unwrap().item.map(|item| item["available"].as_n().unwrap().parse().unwrap())
    }
    async fn try_hear(&self, n: u32, event: impl Into<Event>) -> Result<(Event, Timestamp), Failure> {
        let event = CloudEvent {
            source: "/test".into(),
            subject: Subject::Order(order(n)),
            time: Timestamp::UNIX_EPOCH,
            traceparent: None,
            event: event.into(),
        };
        let mut reply = self.stage.handle(&event, &Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() }).await?;
        let announced = reply.announcements.pop().unwrap();
        Ok((announced.event, announced.time))
    }
    async fn hear(&self, n: u32, event: impl Into<Event>) -> (Event, Timestamp) {
        self.try_hear(n, event).await.unwrap()
    }
    async fn drop_tables(self) {
        for table in [self.stock, self.reservations] {
            self.client.delete_table().table_name(table).send().await.unwrap();
        }
    }
}

fn order(n: u32) -> OrderId {
    format!("fe08ddf2-c1ca-5f7e-9ff5-{n:012}").parse().unwrap()
}
fn sku(code: &str) -> Sku {
    code.parse().unwrap()
}
fn of(items: &[(&str, u32)]) -> Vec<Item> {
    items.iter().map(|(code, quantity)| Item { sku: sku(code), quantity: *quantity }).collect()
}
fn placed(items: &[(&str, u32)]) -> OrderPlaced {
    let lines = items.iter().map(|(code, quantity)| Line { sku: sku(code), quantity: *quantity, unit_price_minor: 1 }).collect();
    OrderPlaced { lines, total: Money { amount_minor: 1, currency: Currency::EUR }, payment_method: "pm".into() }
}
fn shipped(items: &[(&str, u32)]) -> OrderShipped {
    OrderShipped { tracking_number: "OP1".into(), payment: PaymentRef("pi".into()), items: of(items) }
}
fn cancelled(items: Option<&[(&str, u32)]>) -> OrderCancelled {
    OrderCancelled { reason: CancelReason::CustomerAsked, payment: None, items: items.map(of) }
}
const ITEMS: &[(&str, u32)] = &[("CUP", 1), ("MUG.BLUE", 2)];

#[tokio::test]
async fn an_order_is_reserved_and_committed_and_copies_get_the_stored_answer() {
    let Some(scratch) = scratch("commit", &[("CUP", 10), ("MUG.BLUE", 10)]).await else { return };
    let reserved = scratch.hear(1, placed(&[("MUG.BLUE", 1), ("CUP", 1), ("MUG.BLUE", 1)])).await;
    assert_eq!(reserved.0, InventoryReserved { items: of(ITEMS) }.into());
    assert_eq!(scratch.hear(1, placed(ITEMS)).await, reserved, "the old image of the cancelled transaction, with its time");
    let committed = scratch.hear(1, shipped(ITEMS)).await;
    assert!(matches!(committed.0, Event::InventoryCommitted(_)));
    assert_eq!(scratch.hear(1, shipped(ITEMS)).await, committed, "the old image of the failed condition, with its time");
    assert_eq!(scratch.hear(1, placed(ITEMS)).await, reserved, "a late copy of `order.placed`");
    assert_eq!((scratch.available("CUP").await, scratch.available("MUG.BLUE").await), (Some(9), Some(8)));
    let impossible = scratch.try_hear(1, cancelled(Some(ITEMS))).await.unwrap_err();
    assert_eq!((impossible.kind, impossible.error_type.as_str()), (Kind::Bug, "Impossible"));
    scratch.drop_tables().await;
}

#[tokio::test]
async fn a_release_gives_back_what_was_stored_whatever_the_hint() {
    let Some(scratch) = scratch("release", &[("CUP", 10), ("MUG.BLUE", 10)]).await else { return };
    let hints: [Option<&[(&str, u32)]>; 4] = [Some(ITEMS), None, Some(&[("CUP", 9)]), Some(&[("MUG.BLUE", 2), ("CUP", 1)])];
    for (n, hint) in (1..).zip(hints) {
        scratch.hear(n, placed(ITEMS)).await;
        assert_eq!(scratch.available("MUG.BLUE").await, Some(8));
        let released = scratch.hear(n, cancelled(hint)).await;
        assert_eq!(scratch.hear(n, cancelled(hint)).await, released, "once, whatever the hint: {hint:?}");
        assert_eq!(scratch.hear(n, placed(ITEMS)).await, released, "a late copy of `order.placed` takes nothing");
        assert_eq!((scratch.available("CUP").await, scratch.available("MUG.BLUE").await), (Some(10), Some(10)), "{hint:?}");
    }
    scratch.hear(9, placed(ITEMS)).await;
    scratch.client.delete_item().table_name(&scratch.stock).key("sku", AttributeValue::S("CUP".into())).send().await.unwrap();
    scratch.hear(9, cancelled(Some(ITEMS))).await;
    assert_eq!(scratch.available("CUP").await, Some(1), "a deleted row gets its units back");
    scratch.drop_tables().await;
}

#[tokio::test]
async fn short_orders_are_rejected_and_unplaced_ones_closed() {
    let Some(scratch) = scratch("close", &[("CUP", 10), ("LAMP", 0)]).await else { return };
    let rejected = scratch.hear(1, placed(&[("CUP", 1), ("GONE", 1), ("LAMP", 1)])).await;
    assert_eq!(rejected.0, InventoryRejected { short: vec![sku("GONE"), sku("LAMP")] }.into());
    assert_eq!(scratch.hear(1, placed(&[("CUP", 1), ("GONE", 1), ("LAMP", 1)])).await, rejected);
    assert_eq!((scratch.available("CUP").await, scratch.available("GONE").await), (Some(10), None));
    for n in [1, 2] {
        let closed = scratch.hear(n, cancelled(None)).await;
        assert!(matches!(closed.0, Event::InventoryReleased(_)), "rejected → closed, and none → closed, by one update");
        assert_eq!(scratch.hear(n, cancelled(None)).await, closed);
        assert_eq!(scratch.hear(n, placed(&[("CUP", 1)])).await, closed, "a closed record refuses it");
    }
    for n in [2, 3] {
        let impossible = scratch.try_hear(n, shipped(&[("CUP", 1)])).await.unwrap_err();
        assert_eq!((impossible.kind, impossible.error_type.as_str()), (Kind::Bug, "Impossible"), "closed, and none");
    }
    assert_eq!(scratch.available("CUP").await, Some(10));
    scratch.drop_tables().await;
}

#[tokio::test]
async fn a_cancelled_transaction_says_why_action_by_action() {
    let Some(scratch) = scratch("why", &[("CUP", 1)]).await else { return };
    let (warehouse, at) = (&scratch.stage.warehouse, Timestamp::from_second(5).unwrap());
    let reserve = async |n: u32| warehouse.reserve(&order(n), &of(&[("CUP", 1), ("GONE", 1)]), at).await.unwrap();
    assert_eq!(reserve(1).await, Attempt::Through(Taken::Short(vec![sku("GONE")])), "CUP alone would have gone through");
    let state = State::Reserved { items: of(&[("CUP", 1)]), reserved_at: at };
    let last = async || warehouse.reserve(&order(1), &of(&[("CUP", 1)]), at).await.unwrap();
    assert_eq!(last().await, Attempt::Through(Taken::Decided(Updated::Now(state.clone()))));
    let own = Attempt::Through(Taken::Decided(Updated::Refused(Some(state))));
    assert_eq!(last().await, own, "both conditions fail now, and the reservation's comes first");
    let none = warehouse.release(&order(2), &of(&[("CUP", 1)]), at).await.unwrap();
    assert_eq!(none, Attempt::Through(Updated::Refused(None)), "a condition that failed on nothing brings no image");
    scratch.drop_tables().await;
}

#[tokio::test]
async fn the_largest_order_fits_one_transaction() {
    let codes: Vec<_> = (0..SKUS_MAX).map(|n| format!("S{n}")).collect();
    let (stock, items): (Vec<_>, Vec<_>) = codes.iter().map(|code| ((code.as_str(), 1), (code.as_str(), 1))).unzip();
    let Some(scratch) = scratch("large", &stock).await else { return };
    assert!(matches!(scratch.hear(1, placed(&items)).await.0, Event::InventoryReserved(_)));
    assert!(matches!(scratch.hear(2, placed(&items)).await.0, Event::InventoryRejected(e) if e.short.len() == SKUS_MAX));
    assert!(matches!(scratch.hear(1, cancelled(None)).await.0, Event::InventoryReleased(_)));
    assert_eq!(scratch.available("S0").await, Some(1));
    scratch.drop_tables().await;
}

#[tokio::test]
async fn a_hundred_orders_at_once_for_one_row_take_exactly_what_is_there() {
    let Some(scratch) = scratch("hot", &[("HOT-CAKE", 60)]).await else { return };
    let hear = async |n: u32| loop {
        match scratch.try_hear(n, placed(&[("HOT-CAKE", 1)])).await {
            Ok((event, _)) => return event,
            // As its queue would: who met others too often comes again.
            Err(failure) => assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Transient, "TransactionConflict")),
        }
    };
    let answers = join_all((1..=100).map(hear)).await;
    assert_eq!(answers.iter().filter(|event| matches!(event, Event::InventoryReserved(_))).count(), 60);
    assert_eq!(answers.iter().filter(|event| matches!(event, Event::InventoryRejected(_))).count(), 40);
    assert_eq!(scratch.available("HOT-CAKE").await, Some(0));
    scratch.drop_tables().await;
}
