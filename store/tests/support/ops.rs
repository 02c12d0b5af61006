//! Random uses of a store, run against a model.

use super::{Rows, apply, assert_rows, brief, model_scan, rows, scan, scan_keys};
use anabranch_core::{
    Bytes,
    store::{ROW_KEY_BYTES_MAX, Read, Store, Table, WriteBatch},
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One use of a store.
#[derive(Clone, Debug)]
pub enum Op {
    Commit(Vec<(Table, Key, Option<Row>)>),
    Sync,
    Get(Table, Key),
    Scan {
        table: Table,
        prefix: Key,
        from: Key,
        limit: usize,
    },
    /// Taken, held across later commits and checked after each.
    Snapshot,
    /// Synced, dropped and opened again.
    Reopen,
    /// Dropped without a sync and opened again.
    Drop,
}

/// A row key: some bytes, drawn out to some length.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<u8>, usize);

impl Key {
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.0.clone();
        bytes.resize(self.1.max(bytes.len()), 0x61);
        bytes
    }
}

/// A row: a length, and what tells it from others of that length.
#[derive(Clone, Debug)]
pub struct Row(usize, u8);

impl Row {
    fn bytes(&self) -> Bytes {
        (0..self.0).map(|at| (at as u8).wrapping_mul(31) ^ (at >> 8) as u8 ^ self.1).collect()
    }
}

/// What a run draws from.
#[derive(Clone, Debug)]
pub struct Uses {
    pub tables: Vec<Table>,
    pub long_keys: bool,
    pub long_rows: bool,
    pub ops: usize,
}

impl Uses {
    /// All tables, keys and rows of all lengths.
    pub fn all(ops: usize) -> Self {
        Self { tables: Table::ALL.to_vec(), long_keys: true, long_rows: true, ops }
    }

    /// Short keys that come and go in these tables.
    pub fn busy(tables: &[Table], ops: usize) -> Self {
        Self { tables: tables.to_vec(), long_keys: false, long_rows: false, ops }
    }

    pub fn strategy(&self) -> impl Strategy<Value = Vec<Op>> + use<> {
        prop::collection::vec(self.op(), 1..=self.ops)
    }

    fn op(&self) -> impl Strategy<Value = Op> + use<> {
        let table = || prop::sample::select(self.tables.clone());
        let (key, row) = (key(self.long_keys), row(self.long_rows));
        let change = (table(), key.clone(), prop::option::weighted(0.6, row));
        prop_oneof![
            10 => prop::collection::vec(change, 0..12).prop_map(Op::Commit),
            3 => Just(Op::Sync),
            3 => (table(), key.clone()).prop_map(|(table, key)| Op::Get(table, key)),
            5 => (table(), prefix(), key, 0_usize..20)
                .prop_map(|(table, prefix, from, limit)| Op::Scan { table, prefix, from, limit }),
            1 => Just(Op::Snapshot),
            1 => Just(Op::Reopen),
            1 => Just(Op::Drop),
        ]
    }
}

fn key(long: bool) -> BoxedStrategy<Key> {
    let first = prop::sample::select(vec![0_u8, 1, 0x61, 0xfe, 0xff]);
    let short = prop::collection::vec(first, 0..3).prop_map(|bytes| Key(bytes, 0)).boxed();
    if !long {
        return short;
    }
    let lengths = prop::sample::select(vec![3, 36, 255, 256, 1_000, ROW_KEY_BYTES_MAX - 1, ROW_KEY_BYTES_MAX]);
    let long = (short.clone(), lengths).prop_map(|(Key(bytes, _), len)| Key(bytes, len));
    prop_oneof![3 => short, 1 => long].boxed()
}

fn prefix() -> impl Strategy<Value = Key> + Clone {
    prop_oneof![2 => Just(Key(Vec::new(), 0)), 1 => key(false)]
}

