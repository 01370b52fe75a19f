//! Welcome-email, driven through `handle` against customers, a ledger and an outbox in memory.

use super::*;
use domain::{
    Personal, Subject,
    event::{CustomerSignedUp, PaymentVoided},
};
use lambda_kit::Kind;
use mailer::{
    MAIL_AGE_MAX, Mail, SENDING_FOR,
    testing::{Post, failed, one_blank, reads_well},
};
use pipeline::Consume;
use std::{cell::RefCell, collections::BTreeSet, fs, path::Path, time::Duration};
use testkit::samples::fates;

/// Everything outside, in memory, with the calls that were made of it.
#[derive(Default)]
struct World {
    customer: RefCell<Option<Customer>>,
    post: Post,
}

impl Customers for &World {
    async fn find(&self, id: &CustomerId) -> Result<Option<Customer>, Failure> {
        self.post.note("find", id);
        Ok(self.customer.borrow().clone())
    }
}

fn customer() -> Customer {
    samples::customer(true).unwrap()
}
/// A world with the sample customer, at the moment of signing up.
fn world() -> World {
    let world = World { customer: Some(customer()).into(), ..World::default() };
    world.post.now.set(customer().signed_up_at);
    world
}
fn stage(world: &World) -> WelcomeEmail<&World, &Post, &Post, &Post> {
    WelcomeEmail { customers: world, mailer: world.post.mailer() }
}
async fn hear(world: &World, subject: Subject, event: Event) -> Result<(), Failure> {
    let event = CloudEvent { source: "/test".into(), subject, time: customer().signed_up_at, traceparent: None, event };
    let reply = stage(world).handle(&event, &Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() }).await?;
    assert_eq!(reply, Reply::nothing(), "it announces nothing");
    Ok(())
}
async fn sign_up(world: &World) -> Result<(), Failure> {
    hear(world, Subject::Customer(customer().customer_id), CustomerSignedUp { marketing_consent: true }.into()).await
}

#[tokio::test]
async fn a_sign_up_is_one_read_one_claim_one_mail_and_one_note_of_it_and_a_duplicate_none() {
    let world = world();
    sign_up(&world).await.unwrap();
    let id = customer().customer_id;
    let calls = [
        format!("find {id}"),
        format!("claim {id}/welcome"),
        "place unpaid".into(),
        format!("SendEmail {id}/welcome"),
        format!("sent {id}/welcome"),
    ];
    assert_eq!(*world.post.calls.borrow(), calls);
    sign_up(&world).await.unwrap();
    let [letter] = &world.post.out.borrow()[..] else { panic!("one mail") };
    assert_eq!((letter.to.as_str(), letter.template, &letter.reply_to), ("ada@example.com", "welcome", &None));
    assert_eq!(letter.headers, [("Auto-Submitted".to_owned(), "auto-generated".to_owned())]);
    assert_eq!(letter.mail.subject, "Welcome: you have signed up with Order Pipeline");
}

#[tokio::test]
async fn after_a_crash_between_sending_and_writing_it_down_the_second_mail_waits_for_until() {
    let world = world();
    world.post.dies_before.set("sent");
    assert_eq!(failed(sign_up(&world).await).1, "Crash");
    assert_eq!(failed(sign_up(&world).await), (Kind::Transient, "MailInFlight".into()));
    assert_eq!(world.post.out.borrow().len(), 1);
    world.post.now.set(world.post.now.get() + SENDING_FOR);
    sign_up(&world).await.unwrap();
    sign_up(&world).await.unwrap();
    assert_eq!(world.post.out.borrow().len(), 2, "the one window");
}

#[tokio::test]
async fn whoever_is_suppressed_gets_no_welcome_and_the_event_is_done() {
    let world = world();
    world.post.suppressed.borrow_mut().insert("ada@example.com".into());
    sign_up(&world).await.unwrap();
    assert_eq!((world.post.out.borrow().len(), world.post.rows.borrow().len()), (0, 0));
}

/// A form is sent for nothing, with anybody's address.
#[tokio::test]
async fn of_welcomes_only_so_many_go_out_in_an_hour_and_the_event_is_done() {
    let world = world();
    world.post.unpaid_is_full.set(true);
    sign_up(&world).await.unwrap();
    assert_eq!(world.post.out.borrow().len(), 0);
}

#[tokio::test]
async fn a_welcome_a_day_late_is_not_sent_and_nobody_is_looked_up() {
    let world = world();
    world.post.now.set(customer().signed_up_at + MAIL_AGE_MAX + Duration::from_millis(1));
    sign_up(&world).await.unwrap();
    assert_eq!(*world.post.calls.borrow(), [""; 0]);
}

