//! Which amounts the payment provider charges, currency by currency.

use super::*;

fn minor(amount_minor: u64, currency: Currency) -> Money {
    Money { amount_minor, currency }
}

fn said(amount_minor: u64, currency: Currency) -> String {
    check(minor(amount_minor, currency)).map_or_else(|why| why.to_string(), |()| "charged".to_owned())
}

#[test]
fn a_total_is_summed_and_one_that_overflows_is_too_much() {
    assert_eq!(total(EUR, [(1200, 2), (5, 1)]), Ok(minor(2405, EUR)));
    assert_eq!(total(EUR, [(AMOUNT_MINOR_MAX, 1)]), Ok(minor(AMOUNT_MINOR_MAX, EUR)));
    let too_much = Err(NotChargeable::TooMuch(minor(AMOUNT_MINOR_MAX, EUR)));
    assert_eq!(total(EUR, [(AMOUNT_MINOR_MAX, 1), (1, 1)]), too_much);
    assert_eq!(total(EUR, [(u64::MAX, 2), (u64::MAX, 1)]), too_much);
    assert_eq!(total(EUR, []), Err(NotChargeable::TooLittle(minor(50, EUR))));
}

#[test]
fn an_amount_is_refused_with_its_reason() {
    assert_eq!(said(0, EUR), "is less than 0.50 EUR, the least that the payment provider charges");
    assert_eq!(said(49, JPY), "is less than 50 JPY, the least that the payment provider charges");
    assert_eq!(said(1205, MGA), "is not a multiple of 1.00 MGA, in whose steps the payment provider charges");
    assert_eq!(said(1205, KWD), "is not a multiple of 0.010 KWD, in whose steps the payment provider charges");
    assert_eq!(said(10_000_000_000, UGX), "is more than 9999999999 UGX, the most that the payment provider charges");
    assert_eq!(said(100, BGN), "is in BGN, which the payment provider does not charge");
    assert_eq!(said(100_000_000, IDR), "charged", "a million rupiah, some sixty dollars");
    assert_eq!((said(1210, KWD), said(1200, MGA)), ("charged".to_owned(), "charged".to_owned()));
}

/// Every currency × each amount at which something changes.
#[test]
fn every_currency_is_charged_from_its_least_to_its_most_in_its_steps() {
    for code in every_code() {
        let Some(&Terms { currency, least_minor, most_minor, step_minor, .. }) = terms(code) else {
            assert_eq!(check(minor(1000, code)), Err(NotChargeable::Currency(code)));
            assert_eq!(check_price(minor(1000, code)), Err(NotChargeable::Currency(code)));
            continue;
        };
        let amount = |amount_minor| minor(amount_minor, currency);
        assert!(step_minor <= least_minor && least_minor.is_multiple_of(step_minor) && most_minor.is_multiple_of(step_minor));
        for good in [least_minor, least_minor + step_minor, most_minor - step_minor, most_minor] {
            assert_eq!((check(amount(good)), check_price(amount(good))), (Ok(()), Ok(())), "{}", amount(good));
            let counted = to_provider(amount(good)).unwrap();
            assert!(counted <= 999_999_999_999, "{}: twelve digits", amount(good));
            assert_eq!(from_provider(counted, currency), amount(good));
        }
        for little in [0, least_minor - step_minor] {
            assert_eq!(check(amount(little)), Err(NotChargeable::TooLittle(amount(least_minor))), "{}", amount(little));
            assert_eq!(check_price(amount(little)), Ok(()), "{}: a price may be low", amount(little));
        }
        for much in [most_minor + 1, most_minor + step_minor, u64::MAX] {
            assert_eq!(check(amount(much)), Err(NotChargeable::TooMuch(amount(most_minor))), "{}", amount(much));
            assert_eq!(check_price(amount(much)), check(amount(much)), "{}", amount(much));
        }
        for between in (1..step_minor).map(|part| least_minor + part) {
            assert_eq!(check(amount(between)), Err(NotChargeable::NotInSteps(amount(step_minor))), "{}", amount(between));
            assert_eq!(check_price(amount(between)), check(amount(between)), "{}", amount(between));
        }
    }
}

/// The list of the page, beside ISO 4217's decimals: where both count alike, one is sent as the other.
#[test]
fn the_unit_differs_where_the_providers_decimals_differ() {
    let without_decimals = [BIF, CLP, DJF, GNF, JPY, KMF, KRW, MGA, PYG, RWF, VND, VUV, XAF, XOF, XPF];
    let with_three = [BHD, JOD, KWD, OMR, TND];
    for terms in TERMS {
        let provider = match terms.currency {
            currency if without_decimals.contains(&currency) => 0,
            currency if with_three.contains(&currency) => 3,
            _ => 2,
        };
        let ours = terms.currency.exponent().unwrap();
        let expected = match i32::from(ours) - provider {
            0 => Unit::Minor,
            -2 => Unit::Hundredth,
            2 => Unit::Hundred,
            _ => panic!("{}", terms.currency.code()),
        };
        assert_eq!(terms.unit, expected, "{}", terms.currency.code());
    }
    assert_eq!(TERMS.iter().filter(|terms| with_three.contains(&terms.currency) && terms.step_minor == 10).count(), 5);
}

#[test]
fn amounts_are_in_the_unit_that_the_provider_counts_in() {
    let sent = |amount_minor, currency| to_provider(minor(amount_minor, currency));
    assert_eq!((sent(1250, EUR), sent(500, JPY)), (Some(1250), Some(500)));
    assert_eq!((sent(5, ISK), sent(5, UGX)), (Some(500), Some(500)));
    assert_eq!((sent(500, MGA), sent(550, MGA)), (Some(5), None));
    assert_eq!(sent(0, EUR), None, "nothing is no charge");
    assert_eq!(sent(100, BGN), Some(100), "accepted before it was refused: the provider decides");
    assert_eq!(sent(u64::MAX, UGX), None);
}

#[test]
fn the_table_is_in_order_and_has_each_currency_once() {
    assert!(TERMS.windows(2).all(|two| two[0].currency.code() < two[1].currency.code()));
    assert_eq!(TERMS.len(), 137);
}

/// `local/charges.json` is the same table in the provider's own unit, for the program that stands in for it.
#[test]
fn the_local_provider_has_the_same_table() {
    let row = |terms: &Terms| {
        let counted = |amount_minor| to_provider(terms.money(amount_minor)).unwrap();
        let (least, most) = (counted(terms.least_minor), counted(terms.most_minor));
        let step = if terms.unit == Unit::Hundredth {
            HUNDRED
        } else if terms.unit == Unit::Hundred {
            1
        } else {
            terms.step_minor
        };
        format!("  \"{}\": [{least}, {most}, {step}]", terms.currency.code().to_ascii_lowercase())
    };
    let expected = format!("{{\n{}\n}}\n", TERMS.iter().map(row).collect::<Vec<_>>().join(",\n"));
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../local/charges.json");
    assert_eq!(std::fs::read_to_string(file).unwrap_or_default(), expected, "local/charges.json has to hold what is on the right");
}

/// Every currency that the type knows.
fn every_code() -> impl Iterator<Item = Currency> {
    let capitals = || 'A'..='Z';
    let codes = capitals().flat_map(move |a| capitals().flat_map(move |b| capitals().map(move |c| format!("{a}{b}{c}"))));
    codes.filter_map(|code| Currency::from_code(&code))
}
