//! Campaigns: many runs, on many machines, cut into shards whose results are merged.

use crate::{
    failure::COMMIT,
    outcome::{FaultCount, RunReport},
    reached::Reached,
    scenario::FaultKind,
    signature::Signature,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, ops::Range, str::FromStr};

/// The version of the state's format.
pub const VERSION: u32 = 2;

/// A part of a campaign: this one of so many. Written `0/4` to `3/4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// Which one, counted from 0.
    pub index: u64,
    /// Of how many.
    pub count: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || String::from("expected which shard of how many, counted from 0, such as 0/4 to 3/4");
        let (index, count) = text.split_once('/').ok_or_else(expected)?;
        let (index, count) =
            (index.trim().parse().map_err(|_| expected())?, count.trim().parse().map_err(|_| expected())?);
        if index < count { Ok(Self { index, count }) } else { Err(expected()) }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl Shard {
    /// How many of `total` runs fall to this shard: every `count`-th, from the `index`-th on.
    #[must_use]
    pub const fn runs(&self, total: u64) -> u64 {
        total.saturating_sub(self.index).div_ceil(self.count)
    }

    /// The number of its `n`-th run among all.
    #[must_use]
    pub const fn number(&self, n: u64) -> u64 {
        self.index + n * self.count
    }
}

/// What a campaign runs: equal for all of its shards, and for a campaign that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Names of the scenarios, each with the sha2-256 of its text.
    pub scenarios: Vec<(String, String)>,
    /// The seeds, the last one left out.
    pub seeds: Range<u64>,
    /// The commit of the program.
    pub commit: String,
}

impl Order {
    /// Of this program.
    #[must_use]
    pub fn new(scenarios: Vec<(String, String)>, seeds: Range<u64>) -> Self {
        Self { scenarios, seeds, commit: COMMIT.to_owned() }
    }

    /// How many runs there are; `None` when they cannot be counted.
    #[must_use]
    pub fn runs(&self) -> Option<u64> {
        (self.seeds.end - self.seeds.start).checked_mul(self.scenarios.len() as u64)
    }

    /// Scenario (by its place) and seed of a run. All scenarios are run with the first seed before any is with the second.
    #[must_use]
    pub fn at(&self, number: u64) -> (usize, u64) {
        let count = self.scenarios.len().max(1) as u64;
        ((number % count) as usize, self.seeds.start + number / count)
    }
}

/// Failures of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kind {
    /// In which way they fail.
    pub signature: Signature,
    /// How many there were.
    pub count: u64,
    /// The one with the fewest events: its scenario, seed and events.
    pub fastest: (String, u64, u64),
    /// Its message.
    pub message: String,
    /// Its folder below `failures`.
    pub folder: String,
}

/// What came of a shard so far, or of several together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The version of the format.
    pub version: u32,
    /// What is run.
    pub order: Order,
    /// Which part of it; `None` for several together.
    pub shard: Option<Shard>,
    /// Runs that are done: the first ones of the shard.
    pub done: u64,
    /// Runs that fall to the shard.
    pub total: u64,
    /// Runs that did not end as expected.
    pub failed: u64,
    /// Events of all runs.
    pub events: u64,
    /// Simulated time of all runs, in seconds.
    pub simulated_s: f64,
    /// Real time of all runs, in seconds.
    pub wall_s: f64,
    /// Faults by kind.
    pub faults: BTreeMap<FaultKind, FaultCount>,
    /// The marks of the code under test, and in how many runs each was reached.
    pub marks: Reached,
    /// Failures by kind.
    pub kinds: Vec<Kind>,
}

impl State {
    /// Nothing done.
    #[must_use]
    pub fn new(order: Order, shard: Option<Shard>, total: u64) -> Self {
        Self {
            version: VERSION,
            order,
            shard,
            done: 0,
            total,
            failed: 0,
            events: 0,
            simulated_s: 0.0,
            wall_s: 0.0,
            faults: BTreeMap::new(),
            marks: Reached::default(),
            kinds: Vec::new(),
        }
    }

    /// Counts a run that did not panic.
    pub fn count(&mut self, report: &RunReport) {
        self.events += report.events;
        self.simulated_s += std::time::Duration::from_nanos(report.simulated_ns).as_secs_f64();
        self.wall_s += report.wall.as_secs_f64();
        for (kind, count) in &report.faults {
            *self.faults.entry(*kind).or_default() += *count;
        }
        self.marks.count(&report.marks);
    }

