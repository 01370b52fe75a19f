//! Help, ranges and refusals of every command.

use super::*;
use clap::error::ErrorKind;
use command_line::screen::{USUAL_WIDTH, columns};
use std::any::TypeId;

/// Every command and subcommand, by its words.
fn all(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
    found.push((path.to_owned(), command.clone()));
    for next in command.get_subcommands().filter(|next| next.get_name() != "help") {
        all(next, &format!("{path} {}", next.get_name()), found);
    }
}

fn built(width: usize) -> Vec<(String, clap::Command)> {
    let (mut command, mut found) = (command(width), Vec::new());
    command.build();
    all(&command, "cargo xtask", &mut found);
    assert!(found.len() > 30, "{}", found.len());
    found
}

/// The words of a text, without what lays them out.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[test]
fn help_fits_80_columns_and_breaks_no_word() {
    for ((path, mut narrow), (_, mut wide)) in built(USUAL_WIDTH).into_iter().zip(built(HELP_WIDTH_MAX)) {
        for (narrow, wide) in [
            (narrow.render_help().to_string(), wide.render_help().to_string()),
            (narrow.render_long_help().to_string(), wide.render_long_help().to_string()),
        ] {
            let too_wide: Vec<_> = narrow.lines().filter(|line| columns(line) > USUAL_WIDTH).collect();
            assert!(too_wide.is_empty(), "{path}: {too_wide:#?}");
            assert_eq!(words(&narrow), words(&wide), "{path}");
        }
    }
}

/// The program that runs outside of a checkout offers the same, word for word.
#[test]
fn help_of_order_pipeline_is_the_same() {
    let mut theirs = operate::Command::augment_subcommands(clap::Command::new("order-pipeline")).term_width(USUAL_WIDTH);
    theirs.build();
    let mut found = Vec::new();
    all(&theirs, PROGRAM, &mut found);
    let ours: std::collections::BTreeMap<_, _> = built(USUAL_WIDTH).into_iter().collect();
    for (path, mut theirs) in found.into_iter().skip(1) {
        let theirs = theirs.render_long_help().to_string().replace("order-pipeline", PROGRAM);
        assert_eq!(words(&ours[&path].clone().render_long_help().to_string()), words(&theirs), "{path}");
    }
}

#[test]
fn help_lists_every_command_in_one_group() {
    let mut grouped: Vec<String> =
        groups().into_iter().flat_map(|(_, commands)| commands).map(|command| command.get_name().to_owned()).collect();
    let help = command(USUAL_WIDTH).render_help().to_string();
    for name in &grouped {
        assert_eq!(help.lines().filter(|line| line.starts_with(&format!("  {name} "))).count(), 1, "{name}\n{help}");
        // One that takes two lines makes the list twice as long as it needs to be.
        let line = help.lines().position(|line| line.starts_with(&format!("  {name} "))).unwrap();
        assert!(help.lines().nth(line + 1).is_none_or(|next| !next.starts_with("     ")), "{name}\n{help}");
    }
    let mut known: Vec<String> = Cli::command().get_subcommands().filter(|c| !c.is_hide_set()).map(|c| c.get_name().to_owned()).collect();
    grouped.sort();
    known.sort();
    assert_eq!(grouped, known);
}

/// `1..=18446744073709551615` tells nobody what is allowed. A seed may be any number there is.
#[test]
fn every_number_has_a_range_that_means_something() {
    let whole = ["seed", "from"];
    let numbers = [TypeId::of::<u64>(), TypeId::of::<u32>(), TypeId::of::<u16>(), TypeId::of::<usize>()];
    let mut seen = 0;
    for (path, command) in built(USUAL_WIDTH) {
        let is_number = |arg: &&clap::Arg| numbers.iter().any(|number| arg.get_value_parser().type_id() == *number);
        for arg in command.get_arguments().filter(is_number).filter(|arg| !whole.contains(&arg.get_id().as_str())) {
            seen += 1;
            // As if it stood alone: others that it requires are not asked about.
            let (id, parser) = (arg.get_id().clone(), arg.get_value_parser().clone());
            let alone = clap::Command::new("x").arg(clap::Arg::new(id).long("it").value_parser(parser));
            // Just below what the type holds, which a range that was made for people does not reach.
            let huge = match arg.get_value_parser().type_id() {
                of if of == TypeId::of::<u16>() => u64::from(u16::MAX),
                of if of == TypeId::of::<u32>() => u64::from(u32::MAX) - 1,
                _ => u64::MAX - 1,
            };
            let error = alone.try_get_matches_from(["x", &format!("--it={huge}")]).unwrap_err();
            let said = error.to_string();
            assert!(error.kind() == ErrorKind::ValueValidation && said.contains("is not in "), "{path} {}: {said}", arg.get_id());
            let range = said.rsplit("is not in ").next().unwrap().lines().next().unwrap().to_owned();
            assert!(!range.contains(&u64::MAX.to_string()), "{path} {}: {range}", arg.get_id());
        }
    }
    assert!(seen > 15, "{seen}");
}

#[test]
fn wrong_names_are_status_2_with_the_nearest_one() {
    for (line, near) in [
        ("logs paymnt", "payment"),
        ("statsu", "status"),
        ("bench --function paymet", "payment"),
        ("fuzz mial", "mail"),
        ("chaos --orders 1001", "10..=1000"),
        ("cost --region us-east-2", "us-east-1"),
    ] {
        let words = ["cargo xtask"].into_iter().chain(line.split(' '));
        let error = command(USUAL_WIDTH).try_get_matches_from(words).unwrap_err();
        let said = error.to_string();
        assert!(error.exit_code() == 2 && said.contains(near), "{line}: {said}");
    }
}

#[test]
fn a_signal_says_what_is_true_of_each_command() {
    let meaning = |line: &str| {
        let matches = command(USUAL_WIDTH).try_get_matches_from(["cargo xtask"].into_iter().chain(line.split(' '))).unwrap();
        Cli::from_arg_matches(&matches).unwrap().command.if_interrupted()
    };
    assert_eq!((meaning("logs payment --follow"), meaning("sam-env")), (None, None), "its ordinary end");
    assert_eq!((meaning("logs payment"), meaning("status"), meaning("inbox")), (Some(NOTHING), Some(NOTHING), Some(NOTHING)));
    assert_eq!(meaning("test"), Some(STOPPED));
    let id = "fe08ddf2-c1ca-5f7e-9ff5-e24a01cd5cf9";
    for goes_on in [&format!("nudge {id} --reason lost"), &format!("uncollected settle {id} --reason paid"), "smoke", "order -l A", "up"] {
        let said = meaning(goes_on).unwrap();
        assert!(said != STOPPED && said != NOTHING, "{goes_on}: {said}");
    }
    assert_eq!(meaning(&format!("nudge {id} --reason lost --dry-run")), Some(NOTHING));
}
