//! Purging a DAG: what goes, what comes back, what stays decided. The rows of docs/hazards.md about named DAGs are here too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Batch, Bytes, Cid, Config, DagName, Event, Input, Outcome, Peer, Phase, Progress, Refusal, TaskKind, Timer,
    limits::DAG_NAME_BYTES_MAX, store::Table, wire::Block,
};
use std::collections::BTreeMap;
use support::{
    Disk, Facts, Net, Node, World,
    blocks::{announcement, block, block_in, put_block, tombstone_block, void_block, world},
    check,
};

fn in_dag(name: &str) -> Batch {
    Batch::for_dag(DagName::new(name))
}

/// A node that has merged these blocks, and what it has.
fn merged(blocks: &[&Bytes]) -> (Node, World) {
    let world = world(blocks.iter().copied());
    let mut node = Node::new();
    blocks.iter().for_each(|bytes| node.receive(bytes));
    node.settle(&world);
    (node, world)
}

fn purged(blocks: u64, keys: u64) -> Outcome {
    Outcome::Purged { blocks, keys }
}

#[test]
fn the_vectors_state_after_purging_n1() {
    let vectors: serde_json::Value = serde_json::from_str(include_str!("data/blocks.json")).unwrap();
    let state = |name: &str| -> BTreeMap<Vec<u8>, Bytes> {
        let values = vectors[name].as_object().unwrap();
        // The root key is `/` here and empty in Go's listing.
        let key = |key: &String| if key.is_empty() { b"/".to_vec() } else { key.as_bytes().to_vec() };
        values.iter().map(|(k, value)| (key(k), support::hex(value.as_str().unwrap()))).collect()
    };
    let hexes = vectors["blocks"].as_array().unwrap().iter().map(|block| block["bytes_hex"].as_str().unwrap());
    let mut blocks: Vec<Bytes> = hexes.map(support::hex).collect();
    // Two parents of the last block, which the list leaves out: they come from their keys in the state.
    blocks.extend(["/f0", "/f1"].map(|key| put_block(&[], 1, key, "f")));
    let (mut node, world) = merged(&blocks.iter().collect::<Vec<_>>());
    assert_eq!(node.state(), state("state_value_hex"));
    let mut facts = Facts::default();
    facts.purge(&node.world(), "n1");
    assert_eq!(node.purge("n1"), purged(vectors["purged_n1_blocks"].as_u64().unwrap(), 1));
    assert_eq!(node.state(), state("state_after_purge_of_n1_value_hex"));
    check::is_fold_with(&node, &world, &facts, "the vectors");
}

#[test]
fn hazard_named_dags_purging_one_leaves_what_its_blocks_link_to() {
    // In Go, purging a DAG whose block links a block of the main DAG wipes the main DAG.
    let main = put_block(&[], 1, "k", "main");
    let named = block_in("n", &[Cid::of(&main)], 2, &[("k", "named"), ("n", "1")], &[]);
    let above = put_block(&[Cid::of(&named)], 3, "x", "above");
    let (mut node, world) = merged(&[&main, &named, &above]);
    assert_eq!(node.get("k"), Some("named".into()));
    let mut facts = Facts::default();
    facts.purge(&node.world(), "n");
    assert_eq!(node.purge("n"), purged(1, 2));
    assert_eq!((node.get("k"), node.get("n"), node.get("x")), (Some("main".into()), None, Some("above".into())));
    // `above` stays a head of height 3, and so does `main`, as before: no block of the main DAG links to it.
    assert_eq!(node.heads(), [("".to_owned(), Cid::of(&main)), ("".to_owned(), Cid::of(&above))].into());
    assert_eq!(node.replica.stats().height_max, 3);
    check::is_fold_with(&node.crash(), &world, &facts, "after a crash");
}

#[test]
fn hazard_named_dags_what_a_purged_dags_tombstones_removed_comes_back() {
    let first = put_block(&[], 1, "k", "first");
    let second = put_block(&[], 1, "k", "second");
    let delete = block_in("n", &[Cid::of(&first)], 2, &[], &[("k", Cid::of(&first)), ("k", Cid::of(&second))]);
    let again = tombstone_block(&[Cid::of(&second)], 2, "k", Cid::of(&second));
    let (mut node, world) = merged(&[&first, &second, &delete, &again]);
    assert_eq!(node.get("k"), None);
    let mut facts = Facts::default();
    facts.purge(&node.world(), "n");
    node.purge("n");
    assert_eq!(node.get("k"), Some("first".into()), "a remaining block's tombstone still counts");
    check::is_fold_with(&node, &world, &facts, "purged");
}

