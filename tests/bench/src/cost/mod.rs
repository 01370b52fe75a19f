//! What an order costs: measured calls and billed milliseconds, times the price table, as a table by service.
//!
//! `cargo xtask cost` calls it by `bin/cost.rs`. [`event_flow`] says which functions an order invokes, [`bill`] multiplies,
//! [`prices`] has the table. It refuses the free tier and every discount, and it bills orders that ship: one that is cancelled
//! goes another way of about the same length.

pub mod bill;
pub mod event_flow;
pub mod prices;

use crate::report::Report;
use anyhow::Result;
use bill::{Account, Line, ORDERS, Style, Traffic, by_the_month, scale};
use command_line::screen::{USUAL_WIDTH, sentences};
use event_flow::EventFlow;
use prices::{PICODOLLARS, Priced, Prices};
use std::{collections::BTreeMap, fmt::Write as _};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Question {
    /// Orders in a month.
    pub orders_per_month: u64,
    /// Whose prices.
    pub region: String,
    /// Cold starts among a thousand invocations.
    pub cold_per_thousand: u64,
}

/// The four bills of a report, and what is paid anyway.
#[derive(Debug)]
struct Bills {
    single: Vec<Line>,
    burst: Vec<Line>,
    naive_single: Vec<Line>,
    naive_burst: Vec<Line>,
    fixed: Vec<Line>,
}

/// The answer, as it is printed.
///
/// # Errors
/// The region has no prices, or the report lacks something.
pub fn answer(report: &Report, flow: &EventFlow, table: &str, question: &Question) -> Result<String> {
    let prices = Prices::of(&question.region, table)?;
    let account = Account { report, flow, prices: &prices, cold_per_thousand: question.cold_per_thousand };
    let bills = Bills {
        single: account.bill(Traffic::Single, Style::Measured)?,
        burst: account.bill(Traffic::Burst, Style::Measured)?,
        naive_single: account.bill(Traffic::Single, Style::Naive)?,
        naive_burst: account.bill(Traffic::Burst, Style::Naive)?,
        fixed: by_the_month(&flow.fixed, &prices),
    };
    let mut text = String::new();
    let Report { measured_at, machine, conditions, .. } = report;
    writeln!(text, "An order that ships, in {}, at the prices of {} (tests/bench/prices.toml).", question.region, prices.read)?;
    writeln!(text, "Measured {measured_at} on {}.", machine.processor)?;
    writeln!(text, "CPU: {}. Calls waited {} ms.", conditions.share, conditions.latency_ms)?;
    if conditions.latency_ms == 0 {
        writeln!(text, "{NO_LATENCY}")?;
    }
    let notes = format!("{NOTES}\nCold starts: {} of a thousand invocations.", question.cold_per_thousand);
    Ok(format!("{}\n\n{}{}\n{}\n", prose(&text), by_order(&bills)?, by_month(&bills, question)?, prose(&notes)))
}

/// Wrapped as wide as the tables, on a terminal and in a file alike.
fn prose(text: &str) -> String {
    sentences(text, "", Some(USUAL_WIDTH))
}

/// What is said of figures that were measured as if AWS answered at once.
const NO_LATENCY: &str =
    "Calls were answered at once, and on AWS they take some milliseconds, which are billed: measure with --latency-ms.";

/// What the figures leave out, and what they take for granted.
const NOTES: &str = "\
Counted without the free tier and without a discount. One by one, every message is a batch of its own; in a burst batches are of \
ten. Naive is one event a publish and a read before every write: each of its reads is of one unit, and the time that they take is \
not counted, so that it costs more than that. Of each invocation Lambda itself is taken to log 600 bytes.
Left out, because it is free, small or somebody else's: what SNS brings to queues (no request of theirs), data within the region \
and out of it, customers' looks at their orders, openings and clicks of mails, items and logs as they are kept, the digest, \
the provider's fee. By the month it is at most what stands there: pollers that find something and publishers that rest ask less.";

