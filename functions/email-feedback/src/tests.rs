//! Email-feedback, driven through `read` and `handle` with SES's events against lists in memory.

use super::*;
use domain::Timestamp;
use lambda_kit::{
    Kind,
    batch::{Attribute, Batch, Delayed, Hide, Parked, Queue, QueueError},
    publish::NoTopic,
};
use mailer::suppression::FADES_AFTER;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};
use tokio::time::Instant;

/// Our list in memory: the first reason stays, a bounce counts once.
#[derive(Default)]
struct Memory {
    suppressed: RefCell<BTreeMap<String, Reason>>,
    bounces: RefCell<BTreeMap<String, BTreeSet<(Timestamp, String)>>>,
    dies_after: Cell<bool>,
}

fn died() -> Failure {
    Failure::transient("Crash", "the process died")
}

impl OwnList for Memory {
    async fn suppress(&self, address: &EmailAddress, reason: Reason, now: Timestamp) -> Result<(), Failure> {
        assert_eq!(now, Clock.now());
        self.suppressed.borrow_mut().entry(address.canonical()).or_insert(reason);
        if self.dies_after.take() { Err(died()) } else { Ok(()) }
    }
    async fn note_transient_bounce(&self, address: &EmailAddress, bounce: TransientBounce<'_>, now: Timestamp) -> Result<usize, Failure> {
        let mut bounces = self.bounces.borrow_mut();
        let noted = bounces.entry(address.canonical()).or_default();
        noted.insert((bounce.at, bounce.id.to_owned()));
        noted.retain(|(at, _)| now.duration_since(*at) <= FADES_AFTER);
        if self.dies_after.take() { Err(died()) } else { Ok(noted.len()) }
    }
}

/// The account's list in memory.
#[derive(Default)]
struct Account {
    suppressed: RefCell<Vec<(String, Reason)>>,
    dies_before: Cell<bool>,
}

impl AccountList for Account {
    async fn suppress(&self, address: &EmailAddress, reason: Reason) -> Result<(), Failure> {
        if self.dies_before.take() {
            return Err(died());
        }
        self.suppressed.borrow_mut().push((address.canonical(), reason));
        Ok(())
    }
}

struct Clock;
impl Ambient for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_777_890_063).unwrap()
    }
    fn random(&self) -> u64 {
        7
    }
}

type Feedback = EmailFeedback<Memory, Account, Clock>;

fn support() -> EmailAddress {
    "Support@example.com".parse().unwrap()
}

fn feedback() -> Feedback {
    EmailFeedback { own: Memory::default(), account: Account::default(), support: support(), ambient: Clock }
}

async fn hear(feedback: &Feedback, body: &str) -> Result<Handled, Failure> {
    let incoming = feedback.read(body)?;
    feedback.handle(&incoming.message, &Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() }).await
}

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Every documented event, by its file's name.
fn fixtures() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    files.filter_map(|file| Some((file.strip_suffix(".json")?.to_owned(), fixture(file.strip_suffix(".json")?)))).collect()
}

const ADA: &str = "ada@example.com";

fn own_list(feedback: &Feedback) -> Vec<(String, Reason)> {
    feedback.own.suppressed.borrow().iter().map(|(address, reason)| (address.clone(), *reason)).collect()
}

/// What the event makes of our list, and that the account's says the same.
async fn suppressed_by(event: &Value) -> Vec<(String, Reason)> {
    let feedback = feedback();
    assert_eq!(hear(&feedback, &event.to_string()).await.unwrap(), Handled::default());
    let own = own_list(&feedback);
    assert_eq!(*feedback.account.suppressed.borrow(), own);
    own
}

#[tokio::test]
async fn an_address_that_takes_no_mail_is_suppressed_at_once() {
    for name in ["bounce-permanent", "bounce-on-suppression-list", "bounce-tags-null"] {
        assert_eq!(suppressed_by(&fixture(name)).await, [(ADA.into(), Reason::PermanentBounce)], "{name}");
    }
}

