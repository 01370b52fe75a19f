//! The way to AWS: a child process of `aws.py`, asked in lines of JSON. For the stack that runs here it is told the engine's address
//! and keys, for one on AWS nothing but the caller's profile and region.

use anyhow::{Context, Result, bail, ensure};
use console::build::{tool, with_keys};
use console::machine::{Repository, missing};
use operate::deployed::{Target, with_hint};
use serde_json::{Value, json};
use std::process::Stdio;
use testkit::stack::State;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// One call.
#[derive(Debug, Clone)]
pub struct Call(Value);

impl Call {
    /// An operation of a service, as botocore names both.
    pub fn new(service: &str, operation: &str, input: Value) -> Self {
        Self(json!({"service": service, "operation": operation, "input": input}))
    }
    /// The same, to the last page.
    pub fn pages(service: &str, operation: &str, input: Value) -> Self {
        Self(json!({"service": service, "operation": operation, "input": input, "pages": true}))
    }
    /// A request over HTTP.
    pub fn http(method: &str, url: &str, headers: &Value, body: &str) -> Self {
        Self(json!({"method": method, "url": url, "headers": headers, "body": body}))
    }
}

/// Why a call was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub code: String,
    pub message: String,
}

impl Refused {
    /// Whether it is about the caller, and says nothing of what was asked for.
    pub fn is_about_the_caller(&self) -> bool {
        self.code.contains("AccessDenied") || self.code.contains("Unauthorized") || self.code == "AuthorizationError"
    }
}

pub type Answer = Result<Value, Refused>;

/// The child process; it ends with this value.
pub struct Aws {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Aws {
    /// To the engine of a stack on this machine.
    pub fn here(repository: &Repository, state: &State) -> Result<Self> {
        let mut python = tool(repository, "python");
        with_keys(&mut python, &state.keys);
        python.env("AWS_ENDPOINT_URL", &state.endpoint_url).arg(script(repository));
        Self::start(python)
    }

    /// To AWS, as the caller.
    pub async fn on_aws(repository: &Repository, target: &Target) -> Result<Self> {
        let mut python = Command::new(python(repository).await?);
        python.arg(script(repository)).current_dir(&repository.root);
        for (name, value) in [("--profile", &target.profile), ("--region", &target.region)] {
            if let Some(value) = value {
                python.arg(format!("{name}={value}"));
            }
        }
        Self::start(python)
    }

    fn start(mut python: Command) -> Result<Self> {
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).env("PYTHONDONTWRITEBYTECODE", "1");
        // Ctrl-C is for this program, which ends it.
        let mut child = python.process_group(0).kill_on_drop(true).spawn().context("Python could not be started")?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("Python has no standard input or output")
        };
        Ok(Self { _child: child, input, output: BufReader::new(output).lines() })
    }

    /// All at once, as far as they go.
    pub async fn ask(&mut self, calls: Vec<Call>) -> Result<Vec<Answer>> {
        let line: Value = calls.iter().map(|call| call.0.clone()).collect();
        self.input.write_all(format!("{line}\n").as_bytes()).await.context("aws.py has ended; it says why above")?;
        let said = self.output.next_line().await?.context("aws.py has ended; it says why above")?;
        let said: Vec<Value> = serde_json::from_str(&said).context("aws.py did not answer in JSON")?;
        ensure!(said.len() == calls.len(), "{} calls were answered with {} answers", calls.len(), said.len());
        Ok(said.into_iter().map(answer).collect())
    }

    /// One call.
    pub async fn ask_one(&mut self, call: Call) -> Result<Answer> {
        self.ask(vec![call]).await?.pop().context("a call without an answer")
    }
}

fn answer(mut said: Value) -> Answer {
    match said.get_mut("ok").map(Value::take) {
        Some(answer) => Ok(answer),
        None => {
            let text = |name: &str| said["error"][name].as_str().unwrap_or_default().to_owned();
            Err(Refused { code: text("code"), message: with_hint(&text("message")) })
        }
    }
}

fn script(repository: &Repository) -> std::path::PathBuf {
    repository.root.join("xtask/src/smoke/aws.py")
}

/// A Python that has boto3: that of the project's own sam, or of the system.
async fn python(repository: &Repository) -> Result<std::path::PathBuf> {
    for python in [repository.program("python"), "python3".into()] {
        let mut probe = Command::new(&python);
        probe.args(["-c", "import boto3"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        if probe.status().await.is_ok_and(|status| status.success()) {
            return Ok(python);
        }
    }
    missing("a stack on AWS is asked by Python's boto3, and there is none: `pip install boto3`, or let `cargo xtask up` set up its own.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_a_region_says_how_to_name_one() {
        let refused = answer(json!({"error": {"code": "NoRegionError", "message": "You must specify a region."}})).unwrap_err();
        assert!(refused.message.ends_with("Write --region NAME, or set AWS_REGION."), "{refused:?}");
    }
}
