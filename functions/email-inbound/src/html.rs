//! The words of an HTML mail, quotes marked as plain text marks them, and what a reader does not see marked as such.
//!
//! [`parts`](crate::parts) calls it. It is not a browser: it knows where lines end, what is quoted, struck out or hidden,
//! and where it cannot know, it says so. Words that are hidden are kept: a reply is not understood without them.

use crate::{css, decode};
use mail_parser::decoders::html::add_html_token;

/// How deep elements are followed. Mail programs nest some dozens, tables within quotes included.
const DEPTH_MAX: usize = 256;
/// Most passages that are marked as hidden or struck out. Of what is beyond, only that there is more is known.
const MARKED_MAX: usize = 1000;
/// Most bytes that marks add to a text.
pub const MARKS_BYTES_MAX: usize = MARKED_MAX * (HIDDEN.len() + MARK_END.len() + 2);

/// The mark before words that are not shown.
pub const HIDDEN: &str = "[hidden: ";
/// The mark before words that are struck out.
pub const STRUCK: &str = "[struck: ";
/// The mark after either.
pub const MARK_END: &str = "]";

/// Elements that stand on lines of their own.
const BLOCKS: [&str; 24] = [
    "address",
    "article",
    "blockquote",
    "br",
    "center",
    "dd",
    "div",
    "dl",
    "dt",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "header",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "section",
    "table",
    "tr",
    "ul",
];
/// Elements whose content is not for reading.
const UNSEEN: [&str; 3] = ["script", "template", "title"];
/// Elements that have no content.
const VOID: [&str; 13] = ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"];
/// Elements that strike out.
const STRIKING: [&str; 3] = ["s", "strike", "del"];
/// Elements that show, or may show, words that are no text of the mail.
const OPAQUE: [&str; 15] = [
    "applet", "audio", "bdo", "button", "canvas", "details", "embed", "iframe", "input", "marquee", "object", "select", "svg", "textarea",
    "video",
];

/// The text of an HTML mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Its words, line by line. Lines within a `blockquote` begin with `> `.
    pub text: String,
    /// Whether a reader sees these words and no others.
    pub certain: bool,
}

/// The words of `html`.
pub fn read(html: &str) -> Page {
    let mut reader = Reader::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        reader.words(&rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        // A `<` that begins no tag is a character like any other.
        if !rest[1..].starts_with(|next: char| next.is_ascii_alphabetic() || matches!(next, '/' | '!' | '?')) {
            reader.words("<");
            rest = &rest[1..];
            continue;
        }
        let Some((tag, after)) = tag(&rest[1..]) else { return reader.end(false) };
        rest = reader.tag(tag, after);
    }
    reader.words(rest);
    reader.end(true)
}

/// A tag without its brackets, and what follows it. A `>` within quotes is the attribute's.
fn tag(from: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, byte) in from.bytes().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some((&from[..at], &from[at + 1..])),
            (None, b'"' | b'\'') if from[..at].trim_end().ends_with('=') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    // A quote that never ends was none.
    from.split_once('>')
}

/// How words stand on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Visibility {
    #[default]
    Plainly,
    Struck,
    Hidden,
}

/// An element that is open.
struct Open {
    name: String,
    /// The text before it.
    before: (Visibility, css::Colours),
}

#[derive(Default)]
struct Reader {
    text: String,
    doubtful: bool,
    open: Vec<Open>,
    visibility: Visibility,
    colours: css::Colours,
    /// How many quotes we are in.
    quotes: usize,
    /// White space was seen and not yet written.
    gap: bool,
    /// Something stands on the line.
    begun: bool,
    /// The mark that is open on the line.
    mark: Visibility,
    marked: usize,
}