#[test]
fn hazard_named_dags_announcing_a_purged_head_brings_nothing_back() {
    let mut net = Net::new(2);
    let old = net.nodes[0].commit(in_dag("n").put("n", "old"));
    net.nodes[0].put("k", "v");
    net.deliver(0, &[1]);
    net.nodes[1].purge("n");
    net.nodes[1].sent.clear();
    let fetches = net.nodes[1].fetches_total;
    for _ in 0..4 {
        net.nodes[0].fire(Timer::Rebroadcast);
        net.deliver(0, &[1]);
    }
    net.nodes[1].hear(5, &old);
    assert_eq!(net.nodes[1].fetches_total, fetches, "it is decided, and not asked for");
    assert!(!net.nodes[1].timers.contains_key(&Timer::Answer), "who announces it need not lag");
    let bytes = net.nodes[0].bytes(&old[0]);
    net.nodes[1].receive(&bytes);
    assert_eq!((net.nodes[1].get("n"), net.nodes[1].get("k")), (None, Some("v".into())));
    assert_eq!(net.nodes[1].replica.block(&old[0]), Ok(None));
    // What the other writes later merges, although its parent is a stub.
    let new = net.nodes[0].commit(in_dag("n").put("n", "new"));
    net.deliver(0, &[1]);
    assert_eq!(net.nodes[1].get("n"), Some("new".into()));
    assert!(net.nodes[1].heads().contains(&("n".into(), new[0])));
    // A stub beside an old block of another DAG: that one is answered.
    let kept = net.nodes[1].heads().iter().find(|(dag, _)| dag.is_empty()).unwrap().1;
    net.nodes[1].put("k", "newer");
    net.nodes[1].hear(6, &[old[0], kept]);
    assert!(net.nodes[1].timers.contains_key(&Timer::Answer));
}

#[test]
fn what_is_written_to_a_purged_name_shows_even_when_it_is_the_same_again() {
    let mut node = Node::new();
    let first = node.commit(in_dag("n").put("k", "v"));
    let mut facts = Facts::default();
    facts.purge(&node.world(), "n");
    node.purge("n");
    let second = node.commit(in_dag("n").put("k", "v"));
    assert_ne!(first, second, "the first is decided: it would be merged nowhere where it was purged");
    assert_eq!(node.get("k"), Some("v".into()));
    let block = Block::decode(&node.bytes(&second[0]));
    assert_eq!((block.links, block.delta.unwrap().priority), (vec![], 2), "it declares more to be another");
    facts.purge(&node.world(), "n");
    node.purge("n");
    let third = node.commit(in_dag("n").put("k", "v"));
    let world = node.world();
    assert_eq!(world.keys().copied().collect::<Vec<_>>(), third);
    check::is_fold_with(&node, &world, &facts, "purged twice");
}

#[test]
fn a_write_of_the_same_while_a_purge_runs_is_another_block() {
    let mut node = Node::with(Config { step_bytes_max: 1, ..Config::default() });
    let first = node.commit(in_dag("n").put("k", "v"));
    let token = node.token();
    let _ = node.try_step(Input::Purge { token, dag: DagName::new("n") }).unwrap();
    let token = node.token();
    let _ = node.try_step(Input::Commit { token, batch: in_dag("n").put("k", "v") }).unwrap();
    node.run().unwrap();
    assert_ne!(node.outcomes[&token], Ok(first));
    assert_eq!((node.get("k"), node.replica.stats().merged), (Some("v".into()), 1));
}

/// Between a block's becoming a stub and the settling of its keys, the winner of such a key is removed; the greatest of the others is longer than
/// what is kept beside a winner, so its value is nowhere any more.
#[test]
fn a_version_whose_bytes_a_purge_has_taken_does_not_take_over() {
    // Few versions, and so many that they have rows of their own.
    for others in [1, 9] {
        let low: Vec<Bytes> = (0..others).map(|n| put_block(&[], 1, "k", &format!("low {n}"))).collect();
        let base: Vec<Cid> = low.iter().map(|bytes| Cid::of(bytes)).collect();
        let long = |n: usize| block_in("n", &base, 2, &[("k", &n.to_string().repeat(100))], &[]);
        let long: Vec<Bytes> = (0..others).map(long).collect();
        let winner = put_block(&[Cid::of(&long[0])], 3, "k", "winner");
        let removal = tombstone_block(&[Cid::of(&winner)], 4, "k", Cid::of(&winner));
        let world = world(low.iter().chain(&long).chain([&winner, &removal]));
        let mut node = Node::with(Config { step_bytes_max: 1, ..Config::default() });
        low.iter().chain(&long).chain([&winner]).for_each(|bytes| node.receive(bytes));
        node.settle(&world);
        let mut facts = Facts::default();
        facts.purge(&node.world(), "n");
        let token = node.token();
        let _ = node.try_step(Input::Purge { token, dag: DagName::new("n") }).unwrap();
        while node.replica.task().is_some_and(|task| task.phase == Phase::Mark) {
            let _ = node.try_step(Input::Continue).unwrap();
        }
        assert_eq!((node.replica.stats().purged, node.get("k")), (others as u64, Some("winner".into())));
        let cid = Cid::of(&removal);
        let _ = node.try_step(Input::Broadcast { from: Peer(7), payload: announcement(&[cid]) }).unwrap();
        let _ = node.try_step(Input::Block { from: Peer(7), cid, bytes: removal.clone(), attempt: 0 }).unwrap();
        assert_eq!(node.replica.task().map(|task| task.phase), Some(Phase::Gather), "the key is not settled yet");
        let greatest = (0..others).map(|n| format!("low {n}")).max();
        assert_eq!(node.get("k"), greatest, "{others} others");
        node.run().unwrap();
        check::is_fold_with(&node, &world, &facts, &format!("{others} others"));
    }
}

