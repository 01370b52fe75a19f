//! Shows that a long step is alive, how long it took, and, when it failed, the end of what it said.
//! On a terminal one line that is rewritten, and so is never wider than the terminal; in a pipe or in CI plain lines at intervals.
//! It never prints more of a program than its last lines: all of it lies in a file.

use crate::machine::Repository;
use crate::processes::Group;
use anyhow::{Result, bail};
use command_line::screen::{USUAL_WIDTH, columns, cut, sentences, width, wrapped};
use std::fs::File;
use std::io::{IsTerminal, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// How often the line of a terminal is rewritten: smooth to the eye, nothing to the processor.
pub const TERMINAL_TICK: Duration = Duration::from_millis(200);
/// How often a pipe hears that a step is alive: often enough for an impatient CI, seldom enough to read.
pub const PIPE_TICK: Duration = Duration::from_secs(15);
/// How much of a failed program's output is shown.
const SHOWN_LINES: usize = 30;
/// How far the names of steps are filled up, so that their times stand below each other.
const TITLE_COLUMNS: usize = 44;
/// A terminal that is narrower has no room for filling while a step is under way: its remark is worth more.
const ROOMY: usize = 100;

/// The steps of a command and what each took.
pub struct Progress {
    started: Instant,
    steps: Vec<(String, Duration)>,
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Progress {
    /// No step yet; the clock starts.
    pub fn new() -> Self {
        Self { started: Instant::now(), steps: Vec::new() }
    }

    /// Runs a program to its end in a process group of its own, with its output in `log`. An error carries the last lines.
    pub async fn run(&mut self, title: &str, command: Command, log: &Path, repository: &Repository) -> Result<String> {
        let started = Instant::now();
        let output = run_logged(title, command, log, repository, true).await?;
        self.done(title, started, "");
        Ok(output)
    }

    /// Waits for something that is not a program, showing that it is alive.
    pub async fn wait<T>(&mut self, title: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let started = Instant::now();
        let result = alive(title, started, String::new, work).await?;
        self.done(title, started, "");
        Ok(result)
    }

    /// Waits as [`Progress::wait`] does, and shows how far the work has come.
    pub async fn watch<T>(&mut self, title: &str, remark: impl Fn() -> String, work: impl Future<Output = Result<T>>) -> Result<T> {
        let started = Instant::now();
        let result = alive(title, started, &remark, work).await?;
        self.done(title, started, &remark());
        Ok(result)
    }

    /// Does `main`, whose steps are shown, while `work` goes on beside it, and is shown once it is over or is all that is left. An error
    /// of either ends both.
    pub async fn beside<T>(
        &mut self,
        title: &str,
        work: impl Future<Output = Result<()>>,
        main: impl AsyncFnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let started = Instant::now();
        let mut work = std::pin::pin!(work);
        let mut took = None;
        let result = {
            let mut main = std::pin::pin!(main(self));
            loop {
                tokio::select! {
                    biased;
                    result = &mut main => break result?,
                    installed = &mut work, if took.is_none() => {
                        installed?;
                        took = Some(started.elapsed());
                        say_done(title, started.elapsed(), "");
                    }
                }
            }
        };
        match took {
            Some(took) => self.steps.push((title.to_owned(), took)),
            None => {
                alive(title, started, String::new, work).await?;
                self.done(title, started, "");
            }
        }
        Ok(result)
    }

    /// Notes a step that is over.
    pub fn done(&mut self, title: &str, started: Instant, remark: &str) {
        let took = started.elapsed();
        say_done(title, took, remark);
        self.steps.push((title.to_owned(), took));
    }

    /// Says that a step is left out, and why.
    pub fn skipped(&self, title: &str, why: &str) {
        println!("{} {}", dim("–"), step(title, "", why, width(&std::io::stdout())));
    }

    /// Since the command began.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Where the time went, longest first, leaving out what nobody notices.
    pub fn longest(&self) -> Vec<(&str, Duration)> {
        const NOTICED: Duration = Duration::from_millis(500);
        let mut steps: Vec<_> = self.steps.iter().filter(|(_, d)| *d >= NOTICED).map(|(name, d)| (name.as_str(), *d)).collect();
        steps.sort_by_key(|(_, took)| std::cmp::Reverse(*took));
        steps
    }
}

/// Runs a program as [`Progress::run`] does, as part of a step that the caller notes.
pub async fn run(title: &str, command: Command, log: &Path, repository: &Repository) -> Result<String> {
    let started = Instant::now();
    let output = run_logged(title, command, log, repository, true).await?;
    say_done(title, started.elapsed(), "");
    Ok(output)
}

/// Runs a program as [`Progress::run`] does, and says nothing unless it fails: another step has the terminal.
pub async fn run_unseen(title: &str, command: Command, log: &Path, repository: &Repository) -> Result<String> {
    run_logged(title, command, log, repository, false).await
}

/// Runs a program to its end with its output in `log` alone.
async fn run_logged(title: &str, mut command: Command, log: &Path, repository: &Repository, is_shown: bool) -> Result<String> {
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = File::create(log)?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let mut group = Group::start(command)?;
    let wait = async { Ok(group.wait().await?) };
    let status = if is_shown { alive(title, Instant::now(), || last_line(log), wait).await? } else { wait.await? };
    let output = String::from_utf8_lossy(&std::fs::read(log)?).into_owned();
    if !status.success() {
        clear_line();
        println!("{} {title}", red("✗"));
        let lines: Vec<&str> = output.lines().collect();
        for line in lines.iter().skip(lines.len().saturating_sub(SHOWN_LINES)) {
            println!("  {line}");
        }
        bail!("this step failed: {title} ({status}). Its full output is in {}", repository.shown(log));
    }
    Ok(output)
}

/// Says that a step is over, above the line of one that goes on.
fn say_done(title: &str, took: Duration, remark: &str) {
    clear_line();
    println!("{} {}", green("✓"), step(title, &shown(took), remark, width(&std::io::stdout())));
}

/// A step that is over, behind its mark: a remark that has no room beside it stands below.
fn step(title: &str, took: &str, remark: &str, width: Option<usize>) -> String {
    /// The mark's.
    const INDENT: &str = "  ";
    let line = format!("{title:<TITLE_COLUMNS$} {took:>10}");
    let fits = width.is_none_or(|width| INDENT.len() + columns(&line) + 2 + columns(remark) <= width);
    match (remark, fits) {
        ("", _) => line.trim_end().to_owned(),
        (_, true) => format!("{line}  {remark}"),
        (_, false) => format!("{}\n{}", line.trim_end(), sentences(remark, "    ", width)),
    }
}

/// A step that is under way, in one line of the terminal: what it is, for how long, and as much of the remark as there is room for.
pub fn under_way(title: &str, took: &str, remark: &str, width: usize) -> String {
    // The last column stays free: on some terminals a character in it begins the next line.
    let room = width.saturating_sub(1);
    let filled = if room < ROOMY { 0 } else { TITLE_COLUMNS };
    let head = cut(&format!("… {title:<filled$}  {took}"), Some(room));
    match room.checked_sub(columns(&head) + 2).filter(|room| *room > 0 && !remark.is_empty()) {
        Some(room) => format!("{head}  {}", dim(&cut(remark, Some(room)))),
        None => head,
    }
}

/// Awaits `work` and prints its progress, with a `remark`.
async fn alive<T>(title: &str, started: Instant, remark: impl Fn() -> String, work: impl Future<Output = Result<T>>) -> Result<T> {
    let terminal = std::io::stdout().is_terminal();
    let mut ticks = tokio::time::interval(if terminal { TERMINAL_TICK } else { PIPE_TICK });
    ticks.tick().await;
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => {
                clear_line();
                return result;
            }
            _ = ticks.tick() => {
                let took = shown(started.elapsed());
                // Asked each time: a window changes its size.
                match width(&std::io::stdout()) {
                    Some(width) => print!("\r\x1b[2K{}", under_way(title, &took, &remark(), width)),
                    None => println!("{}", under_way(title, &took, &remark(), USUAL_WIDTH)),
                }
                std::io::stdout().flush()?;
            }
        }
    }
}

