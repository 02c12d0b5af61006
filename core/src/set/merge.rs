//! Merging a block's puts and tombstones into the records.

use super::{
    record::{INLINE_MAX, Other, Others, Record, Winner},
    versions::{Versions, prevailing},
};
use crate::{
    Cid, Error, Key, Mark,
    dag::{counts::Counts, node::Node},
    store::{Read, Table, Txn},
    wire::Delta,
};
use alloc::vec::Vec;
use bytes::Bytes;
use core::mem;

/// A tombstone, with the target's rank where the caller knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Removal {
    pub(crate) target: Cid,
    pub(crate) rank: Option<u64>,
}

/// Merges the delta of the good block `cid` with this height. Its tombstones come first, as in
/// go-ds-crdt; a block cannot name itself, so the order within a block decides nothing.
pub(crate) fn apply<S: Read>(
    rows: &mut Txn<'_, S>,
    counts: &mut Counts,
    cid: &Cid,
    height: u64,
    delta: &Delta,
    ranks: &[Removal],
) -> Result<(), Error> {
    remove_all(rows, counts, delta, ranks)?;
    let rank = delta.priority.min(height);
    let mut elements: Vec<(&Key, &Bytes)> = delta.elements.iter().map(|e| (&e.key, &e.value)).collect();
    // Stable, so that the last write of a key stays the last of its run; sorted rows are cheaper to insert.
    elements.sort_by_key(|(key, _)| *key);
    for (at, (key, value)) in elements.iter().enumerate() {
        let is_last_write = elements.get(at + 1).is_none_or(|(next, _)| next != key);
        if !is_last_write {
            continue;
        }
        if counts.early > 0 && rows.get(Table::Early, &early_key(cid, key))?.is_some() {
            rows.hit(Mark::EarlyTombstoneMet);
            continue;
        }
        let version = Winner { rank, cid: *cid, value: (*value).clone() };
        add(rows, key, version)?;
    }
    forget_early(rows, counts, cid)
}

/// Drops the tombstones that waited for this block: it is merged now, good or void.
pub(crate) fn forget_early<S: Read>(rows: &mut Txn<'_, S>, counts: &mut Counts, cid: &Cid) -> Result<(), Error> {
    if counts.early == 0 {
        return Ok(());
    }
    for (row, _) in rows.scan(Table::Early, cid.digest(), cid.digest(), usize::MAX)? {
        rows.remove(Table::Early, row);
        counts.early -= 1;
    }
    Ok(())
}

/// The live versions of a key, the winner last: what a delete has to name.
pub(crate) fn targets<S: Read>(rows: &Txn<'_, S>, key: &Key) -> Result<Vec<Removal>, Error> {
    let Some(row) = rows.get(Table::Keys, key.as_bytes())? else { return Ok(Vec::new()) };
    let record = Record::decode(&row)?;
    let others = match record.others {
        Others::Inline(others) => others,
        Others::Rows(_) => Versions::of(key).first(rows, usize::MAX)?,
    };
    let removals = others.iter().map(|other| Removal { target: other.cid, rank: Some(other.rank) });
    let winner = Removal { target: record.winner.cid, rank: Some(record.winner.rank) };
    Ok(removals.rev().chain([winner]).collect())
}

/// The row of a tombstone that waits for its target.
pub(crate) fn early_key(target: &Cid, key: &Key) -> Vec<u8> {
    let mut row = Vec::with_capacity(32 + key.as_bytes().len());
    row.extend_from_slice(target.digest());
    row.extend_from_slice(key.as_bytes());
    row
}

fn remove_all<S: Read>(
    rows: &mut Txn<'_, S>,
    counts: &mut Counts,
    delta: &Delta,
    ranks: &[Removal],
) -> Result<(), Error> {
    let known = |at: usize| ranks.get(at).and_then(|removal| removal.rank);
    let mut tombstones: Vec<(&Key, Removal)> = delta
        .tombstones
        .iter()
        .enumerate()
        .map(|(at, tombstone)| (&tombstone.key, Removal { target: tombstone.target, rank: known(at) }))
        .collect();
    tombstones.sort_by_key(|(key, _)| *key);
    let mut of_key = Vec::new();
    for run in tombstones.chunk_by(|(a, _), (b, _)| a == b) {
        of_key.clear();
        of_key.extend(run.iter().map(|(_, removal)| *removal));
        if let Some((key, _)) = run.first() {
            remove(rows, counts, key, &of_key)?;
        }
    }
    Ok(())
}

/// Removes these versions of one key. A tombstone whose target is not merged is kept for it.
fn remove<S: Read>(rows: &mut Txn<'_, S>, counts: &mut Counts, key: &Key, removals: &[Removal]) -> Result<(), Error> {
    let row = rows.get(Table::Keys, key.as_bytes())?;
    let mut record = row.as_ref().map(Record::decode).transpose()?;
    let before = record.clone();
    let mut winner_gone = false;
    for removal in removals {
        if let Some(record) = &mut record {
            if record.winner.cid == removal.target {
                winner_gone = true;
                continue;
            }
            if let Others::Inline(others) = &mut record.others
                && let Some(at) = others.iter().position(|other| other.cid == removal.target)
            {
                others.remove(at);
                continue;
            }
        }
        remove_row_or_wait(rows, counts, key, record.as_mut(), removal)?;
    }
    if let Some(record) = record.as_mut().filter(|_| !winner_gone) {
        settle(rows, key, record)?;
    } else if let Some(old) = record.take() {
        record = take_over(rows, counts, key, old.others)?;
    }
    match &record {
        _ if record == before => {}
        record => rows.change(Table::Keys, key.bytes(), row, record.as_ref().map(|record| record.encode())),
    }
    Ok(())
}

