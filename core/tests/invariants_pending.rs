//! Invariant 7: rumours and obligations. Each test is named after what it shows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{Bytes, Cid, Config, Event, Input, MergeAll, Peer, Timer, limits::PEERS_PER_WANT_MAX};
use std::{collections::BTreeSet, time::Duration};
use support::{
    Disk, Node, Rng, blocks,
    blocks::{nobody_serves, put_block, void_block, world},
    check, fold,
    node::Missing,
};

#[test]
fn invariant_07_a_chain_of_100_000_converges_with_room_for_1_000_bodies() {
    const BLOCKS: usize = 100_000;
    let chain = blocks::chain(BLOCKS, |n| (format!("k{:03}", n % 1_000), format!("{n:06}")));
    let body = chain[BLOCKS - 1].len() as u64;
    let room = 1_000 * body;
    let world = world(&chain);
    let mut node = Node::with(Config { pending_bytes_max: room, ..Config::default() });
    node.hear(1, &[Cid::of(&chain[BLOCKS - 1])]);
    let mut rounds = 0;
    while !node.fetches.is_empty() {
        node.round(&world, Missing::Fails);
        node.events.clear();
        rounds += 1;
        if rounds % 100 == 0 {
            let stats = node.replica.stats();
            assert!(stats.pending_bytes <= room, "{} bytes of bodies, room for {room}", stats.pending_bytes);
            assert!(stats.obligations > 0 && node.replica.is_behind());
        }
    }
    let stats = node.replica.stats();
    assert_eq!((stats.merged, stats.obligations, stats.pending_bytes), (BLOCKS as u64, 0, 0));
    assert_eq!(node.heads(), [(String::new(), Cid::of(&chain[BLOCKS - 1]))].into());
    assert_eq!(node.get("k999"), Some("099999".into()));
    let most = BLOCKS as u64 * 21 / 10;
    assert!(node.fetches_total <= most, "{} fetches for {BLOCKS} blocks", node.fetches_total);
}

#[test]
fn invariant_07_room_for_few_bodies_is_enough_for_any_shape() {
    // Three chains over one root, joined by one head; room for five bodies, and for none.
    let root = put_block(&[], 1, "root", "v");
    let mut all = vec![root.clone()];
    let mut tips = Vec::new();
    for arm in 0..3 {
        let mut below = Cid::of(&root);
        for height in 2..30 {
            let bytes = put_block(&[below], height, &format!("{arm}/{height}"), "v");
            below = Cid::of(&bytes);
            all.push(bytes);
        }
        tips.push(below);
    }
    all.push(put_block(&tips, 30, "top", "v"));
    let world = world(&all);
    for bodies in [0, 1, 5] {
        let config = Config { pending_bytes_max: bodies * root.len() as u64 * 2, ..Config::default() };
        let mut node = Node::with(config);
        node.hear(1, &[Cid::of(&all[all.len() - 1])]);
        node.settle(&world);
        check::is_fold(&node, &fold(&world), &format!("room for {bodies} bodies"));
    }
}

/// Announces ghosts, then an honest chain of five, and counts the round trips without any timer.
fn rounds_of_an_honest_head(ghosts: &[(u64, Vec<Cid>)], honest_from: u64, missing: Missing) -> usize {
    let chain = blocks::chain(5, |n| (n.to_string(), "v".into()));
    let world = world(&chain);
    let mut node = Node::new();
    for (peer, heads) in ghosts {
        node.hear(*peer, heads);
        assert!(node.replica.stats().fetches <= 256, "{:?}", node.replica.stats());
    }
    assert!(!node.replica.is_behind(), "rumours leave nobody behind");
    node.hear(honest_from, &[Cid::of(&chain[4])]);
    for rounds in 0..=20 {
        if node.merged().len() == 5 {
            return rounds;
        }
        node.round(&world, missing);
    }
    panic!("not merged after 20 round trips: {:?}", node.replica.stats());
}

fn ghosts(n: std::ops::Range<u64>) -> Vec<Cid> {
    n.map(nobody_serves).collect()
}

