//! One function under one fault, for as long as it may take until somebody is told.
//!
//! It plays Lambda: the event source mapping, the HTTP API, the schedule; and writes down what CloudWatch would know.

use crate::{
    LIMIT_MINUTES,
    alarm::DELAY_MINUTES,
    cloud::StubCloud,
    faults::{Fault, Kind},
    metrics::{Metric, Metrics},
    queue::Queue,
    wiring::{Drill, Handler, Outcome, deadline, wire},
};
use anyhow::{Context as _, Result, ensure};
use bench::{
    aws::SOLD_OUT,
    cases::{Case, Sample},
    wiring::{Wiring, table_keys},
};
use jiff::SignedDuration;
use lambda_kit::{Ambient as _, Real, telemetry};
use serde_json::{Value, json};
use std::{
    io,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use template::{Resource, Template, entries, target};
use tokio::time::{Instant, sleep_until};
use tracing::{Level, instrument::WithSubscriber as _};
use tracing_subscriber::fmt::MakeWriter;

/// How long a run goes on after the fault is first felt: what fires in the last minute is still in time.
const MINUTES: i64 = LIMIT_MINUTES + 1 - DELAY_MINUTES;
/// How many requests come in at each HTTP function. An API that is asked less often than this is not watched by counting.
pub const REQUESTS_PER_MINUTE: u32 = 2;
/// For how many minutes: the alarm on answers looks back five.
const REQUEST_MINUTES: u32 = 10;
/// How long a process that dies takes to do so.
const DYING: Duration = Duration::from_secs(1);
/// When Lambda tries an asynchronous invocation that failed again, after the one before
/// (<https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>).
const ASYNC_RETRIES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(120)];
/// How far a run knows what was before: as far back as an alarm looks.
const BEFORE_MINUTES: i64 = 180;
const MINUTE: Duration = Duration::from_secs(60);

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The function's folder.
    pub function: String,
    /// The fault's name.
    pub fault: String,
    /// What it was asked to do.
    pub sample: String,
    /// What the services counted.
    pub metrics: Metrics,
    /// What the functions logged, with the log group and the minute.
    pub lines: Vec<(String, i64, Value)>,
    /// The outcome of the work.
    pub end: End,
    /// A key that no alarm can be encrypted with during that time.
    pub breaks: Option<String>,
}

/// The outcome of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The fault was not met.
    NotMet,
    /// It was met, and the work was done all the same.
    Done,
    /// The work was not done.
    Failed,
}

/// What is written down while a run goes on. Clones are the same one.
#[derive(Debug, Clone)]
struct Recorder {
    felt: Instant,
    metrics: Arc<Mutex<Metrics>>,
    lines: Arc<Mutex<Vec<(i64, Value)>>>,
}

impl Recorder {
    fn minute(&self) -> i64 {
        let now = Instant::now();
        let minutes = |time: Duration| i64::try_from(time.as_secs() / 60).unwrap_or(i64::MAX);
        if now < self.felt { -1 - minutes(self.felt - now) } else { minutes(now - self.felt) }
    }
    fn count(&self, metric: Metric) {
        lock(&self.metrics).put(metric, self.minute(), 1);
    }
}

impl io::Write for Recorder {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A line is written in one piece.
        let line = serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()));
        lock(&self.lines).push((self.minute(), line));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl MakeWriter<'_> for Recorder {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a function is asked to do: its sample, and what it has done for the same order before.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// The function's folder.
    pub function: &'static str,
    /// Samples that went well before.
    pub before: &'static [&'static str],
    /// The sample that meets the fault.
    pub sample: &'static str,
    /// What is not as it mostly is.
    pub twist: Twist,
}

/// A SKU that every sample of an order has.
const GOODS: &str = "MUG-BLUE";

/// What is not as it mostly is with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twist {
    /// Nothing.
    None,
    /// It is a day old, as one is that waited.
    Old,
    /// The mail is from another mailbox than the order.
    Foreign,
    /// It is about goods of which there are none.
    SoldOut,
}

impl Work {
    fn case(&self) -> Case {
        // Every mail that the bench's bucket holds is from one mailbox.
        let same_mailbox = self.function == "email-inbound" && self.twist != Twist::Foreign;
        Case { same_mailbox, ..Case::of(self.function, self.sample) }
    }
}

/// A function of the template with what a run needs of it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The template.
    pub template: &'a Template,
    /// The function.
    pub function: Resource<'a>,
    /// Its folder.
    pub name: &'a str,
    /// Its environment and time-out.
    pub wiring: &'a Wiring,
}

