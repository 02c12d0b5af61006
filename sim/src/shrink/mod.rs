//! Making a failure smaller.
//!
//! Works on the explicit form, whose lists are independent of each other: what is taken out of one changes no item of
//! another. Operations, faults, replicas, fates of messages and all other choices are minimised together, over and over,
//! until nothing more can go. A candidate counts only if it fails **in the same way** ([`Signature`]).

mod candidates;
mod journal;
mod search;

pub use candidates::Size;
pub use journal::Journal;

use crate::{
    record::explicit,
    run::{Maker, attempt_system, record_system},
    scenario::Scenario,
    signature::Signature,
};
use candidates::Items;
use search::Search;

/// What the shrinker tells while it works, and asks.
pub trait Watcher {
    /// Candidates were tried. This is the smallest scenario so far, and with the journal a later sitting goes on from here.
    fn tried(&mut self, runs: u64, best: &Scenario, journal: &Journal);
    /// What is being taken out now.
    fn phase(&mut self, what: &'static str);
    /// The journal of an earlier sitting does not lead to the failure; nothing of it is used.
    fn begins_anew(&mut self);
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
    /// Candidates that were run for it, in all sittings.
    pub runs: u64,
    /// Whether nothing more can be taken out. If not, the watcher stopped it.
    pub is_minimal: bool,
    /// With this a later sitting goes on from here.
    pub journal: Journal,
}

/// Rounds over all lists. Each takes something out, so they end by themselves; this is for the one that does not.
const ROUNDS_MAX: u32 = 20;

/// Runs a scenario with a seed, and where that fails makes it as small as it gets: recorded, explicit, [shrunk](shrink()), and
/// [as its file will have it](as_regression). Gives back in which way it failed, too; `None` when it did not, or does not repeat from its lists.
///
/// Takes thousands of runs; who wants to see how far it is, or to stop it, calls these one by one.
#[must_use]
pub fn smallest(make: &dyn Maker, scenario: &Scenario, seed: u64, jobs: usize) -> Option<(Signature, Shrunk)> {
    let (ended, recording) = record_system(make, scenario, seed);
    let signature = Signature::of(&ended, &scenario.drawn(seed));
    if signature.is_passed() {
        return None;
    }
    let whole = explicit(scenario, seed, &recording.events);
    let shrunk = shrink(make, &whole, &signature, jobs, Journal::default(), &mut Silent)?;
    let scenario = as_regression(make, &shrunk.scenario, &signature)?;
    Some((signature, Shrunk { scenario, ..shrunk }))
}

/// Tells nobody, and never stops.
struct Silent;

impl Watcher for Silent {
    fn tried(&mut self, _: u64, _: &Scenario, _: &Journal) {}
    fn phase(&mut self, _: &'static str) {}
    fn begins_anew(&mut self) {}
    fn is_stopped(&self) -> bool {
        false
    }
}

/// Shrinks an explicit scenario that fails in this way with the systems that `make` makes, on so many threads. `None` when it does not fail
/// in this way.
///
/// `past` is the journal of an earlier sitting with the same scenario, empty where there was none. The result depends neither on it nor
/// on the number of threads.
pub fn shrink(
    make: &dyn Maker,
    scenario: &Scenario,
    signature: &Signature,
    jobs: usize,
    past: Journal,
    watcher: &mut dyn Watcher,
) -> Option<Shrunk> {
    let shrunk = sitting(Search::new(make, scenario.clone(), signature, jobs, past, watcher))?;
    if shrunk.is_some() {
        return shrunk;
    }
    watcher.begins_anew();
    sitting(Search::new(make, scenario.clone(), signature, jobs, Journal::default(), watcher))?
}

/// `None` when the scenario does not fail in this way, `Some(None)` when the search's past does not lead to what does.
fn sitting(mut search: Search<'_>) -> Option<Option<Shrunk>> {
    if !search.fails_as_it_stands() {
        return None;
    }
    rounds(&mut search);
    if !search.past_was_right() {
        return Some(None);
    }
    let is_minimal = !search.is_stopped();
    let Search { best, runs, journal, .. } = search;
    Some(Some(Shrunk { size: Size::of(&best), runs, scenario: best, is_minimal, journal }))
}

fn rounds(search: &mut Search<'_>) {
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
}

/// The scenario as its file will have it: read from its own text, and with what it should come to. `None` when it does not
/// fail in this way any more.
#[must_use]
pub fn as_regression(make: &dyn Maker, scenario: &Scenario, signature: &Signature) -> Option<Scenario> {
    use crate::{run::Ended, scenario::ExpectedOutcome};
    let text = scenario.to_toml();
    let mut scenario = Scenario::parse(&text, "shrunk.toml").ok()?;
    let ended = attempt_system(make, &scenario, 0);
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
fn used(make: &dyn Maker, scenario: &Scenario) -> Scenario {
    let (_, recording) = record_system(make, scenario, 0);
    let all = explicit(scenario, 0, &recording.events);
    let mut scenario = scenario.clone();
    if let (Some(lists), Some(used)) = (&mut scenario.explicit, all.explicit) {
        std::sync::Arc::make_mut(&mut lists.deliveries).retain(|key, _| used.deliveries.contains_key(key));
        std::sync::Arc::make_mut(&mut lists.choices).retain(|key, _| used.choices.contains_key(key));
    }
    scenario
}
