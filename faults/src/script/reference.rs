//! What a run on a store that never fails had promised, sync by sync.

use super::{Run, Script, Watch, World, play, side};
use anabranch_core::{
    Cid, Error,
    store::{MemoryStore, Store},
};
use std::collections::{BTreeMap, BTreeSet};

/// What was there when, of one script. The replica does the same on every store, so this holds for a run on any.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    /// All blocks of the run.
    blocks: World,
    /// Blocks that the replica had merged by a sync, with the first such sync.
    merged: BTreeMap<Cid, usize>,
    /// Good blocks that it had been given by a sync.
    due: BTreeMap<Cid, usize>,
    /// Blocks that the others had by a sync.
    served: BTreeMap<Cid, usize>,
    /// Commits acknowledged after a sync, or due to be.
    syncs: usize,
}

impl Reference {
    /// Plays the script in memory.
    ///
    /// # Errors
    /// Never, but for a fault of ours.
    pub fn of(script: &Script) -> Result<Self, Error> {
        let mut reference = Self::default();
        play(script, MemoryStore::new(), &mut reference)?;
        Ok(reference)
    }

    /// How many syncs the run makes.
    #[must_use]
    pub const fn syncs(&self) -> usize {
        self.syncs
    }

    /// How many blocks there are.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn by(times: &BTreeMap<Cid, usize>, syncs: usize) -> BTreeSet<Cid> {
        times.iter().filter(|(_, at)| **at < syncs).map(|(cid, _)| *cid).collect()
    }

    /// What must be merged when so many syncs have succeeded.
    #[must_use]
    pub fn must_be_merged(&self, synced: usize) -> BTreeSet<Cid> {
        Self::by(&self.merged, synced)
    }

    /// What may be merged: what the next sync was to cover, too.
    #[must_use]
    pub fn may_be_merged(&self, synced: usize) -> BTreeSet<Cid> {
        Self::by(&self.merged, synced + 1)
    }

    /// What must be merged in the end when so many syncs have succeeded, with nobody announcing anything again.
    #[must_use]
    pub fn due(&self, synced: usize) -> BTreeSet<Cid> {
        Self::by(&self.due, synced)
    }

    /// What the others have before the next sync succeeds.
    #[must_use]
    pub fn served(&self, synced: usize) -> World {
        Self::by(&self.served, synced + 1)
            .into_iter()
            .filter_map(|cid| Some((cid, self.blocks.get(&cid)?.clone())))
            .collect()
    }
}

fn note<'a>(times: &mut BTreeMap<Cid, usize>, now: usize, blocks: impl IntoIterator<Item = &'a Cid>) {
    for cid in blocks {
        times.entry(*cid).or_insert(now);
    }
}

impl<S: Store> Watch<S> for Reference {
    fn syncing(&mut self, _: usize) {}

    fn synced(&mut self, n: usize, run: &Run<S>) -> Result<(), Error> {
        let merged = side::merged(&run.ours.replica)?;
        note(&mut self.merged, n, merged.keys());
        note(&mut self.due, n, &run.received);
        note(&mut self.served, n, run.served.keys());
        self.blocks.extend(merged);
        self.blocks.extend(run.served.clone());
        self.syncs = n + 1;
        Ok(())
    }
}
