//! The result of a run, as tables. It computes nothing that another module could be asked for.

use crate::load::arrivals::{Served, Times};
use crate::load::depths::Depths;
use crate::load::usage::{Usage, load_average};
use crate::load::{Options, Timeline, latency};
use anyhow::Result;
use console::progress::{behind, bold, dim, green, lines, red, shown};
use std::collections::BTreeMap;
use std::time::Duration;
use testkit::calls::{Calls, Kind};

/// As many wrong things as fit on a screen; the rest is likely more of the same.
const SHOWN_WRONG: usize = 10;

/// Why a queue has no row.
const LEFT_OUT: &str = "order-deadline hides one message an order for 15 minutes, and is left out";

pub struct Report<'a> {
    pub options: &'a Options,
    pub served: &'a Served,
    /// By order id.
    pub timelines: &'a BTreeMap<String, Timeline>,
    pub depths: &'a Depths,
    pub usage: &'a Usage,
    /// The calls of the functions from the first order to the last message.
    pub calls: &'a Calls,
    pub wrong: &'a [String],
}

impl Report<'_> {
    /// The placed orders, in a line.
    pub fn title(&self) -> String {
        let Options { orders, rate, concurrency, provider_latency_ms, provider_calls_per_second } = self.options;
        let arriving = if *rate == 0 { "at once".to_owned() } else { format!("at {rate} a second") };
        let concurrency = concurrency.map(|n| format!(", MaximumConcurrency {n}")).unwrap_or_default();
        let slow = if *provider_latency_ms > 0 { format!(", provider {provider_latency_ms} ms late") } else { String::new() };
        format!("{orders} orders {arriving}{concurrency}{slow}, {provider_calls_per_second} provider calls a second")
    }

    /// Each accepted order's times.
    pub fn orders(&self) -> Vec<(Times, Timeline)> {
        let timeline = |id: &str| self.timelines.get(id).copied().unwrap_or_default();
        self.served.accepted.iter().zip(&self.served.times).map(|(order, times)| (*times, timeline(&order.order_id))).collect()
    }

    pub fn print(&self, asked_again: usize) -> Result<()> {
        let orders = self.orders();
        println!("\n{}", bold(&lines(&self.title(), "  ")));
        println!("{}", bold(&format!("  {:<30}{:>12}{:>12}{:>12}{:>12}", "", "p50", "p90", "p99", "max")));
        for (title, percentiles) in latency::table(&orders)? {
            let figures = percentiles.map_or([None; 4], |p| [p.p50, p.p90, p.p99, p.max].map(Some));
            println!("  {title:<30}{}", figures.map(|figure| format!("{:>12}", figure.map_or("–".into(), shown))).concat());
        }
        self.print_milestones(&orders, asked_again);
        self.print_queues();
        self.print_calls(&orders);
        self.print_usage(&orders);
        self.print_wrong(&orders);
        Ok(())
    }

    fn print_milestones(&self, orders: &[(Times, Timeline)], asked_again: usize) {
        println!("\n{}", bold(&format!("  {:<32}{:>12}{:>12}{:>12}", "", "orders", "after", "a second")));
        for (title, reached) in [
            ("accepted", orders.iter().map(|(times, _)| times.accepted).collect::<Vec<_>>()),
            ("shipped", orders.iter().filter_map(|(_, timeline)| timeline.shipped).collect()),
            ("captured and committed", orders.iter().filter_map(|(_, timeline)| timeline.ended).collect()),
        ] {
            let last = reached.iter().max().copied().unwrap_or_default();
            println!("  {title:<32}{:>12}{:>12}{:>12}", reached.len(), shown(last), a_second(reached.len(), last));
        }
        println!("  {:<32}{asked_again:>12}", "requests sent again");
    }

    fn print_queues(&self) {
        println!(
            "\n{}",
            bold(&format!("  {:<18}{:>12}{:>12}{:>12}{:>12}{:>12}", "queue", "peak", "empty after", "filled for", "messages/s", "a batch"))
        );
        for (place, queue) in self.depths.queues.iter().enumerate() {
            let drain = self.depths.drain(place);
            let empty = drain.empty_at.map_or("–".into(), shown);
            let batches = self.calls.0.get(queue).map(|made| made.batches).unwrap_or_default();
            let rate = drain.tenths_per_second(batches.deleted).map_or("–".into(), tenths);
            let size = in_tenths(batches.received, batches.receives);
            println!("  {queue:<18}{:>12}{empty:>12}{:>12}{rate:>12}{size:>12}", drain.peak, shown(drain.filled));
        }
        if self.depths.missed() > 0 {
            println!("  {} looks at the queues were missed: the engine was too busy to answer", self.depths.missed());
        }
        println!("  {}", dim(LEFT_OUT));
    }

    /// The fuller the batches, the fewer.
    fn print_calls(&self, orders: &[(Times, Timeline)]) {
        let made = self.calls.sum();
        let each = |count| in_tenths(count, orders.len() as u64);
        // Short, because nine columns stand next to each other, as in the demo.
        let heads = ["runs", "write", "read", "publ", "send", "mail", "other", "recv", "del"];
        let [writes, reads, publishes, sends, mails, other] = Kind::ALL.map(|kind| made.of_kind(kind));
        let counts = [made.invocations, writes, reads, publishes, sends, mails, other, made.batches.receives, made.batches.deletes];
        println!("\n{}", bold(&format!("  {:<18}{}", "AWS calls an order", heads.map(|head| format!("{head:>6}")).concat())));
        println!("  {:<18}{}", "", counts.map(|count| format!("{:>6}", each(count))).concat());
    }

    fn print_usage(&self, orders: &[(Times, Timeline)]) {
        let Usage { engine, functions, provider } = self.usage;
        let each = |time: &Duration| shown(*time / u32::try_from(orders.len().max(1)).unwrap_or(u32::MAX));
        println!("\n{}", bold(&format!("  {:<32}{:>12}{:>12}", "processor time", "in all", "an order")));
        for (title, time) in [("the engine", engine), ("the functions, not optimized", functions), ("the payment provider", provider)] {
            println!("  {title:<32}{:>12}{:>12}", shown(*time), each(time));
        }
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        println!("  {}", dim(&format!("{cores} cores; load average of the last minute {}", load_average())));
    }

    fn print_wrong(&self, orders: &[(Times, Timeline)]) {
        println!();
        for wrong in self.wrong.iter().take(SHOWN_WRONG) {
            println!("{}", behind(&red("✗ "), wrong));
        }
        let more = self.wrong.len().saturating_sub(SHOWN_WRONG);
        if more > 0 {
            println!("  and {more} more");
        }
        let ended = orders.iter().filter(|(_, timeline)| timeline.ended.is_some()).count();
        let sum = format!("{ended} of {} orders have ended; {} were accepted.", self.options.orders, orders.len());
        if self.wrong.is_empty() {
            let sum = format!("{sum} None lost, each charged once, and the stock adds up.");
            println!("{}", green(&lines(&sum, "")));
        } else {
            println!("{}", red(&sum));
        }
    }
}

/// How many a second.
fn a_second(orders: usize, time: Duration) -> String {
    in_tenths((orders as u64).saturating_mul(1000), u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// A quotient, to a tenth.
fn in_tenths(count: u64, by: u64) -> String {
    count.saturating_mul(10).checked_div(by).map_or("–".into(), tenths)
}

fn tenths(tenths: u64) -> String {
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use command_line::screen::{USUAL_WIDTH, columns};

    #[test]
    fn the_note_below_the_queues_fits_a_usual_terminal() {
        assert!(columns(LEFT_OUT) + 2 <= USUAL_WIDTH);
    }

    #[test]
    fn rates_are_shown_to_a_tenth() {
        assert_eq!(a_second(200, Duration::from_millis(30_500)), "6.5");
        assert_eq!(a_second(0, Duration::ZERO), "–");
        assert_eq!(tenths(123), "12.3");
    }
}
