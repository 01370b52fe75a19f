//! The stages at work: the deployed handlers, stores and provider client, stopped at each call that leaves the process.
//!
//! A handler in progress is data: the message and the answers that it has heard so far. To learn what it does next, it is
//! started afresh and told those answers again; the first call beyond them is what it does next. So the handlers are pure
//! functions here, run once for each history, and every state of a process can be kept, compared and left to die. This file
//! does not know what a handler does.

use super::{
    bank::{BankAnswer, NOW_S, Request, mentions, step_s},
    interned::{Interned, Interner},
    rows::{self, Call, TableAnswer},
};
use crate::stripe_key::FixedKey;
use aws_sdk_dynamodb::types::{self, ReturnValue, TransactWriteItem};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use domain::{CloudEvent, Event, EventType, Timestamp, inventory::LOOKS_MAX};
use futures_util::FutureExt as _;
use inventory::{Inventory, warehouse::WarehouseTables};
use lambda_kit::{
    Ambient, Failure,
    batch::Consumer,
    dynamodb::{DynamoDb, Fate, Item, Table, Transacted, Written},
    message::{Delivery, Handled},
};
use payment::{
    Payment,
    key::StripeKey,
    ledger::Payments,
    stripe::{BaseUrl, Stripe, Timeouts},
};
use pipeline::{Consume, Stage};
use shipping::{Shipping, shipments::ShipmentsTable};
use std::{
    future::{Future, pending},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How much older an event is that comes late: more than the five minutes for which payment bets on having no record.
const LATE_S: i64 = 6 * 60;
/// How much later shipping stores what comes late: a seven days' hold is then less than a day from its end.
const LATE_AT_SHIPPING_S: i64 = 6 * 24 * 3_600 + 12 * 3_600;

/// A stage with a queue of its own, of those that matter to how an order ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Who {
    /// `functions/payment`
    Payment,
    /// `functions/inventory`
    Inventory,
    /// `functions/shipping`
    Shipping,
}

impl Who {
    /// All of them.
    pub const ALL: [Who; 3] = [Who::Payment, Who::Inventory, Who::Shipping];

    /// As the pipeline names it.
    pub const fn name(self) -> &'static str {
        match self {
            Who::Payment => "payment",
            Who::Inventory => "inventory",
            Who::Shipping => "shipping",
        }
    }

    /// Whether the stage's subscription lets events of this type through.
    pub const fn hears(self, event: EventType) -> bool {
        match self {
            Who::Payment | Who::Inventory => matches!(event, EventType::OrderPlaced | EventType::OrderShipped | EventType::OrderCancelled),
            Who::Shipping => matches!(
                event,
                EventType::PaymentAuthorized
                    | EventType::PaymentDeclined
                    | EventType::InventoryReserved
                    | EventType::InventoryRejected
                    | EventType::OrderCancelRequested
            ),
        }
    }
}

/// An event on its way, with the PaymentIntents that it names.
#[derive(Debug)]
pub struct SentEvent {
    /// The event.
    pub event: CloudEvent,
    /// See [`mentions`].
    pub mentions: u8,
}

static SENT_EVENTS: Interner<String, SentEvent> = Interner::new();

/// `event`, kept. Traces are cut: they tell two deliveries apart that do the same.
pub fn sent_event(event: CloudEvent) -> Interned<SentEvent> {
    let event = CloudEvent { traceparent: None, ..event };
    let text = event.to_json();
    SENT_EVENTS.keep(&text, || SentEvent { mentions: mentions(&text), event: event.clone() })
}

/// A message in a queue, as far as it can be told from others: where, what, and under which identity the payment provider
/// would recognize its deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Message {
    /// The queue's stage.
    pub to: Who,
    /// The content.
    pub sent: Interned<SentEvent>,
    /// The message id. Two copies of one delivery share it.
    pub id: u8,
    /// Whether it was received before; at inventory, whether it has been looked at before, and so waits no longer.
    pub again: bool,
    /// The step of time before which it is not delivered; 0 for all that do not wait.
    pub due: u8,
}

impl Message {
    /// As the payment provider knows its deliveries: however long it waited.
    #[must_use]
    pub const fn as_known(self) -> Self {
        Self { due: 0, ..self }
    }
}

/// A handler in progress.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Process {
    /// What it handles.
    pub message: Message,
    /// Whether the event has grown old on its way.
    pub late: bool,
    /// The step of time at which it was begun.
    pub time: u8,
    /// What it has heard so far.
    pub heard: Vec<Interned<Heard>>,
}

/// An answer from outside the process.
#[derive(Debug)]
pub struct Heard {
    /// Its content.
    pub what: Reply,
    /// See [`mentions`].
    pub mentions: u8,
}

