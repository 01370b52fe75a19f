//! A list's bytes as text, and text as lines.
//!
//! [`parse`](super::parse) calls it. It does not guess an encoding of which it is not certain: a name with an accent that
//! was read wrongly would greet thousands.

use super::refused;
use lambda_kit::Failure;
use std::{borrow::Cow, iter};

/// What Excel and its kin put in front of a text, and what becomes of it when a program takes its three bytes for Windows-1252.
const BYTE_ORDER_MARKS: [&str; 2] = ["\u{feff}", "\u{ef}\u{bb}\u{bf}"];

/// The text of a list in UTF-8 or UTF-16, without the byte order marks in front of it: tools that join files leave several.
///
/// # Errors
/// Permanent: the bytes are no such text.
pub fn text(bytes: &[u8]) -> Result<Cow<'_, str>, Failure> {
    let text = match bytes {
        // A ZIP archive, which a workbook of Excel is.
        [b'P', b'K', 3, 4, ..] => {
            let why = "the list is a workbook or an archive under the name of a text: open it and save it as CSV in UTF-8";
            return Err(refused("ListIsWorkbook", why.to_owned()));
        }
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes)?,
        // A text begins with a character of ASCII: the name of a column, a quote, a brace. Where a zero stands beside it, both are one
        // unit of 16 bits.
        [1..=0x7f, 0, ..] => utf_16(bytes, u16::from_le_bytes)?,
        [0, 1..=0x7f, ..] => utf_16(bytes, u16::from_be_bytes)?,
        _ => Cow::Borrowed(utf_8(bytes)?),
    };
    Ok(match text {
        Cow::Borrowed(text) => Cow::Borrowed(without_marks(text)),
        // In place: a second copy of the largest list would not fit into the function's memory.
        Cow::Owned(mut text) => {
            let marks = text.len() - without_marks(&text).len();
            text.drain(..marks);
            Cow::Owned(text)
        }
    })
}

/// The lines of a text with their numbers, counted from 1, blank ones left out. A line ends with CR, LF or both, as editors count them:
/// Excel for the Mac writes CR alone, and joined files have all three.
pub fn lines(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let mut rest = Some(text);
    let lines = iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\r', '\n']) else { return rest.take() };
        let behind = &text[end..];
        rest = Some(behind.strip_prefix("\r\n").unwrap_or_else(|| &behind[1..]));
        Some(&text[..end])
    });
    (1..).zip(lines).filter(|(_, line)| !line.trim().is_empty())
}

fn without_marks(mut text: &str) -> &str {
    while let Some(rest) = BYTE_ORDER_MARKS.iter().find_map(|mark| text.strip_prefix(mark)) {
        text = rest;
    }
    text
}

fn utf_8(bytes: &[u8]) -> Result<&str, Failure> {
    std::str::from_utf8(bytes).map_err(|error| {
        let line = line_number(&String::from_utf8_lossy(&bytes[..error.valid_up_to()]));
        refused("ListNotUtf8", format!("line {line} of the list is not UTF-8: save it as UTF-8, or every name with an accent is broken"))
    })
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'static, str>, Failure> {
    let mut text = String::with_capacity(bytes.len());
    let broken = |text: &str| {
        let line = line_number(text);
        refused("ListNotUtf16", format!("line {line} of the list, which begins as UTF-16, is none: save it as CSV in UTF-8"))
    };
    let (units, rest) = bytes.as_chunks::<2>();
    for character in char::decode_utf16(units.iter().map(|bytes| unit(*bytes))) {
        // UTF-32 reads as UTF-16 with a zero beside each character.
        match character {
            Ok(character) if character != '\0' => text.push(character),
            _ => return Err(broken(&text)),
        }
    }
    if rest.is_empty() { Ok(Cow::Owned(text)) } else { Err(broken(&text)) }
}

/// The number of the line in which a text ends.
fn line_number(text: &str) -> usize {
    1 + text.matches('\n').count() + text.replace("\r\n", "\n").matches('\r').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(text: &str) -> Vec<(u32, &str)> {
        lines(text).collect()
    }

    #[test]
    fn a_line_ends_with_cr_lf_or_both() {
        let three = [(1, "a"), (2, "b"), (3, "c")];
        for text in ["a\nb\nc", "a\rb\rc", "a\r\nb\r\nc\r\n", "a\rb\nc\r", "a\r\nb\rc\n"] {
            assert_eq!(numbered(text), three, "{text:?}");
        }
        assert_eq!(numbered("\r\r\n \na\r\r\n\nb"), [(4, "a"), (7, "b")], "blank lines are counted");
        assert_eq!(numbered(""), []);
        assert_eq!([line_number(""), line_number("a\r\nb\rc\nd")], [1, 4]);
    }

    #[test]
    fn marks_are_taken_off_however_many_there_are() {
        for marks in ["\u{feff}", "\u{feff}\u{feff}", "\u{ef}\u{bb}\u{bf}", "\u{feff}\u{ef}\u{bb}\u{bf}\u{feff}"] {
            assert_eq!(text(format!("{marks}email").as_bytes()).unwrap(), "email", "{marks:?}");
        }
    }

    #[test]
    fn utf_16_is_read_in_either_order_with_and_without_a_mark() {
        let wanted = "email,name\nada@example.com,Zoë 🎁\n";
        let units = |marks: &str, bytes: fn(u16) -> [u8; 2]| format!("{marks}{wanted}").encode_utf16().flat_map(bytes).collect::<Vec<_>>();
        for marks in ["", "\u{feff}", "\u{feff}\u{feff}"] {
            for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
                assert_eq!(text(&units(marks, bytes)).unwrap(), wanted, "{marks:?}");
            }
        }
    }

    #[test]
    fn undecodable_text_is_refused_with_its_line_and_the_fix() {
        let wide: Vec<u8> = "email\n".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        for (bytes, error_type, says) in [
            (b"PK\x03\x04rest".to_vec(), "ListIsWorkbook", "save it as CSV"),
            (b"email\ra\r\nb\xeb".to_vec(), "ListNotUtf8", "line 3 of the list"),
            (b"e\0\n\0a".to_vec(), "ListNotUtf16", "line 2 of the list"),
            (b"e\0\n\0\n\0\x00\xd8".to_vec(), "ListNotUtf16", "line 3 of the list"),
            (wide, "ListNotUtf16", "save it as CSV in UTF-8"),
        ] {
            let failure = text(&bytes).unwrap_err();
            assert_eq!(failure.error_type, error_type);
            assert!(failure.message.contains(says), "{}", failure.message);
        }
    }
}
