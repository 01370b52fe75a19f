//! What the largest inputs cost: memory, and answers where there are any, over inputs made to cost as much as they can.
#![allow(clippy::unwrap_used, reason = "what is not as these tests expect fails them")]

use dlq_inspector::{
    inspector::{look::SHOWN_BYTES_MAX, mask},
    request::PEEK_MAX,
};
use email_campaign::list::{self, Format, LINE_BYTES_MAX, LIST_BYTES_MAX, LIST_LINES_MAX};
use email_feedback::event::MailEvent;
use email_inbound::{
    forward::{self, Why},
    inbox::{MAIL_BYTES_MAX, Stored},
    mail::Mail,
    notification::Message,
    quote::{Ours, own_text},
    wish::asks_to_cancel,
};
use fastrand::Rng;
use lambda_kit::http::{BODY_BYTES_MAX, PROBLEM_BYTES_MAX, Response};
use peak_alloc::PeakAlloc;
use template::Template;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How many bodies there are.
const BODIES: u64 = 10_000;
/// Most that reading a body and answering it may allocate at once: 64 times the body. A value in memory takes 32 bytes where its text
/// may have two, lists grow by doubling, and the event of which the body is a part is held beside it.
const PEAK_BYTES_MAX: usize = 64 * BODY_BYTES_MAX;

/// Most that SNS takes (<https://docs.aws.amazon.com/general/latest/gr/sns.html>), and so the largest that SES can send by it.
const NOTIFICATION_BYTES_MAX: usize = 256 * 1024;

/// Names that the functions know, and some that they do not.
const NAMES: [&str; 14] = [
    "currency",
    "customer",
    "shipping_address",
    "lines",
    "payment_method",
    "name",
    "email",
    "line1",
    "line2",
    "city",
    "sku",
    "quantity",
    "marketing_consent",
    "country",
];

