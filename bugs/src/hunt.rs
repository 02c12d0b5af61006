//! Hunting one bug: seeds in turn, until a run fails.

use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    ops::Range,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Seeds are run in parts, the first ones small, so that a bug that is found at once costs little.
const PARTS: [u64; 9] = [0, 4, 16, 64, 128, 256, 512, 1_024, 2_048];

/// The first failing run of a hunt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Its seed; so many seeds passed before it.
    pub seed: u64,
    /// How it ended: `broken-invariant`, `not-converged`, …
    pub outcome: String,
    /// Which oracle objected, if one did.
    pub oracle: Option<String>,
    /// What was found, in one line.
    pub message: String,
}

/// What came of a hunt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hunt {
    /// The first failure in the order of seeds; `None` when all seeds passed.
    pub found: Option<Found>,
    /// Runs that were made, those of the last part after the failure included.
    pub runs: u64,
    /// How long they took, in seconds.
    pub wall_s: f64,
}

/// What the simulator writes of a run, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Line {
    pub(crate) seed: u64,
    as_expected: bool,
    verdict: VerdictLine,
    /// Events of the loop; none where the program crashed.
    #[serde(default)]
    pub(crate) events: u64,
    /// Kinds of faults, and how often each took effect.
    #[serde(default)]
    pub(crate) faults: BTreeMap<String, FaultLine>,
    /// Marks of coverage, and whether each was reached.
    #[serde(default)]
    pub(crate) marks: BTreeMap<String, bool>,
}

impl Line {
    /// Of a run of which the simulator itself died.
    fn dead(seed: u64, how: &str) -> Self {
        let message = format!("the simulator died: {how}");
        let verdict = VerdictLine { outcome: String::from("crashed"), oracle: None, message };
        Self { seed, as_expected: false, verdict, events: 0, faults: BTreeMap::new(), marks: BTreeMap::new() }
    }

