//! Email-inbound, driven through `read` and `handle` with real mails against S3, orders, ledger and SES in memory.

use super::*;
use aws_sdk_dynamodb::types::{self, ReturnValue, TransactWriteItem};
use forwards::{ALL_MAX, DIGEST_MARGIN, FROM_ONE_MAX, ForwardRows, LATE_WAIT, LISTED_MAX, UNVERIFIED_MAX};
use inbox::{MAIL_BYTES_MAX, Stored};
use lambda_kit::{
    Kind,
    dynamodb::{Fate, Item, Transacted, Written},
    message::Outgoing,
};
use mailer::testing::Post;
use proptest::prelude::*;
use serde_json::{Value, json};
use simulated_cloud::write::Write;
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeSet, HashMap},
    path::Path,
    rc::Rc,
};

#[path = "replies.rs"]
mod replies;

/// The outcome of each mail of `tests/mails/`, if SES vouches for it.
const FATES: [(&str, &str); 48] = [
    // clear wishes, as clients write them
    ("cancel-apple-mail", "cancel"),
    ("cancel-base64", "cancel"),
    ("cancel-below-the-quote", "cancel"),
    ("cancel-gmail", "cancel"),
    ("cancel-html-blockquote", "cancel"),
    ("cancel-html-only", "cancel"),
    ("cancel-latin1", "cancel"),
    ("cancel-new-mail", "cancel"),
    ("cancel-outlook", "cancel"),
    ("encoding-with-comment", "cancel"),
    ("named-body", "cancel"),
    ("person-through-a-list", "cancel"),
    // for people
    ("answer-below-unmarked-quote", "no_clear_wish"),
    ("dashes-hide-the-no", "no_clear_wish"),
    ("rule-hides-the-no", "no_clear_wish"),
    ("struck-through", "no_clear_wish"),
    ("gb2312", "no_clear_wish"),
    ("html-entities", "no_clear_wish"),
    ("iso-2022-jp", "no_clear_wish"),
    ("us-ascii-label-utf-8-bytes", "no_clear_wish"),
    ("no-charset-latin-1", "not_certain"),
    ("person-suppresses-auto-replies", "no_clear_wish"),
    ("attachment-bomb", "not_certain"),
    ("changed-mind-below", "no_clear_wish"),
    ("conditional-wish", "no_clear_wish"),
    ("cut-in-the-middle", "not_all"),
    ("empty", "no_clear_wish"),
    ("nested-bomb", "not_all"),
    ("question", "no_clear_wish"),
    ("wish-in-an-attachment", "not_certain"),
    ("wish-in-the-quote-alone", "no_clear_wish"),
    ("no-order", "no_order"),
    ("not-the-customer", "not_the_customer"),
    ("name-is-an-address", "not_the_customer"),
    ("from-a-group", "no_clear_sender"),
    ("no-from", "no_clear_sender"),
    ("two-from-addresses", "no_clear_sender"),
    ("two-from-headers", "no_clear_sender"),
    // The envelope is another's; with DMARC's word for it, it would be the customer's.
    ("forged-from", "cancel"),
    // for people too: what asks that nothing answer by itself is no machine's for that
    ("auto-reply-of-old", "no_clear_wish"),
    ("from-support", "not_the_customer"),
    ("mailing-list", "no_clear_wish"),
    ("newsletter", "not_the_customer"),
    ("out-of-office-exchange", "no_clear_wish"),
    ("read-receipt", "not_certain"),
    // machines
    ("auto-reply", "dropped"),
    ("delivery-report", "dropped"),
    ("from-ourselves", "dropped"),
];

const ORDER: &str = "22705e6b-fcc3-58dd-9ec8-55c8e45275c1";
const BUCKET: &str = "order-pipeline-inbound-mails";
const NOW: &str = "2026-05-04T10:31:08.000Z";

/// The bucket in memory.
#[derive(Default)]
struct Mails(RefCell<HashMap<String, Vec<u8>>>);

impl Inbox for Mails {
    fn bucket(&self) -> &str {
        BUCKET
    }
    async fn fetch(&self, key: &str) -> Result<Stored, Failure> {
        let mails = self.0.borrow();
        let bytes = mails.get(key).ok_or_else(|| Failure::transient("NoSuchKey", "GetObject failed"))?;
        Ok(stored(bytes))
    }
}

/// The orders table in memory: the first wish stays.
#[derive(Default)]
struct Shelf {
    order: RefCell<Option<Order>>,
    shipped: Cell<bool>,
    dies_after: Cell<bool>,
    calls: Cell<usize>,
}

impl Orders for Shelf {
    async fn find(&self, id: &OrderId) -> Result<Option<Order>, Failure> {
        self.calls.set(self.calls.get() + 1);
        Ok(self.order.borrow().clone().filter(|order| order.order_id == *id))
    }
    async fn request_cancel(&self, id: &OrderId, now: Timestamp) -> Result<CancelAsked, Failure> {
        if self.shipped.get() {
            return Ok(CancelAsked::TooLate);
        }
        let mut order = self.order.borrow_mut();
        let Some(order) = order.as_mut().filter(|order| order.order_id == *id) else { return Ok(CancelAsked::NoSuchOrder) };
        let since = *order.cancel_requested_at.get_or_insert(now);
        if self.dies_after.take() { Err(Failure::transient("Crash", "the process died")) } else { Ok(CancelAsked::Since(since)) }
    }
}

/// The ledger's table in memory, under the expressions that are really sent.
#[derive(Clone, Default)]
struct Rows {
    items: Rc<RefCell<HashMap<String, Item>>>,
    dies_after: Rc<Cell<bool>>,
}

