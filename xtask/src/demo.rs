//! Six orders from set-up to the end, each told as it happens, then what was charged, what is in stock and what was mailed.
//! Every story goes over HTTP and is judged by what a customer, the payment provider's book, the stock table and
//! the inbox say. Then the first order comes once more, alone, and its AWS calls are counted.
//! A stack that `up` left running is used and left running; otherwise everything started here is stopped here.

use crate::story::{self, CURRENCY, Expected, Seen, Teller, basket, judge, money, money_of_provider};
use anyhow::{Result, bail};
use command_line::screen::{Layout, columns, command, sentences, table, width, wrapped};
use console::interruption::{CleanUp, unless_interrupted};
use console::machine::{Repository, require_free_port};
use console::processes::{SANDBOX_CALLS_PER_SECOND, Start, provider_port};
use console::progress::{Progress, bold, dim, green, red, shown};
use console::seed::{self, CatalogueItem};
use console::stack;
use console::state;
use console::{build, deploy};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use testkit::calls::{Calls, Kind, Made};
use testkit::engine::Engine;
use testkit::inbox::Mail;
use testkit::shop::{DECLINED, VISA};
use testkit::stack::{Stack, State};

/// An order that nobody holds up is through in a second or two; on a busy machine with cold functions in ten.
const USUAL_LIMIT: Duration = Duration::from_secs(60);
/// The local time-out is 30 s; then the order still has to be undone.
const TIMED_OUT_LIMIT: Duration = Duration::from_secs(120);
/// How long after an order's end its last mail may take.
const MAIL_LIMIT: Duration = Duration::from_secs(30);
/// How long the queues may take to be empty: a look of the order's clock comes every 3 s here.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// Where the hold-back waits for what is already on its way to the payment function.
const PAYMENT: &str = "PaymentFunction";

/// The special feature of a story.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Twist {
    None,
    SentTwice,
    /// The customer asks for it as soon as it is placed.
    Cancelled,
    /// Nobody asks for anything; order-deadline does.
    TimesOut,
}

struct Story {
    title: &'static str,
    lines: &'static [(&'static str, u32)],
    payment_method: &'static str,
    twist: Twist,
    expected: Expected,
}

const SHIPPED: &[&str] =
    &["order.placed", "payment.authorized", "inventory.reserved", "order.shipped", "payment.captured", "inventory.committed"];

/// The four that run their course.
const RUNNING: [Story; 4] = [
    Story {
        title: "ships",
        lines: &[("MUG-BLUE", 2), ("TEAPOT", 1)],
        payment_method: VISA,
        twist: Twist::None,
        expected: Expected { status: "completed", facts: SHIPPED, charged_minor: 6900 },
    },
    Story {
        title: "card is declined",
        lines: &[("MUG-RED", 1)],
        payment_method: DECLINED,
        twist: Twist::None,
        expected: Expected { status: "cancelled", facts: &["payment.declined", "order.cancelled", "inventory.released"], charged_minor: 0 },
    },
    Story {
        title: "too little stock",
        lines: &[("MUG-BLUE", 1), ("LAMP", 1)],
        payment_method: VISA,
        twist: Twist::None,
        expected: Expected { status: "cancelled", facts: &["inventory.rejected", "order.cancelled", "payment.voided"], charged_minor: 0 },
    },
    Story {
        title: "sent twice",
        lines: &[("HOT-CAKE", 4)],
        payment_method: VISA,
        twist: Twist::SentTwice,
        expected: Expected { status: "completed", facts: SHIPPED, charged_minor: 1200 },
    },
];

/// The two that need the payment held back: so that "in time" is certain and not a race, and so that order-deadline has
/// something to end.
const HELD_BACK: [Story; 2] = [
    Story {
        title: "cancelled in time",
        lines: &[("TEAPOT", 2)],
        payment_method: VISA,
        twist: Twist::Cancelled,
        expected: Expected { status: "cancelled", facts: &["order.cancelled", "payment.voided", "inventory.released"], charged_minor: 0 },
    },
    Story {
        title: "payment held back",
        lines: &[("MUG-RED", 3)],
        payment_method: VISA,
        twist: Twist::TimesOut,
        expected: Expected { status: "cancelled", facts: &["order.cancelled", "payment.voided", "inventory.released"], charged_minor: 0 },
    },
];

/// How one story went.
struct Outcome {
    order_id: String,
    seen: Seen,
    teller: Teller,
}

