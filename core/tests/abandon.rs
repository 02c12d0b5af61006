//! Blocks that nobody serves any more, and are given up: what merges then, and what becomes of it when they turn up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{Bytes, Cid, Config, Outcome, Refusal, Stub, wire::Block};
use support::{
    Facts, Node, World,
    blocks::{self, block, block_in, nobody_serves, put_block, void_block, world},
    check,
    recount::check_counts,
};

/// A node that has been given these blocks and no others.
fn given(blocks: &[&Bytes]) -> Node {
    let mut node = Node::new();
    blocks.iter().for_each(|bytes| node.receive(bytes));
    node.pull(&World::new());
    node
}

#[test]
fn a_block_that_nobody_serves_is_given_up_and_its_children_merge() {
    let lost = put_block(&[], 3, "k", "lost");
    let known = put_block(&[], 1, "a", "known");
    let child = put_block(&[Cid::of(&lost), Cid::of(&known)], 4, "k", "child");
    let grandchild = put_block(&[Cid::of(&child)], 5, "g", "grandchild");
    let mut node = given(&[&known, &grandchild, &child]);
    assert_eq!((node.get("k"), node.replica.stats().obligations), (None, 3));
    assert_eq!(node.abandon(Cid::of(&lost)), Ok(Outcome::Abandoned { cid: Cid::of(&lost) }));
    assert_eq!((node.get("k"), node.get("g")), (Some("child".into()), Some("grandchild".into())));
    assert_eq!(node.replica.stats().height_max, 5, "the child is as high as it declares");
    let facts = Facts { abandoned: [Cid::of(&lost)].into(), ..Facts::default() };
    let all = world([&known, &child, &grandchild]);
    check::is_fold_with(&node, &all, &facts, "given up");
    let mut node = node.crash();
    check::is_fold_with(&node, &all, &facts, "given up, after a crash");
    assert_eq!(node.replica.stubs(None, 9).unwrap(), [(Cid::of(&lost), Stub::Abandoned)]);
    node.rebuild();
    check::is_fold_with(&node, &all, &facts, "given up, rebuilt");
    assert_eq!(node.fetches.len(), 0, "it is not asked for");
    // Another child comes later, and does not wait either.
    let other = put_block(&[Cid::of(&lost)], 4, "o", "other");
    node.receive(&other);
    assert_eq!(node.get("o"), Some("other".into()));
    check_counts(&node, "another child");
}

#[test]
fn what_is_declared_over_an_abandoned_block_is_believed_within_reason() {
    for (declared, height) in [(7, 7), (1, 2), ((1 << 62) - 1, (1 << 62) - 1), (1 << 62, 2), (u64::MAX, 2)] {
        let known = put_block(&[], 1, "a", "known");
        let child = put_block(&[nobody_serves(1), Cid::of(&known)], declared, "k", "v");
        let mut node = given(&[&known, &child]);
        node.abandon(nobody_serves(1)).unwrap();
        assert_eq!(node.replica.stats().height_max, height, "declares {declared}");
        let next = node.put("k", "next");
        assert_eq!(node.get("k"), Some("next".into()), "the next put wins over {declared}");
        assert!(Block::decode(&node.bytes(&next)).delta.unwrap().priority > height);
    }
}

#[test]
fn what_is_here_or_unknown_cannot_be_given_up() {
    let merged = put_block(&[], 1, "k", "v");
    let pending = put_block(&[nobody_serves(1)], 2, "k", "v");
    let mut node = given(&[&merged, &pending]);
    let before = node.replica.store().rows().clone();
    for cid in [Cid::of(&merged), Cid::of(&pending), nobody_serves(2)] {
        assert_eq!(node.abandon(cid), Err(Refusal::NotMissing { cid }));
    }
    assert_eq!(node.replica.store().rows(), &before);
}

#[test]
fn an_abandoned_block_that_turns_up_is_merged_in_its_place_when_heights_stay() {
    let old = put_block(&[], 1, "k", "old");
    let lost = block(&[Cid::of(&old)], 2, &[("k", "lost"), ("gone", "v")], &[("k", Cid::of(&old))]);
    let child = block(&[Cid::of(&lost)], 3, &[("k", "child")], &[("gone", Cid::of(&lost))]);
    let mut node = given(&[&old, &child]);
    node.abandon(Cid::of(&lost)).unwrap();
    assert_eq!(node.heads().len(), 2, "what the lost block covers is not known");
    assert_eq!(node.replica.stats().early_tombstones, 1, "a tombstone for it waits");
    let commits = node.ops().commits;
    node.receive(&lost);
    assert!(node.ops().commits - commits <= 2 && node.replica.task().is_none(), "no rebuild");
    let all = world([&old, &lost, &child]);
    check::is_fold_with(&node, &all, &Facts::default(), "it came back");
    check_counts(&node, "it came back");
    assert_eq!((node.get("k"), node.get("gone")), (Some("child".into()), None));
}

