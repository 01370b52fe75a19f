//! The pages of this repository: links lead somewhere, lines fit a screen, and each decision record says when and whether.
//!
//! Every Markdown file is read, so that a new page is checked without being named here.
#![allow(clippy::unwrap_used, reason = "a page that cannot be read fails these tests, helpers included")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use template::{files_below, workspace_root};

/// The width of prose, in characters: what a page shows beside its source in an editor on a laptop.
const PROSE_MAX: usize = 100;
/// The visible text of one cell of a table, in characters; a link counts by its text. A longer one is a paragraph.
const CELL_MAX: usize = 260;
/// The least number of links that the pages have: with fewer, this test reads the wrong folder.
const LINKS_MIN: usize = 100;

/// A page: its path from the root, and its text.
struct Page {
    path: PathBuf,
    text: String,
}

/// Every Markdown file, without what is built.
fn pages() -> Vec<Page> {
    let root = workspace_root();
    let paths = files_below(&root, &["target", ".git", ".aws-sam", "corpus"]).unwrap().into_iter();
    let pages = paths.filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    pages.map(|path| Page { text: fs::read_to_string(&path).unwrap(), path: path.strip_prefix(&root).unwrap().to_owned() }).collect()
}

/// The lines outside of code blocks and HTML comments, with their numbers.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut is_code = false;
    let outside = |(_, line): &(usize, &str)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    };
    text.lines().enumerate().map(|(n, line)| (n + 1, line)).filter(outside).collect()
}

