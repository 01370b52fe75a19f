//! The mails, on the deployed stack with IAM enforced: who gets which, who gets none, and nobody one twice.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use anyhow::{Context, Result, bail, ensure};
use domain::{CustomerId, EmailAddress};
use end_to_end::{
    dead_letters::{purge, put},
    events::now,
    inbound,
};
use mailer::{Hour, limits::TO_ONE_MAX};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};
use testkit::{
    engine::{function_processes, request},
    inbox::Mail,
    shop::{DECLINED, NAME, VISA, heard, new_address, new_sku, stored_customer},
    stack::Stack,
};
use tokio::sync::RwLock;

/// Tests that pause or kill a consumer hold it alone.
static CONSUMERS: RwLock<()> = RwLock::const_new(());

/// Waits until nothing is left in a queue: whatever was to be sent is sent by then.
async fn rests(stack: &Stack, queue: &str) -> Result<()> {
    stack.wait_for(&format!("{queue} to be empty"), async || Ok(stack.peek(queue).await?.is_empty().then_some(()))).await
}

/// The mails of one order, once its end has been handled.
async fn of_order(stack: &Stack, email: &str, last: &str) -> Result<Vec<Mail>> {
    let arrived = async || Ok(stack.mails_to(email).await?.iter().any(|mail| mail.template() == last).then_some(()));
    stack.wait_for(&format!("the mail {last}"), arrived).await?;
    rests(stack, "OrderEmailQueue").await?;
    stack.mails_to(email).await
}

/// Exactly these, but that `received` may have been overtaken by the end.
fn ensure_exactly(mails: &[Mail], last: &str) -> Result<()> {
    let found: Vec<_> = mails.iter().map(Mail::template).collect();
    ensure!(found == ["received", last] || found == [last, "received"] || found == [last], "expected received and {last}, got {found:?}");
    Ok(())
}

#[tokio::test]
async fn a_second_sign_up_is_answered_alike_without_a_mail() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let address = new_address("welcome");
    let first = stack.sign_up(NAME, &address, true).await?;
    assert_eq!(first.status, 202, "{}", first.body);
    let welcomed = async || Ok(stack.mails_to(&address).await?.into_iter().next());
    let mail = stack.wait_for("the welcome", welcomed).await?;
    assert_eq!(mail.template(), "welcome");
    ensure_untracked(&mail)?;
    ensure!(confirmation(&mail).is_some(), "a yes is asked: {}", mail.body_text);
    let second = stack.sign_up("Somebody Else", &address.to_uppercase(), false).await?;
    assert_eq!((second.status, &second.body), (first.status, &first.body), "nobody learns who is a customer");
    let id = first.json()?["customer_id"].as_str().context("no customer_id")?.to_owned();
    // Once more, past the topic's deduplication.
    let again = domain::CloudEvent {
        source: "/customer-signup".into(),
        subject: domain::Subject::Customer(id.parse()?),
        time: first_signed_up_at(&stack, &id).await?,
        traceparent: None,
        event: domain::event::CustomerSignedUp { marketing_consent: false }.into(),
    };
    stack.publish_to("PublicEventsTopic", &id, "customer.signed_up.v1", &again.to_json()).await?;
    rests(&stack, "WelcomeEmailQueue").await?;
    assert_eq!(stack.mails_to(&address).await?.len(), 1);
    let stored = stack.item("CustomersTable", "customer_id", &id).await?.context("the customer is not stored")?;
    assert_eq!(
        (&stored["name"], &stored["marketing_consent"]),
        (&json!(NAME), &json!(false)),
        "the first sign-up stays, and is no consent"
    );
    Ok(())
}

/// A mail goes out where feedback is heard, and where SES puts no pixel into it and leaves its links as they are.
fn ensure_untracked(mail: &Mail) -> Result<()> {
    let set = mail.configuration_set_name.as_deref().unwrap_or_default();
    ensure!(set.contains("MailConfigurationSet") && !set.contains("CampaignMail"), "{}: {set}", mail.template());
    Ok(())
}

