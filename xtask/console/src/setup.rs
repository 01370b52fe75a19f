//! The tools of the local run, in a virtual environment under `target/local/venv`: sam, cargo-lambda, the engine and the
//! payment provider, each pinned and checked against its hash. Done once, and again when the requirements change.
//! Nothing is installed outside that folder. Commands with tools of their own install them by [`install`] too.

use crate::machine::{Repository, missing, require_cargo, require_compiler, require_linux};
use crate::progress::{Progress, log_of};
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

    let file = |name: &str| repository.root.join("local").join(name);
    let lists = [
        List { title: "Install the tools", how: &["--only-binary", ":all:"], file: file("requirements.txt") },
        // The one package that comes as source is built by the setuptools of the first list, not by whatever is newest.
        List { title: "Build the payment provider", how: &["--no-build-isolation"], file: file("requirements-source.txt") },
    ];
    install(repository, &repository.venv(), &lists, progress).await
}

/// Installs lists of packages into a virtual environment of their own, unless it holds them.
pub async fn install(repository: &Repository, venv: &Path, lists: &[List], progress: &mut Progress) -> Result<()> {
    let (program, stamp_file) = (venv.join("bin/python"), venv.join("stamp"));
    let stamp = stamp(lists.iter().map(|list| &list.file))?;
    if std::fs::read_to_string(&stamp_file).is_ok_and(|found| found == stamp) && works(&program).await {
        return Ok(());
    }

    let started = Instant::now();
    let python = find_python().await?;
    let mut quiet = Progress::new();
    println!("  Setting up the tools in {} (once)", repository.shown(venv));
    let mut make = Command::new(&python);
    make.args(["-m", "venv", "--clear"]).arg(venv);
    quiet.run("Create the virtual environment", make, &log_of(&repository.local(), "venv"), repository).await?;
    for List { title, how, file } in lists {
        // The lists are complete, so nothing is resolved (--no-deps), and nothing that lacks its hash gets in.
        let mut pip = Command::new(&program);
        pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes"]);
        pip.args(*how).arg("--requirement").arg(file);
        let step = title.to_lowercase().replace(' ', "-");
        quiet.run(title, pip, &log_of(&repository.local(), &step), repository).await?;
    }
    // Last, so that a set-up that was cut off starts again.
    std::fs::write(stamp_file, stamp)?;
    progress.done("Set up the tools", started, "");
    Ok(())
}

/// What an installed environment was made from. Not a defence, pip checks the hashes: it only notices an edit.
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

/// What a Python program prints, if it succeeds.
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
