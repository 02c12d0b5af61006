//! Looking at a replica: walks down its DAG, and what keeps it behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{Batch, Bytes, Cid, Config, DagName, Error, Peer, Timer, Visited, picture, store::Table};
use std::collections::{BTreeMap, BTreeSet};
use support::{
    blocks::{chain, nobody_serves, void_block, world},
    *,
};

fn walk(node: &Node, from: &[Cid]) -> Vec<Visited> {
    node.replica.traverse(from).unwrap().collect::<Result<_, Error>>().unwrap()
}

#[test]
fn a_walk_shows_each_block_once_and_the_highest_first() {
    let root = put_block(&[], 1, "/r", "r");
    let void = void_block(&[Cid::of(&root)], 1);
    let left = put_block(&[Cid::of(&root)], 2, "/a", "a");
    let right = blocks::block_in("x", &[Cid::of(&void), Cid::of(&root)], 2, &[("/b", "b")], &[]);
    let tip = put_block(&[Cid::of(&left), Cid::of(&right)], 3, "/t", "t");
    let all = [&root, &void, &left, &right, &tip];
    let mut node = Node::new();
    all.iter().for_each(|bytes| node.receive(bytes));
    node.settle(&world(all));
    let shown = walk(&node, &[]);
    let heights: Vec<u64> = shown.iter().map(|visited| visited.height).collect();
    assert_eq!(heights, [4, 3, 2, 2, 1]);
    let of = |bytes: &Bytes| shown.iter().find(|visited| visited.cid == Cid::of(bytes)).unwrap();
    assert_eq!((of(&void).void, of(&right).void, of(&void).purged), (true, false, false));
    assert_eq!(of(&right).dag, DagName::new("x"));
    assert_eq!(of(&tip).links, anabranch_core::wire::Block::decode(&tip).links);
    // From a block down; what is not merged is left out.
    let from = walk(&node, &[Cid::of(&left), nobody_serves(1), Cid::of(&left)]);
    assert_eq!(from.iter().map(|visited| visited.cid).collect::<Vec<_>>(), [Cid::of(&left), Cid::of(&root)]);
    // A snapshot shows what was.
    let view = node.replica.snapshot().unwrap();
    node.put("/later", "l");
    assert_eq!(view.traverse(&[]).unwrap().count(), 5);
    assert_eq!(walk(&node, &[]).len(), 6);
}

#[test]
fn a_walk_from_the_heads_shows_all_that_is_merged() {
    for seed in 0..50 {
        let mut rng = Rng::new(seed);
        let mut node = Node::new();
        let mut made: Vec<Cid> = Vec::new();
        for at in 0..40 {
            let dag = DagName::new(["", "x", "y"][rng.below(3)]);
            if rng.once_in(3) && !made.is_empty() {
                let links: BTreeSet<Cid> = (0..3).map(|_| made[rng.below(made.len())]).collect();
                let links: Vec<Cid> = links.into_iter().collect();
                let bytes = blocks::block_in(dag.as_str(), &links, 3, &[(&format!("/{at}"), "v")], &[]);
                node.receive(&bytes);
                made.push(Cid::of(&bytes));
            } else {
                made.extend(node.commit(Batch::for_dag(dag).put(format!("/{at}"), "v")));
            }
        }
        let shown = walk(&node, &[]);
        let cids: BTreeSet<Cid> = shown.iter().map(|visited| visited.cid).collect();
        assert_eq!((cids.len(), cids), (shown.len(), node.merged()));
        let heights: BTreeMap<Cid, u64> = shown.iter().map(|visited| (visited.cid, visited.height)).collect();
        assert_eq!(heights, fold(&node.world()).merged);
        assert!(shown.is_sorted_by_key(|visited| std::cmp::Reverse(visited.height)));
    }
}

#[test]
fn a_walk_reads_a_few_rows_a_block_and_stops_where_it_is_told_to() {
    let mut node = Node::new();
    chain(500, |at| (format!("/{at}"), "v".to_owned())).iter().for_each(|bytes| node.receive(bytes));
    let before = node.ops();
    assert_eq!(node.replica.traverse(&[]).unwrap().take(10).count(), 10);
    let ops = node.ops() - before;
    assert_eq!((ops.reads_of(Table::Blocks), ops.reads_of(Table::Nodes)), (10, 11));
}