pub async fn run(repository: &Repository, port: u16) -> Result<()> {
    let mut progress = Progress::new();
    let folder = repository.local();
    let running = state::of_running(repository, &folder)?;
    if let Some(running) = &running {
        stack::require_port(running, port)?;
        println!("  {}", dim("using the stack that `cargo xtask up` left running, and leaving it so"));
    } else {
        // Said now, and not after ten minutes of building.
        require_free_port(port, "the engine")?;
        require_free_port(provider_port(port), "the payment provider")?;
    }
    let built = build::with_tools(repository, &mut progress).await?;

    if let Some(running) = running {
        let pids = (running.engine_pid, running.stripe_pid);
        let target = deploy::Target { port, pids, keys: running.keys, folder: &folder, parameters: &[] };
        let state = deploy::run(repository, &built, target, &mut progress).await?;
        return tell(repository, &state, &mut progress).await;
    }
    let start = Start {
        port,
        folder: &folder,
        lifeline: true,
        provider_latency: Duration::ZERO,
        provider_calls_per_second: SANDBOX_CALLS_PER_SECOND,
    };
    let (mut services, state) = stack::fresh(repository, start, &built, &[], &mut progress).await?;
    services.while_alive(tell(repository, &state, &mut progress)).await
}

/// The stories, the table and the verdict.
async fn tell(repository: &Repository, state: &State, progress: &mut Progress) -> Result<()> {
    let started = Instant::now();
    let engine = state.engine();
    let catalogue = seed::catalogue(repository)?;
    let before = stock(&engine, state).await?;

    println!("\n{}", bold("Four orders at once"));
    let [ships, declined, rejected, twice] = &RUNNING;
    let (a, b, c, d) = tokio::join!(
        live(ships, 0, state, &catalogue),
        live(declined, 1, state, &catalogue),
        live(rejected, 2, state, &catalogue),
        live(twice, 3, state, &catalogue),
    );

    println!("\n{}", bold("Two orders whose payment message is held back"));
    let [cancelled, timed_out] = &HELD_BACK;
    let (e, f) = held_back(&engine, async {
        tokio::join!(live_held_back(cancelled, 4, state, &catalogue), live_held_back(timed_out, 5, state, &catalogue))
    })
    .await?;
    let (e, f) = tokio::join!(finish(e, state), finish(f, state));
    progress.done("Live through six stories", started, "");

    let stories = RUNNING.iter().chain(&HELD_BACK);
    let outcomes: Vec<(&Story, Result<Outcome>)> = stories.zip([a, b, c, d, e, f]).collect();
    let faults = verdict(&outcomes, state, &engine, &before, &catalogue).await?;
    if faults == 0 {
        calls_of_one_order(state, &catalogue).await?;
    }

    println!("\n{}", bold("Where the time went"));
    for (step, took) in progress.longest() {
        println!("  {step:<44} {:>10}", shown(took));
    }
    println!("  {:<44} {:>10}", "in all", shown(progress.elapsed()));
    if faults > 0 {
        bail!(
            "{faults} of {} stories or stocks ended wrongly. Look further with: cargo xtask up, then order, status and logs",
            outcomes.len()
        );
    }
    println!("\n{}", green("All six stories ended as they should."));
    Ok(())
}

/// Places a story's order and follows it to its end.
async fn live(story: &Story, colour: usize, state: &State, catalogue: &[CatalogueItem]) -> Result<Outcome> {
    let mut teller = Teller::among_others(story.title, colour);
    let order_id = place(story, &teller, state, catalogue).await?;
    let seen = story::follow(&state.api_url, &order_id, &mut teller, USUAL_LIMIT, Seen::has_ended).await?;
    teller.say(&[&bold(&seen.status)]);
    Ok(Outcome { order_id, seen, teller })
}

/// Places a story's order and follows it until it is decided, while payment hears nothing.
async fn live_held_back(story: &Story, colour: usize, state: &State, catalogue: &[CatalogueItem]) -> Result<Outcome> {
    let mut teller = Teller::among_others(story.title, colour);
    let order_id = place(story, &teller, state, catalogue).await?;
    if story.twist == Twist::Cancelled {
        story::cancel(&state.api_url, &order_id).await?;
        teller.say(&["POST /orders/{order_id}/cancel → asked"]);
    } else {
        teller.say(&[&dim("(waiting for the order's deadline)")]);
    }
    let seen = story::follow(&state.api_url, &order_id, &mut teller, TIMED_OUT_LIMIT, |seen| seen.has("order.cancelled")).await?;
    Ok(Outcome { order_id, seen, teller })
}

/// Follows a held-back order to its end, once payment hears again.
async fn finish(decided: Result<Outcome>, state: &State) -> Result<Outcome> {
    let Outcome { order_id, mut teller, .. } = decided?;
    let seen = story::follow(&state.api_url, &order_id, &mut teller, USUAL_LIMIT, Seen::has_ended).await?;
    teller.say(&[&bold(&seen.status)]);
    Ok(Outcome { order_id, seen, teller })
}

