//! What a set of blocks means, said as plainly as can be: invariants 1 and 3 to 6 of DESIGN.md.
//! Shares nothing with the replica but the decoder of blocks.

use super::World;
use anabranch_core::{
    Bytes, Cid, Key, Validator, Verdict,
    wire::{Block, Delta},
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fold {
    /// The value of each key that has one.
    pub state: BTreeMap<Vec<u8>, Bytes>,
    /// DAG name and CID of each head.
    pub heads: BTreeSet<(String, Cid)>,
    /// Height of each merged block.
    pub merged: BTreeMap<Cid, u64>,
    /// The merged blocks that are void.
    pub void: BTreeSet<Cid>,
}

/// What is decided of blocks without their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Height and DAG name of each purged block.
    pub purged: BTreeMap<Cid, (u64, String)>,
    /// Void blocks that were merged when a DAG was purged: what they were merged for may be gone.
    pub void: BTreeSet<Cid>,
    /// Blocks that were given up and have not come back.
    pub abandoned: BTreeSet<Cid>,
}

impl Facts {
    /// The DAG of that name is purged, when these blocks and no others are merged.
    pub fn purge(&mut self, merged: &World, dag: &str) {
        let fold = fold_with(merged, self, &anabranch_core::MergeAll);
        for (cid, bytes) in merged {
            match Block::decode(bytes).delta {
                Ok(delta) if delta.dag.as_str() == dag => {
                    self.purged.insert(*cid, (fold.merged[cid], dag.to_owned()));
                }
                Ok(_) => {}
                Err(_) => drop(self.void.insert(*cid)),
            }
        }
    }
}

/// What a child knows of a parent.
#[derive(Clone, Copy)]
enum Known {
    Height(u64),
    Abandoned,
}

/// The fold of these blocks. A block counts when all its ancestors are among them; a void one only
/// when a good block that counts descends from it.
pub fn fold(world: &World) -> Fold {
    fold_judged(world, &anabranch_core::MergeAll)
}

pub fn fold_judged(world: &World, validator: &dyn Validator) -> Fold {
    fold_with(world, &Facts::default(), validator)
}

/// As `fold`, where of some blocks only this is known: purged ones count for ancestry and height, abandoned ones
/// for ancestry alone.
pub fn fold_with(world: &World, facts: &Facts, validator: &dyn Validator) -> Fold {
    let blocks: BTreeMap<Cid, (Vec<Cid>, Option<Delta>)> = world
        .iter()
        .filter(|(cid, _)| !facts.purged.contains_key(cid) && !facts.abandoned.contains(cid))
        .map(|(cid, bytes)| {
            let block = Block::decode(bytes);
            let good = block.delta.is_ok() && validator.judge(&block) == Verdict::Merge;
            (*cid, (block.links, block.delta.ok().filter(|_| good)))
        })
        .collect();
    let heights = heights(&blocks, facts);
    let good = |cid: &Cid| blocks[cid].1.as_ref();
    let is_here = |cid: &Cid| blocks.contains_key(cid);
    let mut merged = BTreeMap::new();
    let mut todo: Vec<Cid> = heights.keys().copied().filter(|cid| good(cid).is_some()).collect();
    todo.extend(facts.void.iter().filter(|cid| is_here(cid)));
    while let Some(cid) = todo.pop() {
        if merged.insert(cid, heights[&cid]).is_none() {
            todo.extend(blocks[&cid].0.iter().filter(|parent| is_here(parent)));
        }
    }

    let mut live: BTreeMap<(&Key, Cid), (u64, &Bytes)> = BTreeMap::new();
    let deltas: Vec<(Cid, &Delta)> = merged.keys().filter_map(|cid| Some((*cid, good(cid)?))).collect();
    for (cid, delta) in &deltas {
        for element in &delta.elements {
            live.insert((&element.key, *cid), (delta.priority.min(merged[cid]), &element.value));
        }
    }
    for tombstone in deltas.iter().flat_map(|(_, delta)| &delta.tombstones) {
        live.remove(&(&tombstone.key, tombstone.target));
    }
    let mut winners: BTreeMap<Vec<u8>, (u64, &Bytes)> = BTreeMap::new();
    for ((key, _), version) in live {
        let winner = winners.entry(key.as_bytes().to_vec()).or_insert(version);
        *winner = version.max(*winner);
    }

    let mut heads: BTreeSet<(String, Cid)> =
        deltas.iter().map(|(cid, delta)| (delta.dag.as_str().to_owned(), *cid)).collect();
    for (cid, delta) in &deltas {
        let mut below = blocks[cid].0.clone();
        while let Some(parent) = below.pop() {
            match blocks.get(&parent).map(|(_, delta)| delta) {
                // What is not here covers nothing, and passes nothing on.
                None => {}
                Some(Some(_)) => {
                    heads.remove(&(delta.dag.as_str().to_owned(), parent));
                }
                Some(None) => below.extend(&blocks[&parent].0),
            }
        }
    }
    let void = merged.keys().copied().filter(|cid| good(cid).is_none()).collect();
    Fold { state: winners.into_iter().map(|(key, (_, value))| (key, value.clone())).collect(), heads, merged, void }
}

/// The heights of the blocks whose ancestors are all there: 1 + the greatest height of the parents; or what the block
/// declares, where that is greater, an abandoned parent may be the reason, and it is no nonsense.
fn heights(blocks: &BTreeMap<Cid, (Vec<Cid>, Option<Delta>)>, facts: &Facts) -> BTreeMap<Cid, u64> {
    let mut heights: BTreeMap<Cid, u64> = BTreeMap::new();
    let known = |heights: &BTreeMap<Cid, u64>, cid: &Cid| match (heights.get(cid), facts.purged.get(cid)) {
        (Some(height), _) | (_, Some((height, _))) => Some(Known::Height(*height)),
        _ => facts.abandoned.contains(cid).then_some(Known::Abandoned),
    };
    loop {
        let before = heights.len();
        for (cid, (links, delta)) in blocks {
            let parents: Option<Vec<Known>> = links.iter().map(|link| known(&heights, link)).collect();
            let Some(parents) = parents else { continue };
            let height_of = |parent: &Known| match parent {
                Known::Height(height) => *height,
                Known::Abandoned => 0,
            };
            let mut height = 1 + parents.iter().map(height_of).max().unwrap_or(0);
            if parents.iter().any(|parent| matches!(parent, Known::Abandoned)) {
                let declared = delta.as_ref().map_or(0, |delta| delta.priority);
                height = height.max(if declared < 1 << 62 { declared } else { 0 });
            }
            heights.insert(*cid, height);
        }
        if heights.len() == before {
            return heights;
        }
    }
}