impl DynamoDb for Rows {
    async fn update_item(&self, update: types::Update, _: ReturnValue) -> Result<Written, Failure> {
        let write = Write::update(&update).map_err(|why| Failure::bug("ValidationException", why))?;
        let old = self.items.borrow().get(write.key).cloned();
        match write.attempt(old.as_ref()).map_err(|why| Failure::bug("ValidationException", why))? {
            Ok(set) => {
                let new = write.leave(old, set);
                self.items.borrow_mut().insert(write.key.to_owned(), new.clone());
                if self.dies_after.take() { Err(Failure::transient("Crash", "the process died")) } else { Ok(Written::Done(Some(new))) }
            }
            Err(Fate::ConditionFailed(old)) => Ok(Written::Refused(old)),
            Err(fate) => panic!("{fate:?}"),
        }
    }
    async fn get_item(&self, _: &str, _: (&str, &str)) -> Result<Option<Item>, Failure> {
        panic!("places are updates alone")
    }
    async fn put_item(&self, _: types::Put) -> Result<Written, Failure> {
        panic!("places are updates alone")
    }
    async fn transact_write_items(&self, _: Vec<TransactWriteItem>) -> Result<Transacted, Failure> {
        panic!("places are updates alone")
    }
}

type Function<'w> = EmailInbound<Mails, Shelf, ForwardRows<Rows>, &'w Post, &'w Post, &'w Post>;

/// The function's environment, at [`NOW`].
fn post() -> Post {
    Post { now: Cell::new(now_after(0)), ..Post::default() }
}
fn now_after(seconds: u64) -> Timestamp {
    NOW.parse::<Timestamp>().unwrap() + Duration::from_secs(seconds)
}
/// The function, with `bytes` in its bucket.
fn function<'w>(post: &'w Post, bytes: &[u8]) -> Function<'w> {
    let shelf = Shelf::default();
    *shelf.order.borrow_mut() = Some(order());
    let mails = Mails::default();
    mails.0.borrow_mut().insert("d6iitobk75ur44p8kdnnp7g2n8001".into(), bytes.to_vec());
    EmailInbound {
        inbox: mails,
        orders: shelf,
        forwards: ForwardRows::new(Rows::default(), "ledger"),
        mailer: post.mailer(),
        own: "orders@example.com".parse().unwrap(),
        support: "support@example.com".parse().unwrap(),
    }
}

/// The order, with the address as its customer typed it.
fn order() -> Order {
    let mut order = testkit::order::order(ORDER);
    order.customer.name.0 = "Ada Example".into();
    order.customer.email.0 = "Ada@Example.com".into();
    order
}

fn mail(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/mails/{name}.eml"))).unwrap()
}

