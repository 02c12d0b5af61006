//! What a run on a store that never fails had promised, sync by sync.

use super::{Run, Script, Watch, World, play, side};
use anabranch_core::{
    Cid, Error, Outcome,
    store::{MemoryStore, Store},
};
use std::collections::{BTreeMap, BTreeSet};

/// What was there when, of one script. The replica does the same on every store, so this holds for a run on any.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    /// All blocks of the run.
    blocks: World,
    /// Blocks that the replica had merged by a sync, with the first such sync; whatever became of them.
    merged: BTreeMap<Cid, usize>,
    /// Good blocks that it had been given by a sync.
    due: BTreeMap<Cid, usize>,
    /// Blocks that the others had by a sync.
    served: BTreeMap<Cid, usize>,
    /// Blocks that a purge had taken by a sync, or was to take.
    doomed: BTreeMap<Cid, usize>,
    /// Blocks that were needed by a sync, and that nobody served then.
    withheld: BTreeMap<Cid, usize>,
    /// Those of them that had been given up.
    given_up: BTreeMap<Cid, usize>,
    /// Syncs at which a task was running: what could be merged waited for its turn, and a replica that is opened then does not wait.
    busy: BTreeSet<usize>,
    /// What came of tasks and imports.
    outcomes: Vec<Outcome>,
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

    /// What came of tasks and imports, in their order.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// How many blocks there are.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks.keys().chain(self.merged.keys()).collect::<BTreeSet<_>>().len()
    }

    fn by(times: &BTreeMap<Cid, usize>, syncs: usize) -> BTreeSet<Cid> {
        times.iter().filter(|(_, at)| **at < syncs).map(|(cid, _)| *cid).collect()
    }

    /// What must be merged when so many syncs have succeeded, if it is not purged.
    #[must_use]
    pub fn must_be_merged(&self, synced: usize) -> BTreeSet<Cid> {
        Self::by(&self.merged, synced)
    }

    /// What may be merged: what the next sync was to cover, too; and what was held up by a task that was running then.
    #[must_use]
    pub fn may_be_merged(&self, synced: usize) -> BTreeSet<Cid> {
        let idle = (synced..).find(|sync| !self.busy.contains(sync)).unwrap_or(synced);
        Self::by(&self.merged, idle + 1)
    }

    /// Whether the block is known to break a rule.
    #[must_use]
    pub fn is_void(&self, cid: &Cid) -> bool {
        self.blocks.get(cid).is_some_and(side::is_void)
    }

    /// What must be purged.
    #[must_use]
    pub fn must_be_purged(&self, synced: usize) -> BTreeSet<Cid> {
        Self::by(&self.doomed, synced)
    }

    /// What may be purged: by what the next sync was to cover, too.
    #[must_use]
    pub fn may_be_purged(&self, synced: usize) -> BTreeSet<Cid> {
        Self::by(&self.doomed, synced + 1)
    }

    /// What must be given up: it was, and has not turned up since.
    #[must_use]
    pub fn must_be_given_up(&self, synced: usize) -> BTreeSet<Cid> {
        &Self::by(&self.given_up, synced) - &Self::by(&self.served, synced + 1)
    }

    /// What may be given up.
    #[must_use]
    pub fn may_be_given_up(&self, synced: usize) -> BTreeSet<Cid> {
        Self::by(&self.given_up, synced + 1)
    }

    /// What may be needed and has not turned up.
    #[must_use]
    pub fn hopeless(&self, synced: usize) -> BTreeSet<Cid> {
        &Self::by(&self.withheld, synced + 1) - &Self::by(&self.served, synced + 1)
    }

    /// What must be merged (or purged) in the end when so many syncs have succeeded, with nobody announcing anything again.
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
        note(&mut self.merged, n, &run.ours.merged);
        if !run.ours.is_rebuilding() {
            // What a rebuild was the first to merge was not told.
            note(&mut self.merged, n, side::merged(&run.ours.replica)?.keys());
        }
        note(&mut self.due, n, &run.received);
        note(&mut self.served, n, run.served.keys());
        note(&mut self.doomed, n, &run.doomed);
        note(&mut self.withheld, n, run.withheld.keys());
        let given_up = run.withheld.iter().filter(|(_, withheld)| withheld.is_given_up);
        note(&mut self.given_up, n, given_up.map(|(cid, _)| cid));
        if run.ours.replica.task().is_some() {
            self.busy.insert(n);
        }
        self.outcomes.clone_from(&run.ours.outcomes);
        self.blocks.extend(run.served.clone());
        self.syncs = n + 1;
        Ok(())
    }
}
