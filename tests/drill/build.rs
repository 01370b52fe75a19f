//! Wires the stages that need nothing to begin with: those that are `pub struct OrderArchive;` in their folder's `src/lib.rs`, as
//! `cargo xtask new-consumer` writes them. The drill then needs no more of a new consumer than the dependency on its crate.
//! `src/wiring.rs` has all others, and a stage moves there as soon as it is given something.

use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    const FUNCTIONS: &str = "../../functions";
    println!("cargo:rerun-if-changed={FUNCTIONS}");
    println!("cargo:rerun-if-changed=Cargo.toml");
    let manifest = fs::read_to_string("Cargo.toml")?;
    let mut folders: Vec<_> = fs::read_dir(FUNCTIONS)?.collect::<Result<_, _>>()?;
    folders.sort_by_key(fs::DirEntry::file_name);
    let mut arms = String::new();
    for folder in folders {
        let name = folder.file_name().to_string_lossy().into_owned();
        let Ok(source) = fs::read_to_string(folder.path().join("src/lib.rs")) else { continue };
        let stage: String = name.split('-').flat_map(|word| [word[..1].to_uppercase(), word[1..].to_owned()]).collect();
        if !source.lines().any(|line| line == format!("pub struct {stage};")) {
            continue;
        }
        if !manifest.contains(&format!("\n{name} = {{ path = \"{FUNCTIONS}/{name}\" }}")) {
            return Err(format!("tests/drill/Cargo.toml does not depend on functions/{name}: the drill plays every function").into());
        }
        let path = format!("{}::{stage}", name.replace('-', "_"));
        arms += &format!("{name:?} => batch(Consume {{ stage: {path}, ambient }}, NoTopic, env, config, ambient),\n");
    }
    // An expression, which `wiring.rs` includes. A match without an arm would be one that clippy refuses.
    let refusal = "bail!(\"the drill does not know how {name} is wired: say so in tests/drill/src/wiring.rs\")";
    let arms = if arms.is_empty() { refusal.to_owned() } else { format!("match name {{\n{arms}_ => {refusal},\n}}\n") };
    fs::write(Path::new(&env::var("OUT_DIR")?).join("plain.rs"), arms)?;
    Ok(())
}
