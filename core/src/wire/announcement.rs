//! Announcements of heads: `CRDTBroadcast`, and the bare CID of old peers.

use super::protobuf::{Field, Fields, Malformed, Value};
use crate::{Cid, DagName};
use alloc::{collections::BTreeSet, vec::Vec};
use bytes::Bytes;
use prost::Message;

const HEADS: u32 = 1;
const CID: u32 = 1;

/// The heads that an announcement names.
///
/// The DAG names beside them are not kept: a head's DAG is what its block says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Announcement {
    /// The blocks, each once, in the order of the message.
    pub heads: Vec<Cid>,
    /// How many heads of the message were no CIDs of dag-pb blocks with sha2-256.
    pub bad: usize,
}

/// `CRDTBroadcast` of go-ds-crdt, as we write it. It must never get another field: a receiver takes
/// a message with an unknown one for a bare CID.
#[derive(Clone, PartialEq, Message)]
struct BroadcastMessage {
    #[prost(message, repeated, tag = "1")]
    heads: Vec<HeadMessage>,
}

/// `Head` of go-ds-crdt.
#[derive(Clone, PartialEq, Message)]
struct HeadMessage {
    #[prost(bytes = "bytes", tag = "1")]
    cid: Bytes,
    /// A string on the wire; bytes spare a copy.
    #[prost(bytes = "bytes", tag = "2")]
    dag_name: Bytes,
}

/// Reads an announcement: a `CRDTBroadcast`, or a bare CID of version 0 or 1 as old peers send.
/// `None` when it is neither. The empty payload is a `CRDTBroadcast` without heads.
///
/// One bad head spoils only itself, inside a head all but the CID is ignored, and so is any field
/// beside the heads. go-ds-crdt takes a message with such a field for a bare CID, and drops it when it
/// is none; so we never send one. Time and memory are linear in the payload.
#[must_use]
pub fn decode_announcement(payload: &[u8]) -> Option<Announcement> {
    // No broadcast with a head begins as a CID does, so that the two cannot be confused.
    match Cid::from_bytes(payload) {
        Some(head) => Some(Announcement { heads: Vec::from([head]), bad: 0 }),
        None => decode_broadcast(payload).ok(),
    }
}

fn decode_broadcast(payload: &[u8]) -> Result<Announcement, Malformed> {
    let mut announcement = Announcement::default();
    let mut seen = BTreeSet::new();
    for field in Fields::of(payload) {
        let Field { number: HEADS, value: Value::Bytes(head) } = field? else {
            continue;
        };
        match head_cid(head).ok().and_then(Cid::from_bytes) {
            Some(cid) if seen.insert(cid) => announcement.heads.push(cid),
            Some(_) => {}
            None => announcement.bad += 1,
        }
    }
    Ok(announcement)
}

/// The bytes of a head's CID; none when it has none, which is a bad CID.
fn head_cid(head: &[u8]) -> Result<&[u8], Malformed> {
    let mut cid: &[u8] = &[];
    for field in Fields::of(head) {
        if let Field { number: CID, value: Value::Bytes(bytes) } = field? {
            cid = bytes;
        }
    }
    Ok(cid)
}

/// Announcements of these heads, in the order given, as few as fit in messages of at most `bytes_max`
/// bytes (at least one head each). None when there are no heads.
#[must_use]
pub fn encode_announcements<'a>(heads: impl IntoIterator<Item = (Cid, &'a DagName)>, bytes_max: usize) -> Vec<Bytes> {
    let mut payloads = Vec::new();
    let mut payload = Vec::new();
    for (cid, dag) in heads {
        let head = HeadMessage {
            cid: Bytes::copy_from_slice(&cid.to_bytes()),
            dag_name: Bytes::copy_from_slice(dag.as_str().as_bytes()),
        };
        // A message is the heads' fields one after another, so messages of one head each can be joined.
        let field = BroadcastMessage { heads: Vec::from([head]) }.encode_to_vec();
        if !payload.is_empty() && payload.len() + field.len() > bytes_max {
            payloads.push(core::mem::take(&mut payload).into());
        }
        payload.extend_from_slice(&field);
    }
    if !payload.is_empty() {
        payloads.push(payload.into());
    }
    payloads
}
