//! A review's tests: inputs chosen to break the bookkeeping of the core.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Batch, Bytes, Cid, Config, DagName, Input, Key, MergeAll, Peer, Progress, Replica, Timer, Validator, Verdict,
    store::{MemoryStore, Table},
    wire::{Block, Delta, Element, Tombstone},
};
use std::time::Duration;
use support::{
    Disk, Node, Rng, World,
    blocks::{self, announcement, block_in, nobody_serves, put_block, raw_block, void_block, world},
    check,
    fold::{fold, fold_judged},
    recount::{check_counts, table},
};

// ---- random worlds

#[derive(Clone, Copy, Debug)]
struct NoVoidKeys;

impl Validator for NoVoidKeys {
    fn judge(&self, block: &Block) -> Verdict {
        let delta = block.delta.as_ref().expect("only good blocks are judged");
        let refused = delta.elements.iter().any(|element| element.key.as_bytes().starts_with(b"/void"));
        if refused { Verdict::Void } else { Verdict::Merge }
    }
}

const KEYS: [&str; 4] = ["/a", "/b", "/a\0", "/"];

fn value(rng: &mut Rng) -> Bytes {
    let long = "x".repeat(64);
    match rng.below(7) {
        0 => Bytes::new(),
        1 => long.into(),
        2 => (long.clone() + "a").into(),
        3 => (long.clone() + "b").into(),
        4 => (long + &"b".repeat(rng.below(100))).into(),
        n => format!("{n}{}", rng.below(3)).into(),
    }
}

fn some_cid(rng: &mut Rng, made: &[Cid]) -> Cid {
    if made.is_empty() || rng.once_in(12) { nobody_serves(rng.next() % 5) } else { made[rng.below(made.len())] }
}

fn random_block(rng: &mut Rng, made: &[Cid], n: usize) -> Bytes {
    let mut links: Vec<Cid> = Vec::new();
    // Deep, wide, or anything.
    let most = [0, 1, 1, 1, 2, 3, 8][rng.below(7)];
    for _ in 0..most {
        if !made.is_empty() {
            let near = made.len() - 1 - rng.below(made.len().min(4));
            links.push(made[if rng.once_in(3) { rng.below(made.len()) } else { near }]);
        }
    }
    links.sort_unstable();
    links.dedup();
    match rng.below(14) {
        0 | 1 => return void_block(&links, n as u8),
        2 => {
            let cids: Vec<[u8; 36]> = links.iter().map(Cid::to_bytes).collect();
            let mut raw: Vec<&[u8]> = cids.iter().map(|cid| cid.as_slice()).collect();
            raw.push(b"foreign");
            return raw_block(&raw, Some(&[]));
        }
        _ => {}
    }
    let mut elements: Vec<Element> =
        (0..rng.below(3)).map(|_| Element { key: Key::new(KEYS[rng.below(KEYS.len())]), value: value(rng) }).collect();
    if rng.once_in(12) {
        elements.push(Element { key: Key::new(format!("/void{n}")), value: Bytes::new() });
    }
    let tombstones = (0..[0, 0, 0, 1, 2, 6][rng.below(6)])
        .map(|_| Tombstone { key: Key::new(KEYS[rng.below(KEYS.len())]), target: some_cid(rng, made) })
        .collect();
    let priority = [n as u64, 1, 0, u64::MAX, (1 << 62) - 2][if rng.once_in(2) { 1 } else { rng.below(5) }];
    let dag = DagName::new(["", "", "", "n", "n\0", "\0"][rng.below(6)]);
    Block::encode(&links, &Delta { elements, tombstones, priority, dag })
}

