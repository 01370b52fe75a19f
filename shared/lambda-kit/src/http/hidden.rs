//! Characters that do not show.
//!
//! A text that was pasted from a page or a document may hold one. Its sender sees a correct text and cannot find the fault,
//! so a refusal names it by its code point. This module does not judge a text: a zero-width joiner belongs into Persian and
//! Hindi names.

use crate::text::shows_nothing;
use std::fmt;

/// The first character of a text that does not show, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hidden {
    /// Which.
    pub character: char,
    /// Its position in the text, in characters, counted from 1.
    pub position: usize,
}

impl Hidden {
    /// The first one in `text`.
    pub fn in_text(text: &str) -> Option<Self> {
        let mut characters = text.chars().zip(1..);
        characters.find(|(character, _)| does_not_show(*character)).map(|(character, position)| Self { character, position })
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "character {} is U+{:04X}, which does not show", self.position, u32::from(self.character))
    }
}

/// A blank is seen by what stands around it.
fn does_not_show(c: char) -> bool {
    c != ' ' && shows_nothing(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_character_that_does_not_show_is_named() {
        let named = |text: &str| Hidden::in_text(text).map(|hidden| hidden.to_string());
        assert_eq!(named("Zo\u{200b}ë\u{0}").as_deref(), Some("character 3 is U+200B, which does not show"));
        assert_eq!(named("\t").as_deref(), Some("character 1 is U+0009, which does not show"));
        for hidden in ['\u{a0}', '\u{85}', '\u{ad}', '\u{2028}', '\u{202e}', '\u{3000}', '\u{3164}', '\u{feff}', '\u{2800}', '\u{e0041}'] {
            assert_eq!(Hidden::in_text(&format!("a{hidden}")), Some(Hidden { character: hidden, position: 2 }));
        }
        for seen in ["", " a b ", "Zoë", "Zoe\u{308}", "王小明", "د. سارة", "🙂", "a-b_c.d"] {
            assert_eq!(named(seen), None, "{seen}");
        }
    }
}
