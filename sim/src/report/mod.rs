//! Runs, as people read them: what `anabranch run` prints, of any system.
//!
//! Texts end with a line break, where they are not empty.

pub mod text;

use crate::{
    oracles::Oracle,
    outcome::{FaultCount, RunReport},
    reached::Reached,
    run::Ended,
    scenario::{ExpectedOutcome, FaultKind, Scenario, Suspension},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};
use text::{count, number, simulated, speed, time};

/// How much of a trace hash a line shows. One run alone, and JSON, show all of it.
const TRACE_SHOWN: usize = 16;
/// Where lists are broken, in columns.
const LIST_WIDTH: usize = 100;

/// A run that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Finished<'a> {
    /// What was run, as it was written.
    pub scenario: &'a Scenario,
    /// The seed.
    pub seed: u64,
    /// How it ended.
    pub ended: &'a Ended,
    /// The command that does it again.
    pub reproduce: &'a str,
}

impl Finished<'_> {
    /// What is wrong, in one line; nothing where the run ended as expected.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let report = match self.ended {
            Ended::Panicked(why) => return Some(format!("crashed: {why}")),
            Ended::Report(report) if report.as_expected => return None,
            Ended::Report(report) => report,
        };
        let expected = &self.scenario.expect;
        let kind = expected_kind(expected.outcome);
        if report.verdict.kind() != kind {
            let surprise = expected.outcome != ExpectedOutcome::Passed;
            let note = if surprise { format!(" (the scenario expects {kind})") } else { String::new() };
            return Some(format!("{}{note}", report.verdict));
        }
        if let Some(pinned) = expected.trace.as_ref().filter(|pinned| **pinned != report.trace) {
            return Some(format!(
                "another trace than the pinned one: expected {pinned}, found {}; \
                 if the change is meant, write the new hash into [expect] of the scenario",
                report.trace
            ));
        }
        let oracle = expected.oracle.map_or(String::new(), |oracle| format!(" by {oracle}"));
        Some(format!("{} (the scenario expects {kind}{oracle})", report.verdict))
    }

    /// Why it failed, and the line that does it again; nothing for one that did not.
    #[must_use]
    pub fn failure(&self) -> String {
        self.problem().map_or(String::new(), |problem| format!("  {problem}\nreproduce: {}\n", self.reproduce))
    }
}

/// The name that [`Verdict::kind`](crate::outcome::Verdict::kind) gives.
const fn expected_kind(outcome: ExpectedOutcome) -> &'static str {
    match outcome {
        ExpectedOutcome::Passed => "passed",
        ExpectedOutcome::BrokenInvariant => "broken-invariant",
        ExpectedOutcome::NotConverged => "not-converged",
        ExpectedOutcome::InertFaults => "inert-faults",
    }
}

/// Tells runs one after another, and at the end what they were together.
#[derive(Clone, Debug)]
pub struct Summary {
    single: bool,
    name_width: usize,
    runs: u64,
    failed: BTreeMap<&'static str, u64>,
    simulated_ns: u128,
    events: u64,
    faults: BTreeMap<FaultKind, FaultCount>,
    /// The marks that they have reached.
    pub marks: Reached,
    /// Scenarios of which the suspended oracles have been said.
    introduced: BTreeSet<String>,
}

impl Summary {
    /// Of so many runs in all, of scenarios with these names.
    #[must_use]
    pub fn new(names: &[&str], total: u64) -> Self {
        Self {
            single: total == 1,
            name_width: names.iter().map(|name| name.chars().count()).max().unwrap_or(0),
            runs: 0,
            failed: BTreeMap::new(),
            simulated_ns: 0,
            events: 0,
            faults: BTreeMap::new(),
            marks: Reached::default(),
            introduced: BTreeSet::new(),
        }
    }

