//! `cargo xtask breakages`: breaks the code on purpose, one way at a time, and sees that the proof notices, or the test that is
//! named where the proof cannot see it.
//!
//! The list is `tests/proof/breakages.toml`. Each is put into a copy of the sources under `target/`; the tree itself is
//! never touched. It does not pass over a breakage whose place it does not find: the list has to keep up with the code.

use anyhow::{Context, Result, bail, ensure};
use console::machine::{Repository, require_cargo, require_compiler};
use console::processes::cargo;
use console::progress::{behind, bold, dim, green, lines, red, shown};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Instant;
use tokio::process::Command;

/// Runs of the simulation, at most: what the test command makes.
const RUNS: &str = "10000";

/// What has to find nothing in the code as it is: else it would find that in every breakage.
const SOUND: [(&str, &[&str]); 2] = [("simulate", &["--runs", "1000"]), ("model", &[])];

#[derive(clap::Args)]
pub struct Options {
    /// Only those whose names contain this
    #[arg(long)]
    only: Option<String>,
}

#[derive(Deserialize)]
struct List {
    breakage: Vec<Breakage>,
}

/// A place in the sources, what is put there, and who has to notice.
#[derive(Deserialize)]
struct Breakage {
    name: String,
    why: String,
    file: PathBuf,
    find: String,
    replace: String,
    caught_by: Judge,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Judge {
    Proof(Proof),
    /// For what neither program can see: real sockets, for one.
    Test(Test),
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Proof {
    Simulation,
    Model,
    Both,
}

impl Proof {
    /// The binaries that have to fail, with their arguments.
    fn programs(self) -> &'static [(&'static str, &'static [&'static str])] {
        const SIMULATION: (&str, &[&str]) = ("simulate", &["--runs", RUNS]);
        const MODEL: (&str, &[&str]) = ("model", &[]);
        match self {
            Self::Simulation => &[SIMULATION],
            Self::Model => &[MODEL],
            Self::Both => &[SIMULATION, MODEL],
        }
    }
}

/// A test of a package's library, by its whole name.
#[derive(Deserialize, Clone, PartialEq, Eq)]
struct Test {
    package: String,
    test: String,
}

impl Test {
    fn cargo(&self, repository: &Repository, copy: &Path, more: &[&str]) -> Command {
        let mut command = cargo(copy, &["test", "--quiet", "--package", &self.package, "--lib"]);
        command.args(more).env("CARGO_TARGET_DIR", folder(repository)).kill_on_drop(true);
        command
    }

    /// Builds and runs it. Whether it passed.
    async fn passes(&self, repository: &Repository, copy: &Path) -> Result<bool> {
        // By itself, because a program that does not build fails like a test.
        let Output { status, stderr, .. } = self.cargo(repository, copy, &["--no-run"]).output().await?;
        ensure!(status.success(), "it does not build:\n{}", String::from_utf8_lossy(&stderr));
        let Output { stdout, .. } = self.cargo(repository, copy, &["--", "--exact", &self.test]).output().await?;
        let said = String::from_utf8_lossy(&stdout);
        match (said.contains("test result: ok. 1 passed"), said.contains("test result: FAILED. 0 passed; 1 failed")) {
            (true, _) => Ok(true),
            (_, true) => Ok(false),
            // A name that no test has any more passes like one that notices nothing.
            _ => bail!("{} has no test {}:\n{said}", self.package, self.test),
        }
    }
}

