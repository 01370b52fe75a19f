//! What the largest bodies cost: memory and answers of the functions that read one, over bodies made to cost as much as they can.

use end_to_end::template::Template;
use fastrand::Rng;
use lambda_kit::http::{BODY_BYTES_MAX, PROBLEM_BYTES_MAX, Response};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How many bodies each function gets.
const BODIES: u64 = 10_000;
/// Most that reading a body and answering it may allocate at once: 64 times the body. A value in memory takes 32 bytes where its text
/// may have two, lists grow by doubling, and the event of which the body is a part is held beside it.
const PEAK_BYTES_MAX: usize = 64 * BODY_BYTES_MAX;

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

/// A body of [`BODY_BYTES_MAX`] bytes that is JSON, but for what its kind is about.
fn body(dice: &mut Rng) -> Vec<u8> {
    let fills: [fn(&mut Rng, usize) -> String; 10] = [
        |_, n| format!(r#""{n:x}":0"#),
        |dice, _| format!(r#""{}":{{}}"#, NAMES[dice.usize(..NAMES.len())]),
        |dice, n| format!(r#""{}{n:x}":[[],{{}},"",0,null]"#, "%/~\u{1f642}".repeat(dice.usize(..40))),
        |_, n| format!(r#""{n:x}":{}"#, "[".repeat(n % 20)),
        |dice, n| format!(r#""\u0000{n:x}":"{}""#, r"\u0001".repeat(dice.usize(..200))),
        |_, _| "0".to_owned(),
        |_, _| r#""""#.to_owned(),
        |_, _| "{}".to_owned(),
        |_, n| format!(r#"{{"sku":"S{n}","quantity":{n},"x{n}":0,"y{n}":0}}"#),
        |dice, _| format!(r#"{{"{}":{{"{}":[[{}]]}}}}"#, NAMES[dice.usize(..NAMES.len())], "n".repeat(dice.usize(..300)), dice.u64(..)),
    ];
    let (fill, of_members) = (dice.usize(..fills.len()), dice.bool());
    // The first five are members of an object, the others items of a list: at the root, or where a list or an object belongs.
    let (open, close) = match (fill < 5, of_members) {
        (true, true) => ("{".to_owned(), "}".to_owned()),
        (true, false) => (format!(r#"{{"{}":{{"#, NAMES[dice.usize(..NAMES.len())]), "}}".to_owned()),
        (false, true) => ("[".to_owned(), "]".to_owned()),
        (false, false) => (format!(r#"{{"{}":["#, NAMES[dice.usize(..NAMES.len())]), "]}".to_owned()),
    };
    let mut text = open;
    for n in 0.. {
        let item = fills[fill](dice, n);
        if text.len() + item.len() + 1 + close.len() > BODY_BYTES_MAX {
            break;
        }
        if n > 0 {
            text.push(',');
        }
        text.push_str(&item);
    }
    text.push_str(&close);
    let mut bytes = text.into_bytes();
    bytes.resize(BODY_BYTES_MAX, b' ');
    let at = dice.usize(..bytes.len());
    // Text stays text: what is not is longer once it is read, and no longer within the limit.
    if dice.u8(..) < 16 && bytes[at].is_ascii() {
        bytes[at] = dice.u8(..128);
    }
    bytes
}

/// What came of one function's bodies.
#[derive(Debug, Default)]
struct Worst {
    peak_bytes: usize,
    answer_bytes: usize,
    answered: std::collections::BTreeMap<u16, u64>,
}

fn worst(answer: fn(&[u8]) -> Response) -> Worst {
    let mut dice = Rng::with_seed(0);
    let mut worst = Worst::default();
    for _ in 0..BODIES {
        let body = body(&mut dice);
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let response = answer(&body);
        worst.peak_bytes = worst.peak_bytes.max(MEMORY.peak_usage().saturating_sub(before));
        worst.answer_bytes = worst.answer_bytes.max(response.body().len());
        *worst.answered.entry(response.status()).or_default() += 1;
    }
    worst
}

/// One test, since the allocator counts what the whole process holds.
#[test]
fn the_worst_of_ten_thousand_bodies_is_within_half_the_memory_and_answered_in_16_kib() {
    let template = Template::read().unwrap();
    let functions: [(&str, fn(&[u8]) -> Response); 2] =
        [("OrderIntakeFunction", fuzz::answer_to_order), ("CustomerSignupFunction", fuzz::answer_to_signup)];
    for (function, answer) in functions {
        let worst = worst(answer);
        println!("{function}: {worst:?}");
        let memory_mb = template.resource(function).unwrap().at("/MemorySize").as_u64().unwrap();
        let half = usize::try_from(memory_mb).unwrap() * 1024 * 1024 / 2;
        assert!(worst.peak_bytes <= PEAK_BYTES_MAX.min(half), "{function} allocated {} bytes at once", worst.peak_bytes);
        assert!(worst.answer_bytes <= PROBLEM_BYTES_MAX, "{function} answered {} bytes", worst.answer_bytes);
        assert!(worst.answered.keys().all(|status| matches!(status, 400 | 422)), "{function}: {:?}", worst.answered);
        assert!(worst.answered.len() == 2, "{function}: all bodies were of one kind: {:?}", worst.answered);
    }
}
