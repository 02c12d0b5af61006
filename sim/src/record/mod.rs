//! Recording a run: all of its events, and from them its explicit form.

mod compare;
mod file;

pub use compare::{Difference, first_difference};
pub use file::{Header, RecordError, VERSION};

use crate::{
    choices::ChoiceKey,
    engine::{Key, Time, nanoseconds},
    explicit::Explicit,
    observe::{Observer, Seen, What},
    plan::Plan,
    scenario::{Fault, Party, Scenario},
    workload::{Operation, Operations},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Keeps every event of a run in memory.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    /// The events, in order.
    pub events: Vec<Seen>,
}

impl Observer for Recorder {
    fn saw(&mut self, seen: Seen) {
        self.events.push(seen);
    }
}

/// A recorded run.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// What run it is.
    pub header: Header,
    /// Its events, in order.
    pub events: Vec<Seen>,
}

/// A fault of the plan, as pictures need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultNote {
    /// Its number.
    pub number: u32,
    /// Its kind.
    pub kind: crate::scenario::FaultKind,
    /// When it begins, in nanoseconds.
    pub at: u64,
    /// Whom it strikes. Several for a partition, in their groups.
    pub groups: Vec<Vec<Party>>,
    /// When it ends, in nanoseconds; `None` when it does not, or has no length.
    pub until: Option<u64>,
}

/// The faults of a plan, as pictures need them.
#[must_use]
pub fn fault_notes(plan: &Plan) -> Vec<FaultNote> {
    let note = |(number, timed): &(u32, crate::scenario::TimedFault)| {
        let at = nanoseconds(timed.at);
        let one = |party: Party| vec![vec![party]];
        let links = |from: &[Party], to: &[Party]| vec![[from, to].concat()];
        let (groups, until) = match &timed.fault {
            Fault::Partition(partition) => {
                let groups = partition.groups.iter().map(|group| group.members.clone()).collect();
                (groups, Some(nanoseconds(partition.until)))
            }
            Fault::Crash(crash) => (one(crash.replica), Some(at + nanoseconds(crash.down))),
            Fault::Join { replica } => (one(*replica), None),
            Fault::Leave(leave) => (one(leave.replica), leave.returns.map(nanoseconds)),
            Fault::Skew(skew) => (one(skew.replica), Some(nanoseconds(skew.until))),
            Fault::Clog(clog) => (links(&clog.from, &clog.to), Some(nanoseconds(clog.until))),
            Fault::Burst(burst) => (links(&burst.from, &burst.to), Some(nanoseconds(burst.until))),
            Fault::Pause(pause) => (one(pause.replica), Some(nanoseconds(pause.until))),
            Fault::Jump(jump) => (one(jump.replica), None),
            Fault::Disk(harm) => (one(harm.replica), Some(nanoseconds(harm.until))),
            Fault::PowerCut(cut) => (one(cut.replica), None),
            Fault::Operator(operator) => (one(operator.replica), None),
        };
        FaultNote { number: *number, kind: timed.fault.kind(), at, groups, until }
    };
    plan.faults.iter().map(note).collect()
}

/// The explicit form of the run of a scenario with this seed and these events: equal to it event by event, with no seed.
#[must_use]
pub fn explicit(scenario: &Scenario, seed: u64, events: &[Seen]) -> Scenario {
    let scenario = scenario.drawn(seed);
    let plan = Plan::new(&scenario, seed);
    let mut deliveries = BTreeMap::new();
    let mut choices = BTreeMap::new();
    for seen in events {
        match &seen.what {
            What::Sent { message, fate, .. } => {
                deliveries.insert(*message, *fate);
            }
            What::Chose { choice, n, value } => {
                if let (Some(party), Some(cause)) = (seen.party, seen.cause) {
                    choices.insert(ChoiceKey { choice: *choice, party, cause, n: *n }, *value);
                }
            }
            _ => {}
        }
    }
    let operations = operations(&scenario, seed, events.last().map_or(0, |seen| seen.at));
    Scenario {
        faults: plan.faults.into_iter().map(|(_, fault)| fault).collect(),
        churn: None,
        swizzles: Vec::new(),
        explicit: Some(Explicit {
            operations: Arc::new(operations),
            deliveries: Arc::new(deliveries),
            choices: Arc::new(choices),
        }),
        ..scenario.into_owned()
    }
}

/// The operations until then. The events do not tell them: one whose replica stands still is made later than it is due, or never.
fn operations(scenario: &Scenario, seed: u64, until: Time) -> BTreeMap<u64, Operation> {
    let (all, none) = (Operations::new(scenario, &Key::of_seed(seed)), BTreeSet::new());
    let due = |from: u64| all.next(from, &none).filter(|operation| operation.at <= until);
    std::iter::successors(due(0), |last| due(last.index + 1)).map(|operation| (operation.index, operation)).collect()
}
