//! The power is cut at each write of a run in turn.
//!
//! A replica's writes fall into *lives*: a crash takes back a cut that was still to come, so each time that the replica is opened is a life of its own, with a
//! cut of its own. What the engine writes in the very first opening of a store, before the run begins, is not among them, nor what it
//! writes when all have converged and the run is over: nobody would open that store again.

use crate::{
    caught::caught,
    observe::{Observer, Seen, What},
    outcome::{MomentKind, RunReport},
    plan::Plan,
    run::{run, run_plan},
    scenario::{Engine, ExpectedOutcome, Fault, FaultKind, Party, PowerCut, Scenario, TimedFault},
};
use std::{fmt, time::Duration};

/// A cut that is looked for first, where it is not known how many writes there are.
const FIRST_GUESS: u64 = 64;

/// A scenario with a seed, whose power is to be cut.
#[derive(Clone, Debug)]
pub struct Sweep {
    scenario: Scenario,
    seed: u64,
}

/// A stretch of a run in which a replica's store is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// Whose.
    pub replica: Party,
    /// From when its writes are counted.
    pub from: Duration,
}

/// Why the power cannot be cut at each write of a scenario's runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSwept {
    /// Its replicas have no engine that writes to a disk.
    InMemory,
    /// It cuts the power itself.
    HasCuts,
}

impl fmt::Display for NotSwept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InMemory => {
                "the engine in memory makes no writes before which the power could be cut, expected `engine = \"redb\"` in [disk]"
            }
            Self::HasCuts => "has a [[power_cut]] of its own, expected none: the sweep makes them; take it out",
        })
    }
}

impl std::error::Error for NotSwept {}

/// Notes when stores are opened.
struct Openings(Vec<Life>);

impl Observer for Openings {
    fn saw(&mut self, seen: Seen) {
        if let (Some(replica), What::Started { .. }) = (seen.party, &seen.what) {
            // Just before, so that the writes of the opening are counted too.
            self.0.push(Life { replica, from: Duration::from_nanos(seen.at.saturating_sub(1)) });
        }
    }
}

impl Sweep {
    /// A sweep over the run of this scenario with this seed. What the scenario expects counts for each run, but for a pinned trace: a cut makes it another run.
    ///
    /// # Errors
    /// Where there is nothing to cut, or the scenario does it itself.
    pub fn new(scenario: &Scenario, seed: u64) -> Result<Self, NotSwept> {
        let mut scenario = scenario.drawn(seed).into_owned();
        if scenario.disk.engine != Engine::Redb {
            return Err(NotSwept::InMemory);
        }
        if scenario.faults.iter().any(|timed| matches!(timed.fault, Fault::PowerCut(_))) {
            return Err(NotSwept::HasCuts);
        }
        (scenario.expect.seed, scenario.expect.trace) = (Some(seed), None);
        // A replica that died of its cut cannot be crashed by the scenario at that time, too.
        scenario.may_be_inert |= scenario.expect.outcome != ExpectedOutcome::InertFaults;
        Ok(Self { scenario, seed })
    }

    /// The scenario of all runs, without a cut.
    #[must_use]
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// Runs it without a cut, and gives the lives of the replicas, a replica after the other. Cuts are faults: those that begin in the second phase are left out.
    #[must_use]
    pub fn uncut(&self) -> (RunReport, Vec<Life>) {
        let mut openings = Openings(Vec::new());
        let report = run_plan(&self.scenario, self.seed, Plan::new(&self.scenario, self.seed), &mut openings);
        let mut lives = openings.0;
        lives.retain(|life| self.scenario.is_replica(life.replica) && life.from < self.scenario.duration);
        lives.sort_by_key(|life| (life.replica, life.from));
        lives.dedup();
        (report, lives)
    }

    /// The scenario with the power cut before this write of the life, counted from 0: as a file that says so is read.
    #[must_use]
    pub fn with_cut(&self, life: Life, write: u64) -> Scenario {
        let mut scenario = self.scenario.clone();
        let fault = Fault::PowerCut(PowerCut { replica: life.replica, write });
        scenario.faults.push(TimedFault { at: life.from, fault });
        scenario.faults.sort_by_key(|timed| (timed.at, timed.fault.order()));
        scenario
    }

    /// Runs it with this cut.
    #[must_use]
    pub fn run(&self, life: Life, write: u64) -> RunReport {
        run(&self.with_cut(life, write), self.seed)
    }

    /// How many writes there are in a life. Runs with an earlier and a later cut are one up to the earlier, so a cut takes effect exactly where there is such a
    /// write: the number is found by halving, in some 15 runs.
    #[must_use]
    pub fn writes(&self, life: Life) -> u64 {
        // Where a cut makes the program panic, there was one.
        let strikes = |write| caught(|| self.run(life, write)).map_or(true, |report| was_cut(&report));
        let (mut least, mut most) = (0, FIRST_GUESS);
        while strikes(most) {
            (least, most) = (most + 1, most.saturating_mul(4));
        }
        while least < most {
            let middle = least + (most - least) / 2;
            if strikes(middle) {
                least = middle + 1;
            } else {
                most = middle;
            }
        }
        least
    }
}

/// Whether the power was cut in this run, and not only in the last look at its end, when all had converged: nobody is started again after that.
#[must_use]
pub fn was_cut(report: &RunReport) -> bool {
    let mut end = report.timeline.iter().skip_while(|moment| moment.kind != MomentKind::Converged);
    report.faults.get(&FaultKind::PowerCut).is_some_and(|count| count.effective > 0)
        && !end.any(|moment| moment.kind == MomentKind::Crashed)
}
