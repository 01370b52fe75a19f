//! Adds a consumer of an order's events to this checkout: its crate, its samples, its part of the template, and its rows elsewhere.
//!
//! `docs/adding-a-consumer.md` tells the same in words. It copies what order-tracking has, so that the new consumer is what its siblings
//! are today, and it writes all of it or nothing. Events of the public topic are refused: a subscription there filters by source as
//! well, and that source has to be decided.

use anyhow::{Context as _, Result, bail, ensure};
use clap::builder::PossibleValuesParser;
use console::machine::Repository;
use console::usage::Usage;
use domain::EventType;
use std::fs;
use std::path::{Path, PathBuf};
use testkit::calls::stem_of;

/// The consumer that is copied: it hears the order topic, has a Standard queue, and announces nothing.
const MODEL: &str = "order-tracking";
/// The longest name: as long as the columns for functions in what the commands print, and in the runbook.
const NAME_MAX: usize = 24;
/// Functions whose events come by the public topic.
const STRANGERS: [&str; 2] = ["customer-signup", "email-inbound"];
/// How many of its functions Lambda runs at once for a consumer that has just been written: the least that may be said
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html>).
const CONCURRENCY: u64 = 2;
/// The longest line that rustfmt leaves alone.
const LINE_MAX: usize = 140;
/// How many events a sentence names.
const NAMED_MAX: usize = 3;
/// How far apart the picture's lanes are.
const LANE: i64 = 106;

const TEMPLATE: &str = "template.yaml";
const README: &str = "README.md";
const PICTURE: &str = "docs/pipeline.svg";
const CATALOGUE: &str = "events/README.md";
const ASYNCAPI: &str = "docs/api/asyncapi.yaml";
const DRILL: &str = "tests/drill/Cargo.toml";

#[derive(clap::Args)]
pub struct Options {
    /// Its name: two words or more, in lower case, with hyphens: order-archive
    name: String,
    /// An event that it hears; may be given several times
    #[arg(long, required = true, value_name = "EVENT", value_parser = PossibleValuesParser::new(events().map(EventType::stem)))]
    on: Vec<String>,
}

/// The events that a new consumer may hear: those that come by the order topic alone.
fn events() -> impl Iterator<Item = EventType> {
    EventType::ALL.iter().copied().filter(|event| !event.producers().iter().any(|producer| STRANGERS.contains(producer)))
}

pub fn run(repository: &Repository, options: &Options) -> Result<()> {
    let consumer = Consumer::new(&options.name, &options.on, repository)?;
    let files = consumer.files(&repository.root)?;
    write_all(&repository.root, &files)?;
    let (changed, new): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.before.is_some());
    println!("{} hears {}.\n", consumer.name, consumer.heard(""));
    for file in new.into_iter().chain(changed) {
        println!("  {} {}", if file.before.is_some() { "changed" } else { "new    " }, file.path.display());
    }
    println!(
        "\nIts queue, its alarms and its place in every test are there. One test fails, and says what comes next:\n\
         \n  cargo test -p {0}\n\
         \nfunctions/{0}/src/tests.rs is where it stands; docs/adding-a-consumer.md goes on from there.",
        consumer.name
    );
    Ok(())
}

/// A file as it is to be.
#[derive(Debug)]
struct File {
    /// From the root of the checkout.
    path: PathBuf,
    /// What stands in it; none where it is new.
    before: Option<String>,
    after: String,
}

/// Writes all of them, or leaves everything as it was.
fn write_all(root: &Path, files: &[File]) -> Result<()> {
    for (done, file) in files.iter().enumerate() {
        let path = root.join(&file.path);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, &file.after));
        if let Err(error) = written {
            files.iter().take(done + 1).for_each(|file| undo(root, file));
            return Err(error).with_context(|| format!("cannot write {}; nothing was changed", path.display()));
        }
    }
    Ok(())
}

