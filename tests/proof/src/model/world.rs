//! The world around the stages: tables, queues without any order, the provider, the customer, order-deadline, and what goes
//! wrong.
//!
//! A step of the world is one call of one process, applied at one instant; what happens between calls nobody can see. Three
//! things are merged because no other step can tell the difference: a delivery and its first call, an answer and the crash
//! that follows it, the last call and the publishing that follows it (what is published waits in a queue as long as it
//! likes).

use super::{
    bank::{self, Conduct, INTENTS_MAX, Intent, LAST_TRY, Request, STEPS_MAX, Status},
    cases::Case,
    interned::{Interned, words},
    promises::{self, End},
    rows::{self, Place, RESERVATIONS, Row, SHIPMENTS, STOCK},
    stages::{self, Message, Next, Process, Reply, SentEvent, Who, Working},
};
use domain::{
    CloudEvent, Currency, Event, EventType, Line, Money, OrderId, Sku, Subject,
    event::{CancelRequest, OrderCancelRequested, OrderPlaced},
};
use lambda_kit::{
    Kind,
    dynamodb::{Item, number, string},
};
use stateright::{Model, Property};
use std::{
    cell::RefCell,
    collections::HashMap,
    sync::atomic::{AtomicU8, Ordering},
};

/// Most orders of a case.
pub const ORDERS_MAX: usize = 2;

/// How much may still go wrong, and how much may still be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Left {
    /// Processes that die, answers that are lost.
    pub crashes: u8,
    /// Messages that are delivered once more.
    pub duplicates: u8,
    /// Times that the provider forgets its idempotency keys.
    pub expiries: u8,
    /// Holds that lapse.
    pub lapses: u8,
    /// Handlers that may be at work at the same time.
    pub at_work: u8,
    /// No end to crashes, duplicates and expiries: messages stay where they are, and every delivery is one more.
    pub any_number: bool,
}

/// Nothing goes wrong any more, and one thing happens after the other.
pub const CALM: Left = Left { crashes: 0, duplicates: 0, expiries: 0, lapses: 0, at_work: 1, any_number: false };

impl Left {
    fn spend(&mut self, budget: impl Fn(&mut Left) -> &mut u8) {
        if !self.any_number {
            *budget(self) -= 1;
        }
    }
}

/// One order, wherever it leaves a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OrderState {
    /// Its row of the payments table.
    pub payment: Interned<Row>,
    /// Its row of the reservations table.
    pub reservation: Interned<Row>,
    /// Its row of the shipments table.
    pub shipment: Interned<Row>,
    /// What order-tracking has been told of its end, a bit for each event type.
    pub told: u16,
    /// Whether `order.shipped` was ever published.
    pub shipped: bool,
    /// Whether `order.cancelled` was ever published.
    pub cancelled: bool,
    /// How many holds were ever confirmed.
    pub confirmed: u8,
    /// How many holds were ever captured.
    pub captured: u8,
}

/// A request that the provider remembers, and what it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Remembered {
    /// The delivery that asked.
    by: Message,
    /// The key itself.
    key: Interned<String>,
    answer: Interned<stages::Heard>,
}

/// Everything there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// The orders.
    pub orders: Vec<OrderState>,
    /// The one stock row.
    pub stock: Interned<Row>,
    /// The provider's book.
    pub intents: [Option<Intent>; INTENTS_MAX],
    remembered: Vec<Remembered>,
    /// The messages in the queues, sorted.
    pub messages: Vec<Message>,
    /// Handlers at work, sorted.
    pub processes: Vec<Interned<Working>>,
    /// What may still happen.
    pub left: Left,
    /// The step of time.
    pub time: u8,
    /// The first failure that no waiting repairs.
    pub fault: Option<Interned<String>>,
}

/// The outcome of a process at its next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// All is well.
    Well,
    /// The call is done, and the process dies before anything else.
    Dies,
    /// The call is done, what follows is published, and the process dies before the message is acknowledged.
    DiesAfterPublishing,
    /// The provider does what is asked, and its answer is lost.
    Unheard,
    /// The provider refuses what it might as well have done.
    Refuses,
}

/// A second copy of a message that is being delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twin {
    /// None.
    None,
    /// Of the same delivery: same message id, same receive count.
    Same,
    /// A message of its own.
    Other,
    /// The same message once more, as it is received after its visibility timeout.
    Again,
}

