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
    pub fn decode(bytes: &Bytes) -> Self {
        tmp::decode(bytes)
    }

    /// The bytes of a block that we write: links sorted by CID bytes, then the delta. Keys are
    /// written as they are cleaned, ids with their slash.
    #[must_use]
    pub fn encode(links: &[Cid], delta: &Delta) -> Bytes {
        tmp::encode(links, delta)
    }
}

/// The bytes that an element takes inside an encoded delta, its field tag and length included.
#[must_use]
pub fn element_bytes(key: &Key, value: &Bytes) -> usize {
    let f = |n: usize| if n == 0 { 0 } else { 1 + prost::length_delimiter_len(n) + n };
    f(f(key.as_bytes().len()) + f(value.len()))
}

/// The bytes that a tombstone takes inside an encoded delta, its field tag and length included.
#[must_use]
pub fn tombstone_bytes(key: &Key) -> usize {
    let f = |n: usize| if n == 0 { 0 } else { 1 + prost::length_delimiter_len(n) + n };
    f(f(key.as_bytes().len()) + f(56))
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
pub fn decode_announcement(payload: &[u8]) -> Option<Announcement> {
    tmp::ann(payload)
}

/// Announcements of these heads, as few as fit in messages of at most `bytes_max` bytes (at least one head each).
#[must_use]
pub fn encode_announcements<'a>(heads: impl IntoIterator<Item = (Cid, &'a DagName)>, bytes_max: usize) -> Vec<Bytes> {
    use prost::Message;
    let mut out: Vec<Vec<u8>> = Vec::new();
    for (cid, dag) in heads {
        let one = tmp::B {
            heads: alloc::vec![tmp::H {
                cid: Bytes::copy_from_slice(&cid.to_bytes()),
                dag: String::from(dag.as_str())
            }],
        }
        .encode_to_vec();
        match out.last_mut() {
            Some(last) if last.len() + one.len() <= bytes_max => last.extend(one),
            _ => out.push(one),
        }
    }
    out.into_iter().map(Bytes::from).collect()
}

#[allow(missing_docs, clippy::all, unreachable_pub)]
mod tmp {
    use super::*;
    use prost::Message;
    #[derive(Clone, PartialEq, Message)]
    pub struct H {
        #[prost(bytes = "bytes", tag = "1")]
        pub cid: Bytes,
        #[prost(string, tag = "2")]
        pub dag: String,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct B {
        #[prost(message, repeated, tag = "1")]
        pub heads: Vec<H>,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct E {
        #[prost(bytes = "bytes", tag = "1")]
        pub key: Bytes,
        #[prost(bytes = "bytes", tag = "2")]
        pub id: Bytes,
        #[prost(bytes = "bytes", tag = "3")]
        pub value: Bytes,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct D {
        #[prost(message, repeated, tag = "1")]
        pub e: Vec<E>,
        #[prost(message, repeated, tag = "2")]
        pub t: Vec<E>,
        #[prost(uint64, tag = "3")]
        pub p: u64,
        #[prost(string, tag = "4")]
        pub n: String,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct L {
        #[prost(bytes = "bytes", tag = "1")]
        pub hash: Bytes,
    }
    #[derive(Clone, PartialEq, Message)]
    pub struct N {
        #[prost(message, repeated, tag = "2")]
        pub links: Vec<L>,
        #[prost(bytes = "bytes", optional, tag = "1")]
        pub data: Option<Bytes>,
    }
    pub fn ann(p: &[u8]) -> Option<Announcement> {
        if let Some(c) = Cid::from_bytes(p) {
            return Some(Announcement { heads: alloc::vec![c], bad: 0 });
        }
        let b = B::decode(p).ok()?;
        let heads: Vec<Cid> = b.heads.iter().filter_map(|h| Cid::from_bytes(&h.cid)).collect();
        Some(Announcement { bad: b.heads.len() - heads.len(), heads })
    }
    pub fn encode(links: &[Cid], d: &Delta) -> Bytes {
        let mut links = links.to_vec();
        links.sort();
        let mut out = Vec::new();
        for l in links {
            out.extend([0x12, 0x2a, 0x0a, 0x24]);
            out.extend(l.to_bytes());
            out.extend([0x12, 0, 0x18, 0]);
        }
        let d = D {
            e: d.elements
                .iter()
                .map(|e| E { key: e.key.bytes().clone(), id: Bytes::new(), value: e.value.clone() })
                .collect(),
            t: d.tombstones
                .iter()
                .map(|e| E { key: e.key.bytes().clone(), id: e.target.block_id(), value: Bytes::new() })
                .collect(),
            p: d.priority,
            n: String::from(d.dag.as_str()),
        };
        out.push(0x0a);
        d.encode_length_delimited(&mut out).ok();
        out.into()
    }
    pub fn decode(bytes: &Bytes) -> Block {
        let n = match N::decode(bytes.clone()) {
            Ok(n) => n,
            Err(_) => return Block { links: Vec::new(), delta: Err(Flaw::NotDagPb(String::new())) },
        };
        let mut links: Vec<Cid> = Vec::new();
        let mut foreign = false;
        for l in &n.links {
            match Cid::from_bytes(&l.hash) {
                Some(c) => {
                    if !links.contains(&c) {
                        links.push(c)
                    }
                }
                None => foreign = true,
            }
        }
        if foreign {
            return Block { links, delta: Err(Flaw::ForeignLink) };
        }
        let d = match D::decode(n.data.unwrap_or_default()) {
            Ok(d) => d,
            Err(_) => return Block { links, delta: Err(Flaw::NotDelta(String::new())) },
        };
        let delta = Delta {
            priority: d.p,
            dag: DagName::new(d.n),
            elements: d.e.into_iter().map(|e| Element { key: Key::from_bytes(e.key), value: e.value }).collect(),
            tombstones: d
                .t
                .into_iter()
                .filter_map(|e| Some(Tombstone { key: Key::from_bytes(e.key), target: Cid::from_block_id(&e.id)? }))
                .collect(),
        };
        Block { links, delta: Ok(delta) }
    }
}
