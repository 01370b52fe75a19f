//! `fuzz`: libFuzzer over every parser of what comes from outside, by the pinned stable compiler. The coverage that it steers by
//! is a pass of LLVM's own (`tests/fuzz/instrument.sh`); only this workspace's packages are built again for it.
//! What it finds stays under `target/`: only `--keep` changes the committed corpus.

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use console::machine::{Repository, answers, missing, require_cargo};
use console::processes::{Group, cargo};
use console::progress::{Progress, log_of};
use serde_json::Value;
use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::Command;

/// How long the step of `test` runs each target: it starts from the corpus, so that it finds what an edit has just broken.
const SHORT: Duration = Duration::from_secs(3);
/// The longest that one input may take. A batch of the largest takes milliseconds.
const INPUT_LIMIT_S: u64 = 10;
/// Largest input, in bytes: past the 64 KiB that intake reads of a body.
const INPUT_BYTES_MAX: usize = 100_000;

/// A week of each target; what it found is kept, so that the next run goes on.
const SECONDS_MAX: u64 = 7 * 86_400;

#[derive(clap::Args)]
pub struct Options {
    /// These targets alone; all of them if none is named
    #[arg(value_enum)]
    targets: Vec<Target>,
    /// How long each target runs
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// Add what covers more than the committed corpus does to it
    #[arg(long)]
    keep: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
#[value(rename_all = "snake_case")]
enum Target {
    /// The event envelope: any text as a message's body
    Envelope,
    /// An SQS event as Lambda hands it over: any JSON
    SqsEvent,
    /// A batch built field by field, with faults around it
    Batch,
    /// The body of `POST /orders`: any bytes
    IntakeBody,
    /// The body of `POST /customers`: any bytes
    SignupBody,
    /// A request as Lambda hands it to order-intake: any JSON
    IntakeEvent,
    /// A mail as SES stores it: any bytes
    Mail,
}

impl Target {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Runs the chosen targets.
pub async fn run(repository: &Repository, options: Options, progress: &mut Progress) -> Result<()> {
    require_cargo()?;
    if let Err(why) = compiler() {
        return missing(format!("{why}: install g++ (Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++)."));
    }
    let targets = if options.targets.is_empty() { Target::value_variants() } else { &options.targets };
    let fuzz = Fuzz::build(repository, progress).await?;
    for target in targets {
        fuzz.run(*target, Duration::from_secs(options.seconds), progress).await?;
        if options.keep {
            fuzz.keep(*target, progress).await?;
        }
    }
    Ok(())
}

/// Whether libFuzzer, which is C++, can be built here; if not, why.
pub fn compiler() -> Result<(), String> {
    if answers("c++", "--version") { Ok(()) } else { Err("no C++ compiler was found, and libFuzzer needs one".to_owned()) }
}

/// A few seconds of every target, for the list of checks; ask [`compiler`] first.
pub async fn short(repository: &Repository, progress: &mut Progress) -> Result<()> {
    let fuzz = Fuzz::build(repository, progress).await?;
    for target in Target::value_variants() {
        fuzz.run(*target, SHORT, progress).await?;
    }
    Ok(())
}

struct Fuzz<'a> {
    repository: &'a Repository,
}

impl<'a> Fuzz<'a> {
    async fn build(repository: &'a Repository, progress: &mut Progress) -> Result<Self> {
        // Of the whole workspace, as the tests are built: one package alone gets other features.
        let mut cargo = cargo(&repository.root, &["build", "--workspace", "--features", "fuzz/libfuzzer"]);
        for target in Target::value_variants() {
            cargo.args(["--bin", &target.name()]);
        }
        // In front of the compiler for this workspace's packages alone, and cargo keeps what comes of it apart from what the
        // tests built: nothing else is built twice.
        cargo.env("RUSTC_WORKSPACE_WRAPPER", repository.root.join("tests/fuzz/instrument.sh"));
        let fuzz = Self { repository };
        progress.run("Build the fuzz targets", cargo, &log_of(&fuzz.folder(), "build"), repository).await?;
        fuzz.seed()?;
        Ok(fuzz)
    }

    /// Everything that fuzzing writes, but for what cargo builds and `--keep` keeps.
    fn folder(&self) -> PathBuf {
        self.repository.local().join("fuzz")
    }
    fn of(&self, what: &str, target: &str) -> Result<PathBuf> {
        let folder = self.folder().join(what).join(target);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }
    fn committed(&self, target: &str) -> PathBuf {
        self.repository.root.join("tests/fuzz/corpus").join(target)
    }
    fn program(&self, target: &str) -> PathBuf {
        self.repository.root.join("target/debug").join(target)
    }

    /// The sample events as seeds: of every kind of input a few good ones, which are always those of today.
    fn seed(&self) -> Result<()> {
        for function in self.repository.functions()? {
            let Ok(samples) = std::fs::read_dir(self.repository.root.join("events").join(&function)) else { continue };
            for sample in samples {
                let path = sample?.path();
                let text = std::fs::read_to_string(&path)?;
                let event: Value = serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
                let name = format!("{function}-{}", path.file_stem().unwrap_or_default().to_string_lossy());
                for (place, (target, seed)) in seeds(&event).into_iter().enumerate() {
                    std::fs::write(self.of("seeds", target)?.join(format!("{name}-{place}")), seed)?;
                }
            }
        }
        Ok(())
    }

