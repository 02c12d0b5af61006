//! Keys derived anew from the blocks that name them.
//!
//! A walk over the blocks gathers, for each key in question, its versions and tombstones; from these alone the key's
//! rows are made (after a purge) or checked (by verify). Blocks that merge meanwhile add theirs as they merge, so that readers and
//! writers need not stop. Rows of [`Table::Derive`]; the hash is the sha2-256 of the key, and states are one byte:
//!
//! ```text
//! 'k' | hash → state | key                      a key: 0 to be derived, 1 done
//! 'v' | hash | digest → rank | length | prefix  a version of it, as in a record
//! 't' | hash | digest                           a tombstone for the version of this block
//! 'e' | hash | digest                           a purged block had a tombstone for this block, which was not merged
//! ```

use crate::{
    Cid, Error, Key, Mark,
    dag::{counts::Counts, node::take_u64},
    set::{
        early_key,
        record::{Cursor, INLINE_MAX, Other, Others, Record, Winner},
        versions::{Versions, prevailing},
    },
    store::{Read, Table, Txn},
    wire::Delta,
};
use alloc::{collections::BTreeSet, string::String, vec::Vec};
use bytes::Bytes;

pub(crate) const KEYS: u8 = b'k';
const VERSIONS: u8 = b'v';
const TOMBSTONES: u8 = b't';
const EARLY: u8 = b'e';

const OPEN: u8 = 0;
const DONE: u8 = 1;

/// Which keys of a block are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gather {
    /// Those that are in question.
    Known,
    /// All: each is in question from then on.
    All,
    /// Those that are in question; others are noted as done.
    Seen,
}

/// A key of the table: a tag and the hash of a key.
pub(crate) fn of_key(tag: u8, key: &Key) -> Vec<u8> {
    of_hash(tag, Cid::of(key.as_bytes()).digest())
}

/// As `of_key`, by the hash.
pub(crate) fn of_hash(tag: u8, hash: &[u8; 32]) -> Vec<u8> {
    let mut row = Vec::with_capacity(65);
    row.push(tag);
    row.extend_from_slice(hash);
    row
}

fn with(mut row: Vec<u8>, tag: u8, cid: &Cid) -> Vec<u8> {
    row[0] = tag;
    row.extend_from_slice(cid.digest());
    row
}

fn state_row(state: u8, key: &Key) -> Vec<u8> {
    let mut row = Vec::with_capacity(1 + key.as_bytes().len());
    row.push(state);
    row.extend_from_slice(key.as_bytes());
    row
}

fn damaged() -> Error {
    Error::Corrupt(String::from("a row of what a task has gathered does not decode"))
}

/// A key that is in question, from its row.
pub(crate) fn decode_key(row: &Bytes) -> Result<(bool, Key), Error> {
    match row.first() {
        Some(&state @ (OPEN | DONE)) => Ok((state == OPEN, Key::from_bytes(row.slice(1..)))),
        _ => Err(damaged()),
    }
}

/// Puts a key in question.
fn question<S: Read>(rows: &mut Txn<'_, S>, key: &Key) {
    rows.put(Table::Derive, of_key(KEYS, key), state_row(OPEN, key));
}

/// Puts all keys in question that a block names whose delta counts no more, and notes its tombstones for blocks that
/// are not decided.
pub(crate) fn question_all<S: Read>(rows: &mut Txn<'_, S>, delta: &Delta) -> Result<(), Error> {
    delta.elements.iter().for_each(|element| question(rows, &element.key));
    for tombstone in &delta.tombstones {
        question(rows, &tombstone.key);
        if rows.get(Table::Early, &early_key(&tombstone.target, &tombstone.key))?.is_some() {
            rows.put(Table::Derive, with(of_key(EARLY, &tombstone.key), EARLY, &tombstone.target), Bytes::new());
        }
    }
    Ok(())
}

