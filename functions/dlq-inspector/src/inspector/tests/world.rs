//! Everything outside the function, in memory: queues that hide, lock and forget as SQS does, topics, logs, an archive; and a
//! process that dies at a call, before or after its effect.

use crate::inspector::{
    message::tests::text,
    ports::{
        Archive, LastErrors, Logged, Logs, MoveTask, Outbound, PAGE_MAX, Payments, QueueFacts, Queues, ReceivedMessage, Resource, Route,
        Stack, Topics,
    },
};
use domain::{Timestamp, uncollected::Uncollected};
use lambda_kit::{Ambient, Failure, batch::Attribute};
use pipeline::uncollected::Unsettled;
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

pub(super) const ACCOUNT: &str = "arn:aws:sqs:us-east-1:000000000000:";
pub(super) const TOPIC: &str = "arn:aws:sns:us-east-1:000000000000:stack-order-events.fifo";
/// How long a FIFO queue knows a deduplication id.
pub(super) const DEDUPLICATION: Duration = Duration::from_secs(300);

#[derive(Clone, PartialEq, Debug)]
pub(super) struct Stored {
    pub(super) id: String,
    pub(super) body: String,
    pub(super) attributes: Vec<(String, Attribute)>,
    pub(super) group: Option<String>,
    pub(super) sent_at: Timestamp,
    pub(super) hidden_until: Option<Instant>,
    pub(super) receives: u32,
    pub(super) moved_from: Option<String>,
}

#[derive(Default)]
pub(super) struct Queue {
    pub(super) logical_id: &'static str,
    pub(super) name: &'static str,
    pub(super) redrives_to: Option<&'static str>,
    pub(super) messages: BTreeMap<u64, Stored>,
    pub(super) deduplicated: HashMap<String, Instant>,
}

/// Everything outside the function.
pub(super) struct World {
    pub(super) queues: RefCell<Vec<Queue>>,
    pub(super) published: RefCell<Vec<(String, Outbound)>>,
    pub(super) alerts: RefCell<Vec<(String, String)>>,
    pub(super) logged: RefCell<HashMap<String, Logged>>,
    pub(super) archive: RefCell<BTreeMap<String, Vec<u8>>>,
    pub(super) unsettled: RefCell<Vec<Uncollected>>,
    pub(super) began: Instant,
    pub(super) number: Cell<u64>,
    pub(super) latency: Duration,
    /// Whether latencies differ, so that two processes interleave.
    pub(super) rough: bool,
    pub(super) calls: Cell<usize>,
    /// At which call the process dies, and whether that call had its effect.
    pub(super) dies_at: Cell<Option<(usize, bool)>>,
    /// Sends that fail, by body.
    pub(super) refuses: RefCell<HashSet<String>>,
    /// Whether the role may not delete.
    pub(super) keeps: bool,
    /// Whether the consumer's log is too long to be read to its end.
    pub(super) endless_log: bool,
    /// Whether the consumer fails every redriven message again.
    pub(super) returns: bool,
    /// Whether this SQS has move tasks.
    pub(super) has_tasks: bool,
    /// The last task: where from, where to, how fast a second, how many moved, and since when it runs.
    pub(super) task: RefCell<Option<Task>>,
}

pub(super) struct Task {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) rate: u32,
    pub(super) to_move: u64,
    pub(super) moved: u64,
    pub(super) since: Instant,
}

impl World {
    pub(super) fn new() -> Self {
        let queue = |logical_id, name, redrives_to| Queue { logical_id, name, redrives_to, ..Queue::default() };
        let queues = vec![
            queue("PaymentQueue", "stack-PaymentQueue-1", Some("stack-PaymentDeadLetterQueue-1")),
            queue("PaymentDeadLetterQueue", "stack-PaymentDeadLetterQueue-1", None),
            queue("ShippingQueue", "stack-shipping.fifo", Some("stack-shipping-dead-letter.fifo")),
            queue("ShippingDeadLetterQueue", "stack-shipping-dead-letter.fifo", None),
            queue("UndeliveredQueue", "stack-undelivered.fifo", None),
            queue("EmailListQueue", "stack-EmailListQueue-1", None),
        ];
        Self {
            queues: RefCell::new(queues),
            published: RefCell::default(),
            alerts: RefCell::default(),
            logged: RefCell::default(),
            archive: RefCell::default(),
            unsettled: RefCell::default(),
            began: Instant::now(),
            number: Cell::new(0),
            latency: Duration::ZERO,
            rough: false,
            calls: Cell::default(),
            dies_at: Cell::default(),
            refuses: RefCell::default(),
            keeps: false,
            endless_log: false,
            returns: false,
            has_tasks: false,
            task: RefCell::default(),
        }
    }

