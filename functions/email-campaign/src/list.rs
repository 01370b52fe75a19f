//! Recipient lists: CSV, or one JSON object a line, read line by line.
//!
//! [`EmailCampaign`](crate::EmailCampaign) calls it before anything is written or sent. It refuses a list as a whole where
//! mailing it would go wrong for many, or would mail nobody: no column of addresses, a column missing that the template names, text
//! that is neither UTF-8 nor UTF-16, no line at all. A fault of one line is that line's alone, and stands in the report.
//!
//! A line of the file is a line of the list: a quoted field may not go on in the next line. Were that allowed, as RFC 4180
//! does, one unclosed quote would take in every recipient after it, unnoticed.

mod decode;
mod header;

use domain::{CustomerId, EmailAddress, Personal};
use header::Header;
use lambda_kit::{Failure, text::is_blank};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashSet};

/// Largest list, in bytes. It is held in memory, parsed, beside the file itself: some 60 MB at this size.
pub const LIST_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most lines of a list. At the send rate that SES first grants for production, 14 a second, of which a campaign takes a
/// quarter, they take four hours, a third of what the queue's receives allow; and the report is read in one slice.
pub const LIST_LINES_MAX: usize = 50_000;
/// Longest line, in bytes: an address and a dozen short texts. Fifty of them stay far below what one call to SES takes.
pub const LINE_BYTES_MAX: usize = 4 * 1024;
/// Longest text of the report's address column, in characters, where the list had something else there.
const SHOWN_CHARS_MAX: usize = 254;
/// The column that every list has.
const EMAIL: &str = "email";

/// How a list is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header line.
    Csv,
    /// A JSON object a line.
    Ndjson,
}

/// A line of a list, and so of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it stands in the file, counted from 1, as editors do.
    pub number: u32,
    /// What stands where the address should; empty where nothing could be read.
    pub address: Personal<String>,
    /// The kind of the line.
    pub entry: Entry,
}

/// The kind of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Somebody to mail, if they want it.
    Recipient(Recipient),
    /// An earlier line has the same address.
    Duplicate,
    /// No mail can be sent to what stands there.
    InvalidAddress,
    /// It cannot be read, or lacks a value that the template names.
    InvalidLine,
}

/// Somebody to mail, if they want it. Each address is one only once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The customer's id, if there is one.
    pub customer_id: CustomerId,
    /// Where to.
    pub to: EmailAddress,
    /// The values of the columns that the template names. Others are not kept: SES need not know them.
    pub values: Personal<BTreeMap<String, String>>,
}

/// Reads a list for a template that names `columns`. Blank lines are none; every other line of the file has a line here.
///
/// # Errors
/// Permanent, naming what is wrong and quoting no value: the list as a whole cannot be mailed.
pub fn parse(bytes: &[u8], format: Format, columns: &[String]) -> Result<Vec<Line>, Failure> {
    if bytes.len() > LIST_BYTES_MAX {
        return Err(too_large());
    }
    let text = decode::text(bytes)?;
    let mut lines = decode::lines(&text).peekable();
    let header = match format {
        Format::Csv => Some(Header::read(&mut lines, columns)?),
        Format::Ndjson => None,
    };
    let Some((_, first)) = lines.peek() else { return Err(empty()) };
    if format == Format::Ndjson && serde_json::from_str::<Map<String, Value>>(first).is_err() {
        let why = "the first line of the list is no JSON object: each line must be a whole one, with no brackets around the list; CSV goes \
                   under a key that ends in .csv";
        return Err(refused("ListNotNdjson", why.to_owned()));
    }
    let mut seen = HashSet::new();
    let mut list = Vec::new();
    for (number, line) in lines {
        if list.len() == LIST_LINES_MAX {
            return Err(refused("ListTooLong", format!("the list has more than {LIST_LINES_MAX} lines: divide it into several campaigns")));
        }
        let fields = if line.len() > LINE_BYTES_MAX {
            None
        } else {
            header.as_ref().map_or_else(|| ndjson_line(line, columns), |header| header.line(line))
        };
        list.push(read_line(number, fields, columns, &mut seen));
    }
    Ok(list)
}

/// The list has more bytes than [`LIST_BYTES_MAX`].
pub fn too_large() -> Failure {
    refused("ListTooLarge", format!("the list has more than {LIST_BYTES_MAX} bytes: divide it into several campaigns"))
}

/// The list has no line that could be a recipient's. A campaign over it would end at once and look like one that was mailed.
fn empty() -> Failure {
    refused("ListEmpty", "the list has no line beside its header: put recipients into it".to_owned())
}

fn refused(error_type: &str, why: String) -> Failure {
    Failure::permanent(error_type, why)
}

/// The content of a line: the address, and the values that the template names, by column.
struct Fields {
    address: String,
    values: BTreeMap<String, String>,
}

fn read_line(number: u32, fields: Option<Fields>, columns: &[String], seen: &mut HashSet<CustomerId>) -> Line {
    let Some(Fields { address, values }) = fields else {
        return Line { number, address: Personal(String::new()), entry: Entry::InvalidLine };
    };
    // A line break in a value would be a line of its own in the subject; a blank one makes a mail that greets nobody.
    let sound = |text: &String| !is_blank(text) && !text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'));
    let complete = values.len() == columns.len() && values.values().all(sound);
    let entry = match address.parse::<EmailAddress>() {
        Err(_) => Entry::InvalidAddress,
        Ok(_) if !complete => Entry::InvalidLine,
        Ok(to) => {
            let customer_id = CustomerId::from_email(&to);
            if seen.insert(customer_id) {
                Entry::Recipient(Recipient { customer_id, to, values: Personal(values) })
            } else {
                Entry::Duplicate
            }
        }
    };
    let shown = address.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect();
    Line { number, address: Personal(shown), entry }
}

fn ndjson_line(line: &str, columns: &[String]) -> Option<Fields> {
    let members: Map<String, Value> = serde_json::from_str(line).ok()?;
    let text = |name: &str| match members.get(name)? {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let values = columns.iter().filter_map(|column| Some((column.clone(), text(column)?))).collect();
    Some(Fields { address: text(EMAIL)?, values })
}

#[cfg(test)]
mod tests;
