//! What is told of a run.

use super::{Failure, Outcome, SAMPLES, SAMPLES_MAX, World};
use crate::{
    engine::{hex, nanoseconds},
    oracles::Observed,
    outcome::{Moment, MomentKind, Progress, RunReport, Sample, Verdict},
    scenario::{Expectation, ExpectedOutcome, Party},
};
use anabranch_core::Replica;
use sha2::{Digest, Sha256};
use std::time::Duration;

impl World<'_> {
    /// Notes how far each replica is, and when to look next.
    pub(super) fn sample(&mut self) {
        let progress = |core: &Replica<_>| {
            let stats = core.stats();
            Progress { merged: stats.merged, heads: stats.heads, behind: stats.obligations }
        };
        let replicas = self.processes.iter().map(|process| process.core.as_ref().map(progress)).collect();
        self.samples.push(Sample { at_ns: self.now, replicas });
        if self.samples.len() < SAMPLES_MAX {
            let interval = (nanoseconds(self.scenario.duration) / SAMPLES).max(1);
            self.queue.push(self.now + interval, super::Event::Sample);
        }
    }

    pub(super) fn report(mut self, outcome: Outcome) -> RunReport {
        let verdict = self.verdict(outcome);
        if !verdict.is_passed() {
            let at_ns = self.now;
            self.timeline.push(Moment { at_ns, what: verdict.to_string(), kind: MomentKind::Failed });
        }
        if self.samples.last().is_none_or(|sample| sample.at_ns < self.now) {
            self.sample();
        }
        for (_, kind) in std::mem::take(&mut self.open).into_values() {
            self.count(kind).unknown += 1;
        }
        let fullest = self.fullest();
        let core = fullest.and_then(|replica| self.processes[replica.index()].core.as_ref());
        let stats = core.map(Replica::stats).unwrap_or_default();
        let observed = core.and_then(|core| Observed::of(core).ok()).unwrap_or_default();
        let duration = nanoseconds(self.scenario.duration);
        let (suspended, checks) = self.panel.into_parts();
        let trace = self.trace.finish();
        RunReport {
            as_expected: is_expected(&self.scenario.expect, self.seed, &verdict, &trace),
            scenario: self.scenario.name.clone(),
            seed: self.seed,
            verdict,
            trace,
            events: self.events,
            simulated_ns: self.now,
            converged_after_ns: self.converged_at.map(|at| at - duration),
            wall: Duration::ZERO,
            replicas: self.scenario.replicas.iter().map(|replica| replica.name.clone()).collect(),
            faults: self.tally.into_counts(),
            messages: self.network.counts(),
            operations: self.counts,
            blocks_merged: self.blocks_merged,
            blocks: stats.merged,
            blocks_void: stats.void,
            blocks_misdeclared: stats.misdeclared,
            keys: observed.state.len() as u64,
            heads: stats.heads,
            state: state_digest(&observed),
            suspended,
            checks,
            timeline: self.timeline,
            samples: self.samples,
        }
    }

    fn verdict(&self, outcome: Outcome) -> Verdict {
        let at_ns = self.now;
        match outcome {
            Err(Failure::Broken(violation)) => Verdict::BrokenInvariant {
                oracle: violation.oracle,
                replica: violation.replica.map(|replica| self.name(replica).to_owned()),
                message: violation.message,
                at_ns,
            },
            Err(Failure::Replica { replica, error }) => {
                Verdict::ReplicaFailed { replica: self.name(replica).to_owned(), message: error.to_string(), at_ns }
            }
            Err(Failure::Storm { replica, cause }) => Verdict::ReplicaFailed {
                replica: self.name(replica).to_owned(),
                message: format!("messages provoke ever more messages: no second has so many events as this one; the cause is {cause:?}"),
                at_ns,
            },
            Ok(()) if self.converged_at.is_none() => Verdict::NotConverged {
                last_progress_ns: self.last_progress,
                budget_ns: nanoseconds(self.scenario.convergence_budget),
                message: self.describe_difference(),
            },
            Ok(()) => match self.tally.inert() {
                kinds if kinds.is_empty() => Verdict::Passed,
                kinds => Verdict::InertFaults { kinds },
            },
        }
    }

    /// Of the replicas that are up, the one with the most blocks.
    fn fullest(&self) -> Option<Party> {
        let up = self.replicas().filter(|replica| self.processes[replica.index()].is_up());
        up.max_by_key(|replica| self.ledger.extent(*replica).0)
    }
}

/// Whether a run ended as its scenario says.
fn is_expected(expect: &Expectation, seed: u64, verdict: &Verdict, trace: &str) -> bool {
    let outcome = match verdict {
        Verdict::Passed => expect.outcome == ExpectedOutcome::Passed,
        Verdict::BrokenInvariant { oracle, .. } => {
            expect.outcome == ExpectedOutcome::BrokenInvariant
                && expect.oracle.is_none_or(|expected| expected == *oracle)
        }
        Verdict::NotConverged { .. } => expect.outcome == ExpectedOutcome::NotConverged,
        Verdict::InertFaults { .. } => expect.outcome == ExpectedOutcome::InertFaults,
        Verdict::ReplicaFailed { .. } => false,
    };
    let is_pinned = expect.seed == Some(seed) && expect.trace.is_some();
    outcome && (!is_pinned || expect.trace.as_deref() == Some(trace))
}

/// sha2-256 over all keys and values in order, each with its length.
fn state_digest(observed: &Observed) -> String {
    let mut hasher = Sha256::new();
    for (key, value) in &observed.state {
        for bytes in [key.as_bytes(), value] {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
    }
    hex(&hasher.finalize())
}
