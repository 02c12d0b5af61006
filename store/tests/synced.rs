//! What is synced is there after a crash, and what is not may be lost, but only from the end.
//!
//! A crash of the process is a copy of the folder's files at that moment: locks are of files, so the copy opens beside the store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Bytes,
    store::{Store, Table, WriteBatch},
};
use anabranch_store::{Checked, FjallStore, OpenError, RedbStore, open_redb, open_with};
use std::path::Path;
use support::{Rows, apply, assert_rows, brief, copy, rows, small};

/// The nth commit: rows that are written again, rows that are removed later, and a row that only this one writes.
fn commit(n: u16) -> WriteBatch {
    let mut rows = Vec::new();
    for table in Table::ALL {
        let row = |len: usize| Some(Bytes::from(vec![n as u8; len]));
        rows.push((table, Bytes::copy_from_slice(&n.to_be_bytes()), row(usize::from(n % 7) * 40)));
        rows.push((table, Bytes::from_static(b"again"), row(30)));
        rows.push((table, Bytes::from_static(b"gone"), if n.is_multiple_of(2) { row(5) } else { None }));
        if n > 3 {
            rows.push((table, Bytes::copy_from_slice(&(n - 3).to_be_bytes()), None));
        }
    }
    WriteBatch { rows }
}

/// What a crash after each commit leaves, with a sync after every fourth. `lost` says whether what is not synced must be lost.
fn crash_at_every_commit<S: Store>(open: impl Fn(&Path) -> Result<S, OpenError>, lost: bool) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut store = open(&path).unwrap();
    let mut model = Rows::new();
    let mut since_sync = vec![model.clone()];
    for n in 0..20 {
        let batch = commit(n);
        apply(&mut model, &batch);
        store.commit(batch).unwrap();
        since_sync.push(model.clone());
        if n % 4 == 3 {
            store.sync().unwrap();
            since_sync = vec![model.clone()];
        }
        let crashed = folder.path().join(format!("crash {n}"));
        copy(&path, &crashed);
        let left = open(&crashed).unwrap();
        let found = rows(&left);
        match since_sync.iter().position(|at| *at == found) {
            Some(at) => assert!(!lost || at == 0, "commit {n}: held back, and yet there"),
            None => panic!("commit {n}: not the rows of any moment since the sync: {:#?}", brief(&found)),
        }
        drop(left);
        goes_on(&open, &crashed, found);
        std::fs::remove_dir_all(&crashed).unwrap();
    }
    assert_rows(&store, &model, "the store itself");
}

/// What a crash left is written to as if nothing had been, and crashes again.
fn goes_on<S: Store>(open: impl Fn(&Path) -> Result<S, OpenError>, path: &Path, mut model: Rows) {
    let mut store = open(path).unwrap();
    for n in 100..103 {
        apply(&mut model, &commit(n));
        store.commit(commit(n)).unwrap();
    }
    store.sync().unwrap();
    let again = path.with_extension("again");
    copy(path, &again);
    assert_rows(&open(&again).unwrap(), &model, "after a second crash");
    std::fs::remove_dir_all(again).unwrap();
}

#[test]
fn crashes_of_fjall() {
    crash_at_every_commit(|path| FjallStore::open_with(path, &small()), false);
}

#[test]
fn crashes_of_fjall_checked_and_buffered() {
    crash_at_every_commit(|path| open_with(path, &small()), true);
}

#[test]
fn crashes_of_redb() {
    crash_at_every_commit(|path| RedbStore::open(path), false);
}

#[test]
fn crashes_of_redb_checked() {
    crash_at_every_commit(|path| RedbStore::open(path).map(Checked::new), false);
}

#[test]
fn crashes_of_redb_checked_and_buffered() {
    crash_at_every_commit(|path| open_redb(path), true);
}

/// A snapshot may make the layer hand on what it holds, which is no sync; the next sync must still make it durable.
#[test]
fn a_sync_covers_what_a_snapshot_handed_on() {
    fn check<S: Store>(open: impl Fn(&Path) -> Result<S, OpenError>) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(&folder.path().join("store")).unwrap();
        store.commit(commit(1)).unwrap();
        let snapshot = store.snapshot().unwrap();
        store.sync().unwrap();
        copy(&folder.path().join("store"), &folder.path().join("crash"));
        let left = open(&folder.path().join("crash")).unwrap();
        assert_rows(&left, &rows(&snapshot), "after the sync");
        assert_eq!(left.get(Table::Keys, b"again").unwrap(), store.get(Table::Keys, b"again").unwrap());
    }
    check(|path| open_with(path, &small()));
    check(|path| open_redb(path));
}
