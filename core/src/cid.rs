//! Content identifiers of blocks.

use bytes::Bytes;
use core::fmt;

/// The CID of a block: dag-pb with sha2-256, the only kind that this system merges.
///
/// Identity is the multihash: version 0 and version 1 of a CID are equal here. We write version 1
/// (36 bytes; as text `bafybei…`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cid([u8; 32]);

impl Cid {
    /// The CID of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The CID with this sha2-256 digest.
    #[must_use]
    pub const fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The sha2-256 digest.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads a binary CID of version 0 or 1. `None` for any other kind of CID, for trailing bytes, and for what is no CID.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&[1, 0x70]).unwrap_or(bytes);
        Some(Self(rest.strip_prefix(&[0x12, 0x20])?.try_into().ok()?))
    }

    /// The binary CID of version 1: 36 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 36] {
        let mut b = [0; 36];
        b[..4].copy_from_slice(&[1, 0x70, 0x12, 0x20]);
        b[4..].copy_from_slice(&self.0);
        b
    }

    /// The block id, as tombstones carry it: a slash and the multihash in upper-case base32 without padding.
    #[must_use]
    pub fn block_id(&self) -> Bytes {
        let mut s = alloc::string::String::from("/");
        s.push_str(&data_encoding::BASE32_NOPAD.encode(&self.to_bytes()[2..]));
        s.into()
    }

    /// Reads a block id, with or without its slash. `None` when it is no canonical base32 of a sha2-256 multihash.
    #[must_use]
    pub fn from_block_id(id: &[u8]) -> Option<Self> {
        let id = id.strip_prefix(b"/").unwrap_or(id);
        let mh = data_encoding::BASE32_NOPAD.decode(id).ok()?;
        Some(Self(mh.strip_prefix(&[0x12, 0x20])?.try_into().ok()?))
    }
}

impl fmt::Display for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", data_encoding::BASE32_NOPAD.encode(&self.to_bytes()).to_lowercase())
    }
}

impl fmt::Debug for Cid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{}", data_encoding::BASE32_NOPAD.encode(&self.to_bytes()).to_lowercase())
    }
}

/// A text that is no CID of a dag-pb block with sha2-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ParseCidError;

impl core::str::FromStr for Cid {
    type Err = ParseCidError;

    /// Reads a CID as text: base32 version 1 (`b…`) or base58 version 0 (`Qm…`).
    fn from_str(text: &str) -> Result<Self, ParseCidError> {
        let text = text.strip_prefix('b').ok_or(ParseCidError)?.to_uppercase();
        let b = data_encoding::BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| ParseCidError)?;
        Self::from_bytes(&b).ok_or(ParseCidError)
    }
}
