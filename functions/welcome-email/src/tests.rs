//! Welcome-email, driven through `handle` against customers, a ledger and an outbox in memory.

use super::*;
use domain::{
    Personal, Subject, Timestamp,
    event::{CustomerSignedUp, PaymentVoided},
};
use lambda_kit::{
    Kind,
    secrets::{Cached, SecretStore},
};
use mailer::{
    MAIL_AGE_MAX, SENDING_FOR,
    testing::{Post, failed, one_blank, reads_well},
    unsubscribe::SignedLinks,
};
use pipeline::Consume;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    fs,
    path::Path,
    time::Duration,
};
use testkit::samples::fates;

/// Everything outside, in memory, with the calls that were made of it.
#[derive(Default)]
struct World {
    customer: RefCell<Option<Customer>>,
    /// Why no link can be made, if so.
    no_link: Cell<Option<&'static str>>,
    post: Post,
}

impl Customers for &World {
    async fn find(&self, id: &CustomerId) -> Result<Option<Customer>, Failure> {
        self.post.note("find", id);
        Ok(self.customer.borrow().clone())
    }
}

impl Links for &World {
    async fn confirmation(&self, question: &Question) -> Result<String, Failure> {
        self.post.note("link", format_args!("{} {}", question.customer_id, question.asked_at));
        match self.no_link.get() {
            Some(code) => Err(Failure::transient(code, "the key cannot be read")),
            None => Ok(samples::LINK.to_owned()),
        }
    }
}

/// A customer who asked for nothing but to sign up.
fn customer() -> Customer {
    samples::customer(false).unwrap()
}
/// One who asked for marketing mail at once.
fn asking() -> Customer {
    samples::customer(true).unwrap()
}
/// A world with the sample customer, at the moment of signing up.
fn world() -> World {
    let world = World { customer: Some(customer()).into(), ..World::default() };
    world.post.now.set(customer().signed_up_at);
    world
}
/// The same with this customer.
fn world_of(customer: Customer) -> World {
    World { customer: Some(customer).into(), ..world() }
}
fn stage(world: &World) -> WelcomeEmail<&World, &World, &Post, &Post, &Post> {
    WelcomeEmail { customers: world, links: world, mailer: world.post.mailer() }
}
/// The mails that went out: template, and whether the link is in it.
fn out(world: &World) -> Vec<(&'static str, bool)> {
    let asks = |outgoing: &OutgoingMail| {
        let parts = [&outgoing.mail.text, &outgoing.mail.html].map(|part| part.contains(samples::LINK));
        assert_eq!(parts[0], parts[1], "text and HTML say the same");
        parts[0]
    };
    world.post.out.borrow().iter().map(|outgoing| (outgoing.template, asks(outgoing))).collect()
}
async fn hear(world: &World, subject: Subject, event: Event) -> Result<(), Failure> {
    let event = CloudEvent { source: "/test".into(), subject, time: customer().signed_up_at, traceparent: None, event };
    let reply = stage(world).handle(&event, &Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() }).await?;
    assert_eq!(reply, Reply::nothing(), "it announces nothing");
    Ok(())
}
async fn sign_up(world: &World) -> Result<(), Failure> {
    hear(world, Subject::Customer(customer().customer_id), CustomerSignedUp { marketing_consent: false }.into()).await
}

#[tokio::test]
async fn a_sign_up_is_one_mail_and_a_duplicate_none() {
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
    let [outgoing] = &world.post.out.borrow()[..] else { panic!("one mail") };
    assert_eq!((outgoing.to.as_str(), outgoing.template, &outgoing.reply_to), ("ada@example.com", "welcome", &None));
    assert_eq!(outgoing.headers, [("Auto-Submitted".to_owned(), "auto-generated".to_owned())]);
    assert_eq!(outgoing.mail.subject, "Welcome: you have signed up with Order Pipeline");
}