#[tokio::test]
async fn an_address_that_complained_is_suppressed_at_once_with_or_without_a_report() {
    for name in ["complaint", "complaint-without-report"] {
        assert_eq!(suppressed_by(&fixture(name)).await, [(ADA.into(), Reason::Complaint)], "{name}");
    }
    let mut new_word = fixture("complaint");
    new_word["complaint"]["complaintFeedbackType"] = json!("something-new");
    assert_eq!(suppressed_by(&new_word).await.len(), 1);
}

#[tokio::test]
async fn who_says_that_it_is_no_spam_keeps_getting_mail() {
    for word in ["not-spam", "Not-Spam", "auth-failure"] {
        let mut event = fixture("complaint-not-spam");
        event["complaint"]["complaintFeedbackType"] = json!(word);
        assert_eq!(suppressed_by(&event).await, [], "{word}");
    }
}

#[tokio::test]
async fn bounces_that_may_pass_suppress_when_there_are_too_many_different_ones() {
    let feedback = feedback();
    let mut event = fixture("bounce-transient");
    for n in 1..=TRANSIENT_BOUNCES_MAX {
        assert_eq!(own_list(&feedback), [], "after {} bounces", n - 1);
        if n == 2 {
            event["bounce"]["bounceType"] = json!("Undetermined");
        }
        event["bounce"]["feedbackId"] = json!(format!("feedback-{n}"));
        for _delivered_twice in 0..2 {
            hear(&feedback, &event.to_string()).await.unwrap();
        }
    }
    assert_eq!(own_list(&feedback), [(ADA.into(), Reason::TransientBounces)]);
    assert_eq!(feedback.account.suppressed.borrow()[0], (ADA.to_owned(), Reason::TransientBounces));
}

/// Five bounces over a year are a mailbox that was full now and then; five within a month are one that takes no mail.
#[tokio::test]
async fn transient_bounces_that_lie_a_month_back_do_not_suppress() {
    let day = |days: u64| (Clock.now() - Duration::from_secs(24 * 60 * 60 * days)).to_string();
    for (days, suppresses) in [([120, 90, 60, 31, 0], false), ([29, 20, 10, 5, 0], true)] {
        let feedback = feedback();
        let mut event = fixture("bounce-transient");
        for (n, days) in days.into_iter().enumerate() {
            event["bounce"]["feedbackId"] = json!(format!("feedback-{n}"));
            event["bounce"]["timestamp"] = json!(day(days));
            hear(&feedback, &event.to_string()).await.unwrap();
        }
        assert_eq!(!own_list(&feedback).is_empty(), suppresses, "{days:?}");
    }
}

#[tokio::test]
async fn a_bounce_that_blames_the_mail_is_not_held_against_the_address() {
    for sub_type in ["MessageTooLarge", "ContentRejected", "AttachmentRejected"] {
        let feedback = feedback();
        let mut event = fixture("bounce-too-large");
        event["bounce"]["bounceSubType"] = json!(sub_type);
        hear(&feedback, &event.to_string()).await.unwrap();
        assert!(feedback.own.bounces.borrow().is_empty(), "{sub_type}");
    }
}

#[tokio::test]
async fn the_recipient_is_suppressed_not_the_forwarded_address() {
    assert_eq!(suppressed_by(&fixture("bounce-forwarded-address")).await, [(ADA.into(), Reason::PermanentBounce)]);
}

#[tokio::test]
async fn of_a_mail_to_several_those_are_suppressed_that_ses_lists() {
    let mut event = fixture("bounce-permanent");
    event["mail"]["destination"] = json!([ADA, "bob@example.org", "cy@example.org"]);
    event["bounce"]["bouncedRecipients"] = json!([{"emailAddress": "Bob <BOB@example.org>"}, {"emailAddress": "cy@example.org"}]);
    let reason = Reason::PermanentBounce;
    assert_eq!(suppressed_by(&event).await, [("bob@example.org".into(), reason), ("cy@example.org".into(), reason)]);
}

