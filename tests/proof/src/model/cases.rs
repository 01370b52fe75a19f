//! The cases: what kind of order it is, what the world does, and how much goes wrong.
//!
//! The command and the tests run them. It does not leave a bound unsaid: what a case may do is all in its fields.

use super::{
    bank::{Capture, Card, Conduct, HOLD_H},
    world::{CALM, Left},
};
use domain::event::CancelRequest;

/// A case.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name, by which it can be run alone.
    pub name: String,
    /// How many orders of one unit each.
    pub orders: usize,
    /// How many units there are.
    pub stock: u64,
    /// What the provider does.
    pub conduct: Conduct,
    /// What may happen, and how often.
    pub left: Left,
    /// Who asks to cancel each order, at any time.
    pub asked: Vec<CancelRequest>,
    /// How often `order.placed` is published besides, by order-deadline or by a customer who asks again.
    pub nudges: u8,
    /// Whether healing takes the deadline besides: the provider itself may free a hold before anybody knows that it stood, and
    /// only the deadline tells shipping that the money will never come.
    pub heals_late: bool,
    /// Whether shipping may store what it hears only when the hold has nearly lapsed.
    pub late_shipping: bool,
}

/// Less than shipping's margin of a day.
const HOLD_TOO_SHORT_H: i64 = 12;

/// How much is explored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// What a test run can wait for.
    Quick,
    /// What is promised.
    Deep,
}

const GOOD: Conduct = Conduct { card: Card::Good, capture: Capture::Succeeds, hold_h: HOLD_H };

/// The faults of its own accord: nothing.
const WELL: Left = Left { at_work: 2, ..CALM };
const CUSTOMER: CancelRequest = CancelRequest::CustomerAsked;
const DEADLINE: CancelRequest = CancelRequest::TimedOut;

fn base(name: String) -> Case {
    Case { name, orders: 1, stock: 1, conduct: GOOD, left: WELL, asked: Vec::new(), nudges: 0, heals_late: false, late_shipping: false }
}

/// The kinds of order, as far as the provider and the stock have a say in them.
fn kinds() -> Vec<(&'static str, Conduct, u64)> {
    vec![
        ("authorized", GOOD, 1),
        ("declined", Conduct { card: Card::Declined, ..GOOD }, 1),
        ("unknown-card", Conduct { card: Card::Unknown, ..GOOD }, 1),
        ("used-up-card", Conduct { card: Card::UsedUp, ..GOOD }, 1),
        ("fickle-card", Conduct { card: Card::Fickle, ..GOOD }, 1),
        ("no-stock", GOOD, 0),
        ("declined-no-stock", Conduct { card: Card::Declined, ..GOOD }, 0),
        ("unknown-card-no-stock", Conduct { card: Card::Unknown, ..GOOD }, 0),
        ("used-up-card-no-stock", Conduct { card: Card::UsedUp, ..GOOD }, 0),
        ("capture-refused", Conduct { capture: Capture::Refused, ..GOOD }, 1),
        ("capture-fickle", Conduct { capture: Capture::Fickle, ..GOOD }, 1),
        ("card-hesitates", Conduct { card: Card::Hesitant, ..GOOD }, 1),
        ("capture-hesitates", Conduct { capture: Capture::Hesitant, ..GOOD }, 1),
        ("hold-too-short", Conduct { hold_h: HOLD_TOO_SHORT_H, ..GOOD }, 1),
    ]
}

/// Every case of `bound`.
pub fn cases(bound: Bound) -> Vec<Case> {
    let deep = bound == Bound::Deep;
    let faults: &[(&str, u8, u8)] = match bound {
        Bound::Quick => &[("1-crash", 1, 0), ("1-duplicate", 0, 1)],
        Bound::Deep => &[("2-crashes", 2, 0), ("2-duplicates", 0, 2), ("1-crash-1-duplicate", 1, 1)],
    };
    let mut cases = Vec::new();
    for (faults, crashes, duplicates) in faults {
        let left = Left { crashes: *crashes, duplicates: *duplicates, expiries: 1, ..WELL };
        for (kind, conduct, stock) in kinds() {
            let case = |what: &str| Case { stock, conduct, left, ..base(format!("{kind}{what}-{faults}")) };
            cases.push(case(""));
            // Where a bank is asked again, a customer may cancel at every step of time besides: one fault is enough of that.
            let left = if conduct.hesitates() { Left { crashes: 1.min(*crashes), duplicates: 1.min(*duplicates), ..left } } else { left };
            let is_twice_one = conduct.hesitates() && *crashes > 0 && *duplicates > 0;
            if (deep && !is_twice_one) || kind == "authorized" {
                cases.push(Case { asked: vec![CUSTOMER], left, ..case("-cancelled") });
            }
        }
        let case = |what: &str| Case { left, ..base(format!("{what}-{faults}")) };
        cases.push(Case { late_shipping: true, ..case("shipping-late") });
        if deep {
            cases.extend([
                Case { left: Left { lapses: 1, ..left }, asked: vec![DEADLINE], heals_late: true, ..case("hold-lapses") },
                Case { asked: vec![DEADLINE], ..case("deadline-strikes") },
                Case { nudges: 1, ..case("placed-again") },
            ]);
        }
    }
    for (kind, conduct, stock) in kinds() {
        // A capture that is refused at every step of time has more states with any number of faults than 20 GB hold. It is
        // explored with two of them, and with any number where the bank refuses once.
        let is_too_many = conduct.capture == Capture::Hesitant;
        if (deep && !is_too_many) || kind == "authorized" {
            // Two at work multiply the states by four hundred: for the one kind in which everything can still be decided.
            let two = deep && kind == "authorized";
            let left = Left { any_number: true, at_work: if two { 2 } else { 1 }, ..WELL };
            cases.push(Case { stock, conduct, left, asked: vec![CUSTOMER], ..base(format!("{kind}-any-number")) });
        }
    }
    let left = Left { crashes: u8::from(deep), ..WELL };
    cases.push(Case { orders: 2, left, ..base("two-orders".to_owned()) });
    // One may be declined and give its unit back while the other waits for it.
    let conduct = Conduct { card: Card::Fickle, ..GOOD };
    cases.push(Case {
        orders: 2,
        conduct,
        left: Left { at_work: if deep { 2 } else { 1 }, ..WELL },
        ..base("two-orders-fickle".to_owned())
    });
    cases
}