/// Runs `work` while no message reaches the payment function, and lets them through again however it went: after a signal too, because
/// a stack of `up` goes on.
async fn held_back<T>(engine: &Engine, work: impl Future<Output = T>) -> Result<T> {
    let _clean_up = CleanUp::begin();
    engine.set_event_source(PAYMENT, false).await?;
    let meaning = || "the payment messages are let through again; a stack that ran before still runs, and its orders go on".to_owned();
    let result = unless_interrupted(async { Ok(work.await) }, meaning).await;
    engine.set_event_source(PAYMENT, true).await?;
    println!("  {}", dim("(the payment messages are let through)"));
    result
}

async fn place(story: &Story, teller: &Teller, state: &State, catalogue: &[CatalogueItem]) -> Result<String> {
    let lines: Vec<(String, u32)> = story.lines.iter().map(|(sku, quantity)| ((*sku).to_owned(), *quantity)).collect();
    let key = testkit::shop::new_key();
    let order = story::order(&key, &lines, CURRENCY, story.payment_method);
    let placed = story::place(&state.api_url, &key, &order).await?;
    let total = money(placed.body["total"]["amount_minor"].as_i64().unwrap_or_default(), CURRENCY);
    teller.say(&["POST /orders → 202", &basket(&lines, catalogue), &total, &dim(&placed.order_id)]);
    if story.twist == Twist::SentTwice {
        let again = story::place(&state.api_url, &key, &order).await?;
        if again.order_id != placed.order_id || !again.replayed {
            bail!("the same request sent again was not answered as a replay: order {} instead of {}", again.order_id, placed.order_id);
        }
        teller.say(&["POST /orders → 202", "the same order, replayed"]);
    }
    Ok(placed.order_id)
}

/// Places the order that ships once more, with nothing beside it, and prints every AWS call that it takes.
async fn calls_of_one_order(state: &State, catalogue: &[CatalogueItem]) -> Result<()> {
    let [ships, ..] = &RUNNING;
    println!("\n{}", bold("The first order again, alone, with its AWS calls counted"));
    let counted = Stack::of(state.clone()).calls_of(SILENCE_LIMIT, live(ships, 0, state, catalogue)).await?;
    match counted {
        Some((_, calls)) => print_calls(&calls),
        None => println!("  {}", dim("(not counted: other orders of this stack are still under way)")),
    }
    Ok(())
}

/// A line a function. What the customer's own looks take is left out: it is as much as they like.
fn print_calls(calls: &Calls) {
    const LOOKS: &str = "order-status";
    let calls = Calls(calls.0.iter().filter(|(function, _)| *function != LOOKS).map(|(f, made)| (f.clone(), made.clone())).collect());
    println!();
    for (at, line) in call_lines(&calls, width(&std::io::stdout())).iter().enumerate() {
        println!("{}", if at == 0 { bold(line) } else { line.clone() });
    }
    let [_, requests @ .., receives, deletes] = figures(&calls.sum());
    let requests: u64 = requests.iter().sum();
    println!("{} calls by functions, and {} to take their messages from queues", bold(&requests.to_string()), receives + deletes);
    let remark = "(alone, so that batches are of one message, here and there of two; ten in a batch share publish, receive and delete)";
    println!("{}", dim(&sentences(remark, "", width(&std::io::stdout()))));
}

fn figures(made: &Made) -> [u64; 9] {
    let [writes, reads, publishes, sends, mails, other] = Kind::ALL.map(|kind| made.of_kind(kind));
    [made.invocations, writes, reads, publishes, sends, mails, other, made.batches.receives, made.batches.deletes]
}

/// The table, without colours.
fn call_lines(calls: &Calls, width: Option<usize>) -> Vec<String> {
    // Short, because ten columns stand next to each other.
    let head = ["function", "runs", "write", "read", "publ", "send", "mail", "other", "recv", "del"].map(str::to_owned);
    let row = |name: &str, made: &Made| {
        let mut cells = figures(made).into_iter().map(|figure| figure.to_string());
        std::array::from_fn(|at| if at == 0 { name.to_owned() } else { cells.next().unwrap_or_default() })
    };
    let mut rows: Vec<[String; 10]> = vec![head];
    rows.extend(calls.0.iter().map(|(function, made)| row(function, made)));
    rows.push(row("in all", &calls.sum()));
    table(&rows, Layout { numbers: &[1, 2, 3, 4, 5, 6, 7, 8, 9], flexible: &[0], width })
}

/// How many are available of every SKU that the stories touch.
async fn stock(engine: &Engine, state: &State) -> Result<BTreeMap<&'static str, i64>> {
    let mut stock = BTreeMap::new();
    for (sku, _) in RUNNING.iter().chain(&HELD_BACK).flat_map(|story| story.lines) {
        stock.insert(*sku, seed::available(engine, state, sku).await?);
    }
    Ok(stock)
}