/// Service, unit, and the part of a unit in which a quantity is shown.
fn shown(priced: Priced) -> (&'static str, &'static str, u128) {
    match priced {
        Priced::LambdaRequest => ("Lambda", "invocations", 1),
        Priced::LambdaGbSecondX86 | Priced::LambdaGbSecondArm => ("Lambda", "GB-seconds", scale(priced)),
        Priced::HttpRequest => ("API Gateway", "requests", 1),
        Priced::FifoPublish => ("SNS", "publishes", 1),
        Priced::FifoPublishGb => ("SNS", "KB published", 1024),
        Priced::FifoDelivery => ("SNS", "deliveries", 1),
        Priced::FifoDeliveryGb => ("SNS", "KB delivered", 1024),
        Priced::Publish => ("SNS", "notices of mails", 1),
        Priced::StandardQueueRequest => ("SQS", "requests, Standard", 1),
        Priced::FifoQueueRequest => ("SQS", "requests, FIFO", 1),
        Priced::WriteUnit => ("DynamoDB", "write units", 1),
        Priced::ReadUnit => ("DynamoDB", "read units", scale(priced)),
        Priced::Mail => ("SES", "mails", 1),
        Priced::LogsGb => ("CloudWatch", "KB of logs", 1024),
        Priced::AlarmMonth => ("CloudWatch", "alarms", 1),
        Priced::SecretMonth => ("Secrets Manager", "secrets", 1),
        Priced::SecretRequest => ("Secrets Manager", "reads", 1),
        Priced::KeyMonth => ("KMS", "keys", 1),
        Priced::KeyRequest => ("KMS", "requests", 1),
    }
}

fn sum(lines: &[Line]) -> u128 {
    lines.iter().map(|line| line.cost).sum()
}

/// The table by service: quantities of one order, dollars of a million.
fn by_order(bills: &Bills) -> Result<String> {
    let columns = [&bills.single, &bills.burst, &bills.naive_single, &bills.naive_burst];
    let mut rows: BTreeMap<Priced, [Option<Line>; 4]> = BTreeMap::new();
    for (column, lines) in columns.iter().enumerate() {
        for line in *lines {
            if let Some(cell) = rows.entry(line.priced).or_default().get_mut(column) {
                *cell = Some(*line);
            }
        }
    }
    let mut text = String::new();
    writeln!(text, "{:<34}{:>16}{:>16}{:>14}", "", "one by one", "burst", "naive, $")?;
    let head = "of one order; $ of a million";
    writeln!(text, "{head:<34}{:>9}{:>7}{:>9}{:>7}{:>7}{:>7}", "units", "$", "units", "$", "single", "burst")?;
    for (priced, cells) in rows {
        let (service, unit, part) = shown(priced);
        let amount = |cell: Option<Line>| cell.map_or_else(String::new, |line| decimal(line.quantity / part, ORDERS, 4));
        let cost = |cell: Option<Line>| cell.map_or_else(String::new, |line| dollars(line.cost));
        let [single, burst, naive_single, naive_burst] = cells;
        writeln!(
            text,
            "{service:<15} {unit:<18}{:>9}{:>7}{:>9}{:>7}{:>7}{:>7}",
            amount(single),
            cost(single),
            amount(burst),
            cost(burst),
            cost(naive_single),
            cost(naive_burst)
        )?;
    }
    let [single, burst, naive_single, naive_burst] = columns.map(|lines| sum(lines));
    let line = |text: &mut String, name: &str, costs: [u128; 4]| {
        let [a, b, c, d] = costs.map(dollars);
        writeln!(text, "{name:<34}{:>9}{a:>7}{:>9}{b:>7}{c:>7}{d:>7}", "", "")
    };
    line(&mut text, "a million orders", [single, burst, naive_single, naive_burst])?;
    let mail = |lines: &[Line]| lines.iter().filter(|line| line.priced == Priced::Mail).map(|line| line.cost).sum::<u128>();
    let mails = columns.map(|lines| mail(lines));
    let [a, b, c, d] = [single, burst, naive_single, naive_burst];
    let without = [a - mails[0], b - mails[1], c - mails[2], d - mails[3]];
    line(&mut text, "without its mails", without)?;
    let ratio = |naive: u128, ours: u128| format!("{}×", decimal(naive * 100, ours.max(1) * 100, 2));
    let [ours, ours_burst, naive, naive_in_burst] = without;
    writeln!(text, "{:<66}{:>7}{:>7}", "naive to measured, without mails", ratio(naive, ours), ratio(naive_in_burst, ours_burst))?;
    Ok(text)
}

