//! Announcements of heads.

use crate::{Cid, DagName};
use alloc::{collections::BTreeSet, vec::Vec};
use bytes::Bytes;
use prost::{
    Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field},
};

/// One head of a `CRDTBroadcast`. The name is of use to Go peers alone: a block says itself to
/// which DAG it belongs.
#[derive(Clone, PartialEq, Message)]
struct HeadMessage {
    #[prost(bytes = "bytes", tag = "1")]
    cid: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    dag_name: Bytes,
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
///
/// go-ds-crdt takes a message with an unknown top-level field for a bare CID and drops it when it is
/// none. Here unknown fields are ignored, and a head that is bad spoils only itself. We never send
/// either: Go peers would drop it.
#[must_use]
pub fn decode_announcement(payload: &[u8]) -> Option<Announcement> {
    // No broadcast with a head begins as a CID does, so that the two cannot be confused.
    match Cid::from_bytes(payload) {
        Some(cid) => Some(Announcement { heads: alloc::vec![cid], bad: 0 }),
        None => decode_broadcast(payload),
    }
}

fn decode_broadcast(mut rest: &[u8]) -> Option<Announcement> {
    let mut found = Announcement::default();
    let mut seen = BTreeSet::new();
    while !rest.is_empty() {
        let (field, kind) = decode_key(&mut rest).ok()?;
        if (field, kind) != (1, WireType::LengthDelimited) {
            skip_field(kind, field, &mut rest, DecodeContext::default()).ok()?;
            continue;
        }
        let len = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
        let (head, after) = rest.split_at_checked(len)?;
        rest = after;
        match HeadMessage::decode(head).ok().and_then(|head| Cid::from_bytes(&head.cid)) {
            Some(cid) if seen.insert(cid) => found.heads.push(cid),
            Some(_) => {}
            None => found.bad += 1,
        }
    }
    Some(found)
}

/// Announcements of these heads, as few as fit in messages of at most `bytes_max` bytes (at least one head each).
#[must_use]
pub fn encode_announcements<'a>(heads: impl IntoIterator<Item = (Cid, &'a DagName)>, bytes_max: usize) -> Vec<Bytes> {
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    for (cid, dag) in heads {
        let head = HeadMessage {
            cid: Bytes::copy_from_slice(&cid.to_bytes()),
            dag_name: Bytes::copy_from_slice(dag.as_str().as_bytes()),
        };
        let mut field = Vec::from([0x0a]);
        field.extend_from_slice(&head.encode_length_delimited_to_vec());
        match payloads.last_mut() {
            Some(payload) if payload.len() + field.len() <= bytes_max => payload.append(&mut field),
            _ => payloads.push(field),
        }
    }
    payloads.into_iter().map(Bytes::from).collect()
}
