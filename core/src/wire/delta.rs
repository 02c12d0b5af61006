//! The delta, the protobuf message in a block's data.

use super::{
    Delta, Element, Tombstone,
    protobuf::{Field, Fields, Malformed, Value, utf8},
};
use crate::{Cid, DagName, Key, cid::BLOCK_ID_BYTES};
use alloc::vec::Vec;
use bytes::Bytes;
use prost::{Message, length_delimiter_len};

const ELEMENTS: u32 = 1;
const TOMBSTONES: u32 = 2;
const PRIORITY: u32 = 3;
const DAG_NAME: u32 = 4;
const KEY: u32 = 1;
const ID: u32 = 2;
const VALUE: u32 = 3;

/// `Delta` of go-ds-crdt, as we write it.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DeltaMessage {
    #[prost(message, repeated, tag = "1")]
    elements: Vec<ElementMessage>,
    #[prost(message, repeated, tag = "2")]
    tombstones: Vec<ElementMessage>,
    #[prost(uint64, tag = "3")]
    priority: u64,
    /// A string on the wire; bytes spare a copy.
    #[prost(bytes = "bytes", tag = "4")]
    dag_name: Bytes,
}

/// `Element` of go-ds-crdt: a put has a key and a value, a removal a key and an id.
#[derive(Clone, PartialEq, Message)]
struct ElementMessage {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    id: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    value: Bytes,
}

impl DeltaMessage {
    pub(super) fn of(delta: &Delta) -> Self {
        let element =
            |put: &Element| ElementMessage { key: put.key.bytes().clone(), id: Bytes::new(), value: put.value.clone() };
        let tombstone = |removal: &Tombstone| ElementMessage {
            key: removal.key.bytes().clone(),
            id: removal.target.block_id(),
            value: Bytes::new(),
        };
        Self {
            elements: delta.elements.iter().map(element).collect(),
            tombstones: delta.tombstones.iter().map(tombstone).collect(),
            priority: delta.priority,
            dag_name: Bytes::copy_from_slice(delta.dag.as_str().as_bytes()),
        }
    }
}

/// Reads a delta out of a block's data. Keys and values share its buffer.
pub(super) fn decode(data: &Bytes) -> Result<Delta, Malformed> {
    let mut delta = Delta::default();
    let mut dag_name = "";
    for field in Fields::of(data) {
        match field? {
            Field { number: ELEMENTS, value: Value::Bytes(message) } => {
                let parts = Parts::of(message)?;
                delta.elements.push(Element { key: parts.key(data), value: parts.value(data) });
            }
            Field { number: TOMBSTONES, value: Value::Bytes(message) } => {
                let parts = Parts::of(message)?;
                let target = Cid::from_block_id(parts.id.as_bytes());
                let removal = target.map(|target| Tombstone { key: parts.key(data), target });
                delta.tombstones.extend(removal);
            }
            Field { number: PRIORITY, value: Value::Varint(priority) } => delta.priority = priority,
            Field { number: DAG_NAME, value: Value::Bytes(name) } => dag_name = utf8(name)?,
            _ => {}
        }
    }
    delta.dag = DagName::new(dag_name);
    Ok(delta)
}

/// The fields of an element or a tombstone, as parts of the block. Of a field that comes twice the last counts.
#[derive(Default)]
struct Parts<'a> {
    key: &'a str,
    id: &'a str,
    value: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut parts = Self::default();
        for field in Fields::of(message) {
            match field? {
                Field { number: KEY, value: Value::Bytes(bytes) } => parts.key = utf8(bytes)?,
                Field { number: ID, value: Value::Bytes(bytes) } => parts.id = utf8(bytes)?,
                Field { number: VALUE, value: Value::Bytes(bytes) } => parts.value = bytes,
                _ => {}
            }
        }
        Ok(parts)
    }

    /// The cleaned key.
    fn key(&self, data: &Bytes) -> Key {
        Key::from_bytes(data.slice_ref(self.key.as_bytes()))
    }

    fn value(&self, data: &Bytes) -> Bytes {
        data.slice_ref(self.value)
    }
}

/// The bytes that an element takes inside an encoded delta, its field tag and length included.
#[must_use]
pub fn element_bytes(key: &Key, value: &Bytes) -> usize {
    // An empty value is not written, as proto3 has it.
    let value_bytes = if value.is_empty() { 0 } else { field_bytes(value.len()) };
    field_bytes(field_bytes(key.as_bytes().len()) + value_bytes)
}

/// The bytes that a tombstone takes inside an encoded delta, its field tag and length included.
#[must_use]
pub fn tombstone_bytes(key: &Key) -> usize {
    field_bytes(field_bytes(key.as_bytes().len()) + field_bytes(BLOCK_ID_BYTES))
}

/// A field of bytes with a number under 16: a tag of one byte, the length, the bytes.
fn field_bytes(length: usize) -> usize {
    1 + length_delimiter_len(length) + length
}
