//! The parts of a mail (RFC 2045, 2046): which are its words, and which are attached to it.
//!
//! [`Mail::read`](crate::mail::Mail::read) walks them. Headers and encodings are `mail-parser`'s to read; the walk is our own,
//! because it has to end: parts within parts, however deep, must not take the stack, which ends the process and with it
//! the work on other mails. It refuses to open mails within mails.

use crate::html;
use mail_parser::{
    ContentType, HeaderName, HeaderValue, Message, MessageParser, MimeHeaders,
    decoders::{base64::base64_decode, charsets::map::charset_decoder, quoted_printable::quoted_printable_decode},
};

/// How deep parts are followed. Clients nest three or four deep: signed, mixed, related, alternative.
const DEPTH_MAX: usize = 10;
/// Most of a head that is read, in bytes: 64 KiB. What people send has some ten, signatures and traces of relays included; the parser
/// takes thirty times what it reads.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How many lines of a head are read. A mail that went over many relays has a hundred.
pub const HEAD_LINES_MAX: usize = 500;
/// How many parts are looked at. A mail of somebody who attaches every photograph they have has some dozens.
const PARTS_MAX: usize = 1000;

/// What was found in the parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How many parts are attached.
    pub attachments: usize,
    /// How many parts were looked at.
    parts: usize,
    /// Something is deeper, or more, than what is looked at, or breaks off.
    pub incomplete: bool,
}

/// Words, and whether they come of HTML, so that an alternative in plain text is preferred.
struct Words {
    text: String,
    rich: bool,
}

/// A mail or a part of one.
pub struct Split<'b> {
    /// Its headers; [`None`] where it has none.
    pub headers: Option<Message<'b>>,
    /// Whether these are all of them: none stands beyond [`HEAD_BYTES_MAX`] or [`HEAD_LINES_MAX`].
    pub all: bool,
    /// Its body.
    pub body: &'b [u8],
}

/// The headers of the mail or part in `bytes`, and its body.
pub fn split(bytes: &[u8]) -> Split<'_> {
    let (mut end, mut read, mut lines) = (0, 0, 0);
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        end += line.len();
        lines += 1;
        if end <= HEAD_BYTES_MAX && lines <= HEAD_LINES_MAX {
            read = end;
        }
        if matches!(line, b"\n" | b"\r\n") {
            break;
        }
    }
    Split { headers: MessageParser::default().parse_headers(&bytes[..read]), all: read == end, body: &bytes[end..] }
}

/// The words of the mail whose headers and body these are.
pub fn words(headers: &Message<'_>, body: &[u8]) -> (String, Found) {
    let mut found = Found::default();
    let words = found.part(Some(headers), body, 0, false);
    (words.map(|words| words.text).unwrap_or_default(), found)
}

impl Found {
    /// The words of a part; [`None`] where it is attached or has none.
    fn part(&mut self, headers: Option<&Message<'_>>, body: &[u8], depth: usize, in_digest: bool) -> Option<Words> {
        self.parts += 1;
        if self.parts > PARTS_MAX || depth > DEPTH_MAX {
            self.incomplete = true;
            return None;
        }
        let content = headers.and_then(|headers| headers.content_type());
        let kind =
            |content: &ContentType<'_>| (content.ctype().to_ascii_lowercase(), content.subtype().unwrap_or_default().to_ascii_lowercase());
        let (main, sub) = content.map_or_else(|| (if in_digest { "message" } else { "text" }.into(), "plain".into()), kind);
        if main == "multipart" {
            let boundary = content.and_then(|content| content.attribute("boundary")).filter(|boundary| !boundary.is_empty());
            let Some(boundary) = boundary else {
                self.incomplete = true;
                return None;
            };
            return self.multipart(body, boundary.as_bytes(), depth, &sub);
        }
        let disposition = headers.and_then(|headers| headers.content_disposition());
        let named = disposition.is_some_and(|disposition| disposition.has_attribute("filename"))
            || content.is_some_and(|content| content.has_attribute("name"));
        let attached = named || disposition.is_some_and(ContentType::is_attachment);
        if attached || main != "text" || !matches!(sub.as_str(), "plain" | "html") {
            self.attachments += 1;
            return None;
        }
        let charset = content.and_then(|content| content.attribute("charset"));
        let text = decoded(headers, charset, body);
        let rich = sub == "html";
        Some(Words { text: if rich { html::text(&text) } else { text }, rich })
    }

