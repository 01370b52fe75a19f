//! Whether somebody clearly wants their order cancelled, and nothing else.
//!
//! [`EmailInbound`](crate::EmailInbound) asks it of a reply's own words. It does not guess: every word must have its place
//! in the grammar below, because a reply that is not understood is read by a person, and an order that is cancelled by
//! mistake is not shipped by an apology.
//!
//! ```text
//! [greeting] opening* "cancel" [object] (courtesy | name of the customer)*
//!
//! opening   please · yes · I'd like to · I want to · could you · …
//! object    it · my order · the whole order · order number <the order's id> · …
//! courtesy  please · thanks · many thanks in advance · kind regards · asap · …
//! ```

use crate::quote::{self, Ours};
use domain::OrderId;

/// More words than any wish within the grammar has.
const WORDS_MAX: usize = 40;

const GREETINGS: [&str; 5] = ["hi", "hello", "hey", "dear", "greetings"];
const GREETED: [&str; 13] =
    ["there", "team", "all", "everyone", "support", "customer", "service", "care", "sir", "madam", "or", "order", "pipeline"];
const OPENINGS: [&[&str]; 15] = [
    &["please"],
    &["pls"],
    &["kindly"],
    &["yes"],
    &["i", "would", "like", "to"],
    &["i", "would", "like", "you", "to"],
    &["i'd", "like", "to"],
    &["i'd", "like", "you", "to"],
    &["i", "want", "to"],
    &["i", "want", "you", "to"],
    &["i", "wish", "to"],
    &["i", "need", "to"],
    &["can", "you"],
    &["could", "you"],
    &["would", "you"],
];
const PRONOUNS: [&str; 4] = ["it", "this", "that", "everything"];
const DETERMINERS: [&str; 5] = ["my", "the", "this", "that", "our"];
const ADJECTIVES: [&str; 4] = ["whole", "entire", "complete", "full"];
const NUMBER: [&str; 4] = ["number", "no", "nr", "id"];
/// No two of these, in whatever order, say the opposite of a wish.
const COURTESY: [&str; 36] = [
    "please",
    "pls",
    "thank",
    "thanks",
    "thx",
    "ty",
    "you",
    "very",
    "so",
    "much",
    "many",
    "a",
    "lot",
    "in",
    "advance",
    "as",
    "soon",
    "possible",
    "asap",
    "now",
    "today",
    "immediately",
    "right",
    "away",
    "with",
    "best",
    "kind",
    "warm",
    "regards",
    "greetings",
    "wishes",
    "cheers",
    "sincerely",
    "yours",
    "truly",
    "faithfully",
];
/// Words that speak against a wish, and are never taken for a name, whatever a customer is called.
const AGAINST: [&str; 24] = [
    "no", "not", "never", "don't", "dont", "don", "stop", "wait", "keep", "hold", "undo", "ship", "send", "unless", "but", "if", "except",
    "only", "instead", "later", "changed", "nicht", "nein", "doch",
];
/// Characters that people write beside letters and digits. Others can mean anything: to cross words out, or "no" as a picture.
const PLAIN: [char; 28] = [
    '.', ',', '!', '?', ':', ';', '-', '–', '—', '\'', '’', '‘', '"', '“', '”', '„', '(', ')', '/', '&', '…', '*', '_', '#', '🙏', '🙂',
    '😊', '👍',
];
/// What replies and forwards have in front of a subject, in the languages of mail programs, and the marks of mail servers.
const REPLY_MARKS: [&str; 12] = ["re", "aw", "sv", "antw", "rv", "fwd", "fw", "wg", "tr", "external", "ext", "extern"];
/// Words of a subject that say nothing but what the mail is about.
const SUBJECT_WORDS: [&str; 15] =
    ["order", "orders", "my", "your", "the", "of", "number", "nr", "id", "cancel", "cancellation", "request", "please", "hello", "hi"];

