//! The mails that a campaign can send: compiled in, filled by SES.
//!
//! A template is a folder of `templates/`: subject, text and HTML, with variables written `{{name}}`, and nothing else that
//! Handlebars knows: SES takes plain substitution alone where the content comes with the call. Each variable is a column of
//! the list. SES escapes nothing (<https://docs.aws.amazon.com/ses/latest/dg/send-personalized-email-advanced.html>), so
//! every value `x` is there a second time, escaped, as `x_html`, and a test lets HTML use no other.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// The variable that every template shows: the recipient's own link.
pub const UNSUBSCRIBE_URL: &str = "unsubscribe_url";
/// What the escaped twin of a variable ends in.
const ESCAPED: &str = "_html";

/// A mail with variables.
#[derive(Debug, PartialEq, Eq)]
pub struct Template {
    /// Its folder, and what a start of a campaign calls it.
    pub name: &'static str,
    /// One line.
    pub subject: &'static str,
    /// For readers of plain text.
    pub text: &'static str,
    /// The same, as a page.
    pub html: &'static str,
}

/// All templates.
pub const TEMPLATES: &[Template] = &[Template {
    name: "newsletter",
    subject: include_str!("../templates/newsletter/subject.txt").trim_ascii_end(),
    text: include_str!("../templates/newsletter/body.txt"),
    html: include_str!("../templates/newsletter/body.html"),
}];

impl Template {
    /// The template of this name.
    pub fn find(name: &str) -> Option<&'static Template> {
        TEMPLATES.iter().find(|template| template.name == name)
    }

    /// The columns that a list must have, beside `email`: the variables, each once.
    pub fn columns(&self) -> Vec<String> {
        let variables = [self.subject, self.text, self.html].into_iter().flat_map(variables);
        let columns = variables.filter(|name| *name != UNSUBSCRIBE_URL).map(|name| name.strip_suffix(ESCAPED).unwrap_or(name));
        columns.collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
    }
}

/// The variables of a part, as often as they occur.
fn variables(part: &str) -> impl Iterator<Item = &str> {
    part.split("{{").skip(1).filter_map(|behind| behind.split_once("}}")).map(|(name, _)| name)
}

/// One recipient's replacement data as SES takes it: a JSON object with every value twice, as it is and escaped.
pub fn data(values: &BTreeMap<String, String>, unsubscribe_url: &str) -> String {
    let mut data = Map::new();
    for (name, value) in values {
        data.insert(name.clone(), value.as_str().into());
        data.insert(format!("{name}{ESCAPED}"), escape(value).into());
    }
    data.insert(UNSUBSCRIBE_URL.to_owned(), unsubscribe_url.into());
    Value::Object(data).to_string()
}