    /// One run: some lines when it is the only one, one line else; and when it failed, why and how to see it again.
    #[must_use]
    pub fn run(&mut self, finished: &Finished<'_>) -> String {
        self.count(finished);
        let mut text = String::new();
        match finished.ended {
            Ended::Report(report) if self.single => text.push_str(&block(finished.scenario, report)),
            Ended::Report(report) => {
                // A swarm draws others for each seed; they are in the JSON, and told when a run is alone.
                if finished.scenario.swarm.is_none() && self.introduced.insert(report.scenario.clone()) {
                    let before = format!("note: {}: suspended ", report.scenario);
                    suspended(finished.scenario, &report.suspended, &before, &mut text);
                }
                line(&mut text, self.line(report));
            }
            Ended::Panicked(_) => {
                let (name, seed, width) = (&finished.scenario.name, finished.seed, self.name_width);
                line(&mut text, format_args!("{:<16}  {name:<width$}  seed {seed}", finished.ended.kind()));
            }
        }
        text + &finished.failure()
    }

    fn count(&mut self, finished: &Finished<'_>) {
        self.runs += 1;
        if !finished.ended.is_as_expected() {
            *self.failed.entry(kind(finished.ended)).or_default() += 1;
        }
        if let Ended::Report(report) = finished.ended {
            self.simulated_ns += u128::from(report.simulated_ns);
            self.events += report.events;
            for (kind, count) in &report.faults {
                *self.faults.entry(*kind).or_default() += *count;
            }
            self.marks.count(&report.marks);
        }
    }

    fn line(&self, report: &RunReport) -> String {
        let width = self.name_width;
        let RunReport { verdict, scenario, seed, events, simulated_ns, wall, .. } = report;
        let mut line = format!(
            "{:<16}  {scenario:<width$}  seed {seed:<6} {:>9} events  {:>8} in {:>7}  trace {}",
            verdict.kind(),
            number(*events),
            simulated(*simulated_ns),
            time(*wall),
            &report.trace[..report.trace.len().min(TRACE_SHOWN)],
        );
        if !report.faults.is_empty() {
            line.push_str("  ");
            line.push_str(&faults(&report.faults));
        }
        line
    }

    /// What the runs were together. `wall` is how long they took for real.
    #[must_use]
    pub fn end(&self, wall: Duration) -> String {
        let mut text = String::new();
        let failed: u64 = self.failed.values().sum();
        let simulated = Duration::from_nanos(u64::try_from(self.simulated_ns).unwrap_or(u64::MAX));
        line(
            &mut text,
            format_args!(
                "\n{}, {} as expected, {} not; {} simulated in {}, {} events",
                count(self.runs, "run"),
                number(self.runs - failed),
                number(failed),
                time(simulated),
                time(wall),
                number(self.events)
            ),
        );
        if !self.faults.is_empty() {
            line(&mut text, format_args!("faults, effective/requested: {}", faults(&self.faults)));
        }
        let kinds: Vec<_> = self.failed.iter().map(|(kind, n)| format!("{kind} {}", number(*n))).collect();
        if !kinds.is_empty() {
            line(&mut text, format_args!("not as expected: {}", kinds.join(", ")));
        }
        text
    }
}

fn line(text: &mut String, line: impl std::fmt::Display) {
    // A string takes everything.
    let _ = writeln!(text, "{line}");
}

fn kind(ended: &Ended) -> &'static str {
    match ended {
        Ended::Report(report) if report.verdict.is_passed() => "passed, but failure or another trace expected",
        ended => ended.kind(),
    }
}