fn sample(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../events/email-inbound/{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The notification of the sample, which SES vouches for.
fn notification() -> Value {
    serde_json::from_str(sample("reply-to-cancel")["Records"][0]["body"].as_str().unwrap()).unwrap()
}

/// The notification that SES makes of a mail: its own reading of `From` and of the envelope.
fn notification_of(bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let values = |name: &str| -> Vec<String> {
        head.lines()
            .filter_map(|line| line.strip_prefix(name))
            .flat_map(|value| value.split(", "))
            .map(|value| value.trim().to_owned())
            .collect()
    };
    let mut notification = notification();
    notification["mail"]["source"] = json!(values("Return-Path:").first().map(|path| path.trim_matches(['<', '>'])));
    notification["mail"]["commonHeaders"]["from"] = json!(values("From:"));
    if values("To:").iter().all(|to| !to.contains('+')) {
        notification["receipt"]["recipients"] = json!(["orders@example.com"]);
    }
    notification
}

async fn hear(function: &Function<'_>, notification: &Value) -> Result<Vec<Outgoing>, Failure> {
    let incoming = function.read(&notification.to_string())?;
    let handled = function.handle(&incoming.message, &Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() }).await?;
    assert_eq!(handled.look_again_after, None);
    Ok(handled.publish)
}

/// The outcome of a mail: "cancel", "dropped", or why it was forwarded.
async fn fate(bytes: &[u8], notification: &Value) -> String {
    let post = post();
    let function = function(&post, bytes);
    let published = hear(&function, notification).await.unwrap();
    let outgoing = post.out.borrow();
    match (published.as_slice(), outgoing.as_slice()) {
        ([_], []) => "cancel".to_owned(),
        ([], []) => {
            assert_eq!(function.orders.calls.get(), 0, "nobody is looked up for a mail that is dropped");
            "dropped".to_owned()
        }
        ([], [outgoing]) => {
            let whys = [
                Why::NoClearSender,
                Why::Unverified,
                Why::NoOrder,
                Why::UnknownOrder,
                Why::NotTheCustomer,
                Why::NotAll,
                Why::NotCertain,
                Why::NoClearWish,
                Why::HasShipped,
            ];
            let matches = |why: &&Why| {
                let again = forward::outgoing(
                    &received(notification),
                    &Mail::read(&bytes[..bytes.len().min(MAIL_BYTES_MAX)]).unwrap(),
                    &stored(bytes),
                    **why,
                    None,
                    &function.support,
                );
                again.unwrap().mail.text.lines().next() == outgoing.mail.text.lines().next()
            };
            whys.iter().find(matches).unwrap().as_str().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

fn stored(bytes: &[u8]) -> Stored {
    Stored { whole: bytes.len() <= MAIL_BYTES_MAX, bytes: bytes.iter().copied().take(MAIL_BYTES_MAX).collect() }
}

fn received(notification: &Value) -> Notification {
    match Message::parse(&notification.to_string()).unwrap() {
        Message::Received(notification) => *notification,
        Message::Setup => panic!("a setup message"),
    }
}

#[tokio::test]
async fn each_mail_meets_its_fate() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mails");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = files.filter_map(|file| file.strip_suffix(".eml").map(str::to_owned)).collect();
    names.sort();
    let mut expected: Vec<_> = FATES.iter().map(|(name, _)| *name).collect();
    expected.sort_unstable();
    assert_eq!(names, expected);
    for (name, expected) in FATES {
        let bytes = mail(name);
        assert_eq!(fate(&bytes, &notification_of(&bytes)).await, expected, "{name}");
    }
}

#[tokio::test]
async fn without_ses_to_vouch_for_it_no_mail_cancels_anything() {
    for (name, _) in FATES.into_iter().filter(|(_, fate)| *fate == "cancel") {
        let bytes = mail(name);
        for verdict in ["spfVerdict", "dkimVerdict", "dmarcVerdict"] {
            let mut notification = notification_of(&bytes);
            notification["receipt"][verdict]["status"] = json!("FAIL");
            assert_eq!(fate(&bytes, &notification).await, "unverified", "{name}: {verdict}");
        }
        let mut notification = notification_of(&bytes);
        notification["receipt"].as_object_mut().unwrap().retain(|name, _| !name.ends_with("Verdict"));
        assert_eq!(fate(&bytes, &notification).await, "unverified", "{name}: no verdicts");
    }
}

#[tokio::test]
async fn a_forged_sender_is_recognised_by_the_envelope_without_dmarc() {
    let bytes = mail("forged-from");
    let mut notification = notification_of(&bytes);
    notification["receipt"]["dmarcVerdict"]["status"] = json!("GRAY");
    assert_eq!(fate(&bytes, &notification).await, "unverified");
}

#[tokio::test]
async fn what_ses_calls_spam_or_a_virus_is_dropped_before_it_is_read() {
    for (verdict, policy) in [("spamVerdict", None), ("virusVerdict", None), ("dmarcVerdict", Some("reject"))] {
        let post = post();
        let function = function(&post, b"");
        let mut notification = notification();
        notification["receipt"][verdict]["status"] = json!("FAIL");
        notification["receipt"]["dmarcPolicy"] = json!(policy);
        notification["receipt"]["action"]["objectKey"] = json!("not there");
        assert_eq!(hear(&function, &notification).await.unwrap(), []);
        assert!(post.out.borrow().is_empty(), "{verdict}");
    }
}

#[tokio::test]
async fn a_wish_is_what_asking_by_the_api_is() {
    let post = post();
    let function = function(&post, &mail("cancel-gmail"));
    let published = hear(&function, &notification()).await.unwrap();
    let body: Value = serde_json::from_str(&published[0].body).unwrap();
    assert_eq!(
        (&body["id"], &body["source"], &body["data"], &body["time"]),
        (
            &json!(format!("{ORDER}/order.cancel_requested.v1")),
            &json!("/email-inbound"),
            &json!({"reason": "customer_asked"}),
            &json!("2026-05-04T10:31:08Z")
        )
    );
    assert_eq!((published[0].group_id.as_str(), &published[0].deduplication_id), (ORDER, &format!("{ORDER}/order.cancel_requested.v1")));
    assert!(!published[0].body.contains("example"), "no event carries a name or an address");
}

#[tokio::test]
async fn a_wish_that_is_delivered_twice_or_after_a_crash_is_one() {
    let post = post();
    let function = function(&post, &mail("cancel-gmail"));
    function.orders.dies_after.set(true);
    assert_eq!(hear(&function, &notification()).await.unwrap_err().kind, Kind::Transient);
    post.now.set(now_after(60));
    let first = hear(&function, &notification()).await.unwrap();
    post.now.set(now_after(120));
    assert_eq!(hear(&function, &notification()).await.unwrap(), first, "time and id are those of the first wish");
    assert!(first[0].body.contains("2026-05-04T10:31:08Z"));
}

#[tokio::test]
async fn a_wish_that_comes_too_late_goes_to_a_person_once() {
    let post = post();
    let function = function(&post, &mail("cancel-gmail"));
    function.orders.shipped.set(true);
    for _delivered in 0..2 {
        assert_eq!(hear(&function, &notification()).await.unwrap(), []);
    }
    let outgoing = post.out.borrow();
    let [outgoing] = outgoing.as_slice() else { panic!("{outgoing:?}") };
    assert_eq!(outgoing.mail_id, "d6iitobk75ur44p8kdnnp7g2n8001/forward");
    assert_eq!((outgoing.to.as_str(), outgoing.reply_to.as_deref()), ("support@example.com", Some("ada@example.com")));
    assert_eq!(outgoing.headers, [("Auto-Submitted".to_owned(), "auto-forwarded".to_owned())]);
    assert_eq!(outgoing.mail.subject, format!("Fwd: Re: Order received: 24.00 EUR ({ORDER})"));
    for part in [&outgoing.mail.text, &outgoing.mail.html] {
        for fact in ["has shipped", ORDER, "ada@example.com", "The sender is verified.", "Cancel please", "d6iitobk75ur44p8kdnnp7g2n8001"] {
            assert!(part.contains(fact), "{fact}");
        }
    }
}

#[tokio::test]
async fn an_unknown_order_and_a_foreign_one_go_to_support() {
    let bytes = mail("cancel-gmail");
    let post = post();
    let function = function(&post, &bytes);
    *function.orders.order.borrow_mut() = None;
    hear(&function, &notification()).await.unwrap();
    let sent = post.out.borrow();
    assert!(sent[0].mail.text.contains("there is no order"));
    assert_eq!(sent[0].to.as_str(), "support@example.com", "the sender gets no answer");
}

#[tokio::test]
async fn a_mail_that_is_longer_than_what_is_read_is_for_a_person() {
    let mut bytes = mail("cancel-base64");
    bytes.extend(std::iter::repeat_n(b"\r\n".as_slice(), MAIL_BYTES_MAX / 2).flatten());
    assert_eq!(fate(&bytes, &notification_of(&bytes)).await, "not_all");
}

#[tokio::test]
async fn a_mail_of_nothing_but_parts_within_parts_ends() {
    let head = b"From: ada@example.com\r\n".to_vec();
    let multipart = |level: usize| format!("Content-Type: multipart/mixed; boundary=\"{level}\"\r\n\r\n--{level}\r\n");
    let message = |_: usize| "Content-Type: message/rfc822\r\n\r\n".to_owned();
    let digest = |level: usize| format!("Content-Type: multipart/digest; boundary=\"{level}\"\r\n\r\n--{level}\r\n\r\n");
    let page = |_: usize| "<style><blockquote><a<!--".to_owned();
    let same = |_: usize| "\r\n--b\r\n".to_owned();
    let comment = |_: usize| "((".to_owned();
    let word = |_: usize| "=?utf-8?Q?a?= <,;:@\"".to_owned();
    let cases: [(&str, &dyn Fn(usize) -> String); 8] = [
        ("", &multipart),
        ("", &message),
        ("", &digest),
        ("Content-Type: text/html\r\n\r\n", &page),
        ("Content-Type: multipart/mixed; boundary=b\r\n\r\n", &same),
        ("From: ", &comment),
        ("To: ", &word),
        ("Content-Type: ", &word),
    ];
    for (start, level) in cases {
        let mut bytes = [head.as_slice(), start.as_bytes()].concat();
        for n in 0.. {
            if bytes.len() >= MAIL_BYTES_MAX {
                break;
            }
            bytes.extend(level(n).as_bytes());
        }
        assert!(Mail::read(&bytes[..MAIL_BYTES_MAX]).is_some());
    }
}

#[tokio::test]
async fn what_a_stranger_writes_stays_text_of_one_mail() {
    let mut bytes = mail("question");
    let post = post();
    let function = function(&post, &bytes);
    hear(&function, &notification()).await.unwrap();
    {
        let sent = post.out.borrow();
        assert!(sent[0].mail.text.contains("<script>alert(1)</script>"));
        assert!(!sent[0].mail.html.contains("<script>") && sent[0].mail.html.contains("alert(1)"));
    }
    let at = bytes.windows(9).position(|window| window == b"Subject: ").unwrap();
    bytes.splice(at..at, *b"Subject: =?utf-8?Q?a=0D=0ABcc:_b=40example.org=E2=80=AE?=\r\nX-");
    let outgoing = forward::outgoing(
        &received(&notification()),
        &Mail::read(&bytes).unwrap(),
        &stored(&bytes),
        Why::NoClearWish,
        None,
        &function.support,
    )
    .unwrap();
    assert!(
        outgoing.mail.subject.starts_with("Fwd: a") && !outgoing.mail.subject.contains(|c: char| c.is_control()),
        "{:?}",
        outgoing.mail.subject
    );
}

#[tokio::test]
async fn a_long_reply_is_cut_and_says_so() {
    let post = post();
    let function = function(&post, b"");
    let head = String::from_utf8(mail("empty")).unwrap();
    for (words, cut) in [(forward::WORDS_CHARS_MAX, false), (forward::WORDS_CHARS_MAX + 1, true)] {
        let stored = stored(format!("{head}{}", "ä".repeat(words)).as_bytes());
        let mail = Mail::read(&stored.bytes).unwrap();
        let outgoing = forward::outgoing(&received(&notification()), &mail, &stored, Why::NoClearWish, None, &function.support).unwrap();
        assert_eq!(outgoing.mail.text.matches('ä').count(), forward::WORDS_CHARS_MAX);
        assert_eq!((outgoing.mail.text.contains("cut:"), outgoing.mail.html.contains("cut:")), (cut, cut));
    }
}

#[tokio::test]
async fn a_missing_mail_is_retried_and_an_unreadable_one_parked() {
    let post = post();
    let function = function(&post, b"");
    let mut elsewhere = notification();
    elsewhere["receipt"]["action"]["objectKey"] = json!("elsewhere");
    assert_eq!(hear(&function, &elsewhere).await.unwrap_err().kind, Kind::Transient);
    let failure = hear(&function, &notification()).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Permanent, "UnreadableMail"));
    elsewhere["receipt"]["action"]["bucketName"] = json!("another");
    assert_eq!(hear(&function, &elsewhere).await.unwrap_err().error_type, "OtherBucket");
}

// ── Too many ────────────────────────────────────────────────────────────────────────────────────────────────────────

/// A question of the writer `from`, the `n`th, received in the hour of [`NOW`]; `vouched` says whether SES vouches for it.
fn question(function: &Function<'_>, from: &str, n: usize, vouched: bool) -> Value {
    let bytes = String::from_utf8(mail("question")).unwrap().replace("ada@example.com", from).into_bytes();
    let mut notification = notification_of(&bytes);
    let id = format!("{from}-{n}-{vouched}").replace('@', "-");
    notification["mail"]["messageId"] = json!(id);
    notification["receipt"]["action"]["objectKey"] = json!(id);
    if !vouched {
        notification["receipt"]["dmarcVerdict"]["status"] = json!("FAIL");
    }
    function.inbox.0.borrow_mut().insert(id, bytes);
    notification
}

/// Delivers it; `checks` is how often it has asked to be looked at again.
async fn deliver(function: &Function<'_>, notification: &Value, checks: u32) -> Result<Option<Duration>, Failure> {
    let incoming = function.read(&notification.to_string())?;
    let delivery = Delivery { message_id: "m".into(), attempt: 1, checks, ..Delivery::default() };
    let handled = function.handle(&incoming.message, &delivery).await?;
    assert_eq!(handled.publish, []);
    Ok(handled.look_again_after)
}

fn templates(post: &Post) -> Vec<&'static str> {
    post.out.borrow().iter().map(|outgoing| outgoing.template).collect()
}