fn list(repository: &Repository) -> Result<Vec<Breakage>> {
    let path = repository.root.join("tests/proof/breakages.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(toml::from_str::<List>(&text)?.breakage)
}

impl Breakage {
    /// The broken text of its file.
    fn broken(&self, root: &Path) -> Result<String> {
        let text =
            fs::read_to_string(root.join(&self.file)).with_context(|| format!("{}: cannot read {}", self.name, self.file.display()))?;
        let places = text.matches(&self.find).count();
        ensure!(places == 1, "{}: its place stands {places} times in {}; it has to stand there once", self.name, self.file.display());
        Ok(text.replace(&self.find, &self.replace))
    }
}

pub async fn run(repository: &Repository, options: &Options) -> Result<()> {
    require_cargo()?;
    require_compiler()?;
    let wanted = |breakage: &Breakage| options.only.as_ref().is_none_or(|part| breakage.name.contains(part.as_str()));
    let breakages: Vec<_> = list(repository)?.into_iter().filter(wanted).collect();
    ensure!(!breakages.is_empty(), "no breakage has such a name");
    let begun = Instant::now();
    let copy = copy(repository)?;
    println!("{}", bold("the code as it is"));
    if breakages.iter().any(|breakage| matches!(breakage.caught_by, Judge::Proof(_))) {
        build(repository, &copy).await?;
        for (program, arguments) in SOUND {
            let Output { status, stdout, .. } = start(repository, program, arguments).await?;
            ensure!(status.success(), "{program} finds the code broken as it is:\n{}", String::from_utf8_lossy(&stdout));
        }
    }
    for breakage in &breakages {
        if let Judge::Test(test) = &breakage.caught_by {
            ensure!(test.passes(repository, &copy).await?, "{} finds the code broken as it is", test.test);
        }
    }
    let mut missed = Vec::new();
    for breakage in &breakages {
        println!("{}\n{}", bold(&breakage.name), dim(&lines(&format!("({})", breakage.why), "  ")));
        let file = copy.join(&breakage.file);
        let sound = fs::read_to_string(&file)?;
        fs::write(&file, breakage.broken(&copy)?)?;
        let noticed = match &breakage.caught_by {
            Judge::Proof(proof) => match build(repository, &copy).await {
                Ok(()) => notice(repository, *proof).await,
                Err(error) => Err(error),
            },
            Judge::Test(test) => notice_by_test(repository, &copy, test).await,
        };
        fs::write(&file, sound)?;
        missed.extend(noticed?.into_iter().map(|program| format!("{} by {program}", breakage.name)));
    }
    if !missed.is_empty() {
        bail!("not noticed: {}", missed.join("; "));
    }
    println!("{} breakages, each noticed by the programs and tests that have to, in {}.", breakages.len(), shown(begun.elapsed()));
    Ok(())
}

/// Runs who has to notice; returns those who did not.
async fn notice(repository: &Repository, proof: Proof) -> Result<Vec<String>> {
    let mut missed = Vec::new();
    for (program, arguments) in proof.programs() {
        let begun = Instant::now();
        let Output { status, stdout, stderr } = start(repository, program, arguments).await?;
        let text = String::from_utf8_lossy(&stdout).into_owned();
        match status.code() {
            Some(0) => {
                println!("  {}", red(&format!("✗ {program} noticed nothing in {}", shown(begun.elapsed()))));
                missed.push((*program).to_owned());
            }
            Some(1) => {
                let said = text.lines().rev().find_map(|line| line.strip_prefix("✗ ")).unwrap_or("a promise was broken");
                let said: String = said.chars().take(160).collect();
                println!("{}", behind(&green(&format!("  ✓ {program}, {}: ", shown(begun.elapsed()))), &said));
            }
            _ => bail!("{program} ended with {status}: {}", String::from_utf8_lossy(&stderr)),
        }
    }
    Ok(missed)
}

/// The same with a test.
async fn notice_by_test(repository: &Repository, copy: &Path, test: &Test) -> Result<Vec<String>> {
    let begun = Instant::now();
    let passes = test.passes(repository, copy).await?;
    let took = shown(begun.elapsed());
    if passes {
        println!("  {}", red(&format!("✗ {} noticed nothing in {took}", test.test)));
        return Ok(vec![test.test.clone()]);
    }
    println!("{}", behind(&green(&format!("  ✓ {}, {took}: ", test.package)), &test.test));
    Ok(Vec::new())
}

async fn start(repository: &Repository, program: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(folder(repository).join("debug").join(program));
    Ok(command.args(arguments).current_dir(folder(repository)).kill_on_drop(true).output().await?)
}

fn folder(repository: &Repository) -> PathBuf {
    repository.root.join("target/breakages")
}

/// Copies what git knows of the tree, and what is new in it. What has not changed keeps its time, so that it is not built again.
fn copy(repository: &Repository) -> Result<PathBuf> {
    let tree = folder(repository).join("tree");
    let listed = std::process::Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(&repository.root)
        .output()?;
    ensure!(listed.status.success(), "git cannot list the files of this tree");
    for name in String::from_utf8(listed.stdout)?.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (repository.root.join(name), tree.join(name));
        // Deleted, and not yet committed so.
        let Ok(text) = fs::read(&from) else { continue };
        if fs::read(&to).is_ok_and(|there| there == text) {
            continue;
        }
        fs::create_dir_all(to.parent().context("a file has a folder")?)?;
        fs::write(&to, text)?;
    }
    Ok(tree)
}

async fn build(repository: &Repository, copy: &Path) -> Result<()> {
    let mut command = cargo(copy, &["build", "--workspace", "--bin", "simulate", "--bin", "model", "--quiet"]);
    // A folder of its own: to cargo two checkouts are the same packages, and it would take what is broken here for sound there.
    command.env("CARGO_TARGET_DIR", folder(repository));
    let output = command.kill_on_drop(true).output().await?;
    ensure!(output.status.success(), "it does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_breakage_finds_its_place() {
        let repository = Repository::find().unwrap();
        let breakages = list(&repository).unwrap();
        assert!(breakages.len() >= 7);
        for breakage in breakages {
            assert_ne!(breakage.broken(&repository.root).unwrap(), "", "{}", breakage.why);
        }
    }
}
