//! The words of this repository: what people read uses the terms of AWS, Stripe, Rust and the RFCs.
//!
//! A word of a project's own cannot be searched for, and a reader whose first language is not English cannot guess it. So the
//! words in [`AVOIDED`] occur nowhere: not in comments, pages, program output, test names, the template or Python. Each says
//! what to write instead. A word that is right in one place, because it means the usual thing there, is right by its
//! neighbours or is an [`EXCEPTIONS`].
#![allow(clippy::unwrap_used, reason = "a file that cannot be read fails these tests, helpers included")]

use std::{collections::BTreeMap, fs, path::PathBuf};
use template::{files_below, workspace_root};

/// A word, or a few in a row, that this repository does not use.
struct Avoided {
    /// Its forms, in lower case.
    forms: &'static [&'static str],
    /// What to write.
    write: &'static str,
    /// Words near it, within [`NEAR`], by which it is the usual word and right.
    right_near: &'static [&'static str],
}

/// How many words before and behind count as near.
const NEAR: usize = 4;

const AVOIDED: &[Avoided] = &[
    Avoided { forms: &["whoever", "whosoever"], write: "name the person, the function or the process", right_near: &[] },
    Avoided {
        forms: &["letter", "letters"],
        write: "message, mail or event, whichever it is",
        right_near: &["dead", "digit", "digits", "spacing", "country", "ids", "name", "domain", "separated"],
    },
    Avoided { forms: &["dice"], write: "random numbers, RNG", right_near: &[] },
    Avoided { forms: &["knock", "knocks", "knocked", "knocking"], write: "warm-up request", right_near: &[] },
    Avoided {
        forms: &["home", "homes"],
        write: "source queue, send back to the source queue",
        right_near: &["environ", "path", "user", "useradd", "create"],
    },
    Avoided { forms: &["mend", "mends", "mended", "mending"], write: "fix, patch", right_near: &[] },
    Avoided { forms: &["swallow", "swallows", "swallowed", "swallowing"], write: "ignore, drop, deduplicate", right_near: &[] },
    Avoided {
        forms: &["give up", "gives up", "gave up", "given up", "giving up"],
        write: "is parked, is in a dead-letter queue, stops retrying",
        right_near: &[],
    },
    Avoided { forms: &["bear", "bears", "bearing", "borne"], write: "tolerate, be idempotent", right_near: &[] },
    Avoided { forms: &["rights", "a right to", "the right to", "missed a right"], write: "permission, is denied", right_near: &[] },
    Avoided {
        forms: &["the clock s", "clock nudges", "clock checks", "clock asks", "clock wants", "the one clock", "one clock of"],
        write: "order-deadline",
        right_near: &[],
    },
    Avoided { forms: &["looks again", "look again at", "looking again"], write: "checks again, schedules another check", right_near: &[] },
    Avoided {
        forms: &["door shut", "door is shut", "door was shut", "front door"],
        write: "the condition fails; the HTTP API",
        right_near: &[],
    },
    Avoided { forms: &["for good"], write: "permanently", right_near: &["in"] },
    Avoided { forms: &["to the letter"], write: "exactly", right_near: &[] },
    Avoided { forms: &["weather"], write: "faults, how many faults there are", right_near: &[] },
    Avoided { forms: &["bad day", "bad days"], write: "runs with faults, simulated runs", right_near: &[] },
    Avoided { forms: &["side by side"], write: "concurrently, in parallel", right_near: &[] },
    Avoided { forms: &["troublemaker", "troublemakers"], write: "fault injector", right_near: &[] },
    Avoided { forms: &["meanwhile"], write: "until then, at the same time", right_near: &[] },
];

/// Names of files and types that say nothing of what they hold.
const NAMES: &[&str] = &["meanwhile", "shown", "way", "lots", "read"];

/// Places where a word is right: part of the path, the word, and why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[("tests/template/tests/plain_words.rs", "", "the list itself")];

/// The most words in a test's name. A fact has ten or so; what does not fit goes into the doc comment.
const TEST_WORDS_MAX: usize = 13;

/// What holds texts that people read.
const FOLDERS: &[&str] = &[".cargo", ".ci", ".devcontainer", ".github", "docs", "events", "functions", "local", "shared", "tests", "xtask"];
/// Files of these kinds are read; the others are data.
const KINDS: &[&str] = &["rs", "md", "py", "toml", "yaml", "yml", "sh", "svg"];
/// Folders and files of others' words: what fuzzers found, customers' mails, lists of packages.
const FOREIGN: &[&str] = &["target", "corpus", "mails", "foreign-events", "__pycache__"];
/// The least number of files: with fewer, this test reads the wrong folder.
const FILES_MIN: usize = 400;

/// A word of a text, and its line.
struct Word {
    text: String,
    line: usize,
}

/// The words of a text in lower case. `_`, a change of case and everything that is not a letter of the alphabet part two words.
fn words(text: &str) -> Vec<Word> {
    let mut words = vec![];
    let mut word = String::new();
    let mut line = 1;
    let mut end = |word: &mut String, line| {
        if !word.is_empty() {
            words.push(Word { text: std::mem::take(word).to_lowercase(), line });
        }
    };
    for c in text.chars() {
        let begins = c.is_uppercase() && word.ends_with(|last: char| last.is_lowercase());
        if begins || !c.is_alphabetic() {
            end(&mut word, line);
        }
        if c.is_alphabetic() {
            word.push(c);
        }
        line += usize::from(c == '\n');
    }
    end(&mut word, line);
    words
}

