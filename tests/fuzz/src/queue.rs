//! A batch through the batch core, and what must hold of it whatever it was.
//!
//! The consumer does what the body says, byte by byte, so that a mutated body is another story: unreadable, a panic, a failure
//! of each kind, events that are refused, an end that never comes. Its texts are the body too, so that every text that could
//! become an attribute of a parked message is an arbitrary one.

use crate::block_on;
use aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use jiff::Timestamp;
use lambda_kit::{
    Ambient, Failure,
    batch::{
        ATTRIBUTE_TEXT_MAX, ATTRIBUTES_MAX, Attribute, BACK_OFF_MAX, Batch, CHECKS, Consumer, DELAY_MAX, Delayed, Hide, NOT_BEFORE, Parked,
        Queue, QueueError, SEND_BYTES_MAX, SEND_ENTRIES_MAX,
    },
    message::{Delivery, Handled, Incoming, Outgoing},
    publish::{BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, PublishError, Publisher},
};
use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    sync::Once,
    time::Duration,
};
use tokio::time::Instant;

/// What the consumer and its ends panic with where the input says so.
const SCRIPTED: &str = "scripted";
/// More than any event source mapping of ours delivers; beyond it an input is only slow.
const RECORDS_MAX: usize = 32;

/// The faults around the consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, arbitrary::Arbitrary)]
pub enum Fault {
    /// Nothing.
    None,
    /// The topic refuses every third message.
    TopicRefuses,
    /// The topic says nothing about its last message.
    TopicIsSilent,
    /// The topic's client panics.
    TopicPanics,
    /// The dead-letter queue refuses.
    ParkingRefused,
    /// The dead-letter queue's client panics.
    ParkingPanics,
    /// Hiding panics.
    HidingPanics,
    /// The queue refuses every third copy of what is to be looked at again.
    CopyRefused,
    /// Sending copies panics.
    SendingPanics,
}

/// What happened, by the place of the record in its batch.
#[derive(Default)]
struct Story {
    fault: Cell<Option<Fault>>,
    began: RefCell<Vec<usize>>,
    /// Handled, with the number of events that followed, and whether it is wanted again.
    handled: RefCell<HashMap<usize, (usize, bool)>>,
    published: RefCell<HashSet<String>>,
    parked: RefCell<Vec<Parked>>,
    /// Copies that were taken.
    delayed: RefCell<Vec<Delayed>>,
    hidden: RefCell<Vec<Hide>>,
}

/// Handles `records` and checks what came of it.
pub fn check(mut records: Vec<SqsMessage>, fault: Fault) {
    let_scripted_panics_unwind();
    records.truncate(RECORDS_MAX);
    // Each its own id, so that the story can be told; it stays as odd, and as missing, as it was.
    for (place, record) in records.iter_mut().enumerate() {
        record.message_id = record.message_id.take().map(|id| if id.is_empty() { id } else { format!("{place}:{id}") });
        record.receipt_handle = record.receipt_handle.take().map(|handle| if handle.is_empty() { handle } else { place.to_string() });
    }
    let story = Story::default();
    story.fault.set(Some(fault));
    let mut event = SqsEvent::default();
    event.records = records.clone();
    let batch = Batch { consumer: &story, publisher: &story, queue: &story, ambient: &story };
    let response = block_on(batch.handle(event, Instant::now() + Duration::from_secs(60)));
    let mut reported: Vec<_> = response.batch_item_failures.into_iter().map(|failure| failure.item_identifier).collect();

    let groups: Vec<_> = records.iter().map(group).collect();
    let named = |place: usize| records[place].message_id.as_deref().is_some_and(|id| !id.is_empty());
    let mut failed = vec![false; records.len()];
    for place in (0..records.len()).filter(|place| named(*place)) {
        let at = reported.iter().position(|id| records[place].message_id.as_ref() == Some(id));
        failed[place] = at.map(|at| reported.swap_remove(at)).is_some();
        let parked = story.parked.borrow().iter().filter(|parked| is_of(parked, place)).count();
        let held_back = groups[place].is_some() && (0..place).any(|before| groups[before] == groups[place] && failed[before]);
        assert!(parked <= 1, "parked once, if at all");
        assert_eq!(!failed[place], parked == 1 || (story.is_done(place) && !held_back), "acknowledged: handled or parked");
    }
    assert!(reported.iter().all(String::is_empty), "reported by their ids, and each once: {reported:?}");
    // Which of the nameless it was cannot be seen from outside: as many are reported as could not be parked.
    let nameless = (0..records.len()).filter(|place| !named(*place)).count();
    let parked = story.parked.borrow().iter().filter(|parked| text(parked, "OriginalMessageId") == "unknown").count();
    assert_eq!(reported.len() + parked, nameless, "one without an id is parked, or has the whole batch delivered again");

    let began = story.began.borrow();
    assert_eq!(began.iter().collect::<HashSet<_>>().len(), began.len(), "begun once");
    for (n, place) in began.iter().enumerate() {
        let overtaken = began[..n].iter().any(|before| groups[*place].is_some() && groups[*before] == groups[*place] && before > place);
        assert!(!overtaken, "a FIFO group is handled in its order");
    }

    story.parked.borrow().iter().for_each(legal);
    for copy in story.delayed.borrow().iter() {
        let place: usize = copy.copy_of.split(':').next().and_then(|place| place.parse().ok()).expect("a copy of one with an id");
        assert_eq!(Some(&copy.body), records[place].body.as_ref(), "as it came");
        assert!(!records[place].event_source_arn.as_deref().is_some_and(|arn| arn.ends_with(".fifo")), "no delay on FIFO queues");
        assert!((1..=DELAY_MAX.as_secs()).contains(&u64::from(copy.delay_s)));
        assert!(copy.attributes.len() <= ATTRIBUTES_MAX && copy.attributes[0].0 == CHECKS && copy.attributes[1].0 == NOT_BEFORE);
        well_formed(&copy.attributes);
    }
    let hidden: Vec<usize> = story.hidden.borrow().iter().map(|hide| hide.receipt_handle.parse().expect("a receipt of its own")).collect();
    assert_eq!(hidden.iter().collect::<HashSet<_>>().len(), hidden.len(), "hidden once");
    assert!(story.hidden.borrow().iter().all(|hide| u64::from(hide.seconds) <= BACK_OFF_MAX.as_secs()));
    for place in (0..records.len()).filter(|place| named(*place)) {
        let has_receipt = records[place].receipt_handle.as_deref().is_some_and(|handle| !handle.is_empty());
        let is_hidden = failed[place] && has_receipt && fault != Fault::HidingPanics;
        assert_eq!(hidden.contains(&place), is_hidden, "what is reported waits its back-off, and nothing else");
    }
}

