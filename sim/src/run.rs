//! Running a scenario.

use crate::{
    anabranch::Anabranch,
    observe::{Nobody, Observer},
    outcome::RunReport,
    plan::Plan,
    scenario::Scenario,
    system::System,
    world::World,
};
use std::{collections::BTreeSet, time::Instant};

/// Runs a scenario with a seed, to its end. The same scenario and seed give the same report, but for its wall time.
#[must_use]
pub fn run(scenario: &Scenario, seed: u64) -> RunReport {
    let drawn = scenario.drawn(seed);
    run_plan(&drawn, seed, Plan::new(&drawn, seed), &mut Nobody)
}

/// Runs a scenario without some of its operations. All others are what they were, and so are the fates of
/// the messages that they cause.
#[must_use]
pub fn run_without(scenario: &Scenario, seed: u64, operations: &BTreeSet<u64>) -> RunReport {
    let drawn = scenario.drawn(seed);
    run_plan(&drawn, seed, Plan::new(&drawn, seed).without_operations(operations), &mut Nobody)
}

/// Runs a plan, watched.
#[must_use]
pub fn run_plan(scenario: &Scenario, seed: u64, plan: Plan, observer: &mut dyn Observer) -> RunReport {
    run_system(Anabranch::new(scenario), scenario, seed, plan, observer)
}

/// Runs a plan with another system under test, watched.
#[must_use]
#[allow(clippy::disallowed_methods)] // The only clock that is read: how long a run takes is reported, and nothing depends on it.
pub fn run_system<S: System>(
    system: S,
    scenario: &Scenario,
    seed: u64,
    plan: Plan,
    observer: &mut dyn Observer,
) -> RunReport {
    let begin = Instant::now();
    let report = World::new(system, scenario, seed, plan, observer).run();
    RunReport { wall: begin.elapsed(), ..report }
}