#[tokio::test]
async fn after_a_crash_the_second_mail_waits_for_the_claim() {
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
async fn a_suppressed_address_gets_no_welcome_and_the_event_is_done() {
    let world = world();
    world.post.suppressed.borrow_mut().insert("ada@example.com".into());
    sign_up(&world).await.unwrap();
    assert_eq!((world.post.out.borrow().len(), world.post.rows.borrow().len()), (0, 0));
}

/// A form is sent for nothing, with anybody's address.
#[tokio::test]
async fn welcomes_over_the_hours_limit_are_done_without_a_mail() {
    let world = world();
    world.post.unpaid_is_full.set(true);
    sign_up(&world).await.unwrap();
    assert_eq!(world.post.out.borrow().len(), 0);
}

#[tokio::test]
async fn a_welcome_a_day_late_is_not_sent() {
    let world = world();
    world.post.now.set(customer().signed_up_at + MAIL_AGE_MAX + Duration::from_millis(1));
    sign_up(&world).await.unwrap();
    assert_eq!(*world.post.calls.borrow(), [format!("find {}", customer().customer_id)]);
    world.customer.take();
    sign_up(&world).await.unwrap();
    assert_eq!(world.post.out.borrow().len(), 0, "nor parked where the customer has been deleted since");
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
    let odd = hear(&world, order(), CustomerSignedUp { marketing_consent: false }.into()).await;
    assert_eq!(failed(odd), (Kind::Permanent, "NotACustomer".into()));
    assert_eq!(*world.post.calls.borrow(), [""; 0]);
}

// ── Asking for a consent ────────────────────────────────────────────────────────────────────────────────────────────

/// A day and more after the sign-up, of which the welcome is long out.
fn much_later() -> Timestamp {
    customer().signed_up_at + MAIL_AGE_MAX + MAIL_AGE_MAX
}
/// A known customer who is asked then, and a world at that time.
fn asked_later(customer: Customer) -> World {
    let world = world_of(Customer { consent_asked_at: Some(much_later()), ..customer });
    world.post.now.set(much_later());
    world
}

#[tokio::test]
async fn the_welcome_of_a_customer_who_asked_holds_the_question() {
    let world = world_of(asking());
    sign_up(&world).await.unwrap();
    sign_up(&world).await.unwrap();
    assert_eq!(out(&world), [("welcome", true)]);
    let asked = format!("link {} {}", asking().customer_id, asking().signed_up_at);
    assert!(world.post.calls.borrow().contains(&asked), "{:?}", world.post.calls.borrow());
}

#[tokio::test]
async fn a_welcome_that_asks_nothing_needs_no_key() {
    let world = world();
    world.no_link.set(Some("UnsubscribeKeyMissing"));
    sign_up(&world).await.unwrap();
    assert_eq!(out(&world), [("welcome", false)]);
}

#[tokio::test]
async fn without_a_key_the_question_waits_and_nothing_is_claimed() {
    let world = world_of(asking());
    world.no_link.set(Some("UnsubscribeKeyMissing"));
    assert_eq!(failed(sign_up(&world).await), (Kind::Transient, "UnsubscribeKeyMissing".into()));
    assert_eq!((out(&world), world.post.rows.borrow().len()), (vec![], 0));
    world.no_link.take();
    sign_up(&world).await.unwrap();
    assert_eq!(out(&world), [("welcome", true)]);
}

#[tokio::test]
async fn a_later_yes_is_one_mail_however_often_it_is_announced() {
    for known in [customer(), asking(), Customer { marketing_consent: true, ..customer() }] {
        let world = asked_later(known);
        for _ in 0..3 {
            sign_up(&world).await.unwrap();
        }
        assert_eq!(out(&world), [("confirm", true)], "and no second welcome");
        let [outgoing] = &world.post.out.borrow()[..] else { panic!("one mail") };
        assert_eq!(outgoing.mail_id, format!("{}/confirm/{}", customer().customer_id, much_later()));
        assert!(outgoing.unpaid && outgoing.headers == [("Auto-Submitted".to_owned(), "auto-generated".to_owned())]);
    }
}

/// The form was sent twice within a minute, first without the yes.
#[tokio::test]
async fn a_yes_before_the_welcome_went_out_gets_a_mail_of_its_own() {
    // Of the same millisecond too, in which the record alone tells which of the two came first.
    for after_ms in [0, 60_000] {
        let asked = customer().signed_up_at + Duration::from_millis(after_ms);
        let world = world_of(Customer { consent_asked_at: Some(asked), ..customer() });
        world.post.now.set(asked);
        sign_up(&world).await.unwrap();
        sign_up(&world).await.unwrap();
        assert_eq!(out(&world), [("welcome", false), ("confirm", true)], "{after_ms}");
    }
}

#[tokio::test]
async fn an_answered_overtaken_or_old_question_is_not_asked() {
    let before = much_later() - Duration::from_secs(1);
    let confirmed = asked_later(Customer { double_opt_in_at: Some(before), ..customer() });
    let unsubscribed = asked_later(Customer { unsubscribed_at: Some(much_later()), ..customer() });
    let late = asked_later(customer());
    late.post.now.set(much_later() + MAIL_AGE_MAX + Duration::from_millis(1));
    for world in [confirmed, unsubscribed, late] {
        sign_up(&world).await.unwrap();
        assert_eq!((out(&world), world.post.calls.borrow().len()), (vec![], 1), "one read, and no key");
    }
    let back = asked_later(Customer { unsubscribed_at: Some(before), ..customer() });
    sign_up(&back).await.unwrap();
    assert_eq!(out(&back), [("confirm", true)], "asked after unsubscribing");
}

#[tokio::test]
async fn a_question_counts_against_the_limits_and_the_suppression_list() {
    let full = asked_later(customer());
    full.post.unpaid_is_full.set(true);
    let suppressed = asked_later(customer());
    suppressed.post.suppressed.borrow_mut().insert("ada@example.com".into());
    for world in [full, suppressed] {
        sign_up(&world).await.unwrap();
        assert!(out(&world).is_empty());
    }
}

#[tokio::test]
async fn a_signed_link_leads_back_to_the_question() {
    struct Text;
    impl SecretStore for Text {
        async fn read(&self) -> Result<Option<String>, Failure> {
            Ok(Some("a sample key, never one that is in use".to_owned()))
        }
    }
    let links = SignedLinks { api_url: "https://id.execute-api.us-east-1.amazonaws.com".to_owned(), key: Cached::new(Text) };
    let question = Question { customer_id: asking().customer_id, asked_at: asking().signed_up_at };
    assert_eq!(links.confirmation(&question).await.unwrap(), samples::LINK);
}

// ── What the mail says ──────────────────────────────────────────────────────────────────────────────────────────────

fn welcome(customer: &Customer) -> Mail {
    mails::welcome(customer, customer.open_question().and_then(|_| samples::asking(customer))).unwrap()
}

#[test]
fn text_and_html_state_the_same_facts_and_consent() {
    let asks = "Do you also want news and offers by mail? We send them only if you confirm it:";
    let until = "The link works until 11 May 2026, 10:02 UTC. If you do nothing, you get no news and no offers.";
    let news = "You have also agreed to news and offers. Each of those mails has a link that ends them at once.";
    let none = "You get nothing else from us: no news and no offers.";
    let later = Some(customer().signed_up_at + Duration::from_secs(1));
    let confirmed = Customer { double_opt_in_at: later, ..asking() };
    let single_opt_in = Customer { marketing_consent: true, ..customer() };
    let taken_back = Customer { unsubscribed_at: later, ..single_opt_in.clone() };
    let cases = [(customer(), none), (asking(), asks), (asking(), until), (confirmed, news), (single_opt_in, news), (taken_back, none)];
    for (customer, says) in cases {
        let mail = welcome(&customer);
        for part in [one_blank(&mail.text), one_blank(&mail.html)] {
            for sentence in [asks, until, news, none] {
                let expected = sentence == says || [asks, until].contains(&sentence) && [asks, until].contains(&says);
                assert_eq!(part.contains(sentence), expected, "{sentence} {part}");
            }
            assert!(part.contains("Hello Ada Example,") && part.contains("4 May 2026, 10:02 UTC"), "{part}");
        }
    }
}

/// Asking is lawful; advertising beside it would not be.
#[test]
fn a_question_holds_one_untracked_link_and_nothing_else() {
    let mail = mails::confirm(&asking(), samples::asking(&asking()).unwrap()).unwrap();
    assert_eq!(mail.subject, "Please confirm: news and offers from Order Pipeline");
    for part in [one_blank(&mail.text), one_blank(&mail.html)] {
        assert!(part.contains("Somebody has asked us to send news and offers to this address. We do so only if you confirm it:"), "{part}");
        assert!(part.contains("The link works until 11 May 2026, 10:02 UTC. If you do nothing, nothing changes."), "{part}");
        assert_eq!(part.matches("http").count(), 1, "{part}");
    }
    for mail in [mail, welcome(&asking())] {
        assert_eq!(mail.html.matches("<a ").count(), 1);
        assert!(mail.html.contains(&format!("<a ses:no-track href=\"{}\"", samples::LINK)), "{}", mail.html);
        assert!(mail.text.contains(&format!("\n\n{}\n\n", samples::LINK)), "a line of its own: {}", mail.text);
    }
}

#[test]
fn a_name_stays_text_on_its_line_and_an_advertisement_is_not_repeated() {
    let named = |name: &str| welcome(&Customer { name: Personal(name.to_owned()), ..customer() });
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
    assert_eq!(samples.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["welcome", "welcome-asks", "confirm"], "none failed");
    for (name, mail) in samples {
        // The one link, which cannot be broken into lines.
        let without = |part: &str| part.replace(samples::LINK, "(link)");
        let mail = Mail { text: without(&mail.text), html: without(&mail.html), ..mail };
        reads_well(&mail, if name == "confirm" { "Please confirm</title>" } else { "Welcome</title>" });
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
