//! Whatever goes wrong, an alarm fires within half an hour: each fault of each function, played through.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "tests")]

use bench::{cases::cases, wiring::Wirings};
use drill::{
    alarm::{Alarm, alarms},
    faults::{Fault, faults, none},
    filter::filters,
    run::{End, Run, Subject, Twist, Work, beside},
    table::{AlarmsOfRun, OTHERS, Row, markdown, rows, told},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use template::{Template, workspace_root};

const fn work(function: &'static str, before: &'static [&'static str], sample: &'static str) -> Work {
    Work { function, before, sample, twist: Twist::None }
}

/// What functions are asked to do: enough that each permission is needed once. A consumer of events that is not here is asked what the
/// bench asks it, one event.
const WORK: &[Work] = &[
    work("order-intake", &[], "place-order"),
    work("order-intake", &[], "cancel-order"),
    work("order-status", &[], "read-order"),
    work("customer-signup", &[], "sign-up"),
    work("unsubscribe", &[], "one-click"),
    work("payment", &[], "order-placed"),
    work("payment", &["order-placed"], "order-shipped"),
    work("payment", &["order-placed"], "order-cancelled"),
    // Old, so that the record is looked up before the provider is called.
    Work { twist: Twist::Old, ..work("payment", &[], "order-cancelled") },
    work("inventory", &[], "order-placed"),
    // Looked at again until it is rejected.
    Work { twist: Twist::SoldOut, ..work("inventory", &[], "order-placed") },
    work("inventory", &["order-placed"], "order-shipped"),
    work("inventory", &["order-placed"], "order-cancelled"),
    work("shipping", &[], "payment-authorized"),
    work("shipping", &["payment-authorized"], "inventory-reserved"),
    work("order-email", &[], "payment-authorized"),
    // Nobody has paid for it.
    work("order-email", &[], "order-cancelled"),
    work("email-feedback", &[], "bounce-permanent"),
    work("email-inbound", &[], "reply-to-cancel"),
    // What is not understood is forwarded.
    Work { twist: Twist::Foreign, ..work("email-inbound", &[], "reply-to-cancel") },
    work("email-campaign", &[], "start-campaign"),
    work("dlq-inspector", &[], "digest"),
    // Its answers are seen by the person who sent the command: it only dies.
    work("operator", &[], ""),
];

/// What is wrong and hurts nobody: the function does its work all the same.
const HARMLESS: &[(&str, &str)] = &[];

/// What no work of the drill meets: function, how the fault begins, why.
const NOT_MET: &[(&str, &str, &str)] = &[
    ("order-intake", "denied: dynamodb:GetItem on OrdersTable", "asked where a cancel request finds nothing, which is a caller's mistake"),
    ("dlq-inspector", "denied: sqs:", ONLY_DEAD_LETTERS),
    ("dlq-inspector", "denied: sns:", ONLY_DEAD_LETTERS),
    ("dlq-inspector", "denied: kms:", ONLY_DEAD_LETTERS),
    ("dlq-inspector", "denied: logs:", ONLY_DEAD_LETTERS),
    ("dlq-inspector", "denied: s3:PutObject", ONLY_DEAD_LETTERS),
    ("dlq-inspector", "CloudWatch Logs", ONLY_DEAD_LETTERS),
    ("dlq-inspector", "the topic ", ONLY_DEAD_LETTERS),
];
const ONLY_DEAD_LETTERS: &str =
    "a digest asks for it once it has found dead letters, of which an alarm of their queue has told; who commands, sees the refusal";

/// Where the table stands.
const PAGE: &str = "docs/operations.md";
const BEGIN: &str = "<!-- the alarm drill: begin -->\n";
const END: &str = "<!-- the alarm drill: end -->\n";
/// Set to anything, it has the table written anew.
const WRITE: &str = "DRILL_WRITE";

struct Job<'a> {
    subject: Subject<'a>,
    work: Work,
    fault: Fault,
}

/// Plays every job, on as many threads as there are processors: each run has a time of its own.
fn play(jobs: &[Job<'_>], template: &Template) -> Vec<Run> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut runs = vec![];
        while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut run = job.subject.run(job.work, &job.fault).unwrap();
            for (metric, minute) in beside(template, job.subject.name) {
                run.metrics.put(metric, minute, 1);
            }
            runs.push(run);
        }
        runs
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..thread::available_parallelism().map_or(1, usize::from)).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// What a function is asked to do.
fn works(name: &str) -> Vec<Work> {
    let listed: Vec<_> = WORK.iter().copied().filter(|work| work.function == name).collect();
    let usual = cases().iter().filter(|case| case.function == name && listed.is_empty()).map(|case| work(case.function, &[], case.sample));
    [listed.clone(), usual.collect()].concat()
}

fn runs_of(template: &Template, of: impl Fn(&template::Resource<'_>) -> Vec<Fault>) -> Vec<Run> {
    let wirings = Wirings::read("https://api.stripe.com".to_owned()).unwrap();
    let functions: Vec<_> = template.functions().collect();
    let names: Vec<_> = functions.iter().map(|it| it.body["Metadata"]["BuildProperties"]["Binary"].as_str().unwrap()).collect();
    let wired: Vec<_> = names.iter().map(|name| wirings.of(name).unwrap()).collect();
    let mut jobs = vec![];
    for ((function, name), wiring) in functions.iter().zip(&names).zip(&wired) {
        let subject = Subject { template, function: *function, name, wiring };
        let works = works(name);
        assert!(!works.is_empty(), "{name}: the drill has no work for it; see WORK in tests/drill/tests/alarm_drill.rs");
        for fault in of(function) {
            jobs.extend(works.iter().map(|work| Job { subject, work: *work, fault: fault.clone() }));
        }
    }
    play(&jobs, template)
}

/// Every run, played once for all tests.
fn all() -> &'static (Template, Vec<Run>) {
    static ALL: OnceLock<(Template, Vec<Run>)> = OnceLock::new();
    ALL.get_or_init(|| {
        let template = Template::read().unwrap();
        let runs = runs_of(&template, |function| faults(&template, function).unwrap());
        (template, runs)
    })
}

/// Whom each run told in which something failed.
fn all_told() -> &'static [AlarmsOfRun] {
    static TOLD: OnceLock<Vec<AlarmsOfRun>> = OnceLock::new();
    TOLD.get_or_init(|| {
        let (template, runs) = all();
        let (alarms, filters) = (alarms(template).unwrap(), filters(template).unwrap());
        let failed = runs.iter().filter(|run| run.end == End::Failed);
        let told =
            |run: &Run| AlarmsOfRun { fault: run.fault.clone(), function: run.function.clone(), alarms: told(run, &alarms, &filters) };
        failed.map(told).collect()
    })
}

