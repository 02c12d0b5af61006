//! What an operator asks of a replica, and asks again until it is done.

use super::{hostile::ALL_WITHHELD, replica::ReplicaProcess};
use crate::{
    disk::Disk,
    oracles,
    process::{Failed, Io},
    scenario::{FaultKind, OperatorAct},
};
use anabranch_core::{Bytes, Cid, DagName, Error, Input, Outcome, Replica, TaskKind, Token};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The token of all that an operator asks for: no operation has it.
pub(super) const TOKEN: Token = Token(u64::MAX);
/// The token of what has turned up.
pub(super) const RECOVERY: Token = Token(u64::MAX - 1);
/// Missing blocks that are looked at in one go.
const MISSING_MAX: usize = 64;

/// Something that is to be done once.
#[derive(Clone, Debug)]
enum Order {
    Purge(DagName),
    Verify,
    Rebuild,
    Import(Vec<(Cid, Bytes)>),
}

/// The blocks that no replica can get any more since all who had them have purged them. Clones are the same: what operators tell each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Unserved(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    cids: BTreeSet<Cid>,
    /// How often they have changed.
    times: u64,
}

impl Unserved {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are all.
    pub(super) fn are(&self, cids: BTreeSet<Cid>) {
        let mut told = self.told();
        if told.cids != cids {
            told.times += 1;
            told.cids = cids;
        }
    }
}

/// What decides which blocks are missing and lost: while it stays the same, so do they. Blocks merged, obligations, blocks given up, and
/// how often it was told what nobody serves.
type Missing = (u64, u64, u64, u64);

/// What is left to do. It is the operator's: a crash does not take it.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    left: VecDeque<Order>,
    /// The first is being done.
    is_asked: bool,
    /// Whether blocks are given up that nobody serves.
    gives_up: bool,
    /// Which these are, beside those that hostile peers withhold.
    unserved: Unserved,
    /// The state in which nothing that is missing was found lost.
    nothing_lost: Option<Missing>,
    /// What hostile peers withhold has turned up, and is to be imported when it is missing or given up.
    has_turned_up: bool,
    /// What the replica had merged and owed when the import that runs was asked for.
    before_import: (u64, u64),
}

impl Orders {
    pub(super) fn add(&mut self, act: &OperatorAct, blocks: Vec<(Cid, Bytes)>) {
        self.left.push_back(match act {
            OperatorAct::Purge(dag) => Order::Purge(DagName::new(dag.as_str())),
            OperatorAct::Verify => Order::Verify,
            OperatorAct::Rebuild => Order::Rebuild,
            OperatorAct::Import => Order::Import(blocks),
            OperatorAct::Abandon => {
                self.gives_up = true;
                return;
            }
            OperatorAct::Recover => {
                (self.has_turned_up, self.nothing_lost) = (true, None);
                return;
            }
        });
    }

    /// Nothing yet; what nobody serves is known to others, too.
    pub(super) fn new(unserved: Unserved) -> Self {
        Self { unserved, ..Self::default() }
    }

    /// Whether a block is to be given up when it is missing. What has turned up is not.
    fn is_lost(&self, cid: &Cid) -> bool {
        self.unserved.told().cids.contains(cid) || !self.has_turned_up && ALL_WITHHELD.contains_key(cid)
    }

    /// Whether there is anything to look at.
    pub(super) fn are_left(&self) -> bool {
        !self.left.is_empty() || self.gives_up || self.has_turned_up
    }

    /// What was asked for is not being done any more: it was refused, or the process died.
    pub(super) const fn ask_again(&mut self) {
        (self.is_asked, self.nothing_lost) = (false, None);
    }

