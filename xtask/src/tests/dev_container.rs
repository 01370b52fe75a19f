//! A test: the dev container brings what the README and the commands ask for, and every version of it is pinned in one place.
//!
//! It cannot start the container: it only holds its files against what they have to agree with.

use crate::cli::DEFAULT_PORT;
use console::machine::Repository;
use console::processes::provider_port;
use serde_json::{Value, json};

/// What is called where `cargo xtask demo` runs and where the README says so, and the Debian package that brings it.
const NEEDED: [(&str, &str); 6] = [
    ("cargo", "rustup"),
    ("python3 with venv", "python3-venv"),
    // A C and a C++ compiler: the second is libFuzzer's.
    ("cc and c++", "g++"),
    ("git", "git"),
    ("curl", "curl"),
    ("uuidgen", "uuid-runtime"),
];

fn file(name: &str) -> String {
    std::fs::read_to_string(Repository::find().unwrap().root.join(name)).unwrap()
}

/// `devcontainer.json`, which may have comments (<https://containers.dev/implementors/json_reference/>): ours are lines of their own.
fn configuration() -> Value {
    let text = file(".devcontainer/devcontainer.json");
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    serde_json::from_str(&lines.join("\n")).unwrap()
}

#[test]
fn the_dev_container_brings_what_is_asked_for() {
    let dockerfile = file(".devcontainer/Dockerfile");
    let install = dockerfile.split("apt-get install").nth(1).and_then(|rest| rest.split("&&").next()).unwrap();
    let packages: Vec<&str> = install.split_whitespace().collect();
    for (program, package) in NEEDED {
        assert!(packages.contains(&package), "{program} comes with {package}, which is not installed: {packages:?}");
    }
}

#[test]
fn the_image_is_pinned_and_rust_by_its_own_file_alone() {
    let dockerfile = file(".devcontainer/Dockerfile");
    let images: Vec<&str> = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")).collect();
    let pinned = |image: &&str| image.split_once("@sha256:").is_some_and(|(_, digest)| digest.len() == 64);
    assert!(!images.is_empty() && images.iter().all(pinned), "{images:?}");
    let toolchain: toml::Table = toml::from_str(&file("rust-toolchain.toml")).unwrap();
    let version = toolchain["toolchain"]["channel"].as_str().unwrap();
    assert!(!dockerfile.contains(version), "a second place that pins Rust {version}");
}

#[test]
fn the_container_has_user_ports_and_build_volume() {
    let configuration = configuration();
    assert_eq!(configuration["forwardPorts"], json!([DEFAULT_PORT, provider_port(DEFAULT_PORT)]));
    let user = configuration["remoteUser"].as_str().unwrap();
    assert!(file(".devcontainer/Dockerfile").contains(&format!("ARG DEVELOPER={user}\n")), "{user}");
    let volume = &configuration["mounts"][0];
    assert_eq!((&volume["type"], &volume["target"]), (&json!("volume"), &json!("${containerWorkspaceFolder}/target")));
}

/// On the repository as it was, Git for Windows wrote CRLF into `.ci/run` and every other script.
#[test]
fn files_are_checked_out_as_they_were_committed() {
    let attributes = file(".gitattributes");
    let rules: Vec<&str> = attributes.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(rules, ["* -text"]);
}
