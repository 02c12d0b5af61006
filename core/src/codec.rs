//! The format of deltas inside blocks.

use crate::{
    Key,
    wire::{self, Delta, Flaw},
};
use alloc::vec::Vec;
use bytes::Bytes;

/// How a delta stands inside a block. Everything around it stays as it is: the block is dag-pb, its links are its
/// parents, and what it means is what [`Delta`] says.
///
/// All replicas of a network must use the same codec, for the whole life of their stores; with another one than
/// [`ProtobufCodec`] they do not understand go-ds-crdt, nor it them.
///
/// What is decoded must be a function of the data alone. What a codec wants beside the delta, such as a signature, it writes
/// into the data itself and checks when it decodes: data that it does not accept makes the block void for all.
///
/// ```
/// use anabranch_core::{Batch, Bytes, Codec, Config, Input, Key, MergeAll, ProtobufCodec, Replica, Token};
/// use anabranch_core::{store::MemoryStore, wire::{Delta, Flaw}};
///
/// /// The usual format behind a byte that tells the network's own blocks from all others.
/// struct Marked;
///
/// impl Codec for Marked {
///     fn decode(&self, data: &Bytes) -> Result<Delta, Flaw> {
///         match data.first() {
///             Some(0xa7) => ProtobufCodec.decode(&data.slice(1..)),
///             _ => Err(Flaw::NotDelta("not of this network".into())),
///         }
///     }
///     fn encode(&self, delta: &Delta) -> Vec<u8> {
///         [vec![0xa7], ProtobufCodec.encode(delta)].concat()
///     }
///     fn element_bytes(&self, key: &Key, value: &Bytes) -> usize {
///         ProtobufCodec.element_bytes(key, value)
///     }
///     fn tombstone_bytes(&self, key: &Key) -> usize {
///         ProtobufCodec.tombstone_bytes(key)
///     }
/// }
///
/// # fn main() -> Result<(), anabranch_core::Error> {
/// let mut out = Vec::new();
/// let mut replica = Replica::open_with_codec(MemoryStore::new(), Config::default(), MergeAll, Marked, &mut out)?;
/// let _ = replica.step(Input::Commit { token: Token(1), batch: Batch::new().put("/k", "v") }, &mut out)?;
/// assert_eq!(replica.get(&Key::new("/k"))?.as_deref(), Some(&b"v"[..]));
/// # Ok(())
/// # }
/// ```
pub trait Codec {
    /// Reads a delta: `data` is what the block holds, empty when it holds none. Keys and values may share its buffer.
    ///
    /// # Errors
    /// Why the block is void, [`Flaw::NotDelta`] as a rule. Keys and names over the limits need no look: elements and tombstones with
    /// too long a key are left out, and too long a name makes the block void, whatever the codec.
    fn decode(&self, data: &Bytes) -> Result<Delta, Flaw>;

    /// Writes a delta. Decoding what is written must give the delta, when its keys are UTF-8 and of no more than their limit.
    fn encode(&self, delta: &Delta) -> Vec<u8>;

    /// The bytes that a put adds to an encoded delta. A batch is cut into blocks by it.
    fn element_bytes(&self, key: &Key, value: &Bytes) -> usize;

    /// The bytes that a tombstone adds to an encoded delta.
    fn tombstone_bytes(&self, key: &Key) -> usize;
}

/// The delta of go-ds-crdt, in protobuf: the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProtobufCodec;

impl Codec for ProtobufCodec {
    fn decode(&self, data: &Bytes) -> Result<Delta, Flaw> {
        wire::decode_delta(data)
    }

    fn encode(&self, delta: &Delta) -> Vec<u8> {
        wire::encode_delta(delta)
    }

    fn element_bytes(&self, key: &Key, value: &Bytes) -> usize {
        wire::element_bytes(key, value)
    }

    fn tombstone_bytes(&self, key: &Key) -> usize {
        wire::tombstone_bytes(key)
    }
}