/// Gathers what a merged good block says of the keys in question.
pub(crate) fn gather<S: Read>(
    rows: &mut Txn<'_, S>,
    cid: &Cid,
    rank: u64,
    delta: &Delta,
    which: Gather,
) -> Result<(), Error> {
    // Of several elements with one key the last counts: it is written last.
    for element in &delta.elements {
        if let Some(row) = asked(rows, &element.key, which)? {
            let mut version = Vec::new();
            version.extend_from_slice(&rank.to_le_bytes());
            Other::of(&Winner { rank, cid: *cid, value: element.value.clone() }).encode_value(&mut version);
            rows.put(Table::Derive, with(row, VERSIONS, cid), version);
        }
    }
    for tombstone in &delta.tombstones {
        if let Some(row) = asked(rows, &tombstone.key, which)? {
            rows.put(Table::Derive, with(row, TOMBSTONES, &tombstone.target), Bytes::new());
        }
    }
    Ok(())
}

/// The row of a key that is in question.
fn asked<S: Read>(rows: &mut Txn<'_, S>, key: &Key, which: Gather) -> Result<Option<Vec<u8>>, Error> {
    let row = of_key(KEYS, key);
    match rows.get(Table::Derive, &row)? {
        Some(state) => Ok((state.first() == Some(&OPEN)).then_some(row)),
        None if which == Gather::Known => Ok(None),
        None => {
            let state = if which == Gather::All { OPEN } else { DONE };
            rows.put(Table::Derive, row.clone(), state_row(state, key));
            Ok((which == Gather::All).then_some(row))
        }
    }
}

/// What the blocks say of a key.
pub(crate) struct Derived {
    record: Option<Record>,
    /// The versions beside the winner, highest first.
    others: Vec<Other>,
    /// Tombstones for blocks that are not decided, and those that some block had.
    early: Vec<(Cid, bool)>,
    /// How much was read.
    pub(crate) bytes: u64,
}

/// Derives a key from what was gathered.
pub(crate) fn derive<S: Read>(rows: &Txn<'_, S>, key: &Key) -> Result<Derived, Error> {
    let mut bytes = 0;
    let prefix = of_key(VERSIONS, key);
    let mut live = Vec::new();
    for (row, version) in rows.scan(Table::Derive, &prefix, &prefix, usize::MAX)? {
        bytes += (row.len() + version.len()) as u64;
        live.push(decode_version(&row, &version)?);
    }
    let dead = cids_of(rows, &of_key(TOMBSTONES, key))?;
    let candidates = cids_of(rows, &of_key(EARLY, key))?;
    bytes += (dead.len() + candidates.len()) as u64 * 65;
    let mut early = Vec::new();
    for target in dead.union(&candidates) {
        let is_waiting = is_to_come(rows, target)?;
        if is_waiting || candidates.contains(target) {
            early.push((*target, is_waiting && dead.contains(target)));
        }
    }
    live.retain(|version| !dead.contains(&version.cid));
    live.sort_by_key(|version| (!version.rank, version.cid));
    let greatest = live.first().map(|version| version.rank);
    let first = live.iter().take_while(|version| Some(version.rank) == greatest).cloned().collect();
    let winner = prevailing(rows, key, first)?;
    if let Some((winner, _)) = &winner {
        live.retain(|version| version.cid != winner.cid);
    }
    let record = winner.map(|(version, value)| {
        let inline = live.len() <= INLINE_MAX;
        let others = if inline { Others::Inline(live.clone()) } else { Others::Rows(live.len() as u64) };
        Record { winner: Winner { rank: version.rank, cid: version.cid, value }, others }
    });
    Ok(Derived { record, others: live, early, bytes })
}

fn decode_version(row: &[u8], version: &Bytes) -> Result<Other, Error> {
    let cid = row.last_chunk().copied().map(Cid::from_digest).ok_or_else(damaged)?;
    let (rank, _) = take_u64(version).ok_or_else(damaged)?;
    let (len, prefix) = Cursor(version.slice(8..)).len_and_prefix().ok_or_else(damaged)?;
    Ok(Other { rank, cid, len, prefix })
}

