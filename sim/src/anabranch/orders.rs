//! What an operator asks of a replica, and asks again until it is done.

use super::{hostile, replica::ReplicaProcess};
use crate::{
    process::{Failed, Io},
    scenario::{FaultKind, OperatorAct},
};
use anabranch_core::{Bytes, Cid, DagName, Input, Outcome, Token};
use std::collections::{BTreeSet, VecDeque};

/// The token of all that an operator asks for: no operation has it.
pub(super) const TOKEN: Token = Token(u64::MAX);
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

/// What is left to do. It is the operator's: a crash does not take it.
#[derive(Clone, Debug, Default)]
pub(super) struct Orders {
    left: VecDeque<Order>,
    /// The first is being done.
    is_asked: bool,
    /// Blocks that are to be given up when they are missing.
    lost: BTreeSet<Cid>,
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
                self.lost = hostile::all_withheld();
                return;
            }
        });
    }

    /// Whether there is anything to look at.
    pub(super) fn are_left(&self) -> bool {
        !self.left.is_empty() || !self.lost.is_empty()
    }

    /// What was asked for is not being done any more: it was refused, or the process died.
    pub(super) const fn ask_again(&mut self) {
        self.is_asked = false;
    }

    /// Something has come to its end, and is durable. What it was, if it was asked for and made a difference.
    pub(super) fn done(&mut self, outcome: &Outcome, (merged, owed): (u64, u64)) -> Option<FaultKind> {
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
    /// Does what its operator waits for, if nothing else runs.
    pub(super) fn follow_orders(&mut self, io: &mut Io<super::Notice>) -> Result<(), Failed> {
        let Some(core) = self.core().filter(|core| core.task().is_none()) else { return Ok(()) };
        let stats = core.stats();
        if stats.obligations > 0 && !self.orders.lost.is_empty() {
            let missing = core.blocking(MISSING_MAX).map_err(|error| self.failed(&error))?;
            let lost = missing.iter().map(|blocking| blocking.cid).filter(|cid| self.orders.lost.contains(cid));
            for cid in lost.collect::<Vec<_>>() {
                self.step(Input::Abandon { token: TOKEN, cid }, io)?;
            }
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
}
