//! Money in integer minor units. No float ever touches an amount.

use serde::{Deserialize, Serialize};
use std::fmt;

/// ISO 4217 currency.
pub use iso_currency::Currency;

/// Largest amount, in minor units. Twelve digits are the most that the payment provider charges a card
/// (<https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts>, 2026-09-23), and every program that reads JSON holds them
/// exactly. What one currency may be charged is [`charge`](crate::charge)'s.
pub const AMOUNT_MINOR_MAX: u64 = 999_999_999_999;

/// An amount of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Minor units (cents where the currency has two decimals).
    pub amount_minor: u64,
    /// ISO 4217 code.
    pub currency: Currency,
}

impl fmt::Display for Money {
    /// Writes `12.50 EUR`, `1250 JPY`, `1.250 KWD`: as many decimals as the currency has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.currency.code();
        match self.currency.exponent() {
            None | Some(0) => write!(f, "{} {code}", self.amount_minor),
            Some(decimals) => {
                let unit = 10u64.pow(u32::from(decimals));
                write!(f, "{}.{:0width$} {code}", self.amount_minor / unit, self.amount_minor % unit, width = usize::from(decimals))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_print_with_the_decimals_of_their_currency() {
        let show = |amount_minor, currency| Money { amount_minor, currency }.to_string();
        assert_eq!(show(1205, Currency::EUR), "12.05 EUR");
        assert_eq!(show(1205, Currency::JPY), "1205 JPY");
        assert_eq!(show(1205, Currency::KWD), "1.205 KWD");
    }
}
