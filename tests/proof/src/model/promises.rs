//! What must hold in every state, and what every order must come to.
//!
//! Each promise is a property of the checker, under the name that its story is told by. It does not repeat a decision: an
//! order's end is read from the records and from what order-tracking makes of what it was told.

use super::{
    bank::{Capture, Intent, LAST_TRY, Status},
    rows::Record,
    world::{Action, OrderState, State, World},
};
use domain::{
    EventType, inventory, payment,
    tracking::{Fact, Facts},
};
use stateright::{Model as _, Property};
use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

/// The promise whose story goes on after its last state: see [`does_not_heal`].
pub const HEALING: &str = "if all messages are lost, one order.placed brings the order to its right end";

/// Every promise.
pub fn all() -> Vec<Property<World>> {
    of_each_state().into_iter().chain(of_each_end()).chain([Property::always(HEALING, heals)]).collect()
}

/// The promises that a state keeps or breaks by itself.
fn of_each_state() -> Vec<Property<World>> {
    vec![
        Property::always("only what is authorized and reserved is shipped", |_, state: &State| state.orders.iter().all(ships_rightly)),
        Property::always("no order is both shipped and cancelled", |_, state: &State| {
            state.orders.iter().all(|order| !(order.shipped && order.cancelled))
        }),
        Property::always("money is captured at most once, and only for what is shipped", |_, state: &State| {
            state.orders.iter().all(|order| order.captured <= u8::from(order.shipped))
        }),
        Property::always("at most one hold of an order is ever confirmed", |_, state: &State| {
            state.orders.iter().all(|order| order.confirmed <= 1)
        }),
        Property::always("available, reserved and committed units are as many as ever", |world: &World, state: &State| {
            available(state).is_some_and(|available| {
                let taken: u64 = state.orders.iter().map(|order| units(&order.reservation.record)).sum();
                available + taken == world.case.stock
            })
        }),
        Property::always("no good hold is freed before its margin", |world: &World, state: &State| {
            let uncollected = |order: &OrderState| matches!(order.payment.record, Record::Payment(payment::State::Uncollected { .. }));
            world.case.conduct.capture != Capture::Hesitant || state.time >= LAST_TRY || !state.orders.iter().any(uncollected)
        }),
        Property::always("nothing is met that must never be met", |_, state: &State| state.fault.is_none()),
    ]
}

/// The promises about states in which no message is left.
fn of_each_end() -> Vec<Property<World>> {
    vec![
        Property::always("when no message is left, every order has ended", |world: &World, state: &State| {
            let ended = |order: &OrderState| end(order).inspect(|end| world.see(*end)).is_some();
            !is_drained(state) || state.orders.iter().all(ended)
        }),
        Property::always("when no message is left, the provider's book agrees with the records", |_, state: &State| {
            !is_drained(state) || (0..state.orders.len()).all(|n| book_agrees(state, n))
        }),
    ]
}

fn is_drained(state: &State) -> bool {
    state.messages.is_empty() && state.processes.is_empty()
}

fn ships_rightly(order: &OrderState) -> bool {
    use inventory::State as I;
    use payment::State as P;
    let paid = matches!(order.payment.record, Record::Payment(P::Authorized(_) | P::Captured { .. } | P::Uncollected { .. }));
    let there = matches!(order.reservation.record, Record::Reservation(I::Reserved { .. } | I::Committed { .. }));
    !order.shipped || (paid && there)
}

fn available(state: &State) -> Option<u64> {
    if let Record::Available(units) = state.stock.record { Some(units) } else { None }
}

fn units(reservation: &Record) -> u64 {
    match reservation {
        Record::Reservation(inventory::State::Reserved { items, .. } | inventory::State::Committed { items, .. }) => {
            items.iter().map(|item| u64::from(item.quantity)).sum()
        }
        _ => 0,
    }
}

/// How an order may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Shipped, captured and committed.
    Completed,
    /// Shipped and committed, and the money refused.
    Uncollected,
    /// Cancelled, uncharged, and its stock back.
    Cancelled,
}

impl End {
    /// All of them.
    pub const ALL: [End; 3] = [End::Completed, End::Uncollected, End::Cancelled];

    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            End::Completed => "completed",
            End::Uncollected => "uncollected",
            End::Cancelled => "cancelled",
        }
    }
}