/// Lets scripted panics unwind, which the batch core must survive. libFuzzer's own hook ends the process at any panic, also at
/// one that somebody would catch: it stays, for panics that nobody asked for.
fn let_scripted_panics_unwind() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if panic.payload_as_str() != Some(SCRIPTED) {
                others(panic);
            }
        }));
    });
}

/// The message group, on FIFO queues.
fn group(record: &SqsMessage) -> Option<String> {
    let fifo = record.event_source_arn.as_deref().is_some_and(|arn| arn.ends_with(".fifo"));
    record.attributes.get("MessageGroupId").filter(|group| fifo && !group.is_empty()).cloned()
}

fn text<'p>(parked: &'p Parked, name: &str) -> &'p str {
    match parked.attributes.iter().find(|(known, _)| known == name) {
        Some((_, Attribute::Text { value, .. })) => value,
        _ => "",
    }
}

fn is_of(parked: &Parked, place: usize) -> bool {
    text(parked, "OriginalMessageId").split_once(':').is_some_and(|(found, _)| found == place.to_string())
}

/// What SQS takes, and what an operator may rely on.
fn legal(parked: &Parked) {
    const REASONS: [&str; 5] = ["ErrorType", "ErrorMessage", "SourceQueue", "OriginalMessageId", "FailedAt"];
    assert!(!parked.body.is_empty());
    assert!(parked.attributes.len() <= ATTRIBUTES_MAX);
    for reason in REASONS {
        assert!(parked.attributes.iter().any(|(name, _)| name == reason), "{reason} is missing");
    }
    well_formed(&parked.attributes);
    for (name, attribute) in parked.attributes.iter().take(REASONS.len()) {
        if let Attribute::Text { value, .. } = attribute {
            assert!(value.len() <= ATTRIBUTE_TEXT_MAX && !value.chars().any(char::is_control), "{name}: {value:?}");
        }
    }
    assert_eq!(parked.group_id.is_some(), parked.deduplication_id.is_some());
    for id in [&parked.group_id, &parked.deduplication_id].into_iter().flatten() {
        assert!(!id.is_empty(), "a FIFO queue refuses an empty group or deduplication id");
    }
}

/// SQS refuses a message with anything else.
fn well_formed(attributes: &[(String, Attribute)]) {
    let mut names = HashSet::new();
    for (name, attribute) in attributes {
        assert!(!name.is_empty() && names.insert(name), "{name:?} is empty, or stands twice");
        match attribute {
            Attribute::Text { data_type, value } => assert!(!data_type.is_empty() && !value.is_empty(), "{name} is empty"),
            Attribute::Binary { data_type, value } => assert!(!data_type.is_empty() && !value.is_empty(), "{name} is empty"),
        }
    }
}

/// What a body tells the consumer to do.
struct Script {
    body: String,
    handle: u8,
    publish: usize,
    bytes: usize,
}

impl Consumer for &Story {
    type Message = Script;

