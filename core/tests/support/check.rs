//! What must hold of a replica whatever came to it.

use super::{Facts, Fold, Node, Rng, World, fold, fold_with, hex};
use anabranch_core::{Bytes, Cid, Validator, store::Table, wire::Block};

/// The replica's state, heads, merged blocks and their counts are those of the fold.
pub fn is_fold<V: Validator + Clone>(node: &Node<V>, fold: &Fold, what: &str) {
    assert_eq!(node.state(), fold.state, "state, {what}");
    assert_eq!(node.heads(), fold.heads, "heads, {what}");
    assert_eq!(node.merged(), fold.merged.keys().copied().collect(), "merged blocks, {what}");
    let stats = node.replica.stats();
    assert_eq!(stats.merged, fold.merged.len() as u64, "count of merged blocks, {what}");
    assert_eq!(stats.void, fold.void.len() as u64, "count of void blocks, {what}");
    assert_eq!(stats.heads, fold.heads.len() as u64, "count of heads, {what}");
    assert_eq!(stats.height_max, fold.merged.values().copied().max().unwrap_or(0), "greatest height, {what}");
    assert_eq!((stats.obligations, node.replica.is_behind()), (0, false), "obligations, {what}");
}

/// As `is_fold`, where some blocks are decided without their bytes.
pub fn is_fold_with<V: Validator + Clone>(node: &Node<V>, world: &World, facts: &Facts, what: &str) {
    let fold = fold_with(world, facts, &anabranch_core::MergeAll);
    let tallest = fold.merged.values().chain(facts.purged.values().map(|(height, _)| height)).max();
    assert_eq!(node.state(), fold.state, "state, {what}");
    assert_eq!(node.heads(), fold.heads, "heads, {what}");
    assert_eq!(node.merged(), fold.merged.keys().copied().collect(), "merged blocks, {what}");
    let stats = node.replica.stats();
    let found =
        [stats.merged, stats.void, stats.heads, stats.height_max, stats.obligations, stats.purged, stats.abandoned];
    let counts = [fold.merged.len(), fold.void.len(), fold.heads.len(), facts.purged.len(), facts.abandoned.len()];
    let [merged, void, heads, purged, abandoned] = counts.map(|count| count as u64);
    let wanted = [merged, void, heads, tallest.copied().unwrap_or(0), 0, purged, abandoned];
    assert_eq!(found, wanted, "merged, void, heads, height, obligations, purged and abandoned, {what}");
    assert_eq!(node.facts(), (facts.purged.clone(), facts.abandoned.clone()), "stubs, {what}");
    for cid in facts.purged.keys().chain(&facts.abandoned) {
        assert_eq!(node.replica.block(cid), Ok(None), "no bytes of {cid}, {what}");
        assert_eq!(node.replica.is_merged(cid), Ok(false), "{cid}, {what}");
    }
    assert_eq!(node.rows(Table::Derive), 0, "a task that is done leaves nothing behind, {what}");
    assert_eq!(node.replica.task(), None, "{what}");
}

/// The replica shows the fold of the blocks that it has merged, no more and no less. A void block may
/// be merged before the good block that descends from it, for which it was merged.
pub fn is_fold_of_merged<V: Validator + Clone>(node: &Node<V>) {
    let world = node.world();
    let fold = fold(&world);
    assert_eq!(node.state(), fold.state, "state");
    assert_eq!(node.heads(), fold.heads, "heads");
    let left_out = world.iter().filter(|(cid, _)| !fold.merged.contains_key(cid));
    for (cid, bytes) in left_out {
        assert!(Block::decode(bytes).delta.is_err(), "{cid} is merged and the fold leaves it out");
        assert!(node.replica.is_behind(), "no good block descends from {cid}, and none will");
    }
}

/// Invariant 2: the parents of each merged block are merged.
pub fn ancestors_are_merged<V: Validator + Clone>(node: &Node<V>) {
    let merged = node.merged();
    for cid in &merged {
        let bytes = node.replica.block(cid).expect("a read").expect("a merged block is kept");
        assert_eq!(Cid::of(&bytes), *cid, "a kept block hashes to its CID");
        for parent in Block::decode(&bytes).links {
            assert!(merged.contains(&parent), "{cid} is merged, its parent {parent} is not");
        }
    }
}

/// All orders of so many things, or `at_most` random ones where there are more.
pub fn orders(len: usize, at_most: usize) -> Vec<Vec<usize>> {
    let all = (1..=len).product::<usize>();
    if all > at_most {
        let mut rng = Rng::new(len as u64);
        return (0..at_most)
            .map(|_| {
                let mut order: Vec<usize> = (0..len).collect();
                rng.shuffle(&mut order);
                order
            })
            .collect();
    }
    let mut orders = vec![Vec::new()];
    for next in 0..len {
        let longer = orders.iter().flat_map(|order: &Vec<usize>| {
            (0..=order.len()).map(move |at| {
                let mut order = order.clone();
                order.insert(at, next);
                order
            })
        });
        orders = longer.collect();
    }
    orders
}

/// Gives the blocks to fresh replicas in every order (or 200 random ones), each block once, and
/// checks that all end as the fold says and with this state. Returns the last replica.
pub fn every_order(blocks: &[Bytes], state: &[(&str, &str)]) -> Node {
    let world = super::blocks::world(blocks);
    let fold = fold(&world);
    let wanted: Vec<(Vec<u8>, Bytes)> =
        state.iter().map(|(key, value)| (key.as_bytes().to_vec(), Bytes::copy_from_slice(value.as_bytes()))).collect();
    assert_eq!(fold.state, wanted.into_iter().collect(), "the fold and the test agree");
    let mut last = Node::new();
    for order in orders(blocks.len(), 200) {
        let mut node = Node::new();
        for at in &order {
            node.receive(&blocks[*at]);
            ancestors_are_merged(&node);
        }
        node.settle(&world);
        is_fold(&node, &fold, &format!("order {order:?}"));
        last = node;
    }
    last
}

/// As `every_order`, blocks as hex.
pub fn every_order_hex(blocks: &[&str], state: &[(&str, &str)]) -> Node {
    let blocks: Vec<Bytes> = blocks.iter().map(|block| hex(block)).collect();
    every_order(&blocks, state)
}
