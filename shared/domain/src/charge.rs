//! The amounts that the payment provider charges: currencies, minimum, maximum and step.
//!
//! order-intake asks before an order is accepted, payment for the amount in the provider's unit, the commands before they
//! put a price into the catalogue. It does not judge what was accepted before: events and records with other amounts stay
//! readable, and the provider has the last word on them.
//!
//! The table is Stripe's, from these pages:
//!
//! - <https://docs.stripe.com/currencies>, as it stood from 2026-07-10 to 2026-09-23: the currencies; those without decimals; ISK and
//!   UGX, which have none and are sent with two; the minimum of each currency that has one; twelve digits for card payments.
//! - <https://docs.stripe.com/currencies?country=AE>, 2026-07-10: BHD, JOD, KWD, OMR and TND, for accounts of some countries.
//! - <https://web.archive.org/web/20221231002856/https://stripe.com/docs/currencies>: their last digit is 0. The page of today no
//!   longer says so, nor that it has changed.
//!
//! Where the pages are unclear, the rule favours the customer:
//!
//! - The minimum is that of the account's settlement currency. Where the order's own currency has one, that one counts, as it does for
//!   an account with one bank account. Where it has none, a charge is converted, at a rate that is not known here: anything above
//!   zero passes, and the provider refuses what is too little.
//! - A card network may take less than twelve digits (American Express mostly nine), and the network is not known here either. The
//!   reference of the API still says eight digits, which would be 80 dollars in UZS.
//! - STD is on the page and no longer in ISO 4217. ANG and BGN have gone from both. They are left out.

use crate::money::{AMOUNT_MINOR_MAX, Currency, Money};

/// The amounts that the provider charges in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// In this currency.
    pub currency: Currency,
    /// The least of a charge, in minor units: at least one step.
    pub least_minor: u64,
    /// The most of a charge, in minor units: a whole number of steps.
    pub most_minor: u64,
    /// An amount is a multiple of so many minor units.
    pub step_minor: u64,
    /// The provider's unit.
    unit: Unit,
}

/// The provider's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// ISO 4217's minor unit.
    Minor,
    /// A hundredth of it: the currency has no decimals, and the provider counts as if it had two.
    Hundredth,
    /// A hundred of it: the currency has two decimals, and the provider counts as if it had none.
    Hundred,
}

/// How many of the one are one of the other, where the provider's unit is not the minor unit.
const HUNDRED: u64 = 100;

/// Why an amount cannot be charged; to be read after what the amount is of ("the total …").
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotChargeable {
    /// Not in this currency.
    #[error("is in {}, which the payment provider does not charge", .0.code())]
    Currency(Currency),
    /// Too little.
    #[error("is less than {0}, the least that the payment provider charges")]
    TooLittle(Money),
    /// Too much.
    #[error("is more than {0}, the most that the payment provider charges")]
    TooMuch(Money),
    /// Not a whole number of steps.
    #[error("is not a multiple of {0}, in whose steps the payment provider charges")]
    NotInSteps(Money),
}

/// The terms of a currency; [`None`] where it is not charged.
pub fn terms(currency: Currency) -> Option<&'static Terms> {
    TERMS.iter().find(|terms| terms.currency == currency)
}

/// The currencies that are charged, by their codes in alphabetical order.
pub fn currencies() -> impl Iterator<Item = Currency> {
    TERMS.iter().map(|terms| terms.currency)
}

/// Sums prices of `currency`, each with its quantity, to what is to be charged.
///
/// # Errors
/// Why it cannot be charged.
pub fn total(currency: Currency, prices: impl IntoIterator<Item = (u64, u32)>) -> Result<Money, NotChargeable> {
    let line = |(price, quantity): (u64, u32)| price.saturating_mul(quantity.into());
    // An amount that does not fit is far beyond every maximum.
    let amount_minor = prices.into_iter().map(line).fold(0, u64::saturating_add);
    let total = Money { amount_minor, currency };
    check(total).map(|()| total)
}

/// Whether an amount can be charged.
///
/// # Errors
/// Why not.
pub fn check(amount: Money) -> Result<(), NotChargeable> {
    let terms = terms(amount.currency).ok_or(NotChargeable::Currency(amount.currency))?;
    terms.fits(amount)?;
    if amount.amount_minor < terms.least_minor {
        return Err(NotChargeable::TooLittle(terms.money(terms.least_minor)));
    }
    Ok(())
}

/// Whether something may be sold at this price, in whatever quantity. It may be less than the least charge, and even nothing: others
/// may be ordered with it.
///
/// # Errors
/// Why not.
pub fn check_price(price: Money) -> Result<(), NotChargeable> {
    terms(price.currency).ok_or(NotChargeable::Currency(price.currency))?.fits(price)
}

/// The amount as the provider counts it. [`None`] where it has no such amount, and for nothing, which is no charge: an order from
/// before such totals were refused ends as declined by it.
pub fn to_provider(amount: Money) -> Option<u64> {
    let minor = Some(amount.amount_minor).filter(|minor| *minor > 0)?;
    match unit(amount.currency) {
        Unit::Minor => Some(minor),
        Unit::Hundredth => minor.checked_mul(HUNDRED),
        Unit::Hundred => minor.is_multiple_of(HUNDRED).then_some(minor / HUNDRED),
    }
}