/// Blocks of which some were made by a replica that writes as the tested one does, so that both may make the same.
fn random_world(rng: &mut Rng, len: usize) -> (World, Vec<Cid>) {
    let mut world = World::new();
    let mut made: Vec<Cid> = Vec::new();
    let mut twin = Node::new();
    for n in 0..len {
        if rng.once_in(4) {
            for cid in twin.commit(local_batch(rng)) {
                world.insert(cid, twin.bytes(&cid));
                made.push(cid);
            }
            continue;
        }
        let bytes = random_block(rng, &made, n);
        made.push(Cid::of(&bytes));
        if rng.once_in(5) {
            twin.receive(&bytes);
        }
        world.insert(Cid::of(&bytes), bytes);
    }
    (world, made)
}

fn local_batch(rng: &mut Rng) -> Batch {
    let mut batch = Batch::for_dag(DagName::new(["", "", "n"][rng.below(3)]));
    for _ in 0..=rng.below(2) {
        let key = KEYS[rng.below(2)];
        batch = if rng.once_in(3) { batch.delete(key) } else { batch.put(key, ["1", ""][rng.below(2)]) };
    }
    batch
}

fn random_config(rng: &mut Rng) -> Config {
    Config {
        pending_bytes_max: [0, 100, 400, 1_000, 1 << 26][rng.below(5)],
        step_bytes_max: [1, 1, 200, 1 << 20][rng.below(4)],
        fetches_max: [1, 3, 256][rng.below(3)],
        fetches_per_peer_max: [1, 2, 32][rng.below(3)],
        rumours_per_peer_max: [1, 2, 5, 1_024][rng.below(4)],
        fetch_timeout_ticks: [0, 1, 4][rng.below(3)],
        ..Config::default()
    }
}

fn random_step(rng: &mut Rng, node: &mut Node<NoVoidKeys>, world: &World, made: &[Cid], commits: bool) {
    let peer = Peer(rng.next() % 4);
    let input = match rng.below(20) {
        0..=2 => {
            let cid = made[rng.below(made.len())];
            Input::Block { from: peer, cid, bytes: world[&cid].clone(), attempt: 0 }
        }
        3 => {
            let bytes = Bytes::from_static(b"wrong");
            Input::Block { from: peer, cid: some_cid(rng, made), bytes, attempt: rng.below(3) as u32 }
        }
        4..=6 => {
            let heads: Vec<Cid> = (0..=rng.below(4)).map(|_| some_cid(rng, made)).collect();
            Input::Broadcast { from: peer, payload: announcement(&heads) }
        }
        7 if commits => Input::Commit { token: node.token(), batch: local_batch(rng) },
        8 => Input::Timer([Timer::Rebroadcast, Timer::Answer, Timer::Fetch][rng.below(3).max(rng.below(3))]),
        9 => Input::Continue,
        _ if !node.fetches.is_empty() => {
            let fetch = node.fetches.swap_remove(rng.below(node.fetches.len()));
            match world.get(&fetch.cid).filter(|_| !rng.once_in(6)) {
                Some(bytes) => {
                    Input::Block { from: peer, cid: fetch.cid, bytes: bytes.clone(), attempt: fetch.attempt }
                }
                None if rng.once_in(3) => return,
                None => Input::FetchFailed { cid: fetch.cid, attempt: fetch.attempt },
            }
        }
        _ => Input::Continue,
    };
    if let Input::Timer(timer) = &input
        && node.timers.remove(timer).is_none()
    {
        return;
    }
    let _ = node.try_step(input).expect("no input is an error");
    if rng.once_in(3) {
        node.sync().expect("the store syncs");
    }
}

