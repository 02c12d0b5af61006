//! What local programs do: operation `i` is a function of the seed and `i`, and of nothing else.

use crate::{
    engine::{Draws, Key, Time, nanoseconds},
    outcome::OperationKind,
    scenario::{Mix, Party, Scenario},
};
use anabranch_core::{Batch, Bytes, DagName};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its number.
    pub index: u64,
    /// When it is made.
    pub at: Time,
    /// The replica whose program makes it.
    pub replica: Party,
    /// What is done.
    pub action: Action,
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Writes are committed.
    Write(OperationKind, Batch),
    /// A key is read.
    Get(anabranch_core::Key),
}

impl Action {
    /// The kind of operation.
    #[must_use]
    pub const fn kind(&self) -> OperationKind {
        match self {
            Self::Write(kind, _) => *kind,
            Self::Get(_) => OperationKind::Get,
        }
    }
}

/// All operations of a run, made when asked for.
#[derive(Clone, Debug)]
pub struct Operations<'a> {
    scenario: &'a Scenario,
    key: Key,
    duration: Time,
    ranks: Ranks,
    /// Instead of the seed's.
    listed: Option<Arc<BTreeMap<u64, Operation>>>,
}

impl<'a> Operations<'a> {
    /// The operations of the run with this root key. Costs a table of 8 bytes a key where keys are skewed.
    #[must_use]
    pub fn new(scenario: &'a Scenario, root: &Key) -> Self {
        let workload = &scenario.workload;
        Self {
            scenario,
            key: root.fork("operations"),
            duration: nanoseconds(scenario.duration),
            ranks: Ranks::new(workload.keys, workload.skew),
            listed: scenario.explicit.as_ref().map(|explicit| Arc::clone(&explicit.operations)),
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.scenario.workload.operations
    }

    /// The first operation of this number or a greater one that is not left out.
    #[must_use]
    pub fn next(&self, from: u64, without: &BTreeSet<u64>) -> Option<Operation> {
        match &self.listed {
            Some(list) => list.range(from..).find(|(number, _)| !without.contains(number)).map(|(_, one)| one.clone()),
            None => (from..self.count()).find(|number| !without.contains(number)).map(|number| self.get(number)),
        }
    }

    /// The operation of this number. Times grow with the numbers: each operation has its own stretch of
    /// the first phase, and its time in it is drawn.
    #[must_use]
    pub fn get(&self, index: u64) -> Operation {
        let workload = &self.scenario.workload;
        let mut draws = self.key.at(index, 0);
        let start =
            |index: u64| (u128::from(self.duration) * u128::from(index) / u128::from(self.count().max(1))) as Time;
        let at = start(index) + draws.below(start(index + 1) - start(index));
        let replica = workload.writers[draws.below(workload.writers.len() as u64) as usize];
        let dag = &workload.dags[draws.below(workload.dags.len() as u64) as usize];
        let action = match self.kind(&mut draws) {
            OperationKind::Get => Action::Get(anabranch_core::Key::new(self.key(&mut draws))),
            kind => Action::Write(kind, self.batch(kind, Batch::for_dag(DagName::new(dag.as_str())), &mut draws)),
        };
        Operation { index, at, replica, action }
    }

    fn kind(&self, draws: &mut Draws) -> OperationKind {
        let Mix { put, delete, batch, get } = self.scenario.workload.mix;
        let draw = draws.below(u64::from(put) + u64::from(delete) + u64::from(batch) + u64::from(get));
        match draw {
            draw if draw < u64::from(put) => OperationKind::Put,
            draw if draw < u64::from(put) + u64::from(delete) => OperationKind::Delete,
            draw if draw < u64::from(put) + u64::from(delete) + u64::from(batch) => OperationKind::Batch,
            _ => OperationKind::Get,
        }
    }

    fn batch(&self, kind: OperationKind, batch: Batch, draws: &mut Draws) -> Batch {
        match kind {
            OperationKind::Delete => batch.delete(self.key(draws)),
            OperationKind::Put | OperationKind::Get => batch.put(self.key(draws), self.value(draws)),
            OperationKind::Batch => {
                let Mix { put, delete, .. } = self.scenario.workload.mix;
                let (least, most) = self.scenario.workload.batch_writes;
                (0..draws.between(least.into(), most.into())).fold(batch, |batch, _| {
                    let key = self.key(draws);
                    if draws.below(u64::from(put) + u64::from(delete)) < u64::from(put) || put + delete == 0 {
                        batch.put(key, self.value(draws))
                    } else {
                        batch.delete(key)
                    }
                })
            }
        }
    }

    fn key(&self, draws: &mut Draws) -> String {
        format!("{}{}", self.scenario.workload.key_prefix, self.ranks.draw(draws))
    }

    fn value(&self, draws: &mut Draws) -> Bytes {
        let (least, most) = self.scenario.workload.value_bytes;
        let mut value = vec![0; draws.between(least.into(), most.into()) as usize];
        draws.fill(&mut value);
        let shared = value.len().min(self.scenario.workload.value_shared as usize);
        value[..shared].fill(0);
        value.into()
    }
}

/// Numbers below a count, the small ones the likelier: Zipf's law.
#[derive(Clone, Debug)]
struct Ranks {
    count: u64,
    /// For each number, the share of all draws that are not above it, in parts of 2^64; empty when all are equally likely.
    shares: Vec<u64>,
}

impl Ranks {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn new(count: u64, exponent: f64) -> Self {
        if exponent == 0.0 {
            return Self { count, shares: Vec::new() };
        }
        // `libm` and not the machine's own: the last bit must be the same everywhere.
        let mut total = 0.0;
        let sums: Vec<f64> = (1..=count)
            .map(|rank| {
                total += libm::pow(rank as f64, -exponent);
                total
            })
            .collect();
        let scale = u64::MAX as f64;
        Self { count, shares: sums.iter().map(|sum| (sum / total * scale) as u64).collect() }
    }

