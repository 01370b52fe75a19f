//! Whether a mail may be read at all, and whether its `From` may be believed.
//!
//! [`EmailInbound`](crate::EmailInbound) asks before it looks at a single word. It does not weigh: what SES does not vouch
//! for in full may be read by people, and changes nothing.

use crate::notification::{Notification, Verdict, Verdicts};
use domain::EmailAddress;

/// Why the mail is dropped unread, if it is.
///
/// Spam and viruses are not passed on to people: they are what support would be trained to ignore, and they would go out
/// again under our name. Neither is mail in the name of a domain that asks for such mail to be rejected. All other mail that
/// SES cannot vouch for is passed on and marked: plenty of small domains sign badly, and a customer's mail is not to vanish.
pub fn refusal(verdicts: &Verdicts) -> Option<&'static str> {
    match verdicts {
        Verdicts { spam: Verdict::Fail, .. } => Some("spam"),
        Verdicts { virus: Verdict::Fail, .. } => Some("virus"),
        Verdicts { dmarc: Verdict::Fail, asks_to_reject: true, .. } => Some("dmarc_reject"),
        _ => None,
    }
}

/// Whether SES vouches for it that the mail comes from the domain of `from`, the one address that we read in it.
///
/// DMARC says so where the domain takes part in it. Where it does not, SPF does, if the envelope names the same domain. SES
/// must have read the same address in `From`: two readers of one odd header can disagree, and its verdict is on what it read.
pub fn vouches_for(notification: &Notification, from: &EmailAddress) -> bool {
    let Verdicts { spam, virus, spf, dkim, dmarc, .. } = notification.verdicts;
    let clean = [spam, virus, spf, dkim].iter().all(|verdict| *verdict == Verdict::Pass);
    let envelope_domain = notification.envelope_sender.0.rsplit_once('@').map(|(_, domain)| domain);
    let speaks_for_domain = match dmarc {
        Verdict::Pass => true,
        Verdict::Fail => false,
        Verdict::Unknown => envelope_domain.is_some_and(|domain| domain.eq_ignore_ascii_case(from.domain())),
    };
    let same_reading = match notification.from.as_slice() {
        [one] => address(&one.0).as_ref() == Some(from),
        _ => false,
    };
    clean && speaks_for_domain && same_reading
}

/// The address of a `From` as SES hands it over: bare, or with a name in front of it.
fn address(text: &str) -> Option<EmailAddress> {
    let bare = text.rsplit_once('<').and_then(|(_, rest)| rest.trim_end().strip_suffix('>')).unwrap_or(text);
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Personal;

    fn notification() -> Notification {
        Notification {
            message_id: "m".into(),
            received_at: domain::Timestamp::UNIX_EPOCH,
            bucket: "b".into(),
            key: "m".into(),
            recipients: vec![],
            envelope_sender: Personal("bounces@mail.example.net".into()),
            from: vec![Personal("\"Ada <boss>\" <Ada@example.com>".into())],
            verdicts: Verdicts {
                spam: Verdict::Pass,
                virus: Verdict::Pass,
                spf: Verdict::Pass,
                dkim: Verdict::Pass,
                dmarc: Verdict::Pass,
                asks_to_reject: false,
            },
        }
    }

    fn ada() -> EmailAddress {
        "ada@example.com".parse().unwrap()
    }

    #[test]
    fn all_verdicts_must_pass() {
        assert!(vouches_for(&notification(), &ada()));
        for (verdict, name) in [(Verdict::Fail, "fail"), (Verdict::Unknown, "unknown")] {
            let place: [fn(&mut Verdicts) -> &mut Verdict; 5] =
                [|v| &mut v.spam, |v| &mut v.virus, |v| &mut v.spf, |v| &mut v.dkim, |v| &mut v.dmarc];
            for (index, place) in place.into_iter().enumerate() {
                let mut notification = notification();
                *place(&mut notification.verdicts) = verdict;
                assert!(!vouches_for(&notification, &ada()), "{name} at {index}");
            }
        }
    }

    #[test]
    fn without_dmarc_the_envelope_must_name_the_same_domain() {
        let mut notification = notification();
        notification.verdicts.dmarc = Verdict::Unknown;
        for (sender, believed) in [
            ("bounces@mail.example.net", false),
            ("bounces+x@EXAMPLE.com", true),
            ("ada@mail.example.com", false),
            ("ada@example.com.example.net", false),
            ("example.com", false),
            ("", false),
        ] {
            notification.envelope_sender = Personal(sender.into());
            assert_eq!(vouches_for(&notification, &ada()), believed, "{sender}");
        }
        // Mail that fails DMARC is not saved by its envelope.
        notification.envelope_sender = Personal("ada@example.com".into());
        notification.verdicts.dmarc = Verdict::Fail;
        assert!(!vouches_for(&notification, &ada()));
    }

    #[test]
    fn ses_must_have_read_the_same_one_address() {
        let mut notification = notification();
        for from in [
            vec![],
            vec!["mallory@example.org"],
            vec!["ada@example.com", "mallory@example.org"],
            vec!["\"ada@example.com\" <mallory@example.org>"],
        ] {
            notification.from = from.iter().map(|text| Personal((*text).into())).collect();
            assert!(!vouches_for(&notification, &ada()), "{from:?}");
        }
    }

    #[test]
    fn spam_viruses_and_what_its_domain_disowns_are_dropped_and_nothing_else() {
        let mut verdicts = notification().verdicts;
        assert_eq!(refusal(&verdicts), None);
        verdicts.dmarc = Verdict::Fail;
        assert_eq!(refusal(&verdicts), None, "the domain did not ask for it");
        verdicts.asks_to_reject = true;
        assert_eq!(refusal(&verdicts), Some("dmarc_reject"));
        verdicts.spam = Verdict::Fail;
        assert_eq!(refusal(&verdicts), Some("spam"));
        (verdicts.spam, verdicts.virus) = (Verdict::Unknown, Verdict::Fail);
        assert_eq!(refusal(&verdicts), Some("virus"));
    }
}