#[test]
fn invariant_07_ten_thousand_ghosts_delay_an_honest_head_by_one_round_trip_at_most() {
    let ten_peers: Vec<(u64, Vec<Cid>)> =
        (0..10).map(|peer| (peer, ghosts(peer * 1_000..(peer + 1) * 1_000))).collect();
    let in_many: Vec<(u64, Vec<Cid>)> = (0..1_000).map(|n| (0, ghosts(n * 10..(n + 1) * 10))).collect();
    let ten_in_many: Vec<(u64, Vec<Cid>)> = (0..1_000).map(|n| (n % 10, ghosts(n * 10..(n + 1) * 10))).collect();
    for (what, ghosts) in [
        ("one peer, one message", vec![(0, ghosts(0..10_000))]),
        ("one peer, many messages", in_many),
        ("ten peers, a message each", ten_peers),
        ("ten peers, many messages", ten_in_many),
    ] {
        for missing in [Missing::Hangs, Missing::Fails] {
            for (who, honest_from) in [("the same peer", 0), ("another peer", 77)] {
                let rounds = rounds_of_an_honest_head(&ghosts, honest_from, missing);
                assert!(rounds <= 5 + 1, "{what}, {missing:?}, honest head from {who}: {rounds} round trips for 5");
            }
        }
    }
}

#[test]
fn invariant_07_ghosts_that_come_after_an_honest_head_do_not_delay_it_either() {
    let chain = blocks::chain(20, |n| (n.to_string(), "v".into()));
    let world = world(&chain);
    for missing in [Missing::Hangs, Missing::Fails] {
        let mut node = Node::new();
        node.hear(0, &[Cid::of(&chain[19])]);
        for round in 0..21 {
            for peer in 0..10 {
                let first = (round * 10 + peer) * 100;
                node.hear(peer, &ghosts(first..first + 100));
            }
            node.round(&world, missing);
        }
        assert_eq!(node.merged().len(), 20, "{missing:?}");
    }
}

/// A head of so many parents, each a root that puts a key of its own; and the head itself, last.
fn fan(roots: u64) -> Vec<Bytes> {
    let mut all: Vec<Bytes> = (0..roots).map(|n| put_block(&[], 1, &format!("root {n}"), "v")).collect();
    let links: Vec<Cid> = all.iter().map(|bytes| Cid::of(bytes)).collect();
    all.push(put_block(&links, 2, "head", "v"));
    all
}

#[test]
fn invariant_07_more_obligations_than_memory_holds_are_all_fetched() {
    let all = fan(5_000);
    let world = world(&all);
    let mut node = Node::new();
    node.hear(1, &[Cid::of(&all[5_000])]);
    node.round(&world, Missing::Fails);
    assert_eq!(node.replica.stats().obligations, 5_001);
    for _ in 0..20 {
        node.round(&world, Missing::Fails);
    }
    let mut node = node.crash();
    node.settle(&world);
    assert_eq!((node.merged().len(), node.replica.stats().obligations), (5_001, 0));
}

#[test]
fn invariant_07_obligations_that_nobody_serves_delay_no_others() {
    // Good blocks that link to what does not exist: owed for ever, 3,000 of them.
    let traps: Vec<Bytes> =
        (0..3).map(|n| put_block(&ghosts(n * 1_000..(n + 1) * 1_000), 2, &format!("trap {n}"), "v")).collect();
    let chain = blocks::chain(5, |n| (n.to_string(), "v".into()));
    let world = world(traps.iter().chain(&chain));
    for missing in [Missing::Hangs, Missing::Fails] {
        for (who, announced_by) in [("another peer", &[2][..]), ("the same peer and then another", &[1, 2])] {
            let mut node = Node::new();
            for trap in &traps {
                node.hear(1, &[Cid::of(trap)]);
                node.round(&world, missing);
            }
            assert_eq!(node.replica.stats().obligations, 3_003);
            for peer in announced_by {
                node.hear(*peer, &[Cid::of(&chain[4])]);
                node.round(&world, missing);
            }
            for _ in 0..5 {
                node.round(&world, missing);
            }
            assert_eq!(node.merged().len(), 5, "{missing:?}, honest head from {who}");
            assert_eq!(node.replica.stats().obligations, 3_003, "none is dropped");
        }
    }
}

