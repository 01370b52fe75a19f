//! What a person meets who types a command: its help, its refusals, and where it acts.
#![allow(clippy::unwrap_used, reason = "what is not as these tests expect fails them")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder in which `cargo` is a script that notes what it was called with, and does nothing.
struct Bench(PathBuf);

impl Bench {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        let cargo = folder.join("bin/cargo");
        std::fs::write(&cargo, "#!/bin/sh\necho \"$@\" >> \"$TOLD\"\n").unwrap();
        std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn run(&self, here: &Path, line: &str) -> Output {
        let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
        let path = format!("{}:{}", self.0.join("bin").display(), std::env::var("PATH").unwrap());
        xtask.args(line.split(' ')).current_dir(here).env("PATH", path).env("TOLD", self.0.join("told"));
        xtask.output().unwrap()
    }

    /// The arguments of cargo.
    fn told(&self) -> String {
        std::fs::read_to_string(self.0.join("told")).unwrap_or_default()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn help_never_compiles() {
    let bench = Bench::new("help");
    for command in ["model", "simulate", "bench", "cost", "mail-preview", "test", "fuzz", "mutants"] {
        let output = bench.run(here(), &format!("{command} --help"));
        assert!(output.status.success() && said(&output).contains(&format!("Usage: cargo xtask {command}")), "{}", said(&output));
    }
    let refused = bench.run(here(), "simulate --runs 0");
    assert!(refused.status.code() == Some(2) && said(&refused).contains("is not in 1..="), "{}", said(&refused));
    assert_eq!(bench.told(), "", "cargo was called");
}

#[test]
fn what_compiles_lets_cargo_say_so() {
    let bench = Bench::new("compile");
    for command in ["model --list", "simulate --runs 7", "cost --region us-east-1", "mail-preview"] {
        let output = bench.run(here(), command);
        assert!(output.status.success(), "{command}: {}", said(&output));
    }
    let told = bench.told();
    let calls: Vec<&str> = told.lines().filter(|line| line.starts_with("run ")).collect();
    assert_eq!(calls.len(), 4, "{told}");
    assert!(calls.iter().all(|call| !call.contains("--quiet") && !call.contains(" -q ")), "{told}");
    assert!(calls[0].ends_with("--bin model -- --list") && calls[1].ends_with("-- --runs 7"), "{told}");
}

#[test]
fn wrong_usage_is_status_2_with_the_nearest_name() {
    let bench = Bench::new("usage");
    for (line, near) in
        [("logs paymnt", "payment"), ("staus", "status"), ("order -l MUG=0", "1..=1000"), ("dlq list --region x", "--stack")]
    {
        let output = bench.run(here(), line);
        assert!(output.status.code() == Some(2) && said(&output).contains(near), "{line}: {:?} {}", output.status, said(&output));
        assert!(said(&output).lines().all(|line| line.chars().count() <= 400), "{line}");
    }
}

#[test]
fn a_command_acts_on_the_checkout_in_which_it_is_called() {
    let bench = Bench::new("checkout");
    let other = bench.0.join("other");
    let inside = other.join("functions/only-there/src");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::create_dir_all(other.join("xtask")).unwrap();
    for file in ["template.yaml", "xtask/Cargo.toml", "functions/only-there/Cargo.toml"] {
        std::fs::write(other.join(file), "").unwrap();
    }
    // Its functions, though cargo still says where this program was built.
    let output = bench.run(&inside, "logs payment");
    assert!(output.status.code() == Some(2) && said(&output).contains("only-there"), "{}", said(&output));
    // And its folder of local runs.
    assert_eq!(bench.run(&inside, "status").status.code(), Some(3));
    assert!(other.join("target/local").is_dir());
    let nowhere =
        Command::new(env!("CARGO_BIN_EXE_xtask")).arg("status").current_dir("/").env_remove("CARGO_MANIFEST_DIR").output().unwrap();
    assert!(nowhere.status.code() == Some(3) && said(&nowhere).contains("is in no checkout"), "{}", said(&nowhere));
}
