//! What is told of a run.

use super::{Outcome, SAMPLES, SAMPLES_MAX, World};
use crate::{
    engine::nanoseconds,
    outcome::{Moment, MomentKind, RunReport, Sample, Verdict},
    process::Process,
    scenario::{Expectation, ExpectedOutcome, Party},
    system::{Stop, System},
};
use std::time::Duration;

impl<S: System> World<'_, S> {
    /// Notes how far each replica is, and when to look next.
    pub(super) fn sample(&mut self) {
        let seats = self.seats.iter().take(self.scenario.replicas.len());
        let replicas = seats.map(|seat| seat.is_up().then(|| seat.process.progress())).collect();
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
        let summary = self.system.summary(&self.up());
        // Those who have left were somewhere too.
        let all: Vec<_> = self.seats.iter().zip(0..).map(|(seat, number)| (Party(number), &seat.process)).collect();
        let marks = self.system.marks(&all);
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
            summary,
            suspended,
            checks,
            marks,
            timeline: self.timeline,
            samples: self.samples,
        }
    }

    fn verdict(&self, outcome: Outcome) -> Verdict {
        let at_ns = self.now;
        match outcome {
            Err(Stop::Broken(violation)) => Verdict::BrokenInvariant {
                oracle: violation.oracle,
                replica: violation.replica.map(|replica| self.name(replica).to_owned()),
                message: violation.message,
                at_ns,
            },
            Err(Stop::Process { replica, why }) => {
                Verdict::ReplicaFailed { replica: self.name(replica).to_owned(), message: why, at_ns }
            }
            Err(Stop::Storm { replica, cause }) => Verdict::ReplicaFailed {
                replica: self.name(replica).to_owned(),
                message: format!(
                    "messages provoke ever more messages: no second has so many events as this one; the cause is {cause:?}"
                ),
                at_ns,
            },
            Ok(()) if self.converged_at.is_none() => Verdict::NotConverged {
                last_progress_ns: self.last_progress,
                budget_ns: nanoseconds(self.scenario.convergence_budget),
                message: self.system.difference(&self.up()),
            },
            Ok(()) => match self.tally.inert() {
                kinds if kinds.is_empty() || self.scenario.may_be_inert => Verdict::Passed,
                kinds => Verdict::InertFaults { kinds },
            },
        }
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