/// What nobody has for long is fetched when somebody has it again, also of obligations that only the store knows.
#[test]
fn invariant_07_obligations_that_come_back_are_fetched_though_others_never_do() {
    let mut all = fan(1_500);
    let head = all.pop().unwrap();
    let trap = put_block(&ghosts(0..1_500), 2, "trap", "v");
    let early = world([&head, &trap]);
    let mut node = Node::new();
    for bytes in [&trap, &head] {
        node.hear(1, &[Cid::of(bytes)]);
        node.round(&early, Missing::Fails);
    }
    for _ in 0..100 {
        node.pull(&early);
        node.fire(Timer::Fetch);
    }
    let late = world(all.iter().chain([&head, &trap]));
    for _ in 0..2_000 {
        node.pull(&late);
        if node.merged().len() == 1_501 {
            return;
        }
        node.fire(Timer::Fetch);
    }
    panic!("only {} of 1,501 merged: {:?}", node.merged().len(), node.replica.stats());
}

/// Every announcement wakes what pauses. With more of that than the window holds, each is asked for in its turn all the same.
#[test]
fn invariant_07_obligations_that_are_woken_all_the_time_starve_no_others() {
    let dead = ghosts(0..7);
    // They are woken in order of their CIDs: this one first, and so, if the newest went first, it would be the last.
    let mut roots = (0..1_000).map(|n| put_block(&[], 1, &n.to_string(), "v"));
    let root = roots.find(|root| dead.iter().all(|cid| Cid::of(root) < *cid)).unwrap();
    let block = |links: &[Cid], key: &str| put_block(links, 2, key, "v");
    let (trap, other, head) = (block(&dead[..6], "trap"), block(&dead[6..], "other"), block(&[Cid::of(&root)], "head"));
    let (early, late) = (world([&trap, &other, &head]), world([&trap, &other, &head, &root]));
    for missing in [Missing::Fails, Missing::Hangs] {
        let mut node = Node::with(Config { fetches_max: 1, fetches_per_peer_max: 1, ..Config::default() });
        for bytes in [&trap, &other, &head] {
            node.hear(1, &[Cid::of(bytes)]);
            node.round(&early, missing);
        }
        assert_eq!(node.replica.stats().obligations, 11);
        for _ in 0..20 {
            node.pull(&early);
            node.fire(Timer::Fetch);
        }
        let mut rounds = 0;
        while node.merged().len() < 2 {
            node.hear(1, &[Cid::of(&other)]);
            node.round(&late, missing);
            if missing == Missing::Hangs {
                node.fire(Timer::Fetch);
            }
            rounds += 1;
            assert!(rounds < 200, "{missing:?}: {:?}", node.replica.stats());
        }
    }
}

#[test]
fn invariant_07_rumours_are_at_most_1024_a_peer_and_obligations_stay() {
    let chain = blocks::chain(3, |n| (n.to_string(), "v".into()));
    let mut node = Node::new();
    node.receive(&chain[2]);
    assert_eq!(node.replica.stats().obligations, 2, "the head and the parent that it names");
    for peer in 0..5 {
        for message in 0..30 {
            let first = (peer * 30 + message) * 100;
            node.hear(peer, &ghosts(first..first + 100));
        }
        let stats = node.replica.stats();
        assert!(stats.rumours <= 1_024 * (peer as usize + 1), "{stats:?}");
        assert!(stats.rumours >= 1_000 * (peer as usize + 1), "{stats:?}");
        assert_eq!(stats.obligations, 2);
    }
    node.settle(&world(&chain));
    assert_eq!(node.merged().len(), 3);
}

/// What another peer announces too moves to that one's lane, and counts there.
#[test]
fn invariant_07_rumours_that_several_peers_announce_are_at_most_as_many_a_peer() {
    let mut node = Node::with(Config { rumours_per_peer_max: 8, fetches_max: 1, ..Config::default() });
    for round in 0..20 {
        let heads = ghosts(round * 8..(round + 1) * 8);
        for peer in [1, 2] {
            node.hear(peer, &heads);
            let rumours = node.replica.stats().rumours;
            assert!((8..=16).contains(&rumours), "{rumours} rumours of two peers that may have 8 each");
        }
    }
}