/// The end of an order, in the records, in what was decided, and in the eyes of the customer.
fn end(order: &OrderState) -> Option<End> {
    use inventory::State as I;
    use payment::State as P;
    let (end, decided) = match (&order.payment.record, &order.reservation.record) {
        (Record::Payment(P::Captured { .. }), Record::Reservation(I::Committed { .. })) => (End::Completed, order.shipped),
        (Record::Payment(P::Uncollected { .. }), Record::Reservation(I::Committed { .. })) => (End::Uncollected, order.shipped),
        (Record::Payment(P::Voided { .. } | P::Closed { .. }), Record::Reservation(I::Released { .. } | I::Closed { .. })) => {
            (End::Cancelled, order.cancelled)
        }
        _ => return None,
    };
    let mut facts = Facts::default();
    for event_type in EventType::ALL.iter().filter(|event_type| order.told & 1 << **event_type as u16 != 0) {
        facts.insert(*event_type, Fact { at: domain::Timestamp::UNIX_EPOCH, reason: None, tracking_number: None });
    }
    (decided && facts.ended()).then_some(end)
}

/// Nothing is held or taken but what the record says, and that is.
fn book_agrees(state: &State, n: usize) -> bool {
    use payment::State as P;
    let of_order = |intent: &&Intent| usize::from(intent.order) == n;
    let count = |status| state.intents.iter().flatten().filter(of_order).filter(|intent| intent.status == status).count();
    match &state.orders[n].payment.record {
        Record::Payment(P::Captured { .. }) => (count(Status::Held), count(Status::Captured)) == (0, 1),
        // What the issuer refuses to pay out may stay held until it lapses; that is what the alarm is for.
        Record::Payment(P::Uncollected { .. }) => count(Status::Held) <= 1 && count(Status::Captured) == 0,
        _ => (count(Status::Held), count(Status::Captured)) == (0, 0),
    }
}

/// What is known of states in which nothing goes wrong any more: whether every way on from them ends right.
#[derive(Default)]
pub struct Healed(RwLock<HashMap<State, bool>>);

impl Healed {
    fn get(&self, state: &State) -> Option<bool> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(state).copied()
    }
    fn set(&self, state: State, ends_right: bool) -> bool {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(state, ends_right);
        ends_right
    }
    /// How many states have been looked at.
    pub fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// The healing invariant: the tables and the provider's book as they are, nothing else, and an `order.placed`. Each order is
/// healed by itself; what stands of another one stands in its way or does not.
fn heals(world: &World, state: &State) -> bool {
    if state.fault.is_some() {
        return true;
    }
    let bare = world.bare(state);
    world.healed.get(&bare).unwrap_or_else(|| {
        let ends_right = (0..world.ids.len()).all(|n| ends_right(world, world.placed(&bare, n), n, &mut Vec::new(), &mut None));
        world.healed.set(bare, ends_right)
    })
}

/// The fault in the last state of a way on which an order does not come to its right end.
pub fn what_is_wrong(world: &World, state: &State) -> &'static str {
    let broken = of_each_state().into_iter().chain(of_each_end()).find(|property| !(property.condition)(world, state));
    broken.map_or("the order goes round in a circle", |property| property.name)
}

/// States, and the steps between them.
type Trace = Vec<(State, Option<Action>)>;

/// The way on from `state` without messages on which `order.placed` does not bring an order to its right end.
pub fn does_not_heal(world: &World, state: &State) -> Option<Trace> {
    let bare = world.bare(state);
    let mut wrong = None;
    // What is known already leaves no trace, so all is found out again.
    let afresh = World::new(world.case.clone());
    (0..world.ids.len()).find(|n| !ends_right(&afresh, world.placed(&bare, *n), *n, &mut Vec::new(), &mut wrong))?;
    wrong
}

/// Whether every order of events from here on, without any fault, leads to an end of order `n` that keeps all promises. A way
/// that comes back to where it was does not end.
fn ends_right(world: &World, state: State, n: usize, trace: &mut Trace, wrong: &mut Option<Trace>) -> bool {
    if let Some(known) = world.healed.get(&state) {
        return known;
    }
    let again = trace.iter().any(|(above, _)| *above == state);
    let keeps = of_each_state().iter().all(|property| (property.condition)(world, &state));
    if is_drained(&state) || again || !keeps {
        let right = is_drained(&state)
            && !again
            && keeps
            && end(&state.orders[n]).inspect(|end| world.see(*end)).is_some()
            && book_agrees(&state, n);
        if !right {
            trace.push((state, None));
            *wrong = Some(trace.clone());
            trace.pop();
        }
        return right;
    }
    let mut actions = Vec::new();
    world.actions(&state, &mut actions);
    let ends_right = actions.into_iter().all(|action| {
        let Some(next) = world.next_state(&state, action) else { return true };
        trace.push((state.clone(), Some(action)));
        let ends_right = ends_right(world, next, n, trace, wrong);
        trace.pop();
        ends_right
    });
    world.healed.set(state, ends_right)
}