/// The attack: a forward that is marked as spam, or bounces, silences support.
#[tokio::test]
async fn feedback_on_mail_to_support_is_parked_and_never_suppresses() {
    for (name, error_type) in [
        ("complaint", "SupportComplained"),
        ("complaint-without-report", "SupportComplained"),
        ("bounce-permanent", "SupportBounced"),
        ("bounce-on-suppression-list", "SupportBounced"),
        ("bounce-transient", "SupportBounced"),
        ("bounce-too-large", "SupportBounced"),
    ] {
        let feedback = feedback();
        let body = fixture(name).to_string().replace(ADA, "support@Example.com");
        for _delivered in 0..=TRANSIENT_BOUNCES_MAX {
            let failure = hear(&feedback, &body).await.unwrap_err();
            assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Permanent, error_type), "{name}");
            assert!(!failure.chain().to_lowercase().contains("support@"), "{}", failure.chain());
        }
        assert_eq!(own_list(&feedback), [], "{name}");
        assert!(feedback.account.suppressed.borrow().is_empty() && feedback.own.bounces.borrow().is_empty(), "{name}");
    }
    let no_spam = fixture("complaint-not-spam").to_string().replace(ADA, "support@example.com");
    hear(&feedback(), &no_spam).await.unwrap();
}

#[tokio::test]
async fn of_a_mail_to_support_and_others_the_others_are_suppressed() {
    let feedback = feedback();
    let mut event = fixture("complaint");
    event["mail"]["destination"] = json!(["support@example.com", "bob@example.org"]);
    event["complaint"]["complainedRecipients"] = json!([{"emailAddress": "support@example.com"}, {"emailAddress": "bob@example.org"}]);
    hear(&feedback, &event.to_string()).await.unwrap_err();
    assert_eq!(own_list(&feedback), [("bob@example.org".into(), Reason::Complaint)]);
}

#[tokio::test]
async fn whatever_else_became_of_a_mail_is_only_counted() {
    let mut names = BTreeSet::new();
    for (name, event) in fixtures().into_iter().filter(|(name, _)| !name.starts_with("bounce") && !name.starts_with("complaint")) {
        assert_eq!(suppressed_by(&event).await, [], "{name}");
        let event = MailEvent::parse(&event.to_string()).unwrap();
        assert_eq!(event.what.name().replace('_', "-"), name);
        assert!(matches!(event.template.as_str(), "order-shipped" | "newsletter"), "{name}");
        names.insert(name);
    }
    assert_eq!(names.len(), 8, "{names:?}");
}

#[tokio::test]
async fn the_trial_message_of_a_new_topic_is_no_poison() {
    let feedback = feedback();
    hear(&feedback, event::TOPIC_VALIDATED).await.unwrap();
    assert_eq!(own_list(&feedback), []);
}

#[tokio::test]
async fn a_crash_after_any_write_is_healed_by_the_next_delivery() {
    for name in ["bounce-permanent", "bounce-transient", "complaint"] {
        let feedback = feedback();
        feedback.own.dies_after.set(true);
        feedback.account.dies_before.set(true);
        let body = fixture(name).to_string();
        let mut tries = 0;
        while let Err(failure) = hear(&feedback, &body).await {
            assert_eq!(failure.kind, Kind::Transient);
            tries += 1;
        }
        assert!((1..=2).contains(&tries), "{name}");
        assert_eq!(feedback.account.suppressed.borrow().clone(), own_list(&feedback), "{name}");
        assert!(feedback.own.bounces.borrow().values().all(|noted| noted.len() == 1), "{name}");
    }
}

#[tokio::test]
async fn without_an_account_list_our_own_is_all_there_is() {
    let feedback = EmailFeedback { own: Memory::default(), account: None::<Account>, support: support(), ambient: Clock };
    let incoming = feedback.read(&fixture("complaint").to_string()).unwrap();
    feedback.handle(&incoming.message, &Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() }).await.unwrap();
    assert_eq!(feedback.own.suppressed.borrow().len(), 1);
}

