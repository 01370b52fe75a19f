//! Whole numbers in JSON, as JSON Schema understands them.
//!
//! Called wherever a client sends an integer. `2.0` and `2e0` are the integer 2: JSON has one type of number, many
//! languages write every number with a fraction, and JSON Schema's `integer` is "any number with a zero fractional part"
//! (<https://json-schema.org/draft/2020-12/json-schema-validation#section-6.1.1>).

use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

/// Where a number with a fraction stops being exact: 2^53. Beyond it a 64-bit float stands for several integers, and there is no way
/// to know which of them was meant (RFC 8259, section 6).
const EXACT_BELOW: f64 = 9_007_199_254_740_992.0;

/// The whole number, not negative, that a JSON value is.
pub fn of(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().and_then(from_float))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole, not negative, and exact")]
fn from_float(number: f64) -> Option<u64> {
    (number.fract() == 0.0 && (0.0..EXACT_BELOW).contains(&number)).then_some(number as u64)
}

/// For a member that may be missing or `null`; to be named beside `default`:
/// `#[serde(default, deserialize_with = "domain::whole_number::optional")]`.
///
/// # Errors
/// Where it is no whole number, or one that the type cannot hold.
pub fn optional<'de, D: Deserializer<'de>, N: TryFrom<u64>>(deserializer: D) -> Result<Option<N>, D::Error> {
    let Some(value) = Option::<Value>::deserialize(deserializer)? else { return Ok(None) };
    let number = of(&value).and_then(|number| N::try_from(number).ok());
    number.map(Some).ok_or_else(|| D::Error::custom("must be a whole number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_number_without_a_fraction_is_whole_however_it_is_written() {
        let read = |text: &str| of(&serde_json::from_str(text).unwrap());
        for (text, number) in [("0", 0), ("2", 2), ("2.0", 2), ("909.0", 909), ("2e1", 20), ("20.00e-1", 2), ("-0.0", 0)] {
            assert_eq!(read(text), Some(number), "{text}");
        }
        assert_eq!(read("18446744073709551615"), Some(u64::MAX));
        for none in ["1.5", "-1", "-1.0", "1e300", "9007199254740993.0", "\"2\"", "null", "true", "[2]"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn a_member_may_be_missing_and_is_not_rounded() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Asked {
            #[serde(default, deserialize_with = "optional")]
            rate: Option<u8>,
        }
        let read = |value: Value| serde_json::from_value::<Asked>(value).ok().map(|asked| asked.rate);
        assert_eq!(read(json!({})), Some(None));
        assert_eq!(read(json!({ "rate": null })), Some(None));
        assert_eq!((read(json!({"rate": 5})), read(json!({"rate": 5.0}))), (Some(Some(5)), Some(Some(5))));
        for wrong in [json!(5.5), json!(256), json!(-1), json!("5")] {
            assert_eq!(read(json!({ "rate": wrong })), None, "{wrong}");
        }
    }
}
