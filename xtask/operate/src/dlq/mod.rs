//! `dlq`: shows what lies in the dead-letter queues and why, and sends it on, by the deployed inspector: the one of the
//! stack that runs here, or with `--stack` that of a stack on AWS. What takes longer than an invocation is asked for again
//! until it is over. Answers go to standard output and all else to standard error, so that a pipe holds data alone. It
//! never touches a queue itself: it needs the permission to invoke the inspector, and no other.

mod progress;
mod render;

use crate::Caller;
use crate::deployed::{Asking, Deployed, by, now, print};
use crate::style::Style;
use anyhow::{Context, Result, bail};
use clap::builder::RangedU64ValueParser;
use clap::{Args, Subcommand};
use command_line::screen::width;
use console::interruption::{Interrupted, interrupted};
use dlq_inspector::answer::{Answer, Changed};
use dlq_inspector::request::{self, Cursor, Request};
use domain::command::Nothing;
use progress::Progress;
pub use render::age;
use std::process::ExitCode;
use std::time::Duration;
use testkit::stack::INSPECTOR;
use tokio::time::{Instant, sleep_until};

/// Exit status: `list` found every queue empty; of what another command selected something did not go, or was not read.
const NOT_ALL: u8 = 1;

/// Most messages that `--max` takes: a queue that holds more goes whole, without it.
const MESSAGES_MAX: u64 = 10_000_000;
/// The highest rate. SQS's own move task, which takes large queues, knows no higher one
/// (<https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html>).
const RATE_MAX: u32 = 500;

/// From one invocation to the next at least. They work for many seconds; one that returns at once must not be asked in a circle.
const ASK_AGAIN: Duration = Duration::from_secs(1);

const LIST_STATUS: &str = "Exit status, as grep has it: 0 something lies in a queue · 1 all are empty · 2 an error, be it that no stack \
                           is running or that the request was refused · 130 interrupted.";
const LOOK_STATUS: &str = "Exit status: 0 done · 2 an error, be it that no stack is running or that the request was refused · \
                           130 interrupted.";
const CHANGE_STATUS: &str = "Exit status: 0 done · 1 something that was selected did not go: it was refused, it failed, it waits \
                             behind another of its FIFO group, or somebody else has it · 2 an error, be it that no stack is running or that the request was \
                             refused · 130 interrupted: nothing is lost, and the same command goes on.";
const ALL_STATUS: &str = "QUEUE is a name that `list` shows, for instance payment.\n\n\
                          Exit status: 0 done, for `list` that something lies in a queue · 1 for `list` that all are empty, for \
                          `redrive` and `discard` that something selected did not go · 2 an error · 130 interrupted.";

