//! Rows that are not what was written show as damage, whatever changed in them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::{
    Bytes,
    store::{MemoryStore, Read, Store, StoreError, Table},
};
use anabranch_store::{Buffered, Checked};
use proptest::prelude::*;
use support::{assert_rows, batch, rows, scan, scan_keys};

/// What lies in the engine for a row of this table and key.
fn stored(table: Table, key: &[u8], row: &[u8]) -> Bytes {
    let mut store = Checked::new(MemoryStore::new());
    store.commit(batch(&[(table, key, Some(row))])).unwrap();
    store.engine().get(table, key).unwrap().unwrap()
}

/// A store whose engine holds these bytes in the place of a row.
fn holding(table: Table, key: &[u8], bytes: &[u8]) -> Checked<MemoryStore> {
    let mut engine = MemoryStore::new();
    engine.commit(batch(&[(table, key, Some(bytes))])).unwrap();
    Checked::new(engine)
}

fn is_damage(result: Result<impl std::fmt::Debug, StoreError>, table: Table) -> bool {
    let text = format!("{table:?}");
    matches!(result, Err(StoreError::Corrupt(what)) if what.contains(&text) && what.contains("checksum"))
}

/// The row shows as damage where it is read, in the store and in a snapshot of it, and is never given to a visitor.
#[track_caller]
fn assert_damaged(mut store: Checked<MemoryStore>, table: Table, key: &[u8], what: &str) {
    let snapshot = store.snapshot().unwrap();
    for view in [&store as &dyn Read, &snapshot] {
        assert!(is_damage(view.get(table, key), table), "{what}: get");
        let scan = view.scan(table, &[], &[], &mut |_, row| panic!("{what}: a visitor is given {row:?}"));
        assert!(is_damage(scan, table), "{what}: scan");
    }
}

#[test]
fn every_flipped_bit_shows() {
    for (table, key, row) in [
        (Table::Keys, &b"key"[..], &b"a row of some length, as rows are"[..]),
        (Table::Meta, b"", b""),
        (Table::Blocks, &[0xff; 36], &[0x12; 300]),
        (Table::Heads, b"h", b"\0"),
    ] {
        let good = stored(table, key, row);
        assert_eq!(holding(table, key, &good).get(table, key).unwrap().unwrap(), row);
        for bit in 0..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_damaged(holding(table, key, &bad), table, key, &format!("bit {bit} of {table:?}"));
        }
    }
}

#[test]
fn every_row_cut_short_or_drawn_out_shows() {
    let good = stored(Table::Keys, b"key", b"a row of some length");
    for len in 0..good.len() {
        assert_damaged(holding(Table::Keys, b"key", &good[..len]), Table::Keys, b"key", &format!("{len} bytes"));
        assert_damaged(holding(Table::Keys, b"key", &good[len + 1..]), Table::Keys, b"key", "without its beginning");
    }
    for more in [&b"\0"[..], b"\xff", &[0; 8], &good] {
        let long = [&good, more].concat();
        assert_damaged(holding(Table::Keys, b"key", &long), Table::Keys, b"key", "with more at its end");
    }
    for zeros in 0..20 {
        assert_damaged(holding(Table::Keys, b"key", &vec![0; zeros]), Table::Keys, b"key", "zeros");
    }
}

#[test]
fn a_row_in_the_place_of_another_shows() {
    let row = b"the same row";
    for (at, table) in Table::ALL.into_iter().enumerate() {
        let other = Table::ALL[(at + 1) % Table::ALL.len()];
        let good = stored(table, b"key", row);
        assert_damaged(holding(other, b"key", &good), other, b"key", "of another table");
        for key in [&b"kez"[..], b"ke", b"key\0", b"", b"\0key"] {
            assert_damaged(holding(table, key, &good), table, key, "of another key");
        }
        // Where key ends and row begins is part of the sum.
        assert_damaged(holding(table, b"keyt", &good[1..]), table, b"keyt", "a byte moved to the key");
    }
}