/// `text` for a place in HTML, between tags or within quotes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// `part` filled as SES fills it: one pass, so that a value that looks like a variable stays what it is.
pub(crate) fn fill(part: &str, data: &Map<String, Value>) -> String {
    let mut pieces = part.split("{{");
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or(("", piece));
        filled.push_str(data.get(name).and_then(Value::as_str).unwrap_or_default());
        filled.push_str(rest);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn every_folder_of_templates_is_a_template_and_has_its_three_parts() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
        let mut folders: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        folders.sort();
        assert_eq!(folders, TEMPLATES.iter().map(|template| template.name).collect::<Vec<_>>());
        for template in TEMPLATES {
            let part = |name| fs::read_to_string(root.join(template.name).join(name)).unwrap();
            assert_eq!(part("subject.txt").trim_end(), template.subject);
            assert_eq!((part("body.txt"), part("body.html")), (template.text.to_owned(), template.html.to_owned()));
        }
    }

    #[test]
    fn variables_are_flat_names_and_nothing_else_that_handlebars_knows() {
        for template in TEMPLATES {
            for part in [template.subject, template.text, template.html] {
                assert_eq!(part.matches("{{").count(), variables(part).count(), "{}: one is not closed", template.name);
                assert_eq!(part.matches("}}").count(), variables(part).count(), "{}: one is not opened", template.name);
                for name in variables(part) {
                    let flat = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
                    assert!(flat, "{}: {name}", template.name);
                }
            }
        }
    }

    #[test]
    fn html_uses_escaped_values_alone_and_text_uses_none_of_them() {
        for template in TEMPLATES {
            let escaped = |name: &str| name.ends_with(ESCAPED) || name == UNSUBSCRIBE_URL;
            assert!(variables(template.html).all(escaped), "{}: HTML", template.name);
            assert!(variables(template.text).all(|name| !name.ends_with(ESCAPED)), "{}: text", template.name);
            assert!(variables(template.subject).all(|name| !escaped(name)), "{}: subject", template.name);
        }
    }

    #[test]
    fn text_and_html_say_the_same_and_both_show_the_link_to_unsubscribe() {
        for template in TEMPLATES {
            let of = |part| variables(part).map(|name| name.strip_suffix(ESCAPED).unwrap_or(name)).collect::<BTreeSet<_>>();
            assert_eq!(of(template.text), of(template.html), "{}", template.name);
            assert!(of(template.text).contains(UNSUBSCRIBE_URL), "{}", template.name);
        }
    }

    /// SES rewrites a link that it tracks, and leaves an anchor with this attribute as it is. It tracks no link in a text
    /// (<https://docs.aws.amazon.com/ses/latest/dg/faqs-metrics.html>).
    #[test]
    fn the_link_to_unsubscribe_is_not_tracked() {
        for template in TEMPLATES {
            let untracked = template.html.matches("<a ses:no-track href=\"{{unsubscribe_url}}\"").count();
            assert_eq!((untracked, template.html.matches(UNSUBSCRIBE_URL).count()), (1, 1), "{}", template.name);
        }
    }

    #[test]
    fn html_is_complete_narrow_enough_and_loads_nothing() {
        for Template { name, html, subject, .. } in TEMPLATES {
            for part in ["<!doctype html>", "<html lang=", "charset=\"utf-8\"", "width=device-width", "max-width:600px", "color-scheme"] {
                assert!(html.contains(part), "{name} lacks {part}");
            }
            for part in ["<script", "<img", "<link", "src=", "@import", "url("] {
                assert!(!html.contains(part), "{name} has {part}");
            }
            assert!(!subject.is_empty() && !subject.contains(['\r', '\n']), "{name}: the subject is one line");
        }
    }

    #[test]
    fn a_newsletter_wants_a_name_and_a_voucher() {
        assert_eq!(Template::find("newsletter").unwrap().columns(), ["name", "voucher"]);
        assert_eq!(Template::find("winter"), None);
    }

    #[test]
    fn every_value_is_there_as_it_is_and_escaped() {
        let data: Value =
            serde_json::from_str(&data(&values(&[("name", "<b>Ada</b> & \"Bob's\"")]), "https://api.example.com/u/t")).unwrap();
        let escaped = "&lt;b&gt;Ada&lt;/b&gt; &amp; &quot;Bob&#39;s&quot;";
        let expected = serde_json::json!({
            "name": "<b>Ada</b> & \"Bob's\"", "name_html": escaped, "unsubscribe_url": "https://api.example.com/u/t"
        });
        assert_eq!(data, expected);
    }

    #[test]
    fn what_a_customer_calls_themselves_breaks_out_of_no_html() {
        let evil = "<script>alert(1)</script>\"'{{unsubscribe_url}}";
        for template in TEMPLATES {
            let named = template.columns().into_iter().map(|column| (column, evil.to_owned())).collect();
            let data = serde_json::from_str(&data(&named, "https://api.example.com/u/t")).unwrap();
            let html = fill(template.html, &data);
            assert!(!html.contains("<script") && html.contains("&lt;script&gt;"), "{}", template.name);
            assert!(html.contains("{{unsubscribe_url}}"), "{}: a value is no variable", template.name);
        }
    }
}
