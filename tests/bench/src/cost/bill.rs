//! What a million orders cost, line by line: the bench's figures, laid along an order's way, times the prices.
//!
//! Quantities are per million orders, and whole numbers. It refuses an operation that has neither a price nor a word for why it
//! is free: what is called and forgotten here would be a gift.

use super::{
    event_flow::{EventFlow, Fixed, MAIL_EVENTS, Visit},
    prices::{Priced, Prices},
};
use crate::report::{Report, Row};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;

/// Orders that a bill is for.
pub const ORDERS: u128 = 1_000_000;

/// Milliseconds of a megabyte in a gigabyte-second.
const MB_MS: u128 = 1024 * 1000;
/// Bytes in a gigabyte, as AWS bills them.
const GB: u128 = 1 << 30;
/// What Lambda itself writes of an invocation into a function's log, in JSON and at the level of the template: a line as it
/// starts and its report, by the examples of Lambda's documentation.
const PLATFORM_LOG_BYTES: u128 = 600;
/// A line of the API's access log, as the template has it: its names take some 180 bytes, its values some 120.
const ACCESS_LOG_BYTES: u128 = 300;
/// A queue that is polled is received from and deleted from, once a batch.
const REQUESTS_A_BATCH: u128 = 2;

/// How work comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    /// An order now and then: each message is a batch.
    Single,
    /// More than is handled at once: every batch is full.
    Burst,
}

impl Traffic {
    const fn batch(self) -> u64 {
        match self {
            Self::Single => 1,
            Self::Burst => 10,
        }
    }
}

/// How functions are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// As these are.
    Measured,
    /// One event a publish, and a read before every write. Each read is one of a unit; the time that it takes is not counted,
    /// nor that writes wait for each other: the naive pipeline costs more than this.
    Naive,
}

/// A line of a bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// What is paid for.
    pub priced: Priced,
    /// How much of it, per million orders, in [`scale`]s of a unit.
    pub quantity: u128,
    /// In picodollars.
    pub cost: u128,
}

/// Into how many parts a quantity counts the unit that is priced.
#[must_use]
pub const fn scale(priced: Priced) -> u128 {
    match priced {
        Priced::LambdaGbSecondX86 | Priced::LambdaGbSecondArm => MB_MS,
        Priced::FifoPublishGb | Priced::FifoDeliveryGb | Priced::LogsGb => GB,
        Priced::ReadUnit => 2,
        _ => 1,
    }
}

/// What is billed of an operation, or why nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charge {
    /// By the units of its items, which are counted apart.
    Written,
    Read,
    Publish,
    Queue,
    Mail,
    Secret,
    Free,
}

/// # Errors
/// Nobody has said what it costs.
fn charge(operation: &str) -> Result<Charge> {
    Ok(match operation {
        "PutItem" | "UpdateItem" | "TransactWriteItems" => Charge::Written,
        "GetItem" | "BatchGetItem" => Charge::Read,
        "Publish" | "PublishBatch" => Charge::Publish,
        "SendMessage" | "SendMessageBatch" | "ChangeMessageVisibility" | "ChangeMessageVisibilityBatch" => Charge::Queue,
        "SendEmail" => Charge::Mail,
        "GetSecretValue" => Charge::Secret,
        // A connection that is opened ahead asks for nothing. SES bills mails, and no other call.
        "warm-up request" | "PutSuppressedDestination" => Charge::Free,
        // The provider takes its share of the money, and nothing for a call.
        provider if provider.starts_with("Stripe ") => Charge::Free,
        _ => anyhow::bail!(
            "the report has the operation {operation}, and nothing says what it costs: say so in tests/bench/src/cost/bill.rs"
        ),
    })
}

/// Quantities per million orders, as they add up.
#[derive(Debug, Default)]
struct Quantities(BTreeMap<Priced, u128>);

impl Quantities {
    fn add(&mut self, priced: Priced, quantity: u128) {
        *self.0.entry(priced).or_default() += quantity;
    }
}

