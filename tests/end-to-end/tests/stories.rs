//! Every story of an order, on the deployed stack, with IAM enforced: what the customer sees, what the provider's book
//! says and what is in stock must agree.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use anyhow::{Result, ensure};
use end_to_end::wiring::parked;
use serde_json::Value;
use std::time::Duration;
use testkit::{
    shop::{DECLINED, VISA, heard, new_key, new_sku, order},
    stack::Stack,
};
use tokio::sync::RwLock;

/// Stories that pause a consumer hold it alone: the others would wait for what they paused.
static CONSUMERS: RwLock<()> = RwLock::const_new(());

/// What the three books say of an order that has ended.
async fn ends(stack: &Stack, order_id: &str, status: &str, charged: &[(&str, i64)]) -> Result<Value> {
    let seen = stack.ended(order_id).await?;
    ensure!(seen["status"] == status, "expected {status}, got {seen:#}");
    ensure!(!(heard(&seen, "order.shipped") && heard(&seen, "order.cancelled")), "both shipped and cancelled: {seen:#}");
    let book = stack.book(order_id).await?;
    let held: Vec<_> = book.iter().filter(|(status, _)| status == "requires_capture").collect();
    ensure!(held.is_empty(), "money is still held: {held:?}");
    let collected: Vec<_> =
        book.iter().filter(|(status, _)| status == "succeeded").map(|(status, amount)| (status.as_str(), *amount)).collect();
    ensure!(collected == charged, "the provider's book: {book:?}");
    let payment = stack.item("PaymentsTable", "order_id", order_id).await?.unwrap_or_default();
    let expected = if charged.is_empty() { ["voided", "closed"].as_slice() } else { &["captured"] };
    ensure!(expected.iter().any(|state| payment["state"] == *state), "the payment's record: {payment}");
    Ok(seen)
}

#[tokio::test]
async fn an_order_that_is_authorized_and_reserved_ships_and_is_charged_once() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let (mug, pot) = (new_sku("MUG"), new_sku("POT"));
    stack.stock_up(&mug, 1200, 10).await?;
    stack.stock_up(&pot, 4500, 10).await?;
    let order_id = stack.place(&[(&mug, 2), (&pot, 1)], VISA).await?;
    let seen = ends(&stack, &order_id, "completed", &[("succeeded", 6900)]).await?;
    for event in ["order.placed", "payment.authorized", "inventory.reserved", "order.shipped", "payment.captured", "inventory.committed"] {
        ensure!(heard(&seen, event), "{event} is not in the timeline: {seen:#}");
    }
    ensure!(seen["tracking_number"].as_str().is_some_and(|number| number.starts_with("OP")), "{seen:#}");
    assert_eq!((stack.available(&mug).await?, stack.available(&pot).await?), (8, 9));
    Ok(())
}

#[tokio::test]
async fn a_declined_card_cancels_and_gives_the_stock_back() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let sku = new_sku("MUG");
    stack.stock_up(&sku, 1200, 5).await?;
    let order_id = stack.place(&[(&sku, 3)], DECLINED).await?;
    let seen = ends(&stack, &order_id, "cancelled", &[]).await?;
    ensure!(seen.to_string().contains("payment_declined"), "the customer is told why: {seen:#}");
    assert_eq!(stack.available(&sku).await?, 5);
    Ok(())
}

#[tokio::test]
async fn too_little_stock_cancels_takes_nothing_and_releases_the_hold() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let (plenty, scarce) = (new_sku("PLENTY"), new_sku("SCARCE"));
    stack.stock_up(&plenty, 100, 50).await?;
    stack.stock_up(&scarce, 100, 1).await?;
    let order_id = stack.place(&[(&plenty, 1), (&scarce, 2)], VISA).await?;
    let seen = ends(&stack, &order_id, "cancelled", &[]).await?;
    ensure!(seen.to_string().contains("out_of_stock"), "{seen:#}");
    assert_eq!((stack.available(&plenty).await?, stack.available(&scarce).await?), (50, 1), "all lines or none");
    Ok(())
}

