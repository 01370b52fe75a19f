//! Calls to the local engine and to the payment provider beside it, as plain JSON over HTTP.
//!
//! The AWS SDK would say the same, and take longer to compile than all the rest of this program. The engine takes the root
//! key by name and does not check signatures, so this works nowhere else: there is no way to reach AWS from here. The name is
//! therefore the secret, new with every start ([`Keys`]).

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{fmt, io::Read as _, time::Duration};

/// The secrets of one start of the engine and of the payment provider. `Debug` hides them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// The engine's all-powerful access key, and its secret too: a program that has it runs what it likes as the developer.
    pub root: String,
    /// The payment provider's key.
    pub provider: String,
}

impl Keys {
    /// Draws new ones from the system's source of secrets.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn draw() -> Result<Self> {
        /// As much as a UUID has: nobody guesses it.
        const KEY_BYTES: usize = 16;
        let drawn = |beginning: &str| -> Result<String> {
            let mut bytes = [0; KEY_BYTES];
            std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
            Ok(bytes.iter().fold(beginning.to_owned(), |key, byte| format!("{key}{byte:02x}")))
        };
        // As no key of AWS begins, so that the engine can refuse to start with a real one.
        Ok(Self { root: drawn("local")?, provider: drawn("sk_test_")? })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[keys]")
    }
}

/// The region that the engine plays.
pub const REGION: &str = "us-east-1";

/// A call on one machine that takes longer hangs.
const CALL_LIMIT: Duration = Duration::from_secs(20);
/// An invocation may take as long as the slowest function of the template, 60 s, and a cold start.
const INVOCATION_LIMIT: Duration = Duration::from_secs(70);

/// The address of a port of this machine.
pub fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// A status and a body.
pub struct HttpAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Names and values, in their order.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl HttpAnswer {
    /// The body as JSON.
    ///
    /// # Errors
    /// Where it is none, with what it is.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.body).with_context(|| format!("not JSON (status {}): {}", self.status, self.body))
    }
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
    fn successful(self, what: &str) -> Result<Self> {
        if self.status >= 300 {
            bail!("{what} was answered with {}: {}", self.status, self.body);
        }
        Ok(self)
    }
}

/// One request. An answer of any status is an answer.
pub async fn request(method: &str, url: &str, headers: &[(&str, &str)], body: String) -> Result<HttpAnswer> {
    request_within(CALL_LIMIT, method, url, headers, body).await
}

async fn request_within(limit: Duration, method: &str, url: &str, headers: &[(&str, &str)], body: String) -> Result<HttpAnswer> {
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(body)?;
    let shown = format!("{method} {}", request.uri());
    // The client blocks, which is small; a thread each is fine for a handful of calls.
    let work = tokio::task::spawn_blocking(move || -> Result<HttpAnswer> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(limit))
            // A proxy of this machine's environment has no business between loopback and loopback.
            .proxy(None)
            .allow_non_standard_methods(true)
            .build()
            .into();
        let mut response = agent.run(request)?;
        Ok(HttpAnswer {
            status: response.status().as_u16(),
            headers: response.headers().iter().map(|(k, v)| (k.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect(),
            body: response.body_mut().read_to_string()?,
        })
    });
    work.await?.with_context(|| shown)
}

/// The engine at one port.
#[derive(Clone)]
pub struct Engine {
    endpoint_url: String,
    root_key: String,
}

impl Engine {
    /// The engine at `endpoint_url`, which was started with `keys`.
    pub fn new(endpoint_url: &str, keys: &Keys) -> Self {
        Self { endpoint_url: endpoint_url.to_owned(), root_key: keys.root.clone() }
    }

    fn authorization(&self, service: &str) -> String {
        let key = &self.root_key;
        format!("AWS4-HMAC-SHA256 Credential={key}/20260101/{REGION}/{service}/aws4_request, SignedHeaders=host, Signature=none")
    }