/// The table that the alarms of a template make.
fn table(template: &Template) -> Vec<Row> {
    let there: BTreeSet<_> = alarms(template).unwrap().into_iter().map(|alarm| alarm.id).collect();
    rows(all_told(), |alarm| there.contains(alarm))
}

#[test]
fn every_failure_raises_an_alarm_within_half_an_hour() {
    let (template, _) = all();
    let untold: Vec<_> = table(template).into_iter().filter(|row| row.told.is_none()).map(|row| (row.function, row.fault)).collect();
    assert!(untold.is_empty(), "nobody is told: {untold:#?}");
}

#[test]
fn every_fault_is_met_and_only_the_listed_are_harmless() {
    let pairs = |end: End| -> BTreeSet<(&str, &str)> {
        all().1.iter().filter(|run| run.end == end).map(|run| (run.function.as_str(), run.fault.as_str())).collect()
    };
    let (failed, done) = (pairs(End::Failed), pairs(End::Done));
    let met: BTreeSet<_> = failed.union(&done).copied().collect();
    let listed =
        |(function, fault): &(&str, &str)| NOT_MET.iter().any(|(listed, begins, _)| function == listed && fault.starts_with(begins));
    let (listed, not_met): (Vec<_>, Vec<_>) = pairs(End::NotMet).difference(&met).copied().partition(listed);
    assert!(not_met.is_empty(), "no work meets them: {not_met:#?}");
    for (function, begins, why) in NOT_MET {
        assert!(listed.iter().any(|(it, fault)| it == function && fault.starts_with(begins)), "{function}: {begins} is met now ({why})");
    }
    let harmless: BTreeSet<_> = done.difference(&failed).copied().collect();
    assert_eq!(harmless, HARMLESS.iter().copied().collect());
}

