//! Smaller scenarios.

use crate::{
    choices::ChoiceKey,
    engine::{Cause, Fate, MessageKey, nanoseconds},
    explicit::Explicit,
    outcome::OperationKind,
    plan::Plan,
    record::fault_notes,
    scenario::{Crash, DiskFate, Engine, Fault, Link, Party, Scenario, TimedFault, Workload},
    workload::{Action, Operation},
};
use anabranch_core::Write;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc, time::Duration};

/// How large a scenario is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// Replicas and hostile peers.
    pub replicas: usize,
    /// Operations.
    pub operations: usize,
    /// Faults at given times, and messages to which something bad happens by chance.
    pub faults: usize,
    /// Messages whose fate is listed: all others arrive after the least latency, unharmed.
    pub deliveries: usize,
    /// Other choices that are listed.
    pub choices: usize,
}

impl Size {
    /// The size of an explicit scenario.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let empty = Explicit::default();
        let lists = scenario.explicit.as_ref().unwrap_or(&empty);
        let harmed = lists.deliveries.values().filter(|fate| **fate != fate.unharmed());
        Self {
            replicas: scenario.parties(),
            operations: lists.operations.len(),
            faults: scenario.faults.len() + harmed.count(),
            deliveries: lists.deliveries.len(),
            choices: lists.choices.len(),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { replicas, operations, faults, deliveries, choices } = self;
        let count = |n: &usize, one: &str, many: &str| format!("{n} {}", if *n == 1 { one } else { many });
        let all = [
            count(operations, "operation", "operations"),
            count(faults, "fault", "faults"),
            count(replicas, "replica", "replicas"),
            count(deliveries, "delivery", "deliveries"),
            count(choices, "choice", "choices"),
        ];
        f.write_str(&all.join(", "))
    }
}

/// A change to try.
pub(super) enum Change {
    /// There is no change of this number, nor of a greater one.
    None,
    /// This one makes no difference here, or no scenario.
    Impossible,
    To(Box<Scenario>),
}

impl Change {
    fn of(before: &Scenario, after: Scenario) -> Self {
        if after == *before { Self::Impossible } else { Self::To(Box::new(after)) }
    }
}

/// Which lists are minimised together.
#[derive(Clone, Copy)]
pub(super) enum Items {
    /// Faults, and operations.
    Happenings,
    /// Fates of messages, and choices.
    Chances,
    /// The writes of all operations that have several.
    Writes,
}

fn lists(scenario: &Scenario) -> Explicit {
    scenario.explicit.clone().unwrap_or_default()
}

/// Whether a fault can be taken out by itself. Who joins is a replica, and goes with it.
fn can_go(fault: &TimedFault) -> bool {
    !matches!(fault.fault, Fault::Join { .. })
}

impl Items {
    pub(super) fn count(self, scenario: &Scenario) -> usize {
        let lists = lists(scenario);
        match self {
            Self::Happenings => scenario.faults.iter().filter(|fault| can_go(fault)).count() + lists.operations.len(),
            Self::Chances => lists.deliveries.len() + lists.choices.len(),
            Self::Writes => lists.operations.values().map(writes).sum(),
        }
    }

    /// The scenario without the items in the range.
    pub(super) fn without(self, scenario: &Scenario, range: Range<usize>) -> Scenario {
        let mut lists = lists(scenario);
        let mut number = 0;
        let mut is_out = || {
            number += 1;
            range.contains(&(number - 1))
        };
        match self {
            Self::Happenings => {
                let gone: Vec<bool> = scenario.faults.iter().map(|fault| can_go(fault) && is_out()).collect();
                Arc::make_mut(&mut lists.operations).retain(|_, _| !is_out());
                let scenario = Scenario { explicit: Some(lists), ..scenario.clone() };
                return without_faults(scenario, &gone);
            }
            Self::Chances => {
                Arc::make_mut(&mut lists.deliveries).retain(|_, _| !is_out());
                Arc::make_mut(&mut lists.choices).retain(|_, _| !is_out());
            }
            Self::Writes => {
                for operation in Arc::make_mut(&mut lists.operations).values_mut().filter(|one| writes(one) > 0) {
                    let Action::Write(kind, batch) = &mut operation.action else { continue };
                    let mut kept = batch.writes.clone();
                    kept.retain(|_| !is_out());
                    // An operation without writes would be none: that is for another list to take out.
                    if kept.is_empty() {
                        kept.extend(batch.writes.first().cloned());
                    }
                    *kind = match &kept[..] {
                        [Write::Put(..)] => OperationKind::Put,
                        [Write::Delete(_)] => OperationKind::Delete,
                        _ => OperationKind::Batch,
                    };
                    batch.writes = kept;
                }
            }
        }
        Scenario { explicit: Some(lists), ..scenario.clone() }
    }
}

