//! JSON read strictly: a name that stands twice in an object refuses the document, and so does a depth that no document of ours has.
//!
//! RFC 8259 leaves open which of two values counts, and readers differ. A request that one party reads as one order and
//! another as a different one must be refused, and serde_json by itself keeps the last in silence. What a document costs to read is
//! a small multiple of its length, whatever it is: anybody may send one.

use super::Pointer;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// How many arrays and objects may stand in one another. The deepest document of ours has three: an order, its lines, a line.
pub const DEPTH_MAX: usize = 8;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A JSON text as it was sent, without a name that stands twice.
#[derive(Clone, PartialEq)]
pub struct Document {
    /// Its value.
    pub value: Value,
}

impl fmt::Debug for Document {
    /// Hides the values: what a client sent is not for the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").finish_non_exhaustive()
    }
}

/// Why a text is no document. It quotes nothing of the text but names, in [`Unread::Repeated`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// It is not one JSON value in UTF-8.
    NotJson {
        /// Where it breaks off or goes wrong, counted from 1; 0 where that is not known.
        line: usize,
        /// The byte in that line, counted from 1.
        column: usize,
    },
    /// It is nested deeper than [`DEPTH_MAX`].
    TooDeep,
    /// Here stands a name that its object has already.
    Repeated(Pointer),
}

impl Document {
    /// Reads a JSON text, with or without the byte-order mark that some editors and libraries of Windows put before it
    /// (<https://www.rfc-editor.org/rfc/rfc8259#section-8.1> lets readers ignore it).
    ///
    /// # Errors
    /// [`Unread`]: the first thing that is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, Unread> {
        let mut wrong = None;
        let mut reader = serde_json::Deserializer::from_slice(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text));
        let value = Node { depth: 0, wrong: &mut wrong }.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
        value.map(|value| Self { value }).map_err(|error| match wrong {
            None => Unread::NotJson { line: error.line(), column: error.column() },
            Some(Wrong::TooDeep) => Unread::TooDeep,
            Some(Wrong::Repeated(mut place)) => {
                place.reverse();
                Unread::Repeated(place.iter().fold(Pointer::default(), |at, step| match step {
                    Step::Member(name) => at.member(name),
                    Step::Element(index) => at.element(*index),
                }))
            }
        })
    }
}

/// The fault in a JSON text.
enum Wrong {
    TooDeep,
    /// The way from the repeated name outwards, so that nothing is noted down for what is right.
    Repeated(Vec<Step>),
}

enum Step {
    Member(String),
    Element(usize),
}

struct Node<'a> {
    depth: usize,
    wrong: &'a mut Option<Wrong>,
}

impl Node<'_> {
    /// One level further in.
    fn inside(&mut self) -> Node<'_> {
        Node { depth: self.depth + 1, wrong: self.wrong }
    }

    fn enter<E: Error>(&mut self) -> Result<(), E> {
        if self.depth < DEPTH_MAX {
            return Ok(());
        }
        *self.wrong = Some(Wrong::TooDeep);
        Err(E::custom("nested too deep"))
    }

    /// Notes on the way out where it went wrong.
    fn passed_on<E>(&mut self, error: E, step: impl FnOnce() -> Step) -> E {
        if let Some(Wrong::Repeated(place)) = self.wrong {
            place.push(step());
        }
        error
    }
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

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut array = Vec::new();
        loop {
            match elements.next_element_seed(self.inside()) {
                Ok(Some(value)) => array.push(value),
                Ok(None) => return Ok(Value::Array(array)),
                Err(error) => return Err(self.passed_on(error, || Step::Element(array.len()))),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                *self.wrong = Some(Wrong::Repeated(vec![Step::Member(name)]));
                return Err(A::Error::custom("a name stands twice"));
            }
            match members.next_value_seed(self.inside()) {
                Ok(value) => object.insert(name, value),
                Err(error) => return Err(self.passed_on(error, || Step::Member(name))),
            };
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
        assert_eq!(Document::parse(text.as_bytes()).unwrap().value, serde_json::from_str::<Value>(text).unwrap());
        let one_name_in_two_objects = br#"[{"a":1},{"a":2,"b":{"a":3}}]"#;
        assert_eq!(Document::parse(one_name_in_two_objects).unwrap().value, json!([{"a": 1}, {"a": 2, "b": {"a": 3}}]));
    }

    #[test]
    fn a_byte_order_mark_before_a_text_is_no_part_of_it() {
        assert_eq!(Document::parse("\u{feff}{\"a\":\"\u{feff}\"}".as_bytes()).unwrap().value, json!({"a": "\u{feff}"}));
    }

    #[test]
    fn the_first_name_that_stands_twice_refuses_the_document_and_is_named() {
        let repeated = |text: &str| match Document::parse(text.as_bytes()) {
            Err(Unread::Repeated(at)) => at.to_string(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(repeated(r#"{"a":1,"a":1}"#), "#/a");
        assert_eq!(repeated(r#"{"a":1,"b":[0,{"c":1,"c":2,"c":3}],"a":2}"#), "#/b/1/c");
        assert_eq!(repeated(r#"{"a":{"b":1},"a":{"b":1}"#), "#/a", "also where the text breaks off behind it");
    }

    #[test]
    fn what_is_not_one_json_value_is_refused() {
        for text in
            ["", " ", "{", "{}{}", "nul", "{\"a\":1,}", "'a'", "\u{feff}", "\u{feff}\u{feff}{}", "{}\u{feff}", "\"\\ud800\"", "1e999"]
        {
            assert!(matches!(Document::parse(text.as_bytes()), Err(Unread::NotJson { .. })), "{text}");
        }
        assert!(Document::parse(b"\"\xff\"").is_err(), "not UTF-8");
        assert_eq!(Document::parse(b"{\n  nul"), Err(Unread::NotJson { line: 2, column: 3 }));
    }

    #[test]
    fn depth_ends_before_what_no_document_of_ours_has_costs_anything() {
        let nested = |open: &str, close: &str, depth: usize| open.repeat(depth) + "0" + &close.repeat(depth);
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            assert!(Document::parse(nested(open, close, DEPTH_MAX).as_bytes()).is_ok());
            assert_eq!(Document::parse(nested(open, close, DEPTH_MAX + 1).as_bytes()), Err(Unread::TooDeep));
            assert_eq!(Document::parse(open.repeat(100_000).as_bytes()), Err(Unread::TooDeep), "before anything else");
        }
    }
}