impl Subject<'_> {
    /// Runs it under a fault, alone with its message, in a time of its own.
    ///
    /// # Errors
    /// The drill cannot play what it meets.
    pub fn run(&self, work: Work, fault: &Fault) -> Result<Run> {
        // The SDK draws its jitter from this.
        fastrand::seed(7);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        runtime.block_on(self.play(work, fault)).with_context(|| format!("{} under {}", work.function, fault.name))
    }

    async fn play(&self, work: Work, fault: &Fault) -> Result<Run> {
        let resolve = |value: &Value| {
            let default = || self.template.at("/Parameters").get(value["Ref"].as_str()?)?["Default"].as_u64();
            value.as_u64().or_else(default)
        };
        let source = self.template.sources().find(|source| source.function.id == self.function.id);
        let queue = match &source {
            Some(source) => Some(Queue::new(source, resolve).context("its queue cannot be read")?),
            None => None,
        };
        let delay = queue.as_ref().map(Queue::delay).unwrap_or_default();
        let cloud = StubCloud::new(table_keys()?, queue);
        let began = Real.now();
        let is_commanded = entries(self.function.at("/Events")).next().is_none();
        let handler: Handler = if is_commanded {
            // Its handler is not drilled: the person who asked sees what it answers.
            Rc::new(|_, _| Box::pin(async { Outcome::Done }))
        } else {
            wire(self.name, &self.wiring.environment, &cloud, Drill::new(began))?
        };
        let recorder = Recorder { felt: Instant::now() + delay, metrics: Arc::default(), lines: Arc::default() };

        let case = work.case();
        for sample in work.before {
            let event = Sample::read(case, sample)?.invocation(1..2, began);
            let outcome = handler(event, deadline(self.wiring.timeout)).await;
            ensure!(matches!(&outcome, Outcome::Batch(failed) if failed.is_empty()), "{sample}: {outcome:?}");
        }
        ensure!(cloud.unknown().is_empty(), "{:?}", cloud.unknown());
        let event = if is_commanded {
            Value::Null
        } else {
            let age = SignedDuration::from_hours(if work.twist == Twist::Old { 24 } else { 0 });
            let event = Sample::read(case, work.sample)?.invocation(1..2, began.checked_sub(age)?);
            match work.twist {
                Twist::SoldOut => serde_json::from_str(&event.to_string().replace(GOODS, SOLD_OUT))?,
                _ => event,
            }
        };

        let (calls, is_poison) = match &fault.kind {
            Kind::Calls(calls) | Kind::Order(calls) => (calls.clone(), false),
            Kind::Poison(calls) => (calls.clone(), true),
            _ => (vec![], false),
        };
        cloud.goes_wrong(&calls);
        let stage = Stage { subject: self, cloud: &cloud, handler, recorder: &recorder, kind: &fault.kind };
        // What is not logged is not counted.
        let level = self.function.at("/LoggingConfig/ApplicationLogLevel").as_str().and_then(|level| level.parse::<Level>().ok());
        let subscriber = telemetry::subscriber(level.context("no ApplicationLogLevel")?, recorder.clone());
        let ended = match source {
            Some(source) => {
                let body = event["Records"][0]["body"].as_str().unwrap_or_default();
                let body = if is_poison { "{\"specversion\":" } else { body };
                let size = source.mapping["BatchSize"].as_u64().and_then(|size| usize::try_from(size).ok()).unwrap_or(1);
                stage.queued(body, &event["Records"][0]["attributes"]["MessageGroupId"], size).with_subscriber(subscriber).await
            }
            None if is_commanded && stage.invoke(event.clone()).await == Outcome::Done => End::Done,
            None if is_commanded => End::Failed,
            None if event["requestContext"].is_object() => stage.asked(&event, work).with_subscriber(subscriber).await,
            None => stage.scheduled(&event).with_subscriber(subscriber).await,
        };
        ensure!(cloud.unknown().is_empty(), "{:?}", cloud.unknown());
        let met = calls.is_empty() || cloud.failed() > 0;
        let end = match &fault.kind {
            _ if !met => End::NotMet,
            Kind::Order(_) => End::Failed,
            _ => ended,
        };
        let group = target(self.function.at("/LoggingConfig/LogGroup")).unwrap_or_default().to_owned();
        let lines = lock(&recorder.lines).iter().map(|(minute, line)| (group.clone(), *minute, line.clone())).collect();
        let metrics = lock(&recorder.metrics).clone();
        let (function, sample) = (self.name.to_owned(), work.sample.to_owned());
        Ok(Run { function, fault: fault.name.clone(), sample, metrics, lines, end, breaks: fault.breaks.clone() })
    }
}

