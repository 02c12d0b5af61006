//! Runs of a system, one after another, told as they end.

use super::{Finished, Summary};
use crate::{
    run::{Maker, attempt_system},
    scenario::Scenario,
};
use std::{
    io::{self, Write},
    ops::Range,
    time::Instant,
};

/// Runs a scenario with each of these seeds, and writes what `anabranch run` would: a line or a block a run, why one failed, and what they
/// were together. `reproduce` is the command that does the run of a seed again. Gives back the seeds that did not end as expected.
///
/// # Errors
/// When the text cannot be written.
#[allow(clippy::disallowed_methods)] // How long all of it takes, for the reader; nothing depends on it.
pub fn run_all(
    make: &dyn Maker,
    scenario: &Scenario,
    seeds: Range<u64>,
    reproduce: impl Fn(u64) -> String,
    out: &mut dyn Write,
) -> io::Result<Vec<u64>> {
    let begun = Instant::now();
    let total = seeds.end.saturating_sub(seeds.start);
    let mut summary = Summary::new(&[&scenario.name], total);
    let mut failed = Vec::new();
    for seed in seeds {
        let ended = attempt_system(make, scenario, seed);
        if !ended.is_as_expected() {
            failed.push(seed);
        }
        let reproduce = &reproduce(seed);
        out.write_all(summary.run(&Finished { scenario, seed, ended: &ended, reproduce }).as_bytes())?;
        out.flush()?;
    }
    if total > 1 {
        out.write_all(summary.end(begun.elapsed()).as_bytes())?;
        out.flush()?;
    }
    Ok(failed)
}
