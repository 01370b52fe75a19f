//! Money in integer minor units. No float ever touches an amount.

use serde::{Deserialize, Serialize};
use std::fmt;

/// ISO 4217 currency.
pub use iso_currency::Currency;

/// Largest amount, in minor units: 99,999,999 is the most that the payment provider takes in one charge
/// (<https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts>).
pub const AMOUNT_MINOR_MAX: u64 = 99_999_999;

/// An amount of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Minor units (cents where the currency has two decimals).
    pub amount_minor: u64,
    /// ISO 4217 code.
    pub currency: Currency,
}

/// The sum is more than can be charged at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the total must not exceed {AMOUNT_MINOR_MAX} minor units")]
pub struct TooMuch;

impl Money {
    /// Sums `amounts`, all of `currency`.
    ///
    /// # Errors
    /// [`TooMuch`] if the sum, or any step towards it, exceeds [`AMOUNT_MINOR_MAX`].
    pub fn total(currency: Currency, amounts: impl IntoIterator<Item = (u64, u32)>) -> Result<Self, TooMuch> {
        let amount_minor = amounts.into_iter().try_fold(0u64, |sum, (unit, quantity)| {
            let line = unit.checked_mul(u64::from(quantity)).ok_or(TooMuch)?;
            sum.checked_add(line).filter(|sum| *sum <= AMOUNT_MINOR_MAX).ok_or(TooMuch)
        })?;
        Ok(Self { amount_minor, currency })
    }
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

    #[test]
    fn a_total_that_overflows_or_exceeds_the_limit_is_refused() {
        assert_eq!(Money::total(Currency::EUR, [(1200, 2), (5, 1)]).unwrap().amount_minor, 2405);
        assert_eq!(Money::total(Currency::EUR, [(AMOUNT_MINOR_MAX, 1)]).unwrap().amount_minor, AMOUNT_MINOR_MAX);
        assert_eq!(Money::total(Currency::EUR, [(AMOUNT_MINOR_MAX, 1), (1, 1)]), Err(TooMuch));
        assert_eq!(Money::total(Currency::EUR, [(u64::MAX, 2)]), Err(TooMuch));
    }
}