/// The path of the link that confirms a consent, where the mail has one.
fn confirmation(mail: &Mail) -> Option<&str> {
    let link = mail.body_text.lines().find(|line| line.contains("/confirm/"))?;
    link.find("/confirm/").map(|at| &link[at..])
}

#[tokio::test]
async fn a_later_yes_is_asked_by_one_mail_whose_button_alone_consents() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let address = new_address("asked");
    let first = stack.sign_up(NAME, &address, false).await?;
    let one_of = async |template: &str| Ok(stack.mails_to(&address).await?.into_iter().find(|mail| mail.template() == template));
    let welcome = stack.wait_for("the welcome", async || one_of("welcome").await).await?;
    ensure!(confirmation(&welcome).is_none(), "nobody asked for news: {}", welcome.body_text);
    for _ in 0..2 {
        let yes = stack.sign_up("Somebody Else", &address, true).await?;
        assert_eq!((yes.status, &yes.body), (first.status, &first.body), "nobody learns who is a customer");
    }
    let mail = stack.wait_for("the question", async || one_of("confirm").await).await?;
    ensure_untracked(&mail)?;
    rests(&stack, "WelcomeEmailQueue").await?;
    assert_eq!(stack.mails_to(&address).await?.len(), 2, "one question a day");

    let id = first.json()?["customer_id"].as_str().context("no customer_id")?.to_owned();
    let consented = async || -> Result<bool> {
        let stored = stack.item("CustomersTable", "customer_id", &id).await?.context("the customer is not stored")?;
        Ok(stored["double_opt_in_at"].is_string())
    };
    let path = confirmation(&mail).context("the mail has no link")?;
    let url = format!("{}{path}", stack.state.api_url);
    let page = request("GET", &url, &[], String::new()).await?;
    ensure!(page.status == 200 && page.body.contains("<form"), "{} {}", page.status, page.body);
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let forged = format!("{}x", &url[..url.len() - 1]);
    let for_leaving = url.replace("/confirm/", "/unsubscribe/");
    for refused in [forged, for_leaving] {
        assert_eq!(request("POST", &refused, &form, String::new()).await?.status, 404, "{refused}");
    }
    ensure!(!consented().await?, "looking at the page is no consent: scanners follow links");
    for _ in 0..2 {
        assert_eq!(request("POST", &url, &form, String::new()).await?.status, 200);
        ensure!(consented().await?, "the button is");
    }
    Ok(())
}

async fn first_signed_up_at(stack: &Stack, id: &str) -> Result<domain::Timestamp> {
    let stored = stack.item("CustomersTable", "customer_id", id).await?.context("the customer is not stored")?;
    Ok(stored["signed_up_at"].as_str().context("no signed_up_at")?.parse()?)
}

#[tokio::test]
async fn an_order_that_ships_is_mailed_with_its_tracking_number() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let (sku, email) = (new_sku("MUG"), new_address("ships"));
    stack.stock_up(&sku, 1200, 5).await?;
    let order_id = stack.place_of(&email, &[(&sku, 2)], VISA).await?;
    let seen = stack.ended(&order_id).await?;
    let mails = of_order(&stack, &email, "shipped").await?;
    ensure_exactly(&mails, "shipped")?;
    let shipped = mails.iter().find(|mail| mail.template() == "shipped").unwrap();
    let number = seen["tracking_number"].as_str().context("no tracking number")?;
    mails.iter().try_for_each(ensure_untracked)?;
    for part in [&shipped.body_text, shipped.body_html.as_ref().context("no HTML")?] {
        ensure!(part.contains(number), "{part}");
    }
    assert_eq!(shipped.reply_to, [format!("orders+{order_id}@example.com")], "a reply finds its order");
    assert_eq!(shipped.header("Auto-Submitted"), Some("auto-generated"), "no autoresponder answers it");
    Ok(())
}

