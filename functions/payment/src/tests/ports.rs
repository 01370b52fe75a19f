//! A table and a provider in memory that behave like the real ones, and that can be cut off or slowed down anywhere.

use crate::{Ledger, Outcome, Prepared, Provider, ledger};
use domain::{
    OrderId, Timestamp,
    event::{OrderPlaced, PaymentRef},
    payment::{Change, Known, Payment as Record, State},
};
use lambda_kit::{
    Ambient, Failure,
    dynamodb::{Item, item, record},
    message::Delivery,
};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap},
};

/// What the ports share: the time, the fuse and the RNG.
pub struct Surroundings {
    pub now: Cell<Timestamp>,
    /// After so many port calls the process dies: the effect stays, the answer is lost.
    pub fuse: Cell<Option<u32>>,
    pub rng: RefCell<Option<fastrand::Rng>>,
    pub trace: RefCell<Vec<&'static str>>,
}

impl Surroundings {
    pub fn new(now: Timestamp) -> Self {
        Self { now: Cell::new(now), fuse: Cell::new(None), rng: RefCell::new(None), trace: RefCell::default() }
    }
    /// Lets others go first, as often as the RNG says.
    async fn wait(&self) {
        let turns = self.rng.borrow_mut().as_mut().map_or(0, |rng| rng.u32(0..6));
        for _ in 0..turns {
            tokio::task::yield_now().await;
        }
    }
    async fn call<T>(&self, name: &'static str, effect: impl FnOnce() -> T) -> Result<T, Failure> {
        self.wait().await;
        self.trace.borrow_mut().push(name);
        let result = effect();
        self.wait().await;
        if let Some(left) = self.fuse.get() {
            self.fuse.set(left.checked_sub(1));
            if left <= 1 {
                return Err(Failure::transient("Crashed", format_args!("after {name}")));
            }
        }
        Ok(result)
    }
    /// The calls since the last time, in order.
    pub fn calls(&self) -> String {
        self.trace.take().join(" ")
    }
}

impl Ambient for Surroundings {
    fn now(&self) -> Timestamp {
        self.now.get()
    }
    fn random(&self) -> u64 {
        4
    }
}

/// The payments table: items as DynamoDB has them, changed by the very expressions that are sent to it.
pub struct Desk<'a> {
    pub around: &'a Surroundings,
    pub items: RefCell<HashMap<OrderId, Item>>,
}

impl Desk<'_> {
    pub fn seed(&self, order_id: OrderId, state: State) {
        self.items.borrow_mut().insert(order_id, item(&Record { order_id, state }).unwrap());
    }
    pub fn state(&self, order_id: OrderId) -> Option<State> {
        self.items.borrow().get(&order_id).map(|item| record::<Record>(item.clone()).unwrap().state)
    }
    pub fn name(&self, order_id: OrderId) -> &'static str {
        self.state(order_id).as_ref().map_or(Known::None, Known::from).name()
    }
}

