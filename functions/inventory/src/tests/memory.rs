//! A warehouse in memory that behaves like the tables: writes are conditional and hand over what they found, transactions
//! take time, lock their rows against each other, and say why they were cancelled, action by action.

use super::*;
use crate::warehouse::{after_releasing, after_reserving};
use lambda_kit::dynamodb::Fate;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
};

/// The fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process dies before the write.
    CrashBefore,
    /// The process dies after the write, or the answer is lost.
    CrashAfter,
    /// A transaction meets another one on its last row.
    Conflict,
}

/// How long a transaction holds its rows.
const TRANSACTION: Duration = Duration::from_millis(3);

type DuringCall = Box<dyn FnOnce(&Memory)>;

#[derive(Default)]
pub struct Memory {
    pub stock: RefCell<BTreeMap<Sku, u64>>,
    pub reservations: RefCell<BTreeMap<OrderId, State>>,
    pub calls: RefCell<Vec<&'static str>>,
    locked: RefCell<BTreeSet<String>>,
    plan: RefCell<BTreeMap<usize, Fault>>,
    during_call: RefCell<BTreeMap<usize, DuringCall>>,
    called: Cell<usize>,
}

/// A clock that ticks a second with every look, and the same random numbers in every test.
#[derive(Debug, Default)]
pub struct Ticking {
    second: Cell<i64>,
    rng: Cell<u64>,
}

