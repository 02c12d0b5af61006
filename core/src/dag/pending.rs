//! The pending graph: blocks that must still be fetched or merged, in the store and never in memory.
//!
//! Rows, digests raw and integers big-endian so that rows sort as they are to be taken:
//!
//! ```text
//! Waiting  'c' | parent | child                    a child that waits for the parent
//! Waiting  'm' | child | parent                    the same edge, by child, where it waits for more than its node's row names
//! Waiting  'a' | parent | child                    a child that was merged without its abandoned parent
//! Wants    0 | inverted depth u32 | digest         must be fetched now, deepest first
//! Wants    1 | inverted depth u32 | digest → size  dropped body, fetched when there is room
//! Ready    digest → since                          all parents merged and the body here
//! Bodies   depth u32 | digest → size               a body that may be dropped, nearest the heads first
//! ```

use super::{
    counts::Counts,
    node::{Missing, Node, put_since, take_since},
};
use crate::{
    Cid, Error, Mark,
    store::{Read, Table, Txn},
};
use alloc::{format, string::String, vec::Vec};
use bytes::Bytes;

/// Why a body is to be fetched: the first byte of a row of [`Table::Wants`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Want {
    /// Its bytes were never here, or they were dropped and are needed now.
    Now = 0,
    /// Its bytes were dropped for want of room.
    WhenRoom = 1,
}

const CHILDREN: u8 = b'c';
const MISSING: u8 = b'm';
const WITHOUT: u8 = b'a';

fn edge(side: u8, of: &Cid, other: &Cid) -> Vec<u8> {
    let mut row = edges_of(side, of);
    row.extend_from_slice(other.digest());
    row
}

fn edges_of(side: u8, of: &Cid) -> Vec<u8> {
    let mut row = Vec::with_capacity(65);
    row.push(side);
    row.extend_from_slice(of.digest());
    row
}

fn want_key(want: Want, depth: u32, cid: &Cid) -> Vec<u8> {
    let mut row = Vec::with_capacity(37);
    row.push(want as u8);
    row.extend_from_slice(&(!depth).to_be_bytes());
    row.extend_from_slice(cid.digest());
    row
}

fn body_key(depth: u32, cid: &Cid) -> Vec<u8> {
    let mut row = Vec::with_capacity(36);
    row.extend_from_slice(&depth.to_be_bytes());
    row.extend_from_slice(cid.digest());
    row
}

fn size_row(size: u64) -> Bytes {
    Bytes::copy_from_slice(&size.to_be_bytes())
}

fn cid_at_end(row: &[u8]) -> Result<Cid, Error> {
    row.last_chunk::<32>().copied().map(Cid::from_digest).ok_or_else(damaged)
}

fn size_of(row: &[u8]) -> Result<u64, Error> {
    row.try_into().map(u64::from_be_bytes).map_err(|_| damaged())
}

fn damaged() -> Error {
    Error::Corrupt(String::from("a row of the pending graph does not decode"))
}

/// Notes that `child` waits for these parents, each named once.
pub(crate) fn wait<S: Read>(rows: &mut Txn<'_, S>, child: &Cid, parents: &[Cid]) -> Missing {
    let missing = Missing::of(parents);
    if matches!(missing, Missing::Edges(_)) {
        rows.hit(Mark::ManyParents);
    }
    for parent in parents {
        rows.put(Table::Waiting, edge(CHILDREN, parent, child), Bytes::new());
        if matches!(missing, Missing::Edges(_)) {
            rows.put(Table::Waiting, edge(MISSING, child, parent), Bytes::new());
        }
    }
    missing
}

/// A pending block that waits for nothing any more.
pub(crate) struct Freed {
    pub(crate) cid: Cid,
    pub(crate) depth: u32,
    pub(crate) size: u64,
    /// Whether its body is here.
    pub(crate) body: bool,
    pub(crate) since: u32,
}