/// Removes a version that has a row of its own, or keeps the tombstone when its target is not merged.
fn remove_row_or_wait<S: Read>(
    rows: &mut Txn<'_, S>,
    counts: &mut Counts,
    key: &Key,
    record: Option<&mut Record>,
    removal: &Removal,
) -> Result<(), Error> {
    let rank = match removal.rank {
        Some(rank) => rank,
        None => match rows.node(&removal.target)? {
            Some(Node::Good { height, declared, .. }) => height.min(declared),
            Some(Node::Void { .. } | Node::Purged { .. }) => return Ok(()),
            _ => {
                let row = early_key(&removal.target, key);
                if rows.get(Table::Early, &row)?.is_none() {
                    rows.hit(Mark::EarlyTombstone);
                    rows.put(Table::Early, row, Bytes::new());
                    counts.early += 1;
                }
                return Ok(());
            }
        },
    };
    if let Some(Record { others: Others::Rows(count), .. }) = record
        && Versions::of(key).remove(rows, rank, &removal.target)?
    {
        rows.hit(Mark::VersionRowRemoved);
        *count -= 1;
    }
    Ok(())
}

/// The record after its winner went: the greatest of the others takes over, if any is left. A version whose value went with the bytes of its block is
/// forgotten: a purge runs, which derives the key anew in the end without it.
fn take_over<S: Read>(
    rows: &mut Txn<'_, S>,
    counts: &Counts,
    key: &Key,
    mut others: Others,
) -> Result<Option<Record>, Error> {
    let (heir, value) = loop {
        let candidates = match &others {
            Others::Inline(others) => others.clone(),
            Others::Rows(0) => Vec::new(),
            Others::Rows(_) => Versions::of(key).greatest(rows)?,
        };
        let Some(greatest) = candidates.iter().map(|other| other.rank).max() else { return Ok(None) };
        let mut there = Vec::with_capacity(candidates.len());
        for other in candidates.into_iter().filter(|other| other.rank == greatest) {
            if counts.purged > 0 && is_gone(rows, &other)? {
                rows.hit(Mark::HeirPurged);
                forget_other(rows, key, &mut others, &other)?;
            } else {
                there.push(other);
            }
        }
        if let Some(heir) = prevailing(rows, key, there)? {
            break heir;
        }
    };
    rows.hit(Mark::TakenOver);
    if !heir.is_whole() {
        rows.hit(Mark::ValueFromBlock);
    }
    forget_other(rows, key, &mut others, &heir)?;
    let mut record = Record { winner: Winner { rank: heir.rank, cid: heir.cid, value }, others };
    settle(rows, key, &mut record)?;
    Ok(Some(record))
}

/// Whether the value of a version is nowhere any more.
fn is_gone<S: Read>(rows: &Txn<'_, S>, other: &Other) -> Result<bool, Error> {
    Ok(!other.is_whole() && matches!(rows.node(&other.cid)?, Some(Node::Purged { .. })))
}

/// Takes a version out of those beside the winner.
fn forget_other<S: Read>(rows: &mut Txn<'_, S>, key: &Key, others: &mut Others, version: &Other) -> Result<(), Error> {
    match others {
        Others::Inline(others) => others.retain(|other| other.cid != version.cid),
        Others::Rows(count) => {
            Versions::of(key).remove(rows, version.rank, &version.cid)?;
            *count -= 1;
        }
    }
    Ok(())
}

/// Takes few versions back from their rows into the record, so that the record stays a function of
/// the live versions.
fn settle<S: Read>(rows: &mut Txn<'_, S>, key: &Key, record: &mut Record) -> Result<(), Error> {
    let Others::Rows(count) = record.others else { return Ok(()) };
    if count > INLINE_MAX as u64 {
        return Ok(());
    }
    rows.hit(Mark::VersionsBack);
    let versions = Versions::of(key);
    let others = versions.first(rows, INLINE_MAX)?;
    for other in &others {
        versions.remove(rows, other.rank, &other.cid)?;
    }
    record.others = Others::Inline(others);
    Ok(())
}

/// Adds a version to a key. A few rows, however many versions the key has.
fn add<S: Read>(rows: &mut Txn<'_, S>, key: &Key, mut version: Winner) -> Result<(), Error> {
    let row = rows.get(Table::Keys, key.as_bytes())?;
    let record = match &row {
        None => Record { winner: version, others: Others::Inline(Vec::new()) },
        Some(row) => {
            let mut record = Record::decode(row)?;
            let order = |w: &Winner| (w.rank, w.value.clone(), w.cid);
            if order(&version) > order(&record.winner) {
                mem::swap(&mut version, &mut record.winner);
            }
            add_other(rows, key, &mut record, Other::of(&version));
            record
        }
    };
    rows.change(Table::Keys, key.bytes(), row, Some(record.encode()));
    Ok(())
}

fn add_other<S: Read>(rows: &mut Txn<'_, S>, key: &Key, record: &mut Record, other: Other) {
    match &mut record.others {
        Others::Inline(others) => {
            // As the rows of versions sort: falling rank, then rising digest.
            let at = others.partition_point(|held| (held.rank, other.cid) > (other.rank, held.cid));
            others.insert(at, other);
            if others.len() > INLINE_MAX {
                rows.hit(Mark::VersionsSpilled);
                let versions = Versions::of(key);
                others.iter().for_each(|other| versions.put(rows, other));
                record.others = Others::Rows(others.len() as u64);
            }
        }
        Others::Rows(count) => {
            Versions::of(key).put(rows, &other);
            *count += 1;
        }
    }
}