/// How many writes of an operation are candidates: those of batches.
fn writes(operation: &Operation) -> usize {
    match &operation.action {
        Action::Write(_, batch) if batch.writes.len() > 1 => batch.writes.len(),
        _ => 0,
    }
}

/// Faults are named by their places, so those behind a gap are renamed wherever they are causes.
fn without_faults(mut scenario: Scenario, gone: &[bool]) -> Scenario {
    if !gone.contains(&true) {
        return scenario;
    }
    let mut names: BTreeMap<u32, Option<u32>> = BTreeMap::new();
    let mut next = 0;
    for (number, gone) in (0..).zip(gone) {
        names.insert(number, (!gone).then_some(next));
        next += u32::from(!gone);
    }
    let mut is_gone = gone.iter();
    scenario.faults.retain(|_| !is_gone.next().copied().unwrap_or(false));
    let rename = |cause: Cause| match cause {
        Cause::Fault(number) => names.get(&number).copied().flatten().map(Cause::Fault),
        cause => Some(cause),
    };
    if let Some(lists) = &mut scenario.explicit {
        let deliveries = lists.deliveries.iter();
        let deliveries =
            deliveries.filter_map(|(key, fate)| Some((MessageKey { cause: rename(key.cause)?, ..*key }, *fate)));
        lists.deliveries = Arc::new(deliveries.collect());
        let choices = lists.choices.iter();
        let choices =
            choices.filter_map(|(key, value)| Some((ChoiceKey { cause: rename(key.cause)?, ..*key }, *value)));
        lists.choices = Arc::new(choices.collect());
    }
    scenario
}

/// Settings that may not matter: one change a number.
pub(super) fn settings(scenario: &Scenario, number: usize) -> Change {
    let quiet = |link: &Link| Link { latency: link.latency, ..Link::DEFAULT };
    let mut after = scenario.clone();
    let lists = lists(scenario);
    let operations = lists.operations.values().map(|operation| operation.at);
    let faults = scenario.faults.iter().map(|timed| nanoseconds(timed.at));
    let last = operations.chain(faults).max().unwrap_or(0) + 1_000_000;
    match number {
        // The order of the lists is kept, so a cut never goes before something that happens.
        0..3 => {
            let duration = nanoseconds(scenario.duration);
            let to =
                [last, last + (duration.saturating_sub(last)) / 4, last + (duration.saturating_sub(last)) / 2][number];
            after = shortened(after, Duration::from_nanos(to));
        }
        3 => after.network = quiet(&scenario.network),
        4 => after.links.clear(),
        5 => after.links.iter_mut().for_each(|special| special.link = quiet(&special.link)),
        6 => {
            // Nothing is drawn from these in an explicit run.
            let base = Scenario::parse("replicas = 1\nduration = \"1s\"", "base.toml").map(|base| base.workload);
            let Ok(base) = base else { return Change::Impossible };
            let workload = &scenario.workload;
            let hostile = !scenario.hostile.is_empty();
            after.workload = Workload {
                operations: 0,
                rate: 0.0,
                writers: (0..scenario.replicas.len())
                    .filter_map(|index| u16::try_from(index).ok().map(Party))
                    .collect(),
                key_prefix: if hostile { workload.key_prefix.clone() } else { base.key_prefix.clone() },
                ..base
            };
        }
        7 => {
            // All who join later may have been there from the start: none changes its place.
            after.replicas.iter_mut().for_each(|replica| replica.joins_at = None);
            let gone: Vec<bool> = scenario.faults.iter().map(|fault| !can_go(fault)).collect();
            after = without_faults(after, &gone);
        }
        8 => {
            after.disk = crate::scenario::Disk {
                sync_delay: (scenario.disk.sync_delay.0, scenario.disk.sync_delay.0),
                step_delay: crate::scenario::DEFAULT_STEP_DELAY,
                ..scenario.disk
            }
        }
        10 => after = earlier(after),
        11 => plain_fates(&mut after),
        12 => {
            after.disk.engine = Engine::Memory;
            after.faults.retain(|timed| !needs_a_disk(&timed.fault));
        }
        9 => after.core = anabranch_core::Config { ..anabranch_core::Config::default() },
        _ => return Change::None,
    }
    Change::of(scenario, after)
}