#[test]
fn tombstones_that_waited_go_with_their_block_and_stay_with_another() {
    let late = block(&[], 1, &[("a", "late"), ("b", "late")], &[]);
    let purged_one = block_in("n", &[], 1, &[], &[("a", Cid::of(&late)), ("b", Cid::of(&late))]);
    let other = tombstone_block(&[], 1, "b", Cid::of(&late));
    for target_first in [false, true] {
        let (mut node, _) = merged(&[&purged_one, &other]);
        assert_eq!(node.replica.stats().early_tombstones, 2);
        let mut facts = Facts::default();
        facts.purge(&node.world(), "n");
        if !target_first {
            node.purge("n");
            assert_eq!((node.replica.stats().early_tombstones, node.rows(Table::Early)), (1, 1));
        }
        node.receive(&late);
        if target_first {
            assert_eq!((node.get("a"), node.get("b")), (None, None));
            node.purge("n");
        }
        assert_eq!((node.get("a"), node.get("b")), (Some("late".into()), None));
        check::is_fold_with(&node, &world([&late, &other]), &facts, "purged");
    }
}

#[test]
fn a_tombstone_for_a_purged_block_is_not_kept() {
    let put = block_in("n", &[], 1, &[("k", "v")], &[]);
    let (mut node, _) = merged(&[&put]);
    node.purge("n");
    node.receive(&tombstone_block(&[], 1, "k", Cid::of(&put)));
    assert_eq!((node.replica.stats().early_tombstones, node.rows(Table::Early)), (0, 0));
}

#[test]
fn a_stub_counts_for_height_and_passes_no_headship_on() {
    let main = put_block(&[], 1, "m", "1");
    let low = block_in("n", &[Cid::of(&main)], 2, &[("n", "1")], &[]);
    let high = block_in("n", &[Cid::of(&low)], 3, &[("n", "2")], &[]);
    let (mut node, _) = merged(&[&main, &low, &high]);
    let mut facts = Facts::default();
    facts.purge(&node.world(), "n");
    node.purge("n");
    let void = void_block(&[Cid::of(&high)], 1);
    let child = block_in("n", &[Cid::of(&void)], 5, &[("n", "3")], &[]);
    let all = world([&main, &void, &child]);
    node.receive(&child);
    node.settle(&all);
    assert_eq!(node.heads(), [("".to_owned(), Cid::of(&main)), ("n".to_owned(), Cid::of(&child))].into());
    assert_eq!(node.replica.stats().height_max, 5, "4 is the void block's");
    assert_eq!(node.replica.stats().misdeclared, 0);
    check::is_fold_with(&node.crash(), &all, &facts, "with a child");
}

#[test]
fn void_blocks_stay_when_what_they_were_merged_for_is_purged() {
    let void = void_block(&[], 1);
    let good = block_in("n", &[Cid::of(&void)], 2, &[("k", "v")], &[]);
    let (mut node, world) = merged(&[&good, &void]);
    let mut facts = Facts::default();
    facts.purge(&node.world(), "n");
    assert_eq!(node.purge("n"), purged(1, 1));
    assert_eq!(node.replica.stats().void, 1);
    check::is_fold_with(&node, &world, &facts, "a void block is left");
}

#[test]
fn a_name_without_blocks_is_purged_at_once_and_costs_no_walk() {
    let mut node = Node::new();
    for n in 0..50 {
        node.put(&n.to_string(), "v");
    }
    let before = node.ops();
    assert_eq!(node.purge("nothing"), purged(0, 0));
    let cost = node.ops() - before;
    assert!(cost.reads() < 5, "{cost:?}");
    assert_eq!(cost.writes(), 0);
}

