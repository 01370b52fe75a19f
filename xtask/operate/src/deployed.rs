//! The two ways to a deployed function that people command: the engine of the stack that runs here, and `sam remote invoke`, which
//! finds the function of a stack on AWS and signs with the caller's own credentials, whatever kind they are.
//! It takes no credentials of its own anywhere, and hands on none but what is in the environment.

use crate::Caller;
use anyhow::{Context, Result, bail};
use clap::Args;
use console::machine::{Repository, answers, missing};
use console::state;
use console::usage::Usage;
use domain::command::Power;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use testkit::stack::{Stack, answered};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Which stack is meant.
#[derive(Args)]
pub struct Target {
    /// Ask the stack of this name on AWS, with your credentials, instead of the one that runs here
    #[arg(long, global = true, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub stack: Option<String>,
    /// The region of that stack, where it is not your profile's
    #[arg(long, global = true, value_name = "REGION", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub region: Option<String>,
    /// The profile of your credentials
    #[arg(long, global = true, value_name = "PROFILE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub profile: Option<String>,
}

/// What every question takes.
#[derive(Args)]
pub struct Asking {
    /// Of which stack
    #[command(flatten)]
    pub target: Target,
    /// Print the answer as one JSON document
    #[arg(long, global = true)]
    pub json: bool,
}

/// A deployed function.
pub struct Deployed {
    /// Its logical id in the template.
    function: &'static str,
    place: Place,
}

/// Where it is.
enum Place {
    /// In the stack that runs here.
    Here(Box<Stack>),
    /// In a stack on AWS.
    OnAws(Sam),
}

/// How sam is called.
struct Sam {
    program: PathBuf,
    arguments: Vec<String>,
    folder: PathBuf,
    /// Where sam keeps what it notes; [`None`] where that is its own place.
    own_files: Option<PathBuf>,
}

impl Deployed {
    /// The function of this logical id, in the stack that is meant.
    ///
    /// # Errors
    /// Where nothing runs here, or nothing says which stack is here; where sam is missing.
    pub fn find(caller: Caller<'_>, target: &Target, function: &'static str) -> Result<Self> {
        let place = match (target.is_on_aws()?, caller.repository) {
            (true, repository) => Place::OnAws(Sam::find(repository, target, function)?),
            (false, Some(repository)) => Place::Here(Box::new(Stack::of(state::require(repository)?))),
            (false, None) => {
                return missing(
                    "without --stack NAME this asks the stack that runs on this machine, and the current folder is in no checkout of \
                     it: say which stack on AWS is meant, or call the command inside the checkout.",
                );
            }
        };
        Ok(Self { function, place })
    }

    /// One invocation, by the alias that stands for `power`.
    pub async fn ask<A: DeserializeOwned>(&self, power: Power, request: &impl Serialize) -> Result<A> {
        let document = serde_json::to_value(request)?;
        let answer = match &self.place {
            Place::Here(stack) => stack.ask(self.function, power.alias(), &document).await?,
            Place::OnAws(sam) => sam.invoke(power, &document).await?,
        };
        serde_json::from_value(answer).context(
            "the deployed function answers otherwise than this program expects: deploy the version that this program is of, or use the \
             program of the version that was deployed",
        )
    }
}

impl Target {
    /// Whether a stack on AWS is meant, and not the one that runs here.
    pub fn is_on_aws(&self) -> Result<bool> {
        match (&self.stack, &self.region, &self.profile) {
            (Some(_), ..) => Ok(true),
            (None, None, None) => Ok(false),
            // Meant for AWS, and about to change something here.
            (None, ..) => Err(Usage("--region and --profile are for a stack on AWS: say which with --stack NAME".to_owned()).into()),
        }
    }
    /// The same flags again, for commands that are proposed.
    pub fn flags(&self) -> String {
        let given = [("--stack", &self.stack), ("--region", &self.region), ("--profile", &self.profile)];
        given.into_iter().filter_map(|(name, value)| Some(format!(" {name} {}", quoted(value.as_ref()?)))).collect()
    }
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/' | b':'));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

impl Sam {
    fn find(repository: Option<&Repository>, target: &Target, function: &str) -> Result<Self> {
        let own = repository.map(|repository| repository.program("sam")).filter(|sam| sam.is_file());
        let program = match own {
            Some(own) => own,
            None if answers("sam", "--version") => "sam".into(),
            None => {
                return missing(
                    "a stack on AWS is asked by sam, and none is on the PATH: install the AWS SAM CLI. In a checkout `cargo xtask up` \
                     sets up its own.",
                );
            }
        };
        if let Some(repository) = repository {
            repository.keep_local_private()?;
        }
        // In one word each: what begins with a dash stays a value.
        let given = [("--stack-name", &target.stack), ("--region", &target.region), ("--profile", &target.profile)];
        let given = given.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
        let fixed = ["remote", "invoke", function, "--event-file", "-", "--output", "json"].map(str::to_owned);
        let arguments = fixed.into_iter().chain(given).collect();
        // Outside of a checkout in no project's folder: sam would take parameters from a samconfig.toml that lies there
        // (https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-config.html).
        let folder = repository.map_or_else(|| PathBuf::from("/"), |repository| repository.root.clone());
        let own_files = repository.map(|repository| repository.local().join("sam-cli"));
        Ok(Self { program, arguments, folder, own_files })
    }