/// Whether the fault is one of a simulated disk: a scenario with it on the engine in memory cannot be read.
fn needs_a_disk(fault: &Fault) -> bool {
    match fault {
        Fault::PowerCut(_) => true,
        Fault::Disk(disk) => disk.harm.needs_a_disk(),
        _ => false,
    }
}

/// Everything as much earlier as it can be: the first thing happens after a millisecond. Faults and operations keep their
/// distances; what replicas do by their own clocks does not move.
fn earlier(mut scenario: Scenario) -> Scenario {
    let mut lists = lists(&scenario);
    let operations = lists.operations.values().map(|operation| operation.at);
    let first = operations.chain(scenario.faults.iter().map(|timed| nanoseconds(timed.at))).min().unwrap_or(0);
    let by = first.saturating_sub(1_000_000);
    if by == 0 || !scenario.hostile.is_empty() || scenario.replicas.iter().any(|replica| replica.joins_at.is_some()) {
        return scenario;
    }
    Arc::make_mut(&mut lists.operations).values_mut().for_each(|operation| operation.at -= by);
    scenario.explicit = Some(lists);
    let by = Duration::from_nanos(by);
    scenario.duration -= by;
    for timed in &mut scenario.faults {
        timed.at -= by;
        match &mut timed.fault {
            Fault::Crash(Crash { disk: DiskFate::RolledBack(to), .. }) => *to = to.saturating_sub(by),
            fault => {
                if let Some(until) = end_of(fault) {
                    *until -= by;
                }
            }
        }
    }
    scenario
}

/// A message that is lost needs no other fate.
fn plain_fates(scenario: &mut Scenario) {
    let mut lists = lists(scenario);
    for fate in Arc::make_mut(&mut lists.deliveries).values_mut().filter(|fate| fate.drop) {
        *fate = Fate { drop: true, ..fate.unharmed() };
    }
    scenario.explicit = Some(lists);
}

/// When a fault ends, if it does.
const fn end_of(fault: &mut Fault) -> Option<&mut Duration> {
    match fault {
        Fault::Partition(partition) => Some(&mut partition.until),
        Fault::Leave(leave) => leave.returns.as_mut(),
        Fault::Skew(skew) => Some(&mut skew.until),
        Fault::Clog(clog) => Some(&mut clog.until),
        Fault::Burst(burst) => Some(&mut burst.until),
        Fault::Pause(pause) => Some(&mut pause.until),
        Fault::Disk(harm) => Some(&mut harm.until),
        Fault::Crash(_) | Fault::Join { .. } | Fault::Jump(_) | Fault::PowerCut(_) | Fault::Operator(_) => None,
    }
}

/// A shorter first phase; faults that would outlast it end with it.
fn shortened(mut scenario: Scenario, to: Duration) -> Scenario {
    if to >= scenario.duration {
        return scenario;
    }
    scenario.duration = to;
    for timed in &mut scenario.faults {
        if let Some(until) = end_of(&mut timed.fault) {
            *until = (*until).min(to);
        }
    }
    for peer in &mut scenario.hostile {
        // No file may have a peer that begins after the end.
        peer.from = peer.from.min(to.saturating_sub(Duration::from_nanos(1)));
        peer.until = peer.until.map(|until| until.min(to));
    }
    scenario
}

/// Without the replica or hostile peer of this number.
pub(super) fn replicas(scenario: &Scenario, number: usize) -> Change {
    if number >= scenario.parties() {
        return Change::None;
    }
    let Ok(party) = u16::try_from(number).map(Party) else { return Change::None };
    without_party(scenario, party).map_or(Change::Impossible, |after| Change::To(Box::new(after)))
}

