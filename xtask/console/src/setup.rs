//! The tools of the local run, in a virtual environment under `target/local/venv`: sam, cargo-lambda, the engine and the
//! payment provider, each pinned and checked against its hash. Done once, and again when the requirements change.
//! On a fresh machine that takes a minute, which [`beside`] spends on the build of the functions as well.
//! Nothing is installed outside that folder. Commands with tools of their own install them by [`install`] too.

use crate::machine::{Repository, missing, require_cargo, require_compiler, require_linux};
use crate::progress::{self, Progress, log_of};
use anyhow::Result;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;
use tokio::process::Command;

/// The oldest Python that the engine runs on.
const OLDEST_PYTHON: (u32, u32) = (3, 10);
/// Where a Python that is new enough may be found, the usual name first.
const PYTHONS: [&str; 7] = ["python3", "python3.14", "python3.13", "python3.12", "python3.11", "python3.10", "python"];

/// The list of all tools but the payment provider, by its place in the checkout.
const REQUIREMENTS: &str = "local/requirements.txt";
/// What the build of the functions needs of it: cargo-lambda, and the linker that it calls.
const BUILDERS: [&str; 2] = ["cargo-lambda", "ziglang"];
/// How pip installs what needs no building.
const WHEELS: [&str; 2] = ["--only-binary", ":all:"];
/// What setting up is called once it is over.
const TITLE: &str = "Set up the tools";

/// A list of packages, complete and with the hashes of their files.
pub struct List {
    /// What installing them is called while it runs.
    pub title: &'static str,
    /// How pip is to install them.
    pub how: &'static [&'static str],
    /// The list, as pip reads it.
    pub file: PathBuf,
}

/// Makes sure that everything the local run needs is there.
pub async fn run(repository: &Repository, progress: &mut Progress) -> Result<()> {
    require_linux()?;
    tools(repository, progress).await
}

/// Installs the tools, which run on other systems too.
pub async fn tools(repository: &Repository, progress: &mut Progress) -> Result<()> {
    require_cargo()?;
    require_compiler()?;
    install(repository, &repository.venv(), &lists(repository), progress).await
}

/// Makes sure of the same while `main` runs, which begins as soon as the packages that build are installed.
pub async fn beside<T>(repository: &Repository, progress: &mut Progress, main: impl AsyncFnOnce(&mut Progress) -> Result<T>) -> Result<T> {
    require_cargo()?;
    require_compiler()?;
    let (venv, lists) = (repository.venv(), lists(repository));
    let Some(installation) = Installation::of(repository, &venv, &lists).await? else { return main(progress).await };
    installation.make_environment().await?;
    let all = std::fs::read_to_string(repository.root.join(REQUIREMENTS))?;
    let builders = List { title: "Install what builds", how: &WHEELS, file: repository.local().join("requirements-build.txt") };
    std::fs::write(&builders.file, excerpt(&all, &BUILDERS))?;
    installation.pip(&builders, progress::run).await?;
    // What is there is left as it is, so the lists are those of a set-up without a build.
    progress.beside(TITLE, installation.install(progress::run_unseen), main).await
}

fn lists(repository: &Repository) -> [List; 2] {
    [
        List { title: "Install the tools", how: &WHEELS, file: repository.root.join(REQUIREMENTS) },
        // The one package that comes as source is built by the setuptools of the first list, not by whatever is newest.
        List {
            title: "Build the payment provider",
            how: &["--no-build-isolation"],
            file: repository.root.join("local/requirements-source.txt"),
        },
    ]
}

/// Of a list as `pip-compile` writes it, these packages with their hashes.
fn excerpt(list: &str, packages: &[&str]) -> String {
    let mut is_wanted = false;
    let mut lines = String::new();
    for line in list.lines() {
        // A package's hashes are indented below it.
        if !line.starts_with(' ') {
            is_wanted = line.split_once("==").is_some_and(|(name, _)| packages.contains(&name));
        }
        if is_wanted {
            lines.push_str(line);
            lines.push('\n');
        }
    }
    lines
}

/// Installs lists of packages into a virtual environment of their own, unless it holds them.
pub async fn install(repository: &Repository, venv: &Path, lists: &[List], progress: &mut Progress) -> Result<()> {
    let Some(installation) = Installation::of(repository, venv, lists).await? else { return Ok(()) };
    let started = Instant::now();
    installation.make_environment().await?;
    installation.install(progress::run).await?;
    progress.done(TITLE, started, "");
    Ok(())
}

/// An environment that lacks its packages, or has others.
struct Installation<'r> {
    repository: &'r Repository,
    venv: &'r Path,
    lists: &'r [List],
    stamp: String,
}

impl<'r> Installation<'r> {
    /// [`None`] where the environment is as the lists want it.
    async fn of(repository: &'r Repository, venv: &'r Path, lists: &'r [List]) -> Result<Option<Self>> {
        let stamp = stamp(lists.iter().map(|list| &list.file))?;
        let installation = Self { repository, venv, lists, stamp };
        let is_stamped = std::fs::read_to_string(installation.stamp_file()).is_ok_and(|found| found == installation.stamp);
        Ok(if is_stamped && works(&installation.python()).await { None } else { Some(installation) })
    }

