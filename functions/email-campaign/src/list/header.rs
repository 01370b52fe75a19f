//! The header of a CSV list: which column is which, and what separates them.
//!
//! [`parse`](super::parse) calls it. Programs write headers in many ways; it reads those that can mean one thing only, and
//! does not choose between two.

use super::{EMAIL, Fields, LINE_BYTES_MAX, refused};
use csv::{ReaderBuilder, StringRecord, Terminator};
use lambda_kit::Failure;

/// The separators of fields: Excel writes semicolons where a comma is the decimal mark, databases write tabs and bars.
const SEPARATORS: [char; 4] = [',', ';', '\t', '|'];
/// The prefix of the line by which Excel is told the separator: `sep=,`.
const SEPARATOR_LINE: &str = "sep=";
/// What the column of addresses is called by programs that do not call it `email`, without blanks and signs: `E-mail`,
/// `Email Address`, `email_address`.
const EMAIL_ALIASES: [&str; 2] = [EMAIL, "emailaddress"];

/// Where in a CSV line the wanted values stand.
pub struct Header {
    separator: char,
    width: usize,
    email: usize,
    wanted: Vec<(String, usize)>,
}

impl Header {
    /// Reads the header, and the line in front of it that names the separator, where there is one.
    ///
    /// # Errors
    /// Permanent: a wanted column is missing or is there twice, or it is no header.
    pub fn read<'l>(lines: &mut impl Iterator<Item = (u32, &'l str)>, columns: &[String]) -> Result<Self, Failure> {
        let mut next = || lines.next().map(|(_, line)| line).ok_or_else(super::empty);
        let first = next()?;
        match named_separator(first) {
            None => Self::among(&SEPARATORS, first, columns),
            Some(Some(separator)) => Self::among(&[separator], next()?, columns),
            Some(None) => {
                let why =
                    "the first line of the list, `sep=`, names no separator that is understood: commas, semicolons, tabs and bars are";
                Err(refused("UnknownSeparator", why.to_owned()))
            }
        }
    }

    /// Reads the header with the one separator by which it has a column of addresses. By two of them it cannot have one, unless it is
    /// its only column.
    fn among(separators: &[char], line: &str, columns: &[String]) -> Result<Self, Failure> {
        if line.len() > LINE_BYTES_MAX {
            let why = format!("the first line of the list has more than {LINE_BYTES_MAX} bytes: it should name the columns");
            return Err(refused("HeaderTooLong", why));
        }
        for separator in separators {
            let names = names(line, *separator);
            if let Some(email) = email(&names)? {
                let wanted = columns.iter().map(|column| Ok((column.clone(), position(&names, column)?)));
                return Ok(Self { separator: *separator, width: names.len(), email, wanted: wanted.collect::<Result<_, Failure>>()? });
            }
        }
        Err(no_email_column(line))
    }

    /// [`None`] where the line has not as many fields as the header: the line does not say which of them is missing.
    pub fn line(&self, line: &str) -> Option<Fields> {
        let fields = csv_fields(line, self.separator).filter(|fields| fields.len() == self.width)?;
        let field = |place: usize| fields.get(place).unwrap_or_default().trim().to_owned();
        let values = self.wanted.iter().map(|(column, place)| (column.clone(), field(*place))).collect();
        Some(Fields { address: field(self.email), values })
    }
}

/// What `sep=` names; [`Some`] of nothing where it names no separator of ours, [`None`] where the line is another.
fn named_separator(line: &str) -> Option<Option<char>> {
    let line = line.trim_start_matches([' ', '"']);
    let begins = line.get(..SEPARATOR_LINE.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(SEPARATOR_LINE));
    begins.then(|| line.chars().nth(SEPARATOR_LINE.len()).filter(|separator| SEPARATORS.contains(separator)))
}

fn names(line: &str, separator: char) -> Vec<String> {
    let fields = csv_fields(line, separator).unwrap_or_default();
    // A byte order mark can also stand within the first quotes.
    fields.iter().map(|name| name.trim_matches(|c: char| c == '\u{feff}' || c.is_whitespace()).to_ascii_lowercase()).collect()
}

/// The column of addresses: `email`, or the only one that is called nearly so.
fn email(names: &[String]) -> Result<Option<usize>, Failure> {
    if names.iter().any(|name| name == EMAIL) {
        return position(names, EMAIL).map(Some);
    }
    let plain = |name: &String| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    let mut places = names.iter().enumerate().filter(|(_, name)| EMAIL_ALIASES.contains(&plain(name).as_str())).map(|(place, _)| place);
    match (places.next(), places.next()) {
        (place, None) => Ok(place),
        _ => Err(refused("ColumnTwice", "several columns of the list may hold the address: call the right one `email`".to_owned())),
    }
}

fn position(names: &[String], wanted: &str) -> Result<usize, Failure> {
    let mut places = names.iter().enumerate().filter(|(_, name)| *name == wanted).map(|(place, _)| place);
    match (places.next(), places.next()) {
        (Some(place), None) => Ok(place),
        (Some(_), Some(_)) => Err(refused("ColumnTwice", format!("the list has two columns `{wanted}`"))),
        (None, _) => {
            let why = format!("the list has no column `{wanted}` in its first line, and the template names it: add or rename a column");
            Err(refused("ColumnMissing", why))
        }
    }
}

/// The fault in a line that names no column of addresses. None of it is quoted: it may be a person's.
fn no_email_column(line: &str) -> Failure {
    let is_quoted_as_one = csv_fields(line, ',').is_some_and(|fields| fields.len() == 1 && line.contains('"'));
    let (error_type, why) = if line.trim_start().starts_with(['{', '[']) {
        ("ListIsJson", "the list is JSON under the name of CSV: put it under a key that ends in .ndjson, one object a line")
    } else if line.contains('@') {
        (
            "NoHeader",
            "the first line of the list holds an address where the names of the columns should be: put a line such as `email,name` above",
        )
    } else if is_quoted_as_one && line.contains(SEPARATORS) {
        ("LinesQuoted", "the first line of the list is one quoted field: export it again, with quotes around fields and not around lines")
    } else {
        ("NoEmailColumn", "no column of the list is called `email` in its first line: call the column of addresses so")
    };
    refused(error_type, why.to_owned())
}

/// The fields of one line of CSV; [`None`] where a quote is not closed.
fn csv_fields(line: &str, separator: char) -> Option<StringRecord> {
    if !line.contains('"') {
        // Most lines. Building a parser for each takes longer than all else that is done for a line.
        return Some(line.split(separator).collect());
    }
    if line.matches('"').count() % 2 == 1 {
        return None;
    }
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .delimiter(u8::try_from(separator).ok()?)
        .terminator(Terminator::Any(b'\n'))
        .buffer_capacity(LINE_BYTES_MAX)
        .from_reader(line.as_bytes());
    let mut fields = StringRecord::new();
    matches!(reader.read_record(&mut fields), Ok(true)).then_some(fields)
}