/// As far as it can: why it cannot is what the caller reports already.
fn undo(root: &Path, file: &File) {
    let path = root.join(&file.path);
    match &file.before {
        Some(before) => drop(fs::write(path, before)),
        None => {
            drop(fs::remove_file(&path));
            // Its folders, once they are empty.
            path.ancestors().skip(1).take(2).take_while(|folder| fs::remove_dir(folder).is_ok()).for_each(drop);
        }
    }
}

/// What is to be added.
#[derive(Debug)]
struct Consumer {
    name: String,
    /// In the order of the catalogue, each once.
    on: Vec<EventType>,
}

impl Consumer {
    fn new(name: &str, on: &[String], repository: &Repository) -> Result<Self> {
        check_name(name, &repository.functions()?)?;
        let root = &repository.root;
        for folder in ["functions", "events"] {
            let folder = Path::new(folder).join(name);
            ensure!(!root.join(&folder).exists(), Usage(format!("{} exists already", folder.display())));
        }
        let (resource, template) = (format!("\n  {}", stem_of(name)), read(root, TEMPLATE)?);
        let other = template.split_once(&resource).and_then(|(_, rest)| rest.split(':').next());
        if let Some(other) = other {
            bail!(Usage(format!("{TEMPLATE} has a resource that begins like those of {name} would: {}{other}", stem_of(name))));
        }
        let lock = read(root, "Cargo.lock")?;
        // Cargo takes `serde-json` and `serde_json` for one.
        let is_taken = lock.lines().any(|line| line.replace('_', "-") == format!("name = \"{name}\""));
        ensure!(!is_taken, Usage(format!("{name} is the name of a crate that this workspace uses already")));
        let on: Vec<_> = events().filter(|event| on.iter().any(|name| name == event.stem())).collect();
        Ok(Self { name: name.to_owned(), on })
    }

    /// `OrderArchive`: how its resources begin.
    fn stem(&self) -> String {
        stem_of(&self.name)
    }
    fn crate_name(&self) -> String {
        self.name.replace('-', "_")
    }
    /// `order.shipped, order.cancelled`, each between `quotes`; how many, where a sentence would get too long.
    fn heard(&self, quotes: &str) -> String {
        match self.on.len() {
            many if many > NAMED_MAX => format!("{many} kinds of events"),
            _ => self.on.iter().map(|event| format!("{quotes}{}{quotes}", event.stem())).collect::<Vec<_>>().join(", "),
        }
    }

    /// Every file that changes or is new.
    fn files(&self, root: &Path) -> Result<Vec<File>> {
        let mut files = self.crate_files();
        files.extend(self.samples(root)?);
        /// What a file becomes with the consumer in it.
        type Edit = fn(&Consumer, &str) -> Result<String>;
        let edits: [(&str, Edit); 6] = [
            (TEMPLATE, Self::template),
            (README, Self::readme),
            (PICTURE, Self::picture),
            (CATALOGUE, Self::catalogue),
            (ASYNCAPI, Self::asyncapi),
            (DRILL, Self::drill),
        ];
        for (path, edit) in edits {
            let before = read(root, path)?;
            let after = edit(self, &before).with_context(|| format!("{path} is not as this command knows it, so nothing was written"))?;
            files.push(File { path: path.into(), before: Some(before), after });
        }
        Ok(files)
    }

    fn crate_files(&self) -> Vec<File> {
        let types: Vec<_> = self.on.iter().map(|event| format!("EventType::{event:?}")).collect();
        let line = format!("            {} => Ok(Reply::nothing()),", types.join(" | "));
        let arm = if line.len() <= LINE_MAX { line } else { line.replace(" | ", "\n            | ") };
        let filled = |text: &str| {
            let mut uses = [format!("use {}::{};", self.crate_name(), self.stem()), USES.to_owned()];
            uses.sort_unstable();
            let text = text
                .replace("@uses", &uses.join("\n"))
                .replace("@arm", &arm)
                .replace("@heard", &self.heard("`"))
                .replace("@stem", &self.stem());
            text.replace("@name", &self.name)
        };
        let file = |name: &str, text: &str| {
            let path = Path::new("functions").join(&self.name).join(name);
            File { path, before: None, after: filled(text) }
        };
        vec![file("Cargo.toml", MANIFEST), file("src/lib.rs", LIB), file("src/main.rs", MAIN), file("src/tests.rs", TESTS)]
    }