/// What to lay out, and over what.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// Measured figures.
    pub report: &'a Report,
    /// Where they apply.
    pub flow: &'a EventFlow,
    /// Of the region.
    pub prices: &'a Prices,
    /// Cold starts among a thousand invocations.
    pub cold_per_thousand: u64,
}

impl Account<'_> {
    /// The lines of a bill for [`ORDERS`] that ship, free tier or not.
    ///
    /// # Errors
    /// The report lacks a figure, or has a call that nobody has priced.
    pub fn bill(&self, traffic: Traffic, style: Style) -> Result<Vec<Line>> {
        let on_the_way = |row: &&Row| self.flow.visits.iter().any(|visit| visit.function == row.function);
        for operation in self.report.rows.iter().filter(on_the_way).flat_map(|row| row.first_calls.keys().chain(row.warm_calls.keys())) {
            charge(operation)?;
        }
        let mut sums = Quantities::default();
        let (of_mails, of_orders): (Vec<&Visit>, Vec<&Visit>) = self.flow.visits.iter().partition(|visit| visit.is_of_mails);
        for visit in of_orders {
            self.visit(visit, ORDERS, traffic, style, &mut sums)?;
        }
        // What SES says of each mail is published to a Standard topic, for which deliveries to queues are free.
        let notices = sums.0.get(&Priced::Mail).copied().unwrap_or(0) * MAIL_EVENTS.len() as u128;
        sums.add(Priced::Publish, notices);
        for visit in of_mails {
            self.visit(visit, notices, traffic, style, &mut sums)?;
        }
        // Each event is as large as the mean of those that were published.
        let published = sums.0.get(&Priced::FifoPublishGb).copied().unwrap_or(0);
        let events = self.published(traffic)?;
        sums.add(Priced::FifoDelivery, ORDERS * u128::from(self.flow.deliveries));
        sums.add(Priced::FifoDeliveryGb, published * ORDERS * u128::from(self.flow.deliveries) / events.max(1));
        let line = |(priced, quantity)| Line { priced, quantity, cost: self.prices.cost(priced, quantity, scale(priced)) };
        Ok(sums.0.into_iter().filter(|(_, quantity)| *quantity > 0).map(line).collect())
    }

    /// Adds what a function does about `messages` of one kind.
    fn visit(&self, visit: &Visit, messages: u128, traffic: Traffic, style: Style, sums: &mut Quantities) -> Result<()> {
        let row = self.row(visit, traffic)?;
        let per_message = |total: u64| u128::from(total) * messages / u128::from(row.warm_messages);
        let invocations = per_message(row.warm_invocations);
        sums.add(Priced::LambdaRequest, invocations);
        sums.add(self.gb_second(), per_message(row.warm_billed_ms) * u128::from(visit.memory_mb));
        sums.add(Priced::LogsGb, per_message(row.warm_log_bytes) + invocations * PLATFORM_LOG_BYTES);
        match visit.queue_is_fifo {
            None => {
                sums.add(Priced::HttpRequest, invocations);
                sums.add(Priced::LogsGb, invocations * ACCESS_LOG_BYTES);
            }
            Some(is_fifo) => sums.add(queue_request(is_fifo), invocations * REQUESTS_A_BATCH),
        }
        self.cold_starts(visit, row, invocations, sums)?;
        sums.add(Priced::ReadUnit, per_message(row.warm_units.read_halves));
        if visit.only_reads {
            return Ok(());
        }
        sums.add(Priced::WriteUnit, per_message(row.warm_units.write));
        sums.add(Priced::FifoPublishGb, per_message(row.warm_units.published_bytes));
        for (operation, calls) in &row.warm_calls {
            let calls = per_message(*calls);
            match (charge(operation)?, style) {
                (Charge::Written, Style::Naive) => sums.add(Priced::ReadUnit, calls * scale(Priced::ReadUnit)),
                (Charge::Publish, Style::Measured) => sums.add(Priced::FifoPublish, calls),
                (Charge::Queue, _) => sums.add(queue_request(visit.queue_is_fifo == Some(true)), calls),
                (Charge::Mail, _) => sums.add(Priced::Mail, calls),
                (Charge::Secret, _) => sums.add(Priced::SecretRequest, calls),
                (Charge::Written | Charge::Publish | Charge::Read | Charge::Free, _) => {}
            }
        }
        if style == Style::Naive {
            sums.add(Priced::FifoPublish, per_message(row.warm_units.published));
        }
        Ok(())
    }

    /// What the cold ones among these invocations take beyond a warm one: init, which is billed, the rest of the first
    /// invocation, and the secrets that are read once.
    fn cold_starts(&self, visit: &Visit, row: &Row, invocations: u128, sums: &mut Quantities) -> Result<()> {
        let cold = invocations * u128::from(self.cold_per_thousand) / 1000;
        let warm_ms = row.warm_billed_ms / row.warm_invocations.max(1);
        let more_ms = (row.init_us.div_ceil(1000) + row.first_us.div_ceil(1000)).saturating_sub(warm_ms);
        sums.add(self.gb_second(), cold * u128::from(more_ms) * u128::from(visit.memory_mb));
        for (operation, calls) in &row.first_calls {
            if charge(operation)? == Charge::Secret {
                sums.add(Priced::SecretRequest, cold * u128::from(*calls));
            }
        }
        Ok(())
    }

    /// Events that a million orders publish.
    fn published(&self, traffic: Traffic) -> Result<u128> {
        let publishers = self.flow.visits.iter().filter(|visit| !visit.only_reads && !visit.is_of_mails);
        publishers
            .map(|visit| {
                let row = self.row(visit, traffic)?;
                Ok(u128::from(row.warm_units.published) * ORDERS / u128::from(row.warm_messages))
            })
            .sum()
    }

    /// The figures for a visit. An event of which the bench has no case costs as much as another that the function hears.
    fn row(&self, visit: &Visit, traffic: Traffic) -> Result<&Row> {
        // A request comes alone, however many there are.
        let batch = if visit.queue_is_fifo.is_none() { 1 } else { traffic.batch() };
        let fits = |row: &&Row| (&row.function, row.memory_mb, row.batch) == (&visit.function, visit.memory_mb, batch);
        let rows = || self.report.rows.iter().filter(fits);
        let row = rows().find(|row| row.sample == visit.sample).or_else(|| rows().next()).with_context(|| {
            format!(
                "the report has no {} of {} MB in batches of {batch}: measure it with cargo xtask bench",
                visit.function, visit.memory_mb
            )
        })?;
        let is_billable = row.warm_invocations > 0 && row.warm_messages > 0;
        ensure!(is_billable, "the report is of an older bench, and has nothing of what is billed: measure anew with cargo xtask bench");
        Ok(row)
    }

    fn gb_second(&self) -> Priced {
        if self.flow.is_arm { Priced::LambdaGbSecondArm } else { Priced::LambdaGbSecondX86 }
    }
}

