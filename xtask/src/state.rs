//! The state file of a running stack: what `up` leaves for `down`, `order`, `status` and `logs`, and what the end-to-end tests
//! read to find the stack. It holds no secret.

use crate::machine::{Repository, missing};
use crate::processes::Service;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub endpoint_url: String,
    pub region: String,
    pub stack_name: String,
    pub api_url: String,
    pub stripe_url: String,
    /// The stack's outputs, by key.
    pub outputs: BTreeMap<String, String>,
    pub engine_pid: u32,
    pub stripe_pid: u32,
}

impl State {
    pub fn path(folder: &Path) -> PathBuf {
        folder.join("state.json")
    }

    /// What an earlier command left, if it is still running.
    pub fn of_running(repository: &Repository, folder: &Path) -> Result<Option<Self>> {
        let state = Self::read(folder)?;
        Ok(state
            .filter(|s| Service::Engine.runs_as(s.engine_pid, repository) && Service::PaymentProvider.runs_as(s.stripe_pid, repository)))
    }

    /// The running stack of `up`, or the sentence that there is none.
    pub fn require(repository: &Repository) -> Result<Self> {
        match Self::of_running(repository, &repository.local())? {
            Some(state) => Ok(state),
            None => missing("nothing is running. Start the pipeline with: cargo xtask up"),
        }
    }

    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = Self::path(folder);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
        };
        // One that an older build wrote, or that was cut off, describes nothing that could be stopped safely.
        Ok(serde_json::from_str(&text).ok())
    }

    /// Written aside and moved into place, so that nobody reads half of it.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = Self::path(folder);
        let aside = path.with_extension("json.new");
        std::fs::write(&aside, serde_json::to_string_pretty(self)? + "\n")?;
        std::fs::rename(&aside, &path).with_context(|| format!("{} cannot be written", path.display()))
    }

    pub fn remove(folder: &Path) -> Result<()> {
        match std::fs::remove_file(Self::path(folder)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    pub fn output(&self, key: &str) -> Result<&str> {
        self.outputs.get(key).map(String::as_str).with_context(|| format!("the stack has no output {key}; template.yaml should have one"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("xtask-state-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }
    fn state() -> State {
        State {
            endpoint_url: "http://127.0.0.1:4566".into(),
            region: "us-east-1".into(),
            stack_name: "order-pipeline".into(),
            api_url: "http://127.0.0.1:4566/x".into(),
            stripe_url: "http://127.0.0.1:4567".into(),
            outputs: BTreeMap::from([("ApiUrl".to_owned(), "x".to_owned())]),
            // This test runner: alive, and neither the engine nor the payment provider.
            engine_pid: std::process::id(),
            stripe_pid: std::process::id(),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = folder("round-trip");
        assert_eq!(State::read(&folder).unwrap(), None);
        state().write(&folder).unwrap();
        assert_eq!(State::read(&folder).unwrap(), Some(state()));
        State::remove(&folder).unwrap();
        State::remove(&folder).unwrap();
        assert_eq!(State::read(&folder).unwrap(), None);
    }

    #[test]
    fn a_state_file_whose_pids_are_other_programs_now_is_not_running() {
        let folder = folder("stranger");
        state().write(&folder).unwrap();
        assert_eq!(State::of_running(&Repository::find().unwrap(), &folder).unwrap(), None);
    }

    #[test]
    fn half_a_state_file_is_none() {
        let folder = folder("half");
        std::fs::write(State::path(&folder), "{\"endpoint_url\": \"http").unwrap();
        assert_eq!(State::read(&folder).unwrap(), None);
    }
}