    fn stamp_file(&self) -> PathBuf {
        self.venv.join("stamp")
    }

    fn python(&self) -> PathBuf {
        self.venv.join("bin/python")
    }

    /// An environment without packages.
    async fn make_environment(&self) -> Result<()> {
        let python = find_python().await?;
        println!("  Setting up the tools in {} (once)", self.repository.shown(self.venv));
        let mut make = Command::new(&python);
        make.args(["-m", "venv", "--clear"]).arg(self.venv);
        progress::run("Create the virtual environment", make, &log_of(&self.repository.local(), "venv"), self.repository).await.map(drop)
    }

    /// Every list, one after the other: two pips would write into one folder.
    async fn install(&self, run: impl AsyncFn(&str, Command, &Path, &Repository) -> Result<String>) -> Result<()> {
        for list in self.lists {
            self.pip(list, &run).await?;
        }
        // Last, so that a set-up that was cut off starts again.
        std::fs::write(self.stamp_file(), &self.stamp)?;
        Ok(())
    }

    async fn pip(&self, list: &List, run: impl AsyncFn(&str, Command, &Path, &Repository) -> Result<String>) -> Result<()> {
        let List { title, how, file } = list;
        // The lists are complete, so nothing is resolved (--no-deps), and nothing that lacks its hash gets in.
        let mut pip = Command::new(self.python());
        pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes"]);
        pip.args(*how).arg("--requirement").arg(file);
        let step = title.to_lowercase().replace(' ', "-");
        run(title, pip, &log_of(&self.repository.local(), &step), self.repository).await.map(drop)
    }
}

/// The sources of an installed environment. Not a defence, pip checks the hashes: it only notices an edit.
fn stamp(requirements: impl IntoIterator<Item = impl AsRef<Path>>) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in requirements {
        std::fs::read(file)?.hash(&mut hasher);
    }
    Ok(format!("{:016x}\n", hasher.finish()))
}

/// Whether a Python still starts: its interpreter may have been upgraded away under the environment.
async fn works(python: &Path) -> bool {
    says(&python.to_string_lossy(), "print()").await.is_some()
}

async fn find_python() -> Result<String> {
    let mut too_old = None;
    for name in PYTHONS {
        let Some(version) = says(name, "import sys; print(*sys.version_info[:2])").await else { continue };
        if !new_enough(&version) {
            too_old.get_or_insert(version.trim().replace(' ', "."));
            continue;
        }
        // Debian and Ubuntu split these off.
        if says(name, "import venv, ensurepip").await.is_none() {
            return missing(format!(
                "{name} has no venv module, which the tools are installed with: on Debian and Ubuntu run apt install python3-venv."
            ));
        }
        return Ok(name.to_owned());
    }
    let (major, minor) = OLDEST_PYTHON;
    let found = too_old.map_or_else(|| "none was found".into(), |version| format!("only {version} was found"));
    missing(format!(
        "the local run needs Python {major}.{minor} or newer on the PATH, and {found}: install it from your package manager or python.org."
    ))
}

/// The output of a Python program, if it succeeds.
async fn says(python: &str, program: &str) -> Option<String> {
    let mut command = Command::new(python);
    command.args(["-c", program]).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn new_enough(version: &str) -> bool {
    let mut numbers = version.split_whitespace().map_while(|n| n.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= OLDEST_PYTHON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_pythons_are_told_from_new_ones() {
        assert!(!new_enough("2 7\n"));
        assert!(!new_enough("3 9\n"));
        assert!(new_enough("3 10\n"));
        assert!(new_enough("3 13\n"));
        assert!(new_enough("4 0\n"));
        assert!(!new_enough("nonsense"));
    }

    /// Otherwise the build that runs beside pip starts without its tools.
    #[test]
    fn what_builds_is_in_the_list_with_its_hashes() {
        let list = std::fs::read_to_string(Repository::find().unwrap().root.join(REQUIREMENTS)).unwrap();
        for package in BUILDERS {
            let excerpt = excerpt(&list, &[package]);
            let (first, hashes) = excerpt.split_once('\n').unwrap();
            assert!(first.starts_with(&format!("{package}==")), "{first}");
            assert!(hashes.lines().count() > 1 && hashes.lines().all(|line| line.starts_with("    --hash=sha256:")), "{hashes}");
        }
        assert_eq!(excerpt("# all\na==1 \\\n    --hash=x\nb==2 \\\n    --hash=y\nab==3\n", &["b"]), "b==2 \\\n    --hash=y\n");
    }

    #[test]
    fn the_stamp_follows_the_requirements() {
        let path = std::env::temp_dir().join(format!("xtask-stamp-{}", std::process::id()));
        std::fs::write(&path, "a==1").unwrap();
        let before = stamp([&path]).unwrap();
        assert_eq!(before, stamp([&path]).unwrap());
        std::fs::write(&path, "a==2").unwrap();
        assert_ne!(before, stamp([&path]).unwrap());
        std::fs::remove_file(&path).unwrap();
    }
}
