//! Replies, honest and hostile, and what becomes of each: the table that says what a clear wish is.
//!
//! Each is what one person sends who has ordered, SES vouching for it. An order that is cancelled by mistake cannot be brought back, so
//! the second half is the longer one. `@RECEIVED@` stands for our mail in plain text, `@RECEIVED>@` for the same behind `> `, and
//! `@PAGE@` for its HTML.

use super::*;

const GMAIL: &str = "On Mon, May 4, 2026 at 12:20\u{202f}PM Order Pipeline <orders+22705e6b-fcc3-58dd-9ec8-55c8e45275c1@example.com>\nwrote:\n\n@RECEIVED>@";
const OUTLOOK: &str = "________________________________\nFrom: Order Pipeline <orders@example.com>\nSent: Monday, May 4, 2026 12:20 PM\nTo: Ada Example <ada@example.com>\nSubject: Order received: 24.00 EUR (22705e6b-fcc3-58dd-9ec8-55c8e45275c1)\n\n@RECEIVED@";
const APPLE: &str = "> On 4 May 2026, at 12:20, Order Pipeline <orders@example.com> wrote:\n>\n@RECEIVED>@";
const THUNDERBIRD: &str = "On 04/05/2026 12:20, Order Pipeline wrote:\n@RECEIVED>@";

/// Plain text that cancels.
const CANCELS: [(&str, &str); 20] = [
    ("the bare word", "cancel"),
    ("two words", "Please cancel"),
    ("a sentence", "I would like to cancel my order."),
    ("a polite question is a demand", "Could you please cancel my order?"),
    ("with greeting and name", "Hello,\n\nplease cancel my order.\n\nKind regards,\nAda Example"),
    ("with the order's id", "Please cancel order 22705e6b-fcc3-58dd-9ec8-55c8e45275c1"),
    ("in capitals", "CANCEL MY ORDER NOW"),
    ("with a friendly face", "Please cancel it, thanks 🙂"),
    ("from a telephone", "Please cancel\n\nSent from my iPhone"),
    ("from Outlook on a telephone", "Please cancel\n\nGet Outlook for Android<https://aka.ms/AAb9ysg>"),
    ("with a signature that names and numbers alone", "Please cancel\n\n-- \nAda Example\nTel. +49 30 1234\nhttps://ada.example.com"),
    ("Gmail's quote below", "Please cancel\n\n@GMAIL@"),
    ("Gmail's quote above", "@GMAIL@\n\nPlease cancel"),
    ("Outlook's quote, which has no marks", "Please cancel\n\n@OUTLOOK@"),
    ("Apple Mail's quote", "Please cancel\n\n@APPLE@"),
    ("Thunderbird's quote above, a signature below", "@THUNDERBIRD@\n\nPlease cancel\n\n-- \nAda Example"),
    ("part of our mail", "Cancel\n\n> We have received your order. You pay when it ships: the total is"),
    ("our mail quoted twice", "Cancel\n\n@RECEIVED>@\n@RECEIVED>@"),
    (
        "our mail, its lines broken anew",
        "Cancel\n\n> We have received your order. You pay\n> when it ships: the\n> total is collected only then.",
    ),
    ("our own word for it", "\"Cancel\"\n\n@OUTLOOK@"),
];

