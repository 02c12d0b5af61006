//! What a set of merged blocks means, said as plainly as can be and without the core's own set.

use anabranch_core::{Bytes, Cid, Key, wire::Block};
use std::collections::{BTreeMap, BTreeSet};

/// State and heads of these blocks: all good, all of the main DAG, ancestors among them. `None` where
/// one of them is void or lacks a parent.
pub(crate) fn fold(blocks: &BTreeMap<Cid, Bytes>) -> Option<(BTreeMap<Key, Bytes>, BTreeSet<Cid>)> {
    let mut heights: BTreeMap<Cid, u64> = BTreeMap::new();
    while heights.len() < blocks.len() {
        let before = heights.len();
        for (cid, bytes) in blocks {
            let parents: Option<Vec<u64>> =
                Block::decode(bytes).links.iter().map(|link| heights.get(link).copied()).collect();
            if let Some(parents) = parents {
                heights.insert(*cid, 1 + parents.into_iter().max().unwrap_or(0));
            }
        }
        if heights.len() == before {
            return None;
        }
    }
    let mut heads: BTreeSet<Cid> = blocks.keys().copied().collect();
    let mut live: BTreeMap<(Key, Cid), (u64, Bytes)> = BTreeMap::new();
    let mut removed = Vec::new();
    for (cid, bytes) in blocks {
        let block = Block::decode(bytes);
        let delta = block.delta.ok()?;
        for link in &block.links {
            heads.remove(link);
        }
        for put in delta.elements {
            live.insert((put.key, *cid), (delta.priority.min(heights[cid]), put.value));
        }
        removed.extend(delta.tombstones.into_iter().map(|dead| (dead.key, dead.target)));
    }
    for dead in &removed {
        live.remove(dead);
    }
    let mut winners: BTreeMap<Key, (u64, Bytes)> = BTreeMap::new();
    for ((key, _), version) in live {
        let winner = winners.entry(key).or_insert_with(|| version.clone());
        *winner = version.max(winner.clone());
    }
    Some((winners.into_iter().map(|(key, (_, value))| (key, value)).collect(), heads))
}
