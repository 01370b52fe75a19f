//! Which crate may depend on which, where test code stands, and that one build of the dependencies serves every function.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::Command,
};
use template::{files_below, workspace_root};
use toml::Table;

/// The rooms, from the one that everything may use to the one that nothing uses.
const ROOMS: [&str; 4] = ["shared", "functions", "tests", "xtask"];

/// The sections of a manifest that name crates.
const ALL_SECTIONS: [&str; 3] = ["dependencies", "build-dependencies", "dev-dependencies"];

/// A crate: the folder that it is in, seen from the root, and its manifest.
struct Crate {
    folder: PathBuf,
    manifest: Table,
}

impl Crate {
    fn room(&self) -> &str {
        self.folder.iter().next().unwrap().to_str().unwrap()
    }

    /// The names of the crates that a section of the manifest names.
    fn named_in(&self, section: &str) -> Vec<&str> {
        self.manifest.get(section).and_then(|it| it.as_table()).map_or_else(Vec::new, |it| it.keys().map(String::as_str).collect())
    }
}

/// Every crate of the workspace by its name, as the folders have them.
fn crates() -> BTreeMap<String, Crate> {
    let root = workspace_root();
    let manifests = files_of_rooms(&ROOMS).into_iter().filter(|path| path.ends_with("Cargo.toml"));
    let read = |path: PathBuf| {
        let manifest: Table = fs::read_to_string(&path).unwrap().parse().unwrap();
        let name = manifest["package"]["name"].as_str().unwrap().to_owned();
        (name, Crate { folder: path.parent().unwrap().strip_prefix(&root).unwrap().to_owned(), manifest })
    };
    manifests.map(read).collect()
}

fn files_of_rooms(rooms: &[&str]) -> Vec<PathBuf> {
    rooms.iter().flat_map(|room| files_below(workspace_root().join(room), &[]).unwrap()).collect()
}

/// What the sections of a crate's manifest name, and lies in a room that the crate's own may not use.
fn forbidden(all: &BTreeMap<String, Crate>, of: &str, sections: &[&str], rooms: &[&str]) -> Vec<String> {
    let names = sections.iter().flat_map(|section| all[of].named_in(section));
    let theirs = names.filter_map(|name| all.get(name).map(|it| (name, it.room())));
    theirs.filter(|(_, room)| rooms.contains(room)).map(|(name, room)| format!("{of} depends on {name}, which is in {room}/")).collect()
}

#[test]
fn what_runs_on_aws_depends_on_nothing_that_verifies_it() {
    let all = crates();
    assert!(ROOMS.iter().all(|room| all.values().any(|it| it.room() == *room)), "a room is empty: the test reads another tree");
    let production = all.iter().filter(|(_, it)| ["shared", "functions"].contains(&it.room()));
    let sections = ["dependencies", "build-dependencies"];
    let faults: Vec<_> = production.flat_map(|(name, _)| forbidden(&all, name, &sections, &["tests", "xtask"])).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Their tests neither: a function can then be changed without building every crate under `shared/` again.
#[test]
fn nothing_shared_depends_on_a_function() {
    let all = crates();
    let shared = all.iter().filter(|(_, it)| it.room() == "shared");
    let faults: Vec<_> = shared.flat_map(|(name, _)| forbidden(&all, name, &ALL_SECTIONS, &["functions"])).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The commands are compiled first on a fresh clone, and say how tests went: no test needs them.
#[test]
fn no_test_depends_on_the_commands() {
    let all = crates();
    let tests = all.iter().filter(|(_, it)| it.room() == "tests");
    let faults: Vec<_> = tests.flat_map(|(name, _)| forbidden(&all, name, &ALL_SECTIONS, &["xtask"])).collect();
    let options = |fault: &String| fault.contains("depends on command-line,");
    assert!(faults.iter().all(options), "{}", faults.join("\n"));
}

/// The commands are a list over libraries: these stay usable without the list, and none of them knows a command.
#[test]
fn no_library_of_the_commands_depends_on_their_list() {
    let all = crates();
    let libraries: Vec<_> = all.iter().filter(|(name, it)| it.room() == "xtask" && *name != "xtask").collect();
    assert!(libraries.iter().any(|(name, _)| *name == "console"), "the test reads another tree");
    let users: Vec<_> = libraries.iter().filter(|(_, it)| ALL_SECTIONS.iter().any(|of| it.named_in(of).contains(&"xtask"))).collect();
    assert!(users.is_empty(), "{:?}", users.iter().map(|(name, _)| name).collect::<Vec<_>>());
    let below = ["xtask", "operate"];
    let console = ALL_SECTIONS.iter().flat_map(|of| all["console"].named_in(of)).filter(|name| below.contains(name)).count();
    assert_eq!(console, 0, "console knows a command");
}

/// What cargo knows of the workspace and of all that it depends on, on the platform of this machine.
fn metadata() -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace_root()).args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", PLATFORM]);
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The platform that the functions are deployed on; cargo reads which dependencies it has, and compiles nothing for it.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Every package that is linked into `root`, by cargo's ids.
fn linked_into<'a>(root: &'a str, nodes: &BTreeMap<&'a str, &'a Value>) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut todo = vec![root];
    while let Some(id) = todo.pop() {
        if found.insert(id) {
            let runs = |dependency: &&Value| dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null());
            todo.extend(nodes[id]["deps"].as_array().unwrap().iter().filter(runs).map(|it| it["pkg"].as_str().unwrap()));
        }
    }
    found
}