/// Plain text that people read.
const FOR_PEOPLE: [(&str, &str); 36] = [
    ("it says the opposite", "Please do not cancel my order"),
    ("it changes its mind", "Cancel. No, wait, keep it."),
    ("a no below a line of underscores", "Please cancel\n\n____________________\n\nUPDATE: do not cancel"),
    ("a no below dashes", "Please cancel\n--\nno, keep it"),
    ("a no in a signature's place", "Please cancel\n\n-- \nIgnore the above"),
    ("a no below an original message", "Please cancel\n\n-----Original Message-----\nno, do not"),
    ("a no below headers", "Please cancel\n\nFrom: Order Pipeline <orders@example.com>\nSent: Monday\n\nplease don't"),
    ("a no below a forwarded message", "Please cancel\n\nBegin forwarded message:\n\nkeep my order"),
    ("a no behind a mark", "Please cancel\n\n> no, do not cancel"),
    ("a no within our quoted mail", "Please cancel\n\n@RECEIVED>@\n> On second thought, no\n"),
    ("a no behind two marks", "Please cancel\n> > don't"),
    ("a no below our mail without marks", "Please cancel\n\n@OUTLOOK@\n\nSorry, do NOT cancel"),
    (
        "a no between our lines",
        "Please cancel\n\nWe have received your order. You pay when it ships: the total is\nno\ncollected only then.",
    ),
    ("a no at the end of our line", "Please cancel\n\n> mail with the word \"cancel\". No!"),
    ("a no above an attribution", "Please cancel\nor better not:\n@GMAIL@"),
    ("a no in an attribution", "Please cancel\n\nOn second thought I would rather keep it, as Ada wrote:"),
    ("a no in a telephone's line", "Please cancel\nSent from my wife who wants it"),
    ("a no in a header's place", "Please cancel\nSubject: do not cancel"),
    ("a no in a link below a signature", "Please cancel\n-- \nhttps://do-not-cancel.example.com"),
    ("a mail that is not ours is quoted", "Please cancel\n\n> Dear Ada, your booking is confirmed."),
    ("another order's mail is quoted", "Please cancel\n\n> Order:  ee3717c6-3e6f-58b0-ad82-7756503e0a32"),
    ("the wish is in a quote alone", "> cancel"),
    ("nothing but our mail, which has the word", "@GMAIL@"),
    ("a condition", "Please cancel if it has not shipped"),
    ("an exception", "Please cancel all but the teapot"),
    ("something else besides", "Please cancel and send me two mugs instead"),
    ("a question", "Can I cancel my order?"),
    ("somebody else's words", "My husband says: cancel"),
    ("another order", "Please cancel order 4711"),
    ("a number that nobody knows", "Please cancel\n\n4711"),
    ("crossed out character by character", "c\u{336}a\u{336}n\u{336}c\u{336}e\u{336}l\u{336}"),
    ("crossed out as Markdown has it", "~~Please cancel~~"),
    ("a sign that says no", "Please cancel 🚫"),
    ("a sign in a signature", "Please cancel\n-- \n❌"),
    ("another language", "Bitte stornieren"),
    ("a word that is cut by an invisible character", "can\u{200b}cel"),
];

/// HTML, and whether it cancels.
const PAGES: [(&str, &str, bool); 18] = [
    ("a paragraph", "<p>Please cancel</p>", true),
    ("our mail in a quote", "<div>Please cancel</div><blockquote type=cite>@PAGE@</blockquote>", true),
    ("our mail without one, as Outlook has it", "<p>Please cancel</p><hr><div>@PAGE@</div>", true),
    ("a pixel that counts openings", "<p>Please cancel<img src=https://a.example/1 width=1 height=1></p>", true),
    ("bold, in a colour", "<p style='color:#1f497d'>Please <b>cancel</b></p>", true),
    ("the wish is struck out", "<p><s>Please cancel</s></p>", false),
    ("struck out by a style", "<p style='text-decoration:line-through'>Please cancel</p>", false),
    ("a hidden no", "<p>Please cancel</p><p style='display:none'>do not</p>", false),
    ("a hidden wish", "<p hidden>Please cancel</p><p>Thanks</p>", false),
    ("a no in white on white", "<p>Please cancel</p><font color='#ffffff'>no</font>", false),
    ("a no too small to see", "<p>Please cancel</p><span style='font-size:0'>no</span>", false),
    ("a no hidden in our mail", "<p>Please cancel</p><blockquote><span style='opacity:0'>no</span>@PAGE@</blockquote>", false),
    ("a no in a quote", "<p>Please cancel</p><blockquote>no, keep it</blockquote>", false),
    ("a no below our mail", "<p>Please cancel</p><blockquote>@PAGE@</blockquote><p>Sorry, do not</p>", false),
    ("a style that hides by a name", "<style>.x{display:none}</style><p class=x>Please cancel</p>", false),
    ("a style that writes", "<style>p:after{content:' not'}</style><p>Please cancel</p>", false),
    ("a picture, which may say no", "<p>Please cancel</p><img src=https://a.example/no.png>", false),
    ("a page that breaks off", "<p>Please cancel</p><p", false),
];

