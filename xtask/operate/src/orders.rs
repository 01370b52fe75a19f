//! `uncollected` and `nudge`: what people command about one order, carried out by the deployed operator of the stack that runs here,
//! or with `--stack` by that of a stack on AWS. Answers go to standard output and all else to standard error.
//! It touches neither table nor topic itself: a person who may not invoke the operator gets nowhere by it.

use crate::Caller;
use crate::deployed::{Asking, Deployed, by, now, print};
use crate::style::Style;
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use command_line::screen::{Layout, command, sentences, table, width, wrapped};
use console::progress::{bold, dim};
use dlq_inspector::table::to_the_second;
use domain::{OrderId, Timestamp, command::Nothing, uncollected::Uncollected as Payment};
use operator::answer::{Answer, Listed, Nudged, Settled};
use operator::request::{self, Act, Request};
use std::process::ExitCode;
use testkit::stack::OPERATOR;

/// Exit status: nothing waits for a person.
const NOTHING: u8 = 1;

const STATUS: &str = "Exit status: 0 done, for `list` that something waits for a person · 1 for `list` that nothing does · 2 an error, be \
                      it that no stack is running or that the request was refused.";

/// What `uncollected` takes.
#[derive(Args)]
#[command(after_help = STATUS)]
pub struct Uncollected {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Subcommand)]
enum Command {
    /// List the orders that were shipped and not collected, and that nobody has settled; the oldest first
    List,
    /// Note that the money was collected by other means, or written off; the record stays uncollected, the alarm ends
    Settle(Doing),
}

/// What `nudge` takes.
#[derive(Args)]
#[command(after_help = STATUS)]
pub struct Nudge {
    #[command(flatten)]
    doing: Doing,
    #[command(flatten)]
    asking: Asking,
}

/// What is done about one order.
#[derive(Args)]
struct Doing {
    /// The order's id
    order: OrderId,
    /// Why, for the audit record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Only say what would be done; change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Doing {
    fn act(self) -> Act {
        Act { order_id: self.order, reason: self.reason, dry_run: self.dry_run }
    }
}

impl Uncollected {
    /// Whether it changes something.
    pub fn changes(&self) -> bool {
        matches!(&self.command, Command::Settle(doing) if !doing.dry_run)
    }
}

impl Nudge {
    /// Whether it changes something.
    pub fn changes(&self) -> bool {
        !self.doing.dry_run
    }
}

impl Command {
    fn question(self) -> request::Command {
        match self {
            Self::List => request::Command::Uncollected(Nothing {}),
            Self::Settle(doing) => request::Command::Settle(doing.act()),
        }
    }
}

/// `uncollected`: asks the operator, prints its answer, and returns the exit status.
pub(crate) async fn uncollected(caller: Caller<'_>, options: Uncollected) -> Result<ExitCode> {
    ask(caller, options.command.question(), &options.asking).await
}

/// `nudge`: asks the operator, prints its answer, and returns the exit status.
pub(crate) async fn nudge(caller: Caller<'_>, options: Nudge) -> Result<ExitCode> {
    ask(caller, request::Command::Nudge(options.doing.act()), &options.asking).await
}

async fn ask(caller: Caller<'_>, command: request::Command, Asking { target, json }: &Asking) -> Result<ExitCode> {
    let operator = Deployed::find(caller, target, OPERATOR)?;
    let answer: Answer = operator.ask(command.needs(), &Request { by: by(), command }).await?;
    let status = status(&answer)?;
    let flags = target.flags();
    let style = Style { program: caller.program, flags: &flags, now: now(), width: width(&std::io::stdout()) };
    print(&if *json { document(&answer)? + "\n" } else { text(&answer, style) })?;
    Ok(ExitCode::from(status))
}

