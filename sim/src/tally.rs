//! Counts of faults: how often each kind was asked for, and how often it changed something.

use crate::{
    outcome::FaultCount,
    plan::Plan,
    scenario::{Engine, FaultKind, Link, Scenario},
};
use anabranch_core::WhenBehind;
use std::collections::{BTreeMap, BTreeSet};

/// Counts by kind, of the kinds that the scenario asks for.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: BTreeMap<FaultKind, FaultCount>,
    effective: BTreeSet<u32>,
}

impl Tally {
    /// All kinds that the scenario and its plan ask for, at 0.
    #[must_use]
    pub fn new(scenario: &Scenario, plan: &Plan) -> Self {
        let mut kinds = BTreeSet::new();
        for link in std::iter::once(&scenario.network).chain(scenario.links.iter().map(|special| &special.link)) {
            let Link { drop, duplicate, reorder, corrupt, truncate, misdeliver, replay, bandwidth, queue, .. } = *link;
            let by_chance = [
                (drop > 0.0, FaultKind::Drop),
                (duplicate > 0.0, FaultKind::Duplicate),
                (reorder > 0.0, FaultKind::Reorder),
                (corrupt > 0.0, FaultKind::Corrupt),
                (truncate > 0.0, FaultKind::Truncate),
                (misdeliver > 0.0, FaultKind::Misdeliver),
                (replay > 0.0, FaultKind::Replay),
                (bandwidth > 0, FaultKind::Bandwidth),
                (queue > 0, FaultKind::QueueLimit),
            ];
            kinds.extend(by_chance.into_iter().filter(|(is_asked_for, _)| *is_asked_for).map(|(_, kind)| kind));
        }
        kinds.extend(plan.faults.iter().map(|(_, timed)| timed.fault.kind()));
        if scenario.core.when_behind != WhenBehind::Allow {
            kinds.insert(FaultKind::LateWrite);
        }
        if scenario.churn.is_some() {
            kinds.insert(FaultKind::Crash);
        }
        if scenario.disk.engine == Engine::Redb && kinds.contains(&FaultKind::Crash) {
            kinds.insert(FaultKind::TornWrites);
        }
        kinds.extend(scenario.hostile.iter().flat_map(|peer| &peer.acts).map(|act| act.kind()));
        Self {
            counts: kinds.into_iter().map(|kind| (kind, FaultCount::default())).collect(),
            effective: BTreeSet::new(),
        }
    }

    /// A fault was asked for.
    pub fn requested(&mut self, kind: FaultKind) {
        self.counts.entry(kind).or_default().requested += 1;
    }

    /// A fault changed something.
    pub fn effective(&mut self, kind: FaultKind) {
        self.counts.entry(kind).or_default().effective += 1;
    }

    /// The plan's fault of this number changed something, perhaps not for the first time.
    pub fn effective_once(&mut self, number: u32, kind: FaultKind) {
        if self.effective.insert(number) {
            self.effective(kind);
        }
    }

    /// The kinds that never changed anything.
    #[must_use]
    pub fn inert(&self) -> Vec<FaultKind> {
        self.counts.iter().filter(|(_, count)| count.effective == 0).map(|(kind, _)| *kind).collect()
    }

    /// The counts.
    #[must_use]
    pub fn into_counts(self) -> BTreeMap<FaultKind, FaultCount> {
        self.counts
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_and_never_happens_is_inert() {
        let text = "replicas = 2\nduration = \"9s\"\n[network]\ndrop = 0.1\n[[link]]\nfrom = [\"r0\"]\ncorrupt = 0.1\n\
                    [[crash]]\nat = \"1s\"\nreplica = \"r0\"\ndown = \"1s\"";
        let scenario = Scenario::parse(text, "test.toml").unwrap();
        let mut tally = Tally::new(&scenario, &Plan::new(&scenario, 0));
        assert_eq!(tally.inert(), [FaultKind::Drop, FaultKind::Corrupt, FaultKind::Crash]);
        tally.requested(FaultKind::Drop);
        tally.effective(FaultKind::Drop);
        tally.requested(FaultKind::Corrupt);
        tally.effective_once(0, FaultKind::Crash);
        tally.effective_once(0, FaultKind::Crash);
        assert_eq!(tally.inert(), [FaultKind::Corrupt]);
        assert_eq!(tally.into_counts()[&FaultKind::Crash].effective, 1);
    }
}