    /// Lets a task do what its time allows.
    pub(super) fn work_on_task(&self) {
        let mut task = self.task.borrow_mut();
        let Some(task) = task.as_mut() else { return };
        let due = u64::from(task.rate) * task.since.elapsed().as_secs();
        while task.moved < due {
            let is_visible = |stored: &Stored| stored.hidden_until.is_none_or(|until| until <= Instant::now());
            let first = |queue: &mut Queue| {
                let number = *queue.messages.iter().find(|(_, stored)| is_visible(stored))?.0;
                queue.messages.remove(&number)
            };
            let Some(stored) = self.with(&task.from, first) else { break };
            self.store(&task.to, &stored.body, stored.attributes, None);
            task.moved += 1;
        }
    }

    /// Puts a message into a queue.
    pub(super) fn put(&self, queue: &str, body: &str, attributes: &[(&str, &str)], group: Option<&str>) -> String {
        let attributes = attributes.iter().map(|(name, value)| text(name, value)).collect();
        self.store(queue, body, attributes, group.map(str::to_owned))
    }

    pub(super) fn store(&self, queue: &str, body: &str, attributes: Vec<(String, Attribute)>, group: Option<String>) -> String {
        let number = self.number.replace(self.number.get() + 1);
        let id = format!("{number:08x}-0000-4000-8000-000000000000");
        let (sent_at, body) = (self.now(), body.to_owned());
        let stored = Stored { id: id.clone(), body, attributes, group, sent_at, hidden_until: None, receives: 0, moved_from: None };
        self.with(queue, |queue| queue.messages.insert(number, stored));
        id
    }

    /// Parks `count` messages of payment, with causes in turn.
    pub(super) fn parked(&self, count: usize, causes: &[&str]) {
        for n in 0..count {
            let body = json!({ "type": "order.placed.v1", "n": n }).to_string();
            let attributes = [
                ("ErrorType", causes[n % causes.len()]),
                ("ErrorMessage", "why"),
                ("SourceQueue", "stack-PaymentQueue-1"),
                ("OriginalMessageId", "o"),
                ("FailedAt", "2026-05-04T10:11:12Z"),
                ("type", "order.placed.v1"),
            ];
            self.put("payment-dead", &body, &attributes, None);
        }
    }

    pub(super) fn with<T>(&self, name: &str, of: impl FnOnce(&mut Queue) -> T) -> T {
        let name = match name {
            "payment" => "stack-PaymentQueue-1",
            "payment-dead" => "stack-PaymentDeadLetterQueue-1",
            "shipping" => "stack-shipping.fifo",
            "shipping-dead" => "stack-shipping-dead-letter.fifo",
            "undelivered" => "stack-undelivered.fifo",
            url => url.rsplit(['/', ':']).next().unwrap(),
        };
        of(self.queues.borrow_mut().iter_mut().find(|queue| queue.name == name).expect("no such queue"))
    }

    pub(super) fn bodies(&self, queue: &str) -> Vec<String> {
        self.with(queue, |queue| queue.messages.values().map(|stored| stored.body.clone()).collect())
    }

    /// What is in a queue but for receives and leases.
    pub(super) fn content(&self, queue: &str) -> Vec<Stored> {
        let plain = |stored: &Stored| Stored { hidden_until: None, receives: 0, ..stored.clone() };
        self.with(queue, |queue| queue.messages.values().map(plain).collect())
    }

    pub(super) fn hidden(&self, queue: &str) -> usize {
        let now = Instant::now();
        self.with(queue, |queue| queue.messages.values().filter(|stored| stored.hidden_until.is_some_and(|until| until > now)).count())
    }

    pub(super) fn audits(&self) -> Vec<Value> {
        let archive = self.archive.borrow();
        archive.iter().filter(|(key, _)| key.starts_with("audit/")).map(|(_, bytes)| serde_json::from_slice(bytes).unwrap()).collect()
    }

    pub(super) fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.began.elapsed().as_millis()).unwrap();
        Timestamp::from_millisecond(1_777_889_472_000 + passed).unwrap()
    }

    pub(super) fn random(&self) -> u64 {
        crate::seen::hash(&self.number.replace(self.number.get() + 1).to_string())
    }
}

/// A process's life.
#[derive(Default)]
pub(super) struct Life {
    pub(super) dead: Cell<bool>,
    pub(super) death: Notify,
}

/// The world, as one process reaches it.
#[derive(Clone, Copy)]
pub(super) struct Port<'w> {
    pub(super) world: &'w World,
    pub(super) life: &'w Life,
}

