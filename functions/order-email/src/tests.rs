//! Order-email, driven through `handle` against orders, a ledger and an outbox in memory.

use super::*;
use domain::{
    CustomerId, EventType, Subject, Timestamp,
    event::{CancelReason, CustomerSignedUp, OrderCancelled, OrderPlaced, OrderShipped, PaymentAuthorized, PaymentCaptured, PaymentRef},
    tracking::Fact,
};
use lambda_kit::{Kind, batch::back_off};
use mailer::{
    MAIL_AGE_MAX, Mail, SENDING_FOR,
    testing::{Post, failed, one_blank, reads_well},
};
use pipeline::Consume;
use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use testkit::samples::fates;

/// Everything outside, in memory, with the calls that were made of it.
#[derive(Default)]
struct World {
    order: RefCell<Option<Order>>,
    post: Post,
}

impl World {
    fn subjects(&self) -> Vec<String> {
        self.post.out.borrow().iter().map(|outgoing| outgoing.mail.subject.clone()).collect()
    }
}

impl Orders for &World {
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        self.post.note("find", id);
        Ok(self.order.borrow().clone())
    }
}

fn order() -> Order {
    samples::order().unwrap()
}
/// A world with the sample order, at the moment it was placed.
fn world() -> World {
    let world = World { order: Some(order()).into(), ..World::default() };
    world.post.now.set(order().received_at);
    world
}
fn stage(world: &World) -> OrderEmail<&World, &Post, &Post, &Post> {
    OrderEmail { orders: world, mailer: world.post.mailer(), address: "orders@example.com".parse().unwrap() }
}
fn about(subject: Subject, event: Event) -> CloudEvent {
    CloudEvent { source: "/test".into(), subject, time: order().received_at, traceparent: None, event }
}
async fn hear(world: &World, event: Event) -> Result<(), Failure> {
    let delivery = Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() };
    let reply = stage(world).handle(&about(Subject::Order(order().order_id), event), &delivery).await?;
    assert_eq!(reply, Reply::nothing(), "it announces nothing");
    Ok(())
}
/// The figures of docs/guarantees.md: SES accepts a mail, and its answer is lost or late, at each receive.
#[tokio::test]
async fn a_lost_answer_sends_the_mail_again_after_the_claim() {
    const RECEIVES: u32 = 20; // OrderEmailQueue's maxReceiveCount
    let (mut earliest, mut latest, mut most) = (u64::MAX, 0, 0);
    for seed in 0..1000_u64 {
        let world = world();
        let (began, mut sent_at) = (world.post.now.get(), vec![]);
        for attempt in 1..=RECEIVES {
            let now = world.post.now.get();
            world.post.dies_after.set("SendEmail");
            assert_eq!(hear(&world, authorized()).await.unwrap_err().kind, Kind::Transient);
            let took = if world.post.out.borrow().len() > sent_at.len() {
                sent_at.push((now - began).as_secs().unsigned_abs());
                mailer::ses::SEND_TIMEOUT
            } else {
                Duration::ZERO
            };
            let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (attempt % 16);
            world.post.now.set(now + took + back_off(attempt, random));
        }
        (earliest, latest, most) = (earliest.min(sent_at[1]), latest.max(sent_at[1]), most.max(sent_at.len()));
    }
    assert!(earliest >= SENDING_FOR.unsigned_abs().as_secs() && latest <= 67, "the second mail {earliest} to {latest} s after the first");
    assert!((16..=17).contains(&most), "{most} mails in {RECEIVES} receives");
}

fn payment() -> PaymentRef {
    PaymentRef("pi_1".into())
}
fn authorized() -> Event {
    PaymentAuthorized { payment: payment(), amount: order().total, capture_before: order().received_at }.into()
}
fn shipped() -> Event {
    OrderShipped { tracking_number: "OP282430614066".into(), payment: payment(), items: vec![] }.into()
}
fn cancelled(reason: CancelReason) -> Event {
    OrderCancelled { reason, payment: Some(payment()), items: None }.into()
}
fn cancelled_unpaid() -> Event {
    OrderCancelled { reason: CancelReason::PaymentDeclined, payment: None, items: None }.into()
}
const REASONS: [CancelReason; 5] = [
    CancelReason::CustomerAsked,
    CancelReason::TimedOut,
    CancelReason::PaymentDeclined,
    CancelReason::OutOfStock,
    CancelReason::AuthorizationExpiring,
];

