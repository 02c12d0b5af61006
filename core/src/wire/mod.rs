//! The wire format of go-ds-crdt, byte by byte.
//!
//! A block is a dag-pb node: links to its parents, and a [`Delta`] as its data. Peers announce their
//! heads by CID and fetch blocks by CID. [`Block::decode`] is total: every byte string is a block, and what
//! breaks a rule is void. All rules look at the block alone, so all replicas read a block alike.
//!
//! ```
//! use anabranch_core::{Bytes, Cid, Key, wire::{Block, Delta, Element}};
//!
//! let put = Element { key: Key::new("/k"), value: Bytes::from("v") };
//! let delta = Delta { elements: vec![put], priority: 1, ..Delta::default() };
//! let bytes = Block::encode(&[], &delta);
//! assert_eq!(Cid::of(&bytes).to_string(), "bafybeicpynjs4kxvbraf5ynxoyjwabfzzcqa5oz6i2orc5h426qh362x6m");
//! assert_eq!(Block::decode(&bytes).delta, Ok(delta));
//! ```

mod announcement;
mod dagpb;
mod delta;
mod protobuf;

pub use announcement::{Announcement, decode_announcement, encode_announcements};
pub use delta::{element_bytes, tombstone_bytes};

use crate::{
    Cid, Codec, DagName, Key, ProtobufCodec,
    limits::{BLOCK_BYTES_MERGED_MAX, DAG_NAME_BYTES_MAX, KEY_BYTES_MAX},
};
use alloc::{borrow::ToOwned, collections::BTreeSet, string::String, vec::Vec};
use bytes::Bytes;
use core::fmt;
use delta::DeltaMessage;
use prost::Message;

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
    /// Its DAG name is over [`DAG_NAME_BYTES_MAX`].
    DagNameTooLong,
    /// The embedder's [`Validator`](crate::Validator) says so.
    Refused,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDagPb(why) => write!(f, "not dag-pb: {why}"),
            Self::NotDelta(why) => write!(f, "its data is no delta: {why}"),
            Self::TooLarge => write!(f, "over {BLOCK_BYTES_MERGED_MAX} bytes"),
            Self::ForeignLink => f.write_str("it links to something that is not dag-pb with sha2-256"),
            Self::DagNameTooLong => write!(f, "its DAG name is over {DAG_NAME_BYTES_MAX} bytes"),
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
    /// Reads a block, any bytes, whose delta is in the format of go-ds-crdt.
    ///
    /// Keys and values share the buffer of `bytes` and keep it alive; only keys that are not clean are copied. Time and memory
    /// are linear in the block: an element takes at least 2 bytes of it, and about 64 bytes here.
    #[must_use]
    pub fn decode(bytes: &Bytes) -> Self {
        Self::decode_with(bytes, &ProtobufCodec)
    }

    /// As [`decode`](Self::decode), of a block whose delta is in this format.
    #[must_use]
    pub fn decode_with(bytes: &Bytes, codec: &dyn Codec) -> Self {
        let too_large = bytes.len() > BLOCK_BYTES_MERGED_MAX;
        let node = match dagpb::decode(bytes) {
            Ok(node) => node,
            Err(_) if too_large => return Self { links: Vec::new(), delta: Err(Flaw::TooLarge) },
            Err(malformed) => return Self { links: Vec::new(), delta: Err(Flaw::NotDagPb(malformed.0.to_owned())) },
        };
        let (links, has_foreign) = parents(&node.hashes);
        let delta = if too_large {
            Err(Flaw::TooLarge)
        } else if has_foreign {
            Err(Flaw::ForeignLink)
        } else {
            let data = node.data.map_or_else(Bytes::new, |data| bytes.slice_ref(data));
            codec.decode(&data).and_then(within_limits)
        };
        Self { links, delta }
    }

    /// The links of a block, without a look at its delta; none where it is no dag-pb.
    #[must_use]
    pub fn links(bytes: &Bytes) -> Vec<Cid> {
        dagpb::decode(bytes).map_or_else(|_| Vec::new(), |node| parents(&node.hashes).0)
    }

    /// The bytes of a block that we write: links sorted by CID bytes, then the delta. Keys are
    /// written as they are cleaned, ids with their slash. A link given twice is written once.
    ///
    /// Limits are the caller's: keys must be UTF-8, or the block that comes out is void.
    /// Apart from links and tag, the size is the sum of [`element_bytes`] and [`tombstone_bytes`], priority and name.
    #[must_use]
    pub fn encode(links: &[Cid], delta: &Delta) -> Bytes {
        Self::encode_with(links, delta, &ProtobufCodec)
    }

    /// As [`encode`](Self::encode), the delta in this format.
    #[must_use]
    pub fn encode_with(links: &[Cid], delta: &Delta, codec: &dyn Codec) -> Bytes {
        let links: BTreeSet<&Cid> = links.iter().collect();
        dagpb::encode(links.into_iter(), &codec.encode(delta)).into()
    }
}

/// What all codecs have in common: elements whose key is too long are left out, and too long a name makes the block void.
fn within_limits(mut delta: Delta) -> Result<Delta, Flaw> {
    if delta.dag.as_str().len() > DAG_NAME_BYTES_MAX {
        return Err(Flaw::DagNameTooLong);
    }
    let fits = |key: &Key| key.as_bytes().len() <= KEY_BYTES_MAX;
    delta.elements.retain(|element| fits(&element.key));
    delta.tombstones.retain(|tombstone| fits(&tombstone.key));
    Ok(delta)
}

/// The delta of go-ds-crdt, out of a block's data.
pub(crate) fn decode_delta(data: &Bytes) -> Result<Delta, Flaw> {
    delta::decode(data).map_err(|malformed| Flaw::NotDelta(malformed.0.to_owned()))
}

/// The delta of go-ds-crdt, as a block's data.
pub(crate) fn encode_delta(delta: &Delta) -> Vec<u8> {
    DeltaMessage::of(delta).encode_to_vec()
}

/// The links that count, each once, and whether there were others.
fn parents(hashes: &[&[u8]]) -> (Vec<Cid>, bool) {
    let mut links = Vec::with_capacity(hashes.len());
    let mut seen = BTreeSet::new();
    let mut has_foreign = false;
    for hash in hashes {
        match Cid::from_bytes(hash) {
            Some(cid) if seen.insert(cid) => links.push(cid),
            Some(_) => {}
            None => has_foreign = true,
        }
    }
    (links, has_foreign)
}