#[test]
fn a_walk_over_a_damaged_store_ends_with_one_error() {
    let mut node = Node::new();
    let root = node.put("/a", "1");
    node.put("/b", "2");
    let mut rows = node.replica.store().rows().clone();
    let removed =
        anabranch_core::store::WriteBatch { rows: vec![(Table::Blocks, root.digest().to_vec().into(), None)] };
    anabranch_core::store::Store::commit(&mut rows, removed).unwrap();
    let node = node.crash_leaving(Disk::holding(rows));
    let shown: Vec<Result<Visited, Error>> = node.replica.traverse(&[]).unwrap().collect();
    assert!(matches!(shown[..], [Ok(_), Err(Error::Corrupt(_))]), "{shown:?}");
}

#[test]
fn blocking_names_what_is_missing_and_who_was_asked() {
    let blocks = chain(4, |at| (format!("/{at}"), "v".to_owned()));
    let [_, second, third, fourth] = &blocks[..] else { panic!() };
    let mut node = Node::with(Config::default());
    assert_eq!(node.replica.blocking(9).unwrap(), []);
    node.hear(7, &[Cid::of(third)]);
    let fetch = node.fetches.pop().unwrap();
    node.answer(fetch, third);
    node.receive(&put_block(&[Cid::of(second)], 3, "/sibling", "s"));
    node.receive(fourth);
    let blocking = node.replica.blocking(9).unwrap();
    assert_eq!(blocking.len(), 1, "what waits for something that is here is not missing: {blocking:?}");
    let missing = &blocking[0];
    assert_eq!((missing.cid, missing.waiting, missing.parked), (Cid::of(second), 2, false));
    assert_eq!(missing.asked, Some(Peer(7)));
    assert!(missing.peers.contains(&Peer(7)));
    // Nobody serves it.
    for _ in 0..200 {
        node.pull(&World::new());
        if node.timers.contains_key(&Timer::Fetch) {
            node.fire(Timer::Fetch);
        }
    }
    assert!(node.replica.blocking(9).unwrap()[0].parked);
    assert_eq!(node.replica.blocking(0).unwrap(), []);
    let node = node.crash();
    assert_eq!(node.replica.blocking(9).unwrap()[0].waiting, 2, "known after a restart too");
}

#[test]
fn a_walk_shows_a_purged_block_and_ends_there() {
    let mut node = Node::new();
    let root = node.commit(Batch::for_dag(DagName::new("x")).put("/x", "x"))[0];
    let purged = node.commit(Batch::for_dag(DagName::new("x")).put("/x", "y"))[0];
    let tip = put_block(&[purged], 3, "/t", "t");
    node.receive(&tip);
    node.purge("x");
    let shown = walk(&node, &[]);
    assert_eq!(shown.iter().map(|visited| visited.cid).collect::<Vec<_>>(), [Cid::of(&tip), purged]);
    let last = &shown[1];
    assert_eq!((last.height, last.dag.as_str(), last.purged, last.void), (2, "x", true, false));
    assert_eq!(walk(&node, &[root]).len(), 1);
}

#[test]
fn pictures_show_each_block_and_each_link_once() {
    let mut node = Node::new();
    let purged = node.commit(Batch::for_dag(DagName::new("a \"quoted\"\nname")).put("/x", "x"))[0];
    let void = void_block(&[purged], 1);
    let tip = put_block(&[Cid::of(&void)], 3, "/t", "t");
    node.receive(&void);
    node.receive(&tip);
    node.settle(&world([&void]));
    node.purge("a \"quoted\"\nname");
    let (tip, void) = (Cid::of(&tip), Cid::of(&void));
    let lines = |lines: Vec<Result<String, Error>>| lines.into_iter().map(Result::unwrap).collect::<Vec<_>>();
    let text = lines(picture::text(node.replica.traverse(&[]).unwrap()).collect());
    let name = r#"dag "a \"quoted\"\nname""#;
    let wanted = [
        format!("{tip}  height 3"),
        format!("    link    {void}"),
        format!("{void}  height 2  void"),
        format!("    link    {purged}"),
        format!("{purged}  height 1  purged  {name}"),
    ];
    assert_eq!(text, wanted);
    let dot = lines(picture::dot(node.replica.traverse(&[]).unwrap()).collect());
    assert_eq!((dot.len(), dot[0].as_str(), dot[7].as_str()), (8, "digraph history {", "}"));
    assert_eq!(dot[3], format!("  \"{tip}\" -> \"{void}\";"));
    let escaped = r#"height 1  purged  dag \"a \\\"quoted\\\"\\nname\""#;
    let short = picture::short(&purged);
    assert_eq!(dot[6], format!("  \"{purged}\" [label=\"{short}\\n{escaped}\", style=dotted, color=gray];"));
}