// ── Which mail goes out, and when ───────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn each_event_is_one_read_one_claim_one_mail_one_mark() {
    let id = order().order_id;
    for (event, template) in [(authorized(), "received"), (shipped(), "shipped"), (cancelled(CancelReason::TimedOut), "cancelled")] {
        let world = world();
        hear(&world, event).await.unwrap();
        let mail_id = format!("{id}/{template}");
        let calls = [format!("find {id}"), format!("claim {mail_id}"), format!("SendEmail {mail_id}"), format!("sent {mail_id}")];
        assert_eq!(*world.post.calls.borrow(), calls);
        let [outgoing] = &world.post.out.borrow()[..] else { panic!("one mail") };
        assert_eq!((outgoing.to.as_str(), outgoing.template), ("ada@example.com", template));
        assert_eq!(outgoing.reply_to.as_deref(), Some(format!("orders+{id}@example.com").as_str()));
        assert_eq!(outgoing.headers, [("Auto-Submitted".to_owned(), "auto-generated".to_owned())]);
    }
}

/// Placing an order costs nothing, and any address is accepted.
#[tokio::test]
async fn an_order_mails_nobody_before_its_payment_is_authorized() {
    let world = world();
    let Order { lines, total, payment_method, order_id, .. } = order();
    assert_eq!(
        failed(hear(&world, OrderPlaced { lines, total, payment_method }.into()).await),
        (Kind::Permanent, "NotForThisStage".into())
    );
    assert_eq!(*world.post.calls.borrow(), [""; 0]);

    world.post.unpaid_is_full.set(true);
    hear(&world, cancelled_unpaid()).await.unwrap();
    assert!(world.post.out.borrow().is_empty());
    hear(&world, authorized()).await.unwrap();
    hear(&world, shipped()).await.unwrap();
    assert_eq!(world.post.out.borrow().len(), 2, "who pays is mailed");
    assert!(
        world.post.calls.borrow().contains(&"place unpaid".to_owned())
            && world.post.calls.borrow().contains(&format!("sent {order_id}/shipped"))
    );
}

#[tokio::test]
async fn an_address_gets_a_limited_number_of_mails_an_hour() {
    let world = world();
    world.post.full.borrow_mut().insert("ada@example.com".into());
    hear(&world, shipped()).await.unwrap();
    assert_eq!((world.post.out.borrow().len(), world.post.rows.borrow().len()), (0, 0));
}

#[tokio::test]
async fn a_duplicate_mails_nothing() {
    let world = world();
    for _ in 0..3 {
        hear(&world, authorized()).await.unwrap();
    }
    assert_eq!(world.post.out.borrow().len(), 1);
}

#[tokio::test]
async fn duplicates_at_once_mail_once_and_the_other_comes_again() {
    let world = world();
    world.post.refuses.replace(Some(Failure::transient("Timeout", "no answer")));
    assert_eq!(failed(hear(&world, authorized()).await), (Kind::Transient, "Timeout".into()));
    assert_eq!(failed(hear(&world, authorized()).await), (Kind::Transient, "MailInFlight".into()));
    world.post.now.set(world.post.now.get() + SENDING_FOR);
    hear(&world, authorized()).await.unwrap();
    hear(&world, authorized()).await.unwrap();
    assert_eq!(world.post.out.borrow().len(), 1);
}

#[tokio::test]
async fn after_a_crash_the_second_mail_is_the_same_and_waits() {
    let world = world();
    world.post.dies_before.set("sent");
    assert_eq!(failed(hear(&world, shipped()).await).1, "Crash");
    assert_eq!(failed(hear(&world, shipped()).await).1, "MailInFlight");
    assert_eq!(world.post.out.borrow().len(), 1);
    world.post.now.set(world.post.now.get() + SENDING_FOR);
    hear(&world, shipped()).await.unwrap();
    hear(&world, shipped()).await.unwrap();
    let out = world.post.out.borrow();
    assert_eq!((out.len(), &out[0]), (2, &out[1]));
}

