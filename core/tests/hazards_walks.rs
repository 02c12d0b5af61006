//! The faults of go-ds-crdt in walks, crashes and heads, one test each, with the blocks on which
//! they were seen: 6 to 9, 12, 15, 17, 21, 22 of the list of faults that the project keeps.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{Batch, Bytes, Cid, Config, Error, Event, Input, MergeAll, Peer, Timer};
use std::collections::BTreeSet;
use support::{Disk, Node, World, blocks, check, fold, hex, node::Missing};

const CHAIN: [&str; 6] = [
    "0a0d0a090a032f6b301a0276301801",
    "122a0a2401701220f09930e7a0aa26a065322b334e6f591cee341808a5040478446998355ebb24b8120018000a0d0a090a032f6b311a0276311802",
    "122a0a2401701220428b5101b1777728b881f99ba41ec9c4222b818eaacf7887f8171a9a9d35e92c120018000a0d0a090a032f6b321a0276321803",
    "122a0a24017012201922863752389031d2aeab1443a8484ca21e48bdc28be4fd898dded17f6abfd6120018000a0d0a090a032f6b331a0276331804",
    "122a0a24017012207cd5ccdd277693421a2e45645267caf65a512546b7e6c679da544013cf981585120018000a0d0a090a032f6b341a0276341805",
    "122a0a24017012206b02c4925515519276fae2ea00e3324afb821e6fad443cf36cf8f867e5f964c0120018000a0d0a090a032f6b351a0276351806",
];

/// c0 to c4, roots first.
fn chain() -> Vec<Bytes> {
    CHAIN[..5].iter().map(|block| hex(block)).collect()
}

/// The CIDs that the walk leaves: all of c0 to c4.
fn all_of(world: &World) -> BTreeSet<Cid> {
    world.keys().copied().collect()
}

#[test]
fn the_chain_is_the_one_that_go_made() {
    let chain: Vec<Bytes> = CHAIN.iter().map(|block| hex(block)).collect();
    assert_eq!(Cid::of(&chain[0]).to_string(), "bafybeihqteyopifke2qgkmrlgnhg6wi45y2bqcffaqchqrdjta2v5ozexa");
    assert_eq!(Cid::of(&chain[4]).to_string(), "bafybeidlalcjevivkgjhn6xc5iaogmsk7obb435niq6pg3hy7bt6l6leya");
    let state = [("/k0", "v0"), ("/k1", "v1"), ("/k2", "v2"), ("/k3", "v3"), ("/k4", "v4"), ("/k5", "v5")];
    check::every_order(&chain, &state);
}

#[test]
fn hazard_06_a_crash_at_any_write_of_the_walk_loses_nothing() {
    let chain = chain();
    let world = blocks::world(&chain);
    let mut node = Node::new();
    node.receive(&chain[0]);
    node.replica.store().record();
    node.hear(1, &[Cid::of(&chain[4])]);
    node.pull(&world);
    let recorded = node.replica.store().recorded();
    assert!(recorded.len() > 4, "each block of the walk is written by itself");
    for (at, rows) in recorded.into_iter().enumerate().skip(1) {
        // After the first write c4's bytes are here: an obligation, whatever happens then.
        let mut node = Node::open(Disk::holding(rows), Config::default(), MergeAll);
        let done = node.merged() == all_of(&world);
        assert_eq!(node.replica.is_behind(), !done, "never says clean when it is not, write {at}");
        node.settle(&world);
        check::is_fold(&node, &fold(&world), &format!("start-up alone, crash after write {at}"));
        node.hear(1, &[Cid::of(&chain[4])]);
        node.settle(&world);
        check::is_fold(&node, &fold(&world), &format!("redelivery, crash after write {at}"));
    }
}

#[test]
fn hazard_06_a_failed_fetch_in_the_walk_loses_nothing() {
    let chain = chain();
    let world = blocks::world(&chain);
    for failures in 1..=20 {
        let mut node = Node::new();
        node.receive(&chain[0]);
        node.hear(1, &[Cid::of(&chain[4])]);
        node.round(&world, Missing::Fails);
        node.round(&world, Missing::Fails);
        let mut failed = 0;
        while failed < failures {
            for fetch in core::mem::take(&mut node.fetches) {
                assert_eq!(fetch.cid, Cid::of(&chain[2]));
                node.fail(fetch);
                failed += 1;
            }
            assert!(node.replica.is_behind(), "c2 is owed however often it fails");
            if node.fetches.is_empty() {
                node.fire(Timer::Fetch);
            }
        }
        node.settle(&world);
        check::is_fold(&node, &fold(&world), &format!("after {failures} failures"));
    }
}

