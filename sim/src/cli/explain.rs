//! What the quickstart shows, for someone who sees it for the first time.

use super::{
    exit::Stop,
    out::Out,
    picture, report,
    run::{Finished, Outcome},
    text::{count, simulated, time},
};
use anabranch_sim::{outcome::RunReport, scenario::FaultKind};

/// Tells the story of one run of the quickstart.
pub(super) fn quickstart(finished: &Finished<'_>, out: &mut Out) -> Result<(), Stop> {
    let Outcome::Report(report) = &finished.outcome else {
        return report::failure(finished, out);
    };
    out.line(introduction(report))?;
    out.text(picture::lanes(report))?;
    out.line(format_args!("\n  {}\n", picture::LEGEND))?;
    out.line("What happened")?;
    for moment in &report.timeline {
        out.line(format_args!("  {:>9}  {}", simulated(moment.at_ns), moment.what))?;
    }
    if report.verdict.is_passed() {
        out.line(format_args!("\n{}", conclusion(report)))?;
    }
    out.line("\nThe run in numbers")?;
    report::block(finished.scenario, report, out)?;
    report::failure(finished, out)?;
    out.line(format_args!("\n{NEXT}"))
}

fn introduction(report: &RunReport) -> String {
    let operations: u64 = report.operations.values().map(|n| n.requested).sum();
    format!(
        "{} replicas of one key-value store, in a simulated network. Each takes writes of its own and tells the\n\
         others. Messages get lost, the network parts, replicas crash; then the faults end, and all must hold the\n\
         same. {} and {} of simulated time, all drawn from seed {}.\n",
        report.replicas.len(),
        count(operations, "operation"),
        simulated(report.simulated_ns),
        report.seed,
    )
}

fn conclusion(report: &RunReport) -> String {
    let fault = |kind: FaultKind| report.faults.get(&kind).map_or(0, |n| n.effective);
    let (lost, crashes) = (fault(FaultKind::Drop), fault(FaultKind::Crash));
    let after =
        report.converged_after_ns.map_or(String::new(), |ns| format!(" {} after the faults ended", simulated(ns)));
    format!(
        "{} were lost and {} took something with them, and yet{after}\n\
         all {} replicas hold the same {} from the same {}: sha2-256 {}…\n\
         No acknowledged write was lost. {} of simulated time took {}; the same seed does it again, event by event.",
        count(lost, "message"),
        if crashes == 1 { String::from("1 crash") } else { format!("{crashes} crashes") },
        report.replicas.len(),
        count(report.summary.keys, "key"),
        count(report.summary.blocks, "block"),
        &report.summary.state[..report.summary.state.len().min(16)],
        simulated(report.simulated_ns),
        time(report.wall),
    )
}

const NEXT: &str = "\
Next
  anabranch run --seed 7                      another course of events
  anabranch run scenarios --seeds 0..100      all scenarios, a hundred seeds each
  anabranch run --help                        options and exit codes
  anabranch dag fold FILE.car                 a history that go-ds-crdt wrote: its heads and state
docs/scenarios.md says how to write a scenario. Instead of `anabranch` one may type `cargo run --release --`.";
