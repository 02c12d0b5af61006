//! What an operator does: purges, verifies, rebuilds, imports, and gives up blocks that nobody serves.

use super::{Run, Withheld, side};
use anabranch_core::{
    Bytes, Cid, DagName, Error, Input, Outcome, Token,
    store::Store,
    wire::{Block, Delta, Element},
};

/// The DAG of blocks over such that nobody serves: nobody else builds upon it, so the rest of the world goes on.
const ORPHANS: &str = "orphans";
/// Blocks of one import, at most.
const IMPORT_MAX: u64 = 8;

impl<S: Store> Run<S> {
    pub(super) fn operate(&mut self) -> Result<(), Error> {
        match self.draws.below(7) {
            0 => self.purge(),
            1 => self.verify(),
            2 => self.rebuild(),
            3 => self.import(),
            4 => self.orphan(),
            5 => self.give_up(),
            _ => self.turn_up(),
        }
    }

    fn token(&mut self) -> Token {
        self.tokens += 1;
        Token(self.tokens)
    }

    /// What is merged of one DAG is purged. Most often it is not the main one.
    fn purge(&mut self) -> Result<(), Error> {
        let dag = DagName::new(if self.draws.chance(0.8) { "named" } else { "" });
        let token = self.token();
        if self.ours.replica.task().is_none() {
            for (cid, bytes) in side::merged(&self.ours.replica)? {
                if Block::decode(&bytes).delta.is_ok_and(|delta| delta.dag == dag) {
                    self.doomed.insert(cid);
                }
            }
        }
        self.ours.input(Input::Purge { token, dag })
    }

    fn verify(&mut self) -> Result<(), Error> {
        let token = self.token();
        self.ours.input(Input::Verify { token })
    }

    fn rebuild(&mut self) -> Result<(), Error> {
        let token = self.token();
        self.ours.input(Input::Rebuild { token })
    }

    /// Blocks come from a file, old ones among them, and one that is not what it is said to be.
    fn import(&mut self) -> Result<(), Error> {
        let mut blocks = vec![(Cid::of(b"another block"), Bytes::from_static(b"what is wrong"))];
        for _ in 0..self.draws.below(IMPORT_MAX) {
            let at = self.draws.below(self.served.len().max(1) as u64) as usize;
            if let Some((cid, bytes)) = self.served.iter().nth(at) {
                blocks.push((*cid, bytes.clone()));
            }
        }
        for (_, bytes) in blocks.iter().skip(1) {
            self.note(Some(bytes));
        }
        let token = self.token();
        self.ours.input(Input::Import { token, blocks })
    }

    /// A block comes whose parent nobody serves. What it declares is its height, or more, or less.
    fn orphan(&mut self) -> Result<(), Error> {
        let bytes = self.of_orphans(&[], 1);
        let (parent, priority) = (Cid::of(&bytes), 1 + self.draws.below(3));
        let child = self.of_orphans(&[parent], priority);
        self.withheld.insert(parent, Withheld { bytes, is_given_up: false });
        self.give(child)
    }

    fn of_orphans(&mut self, links: &[Cid], priority: u64) -> Bytes {
        let elements = vec![Element { key: self.key(), value: self.value() }];
        Block::encode(links, &Delta { elements, priority, dag: DagName::new(ORPHANS), ..Delta::default() })
    }

    /// Such a parent is given up.
    fn give_up(&mut self) -> Result<(), Error> {
        let waits = self.withheld.iter().find(|(_, withheld)| !withheld.is_given_up);
        let Some(cid) = waits.map(|(cid, _)| *cid) else { return self.orphan() };
        self.abandon(cid)
    }

    fn abandon(&mut self, cid: Cid) -> Result<(), Error> {
        let token = self.token();
        self.ours.input(Input::Abandon { token, cid })?;
        let is_given_up = self.ours.outcomes.contains(&Outcome::Abandoned { cid });
        if let Some(withheld) = self.withheld.get_mut(&cid) {
            withheld.is_given_up = is_given_up;
        }
        Ok(())
    }

    /// Such a parent turns up, given up or not.
    fn turn_up(&mut self) -> Result<(), Error> {
        if self.ours.is_rebuilding() || self.withheld.is_empty() {
            return Ok(());
        }
        let at = self.draws.below(self.withheld.len() as u64) as usize;
        let Some((cid, withheld)) = self.withheld.iter().nth(at).map(|(cid, withheld)| (*cid, withheld.clone())) else {
            return Ok(());
        };
        self.withheld.remove(&cid);
        self.give(withheld.bytes)
    }

    /// At the end, all that is still owed and that nobody serves is given up.
    pub(super) fn give_all_up(&mut self) -> Result<(), Error> {
        let waits = self.withheld.iter().filter(|(_, withheld)| !withheld.is_given_up).map(|(cid, _)| *cid);
        waits.collect::<Vec<_>>().into_iter().try_for_each(|cid| self.abandon(cid))
    }
}
