//! Deltas: what a block adds and removes.

use super::{Delta, Element, Flaw, Tombstone};
use crate::{
    Cid, DagName, Key,
    cid::BLOCK_ID_BYTES,
    limits::{DAG_NAME_BYTES_MAX, KEY_BYTES_MAX},
};
use alloc::{format, string::String, vec::Vec};
use bytes::Bytes;
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, WireType, decode_key, decode_varint, encoded_len_varint, skip_field},
};

/// Reads a delta: keys cleaned, ids understood, and elements left out whose key is over the limit
/// or whose id names no block.
///
/// As Go's protobuf does it: of a field that may stand once the last counts, and a field that is
/// not known, or known but of another wire type, is passed over. prost's derived messages refuse
/// the latter, and would make void what Go peers merge; so the fields are walked here.
pub(super) fn decode(mut rest: Bytes) -> Result<Delta, Flaw> {
    let mut delta = Delta::default();
    while !rest.is_empty() {
        match decode_key(&mut rest).map_err(no_delta)? {
            (1, WireType::LengthDelimited) => {
                let element = Fields::decode(chunk(&mut rest)?)?;
                if let Some(key) = key_within_limit(element.key) {
                    delta.elements.push(Element { key, value: element.value });
                }
            }
            (2, WireType::LengthDelimited) => {
                let Fields { key, id, .. } = Fields::decode(chunk(&mut rest)?)?;
                if let Some((key, target)) = key_within_limit(key).zip(Cid::from_block_id(&id)) {
                    delta.tombstones.push(Tombstone { key, target });
                }
            }
            (3, WireType::Varint) => delta.priority = decode_varint(&mut rest).map_err(no_delta)?,
            (4, WireType::LengthDelimited) => {
                let name = text(chunk(&mut rest)?)?;
                delta.dag = DagName::new(String::from_utf8_lossy(&name));
            }
            (field, kind) => skip_field(kind, field, &mut rest, DecodeContext::default()).map_err(no_delta)?,
        }
    }
    if delta.dag.as_str().len() > DAG_NAME_BYTES_MAX { Err(Flaw::DagNameTooLong) } else { Ok(delta) }
}

/// The fields of an element, as they stand.
#[derive(Default)]
struct Fields {
    key: Bytes,
    id: Bytes,
    value: Bytes,
}

impl Fields {
    fn decode(mut rest: Bytes) -> Result<Self, Flaw> {
        let mut fields = Self::default();
        while !rest.is_empty() {
            match decode_key(&mut rest).map_err(no_delta)? {
                (1, WireType::LengthDelimited) => fields.key = text(chunk(&mut rest)?)?,
                (2, WireType::LengthDelimited) => fields.id = text(chunk(&mut rest)?)?,
                (3, WireType::LengthDelimited) => fields.value = chunk(&mut rest)?,
                (field, kind) => skip_field(kind, field, &mut rest, DecodeContext::default()).map_err(no_delta)?,
            }
        }
        Ok(fields)
    }
}

fn key_within_limit(raw: Bytes) -> Option<Key> {
    Some(Key::from_bytes(raw)).filter(|key| key.as_bytes().len() <= KEY_BYTES_MAX)
}

/// What proto3 calls a string is UTF-8, or the message does not decode.
fn text(bytes: Bytes) -> Result<Bytes, Flaw> {
    match core::str::from_utf8(&bytes) {
        Ok(_) => Ok(bytes),
        Err(_) => Err(Flaw::NotDelta(String::from("a key, an id or the DAG name is no UTF-8"))),
    }
}

fn chunk(rest: &mut Bytes) -> Result<Bytes, Flaw> {
    super::dagpb::chunk(rest).map_err(Flaw::NotDelta)
}

fn no_delta(error: DecodeError) -> Flaw {
    Flaw::NotDelta(format!("{error}"))
}

/// The protobuf message, to be written.
#[derive(Clone, PartialEq, Message)]
struct DeltaMessage {
    #[prost(message, repeated, tag = "1")]
    elements: Vec<ElementMessage>,
    #[prost(message, repeated, tag = "2")]
    tombstones: Vec<ElementMessage>,
    #[prost(uint64, tag = "3")]
    priority: u64,
    #[prost(bytes = "bytes", tag = "4")]
    dag_name: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct ElementMessage {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    id: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    value: Bytes,
}

/// Writes a delta: fields ascend, empty and zero ones are left out, as proto3 has it.
pub(super) fn encode(delta: &Delta) -> Vec<u8> {
    let put = |element: &Element| ElementMessage {
        key: element.key.bytes().clone(),
        id: Bytes::new(),
        value: element.value.clone(),
    };
    let removal = |tombstone: &Tombstone| ElementMessage {
        key: tombstone.key.bytes().clone(),
        id: tombstone.target.block_id(),
        value: Bytes::new(),
    };
    let message = DeltaMessage {
        elements: delta.elements.iter().map(put).collect(),
        tombstones: delta.tombstones.iter().map(removal).collect(),
        priority: delta.priority,
        dag_name: Bytes::copy_from_slice(delta.dag.as_str().as_bytes()),
    };
    message.encode_to_vec()
}

/// The bytes that an element takes inside an encoded delta, its field tag and length included.
#[must_use]
pub fn element_bytes(key: &Key, value: &Bytes) -> usize {
    1 + delimited(field(key.as_bytes().len()) + field(value.len()))
}

/// The bytes that a tombstone takes inside an encoded delta, its field tag and length included.
#[must_use]
pub fn tombstone_bytes(key: &Key) -> usize {
    1 + delimited(field(key.as_bytes().len()) + field(BLOCK_ID_BYTES))
}

/// A field of so many bytes; left out when empty.
const fn field(len: usize) -> usize {
    if len == 0 { 0 } else { 1 + delimited(len) }
}

const fn delimited(len: usize) -> usize {
    encoded_len_varint(len as u64) + len
}