/// One step of the world.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// A message is delivered, and its handler makes its first call.
    Deliver {
        /// Which.
        message: Message,
        /// Whether its event has grown old in between.
        late: bool,
        /// Whether an earlier delivery of it died before its first call.
        after_crash: bool,
        /// Whether another copy stays in the queue.
        twin: Twin,
        /// How the call goes.
        turn: Turn,
    },
    /// A handler at work makes its next call.
    Step(Interned<Working>, Turn),
    /// The provider forgets its idempotency keys.
    Forget,
    /// A hold lapses.
    Lapse(usize),
    /// Time passes, until a message that waits is due.
    Pass,
}

/// A case, ready to be explored.
pub struct World {
    /// The case.
    pub case: Case,
    /// Its orders.
    pub ids: Vec<OrderId>,
    /// Their first events.
    placed: Vec<Interned<SentEvent>>,
    /// What has been found out about healing.
    pub healed: promises::Healed,
    /// The ends that were seen, a bit for each.
    seen: AtomicU8,
}

/// What order-tracking makes an end of: of the rest, it does not matter here whether it was told.
const TELLS_OF_AN_END: [EventType; 5] = [
    EventType::PaymentCaptured,
    EventType::PaymentCaptureFailed,
    EventType::PaymentVoided,
    EventType::InventoryCommitted,
    EventType::InventoryReleased,
];

const SKU: &str = "MUG-BLUE";
const ORDER_IDS: [&str; ORDERS_MAX] = ["fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9", "aef753cd-ba7e-587f-b823-e93918496790"];

impl World {
    /// The world of `case`, before anything has happened.
    pub fn new(case: Case) -> Self {
        let ids: Vec<OrderId> = ORDER_IDS.iter().take(case.orders).filter_map(|id| id.parse().ok()).collect();
        let total = Money { amount_minor: 2400, currency: Currency::EUR };
        let sku = || SKU.parse::<Sku>().ok();
        let lines: Vec<_> = sku().map(|sku| Line { sku, quantity: 1, unit_price_minor: 2400 }).into_iter().collect();
        let placed = OrderPlaced { lines, total, payment_method: "pm_card".to_owned() };
        let placed = ids.iter().map(|id| stages::placed(*id, placed.clone().into())).collect();
        Self { case, ids, placed, healed: promises::Healed::default(), seen: AtomicU8::new(0) }
    }

    /// Remembers that an order came to this end.
    pub fn see(&self, end: End) {
        self.seen.fetch_or(1 << end as u8, Ordering::Relaxed);
    }
    /// Whether an order came to this end.
    pub fn has_seen(&self, end: End) -> bool {
        self.seen.load(Ordering::Relaxed) & 1 << end as u8 != 0
    }

    fn conduct(&self) -> &Conduct {
        &self.case.conduct
    }

    /// The turns that a process can take.
    fn turns(&self, left: Left, next: &Next, each: &mut impl FnMut(Turn)) {
        each(Turn::Well);
        let asks = if let Next::Ask(request) = next { Some(request.verb) } else { None };
        if left.crashes > 0 || left.any_number {
            each(Turn::Dies);
            // Where messages stay anyway, dying after publishing is the same as all being well.
            if !left.any_number {
                each(Turn::DiesAfterPublishing);
            }
            if asks.is_some() {
                each(Turn::Unheard);
            }
        }
        if asks.is_some_and(|verb| self.conduct().tosses(verb)) {
            each(Turn::Refuses);
        }
    }

    /// `state` after `action`, where that makes a difference. `tell` hears what happens, for stories.
    pub fn go(&self, state: &State, action: Action, tell: &mut dyn FnMut(TraceStep)) -> Option<State> {
        let mut state = state.clone();
        match action {
            Action::Deliver { message, late, after_crash, twin, turn } => {
                let process = self.start(&mut state, message, late, after_crash, twin);
                self.step(&mut state, process, turn, tell)?;
            }
            Action::Step(process, turn) => {
                remove(&mut state.processes, &process);
                self.step(&mut state, process, turn, tell)?;
            }
            Action::Forget => {
                state.left.expiries -= 1;
                state.remembered.clear();
            }
            Action::Lapse(place) => {
                state.left.lapses -= 1;
                if let Some(intent) = &mut state.intents[place] {
                    intent.status = Status::Canceled;
                }
            }
            Action::Pass => state.time += 1,
        }
        tidy(&mut state);
        Some(state)
    }

