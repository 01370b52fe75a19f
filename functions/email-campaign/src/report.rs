//! The outcome of every line of the list: the decision whether that can be said, and the report.
//!
//! [`EmailCampaign`](crate::EmailCampaign) asks when the list is worked through. It does not report what may still change:
//! a row that another worker may be about to complete is waited for.

use crate::{
    list::{Entry, Line},
    row::{Skip, State},
};
use domain::{CustomerId, Timestamp};
use lambda_kit::Failure;
use serde::Serialize;
use std::{borrow::Cow, collections::HashMap, time::Duration};

/// How old a claim must be to be called in doubt. A function lives 60 s; the invocation behind an older claim has ended. The
/// rest is for clocks that differ.
pub const IN_DOUBT_AFTER: Duration = Duration::from_secs(90);

/// How far a campaign is that has reached the end of its list.
#[derive(Debug, PartialEq, Eq)]
pub enum ReportState {
    /// Every recipient's row is final: the report, and how many lines have which result.
    Over(Vec<u8>, Counts),
    /// Somebody may be at work on a claim: check again after this time.
    Wait(Duration),
    /// The recipient of this line has no row, or a released one: another worker gave it back.
    Unfinished(u32),
}

/// How many lines have which result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// SES has the mail.
    pub sent: u32,
    /// SES will never take it.
    pub failed: u32,
    /// Not to be mailed: no customer, no consent, suppressed.
    pub skipped: u32,
    /// Whether a mail went out is unknown, and it is never sent again.
    pub in_doubt: u32,
    /// Duplicates, invalid addresses, invalid lines.
    pub unusable: u32,
}

/// A line of the report.
#[derive(Serialize)]
struct Row<'l> {
    line: u32,
    address: Cow<'l, str>,
    result: String,
    message_id: &'l str,
}

/// How far the campaign over `lines` is at `now`, by the rows of its recipients.
///
/// # Errors
/// A bug, where the report cannot be written as CSV.
pub fn standing(lines: &[Line], rows: &HashMap<CustomerId, State>, now: Timestamp) -> Result<ReportState, Failure> {
    let mut wait = Duration::ZERO;
    for line in lines {
        let Entry::Recipient(recipient) = &line.entry else { continue };
        match rows.get(&recipient.customer_id) {
            None | Some(State::Released { .. }) => return Ok(ReportState::Unfinished(line.number)),
            Some(State::Sending { claimed_at, .. }) => {
                // A claim from the future is as old as one of now.
                let age = Duration::try_from(now.duration_since(*claimed_at)).unwrap_or_default();
                wait = wait.max(IN_DOUBT_AFTER.saturating_sub(age));
            }
            Some(State::Sent { .. } | State::Failed { .. } | State::Skipped { .. }) => {}
        }
    }
    if !wait.is_zero() {
        return Ok(ReportState::Wait(wait));
    }
    let unwritable = |error| Failure::bug("UnwritableReport", "the report cannot be written as CSV").caused_by(error);
    let mut counts = Counts::default();
    let mut writer = csv::Writer::from_writer(Vec::new());
    if lines.is_empty() {
        writer.write_record(["line", "address", "result", "message_id"]).map_err(unwritable)?;
    }
    for line in lines {
        writer.serialize(row(line, rows, &mut counts)).map_err(unwritable)?;
    }
    let report = writer.into_inner().map_err(|error| Failure::bug("UnwritableReport", error.error()))?;
    Ok(ReportState::Over(report, counts))
}

fn row<'l>(line: &'l Line, rows: &'l HashMap<CustomerId, State>, counts: &mut Counts) -> Row<'l> {
    let mut message = "";
    let of = |count: &mut u32, result: &str| {
        *count += 1;
        result.to_owned()
    };
    let result = match &line.entry {
        Entry::Duplicate => of(&mut counts.unusable, "duplicate"),
        Entry::InvalidAddress => of(&mut counts.unusable, "invalid_address"),
        Entry::InvalidLine => of(&mut counts.unusable, "invalid_line"),
        Entry::Recipient(recipient) => match rows.get(&recipient.customer_id) {
            Some(State::Sent { message_id }) => {
                message = message_id;
                of(&mut counts.sent, "sent")
            }
            Some(State::Failed { code }) => of(&mut counts.failed, &format!("failed:{code}")),
            Some(State::Skipped { skip: Skip::Unknown }) => of(&mut counts.skipped, "unknown"),
            Some(State::Skipped { skip: Skip::NoConsent }) => of(&mut counts.skipped, "no_consent"),
            Some(State::Skipped { skip: Skip::Suppressed }) => of(&mut counts.skipped, "suppressed"),
            Some(State::Sending { .. } | State::Released { .. }) | None => of(&mut counts.in_doubt, "in_doubt"),
        },
    };
    Row { line: line.number, address: inert(&line.address.0), result, message_id: message }
}

