//! What messages say, and how their bytes are harmed on the way.

use super::Message;
use crate::{
    engine::{Entry, Fate, MessageKey},
    observe::{Id, Says},
    outcome::{MessageCount, MessageKind},
    scenario::FaultKind,
    tally::Tally,
};
use anabranch_core::{Bytes, Cid, wire};
use sha2::{Digest, Sha256};

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// An announcement, as it stands on the wire.
    Broadcast(Bytes),
    /// "Give me this block."
    Request {
        /// Which.
        cid: Cid,
        /// Handed back with the answer; likewise below.
        attempt: u32,
    },
    /// A block, as it stands on the wire.
    Block {
        /// Which it is said to be.
        cid: Cid,
        /// Of the request.
        attempt: u32,
        /// The block.
        bytes: Bytes,
    },
    /// "I do not have it."
    NotFound {
        /// Which.
        cid: Cid,
        /// Of the request.
        attempt: u32,
    },
    /// A message of a system that is not ours.
    Other(Bytes),
}

/// What a sealed message has before its bytes: a kind, and a checksum.
const SEAL: usize = 1 + 8;

impl Body {
    /// A message of another system, with a checksum: the network flips bits and cuts ends off, and not every decoder would see it.
    #[must_use]
    pub fn sealed(kind: u8, bytes: &[u8]) -> Self {
        Self::Other([&[kind][..], &checksum(kind, bytes), bytes].concat().into())
    }

    /// Kind and bytes of a message that was [sealed](Self::sealed) and came unharmed; `None` for all others.
    #[must_use]
    pub fn unsealed(&self) -> Option<(u8, Bytes)> {
        let Self::Other(message) = self else { return None };
        let (seal, bytes) = message.split_at_checked(SEAL)?;
        (seal[1..] == checksum(seal[0], bytes)).then(|| (seal[0], message.slice(SEAL..)))
    }

    pub(crate) const fn kind(&self) -> MessageKind {
        match self {
            Self::Broadcast(_) => MessageKind::Broadcast,
            Self::Request { .. } => MessageKind::Request,
            Self::Block { .. } => MessageKind::Block,
            Self::NotFound { .. } => MessageKind::NotFound,
            Self::Other(_) => MessageKind::Other,
        }
    }

    /// What it says, for those who watch.
    pub(super) fn says(&self) -> Says {
        match self {
            Self::Broadcast(bytes) => {
                let announcement = wire::decode_announcement(bytes);
                Says::Heads(announcement.map_or(Vec::new(), |announced| announced.heads.into_iter().map(Id).collect()))
            }
            Self::Request { cid, .. } => Says::Give(Id(*cid)),
            Self::Block { cid, .. } => Says::Block(Id(*cid)),
            Self::NotFound { cid, .. } => Says::NotFound(Id(*cid)),
            Self::Other(bytes) => Says::Bytes(bytes.len() as u64),
        }
    }

    /// How long its bytes are; what has none is small.
    pub(super) const fn bytes(&self) -> u64 {
        match self {
            Self::Broadcast(bytes) | Self::Block { bytes, .. } | Self::Other(bytes) => bytes.len() as u64,
            Self::Request { .. } | Self::NotFound { .. } => 0,
        }
    }

    /// The bytes that may be corrupted: those of broadcasts and blocks.
    const fn payload(&mut self) -> Option<&mut Bytes> {
        match self {
            Self::Broadcast(bytes) | Self::Block { bytes, .. } | Self::Other(bytes) => Some(bytes),
            Self::Request { .. } | Self::NotFound { .. } => None,
        }
    }
}

/// The first bytes of the sha2-256 of both.
fn checksum(kind: u8, bytes: &[u8]) -> [u8; SEAL - 1] {
    let digest = Sha256::new().chain_update([kind]).chain_update(bytes).finalize();
    std::array::from_fn(|at| digest[at])
}

/// Who, what, why. A block is named by its CID and length; its bytes are in the name.
pub(super) fn record<'a>(entry: Entry<'a>, key: &MessageKey, body: &Body) -> Entry<'a> {
    let entry = entry.u16(key.from.0).u16(key.to.0).u8(key.kind).u64(key.cause.number()).u64(key.n.into());
    match body {
        Body::Broadcast(bytes) | Body::Other(bytes) => entry.bytes(bytes),
        Body::Request { cid, attempt } | Body::NotFound { cid, attempt } => {
            entry.bytes(cid.digest()).u64((*attempt).into())
        }
        Body::Block { cid, attempt, bytes } => entry.bytes(cid.digest()).u64((*attempt).into()).u64(bytes.len() as u64),
    }
}

/// The bytes with one bit changed.
fn flip(bytes: &Bytes, bit: u64) -> Bytes {
    let mut flipped = bytes.to_vec();
    let bit = bit % (flipped.len() as u64 * 8);
    flipped[(bit / 8) as usize] ^= 1 << (bit % 8);
    flipped.into()
}

/// Flips a bit and cuts the end off, as the fate will have it.
pub(super) fn harm(message: &mut Message, fate: &Fate, count: &mut MessageCount, tally: &mut Tally) {
    let kind = message.body.kind();
    let Some(bytes) = message.body.payload().filter(|bytes| !bytes.is_empty()) else { return };
    let before = bytes.clone();
    let (mut is_flipped, mut is_cut) = (false, false);
    if let Some(bit) = fate.flip {
        tally.requested(FaultKind::Corrupt);
        count.corrupted += 1;
        *bytes = flip(bytes, bit);
        is_flipped = true;
    }
    if let Some(at) = fate.cut {
        tally.requested(FaultKind::Truncate);
        count.corrupted += 1;
        bytes.truncate((at % bytes.len() as u64) as usize);
        is_cut = true;
        // The bit may be in what is gone.
        is_flipped &= !before.starts_with(bytes);
    }
    // Not every bit of an announcement means something.
    let is_seen =
        kind != MessageKind::Broadcast || wire::decode_announcement(&before) != wire::decode_announcement(bytes);
    (message.flipped, message.cut) = (is_flipped && is_seen, is_cut && is_seen);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_message_is_read_only_as_it_was_sent() {
        let sent = Body::sealed(3, b"hello").payload().cloned().unwrap_or_default();
        assert_eq!(Body::Other(sent.clone()).unsealed(), Some((3, Bytes::from_static(b"hello"))));
        for bit in 0..sent.len() as u64 * 8 {
            assert_eq!(Body::Other(flip(&sent, bit)).unsealed(), None, "bit {bit}");
        }
        for length in 0..sent.len() {
            assert_eq!(Body::Other(sent.slice(..length)).unsealed(), None, "{length} bytes");
        }
        assert_eq!(Body::Broadcast(sent).unsealed(), None);
    }
}