    /// Takes a message out of its queue.
    fn start(&self, state: &mut State, mut message: Message, late: bool, after_crash: bool, twin: Twin) -> Interned<Working> {
        let copy = match twin {
            Twin::None => None,
            Twin::Same => Some(message),
            Twin::Other => Some(Message { id: unused(state, message), ..message }),
            Twin::Again => Some(self.returned(state, message)),
        };
        if state.left.any_number {
            // Each delivery is one that the provider has not met; the message stays where it is.
            message.id = if message.to == Who::Payment { unused_at_work(state, message) } else { 0 };
        } else {
            remove(&mut state.messages, &message);
        }
        message.due = 0;
        if after_crash {
            state.left.spend(|left| &mut left.crashes);
            message = Message { again: true, ..message };
            message.id = if state.left.any_number { unused_at_work(state, message) } else { unused(state, message) };
        }
        if let Some(copy) = copy {
            state.left.spend(|left| &mut left.duplicates);
            insert(&mut state.messages, copy);
        }
        stages::working(Process { message, late, time: state.time, heard: Vec::new() })
    }

    /// The message as it comes back from a delivery that failed: to the provider, its next delivery is another one.
    fn returned(&self, state: &State, message: Message) -> Message {
        if message.to != Who::Payment {
            return message;
        }
        let message = Message { again: true, due: 0, ..message };
        Message { id: unused(state, message), ..message }
    }

    /// Makes the next call of `process`, which is in no list.
    fn step(&self, state: &mut State, process: Interned<Working>, turn: Turn, tell: &mut dyn FnMut(TraceStep)) -> Option<()> {
        let message = process.process.message;
        let reply = match &process.next {
            Next::Call(_) => self.call(state, process, tell),
            Next::Ask(request) => self.request(state, process, request, turn, tell),
            // Nothing is left to call: it failed or ended at once.
            Next::Publish(_) | Next::Wait | Next::Fail(_) => Ok(process),
        };
        let process = match reply {
            Ok(process) => process,
            Err(why) => {
                state.fault = Some(words(&why));
                return Some(());
            }
        };
        match turn {
            Turn::Well | Turn::Refuses => {}
            Turn::Unheard => state.left.spend(|left| &mut left.crashes),
            Turn::Dies => {
                state.left.spend(|left| &mut left.crashes);
                self.put_back(state, message);
                tell(TraceStep::Died);
                return Some(());
            }
            Turn::DiesAfterPublishing => {
                state.left.spend(|left| &mut left.crashes);
                let Next::Publish(sent) = &process.next else { return None };
                if sent.is_empty() {
                    return None;
                }
            }
        }
        match &process.next {
            Next::Call(_) | Next::Ask(_) => insert(&mut state.processes, process),
            Next::Publish(sent) => {
                for sent in sent {
                    tell(TraceStep::Publishes(*sent));
                    self.publish(state, *sent);
                }
                if turn == Turn::DiesAfterPublishing {
                    self.put_back(state, message);
                    tell(TraceStep::Died);
                }
            }
            // However often it checks again before the last time, nothing is written: one look is as good as a dozen, and
            // it comes when it likes.
            Next::Wait if message.to == Who::Inventory => {
                tell(TraceStep::Waits);
                if !state.left.any_number {
                    insert(&mut state.messages, Message { again: true, ..message });
                }
            }
            Next::Wait => {
                tell(TraceStep::Waits);
                let due = process.process.time + 1;
                if due > STEPS_MAX {
                    state.fault = Some(words(&format!("{} waits longer than anybody knows", message.to.name())));
                }
                if !state.left.any_number {
                    let message = Message { due, ..self.returned(state, message) };
                    insert(&mut state.messages, message);
                }
            }
            Next::Fail(failure) => {
                tell(TraceStep::Fails(failure));
                if failure.kind == Kind::Transient {
                    self.put_back(state, message);
                } else {
                    state.fault = Some(words(&format!("{}: {failure}", message.to.name())));
                }
            }
        }
        Some(())
    }

    fn put_back(&self, state: &mut State, message: Message) {
        if !state.left.any_number {
            let message = self.returned(state, message);
            insert(&mut state.messages, message);
        }
    }

