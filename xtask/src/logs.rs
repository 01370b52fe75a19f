//! `logs`: what the deployed functions logged, of one of them or of all by time: readable on a terminal, line by line as it was logged
//! in a pipe. What Lambda itself says of each invocation is left out unless it is asked for.

use crate::cli;
use anyhow::Result;
use clap::Args;
use command_line::screen::{width, wrapped};
use console::machine::{Repository, logical_id};
use console::progress::{bold, dim, red};
use console::state;
use domain::OrderId;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use testkit::engine::{Engine, deployed};

/// Between two looks: soon enough to feel live, seldom enough for one machine.
const POLL_EVERY: Duration = Duration::from_millis(500);
/// How far a look goes back behind the newest event that is known: one that ended later may have been logged under an earlier time.
const OVERLAP_MS: i64 = 10_000;
/// The most events of one answer of CloudWatch Logs, beyond which the engine has no token to go on with
/// (<https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html>).
const PAGE_MAX: usize = 10_000;
/// The longest that `--since` reaches back: no log group keeps more.
const SINCE_MAX: SignedDuration = SignedDuration::from_hours(400 * 24);

#[derive(Args)]
pub struct Options {
    /// Folders under functions/, for instance `payment`; all functions if none is named
    #[arg(value_name = "FUNCTION", value_parser = cli::function_names())]
    functions: Vec<String>,
    /// Keep printing as they log, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// Only what was logged within this time, for instance 10m or 2h
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<SignedDuration>,
    /// Only what is about this order
    #[arg(long, value_name = "ORDER")]
    order: Option<OrderId>,
    /// Only warnings and errors
    #[arg(long)]
    errors: bool,
    /// Also what Lambda says: starts, ends and reports of invocations
    #[arg(long)]
    platform: bool,
}

impl Options {
    pub fn follows(&self) -> bool {
        self.follow
    }
}

/// A time back from now, as people write it.
fn since(text: &str) -> Result<SignedDuration, String> {
    let since = text.parse::<SignedDuration>().map_err(|_| format!("{text} is not a time: write for instance 30s, 10m or 72h"))?;
    if since.is_positive() && since <= SINCE_MAX { Ok(since) } else { Err("it is not in 1s..=9600h, which are 400 days".to_owned()) }
}

/// A log group.
struct Source {
    function: String,
    group: String,
    /// The newest event that is known, and the earliest that is asked for again.
    newest: i64,
    from: i64,
    /// How often each event was printed that may come again. The engine's events have no id: an event is what it says, and when.
    printed: HashMap<String, u32>,
}

/// An event that is new.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    at: i64,
    function: String,
    message: String,
}

pub async fn run(repository: &Repository, options: &Options) -> Result<()> {
    let state = state::require(repository)?;
    let engine = state.engine();
    let mut sources = sources(repository, &engine, options).await?;
    let names_functions = sources.len() > 1;
    let mut is_silent = true;
    loop {
        let mut lines = Vec::new();
        let mut is_full = false;
        for source in &mut sources {
            is_full |= look(&engine, source, &mut lines).await?;
        }
        // Stable: events of one millisecond stay in their order.
        lines.sort_by_key(|line| line.at);
        for line in lines.iter().filter(|line| options.wants(line)) {
            is_silent = false;
            println!("{}", text(line, names_functions, width(&std::io::stdout())));
        }
        if is_full {
            continue;
        }
        if !options.follow {
            break;
        }
        tokio::time::sleep(POLL_EVERY).await;
    }
    if is_silent {
        let which = if options.is_choosy() { "nothing of what was asked for" } else { "nothing yet" };
        eprintln!("{}", dim(&format!("They have logged {which}.")));
    }
    Ok(())
}

async fn sources(repository: &Repository, engine: &Engine, options: &Options) -> Result<Vec<Source>> {
    let all = repository.functions()?;
    let is_wanted = |name: &&String| {
        options.functions.is_empty() || options.functions.iter().any(|wanted| wanted == *name || *wanted == logical_id(name))
    };
    let from = options.since.map_or(0, |since| (operate::deployed::now() - since).as_millisecond());
    let functions = engine.functions().await?;
    let source = |function: &String| {
        let deployed = deployed(&functions, &logical_id(function))?;
        let usual = format!("/aws/lambda/{}", deployed["FunctionName"].as_str().unwrap_or_default());
        let group = deployed["LoggingConfig"]["LogGroup"].as_str().unwrap_or(&usual).to_owned();
        Ok(Source { function: function.clone(), group, newest: from, from, printed: HashMap::new() })
    };
    all.iter().filter(is_wanted).map(source).collect()
}