/// Whole bodies with their headers, and whether they cancel.
const PARTS: [(&str, &str, bool); 11] = [
    ("plain text and HTML of the same", "--b\n\nPlease cancel\n--b\nContent-Type: text/html\n\n<p>Please cancel</p>\n--b--", true),
    ("HTML says something else", "--b\n\nPlease cancel\n--b\nContent-Type: text/html\n\n<p>Please do not cancel</p>\n--b--", false),
    ("plain text says something else", "--b\n\nPlease keep it\n--b\nContent-Type: text/html\n\n<p>Please cancel</p>\n--b--", false),
    (
        "plain text is a placeholder",
        "--b\n\nThis mail needs an HTML viewer.\n--b\nContent-Type: text/html\n\n<p>Please cancel</p>\n--b--",
        false,
    ),
    ("plain text is empty", "--b\n\n\n--b\nContent-Type: text/html\n\n<p>Please cancel</p>\n--b--", true),
    ("HTML strikes it out", "--b\n\nPlease cancel\n--b\nContent-Type: text/html\n\n<s>Please cancel</s>\n--b--", false),
    ("a third reading", "--b\n\nPlease cancel\n--b\n\nPlease don't\n--b--", false),
    ("a reading for watches", "--b\n\nPlease cancel\n--b\nContent-Type: text/watch-html\n\n<p>no</p>\n--b--", false),
    ("a page attached", "--b\n\nPlease cancel\n--b\nContent-Type: application/pdf; name=a.pdf\n\nx\n--b--", false),
    ("a mail attached", "--b\n\nPlease cancel\n--b\nContent-Type: message/rfc822\n\nSubject: x\n\nno\n--b--", false),
    ("a signature attached", "--b\n\nPlease cancel\n--b\nContent-Type: application/pgp-signature; name=a.asc\n\nx\n--b--", true),
];

/// Subjects of a mail that says "Please cancel", and whether it cancels.
const SUBJECTS: [(&str, bool); 6] = [
    ("Re: Order received: 24.00 EUR (22705e6b-fcc3-58dd-9ec8-55c8e45275c1)", true),
    ("Cancel my order", true),
    ("", true),
    ("DO NOT cancel", false),
    ("Re: my complaint", false),
    ("=?us-ascii?Q?Re=3A_Order_=F0?=", false),
];

fn filled(text: &str) -> String {
    let mails = order_email::every(&order());
    let received = &mails[0].1;
    let marked: String = received.text.lines().map(|line| format!("> {line}\n")).collect();
    let page = received.html.split("<body").nth(1).unwrap().split_once('>').unwrap().1.split("</body>").next().unwrap();
    let quotes = [("@GMAIL@", GMAIL), ("@OUTLOOK@", OUTLOOK), ("@APPLE@", APPLE), ("@THUNDERBIRD@", THUNDERBIRD)];
    let text = quotes.iter().fold(text.to_owned(), |text, (mark, quote)| text.replace(mark, quote));
    text.replace("@RECEIVED>@", &marked).replace("@RECEIVED@", &received.text).replace("@PAGE@", page)
}

/// The outcome of a mail of the customer with this subject, type and body.
async fn fate_of(subject: &str, kind: &str, body: &str) -> String {
    let head = format!("From: Ada Example <ada@example.com>\nSubject: {subject}\nMIME-Version: 1.0\nContent-Type: {kind}\n");
    let mail = format!("{head}Content-Transfer-Encoding: 8bit\n\n{}\n", filled(body)).replace('\n', "\r\n");
    fate(mail.as_bytes(), &notification()).await
}

const PLAIN: &str = "text/plain; charset=utf-8";

#[tokio::test]
async fn each_plain_wish_cancels() {
    for (what, text) in CANCELS {
        assert_eq!(fate_of("Cancel", PLAIN, text).await, "cancel", "{what}");
    }
}

#[tokio::test]
async fn whatever_speaks_against_a_wish_is_for_people() {
    for (what, text) in FOR_PEOPLE {
        assert_eq!(fate_of("Cancel", PLAIN, text).await, "no_clear_wish", "{what}");
    }
}

