//! `docs/performance.md` shows the runs that lie in `tests/bench/reference`, figure by figure.
#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

use bench::{
    cost::{Question, answer, event_flow::EventFlow},
    report::Report,
};
use command_line::options::COLD_STARTS_PER_THOUSAND;
use std::path::Path;

fn here(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

/// Whether the page has a block that is just `shown`.
fn the_page_shows(shown: &str) -> bool {
    let page = std::fs::read_to_string(here("../../docs/performance.md")).unwrap();
    page.split("```text\n").skip(1).any(|block| block.split("```").next() == Some(shown))
}

#[test]
fn the_page_shows_the_reference_runs() {
    for run in ["at-once", "5-ms"] {
        let mut report = Report::read(&here(&format!("reference/{run}.json"))).unwrap();
        // The other sizes would fill the page, and are in the file.
        report.rows.retain(|row| row.memory_mb == 128);
        assert!(
            the_page_shows(&report.to_string()),
            "docs/performance.md has another table than tests/bench/reference/{run}.json:\n{report}"
        );
    }
}

/// Of what was measured: a consumer that is newer than the run is not on the page until `cargo xtask bench` has measured it.
#[test]
fn the_page_shows_what_an_order_costs() {
    let report = Report::read(&here("reference/5-ms.json")).unwrap();
    let prices = std::fs::read_to_string(here("prices.toml")).unwrap();
    let question = Question { orders_per_month: 100_000, region: "us-east-1".to_owned(), cold_per_thousand: COLD_STARTS_PER_THOUSAND };
    let answer = answer(&report, &EventFlow::measured(&report).unwrap(), &prices, &question).unwrap();
    assert!(the_page_shows(&answer), "docs/performance.md has another bill than cargo xtask cost:\n{answer}");
}
