//! The wire format of go-ds-crdt, byte by byte.

use crate::{Cid, DagName, Key};
use alloc::{string::String, vec::Vec};
use bytes::Bytes;

/// What a block adds and removes, as all replicas read it: keys cleaned, ids understood, elements
/// that break a rule left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Delta {
    /// The puts, in the order of the block. A key may come twice: then its last one counts.
    pub elements: Vec<Element>,
    /// The removals.
    pub tombstones: Vec<Tombstone>,
    /// The priority that the block declares.
    pub priority: u64,
    /// The DAG that the block says it belongs to.
    pub dag: DagName,
}

/// A put.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Element {
    /// The key.
    pub key: Key,
    /// The value; empty is a value.
    pub value: Bytes,
}

/// The removal of one version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tombstone {
    /// The key.
    pub key: Key,
    /// The block that put the version.
    pub target: Cid,
}

/// Why a block is void.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// No dag-pb, so it has no links that anyone could follow.
    NotDagPb(String),
    /// Its data is no delta.
    NotDelta(String),
    /// Over [`BLOCK_BYTES_MERGED_MAX`](crate::limits::BLOCK_BYTES_MERGED_MAX).
    TooLarge,
    /// A link to something that is not dag-pb with sha2-256.
    ForeignLink,
    /// Its DAG name is over [`DAG_NAME_BYTES_MAX`](crate::limits::DAG_NAME_BYTES_MAX).
    DagNameTooLong,
    /// The embedder's [`Validator`](crate::Validator) says so.
    Refused,
}

/// A block as all replicas read it. Every byte string is a block; what breaks a rule is void.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// The parents: links to dag-pb blocks with sha2-256, each once, in the order of the block.
    pub links: Vec<Cid>,
    /// The delta, or why the block is void.
    pub delta: Result<Delta, Flaw>,
}

impl Block {
    /// Reads a block.
    #[must_use]
    pub fn decode(_bytes: &Bytes) -> Self {
        todo!()
    }

    /// The bytes of a block that we write: links sorted by CID bytes, then the delta. Keys are
    /// written as they are cleaned, ids with their slash.
    #[must_use]
    pub fn encode(_links: &[Cid], _delta: &Delta) -> Bytes {
        todo!()
    }
}

/// The bytes that an element takes inside an encoded delta, its field tag and length included.
#[must_use]
pub fn element_bytes(_key: &Key, _value: &Bytes) -> usize {
    todo!()
}

/// The bytes that a tombstone takes inside an encoded delta, its field tag and length included.
#[must_use]
pub fn tombstone_bytes(_key: &Key) -> usize {
    todo!()
}

/// The heads that an announcement names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Announcement {
    /// The blocks, each once, in the order of the message.
    pub heads: Vec<Cid>,
    /// How many heads of the message were no CIDs of dag-pb blocks with sha2-256.
    pub bad: usize,
}

/// Reads an announcement: a `CRDTBroadcast`, or a bare CID of version 0 or 1 as old peers send.
/// `None` when it is neither.
#[must_use]
pub fn decode_announcement(_payload: &[u8]) -> Option<Announcement> {
    todo!()
}

/// Announcements of these heads, as few as fit in messages of at most `bytes_max` bytes (at least one head each).
#[must_use]
pub fn encode_announcements<'a>(_heads: impl IntoIterator<Item = (Cid, &'a DagName)>, _bytes_max: usize) -> Vec<Bytes> {
    todo!()
}
