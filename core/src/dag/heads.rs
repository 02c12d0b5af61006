//! The heads of each DAG name.
//!
//! Row of [`Table::Heads`]: escaped name, `00 00`, inverted height (big-endian u64), digest; the
//! value is the declared priority (little-endian u64). So the highest head of a name comes first.
//! A zero byte inside a name is escaped as `00 ff`, which keeps names in order.

use super::{
    counts::Counts,
    node::{Node, take_u64},
};
use crate::{
    Cid, DagName, Error, Head, Mark,
    store::{Read, Table, Txn},
};
use alloc::{collections::BTreeSet, format, string::String, vec::Vec};
use bytes::Bytes;

/// A head as a new block needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) cid: Cid,
    pub(crate) height: u64,
    pub(crate) declared: u64,
}

fn name_prefix(dag: &DagName) -> Vec<u8> {
    let mut row = Vec::with_capacity(dag.as_str().len() + 42);
    for byte in dag.as_str().bytes() {
        row.push(byte);
        if byte == 0 {
            row.push(0xff);
        }
    }
    row.extend_from_slice(&[0, 0]);
    row
}

fn row_key(dag: &DagName, height: u64, cid: &Cid) -> Vec<u8> {
    let mut row = name_prefix(dag);
    row.extend_from_slice(&(!height).to_be_bytes());
    row.extend_from_slice(cid.digest());
    row
}

fn decode_key(row: &[u8]) -> Option<Head> {
    let (rest, digest) = row.split_last_chunk::<32>()?;
    let (rest, height) = rest.split_last_chunk::<8>()?;
    let escaped = rest.strip_suffix(&[0, 0])?;
    let mut name = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter();
    while let Some(&byte) = bytes.next() {
        name.push(byte);
        if byte == 0 && bytes.next() != Some(&0xff) {
            return None;
        }
    }
    Some(Head {
        dag: DagName::new(String::from_utf8(name).ok()?),
        cid: Cid::from_digest(*digest),
        height: !u64::from_be_bytes(*height),
    })
}

/// Reads one row of the table.
pub(crate) fn decode(row_key: &[u8], row: &Bytes) -> Result<(Head, u64), Error> {
    decode_key(row_key)
        .zip(take_u64(row).map(|(declared, _)| declared))
        .ok_or_else(|| Error::Corrupt(String::from("a row of the heads does not decode")))
}

/// Up to `limit` heads of a name, highest first.
pub(crate) fn of_name<S: Read>(rows: &Txn<'_, S>, dag: &DagName, limit: usize) -> Result<Vec<Tip>, Error> {
    let prefix = name_prefix(dag);
    let rows = rows.scan(Table::Heads, &prefix, &prefix, limit)?;
    rows.iter()
        .map(|(key, row)| decode(key, row).map(|(head, declared)| Tip { cid: head.cid, height: head.height, declared }))
        .collect()
}

/// Whether a merged good block is a head.
pub(crate) fn is_head<S: Read>(rows: &Txn<'_, S>, cid: &Cid, node: &Node) -> Result<bool, Error> {
    let Node::Good { height, dag, .. } = node else { return Ok(false) };
    Ok(rows.get(Table::Heads, &row_key(dag, *height, cid))?.is_some())
}

/// Takes the headship of a merged good block, whatever covers it.
pub(crate) fn behead<S: Read>(rows: &mut Txn<'_, S>, counts: &mut Counts, cid: &Cid) -> Result<(), Error> {
    if let Some(Node::Good { height, dag, .. }) = rows.node(cid)? {
        let key = row_key(&dag, height, cid);
        if rows.get(Table::Heads, &key)?.is_some() {
            rows.remove(Table::Heads, key);
            counts.heads -= 1;
        }
    }
    Ok(())
}

/// Makes a merged good block a head: at its merge none of its descendants is merged.
pub(crate) fn add<S: Read>(
    rows: &mut Txn<'_, S>,
    counts: &mut Counts,
    cid: &Cid,
    dag: &DagName,
    height: u64,
    declared: u64,
) {
    rows.put(Table::Heads, row_key(dag, height, cid), Bytes::copy_from_slice(&declared.to_le_bytes()));
    counts.heads += 1;
}

/// Takes the headship of a parent, and of what lies below a void parent, for a block of this name.
/// The heads that went are added to `gone`.
pub(crate) fn cover<S: Read>(
    rows: &mut Txn<'_, S>,
    counts: &mut Counts,
    dag: &DagName,
    parent: &Cid,
    node: &Node,
    gone: &mut Vec<Cid>,
) -> Result<(), Error> {
    for (cid, node) in reach(rows, parent, node)? {
        let Node::Good { height, dag: of, .. } = node else { continue };
        let key = row_key(dag, height, &cid);
        if of == *dag && rows.get(Table::Heads, &key)?.is_some() {
            rows.remove(Table::Heads, key);
            counts.heads -= 1;
            if cid != *parent {
                rows.hit(Mark::HeadBelowVoid);
            }
            gone.push(cid);
        }
    }
    Ok(())
}

/// What a child covers, if it is of the same name: a parent, or what was a head below a void parent.
pub(crate) fn reach<S: Read>(rows: &Txn<'_, S>, parent: &Cid, node: &Node) -> Result<Vec<(Cid, Node)>, Error> {
    let (mut below, mut seen) = (Vec::from([(*parent, node.clone())]), BTreeSet::new());
    let mut found = Vec::new();
    while let Some((cid, node)) = below.pop() {
        let Node::Void { heads, through, .. } = node else {
            found.push((cid, node));
            continue;
        };
        for cid in heads.into_iter().chain(through) {
            if seen.insert(cid) {
                below.push((cid, merged(rows, &cid)?));
            }
        }
    }
    Ok(found)
}

fn merged<S: Read>(rows: &Txn<'_, S>, cid: &Cid) -> Result<Node, Error> {
    rows.node(cid)?.ok_or_else(|| Error::Corrupt(format!("the node row of block {cid} is missing")))
}

/// What the row of a void block keeps of its parents: the heads among them, and the void ones
/// through which more heads are reached.
pub(crate) fn under<S: Read>(rows: &Txn<'_, S>, parents: &[(Cid, Node)]) -> Result<(Vec<Cid>, Vec<Cid>), Error> {
    let (mut heads, mut through) = (Vec::new(), BTreeSet::new());
    for (parent, node) in parents {
        match node {
            Node::Void { heads, through: below, .. } if heads.is_empty() && below.len() <= 1 => through.extend(below),
            Node::Void { .. } => drop(through.insert(*parent)),
            _ if is_head(rows, parent, node)? => heads.push(*parent),
            _ => {}
        }
    }
    heads.sort_unstable();
    Ok((heads, through.into_iter().collect()))
}