fn stress(seed: u64, commits: bool) -> u64 {
    let mut rng = Rng::new(seed);
    let len = 5 + rng.below(40);
    let (world, made) = random_world(&mut rng, len);
    let config = random_config(&mut rng);
    let mut node = Node::open(Disk::new(), config, NoVoidKeys);
    let steps = 40 + 4 * made.len();
    for at in 0..steps {
        random_step(&mut rng, &mut node, &world, &made, commits);
        check_counts(&node, &format!("seed {seed}, step {at}"));
        if rng.once_in(40) {
            node = node.crash();
            check_counts(&node, &format!("seed {seed}, step {at}, reopened"));
        }
    }
    // All blocks come at last, newest first, and nothing is lost.
    for cid in made.iter().rev() {
        node.receive(&world[cid]);
        check_counts(&node, &format!("seed {seed}, {cid} at the end"));
    }
    settle(&mut node, &world, seed);
    let everything: World = node.world().into_iter().chain(world).collect();
    let fold = fold_judged(&everything, &NoVoidKeys);
    assert_eq!(node.state(), fold.state, "state, seed {seed}");
    assert_eq!(node.heads(), fold.heads, "heads, seed {seed}");
    assert_eq!(node.merged(), fold.merged.keys().copied().collect(), "merged, seed {seed}");

    // The rows that mean the state are a function of the blocks: a fresh replica, another order.
    let mut other = Node::open(Disk::new(), Config::default(), NoVoidKeys);
    let mut order: Vec<&Bytes> = everything.values().collect();
    rng.shuffle(&mut order);
    order.iter().for_each(|bytes| other.receive(bytes));
    settle(&mut other, &everything, seed);
    for same in [Table::Keys, Table::Versions, Table::Heads, Table::Early, Table::Blocks] {
        let rows = |node: &Node<NoVoidKeys>| table(node.replica.store().rows(), same);
        assert_eq!(rows(&node), rows(&other), "{same:?}, seed {seed}");
    }
    steps as u64
}

/// Fetches are answered until nothing can be merged any more that the world holds.
fn settle(node: &mut Node<NoVoidKeys>, world: &World, seed: u64) {
    for _ in 0..300 {
        node.run().expect("the store does not fail");
        node.pull(world);
        check_counts(node, &format!("seed {seed}, settling"));
        if !node.replica.is_behind() {
            return;
        }
        if node.timers.contains_key(&Timer::Fetch) {
            node.fire(Timer::Fetch);
        }
    }
    panic!("seed {seed}: still behind, {:?}", node.replica.stats());
}

#[test]
fn review_counts_are_those_of_the_rows_after_each_step() {
    let steps: u64 = (0..250).map(|seed| stress(seed, false)).sum();
    assert!(steps > 20_000, "{steps} steps");
}

#[test]
fn review_counts_are_those_of_the_rows_with_local_commits() {
    let steps: u64 = (1_000..1_250).map(|seed| stress(seed, true)).sum();
    assert!(steps > 20_000, "{steps} steps");
}

// ---- found by reading

/// Two replicas that write the same to the same heads make one block. It may be an obligation here when
/// the local commit makes it: wanted, or ready and not merged yet. Then nothing may be left to wait for it.
#[test]
fn review_a_commit_makes_the_block_that_a_pending_one_waits_for() {
    let first = put_block(&[], 1, "/k", "v");
    let second = put_block(&[Cid::of(&first)], 2, "/k", "w");
    let fold = fold(&world([&first, &second]));
    let mut node = Node::new();
    node.hear(1, &[Cid::of(&second)]);
    let fetch = node.fetches.remove(0);
    node.answer(fetch, &second);
    assert_eq!(node.put("k", "v"), Cid::of(&first));
    check_counts(&node, "after the commit");
    check::is_fold(&node, &fold, "a commit of what was wanted");

    // The same, where the block itself is ready and not merged: one of another DAG is merged before it.
    let others = (0..).map(|n| block_in("n", &[Cid::of(&first)], 2, &[("/a", &format!("{n}"))], &[]));
    let other = others.into_iter().find(|other| Cid::of(other) < Cid::of(&second)).unwrap();
    let third = put_block(&[Cid::of(&second)], 3, "/k", "y");
    let fold = support::fold(&world([&first, &other, &second, &third]));
    let mut node = Node::with(Config { step_bytes_max: 1, ..Config::default() });
    [&other, &second, &third].into_iter().for_each(|bytes| node.receive(bytes));
    let _ = node.try_step(Input::Block { from: Peer(1), cid: Cid::of(&first), bytes: first, attempt: 0 });
    assert_eq!((node.merged().len(), node.replica.progress()), (2, Progress::More));
    assert_eq!(node.put("k", "w"), Cid::of(&second));
    check_counts(&node, "after the commit");
    check::is_fold(&node, &fold, "a commit of what was ready");
}