#[test]
fn an_unknown_event_is_parked_and_never_quoted() {
    let mut unknown = fixture("send");
    unknown["eventType"] = json!("ada@example.com");
    let mut no_bounce = fixture("bounce-permanent");
    no_bounce["bounce"] = json!(null);
    let mut odd_type = fixture("bounce-permanent");
    odd_type["bounce"]["bounceType"] = json!("ada@example.com");
    let mut no_address = fixture("complaint");
    no_address["mail"]["destination"] = json!(["Ada Example"]);
    no_address["complaint"]["complainedRecipients"] = json!([{"emailAddress": "Ada Example"}]);
    let enveloped = json!({"Type": "Notification", "Message": fixture("send").to_string()});
    let bodies = [unknown, no_bounce, odd_type, no_address, enveloped, json!("ada@example.com"), json!(null)];
    for body in bodies.iter().map(Value::to_string).chain(["".into(), "ada@example.com".into(), "{\"eventType\":\"Send\"".into()]) {
        let failure = feedback().read(&body).unwrap_err();
        assert_eq!(failure.kind, Kind::Permanent, "{body}");
        assert!(["UnreadableMailEvent", "UnknownMailEvent"].contains(&failure.error_type.as_str()));
        assert!(!failure.chain().to_lowercase().contains("ada"), "{}", failure.chain());
    }
}

/// Every member of every documented event, at any depth.
fn pointers(value: &Value, at: &str, pointers: &mut Vec<String>) {
    let members: Vec<_> = match value {
        Value::Object(members) => members.iter().map(|(name, member)| (name.replace('~', "~0").replace('/', "~1"), member)).collect(),
        Value::Array(members) => members.iter().enumerate().map(|(place, member)| (place.to_string(), member)).collect(),
        _ => return,
    };
    for (name, member) in members {
        let at = format!("{at}/{name}");
        pointers.push(at.clone());
        self::pointers(member, &at, pointers);
    }
}

#[test]
fn null_means_what_a_missing_member_means() {
    for (name, event) in fixtures() {
        let mut all = Vec::new();
        pointers(&event, "", &mut all);
        for at in all {
            let (parent, member) = at.rsplit_once('/').unwrap();
            let (mut with_null, mut without) = (event.clone(), event.clone());
            *with_null.pointer_mut(&at).unwrap() = Value::Null;
            let Some(Value::Object(parent)) = without.pointer_mut(parent) else { continue };
            parent.remove(&member.replace("~1", "/"));
            let read = |event: Value| MailEvent::parse(&event.to_string()).map_err(|failure| failure.error_type);
            assert_eq!(read(with_null), read(without), "{name}{at}");
        }
    }
}

#[tokio::test]
async fn of_a_bounce_only_its_type_and_an_address_are_needed() {
    for event in [
        json!({"eventType": "Bounce", "bounce": {"bounceType": "Permanent"}, "mail": {"destination": [ADA], "tags": {"template": null}}}),
        json!({"eventType": "Bounce", "mail": {"destination": null},
            "bounce": {"bounceType": "Permanent", "bouncedRecipients": [{"emailAddress": null}, {"emailAddress": ADA}]}}),
    ] {
        assert_eq!(suppressed_by(&event).await, [(ADA.into(), Reason::PermanentBounce)], "{event}");
    }
}

/// A queue of which only what is parked matters.
#[derive(Default)]
struct Parking(RefCell<Vec<Parked>>);

impl Queue for Parking {
    async fn hide(&self, messages: &[Hide]) -> Vec<Result<(), QueueError>> {
        panic!("{messages:?}")
    }
    async fn park(&self, parked: Parked) -> Result<(), QueueError> {
        self.0.borrow_mut().push(parked);
        Ok(())
    }
    async fn send_delayed(&self, messages: &[Delayed]) -> Vec<Result<(), QueueError>> {
        panic!("{messages:?}")
    }
}