#[test]
fn invariant_07_parked_rumours_are_evicted_before_fresh_ones() {
    let good: Vec<Bytes> = (0..1_000).map(|n| put_block(&[], 1, &n.to_string(), "v")).collect();
    let mut node = Node::new();
    node.hear(1, &ghosts(0..900));
    fail_until_parked(&mut node);
    assert_eq!(node.replica.stats().rumours, 900, "parked, and remembered");
    assert_eq!(node.replica.stats().fetches, 0);
    // With 1,000 fresh ones there are 876 too many.
    let heads: Vec<Cid> = good.iter().map(|bytes| Cid::of(bytes)).collect();
    node.hear(1, &heads[..500]);
    node.hear(1, &heads[500..]);
    assert_eq!(node.replica.stats().rumours, 1_024);
    node.pull(&world(&good));
    assert_eq!(node.merged().len(), 1_000, "no fresh one was dropped");
}

/// Fails all fetches, and lets the fetch timer run out, until the replica asks for nothing more.
/// Returns whom it asked, in order.
fn fail_until_parked(node: &mut Node) -> Vec<Option<Peer>> {
    let mut asked = Vec::new();
    for _ in 0..1_000 {
        while let Some(fetch) = node.fetches.pop() {
            asked.push(fetch.from);
            node.fail(fetch);
        }
        if !node.timers.contains_key(&Timer::Fetch) {
            return asked;
        }
        node.fire(Timer::Fetch);
    }
    panic!("asked for ever");
}

#[test]
fn invariant_07_a_rumour_is_asked_of_those_who_announced_it_and_then_parked() {
    let ghost = nobody_serves(0);
    let mut node = Node::new();
    for peer in 1..=10 {
        node.hear(peer, &[ghost]);
    }
    let asked = fail_until_parked(&mut node);
    let distinct: BTreeSet<Peer> = asked.iter().flatten().copied().collect();
    assert_eq!(distinct.len(), PEERS_PER_WANT_MAX, "{asked:?}");
    // In turn: nobody is asked again before all were.
    let first: BTreeSet<Peer> = asked.iter().flatten().take(PEERS_PER_WANT_MAX).copied().collect();
    assert_eq!(first.len(), PEERS_PER_WANT_MAX, "{asked:?}");
    assert_eq!(node.events, [Event::Parked { cid: ghost, obligation: false }]);
    node.hear(3, &[ghost]);
    assert_eq!(node.fetches.len(), 1, "announced anew, asked for anew");
}

#[test]
fn invariant_07_a_parked_obligation_is_asked_for_again_after_growing_pauses() {
    let chain = blocks::chain(2, |n| (n.to_string(), "v".into()));
    let mut node = Node::new();
    node.hear(1, &[Cid::of(&chain[1])]);
    node.round(&world([&chain[1]]), Missing::Fails);
    let mut pauses = Vec::new();
    while pauses.len() < 12 {
        let fetch = node.fetches.pop().expect("the root is asked for");
        assert_eq!((fetch.cid, node.fetches.len()), (Cid::of(&chain[0]), 0));
        node.fail(fetch);
        let mut ticks = 0;
        while node.fetches.is_empty() {
            node.fire(Timer::Fetch);
            ticks += 1;
            assert!(ticks < 10_000, "never asked for again");
        }
        // Without a pause the next peer of the same round was asked.
        if ticks > 0 {
            pauses.push(ticks);
        }
    }
    assert!(node.events.contains(&Event::Parked { cid: Cid::of(&chain[0]), obligation: true }));
    assert!(pauses.is_sorted() && pauses[0] < pauses[11], "{pauses:?}");
    assert_eq!(pauses[10], pauses[11], "and grow up to a limit");
    node.settle(&world(&chain));
}

