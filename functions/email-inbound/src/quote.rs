//! The author's own words in a reply, without our mail that they quote and without what their mail program adds.
//!
//! [`crate::wish`] is read from it. Only what is known to be ours, or a mail program's, is left out: no mark, no line of dashes and
//! no place proves that a line is not the writer's, because people write below quotes, within them, and below their signature. So a line
//! that is marked as a quote and is not ours makes the reply one for people.
//!
//! ```text
//! Please cancel                                        the writer's
//! On 4 May 2026, Order Pipeline <orders@…> wrote:      a mail program's: dates and our names, nothing else
//! > Your order has shipped.                            ours: the mail that this order caused says so
//! > no, keep it                                        marked, and not ours: a person must look
//! ```

use crate::{html, wish};
use domain::Order;
use mailer::{OrdersAddress, address::DISPLAY_NAME};
use std::collections::BTreeSet;

/// Most lines of which quotes are told: a hundred pages. A longer reply is read by a person.
const LINES_MAX: usize = 5_000;
/// Most words of a line that are looked at. HTML has each paragraph on one line, and the longest of ours has forty.
const LINE_WORDS_MAX: usize = 200;
/// Longest line that can be a mail program's, in bytes: names and addresses twice, and a date.
const CLIENT_BYTES_MAX: usize = 400;
/// Most lines over which a program breaks "On … wrote:".
const ATTRIBUTION_LINES_MAX: usize = 4;
/// Fewest words of one of our lines by which it is known, if it is not whole: "If you" may begin a sentence of anybody's.
const OUR_WORDS_MIN: usize = 3;

/// Verbs of attributions: English, German, French, Spanish, Italian, Dutch, Portuguese.
const WROTE: [&str; 9] = ["wrote", "schrieb", "écrit", "escribió", "scritto", "schreef", "geschreven", "escreveu", "écrivit"];
/// Words around them, and around dates. None says no in any of these languages.
const DATED: [&str; 107] = [
    "lun",
    "mer",
    "jeu",
    "ven",
    "sam",
    "dim",
    "on",
    "at",
    "am",
    "pm",
    "um",
    "uhr",
    "den",
    "le",
    "à",
    "a",
    "h",
    "el",
    "las",
    "la",
    "los",
    "il",
    "giorno",
    "alle",
    "ore",
    "ha",
    "op",
    "om",
    "het",
    "heeft",
    "em",
    "às",
    "de",
    "via",
    "gmt",
    "utc",
    "cet",
    "cest",
    "bst",
    "est",
    "edt",
    "pst",
    "pdt",
    "mon",
    "tue",
    "wed",
    "thu",
    "fri",
    "sat",
    "sun",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "montag",
    "dienstag",
    "mittwoch",
    "donnerstag",
    "freitag",
    "samstag",
    "sonntag",
    "lundi",
    "mardi",
    "mercredi",
    "jeudi",
    "vendredi",
    "samedi",
    "dimanche",
    "jan",
    "feb",
    "mar",
    "apr",
    "may",
    "jun",
    "jul",
    "aug",
    "sep",
    "sept",
    "oct",
    "nov",
    "dec",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "januar",
    "februar",
    "märz",
    "mai",
    "juni",
    "juli",
    "oktober",
    "dezember",
    "janvier",
    "février",
    "juin",
    "juillet",
];
/// Names of the headers that programs put above a quote, by what follows them.
const PEOPLE_HEADERS: [&str; 12] = ["from", "to", "cc", "reply-to", "von", "an", "de", "à", "para", "da", "a", "aan"];
const DATE_HEADERS: [&str; 8] = ["sent", "date", "gesendet", "datum", "envoyé", "enviado", "fecha", "data"];
const SUBJECT_HEADERS: [&str; 6] = ["subject", "betreff", "objet", "asunto", "oggetto", "onderwerp"];
/// Lines that stand above a quote.
const SEPARATORS: [&str; 4] = ["original message", "forwarded message", "begin forwarded message", "ursprüngliche nachricht"];
/// What programs begin a line with that praises them.
const PRAISES: [&[&str]; 4] = [&["sent", "from"], &["sent", "with"], &["get"], &["sent", "via"]];
/// And what such a line goes on with.
const PRAISED: [&str; 33] = [
    "my",
    "the",
    "mail",
    "for",
    "app",
    "iphone",
    "ipad",
    "ipod",
    "mac",
    "ios",
    "android",
    "phone",
    "mobile",
    "device",
    "smartphone",
    "tablet",
    "samsung",
    "galaxy",
    "pixel",
    "huawei",
    "xiaomi",
    "blackberry",
    "windows",
    "outlook",
    "yahoo",
    "gmail",
    "proton",
    "protonmail",
    "secure",
    "email",
    "t",
    "verizon",
    "bluemail",
];
/// What stands beside a number or an address in a signature.
const SIGNED: [&str; 13] =
    ["tel", "telephone", "phone", "mobile", "cell", "mob", "fax", "email", "e-mail", "mail", "web", "website", "www"];
