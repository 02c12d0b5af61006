//! Invariants 8 to 10: whole blocks, tombstones, costs. Each test is named after what it shows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Batch, Bytes, Cid, Config, Error, Input, Key, MergeAll, Peer, Refusal,
    limits::{BLOCK_BYTES_WRITTEN_MAX, DELTA_BYTES_MAX, KEY_BYTES_MAX},
    store::Table,
    wire::Block,
};
use std::collections::BTreeSet;
use support::{
    Disk, Node, Ops, Rng, World, blocks,
    blocks::{put_block, tombstone_block, world},
    check, fold,
};

#[test]
fn invariant_08_every_write_of_the_store_leaves_whole_blocks() {
    let mut node = Node::with(Config { step_bytes_max: 1, ..Config::default() });
    node.replica.store().record();
    let mut rng = Rng::new(8);
    let mut blocks: Vec<Bytes> = Vec::new();
    for n in 0..60 {
        let parents: Vec<Cid> = (0..rng.below(3)).filter_map(|_| pick(&mut rng, &blocks)).collect();
        let target = pick(&mut rng, &blocks).unwrap_or(blocks::nobody_serves(0));
        let keys = [format!("k{}", rng.below(4)), format!("k{}", rng.below(4)), format!("k{}", rng.below(4))];
        let puts = [(&keys[0][..], &format!("{n}")[..]), (&keys[1], "")];
        blocks.push(blocks::block(&parents, rng.next() % 10, &puts, &[(&keys[2], target)]));
    }
    let mut order: Vec<usize> = (0..60).collect();
    rng.shuffle(&mut order);
    for at in order {
        node.receive(&blocks[at]);
        if rng.once_in(5) {
            node.commit(Batch::new().put("k1", "mine").delete("k2").put("k3", ""));
        }
    }
    let recorded = node.replica.store().recorded();
    assert!(recorded.len() > 60);
    for rows in recorded {
        check::is_fold_of_merged(&Node::open(Disk::holding(rows), Config::default(), MergeAll));
    }
}

fn pick(rng: &mut Rng, blocks: &[Bytes]) -> Option<Cid> {
    if blocks.is_empty() { None } else { Some(Cid::of(&blocks[rng.below(blocks.len())])) }
}

#[test]
fn invariant_08_a_store_that_fails_at_a_commit_stops_the_replica_and_reopening_is_fine() {
    let chain = blocks::chain(6, |n| ("k".into(), n.to_string()));
    let side = tombstone_block(&[], 1, "k", Cid::of(&chain[5]));
    let all: Vec<Bytes> = chain.into_iter().rev().chain([side]).collect();
    let inputs = |node: &mut Node| -> Result<(), Error> {
        for bytes in &all {
            let (from, cid, bytes) = (Peer(1), Cid::of(bytes), bytes.clone());
            node.try_input(Input::Block { from, cid, bytes, attempt: 0 })?;
        }
        let token = node.token();
        node.try_input(Input::Commit { token, batch: Batch::new().put("mine", "1") })
    };
    let mut fails_at = 0;
    loop {
        let mut node = Node::with(Config { step_bytes_max: 1, ..Config::default() });
        node.replica.store().fail_commits_after(fails_at);
        match inputs(&mut node) {
            Ok(()) => break,
            Err(error) => assert!(matches!(error, Error::Store(_)), "{error:?}"),
        }
        node.replica.store().mend();
        assert_eq!(node.try_step(Input::Continue), Err(Error::Stopped));
        assert_eq!(node.replica.sync(), Err(Error::Stopped));
        let mut node = node.crash();
        check::is_fold_of_merged(&node);
        inputs(&mut node).expect("the store is mended");
        let mine: BTreeSet<Cid> = node.merged().difference(&world(&all).into_keys().collect()).copied().collect();
        assert_eq!(mine.len(), 1, "the failed commit left nothing");
        check::is_fold(&node, &fold(&node.world()), &format!("failed at commit {fails_at}"));
        fails_at += 1;
    }
    assert!(fails_at >= 8, "each block and the put were made to fail");
}

