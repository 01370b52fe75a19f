//! Text that people typed: whether there is anything to see.
//!
//! Called wherever a text for people is read. It does not take the white space that a program sees for all that people do
//! not see.

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory},
};

/// Braille's cell without dots, and music's note without a head: symbols to Unicode, and nothing to the eye.
const EMPTY_SYMBOLS: [char; 2] = ['\u{2800}', '\u{1d159}'];

/// Whether `text` shows nothing: it is empty, or all its characters are white space, control or format characters, or such that
/// fonts ignore (<https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point>): zero-width spaces and joiners, soft hyphens,
/// fillers, variation selectors.
///
/// Between visible characters they have their uses, so only a text of nothing else is blank.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(shows_nothing)
}

/// Whether nothing is seen where this character stands.
pub(crate) fn shows_nothing(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || EMPTY_SYMBOLS.contains(&c)
        || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::Format
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_shows_nothing_is_blank() {
        for nothing in [
            "",
            " ",
            "\t\r\n",
            "\u{a0}",
            "\u{ad}",
            "\u{34f}",
            "\u{61c}",
            "\u{115f}\u{1160}",
            "\u{180e}",
            "\u{200b}",
            "\u{200c}\u{200d}\u{200e}\u{200f}",
            "\u{2028}",
            "\u{202e}",
            "\u{2060}\u{2061}",
            "\u{2066}\u{2069}",
            "\u{2800}",
            "\u{3000}",
            "\u{3164}",
            "\u{fe0f}",
            "\u{feff}",
            "\u{ffa0}",
            "\u{fff9}\u{fffb}",
            "\u{1d159}",
            "\u{e0020}",
            "\u{0}\u{85}\u{7f}",
        ] {
            assert!(is_blank(nothing), "{}", nothing.escape_unicode());
            assert!(is_blank(&format!(" {nothing}\u{200b} ")), "{}", nothing.escape_unicode());
        }
    }

    #[test]
    fn what_shows_something_is_not_blank_whatever_hides_in_it() {
        for something in ["a", "李", "\u{200b}a\u{200b}", "می\u{200c}خواهم", "👩\u{200d}🚀", ".", "\u{301}", "\u{0e01}", "☃\u{fe0f}"]
        {
            assert!(!is_blank(something), "{something}");
        }
    }
}