/// Lets go of the edges to a merged parent, and gives the children that wait for nothing any more.
pub(crate) fn release<S: Read>(rows: &mut Txn<'_, S>, parent: &Cid) -> Result<Vec<Freed>, Error> {
    let prefix = edges_of(CHILDREN, parent);
    let mut free = Vec::new();
    for (row, _) in rows.scan(Table::Waiting, &prefix, &prefix, usize::MAX)? {
        let cid = cid_at_end(&row)?;
        rows.remove(Table::Waiting, row);
        let Some(Node::Pending { depth, size, body, missing, since, abandoned }) = rows.node(&cid)? else {
            return Err(Error::Corrupt(format!("block {cid} waits for a parent and is not pending")));
        };
        let missing = match missing {
            Missing::Few(mut parents) => {
                parents.retain(|missing| missing != parent);
                Missing::Few(parents)
            }
            Missing::Edges(count) => {
                rows.remove(Table::Waiting, edge(MISSING, &cid, parent));
                Missing::Edges(count.checked_sub(1).ok_or_else(damaged)?)
            }
        };
        if missing.is_empty() {
            free.push(Freed { cid, depth, size, body, since });
        }
        rows.put_node(&cid, &Node::Pending { depth, size, body, missing, since, abandoned });
    }
    Ok(free)
}

/// Some of the parents that the block waits for.
pub(crate) fn missing<S: Read>(
    rows: &Txn<'_, S>,
    child: &Cid,
    missing: Missing,
    limit: usize,
) -> Result<Vec<Cid>, Error> {
    match missing {
        Missing::Few(parents) => Ok(parents.into_iter().take(limit).collect()),
        Missing::Edges(_) => {
            let prefix = edges_of(MISSING, child);
            rows.scan(Table::Waiting, &prefix, &prefix, limit)?.iter().map(|(row, _)| cid_at_end(row)).collect()
        }
    }
}

/// Forgets what a block waits for.
pub(crate) fn stop_waiting<S: Read>(rows: &mut Txn<'_, S>, child: &Cid, missing: Missing) -> Result<(), Error> {
    let is_edges = matches!(missing, Missing::Edges(_));
    for parent in self::missing(rows, child, missing, usize::MAX)? {
        rows.remove(Table::Waiting, edge(CHILDREN, &parent, child));
        if is_edges {
            rows.remove(Table::Waiting, edge(MISSING, child, &parent));
        }
    }
    Ok(())
}

/// Notes that a child is merged without its abandoned parent.
pub(crate) fn merged_without<S: Read>(rows: &mut Txn<'_, S>, parent: &Cid, child: &Cid) {
    rows.put(Table::Waiting, edge(WITHOUT, parent, child), Bytes::new());
}

/// The children that were merged without this abandoned parent. They are forgotten.
pub(crate) fn take_merged_without<S: Read>(rows: &mut Txn<'_, S>, parent: &Cid) -> Result<Vec<Cid>, Error> {
    let prefix = edges_of(WITHOUT, parent);
    let mut children = Vec::new();
    for (row, _) in rows.scan(Table::Waiting, &prefix, &prefix, usize::MAX)? {
        children.push(cid_at_end(&row)?);
        rows.remove(Table::Waiting, row);
    }
    Ok(children)
}

/// How many blocks wait for this one, counted up to `limit`.
pub(crate) fn waiting<S: Read>(rows: &Txn<'_, S>, parent: &Cid, limit: usize) -> Result<u64, Error> {
    let prefix = edges_of(CHILDREN, parent);
    Ok(rows.scan(Table::Waiting, &prefix, &prefix, limit)?.len() as u64)
}

/// Adds a row of wants.
pub(crate) fn want<S: Read>(rows: &mut Txn<'_, S>, counts: &mut Counts, want: Want, depth: u32, cid: &Cid, size: u64) {
    rows.put(Table::Wants, want_key(want, depth, cid), size_row(size));
    match want {
        Want::Now => counts.wants += 1,
        Want::WhenRoom => counts.dropped += 1,
    }
}

/// Removes the row of wants that a block of this depth has, if it has one.
pub(crate) fn unwant<S: Read>(rows: &mut Txn<'_, S>, counts: &mut Counts, depth: u32, cid: &Cid) -> Result<(), Error> {
    for want in [Want::Now, Want::WhenRoom] {
        let key = want_key(want, depth, cid);
        if rows.get(Table::Wants, &key)?.is_some() {
            rows.remove(Table::Wants, key);
            match want {
                Want::Now => counts.wants -= 1,
                Want::WhenRoom => counts.dropped -= 1,
            }
        }
    }
    Ok(())
}

