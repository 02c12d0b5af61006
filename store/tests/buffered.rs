//! The layer that holds commits back: what reaches the engine, when, and what is read meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::store::{MemoryStore, Read, Store, StoreError, Table, WriteBatch};
use anabranch_store::Buffered;
use proptest::prelude::*;
use std::{cell::RefCell, rc::Rc};
use support::{
    Counting, Log, Rows, apply, assert_rows, batch,
    ops::{Op, Uses, run, write_batch},
    scan,
};

/// The tables whose front is in memory, and one that is not.
const TABLES: [Table; 7] =
    [Table::Meta, Table::Heads, Table::Waiting, Table::Wants, Table::Ready, Table::Bodies, Table::Early];
const WINDOWED: Table = Table::Wants;

type Layer = Buffered<Counting<MemoryStore>>;

fn layer(rows: MemoryStore, window: usize) -> (Layer, Rc<RefCell<Log>>) {
    let engine = Counting::new(rows);
    let log = engine.log.clone();
    (Buffered::with_window(engine, window).unwrap(), log)
}

fn key(n: u16) -> [u8; 2] {
    n.to_be_bytes()
}

fn put(store: &mut impl Store, table: Table, keys: impl IntoIterator<Item = u16>) {
    for n in keys {
        store.commit(batch(&[(table, &key(n), Some(&key(n)))])).unwrap();
    }
}

fn remove(store: &mut impl Store, table: Table, keys: impl IntoIterator<Item = u16>) {
    for n in keys {
        store.commit(batch(&[(table, &key(n), None)])).unwrap();
    }
}