impl Ledger for &Desk<'_> {
    async fn get(&self, order_id: OrderId) -> Result<Option<State>, Failure> {
        self.around.call("get", || self.state(order_id)).await
    }
    async fn put(&self, record: Record) -> Result<State, Failure> {
        let put = || {
            let standing = self.state(record.order_id);
            standing.unwrap_or_else(|| {
                self.seed(record.order_id, record.state.clone());
                record.state
            })
        };
        self.around.call("put", put).await
    }
    async fn update(&self, order_id: OrderId, onto: &Known, change: &Change) -> Result<Option<State>, Failure> {
        let (expression, condition, names, values) = ledger::update(onto, change)?.into_parts();
        let update = || {
            let mut items = self.items.borrow_mut();
            let pair = |clause: &str| clause.split_once(" = ").map(|(name, value)| (names[name].clone(), values[value].clone())).unwrap();
            let holds = |item: &Item, clause: &str| match clause.strip_prefix("attribute_not_exists(") {
                Some(name) => !item.contains_key(&names[name.trim_end_matches(')')]),
                None => Some(pair(clause)).is_some_and(|(name, value)| item.get(&name) == Some(&value)),
            };
            let held = |item: &Item| condition.unwrap().split(" AND ").all(|clause| holds(item, clause));
            // A missing item fails every equality, and has no old image.
            if let Some(item) = items.get_mut(&order_id).filter(|item| held(item)) {
                item.extend(expression.strip_prefix("SET ").unwrap().split(", ").map(pair));
            }
        };
        self.around.call("update", || (update(), self.state(order_id)).1).await
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldState {
    Unconfirmed,
    Held,
    Declined,
    /// Declined too, and the bank may be asked again.
    RefusedForNow,
    Captured,
    Canceled,
}

#[derive(Debug)]
pub struct Held {
    pub standing: HoldState,
    /// How often it was set aside and taken. More than once is the disaster.
    pub confirmed: u32,
    pub captured: u32,
}

/// The provider: holds by id, and answers remembered by idempotency key.
pub struct Bank<'a> {
    pub around: &'a Surroundings,
    pub holds: RefCell<BTreeMap<String, Held>>,
    pub keys: RefCell<HashMap<String, PaymentRef>>,
    /// Set aside nothing.
    pub declines: Cell<bool>,
    /// Do not even prepare.
    pub knows_no_such_card: Cell<bool>,
    /// Take nothing.
    pub keeps: Cell<bool>,
    /// Refuse so many confirmations and captures for now.
    pub hesitates: Cell<u32>,
    pub hangs: Cell<bool>,
    /// It is called too fast, so often.
    pub is_busy: Cell<u32>,
}

/// How long a busy bank wants to be left alone.
const SLOW_DOWN: std::time::Duration = std::time::Duration::from_millis(6_500);

pub const CAPTURE_BEFORE: i64 = 1_800_500_000;

impl<'a> Bank<'a> {
    pub fn new(around: &'a Surroundings) -> Self {
        Self {
            around,
            holds: RefCell::default(),
            keys: RefCell::default(),
            declines: Cell::new(false),
            knows_no_such_card: Cell::new(false),
            keeps: Cell::new(false),
            hesitates: Cell::new(0),
            hangs: Cell::new(false),
            is_busy: Cell::new(0),
        }
    }
    pub fn open(&self, id: &str, standing: HoldState) {
        self.holds.borrow_mut().insert(id.into(), Held { standing, confirmed: 0, captured: 0 });
    }
    pub fn standing(&self, id: &str) -> Option<HoldState> {
        self.holds.borrow().get(id).map(|hold| hold.standing)
    }
    pub fn confirmed(&self) -> u32 {
        self.holds.borrow().values().map(|hold| hold.confirmed).sum()
    }
    pub fn captured(&self) -> u32 {
        self.holds.borrow().values().map(|hold| hold.captured).sum()
    }
    /// Asks the bank to hold.
    fn hold(&self, hold: &mut Held) {
        hold.standing = match () {
            () if self.hesitates() => HoldState::RefusedForNow,
            () if self.declines.get() => HoldState::Declined,
            () => HoldState::Held,
        };
        hold.confirmed += u32::from(hold.standing == HoldState::Held);
    }
    fn confirmed_as(hold: &Held) -> Outcome {
        match hold.standing {
            HoldState::Declined => Outcome::Declined { code: "card_declined".into() },
            HoldState::RefusedForNow => Outcome::RefusedForNow { code: "issuer_not_available".into() },
            HoldState::Canceled => Outcome::Voided,
            HoldState::Unconfirmed | HoldState::Held | HoldState::Captured => {
                Outcome::Authorized { capture_before: Timestamp::from_second(CAPTURE_BEFORE).unwrap() }
            }
        }
    }
    fn hesitates(&self) -> bool {
        let left = self.hesitates.get();
        self.hesitates.set(left.saturating_sub(1));
        left > 0
    }
    fn with(&self, payment: &PaymentRef, then: impl FnOnce(&mut Held) -> Outcome) -> Outcome {
        if self.is_busy.get() > 0 {
            self.is_busy.set(self.is_busy.get() - 1);
            return Outcome::SlowDown { after: SLOW_DOWN };
        }
        match self.holds.borrow_mut().get_mut(&payment.0) {
            Some(hold) => then(hold),
            None => Outcome::Contradicts(Failure::transient("UnknownPaymentIntent", "")),
        }
    }
}

