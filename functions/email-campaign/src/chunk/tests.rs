//! What is decided about a chunk, answer by answer.

use super::*;
use domain::Timestamp;

fn customer(n: u32) -> CustomerId {
    CustomerId::from_email(&format!("c{n}@example.com").parse().unwrap())
}

fn sending(attempt: u32) -> State {
    State::Sending { attempt, claimed_at: Timestamp::UNIX_EPOCH, claim: 7 }
}

fn wish(n: u32) -> Wish {
    Wish::new(customer(n), None, Timestamp::UNIX_EPOCH, 7)
}

#[test]
fn only_customers_who_take_marketing_mail_and_are_not_suppressed_are_mailed() {
    let of = |takes_marketing_mail, suppressed| skip(Known { takes_marketing_mail, suppressed });
    assert_eq!(of(Some(true), false), None);
    assert_eq!(of(Some(true), true), Some(Skip::Suppressed));
    assert_eq!(of(Some(false), true), Some(Skip::NoConsent));
    assert_eq!(of(Some(false), false), Some(Skip::NoConsent));
    assert_eq!(of(None, true), Some(Skip::Unknown));
    assert_eq!(of(None, false), Some(Skip::Unknown));
}

#[test]
fn a_recipient_with_a_row_is_skipped_unless_released() {
    let rows = [
        Obstacle::Nothing,
        Obstacle::Contention,
        Obstacle::Row(sending(1)),
        Obstacle::Row(State::Sent { message_id: "m".into() }),
        Obstacle::Row(State::Failed { code: "FAILED".into() }),
        Obstacle::Row(State::Skipped { skip: Skip::Unknown }),
        Obstacle::Row(State::Released { attempts: 2 }),
    ];
    let left = narrow((0..7).map(wish).collect(), rows.into());
    let again = Wish { customer_id: customer(6), becomes: sending(3), over: Some(2) };
    assert_eq!(left, [wish(0), wish(1), again]);
}

#[test]
fn a_released_recipient_who_unsubscribed_is_skipped() {
    let wish = Wish::new(customer(0), Some(Skip::NoConsent), Timestamp::UNIX_EPOCH, 7);
    assert_eq!(wish.claimed(), None);
    let left = narrow(vec![wish.clone()], vec![Obstacle::Row(State::Released { attempts: 1 })]);
    assert_eq!(left, [Wish { over: Some(1), ..wish }]);
}

#[test]
fn each_entry_has_its_own_fate() {
    let entries = vec![
        Entry::Accepted("id-0".into()),
        Entry::Refused("MESSAGE_REJECTED".into()),
        Entry::Refused("TRANSIENT_FAILURE".into()),
        Entry::Refused("TRANSIENT_FAILURE".into()),
        Entry::Refused("ACCOUNT_THROTTLED".into()),
        Entry::Silence,
        Entry::Refused("not a word of SES's: ada@example.com".into()),
    ];
    let claims: Vec<_> = [1, 1, 1, ATTEMPTS_MAX, 3, 1, 1].into_iter().zip(0..).map(|(attempt, n)| (customer(n), attempt)).collect();
    let Outcome { marks, then } = outcome(Answer::Entries(entries), &claims, false);
    let failed = |code: &str| State::Failed { code: code.into() };
    let expected = [
        (0, State::Sent { message_id: "id-0".into() }),
        (1, failed("MESSAGE_REJECTED")),
        (2, State::Released { attempts: 1 }),
        (3, failed("TRANSIENT_FAILURE")),
        (4, State::Released { attempts: 2 }),
        (6, failed("UNKNOWN")),
    ];
    assert_eq!(marks, expected.map(|(n, state)| (customer(n), state)));
    assert!(matches!(then, Then::Again(RETRY_AFTER)));
}

#[test]
fn entries_that_the_answer_does_not_have_stay_in_doubt() {
    let claims = [(customer(0), 1), (customer(1), 1)];
    let Outcome { marks, then } = outcome(Answer::Entries(vec![Entry::Accepted("id".into())]), &claims, false);
    assert_eq!((marks.len(), matches!(then, Then::On)), (1, true));
}