#[tokio::test]
async fn a_suppressed_address_gets_no_mail_and_the_event_is_done() {
    let world = world();
    world.post.suppressed.borrow_mut().insert("ada@example.com".into());
    for event in [authorized(), shipped()] {
        hear(&world, event).await.unwrap();
    }
    assert_eq!((world.post.out.borrow().len(), world.post.rows.borrow().len()), (0, 0));
}

#[tokio::test]
async fn a_receipt_is_overtaken_by_the_orders_end_and_by_nothing_else() {
    for event_type in EventType::ALL {
        let world = world();
        let fact = Fact { at: Timestamp::UNIX_EPOCH, reason: None, tracking_number: None };
        let mut changed = order();
        changed.facts.insert(*event_type, fact);
        let overtaken = changed.facts.status() >= Status::Cancelled;
        world.order.replace(Some(changed));
        hear(&world, authorized()).await.unwrap();
        assert_eq!(world.post.out.borrow().is_empty(), overtaken, "{event_type}");
        assert_eq!(
            world.post.calls.borrow().len(),
            if overtaken { 1 } else { 4 },
            "{event_type}: nothing is claimed for a mail that is no news"
        );
        // How it ended is news, however late it is heard.
        hear(&world, shipped()).await.unwrap();
        hear(&world, cancelled(CancelReason::TimedOut)).await.unwrap();
        assert_eq!(world.post.out.borrow().len(), if overtaken { 2 } else { 3 });
    }
}

#[tokio::test]
async fn events_out_of_order_mail_the_end_and_no_receipt_after_it() {
    let world = world();
    hear(&world, shipped()).await.unwrap();
    let mut tracked = order();
    tracked.facts.insert(EventType::OrderShipped, Fact { at: order().received_at, reason: None, tracking_number: None });
    world.order.replace(Some(tracked));
    hear(&world, authorized()).await.unwrap();
    assert_eq!(world.post.out.borrow().iter().map(|outgoing| outgoing.template).collect::<Vec<_>>(), ["shipped"]);
}

#[tokio::test]
async fn an_event_older_than_a_day_is_not_mailed() {
    let world = world();
    world.post.now.set(order().received_at + MAIL_AGE_MAX + Duration::from_millis(1));
    for event in [authorized(), shipped(), cancelled(CancelReason::OutOfStock)] {
        hear(&world, event).await.unwrap();
    }
    assert_eq!(*world.post.calls.borrow(), [""; 0]);
    world.post.now.set(order().received_at + MAIL_AGE_MAX);
    hear(&world, authorized()).await.unwrap();
    assert_eq!(world.post.out.borrow().len(), 1);
}

#[tokio::test]
async fn an_unknown_order_is_parked_with_its_reason() {
    let world = world();
    world.order.take();
    assert_eq!(failed(hear(&world, authorized()).await), (Kind::Permanent, "UnknownOrder".into()));
    assert_eq!(world.post.calls.borrow().len(), 1);
}

#[tokio::test]
async fn what_can_never_be_mailed_is_parked() {
    let world = world();
    let mut unusable = order();
    unusable.customer.email.0 = "Ada Example".into();
    world.order.replace(Some(unusable));
    assert_eq!(failed(hear(&world, authorized()).await), (Kind::Permanent, "UnusableAddress".into()));
    world.order.replace(Some(order()));
    world.post.refuses.replace(Some(Failure::permanent("MessageRejected", "SES rejects what the mail says")));
    assert_eq!(failed(hear(&world, authorized()).await), (Kind::Permanent, "MessageRejected".into()));
}

#[tokio::test]
async fn an_event_of_somebody_else_is_parked_before_anything_is_asked() {
    let world = world();
    let delivery = Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() };
    let customer: CustomerId = order().order_id.to_string().parse().unwrap();
    let signed_up = about(Subject::Customer(customer), CustomerSignedUp { marketing_consent: false }.into());
    assert_eq!(failed(stage(&world).handle(&signed_up, &delivery).await), (Kind::Permanent, "NotAnOrder".into()));
    let captured = PaymentCaptured { amount: order().total }.into();
    assert_eq!(failed(hear(&world, captured).await), (Kind::Permanent, "NotForThisStage".into()));
    assert_eq!(*world.post.calls.borrow(), [""; 0]);
}

// ── What the mails say ──────────────────────────────────────────────────────────────────────────────────────────────