    /// An action of a service that speaks JSON: its target is `<version>.<Action>`.
    pub async fn call(&self, service: &str, target: &str, input: &Value) -> Result<Value> {
        let version = match service {
            "dynamodb" | "sqs" => "application/x-amz-json-1.0",
            _ => "application/x-amz-json-1.1",
        };
        let headers = [("Authorization", &*self.authorization(service)), ("X-Amz-Target", target), ("Content-Type", version)];
        let answer = request("POST", &self.endpoint_url, &headers, input.to_string()).await?.successful(target)?;
        if answer.body.is_empty() { Ok(Value::Null) } else { answer.json() }
    }

    /// An action of a service that speaks the query protocol; the answer is XML.
    ///
    /// # Errors
    /// Where the engine refuses, with what it said.
    pub async fn query(&self, service: &str, form: &[(&str, &str)]) -> Result<String> {
        let mut body = String::new();
        for (name, value) in form {
            let separator = if body.is_empty() { "" } else { "&" };
            body.push_str(&format!("{separator}{}={}", encode(name), encode(value)));
        }
        let headers = [("Authorization", &*self.authorization(service)), ("Content-Type", "application/x-www-form-urlencoded")];
        Ok(request("POST", &self.endpoint_url, &headers, body).await?.successful(service)?.body)
    }

    /// A call to a service that speaks REST.
    pub async fn rest(&self, service: &str, method: &str, path: &str, body: &str) -> Result<HttpAnswer> {
        let headers = [("Authorization", &*self.authorization(service)), ("Content-Type", "application/json")];
        request(method, &format!("{}{path}", self.endpoint_url), &headers, body.to_owned()).await?.successful(path)
    }

    /// Invokes a function and waits for it; returns its answer and the tail of its log.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn invoke(&self, function: &str, event: &Value) -> Result<(Value, String)> {
        let headers = [("Authorization", &*self.authorization("lambda")), ("X-Amz-Log-Type", "Tail")];
        let url = format!("{}/2015-03-31/functions/{function}/invocations", self.endpoint_url);
        let answer = request_within(INVOCATION_LIMIT, "POST", &url, &headers, event.to_string()).await?.successful(function)?;
        let tail = answer.header("X-Amz-Log-Result").unwrap_or_default();
        let tail = base64_simd::STANDARD.decode_to_vec(tail).context("the log's tail is not base64")?;
        Ok((answer.json()?, String::from_utf8_lossy(&tail).into_owned()))
    }

    /// The inline policies of a role, by name.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn role_policies(&self, role: &str) -> Result<std::collections::BTreeMap<String, Value>> {
        let action = |action| [("Action", action), ("Version", "2010-05-08"), ("RoleName", role)];
        let names = self.query("iam", &action("ListRolePolicies")).await?;
        let mut policies = std::collections::BTreeMap::new();
        for name in names.split("<member>").skip(1).filter_map(|member| Some(member.split_once('<')?.0)) {
            let form = [action("GetRolePolicy").as_slice(), &[("PolicyName", name)]].concat();
            let answer = self.query("iam", &form).await?;
            let document = element(&answer, "PolicyDocument").context("a policy without a document")?;
            policies.insert(name.to_owned(), serde_json::from_str(&decode(&document)).context("a policy's document is not JSON")?);
        }
        Ok(policies)
    }

    /// Replaces an inline policy of a role.
    ///
    /// # Errors
    /// Where the engine refuses.
    pub async fn put_role_policy(&self, role: &str, name: &str, document: &Value) -> Result<()> {
        let document = document.to_string();
        let form = [
            ("Action", "PutRolePolicy"),
            ("Version", "2010-05-08"),
            ("RoleName", role),
            ("PolicyName", name),
            ("PolicyDocument", &document),
        ];
        self.query("iam", &form).await.map(drop)
    }

    /// The outputs of a stack, or [`None`] if there is none.
    pub async fn outputs(&self, stack: &str) -> Result<Option<std::collections::BTreeMap<String, String>>> {
        let headers = [("Authorization", &*self.authorization("cloudformation")), ("Content-Type", "application/x-www-form-urlencoded")];
        let form = format!("Action=DescribeStacks&Version=2010-05-15&StackName={stack}");
        let answer = request("POST", &self.endpoint_url, &headers, form).await?;
        if answer.status == 400 && answer.body.contains("does not exist") {
            return Ok(None);
        }
        Ok(Some(outputs_of(&answer.successful("DescribeStacks")?.body)))
    }

    /// The functions of the stack: their configurations as Lambda tells them.
    pub async fn functions(&self) -> Result<Vec<Value>> {
        let answer = self.rest("lambda", "GET", "/2015-03-31/functions?MaxItems=50", "").await?.json()?;
        Ok(answer["Functions"].as_array().cloned().unwrap_or_default())
    }

    /// The name in the account of the function that the template calls `logical_id`.
    ///
    /// # Errors
    /// Where it is not deployed, or the engine refuses.
    pub async fn function(&self, logical_id: &str) -> Result<String> {
        let functions = self.functions().await?;
        Ok(deployed(&functions, logical_id)?["FunctionName"].as_str().unwrap_or_default().to_owned())
    }

    /// Pauses or resumes the queue of a function, and waits until that holds.
    pub async fn set_event_source(&self, logical_id: &str, enabled: bool) -> Result<()> {
        let function = self.function(logical_id).await?;
        let path = "/2015-03-31/event-source-mappings/";
        let mappings = self.rest("lambda", "GET", &format!("{path}?FunctionName={function}"), "").await?.json()?;
        let id = mappings["EventSourceMappings"][0]["UUID"].as_str().with_context(|| format!("{logical_id} has no queue"))?.to_owned();
        self.rest("lambda", "PUT", &format!("{path}{id}"), &json!({ "Enabled": enabled }).to_string()).await?;
        Ok(())
    }
}