#[test]
fn hazard_07_a_fresh_replica_stopped_in_the_walk_and_reopened_has_all_and_writes_on_top() {
    let chain = chain();
    let world = blocks::world(&chain);
    let mut node = Node::new();
    node.replica.store().record();
    node.hear(1, &[Cid::of(&chain[4])]);
    node.pull(&world);
    for (at, rows) in node.replica.store().recorded().into_iter().enumerate().skip(1) {
        let mut node = Node::open(Disk::holding(rows), Config::default(), MergeAll);
        let put = node.put("mine", "1");
        node.settle(&world);
        let mut all = world.clone();
        all.insert(put, node.bytes(&put));
        check::is_fold(&node, &fold(&all), &format!("crash after write {at}"));
    }
}

#[test]
fn hazard_08_a_put_is_absent_after_a_crash_or_a_head_that_is_announced_and_linked() {
    let mut node = Node::new();
    node.receive(&hex(CHAIN[0]));
    let record = |node: &mut Node, put: &dyn Fn(&mut Node)| {
        node.replica.store().record();
        put(node);
        node.replica.store().recorded()
    };
    let one = record(&mut node, &|node| {
        node.put("k", "v");
    });
    assert_eq!(one.len(), 2, "a put is one write of the store");
    for (at, rows) in one.into_iter().enumerate() {
        let mut node = Node::open(Disk::holding(rows), Config::default(), MergeAll);
        if at == 0 {
            assert_eq!((node.get("k"), node.merged().len()), (None, 1));
            continue;
        }
        assert_eq!(node.get("k"), Some("v".into()));
        let [(_, head)] = node.heads().into_iter().collect::<Vec<_>>()[..] else { panic!("one head") };
        node.fire(Timer::Rebroadcast);
        assert!(node.announced().concat().contains(&head), "announced after reopening");
        let next = node.put("k2", "v2");
        let next = node.bytes(&next);
        assert_eq!(anabranch_core::wire::Block::decode(&next).links, [head], "linked by the next put");
    }
}

#[test]
fn hazard_08_an_acknowledgement_waits_for_the_sync() {
    let mut node = Node::new();
    let token = node.token();
    let batch = Batch::new().put("k", "v");
    let _ = node.try_step(Input::Commit { token, batch }).unwrap();
    assert!(node.outcomes.is_empty() && node.sent.is_empty(), "neither acknowledged nor announced");
    node.run().unwrap();
    assert!(node.outcomes[&token].is_ok());
    assert_eq!(node.announced().concat(), node.heads().into_iter().map(|(_, cid)| cid).collect::<Vec<_>>());
}

#[test]
fn hazard_08b_a_put_whose_write_fails_is_an_error_and_absent() {
    let mut node = Node::new();
    node.put("before", "1");
    node.replica.store().fail_commits_after(0);
    let token = node.token();
    let batch = Batch::new().put("k", "v");
    let failed = node.try_input(Input::Commit { token, batch: batch.clone() });
    assert!(matches!(failed, Err(Error::Store(_))), "{failed:?}");
    assert!(node.outcomes.is_empty());
    node.replica.store().mend();
    let again = node.try_input(Input::Commit { token, batch });
    assert_eq!(again, Err(Error::Stopped), "a replica whose store failed stays stopped");
    let mut node = node.crash();
    assert_eq!((node.get("k"), node.get("before")), (None, Some("1".into())));
    node.put("k", "new");
    assert_eq!(node.get("k"), Some("new".into()));
}

#[test]
fn hazard_08b_a_put_whose_sync_fails_is_absent_or_present_and_announced() {
    let mut node = Node::new();
    node.put("before", "1");
    let before = node.replica.store().rows().clone();
    node.sent.clear();
    node.replica.store().fail_syncs();
    let token = node.token();
    let failed = node.try_input(Input::Commit { token, batch: Batch::new().put("k", "v") });
    assert!(matches!(failed, Err(Error::SyncFailed(_))), "{failed:?}");
    assert!(node.outcomes.is_empty() && node.sent.is_empty(), "nothing was promised");
    assert!(matches!(node.try_step(Input::Continue), Err(Error::Stopped)));
    assert_eq!(node.replica.sync(), Err(Error::Stopped));
    let lost = Node::open(Disk::holding(before), Config::default(), MergeAll);
    assert_eq!(lost.get("k"), None);
    let mut kept = node.crash();
    assert_eq!(kept.get("k"), Some("v".into()));
    let heads: BTreeSet<Cid> = kept.heads().into_iter().map(|(_, cid)| cid).collect();
    kept.fire(Timer::Rebroadcast);
    assert_eq!(kept.announced().into_iter().flatten().collect::<BTreeSet<_>>(), heads);
}