    /// Each event as the catalogue shows it, in the queue of the new consumer, and a body that is none.
    fn samples(&self, root: &Path) -> Result<Vec<File>> {
        let catalogue = read(root, CATALOGUE)?;
        let mut files = Vec::new();
        for event in &self.on {
            let row = row(&catalogue, *event)?;
            let shown = row.rsplit_once("](").and_then(|(_, rest)| rest.split_once(".json)"));
            let (shown, _) = shown.with_context(|| format!("{CATALOGUE} shows no sample of {event}"))?;
            files.push(self.sample(root, shown, &event.stem().replace(['.', '_'], "-"), *event)?);
        }
        let first = *self.on.first().context("it hears nothing")?;
        files.push(self.sample(root, "payment/unreadable-body", "unreadable-body", first)?);
        Ok(files)
    }

    fn sample(&self, root: &Path, shown: &str, name: &str, event: EventType) -> Result<File> {
        /// What a FIFO queue adds.
        const OF_FIFO: [&str; 3] = ["\"SequenceNumber\":", "\"MessageGroupId\":", "\"MessageDeduplicationId\":"];
        let text = read(root, &format!("events/{shown}.json"))?;
        let mut lines = Vec::new();
        for line in text.lines().filter(|line| !OF_FIFO.iter().any(|name| line.trim_start().starts_with(name))) {
            lines.push(match line.split_once("order-pipeline-") {
                Some((before, _)) if line.contains("\"eventSourceARN\":") => format!("{before}order-pipeline-{}Queue\",", self.stem()),
                _ if line.contains("\"stringValue\":") => {
                    format!("{}\"stringValue\": \"{event}\",", &line[..line.len() - line.trim_start().len()])
                }
                _ => line.to_owned(),
            });
        }
        let path = Path::new("events").join(&self.name).join(name).with_extension("json");
        Ok(File { path, before: None, after: lines.join("\n") + "\n" })
    }

    /// A section of its own behind the model's, its queues and logs wherever the model's are listed, and its outputs.
    fn template(&self, text: &str) -> Result<String> {
        let model = stem_of(MODEL);
        let begin = text.find(&format!("  {model}Subscription:")).context("no subscription of the model")?;
        let start = text[..begin].rfind("  # ── ").context("no heading of the model's section")?;
        let end = begin + text[begin..].find("\n  # ── ").context("nothing behind the model's section")? + 1;
        let (before, section, after) = (&text[..start], &text[start..end], &text[end..]);
        let of_lists = |part: &str| self.with_copies(part, |line| line.trim_start().starts_with("- ") && line.contains(&model));
        Ok(of_lists(before) + section + &self.section(section)? + &self.outputs(&of_lists(after))?)
    }

    fn section(&self, of_model: &str) -> Result<String> {
        let (heading, rest) = of_model.split_once('\n').context("an empty section")?;
        let title = format!("  # ── {}: hears {} ", self.name, self.heard(""));
        let heading = format!("{title:─<0$}", heading.chars().count());
        let (filter, queue) = between(rest, "        type:\n", "      RedrivePolicy: { dead")?;
        let heard: String = self.on.iter().map(|event| format!("          - prefix: {}.\n", event.stem())).collect();
        let mut own = format!("{heading}\n{}{heard}{}", &rest[..filter], &rest[queue..]);
        let (least, comment) = ("MaximumConcurrency: ", "# the least that there is; raise it with the work");
        for (from, to, by) in [
            ("      Description: Keeps ", "\n", format!("      Description: Hears {}, and keeps nothing yet.\n", self.heard(""))),
            ("          ORDERS_TABLE:", "\n", String::new()),
            ("              - Sid: NoteFacts\n", "OrdersTable.Arn\n", String::new()),
            (least, "\n", format!("{least}{CONCURRENCY} {comment}\n")),
        ] {
            let begin = own.find(from).with_context(|| format!("no `{}`", from.trim()))?;
            let end = begin + own[begin..].find(to).with_context(|| format!("no end of `{}`", from.trim()))? + to.len();
            own.replace_range(begin..end, &by);
        }
        Ok(self.renamed(&own))
    }

