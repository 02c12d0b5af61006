//! A disk as the release before wrote it: rows in format 1, which the core upgrades when it opens them.
//!
//! Format 1 had no generations in the rows of obligations, shorter counts, and no tables for the feed, for tasks, for purged and for abandoned
//! blocks. All else is the same, so a disk of today is set back row by row.

use anabranch_core::{
    Bytes,
    store::{Read, Store, StoreError, Table, WriteBatch},
};
use std::ops::ControlFlow;

const FORMAT: &[u8] = b"format";
const COUNTS: &[u8] = b"counts";
const FEED: &[u8] = b"feed";
const TASK: &[u8] = b"task";
/// The bytes of the row of counts: eleven words.
const COUNTS_LEN: usize = 11 * 8;
/// Rows of nodes: what they are, and their length without a generation, and without the parents that they name.
const PENDING: (u8, usize) = (3, 18);
const WANTED: (u8, usize) = (4, 5);
/// Nodes that format 1 did not know.
const NEWER: [u8; 3] = [5, 6, 7];
const GENERATION_LEN: usize = 4;

/// Sets the rows of a store back. Says whether that was possible: not where there are none, or where something stands in them that format 1
/// had no place for.
///
/// # Errors
/// When the store fails.
pub(super) fn set_back<S: Store>(store: &mut S) -> Result<bool, StoreError> {
    let holds = |table| rows_of(store, table).map(|rows| !rows.is_empty());
    if store.get(Table::Meta, FORMAT)?.is_none() || store.get(Table::Meta, TASK)?.is_some() {
        return Ok(false);
    }
    if holds(Table::Stubs)? || holds(Table::Derive)? {
        return Ok(false);
    }
    let mut batch = WriteBatch::default();
    let mut write = |table, key: &[u8], row| batch.rows.push((table, Bytes::copy_from_slice(key), row));
    write(Table::Meta, FORMAT, Some(Bytes::copy_from_slice(&1_u32.to_le_bytes())));
    write(Table::Meta, FEED, None);
    if let Some(counts) = store.get(Table::Meta, COUNTS)? {
        write(Table::Meta, COUNTS, Some(counts.slice(..counts.len().min(COUNTS_LEN))));
    }
    for (key, _) in rows_of(store, Table::Log)? {
        write(Table::Log, &key, None);
    }
    for (key, row) in rows_of(store, Table::Ready)? {
        if !row.is_empty() {
            write(Table::Ready, &key, Some(Bytes::new()));
        }
    }
    for (key, row) in rows_of(store, Table::Nodes)? {
        let Some(kind) = row.first().filter(|kind| !NEWER.contains(kind)) else { return Ok(false) };
        let known = [PENDING, WANTED].into_iter().find(|(of, _)| of == kind);
        if let Some((_, len)) = known
            && row.len().saturating_sub(len) % 32 == GENERATION_LEN
        {
            write(Table::Nodes, &key, Some(row.slice(..row.len() - GENERATION_LEN)));
        }
    }
    store.commit(batch)?;
    Ok(true)
}

fn rows_of(rows: &impl Read, table: Table) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
    let mut found = Vec::new();
    rows.scan(table, &[], &[], &mut |key, row| {
        found.push((Bytes::copy_from_slice(key), row.clone()));
        ControlFlow::Continue(())
    })?;
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use anabranch_core::{
        Batch, Cid, Config, DagName, Input, Mark, Peer, Replica, Token, WhenBehind, store::MemoryStore, wire,
    };
    use data_encoding::HEXLOWER;
    use std::time::Duration;

    /// A store that the code of format 1 wrote, in the middle of its work.
    fn written_then() -> MemoryStore {
        let hex = |text: &str| Bytes::from(HEXLOWER.decode(text.as_bytes()).unwrap());
        let rows = include_str!("../../../core/tests/data/format-1.rows").lines().filter_map(|line| {
            let mut words = line.split(' ');
            (words.next() == Some("row")).then_some(())?;
            let table = Table::ALL[words.next()?.parse::<usize>().unwrap()];
            Some((table, hex(words.next()?), Some(hex(words.next()?))))
        });
        let mut store = MemoryStore::new();
        store.commit(WriteBatch { rows: rows.collect() }).unwrap();
        store
    }

    fn open(store: MemoryStore, config: Config) -> Replica<MemoryStore> {
        Replica::open(store, config, &mut Vec::new()).unwrap()
    }

    fn step(replica: &mut Replica<MemoryStore>, input: Input) {
        replica.step(input, &mut Vec::new()).map(drop).unwrap();
    }

    /// A block whose parent is not there.
    fn orphan(number: u8) -> Input {
        let delta = wire::Delta { priority: 2, ..wire::Delta::default() };
        let bytes = wire::Block::encode(&[Cid::of(&[number])], &delta);
        Input::Block { from: Peer(1), cid: Cid::of(&bytes), bytes, attempt: 0 }
    }

    /// What is set back is what that code wrote, byte for byte.
    #[test]
    fn a_store_that_is_upgraded_and_set_back_is_what_it_was() {
        for feed in [false, true] {
            let replica = open(written_then(), Config { feed, ..Config::default() });
            assert!(replica.marks().has(Mark::Upgraded));
            let mut store = replica.into_store();
            assert_ne!(store, written_then());
            assert_eq!(set_back(&mut store), Ok(true));
            assert!(store == written_then(), "feed {feed}");
        }
    }

    /// Generations, rows of the feed and longer counts go; nothing is lost that format 1 had.
    #[test]
    fn a_store_of_today_is_set_back_and_upgraded_again() {
        let when_behind = WhenBehind::Wait(Duration::from_secs(1));
        let mut replica = open(MemoryStore::new(), Config { feed: true, when_behind, ..Config::default() });
        let commit = |key: &str| Input::Commit { token: Token(1), batch: Batch::new().put(key, "v") };
        step(&mut replica, commit("/a"));
        step(&mut replica, orphan(1));
        // A commit that waits begins a new generation.
        step(&mut replica, commit("/b"));
        step(&mut replica, orphan(2));
        let (before, heads) = (replica.stats(), replica.heads().unwrap());
        let mut store = replica.into_store();
        let lengths = |store: &MemoryStore| -> Vec<usize> {
            rows_of(store, Table::Nodes).unwrap().iter().map(|(_, row)| row.len()).collect()
        };
        let long = lengths(&store);
        assert_eq!(set_back(&mut store), Ok(true));
        assert_eq!(long.iter().sum::<usize>() - lengths(&store).iter().sum::<usize>(), 2 * GENERATION_LEN);
        assert_eq!(store.rows(Table::Log), 0);
        let replica = open(store, Config::default());
        assert!(replica.marks().has(Mark::Upgraded));
        assert_eq!((replica.stats().obligations, replica.heads().unwrap()), (before.obligations, heads));
    }

    #[test]
    fn what_format_1_has_no_place_for_stays() {
        assert_eq!(set_back(&mut MemoryStore::new()), Ok(false), "nothing is there");
        let mut replica = open(MemoryStore::new(), Config::default());
        step(&mut replica, Input::Commit { token: Token(1), batch: Batch::new().put("/a", "v") });
        step(&mut replica, Input::Purge { token: Token(2), dag: DagName::default() });
        let mut store = replica.into_store();
        let before = store.clone();
        assert_eq!(set_back(&mut store), Ok(false));
        assert!(store == before);
    }
}