fn queue_request(is_fifo: bool) -> Priced {
    if is_fifo { Priced::FifoQueueRequest } else { Priced::StandardQueueRequest }
}

/// A month has so many hours, in AWS's own estimates.
const HOURS_A_MONTH: u128 = 730;
/// Lambda polls an idle queue by five pollers, each of which waits for up to 20 s.
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html>)
const IDLE_RECEIVES_AN_HOUR: u128 = 5 * 180;
/// SNS asks the key service for a data key, and to open one, every five minutes for each principal that publishes.
/// (<https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html>)
const KEY_REQUESTS_AN_HOUR: u128 = 2 * 12;

/// What a month costs before the first order. The polling and the use of the key are the most that they can be.
#[must_use]
pub fn by_the_month(fixed: &Fixed, prices: &Prices) -> Vec<Line> {
    let polled = |sources: u64| u128::from(sources) * IDLE_RECEIVES_AN_HOUR * HOURS_A_MONTH;
    let quantities = [
        (Priced::AlarmMonth, u128::from(fixed.alarms)),
        (Priced::SecretMonth, u128::from(fixed.secrets)),
        (Priced::KeyMonth, u128::from(fixed.keys)),
        (Priced::KeyRequest, u128::from(fixed.publishers) * KEY_REQUESTS_AN_HOUR * HOURS_A_MONTH),
        (Priced::StandardQueueRequest, polled(fixed.standard_sources)),
        (Priced::FifoQueueRequest, polled(fixed.fifo_sources)),
    ];
    quantities.map(|(priced, quantity)| Line { priced, quantity, cost: prices.cost(priced, quantity, 1) }).to_vec()
}