/// Orders that nobody pays take all there is, again and again, while honest customers order.
#[tokio::test]
async fn orders_that_are_declined_turn_no_honest_order_away() -> Result<()> {
    const UNITS: u32 = 10;
    const ATTACKS: usize = 22;
    const HONEST: usize = 8;
    /// Seven orders a second, what payment takes of a sandbox.
    const EVERY: Duration = Duration::from_millis(143);
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _alone = CONSUMERS.write().await;
    let sku = new_sku("WANTED");
    stack.stock_up(&sku, 1200, UNITS.into()).await?;
    let mut honest = Vec::new();
    for n in 0..ATTACKS {
        stack.place(&[(&sku, UNITS)], DECLINED).await?;
        if n % (ATTACKS / HONEST) == 0 && honest.len() < HONEST {
            honest.push(stack.place(&[(&sku, 1)], VISA).await?);
        }
        tokio::time::sleep(EVERY).await;
    }
    for order_id in &honest {
        ends(&stack, order_id, "completed", &[("succeeded", 1200)]).await?;
    }
    assert_eq!(honest.len(), HONEST);
    Ok(())
}

#[tokio::test]
async fn of_two_orders_for_the_last_unit_one_ships() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let sku = new_sku("LAST");
    stack.stock_up(&sku, 9900, 1).await?;
    let lines = [(sku.as_str(), 1)];
    let (a, b) = tokio::try_join!(stack.place(&lines, VISA), stack.place(&lines, VISA))?;
    let mut statuses =
        [stack.ended(&a).await?["status"].clone(), stack.ended(&b).await?["status"].clone()].map(|status| status.to_string());
    statuses.sort();
    assert_eq!(statuses, ["\"cancelled\"", "\"completed\""]);
    assert_eq!(stack.available(&sku).await?, 0);
    Ok(())
}

#[tokio::test]
async fn an_order_sent_twice_at_once_with_one_key_is_one_order() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let sku = new_sku("MUG");
    stack.stock_up(&sku, 1200, 5).await?;
    let (key, body) = (new_key(), order(&[(&sku, 1)], VISA));
    let (a, b) = tokio::try_join!(stack.post_order(&key, &body), stack.post_order(&key, &body))?;
    assert_eq!((a.status, b.status), (202, 202), "{} {}", a.body, b.body);
    assert_eq!(a.body, b.body);
    let order_id = a.json()?["order_id"].as_str().unwrap().to_owned();
    ends(&stack, &order_id, "completed", &[("succeeded", 1200)]).await?;
    let again = stack.post_order(&key, &body).await?;
    assert_eq!((again.status, again.header("Idempotency-Replayed"), &again.body), (202, Some("true"), &a.body));
    assert_eq!(stack.available(&sku).await?, 4);
    Ok(())
}

/// Hashing the request as its key would merge them.
#[tokio::test]
async fn two_honest_identical_orders_are_two_orders() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let sku = new_sku("MUG");
    stack.stock_up(&sku, 1200, 5).await?;
    let lines = [(sku.as_str(), 1)];
    let (a, b) = tokio::try_join!(stack.place(&lines, VISA), stack.place(&lines, VISA))?;
    assert_ne!(a, b);
    ends(&stack, &a, "completed", &[("succeeded", 1200)]).await?;
    ends(&stack, &b, "completed", &[("succeeded", 1200)]).await?;
    assert_eq!(stack.available(&sku).await?, 3);
    Ok(())
}

#[tokio::test]
async fn an_order_cancelled_in_time_is_not_charged_and_its_stock_is_back() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _alone = CONSUMERS.write().await;
    let sku = new_sku("MUG");
    stack.stock_up(&sku, 1200, 5).await?;
    stack.set_consumer("InventoryFunction", false).await?;
    let story = async {
        let order_id = stack.place(&[(&sku, 2)], VISA).await?;
        stack.until(&order_id, "payment.authorized").await?;
        let asked = stack.cancel(&order_id).await?;
        ensure!(asked.status == 202, "{}: {}", asked.status, asked.body);
        stack.until(&order_id, "order.cancelled").await?;
        Ok(order_id)
    };
    let order_id = story.await;
    stack.set_consumer("InventoryFunction", true).await?;
    let order_id = order_id?;
    let seen = ends(&stack, &order_id, "cancelled", &[]).await?;
    ensure!(seen.to_string().contains("customer_asked"), "{seen:#}");
    assert_eq!(stack.available(&sku).await?, 5);
    let again = stack.cancel(&order_id).await?;
    assert_eq!(again.status, 202, "asking twice asks once: {}", again.body);
    Ok(())
}