    async fn run(&self, target: Target, time: Duration, progress: &mut Progress) -> Result<()> {
        let name = target.name();
        let mut command = Command::new(self.program(&name));
        // What is new goes to the first folder.
        command
            .arg(self.of("found", &name)?)
            .arg(self.of("seeds", &name)?)
            .args(Some(self.committed(&name)).filter(|folder| folder.is_dir()));
        command.arg(format!("-max_total_time={}", time.as_secs())).arg(format!("-timeout={INPUT_LIMIT_S}"));
        command.arg(format!("-max_len={INPUT_BYTES_MAX}")).arg("-print_final_stats=1");
        command.arg(format!("-artifact_prefix={}/", self.of("crashes", &name)?.display()));
        let output = RefCell::new(String::new());
        let work = async {
            let (status, said) = self.finish(command, &name).await?;
            output.replace(said);
            Ok(status)
        };
        let status = progress.watch(&format!("Fuzz {name}"), || summary(&output.borrow()), work).await?;
        let output = output.into_inner();
        if status.success() {
            return Ok(());
        }
        let log = log_of(&self.folder(), &name);
        let Some(input) = after(&output, "Test unit written to ") else {
            bail!("the target {name} ended with {status} and left no input. Its full output is in {}", self.repository.shown(&log));
        };
        let (program, input) = (self.program(&name), Path::new(input));
        let (program, input, log) = (self.repository.shown(&program), self.repository.shown(input), self.repository.shown(&log));
        bail!(
            "an input fails {name}: {}\n  replay it  {program} {input}\n  keep it    cp {input} tests/fuzz/corpus/{name}/   (every test run replays \
             what lies there)\n  all it said is in {log}",
            panic(&output),
        )
    }

    /// Adds to the committed corpus what covers more than it does: as few of what was found and of the samples as reach all that
    /// they reach together.
    async fn keep(&self, target: Target, progress: &mut Progress) -> Result<()> {
        let name = target.name();
        let mut command = Command::new(self.program(&name));
        let committed = self.committed(&name);
        std::fs::create_dir_all(&committed)?;
        // Code that is reached counts, not how often: a tenth of the files for the same lines.
        command.args(["-set_cover_merge=1", "-use_counters=0"]).arg(committed).arg(self.of("found", &name)?).arg(self.of("seeds", &name)?);
        let title = format!("Keep what {name} needs");
        progress.run(&title, command, &log_of(&self.folder(), &format!("{name}-keep")), self.repository).await.map(drop)
    }

    /// Runs a program to its end in a process group of its own; returns what it said, which also lies in its log.
    async fn finish(&self, mut command: Command, name: &str) -> Result<(ExitStatus, String)> {
        let log = log_of(&self.folder(), name);
        std::fs::create_dir_all(log.parent().unwrap_or(&log))?;
        let file = File::create(&log)?;
        command.current_dir(&self.repository.root).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let status = Group::start(command)?.wait().await?;
        Ok((status, String::from_utf8_lossy(&std::fs::read(log)?).into_owned()))
    }
}

/// The inputs in a sample event, and the targets they are for.
fn seeds(event: &Value) -> Vec<(&'static str, String)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match event["Records"].as_array() {
        Some(records) => {
            let bodies = records.iter().filter_map(|record| Some(("envelope", text(&record["body"])?)));
            bodies.chain([("sqs_event", event.to_string())]).collect()
        }
        None if event["requestContext"].is_object() => {
            let bodies = ["intake_body", "signup_body"].into_iter().filter_map(|target| Some((target, text(&event["body"])?)));
            bodies.chain([("intake_event", event.to_string())]).collect()
        }
        None => Vec::new(),
    }
}

/// The end of the line that begins with `start`, wherever in it that stands.
fn after<'o>(output: &'o str, start: &str) -> Option<&'o str> {
    output.lines().find_map(|line| Some(line.split_once(start)?.1.trim()))
}

/// Why the input failed: the text of the panic, which stands in the line below its place.
fn panic(output: &str) -> String {
    let mut lines = output.lines().skip_while(|line| !line.contains("panicked at"));
    let place = lines.next().and_then(|line| Some(line.split_once("panicked at ")?.1)).unwrap_or("see the log");
    format!("{} ({})", lines.next().unwrap_or_default(), place.trim_end_matches(':'))
}

/// How much was tried: `81662 inputs, 5103 a second`.
fn summary(output: &str) -> String {
    let stat = |name: &str| after(output, &format!("stat::{name}:"));
    match (stat("number_of_executed_units"), stat("average_exec_per_sec")) {
        (Some(inputs), Some(rate)) => format!("{inputs} inputs, {rate} a second"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_sample_seeds_the_targets_that_read_it() {
        let of = |event: Value| seeds(&event).into_iter().map(|(target, _)| target).collect::<Vec<_>>();
        assert_eq!(of(json!({"Records": [{"body": "{}"}, {"body": "not JSON"}, {}]})), ["envelope", "envelope", "sqs_event"]);
        assert_eq!(of(json!({"requestContext": {}, "body": "{}"})), ["intake_body", "signup_body", "intake_event"]);
        assert_eq!(of(json!({"requestContext": {}})), ["intake_event"]);
        assert_eq!(of(json!({})), [""; 0]);
    }

    #[test]
    fn a_crash_is_told_in_a_line_and_names_its_input() {
        let output = "#12\tNEW cov: 3\nthread '<unnamed>' (1) panicked at tests/fuzz/src/queue.rs:175:9:\na reason\nstack backtrace:\n\
             artifact_prefix='/r/'; Test unit written to /r/crash-1\nstat::number_of_executed_units: 12\nstat::average_exec_per_sec:     3\n";
        assert_eq!(panic(output), "a reason (tests/fuzz/src/queue.rs:175:9)");
        assert_eq!(after(output, "Test unit written to "), Some("/r/crash-1"));
        assert_eq!(summary(output), "12 inputs, 3 a second");
        assert_eq!(summary("killed"), "");
    }
}
