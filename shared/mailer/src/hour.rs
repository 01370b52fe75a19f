//! An hour of the clock, by which mail is limited.
//!
//! It does not know a time zone: an hour is one of UTC, for everybody the same.

use domain::Timestamp;
use std::fmt;

/// A whole hour of UTC: `2026-05-04T10` is the one that begins at ten o'clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour {
    /// Hours since the Unix epoch.
    number: i64,
}

impl Hour {
    const SECONDS: i64 = 3600;

    /// The one that `time` lies in.
    pub fn of(time: Timestamp) -> Self {
        Self { number: time.as_second().div_euclid(Self::SECONDS) }
    }
    /// When it began.
    pub fn begin(self) -> Timestamp {
        Timestamp::from_second(self.number.saturating_mul(Self::SECONDS)).unwrap_or(Timestamp::MAX)
    }
    /// When it is over.
    pub fn end(self) -> Timestamp {
        Self { number: self.number.saturating_add(1) }.begin()
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.begin().strftime("%Y-%m-%dT%H"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn an_hour_begins_and_ends_on_the_hour() {
        let hour = Hour::of(at("2026-05-04T10:59:59.999Z"));
        assert_eq!(hour.to_string(), "2026-05-04T10");
        assert_eq!((hour.begin(), hour.end()), (at("2026-05-04T10:00:00Z"), at("2026-05-04T11:00:00Z")));
        assert_eq!(Hour::of(hour.end()), Hour::of(at("2026-05-04T11:00:00Z")));
        assert_eq!(Hour::of(at("1969-12-31T23:59:59Z")).to_string(), "1969-12-31T23");
    }
}