#[test]
fn no_alarm_goes_off_where_nothing_fails() {
    let template = Template::read().unwrap();
    let (alarms, filters) = (alarms(&template).unwrap(), filters(&template).unwrap());
    for run in runs_of(&template, |_| vec![none()]) {
        assert_eq!(run.end, End::Done, "{} {}: {:?}", run.function, run.sample, run.lines);
        assert_eq!(told(&run, &alarms, &filters), [], "{} {}", run.function, run.sample);
    }
}

#[test]
fn without_any_alarm_of_the_table_the_table_is_another() {
    let (template, _) = all();
    let whole = table(template);
    let named: BTreeSet<_> = whole.iter().filter_map(|row| row.told.as_ref().map(|(alarm, _)| alarm.clone())).collect();
    assert!(named.len() > 10, "{named:?}");
    for alarm in &named {
        let other = table(&template.without(alarm).unwrap());
        assert_ne!(other, whole, "without {alarm}");
    }
}

#[test]
fn every_alarm_is_drilled_or_listed_with_its_reason() {
    let (template, _) = all();
    let alarms = alarms(template).unwrap();
    let goes_off = |alarm: &Alarm| all_told().iter().any(|run| run.alarms.iter().any(|(id, _)| *id == alarm.id));
    let never: BTreeSet<_> = alarms.iter().filter(|alarm| !goes_off(alarm)).map(|alarm| alarm.id.as_str()).collect();
    assert_eq!(never, BACKUPS.iter().map(|(id, _)| *id).collect());
}

/// Alarms that fire in no run.
const BACKUPS: &[(&str, &str)] = &[
    ("OrderDeadlineAgeAlarm", "an age of days, behind the alarms that look at minutes"),
    ("RenderingFailureAlarm", "SES tells of it by an event, and nothing fails"),
];

#[test]
fn the_table_in_the_runbook_is_what_the_drill_finds() {
    let (template, _) = all();
    let rows = table(template);
    let found = markdown(&rows, template);
    let path = workspace_root().join(PAGE);
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (stands, after) = rest.split_once(END).unwrap();
    if env::var_os(WRITE).is_some() {
        fs::write(&path, format!("{before}{BEGIN}\n{found}\n{END}{after}")).unwrap();
        return;
    }
    let (stands, found) = (cells(stands, &rows, template), cells(&found, &rows, template));
    let keys = |table: &BTreeMap<(String, String, String), i64>| table.keys().cloned().collect::<BTreeSet<_>>();
    let again = format!("{WRITE}=1 cargo test --workspace --test alarm_drill writes it anew");
    assert_eq!(keys(&stands), keys(&found), "{again}");
    // The SDK's jitter is not the drill's to draw, and moves a minute's border.
    let moved: Vec<_> = found.iter().filter(|(key, minutes)| (stands[*key] - **minutes).abs() > 1).collect();
    assert!(moved.is_empty(), "{moved:?}; {again}");
}

/// Minutes by fault, function and alarm, as a table in Markdown says it of these rows.
fn cells(table: &str, rows: &[Row], template: &Template) -> BTreeMap<(String, String, String), i64> {
    let lines = table.lines().filter(|line| line.starts_with("| ")).skip(1).map(|line| {
        let [fault, functions, alarm, minutes] = line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            panic!("not a row: {line}")
        };
        (fault, functions.split(", ").collect::<Vec<_>>(), alarm, minutes.parse().unwrap())
    });
    let lines: Vec<_> = lines.collect();
    let consumers: BTreeSet<_> = template.sources().filter_map(|source| source.function.folder()).collect();
    let mut cells = BTreeMap::new();
    for (fault, functions, alarm, minutes) in &lines {
        let is_named = |function: &str| lines.iter().any(|(other, named, ..)| other == fault && named.contains(&function));
        let others = rows.iter().filter(|row| row.fault == *fault && consumers.contains(&*row.function) && !is_named(&row.function));
        let others = others.map(|row| &*row.function).filter(|_| functions.contains(&OTHERS));
        let functions: Vec<_> = functions.iter().copied().filter(|it| *it != OTHERS).chain(others).collect();
        cells.extend(functions.into_iter().map(|function| (((*fault).to_owned(), function.to_owned(), (*alarm).to_owned()), *minutes)));
    }
    cells
}