    /// A call of a table. What comes of it follows from the process and its rows, and is remembered by them.
    fn call(&self, state: &mut State, process: Interned<Working>, tell: &mut dyn FnMut(TraceStep)) -> Result<Interned<Working>, String> {
        type Outcome = (Interned<Row>, Interned<Row>, Interned<Working>);
        thread_local! {
            static OUTCOMES: RefCell<HashMap<(u32, u32, u32), Outcome>> = RefCell::default();
        }
        let Next::Call(call) = &process.next else { return Err("no call".to_owned()) };
        let (n, id) = self.order_of(process.process.message.sent)?;
        let stock = state.stock;
        let (table, row) = match process.process.message.to {
            Who::Payment => (rows::PAYMENTS, &mut state.orders[n].payment),
            Who::Inventory => (RESERVATIONS, &mut state.orders[n].reservation),
            Who::Shipping => (SHIPMENTS, &mut state.orders[n].shipment),
        };
        let key = (process.number(), row.number(), stock.number());
        let known = OUTCOMES.with_borrow(|outcomes| outcomes.get(&key).copied());
        let (new_row, new_stock, new_process) = match known {
            Some(known) => known,
            None => {
                let mut places = vec![Place { table, key: id.to_string(), item: row.item.clone() }];
                if table == RESERVATIONS {
                    places.push(Place { table: STOCK, key: SKU.to_owned(), item: stock.item.clone() });
                }
                let answer = rows::apply(call, &mut places)?;
                let mut places = places.into_iter().map(|place| rows::row(place.table.0, place.item));
                let outcome = (places.next().unwrap_or(*row), places.next().unwrap_or(stock), hears(process, &Reply::Table(answer)));
                OUTCOMES.with_borrow_mut(|outcomes| outcomes.insert(key, outcome));
                outcome
            }
        };
        tell(TraceStep::Calls(call, *row, new_row));
        *row = new_row;
        state.stock = new_stock;
        Ok(new_process)
    }

    /// A request to the provider.
    fn request(
        &self,
        state: &mut State,
        process: Interned<Working>,
        request: &Request,
        turn: Turn,
        tell: &mut dyn FnMut(TraceStep),
    ) -> Result<Interned<Working>, String> {
        let by = process.process.message;
        let known = state.remembered.iter().find(|known| request.key == Some(known.key)).map(|known| known.answer);
        let answer = match known {
            Some(answer) => answer,
            None => {
                let before = state.intents;
                let said = bank::serve(&mut state.intents, self.conduct(), request, &self.ids, turn == Turn::Refuses);
                let count = |book: &[Option<Intent>], n: usize, status| {
                    book.iter().flatten().filter(|intent| usize::from(intent.order) == n && intent.status == status).count()
                };
                for (n, order) in state.orders.iter_mut().enumerate() {
                    order.confirmed += u8::from(count(&state.intents, n, Status::Held) > count(&before, n, Status::Held));
                    order.captured += u8::from(count(&state.intents, n, Status::Captured) > count(&before, n, Status::Captured));
                }
                let answer = stages::heard(&Reply::Bank(said));
                if let Some(key) = request.key {
                    insert(&mut state.remembered, Remembered { by, key, answer });
                }
                answer
            }
        };
        tell(TraceStep::Asks(request, answer, known.is_some()));
        let unheard = turn == Turn::Unheard;
        Ok(if unheard { hears(process, &Reply::Nothing) } else { hears_interned(process, answer) })
    }

    fn order_of(&self, sent: Interned<SentEvent>) -> Result<(usize, OrderId), String> {
        let Subject::Order(id) = sent.event.subject else { return Err("not about an order".to_owned()) };
        let n = self.ids.iter().position(|known| *known == id).ok_or("an order that nobody placed")?;
        Ok((n, id))
    }

    fn ask(&self, state: &mut State, order: usize, reason: CancelRequest) {
        let event = CloudEvent { event: Event::from(OrderCancelRequested { reason }), ..self.placed[order].event.clone() };
        self.publish(state, stages::sent_event(event));
    }

    /// Puts an event into every queue that hears it.
    pub fn publish(&self, state: &mut State, sent: Interned<SentEvent>) {
        let Ok((n, _)) = self.order_of(sent) else { return };
        let event_type = sent.event.event.event_type();
        let order = &mut state.orders[n];
        if TELLS_OF_AN_END.contains(&event_type) {
            order.told |= 1 << event_type as u16;
        }
        order.shipped |= event_type == EventType::OrderShipped;
        order.cancelled |= event_type == EventType::OrderCancelled;
        for to in Who::ALL.into_iter().filter(|to| to.hears(event_type)) {
            let message = Message { to, sent, id: 0, again: false, due: 0 };
            if state.left.any_number {
                if !state.messages.contains(&message) {
                    insert(&mut state.messages, message);
                }
            } else {
                let id = if to == Who::Payment { unused(state, message) } else { 0 };
                insert(&mut state.messages, Message { id, ..message });
            }
        }
    }