#[tokio::test]
async fn a_cancelled_order_is_mailed_with_the_reason_in_the_customers_words() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let (sku, scarce) = (new_sku("MUG"), new_sku("SCARCE"));
    stack.stock_up(&sku, 1200, 5).await?;
    stack.stock_up(&scarce, 1200, 0).await?;
    let (poor, late) = (new_address("declined"), new_address("scarce"));
    stack.ended(&stack.place_of(&poor, &[(&sku, 1)], DECLINED).await?).await?;
    stack.ended(&stack.place_of(&late, &[(&scarce, 1)], VISA).await?).await?;
    for (address, words) in [(&poor, "declined"), (&late, "enough")] {
        let mails = of_order(&stack, address, "cancelled").await?;
        ensure_exactly(&mails, "cancelled")?;
        let cancelled = mails.iter().find(|mail| mail.template() == "cancelled").unwrap();
        ensure!(cancelled.body_text.contains(words), "{}", cancelled.body_text);
    }
    assert_eq!(stack.mails_to(&poor).await?.len(), 1, "nobody confirms what was not authorized");
    Ok(())
}

/// The attack: orders that cost nothing, all with somebody else's address.
#[tokio::test]
async fn one_address_gets_ten_mails_in_an_hour_whatever_is_ordered_with_it() -> Result<()> {
    const ORDERS: usize = 14;
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let sku = new_sku("MUG");
    stack.stock_up(&sku, 1200, 2 * ORDERS as u64).await?;
    // A second time where the hour has ended in between.
    for _ in 0..2 {
        let (victim, hour) = (new_address("victim"), Hour::of(now()));
        for _ in 0..ORDERS {
            stack.ended(&stack.place_of(&victim, &[(&sku, 1)], DECLINED).await?).await?;
        }
        rests(&stack, "OrderEmailQueue").await?;
        if Hour::of(now()) == hour {
            assert_eq!(stack.mails_to(&victim).await?.len() as u64, TO_ONE_MAX);
            return Ok(());
        }
    }
    bail!("{ORDERS} orders take longer than an hour")
}

/// A notification of SES as it documents them, about another address.
fn notification(name: &str, address: &str) -> Result<String> {
    let path = template::workspace_root().join(format!("functions/email-feedback/tests/fixtures/{name}.json"));
    let text = std::fs::read_to_string(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    ensure!(text.contains("ada@example.com"), "{name} is about nobody");
    Ok(text.replace("ada@example.com", address))
}

#[tokio::test]
async fn an_address_that_complains_or_bounces_gets_no_further_mail() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let sku = new_sku("MUG");
    stack.stock_up(&sku, 1200, 5).await?;
    for name in ["bounce-permanent", "complaint"] {
        let address = new_address(name);
        stack.notify("MailEventsTopic", &notification(name, &address)?).await?;
        let suppressed = async || {
            let row = stack.item("SuppressionsTable", "address", &address).await?.unwrap_or_default();
            Ok(row["suppressed_at"].is_string().then_some(()))
        };
        stack.wait_for("the address to be suppressed", suppressed).await?;
        stack.ended(&stack.place_of(&address, &[(&sku, 1)], VISA).await?).await?;
        rests(&stack, "OrderEmailQueue").await?;
        let mails = stack.mails_to(&address).await?;
        ensure!(mails.is_empty(), "after a {name} still mailed: {mails:?}");
    }
    let delivered = new_address("delivered");
    stack.notify("MailEventsTopic", &notification("delivery", &delivered)?).await?;
    stack.notify("MailEventsTopic", &notification("bounce-transient", &delivered)?).await?;
    rests(&stack, "EmailFeedbackQueue").await?;
    stack.ended(&stack.place_of(&delivered, &[(&sku, 1)], VISA).await?).await?;
    ensure_exactly(&of_order(&stack, &delivered, "shipped").await?, "shipped")
}

#[tokio::test]
async fn a_notification_that_nobody_can_read_is_parked_with_its_reason() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let mark = new_address("poison");
    stack.notify("MailEventsTopic", &json!({"eventType": "Teleported", "mail": {"destination": [mark]}}).to_string()).await?;
    let parked = async || Ok(stack.peek("EmailFeedbackDeadLetterQueue").await?.into_iter().find(|message| message.body.contains(&mark)));
    let message = stack.wait_for("the notification to be parked", parked).await?;
    ensure!(message.attributes.contains_key("ErrorType"), "{message:?}");
    ensure!(!message.attributes["ErrorMessage"].contains(&mark), "the reason quotes the mail: {message:?}");
    stack.delete("EmailFeedbackDeadLetterQueue", &message.message_id).await
}

