//! One life of a function: its process, from the start of its bootstrap to its end.
//!
//! [`measure`](crate::measure) starts it and hands it events. It does not pass anything on to it but what Lambda would: the
//! environment of the person who runs the bench stays out.

use crate::{
    process,
    runtime_api::RuntimeApi,
    share::{Cgroups, Share},
};
use anyhow::{Context as _, Result, bail};
use hyper::body::Bytes;
use lambda_kit::{Ambient as _, Real};
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, timeout},
};

/// How long init may take; Lambda gives it ten seconds too
/// (<https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html>).
const INIT_LIMIT: Duration = Duration::from_secs(10);
/// How much of what a function logged is shown where it fails.
const SHOWN_LINES: usize = 5;

/// A bootstrap and what it is started with.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// The program.
    pub program: PathBuf,
    /// Its name, for the logs.
    pub name: String,
    /// Its environment, but for what the runtime sets.
    pub environment: Vec<(String, String)>,
    /// The longest that an invocation may take.
    pub timeout: Duration,
    /// Where it logs.
    pub log: PathBuf,
}

/// A function that has come up.
#[derive(Debug)]
pub struct Function {
    process: Child,
    pid: u32,
    api: RuntimeApi,
    share: Option<Share>,
    timeout: Duration,
    log: PathBuf,
    /// From the start of its process until it asked for work.
    pub init: Duration,
}

impl Function {
    /// Starts it and waits until it asks for work.
    ///
    /// # Errors
    /// It does not start, or not in time; with the end of its log.
    pub async fn start(bootstrap: &Bootstrap, memory_mb: u64) -> Result<Self> {
        let api = RuntimeApi::start().await?;
        let log = File::create(&bootstrap.log).with_context(|| format!("cannot write {}", bootstrap.log.display()))?;
        let mut command = Command::new(&bootstrap.program);
        command.env_clear().stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        for (name, value) in [
            ("AWS_LAMBDA_RUNTIME_API", api.address().to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", bootstrap.name.clone()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory_mb.to_string()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_LOG_LEVEL", "INFO".to_owned()),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "bench".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "bench".to_owned()),
            ("AWS_SESSION_TOKEN", "bench".to_owned()),
        ] {
            command.env(name, value);
        }
        command.envs(bootstrap.environment.iter().map(|(name, value)| (name, value)));
        let started = Instant::now();
        let process = command.spawn().with_context(|| format!("{} cannot be started", bootstrap.program.display()))?;
        let pid = process.id().context("the function ended at once")?;
        let (timeout, log) = (bootstrap.timeout, bootstrap.log.clone());
        let mut function = Self { process, pid, api, share: None, timeout, log, init: Duration::ZERO };
        let up = function.alive(INIT_LIMIT, async |api| api.ready().await).await?;
        function.init = up - started;
        Ok(function)
    }

    /// Holds it to the share of a memory size from now on.
    ///
    /// # Errors
    /// The machine refuses.
    pub fn hold(&mut self, cgroups: &Cgroups, memory_mb: u64) -> Result<()> {
        self.share = Some(cgroups.hold(self.pid, memory_mb)?);
        Ok(())
    }

    /// Hands it an event; returns its answer and how long that took.
    ///
    /// # Errors
    /// It fails, ends, or takes longer than its time-out; with the end of its log.
    pub async fn invoke(&mut self, event: Bytes) -> Result<(Bytes, Duration)> {
        let limit = self.timeout;
        let deadline_ms = Real.now().as_millisecond() + i64::try_from(limit.as_millis())?;
        self.alive(limit, async |api| api.invoke(event.clone(), deadline_ms).await).await
    }

    /// Processor time since its start.
    ///
    /// # Errors
    /// It has ended, or the kernel does not count.
    pub fn cpu(&self) -> Result<Duration> {
        process::cpu(self.pid)
    }

    /// The most memory that it ever held, in KiB.
    ///
    /// # Errors
    /// It has ended.
    pub fn peak_kib(&self) -> Result<u64> {
        process::peak_kib(self.pid)
    }

    /// Ends it, as Lambda does: without asking.
    ///
    /// # Errors
    /// It cannot be ended, or its share stays behind.
    pub async fn end(mut self) -> Result<()> {
        self.process.kill().await?;
        self.share.take().map_or(Ok(()), Share::end)
    }

    /// Adds the end of the log to what went wrong.
    #[must_use]
    pub fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let said = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n  ");
        error.context(format!("the end of {}:\n  {last}", self.log.display()))
    }

    /// Runs `work` for at most `limit`, unless the process ends first.
    async fn alive<T>(&mut self, limit: Duration, work: impl AsyncFnOnce(&mut RuntimeApi) -> Result<T>) -> Result<T> {
        let result = tokio::select! {
            result = timeout(limit, work(&mut self.api)) => match result {
                Ok(result) => result,
                Err(_) => Err(anyhow::anyhow!("no answer within {} s", limit.as_secs())),
            },
            status = self.process.wait() => match status {
                Ok(status) => Err(anyhow::anyhow!("the function has ended ({status})")),
                Err(error) => Err(error.into()),
            },
        };
        result.map_err(|error| self.explain(error))
    }
}

/// Refuses an answer that is no success: a batch that was not handled as expected, a status that is none of 2xx, a question that
/// was not answered.
///
/// # Errors
/// Quotes the answer.
pub fn require_success(answer: &[u8]) -> Result<()> {
    let said: serde_json::Value = serde_json::from_slice(answer).context("the answer is no JSON")?;
    let is_success = match (&said["batchItemFailures"], said["statusCode"].as_u64()) {
        (serde_json::Value::Array(failures), _) => failures.is_empty(),
        (_, Some(status)) => (200..300).contains(&status),
        _ => said["list"].is_array() || said["nudged"].is_object(),
    };
    if !is_success {
        bail!("the function did not do its work: {said}");
    }
    Ok(())
}

/// The folder of a run's logs and certificates, made where it is missing.
///
/// # Errors
/// It cannot be made.
pub fn folder(path: &Path) -> Result<&Path> {
    std::fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_that_was_done_counts() {
        let fits = |answer: &str| require_success(answer.as_bytes()).is_ok();
        assert!(fits(r#"{"batchItemFailures":[]}"#));
        assert!(!fits(r#"{"batchItemFailures":[{"itemIdentifier":"m"}]}"#));
        assert!(fits(r#"{"statusCode":202,"body":""}"#));
        assert!(!fits(r#"{"statusCode":503,"body":""}"#));
        assert!(fits(r#"{"list":[]}"#) && fits(r#"{"nudged":{"status":"received"}}"#));
        assert!(!fits(r#"{"refused":{"error":"MayOnlyLook"}}"#));
        assert!(!fits("{}") && !fits("nonsense"));
    }
}
