//! A mail as it lies in the bucket, read: headers, the one sender, the words.
//!
//! [`EmailInbound`](crate::EmailInbound) calls [`Mail::read`] with whatever the world sent. It does not look into
//! attachments, and to choose among several senders.

use crate::{loops, parts};
use domain::{EmailAddress, Personal};
use mail_parser::{HeaderName, HeaderValue};
use std::{borrow::Cow, collections::HashSet};

/// The separator of two readings that differ.
const OTHER_READING: &str = "[The same mail in HTML says something else:]";
/// Most words of a reading that are compared with those of the other: some four pages. What differs later is in the bucket.
const COMPARED_WORDS_MAX: usize = 2000;

/// A mail, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Names and values of the headers that are asked for ([`loops::HEADERS`]), in their order, values as they were written.
    headers: Vec<(String, Personal<String>)>,
    /// The author, if it has one `From` with one address, and no headers that were not read: another may be among them.
    pub from: Option<Sender>,
    /// Its subject, decoded.
    pub subject: Personal<String>,
    /// Its words, with what it quotes: in plain text, where it has both.
    pub text: Personal<String>,
    /// Its words in HTML, where it has both. Some readers see these, some those.
    pub other: Option<Personal<String>>,
    /// How many attachments it has.
    pub attachments: usize,
    /// How many of them may say something: all but signatures.
    pub enclosures: usize,
    /// Whether its words are all that it says: nothing is broken, too deep or too much.
    pub complete: bool,
    /// Whether its words and its subject are what a reader sees, none guessed, missing or hidden.
    pub certain: bool,
}

/// The author of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender {
    /// Their address.
    pub address: EmailAddress,
    /// Their name, as they give it.
    pub name: Option<Personal<String>>,
}

impl Mail {
    /// Reads a mail. [`None`] where there is not even a header, which is nothing that SES stores.
    ///
    /// The bytes may be cut: what is there is read.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let parts::Split { headers: message, all, certain, body } = parts::split(bytes);
        let message = message?;
        let root = message.parts.first()?;
        let raw = |from: u32, to: u32| message.raw_message.get(from as usize..to as usize).unwrap_or_default();
        let asked_for = |name: &str| loops::HEADERS.iter().any(|asked| asked.eq_ignore_ascii_case(name));
        let headers = root.headers.iter().filter(|header| asked_for(header.name.as_str())).map(|header| {
            let value = String::from_utf8_lossy(raw(header.offset_start, header.offset_end)).trim().to_owned();
            (header.name.as_str().to_owned(), Personal(value))
        });
        let mut from = root.headers.iter().filter(|header| header.name == HeaderName::From);
        let from = match (from.next(), from.next()) {
            (Some(only), None) if all => sender(&only.value),
            _ => None,
        };
        let subject = message.subject().unwrap_or_default().to_owned();
        let one_subject = root.headers.iter().filter(|header| header.name == HeaderName::Subject).count() <= 1;
        let certain = one_subject && !subject.contains(char::REPLACEMENT_CHARACTER) && (certain || subject.is_ascii());
        let (words, found) = parts::words(&message, body);
        Some(Self {
            headers: headers.collect(),
            from,
            subject: Personal(subject),
            text: Personal(words.text),
            other: words.other.map(Personal),
            attachments: found.attachments,
            enclosures: found.attachments - found.signatures,
            complete: all && !found.incomplete,
            certain: certain && !found.doubtful,
        })
    }

    /// All that it says, once in each way in which somebody may read it.
    pub fn readings(&self) -> impl Iterator<Item = &str> {
        [Some(&self.text), self.other.as_ref()].into_iter().flatten().map(|words| words.0.as_str())
    }

    /// Its words for people: both readings, if they do not say the same.
    pub fn words(&self) -> Cow<'_, str> {
        match &self.other {
            Some(other) if !say_the_same(&self.text.0, &other.0) => {
                Cow::Owned(format!("{}\n\n{OTHER_READING}\n\n{}", self.text.0.trim_end(), other.0))
            }
            _ => Cow::Borrowed(&self.text.0),
        }
    }

    /// The values of the headers `name`, one of [`loops::HEADERS`], in their order.
    pub fn header<'m>(&'m self, name: &'m str) -> impl Iterator<Item = &'m str> {
        self.headers.iter().filter(move |(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.0.as_str())
    }
}

fn sender(value: &HeaderValue<'_>) -> Option<Sender> {
    let HeaderValue::Address(addresses) = value else { return None };
    let mut addresses = addresses.iter();
    let (Some(only), None) = (addresses.next(), addresses.next()) else { return None };
    let address = only.address.as_deref()?.parse().ok()?;
    Some(Sender { address, name: only.name.as_deref().map(|name| Personal(name.to_owned())) })
}

/// Whether two readings of one mail have nearly the same words: of each, four of five are the other's. Programs that write both break
/// lines, mark quotes and name links in their own ways.
fn say_the_same(one: &str, other: &str) -> bool {
    let words = |text: &str| -> HashSet<String> {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        words.take(COMPARED_WORDS_MAX).map(str::to_lowercase).collect()
    };
    let (one, other) = (words(one), words(other));
    let common = one.intersection(&other).count();
    common * 5 >= one.len() * 4 && common * 5 >= other.len() * 4
}