/// The exit status of an answer.
fn status(answer: &Answer) -> Result<u8> {
    match answer {
        Answer::Uncollected(listed) if listed.payments.is_empty() => Ok(NOTHING),
        Answer::Uncollected(_) | Answer::Settled(_) | Answer::Nudged(_) => Ok(0),
        Answer::Refused(refusal) | Answer::Failed(refusal) => bail!("{}", refusal.message),
    }
}

/// The answer to programs: without its kind, which they know because they asked.
fn document(answer: &Answer) -> Result<String> {
    let document = match answer {
        Answer::Uncollected(listed) => serde_json::to_value(listed),
        Answer::Settled(settled) => serde_json::to_value(settled),
        Answer::Nudged(nudged) => serde_json::to_value(nudged),
        Answer::Refused(refusal) | Answer::Failed(refusal) => serde_json::to_value(refusal),
    }?;
    Ok(serde_json::to_string_pretty(&document)?)
}

/// The answer to people.
fn text(answer: &Answer, style: Style<'_>) -> String {
    let Style { now, width, .. } = style;
    match answer {
        Answer::Uncollected(listed) => list(listed, style),
        Answer::Settled(answer) => sentences(&settled(answer), "", width) + "\n",
        Answer::Nudged(answer) => sentences(&nudged(answer, now), "", width) + "\n",
        // Errors, which have no place here.
        Answer::Refused(_) | Answer::Failed(_) => String::new(),
    }
}

fn list(listed: &Listed, Style { program, flags, width, .. }: Style<'_>) -> String {
    if listed.payments.is_empty() {
        return "Nothing that was shipped waits for its money.\n".to_owned();
    }
    let head = ["ORDER", "AMOUNT", "SINCE"].map(str::to_owned);
    let row = |it: &Payment| [it.order_id.to_string(), it.amount.to_string(), to_the_second(it.uncollected_at)];
    let rows: Vec<_> = std::iter::once(head).chain(listed.payments.iter().map(row)).collect();
    let lines = table(&rows, Layout { numbers: &[1], flexible: &[0], width });
    let mut text = String::new();
    for (line, payment) in lines.iter().zip(std::iter::once(None).chain(listed.payments.iter().map(Some))) {
        text.push_str(&payment.map_or_else(|| bold(line), |_| line.clone()));
        text.push('\n');
        // Ids of the provider's are long: below, so that a line is an order's.
        if let Some(payment) = payment {
            let why = [plain(&payment.payment.0), plain(&payment.capture_code)];
            text.push_str(&(wrapped(why, "  ", ["  ", "  "], width) + "\n"));
        }
    }
    if !listed.complete {
        text.push_str(&format!("and more: these are the {} oldest\n", listed.payments.len()));
    }
    let order = listed.payments.first().map(|it| it.order_id.to_string()).unwrap_or_default();
    let settle = command(&format!("{program} uncollected settle {order} --reason \"…\" --dry-run{flags}"), "  ", width);
    text + "\n" + &dim("settled with the customer?") + "\n" + &dim(&settle) + "\n"
}

fn settled(answer: &Settled) -> String {
    let Settled { payment, before, dry_run } = answer;
    let what =
        format!("{}: {} not collected ({}, {})", payment.order_id, payment.amount, plain(&payment.payment.0), plain(&payment.capture_code));
    match &payment.settlement {
        Some(it) if *before => format!(
            "{what}\nIt was settled before, at {} by {}: {}. Nothing was changed.\n",
            to_the_second(it.settled_at),
            plain(&it.settled_by),
            plain(&it.settled_reason)
        ),
        _ if *dry_run => format!("{what}\nIt would be settled.\nA dry run: nothing was changed.\n"),
        _ => format!("{what}\nIt is settled.\n"),
    }
}