#[cfg(test)]
pub(super) mod tests {
    use super::{super::prices::tests::TABLE, *};
    use crate::{
        aws::Units,
        machine::Machine,
        report::{Conditions, Effort},
    };
    use std::collections::BTreeSet;

    fn calls(calls: &[(&str, u64)]) -> BTreeMap<String, u64> {
        calls.iter().map(|(operation, calls)| ((*operation).to_owned(), *calls)).collect()
    }

    /// Ten warm invocations.
    fn row(function: &str, sample: &str, memory_mb: u64, batch: u64, warm_calls: &[(&str, u64)], units: Units) -> Row {
        Row {
            function: function.to_owned(),
            sample: sample.to_owned(),
            memory_mb,
            batch,
            init_us: 40_000,
            first_us: 1_500,
            init_and_first_us: 41_500,
            warm_p50_us: 1_000,
            warm_p99_us: 2_000,
            cpu_us_per_message: 100,
            peak_kib: 1,
            zip_bytes: 1,
            connections_in_init: 2,
            connections_in_first: 0,
            resumed_in_first: 0,
            first_calls: calls(&[("warm-up request", 2)]),
            warm_calls: calls(warm_calls),
            warm_messages: 10 * batch,
            warm_invocations: 10,
            warm_billed_ms: 20,
            warm_units: units,
            warm_log_bytes: 1_000 * batch,
        }
    }

    /// Two functions: the door writes and publishes an order's one event, in 2 ms at 256 MB; a consumer of a FIFO queue reads
    /// it, mails, and publishes what follows, in 2 ms at 128 MB, whether one comes or ten.
    pub fn report() -> Report {
        let text = |text: &str| text.to_owned();
        let door = Units { write: 20, read_halves: 0, published: 10, published_bytes: 5_000 };
        let hears = |n: u64| Units { write: 10 * n, read_halves: 20 * n, published: 10 * n, published_bytes: 5_000 * n };
        let does = |n: u64| [("PutItem", 10 * n), ("GetItem", 10 * n), ("PublishBatch", 10), ("SendEmail", 10 * n)];
        let mut rows = vec![row("door", "place", 256, 1, &[("PutItem", 10), ("PublishBatch", 10)], door)];
        for batch in [1, 10] {
            rows.push(row("hears", "placed", 128, batch, &does(batch), hears(batch)));
            rows.push(row("feedback", "delivery", 128, batch, &[], Units::default()));
        }
        rows[1].first_calls = calls(&[("warm-up request", 2), ("GetSecretValue", 1)]);
        let conditions = Conditions { latency_ms: 0, share: text("no share"), roots: 1, protocols: vec![text("http/1.1")], pause_ms: 25 };
        let machine = Machine { processor: text("a CPU"), cores: 2, kernel: text("6"), rustc: text("rustc") };
        Report {
            measured_at: text("2026-06-01T00:00:00Z"),
            machine,
            conditions,
            effort: Effort { starts: 1, warm: 10 },
            load: text("0"),
            rows,
        }
    }

    fn visit(function: &str, sample: &str, memory_mb: u64, queue_is_fifo: Option<bool>) -> Visit {
        let [function, sample] = [function, sample].map(str::to_owned);
        Visit { function, sample, memory_mb, queue_is_fifo, is_of_mails: false, only_reads: false }
    }

    pub fn flow() -> EventFlow {
        let feedback = Visit { is_of_mails: true, ..visit("feedback", "delivery", 128, Some(false)) };
        let visits = vec![visit("door", "place", 256, None), visit("hears", "placed", 128, Some(true)), feedback];
        let fixed = Fixed { alarms: 40, secrets: 2, keys: 1, publishers: 5, standard_sources: 8, fifo_sources: 1 };
        EventFlow { visits, deliveries: 1, is_arm: false, fixed }
    }

