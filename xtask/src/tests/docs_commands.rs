//! A test: every command that the pages of this repository tell people to type is one that exists.
//!
//! It reads the `console` and `sh` blocks and the inline code of every page, and of the template, whose alarms name commands. A command of
//! `cargo xtask` is compared with clap's own definition of it, one of sam against `sam … --help`, and an environment against
//! samconfig.toml. A command line may not say `--parameter-overrides`: sam takes it in place of samconfig's list, so that the stage
//! and all else that stands there would be the template's defaults
//! (<https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/serverless-sam-cli-config.html>, on precedence).

use crate::cli;
use clap::Subcommand as _;
use command_line::screen::USUAL_WIDTH;
use console::machine::Repository;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use template::files_below;

/// A command that a page says.
#[derive(Debug, Clone)]
struct WrittenCommand {
    /// The page.
    page: String,
    words: Vec<String>,
    /// Whether it stands after a prompt: then it is typed as it is. In running text it may stand for several.
    typed: bool,
}

impl WrittenCommand {
    fn line(&self) -> String {
        format!("{}: {}", self.page, self.words.join(" "))
    }
    fn begins(&self, program: &[&str]) -> bool {
        self.words.iter().map(String::as_str).take(program.len()).eq(program.iter().copied())
    }
}

/// Every page, and the template.
fn pages(root: &Path) -> Vec<PathBuf> {
    let mut pages = files_below(root, &["target", ".git", ".aws-sam"]).unwrap();
    pages.retain(|path| path.extension().is_some_and(|kind| kind == "md"));
    pages.extend([root.join("template.yaml"), root.join("samconfig.toml")]);
    pages.sort();
    pages
}

/// The commands of a page, in their order.
fn commands(page: &str, text: &str) -> Vec<WrittenCommand> {
    let mut said = Vec::new();
    let mut running = String::new();
    let (mut fence, mut open) = (None, String::new());
    for line in text.lines() {
        // A comment of the template goes on behind the next hash.
        let line = line.trim().trim_start_matches("# ");
        if let Some(language) = line.strip_prefix("```") {
            fence = if fence.is_none() { Some(language.to_owned()) } else { None };
        } else if matches!(fence.as_deref(), Some("console" | "sh")) {
            // What stands behind no prompt in a session is what was answered.
            let is_typed = !open.is_empty() || fence.as_deref() == Some("sh");
            let typed = if is_typed { Some(line) } else { line.strip_prefix("$ ") };
            let Some(typed) = typed else { continue };
            open.push_str(typed.trim_end_matches('\\'));
            if !line.ends_with('\\') {
                said.extend(each(page, &std::mem::take(&mut open), true));
            }
        } else if fence.is_none() {
            running.push_str(line);
            running.push(' ');
        }
    }
    // Between backticks.
    said.extend(running.split('`').skip(1).step_by(2).flat_map(|code| each(page, code, false)));
    said
}

/// The commands of one line, which the shell runs one after another.
fn each(page: &str, line: &str, typed: bool) -> Vec<WrittenCommand> {
    let mut all = vec![Vec::new()];
    for word in words(line) {
        match (word.as_str(), all.last_mut()) {
            ("&&" | "|" | ";", _) => all.push(Vec::new()),
            (_, Some(last)) => last.push(word),
            (_, None) => {}
        }
    }
    all.into_iter().filter(|words| !words.is_empty()).map(|words| WrittenCommand { page: page.to_owned(), words, typed }).collect()
}

/// A line as the shell takes it apart: quotes hold together, a hash before a word begins a comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// A placeholder: `ORDER`, `…`, `<command>`, `NAME`.
fn is_placeholder(word: &str) -> bool {
    word.contains('…') || word.starts_with('<') || word.chars().all(|c| c.is_ascii_uppercase())
}

// ── cargo xtask ─────────────────────────────────────────────────────────────────────────────────────────────────────

/// Why clap would not take the words behind `cargo xtask`.
fn xtask_refuses(said: &WrittenCommand) -> Option<String> {
    refuses(said, &cli::command(USUAL_WIDTH), 1)
}

/// Why clap would not take the words behind `order-pipeline`.
fn order_pipeline_refuses(said: &WrittenCommand) -> Option<String> {
    refuses(said, &operate::Command::augment_subcommands(clap::Command::new("order-pipeline")), 0)
}

