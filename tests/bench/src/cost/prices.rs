//! The price table: `tests/bench/prices.toml`, in whole picodollars.
//!
//! [`bill`](super::bill) multiplies by it. It refuses a float: a price is a decimal text, and exact.

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;

/// So many make a dollar: fine enough for a millisecond of the smallest function, and a year of anything fits.
pub const PICODOLLARS: u128 = 1_000_000_000_000;
const DECIMALS: usize = 12;

/// Everything that is billed. Their names are those of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it, and the table has a comment where one is needed")]
pub enum Priced {
    LambdaRequest,
    LambdaGbSecondX86,
    LambdaGbSecondArm,
    HttpRequest,
    FifoPublish,
    FifoPublishGb,
    FifoDelivery,
    FifoDeliveryGb,
    Publish,
    StandardQueueRequest,
    FifoQueueRequest,
    WriteUnit,
    ReadUnit,
    Mail,
    LogsGb,
    AlarmMonth,
    SecretMonth,
    SecretRequest,
    KeyMonth,
    KeyRequest,
}

impl Priced {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::LambdaRequest,
        Self::LambdaGbSecondX86,
        Self::LambdaGbSecondArm,
        Self::HttpRequest,
        Self::FifoPublish,
        Self::FifoPublishGb,
        Self::FifoDelivery,
        Self::FifoDeliveryGb,
        Self::Publish,
        Self::StandardQueueRequest,
        Self::FifoQueueRequest,
        Self::WriteUnit,
        Self::ReadUnit,
        Self::Mail,
        Self::LogsGb,
        Self::AlarmMonth,
        Self::SecretMonth,
        Self::SecretRequest,
        Self::KeyMonth,
        Self::KeyRequest,
    ];

    /// As the table calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::LambdaRequest => "lambda.request",
            Self::LambdaGbSecondX86 => "lambda.gb_second.x86_64",
            Self::LambdaGbSecondArm => "lambda.gb_second.arm64",
            Self::HttpRequest => "apigateway.http_request",
            Self::FifoPublish => "sns.fifo_publish",
            Self::FifoPublishGb => "sns.fifo_publish_gb",
            Self::FifoDelivery => "sns.fifo_delivery",
            Self::FifoDeliveryGb => "sns.fifo_delivery_gb",
            Self::Publish => "sns.publish",
            Self::StandardQueueRequest => "sqs.standard_request",
            Self::FifoQueueRequest => "sqs.fifo_request",
            Self::WriteUnit => "dynamodb.write_unit",
            Self::ReadUnit => "dynamodb.read_unit",
            Self::Mail => "ses.mail",
            Self::LogsGb => "logs.gb",
            Self::AlarmMonth => "cloudwatch.alarm_month",
            Self::SecretMonth => "secretsmanager.secret_month",
            Self::SecretRequest => "secretsmanager.request",
            Self::KeyMonth => "kms.key_month",
            Self::KeyRequest => "kms.request",
        }
    }
}

/// One entry of the table.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dollars: String,
    per: u128,
    source: String,
    copy: String,
    read: jiff::civil::Date,
}

/// So many picodollars for so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Price {
    picodollars: u128,
    per: u128,
}

/// The prices of one region.
#[derive(Debug, Clone)]
pub struct Prices {
    prices: BTreeMap<Priced, Price>,
    /// When the oldest of them was read.
    pub read: jiff::civil::Date,
}

