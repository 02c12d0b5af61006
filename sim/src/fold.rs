//! What a set of blocks means, said as plainly as can be: the oracle of everything else.
//!
//! It shares nothing with the replica but the decoder of blocks. Where the two disagree, one of
//! them is wrong, and this one is short enough to be read. The rules are numbered as in
//! `ARCHITECTURE.md`.

use anabranch_core::{
    Bytes, Cid, DagName, Key,
    limits::PRIORITY_DECLARED_END,
    wire::{Block, Delta},
};
use std::collections::{BTreeMap, BTreeSet};

/// What a set of blocks means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folded {
    /// The heads of each DAG name that has any.
    pub heads: BTreeMap<DagName, BTreeSet<Cid>>,
    /// The value of each key that has one.
    pub state: BTreeMap<Key, Bytes>,
    /// How many merged blocks are void.
    pub void: u64,
    /// How many good merged blocks declare another priority than their height.
    pub misdeclared: u64,
    /// The height of each merged block, void ones included.
    pub heights: BTreeMap<Cid, u64>,
    /// The good blocks that are not merged, because an ancestor is not among the blocks given.
    pub unmerged: BTreeSet<Cid>,
    /// The ancestors of good blocks that are not among the blocks given.
    pub missing: BTreeSet<Cid>,
    /// The tombstones whose target is no good block that is merged: by target and key.
    pub early: BTreeSet<(Cid, Key)>,
}

/// What is decided of blocks without their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Purged blocks, with the heights that they had: they count for ancestry and height.
    pub purged: BTreeMap<Cid, u64>,
    /// Blocks that were given up and have not come back: they count for ancestry alone, and a child is as high as
    /// it declares (below 2^62) where that is higher than its other parents make it.
    pub abandoned: BTreeSet<Cid>,
    /// Void blocks that are merged whatever descends from them: what they were merged for may be purged.
    pub void: BTreeSet<Cid>,
}

impl Facts {
    /// The height of a block that is decided; 0 for an abandoned one.
    #[must_use]
    pub fn height(&self, cid: &Cid) -> Option<u64> {
        self.purged.get(cid).copied().or_else(|| self.abandoned.contains(cid).then_some(0))
    }
}

/// The meaning of these blocks, all of which a replica has received.
///
/// A good block is merged when all its ancestors are given, a void one when a good block that is
/// merged descends from it. Takes time O(n log n) in links and writes, memory for a second copy of all
/// keys, and no recursion: a chain may be of any length.
#[must_use]
pub fn fold(blocks: &BTreeMap<Cid, Bytes>) -> Folded {
    fold_with(blocks, &Facts::default())
}

