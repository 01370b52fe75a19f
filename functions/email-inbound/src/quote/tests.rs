//! Replies with what they quote, and what is left of each as the writer's own words.

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
