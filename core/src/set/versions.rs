//! Rows of versions: what a key with many live versions has beside its winner.
//!
//! Row of [`Table::Versions`]: sha2-256 of the key, inverted rank (big-endian u64), digest; the
//! value is the length and the first bytes of the version's value. The hash bounds the row's key;
//! the order of keys is of no use here, for the versions of one key are all that is ever scanned.

use super::record::{Cursor, Other};
use crate::{
    Cid, Error, Key,
    store::{Read, Table, Txn},
};
use alloc::{format, string::String, vec::Vec};
use bytes::Bytes;
use core::cmp::Ordering;

/// The versions of one key in the table.
pub(crate) struct Versions {
    prefix: [u8; 32],
}

impl Versions {
    pub(crate) fn of(key: &Key) -> Self {
        Self { prefix: *Cid::of(key.as_bytes()).digest() }
    }

    fn row_key(&self, rank: u64, cid: &Cid) -> Vec<u8> {
        let mut row = Vec::with_capacity(72);
        row.extend_from_slice(&self.prefix);
        row.extend_from_slice(&(!rank).to_be_bytes());
        row.extend_from_slice(cid.digest());
        row
    }

    pub(crate) fn put<S: Read>(&self, rows: &mut Txn<'_, S>, other: &Other) {
        let mut row = Vec::with_capacity(8 + other.prefix.len());
        other.encode_value(&mut row);
        rows.put(Table::Versions, self.row_key(other.rank, &other.cid), row);
    }

    /// Removes a version; whether it was there is returned.
    pub(crate) fn remove<S: Read>(&self, rows: &mut Txn<'_, S>, rank: u64, cid: &Cid) -> Result<bool, Error> {
        let key = self.row_key(rank, cid);
        let there = rows.get(Table::Versions, &key)?.is_some();
        if there {
            rows.remove(Table::Versions, key);
        }
        Ok(there)
    }

    /// Up to `limit` versions, highest rank first.
    pub(crate) fn first<S: Read>(&self, rows: &Txn<'_, S>, limit: usize) -> Result<Vec<Other>, Error> {
        let rows = rows.scan(Table::Versions, &self.prefix, &self.prefix, limit)?;
        rows.iter().map(|(key, row)| decode(key, row)).collect()
    }

    /// All versions of the greatest rank.
    pub(crate) fn greatest<S: Read>(&self, rows: &Txn<'_, S>) -> Result<Vec<Other>, Error> {
        let mut limit = 4;
        loop {
            let mut found = self.first(rows, limit)?;
            let len = found.len();
            let Some(rank) = found.first().map(|other| other.rank) else { return Ok(found) };
            found.retain(|other| other.rank == rank);
            if found.len() < limit || len < limit {
                return Ok(found);
            }
            limit *= 4;
        }
    }
}

fn decode(key: &[u8], row: &Bytes) -> Result<Other, Error> {
    let damaged = || Error::Corrupt(String::from("a row of versions does not decode"));
    let (rest, digest) = key.split_last_chunk::<32>().ok_or_else(damaged)?;
    let (_, rank) = rest.split_last_chunk::<8>().ok_or_else(damaged)?;
    let (len, prefix) = Cursor(row.clone()).len_and_prefix().ok_or_else(damaged)?;
    Ok(Other { rank: !u64::from_be_bytes(*rank), cid: Cid::from_digest(*digest), len, prefix })
}

/// The one of these versions that prevails, and its value: the greatest rank, then the greatest
/// value. Blocks are read for a value that is not whole in its version: the one that prevails, and
/// those that tie with it in rank and in all that is kept of the value.
pub(crate) fn prevailing<S: Read>(
    rows: &Txn<'_, S>,
    key: &Key,
    candidates: Vec<Other>,
) -> Result<Option<(Other, Bytes)>, Error> {
    let coarse = |a: &Other, b: &Other| a.rank.cmp(&b.rank).then_with(|| a.prefix.cmp(&b.prefix));
    let Some(best) = candidates.iter().max_by(|a, b| coarse(a, b)).cloned() else { return Ok(None) };
    let mut found: Option<(Other, Bytes)> = None;
    for other in candidates {
        if coarse(&other, &best) != Ordering::Equal {
            continue;
        }
        let value = if other.is_whole() { other.prefix.clone() } else { value_in_block(rows, key, &other.cid)? };
        if found.as_ref().is_none_or(|(held, held_value)| (&value, other.cid) > (held_value, held.cid)) {
            found = Some((other, value));
        }
    }
    Ok(found)
}

/// The value that a merged block puts to a key: that of its last element with the key.
fn value_in_block<S: Read>(rows: &Txn<'_, S>, key: &Key, cid: &Cid) -> Result<Bytes, Error> {
    let block = rows.block(cid)?;
    let element =
        block.delta.ok().and_then(|delta| delta.elements.into_iter().rev().find(|element| element.key == *key));
    element
        .map(|element| element.value)
        .ok_or_else(|| Error::Corrupt(format!("block {cid} has a version of {key} and no element for it")))
}