#[tokio::test]
async fn an_unknown_customer_is_parked_with_its_reason() {
    let world = world();
    world.customer.take();
    assert_eq!(failed(sign_up(&world).await), (Kind::Permanent, "UnknownCustomer".into()));
    assert_eq!(*world.post.calls.borrow(), [format!("find {}", customer().customer_id)]);
}

#[tokio::test]
async fn an_event_of_somebody_else_is_parked_before_anything_is_asked() {
    let world = world();
    let order = || Subject::Order(customer().customer_id.to_string().parse().unwrap());
    let voided = hear(&world, order(), PaymentVoided {}.into()).await;
    assert_eq!(failed(voided), (Kind::Permanent, "NotForThisStage".into()));
    let odd = hear(&world, order(), CustomerSignedUp { marketing_consent: true }.into()).await;
    assert_eq!(failed(odd), (Kind::Permanent, "NotACustomer".into()));
    assert_eq!(*world.post.calls.borrow(), [""; 0]);
}

// ── What the mail says ──────────────────────────────────────────────────────────────────────────────────────────────

fn both(customer: &Customer) -> Mail {
    mails::welcome(customer).unwrap()
}

#[test]
fn text_and_html_say_the_same_facts_and_the_consent_as_it_is_now() {
    let news = "You have also agreed to news and offers. Each of those mails has a link that ends them at once.";
    let none = "You get nothing else from us: no news and no offers.";
    let mut taken_back = customer();
    taken_back.unsubscribed_at = Some(customer().signed_up_at);
    for (customer, says, does_not) in [(customer(), news, none), (samples::customer(false).unwrap(), none, news), (taken_back, none, news)]
    {
        let mail = both(&customer);
        for part in [one_blank(&mail.text), one_blank(&mail.html)] {
            assert!(part.contains(says) && !part.contains(does_not), "{part}");
            assert!(part.contains("Hello Ada Example,") && part.contains("4 May 2026, 10:02 UTC"), "{part}");
        }
    }
}

#[test]
fn a_name_stays_text_on_its_line_and_an_advertisement_is_not_repeated() {
    let named = |name: &str| both(&Customer { name: Personal(name.to_owned()), ..customer() });
    let mail = named("<script>alert('Ada')<\u{2028}script>");
    assert!(!mail.html.contains("<script") && mail.text.starts_with("Hello <script>alert('Ada')< script>,\n"), "{}", mail.text);
    let mail = named("Ada\r\nBcc: bob@example.com");
    assert!(!mail.subject.contains(char::is_control) && mail.text.starts_with("Hello,\n"), "{}", mail.text);
    let mail = named("Buy now at pills.example");
    assert!(!mail.text.contains("pills") && !mail.html.contains("pills"), "to whom a stranger likes, in our name");
}

#[test]
fn a_text_reads_well_in_a_terminal_and_a_page_anywhere() {
    let samples = samples::samples();
    assert_eq!(samples.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["welcome", "welcome-marketing"], "none failed");
    for (_, mail) in samples {
        reads_well(&mail, "Welcome</title>");
    }
}

#[test]
fn every_mail_has_a_subject_a_text_and_a_page() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    for mail in fs::read_dir(folder).unwrap() {
        let files = fs::read_dir(mail.unwrap().path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        assert_eq!(files.collect::<BTreeSet<_>>(), ["body.html", "body.txt", "subject.txt"].map(str::to_owned).into());
    }
}

// ── The samples ─────────────────────────────────────────────────────────────────────────────────────────────────────

#[tokio::test]
async fn the_samples_are_mailed_or_parked_as_their_names_say() {
    let samples = testkit::samples::of("welcome-email");
    for (name, sample) in &samples {
        let world = world();
        let fates = fates(&Consume { stage: stage(&world), ambient: &world.post }, sample).await;
        let failures: Vec<_> = fates.into_iter().filter_map(Result::err).collect();
        let (expected, out): (&[&str], usize) = match name.as_str() {
            "customer-signed-up" | "duplicate" => (&[], 1),
            "unknown-version" => (&["UnknownEventVersion"], 0),
            "unreadable-body" => (&["UnreadableEvent"], 0),
            other => panic!("{other}: say here what the name promises"),
        };
        assert_eq!(failures, expected, "{name}");
        assert_eq!(world.post.out.borrow().len(), out, "{name}");
    }
    assert_eq!(samples.len(), 4);
}
