//! Shipping, driven through `handle` against facts in memory.

use super::*;
use domain::{
    Event, OrderId, Subject, Timestamp,
    event::{
        CancelReason, CancelRequest, InventoryRejected, InventoryReserved, OrderCancelRequested, PaymentAuthorized, PaymentDeclined,
        PaymentRef, PaymentVoided,
    },
    shipping::Shipment,
};
use futures_util::future::join_all;
use lambda_kit::Kind;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
};

const ORDER: &str = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";
const DAY: i64 = 24 * 60 * 60;

/// Facts in memory, as the table keeps them: a list and the set of its kinds, changed in one write or not at all.
#[derive(Default)]
struct Memory {
    records: RefCell<BTreeMap<OrderId, (Shipment, BTreeSet<&'static str>)>>,
    writes: Cell<usize>,
    dies_before: Cell<bool>,
    dies_after: Cell<bool>,
}

impl Shipments for Memory {
    async fn append(&self, order_id: &OrderId, fact: StoredFact) -> Result<Shipment, Failure> {
        std::future::ready(()).await;
        let died = || Err(Failure::transient("Crash", "the process died"));
        self.writes.set(self.writes.get() + 1);
        if self.dies_before.take() {
            return died();
        }
        let mut records = self.records.borrow_mut();
        let (shipment, kinds) =
            records.entry(*order_id).or_insert_with(|| (Shipment { order_id: *order_id, facts: vec![] }, BTreeSet::new()));
        if kinds.insert(fact.fact.kind()) {
            shipment.facts.push(fact);
        }
        if self.dies_after.take() { died() } else { Ok(shipment.clone()) }
    }
}

/// A clock that ticks a second with every look.
#[derive(Default)]
struct Ticking(Cell<i64>);

impl Ambient for Ticking {
    fn now(&self) -> Timestamp {
        self.0.set(self.0.get() + 1);
        Timestamp::from_second(self.0.get()).unwrap()
    }
    fn random(&self) -> u64 {
        unreachable!("shipping needs no random numbers")
    }
}

type Remembering = Shipping<Memory, Ticking>;

fn shipping() -> Remembering {
    Shipping { shipments: Memory::default(), ambient: Ticking::default() }
}

impl Remembering {
    async fn try_hear(&self, event: &Event) -> Result<Option<(Event, i64)>, Failure> {
        let subject = Subject::Order(ORDER.parse().unwrap());
        let event = CloudEvent { source: "/test".into(), subject, time: Timestamp::UNIX_EPOCH, traceparent: None, event: event.clone() };
        let reply = self.handle(&event, &Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() }).await?;
        assert!(reply.announcements.len() <= 1 && reply.look_again_after.is_none());
        Ok(reply.announcements.into_iter().next().map(|announced| {
            assert!(!announced.again);
            (announced.event, announced.time.as_second())
        }))
    }
    async fn hear(&self, event: &Event) -> Option<(Event, i64)> {
        self.try_hear(event).await.unwrap()
    }
}

fn authorized() -> Event {
    let amount = domain::Money { amount_minor: 2400, currency: domain::Currency::EUR };
    PaymentAuthorized { payment: PaymentRef("pi_1".into()), amount, capture_before: Timestamp::from_second(7 * DAY).unwrap() }.into()
}
fn reserved() -> Event {
    InventoryReserved { items: vec![domain::Item { sku: "MUG-BLUE".parse().unwrap(), quantity: 2 }] }.into()
}
/// Everything that shipping hears.
fn heard() -> [Event; 5] {
    let declined = PaymentDeclined { code: "card_declined".into() }.into();
    let rejected = InventoryRejected { short: vec![] }.into();
    [authorized(), declined, reserved(), rejected, OrderCancelRequested { reason: CancelRequest::CustomerAsked }.into()]
}

fn permutations(of: &[Event]) -> Vec<Vec<Event>> {
    if of.is_empty() {
        return vec![vec![]];
    }
    let without = |i: usize| [&of[..i], &of[i + 1..]].concat();
    (0..of.len()).flat_map(|i| permutations(&without(i)).into_iter().map(move |rest| [vec![of[i].clone()], rest].concat())).collect()
}