    fn multipart(&mut self, body: &[u8], boundary: &[u8], depth: usize, kind: &str) -> Option<Words> {
        let (parts, ended) = parts(body, boundary);
        self.incomplete |= !ended;
        let mut all = Vec::new();
        for part in parts {
            if self.parts > PARTS_MAX {
                self.incomplete = true;
                break;
            }
            let part = split(part);
            self.incomplete |= !part.all;
            let words = self.part(part.headers.as_ref(), part.body, depth + 1, kind == "digest");
            all.extend(words.filter(|words| !words.text.trim().is_empty()));
        }
        if kind == "alternative" {
            // The plain one, if it says anything: some clients leave it empty.
            let plain = all.iter().position(|words| !words.rich).unwrap_or(0);
            return (plain < all.len()).then(|| all.swap_remove(plain));
        }
        let rich = all.iter().any(|words| words.rich);
        let text = all.into_iter().map(|words| words.text).collect::<Vec<_>>().join("\n");
        (!text.is_empty()).then_some(Words { text, rich })
    }
}

/// What stands between the lines of `boundary`, and whether the last of them closes.
fn parts<'b>(body: &'b [u8], boundary: &[u8]) -> (Vec<&'b [u8]>, bool) {
    let mut parts = Vec::new();
    let mut begun = None;
    let mut at = 0;
    while at < body.len() {
        let line = body[at..].split_inclusive(|b| *b == b'\n').next().unwrap_or_default();
        if let Some(rest) = line.strip_prefix(b"--").and_then(|line| line.strip_prefix(boundary)) {
            let (closes, rest) = rest.strip_prefix(b"--").map_or((false, rest), |rest| (true, rest));
            // Longer lines are the text's, or another boundary that begins like this one.
            if rest.trim_ascii().is_empty() {
                if let Some(from) = begun {
                    parts.push(&body[from..at]);
                }
                if closes {
                    return (parts, true);
                }
                begun = Some(at + line.len());
            }
        }
        at += line.len();
    }
    if let Some(from) = begun {
        parts.push(&body[from..]);
    }
    (parts, false)
}