#[test]
fn refusals_change_nothing() {
    let mut node = Node::with(Config { step_bytes_max: 1, ..Config::default() });
    node.commit(in_dag("n").put("k", "v"));
    let before = node.replica.store().rows().clone();
    let long = DagName::new("n".repeat(DAG_NAME_BYTES_MAX + 1));
    let refusal = node.ask(|token| Input::Purge { token, dag: long }).unwrap_err();
    assert_eq!(refusal, Refusal::DagNameTooLong { bytes: DAG_NAME_BYTES_MAX + 1 });
    assert_eq!(node.replica.store().rows(), &before);
    let (first, second) = (node.token(), node.token());
    let _ = node.try_step(Input::Purge { token: first, dag: DagName::new("n") }).unwrap();
    let running = node.replica.task().cloned().unwrap();
    assert_eq!((running.kind.clone(), running.phase), (TaskKind::Purge(DagName::new("n")), Phase::Mark));
    let before = node.replica.store().rows().clone();
    let _ = node.try_step(Input::Purge { token: second, dag: DagName::default() }).unwrap();
    assert_eq!(node.outcomes[&second], Err(Refusal::Busy));
    assert_eq!(node.replica.store().rows(), &before);
    assert_eq!(node.replica.task(), Some(&running));
    node.run().unwrap();
    assert_eq!(node.finished, [(Some(first), purged(1, 1))]);
}

/// A history of two DAGs on one key and many, with versions enough for rows of their own.
fn history() -> Vec<Bytes> {
    let mut blocks: Vec<Bytes> = Vec::new();
    for n in 0..24_usize {
        let name = if n % 3 == 0 { "n" } else { "" };
        let links: Vec<Cid> = blocks.iter().rev().take(n % 3).map(|bytes| Cid::of(bytes)).collect();
        let (value, key) = (format!("{}{n}", "v".repeat(n * 5)), format!("k{}", n % 5));
        let removed: Vec<(&str, Cid)> = if n % 4 == 3 { vec![("hot", Cid::of(&blocks[n / 2]))] } else { vec![] };
        blocks.push(block_in(name, &links, 1 + n as u64 / 3, &[("hot", &value), (&key, &value)], &removed));
    }
    blocks
}

#[test]
fn a_crash_after_any_commit_of_a_purge_resumes_it() {
    let blocks = history();
    let (node, all) = merged(&blocks.iter().collect::<Vec<_>>());
    let mut facts = Facts::default();
    facts.purge(&node.world(), "n");
    let config = Config { step_bytes_max: 300, ..Config::default() };
    let disk = Disk::holding(node.replica.into_store().rows().clone());
    disk.record();
    let mut node = Node::open(disk, config.clone(), anabranch_core::MergeAll);
    let outcome = node.purge("n");
    check::is_fold_with(&node, &all, &facts, "without a crash");
    let left = node.replica.store().recorded();
    assert!(left.len() > 20, "{} commits", left.len());
    for (at, rows) in left.into_iter().enumerate().skip(1) {
        let node = Node::open(Disk::holding(rows), config.clone(), anabranch_core::MergeAll);
        check::is_fold_with(&node, &all, &facts, &format!("crash after commit {at}"));
        match &node.finished[..] {
            [] => {}
            [(None, resumed)] => assert_eq!(*resumed, outcome),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn steps_are_bounded_and_reads_and_writes_go_on() {
    let mut node = Node::with(Config { step_bytes_max: 2_000, ..Config::default() });
    for n in 0..200 {
        node.commit(in_dag(if n % 2 == 0 { "n" } else { "" }).put(format!("k{n}"), "x".repeat(100)));
    }
    let token = node.token();
    let mut progress = node.try_step(Input::Purge { token, dag: DagName::new("n") }).unwrap();
    let (mut steps, mut writes) = (0, 0);
    while progress == Progress::More {
        let before = node.ops();
        progress = node.try_step(Input::Continue).unwrap();
        let cost = node.ops() - before;
        assert!(cost.bytes_read < 20_000 && cost.writes() < 200, "step {steps}: {cost:?}");
        steps += 1;
        if steps % 5 == 0 {
            assert_eq!(node.get("k1"), Some("x".repeat(100)));
            let token = node.token();
            let _ =
                node.try_step(Input::Commit { token, batch: in_dag("n").put("during", steps.to_string()) }).unwrap();
            assert_eq!(node.get("during"), Some(steps.to_string()), "a write of that very name shows at once");
            writes += 1;
        }
    }
    node.sync().unwrap();
    assert!(steps > 30 && writes > 3, "{steps} steps");
    assert_eq!(node.finished, [(Some(token), purged(100, 100))]);
    assert_eq!(node.state().len(), 101);
    assert_eq!(node.heads().iter().filter(|(dag, _)| dag == "n").count(), 1);
    assert_eq!(node.events.iter().filter(|event| matches!(event, Event::Merged { .. })).count(), 200 + writes);
}