/// The attack: one mailbox, a mail every minute.
#[tokio::test]
async fn of_a_hundred_mails_of_a_sender_five_are_forwarded() {
    let post = post();
    let function = function(&post, b"");
    let mails: Vec<_> = (0..100).map(|n| question(&function, "mallory@example.org", n, true)).collect();
    let mut reports = Vec::new();
    for mail in &mails {
        for _delivered in 0..3 {
            if let Some(after) = deliver(&function, mail, 0).await.unwrap() {
                reports.push((mail, after));
            }
        }
    }
    assert_eq!(templates(&post), ["forward"; FROM_ONE_MAX]);
    let hour = Hour::of(NOW.parse().unwrap());
    let [(reporter, after), ..] = reports[..] else { panic!("nobody reports") };
    assert!(reports.iter().all(|other| *other == (reporter, after)) && reports.len() == 3, "one mail's message reports");
    assert_eq!(post.now.get() + after, hour.end() + DIGEST_MARGIN);
    // Another sender is none the worse.
    assert_eq!(deliver(&function, &question(&function, "bob@example.org", 1, true), 0).await.unwrap(), None);
    assert_eq!(templates(&post).len(), FROM_ONE_MAX + 1);
    // Too early, it waits; then it reports, once, however often it is delivered.
    assert_eq!(deliver(&function, reporter, 1).await.unwrap(), Some(after));
    post.now.set(post.now.get() + after);
    for _delivered in 0..3 {
        assert_eq!(deliver(&function, reporter, 1).await.unwrap(), None);
    }
    let out = post.out.borrow();
    let [.., digest] = &out[..] else { panic!("no digest") };
    assert_eq!((out.len(), digest.template, digest.to.as_str()), (FROM_ONE_MAX + 2, "forward-digest", "support@example.com"));
    assert_eq!(digest.mail_id, "forwards/2026-05-04T10/forward-digest");
    assert_eq!(digest.mail.subject, "95 replies not forwarded");
    for part in [&digest.mail.text, &digest.mail.html] {
        let listed = (FROM_ONE_MAX..100).filter(|n| part.contains(&format!("mallory-example.org-{n}-true")));
        assert_eq!(listed.count(), 95, "{part}");
        assert!(part.contains(BUCKET) && part.contains("between 10:00 and"), "{part}");
        assert!(!part.contains("mallory@") && !part.contains("how long"), "nothing of what they say: {part}");
    }
}

