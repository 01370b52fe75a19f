//! The quick bound of the model check, as every test run does it.

use proof::model::{Bound, cases, check};
use std::collections::BTreeSet;

#[test]
fn every_promise_holds_in_every_state_of_the_quick_bound() {
    let mut states = 0;
    let mut ends = BTreeSet::new();
    for case in cases(Bound::Quick) {
        let report = check(&case);
        if let Some((promise, story)) = report.broken {
            panic!("{}: {promise}\n{}", case.name, story.join("\n"));
        }
        assert!(!report.ends.is_empty(), "{}: no order came to any end", case.name);
        states += report.unique;
        ends.extend(report.ends);
    }
    assert_eq!(ends, BTreeSet::from(["cancelled", "completed", "uncollected"]));
    // Far below what there is, and far above what a world comes to in which messages go nowhere.
    assert!(states > 300_000, "only {states} states");
}