/// An amount that the provider counts so. What is less than a minor unit is cut off.
pub fn from_provider(counted: u64, currency: Currency) -> Money {
    let amount_minor = match unit(currency) {
        Unit::Minor => counted,
        Unit::Hundredth => counted / HUNDRED,
        Unit::Hundred => counted.saturating_mul(HUNDRED),
    };
    Money { amount_minor, currency }
}

fn unit(currency: Currency) -> Unit {
    terms(currency).map_or(Unit::Minor, |terms| terms.unit)
}

impl Terms {
    const fn money(&self, amount_minor: u64) -> Money {
        Money { amount_minor, currency: self.currency }
    }

    /// Not too much, and in whole steps.
    fn fits(&self, amount: Money) -> Result<(), NotChargeable> {
        if amount.amount_minor > self.most_minor {
            Err(NotChargeable::TooMuch(self.money(self.most_minor)))
        } else if !amount.amount_minor.is_multiple_of(self.step_minor) {
            Err(NotChargeable::NotInSteps(self.money(self.step_minor)))
        } else {
            Ok(())
        }
    }
}

/// From a minimum that the page names.
const fn from(currency: Currency, least_minor: u64) -> Terms {
    Terms { currency, least_minor, most_minor: AMOUNT_MINOR_MAX, step_minor: 1, unit: Unit::Minor }
}
/// Anything above zero.
const fn any(currency: Currency) -> Terms {
    from(currency, 1)
}
/// Three decimals, of which the last is 0.
const fn three_decimals(currency: Currency) -> Terms {
    in_steps(currency, 10, Unit::Minor)
}
/// No decimals; sent in hundredths, of which twelve digits are two fewer of ours.
const fn in_hundredths(currency: Currency) -> Terms {
    Terms { most_minor: AMOUNT_MINOR_MAX / HUNDRED, unit: Unit::Hundredth, ..any(currency) }
}
/// Two decimals in ISO 4217, none at the provider.
const fn whole(currency: Currency) -> Terms {
    in_steps(currency, HUNDRED, Unit::Hundred)
}
const fn in_steps(currency: Currency, step_minor: u64, unit: Unit) -> Terms {
    let most_minor = AMOUNT_MINOR_MAX - AMOUNT_MINOR_MAX % step_minor;
    Terms { currency, least_minor: step_minor, most_minor, step_minor, unit }
}

use Currency::*;
/// By code.
#[rustfmt::skip]
static TERMS: &[Terms] = &[
    from(AED, 200), any(AFN), any(ALL), any(AMD), any(AOA), from(ARS, 50), from(AUD, 50), any(AWG), any(AZN), any(BAM), any(BBD),
    any(BDT), three_decimals(BHD), any(BIF), any(BMD), any(BND), any(BOB), from(BRL, 50), any(BSD), any(BWP), any(BYN), any(BZD),
    from(CAD, 50), any(CDF), from(CHF, 50), any(CLP), any(CNY), from(COP, 50), any(CRC), any(CVE), from(CZK, 1500), any(DJF),
    from(DKK, 250), any(DOP), any(DZD), any(EGP), any(ETB), from(EUR, 50), any(FJD), any(FKP), from(GBP, 30), any(GEL), any(GIP),
    any(GMD), any(GNF), any(GTQ), any(GYD), from(HKD, 400), any(HNL), any(HTG), from(HUF, 17500), from(IDR, 50), from(ILS, 50),
    from(INR, 50), in_hundredths(ISK), any(JMD), three_decimals(JOD), from(JPY, 50), any(KES), any(KGS), any(KHR), any(KMF),
    from(KRW, 50), three_decimals(KWD), any(KYD), any(KZT), any(LAK), any(LBP), any(LKR), any(LRD), any(LSL), any(MAD), any(MDL),
    whole(MGA), any(MKD), any(MMK), any(MNT), any(MOP), any(MUR), any(MVR), any(MWK), from(MXN, 1000), from(MYR, 200), any(MZN),
    any(NAD), any(NGN), any(NIO), from(NOK, 300), any(NPR), from(NZD, 50), three_decimals(OMR), any(PAB), any(PEN), any(PGK),
    from(PHP, 50), any(PKR), from(PLN, 200), any(PYG), any(QAR), from(RON, 200), any(RSD), from(RUB, 50), any(RWF), any(SAR), any(SBD),
    any(SCR), from(SEK, 300), from(SGD, 50), any(SHP), any(SLE), any(SOS), any(SRD), any(SZL), from(THB, 1000), any(TJS),
    three_decimals(TND), any(TOP), any(TRY), any(TTD), any(TWD), any(TZS), any(UAH), in_hundredths(UGX), from(USD, 50), any(UYU),
    any(UZS), any(VND), any(VUV), any(WST), any(XAF), any(XCD), any(XCG), any(XOF), any(XPF), any(YER), from(ZAR, 50), any(ZMW),
];

#[cfg(test)]
mod tests;