    pub fn prices() -> Prices {
        Prices::of("us-east-1", TABLE).unwrap()
    }

    fn bill_of(report: &Report, flow: &EventFlow, traffic: Traffic, style: Style) -> Result<BTreeMap<Priced, (u128, u128)>> {
        let prices = prices();
        let account = Account { report, flow, prices: &prices, cold_per_thousand: 10 };
        Ok(account.bill(traffic, style)?.into_iter().map(|line| (line.priced, (line.quantity, line.cost))).collect())
    }

    fn bill(traffic: Traffic, style: Style) -> BTreeMap<Priced, (u128, u128)> {
        bill_of(&report(), &flow(), traffic, style).unwrap()
    }

    const MICRODOLLARS: u128 = 1_000_000;

    #[test]
    fn a_million_orders_one_by_one_cost_what_a_hand_computes() {
        let bill = bill(Traffic::Single, Style::Measured);
        // Door, hears, and twice feedback for the mail: 4,000,000 at 0.20 a million.
        assert_eq!(bill[&Priced::LambdaRequest], (4_000_000, 800_000 * MICRODOLLARS));
        // Warm 2 ms × (256 + 128 + 2 × 128) MB a million times; cold 40 + 2 − 2 ms more for ten of a thousand.
        let mb_ms = (2 * 640 + 40 * 640 / 100) * 1_000_000;
        assert_eq!(bill[&Priced::LambdaGbSecondX86], (mb_ms, mb_ms * 16_666_700 / 1_024_000));
        assert_eq!(bill[&Priced::HttpRequest], (1_000_000, 1_000_000 * MICRODOLLARS));
        assert_eq!(bill[&Priced::FifoPublish], (2_000_000, 600_000 * MICRODOLLARS));
        assert_eq!(bill[&Priced::FifoPublishGb].0, 2 * 500 * 1_000_000);
        assert_eq!(bill[&Priced::FifoDelivery], (1_000_000, 10_000 * MICRODOLLARS));
        assert_eq!(bill[&Priced::FifoDeliveryGb].0, 500 * 1_000_000, "one of two events, of 500 bytes");
        // Two notices of the mail are received and deleted; one event is.
        assert_eq!(bill[&Priced::StandardQueueRequest], (4_000_000, 1_600_000 * MICRODOLLARS));
        assert_eq!(bill[&Priced::FifoQueueRequest], (2_000_000, 1_000_000 * MICRODOLLARS));
        assert_eq!(bill[&Priced::Publish], (2_000_000, 1_000_000 * MICRODOLLARS));
        // Two units of the door's, one of the other's; a whole read unit.
        assert_eq!(bill[&Priced::WriteUnit], (3_000_000, 1_875_000 * MICRODOLLARS));
        assert_eq!(bill[&Priced::ReadUnit], (2_000_000, 125_000 * MICRODOLLARS));
        assert_eq!(bill[&Priced::Mail], (1_000_000, 100_000_000 * MICRODOLLARS));
        // Of a million invocations ten thousand are cold and read their secret.
        assert_eq!(bill[&Priced::SecretRequest], (10_000, 50_000 * MICRODOLLARS));
        // 100 bytes of its own and 600 of Lambda's each, 300 of the API's for the request.
        assert_eq!(bill[&Priced::LogsGb].0, (4 * 700 + 300) * 1_000_000);
    }

    #[test]
    fn full_batches_share_invocations_publishes_receives_and_deletes_but_no_write() {
        let (single, burst) = (bill(Traffic::Single, Style::Measured), bill(Traffic::Burst, Style::Measured));
        let quantity = |priced| burst[&priced].0;
        // The door's own, a tenth of the consumer's, a tenth of two notices.
        assert_eq!(quantity(Priced::LambdaRequest), 1_300_000);
        assert_eq!(quantity(Priced::FifoPublish), 1_100_000);
        assert_eq!((quantity(Priced::FifoQueueRequest), quantity(Priced::StandardQueueRequest)), (200_000, 400_000));
        for priced in [Priced::WriteUnit, Priced::ReadUnit, Priced::Mail, Priced::HttpRequest, Priced::FifoDelivery, Priced::FifoPublishGb]
        {
            assert_eq!(burst[&priced], single[&priced], "{}", priced.name());
        }
    }