#[test]
fn invariant_08_a_store_that_fails_while_opening_is_an_error() {
    let disk = Disk::new();
    disk.fail_commits_after(0);
    let opened = Node::try_open(disk, Config::default(), MergeAll).map(|_| ());
    assert!(matches!(opened, Ok(()) | Err(Error::Store(_))), "{opened:?}");
}

#[test]
fn invariant_08_a_commit_ends_in_exactly_one_of_refused_and_committed() {
    let mut node = Node::with(Config { step_bytes_max: 1, ..Config::default() });
    let long = "k".repeat(KEY_BYTES_MAX);
    let batches = [
        (true, Batch::new()),
        (true, Batch::new().put("a", "1")),
        (false, Batch::new().put("b", "1").put(&long, "v")),
        (false, Batch::new().delete(&long)),
        (true, Batch::new().delete("a").delete("absent")),
        (false, Batch::new().put("c", vec![0; BLOCK_BYTES_WRITTEN_MAX])),
        (true, Batch::new().put("d", vec![0; BLOCK_BYTES_WRITTEN_MAX - 1_000]).put("e", "1")),
        (true, (0..3_000).fold(Batch::new(), |batch, n| batch.put(format!("f{n}"), vec![0; 1_000]))),
    ];
    // All are given before any Continue.
    let mut tokens = Vec::new();
    for (accepted, batch) in batches {
        let token = node.token();
        tokens.push((token, accepted));
        let _ = node.try_step(Input::Commit { token, batch }).unwrap();
    }
    node.run().unwrap();
    // The driver asserts that no token ends twice.
    for (token, accepted) in tokens {
        assert_eq!(node.outcomes[&token].is_ok(), accepted, "{token:?}: {:?}", node.outcomes[&token]);
    }
    for key in ["a", "b", "c"] {
        assert_eq!(node.get(key), None, "{key}: nothing of a refused batch is there");
    }
    assert_eq!(node.state().len(), 2 + 3_000);
}

#[test]
fn invariant_08_a_batch_is_split_at_one_mebibyte_of_delta() {
    let mut node = Node::new();
    let batch = (0..3_000).fold(Batch::new(), |batch, n| batch.put(format!("k{n:04}"), vec![b'v'; 1_000]));
    let blocks = node.commit(batch);
    assert_eq!(blocks.len(), 3);
    let mut keys = Vec::new();
    for (at, cid) in blocks.iter().enumerate() {
        let bytes = node.bytes(cid);
        // The dag-pb frame and the links come on top of the delta.
        assert!(bytes.len() <= DELTA_BYTES_MAX + 100, "{} bytes", bytes.len());
        assert!(bytes.len() > DELTA_BYTES_MAX * 9 / 10 || at == 2, "full but for the last");
        let block = Block::decode(&bytes);
        keys.extend(block.delta.unwrap().elements.into_iter().map(|element| element.key));
    }
    assert!(keys.is_sorted() && keys.len() == 3_000, "in the order of the batch");
    assert_eq!(node.state().len(), 3_000);
    check::is_fold_of_merged(&node);
}

#[test]
fn invariant_08_a_single_write_over_two_mebibytes_is_refused_and_just_below_is_one_block() {
    let mut node = Node::new();
    node.put("k", "before");
    let rows = node.replica.store().rows().clone();
    // The frame, the key and a link take less than 200 bytes.
    let refused = node.try_commit(Batch::new().put("k", vec![0; BLOCK_BYTES_WRITTEN_MAX]));
    assert!(matches!(refused, Err(Refusal::WriteTooLarge { .. })), "{refused:?}");
    assert_eq!(node.replica.store().rows(), &rows, "nothing changed");
    assert_eq!(node.get("k"), Some("before".into()));
    let blocks = node.commit(Batch::new().put("k", vec![0; BLOCK_BYTES_WRITTEN_MAX - 200]));
    assert_eq!(blocks.len(), 1);
    assert!(node.bytes(&blocks[0]).len() <= BLOCK_BYTES_WRITTEN_MAX);
}