/// Adds what is new in a log group. Says whether there may be more at once.
async fn look(engine: &Engine, source: &mut Source, lines: &mut Vec<Line>) -> Result<bool> {
    let (mut token, mut count) = (None, 0);
    let mut said: HashMap<String, u32> = HashMap::new();
    loop {
        let mut input = json!({"logGroupName": source.group, "startTime": source.from});
        if let Some(token) = token {
            input["nextToken"] = token;
        }
        let page = match engine.call("logs", "Logs_20140328.FilterLogEvents", &input).await {
            // It is made by the first invocation.
            Err(error) if format!("{error:#}").contains("ResourceNotFound") => Value::Null,
            page => page?,
        };
        for event in page["events"].as_array().into_iter().flatten() {
            count += 1;
            source.take(event, &mut said, lines);
        }
        token = page.get("nextToken").filter(|token| token.is_string()).cloned();
        if token.is_none() {
            break;
        }
    }
    let is_full = count >= PAGE_MAX;
    source.from = if is_full { source.newest } else { source.newest.saturating_sub(OVERLAP_MS).max(source.from) };
    source.printed = said;
    Ok(is_full)
}

impl Source {
    /// Takes an event that was not taken before.
    fn take(&mut self, event: &Value, said: &mut HashMap<String, u32>, lines: &mut Vec<Line>) {
        let at = event["timestamp"].as_i64().unwrap_or_default();
        let id = event.to_string();
        let times = said.entry(id.clone()).and_modify(|times| *times += 1).or_insert(1);
        self.newest = self.newest.max(at);
        if *times > self.printed.get(&id).copied().unwrap_or_default() {
            let message = event["message"].as_str().unwrap_or_default().trim_end().to_owned();
            lines.push(Line { at, function: self.function.clone(), message });
        }
    }
}

impl Options {
    fn is_choosy(&self) -> bool {
        self.errors || self.since.is_some() || self.order.is_some()
    }
    fn wants(&self, line: &Line) -> bool {
        let is_about = |order: &OrderId| line.message.contains(&order.to_string());
        (self.platform || !is_noise(&line.message)) && (!self.errors || is_error(&line.message)) && self.order.as_ref().is_none_or(is_about)
    }
}

/// Whether Lambda says it of an invocation that went its ordinary way, in text or as JSON
/// (<https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html>). A time-out or a crash is no noise.
fn is_noise(message: &str) -> bool {
    const BEGINNINGS: [&str; 5] = ["START RequestId:", "END RequestId:", "REPORT RequestId:", "INIT_START", "XRAY TraceId:"];
    if BEGINNINGS.iter().any(|beginning| message.starts_with(beginning)) {
        return !message.contains("Status: ");
    }
    let Ok(event) = serde_json::from_str::<Value>(message) else { return message.is_empty() };
    let is_platform = event["type"].as_str().is_some_and(|kind| kind.starts_with("platform."));
    is_platform && matches!(event["record"]["status"].as_str(), None | Some("success"))
}

/// Whether it is a warning or an error. What is no line of ours is one: a function logs nothing but JSON.
fn is_error(message: &str) -> bool {
    if is_noise(message) {
        return false;
    }
    match serde_json::from_str::<Value>(message) {
        Ok(event) => !matches!(event["level"].as_str(), Some("TRACE" | "DEBUG" | "INFO")),
        Err(_) => true,
    }
}

/// A line for a terminal of this width; without one, as it was logged.
fn text(line: &Line, names_function: bool, width: Option<usize>) -> String {
    let event: Option<serde_json::Map<String, Value>> = serde_json::from_str(&line.message).ok();
    match (event, width) {
        (Some(event), Some(_)) if event.contains_key("level") => readable(line, &event, names_function, width),
        (Some(_), None) if names_function => {
            // In front, so that the rest stays as it was logged.
            format!("{{\"function\":\"{}\",{}", line.function, line.message.trim_start().trim_start_matches('{'))
        }
        _ if names_function => format!("{}: {}", line.function, line.message),
        _ => line.message.clone(),
    }
}