    fn outputs(&self, text: &str) -> Result<String> {
        let model = format!("  {}", stem_of(MODEL));
        let begin = text.rfind(&format!("\n{model}QueueUrl:")).context("no outputs of the model")? + 1;
        let is_theirs = |line: &&str| line.starts_with(&model) || line.starts_with("    ");
        let theirs: String = text[begin..].split_inclusive('\n').take_while(is_theirs).collect();
        let end = begin + theirs.len();
        Ok(format!("{}{}{}", &text[..end], self.renamed(&theirs), &text[end..]))
    }

    /// A row behind the model's, and how many functions the queues ask for now.
    fn readme(&self, text: &str) -> Result<String> {
        let row = format!(
            "| [{0}](functions/{0}/src/lib.rs) | queue | hears {1}, keeps nothing yet | | the same |\n",
            self.name,
            self.heard("`")
        );
        let text = behind_line(text, &format!("| [{MODEL}](functions/{MODEL}/"), &row)?;
        let (begin, end) = between(&text, "ask for up to", ":")?;
        // The number may begin the next line.
        let number = text[begin..end].trim_start();
        let begin = end - number.len();
        let sum: u64 = number.parse().context("no number of functions at once")?;
        Ok(format!("{}{}{}", &text[..begin], sum + CONCURRENCY, &text[end..]))
    }

    /// A lane below the last one of the order topic. What is below moves down.
    fn picture(&self, text: &str) -> Result<String> {
        let (topic, public) = text.match_indices("<rect class=\"t\"").map(|(at, _)| at).fold((None, None), |found, at| match found {
            (None, _) => (Some(at), None),
            (first, None) => (first, Some(at)),
            both => both,
        });
        let (topic, public) = (topic.context("no topic")?, public.context("no second topic")?);
        let number = |from: usize, name: &str| -> Result<i64> {
            let (begin, end) = between(&text[from..], &format!(" {name}=\""), "\"")?;
            Ok(text[from..][begin..end].parse()?)
        };
        let (top, height) = (number(topic, "y")?, number(topic, "height")?);
        // The first thing of a lane is the arrow out of the topic.
        let lanes = |text: &str| -> Vec<(usize, i64)> {
            let arrows = text.match_indices("<path class=\"a\" d=\"M496 ");
            let height = |at: usize| text[at..].split_once("M496 ")?.1.split_once("H646")?.0.parse().ok();
            arrows.filter_map(|(at, _)| Some((at, height(at)?))).collect()
        };
        let (_, last) = lanes(&text[..public]).into_iter().max_by_key(|(_, y)| *y).context("no lane")?;
        let named = text.find(&format!(">{MODEL}</text>")).context("no lane of the model")?;
        let (begin, y) = lanes(&text[..named]).into_iter().next_back().context("no lane of the model")?;
        // Its name, and the line below.
        let lines: usize = text[named..].split_inclusive('\n').take(2).map(str::len).sum();
        let (from, to) = between(&text[begin..named], "<text class=\"e\"", "</text>")?;
        let said = text[begin..][from..to].rsplit_once('>').map(|(_, said)| said).context("no events of the model")?;
        let below = text[named..].lines().nth(1).and_then(|line| between(line, "\">", "</text>").ok().map(|(from, to)| &line[from..to]));
        let below = below.context("nothing below the model's name")?;
        let heard = self.heard("").replace(", ", " · ");
        let lane = self.renamed(&text[begin..named + lines]).replace(said, &heard).replace(below, "keeps nothing yet");
        let lane: String = lane.split_inclusive('\n').map(|line| moved_down(line, i64::MIN, last + LANE - y)).collect();
        let moved = |part: &str| -> String { part.split_inclusive('\n').map(|line| moved_down(line, top + height, LANE)).collect() };
        let taller = |text: &str, height: i64| text.replace(&format!("height=\"{height}\""), &format!("height=\"{}\"", height + LANE));
        let (from, to) = between(text, "viewBox=\"0 0 1200 ", "\"")?;
        let all: i64 = text[from..to].parse().context("no height")?;
        let whole = taller(&taller(&moved(&text[..public]), height), all) + &lane + &moved(&text[public..]);
        let whole = whole.replacen(&format!("viewBox=\"0 0 1200 {all}\""), &format!("viewBox=\"0 0 1200 {}\"", all + LANE), 1);
        let whole = whole.replacen(&format!("{MODEL}, "), &format!("{MODEL}, {}, ", self.name), 1);
        Ok(whole.replacen("all but the last", &format!("all but the last, {},", self.name), 1))
    }

