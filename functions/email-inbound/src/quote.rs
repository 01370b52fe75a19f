//! What somebody wrote themselves in a reply, without what their mail client quoted.
//!
//! [`wish`](crate::wish) is read from it. It refuses to lose a word of the writer's: where it cannot tell, it keeps the
//! line, and a reply with a line too many is read by a person.

/// Most lines of which quotes are told: a hundred pages. Of a longer reply everything is kept, and so a person reads it.
const LINES_MAX: usize = 5_000;
/// Most lines over which a client breaks "On … wrote:".
const ATTRIBUTION_LINES_MAX: usize = 4;
/// Within so many lines after "From:" Outlook's block must name another of its headers.
const BLOCK_LINES: usize = 5;
/// Lines that clients add below what was written. No sentence begins like that.
const CLIENT_LINES: [&str; 7] = [
    "Sent from my ",
    "Sent from Mail for ",
    "Sent from Outlook",
    "Sent from Yahoo Mail",
    "Sent from the Gmail",
    "Sent with Proton Mail",
    "Get Outlook for ",
];

/// The writer's own lines.
///
/// Left out are lines marked `>`; "On … wrote:"; everything below "-----Original Message-----" and its like, below
/// Outlook's block of headers, and below a signature's `-- `; and the lines in which a client praises itself. What stands
/// below a marked quote is kept: many answer there.
pub fn own_text(text: &str) -> String {
    if text.lines().nth(LINES_MAX).is_some() {
        return text.to_owned();
    }
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut own = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let rest = &lines[at..];
        if ends_here(line, rest) {
            break;
        }
        if let Some(length) = attribution(rest) {
            at += length;
            // Without marks nobody can tell where the quote ends, and clients that set none put it last.
            let next = lines[at..].iter().find(|line| !line.is_empty());
            if next.is_some_and(|line| !line.starts_with('>')) {
                break;
            }
            continue;
        }
        if !line.starts_with('>') && !CLIENT_LINES.iter().any(|praise| line.starts_with(praise)) {
            own.push(*line);
        }
        at += 1;
    }
    own.join("\n").trim().to_owned()
}

/// Whether everything from `line` on is not the writer's.
fn ends_here(line: &str, rest: &[&str]) -> bool {
    // A signature's separator is `-- `; the blank is trimmed by now, and by many servers before.
    let signature = line == "--";
    let dashed = line.starts_with("-----") && line.ends_with("-----") && line.len() > 10;
    let ruled = line.len() >= 10 && line.bytes().all(|b| b == b'_');
    let begins = |line: &str, name: &str| line.trim_start_matches('*').starts_with(name);
    let block = begins(line, "From:")
        && rest.iter().skip(1).take(BLOCK_LINES).any(|line| ["Sent:", "Date:", "To:", "Subject:"].iter().any(|name| begins(line, name)));
    signature || dashed || ruled || block || line == "Begin forwarded message:"
}

/// How many lines "On … wrote:" takes, if it begins here: in English, or in whatever language directly above a marked quote
/// and with a year in it.
fn attribution(rest: &[&str]) -> Option<usize> {
    let mut sentence = String::new();
    for (index, line) in rest.iter().take(ATTRIBUTION_LINES_MAX).enumerate() {
        if line.is_empty() || line.starts_with('>') {
            return None;
        }
        sentence.push_str(line);
        sentence.push(' ');
        if !line.ends_with(':') {
            continue;
        }
        let english = sentence.starts_with("On ") && line.ends_with("wrote:");
        let digits = sentence.split(|c: char| !c.is_ascii_digit());
        let dated = digits.into_iter().any(|digits| digits.len() == 4 && digits.starts_with("20"));
        let quoted = rest.iter().skip(index + 1).find(|line| !line.is_empty()).is_some_and(|line| line.starts_with('>'));
        return (english || (dated && quoted)).then_some(index + 1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn of_a_reply_with_too_many_lines_everything_is_kept() {
        let quoted = |lines: usize| format!("Cancel\n{}", "> no\n".repeat(lines - 1));
        assert_eq!((own_text(&quoted(LINES_MAX)), own_text(&quoted(LINES_MAX + 1))), ("Cancel".into(), quoted(LINES_MAX + 1)));
    }

    #[test]
    fn a_quote_below_is_left_out_however_the_client_marks_it() {
        let below = [
            "On Mon, May 4, 2026 at 12:20 PM Order Pipeline <orders@example.com> wrote:\n\n> Your order\n> is on its way",
            "On Mon, May 4, 2026 at 12:20 PM Order Pipeline\n<orders+1@example.com>\nwrote:\n> Your order",
            "> On 4 May 2026, at 12:20, Order Pipeline <orders@example.com> wrote:\n> \n> Your order",
            "Am 04.05.2026 um 12:20 schrieb Order Pipeline:\n> Your order",
            "On Monday, Order Pipeline wrote:\nYour order is on its way\nReply with cancel",
            "-----Original Message-----\nFrom: Order Pipeline\nYour order",
            "---------- Forwarded message ---------\nYour order",
            "________________________________\nFrom: Order Pipeline\nYour order",
            "From: Order Pipeline <orders@example.com>\nSent: Monday, May 4, 2026 12:20\nTo: Ada\nSubject: Your order\n\nYour order",
            "*From:* Order Pipeline\n*Date:* Monday\nYour order",
            "-- \nAda Example\n+49 30 1234",
            "Sent from my iPhone",
            "Get Outlook for iOS\n________________________________\nFrom: Order Pipeline",
            "Begin forwarded message:\n\nYour order",
        ];
        for quote in below {
            for end in ["\n", "\r\n"] {
                assert_eq!(own_text(&format!("Cancel please\n\n{quote}\n").replace('\n', end)), "Cancel please", "{quote}");
            }
        }
    }

    #[test]
    fn what_stands_below_a_marked_quote_is_the_writers() {
        let text = "On Mon, 4 May 2026 shop wrote:\n> Your order\n> is on its way\n\nCancel please\n> bye\nno, keep it";
        assert_eq!(own_text(text), "Cancel please\nno, keep it");
    }

    #[test]
    fn a_line_that_only_looks_like_a_quotes_is_kept() {
        for text in [
            "Cancel please\nFrom: me",
            "Cancel these:\n> the mugs",
            "On second thought\nkeep it",
            "Cancel\n---",
            "Sent from here",
            "I ordered in 2026 and you wrote: nothing",
        ] {
            let own: Vec<_> = text.lines().filter(|line| !line.starts_with('>')).collect();
            assert_eq!(own_text(text), own.join("\n"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_own_lines_are_lines_of_the_text(text in "(On |wrote:|From:|Sent:|>|-----|2026|:|\\PC|\n){0,60}") {
            for own in own_text(&text).lines() {
                prop_assert!(text.lines().any(|line| line.trim() == own));
            }
        }
    }
}
