//! Making a failure smaller.
//!
//! Works on the explicit form, whose lists are independent of each other: what is taken out of one changes no item of
//! another. Operations, faults, replicas, fates of messages and all other choices are minimised together, over and over,
//! until nothing more can go. A candidate counts only if it fails **in the same way** ([`Signature`]).

mod candidates;
mod search;

pub use candidates::Size;

use crate::{
    run::{attempt, record},
    scenario::Scenario,
    signature::Signature,
};
use candidates::Items;
use search::Search;

/// What the shrinker tells while it works, and asks.
pub trait Watcher {
    /// A candidate failed in the same way, and is smaller: all that matters is in it.
    fn smaller(&mut self, scenario: &Scenario, size: Size);
    /// Candidates were tried.
    fn tried(&mut self, runs: u64);
    /// What is being taken out now.
    fn phase(&mut self, what: &'static str);
    /// Whether to stop here.
    fn is_stopped(&self) -> bool;
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest scenario that was found.
    pub scenario: Scenario,
    /// Its size.
    pub size: Size,
    /// Runs that it took.
    pub runs: u64,
    /// Whether nothing more can be taken out. If not, the watcher stopped it.
    pub is_minimal: bool,
}

/// Rounds over all lists. Each takes something out, so they end by themselves; this is for the one that does not.
const ROUNDS_MAX: u32 = 20;

/// Shrinks an explicit scenario that fails in this way, on so many threads; no result depends on their number.
/// `None` when it does not fail in this way.
pub fn shrink(scenario: &Scenario, signature: &Signature, jobs: usize, watcher: &mut dyn Watcher) -> Option<Shrunk> {
    let mut search = Search::new(scenario.clone(), signature, jobs, watcher);
    if !search.fails_as_it_stands() {
        return None;
    }
    for _ in 0..ROUNDS_MAX {
        let before = search.best.clone();
        search.forget_unused();
        search.phase("settings");
        search.try_each(candidates::settings);
        search.phase("replicas");
        search.try_each(candidates::replicas);
        search.phase("operations and faults");
        search.minimise(Items::Happenings);
        search.forget_unused();
        search.phase("deliveries and choices");
        search.minimise(Items::Chances);
        search.phase("writes");
        search.minimise(Items::Writes);
        search.try_each(candidates::values);
        if search.is_stopped() || search.best == before {
            break;
        }
    }
    let is_minimal = !search.is_stopped();
    Some(Shrunk { size: Size::of(&search.best), runs: search.runs, scenario: search.best, is_minimal })
}

/// The scenario as its file will have it: read from its own text, and with what it should come to. `None` when it does not
/// fail in this way any more.
#[must_use]
pub fn as_regression(scenario: &Scenario, signature: &Signature) -> Option<Scenario> {
    use crate::{run::Ended, scenario::ExpectedOutcome};
    let text = scenario.to_toml();
    let mut scenario = Scenario::parse(&text, "shrunk.toml").ok()?;
    let ended = attempt(&scenario, 0);
    if Signature::of(&ended, &scenario) != *signature {
        return None;
    }
    scenario.expect = crate::scenario::Expectation::default();
    if let Ended::Report(report) = ended {
        use crate::outcome::Verdict;
        let outcome = match &report.verdict {
            Verdict::BrokenInvariant { oracle, .. } => {
                scenario.expect.oracle = Some(*oracle);
                ExpectedOutcome::BrokenInvariant
            }
            Verdict::NotConverged { .. } => ExpectedOutcome::NotConverged,
            Verdict::InertFaults { .. } => ExpectedOutcome::InertFaults,
            // Neither can be expected by a scenario: the program must be mended.
            Verdict::ReplicaFailed { .. } | Verdict::Passed => return Some(scenario),
        };
        scenario.expect.outcome = outcome;
        scenario.expect.seed = Some(0);
        scenario.expect.trace = Some(report.trace);
    }
    Some(scenario)
}

/// The lists without what the run does not use.
fn used(scenario: &Scenario) -> Scenario {
    let (_, recording) = record(scenario, 0);
    let all = crate::record::explicit(scenario, 0, &recording.events);
    let mut scenario = scenario.clone();
    if let (Some(lists), Some(used)) = (&mut scenario.explicit, all.explicit) {
        std::sync::Arc::make_mut(&mut lists.deliveries).retain(|key, _| used.deliveries.contains_key(key));
        std::sync::Arc::make_mut(&mut lists.choices).retain(|key, _| used.choices.contains_key(key));
    }
    scenario
}
