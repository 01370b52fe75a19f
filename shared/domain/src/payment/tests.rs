//! The answer table of a payment.

use super::*;
use crate::event::CancelReason;

#[test]
fn a_failed_capture_names_the_hold_that_was_refused() {
    let state = State::Uncollected { hold: hold(), capture_code: "expired".into(), uncollected_at: at() };
    let Ok(Some((Event::PaymentCaptureFailed(said), _))) = answers(&state, Asked::Shipped) else { panic!() };
    assert_eq!(said.payment, Some(hold().payment));
    // Events of an earlier version are read too.
    let json = serde_json::json!({"amount": {"amount_minor": 1, "currency": "EUR"}, "code": "expired"});
    assert_eq!(serde_json::from_value::<PaymentCaptureFailed>(json).unwrap().payment, None);
}

fn hold() -> Hold {
    Hold {
        payment: PaymentRef("pi_1".into()),
        amount: Money { amount_minor: 2400, currency: crate::Currency::EUR },
        capture_before: Timestamp::from_second(700).unwrap(),
        authorized_at: Timestamp::from_second(100).unwrap(),
        capture_refused: None,
    }
}
fn at() -> Timestamp {
    Timestamp::from_second(200).unwrap()
}
fn states() -> Vec<State> {
    vec![
        State::Claimed { payment: PaymentRef("pi_1".into()), confirm_refused: None },
        State::Authorized(hold()),
        State::Declined { payment: Some(PaymentRef("pi_1".into())), code: "card_declined".into(), declined_at: at() },
        State::Captured { hold: hold(), captured_at: at() },
        State::Uncollected { hold: hold(), capture_code: "expired".into(), uncollected_at: at() },
        State::Voided { voided_at: at() },
        State::Closed { closed_at: at() },
    ]
}

/// A cell of the table: what to do, or the stem of the answer, or `✗`.
fn cell(record: Option<&State>, asked: Asked) -> &'static str {
    let known = record.map_or(Known::None, Known::from);
    match decide(&known, asked, at()) {
        Err(_) => "✗",
        Ok(Step::Claim) => "claim",
        Ok(Step::Confirm(_)) => "confirm",
        Ok(Step::ConfirmAgain { .. }) => "confirm again",
        Ok(Step::Wait(_)) => "wait",
        Ok(Step::Capture(_)) => "capture",
        Ok(Step::Cancel(_)) => "cancel",
        Ok(Step::Close) => "close",
        Ok(Step::Answer) => answers(record.unwrap(), asked).unwrap().unwrap().0.event_type().stem(),
    }
}

/// The table of the design, cell for cell.
#[test]
fn every_cell_of_the_answer_table() {
    let table = [
        ("none", "claim", "✗", "close"),
        ("claimed", "confirm", "✗", "cancel"),
        ("authorized", "payment.authorized", "capture", "cancel"),
        ("declined", "payment.declined", "✗", "cancel"),
        ("captured", "payment.authorized", "payment.captured", "✗"),
        ("uncollected", "payment.authorized", "payment.capture_failed", "✗"),
        ("voided", "payment.voided", "✗", "payment.voided"),
        ("closed", "payment.voided", "✗", "payment.voided"),
    ];
    let records = std::iter::once(None).chain(states().into_iter().map(Some));
    for (record, (name, placed, shipped, cancelled)) in records.zip(table) {
        let record = record.as_ref();
        assert_eq!(record.map_or(Known::None, Known::from).name(), name);
        assert_eq!(cell(record, Asked::Placed), placed, "{name} × order.placed");
        assert_eq!(cell(record, Asked::Shipped), shipped, "{name} × order.shipped");
        assert_eq!(cell(record, Asked::Cancelled), cancelled, "{name} × order.cancelled");
    }
}

const fn refused(tries: u32, next_try_s: i64) -> Refused {
    let next_try_at = Timestamp::constant(next_try_s, 0);
    Refused { tries, code: String::new(), at: Timestamp::constant(150, 0), next_try_at }
}

#[test]
fn what_is_refused_for_now_waits_until_its_next_try() {
    for (next_try_s, on_placed, on_shipped) in [(201, "wait", "wait"), (200, "confirm again", "capture"), (1, "confirm again", "capture")] {
        let claimed = State::Claimed { payment: PaymentRef("pi_1".into()), confirm_refused: Some(refused(1, next_try_s)) };
        assert_eq!(Known::from(&claimed).name(), "claimed");
        let cells = [Asked::Placed, Asked::Shipped, Asked::Cancelled].map(|asked| cell(Some(&claimed), asked));
        assert_eq!(cells, [on_placed, "✗", "cancel"], "the next try at {next_try_s}");

        let held = State::Authorized(Hold { capture_refused: Some(refused(1, next_try_s)), ..hold() });
        assert_eq!(Known::from(&held).name(), "authorized");
        let cells = [Asked::Placed, Asked::Shipped, Asked::Cancelled].map(|asked| cell(Some(&held), asked));
        assert_eq!(cells, ["payment.authorized", on_shipped, "cancel"], "the next try at {next_try_s}");
    }
}