/// Without one who is named so, by the text of the file: whatever names it goes too.
fn without_party(scenario: &Scenario, party: Party) -> Option<Scenario> {
    let notes = fault_notes(&Plan::new(scenario, 0));
    let gone: Vec<bool> = notes.iter().map(|note| note.groups.concat() == [party]).collect();
    let name = scenario.party_name(party).to_owned();
    let scenario = without_faults(scenario.clone(), &gone);
    let mut document: toml::Table = toml::from_str(&scenario.to_toml()).ok()?;
    if let Some(toml::Value::Table(workload)) = document.get_mut("workload") {
        workload.remove("writers");
    }
    for (field, value) in &mut document {
        if field != "description" && field != "name" {
            prune(value, &name);
        }
    }
    let after = Scenario::parse(&toml::to_string(&document).ok()?, &format!("{}.toml", scenario.name)).ok()?;
    // Were another fault gone, the causes would be named wrongly.
    (after.faults.len() == scenario.faults.len()).then_some(after)
}

/// Takes out of all lists the name itself, and the tables in which it stands.
fn prune(value: &mut toml::Value, name: &str) {
    let names_it = |value: &toml::Value| value.as_str() == Some(name);
    match value {
        toml::Value::Array(items) => {
            items.retain_mut(|item| match item {
                toml::Value::Table(table) => {
                    let cause = table.get("cause").and_then(toml::Value::as_str);
                    let is_cause = cause.is_some_and(|cause| cause.ends_with(&format!(" {name}")));
                    let direct = table.iter().any(|(field, value)| field != "cause" && names_it(value));
                    if direct || is_cause {
                        return false;
                    }
                    let full = |table: &toml::Table| {
                        let lists =
                            ["from", "to", "replicas"].into_iter().filter_map(|field| table.get(field)?.as_array());
                        lists.filter(|list| !list.is_empty()).count()
                    };
                    let before = full(table);
                    table.iter_mut().filter(|(field, _)| *field != "writes").for_each(|(_, value)| prune(value, name));
                    // An empty list of names means everyone.
                    full(table) == before
                }
                item => !names_it(item),
            });
        }
        toml::Value::Table(table) => table.iter_mut().for_each(|(_, value)| prune(value, name)),
        _ => {}
    }
}

/// Shorter values: one operation a number.
pub(super) fn values(scenario: &Scenario, number: usize) -> Change {
    let mut lists = lists(scenario);
    let Some(operation) = Arc::make_mut(&mut lists.operations).values_mut().nth(number) else { return Change::None };
    if let Action::Write(_, batch) = &mut operation.action {
        for write in &mut batch.writes {
            if let Write::Put(_, value) = write {
                *value = value.slice(..value.len().min(1));
            }
        }
    }
    Change::of(scenario, Scenario { explicit: Some(lists), ..scenario.clone() })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shortened_is_a_scenario_still() {
        let text = "replicas = 2\nduration = \"20s\"\n[[hostile]]\nname = \"mal\"\nevery = \"1s\"\nacts = [\"odd-keys\"]\nfrom = \"8s\"\nuntil = \"9s\"\n\
                    [[pause]]\nat = \"1s\"\nreplica = \"r0\"\n[explicit]\noperations = []\n";
        let Change::To(shorter) = settings(&Scenario::parse(text, "x.toml").unwrap(), 0) else {
            unreachable!("nothing happens after the first second")
        };
        assert!(shorter.duration < Duration::from_secs(2));
        assert_eq!(Scenario::parse(&shorter.to_toml(), "x.toml").map(|read| read.hostile), Ok(shorter.hostile));
    }

    /// A disk that lies needs a disk: without the disk it goes too.
    #[test]
    fn what_runs_in_memory_is_a_scenario_still() {
        let text = "replicas = 2\nduration = \"9s\"\n[disk]\nengine = \"redb\"\n[[disk_fault]]\nat = \"1s\"\nuntil = \"2s\"\nreplica = \"r0\"\nharm = \"lying-sync\"\n\
                    [[disk_fault]]\nat = \"1s\"\nuntil = \"2s\"\nreplica = \"r1\"\nharm = \"slow\"\n[explicit]\noperations = []\n";
        let Change::To(smaller) = settings(&Scenario::parse(text, "x.toml").unwrap(), 12) else {
            unreachable!("the engine is another")
        };
        assert_eq!((smaller.disk.engine, smaller.faults.len()), (Engine::Memory, 1));
        assert_eq!(Scenario::parse(&smaller.to_toml(), "x.toml").map(|read| read.faults), Ok(smaller.faults));
    }
}