    #[test]
    fn the_naive_pipeline_publishes_each_event_and_reads_before_each_write() {
        let (ours, naive) = (bill(Traffic::Burst, Style::Measured), bill(Traffic::Burst, Style::Naive));
        assert_eq!(naive[&Priced::FifoPublish].0, 2_000_000);
        // A whole unit for each of the two writes.
        assert_eq!(naive[&Priced::ReadUnit].0 - ours[&Priced::ReadUnit].0, 2 * 2_000_000);
        for priced in [Priced::WriteUnit, Priced::LambdaRequest, Priced::LambdaGbSecondX86] {
            assert_eq!(naive[&priced], ours[&priced], "{}", priced.name());
        }
    }

    #[test]
    fn who_only_looks_writes_and_publishes_nothing() {
        let mut flow = flow();
        flow.visits[1].only_reads = true;
        let bill = bill_of(&report(), &flow, Traffic::Single, Style::Measured).unwrap();
        assert_eq!(
            (bill[&Priced::FifoPublish].0, bill[&Priced::WriteUnit].0, bill[&Priced::ReadUnit].0),
            (1_000_000, 2_000_000, 2_000_000)
        );
        assert!(!bill.contains_key(&Priced::Mail));
    }

    #[test]
    fn a_call_that_nobody_has_priced_is_an_error_that_names_it() {
        let mut report = report();
        report.rows[0].warm_calls.insert("PutObject".to_owned(), 1);
        let error = bill_of(&report, &flow(), Traffic::Single, Style::Measured).unwrap_err().to_string();
        assert!(error.contains("PutObject"), "{error}");
    }

    #[test]
    fn a_figure_that_is_missing_is_an_error_that_says_what_to_measure() {
        let (mut report, mut flow) = (report(), flow());
        flow.visits[1].memory_mb = 512;
        let error = bill_of(&report, &flow, Traffic::Burst, Style::Measured).unwrap_err().to_string();
        assert!(error.contains("hears of 512 MB in batches of 10"), "{error}");
        report.rows[0].warm_invocations = 0;
        assert!(bill_of(&report, &self::flow(), Traffic::Single, Style::Measured).unwrap_err().to_string().contains("older bench"));
    }

    #[test]
    fn every_price_is_asked_for_by_a_line() {
        let mut asked = BTreeSet::new();
        for is_arm in [false, true] {
            asked.extend(bill_of(&report(), &EventFlow { is_arm, ..flow() }, Traffic::Single, Style::Measured).unwrap().into_keys());
        }
        asked.extend(by_the_month(&flow().fixed, &prices()).iter().map(|line| line.priced));
        assert_eq!(asked, BTreeSet::from(Priced::ALL));
    }

    #[test]
    fn a_month_without_orders_costs_what_a_hand_computes() {
        let lines = by_the_month(&flow().fixed, &prices());
        let cost = |priced| lines.iter().find(|line| line.priced == priced).unwrap().cost;
        assert_eq!(cost(Priced::AlarmMonth), 4_000_000 * MICRODOLLARS);
        assert_eq!(cost(Priced::SecretMonth) + cost(Priced::KeyMonth), 1_800_000 * MICRODOLLARS);
        // 8 × 5 × 180 × 730 = 5,256,000 receives.
        assert_eq!(cost(Priced::StandardQueueRequest), 2_102_400 * MICRODOLLARS);
        assert_eq!(cost(Priced::FifoQueueRequest), 328_500 * MICRODOLLARS);
        // 5 × 24 × 730 = 87,600 requests.
        assert_eq!(cost(Priced::KeyRequest), 262_800 * MICRODOLLARS);
    }
}