fn cids_of<S: Read>(rows: &Txn<'_, S>, prefix: &[u8]) -> Result<BTreeSet<Cid>, Error> {
    let rows = rows.scan(Table::Derive, prefix, prefix, usize::MAX)?;
    rows.iter().map(|(row, _)| row.last_chunk().copied().map(Cid::from_digest).ok_or_else(damaged)).collect()
}

/// Whether a row of waiting tombstones belongs there: its target is awaited, and a block has such a tombstone.
pub(crate) fn is_waiting_tombstone<S: Read>(rows: &Txn<'_, S>, early_row: &Bytes) -> Result<bool, Error> {
    let Some((target, _)) = early_row.split_first_chunk::<32>() else { return Ok(false) };
    let (target, key) = (Cid::from_digest(*target), Key::from_bytes(early_row.slice(32..)));
    let row = with(of_key(TOMBSTONES, &key), TOMBSTONES, &target);
    Ok(is_to_come(rows, &target)? && rows.get(Table::Derive, &row)?.is_some())
}

/// Whether a tombstone for this block has to wait: it may come, or come back.
fn is_to_come<S: Read>(rows: &Txn<'_, S>, target: &Cid) -> Result<bool, Error> {
    Ok(rows.node(target)?.is_none_or(|node| !node.is_decided() || node.is_abandoned()))
}

impl Derived {
    /// Whether the key's rows are what they are to be.
    pub(crate) fn is_kept<S: Read>(&self, rows: &Txn<'_, S>, key: &Key) -> Result<bool, Error> {
        let record = self.record.as_ref().map(Record::encode);
        if rows.get(Table::Keys, key.as_bytes())? != record || Versions::of(key).first(rows, usize::MAX)? != self.rows()
        {
            return Ok(false);
        }
        for (target, is_early) in &self.early {
            if rows.get(Table::Early, &early_key(target, key))?.is_some() != *is_early {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The rows of versions that the key is to have.
    fn rows(&self) -> &[Other] {
        if self.others.len() > INLINE_MAX { &self.others } else { &[] }
    }

    /// Makes the key's rows what they are to be.
    pub(crate) fn write<S: Read>(&self, rows: &mut Txn<'_, S>, counts: &mut Counts, key: &Key) -> Result<(), Error> {
        let versions = Versions::of(key);
        let held = versions.first(rows, usize::MAX)?;
        if held != self.rows() {
            for other in &held {
                versions.remove(rows, other.rank, &other.cid)?;
            }
            self.rows().iter().for_each(|other| versions.put(rows, other));
        }
        let record = self.record.as_ref().map(Record::encode);
        if rows.get(Table::Keys, key.as_bytes())? != record {
            rows.hit(Mark::SettledAnew);
            match record {
                Some(record) => rows.put(Table::Keys, key.bytes().clone(), record),
                None => rows.remove(Table::Keys, key.bytes().clone()),
            }
        }
        for (target, is_early) in &self.early {
            let row = early_key(target, key);
            match (rows.get(Table::Early, &row)?.is_some(), is_early) {
                (true, false) => {
                    rows.hit(Mark::EarlyTombstonePurged);
                    rows.remove(Table::Early, row);
                    counts.early -= 1;
                }
                (false, true) => {
                    rows.put(Table::Early, row, Bytes::new());
                    counts.early += 1;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Forgets what was gathered of a key; `done` keeps a note that it was in question.
pub(crate) fn forget<S: Read>(rows: &mut Txn<'_, S>, key: &Key, done: bool) -> Result<(), Error> {
    for tag in [VERSIONS, TOMBSTONES, EARLY] {
        let prefix = of_key(tag, key);
        for row in rows.scan_keys(Table::Derive, &prefix, &prefix, usize::MAX)? {
            rows.remove(Table::Derive, row);
        }
    }
    let row = of_key(KEYS, key);
    if done {
        rows.put(Table::Derive, row, state_row(DONE, key));
    } else {
        rows.remove(Table::Derive, row);
    }
    Ok(())
}