struct Stage<'a> {
    subject: &'a Subject<'a>,
    cloud: &'a StubCloud,
    handler: Handler,
    recorder: &'a Recorder,
    kind: &'a Kind,
}

impl Stage<'_> {
    fn end(&self) -> Instant {
        self.recorder.felt + MINUTE * u32::try_from(MINUTES).unwrap_or(0)
    }

    fn of_function(&self, name: &str) -> Metric {
        Metric::new("AWS/Lambda", name, self.subject.function.id)
    }

    /// One invocation, and what Lambda counts.
    async fn invoke(&self, event: Value) -> Outcome {
        match self.kind {
            Kind::Throttled => {
                self.recorder.count(self.of_function("Throttles"));
                // And with those of all functions (<https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-view.html>).
                self.recorder.count(Metric::whole("AWS/Lambda", "Throttles"));
                return Outcome::Error;
            }
            Kind::DiesAtStart => tokio::time::sleep(DYING).await,
            Kind::RunsOutOfTime => tokio::time::sleep(self.subject.wiring.timeout).await,
            _ => {
                let outcome = (self.handler)(event, deadline(self.subject.wiring.timeout)).await;
                self.recorder.count(self.of_function("Invocations"));
                if outcome == Outcome::Error {
                    self.recorder.count(self.of_function("Errors"));
                }
                return outcome;
            }
        }
        self.recorder.count(self.of_function("Invocations"));
        self.recorder.count(self.of_function("Errors"));
        Outcome::Error
    }

    /// A message comes in, and Lambda asks for it again and again.
    async fn queued(&self, body: &str, group: &Value, size: usize) -> End {
        let undelivered = match self.kind {
            Kind::NotDelivered => Some(true),
            Kind::NotDeliveredNorKept => Some(false),
            _ => None,
        };
        if let Some(is_kept) = undelivered {
            return self.undelivered(is_kept).await;
        }
        self.cloud.with_queue(|queue| queue.send(queue.record(body, group.as_str()), None));
        tokio::join!(self.sample(), self.consume(size));
        let is_done = self.cloud.with_queue(|queue| queue.is_empty() && queue.dead == 0) == Some(true);
        // A message that waits for its next check has been handled.
        let last = lock(&self.recorder.lines).iter().rev().find_map(|(_, line)| line["outcome"].as_str().map(str::to_owned));
        let waits = last.is_some_and(|outcome| outcome == "look_again" || outcome == "waiting");
        if is_done || (waits && matches!(self.kind, Kind::Calls(_))) { End::Done } else { End::Failed }
    }

    async fn consume(&self, size: usize) {
        loop {
            let never_comes = matches!(self.kind, Kind::Paused | Kind::CannotReceive);
            let records = if never_comes { vec![] } else { self.cloud.with_queue(|queue| queue.receive(size)).unwrap_or_default() };
            if records.is_empty() {
                let next = self.cloud.with_queue(|queue| queue.next()).flatten();
                match next.filter(|next| *next < self.end() && !never_comes) {
                    Some(next) => sleep_until(next.max(Instant::now() + Duration::from_millis(1))).await,
                    None => return,
                }
                continue;
            }
            let ids: Vec<_> = records.iter().map(|record| (text(&record["messageId"]), text(&record["receiptHandle"]))).collect();
            let outcome = self.invoke(json!({ "Records": records })).await;
            let acknowledged: Vec<_> = match outcome {
                Outcome::Batch(failed) => ids.into_iter().filter(|(id, _)| !failed.contains(id)).map(|(_, receipt)| receipt).collect(),
                _ => vec![],
            };
            if !matches!(self.kind, Kind::CannotDelete) {
                self.cloud.with_queue(|queue| queue.delete(&acknowledged));
            }
        }
    }

    /// Looks at the queue at the end of each minute.
    async fn sample(&self) {
        // Before, nothing was visible in it.
        for minute in -BEFORE_MINUTES..0 {
            self.cloud.with_queue(|queue| queue.sample_empty(&mut lock(&self.recorder.metrics), minute));
        }
        for minute in 0..MINUTES {
            sleep_until(self.recorder.felt + MINUTE * u32::try_from(minute + 1).unwrap_or(0) - Duration::from_millis(1)).await;
            self.cloud.with_queue(|queue| queue.sample(&mut lock(&self.recorder.metrics), minute));
        }
    }

    /// A refusal is a client-side error, which SNS does not retry: the message goes to the subscription's dead-letter queue
    /// (<https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html>), and to nowhere where that refuses it too; both are
    /// counted by topic (<https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html>).
    async fn undelivered(&self, is_kept: bool) -> End {
        let template = self.subject.template;
        let queue = self.cloud.with_queue(|queue| queue.id.clone()).unwrap_or_default();
        sleep_until(self.recorder.felt).await;
        let ours = template.subscriptions().filter(|it| target(it.at("/Endpoint")) == Some(queue.as_str()));
        for subscription in ours {
            let topic = target(subscription.at("/TopicArn")).unwrap_or_default();
            self.recorder.count(Metric::new("AWS/SNS", "NumberOfNotificationsFailed", topic));
            if is_kept {
                self.recorder.count(Metric::new("AWS/SNS", "NumberOfNotificationsRedrivenToDlq", topic));
                let dead_letters = target(subscription.at("/RedrivePolicy/deadLetterTargetArn")).unwrap_or_default();
                for minute in 0..MINUTES {
                    lock(&self.recorder.metrics).put(Metric::new("AWS/SQS", "ApproximateNumberOfMessagesVisible", dead_letters), minute, 1);
                }
            } else {
                self.recorder.count(Metric::new("AWS/SNS", "NumberOfNotificationsFailedToRedriveToDlq", topic));
            }
        }
        End::Failed
    }

    /// Requests come in over HTTP, each of another caller.
    async fn asked(&self, first: &Value, work: Work) -> End {
        let api =
            entries(self.subject.function.at("/Events")).find_map(|(_, event)| target(&event["Properties"]["ApiId"])).unwrap_or_default();
        let mut failed = 0;
        for number in 0..REQUESTS_PER_MINUTE * REQUEST_MINUTES {
            sleep_until(self.recorder.felt + MINUTE * number / REQUESTS_PER_MINUTE).await;
            let case = work.case();
            let numbers = u64::from(number) + 1..u64::from(number) + 2;
            // Links are signed: they stay as they are.
            let event = if work.function == "unsubscribe" {
                first.clone()
            } else {
                Sample::read(case, work.sample).map_or_else(|_| first.clone(), |sample| sample.invocation(numbers, Real.now()))
            };
            // What is no answer, or none in time, is answered 5xx
            // (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html>).
            let status = match self.invoke(event).await {
                Outcome::Status(status) => status,
                _ => 500,
            };
            if status >= 500 {
                failed += 1;
                self.recorder.count(Metric::new("AWS/ApiGateway", "5xx", api));
            }
        }
        if failed == 0 { End::Done } else { End::Failed }
    }

    /// The schedule comes. Runs before went well.
    async fn scheduled(&self, event: &Value) -> End {
        let every = i64::try_from(schedule(&self.subject.function).as_secs() / 60).unwrap_or(60);
        for before in (1..).map(|before| before * every).take_while(|before| *before <= BEFORE_MINUTES) {
            lock(&self.recorder.metrics).put(self.of_function("Invocations"), -before, 1);
        }
        let mut ended = End::Failed;
        if matches!(self.kind, Kind::Paused) {
            return ended;
        }
        let mut minute = 0;
        while minute < MINUTES {
            sleep_until(self.recorder.felt + MINUTE * u32::try_from(minute).unwrap_or(0)).await;
            for wait in std::iter::once(Duration::ZERO).chain(ASYNC_RETRIES) {
                tokio::time::sleep(wait).await;
                if self.invoke(event.clone()).await == Outcome::Done {
                    ended = End::Done;
                    break;
                }
            }
            minute += every;
        }
        ended
    }
}

