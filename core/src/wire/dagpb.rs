//! dag-pb, strictly: the block around a delta.
//!
//! A `PBNode` is protobuf with rules of its own: links (field 2) are *written* before the data
//! (field 1); either order is read, but all links stand together; within a link come Hash (1), Name
//! (2) and Tsize (3), in this order; there are no other fields. prost would reorder and forgive, so
//! this codec is our own, over prost's varints and keys.

use crate::Cid;
use alloc::{format, string::String, vec::Vec};
use bytes::Bytes;
use prost::encoding::{WireType, decode_key, decode_varint, encode_varint, encoded_len_varint};

/// What go-ds-crdt writes before a CID of version 1 in a link: the link's field and length (42
/// bytes), the hash's field and length (36 bytes).
const LINK_HEAD: [u8; 4] = [0x12, 42, 0x0a, 36];
/// What it writes after the CID: a Name although empty, a Tsize although zero.
const LINK_TAIL: [u8; 4] = [0x12, 0, 0x18, 0];
/// The bytes of a link that we write.
const LINK_BYTES: usize = LINK_HEAD.len() + 36 + LINK_TAIL.len();

/// A decoded `PBNode`: the raw bytes of each link's CID, and the data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) links: Vec<Bytes>,
    pub(super) data: Option<Bytes>,
}

/// Writes a node with these links, in this order.
pub(super) fn encode(links: &[Cid], data: &[u8]) -> Vec<u8> {
    let mut bytes =
        Vec::with_capacity(links.len() * LINK_BYTES + 1 + encoded_len_varint(data.len() as u64) + data.len());
    for link in links {
        bytes.extend_from_slice(&LINK_HEAD);
        bytes.extend_from_slice(&link.to_bytes());
        bytes.extend_from_slice(&LINK_TAIL);
    }
    bytes.push(0x0a);
    encode_varint(data.len() as u64, &mut bytes);
    bytes.extend_from_slice(data);
    bytes
}

/// Reads a node. The error says what is wrong with it.
pub(super) fn decode(bytes: &Bytes) -> Result<Node, String> {
    let mut rest = bytes.clone();
    let mut node = Node::default();
    let mut last = 0;
    let mut links_done = false;
    while !rest.is_empty() {
        let field = bytes_field(&mut rest)?;
        match field {
            1 if node.data.is_some() => return Err(String::from("more than one Data field")),
            1 => {
                node.data = Some(chunk(&mut rest)?);
                links_done = last == 2;
            }
            2 if links_done => return Err(String::from("links before and after the Data field")),
            2 => node.links.push(decode_link(chunk(&mut rest)?)?),
            other => return Err(format!("unknown field {other}")),
        }
        last = field;
    }
    Ok(node)
}

/// Reads a link, and gives the bytes of its hash.
fn decode_link(mut rest: Bytes) -> Result<Bytes, String> {
    let mut hash = None;
    let mut last = 0;
    while !rest.is_empty() {
        let (field, kind) = decode_key(&mut rest).map_err(said)?;
        if field <= last {
            return Err(format!("link field {field} after field {last}"));
        }
        last = field;
        match (field, kind) {
            (1, WireType::LengthDelimited) => hash = Some(chunk(&mut rest)?),
            (2, WireType::LengthDelimited) => drop(chunk(&mut rest)?),
            (3, WireType::Varint) => drop(decode_varint(&mut rest).map_err(said)?),
            _ => return Err(format!("link field {field} of an unknown kind")),
        }
    }
    hash.ok_or_else(|| String::from("a link without a Hash"))
}

/// Reads the key of a length-delimited field, and gives the field's number.
fn bytes_field(rest: &mut Bytes) -> Result<u32, String> {
    match decode_key(rest).map_err(said)? {
        (field, WireType::LengthDelimited) => Ok(field),
        (field, _) => Err(format!("field {field} is not length-delimited")),
    }
}

/// Reads a length and as many bytes.
pub(super) fn chunk(rest: &mut Bytes) -> Result<Bytes, String> {
    let len = decode_varint(rest).map_err(said)?;
    match usize::try_from(len) {
        Ok(len) if len <= rest.len() => Ok(rest.split_to(len)),
        _ => Err(format!("a field of {len} bytes where {} are left", rest.len())),
    }
}

fn said(error: prost::DecodeError) -> String {
    format!("{error}")
}
