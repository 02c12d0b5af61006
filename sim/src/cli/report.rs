//! Runs, as people read them.

use super::{
    exit::{Code, Stop},
    out::Out,
    run::{Finished, Outcome},
    text::{count, number, simulated, speed, time},
};
use anabranch_sim::{
    oracles::Oracle,
    outcome::{FaultCount, RunReport},
    reached::Reached,
    scenario::{FaultKind, Scenario, Suspension},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// How much of a trace hash a line shows. One run alone, and JSON, show all of it.
const TRACE_SHOWN: usize = 16;
/// Where lists are broken, in columns.
const LIST_WIDTH: usize = 100;

/// Prints runs one after another, and at the end what they were together.
pub(super) struct Summary {
    single: bool,
    name_width: usize,
    runs: u64,
    failed: BTreeMap<&'static str, u64>,
    simulated_ns: u128,
    events: u64,
    faults: BTreeMap<FaultKind, FaultCount>,
    pub(super) marks: Reached,
    /// Scenarios of which the suspended oracles have been said.
    introduced: BTreeSet<String>,
}

impl Summary {
    pub(super) fn new(names: &[&str], total: u64) -> Self {
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
    pub(super) fn run(&mut self, finished: &Finished<'_>, out: &mut Out) -> Result<(), Stop> {
        self.count(finished);
        match &finished.outcome {
            Outcome::Report(report) if self.single => block(finished.scenario, report, out)?,
            Outcome::Report(report) => {
                // A swarm draws others for each seed; they are in the JSON, and told when a run is alone.
                if finished.scenario.swarm.is_none() && self.introduced.insert(report.scenario.clone()) {
                    let before = format!("note: {}: suspended ", report.scenario);
                    suspended(finished.scenario, &report.suspended, &before, out)?;
                }
                out.line(self.line(report))?;
            }
            Outcome::Panicked(_) => {
                let (name, seed, width) = (&finished.scenario.name, finished.seed, self.name_width);
                out.line(format_args!("{:<16}  {name:<width$}  seed {seed}", "crashed"))?;
            }
        }
        failure(finished, out)
    }

    fn count(&mut self, finished: &Finished<'_>) {
        self.runs += 1;
        if finished.code() != Code::Passed {
            *self.failed.entry(kind(&finished.outcome)).or_default() += 1;
        }
        if let Outcome::Report(report) = &finished.outcome {
            self.simulated_ns += u128::from(report.simulated_ns);
            self.events += report.events;
            for (kind, count) in &report.faults {
                let sum = self.faults.entry(*kind).or_default();
                sum.requested += count.requested;
                sum.effective += count.effective;
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

    /// What the runs were together.
    pub(super) fn end(&self, wall: Duration, out: &mut Out) -> Result<(), Stop> {
        let failed: u64 = self.failed.values().sum();
        let simulated = Duration::from_nanos(u64::try_from(self.simulated_ns).unwrap_or(u64::MAX));
        out.line(format_args!(
            "\n{}, {} as expected, {} not; {} simulated in {}, {} events",
            count(self.runs, "run"),
            number(self.runs - failed),
            number(failed),
            time(simulated),
            time(wall),
            number(self.events)
        ))?;
        if !self.faults.is_empty() {
            out.line(format_args!("faults, effective/requested: {}", faults(&self.faults)))?;
        }
        let kinds: Vec<_> = self.failed.iter().map(|(kind, n)| format!("{kind} {}", number(*n))).collect();
        if kinds.is_empty() { Ok(()) } else { out.line(format_args!("not as expected: {}", kinds.join(", "))) }
    }
}

fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Panicked(_) => "crashed",
        Outcome::Report(report) if report.verdict.is_passed() => "passed, but failure or another trace expected",
        Outcome::Report(report) => report.verdict.kind(),
    }
}

/// Why a run failed, and the line that does it again; nothing for one that did not.
pub(super) fn failure(finished: &Finished<'_>, out: &mut Out) -> Result<(), Stop> {
    let Some(problem) = finished.problem() else { return Ok(()) };
    out.line(format_args!("  {problem}\nreproduce: {}", finished.reproduce))
}

/// All that matters of one run.
pub(super) fn block(scenario: &Scenario, report: &RunReport, out: &mut Out) -> Result<(), Stop> {
    let expected = if !report.verdict.is_passed() && report.as_expected { ", as expected" } else { "" };
    out.line(format_args!("{}, seed {}: {}{expected}", report.scenario, report.seed, report.verdict))?;
    let faster = speed(report.simulated_ns, report.wall).map_or(String::new(), |speed| format!(", {speed}"));
    let (took, wall) = (simulated(report.simulated_ns), time(report.wall));
    out.line(format_args!("  time        {took} simulated in {wall}{faster}; {} events", number(report.events)))?;
    if let Some(after) = report.converged_after_ns {
        out.line(format_args!("  converged   {} after the faults ended", simulated(after)))?;
    }
    list("faults", report.faults.iter().map(|(kind, n)| fault(*kind, n)), "(effective/requested)", out)?;
    // A swarm draws who joins, too.
    suspended(&scenario.drawn(report.seed), &report.suspended, "  suspended   ", out)?;
    let operations = report.operations.iter().filter(|(_, n)| n.requested > 0);
    let operations = operations.map(|(kind, n)| format!("{kind} {}/{}", number(n.done), number(n.requested)));
    list("operations", operations, "(done/requested)", out)?;
    let messages = report.messages.iter().filter(|(_, n)| n.sent > 0);
    let messages = messages.map(|(kind, n)| format!("{kind} {}/{}", number(n.delivered), number(n.sent)));
    list("messages", messages, "(delivered, second copies included/sent)", out)?;
    out.line(format_args!(
        "  result      {} ({} void, {} misdeclared), {}, {}",
        count(report.summary.blocks, "block"),
        report.summary.blocks_void,
        report.summary.blocks_misdeclared,
        count(report.summary.heads, "head"),
        count(report.summary.keys, "key"),
    ))?;
    list("checks", report.checks.iter().map(|(oracle, n)| format!("{oracle} {}", number(*n))), "(times asked)", out)?;
    out.line(format_args!("  trace       {}", report.trace))
}

fn fault(kind: FaultKind, count: &FaultCount) -> String {
    format!("{kind} {}/{}", number(count.effective), number(count.requested))
}

fn faults(faults: &BTreeMap<FaultKind, FaultCount>) -> String {
    faults.iter().map(|(kind, n)| fault(*kind, n)).collect::<Vec<_>>().join("  ")
}

/// A label and what belongs to it, in lines of a bearable width. Nothing where there is nothing.
pub(super) fn list(label: &str, items: impl Iterator<Item = String>, unit: &str, out: &mut Out) -> Result<(), Stop> {
    let mut items: Vec<String> = items.collect();
    if items.is_empty() {
        return Ok(());
    }
    items.push(String::from(unit));
    let mut line = format!("  {label:<12}");
    let mut is_fresh = true;
    for item in items {
        if !is_fresh && line.chars().count() + item.chars().count() > LIST_WIDTH {
            out.line(line.trim_end())?;
            line = " ".repeat(14);
        }
        line.push_str(&item);
        line.push_str("  ");
        is_fresh = false;
    }
    out.line(line.trim_end())
}

/// The oracles that were not asked, a reason a line.
fn suspended(scenario: &Scenario, all: &[Suspension], before: &str, out: &mut Out) -> Result<(), Stop> {
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
        out.line(format_args!("{before}{which} for {whom} from {from} to {until}: {why}"))?;
    }
    Ok(())
}