    /// Something has come to its end, and is durable. What it was, if it was asked for and made a difference.
    pub(super) fn done(
        &mut self,
        token: Option<Token>,
        outcome: &Outcome,
        (merged, owed): (u64, u64),
    ) -> Option<FaultKind> {
        if token == Some(RECOVERY) {
            let is_new = matches!(outcome, Outcome::Imported { merged, pending, .. } if merged + pending > 0);
            return is_new.then_some(FaultKind::Recover);
        }
        let (kind, is_effective) = match (outcome, self.left.front()) {
            (Outcome::Abandoned { .. }, _) => return Some(FaultKind::Abandon),
            (Outcome::Purged { blocks, .. }, Some(Order::Purge(_))) => (FaultKind::Purge, *blocks > 0),
            (Outcome::Verified { .. }, Some(Order::Verify)) => (FaultKind::Verify, true),
            (Outcome::Rebuilt { .. }, Some(Order::Rebuild)) => (FaultKind::Rebuild, true),
            (Outcome::Imported { .. }, Some(Order::Import(_))) => {
                (FaultKind::Import, (merged, owed) != self.before_import)
            }
            // By itself, since an abandoned block came back.
            _ => return None,
        };
        self.left.pop_front();
        self.is_asked = false;
        is_effective.then_some(kind)
    }
}

impl ReplicaProcess {
    /// Does what its operator waits for: what concerns single blocks unless it is being rebuilt, the rest if nothing else runs.
    pub(super) fn follow_orders(&mut self, io: &mut Io<super::Notice>) -> Result<(), Failed> {
        let is_open =
            |core: &&Replica<Disk>| !core.task().is_some_and(|task| matches!(task.kind, TaskKind::Rebuild(_)));
        let Some(core) = self.core().filter(is_open) else { return Ok(()) };
        let stats = core.stats();
        let missing = (stats.merged, stats.obligations, stats.abandoned, self.orders.unserved.told().times);
        if stats.obligations > 0 && self.orders.gives_up && self.orders.nothing_lost != Some(missing) {
            let lost = self.lost(core).map_err(|error| self.failed(&error))?;
            self.orders.nothing_lost = lost.is_empty().then_some(missing);
            for cid in lost {
                self.step(Input::Abandon { token: TOKEN, cid }, io)?;
            }
        }
        if stats.obligations + stats.abandoned > 0 && self.orders.has_turned_up {
            self.recover(io)?;
        }
        if self.orders.is_asked || self.core().is_none_or(|core| core.task().is_some()) {
            return Ok(());
        }
        let Some(order) = self.orders.left.front().cloned() else { return Ok(()) };
        self.orders.is_asked = true;
        self.orders.before_import = (stats.merged, stats.obligations);
        let input = match order {
            Order::Purge(dag) => Input::Purge { token: TOKEN, dag },
            Order::Verify => Input::Verify { token: TOKEN },
            Order::Rebuild => Input::Rebuild { token: TOKEN },
            Order::Import(blocks) => Input::Import { token: TOKEN, blocks },
        };
        self.step(input, io)
    }

    /// What is missing and lost. Most of the time the first that are missing say it.
    fn lost(&self, core: &Replica<Disk>) -> Result<Vec<Cid>, Error> {
        for limit in [MISSING_MAX, usize::MAX] {
            let missing = core.blocking(limit)?;
            let lost = missing.iter().map(|blocking| blocking.cid).filter(|cid| self.orders.is_lost(cid));
            let lost: Vec<Cid> = lost.collect();
            if !lost.is_empty() || missing.len() < limit {
                return Ok(lost);
            }
        }
        Ok(Vec::new())
    }

    /// Imports what has turned up of what is missing or given up.
    fn recover(&mut self, io: &mut Io<super::Notice>) -> Result<(), Failed> {
        let Some(core) = self.core() else { return Ok(()) };
        let lacking = core.blocking(usize::MAX).and_then(|missing| {
            let missing = missing.iter().map(|blocking| blocking.cid);
            Ok(missing.chain(oracles::facts(core)?.abandoned).collect::<BTreeSet<Cid>>())
        });
        let lacking = lacking.map_err(|error| self.failed(&error))?;
        let found = lacking.iter().filter_map(|cid| Some((*cid, ALL_WITHHELD.get(cid)?.clone())));
        let blocks: Vec<_> = found.collect();
        if blocks.is_empty() { Ok(()) } else { self.step(Input::Import { token: RECOVERY, blocks }, io) }
    }
}