    async fn invoke(&self, power: Power, document: &Value) -> Result<Value> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg(format!("--parameter=Qualifier={}", power.alias())).current_dir(&self.folder);
        // It tells nobody that it was called, and with a folder of its own it looks for no newer version of itself.
        command.env("SAM_CLI_TELEMETRY", "0").envs(self.own_files.iter().map(|folder| ("__SAM_CLI_APP_DIR", folder)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-C is for this program, which ends sam.
        command.process_group(0).kill_on_drop(true);
        let mut sam = command.spawn().context("sam could not be started")?;
        let mut stdin = sam.stdin.take().context("sam has no standard input")?;
        let hand_over = async move {
            // If sam has ended before it read all, it says why.
            drop(stdin.write_all(document.to_string().as_bytes()).await);
        };
        let ((), output) = tokio::join!(hand_over, sam.wait_with_output());
        let output = output?;
        if !output.status.success() {
            bail!("{}", reason(&String::from_utf8_lossy(&output.stderr)));
        }
        payload(&output.stdout)
    }
}

/// Lambda's response, in what sam prints: `{"Payload": {…}, "StatusCode": 200, …}`.
fn payload(printed: &[u8]) -> Result<Value> {
    let mut printed: Value = serde_json::from_slice(printed).context("sam printed no JSON")?;
    match printed.get_mut("Payload").map(Value::take) {
        // The document itself, as text.
        Some(Value::String(text)) => answered(serde_json::from_str(&text).context("the function's answer is not JSON")?),
        Some(payload) => answered(payload),
        None => bail!("sam printed no answer of the function"),
    }
}

/// The sentence of sam's that says what is wrong.
fn reason(said: &str) -> String {
    let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
    let error = lines().find_map(|line| line.strip_prefix("Error: "));
    let sentence = error.or_else(|| lines().next_back()).unwrap_or("sam ended without a word");
    format!("sam: {}", with_hint(sentence))
}

/// What boto says, and how to say it to these commands where it does not know one.
pub fn with_hint(said: &str) -> String {
    let hint = if said.contains("must specify a region") { " Write --region NAME, or set AWS_REGION." } else { "" };
    format!("{said}{hint}")
}

/// Who asks, by what the system calls them. It is a word for people: CloudTrail knows whose credentials they were.
pub fn by() -> String {
    let named = ["USER", "LOGNAME"].into_iter().filter_map(|name| std::env::var(name).ok()).find(|name| !name.is_empty());
    named.unwrap_or_else(|| "unknown".to_owned())
}

/// In one piece, and not by `print!`: a reader who has seen enough, `grep -q` for instance, takes nothing from the exit status.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("the answer cannot be printed"),
    }
}

/// Now, by the clock of this machine.
#[expect(clippy::disallowed_methods, reason = "an age needs the time of this machine")]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn target(stack: Option<&str>, region: Option<&str>, profile: Option<&str>) -> Target {
        let [stack, region, profile] = [stack, region, profile].map(|text| text.map(str::to_owned));
        Target { stack, region, profile }
    }

    #[test]
    fn a_region_without_a_stack_is_refused_before_anything_is_asked() {
        let repository = Repository::find().unwrap();
        for target in [target(None, Some("eu-central-1"), None), target(None, None, Some("prod"))] {
            for repository in [Some(&repository), None] {
                let caller = Caller { program: "cargo xtask", repository };
                let error = Deployed::find(caller, &target, "F").err().unwrap();
                assert!(error.is::<Usage>() && error.to_string().contains("--stack NAME"), "{error}");
            }
        }
    }

    #[test]
    fn proposed_commands_mean_the_same_stack() {
        assert_eq!(target(None, None, None).flags(), "");
        assert_eq!(target(Some("prod"), Some("eu-west-1"), Some("my own")).flags(), " --stack prod --region eu-west-1 --profile 'my own'");
    }

    #[test]
    fn the_answer_is_found_in_what_sam_prints() {
        let answer = json!({"list": []});
        assert_eq!(payload(json!({"StatusCode": 200, "Payload": answer}).to_string().as_bytes()).unwrap(), answer);
        assert_eq!(payload(json!({"StatusCode": 200, "Payload": answer.to_string()}).to_string().as_bytes()).unwrap(), answer);
        let failed = json!({"FunctionError": "Unhandled", "Payload": {"errorMessage": "Task timed out", "errorType": "T"}});
        assert!(payload(failed.to_string().as_bytes()).unwrap_err().to_string().contains("Task timed out"));
        assert!(payload(b"").is_err() && payload(b"{}").is_err());
    }

    #[test]
    fn of_what_sam_says_the_error_is_the_reason() {
        assert_eq!(reason("\nInvoking\nError: no such stack\nhint\n"), "sam: no such stack");
        assert_eq!(reason("Aborted!\n\n"), "sam: Aborted!");
        assert_eq!(reason(""), "sam: sam ended without a word");
        let hint = "You must specify a region. Write --region NAME, or set AWS_REGION.";
        assert_eq!(reason("Error: You must specify a region.\n"), format!("sam: {hint}"));
    }
}