const BAD_9: &str =
    "122a0a2401701220428b5101b1777728b881f99ba41ec9c4222b818eaacf7887f8171a9a9d35e92c120018000a03ffffff";
const C3_9: &str = "122a0a2401701220d94843837f6aec095cf7b851180567a79df7f3acce48c100960fb4c8219e5eb4120018000a0d0a090a032f6b331a0276331804";
const Z_9: &str = "122a0a2401701220428b5101b1777728b881f99ba41ec9c4222b818eaacf7887f8171a9a9d35e92c120018000a0b0a070a022f7a1a01311807";

#[test]
fn hazard_09_a_block_that_does_not_decode_is_empty_and_stops_nothing() {
    let state = [("/k0", "v0"), ("/k1", "v1"), ("/k3", "v3"), ("/z", "1")];
    let node = check::every_order_hex(&[CHAIN[0], CHAIN[1], BAD_9, C3_9, Z_9], &state);
    assert_eq!(node.replica.stats().void, 1);
    let heads: BTreeSet<Cid> = node.heads().into_iter().map(|(_, cid)| cid).collect();
    assert_eq!(heads, [C3_9, Z_9].map(|block| Cid::of(&hex(block))).into());
}

#[test]
fn hazard_09_beside_a_bad_head_the_good_ones_are_merged() {
    let [c0, c1, bad, c3, z] = [CHAIN[0], CHAIN[1], BAD_9, C3_9, Z_9].map(hex);
    let world = blocks::world([&c0, &c1, &bad, &c3, &z]);
    for heads in [[&bad, &z], [&z, &bad]] {
        let mut node = Node::new();
        node.hear(1, &heads.map(|block| Cid::of(block)));
        node.pull(&world);
        // Nothing good builds upon the bad block: it is left alone.
        check::is_fold(&node, &fold(&blocks::world([&c0, &c1, &z])), "bad beside good");
        assert!(node.events.contains(&Event::VoidRumour { cid: Cid::of(&bad) }));
        let node = &mut node.crash();
        node.put("mine", "1");
        let heads: Vec<_> = node.heads().into_iter().collect();
        assert_eq!(heads.len(), 1, "the put links to Z alone: {heads:?}");
        // An honest peer builds upon it: then it is merged, void.
        node.hear(2, &[Cid::of(&c3)]);
        node.settle(&world);
        assert_eq!((node.get("k3"), node.replica.stats().void), (Some("v3".into()), 1));
        assert!(!node.heads().contains(&(String::new(), Cid::of(&bad))));
    }
}

#[test]
fn hazard_12_a_failed_batch_is_gone() {
    let mut node = Node::new();
    node.replica.store().fail_commits_after(0);
    let token = node.token();
    let failed = node.try_input(Input::Commit { token, batch: Batch::new().put("k", "old") });
    assert!(matches!(failed, Err(Error::Store(_))), "{failed:?}");
    let mut node = node.crash();
    assert_eq!((node.get("k"), node.heads().len()), (None, 0));
    node.put("k", "new");
    node.put("other", "1");
    assert_eq!(node.get("k"), Some("new".into()));
    assert_eq!(node.replica.stats().merged, 2);
}

#[test]
fn hazard_15_a_chain_takes_one_round_trip_a_block_and_no_more() {
    let chain = blocks::chain(100, |n| (n.to_string(), "v".into()));
    let mut node = Node::new();
    node.hear(1, &[Cid::of(&chain[99])]);
    assert_eq!(node.pull(&blocks::world(&chain)), 100);
    assert_eq!(node.merged().len(), 100);
}

#[test]
fn hazard_15_a_fan_is_fetched_side_by_side() {
    let roots: Vec<Bytes> = (0..100).map(|n| blocks::put_block(&[], 1, &n.to_string(), "v")).collect();
    let links: Vec<Cid> = roots.iter().map(|root| Cid::of(root)).collect();
    let head = blocks::put_block(&links, 2, "head", "v");
    let mut node = Node::new();
    node.hear(1, &[Cid::of(&head)]);
    // One peer is asked for 32 blocks at once: the head, then 100 roots in four round trips.
    assert!(node.pull(&blocks::world(roots.iter().chain([&head]))) <= 5);
    assert_eq!(node.merged().len(), 101);
}

