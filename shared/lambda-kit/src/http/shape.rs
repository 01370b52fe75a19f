//! The shape of a JSON body: read into types, with the faults named at once.
//!
//! A function reads its fields by these methods and by its own, which call them. A method that returns [`None`] has said
//! why. The first faults are named, the others counted: [`Faults`]. It refuses unknown fields, because a misspelt optional one would
//! be dropped in silence, and it never quotes a value, because the values may be a person's.

use super::{Document, Fault, Faults, Hidden, Pointer};
use crate::text::is_blank;
use serde_json::{Map, Value};
use std::{fmt, str::FromStr};

/// A place in a document and what stands there, if anything does.
pub struct Node<'v> {
    /// Where.
    pub at: Pointer,
    /// The content.
    pub value: Option<&'v Value>,
}

/// An object in a document.
pub struct Members<'v> {
    at: Pointer,
    map: &'v Map<String, Value>,
}

impl<'v> Members<'v> {
    /// The member `name`, which may be missing.
    pub fn get(&self, name: &str) -> Node<'v> {
        Node { at: self.at.member(name), value: self.map.get(name) }
    }
}

/// Reads, and collects what is wrong.
#[derive(Debug, Default)]
pub struct Shape {
    faults: Faults,
}

impl Shape {
    /// Reads a whole document by `read`.
    ///
    /// # Errors
    /// Its fault.
    pub fn of<T>(document: &Document, read: impl FnOnce(&mut Self, &Node<'_>) -> Option<T>) -> Result<T, Faults> {
        let mut shape = Self::default();
        let value = read(&mut shape, &Node { at: document.root(), value: Some(&document.value) });
        shape.finish(value)
    }

    /// The parsed value, if neither it nor anything else has a fault.
    ///
    /// # Errors
    /// The faults.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        match value {
            Some(value) if self.faults.count() == 0 => Ok(value),
            _ => Err(self.faults),
        }
    }

    /// An object that has no members but the `known` ones.
    pub fn object<'v>(&mut self, node: &Node<'v>, known: &[&str]) -> Option<Members<'v>> {
        let Some(Value::Object(map)) = node.value else { return self.wrong(node, "an object") };
        for name in map.keys().filter(|name| !known.contains(&name.as_str())) {
            self.faults.add(|| Fault { pointer: node.at.member(name), detail: "is not a known field".to_owned() });
        }
        Some(Members { at: node.at.clone(), map })
    }

    /// Any text.
    pub fn string<'v>(&mut self, node: &Node<'v>) -> Option<&'v str> {
        match node.value {
            Some(Value::String(text)) => Some(text),
            _ => self.wrong(node, "text"),
        }
    }

    /// A text for people that may be absent, which is written in four ways: left out, null, empty, or showing nothing.
    pub fn optional_text<'v>(&mut self, node: &Node<'v>, chars_max: usize) -> Option<Option<&'v str>> {
        match node.value {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(text)) if is_blank(text) => Some(None),
            Some(_) => self.text(node, chars_max).map(Some),
        }
    }

    /// A text for people, without the white space around it: not blank, one line, no web address. It has at most `chars_max` characters
    /// as it was sent, white space around it included: a JSON Schema's `maxLength`, which clients check by, counts them too.
    pub fn text<'v>(&mut self, node: &Node<'v>, chars_max: usize) -> Option<&'v str> {
        let sent = self.string(node)?;
        let text = sent.trim();
        let before = self.faults.count();
        if is_blank(text) {
            self.refuse::<()>(&node.at, "must not be blank");
        }
        if sent.chars().count() > chars_max {
            self.refuse::<()>(&node.at, format!("must not be longer than {chars_max} characters, blanks at its ends included"));
        }
        // Line breaks and their like would let a text grow a line on a label, in a mail's header, or in a table.
        if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            self.refuse_text::<()>(node, "must not contain control characters or line breaks");
        }
        // No name and no street has one, and what is typed here may be printed where somebody else reads it.
        let lower = text.to_ascii_lowercase();
        if lower.contains("://") || lower.contains("www.") {
            self.refuse::<()>(&node.at, "must not contain a web address");
        }
        (self.faults.count() == before).then_some(text)
    }

    /// A text that a type of its own understands; what the type says of another must quote nothing.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, node: &Node<'_>) -> Option<T> {
        match self.string(node)?.parse() {
            Ok(value) => Some(value),
            Err(fault) => self.refuse_text(node, fault.to_string()),
        }
    }

    /// A truth value, and nothing that might be meant as one.
    pub fn boolean(&mut self, node: &Node<'_>) -> Option<bool> {
        match node.value {
            Some(Value::Bool(value)) => Some(*value),
            _ => self.wrong(node, "true or false"),
        }
    }

    /// The value has the wrong type.
    pub fn wrong<T>(&mut self, node: &Node<'_>, expected: &str) -> Option<T> {
        match node.value {
            None => self.refuse(&node.at, "is required"),
            Some(_) => self.refuse(&node.at, format!("must be {expected}")),
        }
    }

    /// Names a fault of a text, and the first character of it that does not show, which its sender cannot see.
    pub fn refuse_text<T>(&mut self, node: &Node<'_>, detail: impl Into<String>) -> Option<T> {
        let hidden = node.value.and_then(Value::as_str).and_then(Hidden::in_text);
        let detail = detail.into();
        self.refuse(&node.at, hidden.map_or_else(|| detail.clone(), |hidden| format!("{detail}; {hidden}")))
    }

    /// Names a fault.
    pub fn refuse<T>(&mut self, at: &Pointer, detail: impl Into<String>) -> Option<T> {
        self.faults.add(|| Fault { pointer: at.clone(), detail: detail.into() });
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FAULTS_MAX;
    use std::net::Ipv4Addr;

    type Parsed = (String, bool, Ipv4Addr);

    fn read(text: &str) -> Result<Parsed, Vec<String>> {
        let document = Document::parse(text.as_bytes()).unwrap();
        let read = Shape::of(&document, |shape, node| {
            let object = shape.object(node, &["name", "agreed", "host"])?;
            let name = shape.text(&object.get("name"), 5);
            let agreed = shape.boolean(&object.get("agreed"));
            let host = shape.parsed(&object.get("host"));
            Some((name?.to_owned(), agreed?, host?))
        });
        read.map_err(|faults| faults.named.into_iter().map(|fault| format!("{} {}", fault.pointer, fault.detail)).collect())
    }

    #[test]
    fn a_good_document_is_read() {
        let good = read(r#"{"name": " Zoë\n", "agreed": false, "host": "192.0.2.7"}"#);
        assert_eq!(good, Ok(("Zoë".into(), false, Ipv4Addr::new(192, 0, 2, 7))));
    }

    #[test]
    fn every_fault_is_named_at_once_and_no_value_is_quoted() {
        let faults = read(r#"{"name": "secret\nname", "agreed": "secret", "host": "secret", "more": "secret"}"#);
        assert_eq!(
            faults.unwrap_err(),
            [
                "#/more is not a known field",
                "#/name must not be longer than 5 characters, blanks at its ends included",
                "#/name must not contain control characters or line breaks; character 7 is U+000A, which does not show",
                "#/agreed must be true or false",
                "#/host invalid IPv4 address syntax",
            ]
        );
        assert_eq!(read("{}").unwrap_err(), ["#/name is required", "#/agreed is required", "#/host is required"]);
        assert_eq!(read("[]").unwrap_err(), ["# must be an object"]);
        assert_eq!(read(r#"{"name": " ", "agreed": null, "host": 1}"#).unwrap_err().len(), 3);
    }

    #[test]
    fn a_text_that_shows_nothing_is_blank() {
        for blank in ["", " ", "\u{200b}", "\u{3164}\u{2060}", "\u{2800}"] {
            let document = Document { value: Value::String(blank.to_owned()) };
            let faults = Shape::of(&document, |shape, node| shape.text(node, 100).map(str::to_owned)).unwrap_err();
            assert_eq!(faults.named[0].detail, "must not be blank", "{}", blank.escape_unicode());
        }
    }

    #[test]
    fn absent_has_all_its_spellings() {
        let read = |text: &str| {
            let document = Document::parse(text.as_bytes()).unwrap();
            Shape::of(&document, |shape, node| {
                let value = shape.object(node, &["x"])?.get("x");
                shape.optional_text(&value, 5).map(|text| text.map(str::to_owned))
            })
            .map_err(|faults| faults.named.into_iter().map(|fault| fault.detail).collect::<Vec<_>>())
        };
        for absent in ["{}", r#"{"x":null}"#, r#"{"x":""}"#, r#"{"x":"  "}"#, r#"{"x":"\u200b"}"#] {
            assert_eq!(read(absent), Ok(None), "{absent}");
        }
        assert_eq!(read(r#"{"x":" a "}"#), Ok(Some("a".into())));
        assert_eq!(read(r#"{"x":0}"#), Err(vec!["must be text".into()]));
        assert_eq!(read(r#"{"x":"123456"}"#), Err(vec!["must not be longer than 5 characters, blanks at its ends included".into()]));
    }

    #[test]
    fn the_length_is_counted_as_it_was_sent() {
        let of = |name: &str| read(&serde_json::json!({"name": name, "agreed": true, "host": "192.0.2.7"}).to_string());
        assert_eq!(of(" Zoë ").map(|(name, ..)| name), Ok("Zoë".into()));
        assert_eq!(of(" Zoë  ").unwrap_err(), ["#/name must not be longer than 5 characters, blanks at its ends included"]);
    }

    #[test]
    fn every_refusal_names_an_invisible_character() {
        let faults = read("{\"name\": \"a\\u0000b\", \"agreed\": true, \"host\": \"192.0.2.7\\u200b\"}").unwrap_err();
        let control = "#/name must not contain control characters or line breaks; character 2 is U+0000, which does not show";
        assert_eq!(faults, [control, "#/host invalid IPv4 address syntax; character 10 is U+200B, which does not show"]);
    }

    #[test]
    fn a_web_address_is_no_text_about_somebody() {
        for bad in ["https://a.example", "WWW.a.example now", "ftp://x"] {
            let document = Document { value: Value::String(bad.to_owned()) };
            let faults = Shape::of(&document, |shape, node| shape.text(node, 100).map(str::to_owned)).unwrap_err();
            assert_eq!(faults.named[0].detail, "must not contain a web address", "{bad}");
        }
        let document = Document { value: Value::String("c/o Babbage, St. John's Rd. 5/2: back door".to_owned()) };
        assert!(Shape::of(&document, |shape, node| shape.text(node, 100).map(str::to_owned)).is_ok());
    }

    #[test]
    fn the_first_faults_are_named_and_the_others_counted() {
        let names: Vec<_> = (0..1_000).map(|n| format!(r#""x{n}":0"#)).collect();
        let document = Document::parse(format!("{{{}}}", names.join(",")).as_bytes()).unwrap();
        let faults = Shape::of(&document, |shape, node| shape.object(node, &[]).map(|_| ())).unwrap_err();
        assert_eq!((faults.named.len(), faults.count()), (FAULTS_MAX, 1_000));
    }
}