/// Up to `limit` wants of a kind after the row given, deepest first: the row, the block and its size.
pub(crate) fn wants<S: Read>(
    rows: &Txn<'_, S>,
    want: Want,
    after: Option<&Bytes>,
    limit: usize,
) -> Result<Vec<(Bytes, Cid, u64)>, Error> {
    let mut from = after.map(|row| row.to_vec()).unwrap_or_default();
    from.push(0);
    let rows = rows.scan(Table::Wants, &[want as u8], &from, limit)?;
    rows.into_iter().map(|(row, size)| Ok((row.clone(), cid_at_end(&row)?, size_of(&size)?))).collect()
}

/// Finds damage: what a row of wants says of a block must be what the block's own row says. A block that is wanted here and not there
/// would be asked for again as soon as it had come, for ever.
pub(crate) fn check_want<S: Read>(rows: &Txn<'_, S>, key: &[u8], cid: &Cid) -> Result<(), Error> {
    let is_wanted = match rows.node(cid)? {
        Some(Node::Wanted { depth, .. }) => key == want_key(Want::Now, depth, cid),
        Some(Node::Pending { depth, body: false, missing, .. }) => {
            let want = if missing.is_empty() { Want::Now } else { Want::WhenRoom };
            key == want_key(want, depth, cid)
        }
        _ => false,
    };
    match is_wanted {
        true => Ok(()),
        false => {
            Err(Error::Corrupt(format!("block {cid} is listed as one to be fetched, and its row does not say so")))
        }
    }
}

/// Keeps the body of a block that cannot be merged yet.
pub(crate) fn keep_body<S: Read>(rows: &mut Txn<'_, S>, counts: &mut Counts, depth: u32, cid: &Cid, bytes: &Bytes) {
    rows.put(Table::Blocks, cid.to_row(), bytes.clone());
    has_body(rows, counts, depth, cid, bytes.len() as u64);
}

/// As `keep_body`, of a body that is in the store.
pub(crate) fn has_body<S: Read>(rows: &mut Txn<'_, S>, counts: &mut Counts, depth: u32, cid: &Cid, size: u64) {
    rows.put(Table::Bodies, body_key(depth, cid), size_row(size));
    counts.pending_bytes += size;
}

/// A pending block's parents are all merged and its body is here: it is not dropped any more.
pub(crate) fn not_to_be_dropped<S: Read>(rows: &mut Txn<'_, S>, depth: u32, cid: &Cid) {
    rows.remove(Table::Bodies, body_key(depth, cid));
}

/// Notes for a later step that a block may be merged.
pub(crate) fn ready<S: Read>(rows: &mut Txn<'_, S>, counts: &mut Counts, cid: &Cid, since: u32) {
    let mut row = Vec::new();
    put_since(&mut row, since);
    rows.put(Table::Ready, cid.to_row(), row);
    counts.ready += 1;
}

/// Up to `limit` blocks that may be merged, and since when they are obligations.
pub(crate) fn next_ready<S: Read>(rows: &Txn<'_, S>, limit: usize) -> Result<Vec<(Cid, u32)>, Error> {
    let rows = rows.scan(Table::Ready, &[], &[], limit)?;
    rows.iter().map(|(key, row)| Ok((cid_at_end(key)?, take_since(row).ok_or_else(damaged)?))).collect()
}

/// Forgets that a block was ready: it is merged now.
pub(crate) fn unready<S: Read>(rows: &mut Txn<'_, S>, counts: &mut Counts, cid: &Cid) {
    rows.remove(Table::Ready, cid.to_row());
    counts.ready -= 1;
}

/// Drops bodies, nearest the heads first, until what is kept fits.
pub(crate) fn drop_bodies<S: Read>(rows: &mut Txn<'_, S>, counts: &mut Counts, bytes_max: u64) -> Result<(), Error> {
    while counts.pending_bytes > bytes_max {
        let Some((key, size)) = rows.scan(Table::Bodies, &[], &[], 1)?.pop() else { break };
        let (cid, size) = (cid_at_end(&key)?, size_of(&size)?);
        let depth = u32::from_be_bytes(*key.first_chunk().ok_or_else(damaged)?);
        rows.hit(Mark::BodyDropped);
        rows.remove(Table::Bodies, key);
        rows.remove(Table::Blocks, cid.to_row());
        let Some(Node::Pending { missing, since, abandoned, .. }) = rows.node(&cid)? else { return Err(damaged()) };
        rows.put_node(&cid, &Node::Pending { depth, size, body: false, missing, since, abandoned });
        want(rows, counts, Want::WhenRoom, depth, &cid, size);
        counts.pending_bytes -= size;
    }
    Ok(())
}
