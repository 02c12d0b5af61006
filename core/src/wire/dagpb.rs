//! dag-pb, the format of a block: links and data.
//!
//! Strict as the [specification](https://ipld.io/specs/codecs/dag-pb/spec/) and go-codec-dagpb are: links and data in either order but the links
//! in one piece, data at most once, within a link Hash, Name and Tsize in this order and each at most once, Hash always, nothing else. As in Go,
//! a Name need not be UTF-8. Otherwise than in Go, a Hash is not looked into here: what is no CID of a block is a
//! foreign link, and does not cost the block its other links.

use super::protobuf::{Field, Fields, Malformed, Value};
use crate::{Cid, cid::V1_BYTES};
use alloc::vec::Vec;
use prost::{encode_length_delimiter, length_delimiter_len};

const DATA: u32 = 1;
const LINKS: u32 = 2;
const HASH: u32 = 1;
const NAME: u32 = 2;
const TSIZE: u32 = 3;

/// The tag of Data: field 1, bytes.
const DATA_TAG: u8 = 0x0a;
/// What Go writes before the CID of a link: the tag and length of the link, then of the hash.
const LINK_HEAD: [u8; 4] = [0x12, 42, 0x0a, 36];
/// What Go writes after the CID of a link: an empty name and a size of zero, both spelled out.
const LINK_TAIL: [u8; 4] = [0x12, 0, 0x18, 0];
/// The bytes that a link takes inside a block.
const LINK_BYTES: usize = LINK_HEAD.len() + V1_BYTES + LINK_TAIL.len();

/// A node as it was read; all slices are parts of the block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node<'a> {
    /// The Hash of each link.
    pub(super) hashes: Vec<&'a [u8]>,
    /// The data.
    pub(super) data: Option<&'a [u8]>,
}

/// Reads a node. Time and memory are linear in the block, and nothing is copied.
pub(super) fn decode(block: &[u8]) -> Result<Node<'_>, Malformed> {
    let mut node = Node::default();
    let mut links_ended = false;
    for field in Fields::of(block) {
        match field? {
            Field { number: DATA, value: Value::Bytes(data) } => {
                if node.data.replace(data).is_some() {
                    return Err(Malformed("Data twice"));
                }
                links_ended = !node.hashes.is_empty();
            }
            Field { number: LINKS, value: Value::Bytes(link) } => {
                if links_ended {
                    return Err(Malformed("Links on both sides of Data"));
                }
                node.hashes.push(decode_link(link)?);
            }
            Field { number: DATA | LINKS, .. } => return Err(Malformed("Links or Data of a wrong type")),
            _ => return Err(Malformed("a field that is neither Links nor Data")),
        }
    }
    Ok(node)
}

fn decode_link(link: &[u8]) -> Result<&[u8], Malformed> {
    let mut hash = None;
    let mut last = 0;
    for field in Fields::of(link) {
        let Field { number, value } = field?;
        if number <= last {
            return Err(Malformed("Hash, Name and Tsize of a link twice or out of order"));
        }
        last = number;
        match (number, value) {
            (HASH, Value::Bytes(bytes)) => hash = Some(bytes),
            (NAME, Value::Bytes(_)) | (TSIZE, Value::Varint(_)) => {}
            (HASH | NAME | TSIZE, _) => return Err(Malformed("Hash, Name or Tsize of a wrong type")),
            _ => return Err(Malformed("a link with a field that is not Hash, Name or Tsize")),
        }
    }
    hash.ok_or(Malformed("a link without Hash"))
}

/// Writes a node as Go does: first the links, in the order given, then the data.
pub(super) fn encode<'a>(links: impl ExactSizeIterator<Item = &'a Cid>, data: &[u8]) -> Vec<u8> {
    let length = data.len();
    let mut out = Vec::with_capacity(links.len() * LINK_BYTES + 1 + length_delimiter_len(length) + length);
    for link in links {
        out.extend_from_slice(&LINK_HEAD);
        out.extend_from_slice(&link.to_bytes());
        out.extend_from_slice(&LINK_TAIL);
    }
    out.push(DATA_TAG);
    let written = encode_length_delimiter(length, &mut out);
    debug_assert!(written.is_ok(), "prost fails only where a buffer ends, and a Vec grows");
    out.extend_from_slice(data);
    out
}
