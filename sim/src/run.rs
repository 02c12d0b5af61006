//! Running a scenario.

use crate::{
    anabranch::Anabranch,
    caught::caught,
    engine::nanoseconds,
    observe::{Nobody, Observer},
    outcome::RunReport,
    plan::Plan,
    record::{Header, Recorder, Recording, fault_notes},
    scenario::{Party, Scenario},
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

/// How a run ended, if need be by a panic.
#[derive(Clone, Debug)]
pub enum Ended {
    /// By its own will.
    Report(Box<RunReport>),
    /// It panicked; one line says where and why.
    Panicked(String),
}

/// Runs a scenario, panics caught.
#[must_use]
pub fn attempt(scenario: &Scenario, seed: u64) -> Ended {
    caught(|| run(scenario, seed)).map_or_else(Ended::Panicked, |report| Ended::Report(Box::new(report)))
}

/// Runs a scenario and keeps all of its events: about 150 bytes of memory for each. A run that panics is kept up to there.
#[must_use]
pub fn record(scenario: &Scenario, seed: u64) -> (Ended, Recording) {
    let drawn = scenario.drawn(seed);
    let scenario = &*drawn;
    let plan = Plan::new(scenario, seed);
    let mut recorder = Recorder::default();
    let ended = caught(|| run_plan(scenario, seed, plan.clone(), &mut recorder));
    let ended = ended.map_or_else(Ended::Panicked, |report| Ended::Report(Box::new(report)));
    let parties = (0..scenario.parties()).filter_map(|index| u16::try_from(index).ok());
    let header = Header {
        scenario: scenario.name.clone(),
        seed: scenario.explicit.is_none().then_some(seed),
        commit: crate::failure::COMMIT.to_owned(),
        trace: if let Ended::Report(report) = &ended { Some(report.trace.clone()) } else { None },
        parties: parties.map(|index| scenario.party_name(Party(index)).to_owned()).collect(),
        replicas: scenario.replicas.len(),
        duration_ns: nanoseconds(scenario.duration),
        faults: fault_notes(&plan),
    };
    (ended, Recording { header, events: recorder.events })
}
