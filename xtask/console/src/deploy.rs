//! Deploys `template.yaml` into the engine by `sam deploy`, the same way it goes to AWS, and says what changed.
//! It does nothing that a deployment to AWS would not need as well, but for the bucket, which AWS's sam makes by itself.

use crate::build::{Built, CONFIG_ENV, architecture_override, tool, with_keys};
use crate::machine::Repository;
use crate::processes::provider_port;
use crate::progress::{Progress, behind, dim, log_of};
use crate::seed;
use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use testkit::engine::{self, Engine, Keys};
use testkit::shop::new_key;
use testkit::stack::State;

/// sam looks at the stack every five seconds unless told otherwise; the engine is done in a tenth of one.
const SAM_POLL_SECONDS: &str = "0.2";
/// As wide as it takes to keep the longest logical id in one piece, which is read from its table.
const SAM_COLUMNS: &str = "240";

/// The settings in samconfig.toml for the local deployment.
#[derive(Deserialize)]
struct Config {
    local: Local,
}
#[derive(Deserialize)]
struct Local {
    global: Parameters<Global>,
    deploy: Parameters<Deploy>,
}
#[derive(Deserialize)]
struct Parameters<T> {
    parameters: T,
}
#[derive(Deserialize)]
struct Global {
    stack_name: String,
    parameter_overrides: Vec<String>,
}
#[derive(Deserialize)]
struct Deploy {
    s3_bucket: String,
}

/// The services that a stack is deployed to.
pub struct Target<'a> {
    /// Of the engine.
    pub port: u16,
    /// Of the engine and of the payment provider.
    pub pids: (u32, u32),
    /// The key for opens.
    pub keys: Keys,
    /// Where the state file goes.
    pub folder: &'a Path,
    /// Parameters in place of those of samconfig.toml, as `Name=Value`.
    pub parameters: &'a [&'a str],
}

/// Deploys, sets the payment provider's key, seeds, and writes the state file.
pub async fn run(repository: &Repository, built: &Built, target: Target<'_>, progress: &mut Progress) -> Result<State> {
    let Target { port, pids, keys, folder, parameters } = target;
    let config = config(repository)?;
    let engine = Engine::new(&engine::url(port), &keys);
    let stripe_url = engine::url(provider_port(port));
    let before = engine.outputs(&config.local.global.parameters.stack_name).await?;
    if let (Some(_), Some(state)) = (&before, deployed_already(built, port, pids, folder)?) {
        progress.done("Deploy by sam", Instant::now(), "unchanged");
        return Ok(state);
    }

    engine.rest("s3", "PUT", &format!("/{}", config.local.deploy.parameters.s3_bucket), "").await?;
    let mut sam = tool(repository, "sam");
    sam.args(["deploy", "--config-env", CONFIG_ENV, "--config-file"]).arg(repository.root.join("samconfig.toml"));
    sam.arg("--template-file").arg(&built.template).args(["--no-progressbar", "--parameter-overrides"]);
    sam.args(overrides(&config.local.global.parameters.parameter_overrides, &stripe_url, parameters));
    with_keys(&mut sam, &keys);
    sam.env("AWS_ENDPOINT_URL", engine::url(port)).env("SAM_CLI_POLL_DELAY", SAM_POLL_SECONDS).env("COLUMNS", SAM_COLUMNS);
    let said = progress.run("Deploy by sam", sam, &log_of(folder, "sam-deploy"), repository).await?;
    if before.is_some() {
        report(&changes(&said));
    }

    let outputs = engine.outputs(&config.local.global.parameters.stack_name).await?.context("sam deployed no stack")?;
    let api_id = outputs.get("ApiId").context("the stack has no output ApiId; template.yaml should have one")?;
    let state = State {
        endpoint_url: engine::url(port),
        region: engine::REGION.into(),
        stack_name: config.local.global.parameters.stack_name,
        // The engine answers for every API at one address; ApiUrl is where AWS would.
        api_url: format!("{}/_aws/execute-api/{api_id}/$default", engine::url(port)),
        stripe_url,
        outputs,
        engine_pid: pids.0,
        stripe_pid: pids.1,
        keys,
    };
    // The token: any will do, but Secrets Manager wants one from clients that are not its SDK.
    let secret =
        json!({ "SecretId": state.output("StripeKeySecretArn")?, "SecretString": state.keys.provider, "ClientRequestToken": new_key() });
    engine.call("secretsmanager", "secretsmanager.PutSecretValue", &secret).await?;
    seed::run(repository, &state).await?;
    state.write(folder)?;
    Ok(state)
}