/// Removes the unfinished line from a terminal.
pub fn clear_line() {
    if std::io::stdout().is_terminal() {
        print!("\r\x1b[2K");
    }
}

/// The last line of a file that is being written, without reading all of it; empty if there is none yet.
fn last_line(path: &Path) -> String {
    /// Longer than any line of cargo or sam.
    const TAIL: u64 = 2048;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut tail = Vec::new();
        file.read_to_end(&mut tail)?;
        Ok(tail)
    };
    let tail = read().unwrap_or_default();
    String::from_utf8_lossy(&tail).lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().trim().to_owned()
}

/// `1 min 05 s`, `12.3 s`, `80 ms`.
pub fn shown(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {:02} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

/// Sentences for standard output, as wide as the terminal.
pub fn lines(text: &str, indent: &str) -> String {
    sentences(text, indent, width(&std::io::stdout()))
}

/// The same behind a mark or a name; what has no room stands below, indented.
pub fn behind(first: &str, text: &str) -> String {
    wrapped(text.split(' '), " ", [first, "    "], width(&std::io::stdout()))
}

/// Green, on a terminal.
pub fn green(text: &str) -> String {
    coloured("32", text)
}
/// Red, on a terminal.
pub fn red(text: &str) -> String {
    coloured("31", text)
}
/// Bold, on a terminal.
pub fn bold(text: &str) -> String {
    coloured("1", text)
}
/// Faint, on a terminal.
pub fn dim(text: &str) -> String {
    coloured("2", text)
}
/// One of six colours, for telling stories apart.
pub fn nth_colour(n: usize, text: &str) -> String {
    coloured(["36", "33", "35", "34", "32", "31"][n % 6], text)
}

fn coloured(code: &str, text: &str) -> String {
    // https://no-color.org
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// The file that a step's output goes to.
pub fn log_of(folder: &Path, step: &str) -> PathBuf {
    folder.join("logs").join(format!("{step}.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line that is wider than the terminal goes on in the next, and each rewriting leaves that behind.
    #[test]
    fn a_step_under_way_never_takes_more_than_a_line() {
        let remark = "   Compiling aws-sdk-cloudformation v1.136.0 (/a/long/path/to/it)";
        for width in [1, 20, 40, 80, 100, 101, 200] {
            let line = under_way("Build 16 functions", "1 min 05 s", remark, width);
            assert!(columns(&line) < width.max(2) && !line.contains('\n'), "{width}: {line}");
        }
        assert_eq!(under_way("Build", "1.0 s", "Compiling domain v0.1.0", 40), "… Build  1.0 s  Compiling domain v0.1.0");
        assert_eq!(under_way("Build", "1.0 s", "a\x1b[2J\nb", 40), "… Build  1.0 s  a[2Jb");
    }

    #[test]
    fn a_remark_without_room_stands_below_its_step() {
        assert_eq!(step("Build", "1.0 s", "unchanged", Some(80)), format!("{:<44} {:>10}  unchanged", "Build", "1.0 s"));
        let long = "300 of 300 accepted, 300 ended, 12 faults";
        assert_eq!(step("Build", "1.0 s", long, Some(80)), format!("{:<44} {:>10}\n    {long}", "Build", "1.0 s"));
        assert!(step("Build", "1.0 s", long, None).ends_with(&format!("  {long}")));
    }

    #[tokio::test]
    async fn work_beside_a_step_is_noted_whichever_ends_first() {
        let after = async |ms| tokio::time::sleep(Duration::from_millis(ms)).await;
        for (work_ms, main_ms) in [(1, 40), (40, 1)] {
            let mut progress = Progress::new();
            let work = async {
                after(work_ms).await;
                Ok(())
            };
            let seven = async {
                after(main_ms).await;
                Ok(7)
            };
            let main = async |progress: &mut Progress| progress.wait("main", seven).await;
            assert_eq!(progress.beside("work", work, main).await.unwrap(), 7);
            let mut titles: Vec<_> = progress.steps.iter().map(|(title, _)| title.as_str()).collect();
            titles.sort_unstable();
            assert_eq!(titles, ["main", "work"]);
        }
    }

    #[tokio::test]
    async fn an_error_of_either_step_ends_both() {
        let fails = async || -> Result<()> { bail!("no network") };
        let never = async || std::future::pending::<Result<()>>().await;
        let error = Progress::new().beside("work", fails(), async |_| never().await).await.unwrap_err();
        assert_eq!(error.to_string(), "no network");
        let error = Progress::new().beside("work", never(), async |_| fails().await).await.unwrap_err();
        assert_eq!(error.to_string(), "no network");
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(shown(Duration::from_millis(80)), "80 ms");
        assert_eq!(shown(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(shown(Duration::from_millis(65_400)), "1 min 05 s");
    }

    #[test]
    fn the_last_line_is_found_behind_blank_ones() {
        let path = std::env::temp_dir().join(format!("xtask-last-line-{}", std::process::id()));
        std::fs::write(&path, "first\n   Compiling domain v0.1.0\n\n").unwrap();
        assert_eq!(last_line(&path), "Compiling domain v0.1.0");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(last_line(&path), "");
    }
}
