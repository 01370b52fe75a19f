//! Bytes of a mail, made text: transfer encodings, and character sets, named rightly or not.
//!
//! [`parts`](crate::parts) and [`Mail::read`](crate::mail::Mail::read) call it. `mail-parser` knows the encodings; this
//! module decides what to do when a mail's own account of itself is missing or wrong. It does not pass a guess off as
//! knowledge: text that is not certain says so, cancels nothing, and goes to people with the original.

use mail_parser::decoders::{base64::base64_decode, charsets::map::charset_decoder, quoted_printable::quoted_printable_decode};
use std::borrow::Cow;

/// What a character set cannot say.
const UNREADABLE: char = char::REPLACEMENT_CHARACTER;
/// Beginnings of the names of character sets of one byte per character. Their decoders accept any bytes, so that UTF-8 under such a
/// name is never an error.
const ONE_BYTE: [&str; 9] = ["iso-8859", "iso8859", "iso_8859", "windows-125", "cp125", "koi8", "latin", "us-ascii", "ascii"];

/// Text, and whether it is what the mail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// The text.
    pub text: String,
    /// Whether nothing of it is guessed or missing.
    pub certain: bool,
}

/// The text of a body of this transfer encoding, as its header has it, and this character set.
pub fn body(encoding: &str, charset: Option<&str>, body: &[u8]) -> Decoded {
    let (bytes, whole) = transferred(encoding, body);
    let Decoded { text, certain } = text(charset, &bytes);
    Decoded { text, certain: certain && whole }
}

/// The head of a mail as `mail-parser` needs it, and whether it is certain. Headers are ASCII or UTF-8 (RFC 6532); what is neither is
/// read as Windows-1252, since software that writes other bytes into a head is western and old.
pub fn head(bytes: &[u8]) -> (Cow<'_, [u8]>, bool) {
    match std::str::from_utf8(bytes) {
        Ok(_) => (Cow::Borrowed(bytes), true),
        // The head was cut within a character.
        Err(error) if error.error_len().is_none() => (Cow::Borrowed(bytes), false),
        Err(_) => (Cow::Owned(western(bytes).into_bytes()), false),
    }
}

/// `value`, a structured header's, without its comments (RFC 5322, section 3.2.2).
pub fn without_comments(value: &str) -> String {
    let (mut depth, mut escaped, mut quoted) = (0usize, false, false);
    let mut bare = String::new();
    for c in value.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' if depth == 0 => quoted = !quoted,
            '(' if !quoted => {
                depth += 1;
                bare.push(' ');
                continue;
            }
            ')' if !quoted && depth > 0 => {
                depth -= 1;
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            bare.push(c);
        }
    }
    bare.trim().to_owned()
}

/// The bytes that were transferred, and whether the encoding was kept to.
fn transferred<'b>(encoding: &str, body: &'b [u8]) -> (Cow<'b, [u8]>, bool) {
    match without_comments(encoding).to_ascii_lowercase().as_str() {
        "" | "7bit" | "8bit" | "binary" => (Cow::Borrowed(body), true),
        "base64" => match base64_decode(body) {
            Some(bytes) => (Cow::Owned(bytes), true),
            None => (base64_prefix(body), false),
        },
        "quoted-printable" => match quoted_printable_decode(body) {
            Some(bytes) => (Cow::Owned(bytes), true),
            None => (Cow::Owned(loosely_quoted_printable(body)), false),
        },
        _ => (Cow::Borrowed(body), false),
    }
}

/// Base64 up to the first line that is none, and the rest as it stands: mailing lists append lines to bodies that they do not decode.
fn base64_prefix(body: &[u8]) -> Cow<'_, [u8]> {
    let is_base64 = |line: &&[u8]| line.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'\r' | b'\n'));
    let length: usize = body.split_inclusive(|b| *b == b'\n').take_while(is_base64).map(<[u8]>::len).sum();
    let (encoded, rest) = body.split_at(length);
    match base64_decode(encoded) {
        Some(mut bytes) if !bytes.is_empty() => {
            bytes.extend_from_slice(b"\n");
            bytes.extend_from_slice(rest);
            Cow::Owned(bytes)
        }
        _ => Cow::Borrowed(body),
    }
}

/// Quoted-printable in which a `=` that begins nothing stands for itself.
fn loosely_quoted_printable(body: &[u8]) -> Vec<u8> {
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut bytes = Vec::with_capacity(body.len());
    let mut rest = body;
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'=', [b'\r', b'\n', after @ ..] | [b'\n', after @ ..]) => rest = after,
            (b'=', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'='),
            },
            _ => bytes.push(*first),
        }
    }
    bytes
}

/// The text of these bytes, which are said to be in `charset`.
fn text(charset: Option<&str>, bytes: &[u8]) -> Decoded {
    let label = charset.unwrap_or_default().trim().to_ascii_lowercase();
    let says_little = matches!(label.as_str(), "" | "us-ascii" | "ascii" | "utf-8" | "utf8");
    let Some(decode) = charset_decoder(label.as_bytes()).filter(|_| !says_little) else {
        let sniffed = sniffed(bytes);
        // Under an unknown name, even ASCII may mean something else.
        return Decoded { certain: sniffed.certain && says_little, ..sniffed };
    };
    if is_utf8_and_more(bytes) && ONE_BYTE.iter().any(|name| label.starts_with(name)) {
        return sniffed(bytes);
    }
    let text = decode(bytes);
    match text.contains(UNREADABLE) {
        false => Decoded { text, certain: true },
        true if is_utf8_and_more(bytes) => Decoded { certain: false, ..sniffed(bytes) },
        true => Decoded { text, certain: false },
    }
}

