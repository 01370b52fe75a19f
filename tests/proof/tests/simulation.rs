//! The pipeline on a simulated cloud, as facts. A broken promise names the seed, whose story `cargo xtask simulate` tells.
#![allow(clippy::unwrap_used, reason = "what is not as these tests expect fails them")]

use proof::simulation::{WIRED, Wiring, many, run};
use simulated_cloud::Fault;
use std::collections::BTreeSet;

/// Runs in the test command. `cargo xtask simulate` makes as many as you like.
const RUNS: u64 = 10_000;

#[test]
fn ten_thousand_runs_with_faults_break_no_promise() {
    let sum = many(&Wiring::read().unwrap(), 0..RUNS, |_| {}).unwrap();
    println!("{sum:?}");
    assert_eq!(sum.broken, None, "tell its story with: cargo xtask simulate --seed <the seed>");
    assert_eq!(sum.runs, RUNS);
    // A simulation in which nothing goes wrong, or nothing ends well, proves nothing.
    for end in ["completed", "cancelled", "uncollected"] {
        assert!(sum.ends.get(end).is_some_and(|count| *count > RUNS / 100), "{end}: {:?}", sum.ends);
    }
    for fault in Fault::ALL {
        assert!(sum.faults.contains_key(&format!("{fault:?}")), "never drawn: {fault:?}");
    }
}

#[test]
fn a_seed_is_a_run_to_the_last_line_of_its_story() {
    let wiring = Wiring::read().unwrap();
    for seed in 0..20 {
        let (one, other) = (run(&wiring, seed, true).unwrap(), run(&wiring, seed, true).unwrap());
        assert!(!one.story.is_empty());
        assert_eq!(one.story, other.story, "seed {seed}");
        let untold = run(&wiring, seed, false).unwrap();
        assert_eq!((untold.invocations, untold.faults), (one.invocations, one.faults), "telling a story does not change it, seed {seed}");
    }
}

#[test]
fn every_queue_function_of_the_template_is_simulated() {
    let wiring = Wiring::read().unwrap();
    let functions: BTreeSet<_> = wiring.mappings.iter().map(|mapping| mapping.function.as_str()).collect();
    assert_eq!(functions, WIRED.into(), "wire it in tests/proof/src/simulation/functions.rs, or take it out there");
    assert!(wiring.queues.iter().all(|queue| wiring.subscriptions.iter().any(|subscription| subscription.queue == queue.name)));
}