/// Text that is known to be ours: the mails that an order has caused, word by word, and the names and addresses around them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ours {
    mails: Vec<OurMail>,
    subjects: BTreeSet<Vec<String>>,
    people: BTreeSet<String>,
}

/// One of our mails, in plain text or in HTML.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct OurMail {
    words: Vec<String>,
    /// Where its lines begin.
    begins: Vec<usize>,
    /// Where its lines end.
    ends: BTreeSet<usize>,
}

impl OurMail {
    fn of(text: &str) -> Self {
        let mut mail = Self::default();
        for line in text.lines() {
            let line = line.replace(html::HIDDEN, "").replace(html::STRUCK, "");
            mail.begins.push(mail.words.len());
            mail.words.extend(words(&line));
            mail.ends.insert(mail.words.len());
        }
        mail
    }

    /// Where `line` ends, if it goes on at `at`, or begins where a line does.
    fn follow(&self, line: &[String], at: Option<usize>) -> Option<usize> {
        let stands = |at: &usize| self.words.get(*at..at + line.len()) == Some(line);
        let known = |at: &usize| line.len() >= OUR_WORDS_MIN || self.ends.contains(&(at + line.len()));
        at.filter(stands).or_else(|| self.begins.iter().copied().find(|at| stands(at) && known(at))).map(|at| at + line.len())
    }
}

impl Ours {
    /// What `order` has caused us to write to its customer, whom others call `names`, as `own`.
    pub fn of(order: &Order, own: &OrdersAddress, names: &[&str]) -> Self {
        let mails = order_email::every(order);
        let subjects = mails.iter().map(|(_, mail)| words(&mail.subject)).collect();
        let mails = mails.iter().flat_map(|(_, mail)| [OurMail::of(&mail.text), OurMail::of(&html::read(&mail.html).text)]).collect();
        let labelled = own.labelled(&order.order_id);
        let about = [DISPLAY_NAME, &labelled, &order.customer.email.0, &order.customer.name.0, "mailto"];
        let people = about.into_iter().chain(names.iter().copied()).flat_map(words);
        Self { mails, subjects, people: people.filter(|word| !wish::speaks_against(word)).collect() }
    }

    /// Whether `subject` is that of one of our mails.
    pub fn is_subject(&self, subject: &[String]) -> bool {
        self.subjects.contains(subject)
    }
}

/// The writer's own lines; [`None`] where the text quotes what is not known to be ours, so that it is not known whose it is.
///
/// Left out are lines of our mails in their order; "On … wrote:" and headers, if they name us, the writer and dates alone; lines without
/// a word; the lines in which a program praises itself; and below `--`, names, numbers and addresses.
pub fn own_text(text: &str, ours: &Ours) -> Option<String> {
    if text.lines().nth(LINES_MAX).is_some() {
        return None;
    }
    let lines: Vec<Line<'_>> = text.lines().map(Line::of).collect();
    let mut reader = Reader { ours, at: vec![None; ours.mails.len()], signed: false };
    let mut own = Vec::new();
    let mut rest = lines.as_slice();
    while let [line, ..] = rest {
        let taken = reader.not_the_writers(rest);
        if taken == 0 {
            if line.marked {
                return None;
            }
            own.push(line.text);
        }
        rest = &rest[taken.max(1)..];
    }
    Some(own.join("\n").trim().to_owned())
}

/// A line, without the marks of a quote.
#[derive(Debug, Clone, Copy)]
struct Line<'t> {
    text: &'t str,
    marked: bool,
}

impl<'t> Line<'t> {
    fn of(line: &'t str) -> Self {
        let line = line.trim();
        let text = line.trim_start_matches(|c: char| c == '>' || c.is_whitespace());
        Self { text, marked: text.len() != line.len() }
    }
}

struct Reader<'o> {
    ours: &'o Ours,
    /// How far each of our mails has been followed.
    at: Vec<Option<usize>>,
    /// Whether a signature has begun.
    signed: bool,
}

