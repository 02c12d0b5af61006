//! What is to happen in a run: operations and faults, drawn from the seed where the scenario leaves them open.

use crate::{
    engine::{Draws, Key, Time, nanoseconds},
    scenario::{Clog, Crash, DiskFate, Fault, Group, Partition, Party, Scenario, Shape, TimedFault},
};
use std::{collections::BTreeSet, time::Duration};

/// The faults of a run in order of their times, and the operations that are left out of it.
///
/// The number of a fault is its cause. Leaving an operation or a fault out changes no other one.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The faults that happen, each with its number.
    pub faults: Vec<(u32, TimedFault)>,
    /// The operations that are not made.
    pub without: BTreeSet<u64>,
}

impl Plan {
    /// The whole plan of a seed: the scenario's faults and the churn that is drawn for it.
    #[must_use]
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let churn = churn(scenario, &Key::of_seed(seed).fork("churn"));
        let swizzled = swizzled(scenario, &Key::of_seed(seed).fork("swizzles"));
        let mut faults: Vec<_> = scenario.faults.iter().cloned().chain(churn).chain(swizzled).collect();
        for (number, timed) in (0..).zip(&mut faults) {
            if let Fault::Partition(partition) = &mut timed.fault {
                shape(partition, scenario.parties(), &mut Key::of_seed(seed).fork("shapes").at(number, 0));
            }
        }
        // As a scenario file with all of them would have them, so that the explicit form of a run has the same numbers.
        faults.sort_by_key(|fault| (fault.at, fault.fault.order()));
        Self { faults: (0_u32..).zip(faults).collect(), without: BTreeSet::new() }
    }

    /// The plan without these operations.
    #[must_use]
    pub fn without_operations(mut self, operations: &BTreeSet<u64>) -> Self {
        self.without.extend(operations);
        self
    }
}

/// Draws the groups of a partition that has a shape only.
fn shape(partition: &mut Partition, count: usize, draws: &mut Draws) {
    let Some(shape) = partition.shape.take() else { return };
    let mut parties: Vec<Party> = (0..u16::try_from(count).unwrap_or(u16::MAX)).map(Party).collect();
    for place in (1..count).rev() {
        parties.swap(place, draws.below(place as u64 + 1) as usize);
    }
    let first = match shape {
        Shape::Random => draws.between(1, count as u64 - 1) as usize,
        Shape::Majority => draws.between(1, (count as u64 - 1) / 2).max(1) as usize,
        Shape::Bridge => count / 2,
        Shape::Ring => count,
    };
    let group = |name: &str, members: &[Party]| Group { name: String::from(name), members: members.to_vec() };
    partition.ring = shape == Shape::Ring;
    partition.groups = match shape {
        Shape::Random => vec![group("one", &parties[..first]), group("other", &parties[first..])],
        Shape::Majority => vec![group("majority", &parties[first..]), group("minority", &parties[..first])],
        Shape::Bridge => vec![group("left", &parties[..first]), group("right", &parties[first + 1..])],
        Shape::Ring => vec![group("ring", &parties)],
    };
}

/// Each party is clogged with a probability of one half, from somewhere in the first half of the window to somewhere in the second.
fn swizzled(scenario: &Scenario, key: &Key) -> Vec<TimedFault> {
    let mut clogs = Vec::new();
    for (number, (from, until)) in (0..).zip(&scenario.swizzles) {
        let (from, until) = (nanoseconds(*from), nanoseconds(*until));
        let half = from + (until - from) / 2;
        for party in (0..u16::try_from(scenario.parties()).unwrap_or(u16::MAX)).map(Party) {
            let mut draws = key.at(number, party.0.into());
            if draws.chance(0.5) {
                let at = Duration::from_nanos(draws.between(from, half));
                let until = Duration::from_nanos(draws.between(half + 1, until.max(half + 1)));
                clogs.push(TimedFault { at, fault: Fault::Clog(Clog { from: vec![party], to: Vec::new(), until }) });
            }
        }
    }
    clogs
}

