//! What is known of a block, beside its bytes.
//!
//! Row of [`Table::Nodes`], by digest; integers little-endian:
//!
//! ```text
//! good     1 | height u64 | declared u64 | DAG name
//! void     2 | height u64 | count u32 | digest* of so many heads | digest* of void blocks below
//! pending  3 | depth u32 | size u64 | body 0 or 1 | count u32 of parents it waits for | digest* of them, up to 4 | since
//! wanted   4 | depth u32 | since
//! purged   5 | height u64 | DAG name
//! gone     6                                 abandoned
//! back     7 | as pending                    abandoned, and turned up since
//!
//! since = u32, left out where it is 0
//! ```

use crate::{
    Cid, DagName, Error,
    store::{Read, Table, Txn},
    wire::Block,
};
use alloc::{format, string::String, vec::Vec};
use bytes::Bytes;

/// What is known of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// Merged, and its delta counts.
    Good { height: u64, declared: u64, dag: DagName },
    /// Merged for the sake of a good descendant; its delta counts for nothing.
    Void {
        height: u64,
        /// Its parents that were heads when it was merged: a good child takes the headship of those of its
        /// DAG. What was no head then can never be one again.
        heads: Vec<Cid>,
        /// The void blocks below it through which more heads are reached. A void parent that only
        /// passes one other on is left out for that one, so that a chain of them costs one look.
        through: Vec<Cid>,
    },
    /// Its links are known, and some parent is not merged.
    Pending {
        /// Steps from the head through which it became known: bodies of small depth are dropped first.
        depth: u32,
        /// The length of its bytes.
        size: u64,
        /// Whether its bytes are in the store.
        body: bool,
        /// The parents that it waits for.
        missing: Missing,
        /// The generation of obligations that it belongs to; moves only while commits wait for obligations.
        since: u32,
        /// Whether it was abandoned, and has turned up since: no child waits for it.
        abandoned: bool,
    },
    /// Only its CID is known, from the links of a block that waits for it.
    Wanted { depth: u32, since: u32 },
    /// It was merged and good, and its DAG was purged since. Ancestry and height are all that is left of it: it
    /// is never a head, and passes no headship on.
    Purged { height: u64, dag: DagName },
    /// An operator has given it up, since nobody serves it: its children are merged without it.
    Abandoned,
}

/// How many parents a pending block names in its row; where it waits for more, they are edges of their own.
const MISSING_FEW: usize = 4;

/// The parents that a pending block waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// These.
    Few(Vec<Cid>),
    /// So many, each an edge.
    Edges(u32),
}

impl Missing {
    pub(crate) fn of(parents: &[Cid]) -> Self {
        // A block has far fewer links than u32 holds.
        if parents.len() > MISSING_FEW { Self::Edges(parents.len() as u32) } else { Self::Few(parents.to_vec()) }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        match self {
            Self::Few(parents) => parents.is_empty(),
            Self::Edges(count) => *count == 0,
        }
    }
}

impl Node {
    /// The height of a merged or purged block.
    pub(crate) const fn height(&self) -> Option<u64> {
        match self {
            Self::Good { height, .. } | Self::Void { height, .. } | Self::Purged { height, .. } => Some(*height),
            Self::Pending { .. } | Self::Wanted { .. } | Self::Abandoned => None,
        }
    }

    pub(crate) const fn is_merged(&self) -> bool {
        matches!(self, Self::Good { .. } | Self::Void { .. })
    }

    /// Whether it was given up, whether or not it has turned up since.
    pub(crate) const fn is_abandoned(&self) -> bool {
        matches!(self, Self::Abandoned | Self::Pending { abandoned: true, .. })
    }

    /// Whether no child waits for it: it is merged, purged or abandoned.
    pub(crate) const fn is_decided(&self) -> bool {
        self.height().is_some() || self.is_abandoned()
    }

    fn encode(&self) -> Bytes {
        let mut row = Vec::with_capacity(24);
        match self {
            Self::Good { height, declared, dag } => {
                row.push(1);
                row.extend_from_slice(&height.to_le_bytes());
                row.extend_from_slice(&declared.to_le_bytes());
                row.extend_from_slice(dag.as_str().as_bytes());
            }
            Self::Void { height, heads, through } => {
                row.push(2);
                row.extend_from_slice(&height.to_le_bytes());
                // A block has far fewer links than that.
                row.extend_from_slice(&(heads.len() as u32).to_le_bytes());
                heads.iter().chain(through).for_each(|cid| row.extend_from_slice(cid.digest()));
            }
            Self::Pending { depth, size, body, missing, since, abandoned } => {
                row.push(if *abandoned { 7 } else { 3 });
                row.extend_from_slice(&depth.to_le_bytes());
                row.extend_from_slice(&size.to_le_bytes());
                row.push(u8::from(*body));
                match missing {
                    Missing::Few(parents) => {
                        row.extend_from_slice(&(parents.len() as u32).to_le_bytes());
                        parents.iter().for_each(|cid| row.extend_from_slice(cid.digest()));
                    }
                    Missing::Edges(count) => row.extend_from_slice(&count.to_le_bytes()),
                }
                put_since(&mut row, *since);
            }
            Self::Wanted { depth, since } => {
                row.push(4);
                row.extend_from_slice(&depth.to_le_bytes());
                put_since(&mut row, *since);
            }
            Self::Purged { height, dag } => {
                row.push(5);
                row.extend_from_slice(&height.to_le_bytes());
                row.extend_from_slice(dag.as_str().as_bytes());
            }
            Self::Abandoned => row.push(6),
        }
        row.into()
    }

