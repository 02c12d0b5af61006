//! A program that runs a system of one's own, as `anabranch run` and `anabranch shrink` do with Anabranch.

use crate::{
    report::{Finished, Summary},
    run::{Maker, attempt_system},
    scenario::Scenario,
    shrink::smallest,
};
use std::{
    fs,
    io::{self, Write},
    ops::Range,
    process::ExitCode,
    thread,
    time::Instant,
};

/// Where the failure goes that was made smaller.
const SHRUNK: &str = "shrunk.toml";
/// The seeds that are run unless one is given.
const SEEDS: Range<u64> = 0..10;

/// Runs scenarios, tells on stdout what came of each run, and makes the first failure smaller, into `shrunk.toml`.
///
/// Of the words, a number is the seed to run (without one, 0 to 9), and all others are scenario files. Without one, those that are `built_in`
/// are run: each with what stands for it in a command, and its text. `program` is what the command begins with that does a run again. The exit
/// code is 0 when all runs ended as expected, 1 when one did not, 2 when a file cannot be read or written.
pub fn main(
    make: &dyn Maker,
    built_in: &[(&str, &str)],
    program: &str,
    words: impl IntoIterator<Item = String>,
) -> ExitCode {
    match told(make, built_in, program, words, &mut io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::from(2)
        }
    }
}

/// Whether all ended as expected.
fn told(
    make: &dyn Maker,
    built_in: &[(&str, &str)],
    program: &str,
    words: impl IntoIterator<Item = String>,
    out: &mut dyn Write,
) -> Result<bool, String> {
    let (mut seeds, mut files) = (SEEDS, Vec::new());
    for word in words {
        match word.parse::<u64>() {
            Ok(seed) => seeds = seed..seed.saturating_add(1),
            Err(_) => {
                let text = fs::read_to_string(&word).map_err(|error| {
                    format!("{word}: cannot be read: {error}; give scenario files, and the number of a seed")
                })?;
                files.push((word, text));
            }
        }
    }
    if files.is_empty() {
        files.extend(built_in.iter().map(|(file, text)| (String::from(*file), String::from(*text))));
    }
    let unwritten = |error: io::Error| format!("stdout cannot be written: {error}; write elsewhere");
    let mut is_well = true;
    for (file, text) in files {
        let scenario = Scenario::parse(&text, &file).map_err(|error| error.to_string())?;
        let failed = run_all(make, &scenario, seeds.clone(), |seed| format!("{program} {file} {seed}"), out);
        let Some(seed) = failed.map_err(unwritten)?.first().copied().filter(|_| is_well) else { continue };
        is_well = false;
        let jobs = thread::available_parallelism().map_or(1, usize::from);
        // What passed where another outcome is expected has nothing that could be made smaller.
        if let Some((signature, shrunk)) = smallest(make, &scenario, seed, jobs) {
            fs::write(SHRUNK, shrunk.scenario.to_toml())
                .map_err(|error| format!("{SHRUNK} cannot be written: {error}; run in a folder that can"))?;
            let size = shrunk.size;
            writeln!(out, "shrunk to {size}\nfails in the same way: {signature}\nwritten: {SHRUNK}")
                .map_err(unwritten)?;
        }
    }
    Ok(is_well)
}

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