/// The attack: a spam click on a forward, by its reader or a filter. And what such a click left behind before.
#[tokio::test]
async fn a_complaint_about_a_forward_is_parked_and_support_is_mailed_as_before() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _alone = CONSUMERS.write().await;
    let support = "support@example.com";
    let mark = format!("{:032x}", fastrand::u128(..));
    for (name, error_type) in [("complaint", "SupportComplained"), ("bounce-permanent", "SupportBounced")] {
        let mut told: Value = serde_json::from_str(&notification(name, support)?)?;
        told["mail"]["messageId"] = format!("{name}-{mark}").into();
        stack.notify("MailEventsTopic", &told.to_string()).await?;
        let parked = async || Ok(stack.peek("EmailFeedbackDeadLetterQueue").await?.into_iter().find(|it| it.body.contains(&mark)));
        let parked = stack.wait_for("what became of a forward to be parked", parked).await?;
        ensure!(parked.attributes.get("ErrorType").is_some_and(|it| it == error_type), "{parked:?}");
        stack.delete("EmailFeedbackDeadLetterQueue", &parked.message_id).await?;
    }
    let row = stack.item("SuppressionsTable", "address", support).await?;
    ensure!(row.is_none(), "support is suppressed, or counted against: {row:?}");

    let text = |text: &str| json!({"S": text});
    let before = json!({"address": text(support), "suppressed_at": text("2026-01-01T00:00:00Z"), "reason": text("complaint")});
    stack.put("SuppressionsTable", before).await?;
    let question = format!("Where is it? {mark}");
    let told = async {
        comes_in(&stack, &new_address("asks"), "orders@example.com", &question, "PASS").await?;
        let arrived = async || Ok(stack.mails_to(support).await?.iter().any(|mail| mail.body_text.contains(&question)).then_some(()));
        stack.wait_for("the question to reach people all the same", arrived).await
    };
    let told = told.await;
    // Nobody is suppressed by a row that says nothing.
    stack.put("SuppressionsTable", json!({"address": text(support)})).await?;
    told
}

// ── Campaigns ───────────────────────────────────────────────────────────────────────────────────────────────────────

/// Recipients of the list of the test: as many as the issue of a newsletter has that is worth a campaign.
const RECIPIENTS: usize = 1000;
/// Of them have never agreed to marketing mail.
const WITHOUT_CONSENT: usize = 50;
/// And are suppressed.
const SUPPRESSED: usize = 50;
/// A campaign's call of SES: what can be in doubt when it dies.
const IN_DOUBT_MAX: usize = 50;