#[test]
fn invariant_07_an_unanswered_fetch_goes_to_the_next_peer_after_the_timeout_and_a_late_answer_counts() {
    let block = put_block(&[], 1, "k", "v");
    let config = Config::default();
    let tick = config.fetch_timeout / u32::from(config.fetch_timeout_ticks);
    let mut node = Node::with(config.clone());
    node.hear(1, &[Cid::of(&block)]);
    node.hear(2, &[Cid::of(&block)]);
    let first = node.fetches.pop().unwrap();
    let mut ticks = 0;
    while node.fetches.is_empty() {
        let after = &node.timers[&Timer::Fetch];
        assert!(*after.start() <= tick && tick <= *after.end() && *after.end() <= config.fetch_timeout, "{after:?}");
        node.fire(Timer::Fetch);
        ticks += 1;
    }
    let timeout = u32::from(config.fetch_timeout_ticks);
    assert!((timeout..=timeout + 1).contains(&ticks), "{ticks} ticks");
    let second = node.fetches.pop().unwrap();
    assert!(second.from != first.from && second.attempt != first.attempt, "{first:?} {second:?}");
    // The old attempt's failure says nothing new; its right bytes do.
    node.fail(first);
    assert_eq!(node.fetches, []);
    node.answer(first, &block);
    assert_eq!(node.get("k"), Some("v".into()));
    node.fail(second);
    node.answer(second, &block);
    assert_eq!((node.fetches.len(), node.merged().len()), (0, 1));
}

#[test]
fn invariant_07_the_fetch_timer_rests_when_nothing_is_wanted() {
    let chain = blocks::chain(5, |n| (n.to_string(), "v".into()));
    let mut node = Node::new();
    node.hear(1, &[Cid::of(&chain[4])]);
    node.pull(&world(&chain));
    for _ in 0..10 {
        if !node.timers.contains_key(&Timer::Fetch) {
            return;
        }
        node.fire(Timer::Fetch);
    }
    panic!("the fetch timer runs for nothing");
}

/// Forks, joins and a void block, received in random orders; the store is cut off at each write.
#[test]
fn invariant_07_a_crash_at_any_write_loses_no_obligation() {
    let mut below = vec![put_block(&[], 1, "0", "v")];
    for height in 2..8 {
        let parents = [Cid::of(&below[below.len() - 1]), Cid::of(&below[below.len() / 2])];
        below.push(put_block(&parents, height, &height.to_string(), "v"));
    }
    let void = void_block(&[Cid::of(&below[6]), Cid::of(&below[3])], 0);
    let top = put_block(&[Cid::of(&void)], 9, "top", "v");
    let all: Vec<Bytes> = below.into_iter().chain([void.clone(), top]).collect();
    let world = world(&all);
    for (seed, room) in (0..40).zip([u64::MAX, 300].into_iter().cycle()) {
        let mut rng = Rng::new(seed);
        let config = Config { pending_bytes_max: room, step_bytes_max: 1, ..Config::default() };
        let mut node = Node::with(config.clone());
        node.replica.store().record();
        // What has come whole before each write.
        let mut owed: Vec<(usize, Vec<Cid>)> = Vec::new();
        let mut came = Vec::new();
        for _ in 0..6 {
            let bytes = &all[rng.below(all.len())];
            node.receive(bytes);
            if *bytes != void {
                came.push(Cid::of(bytes));
            }
            owed.push((node.replica.store().recorded().len(), came.clone()));
        }
        for (write, rows) in node.replica.store().recorded().into_iter().enumerate() {
            let mut node = Node::open(Disk::holding(rows), config.clone(), MergeAll);
            check::ancestors_are_merged(&node);
            node.settle(&world);
            check::is_fold_of_merged(&node);
            let came = owed.iter().rev().find(|(writes, _)| *writes <= write + 1).map_or(&[][..], |(_, came)| came);
            let merged = node.merged();
            assert!(came.iter().all(|cid| merged.contains(cid)), "seed {seed}, write {write}: {came:?}, {merged:?}");
        }
    }
}

#[test]
fn invariant_07_is_behind_counts_obligations_only() {
    let chain = blocks::chain(2, |n| (n.to_string(), "v".into()));
    let mut node = Node::new();
    node.hear(1, &[Cid::of(&chain[1])]);
    assert!(!node.replica.is_behind(), "announced is not yet owed");
    node.round(&world(&chain), Missing::Fails);
    assert!(node.replica.is_behind(), "its bytes have come");
    let node = &mut node.crash();
    assert!(node.replica.is_behind(), "durable");
    assert_eq!(node.replica.stats().obligations, 2);
    assert_eq!(node.fetches.len(), 1, "and fetched again at once");
    node.pull(&world(&chain));
    assert!(!node.replica.is_behind());
}