    fn read(&self, body: &str) -> Result<Incoming<Script>, Failure> {
        let mut bytes = body.bytes();
        let mut next = || bytes.next().unwrap_or_default();
        match next() % 16 {
            0 => return Err(Failure::permanent(body, body)),
            1 => return Err(Failure::transient(body, body)),
            2 => return Err(Failure::bug(body, body)),
            3 => std::panic::panic_any(SCRIPTED),
            _ => {}
        }
        let contends_for = (0..next() % 3).map(|n| format!("row {}", next() % (n + 2))).collect();
        let message = Script { handle: next(), publish: usize::from(next() % 13), bytes: usize::from(next()) << 9, body: body.to_owned() };
        Ok(Incoming { message, event_id: body.to_owned(), subject: body.to_owned(), traceparent: Some(body.to_owned()), contends_for })
    }

    async fn handle(&self, script: &Script, delivery: &Delivery) -> Result<Handled, Failure> {
        let place: usize = delivery.message_id.split(':').next().and_then(|place| place.parse().ok()).expect("the id it was given");
        self.began.borrow_mut().push(place);
        tokio::time::sleep(Duration::from_millis(u64::from(script.handle))).await;
        let body = script.body.as_str();
        match script.handle % 12 {
            0 => return Err(Failure::permanent(body, body)),
            1 => return Err(Failure::transient(body, body)),
            2 => return Err(Failure::bug(body, body)),
            3 => std::panic::panic_any(SCRIPTED),
            4 => std::future::pending::<()>().await,
            _ => {}
        }
        let outgoing = |n| Outgoing {
            group_id: "g".into(),
            deduplication_id: format!("{place}/{n}"),
            body: "x".repeat(script.bytes),
            attributes: vec![],
        };
        let look_again_after = (script.handle % 12 == 5).then(|| Duration::from_secs(u64::MAX >> (script.handle / 4)));
        self.handled.borrow_mut().insert(place, (script.publish, look_again_after.is_some()));
        Ok(Handled { publish: (0..script.publish).map(outgoing).collect(), look_again_after })
    }
}

impl Story {
    /// Whether the record was handled and all that follows from it is out, and a copy of it if it is wanted again; or whether it
    /// came before its time and only a copy of it was sent.
    fn is_done(&self, place: usize) -> bool {
        let published = self.published.borrow();
        let is_copied = self.delayed.borrow().iter().any(|copy| copy.copy_of.split(':').next() == Some(&place.to_string()));
        match self.handled.borrow().get(&place) {
            Some((events, again)) => *again == is_copied && (0..*events).all(|n| published.contains(&format!("{place}/{n}"))),
            None => is_copied,
        }
    }
    fn suffers(&self, fault: Fault) -> bool {
        self.fault.get() == Some(fault)
    }
}

impl Publisher for &Story {
    async fn publish(&self, batch: &[Outgoing]) -> Vec<Result<(), PublishError>> {
        assert!((1..=BATCH_ENTRIES_MAX).contains(&batch.len()));
        assert!(batch.len() == 1 || batch.iter().map(Outgoing::size).sum::<usize>() <= BATCH_BYTES_MAX);
        if self.suffers(Fault::TopicPanics) {
            std::panic::panic_any(SCRIPTED);
        }
        let said = batch.len() - usize::from(self.suffers(Fault::TopicIsSilent));
        let answer = |(n, outgoing): (usize, &Outgoing)| {
            if self.suffers(Fault::TopicRefuses) && n % 3 == 0 {
                return Err(PublishError { code: String::new(), message: outgoing.body.clone() });
            }
            self.published.borrow_mut().insert(outgoing.deduplication_id.clone());
            Ok(())
        };
        batch.iter().take(said).enumerate().map(answer).collect()
    }
}

impl Queue for &Story {
    async fn hide(&self, messages: &[Hide]) -> Vec<Result<(), QueueError>> {
        assert!((1..=10).contains(&messages.len()));
        if self.suffers(Fault::HidingPanics) {
            std::panic::panic_any(SCRIPTED);
        }
        self.hidden.borrow_mut().extend_from_slice(messages);
        messages.iter().map(|_| Ok(())).collect()
    }
    async fn park(&self, parked: Parked) -> Result<(), QueueError> {
        match self.fault.get() {
            Some(Fault::ParkingRefused) => Err(QueueError(parked.body)),
            Some(Fault::ParkingPanics) => std::panic::panic_any(SCRIPTED),
            _ => {
                self.parked.borrow_mut().push(parked);
                Ok(())
            }
        }
    }
    async fn send_delayed(&self, messages: &[Delayed]) -> Vec<Result<(), QueueError>> {
        assert!((1..=SEND_ENTRIES_MAX).contains(&messages.len()));
        assert!(messages.len() == 1 || messages.iter().map(Delayed::size).sum::<usize>() <= SEND_BYTES_MAX);
        if self.suffers(Fault::SendingPanics) {
            std::panic::panic_any(SCRIPTED);
        }
        let take = |(n, message): (usize, &Delayed)| {
            if self.suffers(Fault::CopyRefused) && n % 3 == 0 {
                return Err(QueueError(message.body.clone()));
            }
            self.delayed.borrow_mut().push(message.clone());
            Ok(())
        };
        messages.iter().enumerate().map(take).collect()
    }
}

impl Ambient for Story {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }
    fn random(&self) -> u64 {
        u64::MAX
    }
}