fn row(long: bool) -> BoxedStrategy<Row> {
    let short = (0_usize..40, any::<u8>()).prop_map(|(len, fill)| Row(len, fill)).boxed();
    if !long {
        return short;
    }
    let lengths = prop::sample::select(vec![0, 1_023, 1_024, 1_025, 4_096, 70_000]);
    let middle = (lengths, any::<u8>()).prop_map(|(len, fill)| Row(len, fill));
    let long = any::<u8>().prop_map(|fill| Row(1 << 20, fill));
    prop_oneof![60 => short, 20 => middle, 1 => long].boxed()
}

/// Runs the uses on a store and on the model. `reopen` takes the store of before, none at first.
pub fn run<S: Store>(ops: &[Op], mut reopen: impl FnMut(Option<S>) -> S) {
    let mut store = Some(reopen(None));
    let mut model = Rows::new();
    // What the rows were at the last sync and after each commit since: what a drop may leave.
    let mut since_sync = vec![model.clone()];
    let mut snapshots: Vec<(S::Snapshot, Rows)> = Vec::new();
    for op in ops {
        let now = store.as_mut().unwrap();
        match op {
            Op::Commit(changes) => {
                let batch = write_batch(changes);
                apply(&mut model, &batch);
                now.commit(batch).unwrap();
                since_sync.push(model.clone());
                snapshots.iter().for_each(|(at, wanted)| assert_rows(at, wanted, "a snapshot after later commits"));
            }
            Op::Sync => {
                now.sync().unwrap();
                since_sync = vec![model.clone()];
            }
            Op::Get(table, key) => {
                let key = key.bytes();
                let wanted = model.get(&(*table, key.clone()));
                assert_eq!(now.get(*table, &key).unwrap().as_ref(), wanted, "get {table:?}");
            }
            Op::Scan { table, prefix, from, limit } => {
                let (prefix, from) = (prefix.bytes(), from.bytes());
                let wanted = model_scan(&model, *table, &prefix, &from, *limit);
                assert_eq!(scan(now, *table, &prefix, &from, *limit), wanted, "scan {table:?}");
                let keys: Vec<Vec<u8>> = wanted.into_iter().map(|(key, _)| key).collect();
                assert_eq!(scan_keys(now, *table, &prefix, &from, *limit), keys, "scan_keys {table:?}");
                if let Some((snapshot, then)) = snapshots.last() {
                    let keys = model_scan(then, *table, &prefix, &from, *limit).into_iter().map(|(key, _)| key);
                    let found = scan_keys(snapshot, *table, &prefix, &from, *limit);
                    assert_eq!(found, keys.collect::<Vec<_>>(), "scan_keys {table:?} of a snapshot");
                }
            }
            Op::Snapshot => {
                snapshots.truncate(2);
                snapshots.push((now.snapshot().unwrap(), model.clone()));
            }
            Op::Reopen => {
                snapshots.clear();
                now.sync().unwrap();
                store = Some(reopen(store.take()));
                assert_rows(store.as_ref().unwrap(), &model, "after a sync and opening again");
                since_sync = vec![model.clone()];
            }
            Op::Drop => {
                snapshots.clear();
                let again = reopen(store.take());
                model = rows(&again);
                if !since_sync.contains(&model) {
                    panic!("after a drop, not the rows of any moment since the sync: {:#?}", brief(&model));
                }
                since_sync = vec![model.clone()];
                store = Some(again);
            }
        }
    }
    assert_rows(store.as_ref().unwrap(), &model, "at the end");
}

/// The changes, the last of each row.
pub fn write_batch(changes: &[(Table, Key, Option<Row>)]) -> WriteBatch {
    let last: BTreeMap<_, _> = changes.iter().map(|(table, key, row)| ((*table, key.bytes()), row)).collect();
    let rows = last.into_iter().map(|((table, key), row)| (table, key.into(), row.as_ref().map(Row::bytes)));
    WriteBatch { rows: rows.collect() }
}
