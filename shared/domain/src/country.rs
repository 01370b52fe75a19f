//! The required fields of a postal address, by country.
//!
//! order-intake asks before an order is accepted. It does not judge what it does not know for certain: a field is required,
//! and a postal code is held to a form, only in countries whose addresses are known to have one; of the code only the form
//! is looked at. Addresses that were accepted before stay readable.

mod table;

/// A country.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Country {
    /// ISO 3166-1 alpha-2 code, in upper case; and XK, by which Kosovo's parcels go and which ISO leaves to its users.
    pub code: &'static str,
    /// Whether addresses name a town, or what stands in its place: an emirate, an island, an area.
    pub needs_town: bool,
    /// The postal code, where every address has one.
    pub postal_code: Option<PostalCode>,
}

/// The postal codes of a country.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostalCode {
    /// their forms: `9` for a digit and `A` for a letter, separated by blanks.
    forms: &'static str,
    /// One of them, to show.
    pub example: &'static str,
}

/// The required fields of an address whose country is not known.
pub const UNKNOWN: Country = Country { code: "ZZ", needs_town: true, postal_code: None };

/// The country with this code.
pub fn find(code: &str) -> Option<&'static Country> {
    let index = table::COUNTRIES.binary_search_by(|country| country.code.cmp(code)).ok()?;
    table::COUNTRIES.get(index)
}

/// All of them, by their codes in alphabetical order.
pub fn all() -> &'static [Country] {
    table::COUNTRIES
}

impl PostalCode {
    /// Whether `text` can be one: its letters and digits, of any script, are in the right places. Blanks, hyphens and other
    /// marks do not count, nor does the prefix of a code of digits: mail from abroad is often addressed to `D-10115` or
    /// `SE-114 55`.
    pub fn admits(&self, text: &str) -> bool {
        let signs = text.chars().filter_map(|sign| match sign {
            _ if sign.is_numeric() => Some('9'),
            _ if sign.is_alphabetic() => Some('A'),
            _ => None,
        });
        let form: String = signs.collect();
        let digits = form.trim_start_matches('A');
        self.forms.split(' ').any(|known| known == form || known == digits)
    }
}

const fn country(code: &'static str, needs_town: bool) -> Country {
    Country { code, needs_town, postal_code: None }
}

const fn coded(code: &'static str, needs_town: bool, forms: &'static str, example: &'static str) -> Country {
    Country { code, needs_town, postal_code: Some(PostalCode { forms, example }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(code: &str, text: &str) -> bool {
        find(code).unwrap().postal_code.is_none_or(|postal_code| postal_code.admits(text))
    }

    #[test]
    fn every_country_of_iso_3166_is_known_once_and_in_order() {
        assert!(all().windows(2).all(|two| two[0].code < two[1].code));
        // 249 of ISO 3166-1, and XK.
        assert_eq!(all().len(), 250);
        for country in all() {
            assert!(country.code.len() == 2 && country.code.bytes().all(|b| b.is_ascii_uppercase()), "{country:?}");
            assert_eq!(find(country.code), Some(country));
        }
        for unknown in ["", "D", "DEU", "de", "ZZ", "UK", "AC"] {
            assert_eq!(find(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_country_has_a_postal_code_only_where_every_address_has_one() {
        for without in ["HK", "AE", "IE", "QA", "PA", "AO", "GH", "UG", "BO", "FJ", "MO", "SY", "KP", "AQ"] {
            assert_eq!(find(without).unwrap().postal_code, None, "{without}");
        }
        for with in ["DE", "US", "GB", "JP", "SG", "CN", "IN", "BR", "LV", "PR", "VI", "SM", "SH"] {
            assert!(find(with).unwrap().postal_code.is_some(), "{with}");
        }
        let without_town = all().iter().filter(|country| !country.needs_town).map(|country| country.code).collect::<Vec<_>>();
        assert_eq!(without_town, ["AG", "GI", "MO", "SG", "SM", "VG"]);
    }

    #[test]
    fn every_example_is_admitted_and_one_sign_more_or_less_is_not() {
        for (code, PostalCode { forms, example }) in all().iter().filter_map(|it| Some((it.code, it.postal_code?))) {
            assert!(admits(code, example) && admits(code, &format!(" {example} ").replace(' ', "-")), "{code}: {example}");
            assert!(forms.split(' ').all(|form| !form.is_empty() && form.bytes().all(|b| b == b'9' || b == b'A')), "{code}: {forms}");
            for bad in ["", "-", "1", &format!("{example}0000000"), "call 0800 123 456"] {
                assert!(!admits(code, bad), "{code}: {bad}");
            }
        }
    }

    #[test]
    fn a_code_is_read_as_people_write_it() {
        for (code, text) in [
            ("DE", "10115"),
            ("DE", "D-10115"),
            ("SE", "SE-114 55"),
            ("LV", "1073"),
            ("LV", "LV-1073"),
            ("GB", "SW1Y4JH"),
            ("GB", "sw1y 4jh"),
            ("GB", "BFPO 801"),
            ("NL", "1234AB"),
            ("NL", "1234 AB"),
            ("US", "12345"),
            ("US", "12345-6789"),
            ("US", "NY 10001"),
            ("JP", "〒154-0023"),
            ("JP", "１５４－００２３"),
            ("PL", "00950"),
            ("TW", "106"),
            ("HK", "999077"),
            ("IE", "Dublin 4"),
            ("AE", "00000"),
        ] {
            assert!(admits(code, text), "{code}: {text}");
        }
        for (code, text) in [("DE", "1011"), ("DE", "SW1Y 4JH"), ("GB", "10115"), ("NL", "1234"), ("US", "1234"), ("CA", "12345")] {
            assert!(!admits(code, text), "{code}: {text}");
        }
    }
}