#[tokio::test]
async fn a_campaign_killed_half_way_and_started_again_mails_each_who_agreed_once() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _alone = CONSUMERS.write().await;
    let run = format!("{:08x}", fastrand::u32(..));
    let addresses: Vec<_> = (0..RECIPIENTS).map(|n| format!("reader{n}.{run}@example.com")).collect();
    for (n, address) in addresses.iter().enumerate() {
        let id = CustomerId::from_email(&address.parse::<EmailAddress>()?);
        stack.put("CustomersTable", stored_customer(&id.to_string(), address, n >= WITHOUT_CONSENT)).await?;
        if (WITHOUT_CONSENT..WITHOUT_CONSENT + SUPPRESSED).contains(&n) {
            let text = |text: &str| json!({"S": text});
            let row = json!({"address": text(address), "suppressed_at": text("2026-01-01T00:00:00Z"), "reason": text("complaint")});
            stack.put("SuppressionsTable", row).await?;
        }
    }
    let rows: String = addresses.iter().enumerate().map(|(n, address)| format!("{address},Reader {n},SPRING-{n}\r\n")).collect();
    stack.store("CampaignsBucket", &format!("lists/{run}.csv"), &format!("email,name,voucher\r\n{rows}")).await?;
    let campaign = format!("news-{run}");
    let start = json!({"campaign_id": campaign, "template": "newsletter", "list": format!("lists/{run}.csv")}).to_string();
    stack.send("EmailCampaignQueue", "", &start).await?;

    let mailed =
        async || Ok::<_, anyhow::Error>(stack.inbox().await?.into_iter().filter(|mail| mail.to[0].contains(&run)).collect::<Vec<_>>());
    stack.wait_for("a quarter of the mails", async || Ok((mailed().await?.len() >= RECIPIENTS / 4).then_some(()))).await?;
    let workers: Vec<_> =
        function_processes(stack.state.engine_pid).into_iter().filter(|it| it.function.contains("EmailCampaign")).collect();
    ensure!(!workers.is_empty(), "no process of email-campaign was found to kill");
    for worker in workers {
        ensure!(Command::new("kill").args(["-KILL", &worker.pid.to_string()]).status()?.success(), "the worker could not be killed");
    }
    let by_then = mailed().await?.len();
    ensure!(by_then < RECIPIENTS - WITHOUT_CONSENT - SUPPRESSED, "it was through before it could be killed");
    stack.send("EmailCampaignQueue", "", &start).await?;

    let report = async || stack.stored("CampaignsBucket", &format!("reports/{campaign}.csv")).await;
    let report = stack.wait_for("the report", report).await?;
    let mails = mailed().await?;
    let mut times = BTreeMap::<&str, usize>::new();
    mails.iter().for_each(|mail| *times.entry(&mail.to[0]).or_default() += 1);
    ensure!(times.values().all(|n| *n == 1), "mailed twice: {:?}", times.iter().filter(|(_, n)| **n > 1).collect::<Vec<_>>());
    let refused: BTreeSet<_> = addresses.iter().take(WITHOUT_CONSENT + SUPPRESSED).map(String::as_str).collect();
    ensure!(times.keys().all(|address| !refused.contains(address)), "somebody was mailed who did not agree, or is suppressed");
    let in_doubt: BTreeSet<_> =
        addresses.iter().filter(|it| report.lines().any(|line| line.contains(*it) && line.contains("in_doubt"))).collect();
    ensure!(in_doubt.len() <= IN_DOUBT_MAX, "{} are in doubt, more than one call", in_doubt.len());
    for address in addresses.iter().skip(WITHOUT_CONSENT + SUPPRESSED) {
        ensure!(times.contains_key(address.as_str()) || in_doubt.contains(address), "{address} got no mail and the report does not say so");
    }
    ensure!(report.lines().count() == RECIPIENTS + 1, "a line for each recipient, and one of names; got {}", report.lines().count());

    let mail = &mails[0];
    ensure!(mail.configuration_set_name.as_deref().unwrap_or_default().contains("CampaignMail"), "opens and clicks are counted: {mail:?}");
    assert_eq!(mail.header("List-Unsubscribe-Post"), Some("List-Unsubscribe=One-Click"));
    let link = mail.header("List-Unsubscribe").context("no List-Unsubscribe")?.trim_matches(['<', '>']);
    ensure!(mail.body_text.contains(link), "the text has the same link");
    let path = &link[link.find("/unsubscribe/").context("the link leads elsewhere")?..];
    unsubscribes(&stack, path, &mail.to[0]).await
}

