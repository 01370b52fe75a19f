//! The words of an HTML mail, quotes marked as plain text marks them.
//!
//! [`Mail::read`](crate::mail::Mail::read) calls it for mails that have no plain text. It refuses to be a browser: it knows
//! where lines end and what is quoted, and drops what is never shown.

/// Elements that stand on lines of their own.
const BLOCKS: [&str; 21] = [
    "address",
    "article",
    "blockquote",
    "br",
    "dd",
    "div",
    "dl",
    "dt",
    "footer",
    "h1",
    "h2",
    "h3",
    "header",
    "hr",
    "li",
    "ol",
    "p",
    "pre",
    "table",
    "tr",
    "ul",
];
/// Elements whose content is not for reading.
const UNSEEN: [&str; 5] = ["head", "script", "style", "template", "title"];

/// The words of `html`, line by line. Lines within a `blockquote` begin with `> `.
pub fn text(html: &str) -> String {
    let mut page = Page::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        page.words(&rest[..at]);
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix("<!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        // A `<` that begins no tag is a character like any other.
        if !rest[1..].starts_with(|next: char| next.is_ascii_alphabetic() || matches!(next, '/' | '!' | '?')) {
            page.words("<");
            rest = &rest[1..];
            continue;
        }
        let Some((tag, after)) = rest[1..].split_once('>') else { return page.text };
        rest = after;
        let (closes, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
        let name = tag.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default().to_ascii_lowercase();
        if UNSEEN.contains(&name.as_str()) && !closes {
            rest = after_element(rest, &name);
        } else if BLOCKS.contains(&name.as_str()) {
            page.end_line(name == "br");
            if name == "blockquote" {
                page.quotes = if closes { page.quotes.saturating_sub(1) } else { page.quotes + 1 };
            }
        } else if matches!(name.as_str(), "td" | "th") {
            page.gap = true;
        }
    }
    page.words(rest);
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
    /// How many quotes we are in.
    quotes: usize,
    /// White space was seen and not yet written.
    gap: bool,
    /// Something stands on the line.
    begun: bool,
}

impl Page {
    fn words(&mut self, source: &str) {
        for c in decoded(source) {
            if c.is_whitespace() {
                self.gap = true;
                continue;
            }
            if !self.begun {
                self.text.push_str(if self.quotes > 0 { "> " } else { "" });
            } else if self.gap {
                self.text.push(' ');
            }
            (self.gap, self.begun) = (false, true);
            self.text.push(c);
        }
    }

    /// Ends the line; an empty one only where it is `forced`.
    fn end_line(&mut self, forced: bool) {
        if self.begun || forced {
            self.text.push('\n');
        }
        (self.gap, self.begun) = (false, false);
    }
}

/// What follows the element `name`, whose start tag was just read; nothing, where it never ends.
fn after_element<'h>(html: &'h str, name: &str) -> &'h str {
    let ends = |at: usize| {
        let tag = html.as_bytes().get(at + 2..at + 2 + name.len());
        html[at..].starts_with("</") && tag.is_some_and(|tag| tag.eq_ignore_ascii_case(name.as_bytes()))
    };
    let end = html.match_indices('<').map(|(at, _)| at).find(|at| ends(*at));
    end.and_then(|at| html[at..].split_once('>')).map_or("", |(_, after)| after)
}

/// `source` with its character references resolved: numbers, and the names that mail clients write. Others stay as they are.
fn decoded(source: &str) -> impl Iterator<Item = char> + '_ {
    /// The longest that is looked for, `&#x10ffff;`.
    const REFERENCE_BYTES_MAX: usize = 10;
    let mut rest = source;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = rest.bytes().take(REFERENCE_BYTES_MAX).position(|b| b == b';');
        if let ('&', Some(end)) = (first, end)
            && let Some(c) = character(&rest[1..end])
        {
            rest = &rest[end + 1..];
            return Some(c);
        }
        rest = &rest[first.len_utf8()..];
        Some(first)
    })
}

fn character(reference: &str) -> Option<char> {
    if let Some(number) = reference.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16),
            None => number.parse(),
        };
        return char::from_u32(code.ok()?);
    }
    Some(match reference {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" | "rsquo" | "lsquo" => '\'',
        "nbsp" => ' ',
        "ldquo" | "rdquo" => '"',
        "ndash" | "mdash" => '-',
        "hellip" => '…',
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn words_are_what_a_reader_sees_line_by_line() {
        let html = "<html><head><title>t</title><style>p{color:red}</style></head><body>\r\n<p>Cancel&nbsp;my\r\n <b>or</b>der</p><!-- no -->\
                    <div>Thanks<br>Ada &amp; Bob &#x2014; &eacute; 1 < 2</div><script>if (a < b) {}</script></body></html>";
        assert_eq!(text(html), "Cancel my order\nThanks\nAda & Bob — &eacute; 1 < 2\n");
    }

    #[test]
    fn quotes_are_marked_and_what_follows_them_is_not() {
        let html = "<div>Yes</div><div>On Monday, shop wrote:<br></div><blockquote type=\"cite\"><div>one</div>\
                    <BLOCKQUOTE>two</BLOCKQUOTE>three</blockquote><div>below</div>";
        assert_eq!(text(html), "Yes\nOn Monday, shop wrote:\n> one\n> two\n> three\nbelow\n");
    }

    #[test]
    fn what_never_ends_ends_with_the_mail() {
        for html in ["a<style>b", "a<!-- b", "a<b", "a</", "a<blockquote"] {
            assert_eq!(text(html), "a", "{html}");
        }
        assert_eq!(text("a<"), "a<");
        assert_eq!(text("a & b &; &#; &#x110000; &#xZ;"), "a & b &; &#; &#x110000; &#xZ;");
    }

    proptest! {
        #[test]
        fn whatever_comes_there_are_words(html in "(<[/!?]?[a-z]{0,10}[ >]?|<!--|-->|&#?x?[0-9a-z]{0,7};?|\\PC|[\\r\\n\\t ]){0,60}") {
            prop_assert!(text(&html).len() <= 3 * html.len() + 2);
        }
    }
}