#[test]
fn a_scan_gives_the_rows_before_the_damage_and_none_after() {
    let mut store = Checked::new(MemoryStore::new());
    store.commit(batch(&[(Table::Keys, b"a", Some(b"1")), (Table::Keys, b"c", Some(b"3"))])).unwrap();
    let mut engine = store.engine().clone();
    engine.commit(batch(&[(Table::Keys, b"b", Some(b"not a row"))])).unwrap();
    let store = Checked::new(engine);
    let mut seen = Vec::new();
    let done = store.scan(Table::Keys, &[], &[], &mut |key, _| {
        seen.push(key.to_vec());
        std::ops::ControlFlow::Continue(())
    });
    assert!(is_damage(done, Table::Keys));
    assert_eq!(seen, [b"a"]);
    // What is not read does not show; rows elsewhere are read as ever.
    assert_eq!(scan(&store, Table::Keys, &[], &[], 1).len(), 1);
    assert_eq!(scan(&store, Table::Keys, b"c", &[], 9).len(), 1);
}

#[test]
fn a_removed_row_is_gone() {
    let mut store = Checked::new(MemoryStore::new());
    store.commit(batch(&[(Table::Keys, b"a", Some(b"1"))])).unwrap();
    store.commit(batch(&[(Table::Keys, b"a", None)])).unwrap();
    assert_eq!(store.engine(), &MemoryStore::new());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

    /// The cost is eight bytes a row, and the row comes back.
    #[test]
    fn a_row_costs_eight_bytes(at in 0..11_usize, key in prop::collection::vec(any::<u8>(), 0..80), row in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let good = stored(Table::ALL[at], &key, &row);
        prop_assert_eq!(good.len(), row.len() + 8);
        let store = holding(Table::ALL[at], &key, &good);
        assert_rows(&store, &[((Table::ALL[at], key), row.into())].into(), "as written");
        prop_assert_eq!(rows(&store).len(), 1);
    }

    /// Longer damage than a bit: bytes written over, anywhere.
    #[test]
    fn a_row_written_over_shows(row in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), over in prop::collection::vec(any::<u8>(), 1..40)) {
        let good = stored(Table::Bodies, b"key", &row);
        let mut bad = good.to_vec();
        let at = at.index(bad.len());
        bad.iter_mut().skip(at).zip(&over).for_each(|(byte, over)| *byte = *over);
        if bad != good {
            assert_damaged(holding(Table::Bodies, b"key", &bad), Table::Bodies, b"key", "written over");
        }
    }
}

/// Keys of damaged rows show, through every layer, so that whoever mends the store can find and remove them.
#[test]
fn a_scan_of_keys_shows_damaged_rows_too() {
    let mut engine = MemoryStore::new();
    for table in [Table::Keys, Table::Heads] {
        for (key, row) in [(b"a", stored(table, b"a", b"1")), (b"c", stored(table, b"c", b"3"))] {
            engine.commit(batch(&[(table, key, Some(&row))])).unwrap();
        }
        engine.commit(batch(&[(table, b"b", Some(b"no sum at all"))])).unwrap();
    }
    let mut checked = Checked::new(engine.clone());
    let snapshot = checked.snapshot().unwrap();
    let mut buffered = Buffered::new(Checked::new(engine)).unwrap();
    let all = [b"a".to_vec(), b"b".to_vec(), b"c".to_vec()];
    for table in [Table::Keys, Table::Heads] {
        assert_eq!(scan_keys(&checked, table, &[], &[], 99), all);
        assert_eq!(scan_keys(&snapshot, table, &[], &[], 99), all);
        assert_eq!(scan_keys(&buffered, table, &[], &[], 99), all);
        assert!(is_damage(buffered.get(table, b"b"), table));
        // What is held back is laid over the rows below, and the damaged one can be removed.
        buffered.commit(batch(&[(table, b"b", None), (table, b"d", Some(b"4"))])).unwrap();
        let mended = [b"a".to_vec(), b"c".to_vec(), b"d".to_vec()];
        assert_eq!(scan_keys(&buffered, table, &[], &[], 99), mended);
        assert_eq!(scan_keys(&buffered, table, &[], b"b", 1), [b"c".to_vec()]);
        buffered.sync().unwrap();
        assert_eq!(scan_keys(&buffered, table, &[], &[], 99), mended);
        assert_eq!(scan_keys(&buffered.snapshot().unwrap(), table, b"d", &[], 99), [b"d".to_vec()]);
    }
}