#[test]
fn a_fault_of_the_account_releases_and_stops_all() {
    let claims = [(customer(0), 2), (customer(1), 1), (customer(2), 1)];
    for (status, kind) in [
        ("ACCOUNT_DAILY_QUOTA_EXCEEDED", Kind::Transient),
        ("ACCOUNT_SENDING_PAUSED", Kind::Permanent),
        ("CONFIGURATION_SET_NOT_FOUND", Kind::Permanent),
        ("MAIL_FROM_DOMAIN_NOT_VERIFIED", Kind::Permanent),
    ] {
        let entries = ["TRANSIENT_FAILURE", status, "ACCOUNT_THROTTLED"].map(|status| Entry::Refused(status.into()));
        let Outcome { marks, then } = outcome(Answer::Entries(entries.into()), &claims, false);
        assert_eq!(marks[1], (customer(1), State::Released { attempts: 0 }), "not counted");
        assert_eq!(marks.len(), 3);
        let Then::Stop(failure) = then else { panic!("{status} does not stop") };
        assert_eq!((failure.kind, failure.error_type.as_str()), (kind, status));
    }
    for order in [["ACCOUNT_DAILY_QUOTA_EXCEEDED", "ACCOUNT_SUSPENDED"], ["ACCOUNT_SUSPENDED", "ACCOUNT_DAILY_QUOTA_EXCEEDED"]] {
        let entries = order.map(|status| Entry::Refused(status.into()));
        let then = outcome(Answer::Entries(entries.into()), &claims, false).then;
        assert!(matches!(then, Then::Stop(failure) if failure.error_type == "ACCOUNT_SUSPENDED"), "{order:?}");
    }
}

#[test]
fn a_call_that_ses_refuses_releases_all_of_it() {
    let claims = [(customer(0), 1), (customer(1), 4)];
    for (code, kind) in [
        ("TooManyRequestsException", None),
        ("AccountSuspendedException", Some(Kind::Permanent)),
        ("SendingPausedException", Some(Kind::Permanent)),
        ("MailFromDomainNotVerifiedException", Some(Kind::Permanent)),
        ("NotFoundException", Some(Kind::Permanent)),
        ("AccessDeniedException", Some(Kind::Permanent)),
        ("LimitExceededException", Some(Kind::Transient)),
        ("SomethingNew", Some(Kind::Transient)),
    ] {
        let Outcome { marks, then } = outcome(Answer::Refused(code.into()), &claims, true);
        let released = [(customer(0), State::Released { attempts: 0 }), (customer(1), State::Released { attempts: 3 })];
        assert_eq!(marks, released, "{code}");
        match (then, kind) {
            (Then::Again(RETRY_AFTER), None) => {}
            (Then::Stop(failure), Some(kind)) => assert_eq!((failure.kind, failure.error_type.as_str()), (kind, code)),
            (then, _) => panic!("{code}: {then:?}"),
        }
    }
}

#[test]
fn a_refused_call_is_halved_down_to_the_one_recipient() {
    for code in ["BadRequestException", "MessageRejected", "NotVerified", "ValidationException"] {
        let of = |claims: &[(CustomerId, u32)], proven| outcome(Answer::Refused(code.into()), claims, proven);
        for proven in [false, true] {
            let Outcome { marks, then } = of(&[(customer(0), 1), (customer(1), 4)], proven);
            let released = [(customer(0), State::Released { attempts: 0 }), (customer(1), State::Released { attempts: 3 })];
            assert_eq!((marks.as_slice(), matches!(then, Then::Halve)), (released.as_slice(), true), "{code}");
        }
        let Outcome { marks, then } = of(&[(customer(0), 1)], true);
        assert_eq!((&marks[0].1, matches!(then, Then::On)), (&State::Failed { code: code.into() }, true));
        let Outcome { marks, then } = of(&[(customer(0), 1)], false);
        assert_eq!(marks[0].1, State::Released { attempts: 1 });
        assert!(matches!(then, Then::Suspect(failure) if failure.kind == Kind::Permanent && failure.error_type == code));
        let Outcome { then, .. } = of(&[(customer(0), ATTEMPTS_MAX)], false);
        assert!(matches!(then, Then::Stop(failure) if failure.kind == Kind::Permanent));
    }
}

#[test]
fn a_call_without_an_answer_marks_nobody_and_stops() {
    let Outcome { marks, then } = outcome(Answer::Silence("Timeout".into()), &[(customer(0), 1)], true);
    assert_eq!(marks, []);
    assert!(matches!(then, Then::Stop(failure) if failure.kind == Kind::Transient && failure.error_type == "Timeout"));
}

#[test]
fn writes_of_a_lost_answer_are_not_written_again() {
    let sent = |n: u32| (customer(n), State::Sent { message_id: n.to_string() });
    let obstacles = vec![Obstacle::Row(sent(0).1), Obstacle::Contention, Obstacle::Nothing, Obstacle::Row(sending(2))];
    assert_eq!(unsettled((0..4).map(sent).collect(), obstacles), [sent(1), sent(2)]);
}