/// Why a program would not take the words: `at` is the place of its own name among them.
fn refuses(said: &WrittenCommand, command: &clap::Command, at: usize) -> Option<String> {
    let mut here = command;
    let mut inherited: Vec<&clap::Arg> = Vec::new();
    let mut words = said.words.iter().skip(at + 1);
    while let Some(word) = words.next() {
        if word.starts_with('-') && word.len() > 1 {
            let (flag, value) = word.split_once('=').map_or((word.as_str(), None), |(flag, value)| (flag, Some(value)));
            let of = |arg: &&clap::Arg| {
                arg.get_long().is_some_and(|long| flag == format!("--{long}"))
                    || arg.get_short().is_some_and(|short| flag == format!("-{short}"))
            };
            let found = here.get_arguments().find(of).or_else(|| inherited.iter().copied().find(of));
            match found {
                None if flag == "--help" || flag == "-h" => {}
                None => return Some(format!("`{}` has no {flag}", here.get_name())),
                Some(arg) if value.is_none() && arg.get_action().takes_values() => drop(words.next()),
                Some(_) => {}
            }
        } else if here.has_subcommands() {
            inherited.extend(here.get_arguments().filter(|arg| arg.is_global_set()));
            match here.find_subcommand(word) {
                Some(next) => here = next,
                None if is_placeholder(word) => return None,
                None => return Some(format!("`{}` has no command {word}", here.get_name())),
            }
        }
    }
    let refused = command.clone().try_get_matches_from(said.words.iter().skip(at)).err().filter(|_| said.typed)?;
    Some(refused.to_string())
}

// ── sam ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

/// The flags of each of sam's commands, by its words; nothing for one that does not exist.
type Commands = BTreeMap<String, BTreeSet<String>>;

/// The words of a command line of sam that name the command: `local invoke`.
fn path_of(said: &WrittenCommand) -> String {
    let words: Vec<&str> = said.words.iter().skip(1).map(String::as_str).collect();
    let depth = match words[..] {
        ["local", "generate-event", ..] => 4,
        ["local" | "remote" | "pipeline" | "list", ..] => 2,
        _ => 1,
    };
    let named: Vec<&str> = words.into_iter().take(depth).take_while(|word| !is_placeholder(word)).collect();
    named.join(" ")
}

/// Why sam would not take the words.
fn sam_refuses(said: &WrittenCommand, environments: &BTreeSet<String>, commands: &Commands) -> Option<String> {
    let words: Vec<&str> = said.words.iter().skip(1).map(String::as_str).collect();
    if words.iter().any(|word| word.starts_with("--parameter-overrides")) {
        return Some("--parameter-overrides replaces the stage's own list: write the parameter into samconfig.toml".to_owned());
    }
    let path = path_of(said);
    let Some(known) = commands.get(&path) else { return Some(format!("sam has no command {path}")) };
    for (at, word) in words.iter().enumerate().skip(path.split(' ').count()) {
        let flag = word.split('=').next().unwrap_or_default();
        if flag.starts_with('-') && flag.len() > 1 && !known.contains(flag) {
            return Some(format!("sam {path} has no {flag}"));
        }
        let environment =
            word.strip_prefix("--config-env=").or_else(|| if flag == "--config-env" { words.get(at + 1).copied() } else { None });
        if let Some(environment) = environment.filter(|name| !is_placeholder(name) && !environments.contains(*name)) {
            return Some(format!("samconfig.toml has no {environment}"));
        }
    }
    None
}