    /// Among the consumers of each event that it hears.
    fn catalogue(&self, text: &str) -> Result<String> {
        /// Event, meaning, producers, consumers: counted from the empty text before the first bar.
        const CONSUMERS: usize = 4;
        let mut text = text.to_owned();
        for event in &self.on {
            let row = row(&text, *event)?.to_owned();
            let mut cells: Vec<_> = row.split('|').map(str::to_owned).collect();
            let cell = cells.get_mut(CONSUMERS).context("a row without consumers")?;
            *cell = format!(" {} ", format!("{} `{}`", cell.trim(), self.name).trim());
            text = text.replacen(&row, &cells.join("|"), 1);
        }
        Ok(text)
    }

    /// An operation behind the model's.
    fn asyncapi(&self, text: &str) -> Result<String> {
        let key = |stem: String| stem[..1].to_lowercase() + &stem[1..] + "Receives:";
        let begin = text.find(&format!("\n  {}", key(stem_of(MODEL)))).context("no operation of the model")? + 1;
        let lines = text[begin..].split_inclusive('\n').enumerate().take_while(|(n, line)| *n == 0 || line.starts_with("    "));
        let end = begin + lines.map(|(_, line)| line.len()).sum::<usize>();
        let mut own = format!("  {}\n    action: receive\n    summary: Keeps nothing yet.\n", key(self.stem()));
        own += &format!("    channel: {{ $ref: \"#/channels/orderEvents\" }}\n    tags: [{{ name: {} }}]\n    messages:\n", self.name);
        for event in &self.on {
            own += &format!("      - {{ $ref: \"#/channels/orderEvents/messages/{event}\" }}\n");
        }
        Ok(format!("{}{own}{}", &text[..end], &text[end..]))
    }

    /// Among the functions that the alarm drill depends on, by their names.
    fn drill(&self, text: &str) -> Result<String> {
        let path = "= { path = \"../../functions/";
        let line = format!("{0} {path}{0}\" }}\n", self.name);
        let functions: Vec<_> = text.split_inclusive('\n').filter(|it| it.contains(path)).collect();
        let next = functions.iter().find(|it| ***it > *line).or(functions.last()).context("no dependency on a function")?;
        let at = text.find(*next).context("no line of it")?;
        let at = if **next > *line { at } else { at + next.len() };
        Ok(format!("{}{line}{}", &text[..at], &text[at..]))
    }

    /// A copy of each line that is the model's, behind it.
    fn with_copies(&self, text: &str, is_listed: impl Fn(&str) -> bool) -> String {
        let copied = |line: &str| if is_listed(line) { format!("{line}{}", self.renamed(line)) } else { line.to_owned() };
        text.split_inclusive('\n').map(copied).collect()
    }

    fn renamed(&self, text: &str) -> String {
        text.replace(&stem_of(MODEL), &self.stem()).replace(MODEL, &self.name)
    }
}