impl Ambient for Ticking {
    fn now(&self) -> Timestamp {
        self.second.set(self.second.get() + 1);
        at(self.second.get())
    }
    fn random(&self) -> u64 {
        // SplitMix64 (https://prng.di.unimi.it/splitmix64.c).
        self.rng.set(self.rng.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let z = (self.rng.get() ^ (self.rng.get() >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Memory {
    pub fn new(stock: &[(&str, u64)]) -> Self {
        let stock = stock.iter().map(|(code, available)| (sku(code), *available)).collect();
        Self { stock: RefCell::new(stock), ..Self::default() }
    }
    /// Puts a record there, and takes out of stock what it holds.
    pub fn preset(&self, order_id: OrderId, state: State) {
        for item in held(&state) {
            *self.stock.borrow_mut().get_mut(&item.sku).unwrap() -= u64::from(item.quantity);
        }
        self.reservations.borrow_mut().insert(order_id, state);
    }
    /// Has `fault` happen to the call that comes after `calls` more.
    pub fn plan(&self, calls: usize, fault: Fault) {
        self.plan.borrow_mut().insert(self.called.get() + calls, fault);
    }
    /// Has `change` happen just before the call that comes after `calls` more.
    pub fn during_call(&self, calls: usize, change: impl FnOnce(&Memory) + 'static) {
        self.during_call.borrow_mut().insert(self.called.get() + calls, Box::new(change));
    }
    pub fn available(&self, code: &str) -> Option<u64> {
        self.stock.borrow().get(&sku(code)).copied()
    }
    pub fn state_of(&self, order_id: OrderId) -> Option<State> {
        self.reservations.borrow().get(&order_id).cloned()
    }
    /// Available, reserved and committed, together, per SKU: what must never change.
    pub fn units(&self) -> BTreeMap<Sku, u64> {
        let mut units = self.stock.borrow().clone();
        for item in self.reservations.borrow().values().flat_map(held) {
            *units.entry(item.sku.clone()).or_default() += u64::from(item.quantity);
        }
        units
    }

    fn begin(&self, call: &'static str) -> Result<Option<Fault>, Failure> {
        let n = self.called.replace(self.called.get() + 1);
        self.calls.borrow_mut().push(call);
        let during_call = self.during_call.borrow_mut().remove(&n);
        if let Some(change) = during_call {
            change(self);
        }
        let fault = self.plan.borrow_mut().remove(&n);
        if fault == Some(Fault::CrashBefore) { Err(crash()) } else { Ok(fault) }
    }

    /// One write of the reservation alone, refused with what is there unless `fits`.
    async fn write(
        &self,
        call: &'static str,
        order_id: &OrderId,
        fits: impl FnOnce(Option<&State>) -> Option<State>,
    ) -> Result<Updated<State>, Failure> {
        tokio::task::yield_now().await;
        let fault = self.begin(call)?;
        if self.locked.borrow().contains(&order_id.to_string()) {
            return Err(Failure::transient("TransactionConflictException", "the reservation is in a transaction"));
        }
        let old = self.state_of(*order_id);
        let Some(new) = fits(old.as_ref()) else { return Ok(Updated::Refused(old)) };
        self.reservations.borrow_mut().insert(*order_id, new.clone());
        if fault == Some(Fault::CrashAfter) { Err(crash()) } else { Ok(Updated::Now(new)) }
    }

    /// One transaction over the reservation, which must be in `from`, and the rows of `items`.
    async fn transact(
        &self,
        call: &'static str,
        order_id: &OrderId,
        from: Known,
        to: &State,
        items: &[Item],
    ) -> Result<Transacted, Failure> {
        let takes = from == Known::None;
        let rows: BTreeSet<_> = std::iter::once(order_id.to_string()).chain(items.iter().map(|item| item.sku.to_string())).collect();
        assert!(rows.len() == items.len() + 1 && rows.len() <= TRANSACTION_ACTIONS_MAX, "DynamoDB refuses such a transaction: {items:?}");
        let fault = self.begin(call)?;
        let old = self.state_of(*order_id);
        let locked = |row: &str| self.locked.borrow().contains(row);
        let reservation = match &old {
            _ if locked(&order_id.to_string()) => Fate::Contended,
            old if old.as_ref().map_or(Known::None, Known::from) == from => Fate::Fine,
            old => Fate::ConditionFailed(
                old.clone().map(|state| item(&domain::inventory::Reservation { order_id: *order_id, state }).unwrap()),
            ),
        };
        let row = |item: &Item| {
            let available = self.stock.borrow().get(&item.sku).copied();
            match available {
                _ if locked(item.sku.as_str()) => Fate::Contended,
                available if takes && available.is_none_or(|n| n < u64::from(item.quantity)) => Fate::ConditionFailed(None),
                _ => Fate::Fine,
            }
        };
        let mut fates: Vec<_> = std::iter::once(reservation).chain(items.iter().map(row)).collect();
        if fault == Some(Fault::Conflict) {
            *fates.last_mut().unwrap() = Fate::Contended;
        }
        if fates.iter().any(|fate| *fate != Fate::Fine) {
            tokio::task::yield_now().await;
            return Ok(Transacted::Cancelled(fates));
        }
        self.locked.borrow_mut().extend(rows.iter().cloned());
        tokio::time::sleep(TRANSACTION).await;
        for item in items {
            let mut stock = self.stock.borrow_mut();
            let available = stock.entry(item.sku.clone()).or_default();
            let quantity = u64::from(item.quantity);
            *available = if takes { available.checked_sub(quantity).unwrap() } else { *available + quantity };
        }
        self.reservations.borrow_mut().insert(*order_id, to.clone());
        self.locked.borrow_mut().retain(|row| !rows.contains(row));
        if fault == Some(Fault::CrashAfter) { Err(crash()) } else { Ok(Transacted::Done) }
    }
}

impl Warehouse for Memory {
    async fn reserve(&self, order_id: &OrderId, items: &[Item], at: Timestamp) -> Result<Attempt<Taken>, Failure> {
        let state = State::Reserved { items: items.to_vec(), reserved_at: at };
        after_reserving(self.transact("reserve", order_id, Known::None, &state, items).await?, state, items)
    }
    async fn reject(&self, order_id: &OrderId, short: Vec<Sku>, at: Timestamp) -> Result<Updated<State>, Failure> {
        self.write("reject", order_id, |old| old.is_none().then_some(State::Rejected { short, rejected_at: at })).await
    }
    async fn commit(&self, order_id: &OrderId, at: Timestamp) -> Result<Updated<State>, Failure> {
        let commit = |old: Option<&State>| match old {
            Some(State::Reserved { items, reserved_at }) => {
                Some(State::Committed { items: items.clone(), reserved_at: *reserved_at, committed_at: at })
            }
            _ => None,
        };
        self.write("commit", order_id, commit).await
    }
    async fn release(&self, order_id: &OrderId, items: &[Item], at: Timestamp) -> Result<Attempt<Updated<State>>, Failure> {
        let state = State::Released { released_at: at };
        after_releasing(self.transact("release", order_id, Known::Reserved(items.to_vec()), &state, items).await?, state)
    }
    async fn close(&self, order_id: &OrderId, at: Timestamp) -> Result<Updated<State>, Failure> {
        let close = |old: Option<&State>| matches!(old, None | Some(State::Rejected { .. })).then_some(State::Closed { closed_at: at });
        self.write("close", order_id, close).await
    }
}

fn held(state: &State) -> &[Item] {
    match state {
        State::Reserved { items, .. } | State::Committed { items, .. } => items,
        State::Rejected { .. } | State::Released { .. } | State::Closed { .. } => &[],
    }
}

fn crash() -> Failure {
    Failure::transient("Crash", "the process died")
}
