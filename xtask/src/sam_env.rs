//! `sam-env`: what `sam local invoke`, `start-api` and `start-lambda` need, so that a function in a container works on the tables,
//! queues and topics of the running stack.
//!
//! sam hands a function only the variables that the template declares, resolves a `!Ref` to a logical id, and puts the caller's AWS
//! keys into the container. So this writes two files: the variables of the deployed functions, with the engine's address and its
//! keys; and a copy of the built template that declares these as well. Both are named in samconfig.toml, for `--config-env local`.
//! And because the engine listens on the loopback interface alone, which a container does not share, it opens a [`Door`]: the
//! address by which containers reach this machine, and no other network does.

use anyhow::{Context as _, Result};
use clap::Args;
use command_line::screen::{self, width};
use console::build;
use console::machine::{Repository, logical_id, missing};
use console::progress::{bold, lines};
use console::state::{self, port_of};
use serde_json::{Map, Value, json};
use std::io::ErrorKind;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use testkit::engine::{self, deployed};
use testkit::stack::{State, write_private};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// What sam is told to declare beside what the template declares. An address and keys of this machine's engine, so that neither a
/// profile nor a region of the shell that calls sam reaches a function.
const DECLARED: [&str; 6] =
    ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"];
/// Left as it is: payment speaks plain HTTP to the loopback interface alone, so from a container it reaches no payment provider, and
/// answers that its message has to come back.
const LEFT_ALONE: &str = "STRIPE_API_URL";

#[derive(Args)]
pub struct Options {
    /// The address of this machine on the containers' network; by default the gateway of Docker's own bridge
    #[arg(long, value_name = "ADDRESS")]
    host: Option<IpAddr>,
}

/// Writes the files and keeps the door open until Ctrl-C, which removes the file with the keys.
pub async fn run(repository: &Repository, options: &Options) -> Result<()> {
    let state = state::require(repository)?;
    let host = match options.host {
        Some(host) => host,
        None => bridge().await?,
    };
    let door = Door::open(&state, host).await?;
    let files = Files::write(repository, &state, host, &repository.local().join("sam-local")).await?;
    println!("{}\n", lines(&format!("Containers reach the engine at {}, until Ctrl-C. In another terminal, here:", door.url), ""));
    for command in [
        "sam local invoke OrderIntakeFunction -e events/order-intake/place-order.json --config-env local",
        "sam local start-api --config-env local",
        "sam local start-lambda --config-env local",
    ] {
        println!("{}", bold(&screen::command(command, "  ", width(&std::io::stdout()))));
    }
    let files_note = format!("The variables are in {}, with keys that open the engine.", repository.shown(&files.environment));
    println!("\n{}", lines(&files_note, ""));
    door.forward().await
}

/// The gateway of Docker's default bridge, which is this machine as its containers see it.
async fn bridge() -> Result<IpAddr> {
    let mut docker = Command::new("docker");
    docker.args(["network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}"]).kill_on_drop(true);
    let said = match docker.output().await {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    match said.parse() {
        Ok(address) => Ok(address),
        Err(_) => missing(format!(
            "sam runs functions in containers, and Docker does not say how they reach this machine ({said}). Start Docker, or name this \
             machine's address on the containers' network with --host ADDRESS."
        )),
    }
}

/// The containers' way to the engine.
pub struct Door {
    listener: TcpListener,
    engine_port: u16,
    /// The engine, as containers name it.
    url: String,
}

impl Door {
    pub async fn open(state: &State, host: IpAddr) -> Result<Self> {
        let engine_port = port_of(state)?;
        let listener = TcpListener::bind((host, engine_port)).await;
        let listener = listener.with_context(|| format!("containers should reach this machine at {host}, and nothing can listen there"))?;
        Ok(Self { listener, engine_port, url: endpoint(host, engine_port) })
    }

    /// Passes on what containers send, for as long as this is awaited.
    pub async fn forward(&self) -> Result<()> {
        loop {
            let (mut container, _) = self.listener.accept().await?;
            let port = self.engine_port;
            // A connection that breaks shows in the container, whose function then fails; here there is nobody to tell.
            tokio::spawn(async move {
                let mut engine = TcpStream::connect(("127.0.0.1", port)).await?;
                tokio::io::copy_bidirectional(&mut container, &mut engine).await
            });
        }
    }
}

fn endpoint(host: IpAddr, port: u16) -> String {
    format!("http://{}", std::net::SocketAddr::new(host, port))
}

/// What sam is handed. The file with the keys goes with this value.
pub struct Files {
    pub template: PathBuf,
    pub environment: PathBuf,
}

impl Files {
    /// Writes both, the variables into `folder`.
    pub async fn write(repository: &Repository, state: &State, host: IpAddr, folder: &Path) -> Result<Self> {
        let built = build::folder(repository).join("template.yaml");
        let built = std::fs::read_to_string(&built).with_context(|| format!("{} cannot be read", built.display()))?;
        // Beside the built one, because the paths to the functions in it are relative.
        let template = build::folder(repository).join("sam-local.yaml");
        std::fs::write(&template, declaring(&built)?)?;
        std::fs::create_dir_all(folder)?;
        let environment = folder.join("env.json");
        let functions = state.engine().functions().await?;
        let mut all = Map::new();
        for function in repository.functions()? {
            let id = logical_id(&function);
            let variables = &deployed(&functions, &id)?["Environment"]["Variables"];
            all.insert(id, variables_of(variables, state, host)?);
        }
        // Its keys open the engine, which runs programs as its user.
        write_private(&environment, &json!(all).to_string())?;
        Ok(Self { template, environment })
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.environment)
            && error.kind() != ErrorKind::NotFound
        {
            eprintln!("{} holds keys and could not be removed: {error}", self.environment.display());
        }
    }
}