/// The text of a body. What its headers say wrongly is taken as it stands.
fn decoded(headers: Option<&Message<'_>>, charset: Option<&str>, body: &[u8]) -> String {
    let encoding = headers.and_then(|headers| headers.header(HeaderName::ContentTransferEncoding));
    let encoding = encoding.and_then(HeaderValue::as_text).unwrap_or_default().to_ascii_lowercase();
    let bytes = match encoding.as_str() {
        "base64" => base64_decode(body),
        "quoted-printable" => quoted_printable_decode(body),
        _ => None,
    };
    let bytes = bytes.as_deref().unwrap_or(body);
    match charset.and_then(|charset| charset_decoder(charset.as_bytes())) {
        Some(decode) => decode(bytes),
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mail: &str) -> (String, Found) {
        let Split { headers, body, .. } = split(mail.as_bytes());
        words(&headers.unwrap(), body)
    }

    #[test]
    fn headers_end_at_the_first_empty_line() {
        for end in ["\n", "\r\n"] {
            let mail = "Subject: a\n\nb\n\nc".replace('\n', end);
            let Split { headers, body, .. } = split(mail.as_bytes());
            assert_eq!((headers.unwrap().subject(), body), (Some("a"), "b\n\nc".replace('\n', end).as_bytes()));
        }
        assert!(split(b"").headers.is_none());
        assert!(split(b"\n\nb").headers.is_none());
        assert_eq!(split(b"X: y\nSubject: a\n").headers.unwrap().subject(), Some("a"));
    }

    #[test]
    fn a_head_is_read_to_its_limits_and_its_body_begins_where_it_ends() {
        let of = |head: &str| {
            let mail = format!("Subject: a\n{head}X-Last: z\n\nbody");
            let Split { headers, all, body } = split(mail.as_bytes());
            assert_eq!(body, b"body");
            (headers.unwrap().header("X-Last").is_some(), all)
        };
        let within = HEAD_BYTES_MAX - "Subject: a\nX-Last: z\n\n".len();
        let long = |bytes: usize| format!("X-Long: {}\n", "x".repeat(bytes - "X-Long: \n".len()));
        assert_eq!((of(&long(within)), of(&long(within + 1)), of(&long(within + 2))), ((true, true), (true, false), (false, false)));
        let many = |lines: usize| "X: y\n".repeat(lines);
        assert_eq!((of(&many(HEAD_LINES_MAX - 3)), of(&many(HEAD_LINES_MAX))), ((true, true), (false, false)));
        assert!(!split(format!("X: {}", "y".repeat(HEAD_BYTES_MAX)).as_bytes()).all, "a line without an end");
    }

    #[test]
    fn parts_end_at_their_own_boundary_alone() {
        let (between, ended) = parts(b"preamble\n--b\none\n--bb\nmore\n --b\n--b  \r\ntwo\n--b--\nafter\n--b\n", b"b");
        assert_eq!((between, ended), (vec![b"one\n--bb\nmore\n --b\n".as_slice(), b"two\n"], true));
        assert_eq!(parts(b"--b\none", b"b"), (vec![b"one".as_slice()], false));
        assert_eq!(parts(b"", b"b"), (vec![], false));
    }

    #[test]
    fn of_alternatives_the_plain_one_counts_if_it_says_anything() {
        let mail = |plain: &str| {
            read(&format!(
                "Content-Type: multipart/alternative; boundary=b\n\n--b\n\n{plain}\n--b\nContent-Type: multipart/related; boundary=c\n\n--c\nContent-Type: text/html\n\n<p>rich</p>\n--c\nContent-Type: image/png\n\nx\n--c--\n--b--\n"
            ))
        };
        let (text, found) = mail("plain");
        assert_eq!((text.trim(), found.attachments, found.incomplete), ("plain", 1, false));
        assert_eq!(mail(" \n").0.trim(), "rich");
    }

    #[test]
    fn words_around_a_picture_are_all_words_and_a_named_text_is_attached() {
        let (text, found) = read(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\n\nCancel\n--b\nContent-Type: image/png\n\nx\n--b\n\nno, keep it\n--b\nContent-Type: text/plain; name=a.txt\n\nx\n--b\nContent-Type: message/rfc822\n\nSubject: x\n\nx\n--b--\n",
        );
        assert_eq!((text.split_whitespace().collect::<Vec<_>>().join(" "), found.attachments), ("Cancel no, keep it".into(), 3));
        assert!(!found.incomplete);
    }

    #[test]
    fn what_is_too_deep_too_many_or_broken_is_not_all() {
        let deep: String = (0..=DEPTH_MAX).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n")).collect();
        assert!(read(&format!("{deep}\nCancel")).1.incomplete);
        let many = "--b\n\nx\n".repeat(PARTS_MAX + 1);
        assert!(read(&format!("Content-Type: multipart/mixed; boundary=b\n\n{many}--b--\n")).1.incomplete);
        assert!(read("Content-Type: multipart/mixed; boundary=b\n\n--b\n\nCancel\n").1.incomplete);
        assert!(read("Content-Type: multipart/mixed\n\nCancel\n").1.incomplete);
    }

    #[test]
    fn a_wrong_encoding_or_charset_is_taken_as_it_stands() {
        assert_eq!(read("Content-Transfer-Encoding: base64\n\n***").0.trim(), "***");
        assert_eq!(read("Content-Type: text/plain; charset=klingon\n\nCancel").0, "Cancel");
    }
}
