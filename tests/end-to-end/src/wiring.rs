//! Who hears what and where it ends, read from the template that is deployed: a new consumer is in every test that asks here.

use anyhow::{Context as _, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use template::{Resource, Source, Template, items, target, workspace_root};
use testkit::stack::{QueuedMessage, Stack};

/// The topic through which an order's events go.
pub const ORDER_EVENTS: &str = "OrderEventsTopic";

/// The queues that hear an event of this type, without its version, from a topic.
///
/// # Errors
/// The template cannot be read.
pub fn hearing(topic: &str, event: &str) -> Result<BTreeSet<String>> {
    let template = Template::read()?;
    let hears = |subscription: &Resource<'_>| {
        let mut prefixes = items(subscription.at("/FilterPolicy/type")).filter_map(|rule| rule["prefix"].as_str());
        target(subscription.at("/TopicArn")) == Some(topic) && prefixes.any(|prefix| prefix == format!("{event}."))
    };
    let queues = template.subscriptions().filter(hears).filter_map(|subscription| target(subscription.at("/Endpoint")));
    Ok(queues.map(str::to_owned).collect())
}

/// The consumers of an order's events that get them at once: all but the clock, whose messages wait by design. Function and queue.
///
/// # Errors
/// The template cannot be read.
pub fn prompt_consumers() -> Result<Vec<(String, String)>> {
    let template = Template::read()?;
    let at_once = template.consumers_of(ORDER_EVENTS).filter(|source| source.queue.at("/DelaySeconds").is_null());
    Ok(at_once.map(|Source { queue, function, .. }| (function.id.to_owned(), queue.id.to_owned())).collect())
}

/// How many messages each consumer gets of an order that ships, by its folder: those of the whole story that its filter admits.
///
/// # Errors
/// The template cannot be read, or the story is none.
pub fn messages_of_an_order_that_ships() -> Result<BTreeMap<String, u64>> {
    let template = Template::read()?;
    let story = sample("order-tracking", "whole-story")?;
    let records = story["Records"].as_array().context("whole-story has no records")?;
    let types: Vec<_> = records.iter().filter_map(|record| record["messageAttributes"]["type"]["stringValue"].as_str()).collect();
    let messages = |source: Source<'_>| {
        let heard: Vec<_> = template.heard_at(source.queue.id).map(|stem| format!("{stem}.")).collect();
        let admitted = types.iter().filter(|it| heard.iter().any(|prefix| it.starts_with(prefix))).count();
        Some((source.function.folder()?.to_owned(), u64::try_from(admitted).ok()?)).filter(|(_, messages)| *messages > 0)
    };
    Ok(template.consumers_of(ORDER_EVENTS).filter_map(messages).collect())
}

/// A sample invocation event: `events/<function>/<name>.json`.
///
/// # Errors
/// It cannot be read.
pub fn sample(function: &str, name: &str) -> Result<Value> {
    let file = workspace_root().join("events").join(function).join(name).with_extension("json");
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(serde_json::from_str(&text)?)
}

/// The sample of the first event that a consumer of events hears, which is named like that event.
///
/// # Errors
/// It hears none, or there is no such sample.
pub fn first_sample(function: &str) -> Result<Value> {
    let template = Template::read()?;
    let source = template.sources().find(|source| source.function.folder() == Some(function));
    let source = source.with_context(|| format!("{function} has no queue"))?;
    let event = template.heard_at(source.queue.id).next().with_context(|| format!("{function} hears no event"))?;
    sample(function, &event.replace(['.', '_'], "-"))
}

/// The queues of what a consumer could not handle and of what SNS could not deliver: nobody consumes them.
///
/// # Errors
/// The template cannot be read.
pub fn dead_letter_queues() -> Result<BTreeSet<String>> {
    let template = Template::read()?;
    let consumed: BTreeSet<_> = template.sources().map(|source| source.queue.id).collect();
    Ok(template.queues().map(|queue| queue.id).filter(|id| !consumed.contains(id)).map(str::to_owned).collect())
}

/// What the dead-letter queues of the stack hold about one of `subjects`, by queue.
///
/// # Errors
/// The template cannot be read, or the engine refuses.
pub async fn parked(stack: &Stack, subjects: &[String]) -> Result<BTreeMap<String, Vec<QueuedMessage>>> {
    let ends = dead_letter_queues()?;
    let mut found = stack.messages().await?;
    found.retain(|queue, messages| {
        messages.retain(|message| subjects.iter().any(|subject| message.body.contains(subject.as_str())));
        ends.contains(queue) && !messages.is_empty()
    });
    Ok(found)
}

/// The tables whose records are about one order each.
///
/// # Errors
/// The template cannot be read.
pub fn tables_of_orders() -> Result<Vec<String>> {
    let template = Template::read()?;
    let is_by_order = |table: &Resource<'_>| table.at("/KeySchema/0/AttributeName") == "order_id";
    Ok(template.of_type("AWS::DynamoDB::Table").filter(is_by_order).map(|table| table.id.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On the lists as they were written by hand, order-email's queues were missing in two of them.
    #[test]
    fn every_consumer_of_an_orders_events_is_found() {
        let shipped = hearing(ORDER_EVENTS, "order.shipped").unwrap();
        assert!(["InventoryQueue", "OrderEmailQueue", "OrderTrackingQueue", "PaymentQueue"].iter().all(|id| shipped.contains(*id)));
        assert!(!shipped.contains("ShippingQueue"));
        assert!(hearing("PublicEventsTopic", "order.cancel_requested").unwrap().contains("ShippingQueue"));
        let functions: BTreeSet<_> = prompt_consumers().unwrap().into_iter().map(|(function, _)| function).collect();
        assert!(functions.contains("OrderEmailFunction") && !functions.contains("OrderDeadlineFunction"), "{functions:?}");
        let ends = dead_letter_queues().unwrap();
        assert!(["OrderEmailDeadLetterQueue", "OrderDeadlineDeadLetterQueue", "UndeliveredQueue"].iter().all(|id| ends.contains(*id)));
    }

    #[test]
    fn the_messages_of_an_order_that_ships_follow_from_the_filters() {
        let messages = messages_of_an_order_that_ships().unwrap();
        // order.placed, payment.authorized, inventory.reserved, order.shipped, payment.captured, inventory.committed
        assert_eq!((messages["order-tracking"], messages["payment"], messages["shipping"], messages["order-email"]), (6, 2, 2, 2));
        assert_eq!((messages["inventory"], messages["order-deadline"]), (2, 1));
    }

    #[test]
    fn tables_of_orders_are_those_that_stages_keep() {
        let tables = tables_of_orders().unwrap();
        assert!(["OrdersTable", "ShipmentsTable", "PaymentsTable", "ReservationsTable"].iter().all(|id| tables.iter().any(|it| it == id)));
        assert!(!tables.iter().any(|it| it == "StockTable"));
    }
}