/// Whether a new function may be called so.
fn check_name(name: &str, functions: &[String]) -> Result<()> {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase()) && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    };
    let is_kebab = name.contains('-') && name.split('-').all(is_word);
    ensure!(is_kebab, Usage(format!("{name:?} is no name of a function: two words or more, in lower case, with hyphens: order-archive")));
    ensure!(name.len() <= NAME_MAX, Usage(format!("{name} is too long: a function's name has {NAME_MAX} characters at most")));
    for other in functions {
        ensure!(name != other, Usage(format!("functions/{name} exists already")));
        let (new, old) = (stem_of(name), stem_of(other));
        // Tests and conditions tell resources apart by how their logical ids begin.
        let clash = new.starts_with(&old) || old.starts_with(&new);
        ensure!(!clash, Usage(format!("{name} and {other} begin alike, and so would their resources: {new} and {old}")));
    }
    Ok(())
}

fn read(root: &Path, path: &str) -> Result<String> {
    fs::read_to_string(root.join(path)).with_context(|| format!("cannot read {path}"))
}

/// The catalogue's row of an event.
fn row(catalogue: &str, event: EventType) -> Result<&str> {
    let row = catalogue.lines().find(|line| line.starts_with(&format!("| `{event}` |")));
    row.with_context(|| format!("{CATALOGUE} has no row of {event}"))
}

/// Where the first text between the two begins and ends.
fn between(text: &str, before: &str, behind: &str) -> Result<(usize, usize)> {
    let begin = text.find(before).with_context(|| format!("no `{}`", before.trim()))? + before.len();
    let end = text[begin..].find(behind).with_context(|| format!("no `{}` behind `{}`", behind.trim(), before.trim()))?;
    Ok((begin, begin + end))
}

/// `added` behind the one line that begins so.
fn behind_line(text: &str, beginning: &str, added: &str) -> Result<String> {
    let mut lines: Vec<_> = text.split_inclusive('\n').collect();
    let Some(at) = lines.iter().position(|line| line.starts_with(beginning)) else { bail!("no line begins with `{beginning}`") };
    lines.insert(at + 1, added);
    Ok(lines.concat())
}

/// A line of the picture with everything in it that is at or below `from` moved down by `by`.
fn moved_down(line: &str, from: i64, by: i64) -> String {
    let moved = |y: i64| if y >= from { y + by } else { y };
    let mut out = String::new();
    let mut rest = line;
    loop {
        let found = [(" y=\"", '"'), ("translate(", ')'), (" d=\"", '"')].into_iter();
        let next = found.filter_map(|(opening, closing)| Some((rest.find(opening)? + opening.len(), closing))).min();
        let Some((begin, closing)) = next else { return out + rest };
        let end = rest[begin..].find(closing).map_or(rest.len(), |end| begin + end);
        out += &rest[..begin];
        let inside = &rest[begin..end];
        out += &match closing {
            ')' => inside
                .split_once(' ')
                .map_or(inside.to_owned(), |(x, y)| format!("{x} {}", y.parse().map_or(y.to_owned(), |y| moved(y).to_string()))),
            _ if inside.starts_with('M') => path_moved_down(inside, moved),
            _ => inside.parse().map_or(inside.to_owned(), |y| moved(y).to_string()),
        };
        rest = &rest[end..];
    }
}

/// `M x y`, `H x` and `V y`, which is all that the picture has.
fn path_moved_down(path: &str, moved: impl Fn(i64) -> i64) -> String {
    let mut out = String::new();
    let (mut command, mut numbers) = (' ', 0);
    let mut number = String::new();
    for c in path.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        if !number.is_empty() {
            let is_y = command == 'V' || (command == 'M' && numbers == 1);
            out += &number.parse().map_or(number.clone(), |n| if is_y { moved(n).to_string() } else { number.clone() });
            (numbers, number) = (numbers + 1, String::new());
        }
        if c.is_ascii_alphabetic() {
            (command, numbers) = (c, 0);
        }
        out.extend((c != '\0').then_some(c));
    }
    out
}