fn mail(event: &Event, order: &Order) -> Mail {
    mails::mail(event, order).unwrap().unwrap()
}
fn every_mail(order: &Order) -> Vec<Mail> {
    [authorized(), shipped()].into_iter().chain(REASONS.map(cancelled)).map(|event| mail(&event, order)).collect()
}
/// HTML as text: without tags, with its five escapes read back, blanks in a row as one.
fn read(html: &str) -> String {
    let body = html.split_once("<body").unwrap().1;
    let mut text: String = body.split('<').map(|part| part.split_once('>').map_or("", |(_, text)| text).to_owned() + " ").collect();
    // The escape's own character last, or what was typed as an escape would be read twice.
    for (escape, plain) in [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'"), ("&#38;", "&")] {
        text = text.replace(escape, plain);
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn subjects_say_what_has_happened() {
    let world = world();
    for event in [authorized(), shipped()] {
        hear(&world, event).await.unwrap();
    }
    let id = order().order_id;
    assert_eq!(world.subjects(), [format!("Order received: 69.00 EUR ({id})"), format!("Order shipped: parcel OP282430614066 ({id})")]);
    let reasons = ["as you asked", "it took us too long", "payment declined", "out of stock", "payment approval expiring"];
    for (reason, words) in REASONS.into_iter().zip(reasons) {
        assert_eq!(mail(&cancelled(reason), &order()).subject, format!("Order cancelled: {words} ({id})"));
    }
}

#[test]
fn text_and_html_say_the_same_facts() {
    let order = order();
    let everywhere = [order.order_id.to_string(), "4 May 2026, 10:11 UTC".into(), "69.00 EUR".into(), "Hello Ada Example,".into()];
    let lines = ["MUG-BLUE", "12.00 EUR", "24.00 EUR", "TEAPOT", "45.00 EUR"].map(str::to_owned);
    let address = ["10115, DE".to_owned()];
    for (index, mail) in every_mail(&order).into_iter().enumerate() {
        let goes_out = index < 2;
        let facts = everywhere.iter().chain(&lines).chain(address.iter().filter(|_| goes_out));
        for fact in facts {
            assert!(mail.text.contains(fact) && mail.html.contains(fact), "{} lacks {fact}", mail.subject);
        }
        assert!(!mail.html.contains("10115") || goes_out, "where nothing goes, no address stands");
    }
    let shipped = mail(&shipped(), &order);
    assert!(shipped.text.contains("OP282430614066") && shipped.html.contains("OP282430614066"));
}

#[test]
fn text_and_html_state_the_reason_of_a_cancellation() {
    let told: BTreeSet<_> = REASONS
        .into_iter()
        .map(|reason| {
            let mail = mail(&cancelled(reason), &order());
            let text = one_blank(&mail.text);
            let why = text.split_once("is cancelled. ").unwrap().1.split_once(" You are not charged.").unwrap().0.to_owned();
            assert!(read(&mail.html).contains(&why), "{why}");
            why
        })
        .collect();
    assert_eq!(told.len(), REASONS.len());
}

#[test]
fn whatever_a_customer_types_stays_text() {
    let mut hostile = order();
    let text = "</p><script>a('1')</script>\"><img>&amp;";
    hostile.customer.name.0 = "<script>".into();
    let event: Event = OrderShipped { tracking_number: text.into(), payment: payment(), items: vec![] }.into();
    let plain = mail(&shipped(), &order());
    for (event, shown) in [(authorized(), "Hello <script>"), (event, text)] {
        let mail = mail(&event, &hostile);
        assert!(!mail.html.contains("<script") && !mail.html.contains("<img"), "{}", mail.html);
        assert!(read(&mail.html).contains(shown) && mail.text.contains(shown), "and is shown as it was typed");
    }
    assert!(!plain.html.contains("<script"), "the mails need none of their own");
}

/// A stranger orders with somebody else's address, to have the shop's mail say what he likes.
#[test]
fn typed_text_is_neither_a_sentence_nor_a_link() {
    let mut hostile = order();
    let text = "Your account is locked: call 0800 123456 or open https://bad.example/a";
    let to = &mut hostile.shipping_address;
    for field in [&mut hostile.customer.name, &mut to.line1, &mut to.city, &mut to.postal_code] {
        field.0 = text.into();
    }
    to.line2 = Some(domain::Personal(text.into()));
    for mail in every_mail(&hostile) {
        for part in [&mail.subject, &mail.text, &mail.html] {
            assert!(!["locked", "0800", "bad.example"].iter().any(|word| part.contains(word)), "{part}");
        }
    }
    assert!(every_mail(&hostile)[0].text.contains("Goes to: DE,"), "what is left is shown");
}

#[test]
fn whatever_a_customer_types_stays_on_its_line() {
    let mut hostile = order();
    let text = "Ada\r\nBcc: bob@example.com\r\n\r\nYou have won";
    for field in [&mut hostile.customer.name, &mut hostile.shipping_address.line1, &mut hostile.shipping_address.city] {
        field.0 = text.into();
    }
    let event: Event = OrderShipped { tracking_number: text.into(), payment: payment(), items: vec![] }.into();
    for mail in every_mail(&hostile).into_iter().chain([mail(&event, &hostile)]) {
        assert!(!mail.subject.contains(char::is_control), "{:?}", mail.subject);
        assert!(mail.text.lines().all(|line| !line.starts_with("Bcc") && !line.starts_with("You have won")), "{}", mail.text);
    }
}

#[test]
fn a_text_reads_well_in_a_terminal_and_a_page_anywhere() {
    for mail in every_mail(&order()) {
        reads_well(&mail, "Order ");
    }
}

#[test]
fn an_order_of_fifty_long_lines_is_a_mail_that_mailboxes_take() {
    let mut large = order();
    let line = |n: usize| domain::Line { sku: format!("{n:0>64}").parse().unwrap(), quantity: 1000, unit_price_minor: 99_999 };
    large.lines = (0..domain::line::LINES_MAX).map(line).collect();
    // Gmail cuts a message off at 102 KiB.
    assert!(mail(&authorized(), &large).html.len() < 102 * 1024);
}

#[test]
fn every_mail_has_subject_text_html_and_a_sample() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    let names = |folder: PathBuf| -> BTreeSet<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let samples = samples::samples();
    assert_eq!(samples.len(), 2 + REASONS.len(), "none failed");
    for mail in names(folder.clone()) {
        if mail == "parts" {
            continue;
        }
        assert_eq!(names(folder.join(&mail)), ["body.html", "body.txt", "subject.txt"].map(str::to_owned).into());
        assert!(samples.iter().any(|(name, _)| name.starts_with(&mail)), "{mail} has no sample");
    }
    for part in names(folder.join("parts")) {
        let twin = part.replace(".txt", ".HTML").replace(".html", ".txt").replace(".HTML", ".html");
        assert!(folder.join("parts").join(&twin).exists(), "{part} has no twin");
    }
}

// ── The samples ─────────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn the_samples_are_mailed_or_parked_as_their_names_say() {
    let samples = testkit::samples::of("order-email");
    for (name, sample) in &samples {
        let world = world();
        let fates = fates(&Consume { stage: stage(&world), ambient: &world.post }, sample).await;
        let out: Vec<_> = world.post.out.borrow().iter().map(|outgoing| outgoing.template).collect();
        let (expected_fates, expected_out): (Vec<Result<(), &str>>, Vec<&str>) = match name.as_str() {
            "payment-authorized" => (vec![Ok(())], vec!["received"]),
            "order-shipped" => (vec![Ok(())], vec!["shipped"]),
            "order-cancelled" => (vec![Ok(())], vec!["cancelled"]),
            "duplicate" => (vec![Ok(()), Ok(())], vec!["received"]),
            "poison-in-batch" => (vec![Ok(()), Err("UnreadableEvent"), Ok(())], vec!["received", "shipped"]),
            "unreadable-body" => (vec![Err("UnreadableEvent")], vec![]),
            "not-for-this-function" => (vec![Err("NotForThisStage")], vec![]),
            other => panic!("{other}: say here what the name promises"),
        };
        let fates: Vec<Result<(), &str>> = fates.iter().map(|fate| fate.as_ref().copied().map_err(String::as_str)).collect();
        assert_eq!((fates, out), (expected_fates, expected_out), "{name}");
    }
    assert_eq!(samples.len(), 7);
}
