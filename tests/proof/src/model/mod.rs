//! The model check: every interleaving of the deployed handlers, call by call, with crashes, duplicates and lost answers.
//!
//! `cargo xtask model` and the test `model` call it. `stages` runs payment, inventory and shipping up to their next call,
//! `world` makes the call and is everything that surrounds it, `promises` must hold in every state that comes of it.

mod bank;
mod cases;
mod interned;
mod promises;
mod rows;
mod stages;
mod story;
mod world;

pub use cases::{Bound, Case, cases};

use stateright::{Checker as _, HasDiscoveries, Model as _};
use std::time::{Duration, Instant};
use world::World;

/// As many as the machines that this is made for have cores.
const THREADS: usize = 2;

/// What came of a case.
#[derive(Debug)]
pub struct Report {
    /// How often a step led to a state, known ones included.
    pub states: usize,
    /// How many different states there are.
    pub unique: usize,
    /// How many steps the farthest of them is away.
    pub depth: usize,
    /// How many more states healing went through.
    pub healing: usize,
    /// The ends that orders came to.
    pub ends: Vec<&'static str>,
    /// How long it took.
    pub took: Duration,
    /// The broken promise, and the shortest story of it.
    pub broken: Option<(&'static str, Vec<String>)>,
}

/// Explores `case`, to its last state or to a broken promise.
pub fn check(case: &Case) -> Report {
    let started = Instant::now();
    let failures = HasDiscoveries::AnyFailures;
    let checker = World::new(case.clone()).checker().threads(THREADS).finish_when(failures.clone()).spawn_bfs().join();
    let mut broken = checker.discoveries().into_iter().min_by_key(|(_, path)| path.clone().into_actions().len());
    // Two threads run ahead of each other, and a block of states is finished after the first break: shorter ones remain.
    while let Some((_, path)) = &broken {
        let shorter = World::new(case.clone()).checker().target_max_depth(path.clone().into_actions().len() + 1);
        let shorter = shorter.finish_when(failures.clone()).spawn_bfs().join().discoveries();
        match shorter.into_iter().min_by_key(|(_, path)| path.clone().into_actions().len()) {
            Some(better) => broken = Some(better),
            None => break,
        }
    }
    Report {
        states: checker.state_count(),
        unique: checker.unique_state_count(),
        depth: checker.max_depth().saturating_sub(1),
        healing: checker.model().healed.len(),
        ends: promises::End::ALL.into_iter().filter(|end| checker.model().has_seen(*end)).map(promises::End::name).collect(),
        took: started.elapsed(),
        broken: broken.map(|(promise, path)| {
            let world = checker.model();
            let last = path.last_state().clone();
            let mut story = story::tell(world, path.into_vec());
            if promise == promises::HEALING {
                let way = promises::does_not_heal(world, &last).unwrap_or_default();
                let wrong = way.last().map(|(state, _)| promises::what_is_wrong(world, state)).unwrap_or_default();
                story.push("then every message is lost, and order.placed is published once more:".to_owned());
                story.extend(story::tell(world, way));
                story.push(format!("which is not so: {wrong}"));
            }
            (promise, story)
        }),
    }
}