#[test]
fn hazard_17_an_ancestor_of_a_head_never_stays_a_head() {
    let chain = chain();
    let world = blocks::world(&chain);
    let tip = BTreeSet::from([(String::new(), Cid::of(&chain[4]))]);
    let cids: Vec<Cid> = chain.iter().map(|block| Cid::of(block)).collect();
    type Way<'a> = (&'a str, &'a dyn Fn(&mut Node));
    let ways: [Way; 4] = [
        ("in one message with its descendant", &|node| node.hear(1, &[cids[2], cids[4], cids[0]])),
        ("from a peer of its own, at the same time", &|node| {
            node.hear(1, &[cids[4]]);
            node.hear(2, &[cids[2]]);
        }),
        ("announced again after its descendant is merged", &|node| {
            node.hear(1, &[cids[4]]);
            node.pull(&world);
            node.hear(2, &[cids[2]]);
        }),
        ("merged first, and sent again after", &|node| {
            node.hear(1, &[cids[2]]);
            node.pull(&world);
            node.hear(1, &[cids[4]]);
            node.pull(&world);
            node.receive(&chain[2]);
        }),
    ];
    for (what, way) in ways {
        let mut node = Node::new();
        way(&mut node);
        node.settle(&world);
        assert_eq!(node.heads(), tip, "{what}");
        let node = node.crash();
        assert_eq!(node.heads(), tip, "{what}, reopened");
    }
}

const X_21: &str = "122a0a24015512202cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824120018000a0b0a070a022f781a01311802";

#[test]
fn hazard_21_a_foreign_link_makes_a_block_void_and_stops_nothing() {
    let [x, c0] = [X_21, CHAIN[0]].map(hex);
    let child = blocks::put_block(&[Cid::of(&x)], 3, "child", "1");
    let world = blocks::world([&x, &c0, &child]);
    let mut node = Node::new();
    node.hear(1, &[Cid::of(&x), Cid::of(&c0)]);
    node.pull(&world);
    check::is_fold(&node, &fold(&blocks::world([&c0])), "X beside a good block");
    assert!(node.events.contains(&Event::VoidRumour { cid: Cid::of(&x) }));
    let node = check::every_order(&[x.clone(), c0, child.clone()], &[("/child", "1"), ("/k0", "v0")]);
    assert_eq!(node.replica.stats().void, 1);
    assert_eq!(fold(&world).merged[&Cid::of(&child)], 2, "a foreign link counts for no height");
}

#[test]
fn hazard_22_a_good_head_does_not_wait_for_one_that_nobody_serves() {
    let chain = chain();
    let world = blocks::world(&chain);
    for (ghost_from, good_from) in [(1, 2), (1, 1)] {
        let mut node = Node::new();
        node.hear(ghost_from, &[blocks::nobody_serves(0)]);
        node.hear(good_from, &[Cid::of(&chain[4])]);
        // No timer runs out: the good head takes its five round trips and no more.
        for _ in 0..5 {
            node.round(&world, Missing::Hangs);
        }
        check::is_fold(&node, &fold(&world), "a ghost hangs");
    }
    let mut node = Node::new();
    node.hear(1, &[blocks::nobody_serves(0), Cid::of(&chain[4])]);
    for _ in 0..5 {
        node.round(&world, Missing::Hangs);
    }
    check::is_fold(&node, &fold(&world), "a ghost in the same message hangs");
}

/// The same with answers that do not hash: the sender is told, the block is not.
#[test]
fn hazard_22_wrong_bytes_are_the_senders_failure() {
    let c0 = hex(CHAIN[0]);
    let mut node = Node::new();
    node.hear(1, &[Cid::of(&c0)]);
    node.hear(2, &[Cid::of(&c0)]);
    let fetch = node.fetches.remove(0);
    let asked = fetch.from.expect("someone announced it");
    node.answer(fetch, &hex(CHAIN[1]));
    assert!(node.events.contains(&Event::WrongBytes { from: asked, cid: Cid::of(&c0) }));
    let next = node.fetches.remove(0);
    assert_eq!(next.from, Some(if asked == Peer(1) { Peer(2) } else { Peer(1) }), "the next is asked at once");
    node.answer(next, &c0);
    assert_eq!(node.get("k0"), Some("v0".into()));
}