/// The state of this engine's stack, if it was written after the package was made: then there is nothing to deploy.
fn deployed_already(built: &Built, port: u16, pids: (u32, u32), folder: &Path) -> Result<Option<State>> {
    let modified = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    let Some(state) = State::read(folder)? else { return Ok(None) };
    let same_engine = state.endpoint_url == engine::url(port) && (state.engine_pid, state.stripe_pid) == pids;
    let is_newer = modified(&State::path(folder)) > modified(&built.template);
    Ok((same_engine && is_newer).then_some(state))
}

fn config(repository: &Repository) -> Result<Config> {
    let path = repository.root.join("samconfig.toml");
    let text = std::fs::read_to_string(&path).context("samconfig.toml cannot be read")?;
    toml::from_str(&text).context("samconfig.toml lacks something of [local.global.parameters] or [local.deploy.parameters]")
}

/// Given on the command line the parameters replace those of samconfig.toml, so all of them are said, with this run's own ports.
fn overrides(configured: &[String], stripe_url: &str, parameters: &[&str]) -> Vec<String> {
    let own = [Some(format!("StripeApiUrl={stripe_url}")), architecture_override().map(str::to_owned)];
    let own: Vec<String> = own.into_iter().flatten().chain(parameters.iter().map(|&parameter| parameter.to_owned())).collect();
    let name = |parameter: &str| parameter.split('=').next().unwrap_or_default().to_owned();
    let kept = configured.iter().filter(|c| !own.iter().any(|o| name(o) == name(c))).cloned();
    kept.chain(own.iter().cloned()).collect()
}

/// The operations of the change set, by operation, as `sam deploy` lists it:
/// `* Modify   PaymentFunction   AWS::Lambda::Function`.
fn changes(said: &str) -> BTreeMap<&'static str, Vec<String>> {
    let mut changes: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for line in said.lines() {
        let mut words = line.split_whitespace();
        let operation = match (words.next(), words.next()) {
            (Some("+"), Some("Add")) => "added",
            (Some("*"), Some("Modify")) => "changed",
            (Some("-"), Some("Delete")) => "removed",
            _ => continue,
        };
        if let Some(resource) = words.next() {
            changes.entry(operation).or_default().push(resource.to_owned());
        }
    }
    changes
}

fn report(changes: &BTreeMap<&'static str, Vec<String>>) {
    if changes.is_empty() {
        println!("  {}", dim("nothing changed"));
    }
    for (operation, resources) in changes {
        println!("{}", dim(&behind(&format!("  {operation}: "), &resources.join(", "))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_runs_parameters_replace_those_of_the_file() {
        let configured = ["Stage=local".to_owned(), "StripeApiUrl=http://127.0.0.1:4567".to_owned(), "NudgeAfterSeconds=3".to_owned()];
        let overridden = overrides(&configured, "http://127.0.0.1:9999", &["NudgeAfterSeconds=5"]);
        assert_eq!(overridden[0], "Stage=local");
        assert_eq!(overridden[1], "StripeApiUrl=http://127.0.0.1:9999");
        assert!(overridden.contains(&"NudgeAfterSeconds=5".to_owned()));
        assert!(!overridden.contains(&configured[1]) && !overridden.contains(&configured[2]));
    }

    #[test]
    fn the_change_set_is_read_from_sams_table() {
        let said = "Operation   LogicalResourceId   ResourceType   Replacement\n\
                    * Modify                 PaymentFunction          AWS::Lambda::Function    False\n\
                    + Add                    NewQueue                 AWS::SQS::Queue          N/A\n\
                    Waiting for stack create/update to complete\n";
        let changes = changes(said);
        assert_eq!(changes["changed"], ["PaymentFunction"]);
        assert_eq!(changes["added"], ["NewQueue"]);
        assert_eq!(changes.len(), 2);
    }
}
