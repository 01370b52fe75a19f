//! The parts of a mail (RFC 2045, 2046): which are its words, and which are attached to it.
//!
//! [`Mail::read`](crate::mail::Mail::read) walks them. Headers and encodings are `mail-parser`'s to read; the walk is our
//! own, because it has to end: parts within parts, however deep, must not take the stack, which ends the process and with
//! it the work on other mails.

use crate::{decode, html};
use mail_parser::{ContentType, HeaderName, HeaderValue, Message, MessageParser, MimeHeaders};
use std::borrow::Cow;

/// How deep parts are followed. Clients nest three or four deep: signed, mixed, related, alternative.
const DEPTH_MAX: usize = 10;
/// Most of a head that is read, in bytes: 64 KiB. What people send has some ten, signatures and traces of relays included; the parser
/// takes thirty times what it reads.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How many lines of a head are read. A mail that went over many relays has a hundred.
pub const HEAD_LINES_MAX: usize = 500;
/// How many parts are looked at. A mail of somebody who attaches every photograph they have has some dozens.
const PARTS_MAX: usize = 1000;
/// Longest text that is kept a second time, because it belongs to both of two readings, in bytes: 64 KiB. A reply that is longer asks
/// for more than to cancel.
const BOTH_BYTES_MAX: usize = 64 * 1024;
/// Kinds of attached parts that hold no words: signatures (RFC 3156, RFC 8551).
const SIGNATURES: [&str; 3] = ["pgp-signature", "pkcs7-signature", "x-pkcs7-signature"];

/// The content of the parts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How many parts are attached.
    pub attachments: usize,
    /// How many of them are signatures, which hold no words.
    pub signatures: usize,
    /// How many parts were looked at.
    parts: usize,
    /// Something is deeper, or more, than what is looked at, or breaks off.
    pub incomplete: bool,
    /// Something could not be read for certain.
    pub doubtful: bool,
    /// The first text that has a file's name, and whether it is said to be attached.
    named: Option<(Words, bool)>,
}

/// Words. Where a mail has them in plain text and in HTML, they have two readings.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Words {
    /// The words, in plain text where there is a choice.
    pub text: String,
    /// The words in HTML, where there is a choice.
    pub other: Option<String>,
    /// Whether some of `text` comes of HTML, so that an alternative in plain text is preferred.
    rich: bool,
}

/// A mail or a part of one.
pub struct Split<'b> {
    /// Its headers; [`None`] where it has none.
    pub headers: Option<Message<'b>>,
    /// Whether these are all of them: none stands beyond [`HEAD_BYTES_MAX`] or [`HEAD_LINES_MAX`].
    pub all: bool,
    /// Whether they are in the character set that headers are in.
    pub certain: bool,
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
    let (head, certain) = decode::head(&bytes[..read]);
    let parser = MessageParser::default();
    let headers = match &head {
        Cow::Borrowed(_) => parser.parse_headers(&bytes[..read]),
        Cow::Owned(head) => parser.parse_headers(head.as_slice()).map(Message::into_owned),
    };
    Split { headers, all: read == end, certain, body: &bytes[end..] }
}

/// The words of the mail whose headers and body these are.
pub fn words(headers: &Message<'_>, body: &[u8]) -> (Words, Found) {
    let mut found = Found::default();
    let words = found.part(Some(headers), body, 0, false).filter(|words| !words.text.trim().is_empty());
    let words = match (words, found.named.take()) {
        (Some(words), _) => words,
        // Some programs give the body a file's name. Where nothing else is a body, it is one.
        (None, Some((words, attached))) => {
            found.attachments -= 1;
            found.doubtful |= attached;
            words
        }
        (None, None) => Words::default(),
    };
    (words, found)
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
        let attached = disposition.is_some_and(ContentType::is_attachment);
        let is_text = main == "text" && matches!(sub.as_str(), "plain" | "html");
        if attached || named || !is_text {
            self.attachments += 1;
            self.signatures += usize::from(main == "application" && SIGNATURES.contains(&sub.as_str()));
            if is_text && self.named.as_ref().is_none_or(|(_, other)| *other && !attached) {
                let doubtful = self.doubtful;
                self.named = Some((self.text(headers, content, body, sub == "html"), attached));
                self.doubtful = doubtful;
            }
            return None;
        }
        Some(self.text(headers, content, body, sub == "html"))
    }

    fn text(&mut self, headers: Option<&Message<'_>>, content: Option<&ContentType<'_>>, body: &[u8], rich: bool) -> Words {
        let encoding = headers.and_then(|headers| headers.header(HeaderName::ContentTransferEncoding));
        let encoding = encoding.and_then(HeaderValue::as_text).unwrap_or_default();
        let decode::Decoded { mut text, certain } = decode::body(encoding, content.and_then(|content| content.attribute("charset")), body);
        self.doubtful |= !certain;
        if rich {
            let page = html::read(&text);
            self.doubtful |= !page.certain;
            text = page.text;
        }
        Words { text, other: None, rich }
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
        if kind == "alternative" { self.alternatives(all) } else { self.one_after_the_other(all) }
    }

    /// Two readings at most: the plain one and the rich one.
    fn alternatives(&mut self, mut all: Vec<Words>) -> Option<Words> {
        let plain = all.iter().position(|words| !words.rich);
        let rich = all.iter().position(|words| words.rich);
        // What else there is somebody may see.
        self.doubtful |= all.len() > usize::from(plain.is_some()) + usize::from(rich.is_some());
        self.doubtful |= all.iter().any(|words| words.other.is_some());
        let mut take = |at: usize| std::mem::take(&mut all[at]);
        match (plain.map(&mut take), rich.map(&mut take)) {
            (Some(plain), Some(rich)) => Some(Words { text: plain.text, other: Some(rich.text), rich: false }),
            (plain, rich) => plain.or(rich),
        }
    }

    fn one_after_the_other(&mut self, all: Vec<Words>) -> Option<Words> {
        let join = |texts: Vec<&str>| texts.join("\n");
        let mut other = None;
        if all.iter().any(|words| words.other.is_some()) {
            let size: usize = all.iter().map(|words| words.other.as_ref().unwrap_or(&words.text).len()).sum();
            if size <= BOTH_BYTES_MAX {
                other = Some(join(all.iter().map(|words| words.other.as_ref().unwrap_or(&words.text).as_str()).collect()));
            } else {
                self.doubtful = true;
            }
        }
        let rich = all.iter().any(|words| words.rich);
        let text = match <[Words; 1]>::try_from(all) {
            Ok([only]) => only.text,
            Err(all) => join(all.iter().map(|words| words.text.as_str()).collect()),
        };
        (!text.is_empty()).then_some(Words { text, other, rich })
    }
}

/// The text between the lines of `boundary`, and whether the last of them closes.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mail: &str) -> (String, Found) {
        let (words, found) = read_both(mail);
        (words.text, found)
    }
    fn read_both(mail: &str) -> (Words, Found) {
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
    fn a_head_is_read_to_its_limits_then_the_body() {
        let of = |head: &str| {
            let mail = format!("Subject: a\n{head}X-Last: z\n\nbody");
            let Split { headers, all, body, .. } = split(mail.as_bytes());
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