    fn draw(&self, draws: &mut Draws) -> u64 {
        if self.shares.is_empty() {
            return draws.below(self.count);
        }
        let draw = draws.bits();
        (self.shares.partition_point(|share| *share < draw) as u64).min(self.count - 1)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn scenario(workload: &str) -> Scenario {
        let text = format!("replicas = 3\nduration = \"100s\"\n[workload]\n{workload}");
        Scenario::parse(&text, "test.toml").unwrap()
    }

    #[test]
    fn an_operation_depends_on_the_seed_and_its_number_alone() {
        let scenario = scenario("rate = 10.0");
        let all = Operations::new(&scenario, &Key::of_seed(5));
        let forwards: Vec<_> = (0..all.count()).map(|index| all.get(index)).collect();
        let backwards: Vec<_> = (0..all.count()).rev().map(|index| all.get(index)).collect();
        assert!(forwards.iter().eq(backwards.iter().rev()));
        assert_eq!(forwards.len(), 1000);
        assert!(forwards.is_sorted_by_key(|operation| operation.at));
        assert!(forwards.last().unwrap().at < 100_000_000_000);
        let other = Operations::new(&scenario, &Key::of_seed(6));
        assert!(forwards.iter().all(|operation| *operation != other.get(operation.index)));
    }

    #[test]
    fn the_mix_the_writers_the_sizes_and_the_names_are_kept() {
        let scenario = scenario(
            "rate = 20.0\nmix = { put = 1, delete = 1, batch = 1, get = 1 }\nwriters = [\"r2\"]\nvalue_bytes = [3, 5]\n\
             batch_writes = [2, 4]\ndags = [\"\", \"pins\"]\nkeys = 7",
        );
        let operations = Operations::new(&scenario, &Key::of_seed(5));
        let mut kinds: BTreeMap<OperationKind, u32> = BTreeMap::new();
        let mut dags = BTreeMap::<String, u32>::new();
        for operation in (0..operations.count()).map(|index| operations.get(index)) {
            *kinds.entry(operation.action.kind()).or_default() += 1;
            assert_eq!(operation.replica, Party(2));
            if let Action::Write(kind, batch) = operation.action {
                *dags.entry(batch.dag.to_string()).or_default() += 1;
                assert!(
                    batch.writes.len() == 1 && kind != OperationKind::Batch || (2..=4).contains(&batch.writes.len())
                );
                for write in &batch.writes {
                    assert!(
                        String::from_utf8_lossy(write.key().as_bytes())
                            .strip_prefix("/key/")
                            .unwrap()
                            .parse::<u32>()
                            .unwrap()
                            < 7
                    );
                    assert!(!matches!(write, anabranch_core::Write::Put(_, value) if !(3..=5).contains(&value.len())));
                }
            }
        }
        assert_eq!(kinds.len(), 4);
        assert!(kinds.values().all(|count| (400..600).contains(count)), "{kinds:?}");
        assert!(dags.len() == 2 && dags.values().all(|count| *count > 600), "{dags:?}");
    }

    #[test]
    fn skewed_keys_follow_zipf() {
        let ranks = Ranks::new(1000, 1.0);
        let mut draws = Key::of_seed(1).at(0, 0);
        let mut counts = vec![0_u32; 1000];
        (0..100_000).for_each(|_| counts[ranks.draw(&mut draws) as usize] += 1);
        // The harmonic number of 1000 is 7.485: rank 1 gets 13.4 %, rank 10 a tenth of that.
        assert!((13_000..13_800).contains(&counts[0]), "{}", counts[0]);
        assert!((1_200..1_480).contains(&counts[9]), "{}", counts[9]);
        assert!(counts.iter().skip(500).sum::<u32>() > 7_000);
    }
}
