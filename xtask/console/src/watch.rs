//! `up --watch`: after every edit of what the functions are made of, builds and deploys what changed. It looks at the
//! files' times, which works on every file system that cargo works on. It does not stop for a build that fails: the next
//! edit may be the one that helps.

use crate::interruption::interrupted;
use crate::machine::Repository;
use crate::progress::{dim, lines, red};
use crate::stack;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What a deployment is made of.
const SOURCES: [&str; 6] = ["functions", "shared", "Cargo.toml", "Cargo.lock", "template.yaml", "samconfig.toml"];
/// Between two looks. A look reads the times of a thousand files, in some milliseconds.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// When each file of the sources was written last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources(BTreeMap<PathBuf, Option<SystemTime>>);

impl Sources {
    /// As they are now.
    pub fn look(repository: &Repository) -> Result<Self> {
        let mut files = BTreeMap::new();
        for source in SOURCES {
            collect(&repository.root.join(source), &mut files)?;
        }
        Ok(Self(files))
    }

    /// A file that is new, gone or newer.
    fn first_change<'s>(&'s self, since: &'s Self) -> Option<&'s Path> {
        let changed = |(path, time): &(&PathBuf, &Option<SystemTime>)| since.0.get(*path) != Some(*time);
        let gone = since.0.keys().find(|path| !self.0.contains_key(*path));
        self.0.iter().find(changed).map(|(path, _)| path).or(gone).map(PathBuf::as_path)
    }
}

fn collect(path: &Path, files: &mut BTreeMap<PathBuf, Option<SystemTime>>) -> Result<()> {
    // What an editor or a build writes beside the sources.
    let is_aside = path.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        name.starts_with('.') || name.ends_with('~') || name == "target" || name == "__pycache__"
    });
    if is_aside {
        return Ok(());
    }
    if !path.is_dir() {
        files.insert(path.to_owned(), path.metadata().and_then(|it| it.modified()).ok());
        return Ok(());
    }
    for entry in std::fs::read_dir(path).with_context(|| format!("{} cannot be read", path.display()))? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

/// Watches until a signal, which is the ordinary end: the stack stays up.
pub async fn run(repository: &Repository, built_from: &mut Sources) -> Result<()> {
    let sentence = "Watching: after each edit, what changed is deployed. Ctrl-C ends the watching; the stack stays up.";
    println!("\n{}", dim(&lines(sentence, "")));
    tokio::select! {
        biased;
        result = for_ever(repository, built_from) => result,
        signal = interrupted() => {
            signal?;
            println!("\nThe stack is still up; `cargo xtask down` stops it.");
            Ok(())
        }
    }
}

async fn for_ever(repository: &Repository, built_from: &mut Sources) -> Result<()> {
    loop {
        let now = Sources::look(repository)?;
        let Some(changed) = now.first_change(built_from).map(|path| repository.shown(path).to_string()) else {
            tokio::time::sleep(POLL_EVERY).await;
            continue;
        };
        // An editor that saves several files is given the time to.
        tokio::time::sleep(POLL_EVERY).await;
        *built_from = Sources::look(repository)?;
        println!("\n{}", dim(&format!("{changed} has changed")));
        if let Err(error) = stack::update(repository).await {
            // The stack was stopped by another command: nothing is left to deploy to.
            if error.is::<crate::machine::Missing>() {
                return Err(error);
            }
            println!("{}", red(&lines(&format!("error: {error:#}"), "")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_a_new_file_and_one_that_is_gone_are_noticed() {
        let root = std::env::temp_dir().join(format!("xtask-watch-{}", std::process::id()));
        let repository = Repository { root: root.clone() };
        for source in SOURCES {
            std::fs::create_dir_all(root.join(source)).unwrap();
        }
        let file = root.join("functions/lib.rs");
        std::fs::write(&file, "1").unwrap();
        let first = Sources::look(&repository).unwrap();
        std::fs::write(root.join("functions/.lib.rs.swp"), "").unwrap();
        assert_eq!(Sources::look(&repository).unwrap().first_change(&first), None, "an editor's own file");
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        std::fs::File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
        let second = Sources::look(&repository).unwrap();
        assert_eq!(second.first_change(&first), Some(&*file));
        let new = root.join("shared/new.rs");
        std::fs::write(&new, "").unwrap();
        let third = Sources::look(&repository).unwrap();
        assert_eq!((third.first_change(&second), second.first_change(&third)), (Some(&*new), Some(&*new)));
        std::fs::remove_dir_all(root).unwrap();
    }
}
