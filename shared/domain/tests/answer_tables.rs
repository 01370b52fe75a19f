//! The two answer tables of `docs/architecture.md` are those of the code, cell for cell.
//!
//! A cell reads `what is done → the events that may answer`, `→ the answer` where the record answers by itself, or `✗`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what is not as these tests expect fails them, helpers included")]

use domain::{
    Asked, Currency, Event, Money, Timestamp,
    event::PaymentRef,
    inventory::{self, Known as Reservation},
    payment::{self, Known as Payment},
};
use std::{collections::BTreeSet, fs, path::Path};

/// The columns, in their order.
const ASKED: [Asked; 3] = [Asked::Placed, Asked::Shipped, Asked::Cancelled];

/// The rows of the table whose first heading is `heading`: the names of records, then a cell for each of [`ASKED`].
fn table(heading: &str) -> Vec<(Vec<String>, [String; 3])> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/architecture.md");
    let text = fs::read_to_string(page).unwrap();
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&format!("| {heading} |")));
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let columns = ASKED.map(|asked| format!("`{}`", asked.stem()));
    assert_eq!(cells(lines.next().unwrap())[1..], columns);
    let rows = lines.skip(1).take_while(|line| line.starts_with('|')).map(|line| {
        let cells = cells(line);
        (cells[0].split(", ").map(str::to_owned).collect(), cells[1..].to_vec().try_into().unwrap())
    });
    rows.collect()
}

/// Holds a table against `cell`: what is done (`None` for ✗, nothing for an answer), and the answer of a record that has one.
fn hold_against<K>(stage: &str, records: &[(&'static str, K)], cell: impl Fn(&K, Asked) -> Option<(&'static str, Option<Event>)>) {
    let rows = table(&format!("{stage}'s record"));
    let listed: BTreeSet<_> = rows.iter().flat_map(|(names, _)| names.clone()).collect();
    assert_eq!(listed, records.iter().map(|(name, _)| (*name).to_owned()).collect());
    for (names, cells) in rows {
        for (name, record) in records.iter().filter(|(name, _)| names.contains(&(*name).to_owned())) {
            for (asked, text) in ASKED.into_iter().zip(&cells) {
                let at = format!("{stage}, {name} × {}: {text}", asked.stem());
                match cell(record, asked) {
                    None => assert_eq!(text, "✗", "{at}"),
                    Some((done, answer)) => {
                        let (verbs, answers) = text.split_once('→').unwrap_or_else(|| panic!("{at}: the code does `{done}`"));
                        assert_eq!(verbs.trim().split(", ").next(), Some(done), "{at}");
                        let answers: Vec<_> = answers.split('/').map(|answer| format!("{stage}.{}", answer.trim())).collect();
                        if let Some(event) = answer {
                            assert!(answers.contains(&event.event_type().stem().to_owned()), "{at}: the code answers {event:?}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn the_payment_table_of_the_page_is_the_one_of_the_code() {
    use payment::{Hold, Refused, State, Step};
    let at = Timestamp::UNIX_EPOCH;
    let hold = Hold {
        payment: PaymentRef("pi_1".into()),
        amount: Money { amount_minor: 1, currency: Currency::EUR },
        capture_before: at,
        authorized_at: at,
        capture_refused: None,
    };
    let (code, waiting) = (|| "code".to_owned(), hold.clone());
    let states = [
        State::Claimed { payment: hold.payment.clone(), confirm_refused: None },
        State::Authorized(hold.clone()),
        State::Declined { payment: Some(hold.payment.clone()), code: code(), declined_at: at },
        State::Captured { hold: hold.clone(), captured_at: at },
        State::Uncollected { hold, capture_code: code(), uncollected_at: at },
        State::Voided { voided_at: at },
        State::Closed { closed_at: at },
    ];
    let known = |state: &Option<State>| state.as_ref().map_or(Payment::None, Payment::from);
    let mut records: Vec<_> = std::iter::once(None).chain(states.map(Some)).map(|state| (known(&state).name(), state)).collect();
    // A refusal for now is no state, and a row all the same. Its next try is due.
    let refused = Some(Refused { tries: 1, code: code(), at, next_try_at: at });
    records.extend([
        ("claimed and refused for now", Some(State::Claimed { payment: waiting.payment.clone(), confirm_refused: refused.clone() })),
        ("authorized and refused for now", Some(State::Authorized(Hold { capture_refused: refused, ..waiting }))),
    ]);
    hold_against("payment", &records, |state, asked| {
        Some(match payment::decide(&known(state), asked, at).ok()? {
            Step::Claim => ("claim", None),
            Step::Confirm(_) => ("confirm", None),
            Step::ConfirmAgain { .. } => ("confirm again", None),
            Step::Wait(_) => ("wait", None),
            Step::Capture(_) => ("capture", None),
            Step::Cancel(_) => ("cancel", None),
            Step::Close => ("close", None),
            Step::Answer => ("", payment::answers(state.as_ref().unwrap(), asked).unwrap().map(|(event, _)| event)),
        })
    });
}

#[test]
fn the_inventory_table_of_the_page_is_the_one_of_the_code() {
    use inventory::{State, Step};
    let (at, items) = (Timestamp::UNIX_EPOCH, Vec::new);
    let states = [
        State::Reserved { items: items(), reserved_at: at },
        State::Rejected { short: Vec::new(), rejected_at: at },
        State::Committed { items: items(), reserved_at: at, committed_at: at },
        State::Released { released_at: at },
        State::Closed { closed_at: at },
    ];
    let known = |state: &Option<State>| state.as_ref().map_or(Reservation::None, Reservation::from);
    let records: Vec<_> = std::iter::once(None).chain(states.map(Some)).map(|state| (known(&state).name(), state)).collect();
    hold_against("inventory", &records, |state, asked| {
        Some(match inventory::decide(&known(state), asked).ok()? {
            Step::Reserve => ("reserve", None),
            Step::Commit => ("commit", None),
            Step::Release(_) => ("release", None),
            Step::Close => ("close", None),
            Step::Answer => ("", Some(inventory::answers(state.as_ref().unwrap(), asked).unwrap().0)),
        })
    });
}