#[test]
fn invariant_09_an_early_tombstone_is_kept_until_its_target_is_merged() {
    let root = put_block(&[], 1, "root", "v");
    let target = put_block(&[Cid::of(&root)], 2, "k", "v");
    let early = tombstone_block(&[], 1, "k", Cid::of(&target));
    let mut node = Node::new();
    node.receive(&early);
    assert_eq!(node.replica.stats().early_tombstones, 1);
    let mut node = node.crash();
    assert_eq!((node.replica.stats().early_tombstones, node.rows(Table::Early)), (1, 1), "durable");
    node.receive(&target);
    assert_eq!(node.replica.stats().early_tombstones, 1, "the target is here and not merged");
    node.receive(&root);
    assert_eq!((node.replica.stats().early_tombstones, node.rows(Table::Early)), (0, 0));
    assert_eq!(node.get("k"), None, "at no moment");
    assert_eq!((node.rows(Table::Keys), node.rows(Table::Versions)), (1, 0));
}

#[test]
fn invariant_09_an_early_tombstone_goes_when_its_target_has_no_such_key_or_is_void() {
    let other_key = put_block(&[], 1, "other", "v");
    let void = blocks::void_block(&[], 0);
    let above = put_block(&[Cid::of(&void)], 2, "above", "v");
    let tombstones =
        blocks::block(&[], 1, &[], &[("k", Cid::of(&other_key)), ("k", Cid::of(&void)), ("other", Cid::of(&void))]);
    let mut node = Node::new();
    node.receive(&tombstones);
    assert_eq!(node.replica.stats().early_tombstones, 3);
    node.receive(&other_key);
    assert_eq!(node.replica.stats().early_tombstones, 2);
    node.receive(&above);
    node.settle(&world([&void]));
    assert_eq!((node.replica.stats().early_tombstones, node.rows(Table::Early)), (0, 0));
    assert_eq!(node.state().len(), 2);
}

#[test]
fn invariant_09_early_tombstones_are_never_dropped() {
    let targets: Vec<Bytes> = (0..2_000).map(|n| put_block(&[], 1, "k", &n.to_string())).collect();
    let mut node = Node::new();
    for chunk in targets.chunks(100) {
        let dead: Vec<(&str, Cid)> = chunk.iter().map(|target| ("k", Cid::of(target))).collect();
        node.receive(&blocks::block(&[], 1, &[], &dead));
    }
    assert_eq!(node.replica.stats().early_tombstones, 2_000);
    for target in &targets {
        node.receive(target);
        assert_eq!(node.get("k"), None);
    }
    assert_eq!((node.replica.stats().early_tombstones, node.rows(Table::Early)), (0, 0));
}

#[test]
fn invariant_09_a_tombstone_whose_target_is_merged_leaves_no_row() {
    let target = put_block(&[], 1, "k", "v");
    let keep = put_block(&[], 1, "k", "keep");
    let mut node = Node::new();
    node.receive(&target);
    node.receive(&keep);
    node.receive(&tombstone_block(&[], 1, "k", Cid::of(&target)));
    node.receive(&tombstone_block(&[Cid::of(&target)], 2, "k", Cid::of(&target)));
    assert_eq!((node.replica.stats().early_tombstones, node.rows(Table::Early)), (0, 0));
    assert_eq!(node.get("k"), Some("keep".into()));
}

/// What one put of `k` does to the store.
fn put_ops(node: &mut Node, value: &str) -> Ops {
    let before = node.ops();
    node.put("k", value);
    node.ops() - before
}