/// `text` as a cell that no spreadsheet takes for a formula: addresses are whatever people typed.
fn inert(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{Format, parse};

    fn lines() -> Vec<Line> {
        let text = "email\na@example.com\nb@example.com\nA@example.com\nnobody\n\"broken\"\"\nc@example.com\n";
        parse(text.as_bytes(), Format::Csv, &[]).unwrap()
    }

    fn id(address: &str) -> CustomerId {
        CustomerId::from_email(&address.parse().unwrap())
    }

    fn rows(c: Option<State>) -> HashMap<CustomerId, State> {
        let sent = State::Sent { message_id: "0100-a".into() };
        let skipped = State::Skipped { skip: Skip::NoConsent };
        let rows = [(id("a@example.com"), Some(sent)), (id("b@example.com"), Some(skipped)), (id("c@example.com"), c)];
        rows.into_iter().filter_map(|(id, state)| Some((id, state?))).collect()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_report_has_a_line_per_line_of_the_list() {
        let failed = State::Failed { code: "MESSAGE_REJECTED".into() };
        let ReportState::Over(report, counts) = standing(&lines(), &rows(Some(failed)), at(0)).unwrap() else { panic!("not over") };
        let expected = concat!(
            "line,address,result,message_id\n",
            "2,a@example.com,sent,0100-a\n",
            "3,b@example.com,no_consent,\n",
            "4,A@example.com,duplicate,\n",
            "5,nobody,invalid_address,\n",
            "6,,invalid_line,\n",
            "7,c@example.com,failed:MESSAGE_REJECTED,\n",
        );
        assert_eq!(String::from_utf8(report).unwrap(), expected);
        assert_eq!(counts, Counts { sent: 1, failed: 1, skipped: 1, in_doubt: 0, unusable: 3 });
    }

    #[test]
    fn a_claim_is_in_doubt_once_its_invocation_must_have_ended() {
        let sending = || Some(State::Sending { attempt: 1, claimed_at: at(100), claim: 7 });
        assert_eq!(standing(&lines(), &rows(sending()), at(130)).unwrap(), ReportState::Wait(Duration::from_secs(60)));
        assert_eq!(standing(&lines(), &rows(sending()), at(90)).unwrap(), ReportState::Wait(IN_DOUBT_AFTER), "clocks differ");
        let ReportState::Over(report, counts) = standing(&lines(), &rows(sending()), at(190)).unwrap() else { panic!("not over") };
        assert!(String::from_utf8(report).unwrap().ends_with("\n7,c@example.com,in_doubt,\n"));
        assert_eq!(counts.in_doubt, 1);
    }

    #[test]
    fn a_recipient_without_a_final_row_is_worked_on_again() {
        assert_eq!(standing(&lines(), &rows(None), at(0)).unwrap(), ReportState::Unfinished(7));
        assert_eq!(standing(&lines(), &rows(Some(State::Released { attempts: 1 })), at(0)).unwrap(), ReportState::Unfinished(7));
    }

    #[test]
    fn no_address_is_a_formula() {
        for text in ["=1+1@example.com", "+a@example.com", "-a@example.com", "@sum"] {
            assert_eq!(inert(text), format!("'{text}"));
        }
        assert_eq!(inert("ada+mugs=1@example.com"), "ada+mugs=1@example.com");
    }

    #[test]
    fn an_empty_list_has_a_report_without_lines() {
        let ReportState::Over(report, counts) = standing(&[], &HashMap::new(), at(0)).unwrap() else { panic!("not over") };
        assert_eq!((report.as_slice(), counts), (b"line,address,result,message_id\n".as_slice(), Counts::default()));
    }
}