#[tokio::test]
async fn forged_senders_share_a_limit_and_leave_places_to_verified_ones() {
    let post = post();
    let function = function(&post, b"");
    for n in 0..ALL_MAX {
        deliver(&function, &question(&function, &format!("forged{n}@example.org"), 0, false), 0).await.unwrap();
        // Under the name of a customer, whose places they are not.
        deliver(&function, &question(&function, "ada@example.com", n, false), 0).await.unwrap();
    }
    assert_eq!(templates(&post).len(), UNVERIFIED_MAX);
    for n in 0..ALL_MAX {
        deliver(&function, &question(&function, "ada@example.com", n, true), 0).await.unwrap();
    }
    assert_eq!(templates(&post).len(), UNVERIFIED_MAX + FROM_ONE_MAX);
    for n in 0..ALL_MAX {
        deliver(&function, &question(&function, &format!("own{n}@example.net"), 0, true), 0).await.unwrap();
    }
    assert_eq!(templates(&post), ["forward"; ALL_MAX], "and all together are bounded");
}

#[tokio::test]
async fn a_wish_to_cancel_needs_no_place() {
    let post = post();
    let function = function(&post, &mail("cancel-gmail"));
    for n in 0..ALL_MAX {
        deliver(&function, &question(&function, &format!("own{n}@example.net"), 0, true), 0).await.unwrap();
    }
    assert_eq!(hear(&function, &notification()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn mails_after_the_digest_get_a_digest_of_their_own() {
    let post = post();
    let function = function(&post, b"");
    let mails: Vec<_> = (0..20).map(|n| question(&function, "mallory@example.org", n, true)).collect();
    // Redriven a day later: the hour is that of the mails.
    post.now.set(now_after(24 * 60 * 60));
    let mut reporters = Vec::new();
    for (n, mail) in mails.iter().enumerate() {
        if let Some(after) = deliver(&function, mail, 0).await.unwrap() {
            assert_eq!(after, LATE_WAIT.unsigned_abs());
            reporters.push(n);
        }
        if n == 9 || n == 14 {
            deliver(&function, &mails[*reporters.last().unwrap()], 1).await.unwrap();
        }
    }
    assert_eq!(reporters, [5, 10, 15]);
    deliver(&function, &mails[15], 1).await.unwrap();
    let out = post.out.borrow();
    let digests: Vec<_> = out.iter().filter(|outgoing| outgoing.template == "forward-digest").collect();
    let told = |n: usize| digests.iter().filter(|digest| digest.mail.text.contains(&format!("-{n}-true"))).count();
    assert_eq!((out.len(), digests.len()), (FROM_ONE_MAX + 3, 3));
    assert_eq!((0..20).map(told).collect::<Vec<_>>(), [vec![0; 5], vec![1; 15]].concat(), "each is told of once");
    assert_eq!(digests.iter().map(|digest| &digest.mail_id).collect::<BTreeSet<_>>().len(), 3);
}

#[tokio::test]
async fn a_process_that_dies_after_any_write_forwards_once_and_loses_no_digest() {
    for dies_at in 0..=FROM_ONE_MAX {
        let post = post();
        let rows = Rows::default();
        let function = Function { forwards: ForwardRows::new(rows.clone(), "ledger"), ..function(&post, b"") };
        let mails: Vec<_> = (0..=FROM_ONE_MAX).map(|n| question(&function, "mallory@example.org", n, true)).collect();
        let mut reports = None;
        for (n, mail) in mails.iter().enumerate() {
            rows.dies_after.set(n == dies_at);
            if n == dies_at {
                assert_eq!(deliver(&function, mail, 0).await.unwrap_err().kind, Kind::Transient);
            }
            reports = deliver(&function, mail, 0).await.unwrap();
        }
        assert_eq!(templates(&post), ["forward"; FROM_ONE_MAX], "{dies_at}");
        post.now.set(post.now.get() + reports.expect("the sixth reports"));
        rows.dies_after.set(true);
        deliver(&function, &mails[FROM_ONE_MAX], 1).await.unwrap_err();
        // Parked and redriven, it has no checks behind it any more.
        assert_eq!(deliver(&function, &mails[FROM_ONE_MAX], 0).await.unwrap(), Some(LATE_WAIT.unsigned_abs()));
        deliver(&function, &mails[FROM_ONE_MAX], 1).await.unwrap();
        assert_eq!(templates(&post)[FROM_ONE_MAX..], ["forward-digest"]);
        assert!(post.out.borrow()[FROM_ONE_MAX].mail.text.contains("1 reply not forwarded"));
    }
}

/// An order that comes into being while its reply waits, say: the digest is of others too.
#[tokio::test]
async fn the_digest_is_made_whatever_its_own_mail_has_become() {
    let post = post();
    let function = function(&post, b"");
    let mails: Vec<_> = (0..=FROM_ONE_MAX).map(|n| question(&function, "mallory@example.org", n, true)).collect();
    for mail in &mails {
        deliver(&function, mail, 0).await.unwrap();
    }
    function.inbox.0.borrow_mut().clear();
    post.now.set(now_after(24 * 60 * 60));
    deliver(&function, &mails[FROM_ONE_MAX], 1).await.unwrap();
    assert_eq!(templates(&post)[FROM_ONE_MAX..], ["forward-digest"]);
    let failure = deliver(&function, &mails[0], 1).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Permanent, "NothingToReport"));
}

#[tokio::test]
async fn a_digest_lists_two_hundred_and_says_that_there_are_more() {
    let post = post();
    let function = function(&post, b"");
    for (received, more) in [(LISTED_MAX, false), (LISTED_MAX + 50, true)] {
        post.out.borrow_mut().clear();
        let from = format!("mallory@example{}.org", received);
        let at = if more { "2026-05-04T11:31:07Z" } else { "2026-05-04T10:31:07Z" };
        let mails: Vec<_> = (0..received + FROM_ONE_MAX)
            .map(|n| {
                let mut notification = question(&function, &from, n, true);
                notification["mail"]["timestamp"] = json!(at);
                notification
            })
            .collect();
        for mail in &mails {
            deliver(&function, mail, 0).await.unwrap();
        }
        post.now.set(now_after(24 * 60 * 60));
        deliver(&function, &mails[FROM_ONE_MAX], 1).await.unwrap();
        let out = post.out.borrow();
        let digest = &out.last().unwrap().mail;
        assert_eq!(digest.text.matches("-true").count(), LISTED_MAX);
        assert_eq!((digest.subject.starts_with("More than 200"), digest.text.contains("There are more")), (more, more));
    }
}

#[test]
fn no_row_names_an_address() {
    let post = post();
    let rows = Rows::default();
    let function = Function { forwards: ForwardRows::new(rows.clone(), "ledger"), ..function(&post, b"") };
    for n in 0..=FROM_ONE_MAX {
        let mut notification = question(&function, "mallory@example.org", n, true);
        let key = format!("key{n}");
        let bytes = function.inbox.0.borrow()["mallory-example.org-0-true"].clone();
        function.inbox.0.borrow_mut().insert(key.clone(), bytes);
        (notification["mail"]["messageId"], notification["receipt"]["action"]["objectKey"]) = (json!(key), json!(key));
        at_once(deliver(&function, &notification, 0)).unwrap();
    }
    let written = format!("{:?}", rows.items.borrow());
    assert!(written.contains("key5") && !written.contains("mallory") && !written.contains("example"), "{written}");
}

#[test]
fn a_machine_is_told_by_what_proves_it() {
    let own = "orders@example.com".parse().unwrap();
    let told = |name: &str| {
        let bytes = mail(name);
        loops::automatic(&received(&notification_of(&bytes)), &Mail::read(&bytes).unwrap(), &own)
    };
    for (name, mark) in [("auto-reply", "auto_submitted"), ("delivery-report", "null_return_path"), ("from-ourselves", "own_address")] {
        assert_eq!(told(name), Some(mark), "{name}");
    }
}

#[test]
fn asking_for_no_answer_is_no_proof_of_a_machine() {
    let own = "orders@example.com".parse().unwrap();
    let told = |header: &str| {
        let bytes = [header.as_bytes(), b"\r\n", &mail("cancel-new-mail")].concat();
        loops::automatic(&received(&notification()), &Mail::read(&bytes).unwrap(), &own).is_some()
    };
    for machine in [
        "Auto-Submitted: auto-generated",
        "AUTO-SUBMITTED: Auto-Replied; owner-email=\"ada@example.com\"",
        "Auto-Submitted: auto-notified",
        "Auto-Submitted: (vacation) auto-replied",
        "Return-Path: <>",
        "Return-Path: <MAILER-DAEMON>",
    ] {
        assert!(told(machine), "{machine}");
    }
    for person in [
        "Auto-Submitted: no",
        "auto-submitted: No (really)",
        "Auto-Submitted: (a person) no",
        "Auto-Submitted:",
        "Return-Path: <ada@example.com>\r\nReturn-Path: <>",
        "Return-Path: <MAILER-DAEMON@example.org>",
        "Precedence: Junk",
        "Precedence: bulk",
        "Precedence: auto_reply",
        "List-Id: <mugs.lists.example.org>",
        "List-Unsubscribe: <https://example.org/u/1>",
        "X-Auto-Response-Suppress: All",
        "X-Autoreply: no",
        "X-Autoreply: yes",
        "X-Autorespond: Re",
        "X-Loop: orders@example.com",
        "Feedback-ID: a:b:c",
        "X-Mailer: Auto-Submitted: auto-replied",
    ] {
        assert!(!told(person), "{person}");
    }
}

#[test]
fn a_mail_is_read_as_it_was_meant() {
    let read = |name: &str| Mail::read(&mail(name)).unwrap();
    let latin1 = read("cancel-latin1");
    assert_eq!(latin1.subject.0, format!("AW: Order received: 24.00 EUR ({ORDER})"));
    for (name, subject, words) in [
        ("iso-2022-jp", "注文の件", "注文を取り消してください。よろしくお願いします。"),
        ("gb2312", "取消订单", "请帮我取消订单，多谢"),
        ("us-ascii-label-utf-8-bytes", "Re: Order", "Schöne Grüße aus Köln, bitte stornieren"),
        ("no-charset-latin-1", "Re: Order", "Schöne Grüße aus Köln, bitte stornieren"),
        ("encoding-with-comment", "Re: Order", "Please cancel the order.\r\nThanks,\r\nAda"),
        ("named-body", "Re: Order", "Please cancel the order.\r\nThanks,\r\nAda"),
        ("html-entities", "Re: Order", "Schöne Grüße, bitte stornieren, es waren € 24"),
    ] {
        let mail = read(name);
        assert_eq!((mail.text.0.trim(), mail.attachments), (words, 0), "{name}");
        assert!(mail.subject.0.starts_with(subject), "{name}: {}", mail.subject.0);
    }
    assert!(read("cancel-apple-mail").text.0.starts_with("I’d like to cancel"));
    assert!(read("cancel-base64").text.0.starts_with("Cancel please 🙏"));
    assert_eq!((read("attachment-bomb").attachments, read("wish-in-an-attachment").attachments), (300, 1));
    let from = read("name-is-an-address").from.unwrap();
    assert_eq!((from.address.as_str(), from.name.unwrap().0.as_str()), ("mallory@example.org", "ada@example.com"));
    assert!(!format!("{:?}", read("question")).contains("example"), "debug output hides what is personal");
}

#[test]
fn html_and_plain_text_of_one_mail_are_the_same_wish() {
    let ours = Ours::of(&order(), &"orders@example.com".parse().unwrap(), &[]);
    let own = |name: &str| quote::own_text(&Mail::read(&mail(name)).unwrap().text.0, &ours).unwrap();
    let words = |text: String| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(own("cancel-outlook")), words(own("cancel-html-only")));
    assert_eq!(own("cancel-html-blockquote"), "Yes, please cancel it");
}