/// Of all [`Engine::functions`] the one that the template calls `logical_id`.
///
/// # Errors
/// Where it is not deployed.
pub fn deployed<'f>(functions: &'f [Value], logical_id: &str) -> Result<&'f Value> {
    let found = functions.iter().find(|function| function["FunctionName"].as_str().is_some_and(|name| name.contains(logical_id)));
    found.with_context(|| format!("no {logical_id} is deployed: `cargo xtask up` deploys what is missing"))
}

/// The name of the role that one of [`Engine::functions`] runs as.
///
/// # Errors
/// Where it has none.
pub fn role_of(function: &Value) -> Result<&str> {
    function["Role"].as_str().and_then(|arn| arn.rsplit('/').next()).context("a function without a role")
}

/// A process of a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionProcess {
    /// Its process id.
    pub pid: u32,
    /// The name of the function that it runs.
    pub function: String,
}

/// What a function's process signs its calls with, and so would somebody who has taken it over.
pub struct Credentials {
    /// Whose they are.
    pub access_key_id: String,
    /// What signs. The engine checks signatures of all but its own key.
    pub secret_access_key: String,
    /// What makes them those of a role.
    pub session_token: String,
}

impl FunctionProcess {
    /// Its credentials, out of its environment.
    ///
    /// # Errors
    /// Where it has ended, or has none.
    pub fn credentials(&self) -> Result<Credentials> {
        let environment = std::fs::read(format!("/proc/{}/environ", self.pid))?;
        let variable = |name: &str| {
            let mut variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            let found = variables.find_map(|variable| Some(variable.strip_prefix(name)?.strip_prefix('=')?.to_owned()));
            found.with_context(|| format!("{} runs without {name}", self.function))
        };
        Ok(Credentials {
            access_key_id: variable("AWS_ACCESS_KEY_ID")?,
            secret_access_key: variable("AWS_SECRET_ACCESS_KEY")?,
            session_token: variable("AWS_SESSION_TOKEN")?,
        })
    }
}

