//! Whether the stack of a state file is still running.

use crate::machine::{Repository, missing};
use crate::processes::Service;
use anyhow::{Context as _, Result};
use std::path::Path;
use testkit::stack::State;

/// What an earlier command left, if it is still running.
pub fn of_running(repository: &Repository, folder: &Path) -> Result<Option<State>> {
    let state = State::read(folder)?;
    Ok(state.filter(|s| Service::Engine.runs_as(s.engine_pid, repository) && Service::PaymentProvider.runs_as(s.stripe_pid, repository)))
}

/// The running stack of `up`, or the sentence that there is none.
pub fn require(repository: &Repository) -> Result<State> {
    match of_running(repository, &repository.local())? {
        Some(state) => Ok(state),
        None => missing("nothing is running. Start the pipeline with: cargo xtask up"),
    }
}

/// The engine's port.
pub fn port_of(state: &State) -> Result<u16> {
    state.endpoint_url.rsplit(':').next().and_then(|port| port.parse().ok()).context("the state file names no port")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_state_file_whose_pids_are_other_programs_now_is_not_running() {
        let folder = std::env::temp_dir().join(format!("xtask-stranger-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let state = State {
            endpoint_url: "http://127.0.0.1:4566".into(),
            region: "us-east-1".into(),
            stack_name: "order-pipeline".into(),
            api_url: "http://127.0.0.1:4566/x".into(),
            stripe_url: "http://127.0.0.1:4567".into(),
            outputs: std::collections::BTreeMap::new(),
            // This test runner: alive, and neither the engine nor the payment provider.
            engine_pid: std::process::id(),
            stripe_pid: std::process::id(),
            keys: testkit::engine::Keys::draw().unwrap(),
        };
        state.write(&folder).unwrap();
        assert_eq!(State::read(&folder).unwrap().as_ref(), Some(&state), "what is written is read");
        let mode = std::fs::metadata(State::path(&folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "and by nobody else");
        assert_eq!(of_running(&Repository::find().unwrap(), &folder).unwrap(), None);
        std::fs::write(State::path(&folder), "{\"endpoint_url\": \"http").unwrap();
        assert_eq!(State::read(&folder).unwrap(), None, "half a state file is none");
        State::remove(&folder).unwrap();
        State::remove(&folder).unwrap();
        assert_eq!(State::read(&folder).unwrap(), None);
    }
}