/// One crash in each interval of the first phase. Who joins later or is crashed or gone at that time by the scenario's
/// word is left alone.
fn churn(scenario: &Scenario, key: &Key) -> Vec<TimedFault> {
    let Some(churn) = scenario.churn else { return Vec::new() };
    let interval = nanoseconds(churn.crash_every).max(1);
    let mut crashes = Vec::new();
    let mut busy_until = vec![0; scenario.replicas.len()];
    for number in 0..nanoseconds(scenario.duration) / interval {
        let mut draws = key.at(number, 0);
        let at = number * interval + draws.below(interval);
        let down = draws.between(nanoseconds(churn.down.0), nanoseconds(churn.down.1));
        let first = if churn.rolling { number } else { draws.bits() };
        let count = scenario.replicas.len() as u64;
        let candidates = (0..count).map(|step| ((first % count + step) % count) as usize);
        let free = |index: &usize| busy_until[*index] <= at && is_free(scenario, *index, at, at + down);
        let Some(index) = candidates.into_iter().find(free) else { continue };
        busy_until[index] = at + down;
        let replica = Party(u16::try_from(index).unwrap_or(u16::MAX));
        let crash = Crash { replica, down: Duration::from_nanos(down), disk: DiskFate::Stays };
        crashes.push(TimedFault { at: Duration::from_nanos(at), fault: Fault::Crash(crash) });
    }
    crashes
}

/// Whether the scenario has nothing else to do with the replica's coming and going at that time.
fn is_free(scenario: &Scenario, index: usize, from: Time, until: Time) -> bool {
    let joined = scenario.replicas[index].joins_at.is_none_or(|joins| nanoseconds(joins) < from);
    joined
        && scenario.faults.iter().all(|timed| {
            let at = nanoseconds(timed.at);
            match &timed.fault {
                Fault::Crash(crash) if crash.replica.index() == index => {
                    at > until || at + nanoseconds(crash.down) < from
                }
                Fault::Leave(leave) if leave.replica.index() == index => {
                    at > until || leave.returns.is_some_and(|returns| nanoseconds(returns) < from)
                }
                _ => true,
            }
        })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn crashes(plan: &Plan) -> Vec<(Duration, Crash)> {
        let crash =
            |timed: &TimedFault| if let Fault::Crash(crash) = timed.fault { Some((timed.at, crash)) } else { None };
        plan.faults.iter().filter_map(|(_, timed)| crash(timed)).collect()
    }

    #[test]
    fn churn_crashes_one_replica_an_interval_and_none_that_is_down() {
        let text = "replicas = 3\nduration = \"200s\"\n[churn]\ncrash_every = \"2s\"\ndown = [\"1s\", \"5s\"]\n\
                    [[leave]]\nat = \"100s\"\nreplica = \"r2\"\n[[crash]]\nat = \"20s\"\nreplica = \"r0\"\ndown = \"30s\"";
        let scenario = Scenario::parse(text, "test.toml").unwrap();
        let plan = Plan::new(&scenario, 4);
        let crashes = crashes(&plan);
        assert!(crashes.len() > 50, "{}", crashes.len());
        for (index, (at, crash)) in crashes.iter().enumerate() {
            assert!(!(crash.replica == Party(2) && *at >= Duration::from_secs(100)), "r2 has left");
            let again = crashes[index + 1..].iter().find(|(_, other)| other.replica == crash.replica);
            assert!(
                again.is_none_or(|(again, _)| *again >= *at + crash.down),
                "{crash:?} at {at:?}, again at {again:?}"
            );
        }
        assert_eq!(plan, Plan::new(&scenario, 4));
        assert_ne!(plan, Plan::new(&scenario, 5));
    }

    #[test]
    fn rolling_churn_takes_turns() {
        let text = "replicas = 4\nduration = \"40s\"\n[churn]\ncrash_every = \"10s\"\ndown = \"1s\"\nrolling = true";
        let plan = Plan::new(&Scenario::parse(text, "test.toml").unwrap(), 4);
        let replicas: Vec<_> = crashes(&plan).iter().map(|(_, crash)| crash.replica.0).collect();
        assert_eq!(replicas, [0, 1, 2, 3]);
    }
}