/// Looking changes nothing, one click does, and no token but a signed one.
async fn unsubscribes(stack: &Stack, path: &str, address: &str) -> Result<()> {
    let id = CustomerId::from_email(&address.parse::<EmailAddress>()?).to_string();
    let unsubscribed = async || -> Result<bool> {
        let customer = stack.item("CustomersTable", "customer_id", &id).await?.context("no such customer")?;
        Ok(customer["unsubscribed_at"].is_string())
    };
    let url = format!("{}{path}", stack.state.api_url);
    let page = request("GET", &url, &[], String::new()).await?;
    ensure!(page.status == 200 && page.body.contains("<form"), "{} {}", page.status, page.body);
    ensure!(!unsubscribed().await?, "looking at the page must not unsubscribe: scanners follow links");
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let forged = format!("{}x", &url[..url.len() - 1]);
    assert_eq!(request("POST", &forged, &form, "List-Unsubscribe=One-Click".into()).await?.status, 404);
    ensure!(!unsubscribed().await?, "a forged link unsubscribed somebody");
    for _ in 0..2 {
        assert_eq!(request("POST", &url, &form, "List-Unsubscribe=One-Click".into()).await?.status, 200);
        ensure!(unsubscribed().await?, "one click must do");
    }
    Ok(())
}

// ── Inbound ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/// Lets a mail come in as SES does: stored in the bucket, and told to the topic with its verdicts.
async fn comes_in(stack: &Stack, from: &str, to: &str, text: &str, spf: &str) -> Result<()> {
    stack.notify("InboundMailTopic", &inbound::stored(stack, from, to, text, spf).await?).await
}

#[tokio::test]
async fn a_reply_cancels_its_order_and_a_forged_one_nothing() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _alone = CONSUMERS.write().await;
    let (sku, email) = (new_sku("MUG"), new_address("replies"));
    stack.stock_up(&sku, 1200, 5).await?;
    stack.set_consumer("InventoryFunction", false).await?;
    let story = async {
        let order_id = stack.place_of(&email, &[(&sku, 1)], VISA).await?;
        stack.until(&order_id, "payment.authorized").await?;
        let to = format!("orders+{order_id}@example.com");
        let asked = async || -> Result<bool> {
            let order = stack.item("OrdersTable", "order_id", &order_id).await?.unwrap_or_default();
            Ok(order["cancel_requested_at"].is_string())
        };
        let forger = new_address("forger");
        let hidden = "Please cancel my order\r\n\r\n____________________\r\nUPDATE: do not cancel";
        let marked = "Please cancel my order\r\n\r\n> no, keep it";
        for (from, text, spf) in
            [(&forger, "cancel", "PASS"), (&email, "cancel", "FAIL"), (&email, hidden, "PASS"), (&email, marked, "PASS")]
        {
            comes_in(&stack, from, &to, text, spf).await?;
            rests(&stack, "EmailInboundQueue").await?;
            ensure!(!asked().await?, "a mail from {from} with SPF {spf} asked to cancel: {text}");
        }
        let quote = "> We have received your order. You pay when it ships: the total is\r\n> collected only then.";
        comes_in(&stack, &email, &to, &format!("Please cancel my order\r\n\r\n{quote}"), "PASS").await?;
        stack.until(&order_id, "order.cancelled").await?;
        ensure!(asked().await?, "the wish is noted");
        Ok(order_id)
    };
    let order_id = story.await;
    stack.set_consumer("InventoryFunction", true).await?;
    let seen = stack.ended(&order_id?).await?;
    ensure!(heard(&seen, "order.cancelled") && seen.to_string().contains("customer_asked"), "{seen:#}");
    Ok(())
}

#[tokio::test]
async fn unclear_replies_go_to_support_once_and_machines_nowhere() -> Result<()> {
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _shared = CONSUMERS.read().await;
    let (sku, email) = (new_sku("MUG"), new_address("asks"));
    stack.stock_up(&sku, 1200, 5).await?;
    let order_id = stack.place_of(&email, &[(&sku, 1)], VISA).await?;
    stack.ended(&order_id).await?;
    let to = format!("orders+{order_id}@example.com");
    let question = format!("When will it arrive? {:08x}", fastrand::u32(..));
    comes_in(&stack, &email, &to, &question, "PASS").await?;
    let support = "support@example.com";
    let forwarded = async || -> Result<Vec<Mail>> {
        Ok(stack.mails_to(support).await?.into_iter().filter(|mail| mail.body_text.contains(&question)).collect())
    };
    stack.wait_for("the question to reach people", async || Ok((!forwarded().await?.is_empty()).then_some(()))).await?;
    rests(&stack, "EmailInboundQueue").await?;
    assert_eq!(forwarded().await?.len(), 1);
    assert_eq!(stack.look(&order_id).await?.json()?["status"], Value::from("completed"));
    Ok(())
}

