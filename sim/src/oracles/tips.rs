//! Heads are tips: a DAG's heads are its merged good blocks to which no merged good block of that name links,
//! directly or through void ones (invariant 6).

use super::{
    Finding, Observed,
    observed::{difference, show_heads},
};
use crate::{
    fold::Facts,
    ledger::{Ledger, Record},
    scenario::Party,
};
use anabranch_core::{Cid, DagName};
use std::collections::{BTreeMap, BTreeSet};

/// The tips of all that a replica has merged and has not purged: O(n) in links.
#[must_use]
pub fn of(ledger: &Ledger, replica: Party, facts: &Facts) -> BTreeMap<DagName, BTreeSet<Cid>> {
    let mut tips: BTreeMap<DagName, BTreeSet<Cid>> = BTreeMap::new();
    let here = |block: &&Record| !facts.purged.contains_key(&block.cid);
    for block in ledger.all_merged(replica).filter(here) {
        if let Some(dag) = &block.dag {
            tips.entry(dag.clone()).or_default().insert(block.cid);
        }
    }
    for block in ledger.all_merged(replica).filter(here) {
        let Some(tips) = block.dag.as_ref().and_then(|dag| tips.get_mut(dag)) else { continue };
        uncover(ledger, block, tips);
    }
    tips.retain(|_, tips| !tips.is_empty());
    tips
}

/// Takes from the tips what a block links to.
fn uncover(ledger: &Ledger, block: &Record, tips: &mut BTreeSet<Cid>) {
    let mut links: Vec<&Cid> = block.links.iter().collect();
    let mut seen = BTreeSet::new();
    while let Some(link) = links.pop() {
        match ledger.block(link) {
            Some(parent) if parent.dag.is_none() && seen.insert(parent.cid) => links.extend(&parent.links),
            // Of another DAG: not among these tips.
            _ => drop(tips.remove(link)),
        }
    }
}

/// Whether a replica's heads are the tips of what it has merged.
///
/// # Errors
/// Where they first differ.
pub fn check(ledger: &Ledger, replica: Party, facts: &Facts, observed: &Observed) -> Finding {
    let difference = difference(&observed.heads, &of(ledger, replica, facts), |dag, heads, tips| {
        format!("heads of DAG \"{dag}\" are {}, and its tips are {}", show_heads(heads), show_heads(tips))
    });
    difference.map_or(Ok(()), Err)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ledger::tests::block;

    fn seen(heads: &[Cid]) -> Observed {
        Observed { heads: [(DagName::default(), heads.iter().copied().collect())].into(), ..Observed::default() }
    }

    #[test]
    fn fires_on_a_head_too_many_and_on_one_too_few() {
        let (root, root_bytes) = block(&[], "k", "1", 1);
        let (left, left_bytes) = block(&[root], "k", "2", 2);
        let (right, right_bytes) = block(&[root], "k", "3", 2);
        let mut ledger = Ledger::new(1);
        for (cid, bytes) in [(root, root_bytes), (left, left_bytes), (right, right_bytes)] {
            ledger.author(Party(0), cid, bytes);
            ledger.merged(Party(0), &cid);
        }
        assert_eq!(check(&ledger, Party(0), &Facts::default(), &seen(&[left, right])), Ok(()));
        assert!(check(&ledger, Party(0), &Facts::default(), &seen(&[left])).is_err());
        assert!(check(&ledger, Party(0), &Facts::default(), &seen(&[left, right, root])).is_err());
    }

    /// A head is covered through a void block, and only when a good block builds upon that.
    #[test]
    fn headship_passes_through_void_blocks() {
        let (root, root_bytes) = block(&[], "k", "1", 1);
        let mut void_bytes = anabranch_core::wire::Block::encode(&[root], &Default::default()).to_vec();
        void_bytes.truncate(void_bytes.len() - 2);
        void_bytes.extend_from_slice(&[0x0a, 3, 0xff, 0xff, 0xff]);
        let void = Cid::of(&void_bytes);
        let (child, child_bytes) = block(&[void], "k", "2", 3);
        let mut ledger = Ledger::new(1);
        for (cid, bytes) in [(root, root_bytes), (void, void_bytes.into()), (child, child_bytes)] {
            ledger.author(Party(0), cid, bytes);
        }
        assert!(ledger.block(&void).unwrap().dag.is_none() && ledger.block(&void).unwrap().links == [root]);
        ledger.merged(Party(0), &root);
        ledger.merged(Party(0), &void);
        assert_eq!(check(&ledger, Party(0), &Facts::default(), &seen(&[root])), Ok(()));
        ledger.merged(Party(0), &child);
        assert_eq!(check(&ledger, Party(0), &Facts::default(), &seen(&[child])), Ok(()));
        assert!(check(&ledger, Party(0), &Facts::default(), &seen(&[child, root])).is_err());
    }
}