#[test]
fn invariant_07_fetches_in_flight_are_limited() {
    let config = Config { fetches_max: 10, fetches_per_peer_max: 4, ..Config::default() };
    let good: Vec<Bytes> = (0..60).map(|n| put_block(&[], 1, &n.to_string(), "v")).collect();
    let heads: Vec<Cid> = good.iter().map(|bytes| Cid::of(bytes)).collect();
    let mut node = Node::with(config);
    let mut rng = Rng::new(1);
    for peer in 0..6 {
        node.hear(peer, &heads[peer as usize * 10..][..10]);
        assert!(node.replica.stats().fetches <= 10, "{:?}", node.replica.stats());
        // What one message brings stays within the peer's window, beside what a newer head displaces.
        assert!(node.fetches.iter().filter(|fetch| fetch.from == Some(Peer(peer))).count() <= 4 + 1);
    }
    while !node.fetches.is_empty() {
        let fetch = node.fetches.swap_remove(rng.below(node.fetches.len()));
        let bytes = &good[heads.iter().position(|head| *head == fetch.cid).unwrap()];
        node.answer(fetch, bytes);
        assert!(node.replica.stats().fetches <= 10, "{:?}", node.replica.stats());
    }
    assert_eq!(node.merged().len(), 60);
    assert!(node.fetches_total <= 70, "a displaced fetch is still good: {} for 60 blocks", node.fetches_total);
}

#[test]
fn invariant_07_opening_sets_timers_anew_and_forgets_rumours() {
    let mut node = Node::new();
    node.hear(1, &ghosts(0..10));
    let node = node.crash();
    assert_eq!((node.replica.stats().rumours, node.fetches.len()), (0, 0));
    let after = &node.timers[&Timer::Rebroadcast];
    assert!(*after.start() < Duration::from_secs(60) && Duration::from_secs(60) < *after.end(), "{after:?}");
}

/// A peer may answer what another was asked for, or send what nobody asked for.
#[test]
fn invariant_07_an_unasked_block_is_an_announcement_and_its_answer() {
    let chain = blocks::chain(3, |n| (n.to_string(), "v".into()));
    let mut node = Node::new();
    let (cid, bytes) = (Cid::of(&chain[2]), chain[2].clone());
    node.input(Input::Block { from: Peer(5), cid, bytes, attempt: 12_345 });
    assert!(node.replica.is_behind(), "an obligation at once");
    assert_eq!(node.fetches.iter().map(|fetch| fetch.from).collect::<Vec<_>>(), [Some(Peer(5))]);
    // The middle comes unasked while it is asked for; then the late answer changes nothing.
    let late = node.fetches[0];
    node.receive(&chain[1]);
    node.answer(late, &chain[1]);
    node.settle(&world(&chain));
    check::is_fold(&node, &fold(&world(&chain)), "all came");
}

/// Two writers may make the same block. Ours may be the one that others wait for.
#[test]
fn invariant_07_a_put_that_makes_a_wanted_block_meets_the_obligation() {
    let chain = blocks::chain(3, |n| (n.to_string(), "v".into()));
    let mut node = Node::new();
    node.receive(&chain[2]);
    node.pull(&world(&chain[1..]));
    assert_eq!(node.put("0", "v"), Cid::of(&chain[0]));
    node.settle(&world(&chain));
    check::is_fold(&node, &fold(&world(&chain)), "the root was made here");
    // The same where its body was dropped for want of room and is fetched again.
    let mut node = Node::with(Config { pending_bytes_max: 0, ..Config::default() });
    node.receive(&chain[2]);
    node.receive(&chain[1]);
    assert_eq!(node.put("0", "v"), Cid::of(&chain[0]));
    assert_eq!(node.put("1", "v"), Cid::of(&chain[1]));
    node.settle(&world(&chain));
    check::is_fold(&node, &fold(&world(&chain)), "root and middle were made here");
}