/// What `sam … --help` says of these commands: by sam's own definition of them, in one process, since each start takes seconds.
fn sam_commands(repository: &Repository, paths: &BTreeSet<String>) -> Commands {
    const PROGRAM: &str = "
import json, sys, click
from samcli.cli.main import cli
def flags(path):
    command = cli
    for word in path.split():
        command = isinstance(command, click.Group) and command.get_command(click.Context(command, obj=command), word)
        if not command:
            return None
    return [flag for option in command.params for flag in option.opts + option.secondary_opts] + ['--help', '-h']
known = {path: flags(path) for path in json.loads(sys.argv[1])}
print(json.dumps({path: flags for path, flags in known.items() if flags is not None}))
";
    let mut python = console::build::tool(repository, "python").into_std();
    python.args(["-c", PROGRAM]).arg(serde_json::json!(paths).to_string());
    let output = python.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn environments(root: &Path) -> BTreeSet<String> {
    let config: toml::Table = std::fs::read_to_string(root.join("samconfig.toml")).unwrap().parse().unwrap();
    config.into_iter().filter(|(_, value)| value.is_table()).map(|(name, _)| name).collect()
}

// ── the tests ───────────────────────────────────────────────────────────────────────────────────────────────────────

/// Every command of the repository that begins so.
fn all(program: &[&str]) -> Vec<WrittenCommand> {
    let root = Repository::find().unwrap().root;
    let mut said = Vec::new();
    for path in pages(&root) {
        let page = path.strip_prefix(&root).unwrap().display().to_string();
        said.extend(commands(&page, &std::fs::read_to_string(&path).unwrap()).into_iter().filter(|said| said.begins(program)));
    }
    assert!(said.iter().any(|said| said.typed), "no page has a command of {program:?}: this test reads nothing");
    said
}

#[test]
fn every_xtask_command_of_the_pages_exists() {
    let refused = |said: &WrittenCommand| xtask_refuses(said).map(|why| format!("{}\n  {why}", said.line()));
    let wrong: Vec<_> = all(&["cargo", "xtask"]).iter().filter_map(refused).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_order_pipeline_command_of_the_pages_exists() {
    let refused = |said: &WrittenCommand| order_pipeline_refuses(said).map(|why| format!("{}\n  {why}", said.line()));
    let wrong: Vec<_> = all(&["order-pipeline"]).iter().filter_map(refused).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(order_pipeline_refuses(&each("page", "order-pipeline up", false)[0]).is_some());
}

#[test]
fn every_sam_command_of_the_pages_exists() {
    let repository = Repository::find().unwrap();
    if !repository.program("sam").is_file() {
        testkit::skip::skip("sam is not installed: `cargo xtask up` sets it up");
        return;
    }
    let said = all(&["sam"]);
    let commands = sam_commands(&repository, &said.iter().map(path_of).collect());
    let environments = environments(&repository.root);
    let refused = |said: &WrittenCommand| sam_refuses(said, &environments, &commands).map(|why| format!("{}\n  {why}", said.line()));
    let wrong: Vec<_> = said.iter().filter_map(refused).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_page_replaces_the_parameters_of_a_stage() {
    let overrides = |said: &&WrittenCommand| said.words.iter().any(|word| word.starts_with("--parameter-overrides"));
    let wrong: Vec<_> = all(&["sam"]).iter().filter(overrides).map(WrittenCommand::line).collect();
    assert!(wrong.is_empty(), "samconfig.toml is the place for parameters:\n{}", wrong.join("\n"));
}

#[test]
fn commands_that_do_not_exist_are_found() {
    let root = Repository::find().unwrap().root;
    let refused = |line: &str, typed| xtask_refuses(&each("page", line, typed)[0]);
    assert_eq!(refused("cargo xtask dlq list --json # all", true), None);
    assert_eq!(refused("cargo xtask nudge ORDER", false), None);
    assert_eq!(refused("cargo xtask <command> --port 5566", false), None);
    for wrong in ["cargo xtask deploy", "cargo xtask dlq lost", "cargo xtask up --ports 7", "cargo xtask simulate --rums 7"] {
        assert!(refused(wrong, false).is_some(), "{wrong}");
    }
    assert!(refused("cargo xtask nudge ORDER", true).is_some(), "what is typed has to be whole");

    let environments = environments(&root);
    let flags = ["--guided", "-g", "--config-env", "--parameter-overrides"].map(str::to_owned);
    let commands = Commands::from([("deploy".to_owned(), flags.into())]);
    let refused = |line: &str| sam_refuses(&each("page", line, true)[0], &environments, &commands);
    assert_eq!(refused("sam deploy -g --config-env prod"), None);
    for wrong in [
        "sam deplore",
        "sam deploy --guide",
        "sam deploy --config-env production",
        "sam deploy --config-env=production",
        "sam deploy --parameter-overrides MailDomain=example.com",
    ] {
        assert!(refused(wrong).is_some(), "{wrong}");
    }
}

#[test]
fn commands_are_found_in_blocks_and_in_running_text() {
    let page = "Say `sam build && sam deploy`, not `curl`.\n```console\n$ aws s3 ls \\\n    --region x  # all\nbucket\n$ sam build\n```\nor\n`sam\ndelete`\n```sh\nsam list\n```";
    let lines: Vec<_> = commands("page", page).iter().map(|said| (said.words.join(" "), said.typed)).collect();
    let expected = [
        ("aws s3 ls --region x", true),
        ("sam build", true),
        ("sam list", true),
        ("sam build", false),
        ("sam deploy", false),
        ("curl", false),
        ("sam delete", false),
    ];
    assert_eq!(lines, expected.map(|(line, typed)| (line.to_owned(), typed)));
    assert_eq!(words("a 'b c'd \"\" e#f # g"), ["a", "b cd", "", "e#f"]);
}
