//! Every engine and every layer does what a plain map does, whatever it is asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::store::{MemoryStore, ROW_KEY_BYTES_MAX, Read, Store, Table};
use anabranch_store::{Buffered, Checked, FjallStore, OpenError, RedbStore, open_redb, open_with};
use proptest::prelude::*;
use std::path::Path;
use support::{
    Rows, apply, assert_rows, batch,
    ops::{Op, Uses, run},
    rows, scan, small,
};

/// Runs the uses on stores that this opens in a folder of their own.
fn on_disk<S: Store>(ops: &[Op], open: impl Fn(&Path) -> S) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    run(ops, |before| {
        drop(before);
        open(&path)
    });
}

/// As `on_disk` for stores in memory, which are not lost when they are dropped.
fn in_memory<S: Store>(ops: &[Op], open: impl Fn(MemoryStore) -> S, close: impl Fn(S) -> MemoryStore) {
    run(ops, |before| open(before.map_or_else(MemoryStore::new, &close)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(40) })]

    #[test]
    fn memory(ops in Uses::all(60).strategy()) {
        in_memory(&ops, |rows| rows, |store| store);
    }

    #[test]
    fn memory_checked(ops in Uses::all(60).strategy()) {
        in_memory(&ops, Checked::new, |store| store.engine().clone());
    }

    #[test]
    fn memory_buffered(ops in Uses::all(60).strategy()) {
        in_memory(&ops, |rows| Buffered::new(rows).unwrap(), |store| store.engine().clone());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(10) })]

    #[test]
    fn fjall(ops in Uses::all(40).strategy()) {
        on_disk(&ops, |path| FjallStore::open_with(path, &small()).unwrap());
    }

    #[test]
    fn fjall_checked_and_buffered(ops in Uses::all(40).strategy()) {
        on_disk(&ops, |path| open_with(path, &small()).unwrap());
    }

    #[test]
    fn redb(ops in Uses::all(40).strategy()) {
        on_disk(&ops, |path| RedbStore::open(path).unwrap());
    }

    #[test]
    fn redb_checked_and_buffered(ops in Uses::all(40).strategy()) {
        on_disk(&ops, |path| open_redb(path).unwrap());
    }
}

/// One test of each engine for what random uses seldom meet.
fn edges<S: Store>(mut store: S, mut reopen: impl FnMut(S) -> S) {
    let long = vec![0xff; ROW_KEY_BYTES_MAX];
    let mut model = Rows::new();
    for table in Table::ALL {
        let changes = batch(&[
            (table, &[], Some(&[])),
            (table, &[0], Some(b"nil")),
            (table, &[0xff], Some(b"top")),
            (table, &long, Some(&[7; 1 << 20])),
        ]);
        apply(&mut model, &changes);
        store.commit(changes).unwrap();
    }
    assert_rows(&store, &model, "before the sync");
    store.sync().unwrap();
    // A batch of nothing, a sync of nothing, a removal of nothing.
    store.commit(batch(&[])).unwrap();
    store.sync().unwrap();
    store.commit(batch(&[(Table::Keys, b"nowhere", None), (Table::Wants, b"nowhere", None)])).unwrap();
    store.sync().unwrap();
    store = reopen(store);
    assert_rows(&store, &model, "after opening again");
    for table in Table::ALL {
        assert_eq!(scan(&store, table, &[0xff], &[], 9).len(), 2, "a prefix after which no other comes");
        assert_eq!(scan(&store, table, &[0xff], &[0xff, 0xff], 9).len(), 1);
        assert_eq!(scan(&store, table, &[0], &[0xff], 9), [], "from beyond the prefix");
        let changes = batch(&[(table, &long, None), (table, &[], None), (table, &[0], Some(b""))]);
        apply(&mut model, &changes);
        store.commit(changes).unwrap();
    }
    assert_rows(&store, &model, "after removals");
    store.sync().unwrap();
    assert_rows(&reopen(store), &model, "after removals and opening again");
}

#[test]
fn edges_of_every_engine() {
    edges(MemoryStore::new(), |store| store);
    edges(Buffered::new(Checked::new(MemoryStore::new())).unwrap(), |store| store);
    let folder = tempfile::tempdir().unwrap();
    let reopen = |name: &str| {
        let path = folder.path().join(name);
        move || path.clone()
    };
    let path = reopen("fjall");
    edges(FjallStore::open_with(path(), &small()).unwrap(), |store| {
        drop(store);
        FjallStore::open_with(path(), &small()).unwrap()
    });
    let path = reopen("redb");
    edges(RedbStore::open(path()).unwrap(), |store| {
        drop(store);
        RedbStore::open(path()).unwrap()
    });
    let path = reopen("fjall default");
    edges(open_with(path(), &small()).unwrap(), |store| {
        drop(store);
        open_with(path(), &small()).unwrap()
    });
    let path = reopen("redb default");
    edges(open_redb(path()).unwrap(), |store| {
        drop(store);
        open_redb(path()).unwrap()
    });
}