/// What the payment provider's own book says was charged for an order, over all its payments.
pub async fn charged(state: &State, order_id: &str) -> Result<i64> {
    let book = Stack::of(state.clone()).book(order_id).await?;
    Ok(book.iter().filter(|(status, _)| status == "succeeded").map(|(_, amount_minor)| amount_minor).sum())
}

/// Prints what was charged and what is in stock, and counts what is not as it should be.
async fn verdict(
    outcomes: &[(&Story, Result<Outcome>)],
    state: &State,
    engine: &Engine,
    before: &BTreeMap<&'static str, i64>,
    catalogue: &[CatalogueItem],
) -> Result<usize> {
    let mut wrong = 0;
    let mut sold: BTreeMap<&str, i64> = BTreeMap::new();
    println!("\n{}", bold(&format!("  {:<20}{:<12}{:<12}{:>12}{:>14}", "story", "expected", "got", "charged", "expected")));
    for (story, outcome) in outcomes {
        let expected = &story.expected;
        let (got, charged_minor, faults, order_id) = match outcome {
            Ok(Outcome { order_id, seen, .. }) => {
                let charged_minor = charged(state, order_id).await?;
                (seen.status.as_str(), charged_minor, judge(expected, seen, charged_minor), order_id.as_str())
            }
            Err(error) => ("no answer", 0, vec![format!("{error:#}")], "unknown"),
        };
        if expected.status == "completed" {
            for (sku, quantity) in story.lines {
                *sold.entry(*sku).or_default() += i64::from(*quantity);
            }
        }
        let mark = if faults.is_empty() { green("✓") } else { red("✗") };
        let (charged, due) = (money_of_provider(charged_minor, CURRENCY), money(expected.charged_minor, CURRENCY));
        println!("{mark} {:<20}{:<12}{got:<12}{charged:>12}{due:>14}", story.title, expected.status);
        wrong += usize::from(!faults.is_empty());
        for fault in &faults {
            println!("{}", red(&sentences(fault, "    ", width(&std::io::stdout()))));
        }
        if !faults.is_empty() {
            println!("    {}", dim("functions' logs: target/local/engine.log; while the stack of `up` runs:"));
            println!("{}", command(&format!("cargo xtask show {order_id}"), "    ", width(&std::io::stdout())));
        }
    }
    println!("\n{}", bold(&format!("  {:<32}{:>10}{:>10}{:>12}", "in stock", "before", "now", "expected")));
    for (sku, now) in stock(engine, state).await? {
        let (before, name) = (before[sku], basket(&[(sku.to_owned(), 1)], catalogue).replacen("1 × ", "", 1));
        let expected = before - sold.get(sku).copied().unwrap_or(0);
        wrong += usize::from(now != expected);
        println!("{} {name:<32}{before:>10}{now:>10}{expected:>12}", if now == expected { green("✓") } else { red("✗") });
    }
    Ok(wrong + mails(outcomes, state).await?)
}

/// Prints the mails of each story, and counts the stories that did not get exactly theirs: one that says how the order ended,
/// after one that says that it was received, unless the end came first.
async fn mails(outcomes: &[(&Story, Result<Outcome>)], state: &State) -> Result<usize> {
    let stack = Stack::of(state.clone());
    let mut wrong = 0;
    println!("\n{}", bold(&format!("  {:<20}{}", "story", "mails to the customer")));
    for (story, outcome) in outcomes {
        let Ok(Outcome { order_id, .. }) = outcome else { continue };
        let last = if story.expected.status == "completed" { "shipped" } else { "cancelled" };
        let deadline = Instant::now() + MAIL_LIMIT;
        let mails = loop {
            let mails: Vec<_> = stack.inbox().await?.into_iter().filter(|mail| mail.is_about(order_id)).collect();
            if mails.iter().any(|mail| mail.template() == last) || Instant::now() > deadline {
                break mails;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        let kinds: Vec<_> = mails.iter().map(Mail::template).filter(|kind| *kind != "received").collect();
        let good = kinds == [last] && mails.len() <= 2;
        wrong += usize::from(!good);
        let first = format!("{} {:<20}", if good { green("✓") } else { red("✗") }, story.title);
        // Without the order's id, which the story stands for.
        let subjects = mails.iter().map(|mail| mail.subject.replace(&format!(" ({order_id})"), ""));
        println!("{}", wrapped(subjects, " · ", [&first, &" ".repeat(columns(&first))], width(&std::io::stdout())));
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_calls_fits_80_columns() {
        let functions = ["order-intake", "customer-signup", "order-tracking"].map(|name| (name.to_owned(), Made::default()));
        let lines = call_lines(&Calls(functions.into()), Some(80));
        assert!(lines.iter().all(|line| columns(line) <= 80 && !line.contains('…')), "{lines:#?}");
        assert_eq!(lines.len(), 5);
    }
}