/// All that matters of one run.
#[must_use]
pub fn block(scenario: &Scenario, report: &RunReport) -> String {
    let mut out = String::new();
    let expected = if !report.verdict.is_passed() && report.as_expected { ", as expected" } else { "" };
    line(&mut out, format_args!("{}, seed {}: {}{expected}", report.scenario, report.seed, report.verdict));
    let faster = speed(report.simulated_ns, report.wall).map_or(String::new(), |speed| format!(", {speed}"));
    let (took, wall, events) = (simulated(report.simulated_ns), time(report.wall), number(report.events));
    line(&mut out, format_args!("  time        {took} simulated in {wall}{faster}; {events} events"));
    if let Some(after) = report.converged_after_ns {
        line(&mut out, format_args!("  converged   {} after the faults ended", simulated(after)));
    }
    out.push_str(&list("faults", report.faults.iter().map(|(kind, n)| fault(*kind, n)), "(effective/requested)"));
    // A swarm draws who joins, too.
    suspended(&scenario.drawn(report.seed), &report.suspended, "  suspended   ", &mut out);
    let operations = report.operations.iter().filter(|(_, n)| n.requested > 0);
    let operations = operations.map(|(kind, n)| format!("{kind} {}/{}", number(n.done), number(n.requested)));
    out.push_str(&list("operations", operations, "(done/requested)"));
    let messages = report.messages.iter().filter(|(_, n)| n.sent > 0);
    let messages = messages.map(|(kind, n)| format!("{kind} {}/{}", number(n.delivered), number(n.sent)));
    out.push_str(&list("messages", messages, "(delivered, second copies included/sent)"));
    if report.summary != crate::system::Summary::default() {
        line(
            &mut out,
            format_args!(
                "  result      {} ({} void, {} misdeclared), {}, {}",
                count(report.summary.blocks, "block"),
                report.summary.blocks_void,
                report.summary.blocks_misdeclared,
                count(report.summary.heads, "head"),
                count(report.summary.keys, "key"),
            ),
        );
    }
    let checks = report.checks.iter().map(|(oracle, n)| format!("{oracle} {}", number(*n)));
    out.push_str(&list("checks", checks, "(times asked)"));
    line(&mut out, format_args!("  trace       {}", report.trace));
    out
}

fn fault(kind: FaultKind, count: &FaultCount) -> String {
    format!("{kind} {}/{}", number(count.effective), number(count.requested))
}

fn faults(faults: &BTreeMap<FaultKind, FaultCount>) -> String {
    faults.iter().map(|(kind, n)| fault(*kind, n)).collect::<Vec<_>>().join("  ")
}

/// A label and what belongs to it, in lines of a bearable width. Nothing where there is nothing.
#[must_use]
pub fn list(label: &str, items: impl Iterator<Item = String>, unit: &str) -> String {
    let mut items: Vec<String> = items.collect();
    let mut text = String::new();
    if items.is_empty() {
        return text;
    }
    items.push(String::from(unit));
    let mut row = format!("  {label:<12}");
    let mut is_fresh = true;
    for item in items {
        if !is_fresh && row.chars().count() + item.chars().count() > LIST_WIDTH {
            line(&mut text, row.trim_end());
            row = " ".repeat(14);
        }
        row.push_str(&item);
        row.push_str("  ");
        is_fresh = false;
    }
    line(&mut text, row.trim_end());
    text
}

/// The oracles that were not asked, a reason a line.
fn suspended(scenario: &Scenario, all: &[Suspension], before: &str, out: &mut String) {
    // Many are of one reason: they stand in one line.
    let mut grouped: Vec<(&Suspension, Vec<Oracle>)> = Vec::new();
    for suspension in all {
        let Suspension { oracle: _, replicas, from, until, why } = suspension;
        let same = |(other, _): &&mut (&Suspension, Vec<Oracle>)| {
            (&other.replicas, other.from, other.until, &other.why) == (replicas, *from, *until, why)
        };
        match grouped.iter_mut().find(same) {
            Some((_, oracles)) => oracles.push(suspension.oracle),
            None => grouped.push((suspension, vec![suspension.oracle])),
        }
    }
    for (Suspension { replicas, from, until, why, .. }, oracles) in grouped {
        let left: Vec<_> = Oracle::ALL.into_iter().filter(|oracle| !oracles.contains(oracle)).collect();
        let list = |oracles: &[Oracle]| oracles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let which = match &left[..] {
            [] => String::from("all oracles"),
            few if few.len() < 4 => format!("all oracles but {}", list(few)),
            _ => list(&oracles),
        };
        let names: Vec<_> = replicas.iter().map(|replica| scenario.party_name(*replica)).collect();
        let whom = if names.is_empty() { String::from("all") } else { names.join(", ") };
        let until = until.map_or(String::from("the end"), time);
        let from = if from.is_zero() { String::from("the start") } else { time(*from) };
        line(out, format_args!("{before}{which} for {whom} from {from} to {until}: {why}"));
    }
}