/// What the first deciding prefix of `facts` decides, told without the fold: how long it is, and whether it ships.
fn first_decision(facts: &[Event]) -> (usize, bool) {
    let place = |wanted: &dyn Fn(&Event) -> bool| facts.iter().position(wanted).unwrap() + 1;
    let authorized = place(&|e| matches!(e, Event::PaymentAuthorized(_)));
    let reserved = place(&|e| matches!(e, Event::InventoryReserved(_)));
    let against = place(&|e| matches!(e, Event::PaymentDeclined(_) | Event::InventoryRejected(_) | Event::OrderCancelRequested(_)));
    (against.min(authorized.max(reserved)), authorized.max(reserved) < against)
}

#[tokio::test]
async fn one_decision_for_any_order_of_facts() {
    for facts in permutations(&heard()) {
        let shipping = shipping();
        let (decided, ships) = first_decision(&facts);
        let mut announced = None;
        for (n, fact) in (1..).zip(&facts) {
            let said = shipping.hear(fact).await;
            // A copy of each fact heard so far, and of the decision's own fact: none changes it, all announce it.
            for copy in &facts[..n] {
                assert_eq!(shipping.hear(copy).await, said, "{facts:?}");
            }
            assert_eq!(said.is_some(), n >= decided, "{facts:?} after {n}");
            if n == decided {
                let stored = shipping.shipments.records.borrow()[&ORDER.parse().unwrap()].0.facts[n - 1].at.as_second();
                let (event, time) = said.as_ref().unwrap();
                assert_eq!((matches!(event, Event::OrderShipped(_)), *time), (ships, stored), "{facts:?}");
                announced = said;
            } else {
                assert_eq!(said, announced, "{facts:?}: a later fact changes nothing");
            }
        }
        let records = shipping.shipments.records.borrow();
        let (shipment, kinds) = records.values().next().unwrap();
        assert_eq!((shipment.facts.len(), kinds.len()), (5, 5), "each kind once");
    }
}

#[tokio::test]
async fn every_event_is_one_update_and_no_read() {
    let shipping = shipping();
    for (n, event) in (1..).zip(heard().iter().chain(&heard())) {
        shipping.hear(event).await;
        assert_eq!(shipping.shipments.writes.get(), n, "a copy, too");
    }
}

#[tokio::test]
async fn a_crash_before_or_after_the_write_changes_nothing_but_the_time() {
    for cut in 0..2 {
        for after in [false, true] {
            let shipping = shipping();
            for (n, event) in [reserved(), authorized()].iter().enumerate() {
                let dies = if after { &shipping.shipments.dies_after } else { &shipping.shipments.dies_before };
                dies.set(n == cut);
                let first = shipping.try_hear(event).await;
                assert_eq!(first.is_err(), n == cut);
                let again = shipping.hear(event).await;
                assert_eq!(shipping.hear(event).await, again, "the same answer with the same time, however often");
                assert_eq!(again.is_some(), n == 1, "a lost announcement is made by the redelivery");
            }
        }
    }
}

#[tokio::test]
async fn copies_at_once_announce_alike() {
    let shipping = shipping();
    let events = [authorized(), reserved(), authorized(), reserved()];
    let said = join_all(events.iter().map(|event| shipping.hear(event))).await;
    let decided: Vec<_> = said.into_iter().flatten().collect();
    assert!(!decided.is_empty() && decided.iter().all(|announced| announced == &decided[0]), "{decided:?}");
}

#[tokio::test]
async fn nothing_ships_within_a_day_of_the_end_of_its_hold() {
    // The clock is read at the write: the second fact is stored one tick later.
    for (second, ships) in [(6 * DAY - 2, true), (6 * DAY - 1, false)] {
        let shipping = shipping();
        shipping.hear(&authorized()).await;
        shipping.ambient.0.set(second);
        match shipping.hear(&reserved()).await.unwrap().0 {
            Event::OrderShipped(_) => assert!(ships),
            Event::OrderCancelled(cancelled) => assert!(!ships && cancelled.reason == CancelReason::AuthorizationExpiring),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn an_event_for_somebody_else_is_parked() {
    let shipping = shipping();
    let failure = shipping.try_hear(&PaymentVoided {}.into()).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Permanent, "NotForThisStage"));
    let subject = Subject::Customer(ORDER.parse().unwrap());
    let event = CloudEvent { source: "/test".into(), subject, time: Timestamp::UNIX_EPOCH, traceparent: None, event: reserved() };
    let failure = shipping.handle(&event, &Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() }).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Permanent, "NotAnOrder"));
    assert_eq!(shipping.shipments.writes.get(), 0);
}