/// A limit of no bytes a step still merges a block a step, else `Continue` is asked for without end.
#[test]
fn review_a_step_of_no_bytes_merges_something() {
    let chain = blocks::chain(4, |n| (n.to_string(), "v".into()));
    let mut node = Node::with(Config { step_bytes_max: 0, ..Config::default() });
    chain.iter().rev().for_each(|bytes| node.receive(bytes));
    assert_eq!(node.merged().len(), 4);
}

/// "Never" as an interval is a setting, not a panic.
#[test]
fn review_durations_do_not_overflow() {
    let never = Duration::MAX;
    let config = Config {
        rebroadcast_interval: never,
        rebroadcast_jitter_percent: 255,
        fetch_timeout: never,
        fetch_timeout_ticks: 1,
        ..Config::default()
    };
    let mut node = Node::with(config);
    node.hear(1, &[nobody_serves(0)]);
    assert_eq!(*node.timers[&Timer::Rebroadcast].end(), never);
    assert_eq!(*node.timers[&Timer::Fetch].end(), never);
}

/// A head that was heard and then left out of all the rounds that it may be is again as if it had never been heard: replicas
/// that act alike compare equal.
#[test]
fn review_a_head_that_is_not_skipped_any_more_leaves_no_mark() {
    let put = put_block(&[], 1, "/k", "v");
    let open = || {
        let mut replica = Replica::open(MemoryStore::new(), Config::default(), &mut Vec::new()).unwrap();
        let input = Input::Block { from: Peer(1), cid: Cid::of(&put), bytes: put.clone(), attempt: 0 };
        let _ = replica.step(input, &mut Vec::new()).unwrap();
        replica
    };
    let (mut heard, quiet) = (open(), open());
    let hear = Input::Broadcast { from: Peer(1), payload: announcement(&[Cid::of(&put)]) };
    let _ = heard.step(hear, &mut Vec::new()).unwrap();
    for _ in 0..2 {
        let _ = heard.step(Input::Timer(Timer::Rebroadcast), &mut Vec::new()).unwrap();
    }
    assert_eq!(heard, quiet);
}

/// An obligation whose fetch made way for news is asked of the same peer again, not of nobody.
#[test]
fn review_a_fetch_that_made_way_is_asked_of_its_peer_again() {
    let (parent, ghost) = (put_block(&[], 1, "/k", "v"), nobody_serves(0));
    let child = put_block(&[Cid::of(&parent)], 2, "/k", "w");
    let mut node = Node::with(Config { fetches_max: 1, ..Config::default() });
    node.hear(1, &[Cid::of(&child)]);
    let fetch = node.fetches.remove(0);
    node.answer(fetch, &child);
    assert_eq!(node.fetches.remove(0).cid, Cid::of(&parent));
    node.hear(2, &[ghost]);
    let fetch = node.fetches.remove(0);
    assert_eq!(fetch.cid, ghost, "news is asked for at once");
    node.fail(fetch);
    node.fire(Timer::Fetch);
    assert_eq!((node.fetches[0].cid, node.fetches[0].from), (Cid::of(&parent), Some(Peer(1))));
}

/// A validator voids what we write as well: else our own block counts here and nowhere else.
#[test]
fn review_a_commit_that_the_validator_voids_is_refused() {
    let mut node = Node::open(Disk::new(), Config::default(), NoVoidKeys);
    let refused = node.try_commit(Batch::new().put("/void", "v"));
    assert!(refused.is_err(), "other replicas void {refused:?}");
}