/// What an answer says.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A table's.
    Table(TableAnswer),
    /// The payment provider's.
    Bank(BankAnswer),
    /// The payment provider's, which was lost.
    Nothing,
}

static HEARD: Interner<String, Heard> = Interner::new();

/// An answer, kept.
pub fn heard(what: &Reply) -> Interned<Heard> {
    let item = |item: &Option<Item>| item.as_ref().map_or_else(|| "none".to_owned(), rows::text_of);
    let text = match what {
        Reply::Table(TableAnswer::Item(found)) => format!("item {}", item(found)),
        Reply::Table(TableAnswer::Written(Written::Done(new))) => format!("done {}", item(new)),
        Reply::Table(TableAnswer::Written(Written::Refused(old))) => format!("refused {}", item(old)),
        Reply::Table(TableAnswer::Transacted(Transacted::Done)) => "transacted".to_owned(),
        Reply::Table(TableAnswer::Transacted(Transacted::Cancelled(fates))) => {
            let fate =
                |fate: &Fate| if let Fate::ConditionFailed(old) = fate { format!("failed {}", item(old)) } else { format!("{fate:?}") };
            format!("cancelled {:?}", fates.iter().map(fate).collect::<Vec<_>>())
        }
        Reply::Bank(said) => format!("{} {}", said.status, said.body),
        Reply::Nothing => "nothing".to_owned(),
    };
    HEARD.keep(&text, || Heard { what: what.clone(), mentions: mentions(&text) })
}

/// A process, and what it does next.
#[derive(Debug)]
pub struct Working {
    /// The process.
    pub process: Process,
    /// What it does next.
    pub next: Next,
    /// See [`mentions`].
    pub mentions: u8,
}

/// What a process does next.
#[derive(Debug)]
pub enum Next {
    /// It calls a table.
    Call(Call),
    /// It asks the payment provider.
    Ask(Request),
    /// It publishes these, and is done.
    Publish(Vec<Interned<SentEvent>>),
    /// It wants the message again, later.
    Wait,
    /// Its retries end.
    Fail(Failure),
}

static WORKING: Interner<Process, Working> = Interner::new();

/// The process, run up to its next call.
pub fn working(process: Process) -> Interned<Working> {
    WORKING.keep(&process, || {
        let mentions = process.heard.iter().map(|heard| heard.mentions).fold(process.message.sent.mentions, |all, one| all | one);
        Working { next: next(&process), mentions, process: process.clone() }
    })
}

fn next(process: &Process) -> Next {
    let script = Script::default();
    script.lock().answers.clone_from(&process.heard);
    let Message { to, sent: about, id, again, .. } = process.message;
    let now_s = NOW_S + step_s(process.time);
    let late_s = if process.late { LATE_S } else { 0 };
    let event = CloudEvent { time: at(about.event.time.as_second() - late_s), ..about.event.clone() };
    let delivery = Delivery {
        message_id: format!("{}-{id}", event.event.event_type().stem()),
        attempt: if again { 2 } else { 1 },
        checks: if again && to == Who::Inventory { LOOKS_MAX } else { 0 },
        ..Delivery::default()
    };
    let table = |(name, key): (&'static str, &'static str)| Table::new(script.clone(), name, key);
    let done = match to {
        Who::Payment => {
            let connector = SharedHttpConnector::new(script.clone());
            let provider = Stripe::over(connector, BaseUrl::default(), StripeKey::new(FixedKey), Timeouts::default());
            let stage = Payment { ledger: Payments(table(rows::PAYMENTS)), provider, ambient: Still(now_s) };
            run(stage, &event, &delivery)
        }
        Who::Inventory => {
            let warehouse = WarehouseTables::new(script.clone(), rows::STOCK.0, rows::RESERVATIONS.0);
            run(Inventory { warehouse, ambient: Still(NOW_S), stock_wait: Duration::from_secs(LOOKS_MAX.into()) }, &event, &delivery)
        }
        Who::Shipping => {
            let now_s = now_s + if process.late { LATE_AT_SHIPPING_S } else { 0 };
            let shipments = ShipmentsTable::new(script.clone(), rows::SHIPMENTS.0);
            run(Shipping { shipments, ambient: Still(now_s) }, &event, &delivery)
        }
    };
    match (done, script.lock().next.take()) {
        (None, Some(next)) => next,
        (Some(Ok(handled)), None) if handled.look_again_after.is_some() && handled.publish.is_empty() => Next::Wait,
        (Some(Ok(handled)), None) => {
            let read = |message: &lambda_kit::message::Outgoing| CloudEvent::parse(&message.body).map(sent_event);
            match handled.publish.iter().map(read).collect() {
                Ok(sent) => Next::Publish(sent),
                Err(error) => Next::Fail(Failure::bug("UnreadableAnnouncement", error)),
            }
        }
        (Some(Err(failure)), None) => Next::Fail(failure),
        (None, None) => Next::Fail(Failure::bug("Waits", "the handler waits for something that is no call")),
        (Some(_), Some(_)) => Next::Fail(Failure::bug("Ended", "the handler ended with a call under way")),
    }
}