fn readable(line: &Line, event: &serde_json::Map<String, Value>, names_function: bool, width: Option<usize>) -> String {
    let field = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let at = Timestamp::from_millisecond(line.at).map(|at| at.to_string()).unwrap_or_default();
    // Its own time where it says one: the engine gives all lines of an invocation that of its end.
    let at = if field("timestamp").is_empty() { at } else { field("timestamp").to_owned() };
    let clock: String = at.split('T').nth(1).unwrap_or_default().chars().take("20:28:03.083".len()).collect();
    let level = match field("level") {
        "INFO" | "DEBUG" | "TRACE" => dim(field("level")),
        level => red(level),
    };
    let mut parts = vec![dim(&clock), level];
    if names_function {
        parts.push(bold(&line.function));
    }
    parts.push(field("message").to_owned());
    let others = event.iter().filter(|(name, _)| !matches!(name.as_str(), "timestamp" | "level" | "message" | "target"));
    let others = others.filter(|(_, value)| !value.is_null() && *value != "");
    parts.extend(others.map(|(name, value)| {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{}{value}", dim(&format!("{name}=")))
    }));
    // What was logged commands no terminal.
    let plain = |part: &String| part.chars().filter(|c| !c.is_control() || *c == '\x1b').collect::<String>();
    wrapped(parts.iter().map(plain), " ", ["", "    "], width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use command_line::screen::columns;

    const DONE: &str = r#"{"timestamp":"2026-11-28T20:28:03.083006Z","level":"INFO","message":"message","order_id":"fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9","event_id":"fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9/order.placed.v1","attempt":1,"outcome":"done","target":"lambda_kit::batch"}"#;

    fn line(message: &str) -> Line {
        Line { at: 1_000, function: "payment".into(), message: message.into() }
    }

    fn options(errors: bool, order: Option<&str>) -> Options {
        let order = order.map(|id| id.parse().unwrap());
        Options { functions: vec![], follow: false, since: None, order, errors, platform: false }
    }

    #[test]
    fn what_lambda_says_of_each_invocation_is_left_out() {
        for noise in [
            "START RequestId: 1 Version: $LATEST",
            "END RequestId: 1",
            "REPORT RequestId: 1\tDuration: 3 ms",
            r#"{"time":"t","type":"platform.report","record":{"status":"success"}}"#,
            "",
        ] {
            assert!(is_noise(noise) && !is_error(noise), "{noise}");
            assert!(!options(false, None).wants(&line(noise)), "{noise}");
            assert!(Options { platform: true, ..options(false, None) }.wants(&line(noise)), "{noise}");
        }
    }

    #[test]
    fn a_time_out_and_a_crash_are_errors() {
        for error in [
            "2026-05-04T10:11:12Z 1 Task timed out after 60.00 seconds",
            "REPORT RequestId: 1\tStatus: timeout",
            r#"{"time":"t","type":"platform.report","record":{"status":"timeout"}}"#,
            r#"{"level":"ERROR","message":"panic"}"#,
            r#"{"level":"WARN","message":"slow"}"#,
        ] {
            assert!(is_error(error) && options(true, None).wants(&line(error)), "{error}");
        }
        assert!(!is_error(DONE));
    }

    #[test]
    fn one_orders_lines_are_told_from_others() {
        assert!(options(false, Some("fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9")).wants(&line(DONE)));
        assert!(!options(false, Some("ee3717c6-3e6f-58b0-ad82-7756503e0a32")).wants(&line(DONE)));
    }

    #[test]
    fn a_line_is_readable_on_a_terminal_and_whole_in_a_pipe() {
        let readable = text(&line(DONE), true, Some(80));
        assert!(readable.starts_with("20:28:03.083 INFO payment message attempt=1"), "{readable}");
        assert!(readable.lines().all(|line| columns(line) <= 80) && !readable.contains("target"), "{readable}");
        assert_eq!(text(&line(DONE), false, None), DONE);
        let named: Value = serde_json::from_str(&text(&line(DONE), true, None)).unwrap();
        assert_eq!((&named["function"], &named["attempt"]), (&json!("payment"), &json!(1)));
        assert_eq!(text(&line("Task timed out"), true, Some(80)), "payment: Task timed out");
    }

    #[test]
    fn an_event_is_printed_once_however_often_it_comes() {
        let mut source = Source { function: "payment".into(), group: "g".into(), newest: 0, from: 0, printed: HashMap::new() };
        let event = json!({"timestamp": 7, "message": "said"});
        let mut pass = |events: &[&Value]| {
            let (mut said, mut lines) = (HashMap::new(), Vec::new());
            events.iter().for_each(|event| source.take(event, &mut said, &mut lines));
            source.printed = said;
            lines.len()
        };
        assert_eq!([pass(&[&event]), pass(&[&event]), pass(&[&event, &event]), pass(&[&event, &event])], [1, 0, 1, 0]);
    }

    #[test]
    fn a_time_back_is_written_as_people_write_it() {
        assert_eq!(since("10m"), Ok(SignedDuration::from_mins(10)));
        assert_eq!(since("2h"), Ok(SignedDuration::from_hours(2)));
        let refusal = since("3d").unwrap_err();
        assert!(["30s", "10m", "72h"].iter().all(|example| refusal.contains(example) && since(example).is_ok()), "{refusal}");
        for bad in ["soon", "-5m", "0s", "10", "9999h"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }
}
