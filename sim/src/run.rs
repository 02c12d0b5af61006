//! Running a scenario.

use crate::{outcome::RunReport, scenario::Scenario};

/// Runs a scenario with a seed, to its end. The same scenario and seed give the same report, but for its wall time.
#[must_use]
pub fn run(_scenario: &Scenario, _seed: u64) -> RunReport {
    todo!()
}
