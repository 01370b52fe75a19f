//! A mail as it lies in the bucket, read: headers, the one sender, the words.
//!
//! [`EmailInbound`](crate::EmailInbound) calls [`Mail::read`] with whatever the world sent. It refuses to look into
//! attachments, and to choose among several senders.

use crate::{loops, parts};
use domain::{EmailAddress, Personal};
use mail_parser::{HeaderName, HeaderValue};

/// A mail, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Names and values of the headers that are asked for ([`loops::HEADERS`]), in their order, values as they were written.
    headers: Vec<(String, Personal<String>)>,
    /// Who wrote it, if it has one `From` with one address, and no headers that were not read: another may be among them.
    pub from: Option<Sender>,
    /// Its subject, decoded.
    pub subject: Personal<String>,
    /// Its words, with what it quotes.
    pub text: Personal<String>,
    /// How many attachments it has.
    pub attachments: usize,
    /// Whether its words are all that it says: nothing is broken, too deep or too much.
    pub complete: bool,
}

/// Who wrote a mail.
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
        let parts::Split { headers: message, all, body } = parts::split(bytes);
        let message = message?;
        let root = message.parts.first()?;
        let raw = |from: u32, to: u32| bytes.get(from as usize..to as usize).unwrap_or_default();
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
        let (text, found) = parts::words(&message, body);
        Some(Self {
            headers: headers.collect(),
            from,
            subject: Personal(message.subject().unwrap_or_default().to_owned()),
            text: Personal(text),
            attachments: found.attachments,
            complete: all && !found.incomplete,
        })
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