/// The attack: a mailbox that writes and writes. SES is said to have received it all in one hour of the past, so that the digest
/// is due; its check, which would come after ten minutes, is sent by hand.
#[tokio::test]
async fn of_many_mails_five_are_forwarded_and_a_digest_lists_the_rest() -> Result<()> {
    const SENT: usize = 12;
    const FORWARDED: usize = email_inbound::forwards::FROM_ONE_MAX;
    let Some(stack) = Stack::of_tests()? else { return Ok(()) };
    let _alone = CONSUMERS.write().await;
    let (writer, support) = (new_address("mallory"), "support@example.com");
    let hour = inbound::hour_of_its_own();
    let mark = format!("{:08x}", fastrand::u32(..));
    let mut told = Vec::new();
    for n in 0..SENT {
        let text = format!("Buy {mark} at https://pills.example/{n}");
        told.push(inbound::stored_at(&stack, &writer, "orders@example.com", &text, "PASS", &format!("{hour}:{:02}:00Z", n * 5)).await?);
    }
    // The topic delivers some of it twice, as SNS may.
    for notification in told.iter().chain(&told[..SENT / 2]) {
        stack.notify("InboundMailTopic", notification).await?;
    }
    let id = |notification: &String| -> Result<String> {
        let parsed: Value = serde_json::from_str(notification)?;
        Ok(parsed["mail"]["messageId"].as_str().context("no messageId")?.to_owned())
    };
    let row = async || stack.item("EmailLedgerTable", "mail_id", &format!("forwards/{hour}")).await;
    let counted = |row: &Value, ids: &[String], set: &str| ids.iter().filter(|id| row[set].to_string().contains(*id)).count();
    let ids = told.iter().map(id).collect::<Result<Vec<_>>>()?;
    let all = async || {
        let row = row().await?.unwrap_or_default();
        let places = (counted(&row, &ids, "forwarded"), counted(&row, &ids, "held_back"));
        Ok((places == (FORWARDED, SENT - FORWARDED)).then_some(row))
    };
    let row = stack.wait_for("each mail to have a place or to be written down", all).await?;
    ensure!(!row.to_string().contains("example"), "a row names a sender: {row}");
    let about = async |what: &str| -> Result<Vec<Mail>> {
        Ok(stack.mails_to(support).await?.into_iter().filter(|mail| mail.body_text.contains(what)).collect())
    };
    stack.wait_for("the forwards", async || Ok((about(&mark).await?.len() == FORWARDED).then_some(()))).await?;
    let reporter = row["digest_by"].as_str().context("nobody makes the digest")?;
    let place = ids.iter().position(|id| id == reporter).context("somebody else makes the digest")?;
    for _delivered in 0..2 {
        put(&stack, "EmailInboundQueue", "", &told[place], &[("Checks", "1"), ("NotBefore", "2020-01-01T00:00:00Z")]).await?;
    }
    let digest = async || Ok(about(reporter).await?.into_iter().find(|mail| mail.template() == "forward-digest"));
    let digest = stack.wait_for("the digest", digest).await?;
    let listed = ids.iter().filter(|id| digest.body_text.contains(*id)).count();
    assert_eq!(listed, SENT - FORWARDED, "{}", digest.body_text);
    ensure!(!digest.body_text.contains("pills") && !digest.body_text.contains('@'), "a stranger's words: {}", digest.body_text);
    let set = digest.configuration_set_name.as_deref().unwrap_or_default();
    ensure!(set.contains("OperatorMailConfigurationSet"), "a spam click would suppress support: {digest:?}");
    // Delayed checks are all that is left; others wait for this queue to be empty.
    purge(&stack, "EmailInboundQueue").await?;
    assert_eq!(about(&mark).await?.len(), FORWARDED, "no more were forwarded");
    assert_eq!(about(reporter).await?.len(), 1, "one digest");
    Ok(())
}
