//! `show`: one order of the stack that runs here, as the customer sees it, with what the payment provider's book and the inbox say.

use crate::inbox;
use crate::story::{self, Seen, basket, money, money_of_provider};
use anyhow::{Result, bail};
use clap::Args;
use command_line::screen::{Layout, columns, table, width, wrapped};
use console::machine::Repository;
use console::progress::{bold, dim};
use console::seed;
use console::state;
use domain::OrderId;
use jiff::Timestamp;
use serde_json::Value;
use testkit::inbox::Mail;
use testkit::stack::Stack;

#[derive(Args)]
pub struct Options {
    /// The order's id
    order: OrderId,
}

/// The known facts about an order.
struct Order {
    id: String,
    /// The response of the API.
    view: Value,
    /// Status, and amount as the provider counts it, of each payment that was confirmed.
    book: Vec<(String, i64)>,
    mails: Vec<Mail>,
    basket: String,
}

pub async fn run(repository: &Repository, options: &Options) -> Result<()> {
    let stack = Stack::of(state::require(repository)?);
    let id = options.order.to_string();
    let answer = stack.look(&id).await?;
    match answer.status {
        200 => {}
        404 => bail!("there is no order {id}"),
        status => bail!("GET /orders/{id} was answered with {status}: {}", story::problem(&answer, &Value::Null)),
    }
    let view = answer.json()?;
    let (book, mails) = tokio::try_join!(stack.book(&id), stack.inbox())?;
    let lines: Vec<_> = view["lines"].as_array().into_iter().flatten().filter_map(story::ordered).collect();
    let basket = basket(&lines, &seed::catalogue(repository)?);
    let mails = mails.into_iter().filter(|mail| mail.is_about(&id)).collect();
    println!("{}", text(&Order { id, view, book, mails, basket }, width(&std::io::stdout()))?);
    Ok(())
}

fn text(order: &Order, width: Option<usize>) -> Result<String> {
    let Order { id, view, book, mails, basket } = order;
    let seen = Seen::read(view)?;
    let currency = view["total"]["currency"].as_str().unwrap_or_default();
    let total = money(view["total"]["amount_minor"].as_i64().unwrap_or_default(), currency);
    let mut lines = vec![format!("{}  {}", dim(id), bold(&seen.status)), wrapped([basket, &total], "  ", ["", ""], width), String::new()];
    let begin = view["received_at"].as_str().and_then(|at| at.parse::<Timestamp>().ok());
    let rows: Vec<_> =
        seen.events.iter().map(|event| [event.at.to_string(), after(begin, event.at), event.name.clone(), event.remark.clone()]).collect();
    lines.extend(table(&rows, Layout { numbers: &[1], flexible: &[3, 0], width }));
    lines.push(String::new());
    let paid: Vec<String> = book.iter().map(|(status, amount)| format!("{status} {}", money_of_provider(*amount, currency))).collect();
    lines.push(format!("payment  {}", if paid.is_empty() { "none was confirmed".to_owned() } else { paid.join(", ") }));
    if let Some(number) = view["tracking_number"].as_str() {
        lines.push(format!("parcel   {number}"));
    }
    let ids = inbox::short_ids(mails);
    let told = mails.iter().zip(&ids).map(|(mail, id)| format!("{} {}", mail.template(), dim(id)));
    if !mails.is_empty() {
        lines.push(wrapped(told, ", ", ["mails    ", "         "], width));
    }
    let logs = format!("what was logged: cargo xtask logs --order {id}");
    lines.push(dim(&if width.is_some_and(|width| columns(&logs) > width) { logs.replace(": ", ":\n  ") } else { logs }));
    Ok(lines.join("\n"))
}

/// How long after the beginning.
fn after(begin: Option<Timestamp>, at: Timestamp) -> String {
    let Some(begin) = begin else { return String::new() };
    let ms = at.duration_since(begin).as_millis();
    format!("+{}.{:02} s", ms / 1000, ms.rem_euclid(1000) / 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn order() -> Order {
        let view = json!({
            "order_id": "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9", "status": "completed",
            "total": {"amount_minor": 6900, "currency": "EUR"}, "received_at": "2026-11-28T20:28:03Z", "tracking_number": "T-1",
            "timeline": [
                {"event": "order.placed", "at": "2026-11-28T20:28:03Z"},
                {"event": "order.cancelled", "at": "2026-11-28T20:28:33.52Z", "reason": "timed_out"},
            ],
        });
        let basket = "2 × Blue mug, 1 × Teapot".to_owned();
        Order { id: "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9".into(), view, book: vec![("succeeded".into(), 6900)], mails: vec![], basket }
    }

    #[test]
    fn an_order_is_shown_with_its_timeline_and_what_was_charged() {
        let shown = text(&order(), Some(80)).unwrap();
        assert!(shown.starts_with("fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9  completed\n2 × Blue mug, 1 × Teapot  69.00 EUR\n"), "{shown}");
        assert!(shown.contains("+30.52 s  order.cancelled  reason: timed_out"), "{shown}");
        assert!(shown.contains("\npayment  succeeded 69.00 EUR\nparcel   T-1\n"), "{shown}");
        for line in shown.lines() {
            assert!(columns(line) <= 80, "{line}");
        }
        let mut in_ariary = Order { book: vec![("succeeded".into(), 12)], ..order() };
        in_ariary.view["total"] = json!({"amount_minor": 1200, "currency": "MGA"});
        let shown = text(&in_ariary, Some(80)).unwrap();
        assert!(shown.contains("12.00 MGA\n") && shown.contains("succeeded 12.00 MGA\n"), "{shown}");
    }
}