impl Port<'_> {
    /// A call: it takes its time, and the process may die before or after its effect.
    pub(super) async fn call<T>(&self, effect: impl FnOnce(&World) -> T) -> T {
        let world = self.world;
        let call = world.calls.replace(world.calls.get() + 1);
        let wait = if world.rough { Duration::from_millis(world.random() % 20) } else { world.latency };
        if !wait.is_zero() {
            sleep(wait).await;
        }
        self.die_if((call, false)).await;
        let done = effect(world);
        self.die_if((call, true)).await;
        done
    }

    pub(super) async fn die_if(&self, now: (usize, bool)) {
        if self.world.dies_at.get() == Some(now) {
            self.world.dies_at.set(None);
            self.life.dead.set(true);
            self.life.death.notify_one();
        }
        if self.life.dead.get() {
            std::future::pending().await
        }
    }
}

impl Ambient for Port<'_> {
    fn now(&self) -> Timestamp {
        self.world.now()
    }
    fn random(&self) -> u64 {
        self.world.random()
    }
}

impl Stack for Port<'_> {
    async fn resources(&self) -> Result<Vec<Resource>, Failure> {
        let resource = |logical_id: &str, physical_id: &str, kind: &str| Resource {
            logical_id: logical_id.into(),
            physical_id: physical_id.into(),
            kind: kind.into(),
        };
        let list = |world: &World| {
            let queues = world.queues.borrow();
            let url = |queue: &Queue| format!("https://sqs.example/000000000000/{}", queue.name);
            let mut list: Vec<_> = queues.iter().map(|queue| resource(queue.logical_id, &url(queue), "AWS::SQS::Queue")).collect();
            list.push(resource("OrderEventsTopic", TOPIC, "AWS::SNS::Topic"));
            list.push(resource("PaymentSubscription", "arn:subscription", "AWS::SNS::Subscription"));
            list.push(resource("PaymentLogGroup", "payment-log", "AWS::Logs::LogGroup"));
            list
        };
        Ok(self.call(list).await)
    }
}

impl Queues for Port<'_> {
    async fn facts(&self, url: &str) -> Result<QueueFacts, Failure> {
        let hidden = self.world.hidden(url);
        let facts = |queue: &mut Queue| QueueFacts {
            arn: format!("{ACCOUNT}{}", queue.name),
            dead_letter_arn: queue.redrives_to.map(|name| format!("{ACCOUNT}{name}")),
            visible: u64::try_from(queue.messages.len() - hidden).unwrap(),
            in_flight: u64::try_from(hidden).unwrap(),
        };
        Ok(self.call(|world| world.with(url, facts)).await)
    }

    async fn receive(&self, url: &str, most: usize, lease: Duration) -> Result<Vec<ReceivedMessage>, Failure> {
        assert!((1..=PAGE_MAX).contains(&most));
        let take = |queue: &mut Queue| {
            let now = Instant::now();
            let (mut received, mut locked) = (Vec::new(), HashSet::new());
            for (number, stored) in &mut queue.messages {
                if received.len() == most {
                    break;
                }
                let is_locked = stored.group.as_ref().is_some_and(|group| locked.contains(group));
                if is_locked || stored.hidden_until.is_some_and(|until| until > now) {
                    locked.extend(stored.group.clone());
                    continue;
                }
                stored.hidden_until = Some(now + lease);
                stored.receives += 1;
                received.push(ReceivedMessage {
                    message_id: stored.id.clone(),
                    receipt: format!("{number}#{}", stored.receives),
                    body: stored.body.clone(),
                    attributes: stored.attributes.clone(),
                    group_id: stored.group.clone(),
                    receives: stored.receives,
                    sent_at: stored.sent_at,
                    moved_from: stored.moved_from.clone(),
                });
            }
            received
        };
        let received = self.call(|world| world.with(url, take)).await;
        if received.is_empty() {
            sleep(Duration::from_secs(1)).await;
        }
        Ok(received)
    }

    async fn release(&self, url: &str, receipts: &[String]) -> Result<(), Failure> {
        assert!((1..=PAGE_MAX).contains(&receipts.len()));
        let give_back = |queue: &mut Queue| {
            for receipt in receipts {
                if let Some(stored) = current(queue, receipt) {
                    stored.hidden_until = None;
                }
            }
        };
        self.call(|world| world.with(url, give_back)).await;
        Ok(())
    }

    async fn send(&self, url: &str, message: &Outbound) -> Result<(), Failure> {
        if self.world.refuses.borrow().contains(&message.body) {
            return Err(Failure::transient("Throttling", "SendMessage failed"));
        }
        let fifo = url.ends_with(".fifo");
        assert_eq!((message.group_id.is_some(), message.deduplication_id.is_some()), (fifo, fifo));
        let send = |world: &World| {
            let now = Instant::now();
            let is_known = message.deduplication_id.as_ref().is_some_and(|id| {
                let before = world.with(url, |queue| queue.deduplicated.insert(id.clone(), now));
                before.is_some_and(|at| now - at < DEDUPLICATION)
            });
            if !is_known {
                let place = if world.returns { "payment-dead" } else { url };
                world.store(place, &message.body, message.attributes.clone(), message.group_id.clone());
            }
        };
        self.call(send).await;
        Ok(())
    }

    async fn delete(&self, url: &str, receipt: &str) -> Result<(), Failure> {
        if self.world.keeps {
            return Err(Failure::transient("AccessDenied", "DeleteMessage failed"));
        }
        let delete = |queue: &mut Queue| {
            if current(queue, receipt).is_some() {
                queue.messages.remove(&receipt.split('#').next().unwrap().parse().unwrap());
            }
        };
        self.call(|world| world.with(url, delete)).await;
        Ok(())
    }

    async fn last_move(&self, from_arn: &str) -> Result<Option<Option<MoveTask>>, Failure> {
        let last = |world: &World| {
            world.work_on_task();
            let task = world.task.borrow();
            task.as_ref().filter(|task| task.from == from_arn).map(|task| {
                let over = world.content(&task.from).len() == world.hidden(&task.from);
                MoveTask { over, moved: task.moved, to_move: task.to_move, failure: None }
            })
        };
        let last = self.call(last).await;
        Ok(self.world.has_tasks.then_some(last))
    }

    async fn start_move(&self, from_arn: &str, to_arn: &str, rate: Option<u32>) -> Result<(), Failure> {
        let start = |world: &World| {
            let to_move = u64::try_from(world.content(from_arn).len()).unwrap();
            let (from, to) = (from_arn.to_owned(), to_arn.to_owned());
            let task = Task { from, to, rate: rate.unwrap_or(100), to_move, moved: 0, since: Instant::now() };
            assert!(world.task.replace(Some(task)).is_none(), "SQS takes one task of a queue at a time");
        };
        self.call(start).await;
        Ok(())
    }
}