#[test]
fn an_abandoned_block_that_turns_up_and_changes_heights_has_all_merged_anew() {
    let roots = blocks::chain(6, |n| (format!("r{n}"), "v".into()));
    let lost = put_block(&[Cid::of(&roots[5])], 7, "k", "lost");
    // It understates: over the lost block it is higher than it says.
    let child = put_block(&[Cid::of(&lost)], 3, "k", "child");
    let rival = put_block(&[Cid::of(&child)], 9, "x", "over the child");
    let mut blocks: Vec<&Bytes> = roots.iter().collect();
    blocks.extend([&child, &rival]);
    let mut node = given(&blocks);
    node.abandon(Cid::of(&lost)).unwrap();
    assert_eq!(node.replica.stats().height_max, 6);
    node.put("k2", "acknowledged");
    let own = *node.world().iter().find(|(_, bytes)| Block::decode(bytes).links.contains(&Cid::of(&rival))).unwrap().0;
    let mut all = world(blocks.into_iter().chain([&lost]));
    all.insert(own, node.bytes(&own));
    node.receive(&lost);
    assert_eq!(node.finished.last().unwrap().0, None, "a rebuild by itself: {:?}", node.finished);
    check::is_fold_with(&node, &all, &Facts::default(), "it came back");
    assert_eq!(node.get("k2"), Some("acknowledged".into()));
}

#[test]
fn an_abandoned_block_that_turns_up_waits_for_its_parents_and_nobody_waits_for_it() {
    let root = put_block(&[], 1, "r", "v");
    let lost = put_block(&[Cid::of(&root)], 2, "k", "lost");
    let child = put_block(&[Cid::of(&lost)], 3, "k", "child");
    for dropped in [false, true] {
        let config = Config { pending_bytes_max: if dropped { 1 } else { 1 << 20 }, ..Config::default() };
        let mut node = Node::with(config);
        node.receive(&child);
        node.pull(&World::new());
        assert_eq!(node.replica.stats().pending_bytes == 0, dropped);
        node.abandon(Cid::of(&lost)).unwrap();
        node.pull(&world([&child]));
        node.receive(&child);
        assert_eq!(node.get("k"), Some("child".into()), "dropped: {dropped}");
        node.receive(&lost);
        assert_eq!((node.get("k"), node.replica.stats().obligations), (Some("child".into()), 2));
        check_counts(&node, "it waits");
        let mut node = node.crash();
        node.rebuild();
        assert_eq!(node.get("k"), Some("child".into()));
        let all = world([&root, &lost, &child]);
        // An abandoned block whose body was dropped is asked for by nobody: it turns up again.
        node.receive(&lost);
        node.settle(&all);
        check::is_fold_with(&node, &all, &Facts::default(), "all came");
        check_counts(&node, "all came");
    }
}

#[test]
fn who_announces_an_abandoned_block_is_asked_for_it() {
    let lost = put_block(&[], 1, "k", "lost");
    let child = put_block(&[Cid::of(&lost)], 2, "k", "child");
    let mut node = given(&[&child]);
    node.abandon(Cid::of(&lost)).unwrap();
    node.fetches.clear();
    node.hear(3, &[Cid::of(&lost)]);
    assert_eq!(node.fetches.len(), 1);
    let all = world([&lost, &child]);
    node.pull(&all);
    check::is_fold_with(&node, &all, &Facts::default(), "it came back");
}

#[test]
fn a_void_block_that_was_given_up_passes_headship_on_when_it_turns_up() {
    let head = block_in("n", &[], 1, &[("k", "1")], &[]);
    let void = void_block(&[Cid::of(&head)], 1);
    let child = block_in("n", &[Cid::of(&void)], 3, &[("k", "2")], &[]);
    let mut node = given(&[&head, &child]);
    node.abandon(Cid::of(&void)).unwrap();
    assert_eq!(node.heads().len(), 2);
    node.receive(&void);
    let all = world([&head, &void, &child]);
    check::is_fold_with(&node, &all, &Facts::default(), "it came back");
    assert_eq!(node.heads(), [("n".to_owned(), Cid::of(&child))].into());
}