    /// What was found, if the run did not end as it should.
    pub(crate) fn into_found(self) -> Option<Found> {
        let Self { seed, verdict: VerdictLine { outcome, oracle, message }, as_expected, .. } = self;
        (!as_expected).then_some(Found { seed, outcome, oracle, message })
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct FaultLine {
    pub(crate) effective: u64,
}

#[derive(Debug, Deserialize)]
struct VerdictLine {
    outcome: String,
    #[serde(default)]
    oracle: Option<String>,
    #[serde(default)]
    message: String,
}

/// Runs the scenario with seeds from 0 until one fails, or `seeds` of them have passed. What is found depends on the program, the
/// scenario and `seeds` alone, not on `jobs`.
///
/// # Errors
/// When the simulator cannot be run, or ends in a way that says nothing about the bug.
pub fn hunt(program: &Path, scenario: &Path, seeds: u64, jobs: usize) -> Result<Hunt, String> {
    let (mut hunt, begun) = (Hunt { found: None, runs: 0, wall_s: 0.0 }, Instant::now());
    for part in parts(seeds) {
        let lines = run(program, scenario, part.clone(), jobs)?;
        hunt.runs += lines.len() as u64;
        hunt.found = lines.into_iter().filter_map(Line::into_found).min_by_key(|found| found.seed);
        if hunt.found.is_some() {
            break;
        }
    }
    hunt.wall_s = begun.elapsed().max(Duration::from_millis(1)).as_secs_f64();
    Ok(hunt)
}

/// Ranges of seeds, each larger than the one before.
fn parts(seeds: u64) -> impl Iterator<Item = Range<u64>> {
    let after = (1..).map(|times| PARTS[PARTS.len() - 1] * times);
    let bounds = PARTS.into_iter().chain(after.skip(1));
    let mut from = 0;
    bounds.skip(1).map_while(move |bound| {
        let part = from..bound.min(seeds);
        from = bound;
        (!part.is_empty()).then_some(part)
    })
}

/// Runs the scenario with all of these seeds. Where the simulator itself dies, the seed that it dies of is a finding like others, and the
/// rest is run all the same.
pub(crate) fn run(program: &Path, scenario: &Path, seeds: Range<u64>, jobs: usize) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    let mut parts = vec![seeds];
    while let Some(part) = parts.pop() {
        match attempt(program, scenario, &part, jobs)? {
            Attempt::Whole(mut all) => lines.append(&mut all),
            Attempt::Died(how) if part.end - part.start == 1 => lines.push(Line::dead(part.start, &how)),
            Attempt::Died(_) => {
                let middle = part.start.midpoint(part.end);
                parts.extend([middle..part.end, part.start..middle]);
            }
        }
    }
    Ok(lines)
}

/// How the simulator ended.
enum Attempt {
    /// All runs came to an end.
    Whole(Vec<Line>),
    /// It died before.
    Died(String),
}

fn attempt(program: &Path, scenario: &Path, seeds: &Range<u64>, jobs: usize) -> Result<Attempt, String> {
    let mut child = Command::new(program)
        .arg("run")
        .arg(scenario)
        .args(["--seeds", &format!("{}..{}", seeds.start, seeds.end), "--jobs", &jobs.to_string(), "--json", "-"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let stdout = child.stdout.take().ok_or("the simulator's output is not there")?;
    let mut lines = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.map_err(|error| format!("the simulator's output: {error}"))?;
        lines.push(serde_json::from_str(&line).map_err(|error| format!("the simulator wrote `{line}`: {error}"))?);
    }
    let status = child.wait().map_err(|error| format!("the simulator: {error}"))?;
    // A run that crashes ends the program by a code of its own, and is a finding like others.
    match lines.len() as u64 {
        written if written == seeds.end - seeds.start => Ok(Attempt::Whole(lines)),
        _ if status.code().is_none() => Ok(Attempt::Died(status.to_string())),
        written => Err(format!(
            "the simulator ended with {status} after {written} of the runs {seeds:?} of {}",
            scenario.display()
        )),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_all_seeds_once() {
        for seeds in [1, 4, 5, 1_000, 10_000] {
            let all: Vec<u64> = parts(seeds).flatten().collect();
            assert_eq!(all, (0..seeds).collect::<Vec<_>>());
        }
        assert_eq!(parts(0).count(), 0);
    }

    /// A simulator that dies of two seeds, and writes no run of a part in which it does.
    #[cfg(unix)]
    #[test]
    fn a_seed_of_which_the_simulator_dies_is_a_finding_and_the_others_are_run() {
        use std::{fs, io::Write, os::unix::fs::PermissionsExt};
        let folder = std::env::temp_dir().join(format!("anabranch-bugs-dies-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let program = folder.join("simulator");
        let mut file = fs::File::create(&program).unwrap();
        file.write_all(
            br#"#!/bin/sh
from=${4%..*} to=${4#*..}
for dead in 5 11; do [ "$from" -le $dead ] && [ $dead -lt "$to" ] && kill -ABRT $$; done
for seed in $(seq "$from" $((to - 1))); do
    echo "{\"seed\":$seed,\"as_expected\":true,\"verdict\":{\"outcome\":\"passed\"},\"events\":7}"
done
"#,
        )
        .unwrap();
        drop(file);
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let lines = run(&program, Path::new("swarm.toml"), 0..16, 2).unwrap();
        let hunt = hunt(&program, Path::new("swarm.toml"), 100, 2).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(lines.iter().map(|line| line.seed).collect::<Vec<_>>(), (0..16).collect::<Vec<_>>());
        let dead: Vec<Found> = lines.into_iter().filter_map(Line::into_found).collect();
        assert_eq!(dead.iter().map(|found| found.seed).collect::<Vec<_>>(), [5, 11]);
        assert!(dead[0].message.starts_with("the simulator died: signal: 6"), "{}", dead[0].message);
        assert_eq!((hunt.found.unwrap().seed, hunt.runs), (5, 16));
    }
}