/// Whether `own`, the writer's own words, asks to cancel the order `order_id`, and nothing else. `names` are the customer's.
pub fn asks_to_cancel(own: &str, order_id: &OrderId, names: &[&str]) -> bool {
    let words = words(own);
    if words.len() > WORDS_MAX || !own.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || PLAIN.contains(&c)) {
        return false;
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (asked, rest) = opened(greeted(&words));
    let Some(("cancel", rest)) = rest.split_first().map(|(verb, rest)| (*verb, rest)) else { return false };
    // "Cancel my order?" asks something; "could you cancel my order?" is how polite people demand.
    if own.contains('?') && !asked {
        return false;
    }
    let names: Vec<_> = names.iter().flat_map(|name| self::words(name)).collect();
    after_object(rest, &order_id.to_string()).iter().all(|word| COURTESY.contains(word) || is_name(word, &names))
}

/// Whether a subject says nothing that the reply below it does not: it is that of one of `ours`, or names the order or the wish alone.
pub fn adds_nothing(subject: &str, order_id: &OrderId, ours: &Ours) -> bool {
    let words = quote::words(subject);
    let about = without_reply_marks(&words);
    let id = quote::words(&order_id.to_string());
    let says_nothing = |word: &String| SUBJECT_WORDS.contains(&word.as_str()) || id.contains(word);
    ours.is_subject(about) || about.iter().all(says_nothing) && subject.chars().all(|c| c.is_alphanumeric() || is_between(c))
}

/// The words of a subject behind `Re:` and its like.
pub(crate) fn without_reply_marks(words: &[String]) -> &[String] {
    let marks = words.iter().take_while(|word| REPLY_MARKS.contains(&word.as_str())).count();
    &words[marks..]
}

/// Whether a word, in lower case, speaks against a wish.
pub(crate) fn speaks_against(word: &str) -> bool {
    AGAINST.contains(&word)
}

/// Whether a character stands between words and says nothing.
fn is_between(c: char) -> bool {
    c.is_whitespace() || matches!(c, '[' | ']') || PLAIN.contains(&c)
}

/// The words after the greeting, if there is one.
fn greeted<'w>(words: &'w [&'w str]) -> &'w [&'w str] {
    match words {
        [greeting, rest @ ..] if GREETINGS.contains(greeting) => {
            rest.split_at(rest.iter().take_while(|word| GREETED.contains(word)).count()).1
        }
        ["good", "morning" | "afternoon" | "evening" | "day", rest @ ..] => rest,
        _ => words,
    }
}

/// The words after the openings, and whether one of them is a question by its grammar.
fn opened<'w>(mut words: &'w [&'w str]) -> (bool, &'w [&'w str]) {
    let mut asked = false;
    while let Some((opening, rest)) = OPENINGS.iter().find_map(|opening| Some((opening, words.strip_prefix(*opening)?))) {
        asked |= opening.last() == Some(&"you");
        words = rest;
    }
    (asked, words)
}

/// The words after the object, which need not be there.
fn after_object<'w>(words: &'w [&'w str], order_id: &str) -> &'w [&'w str] {
    let skip = |words: &'w [&'w str], of: &[&str]| match words {
        [word, rest @ ..] if of.contains(word) => rest,
        _ => words,
    };
    let noun = skip(skip(words, &DETERMINERS), &ADJECTIVES);
    match noun {
        // Without the id behind it, "no" is no number: "cancel my order no thanks".
        ["order" | "purchase", number, id, rest @ ..] if NUMBER.contains(number) && *id == order_id => rest,
        ["order" | "purchase", rest @ ..] => skip(rest, &[order_id]),
        _ => skip(words, &[PRONOUNS.as_slice(), &[order_id]].concat()),
    }
}

/// A name of the customer, or its first letter.
fn is_name(word: &str, names: &[String]) -> bool {
    let initial = |name: &String| word.chars().count() == 1 && name.starts_with(word);
    !speaks_against(word) && names.iter().any(|name| name == word || initial(name))
}

/// The words of a text, in lower case, without what stands between them; no more than it takes to see that there are too many.
fn words(text: &str) -> Vec<String> {
    let between = |c: char| !(c.is_alphanumeric() || matches!(c, '-' | '\'' | '’'));
    let bare = text.split(between).map(|word| word.trim_matches(['-', '\'', '’']));
    bare.filter(|word| !word.is_empty()).take(WORDS_MAX + 1).map(|word| word.to_lowercase().replace('’', "'")).collect()
}

#[cfg(test)]
mod tests;