    /// Counts a failure; says whether it is the fastest of its kind so far, and which folder it takes the place of.
    pub fn fail(&mut self, signature: &Signature, run: (String, u64, u64), message: &str) -> Option<Kind> {
        self.failed += 1;
        let folder = folder_of(signature);
        match self.kinds.iter_mut().find(|kind| kind.signature == *signature) {
            Some(kind) => {
                kind.count += 1;
                if run.2 >= kind.fastest.2 {
                    return None;
                }
                kind.fastest = run;
                message.clone_into(&mut kind.message);
                Some(kind.clone())
            }
            None => {
                let kind =
                    Kind { signature: signature.clone(), count: 1, fastest: run, message: message.to_owned(), folder };
                self.kinds.push(kind.clone());
                self.kinds.sort_by(|one, other| one.signature.cmp(&other.signature));
                Some(kind)
            }
        }
    }

    /// Adds another shard's results. Says for which kinds the other one has the fastest failure.
    ///
    /// # Errors
    /// When it is of another campaign.
    pub fn add(&mut self, other: &Self) -> Result<Vec<Kind>, String> {
        if self.order != other.order {
            return Err(String::from("other scenarios, seeds or another commit, expected shards of one campaign"));
        }
        self.done += other.done;
        self.total += other.total;
        self.failed += other.failed;
        self.events += other.events;
        self.simulated_s += other.simulated_s;
        self.wall_s += other.wall_s;
        for (kind, count) in &other.faults {
            *self.faults.entry(*kind).or_default() += *count;
        }
        self.marks.add(&other.marks);
        let mut better = Vec::new();
        for kind in &other.kinds {
            match self.kinds.iter_mut().find(|own| own.signature == kind.signature) {
                Some(own) => {
                    own.count += kind.count;
                    // Of equally fast ones the first by name and seed is kept: the order of shards does not matter.
                    let rank = |kind: &Kind| (kind.fastest.2, kind.fastest.0.clone(), kind.fastest.1);
                    if rank(kind) < rank(own) {
                        *own = Kind { count: own.count, ..kind.clone() };
                        better.push(own.clone());
                    }
                }
                None => {
                    self.kinds.push(kind.clone());
                    better.push(kind.clone());
                }
            }
        }
        self.kinds.sort_by(|one, other| one.signature.cmp(&other.signature));
        Ok(better)
    }
}

/// The name of the folder of a kind of failure: readable, and different for different kinds.
fn folder_of(signature: &Signature) -> String {
    use sha2::{Digest, Sha256};
    let digest = crate::engine::hex(&Sha256::digest(signature.to_string().as_bytes()));
    let oracle = signature.oracle.map_or(String::new(), |oracle| format!("-{oracle}"));
    format!("{}{oracle}-{}", signature.outcome, &digest[..8])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn shards_take_every_run_once() {
        for count in 1..7 {
            let mut seen: Vec<u64> = (0..count)
                .map(|index| Shard { index, count })
                .flat_map(|shard| (0..shard.runs(20)).map(move |n| shard.number(n)))
                .collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..20).collect::<Vec<_>>());
        }
        assert_eq!("2/3".parse(), Ok(Shard { index: 2, count: 3 }));
        for bad in ["", "3", "3/3", "1/0", "-1/2", "a/b"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad:?} is taken");
        }
        let order = Order::new(vec![(String::from("a"), String::new()), (String::from("b"), String::new())], 5..8);
        assert_eq!(
            (0..order.runs().unwrap()).map(|n| order.at(n)).collect::<Vec<_>>(),
            [(0, 5), (1, 5), (0, 6), (1, 6), (0, 7), (1, 7)]
        );
    }

    #[test]
    fn the_fastest_failure_of_each_kind_is_kept_whatever_the_order() {
        let kind = |finding: &str| Signature {
            outcome: String::from("broken-invariant"),
            oracle: None,
            finding: finding.to_owned(),
        };
        let state = |failures: &[(&str, u64, u64)]| {
            let mut state = State::new(Order::new(Vec::new(), 0..9), None, 9);
            for (finding, seed, events) in failures {
                state.fail(&kind(finding), (String::from("s"), *seed, *events), "m");
            }
            state
        };
        let one = state(&[("x", 1, 50), ("x", 2, 20), ("x", 3, 30), ("y", 4, 9)]);
        assert_eq!(one.kinds.len(), 2);
        assert_eq!((one.kinds[0].count, one.kinds[0].fastest.1), (3, 2));
        let two = state(&[("x", 5, 20), ("z", 6, 1)]);
        let (mut first, mut second) = (one.clone(), two.clone());
        let better: Vec<_> = first.add(&two).unwrap().into_iter().map(|kind| kind.signature.finding).collect();
        assert_eq!(better, ["z"]);
        second.add(&one).unwrap();
        assert_eq!(first, second);
        assert_eq!((first.failed, first.kinds.len(), first.kinds[0].count), (6, 3, 4));
        let other = State::new(Order::new(Vec::new(), 0..10), None, 1);
        assert!(first.add(&other).is_err());
    }
}