#[test]
fn invariant_10_a_hundred_thousand_puts_of_one_key_then_one_get_and_one_delete() {
    let mut node = Node::new();
    let mut early = Ops::default();
    let mut late = Ops::default();
    let most = |most: &mut Ops, ops: Ops| {
        most.bytes_read = most.bytes_read.max(ops.bytes_read);
        most.bytes_written = most.bytes_written.max(ops.bytes_written);
        most.gets[0] = most.gets[0].max(ops.reads());
        most.written[0] = most.written[0].max(ops.writes());
    };
    for n in 0..100_000 {
        let ops = put_ops(&mut node, &format!("{n:06}"));
        match n {
            1_000..2_000 => most(&mut early, ops),
            99_000.. => most(&mut late, ops),
            _ => {}
        }
        node.events.clear();
        node.sent.clear();
    }
    assert_eq!((early.gets[0], early.written[0]), (late.gets[0], late.written[0]), "rows read and written are flat");
    assert!(late.gets[0] <= 16 && late.written[0] <= 16, "a few rows: {late:?}");
    // A varint may take a byte more; a list of versions would take thousands.
    assert!(late.bytes_read <= early.bytes_read + 32 && late.bytes_written <= early.bytes_written + 32);

    let before = node.ops();
    assert_eq!(node.get("k"), Some("099999".into()));
    assert_eq!((node.ops() - before).reads(), 1, "one get, one read");

    let before = node.ops();
    let deletes = node.delete("k");
    let used = node.ops() - before;
    assert!(deletes.len() > 1, "more tombstones than one block holds");
    assert_eq!(used.commits, 1, "several blocks in one commit");
    assert_eq!(used.reads_of(Table::Blocks), 0);
    assert!(used.reads() <= 4 * 100_000, "O(versions): {} rows read", used.reads());
    assert_eq!(node.get("k"), None);
    assert_eq!((node.rows(Table::Keys), node.rows(Table::Versions), node.rows(Table::Early)), (0, 0, 0));
    let tombstones = |cid: &Cid| Block::decode(&node.bytes(cid)).delta.unwrap().tombstones.len();
    assert_eq!(deletes.iter().map(tombstones).sum::<usize>(), 100_000);
}

/// A key so long that a block holds some thirty tombstones.
fn long_key() -> String {
    "k".repeat(KEY_BYTES_MAX - 1)
}

#[test]
fn invariant_10_while_the_blocks_of_a_delete_are_merged_no_older_value_ever_shows() {
    let key = long_key();
    let mut node = Node::new();
    for n in 0..100 {
        node.put(&key, &format!("{n}"));
    }
    let puts = node.world();
    let deletes = node.delete(&key);
    assert!(deletes.len() >= 3, "{} blocks", deletes.len());
    let winner = *puts.keys().find(|cid| fold(&puts).merged[cid] == 100).unwrap();
    let has_winner = |cid: &Cid| {
        let delta = Block::decode(&node.bytes(cid)).delta.unwrap();
        delta.tombstones.iter().any(|tombstone| tombstone.target == winner)
    };
    assert_eq!(deletes.iter().position(has_winner), Some(deletes.len() - 1), "the winner's tombstone is last");
    for seed in 0..30 {
        let mut rng = Rng::new(seed);
        let mut order: Vec<Bytes> = deletes.iter().map(|cid| node.bytes(cid)).collect();
        rng.shuffle(&mut order);
        let mut peer = Node::with(Config { step_bytes_max: 1, ..Config::default() });
        puts.values().for_each(|bytes| peer.receive(bytes));
        let mut shown = Vec::new();
        for bytes in &order {
            let input = Input::Block { from: Peer(1), cid: Cid::of(bytes), bytes: bytes.clone(), attempt: 0 };
            let _ = peer.try_step(input).unwrap();
            shown.push(peer.get(&key));
            while peer.replica.progress() == anabranch_core::Progress::More {
                let _ = peer.try_step(Input::Continue).unwrap();
                shown.push(peer.get(&key));
            }
        }
        assert_eq!(shown.pop(), Some(None), "gone at the end, seed {seed}");
        let older = shown.into_iter().find(|value| !matches!(value.as_deref(), None | Some("99")));
        assert_eq!(older, None, "seed {seed}");
        assert_eq!((peer.rows(Table::Keys), peer.rows(Table::Versions)), (0, 0));
    }
}

