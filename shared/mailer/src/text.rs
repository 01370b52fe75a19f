//! Makes text that people typed safe for a mail.
//!
//! Called where a mail is put together. It does not escape HTML: templates do that, by where the text stands.

use lambda_kit::text::is_blank;

/// Longest subject, in characters: with its name, the line stays below the 998 that RFC 5322 allows even where every
/// character takes four bytes and the encoding's third on top. Readers show 40 to 70.
pub const SUBJECT_CHARS_MAX: usize = 150;
/// Longest name that a mail greets by, in characters: most have fewer than 30, and a longer one is a sentence.
pub const GREETING_CHARS_MAX: usize = 60;
/// Longest postal code that a mail repeats, in characters.
pub const POSTAL_CODE_CHARS_MAX: usize = 10;

/// `text` as one line of at most `chars_max` characters: what would break or hide it becomes a blank, blanks in a row
/// become one, and what is too long ends in an ellipsis.
pub fn one_line(text: &str, chars_max: usize) -> String {
    let visible: String = text.chars().map(|c| if breaks_or_hides(c) { ' ' } else { c }).collect();
    let line = visible.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= chars_max {
        return line;
    }
    let kept: String = line.chars().take(chars_max.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// The first line of a mail to somebody of this name: `Hello Ada Lovelace,`, or `Hello,` where the name is none that a
/// mail should repeat.
///
/// Anybody may sign up with somebody else's address, and mail programs make links of whatever looks like one: a greeting
/// must not carry a stranger's advertisement to whom he likes, in our name. What has a dot inside a word, a slash, an `@`,
/// a colon or a digit is therefore not repeated. Few names have (`J. R. R. Tolkien` has not), and theirs are left out.
pub fn greeting(name: &str) -> String {
    let name = one_line(name, usize::MAX);
    let link = |word: &str| word.trim_end_matches('.').contains(['.', '。', '．']);
    let dubious = name.contains(['/', '\\', '@', ':']) || name.chars().any(char::is_numeric) || name.split(' ').any(link);
    let short = name.chars().count() <= GREETING_CHARS_MAX;
    if short && !dubious && !is_blank(&name) { format!("Hello {name},") } else { "Hello,".to_owned() }
}

/// A postal code that a mail may repeat; [`None`] where it is none.
///
/// The longest have ten characters (12345-6789 in the United States, ten digits in Iran), all of them letters and digits of ASCII, with
/// a blank or a hyphen between: no room for a link, a sentence, or a telephone number with its area code and a call to use it.
pub fn postal_code(text: &str) -> Option<&str> {
    let text = text.trim();
    let is_one = (1..=POSTAL_CODE_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b' ' | b'-'))
        && text.bytes().any(|b| b.is_ascii_digit());
    is_one.then_some(text)
}

/// Control characters, the separators that end a line, and the marks that turn its direction or take no room.
fn breaks_or_hides(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_a_line_or_hides_in_it_becomes_a_blank() {
        for breaks in ["\r\n", "\n", "\r", "\u{0}", "\u{85}", "\u{2028}", "\u{2029}", "\u{b}", "\u{202e}", "\t \t"] {
            assert_eq!(one_line(&format!(" a{breaks}Bcc: b@example.com "), 40), "a Bcc: b@example.com", "{breaks:?}");
        }
    }

    #[test]
    fn what_is_too_long_ends_in_an_ellipsis_and_no_character_is_cut() {
        assert_eq!(one_line("äöü", 3), "äöü");
        assert_eq!(one_line("äöü ß", 4), "äöü…");
        assert_eq!(one_line("äöüß", 3), "äö…");
    }

    #[test]
    fn people_are_greeted_by_their_names() {
        let long = "a".repeat(GREETING_CHARS_MAX);
        for name in ["Ada Lovelace", "J. R. R. Tolkien", "Sammy Davis Jr.", "Zoë O’Hara-Núñez", "李小龙", "<script>", &long] {
            assert_eq!(greeting(name), format!("Hello {name},"));
        }
        assert_eq!(greeting(" Ada\r\nLovelace "), "Hello Ada Lovelace,");
    }

    #[test]
    fn a_postal_code_has_no_room_for_anything_else() {
        for code in ["10115", "SW1A 1AA", "12345-6789", "AI-2640", "1234567890", "D6W"] {
            assert_eq!(postal_code(&format!(" {code} ")), Some(code));
        }
        for bad in ["", " ", "t.co/1", "www.a.b 1", "call 0800 123", "BERLIN", "１０１１５", "1\n2", "12345678901"] {
            assert_eq!(postal_code(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn an_advertisement_is_no_name() {
        let long = "a".repeat(GREETING_CHARS_MAX + 1);
        for bad in [
            "",
            " ",
            "\u{2060}\u{3164}",
            "pills.example",
            "www.pills.example now",
            "http://x",
            "me@x",
            "call 555",
            "a:b",
            "x\\y",
            "x。example",
            &long,
        ] {
            assert_eq!(greeting(bad), "Hello,", "{bad:?}");
        }
    }
}