/// What a reader sees of a line: of `[text](target)` the text, without backticks and stars.
fn visible(line: &str) -> String {
    let mut seen = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("](") {
        seen.push_str(before);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    seen.push_str(rest);
    seen.replace(['[', '`', '*', '!'], "")
}

/// The targets of a page's links.
fn targets(text: &str) -> Vec<String> {
    let prose: Vec<_> = prose(text).into_iter().map(|(_, line)| line).collect();
    prose.join("\n").split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// The anchor that GitHub gives a heading
/// (<https://docs.github.com/en/get-started/writing-on-github/getting-started-with-writing-and-formatting-on-github/basic-writing-and-formatting-syntax#section-links>).
fn anchor(heading: &str) -> String {
    let kept = visible(heading).trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    prose(text).into_iter().filter(|(_, line)| line.starts_with('#')).map(|(_, line)| anchor(line.trim_start_matches('#'))).collect()
}

/// Why a link of `page` leads nowhere.
fn broken(page: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = target.split_once('#').map_or((target, None), |(file, heading)| (file, Some(heading)));
    let root = workspace_root();
    let path = if file.is_empty() { root.join(page) } else { root.join(page).parent().unwrap().join(file) };
    if !path.exists() {
        return Some(format!("{}: {target}: there is no such file", page.display()));
    }
    // A line number of a source file is an anchor that moves with every edit.
    let heading = heading?;
    let exists = file.ends_with(".rs")
        || path.extension().is_some_and(|it| it == "md") && anchors(&fs::read_to_string(&path).unwrap()).contains(heading);
    (!exists || file.ends_with(".rs")).then(|| format!("{}: {target}: there is no such heading", page.display()))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let links: Vec<_> =
        pages().into_iter().flat_map(|page| targets(&page.text).into_iter().map(move |it| (page.path.clone(), it))).collect();
    assert!(links.len() >= LINKS_MIN, "{} links", links.len());
    let broken: Vec<_> = links.iter().filter_map(|(page, target)| broken(page, target)).collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_link_to_no_file_or_no_heading_is_found() {
    let page = Path::new("docs/architecture.md");
    assert_eq!(broken(page, "../README.md#run-it"), None);
    assert_eq!(broken(page, "#the-flow"), None);
    assert_eq!(broken(page, "https://example.com/#x"), None);
    for wrong in ["../README.md#run", "#the-flaw", "nowhere.md", "../shared/domain/src/lib.rs#L7"] {
        assert!(broken(page, wrong).is_some(), "{wrong}");
    }
    assert_eq!(anchor(" What `sam build` takes, once"), "what-sam-build-takes-once");
}

/// A heading, a table row and a line that cannot be broken (a link or a word of code alone) may be longer.
fn is_too_long(line: &str) -> bool {
    let is_prose = !line.starts_with(['|', '#', '!']) && line.trim_start_matches(['-', ' ', '>']).contains(' ');
    is_prose && line.chars().count() > PROSE_MAX && !is_one_link(line)
}

/// Whether a line is a bullet with one link and nothing else, perhaps a stop or a comma.
fn is_one_link(line: &str) -> bool {
    let line = line.trim_start_matches(['-', ' ', '>']);
    line.starts_with('[') && line.matches("](").count() == 1 && line.trim_end_matches(['.', ',', ';', ':', ' ']).ends_with(')')
}

#[test]
fn prose_wraps_at_a_hundred_columns() {
    let long = |page: &Page| {
        let wrong = prose(&page.text).into_iter().filter(|(_, line)| is_too_long(line));
        wrong.map(|(n, line)| format!("{}:{n}: {} columns", page.path.display(), line.chars().count())).collect::<Vec<_>>()
    };
    let wrong: Vec<_> = pages().iter().flat_map(long).collect();
    assert!(wrong.is_empty(), "wrap these at {PROSE_MAX}:\n{}", wrong.join("\n"));
}

#[test]
fn cells_of_tables_are_short() {
    let long = |page: &Page| {
        let rows = prose(&page.text).into_iter().filter(|(_, line)| line.starts_with('|'));
        let cells = rows.flat_map(|(n, line)| line.split(" | ").map(move |cell| (n, visible(cell).chars().count())).collect::<Vec<_>>());
        cells
            .filter(|(_, length)| *length > CELL_MAX)
            .map(|(n, length)| format!("{}:{n}: {length} characters", page.path.display()))
            .collect::<Vec<_>>()
    };
    let wrong: Vec<_> = pages().iter().flat_map(long).collect();
    assert!(wrong.is_empty(), "a cell of more than {CELL_MAX} characters is a paragraph below its table:\n{}", wrong.join("\n"));
}

#[test]
fn what_is_too_long_is_found() {
    let words = "word ".repeat(21);
    assert!(is_too_long(&words) && is_too_long(&format!("- {words}")));
    assert!(!is_too_long(&words[..PROSE_MAX]));
    for may in [format!("| {words} |"), format!("# {words}"), format!("- [{words}](https://example.com)."), "x".repeat(120)] {
        assert!(!is_too_long(&may), "{may}");
    }
    assert_eq!(visible("| [the `name`](a/very/long/path.rs) of *it*"), "| the name of it");
}

/// The second line of a record: `Accepted, 2026-11-22.`, and where it changed later, `; amended 2026-11-28.`
fn says_status_and_date(line: &str) -> bool {
    let is_date = |text: &str| {
        let parts: Vec<_> = text.split('-').collect();
        parts.iter().map(|part| part.len()).eq([4, 2, 2]) && parts.iter().all(|part| part.chars().all(|c| c.is_ascii_digit()))
    };
    let line = line.trim_end_matches('.');
    let mut parts = line.split("; ");
    let first = parts.next().and_then(|part| part.split_once(", "));
    first.is_some_and(|(status, date)| ["Accepted", "Superseded", "Rejected"].contains(&status) && is_date(date))
        && parts.all(|part| part.strip_prefix("amended ").is_some_and(is_date) || part.starts_with("superseded by ["))
}

#[test]
fn every_decision_record_says_its_status_and_date() {
    let records: Vec<_> = pages().into_iter().filter(|page| page.path.starts_with("docs/decisions")).collect();
    assert!(!records.is_empty(), "there are no records: this test reads nothing");
    let wrong: Vec<_> = records
        .iter()
        .filter(|page| !page.text.lines().nth(2).is_some_and(says_status_and_date))
        .map(|page| page.path.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "the third line is `Accepted, 2026-11-22.`:\n{}", wrong.join("\n"));
    assert!(says_status_and_date("Accepted, 2026-11-22; amended 2026-11-28."));
    for not in ["Accepted.", "accepted, 2026-11-22.", "Accepted, 22 November", "Accepted, 2026-11-22; changed"] {
        assert!(!says_status_and_date(not), "{not}");
    }
}