/// What the functions with a schedule count while nothing is wrong with them.
pub fn beside(template: &Template, function: &str) -> Vec<(Metric, i64)> {
    let by_schedule = |it: &Resource<'_>| entries(it.at("/Events")).any(|(_, event)| event["Type"] == "Schedule");
    let others = template.functions().filter(by_schedule).filter(|it| it.body["Metadata"]["BuildProperties"]["Binary"] != function);
    let times = |it: Resource<'_>| {
        let every = i64::try_from(schedule(&it).as_secs() / 60).unwrap_or(60).max(1);
        let first = -BEFORE_MINUTES / every;
        let id = it.id.to_owned();
        (first..=MINUTES / every).map(move |n| (Metric::new("AWS/Lambda", "Invocations", &id), n * every))
    };
    others.flat_map(times).collect()
}

/// How often a function is invoked by its schedule; each hour where it has none.
pub fn schedule(function: &Resource<'_>) -> Duration {
    let rate = entries(function.at("/Events")).find_map(|(_, event)| event["Properties"]["Schedule"].as_str());
    let number = rate.and_then(|rate| rate.strip_prefix("rate(")?.split(' ').next()?.parse::<u64>().ok()).unwrap_or(1);
    let is_hours = rate.is_none_or(|rate| rate.contains("hour"));
    Duration::from_secs(number * if is_hours { 3600 } else { 60 })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
