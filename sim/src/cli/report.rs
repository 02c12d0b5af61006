//! Runs, as people read them, on their way out.

pub(super) use anabranch_sim::report::Summary;

use super::{exit::Stop, out::Out, run::Finished};
use anabranch_sim::{outcome::RunReport, report, scenario::Scenario};

/// Why a run failed, and the line that does it again; nothing for one that did not.
pub(super) fn failure(finished: &Finished<'_>, out: &mut Out) -> Result<(), Stop> {
    out.text(finished.told().failure())
}

/// All that matters of one run.
pub(super) fn block(scenario: &Scenario, report: &RunReport, out: &mut Out) -> Result<(), Stop> {
    out.text(report::block(scenario, report))
}

/// A label and what belongs to it, in lines of a bearable width. Nothing where there is nothing.
pub(super) fn list(label: &str, items: impl Iterator<Item = String>, unit: &str, out: &mut Out) -> Result<(), Stop> {
    out.text(report::list(label, items, unit))
}