/// What `dlq` takes.
#[derive(Args)]
#[command(after_help = ALL_STATUS)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Subcommand)]
enum Command {
    /// List every dead-letter queue: how much lies in it, since when, and where it came from
    #[command(after_help = LIST_STATUS)]
    List,
    /// Show some messages of a queue, and why each of them is there; they stay where they are
    #[command(after_help = LOOK_STATUS)]
    Peek {
        /// A dead-letter queue, as `list` calls it
        queue: String,
        /// How many messages; ten unless told otherwise
        #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..=request::PEEK_MAX as u64))]
        limit: Option<usize>,
        /// Show bodies as they are, personal data and all; that you did is recorded
        #[arg(long)]
        reveal: bool,
    },
    /// Count a queue's messages by cause: what to read first
    #[command(after_help = LOOK_STATUS)]
    Explain {
        /// A dead-letter queue, as `list` calls it
        queue: String,
    },
    /// Send messages back to where they came from, once the cause is fixed
    #[command(after_help = CHANGE_STATUS)]
    Redrive {
        /// A dead-letter queue, as `list` calls it
        queue: String,
        #[command(flatten)]
        selection: Selection,
        /// Most messages a second
        #[arg(long, value_name = "N/s", value_parser = rate)]
        rate: Option<u32>,
        /// Also send what came back again and again
        #[arg(long)]
        force: bool,
        /// Where messages go that do not say where they belong, in a queue that serves several
        #[arg(long, value_name = "SOURCE")]
        to: Option<String>,
        /// Why, for the audit record
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Archive a selection of messages, then delete them
    #[command(after_help = CHANGE_STATUS)]
    Discard {
        /// A dead-letter queue, as `list` calls it
        queue: String,
        #[command(flatten)]
        selection: Selection,
        /// Why, for the audit record and the archived copies
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Tell the operators' alert topic what lies in the queues, as the schedule does
    #[command(after_help = LOOK_STATUS)]
    Digest,
}

#[derive(Args)]
struct Selection {
    /// Only messages with this cause, type, subject or id: cause=CardDeclined, type=order.*; may be given several times, and
    /// then conditions of different names must all hold, of those of one name one
    #[arg(long = "where", value_name = "NAME=VALUE")]
    conditions: Vec<String>,
    /// Most messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=MESSAGES_MAX))]
    max: Option<u64>,
    /// Only count what would go; change nothing
    #[arg(long)]
    dry_run: bool,
}

/// `20/s`, or `20`.
fn rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let rate = number.parse().ok().filter(|rate| (1..=RATE_MAX).contains(rate));
    rate.ok_or_else(|| format!("{text} is not in 1..={RATE_MAX}: write for instance 20/s"))
}

impl Command {
    fn question(self) -> request::Command {
        match self {
            Self::List => request::Command::List(Nothing {}),
            Self::Peek { queue, limit, reveal } => request::Command::Peek(request::Peek { queue, limit, reveal }),
            Self::Explain { queue } => request::Command::Explain(request::Explain { queue, cursor: None }),
            Self::Redrive { queue, selection, rate, force, to, reason } => {
                let (Selection { conditions, max, dry_run }, reason) = (selection, reason.unwrap_or_default());
                request::Command::Redrive(request::Redrive { queue, conditions, max, rate, dry_run, force, to, reason, cursor: None })
            }
            Self::Discard { queue, selection, reason } => {
                let Selection { conditions, max, dry_run } = selection;
                request::Command::Discard(request::Discard { queue, conditions, reason, max, dry_run, cursor: None })
            }
            Self::Digest => request::Command::Digest(Nothing {}),
        }
    }
}

/// Asks the inspector, prints its answer, and returns the exit status.
pub(crate) async fn run(caller: Caller<'_>, options: Options) -> Result<ExitCode> {
    let Options { command, asking: Asking { target, json } } = options;
    let inspector = Deployed::find(caller, &target, INSPECTOR)?;
    let mut request = Request { by: by(), command: command.question() };
    let mut progress = Progress::new(&request.command);
    let answer = ask_to_the_end(&inspector, &mut request, &mut progress).await;
    progress.clear();
    let answer = answer?;
    let status = status(&answer).map_err(|error| progress.with_what_was_done(error))?;
    let flags = target.flags();
    let style = Style { program: caller.program, flags: &flags, now: now(), width: width(&std::io::stdout()) };
    let text = if json { document(answer)? + "\n" } else { render::text(&answer, &request.command, style) };
    print(&text)?;
    Ok(ExitCode::from(status))
}

/// Asks, and asks again with the cursor of the answer until there is none. What the answers have to say on the way is said.
async fn ask_to_the_end(inspector: &Deployed, request: &mut Request, progress: &mut Progress) -> Result<Answer> {
    let mut interrupted = std::pin::pin!(interrupted());
    loop {
        let asked = Instant::now();
        let invocation = progress.show_while(inspector.ask(request.command.needs(), &*request));
        let answer = tokio::select! {
            biased;
            signal = &mut interrupted => Err(signal.map_or_else(|error| error, |()| Interrupted(progress.if_interrupted()).into())),
            answer = invocation => answer,
        };
        let mut answer = answer.map_err(|error| progress.with_what_was_done(error))?;
        progress.learn(&answer);
        let Some(cursor) = take_cursor(&mut answer) else {
            progress.over();
            return Ok(answer);
        };
        *cursor_of(&mut request.command).context("the inspector returned a cursor for a command that has none")? = Some(cursor);
        tokio::select! {
            biased;
            signal = &mut interrupted => {
                signal?;
                return Err(Interrupted(progress.if_interrupted()).into());
            }
            () = sleep_until(asked + ASK_AGAIN) => {}
        }
    }
}

fn take_cursor(answer: &mut Answer) -> Option<Cursor> {
    match answer {
        Answer::Explain(explained) => explained.cursor.take(),
        Answer::Changed(changed) => changed.cursor.take(),
        Answer::List(_) | Answer::Peek(_) | Answer::Digest(_) | Answer::Refused(_) | Answer::Failed(_) => None,
    }
}

fn cursor_of(command: &mut request::Command) -> Option<&mut Option<Cursor>> {
    match command {
        request::Command::Explain(explain) => Some(&mut explain.cursor),
        request::Command::Redrive(redrive) => Some(&mut redrive.cursor),
        request::Command::Discard(discard) => Some(&mut discard.cursor),
        request::Command::List(_) | request::Command::Peek(_) | request::Command::Digest(_) => None,
    }
}

/// The exit status of an answer.
fn status(answer: &Answer) -> Result<u8> {
    let all_went = |Changed { counts, unread, .. }: &Changed| counts.refused + counts.held_back + counts.failed + unread == 0;
    let well = match answer {
        Answer::List(listed) => listed.iter().any(|queue| queue.held() > 0),
        Answer::Changed(changed) => all_went(changed),
        Answer::Peek(_) | Answer::Explain(_) | Answer::Digest(_) => true,
        Answer::Refused(refusal) | Answer::Failed(refusal) => bail!("{}", refusal.message),
    };
    Ok(if well { 0 } else { NOT_ALL })
}

/// The answer to programs: without its kind, which they know because they asked, and without the cursor, which was followed.
fn document(answer: Answer) -> Result<String> {
    let mut document = match answer {
        Answer::List(listed) => serde_json::to_value(listed),
        Answer::Peek(peeked) => serde_json::to_value(peeked),
        Answer::Explain(explained) => serde_json::to_value(explained),
        Answer::Changed(changed) => serde_json::to_value(changed),
        Answer::Digest(digested) => serde_json::to_value(digested),
        Answer::Refused(refusal) | Answer::Failed(refusal) => serde_json::to_value(refusal),
    }?;
    if let Some(fields) = document.as_object_mut() {
        fields.remove("cursor");
    }
    Ok(serde_json::to_string_pretty(&document)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches as _;
    use dlq_inspector::answer::{Digested, Listed};
    use dlq_inspector::request::Counts;
    use domain::command::Refusal;
    use serde_json::{Value, json};

    /// The options of a command, read as if the line followed its name.
    fn read(line: &str) -> Result<Options, clap::Error> {
        let command = Options::augment_args(clap::Command::new("dlq").no_binary_name(true));
        Options::from_arg_matches(&command.try_get_matches_from(line.split_whitespace())?)
    }

    fn asked(line: &str) -> Result<Value, clap::Error> {
        read(line).map(|options| serde_json::to_value(options.command.question()).unwrap())
    }

    fn changed(counts: Counts) -> Answer {
        let cursor = Some(Cursor::default());
        Answer::Changed(Changed { queue: "payment".into(), dry_run: false, counts, depth: 3, unread: 0, notes: Vec::new(), cursor })
    }

    fn listed(depth: u64, in_flight: u64) -> Answer {
        let (queue, queue_name) = ("payment".to_owned(), "stack-payment-dlq".to_owned());
        let (oldest_sent_at, arrived_last_hour, complete) = (None, None, true);
        Answer::List(vec![Listed { queue, queue_name, sources: vec![], depth, in_flight, oldest_sent_at, arrived_last_hour, complete }])
    }

    #[test]
    fn the_line_becomes_the_inspectors_question() {
        let line = "redrive payment --where cause=A --where type=order.* --max 5 --rate 20/s --dry-run --force --to orders --reason fixed";
        let redrive = &asked(line).unwrap()["redrive"];
        assert_eq!((&redrive["queue"], &redrive["where"]), (&json!("payment"), &json!(["cause=A", "type=order.*"])));
        assert_eq!((&redrive["max"], &redrive["rate"], &redrive["dry_run"]), (&json!(5), &json!(20), &json!(true)));
        assert_eq!((&redrive["force"], &redrive["to"], &redrive["reason"]), (&json!(true), &json!("orders"), &json!("fixed")));
        assert_eq!(asked("list").unwrap(), json!({"list": {}}));
        assert_eq!(asked("peek payment --limit 3").unwrap(), json!({"peek": {"queue": "payment", "limit": 3, "reveal": false}}));
        assert_eq!(asked("discard payment --where id=m --reason why").unwrap()["discard"]["reason"], "why");
        assert!(asked("discard payment --where id=m").is_err(), "without a reason");
        assert!(asked("redrive payment --max 0").is_err() && asked("peek payment --limit 101").is_err());
    }

    #[test]
    fn common_flags_stand_before_and_behind_the_command() {
        for line in ["dlq --stack s --region r list --json", "dlq list --json --stack s --region r", "dlq --json list --region=r --stack=s"]
        {
            let Asking { target, json } = read(line.strip_prefix("dlq ").unwrap()).unwrap().asking;
            assert!(json && target.stack.as_deref() == Some("s") && target.region.as_deref() == Some("r"), "{line}");
        }
    }

    #[test]
    fn a_rate_is_a_number_a_second() {
        assert_eq!((rate("20/s"), rate("20")), (Ok(20), Ok(20)));
        for bad in ["0", "0/s", "-1", "20/m", "", "/s", "501", "4294967296", "2.5"] {
            assert!(rate(bad).unwrap_err().contains("write for instance 20/s"), "{bad}");
        }
    }

    #[test]
    fn a_list_ends_as_grep_does() {
        assert_eq!(status(&listed(1, 0)).unwrap(), 0);
        assert_eq!(status(&listed(0, 1)).unwrap(), 0, "somebody has it, and it lies there");
        assert_eq!(status(&listed(0, 0)).unwrap(), 1);
        assert_eq!(status(&Answer::List(vec![])).unwrap(), 1);
    }

    #[test]
    fn a_change_ends_well_if_all_that_was_selected_went() {
        assert_eq!(status(&changed(Counts { read: 3, done: 2, skipped: 1, ..Counts::default() })).unwrap(), 0);
        for counts in [
            Counts { refused: 1, ..Counts::default() },
            Counts { held_back: 1, ..Counts::default() },
            Counts { failed: 1, ..Counts::default() },
        ] {
            assert_eq!(status(&changed(counts)).unwrap(), 1, "{counts:?}");
        }
        assert_eq!(status(&Answer::Digest(Digested::Silent)).unwrap(), 0);
    }

    #[test]
    fn a_refusal_is_an_error_with_its_sentence_alone() {
        let refusal = || Refusal::new("UnknownQueue", "The stack has no dead-letter queue `x`.");
        for answer in [Answer::Refused(refusal()), Answer::Failed(refusal())] {
            assert_eq!(status(&answer).unwrap_err().to_string(), refusal().message);
        }
    }

    #[test]
    fn a_program_gets_the_answer_without_its_kind_and_cursor() {
        let text = document(changed(Counts { done: 2, ..Counts::default() })).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&document["counts"]["done"], document.get("cursor")), (&json!(2), None));
        assert!(super::document(listed(1, 0)).unwrap().starts_with("[\n"));
    }

    #[test]
    fn only_what_has_a_cursor_is_asked_again() {
        let mut answer = changed(Counts::default());
        assert_eq!((take_cursor(&mut answer), take_cursor(&mut answer)), (Some(Cursor::default()), None));
        let mut redrive = request::Command::Redrive(request::Redrive::default());
        *cursor_of(&mut redrive).unwrap() = Some(Cursor::default());
        assert_eq!(serde_json::to_value(&redrive).unwrap()["redrive"]["cursor"]["counts"]["read"], 0);
        assert!(cursor_of(&mut request::Command::List(Nothing {})).is_none());
    }
}