#[test]
fn a_confirmation_is_tried_three_times_within_six_minutes() {
    let mut state = State::Claimed { payment: PaymentRef("pi_1".into()), confirm_refused: None };
    let mut tries_at = vec![0];
    loop {
        let now = Timestamp::from_second(tries_at[tries_at.len() - 1]).unwrap();
        match refused_for_now(&state, "processing_error", now).unwrap() {
            Refusal::Store(Change::ConfirmRefused(refused)) => {
                assert_eq!((refused.tries as usize, refused.at), (tries_at.len(), now));
                tries_at.push(refused.next_try_at.as_second());
                state = State::Claimed { payment: PaymentRef("pi_1".into()), confirm_refused: Some(refused) };
            }
            Refusal::Store(Change::Declined { code, at }) => break assert_eq!((code.as_str(), at), ("processing_error", now)),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(tries_at, [0, 30, 330]);
}

#[test]
fn a_capture_is_tried_until_the_margin_before_its_hold_lapses() {
    let tries = |hold_s: i64, late_s: i64| {
        let capture_before = Timestamp::from_second(hold_s).unwrap();
        let mut hold = Hold { capture_before, ..hold() };
        let mut tries_at = vec![0];
        loop {
            let now = Timestamp::from_second(tries_at[tries_at.len() - 1]).unwrap();
            match refused_for_now(&State::Authorized(hold.clone()), "try_again_later", now).unwrap() {
                Refusal::Store(Change::CaptureRefused(refused)) => {
                    tries_at.push(refused.next_try_at.as_second() + late_s);
                    hold.capture_refused = Some(refused);
                }
                Refusal::Final => break tries_at,
                other => panic!("{other:?}"),
            }
        }
    };
    let (day, margin) = (24 * 3_600, CAPTURE_MARGIN.as_secs());
    let week = tries(7 * day, 0);
    assert_eq!(week[..9], [0, 300, 900, 2_100, 4_500, 9_300, 18_900, 38_100, 76_500], "doubling");
    assert_eq!((week.len(), week[week.len() - 1]), (22, 7 * day - margin), "fewer than receives, and as late as it may be");
    assert_eq!(tries(day, 0).last(), Some(&(day - margin)));
    assert!(*tries(7 * day, 900).last().unwrap() < 7 * day, "a delivery that comes late still finds the hold");
    // Too near its end for another one, and just before.
    for short in [0, margin - 1, margin] {
        assert_eq!(tries(short, 0), [0], "{short} s");
    }
    assert_eq!((tries(margin + 1, 0), tries(margin + 300, 0)), (vec![0, 1], vec![0, 300]));
}

#[test]
fn what_waits_for_no_bank_is_not_refused_for_now() {
    for state in &states()[2..] {
        assert_eq!(refused_for_now(state, "processing_error", at()), None, "{state:?}");
    }
}

#[test]
fn a_record_that_has_not_done_what_was_asked_does_not_answer() {
    let [claimed, authorized, declined, ..] = &states()[..] else { panic!() };
    assert_eq!(answers(claimed, Asked::Placed), Ok(None));
    for unfinished in [claimed, authorized, declined] {
        assert!(answers(unfinished, Asked::Shipped).is_err());
        assert!(answers(unfinished, Asked::Cancelled).is_err());
    }
}

#[test]
fn answers_take_their_time_from_the_record() {
    for (state, expected) in states().iter().zip([None, Some(100), Some(200), Some(100), Some(100), Some(200), Some(200)]) {
        assert_eq!(answers(state, Asked::Placed).unwrap().map(|(_, time)| time.as_second()), expected);
    }
}

#[test]
fn records_are_stored_flat_and_read_back() {
    let waits = [
        State::Claimed { payment: PaymentRef("pi_1".into()), confirm_refused: Some(refused(2, 300)) },
        State::Authorized(Hold { capture_refused: Some(refused(2, 300)), ..hold() }),
        State::Captured { hold: Hold { capture_refused: Some(refused(2, 300)), ..hold() }, captured_at: at() },
    ];
    for state in states().into_iter().chain(waits) {
        let record = Payment { order_id: "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9".parse().unwrap(), state };
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!(json["state"], Known::from(&record.state).name());
        assert_eq!(serde_json::from_value::<Payment>(json).unwrap(), record);
    }
}

#[test]
fn what_shipping_knew_is_what_payment_assumes() {
    let cancelled = |reason, payment| cancelled_finds(&OrderCancelled { reason, payment, items: None });
    assert_eq!(cancelled(CancelReason::OutOfStock, Some(PaymentRef("pi_1".into()))), Known::Authorized(PaymentRef("pi_1".into())));
    assert_eq!(cancelled(CancelReason::PaymentDeclined, None), Known::None);
    assert_eq!(cancelled(CancelReason::CustomerAsked, None), Known::None);
}