fn nudged(answer: &Nudged, now: Timestamp) -> String {
    let Nudged { order_id, received_at, status, dry_run } = answer;
    let status = serde_json::to_value(status).unwrap_or_default();
    let age = now.duration_since(*received_at).as_hours();
    let what = format!("{order_id}: {}, placed {} ({age} hours ago)", status.as_str().unwrap_or("unknown"), to_the_second(*received_at));
    if *dry_run {
        format!("{what}\nIts order.placed would be published again.\nA dry run: nothing was changed.\n")
    } else {
        format!("{what}\nIts order.placed was published again: in a minute or two see how far it is, by GET /orders/{order_id}.\n")
    }
}

/// A line without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use domain::command::Refusal;
    use serde_json::{Value, json};

    const ID: &str = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";

    #[derive(clap::Parser)]
    enum Cli {
        Uncollected(Uncollected),
        Nudge(Nudge),
    }

    fn asked(line: &str) -> Result<Value, clap::Error> {
        let words = std::iter::once("xtask").chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| {
            let command = match cli {
                Cli::Uncollected(options) => options.command.question(),
                Cli::Nudge(options) => request::Command::Nudge(options.doing.act()),
            };
            serde_json::to_value(command).unwrap()
        })
    }

    fn style(width: Option<usize>) -> Style<'static> {
        Style { program: "cargo xtask", flags: " --stack prod", now: Timestamp::UNIX_EPOCH, width }
    }

    fn payment() -> Payment {
        let json = json!({
            "order_id": ID, "payment": "pi_1", "amount": {"amount_minor": 2400, "currency": "EUR"}, "capture_code": "expired",
            "uncollected_at": "2026-05-09T08:00:00Z"
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_line_becomes_the_operators_command() {
        assert_eq!(asked("uncollected list").unwrap(), json!({"uncollected": {}}));
        let line = format!("uncollected settle {ID} --reason transfer --dry-run --stack prod");
        assert_eq!(asked(&line).unwrap(), json!({"settle": {"order_id": ID, "reason": "transfer", "dry_run": true}}));
        let line = format!("nudge {ID} --reason lost");
        assert_eq!(asked(&line).unwrap(), json!({"nudge": {"order_id": ID, "reason": "lost", "dry_run": false}}));
        assert!(asked(&format!("nudge {ID}")).is_err() && asked("nudge 7 --reason lost").is_err(), "no reason, no id");
    }

    #[test]
    fn the_list_names_what_to_settle_and_ends_as_grep_does() {
        let some = Answer::Uncollected(Listed { payments: vec![payment()], complete: false });
        let none = Answer::Uncollected(Listed { payments: vec![], complete: true });
        assert_eq!((status(&some).unwrap(), status(&none).unwrap()), (0, NOTHING));
        let told = text(&some, style(None));
        assert!(told.contains(&format!("{ID}  24.00 EUR  2026-05-09T08:00:00Z\n  pi_1  expired\n")), "{told}");
        assert!(told.contains("these are the 1 oldest") && told.contains("--dry-run --stack prod"), "{told}");
        let narrow = text(&some, style(Some(80)));
        assert!(narrow.lines().all(|line| command_line::screen::columns(line) <= 80), "{narrow}");
        let refused = Answer::Refused(Refusal::new("OrderHasEnded", "It has ended."));
        assert_eq!(status(&refused).unwrap_err().to_string(), "It has ended.");
    }

    #[test]
    fn a_settlement_says_whether_it_is_the_first() {
        let settlement = serde_json::from_value(json!({
            "settled_at": "2026-05-10T08:00:00Z", "settled_by": "ada", "settled_reason": "paid by transfer"
        }));
        let done = Payment { settlement: Some(settlement.unwrap()), ..payment() };
        let of = |payment: Payment, before, dry_run| settled(&Settled { payment, before, dry_run });
        assert!(of(done.clone(), false, false).ends_with("It is settled.\n"));
        assert!(of(done, true, false).contains("settled before, at 2026-05-10T08:00:00Z by ada: paid by transfer"));
        assert!(of(payment(), false, true).ends_with("A dry run: nothing was changed.\n"));
    }
}