#[test]
fn what_is_no_notification_is_parked_and_nothing_of_it_is_quoted() {
    let post = post();
    let function = function(&post, b"");
    let with = |path: &str, value: Value| {
        let mut notification = notification();
        *notification.pointer_mut(path).unwrap() = value;
        notification.to_string()
    };
    for body in [
        String::new(),
        "ada@example.com".to_owned(),
        json!({"Type": "Notification", "Message": notification().to_string()}).to_string(),
        with("/notificationType", json!("ada@example.com")),
        with("/mail/messageId", json!("ada@example.com")),
        with("/mail/messageId", json!("")),
        with("/mail/messageId", json!("x".repeat(129))),
        with("/receipt/recipients", json!("ada@example.com")),
        with("/receipt/action", json!({"type": "SNS", "topicArn": "ada@example.com"})),
    ] {
        let failure = function.read(&body).unwrap_err();
        assert_eq!(failure.kind, Kind::Permanent, "{body}");
        assert!(!failure.chain().contains("ada"), "{}", failure.chain());
    }
}

#[tokio::test]
async fn the_trials_of_ses_are_no_poison() {
    let post = post();
    let function = function(&post, b"");
    let setup: Value = serde_json::from_str(sample("setup-mail")["Records"][0]["body"].as_str().unwrap()).unwrap();
    for trial in [setup, json!({"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "You have successfully subscribed"})] {
        assert_eq!(hear(&function, &trial).await.unwrap(), []);
    }
}

#[tokio::test]
async fn the_samples_are_what_their_names_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../events/email-inbound");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let body = sample(name)["Records"][0]["body"].as_str().unwrap().to_owned();
        let (post, bytes) = (post(), mail("cancel-gmail"));
        let function = function(&post, &bytes);
        let incoming = function.read(&body);
        let (Ok(incoming), "reply-to-cancel" | "unverified-reply" | "spam" | "setup-mail") = (&incoming, name) else {
            let failure = incoming.unwrap_err();
            let expected = if name == "unknown-type" { "UnknownNotification" } else { "UnreadableNotification" };
            assert_eq!(failure.error_type, expected, "{name}");
            continue;
        };
        if let Message::Received(notification) = &incoming.message {
            function.inbox.0.borrow_mut().insert(notification.key.clone(), bytes);
            assert_eq!(incoming.subject, ORDER, "the log names the order");
        }
        let handled =
            function.handle(&incoming.message, &Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() }).await.unwrap();
        let became = (handled.publish.len(), post.out.borrow().len());
        let expected = match name {
            "reply-to-cancel" => (1, 0),
            "unverified-reply" => (0, 1),
            _ => (0, 0),
        };
        assert_eq!(became, expected, "{name}");
    }
}