#[test]
fn invariant_10_a_large_delete_among_other_writes_of_its_batch() {
    let key = long_key();
    let mut node = Node::new();
    for n in 0..100 {
        node.put(&key, &format!("{n}"));
    }
    let blocks = node.commit(Batch::new().put("before", "1").delete(&key).put("after", "1"));
    assert!(blocks.len() >= 3);
    assert_eq!((node.get(&key), node.get("before"), node.get("after")), (None, Some("1".into()), Some("1".into())));
    let all: Vec<Bytes> = node.world().into_values().collect();
    let mut peer = Node::new();
    all.iter().rev().for_each(|bytes| peer.receive(bytes));
    check::is_fold(&peer, &fold(&world(&all)), "at a peer");
    for cid in blocks {
        assert!(node.bytes(&cid).len() <= BLOCK_BYTES_WRITTEN_MAX);
    }
}

#[test]
fn invariant_10_a_get_is_one_read() {
    let mut node = Node::new();
    for n in 0..50 {
        node.put("many", &n.to_string());
    }
    node.put("one", "v");
    node.put("gone", "v");
    node.delete("gone");
    for key in ["many", "one", "gone", "absent"] {
        let before = node.ops();
        let _ = node.get(key);
        let one = node.ops() - before;
        assert_eq!((one.reads(), one.gets[Table::Keys as usize]), (1, 1), "get of {key}");
        let before = node.ops();
        let _ = node.replica.has(&Key::new(key)).unwrap();
        assert_eq!((node.ops() - before).reads(), 1, "has of {key}");
        let before = node.ops();
        let _ = node.replica.size(&Key::new(key)).unwrap();
        assert_eq!((node.ops() - before).reads(), 1, "size of {key}");
    }
}

#[test]
fn invariant_10_a_put_costs_a_few_rows_at_the_writer_and_at_a_peer() {
    let mut writer = Node::new();
    let mut peer = Node::new();
    for n in 0..500 {
        let before = writer.ops();
        let put = writer.put(&format!("k{}", n % 7), "v");
        let used = writer.ops() - before;
        assert!(used.reads() <= 12 && used.writes() <= 12, "put {n}: {used:?}");
        assert_eq!(used.commits, 1);
        let before = peer.ops();
        peer.receive(&writer.bytes(&put));
        let used = peer.ops() - before;
        assert!(used.reads() <= 24 && used.writes() <= 24, "merge {n}: {used:?}");
    }
}

#[test]
fn invariant_10_a_restart_costs_the_obligations_and_never_a_walk() {
    let opening = |node: Node| {
        let node = node.crash();
        (node.ops().reads(), node.ops().writes())
    };
    let with_history = |len: usize| {
        let mut node = Node::new();
        for n in 0..len {
            node.put(&format!("k{}", n % 100), "v");
        }
        node
    };
    let (few, _) = opening(with_history(100));
    let (many, _) = opening(with_history(5_000));
    assert_eq!(few, many, "rows read on opening do not grow with the history");
    assert!(many <= 32, "{many} rows");
    let mut behind = with_history(5_000);
    let chain = blocks::chain(100, |n| (n.to_string(), "v".into()));
    chain[1..].iter().for_each(|bytes| behind.receive(bytes));
    assert_eq!(behind.replica.stats().obligations, 100);
    let (reads, _) = opening(behind);
    assert!(reads <= many + 10 * 100, "{reads} rows for 100 obligations");
}

#[test]
fn invariant_10_a_query_reads_the_rows_that_it_gives() {
    let mut node = Node::new();
    for n in 0..1_000 {
        node.put(&format!("p{}/{n:03}", n % 10), "v");
    }
    let before = node.ops();
    let query = anabranch_core::Query { prefix: "/p3".into(), limit: Some(10), ..Default::default() };
    assert_eq!(node.replica.query(&query).unwrap().len(), 10);
    let used = node.ops() - before;
    assert!(used.reads() <= 12, "{used:?}");
}

#[test]
fn invariant_10_an_idle_replica_writes_nothing() {
    let mut node = Node::new();
    node.put("k", "v");
    let before = node.ops();
    for _ in 0..10 {
        node.fire(anabranch_core::Timer::Rebroadcast);
        node.hear(1, &[blocks::nobody_serves(0)]);
        node.pull(&World::new());
    }
    assert_eq!((node.ops() - before).writes(), 0);
}