#[tokio::test]
async fn an_order_without_payment_times_out_whatever_comes_late() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _alone = CONSUMERS.write().await;
    let sku = new_sku("MUG");
    stack.stock_up(&sku, 1200, 5).await?;
    stack.set_consumer("PaymentFunction", false).await?;
    let story = async {
        let order_id = stack.place(&[(&sku, 1)], VISA).await?;
        stack.until(&order_id, "order.cancelled").await?;
        Ok::<_, anyhow::Error>(order_id)
    };
    let order_id = story.await;
    stack.set_consumer("PaymentFunction", true).await?;
    let order_id = order_id?;
    let seen = ends(&stack, &order_id, "cancelled", &[]).await?;
    ensure!(seen.to_string().contains("timed_out"), "{seen:#}");
    assert_eq!(stack.available(&sku).await?, 5);
    Ok(())
}

#[tokio::test]
async fn a_cancellation_after_shipping_is_refused_and_one_that_slips_through_changes_nothing() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let sku = new_sku("MUG");
    stack.stock_up(&sku, 1200, 5).await?;
    let order_id = stack.place(&[(&sku, 1)], VISA).await?;
    ends(&stack, &order_id, "completed", &[("succeeded", 1200)]).await?;
    let refused = stack.cancel(&order_id).await?;
    assert_eq!((refused.status, refused.header("Content-Type")), (409, Some("application/problem+json")), "{}", refused.body);
    let late = domain::CloudEvent {
        source: "/order-intake".into(),
        subject: domain::Subject::Order(order_id.parse()?),
        time: "2026-01-01T00:00:00Z".parse()?,
        traceparent: None,
        event: domain::event::OrderCancelRequested { reason: domain::event::CancelRequest::CustomerAsked }.into(),
    };
    stack.publish(&order_id, "order.cancel_requested.v1", &late.to_json()).await?;
    stack
        .wait_for("shipping to have heard the late request", async || {
            let record = stack.item("ShipmentsTable", "order_id", &order_id).await?.unwrap_or_default();
            Ok(record.to_string().contains("cancel_requested").then_some(()))
        })
        .await?;
    ends(&stack, &order_id, "completed", &[("succeeded", 1200)]).await?;
    Ok(())
}

#[tokio::test]
async fn a_hundred_orders_for_one_sku_at_once_all_end_right() -> Result<()> {
    const STOCK: u64 = 90;
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let sku = new_sku("HOT");
    stack.stock_up(&sku, 300, STOCK).await?;
    let mut orders = Vec::new();
    for _ in 0..10 {
        let lines = [(sku.as_str(), 1)];
        let ten = std::array::from_fn::<_, 10, _>(|_| stack.place(&lines, VISA));
        for order_id in futures_util::future::join_all(ten).await {
            orders.push(order_id?);
        }
    }
    let mut shipped = 0;
    for order_id in &orders {
        let seen = stack.ended(order_id).await?;
        match seen["status"].as_str() {
            Some("completed") => shipped += 1,
            // The local deadline is seconds: a slow machine may well time some of a hundred out, which is a correct end too.
            Some("cancelled") => assert!(["out_of_stock", "timed_out"].iter().any(|reason| seen.to_string().contains(reason)), "{seen:#}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(shipped + stack.available(&sku).await?, STOCK, "no unit is lost and none is sold twice");
    let parked = parked(&stack, &orders).await?;
    assert!(parked.is_empty(), "{parked:?}");
    Ok(())
}