/// The processes that the engine runs functions in: its descendants.
pub fn function_processes(engine_pid: u32) -> Vec<FunctionProcess> {
    // Each process says who its parent is. The lists of children that a thread has miss those of a thread that is just ending.
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let born: Vec<_> = pids.filter_map(|pid| Some((pid, parent(pid)?))).collect();
    let (mut found, mut parents) = (Vec::new(), vec![engine_pid]);
    while let Some(parent) = parents.pop() {
        let children = born.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid);
        for pid in children {
            found.push(pid);
            parents.push(pid);
        }
    }
    let runs = |pid: u32| {
        let is_function = std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("bootstrap"));
        let environment = is_function.then(|| std::fs::read(format!("/proc/{pid}/environ")).ok())??;
        let mut variables = environment.split(|byte| *byte == 0);
        let name = variables.find_map(|variable| variable.strip_prefix(b"AWS_LAMBDA_FUNCTION_NAME="))?;
        Some(FunctionProcess { pid, function: String::from_utf8_lossy(name).into_owned() })
    };
    found.into_iter().filter_map(runs).collect()
}

/// The process that started this one, as far as it lives.
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may hold anything, in brackets: the state and the parent.
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// Whether an engine answers at `port`.
pub async fn is_healthy(port: u16) -> bool {
    request("GET", &format!("{}/_ministack/health", url(port)), &[], String::new()).await.is_ok_and(|answer| answer.status == 200)
}

/// Whether a payment provider answers at `port`.
pub async fn provider_answers(port: u16, keys: &Keys) -> bool {
    provider(&url(port), keys, "/v1/payment_intents?limit=1").await.is_ok()
}

/// Reads from the payment provider's own book.
pub async fn provider(provider_url: &str, keys: &Keys, path: &str) -> Result<Value> {
    let headers = [("Authorization", &*format!("Bearer {}", keys.provider))];
    request("GET", &format!("{provider_url}{path}"), &headers, String::new()).await?.successful(path)?.json()
}

/// Does something in the payment provider's own book, behind payment's back.
pub async fn provider_does(provider_url: &str, keys: &Keys, path: &str) -> Result<()> {
    let headers = [("Authorization", &*format!("Bearer {}", keys.provider)), ("Content-Type", "application/x-www-form-urlencoded")];
    request("POST", &format!("{provider_url}{path}"), &headers, String::new()).await?.successful(path).map(drop)
}

/// Percent-encoding for a form: everything but the unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() || b"-_.~".contains(&b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

/// Undoes percent-encoding.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The text of an element, the first of its name. Enough XML for the engine's own, and for nothing else.
pub fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once(&format!("</{name}>"))?;
    Some(value.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&"))
}

/// `OutputKey` and `OutputValue` of a DescribeStacks answer. Enough XML for the engine's own, and for nothing else.
fn outputs_of(xml: &str) -> std::collections::BTreeMap<String, String> {
    xml.split("<member>").filter_map(|member| Some((element(member, "OutputKey")?, element(member, "OutputValue")?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_new_each_time_and_no_output_shows_them() {
        let (one, other) = (Keys::draw().unwrap(), Keys::draw().unwrap());
        assert!(one.root != other.root && one.provider != other.provider);
        assert_eq!((one.root.len(), one.provider.len(), format!("{one:?}").as_str()), (5 + 32, 8 + 32, "[keys]"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_has_its_starter_for_a_parent() {
        let child = std::process::Command::new("sleep").arg("60").spawn();
        let mut child = child.unwrap();
        assert_eq!(parent(child.id()), Some(std::process::id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(parent(child.id()), None);
    }

    #[test]
    fn outputs_are_read_from_the_answer() {
        let xml = "<Outputs><member><OutputKey>ApiUrl</OutputKey><OutputValue>http://a/?x=1&amp;y=2</OutputValue></member>\
                   <member><OutputKey>B</OutputKey><OutputValue>b</OutputValue><Description>d</Description></member></Outputs>";
        let outputs = outputs_of(xml);
        assert_eq!(outputs.len(), 2);
        assert_eq!(outputs["ApiUrl"], "http://a/?x=1&y=2");
    }
}