/// As [`fold`], where of some blocks only this is known.
#[must_use]
pub fn fold_with(blocks: &BTreeMap<Cid, Bytes>, facts: &Facts) -> Folded {
    let given = blocks.iter().filter(|(cid, _)| facts.height(cid).is_none());
    let blocks: BTreeMap<Cid, Block> = given.map(|(cid, bytes)| (*cid, Block::decode(bytes))).collect();
    let good: BTreeMap<Cid, &Delta> =
        blocks.iter().filter_map(|(cid, block)| Some((*cid, block.delta.as_ref().ok()?))).collect();
    let complete = heights(&blocks, facts);

    // Rules 2 and 4: what is merged is the good blocks whose ancestors are all there, and these ancestors.
    let (whole, unmerged): (BTreeSet<Cid>, BTreeSet<Cid>) =
        good.keys().copied().partition(|cid| complete.contains_key(cid));
    let void = facts.void.iter().copied().filter(|cid| complete.contains_key(cid));
    let (merged, _) = with_ancestors(&blocks, &whole.iter().copied().chain(void).collect());
    let (_, mut missing) = with_ancestors(&blocks, &unmerged);
    missing.retain(|cid| facts.height(cid).is_none());
    let heights: BTreeMap<Cid, u64> = merged.iter().map(|cid| (*cid, complete[cid])).collect();
    let deltas: BTreeMap<Cid, &Delta> = whole.iter().map(|cid| (*cid, good[cid])).collect();

    // Rules 1 and 3: a version per key and block, the block's last write; minus all tombstones; the greatest
    // (rank, value) wins, where the rank is the smaller of the declared priority and the height.
    let mut versions: BTreeMap<(&Key, Cid), (u64, &Bytes)> = BTreeMap::new();
    for (cid, delta) in &deltas {
        for element in &delta.elements {
            versions.insert((&element.key, *cid), (delta.priority.min(heights[cid]), &element.value));
        }
    }
    let mut early = BTreeSet::new();
    for tombstone in deltas.values().flat_map(|delta| &delta.tombstones) {
        versions.remove(&(&tombstone.key, tombstone.target));
        if !deltas.contains_key(&tombstone.target) {
            early.insert((tombstone.target, tombstone.key.clone()));
        }
    }
    let mut winners: BTreeMap<&Key, (u64, &Bytes)> = BTreeMap::new();
    for ((key, _), version) in versions {
        let winner = winners.entry(key).or_insert(version);
        *winner = version.max(*winner);
    }

    // Rule 6: a head is a good block to which no good block of its name links, directly or through void ones.
    let mut below: BTreeSet<(Cid, &DagName)> = BTreeSet::new();
    // What is not here covers nothing, and passes nothing on.
    let links = |cid: &Cid| blocks.get(cid).into_iter().flat_map(|block| block.links.iter().copied());
    let mut walk: Vec<(&DagName, Cid)> =
        deltas.iter().flat_map(|(cid, delta)| links(cid).map(|link| (&delta.dag, link))).collect();
    while let Some((dag, cid)) = walk.pop() {
        if below.insert((cid, dag)) && !good.contains_key(&cid) {
            walk.extend(links(&cid).map(|link| (dag, link)));
        }
    }
    let mut heads: BTreeMap<DagName, BTreeSet<Cid>> = BTreeMap::new();
    for (cid, delta) in deltas.iter().filter(|(cid, delta)| !below.contains(&(**cid, &delta.dag))) {
        heads.entry(delta.dag.clone()).or_default().insert(*cid);
    }

    Folded {
        heads,
        state: winners.into_iter().map(|(key, (_, value))| (key.clone(), value.clone())).collect(),
        void: (merged.len() - deltas.len()) as u64,
        misdeclared: deltas.iter().filter(|(cid, delta)| delta.priority != heights[*cid]).count() as u64,
        heights,
        unmerged,
        missing,
        early,
    }
}

/// Rule 3: the heights of the blocks whose ancestors are all there. 1 + the greatest height of the parents, 1 for a root.
fn heights(blocks: &BTreeMap<Cid, Block>, facts: &Facts) -> BTreeMap<Cid, u64> {
    let mut children: BTreeMap<Cid, Vec<Cid>> = BTreeMap::new();
    let undecided = |block: &Block| block.links.iter().filter(|link| facts.height(link).is_none()).count();
    for (cid, block) in blocks {
        block.links.iter().for_each(|parent| children.entry(*parent).or_default().push(*cid));
    }
    let mut parents_left: BTreeMap<Cid, usize> = blocks.iter().map(|(cid, block)| (*cid, undecided(block))).collect();
    let mut ready: Vec<Cid> = blocks.iter().filter(|(_, block)| undecided(block) == 0).map(|(cid, _)| *cid).collect();
    let mut heights: BTreeMap<Cid, u64> = BTreeMap::new();
    while let Some(cid) = ready.pop() {
        let block = &blocks[&cid];
        let known = |parent: &Cid| facts.height(parent).unwrap_or_else(|| heights[parent]);
        let mut height = 1 + block.links.iter().map(known).max().unwrap_or(0);
        if block.links.iter().any(|parent| facts.abandoned.contains(parent)) {
            let declared = block.delta.as_ref().map_or(0, |delta| delta.priority);
            height = height.max(if declared < PRIORITY_DECLARED_END { declared } else { 0 });
        }
        heights.insert(cid, height);
        for child in children.get(&cid).into_iter().flatten() {
            if let Some(left) = parents_left.get_mut(child) {
                *left -= 1;
                ready.extend((*left == 0).then_some(*child));
            }
        }
    }
    heights
}

/// These blocks and all their ancestors: those that are given, and those that are not.
fn with_ancestors(blocks: &BTreeMap<Cid, Block>, of: &BTreeSet<Cid>) -> (BTreeSet<Cid>, BTreeSet<Cid>) {
    let (mut given, mut missing) = (BTreeSet::new(), BTreeSet::new());
    let mut walk: Vec<Cid> = of.iter().copied().collect();
    while let Some(cid) = walk.pop() {
        match blocks.get(&cid) {
            Some(block) if given.insert(cid) => walk.extend(&block.links),
            Some(_) => {}
            None => drop(missing.insert(cid)),
        }
    }
    (given, missing)
}
