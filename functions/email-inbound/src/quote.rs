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
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const ORDER: &str = "22705e6b-fcc3-58dd-9ec8-55c8e45275c1";

    fn order() -> Order {
        let mut order = testkit::order::order(ORDER);
        order.customer.name.0 = "Ada Example".into();
        order.customer.email.0 = "ada@example.com".into();
        order
    }
    fn ours() -> Ours {
        Ours::of(&order(), &"orders@example.com".parse().unwrap(), &["Ada L. Example"])
    }
    fn own(text: &str) -> Option<String> {
        static OURS: LazyLock<Ours> = LazyLock::new(ours);
        own_text(text, &OURS)
    }

    /// The mail in plain text, each line behind `mark`, broken after so many characters.
    fn quoted(name: &str, mark: &str, width: usize) -> String {
        let mails = order_email::every(&order());
        let text = &mails.iter().find(|(mail, _)| *mail == name).unwrap().1.text;
        let mut lines = Vec::new();
        for line in text.lines() {
            let mut broken = String::new();
            for word in line.split(' ') {
                if broken.len() + word.len() > width {
                    lines.push(std::mem::take(&mut broken));
                }
                broken.push_str(word);
                broken.push(' ');
            }
            lines.push(broken);
        }
        lines.iter().map(|line| format!("{mark}{}\n", line.trim_end())).collect()
    }

    #[test]
    fn each_of_our_mails_is_known_however_it_is_marked_and_broken() {
        for (name, mail) in order_email::every(&order()) {
            for mark in ["> ", ">", "", "> > ", "  "] {
                for width in [20, 60, 72, 1000] {
                    assert_eq!(own(&format!("Cancel please\n\n{}", quoted(name, mark, width))).as_deref(), Some("Cancel please"), "{name}");
                }
            }
            let page = html::read(&format!("<p>Cancel please</p><blockquote>{}</blockquote>", mail.html));
            assert_eq!(own(&page.text).as_deref(), Some("Cancel please"), "{name} in HTML: {}", page.text);
        }
    }

    #[test]
    fn a_mail_of_somebody_elses_order_is_not_ours() {
        let other = testkit::order::order("ee3717c6-3e6f-58b0-ad82-7756503e0a32");
        let text = order_email::every(&other)[1].1.text.clone();
        assert_eq!(own(&format!("Cancel\n{}", text.lines().map(|line| format!("> {line}\n")).collect::<String>())), None);
    }

    #[test]
    fn what_programs_add_is_left_out() {
        for added in [
            "On Mon, May 4, 2026 at 12:20 PM Order Pipeline <orders@example.com> wrote:",
            "On Mon, May 4, 2026 at 12:20\u{202f}PM Order Pipeline\n<orders+22705e6b-fcc3-58dd-9ec8-55c8e45275c1@example.com>\nwrote:",
            "> On 4 May 2026, at 12:20, Order Pipeline <orders@example.com> wrote:",
            "On 04/05/2026 12:20, Order Pipeline wrote:",
            "Am 04.05.2026 um 12:20 schrieb Order Pipeline:",
            "Le lun. 4 mai 2026 à 12:20, Order Pipeline <orders@example.com> a écrit :",
            "-----Original Message-----",
            "________________________________",
            "From: Order Pipeline <orders@example.com>\nSent: Monday, May 4, 2026 12:20 PM\nTo: Ada Example <ada@example.com>",
            "*From:* Order Pipeline <orders@example.com<mailto:orders@example.com>>\n*Date:* Monday, 4 May 2026",
            "Von: Order Pipeline <orders@example.com>\nGesendet: Montag, 4. Mai 2026 12:20",
            "Subject: Order received: 24.00 EUR (22705e6b-fcc3-58dd-9ec8-55c8e45275c1)",
            "Betreff: RE: AW: Order received: 24.00 EUR (22705e6b-fcc3-58dd-9ec8-55c8e45275c1)",
            "Sent from my iPhone",
            "Sent from my Galaxy S23",
            "Get Outlook for iOS<https://aka.ms/o0ukef>",
            "Sent with Proton Mail secure email.",
            "Sent from Mail for Windows",
            "-- \nAda Example\n+49 30 1234-5\nTel. (030) 1234 | ada@example.com\nhttps://ada.example.com",
        ] {
            for end in ["\n", "\r\n"] {
                assert_eq!(own(&format!("Cancel please\n\n{added}\n").replace('\n', end)).as_deref(), Some("Cancel please"), "{added}");
            }
        }
    }

    #[test]
    fn a_line_that_only_looks_like_a_programs_is_the_writers() {
        for line in [
            "On second thought you wrote:",
            "On Mon, May 4, 2026 my wife wrote:",
            "On Monday Order Pipeline wrote: do not cancel:",
            "From: my wife",
            "Date: next year",
            "Subject: do not cancel",
            "Sent from my wife",
            "Sent from my heart",
            "Get it for me",
            "Get Outlook for iOS <https://example.org/do-not>",
            "Begin forwarded message: no",
            "-- \nkeep it",
            "-- \nhttps://do-not-cancel.example.com",
            "-- \n🚫",
            "no",
            "UPDATE: do not cancel",
            "did not",
            "[hidden: no]",
            "[struck: Your order has shipped.]",
        ] {
            let last = line.lines().last().unwrap();
            assert_eq!(own(&format!("Cancel\n{line}")), Some(format!("Cancel\n{last}")), "{line}");
        }
    }

    #[test]
    fn a_marked_line_that_is_not_ours_is_for_a_person() {
        for line in ["> no, keep it", ">no", "> > do not cancel", "> cancel", "> 🚫", "> On Mon, my wife wrote:", "> [hidden: no]"] {
            let quote = quoted("received", "> ", 72);
            assert_eq!(own(&format!("Cancel\n{line}\n")), None, "{line}");
            assert_eq!(own(&format!("Cancel\n\n{quote}{line}\n{quote}")), None, "{line}");
        }
    }

    #[test]
    fn what_stands_below_or_within_a_quote_is_the_writers() {
        let quote = quoted("received", "> ", 72);
        assert_eq!(own(&format!("{quote}\nCancel please\n{quote}\nno, keep it")).as_deref(), Some("Cancel please\nno, keep it"));
        let unmarked = quoted("received", "", 72);
        assert_eq!(own(&format!("Cancel\n\n{unmarked}\nSorry: do NOT cancel.")).as_deref(), Some("Cancel\nSorry: do NOT cancel."));
    }

    #[test]
    fn a_reply_of_too_many_lines_is_for_a_person() {
        let lines = |count: usize| format!("Cancel\n{}", "\n".repeat(count - 1));
        assert_eq!((own(&lines(LINES_MAX)), own(&lines(LINES_MAX + 1))), (Some("Cancel".into()), None));
    }

    proptest! {
        #[test]
        fn whatever_comes_own_lines_are_lines_of_the_text(text in "(On |wrote:|From:|Sent:|>|-----|2026|:|\\PC|\n){0,60}") {
            for own in own(&text).unwrap_or_default().lines() {
                prop_assert!(text.lines().any(|line| line.trim() == own));
            }
        }

        /// No line of the writer's is lost, wherever it stands: it is kept, or a person must look.
        #[test]
        fn a_word_of_doubt_is_never_left_out(at in 0usize..60, mark in "(> |>|)", doubt in "(no|do not cancel|wait|keep it|please don't|stop)") {
            let quote = format!("Cancel\n\nOn 4 May 2026, Order Pipeline wrote:\n{}-- \nAda Example", quoted("received", &mark, 72));
            let mut lines: Vec<&str> = quote.lines().collect();
            let written = format!("{mark}{doubt}");
            lines.insert(at.min(lines.len()), &written);
            let own = own(&lines.join("\n"));
            prop_assert!(own.is_none_or(|own| own.lines().any(|line| line == doubt)));
        }
    }
}