#[test]
fn the_preview_shows_every_sample_and_text_and_html_say_the_same() {
    let samples = samples::samples();
    assert_eq!(samples.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["forward", "forward-unverified", "forward-digest"]);
    let (_, digest) = samples.last().unwrap();
    mailer::testing::reads_well(digest, "3 replies not forwarded");
    for fact in ["Sender 1, verified:", "Sender 2, not verified:", "d6iitobk75ur44p8kdnnp7g2n8003"] {
        assert!(digest.text.contains(fact) && digest.html.contains(fact), "{fact}");
    }
    for (name, mail) in samples.into_iter().take(2) {
        assert_eq!(mail.subject, "Fwd: Re: Your order is on its way", "{name}");
        for fact in [
            "Ada Example",
            "ada@example.com",
            "ee3717c6-3e6f-58b0-ad82-7756503e0a32",
            "how long does it take?",
            "d6iitobk75ur44p8kdnnp7g2n8001",
        ] {
            assert!(mail.text.contains(fact) && mail.html.contains(fact), "{name}: {fact}");
        }
        let forged = "NOT verified";
        assert_eq!((mail.text.contains(forged), mail.html.contains(forged)), (name == "forward-unverified", name == "forward-unverified"));
        assert!(mail.html.contains("lang=\"en\"") && mail.html.contains("viewport"));
    }
}

