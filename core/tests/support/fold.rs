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

/// The fold of these blocks. A block counts when all its ancestors are among them; a void one only
/// when a good block that counts descends from it.
pub fn fold(world: &World) -> Fold {
    fold_judged(world, &anabranch_core::MergeAll)
}

pub fn fold_judged(world: &World, validator: &dyn Validator) -> Fold {
    let blocks: BTreeMap<Cid, (Vec<Cid>, Option<Delta>)> = world
        .iter()
        .map(|(cid, bytes)| {
            let block = Block::decode(bytes);
            let good = block.delta.is_ok() && validator.judge(&block) == Verdict::Merge;
            (*cid, (block.links, block.delta.ok().filter(|_| good)))
        })
        .collect();
    let heights = heights(&blocks);
    let good = |cid: &Cid| blocks[cid].1.as_ref();
    let mut merged = BTreeMap::new();
    let mut todo: Vec<Cid> = heights.keys().copied().filter(|cid| good(cid).is_some()).collect();
    while let Some(cid) = todo.pop() {
        if merged.insert(cid, heights[&cid]).is_none() {
            todo.extend(&blocks[&cid].0);
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
            match good(&parent) {
                Some(_) => {
                    heads.remove(&(delta.dag.as_str().to_owned(), parent));
                }
                None => below.extend(&blocks[&parent].0),
            }
        }
    }
    let void = merged.keys().copied().filter(|cid| good(cid).is_none()).collect();
    Fold { state: winners.into_iter().map(|(key, (_, value))| (key, value.clone())).collect(), heads, merged, void }
}

/// The heights of the blocks whose ancestors are all there: 1 + the greatest height of the parents.
fn heights(blocks: &BTreeMap<Cid, (Vec<Cid>, Option<Delta>)>) -> BTreeMap<Cid, u64> {
    let mut heights = BTreeMap::new();
    loop {
        let before = heights.len();
        for (cid, (links, _)) in blocks {
            let parents: Option<Vec<u64>> = links.iter().map(|link| heights.get(link).copied()).collect();
            if let Some(parents) = parents {
                heights.insert(*cid, 1 + parents.into_iter().max().unwrap_or(0));
            }
        }
        if heights.len() == before {
            return heights;
        }
    }
}