/// A body of `size` bytes that is JSON, but for what its kind is about.
fn body(rng: &mut Rng, size: usize) -> Vec<u8> {
    let fills: [fn(&mut Rng, usize) -> String; 10] = [
        |_, n| format!(r#""{n:x}":0"#),
        |rng, _| format!(r#""{}":{{}}"#, NAMES[rng.usize(..NAMES.len())]),
        |rng, n| format!(r#""{}{n:x}":[[],{{}},"",0,null]"#, "%/~\u{1f642}".repeat(rng.usize(..40))),
        |_, n| format!(r#""{n:x}":{}"#, "[".repeat(n % 20)),
        |rng, n| format!(r#""\u0000{n:x}":"{}""#, r"\u0001".repeat(rng.usize(..200))),
        |_, _| "0".to_owned(),
        |_, _| r#""""#.to_owned(),
        |_, _| "{}".to_owned(),
        |_, n| format!(r#"{{"sku":"S{n}","quantity":{n},"x{n}":0,"y{n}":0}}"#),
        |rng, _| format!(r#"{{"{}":{{"{}":[[{}]]}}}}"#, NAMES[rng.usize(..NAMES.len())], "n".repeat(rng.usize(..300)), rng.u64(..)),
    ];
    let (fill, of_members) = (rng.usize(..fills.len()), rng.bool());
    // The first five are members of an object, the others items of a list: at the root, or where a list or an object belongs.
    let (open, close) = match (fill < 5, of_members) {
        (true, true) => ("{".to_owned(), "}".to_owned()),
        (true, false) => (format!(r#"{{"{}":{{"#, NAMES[rng.usize(..NAMES.len())]), "}}".to_owned()),
        (false, true) => ("[".to_owned(), "]".to_owned()),
        (false, false) => (format!(r#"{{"{}":["#, NAMES[rng.usize(..NAMES.len())]), "]}".to_owned()),
    };
    let mut text = open;
    for n in 0.. {
        let item = fills[fill](rng, n);
        if text.len() + item.len() + 1 + close.len() > size {
            break;
        }
        if n > 0 {
            text.push(',');
        }
        text.push_str(&item);
    }
    text.push_str(&close);
    let mut bytes = text.into_bytes();
    bytes.resize(size, b' ');
    let at = rng.usize(..bytes.len());
    // Text stays text: what is not is longer once it is read, and no longer within the limit.
    if rng.u8(..) < 16 && bytes[at].is_ascii() {
        bytes[at] = rng.u8(..128);
    }
    bytes
}

/// What a function answers to a body.
type Answer = fn(&[u8]) -> Response;

/// What came of one function's bodies.
#[derive(Debug, Default)]
struct Worst {
    peak_bytes: usize,
    answer_bytes: usize,
    answered: std::collections::BTreeMap<u16, u64>,
}

impl Worst {
    fn learn(&mut self, answer: Answer, body: &[u8]) {
        let (bytes, response) = peak(|| answer(body));
        self.peak_bytes = self.peak_bytes.max(bytes);
        self.answer_bytes = self.answer_bytes.max(response.body().len());
        *self.answered.entry(response.status()).or_default() += 1;
    }
}

/// Mails of [`MAIL_BYTES_MAX`] bytes, each of one kind of costly thing, by name.
fn mails() -> Vec<(&'static str, Vec<u8>)> {
    let filled = |head: &str, fill: &str| {
        let mut mail = head.to_owned();
        mail.push_str(&fill.repeat((MAIL_BYTES_MAX - head.len()) / fill.len()));
        mail.into_bytes()
    };
    let filled_bytes = |head: &str, fill: u8| {
        let mut mail = head.as_bytes().to_vec();
        mail.resize(MAIL_BYTES_MAX, fill);
        mail
    };
    // One header of what the parser is given at most, and a body.
    let header = |name: &str, fill: &str| {
        let value = fill.repeat((60 * 1024 - name.len()) / fill.len());
        filled(&format!("{name}: {value}\r\n\r\n"), "a")
    };
    let from = "From: Ada <ada@example.com>\r\n";
    let text = |kind: &str, more: &str| format!("{from}Content-Type: {kind}\r\n{more}\r\n");
    let mixed = text("multipart/mixed; boundary=b", "");
    let nested: String = (0..10).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n")).collect();
    vec![
        ("headers", filled(from, "X: y\r\n")),
        (
            "headers of many kinds",
            filled(from, "List-Id: <a>\r\nReceived: from x by y; Sat, 28 Nov 2026 00:00:00 +0000\r\nTo: a@b, c@d\r\n"),
        ),
        ("one header", header("Subject", "=?utf-8?q?a?= ")),
        ("senders", header("From", "a@b,")),
        ("groups of senders", header("From", "g:a@b;,")),
        ("references", header("References", "<a@b> ")),
        ("parameters", header("Content-Type", "text/plain; a*0=\"b\"; ")),
        ("parts", filled(&mixed, "--b\r\n\r\nx\r\n")),
        ("parts with heads", filled(&mixed, "--b\r\nContent-Type: text/html\r\nSubject: x\r\nTo: a@b\r\n\r\n<br>\r\n")),
        ("parts in parts", filled(&nested, "x\r\n")),
        ("lines", filled(&text("text/plain", ""), "\n")),
        ("quotes", filled(&text("text/plain", ""), "> a:\n")),
        ("attributions", filled(&text("text/plain", ""), "On 2026:\n")),
        ("words", filled(&text("text/plain", ""), "a ")),
        ("quoted-printable", filled(&text("text/plain; charset=iso-8859-1", "Content-Transfer-Encoding: quoted-printable\r\n"), "=E4")),
        ("base64", filled(&text("text/plain; charset=koi8-r", "Content-Transfer-Encoding: base64\r\n"), "////")),
        ("one byte a character, three in UTF-8", filled_bytes(&text("text/plain; charset=shift_jis", ""), 0xb1)),
        ("escapes", filled(&text("text/plain; charset=iso-2022-jp", ""), "\x1b$BCm\x1b(B")),
        ("stray signs", filled(&text("text/plain", "Content-Transfer-Encoding: quoted-printable\r\n"), "=Z")),
        ("hidden words", filled(&text("text/html", ""), "<s>a</s>b<br>")),
        ("styles", filled(&text("text/html", ""), "<b style='color:#fff;/**/a:b'>")),
        ("attributes", filled(&text("text/html", ""), "<b a='").into_iter().chain(*b"'>").collect()),
        ("references to characters", filled(&text("text/html", ""), "&amp;&#8364;")),
        (
            "alternatives",
            [
                filled(&format!("{from}Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n"), "a")[..MAIL_BYTES_MAX / 2]
                    .to_vec(),
                filled("\r\n--b\r\nContent-Type: text/html\r\n\r\n", "b c ")[..MAIL_BYTES_MAX / 2].to_vec(),
            ]
            .concat(),
        ),
        ("markup", filled(&text("text/html", ""), "<blockquote><br>&#1;")),
        ("not UTF-8", [filled(&text("text/plain", ""), "a")[..100].to_vec(), vec![0xff; MAIL_BYTES_MAX - 100]].concat()),
    ]
}

/// Recipient lists as large as they may be, each of one kind of costly thing, by name.
fn lists() -> Vec<(&'static str, Format, Vec<u8>)> {
    let filled = |begin: &str, fill: &dyn Fn(usize) -> String| {
        let mut list = begin.to_owned();
        for n in 0..LIST_LINES_MAX {
            let line = fill(n);
            if list.len() + line.len() > LIST_BYTES_MAX {
                break;
            }
            list.push_str(&line);
        }
        list
    };
    let header = "email,name,voucher\n";
    let longest = LINE_BYTES_MAX - 2;
    let recipients =
        |character: &'static str| filled(header, &|n| format!("{n:x}@example.com,{},{}\n", character.repeat(35), character.repeat(35)));
    // Of one, two and three bytes in UTF-8, and of two in UTF-16.
    let in_utf_16 = ["n", "é", "字"].map(|character| {
        let mut list: Vec<_> = recipients(character).encode_utf16().flat_map(u16::to_le_bytes).collect();
        list.truncate(LIST_BYTES_MAX);
        ("recipients in UTF-16", Format::Csv, list)
    });
    let lists = vec![
        ("recipients", Format::Csv, filled(header, &|n| format!("{n:x}@example.com,{},{}\n", "n".repeat(70), "v".repeat(70)))),
        (
            "recipients in JSON",
            Format::Ndjson,
            filled("", &|n| format!("{{\"email\":\"{n:x}@example.com\",\"name\":\"{}\",\"voucher\":\"v\"}}\n", "n".repeat(90))),
        ),
        ("a header of commas", Format::Csv, ",".repeat(LIST_BYTES_MAX)),
        ("lines of commas", Format::Csv, filled(header, &|_| format!("{}\n", ",".repeat(longest)))),
        ("lines of quotes", Format::Csv, filled(header, &|_| format!("{}\n", "\"\",".repeat(longest / 3)))),
        ("lines of brackets", Format::Ndjson, filled("{}\n", &|_| format!("{{\"email\":{}\n", "[".repeat(longest - 10)))),
        ("members", Format::Ndjson, filled("", &|_| format!("{{{}\"email\":0}}\n", "\"\":[],".repeat(longest / 7 - 2)))),
    ];
    lists.into_iter().map(|(kind, format, list)| (kind, format, list.into_bytes())).chain(in_utf_16).collect()
}

/// Notifications as large as SNS takes them, each of one kind of costly thing, by name.
fn notifications() -> Vec<(&'static str, String)> {
    let filled = |begin: &str, fill: &str, end: &str| {
        format!("{begin}{}{end}", fill.repeat((NOTIFICATION_BYTES_MAX - begin.len() - end.len()) / fill.len()))
    };
    let bounce = r#"{"eventType":"Bounce","mail":{"messageId":"m","destination":["a@example.com"]},"bounce":{"bounceType":"Permanent","bounceSubType":"General","bouncedRecipients":["#;
    vec![
        ("recipients", filled(bounce, r#"{"emailAddress":"a@example.com"},"#, r#"{"emailAddress":"a@example.com"}]}}"#)),
        ("tags", filled(r#"{"eventType":"Send","mail":{"messageId":"m","tags":{"#, r#""t":["",""],"#, r#""t":[]}}}"#)),
        ("headers", filled(r#"{"eventType":"Send","mail":{"messageId":"m","headers":["#, r#"{"name":"a","value":"b"},"#, "{}]}}")),
        ("brackets", filled(r#"{"eventType":"#, "[", "")),
    ]
}

/// What `read` allocates at most at once.
fn peak<T>(read: impl FnOnce() -> T) -> (usize, T) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let done = read();
    (MEMORY.peak_usage().saturating_sub(before), done)
}

/// What a mail costs: at most at once, and for as long as it is being handled, beside its own bytes.
fn cost(mail: &[u8]) -> (usize, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let read = Mail::read(mail).unwrap();
    let held = MEMORY.current_usage().saturating_sub(before);
    let order_id = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9".parse().unwrap();
    for text in read.readings() {
        let own = own_text(text, &Ours::default()).unwrap_or_default();
        assert!(!asks_to_cancel(&own, &order_id, &["Ada"]));
    }
    (MEMORY.peak_usage().saturating_sub(before), held)
}

/// What a forward costs that carries the longest original, with the mail that it is of, and the request of it: base64 within JSON, once as
/// text and once as bytes.
fn cost_of_an_original() -> usize {
    let notification = r#"{"notificationType": "Received", "mail": {"timestamp": "2026-05-04T10:31:07.311Z", "messageId": "m"},
        "receipt": {"virusVerdict": {"status": "PASS"}, "action": {"type": "S3", "bucketName": "inbound", "objectKey": "m"}}}"#;
    let Message::Received(notification) = Message::parse(notification).unwrap() else { unreachable!("it is no setup message") };
    let mut bytes = b"From: Ada <ada@example.com>\r\n\r\n".to_vec();
    bytes.resize(forward::ORIGINAL_BYTES_MAX, 0x80);
    let (before, support) = (MEMORY.current_usage(), "support@example.com".parse().unwrap());
    MEMORY.reset_peak_usage();
    let (mail, stored) = (Mail::read(&bytes).unwrap(), Stored { bytes, whole: true });
    let outgoing = forward::outgoing(&notification, &mail, &stored, Why::NotCertain, None, &support).unwrap();
    let original = outgoing.mail.attachment.unwrap().bytes.len();
    MEMORY.peak_usage().saturating_sub(before) + original + 2 * original.div_ceil(3) * 4
}

/// One test for all, since the allocator counts what the whole process holds.
#[test]
fn the_worst_input_takes_half_of_the_memory_at_most() {
    let template = Template::read().unwrap();
    let memory = |function: &str| {
        let own = template.resource(function).unwrap().at("/MemorySize").as_u64();
        let everybodys = template.at("/Globals/Function/MemorySize").as_u64();
        usize::try_from(own.or(everybodys).unwrap()).unwrap() * 1024 * 1024
    };
    // A batch: its mails wait concurrently for S3 and DynamoDB, and are read one after another.
    let source = template.sources().find(|source| source.function.id == "EmailInboundFunction").unwrap();
    let batch = usize::try_from(source.mapping["BatchSize"].as_u64().unwrap()).unwrap();
    for (kind, mail) in mails() {
        let (peak, held) = cost(&mail);
        println!("a mail of {kind}: {peak} bytes at once, {held} held");
        let all = batch * (MAIL_BYTES_MAX + held) + peak;
        assert!(all <= memory("EmailInboundFunction") / 2, "{batch} mails of {kind} take {all} bytes");
    }

    // Each of a batch waits for SES at once.
    let originals = batch * (forward::ORIGINAL_BYTES_MAX + cost_of_an_original());
    println!("{batch} forwards with originals: {originals} bytes");
    assert!(originals <= memory("EmailInboundFunction") / 2, "{batch} forwards with originals take {originals} bytes");

    let columns = ["name".to_owned(), "voucher".to_owned()];
    for (kind, format, list) in lists() {
        let (peak, read) = peak(|| list::parse(&list, format, &columns).map(|lines| lines.len()));
        println!("a list of {kind}: {peak} bytes at once, {read:?} lines");
        assert!(list.len() + peak <= memory("EmailCampaignFunction") / 2, "a list of {kind} takes {peak} bytes");
    }
    for (kind, notification) in notifications() {
        let (peak, read) = peak(|| MailEvent::parse(&notification).is_ok());
        println!("a notification of {kind}: {peak} bytes at once, read {read}");
        assert!(notification.len() + peak <= memory("EmailFeedbackFunction") / 2 / 10, "a notification of {kind} takes {peak} bytes");
    }

    // What lies in a dead-letter queue came by SNS at its longest. Bodies are held while they are masked one after another.
    let mut rng = Rng::with_seed(0);
    let mut worst = 0;
    for _ in 0..BODIES / 10 {
        let body = String::from_utf8(body(&mut rng, mask::BODY_BYTES_MAX)).unwrap();
        let (peak, shown) = peak(|| mask::body(&body));
        worst = worst.max(peak * SHOWN_BYTES_MAX.div_ceil(shown.to_string().len()).min(PEEK_MAX));
    }
    let all = PEEK_MAX * NOTIFICATION_BYTES_MAX + worst;
    println!("{PEEK_MAX} messages, and what is shown of them: {all} bytes");
    assert!(all <= memory("DlqInspectorFunction") / 2, "a look into a queue takes {all} bytes");

    let mut functions: [(&str, Answer, Worst); 2] = [
        ("OrderIntakeFunction", fuzz::answer_to_order, Worst::default()),
        ("CustomerSignupFunction", fuzz::answer_to_signup, Worst::default()),
    ];
    let mut rng = Rng::with_seed(0);
    for _ in 0..BODIES {
        let body = body(&mut rng, BODY_BYTES_MAX);
        functions.iter_mut().for_each(|(_, answer, worst)| worst.learn(*answer, &body));
    }
    for (function, _, worst) in functions {
        println!("{function}: {worst:?}");
        assert!(worst.peak_bytes <= PEAK_BYTES_MAX.min(memory(function) / 2), "{function} allocated {} bytes at once", worst.peak_bytes);
        assert!(worst.answer_bytes <= PROBLEM_BYTES_MAX, "{function} answered {} bytes", worst.answer_bytes);
        assert!(worst.answered.keys().eq(&[400, 422]), "{function} was asked for more, or less, than it is about: {:?}", worst.answered);
    }
}