/// `sam build` builds one function after the other. Whether a dependency is compiled to bitcode alone, for link-time optimization, or
/// to machine code too, cargo decides by what depends on it: a C library in one function has its dependencies compiled twice.
/// <https://doc.rust-lang.org/cargo/reference/profiles.html#lto>
#[test]
fn what_is_built_for_one_function_serves_every_other() {
    let metadata = metadata();
    let list = |of: &'_ str| -> Vec<&Value> { metadata.pointer(of).unwrap().as_array().unwrap().iter().collect() };
    let nodes: BTreeMap<_, _> = list("/resolve/nodes").into_iter().map(|node| (node["id"].as_str().unwrap(), node)).collect();
    let is_c_library = |package: &&&Value| {
        let kinds = package["targets"].as_array().unwrap().iter().flat_map(|target| target["crate_types"].as_array().unwrap());
        kinds.filter_map(Value::as_str).any(|kind| ["cdylib", "staticlib", "dylib"].contains(&kind))
    };
    let packages = list("/packages");
    let folder = workspace_root().canonicalize().unwrap().join("functions");
    let functions = packages.iter().filter(|it| PathBuf::from(it["manifest_path"].as_str().unwrap()).starts_with(&folder));
    let linked: BTreeMap<_, _> =
        functions.map(|it| (it["name"].as_str().unwrap(), linked_into(it["id"].as_str().unwrap(), &nodes))).collect();
    assert!(linked.len() > 1, "cargo names no functions");
    for library in packages.iter().filter(is_c_library) {
        let lack: Vec<_> = linked.iter().filter(|(_, has)| !has.contains(library["id"].as_str().unwrap())).map(|(name, _)| *name).collect();
        assert!(
            lack.is_empty() || lack.len() == linked.len(),
            "{} is a C library that these lack, so `sam build` compiles their dependencies again: {lack:?}. Add it to shared/lambda-kit.",
            library["name"]
        );
    }
}

/// A few tests may stand below the code that they are about. More stand in a file that is named `tests`, as helpers of tests do: a
/// search of the code then finds code.
#[test]
fn test_code_stands_in_files_named_as_tests() {
    /// What fits on two screens.
    const INLINE_LINES_MAX: usize = 120;
    let mut faults = Vec::new();
    let sources =
        files_of_rooms(&["functions", "shared", "xtask"]).into_iter().filter(|path| path.extension().is_some_and(|it| it == "rs"));
    for file in sources {
        let text = fs::read_to_string(&file).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let is_for_tests =
            |at: usize| lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).any(|line| *line == "#[cfg(test)]");
        for (at, line) in lines.iter().enumerate().filter(|(at, line)| line.contains("mod ") && is_for_tests(*at)) {
            let length = lines[at..].iter().position(|line| *line == "}").filter(|_| line.ends_with('{')).unwrap_or(0);
            if length > INLINE_LINES_MAX || !line.contains("mod tests") {
                faults.push(format!("{}:{}: {line} ({length} lines)", file.display(), at + 1));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