/// A snapshot is whole without its store, and keeps the folder closed to others.
fn outlives<S: Store>(open: impl Fn(&Path) -> Result<S, OpenError>) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path()).unwrap();
    store.commit(batch(&[(Table::Keys, b"k", Some(b"v")), (Table::Blocks, b"b", Some(&[1; 100_000]))])).unwrap();
    let wanted = rows(&store);
    let snapshot = store.snapshot().unwrap();
    store.commit(batch(&[(Table::Keys, b"k", None), (Table::Blocks, b"b", None)])).unwrap();
    store.sync().unwrap();
    drop(store);
    assert_rows(&snapshot, &wanted, "after the store was dropped");
    match open(folder.path()) {
        Err(OpenError::Locked { .. }) => {}
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened twice"),
    }
    drop(snapshot);
    assert_eq!(rows(&open(folder.path()).unwrap()), Rows::new());
}

#[test]
fn snapshots_outlive_their_store() {
    outlives(|path| FjallStore::open_with(path, &small()));
    outlives(|path| open_with(path, &small()));
    outlives(|path| RedbStore::open(path));
    outlives(|path| open_redb(path));
}

#[test]
fn snapshots_are_cloned_cheaply_and_sent_to_threads() {
    fn check<S: Store<Snapshot: Clone + Send + Sync + 'static> + Send + 'static>(mut store: S) {
        store.commit(batch(&[(Table::Keys, b"k", Some(b"v"))])).unwrap();
        let snapshot = store.snapshot().unwrap();
        let clone = snapshot.clone();
        drop(snapshot);
        let found = std::thread::spawn(move || clone.get(Table::Keys, b"k").unwrap()).join().unwrap();
        assert_eq!(found.as_deref(), Some(&b"v"[..]));
        std::thread::spawn(move || store.sync().unwrap()).join().unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    check(FjallStore::open_with(folder.path().join("fjall"), &small()).unwrap());
    check(RedbStore::open(folder.path().join("redb")).unwrap());
}

#[test]
fn redb_reuses_the_pages_of_rows_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = RedbStore::open(folder.path()).unwrap();
    let file = folder.path().join("data.redb");
    let mut lens = Vec::new();
    for round in 0..3_u8 {
        for commit in 0..200_u8 {
            let row = [round ^ commit; 2_000];
            store.commit(batch(&[(Table::Keys, &[commit % 20], Some(&row)), (Table::Meta, b"n", Some(&row))])).unwrap();
            if commit % 5 == 0 {
                store.sync().unwrap();
            }
        }
        lens.push(std::fs::metadata(&file).unwrap().len());
    }
    assert!(lens[2] <= lens[0].max(4 << 20), "the file grows for ever: {lens:?}");
}

/// A disk whose pages turn to nothing.
#[derive(Debug, Default)]
struct Fading {
    backend: redb::backends::InMemoryBackend,
    is_gone: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl anabranch_store::StorageBackend for Fading {
    fn len(&self) -> std::io::Result<u64> {
        self.backend.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.backend.read(offset, out)?;
        if offset > 0 && self.is_gone.load(std::sync::atomic::Ordering::Relaxed) {
            out.fill(0);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.backend.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.backend.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.backend.write(offset, data)
    }
}

#[test]
fn closing_a_damaged_redb_does_not_panic() {
    let disk = Fading::default();
    let is_gone = disk.is_gone.clone();
    // No memory for pages: all that it needs when it is closed is read.
    let mut store = RedbStore::on_with_cache(disk, 0).unwrap();
    store.commit_and_sync(batch(&[(Table::Keys, b"k", Some(b"v"))])).unwrap();
    is_gone.store(true, std::sync::atomic::Ordering::Relaxed);
    drop(store);
}

#[test]
fn redb_on_a_backend() {
    let mut store = RedbStore::on(redb::backends::InMemoryBackend::new()).unwrap();
    store.commit(batch(&[(Table::Keys, b"k", Some(b"v"))])).unwrap();
    store.sync().unwrap();
    assert_eq!(store.get(Table::Keys, b"k").unwrap().as_deref(), Some(&b"v"[..]));
}
