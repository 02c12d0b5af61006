//! Damaged files of engines: never a panic, never a false row, and a store that cannot be opened says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::store::{Store, StoreError, Table};
use anabranch_store::{OpenError, open_redb, open_with};
use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};
use support::{Rows, apply, batch, copy, rows, small};

type Damage = fn(&mut Vec<u8>);

/// What is done to a file.
const DAMAGES: [(&str, Damage); 9] = [
    ("emptied", |bytes| bytes.clear()),
    ("cut in half", |bytes| bytes.truncate(bytes.len() / 2)),
    ("cut by a byte", |bytes| bytes.truncate(bytes.len().saturating_sub(1))),
    ("zeros", |bytes| bytes.fill(0)),
    ("ones", |bytes| bytes.fill(0xff)),
    ("garbage", |bytes| garbage(bytes)),
    ("garbage at the beginning", |bytes| garbage(first(bytes, 64))),
    ("garbage in the middle", |bytes| {
        let middle = bytes.len() / 2;
        garbage(first(&mut bytes[middle..], 64));
    }),
    ("garbage at the end", |bytes| {
        let end = bytes.len().saturating_sub(32);
        garbage(&mut bytes[end..]);
    }),
];

/// Places in a long file that are damaged, one at a time.
const PLACES: usize = 100;

fn first(bytes: &mut [u8], len: usize) -> &mut [u8] {
    let len = len.min(bytes.len());
    &mut bytes[..len]
}

fn garbage(bytes: &mut [u8]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ bytes.len() as u64;
    for byte in bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *byte = (state >> 56) as u8;
    }
}

fn files(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_dir() { found.extend(files(&entry)) } else { found.push(entry) }
    }
    found.sort();
    found
}

/// Rows of all tables, some in long-lived files and some in the log.
fn fill(store: &mut impl Store) -> Rows {
    let mut model = Rows::new();
    for round in 0..40_u8 {
        for table in Table::ALL {
            let mut row = vec![round; if table == Table::Blocks { 60_000 } else { 3_000 }];
            garbage(&mut row[..1_000 + usize::from(round)]);
            let changes = batch(&[(table, &[round, table as u8], Some(&row)), (table, &[round / 2], Some(&[round]))]);
            apply(&mut model, &changes);
            store.commit(changes).unwrap();
        }
        if round % 8 == 7 {
            store.sync().unwrap();
        }
    }
    model
}

/// Opens the damaged store and uses it. Nothing false is read; the rest may fail, but not panic. Says whether it was noticed.
#[track_caller]
fn use_it<S: Store>(opened: Result<S, OpenError>, wanted: &Rows, what: &str) -> bool {
    let mut store = match opened {
        Ok(store) => store,
        Err(error) => {
            let line = error.to_string();
            assert!(matches!(error, OpenError::Damaged { .. }), "{what}: {line}");
            assert!(!line.contains('\n') && line.contains("restore it, or start empty"), "{what}: {line}");
            return true;
        }
    };
    let mut noticed = false;
    let check = |table: Table, key: &[u8], row: &[u8]| {
        // Of a row that is written twice the earlier bytes are as it was, only older.
        let good = match wanted.get(&(table, key.to_vec())) {
            Some(wanted) => row == wanted || (key.len() == 1 && row == [key[0] * 2]),
            None => false,
        };
        assert!(good, "{what}: a false row in {table:?}");
    };
    let corrupt = |error: StoreError| assert!(matches!(error, StoreError::Corrupt(_)), "{what}: {error:?}");
    for table in Table::ALL {
        let done = store.scan(table, &[], &[], &mut |key, row| {
            check(table, key, row);
            ControlFlow::Continue(())
        });
        noticed |= done.map_err(corrupt).is_err();
    }
    for (table, key) in wanted.keys() {
        match store.get(*table, key) {
            Ok(Some(row)) => check(*table, key, &row),
            Ok(None) => noticed = true,
            Err(error) => {
                corrupt(error);
                noticed = true;
            }
        }
    }
    let written = store.commit(batch(&[(Table::Keys, b"later", Some(b"row"))]));
    noticed | written.and_then(|()| store.sync()).is_err()
}

/// Damages each file below `data` of a store in each way.
fn damage<S: Store>(made: &Path, data: &str, wanted: &Rows, open: impl Fn(&Path) -> Result<S, OpenError>) {
    assert_eq!(rows(&open(made).unwrap()), *wanted, "the rows without damage");
    let (mut noticed, mut all) = (0, 0);
    for file in files(made).iter().filter(|file| file.strip_prefix(made).unwrap().starts_with(data)) {
        let file = file.strip_prefix(made).unwrap();
        for (what, change) in DAMAGES {
            let folder = tempfile::tempdir().unwrap();
            copy(made, folder.path());
            let mut bytes = fs::read(folder.path().join(file)).unwrap();
            let before = bytes.clone();
            change(&mut bytes);
            if bytes == before {
                continue;
            }
            fs::write(folder.path().join(file), bytes).unwrap();
            noticed += usize::from(use_it(open(folder.path()), wanted, &format!("{}: {what}", file.display())));
            all += 1;
        }
        let folder = tempfile::tempdir().unwrap();
        copy(made, folder.path());
        fs::remove_file(folder.path().join(file)).unwrap();
        noticed += usize::from(use_it(open(folder.path()), wanted, &format!("{}: removed", file.display())));
        all += 1;
    }
    for (file, at) in places(made, data) {
        let folder = tempfile::tempdir().unwrap();
        copy(made, folder.path());
        let mut bytes = fs::read(folder.path().join(&file)).unwrap();
        garbage(first(&mut bytes[at..], 16));
        fs::write(folder.path().join(&file), bytes).unwrap();
        let what = format!("{}: garbage at {at}", file.display());
        noticed += usize::from(use_it(open(folder.path()), wanted, &what));
        all += 1;
    }
    println!("{data}: {all} damages, {noticed} noticed");
    assert!(noticed > 0);
}

/// Places spread over the files, more in longer ones.
fn places(made: &Path, data: &str) -> Vec<(PathBuf, usize)> {
    let mut found = Vec::new();
    for file in files(made).iter().filter(|file| file.strip_prefix(made).unwrap().starts_with(data)) {
        let len = fs::metadata(file).unwrap().len() as usize;
        // Not a multiple of a page: so that heads, middles and ends of pages are met.
        let step = (len / PLACES).max(4_096) + 61;
        found.extend((0..len).step_by(step).map(|at| (file.strip_prefix(made).unwrap().to_path_buf(), at)));
    }
    found
}

#[test]
fn damaged_files_of_fjall() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = fill(&mut open_with(folder.path(), &small()).unwrap());
    damage(folder.path(), "data", &wanted, |path| open_with(path, &small()));
}

#[test]
fn damaged_files_of_redb() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = fill(&mut open_redb(folder.path()).unwrap());
    damage(folder.path(), "data.redb", &wanted, |path| open_redb(path));
}