impl Reader<'_> {
    /// How many lines, from the first of these on, are not the writer's.
    fn not_the_writers(&mut self, rest: &[Line<'_>]) -> usize {
        let Some(Line { text, .. }) = rest.first() else { return 0 };
        if is_ruled(text) {
            self.signed |= *text == "--";
            return 1;
        }
        let hidden = text.strip_prefix(html::HIDDEN).and_then(|text| text.strip_suffix(html::MARK_END));
        if self.is_ours(&words(hidden.unwrap_or(text))) {
            return 1;
        }
        if let Some(lines) = self.attribution(rest) {
            return lines;
        }
        let is_clients = text.len() <= CLIENT_BYTES_MAX && (self.is_header(text) || is_separator(text) || praises(text));
        usize::from(is_clients || self.signed && self.signs(text))
    }

    fn is_ours(&mut self, line: &[String]) -> bool {
        if line.is_empty() || line.len() > LINE_WORDS_MAX {
            return false;
        }
        let followed: Vec<_> = self.ours.mails.iter().zip(&self.at).map(|(mail, at)| mail.follow(line, *at)).collect();
        let is_ours = followed.iter().any(Option::is_some);
        if is_ours {
            self.at = followed;
        }
        is_ours
    }

    /// How many lines "On … wrote:" takes, if it begins here.
    fn attribution(&self, rest: &[Line<'_>]) -> Option<usize> {
        let mut sentence = String::new();
        for (index, line) in rest.iter().take(ATTRIBUTION_LINES_MAX).enumerate() {
            if line.text.len() > CLIENT_BYTES_MAX || line.text.is_empty() {
                return None;
            }
            sentence.push_str(line.text);
            sentence.push(' ');
            if !line.text.ends_with(':') {
                continue;
            }
            let words = words(&sentence);
            let wrote = words.iter().filter(|word| WROTE.contains(&word.as_str())).count();
            let known = |word: &String| WROTE.contains(&word.as_str()) || self.is_date(word) || self.is_person(word);
            return (wrote == 1 && words.len() > 2 && words.iter().all(known)).then_some(index + 1);
        }
        None
    }

    fn is_header(&self, line: &str) -> bool {
        let Some((name, value)) = line.trim_start_matches('*').split_once(':') else { return false };
        let name = name.trim_end_matches('*').trim().to_lowercase();
        let words = words(value);
        let all = |known: &dyn Fn(&String) -> bool| !words.is_empty() && words.iter().all(known);
        PEOPLE_HEADERS.contains(&name.as_str()) && all(&|word| self.is_person(word))
            || DATE_HEADERS.contains(&name.as_str()) && all(&|word| self.is_date(word))
            || SUBJECT_HEADERS.contains(&name.as_str()) && self.ours.is_subject(wish::without_reply_marks(&words))
    }

    fn is_date(&self, word: &str) -> bool {
        DATED.contains(&word) || word.starts_with(|c: char| c.is_ascii_digit()) && word.len() <= 6
    }
    fn is_person(&self, word: &str) -> bool {
        self.ours.people.contains(word)
    }

    /// Whether a line stands in a signature: names, and where to reach them.
    fn signs(&self, line: &str) -> bool {
        line.len() <= CLIENT_BYTES_MAX
            && line.split(|c: char| c.is_whitespace() || matches!(c, '|' | ',' | '<' | '>')).filter(|part| !part.is_empty()).all(|part| {
                let words = words(part);
                let is_number = part.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '(' | ')' | '/' | '.'));
                let is_link = part.contains("://") || part.starts_with("www.") || part.contains('@');
                let says_nothing = !words.iter().any(|word| wish::speaks_against(word));
                let is_known = |word: &String| self.is_person(word) || SIGNED.contains(&word.as_str());
                is_number || is_link && says_nothing || !words.is_empty() && words.iter().all(is_known)
            })
    }
}

/// Whether a line has nothing but what rules are made of.
fn is_ruled(line: &str) -> bool {
    line.chars().all(|c| c.is_whitespace() || matches!(c, '-' | '_' | '=' | '*' | '>' | '|' | '.' | '·' | '–' | '—' | '─' | '━'))
}

fn is_separator(line: &str) -> bool {
    SEPARATORS.contains(&line.trim_matches(|c: char| c.is_whitespace() || matches!(c, '-' | '_' | '*' | ':')).to_lowercase().as_str())
}

/// Whether a line is one in which a mail program praises itself: "Sent from my iPhone", with a link at most.
fn praises(line: &str) -> bool {
    let bare = line.split(['<', '(']).next().unwrap_or_default();
    let link = line[bare.len()..].trim_matches(['<', '>', '(', ')']);
    let words = words(bare);
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let rest = PRAISES.iter().find_map(|praise| words.strip_prefix(*praise));
    rest.is_some_and(|rest| !rest.is_empty() && rest.iter().all(|word| PRAISED.contains(word) || is_model(word)))
        && (link.is_empty() || link.starts_with("https://aka.ms/") || link.starts_with("https://proton.me/"))
}

/// The name of a model, such as S23.
fn is_model(word: &str) -> bool {
    word.len() <= 4 && word.ends_with(|c: char| c.is_ascii_digit())
}

/// The words of a line in lower case, as long as there are not too many. What stands between them is not compared: programs write
/// `*bold*`, turn quotes and leave out hyphens.
pub(crate) fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.take(LINE_WORDS_MAX + 1).map(str::to_lowercase).collect()
}

#[cfg(test)]
mod tests;