const MANIFEST: &str = r#"[package]
name = "@name"
description = "Hears @heard, and keeps nothing yet."
version.workspace = true
edition.workspace = true
rust-version.workspace = true
license.workspace = true
publish.workspace = true

[lints]
workspace = true

[dependencies]
domain.workspace = true
lambda-kit = { workspace = true, features = ["batch"] }
pipeline = { workspace = true, features = ["queue"] }
tokio.workspace = true

[dev-dependencies]
testkit = { workspace = true, features = ["samples"] }
"#;

const LIB: &str = r#"//! `@name`: hears @heard, and keeps nothing yet.
//!
//! `main.rs` wires it behind its queue. An event that it does not expect is parked, and so is what cannot be read.

use domain::{CloudEvent, EventType};
use lambda_kit::{Failure, message::Delivery};
use pipeline::{Reply, Stage, not_for};

/// The stage. A table, a clock, whatever it needs of the world, becomes a field of it, which tests can replace; the alarm drill then
/// wants to be told how it is wired.
#[derive(Debug)]
pub struct @stem;

impl Stage for @stem {
    const NAME: &'static str = "@name";

    async fn handle(&self, event: &CloudEvent, _: &Delivery) -> Result<Reply, Failure> {
        match event.event.event_type() {
            // The batch core logs each message that is handled.
@arm
            // The subscription's filter admits nothing else: one of the two was changed.
            _ => Err(not_for(Self::NAME, event)),
        }
    }
}

#[cfg(test)]
mod tests;
"#;

const USES: &str = "use lambda_kit::{Error, batch::SqsQueue, config::Env, publish::NoTopic};";

const MAIN: &str = r#"//! Wires `@name`: its queue, and no topic, for it announces nothing.

@uses

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_kit::telemetry::init();
    let config = lambda_kit::aws_config();
    let mut env = Env::process();
    let queue = SqsQueue::from_env(&mut env, &config);
    env.finish()?;
    pipeline::run(@stem, NoTopic, queue).await
}
"#;

const TESTS: &str = r#"//! `@name`, driven through `handle`, and by its samples as the batch core hands them over.

use super::*;
use domain::{Subject, Timestamp, event::CustomerSignedUp};
use lambda_kit::{Kind, Real};
use pipeline::Consume;
use testkit::samples;

/// Write here what it is for, and then in `lib.rs` what makes this pass: what it keeps of each event, that the same event twice
/// changes nothing, and that a write that was cut off is done by the next delivery.
#[test]
fn it_does_what_it_is_for() {
    panic!("functions/@name/src/tests.rs: write what @name is for; docs/adding-a-consumer.md says how to go on");
}

#[tokio::test]
async fn its_samples_are_handled_or_parked() {
    let consumer = Consume { stage: @stem, ambient: Real };
    for (name, sample) in samples::of(@stem::NAME) {
        let expected = if name == "unreadable-body" { Err("UnreadableEvent".to_owned()) } else { Ok(()) };
        for fate in samples::fates(&consumer, &sample).await {
            assert_eq!(fate, expected, "{name}");
        }
    }
}

#[tokio::test]
async fn an_event_that_it_does_not_hear_is_parked() {
    let subject = Subject::Customer("e507ff26-6a21-519c-adde-1e19920b0ce2".parse().unwrap());
    let event = CustomerSignedUp { marketing_consent: false }.into();
    let event = CloudEvent { source: "/customer-signup".into(), subject, time: Timestamp::UNIX_EPOCH, traceparent: None, event };
    let delivery = Delivery { message_id: "m".into(), attempt: 1, ..Delivery::default() };
    let failure = @stem.handle(&event, &delivery).await.unwrap_err();
    assert_eq!((failure.kind, failure.error_type.as_str()), (Kind::Permanent, "NotForThisStage"));
}
"#;

#[cfg(test)]
mod tests;
