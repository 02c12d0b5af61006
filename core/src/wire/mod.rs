//! The wire format of go-ds-crdt, byte by byte.
//!
//! A block is a dag-pb node whose links are its parents and whose data is a protobuf delta:
//!
//! ```text
//! Node     Links=2 repeated { Hash=1 CID, Name=2 "", Tsize=3 0 }, Data=1 Delta
//! Delta    elements=1 repeated Element, tombstones=2 repeated Element, priority=3 uint64, dagName=4 string
//! Element  key=1 string, id=2 string, value=3 bytes      an add has key and value, a tombstone key and id
//! ```
//!
//! An announcement is a `CRDTBroadcast`: Heads=1 repeated { Cid=1 bytes, DagName=2 string }.

mod announcement;
mod dagpb;
mod delta;

pub use announcement::{Announcement, decode_announcement, encode_announcements};
pub use delta::{element_bytes, tombstone_bytes};

use crate::{Cid, DagName, Key, limits::BLOCK_BYTES_MERGED_MAX};
use alloc::{collections::BTreeSet, string::String, vec::Vec};
use bytes::Bytes;
use core::fmt;

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
    /// Over [`BLOCK_BYTES_MERGED_MAX`].
    TooLarge,
    /// A link to something that is not dag-pb with sha2-256.
    ForeignLink,
    /// Its DAG name is over [`DAG_NAME_BYTES_MAX`](crate::limits::DAG_NAME_BYTES_MAX).
    DagNameTooLong,
    /// The embedder's [`Validator`](crate::Validator) says so.
    Refused,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDagPb(why) => write!(f, "no dag-pb: {why}"),
            Self::NotDelta(why) => write!(f, "its data is no delta: {why}"),
            Self::TooLarge => write!(f, "over {BLOCK_BYTES_MERGED_MAX} bytes"),
            Self::ForeignLink => f.write_str("a link to something that is not dag-pb with sha2-256"),
            Self::DagNameTooLong => write!(f, "a DAG name over {} bytes", crate::limits::DAG_NAME_BYTES_MAX),
            Self::Refused => f.write_str("refused by the validator"),
        }
    }
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
    /// Reads a block. What of it breaks a rule makes it void; its good links count all the same.
    #[must_use]
    pub fn decode(bytes: &Bytes) -> Self {
        let node = match dagpb::decode(bytes) {
            Ok(node) => node,
            Err(why) => return Self { links: Vec::new(), delta: Err(Flaw::NotDagPb(why)) },
        };
        let (mut seen, mut foreign) = (BTreeSet::new(), false);
        let mut links = Vec::with_capacity(node.links.len());
        for link in &node.links {
            match Cid::from_bytes(link) {
                Some(cid) if seen.insert(cid) => links.push(cid),
                Some(_) => {}
                None => foreign = true,
            }
        }
        let delta = if bytes.len() > BLOCK_BYTES_MERGED_MAX {
            Err(Flaw::TooLarge)
        } else if foreign {
            Err(Flaw::ForeignLink)
        } else {
            // No data is an empty delta of priority 0, as no bytes are.
            delta::decode(node.data.unwrap_or_default())
        };
        Self { links, delta }
    }

    /// The bytes of a block that we write: links sorted by CID bytes, then the delta. Keys are
    /// written as they are cleaned, ids with their slash.
    #[must_use]
    pub fn encode(links: &[Cid], delta: &Delta) -> Bytes {
        let mut links = links.to_vec();
        // CIDs of one kind sort as their digests do.
        links.sort_unstable();
        dagpb::encode(&links, &delta::encode(delta)).into()
    }
}
