//! What the tests of engines share: a plain model of the rows, random uses of a store, and an engine that counts.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test binary uses its own part of this module")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod counting;
pub mod folders;
pub mod ops;

pub use counting::{Counting, Log};
pub use folders::{copy, listing};

use anabranch_core::{
    Bytes,
    store::{Read, Store, Table, WriteBatch},
};
use anabranch_store::FjallOptions;
use std::{collections::BTreeMap, ops::ControlFlow};

/// All rows of a store.
pub type Rows = BTreeMap<(Table, Vec<u8>), Bytes>;

/// A change of a row, borrowed.
pub type Change<'a> = (Table, &'a [u8], Option<&'a [u8]>);

/// A batch of these rows.
pub fn batch(rows: &[Change<'_>]) -> WriteBatch {
    let rows =
        rows.iter().map(|(table, key, row)| (*table, Bytes::copy_from_slice(key), row.map(Bytes::copy_from_slice)));
    WriteBatch { rows: rows.collect() }
}

/// What is in the store, by scans of all tables.
pub fn rows(store: &impl Read) -> Rows {
    let mut rows = Rows::new();
    for table in Table::ALL {
        for (key, row) in scan(store, table, &[], &[], usize::MAX) {
            rows.insert((table, key), row);
        }
    }
    rows
}

/// Up to `limit` rows of a scan, which the visitor breaks off; at least one is visited.
pub fn scan(store: &impl Read, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Vec<(Vec<u8>, Bytes)> {
    let mut found = Vec::new();
    let mut broken = false;
    let visit = &mut |key: &[u8], row: &Bytes| {
        assert!(!broken, "a visitor that broke off is called again");
        found.push((key.to_vec(), row.clone()));
        broken = found.len() >= limit;
        if broken { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.scan(table, prefix, from, visit).unwrap();
    found
}

/// As `scan`, keys only.
pub fn scan_keys(store: &impl Read, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut broken = false;
    let visit = &mut |key: &[u8]| {
        assert!(!broken, "a visitor that broke off is called again");
        found.push(key.to_vec());
        broken = found.len() >= limit;
        if broken { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.scan_keys(table, prefix, from, visit).unwrap();
    found
}

/// What a scan of the model finds.
pub fn model_scan(rows: &Rows, table: Table, prefix: &[u8], from: &[u8], limit: usize) -> Vec<(Vec<u8>, Bytes)> {
    let found = rows.iter().filter(|((of, key), _)| *of == table && key.starts_with(prefix) && &key[..] >= from);
    found.map(|((_, key), row)| (key.clone(), row.clone())).take(limit.max(1)).collect()
}

/// Applies a batch to the model.
pub fn apply(rows: &mut Rows, batch: &WriteBatch) {
    for (table, key, row) in &batch.rows {
        match row {
            Some(row) => drop(rows.insert((*table, key.to_vec()), row.clone())),
            None => drop(rows.remove(&(*table, key.to_vec()))),
        }
    }
}

/// Rows in few words, for messages: a difference of megabytes helps nobody.
pub fn brief(rows: &Rows) -> Vec<String> {
    let brief = |bytes: &[u8]| format!("{:02x?}x{}", &bytes[..bytes.len().min(4)], bytes.len());
    rows.iter().map(|((table, key), row)| format!("{table:?} {} = {}", brief(key), brief(row))).collect()
}

/// That the store holds these rows.
#[track_caller]
pub fn assert_rows(store: &impl Read, wanted: &Rows, when: &str) {
    let found = rows(store);
    if found != *wanted {
        panic!("{when}: found {:#?}, wanted {:#?}", brief(&found), brief(wanted));
    }
    for ((table, key), row) in wanted {
        assert_eq!(store.get(*table, key).unwrap().as_ref(), Some(row), "{when}: get {table:?}");
    }
}

/// One thread and little memory: tests open many stores.
pub fn small() -> FjallOptions {
    let mut options = FjallOptions::default();
    options.cache_bytes = 1 << 20;
    options.memtable_bytes = 1 << 20;
    options.threads = 1;
    options
}
