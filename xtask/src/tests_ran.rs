//! How many tests ran: libtest passes where a filter matches nothing, and where every test skips itself.
//!
//! `checks.rs` runs its tests through it.

use anyhow::{Context, Result};
use console::processes::Group;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use testkit::skip::MARK;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Command;

/// What the lines of test programs add up to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Ran {
    passed: usize,
    /// libtest counts these as passed.
    pub skipped: usize,
}

impl Ran {
    /// How many tests did what they are there for.
    pub fn passed(self) -> usize {
        self.passed.saturating_sub(self.skipped)
    }

    fn count(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ") {
            let passed = result.split([' ', ';', '.']).collect::<Vec<_>>();
            let number = passed.windows(2).find(|pair| pair[1] == "passed").and_then(|pair| pair[0].parse::<usize>().ok());
            self.passed += number.unwrap_or(0);
        }
        // With one test at a time, libtest has begun the line.
        self.skipped += usize::from(line.split(" ... ").last().is_some_and(|end| end.starts_with(MARK)));
    }

    fn and(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, skipped: self.skipped + other.skipped }
    }
}

/// Starts it with pipes; the future shows what it writes, and ends with it.
pub fn start(command: Command) -> Result<impl Future<Output = Result<(ExitStatus, Ran)>>> {
    start_to(command, std::io::stdout(), std::io::stderr())
}

fn start_to(mut command: Command, out: impl Write, err: impl Write) -> Result<impl Future<Output = Result<(ExitStatus, Ran)>>> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = Group::start(command)?;
    let (stdout, stderr) = group.output();
    let (stdout, stderr) = (stdout.context("no standard output")?, stderr.context("no standard error")?);
    Ok(async move {
        let (on_stdout, on_stderr) = tokio::try_join!(pass_on(stdout, out), pass_on(stderr, err))?;
        Ok((group.wait().await?, on_stdout.and(on_stderr)))
    })
}

async fn pass_on(from: impl AsyncRead + Unpin, mut to: impl Write) -> Result<Ran> {
    let (mut lines, mut line, mut ran) = (BufReader::new(from), Vec::new(), Ran::default());
    while lines.read_until(b'\n', &mut line).await? > 0 {
        to.write_all(&line)?;
        to.flush()?;
        ran.count(String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
    Ok(ran)
}

/// How many tests a file has whose names begin with `prefix`, by its text.
pub fn in_file(file: &Path, prefix: &str) -> Result<usize> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let is_attribute = |line: &&str| *line == "#[test]" || line.starts_with("#[tokio::test");
    let is_meant = |line: &str| line.trim_start_matches("async ").strip_prefix("fn ").is_some_and(|name| name.starts_with(prefix));
    let tests =
        lines.split(is_attribute).skip(1).filter(|after| after.iter().find(|line| !line.starts_with("#[")).is_some_and(|it| is_meant(it)));
    Ok(tests.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_test_counts_as_skipped_and_not_as_passed() {
        let mut ran = Ran::default();
        for line in [
            "running 3 tests",
            "test one ... ok",
            "skipped 1: two: PIPELINE_STATE names no running stack",
            "test three ... skipped 2: three: PIPELINE_STATE names no running stack",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 4 filtered out; finished in 0.00s",
        ] {
            ran.count(line);
        }
        assert_eq!((ran.passed(), ran.skipped), (13, 2));
    }

    #[test]
    fn tests_of_a_file_are_counted_by_their_names() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests_ran.rs");
        assert_eq!((in_file(&here, "").unwrap(), in_file(&here, "tests_of").unwrap(), in_file(&here, "no").unwrap()), (3, 1, 0));
    }

    #[tokio::test]
    async fn a_program_that_skips_everything_passes_nothing() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'skipped 1: a: why' >&2; echo 'test result: ok. 1 passed; 0 failed'"]);
        let (status, ran) = start_to(command, std::io::sink(), std::io::sink()).unwrap().await.unwrap();
        assert!(status.success());
        assert_eq!((ran.passed(), ran.skipped), (0, 1));
    }
}