/// A function's variables as its container needs them: this machine under the name that containers know, and the engine's keys.
fn variables_of(deployed: &Value, state: &State, host: IpAddr) -> Result<Value> {
    let from_container = |text: &str| text.replace("127.0.0.1", &host.to_string()).replace("localhost", &host.to_string());
    let mut variables = Map::new();
    for (name, value) in deployed.as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        variables.insert(name.clone(), if name == LEFT_ALONE { text.to_owned() } else { from_container(text) }.into());
    }
    let url = endpoint(host, port_of(state)?);
    let own = [&*url, &state.keys.root, &state.keys.root, "", engine::REGION, engine::REGION];
    variables.extend(DECLARED.iter().zip(own).map(|(name, value)| ((*name).to_owned(), value.into())));
    Ok(variables.into())
}

/// The built template with [`DECLARED`] among the variables of every function. As text: sam writes it, in one form.
fn declaring(built: &str) -> Result<String> {
    const BEFORE: &str = "\nGlobals:\n  Function:\n";
    let (head, tail) = built.split_once(BEFORE).context("the built template has no Globals for functions to declare variables in")?;
    let globals = tail.lines().take_while(|line| line.starts_with("    "));
    anyhow::ensure!(
        !globals.into_iter().any(|line| line == "    Environment:"),
        "the template has global variables by now: declare these there"
    );
    let declared: String = DECLARED.iter().map(|name| format!("        {name}: ''\n")).collect();
    Ok(format!("{head}{BEFORE}    Environment:\n      Variables:\n{declared}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const HOST: &str = "172.17.0.1";

    fn state() -> State {
        let state = json!({
            "endpoint_url": "http://127.0.0.1:4566", "region": "us-east-1", "stack_name": "order-pipeline", "api_url": "http://127.0.0.1:4566/x",
            "stripe_url": "http://127.0.0.1:4567", "outputs": {}, "engine_pid": 1, "stripe_pid": 1,
            "keys": {"root": "local1", "provider": "sk_test_1"}
        });
        serde_json::from_value(state).unwrap()
    }

    #[test]
    fn a_container_gets_the_engines_address_and_keys() {
        let deployed =
            json!({"QUEUE_URL": "http://127.0.0.1:4566/000000000000/q", "STRIPE_API_URL": "http://127.0.0.1:4567", "TABLE": "orders"});
        let variables = variables_of(&deployed, &state(), HOST.parse().unwrap()).unwrap();
        assert_eq!(variables["QUEUE_URL"], "http://172.17.0.1:4566/000000000000/q");
        assert_eq!((&variables["STRIPE_API_URL"], &variables["TABLE"]), (&json!("http://127.0.0.1:4567"), &json!("orders")));
        assert_eq!(variables["AWS_ENDPOINT_URL"], "http://172.17.0.1:4566");
        assert_eq!((&variables["AWS_ACCESS_KEY_ID"], &variables["AWS_SESSION_TOKEN"]), (&json!("local1"), &json!("")));
    }

    #[test]
    fn the_copied_template_declares_what_sam_hands_over() {
        let built = "A: 1\nGlobals:\n  Function:\n    Runtime: provided.al2023\nResources: {}\n";
        let copy = declaring(built).unwrap();
        let expected = "Globals:\n  Function:\n    Environment:\n      Variables:\n        AWS_ENDPOINT_URL: ''\n";
        assert!(copy.contains(expected) && copy.ends_with("    Runtime: provided.al2023\nResources: {}\n"), "{copy}");
        assert!(declaring(&copy).is_err(), "a second declaration would replace the first");
        assert!(declaring("Resources: {}\n").is_err());
    }

    #[test]
    fn the_file_with_the_keys_is_its_owners_alone() {
        let path = std::env::temp_dir().join(format!("xtask-sam-env-{}.json", std::process::id()));
        std::fs::write(&path, "{}").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        write_private(&path, "{\"key\": 1}").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(Files { template: PathBuf::new(), environment: path.clone() });
        assert!(!path.exists(), "and goes with the command");
    }
}