    fn decode(row: &[u8]) -> Option<Self> {
        let (tag, rest) = row.split_first()?;
        Some(match tag {
            1 => {
                let (height, rest) = take_u64(rest)?;
                let (declared, name) = take_u64(rest)?;
                let name = core::str::from_utf8(name).ok()?;
                Self::Good { height, declared, dag: DagName::new(String::from(name)) }
            }
            2 => {
                let (height, rest) = take_u64(rest)?;
                let (heads, rest) = take_u32(rest)?;
                let (digests, []) = rest.as_chunks::<32>() else { return None };
                let (heads, through) = digests.split_at_checked(heads as usize)?;
                let cids = |digests: &[[u8; 32]]| digests.iter().copied().map(Cid::from_digest).collect();
                Self::Void { height, heads: cids(heads), through: cids(through) }
            }
            3 | 7 => {
                let (depth, rest) = take_u32(rest)?;
                let (size, rest) = take_u64(rest)?;
                let (body, rest) = rest.split_first()?;
                let (count, rest) = take_u32(rest)?;
                let (digests, rest) = rest.as_chunks::<32>();
                let since = take_since(rest)?;
                let missing = if digests.is_empty() && count > 0 {
                    Missing::Edges(count)
                } else {
                    Missing::Few(digests.iter().copied().map(Cid::from_digest).collect())
                };
                Self::Pending { depth, size, body: *body == 1, missing, since, abandoned: *tag == 7 }
            }
            4 => {
                let (depth, rest) = take_u32(rest)?;
                Self::Wanted { depth, since: take_since(rest)? }
            }
            5 => {
                let (height, name) = take_u64(rest)?;
                Self::Purged { height, dag: DagName::new(String::from(core::str::from_utf8(name).ok()?)) }
            }
            6 => Self::Abandoned,
            _ => return None,
        })
    }
}

/// Splits a little-endian integer off the front.
pub(crate) fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (head, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*head), rest))
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (head, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*head), rest))
}

pub(crate) fn put_since(row: &mut Vec<u8>, since: u32) {
    if since > 0 {
        row.extend_from_slice(&since.to_le_bytes());
    }
}

/// Reads what [`put_since`] wrote at the end of a row.
pub(crate) fn take_since(bytes: &[u8]) -> Option<u32> {
    match bytes {
        [] => Some(0),
        _ => bytes.try_into().ok().map(u32::from_le_bytes),
    }
}

/// Reads a node's row.
pub(crate) fn decode_row(cid: &Cid, row: &[u8]) -> Result<Node, Error> {
    Node::decode(row).ok_or_else(|| Error::Corrupt(format!("the node row of block {cid} does not decode")))
}

impl Cid {
    /// The digest as the key of a row.
    pub(crate) fn to_row(self) -> Bytes {
        Bytes::copy_from_slice(self.digest())
    }
}

impl<S: Read> Txn<'_, S> {
    /// What is known of the block.
    pub(crate) fn node(&self, cid: &Cid) -> Result<Option<Node>, Error> {
        self.get(Table::Nodes, cid.digest())?.map(|row| decode_row(cid, &row)).transpose()
    }

    pub(crate) fn put_node(&mut self, cid: &Cid, node: &Node) {
        self.put(Table::Nodes, cid.to_row(), node.encode());
    }

    /// A block that is known to be here, as the codec reads it; what the validator says of it is not asked.
    pub(crate) fn block(&self, cid: &Cid) -> Result<Block, Error> {
        Ok(Block::decode_with(&self.body(cid)?, self.codec()))
    }

    /// The bytes of a block that is known to be here.
    pub(crate) fn body(&self, cid: &Cid) -> Result<Bytes, Error> {
        self.get(Table::Blocks, cid.digest())?
            .ok_or_else(|| Error::Corrupt(format!("the bytes of block {cid} are missing")))
    }
}