/// Finding the next ready block costs the same however many a step has merged.
#[test]
fn review_merging_many_ready_blocks_is_not_quadratic() {
    let root = put_block(&[], 1, "/root", "v");
    let mut node = Node::with(Config { step_bytes_max: 1, ..Config::default() });
    for n in 0..1_000 {
        node.receive(&put_block(&[Cid::of(&root)], 2, "/k", &n.to_string()));
    }
    let _ = node.try_step(Input::Block { from: Peer(1), cid: Cid::of(&root), bytes: root, attempt: 0 });
    let rows = node.replica.store().rows().clone();
    let node = Node::open(Disk::holding(rows), Config::default(), MergeAll);
    assert_eq!(node.merged().len(), 1_001);
    let scanned = node.ops().scanned[Table::Ready as usize];
    assert!(scanned <= 10 * 1_000, "{scanned} rows of ready blocks read to merge 1,000");
}

/// A block that others already hold must not cost more rows than it has bytes: void blocks over many heads.
#[test]
fn review_void_blocks_over_many_heads_stay_small() {
    let roots: Vec<Bytes> = (0..500).map(|n| put_block(&[], 1, "/k", &n.to_string())).collect();
    let cids: Vec<Cid> = roots.iter().map(|bytes| Cid::of(bytes)).collect();
    let mut all = roots.clone();
    let mut below = cids;
    for n in 0..100 {
        all.push(void_block(&below, n));
        below = vec![Cid::of(&all[all.len() - 1])];
    }
    // Of another DAG, so that the roots stay heads.
    all.push(block_in("n", &below, 102, &[], &[]));
    let mut node = Node::new();
    all.iter().rev().for_each(|bytes| node.receive(bytes));
    assert_eq!(node.merged().len(), all.len());
    let taken_in: usize = all.iter().map(Bytes::len).sum();
    let stored: usize = table(node.replica.store().rows(), Table::Nodes).iter().map(|(_, row)| row.len()).sum();
    assert!(stored <= 4 * taken_in, "{stored} bytes of node rows for {taken_in} bytes of blocks");
}

/// Whoever was not asked cannot end the fetch that another peer is about to answer.
#[test]
fn review_wrong_bytes_of_a_stranger_do_not_end_a_fetch() {
    let mut node = Node::new();
    node.hear(1, &[nobody_serves(0)]);
    let fetch = node.fetches.remove(0);
    let bytes = Bytes::from_static(b"wrong");
    node.input(Input::Block { from: Peer(2), cid: fetch.cid, bytes, attempt: fetch.attempt });
    assert_eq!(node.replica.stats().fetches, 1, "peer 1 was asked and has not answered");
}

/// Over a thousand blocks that nobody serves are asked for with growing pauses, as one is.
#[test]
fn review_pauses_grow_however_many_blocks_are_wanted() {
    let ticks_to_fetches = |wanted: u64| {
        let mut node = Node::new();
        let links: Vec<Cid> = (0..wanted).map(nobody_serves).collect();
        node.hear(1, &[Cid::of(&put_block(&links, 2, "/k", "v"))]);
        let fetch = node.fetches.remove(0);
        node.answer(fetch, &put_block(&links, 2, "/k", "v"));
        node.pull(&World::new());
        for _ in 0..200 {
            node.fire(Timer::Fetch);
            node.pull(&World::new());
        }
        node.fetches_total / wanted
    };
    let (few, many) = (ticks_to_fetches(500), ticks_to_fetches(1_100));
    assert!(many <= 2 * few, "{many} fetches of each of many blocks, {few} of each of few");
}

/// A chain that is merged in one step costs the same a block however long it is: seconds, where it was
/// half a minute.
#[test]
fn review_merging_a_long_chain_in_one_step_is_not_quadratic() {
    let chain = blocks::chain(20_000, |n| (n.to_string(), "v".into()));
    let mut node = Node::with(Config { step_bytes_max: 1 << 30, ..Config::default() });
    for bytes in chain[1..].iter().rev() {
        let _ = node.try_step(Input::Block { from: Peer(1), cid: Cid::of(bytes), bytes: bytes.clone(), attempt: 0 });
    }
    node.receive(&chain[0]);
    assert_eq!(node.replica.stats().merged, 20_000);
}