    /// `state` after every message is lost and everybody has calmed down, but for an `order.placed` of each order: the tables
    /// and the provider's book stay, and what was published counts.
    pub fn bare(&self, state: &State) -> State {
        let mut orders = state.orders.clone();
        for order in &mut orders {
            // What was announced may have been lost on its way to order-tracking, too.
            order.told = 0;
        }
        let (remembered, messages, processes) = (Vec::new(), Vec::new(), Vec::new());
        State { orders, remembered, messages, processes, left: CALM, ..*state }
    }

    /// `state`, and the first event of order `n` is published.
    pub fn placed(&self, state: &State, n: usize) -> State {
        let mut state = state.clone();
        self.publish(&mut state, self.placed[n]);
        if self.case.heals_late {
            self.ask(&mut state, n, CancelRequest::TimedOut);
        }
        state
    }
}

/// What happens in a step, for stories.
pub enum TraceStep<'a> {
    /// A table was called: what was there, what is there.
    Calls(&'a rows::Call, Interned<Row>, Interned<Row>),
    /// The provider was asked, what it said, and whether it only remembered.
    Asks(&'a Request, Interned<stages::Heard>, bool),
    /// An event went out.
    Publishes(Interned<SentEvent>),
    /// The process died.
    Died,
    /// The handler wants the message again, later.
    Waits,
    /// The handler failed.
    Fails(&'a lambda_kit::Failure),
}

fn hears(process: Interned<Working>, reply: &Reply) -> Interned<Working> {
    hears_interned(process, stages::heard(reply))
}

fn hears_interned(process: Interned<Working>, answer: Interned<stages::Heard>) -> Interned<Working> {
    thread_local! {
        static AFTER: RefCell<HashMap<(u32, u32), Interned<Working>>> = RefCell::default();
    }
    let key = (process.number(), answer.number());
    if let Some(after) = AFTER.with_borrow(|after| after.get(&key).copied()) {
        return after;
    }
    let mut heard = process.process.heard.clone();
    heard.push(answer);
    let after = stages::working(Process { heard, ..process.process.clone() });
    AFTER.with_borrow_mut(|known| known.insert(key, after));
    after
}

/// The lowest message id under which there is no such delivery, waiting, at work or in the provider's mind.
fn unused(state: &State, message: Message) -> u8 {
    let free = |id: &u8| {
        let wanted = Message { id: *id, ..message };
        !is_in_queue(state, wanted) && is_idle(state, wanted)
    };
    (0..u8::MAX).find(free).unwrap_or(u8::MAX)
}

/// The same, where messages stay in their queues.
fn unused_at_work(state: &State, message: Message) -> u8 {
    (0..u8::MAX).find(|id| is_idle(state, Message { id: *id, ..message })).unwrap_or(u8::MAX)
}

fn is_in_queue(state: &State, delivery: Message) -> bool {
    state.messages.iter().any(|message| message.as_known() == delivery.as_known())
}

fn is_idle(state: &State, message: Message) -> bool {
    let message = message.as_known();
    !state.processes.iter().any(|process| process.process.message == message) && !state.remembered.iter().any(|known| known.by == message)
}

/// Whether there are two copies of a delivery: only these can meet an answer that the provider remembers.
fn is_shared(state: &State, delivery: Message) -> bool {
    let waiting = state.messages.iter().filter(|message| message.as_known() == delivery).count();
    waiting + state.processes.iter().filter(|process| process.process.message == delivery).count() > 1
}

/// Forgets what nobody can ask for any more: answers under keys of deliveries that are over, and PaymentIntents that nobody
/// names and that hold nothing.
fn tidy(state: &mut State) {
    let State { remembered, messages, processes, .. } = state;
    remembered.retain(|known| {
        messages.iter().any(|message| message.as_known() == known.by) || processes.iter().any(|process| process.process.message == known.by)
    });
    let rows = state.orders.iter().map(|order| order.payment.mentions | order.shipment.mentions);
    let messages = state.messages.iter().map(|message| message.sent.mentions);
    let processes = state.processes.iter().map(|process| process.mentions);
    let remembered = state.remembered.iter().map(|known| known.answer.mentions);
    let named = rows.chain(messages).chain(processes).chain(remembered).fold(0, |all, one| all | one);
    for (place, intent) in state.intents.iter_mut().enumerate() {
        let holds = intent.is_some_and(|intent| matches!(intent.status, Status::Held | Status::Captured));
        if named & 1 << place == 0 && !holds {
            *intent = None;
        }
    }
}

fn insert<T: Ord>(sorted: &mut Vec<T>, new: T) {
    let place = sorted.partition_point(|old| *old < new);
    sorted.insert(place, new);
}

fn remove<T: Ord>(sorted: &mut Vec<T>, old: &T) {
    if let Ok(place) = sorted.binary_search(old) {
        sorted.remove(place);
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let stock: Item = [("sku".to_owned(), string(SKU)), ("available".to_owned(), number(self.case.stock))].into_iter().collect();
        let order = OrderState {
            payment: rows::row(rows::PAYMENTS.0, None),
            reservation: rows::row(RESERVATIONS.0, None),
            shipment: rows::row(SHIPMENTS.0, None),
            told: 0,
            shipped: false,
            cancelled: false,
            confirmed: 0,
            captured: 0,
        };
        let mut state = State {
            orders: vec![order; self.ids.len()],
            stock: rows::row(STOCK.0, Some(stock)),
            intents: [None; INTENTS_MAX],
            remembered: Vec::new(),
            messages: Vec::new(),
            processes: Vec::new(),
            left: self.case.left,
            time: 0,
            fault: None,
        };
        // A message may wait as long as it likes, so what is asked at any time is asked at the beginning.
        for n in 0..self.ids.len() {
            self.publish(&mut state, self.placed[n]);
            for reason in &self.case.asked {
                self.ask(&mut state, n, *reason);
            }
            for _ in 0..self.case.nudges {
                self.publish(&mut state, self.placed[n]);
            }
        }
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.fault.is_some() {
            return;
        }
        let left = state.left;
        if left.expiries > 0 && state.remembered.iter().any(|known| is_shared(state, known.by)) {
            actions.push(Action::Forget);
        }
        if left.lapses > 0 {
            let held = |(_, intent): &(usize, &Option<Intent>)| intent.is_some_and(|intent| intent.status == Status::Held);
            actions.extend(state.intents.iter().enumerate().filter(held).map(|(place, _)| Action::Lapse(place)));
        }
        // Where deliveries have no number, messages do not wait, they are delivered too early or when they are due.
        let waits = state.messages.iter().any(|message| message.due > state.time);
        if waits || (left.any_number && self.conduct().hesitates() && state.time < LAST_TRY) {
            actions.push(Action::Pass);
        }
        for (n, process) in state.processes.iter().enumerate() {
            if n == 0 || state.processes[n - 1] != *process {
                self.turns(left, &process.next, &mut |turn| actions.push(Action::Step(*process, turn)));
            }
        }
        if state.processes.len() >= usize::from(left.at_work) {
            return;
        }
        for (n, message) in state.messages.iter().enumerate() {
            if message.due > state.time || (n > 0 && state.messages[n - 1] == *message) {
                continue;
            }
            self.deliveries(state, *message, actions);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.go(state, action, &mut |_| {})
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises::all()
    }
}

impl World {
    fn deliveries(&self, state: &State, message: Message, actions: &mut Vec<Action>) {
        let payment = message.to == Who::Payment;
        let ages: &[bool] = if message.to == Who::Shipping && self.case.late_shipping { &[false, true] } else { &[false] };
        // Whether an earlier delivery died before its first call matters to payment, which asks how often it has come; and, where
        // messages stay in their queues, to inventory, which waits for units no more.
        let may_wait = message.to == Who::Inventory && state.left.any_number && self.case.stock < self.ids.len() as u64;
        let may_die = payment && (state.left.crashes > 0 || state.left.any_number);
        let crashes: &[bool] = if !message.again && (may_die || may_wait) { &[false, true] } else { &[false] };
        let twins: &[Twin] = match (state.left.duplicates > 0, payment) {
            (false, _) => &[Twin::None],
            (true, false) => &[Twin::None, Twin::Same],
            (true, true) if message.again => &[Twin::None, Twin::Same, Twin::Again],
            (true, true) => &[Twin::None, Twin::Same, Twin::Other, Twin::Again],
        };
        for &after_crash in crashes {
            for &late in ages {
                let message_now = Message { again: message.again || after_crash, ..message };
                let message_now = message_now.as_known();
                let first = stages::working(Process { message: message_now, late, time: state.time, heard: Vec::new() });
                let mut left = state.left;
                if after_crash {
                    left.spend(|left| &mut left.crashes);
                }
                for &twin in twins {
                    self.turns(left, &first.next, &mut |turn| actions.push(Action::Deliver { message, late, after_crash, twin, turn }));
                }
            }
        }
    }
}
