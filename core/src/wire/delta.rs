//! Deltas: what a block adds and removes.

use super::{Delta, Element, Flaw, Tombstone};
use crate::{
    Cid, DagName, Key,
    cid::BLOCK_ID_BYTES,
    limits::{DAG_NAME_BYTES_MAX, KEY_BYTES_MAX},
};
use alloc::{format, string::String, vec::Vec};
use bytes::Bytes;
use prost::{Message, encoding::encoded_len_varint};

/// The protobuf message. Its strings are read as bytes, so that nothing is copied; that they are
/// UTF-8, as proto3 demands, is checked here.
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

/// Reads a delta: keys cleaned, ids understood, and elements left out whose key is over the limit
/// or whose id names no block.
pub(super) fn decode(data: Bytes) -> Result<Delta, Flaw> {
    let message = DeltaMessage::decode(data).map_err(|error| Flaw::NotDelta(format!("{error}")))?;
    let text = |bytes: &Bytes| core::str::from_utf8(bytes).is_ok();
    let all_text = |elements: &[ElementMessage]| elements.iter().all(|element| text(&element.key) && text(&element.id));
    let (true, true) = (all_text(&message.elements), all_text(&message.tombstones)) else {
        return Err(Flaw::NotDelta(String::from("a key or an id is no UTF-8")));
    };
    let Ok(name) = core::str::from_utf8(&message.dag_name) else {
        return Err(Flaw::NotDelta(String::from("the DAG name is no UTF-8")));
    };
    if name.len() > DAG_NAME_BYTES_MAX {
        return Err(Flaw::DagNameTooLong);
    }
    let dag = DagName::new(name);
    let key = |raw: Bytes| Some(Key::from_bytes(raw)).filter(|key| key.as_bytes().len() <= KEY_BYTES_MAX);
    let elements = message.elements.into_iter();
    let tombstones = message.tombstones.into_iter();
    Ok(Delta {
        elements: elements.filter_map(|e| Some(Element { key: key(e.key)?, value: e.value })).collect(),
        tombstones: tombstones
            .filter_map(|e| Some(Tombstone { key: key(e.key)?, target: Cid::from_block_id(&e.id)? }))
            .collect(),
        priority: message.priority,
        dag,
    })
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
