//! Rows that contradict each other, as where a disk gave an older page than it should: the replica says so and stops. It must not
//! go on, for what it would do by them harms others: a block that is asked for again as soon as it has come keeps its peer busy for ever.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Bytes, Cid, Config, Error, MergeAll,
    store::{MemoryStore, Read, Store, Table, WriteBatch},
};
use support::{Disk, Node, blocks, node::Missing};

/// The rows of a replica, those of this block's own row changed.
fn with_row(node: &Node, cid: &Cid, row: Option<Bytes>) -> MemoryStore {
    let mut rows = node.replica.store().rows().clone();
    rows.commit(WriteBatch { rows: vec![(Table::Nodes, Bytes::copy_from_slice(cid.digest()), row)] }).unwrap();
    rows
}

/// Opens it, and says what was found damaged.
fn damage(rows: MemoryStore, config: Config) -> String {
    match Node::try_open(Disk::holding(rows), config, MergeAll).err() {
        Some(Error::Corrupt(what)) => what,
        other => panic!("it opens, or fails in another way: {other:?}"),
    }
}

fn row_of(node: &Node, cid: &Cid) -> Bytes {
    node.replica.store().rows().get(Table::Nodes, cid.digest()).unwrap().expect("it has a row")
}

#[test]
fn a_block_that_is_listed_as_wanted_and_is_not_is_damage() {
    let chain = blocks::chain(2, |n| (n.to_string(), "v".into()));
    let (below, above) = (Cid::of(&chain[0]), Cid::of(&chain[1]));
    let mut node = Node::new();
    node.hear(1, &[above]);
    node.round(&blocks::world([&chain[1]]), Missing::Fails);
    assert_eq!(node.rows(Table::Wants), 1, "what lies below is owed");
    assert!(Node::try_open(Disk::holding(node.replica.store().rows().clone()), Config::default(), MergeAll).is_ok());

    // The wanted block is unknown; it is merged, as another's row says; it waits for others, as again another's says.
    let mut merged = Node::new();
    merged.receive(&chain[0]);
    let good = row_of(&merged, &below);
    for row in [None, Some(good), Some(row_of(&node, &above))] {
        let found = damage(with_row(&node, &below, row.clone()), Config::default());
        let expected = format!("block {below} is listed as one to be fetched, and its row does not say so");
        assert_eq!(found, expected, "{row:?}");
    }
}

#[test]
fn a_body_that_is_listed_as_dropped_and_is_not_is_damage() {
    // Room for one body while the chain is fetched from its tip: the others' bodies are dropped.
    let chain = blocks::chain(6, |n| (n.to_string(), "v".into()));
    let tight = Config { pending_bytes_max: chain[3].len() as u64 + 1, ..Config::default() };
    let mut node = Node::with(tight);
    node.hear(1, &[Cid::of(&chain[5])]);
    for _ in 0..4 {
        node.round(&blocks::world(&chain[1..]), Missing::Fails);
    }
    let dropped = Cid::of(&chain[5]);
    let rows = || node.replica.store().rows().clone();
    assert!(node.rows(Table::Wants) > 2, "bodies are dropped");
    assert!(Node::try_open(Disk::holding(rows()), Config::default(), MergeAll).is_ok());
    for row in [None, Some(row_of(&node, &Cid::of(&chain[1])))] {
        let found = damage(with_row(&node, &dropped, row), Config::default());
        assert_eq!(found, format!("block {dropped} is listed as one to be fetched, and its row does not say so"));
    }
}