fn at_once<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A wish is carried out for these bytes only where a person could have told that it is the customer's.
fn survives(bytes: &[u8]) -> Result<(), TestCaseError> {
    let post = post();
    let function = function(&post, bytes);
    let mut notification = notification();
    notification["receipt"]["dkimVerdict"]["status"] = json!("FAIL");
    match at_once(hear(&function, &notification)) {
        Ok(published) => prop_assert_eq!(published, []),
        Err(failure) => prop_assert_eq!(failure.error_type, "UnreadableMail"),
    }
    prop_assert_eq!(function.orders.calls.get(), 0);
    Ok(())
}

proptest! {
    #[test]
    fn whatever_bytes_come_nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        survives(&bytes)?;
    }

    #[test]
    fn whatever_is_done_to_a_mail_nothing_panics(
        which in 0..FATES.len(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
        doubled in any::<prop::sample::Index>(),
    ) {
        let mut bytes = mail(FATES[which].0);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        let from = doubled.index(bytes.len());
        bytes.extend_from_within(from..);
        survives(&bytes)?;
        let post = post();
        if let Err(failure) = at_once(hear(&function(&post, &bytes), &notification())) {
            prop_assert_eq!(failure.error_type, "UnreadableMail");
        }
    }

    #[test]
    fn whatever_headers_come_nothing_panics(
        headers in proptest::collection::vec(("(From|Subject|Content-Type|Content-Transfer-Encoding|Auto-Submitted|To|[A-Za-z-]{1,9})", "(=\\?[a-z0-9-]{0,9}\\?[QBqb]\\?|\\?=|[<>\"@,;:() ]|multipart/mixed|boundary=|text/html|\\PC|\r\n ){0,30}"), 0..8),
        body in "(--|\r\n|=[0-9A-F]{2}|<[a-z/]{1,6}>|\\PC){0,60}",
    ) {
        let headers: String = headers.into_iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        survives(format!("{headers}\r\n{body}").as_bytes())?;
    }

    #[test]
    fn whatever_notification_comes_is_read_or_parked(body in "\\PC{0,200}") {
        let post = post();
        if let Err(failure) = function(&post, b"").read(&body) {
            prop_assert_eq!(failure.kind, Kind::Permanent);
        }
    }
}

#[test]
fn null_in_a_notification_means_what_a_missing_member_means() {
    for member in ["/mail/source", "/mail/commonHeaders", "/mail/commonHeaders/from", "/receipt/recipients", "/receipt/spamVerdict"] {
        let (parent, name) = member.rsplit_once('/').unwrap();
        let (mut missing, mut null) = (notification(), notification());
        missing.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
        *null.pointer_mut(member).unwrap() = Value::Null;
        let read = |message: &Value| Message::parse(&message.to_string()).unwrap();
        assert_eq!(read(&null), read(&missing), "{member}");
    }
}