/// The text of bytes whose character set is not named, or only by a name that says little: ISO-2022-JP by its escapes, UTF-8 if they
/// are, else Windows-1252.
fn sniffed(bytes: &[u8]) -> Decoded {
    if bytes.windows(2).any(|pair| pair == b"\x1b$")
        && let Some(decode) = charset_decoder(b"iso-2022-jp")
    {
        let text = decode(bytes);
        return Decoded { certain: !text.contains(UNREADABLE), text };
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Decoded { text: text.to_owned(), certain: !text.contains(UNREADABLE) };
    }
    // A mail in UTF-8 that was cut within a character, or has one broken one, is not in Windows-1252.
    let (mut good, mut bad) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        good += chunk.valid().bytes().filter(|byte| *byte >= 0xc0).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    let text = if good >= bad && good > 0 { String::from_utf8_lossy(bytes).into_owned() } else { western(bytes) };
    Decoded { text, certain: false }
}

fn is_utf8_and_more(bytes: &[u8]) -> bool {
    !bytes.is_ascii() && std::str::from_utf8(bytes).is_ok()
}

pub(crate) fn western(bytes: &[u8]) -> String {
    charset_decoder(b"windows-1252").map_or_else(|| String::from_utf8_lossy(bytes).into_owned(), |decode| decode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certain(text: &str) -> Decoded {
        Decoded { text: text.into(), certain: true }
    }
    fn doubtful(text: &str) -> Decoded {
        Decoded { text: text.into(), certain: false }
    }

    #[test]
    fn character_sets_of_asia_are_read() {
        for (charset, bytes, words) in [
            ("iso-2022-jp", b"\x1b$BCmJ8\x1b(B".as_slice(), "注文"),
            ("Shift_JIS", b"\x92\x8d\x95\xb6", "注文"),
            ("euc-jp", b"\xc3\xed\xca\xb8", "注文"),
            ("gb2312", b"\xb6\xa9\xb5\xa5", "订单"),
            ("gb18030", b"\xb6\xa9\xb5\xa5", "订单"),
            ("big5", b"\xad\x71\xb3\xe6", "訂單"),
            ("ks_c_5601-1987", b"\xc1\xd6\xb9\xae", "주문"),
            ("windows-1251", b"\xe7\xe0\xea\xe0\xe7", "заказ"),
        ] {
            assert_eq!(text(Some(charset), bytes), certain(words), "{charset}");
        }
    }

    #[test]
    fn a_wrong_or_missing_label_is_sniffed() {
        for label in [None, Some(""), Some("us-ascii"), Some("utf-8"), Some("iso-8859-1"), Some("koi8-r")] {
            assert_eq!(text(label, "Grüße".as_bytes()), certain("Grüße"), "{label:?}");
        }
        assert_eq!(text(None, b"\x1b$BCmJ8\x1b(B"), certain("注文"));
        assert_eq!(text(Some("iso-8859-1"), b"Gr\xfc\xdfe \x80"), certain("Grüße €"));
        // Windows-1252 may be right, and may not be: the words go on with the original.
        for label in [None, Some("us-ascii"), Some("utf-8"), Some("klingon")] {
            assert_eq!(text(label, b"Gr\xfc\xdfe"), doubtful("Grüße"), "{label:?}");
        }
        assert_eq!(text(Some("klingon"), b"Cancel"), doubtful("Cancel"));
        assert_eq!(text(Some("big5"), "Grüße".as_bytes()), doubtful("Grüße"));
        assert!(!text(Some("iso-2022-kr"), b"\x1b$)C\x0eabcd").certain, "known by name, and not readable");
    }

    #[test]
    fn utf_8_with_one_broken_character_stays_utf_8() {
        assert_eq!(text(Some("utf-8"), "Grüße aus Köl".as_bytes().split_last().unwrap().1), certain("Grüße aus Kö"));
        assert_eq!(text(Some("utf-8"), b"Gr\xc3\xbc\xc3\x9fe \xc3"), doubtful("Grüße \u{fffd}"));
    }

    #[test]
    fn a_transfer_encoding_may_have_comments() {
        for encoding in ["base64", "BASE64 (by gateway)", "(a (nested \\) one)) base64", " base64 "] {
            assert_eq!(body(encoding, None, b"Q2FuY2Vs"), certain("Cancel"), "{encoding}");
        }
        assert_eq!(body("quoted-printable (x)", None, b"Gr=C3=BC=\r\nn"), certain("Grün"));
        assert_eq!(without_comments("\"no (comment)\" (one)"), "\"no (comment)\"");
    }

    #[test]
    fn what_breaks_its_encoding_is_read_as_far_as_it_goes() {
        assert_eq!(body("base64", None, b"Q2Fu\r\nY2Vs\r\n-- \r\nlist\r\n"), doubtful("Cancel\n-- \r\nlist\r\n"));
        assert_eq!(body("base64", None, b"***"), doubtful("***"));
        assert_eq!(body("quoted-printable", None, b"1=2, Gr=C3=BCn =\r\nis"), doubtful("1=2, Grün is"));
        assert_eq!(body("x-uuencode", None, b"begin 644 a"), doubtful("begin 644 a"));
    }

    #[test]
    fn a_head_that_is_not_utf_8_is_western() {
        assert_eq!(head(b"Subject: Gr\xfc\xdfe"), (Cow::Owned("Subject: Grüße".as_bytes().to_vec()), false));
        assert_eq!(head("Subject: Grüße".as_bytes()), (Cow::Borrowed("Subject: Grüße".as_bytes()), true));
    }
}