impl Reader {
    /// Takes a tag, and returns what is to be read on.
    fn tag<'h>(&mut self, tag: &str, after: &'h str) -> &'h str {
        let (closes, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
        let length = tag.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(tag.len());
        let (name, attributes) = (tag[..length].to_ascii_lowercase(), &tag[length..]);
        if name == "style" && !closes {
            let (sheet, after) = element(after, &name);
            self.doubtful |= css::may_hide(sheet);
            return after;
        }
        if UNSEEN.contains(&name.as_str()) && !closes {
            return element(after, &name).1;
        }
        if BLOCKS.contains(&name.as_str()) {
            self.end_line(name == "br");
            if name == "blockquote" {
                self.quotes = if closes { self.quotes.saturating_sub(1) } else { self.quotes + 1 };
            }
        } else if matches!(name.as_str(), "td" | "th") {
            self.gap = true;
        }
        if closes {
            self.close(&name);
        } else {
            self.look(&name, attributes);
        }
        after
    }

    /// Opens an element.
    fn look(&mut self, name: &str, attributes: &str) {
        let style = css::Style::of(name, attributes);
        self.doubtful |= style.doubtful || OPAQUE.contains(&name) || name == "link" && attributes.contains("stylesheet");
        self.doubtful |= name == "img" && !style.is_pixel;
        if VOID.contains(&name) {
            return;
        }
        if self.open.len() >= DEPTH_MAX {
            self.doubtful = true;
            return;
        }
        self.open.push(Open { name: name.to_owned(), before: (self.visibility, self.colours) });
        self.colours = self.colours.under(&style);
        if style.hidden || self.colours.hide() {
            self.visibility = Visibility::Hidden;
        } else if style.struck || STRIKING.contains(&name) {
            self.visibility = self.visibility.max(Visibility::Struck);
        }
    }

    fn close(&mut self, name: &str) {
        let Some(at) = self.open.iter().rposition(|open| open.name == name) else { return };
        let before = self.open[at].before;
        // Elements that overlap: where the inner one ends, browsers have rules that are not repeated here.
        self.doubtful |= at + 1 < self.open.len() && self.visibility != before.0;
        self.open.truncate(at);
        (self.visibility, self.colours) = before;
    }

    fn words(&mut self, source: &str) {
        let mut rest = source;
        while let Some((c, after)) = next(rest) {
            rest = after;
            if c.is_whitespace() {
                self.gap = true;
                continue;
            }
            if self.mark != self.visibility && self.visibility != Visibility::Plainly && self.marked >= MARKED_MAX {
                self.doubtful = true;
                continue;
            }
            if !self.begun {
                self.text.push_str(if self.quotes > 0 { "> " } else { "" });
            }
            if self.mark != self.visibility {
                self.begin_mark();
            }
            if self.begun && self.gap && !self.text.ends_with(' ') {
                self.text.push(' ');
            }
            (self.gap, self.begun) = (false, true);
            self.text.push(c);
        }
    }

    /// Begins the mark of what stands here, if it has one.
    fn begin_mark(&mut self) {
        self.end_mark();
        let mark = match self.visibility {
            Visibility::Plainly => return,
            Visibility::Struck => STRUCK,
            Visibility::Hidden => HIDDEN,
        };
        self.text.push_str(if self.begun { " " } else { "" });
        self.text.push_str(mark);
        (self.mark, self.begun) = (self.visibility, true);
        self.marked += 1;
    }

    fn end_mark(&mut self) {
        if self.mark != Visibility::Plainly {
            self.text.push_str(MARK_END);
            self.gap = true;
        }
        self.mark = Visibility::Plainly;
    }

    /// Ends the line; an empty one only where it is `forced`.
    fn end_line(&mut self, forced: bool) {
        self.end_mark();
        if self.begun || forced {
            self.text.push('\n');
        }
        (self.gap, self.begun) = (false, false);
    }

    fn end(mut self, whole: bool) -> Page {
        self.end_mark();
        Page { text: self.text, certain: whole && !self.doubtful }
    }
}

/// The content of the element `name`, whose start tag was just read, and what follows it; nothing, where it never ends.
fn element<'h>(html: &'h str, name: &str) -> (&'h str, &'h str) {
    let ends = |at: usize| {
        let tag = html.as_bytes().get(at + 2..at + 2 + name.len());
        html[at..].starts_with("</") && tag.is_some_and(|tag| tag.eq_ignore_ascii_case(name.as_bytes()))
    };
    let Some(end) = html.match_indices('<').map(|(at, _)| at).find(|at| ends(*at)) else { return (html, "") };
    (&html[..end], html[end..].split_once('>').map_or("", |(_, after)| after))
}

/// The first character of `source`, its reference resolved, and what follows.
fn next(source: &str) -> Option<(char, &str)> {
    /// The longest name has 31 characters.
    const REFERENCE_BYTES_MAX: usize = 33;
    let first = source.chars().next()?;
    let end = if first == '&' { source.bytes().take(REFERENCE_BYTES_MAX).position(|b| b == b';') } else { None };
    if let Some(end) = end
        && let Some(c) = character(&source[..=end])
    {
        return Some((c, &source[end + 1..]));
    }
    Some((first, &source[first.len_utf8()..]))
}

/// What `reference` stands for, from its `&` to its `;`. The names are HTML's, all 2,125 of them.
fn character(reference: &str) -> Option<char> {
    let name = &reference[1..reference.len() - 1];
    if !name.strip_prefix('#').unwrap_or(name).bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return match code.ok()? {
            // By these numbers HTML means what Windows-1252 has there.
            code @ 0x80..=0x9f => decode::western(&[u8::try_from(code).ok()?]).chars().next(),
            code => char::from_u32(code),
        };
    }
    let mut text = String::new();
    add_html_token(&mut text, reference.as_bytes(), false);
    (text != reference).then(|| text.chars().next()).flatten()
}

#[cfg(test)]
mod tests;