/// What is paid by the month, and the month of so many orders.
fn by_month(bills: &Bills, question: &Question) -> Result<String> {
    let mut text = format!("\n{:<57}{:>20}\n", "By the month, before the first order", "$");
    for line in &bills.fixed {
        let (service, unit, _) = shown(line.priced);
        let what = if matches!(line.priced, Priced::StandardQueueRequest | Priced::FifoQueueRequest) {
            format!("idle {unit}")
        } else {
            unit.to_owned()
        };
        writeln!(text, "{service:<16} {what:<25}{:>15}{:>20}", line.quantity, dollars(line.cost))?;
    }
    let fixed = sum(&bills.fixed);
    writeln!(text, "{:<57}{:>20}", "in all, at most", dollars(fixed))?;
    let orders = u128::from(question.orders_per_month);
    let month = |lines: &[Line]| dollars(fixed + sum(lines) * orders / ORDERS);
    writeln!(text, "\n{:<45}{:>16}{:>16}", format!("A month of {orders} orders, with that, $"), "measured", "naive")?;
    for (name, measured, naive) in [("one by one", &bills.single, &bills.naive_single), ("burst", &bills.burst, &bills.naive_burst)] {
        writeln!(text, "{name:<45}{:>16}{:>16}", month(measured), month(naive))?;
    }
    Ok(text)
}

/// Picodollars as dollars and cents, rounded to the nearest cent.
fn dollars(picodollars: u128) -> String {
    let cent = PICODOLLARS / 100;
    decimal((picodollars + cent / 2) / cent, 100, 2)
}

/// `number / of`, cut off after so many places.
fn decimal(number: u128, of: u128, places: u32) -> String {
    let parts = 10u128.pow(places);
    let number = number * parts / of;
    format!("{}.{:0width$}", number / parts, number % parts, width = places as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bill::tests::{flow, report};
    use command_line::screen::columns;
    use prices::tests::TABLE;

    fn answered(region: &str) -> Result<String> {
        let question = Question { orders_per_month: 2_000_000, region: region.to_owned(), cold_per_thousand: 0 };
        answer(&report(), &flow(), TABLE, &question)
    }

    #[test]
    fn the_table_has_a_line_a_price_and_sums_that_add_up() {
        let answer = answered("us-east-1").unwrap();
        let line =
            |start: &str| answer.lines().find(|line| line.starts_with(start)).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(line("SES"), "SES mails 1.0000 100.00 1.0000 100.00 100.00 100.00");
        assert_eq!(line("SQS             requests, FIFO"), "SQS requests, FIFO 2.0000 1.00 0.2000 0.10 1.00 0.10");
        // Dollars: 0.80 invocations, 0.02 for 1,250 GB-seconds, 1.00 requests, 0.60 + 0.0158 + 0.01 + 0.0005 SNS, 1.00 notices,
        // 1.60 + 1.00 SQS, 1.875 + 0.125 DynamoDB, 100 mails, 1.4435 logs.
        assert_eq!(line("a million orders").split(' ').nth(3), Some("109.49"));
        assert_eq!(line("without its mails").split(' ').nth(3), Some("9.49"));
    }

    #[test]
    fn a_month_is_what_is_paid_anyway_and_its_orders() {
        let answer = answered("us-east-1").unwrap();
        let line = answer.lines().skip_while(|line| !line.starts_with("A month of 2000000 orders")).nth(1).unwrap();
        // 8.4937 by the month: 4.00 + 0.80 + 1.00 + 0.2628 + 2.1024 + 0.3285; and twice a million orders.
        assert!(line.contains(" 227.4"), "{line}");
    }

    #[test]
    fn every_line_fits_a_usual_terminal() {
        let answer = answered("us-east-1").unwrap();
        let wide: Vec<_> = answer.lines().filter(|line| columns(line) > USUAL_WIDTH).collect();
        assert!(wide.is_empty(), "{wide:#?}");
    }

    #[test]
    fn a_region_without_prices_is_refused() {
        assert!(answered("eu-central-1").unwrap_err().to_string().contains("it has: us-east-1"));
    }

    #[test]
    fn money_is_rounded_and_quantities_are_cut_off() {
        assert_eq!(dollars(PICODOLLARS / 1000 * 1005), "1.01");
        assert_eq!(dollars(0), "0.00");
        assert_eq!(decimal(1, 3, 4), "0.3333");
    }
}
