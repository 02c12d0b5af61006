//! The core's figures, each beside a ceiling measured in the same run.
//!
//! `cargo bench -p anabranch-benches --bench core`. Keys have 39 bytes and values 100, as in the
//! measurements of go-ds-crdt that the README quotes.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot go on may stop")]

use anabranch_core::{
    Batch, Bytes, Cid, Config, Effect, Input, Key, Peer, Progress, Replica, Token, store::MemoryStore,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::{collections::BTreeMap, hint::black_box};

const KEYS: u64 = 100_000;
const BATCH: u64 = 1_000;

fn key(n: u64) -> String {
    // 39 bytes; multiplied by an odd number so that they do not come in order.
    format!("/bench/{:032x}", u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

fn value(n: u64) -> Bytes {
    Bytes::from(vec![n as u8; 100])
}

fn batches() -> Vec<Batch> {
    let batch = |first: u64| (first..first + BATCH).fold(Batch::new(), |batch, n| batch.put(key(n), value(n)));
    (0..KEYS / BATCH).map(|n| batch(n * BATCH)).collect()
}

/// A replica and the sink for its effects.
struct Driver {
    replica: Replica<MemoryStore>,
    out: Vec<Effect>,
}

impl Driver {
    fn new() -> Self {
        let mut out = Vec::new();
        let replica = Replica::open(MemoryStore::new(), Config::default(), &mut out).unwrap();
        Self { replica, out }
    }

    fn step(&mut self, input: Input) {
        let mut progress = self.replica.step(input, &mut self.out).unwrap();
        while progress == Progress::More {
            progress = self.replica.step(Input::Continue, &mut self.out).unwrap();
        }
    }

    fn commit(&mut self, batch: Batch) -> Vec<Cid> {
        self.out.clear();
        self.step(Input::Commit { token: Token(0), batch });
        self.out
            .iter()
            .find_map(|effect| match effect {
                Effect::Committed { blocks, .. } => Some(blocks.clone()),
                _ => None,
            })
            .unwrap_or_else(|| panic!("a commit of the benchmark was refused"))
    }
}

/// The least that a store in memory has to do: put each pair into an ordered map.
fn ceiling(batches: &[Batch]) -> BTreeMap<Bytes, Bytes> {
    let writes = batches.iter().flat_map(|batch| &batch.writes);
    writes
        .filter_map(|write| match write {
            anabranch_core::Write::Put(key, value) => Some((key.bytes().clone(), Bytes::copy_from_slice(value))),
            anabranch_core::Write::Delete(_) => None,
        })
        .collect()
}

fn ingest(c: &mut Criterion) {
    let batches = batches();
    let mut group = c.benchmark_group("ingest");
    group.throughput(Throughput::Elements(KEYS)).sample_size(10);
    group.bench_function("anabranch, memory store, batches of 1,000", |b| {
        b.iter_batched(
            || (Driver::new(), batches.clone()),
            |(mut driver, batches)| {
                for batch in batches {
                    driver.commit(batch);
                }
                driver
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("ceiling: BTreeMap", |b| b.iter_with_large_drop(|| ceiling(black_box(&batches))));
    group.finish();
}

fn sync(c: &mut Criterion) {
    let batches = batches();
    let mut group = c.benchmark_group("writer to reader");
    group.throughput(Throughput::Elements(KEYS)).sample_size(10);
    group.bench_function("anabranch, memory stores, both counted", |b| {
        b.iter_batched(
            || (Driver::new(), Driver::new(), batches.clone()),
            |(mut writer, mut reader, batches)| {
                for batch in batches {
                    for cid in writer.commit(batch) {
                        let bytes = writer.replica.block(&cid).unwrap().unwrap();
                        reader.out.clear();
                        reader.step(Input::Block { from: Peer(1), cid, bytes, attempt: 0 });
                    }
                }
                assert_eq!(reader.replica.heads().unwrap(), writer.replica.heads().unwrap());
                (writer, reader)
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("ceiling: two BTreeMaps", |b| {
        b.iter_with_large_drop(|| (ceiling(black_box(&batches)), ceiling(black_box(&batches))));
    });
    group.finish();
}

fn delete(c: &mut Criterion) {
    let mut group = c.benchmark_group("delete of a key");
    for versions in [100_u64, 800] {
        let mut written = Driver::new();
        (0..versions).for_each(|n| drop(written.commit(Batch::new().put("/k", value(n)))));
        let replica = written.replica;
        group.bench_function(BenchmarkId::new("versions", versions), |b| {
            b.iter_batched(
                || Driver { replica: unshared(&replica), out: Vec::new() },
                |mut driver| {
                    driver.commit(Batch::new().delete("/k"));
                    assert_eq!(driver.replica.get(&Key::new("/k")).unwrap(), None);
                    driver
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// A clone that shares no rows, so that a benchmark does not pay for the copy on write.
fn unshared(replica: &Replica<MemoryStore>) -> Replica<MemoryStore> {
    let mut out = Vec::new();
    let store = replica.store().unshared();
    Replica::open(store, Config::default(), &mut out).unwrap()
}

/// The rate of puts of one key, over the first and over the last ten thousand of a hundred thousand; beside
/// it the same for keys that all differ, since a map in memory slows as it grows whatever is put into it.
fn one_key(c: &mut Criterion) {
    const WINDOW: u64 = 10_000;
    let mut group = c.benchmark_group("puts one by one");
    group.throughput(Throughput::Elements(WINDOW)).sample_size(10);
    for (what, one) in [("of one key", true), ("of distinct keys", false)] {
        let put = |n: u64| Batch::new().put(if one { String::from("/k") } else { key(n) }, value(n));
        for (window, before) in [("first", 0), ("last", 9 * WINDOW)] {
            let mut written = Driver::new();
            (0..before).for_each(|n| drop(written.commit(put(n))));
            let replica = written.replica;
            group.bench_function(format!("{what}, {window} 10,000 of 100,000"), |b| {
                b.iter_batched(
                    || Driver { replica: unshared(&replica), out: Vec::new() },
                    |mut driver| {
                        (before..before + WINDOW).for_each(|n| drop(driver.commit(put(n))));
                        driver
                    },
                    BatchSize::PerIteration,
                );
            });
        }
    }
    group.finish();
}

fn get(c: &mut Criterion) {
    let mut driver = Driver::new();
    let batches = batches();
    let map = ceiling(&batches);
    batches.into_iter().for_each(|batch| drop(driver.commit(batch)));
    let keys: Vec<Key> = (0..KEYS).map(|n| Key::new(key(n))).collect();
    let mut group = c.benchmark_group("get");
    group.throughput(Throughput::Elements(KEYS)).sample_size(10);
    group.bench_function("anabranch, memory store", |b| {
        b.iter(|| keys.iter().filter(|key| driver.replica.get(key).unwrap().is_some()).count());
    });
    group.bench_function("ceiling: BTreeMap", |b| {
        b.iter(|| keys.iter().filter(|key| map.get(key.bytes()).cloned().is_some()).count());
    });
    group.finish();
}

criterion_group!(benches, ingest, sync, delete, one_key, get);
criterion_main!(benches);