/// Runs a stage behind its queue until it ends, or waits for a call.
fn run<S: Stage>(stage: S, event: &CloudEvent, delivery: &Delivery) -> Option<Result<Handled, Failure>> {
    thread_local! {
        // Timers want a runtime. Nobody drives it, so no time passes.
        static CLOCK: std::io::Result<tokio::runtime::Runtime> =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    }
    CLOCK.with(|clock| {
        let _inside = clock.as_ref().map(|clock| clock.enter());
        Consume { stage, ambient: Still(NOW_S) }.handle(event, delivery).now_or_never()
    })
}

/// A time, in whole seconds.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A clock that does not move, and random numbers that are always the same: only the world's state differs.
#[derive(Debug, Clone, Copy)]
struct Still(i64);

impl Ambient for Still {
    fn now(&self) -> Timestamp {
        at(self.0)
    }
    fn random(&self) -> u64 {
        4
    }
}

/// What stands at the other end of every call of one process.
#[derive(Debug, Clone, Default)]
struct Script(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    answers: Vec<Interned<Heard>>,
    asked: usize,
    /// The call that has no answer yet.
    next: Option<Next>,
}

impl Script {
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to the next call; where there is none yet, there never is.
    fn answer(&self, next: Next) -> impl Future<Output = Reply> + Send + use<> {
        let mut lines = self.lock();
        let answer = lines.answers.get(lines.asked).map(|heard| heard.what.clone());
        lines.asked += 1;
        if answer.is_none() {
            lines.next = Some(next);
        }
        async move {
            match answer {
                Some(answer) => answer,
                None => pending().await,
            }
        }
    }

    async fn of_table(&self, call: Call) -> Result<TableAnswer, Failure> {
        match self.answer(Next::Call(call)).await {
            Reply::Table(answer) => Ok(answer),
            other => Err(Failure::bug("OtherCall", format_args!("run again, the handler makes another call than before {other:?}"))),
        }
    }
}

fn other_call(answer: &TableAnswer) -> Failure {
    Failure::bug("OtherCall", format_args!("run again, the handler makes another call than before {answer:?}"))
}

impl DynamoDb for Script {
    async fn get_item(&self, table: &str, (_, key): (&str, &str)) -> Result<Option<Item>, Failure> {
        match self.of_table(Call::Get(table.to_owned(), key.to_owned())).await? {
            TableAnswer::Item(item) => Ok(item),
            other => Err(other_call(&other)),
        }
    }
    async fn put_item(&self, put: types::Put) -> Result<Written, Failure> {
        match self.of_table(Call::Put(put)).await? {
            TableAnswer::Written(written) => Ok(written),
            other => Err(other_call(&other)),
        }
    }
    async fn update_item(&self, update: types::Update, returns: ReturnValue) -> Result<Written, Failure> {
        match self.of_table(Call::Update(update, returns)).await? {
            TableAnswer::Written(written) => Ok(written),
            other => Err(other_call(&other)),
        }
    }
    async fn transact_write_items(&self, actions: Vec<TransactWriteItem>) -> Result<Transacted, Failure> {
        match self.of_table(Call::Transact(actions)).await? {
            TableAnswer::Transacted(transacted) => Ok(transacted),
            other => Err(other_call(&other)),
        }
    }
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let next = match Request::parse(request.method(), request.uri(), request.headers().get("idempotency-key"), &body) {
            Ok(request) => Next::Ask(request),
            Err(failure) => Next::Fail(failure),
        };
        let answer = self.answer(next);
        HttpConnectorFuture::new(async move {
            match answer.await {
                Reply::Bank(BankAnswer { status, body }) => StatusCode::try_from(status)
                    .map(|status| HttpResponse::new(status, SdkBody::from(body)))
                    .map_err(|error| ConnectorError::other(error.into(), None)),
                Reply::Nothing => Err(ConnectorError::timeout("the answer was lost".into())),
                Reply::Table(answer) => Err(ConnectorError::other(format!("not the provider's: {answer:?}").into(), None)),
            }
        })
    }
}

/// The data of an order's first event.
pub fn placed(order: domain::OrderId, placed: Event) -> Interned<SentEvent> {
    sent_event(CloudEvent {
        source: "/order-intake".to_owned(),
        subject: domain::Subject::Order(order),
        time: at(NOW_S),
        traceparent: None,
        event: placed,
    })
}
