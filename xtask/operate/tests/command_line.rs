//! What a person on call meets who has the program `order-pipeline`, sam, and nothing else.
#![allow(clippy::unwrap_used, reason = "what is not as these tests expect fails them")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Notes where it was called, with what, and what it read; answers what the test says. It needs no other program.
const SAM: &str = r#"#!/bin/sh
[ "$1" = --version ] && exit 0
read -r asked
printf '%s\n' "$PWD" "$*" "$asked" > "$TOLD"
printf '%s' "$ANSWER"
"#;

/// A machine without cargo and without a checkout: the one program on its PATH is sam.
struct Machine(PathBuf);

impl Machine {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("order-pipeline-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        let sam = folder.join("bin/sam");
        std::fs::write(&sam, SAM).unwrap();
        std::fs::set_permissions(&sam, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn run(&self, line: &str, answer: &str) -> Output {
        let mut program = Command::new(env!("CARGO_BIN_EXE_order-pipeline"));
        program.args(line.split(' ')).current_dir("/").env_remove("CARGO_MANIFEST_DIR");
        program.env("PATH", self.0.join("bin")).env("TOLD", self.0.join("told")).env("ANSWER", answer).output().unwrap()
    }

    /// Where sam was called, with what, and what it read.
    fn told(&self) -> Vec<String> {
        std::fs::read_to_string(self.0.join("told")).unwrap_or_default().lines().map(str::to_owned).collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What sam prints of a list with one queue.
fn listed(depth: u64) -> String {
    format!(
        r#"{{"StatusCode":200,"Payload":{{"list":[{{"queue":"payment","queue_name":"prod-payment-dlq","sources":["payment"],
            "depth":{depth},"in_flight":0,"oldest_sent_at":null,"arrived_last_hour":null,"complete":true}}]}}}}"#
    )
}

#[test]
fn a_stack_on_aws_is_asked_without_a_checkout() {
    let machine = Machine::new("aws");
    let output = machine.run("dlq list --stack prod --region eu-west-1", &listed(2));
    assert!(output.status.code() == Some(0) && said(&output).contains("2 messages in 1 of 1"), "{}", said(&output));
    assert!(said(&output).contains("why: order-pipeline dlq explain payment --stack prod --region eu-west-1"), "{}", said(&output));
    let told = machine.told();
    let called = "remote invoke DlqInspectorFunction --event-file - --output json --stack-name=prod --region=eu-west-1";
    assert!(told[0] == "/" && told[1].starts_with(called) && told[2].contains(r#""list":{}"#), "{told:?}");
}

#[test]
fn exit_statuses_are_those_of_the_answer() {
    let machine = Machine::new("status");
    let refused = r#"{"Payload":{"refused":{"error":"UnknownQueue","message":"There is no such queue."}}}"#;
    for (line, answer, status) in [
        ("dlq list --stack prod", listed(0).as_str(), 1),
        ("dlq explain x --stack prod", refused, 2),
        ("uncollected list --stack prod", r#"{"Payload":{"uncollected":{"payments":[],"complete":true}}}"#, 1),
        ("dlq list --stack prod", "no JSON", 2),
        ("dlq list --region eu-west-1", "", 2),
        ("dlq lost", "", 2),
    ] {
        let output = machine.run(line, answer);
        assert_eq!(output.status.code(), Some(status), "{line}: {}", said(&output));
    }
}

#[test]
fn without_a_stack_it_asks_for_the_checkout() {
    let machine = Machine::new("here");
    for line in ["dlq list", "uncollected list", "nudge fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9 --reason lost"] {
        let output = machine.run(line, "");
        assert_eq!(output.status.code(), Some(2), "{line}");
        let said = said(&output);
        assert!(said.contains("without --stack NAME") && said.contains("in no checkout"), "{line}: {said}");
    }
    assert_eq!(machine.told(), [""; 0], "nothing was asked");
}

#[test]
fn without_sam_it_says_what_to_install() {
    let machine = Machine::new("no-sam");
    std::fs::remove_file(machine.0.join("bin/sam")).unwrap();
    let output = machine.run("dlq list --stack prod", "");
    assert!(output.status.code() == Some(2) && said(&output).contains("install the AWS SAM CLI"), "{}", said(&output));
}