/// The message of a receipt, while it is its last.
pub(super) fn current<'q>(queue: &'q mut Queue, receipt: &str) -> Option<&'q mut Stored> {
    let (number, receives) = receipt.split_once('#').unwrap();
    queue.messages.get_mut(&number.parse().unwrap()).filter(|stored| stored.receives.to_string() == receives)
}

impl Topics for Port<'_> {
    async fn route(&self, _: &str) -> Result<Route, Failure> {
        let dead_letter_arn = Some(format!("{ACCOUNT}stack-undelivered.fifo"));
        Ok(self.call(|_| Route { topic_arn: TOPIC.into(), dead_letter_arn }).await)
    }
    async fn publish(&self, topic_arn: &str, message: &Outbound) -> Result<(), Failure> {
        self.call(|world| world.published.borrow_mut().push((topic_arn.to_owned(), message.clone()))).await;
        Ok(())
    }
    async fn alert(&self, subject: &str, text: &str) -> Result<(), Failure> {
        self.call(|world| world.alerts.borrow_mut().push((subject.to_owned(), text.to_owned()))).await;
        Ok(())
    }
}

impl Logs for Port<'_> {
    async fn last_errors(&self, group: &str, message_ids: &[&str], _: Timestamp) -> Result<LastErrors, Failure> {
        assert!(group == "payment-log" && (1..=PAGE_MAX).contains(&message_ids.len()));
        let find = |world: &World| {
            let logged = world.logged.borrow();
            let by_id = message_ids.iter().filter_map(|id| Some(((*id).to_owned(), logged.get(*id)?.clone()))).collect();
            LastErrors { by_id, complete: !world.endless_log }
        };
        Ok(self.call(find).await)
    }
}

impl Archive for Port<'_> {
    async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        self.call(|world| world.archive.borrow_mut().insert(key.to_owned(), bytes)).await;
        Ok(())
    }
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.call(|world| world.archive.borrow().get(key).cloned()).await)
    }
}

impl Payments for Port<'_> {
    async fn unsettled(&self, most: usize) -> Result<Unsettled, Failure> {
        let payments = self.call(|world| world.unsettled.borrow().clone()).await;
        let complete = payments.len() <= most;
        Ok(Unsettled { payments: payments.into_iter().take(most).collect(), complete })
    }
}
