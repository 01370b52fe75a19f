//! JSON read strictly: a name that stands twice in an object is noticed.
//!
//! RFC 8259 leaves open which of two values counts, and readers differ. A request that one party reads as one order and
//! another as a different one must be refused, and serde_json by itself keeps the last in silence.

use super::Pointer;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// A JSON text as it was sent.
#[derive(Clone, PartialEq)]
pub struct Document {
    /// Its value; of a repeated name the last one.
    pub value: Value,
    /// Where a name stood that its object had already, each place once.
    pub repeated: Vec<Pointer>,
}

impl fmt::Debug for Document {
    /// Hides the values: what a client sent is not for the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").finish_non_exhaustive()
    }
}

impl Document {
    /// Reads a JSON text. serde_json ends a document that is nested deeper than 128 levels, so that none overflows the stack.
    ///
    /// # Errors
    /// Where `text` is not one JSON value in UTF-8. The error may quote the text.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        let mut repeated = Vec::new();
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = Node { at: Pointer::default(), repeated: &mut repeated }.deserialize(&mut reader)?;
        reader.end()?;
        repeated.sort();
        repeated.dedup();
        Ok(Self { value, repeated })
    }
}

struct Node<'a> {
    at: Pointer,
    repeated: &'a mut Vec<Pointer>,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(value) = elements.next_element_seed(Node { at: self.at.element(array.len()), repeated: &mut *self.repeated })? {
            array.push(value);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let at = self.at.member(&name);
            if object.contains_key(&name) {
                self.repeated.push(at.clone());
            }
            let value = members.next_value_seed(Node { at, repeated: &mut *self.repeated })?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_serde_json_reads() {
        let text = r#"{"a":[1,-2,3.5,"x\n",true,null],"b":{"c":{}},"d":[]}"#;
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(document.value, serde_json::from_str::<Value>(text).unwrap());
        assert_eq!(document.repeated, []);
    }

    #[test]
    fn a_name_that_stands_twice_is_noticed_at_every_level_and_each_place_once() {
        let document = Document::parse(br#"{"a":1,"b":[{"c":1,"c":2,"c":3}],"a":2}"#).unwrap();
        assert_eq!(document.value, json!({"a": 2, "b": [{"c": 3}]}));
        let places: Vec<_> = document.repeated.iter().map(Pointer::as_str).collect();
        assert_eq!(places, ["#/a", "#/b/0/c"]);
    }

    #[test]
    fn what_is_not_one_json_value_is_refused_and_depth_ends() {
        for text in ["", " ", "{", "{}{}", "nul", "{\"a\":1,}", "'a'", "\u{feff}{}", "\"\\ud800\"", "1e999"] {
            assert!(Document::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Document::parse(b"\"\xff\"").is_err(), "not UTF-8");
        assert!(Document::parse("[".repeat(100_000).as_bytes()).is_err());
        assert!(Document::parse(("[".repeat(100) + &"]".repeat(100)).as_bytes()).is_ok());
    }
}