fn contradicts() -> Outcome {
    Outcome::Contradicts(Failure::bug("ProviderContradicts", ""))
}

impl Provider for &Bank<'_> {
    async fn create(&self, order_id: OrderId, delivery: &Delivery, _: &OrderPlaced) -> Result<Prepared, Failure> {
        if self.hangs.get() {
            std::future::pending::<()>().await;
        }
        let create = || {
            if self.is_busy.get() > 0 {
                self.is_busy.set(self.is_busy.get() - 1);
                return Prepared::SlowDown { after: SLOW_DOWN };
            }
            if self.knows_no_such_card.get() {
                return Prepared::Declined { code: "resource_missing".into() };
            }
            let mut keys = self.keys.borrow_mut();
            let payment = keys.entry(format!("{order_id}/{}/{}", delivery.message_id, delivery.attempt)).or_insert_with(|| {
                let id = format!("pi_{}", self.holds.borrow().len() + 1);
                self.open(&id, HoldState::Unconfirmed);
                PaymentRef(id)
            });
            Prepared::Unconfirmed(payment.clone())
        };
        self.around.call("create", create).await
    }
    async fn confirm(&self, _: OrderId, _: &Delivery, payment: &PaymentRef) -> Result<Outcome, Failure> {
        let confirm = |hold: &mut Held| {
            if hold.standing == HoldState::Unconfirmed {
                self.hold(hold);
            }
            Bank::confirmed_as(hold)
        };
        self.around.call("confirm", || self.with(payment, confirm)).await
    }
    async fn confirm_again(&self, _: OrderId, _: &Delivery, payment: &PaymentRef, method: &str, _: u32) -> Result<Outcome, Failure> {
        assert_eq!(method, "pm_card_visa");
        let confirm = |hold: &mut Held| {
            if matches!(hold.standing, HoldState::RefusedForNow | HoldState::Declined) {
                self.hold(hold);
            }
            Bank::confirmed_as(hold)
        };
        self.around.call("again", || self.with(payment, confirm)).await
    }
    async fn release_refused(&self, _: OrderId, _: &Delivery, payment: &PaymentRef, code: String) -> Result<Outcome, Failure> {
        let release_refused = |hold: &mut Held| match hold.standing {
            HoldState::Captured => Outcome::Captured,
            _ => {
                hold.standing = HoldState::Canceled;
                Outcome::Uncollected { code }
            }
        };
        self.around.call("release_refused", || self.with(payment, release_refused)).await
    }
    async fn capture(&self, _: OrderId, _: &Delivery, payment: &PaymentRef) -> Result<Outcome, Failure> {
        let capture = |hold: &mut Held| match hold.standing {
            HoldState::Held if self.hesitates() => Outcome::RefusedForNow { code: "try_again_later".into() },
            HoldState::Held if self.keeps.get() => {
                hold.standing = HoldState::Canceled;
                Outcome::Uncollected { code: "card_declined".into() }
            }
            HoldState::Held => {
                (hold.standing, hold.captured) = (HoldState::Captured, hold.captured + 1);
                Outcome::Captured
            }
            HoldState::Captured => Outcome::Captured,
            HoldState::Canceled => Outcome::Uncollected { code: "expired".into() },
            HoldState::Unconfirmed | HoldState::Declined | HoldState::RefusedForNow => contradicts(),
        };
        self.around.call("capture", || self.with(payment, capture)).await
    }
    async fn cancel(&self, _: OrderId, _: &Delivery, payment: &PaymentRef) -> Result<Outcome, Failure> {
        let cancel = |hold: &mut Held| match hold.standing {
            HoldState::Captured => contradicts(),
            _ => {
                hold.standing = HoldState::Canceled;
                Outcome::Voided
            }
        };
        self.around.call("cancel", || self.with(payment, cancel)).await
    }
}
