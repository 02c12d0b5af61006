//! When the oracles are asked, and with what evidence.

use super::{Failure, LOOKS, Outcome, World};
use crate::{
    fold::Folded,
    oracles::{self, Observed, Oracle, acknowledged, ancestors, convergence, corrupt, known, tips},
    scenario::Party,
};
use anabranch_core::{Cid, Replica};
use std::collections::BTreeMap;

/// A fold over `n` blocks in the midst of a run wants at least this part of `n` newly merged since the last one.
const FOLD_WORTH: u64 = 2;

/// How much a replica has merged: equal for equal sets.
type Extent = (u64, u128);

impl World<'_> {
    fn failed(replica: Party) -> impl Fn(anabranch_core::Error) -> Failure {
        move |error| Failure::Replica { replica, error }
    }

    /// A replica was opened: what it had must be there.
    pub(super) fn judge_reopened(&mut self, replica: Party) -> Outcome {
        let process = &mut self.processes[replica.index()];
        let was_wiped = std::mem::take(&mut process.was_wiped);
        let Some(core) = &process.core else { return Ok(()) };
        let merged = oracles::merged(core).map_err(Self::failed(replica))?;
        let (now, ledger) = (self.now, &self.ledger);
        self.panel.ask(Oracle::KnownBlocks, Some(replica), now, || known::check(ledger, replica, &merged))?;
        self.panel.ask(Oracle::AcknowledgedWrites, Some(replica), now, || {
            acknowledged::check(ledger, replica, |cid| merged.binary_search(cid).is_ok())
        })?;
        if was_wiped {
            self.ledger.wiped(replica);
        }
        self.ledger.reopened(replica, &merged);
        Ok(())
    }

    /// Looks at one replica in the midst of things.
    pub(super) fn look(&mut self, number: u64) -> Outcome {
        let count = self.processes.len() as u64;
        let turn = (0..count).map(|step| ((number * count / LOOKS + step) % count) as usize);
        let up = turn
            .filter_map(|index| u16::try_from(index).ok())
            .map(Party)
            .find(|replica| self.processes[replica.index()].is_up());
        up.map_or(Ok(()), |replica| self.judge_replica(replica))
    }

    /// Looks at one replica: everything but the fold, and that when enough has been merged since the last one.
    pub(super) fn judge_replica(&mut self, replica: Party) -> Outcome {
        let Some(observed) = self.judge_alone(replica)? else { return Ok(()) };
        if self.merged_since_fold * FOLD_WORTH >= self.ledger.extent(replica).0 {
            self.merged_since_fold = 0;
            let folded = oracles::fold::of(&self.ledger, replica);
            self.panel
                .ask(Oracle::StateIsFold, Some(replica), self.now, || oracles::fold::check(&observed, &folded))?;
        }
        Ok(())
    }

    /// What can be said of a replica without a fold. `None` when it is not up.
    fn judge_alone(&mut self, replica: Party) -> Result<Option<Observed>, Failure> {
        let Some(core) = &self.processes[replica.index()].core else { return Ok(None) };
        let failed = Self::failed(replica);
        let merged = oracles::merged(core).map_err(&failed)?;
        let observed = Observed::of(core).map_err(&failed)?;
        let blocks = |cid: &Cid| core.block(cid).map_err(&failed);
        let bytes = merged.iter().map(blocks).collect::<Result<Vec<_>, _>>()?;
        let acknowledged = |cid: &Cid| merged.binary_search(cid).is_ok();
        let (now, ledger, who) = (self.now, &self.ledger, Some(replica));
        let panel = &mut self.panel;
        panel.ask(Oracle::KnownBlocks, who, now, || known::check(ledger, replica, &merged))?;
        panel.ask(Oracle::AcknowledgedWrites, who, now, || acknowledged::check(ledger, replica, acknowledged))?;
        panel.ask(Oracle::NoCorruptBlock, who, now, || {
            merged.iter().zip(&bytes).try_for_each(|(cid, bytes)| corrupt::check(ledger, cid, bytes.as_ref()))
        })?;
        panel.ask(Oracle::AncestorsMerged, who, now, || ancestors::check_all(ledger, replica))?;
        panel.ask(Oracle::HeadsAreTips, who, now, || tips::check(ledger, replica, &observed))?;
        Ok(Some(observed))
    }

    /// Looks at all replicas, one fold for each different set of merged blocks, and compares those that have equal ones.
    pub(super) fn judge_all(&mut self) -> Outcome {
        let mut seen: BTreeMap<Extent, (Party, Observed, Folded)> = BTreeMap::new();
        for replica in self.replicas() {
            let Some(observed) = self.judge_alone(replica)? else { continue };
            let extent = self.ledger.extent(replica);
            if let Some((other, theirs, folded)) = seen.get(&extent) {
                let (name, other) = (self.name(replica).to_owned(), self.name(*other).to_owned());
                self.panel.ask(Oracle::Convergence, None, self.now, || {
                    convergence::check(&name, &observed, &other, theirs)
                })?;
                self.panel
                    .ask(Oracle::StateIsFold, Some(replica), self.now, || oracles::fold::check(&observed, folded))?;
                continue;
            }
            let folded = oracles::fold::of(&self.ledger, replica);
            self.panel
                .ask(Oracle::StateIsFold, Some(replica), self.now, || oracles::fold::check(&observed, &folded))?;
            seen.insert(extent, (replica, observed, folded));
        }
        Ok(())
    }

    /// All have merged the same: everything is made durable, and looked at.
    pub(super) fn judge_end(&mut self) -> Outcome {
        for replica in self.replicas() {
            self.sync(replica)?;
        }
        self.judge_all()
    }

    /// Whether all replicas that are up have merged the same blocks.
    pub(super) fn agree(&mut self) -> bool {
        self.has_changed = false;
        let mut extents = self
            .replicas()
            .filter(|replica| self.processes[replica.index()].is_up())
            .map(|replica| self.ledger.extent(replica));
        let first = extents.next();
        extents.all(|extent| Some(extent) == first)
    }

    /// Who lacks what, in one line.
    pub(super) fn describe_difference(&self) -> String {
        let up: Vec<Party> = self.replicas().filter(|replica| self.processes[replica.index()].is_up()).collect();
        let Some(most) = up.iter().copied().max_by_key(|replica| self.ledger.extent(*replica).0) else {
            return String::from("no replica is up");
        };
        let lacking = up.iter().find_map(|replica| {
            let lacked = self.ledger.all_merged(most).find(|block| !self.ledger.has_merged(*replica, &block.cid))?;
            Some((*replica, lacked.cid))
        });
        let Some((replica, cid)) = lacking else { return String::from("all have merged the same") };
        let stats = self.processes[replica.index()].core.as_ref().map(Replica::stats).unwrap_or_default();
        format!(
            "{} has merged {} blocks and {} has merged {}: it lacks {}, with {} obligations, {} rumours and {} fetches in flight",
            self.name(most),
            self.ledger.extent(most).0,
            self.name(replica),
            self.ledger.extent(replica).0,
            crate::outcome::short(&cid),
            stats.obligations,
            stats.rumours,
            stats.fetches,
        )
    }
}