fn keys(store: &impl Read, table: Table, limit: usize) -> Vec<u16> {
    let rows = scan(store, table, &[], &[], limit);
    rows.into_iter().map(|(key, _)| u16::from_be_bytes(key.try_into().unwrap())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn windows_of_any_size_change_nothing(window in 0_usize..9, ops in Uses::busy(&TABLES, 80).strategy()) {
        run(&ops, |before: Option<Buffered<MemoryStore>>| {
            let rows = before.map_or_else(MemoryStore::new, |store| store.engine().clone());
            Buffered::with_window(rows, window).unwrap()
        });
    }

    #[test]
    fn one_table_and_few_keys(window in 0_usize..5, ops in Uses::busy(&[WINDOWED], 80).strategy()) {
        run(&ops, |before: Option<Buffered<MemoryStore>>| {
            let rows = before.map_or_else(MemoryStore::new, |store| store.engine().clone());
            Buffered::with_window(rows, window).unwrap()
        });
    }

    /// With room for all rows, the engine is told of what is there and of the removal of what it was told, once a sync.
    #[test]
    fn the_engine_is_told_no_more_than_it_must(ops in Uses::busy(&TABLES[..6], 80).strategy()) {
        let (mut store, log) = layer(MemoryStore::new(), 1_000);
        let (mut model, mut told) = (Rows::new(), Rows::new());
        for op in ops {
            match op {
                Op::Commit(changes) => {
                    let batch = write_batch(&changes);
                    apply(&mut model, &batch);
                    store.commit(batch).unwrap();
                    prop_assert!(log.borrow().commits.is_empty(), "a commit goes on before the sync");
                }
                Op::Sync => {
                    store.sync().unwrap();
                    let commits = std::mem::take(&mut log.borrow_mut().commits);
                    prop_assert!(commits.len() <= 1, "one commit a sync");
                    for batch in commits {
                        for (table, key, row) in &batch.rows {
                            let at = (*table, key.to_vec());
                            prop_assert_eq!(model.get(&at), row.as_ref(), "the row as it is now");
                            prop_assert!(row.is_some() || told.contains_key(&at), "told of a removal of what it never had");
                        }
                        apply(&mut told, &batch);
                    }
                    prop_assert!(told == model, "the engine has all rows after a sync");
                    assert_rows(&store.engine().inner, &model, "the engine after a sync");
                }
                _ => {}
            }
        }
    }
}

#[test]
fn rows_that_come_and_go_between_syncs_never_reach_the_engine() {
    let (mut store, log) = layer(MemoryStore::new(), 100);
    for _ in 0..50 {
        put(&mut store, WINDOWED, 0..10);
        assert_eq!(keys(&store, WINDOWED, 20), (0..10).collect::<Vec<_>>());
        remove(&mut store, WINDOWED, 0..10);
        assert_eq!(keys(&store, WINDOWED, 20), []);
    }
    store.sync().unwrap();
    assert_eq!((log.borrow().commits.len(), log.borrow().syncs), (0, 1), "not even a batch");
    assert_eq!(log.borrow().scanned, 0, "and no row was read there");
}

#[test]
fn a_removal_that_the_engine_is_yet_to_be_told_of_is_not_forgotten() {
    let (mut store, log) = layer(MemoryStore::new(), 100);
    put(&mut store, WINDOWED, [1]);
    store.sync().unwrap();
    // Removed, written and removed again before the engine hears of the first removal.
    remove(&mut store, WINDOWED, [1]);
    put(&mut store, WINDOWED, [1]);
    remove(&mut store, WINDOWED, [1]);
    store.sync().unwrap();
    assert_eq!(log.borrow().commits.last(), Some(&batch(&[(WINDOWED, &key(1), None)])));
    assert_eq!(store.engine().inner, MemoryStore::new());
    // And once more, with a sync in between: now the engine has nothing to be told.
    remove(&mut store, WINDOWED, [1]);
    store.sync().unwrap();
    assert_eq!(log.borrow().commits.len(), 2);
}

/// More changes between two syncs than are listed: the window is walked for them.
#[test]
fn very_many_changes_are_all_told() {
    let (mut store, log) = layer(MemoryStore::new(), 10_000);
    put(&mut store, WINDOWED, 0..3_000);
    remove(&mut store, WINDOWED, 1_000..2_000);
    store.sync().unwrap();
    assert_eq!(log.borrow().commits.last().unwrap().rows.len(), 2_000, "what came and went is not told of");
    remove(&mut store, WINDOWED, 0..3_000);
    put(&mut store, WINDOWED, 500..600);
    assert_eq!(keys(&store, WINDOWED, 9_999), (500..600).collect::<Vec<_>>());
    store.sync().unwrap();
    assert_eq!(log.borrow().commits.last().unwrap().rows.len(), 2_000);
    assert_eq!(keys(&store.engine().inner, WINDOWED, 9_999), (500..600).collect::<Vec<_>>());
    store.sync().unwrap();
    assert_eq!(log.borrow().commits.len(), 2, "nothing is told twice");
}

#[test]
fn a_removal_due_survives_the_window_that_moves_on() {
    let (mut store, _) = layer(MemoryStore::new(), 4);
    put(&mut store, WINDOWED, 0..10);
    store.sync().unwrap();
    // The window ends somewhere in here; all that it holds goes, and it is read again from the engine, which still has the rows.
    remove(&mut store, WINDOWED, 0..6);
    assert_eq!(keys(&store, WINDOWED, 20), [6, 7, 8, 9]);
    put(&mut store, WINDOWED, [2]);
    assert_eq!(keys(&store, WINDOWED, 20), [2, 6, 7, 8, 9]);
    remove(&mut store, WINDOWED, [2]);
    store.sync().unwrap();
    assert_eq!(keys(&store.engine().inner, WINDOWED, 20), [6, 7, 8, 9]);
}

#[test]
fn a_window_moves_on_when_it_is_emptied_and_reads_each_row_about_once() {
    let mut rows = MemoryStore::new();
    put(&mut rows, WINDOWED, 0..1_000);
    let (mut store, log) = layer(rows, 20);
    for n in 0..1_000 {
        assert_eq!(keys(&store, WINDOWED, 3), (n..1_000).take(3).collect::<Vec<_>>());
        remove(&mut store, WINDOWED, [n]);
        if n % 100 == 99 {
            store.sync().unwrap();
        }
    }
    assert_eq!(keys(&store, WINDOWED, 3), []);
    assert_eq!(store.engine().inner, MemoryStore::new());
    // 100 windows of 10 rows, each read with the row that it ends before, and 6 rows beyond it when fewer than three are left in
    // it. Without windows the scans would pass over the removed rows of up to 100 commits again and again: some 50,000 rows.
    let scanned = log.borrow().scanned;
    assert!(scanned <= 1_700, "{scanned} rows were read in the engine");
}

#[test]
fn a_window_that_grows_too_large_is_split_and_forgets_no_row() {
    for window in 2..9 {
        // Rising, falling, and from the middle.
        let mixed: Vec<u16> = (0..40).map(|n| (n * 17) % 40).collect();
        for order in [(0..40).collect::<Vec<_>>(), (0..40).rev().collect(), mixed] {
            let (mut store, _) = layer(MemoryStore::new(), window);
            for (count, n) in order.iter().enumerate() {
                put(&mut store, WINDOWED, [*n]);
                let mut wanted = order[..=count].to_vec();
                wanted.sort_unstable();
                assert_eq!(keys(&store, WINDOWED, 99), wanted, "window {window}");
            }
            // Half of it before the engine has heard of it, half after.
            remove(&mut store, WINDOWED, order[..20].iter().copied());
            store.sync().unwrap();
            remove(&mut store, WINDOWED, order[20..].iter().copied());
            assert_eq!(keys(&store, WINDOWED, 99), []);
            store.sync().unwrap();
            assert_eq!(store.engine().inner, MemoryStore::new(), "window {window}");
        }
    }
}

#[test]
fn a_large_write_is_handed_on_before_the_sync() {
    let (mut store, log) = layer(MemoryStore::new(), 100);
    let row = vec![1; 1 << 20];
    for n in 0..40_u8 {
        store.commit(batch(&[(Table::Blocks, &[n], Some(&row))])).unwrap();
        let held = usize::from(n) + 1 - log.borrow().commits.iter().map(|batch| batch.rows.len()).sum::<usize>();
        assert!(held <= 18, "{held} MiB are held");
    }
    assert_eq!((log.borrow().commits.len(), log.borrow().syncs), (2, 0));
    assert_eq!(scan(&store, Table::Blocks, &[], &[], 99).len(), 40);
}

#[test]
fn rows_written_over_are_held_once() {
    let (mut store, log) = layer(MemoryStore::new(), 100);
    let row = vec![1; 1 << 20];
    for table in [Table::Keys, Table::Bodies] {
        for n in 0..100 {
            store.commit(batch(&[(table, b"k", Some(&row))])).unwrap();
            if n % 2 == 0 {
                store.commit(batch(&[(table, b"k", None)])).unwrap();
            }
        }
    }
    assert!(log.borrow().commits.is_empty(), "100 MiB passed, two were there at any time");
}

/// All that can be asked of a layer fails, and nothing of it reaches the engine.
#[track_caller]
fn assert_stopped(mut store: Layer, log: &Rc<RefCell<Log>>) {
    let (commits, syncs) = (log.borrow().commits.len(), log.borrow().syncs);
    let stopped = |error: Option<StoreError>| match error {
        Some(StoreError::Io(why)) => assert!(why.contains("open it again"), "{why}"),
        other => panic!("{other:?}"),
    };
    stopped(store.get(WINDOWED, b"a").err());
    stopped(store.get(Table::Keys, b"a").err());
    stopped(store.scan(WINDOWED, &[], &[], &mut |_, _| panic!("a row")).err());
    stopped(store.commit(WriteBatch::default()).err());
    stopped(store.commit(batch(&[(WINDOWED, b"a", None)])).err());
    stopped(store.sync().err());
    stopped(store.snapshot().err());
    assert_eq!((log.borrow().commits.len(), log.borrow().syncs), (commits, syncs));
}

#[test]
fn an_engine_that_fails_stops_the_layer() {
    let told = |fail: fn(&mut Log), go: &dyn Fn(&mut Layer) -> Option<StoreError>| {
        let (mut store, log) = layer(MemoryStore::new(), 100);
        put(&mut store, WINDOWED, 0..5);
        put(&mut store, Table::Keys, 0..5);
        fail(&mut log.borrow_mut());
        assert_eq!(go(&mut store), Some(StoreError::Io("told to fail".into())), "the engine's own words");
        // It works again, which is too late: what was lost meanwhile is unknown.
        let mut now = log.borrow_mut();
        (now.fail_commit, now.fail_sync) = (false, false);
        drop(now);
        assert_stopped(store, &log);
    };
    told(|log| log.fail_commit = true, &|store| store.sync().err());
    told(|log| log.fail_commit = true, &|store| store.snapshot().err());
    told(|log| log.fail_sync = true, &|store| store.sync().err());
    told(|log| log.fail_commit = true, &|store| {
        // The commit that finds too much held hands it on, and takes nothing of its own.
        let row = vec![1; 9 << 20];
        store.commit(batch(&[(Table::Blocks, b"a", Some(&row))])).unwrap();
        store.commit(batch(&[(Table::Blocks, b"b", Some(&row))])).unwrap();
        store.commit(batch(&[(Table::Blocks, b"c", Some(&row))])).err()
    });
}

#[test]
fn an_engine_that_cannot_be_read_fails_a_commit_whole() {
    let mut rows = MemoryStore::new();
    put(&mut rows, WINDOWED, 0..10);
    let (mut store, log) = layer(rows.clone(), 4);
    // Empties the window: the next commit must read on.
    remove(&mut store, WINDOWED, 0..2);
    log.borrow_mut().fail_read = true;
    assert!(store.commit(batch(&[(WINDOWED, b"zz", Some(b"")), (Table::Keys, b"k", Some(b""))])).is_err());
    log.borrow_mut().fail_read = false;
    assert_eq!(store.get(WINDOWED, b"zz"), Ok(None));
    assert_eq!(store.get(Table::Keys, b"k"), Ok(None));
    assert_eq!(keys(&store, WINDOWED, 20), (2..10).collect::<Vec<_>>());
    log.borrow_mut().fail_read = true;
    assert!(Buffered::new(Counting { inner: rows, log }).is_err(), "nor is it opened");
}