/// Every place of a text where a word stands that is not used, and what to write.
fn found(text: &str) -> Vec<(usize, String, &'static str)> {
    let words = words(text);
    let mut by_first: BTreeMap<&str, Vec<(Vec<&str>, &Avoided)>> = BTreeMap::new();
    for avoided in AVOIDED {
        for form in avoided.forms {
            let form: Vec<_> = form.split(' ').collect();
            by_first.entry(form[0]).or_default().push((form, avoided));
        }
    }
    let mut found = vec![];
    for at in 0..words.len() {
        for (form, avoided) in by_first.get(words[at].text.as_str()).into_iter().flatten() {
            let stands = words.len() >= at + form.len() && (0..form.len()).all(|n| words[at + n].text == form[n]);
            let near = &words[at.saturating_sub(NEAR)..(at + form.len() + NEAR).min(words.len())];
            let is_right = avoided.right_near.iter().any(|right| near.iter().any(|word| word.text == *right));
            if stands && !is_right {
                found.push((words[at].line, form.join(" "), avoided.write));
            }
        }
    }
    found
}

/// Every file that people read, by its path from the root.
fn files() -> Vec<(String, String)> {
    let root = workspace_root();
    let is_read = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        path.extension().is_some_and(|kind| KINDS.contains(&&*kind.to_string_lossy())) || name == "run" || name == "Dockerfile"
    };
    let mut paths: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    paths.extend(FOLDERS.iter().flat_map(|folder| files_below(root.join(folder), FOREIGN).unwrap()));
    paths.retain(is_read);
    paths.sort();
    paths.into_iter().map(|path| (path.strip_prefix(&root).unwrap().display().to_string(), fs::read_to_string(&path).unwrap())).collect()
}

fn is_excepted(path: &str, word: &str) -> bool {
    EXCEPTIONS.iter().any(|(part, excepted, _)| path.contains(part) && (excepted.is_empty() || *excepted == word))
}

#[test]
fn no_text_uses_a_word_of_our_own() {
    let files = files();
    assert!(files.len() >= FILES_MIN, "{} files", files.len());
    let mut wrong = vec![];
    for (path, text) in &files {
        let here = found(text).into_iter().filter(|(_, word, _)| !is_excepted(path, word));
        wrong.extend(here.map(|(line, word, write)| format!("{path}:{line}: \"{word}\": write {write}")));
    }
    assert!(wrong.is_empty(), "{} places:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn no_file_or_type_has_a_name_without_meaning() {
    let mut wrong = vec![];
    for (path, text) in files() {
        let stem = path.rsplit('/').next().unwrap().split('.').next().unwrap();
        if NAMES.contains(&stem) && !is_excepted(&path, stem) {
            wrong.push(format!("{path}: name it by what it holds"));
        }
        for kind in ["struct ", "enum ", "trait ", "type "] {
            let names = text.split(kind).skip(1).filter_map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next());
            let unclear = names.filter(|name| name.starts_with(char::is_uppercase) && NAMES.contains(&name.to_lowercase().as_str()));
            wrong.extend(unclear.filter(|name| !is_excepted(&path, &name.to_lowercase())).map(|name| format!("{path}: {kind}{name}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The names of the tests in a source file.
fn tests(source: &str) -> Vec<&str> {
    let mut is_test = false;
    let mut names = vec![];
    for line in source.lines().map(str::trim_start) {
        is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test && !line.starts_with("//")) {
            names.extend(rest.split('(').next());
            is_test = false;
        }
    }
    names
}

#[test]
fn test_names_are_facts_of_few_words() {
    let sources = files().into_iter().filter(|(path, _)| path.ends_with(".rs"));
    let long = |(path, text): (String, String)| {
        let long = tests(&text).into_iter().filter(|name| name.split('_').count() > TEST_WORDS_MAX);
        long.map(|name| format!("{path}: {name}")).collect::<Vec<_>>()
    };
    let wrong: Vec<_> = sources.flat_map(long).collect();
    assert!(wrong.is_empty(), "at most {TEST_WORDS_MAX} words:\n{}", wrong.join("\n"));
    assert_eq!(tests("#[test]\nfn a_fact() {}\n#[tokio::test]\nasync fn another() {}"), ["a_fact", "another"]);
}

#[test]
fn a_word_is_found_in_comments_names_and_over_a_line_end() {
    let all = |text: &str| found(text).into_iter().map(|(line, word, _)| (line, word)).collect::<Vec<_>>();
    assert_eq!(all("/// It is\n/// given\n/// up."), [(2, "given up".to_owned())]);
    assert_eq!(all("fn a_letter_is_sent() {}"), [(1, "letter".to_owned())]);
    assert_eq!(all("struct OldLetter;"), [(1, "letter".to_owned())]);
    assert_eq!(all("Whoever asks"), [(1, "whoever".to_owned())]);
    for right in ["the dead-letter queue", "DeadLetterQueue", "letters, digits and `_`", "newsletter", "homely", "the forgiven upper"] {
        assert_eq!(all(right), [], "{right}");
    }
}

#[test]
fn every_avoided_word_says_what_to_write() {
    for avoided in AVOIDED {
        assert!(!avoided.forms.is_empty() && !avoided.write.is_empty());
        let own: Vec<_> = avoided.forms.iter().filter(|form| avoided.write.split([' ', ',']).any(|word| word == **form)).collect();
        assert!(own.is_empty(), "{own:?} is no better word");
    }
}
