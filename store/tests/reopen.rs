//! What opening a store costs: reads for its heads and obligations, whatever the number of its blocks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Batch, Bytes, Cid, Config, DagName, Effect, Input, Key, Peer, Progress, Replica, Token,
    store::{MemoryStore, Store},
    wire::{Block, Delta, Element},
};
use anabranch_store::{Buffered, Checked, FjallStore, RedbStore};
use std::path::Path;
use support::{Counting, small};

/// Opens an engine in a folder.
type Open<S> = fn(&Path) -> S;

fn fjall(path: &Path) -> Checked<FjallStore> {
    Checked::new(FjallStore::open_with(path, &small()).unwrap())
}

fn redb(path: &Path) -> Checked<RedbStore> {
    Checked::new(RedbStore::open(path).unwrap())
}

/// Steps to the end of an input.
fn step<S: Store>(replica: &mut Replica<S>, input: Input) {
    let mut out: Vec<Effect> = Vec::new();
    let mut progress = replica.step(input, &mut out).unwrap();
    while progress == Progress::More {
        progress = replica.step(Input::Continue, &mut out).unwrap();
    }
}

fn replica<S: Store>(engine: S) -> Replica<Buffered<S>> {
    Replica::open(Buffered::new(engine).unwrap(), Config::default(), &mut Vec::new()).unwrap()
}

/// Writes so many blocks, each on top of the last, and syncs now and then.
fn write<S: Store>(replica: &mut Replica<S>, blocks: u64) {
    for n in 0..blocks {
        let batch = Batch::new().put(format!("key {n}"), n.to_string());
        step(replica, Input::Commit { token: Token(n), batch });
        if n % 100 == 99 {
            replica.sync().unwrap();
        }
    }
    replica.sync().unwrap();
    assert_eq!(replica.stats().merged, blocks);
}

/// Gives the replica blocks whose one parent nobody has: each is a pending block and an obligation.
fn pend<S: Store>(replica: &mut Replica<S>, blocks: u64) {
    for n in 0..blocks {
        let element = Element { key: Key::new("pending"), value: Bytes::new() };
        let delta = Delta { elements: vec![element], tombstones: Vec::new(), priority: 2, dag: DagName::new("") };
        let bytes = Block::encode(&[Cid::of(format!("nobody has {n}").as_bytes())], &delta);
        step(replica, Input::Block { from: Peer(1), cid: Cid::of(&bytes), bytes, attempt: 0 });
    }
    replica.sync().unwrap();
    assert_eq!(replica.stats().obligations, 2 * blocks, "the block and its parent");
}

/// Rows that are read in the engine to open it.
fn reads_at_open<S: Store>(engine: S, wanted: impl Fn(&Replica<Buffered<Counting<S>>>)) -> usize {
    let engine = Counting::new(engine);
    let log = engine.log.clone();
    let replica = replica(engine);
    let reads = log.borrow().gets + log.borrow().scanned;
    wanted(&replica);
    reads
}

fn opening_reads_no_more_of_a_longer_history<S: Store>(open: Open<S>) {
    let reads = [2_000, 20_000].map(|blocks| {
        let folder = tempfile::tempdir().unwrap();
        write(&mut replica(open(folder.path())), blocks);
        reads_at_open(open(folder.path()), |replica| {
            assert_eq!(replica.stats().merged, blocks);
            let last = blocks - 1;
            assert_eq!(replica.get(&Key::new(format!("key {last}"))).unwrap(), Some(last.to_string().into()));
        })
    });
    assert_eq!(reads[0], reads[1], "rows read to open 2,000 and 20,000 blocks");
    assert!(reads[0] <= READS_MIN, "{} rows are read to open a store of one head", reads[0]);
}

/// Rows read to open a store of one head and no obligations: the front of each of six tables, the format and the counts.
const READS_MIN: usize = 20;

#[test]
fn opening_fjall_reads_no_more_of_a_longer_history() {
    opening_reads_no_more_of_a_longer_history(fjall);
}

#[test]
fn opening_redb_reads_no_more_of_a_longer_history() {
    opening_reads_no_more_of_a_longer_history(redb);
}

#[test]
fn opening_reads_heads_and_obligations_a_few_times_each() {
    for (heads, pending) in [(0, 100), (100, 0), (400, 1_000)] {
        let mut first = replica(MemoryStore::new());
        for n in 0..heads {
            let batch = Batch::for_dag(DagName::new(format!("dag {n}"))).put("k", "v");
            step(&mut first, Input::Commit { token: Token(n), batch });
        }
        pend(&mut first, pending);
        let rows = first.into_store().engine().clone();
        let reads = reads_at_open(rows, |replica| {
            assert_eq!((replica.stats().heads, replica.stats().obligations), (heads, 2 * pending));
        });
        let most = READS_MIN + 2 * (heads + 2 * pending) as usize;
        assert!(reads <= most, "{reads} rows are read to open {heads} heads and {pending} pending blocks, not {most}");
        assert!(reads as u64 >= heads + pending, "the count counts: {reads}");
    }
}

#[test]
fn opening_reads_the_front_of_very_many_obligations() {
    let mut first = replica(MemoryStore::new());
    pend(&mut first, 12_000);
    let rows = first.into_store().engine().clone();
    // Windows of 4,096 rows of three tables, each with the row that it ends before; and the own rows of the obligations that are taken up,
    // 256 of them twice, for they must say the same.
    let reads = reads_at_open(rows, |replica| assert_eq!(replica.stats().obligations, 24_000));
    assert!(reads <= READS_MIN + 3 * 4_097 + 2 * 256, "{reads} rows are read");
}