#[tokio::test]
async fn a_page_cancels_if_what_is_seen_is_what_it_says() {
    for (what, html, cancels) in PAGES {
        assert_eq!(fate_of("Cancel", "text/html; charset=utf-8", html).await == "cancel", cancels, "{what}");
    }
}

#[tokio::test]
async fn parts_cancel_if_all_of_them_say_so() {
    for (what, parts, cancels) in PARTS {
        let kind = if what.ends_with("attached") { "multipart/mixed; boundary=b" } else { "multipart/alternative; boundary=b" };
        assert_eq!(fate_of("Cancel", kind, parts).await == "cancel", cancels, "{what}");
    }
}

#[tokio::test]
async fn a_subject_speaks_too() {
    for (subject, cancels) in SUBJECTS {
        assert_eq!(fate_of(subject, PLAIN, "Please cancel").await == "cancel", cancels, "{subject}");
    }
}

#[tokio::test]
async fn words_that_are_not_certain_go_on_with_the_original() {
    let forwarded = async |mail: &[u8], change: fn(&mut Value)| {
        let (post, mut notification) = (post(), notification());
        change(&mut notification);
        hear(&function(&post, mail), &notification).await.unwrap();
        post.out.borrow()[0].mail.clone()
    };
    let uncertain = mail("no-charset-latin-1");
    let sent = forwarded(&uncertain, |_| ()).await;
    let original = sent.attachment.unwrap();
    assert_eq!((original.bytes, original.content_type, original.seven_bits), (uncertain.clone(), "application/octet-stream", false));
    assert!(sent.text.contains("The original is attached.") && sent.html.contains("The original is attached."), "{}", sent.text);
    let unknown = b"From: Ada <ada@example.com>\r\nContent-Type: text/plain; charset=iso-2022-kr\r\n\r\n\x1b$)C\x0e9b\x0f\r\n";
    let original = forwarded(unknown, |_| ()).await.attachment.unwrap();
    assert_eq!((original.content_type, original.seven_bits), ("message/rfc822", true));
    // Never what may harm: files, what SES has not searched for viruses, what is too long.
    let picture = "From: ada@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=x-no\r\n\r\na\r\n--b\r\nContent-Type: image/png\r\n\r\nx\r\n--b--\r\n";
    let long = [uncertain.clone(), vec![b'a'; forward::ORIGINAL_BYTES_MAX]].concat();
    let unsearched: fn(&mut Value) = |notification| notification["receipt"]["virusVerdict"]["status"] = json!("GRAY");
    for (mail, change) in [(picture.as_bytes(), (|_| ()) as fn(&mut Value)), (&long, |_| ()), (&uncertain, unsearched)] {
        let sent = forwarded(mail, change).await;
        assert!(sent.attachment.is_none() && sent.text.contains("The original is in the stored mail."), "{}", sent.text);
    }
    assert!(forwarded(&mail("question"), |_| ()).await.attachment.is_none());
}

#[tokio::test]
async fn people_get_both_readings_if_they_differ() {
    let words = |plain: &str, html: &str| {
        let mail = format!(
            "From: a@example.com\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n{plain}\r\n--b\r\nContent-Type: text/html\r\n\r\n{html}\r\n--b--\r\n"
        );
        Mail::read(mail.as_bytes()).unwrap().words().into_owned()
    };
    let both = words("This mail needs an HTML viewer.", "<p>My parcel arrived broken</p>");
    assert!(both.contains("HTML viewer") && both.contains("My parcel arrived broken"), "{both}");
    assert_eq!(words("My *parcel* arrived\r\nbroken", "<p>My <b>parcel</b> arrived broken</p>").trim(), "My *parcel* arrived\r\nbroken");
    assert_eq!(words(" ", "<p>rich</p>").trim(), "rich");
}

/// A forward of what support wrote: a machine there that answers it writes to itself, not to us.
#[tokio::test]
async fn what_support_writes_is_forwarded_with_support_to_answer_to() {
    let post = post();
    let bytes = mail("from-support");
    hear(&function(&post, &bytes), &notification_of(&bytes)).await.unwrap();
    let out = post.out.borrow();
    assert_eq!((out.len(), out[0].reply_to.as_deref()), (1, Some("support@example.com")));
}
