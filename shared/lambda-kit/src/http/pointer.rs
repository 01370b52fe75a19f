//! JSON pointers (RFC 6901) as URI fragments, the form in which RFC 9457's example names a member: `#/lines/0/sku`.

use serde::Serialize;
use std::fmt;

/// Longest name in a pointer, in bytes: longer ones are cut, and end in `…`. Ours have 17 at most; a client's may be as long as its
/// body, and each of its bytes may take three here.
pub const NAME_BYTES_MAX: usize = 64;

/// A place in a JSON document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Pointer(String);

impl Default for Pointer {
    /// The whole document.
    fn default() -> Self {
        Self("#".to_owned())
    }
}

impl Pointer {
    /// The member `name` of the object at this place, cut to [`NAME_BYTES_MAX`].
    #[must_use]
    pub fn member(&self, name: &str) -> Self {
        let mut text = format!("{}/", self.0);
        let kept = &name[..name.floor_char_boundary(NAME_BYTES_MAX)];
        let more = if kept.len() < name.len() { "…" } else { "" };
        for byte in kept.bytes().chain(more.bytes()) {
            match byte {
                b'~' => text.push_str("~0"),
                b'/' => text.push_str("~1"),
                // What RFC 3986 lets stand in a fragment as it is.
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => text.push(char::from(byte)),
                b'-' | b'.' | b'_' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'?' => {
                    text.push(char::from(byte));
                }
                other => text.push_str(&format!("%{other:02X}")),
            }
        }
        Self(text)
    }

    /// The element `index` of the array at this place.
    #[must_use]
    pub fn element(&self, index: usize) -> Self {
        Self(format!("{}/{index}", self.0))
    }

    /// The pointer as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_6901_section_6() {
        let fragment = |name: &str| Pointer::default().member(name).to_string();
        assert_eq!(Pointer::default().as_str(), "#");
        assert_eq!(Pointer::default().member("foo").element(0).as_str(), "#/foo/0");
        for (name, expected) in [
            ("", "#/"),
            ("a/b", "#/a~1b"),
            ("c%d", "#/c%25d"),
            ("e^f", "#/e%5Ef"),
            ("g|h", "#/g%7Ch"),
            ("i\\j", "#/i%5Cj"),
            ("k\"l", "#/k%22l"),
            (" ", "#/%20"),
            ("m~n", "#/m~0n"),
            ("ä", "#/%C3%A4"),
        ] {
            assert_eq!(fragment(name), expected);
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters_and_says_so() {
        let at = |name: &str| Pointer::default().member(name).to_string();
        assert_eq!(at(&"n".repeat(NAME_BYTES_MAX)), format!("#/{}", "n".repeat(NAME_BYTES_MAX)));
        assert_eq!(at(&"n".repeat(NAME_BYTES_MAX + 1)), format!("#/{}%E2%80%A6", "n".repeat(NAME_BYTES_MAX)));
        assert_eq!(at(&format!("n{}", "ä".repeat(NAME_BYTES_MAX))), format!("#/n{}%E2%80%A6", "%C3%A4".repeat(31)));
    }
}