/// What other settings than the configuration set's send: the reason names the setting and how it is changed.
#[tokio::test]
async fn what_other_settings_send_is_parked_with_what_to_do() {
    for (name, error_type, says) in [
        ("sns-envelope", "SnsEnvelope", "RawMessageDelivery"),
        ("identity-bounce", "IdentityNotification", "set-identity-notification-topic"),
        ("identity-subscribed", "IdentityNotification", "set-identity-notification-topic"),
        ("received-mail", "InboundNotification", "receipt rule"),
    ] {
        let batch = Batch { consumer: feedback(), publisher: NoTopic, queue: Parking::default(), ambient: Clock };
        let record = json!({"messageId": "m", "receiptHandle": "r", "body": fixture(&format!("parked/{name}")).to_string(),
            "attributes": {"ApproximateReceiveCount": "1"}, "messageAttributes": {},
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:feedback"});
        let event = serde_json::from_value(json!({"Records": [record]})).unwrap();
        let answer = batch.handle(event, Instant::now() + Duration::from_secs(10)).await;
        assert!(answer.batch_item_failures.is_empty(), "{name} is not parked at its first receive");
        let parked = batch.queue.0.borrow();
        let said = |wanted: &str| {
            let (_, attribute) = parked[0].attributes.iter().find(|(name, _)| name == wanted).unwrap();
            let Attribute::Text { value, .. } = attribute else { panic!("{attribute:?}") };
            value.clone()
        };
        assert_eq!(said("ErrorType"), error_type, "{name}");
        assert!(said("ErrorMessage").contains(says) && !said("ErrorMessage").contains("ada"), "{name}: {}", said("ErrorMessage"));
    }
}

#[test]
fn what_is_logged_of_an_event_is_a_word_or_nothing() {
    let mut event = fixture("bounce-permanent");
    event["mail"]["tags"]["template"] = json!(["ada@example.com\n"]);
    event["mail"]["messageId"] = json!("ada@example.com");
    event["bounce"]["bounceSubType"] = json!("x".repeat(65));
    let event = MailEvent::parse(&event.to_string()).unwrap();
    let What::Bounce(bounce) = &event.what else { panic!("{event:?}") };
    assert_eq!((event.template.as_str(), event.message_id.as_str(), bounce.sub_type.as_str()), ("other", "other", "other"));
    assert!(!format!("{event:?}").contains("example.com"), "debug output hides addresses");
    assert_eq!((known("abuse"), known("ada@example.com")), ("abuse", "unregistered"));
}

#[test]
fn the_samples_are_read_or_parked_as_their_names_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/email-feedback");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let sample: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let read = |record: &Value| feedback().read(record["body"].as_str().unwrap()).map(|incoming| incoming.message.what.name());
        let read: Vec<_> = sample["Records"].as_array().unwrap().iter().map(read).collect();
        let name = path.file_stem().unwrap().to_str().unwrap();
        match (name, read.as_slice()) {
            ("poison-in-batch", [Ok("delivery"), Err(_), Ok("open")]) => {}
            ("unknown-type", [Err(failure)]) => assert_eq!(failure.error_type, "UnknownMailEvent"),
            ("unreadable-body", [Err(failure)]) => assert_eq!(failure.error_type, "UnreadableMailEvent"),
            (_, [Ok(what)]) => assert!(name.replace('-', "_").starts_with(what), "{name} is a {what}"),
            other => panic!("{other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_parked(body in "\\PC{0,200}") {
        if let Err(failure) = feedback().read(&body) {
            prop_assert_eq!(failure.kind, Kind::Permanent);
        }
    }

    #[test]
    fn an_event_with_anything_in_any_field_is_read_or_parked(at in 0usize..400, with in "[\"{}\\[\\]:,a0 \\\\]{1,3}", which in 0usize..17) {
        let mut body = fixtures()[which].1.to_string();
        let at = at * body.len() / 400;
        if body.is_char_boundary(at) {
            body.insert_str(at, &with);
        }
        if let Err(failure) = feedback().read(&body) {
            prop_assert_eq!(failure.kind, Kind::Permanent);
        }
    }
}
