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

/// Who makes a system for each run of it: a closure such as `|_: &Scenario| Documents::default()`, or [`AnabranchMaker`].
///
/// A run takes its system with it. Whoever runs a scenario more than once, as the [shrinker](crate::shrink) does, on several threads,
/// is given a maker. What it makes must depend on the scenario alone.
pub trait Maker: Sync {
    /// Runs a plan with a new system, watched. The scenario has no swarm: it is what one has drawn.
    fn run_plan(&self, scenario: &Scenario, seed: u64, plan: Plan, observer: &mut dyn Observer) -> RunReport;
}

impl<S: System, F: Fn(&Scenario) -> S + Sync> Maker for F {
    fn run_plan(&self, scenario: &Scenario, seed: u64, plan: Plan, observer: &mut dyn Observer) -> RunReport {
        run_system(self(scenario), scenario, seed, plan, observer)
    }
}

/// Makes Anabranch.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnabranchMaker;

impl Maker for AnabranchMaker {
    fn run_plan(&self, scenario: &Scenario, seed: u64, plan: Plan, observer: &mut dyn Observer) -> RunReport {
        run_plan(scenario, seed, plan, observer)
    }
}

/// How a run ended, if need be by a panic.
#[derive(Clone, Debug)]
pub enum Ended {
    /// By its own will.
    Report(Box<RunReport>),
    /// It panicked; one line says where and why.
    Panicked(String),
}

impl Ended {
    /// What [`caught`] gives.
    #[must_use]
    pub fn of(result: Result<RunReport, String>) -> Self {
        result.map_or_else(Self::Panicked, |report| Self::Report(Box::new(report)))
    }

    /// How it ended, in a word: the verdict's, or `crashed`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Report(report) => report.verdict.kind(),
            Self::Panicked(_) => "crashed",
        }
    }

    /// Whether it ended as the scenario expects.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        matches!(self, Self::Report(report) if report.as_expected)
    }
}

/// Runs a scenario, panics caught.
#[must_use]
pub fn attempt(scenario: &Scenario, seed: u64) -> Ended {
    attempt_system(&AnabranchMaker, scenario, seed)
}

/// Runs a scenario with another system under test, panics caught.
#[must_use]
pub fn attempt_system(make: &dyn Maker, scenario: &Scenario, seed: u64) -> Ended {
    let scenario = &*scenario.drawn(seed);
    Ended::of(caught(|| make.run_plan(scenario, seed, Plan::new(scenario, seed), &mut Nobody)))
}

/// Runs a scenario and keeps all of its events: about 150 bytes of memory for each. A run that panics is kept up to there.
#[must_use]
pub fn record(scenario: &Scenario, seed: u64) -> (Ended, Recording) {
    record_system(&AnabranchMaker, scenario, seed)
}

/// As [`record`], with another system under test.
#[must_use]
pub fn record_system(make: &dyn Maker, scenario: &Scenario, seed: u64) -> (Ended, Recording) {
    let drawn = scenario.drawn(seed);
    let scenario = &*drawn;
    let plan = Plan::new(scenario, seed);
    let mut recorder = Recorder::default();
    let ended = Ended::of(caught(|| make.run_plan(scenario, seed, plan.clone(), &mut recorder)));
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
