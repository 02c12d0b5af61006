//! The end of fjall's journal after a power cut, and damage before it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use anabranch_core::store::{Store, Table};
use anabranch_store::{FjallStore, OpenError};
use std::{
    fs,
    path::{Path, PathBuf},
};
use support::{Rows, apply, batch, copy, rows, small};

fn open(path: &Path) -> Result<FjallStore, OpenError> {
    FjallStore::open_with(path, &small())
}

fn journal(path: &Path) -> PathBuf {
    let data = fs::read_dir(path.join("data")).unwrap().map(|entry| entry.unwrap().path());
    let mut journals: Vec<PathBuf> = data.filter(|path| path.extension().is_some_and(|end| end == "jnl")).collect();
    assert_eq!(journals.len(), 1);
    journals.remove(0)
}

/// Where the journal ends.
fn end(path: &Path) -> usize {
    let bytes = fs::read(journal(path)).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// A store of commits of a few kilobytes, a sync after some of them; with its rows and where its journal ended, after each.
struct Written {
    folder: tempfile::TempDir,
    moments: Vec<(Rows, usize)>,
}

fn written(commits: u8, sync_after: &[u8]) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut store = open(&path).unwrap();
    let mut model = Rows::new();
    let mut moments = vec![(model.clone(), 0)];
    for n in 0..commits {
        // Bytes that do not compress, and one row long enough that the engine would try.
        let noise: Vec<u8> = (0..6_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8 ^ n).collect();
        let writes = batch(&[(Table::Blocks, &[n], Some(&noise)), (Table::Heads, b"head", Some(&noise[..n.into()]))]);
        apply(&mut model, &writes);
        store.commit(writes).unwrap();
        if sync_after.contains(&n) {
            store.sync().unwrap();
        }
        // What the engine keeps back in its own buffer goes to the file with the sync, or at the latest when it is closed.
        moments.push((model.clone(), end(&path)));
    }
    drop(store);
    moments[usize::from(commits)].1 = end(&path);
    // Of the zeros behind it a few are enough, and copies are cheaper.
    let file = fs::OpenOptions::new().write(true).open(journal(&path)).unwrap();
    file.set_len(end(&path) as u64 + 4_096).unwrap();
    Written { folder, moments }
}

impl Written {
    /// A copy of the store, its journal changed.
    fn with(&self, change: impl FnOnce(&mut Vec<u8>)) -> (tempfile::TempDir, PathBuf) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("store");
        copy(&self.folder.path().join("store"), &path);
        let mut bytes = fs::read(journal(&path)).unwrap();
        change(&mut bytes);
        fs::write(journal(&path), bytes).unwrap();
        (place, path)
    }

    fn moment(&self, found: &Rows) -> Option<usize> {
        self.moments.iter().position(|(rows, _)| rows == found)
    }
}

#[test]
fn a_hole_in_what_was_not_synced_takes_only_that() {
    let written = written(6, &[3]);
    let (synced, end) = (written.moments[4].1, written.moments[6].1);
    assert!(synced < end);
    let mut found = [0; 7];
    for start in (synced..end).step_by(97) {
        for len in [1, 512, end] {
            let (_place, path) = written.with(|bytes| bytes[start..end.min(start + len)].fill(0));
            let moment = written.moment(&rows(&open(&path).unwrap())).expect("the rows of one moment");
            assert!(moment >= 4, "what was synced is there");
            found[moment] += 1;
            // And it goes on: what is written behind the cut is there at the next opening.
            let mut store = open(&path).unwrap();
            store.commit(batch(&[(Table::Meta, b"after", Some(b"it"))])).unwrap();
            store.sync().unwrap();
            drop(store);
            assert!(rows(&open(&path).unwrap()).contains_key(&(Table::Meta, b"after".to_vec())));
        }
    }
    assert!(found[4] > 0 && found[5] > 0, "both commits that were not synced were hit: {found:?}");
}

#[test]
fn damage_to_what_was_synced_is_refused() {
    let written = written(6, &[1, 3, 5]);
    // Of the first four commits: a batch behind them says that they were synced. The last one nobody vouches for.
    let vouched = written.moments[4].1;
    let mut refused = 0;
    for start in (0..vouched).step_by(131) {
        for bit in [0, 6] {
            let (_place, path) = written.with(|bytes| bytes[start] ^= 1 << bit);
            match open(&path) {
                Err(OpenError::Damaged { what, .. }) => {
                    assert!(what.contains("journal"), "{what}");
                    refused += 1;
                }
                Err(other) => panic!("byte {start}: {other}"),
                Ok(store) => assert_eq!(written.moment(&rows(&store)), Some(6), "byte {start}: only a sequence number"),
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn a_journal_that_is_whole_is_left_as_it_is() {
    let written = written(6, &[]);
    let (_place, path) = written.with(|_| {});
    let before = fs::read(journal(&path)).unwrap();
    assert_eq!(written.moment(&rows(&open(&path).unwrap())), Some(6));
    let end = written.moments[6].1;
    assert_eq!(before[..end], fs::read(journal(&path)).unwrap()[..end]);
}