impl Prices {
    /// The prices of `region`, out of the text of a table.
    ///
    /// # Errors
    /// The table is none, a price has no source, the region is not in it, or has not all prices, or one that nothing asks for.
    pub fn of(region: &str, table: &str) -> Result<Self> {
        let mut regions: BTreeMap<String, BTreeMap<String, Entry>> = toml::from_str(table).context("the price table cannot be read")?;
        let known = regions.keys().cloned().collect::<Vec<_>>().join(", ");
        let Some(mut entries) = regions.remove(region) else { bail!("the price table has no region {region}; it has: {known}") };
        let read = entries.values().map(|entry| entry.read).min().context("a region without prices")?;
        let mut prices = BTreeMap::new();
        for priced in Priced::ALL {
            let name = priced.name();
            let entry = entries.remove(name).with_context(|| format!("{region} has no price for {name}"))?;
            prices.insert(priced, entry.price().with_context(|| format!("the price of {name} in {region}"))?);
        }
        if let Some(unused) = entries.keys().next() {
            bail!("{region} has a price for {unused}, which nothing asks for");
        }
        Ok(Self { prices, read })
    }

    /// Picodollars for `quantity`, rounded down, where `scale` of the quantity are one of what is priced.
    #[must_use]
    pub fn cost(&self, priced: Priced, quantity: u128, scale: u128) -> u128 {
        // `of` has put all of them there.
        self.prices.get(&priced).map_or(0, |price| quantity * price.picodollars / (price.per * scale))
    }
}

impl Entry {
    fn price(&self) -> Result<Price> {
        ensure!(self.per > 0, "is for nothing");
        ensure!([&self.source, &self.copy].iter().all(|url| url.starts_with("https://")), "has no source");
        Ok(Price { picodollars: picodollars(&self.dollars)?, per: self.per })
    }
}

/// `0.0000166667` as a whole number of picodollars.
fn picodollars(dollars: &str) -> Result<u128> {
    let (whole, decimals) = dollars.split_once('.').unwrap_or((dollars, ""));
    ensure!(decimals.len() <= DECIMALS, "{dollars} has more than {DECIMALS} decimals");
    let number = format!("{whole}{decimals:0<DECIMALS$}");
    ensure!(number.bytes().all(|digit| digit.is_ascii_digit()), "{dollars} is no price");
    number.parse().with_context(|| format!("{dollars} is no price"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The table that is shipped.
    pub const TABLE: &str = include_str!("../../prices.toml");

    #[test]
    fn dollars_are_exact() {
        assert_eq!(picodollars("0.0000166667").unwrap(), 16_666_700);
        assert_eq!(picodollars("1").unwrap(), PICODOLLARS);
        assert_eq!(picodollars("0.625").unwrap(), 625_000_000_000);
        assert!(picodollars("-1").is_err() && picodollars("1e3").is_err() && picodollars("0.0000000000001").is_err());
    }

    #[test]
    fn a_million_requests_cost_what_the_table_says() {
        let prices = Prices::of("us-east-1", TABLE).unwrap();
        assert_eq!(prices.cost(Priced::WriteUnit, 1_000_000, 1), 625_000_000_000);
        assert_eq!(prices.cost(Priced::ReadUnit, 2_000_000, 2), 125_000_000_000, "two halves are one");
        assert_eq!(prices.cost(Priced::Mail, 1, 1), 100_000_000, "a hundredth of a cent");
    }

    #[test]
    fn an_unknown_region_is_an_error_that_lists_the_known() {
        let error = Prices::of("mars-north-1", TABLE).unwrap_err().to_string();
        assert!(error.contains("mars-north-1") && error.contains("us-east-1"), "{error}");
    }

    #[test]
    fn a_region_has_every_price_with_its_sources_and_none_too_many() {
        let broken = |from: &str, to: &str| format!("{:#}", Prices::of("us-east-1", &TABLE.replace(from, to)).unwrap_err());
        assert!(broken("ses.mail", "ses.post").contains("no price for ses.mail"));
        assert!(broken("https://aws.amazon.com/ses/pricing/", "hearsay").contains("ses.mail"));
        let more = TABLE.to_owned()
            + "\n[us-east-1.\"s3.put\"]\ndollars = \"1\"\nper = 1\nsource = \"https://a\"\ncopy = \"https://b\"\nread = \"2026-01-01\"\n";
        assert!(Prices::of("us-east-1", &more).unwrap_err().to_string().contains("s3.put"));
    }
}
